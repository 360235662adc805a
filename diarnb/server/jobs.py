"""The table of jobs: what was accepted, what became of it, and whom to tell. One SQLite file; nothing accepted is lost.

A job is committed before it is accepted, and its answer before it is told. Reading is quick and done at once; writing
waits for the disk, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from diarnb._types import Json

MOST_CRASHES = 3
"""Times that a job's own worker ends before the job is failed: whatever ends it this often is the job itself."""

RESULT_KEPT = 24 * 3600.0
"""Seconds after its end for which a job's output is kept, as the services keep theirs."""

JOB_KEPT = 7 * 24 * 3600.0
"""Seconds after its end for which it is remembered that there was such a job."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL,
    state TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, crashes INTEGER NOT NULL DEFAULT 0,
    output BLOB, delivery TEXT, due REAL
);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS by_due ON jobs (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_owner ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS by_age ON jobs (updated);
"""


@dataclass(frozen=True)
class Job:
    """A job as the table has it; times in seconds since 1970, `output` JSON as it is sent.

    Attributes
    ----------
    owner : str
        Stands for the key with which it was submitted.
    kind : str
        What was asked for: ``diarize``, ``identify``, ``voiceprint`` or ``listen``.
    task : dict
        What a worker is given, and what else must be known to do it.
    state : str
        ``created``, ``running``, ``succeeded``, ``failed`` or ``canceled``.
    crashes : int
        Times that its worker has ended; ends of the server are not counted.
    delivery : dict or None
        Whom to tell, and how often that was tried; `due` is when it is tried next, None where nobody waits.
    """

    id: str
    owner: str
    kind: str
    task: Json
    state: str = "created"
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    crashes: int = 0
    output: bytes | None = None
    delivery: Json | None = None
    due: float | None = None
    number: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state not in ("created", "running")


_NAMES = tuple(column.name for column in fields(Job))
_COLUMNS = ", ".join(_NAMES)
_FACTS = _COLUMNS.replace("task", "'{}' AS task").replace("output", "NULL AS output")


