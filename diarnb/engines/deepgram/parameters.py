"""Every documented parameter of Deepgram's ``/v1/listen``, by its own name, with what the service accepts.

A request that the service would refuse is refused here, before a byte is sent. What depends on one value stands in the
tables `BATCH` and `LIVE`, what depends on several in `check_batch` and `check_live`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np

from diarnb.engines.cloud.billing import check_flag
from diarnb.engines.cloud.values import (
    Check,
    check_choice,
    check_number,
    check_several,
    check_text,
    is_encodable,
    make_options,
)
from diarnb.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._types import Options
    from diarnb.engines.base import Option

MODELS = (
    *("nova-3", "nova-3-general", "nova-3-medical"),
    *("nova-2", "nova-2-general", "nova-2-meeting", "nova-2-finance", "nova-2-conversationalai", "nova-2-voicemail"),
    *("nova-2-video", "nova-2-medical", "nova-2-drivethru", "nova-2-automotive", "nova-2-phonecall"),
    *("nova", "nova-general", "nova-phonecall", "nova-medical"),
    *("enhanced", "enhanced-general", "enhanced-meeting", "enhanced-phonecall", "enhanced-finance"),
    *("base", "base-general", "base-meeting", "base-phonecall", "base-finance", "base-conversationalai"),
    *("base-voicemail", "base-video"),
)
"""Those with a name, the default first; the service also takes the id of a custom model."""

UTT_SPLIT = 0.8
"""Seconds; the service's own default for a pause that ends an utterance."""

CALLBACK_PORTS = (80, 443, 8080, 8443)
"""The only ports that Deepgram calls back."""

_LANGUAGE = r"multi|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*"
_DIARIZERS = ("latest", "v2", "v1")
_RAW = ("linear16", "flac", "mulaw", "amr-nb", "amr-wb", "opus", "speex", "g729")


def _flag_or(name: str, value: object, *, other: Check) -> object:
    return bool(value) if isinstance(value, bool | np.bool_) else other(name, value)


def _callback(name: str, value: object, *, schemes: tuple[str, ...]) -> str:
    # Never shown: it may hold a password or a signature.
    try:
        parts = urlsplit(value if isinstance(value, str) and is_encodable(value) else "")
        sound = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise InvalidParameterError(f"{name} is the address of a server of yours, reached by {' or '.join(schemes)}")
    return str(value)


_language = partial(check_text, form=_LANGUAGE, like="a language's code such as 'en-GB', or 'multi'")
_tag = partial(check_text, most=128)
_extra = partial(check_text, most=2048, form=r"[^:]+:.*", like="'key:value'")
_replace = partial(check_text, form=r"[^:]+(:.*)?", like="'find:replacement'")
_words = partial(check_text, like="a word, or 'word:intensifier'")
_entity = partial(check_text, form=r"[A-Za-z_]+", like="'pci', 'pii', 'numbers' or a kind of entity")
_seconds = partial(check_number, low=0.0, unit=" of seconds")
_milliseconds = partial(check_number, low=0, whole=True, unit=" of milliseconds")
_topics = partial(check_several, each=check_text, most=100)
_mode = partial(check_choice, of=("extended", "strict"))

_SHARED: dict[str, tuple[str, Check]] = {
    "diarize": ("the older option for speakers; excludes diarize_model", check_flag),
    "version": ("the version of the model; default: 'latest'", check_text),
    "language": ("the language spoken; default: 'en'; 'multi' for several at once", _language),
    "language_hint": ("languages to expect, with nova-3 and language='multi'", partial(check_several, each=_language)),
    "punctuate": ("punctuation and capitals, on by default", check_flag),
    "smart_format": ("dates, numbers and so on in written form", check_flag),
    "numerals": ("numbers as digits", check_flag),
    "dictation": ("spoken 'comma' becomes a comma; needs punctuate", check_flag),
    "profanity_filter": ("leave out profanity", check_flag),
    "detect_entities": ("find names, places and so on", check_flag),
    "redact": (
        "hide 'pci', 'pii', 'numbers' or kinds of entities",
        partial(_flag_or, other=partial(check_several, each=_entity)),
    ),
    "replace": ("replace text: 'find:replacement'", partial(check_several, each=_replace)),
    "search": ("sounds to search for, at most 50", partial(check_several, each=check_text, most=50)),
    "keyterm": ("words to expect, at most 100; nova-3 only", partial(check_several, each=check_text, most=100)),
    "keywords": (
        "words to expect, 'word:intensifier', 100 at most; not nova-3",
        partial(check_several, each=_words, most=100),
    ),
    "tag": ("labels for the usage report, at most 128 characters each", partial(check_several, each=_tag)),
    "extra": ("'key:value' pairs that come back in the answer's metadata", partial(check_several, each=_extra)),
    "mip_opt_out": ("keep the audio out of the model improvement programme", check_flag),
    "callback_method": (
        "'post' or 'put'; a pre-signed address needs 'put'",
        partial(check_choice, of=("post", "put", "POST", "PUT")),
    ),
}

