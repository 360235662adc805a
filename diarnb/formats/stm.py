"""STM, what was said in each segment: ``uri channel speaker start end <label> text``; the label may be missing.

Spaces in names become underscores, and the lines of a text become one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from diarnb.formats._fields import join_names, list_places, make_table, parse_channel, parse_times, read_rows
from diarnb.formats._text import list_texts, write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_GAPS = {"inter_segment_gap", "excluded_region"}  # who speaks where the makers of a reference say that nobody counts
_LABEL = re.compile(r"^<\S*>(?:\s+|$)")


def load(path: Path) -> pd.DataFrame:
    """Read segments; those that stand for a gap are skipped."""
    rows, _ = read_rows(path, "STM", "uri channel speaker start end [<label>] text", _segment, most=5)
    return make_table(rows, ["start", "end", "speaker", "text", "channel", "uri"], path)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write segments."""
    names = join_names(turns["speaker"])
    rows = zip(
        *list_places(turns, path), turns["speaker"], turns["start"], turns["end"], list_texts(turns), strict=True
    )
    lines = [
        f"{uri} {channel} {names[speaker]} {start:.3f} {end:.3f} <NA> {' '.join(text.split())}".rstrip() + "\n"
        for uri, channel, speaker, start, end, text in rows
    ]
    write_text(path, "".join(lines))


def _segment(fields: list[str]) -> tuple[Any, ...] | None:
    start, end = parse_times(fields[3], end=fields[4])
    if fields[2] in _GAPS:
        return None
    text = _LABEL.sub("", fields[5]).strip() if len(fields) > 5 else ""
    return start, end, fields[2], text, parse_channel(fields[1]), fields[0]
