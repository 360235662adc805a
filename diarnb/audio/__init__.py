"""Any source as blocks of 16 kHz mono samples: never the whole file at once, and nothing lost in silence."""

from __future__ import annotations

import hashlib
import math
import numbers
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np
import soundfile
import soxr

from diarnb._text import shorten
from diarnb.audio.av import AvDecoder
from diarnb.audio.content import Content, open_content
from diarnb.audio.decode import MAX_SAMPLES, Block, Decoder, SamplesDecoder, SoundFileDecoder, Tally, check_shape
from diarnb.audio.download import MAX_BYTES, MAX_SECONDS
from diarnb.audio.parts import FileSlice, Part, PartsDecoder, find_parts
from diarnb.audio.sniff import HEAD, Look, check_protection, look
from diarnb.errors import (
    AudioError,
    AudioLimitError,
    CorruptAudioError,
    EmptyAudioError,
    InvalidParameterError,
    NotAudioError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diarnb._types import Source
    from diarnb.store.partial import PartialEvidence

SAMPLE_RATE = 16_000
"""Hz of every block; what both local models were trained on."""

MAX_DURATION = 24 * 3600.0
"""Seconds. A day is more than any meeting; beyond, a length is a damaged header or a compression bomb."""

_BLOCK = 10 * SAMPLE_RATE  # samples in a block that is given out
_READ = 1 << 18  # samples, all channels together, in a block that is decoded: 1 MiB
_PREROLL = 0.5  # seconds decoded before a seek's target: resampler and lossy decoders start out unsettled
_MISSING = 0.2  # seconds; containers announce lengths rounded to their own frames
_LISTEN = 30.0  # seconds that are not silent, from which it is decided whether channels cancel each other
_SILENT = 1e-7  # power (-70 dB of full scale) below which a block decides nothing
_CANCELLED = 0.01  # the mix holds under 1 % of the loudest channel's power: 20 dB below
_GLITCHES = 1e-4  # the share of float samples that may exceed full scale and are cut there
_INVALID = 0.01  # the share of NaN and infinite samples above which a recording is damaged

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]


