"""What `diarnb.score` costs beside spyder, in one run: ``python -m benchmarks.scoring [--files 200] [--turns 100]``.

spyder (``pip install spy-der``) counts one convention a call, in C++, and no Jaccard error; `score` counts four and the
Jaccard error. Both are given tables, take turns, and their median counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import diarnb
from benchmarks._machine import heading, table, versions

if TYPE_CHECKING:
    from collections.abc import Callable

CONVENTIONS = [(0.0, "all"), (0.0, "nonoverlap"), (0.25, "all"), (0.25, "nonoverlap")]


def make_tables(files: int, turns: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make references and hypotheses of as many recordings, with some overlap and other edges."""
    draw = np.random.default_rng(seed)
    parts: list[list[pd.DataFrame]] = [[], []]
    for number in range(files):
        start = np.cumsum(draw.exponential(2.5, turns))
        length = draw.exponential(2.0, turns) + 0.2
        for which, side in enumerate(parts):
            shift = which * draw.normal(0, 0.15, (2, turns))
            who = np.where(draw.random(turns) < 0.1 * which, draw.integers(0, 4, turns), np.arange(turns) % 4)
            begin = np.round(np.clip(start + shift[0], 0, None), 3)
            end = np.round(np.maximum(begin + 0.05, start + length + shift[1]), 3)
            rows = pd.DataFrame({"start": begin, "end": end, "speaker": [f"S{name}" for name in who]})
            side.append(rows.assign(uri=f"file{number:04d}"))
    reference, hypothesis = (pd.concat(side, ignore_index=True) for side in parts)
    return reference, hypothesis


def score_with_spyder(reference: pd.DataFrame, hypothesis: pd.DataFrame, *, conventions: int) -> float:
    """Compute the DER of all recordings by as many conventions; return the first, in percent."""
    import spyder

    sides = [
        {uri: list(zip(rows["speaker"], rows["start"], rows["end"], strict=True)) for uri, rows in side.groupby("uri")}
        for side in (reference, hypothesis)
    ]
    found = [
        spyder.DER(*sides, per_file=True, regions=regions, collar=collar)
        for collar, regions in CONVENTIONS[:conventions]
    ]
    return float(found[0]["Overall"].der)


def measure(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Measure the median seconds of each, all in turn."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, act in work.items():
            began = time.perf_counter()
            act()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--turns", type=int, default=100, help="of each recording")
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    reference, hypothesis = make_tables(asked.files, asked.turns)
    warnings.simplefilter("ignore")
    taken = measure(
        {
            "diarnb.score: four conventions and JER": lambda: diarnb.score(reference, hypothesis),
            "spyder: one convention": lambda: score_with_spyder(reference, hypothesis, conventions=1),
            "spyder: the same four": lambda: score_with_spyder(reference, hypothesis, conventions=4),
        },
        asked.repeats,
    )
    print(heading({"versions": versions("diarnb", "spy-der", "pandas", "numpy")}))
    print(f"\n{asked.files} recordings of {asked.turns} turns, the median of {asked.repeats}\n")
    ours = next(iter(taken.values()))
    print(table(["", "s", "score is"], [[k, f"{v:.3f}", f"{ours / v:.2f} x"] for k, v in taken.items()]))


if __name__ == "__main__":
    main()
