"""What was said, written for people: as text, as Markdown, as a page, in the style of screenplays or minutes."""

from __future__ import annotations

import re
from collections import Counter
from html import escape
from itertools import groupby
from string import Formatter
from typing import TYPE_CHECKING, Literal

import numpy as np

from diarnb import results
from diarnb._text import clock, suggest, visible
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.tables.colors import speaker_colors
from diarnb.transcripts import has_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd
    from IPython.display import HTML

_FIELDS = ("who", "n", "letter", "speaker", "text", "start", "end")
STYLES = {
    "deepgram": "[{who}] {text}",
    "assemblyai": "Speaker {letter}: {text}",
    "minutes": "{start} {who}: {text}",
    "screenplay": "{who}\n{text}\n",
}
_JOINED = ("minutes", "screenplay")  # in which who speaks on gets no new line
_WIDTH = 72  # characters of a line of a screenplay
_MARKS = re.compile(r"([\\`*_\[\]<>#|~])")


def transcript(
    turns: pd.DataFrame,
    style: str = "deepgram",
    *,
    format: Literal["text", "markdown", "html"] = "text",  # noqa: A002
) -> str:
    """Write a transcript, with a line or paragraph for each utterance.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarnb.diarize` returned with words, whole or in part, renamed, corrected or not: its `utterances`
        are written. For any other table with ``speaker`` and ``text``, and where a text was changed, the rows
        themselves are written.
    style : str, default "deepgram"
        ``"deepgram"`` (``[Speaker:0] Hello.``), ``"assemblyai"`` (``Speaker A: Hello.``), ``"minutes"`` (``0:00:12
        Maya: Hello.``), ``"screenplay"`` (the name on its own line). In the last two, a speaker who continues gets no
        new line. Or a format string for the lines, with the fields from the notes in braces; ``{{`` and ``}}`` stand
        for braces.
    format : {"text", "markdown", "html"}, default "text"
        Markdown has bold names and one paragraph for each utterance. HTML looks as in
        `diarnb.analysis.transcript_html`, with times if the style has them.

    Returns
    -------
    str
        In the order of the table, without rows that have no text. Names cannot break lines: unprintable characters in
        them are escaped, and so is what Markdown and HTML would interpret as markup.

    Raises
    ------
    TurnTableError
        If the table has no text or no speakers, or no times although `style` needs them.
    InvalidParameterError
        If there is no such style or format, or `style` has an unknown field.

    See Also
    --------
    diarnb.analysis.transcript_lines : the same line by line, for long documents.
    diarnb.formats.write_subtitles : subtitles for a video.

    Notes
    -----
    The fields of a style:

    - ``who``: ``Speaker:0`` for SPEAKER_00, the name if there is one, ``?`` if the speaker is unknown
    - ``n``: the speaker's number: 0 for SPEAKER_00; named speakers get the next free number, in the order of the
      table; ``?`` if unknown
    - ``letter``: the same as a letter: A for 0
    - ``speaker``: the unchanged label; empty if unknown
    - ``text``: the text, with all white space as single spaces
    - ``start``, ``end``: as h:mm:ss, without fractions of a second

    Examples
    --------
    >>> import pandas as pd
    >>> said = pd.DataFrame({"speaker": ["SPEAKER_00", "Beth"], "text": ["How are you?", "Not too bad."]})
    >>> print(transcript(said))
    [Speaker:0] How are you?
    [Beth] Not too bad.
    >>> print(transcript(said, "{n}: {text}"))
    0: How are you?
    1: Not too bad.
    >>> print(transcript(said, "screenplay"))
    SPEAKER:0
        How are you?
    <BLANKLINE>
    BETH
        Not too bad.
    """
    return "\n".join(transcript_lines(turns, style, format=format)).rstrip("\n")


