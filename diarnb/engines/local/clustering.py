"""How many voices there are, and which piece of speech is whose.

Voices are modelled as a Bayesian mixture of Gaussians with one known, spherical spread within a voice. It begins with
more voices than any table has seats and lets the evidence take away those that explain nothing: adding a voice has to
pay for itself. That is the mixture part of VBx without its hidden Markov chain; time comes in later (`decoding`).

References
----------
Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", Computer Speech and
Language 71, 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WITHIN = 0.003  # variance of an embedding's entry around its voice
_BETWEEN = 0.002  # variance of a voice's entry around the recording's mean
_TRUST = 0.5  # how far a piece counts as evidence of its own: neighbours share sound, so less than one
_COST = 5.0  # what a voice has to pay for, in the same money
_VOICES = 30  # to begin with
_ENOUGH = 400.0  # seconds; beyond, voices get dearer: more of the same must not split one by mood or microphone
_SAME = 0.75  # two voices whose corrected cosine is above this are one
_SAMPLE = 1000  # pieces to learn the voices from: about as much speech as is enough
_PRIOR_PAIRS = 10  # pairs of pieces that the expected similarity within a voice counts for


def cluster(
    voices: NDArray[np.float32],
    weights: NDArray[np.float32],
    low: int,
    high: int | None,
    threshold: float | None = None,
) -> NDArray[np.int64]:
    """Say whose each piece is.

    Parameters
    ----------
    voices : numpy.ndarray [shape=(pieces, 192)]
        Unit vectors.
    weights : numpy.ndarray [shape=(pieces,)]
        Seconds that each was made from.
    low, high : int, int or None
        Least and greatest number of voices; both are met, except that there are never more voices than pieces.
    threshold : float, optional
        Merge voices until no two are closer than this cosine distance (0-2); without one the evidence decides.

    Returns
    -------
    numpy.ndarray [shape=(pieces,)]
        A number for each piece; the numbers are 0, 1, ... without gaps.
    """
    low = min(low, len(voices))
    high = len(voices) if high is None else min(high, len(voices))
    if len(voices) > max(_SAMPLE, low):  # learn from an even sample; the others go to the nearest voice
        sample = np.linspace(0, len(voices) - 1, max(_SAMPLE, low)).round().astype(int)
        learnt = cluster(voices[sample], weights[sample], low, high, threshold)
        centres = np.stack([voices[sample][learnt == k].mean(0) for k in range(learnt.max() + 1)])
        labels: NDArray[np.int64] = (voices @ centres.T / np.linalg.norm(centres, axis=1)).argmax(1)
        labels[sample] = learnt
        return labels
    if low == high:
        return _exactly(voices, weights, low)
    if threshold is None:
        labels = _mixture(voices, weights, _initial(voices, max(_VOICES, low)), prune=True)
        labels = merge(voices, labels, least=low, most=high, same=_SAME)
    else:
        labels = merge(voices, _initial(voices, max(_VOICES, low)), least=low, most=high, same=1 - threshold)
    return labels if labels.max() + 1 >= low else _exactly(voices, weights, low)


def _exactly(voices: NDArray[np.float32], weights: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Split into a given number, none of them empty."""
    many = _initial(voices, max(_VOICES, count))
    found = _mixture(voices, weights, many, prune=True)
    start = found if found.max() + 1 >= count else many  # the evidence wants fewer: begin before it was asked
    start = merge(voices, start, least=count, most=count, same=np.inf)
    labels = _mixture(voices, weights, start, prune=False)
    return labels if labels.max() + 1 == count else start


def _initial(voices: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Cluster by Ward's method, into as many as asked for or as there are pieces."""
    if len(voices) < 2:
        return np.zeros(len(voices), np.int64)
    return _renumbered(cut_tree(linkage(voices, "ward"), [min(count, len(voices))])[:, 0])


def _mixture(
    voices: NDArray[np.float32], weights: NDArray[np.float32], first: NDArray[np.int64], *, prune: bool
) -> NDArray[np.int64]:
    """Variational inference of the mixture from a first guess; with `prune` the evidence may empty a voice."""
    size, ratio = voices.shape[1], _BETWEEN / _WITHIN
    cost = _COST * max(1.0, float(weights.sum()) / _ENOUGH)
    mean = weights @ voices / max(float(weights.sum()), 1e-9)
    points = (voices - mean) * np.float32(np.sqrt(ratio / _WITHIN))
    share = np.exp(5 * (first[:, None] == np.arange(first.max() + 1)).astype(np.float32))
    share /= share.sum(1, keepdims=True)
    prior = np.full(share.shape[1], 1 / share.shape[1], np.float32)
    last = -np.inf
    for _ in range(60):
        weighted = share * weights[:, None]
        spread = 1 / (1 + _TRUST / cost * ratio * weighted.sum(0))
        centre = _TRUST / cost * spread[:, None] * (weighted.T @ points)
        energy = size * spread + (centre**2).sum(1)
        likelihood = _TRUST * weights[:, None] * (points @ centre.T - ratio / 2 * energy) + np.log(prior + 1e-30)
        top = likelihood.max(1, keepdims=True)
        share = np.exp(likelihood - top)
        total = share.sum(1, keepdims=True)
        share /= total
        bound = float((top + np.log(total)).sum() + cost / 2 * (size * np.log(spread) - energy + size).sum())
        if prune:
            prior = share.mean(0)
            alive = prior > 1e-4 / len(voices)
            share, prior = share[:, alive], prior[alive]
        if bound - last < 1e-5 * len(voices):
            break
        last = bound
    return _renumbered(share.argmax(1))


def merge(
    voices: NDArray[np.float32], labels: NDArray[np.int64], *, least: int, most: int, same: float
) -> NDArray[np.int64]:
    """Merge the two closest voices until all are apart and few enough.

    Closeness is the cosine between two voices' pieces divided by that within each, so that it is about one for one
    voice cut in two whatever the recording's noise and channel make of the cosines themselves.
    """
    count = int(labels.max()) + 1
    sums = np.stack([voices[labels == k].sum(0, dtype=np.float64) for k in range(count)])
    sizes = np.bincount(labels, minlength=count).astype(np.float64)
    expected = _expected_within(voices)
    names: NDArray[np.int64] = np.arange(count)
    while len(sizes) > least:
        products = sums @ sums.T
        pairs = sizes * (sizes - 1)
        within = (products.diagonal() - sizes + _PRIOR_PAIRS * expected) / (pairs + _PRIOR_PAIRS)
        within = np.maximum(within, 0.1)
        closeness = products / np.outer(sizes, sizes) / np.sqrt(np.outer(within, within))
        np.fill_diagonal(closeness, -np.inf)
        one, other = sorted(np.unravel_index(int(closeness.argmax()), closeness.shape))
        if closeness[one, other] < same and len(sizes) <= most:
            break
        sums[one] += sums[other]
        sizes[one] += sizes[other]
        sums, sizes = np.delete(sums, other, axis=0), np.delete(sizes, other)
        names[names == other] = one
        names[names > other] -= 1
    merged: NDArray[np.int64] = names[labels]
    return merged


def _expected_within(voices: NDArray[np.float32]) -> float:
    """Typical cosine of a piece with the few most like it, which will be of the same voice."""
    if len(voices) < 2:
        return 0.5
    cosines = voices @ voices.T
    np.fill_diagonal(cosines, -1)
    nearest = min(6, len(voices) - 1)
    return max(float(np.median(np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(1))), 0.3)


def _renumbered(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return numbers
