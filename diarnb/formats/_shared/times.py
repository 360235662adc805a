"""Times as files write them, in seconds."""

from __future__ import annotations

import math
import re

from diarnb._text import clock

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+)(?:[.,](\d+))?")
_ISO = re.compile(r"P(?:(\d+)D)?T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_DAYS = re.compile(r"(\d+) days?,? +")
_EARLY = 0.1  # seconds before 0 that rounding and padding explain; what is more is damage


def parse_number(text: str) -> float:
    """Read a number, with a point or a comma before its decimals.

    Examples
    --------
    >>> parse_number("1,5")
    1.5
    """
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def parse_seconds(value: object) -> float:
    """Read a time: a number, ``1.5s``, a clock (``01:02:03.5``, ``02:03,5``) or an ISO 8601 duration (``PT1.5S``).

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> parse_seconds("01:23.4"), parse_seconds("0.3s"), parse_seconds("PT1M2.5S"), parse_seconds(7)
    (83.4, 0.3, 62.5, 7.0)
    """
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is no time")
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, dict):  # as protobuf writes a duration
        return float(value.get("seconds") or 0) + float(value.get("nanos") or 0) / 1e9
    text = str(value).strip()
    if ":" in text:
        found_days = _DAYS.match(text)  # as pandas writes a length of time
        return parse_clock(text[found_days.end() :]) + 86400 * int(found_days[1]) if found_days else parse_clock(text)
    if found := _ISO.fullmatch(text):
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return round(86400 * days + 3600 * hours + 60 * minutes + seconds, 9)
    try:
        return parse_number(text.removesuffix("s").rstrip() if text[:1].isdigit() else text)
    except ValueError:
        raise ValueError(f"{text!r:.40} is no time") from None


def parse_clock(text: str) -> float:
    """Read a clock: ``hours:minutes:seconds``, of which the hours and the minutes may be missing.

    Examples
    --------
    >>> parse_clock("01:02:05,250")
    3725.25
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None or (":" in text and int(found[3]) > 59) or (found[1] and int(found[2]) > 59):
        raise ValueError(f"{text.strip()!r:.40} is no clock")
    hours, minutes, seconds, digits = found.groups()
    return round(3600 * int(hours or 0) + 60 * int(minutes or 0) + int(seconds) + float(f"0.{digits or 0}"), 6)


def format_clock(seconds: float, point: str) -> str:
    """Write ``hours:minutes:seconds`` to the millisecond.

    Examples
    --------
    >>> format_clock(3725.25, ",")
    '01:02:05,250'
    """
    return clock(seconds, decimals=3, hours=True, pad=2, point=point)


def check_span(start: float, end: float) -> tuple[float, float]:
    """Check the times of a row; it may begin a moment before 0, as padding makes it.

    Raises
    ------
    ValueError
        If they are impossible; the message says how.

    Examples
    --------
    >>> check_span(-0.01, 0.99)
    (-0.01, 0.99)
    """
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError("it has no start or no end")
    if end < start:
        raise ValueError(f"it ends ({end:g}) before it starts ({start:g})")
    if start < -_EARLY or end < 0:
        raise ValueError(f"it starts at {start:g} s, before the recording")
    return start, end
