"""WebVTT, captions with voices: ``<v Maya>Hello.</v>``; ``&``, ``<`` and ``>`` are escaped.

Of other tools' files ``Maya: Hello.``, as of Zoom, is read as well. Styles, notes, settings and marks are left out.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import make_table
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.names import Voice, assign_names
from diarnb.formats._shared.text import join_lines, list_texts, parse_cue_times, write_text
from diarnb.formats._shared.times import format_clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "captions with voices, `<v Maya>Hello.</v>`, or with names as in `.srt`; `speakers=` overrides"
HOLDS = Holds("1 ms", text=True)

_VOICE = re.compile(r"<v(?:\.[^\s>]*)?(?:\s([^>]*))?>")
_MARK = re.compile(r"<[^>]*>")
_NO_CUES = ("NOTE", "STYLE", "REGION")


def load(reading: Reading) -> pd.DataFrame:
    """Read captions."""
    lines = reading.read_lines("WebVTT")
    if not re.match(r"WEBVTT(?:\s|$)", lines[0]):
        raise TurnTableError(f"{reading.name} is no WebVTT: its first line is not WEBVTT, but {lines[0]!r:.60}")
    times, captions = [], []
    for number, block in _cut_blocks(lines):
        place = next((place for place, line in enumerate(block[:2]) if "-->" in line), None)
        if place is None or block[0].split(maxsplit=1)[0] in _NO_CUES:
            continue
        try:
            times.append(parse_cue_times(block[place]))
        except ValueError as error:
            expected = f"expected `00:01.000 --> 00:02.500`, found {block[place].strip()!r:.150}"
            reading.skip(f"line {number + place}", f"{expected}: {error}")
            continue
        captions.append("\n".join(block[place + 1 :]))
    reading.check_sound(len(times))
    # Only what stands outside voices can begin with a name that the file's other lines have to tell from text.
    outside = assign_names([_read_plain(_VOICE.split(caption)[0]) for caption in captions], reading)
    rows = [
        (*span, part.speaker, join_lines(part.text))
        for span, caption, before in zip(times, captions, outside, strict=True)
        for part in _list_voices(caption, before)
    ]
    return make_table(rows, ["start", "end", "speaker", "text"], reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write captions."""
    rows = zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True)
    cues = [
        f"\n{format_clock(start, '.')} --> {format_clock(end, '.')}\n<v {_escape(speaker)}>{_escape(text)}</v>\n"
        for start, end, speaker, text in rows
    ]
    write_text(path, "".join(["WEBVTT\n", *cues]))


def _cut_blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Cut a file at its empty lines; number each block by its first line."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _list_voices(caption: str, before: list[Voice]) -> Iterator[Voice]:
    """List who says what in a caption, in which several may speak; `before` is what stands outside voices."""
    _, *voices = _VOICE.split(caption)
    if not voices or before[0].text or before[0].speaker is not None:
        yield from before
    for name, text in zip(voices[::2], voices[1::2], strict=True):
        yield Voice(join_lines(_read_plain(name or "")) or None, _read_plain(text), change=False)


def _read_plain(text: str) -> str:
    return html.unescape(_MARK.sub("", text)).strip()


def _escape(text: str) -> str:
    return html.escape(join_lines(text), quote=False)
