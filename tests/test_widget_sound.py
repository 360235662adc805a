"""Sound for pages: slices, peaks, and buttons with a clip behind them."""

from __future__ import annotations

import io
import logging
import shutil
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import AudioChangedError, AudioNotFoundError, InvalidParameterError
from diarnb.widgets.peaks import FACTOR, STEP, TILE, Peaks
from diarnb.widgets.sound import LONGEST_CLIP, SLICE, ClipButton, Sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from diarnb.audio import Samples

EXAMPLE = diarnb.example("interview")


@pytest.fixture
def sound() -> Iterator[Sound]:
    opened = Sound(EXAMPLE)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def samples() -> Samples:
    with open_recording(EXAMPLE) as recording:
        return np.concatenate(list(recording.blocks()))


def decoded(data: bytes) -> Samples:
    found, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == SAMPLE_RATE
    return found


class Ear:
    """Stands where the page is: hears what a widget sends, and asks as a page asks."""

    def __init__(self, widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.widget, self.heard = widget, []
        monkeypatch.setattr(widget, "send", lambda content, buffers=None: self.heard.append((content, buffers)))

    def ask(self, **message: Any) -> tuple[dict[str, Any], list[bytes]] | None:
        """Give the answer, None where there is none."""
        self.heard.clear()
        self.widget._handle_custom_msg({"id": 7, **message}, [])
        return next(((content, buffers) for content, buffers in self.heard if content.get("id") == 7), None)


# Slices


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
def test_slices_join_to_the_recording_sample_by_sample(sound: Sound, samples: Samples, kind: str) -> None:
    count = int(sound.duration / SLICE) + 1
    joined = np.concatenate([decoded(sound.encode(n * SLICE, (n + 1) * SLICE, kind)) for n in range(count)])
    assert np.array_equal(joined, samples)


def test_beyond_the_end_there_is_nothing(sound: Sound) -> None:
    assert sound.encode(sound.duration + 1, sound.duration + 2) == b""


def test_a_recording_of_another_rate_is_sliced_without_a_seam(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    time = np.arange(10 * 44_100) / 44_100
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * time), 44_100)
    sound = Sound(path)
    joined = np.concatenate([decoded(sound.encode(n * SLICE, (n + 1) * SLICE)) for n in range(3)])
    sound.close()
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(joined)) / SAMPLE_RATE)
    inner = slice(1000, -1000)
    assert np.abs(joined - expected)[inner].max() < 1e-3


def test_threads_may_ask_at_the_same_time(sound: Sound) -> None:
    given: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda n=n: given.update({n: sound.encode(n * SLICE, (n + 1) * SLICE)}))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given == {n: sound.encode(n * SLICE, (n + 1) * SLICE) for n in range(6)}


def test_a_file_that_changes_is_told_and_not_played(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    shutil.copy(EXAMPLE, path)
    sound = Sound(path)
    shutil.copy(diarnb.example("meeting"), path)
    with pytest.raises(AudioChangedError):
        sound.encode(0.0, 1.0)
    sound.close()


@pytest.mark.slow
def test_a_recording_that_cannot_be_entered_in_its_middle_is_passed_once(
    tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed, which m4a needs")
    path = tmp_path / "talk.m4a"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None, : 20 * SAMPLE_RATE], format="fltp", layout="mono")
        frame.rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    sound = Sound(path)
    ear = Ear(ClipButton(sound, 8.0, 12.0), monkeypatch)
    while (answer := ear.ask(ask="clip", format="FLAC")) == ({"id": 7, "later": True}, []):
        pass
    assert answer is not None
    with open_recording(path) as recording:
        true = next(recording.blocks(start=8.0, end=12.0))
    assert np.abs(decoded(answer[1][0]) - true).max() <= 1.1 / 32768
    sound.close()
    with pytest.raises(AudioNotFoundError, match="closed"):
        sound.encode(0.0, 1.0)


# Where the recording is


def test_a_table_of_unknown_origin_asks_for_its_recording() -> None:
    turns = pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": ["A"]})
    with pytest.raises(AudioNotFoundError, match="audio="):
        Sound.of(turns)
    sound = Sound.of(turns, EXAMPLE)
    assert sound.duration > 60
    sound.close()


def test_the_recording_of_a_run_is_found_and_must_be_the_same(tmp_path: Path, samples: Samples) -> None:
    path = tmp_path / "talk.flac"
    soundfile.write(path, samples[: 8 * SAMPLE_RATE], SAMPLE_RATE)
    turns = diarnb.diarize(path, progress=False)
    Sound.of(turns).close()
    shutil.copy(diarnb.example("call"), path)
    with pytest.raises(AudioChangedError):
        Sound.of(turns)
    path.unlink()
    with pytest.raises(AudioNotFoundError, match="audio="):
        Sound.of(turns)


# Peaks


def test_peaks_are_the_extremes_of_every_bin(samples: Samples, sound: Sound) -> None:
    peaks = sound.peaks
    peaks.wait()
    low, high = peaks.tile(0, 1)[100] / 127.0
    part = samples[(TILE + 100) * STEP : (TILE + 101) * STEP]
    assert np.sign(low) * low**2 == pytest.approx(part.min(), abs=0.01)
    assert np.sign(high) * high**2 == pytest.approx(part.max(), abs=0.01)


