"""Evidence of a recording that is still being listened to, kept piece by piece: an interrupted call loses a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from diarnb.store import Store
    from diarnb.store.run import Evidence

_REACH = "reach"  # seconds of the recording that are heard with a piece


class PartialEvidence:
    """What was heard of a recording so far, in the run store; each channel is a sequence of pieces.

    A cache like all evidence: the limit of the store and `Store.forget` take pieces away, and what follows a missing
    one is heard anew.

    Parameters
    ----------
    store : Store
    key : str
        Of the evidence that the pieces become.
    end : float, optional
        Seconds after which the recording is not listened to; default: its own end.

    Attributes
    ----------
    reach : dict of int to float
        Seconds that are heard of each channel.

    Examples
    --------
    >>> from diarnb.store import Store
    >>> partial = PartialEvidence(Store.default(), "key")
    >>> partial.add(0, 0, {"scores": np.zeros(3)}, reach=60.0)
    >>> len(PartialEvidence(Store.default(), "key").read(0)), partial.reach
    (1, {0: 60.0})
    >>> partial.remove()
    """

    def __init__(self, store: Store, key: str, end: float | None = None) -> None:
        self.end = end
        self.reach: dict[int, float] = {}
        self._store, self._key, self._keeps = store, key, True

    def read(self, channel: int) -> list[Evidence]:
        """Read the pieces of a channel, in order, up to the first that is missing."""
        pieces = self._store.pieces(self._name(channel))
        if pieces:
            self.reach[channel] = float(pieces[-1].pop(_REACH))
        return pieces

    def add(self, channel: int, number: int, piece: Evidence, reach: float) -> None:
        """Keep the next piece; where one cannot be kept, none behind it is."""
        name = f"{self._name(channel)}{number:06d}"
        self._keeps = self._keeps and self._store.put_evidence(name, {**piece, _REACH: np.array(reach)})
        if self._keeps:
            self.reach[channel] = reach

    def remove(self) -> None:
        """Remove all pieces."""
        self.reach = {}
        self._store.drop_pieces(f"{self._key}/")

    def _name(self, channel: int) -> str:
        return f"{self._key}/{channel}/"
