"""Who has the floor, and how it passes on: one sweep through the stretches of all speakers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.errors import InvalidParameterError
from diarnb.tables.activity import is_finite, merge_spans
from diarnb.tables.checks import as_table, check_turns

if TYPE_CHECKING:
    from collections.abc import Mapping

PAUSE = 0.5
"""Seconds of silence that a speaker may leave without ending a stretch."""

BACKCHANNEL = 1.0
"""Seconds up to which what is said within somebody else's stretch is a backchannel."""

EARLY = 0.5
"""Seconds of overlap below which who takes over was only early."""

AT_LENGTH = 2.0
"""Seconds of silence that end a monologue."""

_KINDS = np.array(["interruption", "early", "backchannel", "attempt"], dtype=object)


def interruptions(
    turns: pd.DataFrame, *, pause: float = PAUSE, backchannel: float = BACKCHANNEL, early: float = EARLY
) -> pd.DataFrame:
    """List each time somebody starts to speak while somebody else is speaking, and the outcome.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker, including overlap; without overlap there is nothing to find.
    pause : float, default 0.5
        Seconds; a speaker's own pauses up to this do not end a stretch.
    backchannel : float, default 1.0
        Seconds; a stretch up to this length, during which the other speaker continues, is a backchannel.
    early : float, default 0.5
        Seconds; taking over with less overlap than this is only early.

    Returns
    -------
    pandas.DataFrame
        Sorted by start: ``start``, ``end`` of the new stretch, ``kind``, ``speaker`` (its speaker), ``other`` (who was
        speaking), ``overlap`` (seconds until the first of the two stops); ``uri`` in a table of several recordings. The
        kinds:

        ================ =============================== ======================================
        kind             the other one                   and the one who begins
        ================ =============================== ======================================
        ``interruption`` stops first                     after at least `early` seconds at once
        ``early``        stops first                     after less: a turn begun before its time
        ``backchannel``  goes on                         speaks for at most `backchannel` seconds
        ``attempt``      goes on                         speaks for longer, and does not get the floor
        ================ =============================== ======================================

    Raises
    ------
    TurnTableError
        If this is not a table of turns.
    InvalidParameterError
        If a length is not a number of seconds.

    Notes
    -----
    If several people speak already, the other one is who continues longest. Two people who start at the same moment
    interrupt nobody. Lengths are those of stretches, so bridged pauses count as speech.

    Yuan, Liberman and Cieri ("Towards an integrated understanding of speech overlaps in conversation", ICPhS 2007)
    distinguish two types of overlap: one side takes over before the other has finished, or one side speaks in the
    middle of the other's turn. They find backchannels in the second type. Not everything in the middle of a turn is a
    backchannel, so longer speech is counted separately as an attempt. Not every takeover with overlap is an
    interruption: speakers foresee the end of a turn, and many start a little before it (Levinson and Torreira, "Timing
    in turn-taking", 2015), so brief overlaps are counted separately as early. The two limits are conventions; try
    others before you draw conclusions.

    Examples
    --------
    >>> rows = [(0, 5, "Maya"), (2, 2.4, "Otto"), (4, 9, "Otto")]
    >>> interruptions(pd.DataFrame(rows, columns=["start", "end", "speaker"]))
       start  end          kind speaker other  overlap
    0    2.0  2.4   backchannel    Otto  Maya      0.4
    1    4.0  9.0  interruption    Otto  Maya      1.0
    """
    check_seconds({"pause": pause, "backchannel": backchannel, "early": early})
    table = find_overlapped_starts(find_stretches(turns, pause), backchannel, early)
    return _select(table, ["start", "end", "kind", "speaker", "other", "overlap"], turns)


