"""How often a client may ask: what pyannoteAI documents, for those who want to meet its refusals here first."""

from __future__ import annotations

import functools
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
