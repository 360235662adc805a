"""A pyannoteAI on loopback that breaks on command, byte by byte.

It speaks HTTP by hand over raw sockets, so that it can stop anywhere: before a byte, in the middle of a body, after the
job was made and before anybody was told. What it does is scripted by route ("POST /v1/diarize"): a list of faults, one
for each request to it, and none when they are used up. It counts what was billed, by content.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

KEY = "canary-key-0123456789"
POST = "POST /v1/diarize"  # the route that costs money
JSON = "application/json"


class BrokenError(Exception):
    """The connection is over."""


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def route(self) -> str:
        path = re.sub(r"^(/v1/jobs|/v2/transcript|/upload)/.+", r"\1/", self.path)
        return f"{self.method} {path}"

    def json(self) -> dict[str, Any]:
        return json.loads(self.body or b"{}")


@dataclass
class Exchange:
    """One request under way, and the hands of a fault on it."""

    server: FaultServer
    connection: socket.socket
    request: Request
    rest: bytes
    answered: bool = False

    def read_body(self, most: int | None = None) -> None:
        """Take the body in, or some of it; a whole one counts as received."""
        length = int(self.request.headers.get("content-length", "0"))
        body = self.rest
        while len(body) < (length if most is None else min(most, length)):
            piece = self.connection.recv(1 << 16)
            if not piece:
                raise BrokenError
            body += piece
        self.request.body = body
        if len(body) >= length:
            self.server.received.append(self.request)

    def execute(self) -> tuple[int, dict[str, str], bytes]:
        """Do what is asked, as the real service would."""
        with self.server.lock:
            status, found = self.server.answer(self.request)
        return status, {"Content-Type": JSON}, found if isinstance(found, bytes) else json.dumps(found).encode()

    def send(self, content: bytes) -> None:
        with suppress(OSError):
            self.connection.sendall(content)

    def reply(self, status: int, headers: dict[str, str], body: bytes, *, length: int | None = None) -> None:
        self.send(head(status, {"Content-Length": str(len(body) if length is None else length), **headers}) + body)

    def reset(self) -> None:
        """End the connection rudely."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise BrokenError

    def silence(self) -> None:
        """Say nothing until the other side gives up."""
        self.connection.settimeout(30)
        with suppress(OSError):
            while self.connection.recv(1 << 16):
                pass
        raise BrokenError

    def drip(self, content: bytes, pause: float = 0.02) -> None:
        for byte in content:
            self.connection.sendall(bytes([byte]))
            if self.server.stopping.wait(pause):
                raise BrokenError
        raise BrokenError


Fault = Callable[[Exchange], None]


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in headers.items())]
    dated = [] if any(name.lower() == "date" for name in headers) else [f"Date: {formatdate(usegmt=True)}"]
    return "\r\n".join([*lines, *dated, "Connection: close", "", ""]).encode("latin-1")


def refuses(status: int, body: Any = b"", *, kind: str = JSON, executed: bool = False, **headers: str) -> Fault:
    """Answer with a status, whether or not it was done."""

    def fault(exchange: Exchange) -> None:
        exchange.read_body()
        if executed:
            exchange.execute()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.reply(status, {"Content-Type": kind, **named}, content)

    return fault


def says(body: Any, *, status: int = 200, kind: str = JSON, **headers: str) -> Fault:
    """Do what is asked, and say something else about it."""
    return refuses(status, body, kind=kind, executed=True, **headers)


def changed(change: Callable[[dict[str, Any]], Any]) -> Fault:
    """Do what is asked, and change the JSON that says so."""

    def fault(exchange: Exchange) -> None:
        exchange.read_body()
        status, headers, body = exchange.execute()
        found = json.loads(body)
        altered = change(found)
        exchange.reply(status, headers, json.dumps(found if altered is None else altered).encode())

    return fault


def early(status: int, body: bytes = b"{}") -> Fault:
    """Refuse before the body is read."""

    def fault(exchange: Exchange) -> None:
        exchange.reply(status, {"Content-Type": JSON}, body)
        exchange.connection.shutdown(socket.SHUT_WR)
        exchange.silence()

    return fault


def reset_on_accept(exchange: Exchange) -> None:
    exchange.reset()


def fin_on_accept(exchange: Exchange) -> None:
    raise BrokenError


