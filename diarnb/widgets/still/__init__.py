"""What stays of a panel where nothing can run, on GitHub for one: the timeline as a picture, and the table."""

from __future__ import annotations

import base64
import hashlib
import html
import io

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diarnb._text import visible
from diarnb.plot import timeline
from diarnb.plot.pictures import Picture

_ROWS = 10  # of the table; what is left out is counted
_LANES = 12  # of speakers that make the picture higher
_COLORS = 64  # of a picture
_ERRORS = 4  # lanes that the errors take below a reference
_WIDEST = 60  # characters of a cell
_FORMATS = {"confidence": lambda value: "" if pd.isna(value) else f"{value:.0f}"}


# A front end that finds no model for the view before it says so in a box of text; a view that lives has elements.
_LOST = """<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .diarnb-still):not(:has(.jp-OutputArea-output > *)) {
display: none; }</style>"""


def frame_still(markup: str, name: str) -> str:
    """Put what stays of a widget into an element of its own, which stands right below the view of the widget.

    Parameters
    ----------
    markup : str
        Its HTML.
    name : str
        The class by which the widget finds it, to hide it while it lives itself.

    Examples
    --------
    >>> frame_still("<p>12 turns</p>", "diarnb-0").endswith('<div class="diarnb-0 diarnb-still"><p>12 turns</p></div>')
    True
    """
    return f'{_LOST}<div class="{name} diarnb-still">{markup}</div>'


def still(turns: pd.DataFrame, *, reference: pd.DataFrame | None = None) -> dict[str, str]:
    """Draw and write a table of turns, in at most some 100 kB, for light pages and for dark ones.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table of turns.
    reference : pandas.DataFrame, optional
        Drawn below.

    Returns
    -------
    dict
        ``text/plain``, and ``text/html`` with the picture inside. Names and texts are escaped.

    Examples
    --------
    >>> sorted(still(diarize(example("interview"), progress=False)))
    ['text/html', 'text/plain']
    """
    shown = turns.head(_ROWS).copy()
    for column in shown.columns:
        if column not in ("start", "end", "duration", "confidence"):
            shown[column] = [visible(value, limit=_WIDEST) for value in shown[column]]
    left = f"{len(turns)} turns" + (f", the first {_ROWS} shown" if len(turns) > _ROWS else "")
    markup = "\n".join(
        [
            _picture(turns, reference),
            shown.to_html(index=False, border=0, float_format="{:.2f}".format, formatters=_FORMATS, na_rep=""),
            f"<p>{left}</p>",
        ]
    )
    return {"text/plain": f"{shown.to_string()}\n[{left}]", "text/html": markup}


# Where styles are taken away, as on GitHub, the picture for light pages is left.
_DARK = (
    '[data-jp-theme-light="false"] .{0}, html[theme="dark"] .{0}, [data-theme="dark"] .{0}, .vscode-dark .{0} '
    "{{ content: url({1}); }}"
)


def _picture(turns: pd.DataFrame, reference: pd.DataFrame | None) -> str:
    """Draw the timeline for both kinds of pages, as markup that shows the one that fits."""
    (light, told), (dark, _) = (_draw(turns, reference, page) for page in ("#ffffff", "#111111"))
    name = f"diarnb-{hashlib.sha256(light.encode()).hexdigest()[:12]}"
    return (
        f"<style>.{name} {{ max-width: 100%; }}\n{_DARK.format(name, dark)}</style>\n"
        f'<img class="{name}" alt="{html.escape(told)}" src="{light}">'
    )


def _draw(turns: pd.DataFrame, reference: pd.DataFrame | None, page: str) -> tuple[str, str]:
    """Draw the timeline as a data URI, and say in words what it shows."""
    lanes = sum(min(table["speaker"].nunique(), _LANES) + 1 for table in (turns, reference) if table is not None)
    lanes += 0 if reference is None else _ERRORS
    # No pyplot, and no setting of matplotlib: this may be any thread.
    figure = Picture(figsize=(9.0, 0.9 + 0.32 * lanes), layout="constrained", facecolor=page)
    FigureCanvasAgg(figure)
    timeline(turns, reference=reference, ax=figure.add_subplot(facecolor=page))
    drawn, small, words = io.BytesIO(), io.BytesIO(), PngInfo()
    figure.savefig(drawn, format="png", dpi=100)
    words.add_text("Description", figure.alt)
    few = Image.open(drawn).convert("RGB").quantize(_COLORS)  # a third of the bytes
    few.save(small, "png", optimize=True, pnginfo=words)
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode('ascii')}", figure.alt
