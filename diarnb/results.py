"""What a run holds beyond its turns: each a function of the table, which knows its run by id."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb.engines.base import Engine
from diarnb.errors import ApiResponseError, DiarnbWarning, InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.params import Params
from diarnb.store import Store
from diarnb.store.batches import Manifest
from diarnb.store.erase import erase_files
from diarnb.store.ledger import Ledger
from diarnb.tables.checks import as_table, check_end, check_turns
from diarnb.tables.turns import cut_overlap, hash_rows, make_turns
from diarnb.transcripts.words import add_text, find_turns, make_utterances

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diarnb._types import Json, Options
    from diarnb.store.run import Description, Evidence, Run

_NEAR = 0.5  # seconds from its turn at which a word may still be
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


def run_of(turns: pd.DataFrame) -> Run:
    """Find the run that a table came from.

    Raises
    ------
    TurnTableError
        The table did not come from diarnb.
    RunNotFoundError
        The store no longer has the run.
    """
    facts = getattr(turns, "attrs", {}).get("diarnb") or {}
    if "run" not in facts:
        message = (
            "This table does not know its run: it needs one that diarize() made, with attrs['diarnb']['run'] kept."
        )
        raise TurnTableError(message)
    return Store.default().get(facts["run"])


def table_of(run: Run, rows: str = "diarization") -> pd.DataFrame:
    """Make a run's table of turns."""
    answer = read_run(run)
    columns = list(answer.get("columns", []))
    if run.params.get("turn_level_confidence"):
        columns.append("confidence")
    if run.params.get("channels") == "split":
        columns.append("channel")
    facts = {
        "run": run.id,
        "engine": run.engine,
        "model": run.model,
        "source": run.source,
        "duration": run.duration,
        "warning": run.warning,
    }
    if run.options.get("words") and not _find_reader(run):
        facts["transcriber"] = _name_transcriber(run.options["words"])
    if answer.get("matches"):
        facts["matches"] = answer["matches"]
    return make_turns(answer[rows], columns=columns, facts=facts)


def _name_transcriber(identity: str) -> str:
    """Name what heard the words of a run, and its version, as ``attrs["diarnb"]["transcriber"]`` has it."""
    what, _, version = identity.partition(" ")
    return "table" if what == "table" else f"{what.rpartition('.')[2].lower()} {version}"


def read_run(run: Run) -> Json:
    """Read a run's answer in the terms of `Answer.raw`; a vendor's is read by its engine.

    Raises
    ------
    ApiResponseError
        The vendor's answer is not what its documents say.
    """
    return read_answer(_find_reader(run) or Engine(), run.raw, run)


def read_answer(engine: Engine, raw: Json, about: Description) -> Json:
    """Read an answer, and see of a vendor's whether it can be of this recording.

    Raises
    ------
    ApiResponseError
        It is not what its documents say, or goes on long after the recording ends; or it has no turns.
    """
    if not engine.can(Engine.read):
        if not isinstance(raw, dict) or not isinstance(raw.get("diarization"), list):
            raise ApiResponseError(
                f"{about.source}: the engine {about.engine!r} gave no 'diarization', a list of dicts with start, end "
                "and speaker."
            )
        return raw
    try:
        try:
            found = engine.read(raw, Params(**about.params), about.options)
            ends = [turn["end"] for turn in found["diarization"]]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ApiResponseError(f"{about.engine} cannot read its answer ({why:.100}).") from error
        known = found.get("duration") or about.duration
        check_end(ends, known, name="the answer", advice=".", error=ApiResponseError)
    except ApiResponseError as error:
        kept = "What was paid for is kept as it came: diarnb.runs() lists it, and diarnb.raw(run) gives it."
        error.args = (f"{about.source}: {str(error).rstrip('.')}. {kept}",)
        raise
    return found


def _find_reader(run: Run) -> Engine | None:
    engine = engines.find(run.engine)  # None: an object that was passed, whose answers are in our terms
    return engine if engine is not None and engine.can(Engine.read) else None


def evidence_of(run: Run) -> tuple[Evidence, Engine]:
    """Find what a run heard, and the engine that can decide from it.

    Raises
    ------
    RunNotFoundError
        It is no longer in the store, or the engine keeps none.
    """
    engine = engines.get(run.engine)
    evidence = Store.default().evidence(run.evidence_key) if run.evidence_key else None
    if evidence is None or not engine.can(Engine.decide):
        advice = f"The turns are kept. Run diarize({run.source!r}, refresh=True) to listen again."
        raise RunNotFoundError(f"The store no longer holds what run {run.id} of {run.source} heard. {advice}")
    return evidence, engine


