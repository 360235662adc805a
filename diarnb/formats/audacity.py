"""Audacity's labels: ``start``, ``end`` and ``label`` between tabs; the label is who speaks, or ``Maya: Hello.``.

A name that would be read otherwise stands in brackets, ``[Dr: Maya]: Hello.``, as in SRT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diarnb.formats._shared.fields import make_table, parse_times
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.names import add_name, assign_names, has_name
from diarnb.formats._shared.text import join_lines, list_texts, write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "Audacity labels: `Maya`, or `Maya: Hello.`; `speakers=` and `labels=` override"
HOLDS = Holds("exact", text=True)


def load(reading: Reading) -> pd.DataFrame:
    """Read labels; the frequencies that may stand below one are skipped."""
    times, labels = [], []
    for number, line in enumerate(reading.read_lines("label track of Audacity"), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", 2)
        try:
            # In some languages Audacity wrote a comma for the decimal point.
            times.append(parse_times(fields[0], end=fields[1]))
        except (ValueError, IndexError) as error:
            cause = error if isinstance(error, ValueError) else "a tab is missing"
            expected = "expected `start`, `end` and `label` between tabs"
            reading.skip(f"line {number}", f"{expected}, found {line.strip()!r:.150}: {cause}")
            continue
        labels.append(fields[2] if len(fields) > 2 else "")
    reading.check_sound(len(times))
    parts = [cue[0] for cue in assign_names(labels, reading)]
    rows = []
    for (start, end), (speaker, text, _) in zip(times, parts, strict=True):
        alone = speaker is None and reading.labels != "text"  # the whole label is who speaks
        rows.append((start, end, text if alone else speaker, "" if alone else text))
    return make_table(rows, ["start", "end", "speaker", "text"], reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write labels."""
    rows = zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True)
    lines = [
        f"{_format_seconds(start)}\t{_format_seconds(end)}\t{_write_label(speaker, join_lines(text))}\n"
        for start, end, speaker, text in rows
    ]
    write_text(path, "".join(lines))


def _format_seconds(time: float) -> str:
    """Write all digits, and six decimals at least, as Audacity does."""
    return np.format_float_positional(time, min_digits=6)


def _write_label(speaker: str, text: str) -> str:
    alone = not text and speaker == speaker.strip() and not has_name(speaker) and not set("\r\n") & set(speaker)
    return speaker if alone else add_name(speaker, text)
