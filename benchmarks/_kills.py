"""Kills a server under load, again and again, and counts what becomes of the jobs that it had accepted (figure S25)."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.server import Client, clip
from tests.servers import in_process

if TYPE_CHECKING:
    from tests.servers import InProcess

NOTES = """\
- S25: `kill -9` of a server with two workers at random moments, while four clients submit recordings of 5 s without
  pause. A job is accepted whose id a client has been given; it is done when it has succeeded with the result that a
  server without kills gives."""
_CLIENTS = 4
_WAITING = 40  # jobs that may wait: more would only lengthen the end


def s25(kills: int, seed: int) -> tuple[str, list[str]]:
    """Finish every accepted job, whenever the server is killed."""
    draw = random.Random(seed)
    sounds = [clip(5, start) for start in (0, 15, 30)]
    with in_process(workers=2) as server:
        client = Client(server)
        true = [client.ended(client.submit(client.upload(f"{n}", sound)))["output"] for n, sound in enumerate(sounds)]
    accepted: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="diarnb-kills-") as folder:
        for life in range(kills):
            with in_process(Path(folder), workers=2) as server:
                if not life:
                    for number, sound in enumerate(sounds):
                        Client(server).upload(f"{number}", sound)
                over = threading.Event()
                load = [threading.Thread(target=_submit, args=(server, accepted, n, over)) for n in range(_CLIENTS)]
                for thread in load:
                    thread.start()
                time.sleep(draw.uniform(0.2, 4.0))
                server.kill()
                over.set()
                for thread in load:
                    thread.join()
        with in_process(Path(folder), workers=2) as server:
            client = Client(server)
            ended = {job_id: client.ended(job_id) for job_id in accepted}
    failed = [
        f"{job_id}: {job}"
        for job_id, job in ended.items()
        if job["status"] != "succeeded" or job["output"] != true[accepted[job_id]]
    ]
    return f"{len(ended) - len(failed)} of {len(accepted)} accepted jobs done; {kills} kills", failed


def _submit(server: InProcess, accepted: dict[str, Any], number: int, over: threading.Event) -> None:
    """Submit until the server is killed; a job is accepted once its id has come."""
    client, number = Client(server), number % 3
    try:
        while not over.is_set():
            accepted[client.submit(f"media://{number}")] = number
            while not over.is_set() and client.waiting() >= _WAITING:
                time.sleep(0.05)
    except (httpx.HTTPError, ValueError):  # it was killed
        return
