"""JSON: ours, which holds every column and the facts of the table; those of other tools are known by their content.

Ours is ``{"diarnb": {facts}, "turns": [{"start": ..., "end": ..., "speaker": ..., ...}]}``, with ``words`` in the place
of ``turns`` for a table of words. A bare list of such rows is read as well, in seconds. What is known by neither is
refused: nobody could say what its numbers mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats import deepgram, makers, pyannoteai, whisperx
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.json import describe, dump_json, read_json, read_speaker
from diarnb.formats._shared.text import write_text
from diarnb.formats._shared.words import list_rows
from diarnb.tables.turns import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading


class _Recognizes(Protocol):
    """What the module of a maker has."""

    def recognizes(self, data: object, /) -> bool: ...
    def read_turns(self, data: object, reading: Reading, /) -> pd.DataFrame: ...
    def read_words(self, data: Any, reading: Reading, /) -> pd.DataFrame: ...


READS = "by its content: diarnb, pyannoteAI, Deepgram, the Whisper family, and the tools in the table below"
HOLDS = Holds("exact", text=True, confidence="yes", words="yes", also="every column and the facts")

_WRITTEN: tuple[_Recognizes, ...] = (pyannoteai, deepgram, whisperx)  # the makers whose files are written as well


def load(reading: Reading) -> pd.DataFrame:
    """Read a table, or the turns of another tool's file."""
    return _read(read_json(reading), reading, words=False)


def load_words(reading: Reading) -> pd.DataFrame:
    """Read a table, or the words of another tool's file."""
    return _read(read_json(reading), reading, words=True)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a table."""
    write_text(path, to_text(turns))


def to_text(turns: pd.DataFrame) -> str:
    """Return what is written of a table."""
    facts = {**(turns.attrs.get("diarnb") or {}), "schema": SCHEMA}
    rows = ",\n".join(map(dump_json, list_rows(turns.drop(columns="duration", errors="ignore"))))
    what = "words" if "word" in turns else "turns"
    return f'{{"diarnb": {dump_json(facts)},\n"{what}": [\n{rows}\n]}}\n'


def _read(data: object, reading: Reading, *, words: bool) -> pd.DataFrame:
    if isinstance(data, dict) and "diarnb" in data:
        return _read_own(data, reading)
    makers.check_known(data, reading)
    maker = makers.find_maker(data)
    if maker is not None:
        return (makers.read_words if words else makers.read_turns)(maker, data, reading)
    for other in _WRITTEN:
        if other.recognizes(data):
            return other.read_words(data, reading) if words else other.read_turns(data, reading)
    if isinstance(data, list) and all(isinstance(row, dict) and {"start", "end"} <= set(row) for row in data):
        return _make_table(data, "word" if data and "word" in data[0] else "turn", reading)
    raise TurnTableError(
        f"{reading.name} is from no known tool: it is {describe(data)}. "
        "Ten lines of pandas can read it, or a `diarnb.formats.makers.Maker`: see docs/formats.md"
    )


def _read_own(data: Json, reading: Reading) -> pd.DataFrame:
    rows = data.get("turns", data.get("words"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TurnTableError(f"{reading.name} holds no turns: it has the key `diarnb`, and no list of rows")
    table = _make_table(rows, "word" if "words" in data else "turn", reading)
    if isinstance(data["diarnb"], dict):
        table.attrs["diarnb"] = data["diarnb"]
    return table


def _make_table(rows: list[Json], what: str, reading: Reading) -> pd.DataFrame:
    for number, row in enumerate(rows):
        try:
            row["speaker"] = row["speaker"] if isinstance(row.get("speaker"), str) else read_speaker(row.get("speaker"))
        except ValueError as error:
            raise TurnTableError(f"{reading.name}: row {number}: {error}") from error
    return (
        pd.DataFrame(rows) if rows else pd.DataFrame(columns=["start", "end", "speaker", *["word"][: what == "word"]])
    )
