"""The example conversations: the truth beside them is true, and the tool makes them again."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

import diarnb.examples
from diarnb.errors import InvalidParameterError
from diarnb.examples import example

NAMES = ["meeting", "interview", "call"]
TOOL = Path(__file__).parents[1] / "tools" / "make_examples.py"


def turns_of(name: str) -> pd.DataFrame:
    columns = ["type", "uri", "channel", "start", "duration", "a", "b", "speaker", "c", "d"]
    table = pd.read_csv(example(name).with_suffix(".rttm"), sep=" ", names=columns, keep_default_na=False)
    return table.assign(end=table["start"] + table["duration"])


def words_of(name: str) -> pd.DataFrame:
    return pd.read_csv(example(name).with_suffix(".words.csv"), keep_default_na=False)


def speakers_at(turns: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    start, end = turns["start"].to_numpy()[:, None], turns["end"].to_numpy()[:, None]
    return ((times >= start) & (times < end)).sum(axis=0)


def levels(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Middle and level in dB of every 50 ms of one channel."""
    size = rate // 20
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return (np.arange(len(blocks)) + 0.5) * size / rate, 10 * np.log10(np.mean(blocks**2, axis=1) + 1e-12)


@pytest.mark.parametrize(
    ("name", "shape", "seconds", "speakers"),
    [
        ("meeting", (16_000, 1), (75, 90), {"Maya", "Victor", "Fergus", "Otto"}),
        ("interview", (16_000, 1), (60, 75), {"Maya", "Fergus"}),
        ("call", (8_000, 2), (50, 60), {"Maya", "Victor"}),
    ],
)
def test_an_example_is_what_its_docstring_says(
    name: str, shape: tuple[int, int], seconds: tuple[float, float], speakers: set[str]
) -> None:
    info = sf.info(example(name))
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")
    assert (info.samplerate, info.channels) == shape
    assert seconds[0] <= info.duration <= seconds[1]
    turns, words = turns_of(name), words_of(name)
    assert set(turns["speaker"]) == set(words["speaker"]) == speakers
    assert set(turns["uri"]) == {name}
    assert (turns["duration"] > 0).all()
    assert turns["start"].is_monotonic_increasing
    assert turns["end"].max() < info.duration
    assert "synthetic" in (example.__doc__ or "")


def test_the_examples_together_are_smaller_than_6_mb() -> None:
    assert sum(path.stat().st_size for path in example().parent.iterdir() if path.is_file()) < 6e6


@pytest.mark.parametrize("name", NAMES)
def test_turns_are_loud_and_what_is_outside_is_quiet(name: str) -> None:
    samples, rate = sf.read(example(name), always_2d=True)
    turns = turns_of(name)
    for number, channel in enumerate(samples.T, start=1):
        own = turns[turns["channel"] == number]
        times, level = levels(channel, rate)
        speaking = speakers_at(own, times) > 0
        away = speakers_at(own.assign(start=own["start"] - 0.05, end=own["end"] + 0.3), times) == 0  # past the echo
        assert np.median(level[speaking]) - np.percentile(level[away], 90) > 20
        assert np.mean(level[speaking] > np.percentile(level[away], 90) + 3) > 0.8  # the rest: stops and pauses


