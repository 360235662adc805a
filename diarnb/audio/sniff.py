"""What content looks like, whatever its name says: which decoder may read it, or why none should."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from diarnb._text import printable
from diarnb.errors import CorruptAudioError, EmptyAudioError, NotAudioError, ProtectedAudioError

if TYPE_CHECKING:
    from collections.abc import Iterator


HEAD = 4096
"""Bytes that are looked at to tell one kind of content from another."""

_TO_THE_END = 0xFFFFFFFF  # what a WAV writer puts for "size unknown" when it cannot seek back

_MP4_BRANCHES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}

_MP4_STARTS = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof"}

_PROTECTED = {b"enca", b"drms", b"pssh"}

_PACKETS = ((0, 188), (4, 192))  # where the first packet of an MPEG transport stream begins, and their length

_BITRATES = {  # kbit/s, by whether it is MPEG 1, and the layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}

_OTHER = (
    (b"#EXTM3U", "an HLS playlist (m3u8)"),
    (b"ffconcat", "a playlist for ffmpeg (ffconcat)"),
    (b"[playlist]", "a playlist (pls)"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x1f\x8b", "gzip-compressed data; unpack it first"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\x93NUMPY", "a NumPy array; pass (numpy.load(...), sample_rate)"),
    (b"MThd", "MIDI notes, not sound"),
)


_UNKNOWN = "unknown binary data"
_ADVICE = {
    _UNKNOWN: " Samples without a header are passed as (samples, rate), such as (numpy.fromfile(path, 'int16'), 16000)."
}


class Look(NamedTuple):
    """What content is: the decoder's package and, for PyAV, the one container format it may use."""

    kind: str
    reader: str
    container: str = ""


class Header(NamedTuple):
    """What a chunked header (WAV, RF64, AIFF) says of its samples, and what the file really holds, in bytes."""

    announced: int
    held: int
    size_at: int


def look(head: bytes, name: str, size: int) -> Look:
    """Find out what content is from its first bytes.

    Parameters
    ----------
    head : bytes
        The first `HEAD` bytes, or fewer when the content is shorter.
    name : str
        What messages call the recording.
    size : int
        Bytes in the whole content.

    Returns
    -------
    Look

    Raises
    ------
    EmptyAudioError
        When there is nothing at all.
    NotAudioError
        When it is something else; the message says what it looks like.
    CorruptAudioError
        When it begins like audio and cannot go on.
    ProtectedAudioError
        When its brand is one of protected music or audio books.

    Examples
    --------
    >>> look(b"fLaC" + bytes(100), "talk.wav", 104).kind
    'FLAC'
    """
    if not head:
        raise EmptyAudioError(f"{name} is empty (0 bytes). Record or export it again.")
    if head[4:8] in _MP4_STARTS and not head.startswith(b"RIFF"):
        if head[8:12] in (b"aax ", b"aaxc", b"M4P "):
            raise ProtectedAudioError(_describe_protection(name))
        return Look("MP4", "av", "mov")
    if head.startswith(b"ID3"):
        return _behind_tag(head, name, size)
    found = _by_magic(head)
    if found is None:
        raise NotAudioError(f"{name} is not audio: it looks like {(what := _describe(head))}.{_ADVICE.get(what, '')}")
    return found


def _by_magic(head: bytes) -> Look | None:
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", b"RIFX", b"RF64") and form == b"AVI ":
        return Look("AVI", "av", "avi")
    if magic in (b"RIFF", b"RIFX", b"RF64") and form in (b"WAVE", b""):
        return Look("WAV", "soundfile")
    if magic == b"FORM" and form in (b"AIFF", b"AIFC", b""):
        return Look("AIFF", "soundfile")
    if magic == b"OggS":
        readable = any(codec in head for codec in (b"\x01vorbis", b"OpusHead"))
        return Look("OGG", "soundfile") if readable else Look("OGG", "av", "ogg")
    plain = {b"fLaC": "FLAC", b"caff": "CAF", b".snd": "AU", b"riff": "W64", b"NIST": "NIST"}
    if magic in plain:
        return Look(plain[magic], "soundfile")
    contained = {b"\x1a\x45\xdf\xa3": ("WebM/Matroska", "matroska"), b"\x30\x26\xb2\x75": ("WMA", "asf")}
    if magic in contained:
        kind, container = contained[magic]
        return Look(kind, "av", container)
    if head.startswith(b"#!AMR"):
        return Look("AMR", "av", "amr")
    if magic == b"FLV\x01":
        return Look("FLV", "av", "flv")
    if magic == b"\0\0\1\xba":
        return Look("MPEG", "av", "mpeg")
    if head.startswith(b"\x0bw") and len(head) > 5:
        return Look("AC-3", "av", "eac3" if head[5] >> 3 > 10 else "ac3")
    if any(all(head[at : at + 1] == b"G" for at in range(start, start + 3 * step, step)) for start, step in _PACKETS):
        return Look("MPEG-TS", "av", "mpegts")
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Look("AAC", "av", "aac")
    if _has_mp3_frames(head):
        return Look("MP3", "soundfile")
    return None


def _has_mp3_frames(head: bytes) -> bool:
    """Check whether frames follow each other: two bytes of PCM often look like the beginning of one."""
    length = measure_mp3_frame(head[:4])
    if not length:
        return False
    if length + 4 > len(head) and len(head) < HEAD:
        return True  # there is no room for another
    following = measure_mp3_frame(head[length : length + 4])
    return bool(following) and (head[1] ^ head[length + 1]) & 0xFE == 0