class JobTable:
    """The table, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, "diarnb-jobs")
        self._write_to = self._open()
        columns = {row[1] for row in self._write_to.execute("PRAGMA table_info(jobs)")}
        if "attempts" in columns:  # of 0.1, which counted the ends of servers too
            self._write_to.executescript("ALTER TABLE jobs RENAME attempts TO crashes; UPDATE jobs SET crashes = 0")
        self._write_to.executescript(_SCHEMA)
        self.writable = True
        """Whether the last write found room on the disk."""
        self._read_from = self._open()
        self.job_waiting: asyncio.Event = asyncio.Event()
        """Set when there may be a job to begin."""
        self.delivery_due: asyncio.Event = asyncio.Event()
        """Set when a delivery may be due."""

    def close(self) -> None:
        """Finish what is being written, and let go of the file."""
        self._writer.shutdown()
        self._read_from.close()
        self._write_to.close()

    async def add(self, job: Job) -> None:
        """Accept a job; when this returns it is on the disk."""
        values = (job.id, job.owner, job.kind, json.dumps(job.task), job.state, job.created, job.updated)
        delivery = None if job.delivery is None else json.dumps(job.delivery)
        await self._write(
            "INSERT INTO jobs (id, owner, kind, task, state, created, updated, delivery) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, delivery),
        )
        self.job_waiting.set()

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """Look a job up; somebody else's is as unknown as one that never was."""
        found = self._select("WHERE id = ?", (job_id,))
        return found[0] if found and owner in (None, found[0].owner) else None

    def list_page(
        self, owner: str, *, kinds: tuple[str, ...], limit: int, after: str | None = None, state: str | None = None
    ) -> list[Job] | None:
        """List jobs, the newest first, without task and output; None if there is no job `after`."""
        before = 1 << 62
        if after is not None:
            last = self.get(after, owner)
            if last is None:
                return None
            before = last.number
        states = "" if state is None else "AND state = ?"
        marks = ", ".join("?" * len(kinds))
        values = (owner, before, *kinds, *(() if state is None else (state,)), limit)
        return self._select(
            f"WHERE owner = ? AND number < ? AND kind IN ({marks}) {states} ORDER BY number DESC LIMIT ?",
            values,
            _FACTS,
        )

    def list_latest(self, most: int) -> list[Job]:
        """List the newest jobs of all owners, without task and output."""
        return self._select("ORDER BY number DESC LIMIT ?", (most,), _FACTS)

    def count(self, *states: str) -> int:
        """Count the jobs that are in one of some states."""
        return sum(
            self._read_from.execute("SELECT count(*) FROM jobs WHERE state = ?", (state,)).fetchone()[0]
            for state in states
        )

    def list_open_ids(self) -> set[str]:
        """List the ids of jobs that have not ended."""
        return {row[0] for row in self._read_from.execute("SELECT id FROM jobs WHERE state IN ('created', 'running')")}

    async def start_next(self, *, fetches: bool = True) -> Job | None:
        """Mark the job that has waited longest as running, and return it; None if none waits.

        Parameters
        ----------
        fetches : bool, default True
            Whether it may be one whose recording has to be fetched first.
        """
        row = await self._write(
            "UPDATE jobs SET state = 'running', updated = ? WHERE number = "
            "(SELECT min(number) FROM jobs WHERE state = 'created' AND (? OR json_extract(task, '$.fetch') IS NULL)) "
            "RETURNING id",
            (time.time(), fetches),
        )
        return self.get(row[0]) if row else None

    async def finish(self, job: Job, state: str, output: bytes | None) -> None:
        """Store the outcome of a job; its delivery is due now."""
        now = time.time()
        await self._write(
            "UPDATE jobs SET state = ?, output = ?, updated = ?, due = CASE WHEN delivery IS NULL THEN NULL ELSE ? END "
            "WHERE id = ?",
            (state, output, now, now, job.id),
        )
        self.delivery_due.set()

    async def requeue(self, job: Job, *, crashed: bool = False) -> None:
        """Put a job back into the queue, and count it where its worker ended."""
        await self._write(
            "UPDATE jobs SET state = 'created', crashes = crashes + ?, updated = ? WHERE id = ?",
            (int(crashed), time.time(), job.id),
        )
        self.job_waiting.set()

    async def requeue_running(self) -> None:
        """Put all running jobs back into the queue: a server ends or has ended, which costs no job anything."""
        await self._write("UPDATE jobs SET state = 'created' WHERE state = 'running'", ())
        self.job_waiting.set()
        self.delivery_due.set()

    def next_delivery(self, besides: Collection[str] = ()) -> Job | None:
        """Find the job whose delivery is due first, now or later, besides those that are under way."""
        marks = ", ".join("?" * len(besides))
        found = self._select(f"WHERE due IS NOT NULL AND id NOT IN ({marks}) ORDER BY due LIMIT 1", tuple(besides))
        return found[0] if found else None

    async def record_delivery(self, job: Job, delivery: Json, due: float | None) -> None:
        """Store the outcome of an attempt to deliver, and when it is retried."""
        await self._write("UPDATE jobs SET delivery = ?, due = ? WHERE id = ?", (json.dumps(delivery), due, job.id))
        self.delivery_due.set()

    async def delete_expired(self, now: float) -> None:
        """Delete results, and later jobs, that are too old to be kept."""
        # a job that has not ended is touched whenever it is begun, and none is being done for a day
        await self._write("UPDATE jobs SET output = NULL WHERE updated < ? AND output NOT NULL", (now - RESULT_KEPT,))
        await self._write(
            "DELETE FROM jobs WHERE updated < ? AND due IS NULL AND state NOT IN ('created', 'running')",
            (now - JOB_KEPT,),
        )

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -512")  # KiB; jobs are looked up one by one
        return connection

    def _select(self, where: str, values: tuple[object, ...], names: str = _COLUMNS) -> list[Job]:
        rows = self._read_from.execute(f"SELECT {names} FROM jobs {where}", values).fetchall()  # noqa: S608 - all ours
        found = [dict(zip(_NAMES, row, strict=True)) for row in rows]
        for row in found:
            row["task"] = json.loads(row["task"])
            if row["delivery"] is not None:
                row["delivery"] = json.loads(row["delivery"])
        return [Job(**row) for row in found]

    async def _write(self, statement: str, values: tuple[object, ...]) -> Any:
        """Execute a statement, its own transaction; return its first row."""

        def write() -> Any:
            self.writable = False
            found = self._write_to.execute(statement, values).fetchone()
            self.writable = True
            return found

        return await asyncio.get_running_loop().run_in_executor(self._writer, write)
