"""One local server that speaks the APIs of pyannoteAI and Deepgram, from the local engine: free, and in the house."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from diarnb.engines.cloud.keys import Secret
from diarnb.errors import ConfigurationError, DiarnbWarning, InvalidParameterError
from diarnb.server.engines import choose_engine
from diarnb.server.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

    from diarnb._types import Json
    from diarnb.engines.base import OwnEngine

NO_WORDS = (
    "this server answers without words, because no transcriber is installed: the extra moonshine has an English one, "
    'whisper a better one that downloads its model: pip install "diarnb[moonshine]"; words=False serves without words'
)
"""What is said once where nothing can transcribe."""

_STOPPING = 20.0  # seconds until a server that was told to end is ended; it takes ten at the most


def serve(
    *,
    port: int = 0,
    key: str | None = None,
    engine: str | OwnEngine = "local",
    words: str | bool | None = True,
    folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    **settings: Any,
) -> Server:
    """Start a server that offers the pyannoteAI and Deepgram APIs on this machine.

    It runs in a separate process on this machine, like ``python -m diarnb serve``. It stops at ``stop()``, at the end
    of a ``with`` block, or when the kernel ends, for whatever reason. The vendors' own SDKs work with it, and so do the
    engines ``"pyannoteai"`` and ``"deepgram"``; its page at `base_url` explains how.

    Parameters
    ----------
    port : int, default 0
        The port to listen on; 0 picks a free one.
    key : str, optional
        Whoever has this key can use the server. Default: the environment's ``DIARNB_SERVER_KEY``, else a new one.
    engine : str or engine, default "local"
        The engine that processes recordings: any that is not billed, ``"pyannote:MODEL"`` with its model, or
        ``"module:attribute"`` for your own. An object must be importable from a module, because the server is a
        separate process. What the engine does not offer is refused by name. Streams and voiceprints always use the
        local engine.
    words : str or bool, default True
        The transcriber: ``"moonshine"``, ``"sphinx"``, ``"whisper"`` or ``"whisper:MODEL"``, extras of these names.
        True uses the best one that is installed and needs no download, and warns if there is none. False serves without
        words.
    folder : path, optional
        Where jobs and uploads are kept, even after the server stops. Default: a temporary folder that is removed with
        it.
    workers : int, optional
        The number of recordings processed at once; by default the number of cores.
    **settings
        Further settings, named as in `diarnb.server.settings.Settings`: ``allow_url_fetch=("*",)``,
        ``rate_limits="vendor"``, ``webhook_secret=...``.

    Returns
    -------
    Server
        With ``base_url``, ``key`` and ``stop()``.

    Raises
    ------
    ConfigurationError
        The extra ``server``, the transcriber's extra or what the engine needs is missing, or the port or folder is in
        use.
    InvalidParameterError
        A setting is unknown or wrong; the engine is unknown, or bills for what it is sent.

    Examples
    --------
    >>> import httpx
    >>> with serve(workers=1) as server:
    ...     print(httpx.get(f"{server.base_url}/health").json()["status"])
    ok

    And then ``diarize("talk.wav", engine="pyannoteai", base_url=server.base_url, api_key=server.key)``.
    """
    chosen_words = choose_words(words)
    if words is True and chosen_words is None:
        warnings.warn(NO_WORDS, DiarnbWarning, stacklevel=2)
    secret = choose_key(key)
    if workers is not None:
        settings["workers"] = workers
    place = Path(tempfile.mkdtemp(prefix="diarnb-server-") if folder is None else folder).absolute()
    try:
        try:
            who: Json = {"engine": choose_engine(engine), "words": chosen_words}
            chosen = Settings(folder=place, keys=(secret.reveal(),), port=port, **who, **settings)
        except TypeError as error:
            raise InvalidParameterError(f"serve: {str(error).partition(' ')[2]}; see diarnb.server.settings") from None
        return Server(chosen, secret, temporary=folder is None)
    except BaseException:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
        raise


class Server:
    """A server that runs in a process of its own; made by `serve`.

    Attributes
    ----------
    base_url : str
        The origin, ``http://127.0.0.1:PORT``: what ``base_url=`` takes, and where the page is.
    """

    def __init__(self, settings: Settings, key: Secret, *, temporary: bool) -> None:
        self._key, self._folder = key, settings.folder if temporary else None
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = json.dumps({"settings": settings.as_json(), "temporary": temporary})
        with open(settings.folder / "server.log", "ab", opener=_open_private) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "diarnb.server.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal of a kernel is for the kernel
            )
        try:
            self.base_url: str = self._wait_until_ready(told, settings.folder / "server.log")
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)  # and so it lives on where nobody keeps this object

    @property
    def key(self) -> str:
        """What clients send; shown by nothing but this."""
        return self._key.reveal()

    def stop(self) -> None:
        """End it; jobs that are not done wait in the folder, where that is not a temporary one."""
        atexit.unregister(self.stop)
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        assert self._process.stdout is not None  # noqa: S101 - likewise
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOPPING)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        ended = "" if self._process.poll() is None else ", ended"
        return f"<diarnb server at {self.base_url}{ended}>"

    def _wait_until_ready(self, told: str, log: Path) -> str:
        """Send the settings to the process, and wait until it listens."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        assert self._process.stdout is not None  # noqa: S101 - likewise
        with suppress(BrokenPipeError):  # the reason comes the other way
            self._process.stdin.write(f"{told}\n".encode())
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            said = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise ConfigurationError(f"the server stopped before it was ready: {said:.200}")
        answer = json.loads(line)
        if "error" in answer:
            raise ConfigurationError(answer["error"])
        return str(answer["origin"])


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def choose_words(wanted: str | bool | None) -> str | None:
    """Check that there is what a server needs, before one is started, and choose its transcriber.

    Parameters
    ----------
    wanted : str, bool or None
        A name, True for the best that is installed, or None or False for none.

    Returns
    -------
    str or None
        The name of the transcriber.

    Raises
    ------
    ConfigurationError
        An extra is missing.
    InvalidParameterError
        `wanted` names no transcriber.
    """
    if find_spec("aiohttp") is None:
        raise ConfigurationError('the server needs aiohttp: run pip install "diarnb[server]"')
    from diarnb import transcribers

    if isinstance(wanted, str):
        transcribers.transcriber(wanted)
        return wanted
    return transcribers.best_installed() if wanted else None


def choose_key(given: str | None) -> Secret:
    """Take the key that was given, else the environment's, else make one (whose source is ``"new"``)."""
    if given is not None:
        return Secret(given, "key")
    if found := os.environ.get("DIARNB_SERVER_KEY"):
        return Secret(found, "DIARNB_SERVER_KEY")
    return Secret(f"diarnb-{secrets.token_hex(16)}", "new")
