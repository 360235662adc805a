"""Services that echo the key, or a signature, wherever they may say something; and all that a user could see of it.

python -m tests.canaries        counts the places, and those that show one
"""

from __future__ import annotations

import json
import logging
import traceback
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

import diarnb
from diarnb import cloud, errors
from diarnb.engines.cloud.service import Pace
from diarnb.engines.deepgram import DeepgramEngine
from tests import deepgram_server, faultserver
from tests.clouds import ask, hasty, sound
from tests.faultserver import changed, refuses, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "canary-key-0123456789"
SIGNATURE = "canary-signature-0123456789"
FORMS = {
    "a message": {"message": f"bad key Bearer {KEY}"},
    "a bare key": {"message": f"unknown key {KEY}"},
    "errors": {"errors": [{"field": "url", "message": f"for {KEY}"}, {"message": f"Token {KEY}"}]},
    "details": {"category": KEY, "details": f"Authorization: Token {KEY}", "request_id": KEY},
    "err_msg": {"err_code": KEY, "err_msg": f"Invalid credentials {KEY}", "request_id": KEY},
    "requestId": {"requestId": KEY, "message": "no"},
    "a signed address": {"message": f"see https://u:{KEY}@host.example.org/x?sig={SIGNATURE}"},
    "escaped": f'{{"message": "bad \\u0020{KEY}"}}'.encode(),
    "plain text": f"no access for {KEY}".encode(),
    "a page": f"<html><title>Hello {KEY}</title></html>".encode(),
    "a storage's answer": f"<Error><Code>{KEY}</Code><Got>{SIGNATURE}</Got></Error>".encode(),
}
STATUSES = (302, 400, 401, 402, 403, 404, 409, 422, 429, 500, 503)
ROUTES = ("POST /v1/media/input", "PUT /upload/", "POST /v1/diarize", "GET /v1/jobs/", "GET /v2/jobs")
HEADERS = {"X-Request-Id": KEY, "Dg-Request-Id": KEY, "Location": f"https://{KEY}.example.org/?s={SIGNATURE}"}


def _status_line(exchange: faultserver.Exchange) -> None:
    exchange.read_body()
    exchange.send(f"HTTP/9 {KEY} {SIGNATURE}\r\n\r\n".encode())
    raise faultserver.BrokenError


def _kind(exchange: faultserver.Exchange) -> None:
    exchange.read_body()
    exchange.reply(200, {"Content-Type": f"text/{KEY}", "Content-Encoding": KEY[:19]}, b"what")


def _turn(**more: Any) -> Any:
    turn = {"speaker": "SPEAKER_00", "start": 0.0, "end": 0.9, **more}
    return changed(lambda found: found.update(output={"diarization": [turn], **more.get("beside", {})}))


JOBS: dict[str, tuple[str, Any]] = {
    "a job's error": ("GET /v1/jobs/", changed(lambda found: found.update(status="failed", output={"error": KEY}))),
    "a job's status": ("GET /v1/jobs/", changed(lambda found: found.update(status=f"is {KEY}"))),
    "a job's id": ("POST /v1/diarize", changed(lambda found: found.update(jobId=KEY))),
    "a warning to the post": ("POST /v1/diarize", changed(lambda found: found.update(warning=f"Bearer {KEY}"))),
    "a speaker": ("GET /v1/jobs/", _turn(speaker=f"Bearer {KEY}")),
    "a time": ("GET /v1/jobs/", _turn(end=KEY)),
    "a warning": ("GET /v1/jobs/", _turn(beside={"warning": f"for {KEY}, https://x.example.org/?sig={SIGNATURE}"})),
    "a model": ("GET /v1/jobs/", _turn(beside={"model": KEY})),
    "an upload's address": ("POST /v1/media/input", changed(lambda found: found.update(url=f"http://{KEY}/?{KEY}"))),
    "a list's status": ("GET /v2/jobs", changed(lambda found: found.update(items=[{"id": KEY, "status": KEY}]))),
    "a list's cursor": ("GET /v2/jobs", says({"items": KEY, "nextCursor": KEY})),
    "a status line": ("GET /v1/jobs/", _status_line),
    "a content type": ("GET /v1/jobs/", _kind),
}


