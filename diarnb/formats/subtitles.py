"""Subtitles for viewers: short cues of whole phrases, of words that know their times."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.formats._shared.names import add_name
from diarnb.formats._shared.text import write_text
from diarnb.formats._shared.times import format_clock
from diarnb.formats._shared.words import list_rows
from diarnb.results import words as words_of
from diarnb.transcripts.clauses import ends_clause, ends_sentence
from diarnb.transcripts.words import check_words, group_utterances

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd

    from diarnb.transcripts.words import Word

WIDTH, LINES, RATE = 42, 2, 17.0  # characters of a line, lines, characters a second
_SHORTEST = 0.7  # seconds for which a cue is seen
_ALONE = 4.0  # cost of a word that is alone
_BREAK = (3.0, 1.0, 0.0)  # of a break inside a clause, behind a comma, behind a sentence


class Cue(NamedTuple):
    """What is shown together."""

    start: float
    end: float
    speaker: str
    lines: list[list[Word]]
    named: bool

    @property
    def size(self) -> int:
        """Characters that are read."""
        return sum(len(_join(line)) for line in self.lines)


def write_subtitles(turns: pd.DataFrame, path: str | os.PathLike[str], *, karaoke: bool = False) -> None:
    """Write subtitles by the usual rules, from words: two lines of 42 characters, and time to read them.

    `diarnb.write` keeps each row as it is, for programs that read it again; this is for people who watch. A cue is a
    phrase of one speaker: it ends with a sentence or clause where it can, has no word alone where there are others, and
    stays for a second for each 17 characters where the next leaves it the time. Of two who speak at once the second
    follows. Who speaks is named where that changes.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarnb.diarize` returned with words; or a table of words, as `diarnb.words` gives it.
    path : str or path
        ``.srt``, or ``.vtt``, in which every cue bears its voice as well (``<v Maya>``).
    karaoke : bool, default False
        Of ``.vtt``: give each word its time within the cue.

    Raises
    ------
    InvalidParameterError
        If the suffix is another, or `karaoke` is wanted of ``.srt``.
    TurnTableError
        If there are no words with times.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from diarnb.formats import read_words
    >>> words = read_words(example("interview").with_suffix(".words.csv"))
    >>> write_subtitles(words, "interview.srt")
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".srt", ".vtt"):
        raise InvalidParameterError(f"subtitles are .srt or .vtt, not {path.name!r:.80}")
    if karaoke and suffix == ".srt":
        raise InvalidParameterError("karaoke=True is for .vtt: an .srt has no times for words")
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name} to")
    cues = make_cues(turns, labels=suffix == ".srt")
    if suffix == ".srt":
        text = "\n".join(_write_srt(number, cue) for number, cue in enumerate(cues, start=1))
    else:
        text = "".join(["WEBVTT\n", *(_write_vtt(cue, karaoke=karaoke) for cue in cues)])
    whole = path.with_name(f".{path.name}.part")
    try:
        write_text(whole, text)
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


def make_cues(turns: pd.DataFrame, *, labels: bool = True) -> list[Cue]:
    """Make cues of the words of a table, by time; no two are shown at once. With labels there is room for names."""
    table = turns if "word" in turns else words_of(turns)
    known = check_words(table) if len(table) else []
    if not known:
        raise TurnTableError("subtitles need words with times: diarnb.diarize(source, words=True) transcribes them")
    # What `check_words` leaves out is taken from the same rows: it drops those without letters, and sorts as this does.
    speakers = {(row["start"], row["end"], str(row.get("text") or row.get("word")).strip()): row.get("speaker")
                for row in list_rows(table)}  # fmt: skip
    said = [
        {"channel": 0, **word, "speaker": speakers.get((word["start"], word["end"], word["text"]))} for word in known
    ]
    groups = group_utterances(said)
    spans = [(group[0]["start"], max(word["end"] for word in group)) for group in groups]
    phrases = []
    for group, (first, last) in zip(groups, spans, strict=True):
        label = len(add_name(group[0]["speaker"], "")) + 1 if labels and group[0]["speaker"] else 0
        interrupted = sum(start < last and end > first for start, end in spans) > 1  # then any of its cues may have one
        phrases += _cut(group, label, len(group) if interrupted else 1)
    phrases.sort(key=lambda lines: (lines[0][0]["start"], lines[-1][-1]["end"]))
    cues: list[Cue] = []
    before = 0.0  # when the last words of the cue before end
    for lines in phrases:
        speaker = lines[0][0]["speaker"] or "?"
        size = sum(len(_join(line)) for line in lines)
        last = cues[-1] if cues else None
        named = last is None or last.speaker != speaker
        start = lines[0][0]["start"]
        spoken = max(word["end"] for line in lines for word in line)
        if last is not None and start < last.end:  # the one before gives way as soon as it is said, or can be read
            readable = last.start + max(last.size / RATE, _SHORTEST)
            start = max(start, last.start + _SHORTEST, min(before, readable))
            cues[-1] = last._replace(end=min(last.end, start))
        cues.append(Cue(start, max(spoken, start + max(size / RATE, _SHORTEST)), speaker, lines, named))
        before = spoken
    return cues


def _cut(words: list[Word], label: int, labelled: int) -> list[list[list[Word]]]:
    """Cut an utterance into cues, and these into lines, at the least cost: breaks behind clauses, no word alone.

    Lines that begin with one of the first `labelled` words have so many characters less.
    """
    lines = _cheapest(len(words), lambda first, last: _price_line(words, first, last, label * (first < labelled)))
    spans = [words[first:last] for first, last in lines]
    cues = _cheapest(len(spans), lambda first, last: _price_cue(spans[first:last]))
    return [spans[first:last] for first, last in cues]


def _cheapest(count: int, price: Callable[[int, int], float | None]) -> list[tuple[int, int]]:
    """Return the cheapest way to cut a sequence into spans; None ends what a span may hold."""
    best = [0.0] + [math.inf] * count
    came = [0] * (count + 1)
    for first in range(count):
        for last in range(first + 1, count + 1):
            cost = price(first, last)
            if cost is None:
                break
            if best[first] + cost < best[last] - 1e-9:
                best[last], came[last] = best[first] + cost, first
    spans, last = [], count
    while last:
        spans.append((came[last], last))
        last = came[last]
    return spans[::-1]


def _price_break(word: Word) -> float:
    return _BREAK[2 if ends_sentence(word["text"]) else 1 if ends_clause(word["text"]) else 0]


def _price_line(words: list[Word], first: int, last: int, label: int) -> float | None:
    size = len(_join(words[first:last])) + label
    if size > WIDTH and last > first + 1:
        return None
    alone = _ALONE if last == first + 1 and len(words) > 1 else 0.0
    final = last == len(words)
    return 1.0 + alone + (0.0 if final else _price_break(words[last - 1])) + ((WIDTH - min(size, WIDTH)) / WIDTH) ** 2


def _price_cue(lines: list[list[Word]]) -> float | None:
    if len(lines) > LINES:
        return None
    alone = _ALONE if sum(map(len, lines)) == 1 else 0.0
    inside = 2.0 * sum(ends_sentence(line[-1]["text"]) for line in lines[:-1])
    return 1.0 + alone + inside + _price_break(lines[-1][-1])


def _join(words: list[Word]) -> str:
    return " ".join(word["text"] for word in words)


def _write_srt(number: int, cue: Cue) -> str:
    text = "\n".join(_join(line) for line in cue.lines)
    text = add_name(cue.speaker, text) if cue.named and cue.speaker != "?" else text
    return f"{number}\n{format_clock(cue.start, ',')} --> {format_clock(cue.end, ',')}\n{text}\n"


def _write_vtt(cue: Cue, *, karaoke: bool) -> str:
    def write(word: Word) -> str:
        text = html.escape(word["text"], quote=False)
        inside = karaoke and cue.start < word["start"] < cue.end
        return f"<{format_clock(word['start'], '.')}>{text}" if inside else text

    text = "\n".join(" ".join(map(write, line)) for line in cue.lines)
    voiced = f"<v {html.escape(cue.speaker, quote=False)}>{text}</v>" if cue.speaker != "?" else text
    return f"\n{format_clock(cue.start, '.')} --> {format_clock(cue.end, '.')}\n{voiced}\n"
