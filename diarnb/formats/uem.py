"""UEM, the stretches of recordings that a score counts: ``uri channel start end``.

These are no turns: the table has no speaker. Written from turns, theirs are the stretches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.formats._shared.fields import list_places, make_table, parse_times, read_rows
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.text import write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "the stretches to score: start, end, duration, and no speaker"
HOLDS = Holds("1 ms", "-", also="channel, uri")


def load(reading: Reading) -> pd.DataFrame:
    """Read stretches."""
    rows, _ = read_rows(reading, "UEM", "uri channel start end", _stretch)
    return make_table(rows, ["start", "end", "channel", "uri"], reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write stretches."""
    rows = zip(*list_places(turns, path), turns["start"], turns["end"], strict=True)
    write_text(path, "".join(f"{uri} {channel} {start:.3f} {end:.3f}\n" for uri, channel, start, end in rows))


def _stretch(fields: list[str]) -> tuple[object, ...]:
    return *parse_times(fields[2], end=fields[3]), fields[1], fields[0]
