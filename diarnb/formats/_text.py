"""Text in and out, as the formats of lines and cues share it."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from diarnb._text import clock
from diarnb.errors import TurnTableError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# `Maya: Hello.` of most tools, and `[Maya]: Hello.` of WhisperX, in which any name can stand.
_PLAIN = re.compile(r"([^\s:\[\]\\<>{}](?:[^:\[\]\\<>{}\t\r\n]{0,58}[^\s:\[\]\\<>{}])?):(?:\s+|$)(.*)", re.DOTALL)
_BRACKETS = re.compile(r"\[((?:[^\]\\\n]|\\.)*)\](?::\s*|\n)(.*)", re.DOTALL)
_ESCAPES = {"\\": "\\\\", "]": "\\]", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES = {escape: character for character, escape in _ESCAPES.items()}
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})")


def read_text(path: Path, kind: str) -> str:
    """Read a file in UTF-8, or in UTF-16 with its mark; line ends stay as they are."""
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TurnTableError(f"{path.name} is no {kind}: it is not text in UTF-8 or UTF-16") from error


def read_lines(path: Path, kind: str) -> list[str]:
    """Read the lines of a file, whatever ends them."""
    return read_text(path, kind).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, as it is on every system."""
    path.write_text(text, encoding="utf-8", newline="")


def make_line_error(path: Path, number: int, expected: str, found: str) -> TurnTableError:
    """Make the error for a line that cannot be read."""
    return TurnTableError(f"{path.name}, line {number}: expected {expected}, found {found.strip()!r:.150}")


def list_texts(turns: pd.DataFrame) -> list[str]:
    """List what is said in each row, which is nothing where the table does not tell."""
    if "text" not in turns:
        return [""] * len(turns)
    return ["" if gone else str(text) for text, gone in zip(turns["text"], turns["text"].isna(), strict=True)]


def join_lines(text: str) -> str:
    """Join the lines of a text."""
    return re.sub(r"\s*[\r\n]\s*", " ", text.strip())


def add_name(name: str, text: str) -> str:
    r"""Write who says a line: ``Maya: Hello.``, or ``[Dr: Maya]: Hello.`` where the plain way would be read otherwise.

    Examples
    --------
    >>> add_name("Maya", "Hello."), add_name("Dr: Maya", "Hello.")
    ('Maya: Hello.', '[Dr: Maya]: Hello.')
    """
    plain = f"{name}: {text}".rstrip()
    if split_name(plain) == (name, text):
        return plain
    return f"[{''.join(_ESCAPES.get(character, character) for character in name)}]: {text}".rstrip()


def split_name(line: str) -> tuple[str | None, str]:
    """Split a line into the name that it begins with, None where it begins with none, and the text.

    Examples
    --------
    >>> split_name("[Maya]: Hello."), split_name("Hello.")
    (('Maya', 'Hello.'), (None, 'Hello.'))
    """
    if found := _BRACKETS.match(line):
        name = re.sub(r"\\.", lambda escape: _UNESCAPES.get(escape[0], escape[0]), found[1])
        return name, found[2].strip()
    if found := _PLAIN.match(line):
        return found[1], found[2].strip()
    return None, line.strip()


def format_clock(seconds: float, point: str) -> str:
    """Write ``hours:minutes:seconds`` to the millisecond.

    Examples
    --------
    >>> format_clock(3725.25, ",")
    '01:02:05,250'
    """
    return clock(seconds, decimals=3, hours=True, pad=2, point=point)


def parse_cue_times(line: str) -> tuple[float, float]:
    """Read ``00:00:01,000 --> 00:00:02,500``, and whatever stands behind it."""
    begin, _, rest = line.partition("-->")
    found = _CLOCK.fullmatch(begin.strip()), _CLOCK.fullmatch((rest.split() or [""])[0])
    if found[0] is None or found[1] is None:
        raise ValueError("no times")
    start, end = (
        round(3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + int(digits.ljust(3, "0")) / 1000, 3)
        for hours, minutes, seconds, digits in (each.groups() for each in found if each)
    )
    if end < start:
        raise ValueError("it ends before it begins")
    return start, end
