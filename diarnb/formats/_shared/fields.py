"""Lines of fields between spaces, as the formats of the evaluations have them, and LAB."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats._shared.reading import list_names
from diarnb.formats._shared.times import check_span, parse_number
from diarnb.tables.moments import cut_suffix
from diarnb.tables.turns import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from diarnb.formats._shared.reading import Reading

_NOTHING = {"channel": 0, "text": ""}
_NO_CHANNEL = ("NA", "<NA>", "-")


def read_rows(
    reading: Reading, kind: str, shape: str, row: Callable[[list[str]], tuple[Any, ...] | None], *, most: int = -1
) -> tuple[list[tuple[Any, ...]], int]:
    """Read each line but comments with `row`, which may leave it out; return the rows and how many were left out.

    `most` is how often a line is split at most, where the last field may hold spaces. Damaged lines are passed over,
    and counted.
    """
    rows = []
    skipped = 0
    for number, line in enumerate(reading.read_lines(kind), start=1):
        fields = line.split(maxsplit=most)
        if not fields or fields[0].startswith((";", "#")):
            continue
        try:
            found = row(fields)
        except (ValueError, IndexError) as error:
            cause = "a field is missing" if isinstance(error, IndexError) else error
            reading.skip(f"line {number}", f"expected `{shape}`, found {line.strip()!r:.150}: {cause}")
            continue
        if found is None:
            skipped += 1
        else:
            rows.append(found)
    reading.check_sound(len(rows))
    return rows, skipped


def make_table(rows: Iterable[tuple[Any, ...]], columns: Sequence[str], reading: Reading) -> pd.DataFrame:
    """Make a table without the columns that say nothing: the only channel, no text, the only recording."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    if "channel" in table:
        table["channel"] = number_channels(table["channel"].tolist(), reading)
    silent = [name for name, nothing in _NOTHING.items() if name in table and (table[name] == nothing).all()]
    table = table.drop(columns=silent)
    recordings: list[str] = table["uri"].unique().tolist() if "uri" in table else []
    if len(recordings) > 1:
        return table
    table = table.drop(columns="uri", errors="ignore")
    table.attrs["diarnb"] = {"source": str(recordings[0]) if recordings else reading.path.stem, "schema": SCHEMA}
    return table


def parse_times(start: str, *, end: str | None = None, duration: str | None = None) -> tuple[float, float]:
    """Read times; a sum has 9 decimals, so that 0.1 + 0.2 ends at 0.3."""
    begin = parse_number(start)
    if end is not None:
        return check_span(begin, parse_number(end))
    lasts = parse_number(duration or "nan")
    if lasts < 0:
        raise ValueError(f"its duration is {lasts:g}")
    return check_span(begin, round(begin + lasts, 9))


def format_length(start: float, end: float) -> str:
    """Write a duration, from rounded times, so that the end comes back rounded only once."""
    return f"{round(end, 3) - round(start, 3):.3f}"


def number_channels(names: Sequence[str], reading: Reading) -> list[int]:
    """Find a number, from 0, for each channel.

    Files count them from 1, from A, or, where a 0 shows it, from 0; other names, as NIST's ``h01``, are numbered in
    their order, which is told.

    Raises
    ------
    TurnTableError
        If a channel is a negative number.
    """
    kinds = {name for name in names if name not in _NO_CHANNEL}
    if all(name.lstrip("-").isdecimal() for name in kinds):
        numbers = {name: int(name) for name in kinds}
        if min(numbers.values(), default=0) < 0:
            raise TurnTableError(f"{reading.name} has the channel {min(numbers.values())}; channels count from 1")
        first = 0 if 0 in numbers.values() else 1
        found = {name: number - first for name, number in numbers.items()}
    elif all(len(name) == 1 and name.isascii() and name.isalpha() for name in kinds):
        found = {name: ord(name.lower()) - ord("a") for name in kinds}
    else:
        found = {name: number for number, name in enumerate(sorted(kinds))}
        if len(found) > 1:
            reading.remarks.append(f"its channels {list_names(sorted(kinds))} are numbered from 0 in this order")
    return [found.get(name, 0) for name in names]


def list_places(turns: pd.DataFrame, path: Path) -> tuple[list[str], list[int]]:
    """List each row's recording, in one word and without the suffix of a file, and its channel as it is written."""
    source = (turns.attrs.get("diarnb") or {}).get("source")
    name = cut_suffix(PurePosixPath(source).name) if source else path.stem
    uris = cut_suffixes(turns["uri"].astype(str).tolist()) if "uri" in turns else [name] * len(turns)
    words = {uri: f"_{word}" if word.startswith((";", "#")) else word for uri, word in join_names(uris).items()}
    channels = turns["channel"].fillna(0).tolist() if "channel" in turns else [0] * len(turns)
    return [words[uri] for uri in uris], [int(channel) + 1 for channel in channels]


def cut_suffixes(uris: list[str]) -> list[str]:
    """Take the suffix of a file from the names of recordings, as the evaluations have them, where they stay apart."""
    stems = {uri: cut_suffix(uri) or uri for uri in uris}
    counts = Counter(stems.values())
    return [stems[uri] if counts[stems[uri]] == 1 else uri for uri in uris]


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
