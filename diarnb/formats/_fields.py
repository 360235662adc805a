"""Lines of fields between spaces, as the formats of the evaluations have them, and LAB."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.formats._text import make_line_error, read_lines
from diarnb.tables.turns import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

_NOTHING = {"channel": 0, "text": ""}


def read_rows(
    path: Path, kind: str, shape: str, row: Callable[[list[str]], tuple[Any, ...] | None], *, most: int = -1
) -> tuple[list[tuple[Any, ...]], int]:
    """Read each line but comments with `row`, which may leave it out; return the rows and how many were left out.

    `most` is how often a line is split at most, where the last field may hold spaces.
    """
    rows = []
    skipped = 0
    for number, line in enumerate(read_lines(path, kind), start=1):
        fields = line.split(maxsplit=most)
        if not fields or fields[0].startswith(";;"):
            continue
        try:
            found = row(fields)
        except (ValueError, IndexError) as error:
            raise make_line_error(path, number, f"`{shape}`", line) from error
        if found is None:
            skipped += 1
        else:
            rows.append(found)
    return rows, skipped


def make_table(rows: Iterable[tuple[Any, ...]], columns: Sequence[str], path: Path) -> pd.DataFrame:
    """Make a table without the columns that say nothing: the only channel, no text, the only recording."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    silent = [name for name, nothing in _NOTHING.items() if name in table and (table[name] == nothing).all()]
    table = table.drop(columns=silent)
    recordings: list[Any] = table["uri"].unique().tolist() if "uri" in table else []
    if len(recordings) > 1:
        return table
    table = table.drop(columns="uri", errors="ignore")
    table.attrs["diarnb"] = {"source": str(recordings[0]) if recordings else path.stem, "schema": SCHEMA}
    return table


def parse_times(start: str, *, end: str | None = None, duration: str | None = None) -> tuple[float, float]:
    """Read times; a sum has 9 decimals, so that 0.1 + 0.2 ends at 0.3."""
    begin = float(start)
    until = float(end) if end is not None else round(begin + float(duration or "nan"), 9)
    if not 0 <= begin <= until < float("inf"):
        raise ValueError("impossible times")
    return begin, until


def format_length(start: float, end: float) -> str:
    """Write a duration, from rounded times, so that the end comes back rounded only once."""
    return f"{round(end, 3) - round(start, 3):.3f}"


def parse_channel(field: str) -> int:
    """Read a channel, which counts from 1 or A; 0 is the first."""
    if field == "<NA>":
        return 0
    return "AB".index(field) if field in ("A", "B") else max(int(field) - 1, 0)


def list_places(turns: pd.DataFrame, path: Path) -> tuple[list[str], list[int]]:
    """List each row's recording, in one word, and its channel as it is written."""
    source = (turns.attrs.get("diarnb") or {}).get("source")
    name = PurePosixPath(source).stem if source else path.stem
    uris = turns["uri"].astype(str).tolist() if "uri" in turns else [name] * len(turns)
    words = {uri: f"_{word}" if word.startswith(";;") else word for uri, word in join_names(uris).items()}
    channels = turns["channel"].fillna(0).tolist() if "channel" in turns else [0] * len(turns)
    return [words[uri] for uri in uris], [int(channel) + 1 for channel in channels]


def join_names(labels: Iterable[str]) -> dict[str, str]:
    """Find a form without whitespace for each label, that no other has."""
    labels = sorted(set(labels))
    words = {label: label for label in labels if label.split() == [label]}
    taken = set(words.values())
    for label in labels:
        if label not in words:
            word = "_".join(label.split()) or "_"
            while word in taken:
                word += "_"
            words[label] = word
            taken.add(word)
    return words
