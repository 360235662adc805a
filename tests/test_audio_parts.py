"""Files that are made of parts, are cut off, or are called by another name than they have: nothing of them vanishes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from corpus import RATE, encoded, speechlike
from scipy.signal import correlate

from diarnb.audio import open_recording
from diarnb.errors import NotAudioError

if TYPE_CHECKING:
    from pathlib import Path


def decode(source: object, **span: float) -> tuple[np.ndarray, list[str], float]:
    with open_recording(source) as recording:
        samples = np.concatenate(list(recording.blocks(**span)))  # type: ignore[arg-type]
        return samples, recording.problems, recording.duration


def mux(container: str, codec: str, seconds: float, rate: int, layout: str = "mono", **options: str) -> bytes:
    """Encode as FFmpeg does, with its tags."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        sound = np.tile(speechlike(rate, seconds), (1 + (layout == "stereo"), 1))
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioFifo()
        for part in av.AudioResampler(stream.format.name, layout, rate).resample(frame):
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size) or fifo.read(size, partial=True):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return file.getvalue()


def alike(a: np.ndarray, b: np.ndarray) -> float:
    n = min(len(a), len(b))
    return float(np.corrcoef(a[:n], b[:n])[0, 1])


def best_match(samples: np.ndarray, sound: np.ndarray) -> float:
    """How alike they are where they fit best: codecs begin with some silence of their own."""
    shifts = correlate(samples[: 3 * RATE], sound[: 3 * RATE])[3 * RATE - 1 :]
    return alike(samples[int(shifts.argmax()) :], sound)


ONE, OTHER = speechlike(seconds=6), speechlike(seconds=4, seed=2)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
)
def test_both_parts_of_a_file_are_heard_in_order(kind: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "two"
    path.write_bytes(encoded(ONE, RATE, kind, subtype) + encoded(OTHER, RATE, kind, subtype))
    samples, problems, duration = decode(path)
    assert duration == pytest.approx(10.0, abs=0.15)
    assert len(samples) == pytest.approx(10 * RATE, abs=0.15 * RATE)
    assert problems == []
    assert alike(samples, ONE) > 0.95
    assert best_match(samples[6 * RATE :], OTHER) > 0.9
    tail, _, _ = decode(path, start=7.0, end=9.0)
    assert alike(tail, samples[7 * RATE : 9 * RATE]) > 0.99


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "WAV"])
def test_parts_of_another_rate_and_number_of_channels_are_brought_to_those_of_the_first(kind: str) -> None:
    wide = speechlike(44_100, seconds=4, seed=2)
    three = encoded(ONE, RATE, kind) + encoded(np.stack([wide, wide], axis=1), 44_100, kind) + encoded(ONE, RATE, kind)
    samples, problems, duration = decode(three)
    assert duration == pytest.approx(16.0, abs=0.01)
    assert alike(samples[6 * RATE :], OTHER) > 0.95
    assert alike(samples[10 * RATE :], ONE) > 0.95
    assert len(problems) == 1
    assert "3 parts with different sample rates or channels" in problems[0]


def test_parts_of_mp3_with_the_tags_of_ffmpeg_are_all_heard() -> None:
    mono, stereo = mux("mp3", "libmp3lame", 6, RATE), mux("mp3", "libmp3lame", 4, 44_100, "stereo")
    untagged = mux("mp3", "libmp3lame", 4, 44_100, "stereo", write_xing="0")
    for parts, seconds in (([mono, mono], 12), ([mono, stereo], 10), ([stereo, untagged], 8), ([untagged, stereo], 8)):
        samples, _, duration = decode(b"".join(parts))
        assert duration == pytest.approx(seconds, abs=0.15)
        assert len(samples) == pytest.approx(seconds * RATE, abs=0.15 * RATE)


