"""Cluster the embeddings of segments into speakers.

Embeddings follow a Bayesian mixture of spherical Gaussians (VB-GMM) with one within-speaker variance, estimated from
the recording: from the cosine similarity of segments of the same speech region. It starts with more components than
there can be speakers, and variational inference empties those that explain too little. That is VBx without its hidden
Markov chain; time comes in later (`decoding`). Agglomerative merging then joins speakers that are hardly separated.

Whoever says little is lost among hours of others. A long recording is therefore clustered block by block, and what is
found there is merged; whoever was found in one block, and is heard all the time in others, was part of somebody.

References
----------
Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", Computer Speech and
Language 71, 2022. `_FA` and `_FB` are its acoustic scaling and its speaker regularisation.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.local.linkage import cluster_by_ward

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Chosen on the TUNE half of the recordings that `benchmarks.accuracy` is run on, and on `benchmarks.simulate`.
_WITHIN_RATIO = 1.15  # within-speaker variance / variance within a region: speakers drift over a recording
_BETWEEN_RATIO = 0.67  # between-speaker variance / within-speaker variance
_FA = 0.5  # scale of the evidence: neighbouring segments share sound, so they are not independent
_FB = 5.0  # regularisation of a speaker, in the same unit
_FB_SECONDS = 400.0  # of speech; beyond, `_FB` grows in proportion: more of the same speech must not split a speaker
_COMPONENTS = 30  # to begin with
_LEAST_LIMIT = 0.2  # separation below which two speakers are merged, in within-speaker cosine distances
_MEDIAN_SHARE = 0.45  # the same, as a share of the median separation of the recording's speakers,
_MEDIAN_SPEAKERS = 5  # in proportion less with more speakers than these: some of many are always similar
_MOST_LIMIT = 0.45  # separation from which two speakers are never merged
_LIMIT_SECONDS = 30.0  # of the smaller speaker; with more speech a smaller separation is significant:
_LIMIT_POWER = 0.25  # limits shrink with this power of it,
_LEAST_SHRINKAGE = 0.65  # down to this factor
_MANY_SPEAKERS = 7  # from which the mixture is fitted once more,
_MANY_COMPONENTS, _MANY_FB = 40, 3.0  # from more components, with less regularisation: from fewer speakers it splits
_FIT_SEGMENTS = 1000  # segments that the mixture is fitted to: about 400 s of speech
_WARD_SEGMENTS = 500  # and that it is initialised from, by a method of quadratic time
_PRIOR_SIMILARITY, _PRIOR_SIMILARITY_PAIRS = 0.5, 20  # expected cosine similarity within a region, and its weight
_CHANGE_MARGIN = 0.02  # added to the similarity within a region: some regions hide a change of speaker
_LAGS = range(2, 8)  # segments between those compared; direct neighbours share sound
_KMEANS_ROUNDS = 3  # of assigning to the nearest centroid before the mixture, which would absorb small speakers
_BLOCK_SECONDS = _FB_SECONDS  # of speech; what is left at the end makes a block from half of it on
_JOINED_BLOCKS = 8  # are merged at a time: merging takes cubic time
_STRAY_SHARE = 0.5  # of what somebody says, nearest to them in blocks without them, from which they are not a speaker
_KEPT_BLOCKS = 64  # whose labels are kept in memory, 7 hours: deciding again, or two seconds later, is merging only
_PRIOR_PAIRS = 10  # pairs of segments that the recording's similarity counts for within each speaker


def estimate_within_similarity(embeddings: NDArray[np.float32], regions: NDArray[np.int64]) -> float:
    """Estimate the mean cosine similarity of two segments of one speaker in this recording.

    Parameters
    ----------
    embeddings : numpy.ndarray [shape=(segments, 192)]
        Unit vectors, in order of time.
    regions : numpy.ndarray [shape=(segments,)]
        A number for each stretch of speech without a change of speaker.

    Returns
    -------
    float
        At most 0.95.
    """
    total, count = _PRIOR_SIMILARITY * _PRIOR_SIMILARITY_PAIRS, _PRIOR_SIMILARITY_PAIRS
    for lag in _LAGS:
        same = regions[lag:] == regions[:-lag]
        total += float((embeddings[lag:][same] * embeddings[:-lag][same]).sum())
        count += int(same.sum())
    return min(total / count + _CHANGE_MARGIN, 0.95)


def cluster(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    similarity: float,
    low: int,
    high: int | None,
    threshold: float | None = None,
    *,
    refit: bool = True,
) -> NDArray[np.int64]:
    """Label each segment with a speaker.

    Parameters
    ----------
    embeddings : numpy.ndarray [shape=(segments, 192)]
        Unit vectors.
    weights : numpy.ndarray [shape=(segments,)]
        Seconds of single-speaker speech behind each embedding.
    similarity : float
        Mean cosine similarity within a speaker, from `estimate_within_similarity`.
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
    low = min(low, len(embeddings))
    high = len(embeddings) if high is None else min(high, len(embeddings))
    if len(embeddings) > max(_FIT_SEGMENTS, low):  # fit some; the others go to the nearest centroid
        sample = _sample_evenly(len(embeddings), low)
        labels = cluster(embeddings[sample], weights[sample], similarity, low, high, threshold, refit=refit)
        return _extend_labels(embeddings, sample, labels)
    many = _initialise(embeddings, max(_COMPONENTS, low))
    if threshold is not None:
        labels = _merge(embeddings, weights, many, similarity, low, high, threshold) if low < high else many
    else:
        labels = _find_speakers(embeddings, weights, similarity, low, high, many, _FB)
        if refit and labels.max() + 1 >= _MANY_SPEAKERS:
            many = _initialise(embeddings, max(_MANY_COMPONENTS, low))
            labels = _find_speakers(embeddings, weights, similarity, low, high, many, _MANY_FB)
    if labels.max() + 1 < low:
        return _split_to_count(embeddings, weights, labels, many, similarity, low)
    return _fit_count(embeddings, weights, similarity, low, labels) if low == high else labels


