"""Who speaks when, in tables of turns: the times at which that changes, who is active between them, and who is whom.

Arrays only; times in seconds. Nothing here knows of pictures, so that scoring needs no matplotlib.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Iterable

Floats = NDArray[np.float64]


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a number that can stand for a time."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def first_seen(table: pd.DataFrame) -> list[str]:
    """Give the speakers in the order in which they come."""
    return list(dict.fromkeys(table["speaker"]))


def twins_of(hypothesis: pd.DataFrame, reference: pd.DataFrame) -> dict[str, str]:
    """Pair the names that only one of the tables knows, by the time that they share."""
    known, true = first_seen(hypothesis), first_seen(reference)
    ours, theirs = [name for name in known if name not in true], [name for name in true if name not in known]
    edges = edges_of(hypothesis, reference)
    shared = (active_of(reference, theirs, edges) * np.diff(edges)) @ active_of(hypothesis, ours, edges).T
    pairs = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
    return {theirs[row]: ours[column] for row, column in pairs if shared[row, column] > 0}


def edges_of(*tables: pd.DataFrame, also: Iterable[float] = ()) -> Floats:
    """Give all times at which anybody begins or ends, and those of `also`, in order."""
    return np.unique(np.concatenate([*(table[["start", "end"]].to_numpy().ravel() for table in tables), [*also]]))


def active_of(table: pd.DataFrame, speakers: list[str], edges: Floats) -> NDArray[np.bool_]:
    """Say who speaks (rows) between each edge and the next (columns)."""
    change = np.zeros((len(speakers), len(edges)), dtype=np.int64)
    wanted = table[table["speaker"].isin(speakers)]
    who = pd.Index(speakers).get_indexer(pd.Index(wanted["speaker"]))
    np.add.at(change, (who, np.searchsorted(edges, wanted["start"])), 1)
    np.add.at(change, (who, np.searchsorted(edges, wanted["end"])), -1)
    return change.cumsum(axis=1)[:, :-1] > 0
