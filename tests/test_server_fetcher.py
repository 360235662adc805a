"""What the server fetches for others, and what nobody can make it fetch."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from diarnb.server.web import fetcher
from diarnb.server.web.disk import DiskReserve
from diarnb.server.web.fetcher import Fetcher, FetchError, check_host, is_listed, is_public, open_public_session
from tests.loopback import Answer, answering, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler

SOUND = b"RIFF" + bytes(1000)

PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:9.9.9.9", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2001:0:7f00:1::", "100::1"),
]
PUBLIC = ["9.9.9.9", "93.184.216.34", "2620:fe::fe", "2a00:1450:4001:82f::200e"]

HERE = [
    *("127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7F.1"),
    *("0177.0.0.1", "017700000001", "127.0.0.1.", "127.1.", "localhost", "LocalHost", "localhost.", "a.localhost"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"),
    *("ok@127.0.0.1", "example.org:80@127.0.0.1", "%31%32%37.0.0.1", "127.0.0.1%00.example.org"),
]
"""How this machine can be named in an address."""


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_some_network_only_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_everybody_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["printer.local", "db.internal", "nas.home.arpa", "router.lan", "a.corp", "intranet"])
def test_names_of_home_are_refused_by_their_text(host: str) -> None:
    assert check_host(host)


@pytest.mark.parametrize("host", ["example.org", "0x.org", "ff.com", "local.example.org", "10.example.org", "9.9.9.9"])
def test_other_names_have_to_be_looked_up(host: str) -> None:
    assert check_host(host) is None


def test_a_star_names_nobody() -> None:
    assert not is_listed("anybody.example", ("*",))
    assert is_listed("Media.Example.", ("media.example",))


class Canary:
    """Counts who comes."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.seen.append(request.path)
        answering(SOUND)(request)


