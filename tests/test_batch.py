"""Many recordings: every one accounted for, whatever dies on the way, and nothing heard twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb import batch, errors
from diarnb.batch import task as _task
from diarnb.batch.linking import link_voices
from diarnb.batch.sources import name_sources
from diarnb.engines.local import networks
from diarnb.results.runs import run_of
from diarnb.store import Store
from diarnb.tables.activity import match_speakers
from diarnb.testing import assert_turns_equal
from tests import faultserver as faults
from tests.batches import RATE, Scripted, ask_many, processes, tones
from tests.faultserver import serving


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path / "heard.txt")


def cut(example: str, start: float, seconds: float, target: Path) -> None:
    path = diarnb.example(example)
    rate = soundfile.info(path).samplerate
    samples, _ = soundfile.read(path, start=round(start * rate), frames=round(seconds * rate))
    soundfile.write(target, samples, rate)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings in which people speak, a silent one, and three that are none."""
    place = tmp_path_factory.mktemp("recordings")
    cut("interview", 5, 8, place / "a.wav")
    cut("meeting", 20, 7, place / "b.wav")
    soundfile.write(place / "silent.wav", np.zeros(3 * RATE), RATE)
    (place / "empty.wav").touch()
    (place / "letter.wav").write_text("Dear Maya, this is no sound.")
    (place / "cut.wav").write_bytes((place / "a.wav").read_bytes()[:40])
    (place / "notes.txt").write_text("not a recording, and not called one")
    return place


BAD = {"cut.wav", "empty.wav", "letter.wav"}


@pytest.fixture(scope="session")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The folder, heard once: the run store, and the table."""
    home = tmp_path_factory.mktemp("batch") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIARNB_HOME", str(home))
        with pytest.warns(errors.DiarnbWarning, match="3 of 6 recordings failed, the first with"):
            return home, diarnb.diarize_many(folder, progress=False)


@pytest.fixture
def again(done: tuple[Path, pd.DataFrame], home: Path) -> pd.DataFrame:
    """The table, whose run store this test has a copy of."""
    shutil.copytree(done[0], home)
    return done[1]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that are opened, as they are."""
    seen = []
    real = _task.open_source

    def noted(source: Any, *rest: Any) -> Any:
        seen.append(Path(source).name)
        return real(source, *rest)

    monkeypatch.setattr(_task, "open_source", noted)
    return seen


def test_every_recording_is_accounted_for(again: pd.DataFrame) -> None:
    facts = again.attrs["diarnb"]
    assert list(again["uri"].unique()) == ["a.wav", "b.wav"]
    assert {failure["uri"] for failure in facts["failures"]} == BAD
    assert facts["recordings"] == 6
    rows = batch.manifest(again).set_index("uri")
    assert dict(rows["state"]) == {name: "failed" if name in BAD else "done" for name in rows.index}
    assert rows.loc["silent.wav", "speakers"] == 0
    for failure in facts["failures"]:
        assert issubclass(getattr(errors, failure["error"]), errors.AudioError)
        assert failure["message"] == rows.loc[failure["uri"], "message"]
        assert failure["uri"] in failure["message"]
        assert "/" not in failure["message"]


def test_a_recording_is_heard_as_it_is_alone(folder: Path, again: pd.DataFrame, home: Path) -> None:
    shutil.rmtree(home)  # heard anew, and not remembered
    alone = diarnb.diarize(folder / "b.wav", progress=False)
    together = again[again["uri"] == "b.wav"].drop(columns="uri").reset_index(drop=True)
    assert_turns_equal(together, alone)


@pytest.mark.filterwarnings("ignore::diarnb.errors.DiarnbWarning")
def test_the_same_call_opens_only_what_failed(folder: Path, again: pd.DataFrame, opened: list[str]) -> None:
    turns = diarnb.diarize_many(folder, progress=False)
    pd.testing.assert_frame_equal(turns, again)
    assert turns.attrs == again.attrs
    assert set(opened) == BAD
    assert len(opened) == 3


