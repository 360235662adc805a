"""What can be chosen in the panel, and what follows from it: arguments, a line of Python, a sentence on the cost.

No widget is known here. Whatever is chosen becomes a plain dict of arguments, so that `diarize(source, **arguments)`,
the panel and the line that it shows cannot differ.
"""

from __future__ import annotations

import ast
import io
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diarnb._text import public_url, spell_duration, visible
from diarnb.audio import open_recording
from diarnb.cloud import estimate_cost
from diarnb.engines.base import Engine
from diarnb.engines.cloud.links import is_link
from diarnb.errors import DiarnbError
from diarnb.examples import example
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb import _types
    from diarnb.engines.base import Offer, Option

EXAMPLES = ("meeting", "interview", "call")
MOST = 20
"""Speakers at the end of the sliders; there it means: no upper limit."""

FLAGS = ("exclusive", "confidence", "turn_level_confidence")
COUNTS = ("num_speakers", "min_speakers", "max_speakers")
AGAIN = frozenset({*COUNTS, "threshold"})
"""What can be decided again without listening again."""

_OTHERWISE = {"threshold", "price_per_hour"}  # these have a place of their own in the panel
# What is typed travels through the page and may be saved with it: nothing that may be secret or personal is typed here,
# and where a key is sent to is not for a page to say. With a callback there would be no table to show.
_NOT_IN_A_PAGE = {"api_key", "base_url", "callback", "callback_method", "webhook", "webhook_status_only"}
_NOT_IN_A_PAGE |= {"voiceprints", "matching"}
_SECRET = ("key", "token", "secret", "password", "credential")


@dataclass(frozen=True)
class Source:
    """A recording that was chosen.

    Attributes
    ----------
    value : object
        What `diarize` takes; None where nothing has been chosen yet.
    written : str
        The same as Python, without what may be secret.
    remark : str
        What is to be known about that, for a comment.
    problem : str
        Why this can be no recording.
    """

    value: _types.Source | None = None
    written: str = "..."
    remark: str = ""
    problem: str = ""


class Upload(io.BytesIO):
    """An uploaded file, with the name that it had there."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name: str = Path(name).name


def kind_of(source: object) -> str:
    """Find where the picker stands for a source that was passed: example, file, url or given."""
    if isinstance(source, str | os.PathLike) and not is_link(source):
        return "example" if any(Path(os.fsdecode(source)) == example(name) for name in EXAMPLES) else "file"
    return "url" if is_link(source) else "example" if source is None else "given"


def source_of(kind: str, value: Any) -> Source:
    """Return the source of a kind: an example's name, a path, an address, an `Upload`, or what was passed.

    Examples
    --------
    >>> source_of("example", "call").written
    'diarnb.example("call")'
    """
    if kind == "example":
        return Source(example(value), f"diarnb.example({literal(value)})")
    if value is None or (kind in {"file", "url"} and not str(value).strip()):
        return Source()
    if kind == "file":
        return Source(value, literal(os.fsdecode(value)))
    if kind == "url" and "://" not in str(value):
        told = (
            f"{visible(value, limit=60)} is no address: one begins with https:// or http://. For a file choose “file”"
        )
        return Source(value, literal(str(value)), problem=told)
    if kind == "url":
        shown = public_url(value)
        hides = "" if shown == value else f"url: {visible(shown, limit=200)} with what belongs to it"
        return Source(value, "url" if hides else literal(value), hides)
    if kind == "upload":
        return Source(value, literal(value.name), "uploaded; put the file beside the notebook")
    return Source(value, "source", "what was passed to controls(source)")


def count_arguments(mode: str, exactly: int, between: tuple[int, int]) -> dict[str, int]:
    """Return the arguments for a number of speakers: "automatic", "exactly" or "between".

    Examples
    --------
    >>> count_arguments("between", 3, (2, 20))
    {'min_speakers': 2}
    """
    if mode == "exactly":
        return {"num_speakers": exactly}
    low, high = between
    bounds = {"min_speakers": low if low > 1 else None, "max_speakers": high if high < MOST else None}
    return {name: value for name, value in bounds.items() if value is not None} if mode == "between" else {}


def describe_count(mode: str, exactly: int, between: tuple[int, int]) -> str:
    """Describe the same in words.

    Examples
    --------
    >>> describe_count("between", 3, (2, 20))
    '2 or more'
    """
    low, high = between
    if mode == "automatic" or (mode == "between" and between == (1, MOST)):
        return "determined automatically"
    if mode == "exactly" or low == high:
        return f"exactly {exactly if mode == 'exactly' else low}"
    return f"{low} or more" if high == MOST else f"{high} at most" if low == 1 else f"{low} to {high}"


def flags_of(offer: Offer) -> dict[str, str]:
    """Return the switches that an engine offers, each with its line of help."""
    return {name: Params.help()[name] for name in FLAGS if getattr(offer, name)}


def transcribers() -> list[str]:
    """Return the transcribers that are installed, the best one first."""
    packages = {"whisper": "faster_whisper", "sphinx": "pocketsphinx"}
    return [name for name, package in packages.items() if find_spec(package) is not None]


def options_of(offer: Offer) -> dict[str, Option]:
    """Return the engine's own arguments that can be typed into a page."""
    apart = _OTHERWISE | _NOT_IN_A_PAGE
    return {
        name: option
        for name, option in offer.options.items()
        if name not in apart and not any(word in name.lower().split("_") for word in _SECRET)
    }


