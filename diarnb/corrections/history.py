"""What lies under corrections: the edits so far, and the state of every turn and name that follows from them."""

from __future__ import annotations

import hashlib
import json
import math
from copy import deepcopy
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from diarnb.results import join_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diarnb._types import Json, Options

COLUMNS: Json = {
    "edit": np.int64,
    "at": "datetime64[us, UTC]",
    "by": str,
    "what": str,
    "turn": np.int64,
    "speaker": str,
    "start": float,
    "end": float,
    "to": str,
    "new_start": float,
    "new_end": float,
    "to_start": float,
    "to_end": float,
    "of": np.int64,
}
"""The columns of the log, with their types; `Corrections.edits` says what they mean."""

REMARKS = ("confirm", "reject")
"""What leaves every turn and name as it was."""


class Turn(NamedTuple):
    """One turn as it is now; `label` is the engine's or a later voice's, under all names and merges."""

    start: float
    end: float
    label: str
    origin: int | None = None  # the row of the first table that its other columns are from


class Edit(NamedTuple):
    """A row of the log; its fields are `COLUMNS`."""

    edit: int
    at: datetime
    by: str
    what: str
    turn: int = -1
    speaker: str = ""
    start: float = math.nan
    end: float = math.nan
    to: str = ""
    new_start: float = math.nan
    new_end: float = math.nan
    to_start: float = math.nan
    to_end: float = math.nan
    of: int = -1