_BATCH: dict[str, tuple[str, Check]] = {
    "diarize_model": (
        "the diarizer: 'latest' (default), 'v2' or 'v1'",
        partial(check_choice, of=_DIARIZERS),
    ),
    "utterances": ("the service's own utterances, for diarnb.utterances(turns)", check_flag),
    "utt_split": ("seconds of pause that end an utterance, and here a turn; default: 0.8", _seconds),
    "paragraphs": ("the transcript in paragraphs", check_flag),
    "multichannel": ("transcribe each channel separately, as channels='split'", check_flag),
    "detect_language": (
        "detect the language, among all or a list of codes",
        partial(_flag_or, other=partial(check_several, each=_language)),
    ),
    "filler_words": ("keep 'uh' and 'um'", check_flag),
    "measurements": ("units in short", check_flag),
    "encoding": ("encoding of audio without a header, passed as a URL", partial(check_choice, of=_RAW)),
    "callback": (
        "where to send the answer, instead of waiting for it",
        partial(_callback, schemes=("https", "http")),
    ),
    "summarize": ("a summary: 'v2' or True", partial(_flag_or, other=partial(check_choice, of=("v2",)))),
    "sentiment": ("the sentiment of the words", check_flag),
    "topics": ("the topics of the conversation", check_flag),
    "custom_topic": ("topics to search for, at most 100", _topics),
    "custom_topic_mode": ("'extended' or 'strict': only those given", _mode),
    "intents": ("the intents of the speakers", check_flag),
    "custom_intent": ("intents to search for, at most 100", _topics),
    "custom_intent_mode": ("'extended' or 'strict': only those given", _mode),
    "alternatives": ("alternative transcripts; diarnb reads the first", partial(check_number, low=1, whole=True)),
    "tier": ("the tier of an older model", check_text),
}

_LIVE: dict[str, tuple[str, Check]] = {
    "diarize_model": ("refused by the service, unless newer_documents=True", partial(check_choice, of=_DIARIZERS)),
    "interim_results": ("also send interim results; on by default", check_flag),
    "endpointing": (
        "milliseconds of silence that end a stretch of speech, or False",
        lambda name, value: value if value is False else _milliseconds(name, value),
    ),
    "utterance_end_ms": (
        "report a pause of this many milliseconds; needs interim_results",
        partial(_milliseconds, low=1000),
    ),
    "vad_events": ("report the start of speech", check_flag),
    "no_delay": ("do not wait for context to format numbers", check_flag),
    "callback": (
        "where else to send the answers",
        partial(_callback, schemes=("wss", "ws", "https", "http")),
    ),
}

_UNCHANGING = ("tag", "extra", "mip_opt_out", "callback", "callback_method")

BATCH: dict[str, Option] = make_options({**_SHARED, **_BATCH}, unchanging=_UNCHANGING)
"""What a recording may be sent with."""

LIVE: dict[str, Option] = make_options({**_SHARED, **_LIVE}, unchanging=_UNCHANGING)
"""What a live stream may be opened with."""


def check_batch(model: str, options: Mapping[str, object], *, official: bool = True) -> None:
    """Refuse what the service refuses of a recording because of several values together.

    Parameters
    ----------
    model : str
    options : mapping
        Each already checked by itself.
    official : bool, default True
        Whether Deepgram itself is asked, which calls back a few ports only, and not a server of somebody else's.

    Raises
    ------
    InvalidParameterError
        With the reason.

    Examples
    --------
    >>> check_batch("nova-3", {"diarize_model": "latest"})
    """
    _check_model(model, options)
    if "diarize" in options and "diarize_model" in options:
        raise InvalidParameterError(
            "Deepgram rejects requests with both diarize and diarize_model: diarize=True always means the v1 diarizer, "
            "and diarize_model asks for speakers by itself; keep diarize_model"
        )
    if options.get("diarize") is False:
        raise InvalidParameterError(
            "diarize=False asks for words without speakers, and diarnb is about speakers; leave it out"
        )
    _check_callback(options, official=official)
    for topic in ("custom_topic", "custom_intent"):
        if f"{topic}_mode" in options and topic not in options:
            raise InvalidParameterError(f"{topic}_mode says how to use {topic}, which is not given")