class Seen:
    """All that could be seen of what was done."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @property
    def shows(self) -> bool:
        return any(canary in text for text in self.texts for canary in (KEY, SIGNATURE))

    def error(self, error: BaseException) -> None:
        cause: BaseException | None = error
        while cause is not None:
            self.texts += [repr(cause), str(cause), *map(repr, vars(cause).values())]
            frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
            ours = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith("diarnb")]
            self.texts += [repr(frame.f_locals) for frame in ours]
            cause = cause.__cause__ or cause.__context__

    def table(self, turns: Any) -> None:
        self.texts += [turns.to_string(), json.dumps(turns.attrs)]
        self.texts.append(json.dumps(diarnb.raw(turns)).replace(SIGNATURE, "…"))  # the vendor's words, but for keys


@contextmanager
def watch() -> Iterator[Seen]:
    """Collect errors, warnings, logs at DEBUG, and the lists of runs."""
    seen = Seen()
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = records.append  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield seen
            except errors.DiarnbError as error:
                seen.error(error)
            seen.texts.append(diarnb.runs().to_string())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    seen.texts += [str(warning.message) for warning in caught]
    seen.texts += [record.getMessage() for record in records]


def pyannoteai(route: str, fault: Any, number: int) -> Seen:
    """Diarize, and list jobs, with a service that says it at one place."""
    engine = hasty(search=0.05)
    with faultserver.serving() as service, watch() as seen:
        service.plan = {route: [fault] * 9}
        if route == "GET /v2/jobs":
            with suppress(errors.DiarnbError):
                seen.texts.append(cloud.jobs(engine, api_key=KEY, base_url=service.origin).to_string())
        seen.table(ask(service.origin, sound(number), engine, timeout=0.3))
    return seen


def deepgram(fault: Any, change: Any = None) -> Seen:
    """Diarize with a Deepgram that says it."""
    engine = DeepgramEngine(pace=Pace(base=0.001, cap=0.002, attempts=2))
    with deepgram_server.serving() as service, watch() as seen:
        service.faults = [fault] if fault else []
        service.change = change
        named: dict[str, Any] = {"base_url": service.origin, "api_key": KEY, "progress": False, "refresh": True}
        seen.table(diarnb.diarize(diarnb.example("call"), engine=engine, **named))
    return seen


def stream(reply: Callable[[Any], None] | None, message: dict[str, Any] | None, reason: str = "") -> Seen:
    """Stream to a Deepgram that says it when it opens, in a message, or when it closes."""
    from websockets.sync.server import serve

    def talk(connection: Any) -> None:
        with suppress(Exception):
            connection.recv()
            if message is not None:
                connection.send(json.dumps(message))
            connection.close(1008, reason)

    def refuse(connection: Any, _request: Any) -> Any:
        return None if reply is None else reply(connection)

    blocks = [np.zeros(1600, np.float32)] * 3
    engine = DeepgramEngine(pace=Pace(base=0.001, cap=0.002, attempts=2, read=2.0))
    import threading

    with serve(talk, "127.0.0.1", 0, process_request=refuse, logger=logging.Logger("quiet", 60)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        with watch() as seen:
            turns = diarnb.stream(blocks, engine=engine, sample_rate=16000, api_key=KEY, base_url=origin)
            seen.texts += [table.to_string() for table in turns]
    return seen


def _refusal(connection: Any) -> Any:
    response = connection.respond(401, json.dumps(FORMS["err_msg"]))
    response.headers["dg-request-id"] = KEY
    return response


def places() -> Iterator[tuple[str, Callable[[], Seen]]]:
    """Yield every place with its name, and what tries it."""
    number = 0
    for route in ROUTES:
        for name, form in FORMS.items():
            for status in STATUSES if name == "a message" else (400, 403):
                number += 1
                kind = "text/html" if isinstance(form, bytes) else "application/json"
                fault = refuses(status, form, kind=kind, **HEADERS)
                yield f"{route} {status} {name}", lambda r=route, f=fault, n=number: pyannoteai(r, f, n)
        number += 1
        yield f"{route} 200 a page", lambda r=route, n=number: pyannoteai(r, says(FORMS["a page"], kind="text/html"), n)
    for name, (route, fault) in JOBS.items():
        number += 1
        yield name, lambda r=route, f=fault, n=number: pyannoteai(r, f, n)
    for name, form in FORMS.items():
        for status in STATUSES if name == "err_msg" else (400, 502):
            fault = deepgram_server.say(status, form, **{k.replace("-", "_"): v for k, v in HEADERS.items()})
            yield f"Deepgram {status} {name}", lambda f=fault: deepgram(f)
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "warnings": lambda found: found["metadata"].update(warnings=[f"Token {KEY}", {"message": KEY}]) or found,
        "the diarizer": lambda found: found["metadata"].update(diarize_info={"arch": KEY}) or found,
        "a request's id": lambda found: found["metadata"].update(request_id=KEY) or found,
        "words": lambda found: json.loads(json.dumps(found).replace('"word": "', f'"word": "{KEY}')),
        "a time": lambda found: found["metadata"].update(duration=KEY) or found,
        "no results": lambda found: {"message": f"Token {KEY}", "request_id": KEY},
    }
    for name, change in changes.items():
        yield f"Deepgram's answer: {name}", lambda c=change: deepgram(None, c)
    yield "a stream that is refused", lambda: stream(_refusal, None)
    yield "a stream's error", lambda: stream(None, {"type": "Error", "description": f"Bearer {KEY} {KEY}"})
    yield "a stream's words", lambda: stream(None, {"type": KEY, "start": KEY, "channel": {}})
    yield "a stream's result", lambda: stream(None, {"type": "Results", "start": KEY, "duration": 1.0})
    yield "why a stream closes", lambda: stream(None, None, f"policy: {KEY}")


def count() -> tuple[int, list[str]]:
    """Try every place; return how many there are, and those that show a canary."""
    shown, total = [], 0
    for name, attempt in places():
        total += 1
        seen = attempt()
        if seen.shows or not seen.texts:
            shown.append(name)
    return total, shown


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        os.environ["DIARNB_HOME"] = home
        print(*count())
