"""The check at every door: whether a table is one of turns, and if not, what to do about it."""

from __future__ import annotations

import warnings
from copy import deepcopy
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diarnb._text import visible
from diarnb.errors import DiarnbWarning, TurnTableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diarnb.errors import DiarnbError

Times = NDArray[np.float64]

_DECIMALS = 6  # of a second: what is nearer than that is one time
_LONG = 600.0  # seconds: turns that half of them last longer than that are told in milliseconds
_LATEST = 86_400.0  # seconds after which hardly a turn ends
_TWICE_SHARE = 0.1  # of all speech,
_TWICE_LEAST = 5.0  # and seconds, for which speakers may overlap with themselves
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
        Any table with ``start`` and ``end`` in seconds and ``speaker``, or an annotation of pyannote.core. Integers,
        nullable, Arrow and categorical types are taken; overlapping, unsorted, duplicate and zero-length rows as well.
        What ``pandas.concat(tables, keys=names)`` made has several recordings, named by the keys.
    name : str, default "turns"
        What to call the table in an error.

    Returns
    -------
    pandas.DataFrame
        A copy: ``start, end, duration`` (float64, rounded to a millionth of a second, so that 0.1 + 0.2 is 0.3),
        ``speaker`` (text), then every other column untouched; sorted by start, end and speaker, recordings (``uri``) in
        the order in which they came; the index counts from 0; ``attrs`` kept.

    Raises
    ------
    TurnTableError
        If a column is missing or no number, a time is missing, infinite or negative, a turn ends before it starts, or
        has no speaker (the first five bad rows are named by their index); or if the times cannot be seconds: they go
        far beyond the recording's duration in ``attrs``, or are whole numbers and half of the turns last ten minutes.

    Warns
    -----
    DiarnbWarning
        If the times may be milliseconds; or if speakers overlap with themselves for long, as where tables of several
        recordings were put together.

    Examples
    --------
    >>> check_turns(pd.DataFrame({"start": [3, 0], "end": [4, 2], "speaker": ["B", "A"]}))
       start  end  duration speaker
    0    0.0  2.0       2.0       A
    1    3.0  4.0       1.0       B
    """
    table = as_table(table, name=name)
    start, end = _read_times(table, name, ("start", "end", "speaker"))
    given = pd.Series(table["speaker"].to_numpy(dtype=object), dtype=object)
    speaker = given.astype(str)
    nobody = given.isna().to_numpy(dtype=bool) | (speaker.str.strip() == "").to_numpy(dtype=bool)
    if nobody.any():
        own = _name_variable(name)
        fix = f'{own} = {own}[{own}["speaker"].fillna("").astype(str).str.strip() != ""]'
        count = f"{np.count_nonzero(nobody)} of {len(table)} rows"
        raise TurnTableError(f"{name} has no speaker in {count}: {_list_rows(table, nobody)}; leave them out: `{fix}`")
    checked = _order(table, start, end, speaker)
    _check_unit(checked, name)
    _check_own_overlap(checked, name)
    return checked


def check_spans(table: pd.DataFrame, *, name: str = "words") -> pd.DataFrame:
    """Check a table of stretches that need no speaker, words for one, and return it in order.

    Parameters
    ----------
    table : pandas.DataFrame
        Any table with ``start`` and ``end`` in seconds.
    name : str, default "words"
        What to call the table in an error.

    Returns
    -------
    pandas.DataFrame
        As `check_turns`; a column ``speaker`` is one of those that are left as they are.

    Raises
    ------
    TurnTableError
        As `check_turns`, speakers apart.
    """
    return _order(table, *_read_times(table, name, ("start", "end")))


def as_table(
    given: object, *, name: str = "turns", needed: tuple[str, ...] = ("start", "end", "speaker")
) -> pd.DataFrame:
    """Return a table as it is, and an annotation of pyannote.core, or an output that holds one, as a table.

    Raises
    ------
    TurnTableError
        If it is neither; for a path the message says what reads it.
    """
    if isinstance(given, pd.DataFrame):
        return given
    annotation = getattr(given, "speaker_diarization", given)
    if hasattr(annotation, "itertracks"):
        tracks = annotation.itertracks(yield_label=True)
        rows = [(at.start, at.end, at.end - at.start, str(label)) for at, _, label in tracks]
        return pd.DataFrame(rows, columns=["start", "end", "duration", "speaker"])
    if isinstance(given, str | PathLike):
        shown = visible(given, limit=60)
        advice = f"; diarnb.read({shown!r}) reads turns, diarnb.diarize({shown!r}) finds them in a recording"
    else:
        advice = f"; run `{name}.to_pandas()`" if hasattr(given, "to_pandas") else ""
    kind = f"{type(given).__module__.partition('.')[0]}.{type(given).__qualname__}"
    raise TurnTableError(f"{name} is a {kind}, not a pandas DataFrame with {_join(needed, 'and')}{advice}")


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
    >>> check_end([1.5, 9.5], 4.2, name="words")
    Traceback (most recent call last):
    ...
    diarnb.errors.TurnTableError: the times of words do not match this recording: they go to 9.5 s, and it ends at 4.2 s
    """
    last = max(ends, default=0.0)
    if duration and last > (1 + share) * duration + slack:
        told = f"they go to {last:.1f} s, and {audio} ends at {duration:.1f} s"
        raise error(f"the times of {name} do not match this recording: {told}{advice}")


