"""The studio: choose and run, hear and correct, name and review, in one place and on one table."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import ipywidgets
import pandas as pd

from diarnb.corrections import Corrections
from diarnb.errors import AudioNotFoundError
from diarnb.widgets import parts
from diarnb.widgets.cards import Cards
from diarnb.widgets.controls import Controls
from diarnb.widgets.panel import Correcting
from diarnb.widgets.player import Player, check_words
from diarnb.widgets.reruns import replace_earlier
from diarnb.widgets.review import Review
from diarnb.widgets.sound import Sound
from diarnb.widgets.still import frame_still

if TYPE_CHECKING:
    from diarnb._types import Source
    from diarnb.engines.base import Engine


def studio(
    source_or_turns: Source | pd.DataFrame | Corrections | None = None,
    audio: Source | None = None,
    *,
    engine: str | Engine = "local",
    words: pd.DataFrame | None = None,
    by: str = "person",
    fresh: bool = False,
) -> Studio:
    """Choose, run, hear, name, review and correct in one place.

    The form of `controls` folds away when there is a table. Beside the player stand the cards of the speakers and the
    review. All of them correct one table: a name that is typed in a card is on the lanes at once, one undo takes back
    what was done in any of them, and the turn that is selected on the lanes is the one that the review asks about.
    In the player ``y`` and ``w`` answer the review, and ``d`` goes to the next doubtful turn.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    source_or_turns : anything that `diarize` takes, pandas.DataFrame or Corrections, optional
        A recording, for the form to begin with; or a table of turns, and then there is no form. Default: an example.
    audio : anything that `diarize` takes, optional
        The recording of a table, where it cannot be found through the run.
    engine : str or Engine, default "local"
        What the form begins with.
    words : pandas.DataFrame, optional
        As for `player`.
    by : str, default "person"
        Who corrects: it stands in the log.
    fresh : bool, default False
        Begin without the corrections that were made on this table before; they stay on disk, and can be taken over.

    Returns
    -------
    Studio
        ``.turns`` is the corrected table, ``.edits`` the log, ``.player``, ``.cards``, ``.review`` and ``.controls``
        the parts. A cell that is run again closes its earlier studio.

    Raises
    ------
    AudioNotFoundError, AudioChangedError, AudioError
        As `player`.
    TurnTableError
        If this is a table, but none of turns.
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
        The parts; None before there is a table.
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
        super().__init__()
        self.add_class("diarnb-studio")
        self._audio, self._by, self._fresh = audio, by, fresh
        self._words = None if words is None else check_words(words)
        self._lock = threading.RLock()
        self._sound: Sound | None = None
        self.player: Player | None = None
        self.cards: Cards | None = None
        self.review: Review | None = None
        self.controls: Controls | None = None
        self._begin()
        self._guard = parts.Guard({}, lambda act: act(), "Studio", self._trace)
        self._fold = ipywidgets.ToggleButton(value=True, description="Recording and settings", icon="caret-down")
        self._fold.add_class("diarnb-fold")
        self._fold.observe(lambda _: self._unfold(), "value")
        self._form, self._place = ipywidgets.VBox(), ipywidgets.VBox()
        self._pane = ipywidgets.ToggleButtons(options=["Speakers", "Review"], style={"button_width": "8em"})
        self._pane.observe(lambda _: self._turn_over(), "value")
        if isinstance(source_or_turns, pd.DataFrame | Corrections):
            self._open(source_or_turns)
        else:
            self.controls = Controls(source_or_turns, engine)
            self.controls.watch(self._open)
            self._form.children = [self.controls]
        self.children: list[ipywidgets.Widget] = [
            *([] if self.controls is None else [self._fold, self._form]),
            self._place,
            self._guard,
        ]

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
            self.cards = Cards(corrections, sound, player=self.player)
            self.review = review = Review(corrections, sound, player=self.player)
            self.player.follows = review.look_at
            self.player.judges = {
                "y": lambda: review.attempt(review.right),
                "w": lambda: review.attempt(review.wrong),
                "d": lambda: review.attempt(review.skip),
                "h": lambda: review.attempt(review.hear),
            }
            side = ipywidgets.VBox([self._pane, self.cards, self.review])
            main = ipywidgets.VBox([self.player])
            main.add_class("diarnb-main")
            side.add_class("diarnb-side")
            both = ipywidgets.HBox([main, side])
            both.add_class("diarnb-both")
            self._turn_over()
            before, self._place.children = self._place.children, [both]
            for part in before:
                parts.close_all(part)
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
        for part in (self.player, self.cards, self.review):
            if part is not None:
                part.close()
        if self._sound is not None:
            self._leave()
            self._sound.close()

    def _unfold(self) -> None:
        self._fold.icon = "caret-down" if self._fold.value else "caret-right"
        parts.visible_if(self._form, self._fold.value)
        shown = self._fold.value or self.controls is None or self.controls.turns is None
        self._fold.description = "Recording and settings" if shown else f"Recording and settings: {self._summary()}"

    def _summary(self) -> str:
        facts = self.turns.attrs.get("diarnb") or {}
        name = parts.plain(facts.get("source", "the recording"))
        return f"{name} · {parts.plain(facts.get('engine', ''))} · {self.turns['speaker'].nunique()} speakers"

    def _turn_over(self) -> None:
        """Show the one side pane or the other."""
        if self.cards is not None and self.review is not None:
            parts.visible_if(self.cards, self._pane.value == "Speakers")
            parts.visible_if(self.review, self._pane.value == "Review")

    def _show(self) -> None:
        """Leave it to the parts, which follow by themselves."""

    def __repr__(self) -> str:
        return super().__repr__() if self.player is not None else "<Studio without a table yet>"

    def _still(self) -> dict[str, str]:
        if self.player is None:
            return {"text/plain": repr(self), "text/html": frame_still("", self._trace)}
        return super()._still()
