"""Read and write files of turns, with one module for each format and one table for the JSON of other tools.

A format is a module with ``load(reading) -> DataFrame`` and, if it can be written, ``dump(turns, path)``. It states
what it reads (`READS`) and what it holds (`HOLDS`), from which the documentation makes its tables, and has a line in
`FORMATS`. `dump` gets a checked table and a temporary path with the final name. Every written file is read back, and a
`DiarnbWarning` reports what was lost. What `load` returns is checked here.

A table of turns has ``start``, ``end`` and ``speaker``, and ``text`` if the file contains what was said. A table with a
column ``word`` is a table of words: `read` turns it into turns, and `read_words` returns it unchanged. A format that
holds both also has ``load_words(reading)``.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import pandas as pd

from diarnb._text import public_url, refuse_call
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import (
    audacity,
    chat,
    ctm,
    deepgram,
    document,
    eaf,
    lab,
    labelstudio,
    parquet,
    pyannoteai,
    rttm,
    spreadsheet,
    srt,
    stm,
    table,
    textgrid,
    uem,
    webvtt,
    whisperx,
)
from diarnb.formats._shared.losses import find_losses
from diarnb.formats._shared.reading import LARGEST, Reading, make_size_error
from diarnb.formats._shared.words import join_words, make_words
from diarnb.formats.annotation import from_annotation, to_annotation
from diarnb.formats.page import make_page
from diarnb.formats.subtitles import write_subtitles
from diarnb.tables.checks import as_table, check_spans, check_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diarnb._types import Source
    from diarnb.formats._shared.holds import Holds

__all__ = ["FORMATS", "Format", "from_annotation", "read", "read_words", "to_annotation", "write", "write_subtitles"]


def __dir__() -> list[str]:
    return __all__


refuse_call(__name__)


@runtime_checkable
class Format(Protocol):
    """The interface of a format module.

    Attributes
    ----------
    READS : str
        What can be read, for the documentation.
    HOLDS : Holds or None
        What a written file holds; None if the format cannot be written.
    """

    @property
    def READS(self) -> str: ...  # noqa: D102, N802
    @property
    def HOLDS(self) -> Holds | None: ...  # noqa: D102, N802

    def load(self, reading: Reading, /) -> pd.DataFrame:
        """Read a file; a speaker is missing where the file names nobody."""


@runtime_checkable
class _Writes(Protocol):
    """What a module has beyond that if its files are written."""

    def dump(self, turns: pd.DataFrame, path: Path, /) -> None: ...


@runtime_checkable
class _HoldsBoth(Protocol):
    """What a module has beyond that if its files hold words beside turns."""

    def load_words(self, reading: Reading, /) -> pd.DataFrame: ...


FORMATS: dict[str, Format] = {
    ".cha": chat,
    ".csv": table,
    ".csv.gz": table,
    ".ctm": ctm,
    ".deepgram.json": deepgram,
    ".eaf": eaf,
    ".json": document,
    ".jsonl": document,
    ".jsonl.gz": document,
    ".lab": lab,
    ".labelstudio.json": labelstudio,
    ".parquet": parquet,
    ".pyannoteai.json": pyannoteai,
    ".rttm": rttm,
    ".srt": srt,
    ".stm": stm,
    ".textgrid": textgrid,
    ".tsv": table,
    ".txt": audacity,
    ".uem": uem,
    ".vtt": webvtt,
    ".whisperx.json": whisperx,
    ".xlsx": spreadsheet,
}
"""The formats by the suffix of their files."""

PAGE = ".html"
"""What is written for people, and not read."""

WORDS_ONLY = frozenset({".ctm", ".deepgram.json"})
"""Those that are written from a table of words only."""

READ_ONLY = frozenset({".cha", ".jsonl", ".jsonl.gz"})
"""Those that are read, and not written."""

_GUARDED = frozenset({".csv", ".csv.gz", ".tsv", ".xlsx"})

_DECIDE = {"tiers": (textgrid, eaf), "labels": (textgrid, eaf, audacity), "speakers": (srt, webvtt, audacity)}


def read(
    path: str | os.PathLike[str],
    *,
    tiers: str | Sequence[str] | None = None,
    labels: Literal["speaker", "text"] | None = None,
    speakers: Literal[False] | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read turns from a file.

    Some files do not mark what is a speaker. Then diarnb must choose: which tiers, or which words before a colon. One
    `DiarnbWarning` reports the choices, ``attrs["diarnb"]["warning"]`` keeps them, and the arguments override them.
    Damaged rows are skipped and counted, as long as most rows are valid.

    Parameters
    ----------
    path : str or path
        The suffix decides the format; the notes list them.
    tiers : str or sequence of str, optional
        For ``.TextGrid`` and ``.eaf``: the tiers to read. Default: tiers of speech. Tiers of words, phones, codes and
        gestures are left out, and if a person has several tiers, the one with the speech is used.
    labels : "speaker" or "text", optional
        For ``.TextGrid``, ``.eaf`` and ``.txt``: what the labels are. Default: text, except in a single tier whose
        labels are numbered speakers or recurring names.
    speakers : False or sequence of str, optional
        For ``.srt``, ``.vtt`` and ``.txt``: the names that may precede a colon or be in brackets, or False for none.
        Default: decided from the whole file; names are short, capitalized, and recur.

    Returns
    -------
    pandas.DataFrame
        A table of turns; with a column ``text`` if the file contains what was said, ``channel`` if there are several,
        and ``uri`` if it holds several recordings.

    Raises
    ------
    InvalidParameterError
        If the suffix is unknown, an argument does not apply to the format, or there is no such tier.
    TurnTableError
        If the content is damaged (the message names file and line), holds no turns, or names no speaker.
    ConfigurationError
        If the format needs an extra that is not installed.
    OSError
        If the file cannot be read.

    Warns
    -----
    DiarnbWarning
        If diarnb had to choose, damaged rows were skipped, or some rows name no speaker, as happens in transcripts;
        `read_words` returns those too.

    Notes
    -----
    =============  ==============================================================================================
    ``.csv``       a table with a header, by any tool; of words (a column ``word``) the turns that they make, as
                   everywhere; ``.tsv``, ``.csv.gz`` and ``.xlsx`` (extra ``formats``) are the same
    ``.parquet``   the same; needs the extra ``parquet``
    ``.json``      by its content: ours, an answer of pyannoteAI or Deepgram, a transcript of WhisperX, or one of
                   the makers that `diarnb.formats.makers.MAKERS` lists; in ``.jsonl`` and ``.jsonl.gz`` each line is a
                   row
    ``.rttm``      the evaluations' turns
    ``.stm``       their segments with text; those that stand for a gap are left out
    ``.ctm``       their words; if they have speakers
    ``.uem``       their stretches to score: start, end, duration, and no speaker
    ``.lab``       start, end and label; HTK's as well
    ``.srt``       subtitles that begin with a name, ``Maya: Hello.``, ``[Maya] Hello.`` or ``>> MAYA: Hello.``
    ``.vtt``       captions with voices, ``<v Maya>Hello.</v>``, or with names as in ``.srt``
    ``.txt``       Audacity's labels: ``Maya``, or ``Maya: Hello.``
    ``.TextGrid``  Praat's: each tier of intervals is a speaker, what is labelled is a turn
    ``.eaf``       ELAN's: each tier that stands for itself is a speaker
    ``.cha``       CHAT's lines that have times
    =============  ==============================================================================================

    Examples
    --------
    >>> sorted(read(example("meeting").with_suffix(".rttm"))["speaker"].unique())
    ['Fergus', 'Maya', 'Otto', 'Victor']
    """
    if isinstance(path, str) and "://" in path:
        raise InvalidParameterError(
            f"{public_url(path)!r} is an address, but files of turns are read from this machine: download it first,"
            f" path, _ = urllib.request.urlretrieve(url, {path.rpartition('/')[2].partition('?')[0]!r})"
        )
    path = Path(path)
    form = _find_format(path)
    reading = _begin(path, form, tiers=tiers, labels=labels, speakers=speakers)
    found = _cut_early(form.load(reading), reading)
    if form is uem:
        turns = _check_stretches(found, path.name)
    else:
        has_text = not {"word", "text"}.isdisjoint(found)
        if "word" in found and "speaker" in found:
            found = join_words(_check_words(found, path.name))
        turns = check_turns(_drop_unnamed(found, reading, has_text=has_text), name=path.name)
    _tell(turns, reading)
    return turns


