"""Counts what diarnb's cloud engines survive: ``python -m benchmarks.reliability``.

Against a pyannoteAI on loopback that breaks on command (`tests/faultserver.py`), with the numbers of the faults in the
design's catalogue. Nothing leaves this machine. ``--only S1 S7`` picks figures, ``--json FILE`` writes them.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diarnb
from benchmarks import _kills
from benchmarks._faults import CASES, Told
from benchmarks._machine import heading, table, versions
from benchmarks._peers import compare, compare_schedules
from diarnb import errors
from diarnb.store.ledger import Ledger, Submission
from diarnb.store.run import Description
from tests import canaries, corruptions, deepgram_faults, hostile, schedules, test_privacy
from tests import faultserver as faults
from tests.clouds import ask, at_step, hasty, sound
from tests.faultserver import refuses, says, serving
from tests.test_pyannoteai import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
NOTES = """\
- Everything runs against a fault server on loopback, in a run store of its own; waits are shortened, rules are not.
- S1: a fault is survived when the result equals the fault-free one and is billed once, or the error is of the class
  that the catalogue demands. S2: half of the submissions meet a fault before, during or after they are carried out.
- S2d: after each fault the same line again, never with consent; needed without reason: nothing had arrived.
- S4: `kill -9` before and after every step of one call, then the same call again. S8: of every error raised in S1 and
  S7: its class is diarnb's, it has 400 characters at most, names what it is about, and says what to do next.
- S10: 60 texts as names of recordings and speakers, as words, remarks, errors and paths, in all four panels; raw is one
  that changes the elements or attributes of what is saved, or of what a front end takes for HTML. nbconvert exports.
- S21: diarize, recluster, player and serve, each in a process without CI, all proxies at a listener, for 20 s more.
  S22: answers are lost while the job is made at once, late or never; lists lag or break, clocks are wrong, colleagues
  submit; each cell is run three times, never with consent. S23: 5 kinds of damage on 8 groups of files, and 200 drawn.
  S24: a service says the key, or a signature, at each place where it may say anything; all that shows is searched."""
PEERS = """\
The vendors' SDKs through the same draws of faults: of those that end by themselves, for the SDKs wait without end. Who
gets an error calls again, three times at most. diarnb tells of an answer that Deepgram lost, and does not pay again
unasked."""
STEP = re.compile(
    r"\b(run|check|try|set|put|pass|download|store|cut|write|give|take|add|leave|raise|look|wait|copy|correct|continue|"
    r"resume|fetches|use|swap|resubmit|it has|did you mean|needs|is a|is True|takes|does not offer|is the|is one)\b",
    re.IGNORECASE,
)


def fresh_home() -> tempfile.TemporaryDirectory[str]:
    """Begin an empty run store."""
    folder = tempfile.TemporaryDirectory(prefix="diarnb-reliability-")
    os.environ["DIARNB_HOME"] = folder.name
    return folder


def s1(told: Told) -> tuple[str, list[str]]:
    """Survive the network's and the service's faults."""
    failed = []
    for (row, name), case in CASES.items():
        with fresh_home(), serving() as server, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                case(server, told)
            except Exception as error:
                failed.append(f"{row} {name}: {type(error).__name__}: {str(error)[:160]}")
                told.seen.append("".join(traceback.format_exception(error)))
            told.kept(Path(os.environ["DIARNB_HOME"]))
    rows = {row for row, _ in CASES}
    lost = {int(line.split()[0]) for line in failed}
    return f"{len(rows - lost)}/{len(rows)} of 75 ({len(CASES) - len(failed)}/{len(CASES)} checks)", failed


def s2(count: int, seed: int) -> tuple[str, list[str]]:
    """Bill nothing twice."""
    draw = random.Random(seed)
    kinds: list[faults.Fault] = [
        *(faults.fin_after, faults.reset_after, faults.silent_after, faults.stalls, faults.short_body),
        *(faults.cut_chunks, faults.fin_on_accept, refuses(500, executed=True), refuses(502, executed=True)),
        *(says(b"<title>Sign in</title>", kind="text/html"), says(b""), says(b'{"jobId": "3c')),
    ]
    uncertain = wrong = 0
    with fresh_home(), serving() as server:
        for number in range(count):
            server.plan["POST /v1/diarize"] = [draw.choice(kinds)] if draw.random() < 0.5 else []
            try:
                turns = ask(server.origin, sound(number), hasty(read=0.25))
            except errors.SubmissionUncertainError:
                uncertain += 1
                continue
            job = server.jobs[diarnb.runs()["job_id"].iloc[0]]
            wrong += len(turns) != 2 or job["content"] not in server.media.values()
        double, jobs = server.double_billed, len(server.jobs)
    text = f"{double} double-billed of {count} ({jobs} jobs, {uncertain} left uncertain, {wrong} wrong)"
    return text, [] if not double and not wrong else ["see above"]


WORKER = """
import sys
from diarnb import errors
from tests.clouds import ask, hasty, sound
for number in range(int(sys.argv[2])):
    try:
        ask(sys.argv[1], sound(number), hasty(read=0.25))
    except errors.SubmissionUncertainError:
        continue
    print(number, flush=True)