def responses(turns: pd.DataFrame, *, pause: float = PAUSE) -> pd.DataFrame:
    """List each time the floor passes to another speaker, and how long that takes.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.
    pause : float, default 0.5
        Seconds; a speaker's own pauses up to this do not end a stretch.

    Returns
    -------
    pandas.DataFrame
        Sorted by start: ``start`` (of the next speaker), ``offset`` (seconds since the end of the previous one:
        positive for a gap, negative for an overlap), ``speaker`` (who has the floor now), ``after`` (who had it
        before); ``uri`` in a table of several recordings.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.
    InvalidParameterError
        If `pause` is not a number of seconds.

    Notes
    -----
    This is the floor transfer offset: one number for gaps and overlaps, as in Stivers et al. ("Universals and cultural
    variation in turn-taking in conversation", PNAS 2009) and Heldner and Edlund ("Pauses, gaps and overlaps in
    conversations", J. Phonetics 2010). As in the latter, a speaker's own pauses, and speech within somebody else's
    stretch, are not transfers. Long silences are included; filter by ``offset`` if you consider them lapses. Stivers et
    al. measured only answers to questions, so compare with care.

    A diarizer's boundaries are some tenths of a second off, which is as long as these offsets, and it may close short
    gaps and miss backchannels. Compare recordings that one engine processed with each other, not with the literature.

    Examples
    --------
    >>> rows = [(0, 5, "Maya"), (2, 2.4, "Otto"), (4.5, 9, "Otto"), (9.25, 12, "Maya")]
    >>> responses(pd.DataFrame(rows, columns=["start", "end", "speaker"]))
       start  offset speaker after
    0   4.50   -0.50    Otto  Maya
    1   9.25    0.25    Maya  Otto
    """
    check_seconds({"pause": pause})
    return _select(find_transfers(find_stretches(turns, pause)), ["start", "offset", "speaker", "after"], turns)


def turn_taking(turns: pd.DataFrame, *, pause: float = PAUSE) -> pd.DataFrame:
    """Count who takes the floor after whom.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.
    pause : float, default 0.5
        Seconds, as in `responses`, whose rows are counted here.

    Returns
    -------
    pandas.DataFrame
        One row for each speaker who had the floor (index ``after``) and one column for each who took it (``speaker``),
        in the order in which they first speak; int64. In a table of several recordings, the index is ``uri, after``,
        and the columns are the speakers of all recordings.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.
    InvalidParameterError
        If `pause` is not a number of seconds.

    Examples
    --------
    >>> rows = [(0, 5, "Maya"), (5, 9, "Otto"), (9, 12, "Maya")]
    >>> turn_taking(pd.DataFrame(rows, columns=["start", "end", "speaker"]))
    speaker  Maya  Otto
    after
    Maya        0     1
    Otto        1     0
    """
    passed, checked = responses(turns, pause=pause), check_turns(turns)
    keys = [*(["uri"] if "uri" in checked else []), "speaker"]
    who = checked[keys].drop_duplicates()
    names = list(dict.fromkeys(who["speaker"]))
    index = pd.MultiIndex.from_frame(who, names=[*keys[:-1], "after"]) if len(keys) > 1 else pd.Index(who["speaker"])
    rows = pd.MultiIndex.from_frame(passed[[*keys[:-1], "after"]]) if len(keys) > 1 else pd.Index(passed["after"])
    counts = np.zeros((len(who), len(names)), dtype=np.int64)
    np.add.at(counts, (index.get_indexer(rows), pd.Index(names).get_indexer(pd.Index(passed["speaker"]))), 1)
    matrix = pd.DataFrame(counts, index=index, columns=pd.Index(names, name="speaker", dtype=who["speaker"].dtype))
    return matrix if len(keys) > 1 else matrix.rename_axis(index="after")


