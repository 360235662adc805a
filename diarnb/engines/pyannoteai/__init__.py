"""The pyannoteAI engine: a job at the service, paid once, whatever the network, the kernel or the user does.

`parameters` says what may be asked, `jobs` how the service is asked (`engines.cloud.job_engine` pays once), `polling`
waits for it, and `answers` reads what came.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from diarnb.engines.base import Answer, Offer
from diarnb.engines.cloud import loop as _loop
from diarnb.engines.cloud.job_engine import JobEngine, Wish, make_answer
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind
from diarnb.engines.pyannoteai import parameters
from diarnb.engines.pyannoteai.answers import read_answer
from diarnb.engines.pyannoteai.jobs import KEPT, LEAST_BILLED, PyannoteAIJobs
from diarnb.engines.pyannoteai.voiceprint_text import NEWEST, check_model, pack
from diarnb.engines.question import Question
from diarnb.errors import ApiResponseError, InvalidParameterError
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.cloud.links import Link
    from diarnb.engines.cloud.paid_jobs import Waits
    from diarnb.engines.cloud.service import Service
    from diarnb.store.run import Description

_VOICE_LIMITS = (100 * 1024**2, 30.05)  # bytes and seconds; an encoder's padding is nobody's fault
_OF_VOICEPRINTS = {"api_key", "base_url", "timeout", "webhook", "webhook_status_only", "resubmit"}


class PyannoteAIEngine(JobEngine):
    """pyannoteAI's hosted models."""

    name = "pyannoteai"
    service = "pyannoteAI"
    origin = "https://api.pyannote.ai"
    origin_variable = "PYANNOTEAI_BASE_URL"
    key_variable = "PYANNOTEAI_API_KEY"
    key_page = "dashboard.pyannote.ai"
    endpoint = "/v1/diarize"
    most: tuple[int, float] = (1024**3, 24 * 3600.0)
    least_billed = LEAST_BILLED
    kept: float | None = KEPT
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

    def check_asked(self, model: str, options: Options) -> None:
        """Refuse what the service refuses."""
        parameters.check(model, options)

    def open_jobs(self, service: Service, waits: Waits, url: str | None) -> PyannoteAIJobs:  # noqa: ARG002
        """Return how the service is asked; its list shows no addresses."""
        return PyannoteAIJobs(service, waits)

    def write_request(self, params: Params, options: Options) -> Wish:
        """Write what is asked; an earlier version named a model where none is named now."""
        body = parameters.request_of(params.model or parameters.DEFAULT, params, options)
        earlier = [{"model": parameters.EARLIER_DEFAULT, **body}] if params.model is None else []
        endpoint = "/v1/identify" if "voiceprints" in options else self.endpoint
        return Wish(endpoint, body, tuple((_deciding(each),) for each in [body, *earlier]))

    def diarize(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> Answer:
        """Fetch the job's answer: from the ledger, from the service, or by submitting it."""
        answer = super().diarize(recording, params, options, progress)
        if params.model in (None, *parameters.MODELS) or answer.receipt is None:
            return answer
        remark = f"The documents of pyannoteAI list no model {params.model!r:.60}; it was asked for all the same."
        said = " ".join(filter(None, [remark, answer.receipt.remark]))
        return replace(answer, receipt=replace(answer.receipt, remark=said))

    def make_voiceprint(
        self, recording: Recording, params: Params, options: Options, progress: Progress
    ) -> tuple[str, str | None]:
        """Have a voiceprint made; it is billed once each, and read from the ledger the second time.

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
            why = ", which is billed once each" if "max_cost" in unfit else ""
            raise InvalidParameterError(f"pyannoteAI makes a voiceprint{why}, without {min(unfit)}; leave it out")
        model = params.model or parameters.DEFAULT
        check_model(model)
        params = Params(model=params.model)
        about = Question(self, params, options).describe(recording)
        about = replace(about, options={**about.options, "voiceprint": True})  # it is no diarization of the same
        wanted = parameters.request_of(model, params, options)
        earlier = [] if params.model else [{"model": NEWEST, **wanted}]
        equals = tuple((_deciding(each),) for each in [wanted, *earlier])
        request = Wish("/v1/voiceprint", wanted, equals, most=_VOICE_LIMITS, by_piece=True)
        ledger, row = self.fetch_or_submit(request, recording, about, options, progress)
        output = make_answer(ledger, row).raw["output"]
        found, warning = output.get("voiceprint"), output.get("warning")
        said = [row.remark, quote_service(warning, 400) if isinstance(warning, str) else None]
        if not isinstance(found, str) or not found:
            raise ApiResponseError(
                "pyannoteAI's answer is not as its contract says: there is no voiceprint in it. It is kept as it came."
            )
        return pack(found, params.model or NEWEST), " ".join(filter(None, said)) or None

    def resume(self, job_id: str, options: Options, progress: Progress) -> tuple[Answer, Description]:
        """Wait for a job that was submitted before, here or elsewhere, and give its answer."""
        answer, about = super().resume(job_id, options, progress)
        if "voiceprint" in answer.raw.get("output", {}):
            raise InvalidParameterError(
                f"job {job_id} made a voiceprint and no turns; voiceprint(...) gives it, unbilled"
            )
        return answer, about

    def read(self, raw: Json, params: Params, options: Options) -> Json:  # noqa: ARG002
        """Read a job."""
        return read_answer(raw)

    def test(self, options: Mapping[str, object]) -> bool:
        """Ask the service whether it accepts the key."""
        service = self.connect(options)
        _loop.run(lambda _report: service.request("GET", "/v1/test", kind=Kind.READ), lambda _stage, _fraction: None)
        return True


def _deciding(request: Json) -> Json:
    """Leave out what does not change the answer; and the two ways to say a number of speakers are one."""
    kept = {name: value for name, value in request.items() if name not in ("webhook", "webhookStatusOnly")}
    if "numSpeakers" in kept:
        count = kept.pop("numSpeakers")
        kept |= {"minSpeakers": count, "maxSpeakers": count}
    return kept
