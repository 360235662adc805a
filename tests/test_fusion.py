"""A vote of several tables: what they agree on stays, what they are called makes no difference, and one is outvoted."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diarnb
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.testing import assert_turns_equal

TRUTH = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))
NAMES = ["A", "B", "C"]


def plain(table: pd.DataFrame) -> pd.DataFrame:
    return table[["start", "end", "speaker"]]


def perturbed(seed: int, share: float = 0.2) -> pd.DataFrame:
    """The truth with bounds that are off, turns missing and turns that somebody else says, each by chance."""
    random = np.random.default_rng(seed)
    table = TRUTH.loc[random.random(len(TRUTH)) > share / 2, ["start", "end", "speaker"]].copy()
    table["start"] = (table["start"] + random.normal(0, 0.2, len(table))).clip(lower=0)
    table["end"] = np.maximum(table["end"] + random.normal(0, 0.2, len(table)), table["start"] + 0.1)
    wrong = random.random(len(table)) < share
    table.loc[wrong, "speaker"] = random.choice(TRUTH["speaker"].unique(), int(wrong.sum()))
    return table.reset_index(drop=True)


@st.composite
def conversations(draw: st.DrawFn) -> pd.DataFrame:
    """Turns in hundredths of a second; those of one speaker neither touch nor overlap."""
    rows = []
    for speaker in draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True)):
        edges = draw(st.lists(st.integers(0, 400), min_size=2, max_size=8, unique=True))
        edges = sorted(edges)[: len(edges) // 2 * 2]
        rows += [(start / 100, end / 100, speaker) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    table = pd.DataFrame(rows, columns=["start", "end", "speaker"])
    return table.astype({"start": float, "end": float, "speaker": str})


@given(conversations(), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_a_table_fused_with_itself_is_itself(table: pd.DataFrame, number: int) -> None:
    fused = diarnb.fuse([table] * number)
    assert_turns_equal(plain(fused), table, tolerance=1e-9)
    assert fused["agreement"].eq(100).all()


@given(conversations(), conversations(), conversations(), st.permutations(["x", "y", "z"]))
@settings(max_examples=60, deadline=None)
def test_what_speakers_are_called_changes_nothing(a: Any, b: Any, c: Any, names: list[str]) -> None:
    renamed = [table.replace({"speaker": dict(zip(NAMES, names, strict=True))}) for table in (b, c)]
    mine, other = diarnb.fuse([a, b, c]), diarnb.fuse([a, *renamed])
    assert mine[["start", "end", "agreement"]].equals(other[["start", "end", "agreement"]])
    ours = mine["speaker"].isin(set(a["speaker"]))
    assert mine.loc[ours, "speaker"].equals(other.loc[ours, "speaker"])


@given(conversations(), conversations(), conversations())
@settings(max_examples=60, deadline=None)
def test_a_fused_table_is_one_of_turns_within_what_was_given(a: Any, b: Any, c: Any) -> None:
    fused = diarnb.fuse([a, b, c])
    diarnb.speakers(fused)  # which checks it
    assert fused["agreement"].between(0, 100).all()
    if len(fused):
        every = pd.concat([a, b, c])
        assert every["start"].min() <= fused["start"].min()
        assert fused["end"].max() <= every["end"].max()
    own = fused.sort_values(["speaker", "start"])
    after = own["start"] - own.groupby("speaker")["end"].shift()
    assert (after.dropna() > 0).all()


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_two_outvote_one_whichever_comes_first(order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    wrong = TRUTH.assign(speaker=rng.permutation(TRUTH["speaker"].to_numpy()))
    tables = [TRUTH, TRUTH.replace({"speaker": {"Maya": "X"}}), wrong]
    fused = diarnb.fuse([tables[number] for number in order])
    assert diarnb.compare(TRUTH, fused).empty


@pytest.mark.parametrize("seed", range(4))
def test_three_that_err_by_chance_err_less_together(seed: int) -> None:
    tables = [perturbed(10 * seed + number) for number in range(3)]
    fused = diarnb.fuse(tables)

    def wrong(table: pd.DataFrame) -> float:
        return float(diarnb.score(TRUTH, table)["der"].iloc[0])

    assert wrong(fused) < min(map(wrong, tables))
    agreed = fused["agreement"] > 99
    assert agreed.any()
    assert not agreed.all()


def test_of_two_the_surer_one_decides_and_else_the_first() -> None:
    a = pd.DataFrame({"start": [0.0, 5.0], "end": [5.0, 9.0], "speaker": ["Maya", "Otto"]})
    b = a.assign(end=[6.0, 9.0], start=[0.0, 6.0])
    assert diarnb.compare(a, diarnb.fuse([a, b])).empty
    assert diarnb.compare(b, diarnb.fuse([b, a])).empty
    a, b = a.assign(confidence=[90.0, 40.0]), b.assign(confidence=[80.0, 90.0])
    first = diarnb.fuse([a, b])
    assert diarnb.compare(b, first).empty  # between 5 and 6 s b says Maya with 80, and a says Otto with 40
    assert diarnb.compare(first, diarnb.fuse([b, a])).empty


def test_a_sure_table_holds_out_against_two_that_are_not_and_yields_where_it_is_unsure_itself() -> None:
    a = pd.DataFrame({"start": [0.0, 5.0], "end": [5.0, 9.0], "speaker": ["Maya", "Otto"], "confidence": [97.0, 75.0]})
    b = pd.DataFrame({"start": [1.0, 6.0], "end": [6.0, 9.0], "speaker": ["Maya", "Otto"], "confidence": [75.0, 75.0]})
    for tables in permutations([a, b, b]):
        fused = diarnb.fuse(tables)
        assert plain(fused)["start"].tolist() == [0.0, 6.0]  # Maya from 0 s by the sure one, to 6 s by the other two
        assert fused.attrs["diarnb"]["weights"][0] != 0.3333


def test_a_table_without_confidence_counts_by_how_far_it_agrees_with_those_that_have_it() -> None:
    sure = [TRUTH.assign(confidence=90.0), TRUTH.assign(confidence=90.0, end=TRUTH["end"] - 0.05)]
    wrong = TRUTH.assign(speaker=np.random.default_rng(1).permutation(TRUTH["speaker"].to_numpy()))
    odd, fitting = diarnb.fuse([wrong, *sure]), diarnb.fuse([TRUTH, *sure])
    assert odd.attrs["diarnb"]["weights"][0] < 0.2 < fitting.attrs["diarnb"]["weights"][0]
    assert diarnb.score(TRUTH, odd)["der"].iloc[0] < 3


def test_a_table_without_confidence_never_counts_for_surer_than_those_mostly_are() -> None:
    told = diarnb.fuse([TRUTH.assign(confidence=78.0), TRUTH, TRUTH]).attrs["diarnb"]["weights"]
    assert told == pytest.approx([1 / 3] * 3, abs=1e-4)  # they agree throughout, and it is an estimate all the same
    assert diarnb.fuse([TRUTH.assign(confidence=93.0), TRUTH, TRUTH]).attrs["diarnb"]["weights"][0] > 0.5


def test_weights_decide_where_they_are_given() -> None:
    a = pd.DataFrame({"start": [0.0, 5.0], "end": [5.0, 9.0], "speaker": ["Maya", "Otto"]})
    b = a.assign(speaker="Maya")
    assert diarnb.fuse([a, b, b])["speaker"].tolist() == ["Maya"]
    trusted = diarnb.fuse({"mine": a, "b": b, "c": b}, weights=[3, 1, 1])
    assert trusted["speaker"].tolist() == ["Maya", "Otto"]
    assert trusted["agreement"].tolist() == [100.0, 60.0]
    assert trusted.attrs["diarnb"]["weights"] == [0.6, 0.2, 0.2]


def test_overlap_that_most_hear_stays() -> None:
    a = pd.DataFrame({"start": [0.0, 2.0], "end": [4.0, 6.0], "speaker": ["Maya", "Otto"]})
    alone = a.assign(start=[0.0, 4.0])
    assert plain(diarnb.fuse([a, a, alone])).equals(a)
    assert plain(diarnb.fuse([a, alone, alone])).equals(alone)


def test_recordings_are_fused_each_by_itself() -> None:
    table = pd.concat([TRUTH.assign(uri="one.flac"), TRUTH.assign(uri="two.flac")], ignore_index=True)
    other = table.assign(uri=table["uri"].str.removesuffix(".flac"))
    lacking = table[table["uri"] == "one.flac"]
    fused = diarnb.fuse([table, other, lacking])
    assert fused["uri"].unique().tolist() == ["one.flac", "two.flac"]
    assert plain(fused[fused["uri"] == "one.flac"]).equals(plain(TRUTH))
    assert fused.loc[fused["uri"] == "two.flac", "agreement"].max() < 75  # the third says that nobody speaks there
    assert set(fused.attrs["diarnb"]["weights"]) == {"one.flac", "two.flac"}


def test_a_name_that_two_people_bear_is_given_once() -> None:
    a = pd.DataFrame({"start": [0.0], "end": [2.0], "speaker": ["A"]})
    b = pd.DataFrame({"start": [0.0, 3.0], "end": [2.0, 5.0], "speaker": ["B", "A"]})
    assert diarnb.fuse([a, b, b])["speaker"].tolist() == ["A", "A (2)"]


def test_a_fused_table_finds_its_words_and_its_sound(known: dict[str, pd.DataFrame]) -> None:
    turns = known["interview"]
    fused = diarnb.fuse([turns, diarnb.recluster(turns, num_speakers=2), turns])
    assert fused.attrs["diarnb"]["run"] == turns.attrs["diarnb"]["run"]
    assert diarnb.clip(fused, 0.0, 1.0) is not None


@pytest.mark.parametrize(
    ("tables", "weights", "error", "says"),
    [
        ([TRUTH], None, InvalidParameterError, "two tables or more, not 1"),
        ([], None, InvalidParameterError, "two tables or more, not 0"),
        ([TRUTH, TRUTH], [1], InvalidParameterError, "weights are 2 numbers above 0"),
        ([TRUTH, TRUTH], [1, 0], InvalidParameterError, "weights are 2 numbers above 0"),
        ([TRUTH, TRUTH.drop(columns="end")], None, TurnTableError, re.escape("tables[1]")),
        ([TRUTH, "talk.rttm"], None, TurnTableError, re.escape("tables[1]")),
    ],
)
def test_what_cannot_be_fused_is_told(tables: Any, weights: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        diarnb.fuse(tables, weights=weights)


def test_it_errs_no_more_than_the_published_package() -> None:
    """DOVER-Lap itself is the oracle, where it is installed (benchmarks/requirements-pyannote.txt)."""
    published = pytest.importorskip("dover_lap.src.doverlap").DOVERLap
    turn = pytest.importorskip("dover_lap.libs.turn").Turn
    ours, theirs, alike = [], [], []
    for seed in range(12):
        tables = [perturbed(100 + 10 * seed + number) for number in range(3)]
        lists = [[turn(s, e, speaker_id=who, file_id="f") for s, e, who in plain(t).to_numpy()] for t in tables]
        voted = published.combine_turns_list(lists, "f", label_mapping="hungarian")
        rows = [(each.onset, each.offset, str(each.speaker_id)) for each in voted]
        them = pd.DataFrame(rows, columns=["start", "end", "speaker"])
        us = diarnb.fuse(tables)
        ours.append(float(diarnb.score(TRUTH, us)["der"].iloc[0]))
        theirs.append(float(diarnb.score(TRUTH, them)["der"].iloc[0]))
        alike.append(diarnb.compare(us, them).attrs["diarnb"]["agreement"])
    assert np.mean(ours) <= np.mean(theirs) + 0.5
    assert np.mean(alike) > 90
