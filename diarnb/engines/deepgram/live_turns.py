"""Turns that grow while somebody speaks: what a live stream answers, message by message.

The service tells of one window of time after another, first as it understands it so far (words and speakers may still
change), then finally. A turn is final as soon as nothing that follows can lengthen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.engines.deepgram.answers import read_words
from diarnb.errors import ApiResponseError
from diarnb.transcripts import group_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._types import Json, Options
    from diarnb.engines.deepgram.answers import Word


class GrowingTurns:
    """The turns of a live stream, from its first message to its last.

    Parameters
    ----------
    pause : float
        Seconds without words that end a turn.

    Attributes
    ----------
    until : float
        Seconds from the start of the stream up to which everything is final.
    known : int
        How many numbers of speakers are taken; those of another connection come after them.
    words : list of dict
        All final words, also those without a speaker, as `read_words` gives them.
    """

    def __init__(self, pause: float) -> None:
        self.until: float = 0.0
        self.known: int = 0
        self.words: list[Word] = []
        self._pause = pause
        self._before = 0  # numbers taken by earlier connections
        self._closed = 0  # turns that are final
        self._open: list[Word] = []  # final words of turns that may still grow
        self._told: dict[int, Json] = {}  # what was given out of those
        self._heard = False  # whether anybody was named, ever

    def renumber(self) -> None:
        """Begin with another connection, whose speaker 0 is nobody who was heard before."""
        self._before = self.known

    def add(self, message: Options, offset: float) -> list[Json]:
        """Take in a message of type "Results".

        Parameters
        ----------
        message : mapping
        offset : float
            Seconds from the start of the stream at which its connection began.

        Returns
        -------
        list of dict
            Turns that are new or have changed: ``turn_id, start, end, speaker, text, final``. A turn that is not final
            may be taken back: it comes without length, and its id belongs to the next one.

        Raises
        ------
        ApiResponseError
            The message is not what the documents say, or no speakers come.
        """
        words, reached = self._read(message, offset)
        if message.get("is_final"):
            self._open += words
            self.until = max(self.until, reached)
            words = []
        return self._changes(self._open + words, len(self._open))

    def close(self) -> list[Json]:
        """Make what is open final: nothing follows."""
        self.until = float("inf")
        return self._changes(self._open, len(self._open))

    def _read(self, message: Mapping[str, object], offset: float) -> tuple[list[Word], float]:
        start, duration = message.get("start"), message.get("duration")
        if not all(isinstance(value, int | float) and 0 <= value < 1e7 for value in (start, duration)):
            raise ApiResponseError("Deepgram sent a live result without its start and duration.")
        reached = float(start) + float(duration)  # type: ignore[arg-type]
        channel = message.get("channel")
        alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
        first = alternatives[0] if isinstance(alternatives, list) and alternatives else {}
        if not isinstance(first, dict):
            raise ApiResponseError("Deepgram sent a live result whose alternative is no object.")
        words = read_words(first, "channel.alternatives[0]", reached + 1.0, 0)
        named = [word for word in words if word["speaker"] is not None]
        self._heard = self._heard or bool(named)
        if words and message.get("is_final") and not self._heard:
            raise ApiResponseError(
                "Deepgram sends words and no speakers: its diarizer does not run. diarize=True asks a live stream for "
                "the v1 diarizer, which this (self-hosted?) deployment does not have; ask its operator."
            )
        for word in words:
            word["start"] += offset
            word["end"] += offset
        for word in named:
            word["speaker"] += self._before
            self.known = max(self.known, word["speaker"] + 1)
        if message.get("is_final"):
            self.words += words
        return named, reached + offset

    def _changes(self, words: list[Word], final: int) -> list[Json]:
        """Find what has changed, of turns whose first `final` words are final."""
        groups = group_words(words, self._pause)
        changed, told, seen = [], {}, 0
        closed = 0
        for place, group in enumerate(groups):
            seen += len(group)
            followed = seen < final or self.until - max(word["end"] for word in group) > self._pause
            done = seen <= final and followed and closed == place
            turn = {
                "turn_id": self._closed + place,
                "start": min(word["start"] for word in group),
                "end": max(word["end"] for word in group),
                "speaker": f"SPEAKER_{group[0]['speaker']:02d}",
                "text": " ".join(word["text"] for word in group),
                "final": done,
            }
            if turn != self._told.get(turn["turn_id"]):
                changed.append(turn)
            if done:
                closed += 1
            else:
                told[turn["turn_id"]] = turn
        gone = [old for number, old in self._told.items() if number >= self._closed + len(groups)]
        changed += [{**old, "end": old["start"], "text": ""} for old in gone]
        self._open = self._open[sum(len(group) for group in groups[:closed]) :]
        self._closed += closed
        self._told = told
        return changed
