"""Figures that say what they show to those who cannot see them, and drawings that fit into the room they are given."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axes._base import _AxesBase
    from matplotlib.backend_bases import RendererBase

    from diarnb._types import Json

_LEAST = 0.35  # of its room that a drawing keeps for itself, whatever stands around it
_PAD = 3.0  # points between two drawings


class Picture(Figure):
    """A figure with a text in place of itself: in the PNG or SVG that it is saved to, and in a notebook's output.

    Attributes
    ----------
    alt : str
        The text.
    """

    alt: str = ""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save it as matplotlib does, with the text in the file's metadata."""
        named = PurePath(fspath(fname)).suffix[1:] if isinstance(fname, str | PathLike) else ""
        kind = str(options.get("format") or named or mpl.rcParams["savefig.format"]).lower()
        if self.alt and kind in ("png", "svg"):
            options["metadata"] = {"Description": self.alt, **(options.get("metadata") or {})}
        super().savefig(fname, **options)

    def _repr_mimebundle_(self, **_: object) -> tuple[Json, Json]:
        """Add the text to the picture that IPython makes: nbconvert and the builders of sites put it into the page."""
        return {}, {"image/png": {"alt": self.alt}} if self.alt else {}


def new_axes(width: float, height: float) -> Axes:
    """Make the figure that a notebook shows below its cell, in inches: the one place that needs pyplot."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(width, height), layout="constrained", FigureClass=Picture)
    return figure.add_subplot()


def finish(ax: Axes, alt: str) -> Axes:
    """Describe what was drawn, where the figure is ours; where it is not, make it fit into the Axes' room."""
    figure = ax.figure
    if isinstance(figure, Picture):
        figure.alt = alt
    elif figure.canvas.figure.get_layout_engine() is None and ax.get_subplotspec() is not None:
        ax.set_axes_locator(_Fitting())
    return ax


class _Fitting:
    """Makes an Axes as much smaller as what stands around it needs, so that nothing runs into a neighbour's room."""

    def __init__(self) -> None:
        self._measuring = False

    def __call__(self, ax: _AxesBase, renderer: RendererBase | None) -> Bbox:
        given = ax.get_position(original=True)
        if self._measuring or renderer is None:
            return given
        self._measuring = True
        try:
            ax.apply_aspect(given)
            inner, outer = ax.get_window_extent(renderer), ax.get_tightbbox(renderer)
        finally:
            self._measuring = False
        if outer is None:
            return given
        # Corners, in parts of the figure.
        room, pad = _find_room(ax).get_points(), _PAD / 72 * ax.figure.dpi
        page, old = ax.figure.bbox.get_points()[1], given.get_points()
        around = (outer.get_points() - inner.get_points() + [[-pad], [pad]]) / page
        low, high = np.maximum(old[0], room[0] - around[0]), np.minimum(old[1], room[1] - around[1])
        fits = high - low >= _LEAST * (room[1] - room[0])
        fits[0] &= len(ax.get_shared_x_axes().get_siblings(ax)) == 1  # else its times stand above those of another
        return Bbox([np.where(fits, low, old[0]), np.where(fits, high, old[1])])


def _find_room(ax: _AxesBase) -> Bbox:
    """Find the room of a subplot, as far as the middle between it and its neighbours, in parts of the figure."""
    spec: Any = ax.get_subplotspec()
    bottoms, tops, lefts, rights = spec.get_gridspec().get_grid_positions(ax.figure)
    columns = [0.0, *(rights[:-1] + lefts[1:]) / 2, 1.0]
    rows = [1.0, *(bottoms[:-1] + tops[1:]) / 2, 0.0]  # from the top
    left, right, top, bottom = spec.colspan.start, spec.colspan.stop, spec.rowspan.start, spec.rowspan.stop
    return Bbox([[columns[left], rows[bottom]], [columns[right], rows[top]]])
