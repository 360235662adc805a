"""The player: who spoke when, heard and corrected in one place."""

from __future__ import annotations

import math
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from diarnb._text import visible
from diarnb.audio import SAMPLE_RATE
from diarnb.corrections import Corrections
from diarnb.errors import DiarnbWarning, InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.formats import FORMATS, PAGE, READ_ONLY, WORDS_ONLY, write
from diarnb.results import correct_words, has_words
from diarnb.results import words as words_of
from diarnb.tables.activity import ERRORS, find_errors, match_speakers
from diarnb.tables.checks import as_table, check_spans, check_turns
from diarnb.tables.colors import PALETTE
from diarnb.transcripts import assign_speakers
from diarnb.widgets.frontend import load_script, load_style
from diarnb.widgets.packing import Spoken, pack_differences, pack_turns
from diarnb.widgets.panel import Correcting
from diarnb.widgets.peaks import FACTOR, STEP, TILE
from diarnb.widgets.reruns import replace_earlier
from diarnb.widgets.sound import SLICE, Sound, SoundWidget, WrongMessageError, integer, integers, seconds, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diarnb._types import Json, Options, Source
    from diarnb.widgets.sound import Answer

_LONGEST_NAME = 200  # characters of a speaker's name, from a page
_LONGEST_WORD = 200
_MOST_TURNS = 1000  # that one message from a page changes
_MOST_PARAGRAPHS = 100  # that one message brings
_FORMATS = sorted({*FORMATS, PAGE} - READ_ONLY)


def player(
    turns: pd.DataFrame | Corrections,
    audio: Source | Sound | None = None,
    *,
    reference: pd.DataFrame | None = None,
    words: pd.DataFrame | None = None,
    by: str = "person",
    fresh: bool = False,
) -> Player:
    """Play the recording of a run in sync with the rows of this table, and correct them.

    Parameters
    ----------
    turns : pandas.DataFrame or Corrections
        Any table with start, end and speaker, of one recording; or the ``corrections`` of another panel, to share its
        log. The table itself is not changed. Its earlier corrections, of today or last week, are applied.
    audio : anything that `diarize` takes, optional
        The recording, if it cannot be found through the run of the table.
    reference : pandas.DataFrame, optional
        The true turns, or those of another engine, drawn as additional lanes with the differences marked.
    words : pandas.DataFrame, optional
        ``start``, ``end`` and ``word`` or ``text``, shown as they are spoken. Default: the words of the run, else the
        ``text`` of the turns, else nothing.
    by : str, default "person"
        Who makes the corrections; the log records it.
    fresh : bool, default False
        Start without the earlier corrections of this table. They stay on disk, and can be applied later.

    Returns
    -------
    Player
        ``.turns`` is the corrected table, ``.edits`` the log. Audio is sent only when it is played. The saved notebook
        contains a picture and the table, but no audio. Running the cell again closes the earlier player.

    Raises
    ------
    AudioNotFoundError
        The table does not know its recording, or the file has moved: pass it as ``audio=``.
    AudioChangedError
        The file there is a different recording.
    AudioError
        One of its kinds, when `audio` cannot be used.
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> shown = player(diarize(example("interview"), progress=False))
    >>> shown.corrections.rename("SPEAKER_00", "Beth")
    >>> shown.turns["speaker"][0]
    'Beth'
    >>> shown.close()
    """
    turns = turns if isinstance(turns, Corrections) else as_table(turns)
    other = None if reference is None else check_turns(reference, name="reference")
    corrections = turns if isinstance(turns, Corrections) else Corrections.open(turns, by, fresh=fresh)
    said = None if words is None else check_words(words)
    made = Player(Sound.of(corrections.turns, audio), corrections, other, said)
    replace_earlier(made, Player)
    return made


