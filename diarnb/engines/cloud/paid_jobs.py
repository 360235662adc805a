"""Pay once for a job, whatever becomes of the network, the kernel or the user: for every service that works in jobs.

An engine author declares what is billed and what can be looked up, by a small class as `JobService` has it, and hands
it what is wanted as an `Order`; the ledger, doubts, consent, uploads and polling are done here:

    class Vendor:                                     # see `JobService` for each
        name = "Vendor"
        kept = None                                   # seconds that results are kept; None for always
        def media_address(self, content_hash): ...    # None where the service names what is uploaded
        async def upload(self, order, media, report): ...
        async def submit_job(self, row, order, before): ...    # sends the one request that is billed
        async def list_jobs(self, cursor): ...        # newest first
        async def check_job(self, job_id): ...          # raises `JobNotFoundError`
        async def collect(self, row, timeout, report): ...     # waits for the result

    jobs = PaidJobs(Vendor(service), ledger, Waits(), report)
    row = await jobs.fetch_or_submit(order)           # a `Submission` whose answer is in the ledger
    raw = load_answer(ledger, row)

What is promised: a request that may have been carried out is never sent again unasked. It is sent again only where the
service refused it (429, or another 4xx but 408, 409 and 425), where it never left as a whole, or with the user's
consent, ``resubmit=True``. In all other cases the submission is uncertain, and is looked for in the service's list with
growing pauses, `Waits.search` seconds at most: it is recognised by the address of its audio where the list shows that,
else as the only job that is newer than what the list showed before the request left and that nobody here knows. Clocks
prove nothing, and absence does not either. What is not found stays uncertain, and is looked for again by the next call.

One submission of this store to a service is under way at a time (`Ledger.sending`); uploads, pauses and the wait for
the result are outside of that.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from diarnb._text import shorten
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind
from diarnb.errors import (
    ApiError,
    ApiResponseError,
    JobCanceledError,
    JobExpiredError,
    JobFailedError,
    JobNotFoundError,
    JobTimeoutError,
    NotFoundError,
    SubmissionUncertainError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator

    from diarnb._types import Json
    from diarnb.audio.content import Content
    from diarnb.engines.cloud.service import Reply, Service
    from diarnb.store.ledger import Ledger, Submission

    Report = Callable[[str, float], None]

JOB_ID = r"[A-Za-z0-9_-]{1,128}"
"""What a job's id may be, which becomes part of an address."""

_FRESH = 20 * 3600.0  # seconds after which an upload is done again, well before it is deleted
_BEYOND = 0.5  # seconds that the last turn of a job found in the list may end after the recording
_TAKEN = (
    "The answer to the submission was lost, and job {}, the only one that came into the list since, was taken for it."
)
_PAGES = 20  # of the job list that are searched


@dataclass(frozen=True)
class Waits:
    """How long to wait, in seconds; tests are in a hurry.

    Attributes
    ----------
    poll : float
        Between two looks at a job; the documents of pyannoteAI ask for 10 or more.
    first_look : float
        Before the job list is searched for a job that may have been created; each further pause is twice as long.
    search : float
        From the sending of a request in doubt until its job is looked for no longer.
    submit : float
        For one attempt to submit.
    """

    poll: float = 10.0
    first_look: float = 3.0
    search: float = 300.0
    submit: float = 60.0

    def pauses(self, left: float) -> Iterator[float]:
        """Yield the pauses between looks, within so many seconds; one at least, for one look proves little."""
        pause = self.first_look
        while True:
            yield pause
            left -= pause
            pause = min(2 * pause, left)
            if pause <= 0:
                return


@dataclass(frozen=True)
class Order:
    """What is wanted: a submission to be, and what it needs to leave.

    Attributes
    ----------
    submission : Submission
        As it is written if the ledger has none with its key.
    request : dict
        What is asked, for `JobService.submit_job`.
    url : str or None
        Of a recording that the service fetches by itself.
    content : Content or None
        Else what to upload, under `content_hash` (its SHA-256 where `exact`).
    resubmit : bool
        The user's consent to pay again what may have been paid before.
    timeout : float or None
        Seconds to wait for the result.
    earlier_keys : tuple of str
        Keys that an earlier version of diarnb gave to the same.
    wait : bool
        Whether to wait for the result; else an accepted submission will do.
    """

    submission: Submission
    request: Json
    url: str | None = field(default=None, repr=False)  # may be signed
    content: Content | None = None
    content_hash: str = ""
    exact: bool = True
    resubmit: bool = False
    timeout: float | None = None
    earlier_keys: tuple[str, ...] = ()
    wait: bool = True


