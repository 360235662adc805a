"""What each piece of speech sounds like: CAM++ voice embeddings, many pieces from one pass over 5 s of sound.

The network's convolutions are run once over a chunk, and its statistics pooling once for every piece, over the frames
in which just one person speaks. That costs half as much as an embedding for each piece by itself and, since each frame
is seen in context, tells voices apart better.

References
----------
Wang et al., "CAM++: A fast and efficient network for speaker verification using context-aware masking",
Interspeech 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import kaldi_native_fbank as knf
import numpy as np

from diarnb.engines.local.segmentation import RATE, STEP, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import onnxruntime as ort
    from numpy.typing import NDArray

SIZE = 192
_BANDS = 80
_CHUNK, _HOP = 500, 400  # feature frames of 10 ms; the overlap lets every span of 1 s lie within one chunk
_BATCH = 4


def embed(
    blocks: Iterable[NDArray[np.float32]],
    spans: NDArray[np.int32],
    alone: NDArray[np.bool_],
    network: ort.InferenceSession,
    heard: Callable[[int], None],
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Embed spans of a recording.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray
        The recording, 16 kHz mono, in pieces.
    spans : numpy.ndarray [shape=(spans, 2)]
        First and last (exclusive) segmentation frame of each, at most 1 s long, sorted.
    alone : numpy.ndarray [shape=(frames,)]
        Whether just one person speaks in a segmentation frame; others are not listened to.
    network : onnxruntime.InferenceSession
    heard : callable
        Told the number of samples that have been dealt with; it may raise to stop.

    Returns
    -------
    voices : numpy.ndarray [shape=(spans, 192)], float16
        Unit vectors.
    weights : numpy.ndarray [shape=(spans,)]
        Seconds that were listened to.
    """
    voices, weights = np.zeros((len(spans), SIZE), np.float16), np.zeros(len(spans), np.float32)
    begin = (seconds(spans[:, 0]) * 100).round().astype(int)
    end = np.maximum((seconds(spans[:, 1]) * 100).round().astype(int), begin + 2)
    middle = (begin + end) / 2
    pending: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]] = []

    def flush() -> None:
        if not pending:
            return
        most = max(len(which) for _, which, _ in pending)
        masks = np.full((len(pending), most, pending[0][2].shape[1]), 1e-3, np.float32)
        for row, (_, which, mask) in enumerate(pending):
            masks[row, : len(which)] = mask
        found = network.run(None, {"features": np.stack([chunk for chunk, _, _ in pending]), "weights": masks})[0]
        for row, (_, which, mask) in enumerate(pending):
            voices[which], weights[which] = found[row, : len(which)], mask.sum(1) / 50
        pending.clear()

    assigned = 0
    for start, features, is_last in _chunks(_features(blocks)):
        # a span belongs to the first chunk in which it has some room on either side
        upto = len(spans) if is_last else int(np.searchsorted(middle, start + (_CHUNK + _HOP) / 2))
        which = np.arange(assigned, upto)
        assigned = upto
        if len(which):
            if pending and len(pending[0][0]) != len(features):
                flush()
            mask = _masks(begin[which] - start, end[which] - start, start, len(features), alone)
            pending.append((features - features.mean(0), which, mask))
        if len(pending) == _BATCH:
            flush()
        heard((start + len(features)) * RATE // 100)
    flush()
    return voices, weights


def _masks(
    begin: NDArray[np.int64], end: NDArray[np.int64], start: int, length: int, alone: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Weights of the network's frames (two feature frames each) for every span of a chunk."""
    at = np.arange(length)
    frame = np.clip(((start + at) * RATE // 100 + RATE // 200 - STEP) // STEP, 0, len(alone) - 1)
    inside = (at >= begin[:, None]) & (at < end[:, None])
    clean = (inside & alone[frame]).astype(np.float32)
    clean = np.pad(clean, ((0, 0), (0, length % 2)))
    mask: NDArray[np.float32] = clean.reshape(len(begin), -1, 2).mean(2)
    nothing = mask.sum(1) < 1  # always overlapped: an embedding of next to nothing, which its weight will say
    mask[nothing] = 1e-3
    return mask


def _features(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Kaldi log-mel features, 80 bands, 25 ms every 10 ms, one frame at a time."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = RATE
    options.mel_opts.num_bins = _BANDS
    options.use_energy = False
    bank, given = knf.OnlineFbank(options), 0
    for block in blocks:
        bank.accept_waveform(RATE, block)
        ready = bank.num_frames_ready
        # copied: the bank's own memory goes with pop()
        yield from [np.array(bank.get_frame(i)) for i in range(given, ready)]
        bank.pop(ready - given)
        given = ready


def _chunks(frames: Iterable[NDArray[np.float32]]) -> Iterator[tuple[int, NDArray[np.float32], bool]]:
    """Overlapping chunks as (first frame, features, whether it is the last); the last reaches back to be full."""
    held: list[NDArray[np.float32]] = []
    start = 0
    for frame in frames:
        if len(held) == _CHUNK + _HOP:  # a full chunk, and enough behind it for a full last one
            yield start, np.stack(held[:_CHUNK]), False
            del held[:_HOP]
            start += _HOP
        held.append(frame)
    if len(held) > _CHUNK:
        yield start, np.stack(held[:_CHUNK]), False
        back = (len(held) - _CHUNK) // 2 * 2
        start, held = start + back, held[back : back + _CHUNK]
    if held:
        yield start, np.stack(held), True
