"""Praat's TextGrid: a tier for each speaker, an interval for each turn, with its text, or where it has none the name.

An interval without a label is silence, and one labelled as its tier is a turn without text. Long and short files are
read, in UTF-8 and UTF-16, and binary ones; long ones are written. Tiers of points are skipped.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Protocol

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import make_table
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.text import list_texts, write_text
from diarnb.formats._shared.tiers import Tier, arrange_tiers, choose_rows

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "Praat: each interval tier is a speaker, each labelled interval a turn; `tiers=` and `labels=` override"
HOLDS = Holds("exact", text=True, also="no turn without length")

# Praat reads texts in quotes, numbers and flags that stand free, and takes all else for explanation: so `xmin = 0` and
# `0` are the same, and a long file and a short one.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|<(exists|absent)>|(?<!\S)!.*')
_BINARY = b"ooBinaryFile"
_LONG_TEXT = 0xFFFF  # stands for the length of a binary text that is in UTF-16


class _Tokens(Protocol):
    """The parts of a file, one after the other, each of the kind that is wanted."""

    def kind(self) -> str: ...
    def string(self) -> str: ...
    def number(self) -> float: ...
    def count(self) -> int: ...
    def flag(self) -> bool: ...
    def check_end(self) -> None: ...


class _Text:
    """Those of a text file."""

    def __init__(self, reading: Reading) -> None:
        self._name, self._text = reading.name, reading.read_text("TextGrid")
        self._found = (token for token in _TOKEN.finditer(self._text) if token.lastindex)
        if not self._text.lstrip().startswith(("File type", '"ooTextFile"')):
            raise TurnTableError(f"{self._name} is no TextGrid: it begins with {self._text[:40]!r}")
        self.string()

    def _next(self, kind: int, wanted: str) -> str:
        token = next(self._found, None)
        if token is None or token.lastindex != kind:
            raise self._refuse(token, wanted)
        return token[kind]

    def _refuse(self, token: re.Match[str] | None, wanted: str) -> TurnTableError:
        line = 1 + self._text.count("\n", 0, len(self._text) if token is None else token.start())
        found = "the end" if token is None else f"{token[0]!r:.60}"
        return TurnTableError(f"{self._name}, line {line}: expected {wanted} in a TextGrid, found {found}")

    def string(self) -> str:
        return self._next(1, "text in quotes").replace('""', '"')

    kind = string

    def number(self) -> float:
        return float(self._next(2, "a number"))

    def count(self) -> int:
        return int(self.number())

    def flag(self) -> bool:
        return self._next(3, "<exists> or <absent>") == "exists"

    def check_end(self) -> None:
        """Refuse a file that goes on, for it announces less than it holds."""
        token = next(self._found, None)
        if token is not None:
            raise self._refuse(token, "the end, after as many tiers as are announced,")


class _Bytes:
    """Those of a binary file."""

    def __init__(self, reading: Reading) -> None:
        self._name, self._content, self._at = reading.name, reading.read_bytes(), len(_BINARY)

    def _take(self, length: int) -> bytes:
        piece = self._content[self._at : self._at + length]
        if len(piece) < length:
            raise TurnTableError(
                f"{self._name} is a binary TextGrid that is cut off after {len(self._content):,} bytes"
            )
        self._at += length
        return piece

    def kind(self) -> str:
        return self._take(self._take(1)[0]).decode("latin-1")

    def string(self) -> str:
        (length,) = struct.unpack(">H", self._take(2))
        if length != _LONG_TEXT:
            return self._take(length).decode("latin-1")
        (length,) = struct.unpack(">H", self._take(2))
        return self._take(2 * length).decode("utf-16-be", errors="replace")

    def number(self) -> float:
        value: float = struct.unpack(">d", self._take(8))[0]
        return value

    def count(self) -> int:
        value: int = struct.unpack(">i", self._take(4))[0]
        return value

    def flag(self) -> bool:
        return self._take(1) == b"\1"

    def check_end(self) -> None:
        if self._at != len(self._content):
            raise TurnTableError(f"{self._name} is a binary TextGrid that goes on after the tiers that it announces")


def load(reading: Reading) -> pd.DataFrame:
    """Read the turns of the tiers of intervals that are speakers."""
    with reading.path.open("rb") as file:
        binary = file.read(len(_BINARY)) == _BINARY
    tokens: _Tokens = _Bytes(reading) if binary else _Text(reading)
    if tokens.kind() != "TextGrid":
        raise TurnTableError(f"{reading.name} holds something else of Praat's than a TextGrid")
    tokens.number(), tokens.number()
    tiers = [_read_tier(tokens, reading) for _ in range(tokens.count() if tokens.flag() else 0)]
    tokens.check_end()
    rows = choose_rows([tier for tier in tiers if tier is not None], reading)
    return make_table(rows, ["start", "end", "speaker", "text"], reading)


def _read_tier(tokens: _Tokens, reading: Reading) -> Tier | None:
    kind = tokens.kind()
    if kind not in ("IntervalTier", "TextTier"):
        raise TurnTableError(f"{reading.name} has a tier of the unknown class {kind!r:.60}")
    tier = Tier(tokens.string().strip() if kind == "TextTier" else tokens.string())
    tokens.number(), tokens.number()
    for _ in range(tokens.count()):
        start = tokens.number()
        end = tokens.number() if kind == "IntervalTier" else start
        label = tokens.string().strip()
        if label:
            tier.pieces.append((start, end, tier.name if label == tier.name.strip() else label))
    return tier if kind == "IntervalTier" else None


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write tiers."""
    tiers = arrange_tiers(zip(turns["start"], turns["end"], turns["speaker"], list_texts(turns), strict=True))
    facts = turns.attrs.get("diarnb") or {}
    last = max([facts.get("duration") or 0.0, *turns["end"]]) or 1.0  # Praat has no TextGrid without length
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {last!r}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for place, (speaker, pieces) in enumerate(tiers, start=1):
        intervals = []
        until = 0.0
        for start, end, text in [*pieces, (last, last, "")]:
            if start > until:
                intervals.append((until, start, ""))
            if end > start:
                intervals.append((start, end, next(filter(str.strip, (text, speaker)), "_")))
            until = end
        lines += [f"    item [{place}]:", '        class = "IntervalTier"', f"        name = {_quote(speaker)}"]
        lines += ["        xmin = 0", f"        xmax = {last!r}", f"        intervals: size = {len(intervals)}"]
        for number, (start, end, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{number}]:", f"            xmin = {start!r}", f"            xmax = {end!r}"]
            lines += [f"            text = {_quote(label)}"]
    write_text(path, "\n".join([*lines, ""]))


def _quote(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""'))
