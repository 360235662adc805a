"""The HTTP side of the server: host and key checks, the dialect of each path, and how errors are answered."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import sqlite3
import uuid
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from diarnb.server import page
from diarnb.server.deepgram import live
from diarnb.server.deepgram import routes as deepgram
from diarnb.server.pyannoteai import routes as pyannoteai
from diarnb.server.settings import MAX_JSON
from diarnb.server.web.disk import is_full
from diarnb.server.web.guard import IDLE, ConnectionGuards
from diarnb.server.web.limits import WrongKeys
from diarnb.server.web.refusals import ID, OWNER, Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from diarnb.server.core import Core

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log: logging.Logger = logging.getLogger("diarnb.server")

_BACKLOG = 512
_HOST = re.compile(r"(?:([a-z0-9._-]+?)\.?|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?")
_LINE = 1 << 15  # bytes of an address; a hundred key terms make a long one
_STOPPING = 3.0  # seconds for requests that are being answered when the server stops; as many to be canceled
_HEADERS = {"Server": "diarnb", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_SAID = {404: "Not found.", 405: "Method not allowed.", 413: "Payload too large."}


class App:
    """The HTTP side of a server.

    Parameters
    ----------
    core : Core
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._knows_host = lru_cache(256)(self._is_known_host)
        application = web.Application(middlewares=[self._answer], client_max_size=MAX_JSON)
        for dialect in (page, pyannoteai, deepgram, live):
            for route in dialect.routes(core):
                application.router.add_route(route.method, route.path, route.handler, expect_handler=self._continue)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=_STOPPING)
        self._guards: ConnectionGuards | None = None
        self._wrong_keys = WrongKeys()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; return the origin, ``http://host:port``.

        Raises
        ------
        OSError
            The port is taken, or is not ours to take.
        """
        settings = self._core.settings
        await self._runner.setup()
        loop, server = asyncio.get_running_loop(), self._runner.server
        assert server is not None  # noqa: S101 - `setup` made it

        def protocol() -> _Protocol:
            no_log: Any = None  # it would show signed addresses
            return _Protocol(
                server,
                loop=loop,
                keepalive_timeout=IDLE,
                access_log=no_log,
                auto_decompress=False,
                max_line_size=_LINE,
            )

        self._guards = ConnectionGuards(protocol)
        self._server = await loop.create_server(self._guards, settings.host, settings.port, backlog=_BACKLOG)
        port = self._server.sockets[0].getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._core.origin = settings.public_url or f"http://{host}:{port}"
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Take no more, finish what is being answered, close the rest."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in whom may come in, and turn what goes wrong into an answer."""
        assert self._guards is not None  # noqa: S101 - it listens
        self._guards.start_request(request)
        request[ID] = str(uuid.uuid4())
        dialect = _dialect(request)
        try:
            self._check(request, dialect)
            response = await handler(request)
        except Refusal as refusal:
            if refusal.status == 401 and dialect.read_key(request) is not None:
                await self._wrong_keys.hold(request.remote or "")
            response = dialect.refuse(refusal, request[ID])
        except web.HTTPException as error:
            allowed = {name: value for name, value in error.headers.items() if name == "Allow"}
            said = Refusal(error.status, _SAID.get(error.status, error.reason), headers=allowed)
            response = dialect.refuse(said, request[ID])
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("request %s", request[ID])
            response = dialect.refuse(_refusal_of(error), request[ID])
        finally:
            self._guards.end_request(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
            if dialect is deepgram:
                response.headers["dg-request-id"] = request[ID]
        return response

    async def _continue(self, request: web.Request) -> None:
        """Ask for a body that is announced (``Expect: 100-continue``), unless its request is refused anyway."""
        if request.headers["Expect"].lower() != "100-continue":
            raise web.HTTPExpectationFailed(text="")
        with suppress(Refusal):  # it is said below, without the body
            self._check(request, _dialect(request))
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # that was no answer

    def _check(self, request: web.Request, dialect: ModuleType) -> None:
        """Refuse strangers, before a byte of the body is read."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._knows_host(hosts[0]):
            raise Refusal(421, "This server has another name; --public-url tells it one.")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            raise Refusal(403, "Pages from other origins may not use this server.")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(415, "Send the body as it is, not compressed.")
        if not getattr(request.match_info.handler, "open_to_all", False):
            key = dialect.read_key(request)
            owner = None if key is None else self._core.find_owner(key)
            if owner is None:
                raise Refusal(401, "Invalid credentials.", code="INVALID_AUTH")
            request[OWNER] = owner

    def _is_known_host(self, host: str) -> bool:
        """Whether a client may know this server by a name.

        A page in a browser can give its own name any address, this machine's too; an address it cannot give another.
        """
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        name = found[1] or found[2]
        public = urlsplit(self._core.settings.public_url or "").hostname
        if name in ("localhost", self._core.settings.host.lower(), public):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _refusal_of(error: Exception) -> Refusal:
    """Build the refusal for an error of ours: whose fault it is, and no more."""
    if isinstance(error, sqlite3.OperationalError) or is_full(error):
        return Refusal(507, "The server's disk is full.")
    return Refusal(500, "The server could not do this.")


def _dialect(request: web.Request) -> ModuleType:
    return deepgram if request.path.startswith("/v1/listen") else pyannoteai


class _Protocol(web.RequestHandler):
    """One connection; what is no HTTP is told so in few words, and the log is not filled with it."""

    __slots__ = ()

    def handle_error(self, request: Any, status: int = 500, exc: Any = None, message: Any = None) -> web.StreamResponse:
        """Answer what no handler sees."""
        del request, message
        if status >= 500:
            log.error("a connection failed", exc_info=exc)
        said = "This is not HTTP as the server knows it." if status < 500 else "The server could not do this."
        told = {"message": said, "err_msg": said, "err_code": "Bad Request", "request_id": str(uuid.uuid4())}
        response = web.json_response(told, status=status, headers=_HEADERS)  # nobody knows in which dialect it was
        response.force_close()
        return response