def is_switch(option: Option) -> bool:
    """Check whether an argument is True or False, and nothing else."""
    return all(_takes(option, value) for value in (True, False)) and not any(
        _takes(option, value) for value in ("text", "v2", "en", 1, 2.5)
    )


def parse_typed(option: Option, text: str) -> object:
    """Read what was typed for an argument: as Python where the argument takes that, else as the text that it is.

    Raises
    ------
    InvalidParameterError
        The argument takes neither; in its own words.

    Examples
    --------
    >>> from diarnb.engines.local import LocalEngine
    >>> parse_typed(LocalEngine.offer.options["threads"], "2")
    2
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    if not _takes(option, value) and _takes(option, text):
        value = text
    option.check(value)
    return value


def _takes(option: Option, value: object) -> bool:
    try:
        option.check(value)
    except (DiarnbError, ValueError, TypeError):
        return False
    return True


def look_at(source: Source) -> tuple[float | None, int]:
    """Read a recording's seconds, None where they are not known before it is fetched, and its channels.

    Raises
    ------
    DiarnbError
        It cannot be read.
    """
    if source.value is None or is_link(source.value) or source.problem:
        return None, 1
    with open_recording(source.value) as recording:
        return recording.duration, recording.channels


def describe_cost(source: Source, engine: Engine, price_per_hour: float | None, duration: float | None) -> str:
    """Describe what a run would send and cost, before anything is sent."""
    if not engine.can(Engine.billable_seconds):
        return "Runs on this machine: nothing is sent, nothing is billed." if engine.name == "local" else ""
    if duration is None:
        return f"Run sends it to {engine.name}, which bills by its length, not known before it is fetched."
    sentence = f"Run sends it to {engine.name}, which bills {spell_duration(engine.billable_seconds(duration))}"
    if price_per_hour and source.value is not None:
        price = estimate_cost(source.value, engine=engine, price_per_hour=price_per_hour)
        return f"{sentence}: {price:.2f} at {price_per_hour:g} an hour. A stored result costs nothing."
    return f"{sentence}; enter your price per hour to see the cost. A stored result costs nothing."


def write_line(source: Source, arguments: Mapping[str, object]) -> str:
    """Write the line of Python that does the same.

    Examples
    --------
    >>> write_line(source_of("file", "talk.wav"), {"engine": "deepgram", "model": "nova-3"})
    'turns = diarnb.diarize("talk.wav", engine="deepgram", model="nova-3")'
    """
    named = [f"{name}={_argument(name, value)}" for name, value in arguments.items()]
    remark = f"  # {source.remark}" if source.remark else ""
    return f"turns = diarnb.diarize({', '.join([source.written, *named])}){remark}"


def _argument(name: str, value: object) -> str:
    nameless = name == "engine" and not isinstance(value, str)
    return "engine" if nameless else literal(value)


def literal(value: object) -> str:
    r"""Write a value as Python, text in double quotes where that needs no escapes.

    Examples
    --------
    >>> print(literal("talk.wav"), literal('5" reel'))
    "talk.wav" '5" reel'
    """
    written = repr(value)
    plain = isinstance(value, str) and not set(written[1:-1]) & {'"', "'"}
    return f'"{written[1:-1]}"' if plain else written
