"""From an answer to a run in the store: what a run is known by, and what is kept of it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diarnb._run import Run
from diarnb.engines.base import Reader
from diarnb.errors import ApiResponseError, StoreError
from diarnb.journal import Journal
from diarnb.results import read_with, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb.engines.base import Answer, Engine
    from diarnb.store import Store


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
        with suppress(StoreError):  # the journal lists no job that has a run
            Journal(store).close(receipt.row)
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
