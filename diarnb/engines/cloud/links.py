"""A recording at an address that the service fetches by itself: looked at, and not downloaded."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from diarnb._text import printable, public_url, shorten
from diarnb.engines.cloud import loop as _loop
from diarnb.engines.cloud.addresses import check_reachable
from diarnb.errors import ApiError, AudioNotFoundError, AudioPermissionError, NotAudioError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diarnb.engines.cloud.service import Reply

_HOPS = 5


@dataclass
class Link:
    """What a `Recording` is for an engine that hears, for one that passes an address on.

    Attributes
    ----------
    url : str
        As it was given; it may hold a signature, and is neither shown nor kept.
    name : str
        The address without user name and query.
    content_hash : str
        SHA-256 (hex) of the address without query and its ETag or length; with neither, of the whole address.
    problems : list of str
        That the content could not be told, if so.
    duration, path : None
        Not known.
    opened : datetime
        When it was looked at, in UTC.
    """

    url: str = field(repr=False)
    name: str
    content_hash: str
    problems: list[str] = field(default_factory=list)
    duration: float | None = None
    path: None = None
    opened: datetime = field(default_factory=lambda: datetime.now(UTC))


def is_link(source: object) -> bool:
    """Return whether a source is an http(s) address."""
    return isinstance(source, str) and re.match(r"(?i)https?://", source) is not None


def look_at(url: str, origin: str, service: str, progress: Callable[[str, float], None]) -> Link:
    """Look at an address without fetching what it holds.

    Parameters
    ----------
    url : str
    origin, service : str
        Who is to fetch it: where the service is, and its name for messages.
    progress : callable

    Returns
    -------
    Link

    Raises
    ------
    InvalidParameterError
        Only this network can reach it.
    AudioNotFoundError, AudioPermissionError, NotAudioError
        It holds nothing, is not public, or is a page and no recording.
    """
    check_reachable(url, origin, service)
    name = printable(public_url(url))
    shown = shorten(name, 160)
    try:
        reply = _loop.run(lambda _report: _follow_redirects(url, origin, service), progress)
    except ApiError:  # it may well be reachable from where the service is
        return _make_unversioned(url, name, f"{shown} could not be checked from here")
    if reply.status in (404, 410):
        raise AudioNotFoundError(f"{shown} does not exist (HTTP {reply.status}); nothing was sent. Check the address.")
    if reply.status in (401, 403):
        raise AudioPermissionError(
            f"{shown} is not public (HTTP {reply.status}), and {service} has to fetch it: pass a signed link, or "
            "download it and pass its path."
        )
    start = reply.body[:512].lstrip().lower()
    if "html" in reply.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html")):
        raise NotAudioError(
            f"{shown} is a web page, not a direct link to a recording; nothing was sent. Pass the address of the "
            "file itself."
        )
    mark = reply.headers.get("etag") or _length(reply.headers)
    if reply.status not in (200, 206) or not mark:
        return _make_unversioned(url, name, f"{shown} does not tell its version")
    return Link(url, name, _hash(public_url(url), mark))


async def _follow_redirects(url: str, origin: str, service: str) -> Reply:
    from diarnb.engines.cloud.service import peek  # httpx: .04 s that a recording on this machine need not pay

    for _ in range(_HOPS):
        reply = await peek(url)
        target = reply.headers.get("location")
        if not 300 <= reply.status < 400 or not target:
            return reply
        url = urljoin(url, target)
        check_reachable(url, origin, service)
    raise ApiError(f"{shorten(public_url(url), 120)} redirects too often")


def _make_unversioned(url: str, name: str, why: str) -> Link:
    return Link(url, name, _hash(url), [f"{why}: a kept answer is for this address, whatever it holds now."])


def _length(headers: Mapping[str, str]) -> str:
    total: str = headers.get("content-range", "").rpartition("/")[2]
    return total if total.isdecimal() else "" if total else headers.get("content-length", "")


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
