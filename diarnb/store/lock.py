"""A lock between processes that ends with its holder, whatever ends the holder."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from diarnb.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_AGAIN = 0.1  # seconds until the next try; a lock is held for as long as a request takes
_SOON = 0.005  # the same, where it is held for as long as a file is written
_PATIENCE = 30.0  # seconds to wait for another process that is writing


@asynccontextmanager
async def exclusively(path: Path) -> AsyncIterator[None]:
    """Hold a lock; others, in this process or another, wait for it.

    Parameters
    ----------
    path : pathlib.Path
        Stands for what is locked; the file is made, and removed at the end.

    Examples
    --------
    >>> async def alone(path):
    ...     async with exclusively(path):
    ...         return path.exists()
    >>> import asyncio, pathlib
    >>> asyncio.run(alone(pathlib.Path("a.lock")))
    True
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while (held := take(path)) is None:
        await asyncio.sleep(_AGAIN)
    try:
        yield
    finally:
        _release(path, held)


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold a lock while a file is written; raise `StoreError` that names the file where that takes others too long."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + _PATIENCE
    while (held := take(path)) is None:
        if time.monotonic() > until:
            raise StoreError(f"{what} is locked by another process; try again")
        time.sleep(_SOON)
    try:
        yield
    finally:
        _release(path, held)


def take(path: Path) -> int | None:
    """Take a lock: an open file that holds it until it is closed; None if somebody has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        _lock(file)
        # Whoever had it has removed the file that was opened here: then this is the lock of nothing.
        if path.stat().st_ino == os.fstat(file).st_ino:
            return file
    except OSError:
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def _release(path: Path, held: int) -> None:
    with suppress(OSError):  # Windows: another process is waiting for it
        path.unlink()
    os.close(held)


def _lock(file: int) -> None:
    """Lock an open file, or raise OSError at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
