"""Pay once for an answer that exists only once: for every service that answers at once, and keeps nothing.

What such a service answers is in its response, or lost: no job can be looked up. So the ledger is told before a request
leaves, and again before its last byte does; a request that may have been carried out is not sent again unless the user
says so (``resubmit=True``), and an answer is on disk before anybody looks at it. An engine author says how the service
is asked by a small class, as `RequestService` has it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from diarnb._text import shorten
from diarnb.engines.cloud.billing import content_body
from diarnb.engines.cloud.paid_jobs import check_damage
from diarnb.engines.cloud.replies import Reply
from diarnb.errors import AnswerLostError, ApiError, ApiResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json
    from diarnb.engines.cloud.paid_jobs import Order, Report
    from diarnb.engines.cloud.service import Body
    from diarnb.store.ledger import Ledger, Submission

_TRIES = 3  # times that one call pays where the user has said that lost answers are to be paid again


@dataclass(frozen=True)
class Finding:
    """What is known of a request whose answer was lost.

    Attributes
    ----------
    billed : bool or None
        None where it is not known.
    said : str
        A sentence to follow another, or nothing.
    """

    billed: bool | None
    said: str = ""


class RequestService(Protocol):
    """What `PaidRequests` asks of a service; one for each call of the engine, with the user's key."""

    name: str
    """The service's name, for messages."""

    advice: str
    """How the next answer is not lost: a clause to follow another, or nothing."""

    async def send(self, order: Order, body: Body | None, before: Callable[[], object]) -> Reply:
        """Send the one request that is billed, as `Kind.BILLED`, with `before`; `Order.url` where there is no body.

        Raises an `ApiError` where the answer is that of something in between, which carried nothing out.
        """
        ...

    def read(self, row: Submission, order: Order, reply: Reply) -> Json:
        """Read what the ledger keeps of an answer beside it: ``state``, ``job_id``, ``billed_seconds``.

        Raises `ApiResponseError` where it is not the answer that was paid for.
        """
        ...

    def accept(self, row: Submission, *, earlier: bool) -> ApiError:
        """Return the error that tells that the answer to a request in the state "accepted" goes elsewhere."""
        ...

    async def look_up(self, row: Submission, known: set[str]) -> Finding:
        """Find out whether a request whose answer was lost was billed; `known` are the ids of others."""
        ...


