"""The same sound, however it comes, is the same 16 kHz mono samples at the same times."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus import RATE, contained, encoded, speechlike
from hypothesis import given
from hypothesis import strategies as st

from diarnb.audio import SAMPLE_RATE, open_recording


def decoded(source: object, channel: str | int = "mix", **span: float) -> np.ndarray:
    with open_recording(source) as recording:
        blocks = list(recording.blocks(channel, **span))  # type: ignore[arg-type]
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    assert all(len(block) == 10 * SAMPLE_RATE for block in blocks[:-1])
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    n = min(len(a), len(b))
    return float(np.corrcoef(a[:n], b[:n])[0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 768_000])
def test_every_sample_rate_gives_the_same_samples(rate: int) -> None:
    samples = decoded(encoded(speechlike(rate), rate, "WAV", "FLOAT"))
    assert abs(len(samples) - 3 * SAMPLE_RATE) <= 1
    assert alike(samples, speechlike()) > 0.999
    assert np.abs(samples[500:-500] - speechlike()[500:-500]).max() < 0.01


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
        *(("WAV", s) for s in ("IMA_ADPCM", "MS_ADPCM")),
        *((k, "PCM_16") for k in ("WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC")),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_every_encoding_gives_the_same_samples(kind: str, subtype: str) -> None:
    with open_recording(encoded(speechlike(), RATE, kind, subtype)) as recording:
        samples = np.concatenate(list(recording.blocks()))
        assert recording.problems == []
        assert recording.duration == pytest.approx(3.0, abs=0.1)
    assert abs(len(samples) - 3 * RATE) <= 0.1 * RATE  # codecs with frames pad the last one
    exact = subtype.startswith(("PCM", "FLOAT", "DOUBLE"))
    assert alike(samples, speechlike()) > (0.999 if exact else 0.96)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("ipod", "aac"), ("mp4", "aac"), ("mov", "alac"), ("webm", "libopus"), ("matroska", "aac"), ("adts", "aac")],
)
def test_containers_give_the_same_samples(container: str, codec: str) -> None:
    with open_recording(contained(container, codec)) as recording:
        samples = np.concatenate(list(recording.blocks()))
        assert recording.problems == []
        assert (recording.sample_rate, recording.channels) == (48_000, 2)
        assert recording.duration == pytest.approx(3.0, abs=0.1)
    delay = 1024 // 3 if container in ("adts", "ipod", "mp4") else 0  # no edit list tells of the encoder's start
    assert alike(samples[delay:], speechlike()) > 0.95


def test_what_a_browser_records_is_read_though_it_announces_no_duration() -> None:
    with open_recording(contained("webm", "libopus", seekable=False)) as recording:
        samples = np.concatenate(list(recording.blocks()))
        assert recording.duration == pytest.approx(3.0, abs=0.1)
        assert recording.problems == []
    assert alike(samples, speechlike()) > 0.97


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 32])
def test_channels_are_averaged_or_picked(channels: int) -> None:
    sound = np.stack([speechlike(seed=k) for k in range(channels)], axis=1)
    content = encoded(sound, subtype="FLOAT")
    assert np.allclose(decoded(content), sound.mean(axis=1), atol=1e-6)
    assert np.array_equal(decoded(content, channels - 1), sound[:, -1])


def test_one_silent_side_is_a_mix_like_any_other() -> None:
    sound = np.stack([speechlike(), 0 * speechlike()], axis=1)
    with open_recording((sound, RATE)) as recording:
        assert np.allclose(np.concatenate(list(recording.blocks())), sound[:, 0] / 2, atol=1e-6)
        assert recording.problems == []


def test_opposite_phase_uses_the_louder_channel_even_after_a_long_silence() -> None:
    sound = np.stack([-0.5 * speechlike(), 0.52 * speechlike()], axis=1)
    sound = np.concatenate([np.zeros((40 * RATE, 2), np.float32), sound])
    with open_recording((sound, RATE)) as recording:
        assert np.allclose(np.concatenate(list(recording.blocks())), sound[:, 1])
        assert "channel 1 alone" in recording.problems[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_stretch_is_the_same_as_in_the_whole(kind: str, rate: int) -> None:
    content = encoded(speechlike(rate, seconds=24), rate, kind)
    whole = decoded(content)
    for start, end in ((0.0, 1.0), (0.33333, 0.5), (3.00003, 4.5), (12.3456, 23.4567), (23.9, None)):
        part = decoded(content, start=start, end=end)
        expected = whole[round(start * RATE) : None if end is None else round(end * RATE)]
        assert len(part) == len(expected)
        assert np.abs(part - expected).max() < 1e-3
    assert len(decoded(content, start=30.0)) == 0


def test_a_stretch_of_a_container_is_the_same_as_in_the_whole() -> None:
    content = contained("ipod", "aac")
    assert np.allclose(decoded(content, start=1.25, end=2.5), decoded(content)[20_000:40_000], atol=1e-4)


@pytest.mark.slow
@given(st.integers(1_000, 60_000), st.floats(0, 1.9), st.floats(0.001, 1))
def test_any_stretch_at_any_rate_has_the_samples_of_the_whole(rate: int, start: float, length: float) -> None:
    sound = (speechlike(rate, 2.0), rate)
    part, whole = decoded(sound, start=start, end=start + length), decoded(sound)
    expected = whole[round(start * RATE) : round((start + length) * RATE)]
    assert len(part) == len(expected)
    assert np.allclose(part, expected, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 1600, 16_000, 159_999, 160_000, 160_001])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_lengths_around_the_edges_lose_no_sample(samples: int, rate: int) -> None:
    assert abs(len(decoded((np.ones(samples, np.float32), rate))) - samples * RATE / rate) <= 1


def test_decoding_again_gives_the_same() -> None:
    with open_recording(encoded(speechlike(44_100), 44_100, "OGG")) as recording:
        first, second = (np.concatenate(list(recording.blocks())) for _ in range(2))
    assert np.array_equal(first, second)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    for name, kind in (("flac.wav", "FLAC"), ("wav.mp3", "WAV"), ("ogg.flac", "OGG"), ("mp3", "MP3")):
        (tmp_path / name).write_bytes(encoded(speechlike(), kind=kind))
        assert alike(decoded(tmp_path / name), speechlike()) > 0.96


NAMES = ["two words.wav"]
NAMES += ["ümläut.wav", "u\u0308.wav", "🎙.wav", "-rf.wav", "new\nline.wav", "\"'.wav", "$HOME.wav", "dot."]


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not have")
@pytest.mark.parametrize("name", [*NAMES, "x" * 251 + ".wav", "concat:a.wav", os.fsdecode(b"\xff.wav")], ids=ascii)
def test_any_file_name_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(encoded(speechlike()))
    assert len(decoded(name)) == 3 * RATE
    with open_recording(name) as recording:
        assert recording.path == tmp_path / name
        assert recording.name.isprintable()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "talk.wav").write_bytes(encoded(speechlike()))
    with open_recording("~/talk.wav") as recording:
        assert (recording.name, recording.path) == ("talk.wav", tmp_path / "talk.wav")


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    content = encoded(speechlike())
    path = tmp_path / "talk.wav"
    path.write_bytes(content)
    expected = decoded(path)
    with path.open("rb") as file, os.fdopen(os.dup(file.fileno()), "rb") as twin:
        sources = [str(path), content, bytearray(content), memoryview(content), io.BytesIO(content), file, twin]
        for source in [*sources, soundfile.read(path)]:
            assert np.array_equal(decoded(source), expected)
            with open_recording(source) as recording:
                assert recording.name in ("talk.wav", "bytes", "samples")


def test_an_open_file_is_read_from_its_start_and_keeps_its_position() -> None:
    file = io.BytesIO(encoded(speechlike()))
    file.seek(1234)
    assert len(decoded(file)) == 3 * RATE
    assert file.tell() == 1234


def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as sink:
        sink.write(encoded(speechlike(seconds=1)))
        sink.close()
        assert len(decoded(source)) == RATE


SOUND = np.round(speechlike() * 100) / 128  # exact in eight bits


@pytest.mark.parametrize(
    "samples",
    [
        *(SOUND.astype(t) for t in ("float16", "float32", "float64", ">f4", ">f8")),
        *((SOUND * 2.0 ** (8 * np.dtype(t).itemsize - 1)).astype(t) for t in ("int8", "int16", ">i2", "int32", ">i4")),
        (SOUND * 128 + 128).astype(np.uint8),
        (SOUND * 2**15).astype(np.int64),
        (SOUND * 2**15).astype(int).tolist(),
        SOUND.tolist(),
        np.repeat(SOUND, 2)[::2],
        np.stack([SOUND, SOUND], axis=1),
        np.stack([SOUND, SOUND], axis=0),
        np.asfortranarray(np.stack([SOUND, SOUND], axis=1)),
    ],
    ids=lambda s: f"{getattr(s, 'dtype', 'list')}-{getattr(s, 'shape', '')}",
)
def test_arrays_of_any_type_and_layout_give_the_same_and_stay_as_they_are(samples: object) -> None:
    before = np.array(samples)
    if isinstance(samples, np.ndarray):
        samples.flags.writeable = False
    assert np.array_equal(decoded((samples, RATE)), SOUND.astype(np.float32))
    assert np.array_equal(np.array(samples), before)


@pytest.mark.parametrize("factor", [2.0, 32768.0, 1e5])
def test_floats_beyond_full_scale_are_the_same_sound(factor: float) -> None:
    loud = decoded(encoded(speechlike(44_100) * np.float32(factor), 44_100, "WAV", "FLOAT"))
    assert np.abs(loud).max() <= 1.1
    assert alike(loud, speechlike()) > 0.999


def test_a_power_of_two_louder_is_bit_for_bit_the_same() -> None:
    peak_one = speechlike() / np.abs(speechlike()).max()
    assert np.array_equal(decoded((peak_one * 1024, RATE)), decoded((peak_one, RATE)))


def test_one_glitch_does_not_silence_a_recording() -> None:
    sound = speechlike()
    sound[5000] = 1e30
    samples = decoded((sound, RATE))
    assert np.abs(samples).max() == 1.0
    assert np.array_equal(samples[6000:], sound[6000:])


def test_silence_is_a_recording_too() -> None:
    with open_recording((np.zeros((RATE, 2)), RATE)) as recording:
        assert not np.concatenate(list(recording.blocks())).any()
        assert recording.problems == []


def test_the_hash_is_of_the_bytes_and_of_the_samples_as_float32(tmp_path: Path) -> None:
    content = encoded(speechlike())
    for name in ("one.wav", "two.wav"):
        (tmp_path / name).write_bytes(content)
    for source in (content, tmp_path / "one.wav", tmp_path / "two.wav", io.BytesIO(content)):
        with open_recording(source) as recording:
            assert recording.content_hash == hashlib.sha256(content).hexdigest()
    hashes = []
    sound = np.stack([SOUND, -SOUND], axis=1)
    for samples, rate in ((sound, RATE), (sound.astype(">f8").T, RATE), (sound, 8000), (sound[:, ::-1], RATE)):
        with open_recording((samples, rate)) as recording:
            hashes.append(recording.content_hash)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc: getrusage counts the parent's too")
def test_twenty_minutes_are_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16_000, 2, "FLOAT") as file:
        minute = np.tile(np.stack([speechlike(), speechlike()], axis=1), (20, 1))
        for _ in range(20):
            file.write(minute)
    code = """
        import sys
        from diarnb.audio import open_recording
        peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
        with open_recording(sys.argv[2]) as recording:
            list(recording.blocks())
        before = peak()
        with open_recording(sys.argv[1]) as recording:
            recording.content_hash
            print(sum(len(block) for block in recording.blocks()))
        print((peak() - before) // 1024)
    """
    short = tmp_path / "short.wav"
    short.write_bytes(encoded(speechlike(seconds=1)))
    command = [sys.executable, "-c", textwrap.dedent(code), str(path), str(short)]
    read, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(read) == 20 * 60 * SAMPLE_RATE
    assert int(grown) <= 60