@dataclass(frozen=True)
class ListedJob:
    """A job as the service's list shows it.

    Attributes
    ----------
    id : str
    media : str or None
        The address of its audio, where that is shown.
    created, status : str or None
        When it was submitted, in ISO 8601, and how it stands, in the service's words.
    """

    id: str
    media: str | None = None
    created: str | None = None
    status: str | None = None


@dataclass(frozen=True)
class AcceptedJob:
    """A job that the service took, and what it said about that, if anything."""

    id: str
    remark: str | None = None


@dataclass(frozen=True)
class Result:
    """What a job gave.

    Attributes
    ----------
    answer : bytes
        As it came.
    last_end : float
        When its last turn ends, in seconds; a job found in a list is not that of a shorter recording.
    done : float
        When it was done, in seconds since 1970.
    billed_seconds : float or None
    """

    answer: bytes
    last_end: float
    done: float
    billed_seconds: float | None


class JobService(Protocol):
    """What `PaidJobs` asks of a service; one for each call of the engine, with the user's key."""

    @property
    def name(self) -> str:
        """The service's name, for messages."""
        ...

    @property
    def kept(self) -> float | None:
        """How many seconds results are kept; None for always."""
        ...

    def media_address(self, content_hash: str) -> str | None:
        """Return where content of this hash is at the service once it is uploaded; None where the service decides."""
        ...

    async def upload(self, order: Order, media: str | None, report: Report) -> str:
        """Upload `Order.content`, which bills nothing; return its address at the service."""
        ...

    async def submit_job(self, row: Submission, order: Order, before: Callable[[], object]) -> AcceptedJob:
        """Send the one request that is billed, as `Kind.BILLED`, with `before`.

        An answer that names no job raises an `ApiError` with ``uncertain=True``.
        """
        ...

    async def list_jobs(self, cursor: str | None) -> tuple[list[ListedJob], str | None]:
        """Read a page of the job list, newest first, and the cursor of the next page."""
        ...

    async def check_job(self, job_id: str) -> None:
        """Raise `JobNotFoundError` where the service knows no such job."""
        ...

    async def collect(self, row: Submission, timeout: float | None, report: Report) -> Result:
        """Wait until a job has ended, and take its answer.

        Raises `JobFailedError`, `JobCanceledError` or `JobExpiredError` where there is none.
        """
        ...


