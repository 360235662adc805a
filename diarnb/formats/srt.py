r"""SRT, subtitles: each begins with who speaks, ``Maya: Hello.``, or ``[Dr: Maya]: Hello.`` if the plain way misleads.

In brackets ``\\``, ``\]``, ``\n``, ``\r`` and ``\t`` stand for those characters. Where only some subtitles name
somebody, as when the speaker changes, the others are by whoever was named last. Marks as ``<i>`` are left out, and so
are lost if they are meant as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._fields import make_table
from diarnb.formats._text import (
    add_name,
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
    from pathlib import Path

    import pandas as pd

_TIMES = re.compile(r"\s*\d+:\d.*-->")
_MARKS = re.compile(r"</?(?:[ibus]|font)\b[^>]*>|\{\\[^}]*\}", re.IGNORECASE)


def load(path: Path) -> pd.DataFrame:
    """Read subtitles."""
    cues: list[tuple[float, float, list[str]]] = []
    before: list[str] = []  # what stands before the first
    for number, line in enumerate(read_lines(path, "SRT"), start=1):
        lines = cues[-1][2] if cues else before
        if not _TIMES.match(line) and not ("-->" in line and lines and lines[-1].strip().isdecimal()):
            lines.append(line)
            continue
        try:
            start, end = parse_cue_times(line)
        except ValueError as error:
            raise make_line_error(path, number, "`00:00:01,000 --> 00:00:02,500`", line) from error
        if lines and lines[-1].strip().isdecimal():
            lines.pop()  # the number of this one
        cues.append((start, end, []))
    if not cues and any(line.strip() for line in before):
        raise TurnTableError(f"{path.name} is no SRT: it has no line of times, as `00:00:01,000 --> 00:00:02,500`")
    rows = []
    speaker = None
    for start, end, lines in cues:
        said = "\n".join(lines).strip()
        name, text = split_name(said)
        if name is None:
            name, text = split_name(_MARKS.sub("", said))
        speaker = speaker if name is None else name
        rows.append((start, end, speaker, join_lines(_MARKS.sub("", text))))
    return make_table(rows, ["start", "end", "speaker", "text"], path)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write subtitles."""
    rows = zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True)
    cues = [
        f"{number}\n{format_clock(start, ',')} --> {format_clock(end, ',')}\n{add_name(speaker, join_lines(text))}\n"
        for number, (start, end, speaker, text) in enumerate(rows, start=1)
    ]
    write_text(path, "\n".join(cues))
