"""How pyannoteAI is asked, so that `PaidJobs` can pay for each job once: uploads, submissions, its list, its jobs."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from diarnb._text import printable, public_url, shorten
from diarnb.engines.cloud.addresses import is_loopback
from diarnb.engines.cloud.billing import content_body
from diarnb.engines.cloud.keys import Secret
from diarnb.engines.cloud.paid_jobs import AcceptedJob, ListedJob, Result, check_job_id
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind
from diarnb.engines.pyannoteai.answers import last_end
from diarnb.engines.pyannoteai.polling import Poller, get_job, list_jobs
from diarnb.errors import (
    ApiError,
    JobCanceledError,
    JobExpiredError,
    JobFailedError,
    JobTimeoutError,
    PermissionDeniedError,
    UploadExpiredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json
    from diarnb.engines.cloud.paid_jobs import Order, Waits
    from diarnb.engines.cloud.service import Reply, Service
    from diarnb.store.ledger import Submission

LEAST_BILLED = 20.0
"""Seconds that a job costs at least."""

KEPT = 24 * 3600.0
"""Seconds that results are kept; uploads at least as long."""

_ADDRESSES = 3  # signed addresses that are tried for one upload
_SLACK = 60.0  # seconds by which a result may be deleted early
_EMPTY = 5  # looks at a job that is done and has no output yet, with growing pauses
_MEDIA = ("url", "mediaUrl", "source", "media")  # where a list may show a job's audio; the documents show none


class PyannoteAIJobs:
    """The service, as `PaidJobs` asks it.

    Parameters
    ----------
    service : Service
    waits : Waits
    """

    name = "pyannoteAI"
    kept = KEPT

    def __init__(self, service: Service, waits: Waits) -> None:
        self._service, self._waits = service, waits

    def media_address(self, content_hash: str) -> str:
        """Name an upload by its content, so that the same audio is sent once."""
        return f"media://diarnb/{content_hash}"

    async def upload(self, order: Order, media: str | None, report: Callable[[str, float], None]) -> str:
        """Send the audio to where the service reads it."""
        assert order.content is not None  # noqa: S101
        assert media is not None  # noqa: S101
        expected = order.content_hash if order.exact else None
        body = content_body(order.content, expected, lambda part: report("uploading", 0.3 * part))
        for _ in range(_ADDRESSES):
            reply = await self._service.request("POST", "/v1/media/input", kind=Kind.WRITE, json={"url": media})
            target = self._find_upload_address(reply)
            try:
                await self._service.request("PUT", target, kind=Kind.WRITE, body=body, within=self._waits.submit)
            except PermissionDeniedError as error:
                expired = error
                continue
            return media
        raise UploadExpiredError(
            f"{shorten(order.submission.source, 80)} could not be uploaded: the address that pyannoteAI gave was "
            f"refused {_ADDRESSES} times as expired. Nothing was submitted. Check this machine's clock, then try again."
        ) from expired

    def _find_upload_address(self, reply: Reply) -> Secret:
        """Take the signed address from an answer; it must be a secure one."""
        url = str(reply.json().get("url"))
        try:
            parts = urlsplit(url)
            near = parts.scheme == "http" and is_loopback(url) and is_loopback(self._service.origin)
        except ValueError:
            parts, near = urlsplit(""), False
        if not parts.hostname or parts.username is not None or not (parts.scheme == "https" or near):
            shown = shorten(printable(public_url(url)), 80)
            raise reply.unlike(f"the address to upload to is {shown!r}, which is not a secure one")
        return Secret(url, "")

    async def submit_job(self, row: Submission, order: Order, before: Callable[[], object]) -> AcceptedJob:
        """Send the one request that is billed."""
        body = {"url": order.url or row.media, **order.request}
        reply = await self._service.request(
            "POST", row.endpoint, kind=Kind.BILLED, json=body, within=self._waits.submit, before=before
        )
        try:
            job = reply.json()
            said = job.get("warning")
            return AcceptedJob(
                check_job_id(job.get("jobId"), self.name), quote_service(said) if isinstance(said, str) else None
            )
        except ApiError as error:
            error.uncertain = True  # there is a job, but who knows which
            raise

    async def list_jobs(self, cursor: str | None) -> tuple[list[ListedJob], str | None]:
        """Read a page of the team's job list, newest first."""
        items, following = await list_jobs(self._service, cursor)
        return [
            ListedJob(item["id"], _find_media(item), item.get("createdAt"), item.get("status")) for item in items
        ], following

    async def check_job(self, job_id: str) -> None:
        """Raise where the service knows no such job."""
        await get_job(self._service, job_id, "of another recording")

    async def collect(self, row: Submission, timeout: float | None, report: Callable[[str, float], None]) -> Result:
        """Wait until a job has ended, and take its answer."""
        job_id, name = check_job_id(row.job_id, self.name), shorten(row.source, 80)
        reply, job = await Poller.of(self._service).wait_for_end(
            self._service, job_id, name, self._waits.poll, timeout, lambda status: report(status, 0.4)
        )
        pause = self._waits.first_look
        for _ in range(_EMPTY):  # what is done may be written a moment later
            if job["status"] != "succeeded" or isinstance(job.get("output"), dict) or _is_deleted(row, reply, job):
                break
            await asyncio.sleep(pause)
            pause *= 2
            reply, job = await get_job(self._service, job_id, name)
        output = job.get("output")
        if job.get("status") == "succeeded" and isinstance(output, dict):
            duration = row.about.duration
            unknown = row.endpoint == "/v1/voiceprint" or duration is None
            billed = None if unknown else max(LEAST_BILLED, float(duration or 0.0))
            done = _read_time(job.get("updatedAt")) or reply.time() or time.time()
            return Result(reply.body, last_end(job) if row.adopted else 0.0, done, billed)
        raise _make_job_error(row, reply, job)


