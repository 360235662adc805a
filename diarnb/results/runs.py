"""Runs that are kept: found by a table or by their id, listed, read, forgotten."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pandas as pd

from diarnb import engines
from diarnb.engines.base import Engine
from diarnb.errors import ApiResponseError, RunNotFoundError, TurnTableError
from diarnb.params import Params
from diarnb.store import Store
from diarnb.store.batches import Manifest
from diarnb.store.erase import erase_files
from diarnb.store.ledger import Ledger
from diarnb.tables.checks import check_end
from diarnb.tables.turns import make_turns

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.store.run import Description, Evidence, Run


def run_of(turns: pd.DataFrame, *, answer: bool = True) -> Run:
    """Find the run that a table came from; `answer` as `Store.get` takes it.

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
            "This table does not know its run: pass one that diarize() returned, with attrs['diarnb']['run'] kept."
        )
        raise TurnTableError(message)
    return Store.default().get(facts["run"], answer=answer)


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
    if run.options.get("words") and not find_reader(run):
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
    return read_answer(find_reader(run) or Engine(), run.raw, run)


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
        kept = "The paid answer is kept unchanged: diarnb.runs() lists it, and diarnb.raw(run) returns it."
        error.args = (f"{about.source}: {str(error).rstrip('.')}. {kept}",)
        raise
    return found


def find_reader(run: Run) -> Engine | None:
    """Find the engine that reads the answer of a run; None where that is in our terms."""
    engine = engines.find(run.engine)  # None: an object that was passed
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
        advice = f"The turns are kept. Run diarize({run.source!r}, refresh=True) to process it again."
        raise RunNotFoundError(f"The store no longer holds the evidence of run {run.id} of {run.source}. {advice}")
    return evidence, engine


def open_run(run: str) -> pd.DataFrame:
    """Open the table of turns of an earlier run.

    Parameters
    ----------
    run : str
        The run's id, from `runs` or ``attrs["diarnb"]["run"]``.

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
    """List the runs in the store, and submissions that are not a run yet, newest first.

    Returns
    -------
    pandas.DataFrame
        ``run, created, source, engine, model, duration, speakers, state, billed_seconds, job_id, expires``. The state
        is ``"succeeded"``, ``"stopped"`` (the table covers the part before an interrupt), or the state of a submission.
    """
    store = Store.default()
    listed = store.runs()
    unfinished = Ledger(store).table(set(listed["job_id"].dropna()))
    if unfinished.empty:
        return listed
    table = pd.concat([listed.astype(object), unfinished.astype(object)]).sort_values("created", ascending=False)
    return table.reset_index(drop=True).astype(listed.dtypes)


def forget(run: str | pd.DataFrame) -> None:
    """Remove a run, its corrections and (unless another run needs it) its evidence, or a submission.

    Parameters
    ----------
    run : str or pandas.DataFrame
        The run's id, or its table.

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
    """Return the unchanged answer of the engine as a JSON-like dict, for a table or the id of a run."""
    return (Store.default().get(turns) if isinstance(turns, str) else run_of(turns)).raw
