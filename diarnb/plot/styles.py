"""How a figure of diarnb looks in whatever style is in use: greys, times on a clock, and names drawn as they are.

The greys lie between the text and the page, and no setting of matplotlib is changed.
"""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.ticker import Formatter, Locator

from diarnb._text import clock, escape, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis

    from diarnb._types import Json
    from diarnb.plot.lanes import Color
    from diarnb.tables.activity import Floats

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
LITERAL: Json = {"parse_math": False, "usetex": False}
_FALLBACK_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "WenQuanYi Micro Hei"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Segoe UI"),
    *("DejaVu Sans", "Arial Unicode MS", "Noto Emoji", "Segoe UI Emoji"),
)


OUTLINE = 3.0
"""The least contrast of a bar, or of its outline, with its ground: that of WCAG 2.2 for graphics."""


READABLE = 4.5
"""The least contrast of a text with its ground: that of WCAG 2.2."""


class Style(NamedTuple):
    """The greys between the text and the page of whatever style is in use."""

    ink: Color
    muted: Color
    shade: Color
    lane: Color
    page: Color

    @classmethod
    def of(cls, ax: Axes) -> Style:
        """Return the inks that suit the page of an Axes."""
        page = (1.0, 1.0, 1.0)
        for patch in (ax.figure.canvas.figure.patch, ax.figure.patch, ax.patch):
            red, green, blue, alpha = to_rgba(patch.get_facecolor())
            page = _mix(page, (red, green, blue), alpha)
        ink = to_rgb(mpl.rcParams["text.color"])
        if measure_contrast(ink, page) < READABLE:  # a page of its own colour, in a style that was made for another
            ink = find_ink(page)
        return cls(ink, _mix(page, ink, 0.62), _mix(page, ink, 0.17), _mix(page, ink, 0.06), page)


def measure_contrast(colors: object, ground: Color) -> Floats:
    """Measure how well colours can be told from their ground: 1 to 21, as WCAG 2.2 defines it.

    Examples
    --------
    >>> float(measure_contrast((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)).round(1))
    21.0
    """
    one, other = _luminance(colors), _luminance(ground)
    return (np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05)


def _luminance(colors: object) -> Floats:
    parts = np.asarray(colors, dtype=np.float64)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    weighted: Floats = linear @ np.array([0.2126, 0.7152, 0.0722])
    return weighted


def find_outline(color: Color, style: Style) -> Color:
    """Find the outline of bars of a colour: the nearest to it on the way to the ink that stands out from the lane."""
    way = [_mix(color, style.ink, step / 20) for step in range(21)]
    enough = 1.15 * OUTLINE  # a thin line is blended with what is beside it
    return next((edge for edge in way if measure_contrast(edge, style.lane) >= enough), style.ink)


def find_ink(ground: Color) -> Color:
    """Find whether white or black is better read on a ground.

    Examples
    --------
    >>> find_ink((0.9, 0.9, 0.2))
    (0.0, 0.0, 0.0)
    """
    return max((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), key=lambda ink: float(measure_contrast(ink, ground)))


def _mix(below: Color, above: Color, share: float) -> Color:
    red, green, blue = (under + share * (over - under) for under, over in zip(below, above, strict=True))
    return red, green, blue


def plain(text: object, limit: int = 24) -> tuple[str, Json]:
    """Make a name fit to be drawn: what to show, and how to have matplotlib take it as it is."""
    shown = visible(text, limit=limit)
    families = list(mpl.rcParams["font.family"])
    if not shown.isascii():
        installed = set(font_manager.fontManager.get_font_names())
        families += [name for name in _FALLBACK_FONTS if name in installed]
        found = (font_manager.findfont(font_manager.FontProperties(family=[name])) for name in families)
        fonts = [font_manager.get_font(path) for path in dict.fromkeys(found)]
        shown = "".join(c if any(font.get_char_index(ord(c)) for font in fonts) else _spell(c) for c in shown)
    return shown, {"fontfamily": families, **LITERAL}


def _spell(character: str) -> str:
    """Write a character for which there is no glyph: an emoji by its name, what only joins or colours some not at all.

    matplotlib would warn of it whenever it draws; and names that differ in such characters only are kept apart.
    """
    if character == "\u200d" or unicodedata.category(character) in ("Mn", "Sk"):
        return ""
    named = unicodedata.name(character, "") if unicodedata.category(character) == "So" else ""
    return f":{named.lower()}:" if named else escape(character)


def step_of(length: float, most: int) -> float:
    """Return the smallest step that is round on a clock and cuts a length into at most so many parts."""
    return next((step for step in _STEPS if length <= step * most), math.ceil(length / most / 86400) * 86400.0)


def multiples(first: float, last: float, step: float) -> list[float]:
    """Return the multiples of a step from `first` to `last`, both included in spite of rounding."""
    return [step * count for count in range(math.ceil(first / step - 1e-6), math.floor(last / step + 1e-6) + 1)]


class ClockLocator(Locator):
    """Ticks at round times, anew whenever the reader zooms."""

    axis: XAxis

    def __call__(self) -> list[float]:
        """Return the positions of ticks in what is shown, in seconds."""
        low, high = self.axis.get_view_interval()
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the ticks for a view, in seconds."""
        low, high = sorted((vmin, vmax))
        return multiples(low, high, step_of(high - low, min(max(self.axis.get_tick_space() // 2, 1), 10)))


class ClockFormatter(Formatter):
    """Seconds as m:ss, or as h:mm:ss for a recording that reaches an hour."""

    def __init__(self, *, hours: bool) -> None:
        self.hours = hours

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 - matplotlib's signature
        """Write one time; with tenths where it lies between two seconds."""
        tenths = round(x * 10)
        return clock(tenths / 10, decimals=1 if tenths % 10 else 0, hours=self.hours)
