"""Measures diarnb's server: ``python -m benchmarks.server``.

What it loses when it is killed, what it answers while it works, under load and under attack, what grows over thousands
of jobs, and what can be made to leave the machine. ``--only S5 S15`` picks figures, ``--quick`` takes small sizes to
try it, ``--json FILE`` writes them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import soundfile
from scipy import stats

import diarnb
from benchmarks import _probes
from benchmarks._machine import heading, table, versions
from tests.servers import KEY, InProcess, in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
NOTES = """\
- The server runs in a process of its own on one core, with two workers on any; clients run in another process on the
  other core, with raw sockets, and ask again as soon as they are answered. Nothing leaves this machine.
- S5: one worker; jobs are accepted all the while. The server is ended by `kill -9` at a random time after the first
  result of each of its lives. A job is lost that is not there or has not succeeded, wrong whose result is not the one
  without faults, and double that nobody submitted.
- S14: jobs that fail and so end soon: nine in ten a voiceprint of a file that is no audio, one in ten of silence, to
  which the networks listen. The slope is Theil and Sen's, after the first fifth.
- S15: GET of a job, 50 clients, while both workers listen. S16: the same without jobs, clients doubled while p99 is
  below 100 ms, and then the number in the middle. S17: 20 clients that ask ten times a second, before and while 200
  connections send a header line a second, 50 send nothing, and four send 400 MiB each; memory is that of the server's
  process.
