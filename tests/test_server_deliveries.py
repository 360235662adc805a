"""What the server tells others of its jobs: signed, again where it was not heard, and to nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb import cloud, errors
from diarnb.server.jobs import Job, JobTable
from diarnb.server.web.deliveries import FORMS, TIMEOUT, Deliveries, check_target
from tests.clouds import hasty
from tests.servers import PATIENCE, in_thread, settings_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

SECRET = "whsec-0123456789"
OUTPUT = {"diarization": [{"speaker": "SPEAKER_00", "start": 0.5, "end": 1.5}]}
ALLOWED = ("127.0.0.1",)
AT_ONCE = {name: replace(form, waits=(0.0,) * len(form.waits)) for name, form in FORMS.items()}


@dataclass
class Heard:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Hears what is told, and answers what a test wants: statuses or addresses elsewhere, then 200 for ever."""

    origin: str = ""
    answers: list[int | str] = field(default_factory=list)
    heard: Queue[Heard] = field(default_factory=Queue)
    going_on: threading.Event = field(default_factory=threading.Event)
    wait_at: str = ""

    def next(self) -> Heard:
        return self.heard.get(timeout=PATIENCE)


@contextmanager
def receiving(**facts: Any) -> Iterator[Receiver]:
    receiver = Receiver(**facts)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.heard.put(Heard(self.command, self.path, dict(self.headers), body))
            if receiver.wait_at and self.path.startswith(receiver.wait_at):
                receiver.going_on.wait(PATIENCE)
            answer = receiver.answers.pop(0) if receiver.answers else 200
            self.send_response(answer if isinstance(answer, int) else 307)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.origin = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.going_on.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def to(url: str, **more: Any) -> dict[str, Any]:
    return {"dialect": "pyannoteai", "url": url, "method": "POST", **more}


def deliver(
    folder: Path,
    *deliveries: dict[str, Any],
    state: str = "succeeded",
    output: Any = OUTPUT,
    until: Callable[[JobTable], Awaitable[object]] | None = None,
    allow: tuple[str, ...] = ALLOWED,
    **how: Any,
) -> list[Job]:
    """End a job for each delivery, and run until nobody is to be told any more; give the jobs."""

    async def run() -> list[Job]:
        jobs = JobTable(folder / "jobs.sqlite")
        settings = settings_of(folder, webhook_secret=SECRET, allow_webhook=allow)
        telling = Deliveries(jobs, settings, **{"forms": AT_ONCE, **how})
        ids = []
        for number, delivery in enumerate(deliveries):
            job = Job(id=f"job-{number}", owner="me", kind="diarize", task={}, delivery=delivery)
            await jobs.add(job)
            await jobs.finish(job, state, json.dumps(output).encode())
            ids.append(job.id)
        loop = asyncio.create_task(telling.run())
        async with asyncio.timeout(PATIENCE):
            await (until or over)(jobs)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await telling.close()
        found = [jobs.get(each) for each in ids]
        jobs.close()
        return [job for job in found if job is not None]

    return asyncio.run(run())


async def over(jobs: JobTable) -> None:
    while jobs.next_delivery() is not None:
        await asyncio.sleep(0.01)


def test_a_webhook_is_signed_over_raw_bytes_in_hex(receiver: Receiver, tmp_path: Path) -> None:
    (job,) = deliver(tmp_path, to(f"{receiver.origin}/hook?a=1"))
    heard = receiver.next()
    assert (heard.method, heard.path) == ("POST", "/hook?a=1")
    assert heard.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{64}", heard.headers["X-Signature"])
    assert not any(name.lower().startswith("x-retry") for name in heard.headers)
    told = cloud.verify_webhook(heard.headers, heard.body, SECRET)
    assert told == {"jobId": "job-0", "status": "succeeded", "output": OUTPUT}
    assert cloud.from_payload(told)[["start", "end"]].to_numpy().tolist() == [[0.5, 1.5]]
    with pytest.raises(errors.WebhookVerificationError):
        cloud.verify_webhook(heard.headers, json.dumps(told, indent=1).encode(), SECRET)
    assert job.due is None


