"""Decode what libsndfile cannot (m4a, mp4, webm, mov, mkv, aac, wma, ac3, ts, flv) through PyAV, the extra ``av``.

FFmpeg can be talked into reading other files and into the network by what a file *says*. It is therefore given an open
file instead of a name, exactly one container format that the content itself showed, and no protocol but ``file``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from diarnb.audio.pcm import fit_channels
from diarnb.errors import ConfigurationError, CorruptAudioError, NoAudioStreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diarnb.audio.decode import Block, Tally
    from diarnb.audio.sniff import Look

_GAP = 0.1
"""Seconds by which a time stamp must jump to be lost sound rather than the rounding of a container's clock."""

_ESTIMATING = {"aac", "ac3", "amr", "eac3"}
"""Containers without a duration: FFmpeg guesses it from the bit rate, so a shorter decode is no loss."""


class AvDecoder:
    """One sound track of a container.

    Parameters
    ----------
    open_file : callable
        Gives a new binary file over the content, at its start.
    look : Look
        What the content is; ``look.container`` is the only format that is tried.
    name : str
        What messages call the recording.

    Raises
    ------
    ConfigurationError
        When PyAV is not installed.
    NoAudioStreamError
        When there is no sound track.
    CorruptAudioError
        When the container cannot be opened.
    """

    floating: bool = False
    seeks: bool = False  # containers seek to key frames only

    def __init__(self, open_file: Callable[[], BinaryIO], look: Look, name: str) -> None:
        self._open_file, self._look, self._name = open_file, look, name
        self.remarks: list[str] = []
        with self._open_container() as (container, stream):
            self.rate: int = stream.codec_context.sample_rate
            self.channels: int = stream.codec_context.channels
            self.floating = stream.codec_context.name.startswith("pcm_f")
            tracks = len(container.streams.audio)
            seconds = container.duration / 1_000_000 if container.duration else self._scan_duration(container, stream)
            self.announced: bool = look.container not in _ESTIMATING
            self.frames: int = round(seconds * self.rate)
        if tracks > 1:
            self.remarks.append(f"{name} has {tracks} audio tracks; the first one is used.")

    @contextmanager
    def _open_container(self) -> Iterator[tuple[Any, Any]]:
        try:
            import av
        except ImportError as error:
            raise ConfigurationError(
                f'{self._name} is {self._look.kind}, which needs PyAV: run `pip install "diarnb[av]"`.'
            ) from error
        options = {"format_whitelist": self._look.container, "protocol_whitelist": "file"}
        with self._open_file() as file:
            try:
                container = av.open(
                    file, format=self._look.container, options=options, metadata_errors="ignore", timeout=None
                )
            except (av.FFmpegError, ValueError) as error:
                raise CorruptAudioError(
                    f"{self._name} begins like {self._look.kind}, but its index is missing or damaged "
                    f"(a recording that was cut off?). Copy or export it again."
                ) from error
            with container:
                if not container.streams.audio:
                    raise NoAudioStreamError(f"{self._name} has no audio track: it is a video without sound.")
                stream = container.streams.audio[0]
                yield container, stream

    def _scan_duration(self, container: Any, stream: Any) -> float:
        """Read the time stamps up to the end: what a browser records announces no duration."""
        import av

        end = 0.0
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except av.FFmpegError:
            pass  # the scan ends where the file does; decoding will say what is missing
        return end

    def read(self, first: int, size: int, tally: Tally) -> Iterator[Block]:
        """Decode from frame `first` on; see `Decoder`. Containers seek to key frames only, so this drops instead."""
        at = 0
        for block in self._decode_frames(size, tally):
            if at + len(block) > first:
                yield block[max(0, first - at) :]
            at += len(block)

    def _decode_frames(self, size: int, tally: Tally) -> Iterator[Block]:
        import av

        with self._open_container() as (container, stream):
            origin = (container.start_time or 0) / 1_000_000
            resampler = av.AudioResampler(format="fltp", rate=self.rate)
            at = 0
            packets = container.demux(stream)
            while True:
                try:
                    frames = next(packets).decode()
                except StopIteration:
                    return
                except av.InvalidDataError:
                    continue  # the next time stamp shows how much was lost
                except av.FFmpegError:
                    return  # what is missing shows against the announced duration
                for frame in frames:
                    gap = 0 if frame.time is None else round((frame.time - origin) * self.rate) - at
                    if gap > _GAP * self.rate:
                        # Up to the first sample it is only a track that begins later than the picture.
                        tally.lost += gap if at else 0
                        at += gap
                        for begin in range(0, gap, size):
                            yield np.zeros((min(size, gap - begin), self.channels), np.float32)
                    for plain in resampler.resample(frame):
                        block = np.ascontiguousarray(plain.to_ndarray().T, dtype=np.float32)
                        at += len(block)
                        yield fit_channels(block, self.channels)