def cluster_in_blocks(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    similarity: float,
    low: int,
    high: int | None,
    threshold: float | None = None,
) -> NDArray[np.int64]:
    """Label each segment of a recording of any length with a speaker; one block is clustered by `cluster`.

    Parameters and result are those of `cluster`. With a threshold there are no blocks. Blocks are clustered with two
    digits of the similarity, which changes in the third as more is heard.
    """
    blocks = _cut_blocks(weights)
    if len(blocks) == 1 or threshold is not None:
        return cluster(embeddings, weights, similarity, low, high, threshold)
    low = min(low, len(embeddings))
    labels = np.zeros(len(weights), np.int64)
    for first in range(0, len(blocks), _JOINED_BLOCKS):
        joined = blocks[first : first + _JOINED_BLOCKS]
        whole, count = slice(joined[0].start, joined[-1].stop), 0
        for block in joined:
            found = _cluster_block(embeddings[block].tobytes(), weights[block].tobytes(), round(similarity, 2))
            labels[block] = count + found
            count = int(labels[block].max()) + 1
        labels[whole] = _merge(embeddings[whole], weights[whole], labels[whole], similarity, 1, count)
        labels[whole] += labels[: whole.start].max(initial=-1) + 1
    labels = _merge(embeddings, weights, labels, similarity, low, len(labels))
    labels = _drop_strays(embeddings, weights, labels, blocks, low)
    if labels.max() + 1 < low:
        return _split_to_count(
            embeddings, weights, labels, _initialise(embeddings, max(_COMPONENTS, low)), similarity, low
        )
    return _merge(embeddings, weights, labels, similarity, low, len(labels) if high is None else high)


def _cut_blocks(weights: NDArray[np.float32]) -> list[slice]:
    """Cut segments into blocks; those that follow change no earlier one."""
    spoken = np.cumsum(weights, dtype=np.float64)
    count = max(int(spoken[-1] / _BLOCK_SECONDS + 0.5), 1)
    edges = np.searchsorted(spoken, _BLOCK_SECONDS * np.arange(1, count), side="right").tolist()
    return [slice(*each) for each in pairwise([0, *edges, len(weights)])]


@functools.lru_cache(_KEPT_BLOCKS)
def _cluster_block(embeddings: bytes, weights: bytes, similarity: float) -> NDArray[np.int64]:
    """Cluster a block, given as the bytes of float32.

    The mixture is fitted once: who is missed in a block is found in another, and who is split would be everywhere.
    """
    seconds = np.frombuffer(weights, np.float32)
    points = np.frombuffer(embeddings, np.float32).reshape(len(seconds), -1)
    return cluster(points, seconds, similarity, 1, None, refit=False)


