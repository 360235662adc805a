"""Deepgram's WebSocket ``/v1/listen``: sound comes up while it is spoken, and words go down.

Two loops for each stream: one takes what the client sends and hands it to a worker, waiting while that is behind, so
that who sends faster than time is held back; the other passes on what the worker says, unread.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from diarnb.server.deepgram import rules as deepgram_rules
from diarnb.server.web.guard import STALL
from diarnb.server.web.refusals import ID, Refusal
from diarnb.server.workers import wire
from diarnb.server.workers.pool import TaskFailedError, WorkerCrashedError

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from diarnb._types import Json
    from diarnb.server.core import Core
    from diarnb.server.workers.pool import Session

log: logging.Logger = logging.getLogger("diarnb.server")

SILENCE = 11.0
"""Seconds without sound or a message after which a stream is ended; the service waits 10 to 12."""

_MOST_WAITING = 100  # streams of which no sound has come; they take the place of no other
_NOTHING = "NET-0001: no audio data and no text message came within the timeout window"
_LARGEST = 4 << 20  # bytes of a message
_PIECE = 1 << 16  # bytes handed to the worker at once
_REASON = 123  # bytes; more are not allowed
_CLOSING = 10.0  # seconds for the other side's goodbye


def routes(core: Core) -> list[web.RouteDef]:
    """Return the route of streams."""
    return [web.get("/v1/listen", _LiveRoute(core).get)]


class _LiveRoute:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting = 0  # streams of which no sound has come

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Open a stream, and follow it to its end."""
        core = self._core
        asked = deepgram_rules.parse_live(request.query.items(), newer=core.settings.streaming_diarize_model == "new")
        socket = web.WebSocketResponse(
            protocols=("token", "bearer"), max_msg_size=_LARGEST, timeout=_CLOSING, compress=False
        )
        socket.headers["dg-request-id"] = request[ID]
        if not socket.can_prepare(request):
            raise Refusal(400, "A stream is opened by WebSocket; a recording is sent by POST.")
        if core.streams.full:
            raise Refusal(429, "Too many requests. Please try again later")
        task = {"do": "deepgram.live", "id": request[ID], "asked": asked, "words": core.settings.words}
        if self._waiting >= _MOST_WAITING:
            raise Refusal(429, "Too many requests. Please try again later")
        await socket.prepare(request)
        connection = _Connection(socket, request[ID], asked["model"])
        self._waiting += 1
        try:
            end = await connection.wait_for_sound()
        finally:
            self._waiting -= 1
        if end is None and core.streams.full:
            end = _End(WSCloseCode.TRY_AGAIN_LATER, "NET-0000: too many streams; please try again later")
        if end is None:
            async with core.streams.session(task) as session:
                await connection.run(session)
        else:
            await connection.close(end)
        return socket


@dataclass(frozen=True)
class _End:
    """How a stream is closed; without a code the client is gone. `say` is said instead of its last words."""

    code: int | None
    reason: str = ""
    say: Json | None = None