def reset_mid_body(exchange: Exchange) -> None:
    length = int(exchange.request.headers.get("content-length", "0"))
    exchange.read_body(length // 2)
    exchange.reset()


def fin_after(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    raise BrokenError


def reset_after(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    exchange.reset()


def silent_after(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    exchange.silence()


def stalls(exchange: Exchange) -> None:
    exchange.read_body()
    status, headers, body = exchange.execute()
    exchange.reply(status, headers, body[: len(body) // 2], length=len(body))
    exchange.silence()


def short_body(exchange: Exchange) -> None:
    exchange.read_body()
    status, headers, body = exchange.execute()
    exchange.reply(status, headers, body[: len(body) // 2], length=len(body))
    raise BrokenError


def broken_chunks(exchange: Exchange) -> None:
    exchange.read_body()
    status, headers, body = exchange.execute()
    exchange.send(head(status, {"Transfer-Encoding": "chunked", **headers}) + b"5\r\n" + body[:5] + b"\r\nzz\r\n")
    raise BrokenError


def cut_chunks(exchange: Exchange) -> None:
    exchange.read_body()
    status, headers, body = exchange.execute()
    exchange.send(head(status, {"Transfer-Encoding": "chunked", **headers}) + b"ff\r\n" + body[:5])
    raise BrokenError


def drips_body(exchange: Exchange) -> None:
    exchange.read_body()
    status, headers, body = exchange.execute()
    exchange.send(head(status, {"Content-Length": "100000", **headers}))
    exchange.drip(body + b" " * 100_000)


def drips_headers(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: a\r\n" * 100_000)


def slices(exchange: Exchange) -> None:
    """Answer well, seven bytes at a time."""
    exchange.read_body()
    status, headers, body = exchange.execute()
    content = head(status, {"Content-Length": str(len(body)), **headers}) + body
    for start in range(0, len(content), 7):
        exchange.send(content[start : start + 7])
        exchange.server.stopping.wait(0.001)
    raise BrokenError


def early_hints(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(80 << 20), 1)


def speaks_plainly(exchange: Exchange) -> None:
    """Answer a TLS handshake in plain text."""
    exchange.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    raise BrokenError


def bomb(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    exchange.reply(200, {"Content-Encoding": "gzip", "Content-Type": JSON}, _bomb())


def huge_headers(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    exchange.send(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"a" * 300_000 + b"\r\n\r\n")


def conflicting_lengths(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.execute()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg")


def stops_reading(exchange: Exchange) -> None:
    exchange.server.stopping.wait(5)


def stores_nothing(exchange: Exchange) -> None:
    """Take an upload, and lose it."""
    exchange.read_body()
    exchange.reply(200, {}, b"")


@dataclass
class FaultServer:
    """The service's side: what it holds, and what it is going to do wrong."""

    polls: int = 1  # looks at a job until it is done
    plan: dict[str, list[Fault]] = field(default_factory=dict)
    output: Callable[[Request, bytes], dict[str, Any]] | None = None
    received: list[Request] = field(default_factory=list)  # whole requests only
    asked: Counter[str] = field(default_factory=Counter)  # requests by route, whole or not
    billed: Counter[str] = field(default_factory=Counter)  # jobs by content
    media: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: Callable[[Request], Fault | None] | None = None  # instead of the plan
    origin: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)
    stopping: threading.Event = field(default_factory=threading.Event)
    accepting: list[Fault] = field(default_factory=list)  # before anything is read

    def fault(self, request: Request) -> Fault | None:
        with self.lock:
            if self.faults is not None:
                return self.faults(request)
            waiting = self.plan.get(request.route, [])
            return waiting.pop(0) if waiting else None

    def answer(self, request: Request) -> tuple[int, Any]:
        """Do what a request asks."""
        if request.path.startswith("/upload/"):
            self.media["media://" + request.path.removeprefix("/upload/")] = request.body
            return 200, b""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"message": "Unauthorized"}
        match request.route:
            case "GET /v1/test":
                return 200, {"status": "OK", "message": "Test connection successful"}
            case "POST /v1/media/input":
                key = request.json()["url"].removeprefix("media://")
                return 201, {"url": f"{self.origin}/upload/{key}?X-Amz-Signature=canary-signature-0123456789"}
            case "POST /v1/diarize" | "POST /v1/identify" | "POST /v1/voiceprint":
                return 200, {"jobId": self.create(request), "status": "created"}
            case "GET /v1/jobs/":
                return self.job(request.path.removeprefix("/v1/jobs/"))
            case "GET /v2/jobs":
                return 200, self.listed(request)
        return 404, {"message": "Not found"}

    def create(self, request: Request) -> str:
        url = request.json()["url"]
        content = self.media.get(url, b"") if url.startswith("media://") else url.encode()
        job = str(uuid4())
        self.jobs[job] = {"request": request, "content": content, "polls": 0, "created": time.time()}
        self.billed[hashlib.sha256(content).hexdigest()] += 1
        return job

    def job(self, job_id: str) -> tuple[int, Any]:
        if job_id not in self.jobs:
            return 404, {"message": "Job not found"}
        job = self.jobs[job_id]
        job["polls"] += 1
        facts = {"jobId": job_id, "status": self.status(job), "createdAt": stamp(job["created"])}
        facts["updatedAt"] = stamp(time.time())
        if facts["status"] == "succeeded":
            facts["output"] = (self.output or usual_output)(job["request"], job["content"])
        elif facts["status"] == "failed":
            facts["output"] = {"error": "Could not load audio"}
        return 200, facts

    def status(self, job: dict[str, Any]) -> str:
        if job["polls"] < self.polls:
            return "running"
        return "succeeded" if job["content"] else "failed"

    def listed(self, request: Request) -> dict[str, Any]:
        newest = list(self.jobs)[::-1]
        limit = int(request.query.get("limit", ["10"])[0])
        start = newest.index(request.query["cursor"][0]) + 1 if "cursor" in request.query else 0
        page = newest[start : start + limit]
        for job in page:
            self.jobs[job]["polls"] += 1
        items = [
            {"id": job, "status": self.status(self.jobs[job]), "createdAt": stamp(self.jobs[job]["created"])}
            for job in page
        ]
        return {"items": items, "nextCursor": page[-1] if start + limit < len(newest) else None}

    def serve(self, connection: socket.socket) -> None:
        with connection, suppress(BrokenError, OSError):
            connection.settimeout(10)
            with self.lock:
                on_accept = self.accepting.pop(0) if self.accepting else None
            if on_accept is not None:
                on_accept(Exchange(self, connection, Request("", "", {}, {}), b""))
            received = b""
            while b"\r\n\r\n" not in received:
                piece = connection.recv(1 << 16)
                if not piece:
                    return
                received += piece
            text, _, rest = received.partition(b"\r\n\r\n")
            first, *lines = text.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ", 2)
            parts = urlsplit(target)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            request = Request(method, parts.path, parse_qs(parts.query), headers)
            self.asked[request.route] += 1
            exchange = Exchange(self, connection, request, rest)
            fault = self.fault(request)
            if fault is not None:
                before = len(self.received)
                fault(exchange)
                if fault is not early_hints or len(self.received) > before:
                    connection.shutdown(socket.SHUT_WR)
                    return
            exchange.read_body()
            exchange.reply(*exchange.execute())
            connection.shutdown(socket.SHUT_WR)

    @property
    def double_billed(self) -> int:
        return sum(count - 1 for count in self.billed.values())


def usual_output(request: Request, content: bytes) -> dict[str, Any]:
    """Answer in the vendor's form; the turns tell which content it was."""
    asked = request.json()
    if request.path == "/v1/voiceprint":
        return {"voiceprint": hashlib.sha256(content).hexdigest()}
    mark = int(hashlib.sha256(content).hexdigest()[:4], 16) % 50 / 100
    turns: list[dict[str, Any]] = [
        {"speaker": "SPEAKER_01", "start": 0.005, "end": round(0.3 + mark, 3)},
        {"speaker": "SPEAKER_00", "start": 0.205, "end": 0.985},
    ]
    output: dict[str, Any] = {"diarization": turns}
    if asked.get("turnLevelConfidence"):
        for turn, sure in zip(turns, (90, 60), strict=True):
            turn["confidence"] = {"SPEAKER_00": 100 - sure, "SPEAKER_01": sure}
    if asked.get("exclusive"):
        output["exclusiveDiarization"] = [turns[0], {**turns[1], "start": turns[0]["end"]}]
    if asked.get("confidence"):
        output["confidence"] = {"score": [100] * 40 + [55] * 10, "resolution": 0.02}
    if asked.get("speakerProbability"):
        output["speakerProbability"] = {
            "score": {"SPEAKER_00": [0.25] * 50, "SPEAKER_01": [1.0] * 50},
            "resolution": 0.02,
        }
    if asked.get("transcription"):
        output["wordLevelTranscription"] = [
            {"start": 0.1, "end": 0.2, "text": " Hello,", "speaker": "SPEAKER_01"},
            {"start": 0.7, "end": 0.8, "text": " Beth.", "speaker": "SPEAKER_00"},
        ]
        output["turnLevelTranscription"] = [
            {"start": 0.005, "end": 0.3, "text": "Hello,", "speaker": "SPEAKER_01"},
            {"start": 0.3, "end": 0.985, "text": "Beth.", "speaker": "SPEAKER_00"},
        ]
    if request.path == "/v1/identify":
        label = asked["voiceprints"][0]["label"]
        names = {"SPEAKER_01": label, "SPEAKER_00": "SPEAKER_00"}
        output["identification"] = [
            {
                **turn,
                "speaker": names[turn["speaker"]],
                "diarizationSpeaker": turn["speaker"],
                "match": label if names[turn["speaker"]] == label else None,
            }
            for turn in turns
        ]
        output["voiceprints"] = [{"speaker": "SPEAKER_01", "match": label, "confidence": {label: 93}}]
    return output


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


S = TypeVar("S", bound=FaultServer)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Run a server until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if server.stopping.is_set():
                    connection.close()
                    return
                threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            with suppress(OSError):
                socket.create_connection(listener.getsockname(), timeout=1).close()
            thread.join()


def serving(**facts: Any) -> AbstractContextManager[FaultServer]:
    """Run a pyannoteAI until the block ends."""
    return running(FaultServer(**facts))
