"""The ledger of paid work: what was sent, what became of it, and what came back, so that nothing is paid twice.

One row for each logical submission, in a file of its own (`ledger_file`) that no rule of the cache touches:

    prepared ── sent ── accepted ── succeeded ── kept | failed | canceled | expired
                  └── uncertain ──┘

``sent`` is on disk before the first byte of a billed request leaves, ``accepted`` (with the job's id) before anything
else is done, and the answer, byte for byte, before it is parsed. A row that is ``sent`` while nobody holds its lock
belongs to a process that died: whether it was billed is for the engine to find out. ``kept`` is what has its run in the
run store; the run can be made again from here. Here nothing fails in silence: what cannot be written raises
`StoreError`, and then nothing is sent.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.store import Store
from diarnb.store.ledger_file import LedgerFile
from diarnb.store.lock import exclusively
from diarnb.store.run import Description, pack_facts, unpack_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractAsyncContextManager

    from diarnb._types import Json
    from diarnb.store.run import Run

OPEN = ("prepared", "sent", "uncertain", "accepted")
"""States from which the work can go on."""

_DONE = ("kept", "replaced", "forgotten")  # has a run in the store, had one until it was asked anew, or had one at all


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
        The recording, and what is asked about it.
    state : str
    media, media_at : str and float, optional
        The address of the uploaded audio at the service, and when it was complete.
    newest : str, optional
        The newest job that the service listed before the request left; "" where it listed none.
    sent_at : float, optional
        When the request began to leave.
    job_id : str, optional
    expires : float, optional
        When the service deletes the result.
    billed_seconds : float, optional
    adopted : bool
        Whether the job was found in the service's list, and not told in an answer.
    remark : str, optional
        What the service said when it took the job.
    answer : str, optional
        The name under which the answer is kept.
    run : dict, optional
        The run that was made of the answer, but for the answer itself.
    id, created : str and float
        12 hexadecimal digits, and now. Times are seconds since 1970, by this machine's clock.
    """

    key: str
    engine: str
    origin: str
    endpoint: str
    about: Description
    state: str = "prepared"
    media: str | None = None
    media_at: float | None = None
    newest: str | None = None
    sent_at: float | None = None
    job_id: str | None = None
    expires: float | None = None
    billed_seconds: float | None = None
    adopted: bool = False
    remark: str | None = None
    answer: str | None = None
    run: Json | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    created: float = field(default_factory=time.time)

    @property
    def source(self) -> str:
        """The recording's name."""
        return self.about.source


_COLUMNS = tuple(entry.name for entry in fields(Submission))
_DESCRIBED = tuple(entry.name for entry in fields(Description))


