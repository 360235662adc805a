"""How a speaker is shown: names are untrusted text, and a colour belongs to a speaker wherever it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#7A7A7A")
"""Okabe and Ito's colours, told apart by colour-blind readers too; a mid grey for black, to be seen on dark pages."""

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


def speaker_colors(speakers: Iterable[str]) -> dict[str, str]:
    """Give each speaker a colour, in the order in which they come; the ninth shares that of the first.

    The order of first appearance makes a colour outlast a renaming, which an alphabetical one would not.

    Examples
    --------
    >>> speaker_colors(["Beth", "Alf"])
    {'Beth': '#0072B2', 'Alf': '#E69F00'}
    """
    return {speaker: PALETTE[place % len(PALETTE)] for place, speaker in enumerate(speakers)}
