"""Cut speech into pieces that are short and, as far as the segmentation can tell, of one voice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONSET, OFFSET = 0.5, 0.35  # speech begins above the first, and lasts while above the second
_CHANGE = 0.13  # a peak of the change score above this cuts
_SHORTEST = 6  # frames, 0.1 s: less is a click, and cuts lie no closer
_BRIDGE = 12  # frames, 0.2 s: a gap within a word or between two
LONGEST = 59  # frames, 1.0 s: longer pieces blur who speaks when
_STRETCH = 60 * LONGEST  # frames, a minute without pause or change: is cut, lest it be kept in mind without end


def runs_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give [start, end) of every run of true values, as rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges.reshape(-1, 2).astype(np.int64)


def speech_regions(probability: NDArray[np.float32]) -> NDArray[np.int64]:
    """Regions of speech, by hysteresis, with short gaps bridged and clicks left out."""
    loud = np.concatenate([[0], np.cumsum(probability >= ONSET)])
    regions = runs_of(probability >= OFFSET)
    regions = _bridged(regions[loud[regions[:, 1]] > loud[regions[:, 0]]])
    return regions[regions[:, 1] - regions[:, 0] >= _SHORTEST]


def _bridged(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join runs with little between them."""
    if not len(runs):
        return runs
    apart = runs[1:, 0] - runs[:-1, 1] > _BRIDGE
    return np.stack([runs[np.r_[True, apart], 0], runs[np.r_[apart, True], 1]], axis=1)


def cut(
    regions: NDArray[np.int64], change: NDArray[np.float32], origin: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    """Cut regions where the voice changes, and evenly where they are still long.

    Parameters
    ----------
    regions : numpy.ndarray [shape=(regions, 2)]
        First frame and the one behind the last.
    change : numpy.ndarray [shape=(frames,)]
        How much the voice changes at each frame.
    origin : int, default 0
        The number of the first of these frames.

    Returns
    -------
    pieces : numpy.ndarray [shape=(pieces, 2)]
        First frame and the one behind the last.
    change : numpy.ndarray [shape=(pieces,)]
        How much the voice changes at the beginning of each: 1 after a silence, 0 at an even cut.
    """
    pieces: list[tuple[int, int]] = []
    strength: list[float] = []
    for start, end in regions:
        edges, heights = [int(start)], [1.0]
        runs = runs_of(change[start:end] >= _CHANGE) + start
        for peak in [*(int(first + change[first:last].argmax()) for first, last in runs), int(end)]:
            while peak - edges[-1] > _STRETCH + _SHORTEST:
                edges.append(edges[-1] + _STRETCH)
                heights.append(_CHANGE)
            if peak - edges[-1] >= _SHORTEST and end - peak >= _SHORTEST:
                edges.append(peak)
                heights.append(float(change[peak]))
        for left, right, height in zip(edges, [*edges[1:], int(end)], heights, strict=True):
            parts = -(-(right - left) // LONGEST)
            bounds = np.linspace(origin + left, origin + right, parts + 1).round().astype(int)
            pieces.extend(pairwise(bounds.tolist()))
            strength.extend([height] + [0.0] * (parts - 1))
    return np.array(pieces, np.int32).reshape(-1, 2), np.array(strength, np.float16)


def listening_spans(pieces: NDArray[np.int32], change: NDArray[np.float16]) -> NDArray[np.int32]:
    """Widen each piece to 1 s where its neighbours are of the same voice: more to hear makes a better voiceprint."""
    spans = pieces.copy()
    starts = np.flatnonzero(change >= _CHANGE)
    for first, last in pairwise([*starts.tolist(), len(pieces)]):
        left, right = pieces[first, 0], pieces[last - 1, 1]
        inside = slice(first, last)
        missing = np.maximum(LONGEST - (pieces[inside, 1] - pieces[inside, 0]), 0)
        low = np.maximum(pieces[inside, 0] - missing // 2, left)
        high = np.minimum(np.maximum(low + LONGEST, pieces[inside, 1]), right)
        spans[inside, 0] = np.maximum(np.minimum(low, high - LONGEST), left)
        spans[inside, 1] = high
    return spans


class Cutter:
    """The pieces of a recording that grows.

    Attributes
    ----------
    settled : int
        The frame before which nothing that follows can change a piece.
    """

    def __init__(self) -> None:
        self.settled: int = 0
        self._speech, self._change = np.zeros(0, np.float32), np.zeros(0, np.float32)  # from `settled` on
        self._strength: np.float16 | None = None  # of the change at `settled`, where that lies within speech

    def feed(
        self, speech: NDArray[np.float32], change: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.int32]]:
        """Take in the next frames; give the next pieces that are settled, as `rest` does."""
        pieces, strength, spans = self.rest(speech, change)
        self._speech = np.concatenate([self._speech, speech])
        self._change = np.concatenate([self._change, change])
        done, self._strength = self._find_settled()
        self._speech, self._change = self._speech[done:], self._change[done:]
        self.settled += done
        count = np.searchsorted(pieces[:, 0], self.settled)
        return pieces[:count], strength[:count], spans[:count]

    def rest(
        self, speech: NDArray[np.float32], change: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.int32]]:
        """Give the pieces after the settled ones, what changes with each, and where to listen to it.

        As if the recording ended with these frames, which are not kept.
        """
        speech, change = np.concatenate([self._speech, speech]), np.concatenate([self._change, change])
        pieces, strength = cut(speech_regions(self._known(speech)), change, self.settled)
        if self._strength is not None:
            strength[0] = self._strength
        return pieces, strength, listening_spans(pieces, strength)

    def _known(self, speech: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mark speech where what came before has shown that it goes on."""
        if self._strength is None:
            return speech
        return np.concatenate([np.ones(_SHORTEST, np.float32), speech[_SHORTEST:]])

    def _find_settled(self) -> tuple[int, np.float16 | None]:
        """Find the last edge that is sure; its strength, where speech goes on there."""
        speech, end = self._known(self._speech), len(self._speech)
        runs = runs_of(speech >= OFFSET)
        loud = np.array([(speech[start:stop] >= ONSET).any() for start, stop in runs], bool)
        regions = _bridged(runs[loud | (runs[:, 1] == end)])  # what is quiet so far may become loud
        if not len(regions) or regions[-1, 1] + _BRIDGE < end:
            return end, None
        start = int(regions[-1, 0])
        sure = max([start, *runs[loud, 1].tolist()])  # speech goes on until there at least
        rising = runs_of(self._change[:sure] >= _CHANGE)
        if len(rising) and rising[-1, 1] == sure:
            sure = max(int(rising[-1, 0]), start)  # its peak may lie ahead
        pieces, strength = cut(np.array([[start, sure]]), self._change)
        edges = np.flatnonzero(strength >= _CHANGE)
        if len(edges) > 1:
            return int(pieces[edges[-1], 0]), strength[edges[-1]]
        return start, self._strength if start == 0 else None
