"""`diarize` from end to end: what it answers, what it refuses, and what it never does."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from corpus import encoded
from loopback import answering, serving

import diarnb
from diarnb.engines.base import Answer, Offer, Option
from diarnb.errors import AudioError, AudioNotFoundError, DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.results.runs import run_of
from diarnb.store import Store
from diarnb.testing import assert_turns_equal
from tests.tables import RATE, beginning_of_call, check_table, error_rate, excerpt, quietly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from diarnb.audio import Recording
    from diarnb.engines.base import Progress
    from diarnb.params import Params


FRAME = 0.016875


@pytest.mark.parametrize(("name", "speakers", "bound"), [("meeting", 4, 0.15), ("interview", 2, 0.1), ("call", 2, 0.1)])
def test_the_examples_are_told_apart(known: dict[str, pd.DataFrame], name: str, speakers: int, bound: float) -> None:
    turns, truth = known[name], diarnb.read(diarnb.example(name).with_suffix(".rttm"))
    check_table(turns)
    assert turns["speaker"].nunique() == speakers
    assert list(dict.fromkeys(turns["speaker"])) == [f"SPEAKER_{k:02d}" for k in range(speakers)]
    assert error_rate(truth, truth) == 0
    assert error_rate(truth, turns) < bound


@pytest.mark.parametrize("name", ["meeting", "interview", "call"])
def test_no_turn_is_too_short_to_be_heard(known: dict[str, pd.DataFrame], name: str) -> None:
    assert known[name]["duration"].min() > 0.1


def test_overlap_is_kept(known: dict[str, pd.DataFrame]) -> None:
    assert diarnb.overlap(known["meeting"])["duration"].sum() > 1


def test_what_a_table_says_of_itself_is_small_plain_and_private(known: dict[str, pd.DataFrame]) -> None:
    facts = known["meeting"].attrs["diarnb"]
    assert set(facts) == {"run", "engine", "model", "source", "duration", "warning", "schema", "rows"}
    text = json.dumps(known["meeting"].attrs)
    assert json.loads(text) == known["meeting"].attrs
    assert len(text) < 1000
    assert (facts["engine"], facts["source"], facts["warning"], facts["schema"]) == ("local", "meeting.flac", None, 1)
    assert facts["duration"] == pytest.approx(soundfile.info(diarnb.example()).duration, abs=1e-3)
    assert str(diarnb.example().parent) not in text


def test_a_url_is_named_without_its_secrets() -> None:
    routes = {"/talk.flac": answering(encoded(excerpt(3), kind="FLAC"))}
    with serving(routes) as origin:
        turns = quietly(origin.replace("http://", "http://me:hunter2@") + "/talk.flac?signature=hunter2")
    assert turns.attrs["diarnb"]["source"].endswith("/talk.flac")
    assert "hunter2" not in json.dumps(turns.attrs) + diarnb.runs().to_csv() + json.dumps(diarnb.raw(turns))


def test_confidence_is_a_column_only_where_it_is_asked_for(known: dict[str, pd.DataFrame]) -> None:
    turns = quietly(diarnb.example("meeting"), turn_level_confidence=True)
    check_table(turns, "confidence")
    assert_turns_equal(turns.drop(columns="confidence"), known["meeting"])
    assert turns["confidence"].median() > 50


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_make_no_difference(known: dict[str, pd.DataFrame], threads: int) -> None:
    stages: list[str] = []
    turns = quietly(
        diarnb.example("call"), threads=threads, refresh=True, progress=lambda stage, _: stages.append(stage)
    )
    assert stages
    assert_turns_equal(turns, known["call"], tolerance=FRAME)


@pytest.mark.slow
def test_listening_again_gives_the_same_turns(known: dict[str, pd.DataFrame]) -> None:
    again = quietly(diarnb.example("interview"), refresh=True)
    assert again.attrs["diarnb"]["run"] != known["interview"].attrs["diarnb"]["run"]
    assert_turns_equal(again, known["interview"])


@pytest.mark.slow
def test_a_run_of_what_was_the_default_model_is_decided_again_by_that_model() -> None:
    earlier, sound = "segmentation-3.0+campplus", (excerpt(20), RATE)
    kept = replace(run_of(quietly(sound, model=earlier)), params={}, id="0" * 12, key="of an earlier version")
    Store.default().save(kept)
    again = diarnb.recluster(diarnb.open_run(kept.id), num_speakers=3)
    assert again.attrs["diarnb"]["model"] == earlier
    assert_turns_equal(again, quietly(sound, model=earlier, num_speakers=3))
    anew = quietly(sound, num_speakers=3).attrs["diarnb"]
    assert anew["model"] == "segmentation-3.0+campplus+resnet34"
    assert anew["run"] != again.attrs["diarnb"]["run"]


def test_a_question_asked_before_is_answered_without_listening() -> None:
    stages: list[str] = []

    def progress(stage: str, fraction: float) -> None:
        assert 0 <= fraction <= 1
        stages.append(stage)

    first = quietly((excerpt(3), RATE), progress=progress)
    assert stages
    stages.clear()
    again = quietly((excerpt(3), RATE), progress=progress, threads=1)
    assert stages == []
    pd.testing.assert_frame_equal(again, first)
    assert again.attrs == first.attrs
    quietly((excerpt(3), RATE), progress=progress, num_speakers=1)
    assert stages == []  # another question, but the same sound
    quietly((excerpt(3), RATE), progress=progress, refresh=True)
    assert stages


@pytest.mark.parametrize("count", range(1, 7))
def test_a_number_of_speakers_is_kept_to(known: dict[str, pd.DataFrame], count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        turns = quietly(diarnb.example("meeting"), num_speakers=count)
    check_table(turns)
    assert turns["speaker"].nunique() == count


def test_bounds_are_kept_to(known: dict[str, pd.DataFrame]) -> None:
    def count(**bounds: int) -> int:
        return int(quietly(diarnb.example("meeting"), **bounds)["speaker"].nunique())

    assert count(max_speakers=2) <= 2
    assert count(max_speakers=3) <= 3
    assert count(min_speakers=6) >= 6
    assert 5 <= count(min_speakers=5, max_speakers=6) <= 6
    assert count(min_speakers=1, max_speakers=20) == count(min_speakers=4, max_speakers=4) == 4


@pytest.mark.parametrize("asked", [{"num_speakers": 50}, {"min_speakers": 50}, {"num_speakers": 10**9}])
def test_more_speakers_than_the_audio_holds_are_a_warning_and_the_best_answer(asked: dict[str, int]) -> None:
    with pytest.warns(DiarnbWarning, match="speakers") as caught:
        turns = diarnb.diarize((excerpt(3), RATE), progress=False, **asked)
    assert caught[0].filename == __file__.replace(".pyc", ".py")  # the line to look at is the caller's
    check_table(turns)
    assert 1 <= turns["speaker"].nunique() < 50
    assert turns.attrs["diarnb"]["warning"] in str(caught[0].message)
    with pytest.warns(DiarnbWarning, match="speakers"):  # from the store as well
        quietly((excerpt(3), RATE), **asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        {"num_speakers": 1},
        {"num_speakers": 6},
        {"min_speakers": 3},
        {"threshold": 0.7, "max_speakers": 3},
    ],
    ids=str,
)
def test_deciding_again_is_what_a_cold_run_gives(known: dict[str, pd.DataFrame], asked: dict[str, Any]) -> None:
    again = diarnb.recluster(known["interview"], **asked)
    stages: list[str] = []
    cold = quietly(diarnb.example("interview"), **asked, refresh=True, progress=lambda stage, _: stages.append(stage))
    assert stages
    assert again.attrs["diarnb"]["run"] not in {
        cold.attrs["diarnb"]["run"],
        known["interview"].attrs["diarnb"]["run"],
    }
    pd.testing.assert_frame_equal(again, cold)
    assert diarnb.raw(again) == diarnb.raw(cold)


@pytest.mark.slow
def test_deciding_again_keeps_what_else_was_asked() -> None:
    asked = {"channels": "split", "turn_level_confidence": True}
    turns = quietly(beginning_of_call(15), **asked)
    again = diarnb.recluster(diarnb.recluster(turns, num_speakers=3), num_speakers=2)
    pd.testing.assert_frame_equal(again, quietly(beginning_of_call(15), **asked, num_speakers=2, refresh=True))


def test_a_higher_threshold_merges_more(known: dict[str, pd.DataFrame]) -> None:
    counts = [diarnb.recluster(known["meeting"], threshold=value)["speaker"].nunique() for value in (0.05, 0.3, 0.6, 2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 4
    assert counts[-1] == 1


class Unreadable:
    """A source that tells when somebody reads it."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("read before the parameters were checked")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"num_speakers": 2, "max_speakers": 3}, "not both"),
        ({"min_speakers": 3, "max_speakers": 2}, "swap them"),
        ({"num_speakers": 0}, "less than 1"),
        ({"num_speakers": 2.0}, "write num_speakers=2"),
        ({"num_speakers": True}, "whole number"),
        ({"num_speakers": "two"}, "whole number"),
        ({"max_speakers": float("nan")}, "whole number"),
        ({"exclusive": 1}, "exclusive=True"),
        ({"channels": "left"}, "'split'"),
        ({"channels": -1}, "'split'"),
        ({"num_speaker": 2}, "did you mean num_speakers?"),
        ({"treshold": 0.5}, "did you mean threshold?"),
        ({"threshold": 3}, "0 to 2"),
        ({"threshold": "high"}, "0 to 2"),
        ({"threads": 0}, "threads"),
        ({"threads": True}, "threads"),
        ({"providers": [1]}, "providers"),
        ({"model": "precision-2"}, "no model 'precision-2'"),
        ({"engine": "lokal"}, "'local'"),
        ({"engine": None}, "'local'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("source", ["no such file.wav", Unreadable()], ids=["missing", "unreadable"])
def test_parameters_are_refused_before_anything_is_read(source: Any, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        quietly(source, **asked)
    assert says in str(caught.value)
    assert len(str(caught.value)) <= 400
    assert diarnb.runs().empty


def test_a_failed_run_leaves_everything_as_it_was(known: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    before = diarnb.runs()
    page = tmp_path / "talk.wav"
    page.write_bytes(b"<html><title>404 Not Found</title></html>")
    with pytest.raises(AudioError, match=r"talk\.wav"):
        quietly(page)
    with pytest.raises(AudioNotFoundError, match=r"tlak\.wav"):
        quietly(tmp_path / "tlak.wav")
    with pytest.raises(KeyboardInterrupt):
        quietly((excerpt(12), RATE), progress=_interrupting)
    pd.testing.assert_frame_equal(diarnb.runs(), before)
    pd.testing.assert_frame_equal(
        diarnb.open_run(known["meeting"].attrs["diarnb"]["run"]), known["meeting"], check_index_type=False
    )
    assert len(quietly((excerpt(12), RATE)))  # and what was interrupted can be done


def _interrupting(stage: str, fraction: float) -> None:
    if fraction > 0.3:
        raise KeyboardInterrupt


class Halves:
    """An engine in a few lines: somebody speaks in the first half, somebody else in the second."""

    name = "halves"

    def __init__(self) -> None:
        self.asked = 0
        self.offer = Offer(
            models=("scissors", "knife"), count=False, options={"at": Option("where to cut, 0-1", float)}
        )

    def version(self, model: str) -> str:
        return "1"

    def diarize(self, recording: Recording, params: Params, options: Mapping[str, Any], progress: Progress) -> Answer:
        self.asked += 1
        seconds = sum(len(block) for block in recording.blocks()) / RATE
        progress("cutting", 1.0)
        cut = seconds * options.get("at", 0.5)
        turns = [
            {"start": 0.0, "end": cut, "speaker": "SPEAKER_00", "confidence": {"SPEAKER_00": 50.0}},
            {"start": cut, "end": seconds, "speaker": "SPEAKER_01", "confidence": {"SPEAKER_01": 50.0}},
        ]
        return Answer({"duration": seconds, "diarization": turns, "warning": None})


def test_an_engine_is_an_object_of_a_few_lines() -> None:
    engine, source = Halves(), (excerpt(4), RATE)
    turns = quietly(source, engine=engine)
    check_table(turns)
    assert turns["end"].tolist() == [2.0, 4.0]
    assert (turns.attrs["diarnb"]["engine"], turns.attrs["diarnb"]["model"]) == ("halves", "scissors")
    pd.testing.assert_frame_equal(quietly(source, engine=engine), turns)
    assert engine.asked == 1
    assert quietly(source, engine=engine, at="0.25")["end"].tolist() == [1.0, 4.0]
    assert quietly(source, engine=engine, turn_level_confidence=True)["confidence"].tolist() == [50.0, 50.0]
    assert quietly(source, engine=engine, model="knife").attrs["diarnb"]["model"] == "knife"
    assert quietly(source, engine=engine, refresh=True).attrs != turns.attrs
    assert engine.asked == 5


def test_what_an_engine_does_not_offer_is_refused_by_name() -> None:
    engine = Halves()
    for asked, says in [
        ({"num_speakers": 2}, "'halves' does not offer num_speakers"),
        ({"att": 0.5}, "did you mean at?"),
        ({"model": "knive"}, "did you mean knife?"),
    ]:
        with pytest.raises(InvalidParameterError) as caught:
            quietly(Unreadable(), engine=engine, **asked)
        assert says in str(caught.value)
    assert engine.asked == 0


def test_what_an_engine_raises_arrives_and_nothing_is_kept() -> None:
    class Broken(Halves):
        def diarize(self, *arguments: Any) -> Answer:
            raise RuntimeError("out of paper")

    with pytest.raises(RuntimeError, match="out of paper"):
        quietly((excerpt(2), RATE), engine=Broken())
    assert diarnb.runs().empty


def test_an_impossible_answer_is_refused_and_not_kept() -> None:
    class Backwards(Halves):
        def diarize(self, *arguments: Any) -> Answer:
            return Answer({"diarization": [{"start": 2.0, "end": 1.0, "speaker": "SPEAKER_00"}]})

    source = (excerpt(4), RATE)
    with pytest.raises(TurnTableError, match=r"the engine's answer needs 0 <= start <= end"):
        quietly(source, engine=Backwards())
    assert diarnb.runs().empty
    assert len(quietly(source, engine=Halves())) == 2  # mended, it is asked again


def test_an_engine_that_has_no_name_here_is_passed_again_to_decide_anew() -> None:
    turns = quietly((excerpt(4), RATE), engine=Halves())
    with pytest.raises(InvalidParameterError, match="passed as the object itself, or known by its name"):
        diarnb.recluster(turns, num_speakers=2)


@pytest.mark.slow
def test_the_event_loop_goes_on_while_a_recording_is_diarized(known: dict[str, pd.DataFrame]) -> None:
    beats: list[str] = []

    async def beat() -> None:
        while True:
            beats.append("beat")
            await asyncio.sleep(0.01)

    async def both() -> pd.DataFrame:
        beating = asyncio.create_task(beat())
        turns = await diarnb.diarize_async(
            diarnb.example("interview"), refresh=True, progress=lambda stage, _: beats.append(stage)
        )
        beating.cancel()
        return turns

    assert_turns_equal(asyncio.run(both()), known["interview"])
    heard = [place for place, beat in enumerate(beats) if beat != "beat"]
    assert "beat" in beats[heard[0] : heard[-1]]


def test_cancelling_stops_the_work(home: Path) -> None:
    told: list[float] = []
    sound = np.tile(excerpt(60), 4)

    async def cancelled() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(stage: str, fraction: float) -> None:
            told.append(fraction)
            loop.call_soon_threadsafe(begun.set)

        task = asyncio.create_task(diarnb.diarize_async((sound, RATE), progress=progress))
        await begun.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())  # which waits for the thread
    assert told[-1] < 0.5
    assert diarnb.runs().empty
