"""What attackers send a server: markup for its page, and requests that would lead it to where it must not go."""

from __future__ import annotations

import contextlib
import html.parser
import io
import socket
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx
import numpy as np
import soundfile

from diarnb.server.core import derive_owner
from diarnb.server.jobs import Job
from diarnb.server.web.media import _hash_name
from tests.servers import KEY, InThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIXES = ("", '"', "'", "</pre>", "</style>", "-->")
PAYLOADS = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<iframe src=//a>"),
    *("<body onload=alert(1)>", "<a href=javascript:alert(1)>a</a>", "<style>*{color:red}</style>", "<base href=//a>"),
    *("<meta http-equiv=refresh content=0;url=//a>", "<form action=//a><input name=b>"),
)


class _Elements(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(attrs)))


def markup() -> tuple[list[str], int]:
    """Bring vectors to the page in four ways; give those that became markup, and how many there were."""
    raw = []
    vectors = [prefix + payload for prefix in PREFIXES for payload in PAYLOADS]
    rows = ("tr", "td", "th", "table")  # of the list of jobs, which grows

    def page(server: InThread, **more: Any) -> list[Any]:
        text = httpx.get(f"{server.base_url}/", **more).text
        return [found for found in _Elements(text).found if found[0] not in rows]

    with in_thread() as server:
        server.call(server.core.jobs.add(Job("first", "somebody", "diarize", {"do": "nothing"}, state="failed")))
        plain = page(server)
        for number, vector in enumerate(vectors):
            headers = {"User-Agent": vector, "Referer": vector, "Accept-Language": vector, "X-Forwarded-Host": vector}
            if page(server, params={"a": vector, vector: "b"}) != plain:
                raw.append(f"query {vector}")
            if page(server, headers=headers) != plain:
                raw.append(f"headers {vector}")
            server.call(server.core.jobs.add(Job(f"{number}", "somebody", vector, {"do": "nothing"}, state="failed")))
            if page(server) != plain:
                raw.append(f"job {vector}")
            with mock.patch.object(server.core, "settings", _worded(server, vector)):
                if page(server) != plain:
                    raw.append(f"setting {vector}")
    return raw, 4 * len(vectors)


def _worded(server: InThread, words: str) -> Any:
    settings = server.core.settings
    return type(settings)(**{**vars(settings), "words": words})


class _Canary:
    """A server on loopback that nobody has any business with; and one that may be asked, and leads to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.serves: dict[str, tuple[int, dict[str, str], bytes]] = {}
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = canary.serves.get(self.path, (200, {}, b""))
                if self.path not in canary.serves:
                    canary.seen.append(f"{self.command} {self.path}")
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET  # noqa: N815 (what the base class looks for)

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class _Nets:
    """What names are found to be, in turn; and every connection that this process tries to make."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.tried: list[tuple[str, int]] = []
        self.watching = False
        self._real = socket.getaddrinfo
        sys.addaudithook(self._hear)

    def look_up(self, host: str, port: Any, *rest: Any, **more: Any) -> Any:
        answers = self.names.get(host)
        if answers is None:
            return self._real(host, port, *rest, **more)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [info for address in found.split() for info in self._real(address, port, type=socket.SOCK_STREAM)]

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and event == "socket.connect" and isinstance(arguments[1], tuple):
            self.tried.append(arguments[1][:2])
            if not arguments[1][0].startswith(("127.", "::1")):
                raise ConnectionRefusedError("nothing leaves this machine")


