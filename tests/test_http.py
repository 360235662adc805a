"""The transport: what is repeated, for how long, and what it lets nobody see."""

from __future__ import annotations

import asyncio
import errno
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from diarnb import errors
from diarnb.engines.cloud import replies as _replies
from diarnb.engines.cloud.keys import Secret, find_key, seal_key
from diarnb.engines.cloud.service import Body, Kind, Pace, Reply, Service
from tests import faultserver as faults
from tests.faultserver import KEY, FaultServer, refuses, says, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PACE = Pace(connect=2.0, read=0.3, write=1.0, base=0.002, cap=0.01, within=10.0)
SUBMIT: dict[str, Any] = {"json": {"url": "https://example.org/a.wav"}, "within": 1.0}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


def call(server: FaultServer | str, method: str = "GET", path: str | Secret = "/v1/test", **named: Any) -> Reply:
    origin = server if isinstance(server, str) else server.origin
    service = Service("pyannoteAI", origin, Secret(KEY, "api_key="), pace=PACE)
    return asyncio.run(service.request(method, path, **{"kind": Kind.READ, **named}))


PASSING = {
    "reset on accept": faults.reset_on_accept,
    "closed on accept": faults.fin_on_accept,
    "closed after": faults.fin_after,
    "reset after": faults.reset_after,
    "silence": faults.silent_after,
    "stall": faults.stalls,
    "short": faults.short_body,
    "cut chunk": faults.cut_chunks,
    **{str(status): refuses(status) for status in (408, 425, 429, 500, 502, 503, 504, 520, 524)},
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_read_outlives_what_passes(server: FaultServer, fault: faults.Fault) -> None:
    server.plan["GET /v1/test"] = [fault, fault]
    assert call(server).json()["status"] == "OK"
    assert server.asked["GET /v1/test"] == 3
    assert [request.headers["x-diarnb-retry-count"] for request in server.received][-1] == "2"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 415, 422, 418])
def test_a_refusal_is_not_repeated(server: FaultServer, status: int) -> None:
    server.plan["GET /v1/test"] = [refuses(status)] * 9
    with pytest.raises(errors.ApiStatusError):
        call(server)
    assert server.asked["GET /v1/test"] == 1


def test_a_dead_service_is_not_asked_for_ever(server: FaultServer) -> None:
    server.plan["GET /v1/test"] = [refuses(503)] * 999
    for _ in range(20):
        with pytest.raises(errors.ServerError):
            call(server)
    assert server.asked["GET /v1/test"] < 40  # 20 calls, and the retries of one budget


@pytest.mark.parametrize(
    ("fault", "uncertain", "asked"),
    [
        (faults.reset_mid_body, True, 1),  # so small that the whole had left
        (refuses(429), False, 2),
        (refuses(408, {"err_code": "SLOW_UPLOAD"}), False, 2),
        (refuses(408), True, 1),
        (refuses(500), True, 1),
        (refuses(503, Retry_After="0"), True, 1),
        (refuses(302, Location="https://elsewhere.example.org/"), True, 1),
        (refuses(307, Location="https://elsewhere.example.org/"), True, 1),
        (refuses(409), True, 1),
        (refuses(425), True, 1),
        (refuses(400), False, 1),
        (faults.fin_after, True, 1),
        (faults.reset_after, True, 1),
        (faults.silent_after, True, 1),
        (faults.drips_headers, True, 1),
        (faults.drips_body, True, 1),
        (faults.stalls, True, 1),
        (faults.short_body, True, 1),
    ],
)
def test_a_billed_request_is_repeated_only_if_it_was_certainly_not_carried_out(
    server: FaultServer, fault: faults.Fault, uncertain: bool, asked: int
) -> None:
    server.plan["POST /v1/diarize"] = [fault]
    if asked == 2:
        assert call(server, "POST", "/v1/diarize", kind=Kind.BILLED, **SUBMIT).status == 200
    else:
        with pytest.raises(errors.ApiError) as caught:
            call(server, "POST", "/v1/diarize", kind=Kind.BILLED, **SUBMIT)
        assert caught.value.uncertain is uncertain
    assert server.asked["POST /v1/diarize"] == asked


