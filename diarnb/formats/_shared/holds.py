"""What a format holds of a table, as the tables of the documentation show it."""

from __future__ import annotations

from typing import NamedTuple


class Holds(NamedTuple):
    """What comes back of a table that is written to a format and read again.

    Attributes
    ----------
    times : str
        ``exact`` or ``1 ms``.
    names : str
        ``any``, ``a word`` (spaces become underscores) or ``-``.
    text : bool or str
    confidence : str
        ``yes``, ``of words`` or ``-``.
    words : str
        ``yes``, ``only`` or ``-``: whether a table of words comes back as one.
    also : str
    """

    times: str
    names: str = "any"
    text: bool | str = False
    confidence: str = "-"
    words: str = "-"
    also: str = ""
