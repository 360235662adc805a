"""The form: what an engine offers, laid out, and what is set in it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets

from diarnb._text import visible
from diarnb.engines import NAMES
from diarnb.params import Params
from diarnb.widgets.controls import choices
from diarnb.widgets.parts import column, help_line, make, note, radio, row, visible_if, wide

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json
    from diarnb.engines.base import Offer, Option

_LEGEND = {
    "num_speakers": "Speakers",
    "channels": "Channels",
    "exclusive": "exclusive",
    "confidence": "confidence",
    "turn_level_confidence": "turn confidence",
}


_WORDS = "transcribe on this machine; this takes longer than finding who speaks"
_NO_WORDS = 'transcribe, once a transcriber is installed: `pip install "diarnb[sphinx]"` or `"diarnb[whisper]"`'


class SpeakerCount:
    """How many speak: automatic, exactly, or between; one excludes the others."""

    def __init__(self, changed: Callable[[], None]) -> None:
        slider: Json = {"min": 1, "max": choices.MOST, "layout": {"width": "20em"}, "readout": False}
        self.mode: ipywidgets.RadioButtons = radio("Speakers", ["automatic", "exactly", "between"], "automatic")
        self.exactly: ipywidgets.IntSlider = make(
            ipywidgets.IntSlider, value=2, description="Number", style={"description_width": "84px"}, **slider
        )
        self.between: ipywidgets.IntRangeSlider = make(
            ipywidgets.IntRangeSlider,
            value=(1, choices.MOST),
            description="Range",
            style={"description_width": "84px"},
            **slider,
        )
        self._told = help_line()
        self._place = row(self.exactly, self.between, self._told)
        self.box: ipywidgets.VBox = column(self.mode, self._place)
        self._changed = changed
        for widget in (self.mode, self.exactly, self.between):
            widget.observe(self._set, "value")
        self._show()

    @property
    def arguments(self) -> dict[str, int]:
        """What is set, for `diarize`."""
        return choices.count_arguments(self.mode.value, self.exactly.value, tuple(self.between.value))

    def _set(self, _change: object) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        for mode, slider in (("exactly", self.exactly), ("between", self.between)):
            visible_if(slider, self.mode.value == mode)
        visible_if(self._place, self.mode.value != "automatic")
        self._told.value = note(choices.describe_count(self.mode.value, self.exactly.value, tuple(self.between.value)))


class Options:
    """The engine's own arguments, made when they are first looked at: a service has dozens."""

    def __init__(self, name: str, offer: Offer, changed: Callable[[], None]) -> None:
        self._options, self._changed = choices.options_of(offer), changed
        self._fields: dict[str, ipywidgets.Widget] = {}
        self._list = column(classes=("diarnb-scroll",))
        # A button and no accordion, whose titles keys do not reach.
        self.more: ipywidgets.ToggleButton = make(
            ipywidgets.ToggleButton,
            description=f"More for {name}" if name in NAMES else "More for this engine",
            icon="caret-right",
            classes=("diarnb-more",),
        )
        self.more.observe(self._open, "value")
        self.box: ipywidgets.VBox = column(self.more, self._list)
        visible_if(self._list, False)

    @property
    def arguments(self) -> Json:
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
                found[name] = choices.parse_typed(option, field.value) if isinstance(field.value, str) else field.value
        return found

    def _open(self, change: Json) -> None:
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


def _field(name: str, option: Option, wide: Json) -> ipywidgets.Widget:
    shown = html.escape(visible(name, limit=40))
    if choices.is_switch(option):
        return make(
            ipywidgets.Dropdown, options=[("—", None), ("True", True), ("False", False)], description=shown, **wide
        )
    return make(ipywidgets.Text, description=shown, continuous_update=False, placeholder="—", **wide)


