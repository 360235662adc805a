"""The ledger of paid work: what was sent, what became of it, and what came back, so that nothing is paid twice.

One row for each logical submission, in the same file as the run store:

    prepared ── sent ── accepted ── succeeded | failed | canceled | expired
                  └── uncertain ──┘

``sent`` is on disk before the first byte of a billed request leaves, ``accepted`` (with the job's id) before anything
else is done, and the answer, byte for byte, before it is parsed. A row that is ``sent`` while nobody holds its lock
belongs to a process that died: whether it was billed is for the engine to find out. Here nothing fails in silence: what
cannot be written raises `StoreError`, and then nothing is sent. When the run is in the run store, the row goes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import zlib
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.store import Store
from diarnb.store.lock import exclusively
from diarnb.store.run import Description

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from diarnb.store.run import Run

OPEN = ("prepared", "sent", "uncertain", "accepted")
"""States from which the work can go on."""

_LAYOUT = """
    CREATE TABLE IF NOT EXISTS submissions (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
        engine TEXT NOT NULL, origin TEXT NOT NULL, endpoint TEXT NOT NULL, about TEXT NOT NULL,
        media TEXT, media_at REAL, sent_at REAL, job_id TEXT, expires REAL, billed_seconds REAL,
        adopted INTEGER NOT NULL, sha256 TEXT, answer BLOB
    )
"""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One row: something that is to be paid for once.

    Attributes
    ----------
    key : str
        Equal for submissions that would give the same answer.
    engine, origin, endpoint : str
        Who is asked for what.
    about : Description
        The recording, and what was asked.
    state : str
    media, media_at : str and float, optional
        The address of the uploaded audio at the service, and when it was complete.
    sent_at : float, optional
        When the request began to leave, by the service's clock.
    job_id : str, optional
    expires : float, optional
        When the service deletes the result.
    billed_seconds : float, optional
    adopted : bool
        Whether the job was found in the service's list, and not told in an answer.
    id, created : str and float
        12 hexadecimal digits, and now. Times are seconds since 1970.
    """

    key: str
    engine: str
    origin: str
    endpoint: str
    about: Description
    state: str = "prepared"
    media: str | None = None
    media_at: float | None = None
    sent_at: float | None = None
    job_id: str | None = None
    expires: float | None = None
    billed_seconds: float | None = None
    adopted: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    created: float = field(default_factory=time.time)

    @property
    def source(self) -> str:
        """The recording's name."""
        return self.about.source


_COLUMNS = tuple(entry.name for entry in fields(Submission))


