"""The run store: every run with its raw answer, on disk, so that nothing is computed or paid twice.

One SQLite file (write-ahead log, ``synchronous=FULL``) that only its owner can read, in `DIARNB_HOME`, else in the
user's data folder. It is a cache: what was paid for stands in the ledger beside it (`ledger`), from which its runs are
made again. Nothing is held open or remembered between two calls, so threads, processes and a folder deleted in between
need no care. What diarnb does of itself (`find`, `save`, `evidence`, `put_evidence`) never fails: it warns, and the
work is done anew. What the user orders (`get`, `runs`, `forget`) raises. Nothing is pickled.

The version of the layout is in the file's name: another version of diarnb leaves this file alone.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import json
import math
import os
import secrets
import shutil
import sqlite3
import struct
import tempfile
import warnings
import zipfile
import zlib
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import platformdirs

from diarnb.errors import RunNotFoundError, StoreError, StoreWarning
from diarnb.store.ledger_file import LedgerFile
from diarnb.store.run import Run, format_time, pack_facts, unpack_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diarnb._types import Json
    from diarnb.store.run import Evidence

T = TypeVar("T")

LIMIT = 2 * 1024**3
"""Bytes that the store may hold before the evidence used longest ago is dropped; `DIARNB_STORE_LIMIT` overrides."""

_RECENT = timedelta(minutes=1)  # within which another use is not noted: reading need not write

_VERSION = 1
_LAYOUT = f"""
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    BEGIN;
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, created TEXT NOT NULL,
        source TEXT NOT NULL, path TEXT, size INTEGER, mtime_ns INTEGER, content_hash TEXT,
        engine TEXT NOT NULL, model TEXT NOT NULL, params TEXT NOT NULL, options TEXT NOT NULL,
        duration REAL, speakers INTEGER, billed_seconds REAL, job_id TEXT, expires TEXT,
        evidence_key TEXT, warning TEXT, problems TEXT NOT NULL, sha256 TEXT, raw BLOB
    );
    CREATE INDEX runs_by_key ON runs (key);
    CREATE TABLE evidence (key TEXT PRIMARY KEY, last_used TEXT NOT NULL, sha256 TEXT NOT NULL, arrays BLOB NOT NULL);
    PRAGMA user_version = {_VERSION};
    COMMIT;
