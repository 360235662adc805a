"""Turns to files and back, one module a format.

A format is a module with ``load(path) -> DataFrame`` and ``dump(turns, path)``, and a line in `FORMATS`. `dump` gets a
checked table, and a path of the final name that nobody sees before it is whole. What is written is read again, and what
did not come back is reported with a `DiarnbWarning`. What `load` gives is checked here.

A table of turns has ``start``, ``end`` and ``speaker``, and ``text`` where the file tells what was said. One with a
column ``word`` is a table of words: `read` makes turns of it, and `read_words` gives it as it is. A format that holds
both has ``load_words(path)`` as well.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pandas as pd

from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import (
    audacity,
    ctm,
    deepgram,
    document,
    eaf,
    lab,
    parquet,
    pyannoteai,
    rttm,
    srt,
    stm,
    table,
    textgrid,
    uem,
    webvtt,
    whisperx,
)
from diarnb.formats._report import find_losses
from diarnb.formats._words import join_words, make_words
from diarnb.formats.annotation import from_annotation, to_annotation
from diarnb.tables.checks import check_spans, check_turns

if TYPE_CHECKING:
    import os

__all__ = ["FORMATS", "Format", "from_annotation", "read", "read_words", "to_annotation", "write"]


def __dir__() -> list[str]:
    return __all__


class Format(Protocol):
    """What a module of a format has."""

    def load(self, path: Path, /) -> pd.DataFrame:
        """Read a file; a speaker is missing where the file names nobody."""

    def dump(self, turns: pd.DataFrame, path: Path, /) -> None:
        """Write a file."""


@runtime_checkable
class _HoldsBoth(Protocol):
    """What a module has beyond that if its files hold words beside turns."""

    def load_words(self, path: Path, /) -> pd.DataFrame: ...


FORMATS: dict[str, Format] = {
    ".csv": table,
    ".ctm": ctm,
    ".deepgram.json": deepgram,
    ".eaf": eaf,
    ".json": document,
    ".lab": lab,
    ".parquet": parquet,
    ".pyannoteai.json": pyannoteai,
    ".rttm": rttm,
    ".srt": srt,
    ".stm": stm,
    ".textgrid": textgrid,
    ".txt": audacity,
    ".uem": uem,
    ".vtt": webvtt,
    ".whisperx.json": whisperx,
}
"""The formats by the suffix of their files."""

WORDS_ONLY = frozenset({".ctm", ".deepgram.json"})
"""Those that are written from a table of words only."""

_LARGEST = 256 * 2**20  # bytes: ten thousand hours of turns, and nothing that a memory cannot hold


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read turns from a file.

    Parameters
    ----------
    path : str or path
        Its suffix says what it is:

        =============  ==============================================================================================
        ``.csv``       a table with a header; of words (a column ``word``) the turns that they make, as everywhere
        ``.parquet``   the same; needs the extra ``parquet``
        ``.json``      by its content: ours, an answer of pyannoteAI or Deepgram, a transcript of WhisperX
        ``.rttm``      the evaluations' turns
        ``.stm``       their segments with text; those that stand for a gap are left out
        ``.ctm``       their words; if they have speakers
        ``.uem``       their stretches to score: start, end, duration, and no speaker
        ``.lab``       start, end and label; HTK's as well
        ``.srt``       subtitles that begin with a name, ``Maya: Hello.`` or ``[Maya]: Hello.``
        ``.vtt``       captions with voices, ``<v Maya>Hello.</v>``, or with names as in ``.srt``
        ``.txt``       Audacity's labels: ``Maya``, or ``Maya: Hello.``
        ``.TextGrid``  Praat's: each tier of intervals is a speaker, what is labelled is a turn
        ``.eaf``       ELAN's: each tier that stands for itself is a speaker
        =============  ==============================================================================================

    Returns
    -------
    pandas.DataFrame
        A table of turns; with a column ``text`` where the file tells what was said, ``channel`` where there are
        several, and ``uri`` where it holds several recordings.

    Raises
    ------
    InvalidParameterError
        If the suffix is of no known format.
    TurnTableError
        If the content is damaged (the file and the line are named), holds no turns, or names no speaker.
    ConfigurationError
        If the format needs an extra that is not installed.
    OSError
        If the file cannot be read.

    Warns
    -----
    DiarnbWarning
        If some rows name no speaker, as happens in transcripts; they are left out, and `read_words` has them.

    Examples
    --------
    >>> sorted(read(example("meeting").with_suffix(".rttm"))["speaker"].unique())
    ['Fergus', 'Maya', 'Otto', 'Victor']
    """
    path = Path(path)
    form = _format_of(path)
    _check_size(path)
    found = form.load(path)
    if form is uem:
        return _check_stretches(found, path.name)
    if "word" in found and "speaker" in found:
        found = join_words(_check_words(found, path.name))
    if "speaker" in found and (nobody := found["speaker"].isna()).any():
        advice = f"diarnb.formats.read_words({path.name!r})"
        if nobody.all():
            raise TurnTableError(
                f"{path.name} names no speaker, so it is a transcript and no table of turns; "
                f"diarnb.assign_speakers({advice}, turns) brings both together"
            )
        count = f"{nobody.sum()} of {len(found)} stretches in {path.name} name no speaker and are left out"
        warnings.warn(f"{count}; {advice} has them", DiarnbWarning, stacklevel=2)
        found = found[~nobody]
    return check_turns(found, name=path.name)


