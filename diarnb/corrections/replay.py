"""Apply corrections to a later run: what they meant is found again by time."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.corrections import Corrections
from diarnb.corrections.history import COLUMNS, Edit
from diarnb.errors import DiarnbWarning, InvalidParameterError

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.corrections.log import EarlierEdits

_ALIKE = 0.5  # a turn is found again where both share this much of the time that they take up together
_TOLD = ("edit", "what", "turn", "speaker", "start", "end", "why")


def apply_edits(turns: pd.DataFrame, edits: pd.DataFrame) -> pd.DataFrame:
    """Apply corrections to another table of the same recording, such as a later run or another engine's.

    A turn is matched by time: with the turn that shares most time with it, and at least half of the time that both
    cover together. Among overlapping turns, the one of the same voice is used. A voice is matched by its longest turns,
    which the log holds: with whoever speaks most during these. Corrections that were undone are not applied. A turn
    that was moved gets its new boundaries; a turn that was split is split again.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker, of one recording. It is not changed.
    edits : pandas.DataFrame
        ``player.edits`` or ``Corrections.edits``, also read back from CSV or Parquet.

    Returns
    -------
    pandas.DataFrame
        As `Corrections.turns`. Corrections without a matching turn are listed in ``attrs["diarnb"]["unplaced"]``, as
        dictionaries of ``edit``, ``what``, ``turn``, ``speaker``, ``start``, ``end`` (as in the log, None where
        missing) and ``why``. This key is missing if everything was applied.

    Warns
    -----
    DiarnbWarning
        Some corrections could not be applied.

    Raises
    ------
    InvalidParameterError
        The second table is not a table of edits.
    TurnTableError
        The first is not a table of turns.

    Examples
    --------
    >>> from diarnb.corrections import Corrections
    >>> before = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["SPEAKER_00", "SPEAKER_01"]})
    >>> corrections = Corrections(before)
    >>> corrections.rename("SPEAKER_00", "Beth")
    >>> later = pd.DataFrame({"start": [0.1, 3.1], "end": [4, 6], "speaker": ["SPEAKER_01", "SPEAKER_00"]})
    >>> list(apply_edits(later, corrections.edits)["speaker"])
    ['Beth', 'SPEAKER_00']
    """
    corrections = Corrections(turns)
    unplaced = place(corrections, edits)
    found = corrections.turns
    if unplaced:
        count, first = len(unplaced), unplaced[0]
        remark = (
            f"{count} of the corrections could not be applied, the first of them: {first['what']} of "
            f"{visible(first['speaker'])}: {first['why']}. attrs['diarnb']['unplaced'] lists them."
        )
        facts = found.attrs["diarnb"]
        facts["unplaced"] = unplaced
        facts["warning"] = " ".join(filter(None, [facts.get("warning"), remark]))
        warnings.warn(remark, DiarnbWarning, stacklevel=2)
    return found


def place(corrections: Corrections, edits: pd.DataFrame) -> list[Json]:
    """Do again, in one table's corrections, what was done in another's; give what could not be placed.

    Every row is an edit of its own here; who did it is kept, when is now. A turn that is right already is confirmed.

    Parameters
    ----------
    corrections : Corrections
    edits : pandas.DataFrame

    Returns
    -------
    list of dict
        As `apply_edits` documents them.

    Raises
    ------
    InvalidParameterError
        This is not a table of edits.
    """
    return _Placing(corrections, _standing(_read(edits))).all()


def take_over(corrections: Corrections, earlier: EarlierEdits) -> str:
    """Do here what was done on another run of the same recording, or set aside; return what came of it, in words."""
    rows = _standing(earlier.edits)
    unplaced = _Placing(corrections, rows).all()
    told = f"{len(rows) - len(unplaced)} of {len(rows)} taken over"
    if not unplaced:
        return f"{told}."
    first = unplaced[0]
    return (
        f"{told}; the first that could not be applied: {first['what']} of {visible(first['speaker'])}: {first['why']}."
    )


class _Placing:
    """The way of edits into another table, row by row."""

    def __init__(self, corrections: Corrections, rows: list[Edit]) -> None:
        self._to, self._rows = corrections, rows
        self._made = {row.to for row in rows if row.to != row.speaker and row.turn >= 0 and math.isnan(row.to_start)}
        self._voices = _same_voices(corrections, rows, self._made)  # labels here, by labels there
        self._turns: dict[int, int] = {}  # ids here, by ids there
        self._named: dict[str, str] = {}  # the label there whose name a voice here has

    def all(self) -> list[Json]:
        unplaced, by = [], self._to.by
        for row in self._rows:
            self._to.by = row.by
            try:
                self._one(row)
            except (LookupError, InvalidParameterError) as error:
                times = (None if math.isnan(time) else time for time in (row.start, row.end))
                unplaced.append(
                    {**row._asdict(), **dict(zip(("start", "end"), times, strict=True)), "why": str(error.args[0])}
                )
        self._to.by = by
        return [{name: row[name] for name in _TOLD} for row in unplaced]

    def _one(self, row: Edit) -> None:
        if row.what == "rename":
            voice = self._there(row.speaker)
            if (other := self._named.setdefault(voice, row.speaker)) != row.speaker:
                raise LookupError(f"here it is the same voice as {visible(other)}, which already has a name")
            self._to.rename(voice, row.to)
        elif row.what == "merge":
            voice, into = self._there(row.speaker), self._there(row.to)
            if voice != into:  # else they are one here from the beginning
                self._to.merge(voice, into)
        elif row.what == "word":
            self._to.correct_word(row.start, row.end, row.speaker, row.to)
        elif row.what == "add":
            turn = self._to.add(row.new_start, row.new_end, self._voice(row.to))
            self._turns[row.turn], self._voices[row.to] = turn, self._to.voices[turn]
        elif math.isnan(row.start):
            self._cut(row)
        else:
            turn = self._turn(row)
            if row.what in ("confirm", "reject", "delete"):
                getattr(self._to, row.what)(turn)
            elif row.to != row.speaker and (row.new_start, row.new_end) == (row.start, row.end):
                self._give(turn, row)
            elif row.what == "move":
                self._to.move(turn, start=row.new_start, end=row.new_end)
            elif row.to != row.speaker:
                self._cut(row, turn)
            self._turns[row.turn] = turn

    def _give(self, turn: int, row: Edit) -> None:
        voice = self._voice(row.to)
        if voice is not None and self._to.voices[turn] == voice:
            self._to.confirm(turn)  # what was to be put right is right here
        else:
            self._voices[row.to] = self._to.reassign(turn, voice)

    def _cut(self, row: Edit, turn: int | None = None) -> None:
        """Reassign a part of a turn; what is left of it on either side follows by itself."""
        if row.to == row.speaker:
            return
        whose = self._voices.get(row.speaker) if turn is None else self._to.voices[turn]
        selected = slice(row.new_start, row.new_end)
        self._voices[row.to] = self._to.reassign(selected, self._voice(row.to), speaker=whose)

    def _voice(self, label: str) -> str | None:
        """Find the voice that turns are given to; None for one that was new there, and is to be made here."""
        return None if label in self._made and label not in self._voices else self._there(label)

    def _there(self, label: str) -> str:
        if label not in self._voices:
            raise LookupError(f"nobody speaks enough where {visible(label)} spoke")
        return self._voices[label]

    def _turn(self, row: Edit) -> int:
        if self._turns.get(row.turn) in self._to.turns.index:
            return self._turns[row.turn]
        turns = self._to.turns
        shared = np.minimum(turns["end"], row.end) - np.maximum(turns["start"], row.start)
        alike = shared / (np.maximum(turns["end"], row.end) - np.minimum(turns["start"], row.start))
        alike = alike[(alike >= _ALIKE) & ~turns.index.isin(list(self._turns.values()))]
        if alike.empty:
            raise LookupError("there is no such turn")
        same = self._to.voices[alike.index] == self._voices.get(row.speaker)
        return int((alike + same).idxmax())


def _same_voices(corrections: Corrections, rows: list[Edit], made: set[str]) -> dict[str, str]:
    """Find the voices of a log in a table, by whoever speaks most during their longest turns."""
    heard: dict[str, set[tuple[float, float]]] = {}
    for row in rows:
        if row.what in ("rename", "merge"):
            heard.setdefault(row.speaker, set()).add((row.start, row.end))
        if row.to != row.speaker and not math.isnan(row.to_start):  # else it is what is left of a turn that was cut
            heard.setdefault(row.to, set()).add((row.to_start, row.to_end))
    turns, voices = corrections.turns, corrections.voices
    found = {}
    for label, spans in heard.items():
        shared = pd.Series(0.0, turns.index)
        for start, end in spans:
            shared += (turns["end"].clip(upper=end) - turns["start"].clip(lower=start)).clip(lower=0.0)
        speaking = shared.groupby(voices).sum()
        if label not in made and speaking.max() >= _ALIKE * sum(end - start for start, end in spans):
            found[label] = str(speaking.idxmax())
    return found


def _read(edits: pd.DataFrame) -> list[Edit]:
    """Read the log from a table, in whatever types a file has left it."""
    missing = [name for name in COLUMNS if name not in edits] if isinstance(edits, pd.DataFrame) else list(COLUMNS)
    if missing:
        raise InvalidParameterError(
            f"this is not a table of edits: it lacks {', '.join(missing)}; pass player.edits, or a saved copy of it"
        )
    try:
        table = edits[list(COLUMNS)].assign(at=pd.to_datetime(edits["at"], utc=True, format="ISO8601"))
        texts = [name for name, dtype in COLUMNS.items() if dtype is str]
        table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
        table = table.astype(COLUMNS)
    except (TypeError, ValueError) as error:
        raise InvalidParameterError(f"this is not a table of edits: {error!s:.200}") from error
    return [Edit(*row) for row in table.itertuples(index=False)]


def _standing(rows: list[Edit]) -> list[Edit]:
    """Leave out what was undone, and not done again."""
    undone: set[int] = set()
    for row in rows:
        if row.what == "undo":
            undone.add(row.of)
        elif row.what == "redo":
            undone.discard(row.of)
    return [row for row in rows if row.what not in ("undo", "redo") and row.edit not in undone]