class Names:
    """What is looked up, and what is found: in turn, and the last for ever."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.found: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self._real = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        self.asked.append(host)
        answers = self.found.get(host)
        if answers is None:
            return self._real(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        return self._real(address, port, family, type, proto, flags | socket.AI_NUMERICHOST)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def canary() -> Iterator[tuple[Canary, int]]:
    found = Canary()
    with serving({"/": found, "/talk.wav": found}) as origin:
        yield found, int(origin.rpartition(":")[2])


def fetch(url: str, target: Path, *allowed: str, **limits: Any) -> bytes:
    async def run() -> None:
        fetcher = Fetcher(allowed, DiskReserve(target.parent, 0), **limits)
        try:
            await fetcher.fetch(url, target)
        finally:
            await fetcher.close()

    asyncio.run(run())
    return target.read_bytes()


def at(origin: str, host: str) -> str:
    return origin.replace("127.0.0.1", host)


def test_nothing_is_fetched_by_default(tmp_path: Path, canary: tuple[Canary, int]) -> None:
    with pytest.raises(FetchError, match="--allow-url-fetch"):
        fetch(f"http://127.0.0.1:{canary[1]}/", tmp_path / "got")
    assert not canary[0].seen


def test_a_host_that_is_named_is_fetched_from(tmp_path: Path, names: Names) -> None:
    names.found["media.example"] = ["127.0.0.1"]
    with serving({"/talk.wav": answering(SOUND)}) as origin:
        assert fetch(f"{at(origin, 'media.example')}/talk.wav?sig=1", tmp_path / "got", "media.example") == SOUND
        assert fetch(f"{origin}/talk.wav", tmp_path / "got", "127.0.0.1") == SOUND  # and again into the same file
    assert set(names.asked) == {"media.example"}


def test_a_host_that_is_not_named_is_not(tmp_path: Path, canary: tuple[Canary, int]) -> None:
    with pytest.raises(FetchError, match=r"nothing from 127\.0\.0\.1: start it with --allow-url-fetch 127\.0\.0\.1"):
        fetch(f"http://127.0.0.1:{canary[1]}/", tmp_path / "got", "media.example")
    assert not canary[0].seen


def test_a_public_host_is_fetched_from(tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    names.found["media.example"] = ["127.0.0.1"]
    monkeypatch.setattr(fetcher, "is_public", only_ipv4_loopback)
    with serving({"/talk.wav": answering(SOUND)}) as origin:
        assert fetch(f"{at(origin, 'media.example')}/talk.wav", tmp_path / "got", "*") == SOUND
    assert names.asked == ["media.example"]


@pytest.mark.parametrize("host", HERE)
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_this_machine_is_not_fetched_from_by_any_name(
    tmp_path: Path, canary: tuple[Canary, int], scheme: str, host: str
) -> None:
    with pytest.raises(FetchError):
        fetch(f"{scheme}://{host}:{canary[1]}/talk.wav", tmp_path / "got", "*")
    assert not canary[0].seen
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    "url",
    [
        *("http:\\\\127.0.0.1:{}/", "http://9.9.9.9\\@127.0.0.1:{}/", "http://127.0.0.1:{}\t/", "http://\n127.0.0.1"),
        *("//127.0.0.1:{}/", "/talk.wav", "file:///etc/passwd", "gopher://127.0.0.1:{}/", "ftp://127.0.0.1/", "http:"),
        *("http://[::1/", "http://127.0.0.1:99999/", "http:///talk.wav", "", "http://a:b:c/", "data:audio/wav,UklG"),
    ],
)
def test_what_is_no_address_of_the_web_is_refused_at_once(canary: tuple[Canary, int], url: str) -> None:
    assert Fetcher(("*",), DiskReserve(Path(), 0)).check(url.format(canary[1]))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "64:ff9b::7f00:1", "0.0.0.0"])
def test_a_name_of_a_private_address_is_refused(
    tmp_path: Path, names: Names, canary: tuple[Canary, int], address: str
) -> None:
    names.found["evil.example"] = [address]
    with pytest.raises(FetchError, match="not a public one"):
        fetch(f"http://evil.example:{canary[1]}/", tmp_path / "got", "*")
    assert not canary[0].seen


def test_a_name_that_changes_between_two_looks_is_looked_up_once(
    tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.1 plays the public host here, and 127.0.0.2 the private one, to which no test can connect."""
    names.found["evil.example"] = ["127.0.0.1", "127.0.0.2"]
    monkeypatch.setattr(fetcher, "is_public", only_ipv4_loopback)
    with serving({"/": answering(SOUND)}) as origin:
        assert fetch(at(origin, "evil.example"), tmp_path / "got", "*") == SOUND
        assert names.asked == ["evil.example"]
        with pytest.raises(FetchError, match="not a public one"):
            fetch(at(origin, "evil.example"), tmp_path / "got", "*")


def test_a_socket_is_judged_even_where_no_name_was_looked_up(canary: tuple[Canary, int]) -> None:
    async def run() -> None:
        async with open_public_session(()) as session:
            for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"):
                with pytest.raises(FetchError):
                    await session.get(f"http://{host}:{canary[1]}/")
            with pytest.raises(FetchError):
                await session.post(f"http://localhost:{canary[1]}/")

    asyncio.run(run())
    assert not canary[0].seen


def only_ipv4_loopback(address: str) -> bool:
    return ipaddress.ip_address(address) == ipaddress.ip_address("127.0.0.1")


def moved(to: str, status: int = 302) -> Answer:
    return answering(b"", status=status, Location=to)