class Player(Correcting, SoundWidget):  # type: ignore[misc]  # two outputs instead of one bundle
    """What `player` gives: the page plays and asks for corrections, which are checked and made here."""

    _esm, _css = load_script("player/player.js"), load_style("player/player.css")
    _answers: ClassVar[dict[str, str]] = {
        "hello": "_hello",
        "slice": "_slice",
        "peaks": "_peaks",
        "paragraphs": "_paragraphs",
        "words": "_words",
        "find": "_find",
        "export": "_export",
        "edit": "_edit",
        "selected": "_select",
        "verdict": "_judge",
    }

    def __init__(
        self, sound: Sound, corrections: Corrections, reference: pd.DataFrame | None, words: pd.DataFrame | None
    ) -> None:
        super().__init__(sound)
        self._reference, self._given_words = reference, words
        self._spoken = Spoken(find_said(corrections.turns, words))
        self._voices: list[str] = []  # in the order in which they were first seen: their lanes, and their colours
        self._begin()
        self._correct(corrections)
        self.selected: int | None = None  # the turn that is; a page tells of its own where somebody follows
        self.judges: dict[str, Callable[[], object]] = {}  # by key, what a review beside it does
        self.follows: Callable[[int], object] | None = None  # is told which turn is selected

    def seek(self, time: float) -> None:
        """Move the playhead, in seconds."""
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < math.inf:
            raise InvalidParameterError(f"a time is a number of seconds, 0 or more, not {time!r:.40}")
        self.send({"do": "seek", "time": time})

    def play(self, start: float, end: float) -> None:
        """Have the page play a stretch, in seconds; browsers allow that once somebody has clicked anywhere."""
        if not 0 <= start < end < math.inf:
            raise InvalidParameterError(f"start and end are seconds with 0 <= start < end, not {start!r} and {end!r}")
        self.send({"do": "play", "start": start, "end": end})

    def select(self, turn: int) -> None:
        """Select a turn, by its id, and bring it into view."""
        if turn not in self.turns.index:
            raise InvalidParameterError(f"there is no turn {turn!r:.40}; ids are the index of `turns`")
        self.selected = int(turn)
        self.send({"do": "select", "turn": self.selected})

    def _show(self) -> None:
        told, buffers = self._state()
        self.send({"do": "turns", **told}, buffers)

    def close(self) -> None:
        """Take it off the page, and let go of the recording. `turns` and `edits` stay."""
        self._leave()
        self._sound.close()
        super().close()

    # What the page asks for.

    def _hello(self, _message: Mapping[str, object]) -> Answer:
        told, buffers = self._state()
        facts = self.turns.attrs.get("diarnb") or {}
        ends = [table["end"].max() for table in (self.turns, self._reference) if table is not None and len(table)]
        fixed = {
            "title": visible(facts.get("source", ""), limit=70) if facts.get("source") else "",
            "duration": max([self._sound.duration, *ends]),
            "levels": self._sound.peaks.levels,
            "words": len(self._spoken) > 0,
            "still": self._trace,
            "judges": list(self.judges),
            "formats": _FORMATS,
            "selected": self.selected,
            "follows": self.follows is not None,
        }
        return {**fixed, **told}, buffers

    def _slice(self, message: Mapping[str, object]) -> Answer:
        number = integer(message, "number", 0, int(self._sound.duration / SLICE) + 1)
        return self._sound_from(number * SLICE, (number + 1) * SLICE, message)

    def _peaks(self, message: Mapping[str, object]) -> Answer:
        peaks = self._sound.peaks
        level = integer(message, "level", 0, peaks.levels - 1)
        number = integer(message, "tile", 0, 1 << 20)
        first = integer({"first": 0, **message}, "first", 0, TILE)
        done = min(peaks.done, 1e9)  # before the tile is made: what is done afterwards may be missing from it
        read = max(0, int(done * SAMPLE_RATE / STEP) // FACTOR**level - number * TILE)
        return {"done": done, "problem": peaks.error}, [peaks.tile(level, number)[first:read].tobytes()]

    def _paragraphs(self, _message: Mapping[str, object]) -> Answer:
        """Find where paragraphs begin: speakers of words follow the corrections."""
        labels = self.corrections.labels
        lanes = {labels[label]: lane for lane, label in reversed(list(enumerate(self._voices))) if label in labels}
        self._spoken.follow(find_said(self.turns, self._given_words), lanes)
        return {}, [self._spoken.pack()]

    def _words(self, message: Mapping[str, object]) -> Answer:
        first = integer(message, "first", 0, 1 << 24)
        beyond = integer(message, "beyond", first, first + _MOST_PARAGRAPHS)
        return {"words": self._spoken.between(first, beyond)}, []

    def _find(self, message: Options) -> Answer:
        return {"hits": self._spoken.find(text(message, "text", 200))}, []

    def _export(self, message: Options) -> Answer:
        """Write what is shown in a format of `diarnb.write`, for the page to save."""
        suffix = text(message, "format", 20)
        if suffix not in _FORMATS:
            raise WrongMessageError("there is no such format")
        turns = self.turns
        table = find_said(turns, self._given_words) if suffix in WORDS_ONLY else turns
        name = Path(str((turns.attrs.get("diarnb") or {}).get("source") or "turns")).stem
        with tempfile.TemporaryDirectory(prefix="diarnb-") as folder, warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always", DiarnbWarning)
            path = Path(folder, visible(name, limit=80).replace("/", "_") + suffix)
            write(table, path)
            content = path.read_bytes()
        return {"name": path.name, "told": " ".join(str(each.message) for each in remarks)}, [content]

    def _edit(self, message: Options) -> Answer:
        """Make a correction; voices are told by their lanes, so that a page can name none that does not exist."""
        make = self.corrections
        match text(message, "what", 20):
            case "rename":
                make.rename(self._voice(message, "voice"), text(message, "name", _LONGEST_NAME))
            case "merge":
                make.merge(self._voice(message, "voice"), self._voice(message, "to"))
            case "split":
                make.split(self._voice(message, "voice"), seconds(message, "start", 1e9))
            case "reassign":
                make.reassign(integers(message, "turns", _MOST_TURNS), self._voice(message, "to", new=True))
            case "select":
                stretch = slice(seconds(message, "start", 1e9), seconds(message, "end", 1e9))
                only = None if message.get("voice") is None else self._voice(message, "voice")
                make.reassign(stretch, self._voice(message, "to", new=True), speaker=only)
            case "move":
                [turn] = integers(message, "turns", 1)
                make.move(turn, start=seconds(message, "start", 1e9), end=seconds(message, "end", 1e9))
            case "delete":
                make.delete(integers(message, "turns", _MOST_TURNS))
            case "add":
                start, end = seconds(message, "start", 1e9), seconds(message, "end", 1e9)
                make.add(start, end, self._voice(message, "to", new=True))
            case "word":
                start, end = seconds(message, "start", 1e9), seconds(message, "end", 1e9)
                make.correct_word(start, end, text(message, "was"), text(message, "text", _LONGEST_WORD))
            case "undo":
                make.undo()
            case "redo":
                make.redo()
            case "afresh":
                self.start_afresh()
            case "take":
                return {"told": self.take_over()}, []
            case _:
                raise WrongMessageError("there is no such correction")
        return {}, []

    def _select(self, message: Mapping[str, object]) -> Answer:
        [turn] = integers({"turn": [message.get("turn")]}, "turn", 1)
        if self.follows is not None and turn in self.turns.index:
            self.selected = turn
            self.follows(turn)
        return {}, []

    def _judge(self, message: Mapping[str, object]) -> Answer:
        key = text(message, "key", 1)
        if key not in self.judges:
            raise WrongMessageError("there is no such verdict")
        self.judges[key]()
        return {}, []

    def _voice(self, message: Options, name: str, *, new: bool = False) -> Any:
        lane = integer(message, name, -1 if new else 0, len(self._voices) - 1)
        return None if lane < 0 else self._voices[lane]

    def _state(self) -> Answer:
        """Return the turns as they are now, with their names, colours and differences."""
        table, voices, labels = self.turns, self.corrections.voices, self.corrections.labels
        self._voices += [label for label in labels if label not in self._voices]
        lane_of = {label: lane for lane, label in enumerate(self._voices)}
        colors = [PALETTE[lane % len(PALETTE)] for lane in range(len(self._voices))]
        names = [visible(labels[label], limit=60) if label in labels else None for label in self._voices]
        told: Json = {
            "names": names,
            "colors": colors,
            "rounds": [lane // len(PALETTE) for lane in range(len(colors))],
            "undo": self.corrections.can_undo,
            "redo": self.corrections.can_redo,
            "notices": [notice._asdict() for notice in self.notices],
        }
        buffers = [pack_turns(table.index.tolist(), table, [lane_of[label] for label in voices])]
        if self._reference is not None:
            theirs = list(dict.fromkeys(self._reference["speaker"]))
            shown = {labels[label]: lane_of[label] for label in labels}
            twins = match_speakers(table, self._reference)
            looks = [shown.get(twins.get(name, name), len(colors) + place) for place, name in enumerate(theirs)]
            told["reference"] = {
                "names": [visible(name, limit=60) for name in theirs],
                "colors": [PALETTE[look % len(PALETTE)] for look in looks],
                "rounds": [look // len(PALETTE) for look in looks],
                "kinds": list(ERRORS),
            }
            lanes = [theirs.index(name) for name in self._reference["speaker"]]
            buffers += [
                pack_turns(range(len(lanes)), self._reference, lanes),
                pack_differences(find_errors(table, self._reference)),
            ]
        return told, buffers


def find_said(turns: pd.DataFrame, words: pd.DataFrame | None) -> pd.DataFrame:
    """Find what is said, by whom: the words that are given, else those of the run, else the texts of the turns."""
    if words is not None:
        return correct_words(assign_speakers(words, turns), turns)
    with suppress(TurnTableError, RunNotFoundError):
        if has_words(turns) and len(found := words_of(turns)):
            return found
    return check_turns(turns) if "text" in turns else pd.DataFrame({"start": [], "end": [], "text": []})


def check_words(words: pd.DataFrame) -> pd.DataFrame:
    """Check a table of words from elsewhere."""
    if not isinstance(words, pd.DataFrame) or not {"text", "word"} & set(words.columns):
        raise TurnTableError("words needs the columns start and end in seconds, and word or text")
    return check_spans(words)
