"""The door: what is no table of turns is refused with the line that mends it, and dust is swept."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diarnb.analysis import interruptions
from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.tables.turns import check_turns, cut_overlap, overlap, speakers

A, B = "SPEAKER_00", "SPEAKER_01"


def table(*rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"])


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        (["0.5", "1"], ["1", "2"], [0.5, 1.0]),
        (["0,5", "1"], ["1", "2"], [0.5, 1.0]),
        (["00:00:01,500", "00:01:02"], ["00:00:02", "00:02:00"], [1.5, 62.0]),
        (["0:01.5", "1:02"], ["0:02", "2:00"], [1.5, 62.0]),
        (pd.to_timedelta([1, 2], unit="s"), pd.to_timedelta([2, 3], unit="s"), [1.0, 2.0]),
        (pd.to_datetime(["2026-01-01 10:00", "2026-01-01 10:01"]), pd.to_datetime(["2026-01-01 10:02"] * 2), [0, 60]),
        (["2026-01-01 10:00:00", "2026-01-01 10:01:00"], ["2026-01-01 10:02:00"] * 2, [0, 60]),
        ([dt.time(0, 0, 1), dt.time(0, 1, 2)], [dt.time(0, 2)] * 2, [1, 62]),
        ([True, False], [8, 9], [0, 1]),
        ([1.0, "2"], [8, 9], [1, 2]),
    ],
)
def test_the_line_that_a_refusal_of_times_advises_converts_them(start: Any, end: Any, seconds: list[float]) -> None:
    turns = pd.DataFrame({"start": start, "end": end, "speaker": [A, B]})
    with pytest.raises(TurnTableError, match=r'turns\["start"\] holds') as error:
        check_turns(turns)
    names = {"turns": turns, "pandas": pd}
    exec(str(error.value).split("`")[1], names)
    assert check_turns(names["turns"])["start"].tolist() == seconds


def test_milliseconds_are_refused_with_the_line_that_makes_them_seconds() -> None:
    turns = pd.DataFrame({"start": [0, 4000, 9000], "end": [4000, 9000, 9500], "speaker": [A, B, A]})
    for verb in (speakers, overlap, cut_overlap):
        with pytest.raises(TurnTableError, match="milliseconds") as error:
            verb(turns)
    names = {"turns": turns}
    exec(str(error.value).split("`")[1], names)
    assert check_turns(names["turns"])["end"].tolist() == [4.0, 9.0, 9.5]


def test_times_beyond_a_known_duration_are_refused_and_long_turns_within_it_are_not() -> None:
    turns = pd.DataFrame({"start": [0.0, 1500.0], "end": [1500.0, 3000.0], "speaker": [A, B]})
    turns.attrs["diarnb"] = {"duration": 3.0}
    with pytest.raises(TurnTableError, match=r"go to 3000\.0 s, and the recording ends at 3\.0 s; in milliseconds\?"):
        check_turns(turns)
    turns.attrs["diarnb"] = {"duration": 3000.0}
    assert len(check_turns(turns)) == 2


def test_one_long_turn_is_doubted_and_not_refused() -> None:
    with pytest.warns(DiarnbWarning, match="milliseconds"):
        assert len(check_turns(table((0, 3000, A)))) == 1


def test_the_dust_of_floating_point_is_no_overlap() -> None:
    start = np.round(0.1 * np.arange(1000), 1)
    turns = pd.DataFrame({"start": start, "end": start + 0.1, "speaker": [A, B] * 500})
    assert (turns["end"].shift() > turns["start"]).any()  # there is dust
    assert overlap(turns).empty
    assert speakers(turns)["overlapped"].sum() == 0
    assert interruptions(turns, pause=0.0).empty


def test_tables_of_several_recordings_that_were_put_together_are_doubted_or_told_apart_by_keys() -> None:
    one = table((0, 8, A), (8, 12, B))
    with pytest.warns(DiarnbWarning, match=r"overlap with themselves, for 12\.0 of 24\.0 s.*keys=names"):
        speakers(pd.concat([one, one]))
    told = speakers(pd.concat([one, one], keys=["monday.wav", "tuesday.wav"]))
    assert told[["uri", "speaker", "talk_time"]].to_numpy().tolist() == [
        ["monday.wav", A, 8.0],
        ["monday.wav", B, 4.0],
        ["tuesday.wav", A, 8.0],
        ["tuesday.wav", B, 4.0],
    ]


@pytest.mark.parametrize("nobody", [None, float("nan"), "", "  "])
def test_who_has_no_name_is_nobody_and_the_advised_line_leaves_them_out(nobody: object) -> None:
    turns = pd.DataFrame({"start": [0, 1], "end": [1, 2], "speaker": [A, nobody]}, index=["x", "y"])
    with pytest.raises(TurnTableError, match="no speaker in 1 of 2 rows: y; leave") as error:
        check_turns(turns)
    names = {"turns": turns}
    exec(str(error.value).split("`")[1], names)
    assert check_turns(names["turns"])["speaker"].tolist() == [A]


def test_columns_in_the_index_are_found_by_the_line_that_is_advised() -> None:
    turns = table((0, 8, A), (8, 12, B)).set_index("start")
    with pytest.raises(TurnTableError, match="no column start") as error:
        check_turns(turns)
    names = {"turns": turns}
    exec(str(error.value).split("`")[1], names)
    assert check_turns(names["turns"])["start"].tolist() == [0.0, 8.0]


def test_the_advice_on_a_file_is_a_line_of_python() -> None:
    with pytest.raises(TurnTableError, match=r"seglst\.json has no column") as error:
        check_turns(pd.DataFrame({"begin": [0], "end": [1], "speaker": [A]}), name="seglst.json")
    names = {"turns": pd.DataFrame({"begin": [0], "end": [1], "speaker": [A]})}
    exec(str(error.value).split("`")[1], names)
    assert list(names["turns"]) == ["start", "end", "speaker"]