def test_a_billed_request_that_did_not_leave_as_a_whole_is_repeated(server: FaultServer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * (1 << 18)
        yield b'{"url": "https://example.org/a.wav"}'

    body = Body(pieces, (64 << 18) + 36)
    server.plan["POST /v1/diarize"] = [faults.reset_mid_body, faults.reset_on_accept]
    assert call(server, "POST", "/v1/diarize", kind=Kind.BILLED, body=body, read=10.0).status == 200
    assert len(server.jobs) == 1


def test_what_stands_before_each_attempt_can_stop_it(server: FaultServer) -> None:
    def before() -> None:
        raise errors.StoreError("the disk is full")

    with pytest.raises(errors.StoreError):
        call(server, "POST", "/v1/diarize", kind=Kind.BILLED, before=before, **SUBMIT)
    assert server.asked.total() == 0


def test_nobody_there_is_told_in_words() -> None:
    with serving() as gone:
        pass
    with pytest.raises(errors.ApiConnectionError, match=r"cannot reach .*refused") as caught:
        call(gone, "POST", "/v1/diarize", kind=Kind.BILLED, **SUBMIT)
    assert not caught.value.uncertain


def test_what_is_no_tls_is_told_as_such(server: FaultServer) -> None:
    server.accepting = [faults.speaks_plainly]
    with pytest.raises(errors.ApiConnectionError, match="certificate"):
        call(server.origin.replace("http:", "https:"))


def test_a_body_is_opened_anew_for_each_attempt_and_watched(server: FaultServer, tmp_path: Path) -> None:
    opened = 0

    def body(size: int) -> Body:
        async def pieces() -> AsyncIterator[bytes]:
            nonlocal opened
            opened += 1
            for _ in range(20):
                yield bytes(5000)

        return Body(pieces, size)

    target = Secret(server.origin + "/upload/a", "")
    server.plan["PUT /upload/"] = [faults.reset_mid_body, faults.fin_after]
    call(server, "PUT", target, kind=Kind.WRITE, body=body(100_000))
    assert opened == 3
    assert server.media["media://a"] == bytes(100_000)
    for wrong in (99_000, 101_000):
        with pytest.raises(errors.AudioChangedError):
            call(server, "PUT", target, kind=Kind.WRITE, body=body(wrong))


def test_a_disk_that_fails_is_no_network_fault(server: FaultServer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        call(server, "PUT", Secret(server.origin + "/upload/a", ""), kind=Kind.WRITE, body=Body(pieces, 2))
    assert server.asked["PUT /upload/"] <= 1


def test_an_early_refusal_is_heard(server: FaultServer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(1 << 18)

    server.plan["PUT /upload/"] = [faults.early(413)]
    with pytest.raises(errors.PayloadTooLargeError):
        call(server, "PUT", Secret(server.origin + "/upload/a", ""), kind=Kind.WRITE, body=Body(pieces, 40 << 18))


UNLIKE = {
    "html": says(b"<html><title>Sign in to hotel wifi</title>", kind="text/html"),
    "empty": says(b""),
    "truncated": says(b'{"a": '),
    "utf-16": says('{"a": 1}'.encode("utf-16")),
    "NaN": says(b'{"a": NaN}'),
    "deep": says(b"[" * 200_000),
    "huge number": says(b'{"a": ' + b"9" * 6000 + b"}"),
    "list": says([1]),
    "text": says("yes"),
    "gzip": says(b"garbage", Content_Encoding="gzip"),
    "bomb": faults.bomb,
    "lengths": faults.conflicting_lengths,
}


@pytest.mark.parametrize("fault", UNLIKE.values(), ids=UNLIKE)
def test_an_answer_that_is_none_is_told_as_such(server: FaultServer, fault: faults.Fault) -> None:
    server.plan["GET /v1/test"] = [fault] * 9
    with pytest.raises(errors.ApiResponseError) as caught:
        call(server).json()
    assert len(str(caught.value)) <= 400


def test_a_byte_order_mark_and_a_wrong_content_type_are_no_fault(server: FaultServer) -> None:
    server.plan["GET /v1/test"] = [says(b'\xef\xbb\xbf{"a": 1}', kind="text/plain")]
    assert call(server).json() == {"a": 1}


NOW = time.time()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "3600"}, 3600),
        ({"retry-after": formatdate(NOW + 30, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 30),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0),
        ({"x-ratelimit-reset": "12"}, 12),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "9" * 36}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 31 Dec 100000 23:59:59 GMT"}, None),
        ({"retry-after": "Xxx, 99 Foo 2026 25:61:61 GMT"}, None),
        ({"retry-after-ms": "-5"}, None),
        ({"x-ratelimit-reset": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_understood_and_nonsense_is_not(headers: dict[str, str], seconds: float | None) -> None:
    assert _replies.wait(Reply(429, headers, b"", "x")) == (
        None if seconds is None else pytest.approx(seconds, abs=1.5)
    )


def test_a_reset_that_is_a_point_in_time_is_understood() -> None:
    reply = Reply(429, {"x-ratelimit-reset": str(int(time.time()) + 20)}, b"", "x")
    assert _replies.wait(reply) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "Invalid request", "errors": [{"field": "numSpeakers", "message": "too many"}]}, "num_speakers"),
        ({"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials.", "request_id": "r-1"}, "Invalid credentials"),
        ({"category": "bad", "message": "Odd", "details": "very odd", "request_id": "r-1"}, "very odd"),
        (b"<html><title>502 Bad Gateway</title>", "502 Bad Gateway"),
        (b"", "an empty answer"),
    ],
)
def test_a_refusal_of_either_service_is_read(body: Any, said: str) -> None:
    content = body if isinstance(body, bytes) else __import__("json").dumps(body).encode()
    found = _replies.failure(Reply(400, {}, content, "x"), Secret(KEY, "api_key="))
    assert said in str(found)
    if b"request_id" in content:
        assert found is not None
        assert found.request_id == "r-1"
        assert "[request r-1]" in str(found)


def test_a_key_shows_its_end_at_most() -> None:
    secret = Secret(KEY, "api_key=")
    assert repr(secret) == str(secret) == f"{secret}" == "****6789"
    assert "canary" not in repr(seal_key({"api_key": KEY, "timeout": 3}))
    with pytest.raises(TypeError):
        __import__("pickle").dumps(secret)
    assert Secret("short", "").__repr__() == "****"


def test_a_key_is_looked_for_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    for name, module in {
        "google.colab": types.ModuleType("google.colab"),
        "google.colab.userdata": types.SimpleNamespace(get=lambda name: f"colab-{name}-key"),
        "keyring": types.SimpleNamespace(get_password=lambda service, name: f"{service}-{name}-ring"),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("A_KEY", raising=False)

    def found(given: Secret | None = None) -> str:
        return find_key(given, "A_KEY", "A", "example.org").reveal()

    assert found() == "colab-A_KEY-key"
    monkeypatch.delitem(sys.modules, "google.colab")
    assert found() == "diarnb-A_KEY-ring"
    monkeypatch.setenv("A_KEY", "from-the-environment")
    assert found() == "from-the-environment"
    assert found(Secret("given", "api_key=")) == "given"
