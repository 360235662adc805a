"""From a question to a run: answered from the store, from evidence in the store, or by the engine; and kept."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diarnb._progress import describe_interrupt, reporter
from diarnb._text import clock, shorten
from diarnb.audio import Recording, open_recording
from diarnb.engines.base import Answer, Engine, take_answer
from diarnb.engines.cloud.links import is_link, look_at
from diarnb.errors import ApiResponseError, StoreError
from diarnb.results.runs import read_answer, table_of
from diarnb.store import Store
from diarnb.store.ledger import Ledger
from diarnb.store.partial import PartialEvidence
from diarnb.store.run import Run, hash_json
from diarnb.transcribers.request import LISTENING, scale_progress
from diarnb.transcripts.words import add_words

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        return nullcontext(look_at(source, question.options["base_url"], question.engine.service, report))
    return open_recording(source)


@contextmanager
def show_progress(progress: bool | Progress) -> Iterator[Progress]:
    """Draw progress, or hand it to the user's function; a notebook shows an interrupt as one line."""
    try:
        with nullcontext(progress) if callable(progress) else reporter(progress) as report:
            yield report
    except KeyboardInterrupt as error:
        line = f"KeyboardInterrupt: {describe_interrupt(error)}"
        vars(error)["_render_traceback_"] = lambda: [line]  # what IPython asks an exception for
        raise


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
            for find in (store.find, lambda key: find_paid(store, engine, key))
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
        partial = None if heard is None else PartialEvidence(store, heard)
        if refresh and partial is not None:
            partial.remove()
        answer = _listen(recording, question, scale_progress(report, 0.0, listened), partial)
        evidence = answer.evidence
        if evidence is not None and heard is not None:  # before words are heard, which takes longer
            store.put_evidence(heard, evidence)
        if partial is not None:
            partial.remove()
    if words is not None:
        said, kept = words.of(
            recording, params.channels, answer.raw, evidence or {}, scale_progress(report, listened, 1.0)
        )
        if kept and evidence is not None and heard is not None:
            store.put_evidence(heard, evidence | kept)
        frames = engine.frames(evidence, params, options) if evidence and engine.can(Engine.frames) else None
        answer = replace(answer, raw=add_words(answer.raw, said, frames))
        question = replace(question, words=words.key)
        key = question.key(recording.content_hash)
        if not refresh and (known := store.find(key)) is not None:
            return update_place(known, about, store)  # a transcriber without a version heard the same again
    about = replace(about, **question.asked, problems=list(recording.problems))  # all of them are known now
    return keep_answer(store, about, key, engine, answer, evidence_key=heard)


def _listen(recording: Any, question: Question, report: Progress, partial: PartialEvidence | None) -> Answer:
    """Have the engine answer, from what is kept of an interrupted call where there is that; tell how far it came."""
    if isinstance(recording, Recording):
        recording.partial = partial
    try:
        found = question.engine.diarize(recording, question.params, question.options, report)
        return take_answer(found, question.engine.name, recording.duration)
    except KeyboardInterrupt as error:
        reach = 0.0 if partial is None else max(partial.reach.values(), default=0.0)
        if reach and not str(error):
            told = f"interrupted; {shorten(recording.name, 80)} was processed up to {clock(reach)} of "
            told += f"{clock(recording.duration)}, which is kept: the same call continues from there"
            error.args = (told,)
        raise


def find_reach(recording: Any, question: Question) -> float:
    """Find up to which second a recording was heard before an interrupt, on every channel that is asked for."""
    if not question.engine.can(Engine.decide) or not isinstance(recording, Recording):
        return 0.0
    partial = PartialEvidence(Store.default(), question.evidence_key(recording.content_hash))
    channels = recording.channels if question.params.channels == "split" else 1
    for channel in range(channels):
        partial.read(channel)
    return min(partial.reach.get(channel, 0.0) for channel in range(channels))


def answer_partly(recording: Recording, question: Question, report: Progress) -> Run:
    """Make and keep the run of what was heard before an interrupt; its state is ``"stopped"``."""
    store, reach = Store.default(), find_reach(recording, question)
    partial = PartialEvidence(store, question.evidence_key(recording.content_hash), end=reach)
    answer = _listen(recording, question, report, partial)
    remark = f"Processed up to {clock(reach)} of {clock(recording.duration)} only; the same call continues from there."
    told = " ".join(filter(None, [remark, answer.raw.get("warning")]))
    about = question.describe(recording)
    key = hash_json(question.key(recording.content_hash), reach)
    answer = Answer({**answer.raw, "warning": told})
    return keep_answer(store, about, key, question.engine, answer, state="stopped", id=key[:12])


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
    if run.warning is not None:  # what is wrong with the content is wrong with this file
        name = re.compile(rf"(?<!\w){re.escape(shorten(run.source))}(?!\w)")
        place["warning"] = name.sub(lambda _: shorten(about.source), run.warning)
    run = replace(run, **place)
    store.save(run)
    return run
