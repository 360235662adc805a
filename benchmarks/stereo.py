"""Shows what is left of a side that is heard on the other channel: ``python -m benchmarks.stereo``.

Without FOLDER the example ``call``, as it is and with each side added to the other, 4 ms later and so many dB lower.
With two folders the recordings of two channels in the first, as they are; NAME.rttm in the second, for NAME.flac or
NAME.2ch.flac, has a label for each side.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf

import diarnb
from benchmarks._machine import heading, table, versions
from diarnb import analysis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

LEVELS = (None, -30.0, -20.0, -10.0)
LATE = 0.004  # seconds
STEP = 0.01  # seconds in which speech is compared
NOTES = """\
- bleed: the most that `diarnb.analysis.channels` finds on a channel, dB relative to the other side's own channel.
- false, missed: seconds in which a channel's turns say speech and the side is silent, and the other way round (collar
  0, steps of 10 ms), both channels together; before and after `diarnb.analysis.without_bleed`.
- `diarize(..., channels="split")`, the count not given."""


def mark_frames(turns: pd.DataFrame, length: int) -> np.ndarray[Any, Any]:
    """Return whether somebody speaks in each step."""
    spoken = np.zeros(length, dtype=bool)
    for start, end in turns[["start", "end"]].to_numpy():
        spoken[round(start / STEP) : round(end / STEP)] = True
    return spoken


def count_errors(turns: pd.DataFrame, sides: list[pd.DataFrame], duration: float) -> tuple[float, float]:
    """Return seconds of false and of missed speech, over all channels."""
    length = round(duration / STEP)
    false = missed = 0.0
    for channel, side in enumerate(sides):
        found, true = mark_frames(turns[turns["channel"] == channel], length), mark_frames(side, length)
        false += float((found & ~true).sum()) * STEP
        missed += float((true & ~found).sum()) * STEP
    return false, missed


def measure(name: str, samples: np.ndarray[Any, Any], rate: int, truth: pd.DataFrame) -> list[str]:
    """Measure one recording; its sides are told apart by whose speech is loudest where."""
    source = (samples, rate)
    sides = [part for _, part in truth.groupby("speaker", sort=True)]
    louder = [np.mean([_power(samples, rate, side, channel) for side in sides[:1]]) for channel in (0, 1)]
    if louder[1] > louder[0]:
        sides.reverse()
    turns = diarnb.diarize(source, channels="split", progress=False)
    clean = analysis.without_bleed(turns, source)
    duration = len(samples) / rate
    before, after = (count_errors(each, sides, duration) for each in (turns, clean))
    speech = sum(float(mark_frames(side, round(duration / STEP)).sum()) * STEP for side in sides)
    bleed = float(analysis.channels(source)["bleed"].max())
    return [name, f"{bleed:.1f}", *(f"{seconds:.1f}" for seconds in (speech, *before, *after))]


def _power(samples: np.ndarray[Any, Any], rate: int, side: pd.DataFrame, channel: int) -> float:
    spans = [samples[round(a * rate) : round(b * rate), channel] for a, b in side[["start", "end"]].to_numpy()]
    return float(np.square(np.concatenate(spans)).mean())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stereo", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", metavar="RECORDINGS REFERENCES")
    folders = parser.parse_args(argv).folders
    rows = []
    if not folders:
        path = diarnb.example("call")
        samples, rate = sf.read(path)
        truth = diarnb.read(path.with_suffix(".rttm"))
        for level in LEVELS:
            heard = samples.copy()
            if level is not None:
                late = round(LATE * rate)
                heard[late:] += 10 ** (level / 20) * samples[:-late, ::-1]
            rows.append(measure("call" if level is None else f"call, {level:.0f} dB", heard, rate, truth))
    else:
        recordings, references = folders
        for path in sorted(recordings.glob("*.flac")):
            name = path.stem.removesuffix(".2ch")
            samples, rate = sf.read(path)
            rows.append(measure(name, samples, rate, diarnb.read(references / f"{name}.rttm")))
    print(heading({"diarnb": versions("diarnb", "numpy", "scipy", "onnxruntime")}), NOTES, sep="\n")
    columns = ["recording", "bleed", "speech, s", "false before", "missed before", "false after", "missed after"]
    print(f"\n{table(columns, rows)}")


if __name__ == "__main__":
    main()