class PaidJobs:
    """Fetches what was ordered, and submits it where it never was.

    Parameters
    ----------
    vendor : JobService
    ledger : Ledger
    waits : Waits
    report : callable
        Given the stage in words and a fraction, 0-1.
    """

    def __init__(self, vendor: JobService, ledger: Ledger, waits: Waits, report: Report) -> None:
        self._vendor, self._ledger, self._waits, self._report = vendor, ledger, waits, report

    async def fetch_or_submit(self, order: Order) -> Submission:
        """Upload, submit and wait as far as is needed; return a submission whose answer is in the ledger.

        Raises
        ------
        SubmissionUncertainError
            It may have been submitted, or paid; nothing is sent again unasked.
        ApiError
            What stopped it; the ledger holds how far it came.
        AudioError
            The recording could not be sent.
        """
        row, uploaded = await self._upload_and_submit(order)
        if not order.wait:
            return row
        try:
            return await self.wait_for_result(row, order.timeout)
        except JobFailedError as error:
            # An upload of an earlier call may be gone by now; a failed job is not billed, so once more.
            if uploaded or order.content is None or "load audio" not in str(error):
                raise
        self._ledger.change(row, state="failed", media_at=None)
        row, _ = await self._upload_and_submit(order, fresh=True)
        return await self.wait_for_result(row, order.timeout)

    async def claim_job(self, job_id: str, stranger: Submission) -> Submission:
        """Write a job that the ledger does not know to the one row in doubt that it settles, else to a new row."""
        # By the time that this is its turn, whoever was looking for the job has found it, or not.
        async with self._ledger.sending(stranger.engine, stranger.origin):
            if (known := self._ledger.job(job_id)) is not None:
                return known
            doubtful = [
                row
                for row in self._ledger.of_service(stranger.engine, stranger.origin)
                if row.state in ("sent", "uncertain") and job_id in await self._list_candidates(row)
            ]
            if len(doubtful) == 1:
                return self._ledger.change(doubtful[0], state="accepted", job_id=job_id, adopted=True)
            return self._ledger.prepare(stranger)

    async def wait_for_result(self, row: Submission, timeout: float | None, *, named: bool = False) -> Submission:
        """Wait for an accepted submission, and archive its answer; `named` says that the user chose the job."""
        if row.state in ("succeeded", "kept"):
            return row
        self._report("waiting", 0.35)
        ends: dict[type[ApiError], str] = {JobFailedError: "failed", JobCanceledError: "canceled"}
        try:
            result = await self._vendor.collect(row, timeout, self._report)
        except (JobFailedError, JobCanceledError, JobExpiredError) as error:
            self._ledger.change(row, state=ends.get(type(error), "expired"))
            raise
        expires = None if self._vendor.kept is None else result.done + self._vendor.kept
        facts = {"expires": expires, "billed_seconds": result.billed_seconds}
        row = self._ledger.archive(row, result.answer, state="accepted" if row.adopted else "succeeded", **facts)
        if row.adopted:
            await self._confirm(row, result, named=named)
            row = self._ledger.change(row, state="succeeded")
        self._report("done", 1.0)
        return row

    async def _confirm(self, row: Submission, result: Result, *, named: bool) -> None:
        """Look once more at a job that was found in the list: of this recording, and still the only one."""
        only = str(row.job_id)
        duration = row.about.duration
        if duration is not None and result.last_end > duration + _BEYOND:
            why = "and the only candidate is of a longer recording"
        elif named or (row.media is not None and await self._find_by_media(row) == only):
            return
        else:
            others = await self._list_candidates(row)
            why = f"and {len(others) + 1} jobs could be it"
            if not others:
                return
            only = ", ".join([only, *others])
        now = self._ledger.get(row.id)
        if now is not None and now.job_id == row.job_id:  # nobody has gone on with it
            self._ledger.change(row, state="uncertain", adopted=False, job_id=None, answer=None)
        raise self._make_uncertain_error(row, only.split(", "), why)

    async def _upload_and_submit(self, order: Order, *, fresh: bool = False) -> tuple[Submission, bool]:
        """Upload and submit what is not yet; return the row, and whether its audio was uploaded just now."""
        uploaded = False
        doubt = _Doubt()
        while True:
            async with self._ledger.sending(order.submission.engine, order.submission.origin):
                row = await self._find_where_it_stands(order, doubt)
                if row.state == "prepared" and (order.url or (row.media_at is not None and (uploaded or not fresh))):
                    row = await self._submit_job(row, order, doubt)
            if row.state == "uncertain":
                await self._wait_to_look(row, order, doubt)
            elif row.state == "prepared":
                row = await self._upload(row, order)
                uploaded = True
            else:
                return row, uploaded

    async def _find_where_it_stands(self, order: Order, doubt: _Doubt) -> Submission:
        """Find the row to go on with: "prepared", "uncertain", "accepted", "succeeded" or "kept"."""
        row = self._ledger.find(order.submission.key, *order.earlier_keys)
        if row is not None and order.resubmit and not doubt.begun and row.state in ("sent", "uncertain", "expired"):
            self._ledger.close(row.id)
            row = None
        doubt.begun = True
        if row is not None and row.state == "expired":
            row = self._ledger.change(row, state="accepted")  # the service is asked once more
        if row is not None and row.state in ("succeeded", "kept") and self._ledger.answer(row) is None:
            row = self._ledger.change(row, state="accepted")  # damaged on disk; the service may still have it
        if row is None or row.state in ("failed", "canceled"):
            row = self._ledger.prepare(replace(order.submission, media=self._vendor.media_address(order.content_hash)))
        if row.state == "prepared" and order.content is not None and row.media is not None:
            since = time.time() - _FRESH
            row = self._ledger.change(row, media_at=self._ledger.media(row.origin, row.media, since))
        if row.state == "prepared":  # as far as the ledger knows
            check_damage(self._ledger, row.source, resubmit=order.resubmit)
        if row.state in ("sent", "uncertain"):  # nobody is sending it now: we have the right to
            row = await self._look_for_job(self._ledger.change(row, state="uncertain"), doubt)
        return row

    async def _upload(self, row: Submission, order: Order) -> Submission:
        media = await self._vendor.upload(order, row.media, self._report)
        return self._ledger.change(row, media=media, media_at=time.time())

    async def _submit_job(self, row: Submission, order: Order, doubt: _Doubt) -> Submission:
        """Send the one request that is billed; return the row, "accepted" or "uncertain"."""
        newest = [job.id for job in (await self._vendor.list_jobs(None))[0]]
        row = self._ledger.change(row, newest=newest[0] if newest else "")
        self._report("submitting", 0.32)

        def before() -> None:
            self._ledger.change(row, state="sent", sent_at=time.time())

        try:
            job = await self._vendor.submit_job(row, order, before)
        except ApiError as error:
            row = self._ledger.get(row.id) or row
            if not error.uncertain:
                self._ledger.change(row, state="prepared", sent_at=None)
                raise
            doubt.error = error
            return self._ledger.change(row, state="uncertain")
        row = self._ledger.get(row.id) or row
        return self._ledger.change(row, state="accepted", job_id=job.id, remark=job.remark)

    async def _look_for_job(self, row: Submission, doubt: _Doubt) -> Submission:
        """Look once for the job of a request that may have been carried out; return the row, accepted if it is there.

        A job that is told by nothing but being the only one must be so twice, unless the request is long ago: another
        one may come into the list before it.
        """
        before, doubt.candidates = doubt.candidates, {}
        first, doubt.looked = not doubt.looked, True
        try:
            found = await self._find_by_media(row)
            doubt.candidates = await self._list_candidates(row)
            doubt.why = "and is not in its list of jobs"
        except ApiError:
            doubt.why = "and the list of jobs cannot be read now"
            return row
        if found is None and len(doubt.candidates) == 1 and row.newest is not None:
            (only,) = doubt.candidates
            others = self._ledger.of_service(row.engine, row.origin)
            rivals = [  # the job may be that of another request in doubt, unless that is long over
                other
                for other in others
                if other.id != row.id and other.state in ("sent", "uncertain") and self._time_left(other) > 0
            ]
            if not rivals and (before == doubt.candidates or (first and self._time_left(row) <= 0)):
                row, found = replace(row, remark=_TAKEN.format(only)), only
        if found is not None:
            return self._ledger.change(row, state="accepted", job_id=found, adopted=True, remark=row.remark)
        if doubt.candidates:
            doubt.why = f"and {len(doubt.candidates)} jobs of its list could be it"
        return row

    async def _wait_to_look(self, row: Submission, order: Order, doubt: _Doubt) -> None:
        """Wait until the next look; raise where the time for that is over."""
        if doubt.pauses is None:
            left = self._time_left(row)
            doubt.pauses = self._waits.pauses(left if order.timeout is None else min(left, order.timeout))
        pause = next(doubt.pauses, None)
        if pause is None:
            raise self._make_uncertain_error(row, list(doubt.candidates), doubt.why) from doubt.error
        minutes = max(0.0, self._time_left(row)) / 60
        self._report(f"it may have been submitted; looking for its job, {minutes:.0f} min more at most", 0.33)
        await asyncio.sleep(pause)

    def _time_left(self, row: Submission) -> float:
        return self._waits.search - (time.time() - (row.sent_at or row.created))

    async def _find_by_media(self, row: Submission) -> str | None:
        """Find the newest job nobody knows whose audio is ours, where the list shows addresses."""
        if row.media is None:
            return None
        known = self._ledger.known_jobs() - {row.job_id}
        async for job in self._newer_jobs(row):
            if job.media == row.media and job.id not in known:
                return job.id
        return None

    async def _list_candidates(self, row: Submission) -> dict[str, None]:
        """List the jobs that came after the request was about to leave, that nobody here knows and that may be it."""
        known = self._ledger.known_jobs()
        return {
            job.id: None
            async for job in self._newer_jobs(row)
            if job.id not in known and (job.media is None or job.media == row.media)
        }

    async def _newer_jobs(self, row: Submission) -> AsyncIterator[ListedJob]:
        """Yield the jobs that the list shows before the one that was its newest."""
        cursor = None
        for _ in range(_PAGES):
            jobs, cursor = await self._vendor.list_jobs(cursor)
            for job in jobs:
                if job.id == row.newest:
                    return
                yield job
            if cursor is None:
                return

    def _make_uncertain_error(self, row: Submission, candidates: list[str], why: str) -> SubmissionUncertainError:
        look = f"diarnb.resume({candidates[0]!r}) fetches it" if candidates else "Run the cell again to look once more"
        return SubmissionUncertainError(
            f"{shorten(row.source, 80)} may have been submitted to {self._vendor.name}, {why}; nothing was sent "
            f"again. {look}; resubmit=True submits again, and may be billed twice.",
            candidates=candidates,
        )


