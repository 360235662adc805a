"""Cluster the embeddings of segments into speakers.

Embeddings follow a Bayesian mixture of spherical Gaussians (VB-GMM) with one within-speaker variance, estimated from
the recording: from the cosine similarity of segments of the same speech region. It starts with more components than
there can be speakers, and variational inference empties those that explain too little. That is VBx without its hidden
Markov chain; time comes in later (`decoding`). Agglomerative merging then joins speakers that are hardly separated.
Where that leaves many who say little, the mixture is fitted once more, with the chain: what is said in succession tells
small speakers from the noise of others, so that it can be less regularised.

Whoever says little is lost among hours of others. A long recording is therefore clustered block by block, and what is
found there is merged; whoever was found in one block, and is heard all the time in others, was part of somebody.

References
----------
Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", Computer Speech and
Language 71, 2022. `Calibration.fa` and `fb` are its acoustic scaling and its speaker regularisation.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.chains import compute_posterior
from diarnb.engines.linkage import cluster_by_ward

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diarnb.engines.local.calibration import Calibration

# Chosen as the numbers of `calibration` are.
_FB_SECONDS = 400.0  # of speech; beyond, `fb` grows in proportion: more of the same speech must not split a speaker
_COMPONENTS, _MANY_COMPONENTS = 30, 40  # to begin with, and where there are many speakers
_FIT_SEGMENTS = 1000  # segments that the mixture is fitted to: about 400 s of speech
_WARD_SEGMENTS = 500  # and that it is initialised from, by a method of quadratic time
_PRIOR_SIMILARITY_PAIRS = 20  # pairs of segments that the expected similarity within a region counts for
_LAGS = range(2, 8)  # segments between those compared; direct neighbours share sound
_LEAST_LIKELY = 60.0  # log-likelihood below the best one's: less makes no difference, and is no number any more
_KMEANS_ROUNDS = 3  # of assigning to the nearest centroid before the mixture, which would absorb small speakers
_BLOCK_SECONDS = _FB_SECONDS  # of speech; what is left at the end makes a block from half of it on
_JOINED_BLOCKS = 8  # are merged at a time: merging takes cubic time
_STRAY_SHARE = 0.5  # of what somebody says, nearest to them in blocks without them, from which they are not a speaker
_KEPT_BLOCKS = 64  # whose labels are kept in memory, 7 hours: deciding two seconds later is merging only


@dataclass(frozen=True)
class EmbeddedSegments:
    """Segments, as they are clustered.

    Attributes
    ----------
    embeddings : numpy.ndarray [shape=(segments, size)], float32
        Unit vectors.
    weights : numpy.ndarray [shape=(segments,)], float32
        Seconds of single-speaker speech behind each embedding.
    switch : numpy.ndarray [shape=(segments,)], float64
        Penalty of a change of speaker before each, as `chains.find_viterbi_path` takes it.
    similarity : float
        Mean cosine similarity within a speaker, from `estimate_within_similarity`.
    calibration : Calibration
        For embeddings of this size.
    blocks : numpy.ndarray [shape=(segments,)], int64, or None
        What `cluster_blocks` returned for these segments, if that is known.
    """

    embeddings: NDArray[np.float32]
    weights: NDArray[np.float32]
    switch: NDArray[np.float64]
    similarity: float
    calibration: Calibration
    blocks: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, which: NDArray[np.int64] | slice) -> EmbeddedSegments:
        """Return some of the segments, whose blocks are others."""
        switch = join_penalties(self.switch, np.arange(len(self))[which])
        return replace(self, embeddings=self.embeddings[which], weights=self.weights[which], switch=switch, blocks=None)

    def hash(self) -> str:
        """Hash what clusters follow from."""
        content = hashlib.blake2b(repr((self.similarity, self.calibration)).encode())
        for array in (self.embeddings, self.weights):
            content.update(np.ascontiguousarray(array).data)
        return content.hexdigest()


def join_penalties(switch: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the penalty of a change of speaker before each of some segments: the least since the one before.

    Examples
    --------
    >>> join_penalties(np.array([0.0, 2.0, 0.5, 2.0, 1.0]), np.array([0, 1, 4])).tolist()
    [0.0, 2.0, 0.5]
    """
    joined = switch[which[:1]]
    if len(which) > 1:
        joined = np.append(joined, np.minimum.reduceat(switch[: which[-1] + 1], which[:-1] + 1))
    return joined


