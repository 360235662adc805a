"""Words and who says them: words from anywhere get speakers, and what was said is written line by line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from diarnb._checks import check_turns
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.turns import cut_overlap

_POINT = 1e-3  # seconds; a word without length is heard at a point


def assign_speakers(words: pd.DataFrame, turns: pd.DataFrame, *, within: float = 0.5) -> pd.DataFrame:
    """Say who speaks each word: whoever speaks longest during it.

    Parameters
    ----------
    words : pandas.DataFrame
        ``start`` and ``end`` in seconds; other columns are kept. Any transcriber's words or segments, in any order.
    turns : pandas.DataFrame
        Any table with start, end and speaker. Turns without overlap (`diarnb.exclusive`) leave no doubt; with overlap,
        of two who speak as long the one who comes first in the alphabet counts.
    within : float, default 0.5
        Seconds; a word during which nobody speaks goes to the nearest turn that is no farther away. Recognisers and
        diarizers place the edges of speech differently by some tenths of a second.

    Returns
    -------
    pandas.DataFrame
        A copy of `words` with a column ``speaker``, missing where nobody speaks. Where both tables have a column
        ``uri`` or ``channel``, words are assigned within their recording and channel.

    Raises
    ------
    TurnTableError
        If one of the tables lacks what it needs.
    InvalidParameterError
        If `within` is no number of seconds.

    Examples
    --------
    >>> words = pd.DataFrame({"start": [0.1, 1.9], "end": [0.4, 2.6], "word": ["Hello.", "Yes?"]})
    >>> turns = pd.DataFrame({"start": [0, 2], "end": [2, 3], "speaker": ["Maya", "Otto"]})
    >>> list(assign_speakers(words, turns)["speaker"])
    ['Maya', 'Otto']
    """
    if isinstance(within, bool) or not isinstance(within, int | float | np.number) or not 0 <= within < np.inf:
        raise InvalidParameterError(f"within is a number of seconds, 0 or more, not {within!r:.60}")
    turns = check_turns(turns)
    if not isinstance(words, pd.DataFrame) or not {"start", "end"} <= set(words.columns):
        raise TurnTableError("words needs the columns start and end, in seconds; rename yours with words.rename(...)")
    # The check at the door wants speakers and sorts; all that is asked of words is that their times are possible.
    check_turns(words[["start", "end"]].assign(speaker=""), name="words")
    result = words.copy()
    speaker = np.full(len(words), None, dtype=object)
    start, end = (words[name].to_numpy(dtype=float) for name in ("start", "end"))
    for of_words, of_turns in _shared(words, turns):
        speaker[of_words] = _longest(start[of_words], end[of_words], turns[of_turns], within)
    # By way of a column: in pandas 2 `str` itself would make "None" of what is missing.
    result["speaker"] = pd.Series(speaker, index=words.index, dtype=object).astype(pd.Series(dtype=str).dtype)
    return result


def transcript(table: pd.DataFrame) -> str:
    """Write what was said, a line for each utterance or turn.

    Parameters
    ----------
    table : pandas.DataFrame
        ``speaker`` and ``text``: `diarnb.utterances`, or a table of turns that has words.

    Returns
    -------
    str
        ``[Speaker:0] Hello, and thank you for calling.`` for SPEAKER_00, and ``[Beth] ...`` for who has a name;
        ``[?]`` where nobody is known to speak. Lines are in the order of the table; those without text are left out.

    Raises
    ------
    TurnTableError
        If the table has no text or no speakers.

    Examples
    --------
    >>> print(transcript(pd.DataFrame({"speaker": ["SPEAKER_00", "Beth"], "text": ["How are you?", "Not too bad."]})))
    [Speaker:0] How are you?
    [Beth] Not too bad.
    """
    missing = [name for name in ("speaker", "text") if name not in getattr(table, "columns", ())]
    if missing:
        raise TurnTableError(
            f"a transcript needs speaker and text, and this table has no {' nor '.join(missing)}; "
            "give it diarnb.utterances(turns), of an engine that hears words"
        )
    rows = zip(table["speaker"], table["text"], strict=True)
    return "\n".join(f"[{_called(who)}] {' '.join(text.split())}" for who, text in rows if _some(text))


def groups_of(words: list[dict[str, Any]], pause: float) -> list[list[dict[str, Any]]]:
    """Cut one channel's words where the speaker changes or a pause is longer than `pause` seconds."""
    groups: list[list[dict[str, Any]]] = []
    until = 0.0
    for word in words:
        if groups and groups[-1][-1]["speaker"] == word["speaker"] and word["start"] - until <= pause:
            groups[-1].append(word)
            until = max(until, word["end"])
        else:
            groups.append([word])
            until = word["end"]
    return groups


