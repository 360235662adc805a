"""Praat's TextGrid: a tier for each speaker, an interval for each turn, with its text, or where it has none the name.

An interval without a label is silence, and one labelled as its tier is a turn without text. Long and short files are
read, in UTF-8 and UTF-16; long ones are written. Tiers of points are skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._fields import make_table
from diarnb.formats._text import list_texts, read_text, write_text
from diarnb.formats._tiers import arrange_tiers

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

# Praat reads texts in quotes, numbers and flags that stand free, and takes all else for explanation: so `xmin = 0` and
# `0` are the same, and a long file and a short one.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|<(exists|absent)>|(?<!\S)!.*')


class _Tokens:
    """The parts of a file, one after the other, each of the kind that is wanted."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.text = read_text(path, "TextGrid")
        self.found = (token for token in _TOKEN.finditer(self.text) if token.lastindex)

    def _next(self, kind: int, wanted: str) -> str:
        token = next(self.found, None)
        if token is None or token.lastindex != kind:
            line = 1 + self.text.count("\n", 0, len(self.text) if token is None else token.start())
            found = "the end" if token is None else f"{token[0]!r:.60}"
            raise TurnTableError(f"{self.name}, line {line}: expected {wanted} in a TextGrid, found {found}")
        return token[kind]

    def string(self) -> str:
        return self._next(1, "text in quotes").replace('""', '"')

    def number(self) -> float:
        return float(self._next(2, "a number"))

    def flag(self) -> bool:
        return self._next(3, "<exists> or <absent>") == "exists"


def load(path: Path) -> pd.DataFrame:
    """Read the turns of each tier of intervals."""
    tokens = _Tokens(path)
    if not tokens.text.lstrip().startswith(("File type", '"ooTextFile"')):
        raise TurnTableError(f"{path.name} is no TextGrid: it begins with {tokens.text[:40]!r}")
    tokens.string()
    if tokens.string() != "TextGrid":
        raise TurnTableError(f"{path.name} holds something else of Praat's than a TextGrid")
    tokens.number(), tokens.number()
    rows = []
    for _ in range(int(tokens.number()) if tokens.flag() else 0):
        intervals = tokens.string() == "IntervalTier"
        speaker = tokens.string()
        tokens.number(), tokens.number()
        for _ in range(int(tokens.number())):
            start = tokens.number()
            end = tokens.number() if intervals else start
            label = tokens.string().strip()
            if intervals and label:
                rows.append((start, end, speaker, "" if label == speaker.strip() else label))
    return make_table(rows, ["start", "end", "speaker", "text"], path)


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