def check_live(model: str, options: Mapping[str, object], *, newer_documents: bool = False) -> None:
    """Refuse what the service refuses of a live stream because of several values together.

    Parameters
    ----------
    model : str
    options : mapping
        Each already checked by itself.
    newer_documents : bool, default False
        Allow what the documents since July 2026 allow: ``diarize_model="latest"`` or ``"v1"``.

    Raises
    ------
    InvalidParameterError
        With the reason.
    """
    _check_model(model, options)
    if "diarize_model" in options and not newer_documents:
        raise InvalidParameterError(
            "Deepgram refuses diarize_model on a live stream, whatever its value: speakers come by diarize=True, which "
            "diarnb sends by itself; leave diarize_model out (newer_documents=True lets 'latest' and 'v1' pass)"
        )
    if options.get("diarize_model") == "v2":
        raise InvalidParameterError("Deepgram has no v2 diarizer for live streams; take diarize_model='v1' or 'latest'")
    if "diarize" in options and "diarize_model" in options:
        raise InvalidParameterError("Deepgram rejects requests with both diarize and diarize_model; keep one of them")
    if options.get("diarize") is False:
        raise InvalidParameterError(
            "diarize=False asks for words without speakers, and diarnb is about speakers; leave it out"
        )
    if "utterance_end_ms" in options and options.get("interim_results") is False:
        raise InvalidParameterError("utterance_end_ms needs interim_results=True")
    _check_callback(options, official=False)


def query_of(model: str, options: Mapping[str, object]) -> list[tuple[str, str]]:
    """Write parameters as the service reads them: flags in lower case, lists by repetition.

    Examples
    --------
    >>> query_of("nova-3", {"punctuate": True, "keyterm": ["diarnb", "DER"]})
    [('model', 'nova-3'), ('punctuate', 'true'), ('keyterm', 'diarnb'), ('keyterm', 'DER')]
    """
    given = [(name, value) for name, value in options.items() if name in BATCH or name in LIVE]
    pairs = [(name, entry) for name, value in given for entry in (value if isinstance(value, list) else [value])]
    return [("model", model), *((name, _write_value(value)) for name, value in pairs)]


def _write_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_model(model: str, options: Mapping[str, object]) -> None:
    family = model.lower()
    if family.startswith("whisper"):
        raise InvalidParameterError(
            f"Deepgram does not diarize with whisper models, and model={model!r:.60} is one; take model='nova-3'"
        )
    if family.startswith("flux"):
        raise InvalidParameterError(
            f"model={model!r:.60} belongs to another product of Deepgram's, without speakers; take model='nova-3'"
        )
    if "keywords" in options and family.startswith("nova-3"):
        raise InvalidParameterError("nova-3 takes no keywords; write keyterm=[...], without intensifiers")
    # A custom model is of a family that its name does not tell.
    if "keyterm" in options and model in MODELS and not family.startswith("nova-3"):
        raise InvalidParameterError(f"only nova-3 takes keyterm; for model={model!r:.60} write keywords=[...]")
    if options.get("dictation") and options.get("punctuate") is False and not options.get("smart_format"):
        raise InvalidParameterError("dictation needs punctuate; leave punctuate=False out")


def _check_callback(options: Options, *, official: bool) -> None:
    if "callback" not in options:
        if "callback_method" in options:
            raise InvalidParameterError("callback_method says how to call back, but callback, where to, is not given")
        return
    parts = urlsplit(options["callback"])
    if official and parts.port is not None and parts.port not in CALLBACK_PORTS:
        allowed = ", ".join(map(str, CALLBACK_PORTS))
        raise InvalidParameterError(f"Deepgram calls back on the ports {allowed} only, and callback names {parts.port}")
    signed = any(name.lower() in {"x-amz-signature", "signature"} for name in parse_qs(parts.query))
    if signed and options.get("callback_method", "post").lower() != "put":
        raise InvalidParameterError(
            "callback is a pre-signed address, which takes uploads only: add callback_method='put'"
        )
