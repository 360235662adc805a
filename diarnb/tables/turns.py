"""The tables: what a table of turns is, the check at every door, and the verbs that need nothing but the table.

Every verb takes any DataFrame with ``start``, ``end`` and ``speaker``, leaves it as it is, and answers a new one. In a
table with a ``uri`` column each recording is treated on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from diarnb._text import suggest
from diarnb.errors import InvalidParameterError
from diarnb.tables.activity import sweep
from diarnb.tables.checks import as_table, check_turns

SCHEMA = 1
"""The version of the tables; it stands in ``turns.attrs["diarnb"]["schema"]``."""

# `str` as a dtype means object on pandas 2 and the string dtype on pandas 3: in both the native way to hold text.
_REQUIRED: dict[str, type] = {"start": float, "end": float, "duration": float, "speaker": str}
_OPTIONAL: dict[str, type] = {"confidence": float, "text": str, "channel": np.int64, "uri": str}

_DOUBTFUL_SHARE = 0.02  # of all speech,
_DOUBTFUL_TIME = 10.0  # seconds in all,
_DOUBTFUL_TURN = 2.0  # and seconds at once: who stays within all three may be nobody


def empty_turns(*columns: str) -> pd.DataFrame:
    """Return a table of turns without rows, whose columns have their types all the same.

    Parameters
    ----------
    *columns : str
        Optional columns to have beside the four constant ones: ``confidence``, ``text``, ``channel``, ``uri``.

    Returns
    -------
    pandas.DataFrame
        Columns ``start, end, duration, speaker`` and those asked for, in the order of the schema.

    Examples
    --------
    >>> empty_turns("channel").dtypes["channel"]
    dtype('int64')
    """
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in _choose_dtypes(columns).items()})


def make_turns(
    rows: Iterable[Mapping[str, object]], *, columns: Iterable[str] = (), facts: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """Turn an engine's list of turns into the table.

    Parameters
    ----------
    rows : iterable of mappings
        ``start``, ``end`` (seconds) and ``speaker``; ``confidence`` is a number or a mapping of speaker to 0-100, from
        which that of the assigned speaker is taken. Turns without length are left out, for they hold no speech.
    columns : iterable of str, default ()
        The optional columns that this table has: ``confidence``, ``text``, ``channel``, ``uri``. What the rows hold
        beyond is left out; where they lack it, confidence is NaN, text is empty, and channel is 0.
    facts : mapping, optional
        Small JSON-only facts for ``attrs["diarnb"]``; the version of the schema is added.

    Returns
    -------
    pandas.DataFrame
        Sorted by start, end and speaker.

    Raises
    ------
    TurnTableError
        If the times are impossible.

    Examples
    --------
    >>> make_turns([{"start": 0, "end": 2, "speaker": "SPEAKER_00"}])
       start  end  duration     speaker
    0    0.0  2.0       2.0  SPEAKER_00
    """
    dtypes = _choose_dtypes(columns)
    rows = list(rows)
    values: dict[str, list[object]] = {name: [row[name] for row in rows] for name in ("start", "end", "speaker")}
    for name, missing in (("confidence", np.nan), ("text", ""), ("channel", 0), ("uri", "")):
        if name in dtypes:
            values[name] = [row.get(name, missing) for row in rows]
    if "confidence" in dtypes:
        values["confidence"] = [
            scores.get(speaker, np.nan) if isinstance(scores, Mapping) else scores
            for scores, speaker in zip(values["confidence"], values["speaker"], strict=True)
        ]
    table = check_turns(pd.DataFrame(values), name="the engine's answer")
    if not (table["duration"] > 0).all():
        table = table[table["duration"] > 0].reset_index(drop=True)
    table = table.astype(dtypes)[list(dtypes)]
    own = {"rows": hash_rows(table)} if "run" in (facts or {}) else {}
    table.attrs["diarnb"] = {**(facts or {}), **own, "schema": SCHEMA}
    return table


def hash_rows(turns: pd.DataFrame) -> str:
    """Hash who speaks when; the order of the rows, their index and other columns make no difference.

    Parameters
    ----------
    turns : pandas.DataFrame
        With start and end in seconds, and speaker.

    Returns
    -------
    str
        16 hexadecimal digits, equal for tables that say the same to a millionth of a second.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "B"]})
    >>> hash_rows(turns) == hash_rows(turns[::-1]), hash_rows(turns) == hash_rows(turns.head(1))
    (True, False)
    """
    micro = {side: np.round(turns[side].to_numpy(dtype=float) * 1e6).astype(np.int64) for side in ("start", "end")}
    rows = pd.DataFrame({**micro, "speaker": turns["speaker"].astype(str).to_numpy(dtype=object)})
    # A sum, which wraps around, tells nothing of the order.
    return f"{int(pd.util.hash_pandas_object(rows, index=False).to_numpy().sum()) & (2**64 - 1):016x}"


def cut_overlap(turns: pd.DataFrame) -> pd.DataFrame:
    """Cut turns so that no two overlap, and no moment of speech is lost.

    Who has the floor keeps it to the end of the turn; a turn that begins meanwhile keeps what lasts longer, and one
    that lies wholly inside another is left out. Of turns that begin together the shortest comes first.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.

    Returns
    -------
    pandas.DataFrame
        At most one row for each turn, with all its columns.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> cut_overlap(pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "B"]}))
       start  end  duration speaker
    0    0.0  4.0       4.0       A
    1    4.0  6.0       2.0       B
    """
    return _cut(check_turns(turns), ["uri"] if "uri" in turns else [])


def cut_own_overlap(turns: pd.DataFrame) -> pd.DataFrame:
    """Cut turns so that no two of the same speaker overlap: no moment of anybody's speech is there twice.

    Parameters
    ----------
    turns : pandas.DataFrame
        As `diarnb.tables.checks.check_turns` gives it: sorted.

    Returns
    -------
    pandas.DataFrame
        At most one row for each turn, with all its columns; turns without length are left out.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "A"]})
    >>> cut_own_overlap(check_turns(turns))["start"].tolist()
    [0.0, 4.0]
    """
    return _cut(turns, ["uri", "speaker"] if "uri" in turns else ["speaker"])


def rename(turns: pd.DataFrame, mapping: Mapping[str, str]) -> pd.DataFrame:
    """Rename speakers, all at once. Names may be swapped, and two speakers may be merged.

    The engine's labels are kept in ``attrs["diarnb"]["names"]``, a mapping from the original label to the current one,
    so that every other table of the run can follow.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.
    mapping : mapping of str to str
        From the label in the table to the new one.

    Returns
    -------
    pandas.DataFrame
        A copy with the same rows in the same order.

    Raises
    ------
    InvalidParameterError
        If the table has no such speaker, or a new name is not text.
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["SPEAKER_00", "SPEAKER_01"]})
    >>> list(rename(turns, {"SPEAKER_00": "Beth"})["speaker"])
    ['Beth', 'SPEAKER_01']
    """
    check_turns(turns)
    turns = as_table(turns)
    old = turns["speaker"].astype(str).tolist()
    shown = dict.fromkeys(sorted(set(old)))
    if not isinstance(mapping, Mapping):
        names = [mapping] if isinstance(mapping, str) else list(mapping)
        line = ", ".join(f"{label!r:.40}: {name!r:.40}" for label, name in zip(shown, names, strict=False))
        raise InvalidParameterError(f"new names are a mapping from the old ones: rename(turns, {{{line}}})")
    for label, name in mapping.items():
        if not isinstance(name, str):
            raise InvalidParameterError(f"a speaker's name is text, but {label!r:.40} was to become {name!r:.40}")
        if label not in shown:
            hint = suggest(label, shown, f"there are {', '.join(shown) or 'none'}")
            raise InvalidParameterError(f"there is no speaker {label!r:.40} in this table; {hint:.200}")
    renamed = turns.copy()
    renamed["speaker"] = pd.Series([mapping.get(label, label) for label in old], index=turns.index, dtype=str)
    facts = dict(turns.attrs.get("diarnb", {}))
    names = facts.get("names", {})
    known = {*names, *names.values()}
    names = names | {label: label for label in shown if label not in known}
    facts["names"] = {first: mapping.get(now, now) for first, now in names.items()}
    if facts.get("rows") == hash_rows(turns):  # the rows are still the run's own
        facts["rows"] = hash_rows(renamed)
    renamed.attrs["diarnb"] = facts
    return renamed


def speakers(turns: pd.DataFrame) -> pd.DataFrame:
    """Summarize each speaker.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.

    Returns
    -------
    pandas.DataFrame
        One row for each speaker, sorted by talk time (in a table of several recordings, for each recording):

        - ``talk_time``: seconds of speech, own overlaps counted once
        - ``share_of_speech``: of the talk time of all speakers, 0-1; these sum to 1
        - ``share_of_recording``: of the recording's duration (from ``attrs``; if unknown, the last end), 0-1
        - ``turns``, ``mean_turn``, ``longest_turn``: number of rows, and their seconds
        - ``overlapped``: seconds of this speaker's speech during which somebody else speaks too
        - ``first_start``: seconds
        - ``doubtful``: so little speech, in such short turns, that this may be nobody: a cough, a noise, or a bit of
          another speaker. Less than 2 % of all talk time, less than 10 s, and no turn longer than 2 s. Listen with
          ``clip``, then `rename` it to the right speaker, or drop the rows

    Raises
    ------
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "B"]})
    >>> speakers(turns)[["speaker", "talk_time", "overlapped"]]
      speaker  talk_time  overlapped
    0       A        4.0         1.0
    1       B        3.0         1.0
    """
    checked = check_turns(turns)
    checked["recording"] = _number_recordings(checked)
    own = cut_own_overlap(checked)  # a speaker's own rows may overlap, after a merge by `rename` for one
    swept = sweep(own["start"].to_numpy(), own["end"].to_numpy(), own["recording"].to_numpy())
    shared = np.concatenate([[0.0], np.cumsum(swept.seconds(2))])
    own["overlapped"] = np.maximum(shared[swept.last] - shared[swept.first], 0.0)
    rows, seconds = checked.groupby(["recording", "speaker"]), own.groupby(["recording", "speaker"])
    table = pd.DataFrame(
        {
            "talk_time": seconds["duration"].sum(),
            "share_of_speech": 0.0,
            "share_of_recording": 0.0,
            "turns": rows.size(),
            "mean_turn": rows["duration"].mean(),
            "longest_turn": rows["duration"].max(),
            "overlapped": seconds["overlapped"].sum(),
            "first_start": rows["start"].min(),
        }
    ).fillna(0.0)  # who has only turns without length talks for 0 s
    talk = table.groupby("recording")["talk_time"].transform("sum")
    known = None if "uri" in checked else checked.attrs.get("diarnb", {}).get("duration")
    length = known or rows["end"].max().groupby("recording").transform("max")
    table["share_of_speech"] = (table["talk_time"] / talk).fillna(0.0)
    table["share_of_recording"] = (table["talk_time"] / length).fillna(0.0)
    little = (table["share_of_speech"] < _DOUBTFUL_SHARE) & (table["talk_time"] < _DOUBTFUL_TIME)
    table["doubtful"] = little & (table["longest_turn"] <= _DOUBTFUL_TURN)
    table = table.reset_index().astype({"speaker": str, "turns": np.int64})
    order = ["recording", "talk_time", "first_start"]
    table = table.sort_values(order, ascending=[True, False, True], ignore_index=True)
    return _name_recordings(table, checked)


def overlap(turns: pd.DataFrame) -> pd.DataFrame:
    """Find the stretches in which at least two people speak.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.

    Returns
    -------
    pandas.DataFrame
        ``start, end, duration`` in seconds and ``speakers``, the largest number of people who speak at once in that
        stretch (int64), sorted by start; ``uri`` in a table of several recordings.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> overlap(pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "B"]}))
       start  end  duration  speakers
    0    3.0  4.0       1.0         2
    """
    checked = check_turns(turns)
    checked["recording"] = _number_recordings(checked)
    own = cut_own_overlap(checked)
    swept = sweep(own["start"].to_numpy(), own["end"].to_numpy(), own["recording"].to_numpy())
    change = np.diff(np.concatenate([[False], swept.active >= 2]).astype(int))
    first, beyond = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
    edges = np.column_stack([first, beyond]).ravel()
    most = np.maximum.reduceat(swept.active, edges)[::2] if len(edges) else first
    table = pd.DataFrame({"start": swept.times[first], "end": swept.times[beyond]}, dtype=float)
    table = table.assign(duration=table["end"] - table["start"], speakers=most.astype(np.int64))
    return _name_recordings(table.assign(recording=swept.group[first]), checked)


def _choose_dtypes(columns: Iterable[str]) -> dict[str, type]:
    """Return the columns of a table of turns in the order of the schema, with their types."""
    wanted = set(columns)
    if unknown := wanted - _OPTIONAL.keys():
        raise InvalidParameterError(f"a table of turns has no column {sorted(unknown)}; it may have {list(_OPTIONAL)}")
    return _REQUIRED | {name: dtype for name, dtype in _OPTIONAL.items() if name in wanted}


def _cut(turns: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Cut from each turn what others before it cover, among rows equal in `keys`; the table is sorted by start."""
    group = turns.groupby(keys, dropna=False).ngroup() if keys else pd.Series(0, index=turns.index)
    covered = turns["end"].groupby(group).cummax().groupby(group).shift(fill_value=0.0)
    start = np.maximum(turns["start"], covered)
    cut = turns.assign(start=start, duration=turns["end"] - start)
    return cut[cut["duration"] > 0].reset_index(drop=True)


def _number_recordings(turns: pd.DataFrame) -> np.ndarray:
    """Return the numbers of the recordings of a checked table, in the order in which they come."""
    if "uri" not in turns:
        return np.zeros(len(turns), dtype=np.int64)
    return pd.factorize(turns["uri"], use_na_sentinel=False)[0]


def _name_recordings(table: pd.DataFrame, checked: pd.DataFrame) -> pd.DataFrame:
    """Name the recordings of a table again, if they have any."""
    numbers = table.pop("recording")
    if "uri" in checked:
        uris = checked["uri"].drop_duplicates()
        table["uri"] = uris.iloc[numbers].array if len(uris) else pd.Series(dtype=str)
    table.attrs = dict(checked.attrs)
    return table
