"""The manifest of batches: what became of each recording of each batch, so that the same call goes on where it stopped.

One row for each recording of a batch, in the same file as the run store:

    waiting ── done (its run) | failed (its error)

A recording is recognised by its address, or its path, size and time of change, together with all that was asked: what
is done in one batch is done in every other that asks the same. Nothing here is worth failing for: what cannot be
written is a warning, and is found again by its content in the run store.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from diarnb.errors import StoreError, StoreWarning
from diarnb.store import Store
from diarnb.store.run import hash_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from diarnb._types import Json

T = TypeVar("T")

_LAYOUT = (
    """
    CREATE TABLE IF NOT EXISTS batches (
        batch TEXT NOT NULL, place INTEGER NOT NULL, item TEXT NOT NULL, uri TEXT NOT NULL, state TEXT NOT NULL,
        run TEXT, error TEXT, message TEXT, seconds REAL, changed REAL NOT NULL, PRIMARY KEY (batch, place)
    )
    """,
    "CREATE INDEX IF NOT EXISTS batches_by_item ON batches (item)",
)
_LISTED: Json = {
    "uri": str,
    "state": str,
    "duration": float,
    "speakers": "Int64",
    "seconds": float,
    "run": str,
    "error": str,
    "message": str,
    "warning": str,
}


@dataclass(frozen=True)
class Row:
    """What was known of a recording before: its state, its run and its error."""

    state: str
    run: str | None
    error: str | None


class Manifest:
    """The manifest in a run store.

    Parameters
    ----------
    store : Store, optional
        By default the user's.

    Examples
    --------
    >>> manifest = Manifest()
    >>> batch = manifest.begin(["item"], ["talk.wav"])
    >>> manifest.end(batch, 0, "failed", error="AudioNotFoundError", message="talk.wav does not exist.")
    >>> manifest.table(batch)[["uri", "state", "error"]]
            uri   state               error
    0  talk.wav  failed  AudioNotFoundError
    >>> manifest.find_known(["item"])["item"].state
    'failed'
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or Store.default()

    def find_known(self, items: Sequence[str]) -> dict[str, Row]:
        """Find what is known of recordings: of each a batch in which it was done, else the newest."""

        def work(db: sqlite3.Connection) -> dict[str, Row]:
            found: dict[str, Row] = {}
            for first in range(0, len(items), 500):  # SQLite takes so many at once anywhere
                some = items[first : first + 500]
                query = (
                    "SELECT item, state, run, error FROM batches "  # noqa: S608
                    f"WHERE item IN ({', '.join('?' * len(some))}) ORDER BY state = 'done', changed"
                )
                found |= {row["item"]: Row(row["state"], row["run"], row["error"]) for row in db.execute(query, some)}
            return found

        return self._quietly(work, {})

    def begin(self, items: Sequence[str], uris: Sequence[str], runs: Mapping[int, str | None] | None = None) -> str:
        """Write down what a batch consists of, and the runs, by their place, of what is done; give the batch's id."""
        batch = hash_json(list(items), list(uris))[:12]
        now = time.time()
        rows = [(batch, place, *both, now) for place, both in enumerate(zip(items, uris, strict=True))]
        query = (
            "INSERT OR IGNORE INTO batches (batch, place, item, uri, state, changed) VALUES (?, ?, ?, ?, 'waiting', ?)"
        )

        done = "UPDATE batches SET state = 'done', run = ?, error = NULL, message = NULL WHERE batch = ? AND place = ?"
        known = [(run, batch, place) for place, run in (runs or {}).items() if run is not None]

        def work(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(query, rows)
            db.executemany(done, known)
            db.execute("UPDATE batches SET changed = ? WHERE batch = ?", [now, batch])

        self._quietly(work, None)
        return batch

    def end(
        self,
        batch: str,
        place: int,
        state: str,
        *,
        run: str | None = None,
        error: str | None = None,
        message: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Write down what became of a recording; `seconds` is how long it took, if it took any."""
        query = (
            "UPDATE batches SET state = ?, run = ?, error = ?, message = ?, seconds = coalesce(?, seconds), "
            "changed = ? WHERE batch = ? AND place = ?"
        )
        values = [state, run, error, message, seconds, time.time(), batch, place]
        self._quietly(lambda db: db.execute(query, values), None)

    def latest(self) -> str | None:
        """Find the batch that was worked at last; return its id."""
        query = "SELECT batch FROM batches ORDER BY changed DESC LIMIT 1"
        found = self._do(lambda db: db.execute(query).fetchone())
        return found["batch"] if found else None

    def table(self, batch: str | None) -> pd.DataFrame:
        """List a batch, in its order.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        query = (
            "SELECT uri, batches.state, duration, speakers, seconds, run, error, message, warning "
            "FROM batches LEFT JOIN runs ON runs.id = run WHERE batch = ? ORDER BY place"
        )
        rows = self._do(lambda db: [tuple(row) for row in db.execute(query, [batch])])
        table = pd.DataFrame(rows, columns=list(_LISTED))
        # By way of a column: in pandas 2 `str` itself would make "None" of what is missing.
        return table.astype({name: pd.Series(dtype=dtype).dtype for name, dtype in _LISTED.items()})

    def forget(self, run: str) -> None:
        """Remove what is written of the recordings that a run answers; their names may tell something."""
        self._do(lambda db: db.execute("DELETE FROM batches WHERE run = ?", [run]))

    def _quietly(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        try:
            return self._do(work)
        except StoreError as error:
            warnings.warn(f"the batch continues, but its state is not saved: {error}", StoreWarning, stacklevel=4)
            return otherwise

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def whole(db: sqlite3.Connection) -> T:
            for statement in _LAYOUT:
                db.execute(statement)
            return work(db)

        return self._store.transact(whole)
