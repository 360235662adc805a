"""JSON: ours, which holds every column and the facts of the table; those of other tools are known by their content.

Ours is ``{"diarnb": {facts}, "turns": [{"start": ..., "end": ..., "speaker": ..., ...}]}``, with ``words`` in the place
of ``turns`` for a table of words. A bare list of such rows is read as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats import deepgram, pyannoteai, whisperx
from diarnb.formats._json import dump_json, read_json
from diarnb.formats._text import write_text
from diarnb.formats._words import list_rows
from diarnb.tables.turns import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = (pyannoteai, deepgram, whisperx)


def load(path: Path) -> pd.DataFrame:
    """Read a table, or the turns of another tool's file."""
    data = read_json(path)
    other = next((other for other in _OTHERS if other.recognizes(data)), None)
    return _table(data, path) if other is None else other.turns_from(data, path)


def load_words(path: Path) -> pd.DataFrame:
    """Read a table, or the words of another tool's file."""
    data = read_json(path)
    other = next((other for other in _OTHERS if other.recognizes(data)), None)
    return _table(data, path) if other is None else other.words_from(data, path)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a table."""
    write_text(path, to_text(turns))


def to_text(turns: pd.DataFrame) -> str:
    """Return what is written of a table."""
    facts = {**(turns.attrs.get("diarnb") or {}), "schema": SCHEMA}
    rows = ",\n".join(map(dump_json, list_rows(turns.drop(columns="duration", errors="ignore"))))
    what = "words" if "word" in turns else "turns"
    return f'{{"diarnb": {dump_json(facts)},\n"{what}": [\n{rows}\n]}}\n'


def _table(data: Any, path: Path) -> pd.DataFrame:
    facts = data.get("diarnb") if isinstance(data, dict) else None
    rows = data.get("turns", data.get("words")) if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TurnTableError(
            f"{path.name} holds no turns: it is neither diarnb's own JSON, nor an answer of pyannoteAI or Deepgram, "
            "nor a transcript of WhisperX, faster-whisper or Whisper"
        )
    word = ["word"] if isinstance(data, dict) and "words" in data else []
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["start", "end", "speaker", *word])
    if isinstance(facts, dict):
        table.attrs["diarnb"] = facts
    return table