def estimate_within_similarity(
    embeddings: NDArray[np.float32], regions: NDArray[np.int64], calibration: Calibration
) -> float:
    """Estimate the mean cosine similarity of two segments of one speaker in this recording.

    Parameters
    ----------
    embeddings : numpy.ndarray [shape=(segments, size)]
        Unit vectors, in order of time.
    regions : numpy.ndarray [shape=(segments,)]
        A number for each stretch of speech without a change of speaker.
    calibration : Calibration

    Returns
    -------
    float
        At most 0.95.
    """
    total, count = calibration.prior_similarity * _PRIOR_SIMILARITY_PAIRS, _PRIOR_SIMILARITY_PAIRS
    for lag in _LAGS:
        same = regions[lag:] == regions[:-lag]
        cosine = np.einsum("ij,ij->i", embeddings[lag:], embeddings[:-lag])
        total += float(cosine[same].sum(dtype=np.float64))
        count += int(same.sum())
    return min(total / count + calibration.change_margin, 0.95)


def cluster(
    segments: EmbeddedSegments, low: int, high: int | None, threshold: float | None = None, *, refit: bool = True
) -> NDArray[np.int64]:
    """Label each segment with a speaker.

    Parameters
    ----------
    segments : EmbeddedSegments
    low, high : int, int or None
        Least and greatest number of speakers; both are met, except that there are never more speakers than segments.
    threshold : float, optional
        Merge until no two speakers are closer than this cosine distance (0-2) beyond the distance within them;
        without one the evidence decides.
    refit : bool, default True
        Whether the mixture may be fitted once more where there are many speakers.

    Returns
    -------
    numpy.ndarray [shape=(segments,)]
        Labels 0, 1, ... without gaps.
    """
    low = min(low, len(segments))
    high = len(segments) if high is None else min(high, len(segments))
    if len(segments) > max(_FIT_SEGMENTS, low):  # fit some; the others go to the nearest centroid
        sample = _sample_evenly(len(segments), low)
        labels = cluster(segments.take(sample), low, high, threshold, refit=refit)
        return _extend_labels(segments.embeddings, sample, labels)
    numbers = segments.calibration
    many = _initialise(segments, max(_COMPONENTS, low))
    if threshold is not None:
        labels = _merge(segments, many, low, high, threshold) if low < high else many
    else:
        labels = _find_speakers(segments, low, high, _COMPONENTS, numbers.fb)
        chain = numbers.many_switch * segments.switch if numbers.many_switch else None
        count = int(labels.max()) + 1 if low < high or chain is None else low
        each = float(segments.weights.sum()) / count
        if refit and count >= numbers.many_speakers and each < numbers.many_seconds:
            many = _initialise(segments, max(_MANY_COMPONENTS, low))
            again = _find_speakers(segments, low, high, _MANY_COMPONENTS, numbers.many_fb, chain)
            if chain is None or again.max() >= labels.max():  # a chain also smooths away who is hardly separate
                labels = again
    if labels.max() + 1 < low:
        return _split_to_count(segments, labels, many, low)
    return _fit_count(segments, low, labels) if low == high else labels


def cluster_in_blocks(
    segments: EmbeddedSegments, low: int, high: int | None, threshold: float | None = None
) -> NDArray[np.int64]:
    """Label each segment of a recording of any length with a speaker; one block is clustered by `cluster`.

    Parameters and result are those of `cluster`. With a threshold there are no blocks.
    """
    blocks = cut_blocks(segments.weights)
    if len(blocks) == 1 or threshold is not None:
        return cluster(segments, low, high, threshold)
    low = min(low, len(segments))
    labels = (cluster_blocks(segments) if segments.blocks is None else segments.blocks).copy()
    for first in range(0, len(blocks), _JOINED_BLOCKS):
        joined = blocks[first : first + _JOINED_BLOCKS]
        whole, count = slice(joined[0].start, joined[-1].stop), 0
        for block in joined:
            labels[block] += count
            count = int(labels[block].max()) + 1
        labels[whole] = _merge(segments.take(whole), labels[whole], 1, count)
        labels[whole] += labels[: whole.start].max(initial=-1) + 1
    labels = _merge(segments, labels, low, len(labels))
    labels = _drop_strays(segments, labels, blocks, low)
    if labels.max() + 1 < low:
        return _split_to_count(segments, labels, _initialise(segments, max(_COMPONENTS, low)), low)
    return _merge(segments, labels, low, len(labels) if high is None else high)


def cluster_blocks(segments: EmbeddedSegments) -> NDArray[np.int64]:
    """Label each segment with a cluster of its block, from 0 in each [shape=(segments,)].

    That takes two digits of the similarity, which changes in the third as more is heard.
    """
    rounded = replace(segments, similarity=round(segments.similarity, 2))
    found = []
    for block in cut_blocks(segments.weights):
        part = rounded.take(block)
        kept = _keep_labels(part.hash())
        if not kept:
            kept.append(_cluster_block(part))
        found.append(kept[0])  # two threads may have added theirs
    return np.concatenate(found)


