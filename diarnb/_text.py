"""Text for people: names from outside made safe to show, times on a clock, and what a misspelt name may have meant."""

from __future__ import annotations

import math
import re
import sys
from difflib import get_close_matches
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What people try first who know other libraries.
_RECORDING = 'diarnb.diarize("talk.wav") takes a recording, diarnb.read("talk.rttm") a file of turns'
_PLAY = "diarnb.player(turns) plays a recording with its turns, diarnb.clip(turns, 0, 10) a part of it"
_ONE_OF_TWO = (
    'diarnb.rename(turns, {"SPEAKER_01": "SPEAKER_00"}) merges two speakers, diarnb.recluster'
    "(turns, num_speakers=3) decides again, and pandas.concat joins tables"
)
_WRITE = 'diarnb.write(turns, "talk.rttm") writes turns; the suffix decides the format'
_MEANT = {
    "load": _RECORDING,
    "open": _RECORDING,
    "run": _RECORDING,
    "process": _RECORDING,
    "transcribe": 'diarnb.diarize("talk.wav", words="whisper") also transcribes, diarnb.words(turns) lists the words',
    "play": _PLAY,
    "listen": _PLAY,
    "plot": "diarnb.timeline(turns) draws who speaks when",
    "draw": "diarnb.timeline(turns) draws who speaks when",
    "show": "turns.diar.show() lists the turns, diarnb.timeline(turns) draws them, diarnb.player(turns) plays them",
    "merge": _ONE_OF_TWO,
    "relabel": 'diarnb.rename(turns, {"SPEAKER_00": "Beth"}) names speakers',
    "save": _WRITE,
    "export": _WRITE,
    "der": "diarnb.score(reference, hypothesis) has DER, its parts and JER",
    "evaluate": "diarnb.score(reference, hypothesis) has DER, its parts and JER",
    "edit": "diarnb.player(turns) lets you correct turns with mouse and keyboard",
}

_CALLED = {
    "analysis": "diarnb.analysis.summary(turns) summarizes each recording, diarnb.speakers(turns) each speaker",
    "batch": "diarnb.diarize_many(files) diarizes many recordings",
    "cloud": 'diarnb.diarize("talk.wav", engine="pyannoteai") asks a service',
    "formats": f'{_WRITE}, and diarnb.read("talk.rttm") reads them',
    "metrics": "diarnb.score(reference, hypothesis) has DER, its parts and JER",
    "plot": "diarnb.timeline(turns) draws who speaks when",
}
"""What people mean who call a module."""

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
    shown = "".join(c if c.isprintable() or c in _INNOCENT else escape(c) for c in str(text))
    if not shown.strip():
        shown = f'"{shown}"'
    if len(shown) > limit:
        tail = limit // 3
        shown = f"{shown[: limit - tail - 1]}…{shown[-tail:]}"
    return shown


def escape(character: str) -> str:
    r"""Write a character as Python source would, e.g. ``\n`` or ``\u202e``.

    Examples
    --------
    >>> print(escape("\n"))
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


def shorten(text: str, length: int = 100) -> str:
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


def strip_queries(text: str) -> str:
    """Take user names, passwords and queries from every address in a text.

    Examples
    --------
    >>> strip_queries("see https://me:pw@host.org/talk.wav?sig=1, please")
    'see https://host.org/talk.wav please'
    """
    return re.sub(r"(\w+://)(?:[^\s/@\"']*@)?([^\s?\"'<>]*)(?:\?[^\s\"'<>]*)?", r"\1\2", text)


def suggest(name: object, known: Iterable[str], otherwise: str = "", *, show: Callable[[str], str] = repr) -> str:
    """Ask whether a name that is not known was meant to be one that is.

    Parameters
    ----------
    name : object
        What was given; upper and lower case are not told apart.
    known : iterable of str
    otherwise : str, default ""
        What to say where nothing is near.
    show : callable, default repr
        How a name is written.

    Returns
    -------
    str

    Examples
    --------
    >>> suggest("sphynx", ["sphinx", "whisper"])
    "did you mean 'sphinx'?"
    """
    names = {each.lower(): each for each in known}
    close = get_close_matches(str(name).lower(), names, n=1)
    return f"did you mean {show(names[close[0]])}?" if close else otherwise


def explain(name: str, known: Iterable[str]) -> str:
    """Return a sentence on what a name that does not exist may have meant, with a leading colon; "" if nothing is near.

    Examples
    --------
    >>> explain("to_rttm", [])
    ': diarnb.write(turns, "talk.rttm") writes turns; the suffix decides the format'
    >>> explain("diarise", ["diarize", "rename"])
    ': did you mean diarize?'
    """
    head, _, tail = name.partition("_")
    if tail and head in {"to", "save", "write", "export"}:
        meant = _WRITE.replace(".rttm", f".{tail.lower()}")
    elif tail and head in {"from", "load", "read"}:
        meant = f'diarnb.read("talk.{tail.lower()}") reads turns; the suffix decides the format'
    else:
        meant = _MEANT.get(name.lower()) or suggest(name, known, show=str)
    return f": {meant}" if meant else ""


class _Uncalled(ModuleType):
    """A module that says what whoever calls it may have meant."""

    def __call__(self, *_: object, **__: object) -> None:
        raise TypeError(f"{self.__name__} is a module: {_CALLED[self.__name__.rpartition('.')[2]]}")


def refuse_call(name: str) -> None:
    """Let a module say what to call in its place; called by itself, with its ``__name__``."""
    sys.modules[name].__class__ = _Uncalled


def clock(seconds: float, *, decimals: int = 0, hours: bool | None = None, pad: int = 1, point: str = ".") -> str:
    """Write a time as a clock shows it.

    Parameters
    ----------
    seconds : float
        What is not finite becomes ``?``.
    decimals : int, default 0
        Digits of the fraction, which is rounded to them; without any it is cut off.
    hours : bool, optional
        Whether to write hours. Default: where there are any.
    pad : int, default 1
        Least digits of the first number.
    point : str, default "."
        What stands before the fraction.

    Returns
    -------
    str

    Examples
    --------
    >>> clock(83.25), clock(83.25, decimals=1), clock(3725.25, decimals=3, pad=2, point=",")
    ('1:23', '1:23.2', '01:02:05,250')
    """
    if not math.isfinite(seconds):
        return "?"
    # By way of its digits: 0.0005 seconds and the like are then rounded as in every other format.
    whole, _, fraction = (f"{abs(seconds):.{decimals}f}" if decimals else str(int(abs(seconds)))).partition(".")
    minutes, second = divmod(int(whole), 60)
    hour, minute = divmod(minutes, 60)
    first = f"{hour:0{pad}d}:{minute:02d}" if (hour > 0 if hours is None else hours) else f"{minutes:0{pad}d}"
    return f"{'-' if seconds < 0 else ''}{first}:{second:02d}{point if fraction else ''}{fraction}"


def spell_duration(seconds: float, *, parts: int = 3) -> str:
    """Write a length of time in words.

    Parameters
    ----------
    seconds : float
    parts : int, default 3
        How many units at most; smaller ones are left out.

    Returns
    -------
    str

    Examples
    --------
    >>> spell_duration(3725), spell_duration(3725, parts=2), spell_duration(7.25)
    ('1 h 2 min 5 s', '1 h 2 min', '7.2 s')
    """
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    found = [(number, unit) for number, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if number]
    return " ".join(f"{number} {unit}" for number, unit in found[:parts])
