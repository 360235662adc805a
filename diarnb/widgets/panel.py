"""What the widgets share on which a table is corrected, and the panels of cards and review beyond that."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets

from diarnb.corrections import Corrections
from diarnb.errors import DiarnbError
from diarnb.tables.colors import speaker_colors
from diarnb.widgets import parts
from diarnb.widgets.sound import Sound
from diarnb.widgets.still import still

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


class Correcting:
    """What everything shares on which a table of turns is corrected.

    Attributes
    ----------
    corrections : Corrections
        The table and its log. Whoever changes it here calls `refresh` afterwards.
    """

    corrections: Corrections

    @property
    def turns(self) -> pd.DataFrame:
        """The corrected table: a plain DataFrame, as `Corrections.turns` gives it."""
        return self.corrections.turns

    @property
    def edits(self) -> pd.DataFrame:
        """The log of corrections: a plain DataFrame, as `Corrections.edits` gives it."""
        return self.corrections.edits

    def undo(self) -> None:
        """Take back the last correction; nothing where there is none."""
        self.corrections.undo()
        self.refresh()

    def redo(self) -> None:
        """Make again what was taken back last; nothing where there is none."""
        self.corrections.redo()
        self.refresh()

    def refresh(self) -> None:
        """Show the corrections as they are now."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.turns)} turns, {len(self.corrections.labels)} speakers>"


class Panel(Correcting, ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A panel on which a table of turns is corrected.

    Parameters
    ----------
    turns : pandas.DataFrame or Corrections
        A table, or one that is corrected already, with its log.
    audio : optional
        The recording, where it cannot be found through the run of the table.
    by : str
        Who corrects.
    """

    def __init__(self, turns: pd.DataFrame | Corrections, audio: Any, by: str) -> None:
        corrections = turns if isinstance(turns, Corrections) else Corrections(turns, by=by)  # before there is a widget
        super().__init__()
        self.add_class("diarnb-panel")
        self.corrections = corrections
        self._sound = Sound.of(self.corrections.turns, audio)
        self._lock = threading.RLock()  # JupyterLab may have a page's messages answered while a cell runs
        self._closed = False
        self._said = ipywidgets.HTML()
        self._undo = self._button("Undo", self.undo, "Take back the last correction")
        self._redo = self._button("Redo", self.redo, "Make again what was taken back")

    def refresh(self) -> None:
        """Show the corrections as they are now."""
        self._undo.disabled, self._redo.disabled = not self.corrections.can_undo, not self.corrections.can_redo

    def close(self) -> None:
        """Take it off the page, and let go of the recording. `turns` and `edits` stay."""
        if not hasattr(self, "_lock"):  # what is no table of turns was refused before there was anything to close
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._sound.close()
        parts.close_all(self)

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {**still(self.turns), "application/vnd.jupyter.widget-view+json": view}

    # For those who make a panel of this.

    def _button(self, label: str, press: Callable[[], Any], tooltip: str = "") -> ipywidgets.Button:
        """Make a button; `label` is ours or was made `visible`."""
        made = ipywidgets.Button(description=label, tooltip=tooltip, layout={"width": "auto"})
        made.on_click(lambda _: self.attempt(press))
        return made

    def attempt(self, action: Callable[[], Any]) -> None:
        """Do what a page asks for, and say there what is wrong with it."""
        with self._lock:
            if self._closed:
                return
            try:
                self._said.value = ""
                action()
            except DiarnbError as error:
                self._said.value = parts.note(str(error), problem=True)

    def swatch(self, label: str, text: str) -> str:
        """Put the colour of a voice, as the timeline has it, before a text; as HTML."""
        color = speaker_colors(self.corrections.everybody)[label]
        dot = f'<span style="display:inline-block;width:.8em;height:.8em;border-radius:50%;background:{color}"></span>'
        return f"{dot} {parts.note(text)}"
