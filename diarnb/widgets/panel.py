"""What the widgets share on which a table is corrected, and the panels of cards and review beyond that."""

from __future__ import annotations

import secrets
import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import ipywidgets

from diarnb._text import clock
from diarnb.corrections import Corrections
from diarnb.corrections.replay import take_over
from diarnb.errors import DiarnbError
from diarnb.tables.colors import speaker_fills
from diarnb.widgets import parts
from diarnb.widgets.background import Worker
from diarnb.widgets.sound import ClipButton, Sound
from diarnb.widgets.still import frame_still, still

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pandas as pd

    from diarnb._types import Json, Source
    from diarnb.widgets.player import Player

_REST = 1.0  # seconds without a correction, after which the picture that stays is drawn again


class Notice(NamedTuple):
    """What is told of earlier corrections, and what can be done about it: "afresh" or "take"."""

    text: str
    label: str
    what: str


class Correcting:
    """What everything shares on which a table of turns is corrected.

    Attributes
    ----------
    corrections : Corrections
        The table and its log. What is changed in it is shown at once.
    """

    corrections: Corrections
    model_id: str
    _reference: pd.DataFrame | None = None

    def _begin(self) -> None:
        self._trace = f"diarnb-{secrets.token_hex(8)}"  # the output that stays where nothing can run
        self._displayed, self._drawing = False, Worker()

    def _correct(self, corrections: Corrections) -> None:
        """Show these corrections, and follow them."""
        self.corrections = corrections
        self.corrections.watch(self._follow)

    @property
    def turns(self) -> pd.DataFrame:
        """The corrected table: a plain DataFrame, as `Corrections.turns` gives it."""
        return self.corrections.turns

    @property
    def edits(self) -> pd.DataFrame:
        """The log of corrections: a plain DataFrame, as `Corrections.edits` gives it."""
        return self.corrections.edits

    @property
    def notices(self) -> list[Notice]:
        """What is to be known of corrections that were made before."""
        if self.corrections.taken_up is not None:
            count, at = self.corrections.taken_up
            return [Notice(f"{_count(count)} {_describe_day(at)} taken up.", "start afresh", "afresh")]
        for earlier in self.corrections.earlier[:1]:
            own = earlier.of == self.corrections.of
            where = (
                "set aside here" if own else f"made on an earlier run{earlier.of.engine and f' ({earlier.of.engine})'}"
            )
            return [Notice(f"{_count(earlier.count)} {_describe_day(earlier.at)}, {where}.", "take over", "take")]
        return []

    def undo(self) -> None:
        """Undo the last correction; nothing where there is none."""
        self.corrections.undo()

    def redo(self) -> None:
        """Redo the correction last; nothing where there is none."""
        self.corrections.redo()

    def start_afresh(self) -> None:
        """Go back to the table as it was; what was corrected is set aside, and `take_over` brings it back."""
        self.corrections.start_afresh()

    def take_over(self) -> str:
        """Make here what was corrected on an earlier run of the recording, or set aside; say how far that went."""
        earlier = self.corrections.earlier
        return take_over(self.corrections, earlier[0]) if earlier else "There are no earlier corrections."

    def refresh(self) -> None:
        """Show the corrections as they are now, those included that another process has made."""
        self.corrections.sync()
        self._show()

    def _show(self) -> None:
        """Show the corrections as they are now."""
        raise NotImplementedError

    def _follow(self) -> None:
        self._show()
        if self._displayed:
            self._drawing.submit(lambda _: self._update_still(), delay=_REST)

    def _leave(self) -> None:
        """Follow the corrections no longer; what stays on the page is as they are now."""
        self.corrections.unwatch(self._follow)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.turns)} turns, {len(self.corrections.labels)} speakers>"

    # Two outputs: the widget, and a picture with the table, which the page hides while the widget lives. Where it does
    # not, in a file that is opened again or on a site that shows notebooks, the second one is what there is to see.

    def _ipython_display_(self, **_: object) -> None:
        from IPython.display import display

        display(parts.view(self), raw=True)  # type: ignore[no-untyped-call]
        display(self._still(), raw=True, display_id=self._trace)  # type: ignore[no-untyped-call]
        self._displayed = True

    def _update_still(self) -> None:
        from IPython.display import update_display

        update_display(self._still(), raw=True, display_id=self._trace)  # type: ignore[no-untyped-call]

    def _repr_mimebundle_(self, **_: object) -> Json:
        return {**parts.view(self), **self._still()}

    def _still(self) -> dict[str, str]:
        bundle = still(self.turns, reference=self._reference)
        return {**bundle, "text/html": frame_still(bundle["text/html"], self._trace)}