class Ledger:
    """The ledger in a run store.

    Parameters
    ----------
    store : Store, optional
        By default the user's.

    Raises
    ------
    StoreError
        From every method, where the store cannot be read or written.

    Examples
    --------
    >>> ledger = Ledger()
    >>> about = Description(source="talk.wav", engine="e", model="m")
    >>> row = ledger.prepare(Submission(key="k", engine="e", origin="o", endpoint="/diarize", about=about))
    >>> row = ledger.change(row, state="accepted", job_id="j")
    >>> ledger.find("k") == row
    True
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or Store.default()

    def sending(self, engine: str, origin: str) -> AbstractAsyncContextManager[None]:
        """Hold the right to submit to a service.

        One submission at a time between ``sent`` and ``accepted``, in all processes that share the store: so that at
        most one of them is in doubt when something breaks, and whoever wants the same finds it accepted.
        """
        name = hashlib.sha256(f"{engine} {origin}".encode()).hexdigest()[:16]
        return exclusively(self._store.path.parent / f"{name}.lock")

    def prepare(self, submission: Submission) -> Submission:
        """Write a new row."""
        values = _row(submission)
        query = f"INSERT INTO submissions ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608
        self._store.transact(lambda db: _write(db, query, values.values()))
        return submission

    def change(self, submission: Submission, **changes: Any) -> Submission:
        """Write what has become of a row, and nothing else of it: another call may have gone on with it.

        On disk when this returns.
        """
        return self._update(submission, changes)

    def archive(self, submission: Submission, answer: bytes, **changes: Any) -> Submission:
        """Write an answer as it came, and what has become of the row, in one go."""
        packed = zlib.compress(answer)
        return self._update(submission, changes, answer=packed, sha256=hashlib.sha256(packed).hexdigest())

    def answer(self, submission: Submission) -> bytes | None:
        """Read the archived answer; None if there is none, or it is damaged."""
        query = "SELECT answer, sha256 FROM submissions WHERE id = ?"
        row = self._read(query, [submission.id])
        if not row or row[0]["answer"] is None or hashlib.sha256(row[0]["answer"]).hexdigest() != row[0]["sha256"]:
            return None
        return zlib.decompress(row[0]["answer"])

    def find(self, key: str) -> Submission | None:
        """Find the newest row with this key."""
        found = self._select("key = ?", [key])
        return found[0] if found else None

    def job(self, job_id: str) -> Submission | None:
        """Find the row of a job."""
        found = self._select("job_id = ?", [job_id])
        return found[0] if found else None

    def get(self, row_id: str) -> Submission | None:
        """Find a row by its id."""
        found = self._select("id = ?", [row_id])
        return found[0] if found else None

    def of_service(self, engine: str, origin: str) -> list[Submission]:
        """List all rows of a service, the newest first."""
        return self._select("engine = ? AND origin = ?", [engine, origin])

    def media(self, origin: str, media: str, since: float) -> float | None:
        """Find when this audio was uploaded last, if that was after `since`."""
        found = self._select("origin = ? AND media = ? AND media_at > ?", [origin, media, since])
        return max((row.media_at for row in found if row.media_at is not None), default=None)

    def known_jobs(self) -> set[str]:
        """List the ids of all jobs of which this store knows the recording; another may be one that is looked for."""
        either = "SELECT job_id FROM submissions UNION SELECT job_id FROM runs WHERE content_hash IS NOT NULL"
        query = f"SELECT job_id FROM ({either}) WHERE job_id IS NOT NULL"  # noqa: S608
        return {row["job_id"] for row in self._read(query, [])}

    def close(self, which: str) -> bool:
        """Remove the row with this id, or of this job: its run is in the run store, or it is to be forgotten."""
        query = "DELETE FROM submissions WHERE ? IN (id, job_id)"
        return bool(self._store.transact(lambda db: _write(db, query, [which])))

    def find_delivered_run(self, submission: Submission, since: datetime) -> Run | None:
        """Find the run of an equal submission that another call, for which this one waited, has kept meanwhile."""
        query = "SELECT id FROM runs WHERE engine = ? AND content_hash = ? AND created >= ? AND state = 'succeeded'"
        about = submission.about
        values = [submission.engine, about.content_hash, since.isoformat(timespec="microseconds")]
        for row in self._read(query, values):
            run = self._store.get(row["id"])
            if all(getattr(run, name) == getattr(about, name) for name in ("model", "params", "options")):
                return run
        return None

    def run_of_job(self, job_id: str | None) -> Run | None:
        """Find the run of a job; another call may have kept it, and closed the row, a moment ago."""
        found = self._read("SELECT id FROM runs WHERE job_id = ? AND state = 'succeeded'", [job_id])
        return self._store.get(found[0]["id"]) if found else None

    def table(self) -> pd.DataFrame:
        """List what has no run in the store, as `Store.runs` lists runs."""
        found = self._read("SELECT job_id FROM runs WHERE job_id IS NOT NULL", [])
        delivered = {row["job_id"] for row in found}
        listed = [
            {
                "run": row.id,
                "created": datetime.fromtimestamp(row.created, UTC),
                "source": row.source,
                "engine": row.engine,
                "model": row.about.model,
                "duration": row.about.duration,
                "speakers": None,
                "state": row.state,
                "billed_seconds": row.billed_seconds,
                "job_id": row.job_id,
                "expires": None if row.expires is None else datetime.fromtimestamp(row.expires, UTC),
            }
            for row in self._select("1", [])
            if row.job_id is None or row.job_id not in delivered
        ]
        return pd.DataFrame(listed)

    def _update(self, submission: Submission, changes: dict[str, Any], **beside: Any) -> Submission:
        changed = replace(submission, **changes)
        values = {**{name: value for name, value in _row(changed).items() if name in changes}, **beside}
        query = f"UPDATE submissions SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?"  # noqa: S608
        self._store.transact(lambda db: _write(db, query, [*values.values(), submission.id]))
        return changed

    def _select(self, where: str, values: list[Any]) -> list[Submission]:
        query = f"SELECT * FROM submissions WHERE {where} ORDER BY rowid DESC"  # noqa: S608
        return [_submission(row) for row in self._read(query, values)]

    def _read(self, query: str, values: list[Any]) -> list[sqlite3.Row]:
        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            db.execute(_LAYOUT)
            return db.execute(query, values).fetchall()

        return self._store.transact(work)


def _write(db: sqlite3.Connection, query: str, values: Iterable[Any]) -> int:
    db.execute("BEGIN IMMEDIATE")
    db.execute(_LAYOUT)
    return db.execute(query, list(values)).rowcount


def _row(submission: Submission) -> dict[str, Any]:
    values = {name: getattr(submission, name) for name in _COLUMNS}
    return {**values, "about": json.dumps(vars(submission.about))}


def _submission(row: sqlite3.Row) -> Submission:
    values = {name: row[name] for name in _COLUMNS}
    about = Description(**json.loads(values["about"]))
    return Submission(**{**values, "about": about, "adopted": bool(values["adopted"])})