@dataclass
class _Doubt:
    """What one call knows of a submission that it looks for."""

    begun: bool = False  # consent is for what was in doubt before
    looked: bool = False
    pauses: Iterator[float] | None = None
    candidates: dict[str, None] = field(default_factory=dict)
    why: str = ""
    error: ApiError | None = None


async def look_at_job(service: Service, path: str, job_id: str, name: str) -> tuple[Reply, Json]:
    """Look at a job; return the answer as it came and parsed.

    Raises
    ------
    JobNotFoundError
        The service does not know it.
    """
    for last in (False, True):
        try:
            reply = await service.request("GET", path, kind=Kind.READ)
            return reply, reply.json()
        except NotFoundError as error:
            raise JobNotFoundError(
                f"{service.name} does not know job {job_id} ({name}): it belongs to another team's key, or was "
                "deleted. Check api_key; its row is kept, and diarnb.runs() tells when it was submitted.",
                job_id=job_id,
                request_id=error.request_id,
            ) from error
        except ApiResponseError:
            if last:
                raise
            await asyncio.sleep(service.pace.backoff(1))
    raise AssertionError  # not reached


async def wait_for_end(
    service: Service,
    path: str,
    row: Submission,
    ended: Collection[str],
    *,
    poll: float,
    timeout: float | None,
    report: Report,
) -> tuple[Reply, Json]:
    """Look at a job until its ``status`` is one of `ended`; return the answer that says so, as it came and parsed.

    Raises
    ------
    JobTimeoutError
        It has not ended, in time.
    JobNotFoundError
        The service does not know it.
    """
    until = None if timeout is None else time.monotonic() + timeout
    name = shorten(row.source, 80)
    while True:
        reply, job = await look_at_job(service, path, row.job_id or "", name)
        if job.get("status") in ended:
            return reply, job
        left = math.inf if until is None else until - time.monotonic()
        if left <= 0:
            raise JobTimeoutError(
                f"job {row.job_id} ({name}) is still running after {timeout:g} s. Nothing is lost. "
                f"Continue with diarnb.resume({row.job_id!r}) [{service.name}]",
                job_id=row.job_id or "",
            )
        report(quote_service(str(job.get("status")), 40), 0.4)
        await asyncio.sleep(min(poll, left))