def _drop_strays(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    labels: NDArray[np.int64],
    blocks: list[slice],
    low: int,
) -> NDArray[np.int64]:
    """Pass on to others what was found in some blocks only and sounds like someone who speaks in the rest."""
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
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    similarity: float,
    low: int,
    high: int,
    initial: NDArray[np.int64],
    regularisation: float,
) -> NDArray[np.int64]:
    """Fit the mixture from initial labels, and merge what is not separate, unless the count is given."""
    labels = _fit_mixture(embeddings, weights, similarity, initial, prune=True, regularisation=regularisation)
    return _merge(embeddings, weights, labels, similarity, low, high) if low < high else labels


def cluster_constrained(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    similarity: float,
    initial: NDArray[np.int64],
    possible: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Label each segment when some labels are known, and others excluded.

    Parameters
    ----------
    embeddings, weights, similarity
        As `cluster` takes them.
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
        centroids = ((initial[:, None] == numbers) * weights[:, None]).T @ embeddings
        centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-9)
        initial = np.where(possible, embeddings @ centroids.T, -np.inf).argmax(1)
    return _fit_mixture(embeddings, weights, similarity, initial, prune=False, possible=possible)


def count_supported(
    embeddings: NDArray[np.float32], weights: NDArray[np.float32], similarity: float, labels: NDArray[np.int64]
) -> int:
    """Count the speakers that remain, in a block or more, when inference may empty those that explain too little.

    Parameters
    ----------
    embeddings, weights, similarity, labels
        As `cluster` takes and returns them.
    """
    kept: set[int] = set()
    for block in _cut_blocks(weights):
        sample = block.start + _sample_evenly(block.stop - block.start)
        names, initial = np.unique(labels[sample], return_inverse=True)
        found = _fit_mixture(embeddings[sample], weights[sample], similarity, initial, prune=True)
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


def _fit_count(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    similarity: float,
    count: int,
    initial: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Merge down to a given number of speakers, none of them empty, and fit the mixture once more."""
    start = _merge(embeddings, weights, initial, similarity, count, count)
    labels = _fit_mixture(embeddings, weights, similarity, start, prune=False)
    return labels if labels.max() + 1 == count else start


def _split_to_count(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    labels: NDArray[np.int64],
    many: NDArray[np.int64],
    similarity: float,
    count: int,
) -> NDArray[np.int64]:
    """Split speakers along a finer clustering into as many as asked for, without joining any two.

    Merging the finer clustering alone would keep a few outliers, and join speakers of similar embeddings.
    """
    parts = _renumber(labels * (many.max() + 1) + many)
    parents = labels[np.unique(parts, return_index=True)[1]]
    return _merge(embeddings, weights, parts, similarity, count, count, parents=parents)


def _initialise(embeddings: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Cluster by Ward's method, into at most `count` clusters."""
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), np.int64)
    sample = _sample_evenly(len(embeddings), count, _WARD_SEGMENTS)
    return _extend_labels(embeddings, sample, cluster_by_ward(embeddings[sample], count))


def _fit_mixture(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    similarity: float,
    initial: NDArray[np.int64],
    *,
    prune: bool,
    possible: NDArray[np.bool_] | None = None,
    regularisation: float = _FB,
) -> NDArray[np.int64]:
    """Fit the VB-GMM from initial labels, and return the labels of greatest responsibility.

    With `prune` components may become empty; with `possible` (`cluster_constrained`) they keep their numbers.
    """
    size = embeddings.shape[1]
    within = _WITHIN_RATIO * (1 - similarity) / size
    regularisation *= max(1.0, float(weights.sum()) / _FB_SECONDS)
    mean = weights @ embeddings / max(float(weights.sum()), 1e-9)
    points = (embeddings - mean) * np.float32(np.sqrt(_BETWEEN_RATIO / within))
    count = initial.max() + 1 if possible is None else possible.shape[1]
    responsibility = np.exp(5 * (initial[:, None] == np.arange(count)).astype(np.float32))
    if possible is not None:
        responsibility *= possible
    responsibility /= responsibility.sum(1, keepdims=True)
    prior = np.full(responsibility.shape[1], 1 / responsibility.shape[1], np.float32)
    last = -np.inf
    for _ in range(60):
        weighted = responsibility * weights[:, None]
        variance = 1 / (1 + _FA / regularisation * _BETWEEN_RATIO * weighted.sum(0))
        centroid = _FA / regularisation * variance[:, None] * (weighted.T @ points)
        energy = size * variance + (centroid**2).sum(1)
        likelihood = _FA * weights[:, None] * (points @ centroid.T - _BETWEEN_RATIO / 2 * energy)
        likelihood = likelihood + np.log(prior + 1e-30)
        if possible is not None:
            likelihood[~possible] = -np.inf
        top = likelihood.max(1, keepdims=True)
        responsibility = np.exp(likelihood - top)
        total = responsibility.sum(1, keepdims=True)
        responsibility /= total
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
    return _renumber(labels) if possible is None else labels


