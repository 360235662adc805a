"""Addresses: a service's origin, and links that a service is to fetch by itself."""

from __future__ import annotations

import ipaddress
import os
import socket
from urllib.parse import urlsplit

from diarnb._text import printable, public_url, shorten
from diarnb.audio.download import is_loopback as is_loopback
from diarnb.errors import ConfigurationError, InvalidParameterError


def find_origin(given: str | None, variable: str, default: str) -> str:
    """Find a service's origin: what was passed, else the environment's, else the vendor's.

    Raises
    ------
    ConfigurationError
        It is no such address.
    """
    if given is not None:
        return checked_origin(given, "base_url")
    return checked_origin(os.environ.get(variable) or default, variable)


def checked_origin(given: str, variable: str) -> str:
    """Check a service's address, and give its origin.

    Parameters
    ----------
    given : str
        ``https://host[:port]``, a trailing ``/v1`` tolerated; ``http`` for this machine only.
    variable : str
        What it is called where it came from, for the message.

    Raises
    ------
    ConfigurationError
        It is no such address.

    Examples
    --------
    >>> checked_origin("https://api.example.org/v1/", "base_url")
    'https://api.example.org'
    """
    shown = shorten(printable(public_url(str(given))), 80)
    wrong = f"{variable} is {shown!r}"
    try:
        parts = urlsplit(given.strip().rstrip("/").removesuffix("/v1"))
        host, _ = parts.hostname or "", parts.port
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{wrong}, which is no address; write https://host or https://host:port") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{wrong}; write https://host or https://host:port")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(f"{wrong} with a user name, password or query; give the origin alone")
    if parts.scheme == "http" and not is_loopback(given):
        raise ConfigurationError(f"{wrong}: a key is sent by https only, unless the server is on this machine")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def check_reachable(url: str, origin: str, service: str) -> None:
    """Refuse a link that the service cannot reach because it is of this network only.

    Where the service itself is on this machine, so may the link be.

    Raises
    ------
    InvalidParameterError
        It is private, or no address.
    """
    shown = shorten(printable(public_url(url)), 120)
    if is_loopback(origin):
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)} if host else set()
    except (ValueError, UnicodeError) as error:
        raise InvalidParameterError(f"{shown} is no address; nothing was sent") from error
    except OSError:
        return  # not known here; it may be there
    if not host or any(not ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found):
        raise InvalidParameterError(
            f"{shown} can be reached from this network only, and {service} has to fetch it. Download it first, then "
            "pass its path."
        )
