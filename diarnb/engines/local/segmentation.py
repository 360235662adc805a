"""Score speech, overlap and speaker change in every frame: segmentation-3.0 in sliding windows.

The network sees 10 s and returns, every 270 samples, log-probabilities of the powerset classes: each set of at most two
of three local speakers. Local speakers are permuted from window to window, so only scores that are invariant to their
order are kept, averaged over all windows that see a frame.

References
----------
Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diarnb.engines.local.networks import Tape

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

RATE = 16_000
STEP = 270  # samples from one frame to the next
SPAN = 991  # samples in the receptive field of a frame
_EDGE = (SPAN - STEP) // 2  # samples before the step that a frame stands for, the middle of its field
_WINDOW, _FRAMES = 160_000, 589
_HOP = 178  # frames from window to window: every frame is seen three times; 2 s are no better, and 4 s are worse
_REACH = 5  # frames on either side that the change score compares
_MEMBERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.float32)
_WEIGHT = np.hamming(_FRAMES).astype(np.float32)[:, None] + 1e-3  # the middle of a window has most context

HOP = _HOP * STEP
"""Samples from one window to the next, 3.0 s."""

RESOLUTION = STEP / RATE
"""Seconds from one frame to the next (0.016875)."""


def seconds(frame: NDArray[np.integer] | int) -> Any:
    """Return the time in seconds at which a frame begins; the first one takes in what lies before it."""
    return np.where(np.asarray(frame) <= 0, 0.0, (np.asarray(frame) * STEP + _EDGE) / RATE)


def count_frames(samples: int) -> int:
    """Count the frames of a recording of so many samples."""
    return max((samples - SPAN) // STEP + 1, 1) if samples else 0


class Segmenter:
    """Scores every frame of a growing recording.

    Scores are the probabilities (255 is 1) of speech, of overlap, and of a change of speaker, and the share of the
    window that the second of its local speakers speaks, uint8 of shape (4, frames): quantised, so that no decision
    depends on the last bit of a sum.

    Parameters
    ----------
    network : onnxruntime.InferenceSession
    batch : int, default 4
        Windows to run together: more are faster, and scored later.
    tape : Tape, optional
        Keeps what the network answers.

    Attributes
    ----------
    samples : int
        Number of samples fed.
    """

    def __init__(self, network: ort.InferenceSession, batch: int = 4, tape: Tape | None = None) -> None:
        self.samples: int = 0
        self._network, self._batch, self._tape = network, batch, tape or Tape()
        self._buffer = np.zeros(0, np.float32)  # from the beginning of the next window on
        self._windows: list[NDArray[np.float32]] = []  # full windows, to be run together
        self._sums = np.zeros((_FRAMES, 5), np.float32)  # weighted scores of frames that later windows see; weights
        self._returned = 0  # frames

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Add samples, 16 kHz mono; return the scores of the next frames that no later window sees."""
        self.samples += len(block)
        self._buffer = np.concatenate([self._buffer, block])
        done = [np.zeros((4, 0), np.uint8)]
        while len(self._buffer) > _WINDOW:
            self._windows.append(self._buffer[:_WINDOW])
            self._buffer = self._buffer[HOP:]
            if len(self._windows) == self._batch:
                scores, self._sums = self._tape.run(lambda: self._run(self._windows, self._sums))
                done.append(scores)
                self._windows = []
        self._returned += sum(scores.shape[1] for scores in done)
        return np.concatenate(done, axis=1)

    def tail(self) -> NDArray[np.uint8]:
        """Return the scores of all frames after those, as if the recording ended here; nothing is changed."""
        if not self.samples:
            return np.zeros((4, 0), np.uint8)
        last = np.pad(self._buffer, (0, _WINDOW - len(self._buffer)))
        done, sums = [], self._sums
        for window in [*self._windows, last]:  # one by one: a batch of another size would take memory of its own
            scores, sums = self._run([window], sums)
            done.append(scores)
        missing = count_frames(self.samples) - self._returned
        return np.concatenate([*done, _quantise(sums[:-_HOP])], axis=1)[:, :missing]

    def _run(
        self, windows: list[NDArray[np.float32]], sums: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Add windows to the sums; return the scores of frames that no later window sees, and the sums of others."""
        done = []
        for powerset in np.exp(self._network.run(None, {"samples": np.stack(windows)[:, None]})[0]):
            sums = sums + _WEIGHT * _reduce_powerset(powerset)
            done.append(sums[:_HOP])
            sums = np.concatenate([sums[_HOP:], np.zeros((_HOP, 5), np.float32)])
        return _quantise(np.concatenate(done)), sums


def _quantise(sums: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Divide weighted sums by their weights, and round to 1/255."""
    return np.ascontiguousarray((sums[:, :4] / sums[:, 4:] * 255).round().astype(np.uint8).T)


def _reduce_powerset(powerset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute scores that are invariant to the order of local speakers; and ones, to be summed."""
    speakers = powerset @ _MEMBERS
    sums = np.concatenate([np.zeros((1, 3), np.float32), np.cumsum(speakers, axis=0)])
    at = np.arange(_REACH, _FRAMES - _REACH)
    before, after = sums[at] - sums[at - _REACH], sums[at + _REACH] - sums[at]
    change = np.zeros(_FRAMES, np.float32)
    change[at] = np.minimum(np.abs(after - before).sum(1) / (2 * _REACH), 1)
    second = np.full(_FRAMES, np.sort(speakers.mean(0))[-2])
    return np.stack([1 - powerset[:, 0], powerset[:, 4:].sum(1), change, second, np.ones_like(change)], axis=1)