- S18: requests that would have the server reach an address or a file of this machine."""


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    jobs: int = 50
    kills: int = 20
    growth: int = 10_000
    seconds: float = 20.0
    most: int = 800
    mebibytes: int = 400
    throughput: int = 12


QUICK = Sizes(jobs=8, kills=3, growth=2000, seconds=2.0, most=200, mebibytes=64, throughput=3)


def clip(seconds: float, start: float = 0.0) -> bytes:
    """Cut a WAV out of the example ``meeting``."""
    path = diarnb.example("meeting")
    rate = soundfile.info(path).samplerate
    sound, _ = soundfile.read(path, frames=round(seconds * rate), start=round(start * rate))
    out = io.BytesIO()
    soundfile.write(out, sound, rate, "PCM_16", format="WAV")
    return out.getvalue()


class Client:
    """Submits recordings and asks after them, as an SDK does."""

    def __init__(self, server: InProcess) -> None:
        self._http = httpx.Client(base_url=server.base_url, headers=server.bearer, timeout=60)

    def upload(self, name: str, content: bytes) -> str:
        """Upload a recording, and give what it is called."""
        key = f"media://{name}"
        address = self._http.post("/v1/media/input", json={"url": key}).raise_for_status().json()["url"]
        httpx.put(address, content=content, timeout=60).raise_for_status()
        return key

    def submit(self, media: str, kind: str = "diarize") -> str:
        """Submit a job, and give its id."""
        return str(self._http.post(f"/v1/{kind}", json={"url": media}).raise_for_status().json()["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Ask after a job."""
        answer = self._http.get(f"/v1/jobs/{job_id}")
        return {"status": "lost"} if answer.status_code == 404 else answer.raise_for_status().json()

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job."""
        while (job := self.job(job_id))["status"] in ("created", "running"):
            time.sleep(0.05)
        return job

    def waiting(self) -> int:
        """Count the jobs that no worker has begun."""
        return int(self._http.get("/health").raise_for_status().json()["jobs"]["created"])

    def jobs(self) -> list[str]:
        """List all jobs."""
        found: list[str] = []
        query: dict[str, Any] = {"limit": 100}
        while True:
            page = self._http.get("/v2/jobs", params=query).raise_for_status().json()
            found += [item["id"] for item in page["items"]]
            if page["nextCursor"] is None:
                return found
            query["cursor"] = page["nextCursor"]


@contextmanager
def served(folder: Path | None = None, **settings: Any) -> Iterator[tuple[InProcess, Client]]:
    """Run a server with two workers, on the first of the cores that this process may use."""
    with in_process(folder, **{"workers": 2, **settings}) as server:
        process = psutil.Process(server.process.pid)
        if hasattr(process, "cpu_affinity") and len(found := process.cpu_affinity()) > 1:
            while len(process.children()) < settings.get("workers", 2):  # they keep all the cores
                time.sleep(0.01)
            process.cpu_affinity(found[:1])
        yield server, Client(server)


def clients(**told: Any) -> subprocess.Popen[str]:
    """Begin what `_clients` does, on the other core."""
    core = sorted(os.sched_getaffinity(0))[1:2] if hasattr(os, "sched_getaffinity") else []
    command = [sys.executable, "-m", "benchmarks._clients"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps({**told, "key": KEY, "core": core[0] if core else None}) + "\n")
    process.stdin.close()
    return process


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    answer = process.stdout.read()
    process.wait()
    process.stdout.close()
    return json.loads(answer)


def s5(sizes: Sizes, seed: int) -> tuple[str, list[str]]:
    """Lose nothing to `kill -9`."""
    draw = random.Random(seed)
    sounds = [clip(20, start) for start in (0, 15, 30, 45, 60)]
    with served(workers=1) as (_, client):
        true = [client.ended(client.submit(client.upload(f"{n}", sound)))["output"] for n, sound in enumerate(sounds)]
        began = time.monotonic()
        client.ended(client.submit("media://0"))
        usual = time.monotonic() - began
    accepted: dict[str, int] = {}
    in_a_job = 0
    with tempfile.TemporaryDirectory(prefix="diarnb-kills-") as folder:
        for life in range(sizes.kills + 1):
            with served(Path(folder), workers=1) as (server, client):
                if not life:
                    media = [client.upload(f"{n}", sound) for n, sound in enumerate(sounds)]
                # some at once, so that there is always something to do, and then a few in every life
                while len(accepted) < sizes.jobs * (0.4 + 0.6 * life / sizes.kills):
                    number = len(accepted) % len(media)
                    accepted[client.submit(media[number])] = number
                if life == sizes.kills:
                    found = {job_id: client.ended(job_id) for job_id in accepted}
                    listed = client.jobs()
                else:
                    # so that every life gets somewhere, and the random moment lies within a job
                    client.ended(next(i for i in accepted if client.job(i)["status"] in ("created", "running")))
                    time.sleep(draw.uniform(0, 1.5 * usual))
                    in_a_job += any(client.job(job_id)["status"] == "running" for job_id in accepted)
                    server.kill()
    done = {job_id: told["output"] for job_id, told in found.items() if told["status"] == "succeeded"}
    lost = [f"{job_id}: {found[job_id]}" for job_id in accepted if job_id not in done]
    wrong = [f"{job_id}: another result" for job_id, output in done.items() if output != true[accepted[job_id]]]
    double = len(listed) - len(set(listed)) + len(set(listed) - set(accepted))
    kills = f"{sizes.kills} kills, {in_a_job} of them in the middle of a job"
    return f"{len(lost)}/{len(wrong)}/{double} lost/wrong/double of {len(accepted)} jobs; {kills}", lost + wrong


def s10() -> tuple[str, list[str]]:
    """Show what comes from outside as text."""
    raw, count = _probes.markup()
    return f"{len(raw)}/{count} left raw", raw


def s14(sizes: Sizes) -> tuple[str, list[str]]:
    """Grow by nothing over many jobs."""
    silence = io.BytesIO()
    soundfile.write(silence, [0.0] * 8000, 16_000, "PCM_16", format="WAV")
    rows = []
    with served() as (server, client):
        heard, damaged = client.upload("silence", silence.getvalue()), client.upload("damaged", bytes(1000))
        main = psutil.Process(server.process.pid)
        workers = main.children()
        for done in range(1, sizes.growth + 1):
            job_id = client.submit(damaged if done % 10 else heard, "voiceprint")
            if not done % 50:  # so that none waits when it is looked at
                assert client.ended(job_id)["status"] == "failed"
            if not done % (sizes.growth // 100):
                held = [process.memory_info().rss / 1024 for process in (main, *workers)]
                rows.append([done, *held, main.num_fds(), main.num_threads()])
    jobs, *columns = map(list, zip(*rows[len(rows) // 5 :], strict=True))  # what is loaded once is loaded by then
    server_kib, *workers_kib = (stats.theilslopes(column, jobs).slope for column in columns[:-2])
    files, threads = (max(column) - column[0] for column in columns[-2:])
    memory = f"{server_kib:+.3f} KiB a job, {max(workers_kib):+.3f} in a worker"
    return f"{memory}; {files:+d} files, {threads:+d} threads; {sizes.growth:,} jobs", []


def s15(sizes: Sizes) -> tuple[str, list[str]]:
    """Answer while it works."""
    with served() as (server, client):
        media = client.upload("meeting", clip(60))
        jobs = [client.submit(media) for _ in range(2)]
        while any(client.job(job)["status"] != "running" for job in jobs):
            time.sleep(0.05)
        load = clients(
            do="ask", port=server.port, path=f"/v1/jobs/{jobs[0]}", clients=50, seconds=sizes.seconds, pause=0
        )
        while load.poll() is None:
            if not client.waiting():
                jobs.append(client.submit(media))
            time.sleep(0.1)
        told = result(load)
    return said(told), []


def s16(sizes: Sizes) -> tuple[str, list[str]]:
    """Serve many clients: twice as many each time; where that is too many, the number in the middle."""
    best, steps = 0, []
    with served() as (server, client):
        path = f"/v1/jobs/{(job := client.submit(client.upload('short', clip(5))))}"
        client.ended(job)

        def serves(count: int) -> bool:
            told = result(clients(do="ask", port=server.port, path=path, clients=count, seconds=sizes.seconds, pause=0))
            steps.append(f"{count}: {said(told)}")
            return not told["errors"] and told["p99"] < 100

        count = 10
        while count <= sizes.most and serves(count):
            best, count = count, 2 * count
        if best < count <= sizes.most and serves(between := (best + count) // 2):
            best = between
    return f"{best} clients", steps


def s17(sizes: Sizes) -> tuple[str, list[str]]:
    """Stand attacks."""
    with served() as (server, client):
        job = client.submit(client.upload("short", clip(5)))
        client.ended(job)
        honest = {"do": "ask", "port": server.port, "path": f"/v1/jobs/{job}", "clients": 20, "pause": 0.1}
        calm = result(clients(**honest, seconds=sizes.seconds / 2))
        process = psutil.Process(server.process.pid)
        before = most = process.memory_info().rss
        attack = clients(do="attack", port=server.port, slow=200, idle=50, mebibytes=sizes.mebibytes)
        asking = clients(**honest, seconds=12)
        while attack.poll() is None:
            most = max(most, process.memory_info().rss)
            time.sleep(0.02)
        told, under = result(attack), result(asking)
        assert client.job(job)["status"] == "succeeded"
    calm_and_not = f"p99 {under['p99']:.0f} ms (before: {calm['p99']:.0f} ms), {under['errors']} errors"
    closed = f"{told['closed']}/{told['of']} closed within {told['longest']:.1f} s"
    text = f"{calm_and_not}; {closed}; {(most - before) / 2**20:+.0f} MiB"
    return text, [f"bodies: {', '.join(told['refused'])}"]


def s18() -> tuple[str, list[str]]:
    """Reach nothing that is not to be reached."""
    reached, count = _probes.reach()
    return f"{len(reached)}/{count} reached", reached


def throughput(sizes: Sizes) -> tuple[str, list[str]]:
    """Count jobs in an hour."""
    told = []
    for workers in (1, 2):
        with in_process(workers=workers) as server:
            client = Client(server)
            media = client.upload("minute", clip(60))
            for job in [client.submit(media) for _ in range(workers)]:
                client.ended(job)
            began = time.monotonic()
            for job in [client.submit(media) for _ in range(sizes.throughput)]:
                client.ended(job)
            rate = sizes.throughput / (time.monotonic() - began) * 3600
        told.append(f"{workers} worker{'s' * (workers > 1)}: {rate:,.0f} an hour")
    return "; ".join(told), []


def said(told: dict[str, Any]) -> str:
    return f"p50 {told['p50']:.1f} ms, p99 {told['p99']:.1f} ms, {told['per_second']:,.0f}/s, {told['errors']} errors"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="figures, such as S5 S15")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else Sizes()
    figures: dict[str, tuple[str, str, Callable[[], tuple[str, list[str]]]]] = {
        "S5": ("jobs under kill -9", "0/0/0", lambda: s5(sizes, asked.seed)),
        "S10": ("markup on the page", "0", s10),
        "S14": ("growth", "none", lambda: s14(sizes)),
        "S15": ("50 clients while 2 jobs run", "p99 50 ms", lambda: s15(sizes)),
        "S16": ("clients with p99 < 100 ms", "200", lambda: s16(sizes)),
        "S17": ("honest clients under attack", "p99 100 ms, 250/250 in 10 s, 32 MiB", lambda: s17(sizes)),
        "S18": ("forbidden places reached", "0/60", s18),
        "rate": ("recordings of 1 minute", "", lambda: throughput(sizes)),
    }
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    print(heading({"diarnb": versions("diarnb", "aiohttp", "onnxruntime", "numpy")}))
    print(f"- load before: {load}\n\n{NOTES}\n")
    rows, found = [], {}
    for name, (what, target, measure) in figures.items():
        if asked.only and name not in asked.only:
            continue
        began = time.monotonic()
        told, remarks = measure()
        rows.append([name, what, told, target, f"{time.monotonic() - began:.0f} s"])
        found[name] = {"result": told, "target": target, "remarks": remarks}
        for line in (told, *remarks):
            print(f"{name}: {line}", file=sys.stderr)
    print(table(["", "figure", "result", "target", "took"], rows))
    if asked.json:
        asked.json.write_text(json.dumps({"seed": asked.seed, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
