"""One request on a connection of its own, and what became of it; the only module that knows the HTTP library."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from diarnb._text import printable, public_url, shorten
from diarnb.audio.download import explain_proxies, loopback, quiet_log
from diarnb.engines.cloud.keys import strike_out
from diarnb.engines.cloud.replies import Reply
from diarnb.errors import ApiConnectionError, ApiError, ApiResponseError, ApiTimeoutError, AudioChangedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Generator

    from diarnb._types import Options
    from diarnb.engines.cloud.keys import Secret

log: logging.Logger = logging.getLogger("diarnb")

_UNCLEAR = {
    408,
    409,
    425,
}  # statuses with which a request may have been carried out all the same, or another of its kind

LARGEST = 64 * 1024**2
"""Bytes that an answer may have, decoded."""


@dataclass(frozen=True)
class Body:
    """What a request carries, opened anew for each attempt.

    Attributes
    ----------
    open : callable
        Gives an asynchronous iterator over the bytes, from their beginning.
    size : int
        How many they are; the iterator must give exactly as many.
    type : str
        The media type; empty to send none.
    """

    open: Callable[[], AsyncIterator[bytes]]
    size: int
    type: str = "application/octet-stream"


@dataclass(frozen=True)
class Pace:
    """How long to wait for what, in seconds; tests are in a hurry."""

    connect: float = 5.0
    read: float = 30.0
    write: float = 60.0
    attempts: int = 5
    billed_attempts: int = 4
    within: float = 120.0
    base: float = 0.5
    cap: float = 8.0
    jitter: Callable[[], float] = field(default=random.random)  # full jitter needs no cryptography

    def backoff(self, attempt: int) -> float:
        """Return how many seconds to wait after an attempt, counted from 1."""
        return self.jitter() * min(self.cap, self.base * 2.0**attempt)


class Exchange:
    """One attempt: a request on a connection of its own, and what became of it."""

    def __init__(
        self,
        service: str,
        pace: Pace,
        method: str,
        url: Secret,
        key: tuple[str, Secret] | None,
        query: Options | list[tuple[str, str]] | None,
        body: Body | None,
        headers: dict[str, str],
    ) -> None:
        self.service: str = service
        self.pace: Pace = pace
        self.method: str = method
        self.url: Secret = url
        self._query: Any = query
        self.body: Body | None = body
        self.auth: _Key | None = None if key is None else _Key(*key)
        self.secrets: list[Secret] = [url]  # what the answer may echo, and does not show
        accepted = "*/*" if key is None else "application/json"
        self.headers: dict[str, str] = {
            "Accept": accepted,
            "Accept-Encoding": "identity",
            "User-Agent": "diarnb",
            **headers,
        }
        if body is not None:
            self.headers["Content-Length"] = str(body.size)  # else it would go in chunks, which signed addresses refuse
            if body.type:
                self.headers["Content-Type"] = body.type
        self.reply: Reply | None = None
        self.again: bool = True  # whether the failure may pass
        self.elsewhere: Callable[[Reply], bool] | None = None  # whether an answer shows that nothing was passed on
        self._handed = body is None  # the last byte was given to the transport
        self._broke = False  # while it was being written
        self._late = False

    def maybe_executed(self) -> bool:
        """Return whether the service can have got the whole request and not have refused it."""
        reply = self.reply
        if reply is not None and 400 <= reply.status < 500 and reply.status not in _UNCLEAR:
            return False  # it says so itself
        if reply is not None and reply.status == 408 and b"SLOW_UPLOAD" in reply.body:
            return False
        if reply is not None and self.elsewhere is not None and self.elsewhere(reply):
            return False
        return self._handed and (not self._broke or self._late)

    async def run(self, read: float, within: float) -> Reply:
        """Exchange, in the time that there is."""
        shown = shorten(printable(public_url(self.url.reveal())), 120)
        steps = httpx.Timeout(connect=self.pace.connect, read=read, write=self.pace.write, pool=None)
        began = time.monotonic()
        failed: ApiError | None = None
        try:
            with quiet_log():
                async with (
                    asyncio.timeout(within) as deadline,
                    make_client(self.url.reveal(), steps) as client,
                ):
                    stream = client.stream(
                        self.method,
                        self.url.reveal(),
                        params=self._query,
                        content=None if self.body is None else self._content(self.body, deadline, within),
                        headers=self.headers,
                        auth=self.auth,
                        extensions={"trace": self._trace},
                    )
                    async with stream as response:
                        self.reply = await self._read_reply(response)
        except TimeoutError as error:
            self._late = True
            raise ApiTimeoutError(f"{shown} did not answer within {within:.0f} s. Try again later.") from _bare(error)
        except httpx.TimeoutException as error:
            self._late = not isinstance(error, httpx.ConnectTimeout)
            raise ApiTimeoutError(f"{shown} was too slow: {_phase(error)}. Try again later.") from _bare(error)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failed = self._translate_error(error, shown)
            # What a protocol error says is what the other side sent, and may be anything.
            failed.__cause__ = None if isinstance(error, httpx.RemoteProtocolError) else _bare(error)
        if failed is not None:
            raise failed
        assert self.reply is not None  # noqa: S101
        milliseconds = 1000 * (time.monotonic() - began)
        log.debug("%s %s: %d, %.0f ms", self.method, shown, self.reply.status, milliseconds)
        return self.reply

    async def _content(self, body: Body, deadline: asyncio.Timeout, within: float) -> AsyncIterator[bytes]:
        """Hand the body over, count it, and let the deadline run only then: an upload takes its time."""
        loop = asyncio.get_running_loop()
        deadline.reschedule(None)  # while it is sent, the timeout of each write watches
        handed = 0
        async for piece in body.open():
            handed += len(piece)
            if handed == body.size:
                deadline.reschedule(loop.time() + within + self.pace.write)
                self._handed = True
            if handed > body.size:
                break
            yield piece
        if handed != body.size:
            raise AudioChangedError(
                "the recording changed while it was sent; wait until it is complete, then try again"
            )
        deadline.reschedule(loop.time() + within)

    async def _trace(self, name: str, _info: object) -> None:
        if name.endswith("send_request_body.failed"):
            self._broke = True

    async def _read_reply(self, response: httpx.Response) -> Reply:
        """Take the answer in, no more than is reasonable."""
        headers = {
            name.lower(): strike_out(value.encode(), *self.secrets).decode() for name, value in response.headers.items()
        }
        received = bytearray()
        async for piece in response.aiter_raw():
            received += piece
            if len(received) > LARGEST:
                raise self._unreadable(f"is larger than {LARGEST >> 20} MiB")
        content = bytes(received)
        encoding = headers.get("content-encoding", "identity").lower()
        if content and encoding != "identity":  # not asked for; some proxy's idea
            unpacked = _inflate(content, encoding)
            if unpacked is None:
                raise self._unreadable(f"is compressed ({encoding:.20}) and cannot be unpacked")
            content = unpacked
        return Reply(response.status_code, headers, strike_out(content, *self.secrets), self.service)

    def _unreadable(self, what: str) -> ApiResponseError:
        self.again = False
        return ApiResponseError(f"{self.service}'s answer {what}. Try again later.")

    def _translate_error(self, error: Exception, shown: str) -> ApiError:
        text = str(error)
        if isinstance(error, httpx.RemoteProtocolError) and not any(
            word in text for word in ("disconnected", "closed", "incomplete")
        ):
            self.again = False
            return ApiResponseError(
                f"The answer of {shown} is not valid HTTP. Check for a proxy in between, and try again."
            )
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            self.again = False
            return ApiConnectionError(f"{shown} is not a valid address. Check base_url.")
        if "CERTIFICATE" in text.upper() or "SSL" in text.upper():
            self.again = False
            return ApiConnectionError(
                f"{shown}: no secure connection, its certificate or encryption is not accepted. Behind a company "
                "proxy, set SSL_CERT_FILE to its certificate."
            )
        if isinstance(error, httpx.ProxyError):
            return ApiConnectionError(f"{shown} cannot be reached: the proxy refuses. Check HTTPS_PROXY and NO_PROXY.")
        if isinstance(error, httpx.ConnectError):
            return ApiConnectionError(f"cannot reach {shown}: {_reason(error)}. Check the network, and HTTPS_PROXY.")
        return ApiConnectionError(f"the connection to {shown} broke. Try again later.")


class _Key(httpx.Auth):
    """Puts the key into a request at the last moment, so that no variable of ours holds it in clear."""

    def __init__(self, scheme: str, key: Secret) -> None:
        self._scheme, self._key = scheme, key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"{self._scheme} {self._key.reveal()}".lstrip()
        yield request


def _bare(error: BaseException) -> BaseException:
    """Take the frames from an error and its causes: their variables hold headers and addresses, and help nobody."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return error


