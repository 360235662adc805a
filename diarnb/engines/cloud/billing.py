"""What the cloud engines have in common: their options, what a request costs, and what is sent."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from diarnb._text import shorten
from diarnb.engines.base import Option
from diarnb.engines.cloud.keys import check_key
from diarnb.engines.cloud.service import Body
from diarnb.errors import AudioChangedError, AudioError, AudioLimitError, InvalidParameterError
from diarnb.tables.activity import is_finite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from diarnb._types import Options
    from diarnb.audio.content import Content

_PIECE = 1 << 18  # bytes read from the file at once


def _address(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidParameterError(f"base_url is an address such as 'https://host', not {value!r:.60}")
    return value


def positive(name: str, value: object) -> float:
    """Check a number above 0."""
    if not is_finite(value) or value <= 0:
        raise InvalidParameterError(f"{name} is a number above 0, not {value!r:.60}")
    return float(value)


def check_flag(name: str, value: object) -> bool:
    """Check what is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidParameterError(f"{name} is True or False, not {value!r:.60}")
    return bool(value)


CLOUD_OPTIONS: dict[str, Option] = {
    "api_key": Option("the key, if it is not in the environment", check_key, changes_result=False),
    "base_url": Option("another server with the same API: its origin", _address),
    "resubmit": Option(
        "consent to pay again for a request that is uncertain, lost or expired",
        partial(check_flag, "resubmit"),
        changes_result=False,
    ),
    "timeout": Option(
        "seconds to wait for the result; the job continues",
        lambda value: positive("timeout", value),
        changes_result=False,
    ),
    "max_cost": Option(
        "send nothing that would cost more; needs price_per_hour",
        lambda value: positive("max_cost", value),
        changes_result=False,
    ),
    "price_per_hour": Option(
        "the price of your plan for an hour of audio",
        lambda value: positive("price_per_hour", value),
        changes_result=False,
    ),
}
"""Options that every cloud engine declares."""


def check_budget(options: Mapping[str, object]) -> None:
    """Refuse a limit that cannot be checked for want of a price."""
    if "max_cost" in options and "price_per_hour" not in options:
        raise InvalidParameterError("max_cost needs price_per_hour: the price of your plan for an hour of audio")


def check_cost(name: str, seconds: float | None, options: Options) -> None:
    """Refuse what would cost more than ``max_cost``.

    Parameters
    ----------
    name : str
        The recording's, for the message.
    seconds : float or None
        What would be billed; None where that is not known before.
    options : mapping

    Raises
    ------
    InvalidParameterError
        Nothing has been sent.
    """
    if "max_cost" not in options:
        return
    most, price = options["max_cost"], options["price_per_hour"]
    if seconds is None:
        raise InvalidParameterError(
            f"max_cost={most:g} cannot be kept for {shorten(name, 80)}, whose length is not known before it is sent; "
            "download it, then pass its path"
        )
    cost = seconds / 3600 * price
    if cost > most:
        raise InvalidParameterError(
            f"{shorten(name, 80)} would cost {cost:.2f} ({seconds:,.0f} s at {price:g} an hour), more than "
            f"max_cost={most:g}; nothing was sent. Raise max_cost, or cut the recording."
        )


def check_limits(name: str, content: Content, seconds: float | None, *, service: str, most: tuple[int, float]) -> None:
    """Refuse a recording that the service would refuse, before anything is sent; `most` are bytes and seconds.

    Raises
    ------
    AudioLimitError
        It is too large or too long.
    """
    shown = shorten(name, 80)
    most_bytes, most_seconds = most
    if content.size > most_bytes:
        raise AudioLimitError(
            f"{shown} has {content.size:,} bytes, and {service} takes {most_bytes:,}. Store it as FLAC or Opus."
        )
    if seconds is not None and seconds > most_seconds:
        raise AudioLimitError(f"{shown} lasts {seconds:,.0f} s, and {service} takes {most_seconds:,.0f} s. Cut it.")


def content_body(
    content: Content,
    expected: str | None,
    report: Callable[[float], None],
    *,
    complete: Callable[[], object] = lambda: None,
    type: str = "",  # noqa: A002
) -> Body:
    """Make a recording's bytes a body, read piece by piece and anew for each attempt.

    Parameters
    ----------
    content : Content
    expected : str or None
        SHA-256 (hex) that the bytes must have; a file rewritten meanwhile is noticed by it.
    report : callable
        Given the fraction that is sent, 0-1.
    complete : callable, optional
        Called when the last bytes are about to leave.
    type : str, default ""
        The media type; empty sends none.
    """

    async def pieces() -> AsyncIterator[bytes]:
        digest, sent = hashlib.sha256(), 0
        try:
            with content.open() as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    sent += len(piece)
                    last = sent >= content.size
                    if last:  # before the last byte leaves, so that what is wrong never arrives as a whole
                        content.check_unchanged()
                        if sent > content.size or (expected is not None and digest.hexdigest() != expected):
                            raise AudioChangedError(_changed_message(content.name))
                        complete()
                    yield piece
                    report(sent / max(1, content.size))
        except AudioError:
            raise
        except FileNotFoundError as error:
            raise AudioChangedError(f"{shorten(content.name)} disappeared while it was being sent.") from error
        except OSError as error:
            raise AudioError(f"{shorten(content.name)} cannot be read: {error.strerror}. Copy it first.") from error
        if sent != content.size:
            raise AudioChangedError(_changed_message(content.name))

    return Body(pieces, content.size, type)


def _changed_message(name: str) -> str:
    return f"{shorten(name)} changed while it was being sent; nothing was billed. Run the cell again."
