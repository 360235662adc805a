"""Corrections as data: a table of turns, what was done to it, and the way back.

Every edit is written down as rows of an append-only log, each of which says what a turn was and what it became. The
labels that the engine gave stay underneath: names are laid over them, and so are merges. Undoing writes a row too.
"""

from __future__ import annotations

import functools
import math
import threading
import warnings
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

import numpy as np
import pandas as pd

from diarnb._text import suggest, visible
from diarnb.corrections.history import REMARKS, History, Turn
from diarnb.corrections.log import Corrected, EarlierEdits, EditLog, Line
from diarnb.errors import InvalidParameterError, StoreError, StoreWarning
from diarnb.tables.activity import is_finite
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from diarnb._types import Json

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


def _keep_edit(
    edit: Callable[Concatenate[Corrections, _Given], _Made],
) -> Callable[Concatenate[Corrections, _Given], _Made]:
    """Have a method make its edit on what others have done so far, write it down, and tell who shows the table."""

    @functools.wraps(edit)
    def keep(self: Corrections, /, *args: _Given.args, **named: _Given.kwargs) -> _Made:
        with self._keeping():
            made = edit(self, *args, **named)
            self.taken_up = None  # has been seen
        self._tell()
        self._tell_others()
        return made

    return keep


_SHORTEST = 1e-3  # seconds; a cut that close to the end of a turn cuts nothing off
_CERTAIN = ("confirm", "reassign", "add")  # whoever does this says who speaks


_opened: WeakSet[Corrections] = WeakSet()  # those that are kept, so that they hear of each other


