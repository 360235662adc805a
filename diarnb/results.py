"""What a run holds beyond its turns: each a function of the table, which knows its run by id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb.engines.base import Decider
from diarnb.errors import RunNotFoundError, TurnTableError
from diarnb.params import Params
from diarnb.store import Store
from diarnb.turns import cut_overlap, make_turns

if TYPE_CHECKING:
    from diarnb._run import Run
    from diarnb.engines.base import Evidence

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
    columns = []
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
    return make_turns(run.raw[rows], columns=columns, facts=facts)


def evidence_of(run: Run) -> tuple[Evidence, Decider]:
    """Find what a run heard, and the engine that can decide from it.

    Raises
    ------
    RunNotFoundError
        It is no longer in the store, or the engine keeps none.
    """
    engine = engines.get(run.engine)
    evidence = Store.default().evidence(run.evidence_key) if run.evidence_key else None
    if evidence is None or not isinstance(engine, Decider):
        advice = f"The turns are kept. Run diarize({run.source!r}, refresh=True) to listen again."
        raise RunNotFoundError(f"The store no longer holds what run {run.id} of {run.source} heard. {advice}")
    return evidence, engine


def open_run(run: str) -> pd.DataFrame:
    """Give the table of turns of an earlier run.

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
    """List the runs in the store, the newest first.

    Returns
    -------
    pandas.DataFrame
        ``run, created, source, engine, model, duration, speakers, state, billed_seconds, job_id, expires``.
    """
    return Store.default().runs()


def forget(run: str | pd.DataFrame) -> None:
    """Remove a run from the store, and what it heard unless another run needs it.

    Parameters
    ----------
    run : str or pandas.DataFrame
        A run's id, or its table.

    Raises
    ------
    RunNotFoundError
        There is none.
    """
    Store.default().forget(run if isinstance(run, str) else run_of(run).id)


def raw(turns: pd.DataFrame) -> dict[str, Any]:
    """Give the engine's answer as it came, a JSON-like dict."""
    return run_of(turns).raw


def words(turns: pd.DataFrame) -> pd.DataFrame:
    """Give the transcribed words of a run.

    Returns
    -------
    pandas.DataFrame
        ``start, end, word, text, speaker, confidence, speaker_confidence, channel``; empty for the local engine, which
        hears voices and not words.
    """
    run_of(turns)
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in _WORDS.items()})


def exclusive(turns: pd.DataFrame) -> pd.DataFrame:
    """Give turns of which no two overlap.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table of turns from anywhere.

    Returns
    -------
    pandas.DataFrame
        As `turns`. The engine's own choice of who has the floor where the table is from a run that has one, else
        computed: who speaks first speaks on. ``attrs["diarnb"]["exclusive"]`` says ``"engine"`` or ``"computed"``.

    Examples
    --------
    >>> exclusive(diarize(example("meeting"), progress=False)).attrs["diarnb"]["exclusive"]
    'engine'
    """
    facts = turns.attrs.get("diarnb") or {}
    run = run_of(turns) if "run" in facts else None
    if run is not None and run.raw.get("exclusiveDiarization") is not None:
        table, origin = table_of(run, "exclusiveDiarization"), "engine"
        table["speaker"] = table["speaker"].map(_shown(turns, table["speaker"].unique()))
        table.attrs["diarnb"] |= {name: facts[name] for name in ("names", "matches") if name in facts}
    else:
        table, origin = cut_overlap(turns), "computed"
    table.attrs["diarnb"] = {**(table.attrs.get("diarnb") or {}), "exclusive": origin}
    return table


def confidences(turns: pd.DataFrame) -> pd.DataFrame:
    """Say how likely each speaker is in each turn.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made, whole or in part, renamed or not.

    Returns
    -------
    pandas.DataFrame
        The index of `turns`, one column a speaker, 0-100: the mean probability, over the turn, that this speaker
        speaks. Overlap can make a row sum to more than 100.

    Examples
    --------
    >>> list(confidences(diarize(example("interview"), progress=False)))
    ['SPEAKER_00', 'SPEAKER_01']
    """
    run = run_of(turns)
    rows = [*run.raw["diarization"], *(run.raw.get("exclusiveDiarization") or [])]
    given = pd.DataFrame([row.get("confidence") or {} for row in rows], dtype=float)
    table = _as_shown(turns, given.fillna(0.0))
    shown = _shown(turns, {row["speaker"] for row in rows})
    times = pd.MultiIndex.from_arrays(
        [[row["start"] for row in rows], [row["end"] for row in rows], [shown[row["speaker"]] for row in rows]]
    )
    table.index = times
    table = table[~times.duplicated()].reindex(pd.MultiIndex.from_frame(turns[["start", "end", "speaker"]]))
    table.index = turns.index
    return table


def frames(turns: pd.DataFrame) -> pd.DataFrame:
    """Score every frame of a run.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made.

    Returns
    -------
    pandas.DataFrame
        ``start, end`` in seconds; ``confidence``, 0-100, how sure it is that exactly the speakers named speak; then a
        column for each speaker, 0-100, how likely he speaks. ``attrs["resolution"]`` is the time step in seconds.

    Raises
    ------
    RunNotFoundError
        The run, or what it heard, is no longer in the store.

    Examples
    --------
    >>> frames(diarize(example("interview"), progress=False)).attrs["resolution"]
    0.016875
    """
    run = run_of(turns)
    evidence, engine = evidence_of(run)
    table = engine.frames(evidence, Params(**run.params), run.options)
    result = pd.concat([table.iloc[:, :3], _as_shown(turns, table.iloc[:, 3:])], axis=1)
    result.attrs = dict(table.attrs)
    return result


def _as_shown(turns: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Name the columns as the table does; speakers who became one share a column, in which the higher score counts."""
    return scores.rename(columns=_shown(turns, scores.columns)).T.groupby(level=0, sort=False).max().T


def _shown(turns: pd.DataFrame, names: Any) -> dict[str, str]:
    """Map an engine's labels to the names that the table shows."""
    given = (turns.attrs.get("diarnb") or {}).get("names", {})
    return {name: given.get(name, name) for name in names}