class Recording:
    """One source, opened: what is known of it, and its sound in blocks.

    Made by `open_recording`; decode as often as needed while it is open.

    Attributes
    ----------
    name : str
        The file's name, the URL without user name and query, or "samples" or "bytes".
    path : Path or None
        The user's own file, absolute; None for URLs, copies and memory.
    sample_rate : int
        Hz of the source itself.
    channels : int
    duration : float
        Seconds, as announced; counted where nothing is announced.
    seeks : bool
        Whether a later start saves time: what PyAV decodes is decoded from its beginning.
    opened : datetime
        When, in UTC.
    partial : PartialEvidence or None
        What was extracted from it before an interrupt, where that is kept.
    """

    def __init__(self, name: str, decoder: Decoder, content: Content | None, max_duration: float) -> None:
        self.name: str = name
        self.opened: datetime = datetime.now(UTC)
        self.partial: PartialEvidence | None = None
        self.path: Path | None = content.path if content else None
        self.sample_rate: int = decoder.rate
        self.channels: int = decoder.channels
        self.duration: float = decoder.frames / decoder.rate
        self.seeks: bool = decoder.seeks
        self._shown = shorten(name)
        self._decoder, self._content, self._open = decoder, content, True
        self._max_frames = min(max_duration * decoder.rate, MAX_SAMPLES / decoder.channels)
        self._size = max(1, min(_READ // decoder.channels, 10 * decoder.rate))
        self._problems = dict.fromkeys(decoder.remarks)

    def close(self) -> None:
        """End reading; what was copied or downloaded is about to be removed."""
        self._open = False

    @property
    def problems(self) -> list[str]:
        """Sentences on what was missing or mended; complete once `blocks` is exhausted."""
        return list(self._problems)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the file's bytes, or of float32 samples with their shape and rate."""
        digest = hashlib.sha256()
        if self._content is None:
            digest.update(f"{self.sample_rate} {self._decoder.frames} {self.channels} ".encode())
            for block in self._decoder.read(0, self._size, Tally()):
                digest.update(np.ascontiguousarray(block, "<f4").tobytes())
        else:
            with self._content.open() as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
            self._content.check_unchanged()
        return digest.hexdigest()

    @contextmanager
    def file(self) -> Iterator[Content]:
        """Open the recording as a file that can be sent: its own bytes, or its samples written as 16-bit WAV.

        Yields
        ------
        Content
            Removed at the end, where it was written for this.
        """
        if self._content is not None:
            yield self._content
            return
        with tempfile.TemporaryDirectory(prefix="diarnb-", ignore_cleanup_errors=True) as folder:
            target = Path(folder, "samples.wav")
            try:
                with soundfile.SoundFile(target, "w", self.sample_rate, self.channels, "PCM_16") as file:
                    for block in self._scale_quietly():
                        file.write(block)
            except (OSError, soundfile.SoundFileError) as error:
                raise AudioError(f"{self._shown} cannot be written to a temporary file. Free some space.") from error
            yield Content(self.name, lambda: target.open("rb"), target.stat().st_size, exact=False)

    def blocks(
        self, channel: Literal["mix"] | int = "mix", *, start: float = 0.0, end: float | None = None
    ) -> Iterator[Samples]:
        """Decode, as 16 kHz mono.

        Parameters
        ----------
        channel : "mix" or int, default "mix"
            The mean of all channels, or one of them counted from 0. Where channels cancel each other (opposite phase),
            or most are silent, the mix is the loudest channel instead, and `problems` says so; this is decided from the
            first 30 s that are not silent.
        start, end : float, optional
            Seconds; None for the end of the recording.

        Returns
        -------
        iterator of numpy.ndarray
            float32, one-dimensional, 10 s each but for the last. Full scale is 1; sources of larger floats are divided
            by a power of two. Frames that cannot be decoded are zeros, so that all times stay right.

        Raises
        ------
        InvalidParameterError
            For a channel that does not exist, or times that are no span.
        CorruptAudioError
            While decoding: nothing can be decoded, or more than 1 % of the samples are no numbers.
        AudioLimitError
            While decoding: there is more than was announced and allowed.
        AudioChangedError
            After the last block: the file is no longer the one that was opened.

        Examples
        --------
        >>> import numpy as np
        >>> with open_recording((np.zeros(8000), 8000)) as recording:
        ...     sum(len(block) for block in recording.blocks())
        16000
        """
        if channel != "mix" and (not _is_int(channel) or not 0 <= channel < self.channels):
            raise InvalidParameterError(
                f'{self._shown} has {self.channels} channels: channel is "mix" or 0 to {self.channels - 1}, '
                f"not {channel!r}."
            )
        for value in (start, 0.0 if end is None else end):
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
                raise InvalidParameterError(f"start and end are seconds, 0 or more, not {value!r}.")
        if end is not None and end <= start:
            raise InvalidParameterError(f"end ({end:g} s) must come after start ({start:g} s).")
        if not self._open:
            raise ValueError(f"{self._shown} is closed; read it inside `with open_recording(...)`.")
        stop = None if end is None else round(end * SAMPLE_RATE)
        return _join_blocks(self._decode_checked(channel, round(start * SAMPLE_RATE), stop))

    def _decode_checked(self, channel: str | int, start: int, stop: int | None) -> Iterator[Block]:
        try:
            yield from self._resample(channel, start, stop)
        except (AudioError, OSError):
            if self._content:
                self._content.check_unchanged()  # then that is the reason
            raise
        if self._content:
            self._content.check_unchanged()

    def _resample(self, channel: str | int, start: int, stop: int | None) -> Iterator[Block]:
        """Decode samples `start` to `stop` of the 16 kHz signal, whichever way the pieces fall."""
        rate = self.sample_rate
        # Only here do both sampling grids meet, so that a seek gives the samples that a full decode gives.
        period = rate // math.gcd(rate, SAMPLE_RATE)
        first = max(0, int((start / SAMPLE_RATE - _PREROLL) * rate)) // period * period
        at = first * SAMPLE_RATE // rate
        resampler = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, quality="HQ")
        for block, last in _mark_last(self._scale_blocks(first)):
            mono = self._pick(block, channel)
            if resampler is not None:
                mono = resampler.resample_chunk(mono, last=last)
            yield mono[max(0, start - at) : None if stop is None else max(0, stop - at)]
            at += len(mono)
            if stop is not None and at >= stop:
                return

    def _pick(self, block: Block, channel: str | int) -> Block:
        if self.channels == 1:
            return np.ascontiguousarray(block[:, 0])
        if channel == "mix":
            if self._loudest is None:
                mixed: Block = block.mean(axis=1, dtype=np.float32)
                return mixed
            self._problems.setdefault(
                f"The channels of {self._shown} cancel each other when mixed (opposite phase, or most are silent); "
                f"channel {self._loudest} alone is used."
            )
            channel = self._loudest
        return np.ascontiguousarray(block[:, int(channel)])

    def _scale_blocks(self, first: int) -> Iterator[Block]:
        scale = self._scale
        for block in self._decode(first):
            yield np.clip(block * scale, -1, 1) if self._decoder.floating else block

    @cached_property
    def _scale(self) -> np.float32:
        """The power of two that brings float samples to full scale, but for a few glitches; from the whole file.

        A power of two keeps every mantissa: a recording and the same recording scaled give the same samples.
        """
        if not self._decoder.floating:
            return np.float32(1)
        sizes = np.zeros(130, dtype=np.int64)
        for block in self._decode(0, quietly=True):
            mantissa, exponent = np.frexp(np.abs(block))
            sizes += np.bincount(np.clip(exponent - (mantissa == 0.5), 0, 129).ravel(), minlength=130)
        beyond = sizes.sum() - np.cumsum(sizes)
        return np.float32(2.0 ** -int(np.argmax(beyond <= _GLITCHES * sizes.sum())))

    @cached_property
    def _loudest(self) -> int | None:
        """The channel to use instead of a mix that would cancel it."""
        each, mix, heard = np.zeros(self.channels), 0.0, 0
        for block in self._scale_quietly():
            powers = np.square(block, dtype=np.float64).mean(axis=0)
            if powers.max() < _SILENT:
                continue
            each += powers * len(block)
            mix += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())
            heard += len(block)
            if heard >= _LISTEN * self.sample_rate:
                break
        return int(each.argmax()) if heard and mix < _CANCELLED * each.max() else None

    def _scale_quietly(self) -> Iterator[Block]:
        for block in self._decode(0, quietly=True):
            yield np.clip(block * self._scale, -1, 1)

    def _decode(self, first: int, *, quietly: bool = False) -> Iterator[Block]:
        """Decode, with every NaN and infinity as 0, and tell what was lost."""
        tally, at = Tally(), first
        for block in self._decoder.read(first, self._size, tally):
            at += len(block)
            if at > self._max_frames:
                raise AudioLimitError(
                    f"{self._shown} goes on after {at / self.sample_rate:,.0f} s, more than is allowed."
                )
            bad = ~np.isfinite(block)
            if bad.any():
                tally.invalid += int(bad.sum())
                block = np.where(bad, np.float32(0), block)
            yield block
        if not quietly:
            self._report(tally, first, at)

    def _report(self, tally: Tally, first: int, at: int) -> None:
        rate, announced = self.sample_rate, self._decoder.frames
        if first == 0 and at - tally.lost <= 0:
            if at or (announced and self._decoder.announced):
                raise CorruptAudioError(f"Nothing of {self._shown} can be decoded: it is damaged. Export it again.")
            raise EmptyAudioError(f"{self._shown} holds no samples (0.0 s). Record or export it again.")
        missing = tally.lost + (max(0, announced - at) if self._decoder.announced else 0)
        rest = "the rest counts as silence" if tally.lost else "the rest is missing"
        if tally.lost or missing > _MISSING * rate:
            self._problems.setdefault(
                f"{self._shown} is damaged or cut off: it announces {announced / rate:.1f} s, of which "
                f"{(announced - missing) / rate:.1f} s could be decoded; {rest}."
            )
        count = (at - first) * self.channels
        if tally.invalid > _INVALID * count:
            raise CorruptAudioError(
                f"{self._shown} is damaged: {tally.invalid:,} of {count:,} samples are NaN or infinite. "
                "Export it again."
            )
        if tally.invalid:
            self._problems.setdefault(
                f"{tally.invalid:,} of {count:,} samples of {self._shown} are NaN or infinite; they were read as 0."
            )


