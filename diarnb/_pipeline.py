"""From a question to a run: answered from the store, from evidence in the store, or by the engine; and kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from diarnb._progress import reporter
from diarnb.audio import open_recording
from diarnb.engines.base import Answer, Engine
from diarnb.engines.cloud.links import is_link, look_at
from diarnb.errors import ApiResponseError, StoreError
from diarnb.results import read_answer, table_of
from diarnb.store import Store
from diarnb.store.ledger import Ledger
from diarnb.store.run import Run
from diarnb.transcribers.request import LISTENING, scale_progress
from diarnb.transcripts.words import add_words

if TYPE_CHECKING:
    from diarnb._progress import Progress
    from diarnb._types import Json
    from diarnb.engines.question import Question
    from diarnb.store.run import Description
    from diarnb.transcribers.request import WordsRequest


def open_source(
    source: Any, question: Question, report: Progress
) -> AbstractContextManager[Any]:  # a Recording, or a Link for an engine that passes it on
    """Open a source, unless the engine's service fetches it by itself."""
    if question.offer.links and is_link(source):
        return nullcontext(look_at(source, question.options["base_url"], question.engine.name, report))
    return open_recording(source)


def show_progress(progress: bool | Progress) -> AbstractContextManager[Progress]:
    """Draw progress, or hand it to the user's function."""
    return nullcontext(progress) if callable(progress) else reporter(progress)


def answer_question(
    recording: Any, question: Question, report: Progress, *, refresh: bool, words: WordsRequest | None
) -> Run:
    """Find or make the run of a recording, and keep it."""
    store = Store.default()
    engine, params, options = question.engine, question.params, question.options
    if words is not None:
        question = replace(question, words=words.key or "")
    about = question.describe(recording)
    key = question.key(recording.content_hash)
    keys = list(filter(None, [key, question.earlier_key(recording.content_hash)]))
    if not refresh:
        found = (
            run
            for find in (store.find, partial(find_paid, store, engine))
            for each in keys
            if (run := find(each)) and run.engine == engine.name  # else the run is damaged, and made anew
        )
        if (known := next(found, None)) is not None:
            return update_place(known, about, store)
    elif engine.offer.billed:
        Ledger(store).retire(*keys)
    heard = question.evidence_key(recording.content_hash) if engine.can(Engine.decide) else None
    evidence = None if refresh or heard is None else store.evidence(heard)
    if words is not None:
        words.prepare(evidence or {})
    listened = 0.0
    if evidence is not None:
        answer = Answer(engine.decide(evidence, params, options))
    else:
        listened = 1.0 if words is None else LISTENING
        answer = engine.diarize(recording, params, options, scale_progress(report, 0.0, listened))
        evidence = answer.evidence
        if evidence is not None and heard is not None:  # before words are heard, which takes longer
            store.put_evidence(heard, evidence)
    if words is not None:
        said, kept = words.of(
            recording, params.channels, answer.raw, evidence or {}, scale_progress(report, listened, 1.0)
        )
        if kept and evidence is not None and heard is not None:
            store.put_evidence(heard, evidence | kept)
        answer = replace(answer, raw=add_words(answer.raw, said))
        question = replace(question, words=words.key)
        key = question.key(recording.content_hash)
        if not refresh and (known := store.find(key)) is not None:
            return update_place(known, about, store)  # a transcriber without a version heard the same again
    about = replace(about, **question.asked, problems=list(recording.problems))  # all of them are known now
    return keep_answer(store, about, key, engine, answer, evidence_key=heard)


def keep_answer(store: Store, about: Description, key: str, engine: Engine, answer: Answer, **facts: Any) -> Run:
    """Make a run of an answer, and keep it; one that was paid for also if it cannot be read."""
    receipt = answer.receipt
    if receipt is not None:
        facts |= {"job_id": receipt.job_id, "billed_seconds": receipt.billed_seconds, "expires": receipt.expires}
        known = store.find(key)
        if known is not None and known.job_id is not None and known.job_id == receipt.job_id:
            return known  # two calls waited for one job
    failure = None
    try:
        found = read_facts(engine, answer.raw, about)
    except ApiResponseError as error:
        if receipt is None:
            raise
        found, failure = {"raw": answer.raw}, error
    if receipt is not None and receipt.remark:
        found["warning"] = " ".join(filter(None, [receipt.remark, found.get("warning")]))
    run = Run(**{**vars(about), **found}, key=key, **facts)
    if receipt is None:
        table_of(run)  # what is impossible is not kept: an engine that is mended would be answered for by it
    if store.save(run) and receipt is not None:
        with suppress(StoreError):  # the ledger lists no job that has a run
            Ledger(store).close(receipt.row, run)
    if failure is not None:
        raise failure
    return run


def find_paid(store: Store, engine: Engine, key: str) -> Run | None:
    """Find a run that was paid for and that the store has lost; where its answer is damaged too, the engine decides.

    Raises
    ------
    StoreError
        The ledger cannot be read; nothing is sent.
    """
    found = Ledger(store).find_paid(key) if engine.offer.billed else None
    if found is None:
        return None
    row, run = found
    if run is None:
        Ledger(store).change(row, state="accepted" if engine.can(Engine.resume) else "uncertain")
    else:
        store.save(run)
    return run


def read_facts(engine: Engine, raw: Json, about: Description) -> Json:
    """Read from an answer what its run says of it."""
    found = read_answer(engine, raw, about)
    remarks = about.problems if engine.can(Engine.read) else []  # an engine of ours has its own words for them
    warning = " ".join(filter(None, [found.get("warning"), *remarks])) or None
    speakers = len({turn["speaker"] for turn in found["diarization"]})
    return {
        "raw": raw,
        "duration": found.get("duration") or about.duration,
        "model": found.get("model") or about.model,
        "speakers": speakers,
        "warning": warning,
    }


def update_place(run: Run, about: Description, store: Store) -> Run:
    """Let a known answer speak of the file that was asked about: it may bear another name now."""
    place: Json = {"source": about.source}
    if about.path is not None:
        place |= {name: getattr(about, name) for name in ("path", "size", "mtime_ns")}
    if all(getattr(run, name) == value for name, value in place.items()):
        return run
    run = replace(run, **place)
    store.save(run)
    return run
