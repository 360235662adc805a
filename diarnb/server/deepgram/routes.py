"""Deepgram's ``POST /v1/listen``: a recording goes in, and its words come out, now or later to a callback."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from diarnb.server.deepgram import rules as deepgram_rules
from diarnb.server.jobs import Job
from diarnb.server.settings import MAX_BODY
from diarnb.server.web.bodies import receive, receive_json
from diarnb.server.web.deliveries import check_target
from diarnb.server.web.fetcher import FetchError
from diarnb.server.web.refusals import ID, OWNER, Refusal
from diarnb.server.workers.pool import TaskFailedError, TaskTimeoutError, WorkerCrashedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from diarnb._types import Json
    from diarnb.server.core import Core

_PROCESSING = {False: 600.0, True: 1200.0}  # seconds; True for the larger models
_CODES = {
    400: "Bad Request",
    401: "INVALID_AUTH",
    403: "INSUFFICIENT_PERMISSIONS",
    404: "NOT_FOUND",
    408: "SLOW_UPLOAD",
    413: "PAYLOAD_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    503: "Service Unavailable",
}


def routes(core: Core) -> list[web.RouteDef]:
    """Return the route of recordings; that of streams is `live`'s."""
    return [web.post("/v1/listen", _ListenRoute(core).post)]


def read_key(request: web.Request) -> str | None:
    """Read the key of a request; None where there is none, or there are two."""
    given = request.headers.getall("Authorization", [])
    protocols = request.headers.getall("Sec-WebSocket-Protocol", [])
    if not given and protocols and request.method == "GET":  # a page in a browser can set no other header
        words = [word.strip() for line in protocols for word in line.split(",")]
        given = [" ".join(words)]
    if len(given) != 1:
        return None
    scheme, _, key = given[0].partition(" ")
    return key.strip() if scheme.lower() in ("token", "bearer") else None


def refuse(refused: Refusal, request_id: str) -> web.Response:
    """Write a refusal in Deepgram's words."""
    code = refused.code or _CODES.get(refused.status, "Error")
    body = {"err_code": code, "err_msg": refused.message, "request_id": request_id, **refused.more}
    if "details" in body:  # some errors have other names there, which are what other clients read
        body |= {"category": code, "message": refused.message}
    said = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in refused.message)
    headers = {**refused.headers, "dg-error": said[:500]}
    return web.json_response(body, status=refused.status, headers=headers)


class _ListenRoute:
    def __init__(self, core: Core) -> None:
        self._core = core

    async def post(self, request: web.Request) -> web.Response:
        """Take a recording, and answer when it is understood."""
        asked = deepgram_rules.parse_batch(request.query.items())
        if asked["callback"] is not None:
            return await self._later(request, asked)
        self._check_queue()
        async with self._recording(request) as (path, url):
            try:
                if url is not None:
                    await self._core.fetcher.fetch(url, path)
                self._check_queue()  # others may have been quicker
                seconds = _PROCESSING[asked["model"].startswith("whisper")]
                answer = await self._core.workers.run(self._task(request, asked, file=str(path)), seconds=seconds)
            except FetchError as error:
                raise Refusal(400, f"{error}.", code="REMOTE_CONTENT_ERROR") from None
            except TaskFailedError as error:
                raise _task_refusal(error) from None
            except TaskTimeoutError:
                raise Refusal(504, f"It took longer than {seconds / 60:.0f} minutes.", code="Gateway Timeout") from None
            except WorkerCrashedError:
                raise Refusal(503, "Please try again later") from None
        return web.Response(body=answer, content_type="application/json")

    async def _later(self, request: web.Request, asked: Json) -> web.Response:
        """Take a recording, and let somebody be called when it is understood."""
        if problem := check_target("deepgram", asked["callback"], self._core.settings.allow_webhook):
            raise Refusal(400, f"Invalid callback url. {problem}.", code="INVALID_QUERY_PARAMETER")
        job_id, own = request[ID], self._core.media.job_path(request[ID])
        delivery = {
            "dialect": "deepgram",
            "url": asked["callback"],
            "method": asked["callback_method"],
            "token": request[OWNER],
        }
        async with self._recording(request) as (path, url):
            where = {"file": str(own)} if url is None else {"fetch": url}
            if url is None:
                path.replace(own)
            task = self._task(request, {**asked, "callback": None}, **where)
            try:
                await self._core.jobs.add(Job(job_id, request[OWNER], "listen", task, delivery=delivery))
            except BaseException:
                self._core.media.delete_job_file(job_id)
                raise
        return web.json_response({"request_id": job_id})

    def _task(self, request: web.Request, asked: Json, **where: str) -> Json:
        settings = self._core.settings
        who = {"engine": settings.engine, "words": settings.words}
        return {"do": "deepgram.listen", "id": request[ID], "asked": asked, **who, **where}

    def _check_queue(self) -> None:
        if self._core.workers.waiting >= self._core.settings.queue:
            raise _busy()

    @asynccontextmanager
    async def _recording(self, request: web.Request) -> AsyncIterator[tuple[Path, str | None]]:
        """Receive the body into a file that is deleted at the end, or the address that it names."""
        path = self._core.scratch_file()
        try:
            url = None
            if request.content_type == "application/json":  # everything else is sound, whatever it is called
                url = await _url(request)
                if problem := self._core.fetcher.check(url):
                    raise Refusal(400, f"{problem}.", code="REMOTE_CONTENT_ERROR")
            elif not await receive(request, path, MAX_BODY, self._core.disk):
                raise _unusable("there is nothing in it")
            yield path, url
        finally:
            path.unlink(missing_ok=True)


async def _url(request: web.Request) -> str:
    try:
        body = await receive_json(request)
    except ValueError as error:
        details = "".join(letter for letter in str(error) if letter.isprintable())[:200]
        raise Refusal(400, "Invalid JSON submitted.", code="INVALID_JSON", details=details) from None
    if not isinstance(body, dict) or not isinstance(body.get("url"), str):
        raise Refusal(400, 'Bad Request: of JSON, only {"url": "https://..."} can be listened to')
    return str(body["url"])


def _task_refusal(error: TaskFailedError) -> Refusal:
    if "Audio" in error.kind:
        return _unusable(str(error))
    if error.kind == "InvalidParameterError":  # what the engine of this server does not offer
        return Refusal(400, f"Bad Request: {error}")
    return Refusal(500, str(error))


def _unusable(why: str) -> Refusal:
    return Refusal(400, f"Bad Request: failed to process audio: corrupt or unsupported data ({why})")


def _busy() -> Refusal:
    return Refusal(429, "Too many requests. Please try again later")