def cut_blocks(weights: NDArray[np.float32]) -> list[slice]:
    """Cut segments into blocks; those that follow change no earlier one."""
    spoken = np.cumsum(weights, dtype=np.float64)
    count = max(int(spoken[-1] / _BLOCK_SECONDS + 0.5), 1)
    edges = np.searchsorted(spoken, _BLOCK_SECONDS * np.arange(1, count), side="right").tolist()
    return [slice(*each) for each in pairwise([0, *edges, len(weights)])]


@functools.lru_cache(_KEPT_BLOCKS)
def _keep_labels(_hash: str) -> list[NDArray[np.int64]]:
    """Return the list, empty at first, that keeps the labels of a block."""
    return []


def _cluster_block(block: EmbeddedSegments) -> NDArray[np.int64]:
    """Cluster a block.

    Many voices are no reason to fit it once more: who is missed in a block is found in another, and who is split would
    be everywhere.
    """
    return cluster(block, 1, None, refit=False)


def _drop_strays(
    segments: EmbeddedSegments, labels: NDArray[np.int64], blocks: list[slice], low: int
) -> NDArray[np.int64]:
    """Pass on to others what was found in some blocks only and sounds like someone who speaks in the rest."""
    embeddings, weights = segments.embeddings, segments.weights
    count = int(labels.max()) + 1
    spoken = np.zeros((len(blocks), count))
    absent = np.zeros(len(labels), bool)
    centroids = ((labels == np.arange(count)[:, None]) * weights) @ embeddings
    cosine = embeddings @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T.astype(np.float32)
    nearest = cosine.argmax(1)
    for row, block in zip(spoken, blocks, strict=True):
        row += np.bincount(labels[block], weights[block], minlength=count)
        absent[block] = row[nearest[block]] == 0
    share = np.bincount(nearest, weights * absent, minlength=count) / np.maximum(spoken.sum(0), 1e-9)
    strays = [k for k in np.argsort(-share)[: max(count - low, 0)].tolist() if share[k] > _STRAY_SHARE]
    cosine[:, strays] = -np.inf
    return _renumber(np.where(np.isin(labels, strays), cosine.argmax(1), labels))


def _find_speakers(
    segments: EmbeddedSegments,
    low: int,
    high: int,
    components: int,
    regularisation: float,
    switch: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Fit the mixture, and merge what is not separate, unless the count is given.

    A mixture that is fitted once empties a component, or does not, by a hair; the median of several hardly moves.
    """
    starts = segments.calibration.starts if low < high and switch is None else (0,)
    found = []
    for more in starts:
        initial = _initialise(segments, max(components + more, low))
        labels, bound = _fit_mixture(segments, initial, regularisation, prune=True, switch=switch)
        found.append((bound, _merge(segments, labels, low, high) if low < high else labels))
    median = sorted(labels.max() for _, labels in found)[len(found) // 2]
    return max((each for each in found if each[1].max() == median), key=lambda each: each[0])[1]


def cluster_constrained(
    segments: EmbeddedSegments, initial: NDArray[np.int64], possible: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Label each segment when some labels are known, and others excluded.

    Parameters
    ----------
    segments : EmbeddedSegments
    initial : numpy.ndarray [shape=(segments,)]
        A first label for each segment, -1 for none.
    possible : numpy.ndarray [shape=(segments, speakers)]
        The labels that a segment can have: at least one, and each speaker has a segment in `initial`.

    Returns
    -------
    numpy.ndarray [shape=(segments,)]
        Labels by the numbers of `initial`.
    """
    numbers = np.arange(possible.shape[1])
    for _ in range(_KMEANS_ROUNDS):
        centroids = ((initial[:, None] == numbers) * segments.weights[:, None]).T @ segments.embeddings
        centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-9)
        initial = np.where(possible, segments.embeddings @ centroids.T, -np.inf).argmax(1)
    return _fit_mixture(segments, initial, segments.calibration.fb, prune=False, possible=possible)[0]


def count_supported(segments: EmbeddedSegments, labels: NDArray[np.int64]) -> int:
    """Count the speakers that remain, in a block or more, when inference may empty those that explain too little.

    Parameters
    ----------
    segments, labels
        As `cluster` takes and returns them.
    """
    kept: set[int] = set()
    for block in cut_blocks(segments.weights):
        sample = block.start + _sample_evenly(block.stop - block.start)
        names, initial = np.unique(labels[sample], return_inverse=True)
        found, _ = _fit_mixture(segments.take(sample), initial, segments.calibration.fb, prune=True)
        kept |= {int(names[np.bincount(initial[found == k]).argmax()]) for k in range(found.max() + 1)}
    return len(kept)


