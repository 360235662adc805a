"""Parquet: every column and every digit, small and fast, with the facts of the table. Needs the extra ``parquet``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import ConfigurationError, TurnTableError
from diarnb.formats._shared.holds import Holds

if TYPE_CHECKING:
    from pathlib import Path

    from diarnb.formats._shared.reading import Reading

READS = "a table; needs the extra `parquet`"
HOLDS = Holds("exact", text=True, confidence="yes", words="yes", also="every column and the facts")

_MOST = 20_000_000  # rows: a small file can announce any number


def load(reading: Reading) -> pd.DataFrame:
    """Read a table."""
    arrow = _arrow()
    try:
        rows = arrow.parquet.read_metadata(reading.path).num_rows
        if rows > _MOST:
            raise TurnTableError(f"{reading.name} announces {rows} rows, more than the {_MOST} that are read")
        return pd.read_parquet(reading.path, engine="pyarrow")
    except (arrow.ArrowException, OSError) as error:
        raise TurnTableError(f"{reading.name} is no Parquet: {error!s:.150}") from error


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a table."""
    arrow = _arrow()
    table = turns.copy()
    table.attrs = {name: facts for name, facts in turns.attrs.items() if name == "diarnb"}  # others may be no JSON
    try:
        table.to_parquet(path, engine="pyarrow", index=False)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise TurnTableError(f"Parquet cannot hold this table: {error!s:.150}") from error


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError("Parquet needs pyarrow: run `pip install 'diarnb[parquet]'`") from error
    return pyarrow
