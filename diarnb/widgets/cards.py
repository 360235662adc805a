"""Speaker cards: each voice with a few clips, how much it says, and a box for its name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets

from diarnb._text import visible
from diarnb.corrections.propagation import sureness
from diarnb.corrections.queue import clips
from diarnb.tables.turns import speakers
from diarnb.widgets import parts
from diarnb.widgets.panel import Panel
from diarnb.widgets.reruns import replace_earlier

if TYPE_CHECKING:
    import pandas as pd

    from diarnb._types import Options, Source
    from diarnb.corrections import Corrections
    from diarnb.widgets.sound import Sound

_LONGEST_NAME = 200  # characters
_CLIPS, _MANY = 3, 12  # clips a voice; of more voices than that, one has to do: every button weighs 6 kB when saved


def cards(
    turns: pd.DataFrame | Corrections, audio: Source | Sound | None = None, *, by: str = "person", fresh: bool = False
) -> Cards:
    """Listen to a few clips of each speaker of these rows, and enter their names.

    If two voices get the same name, the panel asks whether they are the same person and should be merged.

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
    Cards
        ``.turns`` is the table with the names, ``.edits`` the log. Running the cell again closes the earlier panel.

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
    >>> panel = cards(diarize(example("interview"), progress=False))
    >>> panel.rename("SPEAKER_00", "Beth")
    >>> panel.turns["speaker"][0]
    'Beth'
    >>> panel.close()
    """
    made = Cards(turns, audio, by, fresh=fresh)
    replace_earlier(made, Cards)
    return made


class Cards(Panel):
    """What `cards` gives; all it does can be done from Python as well."""

    def __init__(
        self, turns: pd.DataFrame | Corrections, audio: Source | Sound | None, by: str = "person", **more: Any
    ) -> None:
        super().__init__(turns, audio, by, **more)
        self._cards: dict[str, _Card] = {}
        self._kept: set[str] = set()  # names that several voices are to have
        self._stack, self._asking, self._nobody = (
            parts.column(),
            parts.column(),
            parts.make(ipywidgets.HTML),
        )
        self.children: list[ipywidgets.Widget] = [
            self._told,
            self._nobody,
            self._stack,
            self._asking,
            parts.row(*self._history, self._said, *self._guard("Cards of speakers")),
        ]
        self._show()

    @property
    def same_names(self) -> dict[str, list[str]]:
        """The labels of voices that have one name, by this name; those of which `keep` was said left out."""
        found: dict[str, list[str]] = {}
        for label, name in self.corrections.labels.items():
            found.setdefault(name, []).append(label)
        return {name: labels for name, labels in found.items() if len(labels) > 1 and name not in self._kept}

    def rename(self, label: str, name: str) -> None:
        """Name a voice, as its box does."""
        self.corrections.rename(label, name.strip()[:_LONGEST_NAME] if isinstance(name, str) else name)

    def merge(self, name: str) -> None:
        """Make the voices of one name one."""
        first, *others = self.same_names[name]
        self.corrections.merge(others, into=first)

    def keep(self, name: str) -> None:
        """Leave voices of one name apart, and ask no more."""
        self._kept.add(name)
        self._show()

    def _show(self) -> None:
        super()._show()
        labels, table, voices = self.corrections.labels, self.turns, self.corrections.voices
        table = table.assign(speaker=voices)
        said = speakers(table).set_index("speaker")
        new = [label for label in labels if label not in self._cards]
        if new:
            chosen = clips(table, sureness(self.corrections), _CLIPS if len(labels) <= _MANY else 1)
            for label in new:
                spans = chosen.loc[chosen["speaker"] == label, ["start", "end"]].itertuples(index=False)
                buttons = [self._clip_button(*span) for span in spans]
                self._cards[label] = _Card(self, label, labels[label], said.loc[[label]].iloc[0], buttons)
        for label in self._cards.keys() - labels.keys():
            parts.close_all(self._cards.pop(label).box)
        for label, name in labels.items():
            self._cards[label].show(name, said.loc[[label]].iloc[0])
        self._stack.children = [self._cards[label].box for label in said.index]
        self._nobody.value = "" if labels else parts.note("This table has no turns: nobody speaks.")
        parts.visible_if(self._nobody, not labels)
        self._ask()

    def _ask(self) -> None:
        """Ask of every name that several voices have whether they are one."""
        before, self._asking.children = (
            self._asking.children,
            [
                parts.row(
                    parts.make(
                        ipywidgets.HTML,
                        parts.note(
                            f"{len(labels)} voices are called {visible(name)}: {', '.join(map(visible, labels))}."
                        ),
                    ),
                    self._button("Merge them", partial(self.merge, name), "They are one person"),
                    self._button("Keep them apart", partial(self.keep, name), "They only have one name"),
                )
                for name, labels in self.same_names.items()
            ],
        )
        for row in before:
            parts.close_all(row)


class _Card:
    """One voice."""

    def __init__(self, panel: Cards, label: str, name: str, said: pd.Series, buttons: list[ipywidgets.Widget]) -> None:
        self._panel, self._label, self._showing = panel, label, False
        self._told = parts.make(ipywidgets.HTML, self._tell(said))
        self._name = parts.make(
            ipywidgets.Text,
            value=name,
            description="Name",
            continuous_update=False,
            layout={"width": "18em"},
            style={"description_width": "initial"},
        )
        self._name.observe(self._handle_name, "value")
        self.box = parts.row(self._told, self._name, *buttons, classes=("diarnb-card",))

    def show(self, name: str, said: pd.Series) -> None:
        self._showing = True
        self._name.value = name
        self._showing = False
        self._told.value = self._tell(said)

    def _tell(self, said: pd.Series) -> str:
        """Write who it is and how much they say."""
        doubtful = "; perhaps nobody" if said["doubtful"] else ""
        count = f"{said['turns']} turn{'s' if said['turns'] > 1 else ''}"
        share = f"{100 * said['share_of_speech']:.0f} % of the talk, {count}{doubtful}"
        voice = self._panel.swatch(self._label, visible(self._label, limit=40))
        return f'{voice} <span class="diarnb-note">{parts.note(share)}</span>'

    def _handle_name(self, change: Options) -> None:
        if not self._showing:
            self._panel.attempt(lambda: self._rename(change["new"]))

    def _rename(self, name: str) -> None:
        if name.strip():
            self._panel.rename(self._label, name)
        else:
            self._panel._show()  # noqa: SLF001 - the box shows the name that it had
