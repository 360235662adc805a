"""Shows whether confidence means what it says: ``python -m benchmarks.calibration FOLDER [--plot FILE]``.

FOLDER is what ``python -m benchmarks.accuracy`` takes. Of the turns that are given a confidence of 80 to 90, the named
speaker should really speak about 85 % of the time.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pyannote.core import Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

import diarnb
from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import Recording, annotation, read_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

WIDTH = 10
NOTES = """\
- One row a turn of `diarize(..., turn_level_confidence=True)`, the count not given; speakers are mapped to the
  reference for each recording as for the diarization error rate. What lies outside the scored region is left out.
- right: the share of the turns' time in which the named speaker speaks in the reference, the mean over turns; edges and
  pauses that the reference has and diarnb has not count as wrong.
- expected calibration error: |confidence - right| of each row, weighted by its turns; 0 is perfect, 100 the worst.
- cross-entropy: of what is right given confidence, clipped at 1 and 99 %; the mean over turns, in nats. It has no rows,
  so that settings are chosen by it."""


def judged(recording: Recording) -> list[tuple[float, float]]:
    """Return confidence and share of time that is right, in percent, of each turn in the scored region."""
    turns = diarnb.diarize(recording.audio, turn_level_confidence=True, progress=False)
    uem = Timeline([Segment(start, end) for start, end in recording.scored])
    reference = annotation(recording.reference)
    found = annotation(turns[["start", "end", "speaker"]].itertuples(index=False, name=None))
    mapping = DiarizationErrorRate().optimal_mapping(reference.crop(uem), found.crop(uem))
    judged = []
    for start, end, speaker, confidence in turns[["start", "end", "speaker", "confidence"]].itertuples(index=False):
        inside = uem.crop(Segment(start, end))
        if not inside.duration():
            continue
        truth = reference.label_timeline(mapping[speaker]) if speaker in mapping else Timeline()
        right = truth.crop(inside, mode="intersection").duration() / inside.duration()
        judged.append((confidence, 100 * right))
    return judged


def bins(judged: Iterable[tuple[float, float]]) -> tuple[NDArray[np.float64], float]:
    """Return turns, mean confidence and mean share that is right of each tenth [shape=(10, 3)], and the error.

    Examples
    --------
    >>> rows, error = bins([(85.0, 100.0), (85.0, 60.0), (15.0, 5.0)])
    >>> rows[8].tolist(), round(error, 2)
    ([2.0, 85.0, 80.0], 6.67)
    """
    pairs = np.array(list(judged), dtype=float).reshape(-1, 2)
    which = np.clip(pairs[:, 0] // WIDTH, 0, 100 // WIDTH - 1)
    rows = np.full((100 // WIDTH, 3), np.nan)
    for number in range(len(rows)):
        inside = pairs[which == number]
        rows[number] = [len(inside), *(inside.mean(0) if len(inside) else (np.nan, np.nan))]
    error = np.nansum(rows[:, 0] * np.abs(rows[:, 1] - rows[:, 2])) / max(len(pairs), 1)
    return rows, float(error)


def cross_entropy(judged: Iterable[tuple[float, float]]) -> float:
    """Return the mean cross-entropy of pairs of confidence and share that is right, both in percent.

    Examples
    --------
    >>> round(cross_entropy([(50.0, 100.0), (50.0, 0.0)]), 3)
    0.693
    """
    confidence, right = np.array(list(judged), dtype=float).reshape(-1, 2).T / 100
    confidence = np.clip(confidence, 0.01, 0.99)
    return float(-np.mean(right * np.log(confidence) + (1 - right) * np.log(1 - confidence)))


def plot(rows: NDArray[np.float64], path: Path) -> None:
    """Draw how often turns are right against what their confidence says."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=1)
    axes.scatter(rows[:, 1], rows[:, 2], s=10 + 300 * rows[:, 0] / rows[:, 0].sum(), color="#3b6ea5", zorder=2)
    for turns, confidence, right in rows[rows[:, 0] > 0]:
        axes.annotate(f"{turns:.0f}", (confidence, right), (7, -9), textcoords="offset points", fontsize=8, color="0.4")
    axes.set(xlim=(0, 102), ylim=(0, 102), aspect="equal", xlabel="confidence", ylabel="right, % of the time")
    axes.set_title("What a turn's confidence means; beside each point its turns", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("folder", type=Path)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", type=Path, metavar="NAMES.txt", help="these recordings, one name a line")
    choice.add_argument("--except", type=Path, metavar="NAMES.txt", dest="leave_out", help="all but these")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw it (.png, .svg, .pdf)")
    arguments = parser.parse_args(argv)
    only = set(arguments.only.read_text(encoding="utf-8").split()) if arguments.only else None
    left_out = arguments.leave_out.read_text(encoding="utf-8").split() if arguments.leave_out else ()
    pairs = [pair for each in read_folder(arguments.folder, only, left_out) for pair in judged(each)]
    rows, error = bins(pairs)
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime", "pyannote.metrics")}), NOTES, sep="\n")
    shown = [
        [f"{number * WIDTH}-{(number + 1) * WIDTH}", f"{turns:.0f}", f"{confidence:.0f}", f"{right:.0f}"]
        for number, (turns, confidence, right) in enumerate(rows)
        if turns
    ]
    print(f"\n{table(['confidence', 'turns', 'mean', 'right, %'], shown)}")
    print(f"\nExpected calibration error: {error:.1f} of 100, over {rows[:, 0].sum():.0f} turns.")
    print(f"Cross-entropy: {cross_entropy(pairs):.3f}.")
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
