"""How a server is run: everything that can be chosen, checked before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from diarnb.engines.local.networks import count_cores
from diarnb.errors import InvalidParameterError

if TYPE_CHECKING:
    from diarnb._types import Json

MAX_BODY = 2 * 1024**3
"""Bytes of a recording: what Deepgram takes; pyannoteAI takes half of it."""

MAX_UNTOLD = 500_000_000
"""Samples of a recording that does not tell its length: counting them takes a worker some ten seconds."""

MAX_JSON = 4 * 1024**2
"""Bytes of a request in JSON; fifty voiceprints of the longest kind are one."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a server.

    Attributes
    ----------
    folder : Path
        Jobs, uploads and the secret that signs addresses; one server at a time uses it.
    keys : tuple of str
        Whoever has one of these keys can use the server; each key sees only its own jobs and uploads.
    host, port : str, int
        Where it listens; port 0 picks a free one.
    workers : int
        How many recordings are processed at once; as many WebSocket streams in addition.
    engine : str
        Who listens to recordings: a name as `diarnb.diarize` takes it, ``NAME:MODEL``, or ``module:attribute`` for one
        of your own; none that bills. Streams and voiceprints are always the local engine's.
    words : str or None
        The transcriber: ``sphinx``, ``whisper``, ``whisper:MODEL``, or ``module:function`` for one of your own: code
        that runs here, and that no request can name. None for no words.
    public_url : str or None
        The address that clients use, if it differs from the server's own: behind a proxy.
    allow_url_fetch : tuple of str
        Hosts from which recordings may be downloaded, ``*`` for any public one; none by default.
    allow_webhook : tuple of str
        Hosts that may receive results although their address is not public; mostly receivers on this machine.
    webhook_secret : str or None
        The secret that signs deliveries.
    rate_limits : {"off", "vendor"}
        Whether to apply the services' rate limits.
    streaming_diarize_model : {"seed", "new"}
        Whether a stream may name a diarizer: no by the older documents, ``latest`` and ``v1`` by the newer.
    reserve : int
        MiB of the disk that recordings leave free, for answers: what would take more is refused with 507; 0 for none.
    memory : int
        MiB that one worker may hold; 0 for no limit.
    queue : int
        Requests that may wait for a worker while the client does; more are refused with 429.
    """

    folder: Path
    keys: tuple[str, ...] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = field(default_factory=count_cores)
    engine: str = "local"
    words: str | None = None
    public_url: str | None = None
    allow_url_fetch: tuple[str, ...] = ()
    allow_webhook: tuple[str, ...] = ()
    webhook_secret: str | None = field(default=None, repr=False)
    rate_limits: str = "off"
    streaming_diarize_model: str = "seed"
    reserve: int = 256
    memory: int = 4096
    queue: int = 100

    def __post_init__(self) -> None:
        if not self.keys or not all(_printable(key) for key in self.keys):
            raise InvalidParameterError(
                "a key has 8 characters or more, of ASCII, without spaces; leave it out for a new one"
            )
        for name, least, most in (
            ("port", 0, 65535),
            ("workers", 1, 1 << 10),
            ("reserve", 0, 1 << 30),
            ("memory", 0, 1 << 30),
            ("queue", 0, 1 << 30),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise InvalidParameterError(f"{name} is a whole number from {least} to {most}, not {value!r:.40}")
        for name in ("allow_url_fetch", "allow_webhook"):
            hosts = getattr(self, name)
            if isinstance(hosts, str) or not all(isinstance(host, str) for host in hosts):
                raise InvalidParameterError(f"{name} is a tuple of hosts, such as ('media.example.org',)")
        for name, known in (("rate_limits", ("off", "vendor")), ("streaming_diarize_model", ("seed", "new"))):
            if getattr(self, name) not in known:
                raise InvalidParameterError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r:.40}")
        if self.public_url is not None and not _origin(self.public_url):
            raise InvalidParameterError(
                f"public_url is an origin such as https://speech.example.org, not {self.public_url!r:.80}"
            )

    def as_json(self) -> Json:
        """Return what JSON can hold, keys included: for the process that reads it from a pipe, and for nobody else."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, told: Json) -> Settings:
        """Read what `as_json` wrote."""
        lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
        return cls(**{**told, **lists, "folder": Path(told["folder"])})


def _printable(key: object) -> bool:
    return isinstance(key, str) and len(key) >= 8 and key.isascii() and key.isprintable() and " " not in key


def _origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    bare = not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and bare
