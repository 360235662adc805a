"""`diarize` takes every kind of source, channel and sound, and any length of it."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from loopback import answering, serving

import diarnb
from diarnb.errors import DiarnbWarning, InvalidParameterError
from diarnb.testing import assert_turns_equal
from tests.tables import RATE, beginning_of_call, check_table, error_rate, excerpt, quietly

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@pytest.mark.slow
def test_channels_can_be_kept_apart(known: dict[str, pd.DataFrame]) -> None:
    turns = quietly(diarnb.example("call"), channels="split")
    check_table(turns, "channel")
    assert set(turns["channel"]) == {0, 1}
    assert turns.groupby("speaker")["channel"].nunique().eq(1).all()  # a label belongs to one channel
    busiest = turns.groupby(["channel", "speaker"])["duration"].sum().groupby("channel").idxmax()
    truth = diarnb.read(diarnb.example("call").with_suffix(".rttm"))
    own = turns.set_index(["channel", "speaker"]).loc[list(busiest)].reset_index()
    assert error_rate(truth, own) < 0.15


@pytest.mark.slow
def test_one_channel_can_be_listened_to() -> None:
    sound, rate = beginning_of_call(12)
    for channel in (0, 1):
        turns = quietly((sound, rate), channels=channel)
        check_table(turns)
        assert len(turns)
        assert_turns_equal(turns, quietly((sound[:, channel], rate)))


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match=r"call\.flac has 2 channels"):
        quietly(diarnb.example("call"), channels=2)


@pytest.fixture
def clip_file(tmp_path: Path) -> Path:
    path = tmp_path / "short talk.wav"
    soundfile.write(path, excerpt(6), RATE, subtype="FLOAT")
    return path


@pytest.mark.parametrize("kind", ["str", "Path", "bytes", "open file", "samples", "samples of float64", "url"])
def test_every_kind_of_source_gives_the_same_turns(kind: str, clip_file: Path) -> None:
    content = clip_file.read_bytes()
    sources: dict[str, Any] = {
        "str": str(clip_file),
        "Path": clip_file,
        "bytes": content,
        "open file": io.BytesIO(content),
        "samples": (excerpt(6), RATE),
        "samples of float64": (excerpt(6).astype(np.float64), RATE),
    }
    expected = quietly(clip_file)
    assert len(expected)
    stages: list[str] = []
    with serving({"/talk.wav": answering(content)}) as origin:
        source = sources.get(kind, f"{origin}/talk.wav")
        turns = quietly(source, refresh=True, progress=lambda stage, _: stages.append(stage))
    assert stages
    assert_turns_equal(turns, expected)


def harmonics(seconds: float) -> np.ndarray:
    """Chords that change: loud, tonal, and nobody's voice."""
    t = np.arange(round(seconds * RATE)) / RATE
    chords = [(220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6)]
    root = np.choose((t // 1.5).astype(int) % 3, np.array([chord[0] for chord in chords]))
    return sum(np.sin(2 * np.pi * root * step * k * t) / k for step in (1, 1.26, 1.5) for k in range(1, 7)) * 0.05


def noise(seconds: float, decibel: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(seconds * RATE)) * 10 ** (decibel / 20)


QUIET = {
    "one sample": lambda: np.array([0.5]),
    "digital silence": lambda: np.zeros(5 * RATE),
    "noise of -90 dB": lambda: noise(5, -90),
    "music": lambda: harmonics(12),
}


SHORT = {
    "0.1 s": lambda: excerpt(1.7)[-1600:],
    "0.5 s": lambda: excerpt(2.1)[-8000:],
    "loud noise": lambda: noise(5, -20),
    "10 s less a sample": lambda: excerpt(10, -1),
    "10 s": lambda: excerpt(10),
    "10 s and a sample": lambda: excerpt(10, 1),
    "3 s, one voice": lambda: excerpt(3),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", [*QUIET, *SHORT])
@pytest.mark.parametrize("channels", ["mix", "split"])
def test_any_sound_gives_a_table_and_every_verb_takes_it(case: str, channels: str) -> None:
    sound = {**QUIET, **SHORT}[case]()
    more = {"turn_level_confidence": True, "confidence": True, "exclusive": True, "channels": channels}
    turns = quietly((sound, RATE), **more)
    check_table(turns, "confidence", *(["channel"] if channels == "split" else []))
    assert turns.attrs["diarnb"]["duration"] == pytest.approx(len(sound) / RATE)
    if case in QUIET:
        assert len(turns) == 0
    scores = diarnb.frames(turns)
    assert list(scores)[:3] == ["start", "end", "confidence"]
    assert set(list(scores)[3:]) == set(turns["speaker"])
    assert list(diarnb.confidences(turns).index) == list(turns.index)
    assert diarnb.confidences(turns).notna().all(axis=None)
    assert set(diarnb.speakers(turns)["speaker"]) == set(turns["speaker"])
    assert set(diarnb.exclusive(turns)["speaker"]) <= set(turns["speaker"])
    assert diarnb.overlap(diarnb.exclusive(turns)).empty
    assert diarnb.words(turns).empty
    diarnb.timeline(turns)
    one = diarnb.recluster(turns, num_speakers=1)
    assert one["speaker"].nunique() == min(len(turns), 1)


def test_losses_of_the_audio_are_told_now_and_later(tmp_path: Path) -> None:
    half = tmp_path / "half.wav"
    soundfile.write(half, excerpt(8), RATE)
    half.write_bytes(half.read_bytes()[: 4 * 2 * RATE])
    for asked in ({}, {"num_speakers": 1}, {}):  # cold, from the evidence, from the store
        with pytest.warns(DiarnbWarning, match="header announces 8.0 s, the file holds 4.0 s"):
            turns = quietly(half, **asked)
        assert "4.0 s" in turns.attrs["diarnb"]["warning"]
        assert turns.attrs["diarnb"]["duration"] == pytest.approx(4.0, abs=0.01)


def test_another_name_for_the_same_content_is_the_name_in_the_answer(clip_file: Path, tmp_path: Path) -> None:
    first = quietly(clip_file)
    moved = clip_file.rename(tmp_path / "renamed.wav")
    again = quietly(moved)
    assert again.attrs["diarnb"] == {**first.attrs["diarnb"], "source": "renamed.wav"}
    assert len(diarnb.clip(again, 0, 1).data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc: getrusage counts the parent's too")
def test_a_long_recording_needs_little_memory_and_is_decided_again_alike(home: Path, tmp_path: Path) -> None:
    sound, rate = soundfile.read(diarnb.example("meeting"), dtype="int16")
    pause = np.zeros(7 * rate, np.int16)
    peaks = []
    for minutes in (10, 30):
        with soundfile.SoundFile(tmp_path / f"{minutes}.flac", "w", rate, 1, "PCM_16") as file:
            while file.frames < minutes * 60 * rate:
                file.write(np.concatenate([sound, pause]))
        code = f"""
            import pandas as pd
            import diarnb
            turns = diarnb.diarize("{minutes}.flac", progress=False)
            peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
            print(peak(), turns["end"].max() > {minutes} * 60 - 15)
            again = diarnb.recluster(turns, num_speakers=3)
            assert again["speaker"].nunique() == 3
            if {minutes} == 10:
                cold = diarnb.diarize("{minutes}.flac", progress=False, num_speakers=3, refresh=True)
                pd.testing.assert_frame_equal(again, cold)
            """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peak, heard_to_the_end = done.stdout.split()
        peaks.append(int(peak) / 1024)  # MiB
        assert heard_to_the_end == "True"
    assert peaks[1] < 700
    assert 3 * (peaks[1] - peaks[0]) < 90  # MiB an hour


def test_a_kept_warning_speaks_of_the_file_that_was_asked_about(tmp_path: Path) -> None:
    sound, rate = soundfile.read(diarnb.example("call"), stop=8000 * 12, dtype="float32")
    soundfile.write(tmp_path / "first.ogg", sound, rate, format="OGG", subtype="VORBIS")
    content = (tmp_path / "first.ogg").read_bytes()
    for name in ("first.ogg", "the second.ogg", "first.ogg"):
        (tmp_path / name).write_bytes(content[: 2 * len(content) // 3])
        with pytest.warns(DiarnbWarning, match=rf"^{name}: {name} seems to be cut off"):
            turns = diarnb.diarize(tmp_path / name, progress=False)
        assert turns.attrs["diarnb"]["source"] == name
        assert turns.attrs["diarnb"]["warning"].startswith(f"{name} seems to be cut off")
