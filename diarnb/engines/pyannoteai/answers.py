"""What pyannoteAI answers, in diarnb's terms.

The answer is untrusted: what is missing may be missing, what is there must be what the documents say. Numbers that came
as text are read as numbers, for nothing is lost by it; everything else is an error that names the place.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from diarnb.engines.cloud.replies import quote_service
from diarnb.errors import ApiResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diarnb._types import Json

_LONGEST = 14 * 86400.0  # seconds; beyond, a time is damage
_UTTERANCE = ("start", "end", "speaker", "text", "confidence", "channel")
_SLACK = 0.02  # seconds by which the middle of a word may lie outside its turn: one frame


def read_answer(raw: Any) -> Json:
    """Read a finished job, or what is delivered to a webhook.

    Parameters
    ----------
    raw : dict
        The JSON as it came: ``{"jobId", "status", "output"}``.

    Returns
    -------
    dict
        ``columns``, ``diarization``, ``exclusiveDiarization``, ``words``, ``utterances``, ``frames``, ``matches``,
        ``warning`` and ``model``, as `diarnb.engines.base.Engine.read` has it; what was not asked for is None. Where
        known people were looked for, everything bears their names.

    Raises
    ------
    ApiResponseError
        It is none.

    Examples
    --------
    >>> turn = {"speaker": "SPEAKER_01", "start": 0.505, "end": 1.5}
    >>> read_answer({"status": "succeeded", "output": {"diarization": [turn]}})["diarization"]
    [{'start': 0.505, 'end': 1.5, 'speaker': 'SPEAKER_01'}]
    """
    output = raw.get("output") if isinstance(raw, dict) else None
    if not isinstance(output, dict):
        raise _unlike("output", "no object")
    names = _names(output)
    told = (output.get("model"), raw.get("model"))
    words = _optional(output, "wordLevelTranscription", _words, names)
    place = "identification" if "identification" in output else "diarization"
    spoken = _turns(output.get(place), place, names)
    alone = _optional(output, "exclusiveDiarization", _turns, names)
    if words is not None:
        for turns in filter(None, (spoken, alone)):
            _give_text(turns, words)
    return {
        "columns": [] if words is None else ["text"],
        "diarization": spoken,
        "exclusiveDiarization": alone,
        "words": words,
        "utterances": _optional(output, "turnLevelTranscription", _utterances, names),
        "frames": _frames(output, names),
        "matches": None if output.get("voiceprints") is None else _matches(output["voiceprints"], "voiceprints"),
        "warning": quote_service(output["warning"], 400) if isinstance(output.get("warning"), str) else None,
        "model": next((quote_service(each, 60) for each in told if isinstance(each, str) and each.strip()), None),
    }


def last_end(raw: Json) -> float:
    """Find when the last turn ends, in seconds; 0 without turns."""
    output = raw.get("output")
    turns = output.get("diarization") if isinstance(output, dict) else None
    return max((turn["end"] for turn in _turns(turns or [], "diarization", {})), default=0.0)


def _turns(rows: object, place: str, names: dict[str, str]) -> list[Json]:
    turns = []
    for row, where in _rows(rows, place):
        speaker = _speaker(row, where)
        turn = {**_span(row, where), "speaker": names.get(speaker, speaker)}
        if row.get("confidence") is not None:
            turn["confidence"] = _score_names(_scores_by_speaker(row["confidence"], f"{where}.confidence"), names)
        turns.append(turn)
    return turns


def _score_names(scores: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    """Score the names instead of the numbered labels; of two that are one person the higher score counts."""
    found: dict[str, float] = {}
    for label, score in scores.items():
        name = names.get(label, label)
        found[name] = max(score, found.get(name, 0.0))
    return found


def _matches(rows: object, place: str) -> Json:
    """Read how well each speaker matches each voiceprint, and which they were given, as `diarnb.matches` wants it."""
    found = {}
    for row, where in _rows(rows, place):
        match = row.get("match")
        scores = _scores_by_speaker(row.get("confidence"), f"{where}.confidence")
        label = match if isinstance(match, str) and match in scores else None
        found[_speaker(row, where)] = {"match": label, "scores": scores}
    return found


def _words(rows: object, place: str, names: dict[str, str]) -> list[Json]:
    words = []
    for row, where in _rows(rows, place):
        text = row.get("text")
        if not isinstance(text, str):
            raise _unlike(f"{where}.text", f"{text!r:.40}")
        speaker = row.get("speaker")
        if speaker is not None:
            speaker = _speaker(row, where)
        word = {**_span(row, where), "word": text.strip(' .,;:!?…"“”()').lower(), "text": text.strip()}
        word |= {"confidence": None, "speaker_confidence": None, "channel": 0}
        words.append({**word, "speaker": names.get(speaker, speaker) if speaker else None})
    return words


def _utterances(rows: object, place: str, names: dict[str, str]) -> list[Json]:
    return [{name: row[name] for name in _UTTERANCE} for row in _words(rows, place, names)]


def _give_text(turns: list[Json], words: list[Json]) -> None:
    """Add to each turn the words of its speaker whose middle lies in it."""
    for speaker in {turn["speaker"] for turn in turns}:
        own = sorted((turn for turn in turns if turn["speaker"] == speaker), key=lambda turn: turn["start"])
        starts = [turn["start"] for turn in own]
        said: list[list[str]] = [[] for _ in own]
        for word in words:
            middle = (word["start"] + word["end"]) / 2
            last = bisect_right(starts, middle + _SLACK) - 1
            if word["speaker"] == speaker and last >= 0 and middle <= own[last]["end"] + _SLACK:
                said[last].append(word["text"])
        for turn, texts in zip(own, said, strict=True):
            turn["text"] = " ".join(texts)


def _frames(output: Json, names: dict[str, str]) -> Json | None:
    """Gather the scores that were asked for, those of speakers apart; all have one resolution."""
    scores: dict[str, list[float]] = {}
    speakers: dict[str, list[float]] = {}
    resolution = None
    for key, name in (
        ("confidence", "confidence"),
        ("speakerProbability", ""),
        ("speechProbability", "speech_probability"),
        ("crosstalkProbability", "crosstalk_probability"),
    ):
        given = output.get(key)
        if given is None:
            continue
        if not isinstance(given, dict):
            raise _unlike(f"output.{key}", "no object")
        resolution = _number(given.get("resolution"), f"output.{key}.resolution")
        lists = given.get("score")
        by_name = lists if name == "" and isinstance(lists, dict) else {name: lists}
        for label, values in by_name.items():
            if not isinstance(values, list):
                raise _unlike(f"output.{key}.score", "no list")
            numbers = [_number(value, f"output.{key}.score[{n}]") for n, value in enumerate(values)]
            # The documents do not say whether probabilities are 0-1 or 0-100; only confidence is told to be 0-100.
            scale = 100.0 if key != "confidence" and max(numbers, default=2.0) <= 1.0 else 1.0
            scaled = [scale * number for number in numbers]
            if name:
                scores[name] = scaled
            else:
                person = names.get(label, label)
                speakers[person] = list(map(max, scaled, speakers.get(person, scaled)))
    if resolution is None:
        return None
    if resolution <= 0:
        raise _unlike("resolution", f"{resolution}")
    return {"resolution": resolution, "speakers": speakers, "scores": scores}


def _names(output: Json) -> dict[str, str]:
    """Map the numbered labels to those of the voiceprints that they match."""
    rows = output.get("identification")
    if not isinstance(rows, list):
        return {}
    return {
        row["diarizationSpeaker"]: row["speaker"]
        for row in rows
        if isinstance(row, dict)
        and isinstance(row.get("diarizationSpeaker"), str)
        and isinstance(row.get("speaker"), str)
    }


def _optional(output: Json, key: str, read: Any, names: dict[str, str]) -> Any:
    return None if output.get(key) is None else read(output[key], key, names)


def _rows(rows: object, place: str) -> Iterable[tuple[Json, str]]:
    if not isinstance(rows, list):
        raise _unlike(f"output.{place}", "no list")
    for number, row in enumerate(rows):
        where = f"output.{place}[{number}]"
        if not isinstance(row, dict):
            raise _unlike(where, "no object")
        yield row, where


def _span(row: Json, where: str) -> Json:
    start, end = _number(row.get("start"), f"{where}.start"), _number(row.get("end"), f"{where}.end")
    if not 0 <= start <= end <= _LONGEST:
        raise _unlike(where, f"from {start:g} to {end:g} s")
    return {"start": start, "end": end}


def _speaker(row: Json, where: str) -> str:
    speaker = row.get("speaker")
    if not isinstance(speaker, str) or not speaker.strip():
        raise _unlike(f"{where}.speaker", f"{speaker!r:.40}")
    return speaker


def _scores_by_speaker(given: object, where: str) -> dict[str, float]:
    if not isinstance(given, dict):
        raise _unlike(where, "no object")
    return {str(label): _number(score, where) for label, score in given.items()}


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _unlike(where, f"{value!r:.40}")
    return number


def _unlike(place: str, what: str) -> ApiResponseError:
    return ApiResponseError(
        f"pyannoteAI's answer is not as its contract says: {place} is {what}. It is kept as it came."
    )
