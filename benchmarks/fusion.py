"""Shows whether several tables are better than one: ``python -m benchmarks.fusion FOLDER ... --pyannote PIPELINE``.

A FOLDER is what ``python -m benchmarks.accuracy`` takes, and what ``python -m benchmarks.simulate`` makes. PIPELINE is
a model or a folder for ``engine="pyannote"``, ``python -m benchmarks.pyannote_pipeline`` for one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import diarnb
from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import Recording, read_folder
from diarnb.metrics import second_opinions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLLARS = (0.0, 0.25)
PERTURBED = ("slower", "noisy")
NOTES = """\
- local: diarnb's engine; slower, noisy: the same on the recording as `diarnb.metrics.second_opinions` perturbs it;
  pyannote: pyannote.audio 4 with the pipeline that was named. No count is given to any.
- a + b + c: `diarnb.fuse` of these, in this order, by its own weights; the local ones have `turn_level_confidence`.
- DER in percent by `diarnb.score`, overlap scored, at collar 0 and 0.25 s on each side of every reference boundary;
  pooled: summed errors over summed reference speech. In brackets missed, false alarm and confusion.
- best in: recordings in which no other single table errs less at collar 0.25; no worse: those in which a fusion errs no
  more than the best of its own tables."""


def diarize(recording: Recording, pipeline: str) -> dict[str, pd.DataFrame]:
    """Return the tables of a recording by name, the local engine's first."""
    opinions = second_opinions(recording.audio, progress=False, turn_level_confidence=True)
    tables = {"local": opinions["as it is"], **{name: opinions[name] for name in PERTURBED}}
    return tables | {"pyannote": diarnb.diarize(recording.audio, engine="pyannote", model=pipeline, progress=False)}


def fuse(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the fusions of the local engine and pyannote.audio with one perturbed local one, and that of all."""
    chosen = [("local", perturbed, "pyannote") for perturbed in PERTURBED]
    return {" + ".join(names): diarnb.fuse([tables[name] for name in names]) for names in [*chosen, tuple(tables)]}


def judge(recording: Recording, pipeline: str) -> pd.DataFrame:
    """Return the errors of each table of a recording, and of their fusions."""
    truth = pd.DataFrame(recording.reference, columns=["start", "end", "speaker"])
    uem = pd.DataFrame(recording.scored, columns=["start", "end"])
    tables = diarize(recording, pipeline)
    rows = []
    for name, found in {**tables, **fuse(tables)}.items():
        scores = diarnb.score(truth, found, uem=uem)
        rows.append(scores[scores["overlap"] == "scored"].assign(name=recording.name, table=name))
    return pd.concat(rows, ignore_index=True)


def pool(own: pd.DataFrame) -> str:
    """Write pooled DER and what it is made of."""
    speech = own["speech"].sum()
    parts = [(own[kind] * own["speech"]).sum() / speech for kind in ("missed", "false_alarm", "confusion")]
    return f"{100 * own['wrong'].sum() / speech:.2f} ({', '.join(f'{part:.1f}' for part in parts)})"


def report(rows: pd.DataFrame) -> str:
    """Write pooled DER, how often each single table is the best, and how often a fusion is as good as its best."""
    der = rows[rows["collar"] == COLLARS[-1]].pivot_table(values="der", index="name", columns="table")
    single = [name for name in der if "+" not in name]
    lines = []
    for name in dict.fromkeys(rows["table"]):
        rivals = single if name in single else name.split(" + ")
        best = (der[name] <= der[rivals].min(axis=1) + 1e-9).sum()
        pooled = [pool(rows[rows["table"].eq(name) & rows["collar"].eq(collar)]) for collar in COLLARS]
        lines.append([name, *pooled, *((str(best), "") if name in single else ("", str(best)))])
    return table(["table", "pooled DER, collar 0", "collar 0.25", "best in", "no worse"], lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--pyannote", metavar="PIPELINE", required=True)
    arguments = parser.parse_args(argv)
    packages = ["diarnb", "numpy", "scipy", "onnxruntime", "pyannote.audio", "torch"]
    print(heading({"diarnb": versions(*packages)}), NOTES, sep="\n", flush=True)
    for folder in arguments.folders:
        rows = pd.concat([judge(each, arguments.pyannote) for each in read_folder(folder)], ignore_index=True)
        print(f"\n{folder.name}, {rows['name'].nunique()} recordings:\n\n{report(rows)}", flush=True)


if __name__ == "__main__":
    main()