def monologues(turns: pd.DataFrame, *, least: float = 30.0, pause: float = AT_LENGTH) -> pd.DataFrame:
    """Find where one speaker has the floor for a long time.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.
    least : float, default 30.0
        Minimum length in seconds.
    pause : float, default 2.0
        Seconds; the speaker's own pauses up to this are bridged, even if others speak. What others say within a
        monologue does not end it either.

    Returns
    -------
    pandas.DataFrame
        Sorted by start: ``start``, ``end``, ``duration`` (seconds, including pauses), ``speaker``; ``uri`` in a table
        of several recordings.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.
    InvalidParameterError
        If `least` or `pause` is not a number of seconds.

    Examples
    --------
    >>> rows = [(0, 20, "Maya"), (19, 19.5, "Otto"), (21, 45, "Maya"), (46, 50, "Otto")]
    >>> monologues(pd.DataFrame(rows, columns=["start", "end", "speaker"]))
       start   end  duration speaker
    0    0.0  45.0      45.0    Maya
    """
    check_seconds({"least": least, "pause": pause})
    found = find_stretches(turns, pause)
    found["duration"] = found["end"] - found["start"]
    long = found["takes"] & (found["duration"].round(6) >= least)
    return _select(found[long], ["start", "end", "duration", "speaker"], turns)


def find_stretches(turns: pd.DataFrame, pause: float) -> pd.DataFrame:
    """Find the stretches of all speakers, by recording and start, and who holds the floor.

    Columns ``recording`` (a number in order of appearance), ``start``, ``end``, ``speaker``, ``takes`` (whether it
    outlasts all that began before), ``holder`` (the row that has the floor when it begins, -1 for none), and ``uri``.
    """
    table = check_turns(turns)
    table = table[table["duration"] > 0]
    table["recording"] = pd.factorize(table["uri"], use_na_sentinel=False)[0] if "uri" in table else 0
    table = table[["recording", "start", "end", "speaker", *(["uri"] if "uri" in table else [])]]
    own = table.groupby(["recording", "speaker"], sort=False).ngroup().to_numpy()
    _, end, first = merge_spans(table["start"].to_numpy(), table["end"].to_numpy(), own, pause)
    joined = table.iloc[first].assign(end=end)
    joined = joined.sort_values(["recording", "start", "end", "speaker"], ignore_index=True)
    before = joined.groupby("recording")["end"].cummax().groupby(joined["recording"]).shift(fill_value=-np.inf)
    joined["takes"] = joined["end"] > before
    holder = pd.Series(np.where(joined["takes"], joined.index, np.nan)).groupby(joined["recording"]).ffill()
    joined["holder"] = holder.groupby(joined["recording"]).shift().fillna(-1).astype(np.int64)
    return joined


def find_transfers(found: pd.DataFrame) -> pd.DataFrame:
    """Return the stretches that take the floor from somebody else, with ``after`` and ``offset``."""
    before = found.iloc[found["holder"].clip(lower=0)].reset_index(drop=True)
    table = found.assign(after=before["speaker"], offset=found["start"] - before["end"])
    return table[found["takes"] & (found["holder"] >= 0) & (found["speaker"] != before["speaker"])]


def find_overlapped_starts(found: pd.DataFrame, backchannel: float = BACKCHANNEL, early: float = EARLY) -> pd.DataFrame:
    """Return the stretches that begin while somebody else speaks, with ``kind``, ``other`` and ``overlap``."""
    other = found.iloc[found["holder"].clip(lower=0)].reset_index(drop=True)
    begins = (found["holder"] >= 0) & (found["start"] > other["start"]) & (found["start"] < other["end"])
    overlap = np.minimum(found["end"], other["end"]) - found["start"]
    # Rounded, for 5.602 - 5.402 is less than 0.2 as computers count.
    brief, short = overlap.round(6) < early, (found["end"] - found["start"]).round(6) <= backchannel
    kind = np.where(found["takes"], np.where(brief, 1, 0), np.where(short, 2, 3))
    return found.assign(kind=pd.Series(_KINDS[kind], dtype=str), other=other["speaker"], overlap=overlap)[begins]


def check_seconds(lengths: Mapping[str, object]) -> None:
    """Refuse what is no length of time."""
    for name, value in lengths.items():
        if not is_finite(value) or value < 0:
            raise InvalidParameterError(f"{name} is a number of seconds, 0 or more, not {value!r:.60}")


def _select(table: pd.DataFrame, columns: list[str], turns: pd.DataFrame) -> pd.DataFrame:
    result = table[[*columns, *(["uri"] if "uri" in table else [])]].reset_index(drop=True)
    result.attrs = dict(as_table(turns).attrs)
    return result
