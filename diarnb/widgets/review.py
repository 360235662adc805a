"""The review: turns ordered by what a second of listening is worth, a verdict on each, and how much is left."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets
import pandas as pd

from diarnb._text import clock, visible
from diarnb.corrections.propagation import accept, propose, sureness
from diarnb.corrections.queue import CLIP, Left, estimate_left, queue
from diarnb.errors import InvalidParameterError
from diarnb.widgets import parts
from diarnb.widgets.panel import Panel
from diarnb.widgets.reruns import replace_earlier
from diarnb.widgets.sound import ClipButton

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Source
    from diarnb.corrections import Corrections
    from diarnb.widgets.sound import Sound

_VOICES = 9  # that have a key
_BEFORE = 1.0  # seconds that are heard before a turn, where a player shows what they are
_ROWS = 12  # of a proposal that are shown
_HELP = (
    "Keys, once you have clicked here: `p` play, `y` right, `n` wrong, `1`-`9` who, `0` somebody new, `s` skip, "
    "`u` undo"
)
_HELP_BESIDE = (
    "Keys in the player: `y` right, `w` wrong, `d` next doubtful turn, `h` hear it. Once you have clicked here: "
    "`y` right, `n` wrong, `1`-`9` who, `0` somebody new, `s` skip, `p` play, `u` undo"
)


def review(
    turns: pd.DataFrame | Corrections, audio: Source | Sound | None = None, *, by: str = "person", fresh: bool = False
) -> Review:
    """Listen to the rows that are most worth checking, and say whether each speaker is right.

    Turns are sorted by doubt per second of listening (`diarnb.corrections.queue.queue`). The remaining errors are
    estimated from the doubt in the turns without a verdict, and from how often the doubt was justified so far
    (`diarnb.corrections.queue.estimate_left`). After a few verdicts, the engine may propose changes to other turns
    (`diarnb.corrections.propagation`); they are applied only if you accept them.

    Parameters
    ----------
    turns : pandas.DataFrame or Corrections
        Any table with start, end and speaker, of one recording; or the ``corrections`` of another panel, to share its
        log. The table itself is not changed. Its earlier corrections, of today or last week, are applied.
    audio : anything that `diarize` takes, optional
        The recording, if it cannot be found through the run of the table.
    by : str, default "person"
        Who makes the corrections; the log records it.
    fresh : bool, default False
        Start without the earlier corrections of this table. They stay on disk, and can be applied later.

    Returns
    -------
    Review
        ``.turns`` is the corrected table, ``.edits`` the log. Running the cell again closes the earlier panel.

    Raises
    ------
    AudioNotFoundError
        The table does not know its recording, or the file has moved: pass it as ``audio=``.
    AudioChangedError
        The file there is a different recording.
    AudioError
        One of its kinds, when `audio` cannot be used.
    TurnTableError
        If this is not a table of turns.

    Examples
    --------
    >>> panel = review(diarize(example("interview"), progress=False))
    >>> first = panel.turn
    >>> panel.right()
    >>> panel.turn == first
    False
    >>> panel.close()
    """
    made = Review(turns, audio, by, fresh=fresh)
    replace_earlier(made, Review)
    return made


class Review(Panel):
    """What `review` gives; all it does can be done from Python as well.

    Attributes
    ----------
    turn : int or None
        The id of the turn that waits for a verdict; None when all have one.
    proposal : pandas.DataFrame or None
        What the engine would change, while that is shown.
    """

    def __init__(
        self, turns: pd.DataFrame | Corrections, audio: Source | Sound | None, by: str = "person", **more: Any
    ) -> None:
        super().__init__(turns, audio, by, **more)
        self.turn: int | None = None
        self.proposal: pd.DataFrame | None = None
        self._sure = sureness(self.corrections)
        self._first = self.turns.assign(label=self.corrections.voices, sure=self._sure)  # before any verdict
        self._skipped: set[int] = set()
        self._asked: int | None = None  # which somebody wants to judge before any other
        self._clip: ClipButton | None = None
        self._shown, self._left = parts.make(ipywidgets.HTML), parts.make(ipywidgets.HTML)
        self._playing, self._who, self._proposed = (parts.row() for _ in range(3))
        self.children: list[ipywidgets.Widget] = [
            self._told,
            self._shown,
            self._playing,
            parts.row(
                self._button("Right", self.right, "The speaker is right (y)"),
                self._button("Wrong", self.wrong, "The speaker is wrong (n)"),
                self._button("Skip", self.skip, "Later, perhaps (s)"),
                *self._history,
            ),
            self._who,
            self._left,
            parts.row(self._button("Propagate", self.propose, "Which other turns would change?"), self._said),
            self._proposed,
            parts.row(
                parts.help_line(_HELP if self._player is None else _HELP_BESIDE), *self._guard("Review of turns")
            ),
        ]
        self._choose()

    @property
    def left(self) -> Left:
        """What is left to review, estimated as `diarnb.corrections.queue.estimate_left` says."""
        voices, corrections = self.corrections.voices, self.corrections
        rejected = {turn for turn, labels in corrections.rejected.items() if voices[turn] in labels}
        judged = (corrections.confirmed | rejected) & set(self._first.index)
        right = {turn: turn not in rejected and voices[turn] == self._first.loc[turn, "label"] for turn in judged}
        wrong = float(self.turns.loc[list(rejected), "duration"].sum())
        return estimate_left(self._first, self._first["sure"], right, wrong)

    def bind_keys(self) -> dict[str, Callable[[], object]]:
        """Return what keys do while the panel has the focus."""
        keys: dict[str, Callable[[], object]] = {
            "p": self._play,
            "y": self.right,
            "n": self.wrong,
            "s": self.skip,
            "u": self.undo,
        }
        return keys | {str(number): self._said_by(number) for number in range(_VOICES + 1)}

    def right(self) -> None:
        """Confirm the speaker of this turn."""
        self.corrections.confirm(self._now())
        self._play()

    def wrong(self) -> None:
        """Reject the speaker of this turn, without naming another."""
        self.corrections.reject(self._now())
        self._play()

    def who(self, label: str | None) -> None:
        """Reassign this turn: to a label or a name; None for a new voice."""
        turn = self._now()
        if label is not None and self.corrections.label(label) == self.corrections.voices[turn]:
            self.right()
            return
        self.corrections.reassign(turn, label)
        self._play()

    def skip(self) -> None:
        """Leave this turn for the end."""
        self._skipped.add(self._now())
        self._asked = None
        self._choose()
        self._play()

    def hear(self) -> None:
        """Play this turn again; beside a player from a second before."""
        self._now()
        self._play()

    def look_at(self, turn: int) -> None:
        """Ask for a verdict on this turn, by its id, before any other."""
        if turn not in self.turns.index:
            raise InvalidParameterError(f"there is no turn {turn!r:.40}; ids are the index of `turns`")
        if turn != self.turn:
            self.turn = self._asked = turn
            self._show_turn()

    def propose(self) -> pd.DataFrame:
        """Show which other turns would change, given the verdicts; nothing is changed yet."""
        self.proposal = propose(self.corrections)
        self._show_proposal()
        return self.proposal

    def accept(self) -> None:
        """Accept what is proposed."""
        if self.proposal is not None:
            accept(self.corrections, self.proposal)

    def dismiss(self) -> None:
        """Leave the proposal."""
        self.proposal = None
        self._show_proposal()

    # What it shows.

    def _show(self) -> None:
        last = self.edits["what"].iloc[-1] if len(self.edits) else ""
        if last != "confirm":  # else voices have changed, and what the others sound like is weighed anew
            self._sure = sureness(self.corrections)
        self._choose()

    def _choose(self) -> None:
        super()._show()
        self.proposal = None
        judged = self.corrections.confirmed | self.corrections.rejected.keys()
        waiting = self.turns.drop(index=[turn for turn in judged if turn in self.turns.index])
        order = queue(waiting, self._sure).index
        later = [int(turn) for turn in order if turn in self._skipped]
        first = [self._asked] if self._asked in order else []
        self.turn = next(iter([*first, *(int(turn) for turn in order if turn not in self._skipped), *later]), None)
        self._show_turn()

    def _show_turn(self) -> None:
        table, state = self.turns, self.left
        if self.turn is None:
            self._shown.value = parts.note(
                "Every turn has a verdict." if len(table) else "This table has no turns: nobody speaks."
            )
            self._playing.children = []
        else:
            start, end = (float(table["start"][self.turn]), float(table["end"][self.turn]))
            sure = self._sure[self.turn]
            known = "" if pd.isna(sure) else f", {sure:.0f} % sure"
            asked = (
                f"{visible(table['speaker'][self.turn])}? {clock(start, decimals=1)} - {clock(end, decimals=1)}{known}"
            )
            self._shown.value = self.swatch(self.corrections.voices[self.turn], asked)
            stretch = start, min(end, start + CLIP)
            if self._player is not None:
                self._playing.children = [self._button("Hear it", self.hear, "From a second before, on the lanes (h)")]
            elif self._clip is None:
                self._clip = ClipButton(self._sound, *stretch)
            else:
                self._clip.change(*stretch)
            if self._clip is not None:
                self._playing.children = [self._clip]
        for part in (self._who, self._left):
            parts.visible_if(part, len(table) > 0)
        told = f"{state.turns} turn{'s' if state.turns != 1 else ''} without a verdict."
        if self._first["sure"].notna().any():  # else nobody has said anything that an estimate could stand on
            total = clock(float(table["duration"].sum()), decimals=1)
            told = f"About {100 * state.share:.1f} % of {total} of speech is still somebody else's; {told}"
        self._left.value = parts.note(told)
        self._show_voices()
        self._show_proposal()

    def _show_voices(self) -> None:
        before = self._who.children
        named = enumerate(self.corrections.labels.items(), 1)
        buttons = [
            self._button(
                f"{number} {visible(name)}" if number <= _VOICES else visible(name),
                partial(self.who, label),
                "This one speaks",
            )
            for number, (label, name) in named
        ]
        new = self._button("0 somebody new", partial(self.who, None), "A new speaker")
        self._who.children = [*buttons, new]
        for button in before:
            parts.close_all(button)

    def _show_proposal(self) -> None:
        before, self._proposed.children = self._proposed.children, ()
        parts.visible_if(self._proposed, self.proposal is not None)
        for child in before:
            parts.close_all(child)
        if self.proposal is None:
            return
        if self.proposal.empty:
            self._proposed.children = [parts.make(ipywidgets.HTML, parts.note("No other turn would change."))]
            return
        shown = self.proposal.head(_ROWS)
        columns = ("start", "duration", "speaker", "becomes", "probability")
        rows = "".join(
            f"<tr><td>{clock(start, decimals=1)}</td><td>{duration:.1f} s</td><td>{_safe(speaker)}</td>"
            f"<td>{_safe(becomes)}</td><td>{probability:.0f} %</td></tr>"
            for start, duration, speaker, becomes, probability in zip(*(shown[name] for name in columns), strict=True)
        )
        seconds = self.proposal["duration"].sum()
        head = "<tr><th>start</th><th>length</th><th>is</th><th>becomes</th><th>probability</th></tr>"
        told = parts.note(f"{len(self.proposal)} turns, {seconds:.0f} s, would change; the longest of them:")
        self._proposed.children = [
            parts.make(ipywidgets.HTML, f"{told}<table>{head}{rows}</table>"),
            self._button("Accept", self.accept, "Change all of them; one Undo reverts this"),
            self._button("Leave them", self.dismiss),
        ]

    # What is asked of it.

    def _now(self) -> int:
        if self.turn is None:
            raise InvalidParameterError("every turn has a verdict; undo() reverts the last one")
        return self.turn

    def _play(self) -> None:
        if self.turn is None:
            return
        if self._player is not None:  # which shows the turn among its neighbours
            self._player.select(self.turn)
            start, end = (float(self.turns[name][self.turn]) for name in ("start", "end"))
            self._player.play(max(0.0, start - _BEFORE), min(end, start + CLIP))
        elif self._clip is not None:
            self._clip.play()

    def _said_by(self, number: int) -> Callable[[], None]:
        def say() -> None:
            labels = [None, *self.corrections.labels]
            if number < len(labels):
                self.who(labels[number])

        return say


def _safe(text: str) -> str:
    return f"<bdi>{html.escape(visible(text))}</bdi>"
