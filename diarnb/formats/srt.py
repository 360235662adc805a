"""SRT, subtitles: each begins with who speaks, ``Maya: Hello.``, or ``[Dr: Maya]: Hello.`` if the plain way misleads.

Where only some subtitles name somebody, as when the speaker changes, the others are by whoever was named last. Marks as
``<i>`` are left out, and so are lost if they are meant as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import make_table
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.names import add_name, assign_names, keep_floor
from diarnb.formats._shared.text import join_lines, list_texts, parse_cue_times, write_text
from diarnb.formats._shared.times import format_clock

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "subtitles that begin with a name, `Maya: Hello.` or `[Maya] Hello.`; `speakers=` overrides"
HOLDS = Holds("1 ms", text=True)

_TIMES = re.compile(r"\s*\d+:\d.*-->")
_MARKS = re.compile(r"</?(?:[ibus]|font)\b[^>]*>|\{\\[^}]*\}", re.IGNORECASE)


def load(reading: Reading) -> pd.DataFrame:
    """Read subtitles."""
    cues: list[tuple[int, str, list[str]]] = []
    before: list[str] = []  # what stands before the first
    for number, line in enumerate(reading.read_lines("SRT"), start=1):
        lines = cues[-1][2] if cues else before
        if not _TIMES.match(line) and not ("-->" in line and lines and lines[-1].strip().isdecimal()):
            lines.append(line)
            continue
        if lines and lines[-1].strip().isdecimal():
            lines.pop()  # the number of this one
        cues.append((number, line, []))
    if not cues and any(line.strip() for line in before):
        raise TurnTableError(f"{reading.name} is no SRT: it has no line of times, as `00:00:01,000 --> 00:00:02,500`")
    times: list[tuple[float, float]] = []
    said = []
    for number, line, lines in cues:
        try:
            times.append(parse_cue_times(line))
        except ValueError as error:
            expected = "expected `00:00:01,000 --> 00:00:02,500`"
            reading.skip(f"line {number}", f"{expected}, found {line.strip()!r:.150}: {error}")
            continue
        said.append("\n".join(lines).strip())
    reading.check_sound(len(times))
    voices = keep_floor(assign_names([_clear(text) for text in said], reading), reading)
    rows = [
        (*span, part.speaker, join_lines(_MARKS.sub("", part.text)))
        for span, parts in zip(times, voices, strict=True)
        for part in parts
    ]
    return make_table(rows, ["start", "end", "speaker", "text"], reading)


def _clear(text: str) -> str:
    """Take the marks from a text, but from a name in brackets, in which they are letters as others."""
    name = re.match(r"\[(?:[^\]\\\n]|\\.)*\]:", text)
    head = name[0] if name else ""
    return head + _MARKS.sub("", text[len(head) :])


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write subtitles."""
    rows = zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True)
    cues = [
        f"{number}\n{format_clock(start, ',')} --> {format_clock(end, ',')}\n{add_name(speaker, join_lines(text))}\n"
        for number, (start, end, speaker, text) in enumerate(rows, start=1)
    ]
    write_text(path, "\n".join(cues))
