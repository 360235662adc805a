"""Extract speaker embeddings: CAM++ and ResNet34 side by side, many segments from one pass over 5 s of features.

A network's convolutions run once over a chunk, and its statistics pooling once for every segment, masked to the
frames in which just one person speaks. That costs half as much as a pass for each segment and, since every frame is
seen in context, separates speakers better. The two err differently, so that both together tell speakers apart better
than either does.

References
----------
Wang et al., "CAM++: A fast and efficient network for speaker verification using context-aware masking",
Interspeech 2023. Wang et al., "Wespeaker: A research and production oriented speaker embedding learning toolkit",
ICASSP 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import kaldi_native_fbank as knf
import numpy as np

from diarnb.engines.local.networks import Tape
from diarnb.engines.local.segmentation import RATE, SPAN, STEP, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    import onnxruntime as ort
    from numpy.typing import NDArray

SIZES = {"embedding": 192, "resnet34": 256}
"""The embedding networks, and the numbers that each makes of a segment."""

_BANDS = 80
_CHUNK, _HOP = 500, 400  # feature frames of 10 ms; the overlap lets every span of 1 s lie within one chunk
_TAKEN = (_CHUNK + _HOP) // 2  # feature frames into a chunk; spans centred later are left to the next chunk
_BATCH = 4  # chunks that are collected,
_AT_ONCE = {"embedding": 2, "resnet34": 1}  # and those of one call: more would take memory and no less time
_FEATURE_SPAN, _FEATURE_STEP = RATE // 40, RATE // 100  # samples: 25 ms every 10 ms
_HIGH_PASS = 120.0  # Hz; hum and rumble lie below

Embeddings = tuple["NDArray[np.float16]", "NDArray[np.float32]"]


class _Chunk(NamedTuple):
    start: int
    features: NDArray[np.float32]
    mask: NDArray[np.float32]  # a row for each span


class Embedder:
    """Embeds spans of a growing recording.

    A span is embedded in the first chunk in which it has context on either side. Embeddings are the unit vectors of all
    networks side by side, float16 of shape (spans, size), and come with the seconds of single-speaker speech that were
    pooled, float32.

    Parameters
    ----------
    networks : mapping of str to onnxruntime.InferenceSession
        By their names in `SIZES`.
    tape : Tape, optional
        Keeps what the networks answer.
    helpers : concurrent.futures.Executor, optional
        Runs the networks at the same time.
    """

    def __init__(
        self,
        networks: Mapping[str, ort.InferenceSession],
        tape: Tape | None = None,
        helpers: Executor | None = None,
    ) -> None:
        self._networks, self._tape = networks, tape or Tape()
        self._map = map if helpers is None else helpers.map
        size = sum(SIZES[name] for name in networks)
        self._nothing: Embeddings = (np.zeros((0, size), np.float16), np.zeros(0, np.float32))
        self._bank, self._read = make_filter_bank(), 0
        self._features, self._start = np.zeros((0, _BANDS), np.float32), 0  # from the beginning of the next chunk on
        self._alone, self._first = np.zeros(0, np.bool_), 0  # likewise, from this segmentation frame on
        self._spans = np.zeros((0, 2), np.int32)  # not embedded yet
        self._waiting: list[_Chunk] = []  # to be run together
        self._cache: dict[tuple[int, bytes], Embeddings] = {}  # of the last `tail`, for each chunk

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add samples, 16 kHz mono; return the energy in dB of the feature frames that they complete."""
        self._bank.accept_waveform(RATE, block)
        ready = self._bank.num_frames_ready
        # copied: the bank's own memory goes with pop()
        frames = [np.array(self._bank.get_frame(i)) for i in range(self._read, ready)]
        self._bank.pop(ready - self._read)
        self._read = ready
        if not frames:
            return np.zeros(0, np.float32)
        features = np.stack(frames)
        self._features = np.concatenate([self._features, features])
        return compute_energy(features)

    def embed(self, spans: NDArray[np.int32], alone: NDArray[np.bool_], settled: int) -> Embeddings:
        """Add spans; return the next embeddings, of as many spans as lie in full batches of chunks.

        Parameters
        ----------
        spans : numpy.ndarray [shape=(spans, 2)]
            First and last (exclusive) segmentation frame of each, at most 1 s long, sorted.
        alone : numpy.ndarray [shape=(frames,)]
            Whether just one person speaks in each of the next segmentation frames; others are not pooled.
        settled : int
            The segmentation frame before which no later span begins.
        """
        self._spans = np.concatenate([self._spans, spans])
        self._alone = np.concatenate([self._alone, alone])
        done = [self._nothing]
        reached = round(float(seconds(settled)) * 100)
        while len(self._features) > _CHUNK + _HOP and reached >= self._start + _TAKEN:
            chunk = self._chunk(self._features[:_CHUNK], self._start, self._spans, self._alone, last=False)
            self._features, self._start = self._features[_HOP:], self._start + _HOP
            self._spans = self._spans[len(chunk.mask) :]
            passed = max(int(_frame_at(self._start)) - self._first, 0)
            self._alone, self._first = self._alone[passed:], self._first + min(passed, len(self._alone))
            self._waiting += [chunk] if len(chunk.mask) else []
            if len(self._waiting) == _BATCH:
                embeddings, weights = self._tape.run(lambda: self._run(self._waiting))
                done.append((embeddings, weights))
                self._waiting = []
        return _concatenate(done)

    def tail(self, spans: NDArray[np.int32], alone: NDArray[np.bool_], *, quick: bool = False) -> Embeddings:
        """Return the embeddings of all spans after those, as if the recording ended here; nothing is changed.

        When `quick`, each chunk is run by itself, which rounds differently, and is cached until it changes.
        """
        spans, alone = np.concatenate([self._spans, spans]), np.concatenate([self._alone, alone])
        chunks = list(self._waiting)
        features, start = self._features, self._start
        while len(features):
            last = len(features) <= _CHUNK
            chunks.append(self._chunk(features[:_CHUNK], start, spans, alone, last=last))
            spans = spans[len(chunks[-1].mask) :]
            if last:
                break
            step = min(_HOP, (len(features) - _CHUNK) // 2 * 2)  # the last one reaches back to be full
            upto = None if step == _HOP else step + _CHUNK
            features, start = features[step:upto], start + step
        chunks = [chunk for chunk in chunks if len(chunk.mask)]
        if quick:
            keys = [(chunk.start, chunk.mask.tobytes()) for chunk in chunks]
            self._cache = {
                key: self._cache.get(key) or self._run([chunk]) for key, chunk in zip(keys, chunks, strict=True)
            }
            return _concatenate([self._nothing, *self._cache.values()])
        return _concatenate(
            [self._nothing, *(self._run(chunks[i : i + _BATCH]) for i in range(0, len(chunks), _BATCH))]
        )

    def _chunk(
        self,
        features: NDArray[np.float32],
        start: int,
        spans: NDArray[np.int32],
        alone: NDArray[np.bool_],
        *,
        last: bool,
    ) -> _Chunk:
        begin = (seconds(spans[:, 0]) * 100).round().astype(int)
        end = np.maximum((seconds(spans[:, 1]) * 100).round().astype(int), begin + 2)
        which = slice(None if last else int(np.searchsorted((begin + end) / 2, start + _TAKEN)))
        frame = np.clip(_frame_at(start + np.arange(len(features))) - self._first, 0, max(len(alone) - 1, 0))
        clean = alone[frame] if len(alone) else np.zeros(len(features), np.bool_)
        return _Chunk(start, features - features.mean(0), _masks(begin[which] - start, end[which] - start, clean))

    def _run(self, chunks: list[_Chunk]) -> Embeddings:
        most = max(len(chunk.mask) for chunk in chunks)
        masks = np.full((len(chunks), most, chunks[0].mask.shape[1]), 1e-3, np.float32)
        for row, chunk in enumerate(chunks):
            masks[row, : len(chunk.mask)] = chunk.mask
        features = np.stack([chunk.features for chunk in chunks])
        answers = self._map(lambda name: self._ask(name, features, masks), self._networks)
        found = np.concatenate(list(answers), axis=-1)
        embeddings = [row[: len(chunk.mask)].astype(np.float16) for row, chunk in zip(found, chunks, strict=True)]
        return _concatenate(
            [(embedding, chunk.mask.sum(1) / 50) for embedding, chunk in zip(embeddings, chunks, strict=True)]
        )

    def _ask(self, name: str, features: NDArray[np.float32], masks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unit vectors of one network [shape=(chunks, spans, size)]."""
        network, count = self._networks[name], _AT_ONCE[name]
        calls = (slice(i, i + count) for i in range(0, len(features), count))
        found = [network.run(None, {"features": features[call], "weights": masks[call]})[0] for call in calls]
        return np.concatenate(found)


def _concatenate(parts: list[Embeddings]) -> Embeddings:
    return np.concatenate([embeddings for embeddings, _ in parts]), np.concatenate([weights for _, weights in parts])


def find_feature_frame(frame: NDArray[np.int64] | int) -> Any:
    """Return the feature frame whose middle is nearest to that of a segmentation frame."""
    return (np.asarray(frame) * STEP + (SPAN - _FEATURE_SPAN + _FEATURE_STEP) // 2) // _FEATURE_STEP


def _frame_at(at: NDArray[np.int64] | int) -> Any:
    """Return the segmentation frame that a feature frame lies in."""
    return (np.asarray(at) * RATE // 100 + RATE // 200 - STEP) // STEP


def _masks(begin: NDArray[np.int64], end: NDArray[np.int64], alone: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute the pooling weights of the network's frames (two feature frames each) for every span of a chunk."""
    at = np.arange(len(alone))
    inside = (at >= begin[:, None]) & (at < end[:, None])
    clean = np.pad((inside & alone).astype(np.float32), ((0, 0), (0, len(alone) % 2)))
    mask: NDArray[np.float32] = clean.reshape(len(begin), clean.shape[1] // 2, 2).mean(2)
    nothing = mask.sum(1) < 1  # all overlap: its embedding is meaningless, and its weight says so
    mask[nothing] = 1e-3
    return mask


def compute_energy(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the energy of log-mel features above 120 Hz, in dB, with Kaldi's pre-emphasis undone."""
    energy: NDArray[np.float32] = 10 * np.log10(np.exp(features) @ _BAND_WEIGHTS + 1e-10)
    return energy


def _weigh_bands() -> NDArray[np.float32]:
    """Compute what undoes pre-emphasis and width of each band, times the response of a high-pass of second order."""
    low, high = (1127 * np.log(1 + edge / 700) for edge in (20, RATE / 2))
    edges = 700 * (np.exp(np.linspace(low, high, _BANDS + 2) / 1127) - 1)
    centre, width = edges[1:-1], (edges[2:] - edges[:-2]) / 2
    emphasis = np.abs(1 - 0.97 * np.exp(-2j * np.pi * centre / RATE)) ** 2
    weights: NDArray[np.float32] = (1 / (1 + (_HIGH_PASS / centre) ** 4) / emphasis / width).astype(np.float32)
    return weights


_BAND_WEIGHTS = _weigh_bands()


def make_filter_bank() -> knf.OnlineFbank:
    """Make the extractor of Kaldi log-mel features, 80 bands, 25 ms every 10 ms."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = RATE
    options.mel_opts.num_bins = _BANDS
    options.use_energy = False
    return knf.OnlineFbank(options)