def _read_times(table: pd.DataFrame, name: str, needed: tuple[str, ...]) -> tuple[Times, Times]:
    """Check the columns of a table and what its times are, and return these to a millionth of a second."""
    table = as_table(table, name=name, needed=needed)
    _check_columns(table, name, needed)
    start, end = (np.round(_read_seconds(table, side, name), _DECIMALS) for side in ("start", "end"))
    # Asking for what is wrong, `end < start`, would let NaN through: every comparison with NaN is False.
    possible = (start >= 0) & (end >= start) & np.isfinite(end)
    if not possible.all():
        rows = _list_rows(table, ~possible, [f" ({a:g} to {b:g})" for a, b in zip(start, end, strict=True)])
        count = f"{np.count_nonzero(~possible)} of {len(table)} rows"
        raise TurnTableError(f"{name} needs 0 <= start <= end in seconds, but {count} break that: {rows}")
    return start, end


def _order(table: pd.DataFrame, start: Times, end: Times, speaker: pd.Series[str] | None = None) -> pd.DataFrame:
    """Put a table together anew, in order of recordings and times."""
    columns: dict[object, object] = {"start": start, "end": end, "duration": end - start}
    if speaker is not None:
        columns["speaker"] = speaker
    checked = pd.DataFrame(columns)
    for column in table.columns:
        if column not in columns:
            checked[column] = table[column].array
    if "uri" not in checked and (keys := _find_keys(table.index)) is not None:
        checked["uri"] = keys
    names = () if speaker is None else (pd.factorize(speaker, sort=True)[0],)
    recordings = (pd.factorize(checked["uri"])[0],) if "uri" in checked else ()
    checked = checked.take(np.lexsort((*names, end, start, *recordings))).reset_index(drop=True)
    checked.attrs = deepcopy(table.attrs)
    return checked


def _find_keys(index: pd.Index) -> pd.Index[str] | None:
    """Find the names that `pandas.concat` was given as keys."""
    if index.nlevels != 2 or not pd.api.types.is_integer_dtype(index.get_level_values(1).dtype):
        return None
    names = index.get_level_values(0)
    return names if index.names[1] is None and all(isinstance(name, str) for name in names.unique()) else None


def _check_unit(checked: pd.DataFrame, name: str) -> None:
    """Refuse times that cannot be seconds, and doubt those that hardly are."""
    if checked.empty:
        return
    last, own = float(checked["end"].max()), _name_variable(name)
    fix = f'in milliseconds? `{own}[["start", "end"]] = {own}[["start", "end"]] / 1000`'
    duration = None if "uri" in checked else (checked.attrs.get("diarnb") or {}).get("duration")
    check_end([last], duration, name=name, audio="the recording", advice=f"; {fix}")
    median = float(checked["duration"].median())
    if duration or (median <= _LONG and last <= _LATEST):
        return
    told = f"half of the turns last {median:,.0f} s or more" if median > _LONG else f"they go to {last:,.0f} s"
    whole = (checked[["start", "end"]] % 1 == 0).all(axis=None)
    if median > _LONG and whole and len(checked) > 1:
        raise TurnTableError(f"{name} does not hold times in seconds: {told}; {fix}")
    warnings.warn(f"{name} may not hold times in seconds: {told}; {fix}", DiarnbWarning, stacklevel=4)


