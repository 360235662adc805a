"""Decoders: blocks of float32 frames from a file that libsndfile reads, or from samples in memory."""

from __future__ import annotations

import io
import os
import re
import tempfile
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from diarnb.audio.parts import FileSlice
from diarnb.audio.pcm import FULL_SCALE, find_scale
from diarnb.audio.sniff import Header, Look, check_riff
from diarnb.errors import AudioLimitError, CorruptAudioError, EmptyAudioError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Block: TypeAlias = NDArray[np.float32]
"""Frames by channels."""

_T = TypeVar("_T")
_ONE_AT_A_TIME = Lock()
_MPG123 = re.compile(rb"\[.*mpg123.*|(?:Note|Warning): .*|$")
_UNKNOWN = 2**60  # libsndfile gives 2**63 - 1 frames where a stream does not announce its length
_SMALLEST = 64  # frames; damage is closed in on down to this


@dataclass
class Tally:
    """What one pass over a recording met."""

    lost: int = 0
    invalid: int = 0


class Decoder(Protocol):
    """What the recording asks of a decoder.

    Attributes
    ----------
    rate, channels : int
    frames : int
        Frames in each channel: announced, or counted where nothing is announced.
    announced : bool
        Whether fewer decoded frames are a loss.
    floating : bool
        Whether samples are stored as floats, so that they may lie beyond -1 to 1.
    seeks : bool
        Whether a later start saves time.
    remarks : list of str
        What is known before decoding.
    """

    rate: int
    channels: int
    frames: int
    announced: bool
    floating: bool
    seeks: bool
    remarks: list[str]

    def read(self, first: int, size: int, tally: Tally) -> Iterator[Block]:
        """Decode from frame `first` on in blocks of at most about `size` frames; lost frames become zeros."""


class SoundFileDecoder:
    """A file that libsndfile reads.

    Parameters
    ----------
    open_file : callable
        Gives a new binary file over the content, at its start.
    look : Look
        What the content is.
    name : str
        What messages call the recording.
    size : int
        Bytes in the whole file.
    max_frames : int
        Counting stops there when nothing is announced.
    """

    def __init__(
        self, open_file: Callable[[], BinaryIO], look: Look, name: str, size: int, max_frames: Callable[[int, int], int]
    ) -> None:
        self._open_raw, self._look, self._name = open_file, look, name
        self._patch: tuple[int, bytes] | None = None
        self._size = size
        self.announced: bool = True
        self.seeks: bool = True
        self.remarks: list[str] = []
        header = None
        if look.kind in ("WAV", "AIFF"):
            with open_file() as file:
                header = check_riff(file, name, size)
            if header.announced == 0 and look.kind == "WAV":
                self._patch = header.size_at, min(header.held, 0xFFFFFFFE).to_bytes(4, "little")
        with self._open_sound() as sound:
            self.rate: int = sound.samplerate
            self.channels: int = sound.channels
            self.frames: int = sound.frames
            self.floating: bool = sound.subtype in ("FLOAT", "DOUBLE")
        if self.frames >= _UNKNOWN:
            self.announced, self.frames = False, _UNKNOWN
            limit = max_frames(self.rate, self.channels)
            self.frames = 0
            for block in self.read(0, self.rate, Tally()):
                self.frames += len(block)
                if self.frames > limit:
                    break
        if header is not None:
            self._remark(header)

    def _remark(self, header: Header) -> None:
        seconds = self.frames / self.rate
        if header.announced in (0, 0xFFFFFFFF):
            self.remarks.append(
                f"{self._name} was never finished: its header has no length. It was read to its end, {seconds:.1f} s."
            )
        elif header.held < header.announced:
            self.remarks.append(
                f"{self._name} is cut off: its header announces {seconds * header.announced / header.held:.1f} s, "
                f"the file holds {seconds:.1f} s."
            )

    def _open_sound(self) -> soundfile.SoundFile:
        file = self._open_raw()
        if not isinstance(file, FileSlice) and str(getattr(file, "name", "")).lower().endswith(".raw"):
            file = cast("BinaryIO", FileSlice(file, 0, self._size))  # by this name libsndfile would ask for a rate
        if self._patch is not None:
            file = _Patched(file, *self._patch)  # type: ignore[assignment]
        try:
            with _quiet_decoder(self._look.kind):
                return _call_apart(_Owning, file)
        except soundfile.SoundFileError as error:
            file.close()
            raise CorruptAudioError(
                f"{self._name} begins like {self._look.kind}, but cannot be decoded: it is damaged, or a variant "
                "that libsndfile does not support. Export it again, best as WAV or FLAC."
            ) from error

    def read(self, first: int, size: int, tally: Tally) -> Iterator[Block]:
        """Decode from frame `first` on; see `Decoder`.

        After an error the decoder is opened anew and asked for less and less, to keep all that precedes the damage;
        then ever larger steps are skipped until sound comes again. Skipped frames are zeros: later times stay right.
        """
        at, ask, skip = first, size, self.rate // 10
        sound = None
        total = self.frames if self.announced else _UNKNOWN
        try:
            while at < total:
                block = None
                with suppress(soundfile.SoundFileError):
                    if sound is None:
                        sound = self._open_sound()
                        if at:
                            _call_apart(sound.seek, at)
                    with _quiet_decoder(self._look.kind):
                        block = _call_apart(sound.read, min(ask, total - at), dtype="float32", always_2d=True)
                if block is not None:
                    if not len(block):
                        return  # the end came early, without an error: there is nothing to go around
                    yield block
                    at += len(block)
                    ask, skip = min(2 * ask, size), self.rate // 10
                    continue
                if sound is not None:
                    sound.close()
                    sound = None
                if ask > _SMALLEST:
                    ask //= 4
                elif not self.announced:
                    return
                else:
                    gap = min(skip, total - at)
                    skip *= 2
                    tally.lost += gap
                    for begin in range(0, gap, size):
                        yield np.zeros((min(size, gap - begin), self.channels), np.float32)
                    at += gap
        finally:
            if sound is not None:
                sound.close()


