"""The panel's controls, and nothing of what they do: what an engine offers, laid out, and what is set in them.

Written for ipywidgets 7.7 and 8 alike. In 7 a description is HTML, so that nothing from outside stands in one; help and
messages are escaped where they are made, `note`.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets

from diarnb._text import visible
from diarnb.engines import NAMES
from diarnb.params import Params
from diarnb.widgets import choices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from diarnb.engines.base import Offer, Option

_LEGEND = {
    "num_speakers": "Speakers",
    "channels": "Channels",
    "exclusive": "exclusive",
    "confidence": "confidence",
    "turn_level_confidence": "turn confidence",
}
STYLE = """<style>
.diarnb-panel { max-width: 62em; padding: 10px 14px 12px; border-radius: 6px; overflow: visible;
  border: 1px solid var(--jp-border-color2, #8886); }
.diarnb-panel .widget-box { overflow: visible; flex-shrink: 0; }
.diarnb-panel .diarnb-row { align-items: center; flex-flow: row wrap; min-height: 32px; column-gap: 8px; }
.diarnb-panel .widget-radio { display: flex; flex-direction: row; align-items: center; width: auto;
  height: auto; min-height: 32px; }
.diarnb-panel .widget-radio > .widget-label { width: 84px; flex: none; text-align: right; margin-right: 8px; }
.diarnb-panel .widget-radio-box { flex-direction: row; flex-wrap: wrap; column-gap: 18px; height: auto;
  margin: 0 !important; }
.diarnb-panel .widget-radio-box label { margin: 0; width: auto; height: auto; }
.diarnb-panel .widget-radio-box input { margin: 0 6px 0 0; }
.diarnb-panel .diarnb-note { font-size: 90%; min-width: 12em; flex: 1 1 12em; height: auto;
  color: var(--jp-content-font-color2, #757575); }
.diarnb-panel .diarnb-note .widget-html-content { line-height: 1.35; white-space: normal; align-self: center; }
.diarnb-panel .diarnb-note code { background: none; padding: 0; font-size: 95%; color: inherit; }
.diarnb-panel .diarnb-problem { color: var(--jp-error-color1, #d32f2f); }
.diarnb-panel .diarnb-scroll { max-height: 21em; overflow-y: auto; }
.diarnb-panel .diarnb-card { padding-bottom: 8px; margin-bottom: 8px;
  border-bottom: 1px solid var(--jp-border-color3, #8883); }
.diarnb-panel .widget-checkbox, .diarnb-panel .widget-checkbox label { width: auto; }
.diarnb-panel .diarnb-more { margin-left: 88px; width: auto; padding: 0 4px; text-align: left; box-shadow: none;
  background: none; color: var(--jp-content-font-color1, inherit); }
.diarnb-panel .diarnb-code { margin: 6px 0; display: flex; align-items: center; gap: 8px;
  padding: 4px 4px 4px 10px; border-radius: 4px;
  background: var(--jp-cell-editor-background, #8881); border: 1px solid var(--jp-border-color2, #8886); }
.diarnb-code code { flex: 1; white-space: pre-wrap; overflow-wrap: anywhere; background: none;
  font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px);
  color: var(--jp-content-font-color1, inherit); }
.diarnb-code button { flex: none; width: 6em; }
</style>"""


class CodeLine(anywidget.AnyWidget):
    """A line of Python with a button that copies it."""

    _esm = Path(__file__).with_name("copying.js").read_text(encoding="utf-8")
    code = traitlets.Unicode().tag(sync=True)


def note(text: str, *, problem: bool = False) -> str:
    """Make text from anywhere the value of an HTML widget."""
    if not text:
        return ""
    told = f"<bdi>{html.escape(visible(text, limit=700))}</bdi>"
    return f'<span class="diarnb-problem" role="alert">⚠ {told}</span>' if problem else told


def help_line(text: str = "") -> ipywidgets.HTML:
    """Give a line of small grey text."""
    # Help is ours, and has code between backticks.
    made = ipywidgets.HTML(re.sub("`([^`]+)`", r"<code>\1</code>", note(text)))
    made.add_class("diarnb-note")
    return made


def row(*parts: ipywidgets.Widget) -> ipywidgets.HBox:
    """Put widgets beside each other, and below where there is no room."""
    made = ipywidgets.HBox(parts)
    made.add_class("diarnb-row")
    return made


def visible_if(widget: ipywidgets.Widget, shown: bool) -> None:
    """Show a widget or hide it; what is hidden stays in the panel, and is closed with it."""
    widget.layout.display = None if shown else "none"


def close_all(widget: ipywidgets.Widget) -> None:
    """Close a widget and all that is in it: ipywidgets keeps alive what nobody closes."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for part in (getattr(widget, "style", None), getattr(widget, "layout", None)):
        if isinstance(part, ipywidgets.Widget):
            part.close()
    ipywidgets.Widget.close(widget)


def wide(width: str = "auto") -> dict[str, Any]:
    """Give a control's layout: its name in a column of its own."""
    return {"style": {"description_width": "84px"}, "layout": {"width": width}}


def radio(description: str, options: Iterable[Any], value: Any) -> ipywidgets.RadioButtons:
    """Give a choice of few, all in sight; a native one, for keys and screen readers."""
    return ipywidgets.RadioButtons(options=list(options), value=value, description=description, **wide())


class Count:
    """How many speak: automatic, exactly, or between; one excludes the others."""

    def __init__(self, changed: Callable[[], None]) -> None:
        slider = {"min": 1, "max": choices.MOST, "layout": {"width": "20em"}, "readout": False}
        self.mode = radio("Speakers", ["automatic", "exactly", "between"], "automatic")
        self.exactly = ipywidgets.IntSlider(
            value=2, description="Number", style={"description_width": "84px"}, **slider
        )
        self.between = ipywidgets.IntRangeSlider(
            value=(1, choices.MOST), description="Range", style={"description_width": "84px"}, **slider
        )
        self._told = help_line()
        self._place = row(self.exactly, self.between, self._told)
        self.box = ipywidgets.VBox([self.mode, self._place])
        self._changed = changed
        for widget in (self.mode, self.exactly, self.between):
            widget.observe(self._set, "value")
        self._show()

    @property
    def arguments(self) -> dict[str, int]:
        """What is set, for `diarize`."""
        return choices.counts(self.mode.value, self.exactly.value, tuple(self.between.value))

    def _set(self, _change: Any) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        for mode, slider in (("exactly", self.exactly), ("between", self.between)):
            visible_if(slider, self.mode.value == mode)
        visible_if(self._place, self.mode.value != "automatic")
        self._told.value = note(choices.counted(self.mode.value, self.exactly.value, tuple(self.between.value)))


class Options:
    """The engine's own arguments, made when they are first looked at: a service has dozens."""

    def __init__(self, name: str, offer: Offer, changed: Callable[[], None]) -> None:
        self._options, self._changed = choices.options_of(offer), changed
        self._fields: dict[str, ipywidgets.Widget] = {}
        self._list = ipywidgets.VBox()
        self._list.add_class("diarnb-scroll")
        # A button and no accordion, whose titles keys do not reach.
        self.more = ipywidgets.ToggleButton(
            description=f"More for {name}" if name in NAMES else "More for this engine", icon="caret-right"
        )
        self.more.add_class("diarnb-more")
        self.more.observe(self._open, "value")
        self.box = ipywidgets.VBox([self.more, self._list])
        visible_if(self._list, False)

    @property
    def arguments(self) -> dict[str, Any]:
        """What is set, for `diarize`.

        Raises
        ------
        InvalidParameterError
            Something was typed that an argument does not take.
        """
        found = {}
        for name, field in self._fields.items():
            option = self._options[name]
            if field.value not in ("", None):
                found[name] = choices.typed(option, field.value) if isinstance(field.value, str) else field.value
        return found

    def _open(self, change: Any) -> None:
        self.more.icon = "caret-down" if change["new"] else "caret-right"
        visible_if(self._list, change["new"])
        if self._fields:
            return
        wide = {"style": {"description_width": "150px"}, "layout": {"width": "25em"}}
        rows = []
        for name, option in self._options.items():
            self._fields[name] = field = _field(name, option, wide)
            field.observe(lambda _: self._changed(), "value")
            rows.append(row(field, help_line(option.help)))
        self._list.children = rows


def _field(name: str, option: Option, wide: dict[str, Any]) -> ipywidgets.Widget:
    shown = html.escape(visible(name, limit=40))
    if choices.is_switch(option):
        return ipywidgets.Dropdown(options=[("—", None), ("True", True), ("False", False)], description=shown, **wide)
    return ipywidgets.Text(description=shown, continuous_update=False, placeholder="—", **wide)


class Asked:
    """All that an engine offers beside the recording; what it does not offer is absent."""

    def __init__(self, name: str, offer: Offer, changed: Callable[[], None]) -> None:
        self._offer, self._changed, self._channels = offer, changed, 1
        self.count = Count(changed) if offer.count else None
        self.flags = {
            flag: ipywidgets.Checkbox(description=_LEGEND[flag], indent=False, layout={"width": "11em"})
            for flag in choices.flags_of(offer)
        }
        self.model: Any = self._model()
        self.threshold: Any = None
        self.threshold_on: Any = None
        parts = [] if self.model is None else [self.model]
        parts += [] if self.count is None else [self.count.box]
        if "threshold" in offer.options:
            parts.append(self._threshold(offer.options["threshold"]))
        self.channels = ipywidgets.Dropdown(description="Channels", options=["mix"], **wide("19em"))
        self._channels_row = row(self.channels, help_line(Params.help()["channels"]))
        visible_if(self._channels_row, False)
        parts.append(self._channels_row)
        for flag, box in self.flags.items():
            box.layout.margin = "0 0 0 88px"
            parts.append(row(box, help_line(choices.flags_of(offer)[flag])))
        self.price: Any = None
        if "price_per_hour" in offer.options:
            self.price = ipywidgets.BoundedFloatText(
                value=0.0, min=0.0, max=1e6, step=0.01, description="Price", **wide("14em")
            )
            parts.append(row(self.price, help_line(offer.options["price_per_hour"].help)))
        self.options = Options(name, offer, changed) if choices.options_of(offer) else None
        parts += [] if self.options is None else [self.options.box]
        self.box = ipywidgets.VBox(parts)
        for widget in (self.model, self.threshold, self.threshold_on, self.channels, self.price, *self.flags.values()):
            if widget is not None:
                widget.observe(self._set, "value")
        self._show()

    @property
    def arguments(self) -> dict[str, Any]:
        """What is set, for `diarize`; what is left as it is, is absent.

        Raises
        ------
        InvalidParameterError
            Something was typed that an argument does not take.
        """
        found: dict[str, Any] = {}
        if self.model is not None and self.model.value not in ("", self._offer.default_model):
            found["model"] = self.model.value
        if self.count is not None:
            found |= self.count.arguments
        found |= {flag: True for flag, box in self.flags.items() if box.value}
        if self._channels > 1 and self.channels.value != "mix":
            found["channels"] = self.channels.value
        if self.threshold is not None and self.threshold_on.value == "at":
            found["threshold"] = round(self.threshold.value, 2)
        found |= {} if self.options is None else self.options.arguments
        if "max_cost" in found and self.price.value:
            found["price_per_hour"] = self.price.value
        return found

    def heard(self, channels: int) -> None:
        """Offer to keep the channels of a recording apart, where it has several."""
        several = channels > 1 and self._offer.channels
        visible_if(self._channels_row, several)
        wanted = ["mix", "split", *range(channels)] if several else ["mix"]
        if channels != self._channels:
            self._channels = channels
            self.channels.options = [(str(value), value) for value in wanted]

    def _model(self) -> ipywidgets.Widget | None:
        models = self._offer.models
        if self._offer.any_model:
            return ipywidgets.Combobox(
                options=models, placeholder=models[0], description="Model", continuous_update=False, **wide("31em")
            )
        return ipywidgets.Dropdown(options=models, description="Model", **wide("31em")) if len(models) > 1 else None

    def _threshold(self, option: Option) -> ipywidgets.Widget:
        self.threshold_on = radio("Threshold", ["automatic", "at"], "automatic")
        self.threshold = ipywidgets.FloatSlider(
            value=0.25,
            min=0.0,
            max=1.0,
            step=0.01,
            description="Distance",
            layout={"width": "20em"},
            readout=False,
            style={"description_width": "84px"},
        )
        self._threshold_help = help_line(option.help)
        self._threshold_place = row(self.threshold, self._threshold_help)
        return ipywidgets.VBox([self.threshold_on, self._threshold_place])

    def _set(self, _change: Any) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        if self.threshold is None:
            return
        at = self.threshold_on.value == "at"
        told = self._offer.options["threshold"].help
        self._threshold_help.value = note(f"{self.threshold.value:.2f} · {told}")
        visible_if(self._threshold_place, at)
