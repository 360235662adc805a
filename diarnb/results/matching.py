"""Which rows of a run those of a table are: its turns may have been left out, renamed, cut or corrected since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.results.runs import read_run
from diarnb.tables.turns import hash_rows
from diarnb.transcripts.words import find_turns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diarnb._types import Json, Options
    from diarnb.store.run import Run


_NEAR = 0.5  # seconds from its turn at which a word may still be


def is_whole(turns: pd.DataFrame, run: Run) -> bool:
    """Return whether the rows of a table are all those of its run, as it made them or renamed by `rename`."""
    known = turns.attrs["diarnb"].get("rows")
    if known is not None:
        return bool(known == hash_rows(turns))
    answer = read_run(run)  # a table of 0.1.0 has no hash
    for rows in filter(None, (answer["diarization"], answer.get("exclusiveDiarization"))):
        table = pd.DataFrame(rows, columns=["start", "end", "speaker"])
        table["speaker"] = table["speaker"].map(map_names(turns, table["speaker"].unique()))
        if hash_rows(table) == hash_rows(turns):
            return True
    return not len(turns) and not answer["diarization"]


def match_run(turns: pd.DataFrame, run: Run) -> list[str | None]:
    """Return the label that the run gave to each of these turns, None for one that has other times."""
    rows = list_turns(read_run(run))
    return [None if place < 0 else str(rows[place]["speaker"]) for place in match_rows(turns, rows)]


def list_turns(answer: Options) -> list[Json]:
    """List the turns of an answer, and after them its exclusive ones."""
    return [*answer["diarization"], *(answer.get("exclusiveDiarization") or [])]


def match_rows(turns: pd.DataFrame, rows: list[Json]) -> list[int]:
    """Find each turn among a run's rows by its times and, where several have these, by its speaker; -1 for none."""
    shown = map_names(turns, {row["speaker"] for row in rows})
    exact: dict[tuple[object, ...], int] = {}
    timed: dict[tuple[object, ...], int] = {}
    for place, row in enumerate(rows):
        times = round(row["start"], 6), round(row["end"], 6)
        exact.setdefault((*times, shown[row["speaker"]]), place)
        timed.setdefault(times, place)
    found = []
    for start, end, speaker in zip(turns["start"], turns["end"], turns["speaker"], strict=True):
        times = round(float(start), 6), round(float(end), 6)
        found.append(exact.get((*times, str(speaker)), timed.get(times, -1)))
    return found


def find_speakers(turns: pd.DataFrame, answer: Options, said: list[Json]) -> list[str | None]:
    """Find who speaks each word of a run by what is left or was made of its turns; None for nobody.

    A word stays with its turn, whoever that is of now. Where a turn has other times than any of the run's, it gets the
    words of its own speaker in and around it, and within it those of turns that are gone, unless its speaker spoke
    meanwhile already.
    """
    rows, before = list_turns(answer), answer["diarization"]
    places, speakers = match_rows(turns, rows), turns["speaker"].astype(str).tolist()
    now = {place: speaker for place, speaker in zip(places, speakers, strict=True) if place >= 0}
    homes = find_turns(said, before)
    alone = find_turns(said, rows[len(before) :])
    names = [
        now.get(-1 if home is None else home) or now.get(-1 if other is None else len(before) + other)
        for home, other in zip(homes, alone, strict=True)
    ]
    if all(place >= 0 for place in places):
        return names
    shown = map_names(turns, {row["speaker"] for row in rows})
    labels = np.array([shown[row["speaker"]] for row in before], dtype=object)
    begins, ends = (np.array([row[side] for row in before], dtype=float) for side in ("start", "end"))
    middles = np.array([(word["start"] + word["end"]) / 2 for word in said])
    changed = [
        (float(turns["start"].iloc[number]), float(turns["end"].iloc[number]), speakers[number])
        for number, place in enumerate(places)
        if place < 0
    ]
    for near, foreign in ((0.0, False), (0.0, True), (_NEAR, False)):
        for start, end, speaker in changed:
            own = labels == speaker
            for word in np.flatnonzero((middles >= start - near) & (middles <= end + near)):
                home = homes[word]
                if foreign:
                    fits = not (own & (begins <= middles[word]) & (ends >= middles[word])).any()
                else:
                    fits = home is not None and own[home] and bool(begins[home] < end and ends[home] > start)
                if names[word] is None and fits:
                    names[word] = speaker
    return names


def rename_columns(turns: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Name the columns as the table does; speakers who became one share a column, in which the higher score counts."""
    return scores.rename(columns=map_names(turns, scores.columns)).T.groupby(level=0, sort=False).max().T


def map_names(turns: pd.DataFrame, names: Iterable[str]) -> dict[str, str]:
    """Map an engine's labels to the names that the table shows."""
    given = (turns.attrs.get("diarnb") or {}).get("names", {})
    return {name: given.get(name, name) for name in names}
