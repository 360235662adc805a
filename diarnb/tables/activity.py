"""Who speaks when, in tables of turns: the times at which that changes, who is active between them, and who is whom.

Arrays only; times in seconds. Nothing here knows of pictures, so that scoring needs no matplotlib.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that can stand for a time."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def list_speakers(table: pd.DataFrame) -> list[str]:
    """Return the speakers in the order in which they come."""
    return list(dict.fromkeys(table["speaker"]))


def match_one_to_one(worth: NDArray[Any], allowed: Masks | None = None) -> dict[int, int]:
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
    from scipy.optimize import linear_sum_assignment  # a third of a second that a first answer need not pay

    allowed = worth > 0 if allowed is None else allowed
    pairs = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return {int(row): int(column) for row, column in pairs if allowed[row, column]}


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


def find_edges(*tables: pd.DataFrame, also: Iterable[float] = ()) -> Floats:
    """Return all times at which anybody begins or ends, and those of `also`, in order."""
    return np.unique(np.concatenate([*(table[["start", "end"]].to_numpy().ravel() for table in tables), [*also]]))


def count_active(starts: NDArray[Any], ends: NDArray[Any], edges: Floats) -> Integers:
    """Count the stretches that cover the time between each edge and the next; all their bounds are edges."""
    return _count(np.searchsorted(edges, starts), np.searchsorted(edges, ends), len(edges))[:-1]


def mark_active(table: pd.DataFrame, speakers: list[str], edges: Floats) -> Masks:
    """Return who speaks (rows) between each edge and the next (columns)."""
    active = np.zeros((len(speakers), max(len(edges) - 1, 0)), dtype=np.bool_)
    who = pd.Index(speakers).get_indexer(pd.Index(table["speaker"]))
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    for number in np.unique(who[who >= 0]):
        active[number] = count_active(starts[who == number], ends[who == number], edges) > 0
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


def sweep(starts: NDArray[Any], ends: NDArray[Any], group: NDArray[Any]) -> Sweep:
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


def merge_turns(table: pd.DataFrame, keys: list[str], gap: float) -> pd.DataFrame:
    """Merge turns that are equal in `keys` where the pause between them is at most `gap` seconds.

    Parameters
    ----------
    table : pandas.DataFrame
        With start and end; turns that overlap are merged too, with a negative gap only those that overlap by as much.
    keys : list of str
    gap : float

    Returns
    -------
    pandas.DataFrame
        By keys and start; of other columns the first turn's.
    """
    table = table.sort_values([*keys, "start", "end"], ignore_index=True)
    groups = [table[key] for key in keys]
    until = table["end"].groupby(groups, sort=False).cummax().groupby(groups, sort=False).shift()
    first = ~(table["start"] <= until + gap)
    merged = table[first].reset_index(drop=True)
    merged["end"] = table.groupby(first.cumsum())["end"].max().to_numpy()
    return merged


def _count(first: Integers, last: Integers, size: int) -> Integers:
    """Count what has begun and not ended by each of `size` places."""
    return np.cumsum(np.bincount(first, minlength=size) - np.bincount(last, minlength=size))
