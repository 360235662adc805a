"""How a speaker is shown: names are untrusted text, and a colour belongs to a speaker wherever it is drawn."""

from __future__ import annotations

import re

# Invisible, yet at home in names: joiners in Persian, Hindi and emoji, the wide space in Japanese, the no-break space.
_INNOCENT = "\u200c\u200d\u3000\u00a0"


def visible(text: object, *, limit: int = 24) -> str:
    r"""Make text from outside safe to show on one line: nothing hidden, nothing that reorders it, nothing endless.

    Parameters
    ----------
    text : object
        A speaker's name, a title; anything else is turned into text first.
    limit : int, default 24
        The most characters; a longer text loses its middle, because machine-made names differ at their ends.

    Returns
    -------
    str
        Control characters, line breaks and bidirectional overrides are written as escapes; blank text is quoted.

    Examples
    --------
    >>> visible("Beth\u202egnp.exe")
    'Beth\\u202egnp.exe'
    """
    shown = "".join(c if c.isprintable() or c in _INNOCENT else escaped(c) for c in str(text))
    if not shown.strip():
        shown = f'"{shown}"'
    if len(shown) > limit:
        tail = limit // 3
        shown = f"{shown[: limit - tail - 1]}…{shown[-tail:]}"
    return shown


def escaped(character: str) -> str:
    r"""Write a character as Python source would, e.g. ``\n`` or ``\u202e``.

    Examples
    --------
    >>> print(escaped("\n"))
    \n
    """
    return character.encode("unicode_escape").decode("ascii")


def printable(text: str) -> str:
    r"""Show control characters and undecodable bytes of a name as escapes, so that no terminal obeys them.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shortened(text: str, length: int = 100) -> str:
    """Cut the middle out of a long name, so that a message stays readable.

    Parameters
    ----------
    text : str
    length : int, default 100

    Returns
    -------
    str
    """
    shown = printable(text)
    return shown if len(shown) <= length else f"{shown[: length // 2 - 1]}…{shown[-(length // 2) :]}"


def public_url(url: str) -> str:
    """Show a URL without user name, password, query and fragment, which may be secrets.

    Parameters
    ----------
    url : str

    Returns
    -------
    str

    Examples
    --------
    >>> public_url("https://me:pw@host.org/talk.wav?sig=1")
    'https://host.org/talk.wav'
    """
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.split("?")[0].split("#")[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def without_queries(text: str) -> str:
    """Take user names, passwords and queries from every address in a text.

    Examples
    --------
    >>> without_queries("see https://me:pw@host.org/talk.wav?sig=1, please")
    'see https://host.org/talk.wav please'
    """
    return re.sub(r"(\w+://)(?:[^\s/@\"']*@)?([^\s?\"'<>]*)(?:\?[^\s\"'<>]*)?", r"\1\2", text)
