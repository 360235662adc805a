"""The score, against pyannote.metrics on the whole recording and against md-eval's rules written out."""

from __future__ import annotations

import os
import time
import warnings
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.detection import DetectionErrorRate
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
from pyannote.metrics.identification import IdentificationErrorRate
from scipy.optimize import linear_sum_assignment

import diarnb
from diarnb import compare, score, scoring, worst
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.tables.activity import match_one_to_one
from diarnb.testing import assert_turns_equal

HOSTILE = ["", " + ", "A + B", "$x_1$", "<b>", "a\nb", "\u202ex", "pooled", "NA", "👩‍👩‍👧", "A"]
Rows = list[tuple[float, float, str]]


def turns(rows: Any, **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=["start", "end", "speaker"])
    return table.astype({"start": float, "end": float, "speaker": str}).assign(**columns)


TRUTH = turns([(0, 4, "Maya"), (3, 8, "Otto"), (10, 12, "Maya")])
FOUND = turns([(0, 5, "A"), (5, 8, "B"), (10, 11, "B"), (20, 21, "C")])

# Times on a grid, so that edges meet; what the rules say of edges a millionth apart is nobody's business.
moment = st.integers(0, 120).map(lambda tenth: tenth / 10)
row = st.tuples(moment, moment, st.sampled_from("ABC")).map(lambda row: (min(row[:2]), max(row[:2]), row[2]))
tables = st.lists(row, max_size=8).map(turns)
regions = st.one_of(
    st.none(), st.lists(st.tuples(moment, moment).filter(lambda at: at[0] != at[1]), min_size=1, max_size=2)
)


def uem_of(spans: list[tuple[float, float]] | None) -> pd.DataFrame | None:
    return None if spans is None else pd.DataFrame([sorted(span) for span in spans], columns=["start", "end"])


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 9), st.sampled_from([2, 40]))
def test_speakers_are_matched_so_that_most_is_shared(seed: int, rows: int, columns: int, most: int) -> None:
    worth = np.random.default_rng(seed).integers(0, most, (rows, columns))
    found = match_one_to_one(worth, np.ones(worth.shape, bool))
    assert len(found) == len(set(found.values())) == min(rows, columns)
    assert sum(worth[pair] for pair in found.items()) == worth[linear_sum_assignment(worth, maximize=True)].sum()


def joined(table: pd.DataFrame) -> Rows:
    """Turns of which no two of one speaker overlap; those that touch stay two."""
    done: Rows = []
    for start, end, speaker in sorted(
        table[["start", "end", "speaker"]].itertuples(index=False), key=lambda r: (r[2], r[0])
    ):
        if start == end:
            continue
        if done and done[-1][2] == speaker and start < done[-1][1]:
            done[-1] = (done[-1][0], max(end, done[-1][1]), speaker)
        else:
            done.append((start, end, speaker))
    return done


def md_eval(
    reference: pd.DataFrame, hypothesis: pd.DataFrame, spans: list[Any] | None, collar: float, overlap: str
) -> dict[str, float]:
    """NIST's rules, one stretch between two edges at a time, every pairing of speakers tried."""
    truth, found = joined(reference), joined(hypothesis)
    spans = [(-1.0, 1e6)] if spans is None else spans
    times = [*(t for row in truth for at in row[:2] for t in (at - collar, at, at + collar))]
    times += [at for row in found for at in row[:2]] + [at for span in spans for at in span]
    stretches = []
    for begin, end in pairwise(sorted(set(times))):
        middle = (begin + end) / 2
        who = [{s for a, b, s in rows if a < middle < b} for rows in (truth, found)]
        near = any(abs(middle - at) < collar for row in truth for at in row[:2])
        if (
            any(min(span) < middle < max(span) for span in spans)
            and not near
            and (overlap == "scored" or len(who[0]) < 2)
        ):
            stretches.append((end - begin, *who))
    names = sorted({s for _, _, s in truth}), sorted({s for _, _, s in found})
    if max(map(len, names)) > 3:  # too many pairings to try them all
        shared = np.array([[sum(d for d, r, h in stretches if x in r and y in h) for y in names[1]] for x in names[0]])
        best = float(shared[linear_sum_assignment(shared, maximize=True)].sum())
    else:
        padded = [*names[0], *[None] * len(names[1])]
        orders = (dict(zip(names[1], order, strict=True)) for order in permutations(padded, len(names[1])))
        best = max(sum(d * len(r & {twins[name] for name in h}) for d, r, h in stretches) for twins in orders)
    return {
        "speech": sum(d * len(r) for d, r, _ in stretches),
        "missed": sum(d * max(0, len(r) - len(h)) for d, r, h in stretches),
        "false_alarm": sum(d * max(0, len(h) - len(r)) for d, r, h in stretches),
        "confusion": sum(d * min(len(r), len(h)) for d, r, h in stretches) - best,
    }


