"""Deepgram: words with their speakers, of a recording or live.

`parameters` says what may be asked, `requests` asks once and pays once, `answers` makes turns of words; `live`
and `live_turns` do the same while somebody speaks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from diarnb._text import shorten
from diarnb.audio import Recording
from diarnb.engines.base import Answer, Offer, Option, check_offered, check_options
from diarnb.engines.cloud.addresses import check_reachable, find_origin
from diarnb.engines.cloud.billing import CLOUD_OPTIONS, check_flag
from diarnb.engines.cloud.job_engine import PaidEngine, Wish
from diarnb.engines.cloud.keys import find_key, seal_key
from diarnb.engines.cloud.paid_requests import PaidRequests
from diarnb.engines.cloud.service import Service
from diarnb.engines.deepgram import live
from diarnb.engines.deepgram.answers import read_answer
from diarnb.engines.deepgram.parameters import BATCH, LIVE, MODELS, UTT_SPLIT, check_batch, check_live, query_of
from diarnb.engines.deepgram.requests import ENDPOINT, DeepgramRequests, billed_seconds
from diarnb.engines.question import Question
from diarnb.errors import AudioLimitError, InvalidParameterError, JobAcceptedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.engines.cloud.links import Link
    from diarnb.engines.cloud.paid_jobs import Report
    from diarnb.params import Params
    from diarnb.store.ledger import Ledger
    from diarnb.store.run import Description

MOST_CHANNELS = 20
"""That it transcribes each by itself."""


def _on_lost_response(value: object) -> str:
    if not isinstance(value, str) or value not in ("raise", "rebill"):
        raise InvalidParameterError(f"on_lost_response is 'raise' or 'rebill', not {value!r:.60}")
    return value


class DeepgramEngine(PaidEngine):
    """Deepgram's ``/v1/listen``, or a server that speaks the same language."""

    name = "deepgram"
    service = "Deepgram"
    origin = "https://api.deepgram.com"
    origin_variable = "DEEPGRAM_BASE_URL"
    key_variable = "DEEPGRAM_API_KEY"
    key_page = "https://console.deepgram.com"
    most: tuple[int, float] = (2_000_000_000, 24 * 3600.0)  # the service names no longest, `open_recording` none above
    offer: Offer = Offer(
        models=MODELS,
        count=False,
        confidence=False,
        words=True,
        links=True,
        any_model=True,
        billed=True,
        at_once=10,
        options={
            **CLOUD_OPTIONS,
            **BATCH,
            "on_lost_response": Option(
                "'raise' (unless given), or 'rebill', as resubmit=True",
                _on_lost_response,
                changes_result=False,
            ),
        },
    )
    live_offer: Offer = Offer(
        models=MODELS,
        count=False,
        exclusive=False,
        confidence=False,
        turn_level_confidence=False,
        channels=False,
        any_model=True,
        options={
            **{name: CLOUD_OPTIONS[name] for name in ("api_key", "base_url")},
            **LIVE,
            "newer_documents": Option(
                "let pass what documents since July 2026 allow", partial(check_flag, "newer_documents")
            ),
        },
    )
    """What `stream` takes."""

    def settle(self, params: Params, options: Options) -> Json:
        """Find the key and the address, put in what is asked by default, and refuse what the service refuses."""
        if isinstance(params.channels, int):
            raise InvalidParameterError(
                f"Deepgram cannot be asked for channel {params.channels} alone; take channels='split' and choose, or "
                "pass (samples, sample_rate) of that channel"
            )
        if params.channels == "split":
            if options.get("multichannel") is False:
                raise InvalidParameterError("channels='split' and multichannel=False contradict each other; keep one")
            options = {**options, "multichannel": True}
        if options.get("on_lost_response") == "rebill":
            options = {**options, "resubmit": True}
        asked = {} if "diarize" in options else {"diarize_model": "latest"}
        return {"punctuate": True, **asked, **super().settle(params, options)}

    def check_asked(self, model: str, options: Options) -> None:
        """Refuse what the service refuses."""
        check_batch(model, options, official=_is_official(options["base_url"]))
        if "callback" in options:
            check_reachable(options["callback"], options["base_url"], self.service)

    def connect(self, options: Options) -> Service:
        """Return the service at the settled address, with the settled key, or a temporary token."""
        key = options["api_key"]
        return Service(self.service, options["base_url"], key, scheme=_scheme(key), pace=self._pace)

    def write_request(self, params: Params, options: Options) -> Wish:
        """Write what is asked."""
        asked = Question(self, params, options).asked
        equals = (asked["model"], asked["params"], asked["options"])
        return Wish(ENDPOINT, {"query": query_of(asked["model"], options)}, (equals,))

    def pay_once(self, service: Service, ledger: Ledger, report: Report, url: str | None) -> PaidRequests:  # noqa: ARG002
        """Return what asks once: the answer exists only in the response."""
        return PaidRequests(DeepgramRequests(service), ledger, report)

    def count_billed(self, recording: Recording | Link, options: Options) -> float | None:
        """Compute the seconds that are billed: each channel that is transcribed by itself counts."""
        seconds = super().count_billed(recording, options)
        return None if seconds is None else seconds * _count_channels(recording, options)

    def diarize(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> Answer:
        """Send the recording, or its address, and keep the answer as it came."""
        if (channels := _count_channels(recording, options)) > MOST_CHANNELS:
            raise AudioLimitError(
                f"{shorten(recording.name, 80)} has {channels} channels, and Deepgram transcribes {MOST_CHANNELS} "
                "each by itself. Leave channels='split' out, or cut the recording."
            )
        return super().diarize(recording, params, options, progress)

    def submit(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> str:
        """Send the recording, whose answer goes to the callback, and give the request's id."""
        if "callback" not in options:
            raise InvalidParameterError(
                "Deepgram keeps no answers: callback='https://...' says where to send this one, or run diarnb.diarize"
            )
        try:
            answer = self.diarize(recording, params, options, progress)
        except JobAcceptedError as accepted:
            return accepted.job_id
        return str(answer.receipt and answer.receipt.job_id)  # it had been answered before

    def read(self, raw: Json, params: Params, options: Options) -> Json:
        """Read an answer, or what was delivered to a callback."""
        split = params.channels == "split" or bool(options.get("multichannel"))
        return read_answer(raw, options, split=split)

    def bill(self, raw: Json, about: Description) -> Json:  # noqa: ARG002
        """Compute what a delivered answer costs."""
        return {"billed_seconds": billed_seconds(raw)}

    def stream(
        self, blocks: Iterable[np.ndarray], sample_rate: int, params: Params, options: Options
    ) -> Iterator[list[Json]]:
        """Stream turns while somebody speaks.

        Parameters
        ----------
        blocks : iterable of numpy.ndarray
            float32 samples, one channel, in any pieces; about 0.1 s each keeps the delay small.
        sample_rate : int
            Hz.
        params : Params
            Only ``model`` may be given.
        options : mapping
            As `live_offer` has them; checked here.

        Returns
        -------
        iterator of list of dict
            Turns that are new or have changed: ``turn_id, start, end, speaker, text, final``, times in seconds. What is
            wrong with the arguments is raised by this call; the connection begins with the first block.

        Raises
        ------
        InvalidParameterError
            The service refuses it, or has no such parameter.
        MissingApiKeyError
        ConfigurationError
            The package websockets is missing.
        """
        options = seal_key(dict(options))  # a traceback may show what is in this frame
        options = check_options(options, self.live_offer, self.name)
        check_offered(params, self.live_offer, self.name)
        model = params.model or self.live_offer.default_model
        newer = options.pop("newer_documents", False)
        check_live(model, options, newer_documents=newer)
        live.check_installed()
        origin = find_origin(options.get("base_url"), self.origin_variable, self.origin)
        key = find_key(options.get("api_key"), self.key_variable, self.service, self.key_page)
        asked = {} if "diarize_model" in options else {"diarize": True}
        query = query_of(model, {"punctuate": True, "interim_results": True, **asked, **options})
        query += [("encoding", "linear16"), ("sample_rate", str(sample_rate)), ("channels", "1")]
        service = Service(self.service, origin, key, scheme=_scheme(key), pace=self._pace or live.PACE)
        return live.LiveStream(service, query, sample_rate, UTT_SPLIT).run(blocks)


def _count_channels(recording: Recording | Link, options: Options) -> int:
    """Count the channels that are transcribed each by itself."""
    return recording.channels if options.get("multichannel") and isinstance(recording, Recording) else 1


def _is_official(origin: str) -> bool:
    host = urlsplit(origin).hostname or ""
    return host == "deepgram.com" or host.endswith(".deepgram.com")


def _scheme(key: Any) -> str:
    """Return the scheme of a key, or of a temporary token, which is a JSON web token."""
    return "Bearer" if key.reveal().startswith("eyJ") and key.reveal().count(".") == 2 else "Token"
