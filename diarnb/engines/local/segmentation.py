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
    from collections.abc import Callable, Iterable, Iterator

    import onnxruntime as ort
    from numpy.typing import NDArray

RATE = 16_000
STEP = 270  # samples from one frame to the next
_SPAN = 991  # samples that a frame looks at
_EDGE = (_SPAN - STEP) // 2  # the stretch that a frame stands for lies in the middle of what it looks at
_WINDOW, _FRAMES = 160_000, 589
_HOP = 118  # frames from window to window, 2.0 s: every frame is seen five times
_BATCH = 4
_REACH = 5  # frames on either side that tell whether the voice changes
_MEMBERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.float32)
_WEIGHT = np.hamming(_FRAMES).astype(np.float32)[:, None] + 1e-3  # a window knows its middle best

RESOLUTION = STEP / RATE
"""Seconds from one frame to the next (0.016875)."""


def seconds(frame: NDArray[np.integer[Any]] | int) -> Any:
    """Time at which a frame begins; the first one takes in what lies before it."""
    return np.where(np.asarray(frame) <= 0, 0.0, (np.asarray(frame) * STEP + _EDGE) / RATE)


def frames_in(samples: int) -> int:
    """How many frames a recording of so many samples has."""
    return max((samples - _SPAN) // STEP + 1, 1) if samples else 0


def segment(
    blocks: Iterable[NDArray[np.float32]], network: ort.InferenceSession, heard: Callable[[int], None]
) -> tuple[NDArray[np.uint8], int]:
    """Score every frame of a recording.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray
        The recording, 16 kHz mono, in pieces.
    network : onnxruntime.InferenceSession
    heard : callable
        Told the number of samples that have been dealt with; it may raise to stop.

    Returns
    -------
    scores : numpy.ndarray [shape=(3, frames)], uint8
        Probability (255 is one) of speech, of two speaking at once, and of another voice from here on. Rounded, so
        that what is decided from them does not hang on the last bit of a sum.
    samples : int
        Length of the recording.
    """
    windows = _windows(blocks)
    done: list[NDArray[np.float32]] = []
    total, weight = np.zeros((_FRAMES, 3), np.float32), np.zeros((_FRAMES, 1), np.float32)
    samples = 0
    while batch := [window for _, window in zip(range(_BATCH), windows, strict=False)]:
        stacked = np.stack([samples_of for samples_of, _ in batch])[:, None]
        powerset = np.exp(network.run(None, {"samples": stacked})[0])
        for scores in powerset:
            total += _WEIGHT * _independent(scores)
            weight += _WEIGHT
            done.append(total[:_HOP] / weight[:_HOP])  # no later window sees these frames
            total = np.concatenate([total[_HOP:], np.zeros((_HOP, 3), np.float32)])
            weight = np.concatenate([weight[_HOP:], np.zeros((_HOP, 1), np.float32)])
        samples = batch[-1][1]
        heard(samples)
    if not samples:
        return np.zeros((3, 0), np.uint8), 0
    done.append(total[:-_HOP] / weight[:-_HOP])
    scores = np.concatenate(done)[: frames_in(samples)]
    return np.ascontiguousarray((scores * 255).round().astype(np.uint8).T), samples


def _windows(blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Cut a stream into overlapping windows, each with the number of samples seen; the last is filled with silence."""
    buffer, seen = np.zeros(0, np.float32), 0
    for block in blocks:
        buffer, seen = np.concatenate([buffer, block]), seen + len(block)
        while len(buffer) > _WINDOW:
            yield buffer[:_WINDOW], seen
            buffer = buffer[_HOP * STEP :]
    if len(buffer):
        yield np.pad(buffer, (0, _WINDOW - len(buffer))), seen


def _independent(powerset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Speech, overlap and change: what does not depend on how a window numbers its voices."""
    voices = powerset @ _MEMBERS
    sums = np.concatenate([np.zeros((1, 3), np.float32), np.cumsum(voices, axis=0)])
    at = np.arange(_REACH, _FRAMES - _REACH)
    before, after = sums[at] - sums[at - _REACH], sums[at + _REACH] - sums[at]
    change = np.zeros(_FRAMES, np.float32)
    change[at] = np.minimum(np.abs(after - before).sum(1) / (2 * _REACH), 1)
    return np.stack([1 - powerset[:, 0], powerset[:, 4:].sum(1), change], axis=1)
