"""A stretch of a recording can be heard, and it is a stretch of the right one."""

from __future__ import annotations

import base64
import io
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from corpus import RATE, encoded, speechlike

import diarnb
from diarnb.errors import AudioChangedError, AudioNotFoundError, InvalidParameterError, TurnTableError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from IPython.display import Audio


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    sound, rate = soundfile.read(diarnb.example("interview"), dtype="float32")
    soundfile.write(path, sound[: 6 * rate], rate)
    return path


@pytest.fixture
def turns(talk: Path) -> pd.DataFrame:
    return diarnb.diarize(talk, progress=False)


def heard(player: Audio) -> np.ndarray:
    sound, rate = soundfile.read(io.BytesIO(player.data), dtype="float32")
    assert rate == RATE
    return sound


def test_a_row_is_a_stretch_of_its_own(turns: pd.DataFrame) -> None:
    row = turns.loc[0]
    assert diarnb.clip(row).data == diarnb.clip(turns, row["start"], row["end"]).data
    assert diarnb.clip(row, 1.0, 2.0).data == diarnb.clip(turns, 1.0, 2.0).data
    with pytest.raises(InvalidParameterError, match=r"clip\(turns\.loc\[4\]\)"):
        diarnb.clip(turns)


def delay_free(sound: np.ndarray, original: np.ndarray) -> float:
    """Correlation with the original at the best delay; MP3 has one."""
    full = np.correlate(sound, original, mode="valid" if len(sound) >= len(original) else "full")
    return float(np.abs(full).max() / (np.linalg.norm(sound) * np.linalg.norm(original)))


def test_a_clip_is_the_stretch_asked_for_in_a_few_kilobytes(turns: pd.DataFrame, talk: Path) -> None:
    player = diarnb.clip(turns, 1.0, 3.5)
    sound = heard(player)
    assert len(sound) == pytest.approx(2.5 * RATE, abs=0.15 * RATE)
    original, _ = soundfile.read(talk, dtype="float32")
    assert delay_free(sound, original[RATE : RATE * 7 // 2]) > 0.95
    assert delay_free(sound, original[3 * RATE : RATE * 11 // 2]) < 0.6
    page = player._repr_mimebundle_()["text/html"] if hasattr(player, "_repr_mimebundle_") else player._repr_html_()
    assert 'type="audio/mpeg"' in page
    assert base64.b64encode(player.data).decode() in page
    assert len(page) < 2.5 * 9_000 + 500


def test_a_clip_ends_where_the_recording_ends(turns: pd.DataFrame) -> None:
    assert len(heard(diarnb.clip(turns, 5.0, 60.0))) == pytest.approx(RATE, abs=0.15 * RATE)
    with pytest.raises(InvalidParameterError, match=r"talk\.wav ends at 6\.0 s"):
        diarnb.clip(turns, 7.0, 8.0)


@pytest.mark.parametrize("kind", ["path", "bytes", "samples"])
def test_a_recording_can_be_heard_without_a_table(kind: str, talk: Path) -> None:
    sources: dict[str, Any] = {
        "path": talk,
        "bytes": encoded(speechlike(48_000), 48_000),
        "samples": (speechlike(), RATE),
    }
    assert len(heard(diarnb.clip(sources[kind], 0.5, 1.5))) == pytest.approx(RATE, abs=0.15 * RATE)


@pytest.mark.parametrize(
    ("start", "end"), [(2, 1), (1, 1), (-1, 1), (0, float("nan")), (0, float("inf")), ("0", 1), (None, 1), (True, 2)]
)
def test_a_stretch_that_is_none_is_refused(start: Any, end: Any, talk: Path) -> None:
    with pytest.raises(InvalidParameterError, match="start and end"):
        diarnb.clip(talk, start, end)


def test_a_moved_recording_is_asked_for(turns: pd.DataFrame, talk: Path, tmp_path: Path) -> None:
    moved = talk.rename(tmp_path / "elsewhere.wav")
    with pytest.raises(AudioNotFoundError, match=r"talk\.wav is no longer .* audio=") as caught:
        diarnb.clip(turns, 0, 1)
    assert str(tmp_path) not in str(caught.value)
    assert len(heard(diarnb.clip(turns, 0, 1, audio=moved)))
    assert len(heard(diarnb.clip(turns, 0, 1, audio=(speechlike(), RATE))))


def test_another_recording_in_its_place_is_noticed(turns: pd.DataFrame, talk: Path) -> None:
    content = talk.read_bytes()
    talk.write_bytes(encoded(speechlike()))
    with pytest.raises(AudioChangedError, match=r"talk\.wav is not the recording .* audio="):
        diarnb.clip(turns, 0, 1)
    talk.write_bytes(content)  # another time of change, but the same content
    assert len(heard(diarnb.clip(turns, 0, 1)))


def test_a_copy_that_was_diarized_first_may_go(talk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.wav"
    shutil.copy(talk, copy)
    diarnb.diarize(copy, progress=False)
    turns = diarnb.diarize(talk, progress=False)
    copy.unlink()
    assert len(heard(diarnb.clip(turns, 0, 1)))


def test_what_never_was_a_file_is_asked_for(talk: Path) -> None:
    turns = diarnb.diarize(talk.read_bytes(), progress=False)
    with pytest.raises(AudioNotFoundError, match="audio="):
        diarnb.clip(turns, 0, 1)
    assert len(heard(diarnb.clip(turns, 0, 1, audio=talk)))


def test_a_table_from_elsewhere_names_what_it_lacks(turns: pd.DataFrame, talk: Path) -> None:
    turns.attrs = {}
    with pytest.raises(TurnTableError, match="run"):
        diarnb.clip(turns, 0, 1)
    assert len(heard(diarnb.clip(turns, 0, 1, audio=talk)))
