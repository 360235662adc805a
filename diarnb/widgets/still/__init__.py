"""What stays of a panel where nothing can run, on GitHub for one: the timeline as a picture, and the table."""

from __future__ import annotations

import base64
import html
import io

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diarnb._text import visible
from diarnb.plot import timeline

_ROWS = 10  # of the table; what is left out is counted
_LANES = 12  # of speakers that make the picture higher
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
    """Draw and write a table of turns, in at most some 100 kB.

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
    picture = base64.b64encode(_picture(turns, reference)).decode("ascii")
    markup = "\n".join(
        [
            f'<img alt="{html.escape("Timeline of who spoke when")}" src="data:image/png;base64,{picture}">',
            shown.to_html(index=False, border=0, float_format="{:.2f}".format, formatters=_FORMATS, na_rep=""),
            f"<p>{left}</p>",
        ]
    )
    return {"text/plain": f"{shown.to_string()}\n[{left}]", "text/html": markup}


def _picture(turns: pd.DataFrame, reference: pd.DataFrame | None) -> bytes:
    lanes = sum(min(table["speaker"].nunique(), _LANES) + 1 for table in (turns, reference) if table is not None)
    figure = Figure(figsize=(9.0, 0.9 + 0.32 * lanes), layout="constrained")  # no pyplot: this may be any thread
    FigureCanvasAgg(figure)
    timeline(turns, reference=reference, ax=figure.add_subplot())
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()
