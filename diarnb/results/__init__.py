"""What a run holds beyond its turns: each a function of the table, which knows its run by id."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb.errors import DiarnbWarning, InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.params import Params
from diarnb.results.matching import find_speakers, is_whole, list_turns, map_names, match_rows, rename_columns
from diarnb.results.runs import evidence_of, find_reader, read_run, run_of, table_of
from diarnb.tables.checks import as_table, check_turns
from diarnb.tables.turns import cut_overlap, hash_rows
from diarnb.transcripts.words import add_text, make_utterances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._types import Json
    from diarnb.store.run import Run

_WORDS: dict[str, type] = {
    "start": float,
    "end": float,
    "word": str,
    "text": str,
    "speaker": str,
    "confidence": float,
    "speaker_confidence": float,
    "channel": np.int64,
}
_UTTERANCES: dict[str, type] = {
    "start": float,
    "end": float,
    "speaker": str,
    "text": str,
    "confidence": float,
    "channel": np.int64,
}


def words(turns: pd.DataFrame) -> pd.DataFrame:
    """Return the words that were transcribed in these turns.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` returned, whole or in part, renamed, corrected or not.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds, ``word``, ``text`` (with punctuation), ``speaker`` (missing where the service names
        nobody), ``confidence``, ``speaker_confidence`` (0-1, NaN where there is none), ``channel``; sorted by time.
        ``placed`` exists if the transcriber does not time words, and is ``"length"`` where the time is an estimate. If
        the table is only part of the run, it returns only the words of these turns, with the speakers' current names. A
        turn whose times were changed has the words within its new times. Empty for the local engine, which finds
        speakers only, unless it was given ``words=``.

    Raises
    ------
    TurnTableError
        If this is not a table of turns that diarnb made.
    RunNotFoundError
        If the run is no longer in the store.

    Examples
    --------
    >>> len(words(diarize(example("interview"), progress=False)))
    0
    """
    check_turns(turns)
    run = run_of(turns)
    answer = read_run(run)
    said = _find_said(run, "words")
    if is_whole(turns, run):
        return correct_words(_tabulate_speech(turns, said, _WORDS), turns)
    names = find_speakers(turns, answer, said)
    rows = [{**word, "speaker": name} for word, name in zip(said, names, strict=True) if name is not None]
    return correct_words(_tabulate_speech(None, rows, _WORDS), turns)


def join_texts(turns: pd.DataFrame) -> list[str] | None:
    """Join the words of each row, as the ``text`` of a turn has them; None where the run has no words, or is gone."""
    try:
        if not has_words(turns):
            return None
    except (RunNotFoundError, TurnTableError):
        return None
    tables: list[Any] = [turns[["start", "end", "speaker"]], words(turns)]
    rows, said = (table.to_dict("records") for table in tables)
    return [row["text"] for row in add_text(rows, said)]


def correct_words(words: pd.DataFrame, turns: pd.DataFrame) -> pd.DataFrame:
    """Write words as they were corrected by hand on a table of turns; each is known by its times."""
    for start, end, text in (turns.attrs.get("diarnb") or {}).get("words", []):
        meant = np.isclose(words["start"], start, atol=1e-3, rtol=0) & np.isclose(words["end"], end, atol=1e-3, rtol=0)
        for column, written in (("text", text), ("word", text.strip(".,;:!?…"))):
            if column in words:
                words.loc[meant, column] = written
    return words


def utterances(turns: pd.DataFrame) -> pd.DataFrame:
    """Return what was said in these turns, cut at pauses and where the speaker changes.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` returned, whole or in part, renamed, corrected or not.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds, ``speaker``, ``text``, ``confidence`` (of the words, 0-1), ``channel``; sorted by
        time. What a listener says during a sentence is a separate utterance and does not cut the sentence. If the
        service was asked for utterances (Deepgram: ``utterances=True``) and the table is the whole run, these are used,
        except those with several speakers. Otherwise they are computed from the `words` of the turns. Empty for the
        local engine, unless it was given ``words=``.

    Raises
    ------
    TurnTableError
        If this is not a table of turns that diarnb made.
    RunNotFoundError
        If the run is no longer in the store.

    Examples
    --------
    >>> list(utterances(diarize(example("interview"), progress=False)))
    ['start', 'end', 'speaker', 'text', 'confidence', 'channel']
    """
    check_turns(turns)
    run = run_of(turns)
    if is_whole(turns, run) and not turns.attrs["diarnb"].get("words"):
        return _tabulate_speech(turns, _find_said(run, "utterances"), _UTTERANCES)
    table = words(turns).astype(object)
    said: Any = table.where(table.notna(), None).to_dict("records")
    return _tabulate_speech(None, make_utterances(said), _UTTERANCES)


def search(turns: pd.DataFrame, text: str, *, context: int = 6) -> pd.DataFrame:
    """Find where something is said: one word, or several consecutive words.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` returned with words, whole or in part; or any table of turns with ``text``.
    text : str
        Case and punctuation do not matter. Only whole words are found.
    context : int, default 6
        How many words before and after to show, by any speaker.

    Returns
    -------
    pandas.DataFrame
        One row for each hit, sorted by time: ``start``, ``end``, ``duration`` in seconds (of the words, or of the turn
        if the words have no times), ``speaker`` (``"?"`` if unknown), ``text``, ``before``, ``after``, and ``uri`` in a
        table of several recordings. The result is a table of turns, so `clip`, `player` and `timeline` accept it.
        ``attrs`` are those of `turns`.

    Raises
    ------
    TurnTableError
        If this is not a table of turns, or has neither words nor text.
    InvalidParameterError
        If `text` contains no word, or `context` is not a number of words.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0.0], "end": [2.0], "speaker": ["Maya"], "text": ["The budget, please."]})
    >>> search(turns, "budget")[["start", "speaker", "text", "before", "after"]]
       start speaker     text before    after
    0    0.0    Maya  budget,    The  please.
    """
    wanted = [word for word in map(_normalize, str(text).split()) if word]
    if not isinstance(text, str) or not wanted:
        raise InvalidParameterError(f"search takes one or more words, not {text!r:.60}")
    if isinstance(context, bool) or not isinstance(context, int) or context < 0:
        raise InvalidParameterError(f"context is a number of words, 0 or more, not {context!r:.60}")
    checked = check_turns(turns)
    said = words(turns) if "run" in (turns.attrs.get("diarnb") or {}) else pd.DataFrame()
    if said.empty:
        if "text" not in checked:
            raise TurnTableError("there are no words in this table: diarize(source, words=True) transcribes them")
        said = (
            checked.assign(text=checked["text"].fillna("").astype(str).str.split())
            .explode("text")
            .dropna(subset="text")
        )
    said = said.assign(speaker=said["speaker"].fillna("?"), duration=said["end"] - said["start"]).reset_index(drop=True)
    spelt, recordings = said["text"].astype(str).tolist(), said["uri"].tolist() if "uri" in said else [None] * len(said)
    plain, size = [_normalize(word) for word in spelt], len(wanted)
    hits = [
        at
        for at in range(len(plain) - size + 1)
        if plain[at : at + size] == wanted and recordings[at] == recordings[at + size - 1]
    ]
    found = said.iloc[hits][["start", "speaker", *(["uri"] if "uri" in said else [])]].reset_index(drop=True)
    found.insert(1, "end", said["end"].to_numpy()[[at + size - 1 for at in hits]] if hits else found["start"])
    found.insert(2, "duration", found["end"] - found["start"])
    around = {
        "text": [(at, at + size) for at in hits],
        "before": [(max(at - context, 0), at) for at in hits],
        "after": [(at + size, at + size + context) for at in hits],
    }
    for place, (column, spans) in enumerate(around.items(), start=4):
        near = [
            " ".join(word for word, uri in zip(spelt[a:b], recordings[a:b], strict=True) if uri == recordings[at])
            for at, (a, b) in zip(hits, spans, strict=True)
        ]
        found.insert(place, column, pd.Series(near, index=found.index, dtype=str))
    found.attrs = dict(turns.attrs)
    return found


def _normalize(word: str) -> str:
    return re.sub(r"[^\w']+", "", word.casefold())


def exclusive(turns: pd.DataFrame) -> pd.DataFrame:
    """Return turns of which no two overlap.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table of turns.

    Returns
    -------
    pandas.DataFrame
        As `turns`. If the rows are a complete, unchanged run that has exclusive turns, these are the engine's own
        choice. Otherwise they are computed from the rows: whoever started first keeps the floor.
        ``attrs["diarnb"]["exclusive"]`` is ``"engine"`` or ``"computed"``.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> turns = diarize(example("meeting"), progress=False)
    >>> exclusive(turns).attrs["diarnb"]["exclusive"], exclusive(turns.head(3)).attrs["diarnb"]["exclusive"]
    ('engine', 'computed')
    """
    turns = as_table(turns)
    computed = cut_overlap(turns)
    facts = turns.attrs.get("diarnb") or {}
    run = run_of(turns) if "run" in facts else None
    if run is None or not is_whole(turns, run) or read_run(run).get("exclusiveDiarization") is None:
        computed.attrs["diarnb"] = {**facts, "exclusive": "computed"}
        return computed
    table = table_of(run, "exclusiveDiarization")
    table["speaker"] = table["speaker"].map(map_names(turns, table["speaker"].unique()))
    kept = {name: facts[name] for name in ("names", "matches") if name in facts}
    table.attrs["diarnb"] |= {**kept, "rows": hash_rows(table), "exclusive": "engine"}
    return table


def confidences(turns: pd.DataFrame) -> pd.DataFrame:
    """Return how likely each speaker is in each of these turns.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` returned, whole or in part, renamed or not.

    Returns
    -------
    pandas.DataFrame
        The index of `turns` and one column for each speaker of the run, 0-100: the mean probability, over the turn,
        that this speaker speaks. With overlap, a row can sum to more than 100. NaN where the service gives no score
        (Deepgram scores only the assigned speaker), and where the times of a turn were changed.

    Raises
    ------
    TurnTableError
        If this is not a table of turns that diarnb made.
    RunNotFoundError
        If the run is no longer in the store.

    Examples
    --------
    >>> list(confidences(diarize(example("interview"), progress=False)))
    ['SPEAKER_00', 'SPEAKER_01']
    """
    check_turns(turns)
    run = run_of(turns)
    answer = read_run(run)
    rows = list_turns(answer)
    given = pd.DataFrame([row.get("confidence") or {} for row in rows], dtype=float)
    # Where the local engine scores no speaker, they are on another channel. A service may just not say.
    table = rename_columns(turns, given if find_reader(run) else given.fillna(0.0))
    table = table.reindex(match_rows(turns, rows))
    table.index = turns.index
    return table


def frames(turns: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of every frame of a run, whatever rows its table still has.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` returned.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds; ``confidence``, 0-100, how certain it is that exactly the named speakers speak; then
        a column for each speaker, 0-100, how likely this speaker speaks, and any other scores of a service. pyannoteAI
        scores the speakers if ``speaker_probability=True``. ``attrs["resolution"]`` is the time step in seconds.

    Raises
    ------
    RunNotFoundError
        The run or its scores are no longer in the store, or the service was not asked for scores.

    Examples
    --------
    >>> frames(diarize(example("interview"), progress=False)).attrs["resolution"]
    0.016875
    """
    run = run_of(turns)
    if find_reader(run) is not None:
        return _tabulate_frames(turns, run)
    evidence, engine = evidence_of(run)
    table = engine.frames(evidence, Params(**run.params), run.options)
    result = pd.concat([table.iloc[:, :3], rename_columns(turns, table.iloc[:, 3:])], axis=1)
    result.attrs = dict(table.attrs)
    return result


