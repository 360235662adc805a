"""RTTM, the field's exchange format: ``SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>``.

Times are written with three decimals. Channels count from 1 in the file, and from 0 in the table. Spaces in names
become underscores; where others wrote them all the same, the two ``<NA>`` before the speaker tell the fields apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import format_length, join_names, list_places, make_table, parse_times, read_rows
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.reading import list_names
from diarnb.formats._shared.text import write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "the evaluations' turns"
HOLDS = Holds("1 ms", "a word", also="channel, uri")

_SHAPE = "SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>"
_NONE = ("<NA>", "<na>", "NA")


def load(reading: Reading) -> pd.DataFrame:
    """Read turns; other kinds of lines and comments are skipped."""
    rows, skipped = read_rows(reading, "RTTM", _SHAPE, _read_turn)
    if skipped and not rows:
        raise TurnTableError(f"{reading.name} is no RTTM of turns: none of its {skipped} lines begins with SPEAKER")
    return _split_channels(make_table(rows, ["start", "end", "speaker", "channel", "uri"], reading), reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write turns."""
    names = join_names(turns["speaker"])
    rows = zip(*list_places(turns, path), turns["start"], turns["end"], turns["speaker"], strict=True)
    lines = [
        f"SPEAKER {uri} {channel} {start:.3f} {format_length(start, end)} <NA> <NA> {names[speaker]} <NA> <NA>\n"
        for uri, channel, start, end, speaker in rows
    ]
    write_text(path, "".join(lines))


def _read_turn(fields: list[str]) -> tuple[object, ...] | None:
    if fields[0].upper() != "SPEAKER":
        return None
    anchor = next((at for at in range(5, len(fields) - 1) if fields[at] in _NONE and fields[at + 1] in _NONE), None)
    if anchor is None:
        if not 8 <= len(fields) <= 10:
            raise ValueError(f"it has {len(fields)} fields, and no `<NA> <NA>` from which they could be told apart")
        fields, anchor = fields[:8], 5
    *uri, channel, start, duration = fields[1:anchor]
    if not uri:
        raise ValueError("a field is missing before `<NA> <NA>`")
    times = parse_times(start, duration=duration)
    name = _trim(fields[anchor + 2 :])
    if not name:
        raise ValueError("no speaker follows `<NA> <NA>`")
    return *times, " ".join(name), channel, " ".join(uri)


def _trim(fields: list[str]) -> list[str]:
    """Take the confidence and the look-ahead, which may be missing, from behind a speaker."""
    for _ in range(2):
        if len(fields) > 1 and (fields[-1] in _NONE or (_is_score(fields[-1]))):
            fields = fields[:-1]
    return fields


def _is_score(field: str) -> bool:
    try:
        return "." in field and 0 <= float(field) <= 1
    except ValueError:
        return False


def _split_channels(table: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Make two speakers of a label that two channels of one recording have: it counts in each channel anew."""
    if "channel" not in table:
        return table
    place = ["uri", "speaker"] if "uri" in table else ["speaker"]
    shared = table.groupby(place)["channel"].transform("nunique") > 1
    if not shared.any():
        return table
    labels = sorted(table.loc[shared, "speaker"].unique())
    reading.remarks.append(f"{list_names(labels)} in several channels is read as a different speaker in each")
    apart = table["speaker"] + " (channel " + table["channel"].astype(str) + ")"
    return table.assign(speaker=table["speaker"].where(~shared, apart))
