"""How often a client may ask, as pyannoteAI documents it, and how often a stranger may show a wrong key."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import math
import time
from typing import TYPE_CHECKING

from diarnb.server.web.refusals import OWNER, Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WINDOW = 60.0
"""Seconds in which requests are counted, from the first one on."""

PER_WINDOW = {"POST": 100, "GET": 300}
"""Requests of one owner to one endpoint."""

WRONG_KEYS = 10
"""Wrong keys that an address may show in a window before it is slowed down."""

HOLD = 2.0
"""Seconds that it then waits for each answer."""

MOST_HELD = 64
"""Answers that are held back at the same time: more would take the places of others."""


class Limits:
    """Counts requests.

    Parameters
    ----------
    on : bool
        Whether there are limits at all.
    clock : callable, optional
        Seconds that only go forward.
    """

    def __init__(self, on: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._on, self._clock = on, clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}  # until when, and how many so far

    def limit(self, handler: Handler, method: str) -> Handler:
        """Wrap a handler so that it keeps within its limit, and tells in every answer what is left of it."""
        if not self._on:
            return handler
        most = PER_WINDOW[method]

        @functools.wraps(handler)
        async def wrapper(request: web.Request) -> web.StreamResponse:
            told = self.count((request[OWNER], handler.__name__), most)
            try:
                response = await handler(request)
            except Refusal as refusal:
                refusal.headers.update(told)
                raise
            response.headers.update(told)
            return response

        return wrapper

    def count(self, who: tuple[str, str], most: int) -> dict[str, str]:
        """Count a request; return the headers that tell what is left, or refuse it."""
        now = self._clock()
        until, count = self._windows.get(who, (0.0, 0))
        if until <= now:
            self._windows = {each: window for each, window in self._windows.items() if window[0] > now}
            until, count = now + WINDOW, 0
        count += 1
        self._windows[who] = until, count
        left = f"{math.ceil(until - now)}"
        told = {
            "X-RateLimit-Limit": f"{most}",
            "X-RateLimit-Remaining": f"{max(0, most - count)}",
            "X-RateLimit-Reset": left,
        }
        if count > most:
            raise Refusal(429, f"Rate limit exceeded: {most} requests a minute.", headers={**told, "Retry-After": left})
        return told


class WrongKeys:
    """Slows down the answers to an address that has shown many wrong keys; whoever has a right one is not concerned.

    Parameters
    ----------
    clock : callable, optional
        Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}  # until when, and how many so far
        self._held = 0

    async def hold(self, address: str) -> None:
        """Count a wrong key of an address, and wait before it is told so, where there were many."""
        now, network = self._clock(), _network(address)
        until, count = self._windows.get(network, (0.0, 0))
        if until <= now:
            self._windows = {each: window for each, window in self._windows.items() if window[0] > now}
            until, count = now + WINDOW, 0
        self._windows[network] = until, count + 1
        if count >= WRONG_KEYS and self._held < MOST_HELD:
            self._held += 1
            try:
                await asyncio.sleep(HOLD)
            finally:
                self._held -= 1


def _network(address: str) -> str:
    """Return the network that one machine has to itself: of IPv6 the first 64 bits, else the address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
