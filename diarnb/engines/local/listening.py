"""Hear a recording: once for where speech is, once for what each piece of it sounds like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from diarnb.engines.local import networks
from diarnb.engines.local.embedding import embed
from diarnb.engines.local.pieces import cut, listening_spans, speech_regions
from diarnb.engines.local.segmentation import RATE, segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from diarnb.audio import Recording
    from diarnb.engines.base import Evidence, Progress

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

    def share(stage: str, before: float) -> Callable[[int], None]:
        # the two passes take about as long as each other
        return lambda samples: progress(stage, before + min(samples / total, 1.0) / 2)

    network = networks.load("segmentation", providers=providers, threads=threads)
    scores, samples = segment(recording.blocks(channel), network, share("finding speech", 0.0))
    speech, overlap, change = (row.astype(np.float32) / 255 for row in scores)
    pieces, strength = cut(speech_regions(speech), change)
    network = networks.load("embedding", providers=providers, threads=threads)
    voices, weights = embed(
        recording.blocks(channel),
        listening_spans(pieces, strength),
        (speech >= _ALONE) & (overlap < _ALONE),
        network,
        share("telling voices apart", 0.5),
    )
    return Heard(scores[:2], pieces, strength, voices, weights), samples / RATE
