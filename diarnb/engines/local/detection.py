"""Detect speech from the segmentation network's scores and the energy of the signal.

The network alone is late at the edges of speech, where energy is exact; energy alone cannot tell speech from noise. A
logistic regression on both scores every frame, and two-state Viterbi decoding smooths the scores into regions.

References
----------
`benchmarks.detection` fits the regression on recordings with a reference, and shows what each part is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.local.segmentation import RATE, STEP
from diarnb.engines.local.segments import find_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# All of these were chosen by `benchmarks.detection`, on the TUNE half of the recordings of `benchmarks.accuracy`.
_FLOOR_REACH = 15 * RATE // STEP  # frames on either side in which the noise floor is measured
_FLOOR_PERCENTILE = 8
_FLOOR_STEP = RATE // STEP  # frames, 1 s, that share a floor
_TOP_REACH = RATE // STEP  # frames on either side in which the level of speech is measured
_SPEECH = 0.5  # probability of speech above which a frame tells its level
_SIDE = 6  # frames, 0.1 s, to the scores before and after
_SMOOTH = 2  # frames on either side that energy is averaged over
_LEAST_RANGE, _MOST_RANGE = 5.0, 50.0  # dB from floor to top
_CLIP = 0.004  # probability from 0 and 1 that log-odds are clipped at
_COEFFICIENTS = np.array([0.1175, 0.3681, 0.2609, -2.5275, 2.3426, 2.9324, 0.3295, -0.2868, -0.6062, -1.0208])
_OFFSET = 0.4  # log-odds that speech must exceed: references leave edges out
_SWITCH = 6.0  # log-odds, summed over frames, that a change between speech and silence costs
_REACH = max(_FLOOR_REACH + _FLOOR_STEP, _TOP_REACH + _SMOOTH, _SIDE)  # frames that a score depends on


def compute_features(speech: NDArray[np.float32], energy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute what the regression takes.

    Parameters
    ----------
    speech : numpy.ndarray [shape=(frames,)]
        Probability of speech.
    energy : numpy.ndarray [shape=(frames,)]
        In dB, against any reference.

    Returns
    -------
    numpy.ndarray [shape=(frames, 10)]
        The last column is ones.
    """
    odds = np.clip(speech.astype(np.float64), _CLIP, 1 - _CLIP)
    odds = np.log(odds / (1 - odds))
    padded = np.pad(odds, _SIDE, mode="edge")
    smooth, floor = _average(energy), _measure_floor(energy)
    top = np.maximum(_slide_maximum(np.where(speech > _SPEECH, smooth, -np.inf)), floor)
    span = np.clip(top - floor, _LEAST_RANGE, _MOST_RANGE)
    level = np.clip((energy - floor) / span, -0.2, 1.2)
    columns = (
        *(odds, padded[: -2 * _SIDE], padded[2 * _SIDE :]),
        *(level, _average(level), level * span / 20, odds * level),
        *(np.clip(energy - top, -45, 5) / 10, np.minimum(span / 20, 2), np.ones_like(odds)),
    )
    return np.stack(columns, axis=1)


def score_features(
    features: NDArray[np.float64], coefficients: NDArray[np.float64] = _COEFFICIENTS
) -> NDArray[np.uint8]:
    """Score frames by the fitted probability of speech (255 is 1) [shape=(frames,)]."""
    scores: NDArray[np.uint8] = (255 / (1 + np.exp(-features @ coefficients))).round().astype(np.uint8)
    return scores


def find_regions(speech: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Find the regions of speech by two-state Viterbi decoding [shape=(regions, 2)].

    Parameters
    ----------
    speech : numpy.ndarray [shape=(frames,)]
        Probability of speech (255 is 1), from `SpeechDetector`.
    """
    odds = np.clip(np.arange(256.0), 1, 254)  # of each score: of every frame there would be copies for hours
    return find_runs(_decode((np.log(odds / (255 - odds)) - _OFFSET)[speech])).astype(np.int32)


def _decode(odds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the best path through speech and silence; states never change where log-odds keep their sign."""
    if not len(odds):
        return np.zeros(0, np.bool_)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(odds > 0)) + 1])
    ahead, came_from = 0.0, []  # by how much speech is better than silence, and the state before, where forced
    for total in np.add.reduceat(odds, starts).tolist():
        came_from.append(True if ahead > _SWITCH else False if ahead < -_SWITCH else None)
        ahead = min(max(ahead, -_SWITCH), _SWITCH) + total
    states = [ahead > 0]
    for before in came_from[:0:-1]:
        states.append(states[-1] if before is None else before)
    return np.repeat(np.array(states[::-1]), np.diff([*starts, len(odds)]))


class SpeechDetector:
    """Scores every frame of a growing recording: the fitted probability of speech, uint8 (255 is 1)."""

    def __init__(self) -> None:
        self._speech, self._energy = np.zeros(0, np.float32), np.zeros(0, np.float32)  # a suffix of the recording
        self._known = 0  # frames of it that were returned

    def feed(self, speech: NDArray[np.float32], energy: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Add frames; return the scores of the next ones that no later frame changes."""
        self._speech, self._energy = np.concatenate([self._speech, speech]), np.concatenate([self._energy, energy])
        settled = max(len(self._speech) - _REACH, self._known)
        scores = _score(self._speech, self._energy)[self._known : settled]
        # whole steps of the floor are dropped, so that its grid stays where it is
        passed = max((settled - _REACH) // _FLOOR_STEP, 0) * _FLOOR_STEP
        self._speech, self._energy, self._known = self._speech[passed:], self._energy[passed:], settled - passed
        return scores

    def tail(self, speech: NDArray[np.float32], energy: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the scores of all frames after those, as if the recording ended here; nothing is changed."""
        return _score(np.concatenate([self._speech, speech]), np.concatenate([self._energy, energy]))[self._known :]


def _score(speech: NDArray[np.float32], energy: NDArray[np.float32]) -> NDArray[np.uint8]:
    return score_features(compute_features(speech, energy)) if len(speech) else np.zeros(0, np.uint8)


def _average(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the moving average over `_SMOOTH` frames on either side."""
    padded = np.pad(values.astype(np.float64), _SMOOTH, mode="edge")
    average: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, 2 * _SMOOTH + 1).mean(1)
    return average


def _slide_maximum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the greatest value within `_TOP_REACH` frames on either side."""
    padded = np.pad(values, _TOP_REACH, constant_values=-np.inf)
    maximum: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, 2 * _TOP_REACH + 1).max(1)
    return maximum


def _measure_floor(energy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the noise floor of each frame: a low percentile of the energy around it."""
    middles = range(_FLOOR_STEP // 2, len(energy) + _FLOOR_STEP // 2, _FLOOR_STEP)
    around = (energy[max(middle - _FLOOR_REACH, 0) : middle + _FLOOR_REACH + 1] for middle in middles)
    floors = np.array([np.percentile(each, _FLOOR_PERCENTILE) for each in around])
    return np.repeat(floors, _FLOOR_STEP)[: len(energy)]