"""
_LISTED: Json = {
    "run": str,
    "created": "datetime64[us, UTC]",
    "source": str,
    "engine": str,
    "model": str,
    "duration": float,
    "speakers": "Int64",
    "state": str,
    "billed_seconds": float,
    "job_id": str,
    "expires": "datetime64[us, UTC]",
}


class Store:
    """The run store in one folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made when it is first needed.
    timeout : float, default 30.0
        Seconds to wait for another process that is writing.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> run = Run(key="k", source="meeting.wav", engine="local", model="m", raw={"diarization": []})
    >>> store.save(run)
    True
    >>> store.find("k") == store.get(run.id) == run
    True
    """

    def __init__(self, folder: Path, *, timeout: float = 30.0) -> None:
        self.path: Path = folder.absolute() / f"runs-{_VERSION}.sqlite"
        self.timeout = timeout

    @classmethod
    def default(cls) -> Store:
        """Open the user's store, or, with one warning, one that ends with this process where that cannot be used."""
        folder = Path(os.environ.get("DIARNB_HOME") or platformdirs.user_data_dir("diarnb"))
        try:
            store = cls(folder.expanduser())  # raises where there is no home
            store.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            why = _unfit(store.path)
            if why is None and not LedgerFile(store.path.parent).exists():
                with suppress(StoreError):  # told before anything is sent
                    LedgerFile(store.path.parent).read()
            if why is None and not store.path.exists():
                store._create()
        except (OSError, RuntimeError, sqlite3.Error) as error:
            why = _reason(error)
        return store if why is None else cls(_private_folder(why))

    def find(self, key: str) -> Run | None:
        """Find the newest finished run with this key that is sound, if there is one."""
        query = "SELECT * FROM runs WHERE key = ? AND state = 'succeeded' ORDER BY created DESC, rowid DESC"
        rows: list[sqlite3.Row] = self._automatic(lambda db: db.execute(query, [key]).fetchall(), [])
        for row in rows:
            try:
                return _run_from(row)
            except (ValueError, TypeError):
                self._automatic(lambda db: _mark_damaged(db, row["id"]), None)  # noqa: B023 (called at once)
                _warn(f"run {row['id']} of {row['source']} is damaged in the run store and was set aside")
        return None

    def get(self, run_id: str, *, answer: bool = True) -> Run:
        """Read a run by its id.

        Parameters
        ----------
        run_id : str
        answer : bool, default True
            Whether to parse the raw answer, which takes most of the time; else `raw` is empty.

        Raises
        ------
        RunNotFoundError
            If there is none, or it is damaged.
        StoreError
            If the store cannot be read.
        """
        row = self.transact(lambda db: db.execute("SELECT * FROM runs WHERE id = ?", [run_id]).fetchone())
        if row is None:
            raise _no_run(run_id)
        try:
            return _run_from(row, answer=answer)
        except (ValueError, TypeError) as error:
            advice = "diarize the recording again with refresh=True"
            raise RunNotFoundError(f"run {run_id} of {row['source']} is damaged in the run store; {advice}") from error

    def save(self, run: Run) -> bool:
        """Keep a run, whole or not at all.

        Returns
        -------
        bool
            False, with a `StoreWarning`, where it could not be kept.
        """
        raw = zlib.compress(json.dumps(run.raw).encode(), level=1)  # four times as fast, for half as much again
        values = pack_facts(run) | {"raw": raw, "sha256": _sha256(raw)}
        values |= {name: json.dumps(values[name]) for name in ("params", "options", "problems")}
        query = f"INSERT OR REPLACE INTO runs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608

        def work(db: sqlite3.Connection) -> bool:
            db.execute("BEGIN IMMEDIATE")
            db.execute(query, list(values.values()))
            return True

        return self._automatic(work, False, "the result is right, but could not be kept; write it to your own file")

    def evidence(self, key: str) -> Evidence | None:
        """Read the arrays kept under a key, if they are there and sound."""
        found: list[tuple[str, bytes]] = []  # also where the time of use cannot be written

        def work(db: sqlite3.Connection) -> None:
            db.execute("BEGIN")
            query = "SELECT rowid, sha256, last_used FROM evidence WHERE key = ?"
            row = db.execute(query, [key]).fetchone()
            if row is not None:
                # Blobs are read and written in place; else SQLite would copy the arrays, even to change another column.
                with db.blobopen("evidence", "arrays", row["rowid"], readonly=True) as arrays:
                    found[:] = [(row["sha256"], arrays.read())]
                db.execute("COMMIT")
                if row["last_used"] < format_time(datetime.now(UTC) - _RECENT):
                    with db.blobopen("evidence", "last_used", row["rowid"]) as used:
                        used.write(format_time(datetime.now(UTC)).encode()[: len(used)])

        self._automatic(work, None)
        if not found:
            return None
        ((sha256, content),) = found
        if _sha256(content) != sha256:
            self._automatic(lambda db: db.execute("DELETE FROM evidence WHERE key = ?", [key]), None)
            _warn("the stored evidence is damaged and was dropped; it is computed again")
            return None
        return _unpack_arrays(content)

    def pieces(self, prefix: str) -> list[Evidence]:
        """Read the arrays kept under a prefix and a number of six digits, from 0 on, as far as they are sound."""
        query = "SELECT key, sha256, arrays FROM evidence WHERE key GLOB ? ORDER BY key"
        rows: list[sqlite3.Row] = self._automatic(lambda db: db.execute(query, [f"{prefix}??????"]).fetchall(), [])
        sound = (
            row["key"] == f"{prefix}{number:06d}" and _sha256(row["arrays"]) == row["sha256"]
            for number, row in enumerate(rows)
        )
        return [_unpack_arrays(row["arrays"]) for row, _ in takewhile(itemgetter(1), zip(rows, sound, strict=True))]

    def drop_pieces(self, prefix: str) -> None:
        """Remove all arrays kept under keys that begin so."""
        self._automatic(lambda db: db.execute("DELETE FROM evidence WHERE key GLOB ?", [f"{prefix}*"]), None)

    def put_evidence(self, key: str, arrays: Evidence) -> bool:
        """Keep named numeric arrays, and drop those used longest ago where the store holds more than its limit.

        Returns
        -------
        bool
            False where they could not be kept, with a `StoreWarning` unless they alone are above the limit.
        """
        if any(array.dtype.hasobject for array in arrays.values()):
            raise TypeError("evidence holds numbers, and no Python objects, which only pickle could keep")
        packed = io.BytesIO()
        renamed: Json = {f"_{name}": array for name, array in arrays.items()}  # `file` is a parameter of its own
        np.savez(packed, **renamed)
        content, limit = packed.getvalue(), _limit()
        if len(content) > limit:
            return False

        def work(db: sqlite3.Connection) -> bool:
            db.execute("BEGIN IMMEDIATE")
            entry = [key, format_time(datetime.now(UTC)), _sha256(content), len(content)]
            row = db.execute("INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, zeroblob(?))", entry).lastrowid
            with db.blobopen("evidence", "arrays", row or 0) as blob:
                blob.write(content)
            total = db.execute("SELECT coalesce(sum(length(raw)), 0) FROM runs").fetchone()[0]
            entries = db.execute(
                "SELECT key, length(arrays) FROM evidence ORDER BY last_used DESC, rowid DESC"
            ).fetchall()
            for other, size in entries:
                total += size
                if total > limit and other != key:
                    db.execute("DELETE FROM evidence WHERE key = ?", [other])
            return True

        return self._automatic(work, False, "what `recluster` needs could not be kept")

    def forget(self, run_id: str) -> None:
        """Remove a run, and the evidence that no other run refers to; what was there is overwritten.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        StoreError
            If it could not be removed.
        """

        def work(db: sqlite3.Connection) -> int:
            db.execute("BEGIN IMMEDIATE")
            removed = db.execute("DELETE FROM runs WHERE id = ?", [run_id]).rowcount
            if removed:
                used = "SELECT evidence_key FROM runs WHERE evidence_key IS NOT NULL"
                db.execute(f"DELETE FROM evidence WHERE key NOT IN ({used})")  # noqa: S608
            return removed

        if not self.transact(work):
            raise _no_run(run_id)

        # Give the space back, and empty the log, which still holds what was removed. As a script, for `execute` would
        # take only the first step, one page.
        self.transact(lambda db: db.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);"))

    def runs(self) -> pd.DataFrame:
        """List all runs, newest first.

        Returns
        -------
        pandas.DataFrame
            ``run, created, source, engine, model, duration, speakers, state, billed_seconds, job_id, expires``; times
            are in UTC. Without runs it is empty and has the same types.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        columns = ", ".join({"run": "id AS run"}.get(name, name) for name in _LISTED)
        query = f"SELECT {columns} FROM runs ORDER BY created DESC, rowid DESC"  # noqa: S608
        rows = self.transact(lambda db: [tuple(row) for row in db.execute(query)])
        table = pd.DataFrame(rows, columns=list(_LISTED))
        for name in ("created", "expires"):
            table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
        # By way of a column: in pandas 2 `str` itself would make "None" of what is missing.
        return table.astype({name: pd.Series(dtype=dtype).dtype for name, dtype in _LISTED.items()})

    def _automatic(self, work: Callable[[sqlite3.Connection], T], otherwise: T, remark: str | None = None) -> T:
        """Do what nobody ordered: where it fails, warn and go on."""
        try:
            return self._do(work)
        except (OSError, sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            _warn(f"{remark or 'the run store could not be used'} ({_reason(error)})")
            return otherwise

    def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do what the user ordered: whole, or not at all with a `StoreError`."""
        try:
            return self._do(work)
        except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
            raise StoreError(f"the run store could not be used: {_reason(error)}") from error

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        for attempt in (1, 2):
            if not self.path.exists():
                self._create()
            inode = self.path.stat().st_ino
            try:
                with self._connect() as db, db:  # the inner one commits, or rolls back
                    return work(db)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # what SQLite says of damage may be damaged
                if attempt == 2 or not _says_damaged(error):
                    raise
                self._set_aside(inode)
        raise AssertionError  # not reached: the second attempt returns or raises

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        # mode=rw: a file that vanished must not come back empty, without its layout.
        address = f"{self.path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=self.timeout, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise _ForeignFileError("the file is not a run store")
            yield db

    def _create(self) -> None:
        """Begin an empty store; it appears complete or not at all, whoever else does the same."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
            fresh = Path(folder) / self.path.name
            with closing(sqlite3.connect(fresh)) as db:
                db.executescript(_LAYOUT)
            fresh.chmod(0o600)
            try:
                self.path.hardlink_to(fresh)
            except FileExistsError:
                return
        self._restore()

    def _restore(self) -> None:
        """Make the runs that were paid for again, where this store is new and their answers are not."""
        file = LedgerFile(self.path.parent)
        if not file.exists():
            return
        with suppress(StoreError):  # the ledger tells by itself what is wrong with it, before anything is sent
            for row in file.read().rows.values():
                content = file.find_answer(row["answer"]) if row.get("run") and row.get("answer") else None
                if content is not None:
                    self.save(unpack_run(row["run"], content))

    def _set_aside(self, inode: int) -> None:
        with suppress(FileNotFoundError):
            if self.path.stat().st_ino != inode:
                return  # another process was faster, and this is its new store
            bad = self.path.with_name(f"{self.path.name}.{secrets.token_hex(3)}.bad")
            self.path.replace(bad)
            # A log left behind would be played into the new store.
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").replace(f"{bad}{suffix}")
            _warn(f"the run store was damaged; it was set aside as {bad.name}, and a new one was started")


class _ForeignFileError(sqlite3.DatabaseError):
    """A sound SQLite file that is no run store."""


def _says_damaged(error: sqlite3.DatabaseError | UnicodeDecodeError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without its extension
    return isinstance(error, _ForeignFileError | UnicodeDecodeError) or code in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }


def _unfit(path: Path) -> str | None:
    """Return why a store cannot be where it should, if so."""
    for place in (path.parent, path):
        if not place.exists():
            continue
        if hasattr(os, "geteuid") and place.stat().st_uid != os.geteuid():
            return "it belongs to another user"
        if not os.access(place, os.R_OK | os.W_OK):
            return "it is read-only"
    return None


@functools.cache
def _private_folder(why: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="diarnb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _warn(f"the run store cannot be used ({why}): runs are kept until Python ends; set DIARNB_HOME to your own folder")
    return folder


def _run_from(row: sqlite3.Row, *, answer: bool = True) -> Run:
    """Read a run; ValueError if it is damaged."""
    values = dict(row)
    raw = values.pop("raw") or b""
    if _sha256(raw) != values.pop("sha256"):
        raise ValueError("the raw answer is not what was written")
    facts = values | {name: json.loads(values[name]) for name in ("params", "options", "problems")}
    return unpack_run(facts, zlib.decompress(raw) if answer else b"{}")


def _mark_damaged(db: sqlite3.Connection, run_id: str) -> None:
    db.execute("UPDATE runs SET state = 'damaged' WHERE id = ?", [run_id])


def _no_run(run_id: str) -> RunNotFoundError:
    return RunNotFoundError(
        f"the run store holds no run {run_id!r:.40}: it was forgotten, or made elsewhere; `diarnb.runs()` lists the "
        "stored runs, and `diarnb.diarize(...)` makes it again"
    )


def _limit() -> int:
    given = os.environ.get("DIARNB_STORE_LIMIT", "")
    if given and not given.isdecimal():
        _warn(f"DIARNB_STORE_LIMIT={given!r:.40} is not a number of bytes; the limit is {LIMIT}")
    return int(given) if given.isdecimal() else LIMIT


def _unpack_arrays(content: bytes) -> Evidence:
    """Return the arrays of an ``.npz``, read-only, where they lie in it: copies of hours would cost megabytes."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as file:
                np.lib.format.read_magic(file)
                shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
                header = file.tell()
            name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
            array = np.frombuffer(content, dtype, math.prod(shape), entry.header_offset + 30 + name + extra + header)
            found[entry.filename[1:].removesuffix(".npy")] = array.reshape(shape, order="F" if by_columns else "C")
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)  # an OSError's text would show the path


def _warn(message: str) -> None:
    warnings.warn(message, StoreWarning, stacklevel=3)
