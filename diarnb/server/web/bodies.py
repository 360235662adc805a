"""The bodies of requests, into a file or read as JSON, and never more than is allowed; `guard` sees that they come."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from diarnb.server.web.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from diarnb.server.web.disk import DiskReserve

_PIECE = 1 << 20  # bytes that are written at once


async def receive(request: web.Request, target: Path, most: int, disk: DiskReserve) -> int:
    """Write a body to a new file, of which nothing is left where it does not come whole.

    Parameters
    ----------
    request : aiohttp.web.Request
    target : Path
        Of a file that does not exist.
    most : int
        Bytes.
    disk : DiskReserve

    Returns
    -------
    int
        Bytes that came.

    Raises
    ------
    Refusal
        413 as soon as it is plain that there are more, 400 where the body is not what its headers announce.
    OSError
        The disk has no room for it beyond the reserve, or none at all.
    """
    size = 0
    disk.check(min(request.content_length or 0, most))
    try:
        with _refuse_incomplete(), target.open("xb") as file:
            async for piece in _read_pieces(request, most):
                size += len(piece)
                disk.check(len(piece))
                await asyncio.to_thread(file.write, piece)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return size


async def receive_json(request: web.Request) -> object:
    """Read a body as JSON, of at most `settings.MAX_JSON` bytes.

    Raises
    ------
    ValueError
        It is none, or holds numbers that JSON does not know.
    Refusal
        400 where the body is not what its headers announce.
    """
    with _refuse_incomplete():
        body = await request.read()
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


async def _read_pieces(request: web.Request, most: int) -> AsyncIterator[bytes]:
    """Yield a body as it comes, in pieces worth writing."""
    too_large = Refusal(413, f"The recording is larger than {most >> 20} MiB.")
    if (request.content_length or 0) > most:
        raise too_large
    piece = bytearray()
    while part := await request.content.readany():
        most -= len(part)
        if most < 0:
            raise too_large
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


@contextmanager
def _refuse_incomplete() -> Iterator[None]:
    try:
        yield
    except (HttpProcessingError, ClientPayloadError, web.RequestPayloadError) as error:
        raise Refusal(400, "The body does not match its headers.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
