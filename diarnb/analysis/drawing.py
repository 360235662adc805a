"""Figures of the tables that describe a conversation: each is drawn on one Axes, which is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from diarnb.errors import InvalidParameterError
from diarnb.plot.lanes import assign_looks
from diarnb.plot.pictures import finish, new_axes
from diarnb.plot.styles import ClockFormatter, ClockLocator, Style, find_ink, find_outline, plain
from diarnb.tables.colors import PALETTE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from diarnb._types import Json

_BIN = 0.1  # seconds
_REACH = (-2.0, 3.0)  # seconds; the tails beyond are counted at the edges


def turn_taking_plot(matrix: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw who takes the floor after whom, as a matrix of numbers; darker means more often.

    Parameters
    ----------
    matrix : pandas.DataFrame
        From `diarnb.analysis.turn_taking`, of one recording.
    ax : matplotlib.axes.Axes, optional
        Default: a new pyplot figure of a suitable size.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidParameterError
        The table is another, or of several recordings.

    Examples
    --------
    >>> from diarnb.analysis import turn_taking, turn_taking_plot
    >>> turns = read(example("call").with_suffix(".rttm"))
    >>> ax = turn_taking_plot(turn_taking(turns))
    """
    if list(matrix.index.names) != ["after"] or matrix.columns.name != "speaker":
        raise InvalidParameterError("pass what diarnb.analysis.turn_taking(turns) returned for one recording")
    names, counts = [str(name) for name in matrix.columns], matrix.to_numpy(dtype=float)
    count = len(names)
    upright = count > 7 or any(len(name) > 10 for name in names)
    ax = _make_axes(ax, 2.2 + 0.75 * max(count, 2), (2.6 if upright else 1.3) + 0.5 * max(count, 2))
    style, font = Style.of(ax), mpl.rcParams["font.size"]
    most = counts.max(initial=0.0) or 1.0
    page, color = np.array(style.lane), np.array(to_rgb(PALETTE[0]))
    for row in range(count):
        for column in range(count):
            # Nobody takes the floor from themselves: the diagonal stays empty.
            share = counts[row, column] / most
            red, green, blue = page + share * (color - page)
            face = (float(red), float(green), float(blue))
            if row != column:
                ax.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=face, linewidth=0))
                look: Json = {"ha": "center", "va": "center", "color": find_ink(face)}
                ax.text(column, row, f"{counts[row, column]:.0f}", **look)
    _name_ticks(ax, names, style, 90 if upright else 0)
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("takes the floor", color=style.muted, fontsize=0.85 * font)
    ax.set_ylabel("after", color=style.muted, fontsize=0.85 * font)
    if not count:
        _write_nothing(ax, style, "no speech found")
    ax.set(xlim=(-0.5, max(count, 1) - 0.5), ylim=(max(count, 1) - 0.5, -0.5))
    _strip(ax)
    return finish(ax, f"Who takes the floor after whom, among {count} speakers: {counts.sum():.0f} transfers.")