HERE = (
    *("127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "localhost"),
    *("LOCALHOST", "localhost.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]"),
    *("[2002:7f00:1::]", "①②⑦.⓪.⓪.①", "ok@127.0.0.1", "evil.example", "169.254.169.254", "10.0.0.1", "100.64.0.1"),
)  # fmt: skip
KEYS = (
    *("../canary.wav", "../../canary.wav", "/{path}", "a/../../../canary.wav", "..%2fcanary.wav", "%2e%2e/canary.wav"),
    *("..\\canary.wav", "a\0b", "a" * 300, "CON", "linked"),
)  # fmt: skip


def reach() -> tuple[list[str], int]:
    """Try everything; give what was reached, and how many attempts there were."""
    reached, count = [], 0
    nets, canary, spread = _Nets(), _Canary(), _Canary()
    with (
        tempfile.TemporaryDirectory(prefix="diarnb-probes-") as outside,
        mock.patch("socket.getaddrinfo", nets.look_up),
    ):
        nets.names |= {"media.example": ["127.0.0.1"], "evil.example": ["127.0.0.1"]}
        file = Path(outside, "canary.wav")
        soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
        as_it_was = file.read_bytes()
        folder = Path(outside, "server")
        settings = {"allow_url_fetch": ("*", "media.example"), "workers": 1}
        with in_thread(folder, **settings) as server, httpx.Client(base_url=server.base_url, timeout=60) as http:
            allowed = {server.port, spread.port}
            for name, attempt in _attempts(server, http, nets, canary, spread, file):
                canary.seen.clear()
                nets.tried.clear()
                nets.watching = True
                got = attempt()
                nets.watching = False
                count += 1
                # a public address may be tried, and does not answer here; one of this machine may not
                private = [at for at in nets.tried if at[1] not in allowed and at[0] != "9.9.9.9"]
                if canary.seen or private or file.read_bytes() != as_it_was or as_it_was[44:1000] in got:
                    reached.append(f"{name}: {canary.seen} {private}")
    for each in (canary, spread):
        each.server.shutdown()
        each.server.server_close()
    return reached, count


def _attempts(
    server: InThread, http: httpx.Client, nets: _Nets, canary: _Canary, spread: _Canary, file: Path
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    bearer, token = {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Token {KEY}"}
    here = f"http://media.example:{spread.port}"

    def job(body: dict[str, Any]) -> bytes:
        answer = http.post("/v1/diarize", json=body, headers=bearer)
        deadline = time.monotonic() + 60
        while answer.status_code == 200 and time.monotonic() < deadline:
            found = http.get(f"/v1/jobs/{answer.json()['jobId']}", headers=bearer)
            if found.json()["status"] not in ("created", "running"):
                time.sleep(0.2 * ("webhook" in body))  # and whoever is told is told at once
                if found.json()["status"] == "succeeded" and "webhook" not in body:
                    return file.read_bytes()  # it has heard what nobody sent it
                return found.content
            time.sleep(0.02)
        return answer.content

    def listen(url: str, **query: str) -> bytes:
        return http.post("/v1/listen", json={"url": url}, params=query, headers=token).content

    def put_and_get(key: str) -> bytes:
        got = b""
        for method, path in (("PUT", "input"), ("GET", "output")):
            answer = http.post(f"/v1/media/{path}", json={"url": f"media://{key}"}, headers=bearer)
            if answer.status_code == 201:
                got += http.request(method, answer.json()["url"], content=b"OVER" if method == "PUT" else None).content
        return got + job({"url": f"media://{key}"})

    def raw(target: str) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            got = io.BytesIO()
            with contextlib.suppress(OSError):
                while piece := connection.recv(1 << 16):
                    got.write(piece)
            return got.getvalue()

    def bound(*found: str) -> Callable[[], bytes]:
        def attempt() -> bytes:
            nets.names["rebound.example"] = list(found)
            return job({"url": f"http://rebound.example:{canary.port}/talk.wav"})

        return attempt

    for host in HERE:
        yield f"job {host}", lambda host=host: job({"url": f"http://{host}:{canary.port}/talk.wav"})
    for host in HERE[::4]:
        yield f"listen {host}", lambda host=host: listen(f"http://{host}:{canary.port}/talk.wav")
    for number, there in enumerate(("127.0.0.1", "localhost", "[::1]", "0x7f.1", "evil.example")):
        spread.serves[f"/to{number}"] = (302, {"Location": f"http://{there}:{canary.port}/"}, b"")
        yield f"redirect to {there}", lambda number=number: job({"url": f"{here}/to{number}"})
    for number, there in enumerate(
        (f"file://{file}", f"gopher://127.0.0.1:{canary.port}/", f"//127.0.0.1:{canary.port}/")
    ):
        spread.serves[f"/other{number}"] = (307, {"Location": there}, b"")
        yield f"redirect to {there}", lambda number=number: listen(f"{here}/other{number}")
    yield "rebinding: public, then private", bound("9.9.9.9", "127.0.0.1")
    yield "rebinding: private, then public", bound("127.0.0.1", "9.9.9.9")
    yield "a name of both", bound("9.9.9.9 127.0.0.1")
    yield "a name of a mapped address", bound("::ffff:127.0.0.1")
    url = f"http://127.0.0.1:{canary.port}/a.wav"
    lists = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXTINF:9,\nfile://{file}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n",
        "pls": f"[playlist]\nFile1={url}\nFile2={file}\nNumberOfEntries=2\n",
        "mpd": f"<MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>",
        "sdp": f"v=0\nc=IN IP4 127.0.0.1\nm=audio {canary.port} RTP/AVP 0\n",
    }
    for kind, text in lists.items():
        spread.serves[f"/list.{kind}"] = (200, {"Content-Type": "audio/wav"}, text.encode())
        yield f"a list as audio: {kind}", lambda kind=kind: job({"url": f"{here}/list.{kind}"})
        yield f"a list sent: {kind}", lambda text=text: http.post("/v1/listen", content=text, headers=token).content
    for hook in ("https://127.0.0.1", "https://localhost", "https://evil.example", "http://127.0.0.1", "https://127.1"):
        yield f"webhook {hook}", lambda hook=hook: job({"url": "media://none", "webhook": f"{hook}:{canary.port}/"})
    for hook in ("http://127.0.0.1:8080/", "http://evil.example:8080/", f"http://127.0.0.1:{canary.port}/"):
        yield f"callback {hook}", lambda hook=hook: listen(f"{here}/nothing", callback=hook) + _pause()
    server.folder.joinpath("media", _hash_name(derive_owner(KEY), "media://linked")).symlink_to(file)
    for key in KEYS:
        yield f"key {key[:20]!r}", lambda key=key: put_and_get(key.format(path=file))
    for target in (
        f"/media/../../{file.name}",
        f"/media/..%2f..%2f{file.name}",
        f"//{file}",
        f"/media/{file}",
        f"file://{file}",
    ):
        yield f"path {target}", lambda target=target: raw(target)


def _pause() -> bytes:
    time.sleep(0.3)  # for a delivery that must not come
    return b""
