"""One reading of a file: what was asked of it, what there is to tell about it, and which rows were passed over."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from diarnb._text import visible
from diarnb.errors import TurnTableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LARGEST = 256 * 2**20
"""Bytes, packed or unpacked: ten thousand hours of turns, and nothing that a memory cannot hold."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass
class Reading:
    """A file that is being read.

    Attributes
    ----------
    path : Path
    tiers, labels, speakers
        As `diarnb.read` takes them.
    remarks : list of str
        What was taken for what, each in a clause.
    skipped : list of str
        Why rows were passed over, one a row.
    """

    path: Path
    tiers: tuple[str, ...] | None = None
    labels: Literal["speaker", "text"] | None = None
    speakers: Literal[False] | tuple[str, ...] | None = None
    remarks: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def read_bytes(self) -> bytes:
        """Read the content, unpacked where it is packed.

        Raises
        ------
        TurnTableError
            If it is more than a table of turns can be, or no gzip though it is called so.
        """
        size = self.path.stat().st_size
        if size > LARGEST:
            raise TurnTableError(
                f"{self.name} is too large for a table of turns: {size:,} bytes, of {LARGEST:,} at most"
            )
        content = self.path.read_bytes()
        if self.path.suffix.lower() != ".gz":
            return content
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise TurnTableError(f"{self.name} cannot be unpacked: {error!s:.100}") from error
        if len(content) > LARGEST:
            raise make_size_error(self.name, len(content))
        return content

    def read_text(self, kind: str, *, foreign: bool = False) -> str:
        """Read the content as text in UTF-8, or in UTF-16 with its mark; line ends stay as they are.

        Parameters
        ----------
        kind : str
            What the file should be, for messages.
        foreign : bool, default False
            Whether what is neither may be Windows-1252, as Excel saves it in western Europe, which is told.
        """
        content = self.read_bytes()
        try:
            return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
        except UnicodeDecodeError as error:
            text = _decode_windows(content) if foreign else None
            if text is None:
                raise TurnTableError(f"{self.name} is no {kind}: it is not text in UTF-8 or UTF-16") from error
        self.remarks.append("it is not UTF-8, and was read as Windows-1252")
        return text

    def read_lines(self, kind: str) -> list[str]:
        """Read the lines, whatever ends them."""
        return self.read_text(kind).replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def skip(self, place: str, cause: object) -> None:
        """Pass over a row, and remember why."""
        self.skipped.append(f"{place}: {cause}")

    def check_sound(self, rows: int) -> None:
        """Refuse a file of which more is passed over than kept; else count what was, with the first cause.

        Parameters
        ----------
        rows : int
            How many are kept.
        """
        if not self.skipped:
            return
        if len(self.skipped) > rows:
            count = f" (and {len(self.skipped) - 1} more)" if len(self.skipped) > 1 else ""
            raise TurnTableError(f"{self.name}, {self.skipped[0]}{count}")
        total = rows + len(self.skipped)
        self.remarks.append(
            f"{len(self.skipped)} of {total} rows are damaged and left out, the first in {self.skipped[0]}"
        )
        self.skipped.clear()


def make_size_error(name: str, size: int) -> TurnTableError:
    """Make the error for a file that cannot be a table of turns."""
    return TurnTableError(f"{name} is too large for a table of turns: {size:,} bytes, of {LARGEST:,} at most")


def _decode_windows(content: bytes) -> str | None:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return None if any(ord(character) < 32 and character not in "\t\r\n" for character in text) else text


def list_names(names: Sequence[object], most: int = 6) -> str:
    """List names for a message, each made safe to show.

    Examples
    --------
    >>> list_names(["Maya", "Otto"])
    'Maya, Otto'
    """
    shown = ", ".join(visible(name, limit=40) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