def test_a_coarser_bin_covers_four_finer_ones(sound: Sound) -> None:
    sound.peaks.wait()
    finer, coarser = sound.peaks.tile(0, 0), sound.peaks.tile(1, 0)
    assert np.array_equal(coarser[: TILE // FACTOR, 0], finer[:, 0].reshape(-1, FACTOR).min(axis=1))
    assert np.array_equal(coarser[: TILE // FACTOR, 1], finer[:, 1].reshape(-1, FACTOR).max(axis=1))


@pytest.mark.parametrize(("seconds", "levels"), [(0.001, 1), (20.48, 1), (20.5, 2), (81.92, 2), (82.0, 3)])
def test_the_coarsest_level_fits_into_one_tile(seconds: float, levels: int) -> None:
    with open_recording((np.zeros(max(1, round(seconds * 1000)), np.float32), 1000)) as recording:
        peaks = Peaks(recording)
        assert peaks.levels == levels
        peaks.wait()
        assert 1 <= len(peaks.tile(levels - 1, 0)) <= TILE
        assert len(peaks.tile(levels - 1, 1)) == 0


def test_nothing_is_read_before_a_page_asks_and_nothing_after_close() -> None:
    before = threading.active_count()
    sound = Sound(EXAMPLE)
    assert threading.active_count() == before
    sound.peaks.tile(0, 0)
    sound.close()
    assert threading.active_count() == before


def test_peaks_of_a_recording_that_changes_say_so(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    shutil.copy(EXAMPLE, path)
    sound = Sound(path)
    shutil.copy(diarnb.example("meeting"), path)
    sound.peaks.wait()
    assert "changed" in sound.peaks.error
    sound.close()


# Clip buttons


def test_a_clip_travels_when_it_is_asked_for(sound: Sound, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear(ClipButton(sound, 3.5, 6.0), monkeypatch)
    answer = ear.ask(ask="clip", format="FLAC")
    assert answer is not None
    assert np.array_equal(decoded(answer[1][0]), samples[int(3.5 * SAMPLE_RATE) : 6 * SAMPLE_RATE])


def test_no_page_chooses_what_a_button_plays(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    button = ClipButton(sound, 3.5, 6.0)
    button.set_state({"label": "mine", "start": 0, "end": 1000, "stretch": [0, 1000]})
    answer = Ear(button, monkeypatch).ask(ask="clip", format="FLAC", start=0, end=1000)
    assert answer is not None
    assert len(decoded(answer[1][0])) == 2.5 * SAMPLE_RATE


def test_a_button_can_become_that_of_another_stretch(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    button = ClipButton(sound, 3.5, 6.0, "Beth")
    ear = Ear(button, monkeypatch)
    button.change(10.0, 11.0)
    assert ear.heard == [({"do": "forget"}, None)]
    assert (button.label, button.stretch) == ("0:10.0 – 0:11.0", (10.0, 11.0))


def test_a_clip_has_an_end(sound: Sound) -> None:
    assert ClipButton(sound, 1.0, 5000.0).stretch == (1.0, 1.0 + LONGEST_CLIP)


@pytest.mark.parametrize("times", [(2.0, 2.0), (-1.0, 2.0), (3.0, 2.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_times_that_are_no_stretch_are_refused(sound: Sound, times: tuple[float, float]) -> None:
    with pytest.raises(InvalidParameterError):
        ClipButton(sound, *times)


def test_a_clip_beyond_the_end_is_empty(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Ear(ClipButton(sound, sound.duration + 5, sound.duration + 6), monkeypatch).ask(ask="clip", format="WAV")
    assert answer == ({"id": 7}, [b""])


def test_the_state_of_a_button_holds_its_label_and_no_more(sound: Sound) -> None:
    button = ClipButton(sound, 3.5, 6.0, "Be\u202eth")
    state = {
        name: value for name, value in button.get_state().items() if not name.startswith("_") and value is not None
    }
    assert state == {"label": "Be\\u202eth", "layout": state["layout"]}


def test_an_error_of_ours_goes_to_the_page_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "talk.flac"
    shutil.copy(EXAMPLE, path)
    sound = Sound(path)
    ear = Ear(ClipButton(sound, 3.5, 6.0), monkeypatch)
    path.unlink()
    answer = ear.ask(ask="clip", format="FLAC")
    sound.close()
    assert answer is not None
    assert "talk.flac" in answer[0]["error"]
    assert str(tmp_path) not in answer[0]["error"]


WRONG: list[Any] = [
    *(None, 5, "clip", [], {}, {"id": 1}, {"ask": "clip"}, {"id": True, "ask": "clip", "format": "FLAC"}),
    *({"id": -1, "ask": "clip", "format": "FLAC"}, {"id": 2**60, "ask": "clip", "format": "FLAC"}),
    *({"id": 1.5, "ask": "clip", "format": "FLAC"}, {"id": "1", "ask": "clip", "format": "FLAC"}),
    *({"id": 1, "ask": ["clip"]}, {"id": 1, "ask": "_clip"}, {"id": 1, "ask": "close"}, {"id": 1, "ask": "x" * 10**6}),
    *({"id": 1, "ask": "clip"}, {"id": 1, "ask": "clip", "format": "MP3"}, {"id": 1, "ask": "clip", "format": {}}),
    *({"id": 1, "ask": "clip", "format": "../../x"}, {"id": 1, "ask": "\ud800"}, {"id": float("nan"), "ask": "clip"}),
]


@pytest.mark.parametrize("message", WRONG, ids=range(len(WRONG)))
def test_a_wrong_message_is_ignored_with_one_line(
    sound: Sound, message: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    button = ClipButton(sound, 3.5, 6.0)
    ear = Ear(button, monkeypatch)
    with caplog.at_level(logging.WARNING, "diarnb"):
        button._handle_custom_msg(message, [])
    assert ear.heard == []
    [record] = caplog.records
    assert len(record.getMessage()) < 250
    assert "\n" not in record.getMessage()
