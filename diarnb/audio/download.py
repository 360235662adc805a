"""Fetch a URL into a file: bounded in bytes, time and hops, and without its secrets in any message or log."""

from __future__ import annotations

import ipaddress
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from diarnb._text import public_url, shorten, strip_queries
from diarnb.errors import (
    AudioDownloadError,
    AudioError,
    AudioLimitError,
    AudioNotFoundError,
    AudioPermissionError,
    ConfigurationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

MAX_BYTES = 2 * 1024**3
"""2 GiB: six hours of CD-quality stereo. More is better fetched by a tool that can resume."""

MAX_SECONDS = 600.0
"""10 minutes for the whole download; httpx has timeouts for each step only, so a dripping server would never end."""

MAX_HOPS = 5
"""Redirects followed; honest ones need one or two."""

NO_SOCKS = (
    "The proxy in ALL_PROXY or HTTPS_PROXY uses SOCKS, which needs another package: pip install"
    " 'httpx[socks]' python-socks"
)
"""What is wrong where one is set, and httpx or websockets cannot use it."""


def download(url: str, target: Path, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> None:
    """Fetch `url` into the file `target`.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``.
    target : Path
        Created; what it holds after an error is to be thrown away.
    max_bytes : int, default 2 GiB
        More is refused, by the announced length or while it arrives.
    max_seconds : float, default 600
        For the whole download, redirects included.

    Raises
    ------
    AudioNotFoundError
        Answers 404 and 410.
    AudioPermissionError
        Answers 401 and 403.
    AudioLimitError
        More than `max_bytes`.
    AudioDownloadError
        Everything else: other answers, no connection, a body that is cut off, too slow, too many redirects.
    """
    import httpx  # .04 s that a recording on this machine need not pay

    shown = shorten(public_url(url), 160)
    deadline = time.monotonic() + max_seconds
    steps, as_it_is = httpx.Timeout(30.0, connect=10.0), {"Accept-Encoding": "identity"}
    try:
        with (
            quiet_log(),
            explain_proxies(),
            httpx.Client(timeout=steps, headers=as_it_is, mounts=loopback(url)) as client,
        ):
            for _ in range(MAX_HOPS + 1):
                with client.stream("GET", url) as response:
                    if not response.is_redirect:
                        _check_status(response.status_code, shown)
                        _store(response, target, shown, max_bytes, deadline)
                        return
                    url = str(response.url.join(response.headers["location"]))
                if not url.lower().startswith(("http://", "https://")):
                    raise AudioDownloadError(f"{shown} redirects to something that is not http(s); nothing was read.")
        raise AudioDownloadError(f"{shown} redirects more than {MAX_HOPS} times. Pass the address of the file itself.")
    except AudioError:
        raise
    except httpx.TimeoutException as error:
        raise AudioDownloadError(f"{shown} did not answer in time. Try again, or download the file first.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = (
            "the connection failed"
            if isinstance(error, httpx.ConnectError)
            else "the answer was cut off or is not HTTP"
        )
        if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
            why = "the address is not valid"
        raise AudioDownloadError(f"{shown} could not be downloaded: {why}. Check the address, or try again.") from error
    except OSError as error:
        raise AudioDownloadError(f"{shown} could not be stored: {error.strerror}. Free some space.") from error


def _check_status(status: int, shown: str) -> None:
    if status in (404, 410):
        raise AudioNotFoundError(f"{shown} does not exist (HTTP {status}). Check the address.")
    if status in (401, 403):
        raise AudioPermissionError(f"{shown} may not be read (HTTP {status}): a signed link may have expired.")
    if status != 200:
        raise AudioDownloadError(f"{shown} could not be downloaded (HTTP {status}). Try again later.")


def _store(response: httpx.Response, target: Path, shown: str, max_bytes: int, deadline: float) -> None:
    too_large = f"{shown} is larger than {max_bytes:,} bytes. Download it first, then pass its path."
    if int(response.headers.get("content-length", "0")) > max_bytes:
        raise AudioLimitError(too_large)
    stored = 0
    with target.open("wb") as file:
        # No chunk size here: httpx would collect that many bytes before the deadline could be looked at.
        for chunk in response.iter_bytes():
            stored += len(chunk)
            if stored > max_bytes:
                raise AudioLimitError(too_large)
            if time.monotonic() > deadline:
                raise AudioDownloadError(
                    f"{shown} is too slow: {stored:,} bytes had arrived when its time was up. Download it first."
                )
            file.write(chunk)


def is_loopback(url: str) -> bool:
    """Return whether an address is of this machine, by its name alone.

    Examples
    --------
    >>> is_loopback("http://127.0.0.1:8000/v1"), is_loopback("https://api.example.org")
    (True, False)
    """
    host = urlsplit(url.strip()).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def loopback(url: str = "") -> dict[str, None]:
    """Make what keeps httpx from asking a proxy for addresses of this machine: what is sent there stays here."""
    hosts = ["localhost", "*.localhost", "127.0.0.1", "[::1]"]
    if url and is_loopback(url):
        host = urlsplit(url.strip()).hostname or ""
        hosts.append(f"[{host}]" if ":" in host else host)
    return {f"all://{host}": None for host in hosts}


@contextmanager
def explain_proxies() -> Iterator[None]:
    """Raise `ConfigurationError` where a proxy is set that needs a package which is not installed."""
    try:
        yield
    except ImportError as error:
        if "socks" not in str(error).lower():
            raise
        raise ConfigurationError(NO_SOCKS) from None


@contextmanager
def quiet_log() -> Iterator[None]:
    """Let the transport log its requests, but without what signs an address, and without what was answered."""

    def redact(record: logging.LogRecord) -> bool:
        if record.name.startswith("httpcore"):  # whole headers, which may echo a key
            return False
        record.msg, record.args = strip_queries(record.getMessage()), ()
        return True

    loggers = [
        logging.getLogger(name) for name in ("httpx", "httpcore.http11", "httpcore.connection", "httpcore.proxy")
    ]
    for logger in loggers:
        logger.addFilter(redact)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(redact)
