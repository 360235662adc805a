"""Tasks on an executor, whoever made it: so many at a time, so many a minute, and a pause where one is asked for."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from diarnb.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

T = TypeVar("T")

_AWAKE = 0.2  # seconds between two looks at the caller
_AHEAD = 2  # tasks for each worker: one that it does, and one that it need not wait for
_WORKERS = 8  # where the executor does not tell
_MINUTE = 60.0


def adapt_executor(executor: object) -> tuple[Executor, Callable[[], int]]:
    """Return an executor, and what tells how many tasks it may have now, waiting ones included.

    Parameters
    ----------
    executor : concurrent.futures.Executor or dask.distributed.Client

    Raises
    ------
    InvalidParameterError
        It is neither.
    """
    if isinstance(executor, Executor):
        return executor, lambda: _AHEAD * (getattr(executor, "_max_workers", None) or _WORKERS)
    if hasattr(executor, "get_executor") and hasattr(executor, "nthreads"):
        # Not pure: the same task of another day is another task.
        return executor.get_executor(pure=False), lambda: _AHEAD * sum(executor.nthreads().values())
    raise InvalidParameterError(
        f"executor is a concurrent.futures.Executor or a dask.distributed.Client, not {type(executor).__name__}; "
        "to use all cores of this machine: with ProcessPoolExecutor() as pool: diarize_many(..., executor=pool)"
    )


class Dispatcher(Generic[T]):
    """Has tasks done on an executor, as many at a time and a minute as it may.

    Parameters
    ----------
    tasks : iterable
    submit : callable
        Given a task, gives its future.
    places : callable
        How many may be under way now.
    a_minute : int, optional
        How many may be started in any 60 s.

    Attributes
    ----------
    waiting : deque
        Tasks that are not begun; one that is to be done again is put back here.
    broken : Exception or None
        Why the executor takes no more tasks, if so; those that wait are left waiting.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     dispatcher = Dispatcher([3, 1, 2], lambda task: pool.submit(abs, task), lambda: 2)
    ...     sorted(future.result() for _, future in filter(None, dispatcher.as_completed()))
    [1, 2, 3]
    """

    def __init__(
        self,
        tasks: Iterable[T],
        submit: Callable[[T], Future[Any]],
        places: Callable[[], int],
        a_minute: int | None = None,
    ) -> None:
        self.waiting: deque[T] = deque(tasks)
        self.broken: Exception | None = None
        self._submit, self._places = submit, places
        self._running: dict[Future[Any], T] = {}
        self._started: deque[float] = deque(maxlen=a_minute or 0)
        self._not_before = 0.0

    def pause(self, seconds: float) -> None:
        """Start nothing for so long."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    def as_completed(self) -> Generator[tuple[T, Future[object]] | None]:
        """Yield each task with its future once it has ended, and None now and then; at the end cancel the rest."""
        try:
            yield None
            while self._running or (self.waiting and self.broken is None):
                self._start()
                if self._running:
                    done = wait(self._running, timeout=_AWAKE, return_when=FIRST_COMPLETED).done
                else:
                    done = set()
                    time.sleep(_AWAKE)
                for future in done:
                    yield self._running.pop(future), future
                yield None
        finally:
            for future in self._running:
                future.cancel()

    def _start(self) -> None:
        while self.waiting and self.broken is None and len(self._running) < self._places():
            now = time.monotonic()
            full = len(self._started) == self._started.maxlen and bool(self._started)
            if now < self._not_before or (full and now - self._started[0] < _MINUTE):
                return
            try:
                future = self._submit(self.waiting[0])
            except Exception as error:  # of the executor's own kinds: it is broken, closed, or its cluster is gone
                self.broken = error
                return
            self._running[future] = self.waiting.popleft()
            self._started.append(now)
