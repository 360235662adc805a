"""From what a user says to what an engine is given: options that are complete, and a source that is open."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diarnb._progress import reporter
from diarnb.audio import open_recording
from diarnb.engines.abilities import Decider, Reader, Settler
from diarnb.engines.base import Answer, check_offered, check_options, describe
from diarnb.engines.cloud.links import is_link, look_at
from diarnb.errors import ApiResponseError, StoreError
from diarnb.params import Params
from diarnb.results import read_with, table_of
from diarnb.store import Store
from diarnb.store.ledger import Ledger
from diarnb.store.run import Run
from diarnb.transcribers.request import LISTENING, part_of
from diarnb.transcripts.words import add_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._progress import Progress
    from diarnb.engines.base import Engine
    from diarnb.params import Params
    from diarnb.transcribers.request import WantedWords


def settled(engine: Engine, params: Params, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check an engine's options, and that it offers what is asked, before anything is read or sent.

    Raises
    ------
    InvalidParameterError, ConfigurationError
        Naming what is wrong or missing.
    """
    options = check_options(given, engine.offer, engine.name)
    check_offered(params, engine.offer, engine.name)
    return engine.settle(params, options) if isinstance(engine, Settler) else options


def opened(
    source: Any, engine: Engine, options: Mapping[str, Any], report: Progress
) -> AbstractContextManager[Any]:  # a Recording, or a Link for an engine that passes it on
    """Open a source, unless the engine's service fetches it by itself."""
    if engine.offer.links and is_link(source):
        return nullcontext(look_at(source, options["base_url"], engine.name, report))
    return open_recording(source)


def reporting(progress: bool | Progress) -> AbstractContextManager[Progress]:
    """Draw progress, or hand it to the user's function."""
    return nullcontext(progress) if callable(progress) else reporter(progress)


def run_for(
    recording: Any,
    engine: Engine,
    params: Params,
    options: Mapping[str, Any],
    report: Progress,
    *,
    refresh: bool,
    words: WantedWords | None,
) -> Run:
    """Answer from the store, from the evidence in the store, or by listening; and keep the answer."""
    store = Store.default()
    about = describe(recording, engine, params, options)
    if words is not None:
        about["options"]["words"] = words.key
    key = key_of(about, engine)
    heard = digest(about["content_hash"], engine.name, version_of(engine, about["model"]), params.channels)
    if not refresh and (known := store.find(key)) is not None:
        return moved(known, about, store)
    evidence = store.evidence(heard) if not refresh and isinstance(engine, Decider) else None
    if words is not None:
        words.prepare(evidence or {})
    listened = 0.0
    if evidence is not None and isinstance(engine, Decider):
        answer = Answer(engine.decide(evidence, params, options))
    else:
        listened = 1.0 if words is None else LISTENING
        answer = engine.diarize(recording, params, options, part_of(report, 0.0, listened))
        evidence = answer.evidence
        if evidence is not None:  # before words are heard, which takes longer
            store.put_evidence(heard, evidence)
    if words is not None:
        said, kept = words.of(recording, params.channels, answer.raw, evidence or {}, part_of(report, listened, 1.0))
        if kept and evidence is not None:
            store.put_evidence(heard, evidence | kept)
        answer = replace(answer, raw=add_words(answer.raw, said))
        about["options"]["words"] = words.key
        key = key_of(about, engine)
        if not refresh and (known := store.find(key)) is not None:
            return moved(known, about, store)  # a transcriber that does not tell its version heard the same again
    about["problems"] = list(recording.problems)  # all of them are known now
    return keep(store, about, key, engine, answer, evidence_key=heard if isinstance(engine, Decider) else None)


def keep(store: Store, about: dict[str, Any], key: str, engine: Engine, answer: Answer, **facts: Any) -> Run:
    """Make a run of an answer, and keep it; one that was paid for also if it cannot be read."""
    receipt = answer.receipt
    if receipt is not None:
        facts |= {"job_id": receipt.job_id, "billed_seconds": receipt.billed_seconds, "expires": receipt.expires}
        known = store.find(key)
        if known is not None and known.job_id is not None and known.job_id == receipt.job_id:
            return known  # two calls waited for one job
    failure = None
    try:
        found = outcome(engine, answer.raw, about)
    except ApiResponseError as error:
        found, failure = {"raw": answer.raw}, error
    run = Run(**{**about, **found}, key=key, **facts)
    if receipt is None:
        table_of(run)  # what is impossible is not kept: an engine that is mended would be answered for by it
    if store.save(run) and receipt is not None:
        with suppress(StoreError):  # the ledger lists no job that has a run
            Ledger(store).close(receipt.row)
    if failure is not None:
        raise failure
    return run


def outcome(engine: Engine, raw: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a run says of its answer."""
    remarks = []
    found = raw
    if isinstance(engine, Reader):
        found = read_with(engine, raw, about["params"], about["options"], about["source"], about["duration"])
        remarks = about["problems"]  # a local engine has its own words for them
    duration = found.get("duration") or about["duration"]
    warning = " ".join(filter(None, [found.get("warning"), *remarks])) or None
    speakers = len({turn["speaker"] for turn in found["diarization"]})
    return {"raw": raw, "duration": duration, "speakers": speakers, "warning": warning}


def moved(run: Run, about: Mapping[str, Any], store: Store) -> Run:
    """Let a known answer speak of the file that was asked about: it may bear another name now."""
    now = {name: about[name] for name in ("source", "path", "size", "mtime_ns") if name in about}
    if all(getattr(run, name) == value for name, value in now.items()):
        return run
    run = replace(run, **now)
    store.save(run)
    return run


def key_of(about: Mapping[str, Any], engine: Engine, job_id: str | None = None) -> str:
    """Give what is equal for two runs that would give the same answer; of an unknown recording, the job's id."""
    version = version_of(engine, about["model"])
    return digest(about["content_hash"] or job_id, engine.name, version, about["params"], about["options"])


def version_of(engine: Engine, model: str) -> list[str]:
    """Identify what answers."""
    return [model, engine.version(model)]


def digest(*parts: Any) -> str:
    """Give a short name for JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
