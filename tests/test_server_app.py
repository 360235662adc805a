"""The HTTP side of the server: who may come in, and what is no request."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web

from diarnb.server import core as cores
from diarnb.server import page
from diarnb.server.settings import MAX_JSON
from diarnb.server.web import guard, limits
from diarnb.server.web.refusals import OWNER
from diarnb.server.workers import pool as workers
from tests.servers import KEY, OTHER_KEY, PATIENCE, InProcess, InThread, in_thread, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


PROGRAM = "tests.server_worker"


@pytest.fixture(scope="module")
def scripted() -> Iterator[None]:
    """Let the servers of this process have workers whose tasks tests have written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_PROGRAM", PROGRAM)
        yield


def until(found: Callable[[], Any], what: str = "it") -> Any:
    """Wait for what has no event that a test could wait for."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def doors() -> Iterator[InThread]:
    async def read(request: web.Request) -> web.Response:
        return web.json_response({"owner": request[OWNER], "bytes": len(await request.read())})

    async def bug(request: web.Request) -> web.Response:
        raise ValueError("nobody thought of this")

    async def full(request: web.Request) -> web.Response:
        raise sqlite3.OperationalError("database or disk is full")

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(PATIENCE)
        raise AssertionError

    as_is = page.routes
    with pytest.MonkeyPatch.context() as patch:
        more = [web.post("/test/read", read), web.get("/test/bug", bug), web.get("/test/full", full)]
        patch.setattr(page, "routes", lambda core: [*as_is(core), *more, web.get("/test/slow", slow)])
        with in_thread() as server:
            yield server


def raw(server: InThread | InProcess, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and read the answer until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]) if answer else 0, headers, body


def asked(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Connection: close", *headers, "", ""]).encode("latin-1")


def test_a_key_opens_the_door(doors: InThread) -> None:
    answer = httpx.post(f"{doors.base_url}/test/read", headers=doors.bearer, content=b"abc")
    assert answer.json() == {"owner": cores.derive_owner(KEY), "bytes": 3}
    other = httpx.post(f"{doors.base_url}/test/read", headers={"Authorization": f"Bearer {OTHER_KEY}"})
    assert other.json()["owner"] == cores.derive_owner(OTHER_KEY)
    assert KEY not in cores.derive_owner(KEY)


@pytest.mark.parametrize("path", ["/test/read", "/v1/nothing", "/v1/listen/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_there_is_answered_in_json(doors: InThread, path: str, method: str) -> None:
    answer = httpx.request(method, doors.base_url + path, headers=doors.bearer)
    assert answer.status_code in ((404, 405) if (method, path) != ("POST", "/test/read") else (200,))
    assert isinstance(answer.json(), dict)
    assert answer.headers["server"] == "diarnb"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("dg-request-id" in answer.headers) == path.startswith("/v1/listen")
    if answer.status_code == 405:
        assert answer.headers["allow"] == "POST"


def test_strangers_learn_nothing_of_what_is_there(doors: InThread) -> None:
    answers = [httpx.get(doors.base_url + path) for path in ("/test/bug", "/nothing")]
    assert {answer.status_code for answer in answers} == {401}


def test_no_byte_of_a_body_is_read_before_the_key(doors: InThread) -> None:
    host = f"Host: 127.0.0.1:{doors.port}"
    with socket.create_connection(("127.0.0.1", doors.port), timeout=PATIENCE) as connection:
        connection.sendall(asked("POST", "/test/read", host, "Content-Length: 1000000"))  # and never a byte of it
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_asks_first_is_told_before_it_sends(doors: InThread) -> None:
    host, length, expects = f"Host: 127.0.0.1:{doors.port}", "Content-Length: 3", "Expect: 100-continue"
    with socket.create_connection(("127.0.0.1", doors.port), timeout=PATIENCE) as connection:
        connection.sendall(asked("POST", "/test/read", host, length, expects))
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
    with socket.create_connection(("127.0.0.1", doors.port), timeout=PATIENCE) as connection:
        connection.sendall(asked("POST", "/test/read", host, length, expects, f"Authorization: Bearer {KEY}"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", doors.port), timeout=PATIENCE) as connection:
        connection.sendall(asked("POST", "/test/read", host, length, "Expect: cake", f"Authorization: Bearer {KEY}"))
        assert connection.recv(100).startswith(b"HTTP/1.1 417 ")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("LOCALHOST", 200), ("[::1]:{port}", 200)),
        *(("localhost.", 200), ("speech.example.org", 421), ("127.0.0.1.nip.io", 421), ("", 421), ("[", 421)),
        ("localhost@evil.example", 421),
    ],
)
def test_a_page_that_gives_its_own_name_our_address_is_refused(doors: InThread, host: str, status: int) -> None:
    lines = (f"Host: {host.format(port=doors.port)}", f"Authorization: Bearer {KEY}", "Content-Length: 0")
    assert raw(doors, asked("POST", "/test/read", *lines))[0] == status


def test_a_request_names_one_host(doors: InThread) -> None:
    lines = (f"Authorization: Bearer {KEY}", "Content-Length: 0")
    assert raw(doors, asked("POST", "/test/read", *lines))[0] in (400, 421)
    assert raw(doors, asked("POST", "/test/read", "Host: localhost", "Host: a.example", *lines))[0] in (400, 421)


def test_the_public_name_is_known(scripted: None) -> None:
    with in_thread(public_url="https://speech.example.org") as server:
        answer = httpx.get(f"{server.base_url}/nothing", headers={**server.bearer, "Host": "speech.example.org"})
        assert answer.status_code == 404
        assert server.core.origin == "https://speech.example.org"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        *(("http://127.0.0.1:{port}", 200), ("http://127.0.0.1", 403), ("https://evil.example", 403), ("null", 403)),
        ("http://localhost:{port}", 403),
    ],
)
def test_pages_from_elsewhere_are_refused(doors: InThread, origin: str, status: int) -> None:
    headers = {**doors.bearer, "Origin": origin.format(port=doors.port)}
    answer = httpx.post(f"{doors.base_url}/test/read", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_compressed_bodies_are_not_unpacked(doors: InThread) -> None:
    headers = {**doors.bearer, "Content-Encoding": "gzip"}
    assert httpx.post(f"{doors.base_url}/test/read", headers=headers, content=b"\x1f\x8b").status_code == 415


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_too_much_is_refused_on_its_way(doors: InThread, chunked: bool) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(MAX_JSON // 65536 + 2):
            yield bytes(65536)

    content: Any = pieces() if chunked else bytes(MAX_JSON + 1)
    answer = httpx.post(f"{doors.base_url}/test/read", headers=doors.bearer, content=content)
    assert answer.status_code == 413
    assert answer.json()["message"] == "Payload too large."


@pytest.mark.parametrize(("path", "status"), [("/test/bug", 500), ("/test/full", 507)])
def test_a_failure_of_ours_shows_nothing_of_ours(doors: InThread, path: str, status: int) -> None:
    answer = httpx.get(doors.base_url + path, headers=doors.bearer)
    assert answer.status_code == status
    assert set(re.findall("Traceback|nobody thought|sqlite|diarnb/", answer.text)) == set()


MALFORMED = {
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "no version": b"GET /\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a bare line feed in a value": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\n c: d\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: \x00\r\n\r\n",
    "10,000 headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    "a header of 100 kB": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
    "an address of 100 kB": b"GET /" + b"b" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length and chunks": b"POST /test/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /test/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a negative length": b"POST /test/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a length with a sign": b"POST /test/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\na",
    "an odd chunk": b"POST /test/read HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + KEY.encode()
    + b"\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "an unknown coding": b"POST /test/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, cake\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_is_refused_in_few_words(doors: InThread, name: str, caplog: pytest.LogCaptureFixture) -> None:
    status, headers, body = raw(doors, MALFORMED[name])
    assert 400 <= status < 500
    assert headers["server"] == "diarnb"
    assert b"aiohttp" not in body
    assert not [record for record in caplog.records if record.exc_info]
    assert httpx.post(f"{doors.base_url}/test/read", headers=doors.bearer).status_code == 200


def test_connections_that_do_not_ask_are_closed(doors: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_HEAD", 0.3)
    monkeypatch.setattr(guard, "STALL", 0.3)
    slow = [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        asked("POST", "/test/read", "Host: localhost", "Content-Length: 9", f"Authorization: Bearer {KEY}") + b"a",
    ]
    for request in slow:
        with socket.create_connection(("127.0.0.1", doors.port), timeout=PATIENCE) as connection:
            connection.sendall(request)
            with suppress(ConnectionError):
                assert connection.recv(100) == b""


def test_a_drip_is_no_body(doors: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "STALL", 0.3)
    request = asked("POST", "/test/read", "Host: localhost", "Content-Length: 999", f"Authorization: Bearer {KEY}")
    with socket.create_connection(("127.0.0.1", doors.port), timeout=0.02) as connection:
        connection.sendall(request)
        for _ in range(900):
            connection.sendall(b"a")
            with suppress(TimeoutError, ConnectionError):
                assert connection.recv(1) == b""  # closed
                return
    pytest.fail("it was let go on")


def test_who_waits_for_an_answer_is_left_alone(doors: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_HEAD", 0.1)
    monkeypatch.setattr(guard, "STALL", 0.1)
    with socket.create_connection(("127.0.0.1", doors.port), timeout=0.5) as connection:
        connection.sendall(asked("GET", "/test/slow", "Host: localhost", f"Authorization: Bearer {KEY}"))
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_unknown_and_wrong_keys_take_as_long(tmp_path: Path) -> None:
    """Welch's t of a key that shares all but its last letter with ours, and of one that shares nothing."""
    settings = settings_of(tmp_path)
    owner = cores.Core.find_owner
    like = type("Core", (), {"settings": settings})()
    wrong, unknown = KEY[:-1] + "~", "~" * len(KEY)
    times: dict[str, list[int]] = {wrong: [], unknown: []}
    for number in range(20_000):
        key = (wrong, unknown)[number % 2]
        began = time.perf_counter_ns()
        assert owner(like, key) is None
        times[key].append(time.perf_counter_ns() - began)
    # the machine does other things as well: what took longest says nothing about the key
    one, other = (sorted(found)[: len(found) * 9 // 10] for found in times.values())
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    assert abs(statistics.mean(one) - statistics.mean(other)) / spread**0.5 < 4.5 or (
        abs(statistics.mean(one) - statistics.mean(other)) < 20  # ns: less than the clock can tell
    )


def idle(server: InThread, count: int) -> list[socket.socket]:
    """Open connections that ask nothing."""
    return [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(count)]


@pytest.mark.slow
def test_idle_strangers_make_room_for_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest idle of them first, and nobody who has shown a key while there are others."""
    monkeypatch.setattr(guard, "_HEAD", PATIENCE)
    with in_thread() as server, httpx.Client(base_url=server.base_url, headers=server.bearer) as client:
        assert client.get("/v1/test").status_code == 200  # and goes on being connected
        strangers = idle(server, 1100)
        try:
            for _ in range(3):
                assert httpx.get(f"{server.base_url}/v1/test", headers=server.bearer).status_code == 200
            mine = next(iter(client._transport._pool.connections))  # type: ignore[attr-defined]
            assert client.get("/v1/test").status_code == 200
            assert next(iter(client._transport._pool.connections)) is mine  # type: ignore[attr-defined]
            with suppress(ConnectionError):
                assert strangers[0].recv(1) == b""
            strangers[-1].settimeout(0.1)
            with pytest.raises(TimeoutError):
                strangers[-1].recv(1)
        finally:
            for stranger in strangers:
                stranger.close()


@pytest.mark.slow
def test_an_address_with_many_wrong_keys_is_slowed_down_and_the_owner_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLD", PATIENCE)
    monkeypatch.setattr(limits, "MOST_HELD", 2)
    with in_thread() as server:
        url, wrong = f"{server.base_url}/v1/test", {"Authorization": "Bearer some-wrong-key"}
        for _ in range(limits.WRONG_KEYS):
            assert httpx.get(url, headers=wrong).status_code == 401
        for path in ("/v1/test", "/v1/listen"):  # in either dialect
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{server.base_url}{path}", headers=wrong, timeout=0.5)
            assert httpx.get(url, headers=server.bearer).status_code == 200
        assert httpx.get(url).status_code == 401  # nobody guesses who shows no key
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=0.3) for _ in range(2)]
        for connection in held:
            connection.sendall(asked("GET", "/v1/test", "Host: localhost", "Authorization: Bearer some-wrong-key"))
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert httpx.get(url, headers=wrong).status_code == 401  # as many as are held cost nobody a place
        for connection in held:
            connection.close()


def test_wrong_keys_are_counted_by_network_and_for_a_minute() -> None:
    now = [0.0]
    wrong = limits.WrongKeys(lambda: now[0])

    async def show(address: str, times: int) -> int:
        """Show keys; return how many answers came at once."""
        done = 0
        for _ in range(times):
            with suppress(TimeoutError):
                await asyncio.wait_for(wrong.hold(address), 0.01)
                done += 1
        return done

    assert asyncio.run(show("192.0.2.1", 12)) == limits.WRONG_KEYS
    assert asyncio.run(show("192.0.2.2", 2)) == 2
    assert asyncio.run(show("2001:db8::1", 12)) == limits.WRONG_KEYS
    assert asyncio.run(show("2001:db8::2", 1)) == 0
    now[0] = limits.WINDOW
    assert asyncio.run(show("192.0.2.1", 2)) == 2
