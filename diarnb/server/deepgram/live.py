"""Deepgram's WebSocket ``/v1/listen``: sound comes up while it is spoken, and words go down.

Two loops for each stream: one takes what the client sends and hands it to a worker, waiting while that is behind, so
that who sends faster than time is held back; the other passes on what the worker says, unread.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from diarnb.server.deepgram import rules as deepgram_rules
from diarnb.server.web.guard import STALL
from diarnb.server.web.refusals import ID, Refusal
from diarnb.server.workers import wire
from diarnb.server.workers.pool import TaskFailedError, WorkerCrashedError

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from diarnb.server.core import Core
    from diarnb.server.workers.pool import Session

log: logging.Logger = logging.getLogger("diarnb.server")

SILENCE = 11.0
"""Seconds without sound or a message after which a stream is ended; the service waits 10 to 12."""

_LARGEST = 4 << 20  # bytes of a message
_PIECE = 1 << 16  # bytes handed to the worker at once
_REASON = 123  # bytes; more are not allowed
_CLOSING = 10.0  # seconds for the other side's goodbye


def routes(core: Core, *, silence: float | None = None) -> list[web.RouteDef]:
    """Return the route of streams.

    Parameters
    ----------
    core : Core
    silence : float, optional
        Seconds; `SILENCE` unless given.
    """
    return [web.get("/v1/listen", _LiveRoute(core, silence).get)]


class _LiveRoute:
    def __init__(self, core: Core, silence: float | None) -> None:
        self._core, self._silence = core, silence

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
        async with core.streams.session(task) as session:
            await socket.prepare(request)
            silence = SILENCE if self._silence is None else self._silence
            await _Connection(socket, session, request[ID], asked["model"]).run(silence)
        return socket


@dataclass(frozen=True)
class _End:
    """How a stream is closed; without a code the client is gone. `say` is said instead of its last words."""

    code: int | None
    reason: str = ""
    say: dict[str, Any] | None = None


class _Connection:
    """One WebSocket connection and the worker that listens to it."""

    def __init__(self, socket: web.WebSocketResponse, session: Session, stream_id: str, model: str) -> None:
        self._socket, self._session, self._id, self._model = socket, session, stream_id, model
        self._heard = False  # whether any sound has come

    async def run(self, silence: float) -> None:
        """Follow the stream, and close it."""
        down = asyncio.create_task(self._pass_on())
        up = asyncio.create_task(self._receive(silence))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            end = await self._find_end(up, down)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
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

    async def _receive(self, silence: float) -> _End:
        """Take what the client sends, until there is an end."""
        clock = asyncio.get_running_loop().time
        until = clock() + silence
        while True:
            try:
                async with asyncio.timeout_at(until):
                    message = await self._socket.receive()
            except TimeoutError:
                await self._session.send(wire.END)
                reason = "NET-0001: no audio data and no text message came within the timeout window"
                return _End(WSCloseCode.INTERNAL_ERROR, reason)
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
                until = clock() + silence

    async def _send(self, sound: bytes) -> None:
        self._heard = True
        for at in range(0, len(sound), _PIECE):
            await self._session.send(wire.SOUND, sound[at : at + _PIECE])

    async def _obey(self, message: WSMessage) -> _End | None:
        """Do what a message says."""
        try:
            told = json.loads(message.data)
            kind = told["type"]
        except (ValueError, RecursionError, KeyError, TypeError):
            kind = None
        if kind == "Finalize":
            await self._session.send(wire.NOTE, {})
        elif kind == "CloseStream":
            await self._session.send(wire.END)
            return _End(WSCloseCode.OK)
        elif kind == "Configure":
            await self._say(json.dumps(self._answer_configure(told)))
        elif kind != "KeepAlive":
            description = "The message is none of KeepAlive, Finalize, CloseStream and Configure."
            said = {"type": "Error", "variant": "SchemaError", "description": description, "message": message.data}
            return _End(WSCloseCode.POLICY_VIOLATION, "DATA-0000: a message is none that is known", say=said)
        return None

    def _answer_configure(self, told: dict[str, Any]) -> dict[str, Any]:
        """Answer a wish to change something; nothing that can be changed on the way changes anything here."""
        answer: dict[str, Any] = {"type": "ConfigureSuccess", "request_id": self._id}
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
