"""Decode who speaks in every frame from segments and their embeddings, with posteriors."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.chains import compute_posterior, find_viterbi_path
from diarnb.engines.local.calibration import CALIBRATIONS
from diarnb.engines.local.clustering import (
    EmbeddedSegments,
    cluster,
    cluster_blocks,
    cluster_in_blocks,
    cut_blocks,
    estimate_within_similarity,
    join_penalties,
    merge_stepwise,
)
from diarnb.engines.local.segmentation import RESOLUTION
from diarnb.engines.local.segments import find_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb.engines.local.calibration import Calibration
    from diarnb.engines.local.evidence import ChannelEvidence


# Chosen on the TUNE half of the recordings that `benchmarks.accuracy` is run on.
_RELIABLE_SECONDS = 0.4  # of single-speaker speech; an embedding of less is clustered only where there is no better one
_LEAST_SPEAKER_SECONDS = 1.0  # of speech; a cluster with less is not a speaker
_SWITCH_PENALTY = 2.0  # log-probability of a change of speaker without a pause, negated
_PAUSE_SECONDS = 1.0  # time constant in which a pause takes that away
_SHORT_SECONDS = 0.5  # the log-likelihood of a shorter segment shrinks in proportion
_OVERLAP_THRESHOLD = 0.55  # probability of two speaking from which a second speaker is assigned
_LEAST_OVERLAP_FRAMES = 3
_LEAST_FRAMES = 6  # of a segment at the edge of a region of speech; fewer could become a turn that nobody hears
_NEIGHBOURHOOD_SECONDS = 30.0  # within which a second speaker is looked for
_IMPOSSIBLE_PENALTY = 300.0  # log-probability of what is excluded, negated: its exponential squared is still a number
_BLOCK_FRAMES, _BLOCK_SEGMENTS = 100_000, 256  # that large arrays are made in
_SHORT_RECORDING = 30.0  # seconds of speech from which embeddings tell one from two (`benchmarks.crops`)


@dataclass(frozen=True)
class Decision:
    """Who speaks when, on the frame grid.

    Attributes
    ----------
    first, second : numpy.ndarray [shape=(frames,)], int16
        The speaker, and the second one in overlap; -1 for nobody.
    segment : numpy.ndarray [shape=(frames,)], int32
        The segment that a frame of speech lies in or is nearest to; -1 for none.
    path : numpy.ndarray [shape=(segments,)], int64
        The speaker of each segment, -1 where they speak in no frame.
    posterior : numpy.ndarray [shape=(segments, speakers)], float64
        Probability that a segment is a speaker's.
    frames : numpy.ndarray [shape=(2, frames)], uint8
        Probability (255 is 1) of anybody and of two speaking.
    """

    first: NDArray[np.int16]
    second: NDArray[np.int16]
    segment: NDArray[np.int32]
    path: NDArray[np.int64]
    posterior: NDArray[np.float64]
    frames: NDArray[np.uint8]

    @property
    def speakers(self) -> int:
        """Number of speakers."""
        return int(self.posterior.shape[1])

    def active(self, speaker: int) -> NDArray[np.bool_]:
        """Return the frames in which a speaker speaks [shape=(frames,)]."""
        found: NDArray[np.bool_] = (self.first == speaker) | (self.second == speaker)
        return found

    def activation(self) -> NDArray[np.float32]:
        """Compute the probability that a speaker speaks [shape=(frames, speakers)], the one large array here."""
        found = np.zeros((len(self.first), self.speakers), np.float32)
        posterior, also = self.posterior.astype(np.float32), self._also().astype(np.float32)
        for start in range(0, len(found), _BLOCK_FRAMES):  # in blocks: hours of frames times dozens of speakers add up
            frames = start + np.flatnonzero(self.segment[start : start + _BLOCK_FRAMES] >= 0)
            speech, both = self._speech(frames)[:, None], self._both(frames)[:, None]
            found[frames] = speech * posterior[self.segment[frames]] + both * also[self.segment[frames]]
        return np.minimum(found, 1, out=found)

    def mean_activation(self, spans: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the mean of `activation` within each span of frames [shape=(spans, speakers)]."""
        # Between two edges of segments or spans nothing but `frames` changes.
        edges = np.unique(np.concatenate([[0], np.flatnonzero(np.diff(self.segment)) + 1, spans.ravel()]))
        edges = edges[edges < len(self.segment)]
        segment = self.segment[edges]
        sums = np.zeros((len(edges) + 1, self.speakers))
        if len(self.posterior):  # else nobody speaks anywhere
            speech, both = (
                np.where(segment >= 0, np.add.reduceat(each, edges, dtype=np.int64) / 255, 0)[:, None]
                for each in (self.frames[0], self.frames.min(0))  # with one speaker `_also` is 0
            )
            np.cumsum(speech * self.posterior[segment] + both * self._also()[segment], axis=0, out=sums[1:])
        start, end = np.searchsorted(edges, spans).T
        mean: NDArray[np.float64] = (sums[end] - sums[start]) / (spans[:, 1] - spans[:, 0])[:, None]
        return np.minimum(mean, 1)

    def certainty(self) -> NDArray[np.float32]:
        """Compute the probability that a frame is decided rightly [shape=(frames,)]."""
        found = 1 - self._speech(slice(None))
        frames = np.flatnonzero(self.segment >= 0)
        segment, one, other = self.segment[frames], self.first[frames], self.second[frames]
        both, odds = self._both(frames), self._odds()
        alone = (self._speech(frames) - both) * self.posterior[segment, one]
        pair = self.posterior[segment, one] * odds[segment, other] + self.posterior[segment, other] * odds[segment, one]
        found[frames] = np.where(other < 0, alone, both * pair)
        return np.clip(found, 0, 1, out=found)

    def _speech(self, frames: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return the probability that anybody speaks."""
        return np.divide(self.frames[0, frames], 255, dtype=np.float32)

    def _both(self, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the probability that two of the speakers speak; 0 where there is just one."""
        both: NDArray[np.float32] = np.divide(self.frames[:, frames].min(0), 255, dtype=np.float32)
        return both if self.speakers > 1 else np.zeros_like(both)

    def _odds(self) -> NDArray[np.float64]:
        odds: NDArray[np.float64] = self.posterior / np.maximum(1 - self.posterior, 1e-6)
        return odds

    def _also(self) -> NDArray[np.float64]:
        """Compute the probability of being second: drawn from the posterior without replacement of the first."""
        odds = self._odds()
        also: NDArray[np.float64] = self.posterior * (odds.sum(1, keepdims=True) - odds)
        return also


def decode(
    evidence: ChannelEvidence,
    cosine: NDArray[np.float32],
    labels: NDArray[np.int64],
    numbers: Calibration,
    *,
    keep_all: bool,
) -> Decision:
    """Decode every frame: Viterbi for the speakers, forward-backward for the posteriors.

    Parameters
    ----------
    evidence : ChannelEvidence
        A frame of its regions that lies outside of all segments takes the speaker of the nearest one.
    cosine : numpy.ndarray [shape=(segments, speakers)]
        From `compute_cosines`, for all segments of the evidence and the same labels.
    labels : numpy.ndarray [shape=(segments,)]
        The cluster of each segment, -1 where its embedding is not reliable.
    numbers : Calibration
    keep_all : bool
        Whether every cluster remains a speaker, as when their number was given.
    """
    segments = evidence.segments
    likelihood = numbers.viterbi_scale * _compute_log_likelihoods(segments, evidence.weights, cosine)
    switch = _compute_switch_penalties(segments, evidence.change)
    path = find_viterbi_path(likelihood, switch)
    if keep_all:
        path = _restore_silenced(path, labels)
    owner = _assign_frames(segments, evidence.regions, evidence.frames.shape[1])
    if keep_all:
        there = owner[np.append(0, np.flatnonzero(np.diff(owner)) + 1)]
        for lost in np.setdiff1d(path, path[there[there >= 0]]):
            for number in np.flatnonzero(path == lost):
                owner[slice(*segments[number])] = number
    first = np.append(path, -1).astype(np.int16)[owner]  # the last one is for nobody, -1
    nearby = numbers.seconds_per_similarity * cosine
    second = _assign_second_speakers(segments, path, first, evidence.frames[1], nearby)
    posterior = compute_posterior(likelihood / numbers.temperature, switch / numbers.temperature)
    posterior = 0.999 * posterior + 0.001 / posterior.shape[1]  # nobody is impossible, and two may speak
    return Decision(first, second, owner, path, posterior, evidence.frames)


def _assign_frames(segments: NDArray[np.int32], regions: NDArray[np.int32], frames: int) -> NDArray[np.int32]:
    """Return the segment that each frame of speech lies in or is nearest to, -1 for silence.

    A region's edges fall anywhere between those of segments: one that has fewer than `_LEAST_FRAMES` there leaves them
    to the next one within.
    """
    between = (segments[:-1, 1] + segments[1:, 0] - 1) // 2 + 1
    nearest = np.repeat(np.arange(len(segments), dtype=np.int32), np.diff(between, prepend=0, append=frames))
    owner = np.full(frames, -1, np.int32)
    for start, end in regions.tolist():
        here, edge = nearest[start:end], min(_LEAST_FRAMES, end - start)  # nothing else here is shorter than a segment
        here[:edge] = here[edge - 1]
        here[-edge:] = here[-edge]
        owner[start:end] = here
    return owner


def compute_posteriors(
    evidence: ChannelEvidence, embedded: EmbeddedSegments, labels: NDArray[np.int64], possible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the posterior of each segment at the scale of Viterbi decoding [shape=(segments, speakers)].

    Parameters
    ----------
    evidence, embedded, labels
        All segments of the evidence, from `embed_all`, and their labels as `decode` takes them; each speaker has one.
    possible : numpy.ndarray [shape=(segments, speakers)]
        The labels that a segment can have, at least one.
    """
    likelihood = _compute_log_likelihoods(evidence.segments, embedded.weights, compute_cosines(embedded, labels))
    likelihood *= embedded.calibration.viterbi_scale
    best = np.where(possible, likelihood, -np.inf).max(1, keepdims=True)
    likelihood = np.where(possible, np.maximum(likelihood, best - _IMPOSSIBLE_PENALTY), best - _IMPOSSIBLE_PENALTY)
    return compute_posterior(likelihood, embedded.switch)


def compute_cosines(embedded: EmbeddedSegments, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compute the cosine similarity of each segment to the centroid of each speaker [shape=(segments, speakers)]."""
    members = (labels == np.arange(labels.max() + 1)[:, None]) * np.minimum(embedded.weights, 1.5)
    sums = members @ embedded.embeddings
    centroids = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    cosine: NDArray[np.float32] = embedded.embeddings @ centroids.T
    return cosine


def _compute_log_likelihoods(
    segments: NDArray[np.int32], weights: NDArray[np.float32], cosine: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Compute the log-likelihood of each speaker up to a factor: similarity, times the seconds behind it."""
    length = (segments[:, 1] - segments[:, 0]) * RESOLUTION
    trust = np.minimum(weights, 1.5) * np.minimum(length / _SHORT_SECONDS, 1)
    result: NDArray[np.float64] = trust[:, None] * cosine
    return result


def _compute_switch_penalties(segments: NDArray[np.int32], change: NDArray[np.float16]) -> NDArray[np.float64]:
    """Compute the penalty of changing speaker at each segment: less after a pause or a detected change."""
    pause = np.maximum(segments[1:, 0] - segments[:-1, 1], 0) * RESOLUTION
    penalty = _SWITCH_PENALTY * np.exp(-pause / _PAUSE_SECONDS)
    penalty = np.where(pause == 0, penalty * (1 - change[1:].astype(np.float32)), penalty)
    return np.concatenate([[0.0], np.maximum(penalty, 0.5)])


def _restore_silenced(path: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return segments to clusters that smoothing has emptied, without emptying another."""
    path = path.copy()
    for lost in np.setdiff1d(np.arange(labels.max() + 1), path):
        own = np.flatnonzero(labels == lost)
        for i in own:
            if np.count_nonzero(path == path[i]) > 1:
                path[i] = lost
    return path


def _assign_second_speakers(
    segments: NDArray[np.int32],
    path: NDArray[np.int64],
    first: NDArray[np.int16],
    overlap: NDArray[np.uint8],
    similarity: NDArray[np.float32],
) -> NDArray[np.int16]:
    """Assign the second speaker of overlaps: close by in time, and of similar embedding."""
    second = np.full(len(first), -1, np.int16)
    speakers = similarity.shape[1]
    if speakers < 2:
        return second
    for start, end in find_runs((overlap >= 255 * _OVERLAP_THRESHOLD) & (first >= 0)):
        if end - start < _LEAST_OVERLAP_FRAMES:
            continue
        reach = round(_NEIGHBOURHOOD_SECONDS / RESOLUTION)
        near = slice(*np.searchsorted(segments[:, 0], [start - reach, end + reach]))
        away = np.maximum(np.maximum(segments[near, 0] - end, start - segments[near, 1]), 0) * RESOLUTION
        here = away == 0
        score = similarity[near][here].mean(0)
        for speaker in range(speakers):
            evidence = away[path[near] == speaker]
            score[speaker] -= evidence.min() if len(evidence) else _NEIGHBOURHOOD_SECONDS
        order = np.argsort(-score, kind="stable")
        # the best that is not the first speaker
        second[start:end] = np.where(first[start:end] == order[0], order[1], order[0])
    return second


def decide(evidence: ChannelEvidence, low: int, high: int | None, threshold: float | None) -> Decision:
    """Cluster and decode one channel; speakers are numbered in order of their first speech.

    Parameters
    ----------
    evidence : ChannelEvidence
    low, high : int, int or None
        Bounds for the number of speakers.
    threshold : float or None
        As `clustering.cluster` takes it.
    """
    if not len(evidence.segments):
        nobody = np.full(evidence.frames.shape[1], -1, np.int16)
        segment, path = nobody.astype(np.int32), np.zeros(0, np.int64)
        return Decision(nobody, nobody, segment, path, np.zeros((0, 0)), evidence.frames)
    reliable, taken = embed_reliable(evidence, low)
    found = cluster_in_blocks(reliable, low, high, threshold)
    wanted = low > 1 or threshold is not None  # who was asked for is kept, however little they say
    if not wanted and high != 1 and len(evidence.second):
        one = found
        found = _revise_count(reliable, found, float(evidence.second[0]) / 255)
        wanted = found.max() > one.max()
    time = np.bincount(found, reliable.weights)
    faint = np.flatnonzero(time < (0 if wanted else min(_LEAST_SPEAKER_SECONDS, time.max())))
    labels = np.full(len(evidence.segments), -1, np.int64)
    labels[taken] = np.where(np.isin(found, faint), -1, found)
    labels[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)[1]
    cosine, numbers = compute_cosines(embed_all(evidence, reliable, taken), labels), reliable.calibration
    del reliable  # the largest array, and frames are as large
    return number_by_first_appearance(decode(evidence, cosine, labels, numbers, keep_all=wanted))


def _revise_count(segments: EmbeddedSegments, labels: NDArray[np.int64], second: float) -> NDArray[np.int64]:
    """Return one speaker, or two, where the segmentation network tells that better than few embeddings.

    Parameters
    ----------
    segments, labels
        As `cluster` takes and returns them.
    second : float
        As `ChannelEvidence` has it, 0-1.
    """
    numbers = segments.calibration
    if second < numbers.no_second:
        return np.zeros_like(labels)
    few = len(labels) < 2 or segments.weights.sum() >= _SHORT_RECORDING
    if labels.max() or second <= numbers.clear_second or few:
        return labels
    two = cluster(segments, 2, 2)
    score, one, other = next(merge_stepwise(segments, two))
    return two if score[one, other] > numbers.clear_score else labels


def embed_reliable(evidence: ChannelEvidence, low: int) -> tuple[EmbeddedSegments, NDArray[np.int64]]:
    """Return the segments with a reliable embedding, with their blocks if the evidence has them, and their indices."""
    taken, blocks = select_reliable(evidence.weights, low), evidence.blocks
    room = np.empty(evidence.embeddings.shape, np.float32)  # of hours there is no second copy, see `embed_all`
    embeddings = _normalise(evidence.embeddings, taken, room[: len(taken)])
    calibration = CALIBRATIONS[embeddings.shape[1]]
    regions = np.cumsum((evidence.change > 0).astype(np.int64))  # an even cut continues the region
    similarity = estimate_within_similarity(embeddings, regions[taken], calibration)
    known = len(blocks) and np.array_equal(np.flatnonzero(blocks[1:] >= 0), taken)
    known = known and blocks[0] == _hash_embeddings(evidence, calibration)
    kept = blocks[1 + taken] if known else None
    switch = join_penalties(_compute_switch_penalties(evidence.segments, evidence.change), taken)
    return EmbeddedSegments(embeddings, evidence.weights[taken], switch, similarity, calibration, kept), taken


def embed_all(evidence: ChannelEvidence, reliable: EmbeddedSegments, taken: NDArray[np.int64]) -> EmbeddedSegments:
    """Return all segments, for what `embed_reliable` returned: its embeddings move to their places and are lost."""
    total = len(evidence.segments)
    if len(taken) == total:
        return reliable
    embeddings = reliable.embeddings.base
    if embeddings is None:
        raise AssertionError  # not reached: `embed_reliable` made room
    for end in range(len(taken), 0, -_BLOCK_SEGMENTS):  # the last ones first: none moves to where another still lies
        start = max(end - _BLOCK_SEGMENTS, 0)
        embeddings[taken[start:end]] = embeddings[start:end].copy()
    others = np.setdiff1d(np.arange(total), taken)
    embeddings[others] = _normalise(
        evidence.embeddings, others, np.empty((len(others), embeddings.shape[1]), np.float32)
    )
    switch = _compute_switch_penalties(evidence.segments, evidence.change)
    return replace(reliable, embeddings=embeddings, weights=evidence.weights, switch=switch, blocks=None)


def _normalise(
    embeddings: NDArray[np.float16], which: NDArray[np.int64], unit: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fill in and return the unit vectors of some embeddings, in blocks."""
    for start in range(0, len(which), _BLOCK_SEGMENTS):
        rows = unit[start : start + _BLOCK_SEGMENTS]
        rows[:] = embeddings[which[start : start + _BLOCK_SEGMENTS]]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return unit


def keep_blocks(evidence: ChannelEvidence) -> ChannelEvidence:
    """Return the evidence of a long recording with the clusters of its blocks: to decide again is to merge them."""
    if not len(evidence.segments):
        return evidence
    reliable, taken = embed_reliable(evidence, 1)
    if len(cut_blocks(reliable.weights)) == 1:
        return evidence
    blocks = np.full(1 + len(evidence.segments), -1, np.int64)
    blocks[0] = _hash_embeddings(evidence, reliable.calibration)
    blocks[1 + taken] = cluster_blocks(reliable)
    return replace(evidence, blocks=blocks)


def _hash_embeddings(evidence: ChannelEvidence, calibration: Calibration) -> int:
    """Hash what the clusters of blocks follow from."""
    found = zlib.crc32(repr(calibration).encode())
    for array in (evidence.embeddings, evidence.weights, evidence.change):
        found = zlib.crc32(np.ascontiguousarray(array).data, found)
    return found


def select_reliable(weights: NDArray[np.float32], low: int) -> NDArray[np.int64]:
    """Return the segments with enough speech for a reliable embedding, or all where these are too few."""
    long = np.flatnonzero(weights >= min(_RELIABLE_SECONDS, float(weights.max())))
    return long if len(long) >= low else np.arange(len(weights))


def number_by_first_appearance(decision: Decision) -> Decision:
    """Sort speakers by when they first speak, and drop those who never do."""
    active = [decision.active(k) for k in range(decision.speakers)]
    order = [k for _, k in sorted((int(frames.argmax()), k) for k, frames in enumerate(active) if frames.any())]
    new = np.full(len(active) + 1, -1, np.int16)  # the last one is for nobody, -1
    new[order] = np.arange(len(order))
    return replace(
        decision,
        first=new[decision.first],
        second=new[decision.second],
        path=new[decision.path].astype(np.int64),
        posterior=decision.posterior[:, order],
    )
