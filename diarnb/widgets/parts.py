"""What every panel is put together from: rows, notes and radio buttons of ipywidgets, and how they are taken away.

Written for ipywidgets 7.7 and 8 alike. In 7 a description is HTML, so that nothing from outside stands in one; help and
messages are escaped where they are made, `note`.
"""

from __future__ import annotations

import html
import logging
import re
from typing import TYPE_CHECKING

import anywidget
import ipywidgets
import traitlets

from diarnb._text import visible
from diarnb.widgets.frontend import load_script, load_style

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from diarnb._types import Json

log: logging.Logger = logging.getLogger("diarnb")

HIDDEN = "diarnb-hidden"
"""The class of what is not shown now."""

_looks: dict[object, ipywidgets.Widget] = {}


class CodeLine(anywidget.AnyWidget):
    """A line of Python with a button that copies it."""

    _esm = load_script("copy.js")
    code: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)


class Guard(anywidget.AnyWidget):
    """Keeps the keys of the panel around it from the notebook, and does what belongs to some of them.

    Parameters
    ----------
    does : dict of str to callable
        What keys do in an element of the class ``diarnb-keys``.
    attempt : callable
        Calls one of these.
    label : str
        What the panel is, for screen readers.
    still : str, default ""
        The class of the output that is hidden while the panel lives.
    """

    _esm, _css = load_script("guard.js"), load_style("panel.css")
    watched: traitlets.List[str] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    label: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)
    still: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        does: Mapping[str, Callable[[], object]],
        attempt: Callable[[Callable[[], object]], object],
        label: str,
        still: str = "",
    ) -> None:
        super().__init__(watched=list(does), label=label, still=still, layout=share(ipywidgets.Layout))
        self._does, self._attempt = does, attempt
        self.on_msg(self._handle_key)

    def change(
        self, does: Mapping[str, Callable[[], object]], attempt: Callable[[Callable[[], object]], object]
    ) -> None:
        """Have keys do something else from now on."""
        self._does, self._attempt, self.watched = does, attempt, list(does)

    def _handle_key(self, _widget: object, message: object, _buffers: object) -> None:
        key = message.get("key") if isinstance(message, dict) else None
        if isinstance(key, str) and key in self._does:
            self._attempt(self._does[key])
        else:
            log.warning("Ignored a message from the page of a panel: %s", visible(repr(message), limit=120))


def share(kind: type[ipywidgets.Widget], **settings: object) -> ipywidgets.Widget:
    """Find or make a layout or a style: a model of its own for each widget weighs more than the widget."""
    key = kind, *sorted(settings.items())
    if key not in _looks or _looks[key].comm is None:  # somebody has closed all widgets
        _looks[key] = kind(**settings)
    return _looks[key]


def make(
    kind: type[ipywidgets.Widget],
    *values: object,
    layout: Json | None = None,
    style: Json | None = None,
    classes: tuple[str, ...] = (),
    **settings: object,
) -> ipywidgets.Widget:
    """Make a widget whose layout and style are shared by all that look alike: they are never changed afterwards."""
    looks = {"layout": share(ipywidgets.Layout, **layout or {})}
    if kind.class_traits().get("style") is not None:
        looks["style"] = share(kind.class_traits()["style"].klass, **style or {})
    return kind(*values, **looks, **settings, _dom_classes=classes)


def view(widget: ipywidgets.Widget) -> Json:
    """Make the output that a page shows a widget for."""
    facts = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"text/plain": repr(widget), "application/vnd.jupyter.widget-view+json": facts}


def note(text: str, *, problem: bool = False) -> str:
    """Make text from anywhere the value of an HTML widget."""
    if not text:
        return ""
    told = f"<bdi>{html.escape(visible(text, limit=700))}</bdi>"
    return f'<span class="diarnb-problem" role="alert">⚠ {told}</span>' if problem else told


def plain(text: object, limit: int = 40) -> str:
    """Make text from anywhere the description of a button, which older ipywidgets take for HTML."""
    return html.escape(visible(text, limit=limit))


def help_line(text: str = "") -> ipywidgets.HTML:
    """Make a line of small grey text."""
    # Help is ours, and has code between backticks.
    return make(ipywidgets.HTML, re.sub("`([^`]+)`", r"<code>\1</code>", note(text)), classes=("diarnb-note",))


def row(*parts: ipywidgets.Widget, classes: tuple[str, ...] = ()) -> ipywidgets.HBox:
    """Put widgets beside each other, and below where there is no room."""
    return make(ipywidgets.HBox, parts, classes=("diarnb-row", *classes))


def column(*parts: ipywidgets.Widget, classes: tuple[str, ...] = ()) -> ipywidgets.VBox:
    """Put widgets below each other."""
    return make(ipywidgets.VBox, parts, classes=classes)


def visible_if(widget: ipywidgets.Widget, shown: bool) -> None:
    """Show a widget or hide it; what is hidden stays in the panel, and is closed with it."""
    (widget.remove_class if shown else widget.add_class)(HIDDEN)


def close_all(widget: ipywidgets.Widget) -> None:
    """Close a widget and all that is in it: ipywidgets keeps alive what nobody closes."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for part in (getattr(widget, "style", None), getattr(widget, "layout", None)):
        if isinstance(part, ipywidgets.Widget) and part not in _looks.values():
            part.close()
    ipywidgets.Widget.close(widget)


def wide(width: str = "auto") -> Json:
    """Return a control's layout: its name in a column of its own."""
    return {"style": {"description_width": "84px"}, "layout": {"width": width}}


def radio(description: str, options: Iterable[object], value: object) -> ipywidgets.RadioButtons:
    """Make a choice of few, all in sight; a native one, for keys and screen readers."""
    return make(ipywidgets.RadioButtons, options=list(options), value=value, description=description, **wide())
