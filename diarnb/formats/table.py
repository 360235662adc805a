"""CSV with a header, in UTF-8: every column, every digit.

A spreadsheet would run a cell that begins with ``=``, ``+``, ``-`` or ``@``, and names and words come from strangers:
such text gets an apostrophe in front, which reading takes away again.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = {"speaker", "text", "uri", "word"}
_RISKY = re.compile(r"'*[=+\-@\t\r]")


def load(path: Path) -> pd.DataFrame:
    """Read a table; labels stay text even where they look like numbers or like something missing."""
    # Not by pandas.read_csv: what it takes for missing, and how exactly it reads digits, depends on its version.
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TurnTableError(f"{path.name} is no CSV in UTF-8: {error!s:.150}") from error
    header = [_bare(name) for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise TurnTableError(f"{path.name}: row {number} has {len(row)} cells, but the header has {len(header)}")
    columns = zip(*rows[1:], strict=True) if rows[1:] else [()] * len(header)
    values = [_values(name, list(cells)) for name, cells in zip(header, columns, strict=True)]
    table = pd.DataFrame(dict(enumerate(values))).set_axis(header, axis=1)
    try:
        return check_turns(table)
    except TurnTableError as error:
        raise TurnTableError(
            f"{path.name}: {error}, with `turns = pandas.read_csv({path.name!r})` before it"
        ) from error


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a table."""
    text = turns.select_dtypes(exclude=["number", "bool"]).columns
    safe = turns.assign(**{name: turns[name].map(_harmless) for name in text}).rename(columns=_harmless)
    # All text is quoted: the quotes that are only where needed leave a lone carriage return without.
    safe.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def _values(name: str, cells: list[str]) -> list[Any]:
    """Read the cells of a column as whole numbers, as numbers with gaps, as truths, or else as text."""
    if name not in _TEXT:
        for number in (int, lambda cell: float(cell or "nan"), {"True": True, "False": False}.__getitem__):
            try:
                return [number(cell) for cell in cells]
            except (ValueError, KeyError):
                continue
    return [_bare(cell) for cell in cells]


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _RISKY.match(value) else value


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell) else cell
