"""Propagate corrections: rescore the speakers of all turns, when a person has said who speaks in some.

The segments of a certain turn must have its speaker, and cannot have another; all others are clustered anew under these
constraints. How many speakers there are, and who they are, is left as the turns have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.engines.local.clustering import cluster_constrained
from diarnb.engines.local.decoding import compute_posteriors, embed_all, embed_reliable
from diarnb.engines.local.segmentation import seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from diarnb.engines.local.evidence import ChannelEvidence


def reconsider(evidence: ChannelEvidence, turns: pd.DataFrame, wrong: Mapping[int, Collection[str]]) -> pd.DataFrame:
    """Score each speaker in each turn of one channel; `base.Reconsiderer` documents it."""
    names = list(dict.fromkeys(turns["speaker"]))
    scores = pd.DataFrame(np.nan, turns.index, names, dtype=float)
    owner = _find_turns(evidence.segments, turns)
    owned = np.flatnonzero(owner >= 0)
    if not len(owned):
        return scores
    guess = np.full(len(owner), -1, np.int64)
    guess[owned] = turns["speaker"].map(names.index).to_numpy(np.int64)[owner[owned]]
    certain = owned[turns["certain"].to_numpy(bool)[owner[owned]]]
    reliable, taken = embed_reliable(evidence, 1)
    embedded = embed_all(evidence, reliable, taken)
    taken = np.union1d(taken, certain)  # what is certain counts, however short
    possible = np.ones((len(owner), len(names)), bool)
    possible[certain] = guess[certain, None] == np.arange(len(names))
    for place, turn in enumerate(turns.index):
        for name in set(wrong.get(turn, ())) & set(names):
            possible[owner == place, names.index(name)] = False

    labels = np.full(len(owner), -1, np.int64)
    there, first, among = _drop_absent(guess[taken], possible[taken])
    labels[taken] = there[cluster_constrained(embedded.take(taken), first, among)]
    there, labels, among = _drop_absent(labels, possible)
    share = compute_posteriors(evidence, embedded, labels, among)

    length = evidence.segments[owned, 1] - evidence.segments[owned, 0]
    sums = np.zeros((len(turns), len(there)))
    np.add.at(sums, owner[owned], length[:, None] * share[owned])
    known = np.flatnonzero(sums.any(axis=1))
    scores.iloc[known] = 0.0
    scores.iloc[known, there] = 100 * sums[known] / sums[known].sum(axis=1, keepdims=True)
    return scores


def _find_turns(segments: NDArray[np.int32], turns: pd.DataFrame) -> NDArray[np.int64]:
    """Return the place of the turn that each segment lies in, -1 where none does or several speakers' do."""
    middle = seconds(segments.mean(axis=1))
    owner = np.full(len(segments), -1, np.int64)
    shared = np.zeros(len(segments), bool)
    spans = np.searchsorted(middle, turns[["start", "end"]].to_numpy())
    speakers = turns["speaker"].to_numpy()
    for place, (begin, end) in enumerate(spans):
        before = owner[begin:end]
        shared[begin:end] |= (before >= 0) & (speakers[before] != speakers[place])
        owner[begin:end] = place
    return np.where(shared, -1, owner)


def _drop_absent(
    labels: NDArray[np.int64], possible: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Drop speakers without a segment; return who is left, and labels and constraints among them."""
    there, numbers = np.unique(labels, return_inverse=True)
    if there[0] < 0:
        there, numbers = there[1:], numbers - 1
    among = possible[:, there]
    return there, numbers, among | ~among.any(axis=1, keepdims=True)
