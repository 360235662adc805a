"""`diarize`: a source and what is asked of it become a run, and a run becomes a table."""

from __future__ import annotations

import asyncio
import secrets
import threading
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from diarnb import engines
from diarnb._pipeline import answer_question, keep_answer, open_source, read_facts, show_progress
from diarnb.engines.base import Engine, check_options
from diarnb.engines.cloud.keys import seal_key
from diarnb.engines.question import Question, key_of_job
from diarnb.errors import DiarnbWarning
from diarnb.params import Params
from diarnb.results.runs import evidence_of, run_of, table_of
from diarnb.store import Store
from diarnb.transcribers.request import request_words
from diarnb.transcripts.words import add_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from diarnb._progress import Progress
    from diarnb._types import Options, Source
    from diarnb.engines.arguments import (
        AssemblyAIArguments,
        Channels,
        DeepgramArguments,
        EngineName,
        LocalArguments,
        PyannoteAIArguments,
        PyannoteArguments,
    )
    from diarnb.engines.base import OwnEngine
    from diarnb.store.run import Run
    from diarnb.transcribers import Transcriber


@overload
def diarize(
    source: Source, *, engine: Literal["local"] = "local", **arguments: Unpack[LocalArguments]
) -> pd.DataFrame: ...
@overload
def diarize(
    source: Source, *, engine: Literal["pyannoteai"], **arguments: Unpack[PyannoteAIArguments]
) -> pd.DataFrame: ...
@overload
def diarize(source: Source, *, engine: Literal["deepgram"], **arguments: Unpack[DeepgramArguments]) -> pd.DataFrame: ...
@overload
def diarize(
    source: Source, *, engine: Literal["assemblyai"], **arguments: Unpack[AssemblyAIArguments]
) -> pd.DataFrame: ...
@overload
def diarize(source: Source, *, engine: Literal["pyannote"], **arguments: Unpack[PyannoteArguments]) -> pd.DataFrame: ...
@overload
def diarize(
    source: Source, *, engine: str | OwnEngine, progress: bool | Progress = True, **arguments: Any
) -> pd.DataFrame: ...
def diarize(
    source: Source,
    *,
    engine: EngineName | str | OwnEngine = "local",
    model: str | None = None,
    num_speakers: int | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    exclusive: bool = False,
    confidence: bool = False,
    turn_level_confidence: bool = False,
    channels: Channels = "mix",
    words: bool | str | Transcriber | pd.DataFrame | Iterable[Options] | None = None,
    refresh: bool = False,
    progress: bool | Progress = True,
    **options: Any,
) -> pd.DataFrame:
    """Find out who speaks when.

    Parameters
    ----------
    source : str, os.PathLike, bytes, binary file, or tuple (samples, sample_rate)
        A path, an http(s) URL, the content of an audio file, an open file, or samples of shape ``(n,)``, ``(n,
        channels)`` or ``(channels, n)`` with their rate in Hz.
    engine : str or Engine, default "local"
        ``"local"`` works on this machine, without a key or a network. So does ``"pyannote"``, with pyannote.audio and
        its weights (extra ``pyannote``). ``"pyannoteai"``, ``"deepgram"`` and ``"assemblyai"`` send the recording to
        these services, which bill for it.
    model : str, optional
        One of the engine's models. Default: the engine's own.
    num_speakers : int, optional
        How many people speak, if you know it. Excludes the next two.
    min_speakers, max_speakers : int, optional
        Bounds for the number of people.
    exclusive : bool, default False
        Also ask for turns without overlap, which `diarnb.exclusive` returns.
    confidence : bool, default False
        Ask for a score for every frame, which `diarnb.frames` returns.
    turn_level_confidence : bool, default False
        Add a column ``confidence`` (0-100): how certain the speaker of each turn is. `diarnb.confidences` returns the
        values of all speakers.
    channels : {"mix", "split"} or int, default "mix"
        Use the mean of all channels, each channel separately (with a column ``channel``; numbers of speakers then apply
        to each), or one channel, counted from 0.
    words : bool, str, callable or pandas.DataFrame, optional
        Words for the local engine. Either a transcriber: ``"moonshine"``, ``"sphinx"``, ``"whisper"``,
        ``"whisper:medium"`` or a callable, as `diarnb.transcribers` describes; True uses the best one installed, and
        ``attrs["diarnb"]["transcriber"]`` says which. Or a table of words from elsewhere, such as whisperX, with
        ``start``, ``end`` and ``word`` or ``text``. Words get speakers as in `assign_speakers`, and the turns get a
        column ``text``; see also `diarnb.words` and `diarnb.utterances`. The words of a transcriber with a ``version``
        are kept, so another number of speakers does not transcribe again.
    refresh : bool, default False
        Run the engine again, even if the run store has a result.
    progress : bool or callable, default True
        Show a progress bar in a notebook, or a progress line in a terminal. A callable receives the name of the stage
        and the finished fraction, 0-1, instead.
    **options
        The engine's own options. Local: ``providers`` (ONNX Runtime's execution providers), ``threads`` (int), and
        ``threshold`` (cosine distance, 0-2, below which two voices are one speaker; higher merges more; by default the
        recording decides). Services: ``api_key`` (default: from the environment, such as PYANNOTEAI_API_KEY or
        DEEPGRAM_API_KEY), ``base_url`` (another server with the same API), ``timeout`` (seconds to wait for the result;
        a submitted job continues), ``max_cost`` with ``price_per_hour`` (send nothing that would cost more), and the
        service's own parameters in snake_case.

    Returns
    -------
    pandas.DataFrame
        One row for each turn, sorted by start, end and speaker, overlap kept: ``start``, ``end``, ``duration`` in
        seconds, ``speaker`` (``SPEAKER_00`` speaks first), and ``confidence``, ``text`` or ``channel`` if asked for.
        ``attrs["diarnb"]`` holds the run's id, engine, model, source, duration and any warning.

    Raises
    ------
    InvalidParameterError
        A parameter is wrong, or the engine does not support it. Nothing has been read yet.
    TurnTableError
        `words` is not a table of words, or belongs to another recording.
    AudioError
        The source cannot be read, is not audio, or is empty.
    ConfigurationError
        A model, an extra or a key is missing.
    ApiError
        A service failed. The subclasses say what happened to the submission, and the ledger records its state.

    Warns
    -----
    DiarnbWarning
        The audio is damaged in places, or the requested number of speakers was not possible.

    Examples
    --------
    >>> turns = diarize(example("interview"), progress=False)
    >>> turns["speaker"].nunique()
    2
    """
    options = seal_key(options)  # a traceback may show what is in this frame
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
    wanted = request_words(words, chosen)
    question = Question.settle(chosen, params, options)
    with show_progress(progress) as report, open_source(source, question, report) as recording:
        run = answer_question(recording, question, report, refresh=refresh, words=wanted)
    return _tabulate(run)


