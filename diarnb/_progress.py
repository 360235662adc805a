"""How far the work has come: a bar in a notebook, a line in a terminal, and nothing of either once it is done.

Drawing is a courtesy. It starts late, so that a short call leaves no trace; it is rare, so that nobody waits for it;
and where it fails it stops, so that the work goes on.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from diarnb._text import spell_duration, visible

if TYPE_CHECKING:
    from collections.abc import Iterator


Progress = Callable[[str, float], None]
"""Called with the stage in words and the finished fraction of the whole, 0-1. It may raise to stop the work."""

_DELAY = 1.0  # seconds of work before anything is shown
_PAUSE = 0.25  # seconds between two updates: a notebook server drops what comes too fast


@contextmanager
def reporter(enabled: bool) -> Iterator[Progress]:
    """Show how far the work has come, wherever it runs.

    Parameters
    ----------
    enabled : bool
        False shows nothing.

    Yields
    ------
    callable
        Takes the stage in words and the finished fraction of the whole, 0-1; may be called as often as one likes and
        from any thread, and never raises an exception of its own. Calls that come after the block are ignored.

    Examples
    --------
    >>> with reporter(True) as report:
    ...     report("listening", 0.4)
    """
    surface = _surface() if enabled else None
    if surface is None:
        yield lambda _stage, _fraction: None
        return
    report = Report(surface)
    try:
        yield report
    finally:
        report.close()


def describe_interrupt(error: KeyboardInterrupt) -> str:
    """Describe in a line what became of the work that was interrupted.

    Examples
    --------
    >>> describe_interrupt(KeyboardInterrupt())
    'interrupted; earlier answers and files are as they were'
    """
    told = str(error) or "interrupted; earlier answers and files are as they were"
    return " ".join([told, *getattr(error, "__notes__", [])])


class Surface(Protocol):
    """Where progress is drawn. Nothing is taken until the first `show`, and `close` gives everything back."""

    def show(self, text: str, fraction: float) -> None: ...

    def close(self) -> None: ...


def _surface() -> Surface | None:
    ipython = sys.modules.get("IPython")  # never imported here: where it is not loaded, this is no notebook
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return _Bar()
    if sys.stderr is not None and sys.stderr.isatty():
        return _Line()
    return None


class Report:
    """Draws on a surface now and then, one thread at a time; by default only once the work has taken a while."""

    def __init__(self, surface: Surface, delay: float | None = None) -> None:
        self._surface = surface
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._due = self._began + (_DELAY if delay is None else delay)

    def __call__(self, stage: str, fraction: float) -> None:
        now = time.monotonic()
        # Whoever finds the lock taken goes on working: by another thread, or by a drawing that calls back.
        if now < self._due or not self._lock.acquire(blocking=False):
            return
        try:
            self._due = now + _PAUSE
            fraction = min(max(float(fraction), 0.0), 1.0)
            self._surface.show(_wording(stage, fraction, now - self._began), fraction)
        except Exception:  # whatever a front end may raise
            self._due = float("inf")
        finally:
            self._lock.release()

    def close(self) -> None:
        """Clear the surface, and keep the lock for good, so that a thread that comes late draws nothing."""
        self._lock.acquire(timeout=1.0)  # not for ever: an interrupt may have left it taken
        with suppress(Exception):
            self._surface.close()


def _wording(stage: str, fraction: float, elapsed: float) -> str:
    r"""Put progress in words.

    Examples
    --------
    >>> _wording("listening", 0.25, 30.0)
    'listening · 25\xa0% · 1 min 30 s left'
    """
    words = [visible(stage, limit=40), f"{fraction:.0%}".replace("%", "\N{NO-BREAK SPACE}%")]
    if fraction >= 0.02:  # before, it would be a wild guess
        left = max(round(elapsed * (1 - fraction) / fraction), 1)
        words.append(f"{spell_duration(left, parts=2)} left")
    return " · ".join(words)


class _Line:
    """One line on stderr, written over and over."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, text: str, fraction: float) -> None:  # noqa: ARG002 - the words say it
        room = shutil.get_terminal_size().columns - 1  # a line that wraps could not be taken back
        text = text[:room]
        before, self._width = self._width, max(self._width, len(text))  # before it is drawn: an interrupt may follow
        self._rewrite(text.ljust(before))
        self._width = len(text)

    def close(self) -> None:
        if self._width:
            self._rewrite(" " * self._width + "\r")

    def _rewrite(self, text: str) -> None:
        sys.stderr.write("\r" + text)
        sys.stderr.flush()


class _Bar:
    """An ipywidgets bar below the running cell."""

    def __init__(self) -> None:
        self._widgets: list[Any] = []
        self._display: Any = None

    def show(self, text: str, fraction: float) -> None:
        if self._display is None:
            self._open()
        _, bar, label = self._widgets
        bar.value, label.value = fraction, text

    def close(self) -> None:
        # First the output, then what it shows: the other way round a page would say "Error displaying widget". An
        # output cannot be taken back alone; one without any data shows nothing, now and in the saved notebook.
        if self._display is not None:
            self._display.update({}, raw=True)
        for widget in self._widgets:
            for part in (getattr(widget, "style", None), widget.layout, widget):
                if part is not None:
                    part.close()

    def _open(self) -> None:
        import ipywidgets
        from IPython.display import DisplayHandle

        self._widgets = [ipywidgets.HBox(), ipywidgets.FloatProgress(max=1.0), ipywidgets.Label()]
        box, *children = self._widgets
        box.children = children
        # Written out, because ipywidgets 7 shows itself without a handle. There is no text beside the view on purpose:
        # a console would keep it for ever, and nbval would compare it.
        view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
        bundle = {"application/vnd.jupyter.widget-view+json": view}
        self._display = DisplayHandle()  # type: ignore[no-untyped-call]  # known before an interrupt can follow
        self._display.display(bundle, raw=True)
