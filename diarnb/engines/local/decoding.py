"""From pieces and voices to who speaks in every frame, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.local.clustering import cluster, likeness
from diarnb.engines.local.pieces import runs_of
from diarnb.engines.local.segmentation import RESOLUTION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb.engines.local.evidence import Heard


_TRUSTED = 0.4  # seconds; a piece heard for less takes part only where there is nothing better

_SOMEBODY = 1.0  # seconds; a voice heard for less is not taken for a speaker

_SHARPNESS = 50.0  # log-likelihood of a cosine of one, for one second of clean speech, to choose the speaker by

_CAUTION = 15.0  # the same, to say how sure that is: a voice errs for many seconds at a time

_SWITCH = 2.0  # log-probability lost when the floor goes to somebody else without a pause

_PAUSE = 1.0  # seconds of silence after which most of that is forgiven

_SHORT = 0.5  # seconds; the embedding of a shorter piece says less

_OVERLAP = 0.55  # probability of two speaking above which a second one is named

_SHORTEST_OVERLAP = 3  # frames

_LIKENESS = 4.0  # seconds away that a speaker may be for a cosine higher by one, when the second one is named

_NEIGHBOURHOOD = 30.0  # seconds within which a second speaker is looked for

_NEVER = 300.0  # log-probability lost by what is impossible: its square is still a number

_BLOCK = 100_000  # frames


@dataclass(frozen=True)
class Decision:
    """Who speaks when, on the frame grid.

    Attributes
    ----------
    first, second : numpy.ndarray [shape=(frames,)], int16
        The speaker, and the one who speaks over him; -1 for nobody.
    piece : numpy.ndarray [shape=(frames,)], int32
        The piece of speech that a frame lies in; -1 for none.
    posterior : numpy.ndarray [shape=(pieces, speakers)], float64
        Probability that a piece is a speaker's.
    speech, overlap : numpy.ndarray [shape=(frames,)], float32
        Probability of anybody and of two speaking.
    """

    first: NDArray[np.int16]
    second: NDArray[np.int16]
    piece: NDArray[np.int32]
    posterior: NDArray[np.float64]
    speech: NDArray[np.float32]
    overlap: NDArray[np.float32]

    @property
    def speakers(self) -> int:
        """How many there are."""
        return int(self.posterior.shape[1])

    def active(self, speaker: int) -> NDArray[np.bool_]:
        """Give the frames in which a speaker speaks."""
        found: NDArray[np.bool_] = (self.first == speaker) | (self.second == speaker)
        return found

    def activation(self) -> NDArray[np.float32]:
        """Give the probability that a speaker speaks [shape=(frames, speakers)]; it takes room, unlike the rest."""
        found = np.zeros((len(self.first), self.speakers), np.float32)
        posterior, also = self.posterior.astype(np.float32), self._also().astype(np.float32)
        for start in range(0, len(found), _BLOCK):  # in blocks: hours of frames times dozens of speakers add up
            frames = start + np.flatnonzero(self.piece[start : start + _BLOCK] >= 0)
            alone, both = self.speech[frames, None], self._both(frames)[:, None]
            found[frames] = alone * posterior[self.piece[frames]] + both * also[self.piece[frames]]
        return np.minimum(found, 1, out=found)

    def mean_activation(self, spans: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give the mean of `activation` within each span of frames [shape=(spans, speakers)]."""
        # Within a stretch between two edges of pieces or spans nothing but `speech` and `overlap` changes.
        edges = np.unique(np.concatenate([[0], np.flatnonzero(np.diff(self.piece)) + 1, spans.ravel()]))
        edges = edges[edges < len(self.piece)]
        piece = self.piece[edges]
        sums = np.zeros((len(edges) + 1, self.speakers))
        if len(self.posterior):  # else nobody speaks anywhere
            alone, both = (
                np.add.reduceat(np.where(self.piece >= 0, each, 0), edges, dtype=np.float64)[:, None]
                for each in (self.speech, self._both(slice(None)))
            )
            np.cumsum(alone * self.posterior[piece] + both * self._also()[piece], axis=0, out=sums[1:])
        start, end = np.searchsorted(edges, spans).T
        mean: NDArray[np.float64] = (sums[end] - sums[start]) / (spans[:, 1] - spans[:, 0])[:, None]
        return np.minimum(mean, 1)

    def certainty(self) -> NDArray[np.float32]:
        """Give the probability that a frame is decided rightly [shape=(frames,)]."""
        found = 1 - self.speech
        frames = np.flatnonzero(self.piece >= 0)
        piece, one, other = self.piece[frames], self.first[frames], self.second[frames]
        both, odds = self._both(frames), self._odds()
        alone = (self.speech[frames] - both) * self.posterior[piece, one]
        pair = self.posterior[piece, one] * odds[piece, other] + self.posterior[piece, other] * odds[piece, one]
        found[frames] = np.where(other < 0, alone, both * pair)
        return np.clip(found, 0, 1, out=found)

    def _both(self, frames: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Probability that two of the speakers speak; there may be just one."""
        return np.minimum(self.overlap[frames], self.speech[frames]) * np.float32(self.speakers > 1)

    def _odds(self) -> NDArray[np.float64]:
        odds: NDArray[np.float64] = self.posterior / np.maximum(1 - self.posterior, 1e-6)
        return odds

    def _also(self) -> NDArray[np.float64]:
        """Probability of being the second: drawn from the posterior too, without putting the first one back."""
        odds = self._odds()
        also: NDArray[np.float64] = self.posterior * (odds.sum(1, keepdims=True) - odds)
        return also


def decode(
    pieces: NDArray[np.int32],
    change: NDArray[np.float32],
    voices: NDArray[np.float32],
    weights: NDArray[np.float32],
    labels: NDArray[np.int64],
    speech: NDArray[np.float32],
    overlap: NDArray[np.float32],
    *,
    keep_all: bool,
) -> Decision:
    """Decide every frame.

    Parameters
    ----------
    pieces, change : numpy.ndarray [shape=(pieces, 2)] and [shape=(pieces,)]
        From `pieces.cut`.
    voices, weights : numpy.ndarray [shape=(pieces, 192)] and [shape=(pieces,)]
        From `embedding.embed`.
    labels : numpy.ndarray [shape=(pieces,)]
        Whose a piece is, -1 where its embedding was not trusted.
    speech, overlap : numpy.ndarray [shape=(frames,)]
        Probability of anybody and of two speaking.
    keep_all : bool
        Whether every voice must be heard in the end, as when the number of speakers was given.
    """
    cosine = voices @ _centres(voices, weights, labels).T
    likelihood = _likelihoods(pieces, weights, cosine)
    switch = _switching(pieces, change)
    path = _best_path(_SHARPNESS * likelihood, switch)
    if keep_all:
        path = _with_everybody(path, labels)
    first = np.full(len(speech), -1, np.int16)
    owner = np.full(len(speech), -1, np.int32)
    for number, (start, end) in enumerate(pieces):
        first[start:end], owner[start:end] = path[number], number
    second = _second_speakers(pieces, path, first, overlap, cosine)
    posterior = _posterior(_CAUTION * likelihood, switch)
    posterior = 0.999 * posterior + 0.001 / posterior.shape[1]  # nobody is impossible, and two may speak
    return Decision(first, second, owner, posterior, speech, overlap)


def memberships(
    pieces: NDArray[np.int32],
    change: NDArray[np.float32],
    voices: NDArray[np.float32],
    weights: NDArray[np.float32],
    labels: NDArray[np.int64],
    possible: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Give the probability that a piece is a speaker's, as sharply as speakers are chosen [shape=(pieces, speakers)].

    Parameters
    ----------
    pieces, change, voices, weights, labels
        As `decode` takes them; each speaker has a piece.
    possible : numpy.ndarray [shape=(pieces, speakers)]
        Whose a piece can be, at least one speaker's.
    """
    cosine = voices @ _centres(voices, weights, labels).T
    likelihood = _SHARPNESS * _likelihoods(pieces, weights, cosine)
    best = np.where(possible, likelihood, -np.inf).max(1, keepdims=True)
    likelihood = np.where(possible, np.maximum(likelihood, best - _NEVER), best - _NEVER)
    return _posterior(likelihood, _switching(pieces, change))


def _centres(
    voices: NDArray[np.float32], weights: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    members = (labels == np.arange(labels.max() + 1)[:, None]) * np.minimum(weights, 1.5)
    sums = members @ voices
    unit: NDArray[np.float32] = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)).astype(
        np.float32
    )
    return unit


