"""What is said on one channel of a stream, window after window: as it is understood so far, then finally.

A window is closed where somebody pauses, in a silence, or, of whoever does not pause, between two words. Only what is
open is kept of the sound.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import soxr

from diarnb.audio import SAMPLE_RATE
from diarnb.server.deepgram import text as deepgram_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from diarnb._types import Json
    from diarnb.server.deepgram.text import Word

_PAUSE = 0.25  # seconds without speech that end a stretch at least: shorter ones are gaps between words
_AROUND = 0.3  # seconds before and after speech that are listened to as well
_UNSURE = 0.5  # seconds before the end of what is decided, where speech may not have been noticed yet
_SILENCE = 5.0  # seconds without speech that make a window
_LONGEST = 8.0  # seconds of speech without a pause that make one
_BEHIND = 1.0  # seconds that are decided beyond a pause before it ends a window: who spoke is surer then
_REST = 2.0  # seconds at its end that are left for the next, for a word may be cut there
_REMEMBERED = 60.0  # seconds for which turns are kept; the engine itself revises half as many
_CHEAP = 0.5  # seconds that may be spent on what is said only so far, for each second of sound


@dataclass(frozen=True)
class Window:
    """What is told of a window.

    Attributes
    ----------
    start, end : float
        Seconds from the beginning of the stream.
    words : list of dict
    final : bool
        Whether it will be told again.
    paused : bool
        Whether it ends because speech does.
    flushed : bool
        Whether it ends because the client wanted it.
    """

    start: float
    end: float
    words: list[Word]
    final: bool = True
    paused: bool = False
    flushed: bool = False


@dataclass
class WindowedTranscriber:
    """One channel.

    Parameters
    ----------
    rate : int
        Hz.
    hear : callable or None
        Takes samples at 16 kHz and the stretches of speech in them, gives words; None where nobody hears any.
    pause : float or None
        Seconds without speech at which somebody is said to have finished; None for never.
    diarized : bool
        Whether to say who speaks.
    """

    rate: int
    hear: Callable[[NDArray[np.float32], list[tuple[float, float]]], list[Word]] | None
    pause: float | None
    diarized: bool
    begun: float = 0.0  # where the open window starts
    known: float = 0.0  # until when it is decided who speaks
    _first: int = 0  # number of the first sample that is kept
    _kept: list[NDArray[np.float32]] = field(default_factory=list)
    _count: int = 0  # samples
    _turns: dict[int, Json] = field(default_factory=dict)
    _numbers: deepgram_text.SpeakerNumbers = field(default_factory=deepgram_text.SpeakerNumbers)
    _pace: float = 0.0  # seconds that it takes to hear words in a second of sound
    _told: float = 0.0  # until when the open window was told so far

    @property
    def now(self) -> float:
        """Seconds of sound that have come."""
        return self._count / self.rate

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take sound."""
        self._kept.append(samples)
        self._count += len(samples)

    def decide(self, turns: Iterable[Json], until: float) -> None:
        """Take turns that are new or have changed, as `Streamer.stream` gives them."""
        self.known = until
        self._turns |= {turn["turn_id"]: turn for turn in turns}
        oldest = self.begun - _REMEMBERED
        self._turns = {number: turn for number, turn in self._turns.items() if turn["end"] > oldest}

    def speech(self) -> list[tuple[float, float]]:
        """Return the regions of speech in the open window, as far as they are known, parted by pauses."""
        least = max(_PAUSE, self.pause or 0.0)
        found: list[tuple[float, float]] = []
        spans = ((max(turn["start"], self.begun), turn["end"]) for turn in self._turns.values())
        for start, end in sorted(span for span in spans if span[0] < span[1]):
            if found and start - found[-1][1] < least:
                found[-1] = found[-1][0], max(found[-1][1], end)
            else:
                found.append((start, end))
        return found

    def close_next(self) -> Window | None:
        """Close the first window that can be closed; None while there is none."""
        least = max(_PAUSE, self.pause or 0.0)
        speech = self.speech()
        sure = self.known - _UNSURE
        if not speech:
            return self._close(sure, []) if sure - self.begun >= _SILENCE else None
        start, end = speech[0]
        if start - self.begun >= _SILENCE + _AROUND:
            return self._close(start - _AROUND, [])
        if end + max(least, _BEHIND) <= self.known:
            following = speech[1][0] if len(speech) > 1 else self.known
            until = min(end + _AROUND, (end + following) / 2)
            return self._close(until, self._words(start - _AROUND, until), paused=self.pause is not None)
        if self.known - start < _LONGEST:
            return None
        words = self._words(start - _AROUND, self.known)
        whole = [word for word in words if word["end"] <= self.known - _REST]
        if not whole:
            return self._close(self.known, words)
        following = min((word["start"] for word in words[len(whole) :]), default=whole[-1]["end"])
        return self._close(max((whole[-1]["end"] + following) / 2, self.begun), whole)

    def preview(self) -> Window | None:
        """Transcribe the open window so far, where a second has come and that takes little time."""
        if self.hear is None or self.now - max(self._told, self.begun) < 1.0:
            return None
        start = self._heard_from()
        self._told = self.now
        if self._pace * (self.now - start) > _CHEAP:
            return None
        return Window(self.begun, self.now, self._words(start, self.now, final=False), final=False)

    def close_rest(self, *, flushed: bool) -> Window | None:
        """Close all that is open; None where nothing is."""
        if self.now <= self.begun:
            return None
        words = self._words(self._heard_from(), self.now)
        return self._close(self.now, words, paused=bool(words) and self.pause is not None, flushed=flushed)

    def _heard_from(self) -> float:
        """Find where speech begins in the open window; beyond what is decided it may be anywhere."""
        speech = self.speech()
        return (speech[0][0] if speech else max(self.begun, self.known - _UNSURE)) - _AROUND

    def _close(self, end: float, words: list[Word], **how: bool) -> Window:
        window = Window(self.begun, end, words, **how)
        self.begun = end
        self._forget()
        return window

    def _forget(self) -> None:
        needless = round(self.begun * self.rate) - self._first
        self._kept = [np.concatenate(self._kept)[needless:]]
        self._first += needless

    def _words(self, start: float, end: float, *, final: bool = True) -> list[Word]:
        """Transcribe the open window between two times, and assign speakers."""
        if self.hear is None:
            return []
        self._kept = [np.concatenate(self._kept)]
        first = round(max(start, self.begun) * self.rate)
        sound = self._kept[0][first - self._first : round(end * self.rate) - self._first]
        begun, length = first / self.rate, len(sound) / self.rate
        turns = [turn for turn in self._turns.values() if turn["start"] < turn["end"]]
        spans = [(turn["start"], turn["end"]) for turn in turns] + [(self.known, end)]
        speech = [(max(span[0] - begun, 0.0), min(span[1] - begun, length)) for span in spans]
        since = time.monotonic()
        heard = self.hear(soxr.resample(sound, self.rate, SAMPLE_RATE), [span for span in speech if span[0] < span[1]])
        self._pace = (time.monotonic() - since) / max(length, 1.0)
        words = [{**word, "start": word["start"] + begun, "end": word["end"] + begun} for word in heard]
        if not self.diarized:
            return words
        return deepgram_text.number_speakers(words, turns, self._numbers if final else deepcopy(self._numbers))
