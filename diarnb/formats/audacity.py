r"""Audacity's labels: ``start``, ``end`` and ``label`` between tabs; the label is who speaks, or ``Maya: Hello.``.

A name that would be read otherwise stands in brackets, ``[Dr: Maya]: Hello.``, where ``\\``, ``\]``, ``\n``, ``\r`` and
``\t`` stand for those characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diarnb.formats._fields import make_table, parse_times
from diarnb.formats._text import add_name, join_lines, list_texts, make_line_error, read_lines, split_name, write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def load(path: Path) -> pd.DataFrame:
    """Read labels; the frequencies that may stand below one are skipped."""
    rows = []
    for number, line in enumerate(read_lines(path, "label track of Audacity"), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", 2)
        try:
            # In some languages Audacity wrote a comma for the decimal point.
            start, end = parse_times(fields[0].replace(",", "."), end=fields[1].replace(",", "."))
        except (ValueError, IndexError) as error:
            raise make_line_error(path, number, "`start`, `end` and `label` between tabs", line) from error
        rows.append((start, end, *_read(fields[2] if len(fields) > 2 else "")))
    return make_table(rows, ["start", "end", "speaker", "text"], path)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write labels."""
    rows = zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True)
    lines = [
        f"{_seconds(start)}\t{_seconds(end)}\t{_label(speaker, join_lines(text))}\n"
        for start, end, speaker, text in rows
    ]
    write_text(path, "".join(lines))


def _seconds(time: float) -> str:
    """Write all digits, and six decimals at least, as Audacity does."""
    return np.format_float_positional(time, min_digits=6)


def _label(speaker: str, text: str) -> str:
    alone = not text and _read(speaker) == (speaker, "") and not set("\r\n") & set(speaker)
    return speaker if alone else add_name(speaker, text)


def _read(label: str) -> tuple[str, str]:
    name, text = split_name(label)
    return (label.strip(), "") if name is None else (name, text)
