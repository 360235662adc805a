"""API keys: where they are looked for, and a wrapper that never shows them."""

from __future__ import annotations

import hmac
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, quote, urlsplit

from diarnb.errors import ConfigurationError, MissingApiKeyError

if TYPE_CHECKING:
    from diarnb._types import Json

_KEYS = ("api_key", "token")
_LEAST = 8  # characters; what is shorter is part of many words


class Secret:
    """A key that no repr, traceback, log, pickle or JSON shows; only the transport asks for it.

    Parameters
    ----------
    value : str
    source : str
        Where it came from, for error messages.

    Examples
    --------
    >>> Secret("0123456789abcdef", "api_key=")
    ****cdef
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self.source: str = source
        self._value = value

    def reveal(self) -> str:
        """Return the key itself, for the header of a request."""
        return self._value

    def __repr__(self) -> str:
        return f"****{self._value[-4:]}" if len(self._value) >= 12 else "****"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled; let the other process read it from its environment")


def strike_out(content: bytes, *secrets: Secret) -> bytes:
    """Take keys and signatures out of what a service answers, before anything is made of it.

    Parameters
    ----------
    content : bytes
    *secrets : Secret
        Keys, and signed addresses, of which the values in their queries count as well.

    Examples
    --------
    >>> strike_out(b'bad key 0123456789abcdef', Secret("0123456789abcdef", "api_key="))
    b'bad key ****'
    """
    for secret in secrets:
        value = secret.reveal()
        query = parse_qsl(urlsplit(value).query) if "://" in value else []
        for each in (value, *(found for _, found in query)):
            if len(each) < _LEAST:
                continue
            for written in {each, each.replace("/", "\\/"), quote(each), quote(each, safe="")}:
                content = content.replace(written.encode(), b"****")
    return content


def seal_key(options: Json) -> Json:
    """Wrap a key or token among options, so that no traceback that shows local variables shows it."""
    keys = {name: Secret(options[name], f"{name}=") for name in _KEYS if isinstance(options.get(name), str)}
    return {**options, **keys} if keys else options


def check_key(value: object) -> Secret:
    """Check a key that was passed as an argument (the `check` of an `Option`)."""
    if isinstance(value, str):
        value = Secret(value, "api_key=")
    if not isinstance(value, Secret):
        raise ConfigurationError(f"api_key is a text, not {type(value).__name__}; leave it out to use the environment")
    return _clean_key(value)


def find_key(given: Secret | None, variable: str, service: str, page: str) -> Secret:
    """Find the key for a service.

    Parameters
    ----------
    given : Secret or None
        What the user passed; it wins over the environment, Colab's secrets and the keyring.
    variable : str
        The environment variable, which is also the name among Colab's secrets and in the keyring (service "diarnb").
    service, page : str
        Its name, and where one gets a key; for the message.

    Raises
    ------
    MissingApiKeyError
        There is none.
    ConfigurationError
        What there is cannot be a key.
    """
    if found := look_for_key(variable) if given is None else _clean_key(given):
        return found
    raise MissingApiKeyError(
        f"There is no key for {service}; nothing was read or sent. Get one at {page}, and put it into the environment "
        f"variable {variable} (in Colab: its secrets), or pass api_key=…"
    )


def look_for_key(variable: str) -> Secret | None:
    """Look for a key in the environment, Colab's secrets and the keyring; None where there is none.

    Raises
    ------
    ConfigurationError
        What there is cannot be a key.
    """
    found = os.environ.get(variable)
    if found is not None:
        return _clean_key(Secret(found, variable))
    for source, look in (("Colab's secrets", _from_colab), ("the keyring", _from_keyring)):
        if found := look(variable):
            return _clean_key(Secret(found, f"{variable} in {source}"))
    return None


def _from_colab(name: str) -> str | None:
    if "google.colab" not in sys.modules:
        return None
    try:
        value = import_module("google.colab.userdata").get(name)
    except Exception:  # not there, or not granted to this notebook; its errors are its own classes
        return None
    return value if isinstance(value, str) else None


def _from_keyring(name: str) -> str | None:
    try:
        value = import_module("keyring").get_password("diarnb", name)
    except Exception:  # not installed, or there is no keyring to open
        return None
    return value if isinstance(value, str) else None


def _clean_key(key: Secret) -> Secret:
    value = key.reveal()
    clean = value.strip()
    if not clean:
        raise ConfigurationError(f"The key from {key.source} is empty; put the key there, or leave it out.")
    if clean.lower().startswith(("bearer ", "token ")):
        raise ConfigurationError(f"The key from {key.source} begins with a word; give the key alone, without 'Bearer'.")
    if not clean.isascii() or not clean.isprintable() or " " in clean:
        raise ConfigurationError(f"The key from {key.source} holds characters that no key has; copy it again.")
    return Secret(clean, key.source)