def measure_mp3_frame(head: bytes) -> int:
    """Return how many bytes a frame of MP3 (or MP1, MP2) has, by its first four; 0 where this is none.

    Examples
    --------
    >>> measure_mp3_frame(bytes.fromhex("fffb9064"))
    417
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer, bitrate, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return 0
    new = version == 3
    hertz = (44_100, 48_000, 32_000)[rate] // (1 if new else 2 if version == 2 else 4)
    kilobits = _BITRATES[(new, min(layer, 2) if not new else layer)][bitrate - 1]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kilobits // hertz + padding) * 4
    return (72_000 if layer == 3 and not new else 144_000) * kilobits // hertz + padding


def _behind_tag(head: bytes, name: str, size: int) -> Look:
    if len(head) < 10:
        raise CorruptAudioError(f"{name} is cut off after {size} bytes, inside its ID3 tag. Copy or export it again.")
    tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    if tag >= size:
        raise CorruptAudioError(
            f"{name} is damaged: its ID3 tag claims {tag:,} bytes, but the whole file has {size:,}. Export it again."
        )
    behind = _by_magic(head[tag:]) if tag < len(head) else None
    return behind or Look("MP3", "soundfile")


def _describe(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lowered = text[:2048].lower()
    if lowered.startswith((b"<!doctype html", b"<html")) or b"<html" in lowered:
        title = re.search(rb"<title[^>]*>\s*(.{1,80}?)\s*</title", text, re.IGNORECASE | re.DOTALL)
        shown = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        return f"an HTML page: {printable(shown)!r}" if shown else "an HTML page"
    for magic, what in _OTHER:
        if text.startswith(magic):
            return what
    if b"<mpd" in lowered:
        return "a DASH playlist (mpd)"
    if text.startswith(b"<"):
        return "an XML document"
    if text.startswith((b"{", b"[")):
        return "JSON"
    if re.match(rb"v=0\r?\no=", text):
        return "a session description (sdp)"
    if re.search(rb"(?m)^\s*FILE .+\r?\n\s*TRACK ", text):
        return "a cue sheet"
    if not head.strip(b"\0"):
        return "a row of zero bytes (a copy that never finished?)"
    try:
        shown = text[:40].decode("utf-8")
    except UnicodeDecodeError:
        return _UNKNOWN
    return f"text: {shown!r}" if shown.isprintable() or "\n" in shown else _UNKNOWN


def check_riff(file: BinaryIO, name: str, size: int) -> Header:
    """Walk the chunks of a WAV, RF64 or AIFF file to where its samples are.

    Parameters
    ----------
    file : binary file
        Open at its start.
    name : str
        What messages call the recording.
    size : int
        Bytes in the whole file.

    Returns
    -------
    Header
        ``announced`` differs from ``held`` when the file was cut off or never finished.

    Raises
    ------
    CorruptAudioError
        When the header is cut off, or announces no channels or no sample rate.
    EmptyAudioError
        When the header is whole and no samples follow.
    """
    head = file.read(12)
    order = "<" if head[:4] in (b"RIFF", b"RF64") else ">"
    long_size = 0
    at = 12
    while len(chunk := file.read(8)) == 8:
        kind, length = chunk[:4], struct.unpack(order + "I", chunk[4:])[0]
        if kind in (b"data", b"SSND"):
            if length == _TO_THE_END and long_size:
                length = long_size
            return _samples_chunk(file, name, size, length, at)
        body = file.read(min(length, 64))
        if kind == b"fmt " and len(body) >= 16:
            _check_format(name, *struct.unpack(order + "HI", body[2:8]))
        if kind == b"ds64" and len(body) >= 16:
            long_size = struct.unpack("<Q", body[8:16])[0]
        at += 8 + length + length % 2
        file.seek(at)
    raise CorruptAudioError(f"{name} is damaged: its header is cut off, no samples follow. Copy or export it again.")


def _check_format(name: str, channels: int, rate: int) -> None:
    if not 1 <= channels <= 1024 or not rate:
        raise CorruptAudioError(
            f"{name} is damaged: its header announces {channels} channels at {rate} Hz. Copy or export it again."
        )


def _samples_chunk(file: BinaryIO, name: str, size: int, announced: int, at: int) -> Header:
    start = at + 8
    held = size - start
    if announced == 0 and _only_chunks(file, start, size):
        held = 0
    if held == 0:
        raise EmptyAudioError(f"{name} has a header, but no samples (0.0 s). Record or export it again.")
    if announced in (0, _TO_THE_END):
        return Header(announced, held, at + 4)
    return Header(announced, min(announced, held), at + 4)


def _only_chunks(file: BinaryIO, at: int, size: int) -> bool:
    """Check whether what follows an empty ``data`` chunk is other chunks, not samples whose size was never written."""
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if not re.fullmatch(rb"[A-Za-z0-9 ]{4}", kind):
            return False
        at += 8 + length + length % 2
    return at == size


def check_protection(file: BinaryIO, name: str, size: int) -> None:
    """Refuse an MP4 whose sound is encrypted; nothing tries to break it.

    Parameters
    ----------
    file : binary file
        Open anywhere.
    name : str
        What messages call the recording.
    size : int
        Bytes in the whole file.

    Raises
    ------
    ProtectedAudioError
        When a box of protected sound is found.
    """
    if any(kind in _PROTECTED for kind in _boxes(file, 0, size)):
        raise ProtectedAudioError(_describe_protection(name))


def _describe_protection(name: str) -> str:
    return f"{name} is protected (DRM); diarnb does not decode it. Ask its publisher for an unprotected recording."


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[bytes]:
    while at + 8 <= end:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        body = at + 8
        if length == 1:
            length, body = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0], at + 16
        stop = min(at + length, end) if length else end
        if stop < body:
            return
        yield kind
        if kind in _MP4_BRANCHES:
            yield from _boxes(file, body, stop)
        elif kind == b"stsd":
            yield from _boxes(file, body + 8, stop)
        at = stop
