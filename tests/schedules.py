"""Random schedules of delays, skewed clocks and lost answers around a submission; what is billed twice is counted.

    python -m tests.schedules [COUNT]

A second stands for fifteen minutes: a job may appear in the list, or be made at all, long after the answer was lost.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diarnb import errors
from tests import faultserver as faults
from tests.clouds import ask, hasty, sound
from tests.faultserver import refuses, says, serving

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH = 0.25  # seconds for which `Waits.search` stands here
COLLEAGUE = b'{"url": "https://example.org/other.wav"}'


@dataclass
class Counts:
    """What became of all schedules."""

    schedules: int = 0
    twice: int = 0
    wrong: int = 0
    uncertain: int = 0  # at the end, after three calls
    adopted: int = 0
    resubmitted: int = 0


def draw_fault(draw: random.Random, timers: list[threading.Timer]) -> tuple[faults.Fault, bool]:
    """Draw how the answer is lost, and whether the job is ever made: at once, late, or not."""
    when = draw.choice(("at once", "late", "never"))
    status = draw.choice((500, 502, 504, 408, 409, 425))
    page = draw.choice((b"{}", b"<title>Gateway time-out</title>"))
    if when == "at once":
        kinds = [faults.fin_after, faults.reset_after, faults.short_body, says(b""), says(b'{"jobId": "3c')]
        return draw.choice([*kinds, refuses(status, page, executed=True)]), True
    if when == "never":
        return draw.choice([refuses(status, page), faults.fin_on_accept, refuses(503, Retry_After="0")]), False
    delay = draw.uniform(0.0, 2.5 * SEARCH)

    def late(exchange: faults.Exchange) -> None:
        exchange.read_body()

        def make() -> None:
            with exchange.server.lock:
                exchange.server.create(exchange.request)

        timers.append(threading.Timer(delay, make))
        timers[-1].start()
        exchange.reply(status, {}, page)

    return late, True


def arrange(server: faults.FaultServer, draw: random.Random) -> list[threading.Timer]:
    """Draw a schedule for one submission: how its answer is lost, the list's delay, the clock, a colleague's job."""
    timers: list[threading.Timer] = []
    lag, skew = (
        draw.choice((0.0, draw.uniform(0, 2 * SEARCH))),
        draw.choice((0.0, -30.0, 90.0, draw.uniform(-600, 600))),
    )
    fault, _ = draw_fault(draw, timers)
    create, listed = type(server).create, type(server).listed
    born: dict[str, float] = {}

    def make(request: faults.Request) -> str:
        job = create(server, request)
        born[job] = time.monotonic()
        server.jobs[job]["created"] += skew
        return job

    def show(request: faults.Request) -> dict[str, Any]:
        hidden = {job for job, at in born.items() if time.monotonic() - at < lag}
        kept, server.jobs = server.jobs, {job: facts for job, facts in server.jobs.items() if job not in hidden}
        try:
            return listed(server, request)
        finally:
            server.jobs = kept

    server.create, server.listed = make, show  # type: ignore[method-assign]
    rival = draw.random() < 0.15

    def meets(exchange: faults.Exchange) -> None:
        if rival:
            with server.lock:
                server.create(faults.Request("POST", "/v1/diarize", {}, {}, COLLEAGUE))
        fault(exchange)

    server.plan = {"POST /v1/diarize": [meets]}
    if draw.random() < 0.2:
        server.plan["GET /v2/jobs"] = [lambda exchange: exchange.reply(*exchange.execute()), refuses(503), refuses(500)]
    return timers


def run(count: int, seed: int = 0, client: Callable[[str, int], bool] | None = None) -> Counts:
    """Run schedules; each recording is asked for three times, as a user runs a cell again, never with consent.

    `client` is somebody else's: given a service's origin and the number of a sound, whether an answer came.
    """
    draw, counts = random.Random(seed), Counts()
    for number in range(count):
        with serving() as server:
            timers = arrange(server, draw)
            done = None
            for _ in range(3):
                if client is not None:
                    if client(server.origin, number):
                        counts.adopted += 1
                        break
                    time.sleep(draw.uniform(0, SEARCH))
                    continue
                try:
                    done = ask(server.origin, sound(number), hasty(read=0.3, search=SEARCH))
                    break
                except errors.ApiError:
                    time.sleep(draw.uniform(0, SEARCH))
            for timer in timers:
                timer.join()
            ours = [job for job, facts in server.jobs.items() if not facts["content"].startswith(b"https://")]
            counts.schedules += 1
            counts.twice += len(ours) > 1
            counts.uncertain += done is None and client is None
            counts.resubmitted += server.asked["POST /v1/diarize"] > 1
            if done is not None:
                counts.adopted += 1
                expected = [
                    faults.usual_output(server.jobs[job]["request"], server.jobs[job]["content"]) for job in ours
                ]
                ends = [[turn["end"] for turn in output["diarization"]] for output in expected]
                counts.wrong += list(done["end"]) not in ends
    return counts


if __name__ == "__main__":
    import os
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        os.environ["DIARNB_HOME"] = home
        print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
