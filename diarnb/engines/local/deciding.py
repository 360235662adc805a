"""From what was heard to who speaks in every frame, for a number of speakers that is given or found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.local.clustering import cluster
from diarnb.engines.local.decoding import Decision, decode

if TYPE_CHECKING:
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
        return Decision(nobody, nobody, np.zeros((len(speech), 0), np.float32), 1 - speech)
    voices, weights = heard.voices.astype(np.float32), heard.weights
    voices /= np.maximum(np.linalg.norm(voices, axis=1, keepdims=True), 1e-6)
    trusted = np.flatnonzero(weights >= min(_TRUSTED, float(weights.max())))
    if len(trusted) < low:
        trusted = np.arange(len(weights))
    found = cluster(voices[trusted], weights[trusted], low, high, threshold)
    wanted = low > 1 or threshold is not None  # who was asked for is kept, however little he says
    time = np.bincount(found, weights[trusted])
    faint = np.flatnonzero(time < (0 if wanted else min(_SOMEBODY, time.max())))
    labels = np.full(len(weights), -1, np.int64)
    labels[trusted] = np.where(np.isin(found, faint), -1, found)
    labels[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)[1]
    change = heard.change.astype(np.float32)
    decision = decode(heard.pieces, change, voices, weights, labels, speech, overlap, keep_all=wanted)
    return _by_first_appearance(decision)


def _by_first_appearance(decision: Decision) -> Decision:
    """Order speakers by when they first speak, and forget those who never do."""
    begins = [np.flatnonzero(decision.active(k))[:1] for k in range(decision.speakers)]
    order = [k for _, k in sorted((int(begin[0]), k) for k, begin in enumerate(begins) if len(begin))]
    new = np.full(len(begins) + 1, -1, np.int16)  # the last one is for nobody, -1
    new[order] = np.arange(len(order))
    kept = decision.activation[:, order]
    return Decision(new[decision.first], new[decision.second], kept, decision.certainty)
