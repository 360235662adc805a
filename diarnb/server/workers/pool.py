"""The workers: as many processes as the machine has cores, one task each at a time.

A process that crashes or takes too long costs its own task and nobody else's; the next task finds a new one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from diarnb.server.workers import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from diarnb._types import Json
    from diarnb.server.workers.wire import Frame

_PROGRAM = "diarnb.server.workers.worker"
_LIMIT = 1 << 20  # bytes of an answer read ahead
_PATIENCE = 5.0  # seconds for a process that was told to end


class TaskFailedError(Exception):
    """A task that was done and cannot succeed: the audio is damaged, a voiceprint is none.

    Attributes
    ----------
    kind : str
        The name of the error in `diarnb.errors`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class WorkerCrashedError(Exception):
    """The process ended in the middle of a task; the same task may succeed elsewhere."""


class TaskTimeoutError(Exception):
    """The task took too long, and was ended."""


class WorkerPool:
    """A bounded number of processes, started when they are needed.

    Parameters
    ----------
    count : int
        Tasks at once.
    nice : int, default 19
        How far they stand back for other processes, 0-19.
    memory : int, default 0
        MiB of data that each may hold; 0 for no limit.
    ahead : int, default 64 KiB
        Bytes that a task may be sent before it takes them; beyond, `Session.send` waits.
    """

    def __init__(self, count: int, *, nice: int = 19, memory: int = 0, ahead: int = 1 << 16) -> None:
        self.count: int = count
        self._ahead = ahead
        self._settings = json.dumps({"nice": nice, "memory": memory})
        self._free = asyncio.Semaphore(count)
        self._idle: list[_WorkerProcess] = []
        self._all: set[_WorkerProcess] = set()
        self.busy: int = 0
        self.waiting: int = 0

    async def start(self, count: int | None = None) -> None:
        """Start all, or some, so that the first tasks need not wait for their processes."""
        started = [_WorkerProcess(self._settings, self._ahead) for _ in range(self.count if count is None else count)]
        self._all.update(started)
        self._idle += started
        await asyncio.gather(*(worker.start() for worker in started))

    async def close(self) -> None:
        """End all, whatever they are doing."""
        await asyncio.gather(*(worker.end() for worker in self._all))
        self._all.clear()
        self._idle.clear()

    async def run(self, task: Json, *, seconds: float) -> bytes:
        """Have a task done by the next worker that is free.

        Parameters
        ----------
        task : dict
            JSON; ``do`` names it.
        seconds : float
            After which it is ended, not counting the time that it waited.

        Raises
        ------
        TaskFailedError, TaskTimeoutError, WorkerCrashedError
        """
        async with self.session(task) as session:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        kind, content = await session.receive()
                        if kind == wire.DONE:
                            return content
            except TimeoutError:
                raise TaskTimeoutError from None

    @property
    def full(self) -> bool:
        """Whether a task would have to wait now."""
        return self._free.locked()

    @asynccontextmanager
    async def session(self, task: Json) -> AsyncIterator[Session]:
        """Begin a task and talk with its worker while it goes on; leaving before its end ends the worker."""
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.busy += 1
        try:
            worker = await self._take()
            session = Session(worker)
            try:
                await worker.send(wire.frame(wire.TASK, task))
                yield session
            finally:
                await self._put_back(worker, whole=session.over)
        finally:
            self.busy -= 1
            self._free.release()

    async def _take(self) -> _WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._all.discard(worker)
        worker = _WorkerProcess(self._settings, self._ahead)
        await worker.start()
        self._all.add(worker)
        return worker

    async def _put_back(self, worker: _WorkerProcess, *, whole: bool) -> None:
        if whole and worker.alive:
            self._idle.append(worker)
        else:
            self._all.discard(worker)
            await asyncio.shield(worker.end())


class Session:
    """A task that is being done; `over` once its last frame has come."""

    def __init__(self, worker: _WorkerProcess) -> None:
        self._worker = worker
        self.over: bool = False

    async def send(self, kind: bytes, content: object = b"") -> None:
        """Send a frame to the task; waits while the worker is behind."""
        await self._worker.send(wire.frame(kind, content))

    async def receive(self) -> Frame:
        """Wait for what it says next: a note, or `wire.DONE` with the answer.

        Raises
        ------
        TaskFailedError, WorkerCrashedError
        """
        kind, content = await self._worker.receive()
        self.over = kind in (wire.DONE, wire.FAILED)
        if kind == wire.FAILED:
            raise TaskFailedError(**json.loads(content))
        return kind, content


class _WorkerProcess:
    """One process."""

    def __init__(self, settings: str, ahead: int) -> None:
        self._settings, self._ahead = settings, ahead
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _PROGRAM, self._settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LIMIT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the server, which ends its workers in order
        )
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.transport.set_write_buffer_limits(high=self._ahead)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def send(self, frame: bytes) -> None:
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(ConnectionError):  # `receive` tells it
            process.stdin.write(frame)
            await process.stdin.drain()

    async def receive(self) -> Frame:
        process = self._running()
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            return await wire.next_frame(process.stdout)
        except (EOFError, ConnectionError):
            with suppress(TimeoutError):  # it is ending by itself; who kills it now only confuses the loop
                await asyncio.wait_for(process.wait(), _PATIENCE)
            raise WorkerCrashedError from None

    async def end(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _PATIENCE)

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None  # noqa: S101 - it is started before it is used
        return self._process
