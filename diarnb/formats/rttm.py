"""RTTM, the field's exchange format: ``SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>``.

Times are written with three decimals. Channels count from 1 in the file, and from 0 in the table. Spaces in names
become underscores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diarnb.errors import TurnTableError
from diarnb.formats._fields import (
    format_length,
    join_names,
    list_places,
    make_table,
    parse_channel,
    parse_times,
    read_rows,
)
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
    names = join_names(turns["speaker"])
    rows = zip(*list_places(turns, path), turns["start"], turns["end"], turns["speaker"], strict=True)
    lines = [
        f"SPEAKER {uri} {channel} {start:.3f} {format_length(start, end)} <NA> <NA> {names[speaker]} <NA> <NA>\n"
        for uri, channel, start, end, speaker in rows
    ]
    write_text(path, "".join(lines))


def _turn(fields: list[str]) -> tuple[Any, ...] | None:
    if fields[0] != "SPEAKER":
        return None
    return *parse_times(fields[3], duration=fields[4]), fields[7], parse_channel(fields[2]), fields[1]
