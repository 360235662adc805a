"""The JSON of WhisperX, and of the Whispers without speakers, as faster-whisper's: segments with their words.

WhisperX cannot time every word, numbers for one: such a word is placed between its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats._fields import make_table
from diarnb.formats._json import read_json, read_number, write_json
from diarnb.formats._words import group_words, list_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLUMNS = ["start", "end", "word", "text", "speaker", "confidence"]


def recognizes(data: Any) -> bool:
    """Whether this is a transcript of a Whisper: segments in an object, or alone where they name nobody."""
    if isinstance(data, dict):
        return isinstance(data.get("segments"), list)
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and "text" in first and "speaker" not in first


def load(path: Path) -> pd.DataFrame:
    """Read turns."""
    return turns_from(read_json(path), path)


def load_words(path: Path) -> pd.DataFrame:
    """Read words."""
    return words_from(read_json(path), path)


def turns_from(data: Any, path: Path) -> pd.DataFrame:
    """Make a turn of each segment; its speaker is missing where the file names nobody."""
    rows = []
    for place, segment in _segments(data, path):
        start, end = (read_number(segment, name, place) for name in ("start", "end"))
        rows.append((start, end, _speaker(segment, place), _text(segment, "text", place)))
    return make_table(rows, ["start", "end", "speaker", "text"], path)


def words_from(data: Any, path: Path) -> pd.DataFrame:
    """Make a row of each word, or where a segment tells no words, of the segment."""
    rows: list[dict[str, Any]] = []
    for place, segment in _segments(data, path):
        words = segment.get("words") or [segment | {"word": segment.get("text")}]
        if not isinstance(words, list) or not all(isinstance(word, dict) for word in words):
            raise TurnTableError(f"{place}.words is no list of words")
        own = []
        for count, word in enumerate(words):
            at = f"{place}.words[{count}]"
            text = _text(word, "word", at)
            timed = word.get("start") is not None and word.get("end") is not None
            start, end = (read_number(word, name, at) if timed else None for name in ("start", "end"))
            score = word.get("score", word.get("probability"))
            speaker = _speaker(word if "speaker" in word else segment, at)
            own.append(dict(zip(_COLUMNS, (start, end, text, text, speaker, score), strict=True)))
        _place(own, segment, place)
        rows += own
    return pd.DataFrame(rows, columns=_COLUMNS)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write segments; of a table of words those that a speaker says without a pause, with their words."""
    groups = group_words(turns) if "word" in turns else [[row] for row in list_rows(turns)]
    segments = []
    for group in groups:
        end = max(row["end"] for row in group)
        text = " ".join(filter(None, (row.get("text") or row.get("word") for row in group)))
        segment: dict[str, Any] = {"start": group[0]["start"], "end": end, "text": text}
        if "word" in turns:
            segment["words"] = [_word(row) for row in group]
        if group[0]["speaker"] is not None:
            segment["speaker"] = group[0]["speaker"]
        segments.append(segment)
    write_json(path, {"segments": segments})


def _word(row: dict[str, Any]) -> dict[str, Any]:
    word = {"word": row.get("text") or row["word"] or "", "start": row["start"], "end": row["end"]}
    given = {"score": row.get("confidence"), "speaker": row["speaker"]}
    return word | {name: value for name, value in given.items() if value is not None}


def _segments(data: Any, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    segments = data["segments"] if isinstance(data, dict) else data
    for count, segment in enumerate(segments):
        place = f"{path.name}: segments[{count}]"
        if not isinstance(segment, dict):
            raise TurnTableError(f"{place} is {segment!r:.60}, not an object")
        yield place, segment


def _place(words: list[dict[str, Any]], segment: dict[str, Any], place: str) -> None:
    """Spread words without times over what the words around them leave."""
    until = None
    for count, word in enumerate(words):
        if word["start"] is None:
            begin = read_number(segment, "start", place) if until is None else until
            ahead = words[count:]
            timed = next((near for near in range(len(ahead)) if ahead[near]["start"] is not None), None)
            limit = read_number(segment, "end", place) if timed is None else ahead[timed]["start"]
            word["start"] = begin
            word["end"] = begin + max(limit - begin, 0.0) / (len(ahead) if timed is None else timed)
        until = word["end"]


def _speaker(item: dict[str, Any], place: str) -> str | None:
    speaker = item.get("speaker")
    if speaker is None or isinstance(speaker, str):
        return speaker
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        return f"SPEAKER_{speaker:02d}"
    raise TurnTableError(f"{place}.speaker is {speaker!r:.60}, not a name")


def _text(item: dict[str, Any], name: str, place: str) -> str:
    text = item.get(name)
    if text is not None and not isinstance(text, str):
        raise TurnTableError(f"{place}.{name} is {text!r:.60}, not text")
    return (text or "").strip()
