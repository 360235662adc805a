"""Engines from anywhere: by entry point, by `register`, as objects; and what is told of those that do not work."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb import engines
from diarnb.__main__ import main
from diarnb.engines import Answer, Engine, Offer, Option, registry
from diarnb.errors import ApiResponseError, ConfigurationError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RATE = 16_000
TALK = (np.zeros(RATE, np.float32), RATE)
MODULE = """
from diarnb.engines import Answer, Engine, Offer, Option, registry

class Far(Engine):
    name, offer = "far", Offer(models=("m",), count=False)

    def version(self, model):
        return "1"

    def diarize(self, recording, params, options, progress):
        return Answer({"said": [[0.0, recording.duration, "A"]]})

    def read(self, raw, params, options):
        return {"diarization": [dict(zip(("start", "end", "speaker"), turn)) for turn in raw["said"]]}

def make():
    return Far()

FAR = Far()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put packages that declare engines onto the path, as pip would."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(package: str, entries: dict[str, str], module: str | None = MODULE) -> None:
        if module is not None:
            (tmp_path / f"{package}.py").write_text(module)
        facts = tmp_path / f"{package}-1.5.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        lines = "\n".join(f"{name} = {value}" for name, value in entries.items())
        (facts / "entry_points.txt").write_text(f"[diarnb.engines]\n{lines}\n")

    yield put
    for name in set(sys.modules) - before:
        if name.endswith("_engine"):
            del sys.modules[name]


def row(name: str, package: str | None = None) -> Any:
    table = engines.available()
    chosen = (table["engine"] == name) & ((package is None) | (table["package"] == package))
    assert chosen.sum() == 1
    return table[chosen].iloc[0]


def quietly(*arguments: Any, **more: Any) -> pd.DataFrame:
    return diarnb.diarize(*arguments, progress=False, **more)


# -------------------------------------------------------------------------------------------------------- by name


@pytest.mark.parametrize("value", ["far_engine:Far", "far_engine:make", "far_engine:FAR"])
def test_an_engine_of_another_package_works_wherever_a_name_does(
    install: Any, tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install("far_engine", {"far": value})
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    turns = quietly(path, engine="far")
    assert turns[["start", "end", "speaker"]].to_numpy().tolist() == [[0.0, 1.0, "A"]]
    assert diarnb.open_run(turns.attrs["diarnb"]["run"]).equals(turns)
    assert diarnb.raw(turns) == {"said": [[0.0, 1.0, "A"]]}
    assert diarnb.diarize_many([path], engine="far", progress=False)["speaker"].tolist() == ["A"]
    assert main([str(path), "--engine", "far", "--no-progress"]) == 0
    diarnb.show_versions()
    assert "far                     far_engine 1.5" in capsys.readouterr().out
    with pytest.raises(InvalidParameterError, match="'far' does not offer num_speakers"):
        quietly(path, engine="far", num_speakers=2)


def test_the_panel_lists_it_and_one_that_is_broken_is_told_there(install: Any) -> None:
    install("far_engine", {"far": "far_engine:Far"})
    install("broken_engine", {"broken": "broken_engine:B"}, "raise OSError('no libfoo')")
    panel = diarnb.controls(diarnb.example("interview"))
    choice = panel._engines
    assert isinstance(choice, ipywidgets.Dropdown)
    assert [name for name, _ in choice.options] == [*engines.NAMES, "broken", "far"]
    choice.value = "far"
    assert 'engine="far"' in panel._code.code
    choice.value = "broken"
    assert choice.value == "far"
    assert "no libfoo" in panel._said.value
    panel.close()


def test_listing_imports_nothing_and_says_what_is_missing(install: Any) -> None:
    install("far_engine", {"far": "far_engine:Far"})
    install("gone_engine", {"gone": "gone_engine:G"}, module=None)
    install("broken_engine", {"broken": "broken_engine:B"}, "raise OSError('no libfoo')")
    far = row("far")
    assert "far_engine" not in sys.modules
    assert (far["package"], far["missing"], far["counts"]) == ("far_engine 1.5", "", pd.NA)
    assert row("gone")["missing"] == "its module gone_engine is not installed"
    assert row("broken")["missing"] == ""  # nobody has looked yet
    with pytest.raises(ConfigurationError, match=r"'broken' of the package broken_engine 1\.5 .*OSError: no libfoo"):
        quietly(TALK, engine="broken")
    engines.get("far")
    assert not row("far")["counts"]


def test_the_list_says_where_engines_run_and_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYANNOTEAI_API_KEY", "made-up")
    local, service, words = row("local"), row("pyannoteai"), row("deepgram")
    assert (local["runs_on"], local["billed"], local["missing"]) == ("this machine", False, "")
    assert local[["counts", "frames", "decides_again", "voiceprints", "streams"]].all()
    assert (service["runs_on"], service["billed"], service["missing"]) == ("pyannoteAI", True, "")
    assert "DEEPGRAM_API_KEY" in words["missing"]
    assert not words["counts"]


def test_a_plug_in_cannot_take_the_name_of_an_engine_of_diarnb(install: Any) -> None:
    install("evil_engine", {"pyannoteai": "evil_engine:Far"})
    assert type(engines.get("pyannoteai")).__module__.startswith("diarnb.")
    assert row("pyannoteai", "evil_engine 1.5")["missing"].startswith("the name pyannoteai belongs to diarnb")

    class Impostor(Near):
        name = "local"

    for take in (engines.register, engines.get):
        with pytest.raises(InvalidParameterError, match="cannot be named 'local'"):
            take(Impostor())


def test_two_packages_of_one_name_are_told(install: Any) -> None:
    install("far_engine", {"far": "far_engine:Far"})
    install("other_engine", {"far": "other_engine:Far"})
    with pytest.raises(ConfigurationError, match=r"several .* 'far', of far_engine 1\.5 and other_engine 1\.5"):
        quietly(TALK, engine="far")


def test_an_engine_that_calls_itself_otherwise_is_refused(install: Any) -> None:
    install("far_engine", {"farther": "far_engine:Far"})
    with pytest.raises(ConfigurationError, match="declares the engine 'farther', which calls itself 'far'"):
        quietly(TALK, engine="farther")


def test_without_its_package_a_run_is_kept_and_the_engine_is_named(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("far_engine", {"far": "far_engine:Far"})
    run = quietly(TALK, engine="far").attrs["diarnb"]["run"]
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(ApiResponseError, match="the engine 'far'"):
        diarnb.open_run(run)
    assert diarnb.raw(run) == {"said": [[0.0, 1.0, "A"]]}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lokal", "did you mean 'local'"),
        ("depgram", "did you mean 'deepgram'"),
        ("zzz", "there are 'local', 'pyannoteai', 'deepgram', 'assemblyai', 'pyannote'"),
        ("pyannot", "'pyannote' is pyannote.audio on this machine, 'pyannoteai' the service, which bills"),
        ("pyannote.audio", "'pyannote' is pyannote.audio on this machine"),
        ("pyannote-ai", "'pyannoteai' the service, which bills"),
    ],
)
def test_a_name_that_is_not_known_gets_a_hint_and_never_another_engine(name: str, says: str) -> None:
    with pytest.raises(InvalidParameterError, match="is not known here") as caught:
        quietly(TALK, engine=name)
    assert says in str(caught.value)


