"""The audio of a stream, decoded and cut into windows."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from diarnb.errors import AudioError
from diarnb.server.deepgram.live_decoder import StreamDecoder
from diarnb.server.deepgram.live_windows import WindowedTranscriber


@pytest.mark.parametrize(
    ("encoding", "kind", "subtype"),
    [
        ("linear16", "RAW", "PCM_16"),
        ("linear32", "RAW", "FLOAT"),
        ("mulaw", "RAW", "ULAW"),
        ("alaw", "RAW", "ALAW"),
        (None, "WAV", "PCM_16"),
        (None, "WAV", "FLOAT"),
        (None, "WAV", "ULAW"),
        (None, "WAVEX", "PCM_16"),
    ],
)
def test_sound_is_decoded_as_libsndfile_does(encoding: str | None, kind: str, subtype: str) -> None:
    rng = np.random.default_rng(1)
    written = np.clip(rng.normal(0, 0.3, (5000, 2)), -1, 1)
    file = io.BytesIO()
    how: dict[str, Any] = {"format": kind, "subtype": subtype}
    soundfile.write(file, written, 8000, **how)
    raw = {} if encoding is None else {**how, "samplerate": 8000, "channels": 2}
    expected, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32", always_2d=True, **raw)
    sound, content, at = StreamDecoder(encoding, 8000 if encoding else None, 2), file.getvalue(), 0
    decoded = []
    while at < len(content):
        size = int(rng.integers(1, 999))
        decoded.append(sound.feed(content[at : at + size]))
        at += size
    assert (sound.rate, sound.channels) == (8000, 2)
    found = np.concatenate([block for block in decoded if len(block)])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "content", [b"OggS" + bytes(100), b"RIFF\0\0\0\0AVI " + bytes(100), b"RIFF\0\0\0\0WAVEdata\0\0\0\0"]
)
def test_what_is_no_wav_is_refused(content: bytes) -> None:
    with pytest.raises(AudioError):
        StreamDecoder(None, None, 1).feed(content)


# The windows.


def test_who_speaks_without_a_pause_is_told_between_two_words() -> None:
    heard = []

    def hear(samples: Any, speech: list[tuple[float, float]]) -> list[dict[str, Any]]:
        heard.append(len(samples) / 16000)
        return [
            {"word": "so", "text": "so", "confidence": 1.0, "start": start, "end": start + 0.4}
            for start in np.arange(0.25, len(samples) / 16000 - 0.5, 0.5).tolist()
        ]

    ear = WindowedTranscriber(16000, hear, 0.01, diarized=True)
    windows = []
    for step in range(1, 21):
        ear.feed(np.zeros(16000, np.float32))
        ear.decide([{"turn_id": 0, "start": 0.0, "end": float(step), "speaker": "S", "final": False}], float(step))
        while (window := ear.close_next()) is not None:
            windows.append(window)
    assert len(windows) >= 3
    assert max(heard) < 9
    for window in windows:
        assert not window.paused
        assert all(window.start <= word["start"] and word["end"] <= window.end for word in window.words)
        assert window.words
        assert 5 < window.end - window.start < 8