def check_job_id(value: object, service: str) -> str:
    """Check a job's id as a service told it.

    Raises
    ------
    ApiResponseError
        It is none.
    """
    if not isinstance(value, str) or not re.fullmatch(JOB_ID, value):
        raise ApiResponseError(f"{service}'s answer is not as its contract says: the job's id is {value!r:.40}")
    return value


def check_damage(ledger: Ledger, source: str, *, resubmit: bool) -> None:
    """Refuse to send what is billed, where the ledger has lost entries, unless the user consents.

    Raises
    ------
    SubmissionUncertainError
        Nothing was sent.
    """
    damage = ledger.damage()
    if damage is not None and not resubmit:
        raise SubmissionUncertainError(
            f"{shorten(source, 80)} may have been paid for before: {shorten(damage, 150)}. Nothing was sent. Look "
            "at diarnb.cloud.jobs() and the service's dashboard; resubmit=True pays for this one, "
            "diarnb.cloud.accept_loss() lets all be paid."
        )


def load_answer(ledger: Ledger, row: Submission) -> Json:
    """Read the answer of a succeeded submission.

    Raises
    ------
    JobExpiredError
        It is damaged on disk.
    """
    content = ledger.answer(row)
    if content is None:
        raise JobExpiredError(f"the answer of job {row.job_id} is damaged on disk", job_id=row.job_id or "")
    found: Json = json.loads(content)
    return found