# ---------------------------------------------------------------------------------------------- registered, passed


class Near(Engine):
    name = "near"
    offer = Offer(models=("m",))

    def version(self, model: str) -> str:
        return "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        return Answer({"ends": recording.duration}, {"ends": np.array([recording.duration])})

    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        return {"ends": float(evidence["ends"][0]), "who": str(params.bounds[0])}

    def read(self, raw: Any, params: Any, options: Any) -> dict[str, Any]:
        return {"diarization": [{"start": 0.0, "end": raw["ends"], "speaker": raw.get("who", "A")}]}


def test_a_registered_class_is_found_by_name_and_decides_again() -> None:
    assert engines.register(Near) is Near
    turns = quietly(TALK, engine="near")
    assert turns["speaker"].tolist() == ["A"]
    assert diarnb.recluster(turns, num_speakers=2)["speaker"].tolist() == ["2"]
    assert row("near")["package"] == "registered here"
    assert engines.names() == [*engines.NAMES, "near"]


def test_an_engine_whose_answers_only_it_can_read_must_be_registered_before_it_works() -> None:
    asked: list[str] = []

    class Noted(Near):
        def diarize(self, *arguments: Any) -> Answer:
            asked.append("diarize")
            return super().diarize(*arguments)

    engine = Noted()
    with pytest.raises(InvalidParameterError, match=r"call diarnb\.engines\.register\(engine\) first"):
        quietly(TALK, engine=engine)
    assert not asked
    engines.register(engine)
    assert diarnb.open_run(quietly(TALK, engine=engine).attrs["diarnb"]["run"])["speaker"].tolist() == ["A"]


@pytest.mark.slow
def test_what_is_registered_here_works_in_other_processes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    engines.register(Near())
    with ProcessPoolExecutor(1) as pool:
        turns = diarnb.diarize_many([tmp_path / "a.wav"], engine="near", executor=pool, progress=False)
    assert turns["speaker"].tolist() == ["A"]


@pytest.mark.parametrize("name", ["", "Near", "ne ar", "n" * 41, "<b>"])
def test_a_name_can_be_typed(name: str) -> None:
    engine = Near()
    engine.name = name
    with pytest.raises(InvalidParameterError, match="an engine's name is made of small letters"):
        engines.register(engine)


@pytest.mark.parametrize("thing", [object(), 3, None, Near])
def test_what_is_no_engine_is_told_what_it_lacks(thing: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"lacks name, version, diarize|is a class: make one"):
        quietly(TALK, engine=thing)


class Plain:
    """The least that an engine can be."""

    name = "plain"
    version = "1"
    options: ClassVar = {"least": Option("seconds that a turn lasts", float)}

    def __init__(self, found: object = None) -> None:
        self.found = found

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> object:
        return self.found