"""


def s2_killed(count: int, rounds: int, seed: int) -> tuple[str, list[str]]:
    """Bill nothing twice, though the process dies at any time and begins from the start."""
    draw = random.Random(seed)
    kinds = [faults.fin_after, refuses(500, executed=True), faults.short_body, faults.fin_on_accept]
    double = kills = done = 0
    for _ in range(rounds):
        with fresh_home(), serving() as server:
            chance = random.Random(draw.random())

            def fault(request: faults.Request, chance: random.Random = chance) -> faults.Fault | None:
                billed = request.route == "POST /v1/diarize"
                return chance.choice(kinds) if billed and chance.random() < 0.3 else None

            server.faults = fault
            finished, last = False, 0
            while not finished:
                command = [sys.executable, "-c", WORKER, server.origin, str(count)]
                with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
                    assert child.stdout is not None
                    until = last + draw.randint(1, 30)  # new recordings that it is given before the end
                    for line in child.stdout:
                        last = max(last, int(line))
                        if last >= until:
                            time.sleep(draw.uniform(0.0, 0.08))  # into the middle of another one
                            child.kill()
                            kills += 1
                            break
                finished = child.wait() == 0
            double += server.double_billed
            done += len(diarnb.runs().query("state == 'succeeded'"))
    left = count * rounds - done
    text = f"{double} double-billed of {count * rounds} in {kills} kills ({done} done, {left} left uncertain)"
    return text, [] if not double else ["see above"]


def s2_deepgram() -> tuple[str, list[str]]:
    """Ask for consent only where a request to Deepgram may have been carried out, and bill none twice."""
    with fresh_home():
        found = deepgram_faults.replay()
    count = len(deepgram_faults.CASES)
    wrong = [name for name in found.consent if deepgram_faults.CASES[name].safe]
    text = f"{len(found.twice)} billed twice of {count}; {len(found.consent)} need consent, {len(wrong)} without reason"
    return text, [*found.twice, *wrong]


def s3() -> tuple[str, list[str]]:
    """Give no table for what is none: an expired, a lost, a changed, somebody else's."""

    def expire(server: faults.FaultServer, path: Path) -> None:
        old = faults.stamp(time.time() - 25 * 3600)
        gone = faults.changed(lambda found: found.update(updatedAt=old) or (found.pop("output") and None))
        server.plan["GET /v1/jobs/"] = [gone] * 2

    def lose(server: faults.FaultServer, path: Path) -> None:
        server.plan["PUT /upload/"] = [faults.stores_nothing] * 9

    def alter(change: Callable[[Path], object]) -> Callable[[faults.FaultServer, Path], None]:
        def prepare(server: faults.FaultServer, path: Path) -> None:
            def fault(exchange: faults.Exchange) -> None:
                exchange.read_body()
                change(path)
                exchange.reply(*exchange.execute())

            server.plan["POST /v1/media/input"] = [fault]

        return prepare

    def confuse(server: faults.FaultServer, path: Path) -> None:
        def meanwhile(exchange: faults.Exchange) -> None:
            server.create(faults.Request("POST", "/v1/diarize", {}, {}, b'{"url": "https://example.org/another.wav"}'))
            faults.fin_after(exchange)

        server.plan["POST /v1/diarize"] = [meanwhile]

    def answer(output: Any) -> Callable[[faults.FaultServer, Path], None]:
        return lambda server, path: setattr(server, "output", lambda request, content: output)

    turn = {"speaker": "SPEAKER_00", "start": 0.0, "end": 1.0}
    checks: dict[str, Callable[[faults.FaultServer, Path], None]] = {
        "result deleted": expire,
        "upload lost": lose,
        "file shorten": alter(lambda path: path.write_bytes(path.read_bytes()[:5000])),
        "file grown": alter(lambda path: path.write_bytes(path.read_bytes() * 2)),
        "file rewritten, same size": alter(lambda path: path.write_bytes(path.read_bytes()[::-1])),
        "file removed": alter(Path.unlink),
        "two jobs could be it": confuse,
        "no diarization in it": answer({}),
        "turns are no list": answer({"diarization": {"0": turn}}),
        "turns of a longer recording": answer({"diarization": [{**turn, "end": 900.0}]}),
        "a turn without a speaker": answer({"diarization": [turn, {"start": 1.0, "end": 2.0}]}),
        "a turn that ends before it starts": answer({"diarization": [turn, {**turn, "start": 3.0}]}),
    }
    wrong = []
    for name, prepare in checks.items():
        with fresh_home() as home, serving() as server:
            path = Path(home, "talk.flac")
            path.write_bytes(diarnb.example("interview").read_bytes())
            prepare(server, path)
            try:
                ask(server.origin, path)
                wrong.append(name)
            except errors.DiarnbError:
                continue
    return f"{len(wrong)} of {len(checks)}", wrong


