"""Shows whether agreement tells how good a diarization is: ``python -m benchmarks.metrics_agreement FOLDER ...``.

A FOLDER is what ``python -m benchmarks.accuracy`` takes, and what ``python -m benchmarks.simulate`` makes. With
``--pyannote PIPELINE`` another engine gives its opinion too, as in ``python -m benchmarks.fusion``.
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
NOTES = """\
- agreement: of each table of `diarnb.metrics.second_opinions` (the recording as it is, slower, noisy, and with one
  speaker more) with the others, by `diarnb.metrics.agreement`, which knows no truth; the count not given.
- DER in percent by `diarnb.score`, overlap scored, at collar 0 and 0.25 s on each side of every reference boundary.
- rank correlation: Spearman's, between agreement and DER, turned round so that 1 is perfect and 0 says nothing. With
  pyannote: of the table as it is with that of pyannote.audio; with all: with its own opinions and that one."""


def judge(recording: Recording, pipeline: str | None) -> pd.DataFrame:
    """Return agreement, verdict and DER of each table of a recording; and its agreement with another engine's."""
    truth = pd.DataFrame(recording.reference, columns=["start", "end", "speaker"])
    uem = pd.DataFrame(recording.scored, columns=["start", "end"])
    opinions = second_opinions(recording.audio, progress=False)
    rows = agreement(opinions).assign(name=recording.name)
    scores = [diarnb.score(truth, found, uem=uem) for found in opinions.values()]
    for collar in COLLARS:
        wanted = [each[each["collar"].eq(collar) & each["overlap"].eq("scored")] for each in scores]
        rows[f"DER {collar:g}"] = [float(each["der"].iloc[0]) for each in wanted]
    if pipeline is not None:
        other = diarnb.diarize(recording.audio, engine="pyannote", model=pipeline, progress=False)
        for group, tables in {"pyannote": [opinions["as it is"]], "all": [*opinions.values()]}.items():
            rows[f"with {group}"] = agreement([*tables, other])["agreement"].iloc[0]
    return rows


def correlate(rows: pd.DataFrame, column: str = "agreement") -> list[str]:
    """Return the rank correlation at each collar."""
    return [f"{-spearmanr(rows[column], rows[f'DER {collar:g}']).statistic:.2f}" for collar in COLLARS]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics_agreement", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--pyannote", metavar="PIPELINE")
    arguments = parser.parse_args(argv)
    parts = [
        judge(each, arguments.pyannote).assign(folder=folder.name)
        for folder in arguments.folders
        for each in read_folder(folder)
    ]
    rows = pd.concat(parts, ignore_index=True)
    own = rows[rows["table"] == "as it is"]
    print(heading({"diarnb": versions("diarnb", "numpy", "scipy", "onnxruntime", "pyannote.metrics")}), NOTES, sep="\n")
    columns = ["name", "agreement", "verdict", *(f"DER {collar:g}" for collar in COLLARS)]
    shown = own[columns].round(1).astype(str).to_numpy().tolist()
    print(f"\nThe recordings as they are:\n\n{table(columns, shown)}")
    verdicts = [
        [
            name,
            str(len(group)),
            *(f"{group[f'DER {c:g}'].median():.1f} ({group[f'DER {c:g}'].max():.1f})" for c in COLLARS),
        ]
        for name, group in own.groupby("verdict")
    ]
    print(f"\n{table(['verdict', 'recordings', 'DER 0: median (worst)', 'DER 0.25: median (worst)'], verdicts)}")
    groups = {"recordings": own, "all tables": rows}
    if len(arguments.folders) > 1:
        groups |= {f"recordings of {name}": group for name, group in own.groupby("folder")}
    correlations = [[what, str(len(group)), *correlate(group)] for what, group in groups.items()]
    others = [column for column in own if column.startswith("with ")]
    correlations += [[f"recordings, {column}", str(len(own)), *correlate(own, column)] for column in others]
    print(f"\n{table(['rank correlation', 'of', 'collar 0', 'collar 0.25'], correlations)}")


if __name__ == "__main__":
    main()
