"""Measures how the verbs on tables grow: ``python -m benchmarks.verbs``.

Tables of 1,000, 10,000 and 100,000 rows are drawn, as one recording and as recordings of 100 rows each.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import diarnb
from benchmarks._machine import heading, table, versions
from diarnb import analysis
from diarnb.tables.turns import cut_overlap

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = (1_000, 10_000, 100_000)
NOTES = """\
- Turns: 5 speakers, a turn begins every 2 s on average and lasts 2 s on average (exponential), overlap included; words:
  as many, over the same time, 0.3 s on average. Many: the same rows as recordings of 100 rows each, told by `uri`.
- Shown: seconds of one core, the smallest of three, whatever else the machine does; drawing and writing
  files are left out.
- growth: seconds for the most rows / seconds for a tenth of them; 10 is linear."""


def turns_of(rows: int, *, many: bool) -> pd.DataFrame:
    """Draw a table of turns."""
    rng = np.random.default_rng(rows)
    start = np.sort(rng.uniform(0, 2.0 * rows, rows))
    table = pd.DataFrame({"start": start, "end": start + rng.exponential(2.0, rows)})
    return _parted(table.assign(speaker=[f"SPEAKER_{n:02d}" for n in rng.integers(0, 5, rows)]), many=many)


def words_of(rows: int, *, many: bool) -> pd.DataFrame:
    """Draw a table of words."""
    rng = np.random.default_rng(rows + 1)
    start = np.sort(rng.uniform(0, 2.0 * rows, rows))
    return _parted(pd.DataFrame({"start": start, "end": start + rng.exponential(0.3, rows), "word": "w"}), many=many)


def _parted(table: pd.DataFrame, *, many: bool) -> pd.DataFrame:
    if not many:
        return table
    part = np.arange(len(table)) // 100
    table[["start", "end"]] -= 200.0 * part[:, None]
    table = table.assign(start=table["start"].clip(lower=0.0), uri=[f"talk{n}" for n in part])
    return table.assign(end=table[["start", "end"]].max(axis=1))


def verbs(turns: pd.DataFrame, words: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Give the verbs, each ready to be called."""
    names = {"SPEAKER_00": "Maya", "SPEAKER_01": "Otto"}
    later = turns.assign(start=turns["start"] + 0.05, end=turns["end"] + 0.1)  # another opinion on the same turns
    found: dict[str, Callable[[], Any]] = {
        "speakers": lambda: diarnb.speakers(turns),
        "overlap": lambda: diarnb.overlap(turns),
        "exclusive": lambda: cut_overlap(turns),
        "rename": lambda: diarnb.rename(turns, names),
        "assign_speakers": lambda: diarnb.assign_speakers(words, turns),
        "doubtful_words": lambda: analysis.doubtful_words(words, turns),
        "interruptions": lambda: analysis.interruptions(turns),
        "responses": lambda: analysis.responses(turns),
        "turn_taking": lambda: analysis.turn_taking(turns),
        "monologues": lambda: analysis.monologues(turns),
        "summary": lambda: analysis.summary(turns),
        "worst": lambda: diarnb.worst(turns, later),
        "compare": lambda: diarnb.compare(turns, later),
        "score": lambda: diarnb.score(turns, later),
        "transcript": lambda: analysis.transcript(turns.assign(text="Well, yes."), "{start} {who}: {text}"),
    }
    if "uri" not in turns:
        found["per_minute"] = lambda: analysis.per_minute(turns)
    return found


def seconds(verb: Callable[[], Any]) -> float:
    """Return the smallest processor time of three calls, or of as many as begin within ten seconds."""
    times: list[float] = []
    while len(times) < 3 and sum(times) < 10:
        begun = time.process_time()
        verb()
        times.append(time.process_time() - begun)
    return min(times)


def main() -> None:
    argparse.ArgumentParser(description="Measure how the verbs on tables grow.").parse_args()
    measured: dict[tuple[str, bool], list[float]] = {}
    for rows in ROWS:
        for many in (False, True):
            for name, verb in verbs(turns_of(rows, many=many), words_of(rows, many=many)).items():
                measured.setdefault((name, many), []).append(seconds(verb))
    print(heading({"diarnb": versions("diarnb", "pandas", "numpy")}))
    print()
    lines = [
        [f"{name}{' (many)' if many else ''}", *(f"{value:.3f}" for value in times), f"{times[-1] / times[-2]:.1f}"]
        for (name, many), times in sorted(measured.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    print(table(["verb", *(f"{rows:,} rows" for rows in ROWS), "growth"], lines))
    print()
    print(NOTES)


if __name__ == "__main__":
    main()
