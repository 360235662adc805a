"""The JSON of pyannoteAI's answers: ``{"output": {"diarization": [...]}}``, or the output alone.

Texts are written as its transcription of turns, words as that of words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from diarnb.errors import ApiResponseError, TurnTableError
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.json import name_file, read_json, write_json
from diarnb.formats._shared.words import join_words, list_rows
from diarnb.tables.turns import make_turns

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading

READS = "an answer of pyannoteAI"
HOLDS = Holds("exact", text=True, confidence="yes", words="yes")

_LISTS = ("diarization", "identification", "wordLevelTranscription", "turnLevelTranscription")
_CAUSE = re.compile(r"^.*?output\.\w+\[0\][. ]?|\. It is kept as it came\.$")
_SPAN = ("start", "end", "speaker")


def recognizes(data: object) -> bool:
    """Whether this is an answer of pyannoteAI."""
    output = data.get("output", data) if isinstance(data, dict) else None
    return isinstance(output, dict) and not {"diarization", "identification"}.isdisjoint(output)


def load(reading: Reading) -> pd.DataFrame:
    """Read turns."""
    return read_turns(read_json(reading), reading)


def load_words(reading: Reading) -> pd.DataFrame:
    """Read words."""
    return read_words(read_json(reading), reading)


def read_turns(data: object, reading: Reading) -> pd.DataFrame:
    """Make turns of an answer."""
    answer = _read_answer(data, reading)
    turns = answer["diarization"]
    columns = set(answer["columns"])
    said = answer["utterances"] or []
    if answer["words"] is None and said and list(map(_span, said)) == list(map(_span, turns)):  # as `dump` writes it
        turns = [turn | {"text": row["text"]} for turn, row in zip(turns, said, strict=True)]
        columns.add("text")
    if any("confidence" in turn for turn in turns):
        columns.add("confidence")
    return make_turns(turns, columns=columns, facts={"source": reading.path.stem})


def read_words(data: Any, reading: Reading) -> pd.DataFrame:
    """Make words of an answer, or where it has none, of what was said in each turn."""
    import pandas as pd

    answer = _read_answer(data, reading)
    rows = answer["words"] if answer["words"] is not None else answer["utterances"]
    return pd.DataFrame(rows or [], columns=None if rows else [*_SPAN, *([] if rows is None else ["text"])])


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write an answer."""
    words = turns if "word" in turns else None
    turns = turns if words is None else join_words(words.dropna(subset="speaker"))
    rows = list_rows(turns)
    diarization: list[Json] = []
    for row in rows:
        row["speaker"] = row["speaker"] if row["speaker"].strip() else "_"  # the service has nobody without a name
        turn = _span(row)
        if row.get("confidence") is not None:
            turn["confidence"] = {row["speaker"]: row["confidence"]}
        diarization.append(turn)
    output: Json = {"diarization": diarization}
    if "text" in turns:
        output["turnLevelTranscription"] = [_find_text(row, row["text"]) for row in rows]
    if words is not None:
        output["wordLevelTranscription"] = [_find_text(row, row.get("text") or row["word"]) for row in list_rows(words)]
    write_json(path, {"status": "succeeded", "output": output})


def _span(row: Json) -> Json:
    return {name: row[name] for name in _SPAN}


def _find_text(row: Json, text: str | None) -> Json:
    speaker = row["speaker"] if (row["speaker"] or "").strip() else None
    return {"start": row["start"], "end": row["end"], "speaker": speaker, "text": text or ""}


def _read_answer(data: object, reading: Reading) -> Json:
    from diarnb.engines.pyannoteai.answers import read_answer  # the engine's package brings a client along

    answer: Any = data if isinstance(data, dict) and "output" in data else {"output": data}
    try:
        return read_answer(answer)
    except ApiResponseError as error:
        output, kept = dict(answer["output"]), 0
        for key in (*_LISTS, "exclusiveDiarization"):
            if not isinstance(output.get(key), list):
                continue
            sound = []
            for number, row in enumerate(output[key]):
                try:
                    read_answer({"output": {"diarization": [], key: [row]}})
                except ApiResponseError as refusal:
                    reading.skip(f"output.{key}[{number}]", _CAUSE.sub("", str(refusal)))
                else:
                    sound.append(row)
            output[key], kept = sound, kept + len(sound)
        if not reading.skipped:
            raise TurnTableError(f"{reading.name}: {error}") from error
        reading.check_sound(kept)
    with name_file(reading):
        return read_answer({**answer, "output": output})
