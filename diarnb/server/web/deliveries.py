"""Telling what became of a job: webhooks as pyannoteAI sends them, callbacks as Deepgram does.

Whom to tell, and how often that was tried, stands in the job's row, so that what is owed is told even if the server
ends before; a receiver may hear of a job twice. The row holds ``dialect``, ``url`` and ``method``, of pyannoteAI
``status_only`` (without the result), of Deepgram ``token`` (what stands for the key); and then how often it ``failed``
and for what ``reason``.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import json
import logging
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from diarnb.server.web import fetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diarnb._types import Options
    from diarnb.server.jobs import Job, JobTable
    from diarnb.server.settings import Settings

log: logging.Logger = logging.getLogger("diarnb.server")

TIMEOUT = 10.0
"""Seconds within which a receiver has to answer, redirects included."""

_REDIRECTS = 2
_AT_ONCE = 16  # receivers that are told at the same time
_LOCATION = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Form:
    """How a dialect tells.

    Attributes
    ----------
    schemes : tuple of str
        Of an address that is told, unless its host is allowed by name.
    ports : tuple of int or None
        Likewise.
    waits : tuple of float
        Seconds before each further attempt.
    body : callable
        What is told of a job.
    """

    schemes: tuple[str, ...]
    ports: tuple[int, ...] | None
    waits: tuple[float, ...]
    body: Callable[[Job], bytes]


def with_output(facts: Mapping[str, object], output: bytes | None) -> bytes:
    """Write a JSON object, with an ``output`` that is JSON already where there is one."""
    head = json.dumps(facts).encode()
    return head if output is None else head[:-1] + b', "output": ' + output + b"}"


def _webhook_body(job: Job) -> bytes:
    told = job.state == "succeeded" and not (job.delivery or {}).get("status_only")
    return with_output({"jobId": job.id, "status": job.state}, job.output if told else None)


def _callback_body(job: Job) -> bytes:
    if job.state == "succeeded" and job.output is not None:
        return job.output
    said = json.loads(job.output or b"{}").get("error", "The request could not be carried out.")
    return json.dumps({"err_code": "Bad Request", "err_msg": f"Bad Request: {said}", "request_id": job.id}).encode()


FORMS = {
    "pyannoteai": Form(("https",), None, (0.0, 60.0, 300.0), _webhook_body),
    "deepgram": Form(("https", "http"), (80, 443, 8080, 8443), (30.0,) * 10, _callback_body),
}


def check_target(dialect: str, url: str, allowed: tuple[str, ...]) -> str | None:
    """Check an address that is to be told of a result; return what is wrong with it, or None.

    Parameters
    ----------
    dialect : {"pyannoteai", "deepgram"}
    url : str
    allowed : tuple of str
        Hosts that may be told whatever their address, `Settings.allow_webhook`.
    """
    parsed = fetcher.parse_url(url)
    if parsed is None or not parsed.host or parsed.scheme not in ("http", "https"):
        return "Invalid URL"
    if fetcher.is_listed(parsed.host, allowed):
        return None
    schemes, ports = FORMS[dialect].schemes, FORMS[dialect].ports
    unless = f"; or start the server with --allow-webhook {parsed.host:.80}"
    if parsed.scheme not in schemes:
        return f"Must be an {' or '.join(schemes)} address{unless}"
    if ports is not None and parsed.port not in ports:
        return f"The port must be one of {', '.join(map(str, ports))}{unless}"
    problem = fetcher.check_host(parsed.host)
    return problem and problem + unless


class Deliveries:
    """Tells everybody who is to be told.

    Parameters
    ----------
    jobs : JobTable
    settings : Settings
    forms : mapping, optional
        How; tests wait less.
    timeout : float, optional
        Seconds for one attempt.
    """

    def __init__(
        self, jobs: JobTable, settings: Settings, *, forms: Mapping[str, Form] = FORMS, timeout: float = TIMEOUT
    ) -> None:
        self.forms: Mapping[str, Form] = forms
        self.timeout: float = timeout
        self._jobs, self._settings = jobs, settings
        self._session: aiohttp.ClientSession | None = None
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Deliver what is due, for ever."""
        while True:
            self._jobs.delivery_due.clear()
            job = self._jobs.next_delivery(besides=self._running)
            wait = None if job is None or job.due is None else job.due - time.time()
            if job is None or wait is None or wait > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._jobs.delivery_due.wait(), wait)
                continue
            await self._free.acquire()
            self._running[job.id] = task = asyncio.create_task(self._deliver(job))
            task.add_done_callback(functools.partial(self._finish, job.id))

    async def close(self) -> None:
        """Stop; what is owed is told by the next server."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _finish(self, job_id: str, task: asyncio.Task[None]) -> None:
        del self._running[job_id]
        self._free.release()
        error = None if task.cancelled() else task.exception()
        if error is None:
            self._jobs.delivery_due.set()
        else:  # the table cannot be written; it is not tried again before it has changed
            log.error("what became of a delivery could not be kept", exc_info=error)

    async def _deliver(self, job: Job) -> None:
        delivery = dict(job.delivery or {})
        form = self.forms[delivery["dialect"]]
        reason = await self._attempt(form.body(job), delivery)
        if reason is None:
            await self._jobs.record_delivery(job, delivery, None)
            return
        failed = delivery.get("failed", 0)
        due = time.time() + form.waits[failed] if failed < len(form.waits) else None
        log.warning("the receiver of job %s could not be told, %d times now: %s", job.id, failed + 1, reason)
        await self._jobs.record_delivery(job, {**delivery, "failed": failed + 1, "reason": reason}, due)

    async def _attempt(self, body: bytes, delivery: Mapping[str, object]) -> str | None:
        """Try once; return the reason why it failed, in pyannoteAI's words."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._send(delivery, body)
        except TimeoutError:
            return "http_timeout"
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return "ssl_error"
        except (aiohttp.ClientConnectionError, ConnectionError, fetcher.FetchError):
            return "connection_failed"
        except Exception:
            log.exception("a delivery failed")
            return "unknown_error"

    async def _send(self, delivery: Options, body: bytes) -> str | None:
        allowed = self._settings.allow_webhook
        if self._session is None:
            self._session = fetcher.open_public_session(allowed)
        url = URL(delivery["url"])
        for _ in range(_REDIRECTS + 1):
            if check_target(delivery["dialect"], str(url), allowed) is not None:
                return "connection_failed"
            request = self._session.request(
                delivery["method"], url, data=body, headers=self._headers(delivery, body), allow_redirects=False
            )
            async with request as response:
                if response.status in _LOCATION and "Location" in response.headers:
                    url = url.join(URL(response.headers["Location"]))
                    continue
                return None if 200 <= response.status < 300 else "http_error"
        return "too_many_redirects"

    def _headers(self, delivery: Options, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "diarnb"}
        if delivery["dialect"] == "deepgram":
            return {**headers, "dg-token": delivery["token"]}
        headers["X-Request-Timestamp"] = now = f"{time.time():.0f}"
        if self._settings.webhook_secret is not None:
            secret, signed = self._settings.webhook_secret.encode(), b"v0:" + now.encode() + b":" + body
            headers["X-Signature"] = hmac.new(secret, signed, hashlib.sha256).hexdigest()
        if delivery.get("failed"):
            headers |= {"x-retry-num": f"{delivery['failed']}", "x-retry-reason": delivery["reason"]}
        return headers
