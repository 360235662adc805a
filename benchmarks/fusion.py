"""Shows whether several tables are better than one: ``python -m benchmarks.fusion FOLDER ... [--pyannote PIPELINE]``.

A FOLDER is what ``python -m benchmarks.accuracy`` takes, and what ``python -m benchmarks.simulate`` makes. PIPELINE is
a model or a folder for ``engine="pyannote"``, ``python -m benchmarks.pyannote_pipeline`` for one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy.stats import spearmanr

import diarnb
from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import Recording, read_folder
from diarnb.metrics import agreement, second_opinions

if TYPE_CHECKING:
    from collections.abc import Sequence

COLLARS = (0.0, 0.25)
PERTURBED = ("slower", "noisy")
NOTES = """\
- local: diarnb's engine; slower, noisy: the same on the recording as `diarnb.metrics.second_opinions` perturbs it;
  pyannote: pyannote.audio 4 with the pipeline that was named. No count is given to any.
- fused: `diarnb.fuse` of all others in this table, in their order, by its own weights.
- DER in percent by `diarnb.score`, overlap scored, at collar 0 and 0.25 s on each side of every reference boundary;
  pooled: summed errors over summed reference speech. best in: recordings in which no other single table errs less.
- rank correlation: Spearman's over recordings, between the agreement of the local table with the others, which knows no
  truth, and its DER at collar 0.25, turned round so that 1 is perfect and 0 says nothing."""


def diarize(recording: Recording, pipeline: str | None) -> dict[str, pd.DataFrame]:
    """Return the tables of a recording by name, the local engine's first."""
    opinions = second_opinions(recording.audio, progress=False)
    tables = {"local": opinions["as it is"], **{name: opinions[name] for name in PERTURBED}}
    if pipeline is not None:
        tables["pyannote"] = diarnb.diarize(recording.audio, engine="pyannote", model=pipeline, progress=False)
    return tables


def judge(recording: Recording, pipeline: str | None) -> pd.DataFrame:
    """Return errors of each table of a recording and of their fusion, and how far the local one agrees with others."""
    truth = pd.DataFrame(recording.reference, columns=["start", "end", "speaker"])
    uem = pd.DataFrame(recording.scored, columns=["start", "end"])
    tables = diarize(recording, pipeline)
    groups = {"its own": [name for name in tables if name != "pyannote"]}
    if pipeline is not None:
        groups |= {"pyannote": ["local", "pyannote"], "all": list(tables)}
    agreed = {
        f"agrees {what}": float(agreement({name: tables[name] for name in names})["agreement"].iloc[0])
        for what, names in groups.items()
    }
    rows = []
    for name, found in {**tables, "fused": diarnb.fuse(tables)}.items():
        scores = diarnb.score(truth, found, uem=uem)
        for collar in COLLARS:
            chosen = scores[scores["collar"].eq(collar) & scores["overlap"].eq("scored")].iloc[0]
            told = {"table": name, "collar": collar, "wrong": chosen["wrong"], "speech": chosen["speech"]}
            rows.append({"name": recording.name, **told, **agreed})
    return pd.DataFrame(rows).assign(der=lambda each: 100 * each["wrong"] / each["speech"])


def report(rows: pd.DataFrame) -> str:
    """Write pooled DER, and how often each single table is the best."""
    single = rows[rows["table"] != "fused"]
    least = single.groupby(["name", "collar"])["der"].transform("min")
    best = single[single["der"] <= least + 1e-9].groupby(["table", "collar"]).size()
    lines = []
    for name in dict.fromkeys(rows["table"]):
        cells = [name]
        for collar in COLLARS:
            own = rows[rows["table"].eq(name) & rows["collar"].eq(collar)]
            cells.append(f"{100 * own['wrong'].sum() / own['speech'].sum():.2f}")
        lines.append([*cells, "" if name == "fused" else str(best.get((name, 0.25), 0))])
    return table(["table", "pooled DER, collar 0", "collar 0.25", "best in"], lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--pyannote", metavar="PIPELINE")
    arguments = parser.parse_args(argv)
    packages = ["diarnb", "numpy", "scipy", "onnxruntime", *(["pyannote.audio", "torch"] if arguments.pyannote else [])]
    print(heading({"diarnb": versions(*packages)}), NOTES, sep="\n", flush=True)
    for folder in arguments.folders:
        rows = pd.concat([judge(each, arguments.pyannote) for each in read_folder(folder)], ignore_index=True)
        print(f"\n{folder.name}, {rows['name'].nunique()} recordings:\n\n{report(rows)}", flush=True)
        own = rows[rows["table"].eq("local") & rows["collar"].eq(0.25)]
        told = [
            [column.removeprefix("agrees "), f"{-spearmanr(own[column], own['der']).statistic:.2f}"]
            for column in own
            if column.startswith("agrees ")
        ]
        print(f"\n{table(['second opinions', 'rank correlation'], told)}", flush=True)


if __name__ == "__main__":
    main()