class Corrections:
    """A table of turns that can be corrected, and remembers how it was.

    A *label* is the permanent name of a voice: the text that the table came with, or the one that a new voice was
    given. Every method that takes a label takes the name shown for it as well, where just one voice has that name and
    it is no label itself. Methods check everything before they change anything.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker, of one recording. It is left as it is.
    by : str, default "person"
        Who corrects: a person, or an engine's name. It stands in every row of the log.

    Raises
    ------
    InvalidParameterError
        The table is of several recordings.
    TurnTableError
        It is not a table of turns.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["SPEAKER_00", "SPEAKER_01"]})
    >>> corrections = Corrections(turns)
    >>> corrections.rename("SPEAKER_00", "Beth")
    >>> corrections.reassign(1, "Beth")
    'SPEAKER_00'
    >>> list(corrections.turns["speaker"]), len(corrections.edits)
    (['Beth', 'Beth'], 2)
    >>> corrections.undo()
    True
    >>> list(corrections.turns["speaker"]), len(corrections.edits)
    (['Beth', 'SPEAKER_01'], 3)
    """

    def __init__(self, turns: pd.DataFrame, by: str = "person") -> None:
        base = check_turns(turns)
        if "uri" in base and len(set(base["uri"])) > 1:
            raise InvalidParameterError("one recording is corrected at a time: turns[turns['uri'] == ...]")
        self.by = by
        self._history = History(base)
        self._log: EditLog | None = None
        self._lock = threading.RLock()
        self._watchers: list[Callable[[], object]] = []
        self.taken_up: tuple[int, datetime] | None = None

    @classmethod
    def open(cls, turns: pd.DataFrame, by: str = "person", *, fresh: bool = False) -> Corrections:
        """Go on with the corrections of a table that are kept on disk, and keep those that are made here.

        Parameters
        ----------
        turns, by
            As for the class.
        fresh : bool, default False
            Begin without those that were made before; they are set aside, and can be taken over.

        Returns
        -------
        Corrections
            ``taken_up`` says how many corrections were found, and when the last of them was made.

        Warns
        -----
        StoreWarning
            Corrections cannot be kept, or the file that keeps them is damaged.

        Examples
        --------
        >>> turns = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["SPEAKER_00", "SPEAKER_01"]})
        >>> Corrections.open(turns).rename("SPEAKER_00", "Beth")
        >>> list(Corrections.open(turns).turns["speaker"])
        ['Beth', 'SPEAKER_01']
        """
        made = cls(turns, by)
        try:
            made._log = EditLog(made._history.base)
            made._absorb(made._log.read())
        except (OSError, StoreError) as error:
            made._stop_keeping(error)
        if fresh and made._history.log:
            made.start_afresh()
        elif made._history.done:
            made.taken_up = len(made._history.done), made._history.log[-1].at
        _opened.add(made)
        return made

    @property
    def kept(self) -> bool:
        """Whether corrections are written to disk as they are made."""
        return self._log is not None

    @property
    def of(self) -> Corrected | None:
        """Which table this is, as the log on disk knows it."""
        return None if self._log is None else self._log.of

    @property
    def earlier(self) -> list[EarlierEdits]:
        """Corrections of other runs of this recording, or set aside on this one, as long as there are none here."""
        if self._log is None or self._history.log:
            return []
        try:
            return self._log.find_earlier()
        except OSError:
            return []

    @property
    def turns(self) -> pd.DataFrame:
        """The table as it is now, a plain DataFrame.

        The columns and ``attrs`` of the first table, sorted by start, end and speaker; names follow in every other
        table of the run. The index, called ``turn``, holds ids that stay with a turn whatever happens to others.
        Where the speaker of a turn was changed, ``confidence`` is NaN, for it told of another; turns that were added
        lack what only an engine can say; and where a turn was cut, its ``text`` is divided by its words: of a run that
        knows none, or is gone, it stays with the first part.
        """
        return self._history.table()

    @property
    def edits(self) -> pd.DataFrame:
        """The log: append-only, with plain typed columns, to be saved as CSV or Parquet and applied to a later run.

        - ``edit``: int64 from 1; the rows of one edit share its number
        - ``at``: when, in UTC; ``by``: a person, or an engine's name
        - ``what``: rename, merge, split, reassign, move, delete, add; confirm and reject (a person has listened, and
          this speaker is right, or wrong); word (it is written otherwise); undo, redo
        - ``turn``: id of the turn, -1 where the edit is of a voice or a word
        - ``speaker``, ``start``, ``end``: label and times before; for rename and merge the voice and its longest turn;
          for word how it was written, and its times; empty and NaN for what was not there
        - ``to``, ``new_start``, ``new_end``: label and times after, or the new name; empty and NaN for what is gone
        - ``to_start``, ``to_end``: the longest turn of the voice `to` before, by which it is found in a later run
        - ``of``: the edit that is undone or redone, else -1
        """
        return self._history.frame()

    @property
    def labels(self) -> dict[str, str]:
        """The voices that have a turn, as labels, and the names shown for them; in order of first appearance."""
        shown, present = self._history.shown, set(self._history.voices().values())
        return {label: shown[label] for label in self._history.labels if label in present}

    @property
    def everybody(self) -> list[str]:
        """Every label there ever was, in order of appearance; colours go by it, and so outlast all corrections."""
        return list(self._history.labels)

    @property
    def voices(self) -> pd.Series[str]:
        """The label of every turn, with the index of `turns`; merges are followed, names are not."""
        voices, index = self._history.voices(), self.turns.index
        return pd.Series([voices[turn] for turn in index], index, dtype=str, name="label")

    @property
    def confirmed(self) -> set[int]:
        """Turns of which a person said who speaks: confirmed, reassigned or added by one, and there still."""
        turns = self._history.turns
        said = {
            row.turn: row.what in _CERTAIN and row.to == turns[row.turn].label
            for row in self._history.standing()
            if row.by == "person" and row.turn in turns
            if row.what in REMARKS or (row.what in _CERTAIN and row.to != row.speaker)
        }
        return {turn for turn, certain in said.items() if certain}

    @property
    def rejected(self) -> dict[int, set[str]]:
        """The labels of which a person said that they do *not* speak, by the ids of turns."""
        found: dict[int, set[str]] = {}
        for row in self._history.standing():
            if row.what == "reject" and row.turn in self._history.turns:
                found.setdefault(row.turn, set()).add(self._history.into[row.speaker])
        return found

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is anything to redo; a new edit takes that away."""
        return bool(self._history.undone)

    def label(self, label: str) -> str:
        """Find the voice that a label or a name means; of voices that were merged, the one that is left.

        Raises
        ------
        InvalidParameterError
            There is none, or several have that name.
        """
        into, shown = self._history.into, self._history.shown
        if label in into:
            return into[label]
        named = [voice for voice in self._history.labels if into[voice] == voice and shown[voice] == label]
        if len(named) == 1:
            return named[0]
        if named:
            raise InvalidParameterError(f"{visible(label)!r} is the name of {len(named)} voices; use a label: {named}")
        there = [*self._history.labels, *shown.values()]
        hint = suggest(label, there, "to=None makes a new voice", show=lambda name: repr(visible(name)))
        raise InvalidParameterError(f"there is no speaker {visible(label)!r}; {hint}")

    @_keep_edit
    def rename(self, label: str, name: str) -> None:
        """Show a name for a voice. Two voices may have one name, and stay two until they are merged.

        Raises
        ------
        InvalidParameterError
            There is no such voice, or the name is no text or blank.
        """
        voice = self.label(label)
        if not isinstance(name, str) or not name.strip():
            raise InvalidParameterError(f"a speaker's name is text that is not blank, but this is {name!r:.40}")
        start, end = self._longest(voice)
        self._record("rename", [{"speaker": voice, "start": start, "end": end, "to": name}])

    @_keep_edit
    def merge(self, labels: str | Iterable[str], into: str) -> None:
        """Make voices one: those of `labels` become `into`, whose name stays.

        Raises
        ------
        InvalidParameterError
            There is no such voice, or there are no two.
        """
        target = self.label(into)
        given = [labels] if isinstance(labels, str) else list(labels)
        others = [voice for voice in dict.fromkeys(map(self.label, given)) if voice != target]
        if not others:
            raise InvalidParameterError(f"there is nothing to merge into {visible(into)!r} but itself")
        rows = []
        for voice in others:
            start, end = self._longest(voice)
            rows.append({"speaker": voice, "start": start, "end": end, "to": target, **self._like(target)})
        self._record("merge", rows)

    @_keep_edit
    def split(self, label: str, at: float) -> str:
        """Split a voice in two: what it says from a moment on is a new voice's. A turn across that moment is cut.

        Parameters
        ----------
        label : str
        at : float
            Seconds.

        Returns
        -------
        str
            The new voice's label.

        Raises
        ------
        InvalidParameterError
            There is no such voice, or it says nothing before or after.
        """
        voice, moment = self.label(label), _second(at, "at")
        own = [turn for turn, of in self._history.voices().items() if of == voice]
        after = [turn for turn in own if self._history.turns[turn].end > moment + _SHORTEST]
        if not after or all(self._history.turns[turn].start >= moment for turn in own):
            raise InvalidParameterError(f"{visible(label)!r} says nothing on one side of {moment:.3f} s")
        new = self._new_label()
        self._record("split", [row for turn in after for row in self._within(turn, moment, math.inf, new)])
        return new

    @_keep_edit
    def reassign(self, turns: int | Iterable[int] | slice, to: str | None, *, speaker: str | None = None) -> str:
        """Correct who speaks.

        Parameters
        ----------
        turns : int, iterable of int, or slice
            Ids of turns (the index of `turns`), or a selection in seconds, ``slice(12.5, 14)``: turns across its edges
            are cut.
        to : str or None
            Whose they are; None makes a new voice.
        speaker : str, optional
            Of a selection, take this voice's turns only.

        Returns
        -------
        str
            The label that the turns have now.

        Raises
        ------
        InvalidParameterError
            There is no such turn or voice, or nothing to change.
        """
        target = self._new_label() if to is None else self.label(to)
        only = None if speaker is None else self.label(speaker)
        first, last = _selection(turns) if isinstance(turns, slice) else (-math.inf, math.inf)
        chosen = self._find_touched(first, last, only) if isinstance(turns, slice) else self._ids(turns)
        voices = self._history.voices()
        like = self._like(target)
        rows = [row for turn in chosen if voices[turn] != target for row in self._within(turn, first, last, target)]
        if not rows:
            raise InvalidParameterError("there is no turn to reassign: all of them already belong to this speaker")
        self._record("reassign", [{**row, **like} for row in rows])
        return target

    @_keep_edit
    def reassign_each(self, voices: dict[int, str], *, by: str | None = None) -> None:
        """Correct who speaks in each of several turns, in one edit.

        Parameters
        ----------
        voices : dict of int to str
            Labels of voices, by the ids of turns; those that are right already are passed over.
        by : str, optional
            Who says so, if not who corrects.

        Raises
        ------
        InvalidParameterError
            There is no such turn or voice, or nothing to change.
        """
        targets = dict(zip(self._ids(voices), map(self.label, voices.values()), strict=True))
        now = self._history.voices()
        rows = [
            {**row, **self._like(target)}
            for turn, target in targets.items()
            if now[turn] != target
            for row in self._within(turn, -math.inf, math.inf, target)
        ]
        if not rows:
            raise InvalidParameterError("there is no turn to reassign: all of them are already right")
        self._record("reassign", rows, by=by)

    @_keep_edit
    def move(self, turn: int, *, start: float | None = None, end: float | None = None) -> None:
        """Move the boundaries of a turn, in seconds; what is not given stays.

        Raises
        ------
        InvalidParameterError
            There is no such turn, or the times are impossible.
        """
        [turn] = self._ids(turn)
        was = self._history.turns[turn]
        times = was.start if start is None else start, was.end if end is None else end
        new_start, new_end = self._span(*times)
        if (new_start, new_end) == (was.start, was.end):
            raise InvalidParameterError(f"turn {turn} is there already")
        self._record("move", [_change(turn, was, was._replace(start=new_start, end=new_end))])

    @_keep_edit
    def delete(self, turns: int | Iterable[int]) -> None:
        """Leave turns out, by their ids: nobody speaks there.

        Raises
        ------
        InvalidParameterError
            There is no such turn.
        """
        self._record("delete", [_change(turn, self._history.turns[turn], None) for turn in self._ids(turns)])

    @_keep_edit
    def add(self, start: float, end: float, label: str | None = None) -> int:
        """Add a turn of a voice, or of a new one when `label` is None; times in seconds.

        Returns
        -------
        int
            The turn's id.

        Raises
        ------
        InvalidParameterError
            There is no such voice, or the times are impossible.
        """
        voice = self._new_label() if label is None else self.label(label)
        span = self._span(start, end)
        turn = self._history.new_turn()
        self._record("add", [{**_change(turn, None, Turn(*span, voice)), **self._like(voice)}])
        return turn

    @_keep_edit
    def confirm(self, turns: int | Iterable[int]) -> None:
        """Write down that turns, by their ids, are right: a person has listened. The table stays as it is.

        Raises
        ------
        InvalidParameterError
            There is no such turn.
        """
        self._record(
            "confirm",
            [_change(turn, self._history.turns[turn], self._history.turns[turn]) for turn in self._ids(turns)],
        )

    @_keep_edit
    def reject(self, turns: int | Iterable[int]) -> None:
        """Write down that turns, by their ids, are wrong: somebody else speaks. The table stays as it is.

        Raises
        ------
        InvalidParameterError
            There is no such turn.
        """
        voices = self._history.voices()
        self._record("reject", [{**row, "to": "", "speaker": voices[row["turn"]]} for row in self._remarks(turns)])

    @_keep_edit
    def correct_word(self, start: float, end: float, word: str, text: str) -> None:
        """Correct how a word is written; who speaks stays as it is.

        Parameters
        ----------
        start, end : float
            When it is said, in seconds, as `diarnb.words` has it.
        word, text : str
            As it is written now, and as it is to be.

        Raises
        ------
        InvalidParameterError
            There is nothing to change.
        """
        times = {"start": _second(start, "start"), "end": _second(end, "end")}
        if not isinstance(text, str) or not text.strip() or text.strip() == word:
            raise InvalidParameterError(f"a word is replaced with text, not {text!r:.40}")
        self._record("word", [{"speaker": word, **times, "to": text.strip()}])

    @_keep_edit
    def undo(self) -> bool:
        """Take back the last edit that stands; False if there is none."""
        return self._history.undo(self.by)

    @_keep_edit
    def redo(self) -> bool:
        """Do again what was undone last; False if there is nothing, or another edit came after."""
        return self._history.redo(self.by)

    def start_afresh(self) -> None:
        """Go back to the first table; what was done is set aside on disk, and is among `earlier` from then on."""
        with self._lock:
            if self._log is not None:
                try:
                    with self._log.hold() as news:
                        self._absorb(news)
                        self._log.start_afresh()
                except (OSError, StoreError) as error:
                    self._stop_keeping(error)
            self._begin_again()
        self._tell()

    def forget(self) -> None:
        """Remove what was kept on disk of the corrections of this table; the table stays as it is here."""
        if self._log is not None:
            self._log.forget()

    def sync(self) -> None:
        """Take up what others, in this process or another, have corrected on this table since."""
        with self._lock:
            try:
                news = self._log.read() if self._log is not None else []
            except (OSError, StoreError) as error:
                self._stop_keeping(error)
                return
            self._absorb(news)
        if news:
            self._tell()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call a function after every change, by whomever, until `unwatch`."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call a function no more."""
        self._watchers = [each for each in self._watchers if each != watcher]

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """Make one edit on what everybody has done so far, and write it down before anybody sees it."""
        with self._lock:
            if self._log is None:
                yield
                return
            with ExitStack() as held:
                try:
                    self._absorb(held.enter_context(self._log.hold()))
                except (OSError, StoreError) as error:
                    self._stop_keeping(error)
                before = len(self._history.log)
                yield
                rows = self._history.log[before:]
                if rows and self._log is not None:
                    try:
                        self._log.append(rows, self._history.digest())
                    except OSError as error:
                        self._stop_keeping(error)

    def _absorb(self, news: list[Line]) -> None:
        for line in news:
            if line.afresh:
                self._begin_again()
            else:
                self._history.replay(line.edits)

    def _begin_again(self) -> None:
        self._history, self.taken_up = History(self._history.base), None

    def _stop_keeping(self, error: Exception) -> None:
        self._log = None
        why = getattr(error, "strerror", None) or str(error)
        warnings.warn(f"corrections are not kept on disk ({why}); write `.turns` to a file", StoreWarning, stacklevel=5)

    def _tell(self) -> None:
        """Let everybody know who shows this table."""
        for watcher in list(self._watchers):
            watcher()

    def _tell_others(self) -> None:
        for other in list(_opened):
            if other is not self:
                other.sync()

    def _record(self, what: str, rows: list[Json], *, by: str | None = None) -> None:
        self._history.record(what, by or self.by, rows)

    # What is asked for, checked.

    def _ids(self, turns: int | Iterable[int]) -> list[int]:
        given = [turns] if isinstance(turns, int | np.integer) else list(turns)
        wrong = [turn for turn in given if isinstance(turn, bool) or turn not in self._history.turns]
        if wrong or not given:
            shown = ", ".join(visible(repr(turn)) for turn in wrong[:5])
            raise InvalidParameterError(f"there is no turn {shown or 'given'}; ids are the index of `turns`")
        return list(dict.fromkeys(map(int, given)))

    def _remarks(self, turns: int | Iterable[int]) -> list[Json]:
        """Return rows that leave turns as they are."""
        there = self._history.turns
        return [_change(turn, there[turn], there[turn]) for turn in self._ids(turns)]

    def _span(self, start: float, end: float) -> tuple[float, float]:
        start, end = _second(start, "start"), _second(end, "end")
        duration = (self._history.base.attrs.get("diarnb") or {}).get("duration") or math.inf
        latest = max([duration, *self._history.base["end"]])
        if not 0 <= start < end <= latest:
            within = f"0 <= start < end <= {latest:.3f}" if latest < math.inf else "0 <= start < end"
            raise InvalidParameterError(f"a turn needs {within} in seconds, not {start:.3f} to {end:.3f}")
        return start, end

    def _find_touched(self, first: float, last: float, only: str | None) -> list[int]:
        return [
            turn
            for turn, voice in self._history.voices().items()
            if only in (None, voice)
            and min(self._history.turns[turn].end, last) - max(self._history.turns[turn].start, first) > _SHORTEST
        ]

    def _within(self, turn: int, first: float, last: float, label: str) -> list[Json]:
        """Return the rows that make the part of a turn within a selection a voice's; the rest stays, cut off."""
        was = self._history.turns[turn]
        begin = first if was.start + _SHORTEST < first else was.start
        end = last if last < was.end - _SHORTEST else was.end
        parts = [(was.start, begin, was.label), (begin, end, label), (end, was.end, was.label)]
        rows: list[Json] = []
        for part in (Turn(*part, was.origin) for part in parts if part[0] < part[1]):
            if rows:
                rows.append({**_change(self._history.new_turn(was.origin), None, part), "speaker": was.label})
            else:
                rows.append(_change(turn, was, part))
        return rows

    def _new_label(self) -> str:
        taken = {*self._history.labels, *self._history.shown.values()}
        return next(label for number in count() if (label := f"SPEAKER_{number:02d}") not in taken)

    def _longest(self, voice: str) -> tuple[float, float]:
        into = self._history.into
        own = [was for was in self._history.turns.values() if into[was.label] == voice]
        longest = max(own, key=lambda was: was.end - was.start, default=None)
        return (longest.start, longest.end) if longest else (math.nan, math.nan)

    def _like(self, voice: str) -> dict[str, float]:
        if voice not in self._history.labels:
            return {}
        return dict(zip(("to_start", "to_end"), self._longest(voice), strict=True))


