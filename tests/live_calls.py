"""How tests stream to the server in Deepgram's dialect."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.servers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from websockets.sync.client import ClientConnection

    from tests.servers import InThread

RAW = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
CLOSE = json.dumps({"type": "CloseStream"})
FINALIZE = json.dumps({"type": "Finalize"})
KEEP_ALIVE = json.dumps({"type": "KeepAlive"})


def open_stream(server: InThread, headers: Any = None, **query: Any) -> AbstractContextManager[ClientConnection]:
    address = f"{server.base_url.replace('http', 'ws', 1)}/v1/listen?{urlencode({**RAW, **query}, doseq=True)}"
    asked = server.token if headers is None else headers
    return connect(address, additional_headers=asked, open_timeout=PATIENCE, close_timeout=PATIENCE)


def pieces(samples: Any, size: int = 1600) -> list[bytes]:
    return [samples[at : at + size].astype("<i2").tobytes() for at in range(0, len(samples), size)]


def rest(stream: ClientConnection) -> tuple[list[dict[str, Any]], int, str]:
    """Read to the end: the messages, and how the stream was closed."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(stream.recv(timeout=PATIENCE)))
    return messages, stream.close_code or 0, stream.close_reason or ""


def talk(
    server: InThread, sound: Sequence[bytes | str], **query: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Send all, close the stream, and give all results and everything else."""
    with open_stream(server, **query) as stream:
        for piece in sound:
            stream.send(piece)
        stream.send(CLOSE)
        messages, code, _ = rest(stream)
    assert code == 1000
    assert messages[-1]["type"] == "Metadata"
    results = [message for message in messages if message["type"] == "Results"]
    return results, [message for message in messages if message["type"] != "Results"]


def said(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    final = [result for result in results if result["is_final"]]
    return [word for result in final for word in result["channel"]["alternatives"][0]["words"]]
