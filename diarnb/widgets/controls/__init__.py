"""The panel: choose a recording and what is asked about it, run, and see who spoke when, with the line that does it."""

from __future__ import annotations

import html
import logging
import secrets
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets

from diarnb import engines
from diarnb._pipeline import answer_partly, find_reach
from diarnb._progress import Report
from diarnb._text import clock, spell_duration
from diarnb.api import diarize, recluster
from diarnb.audio import open_recording
from diarnb.engines.base import Engine
from diarnb.engines.cloud.links import is_link
from diarnb.engines.question import Question
from diarnb.errors import DiarnbError, InvalidParameterError
from diarnb.params import Params
from diarnb.results.runs import table_of
from diarnb.widgets import parts
from diarnb.widgets.background import Worker, quietly
from diarnb.widgets.controls import choices, form
from diarnb.widgets.controls.picker import Picker
from diarnb.widgets.reruns import replace_earlier
from diarnb.widgets.still import frame_still, still

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from diarnb._progress import Progress
    from diarnb._types import Json, Options, Source
    from diarnb.engines.base import OwnEngine

log: logging.Logger = logging.getLogger("diarnb")

_PAUSE = 0.15  # seconds that a slider rests before it is decided again
# Where styles are taken away, as on GitHub, the line of Python shows.
_STYLE = """<style>
.diarnb-result .diarnb-line { display: none; }
</style>"""


def controls(source: Source | None = None, *, engine: str | OwnEngine = "local") -> Controls:
    """Choose settings, run, and see the result, in a panel.

    Parameters
    ----------
    source : anything that `diarize` takes, optional
        Default: an example.
    engine : str or Engine, default "local"
        The engine with which the panel starts.

    Returns
    -------
    Controls
        ``.turns`` is the table of the last run, ``.code`` the line of Python that returns it, ``.params`` its
        arguments. ``.run()`` runs it from code. Keys are taken from the environment and never typed here. The result is
        ordinary output, and stays readable where no code can run. Running the cell again closes the earlier panel.

    Raises
    ------
    InvalidParameterError
        There is no such engine.

    Examples
    --------
    >>> panel = controls(example("interview"))
    >>> panel.code
    'turns = diarnb.diarize(diarnb.example("interview"))'
    >>> panel.run()["speaker"].nunique()
    2
    >>> panel.close()
    """
    made = Controls(source, engine)
    replace_earlier(made)
    return made


@dataclass(frozen=True)
class _Settings:
    """What is set in the panel at one moment."""

    source: choices.Source
    arguments: Json
    partly: bool = False  # whether the run was stopped, and the table is of what was heard until then

    def heard_alike(self, other: _Settings) -> bool:
        """Whether another differs in nothing but what can be decided again."""
        mine, theirs = ({**asked.arguments, **dict.fromkeys(choices.AGAIN)} for asked in (self, other))
        return self.source is other.source and mine == theirs