def pyannote(
    reference: pd.DataFrame, hypothesis: pd.DataFrame, spans: list[Any] | None, collar: float, overlap: str
) -> dict[str, float]:
    """What pyannote.metrics says of the recording as it is."""
    truth, found = Annotation(), Annotation()
    for annotation, table in (truth, reference), (found, hypothesis):
        for track, (start, end, speaker) in enumerate(joined(table)):
            annotation[Segment(start, end), track] = speaker
    uem = Timeline([Segment(*sorted(span)) for span in spans or [(0.0, 1e6)]]).support()
    asked: dict[str, Any] = {"collar": 2 * collar, "skip_overlap": overlap == "skipped"}
    make = {
        "der": DiarizationErrorRate,
        "jer": JaccardErrorRate,
        "ier": IdentificationErrorRate,
        "detection": DetectionErrorRate,
    }
    rates = {name: 100 * metric(**asked)(truth, found, uem=uem) for name, metric in make.items()}
    labels = (len(each.crop(uem, mode="intersection").labels()) for each in (truth, found))
    return rates | dict(zip(("speakers", "found"), labels, strict=True))


def check(reference: pd.DataFrame, hypothesis: pd.DataFrame, spans: list[Any] | None, *, slow: bool = True) -> float:
    """Compare every figure, and tell the largest difference (percent, or seconds)."""
    largest = 0.0
    for line in score(reference, hypothesis, uem=uem_of(spans)).to_dict("records"):
        theirs = pyannote(reference, hypothesis, spans, line["collar"], line["overlap"])
        # Pairings that share as much time are as good; which of them is taken changes only the Jaccard error.
        largest = max(largest, *(abs(line[name] - value) for name, value in theirs.items() if name != "jer" or slow))
        if slow:
            rules = md_eval(reference, hypothesis, spans, line["collar"], line["overlap"])
            seconds = {part: line[part] * line["speech"] / 100 for part in ("missed", "false_alarm", "confusion")}
            if rules["speech"]:
                ours = seconds | {"speech": line["speech"]}
                largest = max(largest, *(abs(ours[part] - value) for part, value in rules.items()))
    return largest


# -- agreement with the definitions ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(tables, tables, regions)
def test_the_score_is_md_evals_and_pyannotes(reference: pd.DataFrame, hypothesis: pd.DataFrame, spans: Any) -> None:
    lines = score(reference, hypothesis, uem=uem_of(spans)).to_dict("records")
    for line in lines:
        rules = md_eval(reference, hypothesis, spans, line["collar"], line["overlap"])
        theirs = pyannote(reference, hypothesis, spans, line["collar"], line["overlap"])
        wrong = rules["missed"] + rules["false_alarm"] + rules["confusion"]
        assert line["speech"] == pytest.approx(rules["speech"], abs=1e-6)
        assert line["wrong"] == pytest.approx(wrong, abs=1e-6)
        if rules["speech"] > 1e-6:
            for part in ("missed", "false_alarm", "confusion"):
                assert line[part] == pytest.approx(100 * rules[part] / rules["speech"], abs=1e-6)
        for name in ("der", "ier", "detection", "speakers", "found"):
            assert line[name] == pytest.approx(theirs[name], abs=1e-6)


@pytest.mark.slow
def test_every_figure_of_400_random_pairs_is_pyannotes_to_a_billionth() -> None:
    random = np.random.default_rng(12)
    largest = 0.0
    for _ in range(400):
        pair = []
        for size in random.integers(0, 12, 2):
            start = random.uniform(0, 60, size).round(3)
            end = (start + random.exponential(4, size) + 0.05).round(3)
            pair.append(turns(zip(start, end, random.choice(list("ABCD"), size), strict=True)))
        spans = sorted(random.uniform(0, 60, (2, 2)).round(3).tolist()) if random.random() < 0.5 else None
        for line in score(*pair, uem=uem_of(spans), collar=(0.0, 0.25, random.uniform(0, 1))).to_dict("records"):
            theirs = pyannote(*pair, spans, line["collar"], line["overlap"])
            if line["speech"] == line["wrong"] == 0:
                theirs["jer"] = 0.0  # of nobody by nobody it says 100
            largest = max(largest, *(abs(line[name] - value) for name, value in theirs.items()))
    print(f"largest difference: {largest:.2g}")
    assert largest < 1e-9


