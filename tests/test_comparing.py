"""Two tables of one recording, several scores, and what can be said without a truth."""

from __future__ import annotations

import time
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import diarnb
from diarnb import compare, score
from diarnb.comparing import compare_plot, over_time
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.metrics import agreement, difference, second_opinions


def turns(rows: Any, **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=["start", "end", "speaker"])
    return table.astype({"start": float, "end": float, "speaker": str}).assign(**columns)


A = turns([(0, 4, "Maya"), (3, 8, "Otto"), (10, 12, "Maya")])
B = turns([(0, 5, "x"), (5, 8, "y"), (10, 11, "y"), (20, 21, "Maya")])

moment = st.integers(0, 120).map(lambda tenth: tenth / 10)
row = st.tuples(moment, moment, st.sampled_from(["A", "B", " + "])).map(lambda r: (min(r[:2]), max(r[:2]), r[2]))
tables = st.lists(row, max_size=8).map(turns)


def by_definition(a: pd.DataFrame, b: pd.DataFrame) -> float:
    """Agreement, one stretch between two edges at a time, every pairing of speakers tried."""
    rows = [list(table[["start", "end", "speaker"]].itertuples(index=False, name=None)) for table in (a, b)]
    times = sorted({time for side in rows for row in side for time in row[:2]})
    moments = [
        (y - x, *({s for p, q, s in side if p <= x and y <= q and p < q} for side in rows)) for x, y in pairwise(times)
    ]
    names = [sorted({s for _, *both in moments for s in both[side]}) for side in (0, 1)]
    shared = 0.0
    for order in permutations([*names[0], *[None] * len(names[1])], len(names[1])):
        twins = dict(zip(names[1], order, strict=True))
        shared = max(shared, sum(d * len(p & {twins[s] for s in q}) for d, p, q in moments))
    speech = sum(d * max(len(p), len(q)) for d, p, q in moments)
    apart = sum(d * max(len(p), len(q)) for d, p, q in moments) - shared
    return 100 * (1 - apart / speech) if speech else 100.0


# -- compare -----------------------------------------------------------------------------------------------------------


def test_a_comparison_by_hand() -> None:
    table = compare(A, B)
    assert table.drop(columns="duration").to_numpy().tolist() == [
        [3, 4, "Otto", "only a", "Otto", ""],
        [4, 5, "Otto", "different speaker", "Otto", "Maya"],
        [10, 11, "Maya", "different speaker", "Maya", "Otto"],
        [11, 12, "Maya", "only a", "Maya", ""],
        [20, 21, "Maya (b)", "only b", "", "Maya (b)"],
    ]
    assert table.attrs["diarnb"]["twins"] == {"x": "Maya", "y": "Otto"}
    assert table.attrs["diarnb"]["agreement"] == pytest.approx(100 * 7 / 12)


@settings(max_examples=30)
@given(tables, tables)
def test_agreement_is_what_it_says_and_the_same_both_ways(a: pd.DataFrame, b: pd.DataFrame) -> None:
    there, back = compare(a, b), compare(b, a)
    assert there.attrs["diarnb"]["agreement"] == pytest.approx(by_definition(a, b), abs=1e-9)
    assert back.attrs["diarnb"]["agreement"] == pytest.approx(by_definition(a, b), abs=1e-9)
    assert len(compare(a, a)) == 0
    assert (there["start"].to_numpy()[1:] >= there["end"].to_numpy()[:-1]).all()
    steps = over_time(a, b, step=0.7)
    weighed = (steps["agreement"].fillna(0) * steps["speech"]).sum()
    if steps["speech"].sum() > 0:
        assert weighed / steps["speech"].sum() == pytest.approx(by_definition(a, b), abs=1e-9)