def open_run(run: str) -> pd.DataFrame:
    """Open the table of turns of an earlier run.

    Parameters
    ----------
    run : str
        Its id, from `runs` or ``attrs["diarnb"]["run"]``.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    RunNotFoundError
        There is none.
    """
    return table_of(Store.default().get(run))


def runs() -> pd.DataFrame:
    """List the runs in the store, and what was submitted and is not a run yet, the newest first.

    Returns
    -------
    pandas.DataFrame
        ``run, created, source, engine, model, duration, speakers, state, billed_seconds, job_id, expires``. The state
        is ``"succeeded"``, ``"stopped"`` for a table of what was heard before an interrupt, or how far a submission is.
    """
    store = Store.default()
    listed = store.runs()
    unfinished = Ledger(store).table(set(listed["job_id"].dropna()))
    if unfinished.empty:
        return listed
    table = pd.concat([listed.astype(object), unfinished.astype(object)]).sort_values("created", ascending=False)
    return table.reset_index(drop=True).astype(listed.dtypes)


def forget(run: str | pd.DataFrame) -> None:
    """Remove a run, what it heard unless another needs it, and its corrections; or a submission.

    Parameters
    ----------
    run : str or pandas.DataFrame
        A run's id, or its table.

    Raises
    ------
    RunNotFoundError
        There is none.
    """
    run_id = run if isinstance(run, str) else run_of(run).id
    store = Store.default()
    row = Ledger(store).forget(run_id)
    if row is None:
        store.forget(run_id)
    elif row.run is not None:
        with suppress(RunNotFoundError):  # it was paid for, and the store had lost it
            store.forget(row.run["id"])
    Manifest(store).forget(run_id)
    for name in {run_id} if row is None or row.run is None else {run_id, row.run["id"]}:
        erase_files((store.path.parent / "corrections").glob(f"*-{name}-*"))


def raw(turns: pd.DataFrame | str) -> Json:
    """Return the engine's answer as it came, a JSON-like dict; of a table, or of a run by its id."""
    return (Store.default().get(turns) if isinstance(turns, str) else run_of(turns)).raw


