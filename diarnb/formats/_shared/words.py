"""Tables of words, which the formats of transcripts hold, and the turns that they make."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb import transcripts
from diarnb.errors import TurnTableError
from diarnb.transcripts.words import PAUSE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diarnb._types import Json

_COLUMNS: dict[str, tuple[type, object]] = {
    "start": (float, math.nan),
    "end": (float, math.nan),
    "word": (str, ""),
    "text": (str, ""),
    "speaker": (str, None),
    "confidence": (float, math.nan),
    "speaker_confidence": (float, math.nan),
    "channel": (np.int64, 0),
}


def make_words(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Make a table of words, with their columns and types; of one that has only texts, these are the words."""
    if "word" not in table and "text" not in table:
        raise TurnTableError(f"{name} holds no words; diarnb.read gives its turns")
    table = table.assign(word=table["word" if "word" in table else "text"])
    table = table.assign(text=table["text" if "text" in table else "word"])
    columns = {}
    for column, (dtype, missing) in _COLUMNS.items():
        values = table[column].astype(object) if column in table else pd.Series(missing, table.index, dtype=object)
        values = values.where(values.notna(), missing)
        if column == "speaker":
            values = values.where(values != "", None)  # a CSV has no other way to say that nobody is known
        # By way of a column: in pandas 2 `str` itself would make "None" of what is missing.
        columns[column] = values.astype(pd.Series(dtype=dtype).dtype)
    if "uri" in table:
        columns["uri"] = table["uri"]
    words = pd.DataFrame(columns)
    words.attrs = dict(table.attrs)
    order = ["uri", "start", "end"] if "uri" in words else ["start", "end"]
    return words.sort_values(order, kind="stable", ignore_index=True)


def join_words(words: pd.DataFrame) -> pd.DataFrame:
    """Join words into turns, which end where the speaker changes or at a pause; each has the text of its words."""
    keys = [name for name in ("uri", "channel") if name in words]
    rows = [
        {**group[0], "end": max(word["end"] for word in group), "text": " ".join(filter(None, map(_text, group)))}
        for group in group_words(words)
    ]
    turns = pd.DataFrame(rows, columns=["start", "end", "speaker", "text", *keys])
    if "channel" in turns and (turns["channel"] == 0).all():
        turns = turns.drop(columns="channel")
    turns.attrs = dict(words.attrs)
    return turns


def group_words(words: pd.DataFrame) -> list[list[Json]]:
    """Sort words into turns, those of each recording and channel apart."""
    places: dict[object, list[Json]] = {}
    for word in sorted(list_rows(words), key=lambda word: word["start"]):
        places.setdefault((word.get("uri"), word.get("channel")), []).append(word)
    return [group for own in places.values() for group in transcripts.group_words(own, PAUSE)]


def _text(word: Json) -> str:
    return word.get("text") or word.get("word") or ""


def list_rows(table: pd.DataFrame) -> list[Json]:
    """List rows as JSON has them: what is missing is None."""
    plain = table.astype(object)
    rows: Iterable[Mapping[Any, Any]] = plain.where(plain.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