class Ledger:
    """The ledger beside a run store.

    Parameters
    ----------
    store : Store, optional
        By default the user's.

    Raises
    ------
    StoreError
        From every method, where the ledger cannot be read or written.

    Examples
    --------
    >>> ledger = Ledger()
    >>> about = Description(source="a.wav", engine="e", model="m")
    >>> row = ledger.prepare(Submission(key="k", engine="e", origin="o", endpoint="/diarize", about=about))
    >>> row = ledger.change(row, state="accepted", job_id="j")
    >>> ledger.find("k") == row
    True
    """

    def __init__(self, store: Store | None = None) -> None:
        self._folder = (store or Store.default()).path.parent
        self._file = LedgerFile(self._folder)

    def sending(self, engine: str, origin: str) -> AbstractAsyncContextManager[None]:
        """Hold the right to submit to a service.

        One submission at a time between ``sent`` and ``accepted``, in all processes that share the store: so that at
        most one of them is in doubt when something breaks, and whoever wants the same finds it accepted.
        """
        name = hashlib.sha256(f"{engine} {origin}".encode()).hexdigest()[:16]
        return exclusively(self._folder / f"{name}.lock")

    def damage(self) -> str | None:
        """Return what was lost of the ledger, in words, until `accept_loss`; None where nothing was."""
        return "; ".join(self._file.read().damage) or None

    def accept_loss(self) -> None:
        """Let paid engines go on, though what the ledger lost may be paid again."""
        self._file.accept_loss()

    def prepare(self, submission: Submission) -> Submission:
        """Write a new row."""
        self._file.write(asdict(submission))
        return submission

    def change(self, submission: Submission, **changes: Any) -> Submission:
        """Write what has become of a row, and nothing else of it: another call may have gone on with it.

        On disk when this returns.
        """
        with self._file.changing() as rows:
            if submission.id in rows:
                rows[submission.id] = {**rows[submission.id], **changes}
        return replace(submission, **changes)

    def archive(self, submission: Submission, answer: bytes, **changes: Any) -> Submission:
        """Write an answer as it came, and then what has become of the row."""
        return self.change(submission, answer=self._file.keep_answer(answer), **changes)

    def answer(self, submission: Submission) -> bytes | None:
        """Read the archived answer; None if there is none, or it is damaged."""
        return None if submission.answer is None else self._file.find_answer(submission.answer)

    def find(self, key: str, *earlier: str) -> Submission | None:
        """Find the newest row with this key, or one of those that an earlier version gave to the same."""
        return self._newest(lambda row: row["key"] in (key, *earlier) and row["state"] not in ("replaced", "forgotten"))

    def job(self, job_id: str) -> Submission | None:
        """Find the row of a job."""
        return self._newest(lambda row: row.get("job_id") == job_id and row["state"] != "forgotten")

    def get(self, row_id: str) -> Submission | None:
        """Find a row by its id."""
        row = self._file.read().rows.get(row_id)
        return None if row is None or row["state"] == "forgotten" else _submission(row)

    def of_service(self, engine: str, origin: str) -> list[Submission]:
        """List the open rows of a service, the newest first."""
        return self._find(
            lambda row: (row["engine"], row.get("origin")) == (engine, origin) and row["state"] not in _DONE,
        )

    def media(self, origin: str, media: str, since: float) -> float | None:
        """Find when this audio was uploaded last, if that was after `since`."""
        rows = self._find(lambda row: (row.get("origin"), row.get("media")) == (origin, media))
        return max((row.media_at for row in rows if row.media_at and row.media_at > since), default=None)

    def known_jobs(self) -> set[str]:
        """List the ids of all jobs of which the recording is known; another may be one that is looked for."""
        unknown = ("kept", "replaced")  # what was delivered to a hook may be what is looked for
        rows = self._file.read().rows.values()
        known = [row for row in rows if row["state"] not in unknown or row["about"].get("content_hash")]
        return {row["job_id"] for row in known if row.get("job_id") is not None}

    def close(self, row_id: str, run: Run | None = None) -> None:
        """Write that the run of a row is in the run store; without a run, that nothing came of the row."""
        if run is None:
            row = self.get(row_id)
            if row is not None:
                self._erase(row)
            return
        facts = pack_facts(run)
        with self._file.changing() as rows:
            known = rows.get(row_id)
            if known is None:  # what was delivered to somebody else's hook
                answer = self._file.keep_answer(json.dumps(run.raw).encode())
                about = Description(**{name: facts[name] for name in _DESCRIBED})
                known = asdict(
                    Submission(key="", engine=run.engine, origin="", endpoint="", about=about, answer=answer)
                )
            rows[known["id"]] = {**known, "state": "kept", "job_id": run.job_id or known["job_id"], "run": facts}

    def retire(self, *run_keys: str) -> None:
        """Let what was paid before answer no more: the same is asked anew, and is to be paid."""
        with self._file.changing() as rows:
            for name, row in list(rows.items()):
                if row["state"] == "kept" and row["run"]["key"] in run_keys:
                    rows[name] = {**row, "state": "replaced"}

    def find_paid(self, run_key: str) -> tuple[Submission, Run | None] | None:
        """Find what was paid for under a run's key; the run is None where its answer is damaged on disk."""
        row = self._newest(lambda row: row["state"] == "kept" and (row.get("run") or {}).get("key") == run_key)
        return None if row is None else (row, self._run(row))

    def run_of_job(self, job_id: str | None) -> Run | None:
        """Find the run of a job; another call may have kept it a moment ago."""
        row = self._newest(
            lambda row: row.get("run") is not None and row.get("job_id") == job_id and row["state"] != "forgotten",
        )
        return None if row is None else self._run(row)

    def forget(self, which: str) -> Submission | None:
        """Remove the row with this id, or of this job or run, and its answer, for good; return what it was."""
        row = self._newest(lambda row: which in (row["id"], row.get("job_id"), (row.get("run") or {}).get("id")))
        if row is None or row.state == "forgotten":
            return None
        self._erase(row)
        return row

    def table(self, delivered: Collection[str] = ()) -> pd.DataFrame:
        """List what has no run in the store, as `Store.runs` lists runs; `delivered` are jobs whose runs it has."""
        rows = self._find(
            lambda row: row["state"] not in _DONE and (row.get("job_id") is None or row.get("job_id") not in delivered),
        )
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
            for row in rows
        ]
        return pd.DataFrame(listed)

    def _erase(self, row: Submission) -> None:
        """Leave of a row nothing but its job's id, which is not to be taken for a lost one."""
        gone = Submission(
            key="",
            engine=row.engine,
            origin="",
            endpoint="",
            about=Description(source="", engine=row.engine, model=""),
            state="forgotten",
            job_id=row.job_id,
            id=row.id,
        )
        self._file.erase(asdict(gone))
        if row.answer is not None and self._newest(lambda other: other.get("answer") == row.answer) is None:
            self._file.remove_answer(row.answer)

    def _run(self, row: Submission) -> Run | None:
        content = self.answer(row)
        return None if content is None or row.run is None else unpack_run(row.run, content)

    def _newest(self, fits: Callable[[Json], bool]) -> Submission | None:
        return next(iter(self._find(fits, most=1)), None)

    def _find(self, fits: Callable[[Json], bool], most: int | None = None) -> list[Submission]:
        """Find rows, the newest first; only those that fit are made, for a ledger may have ten thousand."""
        rows = (row for row in reversed(self._file.read().rows.values()) if fits(row))
        return [_submission(row) for row in islice(rows, most)]


def _submission(row: Json) -> Submission:
    about = Description(**{name: row["about"][name] for name in _DESCRIBED if name in row["about"]})
    return Submission(**{**{name: row[name] for name in _COLUMNS if name in row}, "about": about})