@pytest.mark.parametrize("name", ["meeting", "interview", "call"])
def test_the_score_of_an_example_is_that_of_pyannote_and_md_eval(known: dict[str, pd.DataFrame], name: str) -> None:
    truth = diarnb.read(diarnb.example(name).with_suffix(".rttm"))
    assert check(truth, known[name], None) < 1e-6
    assert check(truth, known[name], [(5.0, 30.0), (40.0, 41.5)]) < 1e-6


@pytest.mark.slow
@pytest.mark.skipif("DIARNB_DATA" not in os.environ, reason="DIARNB_DATA names no folder of recordings")
def test_the_score_of_real_recordings_is_that_of_pyannote_and_md_eval() -> None:
    largest = {}
    for path in sorted(Path(os.environ["DIARNB_DATA"], "dev").glob("*.rttm")):
        uem = path.with_suffix(".uem")
        spans = None if not uem.exists() else diarnb.read(uem)[["start", "end"]].to_numpy().tolist()
        found = diarnb.diarize(path.with_suffix(".flac"), progress=False)
        largest[path.stem] = check(diarnb.read(path), found, spans)
    print(f"largest difference on {len(largest)} recordings: {max(largest.values()):.2g}")
    assert largest
    assert max(largest.values()) < 1e-6


# -- the table ---------------------------------------------------------------------------------------------------------


def test_a_score_by_hand() -> None:
    table = score(TRUTH, FOUND)
    assert list(table) == [
        *("recordings", "collar", "overlap", "der", "der_low", "der_high", "missed", "false_alarm", "confusion"),
        *("jer", "detection", "ier", "speakers", "found", "speech", "wrong", "reference", "uem"),
    ]
    assert table[["collar", "overlap"]].to_numpy().tolist() == [list(each) for each in scoring.CONVENTIONS]
    # A is Maya, B is Otto. 3-4: Otto missed; 4-5: A for Otto; 10-11: B for Maya; 11-12 missed; 20-21 false.
    first = table.iloc[0]
    assert first["speech"] == 11
    assert first[["missed", "false_alarm", "confusion"]].tolist() == pytest.approx([200 / 11, 100 / 11, 200 / 11])
    assert first["wrong"] == pytest.approx(5)
    assert first[["speakers", "found"]].tolist() == [2, 3]
    assert first["ier"] == pytest.approx(100 * 12 / 11)  # every moment, and two who should at 3-4
    assert np.isnan(first["der_low"])
    assert table["speech"].tolist() == [11, 8.5, 9, 7.5]  # six boundaries; only what is spoken there counts
    assert table.attrs["diarnb"]["scored"] == "the whole recording"


def test_names_that_are_right_leave_no_identification_error() -> None:
    assert score(TRUTH, TRUTH)["ier"].tolist() == [0, 0, 0, 0]
    swapped = TRUTH.replace({"speaker": {"Maya": "Otto", "Otto": "Maya"}})
    table = score(TRUTH, swapped)
    assert table["der"].tolist() == [0, 0, 0, 0]
    assert table["ier"].min() > 50


def test_a_uem_leaves_out_the_rest() -> None:
    uem = pd.DataFrame({"start": [0, 10], "end": [3, 11]})
    table = score(TRUTH, FOUND, uem=uem)
    assert table.loc[0, ["speech", "wrong"]].tolist() == [4, 1]
    assert table.loc[0, ["speakers", "found"]].tolist() == [1, 2]
    assert (table["uem"] != "whole").all()
    assert table.loc[0, "wrong"] == worst(TRUTH, FOUND, uem=uem)["wrong"].sum()


