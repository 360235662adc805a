"""Turns to files and back, one module a format.

A format is a module with ``load(path) -> DataFrame`` and ``dump(turns, path)``, and a line in `FORMATS`. `dump` gets a
checked table, and a path of the final name that nobody sees before it is whole; what the format cannot hold it reports
with a `DiarnbWarning`. What `load` gives is checked here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from diarnb._checks import check_turns
from diarnb.errors import InvalidParameterError
from diarnb.formats import rttm, table

if TYPE_CHECKING:
    import os

    import pandas as pd


class Format(Protocol):
    """What a module of a format has."""

    def load(self, path: Path, /) -> pd.DataFrame:
        """Read a file."""

    def dump(self, turns: pd.DataFrame, path: Path, /) -> None:
        """Write a file."""


FORMATS: dict[str, Format] = {".csv": table, ".rttm": rttm}
"""The formats by the suffix of their files."""


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read turns from a file.

    Parameters
    ----------
    path : str or path
        A ``.csv`` or ``.rttm`` file.

    Returns
    -------
    pandas.DataFrame
        A table of turns; with a column ``uri`` where the file holds several recordings.

    Raises
    ------
    InvalidParameterError
        If the suffix is of no known format.
    TurnTableError
        If the content is no table of turns.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> sorted(read(example("meeting").with_suffix(".rttm"))["speaker"].unique())
    ['Fergus', 'Maya', 'Otto', 'Victor']
    """
    path = Path(path)
    return check_turns(_format_of(path).load(path), name=path.name)


def write(turns: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write turns to a file, which is replaced as a whole if it exists.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker.
    path : str or path
        Ends in ``.csv``, which keeps every column and every digit, or in ``.rttm``.

    Raises
    ------
    InvalidParameterError
        If the suffix is of no known format.
    TurnTableError
        If this is no table of turns.
    OSError
        If the file cannot be written; one that was there is as it was.

    Warns
    -----
    DiarnbWarning
        If the format cannot hold all that is in the table.

    Examples
    --------
    >>> write(read(example("meeting").with_suffix(".rttm")), "meeting.csv")
    """
    path = Path(path)
    form, turns = _format_of(path), check_turns(turns)
    target = path.resolve()  # a link stays one
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name} to")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".diarnb-") as folder:
        whole = Path(folder) / path.name
        form.dump(turns, whole)
        whole.replace(target)


def _format_of(path: Path) -> Format:
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        known = ", ".join(sorted(FORMATS))
        raise InvalidParameterError(f"{path.name!r:.80} is of no known format; a file of turns ends in one of {known}")
    return form
