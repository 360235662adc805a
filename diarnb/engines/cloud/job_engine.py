"""An engine whose service bills: all that such engines share beside their parameters and their answers.

A subclass names its service and its address, declares what it offers, and says three things: what is asked
(`PaidEngine.write_request`), how the service is asked, and what its answers mean (`Engine.read`). Where the service
works in jobs that can be looked up, that is a `JobEngine` with `JobEngine.open_jobs`, see `paid_jobs.JobService`; where
the answer exists only in the response, a `PaidEngine` with `PaidEngine.pay_once`, see `paid_requests.RequestService`.
Keys, budgets, limits, the ledger, interrupts and resuming are done here.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from diarnb._text import shorten
from diarnb.engines.base import Answer, Engine, Receipt
from diarnb.engines.cloud import loop as _loop
from diarnb.engines.cloud.addresses import find_origin
from diarnb.engines.cloud.billing import check_budget, check_cost, check_limits
from diarnb.engines.cloud.keys import find_key
from diarnb.engines.cloud.paid_jobs import JOB_ID, Order, PaidJobs, Waits, load_answer
from diarnb.engines.cloud.service import Service
from diarnb.engines.question import Question, describe_job
from diarnb.errors import ApiError, InvalidParameterError
from diarnb.store.ledger import OPEN, Ledger, Submission
from diarnb.store.run import hash_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.cloud.links import Link
    from diarnb.engines.cloud.paid_jobs import JobService, Report
    from diarnb.engines.cloud.paid_requests import PaidRequests
    from diarnb.engines.cloud.service import Pace
    from diarnb.params import Params
    from diarnb.store.run import Description

__all__ = ["JobEngine", "PaidEngine", "Wish"]


def __dir__() -> list[str]:
    return __all__


@dataclass(frozen=True)
class Wish:
    """What a service is asked about a recording.

    Attributes
    ----------
    endpoint : str
    body : dict
        As the service reads it, without the recording.
    equals : tuple of tuple
        What tells two requests apart that would give different answers, as this version and earlier ones wrote it; the
        body where it is empty.
    most : tuple of int and float, optional
        Bytes and seconds that may be sent; by default the engine's.
    by_piece : bool
        Whether it is billed once each, and not by the recording's length.
    """

    endpoint: str
    body: Json
    equals: tuple[tuple[object, ...], ...] = ()
    most: tuple[int, float] | None = None
    by_piece: bool = False


class PaidEngine(Engine):
    """What the engines of all services that bill have in common.

    Attributes
    ----------
    origin, key_page : str
        The service's address, and where one gets a key.
    origin_variable, key_variable : str
        Of the environment.
    scheme : str
        The word before the key in the header; empty for none.
    most : tuple of int and float
        Bytes and seconds that a recording may have.
    least_billed : float
        Seconds that a recording costs at least.

    Parameters
    ----------
    pace : Pace, optional
        Of single requests.
    """

    origin: str
    origin_variable: str
    key_variable: str
    key_page: str
    most: tuple[int, float]
    scheme: str = "Bearer"
    least_billed: float = 0.0

    def __init__(self, *, pace: Pace | None = None) -> None:
        self._pace = pace

    def write_request(self, params: Params, options: Options) -> Wish:
        """Write what is asked as the service reads it."""
        raise NotImplementedError

    def pay_once(self, service: Service, ledger: Ledger, report: Report, url: str | None) -> PaidJobs | PaidRequests:
        """Return what fetches or submits an `Order`; `url` is the address of a recording that the service fetches."""
        raise NotImplementedError

    def check_asked(self, model: str, options: Options) -> None:
        """Refuse options that contradict each other or the model, before anything is read or sent."""

    def version(self, model: str) -> str:  # noqa: ARG002 (the service does not tell)
        """Return a constant: what a hosted model is called is all that is known of it."""
        return "1"

    def settle(self, params: Params, options: Options) -> Json:
        """Find the key and the address, and refuse what contradicts itself."""
        settled = {
            **options,
            "base_url": find_origin(options.get("base_url"), self.origin_variable, self.origin),
        }
        self.check_asked(params.model or self.offer.default_model, settled)
        check_budget(settled)
        settled["api_key"] = find_key(options.get("api_key"), self.key_variable, self.service, self.key_page)
        return settled

    def diarize(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> Answer:
        """Fetch the answer: from the ledger, from the service, or by paying for it."""
        return make_answer(*self._order(recording, params, options, progress, wait=True))

    def billable_seconds(self, seconds: float) -> float:
        """Compute the seconds that a recording is billed for."""
        return max(self.least_billed, seconds)

    def count_billed(self, recording: Recording | Link, options: Options) -> float | None:  # noqa: ARG002
        """Compute the seconds that a recording is billed for as it is asked; None where that is not known before."""
        return None if recording.duration is None else self.billable_seconds(recording.duration)

    def connect(self, options: Options) -> Service:
        """Return the service at the settled address, with the settled key."""
        return Service(self.service, options["base_url"], options["api_key"], scheme=self.scheme, pace=self._pace)

    def fetch_or_submit(
        self,
        request: Wish,
        recording: Recording | Link,
        about: Description,
        options: Options,
        progress: Progress,
        *,
        wait: bool = True,
    ) -> tuple[Ledger, Submission]:
        """Fetch what was asked, or submit it; return the ledger, and its row with the answer."""
        url, seconds = getattr(recording, "url", None), self.count_billed(recording, options)
        if not request.by_piece:
            check_cost(recording.name, seconds, options)
        ledger, origin = Ledger(), options["base_url"]
        content_hash = recording.content_hash
        equals = request.equals or ((request.body,),)
        keys = [hash_json(content_hash, origin, request.endpoint, *each) for each in equals]
        row = Submission(key=keys[0], engine=self.name, origin=origin, endpoint=request.endpoint, about=about)
        with nullcontext(None) if url else recording.file() as content:  # type: ignore[union-attr]
            if content is not None:
                most = request.most or self.most
                check_limits(recording.name, content, recording.duration, service=self.service, most=most)
            order = Order(
                submission=row,
                request=request.body,
                url=url,
                content=content,
                content_hash=content_hash,
                exact=content is not None and content.exact,
                resubmit=options.get("resubmit", False),
                timeout=options.get("timeout"),
                earlier_keys=tuple(keys[1:]),
                wait=wait,
            )
            if seconds is not None and ledger.find(*keys) is None:
                cost = f"{seconds:,.0f} s will be billed"
                progress("billed once each" if request.by_piece else cost, 0.0)

            async def work(report: Callable[[str, float], None]) -> Submission:
                return await self.pay_once(self.connect(options), ledger, report, url).fetch_or_submit(order)

            try:
                done = _loop.run(work, progress)
            except KeyboardInterrupt as error:
                raise self._explain_interrupt(error, ledger.find(keys[0]), recording.name) from None
            except ApiError as error:
                name = shorten(recording.name, 80)
                if name not in str(error):  # the transport knows of no recording
                    error.args = (f"{name}: {error}",)
                raise
        return ledger, done

    def _order(
        self, recording: Recording | Link, params: Params, options: Options, progress: Progress, *, wait: bool
    ) -> tuple[Ledger, Submission]:
        about = Question(self, params, options).describe(recording)
        request = self.write_request(params, options)
        return self.fetch_or_submit(request, recording, about, options, progress, wait=wait)

    def _explain_interrupt(self, error: KeyboardInterrupt, row: Submission | None, name: str) -> KeyboardInterrupt:
        """Make the interrupt that tells what goes on without us, or is lost."""
        if row is None:
            return error
        return KeyboardInterrupt(
            f"{shorten(name, 80)} had been sent to {self.service} as a whole, which does the work and bills it; its "
            "answer is lost by this interrupt. resubmit=True asks, and pays, again"
        )


class JobEngine(PaidEngine):
    """What the engines of all services that work in jobs have in common.

    Attributes
    ----------
    endpoint : str
        Where jobs are submitted.
    kept : float or None
        Seconds that the service keeps results; None where it does not delete them by itself, or does not say.

    Parameters
    ----------
    pace : Pace, optional
        Of single requests.
    waits : Waits, optional
        Between them.
    """

    endpoint: str
    kept: float | None = None

    def __init__(self, *, pace: Pace | None = None, waits: Waits | None = None) -> None:
        super().__init__(pace=pace)
        self._waits = waits or Waits()

    def open_jobs(self, service: Service, waits: Waits, url: str | None) -> JobService:
        """Return how the service is asked; `url` is the address of a recording that it fetches by itself."""
        raise NotImplementedError

    def pay_once(self, service: Service, ledger: Ledger, report: Report, url: str | None) -> PaidJobs:
        """Return what submits a job, and waits for it."""
        return PaidJobs(self.open_jobs(service, self._waits, url), ledger, self._waits, report)

    def submit(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> str:
        """Submit a job without waiting for it; return its id."""
        return self._order(recording, params, options, progress, wait=False)[1].job_id or ""

    def bill(self, raw: Json, about: Description) -> Json:  # noqa: ARG002
        """Compute what a delivered job costs, and when the service deletes it; it ended a moment ago."""
        seconds = about.duration
        return {
            "billed_seconds": None if seconds is None else self.billable_seconds(seconds),
            "expires": None if self.kept is None else datetime.now(UTC) + timedelta(seconds=self.kept),
        }

    def test(self, options: Options) -> bool:
        """Ask the service whether it accepts the key; it bills nothing."""
        self.jobs(options)
        return True

    def jobs(self, options: Options) -> list[Json]:
        """Read the first page of the service's job list, newest first."""
        vendor = self.open_jobs(self.connect(options), self._waits, None)
        listed, _ = _loop.run(lambda _report: vendor.list_jobs(None), lambda _stage, _fraction: None)
        return [{"id": job.id, "createdAt": job.created, "status": job.status} for job in listed]

    def resume(self, job_id: str, options: Options, progress: Progress) -> tuple[Answer, Description]:
        """Wait for a job that was submitted before, here or elsewhere, and give its answer."""
        if not isinstance(job_id, str) or not re.fullmatch(JOB_ID, job_id):
            raise InvalidParameterError(f"{job_id!r:.60} is not a job id; diarnb.runs() lists those of this store")
        ledger = Ledger()
        known = ledger.job(job_id)
        row = known or Submission(
            key=hash_json("job", options["base_url"], job_id),
            engine=self.name,
            origin=options["base_url"],
            endpoint=self.endpoint,
            about=describe_job(job_id, self.name),
            state="accepted",
            job_id=job_id,
        )
        vendor = self.open_jobs(self.connect(options), self._waits, None)

        async def work(report: Callable[[str, float], None]) -> Submission:
            jobs, kept = PaidJobs(vendor, ledger, self._waits, report), row
            if known is None:
                await vendor.check_job(job_id)
                kept = await jobs.claim_job(job_id, row)
            return await jobs.wait_for_result(kept, options.get("timeout"), named=True)

        try:
            row = _loop.run(work, progress)
        except KeyboardInterrupt as error:
            raise self._explain_interrupt(error, ledger.get(row.id), row.source) from None
        return make_answer(ledger, row), row.about

    def _explain_interrupt(self, error: KeyboardInterrupt, row: Submission | None, name: str) -> KeyboardInterrupt:
        """Make the interrupt that tells what goes on without us."""
        shown = shorten(name, 80)
        if row is not None and row.state == "accepted":
            return KeyboardInterrupt(
                f"job {row.job_id} ({shown}) goes on at {self.service} and will be billed, for a job there cannot be "
                f"canceled; diarnb.resume({row.job_id!r}), or running the cell again, fetches it"
            )
        if row is not None and row.state in OPEN and row.state != "prepared":
            return KeyboardInterrupt(
                f"{shown} may have been submitted; running the cell again looks for its job before anything is sent"
            )
        return error


def make_answer(ledger: Ledger, row: Submission) -> Answer:
    """Make the answer of a submission that succeeded."""
    expires = None if row.expires is None else datetime.fromtimestamp(row.expires, UTC)
    receipt = Receipt(row.id, row.job_id, row.billed_seconds, expires, row.remark)
    return Answer(load_answer(ledger, row), receipt=receipt)
