"""Tools for cloud engines: costs, webhooks, and submitting without waiting."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb import engines
from diarnb._pipeline import keep_answer, open_source, show_progress
from diarnb._text import refuse_call
from diarnb.audio import open_recording
from diarnb.engines.base import Answer, Engine, Receipt
from diarnb.engines.cloud.billing import positive
from diarnb.engines.cloud.keys import seal_key
from diarnb.engines.question import Question, describe_job, key_of_job
from diarnb.errors import (
    ApiResponseError,
    ConfigurationError,
    DiarnbWarning,
    InvalidParameterError,
    JobAcceptedError,
    JobCanceledError,
    JobFailedError,
    WebhookVerificationError,
)
from diarnb.params import Params
from diarnb.results.runs import runs, table_of
from diarnb.store import Store
from diarnb.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diarnb._progress import Progress
    from diarnb._types import Json, Options, Source
    from diarnb.engines.base import OwnEngine

__all__ = ["accept_loss", "check_key", "estimate_cost", "from_payload", "jobs", "submit", "verify_webhook"]


def __dir__() -> list[str]:
    return __all__


refuse_call(__name__)


TOLERANCE = 300.0
"""Seconds that a delivery may be old; an older one may be a replay."""

_LARGEST = 64 * 1024**2


def estimate_cost(source: Source, *, engine: str | OwnEngine, price_per_hour: float) -> float:
    """Compute what a recording would cost, without sending anything.

    Parameters
    ----------
    source : anything that `diarnb.diarize` takes
    engine : str
        ``"pyannoteai"`` bills at least 20 s; ``"local"`` costs nothing.
    price_per_hour : float
        The price of your plan for an hour of audio, in any currency.

    Returns
    -------
    float
        In the same currency.

    Examples
    --------
    >>> round(estimate_cost(example("interview"), engine="pyannoteai", price_per_hour=1.0), 3)
    0.019
    """
    price = positive("price_per_hour", price_per_hour)
    chosen = engines.get(engine)
    if not chosen.can(Engine.billable_seconds):
        return 0.0
    with open_recording(source) as recording:
        return chosen.billable_seconds(recording.duration) / 3600 * price


def check_key(engine: str | OwnEngine = "pyannoteai", **options: object) -> bool:
    """Ask a service whether it accepts the key. This costs nothing.

    Parameters
    ----------
    engine : str, default "pyannoteai"
    **options
        ``api_key`` and ``base_url``, as for `diarnb.diarize`.

    Returns
    -------
    bool
        True; a key that is not accepted raises an error.

    Raises
    ------
    MissingApiKeyError, AuthenticationError, PermissionDeniedError
        There is no key, or the service does not accept it.
    ApiConnectionError
        The service cannot be reached.
    InvalidParameterError
        The engine needs no key, or its service cannot check one.
    """
    options = seal_key(options)
    chosen = engines.get(engine)
    chosen.require(Engine.test)
    return chosen.test(Question.settle(chosen, Params(), options).options)


def jobs(engine: str | OwnEngine = "pyannoteai", **options: Any) -> pd.DataFrame:
    """List the newest jobs of all members of the key's team at a service, at most 100.

    Parameters
    ----------
    engine : str, default "pyannoteai"
    **options
        ``api_key`` and ``base_url``, as for `diarnb.diarize`.

    Returns
    -------
    pandas.DataFrame
        ``job_id, created`` (UTC), ``status``, and ``run``: the id of the run or the submission, if this store knows the
        job. `diarnb.resume` fetches a job.

    Raises
    ------
    ApiError
        The service cannot be asked.
    InvalidParameterError
        The engine keeps no jobs.
    """
    options = seal_key(options)
    chosen = engines.get(engine)
    chosen.require(Engine.jobs)
    found = chosen.jobs(Question.settle(chosen, Params(), options).options)
    known = runs().dropna(subset="job_id").drop_duplicates("job_id").set_index("job_id")["run"]
    ids = pd.Series([job["id"] for job in found], dtype=known.index.dtype)
    moments: list[Any] = [job.get("createdAt") for job in found]
    created = pd.to_datetime(moments, utc=True, errors="coerce", format="ISO8601")
    statuses = pd.Series([str(job.get("status")) for job in found], dtype=str)
    return pd.DataFrame({"job_id": ids, "created": created, "status": statuses, "run": ids.map(known)})


def submit(source: Source, *, engine: str | OwnEngine, progress: bool | Progress = True, **arguments: Any) -> str:
    """Submit a recording to a service without waiting for the result.

    Parameters
    ----------
    source, **arguments
        As for `diarnb.diarize`; ``webhook=`` (pyannoteAI) or ``callback=`` (Deepgram) says where the result goes.
    engine : str
    progress : bool or callable, default True

    Returns
    -------
    str
        The job's id. `diarnb.resume` fetches a job of pyannoteAI; `from_payload` reads what was delivered.

    Raises
    ------
    InvalidParameterError
        The engine does not support this, or a parameter is wrong. Nothing was sent.
    """
    params = Params(**{name: arguments.pop(name) for name in Params.help() if name in arguments})
    options = seal_key(arguments)
    chosen = engines.get(engine)
    chosen.require(Engine.submit)
    question = Question.settle(chosen, params, options)
    with show_progress(progress) as report, open_source(source, question, report) as recording:
        return chosen.submit(recording, params, question.options, report)


def accept_loss() -> None:
    """Let paid engines continue after the ledger lost entries, although lost requests may be paid for again.

    The ledger records what was sent and paid. If it was damaged and its second copy could not repair it, every request
    that it does not know raises `SubmissionUncertainError`, until you call this function once, or pass
    ``resubmit=True`` for each recording.

    .. versionadded:: 0.2.0

    Raises
    ------
    StoreError
        The ledger cannot be written.

    Examples
    --------
    >>> accept_loss()
    """
    Ledger().accept_loss()


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str | bytes | Iterable[str | bytes],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> Json:
    """Verify that a delivery comes from pyannoteAI, and return what it says.

    Deliveries may be repeated, by the service or, within `tolerance`, by an attacker: ignore a second one with the same
    job and status. Deepgram does not sign its deliveries; give it an address that nobody can guess.

    Parameters
    ----------
    headers : mapping
        The unchanged request headers; names in any case.
    body : bytes
        The unchanged request body. A body that was parsed and serialized again has a different signature.
    secret : str or bytes, or several
        The webhook's secret from the dashboard; during a change, the old and the new one.
    tolerance : float, default 300
        How many seconds the delivery may be in the past or in the future.
    now : float, optional
        Seconds since 1970. Default: this machine's clock.

    Returns
    -------
    dict
        ``jobId``, ``status`` and, usually, ``output``; `from_payload` turns it into a table.

    Raises
    ------
    WebhookVerificationError
        The signature is not valid; answer with status 401 and nothing else.
    ConfigurationError
        There is no secret to verify it with.

    Examples
    --------
    >>> import hashlib, hmac
    >>> body = b'{"jobId": "1", "status": "failed"}'
    >>> signature = hmac.new(b"secret", b"v0:1700000000:" + body, hashlib.sha256).hexdigest()
    >>> headers = {"X-Request-Timestamp": "1700000000", "X-Signature": signature}
    >>> verify_webhook(headers, body, "secret", now=1700000010)["status"]
    'failed'
    """
    secrets = [secret] if isinstance(secret, str | bytes) else list(secret)
    keys = [each.encode() if isinstance(each, str) else each for each in secrets]
    if not keys or not all(key.strip() for key in keys):
        raise ConfigurationError(
            "There is no webhook secret; put the one from the dashboard where this program reads it."
        )
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidParameterError("body is the unchanged bytes of the request, before anything parses them")
    named = {name.lower(): value for name, value in headers.items()}
    told, given = named.get("x-request-timestamp", ""), named.get("x-signature", "")
    if not re.fullmatch(r"\d{1,12}", told) or abs((time.time() if now is None else now) - int(told)) > tolerance:
        raise WebhookVerificationError("the delivery has no timestamp, or its timestamp is too far from now")
    claimed = _parse_signatures(given)
    message = b"v0:" + told.encode() + b":" + bytes(body)
    expected = [hmac.new(key, message, hashlib.sha256).digest() for key in keys]
    # All are compared, so that time tells nothing.
    if not sum(hmac.compare_digest(claim, known) for claim in claimed for known in expected):
        raise WebhookVerificationError("the delivery's signature does not match its content")
    return _parse_object(bytes(body))


def from_payload(body: bytes | str | Options) -> pd.DataFrame:
    """Turn what a service delivered to a webhook or a callback into a table of turns.

    Parameters
    ----------
    body : bytes, str or dict
        The delivery of pyannoteAI (as `verify_webhook` returns it) or Deepgram.

    Returns
    -------
    pandas.DataFrame
        As `diarnb.diarize` returns it. The run is kept in the store; it belongs to the recording if the job was
        submitted from this store.

    Raises
    ------
    JobFailedError, JobCanceledError
        The delivery says so.
    JobAcceptedError
        The job is done, but the delivery does not contain the result; `diarnb.resume` fetches it.
    InvalidParameterError
        It is a voiceprint, not a table.
    ApiResponseError
        It is not a delivery of a known service.

    Examples
    --------
    >>> turn = {"speaker": "SPEAKER_00", "start": 0.5, "end": 1.5}
    >>> len(from_payload({"jobId": "j", "status": "succeeded", "output": {"diarization": [turn]}}))
    1
    """
    raw = (
        dict(body)
        if not isinstance(body, bytes | str)
        else _parse_object(body.encode() if isinstance(body, str) else body)
    )
    if "jobId" in raw:
        name, job_id = "pyannoteai", str(raw["jobId"])
        _check_delivered(raw, job_id)
    elif isinstance(raw.get("metadata"), dict) and "results" in raw:
        name, job_id = "deepgram", str(raw["metadata"].get("request_id"))
    else:
        raise ApiResponseError(
            "this is not a delivery of pyannoteAI or Deepgram; pass the unchanged body of the request"
        )
    store = Store.default()
    row = Ledger(store).job(job_id)
    if row is not None and row.engine != name:
        row = None
    about = describe_job(job_id, name) if row is None else row.about
    engine = engines.get(name)
    run = Ledger(store).run_of_job(job_id)
    if run is None or run.engine != name:  # a delivery may come twice
        receipt = Receipt("" if row is None else row.id, job_id, **engine.bill(raw, about))
        run = keep_answer(store, about, key_of_job(engine, about, job_id), engine, Answer(raw, receipt=receipt))
    if run.warning:
        warnings.warn(f"{run.source}: {run.warning}", DiarnbWarning, stacklevel=2)
    return table_of(run)


def _check_delivered(raw: Mapping[str, object], job_id: str) -> None:
    output, status = raw.get("output"), raw.get("status")
    if status in ("failed", "canceled"):
        said = output.get("error") if isinstance(output, dict) else None
        kind = JobFailedError if status == "failed" else JobCanceledError
        raise kind(
            f"job {job_id} {status} at pyannoteAI: {said or 'no reason given'}. It is not billed.", job_id=job_id
        )
    if not isinstance(output, dict):
        raise JobAcceptedError(
            f"the delivery says that job {job_id} is {status}, without its result; "
            f"diarnb.resume({job_id!r}) fetches it",
            job_id=job_id,
        )
    if "voiceprint" in output:
        raise InvalidParameterError(
            f"job {job_id} made a voiceprint, not turns; diarnb.voiceprint(...) with the same arguments returns it "
            "without a bill"
        )


def _parse_signatures(given: str) -> list[bytes]:
    """Read a signature both ways: hex, as the vendor's sample has it, and base64, as its prose has it."""
    found = []
    if re.fullmatch(r"[0-9a-fA-F]{64}", given):
        found.append(bytes.fromhex(given))
    if re.fullmatch(r"[A-Za-z0-9+/]{43}=", given):
        try:
            found.append(base64.b64decode(given, validate=True))
        except binascii.Error:
            return found
    return found


def _parse_object(body: bytes) -> Json:
    if len(body) > _LARGEST:
        raise ApiResponseError(f"the delivery is larger than {_LARGEST >> 20} MiB")
    try:
        found = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ApiResponseError("the delivery is not JSON; pass the unchanged body of the request") from error
    if not isinstance(found, dict):
        raise ApiResponseError("the delivery is not a JSON object; pass the unchanged body of the request")
    return found
