"""What is kept of one diarization."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from diarnb._types import Json


Evidence = dict[str, "np.ndarray"]
"""Named numeric arrays from which an engine decides again; kept as ``.npz`` without pickle."""


def hash_json(*parts: object) -> str:
    """Hash JSON: SHA-256 in hex, equal for equal parts, of which nothing can be read back.

    Parameters
    ----------
    *parts : JSON
        The order of a dict's keys does not matter.

    Examples
    --------
    >>> hash_json("a", {"b": 1, "c": 2}) == hash_json("a", {"c": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Description:
    """A recording, and what is asked about it; JSON only, without secrets.

    Attributes
    ----------
    source : str
        The file's name, or the URL without userinfo and query.
    engine, model : str
        What answers.
    params, options : dict
        What was asked; of the options those that change the answer.
    content_hash : str or None, default None
        SHA-256 of the audio's content, in hex.
    duration : float or None, default None
        Of the audio, in seconds.
    problems : list of str, default []
        What is wrong with the audio.
    path, size, mtime_ns : default None
        Where the audio was, with its size in bytes and its time of change, to find it again.
    """

    source: str
    engine: str
    model: str
    params: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    content_hash: str | None = None
    duration: float | None = None
    problems: list[str] = field(default_factory=list)
    path: str | None = None
    size: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run(Description):
    """One diarization of one source with one set of parameters.

    Attributes
    ----------
    key : str
        Equal for runs that would give the same answer.
    raw : dict
        The engine's answer, JSON only; every table is made from it.
    speakers : int
        How many were found.
    billed_seconds, job_id, expires : default None
        What a paid service said.
    evidence_key : str or None, default None
        Which evidence belongs to this run.
    warning : str or None, default None
        The remark that stands in ``attrs``.
    state : str, default "succeeded"
    id : str
        12 hexadecimal digits, drawn at random.
    created : datetime
        In UTC; now.
    """

    key: str
    raw: Json
    speakers: int | None = None
    billed_seconds: float | None = None
    job_id: str | None = None
    expires: datetime | None = None
    evidence_key: str | None = None
    warning: str | None = None
    state: str = "succeeded"
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


def pack_facts(run: Run) -> Json:
    """Write a run as JSON, but for its raw answer; times in UTC, of one length, so that their text sorts as time."""
    facts = {entry.name: getattr(run, entry.name) for entry in fields(run) if entry.name != "raw"}
    times = {name: facts[name] and format_time(facts[name]) for name in ("created", "expires")}
    return {**facts, **times}


def unpack_run(facts: Json, answer: bytes) -> Run:
    """Read what `pack_facts` wrote, with the answer as it came."""
    times = {name: facts[name] and datetime.fromisoformat(facts[name]) for name in ("created", "expires")}
    known = {entry.name for entry in fields(Run)}
    facts = {name: value for name, value in {**facts, **times}.items() if name in known}
    return Run(**facts, raw=json.loads(answer))


def format_time(time: datetime) -> str:
    """Write a time in UTC, always of one length."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
