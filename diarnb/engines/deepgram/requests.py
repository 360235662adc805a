"""One request that is billed, and its answer, which exists only once.

The service keeps no transcript: what it answers is in the response, or lost. So the ledger is told before a request
leaves, and again before its last byte does; a request that may have been carried out is not sent again unless the user
says so, and an answer is on disk before anybody looks at it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diarnb._text import shorten
from diarnb.engines.cloud.billing import content_body
from diarnb.engines.cloud.paid_jobs import check_damage
from diarnb.engines.cloud.replies import Reply
from diarnb.engines.cloud.service import Kind
from diarnb.engines.deepgram.usage import is_page, look_at_usage, never_arrived
from diarnb.errors import AnswerLostError, ApiError, ApiResponseError, JobAcceptedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from diarnb._types import Json
    from diarnb.audio.content import Content
    from diarnb.engines.cloud.service import Body, Service
    from diarnb.engines.deepgram.usage import Finding
    from diarnb.store.ledger import Ledger, Submission

ENDPOINT = "/v1/listen"

_TRIES = 3  # times that one call pays where the user has said that lost answers are to be paid again


@dataclass(frozen=True)
class RequestOrder:
    """What is wanted.

    Attributes
    ----------
    submission : Submission
        As it is written if the ledger has none with its key.
    query : list of (str, str)
    patience : float
        Seconds to wait for the answer after the last byte has left.
    url : str or None
        Of a recording that the service fetches by itself.
    content : Content or None
        Else what to send, whose SHA-256 is `expected`, where that is known.
    called_back : bool
        Whether the answer goes to a callback.
    rebill : bool
        Whether a lost answer is to be paid again.
    """

    submission: Submission
    query: list[tuple[str, str]]
    patience: float
    url: str | None = None
    content: Content | None = None
    expected: str | None = None
    called_back: bool = False
    rebill: bool = False


class PaidRequests:
    """Does orders.

    Parameters
    ----------
    service : Service
    ledger : Ledger
    report : callable
        Given the stage in words and a fraction, 0-1.
    """

    def __init__(self, service: Service, ledger: Ledger, report: Callable[[str, float], None]) -> None:
        self._service, self._ledger, self._report = service, ledger, report

    async def fetch_or_ask(self, order: RequestOrder) -> tuple[Submission, Json]:
        """Read an answer from the ledger, or send the request that is billed.

        Returns
        -------
        tuple
            The row of the ledger, which holds the answer until the run is in the store, and the answer.

        Raises
        ------
        AnswerLostError
            A request may have been carried out, now or earlier, and its answer did not come.
        JobAcceptedError
            The answer goes to the callback.
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
            check_damage(self._ledger, order.submission.source, resubmit=order.rebill)
            for attempt in range(1, _TRIES + 1):
                row = self._ledger.prepare(replace(order.submission, id=secrets.token_hex(6)))
                try:
                    return await self._ask(row, order)
                except AnswerLostError:
                    if not order.rebill or attempt == _TRIES:
                        raise
                self._ledger.close(row.id)
            raise AssertionError  # not reached: the last attempt returns or raises

    async def _find_known_answer(self, row: Submission, order: RequestOrder) -> tuple[Submission, Json] | None:
        """Find the answer that the ledger has; None to ask (anew), for which the row makes room."""
        content = self._ledger.answer(row) if row.state in ("succeeded", "kept", "uncertain") else None
        if content is not None:
            reply = Reply(200, {}, content, self._service.name)
            if row.state != "uncertain":
                return row, reply.json()
            try:  # it was written, and then this process died, or it cannot be understood
                return await self._archive_answer(row, reply, order)
            except AnswerLostError:
                if not order.rebill:
                    raise
        if row.state == "accepted" and not order.rebill:
            raise _make_accepted_error(row, "was accepted earlier")
        if row.state in ("sent", "uncertain", "succeeded", "kept") and not order.rebill and not _incomplete(row):
            self._ledger.change(row, state="uncertain")
            why = "an earlier call sent it" if row.answer is None else "it was paid for, and is damaged on disk"
            finding = await self._look_at_usage(row)
            if finding.billed is not False:
                raise _make_lost_error(row, why, finding.said)
        self._ledger.close(row.id)
        return None

    async def _ask(self, row: Submission, order: RequestOrder) -> tuple[Submission, Json]:
        def leaving() -> None:
            nonlocal row
            row = self._ledger.change(row, state="sent", sent_at=time.time() if order.content is None else None)

        def complete() -> None:
            nonlocal row
            row = self._ledger.change(row, sent_at=time.time())

        body = None if order.content is None else self._body(order.content, order.expected, complete)
        try:
            reply = await self._service.request(
                "POST",
                ENDPOINT,
                kind=Kind.BILLED,
                query=order.query,
                json=None if order.url is None else {"url": order.url},
                body=body,
                read=order.patience,
                within=order.patience,
                before=leaving,
                elsewhere=never_arrived,
            )
        except ApiError as error:
            if error.uncertain:
                sent = row.sent_at or time.time()
                row = self._ledger.change(row, state="uncertain", sent_at=sent, job_id=error.request_id)
                finding = await self._look_at_usage(row)
                if finding.billed is not False:
                    raise _make_lost_error(row, str(error).rstrip("."), finding.said, error) from error
                error.uncertain = False
                error.args = (f"{error}{finding.said}",)
            self._ledger.close(row.id)  # it is certain that nothing was done
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            if _incomplete(row):
                self._ledger.close(row.id)
            raise
        except Exception:  # the recording, or the store
            if row.state != "sent" or _incomplete(row):
                self._ledger.close(row.id)
            raise
        if reply.request_id is None and is_page(reply):
            self._ledger.close(row.id)
            raise reply.unlike("this page is not Deepgram's, which did not get the recording and bills nothing")
        return await self._archive_answer(row, reply, order)

    async def _archive_answer(self, row: Submission, reply: Reply, order: RequestOrder) -> tuple[Submission, Json]:
        """Write an answer as it came, then look at it."""
        row = self._ledger.archive(row, reply.body, state="uncertain", job_id=reply.request_id or row.job_id)
        try:
            answer = reply.json()
            if order.called_back:
                row = self._ledger.change(row, state="accepted", job_id=_request_id(answer, reply))
                raise _make_accepted_error(row, "is accepted")
            if not isinstance(answer.get("results"), dict):
                raise reply.unlike("it holds no results")
        except ApiResponseError as error:
            finding = await self._look_at_usage(row)
            raise _make_lost_error(row, str(error).rstrip("."), finding.said, error) from error
        metadata = answer.get("metadata")
        facts = metadata if isinstance(metadata, dict) else {}
        row = self._ledger.change(
            row,
            state="succeeded",
            job_id=_text(facts.get("request_id")) or row.job_id,
            billed_seconds=billed_seconds(answer),
        )
        self._report("done", 1.0)
        return row, answer

    async def _look_at_usage(self, row: Submission) -> Finding:
        return await look_at_usage(self._service, row, row.job_id, self._ledger.known_jobs() - {row.job_id})

    def _body(self, content: Content, expected: str | None, complete: Callable[[], None]) -> Body:
        """Make the recording a body that tells when its last bytes are about to leave."""
        body = content_body(
            content, expected, lambda part: self._report(*_stage(part)), type="application/octet-stream"
        )

        async def pieces() -> AsyncIterator[bytes]:
            left = body.size
            async for piece in body.open():
                left -= len(piece)
                if left <= 0:
                    complete()
                yield piece

        return replace(body, open=pieces)


