"""Bad audio, generated: each case is what is in a file, and what must become of it."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
import soundfile

from diarnb import errors

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 16_000


def speechlike(rate: int = RATE, seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Band-limited bursts below 3.4 kHz that are the same sound at any rate."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tones = zip(rng.uniform(150, 3400, 40), rng.uniform(0, 2 * np.pi, 40), strict=True)
    carrier = sum(np.sin(2 * np.pi * f * t + phase) for f, phase in tones)
    return (0.03 * carrier * (0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * t))).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def contained(container: str, codec: str, *, tracks: int = 1, video: bool = False, seekable: bool = True) -> bytes:
    """3 s of stereo at 48 kHz in a container of PyAV, and a black picture if wanted."""
    file = io.BytesIO()
    file.seekable = lambda: seekable  # type: ignore[method-assign]
    with av.open(file, "w", format=container) as out:
        sounds = [out.add_stream(codec, rate=48_000, layout="stereo") for _ in range(tracks)]
        if video:
            picture = out.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
            for _ in range(5):
                out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
            out.mux(picture.encode(None))
        for sound in sounds:
            frame = av.AudioFrame.from_ndarray(np.tile(speechlike(48_000), (2, 1)), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, 0
            fifo = av.AudioFifo()
            for part in av.AudioResampler(sound.format.name, "stereo", 48_000).resample(frame):
                fifo.write(part)
            size = sound.codec_context.frame_size or 1024
            while part := fifo.read(size) or fifo.read(size, partial=True):
                out.mux(sound.encode(part))
            out.mux(sound.encode(None))
    return file.getvalue()


def with_field(content: bytes, tag: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a header field that lies `offset` bytes behind `tag`."""
    at = content.index(tag) + offset
    return content[:at] + value + content[at + len(value) :]


def with_total(flac: bytes, frames: int) -> bytes:
    """Let a FLAC announce another number of frames; it is 36 bits wide, the upper four share a byte."""
    return flac[:21] + bytes([flac[21] & 0xF0 | frames >> 32]) + struct.pack(">I", frames & 0xFFFFFFFF) + flac[26:]


def damaged(content: bytes, share: float, at: float = 0.5) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, round(len(content) * share), dtype=np.uint8).tobytes()
    begin = round(len(content) * at)
    return content[:begin] + noise + content[begin + len(noise) :]


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _protected(entry: bytes, *more: bytes) -> bytes:
    stsd = box(b"stsd", bytes(4), struct.pack(">I", 1), box(entry, bytes(28)))
    path = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", stsd))))
    return box(b"ftyp", b"M4A ", bytes(4)) + box(b"moov", path, *more) + box(b"mdat", bytes(500))


@dataclass(frozen=True)
class Case:
    """A file's name and content, and the class and a piece of the sentence of what it must end in."""

    name: str
    content: Callable[[], bytes]
    error: type[errors.AudioError] | None
    says: str

    def __str__(self) -> str:
        return self.name


def _wav() -> bytes:
    return encoded(speechlike())


def _flac(seconds: float = 3.0) -> bytes:
    return encoded(speechlike(seconds=seconds), kind="FLAC")


def _with_invalid(count: int) -> bytes:
    samples = speechlike().copy()
    samples[1000 : 1000 + count] = np.nan
    samples[1000] = np.inf
    return encoded(samples, subtype="FLOAT")


_PAGE = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>gone</body></html>"
_NOT = errors.NotAudioError
_BAD = errors.CorruptAudioError
_NIL = errors.EmptyAudioError
_MUCH = errors.AudioLimitError
_DRM = errors.ProtectedAudioError

