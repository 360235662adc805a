"""`diarize`: a source and what is asked of it become a run, and a run becomes a table."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from diarnb import engines
from diarnb._progress import reporter
from diarnb._run import Run
from diarnb.audio import open_recording
from diarnb.engines.base import Answer, Decider, check_offered, check_options
from diarnb.errors import DiarnbWarning
from diarnb.params import Params
from diarnb.results import evidence_of, run_of, table_of
from diarnb.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from diarnb.audio import Recording
    from diarnb.engines.base import Engine, Progress


def diarize(
    source: Any,
    *,
    engine: str | Engine = "local",
    model: str | None = None,
    num_speakers: int | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    exclusive: bool = False,
    confidence: bool = False,
    turn_level_confidence: bool = False,
    channels: str | int = "mix",
    refresh: bool = False,
    progress: bool | Progress = True,
    **options: Any,
) -> pd.DataFrame:
    """Find out who speaks when.

    Parameters
    ----------
    source : str, os.PathLike, bytes, binary file, or tuple (samples, sample_rate)
        A path, an http(s) URL, the content of an audio file, an open one, or samples of shape ``(n,)``,
        ``(n, channels)`` or ``(channels, n)`` with their rate in Hz.
    engine : str or Engine, default "local"
        ``"local"`` works on this machine, without a key and without the network.
    model : str, optional
        One of the engine's models; by default its own choice.
    num_speakers : int, optional
        How many people speak, where that is known. Excludes the two below.
    min_speakers, max_speakers : int, optional
        Bounds for the number of people.
    exclusive : bool, default False
        Ask for turns without overlap as well; `diarnb.exclusive` gives them.
    confidence : bool, default False
        Ask for a score for every frame; `diarnb.frames` gives them.
    turn_level_confidence : bool, default False
        Add a column ``confidence`` (0-100), how sure the assigned speaker of each turn is; `diarnb.confidences` gives
        those of all the others.
    channels : {"mix", "split"} or int, default "mix"
        Listen to the mean of all channels, to each by itself (a column ``channel`` tells which; counts of speakers
        then hold for each), or to one of them, counted from 0.
    refresh : bool, default False
        Ask anew, even if the run store holds an answer.
    progress : bool or callable, default True
        Show how far the work has come: a bar in a notebook, a line in a terminal. A callable is given the stage in
        words and the finished fraction, 0-1, instead.
    **options
        The engine's own. Local: ``providers`` (ONNX Runtime's execution providers), ``threads`` (int), and
        ``threshold`` (cosine distance, 0-2, below which two voices are one; higher merges more; by default the
        evidence in the recording decides).

    Returns
    -------
    pandas.DataFrame
        One row a turn, sorted by start, end and speaker, overlap kept: ``start``, ``end``, ``duration`` in seconds,
        ``speaker`` (``SPEAKER_00`` speaks first), and ``confidence`` or ``channel`` where asked for.
        ``attrs["diarnb"]`` holds the run's id, engine, model, source, duration and any warning.

    Raises
    ------
    InvalidParameterError
        A parameter is wrong, or the engine does not offer it; nothing has been read yet.
    AudioError
        The source cannot be read, is no audio, or is empty.
    ConfigurationError
        A model or an extra is missing.

    Warns
    -----
    DiarnbWarning
        The audio has losses, or the number of speakers that was asked for could not be met.

    Examples
    --------
    >>> turns = diarize(example("interview"), progress=False)
    >>> turns["speaker"].nunique()
    2
    """
    params = Params(
        num_speakers=num_speakers,
        min_speakers=min_speakers,
        max_speakers=max_speakers,
        exclusive=exclusive,
        confidence=confidence,
        turn_level_confidence=turn_level_confidence,
        channels=channels,
        model=model,
    )
    chosen = engines.get(engine)
    checked = check_options(options, chosen.offer, chosen.name)
    check_offered(params, chosen.offer, chosen.name)
    with open_recording(source) as recording, _reporter(progress) as report:
        run = _answer(recording, chosen, params, checked, report, refresh=refresh)
    return _remarked(run)


async def diarize_async(source: Any, *, progress: bool | Progress = True, **arguments: Any) -> pd.DataFrame:
    """Find out who speaks when, without blocking the event loop.

    Takes what `diarize` takes and works in a thread, which stops within about a second when this is cancelled.

    Examples
    --------
    >>> turns = asyncio.run(diarize_async(example("interview"), progress=False))
    """
    stop = threading.Event()
    with _reporter(progress) as report:

        def checked(stage: str, fraction: float) -> None:
            if stop.is_set():
                raise asyncio.CancelledError
            report(stage, fraction)

        work = asyncio.ensure_future(asyncio.to_thread(diarize, source, progress=checked, **arguments))
        try:
            while not work.done():  # an interrupt of the kernel reaches a waiting loop only when it wakes
                await asyncio.wait({work}, timeout=0.2)
            return work.result()
        finally:
            stop.set()


def recluster(
    turns: pd.DataFrame,
    *,
    num_speakers: int | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    threshold: float | None = None,
) -> pd.DataFrame:
    """Decide again how many people speak, without listening again.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` made with an engine that keeps its evidence (the local one does).
    num_speakers, min_speakers, max_speakers : int, optional
        As for `diarize`.
    threshold : float, optional
        Cosine distance, 0-2, below which two voices are one; higher merges more.

    Returns
    -------
    pandas.DataFrame
        What `diarize` gives for these settings; the run is a new one.

    Raises
    ------
    RunNotFoundError
        The table has no run, or the evidence is no longer in the store.

    Examples
    --------
    >>> turns = diarize(example("meeting"), progress=False)
    >>> recluster(turns, num_speakers=2)["speaker"].nunique()
    2
    """
    run = run_of(turns)
    engine = engines.get(run.engine)
    counts = ("num_speakers", "min_speakers", "max_speakers")
    asked = {name: value for name, value in run.params.items() if name not in counts}
    params = Params(**asked, num_speakers=num_speakers, min_speakers=min_speakers, max_speakers=max_speakers)
    given = {} if threshold is None else {"threshold": threshold}
    options = check_options(given, engine.offer, engine.name)
    store = Store.default()
    key = _key(run.content_hash, engine, params, options)
    known = store.find(key)
    if known is None:
        evidence, decider = evidence_of(run)
        raw = decider.decide(evidence, params, options)
        known = replace(
            run,
            **_outcome(raw),
            key=key,
            params=params.key(),
            options=_changing(engine, options),
            id=secrets.token_hex(6),
            created=datetime.now(UTC),
        )
        store.save(known)
    return _remarked(known)


def _answer(
    recording: Recording,
    engine: Engine,
    params: Params,
    options: Mapping[str, Any],
    report: Progress,
    *,
    refresh: bool,
) -> Run:
    """Answer from the store, from the evidence in the store, or by listening; and keep the answer."""
    store = Store.default()
    content = recording.content_hash
    key = _key(content, engine, params, options)
    heard = _digest(content, engine.name, _version(engine, params), params.channels)
    if not refresh and (known := store.find(key)) is not None:
        return _moved(known, recording, store)
    if not refresh and isinstance(engine, Decider) and (evidence := store.evidence(heard)) is not None:
        answer = Answer(engine.decide(evidence, params, options))
    else:
        answer = engine.diarize(recording, params, options, report)
    run = Run(
        **_outcome(answer.raw),
        **_whereabouts(recording),
        key=key,
        source=recording.name,
        engine=engine.name,
        model=params.model or engine.offer.default_model,
        params=params.key(),
        options=_changing(engine, options),
        content_hash=content,
        evidence_key=heard if isinstance(engine, Decider) else None,
        problems=list(recording.problems),
    )
    store.save(run)
    if answer.evidence is not None:
        store.put_evidence(heard, answer.evidence)
    return run


def _outcome(raw: dict[str, Any]) -> dict[str, Any]:
    """Give what a run says of its answer."""
    speakers = len({turn["speaker"] for turn in raw["diarization"]})
    return {"raw": raw, "duration": raw.get("duration"), "speakers": speakers, "warning": raw.get("warning")}


def _whereabouts(recording: Recording) -> dict[str, Any]:
    """Give where the audio is, to find it again for listening."""
    if recording.path is None:
        return {}
    stat = recording.path.stat()
    return {"path": str(recording.path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _moved(run: Run, recording: Recording, store: Store) -> Run:
    """Let a known answer speak of the file that was asked about: it may bear another name now."""
    now = {"source": recording.name, **_whereabouts(recording)}
    if all(getattr(run, name) == value for name, value in now.items()):
        return run
    run = replace(run, **now)
    store.save(run)
    return run


def _key(content: str | None, engine: Engine, params: Params, options: Mapping[str, Any]) -> str:
    """Give what is equal for two runs that would give the same answer."""
    return _digest(content, engine.name, _version(engine, params), params.key(), _changing(engine, options))


def _version(engine: Engine, params: Params) -> list[str]:
    model = params.model or engine.offer.default_model
    return [model, engine.version(model)]


def _changing(engine: Engine, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if engine.offer.options[name].changes_result}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _reporter(progress: bool | Progress) -> AbstractContextManager[Progress]:
    return nullcontext(progress) if callable(progress) else reporter(progress)


def _remarked(run: Run) -> pd.DataFrame:
    """Give a run's table, with its remark as a Python warning too."""
    if run.warning:
        warnings.warn(f"{run.source}: {run.warning}", DiarnbWarning, stacklevel=3)
    return table_of(run)