def read_words(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read words from a file, to give them speakers (`diarnb.assign_speakers`) or because they have some.

    Parameters
    ----------
    path : str or path
        A ``.ctm``; a ``.json`` of Deepgram, pyannoteAI, WhisperX, faster-whisper or Whisper; or a ``.csv``,
        ``.parquet`` or ``.json`` of a table with a column ``word``. Of a file that does not time its words, as
        ``.srt``, ``.vtt`` and ``.stm`` do not, each segment with its text is taken for one word.

    Returns
    -------
    pandas.DataFrame
        As `diarnb.words` gives it: ``start, end, word, text, speaker`` (missing where the file names nobody),
        ``confidence, speaker_confidence`` (0-1, NaN where there is none), ``channel``; and ``uri`` where the file holds
        several recordings. Words that WhisperX could not time stand between their neighbours.

    Raises
    ------
    InvalidParameterError
        If the suffix is of no known format.
    TurnTableError
        If the content is damaged, or holds no words.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> words = read_words(example("interview").with_suffix(".words.csv"))
    >>> " ".join(words["text"][:5])
    'Welcome back. With me is'
    """
    path = Path(path)
    form = _format_of(path)
    _check_size(path)
    found = form.load_words(path) if isinstance(form, _HoldsBoth) else form.load(path)
    return make_words(_check_words(found, path.name), path.name)


def write(turns: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write turns or words to a file, which is replaced as a whole if it exists.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker. In one of words (`diarnb.words`) speakers may be missing, where the
        format holds words.
    path : str or path
        Its suffix says what is written; ``yes`` is held, ``-`` is reported as lost:

        ====================  ======  =======  =======  ====  ==========  =====  ============================
        suffix                times   overlap  names    text  confidence  words  else
        ====================  ======  =======  =======  ====  ==========  =====  ============================
        ``.csv``              exact   yes      any      yes   yes         yes    every column
        ``.parquet``          exact   yes      any      yes   yes         yes    every column and the facts
        ``.json``             exact   yes      any      yes   yes         yes    every column and the facts
        ``.pyannoteai.json``  exact   yes      any      yes   yes         yes
        ``.deepgram.json``    exact   yes      numbers  yes   of words    only   channel
        ``.whisperx.json``    exact   yes      any      yes   of words    yes
        ``.rttm``             1 ms    yes      a word   -     -           -      channel, uri
        ``.stm``              1 ms    yes      a word   yes   -           -      channel, uri
        ``.ctm``              1 ms    yes      a word   -     of words    only   channel, uri
        ``.uem``              1 ms    yes      -        -     -           -      channel, uri
        ``.lab``              1 ms    yes      a word   -     -           -
        ``.srt``              1 ms    yes      any      yes   -           -
        ``.vtt``              1 ms    yes      any      yes   -           -
        ``.txt``              exact   yes      any      yes   -           -
        ``.TextGrid``         exact   yes      any      yes   -           -      no turn without length
        ``.eaf``              1 ms    yes      any      yes   -           -      no turn without length
        ====================  ======  =======  =======  ====  ==========  =====  ============================

        Where a name is one word, its spaces become underscores. Where a text is one line, its lines are joined. Who
        overlaps themselves has several tiers in ``.TextGrid`` and ``.eaf``.

    Raises
    ------
    InvalidParameterError
        If the suffix is of no known format.
    TurnTableError
        If this is no table of turns, or one that the format cannot hold at all.
    ConfigurationError
        If the format needs an extra that is not installed.
    OSError
        If the file cannot be written; one that was there is as it was.

    Warns
    -----
    DiarnbWarning
        If not all that is in the table is in the file. It is read again to see this; times that differ by less than
        half a millisecond are not told.

    Examples
    --------
    >>> write(read(example("meeting").with_suffix(".rttm")), "meeting.csv")
    """
    path = Path(path)
    form = _format_of(path)
    target = path.resolve()  # a link stays one
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name} to")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".diarnb-") as folder:
        whole = Path(folder) / path.name
        try:
            turns = _check_table(turns, form)
            form.dump(turns, whole)
            back = form.load_words(whole) if "word" in turns and isinstance(form, _HoldsBoth) else form.load(whole)
        except (ValueError, TypeError) as error:  # a TurnTableError is one, and so is half a character in a text
            raise TurnTableError(f"{path.name} was not written: {error}") from error
        whole.replace(target)
    if remarks := find_losses(turns, back.assign(duration=back["end"] - back["start"])):
        warnings.warn(f"{path.name} was written {'; '.join(remarks)}", DiarnbWarning, stacklevel=2)


def _check_table(turns: pd.DataFrame, form: Format) -> pd.DataFrame:
    if not isinstance(turns, pd.DataFrame):
        return check_turns(turns)
    if form is uem and "speaker" not in turns:
        return _check_stretches(turns, "turns")
    if "word" in turns and (isinstance(form, _HoldsBoth) or form in (ctm, table, parquet)):
        return _check_words(turns, "turns")
    return check_turns(turns)


def _check_words(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check a table as `check_turns` does; but speakers may be missing."""
    checked = check_spans(table if "speaker" in table else table.assign(speaker=None), name=name)
    who = checked["speaker"].astype(object)
    return checked.assign(speaker=who.where(who.notna(), None))


def _check_stretches(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return check_spans(table, name=name)


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > _LARGEST:
        raise TurnTableError(f"{path.name} is too large for a table of turns: {size:,} bytes, of {_LARGEST:,} at most")


def _format_of(path: Path) -> Format:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    form = FORMATS.get("".join(suffixes[-2:])) or FORMATS.get(suffixes[-1] if suffixes else "")
    if form is None:
        known = ", ".join(sorted(FORMATS))
        raise InvalidParameterError(f"{path.name!r:.80} is of no known format; a file of turns ends in one of {known}")
    return form
