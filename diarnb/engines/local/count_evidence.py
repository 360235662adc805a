"""Why there are as many speakers as there are: other counts beside the one that was decided on.

Two things decide (`clustering`): the evidence takes away voices that explain too little, and of those that are left
the closest become one while they are not far enough apart. Both are told here for every count: downwards by merging
the speakers that were found, the closest first, and upwards by asking for more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diarnb.engines.local.clustering import cluster, kept, limit, merges
from diarnb.engines.local.decoding import comparable, decide
from diarnb.engines.local.segmentation import RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diarnb.engines.local.decoding import Decision
    from diarnb.engines.local.evidence import Heard

_MORE, _AT_LEAST = 4, 8  # counts beyond the one that was found, and how many there are in any case


class Count(NamedTuple):
    """A row of what `diarnb.metrics.count_evidence` documents; speakers are numbers, -1 is nobody."""

    k: int
    score: float
    kept: int
    speaker: int
    other: int
    smallest: float
    chosen: bool


def counts(heard: Heard, low: int, high: int | None, threshold: float | None) -> list[Count]:
    """Tell of one channel why there are as many speakers as `decide` finds when it is given the same."""
    decision = decide(heard, low, high, threshold)
    found = decision.speakers
    if not found:
        return []
    voices, taken, alike = comparable(heard, low)
    seconds = (heard.pieces[taken, 1] - heard.pieces[taken, 0]) * RESOLUTION
    speaker = _speakers(decision, heard.pieces, taken)
    pieces = _Pieces(voices[taken], heard.weights[taken], seconds, speaker, alike, threshold)
    more = range(found + 1, min(max(found + _MORE, _AT_LEAST), len(taken)) + 1)
    rows = [*_merged(pieces), *(_split(pieces, count) for count in more)]
    return sorted(row._replace(chosen=row.k == found) for row in rows)


@dataclass(frozen=True)
class _Pieces:
    """The pieces of speech by which voices are told apart, and who speaks in each."""

    voices: NDArray[np.float32]
    weights: NDArray[np.float32]
    seconds: NDArray[np.float64]
    speaker: NDArray[np.int64]
    alike: float
    threshold: float | None

    def row(
        self, labels: NDArray[np.int64], apart: NDArray[np.float64], spread: NDArray[np.float64], one: int, other: int
    ) -> Count:
        """Tell of voices and two of them; the rest is what `clustering.merges` gives of these."""
        enough = limit(apart) if self.threshold is None else max(self.threshold, 1e-6) / spread[one, other]
        score = max(float(apart[one, other] / enough), 0.0)
        there = kept(self.voices, self.weights, self.alike, labels)
        names, smallest = self.names(labels), float(np.bincount(labels, self.seconds).min())
        return Count(len(apart), score, there, int(names[one]), int(names[other]), smallest, chosen=False)

    def names(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Name each voice by the speaker who says most in it."""
        said = np.zeros((labels.max() + 1, self.speaker.max() + 1))
        np.add.at(said, (labels, self.speaker), self.seconds)
        names: NDArray[np.int64] = said.argmax(1)
        return names


def _speakers(decision: Decision, pieces: NDArray[np.int32], taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say who speaks in the pieces taken; whoever has the floor in none of them gets the likeliest that can be spared.

    There are enough: each speaker began as a voice of some of these pieces.
    """
    speaker: NDArray[np.int64] = decision.first[pieces[taken, 0]].astype(np.int64)
    for lost in np.setdiff1d(np.arange(decision.speakers), speaker):
        spare = np.bincount(speaker)[speaker] > 1
        speaker[np.where(spare, decision.posterior[taken, lost], -1).argmax()] = lost
    return speaker


def _merged(pieces: _Pieces) -> Iterator[Count]:
    """Tell of each count from the speakers that were found down to one."""
    labels = pieces.speaker.copy()
    for apart, spread, one, other in merges(pieces.voices, pieces.speaker, pieces.alike):
        yield pieces.row(labels, apart, spread, one, other)
        labels[labels == other] = one
        labels[labels > other] -= 1
    yield Count(1, np.nan, 1, -1, -1, float(pieces.seconds.sum()), chosen=False)


def _split(pieces: _Pieces, count: int) -> Count:
    """Tell of more voices than speakers: of those that speak for the same one, which two are the closest."""
    labels = cluster(pieces.voices, pieces.weights, pieces.alike, count, count)
    apart, spread, _, _ = next(merges(pieces.voices, labels, pieces.alike))
    names = pieces.names(labels)
    rivals = np.where(names[:, None] == names, apart, np.inf)  # nobody is his own: `apart` has no diagonal
    one, other = np.unravel_index(int(rivals.argmin()), rivals.shape)
    return pieces.row(labels, apart, spread, int(one), int(other))
