"""Figures of a conversation: one row a minute, and one row a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.analysis.floor import (
    AT_LENGTH,
    BACKCHANNEL,
    EARLY,
    PAUSE,
    check_seconds,
    find_overlapped_starts,
    find_stretches,
    find_transfers,
)
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.tables.activity import sweep
from diarnb.tables.checks import check_turns
from diarnb.tables.turns import cut_own_overlap

if TYPE_CHECKING:
    from diarnb.tables.activity import Floats

_FACTS = ("start", "end", "speech", "overlap", "silence", "transfers")
_MOST_WINDOWS = 1_000_000


def per_minute(turns: pd.DataFrame, *, step: float = 60.0, pause: float = PAUSE) -> pd.DataFrame:
    """Summarize each minute: how much each speaker talks.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker, of one recording.
    step : float, default 60.0
        Length of a row in seconds; the last may be shorter.
    pause : float, default 0.5
        Seconds, as in `diarnb.analysis.responses`.

    Returns
    -------
    pandas.DataFrame
        From 0 to the end of the recording (from ``attrs``; if unknown, to the last end): ``start``, ``end``; ``speech``
        (seconds in which anybody speaks), ``overlap`` (in which several people speak), ``silence``; ``transfers``
        (int64, how often the floor passes to another speaker); then a column with the seconds of speech for each
        speaker, in the order in which they first speak. With overlap, these sum to more than ``speech``.

    Raises
    ------
    TurnTableError
        If this is not a table of turns, holds several recordings, or has a speaker with the name of a column.
    InvalidParameterError
        If `step` is not a length, or so short that there would be more than a million rows.

    Examples
    --------
    >>> rows = [(0, 70, "Maya"), (65, 90, "Otto")]
    >>> per_minute(pd.DataFrame(rows, columns=["start", "end", "speaker"]))
       start   end  speech  overlap  silence  transfers  Maya  Otto
    0    0.0  60.0    60.0      0.0      0.0          0  60.0   0.0
    1   60.0  90.0    30.0      5.0      0.0          1  10.0  25.0
    """
    check_seconds({"step": step, "pause": pause})
    checked = check_turns(turns)
    if "uri" in checked and len(uris := checked["uri"].unique()) > 1:
        raise TurnTableError(
            f"turns holds {len(uris)} recordings, but a profile shows one; pick it by its uri:"
            f" turns[turns.uri == {visible(uris[0], limit=60)!r}]"
        )
    names = list(dict.fromkeys(checked["speaker"]))
    if clash := sorted(set(names) & set(_FACTS)):
        raise TurnTableError(f"a speaker is called {clash[0]!r}, as a column of this table is; rename that one first")
    last = max(
        float(checked["end"].max()) if len(checked) else 0.0, checked.attrs.get("diarnb", {}).get("duration") or 0
    )
    if not step or last / step > _MOST_WINDOWS:
        raise InvalidParameterError(f"step={step:g} would make too many rows of {last:g} s; give more seconds")
    borders = np.append(np.arange(0.0, last, step), last) if last else np.zeros(1)
    own = cut_own_overlap(checked)
    speech, overlap = _sum_speech(own, borders)
    lengths = np.diff(borders)
    place = np.searchsorted(borders, find_transfers(find_stretches(checked, pause))["start"], side="right") - 1
    table = pd.DataFrame({"start": borders[:-1], "end": borders[1:], "speech": speech, "overlap": overlap}, dtype=float)
    table["silence"] = np.maximum(lengths - speech, 0.0)
    table["transfers"] = np.bincount(place, minlength=len(lengths)).astype(np.int64)
    by_name = dict(list(own.groupby("speaker", sort=False)))
    talk = {name: _sum_between(by_name[name], borders) if name in by_name else np.zeros(len(lengths)) for name in names}
    table = pd.concat([table, pd.DataFrame(talk, columns=pd.Index(names, dtype=checked["speaker"].dtype))], axis=1)
    table.attrs = dict(checked.attrs)
    return table


def summary(
    turns: pd.DataFrame, *, pause: float = PAUSE, backchannel: float = BACKCHANNEL, early: float = EARLY
) -> pd.DataFrame:
    """Summarize each recording in one row: a first look at one recording, or at hundreds.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker; with ``uri`` there is a row for each recording.
    pause, backchannel, early : float, default 0.5, 1.0 and 0.5
        Seconds, as in `diarnb.analysis.responses` and `diarnb.analysis.interruptions`.

    Returns
    -------
    pandas.DataFrame
        - ``uri``: only if `turns` has it
        - ``duration``: of the recording in seconds (from ``attrs``; if unknown, and for several recordings, the last
          end)
        - ``speakers``, ``turns``: int64
        - ``speech``, ``overlap``: seconds in which anybody speaks, and in which several people speak
        - ``speech_share_of_recording``: 0-1, of ``duration``
        - ``overlap_share_of_speech``: 0-1, of ``speech``
        - ``most_talk``, ``most_share_of_talk``: who talks most (missing for nobody), and their share (0-1) of the talk
          time of all speakers, in which overlap counts for each speaker
        - ``transfers``, ``median_offset``: how often the floor passes to another speaker (int64), and after how many
          seconds; NaN if it never does
        - ``interruptions``, ``backchannels``: their numbers (int64), as found by `diarnb.analysis.interruptions`
        - ``longest_monologue``: seconds, as measured by `diarnb.analysis.monologues`

    Raises
    ------
    TurnTableError
        If this is not a table of turns.
    InvalidParameterError
        If a length is not a number of seconds.

    Examples
    --------
    >>> rows = [(0, 5, "Maya"), (2, 2.5, "Otto"), (5.25, 10, "Otto")]
    >>> told = summary(pd.DataFrame(rows, columns=["start", "end", "speaker"]))
    >>> told[["duration", "speakers", "transfers", "median_offset", "backchannels"]]
       duration  speakers  transfers  median_offset  backchannels
    0      10.0         2          1           0.25             1
    """
    check_seconds({"pause": pause, "backchannel": backchannel, "early": early})
    checked = check_turns(turns)
    several = "uri" in checked
    uris = checked["uri"].drop_duplicates().reset_index(drop=True) if several else pd.Series([""])
    checked["recording"] = pd.factorize(checked["uri"], use_na_sentinel=False)[0] if several else 0
    count, index = len(uris), range(len(uris))
    rows, own = checked.groupby("recording"), cut_own_overlap(checked)

    last = rows["end"].max().reindex(index, fill_value=0.0)
    known = None if several else checked.attrs.get("diarnb", {}).get("duration")
    table = pd.DataFrame({"duration": np.maximum(last, known or 0.0)}, index=index, dtype=float)
    table["speakers"] = rows["speaker"].nunique().reindex(index, fill_value=0).astype(np.int64)
    table["turns"] = rows.size().reindex(index, fill_value=0).astype(np.int64)
    swept = sweep(own["start"].to_numpy(), own["end"].to_numpy(), own["recording"].to_numpy())
    for column, least in (("speech", 1), ("overlap", 2)):
        table[column] = np.bincount(swept.group, swept.seconds(least), count).astype(float)
    table["speech_share_of_recording"] = (table["speech"] / table["duration"]).fillna(0.0)
    table["overlap_share_of_speech"] = (table["overlap"] / table["speech"]).fillna(0.0)

    talk = own.groupby(["recording", "speaker"])["duration"].sum()
    most = talk.sort_values(ascending=False, kind="stable").reset_index().drop_duplicates("recording")
    most = most.set_index("recording").reindex(index)
    table["most_talk"] = most["speaker"]
    table["most_share_of_talk"] = most["duration"] / talk.groupby("recording").sum().reindex(index)

    found = find_stretches(checked, pause)
    passed, kinds = (
        find_transfers(found).groupby("recording")["offset"],
        find_overlapped_starts(found, backchannel, early),
    )
    table["transfers"] = passed.size().reindex(index, fill_value=0).astype(np.int64)
    table["median_offset"] = passed.median().reindex(index)
    for column, kind in (("interruptions", "interruption"), ("backchannels", "backchannel")):
        of_kind = kinds.loc[kinds["kind"] == kind, "recording"].to_numpy(dtype=np.int64)
        table[column] = np.bincount(of_kind, minlength=count).astype(np.int64)
    held = find_stretches(checked, AT_LENGTH)
    lengths = (held["end"] - held["start"])[held["takes"]].groupby(held["recording"])
    table["longest_monologue"] = lengths.max().reindex(index, fill_value=0.0)
    if several:
        table.insert(0, "uri", uris)
    table = table.reset_index(drop=True)
    table.attrs = dict(checked.attrs)
    return table


def _sum_speech(own: pd.DataFrame, borders: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds between each border and the next in which anybody speaks, and in which several do."""
    starts, ends = (np.append(own[side], borders) for side in ("start", "end"))
    swept = sweep(starts, ends, np.zeros(len(starts), dtype=np.int64))
    window = np.searchsorted(borders, swept.times, side="right") - 1
    anybody, several = (np.bincount(window, swept.seconds(least), len(borders))[:-1] for least in (1, 2))
    return anybody, several


def _sum_between(own: pd.DataFrame, borders: Floats) -> Floats:
    """Return the seconds of one speaker between each border and the next."""
    times = own[["start", "end"]].to_numpy().ravel()
    spoken = np.column_stack([np.zeros(len(own)), own["duration"]]).ravel().cumsum()
    return np.diff(np.interp(borders, times, spoken))
