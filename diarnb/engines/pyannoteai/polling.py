"""Waiting for jobs: one look at the list serves all who wait, so that many jobs stay within the rate limit."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from diarnb.engines.cloud.paid_jobs import look_at_job
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind, Reply
from diarnb.errors import JobTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json
    from diarnb.engines.cloud.service import Service

ENDED = ("succeeded", "failed", "canceled")

_UNDERWAY = {"pending", "created", "running"}
_FEW = 3  # jobs that are asked after one by one
_PAGE = 100  # the most that the list gives at once
_SILENT = 3  # answers without a status before that is an error


class Poller:
    """Looks at the jobs of one service for everybody who waits."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._statuses: dict[str, str] = {}
        self._seen_at = -1e9
        self._looking = asyncio.Lock()

    @classmethod
    def of(cls, service: Service) -> Poller:
        """Find the poller that all share who ask this service with this key; called on the private loop only."""
        who = (service.origin, hash(service.key), id(asyncio.get_running_loop()))
        poller = _pollers.get(who)
        if poller is None:
            poller = _pollers[who] = cls()
        return poller

    async def wait_for_end(
        self,
        service: Service,
        job_id: str,
        name: str,
        poll: float,
        timeout: float | None,
        report: Callable[[str], None],
    ) -> tuple[Reply, Json]:
        """Wait until a job has ended; return the answer that says so, as it came and parsed.

        Raises
        ------
        JobTimeoutError
            It has not, in time.
        JobNotFoundError
            The service does not know it.
        """
        until = None if timeout is None else time.monotonic() + timeout
        silent = 0
        strange = ""
        self._waiting.add(job_id)
        try:
            while True:
                status = await self._status(service, job_id, poll)
                if status is None or status in ENDED:
                    reply, job = await get_job(service, job_id, name)
                    status = job.get("status")
                    if status in ENDED:
                        return reply, job
                if isinstance(status, str):
                    silent = 0
                    if status not in _UNDERWAY:
                        strange = (
                            f" Its status is {quote_service(status, 40)!r}, which this version of diarnb does not know."
                        )
                    report(status)
                else:
                    silent += 1
                    if silent == _SILENT:
                        raise reply.unlike(f"job {job_id} has no status; it is not lost: diarnb.resume({job_id!r})")
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise JobTimeoutError(
                        f"job {job_id} ({name}) is still running after {timeout:g} s.{strange} Nothing is lost. "
                        f"Continue with diarnb.resume({job_id!r}) [pyannoteAI]",
                        job_id=job_id,
                    )
                await asyncio.sleep(poll if left is None else min(poll, left))
        finally:
            self._waiting.discard(job_id)

    async def _status(self, service: Service, job_id: str, poll: float) -> str | None:
        """Read a job's status from the list; None where it has to be asked after by itself."""
        if len(self._waiting) <= _FEW:
            return None
        async with self._looking:
            if time.monotonic() - self._seen_at >= poll * 0.9:
                self._statuses = await self._read_list(service)
                self._seen_at = time.monotonic()
        return self._statuses.get(job_id)

    async def _read_list(self, service: Service) -> dict[str, str]:
        """Read the list until everybody who waits is in it, or it is plain that it is no help."""
        found: dict[str, str] = {}
        cursor = None
        for _ in range(2 + len(self._waiting) // _PAGE):
            items, cursor = await list_jobs(service, cursor)
            found |= {item["id"]: item["status"] for item in items if isinstance(item.get("status"), str)}
            if cursor is None or self._waiting <= found.keys():
                break
        return found


_pollers: WeakValueDictionary[tuple[str, int, int], Poller] = WeakValueDictionary()  # as long as anybody waits


async def get_job(service: Service, job_id: str, name: str) -> tuple[Reply, Json]:
    """Look at a job; return the answer as it came and parsed."""
    return await look_at_job(service, f"/v1/jobs/{job_id}", job_id, name)


async def list_jobs(service: Service, cursor: str | None = None) -> tuple[list[Json], str | None]:
    """Read a page of the job list, newest first.

    Returns
    -------
    tuple
        The items, each with an ``id``, and the cursor of the next page.
    """
    query = {"limit": _PAGE} if cursor is None else {"limit": _PAGE, "cursor": cursor}
    reply = await service.request("GET", "/v2/jobs", kind=Kind.READ, query=query)
    page = reply.json()
    items = page.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise reply.unlike("the job list has no items")
    following = page.get("nextCursor")
    return [item for item in items if isinstance(item.get("id"), str)], following if isinstance(
        following, str
    ) else None