def words(turns: pd.DataFrame) -> pd.DataFrame:
    """Return the words that were transcribed in these turns.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made, whole or in part, renamed, corrected or not.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds, ``word``, ``text`` (with its punctuation), ``speaker`` (missing where the service
        names nobody), ``confidence``, ``speaker_confidence`` (0-1, NaN where there is none), ``channel``; sorted by
        time. ``placed``, of a transcriber that does not time words, is ``"length"`` where the time is an estimate. Of a
        table that is not the whole run any more only the words of its turns, under the names that these have; a turn
        with other times has what is said within it. Empty for the local engine, which hears voices, unless it was given
        ``words=``.

    Raises
    ------
    TurnTableError
        If this is no table of turns, or none that diarnb made.
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
    names = _find_speakers(turns, answer, said)
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
        A table that `diarize` made, whole or in part, renamed, corrected or not.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds, ``speaker``, ``text``, ``confidence`` (of the words, 0-1), ``channel``; sorted by
        time. What a listener says into a sentence is an utterance of its own and does not cut it. The service's own
        where they were asked for (Deepgram: ``utterances=True``) and the table is the whole run, but never one that
        several speak; else computed from the `words` of the turns. Empty for the local engine, unless it was given
        ``words=``.

    Raises
    ------
    TurnTableError
        If this is no table of turns, or none that diarnb made.
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
    """Find where something is said: a word, or several that follow each other.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made with words, whole or in part; or any table of turns with ``text``.
    text : str
        Upper and lower case and punctuation make no difference; words are whole ones.
    context : int, default 6
        How many words before and after to show, by any speaker.

    Returns
    -------
    pandas.DataFrame
        A row for each hit, by time: ``start``, ``end``, ``duration`` in seconds (of the words; of the turn where the
        table knows no times of words), ``speaker`` (``"?"`` where nobody is known to speak), ``text``, ``before``,
        ``after``; ``uri`` in a table of several recordings. It is a table of turns itself, so that `clip`, `player` and
        `timeline` take it; ``attrs`` are those of `turns`.

    Raises
    ------
    TurnTableError
        If this is no table of turns, or one without words and text.
    InvalidParameterError
        If `text` has no word in it, or `context` is no number of words.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0.0], "end": [2.0], "speaker": ["Maya"], "text": ["The budget, please."]})
    >>> search(turns, "budget")[["start", "speaker", "text", "before", "after"]]
       start speaker     text before    after
    0    0.0    Maya  budget,    The  please.
    """
    wanted = [word for word in map(_normalize, str(text).split()) if word]
    if not isinstance(text, str) or not wanted:
        raise InvalidParameterError(f"search takes a word or several, not {text!r:.60}")
    if isinstance(context, bool) or not isinstance(context, int) or context < 0:
        raise InvalidParameterError(f"context is a number of words, 0 or more, not {context!r:.60}")
    checked = check_turns(turns)
    said = words(turns) if "run" in (turns.attrs.get("diarnb") or {}) else pd.DataFrame()
    if said.empty:
        if "text" not in checked:
            raise TurnTableError("there are no words in this table: diarize(source, words=True) hears some")
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
        A table of turns from anywhere.

    Returns
    -------
    pandas.DataFrame
        As `turns`. The engine's own choice of who has the floor where the rows are those of a run that has one, all of
        them and as they were; else computed from the rows: who speaks first speaks on. ``attrs["diarnb"]["exclusive"]``
        says ``"engine"`` or ``"computed"``.

    Raises
    ------
    TurnTableError
        If this is no table of turns.

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
    table["speaker"] = table["speaker"].map(_map_names(turns, table["speaker"].unique()))
    kept = {name: facts[name] for name in ("names", "matches") if name in facts}
    table.attrs["diarnb"] |= {**kept, "rows": hash_rows(table), "exclusive": "engine"}
    return table


def confidences(turns: pd.DataFrame) -> pd.DataFrame:
    """Return how likely each speaker is in each of these turns.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made, whole or in part, renamed or not.

    Returns
    -------
    pandas.DataFrame
        The index of `turns`, one column a speaker of the run, 0-100: the mean probability, over the turn, that this
        speaker speaks. Overlap can make a row sum to more than 100. NaN where the service does not say (Deepgram scores
        the assigned speaker only), and where a turn has other times than any of the run's.

    Raises
    ------
    TurnTableError
        If this is no table of turns, or none that diarnb made.
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
    rows = _list_turns(answer)
    given = pd.DataFrame([row.get("confidence") or {} for row in rows], dtype=float)
    # Where the local engine scores no speaker, they are on another channel. A service may just not say.
    table = _rename_columns(turns, given if _find_reader(run) else given.fillna(0.0))
    table = table.reindex(_match_rows(turns, rows))
    table.index = turns.index
    return table


def frames(turns: pd.DataFrame) -> pd.DataFrame:
    """Score every frame of a run, whatever is left of its table.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds; ``confidence``, 0-100, how sure it is that exactly the speakers named speak; then a
        column for each speaker, 0-100, how likely they speak, and a service's other scores. Of pyannoteAI: the speakers
        with ``speaker_probability=True``. ``attrs["resolution"]`` is the time step in seconds.

    Raises
    ------
    RunNotFoundError
        The run, or what it heard, is no longer in the store; or no scores were asked of the service.

    Examples
    --------
    >>> frames(diarize(example("interview"), progress=False)).attrs["resolution"]
    0.016875
    """
    run = run_of(turns)
    if _find_reader(run) is not None:
        return _tabulate_frames(turns, run)
    evidence, engine = evidence_of(run)
    table = engine.frames(evidence, Params(**run.params), run.options)
    result = pd.concat([table.iloc[:, :3], _rename_columns(turns, table.iloc[:, 3:])], axis=1)
    result.attrs = dict(table.attrs)
    return result