REFUSED = [
    Case("zero-bytes.wav", lambda: b"", _NIL, "0 bytes"),
    Case("riff-12-bytes.wav", lambda: _wav()[:12], _BAD, "header is cut off"),
    Case("riff-4-bytes.wav", lambda: _wav()[:4], _BAD, "header is cut off"),
    Case("riff-20-bytes.wav", lambda: _wav()[:20], _BAD, "header is cut off"),
    Case("riff-40-bytes.wav", lambda: _wav()[:40], _BAD, "header is cut off"),
    Case("header-only.wav", lambda: encoded(np.zeros(0, np.float32)), _NIL, "no samples"),
    Case("header-that-promises.wav", lambda: _wav()[:44], _NIL, "no samples"),
    Case("empty-data-then-list.wav", lambda: _wav()[:40] + bytes(4) + b"LIST\4\0\0\0INFO", _NIL, "no samples"),
    Case("header-only.aiff", lambda: encoded(np.zeros(0, np.float32), kind="AIFF"), _NIL, "no samples"),
    Case("flac-20-bytes.flac", lambda: encoded(speechlike(), kind="FLAC")[:20], _BAD, "begins like FLAC"),
    Case("ogg-20-bytes.ogg", lambda: encoded(speechlike(), kind="OGG")[:50], _BAD, "begins like OGG"),
    Case("page.wav", lambda: _PAGE, _NOT, "HTML page: '404 Not Found'"),
    Case("page-without-title.wav", lambda: b"\n\n<html><p>hello</p></html>", _NOT, "an HTML page"),
    Case("text.wav", lambda: b"These are my notes.\nSecond line.", _NOT, "text: 'These are"),
    Case("json.mp3", lambda: b'{"error": "no such file"}', _NOT, "JSON"),
    Case("error.xml.wav", lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', _NOT, "XML"),
    Case("random.wav", lambda: damaged(b"\x01\x02" * 3000, 0.999, 0.001), _NOT, "unknown binary data"),
    Case("zeros.wav", lambda: bytes(8000), _NOT, "zero bytes"),
    Case("picture.wav", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), _NOT, "PNG"),
    Case("document.wav", lambda: b"%PDF-1.7\n" + bytes(100), _NOT, "PDF"),
    Case("archive.wav", lambda: b"PK\x03\x04" + bytes(100), _NOT, "zip"),
    Case("packed.wav", lambda: b"\x1f\x8b\x08" + bytes(100), _NOT, "gzip"),
    Case("pointer.wav", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", _NOT, "git lfs pull"),
    Case("samples.npy", lambda: b"\x93NUMPY\x01\0" + bytes(100), _NOT, "numpy.load"),
    Case("song.mid", lambda: b"MThd\0\0\0\6\0\1\0\1", _NOT, "MIDI"),
    Case("no-channels.wav", lambda: with_field(_wav(), b"fmt ", 10, b"\0\0"), _BAD, "0 channels"),
    Case("channels-2000.wav", lambda: with_field(_wav(), b"fmt ", 10, b"\xd0\x07"), _BAD, "2000 channels"),
    Case("channels-100.wav", lambda: encoded(np.zeros((50, 100), np.float32)), _MUCH, "100 channels"),
    Case("no-rate.wav", lambda: with_field(_wav(), b"fmt ", 12, bytes(4)), _BAD, "0 Hz"),
    Case("rate-absurd.wav", lambda: with_field(_wav(), b"fmt ", 12, b"\xff\xff\xff\x7f"), _MUCH, "2,147,483,647 Hz"),
    Case("rate-10.wav", lambda: with_field(_wav(), b"fmt ", 12, b"\x0a\0\0\0"), _MUCH, "10 Hz"),
    Case("id3-absurd.mp3", lambda: b"ID3\3\0\0\x7f\x7f\x7f\x7f" + bytes(9000), _BAD, "ID3 tag claims"),
    Case("id3-cut.mp3", lambda: b"ID3\3\0", _BAD, "ID3 tag"),
    Case("mostly-nan.wav", lambda: _with_invalid(1000), _BAD, "1,000 of 48,000 samples are NaN"),
    Case("bomb.flac", lambda: with_total(_flac(), 2**36 - 1), _MUCH, "1,193.0 h"),
    Case("mute.mp4", lambda: contained("mp4", "aac", tracks=0, video=True), errors.NoAudioStreamError, "no audio"),
    Case("cut-off.mp4", lambda: contained("mp4", "aac")[:20_000], _BAD, "index is missing"),
    Case("cut-off.webm", lambda: contained("webm", "libopus")[:30], _BAD, "begins like WebM"),
    Case("bought.m4p", lambda: _protected(b"drms"), _DRM, "DRM"),
    Case("encrypted.m4a", lambda: _protected(b"enca"), _DRM, "DRM"),
    Case("fragments.mp4", lambda: _protected(b"mp4a", box(b"pssh", bytes(24))), _DRM, "DRM"),
    Case("book.aax", lambda: box(b"ftyp", b"aax ", bytes(4)) + bytes(500), _DRM, "DRM"),
    Case("list-ffconcat.wav", lambda: b"ffconcat version 1.0\nfile other.wav\n", _NOT, "ffconcat"),
    Case("list-m3u8.m4a", lambda: b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n", _NOT, "m3u8"),
    Case("list-mpd.mp4", lambda: b'<?xml version="1.0"?><MPD></MPD>', _NOT, "DASH"),
    Case("list-pls.mp3", lambda: b"[playlist]\nFile1=http://127.0.0.1:1/a\n", _NOT, "playlist"),
    Case("session.sdp", lambda: b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\n", _NOT, "sdp"),
    Case("disc.cue", lambda: b'FILE "a.wav" WAVE\n  TRACK 01 AUDIO\n', _NOT, "cue sheet"),
]

MENDED = [
    Case("half.wav", lambda: _wav()[: len(_wav()) // 2], None, "header announces 3.0 s, the file holds 1.5 s"),
    Case("half.aiff", lambda: (w := encoded(speechlike(), kind="AIFF"))[: len(w) // 2], None, "the file holds 1.5 s"),
    Case("never-finished.wav", lambda: with_field(_wav(), b"data", 4, bytes(4)), None, "read to its end, 3.0 s"),
    Case("streamed.wav", lambda: with_field(_wav(), b"data", 4, b"\xff" * 4), None, "read to its end, 3.0 s"),
    Case("odd-byte.wav", lambda: with_field(_wav(), b"data", 4, struct.pack("<I", 96_001)), None, "cut off"),
    Case("damaged.flac", lambda: damaged(encoded(speechlike(seconds=20), kind="FLAC"), 0.01), None, "announces 20.0 s"),
    Case("very-damaged.flac", lambda: damaged(_flac(20), 0.2), None, "could be decoded"),
    Case("half.flac", lambda: (f := encoded(speechlike(), kind="FLAC"))[: len(f) // 2], None, "announces 3.0 s"),
    Case("damaged.mp3", lambda: damaged(encoded(speechlike(seconds=20), kind="MP3"), 0.1), None, "could be decoded"),
    Case("half.mp3", lambda: (f := encoded(speechlike(), kind="MP3"))[: len(f) // 2], None, "announces 3.0 s"),
    Case("damaged.ogg", lambda: damaged(encoded(speechlike(seconds=20), kind="OGG"), 0.2), None, "could be decoded"),
    Case("half.mp4", lambda: (f := contained("webm", "libopus"))[: len(f) // 2], None, "announces 3.0 s"),
    Case("two-nan.wav", lambda: _with_invalid(2), None, "2 of 48,000 samples"),
    Case("two-tracks.mkv", lambda: contained("matroska", "aac", tracks=2), None, "2 audio tracks"),
    Case(
        "opposite.wav",
        lambda: encoded(np.stack([speechlike(), -0.99 * speechlike()], axis=1)),
        None,
        "channel 0 alone is used",
    ),
]