def test_a_comparison_is_turns_to_look_at_and_to_hear(known: dict[str, pd.DataFrame]) -> None:
    found = known["interview"]
    table = compare(found, found.assign(end=found["end"] + 0.5, speaker=found["speaker"].str.lower()))
    diarnb.timeline(table)
    assert diarnb.clip(table, table["start"][0], table["end"][0]).data
    assert found.diar.compare(found).attrs["diarnb"]["agreement"] == 100


def test_agreement_over_time() -> None:
    steps = over_time(A, B, step=10)
    assert steps[["start", "end"]].to_numpy().tolist() == [[0, 10], [10, 20], [20, 21]]
    assert steps["agreement"].tolist() == pytest.approx([100 * 7 / 9, 0, 0])
    assert over_time(A.assign(end=A["end"] + 100), A.assign(end=A["end"] + 100), step=1000)["agreement"].tolist() == [
        100
    ]
    assert np.isnan(over_time(turns([(5, 6, "A")]), turns([]), step=5)["agreement"][0])
    for step in (0, -1, float("nan"), "1", True, 1e-9):
        with pytest.raises(InvalidParameterError, match="step="):
            over_time(A, B, step=step)  # type: ignore[arg-type]


def test_several_recordings_and_none() -> None:
    a, b = (pd.concat([table.assign(uri="one"), table.assign(uri="two")]) for table in (A, B))
    table = compare(a, b)
    assert table["uri"].tolist() == ["one"] * 5 + ["two"] * 5
    assert table.attrs["diarnb"]["twins"] == {uri: {"x": "Maya", "y": "Otto"} for uri in ("one", "two")}
    assert compare(a, B.assign(uri="three"))["uri"].unique().tolist() == ["one", "two", "three"]
    assert over_time(a, b)["uri"].tolist() == ["one", "two"]
    nothing = compare(turns([]), turns([(1, 1, "x")]))
    assert nothing.dtypes.to_dict() == compare(A, B).dtypes.to_dict()
    assert nothing.attrs["diarnb"]["agreement"] == 100
    assert len(over_time(turns([]), turns([]))) == 0
    with pytest.raises(TurnTableError, match="2 recordings, and a picture shows one"):
        compare_plot(a, b)
    with pytest.raises(InvalidParameterError, match="b does not tell its recordings apart"):
        compare(a, B)


@pytest.mark.parametrize("name", ["0", "$x$", "a\nb", "\u202ex", "only a", "👩‍👩‍👧"])
def test_a_comparison_is_drawn_whatever_the_names(name: str) -> None:
    ax = compare_plot(A.replace({"speaker": {"Otto": name}}), B, names=("Monday", name))
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert "agreement 58.3 of 100" in labels
    assert "different speaker" in labels
    with pytest.raises(InvalidParameterError, match="two different names"):
        compare_plot(A, B, names=("x", "x"))


def test_a_long_table_is_compared_in_time_that_grows_with_its_rows() -> None:
    def seconds(rows: int) -> float:
        random = np.random.default_rng(0)
        start = np.sort(random.uniform(0, 3 * rows, rows))
        table = turns(zip(start, start + 2, random.choice(list("ABCD"), rows), strict=True))
        other = table.assign(speaker=random.choice(list("ABCD"), rows))
        began = time.process_time()
        compare(table, other)
        over_time(table, other)
        return time.process_time() - began

    seconds(2_000)
    assert seconds(80_000) < 25 * seconds(8_000)


# -- scores ------------------------------------------------------------------------------------------------------------


