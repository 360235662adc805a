"""A server whose engine is another than the local one: what it finds is answered, what it does not offer is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import soundfile

import diarnb
from diarnb import engines
from diarnb.errors import ConfigurationError, DiarnbError, InvalidParameterError
from diarnb.server.engines import choose_engine
from tests.served_engines import HALVES, Chosen, Counting, Halves
from tests.servers import PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = "tests.served_engines"


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    sound, rate = soundfile.read(diarnb.example("interview"), frames=10 * 16_000)
    soundfile.write(path, sound, rate)
    return path


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with diarnb.serve(engine=HALVES, words=f"{HERE}:hear", workers=1) as server:
        yield server


def ask(server: Any, talk: Path, engine: str = "pyannoteai", **asked: Any) -> Any:
    where = {"base_url": server.base_url, "api_key": server.key, "timeout": PATIENCE}
    return diarnb.diarize(talk, engine=engine, progress=False, **where, **asked)


@pytest.mark.slow
def test_pyannoteai_s_dialect_answers_what_the_engine_found(served: Any, talk: Path) -> None:
    turns = ask(served, talk, exclusive=True)
    assert turns[["start", "end", "speaker"]].to_numpy().tolist() == [[0, 6, "SPEAKER_00"], [4, 10, "SPEAKER_01"]]
    alone = diarnb.exclusive(turns)
    assert alone.attrs["diarnb"]["exclusive"] == "engine"
    assert alone[["start", "end"]].to_numpy().tolist() == [[0, 6], [6, 10]]
    assert httpx.get(f"{served.base_url}/health").json()["engine"] == f"{HERE}:HALVES"
    assert f"{HERE}:HALVES" in httpx.get(served.base_url).text


@pytest.mark.slow
def test_deepgram_s_dialect_gives_words_the_engine_s_speakers(served: Any, talk: Path) -> None:
    turns = ask(served, talk, engine="deepgram")
    words = diarnb.words(turns)
    assert len(words) == 10
    assert words.loc[words["end"] <= 4, "speaker"].eq("SPEAKER_00").all()
    assert words.loc[words["start"] >= 6, "speaker"].eq("SPEAKER_01").all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"num_speakers": 2}, "num_speakers"),
        ({"max_speakers": 2}, "max_speakers"),
        ({"confidence": True}, "confidence"),
        ({"turn_level_confidence": True}, "turn_level_confidence"),
    ],
)
def test_what_the_engine_does_not_offer_is_refused_by_its_field(
    served: Any, talk: Path, asked: dict[str, Any], named: str
) -> None:
    with pytest.raises(DiarnbError, match=f"{named}: The engine of this server, .*, does not offer this"):
        ask(served, talk, **asked)


@pytest.mark.slow
def test_channels_apart_are_refused_in_deepgram_s_dialect(served: Any) -> None:
    with pytest.raises(DiarnbError, match="'halves' does not offer channels"):
        ask(served, diarnb.example("call"), engine="deepgram", channels="split")


@pytest.mark.slow
def test_voices_are_found_again_by_the_local_engine_in_the_turns_of_the_other(served: Any, talk: Path) -> None:
    where = {"base_url": served.base_url, "api_key": served.key}
    known = {"Ann": diarnb.voiceprint(talk, engine="pyannoteai", progress=False, **where)}
    found = diarnb.identify(talk, known, engine="pyannoteai", progress=False, **where)
    assert "Ann" in set(found["speaker"])
    assert len(found) == 2


@pytest.mark.slow
def test_a_named_model_of_an_engine_that_reads_its_own_answers(talk: Path) -> None:
    with diarnb.serve(engine=f"{HERE}:Counting", words=False, workers=1) as server:
        assert ask(server, talk, num_speakers=2)["speaker"].tolist() == ["None0", "None1"]


@pytest.mark.slow
def test_an_engine_of_another_package_serves_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, talk: Path
) -> None:
    facts = tmp_path / "halves_engine-1.5.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: halves_engine\nVersion: 1.5\n")
    (facts / "entry_points.txt").write_text(f"[diarnb.engines]\nhalves = {HERE}:HALVES\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with diarnb.serve(engine="halves", words=False, workers=1) as server:
        assert ask(server, talk)["end"].tolist() == [6.0, 10.0]


def test_an_engine_is_chosen_by_name_by_object_or_as_it_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine("local") == "local"
    assert choose_engine(HALVES) == f"{HERE}:HALVES"
    assert choose_engine(Halves()) == f"{HERE}:Halves"
    engines.register(Counting)
    assert choose_engine("counting") == f"{HERE}:Counting"
    with pytest.raises(InvalidParameterError, match="the server is a process of its own"):
        choose_engine(Chosen(3))
    monkeypatch.setattr(Halves, "__module__", "__main__")
    with pytest.raises(InvalidParameterError, match="engine='my_module:MY_ENGINE'"):
        choose_engine(Halves())


@pytest.mark.parametrize("name", ["pyannoteai", "deepgram", "assemblyai", f"{HERE}:Costly"])
def test_an_engine_that_bills_is_refused_before_anything_starts(name: str) -> None:
    with pytest.raises(InvalidParameterError, match="bills for what it is sent, and everybody who has"):
        diarnb.serve(engine=name, words=False)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("lokal", InvalidParameterError, "did you mean 'local'"),
        ("local:no-such-model", InvalidParameterError, "local has no model 'no-such-model'"),
        (f"{HERE}:broken", ConfigurationError, "OSError: no libfoo"),
        ("no_such_module:X", ConfigurationError, "ModuleNotFoundError"),
    ],
)
def test_an_engine_that_cannot_listen_is_told_before_anything_starts(
    name: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        diarnb.serve(engine=name, words=False)


def test_a_server_whose_processes_cannot_find_its_engine_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="'gone_module:X' cannot be loaded"), in_thread(engine="gone_module:X"):
        pytest.fail("it started")


@pytest.mark.slow
def test_the_command_takes_an_engine_and_refuses_one_that_bills() -> None:
    command = [sys.executable, "-m", "diarnb", "serve", "--words", "none", "--engine"]
    done = subprocess.run([*command, "deepgram"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "bills for what it is sent" in done.stderr
    shown = subprocess.run([*command, "x", "--help"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert shown.stdout.startswith("usage: diarnb serve ")
    assert "--engine NAME" in shown.stdout
    with subprocess.Popen(
        [*command, f"{HERE}:HALVES", "--port", "0", "--workers", "1"], stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            assert f"({HERE}:HALVES, 1 at once" in running.stdout.readline()
        finally:
            running.terminate()
