"""Requests that the server itself makes, for whoever asks it to: to public addresses, and to hosts that are named.

What a name stands for is looked up once, and what was found is both what is judged and what is connected to: between
two look-ups it could become this machine. The socket itself is judged again, for a number needs no look-up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from diarnb.server.settings import MAX_BODY

if TYPE_CHECKING:
    from pathlib import Path

    from diarnb.server.web.disk import DiskReserve

SECONDS = 600.0
"""Seconds for a recording, from the first look-up to its last byte."""

_STEPS = aiohttp.ClientTimeout(sock_connect=10.0, sock_read=30.0)
_HOPS = 3  # redirects followed
_REDIRECTS = {301, 302, 303, 307, 308}
_PIECE = 1 << 20  # bytes that are written at once

_GLOBAL = ipaddress.ip_network("2000::/3")  # what IPv6 gives to networks; all else is special
# Addresses that `is_global` lets pass: IPv4 in the clothes of IPv6, relays to it, and many machines at once.
_NETWORKS = ("2002::/16", "2001::/32", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4")
_SPECIAL = [ipaddress.ip_network(network) for network in _NETWORKS]
_OURS = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan", "intranet", "corp")
_NOT_PUBLIC = "The address is not a public one"


class FetchError(Exception):
    """Something could not be fetched, or is not fetched for anybody; the message may be shown to the client."""


def is_public(address: str) -> bool:
    """Check whether an address, as a look-up gives it, is one that anybody may reach.

    Examples
    --------
    >>> [is_public(text) for text in ("9.9.9.9", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2620:fe::fe")]
    [True, False, False, False, True]
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found not in _GLOBAL:
        return False
    return found.is_global and not any(found in network for network in _SPECIAL if network.version == found.version)


def is_listed(host: str, allowed: tuple[str, ...]) -> bool:
    """Check whether a host is one of those that are allowed by name.

    Examples
    --------
    >>> is_listed("Media.Example.org.", ("media.example.org",)), is_listed("media.example.org", ("*",))
    (True, False)
    """
    return host.lower().rstrip(".") in {name.lower() for name in allowed}


def check_host(host: str) -> str | None:
    """Check a host by its name; return why it is not public, or None where only a look-up can tell.

    Examples
    --------
    >>> check_host("example.org")
    >>> check_host("0x7f.1")
    'The address is not a public one'
    """
    host = host.lower().rstrip(".")
    if not host or host in _OURS or host.rpartition(".")[2] in _OURS or host.endswith(".home.arpa"):
        return _NOT_PUBLIC
    try:
        # 127.1, 2130706433 and 0x7f000001 are this machine as well, to those who look them up
        number = socket.inet_ntoa(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host) else host
        return None if is_public(number) else _NOT_PUBLIC
    except (OSError, ValueError):
        return None


def open_public_session(allowed: tuple[str, ...]) -> aiohttp.ClientSession:
    """Open a session that connects to public addresses only, and to hosts that are allowed by name.

    It follows redirects if asked to, and judges where they lead; it keeps no cookies and knows no proxy. It raises
    `FetchError` for what it does not connect to.
    """
    resolver = _PublicResolver(allowed)
    connector = aiohttp.TCPConnector(
        resolver=resolver, socket_factory=resolver.socket, use_dns_cache=False, force_close=True, limit=64
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, timeout=_STEPS
    )


class _PublicResolver(AbstractResolver):
    """Looks names up, and opens sockets to what was found, and to nothing else."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._known: set[str] = set()  # what stands behind allowed names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        except (OSError, UnicodeError):
            raise FetchError(f"{host:.80} cannot be found") from None
        addresses = [str(info[4][0]) for info in found]
        if is_listed(host, self._allowed):
            self._known.update(addresses)
        elif not addresses or not all(map(is_public, addresses)):
            raise FetchError(_NOT_PUBLIC)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=info[0], proto=info[2], flags=socket.AI_NUMERICHOST
            )
            for address, info in zip(addresses, found, strict=True)
        ]

    async def close(self) -> None:
        pass

    def socket(self, info: Any) -> socket.socket:
        family, kind, proto, _, place = info
        address = str(place[0])
        if not (is_public(address) or address in self._known or is_listed(address, self._allowed)):
            raise FetchError(_NOT_PUBLIC)
        return socket.socket(family, kind, proto)


class Fetcher:
    """Fetches recordings.

    Parameters
    ----------
    allowed : tuple of str
        Hosts that may be asked, wherever they are; ``*`` for any that is public. Empty: nothing is fetched.
    disk : DiskReserve
    max_bytes : int, default 2 GiB
    seconds : float, default 600
    """

    def __init__(
        self, allowed: tuple[str, ...], disk: DiskReserve, *, max_bytes: int = MAX_BODY, seconds: float = SECONDS
    ) -> None:
        self._allowed, self._disk, self._max_bytes, self._seconds = allowed, disk, max_bytes, seconds
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End what is being fetched."""
        if self._session is not None:
            await self._session.close()

    def check(self, url: str) -> str | None:
        """Check an address; return why it is not fetched, as far as it shows, or None."""
        if not self._allowed:
            return "This server fetches no addresses: send the recording, or start it with --allow-url-fetch"
        host = (parsed := parse_url(url)) and parsed.host
        if parsed is None or not host or parsed.scheme not in ("http", "https"):
            return "Invalid URL"
        if parsed.user is not None or parsed.password is not None:
            return "An address with a user name in it is not fetched"
        if is_listed(host, self._allowed):
            return None
        if "*" not in self._allowed:
            return f"This server fetches nothing from {host:.80}: start it with --allow-url-fetch {host:.80}"
        return check_host(host)

    async def fetch(self, url: str, target: Path) -> None:
        """Fetch a recording into a file, of which nothing is left where that fails.

        Raises
        ------
        FetchError
            It is not public, is not there, is too large, or too slow.
        OSError
            The disk has no room for it beyond the reserve.
        """
        if self._session is None:
            self._session = open_public_session(self._allowed)
        try:
            async with asyncio.timeout(self._seconds):
                await self._follow(self._session, url, target)
        except BaseException as error:
            target.unlink(missing_ok=True)
            if isinstance(error, TimeoutError):
                raise FetchError("The remote server is too slow") from None
            if isinstance(error, (aiohttp.ClientError, ConnectionError, ValueError)):
                raise FetchError("The remote server hosting the media failed to return valid data") from None
            raise

    async def _follow(self, session: aiohttp.ClientSession, url: str, target: Path) -> None:
        for _ in range(_HOPS + 1):
            if (problem := self.check(url)) is not None:
                raise FetchError(problem)
            here = URL(url)
            headers = {"Accept-Encoding": "identity", "User-Agent": "diarnb"}
            async with session.get(here, headers=headers, allow_redirects=False) as response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    await self._store(response, target)
                    return
                there = here.join(URL(response.headers["Location"]))
            if here.scheme == "https" and there.scheme != "https":
                raise FetchError("The remote server redirects from https to something else")
            url = str(there)
        raise FetchError(f"The remote server redirects more than {_HOPS} times")

    async def _store(self, response: aiohttp.ClientResponse, target: Path) -> None:
        if response.status != 200:
            raise FetchError(f"The remote server hosting the media answered with status {response.status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchError("The remote server hosting the media compressed it")
        left, too_large = self._max_bytes, FetchError(f"The media is larger than {self._max_bytes >> 20} MiB")
        if (response.content_length or 0) > left:
            raise too_large
        self._disk.check(response.content_length or 0)
        with target.open("wb") as file:
            async for piece in response.content.iter_chunked(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise too_large
                self._disk.check(len(piece))
                await asyncio.to_thread(file.write, piece)


def parse_url(url: str) -> URL | None:
    """Read an address; None where it is none, or could be read in two ways."""
    # browsers read a backslash as a slash, others do not; an address that can be read in two ways is not followed
    if re.search(r"[\x00-\x20\x7f\\]", url):
        return None
    try:
        return URL(url)
    except ValueError:
        return None
