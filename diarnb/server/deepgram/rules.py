"""What may be asked of ``/v1/listen``: every documented parameter, checked as the service checks it.

Names that nobody knows are let pass, as there; a value of a wrong type is refused by the name of its parameter. What
is known and cannot be done here is let pass too, and the answer says so.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from diarnb.engines.deepgram.parameters import MODELS, UTT_SPLIT
from diarnb.server.web.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diarnb._types import Json

MOST_CHANNELS = 20
"""That can be transcribed each by itself."""

RAW = ("linear16", "linear32", "mulaw", "alaw")
"""Sound without a header that a stream may bring."""

FLAGS = (
    *("diarize", "multichannel", "utterances", "paragraphs", "punctuate", "smart_format", "filler_words", "numerals"),
    *("measurements", "dictation", "profanity_filter", "mip_opt_out", "sentiment", "topics", "intents"),
    *("detect_entities", "interim_results", "vad_events", "no_delay"),
)
LISTS = {"keyterm": 100, "keywords": 100, "search": 50, "custom_topic": 100, "custom_intent": 100}
REPEATED = (*LISTS, "tag", "extra", "redact", "replace", "language_hint", "detect_language")
CHOICES = {
    "diarize_model": ("latest", "v1", "v2"),
    "callback_method": ("POST", "PUT", "post", "put"),
    "custom_topic_mode": ("extended", "strict"),
    "custom_intent_mode": ("extended", "strict"),
    "summarize": ("v2", "true", "false"),
}
LANGUAGE = r"multi|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*"
FAMILY = r"(nova|enhanced|base|whisper|flux)([-_].*)?"
MODEL = r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}"
_WHISPER = ("whisper", *(f"whisper-{size}" for size in ("tiny", "base", "small", "medium", "large")))
KNOWN = (*MODELS, *_WHISPER)
DEFAULT_MODEL = "base-general"
LONGEST_TAG, LONGEST_EXTRA = 128, 2048
"""Characters."""

TOGETHER = {
    "diarize_model": "diarize and diarize_model cannot both be set",
    "keywords": "nova-3 takes keyterm instead of keywords",
    "keyterm": "only nova-3 takes keyterm",
}
"""What no schema can say of a parameter beside others, by its name."""

LARGEST = 1e9
"""What every number is below."""

_UNDONE = (
    *("search", "redact", "replace", "summarize", "sentiment", "topics", "intents", "detect_entities", "numerals"),
    *("measurements", "dictation", "profanity_filter", "detect_language", "keyterm", "keywords", "filler_words"),
)
"""What would change the words, or be found in them, and needs what this server has not."""


def parse_batch(query: Iterable[tuple[str, str]]) -> Json:
    """Read the query of a recording.

    Parameters
    ----------
    query : iterable of (str, str)
        As it came, decoded.

    Returns
    -------
    dict
        JSON: ``model``, ``diarizer`` (v1, v2 or None), ``multichannel``, ``punctuate``, ``utterances``, ``utt_split``,
        ``paragraphs``, ``language``, ``tags``, ``extra``, ``callback`` and ``callback_method``, and ``warnings``, a
        list of ``{"parameter", "type", "message"}``.

    Raises
    ------
    Refusal

    Examples
    --------
    >>> parse_batch([("model", "nova-3"), ("diarize_model", "latest")])["diarizer"]
    'v2'
    """
    asked = _Query(query)
    told = asked.read_shared()
    smart, paragraphs = asked.flag("smart_format"), asked.flag("paragraphs")
    if (diarizer := asked.one("diarize_model")) is not None:
        if asked.one("diarize") is not None:
            raise _bad_request(TOGETHER["diarize_model"])
        diarizer = "v2" if diarizer == "latest" else diarizer
    else:
        diarizer = "v1" if asked.flag("diarize") else None
    if diarizer and told["model"].startswith("whisper"):
        diarizer = None
        told["warnings"].append(_warning("model", "Whisper models do not diarize: nobody is named."))
    if smart:
        told["warnings"].append(_warning("smart_format", "Dates, numbers and amounts stay as spoken."))
    return told | {
        "diarizer": diarizer,
        "punctuate": asked.flag("punctuate") or smart or paragraphs,
        "utterances": asked.flag("utterances"),
        "utt_split": asked.number("utt_split", UTT_SPLIT, low=0.0),
        "paragraphs": smart or paragraphs,
        "callback": asked.one("callback"),
        "callback_method": (asked.one("callback_method") or "POST").upper(),
    }


def parse_live(query: Iterable[tuple[str, str]], *, newer: bool = False) -> Json:
    """Read the query of a stream.

    Parameters
    ----------
    query : iterable of (str, str)
    newer : bool, default False
        Whether a diarizer may be named, as in the documents since July 2026.

    Returns
    -------
    dict
        As of `parse_batch`, but for what streams do not have; and ``encoding`` (None for a header), ``sample_rate``,
        ``channels``, ``interim_results``, ``vad_events``, ``endpointing`` and ``utterance_end`` (seconds or None).

    Raises
    ------
    Refusal

    Examples
    --------
    >>> query = [("model", "nova-3"), ("encoding", "linear16"), ("sample_rate", "16000"), ("endpointing", "300")]
    >>> parse_live(query)["endpointing"]
    0.3
    """
    asked = _Query(query)
    told = asked.read_shared()
    diarizer = asked.one("diarize_model")
    if diarizer is not None and not newer:
        raise _bad_request("diarize_model cannot be used with streaming; set diarize=true")
    if diarizer == "v2":
        raise _invalid_parameter("diarize_model", "a stream has no v2 diarizer")
    if diarizer is not None and asked.one("diarize") is not None:
        raise _bad_request(TOGETHER["diarize_model"])
    if asked.one("callback") is not None:
        raise _bad_request("this server supports no callback for streams; leave out callback")
    interim = asked.flag("interim_results")
    pause = asked.number("utterance_end_ms", None, low=1000.0)
    if pause is not None and not interim:
        raise _bad_request("utterance_end_ms needs interim_results=true")
    return told | asked.read_sound() | {
        "diarizer": "v1" if diarizer or asked.flag("diarize") else None,
        "punctuate": asked.flag("punctuate") or asked.flag("smart_format"),
        "interim_results": interim,
        "vad_events": asked.flag("vad_events"),
        "endpointing": asked.read_endpointing(),
        "utterance_end": None if pause is None else pause / 1000,
    }  # fmt: skip


class _Query:
    """A query, by name."""

    def __init__(self, query: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in query:
            self._values.setdefault(name, []).append(value)
        for name in (*FLAGS, *CHOICES):
            allowed = CHOICES.get(name, ("true", "false"))
            if self.one(name) not in (None, *allowed):
                raise _invalid_parameter(name, f"expected one of {', '.join(allowed)}")

    def one(self, name: str) -> str | None:
        values = self._values.get(name, [])
        if len(values) > 1:
            raise _invalid_parameter(name, "duplicate field")
        return values[0] if values else None

    def several(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def flag(self, name: str) -> bool:
        return self.one(name) == "true"

    def number(self, name: str, otherwise: float | None, *, low: float) -> float | None:
        value = self.one(name)
        if value is None:
            return otherwise
        try:
            number = float(value) if re.fullmatch(r"[-+.\deE]{1,30}", value, re.ASCII) else math.nan
        except ValueError:
            number = math.nan
        if not low <= number < LARGEST:
            raise _invalid_parameter(name, f"expected a number, {low:g} or more")
        return number

    def whole(self, name: str, otherwise: int | None, *, low: int, high: int) -> int | None:
        value = self.number(name, otherwise, low=low)
        if value is not None and (value % 1 or value > high):
            raise _invalid_parameter(name, f"expected a whole number from {low} to {high}")
        return None if value is None else int(value)

    def read_shared(self) -> Json:
        """Read what recordings and streams have in common."""
        for name, most in LISTS.items():
            if len(self.several(name)) > most:
                raise _bad_request(f"{name} is given more than {most} times")
        language = self.one("language")
        for value in (*([] if language is None else [language]), *self.several("language_hint")):
            if not re.fullmatch(LANGUAGE, value):
                raise _bad_request("No such language: expected a code such as en or en-GB")
        tags, extra = self.several("tag"), self.several("extra")
        if any(not tag or len(tag) > LONGEST_TAG for tag in tags):
            raise _invalid_parameter("tag", f"expected 1 to {LONGEST_TAG} characters")
        if any(":" not in pair or len(pair) > LONGEST_EXTRA for pair in extra):
            raise _invalid_parameter("extra", f"expected key:value, of {LONGEST_EXTRA} characters at most")
        undone = [name for name in _UNDONE if any(value != "false" for value in self.several(name))]
        return {
            "model": self._read_model(),
            "multichannel": self.flag("multichannel"),
            "language": language,
            "tags": tags,
            "extra": dict(pair.split(":", 1) for pair in extra),
            "warnings": [_warning(name, f"This server does nothing about {name}.") for name in undone],
        }

    def _read_model(self) -> str:
        """Read the name of the model; of a known family it must be a known one, any other may be somebody's own."""
        model = DEFAULT_MODEL if (given := self.one("model")) is None else given
        if not re.fullmatch(MODEL, model) or (re.fullmatch(FAMILY, model) and model not in KNOWN):
            raise _bad_request("No such model/version combination found.")
        nova = model.startswith("nova-3")
        if nova and self.several("keywords"):
            raise _bad_request(TOGETHER["keywords"])
        if model in KNOWN and not nova and self.several("keyterm"):
            raise _bad_request(TOGETHER["keyterm"])
        return model

    def read_sound(self) -> Json:
        """Read how the audio of a stream is coded."""
        encoding = self.one("encoding")
        if encoding is not None and encoding not in RAW:
            raise _invalid_parameter("encoding", f"this server streams {', '.join(RAW)}, and WAV without encoding")
        rate = self.whole("sample_rate", None, low=1, high=1_000_000)
        if encoding is not None and (rate is None or not 4000 <= rate <= 192_000):
            raise _invalid_parameter("sample_rate", f"expected 4000 to 192000, for encoding={encoding}")
        channels = self.whole("channels", 1, low=1, high=MOST_CHANNELS)
        return {"encoding": encoding, "sample_rate": rate, "channels": channels}

    def read_endpointing(self) -> float | None:
        value = self.one("endpointing")
        if value in (None, "true"):
            return 0.01
        return None if value == "false" else (self.number("endpointing", None, low=0.0) or 0.0) / 1000


def _warning(name: str, message: str) -> dict[str, str]:
    return {"parameter": name, "type": "unsupported", "message": message}


def _bad_request(why: str) -> Refusal:
    return Refusal(400, f"Bad Request: {why}", code="Bad Request")


def _invalid_parameter(name: str, why: str) -> Refusal:
    message = f"Failed to deserialize query parameters: {name}: {why}"
    return Refusal(400, message, code="INVALID_QUERY_PARAMETER")
