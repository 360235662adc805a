"""Files that are made of parts, as `cat a.ogg b.ogg` and inserted advertisements make them: each is decoded, in order.

libsndfile reads the first part and believes that this is all. So the parts are found before, by what begins each of
them, and every one is decoded as a file of its own.
"""

from __future__ import annotations

import io
import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import soxr

from diarnb.audio.pcm import fit_channels
from diarnb.audio.sniff import measure_mp3_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diarnb.audio.decode import Block, Decoder, Tally

_PIECE = 1 << 20  # bytes looked through at once
_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # the mark, and the header of the block that must follow it
_XING = re.compile(rb"Xing|Info")
_EBML = re.compile(rb"\x1a\x45\xdf\xa3[\x80-\xff\x01].{0,48}?\x42\x82.(?:webm|matroska)", re.DOTALL)
_SEARCH = 1 << 16  # bytes behind a part in which the next one's frames must begin
_FIRST, _LAST = 2, 4  # flags of an Ogg page: of the first of its stream, and of the last
_MAX_PARTS = 10_000


class Part(NamedTuple):
    """A part of a file, in bytes; ``ended`` is False where the part says that more should have come."""

    start: int
    stop: int
    ended: bool = True


def find_parts(file: BinaryIO, kind: str, size: int) -> list[Part]:
    """Find the parts of a file, which mostly is one.

    Parameters
    ----------
    file : binary file
        Open anywhere.
    kind : str
        As `diarnb.audio.sniff.look` calls it, or the container that it is for PyAV.
    size : int
        Bytes in the whole file.
    """
    finders = {
        "OGG": _find_ogg,
        "FLAC": _find_flac,
        "MP3": _find_mp3,
        "WAV": _find_wav,
        "mov": _find_mov,
        "matroska": _find_matroska,
    }
    parts = finders[kind](file, size) if kind in finders else []
    return parts[:_MAX_PARTS] or [Part(0, size)]


def _cut(starts: Sequence[int], size: int) -> list[Part]:
    return [Part(start, stop) for start, stop in zip(starts, [*starts[1:], size], strict=True)]


def _search(file: BinaryIO, pattern: re.Pattern[bytes], size: int, longest: int) -> Iterator[int]:
    """Find where a pattern of at most `longest` bytes stands."""
    at, held = 0, b""
    file.seek(0)
    while at < size and (piece := file.read(_PIECE)):
        text = held + piece
        begin = at - len(held)
        yield from (begin + found.start() for found in pattern.finditer(text) if found.end() > len(held))
        at += len(piece)
        held = text[-(longest - 1) :]


def _find_flac(file: BinaryIO, size: int) -> list[Part]:
    starts = list(_search(file, _FLAC, size, 8))
    return _cut([0, *starts[1:]], size)


def _find_ogg(file: BinaryIO, size: int) -> list[Part]:
    """Walk the pages: a page that begins a stream begins a part, unless it stands beside others that do."""
    starts, ended = [0], []
    at, beginning, last = 0, True, False
    while at + 27 <= size:
        file.seek(at)
        head = file.read(27 + 255)
        if head[:4] != b"OggS":
            at = _find_page(file, at + 1, size)
            continue
        first = bool(head[5] & _FIRST)
        if first and not beginning:
            starts.append(at)
            ended.append(last)
        beginning, last = first, bool(head[5] & _LAST)
        at += 27 + head[26] + sum(head[27 : 27 + head[26]])
    parts = _cut(starts, size)
    whole = last and at == size
    return [part._replace(ended=end) for part, end in zip(parts, [*ended, whole], strict=True)]


def _find_page(file: BinaryIO, at: int, size: int) -> int:
    file.seek(at)
    while at < size and (piece := file.read(_PIECE)):
        found = piece.find(b"OggS")
        if found >= 0:
            return at + found
        at += max(len(piece) - 3, 1)
        file.seek(at)
    return size