def _tabulate_frames(turns: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Make the table of frames of what a service scored; a list that ends before the others ends in NaN."""
    given = read_run(run).get("frames")
    if given is None:
        offered = engines.get(run.engine).offer.confidence
        how = f"{run.engine} has them with confidence=True" if offered else f"{run.engine} gives none"
        raise RunNotFoundError(f"Run {run.id} of {run.source} has no scores for frames: {how}. The turns are kept.")
    step, speakers, scores = given["resolution"], _pad_lists(given["speakers"]), _pad_lists(given["scores"])
    table = pd.concat([speakers, scores], axis=1)
    edges = step * np.arange(len(table) + 1)
    named = rename_columns(turns, speakers.reindex(table.index)) if len(speakers.columns) else speakers
    confidence = scores.get("confidence", pd.Series(np.nan, table.index))
    others = scores.drop(columns="confidence", errors="ignore")
    times = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "confidence": confidence})
    result = pd.concat([times, named, others], axis=1)
    result.attrs["resolution"] = step
    return result


def _pad_lists(lists: Mapping[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, range(len(values)), float) for name, values in lists.items()})


def has_words(turns: pd.DataFrame) -> bool:
    """Ask whether words were heard at all in a run, be it none."""
    return read_run(run_of(turns)).get("words") is not None


def _find_said(run: Run, what: str) -> list[Json]:
    """Find the words or utterances of a run; where none were heard, say how they are."""
    rows = read_run(run).get(what)
    if rows is None:
        message = "this run has no words: pass words= to the local engine, or transcription=True to pyannoteAI"
        warnings.warn(message, DiarnbWarning, stacklevel=3)
    return rows or []


def _tabulate_speech(turns: pd.DataFrame | None, rows: list[Json], dtypes: dict[str, type]) -> pd.DataFrame:
    """Make a table of what was said, under the names that a table of turns shows."""
    # By way of a column: in pandas 2 `str` itself would make "None" of what is missing.
    columns = {
        name: pd.Series([row.get(name) for row in rows], dtype=object).astype(pd.Series(dtype=dtype).dtype)
        for name, dtype in dtypes.items()
    }
    table = pd.DataFrame(columns)
    if any("placed" in row for row in rows):
        table["placed"] = [row.get("placed", "") for row in rows]
    if turns is not None:
        shown = map_names(turns, table["speaker"].dropna().unique())
        table["speaker"] = table["speaker"].map(shown).astype(table["speaker"].dtype)
    return table
