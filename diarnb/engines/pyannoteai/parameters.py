"""What pyannoteAI may be asked, and how it is written in a request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from diarnb.engines.base import Option
from diarnb.engines.cloud.addresses import check_reachable, is_loopback
from diarnb.engines.cloud.billing import CLOUD_OPTIONS, check_flag
from diarnb.engines.matching import check_matching, check_voiceprints
from diarnb.engines.pyannoteai.voiceprint_text import check_model, unpack
from diarnb.errors import InvalidParameterError
from diarnb.store.run import hash_json

if TYPE_CHECKING:
    from diarnb._types import Json, Options
    from diarnb.params import Params

DEFAULT = "service default"
"""What stands in the place of a model where none is named: the request names none, and the service decides."""

LISTED = ("precision-2", "community-1", "precision-3", "precision-1")
"""What documents of 2026 list, the current first; the service may know others."""

MODELS = (DEFAULT, *LISTED)
"""What `Offer.models` shows."""

EARLIER_DEFAULT = "precision-1"
"""What diarnb 0.1.0 asked for where no model was named."""

TRANSCRIBERS = ("parakeet-tdt-0.6b-v3", "faster-whisper-large-v3-turbo")

_MATCHING = {"exclusive": True, "threshold": 0.0}
_VENDOR_NAMES = {
    "num_speakers": "numSpeakers",
    "min_speakers": "minSpeakers",
    "max_speakers": "maxSpeakers",
    "turn_level_confidence": "turnLevelConfidence",
    "exclusive": "exclusive",
    "confidence": "confidence",
    "transcription": "transcription",
    "transcription_config": "transcriptionConfig",
    "speech_probability": "speechProbability",
    "crosstalk_probability": "crosstalkProbability",
    "speaker_probability": "speakerProbability",
    "webhook": "webhook",
    "webhook_status_only": "webhookStatusOnly",
}


def _webhook(value: object) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname:
        raise InvalidParameterError("webhook is the https address that the result is sent to")
    return str(value)


def _transcription_config(value: object) -> Json:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InvalidParameterError(f"transcription_config is a dict such as {{'model': {TRANSCRIBERS[0]!r}}}")
    model = value.get("model", TRANSCRIBERS[0])
    if not isinstance(model, str) or not model.strip():
        raise InvalidParameterError(f"transcription_config['model'] is a name such as {TRANSCRIBERS[0]!r}")
    return dict(value)


def _voiceprints(value: Any) -> dict[str, str]:
    check_voiceprints(value)
    return dict(value)


def _matching(value: object) -> Json:
    if not isinstance(value, dict) or not value.keys() <= _MATCHING.keys():
        raise InvalidParameterError(f"matching is a dict such as {_MATCHING}, not {value!r:.60}")
    matching = {**_MATCHING, **value}
    check_matching(**matching)
    return {**matching, "threshold": float(matching["threshold"])}


OPTIONS: dict[str, Option] = {
    **CLOUD_OPTIONS,
    "transcription": Option("words as well, for diarnb.words(turns)", partial(check_flag, "transcription")),
    "transcription_config": Option("how to transcribe: {'model': ...}", _transcription_config),
    "speech_probability": Option("a score of speech for each frame", partial(check_flag, "speech_probability")),
    "crosstalk_probability": Option("a score of overlap for each frame", partial(check_flag, "crosstalk_probability")),
    "speaker_probability": Option("a score of each speaker for each frame", partial(check_flag, "speaker_probability")),
    "voiceprints": Option("known people to find, {name: voiceprint}", _voiceprints, kept=hash_json),
    "matching": Option("how to find them: {'threshold': 0-100, 'exclusive': True or False}", _matching),
    "webhook": Option("an https address that also receives the result", _webhook, changes_result=False),
    "webhook_status_only": Option(
        "tell the webhook only that the job is done, not the result",
        partial(check_flag, "webhook_status_only"),
        changes_result=False,
    ),
}


def check(model: str, options: Options) -> None:
    """Refuse what contradicts itself, before anything is sent.

    Raises
    ------
    InvalidParameterError
        With the rule.
    """
    if options.get("transcription") and model in ("precision-1", "community-1"):
        raise InvalidParameterError(f"transcription needs model='precision-2' or newer; {model} does not transcribe")
    if "voiceprints" in options:
        if options.get("transcription"):
            raise InvalidParameterError("pyannoteAI does not transcribe while it identifies; leave transcription out")
        check_model(model)
        for label, voiceprint in options["voiceprints"].items():
            unpack(label, voiceprint, None if model == DEFAULT else model)
    elif "matching" in options:
        raise InvalidParameterError("matching says how to find known people; add voiceprints={name: voiceprint}")
    if "transcription_config" in options and not options.get("transcription"):
        raise InvalidParameterError("transcription_config says how to transcribe; add transcription=True")
    if "webhook_status_only" in options and "webhook" not in options:
        raise InvalidParameterError("webhook_status_only says what the webhook gets; add webhook='https://...'")
    if "webhook" in options and not is_loopback(options["base_url"]):
        if not options["webhook"].startswith("https:"):
            raise InvalidParameterError("webhook is an https address; pyannoteAI calls no http one")
        check_reachable(options["webhook"], options["base_url"], "pyannoteAI")


def request_of(model: str, params: Params, options: Options) -> Json:
    """Write what is asked as the service reads it, without what is its default.

    Examples
    --------
    >>> from diarnb.params import Params
    >>> request_of("precision-2", Params(num_speakers=2, exclusive=True), {})
    {'model': 'precision-2', 'numSpeakers': 2, 'exclusive': True}
    """
    asked = {name: getattr(params, name, None) for name in _VENDOR_NAMES}
    asked |= {name: value for name, value in options.items() if name in _VENDOR_NAMES}
    request = {_VENDOR_NAMES[name]: value for name, value in asked.items() if value not in (None, False)}
    if "voiceprints" in options:
        known = options["voiceprints"].items()
        request["voiceprints"] = [
            {"label": name, "voiceprint": unpack(name, text, None if model == DEFAULT else model)}
            for name, text in known
        ]
        request["matching"] = options.get("matching", _MATCHING)
    return request if model == DEFAULT else {"model": model, **request}
