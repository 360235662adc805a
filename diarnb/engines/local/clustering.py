"""How many voices there are, and which piece of speech is whose.

Voices are modelled as a Bayesian mixture of Gaussians with one spherical spread within a voice, which the recording
itself tells: how unlike two pieces of one breath are. It begins with more voices than any table has seats and lets the
evidence take away those that explain nothing: adding a voice has to pay for itself. That is the mixture part of VBx
without its hidden Markov chain; time comes in later (`decoding`). At the end, voices that are hardly apart become one.

References
----------
Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", Computer Speech and
Language 71, 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SPREAD = 1.15  # variance within a voice, in that within a breath: voices change over time
_BETWEEN = 0.67  # variance of the voices around the recording's mean, in that within a voice
_TRUST = 0.5  # how far a piece counts as evidence of its own: neighbours share sound, so less than one
_COST = 5.0  # what a voice has to pay for, in the same money
_VOICES = 30  # to begin with
_ENOUGH = 400.0  # seconds; beyond, voices get dearer: more of the same must not split one by mood or microphone
_APART = 0.2  # two voices are one that are no further apart than this, in the spread within a voice,
_USUAL = 0.45  # or than this, in what is usual between the recording's voices,
_FAR = 0.45  # but never if further apart than this
_SAMPLE = 1000  # pieces to learn the voices from: about as much speech as is enough
_FIRST_SAMPLE = 500  # and for the first guess, which takes time with the square of it
_ALIKE, _ALIKE_PAIRS = 0.5, 20  # expected cosine of two pieces of one breath, and how many pairs that counts for
_NEAR = 0.02  # by which pieces of one breath seem less alike than they are: it may hide a change of voice
_LAGS = range(2, 8)  # pieces apart; direct neighbours share sound
_ROUNDS = 3  # of going to the nearest voice: a mixture alone would hold one of few pieces to be part of another
_PRIOR_PAIRS = 10  # pairs of pieces that the recording's likeness counts for in every voice


def likeness(voices: NDArray[np.float32], breaths: NDArray[np.int64]) -> float:
    """Tell how alike two pieces of one voice are in this recording.

    Parameters
    ----------
    voices : numpy.ndarray [shape=(pieces, 192)]
        Unit vectors, in order of time.
    breaths : numpy.ndarray [shape=(pieces,)]
        A number for each stretch of speech in which the voice does not change.

    Returns
    -------
    float
        Their mean cosine.
    """
    total, count = _ALIKE * _ALIKE_PAIRS, _ALIKE_PAIRS
    for lag in _LAGS:
        same = breaths[lag:] == breaths[:-lag]
        total += float((voices[lag:][same] * voices[:-lag][same]).sum())
        count += int(same.sum())
    return min(total / count + _NEAR, 0.95)


def cluster(
    voices: NDArray[np.float32],
    weights: NDArray[np.float32],
    alike: float,
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
    alike : float
        Mean cosine of two pieces of one voice, from `likeness`.
    low, high : int, int or None
        Least and greatest number of voices; both are met, except that there are never more voices than pieces.
    threshold : float, optional
        Merge voices until no two are closer than this cosine distance (0-2), the distance within them taken off;
        without one the evidence decides.

    Returns
    -------
    numpy.ndarray [shape=(pieces,)]
        A number for each piece; the numbers are 0, 1, ... without gaps.
    """
    low = min(low, len(voices))
    high = len(voices) if high is None else min(high, len(voices))
    if len(voices) > max(_SAMPLE, low):  # learn from some; the others go to the nearest voice
        some = _some(len(voices), low)
        return _to_all(voices, some, cluster(voices[some], weights[some], alike, low, high, threshold))
    many = _initial(voices, max(_VOICES, low))
    labels = many if threshold is not None else _mixture(voices, weights, alike, many, prune=True)
    if low < high:
        labels = _merged(voices, labels, alike, low, high, threshold)
    if labels.max() + 1 < low:
        return _divided(voices, labels, many, alike, low)
    return _exactly(voices, weights, alike, low, labels) if low == high else labels