def _stage(part: float) -> tuple[str, float]:
    return ("sending", 0.5 * part) if part < 1 else ("waiting for the answer", 0.5)


def _incomplete(row: Submission) -> bool:
    """Return whether the request never left as a whole, so that it cannot have been carried out."""
    return row.state in ("prepared", "sent") and row.sent_at is None


def _request_id(answer: Json, reply: Reply) -> str:
    found = _text(answer.get("request_id"))
    if found is None:
        raise reply.unlike("it was to call back, and it holds no request_id")
    return found


def _text(value: object) -> str | None:
    return value[:128] if isinstance(value, str) and value.strip() else None


def billed_seconds(answer: Json) -> float | None:
    """Compute the seconds that are billed: those of the recording, for each channel that was transcribed by itself."""
    metadata, results = answer.get("metadata"), answer.get("results")
    duration = metadata.get("duration") if isinstance(metadata, dict) else None
    channels = results.get("channels") if isinstance(results, dict) else None
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        return None
    return float(duration) * max(1, len(channels) if isinstance(channels, list) else 1)


def _make_lost_error(row: Submission, why: str, usage: str, error: ApiError | None = None) -> AnswerLostError:
    """Make the error for a request that may be billed; it tells whether the service or something else answered."""
    foreign = error is not None and error.status > 0 and error.request_id is None
    whose = "; that answer bears no request id, so it is not Deepgram's" if foreign else ""
    return AnswerLostError(
        f"the answer for {shorten(row.source, 60)} is lost ({shorten(why, 120)}{whose}). Deepgram may have done "
        f"the work, and bills it, and keeps no transcript.{usage} Nothing is sent again unasked: resubmit=True pays "
        "once more; callback='https://...' has the next one delivered.",
        request_id=None if error is None else error.request_id,
    )


def _make_accepted_error(row: Submission, how: str) -> JobAcceptedError:
    return JobAcceptedError(
        f"the request {row.job_id} for {shorten(row.source, 80)} {how}: Deepgram sends its answer to the callback, "
        "and diarnb cannot fetch it. diarnb.cloud.from_payload(body) makes the table of what is delivered.",
        job_id=row.job_id or "",
        request_id=row.job_id,
    )
