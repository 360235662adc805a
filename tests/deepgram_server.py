"""A real server on loopback that speaks Deepgram's language, HTTP and WebSocket, as strictly as its documents.

It "hears" the examples of diarnb: whatever audio it gets, it answers with the words of the example that it was given,
labelled and formatted as the query asks. What it refuses, counts and forgets is what the service refuses, bills and
forgets. A test scripts its faults.
"""

from __future__ import annotations

import copy
import csv
import functools
import json
import logging
import socket
import struct
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from websockets.frames import Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

import diarnb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "test-key-of-nobody"

_FLAGS = {
    *("diarize", "punctuate", "smart_format", "utterances", "paragraphs", "multichannel", "filler_words", "numerals"),
    *("measurements", "dictation", "profanity_filter", "mip_opt_out", "sentiment", "topics", "intents"),
    *("detect_entities", "interim_results", "vad_events", "no_delay"),
}
_SHARED = {
    *("model", "version", "language", "language_hint", "redact", "replace", "search", "keyterm", "keywords", "tag"),
    *("extra", "diarize_model", "encoding", "callback", "callback_method"),
}
_BATCH = _SHARED | {
    *("utt_split", "detect_language", "summarize", "custom_topic", "custom_topic_mode", "custom_intent"),
    *("custom_intent_mode", "alternatives", "tier"),
}
_LIVE = _SHARED | {"sample_rate", "channels", "endpointing", "utterance_end_ms"}
_BATCH_ONLY = {"utterances", "paragraphs", "filler_words", "measurements", "sentiment", "topics", "intents"}
_KEPT = 4 * 1024**2
_SOUNDS = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb")


