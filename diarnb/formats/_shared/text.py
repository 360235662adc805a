"""Text in and out, as the formats of lines and cues share it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diarnb.formats._shared.times import check_span, parse_clock

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_EDGES = ' .,;:!?…"“”„«»()[]¿¡—–'


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, as it is on every system."""
    path.write_text(text, encoding="utf-8", newline="")


def list_texts(turns: pd.DataFrame) -> list[str]:
    """List what is said in each row, which is nothing where the table does not tell."""
    if "text" not in turns:
        return [""] * len(turns)
    return ["" if gone else str(text) for text, gone in zip(turns["text"], turns["text"].isna(), strict=True)]


def join_lines(text: str) -> str:
    """Join the lines of a text."""
    return re.sub(r"\s*[\r\n]\s*", " ", text.strip())


def strip_word(word: str) -> str:
    """Write a word as scorers compare it: in lower case, without what punctuates it.

    Examples
    --------
    >>> strip_word("Hello,"), strip_word("don't")
    ('hello', "don't")
    """
    return word.strip(_EDGES).lower()


def parse_cue_times(line: str) -> tuple[float, float]:
    """Read ``00:00:01,000 --> 00:00:02,500``, and whatever stands behind it."""
    begin, _, rest = line.partition("-->")
    if ":" not in begin or ":" not in rest:
        raise ValueError("it has no times")
    return check_span(parse_clock(begin), parse_clock((rest.split() or [""])[0]))
