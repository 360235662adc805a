"""Whatever hears words gets speech in stretches, and its words come back with the times of the recording."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import transcribers
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import ConfigurationError, DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.transcribers import identity, transcribe, transcriber
from diarnb.transcribers._moonshine import place_words
from diarnb.transcribers._whisper import read_segments

if TYPE_CHECKING:
    from pathlib import Path

needs_whisper = pytest.mark.skipif(find_spec("faster_whisper") is None, reason="the extra whisper is not installed")

needs_moonshine = pytest.mark.skipif(
    find_spec("moonshine_voice") is None, reason="the extra moonshine is not installed"
)


class Listener:
    """Notes what it is given, and hears one word for all of it."""

    def __init__(self, *lengths: float) -> None:
        self.heard: list[np.ndarray] = []
        if lengths:
            self.lengths = lengths

    def __call__(self, samples: np.ndarray, sample_rate: int) -> list[dict[str, Any]]:
        assert sample_rate == SAMPLE_RATE
        assert samples.dtype == np.float32
        self.heard.append(samples)
        return [{"start": 0.0, "end": len(samples) / sample_rate, "word": f"w{len(self.heard)}", "confidence": 0.5}]


def spans(words: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(round(word["start"], 3), round(word["end"], 3)) for word in words]


def ramp(seconds: float) -> np.ndarray:
    """Samples that tell where they are."""
    return (np.arange(round(seconds * SAMPLE_RATE)) / (100.0 * SAMPLE_RATE)).astype(np.float32)


def test_speech_near_by_is_heard_together_and_the_rest_apart() -> None:
    listener = Listener()
    words = transcribe(ramp(60), [(10.0, 12.0), (1.0, 2.0), (2.5, 4.0), (50.0, 55.0)], listener)
    assert spans(words) == [(0.8, 4.2), (9.8, 12.2), (49.8, 55.2)]
    assert [round(float(samples[0]) * 100, 2) for samples in listener.heard] == [0.8, 9.8, 49.8]


def test_with_zero_every_stretch_comes_by_itself_and_no_sound_twice() -> None:
    listener = Listener(0.0, 30.0)
    words = transcribe(ramp(10), [(1.0, 2.0), (2.0, 3.0), (2.5, 4.0), (4.1, 5.0)], listener)
    assert spans(words) == [(0.8, 2.0), (2.0, 3.0), (3.0, 4.05), (4.05, 5.2)]


def test_a_long_stretch_is_cut_where_it_is_quietest() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 70 * SAMPLE_RATE).astype(np.float32)
    for pause in (27.0, 50.0):
        sound[round(pause * SAMPLE_RATE) : round((pause + 0.3) * SAMPLE_RATE)] *= 0.01
    listener = Listener()
    words = transcribe(sound, [(0.0, 70.0)], listener)
    assert max(map(len, listener.heard)) <= 30 * SAMPLE_RATE
    assert np.array_equal(np.concatenate(listener.heard), sound)  # nothing is lost, and nothing heard twice
    assert words[0]["end"] == pytest.approx(27.15, abs=0.15)
    assert words[1]["end"] == pytest.approx(50.15, abs=0.15)


def test_a_recording_is_heard_as_its_samples_are() -> None:
    speech = [(3.0, 5.5), (8.0, 16.0), (29.0, 33.0)]
    alone, among = Listener(), Listener()
    with open_recording(diarnb.example("call")) as recording:
        for channel in ("mix", 1):
            sound = np.concatenate([*recording.blocks(channel)])
            assert transcribe(recording, speech, among, channel=channel) == transcribe(sound, speech, alone)
            assert all(np.array_equal(one, other) for one, other in zip(alone.heard, among.heard, strict=True))


def test_speech_after_the_end_of_the_sound_is_silence() -> None:
    assert spans(transcribe(ramp(2), [(1.0, 3.0), (8.0, 9.0)], Listener())) == [(0.8, 2.0)]
    assert transcribe(ramp(2), [], Listener()) == []
    assert transcribe(np.zeros(0, np.float32), [(0.0, 1.0)], Listener()) == []


def test_progress_is_told_between_stretches_and_can_stop_them() -> None:
    told: list[float] = []
    listener = Listener()

    def report(stage: str, fraction: float) -> None:
        assert stage == "transcribing"
        told.append(fraction)
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcribe(ramp(60), [(1.0, 2.0), (10.0, 16.0), (50.0, 52.0)], listener, report)
    assert len(listener.heard) == 2
    assert told == sorted(told)
    assert told[0] == 0.0


@pytest.mark.slow
def test_the_examples_can_be_transcribed_without_a_model() -> None:
    script = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"))
    turns = diarnb.diarize(diarnb.example("interview"), words="diarnb.testing:hear_example", progress=False)
    heard = diarnb.words(turns)
    assert 0.8 < len(heard) / len(script) <= 1
    assert set(heard["word"]) <= set(script["word"])
    assert diarnb.testing.hear_example(np.ones(16_000, np.float32), 16_000).empty


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame({"start": [0.5], "end": [0.75], "text": ["Hello,"], "score": [0.25]}),
        [{"start": 0.5, "end": 0.75, "text": "Hello,", "probability": 0.25}],
        ({"start": 0.5, "end": 0.75, "text": " Hello, ", "confidence": 0.25} for _ in range(1)),
    ],
    ids=["table", "list", "generator"],
)
def test_words_may_come_as_a_table_or_as_dicts(given: Any) -> None:
    found = transcribe(ramp(4), [(1.2, 3.0)], lambda samples, rate: given)
    assert found == [{"start": 1.5, "end": 1.75, "word": "hello", "text": "Hello,", "confidence": 0.25}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "not NoneType"),
        ("hello there", "not str"),
        (["hello", "there"], "holds 'hello'"),
        ([{"start": 0.1, "end": 0.2}], "no column word, nor text"),
        ([{"word": "a", "start": 0.1}], r"no column end .*word, start"),
        ([{"word": "a", "start": 0.4, "end": 0.2}], "0 <= start <= end"),
        ([{"word": "a", "start": 0.4, "end": float("nan")}], "have no time"),
        ([{"word": "a", "start": 0.1, "end": 0.2, "confidence": 95}], "'confidence' with 95, which is no"),
        ([{"word": "a", "start": 100, "end": 450}], "450.0 s, and the stretch ends at 2.4 s; times are in seconds"),
    ],
)
def test_what_is_no_words_is_an_error_that_says_so(given: Any, message: str) -> None:
    def mine(samples: np.ndarray, sample_rate: int) -> Any:
        return given

    with pytest.raises(TurnTableError, match=f"the transcriber .*mine .*{message}"):
        transcribe(ramp(4), [(1.0, 3.0)], mine)


def test_words_that_end_a_little_late_end_with_the_sound() -> None:
    def late(samples: np.ndarray, sample_rate: int) -> list[dict[str, Any]]:
        return [{"start": 0.9, "end": len(samples) / sample_rate + 0.7, "word": "late"}]

    assert spans(transcribe(ramp(4), [(1.2, 3.0)], late)) == [(1.9, 3.2)]


def hears_nothing(samples: np.ndarray, sample_rate: int) -> list[dict[str, Any]]:
    return []


def test_transcribers_are_known_by_name() -> None:
    assert isinstance(transcriber("sphinx"), type(transcribers.sphinx()))
    assert transcriber(hears_nothing) is hears_nothing
    assert transcriber("test_transcribers:hears_nothing").__name__ == "hears_nothing"
    for wrong, hint in [("sphynx", "'sphinx'"), ("whispr:small", "whispr"), ("", "sphinx, whisper"), (3, "sphinx, ")]:
        with pytest.raises(InvalidParameterError, match=f"there is no transcriber.*{hint}"):
            transcriber(wrong)
    with pytest.raises(InvalidParameterError, match="cannot be called"):
        transcriber("sys:path")


def test_only_a_version_makes_a_transcriber_known() -> None:
    assert identity(hears_nothing) is None
    assert identity(Listener()) is None
    versioned = Listener()
    versioned.version = "2"
    assert (identity(versioned) or "").endswith("Listener 2")
    assert re.search(r"Sphinx \d+\.", identity(transcriber("sphinx")) or "")


@pytest.mark.slow
def test_sphinx_hears_english() -> None:
    exact = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"))
    with open_recording(diarnb.example("interview")) as recording:
        words = transcribe(recording, [(0.5, 3.5)], transcribers.sphinx())
    assert [word["word"] for word in words[:2]] == ["welcome", "back"] == exact["word"].head(2).tolist()
    for word, (start, end) in zip(words[:2], exact[["start", "end"]].head(2).to_numpy(), strict=True):
        assert (word["start"], word["end"]) == pytest.approx((start, end), abs=0.15)
    assert all(word["text"] == word["word"] and 0 <= word["confidence"] <= 1 for word in words)
    assert not any(re.search(r"[<\[(\d]", word["word"]) for word in words)


def test_sphinx_hears_nothing_where_there_is_nothing() -> None:
    sphinx = transcribers.sphinx()
    for samples in (0, SAMPLE_RATE):
        assert sphinx(np.zeros(samples, np.float32), SAMPLE_RATE) == []
    for samples in (1, 300):  # too short for anything, and no reason to fail
        assert sphinx(np.full(samples, 0.1, np.float32), SAMPLE_RATE) == []
    with pytest.raises(InvalidParameterError, match="16000 Hz, not 8000"):
        sphinx(np.zeros(SAMPLE_RATE, np.float32), 8000)


@pytest.mark.parametrize(
    ("name", "package"), [("moonshine", "moonshine-voice"), ("sphinx", "pocketsphinx"), ("whisper", "faster-whisper")]
)
def test_a_missing_extra_is_one_sentence(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # where nothing is installed
    with pytest.raises(ConfigurationError, match=rf"{package}, which is not installed: pip install 'diarnb\[{name}\]'"):
        transcriber(name)


@needs_whisper
def test_words_of_whisper_are_converted() -> None:
    from faster_whisper.transcribe import Segment, Word

    def segment(*words: Word) -> Segment:
        text = "".join(word.word for word in words)
        return Segment(0, 0, 0.0, 2.0, text, [], -0.2, 1.0, 0.0, list(words) or None, 0.0)

    first = segment(Word(0.1, 0.4, " Well,", 0.9), Word(0.4, 0.9, " it's", 0.8))
    last = segment(Word(1.9, 2.6, " me.", 0.5), Word(2.5, 3.0, " Thanks!", 0.1))
    found = transcribe(ramp(4), [(1.2, 2.8)], lambda samples, rate: read_segments([first, segment(), last], 2.0))
    assert [word["text"] for word in found] == ["Well,", "it's", "me."]
    assert [word["word"] for word in found] == ["well", "it's", "me"]
    assert spans(found) == [(1.1, 1.4), (1.4, 1.9), (2.9, 3.0)]
    assert [word["confidence"] for word in found] == [0.9, 0.8, 0.5]


@needs_whisper
def test_a_model_that_cannot_be_had_is_one_sentence(tmp_path: Path) -> None:
    code = "import diarnb; diarnb.diarize(diarnb.example('call'), words='whisper:tiny', progress=False)"
    # Nobody listens there, and an address that is refused at once is a network that does not allow it.
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "DIARNB_HOME": str(tmp_path / "runs")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **nowhere}
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("diarnb.errors.ConfigurationError: the Whisper model 'tiny' is not on this machine")
    assert "faster_whisper.download_model('tiny'" in last
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        transcribers.whisper(str(tmp_path / "empty")).prepare()


@needs_whisper
def test_another_model_or_language_is_another_transcriber(tmp_path: Path) -> None:
    several = [
        transcribers.whisper(),
        transcribers.whisper("tiny"),
        transcribers.whisper(language="en"),
        transcribers.whisper(beam_size=1),
        transcriber(f"whisper:{tmp_path}"),
    ]
    (tmp_path / "model.bin").write_bytes(b"other weights")
    several.append(transcriber(f"whisper:{tmp_path}"))
    assert len({identity(each) for each in several}) == len(several)
    assert identity(transcribers.whisper()) == identity(transcriber("whisper:small"))


@pytest.mark.slow
@needs_moonshine
def test_moonshine_hears_sentences_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", None)  # whoever wants the network fails
    with open_recording(diarnb.example("interview")) as recording:
        words = transcribe(recording, [(8.9, 15.0)], transcribers.moonshine())
    heard = [word["word"] for word in words]
    exact = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"))
    said = set(exact[exact["start"].between(9.2, 15.0)]["word"])
    assert len(said & set(heard)) > 0.75 * len(said)
    assert sum(word["text"][-1] in ".?!," for word in words) >= 2
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    assert 8.5 < words[0]["start"] <= words[-1]["end"] <= 15.3
    assert {word["placed"] for word in words} == {"length"}


@pytest.mark.slow
@needs_moonshine
def test_moonshine_hears_nothing_where_there_is_nothing() -> None:
    moonshine = transcribers.moonshine()
    for samples in (0, SAMPLE_RATE):
        assert moonshine(np.zeros(samples, np.float32), SAMPLE_RATE) == []
    for samples in (1, 300):
        assert isinstance(moonshine(np.full(samples, 0.1, np.float32), SAMPLE_RATE), list)
    with pytest.raises(InvalidParameterError, match="16000 Hz, not 8000"):
        moonshine(np.zeros(SAMPLE_RATE, np.float32), 8000)


def test_words_without_times_stand_where_something_sounds() -> None:
    rng = np.random.default_rng(0)
    sound = np.zeros(5 * SAMPLE_RATE, np.float32)
    for first, last in ((0.5, 1.5), (3.0, 4.0)):
        span = slice(round(first * SAMPLE_RATE), round(last * SAMPLE_RATE))
        sound[span] = 0.1 * rng.standard_normal(span.stop - span.start)
    words = place_words(["The", "water,", "and", "then.", "Now", "the", "garden"], sound, 0.2, 4.8)
    assert [word["text"] for word in words][-1] == "garden"
    for word in words:
        assert any(
            first - 0.05 <= word["start"] <= word["end"] <= last + 0.05 for first, last in ((0.5, 1.5), (3, 4))
        ) or (word["start"] < 1.5 and word["end"] > 3.0)
    assert words[0]["start"] == pytest.approx(0.5, abs=0.05)
    assert words[-1]["end"] == pytest.approx(4.0, abs=0.05)
    assert place_words([], sound, 0, 1) == []


@pytest.mark.slow
@needs_moonshine
def test_moonshines_other_models_are_fetched_or_told(tmp_path: Path) -> None:
    code = "import diarnb; diarnb.diarize(diarnb.example('call'), words='moonshine:base-en', progress=False)"
    nowhere = dict.fromkeys(["HTTPS_PROXY", "https_proxy"], "http://127.0.0.1:9")  # where nobody listens
    home = {"MOONSHINE_VOICE_CACHE": str(tmp_path), "DIARNB_HOME": str(tmp_path / "runs")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **nowhere, **home}
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("diarnb.errors.ConfigurationError: the Moonshine model 'base-en' is not on this machine")
    (tmp_path / "tiny-of-mine").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        transcribers.moonshine(str(tmp_path / "tiny-of-mine")).prepare()
    with pytest.raises(InvalidParameterError, match=r"no Moonshine model 'huge'; there are tiny-streaming-en"):
        transcriber("moonshine:huge")


def test_true_takes_the_best_that_is_installed_and_says_which(monkeypatch: pytest.MonkeyPatch, known: object) -> None:
    installed = ["moonshine_voice", "pocketsphinx"]
    monkeypatch.setattr(transcribers, "has_model", lambda model: False)
    monkeypatch.setattr(transcribers, "find_spec", lambda name: name if name in installed else None)
    for name in ("moonshine", "sphinx"):
        stand_in = Listener()
        stand_in.version = f"{name} 1"
        monkeypatch.setattr(transcribers, name, lambda *model, heard=stand_in: heard)
    turns = diarnb.diarize(diarnb.example("interview"), words=True, progress=False)
    assert turns.attrs["diarnb"]["transcriber"] == "listener moonshine 1"
    installed.remove("moonshine_voice")
    with pytest.warns(DiarnbWarning, match=r"words=True uses sphinx.*diarnb\[moonshine\]"):
        turns = diarnb.diarize(diarnb.example("interview"), words=True, progress=False)
    assert turns.attrs["diarnb"]["transcriber"] == "listener sphinx 1"
    installed.clear()
    with pytest.raises(ConfigurationError, match=r"pip install 'diarnb\[moonshine\]'"):
        diarnb.diarize(diarnb.example("interview"), words=True, progress=False)
    assert "text" not in diarnb.diarize(diarnb.example("interview"), words=False, progress=False)
