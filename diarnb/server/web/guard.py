"""Connections that come and do not ask: closed after a while, or as soon as another needs the place.

aiohttp waits for a request without end once its first byte has come. A guard stands before it and counts the seconds.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from diarnb.server.web.refusals import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader, web

_HEAD = 8.0  # seconds from a connection, or the first byte of a next request, to the end of its headers
IDLE = 15.0
"""Seconds for which a connection is kept open between two requests."""
STALL = 30.0
"""Seconds without a byte of a body that is being sent."""

_LEAST = 256  # bytes of a body in so many seconds; who sends less only keeps a place


class ConnectionGuards:
    """All connections of a server; makes the protocol of each."""

    def __init__(self, inner: Callable[[], asyncio.Protocol], most: int = 1000) -> None:
        self._inner = inner
        self._most = most
        self._by_transport: weakref.WeakKeyDictionary[asyncio.BaseTransport, _GuardedConnection] = (
            weakref.WeakKeyDictionary()
        )
        self.open: int = 0
        # those that wait for a request, the oldest first: of whoever has shown no key yet, and of whoever has
        self._strangers: dict[_GuardedConnection, None] = {}
        self._clients: dict[_GuardedConnection, None] = {}

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return _GuardedConnection(self, self._inner())

    def add(self, guard: _GuardedConnection, transport: asyncio.BaseTransport) -> bool:
        """Count a connection; where there are too many, close the one that has waited longest, or refuse this one."""
        self.open += 1
        self._by_transport[transport] = guard
        if self.open > self._most:
            oldest = next(iter(self._strangers or self._clients), None)
            if oldest is None:
                return False
            self._forget(oldest)
            oldest.abort()
        self._strangers[guard] = None
        return True

    def remove(self, guard: _GuardedConnection) -> None:
        """Count one connection less."""
        self.open -= 1
        self._forget(guard)

    def start_request(self, request: web.Request) -> None:
        """Note that a request is whole, but for its body."""
        if request.transport is not None and (guard := self._by_transport.get(request.transport)):
            self._forget(guard)
            guard.set_body(request.content)

    def end_request(self, request: web.Request) -> None:
        """Count again from the next byte: the request is answered."""
        if request.transport is not None and (guard := self._by_transport.get(request.transport)):
            (self._clients if OWNER in request else self._strangers)[guard] = None
            guard.set_body(None)

    def _forget(self, guard: _GuardedConnection) -> None:
        self._strangers.pop(guard, None)
        self._clients.pop(guard, None)


class _GuardedConnection(asyncio.Protocol):
    """One connection: passes everything on."""

    def __init__(self, guards: ConnectionGuards, inner: asyncio.Protocol) -> None:
        self._guards, self._inner = guards, inner
        self._transport: asyncio.Transport | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None
        self._came = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP servers give
        self._transport = transport
        self._inner.connection_made(transport)
        self._watch()
        if not self._guards.add(self, transport):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        self._watch()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self._guards.remove(self)
        self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def set_body(self, body: StreamReader | None) -> None:
        """Note the body of the request that is answered from now on, or (None) that it was answered."""
        self._rest()
        self._body = body
        if body is not None and not body.is_eof():
            self._came = _LEAST
            self._watch_body()

    def _watch(self) -> None:
        """Bound the time of a head, from its first byte."""
        if self._alarm is None and self._body is None and self._transport is not None:
            self._alarm = asyncio.get_running_loop().call_later(_HEAD, self._transport.abort)

    def _watch_body(self) -> None:
        """Bound the time in which nothing of a body comes, or next to nothing, though it is waited for."""
        assert self._transport is not None  # noqa: S101 - a request came by it
        self._alarm = None
        if self._body is None or self._body.is_eof():
            return
        if self._came < _LEAST and self._transport.is_reading():
            self._transport.abort()
            return
        self._came = 0
        self._alarm = asyncio.get_running_loop().call_later(STALL, self._watch_body)

    def _rest(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
