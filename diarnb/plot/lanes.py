"""What a timeline shows, as plain data: the tracks of one row from the top downwards, and the rows.

Heights are counted in lanes, times in seconds; nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from diarnb._text import visible
from diarnb.errors import InvalidParameterError
from diarnb.tables.activity import (
    ERRORS,
    Floats,
    find_edges,
    find_errors,
    is_finite,
    list_speakers,
    mark_active,
    match_speakers,
)
from diarnb.tables.colors import PALETTE, speaker_colors

Color = tuple[float, float, float]

BELOW_ROW = 2.0
"""Lanes left free below a row, for its times."""

_BAR, _STRIP, _BETWEEN = 0.78, 0.3, 0.5
_HATCHES = ("", "/////", ".....", "xxxxx", "-----")  # one for every round of the palette
_FAINTEST = 0.25  # how much of its colour a turn of confidence 0 keeps

_ONE_ROW = 2700.0  # seconds that "auto" leaves in one row
_ROW_LENGTHS = (1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)
_MOST_LANES = 72  # that "auto" stacks up before its rows become longer
_MOST_ROWS = 500


class LaneLook(NamedTuple):
    """How a speaker's turns are filled."""

    color: Color
    hatch: str


def looks_of(tables: Mapping[str, pd.DataFrame], chosen: Mapping[str, object]) -> dict[str, LaneLook]:
    """Assign every speaker of every table a colour, and beyond the palette a hatch."""
    if not isinstance(chosen, Mapping):
        raise InvalidParameterError("colors is no mapping; give speakers and their colours, as {'Beth': 'teal'}")
    hypothesis, *others = tables.values()
    order = list_speakers(hypothesis)
    twins: dict[str, str] = {}
    for reference in others:
        twins = match_speakers(hypothesis, reference) | twins
        order += [name for name in list_speakers(reference) if name not in order and name not in twins]
    looks = assign_looks(order)
    own = {name: LaneLook(_color(chosen[name], name), "") for name in chosen.keys() & {*order, *twins}}
    looks |= own
    return looks | {name: looks[twin] for name, twin in twins.items()} | own


