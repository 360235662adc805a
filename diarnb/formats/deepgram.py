"""The JSON of Deepgram's answers, which holds words; speakers are numbers from 0, in each channel anew."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd

from diarnb.errors import ApiResponseError, TurnTableError
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.json import dump_json, name_file, read_json, write_json
from diarnb.formats._shared.words import join_words, list_rows
from diarnb.tables.turns import make_turns

if TYPE_CHECKING:
    from pathlib import Path

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading

READS = "an answer of Deepgram"
HOLDS = Holds("exact", "numbers", text=True, confidence="of words", words="only", also="channel")

_CAUSE = re.compile(r"^.*?words\[0\][. ]?")
_LONGEST = 14 * 86400.0  # seconds


def recognizes(data: object) -> bool:
    """Whether this is an answer of Deepgram."""
    results = data.get("results") if isinstance(data, dict) else None
    return isinstance(results, dict) and "channels" in results


def load(reading: Reading) -> pd.DataFrame:
    """Read turns."""
    return read_turns(read_json(reading), reading)


def load_words(reading: Reading) -> pd.DataFrame:
    """Read words."""
    return read_words(read_json(reading), reading)


def read_turns(data: object, reading: Reading) -> pd.DataFrame:
    """Make turns of an answer."""
    from diarnb.engines.deepgram.answers import read_answer  # the engine's package brings a client along

    data = _leave_out_damaged(data, reading)
    words = _read_words(data, reading)
    if words["speaker"].isna().all():
        return join_words(words)
    with name_file(reading):
        answer = read_answer(data, {})
    turns = answer["diarization"]
    sure = any(score is not None for turn in turns for score in turn["confidence"].values())
    columns = [*answer["columns"], *(["confidence"] if sure else [])]
    return make_turns(turns, columns=columns, facts={"source": reading.path.stem})


def read_words(data: Any, reading: Reading) -> pd.DataFrame:
    """Make words of an answer, whether or not its speakers were told apart."""
    return _read_words(_leave_out_damaged(data, reading), reading)


def _read_words(data: Any, reading: Reading) -> pd.DataFrame:
    from diarnb.engines.deepgram.answers import read_answer
    from diarnb.engines.deepgram.answers import read_words as read_answered

    with name_file(reading):
        rows = [
            word
            for number, item, place in _list_alternatives(data, reading)
            for word in read_answered(item, place, _LONGEST, number)
        ]
        if any(row["speaker"] is not None for row in rows):
            rows = read_answer(data, {})["words"]
    return pd.DataFrame(rows, columns=None if rows else ["start", "end", "word", "text", "speaker"])


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write an answer."""
    if "word" not in turns:
        raise TurnTableError("an answer of Deepgram holds words, but this table has none; write diarnb.words(turns)")
    channels: list[list[Json]] = [[]]
    for row in list_rows(turns):
        channel = int(row.get("channel") or 0)
        channels += [[] for _ in range(channel + 1 - len(channels))]
        channels[channel].append(row)
    facts = turns.attrs.get("diarnb") or {}
    before = 0
    found = []
    for rows in channels:
        numbers = _number_speakers([row["speaker"] for row in rows if row["speaker"] is not None], before)
        words = [_word(row, numbers) for row in rows]
        transcript = " ".join(word["punctuated_word"] for word in words)
        sure = [word["confidence"] for word in words if "confidence" in word]
        confidence = sum(sure) / len(sure) if sure else 0.0
        found.append({"alternatives": [{"transcript": transcript, "confidence": confidence, "words": words}]})
        before += max(numbers.values(), default=-1) + 1
    duration = max([facts.get("duration") or 0.0, *turns["end"]])
    # What the service's own clients insist on; nothing was transcribed here, so no model is named.
    metadata = {
        "request_id": str(uuid4()),
        "sha256": hashlib.sha256(dump_json(found).encode()).hexdigest(),
        "created": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "duration": duration,
        "channels": len(found),
        "models": [],
        "model_info": {},
    }
    write_json(path, {"metadata": metadata, "results": {"channels": found}})


def _leave_out_damaged(data: Any, reading: Reading) -> Any:
    """Return an answer without the words that cannot be read, which are counted; as it is where all can."""
    from diarnb.engines.cloud.reading import BEYOND
    from diarnb.engines.deepgram.answers import read_words as read_answered

    metadata = data.get("metadata")
    duration = metadata.get("duration") if isinstance(metadata, dict) else None
    until = duration + BEYOND if isinstance(duration, int | float) and duration > 0 else _LONGEST
    kept, channels = 0, []
    for number, item, place in _list_alternatives(data, reading):
        sound = []
        for count, word in enumerate(item.get("words") or []):
            try:
                read_answered({"words": [word]}, place, until, number)
            except ApiResponseError as refusal:
                reading.skip(f"{place}.words[{count}]", _CAUSE.sub("", str(refusal)))
            else:
                sound.append(word)
        channels.append({"alternatives": [{**item, "words": sound}]})
        kept += len(sound)
    if not reading.skipped:
        return data
    reading.check_sound(kept)
    return {**data, "results": {"channels": channels}}


def _list_alternatives(data: Any, reading: Reading) -> list[tuple[int, Json, str]]:
    channels = data["results"]["channels"] if recognizes(data) else None
    found = []
    try:
        for number, channel in enumerate(channels or []):
            found += [(number, item, f"results.channels[{number}]") for item in channel["alternatives"][:1]]
    except (KeyError, TypeError) as error:
        raise TurnTableError(
            f"{reading.name}: channel {number} of this answer of Deepgram has no alternatives"
        ) from error
    return found


def _number_speakers(speakers: list[str], before: int) -> dict[str, int]:
    """Map the speakers of a channel to the numbers of their names where reading gives these, or as they come."""
    names = list(dict.fromkeys(speakers))
    known = [re.fullmatch(r"SPEAKER_(\d{2,6})", name) for name in names]
    numbers = [int(match[1]) - before if match else -1 for match in known]
    return dict(zip(names, range(len(names)) if min(numbers, default=0) < 0 else numbers, strict=True))


def _word(row: Json, numbers: dict[str, int]) -> Json:
    word = {"word": row["word"] or "", "start": row["start"], "end": row["end"]}
    word |= {name: row[name] for name in ("confidence", "speaker_confidence") if row.get(name) is not None}
    if row["speaker"] is not None:
        word["speaker"] = numbers[row["speaker"]]
    return word | {"punctuated_word": row.get("text") or row["word"] or ""}