@dataclass
class Seen:
    """A request as it arrived; `complete` once its last byte has. Of a large body the beginning is kept."""

    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes = b""
    size: int = 0
    complete: bool = False

    def asked(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass
class Server:
    """What a test sees and scripts.

    `faults` are used up one by one, each by a request: called with the handler in the place of the answer; those that
    are `early` before the recording is read. `v2_only`
    is a self-hosted deployment of May 2026; `silent` hears no words; `stalled` takes the beginning of each request and
    waits for the event before it takes the rest. Live: `drops` are seconds of sound after which
    each connection breaks off, `heard` the samples (16 bit) that the words belong to.
    """

    example: str = "meeting"
    origin: str = ""
    seen: list[Seen] = field(default_factory=list)
    billed: int = 0
    usage: list[dict[str, Any]] | None = None  # what the lists of usage tell; None where the key may not see them
    faults: list[Callable[[Any], None]] = field(default_factory=list)
    early: list[Callable[[Any], None]] = field(default_factory=list)
    change: Callable[[dict[str, Any]], Any] | None = None
    v2_only: bool = False
    silent: bool = False
    stalled: threading.Event | None = None
    opened: list[Seen] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    drops: list[float | None] = field(default_factory=list)
    heard: bytes = b""
    idle: float = 10.0
    closed: threading.Event = field(default_factory=threading.Event)

    def words(self) -> list[dict[str, Any]]:
        """The words of the example in the order in which they are said, one speaker at a time."""
        if self.silent:
            return []
        return list(_script(self.example))


@functools.cache
def _script(example: str) -> tuple[dict[str, Any], ...]:
    with diarnb.example(example).with_suffix(".words.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["start"]))
    return tuple({**row, "start": float(row["start"]), "end": float(row["end"])} for row in rows)


class RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    state = Server(**settings)

    class Handler(_Handler):
        server_state = state

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.origin = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *args: object) -> None: ...

    def handle(self) -> None:
        with suppress(ConnectionResetError):
            super().handle()

    def do_POST(self) -> None:
        state = self.server_state
        seen = self._seen()
        state.seen.append(seen)
        try:
            if state.early:
                state.early.pop(0)(self)
                self.close_connection = True
                return
            try:
                size = int(self.headers["Content-Length"])
                seen.body = self.rfile.read(min(size, 65536))
                if state.stalled is not None:
                    state.stalled.wait(60)
                seen.size = len(seen.body)
                while piece := self.rfile.read(min(size - seen.size, 1 << 20)):
                    seen.size += len(piece)
                    if seen.size <= _KEPT:
                        seen.body += piece
                seen.complete = seen.size == size
                if not seen.complete:
                    return
                self._check(seen, live=False)
                if state.faults:
                    state.faults.pop(0)(self)
                    return
                self._check_body(seen)
            except RefusedError as refusal:
                self.answer(refusal.status, {"err_code": refusal.code, "err_msg": str(refusal), "request_id": _id()})
                return
            state.billed += 1
            found: Any = {"request_id": _id()} if seen.asked("callback") else transcript(state, seen)
            if state.usage is not None and "metadata" in found:
                state.usage.append({"request_id": found["metadata"]["request_id"], "path": seen.path})
            self.answer(200, state.change(found) if state.change else found)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_GET(self) -> None:
        try:
            if self.headers.get("Upgrade", "").lower() == "websocket":
                _Live(self).run()
            elif self.path.startswith("/talk.flac"):  # what an address leads to
                with diarnb.example(self.server_state.example).open("rb") as file:
                    self.answer(200, file.read(), ETag='"1"', Content_Type="audio/flac")
            elif self.server_state.usage is not None and self.path == "/v1/projects":
                self.answer(200, {"projects": [{"project_id": "p", "name": "ours"}]})
            elif self.server_state.usage is not None and self.path.startswith("/v1/projects/p/requests?start="):
                self.answer(200, {"page": 0, "limit": 100, "requests": self.server_state.usage})
            else:
                self.answer(404, {"err_code": "NOT_FOUND", "err_msg": "Not found.", "request_id": _id()})
        except OSError:
            self.close_connection = True

    def answer(self, status: int, body: Any, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        for name, value in {"dg-request-id": _id(), "content-type": "application/json", **named}.items():
            if value:  # empty: another server would not send it
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _seen(self) -> Seen:
        parts = urlsplit(self.path)
        query = parse_qsl(parts.query, keep_blank_values=True)
        return Seen(parts.path, query, {name.lower(): value for name, value in self.headers.items()})

    def _check(self, seen: Seen, *, live: bool) -> None:
        if seen.path != "/v1/listen":
            raise RefusedError(404, "NOT_FOUND", "Not found.")
        if seen.headers.get("authorization") != f"Token {KEY}":
            raise RefusedError(401, "INVALID_AUTH", "Invalid credentials.")
        for name, value in seen.query:
            if name in _FLAGS and not (live and name in _BATCH_ONLY):
                known = value in ("true", "false")
            else:
                known = name in (_LIVE if live else _BATCH)
            if not known:
                raise RefusedError(400, "INVALID_QUERY_PARAMETER", f"Failed to deserialize query parameters: {name}")
        model, diarizer = seen.asked("model")[0], seen.asked("diarize_model")
        if diarizer and (live or seen.asked("diarize") or diarizer[0] not in ("latest", "v1", "v2")):
            raise RefusedError(400, "Bad Request", "Bad Request: diarize_model cannot be used so.")
        if model.startswith("whisper") or (model.startswith("nova-3") and seen.asked("keywords")):
            raise RefusedError(400, "Bad Request", "Bad Request: No such model/version combination found.")
        if live and (bool(seen.asked("encoding")) != bool(seen.asked("sample_rate"))):
            raise RefusedError(400, "INVALID_QUERY_PARAMETER", "encoding needs sample_rate")

    def _check_body(self, seen: Seen) -> None:
        if seen.headers.get("content-type") == "application/json":
            try:
                given = json.loads(seen.body)
            except ValueError:
                raise RefusedError(400, "INVALID_JSON", "Invalid JSON submitted.") from None
            if set(given) != {"url"} or not given["url"].startswith(("http://", "https://")):
                raise RefusedError(400, "REMOTE_CONTENT_ERROR", "URL for media download must be publicly routable.")
        elif not seen.body.startswith(_SOUNDS):
            message = "Bad Request: failed to process audio: corrupt or unsupported data"
            raise RefusedError(400, "Bad Request", message)


def transcript(state: Server, seen: Seen) -> dict[str, Any]:
    """The answer to a request that was carried out."""
    diarizer = "v1" if seen.asked("diarize") == ["true"] else (seen.asked("diarize_model") or [None])[0]
    diarizer = "v2" if diarizer == "latest" else diarizer
    if state.v2_only and diarizer == "v1":
        diarizer = None
    split = seen.asked("multichannel") == ["true"]
    punctuated = seen.asked("punctuate") == ["true"]
    numbers = sorted({int(word.get("channel") or 0) for word in state.words()} or {0}) if split else [0]
    channels, utterances = [], []
    for number in numbers:
        own = [word for word in state.words() if not split or int(word.get("channel") or 0) == number]
        words = _labelled(own, punctuated=punctuated, diarized=diarizer is not None, confident=True)
        text = " ".join(word.get("punctuated_word", word["word"]) for word in words)
        confidence = sorted(word["confidence"] for word in words)[len(words) // 2] if words else 0.0
        channels.append({"alternatives": [{"transcript": text, "confidence": confidence, "words": words}]})
        utterances += _utterances(words, number, float((seen.asked("utt_split") or ["0.8"])[0]))
    model = "1abf86f1-0000-4000-8000-000000000001"
    metadata = {
        "transaction_key": "deprecated",
        "request_id": _id(),
        "sha256": "0" * 64,
        "created": "2026-11-21T07:00:00.000Z",
        "duration": 90.0,
        "channels": len(channels),
        "models": [model],
        "model_info": {model: {"name": "general-nova-3", "version": "2025-07-31.0", "arch": "nova-3"}},
    }
    if diarizer:
        metadata["diarize_info"] = {"model_uuid": _id(), "arch": diarizer}
    results: dict[str, Any] = {"channels": channels}
    if seen.asked("utterances") == ["true"]:
        results["utterances"] = sorted(utterances, key=lambda utterance: utterance["start"])
    return {"metadata": metadata, "results": results}


def _labelled(
    words: list[dict[str, Any]], *, punctuated: bool, diarized: bool, confident: bool
) -> list[dict[str, Any]]:
    """Words as the service tells them; speakers are numbered in the order in which they appear."""
    names = list(dict.fromkeys(word["speaker"] for word in words))
    told = []
    for place, word in enumerate(words):
        item = {
            "word": word["word"],
            "start": word["start"],
            "end": word["end"],
            "confidence": 0.9 + 0.01 * (place % 9),
        }
        if diarized:
            item["speaker"] = names.index(word["speaker"])
            if confident:
                item["speaker_confidence"] = 0.5 + 0.05 * (place % 7)
        if punctuated:
            item["punctuated_word"] = word["text"]
        told.append(item)
    return told


def _utterances(words: list[dict[str, Any]], channel: int, pause: float) -> list[dict[str, Any]]:
    """Cut at pauses and nowhere else: the service does not look at speakers here, and names who says most."""
    cuts = [place for place in range(1, len(words)) if words[place]["start"] - words[place - 1]["end"] > pause]
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(words)], strict=True):
        part = words[begin:end]
        if not part:
            continue
        utterance = {
            "start": part[0]["start"],
            "end": part[-1]["end"],
            "confidence": sum(word["confidence"] for word in part) / len(part),
            "channel": channel,
            "transcript": " ".join(word.get("punctuated_word", word["word"]) for word in part),
            "words": copy.deepcopy(part),
        }
        if "speaker" in part[0]:
            speakers = [word["speaker"] for word in part]
            utterance["speaker"] = max(set(speakers), key=speakers.count)
        found.append({**utterance, "id": _id()})
    return found


class _Live:
    """One WebSocket connection."""

    def __init__(self, handler: _Handler) -> None:
        self.handler, self.state = handler, handler.server_state
        self.protocol = ServerProtocol(logger=logging.Logger("silent", logging.CRITICAL))  # it would log the key
        self.sound = bytearray()
        self.done = 0.0  # seconds that have their final answer

    def run(self) -> None:
        handler, state = self.handler, self.state
        seen = handler._seen()
        state.opened.append(seen)
        if state.faults:
            state.faults.pop(0)(handler)
            return
        try:
            handler._check(seen, live=True)
        except RefusedError as refusal:
            body = {"err_code": refusal.code, "err_msg": str(refusal), "request_id": _id()}
            handler.answer(refusal.status, body, dg_error=str(refusal))
            return
        self.rate = int(seen.asked("sample_rate")[0])
        self.interim = seen.asked("interim_results") == ["true"]
        self.punctuated = seen.asked("punctuate") == ["true"]
        self.until = state.drops.pop(0) if state.drops else None
        handler.close_connection = True
        lines = [f"GET {handler.path} HTTP/1.1", *(f"{name}: {value}" for name, value in handler.headers.items())]
        self.protocol.receive_data("\r\n".join([*lines, "", ""]).encode())
        (request,) = self.protocol.events_received()
        self.protocol.send_response(self.protocol.accept(request))  # type: ignore[arg-type]
        self._flush()
        if state.stalled is not None:
            state.stalled.wait(60)
        handler.connection.settimeout(state.idle)
        self.texts: list[bytes] = []
        while True:
            try:
                received = handler.connection.recv(65536)
            except TimeoutError:
                self._end(1011, "Deepgram did not receive audio data or a text message within the timeout window")
                return
            if not received:
                self.state.closed.set()
                return
            self.protocol.receive_data(received)
            for frame in self.protocol.events_received():
                if not self._take(frame):
                    self.state.closed.set()
                    return
            self._flush()

    def _take(self, frame: Any) -> bool:
        if frame.opcode is Opcode.BINARY:
            if not frame.data:
                self._end(1011, "an empty frame")
                return False
            self.sound += bytes(frame.data)
            if self.until is not None and self._seconds() >= self.until:
                self.handler.connection.shutdown(socket.SHUT_WR)  # without a word; what was said before arrives
                while self.handler.connection.recv(65536):
                    pass
                return False
            self._tell()
        elif frame.opcode is Opcode.TEXT:
            kind = json.loads(frame.data)["type"]
            self.state.texts.append(kind)
            if kind in ("Finalize", "CloseStream"):
                self._final(self._seconds())
            if kind == "CloseStream":
                self._send({"type": "Metadata", "request_id": _id(), "duration": self._seconds(), "channels": 1})
                self._end(1000, "")
                return False
        return True

    def _seconds(self) -> float:
        return len(self.sound) / 2 / self.rate

    def _words(self, begin: float, end: float) -> list[dict[str, Any]]:
        """The words that lie in the sound of this connection, wherever it begins in what is heard."""
        began = max(0, self.state.heard.find(self.sound[:6400])) / 2 / self.rate
        own = [
            {**word, "start": round(word["start"] - began, 6), "end": round(word["end"] - began, 6)}
            for word in self.state.words()
        ]
        own = [word for word in own if word["start"] >= 0 and word["end"] <= end]
        told = _labelled(own, punctuated=self.punctuated, diarized=True, confident=False)
        return [word for word in told if word["end"] > begin]

    def _tell(self) -> None:
        """A final answer every three seconds, and one that may change every second between."""
        now = self._seconds()
        while now - self.done >= 3.0:
            self._final(self.done + 3.0)
        if self.interim and now - self.done >= 1.0:
            self._results(self.done, now, final=False)

    def _final(self, until: float) -> None:
        self._results(self.done, until, final=True)
        self.done = until

    def _results(self, begin: float, end: float, *, final: bool) -> None:
        words = self._words(begin, end)
        if not final and words:
            words[-1] = {**words[-1], "speaker": 7}  # what is not final is often wrong at its end
        text = " ".join(word.get("punctuated_word", word["word"]) for word in words)
        message = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": begin,
            "duration": end - begin,
            "is_final": final,
            "speech_final": final,
            "from_finalize": False,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": words}]},
            "metadata": {"request_id": _id(), "model_uuid": _id(), "model_info": {"name": "general-nova-3"}},
        }
        self._send(self.state.change(message) if self.state.change else message)

    def _send(self, message: Any) -> None:
        if self.protocol.state is not State.OPEN:
            return  # the other side is leaving
        self.protocol.send_text(message if isinstance(message, bytes) else json.dumps(message).encode())
        self._flush()

    def _end(self, code: int, reason: str) -> None:
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code, reason)
        self._flush()
        self.state.closed.set()

    def _flush(self) -> None:
        self.handler.connection.sendall(b"".join(self.protocol.data_to_send()))


