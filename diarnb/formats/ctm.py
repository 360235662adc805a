"""CTM, words: ``uri channel start duration word confidence type speaker``, of which the last three may be missing.

The plain word is written, not its punctuated form, because this is what scorers of words read; and 1.00 where there is
no confidence, because they accept nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import format_length, join_names, list_places, make_table, parse_times, read_rows
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.text import strip_word, write_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "words of evaluations; turns if they have speakers"
HOLDS = Holds("1 ms", "a word", confidence="of words", words="only", also="channel, uri")

_SHAPE = "uri channel start duration word [confidence [type [speaker]]]"
_NOBODY = "<NA>"


def load(reading: Reading) -> pd.DataFrame:
    """Read words; of alternatives the first."""
    rows, _ = read_rows(reading, "CTM", _SHAPE, _Words().read_row)
    return make_table(rows, ["start", "end", "word", "speaker", "confidence", "channel", "uri"], reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write words."""
    if "word" not in turns:
        raise TurnTableError("CTM holds words, but this table has none; write diarnb.words(turns)")
    nobody = turns["speaker"].isna()
    speakers = turns["speaker"].where(~nobody, _NOBODY)
    names = join_names(speakers)
    scores = turns["confidence"] if "confidence" in turns else [math.nan] * len(turns)
    words = turns["word"].fillna("").astype(str)
    rows = zip(*list_places(turns, path), turns["start"], turns["end"], words, scores, speakers, strict=True)
    lines = []
    for uri, channel, start, end, word, score, speaker in rows:
        token = "_".join(filter(None, map(strip_word, word.split()))) or "@"  # the scorers' sign for no word
        sure = "1.00" if score != score else f"{score!r}"
        lines.append(f"{uri} {channel} {start:.3f} {format_length(start, end)} {token} {sure} lex {names[speaker]}\n")
    write_text(path, "".join(lines))


class _Words:
    """Reads lines of words; within alternatives, which stand between lines with ``*`` for times, only the first."""

    def __init__(self) -> None:
        self.alternative = 0

    def read_row(self, fields: list[str]) -> tuple[object, ...] | None:
        if fields[2] == "*":
            marks = {"<ALT_BEGIN>": 1, "<ALT>": self.alternative + 1, "<ALT_END>": 0}
            if fields[4] not in marks:
                raise ValueError("no mark of alternatives")
            self.alternative = marks[fields[4]]
            return None
        if self.alternative > 1:
            return None
        start, end = parse_times(fields[2], duration=fields[3])
        score = fields[5] if len(fields) > 5 else "NA"
        speaker = fields[7] if len(fields) > 7 and fields[7] not in (_NOBODY, "null", "unknown") else None
        word = "" if fields[4] == "@" else fields[4]
        confidence = math.nan if score in ("NA", "<NA>") else float(score)
        return start, end, word, speaker, confidence, fields[1], fields[0]
