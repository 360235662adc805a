"""RTTM, the field's exchange format: ``SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>``.

Times are written with three decimals. Channels count from 1 in the file, and from 0 in the table. Spaces in names
become underscores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diarnb.errors import TurnTableError
from diarnb.formats._fields import as_words, channel_of, length, make_table, places, read_rows, span
from diarnb.formats._text import write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_SHAPE = "SPEAKER uri channel start duration <NA> <NA> speaker"


def load(path: Path) -> pd.DataFrame:
    """Read turns; other kinds of lines and comments are skipped."""
    rows, skipped = read_rows(path, "RTTM", _SHAPE, _turn)
    if skipped and not rows:
        raise TurnTableError(f"{path.name} is no RTTM of turns: none of its {skipped} lines begins with SPEAKER")
    return make_table(rows, ["start", "end", "speaker", "channel", "uri"], path)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write turns."""
    names = as_words(turns["speaker"])
    rows = zip(*places(turns, path), turns["start"], turns["end"], turns["speaker"], strict=True)
    lines = [
        f"SPEAKER {uri} {channel} {start:.3f} {length(start, end)} <NA> <NA> {names[speaker]} <NA> <NA>\n"
        for uri, channel, start, end, speaker in rows
    ]
    write_text(path, "".join(lines))


def _turn(fields: list[str]) -> tuple[Any, ...] | None:
    if fields[0] != "SPEAKER":
        return None
    return *span(fields[3], duration=fields[4]), fields[7], channel_of(fields[2]), fields[1]
