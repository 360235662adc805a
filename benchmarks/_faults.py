"""The network and HTTP faults of the catalogue (rows 1-75), each as a check that raises where diarnb does wrong."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diarnb
from diarnb import errors
from diarnb.engines.deepgram.answers import read_answer
from tests import faultserver as faults
from tests.clouds import ask, hasty, sound
from tests.faultserver import changed, early_hints, refuses, says, serving

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from tests.faultserver import Fault, FaultServer

POST, POLL, LIST = "POST /v1/diarize", "GET /v1/jobs/", "GET /v2/jobs"


@dataclass
class Told:
    """What a user could get to see: errors, variables in tracebacks, logs, files."""

    log: io.StringIO
    errors: list[BaseException] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def error(self, error: BaseException) -> None:
        self.errors.append(error)
        cause: BaseException | None = error
        while cause is not None:
            self.seen += [repr(cause), str(cause)]
            frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
            own = [frame for frame in frames if "/tests/" not in frame.f_code.co_filename]
            self.seen += [repr(frame.f_locals) for frame in own if "benchmarks" not in frame.f_code.co_filename]
            cause = cause.__cause__ or cause.__context__

    def kept(self, home: Path) -> None:
        self.seen += [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]


Case = Callable[["FaultServer", Told], None]
CASES: dict[tuple[int, str], Case] = {}
EXPECTED = ["SPEAKER_01", "SPEAKER_00"]


def same(server: FaultServer, number: int = 0, **named: Any) -> None:
    """Demand the fault-free result, billed once."""
    turns = ask(server.origin, sound(number), **named)
    assert list(turns["speaker"]) == EXPECTED, "another result"
    assert server.double_billed == 0, "billed twice"


def survive(row: int, name: str, route: str, *plan: Fault) -> None:
    def case(server: FaultServer, _told: Told) -> None:
        server.plan[route] = list(plan)
        same(server)
        assert len(server.jobs) - server.double_billed == len(server.billed)

    CASES[row, name] = case


def fail(row: int, name: str, route: str, plan: list[Fault], kind: type[Exception], asked: int | None = None) -> None:
    """Demand an error of a class; afterwards, without the fault, the fault-free result, billed once."""

    def case(server: FaultServer, told: Told) -> None:
        server.plan[route] = list(plan)
        with caught(kind, told):
            ask(server.origin, sound())
        assert asked is None or server.asked[route] == asked, f"{server.asked[route]} requests"
        server.plan.clear()
        if kind in (errors.JobFailedError, errors.JobCanceledError):
            server.billed.clear()  # such jobs are free
        if kind is not errors.JobExpiredError:
            same(server)

    CASES[row, name] = case


@contextmanager
def caught(kind: type[Exception], told: Told) -> Iterator[None]:
    try:
        yield
    except kind as error:
        told.error(error)
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def case(row: int, name: str) -> Callable[[Case], Case]:
    def keep(check: Case) -> Case:
        CASES[row, name] = check
        return check

    return keep


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


# A. The network.


@case(1, "connection refused")
def _case(server: FaultServer, told: Told) -> None:
    with serving() as gone:
        pass
    with caught(errors.ApiConnectionError, told):
        ask(gone.origin, sound())
    assert set(diarnb.runs()["state"]) <= {"prepared"}


@case(2, "no such host, and known results stay usable")
def _case(server: FaultServer, told: Told) -> None:
    same(server)
    with caught(errors.ApiConnectionError, told):
        ask("https://no-such-host.invalid", sound(1))
    asked = server.asked.total()
    same(server)
    assert server.asked.total() == asked


@case(3, "connect timeout")
def _case(server: FaultServer, told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        with caught(errors.ApiConnectionError, told):
            ask(f"http://127.0.0.1:{full.getsockname()[1]}", sound())
        for each in waiting:
            each.close()


@case(4, "plain HTTP behind https")
def _case(server: FaultServer, told: Told) -> None:
    server.accepting = [faults.speaks_plainly] * 99
    with caught(errors.ApiConnectionError, told):
        ask(server.origin.replace("http:", "https:"), sound())
    assert "certificate" in str(told.errors[-1])


@case(5, "dead proxy")
def _case(server: FaultServer, told: Told) -> None:
    with serving() as gone:
        pass
    proxy = gone.origin.replace("http://", "http://me:canary-key-in-proxy@")
    with environment(HTTPS_PROXY=proxy, https_proxy=proxy), caught(errors.ApiConnectionError, told):
        ask("https://no-such-host.invalid", sound())


def doubt(row: int, name: str, plan: Fault) -> None:
    """Demand that nothing is sent again without consent, and with it the fault-free result, billed once."""

    def case(server: FaultServer, told: Told) -> None:
        server.plan[POST] = [plan]
        with caught(errors.SubmissionUncertainError, told):
            ask(server.origin, sound())
        assert server.asked[POST] == 1
        same(server, resubmit=True)

    CASES[row, name] = case


survive(6, f"reset on accept {POLL}", POLL, faults.reset_on_accept)
survive(7, f"closed on accept {POLL}", POLL, faults.fin_on_accept)
doubt(6, f"reset on accept {POST}", faults.reset_on_accept)
doubt(7, f"closed on accept {POST}", faults.fin_on_accept)
for route in (POLL, POST):
    survive(9, f"received, then closed {route}", route, faults.fin_after)
    survive(10, f"received, then reset {route}", route, faults.reset_after)
    survive(11, f"received, then silence {route}", route, faults.silent_after)
    survive(12, f"body stalls {route}", route, faults.stalls)
    survive(13, f"short body {route}", route, faults.short_body)
    survive(14, f"cut chunk {route}", route, faults.cut_chunks)
    survive(14, f"illegal chunk {route}", route, faults.broken_chunks)
    survive(15, f"body drips {route}", route, faults.drips_body)
    survive(16, f"headers drip {route}", route, faults.drips_headers)
    survive(19, f"seven-byte slices {route}", route, *[faults.slices] * 3)
    survive(75, f"early hints {route}", route, early_hints)
doubt(8, "reset in the body", faults.reset_mid_body)
survive(8, "reset in the upload", "PUT /upload/", faults.reset_mid_body)


@case(17, "kept connection closes")
def _case(server: FaultServer, _told: Told) -> None:
    same(server)  # every answer of this server says Connection: close
    assert all(request.headers.get("connection") for request in server.received)


@case(18, "half of the connections are closed on accept; a cell that fails is run again")
def _case(server: FaultServer, _told: Told) -> None:
    draw = random.Random(1)
    server.accepting = [faults.fin_on_accept if draw.random() < 0.5 else (lambda exchange: None) for _ in range(2000)]
    for number in range(10):
        for _ in range(30):  # one budget for retries serves all, so it is soon spent; what a cell has done stays done
            try:
                same(server, number)
            except errors.SubmissionUncertainError:
                with suppress(errors.ApiError):
                    same(server, number, resubmit=True)
            except errors.ApiError:
                continue
            else:
                break
    assert len(server.jobs) == 10


@case(20, "the machine sleeps while a job is polled")
def _case(server: FaultServer, _told: Told) -> None:
    server.polls = 60
    command = [sys.executable, "-m", "tests.clouds", server.origin, "0", "-1"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL) as child:
        while server.asked[POLL] < 5 and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        asleep = server.asked[POLL]
        time.sleep(2.0)
        assert server.asked[POLL] == asleep, "it was awake"
        child.send_signal(signal.SIGCONT)
        time.sleep(0.1)
        assert server.asked[POLL] - asleep < 20, "a burst of requests"
    assert child.returncode == 0
    same(server)
    assert len(server.jobs) == 1


@case(21, "the service's clock is a day ahead, and its answer is lost")
def _case(server: FaultServer, _told: Told) -> None:
    day = 86_400.0
    create, head = server.create, faults.head

    def later(request: faults.Request) -> str:
        job = create(request)
        server.jobs[job]["created"] += day
        return job

    def dated(status: int, headers: dict[str, str]) -> bytes:
        return head(status, {"Date": faults.formatdate(time.time() + day, usegmt=True), **headers})

    server.create, faults.head = later, dated  # type: ignore[method-assign]
    try:
        server.plan[POST] = [faults.fin_after]
        same(server)
    finally:
        faults.head = head
    assert len(server.jobs) == 1


@case(22, "40 calls at once")
def _case(server: FaultServer, _told: Told) -> None:
    with ThreadPoolExecutor(40) as pool:
        tables = list(pool.map(lambda n: ask(server.origin, sound(n), hasty(read=10.0)), range(40)))
    assert [list(table["speaker"]) for table in tables] == [EXPECTED] * 40
    assert len(server.jobs) == 40


@case(23, "few file descriptors")
def _case(server: FaultServer, told: Told) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 48, hard))
    try:
        with ThreadPoolExecutor(6) as pool:
            tables = list(pool.map(lambda n: ask(server.origin, sound(n), hasty(read=10.0)), range(12)))
        assert len(tables) == 12
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert server.double_billed == 0


@case(24, "fork after use")
def _case(server: FaultServer, _told: Told) -> None:
    same(server)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            same(server, 1)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@case(25, "eight threads")
def _case(server: FaultServer, _told: Told) -> None:
    expected = [ask(server.origin, sound(n)) for n in range(8)]
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(
            target=lambda n=n: found.update({n: ask(server.origin, sound(n), hasty(read=10.0), refresh=True)})
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[n].equals(expected[n]) for n in range(8))


# B. Statuses and bodies.

SAID = {"message": "Invalid request", "errors": [{"field": "numSpeakers", "message": "too many"}]}
for row, status, kind in (
    (26, 400, errors.BadRequestError),
    (27, 401, errors.AuthenticationError),
    (28, 402, errors.PaymentRequiredError),
    (29, 403, errors.PermissionDeniedError),
    (33, 413, errors.PayloadTooLargeError),
    (34, 415, errors.UnsupportedMediaError),
    (35, 422, errors.UnprocessableError),
):
    fail(row, f"{status}", POST, [refuses(status, SAID)], kind, asked=1)
doubt(32, "409", refuses(409, SAID))
fail(30, "404 for a job", POLL, [refuses(404, {"message": "no such job"})], errors.JobNotFoundError)
survive(31, "408 slow upload", POST, refuses(408, {"err_code": "SLOW_UPLOAD"}))
survive(36, "429 with Retry-After", POST, refuses(429, Retry_After="1"))
for text in ("nan", "inf", "-1", "9" * 36, "Fri, 31 Dec 100000 23:59:59 GMT", "Xxx, 01 Jan 2026 00:00:00 GMT", ""):
    survive(37, f"Retry-After {text[:12]!r}", POST, refuses(429, Retry_After=text))
survive(37, "Retry-After in ms", POST, refuses(429, retry_after_ms="10"))
survive(37, "Retry-After in the past", POST, refuses(429, Retry_After="Sat, 01 Jan 2000 00:00:00 GMT"))
fail(38, "429 for an hour", POST, [refuses(429, Retry_After="3600")], errors.RateLimitedError, asked=1)
survive(39, "reset in seconds", POST, refuses(429, X_RateLimit_Reset="1"))
survive(39, "reset as epoch", POST, refuses(429, X_RateLimit_Reset=str(int(time.time()))))
fail(40, "429 for ever", POST, [refuses(429, Retry_After="0")] * 99, errors.RateLimitedError)
for status in (500, 502, 503, 504):
    survive(41, f"{status} on a poll", POLL, refuses(status))
    survive(42, f"{status} though the job was made", POST, refuses(status, executed=True))
doubt(43, "503 with Retry-After, not done", refuses(503, Retry_After="0"))
fail(44, "500 on every poll", POLL, [refuses(500)] * 99, errors.ServerError)
fail(
    45,
    "502 page",
    "POST /v1/media/input",
    [refuses(502, b"<title>Bad gateway</title>", kind="text/html")] * 9,
    errors.ServerError,
)
PAGE = says(b"<html><title>Sign in to hotel wifi</title>", kind="text/html")
survive(46, "login page on the submission", POST, PAGE)
fail(46, "login page on a poll", POLL, [PAGE] * 9, errors.ApiResponseError)
survive(47, "empty body", POST, says(b""))
survive(48, "truncated JSON", POST, says(b'{"jobId": "3c8a'))
survive(48, "truncated JSON on a poll", POLL, says(b'{"jobId": "3c8a'))
survive(49, "wrong content type", POST, changed(lambda found: None))
survive(50, "byte order mark", POLL, says(b"\xff\xfe\x00"))
survive(51, "NaN", POLL, says(b'{"status": "succeeded", "output": {"diarization": [{"start": NaN}]}}'))
survive(52, "deep nesting", POLL, says(b"[" * 200_000))
survive(53, "huge integer", POLL, says(b'{"a": ' + b"9" * 6000 + b"}"))
for body in ([1], "text", 5):
    survive(54, f"{type(body).__name__}", POST, says(body))
survive(55, "unknown keys", POLL, changed(lambda found: found.update(new={"a": 1})))
for value in (None, 5, "", "x" * 10_000, "a/../b"):
    survive(56, f"jobId {str(value)[:8]!r}", POST, changed(lambda found, value=value: found.update(jobId=value)))
survive(57, "status missing twice", POLL, *[changed(lambda found: found.pop("status") and None)] * 2)
fail(57, "status missing", POLL, [changed(lambda found: found.update(status=None))] * 9, errors.ApiResponseError)
survive(58, "unknown status", POLL, changed(lambda found: found.update(status="Queued", output=None)))
survive(
    59,
    "status goes backwards",
    POLL,
    *(changed(lambda found, s=s: found.update(status=s)) for s in ("running", "created")),
)
for output in (None, {}, {"error": "Could not load audio"}):
    end = changed(lambda found, output=output: found.update(status="failed", output=output))
    fail(60, f"failed with {output}", POLL, [end] * 2, errors.JobFailedError)
fail(61, "canceled", POLL, [changed(lambda found: found.update(status="canceled"))], errors.JobCanceledError)
OLD = faults.stamp(time.time() - 25 * 3600)
GONE = changed(lambda found: found.update(updatedAt=OLD) or (found.pop("output") and None))
fail(62, "a result that was deleted", POLL, [GONE] * 2, errors.JobExpiredError)
survive(62, "a result that comes late", POLL, *[changed(lambda found: found.pop("output") and None)] * 2)


@case(62, "an expired job is not paid again unasked")
def _case(server: FaultServer, told: Told) -> None:
    server.plan[POLL] = [GONE] * 2
    for _ in range(2):
        with caught(errors.JobExpiredError, told):
            ask(server.origin, sound())
    assert len(server.jobs) == 1


@case(63, "nobody speaks")
def _case(server: FaultServer, _told: Told) -> None:
    server.output = lambda request, content: {"diarization": []}
    turns = ask(server.origin, sound())
    assert turns.empty
    assert turns["start"].dtype == float


@case(64, "a warning")
def _case(server: FaultServer, _told: Told) -> None:
    server.output = lambda request, content: {"diarization": [], "warning": "cannot honour"}
    assert ask(server.origin, sound()).attrs["diarnb"]["warning"] == "cannot honour"


TURN = {"speaker": "SPEAKER_00", "start": 0.0, "end": 1.0}
for change in (
    *({"speaker": None}, {"speaker": ""}, {"end": -1}, {"start": -2}, {"end": None}, {"end": "x"}),
    *({"end": 1e308}, {"end": 400}, {"start": True}),
):

    def _turn(server: FaultServer, told: Told, change: dict[str, Any] = change) -> None:
        server.output = lambda request, content: {"diarization": [{**TURN, **change}]}
        with caught(errors.ApiResponseError, told):
            ask(server.origin, sound())
        assert diarnb.runs()["state"].iloc[0] == "succeeded"  # kept

    CASES[65, f"a turn with {change}"] = _turn


@case(65, "numbers as text")
def _case(server: FaultServer, _told: Told) -> None:
    server.output = lambda request, content: {"diarization": [{**TURN, "end": "0.5"}]}
    assert ask(server.origin, sound())["end"][0] == 0.5


@case(66, "Deepgram without channels, alternatives, speakers")
def _case(server: FaultServer, told: Told) -> None:
    word = {"word": "a", "start": 0.0, "end": 0.5, "confidence": 0.9}
    for channels in ([{"alternatives": [{"words": [word]}]}],):
        with caught(errors.ApiResponseError, told):
            read_answer({"metadata": {"duration": 1.0}, "results": {"channels": channels}}, {})
    for channels in ([], [{"alternatives": []}]):
        try:
            found = read_answer({"metadata": {"duration": 1.0}, "results": {"channels": channels}}, {})
        except errors.ApiResponseError as error:
            told.error(error)
        else:
            assert found["diarization"] == []


@case(67, "Deepgram's errors, old and new")
def _case(server: FaultServer, told: Told) -> None:
    for body in (
        {"err_code": "Bad Request", "err_msg": "no such model", "request_id": "r-1"},
        {"category": "BAD", "message": "no such model", "details": "none", "request_id": "r-1"},
    ):
        server.plan[POST] = [refuses(400, body)]
        with caught(errors.BadRequestError, told):
            ask(server.origin, sound())
        assert "no such model" in str(told.errors[-1])
        assert "r-1" in str(told.errors[-1])


@case(68, "a job that never ends")
def _case(server: FaultServer, told: Told) -> None:
    server.polls = 10**9
    with caught(errors.JobTimeoutError, told):
        ask(server.origin, sound(), timeout=0.3)
    server.polls = 1
    same(server)
    assert len(server.jobs) == 1


@case(69, "30 jobs at once share the list")
def _case(server: FaultServer, _told: Told) -> None:
    server.polls = 4
    with ThreadPoolExecutor(30) as pool:
        engine = hasty(read=10.0, poll=0.5)
        tables = list(pool.map(lambda n: ask(server.origin, sound(n), engine), range(30)))
    assert len(tables) == 30
    assert server.asked[POLL] + server.asked[LIST] < 4 * 30  # one look before each submission


for status in (302, 303, 307, 308):
    away = refuses(status, Location="https://elsewhere.example.org/x?canary-signature")
    doubt(70 if status < 307 else 71, f"{status} on the submission", away)
for target in ("/v1/test", "file:///etc/passwd"):
    fail(72, f"redirect to {target[:5]}", POLL, [refuses(302, Location=target)] * 9, errors.ApiResponseError)
fail(73, "gzip garbage", POLL, [says(b"garbage", Content_Encoding="gzip")] * 9, errors.ApiResponseError)
fail(73, "gzip bomb", POLL, [faults.bomb] * 9, errors.ApiError)
survive(74, "huge headers", POST, faults.huge_headers)
survive(74, "conflicting lengths", POST, faults.conflicting_lengths)
for status in (99, 999):
    fail(74, f"status {status}", POLL, [refuses(status)] * 9, errors.ApiError)