@pytest.mark.filterwarnings("ignore::diarnb.errors.DiarnbWarning")
def test_what_was_mended_added_or_changed_is_heard(folder: Path, again: pd.DataFrame, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(folder, place)  # another folder: known by content, once opened
    first = diarnb.diarize_many(place, progress=False)
    assert_turns_equal(first, again)
    shutil.copy(place / "silent.wav", place / "letter.wav")
    shutil.copy(place / "b.wav", place / "new.wav")
    shutil.copy(place / "silent.wav", place / "a.wav")
    then = diarnb.diarize_many(place, progress=False)
    assert list(then["uri"].unique()) == ["b.wav", "new.wav"]
    assert {failure["uri"] for failure in then.attrs["diarnb"]["failures"]} == BAD - {"letter.wav"}
    assert batch.manifest(first)["state"].eq("done").sum() == 3  # each batch keeps its own record


def test_another_setting_is_another_question(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "x.wav")
    for count in (2, 3, 2):
        diarnb.diarize_many(place, engine=scripted, max_speakers=count, progress=False)
    assert scripted.heard() == {"x.wav": 2}
    diarnb.diarize_many(place, engine=scripted, max_speakers=2, refresh=True, progress=False)
    assert scripted.heard() == {"x.wav": 3}


def test_an_interrupt_keeps_what_is_done(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "1.wav", "2.wav", "3.wav", "4.wav")
    seen = []

    def stop(stage: str, fraction: float) -> None:
        seen.append(fraction)
        if stage.startswith("2 of 4"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        diarnb.diarize_many(place, engine=scripted, progress=stop)
    (note,) = caught.value.__notes__
    assert note == "2 of 4 recordings are done and kept: the same call continues from there."
    assert seen == sorted(seen)
    assert list(batch.manifest()["state"][:2]) == ["done", "done"]
    turns = diarnb.diarize_many(place, engine=scripted, progress=False)
    assert list(turns["uri"]) == ["1.wav", "2.wav", "3.wav", "4.wav"]
    heard = scripted.heard()
    assert heard["1.wav"] == heard["2.wav"] == heard["4.wav"] == 1
    assert heard["3.wav"] <= 2  # it may have been under way


def test_an_error_that_is_not_ours_is_a_failure_too(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "odd.wav", "fine.wav")
    with pytest.warns(errors.DiarnbWarning, match="1 of 2"):
        turns = diarnb.diarize_many(place, engine=scripted, progress=False)
    (failure,) = turns.attrs["diarnb"]["failures"]
    assert failure == {
        "uri": "odd.wav",
        "error": "ZeroDivisionError",
        "message": "odd.wav: ZeroDivisionError: division by zero",
    }
    assert list(turns["uri"]) == ["fine.wav"]


def test_a_service_that_is_too_busy_is_asked_again(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "busy.wav", "fine.wav")
    turns = diarnb.diarize_many(place, engine=scripted, progress=False)
    assert list(turns["uri"]) == ["busy.wav", "fine.wav"]
    assert scripted.heard() == {"busy.wav": 3, "fine.wav": 1}


def test_a_forgotten_run_is_gone_from_the_manifest(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "secret.wav", "fine.wav")
    turns = diarnb.diarize_many(place, engine=scripted, progress=False)
    diarnb.forget(batch.manifest(turns).set_index("uri").loc["secret.wav", "run"])
    assert list(batch.manifest(turns)["uri"]) == ["fine.wav"]
    diarnb.diarize_many(place, engine=scripted, progress=False)
    assert scripted.heard() == {"secret.wav": 2, "fine.wav": 1}


def test_an_empty_batch_is_a_table() -> None:
    turns = diarnb.diarize_many([], progress=False)
    assert list(turns.columns) == ["start", "end", "duration", "speaker", "uri"]
    assert turns.empty
    assert batch.manifest().empty
    with pytest.raises(errors.TurnTableError, match="diarize_many"):
        batch.manifest(pd.DataFrame({"start": [], "end": [], "speaker": []}))


# Sources


def test_a_name_has_as_many_folders_as_it_needs(tmp_path: Path) -> None:
    paths = ["2024/may/a.wav", "2025/may/a.wav", "b.wav", "b.wav", Path("c.wav")]
    named = name_sources(path for path in paths)
    assert list(named) == ["2024/may/a.wav", "2025/may/a.wav", "b.wav", "c.wav"]
    assert all(Path(source).is_absolute() for source in named.values())
    urls = ["https://h.org/x/a.wav?key=1", "https://h.org/x/a.wav?key=2", "https://me:pw@h.org/y/a.wav"]
    assert list(name_sources(urls)) == ["x/a.wav", "x/a.wav (2)", "y/a.wav"]
    assert list(name_sources({"monday": urls[0]}).items()) == [("monday", urls[0])]


def test_a_folder_or_a_pattern_is_its_recordings(folder: Path) -> None:
    names = ["a.wav", "b.wav", "cut.wav", "empty.wav", "letter.wav", "silent.wav"]
    assert list(name_sources(folder)) == list(name_sources(str(folder))) == names
    assert list(name_sources(f"{folder}/[ab].*")) == ["a.wav", "b.wav"]
    assert list(name_sources(folder / "a.wav")) == ["a.wav"]


@pytest.mark.parametrize(
    ("sources", "told"),
    [(3, "a list of them, a folder"), (b"x", "not bytes"), ([3], "not int"), ({1: "a.wav"}, "the keys of sources")],
)
def test_what_is_no_source_is_refused(sources: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameterError, match=told):
        diarnb.diarize_many(sources)
    with pytest.raises(errors.InvalidParameterError, match="there is no recording"):
        diarnb.diarize_many(tmp_path)
    with pytest.raises(errors.InvalidParameterError, match="there is no file"):
        diarnb.diarize_many(f"{tmp_path}/*.wav")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"same_speakers": 1}, "same_speakers is True or False"),
        ({"executor": 4}, "ProcessPoolExecutor"),
        ({"num_speakers": 0}, "num_speakers"),
        ({"speed": 2}, "no parameter 'speed'"),
        ({"words": pd.DataFrame()}, "a table of words belongs to one recording"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_done(settings: Any, told: str, folder: Path) -> None:
    with pytest.raises(errors.InvalidParameterError, match=told):
        diarnb.diarize_many(folder, progress=False, **settings)


# The same people


def test_a_person_has_one_label_in_all_recordings(known: dict[str, pd.DataFrame]) -> None:
    paths = [diarnb.example(name) for name in known]
    turns = diarnb.diarize_many(paths, same_speakers=True, progress=False)
    found: dict[str, set[str]] = {}
    for path in paths:
        own = turns[turns["uri"] == path.name]
        for person, label in match_speakers(own, diarnb.read(path.with_suffix(".rttm"))).items():
            found.setdefault(person, set()).add(label)
    assert {person: len(labels) for person, labels in found.items()} == {"Maya": 1, "Victor": 1, "Fergus": 1, "Otto": 1}
    assert set.union(*found.values()) == {"SPEAKER_00", "SPEAKER_01", "SPEAKER_02", "SPEAKER_03"}
    once_more = diarnb.diarize_many(paths[::-1], same_speakers=True, progress=False)
    assert once_more["speaker"].iloc[0] == "SPEAKER_00"  # who speaks first in the table


def test_two_of_one_recording_are_never_one_person() -> None:
    voices = np.float32([[1, 0], [1, 0], [1, 0]])
    assert link_voices(voices, [0, 0, 1], 0.4) in ([0, 1, 0], [0, 1, 1])
    assert link_voices(voices, [0, 1, 2], 0.4) == [0, 0, 0]
    assert link_voices(voices[:1], [0], 0.4) == [0]
    apart = np.float32([[1, 0], [0, 1]])
    assert link_voices(apart, [0, 1], 0.4) == [0, 1]


@pytest.mark.parametrize(("cosine", "people"), [(0.42, 4), (0.46, 2)])
def test_voices_that_are_as_likely_of_two_people_stay_two(
    known: dict[str, pd.DataFrame], cosine: float, people: int
) -> None:
    """Among many pairs of voices most are of two people: what is as likely as not for one pair joins too many."""
    channels = np.load(networks.MODELS / "channels.npy").astype(np.float64)
    free = np.linalg.svd(channels)[2][len(channels) :]  # directions that are compared
    one, other = free[:2], cosine * free[:2] + (1 - cosine**2) ** 0.5 * free[2:4]
    for name, voices in (("interview", one), ("call", other)):
        heard = dict(zip(("SPEAKER_00", "SPEAKER_01"), voices.astype(np.float32), strict=True))
        _task.keep_voices(run_of(known[name]), heard, Store.default())
    paths = [diarnb.example("interview"), diarnb.example("call")]
    assert diarnb.diarize_many(paths, same_speakers=True, progress=False)["speaker"].nunique() == people


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_processes_do_the_same(folder: Path, again: pd.DataFrame, home: Path) -> None:
    shutil.rmtree(home)
    with processes() as pool, pytest.warns(errors.DiarnbWarning, match="3 of 6"):
        turns = diarnb.diarize_many(folder, executor=pool, progress=False)
    assert_turns_equal(turns, again)
    assert turns.attrs["diarnb"] == again.attrs["diarnb"]
    run = batch.manifest(turns)["run"].iloc[0]
    assert len(diarnb.recluster(diarnb.open_run(run), num_speakers=1))  # the evidence is in the store that they share


# Services


def test_a_service_is_asked_once_for_each(tmp_path: Path) -> None:
    place = tones(tmp_path / "in", *[f"{n:02d}.wav" for n in range(15)])
    with serving(polls=3) as server:
        turns = ask_many(server.origin, place)
        assert list(turns["uri"].unique()) == [f"{n:02d}.wav" for n in range(15)]
        assert server.asked["POST /v1/diarize"] == 15
        assert ask_many(server.origin, place).equals(turns)
        assert server.asked["POST /v1/diarize"] == 15
        assert server.double_billed == 0


def test_a_wrong_key_is_told_once(tmp_path: Path) -> None:
    place = tones(tmp_path / "in", *[f"{n:02d}.wav" for n in range(40)])
    with serving() as server:
        with pytest.raises(errors.AuthenticationError, match="0 of 40 recordings are done and kept"):
            ask_many(server.origin, place, api_key="wrong-key-0123456789")
        assert sum(server.asked.values()) <= 20


def test_one_fault_is_one_failure(tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "a.wav", "b.wav", "c.wav")
    with serving(plan={"POST /v1/diarize": [faults.refuses(400, {"message": "no"})]}) as server:
        with pytest.warns(errors.DiarnbWarning, match="1 of 3"):
            turns = ask_many(server.origin, place)
        assert len(turns["uri"].unique()) == 2
        (failure,) = turns.attrs["diarnb"]["failures"]
        assert failure["error"] == "BadRequestError"
        whole = ask_many(server.origin, place)
        assert len(whole["uri"].unique()) == 3
        assert server.double_billed == 0


def test_the_most_that_it_may_cost_is_for_all_together(tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "a.wav", "b.wav", "c.wav")  # 20 s are billed for each
    (place / "bad.wav").touch()
    with serving() as server:
        with pytest.raises(errors.InvalidParameterError, match=r"would cost 0.60 \(60 s at 36 an hour\)"):
            ask_many(server.origin, place, max_cost=0.5, price_per_hour=36)
        assert not server.asked
        with pytest.warns(errors.DiarnbWarning, match="1 of 4"):
            ask_many(server.origin, place, max_cost=0.6, price_per_hour=36)
        assert server.asked["POST /v1/diarize"] == 3
