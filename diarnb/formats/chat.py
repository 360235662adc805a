"""CHAT, the transcripts of TalkBank and CHILDES: who speaks after ``*``, what, and when between two control characters.

Only read: what else CHAT wants, as headers and the marks of its transcription, a table of turns does not have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import make_table
from diarnb.formats._shared.times import check_span

if TYPE_CHECKING:
    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "TalkBank's CHAT: the speaker lines that have times"
HOLDS = None

_SPEAKER = re.compile(r"\*([^:\s]+):\s*(.*)", re.DOTALL)
_BULLET = re.compile("\x15[^\x15]*?(\\d+)_(\\d+)-?\x15")


def load(reading: Reading) -> pd.DataFrame:
    """Read the lines of speakers; those without times are left out, which is told."""
    lines = reading.read_lines("CHAT")
    if not any(line.startswith("@Begin") for line in lines[:50]) and not any(map(_SPEAKER.match, lines)):
        raise TurnTableError(f"{reading.name} is no CHAT: it has neither @Begin nor a line as `*MAY:\tHello.`")
    rows: list[tuple[float, float, str, str]] = []
    untimed = 0
    for number, line in _join_continued(lines):
        found = _SPEAKER.match(line)
        if found is None:
            continue
        speaker, said = found.groups()
        times = [(int(start) / 1000, int(end) / 1000) for start, end in _BULLET.findall(said)]
        if not times:
            untimed += 1
            continue
        try:
            span = check_span(times[0][0], times[-1][1])
        except ValueError as error:
            reading.skip(f"line {number}", error)
            continue
        rows.append((*span, speaker, " ".join(_BULLET.sub(" ", said).split())))
    if untimed and not rows:
        raise TurnTableError(f"{reading.name} tells no times: none of its {untimed} speaker lines has times")
    if untimed:
        reading.remarks.append(f"{untimed} of {untimed + len(rows)} speaker lines have no times and are left out")
    reading.check_sound(len(rows))
    return make_table(rows, ["start", "end", "speaker", "text"], reading)


def _join_continued(lines: list[str]) -> list[tuple[int, str]]:
    """Join lines that begin with a tab to the one before."""
    joined: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("\t") and joined:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]} {line.strip()}")
        else:
            joined.append((number, line))
    return joined
