"""A table of turns to read and to hear: clock times, colours, bars of confidence; a click on a heading sorts it."""

from __future__ import annotations

import html
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from diarnb._text import clock, visible
from diarnb.errors import DiarnbError, InvalidParameterError
from diarnb.tables.activity import list_speakers
from diarnb.tables.checks import as_table, check_turns
from diarnb.tables.colors import speaker_fills
from diarnb.widgets.frontend import load_script
from diarnb.widgets.parts import close_all
from diarnb.widgets.reruns import replace_earlier
from diarnb.widgets.sound import ClipButton, Sound, WrongMessageError, integer, log
from diarnb.widgets.still import frame_still

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diarnb._types import Source

_TIMES = ("start", "end", "duration")
_LONGEST_CELL = 2000  # characters


def show(turns: pd.DataFrame, audio: Source | Sound | None = None, *, most: int = 5000) -> Listing:
    """Show a table of turns to read and listen to.

    Times are shown as clock times, rounded to the millisecond; the table itself keeps all digits. Each speaker has the
    colour of the timeline, and each confidence has a bar. Click a heading to sort. In a running notebook every row has
    a button that plays it, if the recording is found. A saved notebook keeps the table, without audio.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table of turns. The rows keep its order and index.
    audio : anything that `diarize` takes, optional
        The recording, if it cannot be found through the run of the table.
    most : int, default 5000
        How many rows are shown; a line below says how many are left out.

    Returns
    -------
    Listing
        A notebook displays it. ``.html`` is the markup, about 90 bytes per row plus its text, which loads nothing from
        elsewhere.

    Raises
    ------
    TurnTableError
        It is not a table of turns.
    InvalidParameterError
        `most` is not a whole number above 0.
    AudioError
        The given recording cannot be used.

    Examples
    --------
    >>> turns = read(example("call").with_suffix(".rttm"))
    >>> shown = turns.diar.show(most=2)
    >>> f"2 of {len(turns)} turns" in shown.html
    True
    """
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InvalidParameterError(f"most={most!r} is no whole number above 0")
    return Listing(turns, audio, most)


class Listing:
    """What `show` gives."""

    def __init__(self, turns: pd.DataFrame, audio: Source | Sound | None, most: int) -> None:
        turns = as_table(turns, name="turns")
        checked = check_turns(turns)  # may raise; what is shown are the rows as they stand
        self._fills = speaker_fills(list_speakers(checked))
        self._all, self._audio = turns, audio
        self._shown = turns.head(most)
        self._trace = f"diarnb-{secrets.token_hex(4)}"
        self._hours = bool(len(turns)) and float(turns["end"].max()) >= 3600
        if audio is not None:
            self._audio = Sound.of(turns, audio)

    @property
    def html(self) -> str:
        """The table as markup, with its style and the script that sorts it."""
        folder = Path(__file__).parent
        style = (folder / "listing.css").read_text(encoding="utf-8")
        script = (folder / "listing.js").read_text(encoding="utf-8")
        colors = "".join(
            f".{self._trace} .s{place}{{--fill:{fill}}}\n" for place, fill in enumerate(self._fills.values())
        )
        return (
            f'<div class="diarnb-rows {self._trace}">\n<style>\n{style}{colors}</style>\n'
            f"{self._table()}<script>{script}</script></div>"
        )

    def _table(self) -> str:
        first = [*_TIMES, "speaker"]
        columns = [*first, *(name for name in self._shown.columns if name not in first)]
        heads = "".join(f"<th scope=col{' class=n' if name in _TIMES else ''}>{_escape(name)}</th>" for name in columns)
        places = {name: place for place, name in enumerate(self._fills)}
        cells = [self._cells(name) for name in columns]
        index = (_escape(label) for label in self._shown.index)
        speakers = self._shown["speaker"].astype(str)
        rows = "\n".join(  # closing tags may be left out, and are a fifth of a page
            f"<tr class=s{places[speaker]}><th>{label}{''.join(row)}"
            for label, speaker, *row in zip(index, speakers, *cells, strict=True)
        )
        count = f"{len(self._shown)} of {len(self._all)}" if len(self._shown) < len(self._all) else len(self._all)
        return (
            f"<div><table><thead><tr><th></th>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n"
            f"<p>{count} turn{'' if len(self._all) == 1 else 's'}</p>\n"
        )

    def _cells(self, name: str) -> Iterator[str]:
        """Write the cells of a column."""
        table = self._shown
        values = (table["end"] - table["start"]).astype(float) if name == "duration" else table[name]
        write: Callable[[Any], str]
        if name in ("start", "end"):
            write = self._clock
        elif name == "confidence":
            write = _write_confidence
        elif name == "speaker":
            write = _write_speaker
        elif pd.api.types.is_float_dtype(values):
            write = _write_number
        else:
            write = _write_text
        return map(write, values)

    def _clock(self, time: float) -> str:
        return f"<td>{clock(float(time), decimals=3, hours=self._hours)}"

    def __repr__(self) -> str:
        rounded = self._shown.round(dict.fromkeys(_TIMES, 3))
        return f"{rounded.to_string(max_rows=60)}\n[{len(self._all)} turns]"

    def _repr_html_(self) -> str:
        return self.html

    def _ipython_display_(self, **_: object) -> None:
        from IPython.display import display

        try:
            sound = Sound.of(self._all, self._audio)
        except DiarnbError:  # there is nothing to hear, and much to read
            sound = None
        if sound is not None and len(self._shown):
            playing = _Playing(sound, self._shown, self._trace)
            replace_earlier(playing, _Playing)
            display(playing)  # type: ignore[no-untyped-call]
        markup = frame_still(self.html, f"{self._trace}-still")
        display({"text/html": markup, "text/plain": repr(self)}, raw=True)  # type: ignore[no-untyped-call]