def s4() -> tuple[str, list[str]]:
    """Resume after `kill -9` at every step."""
    failed, uncertain = [], 0
    with fresh_home(), serving() as server:
        with at_step(-1, lambda: None) as steps:
            ask(server.origin, sound(10_000))
        for number, name in enumerate(steps):
            command = [sys.executable, "-m", "tests.clouds", server.origin, str(number), str(number)]
            child = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
            before = len(server.jobs)
            try:
                turns = ask(server.origin, sound(number))
            except errors.SubmissionUncertainError:  # it had noted that it sends, and had not
                uncertain += 1
                turns = ask(server.origin, sound(number), resubmit=True)
            fine = (
                child.returncode == -9
                and len(turns) == 2
                and not server.double_billed
                and len(server.jobs) == number + 2
            )
            if not fine:
                failed.append(f"{number} {name}: ended {child.returncode}, {before} -> {len(server.jobs)} jobs")
    text = f"{len(steps) - len(failed)}/{len(steps)} steps, {uncertain} of them with consent"
    return f"{text}, {server.double_billed} double-billed", failed


def s7(told: Told) -> tuple[str, list[str]]:
    """Refuse wrong parameters before a byte is sent."""
    failed = []
    keys: list[dict[str, Any]] = [{"api_key": key} for key in ("", " ", "Bearer abc", "a\nb", "schlüssel-lang")]
    with fresh_home(), serving() as server:
        for wrong in [*REFUSED, *keys]:
            try:
                ask(server.origin, sound(), **wrong)
                failed.append(f"{wrong}: accepted")
            except (errors.InvalidParameterError, errors.ConfigurationError) as error:
                told.errors.append(error)
        if server.asked.total():
            failed.append(f"{server.asked.total()} requests were sent")
    count = len(REFUSED) + len(keys)
    return f"{count - len(failed)}/{count}", failed


def s8(told: Told) -> tuple[str, list[str]]:
    """Say what happened, to what, and what to do."""
    poor = []
    for error in told.errors:
        text = str(error)
        ours = isinstance(error, errors.DiarnbError)
        last = traceback.extract_tb(error.__traceback__)[-1].filename if error.__traceback__ else ""
        named = re.search(
            r"samples|job|127\.0\.0\.1|pyannote|_|model|timeout|key|resubmit|webhook|channels|exclusive|confid|trans",
            text,
        )
        if not (ours and len(text) <= 400 and named and STEP.search(text) and "httpx" not in last):
            poor.append(f"{type(error).__name__}: {text[:200]}")
    return f"{len(told.errors) - len(poor)}/{len(told.errors)} ({(1 - len(poor) / max(1, len(told.errors))):.0%})", poor


def s9(told: Told) -> tuple[str, list[str]]:
    """Show no secret: messages, variables of our frames, logs at DEBUG, files."""
    text = "\n".join([*told.seen, told.log.getvalue()])
    hits = [f"...{text[max(0, m.start() - 60) : m.end() + 20]!r}" for m in re.finditer("canary-(key|signature)", text)]
    return f"{len(hits)} hits in {len(text):,} characters", hits[:5]