class PaidRequests:
    """Fetches what was ordered from the ledger, and asks for it where it never was.

    Parameters
    ----------
    vendor : RequestService
    ledger : Ledger
    report : callable
        Given the stage in words and a fraction, 0-1.
    """

    def __init__(self, vendor: RequestService, ledger: Ledger, report: Report) -> None:
        self._vendor, self._ledger, self._report = vendor, ledger, report

    async def fetch_or_submit(self, order: Order) -> Submission:
        """Ask once; return a submission whose answer is in the ledger.

        Raises
        ------
        AnswerLostError
            A request may have been carried out, now or earlier, and its answer did not come.
        JobAcceptedError
            The answer goes elsewhere.
        ApiError
            The service refuses, or cannot be reached; nothing is billed.
        AudioError
            The recording could not be sent.
        """
        # Held for one recording and one wish: whoever wants the same waits, and finds the answer.
        async with self._ledger.sending(order.submission.engine, order.submission.key):
            row = self._ledger.find(order.submission.key)
            if row is not None and (known := await self._find_known_answer(row, order)) is not None:
                return known
            check_damage(self._ledger, order.submission.source, resubmit=order.resubmit)
            for attempt in range(1, _TRIES + 1):
                row = self._ledger.prepare(replace(order.submission, id=secrets.token_hex(6)))
                try:
                    return await self._ask(row, order)
                except AnswerLostError:
                    if not order.resubmit or attempt == _TRIES:
                        raise
                self._ledger.close(row.id)
            raise AssertionError  # not reached: the last attempt returns or raises

    async def _find_known_answer(self, row: Submission, order: Order) -> Submission | None:
        """Find the answer that the ledger has; None to ask (anew), for which the row makes room."""
        content = self._ledger.answer(row) if row.state in ("succeeded", "kept", "uncertain") else None
        if content is not None:
            if row.state != "uncertain":
                return row
            try:  # it was written, and then this process died, or it cannot be understood
                return await self._archive_answer(row, Reply(200, {}, content, self._vendor.name), order)
            except AnswerLostError:
                if not order.resubmit:
                    raise
        if row.state == "accepted" and not order.resubmit:
            raise self._vendor.accept(row, earlier=True)
        if row.state in ("sent", "uncertain", "succeeded", "kept") and not order.resubmit and not _is_incomplete(row):
            self._ledger.change(row, state="uncertain")
            why = "an earlier call sent it" if row.answer is None else "it was paid for, and is damaged on disk"
            finding = await self._look_up(row)
            if finding.billed is not False:
                raise self._make_lost_error(row, why, finding.said)
        self._ledger.close(row.id)
        return None

    async def _ask(self, row: Submission, order: Order) -> Submission:
        def leaving() -> None:
            nonlocal row
            row = self._ledger.change(row, state="sent", sent_at=time.time() if order.content is None else None)

        def complete() -> None:
            nonlocal row
            row = self._ledger.change(row, sent_at=time.time())

        try:
            reply = await self._vendor.send(order, self._body(order, complete), leaving)
        except ApiError as error:
            if error.uncertain:
                sent = row.sent_at or time.time()
                row = self._ledger.change(row, state="uncertain", sent_at=sent, job_id=error.request_id)
                finding = await self._look_up(row)
                if finding.billed is not False:
                    raise self._make_lost_error(row, str(error).rstrip("."), finding.said, error) from error
                error.uncertain = False
                error.args = (f"{error}{finding.said}",)
            self._ledger.close(row.id)  # it is certain that nothing was done
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            if _is_incomplete(row):
                self._ledger.close(row.id)
            raise
        except Exception:  # the recording, or the store
            if row.state != "sent" or _is_incomplete(row):
                self._ledger.close(row.id)
            raise
        return await self._archive_answer(row, reply, order)

    async def _archive_answer(self, row: Submission, reply: Reply, order: Order) -> Submission:
        """Write an answer as it came, then look at it."""
        row = self._ledger.archive(row, reply.body, state="uncertain", job_id=reply.request_id or row.job_id)
        try:
            row = self._ledger.change(row, **self._vendor.read(row, order, reply))
        except ApiResponseError as error:
            finding = await self._look_up(row)
            raise self._make_lost_error(row, str(error).rstrip("."), finding.said, error) from error
        if row.state == "accepted":
            raise self._vendor.accept(row, earlier=False)
        self._report("done", 1.0)
        return row

    async def _look_up(self, row: Submission) -> Finding:
        return await self._vendor.look_up(row, self._ledger.known_jobs() - {row.job_id or ""})

    def _body(self, order: Order, complete: Callable[[], None]) -> Body | None:
        """Make the recording a body that tells when its last bytes are about to leave."""
        if order.content is None:
            return None
        expected = order.content_hash if order.exact else None
        kind = "application/octet-stream"
        return content_body(
            order.content, expected, lambda part: self._report(*_stage(part)), complete=complete, type=kind
        )

    def _make_lost_error(self, row: Submission, why: str, usage: str, error: ApiError | None = None) -> AnswerLostError:
        """Make the error for a request that may be billed; it tells whether the service or something else answered."""
        foreign = error is not None and error.status > 0 and error.request_id is None
        name = self._vendor.name
        whose = f"; that answer bears no request id, so it is not {name}'s" if foreign else ""
        return AnswerLostError(
            f"the answer for {shorten(row.source, 60)} is lost ({shorten(why, 120)}{whose}). {name} may have done the "
            f"work, and bills it, and keeps no transcript.{usage} Nothing is sent again by itself: resubmit=True pays "
            f"once more{self._vendor.advice}.",
            request_id=None if error is None else error.request_id,
        )


def _stage(part: float) -> tuple[str, float]:
    return ("sending", 0.5 * part) if part < 1 else ("waiting for the answer", 0.5)


def _is_incomplete(row: Submission) -> bool:
    """Return whether the request never left as a whole, so that it cannot have been carried out."""
    return row.state in ("prepared", "sent") and row.sent_at is None
