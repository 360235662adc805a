"""What the server is made of: jobs, workers, uploads and those who wait, started and stopped together.

It knows no dialect. A dialect turns a request into a job or a task, and an answer into its own words.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import re
import sqlite3
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from diarnb.errors import ConfigurationError
from diarnb.server.jobs import MOST_CRASHES, JobTable
from diarnb.server.web.deliveries import Deliveries
from diarnb.server.web.disk import DiskReserve, is_full
from diarnb.server.web.fetcher import Fetcher, FetchError
from diarnb.server.web.media import Media
from diarnb.server.workers.pool import TaskFailedError, TaskTimeoutError, WorkerCrashedError, WorkerPool
from diarnb.store import lock as _lock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from diarnb.server.jobs import Job
    from diarnb.server.settings import Settings

log: logging.Logger = logging.getLogger("diarnb.server")

JOB_SECONDS = 7200.0
"""Seconds that a job may be listened to: a day of sound takes under one of these hours."""

_DISK = 5.0  # seconds until a disk that could not be written is tried again
_SOON = 5  # of 19: who speaks live waits for the server, but not for recordings
_AHEAD = 16 << 20  # bytes of a stream's sound: eight minutes of 16 kHz
_OURS = re.compile(r"scratch|media|jobs|jobs\.sqlite.*|server\.(log|lock)")  # what a server writes into its folder
_SWEEP = 600.0  # seconds between two looks for what is too old


class Core:
    """All parts of a server but its HTTP side.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started: float = time.time()
        self.origin = ""
        """What clients call the server; known once it listens."""
        folder = settings.folder
        self.scratch: Path = _make_private(folder / "scratch")
        _restrict(folder)
        self._lock = _lock.take(folder / "server.lock")
        if self._lock is None:
            raise ConfigurationError(f"another server uses {folder}: stop it, or name another folder with --folder")
        for left in self.scratch.iterdir():  # what a killed server was receiving
            left.unlink()
        self.jobs: JobTable = JobTable(folder / "jobs.sqlite")
        self.disk: DiskReserve = DiskReserve(folder, settings.reserve << 20)
        self.media: Media = Media(_make_private(folder / "media"), _make_private(folder / "jobs"), self.disk)
        self.fetcher: Fetcher = Fetcher(settings.allow_url_fetch, self.disk)
        self.deliveries: Deliveries = Deliveries(self.jobs, settings)
        self.workers: WorkerPool = WorkerPool(settings.workers, memory=settings.memory)
        # while a worker is behind, what a stream brings is taken all the same: a client that is not read is not heard
        # to be alive either, nor does it hear that we are
        self.streams: WorkerPool = WorkerPool(settings.workers, nice=_SOON, memory=settings.memory, ahead=_AHEAD)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin where the last server ended."""
        await self.jobs.requeue_running()
        self.media.delete_job_files_except(self.jobs.list_open_ids())
        await asyncio.gather(self.workers.start(), self.streams.start(1))  # who speaks live cannot wait
        loops: list[Callable[[], Coroutine[Any, Any, None]]] = [self._run_jobs] * self.settings.workers
        self._tasks = [asyncio.create_task(loop()) for loop in (*loops, self._sweep, self.deliveries.run)]

    async def stop(self) -> None:
        """End all; jobs that are not done are begun again by the next server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self.jobs.requeue_running()
        await asyncio.gather(self.workers.close(), self.streams.close(), self.fetcher.close(), self.deliveries.close())
        self.jobs.close()
        if self._lock is not None:
            os.close(self._lock)

    def find_owner(self, key: str) -> str | None:
        """Find the owner that a key stands for; None for an unknown key. Takes as long for any."""
        given = key.encode("utf-8", "surrogateescape")
        known = [hmac.compare_digest(given, mine.encode()) for mine in self.settings.keys]
        return derive_owner(key) if any(known) else None

    @property
    def full(self) -> bool:
        """Whether the disk has no room for recordings."""
        return self.disk.low or not self.jobs.writable

    def scratch_file(self) -> Path:
        """Name a new file for what is being received."""
        return self.scratch / uuid.uuid4().hex

    async def _run_jobs(self) -> None:
        """Do one job after another."""
        job: Job | None = None
        while True:
            try:
                if job is not None:
                    await self.jobs.requeue(job)
                self.jobs.job_waiting.clear()
                low = self.disk.low
                job = await self.jobs.start_next(fetches=not low)
                if job is not None:
                    await self._run_or_fail(job)
                    job = None
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.jobs.job_waiting.wait(), _DISK if low else None)
            except (OSError, sqlite3.Error):  # the disk is full, most likely; what was accepted waits until it is not
                log.exception("a job or its recording cannot be written")
                await asyncio.sleep(_DISK)

    async def _run_or_fail(self, job: Job) -> None:
        try:
            await self._run(job)
        except Exception as error:
            if isinstance(error, sqlite3.Error) or is_full(error):
                raise
            log.exception("job %s", job.id)
            await self._fail(job, "The server could not do this.")

    async def _run(self, job: Job) -> None:
        try:
            task = dict(job.task)
            if (url := task.pop("fetch", None)) is not None:
                task["file"] = str(self.media.job_path(job.id))
                await self.fetcher.fetch(url, self.media.job_path(job.id))
            answer = await self.workers.run(task, seconds=JOB_SECONDS)
        except TaskFailedError as error:
            # what is wrong with the audio the services tell in these words; ours say more
            audio = error.kind.endswith("AudioError") or error.kind.startswith("Audio")
            audio = audio and error.kind != "VoiceprintAudioError"  # it was loaded, and more than one voice was in it
            await self._fail(job, f"Could not load audio: {error}" if audio else str(error))
        except FetchError as error:
            await self._fail(job, f"Could not load audio: {error}")
        except TaskTimeoutError:
            await self._fail(job, f"It took longer than {JOB_SECONDS / 3600:g} hours.")
        except WorkerCrashedError:
            if job.crashes + 1 >= MOST_CRASHES:
                await self._fail(job, f"It crashed its worker process, {MOST_CRASHES} times.")
            else:
                log.warning("job %s lost its worker and waits again", job.id)
                await self.jobs.requeue(job, crashed=True)
        else:
            await self.jobs.finish(job, "succeeded", answer)
            self.media.delete_job_file(job.id)

    async def _fail(self, job: Job, message: str) -> None:
        await self.jobs.finish(job, "failed", json.dumps({"error": message}).encode())
        self.media.delete_job_file(job.id)

    async def _sweep(self) -> None:
        """Delete what is too old, now and then."""
        while True:
            try:
                await self.jobs.delete_expired(time.time())
                self.media.delete_expired(time.time())
            except (OSError, sqlite3.Error):
                log.exception("what is too old cannot be deleted")
            await asyncio.sleep(_SWEEP)


def derive_owner(key: str) -> str:
    """Hash a key: what stands for it wherever it is written down."""
    return hashlib.sha256(b"diarnb key " + key.encode()).hexdigest()[:32]


def _make_private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _restrict(folder: Path) -> None:
    """Take the rights of others from what an earlier server, or nobody in particular, made with any.

    A folder that holds something else too, which others may use, keeps its rights; what is ours in it does not.
    """
    ours = [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    if len(ours) == len(list(folder.iterdir())):
        ours.append(folder)
    ours += [path for each in ours if each != folder and each.is_dir() for path in each.rglob("*")]
    for path in ours:
        with suppress(OSError, NotImplementedError):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
