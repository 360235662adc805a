"""The one door to the network for the cloud engines: retries, deadlines, certainty and redaction.

A `Service` is a provider at its origin, with a key; `Service.request` is one logical call. Every operation is of a
`Kind`, which decides what may be done again:

- ``READ`` and ``WRITE`` (idempotent) are repeated after any failure that may pass;
- ``BILLED`` is repeated only where it is certain that the service did not carry it out: the request never left as a
  whole, or the answer is 429. After every other failure the error that is raised has ``uncertain=True``, and what to
  do about it is the ledger's business.

Whether a request left as a whole is known from its body, which is counted as it is handed over, and from the trace of
the transport; in doubt it did. Each request has a connection of its own: there is no pool to run dry, no kept
connection that closes under a request, nothing that a fork or another thread could share. A body is opened anew for
each attempt. Beside the timeout for each step there is a deadline for the whole exchange, for a server that drips bytes
satisfies every step. Nothing is redirected, no proxy password or query of an address is shown, and the library behind
this module shows in none of its names: what is raised is of `diarnb.errors`.
"""

from __future__ import annotations

import asyncio
import functools
import json as jsonlib
import logging
import time
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from diarnb.engines.cloud import replies as _replies
from diarnb.engines.cloud.exchange import Body as Body
from diarnb.engines.cloud.exchange import Exchange, make_client
from diarnb.engines.cloud.exchange import Pace as Pace
from diarnb.engines.cloud.exchange import peek as peek
from diarnb.engines.cloud.keys import Secret
from diarnb.engines.cloud.replies import Reply as Reply  # noqa: TC001 (others import it from here)
from diarnb.errors import ApiError, ApiTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from diarnb._types import Options


log: logging.Logger = logging.getLogger("diarnb")

_PASSING = {408, 425, 429, 500, 502, 503, 504, *range(520, 525)}
_AT_ONCE = 10  # requests to one origin; the others wait, with a file or a socket less open
_LONGEST_WAIT = 120.0  # seconds that a service may ask us to wait within one call


class Kind(Enum):
    """What an operation costs if it is done twice."""

    READ = "read"
    WRITE = "write"  # doing it twice is the same as doing it once
    BILLED = "billed"


class _Budget:
    """Retries that one process spends on one origin, so that a dead service is not asked 1,500 times in a batch."""

    def __init__(self) -> None:
        self.tokens = self.full = 50

    def take(self, cost: int) -> bool:
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def refund(self, cost: int) -> None:
        self.tokens = min(self.full, self.tokens + cost)


@functools.cache
def _places(origin: str, loop: int) -> asyncio.Semaphore:  # noqa: ARG001 (for each origin, on each loop)
    return asyncio.Semaphore(_AT_ONCE)


@functools.cache
def _budget(origin: str) -> _Budget:  # noqa: ARG001 (one for each)
    return _Budget()


class Service:
    """A provider, as far as requests go.

    Parameters
    ----------
    name : str
        For messages.
    origin : str
        As `addresses.find_origin` gives it.
    key : Secret
    scheme : str, default "Bearer"
        The word before the key in the header; empty for none.
    pace : Pace, optional

    """

    def __init__(
        self, name: str, origin: str, key: Secret, *, scheme: str = "Bearer", pace: Pace | None = None
    ) -> None:
        self.name: str = name
        self.origin: str = origin
        self.key: Secret = key
        self.scheme: str = scheme
        self.pace: Pace = pace or Pace()
        self._budget = _budget(origin)

    def hurry(self) -> Service:
        """Return the same service, asked once and not for long: for what is good to know and not needed."""
        pace = replace(self.pace, attempts=1, read=min(self.pace.read, 10.0))
        return Service(self.name, self.origin, self.key, scheme=self.scheme, pace=pace)

    async def request(
        self,
        method: str,
        path: str | Secret,
        *,
        kind: Kind,
        query: Options | list[tuple[str, str]] | None = None,
        json: object = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        read: float | None = None,
        within: float | None = None,
        before: Callable[[], object] | None = None,
        elsewhere: Callable[[Reply], bool] | None = None,
    ) -> Reply:
        """Do one logical call.

        Parameters
        ----------
        method, path : str
            The path begins with a slash. A whole address (a pre-signed one), wrapped as a secret, gets no key.
        kind : Kind
            What may be repeated.
        query, json, body, headers : optional
            What is sent; `json` and `body` exclude each other.
        read : float, optional
            Seconds to wait for each piece of the answer, by default the pace's.
        within : float, optional
            Seconds for each attempt, from when the body has been handed over; by default four times `read`.
        before : callable, optional
            Called before each attempt, when nothing of it has left: what is to be on disk by then. What it raises ends
            the call.
        elsewhere : callable, optional
            Whether an answer shows that a billed request never came as far as the service.

        Returns
        -------
        Reply
            Of status 2xx, complete, and not yet parsed.

        Raises
        ------
        ApiError
            With ``uncertain=True`` if it is billed and may have been carried out.
        AudioError
            The body could not be read, or is not as long as was said.
        """
        if json is not None:
            body = _json_body(json)
        own = not isinstance(path, Secret)
        url = Secret(f"{self.origin}{path}", "") if isinstance(path, str) else path
        make_client(url.reveal())  # raises where no request could leave, before `before` notes that one does
        began = time.monotonic()
        spent = 0  # tokens, given back on success
        most = self.pace.billed_attempts if kind is Kind.BILLED else self.pace.attempts
        attempt = 0
        while True:
            attempt += 1
            if before is not None:
                before()
            named = {"x-diarnb-retry-count": str(attempt - 1)} if own else {}
            key = (self.scheme, self.key) if own else None
            exchange = Exchange(self.name, self.pace, method, url, key, query, body, {**named, **(headers or {})})
            exchange.secrets.append(self.key)
            exchange.elsewhere = elsewhere
            failure, wait = await self._attempt(exchange, kind, read or self.pace.read, within)
            if failure is None:
                self._budget.refund(spent or 1)
                assert exchange.reply is not None  # noqa: S101
                return exchange.reply
            cost = 10 if isinstance(failure, ApiTimeoutError) else 5
            delay = self.pace.backoff(attempt) if wait is None else wait
            late = time.monotonic() + delay - began > self.pace.within + _upload_time(exchange)
            if not exchange.again or attempt >= most or late or delay > _LONGEST_WAIT or not self._budget.take(cost):
                raise failure
            spent += cost
            log.debug("%s: attempt %d failed, again in %.1f s", self.name, attempt, delay)
            await asyncio.sleep(delay)

    async def _attempt(
        self, exchange: Exchange, kind: Kind, read: float, within: float | None
    ) -> tuple[ApiError | None, float | None]:
        """Try once; return what failed, if anything, and how long the service asked us to wait."""
        wait = None
        failure: ApiError | None = None
        try:
            async with _places(self.origin, id(asyncio.get_running_loop())):
                reply = await exchange.run(read, within or 4 * read)
            failure = _replies.failure(reply, self.key)
            exchange.again = failure is not None and reply.status in _PASSING
            wait = _replies.wait(reply)
        except ApiError as error:
            failure = error
        if failure is not None and kind is Kind.BILLED:
            failure.uncertain = exchange.maybe_executed()
            exchange.again = exchange.again and not failure.uncertain
        return failure, wait


def _json_body(value: object) -> Body:
    content = jsonlib.dumps(value, allow_nan=False).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    return Body(pieces, len(content), "application/json")


def _upload_time(exchange: Exchange) -> float:
    """Seconds that sending may take at 50 kB/s, which count as no delay."""
    return exchange.body.size / 50_000 if exchange.body is not None else 0.0
