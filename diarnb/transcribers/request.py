"""From what `diarize` is given as ``words=`` to the words of a recording, which are heard once."""

from __future__ import annotations

import hashlib
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from diarnb.engines.base import Engine
from diarnb.errors import ConfigurationError, DiarnbWarning, InvalidParameterError
from diarnb.tables.checks import check_end
from diarnb.transcribers import best_installed, identity, transcribe, transcriber
from diarnb.transcripts.words import check_words

if TYPE_CHECKING:
    from diarnb._progress import Progress
    from diarnb._types import Json
    from diarnb.audio import Recording
    from diarnb.store.run import Evidence
    from diarnb.transcripts.words import Word

LISTENING = 0.1
"""Of the whole work, roughly; transcribing takes the rest."""

_MILLISECONDS = "; if the times are in milliseconds, use words[['start', 'end']] / 1000"


class WordsRequest:
    """The words that `diarize` is to have: given, or still to be heard.

    Attributes
    ----------
    key : str or None
        Equal where the words of a recording would be the same; None as long as nobody can tell.
    """

    def __init__(self, words: Any) -> None:
        self._given: list[Word] | None = None
        words = _choose_best() if words is True else words
        if callable(words) or isinstance(words, str):
            self._transcriber = transcriber(words)
            self.key = identity(self._transcriber)
        else:
            self._given = check_words(words)
            self.key = _hash_words(self._given)

    def prepare(self, evidence: Evidence) -> None:
        """Fail now, and not after an hour of listening."""
        if self._given is None and self._load_kept(evidence) is None:
            getattr(self._transcriber, "prepare", lambda: None)()

    def of(
        self,
        recording: Recording,
        channel: Any,
        raw: Json,
        evidence: Evidence,
        progress: Progress,
    ) -> tuple[list[Word], Evidence]:
        """Find the words of a recording, and what is to be kept of them beside the evidence.

        Parameters
        ----------
        recording : Recording
        channel : "mix", "split" or int
        raw : dict
            The answer that says where there is speech.
        evidence : mapping
            What was kept before.
        progress : callable

        Raises
        ------
        TurnTableError
            The words that were given go on long after the recording ends.
        """
        if self._given is not None:
            ends = (word["end"] for word in self._given)
            check_end(ends, raw.get("duration") or recording.duration, name="words", advice=_MILLISECONDS)
            return self._given, {}
        kept = self._load_kept(evidence)
        if kept is not None:
            return kept, {}
        words = self._transcribe(recording, channel, raw, progress)
        if self.key is None:
            self.key = _hash_words(words)
            return words, {}
        return words, {self._place: np.frombuffer(json.dumps(words).encode(), np.uint8)}

    @property
    def _place(self) -> str:
        return f"words {_hash(self.key or '')}"

    def _load_kept(self, evidence: Evidence) -> list[Word] | None:
        if self.key is None or self._place not in evidence:
            return None
        words: list[Word] = json.loads(evidence[self._place].tobytes())
        return words

    def _transcribe(self, recording: Recording, channel: Any, raw: Json, progress: Progress) -> list[Word]:
        """Hear all that is spoken; exclusive turns are cut where the speaker changes."""
        turns = raw.get("exclusiveDiarization") or raw["diarization"]
        if channel != "split":
            speech = [(turn["start"], turn["end"]) for turn in turns]
            return transcribe(recording, speech, self._transcriber, progress, channel=channel)
        words = []
        for number in range(recording.channels):
            speech = [(turn["start"], turn["end"]) for turn in turns if turn.get("channel", 0) == number]
            report = scale_progress(progress, number / recording.channels, (number + 1) / recording.channels)
            heard = transcribe(recording, speech, self._transcriber, report, channel=number)
            words += [{**word, "channel": number} for word in heard]
        return sorted(words, key=lambda word: (word["start"], word["end"]))


def request_words(words: Any, engine: Engine) -> WordsRequest | None:
    """Check what `diarize` is given as ``words=``, before anything is read or sent.

    Raises
    ------
    InvalidParameterError
        The engine has words of its own, or there is no such transcriber.
    ConfigurationError
        The transcriber is not installed.
    TurnTableError
        The table has no words, or impossible times.
    """
    if words is None or words is False:
        return None
    if engine.can(Engine.read):
        raise InvalidParameterError(
            f"words= is for the local engine, not for {engine.name!r}: pyannoteAI transcribes with "
            "transcription=True, and Deepgram always has words; diarnb.words(turns) returns them"
        )
    return WordsRequest(words)


def _choose_best() -> str:
    name = best_installed()
    if name is None:
        raise ConfigurationError(
            "words=True uses the best transcriber installed, but there is none: pip install 'diarnb[moonshine]' for "
            "English without a download, or 'diarnb[whisper]' for a hundred languages"
        )
    if name == "sphinx":
        better = "it gets about half of the words wrong: pip install 'diarnb[moonshine]' for better English"
        warnings.warn(f"words=True uses sphinx, the best one installed; {better}", DiarnbWarning, stacklevel=4)
    return name


def scale_progress(progress: Progress, start: float, end: float) -> Progress:
    """Return what reports a part of the work as so much of the whole."""
    return lambda stage, fraction: progress(stage, start + (end - start) * fraction)


def _hash_words(words: list[Word]) -> str:
    return f"table {_hash(json.dumps(words, sort_keys=True))}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