class _Connection:
    """One WebSocket connection, and from its first sound on the worker that listens to it."""

    _session: Session

    def __init__(self, socket: web.WebSocketResponse, stream_id: str, model: str) -> None:
        self._socket, self._id, self._model = socket, stream_id, model
        self._first: WSMessage | None = None  # what a worker is needed for
        self._heard = False  # whether any sound has come

    async def wait_for_sound(self) -> _End | None:
        """Wait for what a worker is needed for, without taking its place; return how the stream ends without it."""
        until = asyncio.get_running_loop().time() + SILENCE
        while True:
            try:
                message = await self._next(until)
            except TimeoutError:
                return _End(WSCloseCode.INTERNAL_ERROR, _NOTHING)
            if message.type is WSMsgType.BINARY or _read_kind(message) in ("Finalize", "CloseStream"):
                self._first = message
                return None
            end = await self._obey(message) if message.type is WSMsgType.TEXT else _End(None)
            if end is not None:
                return end

    async def run(self, session: Session) -> None:
        """Follow the stream with a worker, and close it."""
        self._session = session
        down = asyncio.create_task(self._pass_on())
        up = asyncio.create_task(self._receive())
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            end = await self._find_end(up, down)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        await self.close(end)

    async def close(self, end: _End) -> None:
        """Close the stream, unless the client has."""
        if end.code is None or self._socket.closed:
            return
        if end.say is not None:
            await self._say(json.dumps(end.say))
        reason = end.reason.encode("ascii", "replace")[:_REASON]
        await self._socket.close(code=end.code, message=reason)

    async def _find_end(self, up: asyncio.Task[_End], down: asyncio.Task[None]) -> _End:
        """Find how the stream ended; where the client wants an end, its last results come first."""
        try:
            if up.done():
                end = up.result()
                if end.code is not None and end.say is None:
                    await down
                return end
            down.result()
        except TaskFailedError as error:
            if "Audio" in error.kind:
                return _End(WSCloseCode.POLICY_VIOLATION, f"DATA-0000: {error}")
            log.error("stream %s: %s", self._id, error)  # noqa: TRY400 (no fault of this process)
            return _End(WSCloseCode.INTERNAL_ERROR, "NET-0000: the server could not do this")
        except (WorkerCrashedError, TimeoutError) as error:
            log.warning("stream %s: %s", self._id, type(error).__name__)
        except ConnectionError:
            return _End(None)
        return _End(WSCloseCode.INTERNAL_ERROR, "NET-0000: the server could not do this")

    async def _next(self, until: float) -> WSMessage:
        """Receive the next message, or raise TimeoutError."""
        if self._first is not None:
            message, self._first = self._first, None
            return message
        async with asyncio.timeout_at(until):
            return await self._socket.receive()

    async def _receive(self) -> _End:
        """Take what the client sends, until there is an end."""
        clock = asyncio.get_running_loop().time
        until = clock() + SILENCE
        while True:
            try:
                message = await self._next(until)
            except TimeoutError:
                await self._session.send(wire.END)
                return _End(WSCloseCode.INTERNAL_ERROR, _NOTHING)
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return _End(None)
            if message.type is WSMsgType.BINARY and message.data:
                await self._send(message.data)
            elif message.type is WSMsgType.BINARY:  # an old way to say that nothing follows
                await self._session.send(wire.END)
                return _End(WSCloseCode.OK)
            elif (end := await self._obey(message)) is not None:
                return end
            if self._heard:  # before there is sound, messages keep nothing alive
                until = clock() + SILENCE

    async def _send(self, sound: bytes) -> None:
        self._heard = True
        for at in range(0, len(sound), _PIECE):
            await self._session.send(wire.SOUND, sound[at : at + _PIECE])

    async def _obey(self, message: WSMessage) -> _End | None:
        """Do what a message says."""
        kind = _read_kind(message)
        if kind == "Finalize":
            await self._session.send(wire.NOTE, {})
        elif kind == "CloseStream":
            await self._session.send(wire.END)
            return _End(WSCloseCode.OK)
        elif kind == "Configure":
            await self._say(json.dumps(self._answer_configure(json.loads(message.data))))
        elif kind != "KeepAlive":
            description = "The message is not one of KeepAlive, Finalize, CloseStream and Configure."
            said = {"type": "Error", "variant": "SchemaError", "description": description, "message": message.data}
            return _End(WSCloseCode.POLICY_VIOLATION, "DATA-0000: a message is none that is known", say=said)
        return None

    def _answer_configure(self, told: Json) -> Json:
        """Answer a wish to change something; nothing that can be changed on the way changes anything here."""
        answer: Json = {"type": "ConfigureSuccess", "request_id": self._id}
        if told.get("keyterms") is None:
            return answer
        if self._model.startswith("nova-3"):
            return answer | {"keyterms": told["keyterms"]}
        description = "Only nova-3 takes keyterms."
        code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
        return answer | {"type": "ConfigureFailure", "code": code, "description": description}

    async def _pass_on(self) -> None:
        """Pass on what the worker says, until it has said all."""
        while not self._session.over:
            _, content = await self._session.receive()
            await self._say(content.decode())

    async def _say(self, text: str) -> None:
        async with asyncio.timeout(STALL):  # for a client that does not take what it is told
            await self._socket.send_str(text)


def _read_kind(message: WSMessage) -> str | None:
    """Read the type of a message in JSON; None where it has none."""
    try:
        kind = json.loads(message.data)["type"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return kind if isinstance(kind, str) else None
