"""Excel's .xlsx: the first sheet, read and written as a CSV is. Needs the extra ``formats``."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from diarnb.errors import ConfigurationError, TurnTableError
from diarnb.formats._shared.holds import Holds
from diarnb.formats.table import add_guard, make_table, strip_guard

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "the first sheet, as a CSV; needs the extra `formats`"
HOLDS = Holds("exact", text=True, confidence="yes", words="yes", also="every column")

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")  # for a cell
_MOST = 2_000_000  # cells: a small file can announce any number


def load(reading: Reading) -> pd.DataFrame:
    """Read a table; times may be numbers of seconds, clocks or Excel's durations."""
    openpyxl = _import_openpyxl()
    try:
        book = openpyxl.load_workbook(reading.path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        size = (sheet.max_row or 0) * (sheet.max_column or 0)
        rows = [] if size > _MOST else [[_read_cell(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        book.close()
    except Exception as error:  # whatever a damaged archive or its XML raises
        raise TurnTableError(f"{reading.name} is no .xlsx: {error!s:.150}") from error
    if size > _MOST:
        raise TurnTableError(f"{reading.name} announces more cells than the {_MOST:,} that are read")
    rows = [row for row in rows if any(cell != "" for cell in row)]
    if not rows:
        raise TurnTableError(f"{reading.name} is empty: a table of turns has a header with start, end and speaker")
    return make_table([strip_guard(str(name)) for name in rows[0]], rows[1:], ",", reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a table."""
    _import_openpyxl()
    text = turns.select_dtypes(exclude=["number", "bool"]).columns
    fitting = {name: turns[name].map(_fit_cell).map(add_guard(name)) for name in text}
    safe = turns.assign(**fitting).rename(columns=lambda name: add_guard("")(_fit_cell(name)))
    safe.to_excel(path, index=False, engine="openpyxl")


def _read_cell(cell: Any) -> Any:
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, datetime | time):
        return f"{cell:%H:%M:%S.%f}"
    return "" if cell is None else cell


def _fit_cell(value: object) -> object:
    return _UNFIT.sub("\ufffd", value) if isinstance(value, str) else value


def _import_openpyxl() -> Any:
    try:
        import openpyxl
    except ImportError as error:
        raise ConfigurationError("Excel's files need openpyxl: run `pip install 'diarnb[formats]'`") from error
    return openpyxl