@contextmanager
def open_recording(
    source: Source,
    *,
    max_duration: float = MAX_DURATION,
    max_untold: int = MAX_SAMPLES,
    max_bytes: int = MAX_BYTES,
    download_timeout: float = MAX_SECONDS,
    name: str | None = None,
) -> Iterator[Recording]:
    """Open any source of sound; what it holds decides, not what it is called.

    Parameters
    ----------
    source : str, Path, bytes, binary file or (samples, sample_rate)
        A path (``~`` is expanded), an ``http(s)`` URL, a file's content, an open file (read from its start; its
        position is kept), or an array of one or two dimensions with its rate in Hz. A dict as pyannote.audio takes one
        (``waveform`` and ``sample_rate``, or ``audio``) is taken as well.
    max_duration : float, default 24 h
        Seconds; longer is refused, by what is announced and while decoding.
    max_untold : int, default 8,294,400,000
        Samples in all channels of a recording that does not tell its length, and so is decoded to count them.
    max_bytes : int, default 2 GiB
        Of a download or of an open file.
    download_timeout : float, default 600
        Seconds for the whole download.
    name : str, optional
        What to call it, where that is not what its file or address is called.

    Yields
    ------
    Recording

    Raises
    ------
    InvalidParameterError
        When `source` is none of these.
    AudioError
        One of its kinds, when the recording cannot be used; see `diarnb.errors`.

    Examples
    --------
    >>> with open_recording(([0.0, 0.5, -0.5], 16000)) as recording:
    ...     recording.channels, [len(block) for block in recording.blocks()]
    (1, [3])
    """
    if isinstance(source, Mapping):
        source = _read_mapping(source)
    if isinstance(source, tuple):
        recording = _wrap_samples(source, max_duration)
        try:
            yield recording
        finally:
            recording.close()
        return
    with open_content(source, max_bytes=max_bytes, max_seconds=download_timeout) as content:
        content = content if name is None else replace(content, name=name)
        recording = Recording(content.name, _open_decoder(content, max_duration, max_untold), content, max_duration)
        try:
            yield recording
        finally:
            recording.close()


