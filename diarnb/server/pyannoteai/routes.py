"""pyannoteAI's dialect: uploads, jobs and what has become of them, in the words of its API."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from diarnb._text import public_url
from diarnb.server.engines import find_unoffered
from diarnb.server.jobs import Job
from diarnb.server.pyannoteai import rules as pyannoteai_rules
from diarnb.server.web import deliveries
from diarnb.server.web.bodies import receive, receive_json
from diarnb.server.web.limits import Limits
from diarnb.server.web.media import MAX_UPLOAD
from diarnb.server.web.refusals import OWNER, Refusal, open_to_all

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from diarnb._types import Json
    from diarnb.server.core import Core

KINDS = ("diarize", "identify", "voiceprint")
"""What a job may be, as the end of its path and in the table."""


def routes(core: Core) -> list[web.RouteDef]:
    """Return the routes of this dialect."""
    dialect = _Dialect(core)
    limits = Limits(core.settings.rate_limits == "vendor")

    def get(path: str, handler: Handler) -> web.RouteDef:
        return web.get(path, limits.limit(handler, "GET"))

    def post(path: str, handler: Handler) -> web.RouteDef:
        return web.post(path, limits.limit(handler, "POST"))

    return [
        web.get("/v1/test", dialect.test),
        post("/v1/media/input", dialect.media_input),
        post("/v1/media/output", dialect.media_output),
        web.put("/media/{name}", dialect.upload),
        web.get("/media/{name}", dialect.download),
        post("/v1/diarize", dialect.diarize),
        post("/v1/identify", dialect.identify),
        post("/v1/voiceprint", dialect.voiceprint),
        get("/v1/jobs/{id}", dialect.job),
        get("/v2/jobs", dialect.jobs),
    ]


def read_key(request: web.Request) -> str | None:
    """Read the key of a request; None where there is none, or there are two."""
    given = request.headers.getall("Authorization", [])
    scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return key.strip() if scheme.lower() == "bearer" else None


def refuse(refusal: Refusal, request_id: str) -> web.Response:
    """Write a refusal in pyannoteAI's words."""
    body: Json = {"requestId": request_id, "message": refusal.message}
    if refusal.errors:
        errors = [{"field": name, "message": message} for name, message in refusal.errors]
        body = {"message": refusal.message, "errors": errors}
    return web.json_response(body, status=refusal.status, headers=refusal.headers)


class _Dialect:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def test(self, request: web.Request) -> web.Response:  # noqa: ARG002 (whoever came here has a key)
        return web.json_response({"status": "OK", "message": "Test connection successful"})

    async def media_input(self, request: web.Request) -> web.Response:
        return await self._signed_url(request, "PUT")

    async def media_output(self, request: web.Request) -> web.Response:
        return await self._signed_url(request, "GET")

    @open_to_all
    async def upload(self, request: web.Request) -> web.Response:
        media, name = self._core.media, request.match_info["name"]
        nonce = media.verify("PUT", name, request.query)
        arrived = self._core.scratch_file()
        try:
            await receive(request, arrived, MAX_UPLOAD, self._core.disk)
            await asyncio.to_thread(media.accept, arrived, name, nonce)
        finally:
            arrived.unlink(missing_ok=True)
        return web.Response()

    @open_to_all
    async def download(self, request: web.Request) -> web.StreamResponse:
        media, name = self._core.media, request.match_info["name"]
        media.verify("GET", name, request.query)
        found = media.find(name)
        if found is None:
            raise Refusal(404, "Nothing was uploaded there, or it is gone.")
        return web.FileResponse(found, headers={"Content-Type": "application/octet-stream"})

    async def diarize(self, request: web.Request) -> web.Response:
        return await self._submit(request, "diarize")

    async def identify(self, request: web.Request) -> web.Response:
        return await self._submit(request, "identify")

    async def voiceprint(self, request: web.Request) -> web.Response:
        return await self._submit(request, "voiceprint")

    async def job(self, request: web.Request) -> web.Response:
        found = self._core.jobs.get(request.match_info["id"], request[OWNER])
        if found is None or found.kind not in KINDS:
            raise Refusal(404, "There is no such job.")
        facts = {"jobId": found.id, "status": found.state}
        facts |= {"createdAt": _format_time(found.created), "updatedAt": _format_time(found.updated)}
        return _json_response(deliveries.with_output(facts, found.output))

    async def jobs(self, request: web.Request) -> web.Response:
        page = pyannoteai_rules.parse_page(request.query)
        found = self._core.jobs.list_page(
            request[OWNER], kinds=KINDS, limit=page.limit + 1, after=page.cursor, state=page.status
        )
        if found is None:
            raise pyannoteai_rules.invalid_request(("cursor", "There is no such job"))
        items = [
            {"id": job.id, "status": job.state, "type": job.kind, "createdAt": _format_time(job.created)}
            | ({"completedAt": _format_time(job.updated)} if job.ended else {})
            for job in found[: page.limit]
        ]
        more = len(found) > page.limit
        return web.json_response({"items": items, "nextCursor": items[-1]["id"] if more else None})

    async def _signed_url(self, request: web.Request, method: str) -> web.Response:
        key = pyannoteai_rules.parse_media(await _read_body(request))
        path = self._core.media.sign_url(method, request[OWNER], key)
        # the name by which the client has found this server is one by which it can find it again
        origin = self._core.settings.public_url or f"{request.scheme}://{request.host}"
        return web.json_response({"url": origin + path}, status=201)

    async def _submit(self, request: web.Request, kind: str) -> web.Response:
        settings = self._core.settings
        wanted = pyannoteai_rules.parse_job(
            kind, await _read_body(request), check_url=self._core.fetcher.check, check_webhook=self._check_webhook
        )
        job_id, owner, task = str(uuid.uuid4()), request[OWNER], wanted.task
        task["engine"] = settings.engine
        if unoffered := find_unoffered(task, settings.engine):
            why = f"The engine of this server, {settings.engine}, does not offer this"
            raise pyannoteai_rules.invalid_request(*((pyannoteai_rules.THEIRS[name], why) for name in unoffered))
        task["name"] = public_url(wanted.url)
        if task.get("transcription"):
            task["words"] = settings.words
        if wanted.url.startswith("media://"):
            task["file"] = str(await asyncio.to_thread(self._core.media.claim_for_job, owner, wanted.url, job_id))
        else:
            task["fetch"] = wanted.url
        delivery = None
        if wanted.webhook is not None:
            delivery = {
                "dialect": "pyannoteai",
                "url": wanted.webhook,
                "method": "POST",
                "status_only": wanted.status_only,
            }
        # whole even if the client is gone by now: it finds the job in the list
        await asyncio.shield(self._core.jobs.add(Job(job_id, owner, kind, task, delivery=delivery)))
        return web.json_response({"jobId": job_id, "status": "created"})

    def _check_webhook(self, url: str) -> str | None:
        return deliveries.check_target("pyannoteai", url, self._core.settings.allow_webhook)


async def _read_body(request: web.Request) -> object:
    try:
        return await receive_json(request)
    except ValueError:
        raise pyannoteai_rules.invalid_request(("body", "Must be JSON")) from None


def _json_response(content: bytes) -> web.Response:
    return web.Response(body=content, content_type="application/json", charset="utf-8")


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