def _tabulate_frames(turns: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Make the table of frames of what a service scored; a list that ends before the others ends in NaN."""
    given = read_run(run).get("frames")
    if given is None:
        offered = engines.get(run.engine).offer.confidence
        how = f"{run.engine} gives them with confidence=True" if offered else f"{run.engine} gives none"
        raise RunNotFoundError(f"Run {run.id} of {run.source} has no scores for frames: {how}. The turns are kept.")
    step, speakers, scores = given["resolution"], _pad_lists(given["speakers"]), _pad_lists(given["scores"])
    table = pd.concat([speakers, scores], axis=1)
    edges = step * np.arange(len(table) + 1)
    named = _rename_columns(turns, speakers.reindex(table.index)) if len(speakers.columns) else speakers
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
        message = "this run has no words: the local engine takes them from words=, pyannoteAI with transcription=True"
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
        shown = _map_names(turns, table["speaker"].dropna().unique())
        table["speaker"] = table["speaker"].map(shown).astype(table["speaker"].dtype)
    return table


def is_whole(turns: pd.DataFrame, run: Run) -> bool:
    """Return whether the rows of a table are all those of its run, as it made them or renamed by `rename`."""
    known = turns.attrs["diarnb"].get("rows")
    if known is not None:
        return bool(known == hash_rows(turns))
    answer = read_run(run)  # a table of 0.1.0 has no hash
    for rows in filter(None, (answer["diarization"], answer.get("exclusiveDiarization"))):
        table = pd.DataFrame(rows, columns=["start", "end", "speaker"])
        table["speaker"] = table["speaker"].map(_map_names(turns, table["speaker"].unique()))
        if hash_rows(table) == hash_rows(turns):
            return True
    return not len(turns) and not answer["diarization"]


def match_run(turns: pd.DataFrame, run: Run) -> list[str | None]:
    """Return the label that the run gave to each of these turns, None for one that has other times."""
    rows = _list_turns(read_run(run))
    return [None if place < 0 else str(rows[place]["speaker"]) for place in _match_rows(turns, rows)]


def _list_turns(answer: Options) -> list[Json]:
    return [*answer["diarization"], *(answer.get("exclusiveDiarization") or [])]


def _match_rows(turns: pd.DataFrame, rows: list[Json]) -> list[int]:
    """Find each turn among a run's rows by its times and, where several have these, by its speaker; -1 for none."""
    shown = _map_names(turns, {row["speaker"] for row in rows})
    exact: dict[tuple[object, ...], int] = {}
    timed: dict[tuple[object, ...], int] = {}
    for place, row in enumerate(rows):
        times = round(row["start"], 6), round(row["end"], 6)
        exact.setdefault((*times, shown[row["speaker"]]), place)
        timed.setdefault(times, place)
    found = []
    for start, end, speaker in zip(turns["start"], turns["end"], turns["speaker"], strict=True):
        times = round(float(start), 6), round(float(end), 6)
        found.append(exact.get((*times, str(speaker)), timed.get(times, -1)))
    return found


def _find_speakers(turns: pd.DataFrame, answer: Options, said: list[Json]) -> list[str | None]:
    """Find who speaks each word of a run by what is left or was made of its turns; None for nobody.

    A word stays with its turn, whoever that is of now. Where a turn has other times than any of the run's, it gets the
    words of its own speaker in and around it, and within it those of turns that are gone, unless its speaker spoke
    meanwhile already.
    """
    rows, before = _list_turns(answer), answer["diarization"]
    places, speakers = _match_rows(turns, rows), turns["speaker"].astype(str).tolist()
    now = {place: speaker for place, speaker in zip(places, speakers, strict=True) if place >= 0}
    homes = find_turns(said, before)
    alone = find_turns(said, rows[len(before) :])
    names = [
        now.get(-1 if home is None else home) or now.get(-1 if other is None else len(before) + other)
        for home, other in zip(homes, alone, strict=True)
    ]
    if all(place >= 0 for place in places):
        return names
    shown = _map_names(turns, {row["speaker"] for row in rows})
    labels = np.array([shown[row["speaker"]] for row in before], dtype=object)
    begins, ends = (np.array([row[side] for row in before], dtype=float) for side in ("start", "end"))
    middles = np.array([(word["start"] + word["end"]) / 2 for word in said])
    changed = [
        (float(turns["start"].iloc[number]), float(turns["end"].iloc[number]), speakers[number])
        for number, place in enumerate(places)
        if place < 0
    ]
    for near, foreign in ((0.0, False), (0.0, True), (_NEAR, False)):
        for start, end, speaker in changed:
            own = labels == speaker
            for word in np.flatnonzero((middles >= start - near) & (middles <= end + near)):
                home = homes[word]
                if foreign:
                    fits = not (own & (begins <= middles[word]) & (ends >= middles[word])).any()
                else:
                    fits = home is not None and own[home] and bool(begins[home] < end and ends[home] > start)
                if names[word] is None and fits:
                    names[word] = speaker
    return names


def _rename_columns(turns: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Name the columns as the table does; speakers who became one share a column, in which the higher score counts."""
    return scores.rename(columns=_map_names(turns, scores.columns)).T.groupby(level=0, sort=False).max().T


def _map_names(turns: pd.DataFrame, names: Iterable[str]) -> dict[str, str]:
    """Map an engine's labels to the names that the table shows."""
    given = (turns.attrs.get("diarnb") or {}).get("names", {})
    return {name: given.get(name, name) for name in names}