def transcript_lines(
    said: pd.DataFrame,
    style: str = "deepgram",
    *,
    format: Literal["text", "markdown", "html"] = "text",  # noqa: A002
) -> Iterator[str]:
    """Write a transcript line by line, so that a long document need not be in memory.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    said, style, format
        As the ``turns``, ``style`` and ``format`` of `diarnb.transcript`.

    Yields
    ------
    str
        A line or paragraph, without its line break.

    Raises
    ------
    TurnTableError, InvalidParameterError
        As `diarnb.transcript`, before the first line.

    Examples
    --------
    >>> import pandas as pd
    >>> said = pd.DataFrame({"speaker": ["Beth"], "text": ["Not too bad."]})
    >>> list(transcript_lines(said, "{who} said: {text}"))
    ['Beth said: Not too bad.']
    """
    if format not in ("text", "markdown", "html"):
        hint = suggest(format, ["text", "markdown", "html"], 'there are "text", "markdown" and "html"')
        raise InvalidParameterError(f"there is no format {format!r:.60}; {hint}")
    parts = _parse_style(STYLES.get(style, style) if isinstance(style, str) else style)
    lines = _format_lines(_find_said(said), [name for _, name in parts])
    if style in _JOINED:
        lines = _join_speakers(lines)
    if format == "html":
        return _write_page(lines, timed=any(name in ("start", "end") for _, name in parts))
    if format == "markdown":
        return _write_markdown(lines, parts, style)
    if style == "screenplay":
        return _write_screenplay(lines)
    return ("".join(literal + line.get(name, "") for literal, name in parts) for line in lines)


def _find_said(said: pd.DataFrame) -> pd.DataFrame:
    """Return the utterances of a table of turns, unless its texts are no longer the words of its run."""
    if "start" not in said or "run" not in (getattr(said, "attrs", {}).get("diarnb") or {}):
        return said
    if not results.has_words(said):
        return said
    known = Counter(" ".join(results.words(said)["text"]).split())
    told = Counter(" ".join(said["text"].dropna().astype(str)).split()) if "text" in said else Counter()
    return said if told - known else results.utterances(said)


def _join_speakers(lines: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    for _, own in groupby(lines, key=lambda line: line["label"]):
        first, *others = own
        last = others[-1] if others else first
        times = {"end": last["end"]} if "end" in last else {}
        yield {**first, **times, "text": " ".join(line["text"] for line in (first, *others))}


def _write_screenplay(lines: Iterable[dict[str, str]]) -> Iterator[str]:
    from textwrap import fill

    for line in lines:
        yield f"{line['who'].upper()}\n{fill(line['text'], _WIDTH, initial_indent='    ', subsequent_indent='    ')}\n"


def _write_markdown(lines: Iterable[dict[str, str]], parts: list[tuple[str, str]], style: str) -> Iterator[str]:
    for line in lines:
        safe = {name: _MARKS.sub(r"\\\1", value) for name, value in line.items()}
        if style == "screenplay":
            yield f"**{safe['who'].upper()}**  \n{safe['text']}\n"
        elif style in STYLES:
            time = f"`{line['start']}` " if "start" in line else ""
            who = f"Speaker {line['letter']}" if style == "assemblyai" else safe["who"]
            yield f"{time}**{who}:** {safe['text']}\n"
        else:
            yield "".join(literal + safe.get(name, "") for literal, name in parts) + "\n"


def _write_page(
    lines: Iterable[dict[str, str]], *, timed: bool, looks: Mapping[str, str] | None = None
) -> Iterator[str]:
    yield '<div style="max-width:50em;line-height:1.4">'
    known = dict(looks or {})
    for line in lines:
        if line["label"] and line["label"] not in known:
            known = speaker_colors([*known, line["label"]]) | known
        time = f'<span style="opacity:.65;font-variant-numeric:tabular-nums">{line["start"]}</span> ' if timed else ""
        yield (
            f'<p dir="auto" style="border-inline-start:4px solid {known.get(line["label"], "#7A7A7A")};margin:.35em 0;'
            f'padding-inline-start:.6em">{time}<b><bdi>{escape(line["who"])}</bdi></b> '
            f"<bdi>{escape(line['text'])}</bdi></p>"
        )
    yield "</div>"


def transcript_html(table: pd.DataFrame, *, colors: Mapping[str, str] | None = None) -> HTML:
    """Show a transcript in a notebook, one paragraph for each utterance or turn, in the speakers' colours.

    Parameters
    ----------
    table : pandas.DataFrame
        As for `transcript`; the time of each line is shown if the table has ``start``.
    colors : mapping of str to color, optional
        CSS colours for some or all speakers, such as ``{"Beth": "#0072B2"}``. Default: those of `diarnb.timeline`,
        which follow the order of the speakers in the table.

    Returns
    -------
    IPython.display.HTML
        A notebook displays it; ``.data`` is the HTML text, which you can write to a file. All names and texts are
        escaped.

    Raises
    ------
    TurnTableError
        If the table has no text or no speakers.
    InvalidParameterError
        If a colour is not a name or a hexadecimal number.

    Examples
    --------
    >>> import pandas as pd
    >>> page = transcript_html(pd.DataFrame({"speaker": ["Beth"], "text": ["1 < 2 & 3"]}))
    >>> "1 &lt; 2 &amp; 3" in page.data
    True
    """
    from IPython.display import HTML

    _check_said(table)
    for color in (colors or {}).values():
        if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]+", color):
            raise InvalidParameterError(f"{color!r:.60} is not a colour for a page; use one like '#0072B2' or 'teal'")
    names = dict.fromkeys(str(name) for name in table["speaker"] if has_text(name))
    looks = speaker_colors(names) | dict(colors or {})
    timed = "start" in table
    lines = _format_lines(table, ["start"] if timed else [])
    page = "\n".join(_write_page(lines, timed=timed, looks=looks))
    return HTML(page)  # type: ignore[no-untyped-call]