def _merge(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    labels: NDArray[np.int64],
    similarity: float,
    low: int,
    high: int,
    threshold: float | None = None,
    parents: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Merge the two least separate speakers until all are separate and few enough."""
    names: NDArray[np.int64] = np.arange(labels.max() + 1)
    for score, one, other in merge_stepwise(embeddings, weights, labels, similarity, threshold, parents):
        if len(score) <= low or (len(score) <= high and score[one, other] >= 1):
            break
        names[names == other] = one
        names[names > other] -= 1
    merged: NDArray[np.int64] = names[labels]
    return merged


def merge_stepwise(
    embeddings: NDArray[np.float32],
    weights: NDArray[np.float32],
    labels: NDArray[np.int64],
    similarity: float,
    threshold: float | None = None,
    parents: NDArray[np.int64] | None = None,
) -> Iterator[tuple[NDArray[np.float64], int, int]]:
    """Merge the two least separate speakers, step by step, down to one.

    The separation of two speakers is the mean similarity within them less the mean similarity across, relative to the
    cosine distance within: about 0 for one speaker cut in two, whatever noise and channel make of the cosines. Its
    limit, from which two speakers are two, adapts to the recording, and shrinks with the speech of the smaller one.

    Parameters
    ----------
    embeddings, weights, labels, similarity, threshold
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
    products = (members @ embeddings).astype(np.float64)
    products = products @ products.T
    sizes = members.sum(1, dtype=np.float64)
    seconds = (members @ weights).astype(np.float64)
    parents = np.zeros(count, np.int64) if parents is None else parents
    while len(sizes) > 1:
        pairs = sizes * (sizes - 1)
        within = (products.diagonal() - sizes + _PRIOR_PAIRS * similarity) / (pairs + _PRIOR_PAIRS)
        both = (within[:, None] + within) / 2
        distance = np.maximum(1 - both, 0.05)
        separation = (both - products / np.outer(sizes, sizes)) / distance
        limit = _compute_limits(separation, seconds) if threshold is None else max(threshold, 1e-6) / distance
        score = separation / limit
        np.fill_diagonal(score, np.inf)
        score[parents[:, None] != parents] = np.inf
        one, other = sorted(int(k) for k in np.unravel_index(int(score.argmin()), score.shape))
        yield score, one, other
        products[one] += products[other]
        products[:, one] += products[:, other]
        products = np.delete(np.delete(products, other, 0), other, 1)
        sizes[one] += sizes[other]
        seconds[one] += seconds[other]
        sizes, seconds, parents = (np.delete(each, other) for each in (sizes, seconds, parents))


def _compute_limits(separation: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the separation from which two speakers are two [shape=(speakers, speakers)]."""
    median = float(np.median(separation[np.triu_indices(len(separation), 1)]))
    share = _MEDIAN_SHARE * min(1.0, _MEDIAN_SPEAKERS / len(separation))
    smaller = np.maximum(np.minimum(seconds[:, None], seconds), 1e-3)
    shrinkage: NDArray[np.float64] = np.clip((_LIMIT_SECONDS / smaller) ** _LIMIT_POWER, _LEAST_SHRINKAGE, 1)
    return min(max(_LEAST_LIMIT, share * median), _MOST_LIMIT) * shrinkage


def _renumber(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return numbers
