"""STM, what was said in each segment: ``uri channel speaker start end <label> text``; the label may be missing.

Spaces in names become underscores. Words are written as in CTM: in lower case, without what punctuates them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diarnb.formats._shared.fields import join_names, list_places, make_table, parse_times, read_rows
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.text import list_texts, strip_word, write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "segments of evaluations with text; gaps are left out"
HOLDS = Holds("1 ms", "a word", text="plain words", also="channel, uri")

_GAPS = {"inter_segment_gap", "excluded_region"}  # who speaks where the makers of a reference say that nobody counts
_LABEL = re.compile(r"^<\S*>(?:\s+|$)")


def load(reading: Reading) -> pd.DataFrame:
    """Read segments; those that stand for a gap are skipped."""
    rows, _ = read_rows(reading, "STM", "uri channel speaker start end [<label>] text", _segment, most=5)
    return make_table(rows, ["start", "end", "speaker", "text", "channel", "uri"], reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write segments."""
    names = join_names(turns["speaker"])
    texts = [" ".join(filter(None, map(strip_word, text.split()))) for text in list_texts(turns)]
    columns = (turns["speaker"], turns["start"], turns["end"], texts)
    lines = [
        f"{uri} {channel} {names[speaker]} {start:.3f} {end:.3f} <NA> {text}".rstrip() + "\n"
        for uri, channel, speaker, start, end, text in zip(*list_places(turns, path), *columns, strict=True)
    ]
    write_text(path, "".join(lines))


def _segment(fields: list[str]) -> tuple[object, ...] | None:
    start, end = parse_times(fields[3], end=fields[4])
    if fields[2] in _GAPS:
        return None
    text = _LABEL.sub("", fields[5]).strip() if len(fields) > 5 else ""
    return start, end, fields[2], text, fields[1], fields[0]