def _find_wav(file: BinaryIO, size: int) -> list[Part]:
    """Walk the chunks to the end: behind the last one another file may begin."""
    starts, at = [0], 12
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        kind, length = head[:4], struct.unpack("<I", head[4:8])[0]
        if kind == b"RIFF" and head[8:] == b"WAVE":
            starts.append(at)
            at += 12
        elif re.fullmatch(rb"[ -~]{4}", kind) and not (kind == b"data" and length in (0, 0xFFFFFFFF)):
            at += 8 + length + length % 2
        else:
            break
    return _cut(starts, size)


def _find_mov(file: BinaryIO, size: int) -> list[Part]:
    """Walk the boxes: a second one that tells the type of a file begins another file."""
    starts, at = [0], 0
    while at + 16 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">I", head[:4])[0], head[4:8]
        if kind == b"ftyp" and at:
            starts.append(at)
        length = struct.unpack(">Q", head[8:])[0] if length == 1 else length
        if length < 8 or not re.fullmatch(rb"[ -~]{4}", kind):
            break  # the last box, or no box at all
        at += length
    return _cut(starts, size)


def _find_matroska(file: BinaryIO, size: int) -> list[Part]:
    return _cut([0, *list(_search(file, _EBML, size, 64))[1:]], size)


def _find_mp3(file: BinaryIO, size: int) -> list[Part]:
    """Find the parts of different makers, and within what no tag tells of those of another rate or other channels."""
    parts = _find_encoded(file, size) or [Part(0, size)]
    found = [cut for part in parts for cut in _cut_where_frames_change(file, part)]
    return found if len(found) > 1 else []


def _cut_where_frames_change(file: BinaryIO, part: Part) -> list[Part]:
    """Walk the frames of a part, and cut it where three and more are of another rate or number of channels."""
    at = _find_frames(file, _skip_tag(file) if part.start == 0 else part.start, part.stop)
    starts, usual, begin, changed = [part.start], b"", 0, 0
    text, base = b"", at or 0
    while at is not None and at + 4 <= part.stop:
        if at - base + 4 > len(text):
            file.seek(at)
            text, base = file.read(_PIECE), at
        head = text[at - base : at - base + 4]
        length = _measure(head[:3])
        if not length:
            at = _find_frames(file, at, part.stop)
            text = b""
            continue
        kind = bytes((head[1] & 0xFE, head[2] & 0x0C, head[3] >> 6 == 3))
        if not usual or kind == usual:
            usual, changed = kind, 0
        else:
            begin, changed = begin if changed else at, changed + 1
            if changed == 3:
                starts.append(begin)
                usual, changed = kind, 0
        at += length
    return _cut(starts, part.stop)


def _find_encoded(file: BinaryIO, size: int) -> list[Part]:
    """Find the frames that tell of a whole file, as encoders put one first; what lies behind that is another one."""
    tagged = [at for at in (_find_tagged(file, mark) for mark in _search(file, _XING, size, 4)) if at is not None]
    if not tagged:
        return []
    parts = [Part(0, tagged[0])] if _find_frames(file, _skip_tag(file), tagged[0]) is not None else []
    for at, until in zip(tagged, [*tagged[1:], size], strict=True):
        held = _read_length(file, at)
        stop = until if held is None else min(at + held, until)
        parts.append(Part(at if parts else 0, stop))
        rest = _find_frames(file, stop, until)
        if rest is not None:
            parts.append(Part(rest, until))
    return parts if len(parts) > 1 else []


@lru_cache
def _measure(head: bytes) -> int:
    return measure_mp3_frame(head + b"\0")