@overload
async def diarize_async(
    source: Source, *, engine: Literal["local"] = "local", **arguments: Unpack[LocalArguments]
) -> pd.DataFrame: ...
@overload
async def diarize_async(
    source: Source, *, engine: Literal["pyannoteai"], **arguments: Unpack[PyannoteAIArguments]
) -> pd.DataFrame: ...
@overload
async def diarize_async(
    source: Source, *, engine: Literal["deepgram"], **arguments: Unpack[DeepgramArguments]
) -> pd.DataFrame: ...
@overload
async def diarize_async(
    source: Source, *, engine: Literal["assemblyai"], **arguments: Unpack[AssemblyAIArguments]
) -> pd.DataFrame: ...
@overload
async def diarize_async(
    source: Source, *, engine: Literal["pyannote"], **arguments: Unpack[PyannoteArguments]
) -> pd.DataFrame: ...
@overload
async def diarize_async(
    source: Source, *, engine: str | OwnEngine, progress: bool | Progress = True, **arguments: object
) -> pd.DataFrame: ...
async def diarize_async(source: Source, *, progress: bool | Progress = True, **arguments: Any) -> pd.DataFrame:
    """Find out who speaks when, without blocking the event loop.

    Take the same arguments as `diarize`, and work in a thread. When this call is cancelled, the thread stops within
    about a second; a transcriber first finishes its current piece.

    Examples
    --------
    >>> turns = asyncio.run(diarize_async(example("interview"), progress=False))
    """
    stop = threading.Event()
    arguments = seal_key(arguments)
    with show_progress(progress) as report:

        def check_stop(stage: str, fraction: float) -> None:
            if stop.is_set():
                raise asyncio.CancelledError
            report(stage, fraction)

        work = asyncio.ensure_future(asyncio.to_thread(lambda: diarize(source, progress=check_stop, **arguments)))
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
    """Decide again how many people speak in the run of a table, without processing its audio again.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` returned, from an engine that keeps its evidence, as the local one does.
    num_speakers, min_speakers, max_speakers : int, optional
        As for `diarize`.
    threshold : float, optional
        Cosine distance, 0-2, below which two voices are one speaker; higher merges more.

    Returns
    -------
    pandas.DataFrame
        As `diarize` returns it for these settings, as a new run. Words, if there are any, are assigned to speakers
        again without a new transcription.

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
    run = run_of(turns, answer=False)
    engine = engines.get(run.engine)
    counts = ("num_speakers", "min_speakers", "max_speakers")
    asked = {name: value for name, value in run.params.items() if name not in counts}
    if run.model in engine.offer.models[1:]:
        asked["model"] = run.model  # also where it was the default of an earlier version
    params = Params(**asked, num_speakers=num_speakers, min_speakers=min_speakers, max_speakers=max_speakers)
    given = {} if threshold is None else {"threshold": threshold}
    options = check_options(given, engine.offer, engine.name)
    question = Question(engine, params, options, words=run.options.get("words"))
    store = Store.default()
    key = question.key(run.content_hash or "")
    known = store.find(key)
    if known is None:
        evidence, decider = evidence_of(run)
        raw = decider.decide(evidence, params, options)
        if question.words is not None:
            frames = decider.frames(evidence, params, options) if decider.can(Engine.frames) else None
            raw = add_words(raw, run_of(turns).raw["words"], frames)
        now = replace(run, **question.asked, key=key, id=secrets.token_hex(6), created=datetime.now(UTC))
        known = replace(now, **read_facts(engine, raw, now))
        store.save(known)
    return _tabulate(known)


def resume(
    job_id: str, *, engine: str | OwnEngine = "pyannoteai", progress: bool | Progress = True, **options: object
) -> pd.DataFrame:
    """Fetch a job that was submitted to a service earlier, and wait for it if necessary.

    Parameters
    ----------
    job_id : str
        From an error message, from `runs`, or from another program. A job is billed once, however often it is fetched.
    engine : str, default "pyannoteai"
        The service that runs the job.
    progress : bool or callable, default True
        As for `diarize`.
    **options
        ``api_key``, ``base_url`` and ``timeout``, as for `diarize`.

    Returns
    -------
    pandas.DataFrame
        As `diarize` returns it. A job that this store did not submit has no duration, and its source is the job id.

    Raises
    ------
    JobNotFoundError
        The service does not know the job, or this key may not see it.
    JobTimeoutError
        It is still running after ``timeout`` seconds.
    JobFailedError, JobCanceledError, JobExpiredError
        It has no result, or its result was deleted.
    InvalidParameterError
        The engine keeps no jobs.
    """
    options = seal_key(options)
    chosen = engines.get(engine)
    chosen.require(Engine.resume)
    store = Store.default()
    runs = store.runs()
    known = runs.loc[(runs["job_id"] == job_id) & (runs["state"] == "succeeded"), "run"]
    if len(known):
        return _tabulate(store.get(known.iloc[0]))
    question = Question.settle(chosen, Params(), options)
    with show_progress(progress) as report:
        answer, about = chosen.resume(job_id, question.options, report)
    return _tabulate(keep_answer(store, about, key_of_job(chosen, about, job_id), chosen, answer))


def _tabulate(run: Run) -> pd.DataFrame:
    """Make a run's table, and issue its remark as a Python warning too."""
    if run.warning:
        warnings.warn(f"{run.source}: {run.warning}", DiarnbWarning, stacklevel=3)
    return table_of(run)
