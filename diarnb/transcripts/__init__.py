"""Words and who says them: words from anywhere get speakers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.tables.checks import check_spans, check_turns
from diarnb.transcripts.assignment import Array, assign, average_frames

if TYPE_CHECKING:
    from diarnb._types import Json

PLACED = "length"
"""What ``placed`` says of a word whose time is an estimate by its length, and why it is its speaker's."""


def assign_speakers(
    words: pd.DataFrame | Iterable[object],
    turns: pd.DataFrame,
    *,
    within: float = 0.5,
    frames: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Assign each word to a speaker, with a margin and a reason, and keep sentences whole.

    A word goes to the speaker who speaks longest during it, unless its sentence suggests another. The speaker changes
    where a sentence ends, at a pause, or at a comma, if there is such a place within about a second and the turns allow
    it. Words spoken at the same time have different speakers, and a listener's "uh-huh" does not break the sentence
    that continues. Without punctuation, pauses decide.

    Parameters
    ----------
    words : pandas.DataFrame or iterable of mappings or dataclasses
        ``start`` and ``end`` in seconds; other columns are kept. Words or segments of any transcriber, in any order:
        the dicts of WhisperX and Deepgram, the objects of faster-whisper, or a table. A segment counts as one word and
        goes to one speaker, so pass words if you have them. Punctuation is read from ``text``, else from ``word``.
        Without either column, each row goes to the speaker who speaks longest during it.
    turns : pandas.DataFrame
        Any table with start, end and speaker, including overlap. Removing the overlap first (`diarnb.exclusive`) gives
        more words to the wrong speaker and hides the doubt about them. If two people speak equally long during a word,
        the one who speaks first in the recording gets it.
    within : float, default 0.5
        Seconds. A word during which nobody speaks goes to the nearest turn within this distance. Transcribers and
        diarizers place the boundaries of speech differently, by some tenths of a second.
    frames : pandas.DataFrame, optional
        `diarnb.frames` of these turns: how likely each speaker speaks at each moment. This helps most where several
        people speak at once. ``diarize(words=...)`` uses it automatically.

    Returns
    -------
    pandas.DataFrame
        A copy of `words`, with the same rows, order and index, and three columns, which replace any of the same name:

        - ``speaker``: missing where nobody is known to speak
        - ``margin`` (float64, 0-1): how much more of the word its speaker speaks than the second candidate: the
          difference of their seconds in the word, divided by the word's length. 1 is certain; 0 in a ``"gap"``, and
          where somebody else speaks as long or longer; NaN where nobody is near
        - ``reason``: ``"inside"`` (the whole word lies in the speaker's turns, and nobody else speaks), ``"overlap"``
          (during the word several speak at once), ``"boundary"`` (the word reaches beyond the speaker's turn, into
          silence or somebody else's), ``"gap"`` (nobody speaks during it; the nearest turn has it), ``"sentence"``
          (somebody else speaks longer during it or is nearer, but the sentence belongs to this speaker), ``"nobody"``
          (no turn is near; or it is said at the same time as another word, and only one of several speakers is known),
          ``"length"`` (its time is an estimate: `words` has ``placed="length"`` for it, as Moonshine's words have)

        Where both tables have a column ``uri`` or ``channel``, words are assigned within their recording and channel.

    Raises
    ------
    TurnTableError
        If one of the tables lacks a column that is needed.
    InvalidParameterError
        If `within` is not a number of seconds.

    Warns
    -----
    DiarnbWarning
        If no word is near a turn and the words end much later, for example because their times are in milliseconds.

    See Also
    --------
    doubtful_words : lists the words with a small margin, in context.
    diarnb.formats.read_words : reads the words of a transcriber's file.

    Examples
    --------
    >>> said = ["You", "promised", "slugs.", "Did", "I?"]
    >>> words = pd.DataFrame({"start": [0.1, 0.4, 1.0, 1.6, 2.0], "end": [0.4, 1.0, 1.5, 2.0, 2.3], "word": said})
    >>> turns = pd.DataFrame({"start": [0, 1.1], "end": [1.1, 3], "speaker": ["Maya", "Otto"]})  # too early
    >>> assign_speakers(words, turns)
       start  end      word speaker  margin    reason
    0    0.1  0.4       You    Maya     1.0    inside
    1    0.4  1.0  promised    Maya     1.0    inside
    2    1.0  1.5    slugs.    Maya     0.0  sentence
    3    1.6  2.0       Did    Otto     1.0    inside
    4    2.0  2.3        I?    Otto     1.0    inside
    """
    _check_seconds("within", within)
    words, turns = check_times(words), check_turns(turns)
    found = _assign(words, turns, within, frames)
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
    frames: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """List the words that somebody else may have said: those with a small margin, and the other candidate.

    Parameters
    ----------
    words, turns, within, frames
        As in `assign_speakers`; the words are assigned again.
    margin : float, default 0.5
        Words with a smaller margin (0-1) are doubtful if there is another candidate: the person who speaks second
        longest during the word, or who speaks longer but lost it to the speaker of the sentence. If nobody else speaks
        during the word, it is a person with a turn within `within` seconds of it.
    context : int, default 3
        How many words to show before and after, by any speaker, in order of time.

    Returns
    -------
    pandas.DataFrame
        In order of time, with the index of `words`: ``start``, ``end``, ``word`` (the text where there is one),
        ``speaker``, ``other``, ``margin``, ``reason``, ``before``, ``after``; ``uri`` and ``channel`` where `words` has
        them. Where there is no ``word`` and no ``text``, those columns are empty text.

    Raises
    ------
    TurnTableError, InvalidParameterError
        As `assign_speakers`.

    Examples
    --------
    >>> said = {"start": [0.1, 1.5, 2.3], "end": [0.4, 2.2, 2.6], "word": ["So", "well.", "Yes."]}
    >>> turns = pd.DataFrame({"start": [0, 2], "end": [2, 3], "speaker": ["Maya", "Otto"]})
    >>> doubtful_words(pd.DataFrame(said), turns)[["word", "speaker", "other", "before", "after"]]
        word speaker other before after
    1  well.    Maya  Otto     So  Yes.
    """
    _check_seconds("within", within)
    _check_seconds("margin", margin)
    if isinstance(context, bool) or not isinstance(context, int | np.integer) or context < 0:
        raise InvalidParameterError(f"context is a number of words, 0 or more, not {context!r:.60}")
    words, turns = check_times(words), check_turns(turns)
    found = _assign(words, turns, within, frames)
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


def is_placed(words: pd.DataFrame) -> Array:
    """Return which words have times that are estimates by their lengths."""
    return (words["placed"] == PLACED).to_numpy(bool) if "placed" in words else np.zeros(len(words), dtype=bool)


def check_untimed(table: pd.DataFrame, given: object, name: str = "words") -> None:
    """Refuse words without times, and say what to do with them; `given` is what the table was made of."""
    untimed = table[["start", "end"]].isna().any(axis=1).sum() if {"start", "end"} <= set(table) else 0
    if untimed:
        table_given = isinstance(given, pd.DataFrame)
        leave = f'{name}.dropna(subset=["start", "end"])' if table_given else f'[w for w in {name} if "start" in w]'
        raise TurnTableError(
            f"{untimed} of {len(table)} {name} have no time, because WhisperX does not time numbers; read its file "
            f"with diarnb.formats.read_words, which places them between their neighbours, or leave them out: `{leave}`"
        )


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
        unit = "number from 0 to 1" if name == "margin" else "number of seconds, 0 or more"
        raise InvalidParameterError(f"{name} is a {unit}, not {value!r:.60}")


def _read_texts(words: pd.DataFrame) -> pd.Series:
    named = next((name for name in ("text", "word") if name in words), None)
    said = [""] * len(words) if named is None else [str(text) if has_text(text) else "" for text in words[named]]
    return pd.Series(said, index=words.index, dtype=str)


def has_text(text: object) -> bool:
    """Return whether there is anything but white space."""
    return isinstance(text, str) and bool(text.strip())


def _assign(words: pd.DataFrame, turns: pd.DataFrame, within: float, frames: pd.DataFrame | None) -> pd.DataFrame:
    """Return speaker, other, margin and reason of each word, under the index of the words."""
    start, end = heard = tuple(words[name].to_numpy(dtype=float) for name in ("start", "end"))
    keys = [name for name in ("uri", "channel") if name in words and name in turns]
    if keys and len(words) and len(turns):
        # Recordings and channels one behind the other on one axis of time, too far apart to touch.
        both = pd.concat([words[keys].astype(object), turns[keys].astype(object)], ignore_index=True)
        far = max(end.max(), turns["end"].max()) + within + 10.0
        shift = far * both.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
        start, end = start + shift[: len(words)], end + shift[: len(words)]
        later = shift[len(words) :]
        turns = turns.assign(start=turns["start"] + later, end=turns["end"] + later)
        turns = turns.drop(columns=keys).sort_values(["start", "end", "speaker"], ignore_index=True)
    names = turns["speaker"].unique().tolist()  # the first to speak wins a tie, whatever they are called
    scores = None if frames is None else average_frames(frames, names, *heard)
    texts, rough = _read_texts(words).tolist(), is_placed(words)
    who, other, margin, reason = assign(turns, names, start, end, within, texts, scores, rough)
    reason = np.where(rough & ~np.isin(reason, ["sentence", "nobody"]), PLACED, reason)
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