def _skip_tag(file: BinaryIO) -> int:
    """Find where the tag ends, with a picture perhaps, that may stand before the first frame."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _find_tagged(file: BinaryIO, mark: int) -> int | None:
    """Find the frame whose tag stands at `mark`; None where this is no tag."""
    for offset in (36, 21, 13):
        if mark < offset:
            continue
        file.seek(mark - offset)
        head = file.read(4)
        mono, new = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
        expected = (21 if mono else 36) if new else (13 if mono else 21)
        if measure_mp3_frame(head) and expected == offset:
            return mark - offset
    return None


def _read_length(file: BinaryIO, at: int) -> int | None:
    """Read how many bytes the file has of which a tagged frame tells."""
    file.seek(at)
    head = file.read(64)
    mark = _XING.search(head)
    if mark is None or len(head) < mark.end() + 12:
        return None
    flags = struct.unpack(">I", head[mark.end() : mark.end() + 4])[0]
    if not flags & 2:
        return None
    place = mark.end() + (8 if flags & 1 else 4)
    length: int = struct.unpack(">I", head[place : place + 4])[0]
    return length or None


def _find_frames(file: BinaryIO, at: int, until: int) -> int | None:
    """Find where frames begin again, three of them one behind the other; tags at a file's end have none."""
    file.seek(at)
    within = max(min(until - at, _SEARCH), 0)
    text = file.read(within + 8192)
    for found in re.finditer(rb"\xff[\xe2-\xff]", text[:within]):
        place, count = found.start(), 0
        while count < 3 and (length := measure_mp3_frame(text[place : place + 4])):
            place, count = place + length, count + 1
        if count == 3:
            return at + found.start()
    return None


class FileSlice(io.RawIOBase):
    """A part of a file, read as a file of its own. It has no name, by which libsndfile would believe to know it."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file, self._start, self._stop = file, start, stop
        file.seek(start)

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: it can be sought in."""
        return True

    def tell(self) -> int:
        """Return the position in the part."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the part."""
        begin = {io.SEEK_SET: self._start, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._stop}[whence]
        return self._file.seek(max(begin + offset, self._start)) - self._start

    def readinto(self, buffer: object) -> int:
        """Read into a buffer, to the end of the part at most."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._file.read(max(min(len(view), self._stop - self._file.tell()), 0))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class PartsDecoder:
    """Parts one after the other, brought to the sample rate and the channels of the first.

    Parameters
    ----------
    parts : sequence of Decoder
        At least two.
    name : str
        What messages call the recording.
    """

    def __init__(self, parts: Sequence[Decoder], name: str) -> None:
        self._parts = parts
        self.rate: int = parts[0].rate
        self.channels: int = parts[0].channels
        self._frames = [round(part.frames * self.rate / part.rate) for part in parts]
        self.frames: int = sum(self._frames)
        self.announced: bool = all(part.announced for part in parts)
        self.floating: bool = any(part.floating for part in parts)
        self.seeks: bool = all(part.seeks for part in parts)
        self.remarks: list[str] = list(dict.fromkeys(remark for part in parts for remark in part.remarks))
        if len({(part.rate, part.channels) for part in parts}) > 1:
            self.remarks.append(
                f"{name} is made of {len(parts)} parts with different sample rates or channels; all were converted "
                f"to those of the first, {self.rate:,} Hz and {self.channels}."
            )

    def read(self, first: int, size: int, tally: Tally) -> Iterator[Block]:
        """Decode from frame `first` on; see `Decoder`."""
        before = 0
        for part, frames in zip(self._parts, self._frames, strict=True):
            skip = max(first - before, 0)
            before += frames
            if skip >= frames:
                continue
            if part.rate == self.rate:
                blocks = part.read(skip, size, tally)
            else:
                blocks = _drop(self._resample(part, size, tally), skip)
            for block in blocks:
                yield fit_channels(block, self.channels)

    def _resample(self, part: Decoder, size: int, tally: Tally) -> Iterator[Block]:
        stream = soxr.ResampleStream(part.rate, self.rate, part.channels, quality="HQ")
        for block in part.read(0, size, tally):
            yield np.asarray(stream.resample_chunk(block), dtype=np.float32).reshape(-1, part.channels)
        last = stream.resample_chunk(np.zeros((0, part.channels), np.float32), last=True)
        yield np.asarray(last, dtype=np.float32).reshape(-1, part.channels)


def _drop(blocks: Iterator[Block], count: int) -> Iterator[Block]:
    for block in blocks:
        if count < len(block):
            yield block[count:]
        count = max(count - len(block), 0)
