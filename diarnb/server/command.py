"""``diarnb serve``: the server in the foreground, until it is interrupted or told to end."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from diarnb._text import visible
from diarnb.errors import ConfigurationError, DiarnbError, InvalidParameterError
from diarnb.server import NO_WORDS, choose_key, choose_words
from diarnb.server.engines import LOCAL, choose_engine
from diarnb.server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diarnb._types import Json

_EPILOG = """\
environment:
  DIARNB_SERVER_KEY        the key, or several with commas between: each sees its own jobs and uploads only;
                           without any a new one is made and printed once
  DIARNB_WEBHOOK_SECRET    signs webhooks
  DIARNB_HOME              the folder of diarnb's data, in which the server's own is kept

examples:
  diarnb serve             for this machine, with a new key that is printed once
  DIARNB_SERVER_KEY=... diarnb serve --port 9000 --words whisper
                           with your own key, and Whisper for words
  diarnb serve --allow-url-fetch media.example.org --allow-webhook 127.0.0.1
                           clients may name recordings on that host, and webhooks may reach this machine
  diarnb serve --public-url https://speech.example.org
                           behind a proxy with that name, which handles TLS
  curl localhost:8000/health
                           its state; the page at localhost:8000 has lines to copy for each client

It stops within ten seconds after Ctrl-C or SIGTERM; unfinished jobs continue after the next start.

exit codes:
  0  stopped                         1  a port, a folder or an extra cannot be used; stderr says why
  2  the command is wrong            130  interrupted before it started
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str
        Those after ``serve``.

    Returns
    -------
    int
        The exit code.
    """
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        words = choose_words({"auto": True, "none": False}.get(asked.words, asked.words))
        if words is None and asked.words == "auto":
            _say(NO_WORDS.replace("words=False", "--words none"))
        asked.words = words
        asked.engine = choose_engine(asked.engine)
        return _serve(asked)
    except InvalidParameterError as error:
        return _complain(error, 2)
    except DiarnbError as error:
        return _complain(error, 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="diarnb serve",
        description="Answer the pyannoteAI and the Deepgram HTTP API on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known = Settings.__dataclass_fields__
    parser.add_argument(
        "--host", default=known["host"].default, help="The address to listen on. Default: 127.0.0.1, this machine only."
    )
    parser.add_argument(
        "--port", type=int, default=known["port"].default, help="The port. Default: 8000; 0 picks a free one."
    )
    parser.add_argument(
        "--key", help="Better in DIARNB_SERVER_KEY: all users of this machine can see a command's arguments."
    )
    parser.add_argument(
        "--folder", type=Path, help="Where jobs and uploads are kept. Default: in diarnb's data folder."
    )
    parser.add_argument(
        "--workers", type=int, help="How many recordings to process at once. Default: one for each core."
    )
    parser.add_argument(
        "--engine",
        metavar="NAME",
        default=LOCAL,
        help="Who listens; by default diarnb's own, local. Others that bill nothing: pyannote:MODEL, MODULE:ATTRIBUTE.",
    )
    parser.add_argument(
        "--words",
        metavar="NAME",
        default="auto",
        help="The transcriber: moonshine, sphinx, whisper, whisper:SIZE (extras); default: the best installed; none.",
    )
    parser.add_argument(
        "--public-url", metavar="URL", help="The address that clients use, if the server is behind a proxy."
    )
    parser.add_argument(
        "--allow-url-fetch",
        nargs="*",
        metavar="HOST",
        help="Download recordings from addresses that clients name: from any public host, or only from these hosts.",
    )
    parser.add_argument(
        "--allow-webhook",
        action="append",
        default=[],
        metavar="HOST",
        help="Also send results to this host, even by http, although its address is not public; may be repeated.",
    )
    parser.add_argument("--webhook-secret", help="Better in DIARNB_WEBHOOK_SECRET, for the same reason.")
    parser.add_argument(
        "--rate-limits", choices=("off", "vendor"), default="off", help="Apply pyannoteAI's rate limits."
    )
    parser.add_argument(
        "--streaming-diarize-model",
        choices=("seed", "new"),
        default="seed",
        help="new: streams take diarize_model=latest and v1, as Deepgram's do since July 2026.",
    )
    parser.add_argument(
        "--reserve",
        type=int,
        default=known["reserve"].default,
        metavar="MIB",
        help="Disk space in MiB that is kept free for answers. Default: 256.",
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=known["memory"].default,
        metavar="MIB",
        help="Memory limit of a worker in MiB; 0: no limit.",
    )
    return parser


def _serve(asked: argparse.Namespace) -> int:
    key = choose_key(asked.key)
    fetched = asked.allow_url_fetch
    chosen: Json = {
        "keys": tuple(key.reveal().split(",")),
        "folder": (asked.folder or _home() / "server").expanduser().absolute(),
        "allow_url_fetch": () if fetched is None else tuple(fetched) or ("*",),
        "allow_webhook": tuple(asked.allow_webhook),
        "webhook_secret": asked.webhook_secret or os.environ.get("DIARNB_WEBHOOK_SECRET") or None,
    }
    as_they_are = (
        "host",
        "port",
        "engine",
        "words",
        "public_url",
        "rate_limits",
        "streaming_diarize_model",
        "reserve",
        "memory",
        "workers",
    )
    chosen |= {name: value for name in as_they_are if (value := getattr(asked, name)) is not None}
    settings = Settings(**chosen)
    # imported when it is known that there is an aiohttp, and that it will be used
    from diarnb.server import process
    from diarnb.server.page import sdk_lines

    def ready(origin: str) -> None:
        known_as = settings.public_url or origin
        pyannoteai, deepgram = sdk_lines(known_as)
        words = f"words by {settings.words}" if settings.words else "no words"
        listener = "" if settings.engine == LOCAL else f"{settings.engine}, "
        lines = [
            f"diarnb serves at {known_as} ({listener}{settings.workers} at once, {words}, {settings.folder})",
            f"  pyannoteAI's SDK:  {pyannoteai}",
            f"  Deepgram's SDK:    {deepgram}",
            f"Instructions and the server's state are at {known_as}/",
        ]
        if key.source == "new":
            lines.insert(1, f"export DIARNB_SERVER_KEY={key.reveal()}   # new; shown only once")
        print("\n".join(lines), flush=True)
        if settings.host not in ("127.0.0.1", "::1", "localhost"):
            _say("others on the network can reach it, and nothing is encrypted: put a proxy with TLS in front of it")

    process.prepare()
    try:
        asyncio.run(process.serve_until_stopped(settings, ready))
    except KeyboardInterrupt:  # before the server had begun
        return 130
    return 0


def _home() -> Path:
    return Path(os.environ.get("DIARNB_HOME") or platformdirs.user_data_dir("diarnb"))


def _complain(error: ConfigurationError | Exception, code: int) -> int:
    _say(f"error: {error}")
    return code


def _say(text: str) -> None:
    print(f"diarnb: {visible(text, limit=2000)}", file=sys.stderr)
