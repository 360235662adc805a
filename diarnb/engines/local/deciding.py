"""From what was heard to who speaks in every frame, for a number of speakers that is given or found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.local.clustering import cluster, likeness
from diarnb.engines.local.decoding import Decision, decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb.engines.local.listening import Heard

_TRUSTED = 0.4  # seconds; a piece heard for less takes part only where there is nothing better
_SOMEBODY = 1.0  # seconds; a voice heard for less is not taken for a speaker


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
