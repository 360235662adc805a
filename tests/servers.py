"""Real servers on loopback, thrown away afterwards: in a process of their own, or in a thread of the test's.

The process is what users run, and can be killed. The thread starts sooner, and lets a test look into the core and
script it: ``with in_thread(rate_limits="vendor") as server: ...``. Every field of `Settings` can be given to both.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from diarnb.server.process import run_server
from diarnb.server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from diarnb.server.core import Core

T = TypeVar("T")

KEY = "test-key-of-the-server"
OTHER_KEY = "another-key-of-the-server"
PATIENCE = 60.0  # seconds; a bound against hanging, on whatever machine, and no expectation


@dataclass(kw_only=True)
class Server:
    """Where a server is, and how it is asked."""

    base_url: str
    folder: Path
    key: str = KEY

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def token(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.key}"}


@dataclass(kw_only=True)
class InThread(Server):
    core: Core
    loop: asyncio.AbstractEventLoop

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the server runs, and wait for its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)


@dataclass(kw_only=True)
class InProcess(Server):
    process: subprocess.Popen[str]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(PATIENCE)


def settings_of(folder: Path, **chosen: Any) -> Settings:
    """Settings of a small server: both keys, any free port, one worker."""
    return Settings(**{"folder": folder, "keys": (KEY, OTHER_KEY), "port": 0, "workers": 1, **chosen})


@contextmanager
def in_thread(folder: Path | None = None, **chosen: Any) -> Iterator[InThread]:
    """Run a server in a thread of this process."""
    with _folder(folder) as place:
        settings = settings_of(place, **chosen)
        told: Queue[Any] = Queue()

        async def run() -> None:
            over, loop = asyncio.Event(), asyncio.get_running_loop()
            async with run_server(settings) as (origin, core):
                told.put((InThread(base_url=origin, folder=place, core=core, loop=loop), over))
                await over.wait()

        def work() -> None:
            try:
                asyncio.run(run())
            except BaseException as error:
                told.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        found = told.get(timeout=PATIENCE)
        if isinstance(found, BaseException):
            raise found
        server, over = found
        try:
            yield server
        finally:
            server.loop.call_soon_threadsafe(over.set)
            thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not stop"
        if not told.empty():
            raise told.get()


@contextmanager
def in_process(
    folder: Path | None = None,
    *,
    program: str = "diarnb.server.workers.worker",
    within: Sequence[str] = (),
    **chosen: Any,
) -> Iterator[InProcess]:
    """Run a server in a process of its own, begun by a command; it is asked to stop at the end, if it still runs."""
    with _folder(folder) as place:
        imports = "from diarnb.server import process; from diarnb.server.workers import pool"
        run = f"{imports}; pool._PROGRAM = {program!r}; process.main()"
        command = [*within, sys.executable, "-c", run]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            told = {"settings": settings_of(place, **chosen).as_json(), "temporary": False}
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or '{"error": "it ended"}')
            assert "error" not in answer, answer["error"]
            yield InProcess(base_url=answer["origin"], folder=place, process=process)
        finally:
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.stdout.close()


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="diarnb-server-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
