"""What pyannoteAI accepts in a request, and all that is wrong with one at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diarnb.engines.pyannoteai.parameters import LISTED, TRANSCRIBERS
from diarnb.server.web.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diarnb._types import Json

    Check = Callable[[str], str | None]

STATUSES = ("pending", "created", "running", "succeeded", "failed", "canceled")

MEDIA = r"media://[a-zA-Z0-9\-_./]+"
LONGEST_MEDIA = 255
"""Characters; so are the other longest."""

LONGEST_URL = 4096
MOST_VOICEPRINTS = 50
LONGEST_LABEL = 100
RESERVED_LABEL = r"[sS][pP][eE][aA][kK][eE][rR]_"
"""How no label of a voiceprint may begin: so speakers are called that match none."""

VOICEPRINT = r"[A-Za-z0-9+/_-]+=*"
LONGEST_VOICEPRINT = 20_000
MOST_LISTED, LISTED_UNASKED = 100, 10
"""Jobs on a page of the list."""

LONGEST_CURSOR = 100
TOGETHER = {
    "minSpeakers": "Must not be greater than maxSpeakers",
    "label": "Is there twice",
    "cursor": "Must be what a page before gave as nextCursor",
}
"""What no schema can say of a member beside others, by its name."""

_MOST_SPEAKERS = 10_000  # beyond, it is all the same
SCORES = {
    "confidence": "confidence",
    "turnLevelConfidence": "turn_level_confidence",
    "exclusive": "exclusive",
    "speechProbability": "speech_probability",
    "crosstalkProbability": "crosstalk_probability",
    "speakerProbability": "speaker_probability",
}
COUNTS = {"numSpeakers": "num_speakers", "minSpeakers": "min_speakers", "maxSpeakers": "max_speakers"}
THEIRS = {ours: theirs for theirs, ours in (SCORES | COUNTS).items()}
"""What members of a task are called in a request."""


@dataclass(frozen=True)
class JobRequest:
    """A request that can be carried out.

    Attributes
    ----------
    url : str
        ``media://...`` or ``http(s)://...``.
    task : dict
        What a worker has to know of it.
    webhook : str or None
    status_only : bool
        Whether the webhook is to get no output.
    """

    url: str
    task: Json
    webhook: str | None
    status_only: bool


class _Fields:
    """The members of an object of JSON. Null is absent, and what is not known is not looked at.

    What is wrong with them is gathered in one list, with the place where it is.
    """

    def __init__(self, given: object, wrong: list[tuple[str, str]], place: str = "") -> None:
        self._place, self._wrong = place, wrong
        if not isinstance(given, dict):
            self.refuse("", "Must be an object")
            given = {}
        self._given = {name: value for name, value in given.items() if value is not None}

    def refuse(self, name: str, message: str) -> None:
        self._wrong.append((self._path(name) or "body", message))

    def any(self, name: str) -> Any:
        return self._given.get(name)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._given.get(name, default)
        if isinstance(value, bool):
            return value
        self.refuse(name, "Must be true or false")
        return default

    def text(self, name: str, longest: int, *, required: bool = False) -> str | None:
        value = self._given.get(name)
        if isinstance(value, str) and 0 < len(value) <= longest:
            return value
        if value is not None or required:
            self.refuse(name, "Required" if value is None else f"Must be a string of 1 to {longest} characters")
        return None

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self._given.get(name)
        if value is None or (isinstance(value, str) and value in known):
            return value
        self.refuse(name, f"Must be one of {', '.join(known)}")
        return None

    def number(self, name: str, least: float, most: float, default: float) -> float:
        value = self._given.get(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.refuse(name, f"Must be a number from {least:g} to {most:g}")
        return default

    def count(self, name: str) -> int | None:
        value = self._given.get(name)
        if value is None:
            return None
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if whole and not isinstance(value, bool) and value >= 1:
            return min(int(value), _MOST_SPEAKERS)
        self.refuse(name, "Must be a whole number, 1 or more")
        return None

    def inner(self, name: str) -> _Fields:
        """Return the members of a member; none where it is absent."""
        return _Fields(self._given.get(name, {}), self._wrong, self._path(name))

    def items(self, name: str, most: int) -> list[_Fields]:
        value = self._given.get(name)
        if isinstance(value, list) and 1 <= len(value) <= most:
            return [_Fields(item, self._wrong, f"{self._path(name)}[{number}]") for number, item in enumerate(value)]
        self.refuse(name, "Required" if value is None else f"Must be an array of 1 to {most} items")
        return []

    def _path(self, name: str) -> str:
        return f"{self._place}.{name}".strip(".")


def parse_job(kind: str, body: object, *, check_url: Check, check_webhook: Check) -> JobRequest:
    """Read a request.

    Parameters
    ----------
    kind : {"diarize", "identify", "voiceprint"}
    body : JSON
    check_url, check_webhook : callable
        Say what is wrong with an ``http(s)`` address that is to be fetched, or told; None if nothing is.

    Raises
    ------
    Refusal
        400, with all that is wrong.
    """
    wrong: list[tuple[str, str]] = []
    fields = _Fields(body, wrong)
    url = _read_source(fields, check_url)
    webhook = fields.text("webhook", LONGEST_URL)
    if webhook is not None and (problem := check_webhook(webhook)) is not None:
        fields.refuse("webhook", problem)
    status_only = fields.flag("webhookStatusOnly")
    fields.one_of("model", list_models(kind))
    task: Json = {"do": f"pyannoteai.{kind}"}
    if kind != "voiceprint":
        task["bounds"] = _read_bounds(fields)
        task |= {ours: fields.flag(theirs) for theirs, ours in SCORES.items()}
    if kind == "diarize":
        task["transcription"] = fields.flag("transcription")
        fields.inner("transcriptionConfig").one_of("model", TRANSCRIBERS)
    if kind == "identify":
        task["voiceprints"] = _read_voiceprints(fields)
        matching = fields.inner("matching")
        task["exclusive_match"] = matching.flag("exclusive", True)
        task["threshold"] = matching.number("threshold", 0, 100, 0)
    _refuse_if(wrong)
    return JobRequest(url, task, webhook, status_only)


def list_models(kind: str) -> tuple[str, ...]:
    """List the models that a job of some kind may name."""
    # live-1 is for streams, and is taken here all the same: it is one engine that answers for every name
    return tuple(name for name in (*LISTED, "live-1") if kind == "diarize" or name != "community-1")


def parse_media(body: object) -> str:
    """Read a request for an address to upload to, or to read from; return the ``media://`` key.

    Raises
    ------
    Refusal
        400
    """
    wrong: list[tuple[str, str]] = []
    fields = _Fields(body, wrong)
    url = fields.text("url", LONGEST_MEDIA, required=True) or ""
    if url and not re.fullmatch(MEDIA, url):
        fields.refuse("url", "Must be media:// and then letters, digits and -_./")
    _refuse_if(wrong)
    return url


@dataclass(frozen=True)
class PageRequest:
    """Which jobs are to be listed."""

    limit: int = LISTED_UNASKED
    cursor: str | None = None
    status: str | None = None


def parse_page(query: Mapping[str, str]) -> PageRequest:
    """Read the query of the list of jobs.

    Raises
    ------
    Refusal
        400, with all that is wrong.
    """
    given: Json = dict(query)
    if re.fullmatch(r"[0-9]{1,9}", given.get("limit", "")):
        given["limit"] = int(given["limit"])
    wrong: list[tuple[str, str]] = []
    fields = _Fields(given, wrong)
    limit, cursor = int(fields.number("limit", 1, MOST_LISTED, LISTED_UNASKED)), fields.text("cursor", LONGEST_CURSOR)
    page = PageRequest(limit, cursor, fields.one_of("status", STATUSES))
    _refuse_if(wrong)
    return page


def invalid_request(*wrong: tuple[str, str]) -> Refusal:
    """Build the refusal that lists pairs of field and what is wrong with it."""
    return Refusal(400, "Invalid request", errors=wrong)


def _refuse_if(wrong: list[tuple[str, str]]) -> None:
    if wrong:
        raise invalid_request(*wrong)


def _read_source(fields: _Fields, check_url: Check) -> str:
    url = fields.text("url", LONGEST_URL, required=True)
    if url is None:
        return ""
    if url.startswith("media://"):
        if len(url) > LONGEST_MEDIA or not re.fullmatch(MEDIA, url):
            fields.refuse(
                "url", f"Invalid URL: media:// and then letters, digits and -_./, {LONGEST_MEDIA} characters at most"
            )
    elif not re.match(r"(?i)https?://", url):
        fields.refuse("url", "Invalid URL")
    elif (problem := check_url(url)) is not None:
        fields.refuse("url", problem)
    return url


def _read_bounds(fields: _Fields) -> dict[str, int]:
    """Read how many speakers there are; one number is not to be combined with a range."""
    found = {theirs: count for theirs in COUNTS if (count := fields.count(theirs)) is not None}
    if fields.any("numSpeakers") is not None and (fields.any("minSpeakers"), fields.any("maxSpeakers")) != (None, None):
        fields.refuse("numSpeakers", "Cannot be combined with minSpeakers or maxSpeakers")
    if found.get("minSpeakers", 0) > found.get("maxSpeakers", math.inf):
        fields.refuse("minSpeakers", TOGETHER["minSpeakers"])
    return {COUNTS[theirs]: count for theirs, count in found.items()}


def _read_voiceprints(fields: _Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in fields.items("voiceprints", MOST_VOICEPRINTS):
        label = item.text("label", LONGEST_LABEL, required=True)
        text = item.text("voiceprint", LONGEST_VOICEPRINT, required=True)
        if label is not None and re.match(RESERVED_LABEL, label):
            item.refuse("label", "Must not begin with SPEAKER_")
        if label is not None and label in found:
            item.refuse("label", TOGETHER["label"])
        if text is not None and not re.fullmatch(VOICEPRINT, text):
            item.refuse("voiceprint", "Must be base64")
        found[label or ""] = text or ""
    return found
