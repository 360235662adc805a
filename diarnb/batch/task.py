"""What is done for one recording of a batch, in this process or another."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diarnb import engines
from diarnb._pipeline import answer_question, open_source
from diarnb._text import shorten
from diarnb.audio import Recording, open_recording
from diarnb.engines.local import voiceprints
from diarnb.engines.question import Question
from diarnb.errors import DiarnbError, RateLimitedError
from diarnb.results.runs import table_of
from diarnb.store import Store
from diarnb.store.run import hash_json
from diarnb.transcribers.request import request_words

if TYPE_CHECKING:
    import pandas as pd

    from diarnb._progress import Progress
    from diarnb._types import Options
    from diarnb.engines.base import OwnEngine
    from diarnb.params import Params
    from diarnb.store.run import Evidence, Run

_PAUSE = 60.0  # seconds, where a service that is asked too much does not say how long


@dataclass(frozen=True)
class Task:
    """One recording, and what is asked; an address, which may be signed, and options are in no repr.

    Attributes
    ----------
    place : int
        Of the recording in its batch.
    uri : str
        What it is called there.
    source : str
        A path or an address.
    engine, params, options, words, refresh
        As `diarize` takes them, not settled: a key is found where the work is done.
    registered : bool
        Whether the engine is an object that `engines.register` made known by its name.
    voices : bool
        Whether the speakers' voices are wanted too.
    """

    place: int
    uri: str
    source: str = field(repr=False)
    engine: str | OwnEngine = field(repr=False)
    params: Params = field(repr=False)
    options: Options = field(repr=False)
    registered: bool = False
    words: Any = field(repr=False, default=None)
    refresh: bool = False
    voices: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of it: a run, with the voices if they were wanted; or an error, by its class and text.

    Attributes
    ----------
    again_after : float or None
        Seconds that the service asks to wait.
    """

    seconds: float
    run: Run | None = None
    voices: Evidence | None = None
    error: str = ""
    message: str = ""
    again_after: float | None = None


def do_task(task: Task, report: Progress = lambda stage, fraction: None) -> Outcome:  # noqa: ARG005
    """Do a task; every failure is an outcome, in plain data that any process can read."""
    began = time.monotonic()
    wait = None
    try:
        run, voices = _answer_task(task, report)
        return Outcome(time.monotonic() - began, run, voices)
    except RateLimitedError as error:
        failure: Exception = error
        wait = _PAUSE if error.retry_after is None else error.retry_after
    except Exception as error:  # whatever a recording does to a decoder, or another's engine does
        failure = error
    kind = type(failure).__name__
    message = str(failure) if isinstance(failure, DiarnbError) else f"{task.uri}: {kind}: {failure}"
    for shown in (task.source, shorten(task.source, 120)):  # a table that travels tells of no folder
        message = message.replace(shown, task.uri)
    return Outcome(time.monotonic() - began, error=kind, message=message, again_after=wait)


def find_voices(run: Run, store: Store) -> Evidence | None:
    """Find the voices of a run's speakers, if they were heard before."""
    return store.evidence(_voices_key(run))


def keep_voices(run: Run, voices: Evidence, store: Store) -> None:
    """Keep them until something is forgotten: a voice is personal, and soon heard again."""
    store.put_evidence(_voices_key(run), voices)


def _answer_task(task: Task, report: Progress) -> tuple[Run, Evidence | None]:
    if task.registered:  # where the batch began; another process does not know it
        engines.register(task.engine)
    engine = engines.get(task.engine)
    question = Question.settle(engine, task.params, task.options)
    words = request_words(task.words, engine)
    with open_source(task.source, question, report) as recording:
        run = answer_question(recording, question, report, refresh=task.refresh, words=words)
        if not task.voices:
            return run, None
        store = Store.default()
        voices = find_voices(run, store)
        if voices is None:
            voices = _embed_speakers(task.source, recording, run, question.options.get("threads"))
            keep_voices(run, voices, store)
        return run, voices


def _embed_speakers(source: str, recording: object, run: Run, threads: int | None) -> Evidence:
    turns = table_of(run)
    if turns.empty:
        return {}
    only = run.params.get("channels")
    if isinstance(only, int):
        turns = turns.assign(channel=only)
    if isinstance(recording, Recording):
        return _embed(recording, turns, threads)
    with open_recording(source) as fetched:  # its service fetched it by itself
        return _embed(fetched, turns, threads)


def _embed(recording: Recording, turns: pd.DataFrame, threads: int | None) -> Evidence:
    return dict(voiceprints.embed_speakers(recording, turns, threads=threads))


def _voices_key(run: Run) -> str:
    return hash_json("voices", run.key, voiceprints.MAKER.decode())
