"""The sound of a stream: bytes in pieces of any size, in some coding, become samples."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from diarnb.audio.decode import MAX_CHANNELS, MAX_RATE, MIN_RATE
from diarnb.audio.pcm import FULL_SCALE, decode_pcm16
from diarnb.errors import AudioLimitError, CorruptAudioError, NotAudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTHS = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
_WAV = {(1, 16): "linear16", (3, 32): "linear32", (7, 8): "mulaw", (6, 8): "alaw"}  # (format, bits)
_LONGEST_HEAD = 1 << 16  # bytes before the samples of a WAV


class StreamDecoder:
    """Decodes what comes.

    Parameters
    ----------
    encoding : {"linear16", "linear32", "mulaw", "alaw"} or None
        None where a WAV header will tell.
    rate : int or None
        Hz; not needed for WAV.
    channels : int

    Attributes
    ----------
    rate : int or None
        None until it is known.
    channels : int
    """

    def __init__(self, encoding: str | None, rate: int | None, channels: int) -> None:
        self._encoding = encoding
        self.rate: int | None = None if encoding is None else rate
        self.channels: int = 0 if encoding is None else channels
        self._waiting = b""

    def feed(self, content: bytes) -> NDArray[np.float32]:
        """Decode bytes, and return the samples that are whole by now.

        Returns
        -------
        numpy.ndarray [shape=(samples, channels)], float32
            Full scale is 1.

        Raises
        ------
        AudioError
            This is no sound, or of a kind that is not taken.

        Examples
        --------
        >>> StreamDecoder("linear16", 8000, 1).feed(bytes([0, 64, 0]))
        array([[0.5]], dtype=float32)
        """
        self._waiting += content
        if self.rate is None:
            self._read_head()
        if self.rate is None:
            return np.zeros((0, 1), np.float32)
        size = _WIDTHS[str(self._encoding)] * self.channels
        whole = len(self._waiting) // size * size
        samples, self._waiting = _decode(self._waiting[:whole], str(self._encoding)), self._waiting[whole:]
        return samples.reshape(-1, self.channels)

    def _read_head(self) -> None:
        """Find out what a WAV holds, once all of its head has come."""
        head = self._waiting
        if not b"RIFF".startswith(head[:4]) or not b"WAVE".startswith(head[8:12]):
            raise NotAudioError("a stream without encoding must begin with a WAV header, and this one does not")
        at = 12
        while len(head) >= at + 8:
            name, size = struct.unpack_from("<4sI", head, at)
            at += 8
            if name == b"data":
                if self._encoding is None:
                    raise CorruptAudioError("the WAV does not say what its samples are")
                self.rate, self._waiting = self._found, head[at:]
                return
            if name == b"fmt " and len(head) >= at + max(16, min(size, 40)):
                self._read_format(head[at : at + size])
            at += size + size % 2
        if len(head) > _LONGEST_HEAD:
            raise CorruptAudioError("the WAV has no samples")

    def _read_format(self, chunk: bytes) -> None:
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind == 0xFFFE and len(chunk) >= 26:
            (kind,) = struct.unpack_from("<H", chunk, 24)
        if (kind, bits) not in _WAV:
            raise NotAudioError("of WAV, a stream takes 16-bit integers, 32-bit floats, mu-law and A-law")
        if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
            raise AudioLimitError(f"the WAV has {channels} channels at {rate:,} Hz")
        self._encoding, self.channels, self._found = _WAV[kind, bits], channels, rate


def _decode(content: bytes, encoding: str) -> NDArray[np.float32]:
    if encoding == "linear16":
        return decode_pcm16(content)
    if encoding == "linear32":
        found = np.frombuffer(content, "<f4").astype(np.float32)
        return np.nan_to_num(found, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1).astype(np.float32)
    return _g711_table(encoding)[np.frombuffer(content, np.uint8)]


@cache
def _g711_table(encoding: str) -> NDArray[np.float32]:
    """Return the sample that each byte of G.711 stands for."""
    byte = np.arange(256)
    if encoding == "mulaw":
        byte = byte ^ 0xFF
        size = ((((byte & 15) << 3) + 132) << ((byte >> 4) & 7)) - 132
        negative = byte >= 128
    else:
        byte = byte ^ 0x55
        power = (byte >> 4) & 7
        size = np.where(power == 0, ((byte & 15) << 4) + 8, (((byte & 15) << 4) + 264) << np.maximum(power - 1, 0))
        negative = byte < 128
    return (np.where(negative, -size, size) / FULL_SCALE).astype(np.float32)