class Controls(ipywidgets.VBox):  # type: ignore[misc]
    """What `controls` gives."""

    def __init__(self, source: Source | None = None, engine: str | OwnEngine = "local") -> None:
        self._engine = engines.get(engine)
        self._given = engine
        self._lock = threading.RLock()  # a front end may call back in another thread while a cell runs
        self._worker = Worker()
        self._stop: threading.Event | None = None  # of the run that goes on
        self._closed = False
        self._failed = False  # whether the last run did, so that what is shown is of the one before
        self._result: tuple[pd.DataFrame, _Settings] | None = None
        self._duration: float | None = None
        self._trace = f"diarnb-{secrets.token_hex(8)}"  # the output that holds the result
        self._displayed = False
        self._watchers: list[Callable[[pd.DataFrame], object]] = []
        self._build(source)
        super().__init__([*self._parts()], _dom_classes=("diarnb-panel",))
        self._look()
        self._update()

    def _build(self, source: Source | None) -> None:
        names: list[tuple[str, Any]] = [(name, name) for name in engines.names()]
        if not isinstance(self._given, str):
            names.append(("as passed", self._given))
        self._picker = Picker(source, self._handle_pick)
        self._engines = parts.make(
            ipywidgets.Dropdown, options=names, value=self._given, description="Engine", **parts.wide("19em")
        )
        self._engines.observe(self._engine_chosen, "value")
        self._cost = parts.help_line()
        self._form = form.EngineForm(self._engine.name, self._engine.offer, self._update)
        self._place = parts.column(self._form.box)
        self._code = parts.CodeLine()
        self._run = parts.make(ipywidgets.Button, description="Run", button_style="primary", icon="play")
        self._halt = parts.make(ipywidgets.Button, description="Stop", icon="stop", disabled=True)
        self._run.on_click(lambda _: self._start())
        self._halt.on_click(lambda _: self.stop())
        self._partly = parts.make(ipywidgets.Button, icon="table", layout={"width": "auto"}, classes=(parts.HIDDEN,))
        self._partly.on_click(lambda _: self._start(self._hear_partly, partly=True))
        self._heard: _Settings | None = None  # of the run that was stopped and has left something
        self._bar = parts.make(ipywidgets.FloatProgress, max=1.0, layout={"width": "12em"}, classes=(parts.HIDDEN,))
        self._said = parts.help_line()

    def _parts(self) -> Iterator[ipywidgets.Widget]:
        yield self._picker.box
        yield parts.row(self._engines, self._cost)
        yield self._place
        yield self._code
        yield parts.row(self._run, self._halt, self._partly, self._bar, self._said)
        yield parts.Guard({}, lambda act: act(), "Choose and run")

    # What Python reads and does.

    @property
    def source(self) -> Source | None:
        """What `diarize` would be given; None where nothing is chosen yet."""
        return self._picker.source.value

    @property
    def params(self) -> Json:
        """The arguments: ``diarize(panel.source, **panel.params)`` does what the panel does.

        Raises
        ------
        InvalidParameterError
            Something was typed that an argument does not take.
        """
        named = {} if self._given == "local" else {"engine": self._given}
        return {**named, **self._form.arguments}

    @property
    def code(self) -> str:
        """The same as a line of Python."""
        return str(self._code.code)

    @property
    def turns(self) -> pd.DataFrame | None:
        """The table that is shown; None before the first run."""
        return None if self._result is None else self._result[0]

    def run(self) -> pd.DataFrame:
        """Run, wait, and show; needs no page.

        Returns
        -------
        pandas.DataFrame
            As `turns`.

        Raises
        ------
        DiarnbError
            What `diarize` raises.
        """
        self._worker.stop()
        self._worker.wait()
        return self._listen(threading.Event(), diarize)

    def watch(self, watcher: Callable[[pd.DataFrame], object]) -> None:
        """Call a function with the table of every run that ends well."""
        self._watchers.append(watcher)

    def stop(self) -> None:
        """Stop the run that goes on; nothing where there is none."""
        self._worker.stop()
        with self._lock:
            if self._stop is not None:
                self._stop.set()
                self._halt.disabled = True
                self._say("stopping")

    def close(self) -> None:
        """Take the panel off the page and stop what it does; the result stays."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._worker.stop()
        parts.close_all(self)

    # What happens in it.

    def _handle_pick(self) -> None:
        self._look()
        self._update()

    def _look(self) -> None:
        """See how long the chosen recording is, where that needs no network."""
        try:
            self._duration, channels = choices.look_at(self._picker.source)
        except DiarnbError as error:
            self._duration, channels = None, 1
            told, problem = str(error), True
        else:
            several = f" · {channels} channels" if channels > 1 else ""
            told, problem = "" if self._duration is None else spell_duration(self._duration) + several, False
        self._picker.facts.value = parts.note(told, problem=problem)
        self._form.offer_channels(channels)

    def _engine_chosen(self, change: Options) -> None:
        try:
            engine = engines.get(change["new"])
        except DiarnbError as error:  # one of another package that cannot be loaded
            self._engines.value = self._given
            self._say(str(error), problem=True)
            return
        with self._lock:
            self._given, self._engine = change["new"], engine
            before, self._form = self._form, form.EngineForm(self._engine.name, self._engine.offer, self._update)
            self._place.children = [self._form.box]
            parts.close_all(before.box)
        self._look()
        self._update()

    def _update(self) -> None:
        """Follow what was set: the line, the cost, what contradicts itself; and decide again where that is enough."""
        if self._closed:
            return
        with self._lock:
            self._cost.value = parts.note(self._told_cost())
            try:
                asked = _Settings(self._picker.source, self.params)
                self._code.code = choices.write_line(asked.source, asked.arguments)
                self._settle(asked)
                parts.visible_if(self._partly, self._heard is not None and asked.heard_alike(self._heard))
            except InvalidParameterError as error:
                self._say(str(error), problem=True)
                self._run.disabled = True
                return
            except DiarnbError as error:
                self._say(str(error), problem=True)
            else:
                self._say("" if self._result is None else self._summary(asked))
            self._run.disabled = self._stop is not None
            if self._stop is None and self._can_decide_again(asked):
                self._worker.submit(self._decide_again, delay=_PAUSE)

    def _settle(self, asked: _Settings) -> Question:
        """Make a question of what is set, or refuse what contradicts itself; nothing is read or sent."""
        if asked.source.problem:
            raise InvalidParameterError(asked.source.problem)
        common = {name: value for name, value in asked.arguments.items() if name in Params.help()}
        own = {
            name: value
            for name, value in asked.arguments.items()
            if name not in common and name not in ("engine", "words")
        }
        return Question.settle(self._engine, Params(**common), own)

    def _told_cost(self) -> str:
        price = None if self._form.price is None else self._form.price.value or None
        try:
            return choices.describe_cost(self._picker.source, self._engine, price, self._duration)
        except DiarnbError:
            return ""

    def _can_decide_again(self, asked: _Settings) -> bool:
        if self._result is None or not self._engine.can(Engine.decide) or not isinstance(self._given, str):
            return False
        shown = self._result[1]
        return not shown.partly and asked.arguments != shown.arguments and asked.heard_alike(shown)

    def _start(self, call: Callable[..., pd.DataFrame] | None = None, *, partly: bool = False) -> None:
        with self._lock:
            if self._closed or self._stop is not None or self._run.disabled:
                return
            self._run.disabled = True
        chosen = call or partial(quietly, diarize)
        self._worker.submit(lambda stop: self._run_safely(lambda: self._listen(stop, chosen, partly=partly)))

    def _decide_again(self, stop: threading.Event) -> None:
        self._run_safely(lambda: self._again(stop))

    def _again(self, stop: threading.Event) -> None:
        assert self._result is not None  # noqa: S101 - submitted only where there is one
        turns, before = self._result
        asked = _Settings(self._picker.source, self.params)
        if not asked.heard_alike(before):
            return
        found = quietly(
            recluster, turns, **{name: asked.arguments[name] for name in choices.AGAIN & asked.arguments.keys()}
        )
        if not stop.is_set():
            self._show(found, asked)

    def _run_safely(self, work: Callable[[], object]) -> None:
        """Log what goes wrong beside the page's messages, where nobody would see it raised."""
        try:
            work()
        except (KeyboardInterrupt, DiarnbError):
            pass  # said already
        except Exception:
            log.exception("the panel failed")

    def _hear_partly(self, source: Any, *, progress: Progress, **_: object) -> pd.DataFrame:
        """Make the table of what was heard before the run was stopped."""
        question = self._settle(_Settings(self._picker.source, self.params))
        with open_recording(source) as recording:
            return table_of(answer_partly(recording, question, progress))

    def _offer_heard(self, asked: _Settings) -> None:
        """Offer the table of what was heard, where the engine keeps that."""
        self._heard = None
        if asked.source.value is not None and not is_link(asked.source.value):
            with suppress(DiarnbError), open_recording(asked.source.value) as recording:
                reach = find_reach(recording, self._settle(asked))
                if reach:
                    self._heard = asked
                    self._partly.description = f"Show what was processed up to {clock(reach)}"
        parts.visible_if(self._partly, self._heard is not None)

    def _listen(
        self, stop: threading.Event, call: Callable[..., pd.DataFrame], *, partly: bool = False
    ) -> pd.DataFrame:
        asked = _Settings(self._picker.source, self.params, partly)
        with self._running(stop) as report:
            if asked.source.value is None:
                raise InvalidParameterError("no recording is chosen yet; choose an example, a file or an address")

            def progress(stage: str, fraction: float) -> None:
                if stop.is_set():
                    raise KeyboardInterrupt  # what the engines know how to leave things in order after
                report(stage, fraction)

            try:
                turns = call(asked.source.value, progress=progress, **asked.arguments)
            except KeyboardInterrupt:
                self._offer_heard(asked)
                raise
            if stop.is_set() and self._closed:
                raise KeyboardInterrupt
            self._heard = asked if partly else None
        self._failed = False
        self._show(turns, asked)
        self._update()  # what was set meanwhile
        return turns

    @contextmanager
    def _running(self, stop: threading.Event) -> Iterator[Report]:
        """Show that it runs and how far it has come, and what it ends with."""
        with self._lock:
            self._stop = stop
            self._run.disabled, self._halt.disabled = True, False
            parts.visible_if(self._bar, True)
            parts.visible_if(self._partly, False)
            self._say("starting")
        report = Report(_RunBar(self._bar, self._said), delay=0.0)
        told = ""
        try:
            yield report
        except KeyboardInterrupt as error:
            told = str(error).replace("interrupted", "Stopped", 1) or "Stopped; the table is unchanged."
            raise
        except Exception as error:
            told = str(error) if isinstance(error, DiarnbError) else f"{type(error).__name__}: {error}"
            self._failed = True
            self._draw()
            raise
        finally:
            report.close()
            with self._lock:
                self._stop = None
                if not self._closed:
                    self._run.disabled, self._halt.disabled = False, True
                    parts.visible_if(self._bar, False)
                    self._say(told, problem=bool(told))

    def _show(self, turns: pd.DataFrame, asked: _Settings) -> None:
        with self._lock:
            if self._closed:
                return
            self._result = (turns, asked)
            self._say(self._summary(asked))
        for watcher in self._watchers:
            watcher(turns)
        self._draw()

    def _draw(self) -> None:
        """Show the result as it is now."""
        if self._displayed and not self._closed:
            from IPython.display import update_display

            update_display(self._still(), raw=True, display_id=self._trace)  # type: ignore[no-untyped-call]

    def _summary(self, asked: _Settings) -> str:
        """Describe what the table holds, and whether it is of what is set now."""
        assert self._result is not None  # noqa: S101 - called only where there is one
        turns, shown = self._result
        voices = turns["speaker"].nunique()
        told = f"{voices} speaker{'s' if voices != 1 else ''}, {len(turns)} turn{'s' if len(turns) != 1 else ''}."
        warning = (turns.attrs.get("diarnb") or {}).get("warning")
        if warning:
            told += f" {warning}"
        if not asked.heard_alike(shown) or (asked.arguments != shown.arguments and not self._can_decide_again(asked)):
            told += " Settings have changed since: press Run."
        return told

    def _say(self, text: str, *, problem: bool = False) -> None:
        self._said.value = parts.note(text, problem=problem)

    # What stays.

    def __repr__(self) -> str:
        return f"<Controls: {self.code}>"

    def _ipython_display_(self, **_: object) -> None:
        # Two outputs: the panel, and the result below it. That is no widget, so that it is saved with the notebook.
        from IPython.display import display

        display(parts.view(self), raw=True)  # type: ignore[no-untyped-call]
        self._displayed = True
        display(self._still(), raw=True, display_id=self._trace)  # type: ignore[no-untyped-call]

    def _repr_mimebundle_(self, **_: object) -> Json:
        return {**self._still(), **parts.view(self)}

    def _still(self) -> Json:
        """Return the result as ordinary output, or what will be there."""
        line = html.escape(
            self.code if self._result is None else choices.write_line(self._result[1].source, self._result[1].arguments)
        )
        kept = {"text/plain": "", "text/html": ""} if self._result is None else still(self._result[0])
        shown = kept["text/html"]
        if self._failed and self._result is not None:
            shown = f'<p>From the previous run: the last one failed.</p><div style="opacity: 0.45">{shown}</div>'
        body = f'<pre class="diarnb-line">{line}</pre>{shown}'
        plain = "\n".join(filter(None, [self.code, kept["text/plain"]]))
        return {"text/plain": plain, "text/html": _STYLE + frame_still(body, "diarnb-result")}


@dataclass(frozen=True)
class _RunBar:
    """Where a run's progress is drawn."""

    bar: ipywidgets.FloatProgress
    words: ipywidgets.HTML

    def show(self, text: str, fraction: float) -> None:
        self.bar.value, self.words.value = fraction, parts.note(text)

    def close(self) -> None:
        self.bar.value = 0.0