def _read_mapping(source: Mapping[str, object]) -> Source:
    """Take what stands for a recording at pyannote: a waveform with its rate, or the path below ``audio``."""
    if "waveform" in source and "sample_rate" in source:
        return np.asarray(source["waveform"]), cast("int", source["sample_rate"])
    return cast("Source", source.get("audio", source))


def _wrap_samples(source: tuple[Any, ...], max_duration: float) -> Recording:
    if len(source) != 2:
        raise InvalidParameterError(f"Samples come as (samples, sample_rate), not as {len(source)} values.")
    samples, rate = source
    if _is_int(samples) and np.ndim(rate) > 0:
        raise InvalidParameterError("The order is (samples, sample_rate); this is (sample_rate, samples). Swap them.")
    if isinstance(rate, (bool, np.bool_)) or not isinstance(rate, numbers.Real) or rate != rate // 1:
        raise InvalidParameterError(f"The sample rate is a whole number of Hz, not {rate!r}.")
    if isinstance(samples, (str, bytes)):
        raise InvalidParameterError("Samples come as (samples, sample_rate), an array first; a path goes alone.")
    decoder = SamplesDecoder(samples, int(float(rate)))
    check_shape("samples", decoder.rate, decoder.channels, decoder.frames, max_duration)
    return Recording("samples", decoder, None, max_duration)


