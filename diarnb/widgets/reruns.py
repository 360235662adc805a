"""A cell that is run again gives its panel back: what it showed before is closed, and nothing piles up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ipywidgets import Widget

_made: WeakKeyDictionary[Widget, tuple[str, str]] = WeakKeyDictionary()  # in which cell, and in which run of it


def replace_earlier(widget: Widget, kind: type[Widget] | None = None) -> None:
    """Close what an earlier run of the same cell made of this kind.

    ipywidgets keeps every widget alive until it is closed. Front ends that do not tell which cell runs, and scripts,
    keep theirs until somebody says ``close()``.

    Parameters
    ----------
    widget : Widget
        What this run of the cell made.
    kind : type, optional
        The class of what it replaces. Default: its own, which anywidget makes anew for every widget.
    """
    here = _running()
    if here is None:
        return
    cell, run = here
    for other, (its_cell, its_run) in list(_made.items()):
        if isinstance(other, kind or type(widget)) and its_cell == cell and its_run != run:
            _made.pop(other, None)
            other.close()
    _made[widget] = here


def _running() -> tuple[str, str] | None:
    """Which cell runs, and a name for this run of it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    parent: dict[str, dict[str, object]] = getattr(shell, "get_parent", dict)() or {}
    cell, run = parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")
    return (cell, run) if isinstance(cell, str) and isinstance(run, str) else None
