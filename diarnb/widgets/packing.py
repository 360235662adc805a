"""Tables as the few bytes that a page draws from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.tables.activity import ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TICKS = 10_000
"""Times travel as whole numbers of this part of a second, in 4 bytes: 119 hours at most."""

UNKNOWN = 255
"""The confidence of a turn of which none is known."""

NOBODY = 65_535
"""The lane of words before anybody is known to speak."""

_LONGEST_PARAGRAPH = 80  # words
_MOST_HITS = 1000  # of a search
_LONGEST_TEXT = 2000  # characters of one word, or of one turn's text


def pack_turns(ids: Sequence[int], turns: pd.DataFrame, lanes: Sequence[int]) -> bytes:
    """Pack turns: their number, starts, ends (uint32), ids (int32), lanes (uint16), confidences (uint8), by columns.

    Ids are left out where they only count the turns.

    Examples
    --------
    >>> turn = pd.DataFrame({"start": [0.5], "end": [2.0]})
    >>> len(pack_turns([0], turn, [0])), len(pack_turns([3], turn, [0]))
    (15, 19)
    """
    confidence = np.full(len(turns), UNKNOWN)
    if "confidence" in turns:
        given = pd.to_numeric(turns["confidence"], errors="coerce").to_numpy(np.float64)
        confidence = np.where(np.isnan(given), UNKNOWN, np.rint(given.clip(0, 100)))
    return b"".join(
        [
            np.asarray([len(turns)], "<u4").tobytes(),
            *(np.rint(turns[name].to_numpy() * TICKS).astype("<u4").tobytes() for name in ("start", "end")),
            b"" if list(ids) == list(range(len(turns))) else np.asarray(ids, "<i4").tobytes(),
            np.asarray(lanes, "<u2").tobytes(),
            confidence.astype("u1").tobytes(),
        ]
    )


def pack_differences(table: pd.DataFrame) -> bytes:
    """Pack `find_errors` as turns without ids, whose lane is their kind."""
    return pack_turns(range(len(table)), table, [ERRORS.index(kind) for kind in table["kind"]])


class Spoken:
    """What is said, in paragraphs of one speaker, for the places that a page shows.

    Parameters
    ----------
    table : pandas.DataFrame
        ``start``, ``end`` in seconds, and ``text`` or ``word``; ``speaker`` where it is known.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.follow(table, {})

    def __len__(self) -> int:
        return len(self._texts)

    def follow(self, table: pd.DataFrame, lanes: Mapping[str, int]) -> None:
        """Take the words as they are now; `lanes` gives the lane of every speaker by name."""
        column = "text" if "text" in table else "word"
        table = table.sort_values("start", kind="stable")
        texts = table[column].fillna("").astype(str).str.strip()
        table, texts = table[texts != ""], texts[texts != ""]
        self._starts: NDArray[np.float64] = table["start"].to_numpy(np.float64)
        self._ends: NDArray[np.float64] = table["end"].to_numpy(np.float64)
        self._texts = [visible(text, limit=_LONGEST_TEXT) for text in texts]
        named = table["speaker"] if "speaker" in table else pd.Series(index=table.index, dtype=object)
        lane = named.map(lanes).ffill().fillna(NOBODY).to_numpy().astype(np.int64)
        self._first = _cut_paragraphs(lane)  # the word that each paragraph begins with
        self._lanes = lane[self._first]

    def pack(self) -> bytes:
        """Pack the paragraphs: starts (uint32), numbers of letters and lanes (uint16), one column after the other."""
        ends = np.append(self._first[1:], len(self))
        reach = np.concatenate([[0], np.cumsum([len(text) + 1 for text in self._texts])])
        letters = np.minimum(reach[ends] - reach[self._first], 65_535) if len(self) else np.zeros(0)
        starts = np.rint(self._starts[self._first] * TICKS)
        columns = ((starts, "<u4"), (letters, "<u2"), (self._lanes, "<u2"))
        return b"".join(values.astype(kind).tobytes() for values, kind in columns)

    def between(self, first: int, beyond: int) -> list[list[list[object]]]:
        """Return start, end and text of every word of these paragraphs."""
        edges = np.append(self._first, len(self))[first : beyond + 1]
        times = np.stack([self._starts, self._ends], axis=1).round(3).tolist()
        return [[[*times[at], self._texts[at]] for at in range(low, high)] for low, high in pairwise(edges.tolist())]

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Return where a text stands, whichever way it is written: paragraph, word in it, and number of words."""
        wanted = " ".join(text.casefold().split())
        folded = [each.casefold() for each in self._texts]
        reach = np.cumsum([0, *(len(each) + 1 for each in folded)])
        whole, place = " ".join(folded), -1
        hits: list[tuple[int, int, int]] = []
        while wanted and len(hits) < _MOST_HITS and (place := whole.find(wanted, place + 1)) >= 0:
            word = int(np.searchsorted(reach, place, side="right")) - 1
            last = int(np.searchsorted(reach, place + len(wanted) - 1, side="right")) - 1
            paragraph = int(np.searchsorted(self._first, word, side="right")) - 1
            hits.append((paragraph, word - int(self._first[paragraph]), last - word + 1))
        return hits


def _cut_paragraphs(lane: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where paragraphs begin: where the speaker changes, and now and then while one goes on."""
    changes = np.flatnonzero(np.diff(lane, prepend=-1))
    ends = np.append(changes, len(lane))[1:]
    parts = [np.arange(start, end, _LONGEST_PARAGRAPH) for start, end in zip(changes, ends, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *parts])