def _check_said(table: object) -> None:
    missing = [name for name in ("speaker", "text") if name not in getattr(table, "columns", ())]
    if missing:
        raise TurnTableError(
            f"a transcript needs speaker and text, and this table has no {' nor '.join(missing)}; pass "
            "diarnb.utterances(turns), from an engine with words"
        )


def _parse_style(style: object) -> list[tuple[str, str]]:
    """Take a style apart into what stands before each field, and the field; the last has none."""
    fields = ", ".join("{" + name + "}" for name in _FIELDS)
    if not isinstance(style, str):
        raise InvalidParameterError(
            f"style is one of {', '.join(STYLES)}, or has the fields {fields}; not {style!r:.60}"
        )
    try:
        parsed = list(Formatter().parse(style))
    except ValueError as error:
        raise InvalidParameterError(f"style={style!r:.80} cannot be read ({error}); a brace itself is {{{{") from None
    for _, name, spec, conversion in parsed:
        if name is not None and (name not in _FIELDS or spec or conversion):
            raise InvalidParameterError(f"style={style!r:.80} has the field {name!r:.40}; there are {fields}, as is")
    if not any(name for _, name, _, _ in parsed):
        hint = suggest(style, STYLES, f"there are {', '.join(STYLES)}, and any text with the fields {fields}")
        raise InvalidParameterError(f"there is no style {style!r:.60}; {hint}")
    return [(literal, name or "") for literal, name, _, _ in parsed]


def _format_lines(table: pd.DataFrame, asked: Iterable[str]) -> Iterable[dict[str, str]]:
    """Return the fields of each line that says something, times only where they are asked for."""
    _check_said(table)
    times = [name for name in ("start", "end") if name in set(asked)]
    if missing := [name for name in times if name not in table]:
        raise TurnTableError(f"the style uses {missing[0]}, but this table has no such column")
    columns = [table[name].to_numpy(dtype=float, na_value=np.nan).tolist() for name in times]
    clocks = [[clock(time, hours=True) for time in column] for column in columns]
    labels = [str(name) if has_text(name) else "" for name in table["speaker"]]
    shown = {label: _format_speaker(label, number) for label, number in _number_speakers(filter(None, labels)).items()}
    shown[""] = {"who": "?", "n": "?", "letter": "?", "speaker": "", "label": ""}
    return (
        {**shown[label], "text": " ".join(text.split()), **dict(zip(times, at, strict=True))}
        for label, text, *at in zip(labels, table["text"], *clocks, strict=True)
        if has_text(text)
    )


def _format_speaker(label: str, number: int) -> dict[str, str]:
    name = visible(label, limit=80)
    called = re.fullmatch(r"SPEAKER_(\d{1,9})", label)
    letter = chr(ord("A") + number) if number < 26 else str(number)
    return {
        "who": f"Speaker:{number}" if called else name,
        "n": str(number),
        "letter": letter,
        "speaker": name,
        "label": label,
    }


def _number_speakers(labels: Iterable[str]) -> dict[str, int]:
    """Return a number for each speaker: as the label has it, else by the next number that is free."""
    labels = list(dict.fromkeys(labels))
    numbers = {label: int(found[1]) for label in labels if (found := re.fullmatch(r"SPEAKER_(\d{1,9})", label))}
    taken, following = set(numbers.values()), 0
    for label in labels:
        if label not in numbers:
            while following in taken:
                following += 1
            numbers[label] = following
            taken.add(following)
    return numbers