def _sample_evenly(total: int, least: int = 1, most: int = _FIT_SEGMENTS) -> NDArray[np.int64]:
    """Return the indices of an even sample of at most `most` segments, or of all."""
    return np.linspace(0, total - 1, min(total, max(most, least))).round().astype(np.int64)


def _extend_labels(
    embeddings: NDArray[np.float32], sample: NDArray[np.int64], sample_labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Label all segments by the nearest centroid of a sample's speakers."""
    centroids = np.stack([embeddings[sample[sample_labels == k]].mean(0) for k in range(sample_labels.max() + 1)])
    labels: NDArray[np.int64] = (embeddings @ centroids.T / np.linalg.norm(centroids, axis=1)).argmax(1)
    labels[sample] = sample_labels
    return labels


def _fit_count(segments: EmbeddedSegments, count: int, initial: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge down to a given number of speakers, none of them empty, and fit the mixture once more."""
    start = _merge(segments, initial, count, count)
    labels, _ = _fit_mixture(segments, start, segments.calibration.fb, prune=False)
    return labels if labels.max() + 1 == count else start


def _split_to_count(
    segments: EmbeddedSegments, labels: NDArray[np.int64], many: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Split speakers along a finer clustering into as many as asked for, without joining any two.

    Merging the finer clustering alone would keep a few outliers, and join speakers of similar embeddings.
    """
    parts = _renumber(labels * (many.max() + 1) + many)
    parents = labels[np.unique(parts, return_index=True)[1]]
    return _merge(segments, parts, count, count, parents=parents)


def _initialise(segments: EmbeddedSegments, count: int) -> NDArray[np.int64]:
    """Cluster by Ward's method, into at most `count` clusters."""
    if len(segments) < 2:
        return np.zeros(len(segments), np.int64)
    sample = _sample_evenly(len(segments), count, _WARD_SEGMENTS)
    return _extend_labels(segments.embeddings, sample, cluster_by_ward(segments.embeddings[sample], count))


def _fit_mixture(
    segments: EmbeddedSegments,
    initial: NDArray[np.int64],
    regularisation: float,
    *,
    prune: bool,
    possible: NDArray[np.bool_] | None = None,
    switch: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], float]:
    """Fit the VB-GMM from initial labels; return the labels of greatest responsibility, and the bound of the evidence.

    With `prune` components may become empty; with `possible` (`cluster_constrained`) they keep their numbers. With
    `switch` the speakers of successive segments are a Markov chain (`chains`), as they are in VBx.
    """
    embeddings, weights, numbers = segments.embeddings, segments.weights, segments.calibration
    size = embeddings.shape[1]
    within = numbers.within_ratio * (1 - segments.similarity) / size
    spoken = max(float(weights.sum()), 1e-9)
    regularisation *= max(1.0, spoken / _FB_SECONDS) + numbers.short_seconds / spoken
    mean = weights @ embeddings / spoken
    points = (embeddings - mean) * np.float32(np.sqrt(numbers.between_ratio / within))
    count = initial.max() + 1 if possible is None else possible.shape[1]
    responsibility = np.exp(5 * (initial[:, None] == np.arange(count)).astype(np.float32))
    if possible is not None:
        responsibility *= possible
    responsibility /= responsibility.sum(1, keepdims=True)
    prior = np.full(responsibility.shape[1], 1 / responsibility.shape[1], np.float32)
    last = -np.inf
    for _ in range(60):
        weighted = responsibility * weights[:, None]
        variance = 1 / (1 + numbers.fa / regularisation * numbers.between_ratio * weighted.sum(0))
        centroid = numbers.fa / regularisation * variance[:, None] * (weighted.T @ points)
        energy = size * variance + (centroid**2).sum(1)
        likelihood = numbers.fa * weights[:, None] * (points @ centroid.T - numbers.between_ratio / 2 * energy)
        likelihood = likelihood + np.log(prior + 1e-30)
        if possible is not None:
            likelihood[~possible] = -np.inf
        top = likelihood.max(1, keepdims=True)
        responsibility = np.exp(likelihood - top)
        total = responsibility.sum(1, keepdims=True)
        responsibility /= total
        if switch is not None:
            responsibility = compute_posterior(np.maximum(likelihood - top, -_LEAST_LIKELY), switch)
        divergence = regularisation / 2 * (size * np.log(variance) - energy + size).sum()
        bound = float((top + np.log(total)).sum() + divergence)
        if prune:
            prior = responsibility.mean(0)
            alive = prior > 1e-4 / len(embeddings)
            responsibility, prior = responsibility[:, alive], prior[alive]
        if bound - last < 1e-5 * len(embeddings):
            break
        last = bound
    labels: NDArray[np.int64] = responsibility.argmax(1)
    return _renumber(labels) if possible is None else labels, bound


def _merge(
    segments: EmbeddedSegments,
    labels: NDArray[np.int64],
    low: int,
    high: int,
    threshold: float | None = None,
    parents: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Merge the two least separate speakers until all are separate and few enough."""
    names: NDArray[np.int64] = np.arange(labels.max() + 1)
    for score, one, other in merge_stepwise(segments, labels, threshold, parents):
        if len(score) <= low or (len(score) <= high and score[one, other] >= 1):
            break
        names[names == other] = one
        names[names > other] -= 1
    merged: NDArray[np.int64] = names[labels]
    return merged


def merge_stepwise(
    segments: EmbeddedSegments,
    labels: NDArray[np.int64],
    threshold: float | None = None,
    parents: NDArray[np.int64] | None = None,
) -> Iterator[tuple[NDArray[np.float64], int, int]]:
    """Merge the two least separate speakers, step by step, down to one.

    The separation of two speakers is the mean similarity within them less the mean similarity across, relative to the
    cosine distance within: about 0 for one speaker cut in two, whatever noise and channel make of the cosines. Its
    limit, from which two speakers are two, adapts to the recording, and shrinks with the speech of the smaller one.

    Parameters
    ----------
    segments, labels, threshold
        As `cluster` takes and returns them.
    parents : numpy.ndarray [shape=(speakers,)], optional
        What each is a part of; only parts of the same one are merged. By default any are.

    Yields
    ------
    score : numpy.ndarray [shape=(speakers, speakers)]
        Separation of any two before the merge, as a share of its limit: infinite on the diagonal.
    one, other : int
        The two of least score, ``one < other``; `other` becomes `one`, and those behind it move up.
    """
    count = int(labels.max()) + 1
    members = (labels == np.arange(count)[:, None]).astype(np.float32)
    products = (members @ segments.embeddings).astype(np.float64)
    products = products @ products.T
    sizes = members.sum(1, dtype=np.float64)
    seconds = (members @ segments.weights).astype(np.float64)
    parents = np.zeros(count, np.int64) if parents is None else parents
    prior = segments.calibration.prior_pairs
    while len(sizes) > 1:
        pairs = sizes * (sizes - 1)
        within = (products.diagonal() - sizes + prior * segments.similarity) / (pairs + prior)
        both = (within[:, None] + within) / 2
        distance = np.maximum(1 - both, 0.05)
        separation = (both - products / np.outer(sizes, sizes)) / distance
        limit = (
            _compute_limits(separation, seconds, segments.calibration)
            if threshold is None
            else max(threshold, 1e-6) / distance
        )
        score = separation / limit
        np.fill_diagonal(score, np.inf)
        score[parents[:, None] != parents] = np.inf
        one, other = sorted(int(k) for k in np.unravel_index(int(score.argmin()), score.shape))
        yield score, one, other
        products[one] += products[other]
        products[:, one] += products[:, other]
        sizes[one] += sizes[other]
        seconds[one] += seconds[other]
        left = np.flatnonzero(np.arange(len(sizes)) != other)
        products = products[left[:, None], left]
        sizes, seconds, parents = sizes[left], seconds[left], parents[left]


def _compute_limits(
    separation: NDArray[np.float64], seconds: NDArray[np.float64], numbers: Calibration
) -> NDArray[np.float64]:
    """Compute the separation from which two speakers are two [shape=(speakers, speakers)]."""
    # np.median, in an eighth of its time: this is done before every merge
    pairs = np.sort(separation[~np.tri(len(separation), dtype=bool)])
    median = float(pairs[(len(pairs) - 1) // 2] + pairs[len(pairs) // 2]) / 2
    share = numbers.median_share * min(1.0, numbers.median_speakers / len(separation))
    smaller = np.maximum(np.minimum(seconds[:, None], seconds), 1e-3)
    shrinkage: NDArray[np.float64] = np.clip(
        (numbers.limit_seconds / smaller) ** numbers.limit_power, numbers.least_shrinkage, 1
    )
    limit = min(max(numbers.least_limit, share * median), numbers.most_limit) * shrinkage
    return limit + numbers.doubt / np.sqrt(smaller)


def _renumber(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return numbers
