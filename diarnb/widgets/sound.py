"""The sound of a recording, for pages: slices that travel when they are played, and none of it in a widget's state."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import numpy as np
import soundfile
import traitlets

from diarnb._text import clock, visible
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.audio.pcm import encode_pcm16
from diarnb.errors import AudioNotFoundError, DiarnbError, InvalidParameterError, TurnTableError
from diarnb.playback import find_audio
from diarnb.widgets.frontend import load_script, load_style
from diarnb.widgets.parts import share
from diarnb.widgets.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    import pandas as pd
    from numpy.typing import NDArray

    from diarnb._types import Json, Options, Source
    from diarnb.audio import Samples

    Answer: TypeAlias = tuple[Json, Sequence[bytes]]

log: logging.Logger = logging.getLogger("diarnb")

SLICE = 4.0
"""Seconds of sound that travel at once: about 90 kB as FLAC."""

LONGEST_CLIP = 120.0
"""Seconds after which a clip ends, however long the turn is."""

_FORMATS = ("FLAC", "WAV")  # lossless, so that slices join sample by sample; every browser of today decodes both


class Sound:
    """A recording, kept open for those who listen to it.

    Parameters
    ----------
    source : anything that `diarize` takes

    Attributes
    ----------
    duration : float
        Seconds.
    peaks : Peaks

    Raises
    ------
    AudioError
        One of its kinds, when the recording cannot be used.

    Examples
    --------
    >>> sound = Sound(example("interview"))
    >>> len(soundfile.read(io.BytesIO(sound.encode(1.0, 3.0)))[0])
    32000
    >>> sound.close()
    """

    def __init__(self, source: Source) -> None:
        self._opened, self._closed = contextlib.ExitStack(), False
        self._recording = self._opened.enter_context(open_recording(source))
        self._decoding = threading.Lock()  # two threads may ask, and a recording decides some things only once
        self.duration: float = self._recording.duration
        self._copy = None if self._recording.seeks else _SoundCopy()
        if self._copy is not None:
            self._opened.callback(self._copy.close)
        self.peaks: Peaks = Peaks(self._recording, None if self._copy is None else self._copy.append)
        self._opened.callback(self.peaks.close)

    @classmethod
    def of(cls, turns: pd.DataFrame, audio: Source | Sound | None = None) -> Sound:
        """Find the recording of a table through its run, or take the one that is given.

        Raises
        ------
        AudioNotFoundError
            The table does not know its recording, or it is no longer where it was.
        AudioChangedError
            The file there is a different recording.
        """
        if audio is not None:
            return audio if isinstance(audio, Sound) else cls(audio)
        try:
            return cls(find_audio(turns))
        except TurnTableError as error:
            message = "This table does not know its recording: pass it as audio=…"
            raise AudioNotFoundError(message) from error

    def encode(self, start: float, end: float, format: str = "FLAC") -> bytes:  # noqa: A002 - soundfile's word
        """Encode a stretch as a small file in memory.

        Parameters
        ----------
        start, end : float
            Seconds; beyond the end of the recording there is nothing.
        format : {"FLAC", "WAV"}, default "FLAC"
            16 bits either way, at 16 kHz, one channel: neighbouring stretches join without a gap.

        Returns
        -------
        bytes
            Empty where the recording has ended.
        """
        if self._closed:
            raise AudioNotFoundError(f"{self._recording.name} was closed: run the cell again")
        samples: Any
        if self._copy is None:
            with self._decoding:
                samples = np.concatenate([np.empty(0, np.float32), *self._recording.blocks(start=start, end=end)])
        else:
            while not self.ready(end):
                time.sleep(0.05)
            samples = self._copy.read(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        if not len(samples):
            return b""
        encoded = io.BytesIO()
        soundfile.write(encoded, samples, SAMPLE_RATE, format=format, subtype="PCM_16")
        return encoded.getvalue()

    def ready(self, end: float) -> bool:
        """Whether sound up to this second can be had at once; if not, it is on its way.

        Where a recording cannot be entered in its middle (m4a, mp4, webm), one pass over it keeps its samples in a
        temporary file.
        """
        if self._copy is None or self._closed:
            return True
        self.peaks.start()
        return self.peaks.done >= end

    def close(self) -> None:
        """Stop reading, and remove what was downloaded."""
        self._closed = True
        self._opened.close()


class _SoundCopy:
    """The samples of a recording in a temporary file, 115 MB an hour: written by one thread, read by others."""

    def __init__(self) -> None:
        self._file, self._turn = tempfile.TemporaryFile(prefix="diarnb-"), threading.Lock()  # noqa: SIM115

    def append(self, block: Samples) -> None:
        with self._turn:
            self._file.seek(0, io.SEEK_END)
            self._file.write(encode_pcm16(block))

    def read(self, first: int, last: int) -> NDArray[np.int16]:
        with self._turn:
            self._file.seek(2 * first)
            return np.frombuffer(self._file.read(2 * (last - first)), np.int16)

    def close(self) -> None:
        self._file.close()


class WrongMessageError(ValueError):
    """What a page sent is not what our pages send."""


def integer(message: Mapping[str, object], name: str, low: int, high: int) -> int:
    """Take a whole number out of a message, or refuse it."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WrongMessageError(f"{name} is no whole number from {low} to {high}")
    return value