def settle(
    voices: NDArray[np.float32],
    weights: NDArray[np.float32],
    alike: float,
    first: NDArray[np.int64],
    possible: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Say whose each piece is when something is known of some, from a first guess.

    Parameters
    ----------
    voices, weights, alike
        As `cluster` takes them.
    first : numpy.ndarray [shape=(pieces,)]
        A voice for each piece, -1 for no guess.
    possible : numpy.ndarray [shape=(pieces, voices)]
        Whose a piece can be: at least one voice's, and each voice is somewhere guessed or certain.

    Returns
    -------
    numpy.ndarray [shape=(pieces,)]
        A voice for each piece, by the numbers that came in.
    """
    numbers = np.arange(possible.shape[1])
    for _ in range(_ROUNDS):
        centres = ((first[:, None] == numbers) * weights[:, None]).T @ voices
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
        first = np.where(possible, voices @ centres.T, -np.inf).argmax(1)
    return _mixture(voices, weights, alike, first, prune=False, possible=possible)


def kept(voices: NDArray[np.float32], weights: NDArray[np.float32], alike: float, labels: NDArray[np.int64]) -> int:
    """Tell how many of some voices are left when the evidence may take away what explains too little.

    Parameters
    ----------
    voices, weights, alike, labels
        As `cluster` takes and gives them.
    """
    some = _some(len(voices))
    return int(_mixture(voices[some], weights[some], alike, _renumbered(labels[some]), prune=True).max()) + 1


def _some(total: int, least: int = 1, most: int = _SAMPLE) -> NDArray[np.int64]:
    """Give an even sample of as many pieces as are enough to learn voices from, or all."""
    return np.linspace(0, total - 1, min(total, max(most, least))).round().astype(np.int64)


def _to_all(voices: NDArray[np.float32], some: NDArray[np.int64], learnt: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give all pieces to the nearest of the voices that were learnt from some."""
    centres = np.stack([voices[some][learnt == k].mean(0) for k in range(learnt.max() + 1)])
    labels: NDArray[np.int64] = (voices @ centres.T / np.linalg.norm(centres, axis=1)).argmax(1)
    labels[some] = learnt
    return labels


def _exactly(
    voices: NDArray[np.float32], weights: NDArray[np.float32], alike: float, count: int, first: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Merge a first guess down to a given number, none of them empty."""
    start = _merged(voices, first, alike, count, count)
    labels = _mixture(voices, weights, alike, start, prune=False)
    return labels if labels.max() + 1 == count else start


def _divided(
    voices: NDArray[np.float32], labels: NDArray[np.int64], many: NDArray[np.int64], alike: float, count: int
) -> NDArray[np.int64]:
    """Cut voices along a finer clustering until there are as many as asked for, and join no two of them.

    To merge the finer one alone would keep a few odd pieces apart, and make one of voices that are alike.
    """
    parts = _renumbered(labels * (many.max() + 1) + many)
    whole = labels[np.unique(parts, return_index=True)[1]]
    return _merged(voices, parts, alike, count, count, whole=whole)


def _initial(voices: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Cluster by Ward's method, into as many as asked for or as there are pieces."""
    if len(voices) < 2:
        return np.zeros(len(voices), np.int64)
    some = _some(len(voices), count, _FIRST_SAMPLE)
    first = fcluster(linkage(voices[some], "ward"), min(count, len(some)), "maxclust")
    return _to_all(voices, some, _renumbered(first))


def _mixture(
    voices: NDArray[np.float32],
    weights: NDArray[np.float32],
    alike: float,
    first: NDArray[np.int64],
    *,
    prune: bool,
    possible: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Variational inference of the mixture from a first guess.

    With `prune` the evidence may empty a voice; with `possible` (`settle`) voices keep their numbers.
    """
    size = voices.shape[1]
    within = _SPREAD * (1 - alike) / size
    cost = _COST * max(1.0, float(weights.sum()) / _ENOUGH)
    mean = weights @ voices / max(float(weights.sum()), 1e-9)
    points = (voices - mean) * np.float32(np.sqrt(_BETWEEN / within))
    count = first.max() + 1 if possible is None else possible.shape[1]
    share = np.exp(5 * (first[:, None] == np.arange(count)).astype(np.float32))
    if possible is not None:
        share *= possible
    share /= share.sum(1, keepdims=True)
    prior = np.full(share.shape[1], 1 / share.shape[1], np.float32)
    last = -np.inf
    for _ in range(60):
        weighted = share * weights[:, None]
        spread = 1 / (1 + _TRUST / cost * _BETWEEN * weighted.sum(0))
        centre = _TRUST / cost * spread[:, None] * (weighted.T @ points)
        energy = size * spread + (centre**2).sum(1)
        likelihood = _TRUST * weights[:, None] * (points @ centre.T - _BETWEEN / 2 * energy) + np.log(prior + 1e-30)
        if possible is not None:
            likelihood[~possible] = -np.inf
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
    labels: NDArray[np.int64] = share.argmax(1)
    return _renumbered(labels) if possible is None else labels


def _merged(
    voices: NDArray[np.float32],
    labels: NDArray[np.int64],
    alike: float,
    low: int,
    high: int,
    threshold: float | None = None,
    whole: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Merge the two closest voices until all are apart and few enough."""
    names: NDArray[np.int64] = np.arange(labels.max() + 1)
    for apart, spread, one, other in merges(voices, labels, alike, whole):
        enough = limit(apart) if threshold is None else threshold / spread[one, other]
        if len(apart) <= low or (len(apart) <= high and apart[one, other] >= enough):
            break
        names[names == other] = one
        names[names > other] -= 1
    merged: NDArray[np.int64] = names[labels]
    return merged


def merges(
    voices: NDArray[np.float32], labels: NDArray[np.int64], alike: float, whole: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], int, int]]:
    """Go on merging the two closest voices down to one.

    Two voices are as far apart as their pieces are less alike than pieces of the same one. That is about nothing for
    a voice cut in two, whatever the recording's noise and channel make of the cosines themselves.

    Parameters
    ----------
    voices, labels, alike
        As `cluster` takes and gives them.
    whole : numpy.ndarray [shape=(voices,)], optional
        What each is a part of; only parts of the same come together. By default any do.

    Yields
    ------
    apart : numpy.ndarray [shape=(voices, voices)]
        How far apart any two are before the merge, in the spread within a voice.
    spread : numpy.ndarray [shape=(voices, voices)]
        That spread, for any two: cosine distance of two pieces of the same voice.
    one, other : int
        The closest two, ``one < other``; `other` becomes `one`, and those behind it move up.
    """
    count = int(labels.max()) + 1
    members = (labels == np.arange(count)[:, None]).astype(np.float32)
    products = (members @ voices).astype(np.float64)
    products = products @ products.T
    sizes = members.sum(1, dtype=np.float64)
    whole = np.zeros(count, np.int64) if whole is None else whole
    while len(sizes) > 1:
        pairs = sizes * (sizes - 1)
        within = (products.diagonal() - sizes + _PRIOR_PAIRS * alike) / (pairs + _PRIOR_PAIRS)
        both = (within[:, None] + within) / 2
        spread = np.maximum(1 - both, 0.05)
        apart = (both - products / np.outer(sizes, sizes)) / spread
        np.fill_diagonal(apart, np.inf)
        apart[whole[:, None] != whole] = np.inf
        one, other = sorted(int(k) for k in np.unravel_index(int(apart.argmin()), apart.shape))
        yield apart, spread, one, other
        products[one] += products[other]
        products[:, one] += products[:, other]
        products = np.delete(np.delete(products, other, 0), other, 1)
        sizes[one] += sizes[other]
        sizes, whole = np.delete(sizes, other), np.delete(whole, other)


def limit(apart: NDArray[np.float64]) -> float:
    """Tell how far apart two voices must be to be two, given how far apart all are, as `merges` says."""
    return min(max(_APART, _USUAL * float(np.median(apart[np.triu_indices(len(apart), 1)]))), _FAR)


def _renumbered(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return numbers