def _make_job_error(row: Submission, reply: Reply, job: Json) -> ApiError:
    """Make the error for a job that has ended, or so it says, without a result."""
    job_id, name, output = str(row.job_id), shorten(row.source, 80), job.get("output")
    if job.get("status") == "succeeded" and _is_deleted(row, reply, job):
        return JobExpiredError(
            f"job {job_id} ({name}) is done, but pyannoteAI has deleted its result, as it does after 24 h. "
            f"diarnb.resume({job_id!r}) asks for it again; resubmit=True submits it again, and is billed again.",
            job_id=job_id,
        )
    if job.get("status") not in ("failed", "canceled"):
        return JobTimeoutError(
            f"job {job_id} ({name}) is done, and pyannoteAI does not give its result yet. Nothing is lost. "
            f"Continue with diarnb.resume({job_id!r})",
            job_id=job_id,
        )
    said = output.get("error") if isinstance(output, dict) else None
    reason = quote_service(said, 150) if isinstance(said, str) and said.strip() else "no reason given"
    if job["status"] == "failed" and row.media is None:
        reason += ". Is the address public and direct, without a page in between?"
    kind, what = (JobFailedError, "failed") if job["status"] == "failed" else (JobCanceledError, "was canceled")
    return kind(
        f"job {job_id} ({name}) {what} at pyannoteAI: {reason}; it is not billed. Run the cell again to submit it "
        "anew.",
        job_id=job_id,
    )


def _is_deleted(row: Submission, reply: Reply, job: Json) -> bool:
    """Return whether a result is so old that the service has deleted it; by the service's own clock, where it tells."""
    done, now = _read_time(job.get("updatedAt")), reply.time()
    age = now - done if done is not None and now is not None else time.time() - row.created
    return age > KEPT - _SLACK


def _find_media(item: Json) -> str | None:
    shown = (item.get(name) for name in _MEDIA)
    return next((each for each in shown if isinstance(each, str) and "://" in each), None)


def _read_time(text: object) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except ValueError:
        return None
