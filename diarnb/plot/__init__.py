"""The timeline: one lane for each speaker, drawn by matplotlib from any table of turns.

`diarnb.plot.lanes` computes what to show, and this module draws it on one Axes. Greys are chosen between the text and
background colours of the current style. No matplotlib setting is changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.ticker import MultipleLocator, NullLocator

from diarnb._text import clock, refuse_call, visible
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.plot.lanes import BELOW_ROW, TimelineRow, Track, break_rows, height_of, lay_out, looks_of
from diarnb.plot.pictures import finish, new_axes
from diarnb.plot.styles import (
    LITERAL,
    OUTLINE,
    ClockFormatter,
    ClockLocator,
    Style,
    find_outline,
    measure_contrast,
    multiples,
    plain,
    step_of,
)
from diarnb.tables.activity import Floats, is_finite
from diarnb.tables.checks import check_turns
from diarnb.tables.colors import PALETTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from diarnb._types import Json

__all__ = ["count_plot", "timeline"]


def __dir__() -> list[str]:
    return __all__


refuse_call(__name__)


_NARROWEST = 0.9  # points; a shorter turn is drawn this wide
_HATCHED = 4.0  # points; a hatch would blot out a shorter bar
_OUTLINED, _EDGE = 4.0, 1.2  # points; a shorter bar is all outline, and how wide one is
_RASTERIZED = 5000  # bars; beyond, single shapes make an SVG of megabytes


def timeline(
    turns: pd.DataFrame,
    *,
    reference: pd.DataFrame | None = None,
    ax: Axes | None = None,
    start: float | None = None,
    end: float | None = None,
    title: str | None = None,
    colors: Mapping[str, object] | None = None,
    wrap: float | Literal["auto"] | None = "auto",
) -> Axes:
    """Draw who spoke when: one lane for each speaker, in the order in which they first speak.

    A strip below the lanes and a shade behind them show where several people speak at once. At the right is each
    speaker's share of the speech in view. With a ``confidence`` column, fainter bars are less certain. Pale bars have
    an outline. From the ninth speaker on, the colours repeat with a hatch.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with ``start`` and ``end`` in seconds and ``speaker``, of one recording.
    reference : pandas.DataFrame, optional
        The true turns, drawn below as a second group of lanes in matching order. Matched speakers have the same colour:
        those with the same name, else those who share the most time, as for a diarization error rate. Strips below show
        missed speech, false alarms and confusion, with the seconds of each.
    ax : matplotlib.axes.Axes, optional
        Where to draw; nothing outside it is changed. It shrinks to make room for the names, unless the figure has a
        layout engine. Default: a new pyplot figure of a suitable size.
    start, end : float, optional
        The part to show, in seconds; lanes and colours stay those of the whole table. Default: from 0 to
        ``turns.attrs["diarnb"]["duration"]``, or, if unknown, to the end of the last turn.
    title : str, optional
        Default: ``turns.attrs["diarnb"]["source"]``, if there is one; ``""`` for no title.
    colors : mapping of str to color, optional
        matplotlib colours for some or all speakers, e.g. ``{"Beth": "#0072B2"}``; unknown names are ignored.
    wrap : float, "auto" or None, default "auto"
        Seconds after which the timeline continues in a new row; None for a single row. Beyond 45 minutes, ``"auto"``
        uses equal rows of about half an hour, or longer ones for many speakers. On a given `ax` it uses a single row.

    Returns
    -------
    matplotlib.axes.Axes
        Each speaker is a collection with the name as its label; x is in seconds, within the row if there are several. A
        new figure has an alternative text, in notebooks and in saved PNG and SVG files.

    Raises
    ------
    TurnTableError
        If a table is not a table of turns, or holds several recordings.
    InvalidParameterError
        If `start`, `end`, `wrap` or `colors` make no sense.

    Notes
    -----
    Colours of text are those of the style in use: ``plt.style.use("dark_background")`` draws for a dark notebook.

    Names and titles are untrusted text. Nothing in them is interpreted as mathematics or TeX. Characters that hide or
    reorder text are escaped, and so are characters without a glyph in the installed fonts, except emoji, which are
    written by their names.

    Examples
    --------
    >>> import pandas as pd
    >>> ax = timeline(pd.DataFrame({"start": [0.0, 2.5], "end": [3.0, 4.0], "speaker": ["Alf", "Beth"]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Alf', 'Beth', 'overlap']
    """
    tables = {"hypothesis": _check_table(turns, "turns")}
    if reference is not None:
        tables["reference"] = _check_table(reference, "reference")
    facts = tables["hypothesis"].attrs.get("diarnb", {})
    return draw_tables(tables, facts, ax=ax, start=start, end=end, title=title, colors=colors, wrap=wrap)


def draw_tables(
    tables: Mapping[str, pd.DataFrame],
    facts: Mapping[str, object],
    *,
    ax: Axes | None = None,
    start: float | None = None,
    end: float | None = None,
    title: str | None = None,
    colors: Mapping[str, object] | None = None,
    wrap: float | Literal["auto"] | None = "auto",
) -> Axes:
    """Draw checked tables as groups of lanes under their names, as `timeline` does; `facts` are those of ``attrs``."""
    ends = [end, facts.get("duration"), *(table["end"].max() for table in tables.values())]
    known = max((float(value) for value in ends if is_finite(value)), default=0.0)
    first, last = _view(start, end, known)
    tracks = lay_out(tables, first, last, looks_of(tables, colors or {}))
    rows = break_rows(first, last, None if wrap == "auto" and ax is not None else wrap, height_of(tracks))
    ax = _new_axes(len(rows), tracks) if ax is None else ax
    style = Style.of(ax)
    _draw_tracks(ax, tracks, rows, style)
    _draw_names(ax, tracks, len(rows), style)
    _draw_time(ax, rows, height_of(tracks), style)
    if any("confidence" in table for table in tables.values()):
        ax.set_xlabel(f"{ax.get_xlabel()}   ·   fainter: less confident")
    if not known:
        ax.xaxis.set_visible(False)
    name = facts.get("source", "") if title is None else title
    if name:
        shown, font = plain(name, limit=70)
        ax.set_title(shown, loc="left", color=style.ink, fontsize=1.1 * mpl.rcParams["font.size"], **font)
    return finish(ax, _describe(tracks, name, first, last))


def _describe(tracks: list[Track], name: object, first: float, last: float) -> str:
    """Describe what a timeline shows, for those who cannot see it."""
    title = f" of {visible(name, limit=70)}" if name else ""
    groups = [f"Timeline{title} from {clock(first)} to {clock(last)}"]
    for track in tracks:
        shown = visible(track.name)
        if track.kind == "heading":
            groups.append(shown)
        elif track.share is not None:
            groups[-1] += f"{', ' if '%' in groups[-1] else ': '}{shown} {_percent(track.share)} of the speech"
        elif track.seconds is not None:
            groups[-1] += f"{', ' if ' s ' in groups[-1] else ': '}{track.seconds:.1f} s {shown}"
        elif track.kind == "silence":
            groups[-1] += ": no speech found"
    return ". ".join(groups).replace(" of the speech,", ",") + "."


def count_plot(evidence: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the evidence for each number of speakers, one bar for each number.

    A bar shows how different the two speakers named at its right are. The line marks the difference that two voices
    need. Coloured bars are credible: they reach the line, and every voice is kept. The chosen number is bold.

    Parameters
    ----------
    evidence : pandas.DataFrame
        From `diarnb.metrics.count_evidence`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; the text at the right needs about as much space as the bars. Default: a new pyplot figure of a
        suitable size.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidParameterError
        This is a different table.

    Examples
    --------
    >>> from diarnb.metrics import count_evidence
    >>> ax = count_plot(count_evidence(diarize(example("interview"), progress=False)))
    >>> [label.get_text() for label in ax.get_yticklabels() if label.get_fontweight() == "bold"]
    ['2']
    """
    needed = {"k", "score", "kept", "speaker", "other", "smallest", "chosen"}
    if missing := sorted(needed - set(evidence)):
        raise InvalidParameterError(
            f"this table has no {', '.join(missing)}; pass one that diarnb.metrics.count_evidence(turns) returned"
        )
    channels = list(evidence["channel"]) if "channel" in evidence else [None] * len(evidence)
    lines: list[tuple[str, Any]] = []  # what stands at the left of each, and its row
    for before, channel, row in zip([None, *channels], channels, evidence.itertuples(), strict=False):
        lines += [(f"channel {channel}", None)] if channel != before else []
        lines.append((str(row.k), row))
    if ax is None:
        ax = new_axes(9.0, 1.2 + 0.26 * max(len(lines), 2))
    style, font = Style.of(ax), mpl.rcParams["font.size"]
    ax.set_yticks(range(len(lines)), [left for left, _ in lines], fontsize=0.9 * font, color=style.muted)
    ax.tick_params(axis="both", which="both", length=0, labelsize=0.9 * font, labelcolor=style.muted)
    beyond = False
    for y, (label, (_, row)) in enumerate(zip(ax.get_yticklabels(), lines, strict=True)):
        beyond = row is not None and beyond  # the numbers above the one chosen, on each channel
        if row is not None:
            _draw_count(ax, y, row, style, beyond=beyond)
            beyond |= row.chosen
        if row is None or row.chosen:
            label.set(color=style.ink, fontweight="bold")
    headers = ("least\nspeech", "voices\nkept", "the two")
    for column, header in zip(_COUNT_COLUMNS, headers, strict=True) if lines else ():
        _beside(ax, -0.5, header, column, color=style.muted, linespacing=1.1, va="bottom")
    if not lines:
        ax.text(0.5, 0.5, "no speech found", ha="center", va="center", color=style.muted, transform=ax.transAxes)
    ax.axvline(1.0, color=style.muted, linewidth=0.8, zorder=2.1)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    reach = max([1.2, *evidence["score"].dropna()])
    ax.set(xlim=(0.0, 1.02 * reach), ylim=(max(len(lines), 2) - 0.5, -0.5))
    ax.xaxis.set_major_locator(MultipleLocator(math.ceil(reach / 8)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_ylabel("speakers", color=style.muted, fontsize=0.85 * font)
    ax.set_xlabel("how different the two are (1 or more: two voices)", color=style.muted, fontsize=0.85 * font)
    chosen = [str(row.k) for _, row in lines if row is not None and row.chosen]
    return finish(ax, f"The evidence for each number of speakers. Chosen: {', '.join(chosen) or 'none'}.")


_COUNT_COLUMNS = (("right", 4.6), ("right", 9.8), ("left", 11.0))  # how aligned, and where: letters from the bars


def _draw_count(ax: Axes, y: float, row: Any, style: Style, *, beyond: bool) -> None:
    """Draw one number of speakers, and what is known of it at its right."""
    score = float(np.nan_to_num(row.score))
    believed = row.kept == row.k and score >= 1
    ax.barh(y, score, 0.7, color=to_rgb(PALETTE[0]) if believed else style.shade, zorder=2.0)
    pair = f"{visible(row.speaker)}, cut in two" if beyond else f"{visible(row.speaker)} and {visible(row.other)}"
    look = {"color": style.ink, "fontweight": "bold"} if row.chosen else {"color": style.muted}
    texts = (f"{row.smallest:.1f} s", f"{row.kept} of {row.k}", pair if row.k > 1 else "")
    for column, text in zip(_COUNT_COLUMNS, texts, strict=True):
        shown, families = plain(text, limit=80) if text else ("", {})
        _beside(ax, y, shown, column, va="center", **look, **families)


def _beside(ax: Axes, y: float, text: str, column: tuple[str, float], **look: Any) -> None:
    side, letters = column
    font = mpl.rcParams["font.size"]
    look = {"ha": side, "fontsize": 0.85 * font, **LITERAL, **look}
    place: Json = {
        "xycoords": ("axes fraction", "data"),
        "xytext": (letters * font, 0),
        "textcoords": "offset points",
    }
    ax.annotate(text, (1.0, y), **place, **look)


def _check_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check a table of one recording, and leave out the turns without length: they hold no speech."""
    checked = check_turns(table, name=name)
    if "uri" in checked and len(uris := checked["uri"].unique()) > 1:
        raise TurnTableError(
            f"{name} holds {len(uris)} recordings, and a timeline shows one; "
            f"pick it by its uri: {name}[{name}.uri == {visible(uris[0], limit=60)!r}]"
        )
    return checked[checked["duration"] > 0]


def _view(start: float | None, end: float | None, known: float) -> tuple[float, float]:
    """Return the first and the last second to show; `known` is how far the recording is known to reach."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not is_finite(value):
            raise InvalidParameterError(f"{name}={value!r} is not a time; pass seconds from the start of the recording")
    first = 0.0 if start is None else float(start)
    last = (known or first + 1.0) if end is None else float(end)
    if end is None and not first < last:
        raise InvalidParameterError(f"start={first:g} lies beyond the end, {last:.1f} s: there is nothing to draw")
    if not first < last:
        raise InvalidParameterError(f"start={first:g} must lie before end={last:g} (seconds)")
    return first, last


def _new_axes(rows: int, tracks: list[Track]) -> Axes:
    """Make a figure of a fitting size."""
    lanes, font = height_of(tracks), mpl.rcParams["font.size"]
    # Few lanes may be generous, many must be modest; text sets the least.
    lane = max(1.6 * font, min(2.6 * font, 14.0 * font / lanes)) if rows == 1 else 1.35 * font
    height = lane * (rows * (lanes + BELOW_ROW) - BELOW_ROW) + 6.0 * font
    return new_axes(9.0, min(height / 72, 200.0))


def _draw_tracks(ax: Axes, tracks: list[Track], rows: list[TimelineRow], style: Style) -> None:
    """Draw the lanes and the bars on them."""
    pitch = height_of(tracks) + BELOW_ROW
    box = ax.get_window_extent()
    points = box.width * 72 / ax.figure.dpi / (rows[0].end - rows[0].start)  # to the second
    lanes = len(rows) * pitch / (box.height * 72 / ax.figure.dpi)  # to the point
    whole = np.array([[rows[0].start, rows[-1].end]])
    rasterized = sum(len(track.spans) for track in tracks) > _RASTERIZED

    def add(boxes: Floats, colors: Any, zorder: float, **more: Any) -> None:
        # Snapped to pixels, bars with an outline and bars without one would differ in height.
        more = {"linewidths": 0.0, "edgecolors": "face", "rasterized": rasterized, "snap": False, **more}
        shapes: Any = boxes  # an array is drawn fast, though matplotlib's types know of sequences only
        ax.add_collection(PolyCollection(shapes, facecolors=colors, zorder=zorder, **more), autolim=False)

    for track in tracks:
        boxes, origin = _boxes(track.spans, track.middle, track.height, rows, pitch)
        lengths = (boxes[:, 2, 0] - boxes[:, 0, 0]) * points
        # Only an outline makes a bar wider without moving its times; it must not make it taller, too.
        outlines = np.maximum(_NARROWEST - lengths, 0.0)
        bars = boxes + outlines[:, None, None] * [[0, lanes / 2], [0, -lanes / 2], [0, -lanes / 2], [0, lanes / 2]]
        if track.kind in ("speaker", "silence"):
            add(_boxes(whole, track.middle, track.height, rows, pitch)[0], [style.lane], 0.1)
        if track.look is not None:
            strength = np.ones(len(track.spans)) if track.strength is None else track.strength
            colors = np.array(style.lane) + strength[origin, None] * np.subtract(track.look.color, style.lane)
            edge = find_outline(track.look.color, style)
            pale = measure_contrast(colors, style.lane) < OUTLINE
            colors[pale & (lengths <= _OUTLINED)] = edge
            add(bars, colors, 2.0, linewidths=outlines, label=track.name)
            if track.look.hatch:
                add(boxes[lengths > _HATCHED], "none", 2.1, edgecolors=[style.page], hatch=track.look.hatch)
            if (wide := pale & (lengths > _OUTLINED)).any():
                inset = _EDGE / 2 * np.array([[1 / points, lanes]]) * [[1, 1], [1, -1], [-1, -1], [-1, 1]]
                add(boxes[wide] + inset, "none", 2.2, edgecolors=[edge], linewidths=_EDGE)
        if track.kind == "overlap":
            top, bottom = track.shade
            add(_boxes(track.spans, (top + bottom) / 2, bottom - top, rows, pitch)[0], [style.shade], 0.2)
            add(bars, [style.muted], 2.0, linewidths=outlines, label=track.name)
        if track.kind == "error":
            add(_boxes(whole, track.middle, track.height, rows, pitch)[0], [style.lane], 0.1)
            add(bars, [style.ink], 2.0, linewidths=outlines, label=track.name)


def _boxes(
    spans: Floats, middle: float, height: float, rows: list[TimelineRow], pitch: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Cut spans of time at the rows' ends: the corners of each piece (n, 4, 2), and the span that it is of (n,)."""
    boxes, origins = [], []
    for number, row in enumerate(rows):
        clipped = spans.clip(row.start, row.end)
        (origin,) = np.nonzero(clipped[:, 0] < clipped[:, 1])
        left, right = clipped[origin].T - row.shift
        top = np.full(len(origin), middle - height / 2 + number * pitch)
        boxes.append(np.stack([left, top, left, top + height, right, top + height, right, top], axis=1))
        origins.append(origin)
    return np.concatenate(boxes).reshape(-1, 4, 2), np.concatenate(origins)


def _draw_names(ax: Axes, tracks: list[Track], rows: int, style: Style) -> None:
    """Write the names at the left of every row, and the shares at the right of the first."""
    pitch = height_of(tracks) + BELOW_ROW
    size = 0.9 * mpl.rcParams["font.size"]
    aside = {"color": style.muted, "fontsize": 0.9 * size, "transform": ax.get_yaxis_transform(), **LITERAL}

    named = [track for track in tracks if track.kind != "silence"]
    texts = [plain(track.name) for track in named] * rows
    middles = [track.middle + row * pitch for row in range(rows) for track in named]
    ax.set_yticks(middles, [shown for shown, _ in texts], fontsize=size, color=style.ink)
    ax.tick_params(axis="y", which="both", left=False, right=False, labelleft=True, labelright=False)
    for label, track, (_, font) in zip(ax.get_yticklabels(), named * rows, texts, strict=True):
        label.set(**font)
        if track.kind == "heading":
            label.set(fontweight="bold")
        elif track.kind in ("overlap", "error"):
            label.set(color=style.muted, fontsize=0.85 * size)
    for track in tracks:
        if track.share is not None:
            ax.text(1.01, track.middle, _percent(track.share), va="center", **aside)
        elif track.seconds is not None:
            ax.text(1.01, track.middle, f"{track.seconds:.1f} s", va="center", **aside)
        elif track.kind == "silence":
            ax.text(0.5, track.middle, "no speech found", ha="center", va="center", **aside)
    if any(track.share is not None for track in tracks):
        top = next(track.middle for track in tracks if track.share is not None)
        whole = "share of\nspeech" if rows == 1 else "share of\nspeech in\nall rows"
        ax.text(1.01, top - 0.6, whole, va="bottom", linespacing=1.1, **aside)


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _draw_time(ax: Axes, rows: list[TimelineRow], height: float, style: Style) -> None:
    """Draw the axis of time: a real one below a single row; for several, the recording's own times below each."""
    small = {"color": style.muted, "fontsize": 0.85 * mpl.rcParams["font.size"], **LITERAL}
    formatter = ClockFormatter(hours=rows[-1].end >= 3600)
    length, pitch = rows[0].end - rows[0].start, height + BELOW_ROW
    ax.set_xlim(rows[0].start - rows[0].shift, rows[0].end - rows[0].shift)
    ax.set_ylim(pitch * len(rows) - (BELOW_ROW - 0.15 if len(rows) == 1 else 0.7), -0.05)
    ax.spines[:].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(False)
    # Lines in the colour of the page show on the lanes only.
    line: Json = {"color": style.page, "linewidth": 0.8, "linestyle": "-", "alpha": 1.0}
    if len(rows) == 1:
        ax.xaxis.set_major_locator(ClockLocator())
        ax.xaxis.set_major_formatter(formatter)
        ax.tick_params(axis="x", which="both", top=False, labeltop=False, bottom=True, labelbottom=True)
        ax.tick_params(
            axis="x", length=3, width=0.6, color=style.muted, labelcolor=style.muted, labelsize=small["fontsize"]
        )
        ax.grid(True, axis="x", **line)
    else:
        ax.xaxis.set_major_locator(NullLocator())
        for number, row in enumerate(rows):
            times = multiples(row.start, row.end, step_of(length, 8))
            top, bottom = number * pitch, number * pitch + height
            ax.vlines([time - row.shift for time in times], top, bottom, zorder=0.5, **line)
            for time in times:
                ax.text(time - row.shift, bottom + 0.35, formatter(time), ha="center", va="top", **small)
    ax.set_xlabel(f"time ({'h:mm:ss' if formatter.hours else 'm:ss'})", **small)
