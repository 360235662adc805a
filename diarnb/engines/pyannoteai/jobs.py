"""From a recording to a finished job, paid once: upload, submit, reconcile, wait.

The ledger is asked first and told first. Whatever ends this process, the next call with the same recording and the
same wishes goes on where the ledger says: it waits for the job, looks for it in the service's list if it may have been
created, and submits only what was certainly not. Uploads are done outside of the right to submit, which only one has at
a time (`Ledger.sending`); so at most one submission of this store is ever between "sent" and "accepted".
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from diarnb._text import printable, public_url, shorten
from diarnb.engines.cloud.addresses import is_loopback
from diarnb.engines.cloud.billing import content_body
from diarnb.engines.cloud.keys import Secret
from diarnb.engines.cloud.service import Kind
from diarnb.engines.pyannoteai.answers import last_end
from diarnb.engines.pyannoteai.polling import Poller, Waits, check_job_id, get_job, list_jobs, parse_answer
from diarnb.errors import (
    ApiError,
    JobCanceledError,
    JobExpiredError,
    JobFailedError,
    PermissionDeniedError,
    SubmissionUncertainError,
    UploadExpiredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb.audio.content import Content
    from diarnb.engines.cloud.service import Reply, Service
    from diarnb.store.ledger import Ledger, Submission

LEAST_BILLED = 20.0
"""Seconds that a job costs at least."""

KEPT = 24 * 3600.0
"""Seconds that results are kept; uploads at least as long."""

_FRESH = 20 * 3600.0  # seconds after which an upload is done again, well before it is deleted
_BEFORE, _AFTER = 3.0, 70.0  # seconds around the sending of a request in which its job was made; a Date is inexact
_TRIES = 5  # submissions that turned out not to have been carried out, within one call
_ADDRESSES = 3  # signed addresses that are tried for one upload
_BEYOND = 0.5  # seconds that the last turn of a job found in the list may end after the recording
_PAGES = 20  # of the job list that are searched


@dataclass(frozen=True)
class JobOrder:
    """What is wanted: a submission to be, and what it needs to leave.

    Attributes
    ----------
    submission : Submission
        As it is written if the ledger has none with its key.
    began : datetime
        When this was wanted; an answer that was delivered before is another one's.
    request : dict
        The body without its ``url``.
    url : str or None
        Of a recording that the service fetches by itself.
    content : Content or None
        Else what to upload, under `content_hash` (its SHA-256 where `exact`).
    """

    submission: Submission
    began: datetime
    request: dict[str, Any]
    url: str | None = field(default=None, repr=False)  # may be signed
    content: Content | None = None
    content_hash: str = ""
    exact: bool = True
    resubmit: bool = False
    timeout: float | None = None


class PaidJobs:
    """Does orders.

    Parameters
    ----------
    service : Service
    ledger : Ledger
    waits : Waits
    report : callable
        Given the stage in words and a fraction, 0-1.
    """

    def __init__(self, service: Service, ledger: Ledger, waits: Waits, report: Callable[[str, float], None]) -> None:
        self._service, self._ledger, self._waits, self._report = service, ledger, waits, report

    async def do(self, order: JobOrder) -> Submission:
        """Upload, submit and wait as far as is needed; return a succeeded submission whose answer is in the ledger.

        Raises
        ------
        ApiError
            What stopped it; the ledger holds how far it came.
        AudioError
            The recording could not be sent.
        """
        row, uploaded = await self._upload_and_submit(order)
        try:
            return await self.result(row, order.timeout)
        except JobFailedError as error:
            # An upload of an earlier call may be gone by now; a failed job is not billed, so once more.
            if uploaded or order.content is None or "load audio" not in str(error):
                raise
        self._ledger.change(row, state="failed", media_at=None)
        row, _ = await self._upload_and_submit(order, fresh=True)
        return await self.result(row, order.timeout)

    async def submit(self, order: JobOrder) -> Submission:
        """Upload and submit as far as is needed; return an accepted submission, without waiting for its job."""
        return (await self._upload_and_submit(order))[0]

    async def claim_job(self, job_id: str, stranger: Submission) -> Submission:
        """Write a job that the ledger does not know to the one row in doubt that it settles, else to a new row."""
        _, job = await get_job(self._service, job_id, "of another recording")
        created = _moment(job.get("createdAt"))
        # By the time that this is its turn, whoever was looking for the job has found it, or not.
        async with self._ledger.sending(stranger.engine, stranger.origin):
            doubtful = [
                row
                for row in self._ledger.of_service(stranger.engine, stranger.origin)
                if row.state in ("sent", "uncertain")
                and created is not None
                and _fits(created, row.sent_at or row.created)
            ]
            if (known := self._ledger.job(job_id)) is not None:
                return known
            if len(doubtful) == 1:
                return self._ledger.change(doubtful[0], state="accepted", job_id=job_id, adopted=True)
            return self._ledger.prepare(stranger)

    async def result(self, row: Submission, timeout: float | None) -> Submission:
        """Wait for an accepted submission, and archive its answer."""
        if row.state == "succeeded":
            return row
        job_id, name = check_job_id(row.job_id), shorten(row.source, 80)
        self._report("waiting", 0.35)
        reply, job = await Poller.of(self._service).wait_for_end(
            self._service, job_id, name, self._waits, timeout, lambda status: self._report(status, 0.4)
        )
        output = job.get("output")
        if job["status"] == "succeeded" and isinstance(output, dict):
            return self._archive_answer(row, reply.body, job)
        if job["status"] == "succeeded":
            self._ledger.change(row, state="expired")
            raise _make_expired_error(row)
        self._ledger.change(row, state=job["status"])
        said = output.get("error") if isinstance(output, dict) else None
        reason = shorten(printable(said), 150) if isinstance(said, str) and said.strip() else "no reason given"
        if job["status"] == "failed" and row.media is None:
            reason += ". Is the address public and direct, without a page in between?"
        kind, what = (JobFailedError, "failed") if job["status"] == "failed" else (JobCanceledError, "was canceled")
        raise kind(
            f"job {job_id} ({name}) {what} at pyannoteAI: {reason}; it is not billed. Run the cell again to submit it "
            "anew.",
            job_id=job_id,
        )

    def _archive_answer(self, row: Submission, body: bytes, job: dict[str, Any]) -> Submission:
        """Archive an answer, then look at it."""
        duration = row.about.duration
        billed = None if row.endpoint == "/v1/voiceprint" or duration is None else max(LEAST_BILLED, float(duration))
        done = _moment(job.get("updatedAt")) or time.time() + self._service.skew
        state = "accepted" if row.adopted else "succeeded"
        row = self._ledger.archive(row, body, state=state, expires=done + KEPT, billed_seconds=billed)
        if row.adopted and duration is not None and last_end(job) > duration + _BEYOND:
            now = self._ledger.get(row.id)
            if now is not None and now.job_id == row.job_id:  # nobody has gone on with it
                self._ledger.change(row, state="uncertain", adopted=False, job_id=None)
            raise self._make_uncertain_error(
                row, [check_job_id(row.job_id)], "and the only candidate is of a longer recording"
            )
        self._report("done", 1.0)
        return row if row.state == "succeeded" else self._ledger.change(row, state="succeeded")

    async def _upload_and_submit(self, order: JobOrder, *, fresh: bool = False) -> tuple[Submission, bool]:
        """Upload and submit what is not yet; return the row, and whether its audio was uploaded just now."""
        uploaded = False
        while True:
            async with self._ledger.sending(order.submission.engine, order.submission.origin):
                row = await self._find_where_it_stands(order)
                if row.state == "prepared" and (order.url or (row.media_at is not None and (uploaded or not fresh))):
                    row = await self._submit_job(row, order)
            if row.state != "prepared":
                return row, uploaded
            row = await self._upload(row, order)
            uploaded = True

    async def _find_where_it_stands(self, order: JobOrder) -> Submission:
        """Find out how things stand: the row to go on with, "prepared", "accepted" or "succeeded"."""
        row = self._ledger.find(order.submission.key)
        if row is not None and row.state == "expired" and not order.resubmit:
            raise _make_expired_error(row)
        if row is not None and order.resubmit and row.state in ("sent", "uncertain", "expired"):
            self._ledger.close(row.id)
            row = None
        if row is not None and row.state == "succeeded" and self._ledger.answer(row) is None:
            row = self._ledger.change(row, state="accepted")  # damaged on disk; the service may still have it
        if row is None and (run := self._ledger.find_delivered_run(order.submission, order.began)) is not None:
            row = self._ledger.prepare(replace(order.submission, job_id=run.job_id, billed_seconds=run.billed_seconds))
            return self._ledger.archive(row, json.dumps(run.raw).encode(), state="succeeded")
        if row is None or row.state in ("failed", "canceled"):
            row = self._ledger.prepare(order.submission)
        if row.state == "prepared" and order.content is not None:
            since = time.time() - _FRESH
            media = f"media://diarnb/{order.content_hash}"
            row = self._ledger.change(row, media=media, media_at=self._ledger.media(row.origin, media, since))
        if row.state in ("sent", "uncertain"):  # nobody is sending it now: we have the right to
            row = await self._look_for_job(self._ledger.change(row, state="uncertain"))
        return row

    async def _upload(self, row: Submission, order: JobOrder) -> Submission:
        """Send the audio to where the service reads it; the same content to the same place."""
        assert order.content is not None  # noqa: S101
        expected = order.content_hash if order.exact else None
        body = content_body(order.content, expected, lambda part: self._report("uploading", 0.3 * part))
        for _ in range(_ADDRESSES):
            reply = await self._service.request("POST", "/v1/media/input", kind=Kind.WRITE, json={"url": row.media})
            target = self._upload_address(reply)
            try:
                await self._service.request("PUT", target, kind=Kind.WRITE, body=body, within=self._waits.submit)
            except PermissionDeniedError as error:
                expired = error
                continue
            return self._ledger.change(row, media_at=time.time())
        raise UploadExpiredError(
            f"{shorten(row.source, 80)} could not be uploaded: the address that pyannoteAI gave was refused "
            f"{_ADDRESSES} times as expired. Nothing was submitted. Check this machine's clock, then try again."
        ) from expired

    def _upload_address(self, reply: Reply) -> Secret:
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

    async def _submit_job(self, row: Submission, order: JobOrder) -> Submission:
        """Send the one request that is billed."""
        if not self._service.heard:  # its clock must be known before, for what may have to be looked for after
            await self._service.request("GET", "/v1/test", kind=Kind.READ)
        body = {"url": order.url or row.media, **order.request}
        for _ in range(_TRIES):
            self._report("submitting", 0.32)
            try:
                job_id = await self._post_job(row, body)
            except ApiError as error:
                row = self._ledger.get(row.id) or row
                if not error.uncertain:
                    self._ledger.change(row, state="prepared", sent_at=None)
                    raise
                row = await self._look_for_job(self._ledger.change(row, state="uncertain"), error)
                if row.state == "accepted":
                    return row
                failure = error
                continue
            return self._ledger.change(self._ledger.get(row.id) or row, state="accepted", job_id=job_id)
        failure.uncertain = False
        raise failure

    async def _post_job(self, row: Submission, body: dict[str, Any]) -> str:
        def before() -> None:
            self._ledger.change(row, state="sent", sent_at=time.time() + self._service.skew)

        reply = await self._service.request(
            "POST", row.endpoint, kind=Kind.BILLED, json=body, within=self._waits.submit, before=before
        )
        try:
            return check_job_id(reply.json().get("jobId"))
        except ApiError as error:
            error.uncertain = True  # there is a job, but who knows which
            raise

    async def _look_for_job(self, row: Submission, error: ApiError | None = None) -> Submission:
        """Find out what became of a request that may have been carried out: "accepted", "prepared", or an error."""
        self._report("looking for the job", 0.33)
        sent_at = row.sent_at or row.created
        old = (
            time.time() + self._service.skew - sent_at
            > self._waits.first_look + self._waits.second_look + self._waits.submit
        )
        for wait in (0.0,) if old else (self._waits.first_look, self._waits.second_look):
            await asyncio.sleep(wait)
            try:
                found = await self._candidates(sent_at)
            except ApiError as asked:
                raise self._make_uncertain_error(row, [], "and the list of jobs cannot be read now") from asked
            if found:
                break
        else:
            return self._ledger.change(row, state="prepared", sent_at=None)
        rivals = [
            other
            for other in self._ledger.of_service(row.engine, row.origin)
            if other.id != row.id and other.state in ("sent", "uncertain") and _overlap(other, found)
        ]
        if len(found) == 1 and not rivals:
            return self._ledger.change(row, state="accepted", job_id=next(iter(found)), adopted=True)
        raise self._make_uncertain_error(
            row, list(found), f"and {len(found)} jobs of that moment could be it"
        ) from error

    async def _candidates(self, sent_at: float) -> dict[str, float]:
        """List jobs that nobody here knows and that were created when the request was under way, with their times."""
        known = self._ledger.known_jobs()
        found: dict[str, float] = {}
        cursor = None
        for _ in range(_PAGES):
            items, cursor = await list_jobs(self._service, cursor)
            times = {item["id"]: _moment(item.get("createdAt")) for item in items}
            found |= {
                job: at for job, at in times.items() if at is not None and job not in known and _fits(at, sent_at)
            }
            oldest = min((at for at in times.values() if at is not None), default=None)
            if cursor is None or (oldest is not None and oldest < sent_at - _BEFORE):
                break
        return found

    def _make_uncertain_error(self, row: Submission, candidates: list[str], why: str) -> SubmissionUncertainError:
        look = f"diarnb.resume({candidates[0]!r}) fetches it" if candidates else "Run the cell again to look once more"
        return SubmissionUncertainError(
            f"{shorten(row.source, 80)} may have been submitted to pyannoteAI, {why}; nothing was sent again. "
            f"{look}; resubmit=True submits anew, and may be billed twice.",
            candidates=candidates,
        )


def load_answer(ledger: Ledger, row: Submission) -> dict[str, Any]:
    """Read the answer of a succeeded submission."""
    content = ledger.answer(row)
    if content is None and (run := ledger.run_of_job(row.job_id)) is not None:
        return run.raw
    if content is None:
        raise JobExpiredError(f"the answer of job {row.job_id} is damaged on disk", job_id=row.job_id or "")
    return parse_answer(content)


def _make_expired_error(row: Submission) -> JobExpiredError:
    age = (time.time() - row.created) / 3600
    return JobExpiredError(
        f"job {row.job_id} ({shorten(row.source, 80)}) is done, but pyannoteAI has deleted its result, as it does "
        f"after 24 h; it was submitted {age:.0f} h ago. resubmit=True submits it anew, and is billed again.",
        job_id=row.job_id or "",
    )


def _fits(created: float, sent_at: float) -> bool:
    return sent_at - _BEFORE <= created <= sent_at + _AFTER


def _overlap(other: Submission, found: dict[str, float]) -> bool:
    return any(_fits(created, other.sent_at or other.created) for created in found.values())


def _moment(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