class Panel(Correcting, ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A panel on which a table of turns is corrected.

    Parameters
    ----------
    turns : pandas.DataFrame or Corrections
        A table, or one that is corrected already, with its log.
    audio : optional
        The recording, if it cannot be found through the run of the table.
    by : str
        Who corrects.
    fresh : bool
        Leave out what was corrected before.
    player : Player, optional
        Beside which it stands, and which plays for it: then it has no undo, no notices and no sound of its own.
    """

    def __init__(
        self,
        turns: pd.DataFrame | Corrections,
        audio: Source | Sound | None,
        by: str = "person",
        *,
        fresh: bool = False,
        player: Player | None = None,
    ) -> None:
        corrections = turns if isinstance(turns, Corrections) else Corrections.open(turns, by, fresh=fresh)  # may raise
        looks = ("diarnb-panel", "diarnb-keys") if self.bind_keys() else ("diarnb-panel",)
        super().__init__(layout=parts.share(ipywidgets.Layout), _dom_classes=looks)
        self._player = player
        self._begin()
        self._correct(corrections)
        self._sound = Sound.of(self.corrections.turns, audio)
        self._lock = threading.RLock()  # JupyterLab may have a page's messages answered while a cell runs
        self._closed = False
        self._said, self._told = parts.make(ipywidgets.HTML), parts.row(classes=(parts.HIDDEN,))
        self._history: list[ipywidgets.Button] = []
        if player is None:
            self._history = [
                self._button("Undo", self.undo, "Undo the last correction"),
                self._button("Redo", self.redo, "Redo the correction"),
            ]

    def _show(self) -> None:
        """Show the corrections as they are now."""
        if self._player is not None:
            return
        able = self.corrections.can_undo, self.corrections.can_redo
        for button, can in zip(self._history, able, strict=True):
            button.disabled = not can
        before = self._told.children
        does = {"afresh": self.start_afresh, "take": self._take_over}
        self._told.children = [
            part
            for notice in self.notices
            for part in (
                parts.make(ipywidgets.HTML, parts.note(notice.text)),
                self._button(notice.label, does[notice.what], "What is here stays on disk"),
            )
        ]
        parts.visible_if(self._told, bool(self._told.children))
        for part in before:
            parts.close_all(part)

    def _take_over(self) -> None:
        self._said.value = parts.note(self.take_over())

    def bind_keys(self) -> dict[str, Callable[[], object]]:
        """Return what keys do while the panel has the focus."""
        return {}

    def _guard(self, label: str) -> list[parts.Guard]:
        """Keep the panel's keys from the notebook, and hide what stays while the panel lives; a studio has its own."""
        own = self._player is None
        return [parts.Guard(self.bind_keys(), self.attempt, label, self._trace)] if own else []

    def _clip_button(self, start: float, end: float) -> ipywidgets.Widget:
        """Make a button that plays a stretch: by itself, or by the player beside it."""
        if self._player is None:
            return ClipButton(self._sound, start, end)
        played = partial(self._player.play, start, end)
        return self._button(f"{clock(start)} – {clock(end)}", played, "Play this", icon="play")

    def close(self) -> None:
        """Take it off the page, and let go of the recording. `turns` and `edits` stay."""
        if not hasattr(self, "_lock"):  # what is no table of turns was refused before there was anything to close
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave()
        if self._player is None:
            self._sound.close()
        parts.close_all(self)

    # For those who make a panel of this.

    def _button(self, label: str, press: Callable[[], object], tooltip: str = "", icon: str = "") -> ipywidgets.Button:
        """Make a button; `label` is ours or was made `visible`."""
        made = parts.make(ipywidgets.Button, description=label, tooltip=tooltip, icon=icon, layout={"width": "auto"})
        made.on_click(lambda _: self.attempt(press))
        return made

    def attempt(self, action: Callable[[], object]) -> None:
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
        fill = speaker_fills(self.corrections.everybody)[label]
        dot = f'<span class="diarnb-swatch" style="background:{fill}"></span>'
        return f"{dot} {parts.note(text)}"


def _count(number: int) -> str:
    return f"{number} correction{'' if number == 1 else 's'}"


def _describe_day(at: datetime) -> str:
    """Write when something was done, for people."""
    from datetime import datetime

    here, now = at.astimezone(), datetime.now().astimezone()
    days = (now.date() - here.date()).days
    if days == 0:
        return f"of today, {here:%H:%M},"
    return "of yesterday" if days == 1 else f"of {here.day} {here:%B %Y}"