def test_the_difference_of_two_scores() -> None:
    uris = [f"r{number}" for number in range(12)]
    truth = pd.concat([A.assign(uri=uri) for uri in uris])
    good = pd.concat([A.assign(uri=uri, end=A["end"] - 0.02 * number) for number, uri in enumerate(uris)])
    bad = pd.concat([B.assign(uri=uri) for uri in uris])
    before, after = score(truth, bad), score(truth, good)
    table = difference(before, after)
    pooled = [each[each["uri"] == "pooled"]["der"].to_numpy() for each in (before, after)]
    assert table["der_a"].to_numpy() == pytest.approx(pooled[0])
    assert table["der_b"].to_numpy() == pytest.approx(pooled[1])
    assert table["difference"].to_numpy() == pytest.approx(pooled[1] - pooled[0])
    assert table.loc[0, ["recordings", "better", "worse"]].tolist() == [12, 12, 0]
    assert (table["low"] <= table["difference"]).all()
    assert (table["high"] >= table["difference"]).all()
    assert (table["high"] < 0).all()
    shuffled = after.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(difference(before, shuffled), table)
    assert difference(after, after)[["difference", "low", "high"]].abs().to_numpy().max() == 0
    single = difference(score(A, B), score(A, A))
    assert np.isnan(single["low"]).all()
    assert (single["difference"] < 0).all()


def test_figures_of_different_conventions_refuse_to_be_compared() -> None:
    base = score(A, B)
    both = score(pd.concat([A.assign(uri="a"), A.assign(uri="b")]), B.assign(uri="a"))
    uem = pd.DataFrame({"start": [0], "end": [8]})
    for other, said in (
        (base[base["collar"] == 0], r"conventions differ.*collar 0\.25 with overlap scored.* against collar 0 "),
        (score(A.assign(end=A["end"] + 0.1), B), "other references"),
        (score(A, B, uem=uem), r"other stretches \(uem\)"),
        (both, "only a has a figure"),
        (pd.concat([base, base]), "two figures for one recording"),
        (A, "b is not a table of scores"),
        (None, "b is not a table of scores"),
    ):
        with pytest.raises(InvalidParameterError, match=said):
            difference(base, other)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="of 'b'"):
        difference(both, both[both["uri"] != "b"])


# -- without a truth ---------------------------------------------------------------------------------------------------


def test_agreement_of_three() -> None:
    table = agreement([A, A.assign(speaker=A["speaker"].str.lower()), B])
    other = by_definition(A, B)
    assert table["table"].tolist() == [0, 1, 2]
    assert table["agreement"].tolist() == pytest.approx([(100 + other) / 2, (100 + other) / 2, other])
    assert table["verdict"].tolist() == ["do not use"] * 3
    assert agreement([A, A, B, A, A])["verdict"].tolist() == ["check", "check", "do not use", "check", "check"]
    assert agreement({"x": A, "y": A})["verdict"].tolist() == ["trust", "trust"]
    for few in ([], [A], {"one": A}):
        with pytest.raises(InvalidParameterError, match="two tables or more"):
            agreement(few)


@pytest.mark.slow
def test_second_opinions_stand_on_the_recordings_own_clock() -> None:
    samples, rate = soundfile.read(diarnb.example("call"), frames=25 * 8000)
    opinions = second_opinions((samples, rate), progress=False)
    assert list(opinions) == ["as it is", "slower", "noisy", "one more"]
    assert [table["speaker"].nunique() for table in opinions.values()] == [2, 2, 2, 3]
    assert list(second_opinions((samples, rate), num_speakers=2, progress=False)) == ["as it is", "slower", "noisy"]
    truth = diarnb.read(diarnb.example("call").with_suffix(".rttm"))
    for table in [opinions[name] for name in ("as it is", "slower", "noisy")]:
        assert score(truth, table, uem=pd.DataFrame({"start": [0], "end": [25]}))["der"][1] < 10
        assert table["duration"].to_numpy() == pytest.approx((table["end"] - table["start"]).to_numpy())
        assert table.attrs["diarnb"]["source"] == opinions["as it is"].attrs["diarnb"]["source"]
        assert table.attrs["diarnb"]["duration"] == pytest.approx(25)
    assert len({len(table) for table in opinions.values()} | {tuple(table["end"]) for table in opinions.values()}) > 1
    assert agreement(opinions)["verdict"].tolist() == ["trust", "trust", "trust", "check"]
    with pytest.raises(InvalidParameterError, match="local engine"):
        second_opinions(diarnb.example("call"), engine="pyannoteai")
