"""Tables as the few bytes that a page draws from, and where two tables differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.tables.activity import find_edges, mark_active, match_speakers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TICKS = 10_000
"""Times travel as whole numbers of this part of a second, in 4 bytes: 119 hours at most."""

UNKNOWN = 255
"""The confidence of a turn of which none is known."""

KINDS = ("missed", "false alarm", "confusion")
"""How two tables can differ, in the order of the numbers that travel."""

_LONGEST_TEXT = 2000  # characters of one word, or of one turn's text


def pack_turns(ids: Sequence[int], turns: pd.DataFrame, lanes: Sequence[int]) -> bytes:
    """Pack turns: ids (int32), starts, ends (uint32), lanes (uint16), confidences (uint8), one column after the other.

    Examples
    --------
    >>> len(pack_turns([0], pd.DataFrame({"start": [0.5], "end": [2.0]}), [0]))
    15
    """
    confidence = np.full(len(turns), UNKNOWN)
    if "confidence" in turns:
        given = pd.to_numeric(turns["confidence"], errors="coerce").to_numpy(np.float64)
        confidence = np.where(np.isnan(given), UNKNOWN, np.rint(given.clip(0, 100)))
    return b"".join(
        [
            np.asarray(ids, "<i4").tobytes(),
            *(np.rint(turns[name].to_numpy() * TICKS).astype("<u4").tobytes() for name in ("start", "end")),
            np.asarray(lanes, "<u2").tobytes(),
            confidence.astype("u1").tobytes(),
        ]
    )


def differences(hypothesis: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Find where a table says something else than the reference.

    Parameters
    ----------
    hypothesis, reference : pandas.DataFrame
        Checked tables of turns. Names that only one of them knows are paired by the time that they share.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds and ``kind``: fewer speak than should ("missed"), more ("false alarm"), or as many but
        others ("confusion"); sorted by time, neighbours of one kind joined.

    Examples
    --------
    >>> table = pd.DataFrame({"start": [0.0], "end": [4.0], "speaker": ["A"]})
    >>> differences(table, table.assign(end=5.0))
       start  end    kind
    0    4.0  5.0  missed
    """
    edges = find_edges(hypothesis, reference)
    twins = match_speakers(hypothesis, reference)
    true = reference.assign(speaker=[twins.get(name, name) for name in reference["speaker"]])
    names = list(dict.fromkeys([*hypothesis["speaker"], *true["speaker"]]))
    said, should = mark_active(hypothesis, names, edges), mark_active(true, names, edges)
    surplus = said.sum(axis=0) - should.sum(axis=0)
    kind = np.select([surplus < 0, surplus > 0, (said != should).any(axis=0)], [0, 1, 2], -1)
    first = np.flatnonzero(np.diff(kind, prepend=-1) != 0)  # of each run of equal kinds
    beyond = np.append(first[1:], len(kind))
    found = kind[first] >= 0
    return pd.DataFrame(
        {
            "start": edges[first[found]],
            "end": edges[beyond[found]],
            "kind": pd.Series([KINDS[number] for number in kind[first[found]]], dtype=str),
        }
    )


def pack_differences(table: pd.DataFrame) -> bytes:
    """Pack `differences` as turns without ids, whose lane is their kind."""
    return pack_turns(np.zeros(len(table), int).tolist(), table, [KINDS.index(kind) for kind in table["kind"]])


class Spoken:
    """Words with their times, or where there are none the texts of turns, for the moments that a page shows.

    Parameters
    ----------
    table : pandas.DataFrame
        ``start``, ``end`` in seconds, and ``text`` or ``word``.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        table = table.sort_values("start", kind="stable")
        column = "text" if "text" in table else "word"
        self._starts: NDArray[np.float64] = table["start"].to_numpy(np.float64)
        self._ends: NDArray[np.float64] = table["end"].to_numpy(np.float64)
        self._texts = table[column].fillna("").astype(str).tolist()

    def __len__(self) -> int:
        return len(self._texts)

    def between(self, first: float, last: float) -> list[list[object]]:
        """Return start, end and text of what begins within these seconds."""
        low, high = np.searchsorted(self._starts, [first, last])
        return [
            [round(float(self._starts[at]), 3), round(float(self._ends[at]), 3), visible(text, limit=_LONGEST_TEXT)]
            for at in range(low, high)
            if (text := self._texts[at]).strip()
        ]
