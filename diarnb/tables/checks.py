"""The check at every door: whether a table is one of turns, and if not, what to do about it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb.errors import TurnTableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diarnb.errors import DiarnbError

_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "empty"}
_OTHER_NAMES = {
    "start": ("start", "begin", "start_time", "onset", "from", "tmin", "starttime"),
    "end": ("end", "stop", "end_time", "offset", "to", "tmax", "endtime"),
    "speaker": ("speaker", "label", "name", "speaker_id", "spk", "who", "speaker_label"),
}


def check_turns(table: pd.DataFrame, *, name: str = "turns") -> pd.DataFrame:
    """Check that a table is one of turns, and return it in order.

    Parameters
    ----------
    table : pandas.DataFrame
        Any table with ``start`` and ``end`` in seconds and ``speaker``. Integers, nullable, Arrow and categorical types
        are taken; overlapping, unsorted, duplicate and zero-length rows as well.
    name : str, default "turns"
        What to call the table in an error.

    Returns
    -------
    pandas.DataFrame
        A copy: ``start, end, duration`` (float64), ``speaker`` (text), then every other column untouched; sorted by
        start, end and speaker, recordings (``uri``) in the order in which they came; the index counts from 0; ``attrs``
        kept.

    Raises
    ------
    TurnTableError
        If a column is missing or no number, a time is missing, infinite or negative, a turn ends before it starts, or
        has no speaker. The first five bad rows are named by their index.

    Examples
    --------
    >>> check_turns(pd.DataFrame({"start": [3, 0], "end": [4, 2], "speaker": ["B", "A"]}))
       start  end  duration speaker
    0    0.0  2.0       2.0       A
    1    3.0  4.0       1.0       B
    """
    if not isinstance(table, pd.DataFrame):
        kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__qualname__}"
        advice = f"; run `{name}.to_pandas()`" if hasattr(table, "to_pandas") else ""
        raise TurnTableError(f"{name} is a {kind}, not a pandas DataFrame with start, end and speaker{advice}")
    _check_columns(table, name)
    start, end = _read_seconds(table["start"], name), _read_seconds(table["end"], name)
    # Asking for what is wrong, `end < start`, would let NaN through: every comparison with NaN is False.
    possible = (start >= 0) & (end >= start) & np.isfinite(end)
    if not possible.all():
        rows = [f"{table.index[row]!s:.20} ({start[row]:g} to {end[row]:g})" for row in np.flatnonzero(~possible)[:5]]
        count = f"{np.count_nonzero(~possible)} of {len(table)} rows"
        raise TurnTableError(f"{name} needs 0 <= start <= end in seconds, but {count} break that: {', '.join(rows)}")
    nobody = table["speaker"].isna().to_numpy(dtype=bool)
    if nobody.any():
        rows = [f"{table.index[row]!s:.20}" for row in np.flatnonzero(nobody)[:5]]
        fix = f'{name} = {name}.dropna(subset="speaker")'
        count = f"{np.count_nonzero(nobody)} of {len(table)} rows"
        raise TurnTableError(f"{name} has no speaker in {count}: {', '.join(rows)}; leave them out with `{fix}`")
    checked = pd.DataFrame({"start": start, "end": end, "duration": end - start})
    checked["speaker"] = pd.Series(table["speaker"].to_numpy(dtype=object), dtype=object).astype(str)
    for column in table.columns:
        if column not in ("start", "end", "duration", "speaker"):
            checked[column] = table[column].array
    recording = pd.factorize(checked["uri"])[0] if "uri" in checked else 0
    order = checked[["start", "end", "speaker"]].assign(recording=recording)
    order = order.sort_values(["recording", "start", "end", "speaker"])
    checked = checked.loc[order.index].reset_index(drop=True)
    checked.attrs = deepcopy(table.attrs)
    return checked


def check_end(
    ends: Iterable[float],
    duration: float | None,
    *,
    name: str = "turns",
    audio: str = "it",
    advice: str = "",
    slack: float = 5.0,
    share: float = 0.02,
    error: type[DiarnbError] = TurnTableError,
) -> None:
    """Refuse times that go on long after their recording ends: they are of another one, or no seconds.

    Parameters
    ----------
    ends : iterable of float
        Seconds at which turns or words end.
    duration : float or None
        Of the recording, in seconds; where it is not known nothing is checked.
    name, audio : str
        What to call the turns and the recording in an error.
    advice : str, default ""
        What to do about it.
    slack, share : float, default 5.0 and 0.02
        Seconds, and a share of the duration, by which the last one may end late: a header may announce too little.
    error : type, default TurnTableError

    Examples
    --------
    >>> check_end([1.5, 90.0], 4.2, name="words")
    Traceback (most recent call last):
    ...
    diarnb.errors.TurnTableError: words is not of this recording: its times go to 90.0 s, and it ends at 4.2 s
    """
    last = max(ends, default=0.0)
    if duration and last > (1 + share) * duration + slack:
        told = f"its times go to {last:.1f} s, and {audio} ends at {duration:.1f} s"
        raise error(f"{name} is not of this recording: {told}{advice}")


def _check_columns(table: pd.DataFrame, name: str) -> None:
    columns = list(table.columns)
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise TurnTableError(f"{name} has two columns called {twice!r:.40}; keep one of them")
    missing = [column for column in ("start", "end", "speaker") if column not in columns]
    if not missing:
        return
    if missing == ["end"] and "duration" in columns:
        fix = f'{name} = {name}.assign(end={name}["start"] + {name}["duration"])'
    else:
        lower = {str(column).lower(): column for column in columns}
        usual = {column: [lower[other] for other in _OTHER_NAMES[column] if other in lower] for column in missing}
        names = {(usual[column] or [f"your {column} column"])[0]: column for column in missing}
        fix = f"{name} = {name}.rename(columns={names})"
    found = ", ".join(map(str, columns)) or "none"
    raise TurnTableError(f"{name} has no column {' nor '.join(missing)} (found: {found:.150}); try `{fix}`")


def _read_seconds(column: pd.Series[Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Read a column as float64 seconds, NaN where there is none; what only looks like a number is refused."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _NUMBERS or column.empty:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    where = f'{name}["{column.name}"]'
    if kind.startswith("timedelta") or (kind == "string" and column.str.contains(":").any()):
        fix = f"{where} = pandas.to_timedelta({where}).dt.total_seconds()"
    else:
        fix = f"{where} = pandas.to_numeric({where})"
    raise TurnTableError(f"{where} holds {kind} values, not numbers of seconds; convert them first: `{fix}`")
