"""One private thread with an event loop, so that a synchronous call works wherever it stands.

In a cell, under a loop that already runs, in a widget's callback or in a thread of one's own: the caller waits, and the
work runs over there. Waiting wakes five times a second to draw progress in the caller's own thread, and an interrupt,
or a progress callback that raises, cancels the work and gives it half a second to leave things in order.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from concurrent.futures import CancelledError, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_AWAKE = 0.2  # seconds between two looks at the caller
_FAREWELL = 0.5  # seconds that cancelled work has to end

_NAME = "diarnb-loop"
_starting = threading.Lock()


def run(
    work: Callable[[Callable[[str, float], None]], Coroutine[Any, Any, T]], progress: Callable[[str, float], None]
) -> T:
    """Run a coroutine on the private loop, and wait for it.

    Parameters
    ----------
    work : callable
        Given a function that reports progress (stage in words, fraction 0-1), gives the coroutine to run.
    progress : callable
        Called in this thread with what was reported last; it may raise to stop the work.

    Returns
    -------
    object
        What the coroutine returns.

    Examples
    --------
    >>> async def work(report):
    ...     report("counting", 1.0)
    ...     return 42
    >>> run(work, lambda stage, fraction: None)
    42
    """
    latest: list[tuple[str, float]] = []

    def report(stage: str, fraction: float) -> None:
        latest[:] = [(stage, fraction)]

    ended = threading.Event()

    async def run_to_its_end() -> T:
        try:
            return await work(report)
        finally:
            ended.set()

    with _starting:
        loop = _loop()
    if threading.current_thread().name == _NAME:
        raise RuntimeError("the private loop cannot wait for itself")
    future = asyncio.run_coroutine_threadsafe(run_to_its_end(), loop)
    try:
        while not wait([future], timeout=_AWAKE).done:
            for stage, fraction in latest[:]:
                progress(stage, fraction)
        return future.result()
    except CancelledError:
        raise asyncio.CancelledError from None
    finally:
        if future.cancel():  # it had not ended; the future has at once, the work a moment later
            ended.wait(_FAREWELL)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=_NAME, daemon=True).start()
    return loop


if hasattr(os, "register_at_fork"):  # a child has the loop, but not its thread
    os.register_at_fork(after_in_child=_loop.cache_clear)
