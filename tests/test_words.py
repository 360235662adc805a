"""`diarize(..., words=)`: words from a transcriber or a table belong to the run."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb import transcript
from diarnb.__main__ import main
from diarnb.errors import ConfigurationError, InvalidParameterError, TurnTableError
from diarnb.testing import assert_turns_equal

pytestmark = pytest.mark.usefixtures("known")  # whose runs without words are in the store

COLUMNS = ["start", "end", "word", "text", "speaker", "confidence", "speaker_confidence", "channel"]


def exact(name: str = "interview") -> pd.DataFrame:
    return pd.read_csv(diarnb.example(name).with_suffix(".words.csv"), keep_default_na=False)


def asked(words: Any, name: str = "interview", **arguments: Any) -> pd.DataFrame:
    return diarnb.diarize(diarnb.example(name), words=words, progress=False, **arguments)


def beginning() -> tuple[np.ndarray, int]:
    return soundfile.read(diarnb.example("interview"), dtype="float32", frames=16_000 * 8)


class Counting:
    """Hears a word in every second, and counts how often it is asked."""

    lengths = (0.0, 30.0)

    def __init__(self, version: str | None = "1") -> None:
        self.calls = 0
        if version is not None:
            self.version = version

    def __call__(self, samples: np.ndarray, sample_rate: int) -> list[dict[str, Any]]:
        self.calls += 1
        seconds = range(len(samples) // sample_rate)
        return [{"start": second, "end": second + 0.5, "text": f"Word{second}."} for second in seconds]


def right(found: pd.DataFrame, truth: pd.DataFrame) -> float:
    """The share of the words whose speaker is right, as in `benchmarks.transcribers`."""
    names = pd.crosstab(truth["speaker"].to_numpy(), found["speaker"].to_numpy())
    return names.max(axis=1).sum() / len(truth)


@pytest.mark.parametrize("name", ["meeting", "interview", "call"])
def test_the_words_of_a_table_get_speakers(name: str) -> None:
    truth = exact(name)
    turns = asked(truth.sample(frac=1, random_state=1), name)
    words = diarnb.words(turns)
    assert list(words) == COLUMNS
    assert words["text"].tolist() == truth.sort_values(["start", "end"], kind="stable")["text"].tolist()
    assert right(words, truth.sort_values(["start", "end"], kind="stable")) > 0.9
    assert words.loc[words["speaker"].notna(), "speaker_confidence"].between(0, 1).all()
    assert words["speaker_confidence"].median() > 0.7
    plain = diarnb.diarize(diarnb.example(name), progress=False)
    assert_turns_equal(turns.drop(columns="text"), plain)  # words change nothing in who speaks when
    spoken = " ".join(turns["text"]).split()
    known = words[words["speaker"].notna()]
    told = sorted(" ".join(known["text"]).split())
    assert len(spoken) >= 0.98 * len(words)
    assert not Counter(spoken) - Counter(told)  # every word is in one turn at most, and hardly any in none
    said = diarnb.utterances(turns)
    assert sorted(" ".join(said["text"]).split()) == sorted(" ".join(words["text"]).split())
    assert transcript(said).count("\n") + 1 == len(said)


def test_the_text_of_a_turn_is_what_its_speaker_says_in_it() -> None:
    turns = asked(exact())
    assert turns["text"][0].startswith("Welcome back. With me is Fergus,")
    words = diarnb.words(turns)
    for turn in turns.itertuples():
        middle = words[["start", "end"]].mean(axis=1)
        inside = words[(words["speaker"] == turn.speaker) & middle.between(turn.start, turn.end)]
        assert set(" ".join(inside["text"]).split()) <= set(turn.text.split())


def test_words_outlast_the_call() -> None:
    turns = asked(exact())
    again = diarnb.open_run(turns.attrs["diarnb"]["run"])
    assert_turns_equal(again, turns)
    assert diarnb.words(again).equals(diarnb.words(turns))
    named = diarnb.rename(turns, {"SPEAKER_00": "Maya", "SPEAKER_01": "Fergus"})
    assert set(diarnb.words(named)["speaker"]) == set(diarnb.utterances(named)["speaker"]) == {"Maya", "Fergus"}
    assert set(diarnb.exclusive(turns).columns) == set(turns.columns)
    assert set(" ".join(diarnb.exclusive(turns)["text"]).split()) == set(" ".join(turns["text"]).split())


def test_the_same_words_are_the_same_run_and_others_another() -> None:
    run = asked(exact()).attrs["diarnb"]["run"]
    assert asked(exact().to_dict("records")).attrs["diarnb"]["run"] == run
    assert asked(exact().iloc[:-1]).attrs["diarnb"]["run"] != run
    assert diarnb.diarize(diarnb.example("interview"), progress=False).attrs["diarnb"]["run"] != run


def test_other_speakers_say_the_same_words() -> None:
    turns = asked(exact(), num_speakers=2)
    for three in (diarnb.recluster(turns, num_speakers=3), asked(exact(), num_speakers=3)):
        words = diarnb.words(three)
        assert words[["start", "end", "text"]].equals(diarnb.words(turns)[["start", "end", "text"]])
        assert words["speaker"].nunique() == 3
        assert set(words["speaker"]) == set(three["speaker"])
    assert_turns_equal(diarnb.recluster(turns, num_speakers=3), three)
    assert diarnb.recluster(turns, num_speakers=3).attrs == three.attrs  # one run
    assert_turns_equal(diarnb.recluster(three, num_speakers=2), turns)


def test_what_was_heard_is_not_heard_again() -> None:
    listener = Counting()
    turns = asked(listener)
    first = listener.calls
    assert first > 0
    assert_turns_equal(asked(listener), turns)
    asked(listener, num_speakers=3)
    diarnb.recluster(turns, num_speakers=1)
    assert listener.calls == first
    asked(Counting("1"))
    assert diarnb.words(asked(Counting("1"))).equals(diarnb.words(turns))
    other = Counting("2")
    asked(other)
    assert other.calls == first


def test_what_was_heard_is_heard_again_where_that_is_asked() -> None:
    listener = Counting()
    diarnb.diarize(beginning(), words=listener, progress=False)
    first = listener.calls
    diarnb.diarize(beginning(), words=listener, refresh=True, progress=False)
    assert listener.calls == 2 * first > 0


def test_a_transcriber_without_a_version_is_asked_every_time_and_makes_one_run() -> None:
    listener = Counting(None)
    turns = asked(listener)
    first = listener.calls
    again = asked(listener)
    assert listener.calls == 2 * first
    assert_turns_equal(again, turns)
    assert len(diarnb.runs()) == 4  # those of the examples, and this one
    assert (
        diarnb.words(diarnb.recluster(turns, num_speakers=3))["text"].tolist() == diarnb.words(turns)["text"].tolist()
    )


def test_what_was_listened_to_is_kept_when_a_transcriber_fails() -> None:
    def fails(samples: np.ndarray, sample_rate: int) -> None:
        raise OSError("no memory")

    with pytest.raises(OSError, match="no memory"):
        diarnb.diarize(beginning(), words=fails, progress=False)
    told: list[str] = []
    diarnb.diarize(beginning(), words=Counting(), progress=lambda stage, _: told.append(stage))
    assert set(told) == {"transcribing"}


@pytest.mark.slow
def test_each_channel_has_its_own_words() -> None:
    sound, rate = soundfile.read(diarnb.example("call"), dtype="float32", frames=8_000 * 20)
    truth = exact("call").query("end < 20").sort_values(["start", "end"], kind="stable")
    words = diarnb.words(diarnb.diarize((sound, rate), words=truth, channels="split", progress=False))
    assert words["channel"].tolist() == truth["channel"].tolist()
    assert words.groupby("channel")["speaker"].nunique().tolist() == [1, 1]
    guessed = diarnb.diarize((sound, rate), words=truth.drop(columns="channel"), channels="split", progress=False)
    assert np.mean(diarnb.words(guessed)["channel"].to_numpy() == truth["channel"].to_numpy()) > 0.9
    turns = diarnb.diarize((sound, rate), words=Counting(), channels="split", progress=False)
    spoken = dict(zip(turns["speaker"], turns["channel"], strict=True))
    heard = diarnb.words(turns)
    assert set(heard["channel"]) == {0, 1}
    assert [spoken[name] for name in heard["speaker"]] == heard["channel"].tolist()


def test_progress_goes_on_from_listening_to_transcribing() -> None:
    told: list[tuple[str, float]] = []
    diarnb.diarize(beginning(), words=Counting(), progress=lambda *each: told.append(each))
    assert list(dict(told)) == ["listening", "deciding", "transcribing"]
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert 0.9 < fractions[-1] <= 1.0  # a little silence may be asked for beyond the end


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("sfinx", InvalidParameterError, "did you mean 'sphinx'"),
        (3, TurnTableError, "not int"),
        (pd.DataFrame({"start": [0.0], "end": [1.0]}), TurnTableError, "no column word, nor text"),
        (pd.DataFrame({"begin": [0.0], "end": [1.0], "word": ["a"]}), TurnTableError, "rename"),
        (pd.DataFrame({"start": [0.0, 2.0], "end": [1.0, np.nan], "word": ["a", "b"]}), TurnTableError, "1 of 2"),
        (pd.DataFrame({"start": [0], "end": [1], "word": ["a"], "score": [-3.5]}), TurnTableError, "'score' with -3.5"),
        (pd.DataFrame({"start": [0], "end": [1], "word": ["a"], "channel": [0.5]}), TurnTableError, "channels from 0"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_read(words: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        diarnb.diarize("no such file.wav", words=words, progress=False)


def test_words_of_another_recording_are_refused() -> None:
    late = pd.DataFrame({"start": [1000.0], "end": [1500.0], "word": ["milliseconds"]})
    with pytest.raises(TurnTableError, match=r"do not match this recording.* 1500\.0 s.* 69\.\d s.*/ 1000"):
        asked(late)


@pytest.mark.parametrize("engine", ["pyannoteai", "deepgram"])
def test_a_service_has_words_of_its_own(engine: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"not for '{engine}'.*transcription=True.*Deepgram always"):
        asked(exact(), engine=engine)


def test_a_model_that_is_missing_is_told_before_listening() -> None:
    class Unready(Counting):
        def prepare(self) -> None:
            raise ConfigurationError("there is no model")

    told: list[str] = []
    with pytest.raises(ConfigurationError, match="there is no model"):
        diarnb.diarize(beginning(), words=Unready(), progress=lambda stage, _: told.append(stage))
    assert told == []


def test_words_where_nobody_speaks_are_remarked_upon() -> None:
    words = pd.concat([exact(), pd.DataFrame({"start": [70.0], "end": [70.5], "word": ["ghost"], "text": ["Ghost."]})])
    with pytest.warns(diarnb.errors.DiarnbWarning, match="1 of 242 words"):
        turns = asked(words)
    assert "1 of 242 words" in turns.attrs["diarnb"]["warning"]
    found = diarnb.words(turns)
    assert found[found["speaker"].isna()]["word"].tolist() == ["ghost"]
    assert transcript(diarnb.utterances(turns)).splitlines()[-1] == "[?] Ghost."


def test_no_words_are_no_error() -> None:
    turns = asked([])
    assert (turns["text"] == "").all()
    assert diarnb.words(turns).empty
    assert diarnb.utterances(turns).empty
    silence = diarnb.diarize((np.zeros(32000, np.float32), 16000), words=Counting(), progress=False)
    assert silence.empty
    assert "text" in silence


def test_the_asynchronous_way_has_words_too() -> None:
    turns = asyncio.run(diarnb.diarize_async(diarnb.example("interview"), words=exact(), progress=False))
    assert_turns_equal(turns, asked(exact()))


def test_the_command_line_prints_what_is_said_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example", "interview", "--words", "test_words:hears"]) == 0
    table, _, said = capsys.readouterr().out.partition("\n\n")
    turns = asked("test_words:hears")
    assert len(table.splitlines()) == 1 + len(turns)
    assert "text" not in table.splitlines()[0]
    assert said == transcript(diarnb.utterances(turns)) + "\n"
    assert said.startswith("[Speaker:0] Word0. Word1.")
    assert main(["--example", "interview", "--words", "sfinx"]) == 2
    assert "did you mean 'sphinx'" in capsys.readouterr().err


hears = Counting()