def test_several_recordings_are_pooled_by_their_speech(tmp_path: Path) -> None:
    truth = pd.concat([TRUTH.assign(uri="a"), TRUTH.assign(uri="b"), turns([(0, 1, "X")], uri="pooled")])
    found = pd.concat([FOUND.assign(uri="b"), TRUTH.assign(uri="a")])
    table = score(truth, found)
    assert table["uri"].tolist() == [uri for uri in ("a", "b", "pooled", "pooled") for _ in range(4)]
    assert table["recordings"].tolist() == [1] * 12 + [3] * 4
    first = table[table["collar"].eq(0) & table["overlap"].eq("scored")]
    assert first["der"].tolist() == pytest.approx([0, 500 / 11, 100, 100 * 6 / 23])
    assert first["speakers"].tolist() == [2, 2, 1, 5]
    pooled = first.iloc[-1]
    assert 0 <= pooled["der_low"] < pooled["der"] < pooled["der_high"] <= 100
    assert first["der_low"].isna().tolist() == [True, True, True, False]
    pd.testing.assert_frame_equal(table, score(truth, found))
    one = score(TRUTH, FOUND)
    pd.testing.assert_frame_equal(
        table[table["uri"] == "b"].drop(columns="uri").reset_index(drop=True), one, check_exact=False
    )


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    random = np.random.default_rng(5)
    speech, wrong = random.uniform(50, 300, 40), random.uniform(0, 50, 40)
    drawn = random.integers(40, size=(4000, 40))
    plain = np.percentile(100 * wrong[drawn].sum(1) / speech[drawn].sum(1), [2.5, 97.5])
    assert scoring.interval(wrong, speech) == pytest.approx(tuple(plain), abs=0.4)


