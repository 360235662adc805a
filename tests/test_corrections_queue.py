from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diarnb
from diarnb.corrections import Corrections
from diarnb.corrections.propagation import sureness
from diarnb.corrections.queue import CLIP, clean, clips, estimate_left, queue
from diarnb.tables.turns import overlap

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"


def table(*rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"], dtype=object).astype({"start": float, "end": float})


def unknown(turns: pd.DataFrame) -> pd.Series:
    return pd.Series(np.nan, turns.index)


def test_a_stretch_is_clean_where_nobody_else_speaks() -> None:
    turns = table((0, 10, A), (2, 3, B), (4, 5, C), (9, 12, B), (20, 21, A))
    found = clean(turns)
    assert tuple(found.loc[0]) == (5, 9)
    assert tuple(found.loc[3]) == (10, 12)
    assert (found["end"] - found["start"])[[1, 2]].tolist() == [0, 0]


moment = st.integers(0, 60).map(lambda n: n / 4)
turn = st.tuples(moment, st.integers(1, 20).map(lambda n: n / 4), st.sampled_from([A, B, C]))
tables = st.lists(turn.map(lambda t: (t[0], t[0] + t[1], t[2])), min_size=1, max_size=10).map(
    lambda t: table(*sorted(t))
)


@settings(max_examples=40)
@given(tables)
def test_clean_stretches_lie_in_their_turns_and_outside_all_overlap(turns: pd.DataFrame) -> None:
    found, shared = clean(turns), overlap(turns)
    assert (found["start"] >= turns["start"]).all()
    assert (found["end"] <= turns["end"]).all()
    for start, end in found[found["end"] > found["start"]].itertuples(index=False):
        assert not ((shared["start"] < end) & (shared["end"] > start)).any()


@pytest.mark.slow
@settings(max_examples=40)
@given(tables)
def test_everybody_who_is_ever_alone_has_clips(turns: pd.DataFrame) -> None:
    found = clips(turns, unknown(turns))
    alone = clean(turns)
    able = set(turns["speaker"][alone["end"] > alone["start"]])
    assert set(found["speaker"]) == able
    assert (found.groupby("speaker").size() <= 3).all()
    assert ((found["end"] - found["start"]) <= CLIP + 1e-9).all()


def test_clips_are_long_clean_and_typical() -> None:
    turns = table((0, 20, A), (20, 26, B), (26, 31, A), (31, 33, A), (33, 34, A), (34, 40, A), (35, 40, B))
    sure = pd.Series([95.0, 90.0, 99.0, 99.0, 99.0, 99.0, 99.0])
    found = clips(turns, sure)
    assert found[found["speaker"] == A].index.tolist() == [0, 2, 3]
    assert tuple(found.loc[0, ["start", "end"]]) == (7, 13)  # the middle of a long turn
    assert clips(turns, sure.where(sure.index != 0, 10.0)).index.tolist()[:2] == [2, 3]
    assert found["speaker"].drop_duplicates().tolist() == [A, B]


def test_the_queue_asks_for_the_most_doubt_in_the_least_time() -> None:
    turns = table((0, 2, A), (2, 4, B), (4, 34, A), (34, 35, B))
    sure = pd.Series([50.0, 95.0, 90.0, np.nan])
    found = queue(turns, sure)
    assert found.index.tolist() == [0, 2, 3, 1]
    assert found["doubt"].tolist() == pytest.approx([0.5, 0.3, 0.04, 0.005])
    assert found["listening"].tolist() == [4, 8, 3, 4]


def test_nothing_to_listen_to() -> None:
    nothing = table()
    assert clean(nothing).empty
    assert clips(nothing, unknown(nothing)).empty
    assert queue(nothing, unknown(nothing)).empty
    assert estimate_left(nothing, unknown(nothing), {}) == (0, 0, 0)


def test_the_estimate_learns_from_verdicts_and_ends_at_nothing() -> None:
    turns = table(*((10 * k, 10 * k + 10, A) for k in range(20)))
    sure = pd.Series(100 - 10**1.5, turns.index)  # one of ten is somebody else's
    assert estimate_left(turns, sure, {}).wrong == pytest.approx(20)
    always_right = dict.fromkeys(range(10), True)
    always_wrong = dict.fromkeys(range(10), False)
    assert estimate_left(turns, sure, always_right).wrong == pytest.approx(5)
    assert estimate_left(turns, sure, always_wrong).wrong == pytest.approx(10 * (100 + 10) / (10 + 10))
    assert estimate_left(turns, sure, always_wrong, wrong=100).share == pytest.approx((55 + 100) / 200)
    done = estimate_left(turns, sure, dict.fromkeys(range(20), True))
    assert (done.turns, done.wrong) == (0, 0)


@pytest.mark.parametrize("name", ["meeting", "interview", "call"])
def test_what_is_only_uncertain_at_its_edges_is_not_somebody_elses(known: dict[str, pd.DataFrame], name: str) -> None:
    corrections = Corrections(known[name])
    estimated = estimate_left(corrections.turns, sureness(corrections), {}).share
    scores = diarnb.score(diarnb.read(diarnb.example(name).with_suffix(".rttm")), known[name])
    confusion = scores.loc[scores["overlap"] == "scored", "confusion"].iloc[0]  # percent
    assert 100 * estimated == pytest.approx(confusion, abs=1)


@pytest.mark.slow
def test_the_estimate_is_right_on_average_when_the_engine_is() -> None:
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(200):
        sure = pd.Series(rng.uniform(40, 100, 60))
        turns = table(*((5 * k, 5 * k + rng.uniform(1, 5), A) for k in range(60)))
        right = pd.Series(rng.uniform(0, 1, 60) > (1 - sure / 100) ** 2)
        first = queue(turns, sure).index[:20]
        truth = (turns["end"] - turns["start"])[~right & ~turns.index.isin(first)].sum()
        errors.append(estimate_left(turns, sure, right[first].to_dict()).wrong - truth)
    assert abs(np.mean(errors)) < 1  # of some 6 s
