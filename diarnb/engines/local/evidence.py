"""Hear a recording as it comes: where speech is, and what each piece of it sounds like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diarnb.engines.local import networks
from diarnb.engines.local.embedding import Embedder
from diarnb.engines.local.pieces import Cutter
from diarnb.engines.local.segmentation import RATE, Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb._progress import Progress
    from diarnb.audio import Recording
    from diarnb.store.run import Evidence

_ALONE = 0.5  # probability of speech above which, and of two voices below which, a frame is worth listening to


@dataclass(frozen=True)
class Heard:
    """What is left of one channel after listening.

    Attributes
    ----------
    frames : numpy.ndarray [shape=(2, frames)], uint8
        Probability (255 is one) of speech and of two speaking at once.
    pieces : numpy.ndarray [shape=(pieces, 2)], int32
        First frame of each piece of speech and the one behind its last.
    change : numpy.ndarray [shape=(pieces,)], float16
        How much the voice changes at the beginning of a piece, 0-1.
    voices : numpy.ndarray [shape=(pieces, 192)], float16
        Embedding of each piece, of unit length.
    weights : numpy.ndarray [shape=(pieces,)], float32
        Seconds that each embedding was made from.
    """

    frames: NDArray[np.uint8]
    pieces: NDArray[np.int32]
    change: NDArray[np.float16]
    voices: NDArray[np.float16]
    weights: NDArray[np.float32]

    def packed(self, channel: int) -> Evidence:
        """Give the arrays under names that keep channels apart."""
        return {f"{channel}/{name}": array for name, array in vars(self).items()}

    @classmethod
    def unpacked(cls, evidence: Evidence) -> list[Heard]:
        """Give every channel of the evidence, in order."""
        channels = sorted({int(name.split("/")[0]) for name in evidence if "/" in name})
        fields = cls.__dataclass_fields__
        return [cls(**{name: evidence[f"{channel}/{name}"] for name in fields}) for channel in channels]


class Listener:
    """Hears a recording that grows.

    What no later sound can change is heard once and kept, which is some 3 MB an hour; of the sound itself only the last
    half minute is.

    Parameters
    ----------
    providers, threads
        As `networks.load` takes them.
    live : bool, default False
        Whether `heard` is asked for time and again: then more is computed at once, and nothing waits for long.

    """

    def __init__(
        self, providers: tuple[str, ...] = ("CPUExecutionProvider",), threads: int | None = None, *, live: bool = False
    ) -> None:
        network = networks.load("segmentation", providers=providers, threads=threads)
        self._segmenter = Segmenter(network, batch=1) if live else Segmenter(network)
        self._embedder = Embedder(networks.load("embedding", providers=providers, threads=threads))
        self._cutter = Cutter()
        self._parts: list[tuple[NDArray[Any], ...]] = []

    @property
    def samples(self) -> int:
        """How many were fed."""
        return self._segmenter.samples

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in samples, 16 kHz mono."""
        scores = self._segmenter.feed(block)
        self._embedder.feed(block)
        speech, overlap, change = (row.astype(np.float32) / 255 for row in scores)
        pieces, strength, spans = self._cutter.feed(speech, change)
        voices, weights = self._embedder.embed(spans, _alone(speech, overlap), self._cutter.settled)
        self._parts.append((scores[:2].T, pieces, strength, voices, weights))

    def heard(self, *, quick: bool = False) -> Heard:
        """Give what was heard, as if the recording ended here; `quick` as `Embedder.rest` has it."""
        scores = self._segmenter.rest()
        speech, overlap, change = (row.astype(np.float32) / 255 for row in scores)
        pieces, strength, spans = self._cutter.rest(speech, change)
        voices, weights = self._embedder.rest(spans, _alone(speech, overlap), quick=quick)
        if self._parts:
            self._parts = [_joined(self._parts)]
        frames, *others = _joined([*self._parts, (scores[:2].T, pieces, strength, voices, weights)])
        return Heard(np.ascontiguousarray(frames.T), *others)


def _alone(speech: NDArray[np.float32], overlap: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (speech >= _ALONE) & (overlap < _ALONE)


def _joined(parts: list[tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def listen(
    recording: Recording,
    channel: Literal["mix"] | int,
    progress: Progress,
    *,
    providers: tuple[str, ...] = ("CPUExecutionProvider",),
    threads: int | None = None,
) -> tuple[Heard, float]:
    """Hear one channel, or the mix of all.

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
    heard : Heard
    duration : float
        Seconds of sound that there really were.
    """
    total = max(recording.duration * RATE, 1.0)
    listener = Listener(providers, threads)
    for block in recording.blocks(channel):
        listener.feed(block)
        progress("listening", min(listener.samples / total, 1.0))
    return listener.heard(), listener.samples / RATE