def read_path(turns: pd.DataFrame | str | os.PathLike[str], name: str = "turns") -> pd.DataFrame:
    """Read a table where a path stands for it; `name` is what an error calls it."""
    return read(turns) if isinstance(turns, str | os.PathLike) else as_table(turns, name=name)


def read_words(
    path: str | os.PathLike[str],
    *,
    tiers: str | Sequence[str] | None = None,
    labels: Literal["speaker", "text"] | None = None,
    speakers: Literal[False] | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read words from a file, with or without speakers; `diarnb.assign_speakers` adds them.

    Parameters
    ----------
    path : str or path
        A ``.ctm``; a ``.json`` of Deepgram, pyannoteAI, WhisperX, faster-whisper, Whisper or another tool; or a
        ``.csv``, ``.parquet`` or ``.json`` of a table with a column ``word``. If a file does not time its words, such
        as ``.srt``, ``.vtt`` and ``.stm``, each segment with its text counts as one word.
    tiers, labels, speakers
        As for `read`.

    Returns
    -------
    pandas.DataFrame
        As `diarnb.words` returns it: ``start, end, word, text, speaker`` (missing where the file names nobody),
        ``confidence, speaker_confidence`` (0-1, NaN where there is none), ``channel``; and ``uri`` if the file holds
        several recordings. Words that WhisperX could not time are placed between their neighbours.

    Raises
    ------
    InvalidParameterError
        If the suffix is unknown, or an argument does not apply to the format.
    TurnTableError
        If the content is damaged, or holds no words.
    OSError
        If the file cannot be read.

    Warns
    -----
    DiarnbWarning
        As `read` does.

    Examples
    --------
    >>> words = read_words(example("interview").with_suffix(".words.csv"))
    >>> " ".join(words["text"][:5])
    'Welcome back. With me is'
    """
    path = Path(path)
    form = _find_format(path)
    reading = _begin(path, form, tiers=tiers, labels=labels, speakers=speakers)
    found = _cut_early(form.load_words(reading) if isinstance(form, _HoldsBoth) else form.load(reading), reading)
    words = make_words(_check_words(found, path.name), path.name)
    _tell(words, reading)
    return words


def write(turns: pd.DataFrame, path: str | os.PathLike[str], *, audio: Source | bool = False) -> None:
    """Write these rows, turns or words, to a file. An existing file is replaced completely.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker. In a table of words (`diarnb.words`), speakers may be missing if the
        format holds words.
    path : str or path
        The suffix decides the format; the notes list what each format holds.
    audio : bool or anything that `diarize` takes, default False
        For ``.html``: include the audio in the page, at most 20 MB or about 80 minutes. True uses the recording of the
        run.

    Raises
    ------
    InvalidParameterError
        If the suffix is unknown, or the format cannot hold audio, or the audio is too long.
    AudioNotFoundError, AudioChangedError, AudioError
        If the audio was asked for, but is missing or cannot be used.
    TurnTableError
        If this is not a table of turns, or the format cannot hold it at all, such as several recordings in ``.srt``.
    ConfigurationError
        If the format needs an extra that is not installed.
    OSError
        If the file cannot be written. An existing file is then unchanged.

    Warns
    -----
    DiarnbWarning
        If the file does not hold everything in the table. The file is read back to find out; differences in time of
        less than half a millisecond are not reported.

    Notes
    -----
    ``yes``: the file holds it. ``-``: it is reported as lost.

    =====================  ======  =======  =======  =====  ==========  =====  ============================
    suffix                 times   overlap  names    text   confidence  words  else
    =====================  ======  =======  =======  =====  ==========  =====  ============================
    ``.csv``               exact   yes      any      yes    yes         yes    every column; ``.tsv``, ``.xlsx`` too
    ``.parquet``           exact   yes      any      yes    yes         yes    every column and the facts
    ``.json``              exact   yes      any      yes    yes         yes    every column and the facts
    ``.pyannoteai.json``   exact   yes      any      yes    yes         yes
    ``.deepgram.json``     exact   yes      numbers  yes    of words    only   channel
    ``.whisperx.json``     exact   yes      any      yes    of words    yes
    ``.labelstudio.json``  exact   yes      any      yes    -           -      channel, uri
    ``.rttm``              1 ms    yes      a word   -      -           -      channel, uri
    ``.stm``               1 ms    yes      a word   words  -           -      channel, uri
    ``.ctm``               1 ms    yes      a word   -      of words    only   channel, uri
    ``.uem``               1 ms    yes      -        -      -           -      channel, uri
    ``.lab``               1 ms    yes      a word   -      -           -
    ``.srt``               1 ms    yes      any      yes    -           -
    ``.vtt``               1 ms    yes      any      yes    -           -
    ``.txt``               exact   yes      any      yes    -           -
    ``.TextGrid``          exact   yes      any      yes    -           -      no turn without length
    ``.eaf``               1 ms    yes      any      yes    -           -      no turn without length
    =====================  ======  =======  =======  =====  ==========  =====  ============================

    ``.html`` is a page to share. It is written but not read: the timeline and the transcript, in one file that needs no
    network.

    Several recordings (a column ``uri``) are refused if the format would put them on one timeline. In ``.rttm``,
    ``.stm``, ``.ctm`` and ``.uem`` they are named without a file suffix, as in evaluations. If a format allows only one
    word as a name, spaces become underscores. If it allows only one line of text, lines are joined. In ``.stm`` and
    ``.ctm`` words are written as scorers compare them, in lower case and without punctuation. Speakers who overlap
    with themselves get several tiers in ``.TextGrid`` and ``.eaf``.

    Examples
    --------
    >>> write(read(example("meeting").with_suffix(".rttm")), "meeting.csv")
    """
    if isinstance(turns, str | os.PathLike) and isinstance(path, pd.DataFrame):
        raise InvalidParameterError(f"the table comes first: diarnb.write(turns, {os.fspath(turns)!r:.80})")
    path = Path(path)
    if _suffix_of(path) == PAGE:
        _write_page(turns, path, audio)
        return
    if audio is not False:
        raise InvalidParameterError(f"audio= is for {PAGE}, not for {path.name!r:.80}")
    form = _find_format(path)
    if not isinstance(form, _Writes) or _suffix_of(path) in READ_ONLY:
        raise InvalidParameterError(f"{path.name!r:.80}: files of this format can be read, but not written")
    target = path.resolve()  # a link stays one
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name} to")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".diarnb-") as folder:
        whole = Path(folder) / path.name
        try:
            turns = _check_table(turns, form)
            _check_recordings(turns, form, path)
            form.dump(turns, whole)
            reading = Reading(whole)
            words = "word" in turns and isinstance(form, _HoldsBoth)
            back = form.load_words(reading) if words and isinstance(form, _HoldsBoth) else form.load(reading)
        except (ValueError, TypeError) as error:  # a TurnTableError is one, and so is half a character in a text
            raise TurnTableError(f"{path.name} was not written: {error}") from error
        whole.replace(target)
    remarks = find_losses(turns, back.assign(duration=back["end"] - back["start"]))
    if _suffix_of(path) in _GUARDED:
        remarks += table.tell_guards(turns)
    if remarks:
        warnings.warn(f"{path.name} was written {'; '.join(remarks)}", DiarnbWarning, stacklevel=2)


def _write_page(turns: pd.DataFrame, path: Path, audio: Source | bool) -> None:
    content = make_page(turns, audio=audio)
    target = path.resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name} to")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".diarnb-") as folder:
        whole = Path(folder) / path.name
        whole.write_text(content, encoding="utf-8")
        whole.replace(target)


def _begin(
    path: Path,
    form: Format,
    *,
    tiers: str | Sequence[str] | None,
    labels: Literal["speaker", "text"] | None,
    speakers: Literal[False] | Sequence[str] | None,
) -> Reading:
    """Check what was asked, and that the file can be a table of turns."""
    for name, value in (("tiers", tiers), ("labels", labels), ("speakers", speakers)):
        if value is not None and form not in _DECIDE[name]:
            fitting = ", ".join(suffix for suffix, other in FORMATS.items() if other in _DECIDE[name])
            raise InvalidParameterError(f"{name}= is for {fitting}, not for {path.name!r:.80}")
    if labels not in (None, "speaker", "text"):
        raise InvalidParameterError(f'labels is "speaker" or "text", not {labels!r:.60}')
    size = path.stat().st_size
    if size > LARGEST:
        raise make_size_error(path.name, size)
    if speakers is False:
        return Reading(path, _list_given("tiers", tiers), labels, speakers=False)
    return Reading(path, _list_given("tiers", tiers), labels, _list_given("speakers", speakers))


def _list_given(name: str, value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    try:
        names = tuple(value)
    except TypeError:
        names = (None,)  # type: ignore[assignment]
    if not all(isinstance(each, str) for each in names):
        raise InvalidParameterError(f"{name} is a list of names, not {value!r:.60}")
    return names


def _cut_early(found: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Cut at 0 what begins a moment before."""
    if "start" not in found or found["start"].dtype.kind != "f" or not (early := found["start"] < 0).any():
        return found
    first = found["start"].min()
    reading.remarks.append(f"{early.sum()} of {len(found)} rows begin before 0 (at {first:g} s) and are cut there")
    return found.assign(start=found["start"].clip(lower=0))


def _drop_unnamed(found: pd.DataFrame, reading: Reading, *, has_text: bool) -> pd.DataFrame:
    """Leave out rows that name no speaker, and tell so; refuse a table of which none does."""
    if "speaker" not in found:
        return found
    nobody = found["speaker"].isna() | (found["speaker"].astype(str).str.strip() == "")
    if not nobody.any():
        return found
    advice = f"diarnb.formats.read_words({reading.name!r})"
    if nobody.all():
        why = f" ({'; '.join(reading.remarks)})" if reading.remarks else ""
        what = "so it is a transcript, not a table of turns" if has_text else "so nobody knows who speaks when"
        both = f"; diarnb.assign_speakers({advice}, turns) brings both together" if has_text else ""
        raise TurnTableError(f"{reading.name} names no speaker, {what}{both}{why}")
    count = f"{nobody.sum()} of {len(found)} stretches name no speaker and are left out"
    reading.remarks.append(f"{count}; {advice} has them" if has_text else count)
    return found[~nobody]


def _tell(table: pd.DataFrame, reading: Reading) -> None:
    """Report what was taken for what, in one warning and in the table's facts."""
    if not reading.remarks:
        return
    told = "; ".join(reading.remarks)
    table.attrs["diarnb"] = {**(table.attrs.get("diarnb") or {}), "warning": told}
    warnings.warn(f"{reading.name}: {told}", DiarnbWarning, stacklevel=3)


def _check_table(turns: pd.DataFrame, form: Format) -> pd.DataFrame:
    if not isinstance(turns, pd.DataFrame):
        return check_turns(turns)
    if form is uem and "speaker" not in turns:
        return _check_stretches(turns, "turns")
    if "word" in turns and (isinstance(form, _HoldsBoth) or form in (ctm, table, parquet, spreadsheet)):
        return _check_words(turns, "turns")
    return check_turns(turns)


def holds_several(form: Format) -> bool:
    """Return whether a file of this format keeps several recordings apart."""
    return form.HOLDS is not None and ("uri" in form.HOLDS.also or "every column" in form.HOLDS.also)


def _check_recordings(turns: pd.DataFrame, form: Format, path: Path) -> None:
    """Refuse several recordings where the format would put them on one timeline."""
    count = turns["uri"].nunique() if "uri" in turns else 0
    if count > 1 and not holds_several(form):
        suffix = "".join(path.suffixes[-2:]) if _suffix_of(path).count(".") > 1 else path.suffix
        one_each = 'for uri, part in turns.groupby("uri"): diarnb.write(part, f"{uri}' + f'{suffix}")'
        raise TurnTableError(f"it holds one recording, and uri names {count}; one file each: `{one_each}`")


def _check_words(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check a table as `check_turns` does; but speakers may be missing."""
    checked = check_spans(table if "speaker" in table else table.assign(speaker=None), name=name)
    who = checked["speaker"].astype(object)
    return checked.assign(speaker=who.where(who.notna(), None))


def _check_stretches(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return check_spans(table, name=name)


def _suffix_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    double = "".join(suffixes[-2:])
    return double if double in FORMATS else suffixes[-1] if suffixes else ""


def _find_format(path: Path) -> Format:
    form = FORMATS.get(_suffix_of(path))
    if _suffix_of(path) == PAGE:
        raise InvalidParameterError(f"{path.name!r:.80}: a page can be written, but not read")
    if form is None:
        known = ", ".join(sorted(FORMATS))
        raise InvalidParameterError(f"{path.name!r:.80} is of no known format; a file of turns ends in one of {known}")
    return form
