"""What follows from corrections: who speaks in the other turns, when a person has said who speaks in some.

The pieces of speech in a certain turn must be its speaker's, and so cannot be another's; all others are weighed anew
against the voices that follow. How many speakers there are, and who they are, is left as the turns have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.engines.local.clustering import settle
from diarnb.engines.local.decoding import comparable, memberships
from diarnb.engines.local.segmentation import seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from diarnb.engines.local.evidence import Heard


def reconsider(heard: Heard, turns: pd.DataFrame, wrong: Mapping[int, Collection[str]]) -> pd.DataFrame:
    """Say of one channel how likely each speaker is in each turn; `base.Reconsiderer` documents it."""
    names = list(dict.fromkeys(turns["speaker"]))
    scores = pd.DataFrame(np.nan, turns.index, names, dtype=float)
    owner = _owners(heard.pieces, turns)
    owned = np.flatnonzero(owner >= 0)
    if not len(owned):
        return scores
    guess = np.full(len(owner), -1, np.int64)
    guess[owned] = turns["speaker"].map(names.index).to_numpy(np.int64)[owner[owned]]
    sure = owned[turns["certain"].to_numpy(bool)[owner[owned]]]
    voices, trusted, alike = comparable(heard, 1)
    taken = np.union1d(trusted, sure)  # what is certain counts, however little is heard of it
    possible = np.ones((len(owner), len(names)), bool)
    possible[sure] = guess[sure, None] == np.arange(len(names))
    for place, turn in enumerate(turns.index):
        for name in set(wrong.get(turn, ())) & set(names):
            possible[owner == place, names.index(name)] = False

    labels = np.full(len(owner), -1, np.int64)
    there, first, among = _only(guess[taken], possible[taken])
    labels[taken] = there[settle(voices[taken], heard.weights[taken], alike, first, among)]
    there, labels, among = _only(labels, possible)
    share = memberships(heard.pieces, heard.change.astype(np.float32), voices, heard.weights, labels, among)

    length = heard.pieces[owned, 1] - heard.pieces[owned, 0]
    sums = np.zeros((len(turns), len(there)))
    np.add.at(sums, owner[owned], length[:, None] * share[owned])
    known = np.flatnonzero(sums.any(axis=1))
    scores.iloc[known] = 0.0
    scores.iloc[known, there] = 100 * sums[known] / sums[known].sum(axis=1, keepdims=True)
    return scores


def _owners(pieces: NDArray[np.int32], turns: pd.DataFrame) -> NDArray[np.int64]:
    """Give the place of the turn that each piece lies in, -1 where none does or several speakers' do."""
    middle = seconds(pieces.mean(axis=1))
    owner = np.full(len(pieces), -1, np.int64)
    shared = np.zeros(len(pieces), bool)
    spans = np.searchsorted(middle, turns[["start", "end"]].to_numpy())
    speakers = turns["speaker"].to_numpy()
    for place, (begin, end) in enumerate(spans):
        before = owner[begin:end]
        shared[begin:end] |= (before >= 0) & (speakers[before] != speakers[place])
        owner[begin:end] = place
    return np.where(shared, -1, owner)


def _only(
    labels: NDArray[np.int64], possible: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Leave out speakers who have no piece: give who is left, and labels and what is possible among them."""
    there, numbers = np.unique(labels, return_inverse=True)
    if there[0] < 0:
        there, numbers = there[1:], numbers - 1
    among = possible[:, there]
    return there, numbers, among | ~among.any(axis=1, keepdims=True)
