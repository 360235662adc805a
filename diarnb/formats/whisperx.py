"""The JSON of WhisperX, and of the Whispers without speakers, as faster-whisper's: segments with their words.

WhisperX cannot time every word, numbers for one: such a word is placed between its neighbours.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import make_table
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.json import read_json, read_speaker, write_json
from diarnb.formats._shared.times import check_span
from diarnb.formats._shared.words import group_words, list_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading

READS = "a transcript of WhisperX, faster-whisper or Whisper"
HOLDS = Holds("exact", text=True, confidence="of words", words="yes", also="the language, where it is known")

_UNKNOWN = "und"  # what ISO 639 has for a language that nobody told
_COLUMNS = ["start", "end", "word", "text", "speaker", "confidence"]


def recognizes(data: object) -> bool:
    """Whether this is a transcript of a Whisper: segments in an object, or alone where they name nobody."""
    if isinstance(data, dict):
        return isinstance(data.get("segments"), list)
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and "text" in first and "speaker" not in first


def load(reading: Reading) -> pd.DataFrame:
    """Read turns."""
    return read_turns(read_json(reading), reading)


def load_words(reading: Reading) -> pd.DataFrame:
    """Read words."""
    return read_words(read_json(reading), reading)


def read_turns(data: object, reading: Reading) -> pd.DataFrame:
    """Make a turn of each segment; its speaker is missing where the file names nobody."""
    rows = []
    for place, segment in _list_segments(data, reading):
        with _pass_over(reading, place):
            start, end = check_span(*(_read_number(segment, name) for name in ("start", "end")))
            rows.append((start, end, _read_speaker(segment), _read_text(segment, "text")))
    reading.check_sound(len(rows))
    return _keep_language(make_table(rows, ["start", "end", "speaker", "text"], reading), data)


def read_words(data: Any, reading: Reading) -> pd.DataFrame:
    """Make a row of each word, or where a segment tells no words, of the segment."""
    rows: list[Json] = []
    for place, segment in _list_segments(data, reading):
        own: list[Json] = []
        words = segment.get("words") or [segment | {"word": segment.get("text")}] if isinstance(segment, dict) else [{}]
        for count, word in enumerate(words if isinstance(words, list) else [words]):
            with _pass_over(reading, place if words is not segment.get("words") else f"{place}.words[{count}]"):
                own.append(_read_word(word, segment))
        with _pass_over(reading, place):
            _place(own, segment)
            rows += own
    reading.check_sound(len(rows))
    return _keep_language(pd.DataFrame(rows, columns=_COLUMNS), data)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write segments; of a table of words those that a speaker says without a pause, with their words."""
    groups = group_words(turns) if "word" in turns else [[row] for row in list_rows(turns)]
    segments = []
    for group in groups:
        end = max(row["end"] for row in group)
        text = " ".join(filter(None, (row.get("text") or row.get("word") for row in group)))
        segment: Json = {"start": group[0]["start"], "end": end, "text": text}
        if "word" in turns:
            segment["words"] = [_word(row) for row in group]
        if group[0]["speaker"] is not None:
            segment["speaker"] = group[0]["speaker"]
        segments.append(segment)
    spoken = [word for segment in segments for word in segment.get("words", ())]
    language = (turns.attrs.get("diarnb") or {}).get("language", _UNKNOWN)
    write_json(path, {"segments": segments, "word_segments": spoken, "language": language})


def _keep_language(table: pd.DataFrame, data: object) -> pd.DataFrame:
    language = data.get("language") if isinstance(data, dict) else None
    if isinstance(language, str) and language != _UNKNOWN:
        table.attrs["diarnb"] = {**table.attrs.get("diarnb", {}), "language": language}
    return table


def _word(row: Json) -> Json:
    word = {"word": row.get("text") or row["word"] or "", "start": row["start"], "end": row["end"]}
    given = {"score": row.get("confidence"), "speaker": row["speaker"]}
    return word | {name: value for name, value in given.items() if value is not None}


def _list_segments(data: Any, reading: Reading) -> Iterator[tuple[str, Any]]:
    segments = data.get("segments") if isinstance(data, dict) else data
    if not isinstance(segments, list):
        raise TurnTableError(f"{reading.name} is no transcript of a Whisper: it has no list of segments")
    for count, segment in enumerate(segments):
        yield f"segments[{count}]", segment


@contextmanager
def _pass_over(reading: Reading, place: str) -> Iterator[None]:
    """Pass over what is damaged at a place, and count it."""
    try:
        yield
    except ValueError as error:
        reading.skip(place, error)


def _read_word(word: Any, segment: Any) -> Json:
    """Read a word, whose times may be missing both."""
    start, end = (word.get(name) if isinstance(word, dict) else None for name in ("start", "end"))
    text = _read_text(word, "word")
    if start is not None and end is not None:
        start, end = check_span(*(_read_number(word, name) for name in ("start", "end")))
    else:
        start = end = None
    speaker = _read_speaker(word if "speaker" in word else segment)
    score = word.get("score", word.get("probability"))
    return dict(zip(_COLUMNS, (start, end, text, text, speaker, score), strict=True))


def _place(words: list[Json], segment: Any) -> None:
    """Spread words without times over what the words around them leave."""
    until = None
    for count, word in enumerate(words):
        if word["start"] is None:
            begin = _read_number(segment, "start") if until is None else until
            ahead = words[count:]
            timed = next((near for near in range(len(ahead)) if ahead[near]["start"] is not None), None)
            limit = _read_number(segment, "end") if timed is None else ahead[timed]["start"]
            word["start"] = begin
            word["end"] = begin + max(limit - begin, 0.0) / (len(ahead) if timed is None else timed)
        until = word["end"]


def _read_number(item: Json, name: str) -> float:
    if not isinstance(item, dict):
        raise ValueError(f"it is {item!r:.60}, not an object")  # noqa: TRY004 (of a file, not of Python)
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"its {name} is {value!r:.60}, not a number of seconds")  # noqa: TRY004
    return float(value)


def _read_speaker(item: Json) -> str | None:
    speaker = item.get("speaker")
    return speaker if isinstance(speaker, str) else read_speaker(speaker)


def _read_text(item: Json, name: str) -> str:
    if not isinstance(item, dict):
        raise ValueError(f"it is {item!r:.60}, not an object")  # noqa: TRY004
    text = item.get(name)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"its {name} is {text!r:.60}, not text")
    return (text or "").strip()
