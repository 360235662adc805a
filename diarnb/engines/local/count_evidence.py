"""Why there are as many speakers as there are: other counts beside the one that was decided on.

Two things decide (`clustering`): variational inference empties speakers that explain too little, and the closest of
those that remain are merged while their separation is below a limit. Where that leaves many, it is done once more with
less regularisation, along a Markov chain in time; in a long recording it is done block by block.
Both are shown here for every count: downwards by merging the speakers that were found, the closest first, and upwards
by asking for more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diarnb.engines.local.clustering import cluster_in_blocks, count_supported, merge_stepwise
from diarnb.engines.local.decoding import decide, embed_reliable
from diarnb.engines.local.segmentation import RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diarnb.engines.local.clustering import EmbeddedSegments
    from diarnb.engines.local.decoding import Decision
    from diarnb.engines.local.evidence import ChannelEvidence

_MORE, _AT_LEAST = 4, 8  # counts beyond the one that was found, and how many there are in any case


class CountRow(NamedTuple):
    """A row of what `diarnb.metrics.count_evidence` documents; speakers are numbers, -1 is nobody."""

    k: int
    score: float
    kept: int
    speaker: int
    other: int
    smallest: float
    chosen: bool


def weigh_counts(evidence: ChannelEvidence, low: int, high: int | None, threshold: float | None) -> list[CountRow]:
    """Return a row for each count of one channel's speakers; `decide` finds the chosen one, given the same."""
    decision = decide(evidence, low, high, threshold)
    found = decision.speakers
    if not found:
        return []
    reliable, taken = embed_reliable(evidence, low)
    heard = decision.path[taken] >= 0
    taken = taken[heard]
    seconds = (evidence.segments[taken, 1] - evidence.segments[taken, 0]) * RESOLUTION
    speaker = _label_segments(decision, taken)
    segments = _Labelled(reliable.take(np.flatnonzero(heard)), seconds, speaker, threshold)
    more = range(found + 1, min(max(found + _MORE, _AT_LEAST), len(taken)) + 1)
    rows = [*_merge(segments), *(_split(segments, count) for count in more)]
    return sorted(row._replace(chosen=row.k == found) for row in rows)


@dataclass(frozen=True)
class _Labelled:
    """The segments with reliable embeddings, and the speaker of each."""

    embedded: EmbeddedSegments
    seconds: NDArray[np.float64]
    speaker: NDArray[np.int64]
    threshold: float | None

    def merge(self, labels: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.float64], int, int]]:
        """Merge clusters step by step, as `merge_stepwise` does."""
        return merge_stepwise(self.embedded, labels, self.threshold)

    def row(self, labels: NDArray[np.int64], score: NDArray[np.float64], one: int, other: int) -> CountRow:
        """Return the row of a clustering and of two of its speakers, with the scores of `merge_stepwise`."""
        there = count_supported(self.embedded, labels)
        names, smallest = self.names(labels), float(np.bincount(labels, self.seconds).min())
        least = max(float(score[one, other]), 0.0)
        return CountRow(len(score), least, there, int(names[one]), int(names[other]), smallest, chosen=False)

    def names(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Name each cluster by the speaker who says most in it."""
        said = np.zeros((labels.max() + 1, self.speaker.max() + 1))
        np.add.at(said, (labels, self.speaker), self.seconds)
        names: NDArray[np.int64] = said.argmax(1)
        return names


def _label_segments(decision: Decision, taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the speaker of the segments taken; whoever is first in none gets the likeliest that can be spared.

    There are enough: each speaker began as a cluster of some of these segments.
    """
    speaker = decision.path[taken]
    for lost in np.setdiff1d(np.arange(decision.speakers), speaker):
        spare = np.bincount(speaker)[speaker] > 1
        speaker[np.where(spare, decision.posterior[taken, lost], -1).argmax()] = lost
    return speaker


def _merge(segments: _Labelled) -> Iterator[CountRow]:
    """Yield the row of each count from the speakers that were found down to one."""
    labels = segments.speaker.copy()
    for score, one, other in segments.merge(segments.speaker):
        yield segments.row(labels, score, one, other)
        labels[labels == other] = one
        labels[labels > other] -= 1
    yield CountRow(1, np.nan, 1, -1, -1, float(segments.seconds.sum()), chosen=False)


def _split(segments: _Labelled, count: int) -> CountRow:
    """Return the row of a greater count: of the clusters of one speaker, the two least separate."""
    labels = cluster_in_blocks(segments.embedded, count, count)
    score, _, _ = next(segments.merge(labels))
    names = segments.names(labels)
    rivals = np.where(names[:, None] == names, score, np.inf)  # the diagonal is infinite already
    one, other = np.unravel_index(int(rivals.argmin()), rivals.shape)
    return segments.row(labels, score, int(one), int(other))