UPLOADS = """
import sys, tempfile, pathlib, wave
from tests.clouds import ask, hasty, sound
def peak():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
origin = sys.argv[1]
ask(origin, sound())
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "long.wav")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2); file.setsampwidth(2); file.setframerate(48000)
        frames = (1000 << 20) // 4
        file.setnframes(frames); file.writeframesraw(bytes(4))
    with path.open("r+b") as file:
        file.truncate(44 + 4 * frames)
        file.seek(4); file.write((36 + 4 * frames).to_bytes(4, "little"))
        file.seek(40); file.write((4 * frames).to_bytes(4, "little"))
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    ask(origin, path, hasty(read=30.0))
    print((peak() - before) / 1024)
"""


def s10() -> tuple[str, list[str]]:
    """Leave no hostile text raw in what the widgets show and keep."""
    with fresh_home():
        raw = hostile.raw()
    remarks = [f"{surface}: {text!r}" for surface, text in raw]
    return f"{len(raw)}/{len(hostile.TEXTS) * len(hostile.SURFACES)} ({', '.join(hostile.SURFACES)})", remarks


def s11() -> tuple[str, list[str]]:
    """Upload without holding the file in memory."""
    taken: list[int] = []

    def sink(exchange: faults.Exchange) -> None:
        left = int(exchange.request.headers["content-length"]) - len(exchange.rest)
        taken.append(left)
        while left > 0:
            left -= len(exchange.connection.recv(1 << 20)) or left
        exchange.server.media["media://" + exchange.request.path.removeprefix("/upload/")] = b"long"
        exchange.reply(200, {}, b"")

    with fresh_home(), serving() as server:
        server.faults = lambda request: sink if request.method == "PUT" else None
        command = [sys.executable, "-c", UPLOADS, server.origin]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return "failed", [done.stderr[-600:]]
    more = float(done.stdout)
    return f"+{more:.1f} MiB for 1,000 MiB", [] if more <= 20 and max(taken) > 999 << 20 else [
        "more than 20 MiB, or not all was sent"
    ]


SITUATIONS: dict[str, dict[str, list[faults.Fault]]] = {
    "polling": {},
    "uploading": {"PUT /upload/": [faults.stops_reading] * 9},
    "submitting": {"POST /v1/diarize": [faults.silent_after] * 9},
    "the answer stalls": {"GET /v1/jobs/": [faults.stalls] * 9},
    "the answer drips": {"GET /v1/jobs/": [faults.drips_body] * 9},
    "the upload's answer is late": {"PUT /upload/": [faults.silent_after] * 9},
    "looking for the job": {"GET /v2/jobs": [faults.silent_after] * 9, "POST /v1/diarize": [faults.fin_after]},
    "waiting to try again": {"POST /v1/media/input": [refuses(429, Retry_After="15")] * 9},
}
CELL = """
import numpy as np
from tests.clouds import ask, hasty
samples = np.random.default_rng({number}).normal(0, 0.1, 160000).astype("float32")
ask({origin!r}, (samples, 16000), hasty(read=60.0, poll=10.0))
"""


def s13(repeats: int) -> tuple[str, list[str]]:
    """Give the prompt back after an interrupt, in a real kernel."""
    from jupyter_client.manager import KernelManager

    taken: dict[str, list[float]] = {name: [] for name in SITUATIONS}
    with fresh_home():
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(ROOT), env={**os.environ, "PYTHONPATH": str(ROOT)})
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        try:
            for number, name in enumerate(name for name in SITUATIONS for _ in range(repeats)):
                with serving(polls=10**9) as server:
                    server.plan = {route: list(plan) for route, plan in SITUATIONS[name].items()}
                    sent = client.execute(CELL.format(origin=server.origin, number=number), stop_on_error=False)
                    target = next(iter(SITUATIONS[name]), "GET /v1/jobs/")
                    limit = time.monotonic() + 60
                    while not server.asked[target] and time.monotonic() < limit:
                        time.sleep(0.05)
                    time.sleep(0.3)
                    began = time.monotonic()
                    manager.interrupt_kernel()
                    while True:
                        reply = client.get_shell_msg(timeout=60)
                        if reply["parent_header"]["msg_id"] == sent:
                            break
                    taken[name].append(time.monotonic() - began)
                    if reply["content"].get("ename") != "KeyboardInterrupt":
                        return "failed", [f"{name}: {reply['content'].get('ename')}: {reply['content'].get('evalue')}"]
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    every = sorted(second for seconds in taken.values() for second in seconds)
    slow = [f"{name}: {max(seconds):.2f} s" for name, seconds in taken.items() if max(seconds) > 1]
    return f"p50 {every[len(every) // 2]:.2f} s, max {every[-1]:.2f} s of {len(every)}", slow