def seconds(message: Options, name: str, last: float) -> float:
    """Take a time out of a message, or refuse it."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= last:
        raise WrongMessageError(f"{name} is no time from 0 to {last:g} s")
    return float(value)


def integers(message: Options, name: str, most: int) -> list[int]:
    """Take a list of whole numbers out of a message, or refuse it."""
    values = message.get(name)
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise WrongMessageError(f"{name} is no list of 1 to {most}")
    return [integer({name: value}, name, 0, 2**31) for value in values]


def text(message: Options, name: str, limit: int = 1000) -> str:
    """Take a text out of a message, or refuse it."""
    value = message.get(name)
    if not isinstance(value, str) or len(value) > limit or any("\ud800" <= c <= "\udfff" for c in value):
        raise WrongMessageError(f"{name} is no text of at most {limit} characters")
    return value


class SoundWidget(anywidget.AnyWidget):
    """A widget whose page asks for what it needs; questions are checked, and wrong ones ignored.

    A page sends ``{"id": int, "ask": name, ...}``. The method that `_answers` has for the name gives the answer, a
    dictionary and a list of buffers; it goes back with the same id. An error of ours goes back as ``{"error": text}``.

    Parameters
    ----------
    sound : Sound
        Whoever made it closes it.
    """

    _answers: ClassVar[dict[str, str]] = {}

    def __init__(self, sound: Sound, **traits: Any) -> None:
        super().__init__(layout=share(ipywidgets.Layout), **traits)
        self._sound = sound
        self._answering = threading.RLock()  # JupyterLab may have questions answered while a cell runs
        self.on_msg(self._receive)

    def _receive(self, _widget: object, message: Any, _buffers: object) -> None:
        try:
            told, buffers = self._answer(message)
        except WrongMessageError as error:
            log.warning("Ignored a message from the page of a %s: %s", type(self).__name__, visible(error, limit=120))
        else:
            self.send({**told, "id": message["id"]}, list(buffers))

    def _answer(self, message: object) -> Answer:
        if not isinstance(message, dict):
            raise WrongMessageError("it is no mapping")
        integer(message, "id", 0, 2**53)
        name = text(message, "ask", 40)
        if name not in self._answers:
            raise WrongMessageError("nobody answers that")
        try:
            with self._answering:
                answer: Answer = getattr(self, self._answers[name])(message)
        except DiarnbError as error:
            return {"error": str(error)}, []
        except WrongMessageError:
            raise
        except Exception as error:  # a page that is never answered waits for ever
            log.exception("A %s could not answer its page", type(self).__name__)
            return {"error": f"This failed ({type(error).__name__}); see Python's log."}, []
        return answer

    def _sound_from(self, start: float, end: float, message: Mapping[str, object]) -> Answer:
        name = self._format(message)
        return ({}, [self._sound.encode(start, end, name)]) if self._sound.ready(end) else ({"later": True}, [])

    def _format(self, message: Mapping[str, object]) -> str:
        name = text(message, "format", 8)
        if name not in _FORMATS:
            raise WrongMessageError("no such format")
        return name


class ClipButton(SoundWidget):
    """A button that plays a stretch of a recording; the sound travels when it is pressed, and is then kept by the page.

    Parameters
    ----------
    sound : Sound
        Shared by many buttons; whoever made it closes it.
    start, end : float
        Seconds; at most 120 s are played.
    label : str, default: the times
        What stands on it: plain text, from anywhere.

    Raises
    ------
    InvalidParameterError
        There is nothing between start and end.

    Examples
    --------
    >>> sound = Sound(example("interview"))
    >>> button = ClipButton(sound, 3.5, 6.0)
    >>> button.label
    '0:03.5 – 0:06.0'
    >>> button.close()
    """

    _esm, _css = load_script("clip.js"), load_style("clip.css")
    _answers: ClassVar[dict[str, str]] = {"clip": "_clip"}

    label: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)

    def __init__(self, sound: Sound, start: float, end: float, label: str | None = None) -> None:
        super().__init__(sound)
        self.change(start, end, label)

    @property
    def stretch(self) -> tuple[float, float]:
        """What it plays, in seconds. Pages cannot change this."""
        return self._stretch

    def change(self, start: float, end: float, label: str | None = None) -> None:
        """Make it the button of another stretch."""
        if not 0 <= start < end < math.inf:
            raise InvalidParameterError(
                f"start and end must be seconds with 0 <= start < end, not {start!r} and {end!r}"
            )
        self._stretch = float(start), min(float(end), start + LONGEST_CLIP)
        self.label = (
            f"{clock(start, decimals=1)} – {clock(end, decimals=1)}" if label is None else visible(label, limit=80)
        )
        self.send({"do": "forget"})

    def play(self) -> None:
        """Have the page play it, as if it had been pressed; browsers allow that once somebody has clicked anywhere."""
        self.send({"do": "play"})

    def stop(self) -> None:
        """Have the page stop it."""
        self.send({"do": "stop"})

    def _clip(self, message: Mapping[str, object]) -> Answer:
        return self._sound_from(*self._stretch, message)
