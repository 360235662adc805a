"""Who speaks when, in tables of turns: the times at which that changes, who is active between them, and who is whom.

Arrays only; times in seconds. Nothing here knows of pictures, so that scoring needs no matplotlib.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

ERRORS = ("missed", "false alarm", "confusion")
"""How a table can differ from the true one."""

_ROUNDING = 1e-7  # seconds; what sums of times may be off


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that can stand for a time."""
    return isinstance(value, Real) and not isinstance(value, bool | np.timedelta64) and math.isfinite(value)


def list_speakers(table: pd.DataFrame) -> list[str]:
    """Return the speakers in the order in which they come."""
    return list(dict.fromkeys(table["speaker"]))


def match_one_to_one(worth: Floats | Integers, allowed: Masks | None = None) -> dict[int, int]:
    """Match rows with columns one to one, so that they are worth most in all (the Hungarian method).

    Parameters
    ----------
    worth : numpy.ndarray, shape (rows, columns)
    allowed : numpy.ndarray, shape (rows, columns), bool, optional
        Which pairs may be. Default: those that are worth more than 0.

    Returns
    -------
    dict of int to int
        From row to column; without what has no partner.

    Examples
    --------
    >>> match_one_to_one(np.array([[3, 2], [2, 0]]))
    {0: 1, 1: 0}
    """
    allowed = worth > 0 if allowed is None else allowed
    turned = worth.shape[0] > worth.shape[1]
    assigned = enumerate(_assign(-worth.T.astype(float) if turned else -worth.astype(float)))
    pairs = sorted((column, row) if turned else (row, column) for row, column in assigned)
    return {row: column for row, column in pairs if allowed[row, column]}


def _assign(cost: Floats) -> list[int]:
    """Return a column for each row, of which there are no more, so that the sum of their costs is least.

    References
    ----------
    Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic
    Systems 52, 2016: shortest augmenting paths.
    """
    rows, columns = cost.shape
    above, left = np.zeros(columns), np.zeros(rows)  # dual variables
    row_of, column_of = np.full(columns, -1), np.full(rows, -1)
    for begin in range(rows):
        shortest, before = np.full(columns, np.inf), np.full(columns, -1)
        open_ = np.ones(columns, bool)
        row, length, visited = begin, 0.0, []
        while True:
            visited.append(row)
            reduced = length + cost[row] - left[row] - above
            better = open_ & (reduced < shortest)
            shortest[better], before[better] = reduced[better], row
            length = shortest[open_].min()
            nearest = np.flatnonzero(open_ & (shortest == length))
            free = nearest[row_of[nearest] < 0]
            column = int(free[0] if len(free) else nearest[-1])
            open_[column] = False
            if len(free):
                break
            row = int(row_of[column])
        left[begin] += length
        for each in visited[1:]:
            left[each] += length - shortest[column_of[each]]
        above[~open_] -= length - shortest[~open_]
        while True:
            row = int(before[column])
            row_of[column] = row
            column, column_of[row] = int(column_of[row]), column
            if row == begin:
                break
    found: list[int] = column_of.tolist()
    return found


def match_speakers(hypothesis: pd.DataFrame, reference: pd.DataFrame) -> dict[str, str]:
    """Match the names that only one of the tables knows by the time that they share: from the reference's to the other.

    Parameters
    ----------
    hypothesis, reference : pandas.DataFrame
        Checked tables of one recording.

    Returns
    -------
    dict of str to str
    """
    known, true = list_speakers(hypothesis), list_speakers(reference)
    ours, theirs = [name for name in known if name not in true], [name for name in true if name not in known]
    edges = find_edges(hypothesis, reference)
    shared = (mark_active(reference, theirs, edges) * np.diff(edges)) @ mark_active(hypothesis, ours, edges).T
    return {theirs[row]: ours[column] for row, column in match_one_to_one(shared).items()}


def find_errors(hypothesis: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
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
    >>> find_errors(table, table.assign(end=5.0))
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
            "kind": pd.Series([ERRORS[number] for number in kind[first[found]]], dtype=str),
        }
    )


def find_edges(*tables: pd.DataFrame, also: Iterable[float] = ()) -> Floats:
    """Return all times at which anybody begins or ends, and those of `also`, in order."""
    times = [table[side].to_numpy(dtype=np.float64) for table in tables for side in ("start", "end")]
    return np.unique(np.concatenate([*times, np.asarray([*also], dtype=np.float64)]))


def count_active(starts: Floats, ends: Floats, edges: Floats) -> Integers:
    """Count the stretches that cover the time between each edge and the next; all their bounds are edges."""
    return _count(np.searchsorted(edges, starts), np.searchsorted(edges, ends), len(edges))[:-1]


