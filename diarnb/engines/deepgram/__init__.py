"""Deepgram: words with their speakers, of a recording or live.

`parameters` says what may be asked, `requests` asks once and pays once, `answers` makes turns of words; `live`
and `live_turns` do the same while somebody speaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from diarnb._text import shorten
from diarnb.engines.base import Answer, Engine, Offer, Option, Receipt, check_offered, check_options
from diarnb.engines.cloud import loop as _loop
from diarnb.engines.cloud.addresses import check_reachable, find_origin
from diarnb.engines.cloud.billing import CLOUD_OPTIONS, check_budget, check_cost, check_limits
from diarnb.engines.cloud.keys import find_key, seal_key
from diarnb.engines.cloud.links import Link
from diarnb.engines.cloud.service import Service
from diarnb.engines.deepgram import live
from diarnb.engines.deepgram.answers import read_answer
from diarnb.engines.deepgram.parameters import BATCH, LIVE, MODELS, UTT_SPLIT, check_batch, check_live, query_of
from diarnb.engines.deepgram.requests import ENDPOINT, PaidRequests, RequestOrder, billed_seconds
from diarnb.engines.question import Question
from diarnb.errors import AudioLimitError, InvalidParameterError, JobAcceptedError
from diarnb.store.ledger import Ledger, Submission
from diarnb.store.run import hash_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    import numpy as np

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.cloud.service import Pace
    from diarnb.params import Params
    from diarnb.store.run import Description

LARGEST = 2_000_000_000
"""Bytes that the service takes."""

MOST_CHANNELS = 20
"""That it transcribes each by itself."""

_LONGEST = 24 * 3600.0  # seconds; the service names no limit, and `open_recording` none above
_PROCESSING = 660.0  # seconds: the service gives up after ten minutes, and says so


def _on_lost_response(value: object) -> str:
    if not isinstance(value, str) or value not in ("raise", "rebill"):
        raise InvalidParameterError(f"on_lost_response is 'raise' or 'rebill', not {value!r:.60}")
    return value


def _newer_documents(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidParameterError(f"newer_documents is True or False, not {value!r:.60}")
    return value


class DeepgramEngine(Engine):
    """Deepgram's ``/v1/listen``, or a server that speaks the same language.

    Parameters
    ----------
    pace : Pace, optional
        How long to wait for what.
    """

    name = "deepgram"
    service = "Deepgram"
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
            "newer_documents": Option("let pass what documents since July 2026 allow", _newer_documents),
        },
    )
    """What `stream` takes."""

    def __init__(self, *, pace: Pace | None = None) -> None:
        self._pace = pace

    def version(self, model: str) -> str:  # noqa: ARG002 (the service does not tell before it answers)
        """Return a constant: how answers are read is no part of a paid run's key, and a model is told by its name."""
        return "1"

    def settle(self, params: Params, options: Options) -> Json:
        """Find the key and the address, put in what is asked by default, and refuse what the service refuses."""
        model = params.model or self.offer.default_model
        if isinstance(params.channels, int):
            raise InvalidParameterError(
                f"Deepgram cannot be asked for channel {params.channels} alone; take channels='split' and choose, or "
                "pass (samples, sample_rate) of that channel"
            )
        if params.channels == "split":
            if options.get("multichannel") is False:
                raise InvalidParameterError("channels='split' and multichannel=False contradict each other; keep one")
            options = {**options, "multichannel": True}
        check_budget(options)
        origin = find_origin(options.get("base_url"), "DEEPGRAM_BASE_URL", "https://api.deepgram.com")
        check_batch(model, options, official=_is_official(origin))
        if "callback" in options:
            check_reachable(options["callback"], origin, "Deepgram")
        key = find_key(options.get("api_key"), "DEEPGRAM_API_KEY", "Deepgram", "https://console.deepgram.com")
        asked = {} if "diarize" in options else {"diarize_model": "latest"}
        return {"punctuate": True, **asked, **options, "base_url": origin, "api_key": key}

    def diarize(self, recording: Recording | Link, params: Params, options: Options, progress: Progress) -> Answer:
        """Send the recording, or its address, and keep the answer as it came."""
        if isinstance(recording, Link):
            check_cost(recording.name, None, options)
            return self._answer(self._order(recording, params, options, url=recording.url), options, progress)
        channels = recording.channels if options.get("multichannel") else 1
        if channels > MOST_CHANNELS:
            raise AudioLimitError(
                f"{shorten(recording.name, 80)} has {channels} channels, and Deepgram transcribes {MOST_CHANNELS} "
                "each by itself. Leave channels='split' out, or cut the recording."
            )
        check_cost(recording.name, recording.duration * channels, options)
        with recording.file() as content:
            check_limits(recording.name, content, recording.duration, service="Deepgram", most=(LARGEST, _LONGEST))
            expected = recording.content_hash if content.exact else None
            order = self._order(recording, params, options, content=content, expected=expected)
            return self._answer(order, options, progress)

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

    def billable_seconds(self, seconds: float) -> float:
        """Compute the seconds that a recording is billed for; with ``channels="split"``, for each channel."""
        return seconds

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
        origin = find_origin(options.get("base_url"), "DEEPGRAM_BASE_URL", "https://api.deepgram.com")
        key = find_key(options.get("api_key"), "DEEPGRAM_API_KEY", "Deepgram", "https://console.deepgram.com")
        asked = {} if "diarize_model" in options else {"diarize": True}
        query = query_of(model, {"punctuate": True, "interim_results": True, **asked, **options})
        query += [("encoding", "linear16"), ("sample_rate", str(sample_rate)), ("channels", "1")]
        service = Service("Deepgram", origin, key, scheme=_scheme(key), pace=self._pace or live.PACE)
        return live.LiveStream(service, query, sample_rate, UTT_SPLIT).run(blocks)

    def _order(self, recording: Recording | Link, params: Params, options: Options, **what: Any) -> RequestOrder:
        about = Question(self, params, options).describe(recording)
        origin = options["base_url"]
        key = hash_json(recording.content_hash, origin, ENDPOINT, about.model, about.params, about.options)
        return RequestOrder(
            Submission(key=key, engine=self.name, origin=origin, endpoint=ENDPOINT, about=about),
            query=query_of(about.model, options),
            patience=options.get("timeout", max(_PROCESSING, 0.5 * (recording.duration or 0.0))),
            called_back="callback" in options,
            rebill=options.get("resubmit", False) or options.get("on_lost_response") == "rebill",
            **what,
        )

    def _answer(self, order: RequestOrder, options: Options, progress: Progress) -> Answer:
        key = options["api_key"]
        service = Service("Deepgram", options["base_url"], key, scheme=_scheme(key), pace=self._pace)
        ledger = Ledger()

        def work(report: Callable[[str, float], None]) -> Coroutine[Any, Any, tuple[Submission, Json]]:
            return PaidRequests(service, ledger, report).fetch_or_ask(order)

        try:
            row, raw = _loop.run(work, progress)
        except KeyboardInterrupt:
            if ledger.find(order.submission.key) is None:
                raise
            raise KeyboardInterrupt(
                f"{shorten(order.submission.source, 80)} had been sent to Deepgram as a whole, which does the work "
                "and bills it; its answer is lost by this interrupt. resubmit=True asks, and pays, again"
            ) from None
        return Answer(raw, receipt=Receipt(row.id, row.job_id, row.billed_seconds))


def _is_official(origin: str) -> bool:
    host = urlsplit(origin).hostname or ""
    return host == "deepgram.com" or host.endswith(".deepgram.com")


def _scheme(key: Any) -> str:
    """Return the scheme of a key, or of a temporary token, which is a JSON web token."""
    return "Bearer" if key.reveal().startswith("eyJ") and key.reveal().count(".") == 2 else "Token"
