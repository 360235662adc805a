"""A server from its start to its end, and the process that `diarnb.serve` starts for it.

That process is told its settings on its standard input, where no process list shows them, and ends with it: whatever
ends the kernel that started it, the pipe ends too.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import signal
import sqlite3
import sys
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from diarnb.errors import ConfigurationError, DiarnbError
from diarnb.server.app import App
from diarnb.server.core import Core
from diarnb.server.engines import load_engine
from diarnb.server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_WHY = {
    errno.EADDRINUSE: "another program uses it",
    errno.EACCES: "that needs more rights",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


@asynccontextmanager
async def run_server(settings: Settings) -> AsyncIterator[tuple[str, Core]]:
    """Run a server.

    Yields
    ------
    origin, core : str, Core
        Where it listens, ``http://host:port``, and what it is made of.

    Raises
    ------
    ConfigurationError
        The folder or the port cannot be used, or the engine cannot be loaded.
    """
    load_engine(settings.engine)
    try:
        core = Core(settings)
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(f"the folder {settings.folder} cannot be used: {error}") from error
    app = App(core)
    try:
        await core.start()
        try:
            origin = await app.start()
        except OSError as error:
            raise ConfigurationError(_cannot_listen(settings, error)) from error
        yield origin, core
    finally:
        await app.stop()
        await core.stop()


async def serve_until_stopped(
    settings: Settings, ready: Callable[[str], None], over: asyncio.Event | None = None
) -> None:
    """Run a server until SIGINT or SIGTERM comes, or `over` is set.

    Parameters
    ----------
    settings : Settings
    ready : callable
        Told where it listens, once it does.
    over : asyncio.Event, optional
    """
    over = asyncio.Event() if over is None else over
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, over.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(over.set))
    async with run_server(settings) as (origin, _):
        ready(origin)
        await over.wait()


def _cannot_listen(settings: Settings, error: OSError) -> str:
    why = _WHY.get(error.errno or 0, error.strerror or "the reason is unknown")
    where = f"{settings.host}, port {settings.port}"
    return f"cannot listen at {where}: {why}. Name another with --port, or 0 for a free one."


def prepare() -> None:
    """Prepare a process that only serves: what it writes is nobody else's, and its log holds warnings."""
    os.umask(0o077)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Serve for the process that started this one, until it closes the pipe."""
    told = json.loads(sys.stdin.readline())
    settings = Settings.from_json(told["settings"])
    prepare()

    def say(**what: str) -> None:
        print(json.dumps(what), flush=True)

    async def run() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()

        def watch() -> None:
            while os.read(0, 1 << 10):
                pass
            with suppress(RuntimeError):  # it is over already
                loop.call_soon_threadsafe(over.set)

        threading.Thread(target=watch, daemon=True).start()  # a loop of Windows cannot wait for a pipe
        await serve_until_stopped(settings, lambda origin: say(origin=origin), over)

    try:
        asyncio.run(run())
    except DiarnbError as error:
        say(error=str(error))
        sys.exit(1)
    finally:
        if told["temporary"]:
            shutil.rmtree(settings.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
