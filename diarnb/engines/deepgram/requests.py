"""How Deepgram is asked: one request that is billed, whose answer exists once (`engines.cloud.paid_requests`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb._text import shorten
from diarnb.engines.cloud.service import Kind
from diarnb.engines.deepgram.usage import is_page, look_at_usage, never_arrived
from diarnb.errors import JobAcceptedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json
    from diarnb.engines.cloud.paid_jobs import Order
    from diarnb.engines.cloud.paid_requests import Finding
    from diarnb.engines.cloud.replies import Reply
    from diarnb.engines.cloud.service import Body, Service
    from diarnb.store.ledger import Submission

ENDPOINT = "/v1/listen"

_PROCESSING = 660.0  # seconds: the service gives up after ten minutes, and says so


class DeepgramRequests:
    """The service, as `PaidRequests` asks it; an order's request has its ``query``, pairs of text.

    Parameters
    ----------
    service : Service
    """

    name = "Deepgram"
    advice = "; callback='https://...' has the next one delivered"

    def __init__(self, service: Service) -> None:
        self._service = service

    async def send(self, order: Order, body: Body | None, before: Callable[[], object]) -> Reply:
        """Send the one request that is billed."""
        patience = order.timeout or max(_PROCESSING, 0.5 * (order.submission.about.duration or 0.0))
        reply = await self._service.request(
            "POST",
            ENDPOINT,
            kind=Kind.BILLED,
            query=order.request["query"],
            json=None if order.url is None else {"url": order.url},
            body=body,
            read=patience,
            within=patience,
            before=before,
            elsewhere=never_arrived,
        )
        if reply.request_id is None and is_page(reply):
            raise reply.unlike("this page is not Deepgram's, which did not get the recording and bills nothing")
        return reply

    def read(self, row: Submission, order: Order, reply: Reply) -> Json:
        """Read what the ledger keeps beside the answer."""
        answer = reply.json()
        if any(name == "callback" for name, _ in order.request["query"]):
            if (request_id := _text(answer.get("request_id"))) is None:
                raise reply.unlike("it was to call back, and it holds no request_id")
            return {"state": "accepted", "job_id": request_id}
        if not isinstance(answer.get("results"), dict):
            raise reply.unlike("it holds no results")
        metadata = answer.get("metadata")
        told = _text(metadata.get("request_id")) if isinstance(metadata, dict) else None
        return {"state": "succeeded", "job_id": told or row.job_id, "billed_seconds": billed_seconds(answer)}

    def accept(self, row: Submission, *, earlier: bool) -> JobAcceptedError:
        """Return the error that tells that the answer goes to the callback."""
        how = "was accepted earlier" if earlier else "is accepted"
        return JobAcceptedError(
            f"the request {row.job_id} for {shorten(row.source, 80)} {how}: Deepgram sends its answer to the callback, "
            "and diarnb cannot fetch it. diarnb.cloud.from_payload(body) makes the table of what is delivered.",
            job_id=row.job_id or "",
            request_id=row.job_id,
        )

    async def look_up(self, row: Submission, known: set[str]) -> Finding:
        """Look at the lists of usage."""
        return await look_at_usage(self._service, row, row.job_id, known)


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
