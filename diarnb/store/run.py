"""What is kept of one diarization."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


Evidence = dict[str, "np.ndarray[Any, Any]"]
"""Named numeric arrays from which an engine decides again; kept as ``.npz`` without pickle."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One diarization of one source with one set of parameters.

    Attributes
    ----------
    key : str
        Equal for runs that would give the same answer.
    source : str
        The file's name, or the URL without userinfo and query.
    engine, model : str
        What answered.
    raw : dict
        The engine's answer, JSON only; every table is made from it.
    params, options : dict
        What was asked, JSON only, without secrets.
    duration : float
        Of the audio, in seconds.
    speakers : int
        How many were found.
    content_hash : str or None, default None
        SHA-256 of the audio's content, in hex.
    path, size, mtime_ns : default None
        Where the audio was, with its size in bytes and its time of change, to find it again.
    billed_seconds, job_id, expires : default None
        What a paid service said.
    evidence_key : str or None, default None
        Which evidence belongs to this run.
    warning : str or None, default None
        The remark that stands in ``attrs``.
    problems : list of str, default []
        What was wrong with the audio.
    state : str, default "succeeded"
    id : str
        12 hexadecimal digits, drawn at random.
    created : datetime
        In UTC; now.
    """

    key: str
    source: str
    engine: str
    model: str
    raw: dict[str, Any]
    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    duration: float | None = None
    speakers: int | None = None
    content_hash: str | None = None
    path: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    billed_seconds: float | None = None
    job_id: str | None = None
    expires: datetime | None = None
    evidence_key: str | None = None
    warning: str | None = None
    problems: list[str] = field(default_factory=list)
    state: str = "succeeded"
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