def test_a_webhook_is_retried_3_times_and_says_why(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [500, 404, 302, 503, 200]
    (job,) = deliver(tmp_path, to(receiver.origin))
    heard = [receiver.next() for _ in range(4)]
    assert receiver.heard.empty()
    assert [each.headers.get("x-retry-num") for each in heard] == [None, "1", "2", "3"]
    assert [each.headers.get("x-retry-reason") for each in heard] == [None, "http_error", "http_error", "http_error"]
    for each in heard:
        cloud.verify_webhook(each.headers, each.body, SECRET)
    assert job.due is None
    assert job.delivery is not None
    assert job.delivery["failed"] == 4


def test_one_who_hears_the_second_time_is_told_no_more(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [500]
    deliver(tmp_path, to(receiver.origin))
    assert receiver.heard.qsize() == 2


def test_retries_are_as_documented() -> None:
    assert FORMS["pyannoteai"].waits == (0, 60, 300)
    assert FORMS["deepgram"].waits == (30,) * 10
    assert TIMEOUT == 10


def test_a_retry_waits_for_its_time(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [500]

    async def waiting(jobs: JobTable) -> None:
        while not ((job := jobs.next_delivery()) and (job.delivery or {}).get("failed")):
            await asyncio.sleep(0.01)

    form = replace(FORMS["pyannoteai"], waits=(60.0,))
    (job,) = deliver(tmp_path, to(receiver.origin), forms={"pyannoteai": form}, until=waiting)
    assert job.due is not None
    assert 55 < job.due - job.updated <= 60 + PATIENCE
    assert receiver.heard.qsize() == 1


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["http_timeout", "connection_failed", "ssl_error", "too_many_redirects"])
def test_every_reason_has_its_name(reason: str, receiver: Receiver, tmp_path: Path) -> None:
    url, limit = receiver.origin, PATIENCE
    if reason == "http_timeout":
        receiver.wait_at, limit = "/", 0.3
    elif reason == "connection_failed":
        with socket.create_server(("127.0.0.1", 0)) as gone:
            url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    elif reason == "ssl_error":
        url = url.replace("http:", "https:")
    else:
        receiver.answers = [f"/{number}" for number in range(12)]
    (job,) = deliver(tmp_path, to(url), timeout=limit)
    assert job.delivery is not None
    assert job.delivery["reason"] == reason
    assert job.delivery["failed"] == 4
    assert job.due is None


def test_two_redirects_are_followed(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = ["/a", f"{receiver.origin}/b"]
    deliver(tmp_path, to(receiver.origin))
    heard = [receiver.next() for _ in range(3)]
    assert [each.path for each in heard] == ["/", "/a", "/b"]
    assert {each.method for each in heard} == {"POST"}
    assert len({each.body for each in heard}) == 1


def test_a_redirect_leads_nowhere_else(receiver: Receiver, tmp_path: Path) -> None:
    with receiving() as canary:
        elsewhere = canary.origin.replace(
            "127.0.0.1", "localhost"
        )  # the same machine, and not the name that is allowed
        receiver.answers = [elsewhere, elsewhere.replace("http:", "https:"), "file:///etc/passwd", "//[::1]:1"]
        (job,) = deliver(tmp_path, to(receiver.origin))
        assert canary.heard.empty()
    assert job.delivery is not None
    assert job.delivery["reason"] == "connection_failed"


def test_a_name_that_becomes_this_machine_is_not_told(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def rebound(host: Any, *args: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "hook.example.org" else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    port = receiver.origin.rpartition(":")[2]
    (job,) = deliver(tmp_path, to(f"https://hook.example.org:{port}/"))
    assert job.delivery is not None
    assert job.delivery["reason"] == "connection_failed"
    assert receiver.heard.empty()


def test_the_output_is_left_out_where_it_is_not_wanted(receiver: Receiver, tmp_path: Path) -> None:
    deliver(tmp_path, to(receiver.origin, status_only=True))
    told = receiver.next()
    assert cloud.verify_webhook(told.headers, told.body, SECRET) == {"jobId": "job-0", "status": "succeeded"}
    with pytest.raises(errors.JobAcceptedError, match="resume"):
        cloud.from_payload(told.body)


def test_of_a_failed_job_the_status_is_told(receiver: Receiver, tmp_path: Path) -> None:
    deliver(tmp_path, to(receiver.origin), state="failed", output={"error": "Could not load audio"})
    told = receiver.next()
    assert json.loads(told.body) == {"jobId": "job-0", "status": "failed"}
    with pytest.raises(errors.JobFailedError):
        cloud.from_payload(told.body)


def test_one_who_is_slow_is_in_nobodys_way(receiver: Receiver, tmp_path: Path) -> None:
    receiver.wait_at = "/slow"

    async def others(jobs: JobTable) -> None:
        while [job.id for job in (jobs.get("job-1"), jobs.get("job-2")) if job and job.due is not None]:
            await asyncio.sleep(0.01)

    urls = [f"{receiver.origin}/{path}" for path in ("slow", "b", "c")]
    slow, *quick = deliver(tmp_path, *map(to, urls), until=others, timeout=PATIENCE)
    assert slow.due is not None  # cut off by the end of the server, and still owed
    assert [job.due for job in quick] == [None, None]


def test_what_is_owed_is_told_by_the_next_server(receiver: Receiver, tmp_path: Path) -> None:
    receiver.wait_at = "/"

    async def asked(jobs: JobTable) -> None:
        while receiver.heard.empty():
            await asyncio.sleep(0.01)

    (job,) = deliver(tmp_path, to(receiver.origin), until=asked, timeout=PATIENCE)
    assert job.due is not None
    first, receiver.wait_at = receiver.next(), ""
    deliver(tmp_path)
    again = receiver.next()
    assert again.body == first.body
    assert "x-retry-num" not in again.headers


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_callback_of_deepgram_gets_the_whole_answer_and_a_token(
    method: str, receiver: Receiver, tmp_path: Path
) -> None:
    answer = {"metadata": {"request_id": "job-0"}, "results": {}}
    url = receiver.origin.replace("//", "//me:pw@")
    delivery = {"dialect": "deepgram", "url": url, "method": method, "token": "key-id"}
    deliver(tmp_path, delivery, output=answer)
    heard = receiver.next()
    assert heard.method == method
    assert json.loads(heard.body) == answer
    assert heard.headers["dg-token"] == "key-id"
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.headers["Authorization"] == httpx.BasicAuth("me", "pw")._auth_header
    assert not any(name.lower() in ("x-signature", "x-request-timestamp") for name in heard.headers)


def test_a_callback_of_deepgram_is_tried_11_times(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [500] * 20
    delivery = {"dialect": "deepgram", "url": receiver.origin, "method": "POST", "token": "key-id"}
    deliver(tmp_path, delivery, state="failed", output={"error": "Could not load audio: x"})
    assert receiver.heard.qsize() == 11
    told = json.loads(receiver.next().body)
    assert told == {
        "err_code": "Bad Request",
        "err_msg": "Bad Request: Could not load audio: x",
        "request_id": "job-0",
    }


@pytest.mark.parametrize(
    ("dialect", "url", "fine"),
    [
        ("pyannoteai", "https://example.org/hook", True),
        ("pyannoteai", "https://example.org:9000/hook", True),
        ("pyannoteai", "http://example.org/hook", False),
        ("pyannoteai", "http://127.0.0.1:9/hook", True),  # allowed by name
        ("pyannoteai", "http://localhost:9/hook", False),
        ("pyannoteai", "https://localhost/hook", False),
        ("pyannoteai", "https://10.0.0.1/hook", False),
        ("pyannoteai", "https://127.1/hook", False),
        ("pyannoteai", "https://2130706433/", False),
        ("pyannoteai", "https://0x7f000001/", False),
        ("pyannoteai", "https://[::1]/", False),
        ("pyannoteai", "https://[::ffff:127.0.0.1]/", False),
        ("pyannoteai", "https://169.254.169.254/latest", False),
        ("pyannoteai", "https://example.org\\@127.0.0.1/", False),
        ("pyannoteai", "https://example.org@10.0.0.1/", False),
        ("pyannoteai", "ftp://example.org", False),
        ("pyannoteai", "https:///hook", False),
        ("pyannoteai", "hook", False),
        ("pyannoteai", "https://example.org:99999/", False),
        ("deepgram", "http://example.org/hook", True),
        ("deepgram", "https://example.org:8443/hook", True),
        ("deepgram", "https://example.org:9000/hook", False),
        ("deepgram", "http://127.0.0.1:9/hook", True),
        ("deepgram", "http://192.168.1.1/hook", False),
    ],
)
def test_who_may_be_told(dialect: str, url: str, fine: bool) -> None:
    problem = check_target(dialect, url, ALLOWED)
    assert (problem is None) == fine, problem
    if not fine and problem != "Invalid URL":
        assert "--allow-webhook" in str(problem)


@pytest.mark.slow
def test_the_server_tells_our_own_client(receiver: Receiver) -> None:
    samples, rate = soundfile.read(diarnb.example("interview"), stop=5 * 16000, dtype="float32")
    with in_thread(webhook_secret=SECRET, allow_webhook=ALLOWED) as server:
        asked = {"engine": hasty(read=PATIENCE, poll=0.05), "api_key": server.key, "base_url": server.base_url}
        turns = diarnb.diarize((samples, rate), webhook=receiver.origin, progress=False, **asked)
        heard = receiver.next()
    assert len(turns)
    told = cloud.verify_webhook(heard.headers, heard.body, SECRET)
    assert told["output"] == diarnb.raw(turns)["output"]
    assert cloud.from_payload(told).equals(turns)


@pytest.mark.slow
def test_the_receiver_of_the_documentation_writes_the_turns_and_refuses_what_is_not_proven(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
    (code,) = (part.partition("```")[0] for part in text.split("```python\n")[1:] if "verify_webhook" in part)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sound, rate = soundfile.read(diarnb.example("interview"), frames=5 * 16_000)
    soundfile.write(tmp_path / "talk.wav", sound, rate)
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "DIARNB_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", code.replace("port=8080", f"port={port}")]
    with (
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as program,
        in_thread(allow_webhook=ALLOWED, webhook_secret=SECRET) as server,
    ):
        try:
            assert program.stdout is not None
            assert "Running on" in program.stdout.readline()
            hook = f"http://127.0.0.1:{port}/hook"
            forged = {"X-Request-Timestamp": f"{time.time():.0f}", "X-Signature": "0" * 64}
            assert httpx.post(hook, json={"jobId": "x", "status": "failed"}, headers=forged).status_code == 401
            asked = httpx.post(f"{server.base_url}/v1/media/input", json={"url": "media://talk"}, headers=server.bearer)
            httpx.put(asked.json()["url"], content=(tmp_path / "talk.wav").read_bytes()).raise_for_status()
            body = {"url": "media://talk", "webhook": hook}
            answer = httpx.post(f"{server.base_url}/v1/diarize", json=body, headers=server.bearer).raise_for_status()
            written = tmp_path / f"{answer.json()['jobId']}.csv"
            deadline = time.monotonic() + PATIENCE
            while not (written.exists() and written.read_text(encoding="utf-8").endswith("\n")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            program.terminate()
    turns = pd.read_csv(written)
    assert {"SPEAKER_00"} <= set(turns["speaker"])
    assert turns["end"].max() <= 5.01
