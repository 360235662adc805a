"""The page at ``/`` for people, ``/health`` for machines that look after it, and the descriptions of both APIs."""

from __future__ import annotations

import base64
import hashlib
import platform
import time
from functools import cache
from html import escape
from importlib import metadata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from diarnb._text import spell_duration
from diarnb.server import openapi
from diarnb.server.web.refusals import open_to_all

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.server.core import Core
    from diarnb.server.jobs import Job

_SHOWN = 10  # jobs

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --dim: #5b6472; --paper: #fbfbf9; --card: #fff; --line: #dfe2e6;
  --code: #f3f4f2; --good: #00735a; --blue: #0063a1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --dim: #9aa5b4; --paper: #14171c; --card: #1b1f26;
  --line: #303641; --code: #12151a; --good: #3fc9a0; --blue: #6cb8ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .6rem; }
h3 { font-size: .875rem; font-weight: 600; margin: 1.25rem 0 .35rem; }
p { margin: .4rem 0; } .dim, small { color: var(--dim); } a { color: var(--blue); }
.facts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1px; margin: 1.5rem 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
.facts div { background: var(--card); padding: .8rem 1rem; }
dt { color: var(--dim); font-size: .8125rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .good::before { content: "\\25CF\\A0"; font-size: .8em; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .5rem; margin: 0; padding: .75rem .9rem;
  overflow-x: auto; font: .8125rem/1.6 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
code { font: .9em ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); font-weight: 400; }
th { color: var(--dim); font-size: .8125rem; }
@media (max-width: 40rem) { .facts { grid-template-columns: repeat(2, 1fr); } main { padding-top: 1.75rem; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; } }
"""
_POLICY = "; ".join(
    [
        *("default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    ]
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


def routes(core: Core) -> list[web.RouteDef]:
    """Return the routes that need no key."""
    pages = _Pages(core)
    return [
        web.get("/", pages.page),
        web.get("/health", pages.health),
        web.get("/openapi/pyannoteai.json", pages.pyannoteai),
        web.get("/openapi/deepgram.json", pages.deepgram),
    ]


def sdk_lines(origin: str) -> tuple[str, str]:
    """Write the lines, one each, that point the SDKs of pyannoteAI and Deepgram to another server.

    Examples
    --------
    >>> sdk_lines("http://127.0.0.1:8000")[0]
    'Client.API_URL = "http://127.0.0.1:8000/v1"'
    """
    http, ws = f'"{origin}"', f'"{origin.replace("http", "ws", 1)}"'
    deepgram = f"environment=DeepgramClientEnvironment(base={http}, production={ws}, agent={ws}, agent_rest={http})"
    return f'Client.API_URL = "{origin}/v1"', deepgram


def code_samples(origin: str) -> dict[str, str]:
    """Write what can be copied and run, with the key in ``DIARNB_SERVER_KEY``."""
    return {
        "pyannoteAI’s SDK": f"""import os
from pyannoteai.sdk import Client

{sdk_lines(origin)[0]}
client = Client(os.environ["DIARNB_SERVER_KEY"])
job = client.diarize(client.upload("talk.wav"))
print(client.retrieve(job)["output"]["diarization"])""",
        "Deepgram’s SDK": f"""import os
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

http, ws = "{origin}", "{origin.replace("http", "ws", 1)}"
here = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
client = DeepgramClient(api_key=os.environ["DIARNB_SERVER_KEY"], environment=here)
with open("talk.wav", "rb") as file:
    sound = file.read()
answer = client.listen.v1.media.transcribe_file(request=sound, model="nova-3", diarize_model="latest")
print(answer.results)""",
        "diarnb": f"""import os
import diarnb

key = os.environ["DIARNB_SERVER_KEY"]
turns = diarnb.diarize(
    "talk.wav", engine="pyannoteai", base_url="{origin}", api_key=key
)
print(turns)""",
        "curl": f"""curl -H "Authorization: Bearer $DIARNB_SERVER_KEY" {origin}/v1/test
curl -H "Authorization: Token $DIARNB_SERVER_KEY" --data-binary @talk.wav \\
  '{origin}/v1/listen?diarize_model=latest&utterances=true'""",
    }


class _Pages:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        settings = core.settings
        # who is behind a proxy, or on a network, need not know what runs here
        self._at_home = settings.public_url is None and settings.host in ("127.0.0.1", "::1", "localhost")

    @open_to_all
    async def health(self, request: web.Request) -> web.Response:
        del request
        facts: Json = {"status": "disk full" if self._core.full else "ok"}
        if self._at_home:
            facts |= {"version": _versions()["diarnb"], "uptime": round(time.time() - self._core.started)}
            facts |= {"jobs": {state: self._core.jobs.count(state) for state in ("created", "running")}}
            facts |= {"disk": {"free": self._core.disk.free >> 20, "reserve": self._core.disk.reserve >> 20}}
            facts |= {"engine": self._core.settings.engine}
            facts |= {"workers": {"busy": self._core.workers.busy, "all": self._core.workers.count}}
        return web.json_response(facts)

    @open_to_all
    async def page(self, request: web.Request) -> web.Response:
        origin = self._core.settings.public_url or f"{request.scheme}://{request.host}"
        return web.Response(text=self._write(origin), content_type="text/html", charset="utf-8", headers=_HEADERS)

    @open_to_all
    async def pyannoteai(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(
            openapi.pyannoteai(self._core.origin, fetches=bool(self._core.settings.allow_url_fetch))
        )

    @open_to_all
    async def deepgram(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(openapi.deepgram(self._core.origin, fetches=bool(self._core.settings.allow_url_fetch)))

    def _write(self, origin: str) -> str:
        inside = self._state() if self._at_home else ""
        code = "".join(
            f"<h3>{escape(name)}</h3>\n<pre>{escape(code)}</pre>\n" for name, code in code_samples(origin).items()
        )
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>diarnb at {escape(urlsplit(origin).netloc)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Who spoke when, on your own machine</h1>
<p class="dim">This server answers the pyannoteAI and the Deepgram API on this machine.
No recording leaves it, and nothing is billed.</p>
{inside}<h2>Use it</h2>
<p>Every client needs the key that was shown when the server started, or that you gave it. Here it is
<code>DIARNB_SERVER_KEY</code> of the environment.</p>
{code}<h2>Descriptions</h2>
<p>OpenAPI: <a href="/openapi/pyannoteai.json">pyannoteAI’s dialect</a>,
<a href="/openapi/deepgram.json">Deepgram’s dialect</a>.
For machines that look after the server: <a href="/health">its health</a>.</p>
</main>
</body>
</html>
"""

    def _state(self) -> str:
        core = self._core
        facts = {
            "Health": "disk full" if core.full else '<span class="good">well</span>',
            "Listening": f"{core.workers.busy} of {core.workers.count}",
            "Streams": f"{core.streams.busy} of {core.streams.count}",
            "Jobs waiting": f"{core.jobs.count('created')}",
            "Engine": escape(core.settings.engine),
            "Words": escape(core.settings.words or "none"),
            "Up for": spell_duration(time.time() - core.started, parts=1),
        }
        cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>\n" for name, value in facts.items())
        versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
        jobs = core.jobs.list_latest(_SHOWN)
        return f"""<dl class="facts">
{cells}</dl>
<p><small>{escape(versions)}</small></p>
<h2>Jobs</h2>
{_table(jobs) if jobs else '<p class="dim">None so far.</p>'}
"""


def _table(jobs: list[Job]) -> str:
    now = time.time()
    rows = "".join(
        f"<tr><td>{job.number}</td><td>{escape(job.kind)}</td><td>{escape(job.state)}</td>"
        f"<td>{spell_duration(now - job.created, parts=1)} ago</td></tr>\n"
        for job in jobs
    )
    return f"<table>\n<tr><th>Number</th><th>Asked for</th><th>State</th><th>Accepted</th></tr>\n{rows}</table>"


@cache
def _versions() -> dict[str, str]:
    names = ("diarnb", "aiohttp", "onnxruntime")
    return {**{name: metadata.version(name) for name in names}, "Python": platform.python_version()}
