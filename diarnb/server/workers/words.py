"""What a worker hears words with, and how it calls itself in answers."""

from __future__ import annotations

import functools
import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from diarnb import transcribers
from diarnb.engines.local import MODEL, LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Literal

    from diarnb.audio import Recording, Samples
    from diarnb.server.deepgram.text import Word
    from diarnb.transcribers import Transcriber

_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "diarnb")


def words_of(
    sound: Recording | Samples,
    speech: Iterable[tuple[float, float]],
    name: str,
    *,
    channel: Literal["mix"] | int = "mix",
) -> list[Word]:
    """Hear the words in stretches of speech, as `transcribers.transcribe` does.

    Parameters
    ----------
    sound, speech, channel
        As there.
    name : str
        Of the transcriber.

    Returns
    -------
    list of dict
        As there, but that a transcriber which does not say how sure it is of a word counts as not sure at all: 0.
    """
    found = transcribers.transcribe(sound, speech, _transcriber(name), channel=channel)
    return [{**word, "confidence": word["confidence"] or 0.0} for word in found]


@functools.cache
def _transcriber(name: str) -> Transcriber:
    """Give the transcriber of a name, loaded once."""
    found = transcribers.transcriber(name)
    if (prepare := getattr(found, "prepare", None)) is not None:
        prepare()
    return found


def remarks(words: str | None, language: str | None) -> list[str]:
    """Say what is to be known of the words in an answer."""
    if words is None:
        return ["This server has no transcriber, so there are no words, and nobody to name; start it with --words."]
    if words == "sphinx" and language is not None and language.split("-")[0].lower() != "en":
        return ["This server's transcriber knows English only."]
    return []


def model(words: str | None) -> tuple[str, dict[str, str]]:
    """Give the id and the description of what hears words: an honest name, and the same id whenever it is the same."""
    family, _, size = (words or "none").partition(":")
    known = family in ("none", "sphinx", "whisper")
    name = f"diarnb-{family}" if known else "diarnb-own"
    if family == "whisper":
        name += f"-{size.replace('/', '-') or 'small'}"
    identity = None if words is None else transcribers.identity(_transcriber(words))
    about = {"name": name, "version": version("diarnb"), "arch": family if known else "own"}
    return _id(name, about["version"], identity or words or ""), about


def models(words: str | None) -> dict[str, Any]:
    """Give what ``metadata`` says of `model` in the answer for a recording."""
    number, about = model(words)
    return {"models": [number], "model_info": {number: about}}


def diarizer(arch: str) -> dict[str, str]:
    """Give what ``metadata`` says of the local engine, under the name that was asked for."""
    return {"model_uuid": _id("local", LocalEngine().version(MODEL)), "arch": arch}


def time_of(when: datetime) -> str:
    """Write a time as the service does.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> time_of(datetime(2026, 11, 21, 7, 0, 0, 250, UTC))
    '2026-11-21T07:00:00.000Z'
    """
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _id(*what: str) -> str:
    return str(uuid.uuid5(_OURS, " ".join(what)))