@pytest.mark.parametrize("name", NAMES)
def test_every_word_is_spoken_inside_a_turn_of_its_speaker(name: str) -> None:
    turns, words = turns_of(name), words_of(name)
    assert words["start"].is_monotonic_increasing
    assert (words["end"] - words["start"]).between(0.01, 1.0).all()
    for word in words.itertuples():
        own = turns[turns["speaker"] == word.speaker]
        assert ((own["start"] <= word.start + 0.0011) & (word.end <= own["end"] + 0.0011)).any(), word


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_lasts_from_its_first_word_to_its_last_with_short_pauses_only(name: str) -> None:
    words = words_of(name)
    for turn in turns_of(name).itertuples():
        own = words[(words["speaker"] == turn.speaker) & words["start"].between(turn.start - 0.0011, turn.end)]
        assert own["start"].min() == pytest.approx(turn.start, abs=0.0011)
        assert own["end"].max() == pytest.approx(turn.end, abs=0.0011)
        assert (own["start"].to_numpy()[1:] - own["end"].to_numpy()[:-1] < 0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_people_talk_at_once_but_never_with_themselves(name: str) -> None:
    turns = turns_of(name)
    times = np.arange(0, turns["end"].max(), 0.01)
    count = speakers_at(turns, times)
    assert 0.02 < np.sum(count > 1) / np.sum(count > 0) < 0.1
    for _, own in turns.groupby("speaker"):
        assert (own["start"].to_numpy()[1:] - own["end"].to_numpy()[:-1] > 0.3).all()


@pytest.mark.parametrize("name", NAMES)
def test_gaps_between_turns_lie_around_a_fifth_of_a_second_as_in_conversation(name: str) -> None:
    turns = turns_of(name)
    gaps = (turns["start"] - turns["end"].cummax().shift())[turns["end"] > turns["end"].cummax().shift()]
    assert 0.1 < gaps.median() < 0.35
    assert gaps.min() < -0.4  # an interruption
    assert gaps.max() > 1.5  # somebody thinks


def test_somebody_dominates_the_meeting_and_somebody_says_little() -> None:
    share = turns_of("meeting").groupby("speaker")["duration"].sum()
    share /= share.sum()
    assert share.idxmax() == "Maya"
    assert share.idxmin() == "Otto"
    assert share["Otto"] < 0.12 < 0.4 < share["Maya"]


def test_the_call_has_one_speaker_a_channel_and_each_faintly_on_the_other() -> None:
    samples, rate = sf.read(example("call"))
    words, turns = words_of("call"), turns_of("call")
    assert words.groupby("speaker")["channel"].unique().map(list).to_dict() == {"Victor": [0], "Maya": [1]}
    assert turns.groupby("speaker")["channel"].unique().map(list).to_dict() == {"Victor": [1], "Maya": [2]}
    for own, other in ((0, 1), (1, 0)):
        times, level = levels(samples[:, own], rate)
        _, leaked = levels(samples[:, other], rate)
        quiet = turns[turns["channel"] == other + 1]
        alone = (speakers_at(turns[turns["channel"] == own + 1], times) > 0) & (
            speakers_at(quiet.assign(start=quiet["start"] - 0.05, end=quiet["end"] + 0.3), times) == 0
        )
        assert np.median(level[alone] - leaked[alone]) > 15
        assert np.corrcoef(level[alone], leaked[alone])[0, 1] > 0.2


def test_no_sample_is_clipped() -> None:
    for name in NAMES:
        assert 0.5 < np.abs(sf.read(example(name))[0]).max() < 0.9


def test_an_unknown_example_is_refused_with_the_names_and_the_nearest() -> None:
    with pytest.raises(InvalidParameterError, match=r"'meeting', 'interview', 'call'.*did you mean 'meeting'\?"):
        example("Meetin")
    with pytest.raises(InvalidParameterError, match=r"no example None; .*'call'$"):
        example(None)  # type: ignore[arg-type]


def test_every_file_of_the_folder_belongs_to_an_example() -> None:
    folder = Path(diarnb.examples.__file__).parent
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert files == {"__init__.py"} | {f"{name}{end}" for name in NAMES for end in (".flac", ".rttm", ".words.csv")}


@pytest.mark.slow
@pytest.mark.skipif(
    not TOOL.exists() or ctypes.util.find_library("flite") is None,
    reason="needs a checkout and Debian's flite, which speaks the examples",
)
def test_the_tool_makes_the_same_examples_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOOL, "--out", tmp_path], check=True)
    for name in NAMES:
        assert (tmp_path / f"{name}.rttm").read_text() == example(name).with_suffix(".rttm").read_text()
        assert (tmp_path / f"{name}.words.csv").read_text() == example(name).with_suffix(".words.csv").read_text()
        again, ours = (sf.read(path, dtype="int16")[0] for path in (tmp_path / f"{name}.flac", example(name)))
        assert again.shape == ours.shape
        assert np.abs(again.astype(int) - ours).max() <= 1  # the last bit may differ between processors
