"""What server and workers say to each other: frames of one kind and any bytes, through a pair of pipes.

A line of JSON would do for tasks, but sound comes the same way, and a whole answer is passed on unread.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import threading
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import asyncio


TASK = b"T"  # to a worker: what is to be done, JSON

SOUND = b"S"  # to a worker: what a stream has brought

NOTE = b"N"  # either way, while a task goes on: JSON

END = b"E"  # to a worker: no more of this stream

DONE = b"D"  # from a worker: the answer, whole

FAILED = b"F"  # from a worker: JSON, {"kind", "message"}

LONGEST = 1 << 30
"""Bytes in a frame; what is longer is no frame of ours."""

_HEAD = struct.Struct(">cI")

Frame = tuple[bytes, bytes]


def frame(kind: bytes, content: object = b"") -> bytes:
    r"""Write a frame; what is not bytes goes as JSON.

    Examples
    --------
    >>> frame(NOTE, {"a": 1})
    b'N\x00\x00\x00\x08{"a": 1}'
    """
    written: bytes = content if isinstance(content, bytes) else json.dumps(content).encode()
    return _HEAD.pack(kind, len(written)) + written


def read_frame(file: BinaryIO) -> Frame | None:
    """Wait for a frame; None at the end of the pipe."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    content = file.read(length)
    return (kind, content) if len(content) == length else None


async def next_frame(reader: asyncio.StreamReader) -> Frame:
    """Wait for a frame, or raise `EOFError`."""
    kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))  # IncompleteReadError is an EOFError
    if length > LONGEST:
        raise EOFError
    return kind, await reader.readexactly(length)


_AHEAD = 64  # frames read ahead; beyond, the server waits


class ServerPipe:
    """The pipes to the server."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._outgoing = outgoing
        self._inbox: queue.Queue[Frame] = queue.Queue(_AHEAD)
        threading.Thread(target=self._read, args=(incoming,), daemon=True).start()

    def receive(self) -> Frame:
        """Wait for the next frame."""
        return self._inbox.get()

    def send(self, kind: bytes, content: object = b"") -> None:
        """Send a frame at once."""
        self._outgoing.write(frame(kind, content))
        self._outgoing.flush()

    def _read(self, incoming: BinaryIO) -> None:
        while (one := read_frame(incoming)) is not None:
            self._inbox.put(one)
        os._exit(0)  # the server is gone: nobody waits for what is being done
