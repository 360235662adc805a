from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.tables.turns import check_turns, cut_overlap, empty_turns, hash_rows, make_turns, overlap, rename, speakers
from diarnb.testing import assert_turns_equal

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"


def table(*rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"])


def spoken(turns: pd.DataFrame) -> list[tuple[float, float]]:
    """The union of all turns, as joined stretches."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(zip(turns["start"], turns["end"], strict=True)):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > start:
            joined.append((start, end))
    return joined


turn = st.tuples(st.integers(0, 40), st.integers(0, 10), st.sampled_from([A, B, C])).map(
    lambda t: (t[0] / 4, (t[0] + t[1]) / 4, t[2])
)
tables = st.lists(turn, max_size=12).map(lambda rows: table(*rows))


# -- making ------------------------------------------------------------------------------------------------------------


def test_an_empty_table_has_the_types_of_a_full_one() -> None:
    full = make_turns(
        [{"start": 0, "end": 1, "speaker": A, "confidence": {A: 80.0}, "text": "Hi", "channel": 1, "uri": "a"}],
        columns=["uri", "channel", "text", "confidence"],
    )
    empty = empty_turns("confidence", "text", "channel", "uri")
    assert list(empty) == ["start", "end", "duration", "speaker", "confidence", "text", "channel", "uri"]
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
    assert pd.concat([empty, full]).dtypes.to_dict() == full.dtypes.to_dict()
    assert make_turns([], columns=["confidence", "text", "channel", "uri"]).dtypes.to_dict() == full.dtypes.to_dict()


def test_an_engines_rows_become_a_sorted_table_with_facts() -> None:
    rows = [
        {"start": 3, "end": 5, "speaker": B, "confidence": {A: 10.0, B: 90.0}},
        {"start": 0, "end": 4, "speaker": A, "confidence": {A: 70.0}},
        {"start": 2.0, "end": 2.0, "speaker": A, "confidence": {}},
    ]
    turns = make_turns(rows, columns=["confidence"], facts={"run": "abc", "warning": None})
    expected = pd.DataFrame(
        {
            "start": [0.0, 3.0],
            "end": [4.0, 5.0],
            "duration": [4.0, 2.0],
            "speaker": pd.Series([A, B], dtype=str),
            "confidence": [70.0, 90.0],
        }
    )
    pd.testing.assert_frame_equal(turns, expected)
    assert turns.attrs["diarnb"] == {"run": "abc", "warning": None, "schema": 1, "rows": hash_rows(turns)}
    assert "confidence" not in make_turns(rows)


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="emotion"):
        empty_turns("emotion")


# -- checking ----------------------------------------------------------------------------------------------------------


def test_a_usable_table_comes_back_sorted_and_typed_and_the_original_stays() -> None:
    original = pd.DataFrame(
        {"note": ["late", "early"], "speaker": [1, 0], "end": [4, 2], "duration": [99, 99], "start": [3, 0]},
        index=[7, 7],
    )
    original.attrs["diarnb"] = {"run": "abc"}
    before = original.copy()
    checked = check_turns(original)
    assert list(checked) == ["start", "end", "duration", "speaker", "note"]
    assert checked.dtypes[["start", "end", "duration"]].eq("float64").all()
    assert checked["speaker"].tolist() == ["0", "1"]
    assert checked["duration"].tolist() == [2.0, 1.0]
    assert checked["note"].tolist() == ["early", "late"]
    assert checked.index.tolist() == [0, 1]
    checked.attrs["diarnb"]["run"] = "changed"
    pd.testing.assert_frame_equal(original, before)
    assert original.attrs == {"diarnb": {"run": "abc"}}


@pytest.mark.parametrize(
    "times",
    [
        pd.Series([0, 2], dtype="Int64"),
        pd.Series([0, 2], dtype="Float32"),
        pd.Series([0, 2], dtype="category"),
        pd.Series([Decimal(0), Decimal(2)]),
        pd.Series([0, 2.0], dtype=object),
        pd.Series([0, 2], dtype="uint8"),
    ],
    ids=lambda times: f"{times.dtype}-{type(times[0]).__name__}",
)
def test_any_kind_of_number_is_taken_as_seconds(times: pd.Series) -> None:
    checked = check_turns(pd.DataFrame({"start": times, "end": [3, 4], "speaker": pd.Categorical([A, B])}))
    assert checked["start"].tolist() == [0.0, 2.0]
    assert checked.dtypes.to_dict() == empty_turns().dtypes.to_dict()


def test_arrow_columns_are_taken() -> None:
    pytest.importorskip("pyarrow")
    checked = check_turns(table((0, 2, A), (1, 3, B)).convert_dtypes(dtype_backend="pyarrow"))
    assert checked.dtypes.to_dict() == empty_turns().dtypes.to_dict()
    assert checked["end"].tolist() == [2.0, 3.0]


def test_overlapping_duplicate_and_zero_length_rows_are_kept() -> None:
    assert len(check_turns(table((1, 1, A), (0, 2, A), (0, 2, A), (1, 3, B)))) == 4


def test_recordings_keep_the_order_in_which_they_came() -> None:
    turns = table((5, 6, A), (1, 2, A), (0, 1, B)).assign(uri=["z", "a", "z"])
    assert check_turns(turns)[["uri", "start"]].to_numpy().tolist() == [["z", 0.0], ["z", 5.0], ["a", 1.0]]


@pytest.mark.parametrize(
    ("start", "end"),
    [(2, 1), (-1, 1), (np.nan, 1), (0, np.nan), (0, np.inf), (-np.inf, 0), (None, 1), (pd.NA, 1)],
)
def test_impossible_times_are_refused_with_the_first_five_rows_named(start: float, end: float) -> None:
    rows = [(0, 1, A)] + [(start, end, A)] * 6
    turns = table(*rows).set_axis([f"row{number}" for number in range(7)])
    with pytest.raises(TurnTableError, match="6 of 7 rows") as error:
        check_turns(turns, name="reference")
    message = str(error.value)
    assert message.startswith("reference")
    assert all(f"row{number}" in message for number in range(1, 6))
    assert "row6" not in message
    assert len(message) <= 400


@pytest.mark.parametrize("times", [["0.5", "1"], pd.to_timedelta([1, 2], unit="s")])
def test_the_advised_conversion_works(times: object) -> None:
    turns = pd.DataFrame({"start": times, "end": [8, 9], "speaker": [A, B]})
    with pytest.raises(TurnTableError) as error:
        check_turns(turns)
    exec(str(error.value).split("`")[1], {"turns": turns, "pandas": pd})
    assert len(check_turns(turns)) == 2


def test_a_missing_column_is_refused_with_what_was_found_and_a_line_that_helps() -> None:
    with pytest.raises(TurnTableError, match="no column start nor speaker") as error:
        check_turns(pd.DataFrame({"Begin": [0], "end": [1], "who": [A]}))
    assert "found: Begin, end, who" in str(error.value)
    assert "turns.rename(columns={'Begin': 'start', 'who': 'speaker'})" in str(error.value)
    with pytest.raises(TurnTableError, match=r'turns\["start"\] \+ turns\["duration"\]'):
        check_turns(pd.DataFrame({"start": [0], "duration": [1], "speaker": [A]}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([(0, 1, A)], "builtins.list"),
        (table((0, 1, A), (1, 2, None)), "no speaker in 1 of 2 rows: 1"),  # type: ignore[arg-type]
        (pd.concat([table((0, 1, A)), table((0, 1, A))], axis=1), "two columns called 'start'"),
    ],
)
def test_what_is_no_table_of_turns_is_refused_in_a_sentence(wrong: pd.DataFrame, message: str) -> None:
    with pytest.raises(TurnTableError, match=message):
        check_turns(wrong)


def test_odd_labels_are_kept_literally() -> None:
    labels = ["<img src=x onerror=1>", "0", "\u202egnp.exe", "a\nb", "👩‍👩‍👧", "x" * 10_000, "${a}", "田中"]
    turns = check_turns(pd.DataFrame({"start": range(8), "end": range(1, 9), "speaker": labels}))
    assert turns["speaker"].tolist() == labels


# -- cutting -----------------------------------------------------------------------------------------------------------


def test_who_has_the_floor_keeps_it() -> None:
    cut = cut_overlap(table((0, 4, A), (1, 2, B), (3, 6, C)).assign(text=["a", "b", "c"]))
    assert cut[["start", "end", "duration", "speaker", "text"]].to_numpy().tolist() == [
        [0.0, 4.0, 4.0, A, "a"],
        [4.0, 6.0, 2.0, C, "c"],
    ]


@given(tables)
@settings(max_examples=50)
def test_after_cutting_nothing_overlaps_and_no_speech_is_lost(turns: pd.DataFrame) -> None:
    cut = cut_overlap(turns)
    assert all(before <= after for before, after in pairwise(cut[["start", "end"]].to_numpy().ravel()))
    assert spoken(cut) == spoken(turns)
    assert_turns_equal(cut_overlap(cut), cut)
    assert cut.dtypes.to_dict() == empty_turns().dtypes.to_dict()


def test_recordings_do_not_cut_each_other() -> None:
    turns = table((0, 4, A), (1, 2, B)).assign(uri=["one", "two"])
    assert_turns_equal(cut_overlap(turns), turns)
    assert overlap(turns).empty
    assert speakers(turns)["overlapped"].tolist() == [0.0, 0.0]


# -- renaming ----------------------------------------------------------------------------------------------------------


def test_names_can_be_swapped_and_swapped_back() -> None:
    turns = make_turns(
        [{"start": 0, "end": 2, "speaker": A}, {"start": 1, "end": 3, "speaker": B}], facts={"run": "abc"}
    )
    swapped = rename(turns, {A: B, B: A})
    assert swapped["speaker"].tolist() == [B, A]
    assert swapped.attrs["diarnb"] == {
        "run": "abc",
        "schema": 1,
        "rows": hash_rows(swapped),
        "names": {A: B, B: A},
    }
    back = rename(swapped, {A: B, B: A})
    pd.testing.assert_frame_equal(back, turns)
    assert back.attrs["diarnb"]["names"] == {A: A, B: B}
    assert "names" not in turns.attrs["diarnb"]


def test_two_speakers_can_become_one_and_keep_their_rows() -> None:
    turns = table((0, 2, A), (1, 3, B), (4, 5, C))
    merged = rename(turns, {B: A})
    assert merged["speaker"].tolist() == [A, A, C]
    both = rename(merged, {A: "Beth"})
    assert both.attrs["diarnb"]["names"] == {A: "Beth", B: "Beth", C: C}
    json.dumps(both.attrs)
    assert speakers(both).set_index("speaker").loc["Beth", "talk_time"] == 3.0
    assert turns["speaker"].tolist() == [A, B, C]
    assert turns.attrs == {}


def test_renaming_keeps_order_and_index() -> None:
    turns = table((5, 6, B), (0, 1, A)).set_axis([7, 3])
    assert rename(turns, {A: "Beth"}).index.tolist() == [7, 3]


def test_an_unknown_speaker_is_refused_with_a_close_one() -> None:
    with pytest.raises(InvalidParameterError, match="did you mean 'SPEAKER_00'"):
        rename(table((0, 1, A)), {"SPEAKER_0": "Beth"})
    with pytest.raises(InvalidParameterError, match=f"there are {A}"):
        rename(table((0, 1, A)), {"x": "Beth"})
    with pytest.raises(InvalidParameterError, match="name is text"):
        rename(table((0, 1, A)), {A: 3})  # type: ignore[dict-item]


# -- summing up --------------------------------------------------------------------------------------------------------


def test_speakers_are_summed_up() -> None:
    turns = make_turns(
        [
            {"start": 0.0, "end": 60.0, "speaker": B},
            {"start": 50.0, "end": 90.0, "speaker": A},
            {"start": 92.0, "end": 93.0, "speaker": C},
            {"start": 94.0, "end": 99.0, "speaker": A},
        ],
        facts={"duration": 200.0},
    )
    expected = pd.DataFrame(
        {
            "speaker": pd.Series([B, A, C], dtype=str),
            "talk_time": [60.0, 45.0, 1.0],
            "share_of_speech": [60 / 106, 45 / 106, 1 / 106],
            "share_of_recording": [0.3, 0.225, 0.005],
            "turns": [1, 2, 1],
            "mean_turn": [60.0, 22.5, 1.0],
            "longest_turn": [60.0, 40.0, 1.0],
            "overlapped": [10.0, 10.0, 0.0],
            "first_start": [0.0, 50.0, 92.0],
            "doubtful": [False, False, True],
        }
    )
    pd.testing.assert_frame_equal(speakers(turns), expected)
    assert speakers(turns.iloc[:0]).dtypes.to_dict() == expected.dtypes.to_dict()


NOBODY = {
    "a cough in a talk": ([(100, 100.4)], 600.0),
    "three noises in a meeting": ([(20, 20.8), (300, 301.2), (580, 580.3)], 600.0),
}
SOMEBODY = {
    "who says one sentence": ([(100, 102.5)], 600.0),
    "who answers hello in a short call": ([(3, 3.8)], 12.0),
    "who says uh-huh for an hour": ([(second, second + 0.8) for second in range(0, 3600, 180)], 3600.0),
    "whose words are rows of their own": ([(50 + 0.4 * word, 50.4 + 0.4 * word) for word in range(40)], 3600.0),
}


@pytest.mark.parametrize("kind", [*NOBODY, *SOMEBODY])
def test_who_is_probably_nobody_is_flagged(kind: str) -> None:
    spans, length = (NOBODY | SOMEBODY)[kind]
    turns = pd.DataFrame([(0.0, length, A), *((*span, B) for span in spans)], columns=["start", "end", "speaker"])
    found = speakers(turns).set_index("speaker")["doubtful"]
    assert dict(found) == {A: False, B: kind in NOBODY}
    assert len(turns) == 1 + len(spans)


def test_doubt_is_each_recordings_own() -> None:
    long, short = table((0, 600, A), (100, 101, B)), table((0, 10, A), (3, 4, B))
    turns = pd.concat([long.assign(uri="long"), short.assign(uri="short")])
    found = speakers(turns)
    assert found.loc[found["doubtful"], ["uri", "speaker"]].to_numpy().tolist() == [["long", B]]


def test_without_a_known_duration_the_last_end_counts() -> None:
    assert speakers(table((5, 10, A)))["share_of_recording"].tolist() == [0.5]


def test_several_recordings_are_summed_up_each_on_its_own() -> None:
    turns = table((0, 4, A), (0, 1, A), (1, 4, B)).assign(uri=["z", "a", "a"])
    summed = speakers(turns)
    assert summed[["uri", "speaker", "share_of_speech"]].to_numpy().tolist() == [
        ["z", A, 1.0],
        ["a", B, 0.75],
        ["a", A, 0.25],
    ]
    assert list(speakers(turns.iloc[:0])) == list(summed)


@given(tables)
@settings(max_examples=50)
def test_overlap_agrees_with_counting_on_a_grid(turns: pd.DataFrame) -> None:
    grid = np.arange(0, 13, 0.25) + 0.125  # the middles of all steps that the times can delimit
    active = {
        who: ((rows["start"].to_numpy()[:, None] < grid) & (grid < rows["end"].to_numpy()[:, None])).any(axis=0)
        for who, rows in turns.groupby("speaker")
    }
    count = np.sum(list(active.values()), axis=0) if active else np.zeros(len(grid))
    found = overlap(turns)
    assert found.dtypes.to_dict() == {**empty_turns().dtypes[:3].to_dict(), "speakers": np.dtype("int64")}
    inside = (found["start"].to_numpy()[:, None] < grid) & (grid < found["end"].to_numpy()[:, None])
    assert (inside.any(axis=0) == (count >= 2)).all()
    assert found["speakers"].tolist() == [count[row].max() for row in inside]
    summed = speakers(turns).set_index("speaker")
    for who, own in active.items():
        assert summed.loc[who, "overlapped"] == pytest.approx(0.25 * np.sum(own & (count >= 2)))
        assert summed.loc[who, "talk_time"] == pytest.approx(0.25 * own.sum())


def test_twenty_thousand_turns_are_no_burden() -> None:
    random = np.random.default_rng(0)
    start = np.sort(random.uniform(0, 36_000, 20_000))
    turns = pd.DataFrame(
        {"start": start, "end": start + random.uniform(0.1, 5, 20_000), "speaker": random.choice([A, B, C], 20_000)}
    )
    assert speakers(turns)["turns"].sum() == 20_000
    assert len(overlap(turns)) > 1_000
    assert cut_overlap(turns)["duration"].sum() == pytest.approx(sum(end - start for start, end in spoken(turns)))


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_equal_turns_are_equal_whatever_their_order() -> None:
    assert_turns_equal(table((0, 1, A), (2, 3, B)), table((2, 3, B), (0, 1, A)).set_axis([5, 6]))
    assert_turns_equal(table((0, 1, A)), table((0.1, 0.9, A)), tolerance=0.11)


def test_a_difference_is_shown_in_words() -> None:
    with pytest.raises(AssertionError, match=r"row 1, end: 3.0 != 3.5"):
        assert_turns_equal(table((0, 1, A), (2, 3, B)), table((0, 1, A), (2, 3.5, B)))
    with pytest.raises(AssertionError, match="1 turns on the left, 2 on the right"):
        assert_turns_equal(table((0, 1, A)), table((0, 1, A), (2, 3, B)))
    with pytest.raises(AssertionError, match="only one of them has text"):
        assert_turns_equal(table((0, 1, A)), table((0, 1, A)).assign(text="x"))
    with pytest.raises(AssertionError, match="speaker: 'SPEAKER_00' != 'SPEAKER_01'"):
        assert_turns_equal(table((0, 1, A)), table((0, 1, B)))