def _check_own_overlap(checked: pd.DataFrame, name: str) -> None:
    """Doubt turns of a speaker that overlap for long: they are of several people who are called alike."""
    who = [checked[column] for column in ("uri", "channel", "speaker") if column in checked]
    group = pd.DataFrame({column.name: pd.factorize(column)[0] for column in who})
    number = group.groupby([*group], sort=False).ngroup().to_numpy() if len(who) > 1 else group["speaker"].to_numpy()
    start, end = (checked[side].to_numpy() for side in ("start", "end"))
    shift = number * (end.max(initial=0.0) + 1.0)  # one speaker behind the other on one axis of time
    order = np.argsort(shift + start, kind="stable")
    reached = np.maximum.accumulate((shift + end)[order])
    alone = np.maximum(reached - np.maximum((shift + start)[order], np.append(0.0, reached[:-1])), 0.0)
    total = float(checked["duration"].sum())
    twice = total - float(alone.sum())
    if twice > max(_TWICE_LEAST, _TWICE_SHARE * total):
        warnings.warn(
            f"speakers of {name} overlap with themselves, for {twice:.1f} of {total:.1f} s: are these several "
            "recordings? diarize_many(files) keeps them apart, and so does pandas.concat(tables, keys=names)",
            DiarnbWarning,
            stacklevel=4,
        )


def _list_rows(table: pd.DataFrame, bad: NDArray[np.bool_] | pd.Series[bool], notes: list[str] | None = None) -> str:
    """List the first five bad rows by their index."""
    places = np.flatnonzero(bad)[:5]
    return ", ".join(f"{table.index[place]!s:.20}{notes[place] if notes else ''}" for place in places)


def _name_variable(name: str) -> str:
    """Return what a line of Python calls a table: a file's name is none."""
    return name if name.isidentifier() else "turns"


def _join(words: tuple[str, ...], last: str) -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _check_columns(table: pd.DataFrame, name: str, needed: tuple[str, ...]) -> None:
    columns, own = list(table.columns), _name_variable(name)
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise TurnTableError(f"{name} has two columns called {twice!r:.40}; keep one of them")
    missing = [column for column in needed if column not in columns]
    if not missing:
        return
    indexed = [column for column in missing if column in table.index.names]
    if indexed == missing:
        fix = f"{own} = {own}.reset_index()"
    elif missing == ["end"] and "duration" in columns:
        fix = f'{own} = {own}.assign(end={own}["start"] + {own}["duration"])'
    else:
        lower = {str(column).lower(): column for column in columns}
        usual = {column: [lower[other] for other in _OTHER_NAMES[column] if other in lower] for column in missing}
        names = {(usual[column] or [f"your {column} column"])[0]: column for column in missing}
        fix = f"{own} = {own}.rename(columns={names})"
    found = ", ".join(map(str, columns)) or "none"
    raise TurnTableError(f"{name} has no column {' nor '.join(missing)} (found: {found:.150}); try `{fix}`")


def _read_seconds(table: pd.DataFrame, side: str, name: str) -> Times:
    """Read a column as float64 seconds, NaN where there is none; what only looks like a number is refused."""
    column = _plain(table[side])
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _NUMBERS or column.empty:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    own = _name_variable(name)
    alike = [one for one in ("start", "end") if pd.api.types.infer_dtype(_plain(table[one]), skipna=True) == kind]
    these = f"{own}[{alike}]".replace("'", '"')
    text = column[column.notna()].astype(str) if kind in ("string", "mixed") else pd.Series(dtype=str)
    parts = 'enumerate(reversed(time.replace(",", ".").split(":")))'
    if text.str.contains(r"\d-\d|/").any():
        origin = f'pandas.to_datetime({own}["start"]).min()'
        how = f"apply(lambda times: (pandas.to_datetime(times) - {origin}).dt.total_seconds())"
    elif text.str.contains(":").any():
        how = f"map(lambda time: sum(float(part) * 60**place for place, part in {parts}))"
    elif text.str.contains(",").any():
        how = 'map(lambda time: float(time.replace(",", ".")))'
    elif kind.startswith("datetime"):
        how = f'apply(lambda times: (times - {own}["start"].min()).dt.total_seconds())'
    elif kind.startswith("timedelta"):
        how = "apply(lambda times: times.dt.total_seconds())"
    elif kind == "time":
        how = "map(lambda time: time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6)"
    else:
        how = "astype(float)" if kind == "boolean" else "apply(pandas.to_numeric)"
    where = f'{own}["{side}"]'
    fix = f"{these} = {these}.{how}"
    raise TurnTableError(f"{where} holds {kind} values, not numbers of seconds; convert them first: `{fix}`")


def _plain(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(column.cat.categories.dtype)
    return column
