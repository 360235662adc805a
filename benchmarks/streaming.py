"""Measures what a reader of a live stream gets, and when: ``python -m benchmarks.streaming FOLDER``.

The folder is one for `benchmarks.accuracy`. Each recording is given to the engine a tenth of a second at a time, as
fast as it takes it; times are those of the sound that had been given.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pyannote.core import Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import Recording, annotation, pool, read_folder, score
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.engines.local import LocalEngine
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from benchmarks._systems import Turn
    from benchmarks.accuracy import Score

NOTES = """\
- first seen: from the moment at which speech of the final answer (every 0.1 s of it) was given to the engine until a
  turn first covered it, whoever was named; what was never covered before the end counts up to there. Computing time
  comes on top of it.
- right: the same until a turn first covered it with the speaker that it has in the final answer.
- moved: share of the turns that, when they had become final, had another speaker than their main one, by name, in the
  final answer.
- DER at collar 0, overlap scored, as in benchmarks.accuracy. offline: the final answer; settled: all turns as they were
  when they became final; between: the settled turns with the final answer as their reference.
- compute: processor time of all threads for each second of audio, with the tables; offline: that of `diarize`.
- Pooled rows sum up seconds; medians and percentiles are over all of them."""
GRID = 0.1  # seconds


@dataclass(frozen=True)
class Followed:
    """One recording, streamed."""

    audio: float
    seen: npt.NDArray[np.float64]
    """Seconds until each piece of speech was first covered, and..."""
    right: npt.NDArray[np.float64]
    """...until it was first covered by the speaker of the final answer."""
    settled: Score
    offline: Score
    between: tuple[float, float]
    """Speaker-seconds of the final answer, and those that are wrong in the settled turns."""
    moved: tuple[int, int]
    """Settled turns that have another main speaker in the final answer, and all."""
    seconds: tuple[float, float]
    """Processor time of the stream, and of `diarize`."""


def follow(recording: Recording) -> Followed:
    """Stream one recording, and diarize it as a whole."""
    engine, given = LocalEngine(), 0.0
    with open_recording(recording.audio) as opened:
        samples = np.concatenate(list(opened.blocks()))

    def blocks() -> Iterator[npt.NDArray[np.float32]]:
        nonlocal given
        for start in range(0, len(samples), SAMPLE_RATE // 10):
            block = samples[start : start + SAMPLE_RATE // 10]
            given = (start + len(block)) / SAMPLE_RATE
            yield block

    told: list[tuple[float, dict[int, Turn]]] = []
    known: dict[int, Turn] = {}
    started = time.process_time()
    changes = engine.stream(blocks(), SAMPLE_RATE, Params(), {})
    while True:
        try:
            turns = next(changes)
        except StopIteration as end:
            answer, names = end.value
            break
        known |= {turn["turn_id"]: (turn["start"], turn["end"], turn["speaker"]) for turn in turns}
        told.append((given, dict(known)))
    streamed = time.process_time() - started
    started = time.process_time()
    with open_recording(recording.audio) as opened:
        engine.diarize(opened, Params(), {}, lambda _stage, _fraction: None)
    offline = time.process_time() - started
    final: list[Turn] = [(turn["start"], turn["end"], names[turn["speaker"]]) for turn in answer.raw["diarization"]]
    settled = [turn for turn in known.values() if turn[1] > turn[0]]
    seen, right = delays(final, told, given)
    whole = Timeline([Segment(0.0, recording.duration)])
    part = DiarizationErrorRate()(annotation(final), annotation(settled), uem=whole, detailed=True)
    return Followed(
        audio=recording.duration,
        seen=seen,
        right=right,
        settled=score(recording, settled),
        offline=score(recording, final),
        between=(part["total"], part["missed detection"] + part["false alarm"] + part["confusion"]),
        moved=(sum(main_speaker(turn, final) != turn[2] for turn in settled), len(settled)),
        seconds=(streamed, offline),
    )


def main_speaker(turn: Turn, final: Sequence[Turn]) -> str | None:
    """Return who speaks for longest during a turn."""
    shared: dict[str, float] = {}
    for start, end, who in final:
        shared[who] = shared.get(who, 0.0) + max(0.0, min(end, turn[1]) - max(start, turn[0]))
    longest = max(shared, key=lambda who: shared[who], default=None)
    return longest if longest is not None and shared[longest] > 0 else None


def delays(
    final: Sequence[Turn], told: Sequence[tuple[float, dict[int, Turn]]], end: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return how long each piece of speech took to be seen, and to be seen with its speaker."""
    pieces = [(at, who) for start, stop, who in final for at in np.arange(start + GRID / 2, stop, GRID).tolist()]
    seen, right = np.full(len(pieces), np.inf), np.full(len(pieces), np.inf)
    times = np.array([at for at, _ in pieces])
    speakers = np.array([who for _, who in pieces])
    for given, turns in told:
        for start, stop, who in turns.values():
            covered = (times >= start) & (times < stop)
            seen[covered] = np.minimum(seen[covered], given)
            hit = covered & (speakers == who)
            right[hit] = np.minimum(right[hit], given)
    return np.minimum(seen, end) - times, np.minimum(right, end) - times


def row(name: str, followed: Sequence[Followed]) -> list[str]:
    """Return a line of the table."""
    seen, right = (np.concatenate([getattr(each, what) for each in followed]) for what in ("seen", "right"))
    total, wrong = (sum(each.between[place] for each in followed) for place in range(2))
    moved, turns = (sum(each.moved[place] for each in followed) for place in range(2))
    audio = sum(each.audio for each in followed)
    settled, offline = (pool([getattr(each, what) for each in followed]) for what in ("settled", "offline"))
    return [
        name,
        f"{audio / 60:.1f}",
        *(f"{value:.1f}" for value in (np.median(seen), np.percentile(seen, 95))),
        *(f"{value:.1f}" for value in (np.median(right), np.percentile(right, 95))),
        f"{100 * moved / turns:.1f}",
        *(f"{each.errors['collar 0'].der:.1f}" for each in (offline, settled)),
        f"{100 * wrong / total:.1f}",
        *(f"{sum(each.seconds[place] for each in followed) / audio:.3f}" for place in range(2)),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", type=Path, metavar="NAMES.txt", help="stream these recordings, one name a line")
    arguments = parser.parse_args(argv)
    only = set(arguments.only.read_text(encoding="utf-8").split()) if arguments.only else None
    followed = {recording.name: follow(recording) for recording in read_folder(arguments.folder, only)}
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime"), "scorer": versions("pyannote.metrics")}))
    header = ["recording", "min", "seen, median s", "95 %", "right, median s", "95 %", "moved %", "DER offline"]
    header += ["settled", "between", "compute", "offline"]
    rows = [row(name, [each]) for name, each in followed.items()]
    print(NOTES, table(header, [*rows, row("all", list(followed.values()))]), sep="\n\n")


if __name__ == "__main__":
    main()