@contextmanager
def _quiet_decoder(kind: str) -> Iterator[None]:
    """Keep what libmpg123 prints on damage, which is told in a remark, from standard error; what others print stays.

    It prints from C, so the file descriptor itself must lead elsewhere for as long as it decodes a block.
    """
    if kind != "MP3":
        yield
        return
    with _ONE_AT_A_TIME:
        try:
            real = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(real, 2)
                os.close(real)
                held.seek(0)
                if rest := b"".join(line for line in held.readlines() if not _MPG123.match(line)):
                    os.write(2, rest)


def _call_apart(call: Callable[..., _T], *arguments: object, **options: object) -> _T:
    """Call libsndfile from a thread of its own.

    It calls back into Python for every piece of the file, and what is raised in there is printed and lost: the end of
    the file would seem to come early. An interrupt is raised in the main thread, which does nothing here but wait. It
    waits for the call even then, or else the file would be closed under it; a pool's threads, of which one may be
    starting when the interrupt comes, cannot be waited for with that certainty.
    """
    outcome: Future[_T] = Future()

    def work() -> None:
        if outcome.set_running_or_notify_cancel():
            try:
                outcome.set_result(call(*arguments, **options))
            except BaseException as error:  # raised again where the outcome is asked for
                outcome.set_exception(error)

    try:
        Thread(target=work, name="diarnb-decoder").start()
        return outcome.result()
    finally:
        if not outcome.cancel():  # what has not begun never will
            wait([outcome])


