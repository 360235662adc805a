"""What ``metadata`` says in Deepgram's answers: an honest name of what transcribed, and of what diarized."""

from __future__ import annotations

import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING

from diarnb import transcribers
from diarnb.server.engines import load_engine
from diarnb.server.workers.transcription import load_transcriber

if TYPE_CHECKING:
    from datetime import datetime

    from diarnb._types import Json

_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "diarnb")


def list_word_warnings(words: str | None, language: str | None) -> list[str]:
    """Return the warnings about the words of an answer."""
    if words is None:
        return ["This server has no transcriber, so there are no words and no speakers; start it with --words."]
    english = words.partition(":")[0] in ("sphinx", "moonshine")
    if english and language is not None and language.split("-")[0].lower() != "en":
        return ["This server's transcriber knows English only."]
    return []


def describe_model(words: str | None) -> tuple[str, dict[str, str]]:
    """Return the id and the description of the transcriber; the same id whenever it is the same."""
    family, _, size = (words or "none").partition(":")
    known = family in ("none", "sphinx", "moonshine", "whisper")
    name = f"diarnb-{family}" if known else "diarnb-own"
    if family == "whisper":
        name += f"-{size.replace('/', '-') or 'small'}"
    identity = None if words is None else transcribers.identity(load_transcriber(words))
    about = {"name": name, "version": version("diarnb"), "arch": family if known else "own"}
    return _id(name, about["version"], identity or words or ""), about


def describe_models(words: str | None) -> Json:
    """Return what ``metadata`` says of `model` in the answer for a recording."""
    number, about = describe_model(words)
    return {"models": [number], "model_info": {number: about}}


def describe_diarizer(arch: str, engine: str) -> dict[str, str]:
    """Return what ``metadata`` says of the engine, under the name that was asked for."""
    who, model = load_engine(engine)
    return {"model_uuid": _id(who.name, who.version(model or who.offer.default_model)), "arch": arch}


def format_time(when: datetime) -> str:
    """Format a time as the service does.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> format_time(datetime(2026, 11, 21, 7, 0, 0, 250, UTC))
    '2026-11-21T07:00:00.000Z'
    """
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _id(*what: str) -> str:
    return str(uuid.uuid5(_OURS, " ".join(what)))