def _id() -> str:
    return str(uuid.uuid4())


def groups(words: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Runs of words of one speaker, for a test's own reckoning."""
    return [list(group) for _, group in groupby(words, key=lambda word: word["speaker"])]


def hang_up(handler: Any) -> None:
    """Take the whole request, do the work, and close without an answer."""
    handler.server_state.billed += 1
    handler.close_connection = True
    handler.connection.close()


def cut(handler: Any, *, reset: bool = True, after: int = 0) -> None:
    """Read so many bytes of what is sent, and end the connection."""
    handler.rfile.read(after)
    if reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.rfile.close()
    handler.connection.close()


def say(
    status: int, body: Any = b"", *, billed: bool = False, listed: int | None = None, **headers: str
) -> Callable[[Any], None]:
    """Answer this instead; the lists of usage show the request, with a status, where it was billed or `listed`."""

    def fault(handler: Any) -> None:
        state = handler.server_state
        state.billed += billed
        own = headers.pop("dg_request_id", _id())
        if state.usage is not None and (billed or listed):
            entry = {"request_id": own or "0-lost", "path": "/v1/listen", "code": listed or 200}
            state.usage.append(entry)
        handler.answer(status, body, dg_request_id=own, **headers)

    return fault


def samples_of(path: Path) -> tuple[Any, int]:
    """The samples of a recording, as 32-bit floats, and their rate."""
    import soundfile

    return soundfile.read(path, dtype="float32")  # type: ignore[no-any-return]
