"""How tests ask the server in Deepgram's dialect, and what of."""

from __future__ import annotations

import io
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import soundfile

import diarnb
from tests import exact_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import InThread

MEETING = "tests.exact_words:meeting"
DIARIZED = {"model": "nova-3", "diarize_model": "latest"}


def first_words() -> bytes:
    """The first 13 s of the meeting, in which three people speak."""
    samples, rate = soundfile.read(diarnb.example("meeting"), stop=13 * 16000)
    return wav(samples, rate)


def wav(samples: Any, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


HUM = wav(0.1 * np.sin(np.arange(8000) / 10), 8000)


def post(server: InThread, content: Any = HUM, *, headers: Any = None, **query: Any) -> httpx.Response:
    asked = {"headers": {**server.token, **(headers or {})}, "params": query, "timeout": 120}
    return httpx.post(f"{server.base_url}/v1/listen", content=content, **asked)


def words_of(answer: dict[str, Any], channel: int = 0) -> list[dict[str, Any]]:
    return answer["results"]["channels"][channel]["alternatives"][0]["words"]  # type: ignore[no-any-return]


def right(words: list[dict[str, Any]], example: str, channel: Any = "mix") -> float:
    """The share of words that the example's table knows whose speaker is the right one, names matched at their best."""
    pairs: Counter[tuple[Any, str]] = Counter()
    for word in words:
        said = [
            row["speaker"]
            for row in exact_words.script(example, channel)
            if row["word"] == word["word"] and abs(row["start"] - word["start"]) < 0.02
        ]
        if len(said) == 1:
            pairs[word["speaker"], said[0]] += 1
    assert pairs.total() > 0.9 * len(words)
    return sum(max(n for (who, _), n in pairs.items() if who == number) for number in {who for who, _ in pairs}) / (
        pairs.total()
    )


def change(server: InThread, monkeypatch: Any, **settings: Any) -> None:
    """Run a server in another way, until the test is over."""
    monkeypatch.setattr(server.core, "settings", replace(server.core.settings, **settings))


@contextmanager
def receiver() -> Iterator[tuple[str, Queue[tuple[str, Any, bytes]]]]:
    """Somebody who is called back: the address, and what came."""
    came: Queue[tuple[str, Any, bytes]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.put((self.command, self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/hook", came
        http.shutdown()
        thread.join()
