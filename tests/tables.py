"""What tests of `diarize` share: a beginning of a talk, and what every table of turns must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import soundfile
from scipy.optimize import linear_sum_assignment

import diarnb

RATE = 16_000
LABEL = r"SPEAKER_\d\d"


def excerpt(seconds: float, samples: int = 0) -> np.ndarray:
    """The beginning of the interview, and so many samples more."""
    sound, rate = soundfile.read(diarnb.example("interview"), dtype="float32")
    assert rate == RATE
    return sound[: round(seconds * RATE) + samples]


def beginning_of_call(seconds: float) -> tuple[np.ndarray, int]:
    sound, rate = soundfile.read(diarnb.example("call"), dtype="float32")
    return sound[: round(seconds * rate)], rate


def quietly(source: Any, **arguments: Any) -> pd.DataFrame:
    return diarnb.diarize(source, **{"progress": False, **arguments})


def error_rate(truth: pd.DataFrame, turns: pd.DataFrame) -> float:
    """DER on a grid of 10 ms: collar 0, overlap scored."""
    times = np.arange(0, max(truth["end"].max(), turns["end"].max()), 0.01)

    def grid(table: pd.DataFrame) -> np.ndarray:
        return np.array(
            [
                ((own["start"].to_numpy()[:, None] <= times) & (times < own["end"].to_numpy()[:, None])).any(axis=0)
                for _, own in table.groupby("speaker")
            ]
        )

    ours, theirs = grid(turns).astype(int), grid(truth).astype(int)
    shared = theirs @ ours.T
    correct = shared[linear_sum_assignment(shared, maximize=True)].sum()
    return float((np.maximum(ours.sum(axis=0), theirs.sum(axis=0)).sum() - correct) / theirs.sum())


def check_table(turns: pd.DataFrame, *more: str) -> None:
    """DESIGN's table of turns, whatever is in it."""
    assert type(turns) is pd.DataFrame
    assert list(turns.columns) == ["start", "end", "duration", "speaker", *more]
    types = {"start": "float64", "end": "float64", "duration": "float64", "confidence": "float64", "channel": "int64"}
    assert {name: str(turns[name].dtype) for name in turns if name != "speaker"} == {
        name: types[name] for name in turns if name != "speaker"
    }
    assert turns["speaker"].dtype == pd.Series(dtype=str).dtype
    assert isinstance(turns.index, pd.RangeIndex)
    assert (turns["start"] >= 0).all()
    assert (turns["start"] < turns["end"]).all()
    assert (turns["end"] <= turns.attrs["diarnb"]["duration"]).all()
    assert (turns["duration"] == turns["end"] - turns["start"]).all()
    assert turns["speaker"].str.fullmatch(LABEL).all()
    pd.testing.assert_frame_equal(turns, turns.sort_values(["start", "end", "speaker"]))
    if "confidence" in more:
        assert turns["confidence"].between(0, 100).all()