def utterance_of(words: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one utterance of the words of a group."""
    known = [word["confidence"] for word in words if word["confidence"] is not None]
    return {
        "start": min(word["start"] for word in words),
        "end": max(word["end"] for word in words),
        "speaker": words[0]["speaker"],
        "text": " ".join(word["text"] for word in words),
        "confidence": sum(known) / len(known) if known else None,
        "channel": words[0]["channel"],
    }


def _called(speaker: Any) -> str:
    if not _some(speaker):
        return "?"
    number = re.fullmatch(r"SPEAKER_(\d+)", str(speaker))
    return f"Speaker:{int(number[1])}" if number else str(speaker)


def _some(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _shared(words: pd.DataFrame, turns: pd.DataFrame) -> list[tuple[Any, Any]]:
    """Give masks of the words and of the turns of each recording and channel that both tables tell."""
    keys = [name for name in ("uri", "channel") if name in words and name in turns]
    if not keys:
        return [(np.ones(len(words), dtype=bool), np.ones(len(turns), dtype=bool))]
    wanted = words[keys].drop_duplicates().itertuples(index=False, name=None)
    return [((words[keys] == [*these]).all(axis=1), (turns[keys] == [*these]).all(axis=1)) for these in wanted]


def _longest(start: Any, end: Any, turns: pd.DataFrame, within: float) -> Any:
    """Name who speaks longest between each start and end, None for nobody."""
    names = sorted(turns["speaker"].unique())
    if not names or not len(start):
        return np.full(len(start), None, dtype=object)
    middle, half = (start + end) / 2, np.maximum((end - start) / 2, _POINT / 2)
    own = [cut_overlap(turns[turns["speaker"] == name]) for name in names]
    heard = np.stack([_spoken(pieces, middle - half, middle + half) for pieces in own])
    away = np.stack([_distance(pieces, start, end) for pieces in own])
    best = np.where(heard.max(axis=0) > 0, heard.argmax(axis=0), away.argmin(axis=0))
    nobody = (heard.max(axis=0) <= 0) & (away.min(axis=0) > within)
    return np.where(nobody, None, np.array(names, dtype=object)[best])


def _spoken(pieces: pd.DataFrame, start: Any, end: Any) -> Any:
    """Give the seconds of speech between each start and end, of pieces that do not overlap."""
    times = pieces[["start", "end"]].to_numpy().ravel()
    seconds = np.column_stack([np.zeros(len(pieces)), pieces["duration"]]).ravel().cumsum()
    return np.interp(end, times, seconds) - np.interp(start, times, seconds)


def _distance(pieces: pd.DataFrame, start: Any, end: Any) -> Any:
    """Give how far the nearest piece is from each span that touches none, in seconds."""
    starts, ends = (np.concatenate([[-np.inf], pieces[name], [np.inf]]) for name in ("start", "end"))
    following = np.searchsorted(starts, end)
    before = np.searchsorted(ends, start, side="right") - 1
    return np.minimum(np.maximum(starts[following] - end, 0), np.maximum(start - ends[before], 0))
