"""Extract the evidence from a recording as it comes: frame scores, segments and their embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diarnb.engines.local import networks
from diarnb.engines.local.embedding import Embedder
from diarnb.engines.local.segmentation import RATE, Segmenter
from diarnb.engines.local.segments import Segmentizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb._progress import Progress
    from diarnb.audio import Recording
    from diarnb.store.run import Evidence

_ALONE = 0.5  # probability of speech from which, and of overlap below which, a frame is pooled into embeddings

_STORED = {"frames": "frames", "segments": "pieces", "change": "change", "embeddings": "voices", "weights": "weights"}
"""Fields of `ChannelEvidence`, and the names that stores of every version have them by."""


@dataclass(frozen=True)
class ChannelEvidence:
    """What the networks found in one channel; all decisions are made from this.

    Attributes
    ----------
    frames : numpy.ndarray [shape=(2, frames)], uint8
        Probability (255 is 1) of speech and of overlap.
    segments : numpy.ndarray [shape=(segments, 2)], int32
        First frame of each segment and the one behind its last.
    change : numpy.ndarray [shape=(segments,)], float16
        Score of a change of speaker at the beginning of each, 0-1.
    embeddings : numpy.ndarray [shape=(segments, 192)], float16
        Embedding of each, of unit length.
    weights : numpy.ndarray [shape=(segments,)], float32
        Seconds of single-speaker speech behind each embedding.
    """

    frames: NDArray[np.uint8]
    segments: NDArray[np.int32]
    change: NDArray[np.float16]
    embeddings: NDArray[np.float16]
    weights: NDArray[np.float32]

    def packed(self, channel: int) -> Evidence:
        """Return the arrays under the names that they are stored by."""
        return {f"{channel}/{name}": getattr(self, field) for field, name in _STORED.items()}

    @classmethod
    def unpacked(cls, evidence: Evidence) -> list[ChannelEvidence]:
        """Return every channel of the evidence, in order."""
        channels = sorted({int(name.split("/")[0]) for name in evidence if "/" in name})
        return [
            cls(**{field: evidence[f"{channel}/{name}"] for field, name in _STORED.items()}) for channel in channels
        ]


class Extractor:
    """Extracts the evidence from a growing recording.

    What no later samples can change is computed once and kept, some 3 MB an hour; of the samples only the last half
    minute is.

    Parameters
    ----------
    providers, threads
        As `networks.load` takes them.
    live : bool, default False
        Whether `evidence` is asked for time and again: then batches are small, so that nothing waits for long.
    """

    def __init__(
        self, providers: tuple[str, ...] = ("CPUExecutionProvider",), threads: int | None = None, *, live: bool = False
    ) -> None:
        network = networks.load("segmentation", providers=providers, threads=threads)
        self._segmenter = Segmenter(network, batch=1) if live else Segmenter(network)
        self._embedder = Embedder(networks.load("embedding", providers=providers, threads=threads))
        self._segmentizer = Segmentizer()
        self._parts: list[tuple[NDArray[Any], ...]] = []

    @property
    def samples(self) -> int:
        """Number of samples fed."""
        return self._segmenter.samples

    def feed(self, block: NDArray[np.float32]) -> None:
        """Add samples, 16 kHz mono."""
        scores = self._segmenter.feed(block)
        self._embedder.feed(block)
        speech, overlap, change = (row.astype(np.float32) / 255 for row in scores)
        segments, strength, spans = self._segmentizer.feed(speech, change)
        embeddings, weights = self._embedder.embed(
            spans, _find_single_speaker(speech, overlap), self._segmentizer.settled
        )
        self._parts.append((scores[:2].T, segments, strength, embeddings, weights))

    def evidence(self, *, quick: bool = False) -> ChannelEvidence:
        """Return the evidence as if the recording ended here; `quick` as `Embedder.tail` has it."""
        scores = self._segmenter.tail()
        speech, overlap, change = (row.astype(np.float32) / 255 for row in scores)
        segments, strength, spans = self._segmentizer.tail(speech, change)
        embeddings, weights = self._embedder.tail(spans, _find_single_speaker(speech, overlap), quick=quick)
        if self._parts:
            self._parts = [_concatenate(self._parts)]
        frames, *others = _concatenate([*self._parts, (scores[:2].T, segments, strength, embeddings, weights)])
        return ChannelEvidence(np.ascontiguousarray(frames.T), *others)


def _find_single_speaker(speech: NDArray[np.float32], overlap: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the frames in which just one person speaks."""
    return (speech >= _ALONE) & (overlap < _ALONE)


def _concatenate(parts: list[tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def extract(
    recording: Recording,
    channel: Literal["mix"] | int,
    progress: Progress,
    *,
    providers: tuple[str, ...] = ("CPUExecutionProvider",),
    threads: int | None = None,
) -> tuple[ChannelEvidence, float]:
    """Extract the evidence from one channel, or from the mix of all.

    Parameters
    ----------
    recording : Recording
    channel : "mix" or int
    progress : callable
        Told the stage and how much of this channel is done, 0-1.
    providers, threads
        As `networks.load` takes them.

    Returns
    -------
    evidence : ChannelEvidence
    duration : float
        Seconds that were decoded.
    """
    total = max(recording.duration * RATE, 1.0)
    extractor = Extractor(providers, threads)
    for block in recording.blocks(channel):
        extractor.feed(block)
        progress("listening", min(extractor.samples / total, 1.0))
    return extractor.evidence(), extractor.samples / RATE