@pytest.mark.parametrize("second", [(RATE, "stereo"), (22_050, "mono"), (44_100, "stereo"), (RATE, "mono")])
@pytest.mark.parametrize("first", [(RATE, "mono"), (44_100, "mono")])
def test_parts_of_mp3_without_tags_are_all_heard_whatever_their_rates(
    first: tuple[int, str], second: tuple[int, str]
) -> None:
    bare = {"write_xing": "0", "id3v2_version": "0"}
    parts = [
        mux("mp3", "libmp3lame", seconds, *kind, **bare) for seconds, kind in ((6, first), (4, second), (3, first))
    ]
    samples, problems, duration = decode(b"".join(parts))
    assert duration == pytest.approx(13, abs=0.3)
    assert len(samples) == pytest.approx(13 * RATE, abs=0.3 * RATE)
    assert [problem for problem in problems if "damaged" in problem] == []


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("ipod", "aac"), ("mov", "aac"), ("webm", "libopus"), ("matroska", "aac")]
)
def test_parts_of_a_container_are_all_heard(container: str, codec: str) -> None:
    one, other = (mux(container, codec, seconds, 48_000) for seconds in (6, 4))
    samples, problems, duration = decode(one + other)
    assert duration == pytest.approx(10.0, abs=0.2)
    assert len(samples) == pytest.approx(10 * RATE, abs=0.2 * RATE)
    assert problems == []
    assert best_match(samples[int(5.9 * RATE) :], OTHER) < best_match(samples[int(5.9 * RATE) :], ONE[: 4 * RATE])


def test_a_part_of_a_container_that_cannot_be_opened_is_told() -> None:
    one = mux("mp4", "aac", 6, 48_000)
    samples, problems, _ = decode(one + one[: len(one) // 2])
    assert len(samples) == pytest.approx(6 * RATE, abs=0.2 * RATE)
    assert problems == ["bytes consists of 2 concatenated files, 1 of which cannot be opened and are left out."]


def test_a_picture_in_a_tag_is_no_part() -> None:
    tag = b"APIC" + os.urandom(200_000).replace(b"\xff", b"\xfe")
    size = len(tag)
    head = b"ID3\4\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    samples, problems, _ = decode(head + tag + mux("mp3", "libmp3lame", 3, RATE))
    assert len(samples) == pytest.approx(3 * RATE, abs=0.1 * RATE)
    assert problems == []


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_stops_without_its_end_is_told(subtype: str) -> None:
    content = encoded(ONE, RATE, "OGG", subtype)
    assert decode(content)[1] == []
    samples, problems, _ = decode(content[: 2 * len(content) // 3])
    assert len(problems) == 1
    assert "seems to be cut off: it ends without an end marker" in problems[0]
    assert f"{len(samples) / RATE:.1f} s" in problems[0]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("ogg", "flac"), ("ac3", "ac3"), ("eac3", "eac3"), ("mpegts", "mp2"), ("flv", "aac"), ("mpeg", "mp2")],
)
def test_what_only_pyav_decodes_is_given_to_it(container: str, codec: str) -> None:
    samples, problems, _ = decode(mux(container, codec, 3, 48_000, "stereo"))
    assert len(samples) == pytest.approx(3 * RATE, abs=0.1 * RATE)
    assert problems == []
    assert best_match(samples, speechlike()) > 0.9


@pytest.mark.parametrize("head", [b"", b"\xff\xfb\x90\x64", b"\xff\xf3\x40\xc4"])
def test_samples_without_a_header_are_refused_with_the_way_to_pass_them(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(head + (ONE * 20_000).astype("<i2").tobytes())
    with pytest.raises(NotAudioError, match=r"^x\.raw is not audio.*\(samples, rate\)"):
        decode(path)


def test_a_recording_that_is_called_raw_is_read_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(encoded(ONE))
    assert len(decode(tmp_path / "x.raw")[0]) == 6 * RATE


@pytest.mark.skipif(os.name != "posix", reason="watches the file descriptor of another process")
def test_a_damaged_mp3_prints_nothing_of_the_decoder(tmp_path: Path) -> None:
    content = bytearray(encoded(speechlike(seconds=20), kind="MP3"))
    for at in range(6_000, len(content) - 400, 3_000):
        content[at : at + 200] = os.urandom(200)
    (tmp_path / "damaged.mp3").write_bytes(content)
    code = (
        "import sys; from diarnb.audio import open_recording\nwith open_recording(sys.argv[1]) as r: list(r.blocks())\n"
    )
    code += "import os; os.write(2, b'mine')"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "damaged.mp3")], capture_output=True, check=True)
    assert done.stderr == b"mine"
