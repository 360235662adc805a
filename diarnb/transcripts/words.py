"""Words from a transcriber or a table: the check at their door, and what they make of an answer that had none."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb._types import Json, Options
from diarnb.errors import TurnTableError
from diarnb.tables.checks import check_spans
from diarnb.tables.turns import make_turns
from diarnb.transcripts import PLACED, assign_speakers, check_untimed, is_placed, make_utterance, make_word_table
from diarnb.transcripts.clauses import FAR, ends_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

Word = Json
"""``start``, ``end``, ``word``, ``text``, ``confidence`` (None where unknown), and ``channel`` where it is known."""

PAUSE = 0.8
"""Seconds of silence that end an utterance; Deepgram's default too."""

_ASIDE = 0.4  # seconds of a speaker's own silence in which a listener may say something without ending the utterance

_ASKED: dict[str, type] = {"start": float, "end": float, "text": str, "placed": object}
_SCORES = ("confidence", "score", "probability")  # ours, whisperX's, faster-whisper's
_MARKS = ' .,;:!?…"“”«»()[]'


def check_words(words: object, name: str = "words") -> list[Word]:
    """Check words from anywhere, and return them in order of time.

    Parameters
    ----------
    words : pandas.DataFrame or iterable of mappings
        ``start`` and ``end`` in seconds, and ``word`` or ``text`` (with its punctuation). A score from 0 to 1 may be
        called ``confidence``, ``score`` or ``probability``; ``channel`` counts from 0; ``placed`` is ``"length"`` where
        times are estimates by the lengths of words. What else there is, speakers too, is left out, and so are words
        without letters.
    name : str, default "words"
        What to call them in an error.

    Raises
    ------
    TurnTableError
        Saying what is wrong.

    Examples
    --------
    >>> check_words([{"start": 0, "end": 0.4, "text": "Hello,"}])
    [{'start': 0.0, 'end': 0.4, 'word': 'hello', 'text': 'Hello,', 'confidence': None}]
    """
    table = make_word_table(words, name)
    if table.empty:
        return []
    check_untimed(table, words, name)
    table = check_spans(table, name=name)
    spelt = [column for column in ("word", "text") if column in table]
    if not spelt:
        raise TurnTableError(f"{name} has no column word, nor text; rename yours, as in {name}.rename(columns=...)")
    scored = next((column for column in _SCORES if column in table), None)
    scores = [None] * len(table) if scored is None else _read_scores(table[scored], name)
    channels = _read_channels(table["channel"], name) if "channel" in table else None
    placed = is_placed(table).tolist()
    found: list[Word] = []
    for number, row in enumerate(table[["start", "end", *spelt]].to_dict("records")):
        text = _clean(row.get("text")) or _clean(row.get("word"))
        if not text:
            continue
        plain = _clean(row.get("word")) or text.strip(_MARKS).lower() or text
        times = {"start": row["start"], "end": row["end"]}
        word: Word = {**times, "word": plain, "text": text, "confidence": scores[number]}
        word |= {"channel": channels[number]} if channels is not None else {}
        word |= {"placed": PLACED} if placed[number] else {}
        found.append(word)
    return found


def add_words(raw: Options, words: Iterable[Word], frames: pd.DataFrame | None = None) -> Json:
    """Add words to an answer: who says each, what is said in each turn, and utterances.

    Parameters
    ----------
    raw : mapping
        As `diarnb.engines.base.Answer` has it.
    words : iterable of dict
        As `check_words` gives them; those of an answer that has words already will do.
    frames : pandas.DataFrame, optional
        The scores of the answer, as `diarnb.engines.base.Engine.frames` gives them.

    Returns
    -------
    dict
        The answer with ``words``, ``utterances``, a ``text`` in every turn, and a remark on words that nobody speaks.
        The ``speaker_confidence`` of a word is that of the turn it is in. A word of unknown channel is on its
        speaker's. What a listener says where no turn of theirs is near is in no turn.
    """
    turns, alone = raw["diarization"], raw.get("exclusiveDiarization")
    said = [_make_word(word, *nearest) for word, nearest in _assign_words(list(words), turns, frames)]
    silent = sum(word["speaker"] is None and not _is_heard(word, turns) for word in said)
    remark = f"{silent} of {len(said)} words were said where no turn is: words(turns) has them, but no turn."
    homes = find_turns(said, turns)
    homed = [word for word, home in zip(said, homes, strict=True) if home is not None and _is_near(word, turns[home])]
    return {
        **raw,
        "columns": [*raw.get("columns", ()), "text"],
        "diarization": add_text(turns, said),
        "exclusiveDiarization": None if alone is None else _add_text(alone, homed),
        "words": said,
        "utterances": make_utterances(said),
        "warning": " ".join(filter(None, [raw.get("warning"), remark if silent else None])) or None,
    }