def responses_plot(responses: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how fast the floor passes on: how many transfers come with which gap, or with which overlap.

    Parameters
    ----------
    responses : pandas.DataFrame
        From `diarnb.analysis.responses`; all or some of its rows.
    ax : matplotlib.axes.Axes, optional
        Default: a new pyplot figure of a suitable size.

    Returns
    -------
    matplotlib.axes.Axes
        Bars of 0.1 s from -2 s to 3 s, the outermost with all beyond; a line at the median.

    Raises
    ------
    InvalidParameterError
        This is a different table.

    Examples
    --------
    >>> from diarnb.analysis import responses, responses_plot
    >>> turns = read(example("call").with_suffix(".rttm"))
    >>> ax = responses_plot(responses(turns))
    """
    if not {"offset", "after"} <= set(responses):
        raise InvalidParameterError("pass what diarnb.analysis.responses(turns) returned")
    ax = _make_axes(ax, 7.0, 2.8)
    style, font = Style.of(ax), mpl.rcParams["font.size"]
    offsets = responses["offset"].to_numpy(dtype=float)
    low, high = _REACH
    places = np.floor(np.round(offsets / _BIN, 6)).clip(round(low / _BIN), round(high / _BIN) - 1).astype(int)
    counts = np.bincount(places - round(low / _BIN), minlength=round((high - low) / _BIN))
    lefts = low + _BIN * np.arange(len(counts))
    colors = [PALETTE[3] if left < -_BIN / 2 else PALETTE[0] for left in lefts]
    ax.bar(lefts, counts, 0.9 * _BIN, align="edge", color=colors, linewidth=0, zorder=2)
    ax.set(xlim=_REACH, ylim=(0, max(1.0, 1.15 * counts.max(initial=0))))
    ax.axvline(0, color=style.muted, linewidth=0.8, zorder=1)
    told = "the floor never passes to another speaker"
    if len(offsets):
        median = float(np.median(offsets))
        told = f"median {median:+.2f} s  ·  {len(offsets)} transfers"
        ax.axvline(float(np.clip(median, *_REACH)), color=style.ink, linewidth=1.2, linestyle=(0, (3, 2)), zorder=3)
        ax.set_title(told, color=style.ink, fontsize=0.9 * font, pad=6 + 1.2 * font * _is_narrow(ax))
    else:
        _write_nothing(ax, style, told)
    ax.set_xlabel("seconds from one turn's end to the next's start", color=style.muted, fontsize=0.85 * font)
    ax.set_ylabel("transfers", color=style.muted, fontsize=0.85 * font)
    for x, side, text in ((low, "left", "overlap"), (high, "right", "gap")):
        ax.annotate(
            text,
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha=side,
            color=style.muted,
            fontsize=0.85 * font,
        )
    if len(offsets):
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    _strip(ax, labels=style)
    return finish(ax, f"How many seconds pass before somebody else speaks: {told}.")


def profile_plot(profile: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw who talks how much in each minute, the speakers in their colours, one above the other.

    Parameters
    ----------
    profile : pandas.DataFrame
        From `diarnb.analysis.per_minute`.
    ax : matplotlib.axes.Axes, optional
        Default: a new pyplot figure of a suitable size.

    Returns
    -------
    matplotlib.axes.Axes
        One bar for each row, as wide as its time. Where several speak at once a bar can be higher than its row is long.

    Raises
    ------
    InvalidParameterError
        This is a different table.

    Examples
    --------
    >>> from diarnb.analysis import per_minute, profile_plot
    >>> turns = read(example("call").with_suffix(".rttm"))
    >>> ax = profile_plot(per_minute(turns, step=10))
    """
    facts = ["start", "end", "speech", "overlap", "silence", "transfers"]
    if list(profile)[: len(facts)] != facts:
        raise InvalidParameterError("pass what diarnb.analysis.per_minute(turns) returned")
    ax = _make_axes(ax, 9.0, 2.8)
    style, font = Style.of(ax), mpl.rcParams["font.size"]
    start, lengths = profile["start"].to_numpy(), (profile["end"] - profile["start"]).to_numpy()
    speakers = [str(name) for name in profile.columns[len(facts) :]]
    ax.bar(start, lengths, lengths, align="edge", color=style.lane, linewidth=0, zorder=0.5)
    bottom = np.zeros(len(profile))
    gap = 0.04 * lengths
    looks = assign_looks(speakers)
    edges = {name: find_outline(look.color, style) for name, look in looks.items()}
    for name, look in looks.items():
        talk = profile[name].to_numpy(dtype=float)
        seen = talk > 0
        places: list[Any] = [part[seen] for part in (start + gap, talk, lengths - 2 * gap, bottom)]
        fill: Json = {"color": look.color, "edgecolor": style.page, "hatch": look.hatch, "linewidth": 0}
        ax.bar(*places, align="edge", zorder=2, **fill)
        ax.bar(*places, align="edge", zorder=2.1, color="none", edgecolor=edges[name], linewidth=0.6)
        bottom = bottom + talk
    if not len(profile) or not speakers:
        _write_nothing(ax, style, "no speech found")
    else:
        # Handles of our own: a label that begins with an underscore would be left out.
        handles = [
            Patch(facecolor=look.color, edgecolor=style.page if look.hatch else edges[name], hatch=look.hatch)
            for name, look in looks.items()
        ]
        legend = ax.legend(
            handles[::-1],
            [plain(name)[0] for name in speakers][::-1],
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            borderaxespad=2.0,
            frameon=False,
            fontsize=0.85 * font,
            labelcolor=style.ink,
        )
        for text, name in zip(legend.get_texts(), speakers[::-1], strict=True):
            text.set(**plain(name)[1])
        ax.set_xlim(start[0], start[-1] + lengths[-1])
        ax.set_ylim(0, max(bottom.max(), lengths.max()) * 1.02)
        ax.xaxis.set_major_locator(ClockLocator())
    hours = bool(len(profile)) and profile["end"].iloc[-1] >= 3600
    ax.xaxis.set_major_formatter(ClockFormatter(hours=hours))
    ax.set_xlabel(f"time ({'h:mm:ss' if hours else 'm:ss'})", color=style.muted, fontsize=0.85 * font)
    step = lengths.max(initial=0.0)
    ax.set_ylabel(
        f"seconds of talk in {step:g} s" if step else "seconds of talk", color=style.muted, fontsize=0.85 * font
    )
    _strip(ax, labels=style)
    talk_of = {name: float(profile[name].sum()) for name in speakers}
    told = ", ".join(f"{plain(name)[0]} {seconds:.0f} s" for name, seconds in talk_of.items())
    return finish(ax, f"Who talks how much over time: {told or 'no speech found'}.")


def _is_narrow(ax: Axes) -> bool:
    """Whether a title has no room between what stands at both its sides."""
    return bool(ax.get_window_extent().width < 300 * ax.figure.dpi / 72)


def _make_axes(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is not None:
        return ax
    return new_axes(min(width, 60.0), min(height, 60.0))


def _name_ticks(ax: Axes, names: list[str], style: Style, rotation: float) -> None:
    texts = [plain(name) for name in names]
    shown = [text for text, _ in texts]
    ax.set_xticks(
        range(len(names)),
        shown,
        color=style.ink,
        rotation=rotation,
    )
    ax.set_yticks(range(len(names)), shown, color=style.ink)
    ax.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        for label, (_, font) in zip(labels, texts, strict=True):
            label.set(**font)


def _strip(ax: Axes, labels: Style | None = None) -> None:
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if labels is not None:
        ax.tick_params(length=0, labelcolor=labels.muted, labelsize=0.85 * mpl.rcParams["font.size"])


def _write_nothing(ax: Axes, style: Style, text: str) -> None:
    ax.set(xticks=[], yticks=[])
    look: Json = {"ha": "center", "va": "center", "color": style.muted}
    ax.text(0.5, 0.5, text, transform=ax.transAxes, **look)
