"""Where there is speech, where two speak at once, where the voice changes: segmentation-3.0 in sliding windows.

The network looks at 10 s and gives, every 270 samples, the probability of each set of at most two out of three voices
that it numbers anew in every window. Voices cannot be followed from window to window by these numbers, so only what
does not depend on them is kept, averaged over all windows that see a frame.

References
----------
Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

RATE = 16_000
STEP = 270  # samples from one frame to the next
_SPAN = 991  # samples that a frame looks at
_EDGE = (_SPAN - STEP) // 2  # the stretch that a frame stands for lies in the middle of what it looks at
_WINDOW, _FRAMES = 160_000, 589
_HOP = 118  # frames from window to window: every frame is seen five times
_REACH = 5  # frames on either side that tell whether the voice changes
_MEMBERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.float32)
_WEIGHT = np.hamming(_FRAMES).astype(np.float32)[:, None] + 1e-3  # a window knows its middle best

HOP = _HOP * STEP
"""Samples from one window to the next, 2.0 s."""

RESOLUTION = STEP / RATE
"""Seconds from one frame to the next (0.016875)."""


def seconds(frame: NDArray[np.integer[Any]] | int) -> Any:
    """Time at which a frame begins; the first one takes in what lies before it."""
    return np.where(np.asarray(frame) <= 0, 0.0, (np.asarray(frame) * STEP + _EDGE) / RATE)


def frames_in(samples: int) -> int:
    """How many frames a recording of so many samples has."""
    return max((samples - _SPAN) // STEP + 1, 1) if samples else 0


class Segmenter:
    """The scores of every frame of a recording that grows.

    Scores are the probabilities (255 is one) of speech, of two speaking at once, and of another voice from here on,
    uint8 of shape (3, frames): rounded, so that what is decided from them does not hang on the last bit of a sum.

    Parameters
    ----------
    network : onnxruntime.InferenceSession
    batch : int, default 4
        Windows to run together: more are faster, and answered later.

    Attributes
    ----------
    samples : int
        How many were fed.
    """

    def __init__(self, network: ort.InferenceSession, batch: int = 4) -> None:
        self.samples: int = 0
        self._network, self._batch = network, batch
        self._sound = np.zeros(0, np.float32)  # from the beginning of the next window on
        self._windows: list[NDArray[np.float32]] = []  # full ones, to be run together
        self._sums = np.zeros((_FRAMES, 4), np.float32)  # weighted scores of the frames still in sight, and the weight
        self._given = 0  # frames

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Take in samples, 16 kHz mono; give the scores of the next frames that no later window sees."""
        self.samples += len(block)
        self._sound = np.concatenate([self._sound, block])
        done = [np.zeros((0, 4), np.float32)]
        while len(self._sound) > _WINDOW:
            self._windows.append(self._sound[:_WINDOW])
            self._sound = self._sound[HOP:]
            if len(self._windows) == self._batch:
                frames, self._sums = self._run(self._windows, self._sums)
                done.append(frames)
                self._windows = []
        scores = _rounded(np.concatenate(done))
        self._given += scores.shape[1]
        return scores

    def rest(self) -> NDArray[np.uint8]:
        """Give the scores of all frames after those, as if the sound ended here; nothing is changed by it."""
        if not self.samples:
            return np.zeros((3, 0), np.uint8)
        last = np.pad(self._sound, (0, _WINDOW - len(self._sound)))
        frames, sums = self._run([*self._windows, last], self._sums)
        scores = np.concatenate([frames, sums[:-_HOP]])[: frames_in(self.samples) - self._given]
        return _rounded(scores)

    def _run(
        self, windows: list[NDArray[np.float32]], sums: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Add windows to the sums; give the frames that no later window sees, and the sums of those after them."""
        done = []
        for powerset in np.exp(self._network.run(None, {"samples": np.stack(windows)[:, None]})[0]):
            sums = sums + _WEIGHT * _independent(powerset)
            done.append(sums[:_HOP])
            sums = np.concatenate([sums[_HOP:], np.zeros((_HOP, 4), np.float32)])
        return np.concatenate(done), sums


def _rounded(sums: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.ascontiguousarray((sums[:, :3] / sums[:, 3:] * 255).round().astype(np.uint8).T)


def _independent(powerset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Speech, overlap and change: what does not depend on how a window numbers its voices; and ones, to be counted."""
    voices = powerset @ _MEMBERS
    sums = np.concatenate([np.zeros((1, 3), np.float32), np.cumsum(voices, axis=0)])
    at = np.arange(_REACH, _FRAMES - _REACH)
    before, after = sums[at] - sums[at - _REACH], sums[at + _REACH] - sums[at]
    change = np.zeros(_FRAMES, np.float32)
    change[at] = np.minimum(np.abs(after - before).sum(1) / (2 * _REACH), 1)
    return np.stack([1 - powerset[:, 0], powerset[:, 4:].sum(1), change, np.ones_like(change)], axis=1)