async def peek(url: str, pace: Pace | None = None) -> Reply:
    """Ask for the beginning of what an address holds, once, without following redirects.

    Parameters
    ----------
    url : str
    pace : Pace, optional

    Returns
    -------
    Reply
        Of any status; the body is what came first.

    Raises
    ------
    ApiError
        It cannot be reached.
    """
    pace = pace or Pace()
    steps = httpx.Timeout(pace.connect, read=2 * pace.connect)
    shown = shorten(printable(public_url(url)), 120)
    # Signed addresses are signed for GET, so that HEAD would be refused.
    headers = {"Range": "bytes=0-1023", "Accept-Encoding": "identity"}
    try:
        with quiet_log():
            async with (
                asyncio.timeout(4 * pace.connect),
                make_client(url, steps) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                found = {name.lower(): value for name, value in response.headers.items()}
                async for piece in response.aiter_raw():
                    return Reply(response.status_code, found, piece, shown)
                return Reply(response.status_code, found, b"", shown)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise ApiConnectionError(f"cannot reach {shown}: {_reason(error)}") from _bare(error)


def make_client(url: str, timeout: httpx.Timeout | None = None) -> httpx.AsyncClient:
    """Make what asks one address; a proxy is used as the environment says, and never for this machine.

    Raises
    ------
    ConfigurationError
        The proxy needs a package that is not installed.
    """
    with explain_proxies():
        return httpx.AsyncClient(verify=_ssl_context(), timeout=timeout, mounts=loopback(url))


@functools.cache
def _ssl_context() -> ssl.SSLContext:  # reading the certificates takes longer than most requests
    return httpx.create_ssl_context()


def _inflate(content: bytes, encoding: str) -> bytes | None:
    """Unpack an answer; None where it cannot be."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    inflate = zlib.decompressobj(47)  # tells gzip from zlib by itself
    try:
        result = inflate.decompress(content, LARGEST)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail or not inflate.eof else result


def _phase(error: httpx.TimeoutException) -> str:
    phases = {httpx.ConnectTimeout: "no connection", httpx.WriteTimeout: "it stopped taking what is sent"}
    return phases.get(type(error), "no answer")


def _reason(error: BaseException) -> str:
    """Put the reason that the operating system gave in words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            words = {-2: "its name is not known", -3: "no name server answers", -5: "its name is not known"}
            return words.get(cause.errno, os.strerror(cause.errno).lower())
        cause = cause.__cause__ or cause.__context__
    return "connection failed"
