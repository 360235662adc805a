"""Clients of a server, in a process of their own: honest ones, and those that only take its room.

Raw asyncio streams, because an HTTP library would be slower than what it measures. ``python -m benchmarks._clients``
is told what to do by one line of JSON on its standard input, and answers with one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np

_LONGEST = 120.0  # seconds until an attack gives up waiting to be thrown out


async def ask(port: int, path: str, key: str, clients: int, seconds: float, pause: float) -> dict[str, Any]:
    """GET a path over and over, each client on a connection of its own, and time every answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    times: list[int] = []
    errors = 0
    loop = asyncio.get_running_loop()
    begin, end = loop.time() + 2.0, loop.time() + 2.0 + seconds  # two seconds to warm up

    async def client(number: int) -> None:
        nonlocal errors
        await asyncio.sleep(pause * number / clients)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while (now := loop.time()) < end:
                started = time.perf_counter_ns()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                taken = time.perf_counter_ns() - started
                if not head.startswith(b"HTTP/1.1 200 "):
                    errors += 1
                elif now >= begin:
                    times.append(taken)
                if pause:
                    await asyncio.sleep(pause)
            writer.close()
        except (OSError, EOFError, IndexError, ValueError):
            errors += 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    taken = np.array(times or [0]) / 1e6
    p50, p99 = np.percentile(taken, (50, 99))
    told = {"answers": len(times), "errors": errors, "per_second": len(times) / seconds}
    return {**told, "p50": float(p50), "p99": float(p99), "max": float(taken.max())}


async def attack(port: int, key: str, slow: int, idle: int, mebibytes: int) -> dict[str, Any]:
    """Open connections that say a header line a second, or nothing; and send bodies that are far too large."""
    head = b"POST /v1/diarize HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    line = f"Authorization: Bearer {key}\r\n"
    closed: list[float] = []
    refused: list[str] = []

    async def hold(says: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        if says:
            writer.write(head)
        gone = asyncio.create_task(reader.read(1))
        while not gone.done() and time.monotonic() - began < _LONGEST:
            await asyncio.wait((gone,), timeout=1.0)
            if says and not gone.done():
                with suppress(OSError):
                    writer.write(b"X-Slow: 1\r\n")
        if gone.done():
            with suppress(OSError):
                gone.result()
            closed.append(time.monotonic() - began)
        gone.cancel()
        writer.close()

    async def flood(path: str, framing: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{line}{framing}\r\n\r\n".encode())
        answer = asyncio.create_task(reader.readline())
        piece = bytes(1 << 16)
        with suppress(OSError):
            for _ in range(mebibytes * 16):
                writer.write(b"10000\r\n%b\r\n" % piece if "chunked" in framing else piece)
                await writer.drain()
                if answer.done():
                    break
        with suppress(OSError, TimeoutError):
            refused.append((await asyncio.wait_for(answer, 30)).decode().strip() or "closed")
        writer.close()

    length = f"Content-Length: {mebibytes << 20}"
    floods = [
        flood("/v1/diarize", "Content-Type: application/json\r\nTransfer-Encoding: chunked"),
        flood("/v1/diarize", f"Content-Type: application/json\r\n{length}"),
        flood("/v1/diarize", f"Content-Type: application/json\r\nContent-Encoding: gzip\r\n{length}"),
        flood("/v1/listen", "Transfer-Encoding: chunked"),
    ]
    await asyncio.gather(*(hold(number < slow) for number in range(slow + idle)), *floods, return_exceptions=True)
    return {"closed": len(closed), "of": slow + idle, "longest": max(closed, default=0.0), "refused": refused}


def main() -> None:
    told = json.loads(sys.stdin.readline())
    if (core := told.pop("core", None)) is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    what = {"ask": ask, "attack": attack}[told.pop("do")]
    print(json.dumps(asyncio.run(what(**told))))


if __name__ == "__main__":
    main()