class EngineForm:
    """All that an engine offers beside the recording; what it does not offer is absent."""

    def __init__(self, name: str, offer: Offer, changed: Callable[[], None]) -> None:
        self._offer, self._changed, self._channels = offer, changed, 1
        self.count: SpeakerCount | None = SpeakerCount(changed) if offer.count else None
        self.flags: Json = {
            flag: make(
                ipywidgets.Checkbox,
                description=_LEGEND[flag],
                indent=False,
                layout={"width": "11em", "margin": "0 0 0 88px"},
            )
            for flag in choices.flags_of(offer)
        }
        self.model: Any = self._model()
        self.threshold: Any = None
        self.threshold_on: Any = None
        parts: list[ipywidgets.Widget] = []
        if self.model is not None:
            self._model_help = help_line()
            parts.append(row(self.model, self._model_help))
        parts += [] if self.count is None else [self.count.box]
        if "threshold" in offer.options:
            parts.append(self._threshold(offer.options["threshold"]))
        self.channels: ipywidgets.Dropdown = make(
            ipywidgets.Dropdown, description="Channels", options=["mix"], **wide("19em")
        )
        self._channels_row = row(self.channels, help_line(Params.help()["channels"]))
        visible_if(self._channels_row, False)
        parts.append(self._channels_row)
        for flag, box in self.flags.items():
            parts.append(row(box, help_line(choices.flags_of(offer)[flag])))
        self.words: Any = None if offer.words else self._words()
        if self.words is not None:
            parts.append(row(self.words, help_line(_WORDS if choices.transcribers() else _NO_WORDS)))
        self.price: Any = None
        if "price_per_hour" in offer.options:
            self.price = make(
                ipywidgets.BoundedFloatText, value=0.0, min=0.0, max=1e6, step=0.01, description="Price", **wide("14em")
            )
            parts.append(row(self.price, help_line(offer.options["price_per_hour"].help)))
        self.options: Options | None = Options(name, offer, changed) if choices.options_of(offer) else None
        parts += [] if self.options is None else [self.options.box]
        self.box: ipywidgets.VBox = column(*parts)
        for widget in (
            self.model,
            self.words,
            self.threshold,
            self.threshold_on,
            self.channels,
            self.price,
            *self.flags.values(),
        ):
            if widget is not None:
                widget.observe(self._set, "value")
        self._show()

    @property
    def arguments(self) -> Json:
        """What is set, for `diarize`; what is left as it is, is absent.

        Raises
        ------
        InvalidParameterError
            Something was typed that an argument does not take.
        """
        found: Json = {}
        if self.model is not None and self.model.value not in ("", self._offer.default_model):
            found["model"] = self.model.value
        if self.count is not None:
            found |= self.count.arguments
        if self.words is not None and self.words.value:
            found["words"] = self.words.value
        found |= {flag: True for flag, box in self.flags.items() if box.value}
        if self._channels > 1 and self.channels.value != "mix":
            found["channels"] = self.channels.value
        if self.threshold is not None and self.threshold_on.value == "at":
            found["threshold"] = round(self.threshold.value, 2)
        found |= {} if self.options is None else self.options.arguments
        if "max_cost" in found and self.price.value:
            found["price_per_hour"] = self.price.value
        return found

    def offer_channels(self, channels: int) -> None:
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
            return make(
                ipywidgets.Combobox,
                options=models,
                placeholder=models[0],
                description="Model",
                continuous_update=False,
                **wide("31em"),
            )
        if len(models) < 2:
            return None
        options = [(self._offer.model_help.get(name, (name,))[0], name) for name in models]
        width = "19em" if self._offer.model_help else "31em"  # labels leave more room for help than names
        return make(ipywidgets.Dropdown, options=options, description="Model", **wide(width))

    def _words(self) -> ipywidgets.Dropdown:
        names = [(name, name) for name in choices.transcribers()]
        return make(
            ipywidgets.Dropdown,
            options=[("none", ""), *names],
            value="",
            description="Words",
            disabled=not names,
            **wide("19em"),
        )

    def _threshold(self, option: Option) -> ipywidgets.Widget:
        self.threshold_on = radio("Threshold", ["automatic", "at"], "automatic")
        self.threshold = make(
            ipywidgets.FloatSlider,
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
        return column(self.threshold_on, self._threshold_place)

    def _set(self, _change: object) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        if self.model is not None and self.model.value in self._offer.model_help:
            self._model_help.value = note(f"{self._offer.model_help[self.model.value][1]} · {self.model.value}")
        if self.threshold is None:
            return
        at = self.threshold_on.value == "at"
        told = self._offer.options["threshold"].help
        self._threshold_help.value = note(f"{self.threshold.value:.2f} · {told}")
        visible_if(self._threshold_place, at)
