"""`diarize_many`: many recordings become one table, and a failure or an interruption does not affect the others."""

from __future__ import annotations

import pickle
import secrets
import threading
from asyncio import CancelledError
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from diarnb import engines, errors
from diarnb._pipeline import show_progress
from diarnb._text import refuse_call
from diarnb.audio import open_recording
from diarnb.batch.executors import Dispatcher, adapt_executor
from diarnb.batch.members import Batch, Member
from diarnb.batch.sources import is_address, name_sources
from diarnb.batch.task import Task, do_task
from diarnb.engines.cloud.keys import seal_key
from diarnb.engines.question import Question
from diarnb.engines.registry import find_registered
from diarnb.errors import AudioError, InvalidParameterError
from diarnb.params import Params
from diarnb.store.batches import Manifest
from diarnb.store.run import hash_json
from diarnb.tables.turns import SCHEMA
from diarnb.transcribers.request import request_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from os import PathLike

    import pandas as pd

    from diarnb._progress import Progress
    from diarnb._types import Options
    from diarnb.engines.arguments import (
        AssemblyAIArguments,
        DeepgramArguments,
        EngineName,
        LocalBatch,
        PyannoteAIArguments,
        PyannoteArguments,
    )
    from diarnb.engines.base import Engine, OwnEngine
    from diarnb.transcribers import Transcriber

    Sources = str | PathLike[str] | Iterable[str | PathLike[str]] | Mapping[str, str | PathLike[str]] | pd.DataFrame

__all__ = ["diarize_many", "manifest"]


def __dir__() -> list[str]:
    return __all__


refuse_call(__name__)