def mark_active(table: pd.DataFrame, speakers: list[str], edges: Floats) -> Masks:
    """Return who speaks (rows) between each edge and the next (columns)."""
    who = pd.Index(speakers).get_indexer(pd.Index(table["speaker"]))
    return mark_spans(table["start"].to_numpy(), table["end"].to_numpy(), who, len(speakers), edges)


def mark_spans(starts: Floats, ends: Floats, who: Integers, count: int, edges: Floats) -> Masks:
    """Return of each of so many speakers (rows) whether they speak between each edge and the next (columns).

    Parameters
    ----------
    starts, ends : numpy.ndarray, shape (n,)
        Seconds, all of them edges.
    who : numpy.ndarray, shape (n,), int
        Whose stretch each is, from 0; of those below 0 nothing is marked.
    count : int
        How many speakers there are.
    edges : numpy.ndarray
        Seconds, in order.
    """
    known, size = who >= 0, len(edges)
    row = who[known].astype(np.int64) * size
    first, last = (row + np.searchsorted(edges, times[known]) for times in (starts, ends))
    active: Masks = _count(first, last, count * size).reshape(count, size)[:, : max(size - 1, 0)] > 0
    return active


class Sweep(NamedTuple):
    """What changes when, group after group (a recording, a channel), each by time.

    Attributes
    ----------
    times : numpy.ndarray, shape (n,)
        Seconds at which anything begins or ends.
    group : numpy.ndarray, shape (n,), int
        The group of each time.
    active : numpy.ndarray, shape (n,), int
        How many stretches go on from each time to the next.
    first, last : numpy.ndarray, int
        Of each stretch at which of the times it begins, and at which it ends.
    """

    times: Floats
    group: Integers
    active: Integers
    first: Integers
    last: Integers

    def seconds(self, least: int = 1) -> Floats:
        """Return the seconds from each time to the next during which at least so many are active, else 0."""
        return np.diff(self.times, append=self.times[-1:]) * (self.active >= least)


def sweep(starts: Floats, ends: Floats, group: NDArray[np.integer]) -> Sweep:
    """Sweep through stretches of time, and count how many go on.

    Parameters
    ----------
    starts, ends : numpy.ndarray
        Seconds. A stretch without length makes a time at which nothing changes.
    group : numpy.ndarray, int
        Stretches of different groups never meet.

    Returns
    -------
    Sweep

    Examples
    --------
    >>> sweep(np.array([0.0, 3.0]), np.array([4.0, 6.0]), np.array([0, 0])).active
    array([1, 2, 1, 0])
    """
    times, groups = np.concatenate([starts, ends]), np.tile(group, 2)
    order = np.lexsort([times, groups])
    new = (np.diff(times[order], prepend=np.nan) != 0) | (np.diff(groups[order], prepend=-1) != 0)
    place = np.empty(len(times), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    first, last = place[: len(starts)], place[len(starts) :]
    return Sweep(times[order][new], groups[order][new], _count(first, last, int(new.sum())), first, last)


def merge_spans(start: Floats, end: Floats, group: NDArray[np.integer], gap: float) -> tuple[Floats, Floats, Integers]:
    """Merge stretches of the same group where the pause between them is at most `gap` seconds.

    Parameters
    ----------
    start, end : numpy.ndarray
        Seconds, to a millionth; what overlaps is merged too, with a negative gap only what overlaps by as much.
    group : numpy.ndarray, int
        From 0.
    gap : float

    Returns
    -------
    start, end : numpy.ndarray
        Of what was merged, by group and start.
    first : numpy.ndarray, int
        Of each the first stretch in it.

    Examples
    --------
    >>> merge_spans(np.array([0.0, 1.5, 4.0]), np.array([1.0, 2.0, 5.0]), np.array([0, 0, 0]), 0.5)[1]
    array([2., 5.])
    """
    order = np.lexsort([end, start, group])
    shift = group[order] * (end.max(initial=0.0) + abs(gap) + 1.0)  # one group behind the other on one axis of time
    reached = np.maximum.accumulate(end[order] + shift)
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = start[order][1:] + shift[1:] > reached[:-1] + gap + _ROUNDING
    firsts = np.flatnonzero(new)
    ends = np.maximum.reduceat(end[order], firsts) if len(firsts) else end
    return start[order][firsts], ends, order[firsts]


def _count(first: Integers, last: Integers, size: int) -> Integers:
    """Count what has begun and not ended by each of `size` places."""
    return np.cumsum(np.bincount(first, minlength=size) - np.bincount(last, minlength=size))