def _clean(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _read_scores(column: pd.Series, name: str) -> list[float | None]:
    scores = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if ((scores < 0) | (scores > 1 + 1e-6)).any():
        wrong = scores[(scores < 0) | (scores > 1 + 1e-6)][0]
        fix = f"scale it, or leave it out with `{name}.drop(columns={column.name!r})`"
        raise TurnTableError(
            f"{name} has a column {column.name!r} with {wrong:g}, which is not a number from 0 to 1; {fix}"
        )
    return [None if np.isnan(score) else min(float(score), 1.0) for score in scores]


def _read_channels(column: pd.Series, name: str) -> list[int]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if not ((numbers >= 0) & (numbers == np.floor(numbers))).all():
        raise TurnTableError(f"{name} has a column 'channel' that does not count channels from 0; leave it out")
    return [int(number) for number in numbers]


def _make_turns(rows: list[Json]) -> pd.DataFrame:
    return make_turns(rows, columns=["channel"] if any("channel" in row for row in rows) else [])


def _assign_words(
    words: list[Word], floor: list[Json], frames: pd.DataFrame | None
) -> list[tuple[Word, tuple[str | None, Any]]]:
    """Assign each word to a speaker and that one's nearest turn, or to nobody."""
    table = pd.DataFrame(
        {name: pd.Series([word.get(name) for word in words], dtype=dtype) for name, dtype in _ASKED.items()}
    )
    if words and all("channel" in word for word in words):
        table["channel"] = [word["channel"] for word in words]
    named = assign_speakers(table, _make_turns(floor), frames=frames)["speaker"]
    speakers = [None if pd.isna(name) else str(name) for name in named]
    places = find_turns([{**word, "speaker": name} for word, name in zip(words, speakers, strict=True)], floor)
    turns = [None if place is None else floor[place] for place in places]
    return list(zip(words, zip(speakers, turns, strict=True), strict=True))


def _make_word(word: Word, speaker: str | None, turn: Options | None) -> Word:
    """Write a word as `diarnb.engines.base.Reader` has it."""
    scores = (turn or {}).get("confidence") or {}
    return {
        "start": word["start"],
        "end": word["end"],
        "word": word["word"],
        "text": word["text"],
        "speaker": speaker,
        "confidence": word["confidence"],
        "speaker_confidence": round(scores[speaker] / 100, 4) if scores.get(speaker) is not None else None,
        "channel": word["channel"] if "channel" in word else (turn or {}).get("channel", 0),
        **({"placed": word["placed"]} if "placed" in word else {}),
    }


def add_text(turns: list[Json], words: list[Word]) -> list[Json]:
    """Add to each turn what its speaker says in it; what is said far from all of them is in none."""
    homes = find_turns(words, turns)
    near = [word for word, home in zip(words, homes, strict=True) if home is not None and _is_near(word, turns[home])]
    return _add_text(turns, near)


def _add_text(turns: list[Json], words: list[Word]) -> list[Json]:
    texts: list[list[str]] = [[] for _ in turns]
    for word, place in zip(words, find_turns(words, turns), strict=True):
        if place is not None:
            texts[place].append(word["text"])
    return [{**turn, "text": " ".join(said)} for turn, said in zip(turns, texts, strict=True)]


def make_utterances(words: list[Word]) -> list[Json]:
    """Make utterances of words, by time."""
    return sorted(map(make_utterance, group_utterances(words)), key=lambda each: (each["start"], each["end"]))


def group_utterances(words: list[Word]) -> list[list[Word]]:
    """Sort words into utterances: they end at a pause, or where somebody else takes over.

    What is said into the middle of a sentence is an utterance of its own, and the sentence goes on.
    """
    groups: list[list[Word]] = []
    latest: dict[tuple[object, object], list[Word]] = {}  # the last group of each speaker on each channel
    floor: dict[object, list[Word]] = {}  # the group of whoever spoke last on each channel
    for word in words:
        channel, speaker = word["channel"], word["speaker"]
        own = latest.get((channel, speaker))
        goes_on = own is not None and own is floor.get(channel)
        within = PAUSE if goes_on else _ASIDE
        if (
            own is None
            or word["start"] - max(each["end"] for each in own[-9:]) > within
            or not (goes_on or (speaker is not None and not ends_sentence(own[-1]["text"])))
        ):
            own = latest[channel, speaker] = []
            groups.append(own)
        own.append(word)
        floor[channel] = own
    return groups


def _is_heard(word: Word, turns: list[Json]) -> bool:
    return any(turn["start"] < word["end"] and turn["end"] > word["start"] for turn in turns)


def _is_near(word: Word, turn: Json) -> bool:
    return bool(turn["start"] - word["end"] <= FAR and word["start"] - turn["end"] <= FAR)


def find_turns(words: list[Word], turns: list[Json]) -> list[int | None]:
    """Find which of its speaker's turns the middle of each word is in, or nearest to; None for who has none."""
    own: dict[str, list[int]] = {}
    for number in sorted(range(len(turns)), key=lambda number: turns[number]["start"]):
        own.setdefault(turns[number]["speaker"], []).append(number)
    starts = {speaker: [turns[number]["start"] for number in numbers] for speaker, numbers in own.items()}
    found: list[int | None] = []
    for word in words:
        numbers = own.get(word["speaker"], [])
        if not numbers:
            found.append(None)
            continue
        middle = (word["start"] + word["end"]) / 2
        after = bisect_right(starts[word["speaker"]], middle)
        near = numbers[max(after - 1, 0) : after + 1]
        found.append(min(near, key=lambda n: max(turns[n]["start"] - middle, middle - turns[n]["end"], 0)))
    return found