@overload
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: Literal["local"] = "local",
    **settings: Unpack[LocalBatch],
) -> pd.DataFrame: ...
@overload
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: Literal["pyannoteai"],
    **settings: Unpack[PyannoteAIArguments],
) -> pd.DataFrame: ...
@overload
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: Literal["deepgram"],
    **settings: Unpack[DeepgramArguments],
) -> pd.DataFrame: ...
@overload
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: Literal["assemblyai"],
    **settings: Unpack[AssemblyAIArguments],
) -> pd.DataFrame: ...
@overload
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: Literal["pyannote"],
    **settings: Unpack[PyannoteArguments],
) -> pd.DataFrame: ...
@overload
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: str | OwnEngine,
    progress: bool | Progress = True,
    **settings: Any,
) -> pd.DataFrame: ...
def diarize_many(
    sources: Sources,
    *,
    executor: Executor | Any = None,
    same_speakers: bool = False,
    recursive: bool = False,
    engine: EngineName | str | OwnEngine = "local",
    words: str | Transcriber | None = None,
    refresh: bool = False,
    progress: bool | Progress = True,
    **settings: Any,
) -> pd.DataFrame:
    """Find out who speaks when in many recordings.

    After an interruption, a crash or a failure, run the same line again. Finished recordings are answered from the run
    store, without opening them, and only the rest is processed. You may add recordings in the meantime.

    Parameters
    ----------
    sources : str, os.PathLike, iterable of these, mapping or pandas.DataFrame
        A folder, a pattern such as ``"calls/**/*.wav"``, or any iterable of paths, folders and addresses that `diarize`
        accepts. In a folder, every file that contains audio is used, whatever its name; skipped files are reported. A
        mapping names each recording: ``{"monday": "a.wav"}``. A table has them in a column ``source``, ``path`` or
        ``uri``.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        What does the work. By default, this process: the local engine processes one recording after another with all
        cores; services receive ten at a time, because the time there is spent waiting. See the notes.
    same_speakers : bool, default False
        Give a person the same label in all recordings, by voice: ``SPEAKER_00`` is then one person in the whole table.
        Otherwise, labels start from zero in each recording, so only ``uri`` and ``speaker`` together identify a person:
        ``turns.groupby(["uri", "speaker"])``.
    recursive : bool, default False
        Include subfolders.
    engine : str or Engine, default "local"
        As for `diarize`.
    words : str or callable, optional
        A transcriber, as for `diarize`. With other processes, it must be named, or be picklable.
    refresh : bool, default False
        Run the engine again for all recordings, even if the run store has results.
    progress : bool or callable, default True
        Show how many are done and how long the rest will take. A callable receives a text and a fraction, 0-1.
    **settings
        Other arguments of `diarize`, the same for all: ``num_speakers=2``, ``exclusive=True``, the engine's options.
        ``max_cost`` applies to the sum of all recordings that are still to be done.

    Returns
    -------
    pandas.DataFrame
        As `diarize` returns it, with a column ``uri``: the file name, preceded by as many of its folders as are needed
        to make it unique. Recordings are in the given order. A recording without speech has no rows, but is not a
        failure: `diarnb.batch.manifest` lists every recording. ``attrs["diarnb"]`` holds ``batch`` (its id),
        ``engine``, ``model``, ``recordings`` (their number) and ``failures``, a list of ``uri``, ``error`` (the class)
        and ``message``.

    Raises
    ------
    InvalidParameterError
        A setting is wrong, `sources` is none of the above, or all recordings together would cost more than
        ``max_cost``. Nothing has been sent.
    ConfigurationError
        A model, an extra or a key is missing.
    AuthenticationError, PaymentRequiredError, PermissionDeniedError
        The service refuses all recordings. Finished results are kept.

    Warns
    -----
    DiarnbWarning
        Some recordings failed, or have a warning.

    Notes
    -----
    *More processes.* ``with ProcessPoolExecutor() as pool: diarize_many(folder, executor=pool)`` processes as many
    recordings at once as there are cores. Each worker uses one thread unless you pass ``threads=``. A recording takes
    its length times the real-time factor of one thread, so a batch lasts about ``start + hours x factor / workers``;
    ``python -m benchmarks.batch`` measures both for your machine. If a worker dies, the pool accepts no more work:
    finished results are kept, the rest are failures (`WorkerLostError`), and the same line with a new pool continues.

    *A cluster.* ``diarize_many(urls, executor=dask.distributed.Client(address))`` needs diarnb on each worker. The
    models are part of the package, so only the recordings are downloaded. A path must mean the same file on each
    worker. With object storage, pass signed addresses (in an interrupted batch, sign only those that are left; a
    recording known by another signature is recognized by its content once it is downloaded). If a worker dies, Dask
    gives its recording to another one; after a few such deaths the recording is a failure. Tables come back as data,
    and the runs are kept here. The evidence for `recluster` and `frames` stays in the worker's store, unless
    `DIARNB_HOME` is the same folder. Keys are never sent: each worker finds its own in its environment, so no
    scheduler, log or dashboard shows one.

    *Services.* At most ten recordings are in progress at a time. pyannoteAI receives at most 90 requests a minute of
    the 100 that a team has. If a service asks for a pause, diarnb waits. `diarnb.cloud.estimate_cost` computes costs in
    advance.

    *Interrupts* return at once. A worker process finishes its current recording, and the result is kept. A job that was
    sent to pyannoteAI continues there, and the next call fetches it. A pending answer of Deepgram is lost, and
    `diarize` says how to ask again.

    *The same person* is found as in `identify`: voices that are, on average over all recordings, more likely one person
    than two get one label. Two speakers of one recording never do. A speaker with less than 2 s of speech has a
    separate label.

    Examples
    --------
    >>> turns = diarize_many([example("meeting"), example("interview"), "missing.wav"], progress=False)
    >>> turns.groupby("uri")["speaker"].nunique().to_dict()
    {'interview.flac': 2, 'meeting.flac': 4}
    >>> [(failure["uri"], failure["error"]) for failure in turns.attrs["diarnb"]["failures"]]
    [('missing.wav', 'AudioNotFoundError')]
    """
    settings = seal_key(settings)  # a traceback may show what is in this frame
    if not isinstance(same_speakers, bool):
        raise InvalidParameterError(f"same_speakers is True or False, not {same_speakers!r:.60}")
    if words is not None and not isinstance(words, str) and not callable(words):
        raise InvalidParameterError(
            "for a batch, words= is a transcriber; a table of words belongs to one recording: diarize"
        )
    params = Params(**{field.name: settings.pop(field.name) for field in fields(Params) if field.name in settings})
    chosen = engines.get(engine)
    question = Question.settle(chosen, params, settings)
    wanted = request_words(words, chosen)
    if executor is not None and "threads" in chosen.offer.options:
        settings.setdefault("threads", 1)
    named = name_sources(sources, recursive=recursive)
    # A transcriber that does not tell its version is asked anew: it may hear otherwise now.
    heard = None if wanted is None else wanted.key or secrets.token_hex(8)
    asked_of_all = (question.asked, question.version, heard)
    items = [hash_json(source, _read_stamp(source), *asked_of_all) for source in named.values()]
    registered = find_registered(chosen.name)  # other processes do not know it by its name
    asked = partial(
        Task,
        engine=registered if registered is not None and isinstance(engine, str) else engine,
        registered=registered is not None,
        params=params,
        options=settings,
        words=words,
        refresh=refresh,
    )
    members = [
        Member(asked(place, uri, source, voices=same_speakers), item)
        for place, ((uri, source), item) in enumerate(zip(named.items(), items, strict=True))
    ]
    batch = Batch(members, refresh=refresh)
    if "max_cost" in question.options:
        _check_cost([member.task for member in batch.left], chosen, question.options)
    with show_progress(progress) as report, _dispatch(executor, chosen, batch) as dispatcher:
        batch.work(dispatcher, report)
    turns = batch.table(same_speakers)
    facts = {"batch": batch.id, "engine": chosen.name, "model": question.model, "recordings": len(members)}
    turns.attrs["diarnb"] = {**facts, "failures": batch.failures, "schema": SCHEMA}
    batch.warn()
    return turns