class _Playing(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Gives the rows of a table on the page their buttons, and plays what is pressed."""

    def __init__(self, sound: Sound, turns: pd.DataFrame, trace: str) -> None:
        spans = turns[["start", "end"]].to_numpy(dtype=float)
        self._sound, self._spans = sound, [(start, end) for start, end in spans.tolist()]
        first = next(((start, end) for start, end in self._spans if start < end), (0.0, 1.0))
        self._button = ClipButton(sound, *first)
        self._rows = _Rows(table=trace)
        self._rows.on_msg(self._play)
        super().__init__([self._button, self._rows])

    def _play(self, _widget: object, message: object, _buffers: object) -> None:
        try:
            row = integer(message if isinstance(message, dict) else {}, "row", 0, len(self._spans) - 1)
        except WrongMessageError as error:
            log.warning("Ignored a message from the page of a table: %s", visible(error, limit=120))
            return
        start, end = self._spans[row]
        if start < end:
            self._button.change(start, end)
            self._button.play()

    def close(self) -> None:
        """Take it off the page, and let go of the recording."""
        self._sound.close()
        close_all(self)


class _Rows(anywidget.AnyWidget):
    """Puts a button into each row of a table, and tells which is pressed."""

    _esm = load_script("rows.js")
    table: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)


def _escape(value: object, limit: int = 60) -> str:
    return html.escape(visible(value, limit=limit))


def _write_speaker(name: object) -> str:
    shown = _escape(name, limit=32)
    title = f' title="{_escape(name, limit=400)}"' if len(str(name)) > 32 else ""
    return f"<td{title}>{shown}"


def _write_confidence(value: object) -> str:
    known = pd.to_numeric(value, errors="coerce")  # type: ignore[call-overload]
    return "<td>" if pd.isna(known) else f"<td style=--c:{min(max(known, 0.0), 100.0):.0f}>{known:.0f}"


def _write_number(value: float) -> str:
    return "<td>" if pd.isna(value) else f"<td>{value:.3f}"


def _write_text(value: object) -> str:
    missing = value is None or value is pd.NA or value != value
    return f"<td>{'' if missing else _escape(value, limit=_LONGEST_CELL)}"