def test_one_recording_may_be_named_by_one_table_only(tmp_path: Path) -> None:
    assert score(TRUTH.assign(uri="x"), FOUND)["der"].tolist() == score(TRUTH, FOUND)["der"].tolist()
    uem = tmp_path / "x.uem"
    uem.write_text("x 1 0.000 3.000\n")
    assert score(TRUTH, FOUND, uem=diarnb.read(uem)).loc[0, "speech"] == 3
    assert score(TRUTH, FOUND, uem=pd.DataFrame({"start": [0], "end": [3], "uri": "x"})).loc[0, "speech"] == 3
    both = pd.concat([TRUTH.assign(uri="a"), TRUTH.assign(uri="b")])
    for call, said in (
        (lambda: score(both, FOUND), r"reference holds 2 recordings, but hypothesis does not tell"),
        (lambda: score(FOUND, both), r"hypothesis holds 2 recordings, but reference does not tell"),
        (
            lambda: score(TRUTH.assign(uri="a"), both),
            r"hypothesis has 'b', which reference does not have \(it has 'a'\)",
        ),
        (lambda: worst(TRUTH.assign(uri="a"), both), r"hypothesis has 'b'"),
        (lambda: score(both, both, uem=pd.DataFrame({"start": [0], "end": [1]})), r"add a column uri"),
        (lambda: score(both, both, uem=pd.DataFrame({"start": [0], "end": [1], "uri": "a"})), r"no stretch of 'b'"),
        (lambda: score(TRUTH, FOUND, uem=pd.DataFrame({"start": [1], "end": [1]})), r"no stretch of the recording"),
        (lambda: score(TRUTH, FOUND, uem=[(0, 1)]), r"uem is a table"),  # type: ignore[arg-type]
        (lambda: worst(TRUTH, FOUND, n=2.5), r"n is the maximum number of stretches.*2\.5"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidParameterError, match=said):
            call()
    with pytest.raises(TurnTableError, match="hypothesis has no column speaker"):
        score(TRUTH, FOUND.drop(columns="speaker"))


def test_recordings_are_the_same_with_and_without_a_suffix(tmp_path: Path) -> None:
    truth = pd.concat([TRUTH.assign(uri="a"), TRUTH.assign(uri="b.v2"), TRUTH.assign(uri="c.wav")])
    found = pd.concat([FOUND.assign(uri="a.flac"), FOUND.assign(uri="b.v2"), FOUND.assign(uri="c")])
    table = score(truth, found, collar=0)
    assert table["uri"].tolist()[:6:2] == ["a", "b.v2", "c.wav"]
    assert table["der"].tolist()[::2] == pytest.approx([500 / 11] * 4)
    assert set(compare(truth, found)["uri"]) == {"a", "b.v2", "c.wav"}
    uem = pd.DataFrame({"start": [0, 0, 0], "end": [3, 3, 3], "uri": ["a.wav", "b.v2", "c"]})
    assert score(truth, found, uem=uem)["speech"][0] == 3
    two = pd.concat([FOUND.assign(uri="a.flac"), FOUND.assign(uri="a.wav")])
    with pytest.raises(InvalidParameterError, match="which reference does not have"):
        score(TRUTH.assign(uri="a"), two)


def test_the_uem_of_a_corpus_fits_a_table_of_one_of_its_recordings(tmp_path: Path) -> None:
    (tmp_path / "all.uem").write_text("a 1 0.000 3.000\nb 1 0.000 8.000\n")
    (tmp_path / "b.rttm").write_text("SPEAKER b 1 0.000 4.000 <NA> <NA> Maya <NA> <NA>\n")
    uem, truth = diarnb.read(tmp_path / "all.uem"), diarnb.read(tmp_path / "b.rttm")
    found = FOUND.copy()
    found.attrs["diarnb"] = {"source": "b.flac", "engine": "local"}
    assert score(truth, found, uem=uem)["speech"][0] == 4
    assert worst(truth, found, uem=uem)["end"].max() <= 8
    found.attrs["diarnb"] = {"source": "a.flac"}
    assert score(TRUTH, found, uem=uem)["speech"][0] == 3
    with pytest.raises(InvalidParameterError, match="no stretch of the recording"):
        score(TRUTH, FOUND, uem=uem)


def test_nobody_and_nothing_are_scored_too() -> None:
    nobody = turns([])
    assert score(nobody, nobody)["der"].tolist() == [0, 0, 0, 0]
    assert score(nobody, FOUND)["der"].tolist() == [100, 100, 100, 100]
    assert score(TRUTH, nobody)["der"].tolist() == pytest.approx([100, 100, 100, 100])
    assert score(pd.concat([TRUTH.assign(uri="a"), TRUTH.assign(uri="b")]), nobody)["der"].tolist() == [100] * 12
    long = pd.concat([TRUTH, turns([(6, 6, "Zero")])])
    pd.testing.assert_frame_equal(score(TRUTH, FOUND), score(long, FOUND))
    for empty in (worst(nobody, nobody), worst(TRUTH, TRUTH)):
        assert len(empty) == 0
        assert empty.dtypes.to_dict() == worst(TRUTH, FOUND).dtypes.to_dict()


def test_who_is_heard_where_nobody_speaks_is_one_jaccard_error() -> None:
    nobody = turns([])
    assert score(nobody, FOUND)["jer"].tolist() == [100] * 4
    assert score(nobody, nobody)["jer"].tolist() == [0] * 4
    both = pd.DataFrame({"start": [0.0, 5.0], "end": [20.0, 9.0], "uri": ["a", "b"]})
    found = pd.concat([TRUTH.assign(uri="a"), turns([(6, 8, "Z")], uri="b")])
    table = score(pd.concat([TRUTH.assign(uri="a"), turns([(0, 1, "X")], uri="b")]), found, uem=both, collar=0)
    assert table.set_index(["uri", "overlap"]).loc[("b", "scored"), "jer"] == 100
    assert table.set_index(["uri", "overlap"]).loc[("pooled", "scored"), "jer"] == pytest.approx(100 / 3)


@pytest.mark.parametrize("collar", [0.5, [0.5], (0.5,), np.array([0.5])])
def test_any_collar_makes_rows_of_its_own(collar: Any) -> None:
    table = score(TRUTH, FOUND, collar=collar)
    assert table[["collar", "overlap"]].to_numpy().tolist() == [[0.5, "scored"], [0.5, "skipped"]]
    assert table["der"][0] == pytest.approx(pyannote(TRUTH, FOUND, None, 0.5, "scored")["der"])


@pytest.mark.parametrize("collar", [-0.1, "0.25", None, [], [0.25, float("nan")], True])
def test_what_is_no_collar_is_refused(collar: Any) -> None:
    with pytest.raises(InvalidParameterError, match="collar is seconds on each side"):
        score(TRUTH, FOUND, collar=collar)


def test_a_reference_that_an_engine_made_is_doubted(known: dict[str, pd.DataFrame]) -> None:
    truth = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))
    for verb in (score, worst):
        with pytest.warns(DiarnbWarning, match="takes the reference first"):
            verb(known["meeting"], truth)


