"""Work beside the page's messages: in a thread, one job at a time, and the newest wins."""

from __future__ import annotations

import threading
import time
import warnings
from typing import TYPE_CHECKING, TypeVar

from diarnb.errors import DiarnbWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[threading.Event], None]

T = TypeVar("T")


class Worker:
    """Runs the newest of the jobs that it is given, never two at a time; its thread ends when there is nothing to do.

    A job is given an event that is set when it is to stop: by `stop`, or because a newer one waits.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next: tuple[float, Job] | None = None
        self._running = threading.Event()  # set when the job that runs is to stop
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        with self._changed:
            return self._thread is not None

    def submit(self, job: Job, *, delay: float = 0.0) -> None:
        """Run a job after so many seconds, in the place of any other."""
        with self._changed:
            self._next = (time.monotonic() + delay, job)
            self._running.set()
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="diarnb-panel", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Have the job that runs stop, and forget the one that waits."""
        with self._changed:
            self._next = None
            self._running.set()
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing to do; say whether that came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            job, stop = taken
            job(stop)

    def _take(self) -> tuple[Job, threading.Event] | None:
        with self._changed:
            while self._next is not None:
                due, job = self._next
                if (left := due - time.monotonic()) <= 0:
                    self._next, self._running = None, threading.Event()
                    return job, self._running
                self._changed.wait(left)
            self._thread = None
            self._changed.notify_all()
            return None


def quietly(function: Callable[..., T], *arguments: object, **named: object) -> T:
    """Call a public function whose remarks a page shows in its own way, and not as warnings below it as well."""
    # No `catch_warnings`: in a thread it would take away what others set meanwhile. This matches calls from here alone.
    warnings.filterwarnings("ignore", category=DiarnbWarning, module=__name__.replace(".", r"\."))
    return function(*arguments, **named)