def edits(turns: pd.DataFrame) -> pd.DataFrame:
    """Read the log of the corrections of a table.

    The widgets `player`, `cards`, `review` and `studio` write corrections to disk immediately, in the folder
    ``corrections`` beside the run store. Every widget that opens the same table of the same run applies them. `forget`
    removes those of a run.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    turns : pandas.DataFrame
        The table before the corrections, as `diarize` or `read` returned it.

    Returns
    -------
    pandas.DataFrame
        As ``Corrections.edits``; empty if nothing was corrected. `diarnb.widgets.apply_edits` applies it to this or
        another table of the recording.

    Raises
    ------
    TurnTableError
        It is not a table of turns.
    InvalidParameterError
        The table is of several recordings.

    Examples
    --------
    >>> turns = diarize(example("interview"), progress=False)
    >>> panel = player(turns)
    >>> panel.corrections.rename("SPEAKER_00", "Beth")
    >>> panel.close()
    >>> edits(turns)[["what", "speaker", "to"]].values.tolist()
    [['rename', 'SPEAKER_00', 'Beth']]
    """
    return Corrections.open(turns).edits


def _change(turn: int, before: Turn | None, after: Turn | None) -> Json:
    """Return the fields of the log's row for one turn."""
    row: Json = {"turn": turn}
    if before:
        row |= {"start": before.start, "end": before.end, "speaker": before.label}
    if after:
        row |= {"new_start": after.start, "new_end": after.end, "to": after.label}
    return row


def _second(value: object, name: str) -> float:
    if not is_finite(value):
        raise InvalidParameterError(f"{name} is a number of seconds, not {value!r:.40}")
    return float(value)


def _selection(selected: slice) -> tuple[float, float]:
    first = -math.inf if selected.start is None else _second(selected.start, "start")
    last = math.inf if selected.stop is None else _second(selected.stop, "stop")
    if selected.step is not None or not first < last:
        raise InvalidParameterError("a selection is slice(start, stop) in seconds, with start < stop")
    return first, last
