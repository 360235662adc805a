"""Adds noise to embeddings, and shows how far that moves a decision: ``python -m benchmarks.clustering_noise FOLDER``.

FOLDER is what ``python -m benchmarks.accuracy`` takes. A table must not change with a processor's rounding.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import read_folder
from benchmarks.bounds import extract_evidence, score_decision
from diarnb.engines.local.decoding import decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.accuracy import Errors, Recording
    from diarnb.engines.local.evidence import ChannelEvidence

SPREADS = (0.002, 0.01)
NOTES = """\
- noise: standard deviation of what is added to each number of a segment's embeddings, each of unit length, anew in each
  draw; .002 is 3 % of their length, .01 is 15 %.
- moved: points of DER at collar 0 (overlap scored, pooled over all recordings) by which a draw differs from no noise.
- below: the recordings that move the pooled rate by a tenth of a point or more in any draw, and how often how many
  speakers are found in them; nobody is told the count."""


def add_noise(evidence: ChannelEvidence, spread: float, rng: np.random.Generator) -> ChannelEvidence:
    """Return the evidence with normal noise on its embeddings."""
    noise = spread * rng.standard_normal(evidence.embeddings.shape)
    return replace(evidence, embeddings=(evidence.embeddings + noise).astype(np.float16))


def measure(recordings: Sequence[Recording], draws: int) -> tuple[list[list[str]], list[list[str]]]:
    """Return a row for each spread of the noise, and one for each recording that moves."""
    shifts = {spread: np.zeros((len(recordings), draws)) for spread in SPREADS}  # speaker-seconds of error
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    without: list[Errors] = []
    for row, recording in enumerate(recordings):
        evidence, duration = extract_evidence(recording)
        plain = decide(evidence, 1, None, None)
        without.append(score_decision(recording, plain, duration).errors["collar 0"])
        known = {(plain.first.tobytes(), plain.second.tobytes()): without[-1]}
        rng = np.random.default_rng(row)
        for spread in SPREADS:
            for draw in range(draws):
                decision = decide(add_noise(evidence, spread, rng), 1, None, None)
                key = decision.first.tobytes(), decision.second.tobytes()
                if key not in known:
                    known[key] = score_decision(recording, decision, duration).errors["collar 0"]
                shifts[spread][row, draw] = _sum_wrong(known[key]) - _sum_wrong(without[-1])
                counts[recording.name][decision.speakers] += 1
    pooled = reduce(add, without)
    moved = {spread: 100 * shift / pooled.reference for spread, shift in shifts.items()}
    rows = []
    for spread, shift in moved.items():
        total = shift.sum(0)
        largest, mean = np.abs(total).max(), np.sqrt(np.mean(total**2))
        rows.append([f"{spread:g}", f"{pooled.der:.2f} %", f"{largest:.2f}", f"{mean:.2f}"])
    most = np.abs(np.hstack(list(moved.values()))).max(1)
    found = [
        [recording.name, f"{most[row]:.2f}", ", ".join(f"{k}: {n}" for k, n in sorted(counts[recording.name].items()))]
        for row, recording in enumerate(recordings)
        if most[row] >= 0.1
    ]
    return rows, found


def _sum_wrong(errors: Errors) -> float:
    return errors.missed + errors.false_alarm + errors.confusion


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering_noise", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=16, help="of noise, for each spread (default: 16)")
    arguments = parser.parse_args(argv)
    rows, found = measure(read_folder(arguments.folder), arguments.draws)
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime", "pyannote.metrics")}), NOTES, sep="\n")
    print(f"\n{table(['noise', 'DER without', 'moved at most', 'root mean square'], rows)}")
    print(f"\n{table(['recording', 'moves the pooled rate at most', 'speakers found: draws'], found)}")


if __name__ == "__main__":
    main()