def test_the_digest_tells_another_reference_and_another_uem() -> None:
    table, moved = score(TRUTH, FOUND), score(TRUTH.assign(end=TRUTH["end"] + 0.1), FOUND)
    assert table["reference"].nunique() == 1
    assert table["reference"][0] != moved["reference"][0]
    assert table["reference"][0] == score(TRUTH.iloc[::-1], TRUTH)["reference"][0]
    uems = [score(TRUTH, FOUND, uem=pd.DataFrame({"start": [0], "end": [end]}))["uem"][0] for end in (8, 9)]
    assert len({*uems, table["uem"][0]}) == 3


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(TRUTH, FOUND)
        worst(TRUTH, FOUND)


# -- the worst ---------------------------------------------------------------------------------------------------------


def test_the_worst_by_hand() -> None:
    table = worst(TRUTH, FOUND)
    assert table.drop(columns=["duration", "wrong"]).to_numpy().tolist() == [
        [3, 4, "Otto", "missed", "Otto", "", ""],
        [4, 5, "Otto", "confusion", "Otto", "A", "Maya"],
        [10, 11, "Maya", "confusion", "Maya", "B", "Otto"],
        [11, 12, "Maya", "missed", "Maya", "", ""],
        [20, 21, "C", "false alarm", "", "C", ""],
    ]
    assert len(worst(TRUTH, FOUND, n=2)) == 2


@settings(max_examples=30)
@given(tables, tables, regions)
def test_the_worst_are_all_that_is_wrong(reference: pd.DataFrame, hypothesis: pd.DataFrame, spans: Any) -> None:
    table = worst(reference, hypothesis, uem=uem_of(spans), n=None)
    rules = md_eval(reference, hypothesis, spans, 0.0, "scored")
    assert table["wrong"].sum() == pytest.approx(rules["missed"] + rules["false_alarm"] + rules["confusion"], abs=1e-9)
    assert (table["wrong"].diff()[1:] <= 0).all()
    by_time = table.sort_values("start")
    assert (by_time["start"].to_numpy()[1:] >= by_time["end"].to_numpy()[:-1]).all()


def test_the_worst_are_turns_to_look_at_and_to_hear(known: dict[str, pd.DataFrame]) -> None:
    truth = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))
    table = worst(truth, known["meeting"])
    assert table.attrs["diarnb"]["run"] == known["meeting"].attrs["diarnb"]["run"]
    diarnb.timeline(table)
    assert diarnb.clip(table, table["start"][0], table["end"][0]).data
    player = diarnb.player(table)
    assert len(player.turns) == len(table)
    player.close()
    assert_turns_equal(diarnb.tables.turns.check_turns(table), diarnb.tables.turns.check_turns(table))


def test_several_recordings_have_their_worst_in_one_table() -> None:
    truth = pd.concat([TRUTH.assign(uri="a"), TRUTH.assign(uri="b")])
    table = worst(truth, FOUND.assign(uri="b"))
    assert table["uri"].value_counts().to_dict() == {"b": 5, "a": 4}
    assert table.loc[0, ["uri", "start", "kind", "wrong"]].tolist() == ["a", 4, "missed", 4]


@pytest.mark.parametrize("name", filter(str.strip, HOSTILE))
def test_any_name_is_a_name(name: str) -> None:
    truth = TRUTH.replace({"speaker": {"Otto": name}})
    found = FOUND.replace({"speaker": {"A": name}})
    assert score(truth, found)["der"].tolist() == score(TRUTH, FOUND)["der"].tolist()
    kinds = worst(truth, found)["kind"].tolist()
    assert kinds == worst(TRUTH, FOUND)["kind"].tolist()
    pair = pd.concat([TRUTH.assign(uri=name), TRUTH.assign(uri="other")])
    assert score(pair, FOUND.assign(uri=name))["uri"].tolist() == [name] * 4 + ["other"] * 4 + ["pooled"] * 4


def long_table(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    start = np.sort(random.uniform(0, 3 * rows, rows))
    return turns(
        zip(start, start + random.exponential(2.5, rows) + 0.05, random.choice(list("ABCD"), rows), strict=True)
    )


def test_time_grows_with_the_turns_and_not_with_their_square() -> None:
    """pyannote.metrics by itself takes about 16 times as long for 4 times the turns."""

    def seconds(rows: int) -> float:
        a, b = long_table(rows, 0), long_table(rows, 1)
        began = time.process_time()
        score(a, b)
        worst(a, b)
        return time.process_time() - began

    seconds(2_000)
    assert seconds(64_000) < 12 * seconds(8_000)
