"""What a store of diarnb 0.1.0 holds of paid runs, whose journal stood in the same file as everything else."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from diarnb._types import Json

_VERSION = 1
_JSON = ("params", "options", "problems")


@dataclass
class Earlier:
    """Rows as `ledger.Submission` has them, each with its answer or None, and what could not be read, in words."""

    rows: list[tuple[Json, bytes | None]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def read_earlier_store(folder: Path) -> Earlier:
    """Read the paid runs and the open submissions of a store, and of those that were set aside as damaged.

    Parameters
    ----------
    folder : pathlib.Path
        Where ``runs-1.sqlite`` is, or was.
    """
    found = Earlier()
    for path in sorted(folder.glob(f"runs-{_VERSION}.sqlite*")):
        if path.name.endswith((".sqlite", ".bad")):
            _read_file(path, found)
    return found


def _read_file(path: Path, found: Earlier) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30.0)) as db:
            db.row_factory = sqlite3.Row
            version = db.execute("PRAGMA user_version").fetchone()[0]
            tables = {row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if version != _VERSION or "runs" not in tables:
                found.damage.append(f"{path.name} is of another version, or damaged")
                return
            trouble = [row[0] for row in db.execute("PRAGMA quick_check(1)")] != ["ok"]
            for table, read in (("runs", _paid_run), ("submissions", _submission)):
                for row in _rows(db, table) if table in tables else ():
                    if isinstance(row, sqlite3.Error):
                        trouble = True
                        continue
                    try:
                        taken = read(dict(row))
                    except (ValueError, TypeError, KeyError):
                        trouble = True
                        continue
                    if taken is not None:
                        found.rows.append(taken)
            if trouble:
                found.damage.append(f"{path.name} is damaged, and some of its runs cannot be read")
    except (sqlite3.Error, ValueError, TypeError):
        found.damage.append(f"{path.name} is damaged and cannot be read")


def _rows(db: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row | sqlite3.Error]:
    """Read a table row by row, so that what is damaged hides nothing else."""
    try:
        last = db.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0  # noqa: S608
    except sqlite3.Error as error:
        yield error
        return
    for rowid in range(1, last + 1):
        try:
            row = db.execute(f"SELECT * FROM {table} WHERE rowid = ?", [rowid]).fetchone()  # noqa: S608
        except (sqlite3.Error, UnicodeDecodeError) as error:
            yield sqlite3.DatabaseError(str(error))
            continue
        if row is not None:
            yield row


def _paid_run(run: Json) -> tuple[Json, bytes | None] | None:
    if run["job_id"] is None or run["engine"] == "local":
        return None
    raw, checksum = run.pop("raw"), run.pop("sha256")
    sound = raw is not None and hashlib.sha256(raw).hexdigest() == checksum
    facts = {**run, **{name: json.loads(run[name]) for name in _JSON}}
    names = ("source", "engine", "model", "params", "options", "content_hash", "duration", "problems")
    row = {
        "id": run["id"],
        "key": "",  # not known; `Ledger.find` tells the same question by `about`
        "engine": run["engine"],
        "origin": facts["options"].get("base_url", ""),
        "endpoint": "",
        "about": {name: facts[name] for name in names},
        "state": "kept",
        "job_id": run["job_id"],
        "expires": run["expires"] and datetime.fromisoformat(run["expires"]).timestamp(),
        "billed_seconds": run["billed_seconds"],
        "created": datetime.fromisoformat(run["created"]).timestamp(),
        "run": facts,
    }
    return row, zlib.decompress(raw) if sound else None


def _submission(row: Json) -> tuple[Json, bytes | None]:
    packed, checksum = row.pop("answer"), row.pop("sha256")
    sound = packed is not None and hashlib.sha256(packed).hexdigest() == checksum
    taken = {**row, "about": json.loads(row["about"]), "adopted": bool(row["adopted"])}
    return taken, zlib.decompress(packed) if sound else None
