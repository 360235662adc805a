"""What a run holds beyond its turns, for as long as the store holds the run."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb.errors import InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.tables.turns import empty_turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEEDS_THE_RUN = [diarnb.confidences, diarnb.frames, diarnb.words, diarnb.raw, diarnb.recluster, diarnb.forget]


@pytest.fixture
def meeting(known: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return known["meeting"]


def drop_evidence(home: Path) -> None:
    (path,) = home.glob("*.sqlite")
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("DELETE FROM evidence").rowcount


def test_frames_cover_the_recording_without_a_gap(meeting: pd.DataFrame) -> None:
    scores = diarnb.frames(meeting)
    assert list(scores) == ["start", "end", "confidence", *sorted(meeting["speaker"].unique())]
    assert (scores.dtypes == np.float64).all()
    assert scores.attrs == {"resolution": 0.016875}
    assert scores["start"].iloc[0] == 0
    assert scores["end"].iloc[-1] == pytest.approx(meeting.attrs["diarnb"]["duration"])
    assert (scores["start"].iloc[1:].to_numpy() == scores["end"].iloc[:-1].to_numpy()).all()
    assert np.allclose(scores["end"].iloc[1:-1] - scores["start"].iloc[1:-1], 0.016875)
    assert (scores.drop(columns=["start", "end"]).stack().between(0, 100)).all()


def test_frames_score_a_speaker_high_where_he_speaks(meeting: pd.DataFrame) -> None:
    scores = diarnb.frames(meeting)
    for speaker, own in meeting.groupby("speaker"):
        inside = np.zeros(len(scores), bool)
        for turn in own.itertuples():
            inside |= (scores["start"] >= turn.start - 1e-6) & (scores["end"] <= turn.end + 1e-6)
        assert scores.loc[inside, speaker].mean() > 60
        assert scores.loc[~inside, speaker].mean() < 15


def test_confidences_have_a_row_a_turn_and_favour_its_speaker(meeting: pd.DataFrame) -> None:
    likely = diarnb.confidences(meeting)
    assert list(likely) == sorted(meeting["speaker"].unique())
    assert likely.index.equals(meeting.index)
    assert likely.stack().between(0, 100).all()
    assert (likely.idxmax(axis=1) == meeting["speaker"]).mean() > 0.8
    asked = diarnb.diarize(diarnb.example("meeting"), turn_level_confidence=True, progress=False)
    assert asked["confidence"].tolist() == [likely.at[row, who] for row, who in asked["speaker"].items()]


def test_scores_follow_names_and_rows(meeting: pd.DataFrame) -> None:
    plain, scores = diarnb.confidences(meeting), diarnb.frames(meeting)
    named = diarnb.rename(meeting, {"SPEAKER_00": "Beth", "SPEAKER_02": "SPEAKER_00"})
    new = ["Beth", "SPEAKER_01", "SPEAKER_00", "SPEAKER_03"]
    pd.testing.assert_frame_equal(diarnb.confidences(named), plain.set_axis(new, axis=1))
    pd.testing.assert_frame_equal(diarnb.frames(named), scores.set_axis([*list(scores)[:3], *new], axis=1))
    some = named[named["speaker"] == "Beth"].iloc[::-1]
    pd.testing.assert_frame_equal(diarnb.confidences(some), diarnb.confidences(named).loc[some.index])
    pd.testing.assert_frame_equal(diarnb.frames(some), diarnb.frames(named))


def test_two_speakers_who_became_one_share_the_higher_score(meeting: pd.DataFrame) -> None:
    one = diarnb.rename(meeting, {"SPEAKER_01": "SPEAKER_00"})
    apart, together = diarnb.frames(meeting), diarnb.frames(one)
    assert list(together)[3:] == ["SPEAKER_00", "SPEAKER_02", "SPEAKER_03"]
    assert together["SPEAKER_00"].equals(apart[["SPEAKER_00", "SPEAKER_01"]].max(axis=1))
    assert diarnb.confidences(one).notna().all(axis=None)


def test_exclusive_turns_are_the_engines_own_with_the_names_given(meeting: pd.DataFrame) -> None:
    named = diarnb.rename(meeting, {"SPEAKER_00": "Beth"})
    alone = diarnb.exclusive(named)
    assert alone.attrs["diarnb"]["exclusive"] == "engine"
    assert set(alone["speaker"]) == {"Beth", "SPEAKER_01", "SPEAKER_02", "SPEAKER_03"}
    assert (alone["start"].iloc[1:].to_numpy() >= alone["end"].iloc[:-1].to_numpy()).all()
    pieces = [
        {**row, "speaker": {"SPEAKER_00": "Beth"}.get(row["speaker"], row["speaker"])} for row in raw_alone(named)
    ]
    assert alone[["start", "end", "speaker"]].to_dict("records") == pieces
    assert "exclusive" not in named.attrs["diarnb"]
    assert diarnb.confidences(alone).notna().all(axis=None)
    covered = diarnb.exclusive(pd.DataFrame(meeting[["start", "end", "speaker"]].to_dict("list")))
    assert alone["duration"].sum() == pytest.approx(covered["duration"].sum(), abs=0.1)  # no speech is lost


def raw_alone(turns: pd.DataFrame) -> list[dict[str, object]]:
    rows = diarnb.raw(turns)["exclusiveDiarization"]
    return [{name: row[name] for name in ("start", "end", "speaker")} for row in rows]


def test_exclusive_is_computed_for_a_table_from_elsewhere() -> None:
    table = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "B"]})
    alone = diarnb.exclusive(table)
    assert alone[["start", "end"]].to_numpy().tolist() == [[0, 4], [4, 6]]
    assert alone.attrs["diarnb"] == {"exclusive": "computed"}
    assert table.attrs == {}


def test_words_are_an_empty_table_with_types(meeting: pd.DataFrame) -> None:
    heard = diarnb.words(meeting)
    assert list(heard) == ["start", "end", "word", "text", "speaker", "confidence", "speaker_confidence", "channel"]
    assert heard.empty
    assert str(heard["start"].dtype) == "float64"
    assert str(heard["channel"].dtype) == "int64"


def test_raw_is_what_the_turns_were_made_from(meeting: pd.DataFrame) -> None:
    answer = diarnb.raw(diarnb.rename(meeting, {"SPEAKER_00": "Beth"}))
    rows = [{name: row[name] for name in ("start", "end", "speaker")} for row in answer["diarization"]]
    assert rows == meeting[["start", "end", "speaker"]].to_dict("records")
    assert answer["duration"] == meeting.attrs["diarnb"]["duration"]


def test_runs_lists_what_there_is_newest_first(known: dict[str, pd.DataFrame]) -> None:
    table = diarnb.runs()
    assert table["source"].tolist() == ["call.flac", "interview.flac", "meeting.flac"]
    assert table["speakers"].tolist() == [2, 2, 4]
    assert table["run"].tolist() == [known[name].attrs["diarnb"]["run"] for name in ("call", "interview", "meeting")]
    assert (table["state"] == "succeeded").all()
    diarnb.recluster(known["meeting"], num_speakers=2)
    assert diarnb.runs()["speakers"].tolist() == [2, 2, 2, 4]


def test_a_run_is_opened_as_it_was(known: dict[str, pd.DataFrame]) -> None:
    asked = {"turn_level_confidence": True, "channels": "split"}
    sound, rate = soundfile.read(diarnb.example("call"), frames=10 * 8_000)
    split = diarnb.diarize((sound, rate), progress=False, **asked)
    for turns in (*known.values(), split):
        opened = diarnb.open_run(turns.attrs["diarnb"]["run"])
        pd.testing.assert_frame_equal(opened, turns)
        assert opened.attrs == turns.attrs


@pytest.mark.slow
@pytest.mark.parametrize("by", [lambda turns: turns, lambda turns: turns.attrs["diarnb"]["run"]], ids=["table", "id"])
def test_what_is_forgotten_is_gone_and_says_so(meeting: pd.DataFrame, by: Callable[[pd.DataFrame], object]) -> None:
    run = meeting.attrs["diarnb"]["run"]
    diarnb.forget(by(meeting))
    assert run not in set(diarnb.runs()["run"])
    for verb in (*NEEDS_THE_RUN, diarnb.exclusive):
        with pytest.raises(RunNotFoundError, match=run):
            verb(meeting)
    with pytest.raises(RunNotFoundError, match=run):
        diarnb.open_run(run)
    assert diarnb.timeline(meeting)  # what needs only the table still works
    stages: list[str] = []
    diarnb.diarize(diarnb.example("meeting"), progress=lambda stage, _: stages.append(stage))
    assert stages  # nothing that was heard is left either


def test_what_was_heard_outlives_one_of_two_runs(meeting: pd.DataFrame) -> None:
    two = diarnb.recluster(meeting, num_speakers=2)
    diarnb.forget(meeting)
    assert diarnb.recluster(two, num_speakers=3)["speaker"].nunique() == 3


@pytest.mark.slow
def test_without_what_was_heard_the_turns_stay_and_the_rest_says_what_to_run(meeting: pd.DataFrame, home: Path) -> None:
    drop_evidence(home)
    pd.testing.assert_frame_equal(diarnb.open_run(meeting.attrs["diarnb"]["run"]), meeting)
    assert len(diarnb.confidences(meeting)) == len(meeting)
    assert diarnb.exclusive(meeting).attrs["diarnb"]["exclusive"] == "engine"
    for verb in (diarnb.frames, lambda turns: diarnb.recluster(turns, num_speakers=2)):
        with pytest.raises(RunNotFoundError, match="refresh=True") as caught:
            verb(meeting)
        assert "meeting.flac" in str(caught.value)
        assert len(str(caught.value)) <= 400
        assert str(home) not in str(caught.value)
    again = diarnb.diarize(diarnb.example("meeting"), refresh=True, progress=False)
    assert len(diarnb.frames(again))


@pytest.mark.parametrize("verb", NEEDS_THE_RUN)
def test_a_table_from_elsewhere_has_no_run_and_hears_so(verb: Callable[[pd.DataFrame], object]) -> None:
    for table in (empty_turns(), pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": ["A"]})):
        with pytest.raises(TurnTableError, match=r"diarize\(\)"):
            verb(table)


def test_an_unknown_run_is_named() -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        diarnb.open_run("no-such-run")
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        diarnb.forget("no-such-run")


def test_deciding_again_checks_what_it_is_asked(meeting: pd.DataFrame) -> None:
    with pytest.raises(InvalidParameterError, match="not both"):
        diarnb.recluster(meeting, num_speakers=2, min_speakers=2)
    with pytest.raises(InvalidParameterError, match="0 to 2"):
        diarnb.recluster(meeting, threshold=-1)
    assert len(diarnb.runs()) == 3


def test_a_run_is_found_through_parts_and_copies_of_its_table(meeting: pd.DataFrame) -> None:
    for part in (meeting.head(2), meeting.copy(), meeting.sort_values("duration"), meeting.assign(note="x")):
        assert diarnb.recluster(part, num_speakers=2)["speaker"].nunique() == 2


@pytest.mark.slow
def test_threads_may_ask_at_once(meeting: pd.DataFrame) -> None:
    def ask(count: int) -> pd.DataFrame:
        turns = diarnb.diarize(diarnb.example("meeting"), num_speakers=count, progress=False)
        diarnb.frames(turns)
        return turns

    expected = {count: ask(count) for count in range(1, 5)}
    for run in diarnb.runs()["run"]:
        if run != meeting.attrs["diarnb"]["run"]:
            diarnb.forget(run)
    with ThreadPoolExecutor(8) as pool:
        counts = [1, 2, 3, 4] * 4
        for count, turns in zip(counts, pool.map(ask, counts), strict=True):
            pd.testing.assert_frame_equal(turns, expected[count])
    assert diarnb.runs()["run"].is_unique


# -- a table is what its rows are --------------------------------------------------------------------------------------


@pytest.fixture
def spoken(known: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """An example with its exact words."""
    words = diarnb.formats.read_words(diarnb.example("interview").with_suffix(".words.csv"))
    return diarnb.diarize(diarnb.example("interview"), words=words, progress=False)


def test_exclusive_turns_follow_the_rows(meeting: pd.DataFrame) -> None:
    assert len(diarnb.exclusive(meeting.head(3))) <= 3
    one = meeting["speaker"].iloc[0]
    assert set(diarnb.exclusive(meeting[meeting["speaker"] == one])["speaker"]) == {one}
    named = meeting.assign(speaker=meeting["speaker"].replace(one, "Beth"))
    assert set(diarnb.exclusive(named)["speaker"]) == set(named["speaker"])
    later = meeting.assign(start=meeting["start"] + 10, end=meeting["end"] + 10)
    later.attrs["diarnb"] = {**later.attrs["diarnb"], "duration": None}
    assert diarnb.exclusive(later)["start"].min() == pytest.approx(meeting["start"].min() + 10)
    for verb in (diarnb.exclusive, diarnb.words, diarnb.utterances, diarnb.confidences):
        with pytest.raises(TurnTableError):
            verb(meeting.T)


@pytest.mark.parametrize(
    "change",
    [
        lambda turns: turns.sort_values("duration"),
        lambda turns: turns.reset_index(drop=True).set_index(turns["speaker"]),
        lambda turns: diarnb.rename(turns, {"SPEAKER_00": "Beth"}),
        lambda turns: turns[["speaker", "start", "end"]],
    ],
)
def test_the_engines_exclusive_turns_are_those_of_the_whole_table_however_it_is_laid_out(
    meeting: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    table = diarnb.exclusive(change(meeting))
    assert table.attrs["diarnb"]["exclusive"] == "engine"
    assert len(diarnb.exclusive(table)) == len(table)


def test_a_table_of_an_older_version_is_compared_with_what_is_stored(meeting: pd.DataFrame) -> None:
    del meeting.attrs["diarnb"]["rows"]
    assert diarnb.exclusive(meeting).attrs["diarnb"]["exclusive"] == "engine"
    assert diarnb.exclusive(meeting.head(3)).attrs["diarnb"]["exclusive"] == "computed"


def test_words_are_those_of_the_turns_that_are_left(spoken: pd.DataFrame) -> None:
    every = diarnb.words(spoken)
    part = spoken[:2]
    assert 0 < len(diarnb.words(part)) < len(every)
    for speaker, rows in part.groupby("speaker"):
        words = diarnb.words(part)
        assert " ".join(words.loc[words["speaker"] == speaker, "text"]) == " ".join(rows["text"])
    one = spoken[spoken["speaker"] == "SPEAKER_01"]
    kept = diarnb.words(one)
    assert " ".join(kept["text"]) == " ".join(filter(None, one["text"]))
    assert " ".join(diarnb.utterances(one)["text"]) == " ".join(kept["text"])
    assert diarnb.words(spoken.iloc[:0]).empty
    assert diarnb.words(spoken.iloc[:0]).dtypes.equals(every.dtypes)


def test_words_have_the_names_that_pandas_gave(spoken: pd.DataFrame) -> None:
    named = spoken.assign(speaker=spoken["speaker"].replace("SPEAKER_00", "Beth"))
    same = diarnb.words(diarnb.rename(spoken, {"SPEAKER_00": "Beth"})).dropna(subset="speaker")
    assert diarnb.words(named)["speaker"].tolist() == same["speaker"].tolist()


def test_words_go_with_a_turn_that_is_cut_and_given_away(spoken: pd.DataFrame) -> None:
    longest = int(spoken["duration"].argmax())
    row = spoken.iloc[longest]
    inside = diarnb.words(spoken.iloc[[longest]])
    middle = float(inside["start"].iloc[len(inside) // 2])
    halves = pd.DataFrame([{**row, "end": middle}, {**row, "start": middle, "speaker": "Otto"}])
    cut = pd.concat([spoken.drop(index=spoken.index[longest]), halves])
    cut.attrs = spoken.attrs
    words = diarnb.words(cut.sort_values("start"))
    given = words[words["speaker"] == "Otto"]
    assert given["text"].tolist() == inside["text"].tolist()[len(inside) // 2 :]
    assert len(words) == diarnb.words(spoken)["speaker"].notna().sum()


def test_words_stay_with_turns_that_were_made_exclusive(spoken: pd.DataFrame) -> None:
    computed = diarnb.exclusive(spoken.sample(frac=1, random_state=0).iloc[1:])
    assert computed.attrs["diarnb"]["exclusive"] == "computed"
    left = diarnb.words(spoken.sample(frac=1, random_state=0).iloc[1:])
    assert len(diarnb.words(computed)) >= 0.95 * len(left)


def test_confidences_follow_the_times_whatever_the_names(meeting: pd.DataFrame) -> None:
    named = meeting.assign(speaker="Beth")
    assert diarnb.confidences(named).notna().all(axis=None)
    with pytest.raises(TurnTableError, match="no column start"):
        diarnb.confidences(meeting.set_index("start"))


def test_what_was_said_is_found_with_its_speaker_time_and_context(spoken: pd.DataFrame) -> None:
    words = diarnb.words(spoken)
    first = words.iloc[0]
    found = spoken.diar.search(" ".join(words["text"][:2]).upper(), context=3)
    assert found.loc[0, ["start", "end"]].tolist() == [first["start"], words["end"].iloc[1]]
    assert found.loc[0, ["text", "before", "after"]].tolist() == [
        " ".join(words["text"][:2]),
        "",
        " ".join(words["text"][2:5]),
    ]
    assert found["speaker"][0] == first["speaker"]
    assert diarnb.clip(found, found["start"][0], found["end"][0]).data
    the = spoken.diar.search("the")
    assert len(the) == (words["text"].str.strip(".,!?").str.lower() == "the").sum() > 3
    assert spoken.diar.search("xylophone").dtypes.equals(the.dtypes)
    part = spoken[spoken["speaker"] == "SPEAKER_01"]
    assert set(part.diar.search("the")["speaker"]) == {"SPEAKER_01"}


def test_text_alone_can_be_searched_each_recording_by_itself(meeting: pd.DataFrame) -> None:
    rows = {"start": [0.0, 2.0], "end": [2.0, 3.0], "speaker": ["Maya", "Otto"], "text": ["So, the budget.", "The"]}
    table = pd.concat([pd.DataFrame(rows).assign(uri=uri) for uri in ("a", "b")])
    found = table.diar.search("the")
    assert found[["uri", "start", "end", "speaker"]].to_numpy().tolist() == [
        ["a", 0.0, 2.0, "Maya"],
        ["a", 2.0, 3.0, "Otto"],
        ["b", 0.0, 2.0, "Maya"],
        ["b", 2.0, 3.0, "Otto"],
    ]
    assert found["after"].tolist() == ["budget. The", "", "budget. The", ""]
    assert table.diar.search("the so").empty
    with pytest.raises(TurnTableError, match="no words in this table"):
        meeting.diar.search("the")
    for wrong in ("", "...", None):
        with pytest.raises(InvalidParameterError, match="takes one or more words"):
            table.diar.search(wrong)
    with pytest.raises(InvalidParameterError, match="context is"):
        table.diar.search("the", context=-1)