def assign_looks(speakers: list[str]) -> dict[str, LaneLook]:
    """Assign speakers their looks, in the order in which they come."""
    return {
        name: LaneLook(to_rgb(color), _HATCHES[place // len(PALETTE) % len(_HATCHES)])
        for place, (name, color) in enumerate(speaker_colors(speakers).items())
    }


def _color(value: object, speaker: str) -> Color:
    try:
        return to_rgb(value)  # type: ignore[arg-type] # refused where it is none
    except ValueError:
        raise InvalidParameterError(
            f"colors[{visible(speaker)!r}] is {visible(repr(value))}, not a colour that matplotlib knows; use one "
            "like '#0072B2' or 'teal'"
        ) from None


@dataclass(frozen=True)
class Track:
    """What stands at one height of the picture, the same in every row."""

    kind: Literal["heading", "speaker", "overlap", "silence", "error"]
    name: str
    middle: float
    height: float
    spans: Floats = field(default_factory=lambda: np.empty((0, 2)))  # seconds
    look: LaneLook | None = None
    strength: Floats | None = None  # how much of its colour each span has, 0-1
    share: float | None = None  # of the talk in view, 0-1
    seconds: float | None = None  # of this in view
    shade: tuple[float, float] = (0.0, 0.0)  # the heights between which a strip of overlap casts its shade


def lay_out(
    tables: Mapping[str, pd.DataFrame], first: float, last: float, looks: Mapping[str, LaneLook]
) -> list[Track]:
    """Lay out the tracks of one row, from the top downwards."""
    tracks: list[Track] = []
    y = 0.0
    for name, table in tables.items():
        if len(tables) > 1:
            y += _BETWEEN if tracks else 0.0
            tracks.append(Track("heading", name, y + 0.5, 0.0))
            y += 1.0
        top = y
        speakers = _order_by_partners(table, tables) if name == "reference" else list_speakers(table)
        if not speakers:
            tracks.append(Track("silence", "", y + 0.5, _BAR))
            y += 1.0
        edges = find_edges(table, also=(first, last))
        active = mark_active(table, speakers, edges) & (edges[:-1] >= first) & (edges[:-1] < last)
        talk = active @ np.diff(edges)
        for speaker, seconds in zip(speakers, talk, strict=True):
            own = table[table["speaker"] == speaker]
            share = seconds / talk.sum() if seconds else 0.0
            spans = own[["start", "end"]].to_numpy()
            tracks.append(Track("speaker", speaker, y + 0.5, _BAR, spans, looks[speaker], _strength(own), share))
            y += 1.0
        together = active.sum(axis=0) > 1
        if together.any():
            spans = np.column_stack([edges[:-1], edges[1:]])[together]
            # The shade reaches from the first bar to the strip, so that the eye can follow it.
            tracks.append(Track("overlap", "overlap", y + 0.3, _STRIP, spans, shade=(top + (1 - _BAR) / 2, y + 0.3)))
            y += 0.6
    if set(tables) == {"hypothesis", "reference"}:
        found = find_errors(*tables.values())
        y += _BETWEEN
        tracks.append(Track("heading", "errors", y + 0.5, 0.0))
        y += 1.0
        for kind in ERRORS:
            spans = found.loc[found["kind"] == kind, ["start", "end"]].to_numpy()
            seconds = float(np.diff(spans.clip(first, last)).sum())
            tracks.append(Track("error", kind, y + 0.35, 2 * _STRIP, spans, seconds=seconds))
            y += 0.8
    return tracks


def _order_by_partners(reference: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Order the speakers of a reference as those that they are taken for; whoever is nobody's partner comes last."""
    order, twins = list_speakers(tables["hypothesis"]), match_speakers(tables["hypothesis"], reference)
    places = {name: place for place, name in enumerate(order)}
    return sorted(list_speakers(reference), key=lambda name: places.get(str(twins.get(name, name)), len(order)))


def _strength(turns: pd.DataFrame) -> Floats | None:
    if "confidence" not in turns:
        return None
    # What is not known is drawn in full: paleness would claim a doubt that nobody had.
    percent = pd.to_numeric(turns["confidence"], errors="coerce").fillna(100.0).clip(0.0, 100.0)
    return _FAINTEST + (1.0 - _FAINTEST) * percent.to_numpy(dtype=np.float64) / 100.0


def height_of(tracks: list[Track]) -> float:
    """Return how high a row of tracks is, in lanes."""
    return max(track.middle + max(track.height, _STRIP) / 2 for track in tracks)


class TimelineRow(NamedTuple):
    """One row of a timeline that is wrapped."""

    start: float  # seconds
    end: float
    shift: float  # what is subtracted from a time to give its x


def break_rows(first: float, last: float, wrap: object, height: float) -> list[TimelineRow]:
    """Break the stretch to show into rows of equal length; of those that were asked for the last may end early."""
    length = last - first
    if wrap == "auto":
        if length > _ONE_ROW:
            fitting = (row for row in _ROW_LENGTHS if math.ceil(length / row) * (height + BELOW_ROW) <= _MOST_LANES)
            length /= max(1, round(length / next(fitting, length)))
    elif wrap is not None:
        if not is_finite(wrap) or wrap * _MOST_ROWS < length:
            raise InvalidParameterError(
                f"wrap={wrap!r} is not 'auto', None or a number of seconds that makes at most {_MOST_ROWS} rows"
            )
        length = min(length, float(wrap))
    count = math.ceil((last - first) / length - 1e-9)
    starts = [first + number * length for number in range(count)]
    return [TimelineRow(start, min(start + length, last), start if count > 1 else 0.0) for start in starts]