def manifest(turns: pd.DataFrame | None = None) -> pd.DataFrame:
    """List every recording of a batch and its state, also while the batch is running, and from any process.

    Parameters
    ----------
    turns : pandas.DataFrame, optional
        A table that `diarize_many` returned. Default: the most recent batch.

    Returns
    -------
    pandas.DataFrame
        ``uri``; ``state`` (done, failed, waiting); ``duration`` (seconds) and ``speakers`` of what is done; ``seconds``
        that it took; ``run``, for `diarnb.open_run`; ``error`` and ``message`` of a failure; ``warning``.

    Raises
    ------
    TurnTableError
        The table does not belong to a batch.
    StoreError
        The run store cannot be read.

    Examples
    --------
    >>> import diarnb
    >>> turns = diarize_many([example("meeting"), example("interview")], progress=False)
    >>> diarnb.batch.manifest(turns)[["uri", "state", "speakers"]]
                  uri state  speakers
    0    meeting.flac  done         4
    1  interview.flac  done         2
    """
    rows = Manifest()
    if turns is None:
        return rows.table(rows.latest())
    facts = getattr(turns, "attrs", {}).get("diarnb") or {}
    if "batch" not in facts:
        raise errors.TurnTableError("this table does not belong to a batch: pass one that diarize_many() returned")
    return rows.table(facts["batch"])


@contextmanager
def _dispatch(executor: Any, engine: Engine, batch: Batch) -> Iterator[Dispatcher[Member]]:
    """Provide who works: the user's executor, or threads of this process that end with the call."""
    if executor is not None:
        place, places = adapt_executor(executor)
        if batch.left:
            _check_travels(batch.left[0].task, place)
        yield Dispatcher(batch.left, lambda member: place.submit(do_task, member.task), places, engine.offer.a_minute)
        return
    stop = threading.Event()

    def reporter(number: int) -> Progress:
        def report(stage: str, fraction: float) -> None:  # noqa: ARG001
            if stop.is_set():
                raise CancelledError
            batch.fractions[number] = fraction

        return report

    pool = ThreadPoolExecutor(engine.offer.at_once, "diarnb-batch")
    try:
        yield Dispatcher(
            batch.left,
            lambda member: pool.submit(do_task, member.task, reporter(member.task.place)),
            lambda: engine.offer.at_once,
            engine.offer.a_minute,
        )
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)  # what is interrupted stops within about a second


def _check_travels(task: Task, executor: Executor) -> None:
    """Refuse what cannot go to another process."""
    if isinstance(executor, ThreadPoolExecutor):
        return
    if "api_key" in task.options:
        raise InvalidParameterError(
            "api_key= is not sent to other processes, where logs and dashboards could show it: put the key into the "
            "environment of the workers, or leave out executor="
        )
    if isinstance(executor, ProcessPoolExecutor):
        try:
            pickle.dumps(task)
        except Exception as error:  # of many kinds
            raise InvalidParameterError(
                f"the settings cannot be sent to another process ({error}): name the engine and the transcriber, or "
                "define them in a module"
            ) from error


def _check_cost(tasks: Sequence[Task], engine: Engine, options: Options) -> None:
    """Refuse a batch that would cost more than ``max_cost``, before any of it is sent."""
    seconds = 0.0
    for task in tasks:
        if is_address(task.source):
            raise InvalidParameterError(
                f"max_cost={options['max_cost']:g} cannot be checked for {task.uri}, whose length is not known "
                "before it is sent; download it, then pass its path"
            )
        try:
            with open_recording(task.source) as recording:
                channels = recording.channels if options.get("multichannel") else 1
                seconds += engine.billable_seconds(recording.duration * channels)
        except (AudioError, InvalidParameterError):
            continue  # it will fail, and cost nothing
    cost = seconds / 3600 * options["price_per_hour"]
    if cost > options["max_cost"]:
        raise InvalidParameterError(
            f"the {len(tasks)} remaining recordings would cost {cost:.2f} ({seconds:,.0f} s at "
            f"{options['price_per_hour']:g} an hour), more than max_cost={options['max_cost']:g}; nothing was sent"
        )


def _read_stamp(source: str) -> list[int] | None:
    """Return what tells a file from what it was before, without reading it; nothing of an address."""
    try:
        stat = None if is_address(source) else Path(source).stat()
    except (OSError, ValueError):  # it is not there, or no name that a file can have
        return None
    return stat and [stat.st_size, stat.st_mtime_ns]