class _Owning(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that closes the file object it was given, and reads without seeking.

    After every read, soundfile seeks to where it is. That costs MP3 its bit reservoir, hides holes in OGG and fails at
    the end of a FLAC that announces no length; it leaves it where it believes that it cannot seek.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._owned = file
        super().__init__(file)

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        super().close()
        self._owned.close()


class _Patched(io.RawIOBase):
    """A file of which four bytes read differently: the length that its writer never came to fill in."""

    def __init__(self, file: BinaryIO, at: int, patch: bytes) -> None:
        self._file, self._at, self._patch = file, at, patch

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        begin = self.tell()
        data = bytearray(self._file.read(len(buffer)))
        for k, byte in enumerate(self._patch):
            if begin <= self._at + k < begin + len(data):
                data[self._at + k - begin] = byte
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class SamplesDecoder:
    """Samples in memory, converted block by block; the array itself is never changed.

    Parameters
    ----------
    samples : numpy.ndarray or sequence
        ``(n,)``, ``(n, channels)`` or ``(channels, n)``: the shorter axis is the channels. Floats are full scale at 1,
        integers at the limit of their type; 64-bit integers, which Python lists become, count as the smallest of 16 and
        32 bit that holds them.
    rate : int

    Raises
    ------
    InvalidParameterError
        For what is no one- or two-dimensional array of real numbers.
    """

    announced = True
    seeks = True

    def __init__(self, samples: Any, rate: int) -> None:
        try:
            array = np.asarray(samples)
        except Exception as error:  # whatever a foreign array type raises; ragged lists raise ValueError
            raise InvalidParameterError(
                f"These samples cannot be converted to a NumPy array: {type(error).__name__}."
            ) from error
        if array.ndim not in (1, 2):
            raise InvalidParameterError(
                f"Samples must be (n,), (n, channels) or (channels, n); these have {array.ndim} dimensions."
            )
        if array.size and array.dtype.kind not in "fiu":
            raise InvalidParameterError(
                f"Samples must be real numbers (float16-64, int8-32, uint8), not {array.dtype}. Convert them first."
            )
        if array.ndim == 1:
            array = array[:, np.newaxis]
        elif array.shape[0] < array.shape[1]:
            array = array.T
        if not array.size:
            raise EmptyAudioError("The array holds no samples (0.0 s). Pass at least one.")
        self.rate: int = rate
        self._array = array
        self.frames: int = array.shape[0]
        self.channels: int = array.shape[1]
        self.floating: bool = array.dtype.kind == "f"
        self.remarks: list[str] = []
        self._zero, self._scale = self._find_scale()

    def _find_scale(self) -> tuple[float, float]:
        dtype = self._array.dtype
        if dtype.kind == "f":
            return 0.0, 1.0
        if dtype.itemsize == 8:
            reach = max(int(self._array.max()), -1 - int(self._array.min()))
            if reach >= 2**31:
                raise InvalidParameterError("Samples exceed 32-bit integers; their full scale is unknown. Pass floats.")
            dtype = np.dtype(np.int16 if reach < FULL_SCALE else np.int32)
        return find_scale(dtype)

    def read(self, first: int, size: int, tally: Tally) -> Iterator[Block]:  # noqa: ARG002
        """Yield blocks from frame `first` on; see `Decoder`."""
        for at in range(first, self.frames, size):
            yield self._convert(self._array[at : at + size])

    def _convert(self, part: np.ndarray) -> Block:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and reported as such
            if self.floating:
                return part.astype(np.float32)
            return ((part.astype(np.float64) - self._zero) * self._scale).astype(np.float32)


def check_shape(name: str, rate: int, channels: int, frames: int, max_duration: float) -> None:
    """Refuse what no recording of people has; the limits are those of `diarnb.audio`.

    Parameters
    ----------
    name : str
    rate, channels, frames : int
    max_duration : float
        Seconds.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioLimitError(
            f"{name} has a sample rate of {rate:,} Hz; diarnb takes {MIN_RATE:,} to {MAX_RATE:,} Hz. Resample it first."
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioLimitError(
            f"{name} has {channels} channels; diarnb accepts 1 to {MAX_CHANNELS}. Extract some first."
        )
    if frames > max_duration * rate or frames * channels > MAX_SAMPLES:
        hours = frames / rate / 3600
        raise AudioLimitError(
            f"{name} holds {hours:,.1f} h in {channels} channels; diarnb takes {max_duration / 3600:.4g} h "
            f"and {MAX_SAMPLES:,} samples in all. Split it first."
        )


MIN_RATE = 1_000
"""Hz. Below, no voice is left that a model could tell from another."""

MAX_RATE = 768_000
"""Hz. The highest rate of any converter; decoders accept 2 147 483 647, which would resample for hours."""

MAX_CHANNELS = 64
"""The largest microphone arrays and mixing desks in use."""

MAX_SAMPLES = 24 * 3600 * 48_000 * 2
"""All channels together: a day of 48 kHz stereo. Some megabytes of FLAC can hold gigabytes of silence."""