def _open_decoder(content: Content, max_duration: float, max_untold: int) -> Decoder:
    shown = shorten(content.name)
    with content.open() as file:
        try:
            seen = look(file.read(HEAD), shown, content.size)
        except NotAudioError as error:
            raise type(error)(f"{error}{content.hint}") from None
        if seen.container == "mov":
            check_protection(file, shown, content.size)
    decoder: Decoder
    if seen.reader == "av":
        decoder = _open_contained(content, seen, shown)
    else:
        decoder = _open_parts(
            content, seen, shown, lambda rate, channels: int(min(max_duration * rate, max_untold / channels))
        )
        if not decoder.announced and decoder.frames * decoder.channels > max_untold:
            raise AudioLimitError(
                f"{shown} does not state its length, and holds more than {max_untold:,} samples. Rewrite it with its "
                "length: ffmpeg -i OLD NEW.flac"
            )
    if not decoder.frames:
        raise EmptyAudioError(f"{shown} holds no samples (0.0 s). Record or export it again.")
    check_shape(shown, decoder.rate, decoder.channels, decoder.frames, max_duration)
    return decoder


def _open_contained(content: Content, seen: Look, shown: str) -> Decoder:
    """Open a file that PyAV reads, all of its parts; tell of those that it cannot open."""
    parts = _find_parts(content, seen.container)
    first = AvDecoder(content.open if len(parts) == 1 else _window(content, parts[0]), seen, shown)
    opened: list[Decoder] = [first]
    for part in parts[1:]:
        try:
            opened.append(AvDecoder(_window(content, part), seen, shown))
        except AudioError:
            continue
    if len(opened) < len(parts):
        first.remarks.append(
            f"{shown} consists of {len(parts)} concatenated files, {len(parts) - len(opened)} of which cannot "
            "be opened and are left out."
        )
    return first if len(opened) == 1 else PartsDecoder(opened, shown)


def _find_parts(content: Content, kind: str) -> list[Part]:
    with content.open() as file:
        return find_parts(file, kind, content.size)


def _window(content: Content, part: Part) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", FileSlice(content.open(), part.start, part.stop))


def _open_parts(content: Content, seen: Look, shown: str, max_frames: Callable[[int, int], int]) -> Decoder:
    """Open a file that libsndfile reads, all of its parts; tell where the last one is cut off."""
    parts = _find_parts(content, seen.kind)

    def open_part(part: Part) -> SoundFileDecoder:
        return SoundFileDecoder(_window(content, part), seen, shown, part.stop - part.start, max_frames)

    decoder: SoundFileDecoder | PartsDecoder
    if len(parts) == 1:
        decoder = SoundFileDecoder(content.open, seen, shown, content.size, max_frames)
    else:
        decoder = PartsDecoder([open_part(part) for part in parts], shown)
    if not parts[-1].ended and decoder.frames:
        seconds = decoder.frames / decoder.rate
        decoder.remarks.append(f"{shown} seems to be cut off: it ends without an end marker, after {seconds:.1f} s.")
    return decoder


def _is_int(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


def _mark_last(blocks: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
    held = next(blocks, None)
    for block in blocks:
        assert held is not None  # noqa: S101
        yield held, False
        held = block
    if held is not None:
        yield held, True


def _join_blocks(pieces: Iterator[Block]) -> Iterator[Samples]:
    """Join pieces of any size to blocks of 10 s; the last may be shorter."""
    waiting: list[Block] = []
    length = 0
    for piece in pieces:
        rest = piece
        while length + len(rest) >= _BLOCK:
            cut = _BLOCK - length
            yield np.concatenate([*waiting, rest[:cut]])
            waiting, length, rest = [], 0, rest[cut:]
        if len(rest):
            waiting.append(rest)
            length += len(rest)
    if length:
        yield np.concatenate(waiting)