WRITER = """
import sys
from diarnb.store.ledger import Ledger, Submission
from diarnb.store.run import Description
number = 0
facts = {"engine": "e", "origin": "o", "endpoint": "/", "about": Description(source="s", engine="e", model="m")}
while True:
    row = Ledger().prepare(Submission(key=f"{sys.argv[1]}-{number}", **facts))
    row = Ledger().archive(row, b'{"a": 1}' * 100, state="succeeded", job_id=f"job-{row.id}")
    print(row.id, flush=True)
    number += 1
"""


def s19(kills: int, seed: int) -> tuple[str, list[str]]:
    """Lose no acknowledged row to `kill -9`, to a full disk, or to eight writers."""
    draw = random.Random(seed)
    lost = corrupt = written = 0
    with fresh_home():
        for kill in range(kills):
            command = [sys.executable, "-c", WRITER, str(kill)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                first = child.stdout.readline()
                time.sleep(draw.uniform(0.0, 0.3))
                child.kill()
                told = [line for line in [first, *child.stdout.read().splitlines(keepends=True)] if line.endswith("\n")]
            ledger = Ledger()
            rows = [ledger.get(line.strip()) for line in told]
            written += len(rows)
            lost += sum(row is None or ledger.answer(row) is None for row in rows)
            corrupt += bool(list(Path(os.environ["DIARNB_HOME"]).glob("*.bad")))
        with ThreadPoolExecutor(8) as pool:
            facts = {
                "engine": "e",
                "origin": "o",
                "endpoint": "/",
                "about": Description(source="s", engine="e", model="m"),
            }
            rows = list(pool.map(lambda n: Ledger().prepare(Submission(key=f"t-{n}", **facts)), range(200)))
        lost += sum(Ledger().get(row.id) is None for row in rows)
        full = disk_full()
    result = f"{lost} lost of {written + len(rows)}, {corrupt} corrupt ({kills} kills, 8 writers); disk full: {full}"
    return (
        result,
        ([] if not lost and not corrupt and full == "refused, nothing sent" else ["see above"]),
    )


FULL = """
import resource, sys, pathlib, os, diarnb
from diarnb import errors
from diarnb.store import Store
from tests.clouds import ask, sound
ask(sys.argv[1], sound())
size = max(path.stat().st_size for path in pathlib.Path(os.environ["DIARNB_HOME"]).iterdir())
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    ask(sys.argv[1], diarnb.example("interview"))
except errors.StoreError:
    print("refused")
"""


def disk_full() -> str:
    """Submit with a disk that takes nothing more."""
    with serving() as server:
        command = [sys.executable, "-W", "ignore", "-c", FULL, server.origin]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "refused" and len(server.jobs) == 1:
            return "refused, nothing sent"
        return f"{len(server.jobs)} jobs: {done.stdout[-100:]} {done.stderr[-200:]}"


def s21() -> tuple[str, list[str]]:
    """Call nobody: four processes of somebody new behind a proxy that writes down who asks for what."""
    listener = test_privacy.Listener()
    proxies = dict.fromkeys(test_privacy.PROXIES, f"http://{listener.address}")
    failed = []
    for name, work in test_privacy.WORK.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = test_privacy.bare_environment(Path(folder), PYTHONPATH=str(ROOT), **proxies)
            code = f"import diarnb, time\n{work}\ntime.sleep({test_privacy.STAY})"
            command = [sys.executable, "-W", "ignore", "-c", code]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            failed += [f"{name}: {done.stderr[-200:]}"] if done.returncode else []
    listener.close()
    asked = [line.decode("latin-1").partition("\r\n")[0] for line in listener.asked]
    return f"{len(asked)} calls in {len(test_privacy.WORK)} processes", [*failed, *asked]


def s22(count: int, seed: int) -> tuple[str, list[str]]:
    """Bill nothing twice, however late, skewed or lost answers are."""
    with fresh_home():
        counts = schedules.run(count, seed)
    text = (
        f"{counts.twice} of {counts.schedules} billed twice ({counts.uncertain} left uncertain and said so; of "
        f"{counts.adopted} found, {counts.wrong} a colleague's of the same moment, with a warning)"
    )
    return text, ["see above"] if counts.twice else []


def s23(count: int, seed: int) -> tuple[str, list[str]]:
    """Pay nothing again in silence after the store was damaged."""
    found, again = corruptions.run(count, seed)
    told = f"{found['answered']} answered, {found['told']} told before anything was sent"
    return f"{found['paid again']} of {found.total()} paid again ({told})", again


def s24() -> tuple[str, list[str]]:
    """Show no key that a service echoes."""
    with fresh_home():
        total, shown = canaries.count()
    return f"{len(shown)} of {total} places", shown


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="figures, such as S1 S7")
    parser.add_argument("--submissions", type=int, default=1000, help="for S2")
    parser.add_argument("--rounds", type=int, default=6, help="of 240 recordings, for S2 with kill -9")
    parser.add_argument("--kills", type=int, default=100, help="for S19")
    parser.add_argument("--schedules", type=int, default=200, help="for S22")
    parser.add_argument("--repeats", type=int, default=10, help="for S13")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", type=Path, help="a Python that has pyannoteai-sdk and deepgram-sdk, to be compared")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    told = Told(io.StringIO())
    handler = logging.StreamHandler(told.log)
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    figures: dict[str, tuple[str, str, Callable[[], tuple[str, list[str]]]]] = {
        "S1": ("faults survived", "70/75", lambda: s1(told)),
        "S2": ("double-billed submissions", "0", lambda: s2(arguments.submissions, arguments.seed)),
        "S2k": (
            "the same with kill -9",
            "0",
            lambda: s2_killed(240, arguments.rounds, arguments.seed),
        ),
        "S2d": ("faults of Deepgram's answer billed twice", "0/39", s2_deepgram),
        "S3": ("wrong results taken for right", "0", s3),
        "S4": ("resumed after kill -9", "25/25", s4),
        "S7": ("wrong parameters refused unsent", "40/40", lambda: s7(told)),
        "S8": ("errors that explain themselves", "90 %", lambda: s8(told)),
        "S9": ("secrets shown", "0", lambda: s9(told)),
        "S10": ("texts left raw", "0/240", s10),
        "S11": ("memory for an upload", "20 MiB", s11),
        "S13": ("interrupt to prompt", "1 s", lambda: s13(arguments.repeats)),
        "S21": ("calls home", "0", s21),
        "S22": ("uncertain schedules billed twice", "0/200", lambda: s22(arguments.schedules, arguments.seed)),
        "S23": ("store corruptions paid again in silence", "0/240", lambda: s23(200, arguments.seed)),
        "S24": ("canaries shown", "0", s24),
        "S25": ("accepted jobs done after kill -9 of the server", "all", lambda: _kills.s25(8, arguments.seed)),
        "S19": ("ledger rows lost, stores corrupt", "0 and 0", lambda: s19(arguments.kills, arguments.seed)),
    }
    print(heading({"diarnb": versions("diarnb", "httpx", "httpcore", "anyio")}))
    print(f"\n{NOTES}\n{_kills.NOTES}\n")
    rows, found = [], {}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, (what, target, measure) in figures.items():
        if arguments.only and name not in arguments.only:
            continue
        began = time.monotonic()
        result, remarks = measure()
        rows.append([name, what, result, target, f"{time.monotonic() - began:.0f} s"])
        found[name] = {"result": result, "target": target, "remarks": remarks}
        print(f"{name}: {result}", file=sys.stderr)
        for remark in remarks:
            print(f"  {name}: {remark}", file=sys.stderr)
    print(table(["", "figure", "result", "target", "took"], rows))
    if arguments.peers:
        with fresh_home():
            found["peers"] = compare(arguments.peers, arguments.seed)
            found["peers S22"] = compare_schedules(arguments.peers, arguments.seed)
        print(
            f"\n{PEERS}\n\n{table(['service', 'client', 'S2: half of the submissions meet a fault'], found['peers'])}"
            f"\n\n{table(['service', 'client', 'S22: random schedules'], found['peers S22'])}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"seed": arguments.seed, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