def _likelihoods(
    pieces: NDArray[np.int32], weights: NDArray[np.float32], cosine: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Log-likelihood of each voice but for a factor: its cosine, for as much as a piece can be trusted."""
    length = (pieces[:, 1] - pieces[:, 0]) * RESOLUTION
    trust = np.minimum(weights, 1.5) * np.minimum(length / _SHORT, 1)
    result: NDArray[np.float64] = trust[:, None] * cosine
    return result


def _switching(pieces: NDArray[np.int32], change: NDArray[np.float32]) -> NDArray[np.float64]:
    """Price of another speaker at the beginning of each piece: less after a pause or a change of voice."""
    pause = np.maximum(pieces[1:, 0] - pieces[:-1, 1], 0) * RESOLUTION
    price = _SWITCH * np.exp(-pause / _PAUSE)
    price = np.where(pause == 0, price * (1 - change[1:]), price)
    return np.concatenate([[0.0], np.maximum(price, 0.5)])


def _best_path(likelihood: NDArray[np.float64], switch: NDArray[np.float64]) -> NDArray[np.int64]:
    """Viterbi, with one price for going to any other speaker."""
    score = likelihood.copy()
    for before, here, price in zip(score, score[1:], switch[1:].tolist(), strict=False):
        here += np.maximum(before, before.max() - price)
    best = score[:-1].argmax(1)
    stays = score[:-1] >= (score[np.arange(len(best)), best] - switch[1:])[:, None]
    path = [int(score[-1].argmax())]
    for stay, other in zip(stays[::-1].tolist(), best[::-1].tolist(), strict=True):
        path.append(path[-1] if stay[path[-1]] else other)
    return np.array(path[::-1])


def _posterior(likelihood: NDArray[np.float64], switch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Forward-backward over the same chain."""
    emission = np.exp(likelihood - likelihood.max(1, keepdims=True))
    leave = np.exp(-switch)
    leave[:1] = 1.0
    # The chain looks the same from its end, so both passes go together: [shape=(pieces, 2, speakers)].
    both = np.stack([emission, emission[::-1]], 1)
    leave = np.stack([leave, np.append(1.0, leave[:0:-1])], 1)[:, :, None]
    share, ones = np.ones(both.shape[1:]), np.ones((both.shape[2], 1))
    # staying has weight 1 and every other speaker has weight `leave`
    for here, go, stay in zip(both, leave, 1 - leave, strict=True):
        here *= stay * share + go
        share = here / (here @ ones)
    joint = both[:, 0] * both[::-1, 1] / emission
    posterior: NDArray[np.float64] = joint / joint.sum(1, keepdims=True)
    return posterior


def _with_everybody(path: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give back the floor to speakers whom smoothing has silenced, without silencing another."""
    path = path.copy()
    for lost in np.setdiff1d(np.arange(labels.max() + 1), path):
        own = np.flatnonzero(labels == lost)
        for i in own:
            if np.count_nonzero(path == path[i]) > 1:
                path[i] = lost
    return path


def _second_speakers(
    pieces: NDArray[np.int32],
    path: NDArray[np.int64],
    first: NDArray[np.int16],
    overlap: NDArray[np.float32],
    cosine: NDArray[np.float32],
) -> NDArray[np.int16]:
    """Name who else speaks where two do: somebody heard close by in time, and who sounds like it."""
    second = np.full(len(first), -1, np.int16)
    speakers = cosine.shape[1]
    if speakers < 2:
        return second
    for start, end in runs_of((overlap >= _OVERLAP) & (first >= 0)):
        if end - start < _SHORTEST_OVERLAP:
            continue
        reach = round(_NEIGHBOURHOOD / RESOLUTION)
        near = slice(*np.searchsorted(pieces[:, 0], [start - reach, end + reach]))
        away = np.maximum(np.maximum(pieces[near, 0] - end, start - pieces[near, 1]), 0) * RESOLUTION
        here = away == 0
        score = _LIKENESS * cosine[near][here].mean(0)
        for speaker in range(speakers):
            heard = away[path[near] == speaker]
            score[speaker] -= heard.min() if len(heard) else _NEIGHBOURHOOD
        order = np.argsort(-score, kind="stable")
        # the best that is not the first speaker himself
        second[start:end] = np.where(first[start:end] == order[0], order[1], order[0])
    return second


def decide(heard: Heard, low: int, high: int | None, threshold: float | None) -> Decision:
    """Decide one channel; its speakers are numbered by when they first speak.

    Parameters
    ----------
    heard : Heard
    low, high : int, int or None
        Bounds for the number of speakers.
    threshold : float or None
        As `clustering.cluster` takes it.
    """
    speech, overlap = heard.frames.astype(np.float32) / 255
    if not len(heard.pieces):
        nobody = np.full(len(speech), -1, np.int16)
        return Decision(nobody, nobody, nobody.astype(np.int32), np.zeros((0, 0)), speech, overlap)
    weights = heard.weights
    voices, taken, alike = comparable(heard, low)
    found = cluster(voices[taken], weights[taken], alike, low, high, threshold)
    wanted = low > 1 or threshold is not None  # who was asked for is kept, however little he says
    time = np.bincount(found, weights[taken])
    faint = np.flatnonzero(time < (0 if wanted else min(_SOMEBODY, time.max())))
    labels = np.full(len(weights), -1, np.int64)
    labels[taken] = np.where(np.isin(found, faint), -1, found)
    labels[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)[1]
    change = heard.change.astype(np.float32)
    decision = decode(heard.pieces, change, voices, weights, labels, speech, overlap, keep_all=wanted)
    return by_first_appearance(decision)


def comparable(heard: Heard, low: int) -> tuple[NDArray[np.float32], NDArray[np.int64], float]:
    """Give the voices as unit vectors, which of them are trusted, and how alike pieces of one voice are."""
    voices = heard.voices.astype(np.float32)
    voices /= np.maximum(np.linalg.norm(voices, axis=1, keepdims=True), 1e-6)
    taken = trusted(heard.weights, low)
    breaths = np.cumsum((heard.change > 0).astype(np.int64))  # without a change a piece goes on with the breath before
    return voices, taken, likeness(voices[taken], breaths[taken])


def trusted(weights: NDArray[np.float32], low: int) -> NDArray[np.int64]:
    """Give the pieces that were heard for long enough to tell voices apart, or all where these are too few."""
    long = np.flatnonzero(weights >= min(_TRUSTED, float(weights.max())))
    return long if len(long) >= low else np.arange(len(weights))


def by_first_appearance(decision: Decision) -> Decision:
    """Order speakers by when they first speak, and forget those who never do."""
    begins = [np.flatnonzero(decision.active(k))[:1] for k in range(decision.speakers)]
    order = [k for _, k in sorted((int(begin[0]), k) for k, begin in enumerate(begins) if len(begin))]
    new = np.full(len(begins) + 1, -1, np.int16)  # the last one is for nobody, -1
    new[order] = np.arange(len(order))
    return replace(
        decision, first=new[decision.first], second=new[decision.second], posterior=decision.posterior[:, order]
    )
