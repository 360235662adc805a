"""The AssemblyAI engine: words with their speakers, from a service that works in jobs (`engines.cloud.job_engine`).

`docs/assemblyai.md` has the contract, as its public documents tell it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from diarnb._text import shorten
from diarnb.engines.base import Offer
from diarnb.engines.cloud.billing import CLOUD_OPTIONS, check_flag, content_body
from diarnb.engines.cloud.job_engine import JobEngine, Wish
from diarnb.engines.cloud.paid_jobs import AcceptedJob, ListedJob, Result, check_job_id, look_at_job, wait_for_end
from diarnb.engines.cloud.reading import BEYOND, AnswerReader
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind
from diarnb.engines.cloud.values import Check, check_several, check_text, make_options
from diarnb.errors import ApiResponseError, InvalidParameterError, JobExpiredError, JobFailedError
from diarnb.transcripts import group_words, make_utterance
from diarnb.transcripts.words import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json, Options
    from diarnb.engines.cloud.paid_jobs import Order, Report, Waits
    from diarnb.engines.cloud.service import Service
    from diarnb.params import Params
    from diarnb.store.ledger import Submission

_SERVICE_DEFAULT, _PAGE = "service default", 100
_read = AnswerReader("AssemblyAI", unit=0.001)
_language = partial(check_text, form=r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", like="a language's code such as 'en_uk'")
OPTIONS: dict[str, tuple[str, Check]] = {
    "language_code": ("the language spoken; default: the service's", _language),
    "language_detection": ("detect the language", check_flag),
    "punctuate": ("punctuation, on by default", check_flag),
    "format_text": ("capitals and numbers in written form, on by default", check_flag),
    "disfluencies": ("keep 'uh' and 'um'", check_flag),
    "filter_profanity": ("leave out profanity", check_flag),
    "keyterms_prompt": ("words to expect, at most 1000", partial(check_several, each=check_text, most=1000)),
    "prompt": ("what the recording is about, in words", check_text),
}


class AssemblyAIJobs:
    """The service, as `PaidJobs` asks it."""

    name = "AssemblyAI"
    kept: float | None = 30 * 86400.0

    def __init__(self, service: Service, waits: Waits, url: str | None) -> None:
        self._service, self._waits, self._url = service, waits, url

    def media_address(self, content_hash: str) -> None:
        """Return None: the service names what is uploaded."""

    async def upload(self, order: Order, media: str | None, report: Report) -> str:  # noqa: ARG002
        """Send the audio; return the address that only the service can read."""
        assert order.content is not None  # noqa: S101
        expected, kind = order.content_hash if order.exact else None, "application/octet-stream"
        body = content_body(order.content, expected, lambda part: report("uploading", 0.3 * part), type=kind)
        reply = await self._service.request("POST", "/v2/upload", kind=Kind.WRITE, body=body)
        url = reply.json().get("upload_url")
        if not isinstance(url, str) or not url.startswith(("https://", self._service.origin)):
            raise reply.unlike(f"upload_url is {url!r:.60}")
        return url

    async def submit_job(self, row: Submission, order: Order, before: Callable[[], object]) -> AcceptedJob:
        """Send the one request that is billed."""
        body, within = {"audio_url": order.url or row.media, **order.request}, self._waits.submit
        ask = partial(self._service.request, "POST", row.endpoint, kind=Kind.BILLED, json=body, within=within)
        try:
            return AcceptedJob(check_job_id((await ask(before=before)).json().get("id"), self.name))
        except ApiResponseError as error:
            error.uncertain = True  # there is a job, but who knows which
            raise

    async def list_jobs(self, cursor: str | None) -> tuple[list[ListedJob], str | None]:
        """Read a page of the list, newest first."""
        query = {"limit": _PAGE} if cursor is None else {"limit": _PAGE, "before_id": cursor}
        page = (await self._service.request("GET", "/v2/transcript", kind=Kind.READ, query=query)).json()
        found = []
        for row in _read.rows(page.get("transcripts"), "transcripts"):
            job, url = _read.mapping(row, "transcripts[]"), row.get("audio_url")
            media = url if isinstance(url, str) and url != self._url else None
            job_id = check_job_id(job.get("id"), self.name)
            found.append(ListedJob(job_id, media, job.get("created"), job.get("status")))
        return found, found[-1].id if len(found) == _PAGE else None

    async def check_job(self, job_id: str) -> None:
        """Raise `JobNotFoundError` where the service knows no such job."""
        await look_at_job(self._service, f"/v2/transcript/{job_id}", job_id, "of another recording")

    async def collect(self, row: Submission, timeout: float | None, report: Report) -> Result:
        """Wait until a job has ended, and take its answer."""
        job_id, ended = check_job_id(row.job_id, self.name), ("completed", "error")
        path, poll = f"/v2/transcript/{job_id}", self._waits.poll
        reply, job = await wait_for_end(self._service, path, row, ended, poll=poll, timeout=timeout, report=report)
        about = f"job {job_id} ({shorten(row.source, 80)})"
        if job["status"] == "error":
            said = quote_service(str(job.get("error")), 150)
            raise JobFailedError(f"{about} failed at AssemblyAI: {said}. Fix that, then run again", job_id=job_id)
        if not isinstance(job.get("words"), list):
            gone = f"{about} is done, and AssemblyAI has deleted its result"
            raise JobExpiredError(f"{gone}; resubmit=True submits it again, and is billed again", job_id=job_id)
        last, told = max((word["end"] for word in read_words(job)), default=0.0), job.get("audio_duration")
        billed = row.about.duration if told is None else _read.number(told, "audio_duration")
        return Result(reply.body, last, time.time(), billed)


class AssemblyAIEngine(JobEngine):
    """AssemblyAI's ``/v2/transcript`` with ``speaker_labels``.

    .. versionadded:: 0.2.0
    """

    name = "assemblyai"
    service = "AssemblyAI"
    origin = "https://api.assemblyai.com"
    origin_variable = "ASSEMBLYAI_BASE_URL"
    key_variable = "ASSEMBLYAI_API_KEY"
    key_page = "https://www.assemblyai.com/dashboard"
    scheme = ""
    endpoint = "/v2/transcript"
    most: tuple[int, float] = (2_200_000_000, 10 * 3600.0)
    offer: Offer = Offer(
        models=(_SERVICE_DEFAULT, "universal-3-5-pro", "universal-3-pro", "universal-2"),
        confidence=False,
        turn_level_confidence=False,
        channels=False,
        words=True,
        links=True,
        any_model=True,
        billed=True,
        at_once=10,
        options={**CLOUD_OPTIONS, **make_options(OPTIONS)},
    )

    def check_asked(self, model: str, options: Options) -> None:  # noqa: ARG002
        """Refuse what contradicts itself."""
        if "language_code" in options and options.get("language_detection"):
            raise InvalidParameterError("language_code and language_detection=True contradict each other; keep one")

    def open_jobs(self, service: Service, waits: Waits, url: str | None) -> AssemblyAIJobs:
        """Return how the service is asked."""
        return AssemblyAIJobs(service, waits, url)

    def write_request(self, params: Params, options: Options) -> Wish:
        """Write what is asked as the service reads it."""
        body: Json = {"speaker_labels": True, **{name: options[name] for name in OPTIONS if name in options}}
        (low, high), model = params.bounds, params.model
        if low == high:
            body["speakers_expected"] = low
        elif (low, high) != (1, None):
            most = {} if high is None else {"max_speakers_expected": high}
            body["speaker_options"] = {"min_speakers_expected": low, **most}
        return Wish(self.endpoint, body if model in (None, _SERVICE_DEFAULT) else {**body, "speech_models": [model]})

    def read(self, raw: Json, params: Params, options: Options) -> Json:  # noqa: ARG002
        """Read a finished job: a turn is a run of words of one speaker without a pause."""
        words = read_words(raw)
        if words and not any(word["speaker"] for word in words):
            raise ApiResponseError("AssemblyAI gave words and no speaker: its diarizer did not run. It is kept.")
        turns = [make_utterance(group) for group in group_words(words, PAUSE) if group[0]["speaker"]]
        keys, used = ("start", "end", "speaker", "text"), raw.get("speech_model_used")
        return {
            "columns": ["text"],
            "diarization": [{key: turn[key] for key in keys} for turn in turns],
            "words": words,
            "utterances": turns,
            "model": quote_service(used, 60) if isinstance(used, str) else None,
            "warning": None if words else "AssemblyAI heard no words, so there are no turns.",
        }


def read_words(job: Json) -> list[Json]:
    """Read the words of a job, times in seconds; speaker A is SPEAKER_00, and a name stays as it is."""
    duration = job.get("audio_duration")
    until = 14 * 86400.0 if duration is None else _read.number(duration, "audio_duration") + BEYOND
    words = []
    for number, item in enumerate(_read.rows(job.get("words"), "words")):
        place = f"words[{number}]"
        start, end = _read.span(_read.mapping(item, place), place, until)
        text, label = _read.text(item.get("text"), f"{place}.text"), item.get("speaker")
        if label is not None and len(_read.text(label, f"{place}.speaker")) == 1 and "A" <= label <= "Z":
            label = f"SPEAKER_{ord(label) - ord('A'):02d}"
        word = {"start": start, "end": end, "word": text.strip(' .,;:!?…"“”()').lower(), "text": text, "speaker": label}
        confidence = _read.share(item.get("confidence"), f"{place}.confidence")
        words.append({**word, "confidence": confidence, "speaker_confidence": None, "channel": 0})
    return sorted(words, key=lambda word: (word["start"], word["end"]))
