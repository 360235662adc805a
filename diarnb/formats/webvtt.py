"""WebVTT, captions with voices: ``<v Maya>Hello.</v>``; ``&``, ``<`` and ``>`` are escaped.

Of other tools' files ``Maya: Hello.``, as of Zoom, is read as well. Styles, notes, settings and marks are left out.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._fields import make_table
from diarnb.formats._text import (
    format_clock,
    join_lines,
    list_texts,
    make_line_error,
    parse_cue_times,
    read_lines,
    split_name,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

_VOICE = re.compile(r"<v(?:\.[^\s>]*)?(?:\s([^>]*))?>")
_MARK = re.compile(r"<[^>]*>")
_NO_CUES = ("NOTE", "STYLE", "REGION")


def load(path: Path) -> pd.DataFrame:
    """Read captions."""
    lines = read_lines(path, "WebVTT")
    if not re.match(r"WEBVTT(?:\s|$)", lines[0]):
        raise TurnTableError(f"{path.name} is no WebVTT: its first line is not WEBVTT, but {lines[0]!r:.60}")
    rows = []
    for number, block in _blocks(lines):
        times = next((place for place, line in enumerate(block[:2]) if "-->" in line), None)
        if times is None or block[0].split(maxsplit=1)[0] in _NO_CUES:
            continue
        try:
            span = parse_cue_times(block[times])
        except ValueError as error:
            raise make_line_error(path, number + times, "`00:01.000 --> 00:02.500`", block[times]) from error
        rows += [(*span, *voice) for voice in _voices("\n".join(block[times + 1 :]))]
    return make_table(rows, ["start", "end", "speaker", "text"], path)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write captions."""
    rows = zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True)
    cues = [
        f"\n{format_clock(start, '.')} --> {format_clock(end, '.')}\n<v {_escape(speaker)}>{_escape(text)}</v>\n"
        for start, end, speaker, text in rows
    ]
    write_text(path, "".join(["WEBVTT\n", *cues]))


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Cut a file at its empty lines; number each by its first line."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _voices(caption: str) -> Iterator[tuple[str | None, str]]:
    """List who says what in a caption, in which several may speak."""
    before, *voices = _VOICE.split(caption)
    if not voices or _plain(before):
        yield split_name(_plain(before))
    for name, text in zip(voices[::2], voices[1::2], strict=True):
        yield _plain(name or ""), _plain(text)


def _plain(text: str) -> str:
    return join_lines(html.unescape(_MARK.sub("", text)))


def _escape(text: str) -> str:
    return html.escape(join_lines(text), quote=False)