class History:
    """The log of edits of one table of turns, and the state that follows from it.

    Parameters
    ----------
    base : pandas.DataFrame
        The first table, checked.

    Attributes
    ----------
    turns : dict of int to Turn
        Every turn there is, by its id; ids are not used twice.
    labels : list of str
        Every label there ever was, in order of appearance.
    log : list of Edit
        Append-only.
    done, undone : list of int
        The edits that stand, and those that `redo` would do again, the next one last.
    """

    def __init__(self, base: pd.DataFrame) -> None:
        self.base = base
        rows = zip(base["start"].tolist(), base["end"].tolist(), base["speaker"].tolist(), strict=True)
        self.turns: dict[int, Turn] = {
            number: Turn(start, end, label, number) for number, (start, end, label) in enumerate(rows)
        }
        self.labels: list[str] = list(dict.fromkeys(was.label for was in self.turns.values()))
        self.log: list[Edit] = []
        self.done: list[int] = []
        self.undone: list[int] = []
        self._next = len(self.turns)
        self._origins: dict[int, int | None] = {number: number for number in self.turns}
        self._overlay: tuple[dict[str, str], dict[str, str]] | None = None

    @property
    def into(self) -> dict[str, str]:
        """The voice that each label means after merges."""
        return self._overlaid()[0]

    @property
    def shown(self) -> dict[str, str]:
        """The name of each voice."""
        return self._overlaid()[1]

    def voices(self) -> dict[int, str]:
        """Return the voice of every turn."""
        into = self.into
        return {turn: into[was.label] for turn, was in self.turns.items()}

    def standing(self) -> list[Edit]:
        """Return the rows of the edits that were not undone."""
        done = set(self.done)
        return [row for row in self.log if row.edit in done]

    def new_turn(self, origin: int | None = None) -> int:
        """Take the next id; where the turn is cut from another, that one's row tells its other columns."""
        self._origins[self._next] = origin
        self._next += 1
        return self._next - 1

    def record(self, what: str, by: str, rows: Sequence[Options]) -> None:
        """Write an edit down, and do it."""
        number, at = self._number(), datetime.now(UTC)
        for row in rows:
            self.log.append(Edit(number, at, by, what, **row))
            self._put(self.log[-1])
        self.done.append(number)
        self.undone.clear()

    def replay(self, rows: Sequence[Edit]) -> None:
        """Do again, row by row, what was done to the same table elsewhere; the rows are of whole edits."""
        for number, edit in groupby(rows, lambda row: row.edit):
            whole = list(edit)
            first = whole[0]
            if first.what in ("undo", "redo"):
                (self._take_back if first.what == "undo" else self._do_again)()
                self.log.append(first)
                continue
            cut: int | None = None
            for row in whole:
                if not math.isnan(row.start):
                    cut = self._origins.get(row.turn)
                elif row.turn >= self._next:
                    self._origins[row.turn] = cut if row.speaker else None
                    self._next = row.turn + 1
                self.log.append(row)
                self._put(row)
            self.done.append(number)
            self.undone.clear()

    def undo(self, by: str) -> bool:
        """Take back the last edit that stands."""
        if not self.done:
            return False
        number = self._take_back()
        self.log.append(Edit(self._number(), datetime.now(UTC), by, "undo", of=number))
        return True

    def redo(self, by: str) -> bool:
        """Do again what was undone last."""
        if not self.undone:
            return False
        number = self._do_again()
        self.log.append(Edit(self._number(), datetime.now(UTC), by, "redo", of=number))
        return True

    def digest(self) -> str:
        """Hash what the table says now: who speaks when."""
        voices, shown = self.voices(), self.shown
        return digest_rows((was.start, was.end, shown[voices[turn]]) for turn, was in self.turns.items())

    def frame(self) -> pd.DataFrame:
        """Return the log as a table."""
        columns = zip(*self.log, strict=True) if self.log else ([] for _ in COLUMNS)
        values = dict(zip(COLUMNS, columns, strict=True))
        return pd.DataFrame({name: pd.Series(list(values[name]), dtype=dtype) for name, dtype in COLUMNS.items()})

    def table(self) -> pd.DataFrame:
        """Return the turns as they are now, as `Corrections.turns` documents it."""
        voices, shown = self.voices(), self.shown
        order = sorted(self.turns, key=lambda turn: (*self.turns[turn][:2], shown[voices[turn]], turn))
        state = [self.turns[turn] for turn in order]
        origin = np.array([-1 if was.origin is None else was.origin for was in state], np.int64)
        table = self.base.reindex(origin)
        table.index = pd.Index(order, dtype=np.int64, name="turn")
        table["start"], table["end"] = [was.start for was in state], [was.end for was in state]
        table["duration"] = table["end"] - table["start"]
        table["speaker"] = pd.Series([shown[voices[turn]] for turn in order], table.index, dtype=str)
        first = self.base["speaker"].tolist()
        if "confidence" in table:
            other = [where < 0 or first[where] != was.label for where, was in zip(origin, state, strict=True)]
            table.loc[other, "confidence"] = np.nan
        if "text" in table and (texts := self._divide_texts(table)) is not None:
            table["text"] = pd.Series(texts, table.index, dtype=str)
        elif "text" in table:
            table.loc[table.index >= len(self.base), "text"] = ""
            for row in self._corrected_words():
                own = (table["start"] <= (row.start + row.end) / 2) & (table["end"] >= (row.start + row.end) / 2)
                for turn in table.index[own]:
                    table.loc[turn, "text"] = _replace_word(
                        str(table["text"][turn]), row, *table.loc[turn, ["start", "end"]]
                    )
        if "channel" in table:
            usual = dict(zip(first, self.base["channel"].tolist(), strict=True))
            where = pd.Series([usual.get(was.label, 0) for was in state], table.index)
            table["channel"] = table["channel"].fillna(where).astype(np.int64)
        table.attrs = self._attrs()
        return table

    def _take_back(self) -> int:
        number = self.done.pop()
        self.undone.append(number)
        for row in reversed([row for row in self.log if row.edit == number]):
            self._put(row, back=True)
        self._overlay = None
        return number

    def _do_again(self) -> int:
        number = self.undone.pop()
        self.done.append(number)
        for row in [row for row in self.log if row.edit == number]:
            self._put(row)
        self._overlay = None
        return number

    def _number(self) -> int:
        return self.log[-1].edit + 1 if self.log else 1

    def _put(self, row: Edit, *, back: bool = False) -> None:
        """Bring a turn into the state after a row of the log, or back into that before."""
        self._overlay = None
        if row.turn < 0 or row.what in REMARKS:
            return
        start, end, label = (row.start, row.end, row.speaker) if back else (row.new_start, row.new_end, row.to)
        if math.isnan(start):
            del self.turns[row.turn]
            return
        self.turns[row.turn] = Turn(start, end, label, self._origins[row.turn])
        if label not in self.labels:
            self.labels.append(label)

    def _overlaid(self) -> tuple[dict[str, str], dict[str, str]]:
        if self._overlay is None:
            into, shown = ({label: label for label in self.labels} for _ in range(2))
            for row in self.standing():
                if row.what == "rename":
                    shown[row.speaker] = row.to
                elif row.what == "merge":
                    into = {label: row.to if voice == row.speaker else voice for label, voice in into.items()}
            self._overlay = into, shown
        return self._overlay

    def _divide_texts(self, table: pd.DataFrame) -> list[str] | None:
        """Divide what is said where turns were cut or moved; None where they were not, or no words are known."""
        known = table.index[table.index < len(self.base)]
        sides = ["start", "end"]
        if len(known) == len(table) == len(self.base) and table.loc[known, sides].equals(self.base.loc[known, sides]):
            return None
        whole = table.copy()
        whole.attrs = self._attrs()
        return join_texts(whole)

    def _corrected_words(self) -> list[Edit]:
        return [row for row in self.standing() if row.what == "word"]

    def _attrs(self) -> dict[Any, Any]:
        """Return the attrs of the first table, with the names under which other tables of the run show the voices."""
        attrs = deepcopy(self.base.attrs)
        facts = dict(attrs.get("diarnb") or {})
        names = facts.get("names", {})
        known = {*names, *names.values()}
        names = names | {label: label for label in dict.fromkeys(self.base["speaker"]) if label not in known}
        now = {first: self.shown[self.into[name]] if name in self.into else name for first, name in names.items()}
        if now != names:
            facts["names"] = now
        if words := self._corrected_words():
            facts["words"] = [[row.start, row.end, row.to] for row in words]
        if any(row.turn >= 0 and row.what not in REMARKS for row in self.standing()):
            facts["corrected"] = True
        return {**attrs, "diarnb": facts}


def _replace_word(text: str, row: Edit, start: float, end: float) -> str:
    """Replace a word in the text of its turn; of several that are written alike, the one about where it is said."""
    words = text.split()
    places = [at for at, word in enumerate(words) if word == row.speaker]
    if not places:
        return row.to if text == row.speaker else text
    share = ((row.start + row.end) / 2 - start) / (end - start)
    words[min(places, key=lambda at: abs((at + 0.5) / len(words) - share))] = row.to
    return " ".join(words)


def digest_rows(rows: Iterable[tuple[float, float, str]]) -> str:
    """Hash starts, ends and speakers, to the microsecond and in any order.

    Examples
    --------
    >>> digest_rows([(0.0, 1.0, "A"), (2.0, 3.0, "B")]) == digest_rows([(2.0, 3.0, "B"), (0.0, 1.0, "A")])
    True
    """
    exact = sorted((round(start * 1e6), round(end * 1e6), speaker) for start, end, speaker in rows)
    return hashlib.sha256(json.dumps(exact).encode()).hexdigest()
