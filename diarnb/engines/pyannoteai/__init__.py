"""The pyannoteAI engine: a job at the service, paid once, whatever the network, the kernel or the user does.

`parameters` says what may be asked, `jobs` how the service is asked (`engines.cloud.paid_jobs` pays once), `polling`
waits for it, and `answers` reads what came.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from diarnb._text import shorten
from diarnb.engines.base import Answer, Engine, Offer, Receipt
from diarnb.engines.cloud import loop as _loop
from diarnb.engines.cloud.addresses import find_origin
from diarnb.engines.cloud.billing import check_budget, check_cost, check_limits
from diarnb.engines.cloud.keys import find_key
from diarnb.engines.cloud.paid_jobs import Order, PaidJobs, Waits, load_answer
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind, Pace, Service
from diarnb.engines.pyannoteai import parameters
from diarnb.engines.pyannoteai.answers import read_answer
from diarnb.engines.pyannoteai.jobs import KEPT, LEAST_BILLED, PyannoteAIJobs
from diarnb.engines.pyannoteai.polling import get_job, list_jobs
from diarnb.engines.pyannoteai.voiceprint_text import NEWEST, check_model, pack
from diarnb.engines.question import Question, describe_job
from diarnb.errors import ApiError, ApiResponseError, InvalidParameterError
from diarnb.params import Params
from diarnb.store.ledger import OPEN, Ledger, Submission
from diarnb.store.run import hash_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.cloud.links import Link
    from diarnb.store.run import Description

ORIGIN = "https://api.pyannote.ai"
_KEY_PAGE = "dashboard.pyannote.ai"
_MOST_BYTES, _MOST_SECONDS = 1024**3, 24 * 3600.0
_VOICE_BYTES, _VOICE_SECONDS = 100 * 1024**2, 30.05  # an encoder's padding is nobody's fault
_OF_VOICEPRINTS = {"api_key", "base_url", "timeout", "webhook", "webhook_status_only", "resubmit"}


class PyannoteAIEngine(Engine):
    """pyannoteAI's hosted models.

    Parameters
    ----------
    pace : Pace, optional
        Of single requests.
    waits : Waits, optional
        Between them.
    """

    name = "pyannoteai"
    service = "pyannoteAI"
    offer: Offer = Offer(
        models=parameters.MODELS,
        channels=False,
        words=True,
        links=True,
        any_model=True,
        billed=True,
        earlier_default=parameters.EARLIER_DEFAULT,
        at_once=10,
        a_minute=90,  # of 100, which a team shares
        options=parameters.OPTIONS,
    )

    def __init__(self, *, pace: Pace | None = None, waits: Waits | None = None) -> None:
        self._pace, self._waits = pace, waits or Waits()

    def version(self, model: str) -> str:  # noqa: ARG002 (the service does not tell)
        """Return a constant: what a hosted model is called is all that is known of it."""
        return "1"

    def settle(self, params: Params, options: Options) -> Json:
        """Find the key and the address, and refuse what contradicts itself."""
        base_url = find_origin(options.get("base_url"), "PYANNOTEAI_BASE_URL", ORIGIN)
        settled = {**options, "base_url": base_url}
        parameters.check(params.model or self.offer.default_model, settled)
        check_budget(settled)
        settled["api_key"] = find_key(options.get("api_key"), "PYANNOTEAI_API_KEY", "pyannoteAI", _KEY_PAGE)
        return settled

    def diarize(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> Answer:
        """Fetch the job's answer: from the ledger, from the service, or by submitting it."""
        answer = _answer(*self._fetch_or_submit(*self._wishes(recording, params, options, progress)))
        if params.model in (None, *parameters.MODELS) or answer.receipt is None:
            return answer
        remark = f"The documents of pyannoteAI list no model {params.model!r:.60}; it was asked for all the same."
        said = " ".join(filter(None, [remark, answer.receipt.remark]))
        return replace(answer, receipt=replace(answer.receipt, remark=said))

    def submit(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> str:
        """Submit a job without waiting for it; return its id."""
        _, row = self._fetch_or_submit(*self._wishes(recording, params, options, progress), wait=False)
        return row.job_id or ""

    def billable_seconds(self, seconds: float) -> float:
        """Compute the seconds that a recording is billed for."""
        return max(LEAST_BILLED, seconds)

    def make_voiceprint(
        self, recording: Recording, params: Params, options: Options, progress: Progress
    ) -> tuple[str, str | None]:
        """Have a voiceprint made; it is billed by the piece, and read from the ledger the second time.

        Parameters
        ----------
        recording : Recording
            One speaker, 30 s and 100 MiB at most.
        params : Params
            Only ``model`` counts.
        options : mapping
            As `settle` gives them.
        progress : callable

        Returns
        -------
        text : str
            The service's, with its family; precision-1 and -2 read each other's.
        remark : str or None
            The service's.
        """
        unfit = options.keys() - _OF_VOICEPRINTS
        if unfit:
            why = ", which is billed by the piece" if "max_cost" in unfit else ""
            raise InvalidParameterError(f"pyannoteAI makes a voiceprint{why}, without {min(unfit)}; leave it out")
        model = params.model or parameters.DEFAULT
        check_model(model)
        params = Params(model=params.model)
        about = Question(self, params, options).describe(recording)
        about = replace(about, options={**about.options, "voiceprint": True})  # it is no diarization of the same
        request = parameters.request_of(model, params, options)
        earlier = () if params.model else ({"model": NEWEST, **request},)
        ledger, row = self._fetch_or_submit("/v1/voiceprint", recording, request, about, options, progress, *earlier)
        output = _answer(ledger, row).raw["output"]
        found, warning = output.get("voiceprint"), output.get("warning")
        said = [row.remark, quote_service(warning, 400) if isinstance(warning, str) else None]
        if not isinstance(found, str) or not found:
            raise ApiResponseError(
                "pyannoteAI's answer is not as its contract says: there is no voiceprint in it. It is kept as it came."
            )
        return pack(found, params.model or NEWEST), " ".join(filter(None, said)) or None

    def resume(self, job_id: str, options: Options, progress: Progress) -> tuple[Answer, Description]:
        """Wait for a job that was submitted before, here or elsewhere, and give its answer."""
        if not isinstance(job_id, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", job_id):
            raise InvalidParameterError(f"{job_id!r:.60} is no job's id; diarnb.runs() lists those of this store")
        ledger = Ledger()
        known = ledger.job(job_id)
        row = known or Submission(
            key=hash_json("job", options["base_url"], job_id),
            engine=self.name,
            origin=options["base_url"],
            endpoint="/v1/diarize",
            about=describe_job(job_id, self.name),
            state="accepted",
            job_id=job_id,
        )
        row = self._wait_for_job(row, ledger, options, progress, new=known is None)
        if row.endpoint == "/v1/voiceprint":
            raise InvalidParameterError(
                f"job {job_id} made a voiceprint and no turns; voiceprint(...) gives it, unbilled"
            )
        return _answer(ledger, row), row.about

    def read(self, raw: Json, params: Params, options: Options) -> Json:  # noqa: ARG002
        """Read a job."""
        return read_answer(raw)

    def bill(self, raw: Json, about: Description) -> Json:  # noqa: ARG002
        """Compute what a delivered job costs, and when the service deletes it; it ended a moment ago."""
        seconds = about.duration
        return {
            "billed_seconds": None if seconds is None else self.billable_seconds(seconds),
            "expires": datetime.now(UTC) + timedelta(seconds=KEPT),
        }

    def test(self, options: Mapping[str, object]) -> bool:
        """Ask the service whether it accepts the key."""
        service = self._service(options)
        _run(lambda _report: service.request("GET", "/v1/test", kind=Kind.READ))
        return True

    def jobs(self, options: Options) -> list[Json]:
        """Read the first page of the team's job list, newest first, as the service tells it."""
        service = self._service(options)
        return list(_run(lambda _report: list_jobs(service))[0])

    def _service(self, options: Options) -> Service:
        return Service("pyannoteAI", options["base_url"], options["api_key"], pace=self._pace)

    def _fetch_or_submit(
        self,
        endpoint: str,
        recording: Any,
        request: Json,
        about: Description,
        options: Options,
        progress: Progress,
        *earlier: Json,
        wait: bool = True,
    ) -> tuple[Ledger, Submission]:
        """Fetch what was asked, or submit it; `earlier` are requests that an earlier version wrote for the same."""
        url, seconds = getattr(recording, "url", None), recording.duration
        voice = endpoint == "/v1/voiceprint"
        if not voice:
            check_cost(recording.name, None if seconds is None else self.billable_seconds(seconds), options)
        ledger = Ledger()
        keys = [
            hash_json(recording.content_hash, options["base_url"], endpoint, _deciding(each))
            for each in (request, *earlier)
        ]
        key = keys[0]
        row = Submission(key=key, engine=self.name, origin=options["base_url"], endpoint=endpoint, about=about)
        with nullcontext(None) if url else recording.file() as content:
            if content is not None:
                most = (_VOICE_BYTES, _VOICE_SECONDS) if voice else (_MOST_BYTES, _MOST_SECONDS)
                check_limits(recording.name, content, seconds, service="pyannoteAI", most=most)
            order = Order(
                submission=row,
                request=request,
                url=url,
                content=content,
                content_hash=recording.content_hash,
                exact=content is not None and content.exact,
                resubmit=options.get("resubmit", False),
                timeout=options.get("timeout"),
                earlier_keys=tuple(keys[1:]),
            )
            service = self._service(options)
            if seconds is not None and ledger.find(*keys) is None:
                progress(
                    "billed by the piece" if voice else f"{self.billable_seconds(seconds):,.0f} s will be billed", 0.0
                )
            try:
                done = _loop.run(lambda report: self._run_order(service, ledger, report, order, wait=wait), progress)
            except KeyboardInterrupt as error:
                raise _explain_interrupt(error, ledger.find(key), recording.name) from None
            except ApiError as error:
                name = shorten(recording.name, 80)
                if name not in str(error):  # the transport knows of no recording
                    error.args = (f"{name}: {error}",)
                raise
        return ledger, done

    async def _run_order(
        self, service: Service, ledger: Ledger, report: Callable[[str, float], None], order: Order, *, wait: bool
    ) -> Submission:
        jobs = PaidJobs(PyannoteAIJobs(service, self._waits), ledger, self._waits, report)
        return await (jobs.fetch_or_submit(order) if wait else jobs.submit(order))

    def _wishes(self, recording: Any, params: Params, options: Options, progress: Progress) -> Any:
        """Write what `_fetch_or_submit` takes."""
        model = params.model or parameters.DEFAULT
        request = parameters.request_of(model, params, options)
        endpoint = "/v1/identify" if "voiceprints" in options else "/v1/diarize"
        earlier = [{"model": parameters.EARLIER_DEFAULT, **request}] if params.model is None else []
        about = Question(self, params, options).describe(recording)
        return (endpoint, recording, request, about, options, progress, *earlier)

    def _wait_for_job(
        self, row: Submission, ledger: Ledger, options: Options, progress: Progress, *, new: bool = False
    ) -> Submission:
        service, timeout = self._service(options), options.get("timeout")

        async def work(report: Callable[[str, float], None]) -> Submission:
            jobs = PaidJobs(PyannoteAIJobs(service, self._waits), ledger, self._waits, report)
            if new:
                await get_job(service, row.job_id or "", "of another recording")
            kept = await jobs.claim_job(row.job_id or "", row) if new else row
            return await jobs.wait_for_result(kept, timeout, named=True)

        try:
            return _loop.run(work, progress)
        except KeyboardInterrupt as error:
            raise _explain_interrupt(error, ledger.get(row.id), row.source) from None


def _deciding(request: Json) -> Json:
    """Leave out what does not change the answer; and the two ways to say a number of speakers are one."""
    kept = {name: value for name, value in request.items() if name not in ("webhook", "webhookStatusOnly")}
    if "numSpeakers" in kept:
        count = kept.pop("numSpeakers")
        kept |= {"minSpeakers": count, "maxSpeakers": count}
    return kept


def _answer(ledger: Ledger, row: Submission) -> Answer:
    expires = None if row.expires is None else datetime.fromtimestamp(row.expires, UTC)
    receipt = Receipt(row.id, row.job_id, row.billed_seconds, expires, row.remark)
    return Answer(load_answer(ledger, row), receipt=receipt)


def _explain_interrupt(error: KeyboardInterrupt, row: Submission | None, name: str) -> KeyboardInterrupt:
    """Make the interrupt that tells what goes on without us."""
    shown = shorten(name, 80)
    if row is not None and row.state == "accepted":
        return KeyboardInterrupt(
            f"job {row.job_id} ({shown}) goes on at pyannoteAI and will be billed, for a job there cannot be canceled; "
            f"diarnb.resume({row.job_id!r}), or running the cell again, fetches it"
        )
    if row is not None and row.state in OPEN and row.state != "prepared":
        return KeyboardInterrupt(
            f"{shown} may have been submitted; running the cell again looks for its job before anything is sent"
        )
    return error


def _run(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    return _loop.run(work, lambda _stage, _fraction: None)
