"""The studio: choose and run, hear and correct, name and review, in one place and on one table."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import ipywidgets
import pandas as pd

from diarnb.corrections import Corrections
from diarnb.errors import AudioNotFoundError
from diarnb.widgets import parts
from diarnb.widgets.cards import Cards
from diarnb.widgets.controls import Controls
from diarnb.widgets.panel import Correcting, Panel
from diarnb.widgets.player import Player, check_words
from diarnb.widgets.reruns import replace_earlier
from diarnb.widgets.review import Review
from diarnb.widgets.sound import Sound
from diarnb.widgets.still import frame_still

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Source
    from diarnb.engines.base import Engine

P = TypeVar("P", bound=Panel)
_PANES: dict[str, type[Panel]] = {"Speakers": Cards, "Review": Review}


def studio(
    source_or_turns: Source | pd.DataFrame | Corrections | None = None,
    audio: Source | None = None,
    *,
    engine: str | Engine = "local",
    words: pd.DataFrame | None = None,
    by: str = "person",
    fresh: bool = False,
) -> Studio:
    """Choose, run, listen, name, review and correct in one place.

    The form of `controls` folds away when there is a table. The speakers' cards and the review are beside the player.
    All of them correct the same table: a name that you type in a card appears on the lanes at once, one undo reverts
    what was done in any of them, and the review asks about the turn that is selected on the lanes. In the player, ``y``
    and ``w`` answer the review, and ``d`` goes to the next doubtful turn.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    source_or_turns : anything that `diarize` takes, pandas.DataFrame or Corrections, optional
        A recording, with which the form starts; or a table of turns, and then there is no form. Default: an example.
    audio : anything that `diarize` takes, optional
        The recording of a table, if it cannot be found through the run.
    engine : str or Engine, default "local"
        The engine with which the form starts.
    words : pandas.DataFrame, optional
        As for `player`.
    by : str, default "person"
        Who makes the corrections; the log records it.
    fresh : bool, default False
        Start without the earlier corrections of this table. They stay on disk, and can be applied later.

    Returns
    -------
    Studio
        ``.turns`` is the corrected table, ``.edits`` the log, ``.player``, ``.cards``, ``.review`` and ``.controls``
        the parts. Running the cell again closes the earlier studio.

    Raises
    ------
    AudioNotFoundError, AudioChangedError, AudioError
        As `player`.
    TurnTableError
        If this is a table, but not a table of turns.
    InvalidParameterError
        There is no such engine.

    Examples
    --------
    >>> made = studio(diarize(example("interview"), progress=False))
    >>> made.cards.rename("SPEAKER_00", "Beth")
    >>> made.player.turns["speaker"][0], made.review.turns["speaker"][0]
    ('Beth', 'Beth')
    >>> made.close()
    """
    made = Studio(source_or_turns, audio, engine=engine, words=words, by=by, fresh=fresh)
    replace_earlier(made, Studio)
    return made


class Studio(Correcting, ipywidgets.VBox):  # type: ignore[misc]
    """What `studio` gives.

    Attributes
    ----------
    controls : Controls or None
        The form; None where a table was given.
    player, cards, review
        The parts; None before there is a table. A side pane is made when it is first looked at.
    """

    def __init__(
        self,
        source_or_turns: Source | pd.DataFrame | Corrections | None = None,
        audio: Source | None = None,
        *,
        engine: str | Engine = "local",
        words: pd.DataFrame | None = None,
        by: str = "person",
        fresh: bool = False,
    ) -> None:
        super().__init__(layout=parts.share(ipywidgets.Layout), _dom_classes=("diarnb-studio",))
        self._audio, self._by, self._fresh = audio, by, fresh
        self._words = None if words is None else check_words(words)
        self._lock = threading.RLock()
        self._sound: Sound | None = None
        self.player: Player | None = None
        self._panes: dict[type[Panel], Panel] = {}  # those that somebody has looked at
        self.controls: Controls | None = None
        self._begin()
        self._guard = parts.Guard({}, lambda act: act(), "Studio", self._trace)
        self._place = parts.column()
        self._choice = parts.make(
            ipywidgets.ToggleButtons, options=list(_PANES), tooltips=list(_PANES), style={"button_width": "8em"}
        )
        self._choice.observe(lambda _: self._turn_over(), "value")
        self._side = parts.column(self._choice, classes=("diarnb-side",))
        form = []
        if isinstance(source_or_turns, pd.DataFrame | Corrections):
            self._open(source_or_turns)
        else:
            self.controls = Controls(source_or_turns, engine)
            self.controls.watch(self._open)
            self._fold = parts.make(
                ipywidgets.ToggleButton,
                value=True,
                description="Recording and settings",
                icon="caret-down",
                classes=("diarnb-fold",),
            )
            self._fold.observe(lambda _: self._unfold(), "value")
            form = [self._fold, self.controls]
        self.children: list[ipywidgets.Widget] = [*form, self._place, self._guard]

    def run(self) -> pd.DataFrame:
        """Run what the form says, wait, and show; needs no page.

        Raises
        ------
        DiarnbError
            What `diarize` raises.
        """
        if self.controls is None:
            return self.turns
        return self.controls.run()

    def close(self) -> None:
        """Take it off the page, and let go of the recording. `turns` and `edits` stay."""
        with self._lock:
            if self.controls is not None:
                self.controls.close()
            self._close_parts()
        parts.close_all(self)

    def _open(self, turns: pd.DataFrame | Corrections) -> None:
        """Put the parts on a table, in the place of those on an earlier one."""
        with self._lock:
            if isinstance(turns, Corrections):
                corrections = turns
            else:
                corrections = Corrections.open(turns, self._by, fresh=self._fresh)
            sound = self._find_sound(corrections.turns)
            self._close_parts()
            self._sound = sound
            self._correct(corrections)
            self.player = Player(sound, corrections, None, self._words)
            self.player.add_class("diarnb-main")
            self.player.follows = self._look_at
            self.player.judges = {
                "y": lambda: self._judge(Review.right),
                "w": lambda: self._judge(Review.wrong),
                "d": lambda: self._judge(Review.skip),
                "h": lambda: self._judge(Review.hear),
            }
            self._turn_over()
            before, both = self._place.children, (self.player, self._side)
            self._place.children = [parts.row(*both, classes=("diarnb-both",))]
            for row in before:
                row.children = ()  # the side stands in the next one
                parts.close_all(row)
            if self.controls is not None:
                self._fold.value = False
        if self._displayed:
            self._update_still()

    def _find_sound(self, turns: pd.DataFrame) -> Sound:
        try:
            return Sound.of(turns, self._audio)
        except AudioNotFoundError:
            if self.controls is None or self.controls.source is None:
                raise
            return Sound(self.controls.source)  # what was uploaded, or is at an address

    def _close_parts(self) -> None:
        self._side.children = [self._choice]
        for part in (self.player, *self._panes.values()):
            if part is not None:
                part.close()
        self._panes.clear()
        if self._sound is not None:
            self._leave()
            self._sound.close()

    def _unfold(self) -> None:
        self._fold.icon = "caret-down" if self._fold.value else "caret-right"
        parts.visible_if(self.controls, self._fold.value)
        shown = self._fold.value or self.controls is None or self.controls.turns is None
        self._fold.description = "Recording and settings" if shown else f"Recording and settings: {self._summary()}"

    def _summary(self) -> str:
        facts = self.turns.attrs.get("diarnb") or {}
        name = parts.plain(facts.get("source", "the recording"))
        return f"{name} · {parts.plain(facts.get('engine', ''))} · {self.turns['speaker'].nunique()} speakers"

    @property
    def cards(self) -> Cards | None:
        """The cards of the speakers; None before there is a table."""
        return self._find_pane(Cards)

    @property
    def review(self) -> Review | None:
        """The review; None before there is a table."""
        return self._find_pane(Review)

    def _find_pane(self, kind: type[P]) -> P | None:
        """Return a side pane, which is made when it is first wished for: few look at all, and each weighs."""
        with self._lock:
            if self.player is None:
                return None
            pane = self._panes.get(kind)
            if not isinstance(pane, kind):
                pane = self._panes[kind] = kind(self.corrections, self._sound, player=self.player)
                if isinstance(pane, Review):
                    self._guard.change(pane.bind_keys(), pane.attempt)
                    if (turn := self.player.selected) is not None and turn in self.turns.index:
                        pane.look_at(turn)
                parts.visible_if(pane, _PANES[self._choice.value] is kind)
                self._side.children = [self._choice, *self._panes.values()]
            return pane

    def _turn_over(self) -> None:
        """Show the one side pane or the other."""
        self._find_pane(_PANES[self._choice.value])
        for kind, pane in self._panes.items():
            parts.visible_if(pane, _PANES[self._choice.value] is kind)

    def _look_at(self, turn: int) -> None:
        """Have the review ask about a turn, where somebody reviews."""
        review = self._panes.get(Review)
        if isinstance(review, Review):
            review.look_at(turn)

    def _judge(self, verdict: Callable[[Review], object]) -> None:
        """Do in the review what a key in the player stands for."""
        if (review := self.review) is not None:
            review.attempt(lambda: verdict(review))

    def _show(self) -> None:
        """Leave it to the parts, which follow by themselves."""

    def __repr__(self) -> str:
        return super().__repr__() if self.player is not None else "<Studio without a table yet>"

    def _still(self) -> dict[str, str]:
        if self.player is None:
            return {"text/plain": repr(self), "text/html": frame_still("", self._trace)}
        return super()._still()