@pytest.mark.parametrize(
    "found",
    [
        [(0.5, 1.0, 1), (0.0, 0.75, 0)],
        ((start, end, who) for start, end, who in [(0.0, 0.75, "SPEAKER_00"), (0.5, 1.0, "SPEAKER_01")]),
        pd.DataFrame({"speaker": [1, 0], "start": [0.5, 0.0], "end": [1.0, 0.75], "mood": ["good", "bad"]}),
        np.array([[0.0, 0.75, "SPEAKER_00"], [0.5, 1.0, "SPEAKER_01"]], dtype=object),
    ],
    ids=["tuples", "iterator", "table", "array"],
)
def test_an_engine_may_return_a_table_or_tuples(found: object) -> None:
    turns = quietly(TALK, engine=Plain(found))
    assert turns.to_numpy().tolist() == [[0.0, 0.75, 0.75, "SPEAKER_00"], [0.5, 1.0, 0.5, "SPEAKER_01"]]
    assert turns.attrs["diarnb"]["model"] == "plain"
    assert diarnb.open_run(turns.attrs["diarnb"]["run"]).equals(turns)


def test_an_engine_that_declares_nothing_offers_turns_and_its_own_options() -> None:
    engine = Plain([])
    assert quietly(TALK, engine=engine, least="0.5").empty
    refused = [{"num_speakers": 2}, {"exclusive": True}, {"confidence": True}, {"channels": "split"}]
    for asked in refused:
        with pytest.raises(InvalidParameterError, match=f"does not offer {next(iter(asked))}"):
            quietly(TALK, engine=engine, **asked)
    with pytest.raises(InvalidParameterError, match="least='much' is not what it should be: could not convert"):
        quietly(TALK, engine=engine, least="much")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "type NoneType"),
        ([(0, 1)], "type list"),
        ([(0, 1, None)], "no speaker in 1 of 1 rows"),
        ([(2, 1, "A")], "0 <= start <= end"),
        (pd.DataFrame({"begin": [0.0], "end": [1.0], "speaker": ["A"]}), "no column start"),
    ],
)
def test_what_is_no_answer_is_told_and_not_kept(found: object, says: str) -> None:
    with pytest.raises(ApiResponseError, match=r"'plain' returned (.|\n)*(start, end, speaker)") as caught:
        quietly(TALK, engine=Plain(found))
    assert says in str(caught.value)
    assert diarnb.runs().empty


@pytest.mark.parametrize("answer", [{}, {"turns": []}, {"diarization": None}, []])
def test_an_answer_without_turns_is_told_and_not_kept(answer: Any) -> None:
    class Odd:
        name, offer = "odd", Offer(models=("m",))

        def version(self, model: str) -> str:
            return "1"

        def diarize(self, *_: Any) -> Answer:
            return Answer(answer)

    with pytest.raises(ApiResponseError, match="'odd' gave no 'diarization'"):
        quietly(TALK, engine=Odd())
    assert diarnb.runs().empty


def test_what_a_paid_answer_breaks_in_its_reader_is_kept_and_read_once_that_is_mended() -> None:
    from diarnb.engines.base import Receipt

    class Paid(Near):
        broken = True

        def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
            return Answer({"ends": recording.duration}, receipt=Receipt("none", "job-1", 1.0))

        def decide(self, *_: Any) -> dict[str, Any]:
            raise AssertionError("it keeps no evidence")

        def read(self, raw: Any, params: Any, options: Any) -> dict[str, Any]:
            return {"turns": 3} if self.broken else super().read(raw, params, options)

    engine = Paid()
    engines.register(engine)
    for _ in range(2):
        with pytest.raises(ApiResponseError, match=r"KeyError: 'diarization'.*The paid answer is kept"):
            quietly(TALK, engine=engine)
    engine.broken = False
    assert quietly(TALK, engine=engine)["speaker"].tolist() == ["A"]
    assert diarnb.runs()["job_id"].tolist() == ["job-1"]


REFUSABLE: dict[str, tuple[Any, ...]] = {
    "decide": ({}, None, {}),
    "frames": ({}, None, {}),
    "count_evidence": ({}, None, {}),
    "reconsider": ({}, None, None, {}),
    "stream": ([], 8000, None, {}),
    "submit": (None, None, {}, None),
    "resume": ("job", {}, None),
    "test": ({},),
    "jobs": ({},),
    "make_voiceprint": (None, None, {}, None),
    "check_voiceprints": ({},),
    "voiceprint": (None,),
    "identify": (None, None, {}),
}


class Bare(Engine):
    name, offer = "bare", Offer(models=("m",))


@pytest.mark.parametrize("ability", REFUSABLE)
def test_what_an_engine_does_not_override_it_refuses_by_name(ability: str) -> None:
    assert not Bare().can(getattr(Engine, ability))
    with pytest.raises(InvalidParameterError, match=r"the engine 'bare' \w+") as used:
        getattr(Bare(), ability)(*REFUSABLE[ability])
    with pytest.raises(InvalidParameterError) as required:
        Bare().require(getattr(Engine, ability))
    assert str(used.value) == str(required.value)