@pytest.mark.parametrize(
    "to",
    [
        *("http://127.0.0.1:{}/", "//127.0.0.1:{}/", "http://localhost:{}/", "http://[::1]:{}/", "http://0x7f.1:{}/"),
        *("file:///etc/passwd", "gopher://127.0.0.1:{}/", "ftp://127.0.0.1:{}/", "http://me:pw@127.0.0.1:{}/"),
        *("http://evil.example:{}/", "http://[", "data:,x"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_judged_as_an_address(
    tmp_path: Path, names: Names, canary: tuple[Canary, int], to: str, status: int
) -> None:
    names.found |= {"media.example": ["127.0.0.1"], "evil.example": ["127.0.0.1"]}
    with serving({"/": moved(to.format(canary[1]), status)}) as origin, pytest.raises(FetchError):
        fetch(at(origin, "media.example"), tmp_path / "got", "media.example", "*")
    assert not canary[0].seen


def test_a_redirect_within_a_host_is_followed_three_times(tmp_path: Path) -> None:
    routes = {"/0": moved("/1"), "/1": moved("/2"), "/2": moved("/talk.wav"), "/talk.wav": answering(SOUND)}
    with serving({**routes, "/round": moved("/round"), "/far": moved("/0")}) as origin:
        assert fetch(f"{origin}/0", tmp_path / "got", "127.0.0.1") == SOUND
        for path in ("/round", "/far"):
            with pytest.raises(FetchError, match="more than 3 times"):
                fetch(origin + path, tmp_path / "got", "127.0.0.1")


def drip(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"a")
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        *((answering(b"", status=404), "status 404"), (answering(b"", status=500), "status 500")),
        *((answering(bytes(2_000_000)), "larger than 1 MiB"), (answering(SOUND, length=1 << 40), "larger than 1 MiB")),
        (answering(gzip.compress(bytes(1 << 30, )[: 1 << 20]), Content_Encoding="gzip"), "compressed"),
        *((answering(SOUND, length=2000), "failed to return"), (drip, "too slow")),
        (lambda request: request.wfile.write(b"220 ftp ready\r\n"), "failed to return"),
    ],
    ids=["404", "500", "too large", "said to be too large", "a bomb", "cut off", "a drip", "no HTTP"],
)  # fmt: skip
def test_what_does_not_come_whole_leaves_nothing(tmp_path: Path, answer: Answer, said: str) -> None:
    with serving({"/": answer}) as origin, pytest.raises(FetchError, match=said):
        fetch(origin, tmp_path / "got", "127.0.0.1", max_bytes=1 << 20, seconds=1.0 if answer is drip else 60.0)
    assert not list(tmp_path.iterdir())


def test_a_body_without_end_is_cut_off(tmp_path: Path) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(bytes(65536))

    with serving({"/": endless}) as origin, pytest.raises(FetchError, match="larger than 1 MiB"):
        fetch(origin, tmp_path / "got", "127.0.0.1", max_bytes=1 << 20)


def test_a_server_that_is_not_there_is_said(tmp_path: Path, names: Names) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="failed to return"):
            fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/", tmp_path / "got", "127.0.0.1")
    with pytest.raises(FetchError, match=r"nowhere\.example cannot be found"):
        fetch("http://nowhere.example/", tmp_path / "got", "*")


def test_no_message_shows_what_signs_an_address(tmp_path: Path) -> None:
    with serving({}) as origin, pytest.raises(FetchError) as caught:
        fetch(f"{origin}/talk.wav?sig=s3cret", tmp_path / "got", "127.0.0.1")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canary: tuple[Canary, int]
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{canary[1]}")
    with serving({"/": answering(SOUND)}) as origin:
        assert fetch(origin, tmp_path / "got", "127.0.0.1") == SOUND
    assert not canary[0].seen


def test_nothing_is_kept_from_one_answer_to_the_next(tmp_path: Path) -> None:
    told: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        told.append(request.headers["Cookie"])
        answering(SOUND, Set_Cookie="a=b")(request)

    async def run(origin: str) -> None:
        async with open_public_session(("localhost",)) as session:
            for _ in range(2):
                async with session.get(at(origin, "localhost")) as response:
                    assert isinstance(response, aiohttp.ClientResponse)
                    await response.read()

    with serving({"/": answer}) as origin:
        asyncio.run(run(origin))
    assert told == [None, None]
