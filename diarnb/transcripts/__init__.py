"""Words and who says them: words from anywhere get speakers, and what was said is written line by line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from html import escape
from string import Formatter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb._text import clock, visible
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.tables.checks import check_spans, check_turns
from diarnb.tables.colors import speaker_colors
from diarnb.transcripts.assignment import assign

if TYPE_CHECKING:
    from IPython.display import HTML

    from diarnb._types import Json

_FIELDS = ("who", "n", "speaker", "text", "start", "end")


def assign_speakers(
    words: pd.DataFrame | Iterable[object], turns: pd.DataFrame, *, within: float = 0.5
) -> pd.DataFrame:
    """Assign each word to a speaker, with how clearly and why: the one who speaks longest during it.

    Parameters
    ----------
    words : pandas.DataFrame or iterable of mappings or dataclasses
        ``start`` and ``end`` in seconds; other columns are kept. Any transcriber's words or segments, in any order:
        the dicts of WhisperX and Deepgram, the objects of faster-whisper, a table. A segment is one word here: it goes
        as a whole to one speaker, so give words where there are some.
    turns : pandas.DataFrame
        Any table with start, end and speaker, overlap kept: cutting it out (`diarnb.exclusive`) gives more words to the
        wrong speaker and hides the doubt about them. Of two who speak as long in a word, the one who is heard first in
        the recording counts.
    within : float, default 0.5
        Seconds; a word during which nobody speaks goes to the nearest turn that is no farther away. Recognisers and
        diarizers place the edges of speech differently by some tenths of a second.

    Returns
    -------
    pandas.DataFrame
        A copy of `words`, every row in its order under its index, with three columns; where `words` had one of that
        name, it is replaced:

        - ``speaker``: missing where nobody speaks
        - ``margin`` (float64, 0-1): how much more of the word its speaker speaks than the next best one does: the
          difference of their seconds in the word, divided by its length. 1 leaves no doubt; 0 in a ``"gap"``, and NaN
          where nobody is near
        - ``reason``: ``"inside"`` (the whole word lies in the speaker's turns, and nobody else speaks), ``"overlap"``
          (during the word several speak at once), ``"boundary"`` (the word reaches beyond the speaker's turn, into
          silence or somebody else's), ``"gap"`` (nobody speaks during it; the nearest turn has it), ``"nobody"`` (no
          turn is near)

        Where both tables have a column ``uri`` or ``channel``, words are assigned within their recording and channel.

    Raises
    ------
    TurnTableError
        If one of the tables lacks what it needs.
    InvalidParameterError
        If `within` is no number of seconds.

    Warns
    -----
    DiarnbWarning
        If no word is near a turn and the words end much later, as with times in milliseconds.

    See Also
    --------
    doubtful_words : lists the words of small margin, with those around them.
    diarnb.formats.read_words : reads the words of a transcriber's file.

    Examples
    --------
    >>> words = pd.DataFrame({"start": [0.1, 1.9], "end": [0.4, 2.6], "word": ["Hello.", "Yes?"]})
    >>> turns = pd.DataFrame({"start": [0, 2], "end": [2, 3], "speaker": ["Maya", "Otto"]})
    >>> assign_speakers(words, turns).round(2)
       start  end    word speaker  margin    reason
    0    0.1  0.4  Hello.    Maya    1.00    inside
    1    1.9  2.6    Yes?    Otto    0.71  boundary
    """
    _check_seconds("within", within)
    words, turns = check_times(words), check_turns(turns)
    found = _assign(words, turns, within)
    last, end = words["end"].max(), turns["end"].max()
    if len(words) and found["speaker"].isna().all() and last > 20 * end:
        warnings.warn(
            f"None of {len(words)} words is near a turn: they end at {last:g}, the turns at {end:g} s. If the words' "
            'times are in milliseconds, divide them: words[["start", "end"]] /= 1000',
            DiarnbWarning,
            stacklevel=2,
        )
    result = words.copy()
    for name in ("speaker", "margin", "reason"):
        result[name] = found[name]
    return result


def doubtful_words(
    words: pd.DataFrame | Iterable[object],
    turns: pd.DataFrame,
    *,
    margin: float = 0.5,
    within: float = 0.5,
    context: int = 3,
) -> pd.DataFrame:
    """List the words that somebody else may have said: those of a small margin, with the other candidate.

    Parameters
    ----------
    words, turns, within
        As in `assign_speakers`; who speaks each word is decided anew.
    margin : float, default 0.5
        Words with less than this (0-1) are doubtful, where there is another candidate: who speaks second longest
        during the word or, if nobody else does, whoever else has a turn within `within` seconds of it.
    context : int, default 3
        How many words before and after to show, in the order of time, by any speaker.

    Returns
    -------
    pandas.DataFrame
        In the order of time, under the index of `words`: ``start``, ``end``, ``word`` (the text where there is one),
        ``speaker``, ``other``, ``margin``, ``reason``, ``before``, ``after``; ``uri`` and ``channel`` where `words` has
        them. Where there is no ``word`` and no ``text``, those columns are empty text.

    Raises
    ------
    TurnTableError, InvalidParameterError
        As `assign_speakers`.

    Examples
    --------
    >>> said = {"start": [0.1, 1.8, 2.3], "end": [0.4, 2.2, 2.6], "word": ["So", "well", "yes"]}
    >>> turns = pd.DataFrame({"start": [0, 2], "end": [2, 3], "speaker": ["Maya", "Otto"]})
    >>> doubtful_words(pd.DataFrame(said), turns)[["word", "speaker", "other", "before", "after"]]
       word speaker other before after
    1  well    Maya  Otto     So   yes
    """
    _check_seconds("within", within)
    _check_seconds("margin", margin)
    if isinstance(context, bool) or not isinstance(context, int | np.integer) or context < 0:
        raise InvalidParameterError(f"context is a number of words, 0 or more, not {context!r:.60}")
    words, turns = check_times(words), check_turns(turns)
    found = _assign(words, turns, within)
    keys = [name for name in ("uri", "channel") if name in words]
    table = words[["start", "end", *keys]].assign(word=_read_texts(words))
    table[["speaker", "other", "margin", "reason"]] = found[["speaker", "other", "margin", "reason"]]
    in_time = np.lexsort([words["end"].to_numpy(dtype=float), words["start"].to_numpy(dtype=float)])
    if "uri" in words:
        in_time = in_time[np.argsort(pd.factorize(words["uri"])[0][in_time], kind="stable")]
    table = table.iloc[in_time]
    recording = pd.factorize(table["uri"])[0] if "uri" in table else np.zeros(len(table), dtype=np.int64)
    doubtful = np.flatnonzero((table["margin"].to_numpy() < margin) & table["other"].notna().to_numpy())
    spoken = table["word"].tolist()
    edges = np.searchsorted(recording, recording[doubtful]), np.searchsorted(recording, recording[doubtful], "right")
    around = list(zip(doubtful, *edges, strict=True))
    before = [" ".join(spoken[max(at - context, first) : at]) for at, first, _ in around]
    after = [" ".join(spoken[at + 1 : min(at + 1 + context, last)]) for at, _, last in around]
    listed = table.iloc[doubtful]
    listed = listed.assign(
        before=pd.Series(before, index=listed.index, dtype=str), after=pd.Series(after, index=listed.index, dtype=str)
    )
    return listed[["start", "end", "word", "speaker", "other", "margin", "reason", "before", "after", *keys]]


def transcript(table: pd.DataFrame, style: str = "[{who}] {text}") -> str:
    """Write what was said, a line for each utterance or turn.

    Parameters
    ----------
    table : pandas.DataFrame
        ``speaker`` and ``text``: `diarnb.utterances`, or a table of turns that has words.
    style : str, default "[{who}] {text}"
        How a line looks, with these fields in braces; ``{{`` and ``}}`` stand for braces.

        - ``who``: ``Speaker:0`` for SPEAKER_00, the name of who has one, ``?`` where nobody is known to speak
        - ``n``: the speaker's number: 0 for SPEAKER_00; who has a name gets the next number that is free, in the order
          of the table; ``?`` for nobody
        - ``speaker``: the label as it is, nothing for nobody
        - ``text``: what is said, its white space made single spaces
        - ``start``, ``end``: as h:mm:ss, fractions of a second cut off

    Returns
    -------
    str
        Lines in the order of the table; those without text are left out. Names cannot break a line or hide: what does
        not print in them is written as an escape.

    Raises
    ------
    TurnTableError
        If the table has no text or no speakers, or no times where `style` asks for them.
    InvalidParameterError
        If `style` has another field, or is no text.

    See Also
    --------
    transcript_html : the same for a notebook or a page, in the speakers' colours.

    Examples
    --------
    >>> said = pd.DataFrame({"speaker": ["SPEAKER_00", "Beth"], "text": ["How are you?", "Not too bad."]})
    >>> print(transcript(said))
    [Speaker:0] How are you?
    [Beth] Not too bad.
    >>> print(transcript(said, "{n}: {text}"))
    0: How are you?
    1: Not too bad.
    """
    parts = _parse_style(style)
    lines = _format_lines(table, [name for _, name in parts])
    return "\n".join("".join(literal + line.get(name, "") for literal, name in parts) for line in lines)


def transcript_html(table: pd.DataFrame, *, colors: Mapping[str, str] | None = None) -> HTML:
    """Show what was said in a notebook, a paragraph for each utterance or turn, in the speakers' colours.

    Parameters
    ----------
    table : pandas.DataFrame
        As for `transcript`; the time of each line is shown where the table has ``start``.
    colors : mapping of str to color, optional
        CSS colours of some or all speakers, as ``{"Beth": "#0072B2"}``. Default: those of `diarnb.timeline`, which
        follow the order in which the speakers come in the table.

    Returns
    -------
    IPython.display.HTML
        A notebook shows it; ``.data`` is the HTML as text, to be written to a file. All names and texts are escaped.

    Raises
    ------
    TurnTableError
        If the table has no text or no speakers.
    InvalidParameterError
        If a colour is not a name or a hexadecimal number.

    Examples
    --------
    >>> page = transcript_html(pd.DataFrame({"speaker": ["Beth"], "text": ["1 < 2 & 3"]}))
    >>> "1 &lt; 2 &amp; 3" in page.data
    True
    """
    from IPython.display import HTML

    _check_said(table)
    for color in (colors or {}).values():
        if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]+", color):
            raise InvalidParameterError(f"{color!r:.60} is no colour for a page; give one like '#0072B2' or 'teal'")
    names = dict.fromkeys(str(name) for name in table["speaker"] if _has_text(name))
    looks = speaker_colors(names) | dict(colors or {})
    timed = "start" in table
    paragraphs = []
    for line in _format_lines(table, ["start"] if timed else []):
        color = looks.get(line["label"], "#7A7A7A")
        time = f'<span style="opacity:.65;font-variant-numeric:tabular-nums">{line["start"]}</span> ' if timed else ""
        paragraphs.append(
            f'<p dir="auto" style="border-inline-start:4px solid {color};margin:.35em 0;padding-inline-start:.6em">'
            f"{time}<b><bdi>{escape(line['who'])}</bdi></b> <bdi>{escape(line['text'])}</bdi></p>"
        )
    page = '<div style="max-width:50em;line-height:1.4">' + "\n".join(paragraphs) + "</div>"
    return HTML(page)  # type: ignore[no-untyped-call]


def group_words(words: list[Json], pause: float) -> list[list[Json]]:
    """Cut one channel's words where the speaker changes or a pause is longer than `pause` seconds."""
    groups: list[list[Json]] = []
    until = 0.0
    for word in words:
        if groups and groups[-1][-1]["speaker"] == word["speaker"] and word["start"] - until <= pause:
            groups[-1].append(word)
            until = max(until, word["end"])
        else:
            groups.append([word])
            until = word["end"]
    return groups


def make_utterance(words: list[Json]) -> Json:
    """Make one utterance of the words of a group."""
    known = [word["confidence"] for word in words if word["confidence"] is not None]
    return {
        "start": min(word["start"] for word in words),
        "end": max(word["end"] for word in words),
        "speaker": words[0]["speaker"],
        "text": " ".join(word["text"] for word in words),
        "confidence": sum(known) / len(known) if known else None,
        "channel": words[0]["channel"],
    }


def make_word_table(words: object, name: str = "words") -> pd.DataFrame:
    """Make a table of words that came as one, or as a list of mappings or dataclasses."""
    if isinstance(words, pd.DataFrame):
        return words
    wanted = "a table, or a list of dicts, with start, end and word"
    if isinstance(words, str | bytes | Mapping) or not isinstance(words, Iterable):
        raise TurnTableError(f"{name} is {wanted}, not {type(words).__name__}")
    rows = [vars(row) if is_dataclass(row) and not isinstance(row, type) else row for row in words]
    odd = [row for row in rows if not isinstance(row, Mapping)]
    if odd:
        raise TurnTableError(f"{name} is {wanted}, and this list holds {odd[0]!r:.60}")
    return pd.DataFrame(rows) if rows else pd.DataFrame({"start": [], "end": []})


def check_times(words: object) -> pd.DataFrame:
    """Make a table of words, and check that their times are possible; their order stays."""
    table = make_word_table(words)
    if not {"start", "end"} <= set(table.columns):
        raise TurnTableError("words needs the columns start and end, in seconds; rename yours with words.rename(...)")
    check_untimed(table, words)
    # The check at the door wants speakers and sorts; all that is asked of words is that their times are possible.
    check_spans(table[["start", "end"]])
    return table


def check_untimed(table: pd.DataFrame, given: object, name: str = "words") -> None:
    """Refuse words without times, and say what to do with them; `given` is what the table was made of."""
    untimed = table[["start", "end"]].isna().any(axis=1).sum() if {"start", "end"} <= set(table) else 0
    if untimed:
        table_given = isinstance(given, pd.DataFrame)
        leave = f'{name}.dropna(subset=["start", "end"])' if table_given else f'[w for w in {name} if "start" in w]'
        raise TurnTableError(
            f"{untimed} of {len(table)} {name} have no time, as WhisperX gives none to numbers; read its file with "
            f"diarnb.formats.read_words, which places them between their neighbours, or leave them out: `{leave}`"
        )


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
        unit = "number from 0 to 1" if name == "margin" else "number of seconds, 0 or more"
        raise InvalidParameterError(f"{name} is a {unit}, not {value!r:.60}")


def _read_texts(words: pd.DataFrame) -> pd.Series:
    named = next((name for name in ("text", "word") if name in words), None)
    said = [""] * len(words) if named is None else [str(text) if _has_text(text) else "" for text in words[named]]
    return pd.Series(said, index=words.index, dtype=str)


def _check_said(table: object) -> None:
    missing = [name for name in ("speaker", "text") if name not in getattr(table, "columns", ())]
    if missing:
        raise TurnTableError(
            f"a transcript needs speaker and text, and this table has no {' nor '.join(missing)}; "
            "give it diarnb.utterances(turns), of an engine that hears words"
        )


def _parse_style(style: object) -> list[tuple[str, str]]:
    """Take a style apart into what stands before each field, and the field; the last has none."""
    fields = ", ".join("{" + name + "}" for name in _FIELDS)
    if not isinstance(style, str):
        raise InvalidParameterError(f"style is text with the fields {fields}, not {style!r:.60}")
    try:
        parsed = list(Formatter().parse(style))
    except ValueError as error:
        raise InvalidParameterError(f"style={style!r:.80} cannot be read ({error}); a brace itself is {{{{") from None
    for _, name, spec, conversion in parsed:
        if name is not None and (name not in _FIELDS or spec or conversion):
            raise InvalidParameterError(f"style={style!r:.80} has the field {name!r:.40}; there are {fields}, as is")
    return [(literal, name or "") for literal, name, _, _ in parsed]


def _format_lines(table: pd.DataFrame, asked: Iterable[str]) -> Iterable[dict[str, str]]:
    """Yield the fields of each line that says something, times only where they are asked for."""
    _check_said(table)
    times = [name for name in ("start", "end") if name in set(asked)]
    if missing := [name for name in times if name not in table]:
        raise TurnTableError(f"the style asks for {missing[0]}, and this table has no such column")
    columns = [table[name].to_numpy(dtype=float, na_value=np.nan).tolist() for name in times]
    clocks = [[clock(time, hours=True) for time in column] for column in columns]
    labels = [str(name) if _has_text(name) else "" for name in table["speaker"]]
    shown = {label: _format_speaker(label, number) for label, number in _number_speakers(filter(None, labels)).items()}
    shown[""] = {"who": "?", "n": "?", "speaker": "", "label": ""}
    for label, text, *at in zip(labels, table["text"], *clocks, strict=True):
        if _has_text(text):
            yield {**shown[label], "text": " ".join(text.split()), **dict(zip(times, at, strict=True))}


def _format_speaker(label: str, number: int) -> dict[str, str]:
    name = visible(label, limit=80)
    called = re.fullmatch(r"SPEAKER_(\d{1,9})", label)
    return {"who": f"Speaker:{number}" if called else name, "n": str(number), "speaker": name, "label": label}


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


def _has_text(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _assign(words: pd.DataFrame, turns: pd.DataFrame, within: float) -> pd.DataFrame:
    """Return speaker, other, margin and reason of each word, under the index of the words."""
    start, end = (words[name].to_numpy(dtype=float) for name in ("start", "end"))
    keys = [name for name in ("uri", "channel") if name in words and name in turns]
    if keys and len(words) and len(turns):
        # Recordings and channels one behind the other on one axis of time, too far apart to touch.
        both = pd.concat([words[keys].astype(object), turns[keys].astype(object)], ignore_index=True)
        far = max(end.max(), turns["end"].max()) + within + 1.0
        shift = far * both.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
        start, end = start + shift[: len(words)], end + shift[: len(words)]
        later = shift[len(words) :]
        turns = turns.assign(start=turns["start"] + later, end=turns["end"] + later)
        turns = turns.drop(columns=keys).sort_values(["start", "end", "speaker"], ignore_index=True)
    names = turns["speaker"].unique().tolist()  # the first to speak wins a tie, whatever they are called
    who, other, margin, reason = assign(turns, names, start, end, within)
    named = np.array([*names, None], dtype=object)  # nobody is the last: -1
    text = pd.Series(dtype=str).dtype  # by way of a column: in pandas 2 `str` itself would make "None" of nobody
    return pd.DataFrame(
        {
            "speaker": pd.Series(named[who], index=words.index, dtype=object).astype(text),
            "other": pd.Series(named[other], index=words.index, dtype=object).astype(text),
            "margin": pd.Series(margin, index=words.index, dtype=float),
            "reason": pd.Series(reason, index=words.index, dtype=str),
        }
    )
