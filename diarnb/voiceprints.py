"""Know people again: a voiceprint of each, and their names on the turns of any recording."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb._pipeline import show_progress
from diarnb._text import visible
from diarnb.api import diarize
from diarnb.audio import open_recording
from diarnb.audio.excerpts import RATE, excerpts
from diarnb.engines.base import Engine
from diarnb.engines.cloud.keys import seal_key
from diarnb.engines.matching import check_matching, check_voiceprints
from diarnb.engines.question import Question
from diarnb.errors import DiarnbWarning, InvalidParameterError, RunNotFoundError, TurnTableError, VoiceprintAudioError
from diarnb.params import Params
from diarnb.playback import find_audio
from diarnb.results.matching import match_run
from diarnb.results.runs import run_of, table_of
from diarnb.tables.activity import match_one_to_one
from diarnb.tables.checks import check_end, check_turns
from diarnb.tables.turns import rename

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diarnb._progress import Progress
    from diarnb._types import Json, Source
    from diarnb.audio import Recording
    from diarnb.engines.base import OwnEngine
    from diarnb.store.run import Run


_LONGEST = 30.0  # seconds

_BEYOND = 1.0  # seconds by which turns may end after their recording

_COLUMNS: dict[str, type] = {"speaker": str, "voiceprint": str, "score": float, "matched": bool}


def voiceprint(
    source: Source | pd.DataFrame,
    *,
    engine: str | OwnEngine = "local",
    audio: Source | None = None,
    progress: bool | Progress = True,
    **options: Any,
) -> str:
    """Make a voiceprint, by which a voice is recognized.

    Parameters
    ----------
    source : pandas.DataFrame or anything that `diarize` takes
        A recording of one person, at most 30 s; or that person's rows of a table that `diarize` returned, of which the
        clearest 30 s are used.
    engine : str or Engine, default "local"
        The engine that makes it; only the same engine can use it in `identify`. ``"pyannoteai"`` bills for each
        voiceprint, but not twice for the same recording.
    audio : anything that `diarize` takes, optional
        The recording of the table, if diarnb cannot find it: it was moved, or was never a file.
    progress : bool or callable, default True
        As for `diarize`.
    **options
        For pyannoteAI: ``api_key``, ``base_url``, ``timeout`` as for `diarize`, and ``model``, by default the service's
        own, whose voiceprints ``"precision-1"`` and ``"precision-2"`` can read.

    Returns
    -------
    str
        Base64 text of about 550 characters (local), to keep in a file or a database. It contains numbers and no audio,
        but it identifies a person: protect it as you would protect a photograph. pyannoteAI's text starts with the
        models that can read it, ``pyannoteai:precision-1-2:``.

    Raises
    ------
    VoiceprintAudioError
        Nobody speaks, the speech is shorter than 2 s, or more than one person speaks. Use 10 s or more.
    AudioLimitError
        The recording lasts longer than 30 s.
    AudioNotFoundError, AudioChangedError
        The table's recording has moved or changed: pass it as ``audio=``.
    InvalidParameterError
        The table's rows are of several speakers, or the engine has no voiceprints, or no such option.
    ApiError
        A service failed; the subclasses say whether it may be billed.

    Warns
    -----
    DiarnbWarning
        Somebody else says a word, which was left out; or the audio is damaged in places.

    Examples
    --------
    >>> turns = diarize(example("meeting"), progress=False)
    >>> maya = voiceprint(turns[turns["speaker"] == "SPEAKER_00"])
    >>> list(identify(diarize(example("interview"), progress=False), {"Maya": maya})["speaker"].unique())
    ['Maya', 'SPEAKER_01']
    """
    options = seal_key(options)  # a traceback may show what is in this frame
    make = _find_maker(engine, options, progress)
    if not isinstance(source, pd.DataFrame):
        with open_recording(source) as recording:
            text, remark = make(recording)
            name = recording.name
    else:
        speaker, turns = _select_speaker(source, _find_run(source, audio))
        name = f"the speech of {speaker}"
        with open_recording(_find_source(source, audio)) as recording:
            _check_end(source, recording)
            heard = excerpts(recording, turns, _LONGEST)[speaker]
        if not heard:
            raise VoiceprintAudioError(f"There is no sound in the turns of {speaker} in {recording.name}.")
        with open_recording((np.concatenate(heard), RATE)) as recording:
            recording.name = name
            text, remark = make(recording)
    if remark:
        warnings.warn(f"{name}: {remark}", DiarnbWarning, stacklevel=2)
    return text


def identify(
    source_or_turns: Source | pd.DataFrame,
    voiceprints: Mapping[str, str],
    *,
    threshold: float = 0,
    exclusive: bool = True,
    engine: str | OwnEngine = "local",
    audio: Source | None = None,
    progress: bool | Progress = True,
    **options: Any,
) -> pd.DataFrame:
    """Find known people among the speakers.

    Parameters
    ----------
    source_or_turns : pandas.DataFrame or anything that `diarize` takes
        A table of turns from any engine, or a recording, which is diarized first.
    voiceprints : mapping of str to str
        From names to voiceprints, 1 to 50 of them. A name has at most 100 characters and does not begin with
        ``SPEAKER_``.
    threshold : float, default 0
        Match score, 0-100, below which a speaker stays unknown. With 0, every voiceprint is matched to its best
        speaker, however different they are. 50 means: more likely the same person than not.
    exclusive : bool, default True
        Each voiceprint names at most one speaker; the pairs with the best total similarity are chosen. With False,
        every speaker gets their best match, so several speakers may get the same name.
    engine : str or Engine, default "local"
        The engine that compares: the one that made the voiceprints, whichever engine made the turns. ``"pyannoteai"``
        accepts recordings only; it diarizes them in the same job, and bills this as a diarization.
    audio : anything that `diarize` takes, optional
        The recording of the table, if diarnb cannot find it: it was moved, or was never a file.
    progress : bool or callable, default True
        As for `diarize`; it first shows what will be billed.
    **options
        Other arguments of `diarize`, if a recording is diarized first.

    Returns
    -------
    pandas.DataFrame
        The same turns. Recognized speakers have their names; the others keep their labels (``SPEAKER_01``). `matches`
        returns all scores. All other tables of the run use the new names too. Identifying this table again starts from
        its original labels.

    Raises
    ------
    VoiceprintError
        A voiceprint is damaged, comes from another version or engine, or is not a voiceprint. Nothing was read or sent.
    InvalidParameterError
        Another parameter is wrong; or a table was passed to a service.
    TurnTableError
        The table does not know its recording, or holds several.
    AudioNotFoundError, AudioChangedError
        The table's recording has moved or changed: pass it as ``audio=``.

    Notes
    -----
    A score of the local engine is the probability, in percent, that two voices are the same person, assuming even odds
    beforehand. Short speech and different microphones lower it.

    Examples
    --------
    >>> monday = diarize(example("interview"), progress=False)
    >>> prints = {"Maya": monday[monday["speaker"] == "SPEAKER_00"].diar.voiceprint()}
    >>> tuesday = identify(diarize(example("meeting"), progress=False), prints, threshold=50)
    >>> sorted(tuesday["speaker"].unique())
    ['Maya', 'SPEAKER_01', 'SPEAKER_02', 'SPEAKER_03']
    """
    check_voiceprints(voiceprints)
    check_matching(threshold, exclusive)
    options = seal_key(options)
    chosen = engines.get(engine)
    table = isinstance(source_or_turns, pd.DataFrame)
    if chosen.can(Engine.make_voiceprint) and not isinstance(source_or_turns, pd.DataFrame):
        matching = options.get("matching", {})
        if "matching" in options and (threshold != 0 or exclusive is not True):
            raise InvalidParameterError("threshold and exclusive mean the same as matching; leave out one of them")
        if isinstance(matching, dict):  # else the engine says what it is to be
            options["matching"] = {"threshold": threshold, "exclusive": exclusive, **matching}
        options["voiceprints"] = voiceprints
        return diarize(source_or_turns, engine=chosen, progress=progress, **options)
    if chosen.can(Engine.make_voiceprint):
        raise InvalidParameterError(
            f"{chosen.name} names the speakers while it diarizes, and accepts no table: pass the recording, which is "
            "billed; or leave out engine= and use voiceprints of the local engine"
        )
    if table and options:
        raise InvalidParameterError(
            f"{min(options)} is an option for diarizing, but this table is diarized already; leave it out"
        )
    chosen.check_voiceprints(voiceprints)
    if isinstance(source_or_turns, pd.DataFrame):
        check_turns(source_or_turns)
        if _count_recordings(source_or_turns) > 1:
            raise TurnTableError('this table holds several recordings; identify each: turns[turns["uri"] == "..."]')
        turns = _undo_names(source_or_turns)
        source, run = _find_source(turns, audio), _find_run(turns, audio)
    else:
        turns, source = diarize(source_or_turns, engine=chosen, progress=progress, **options), source_or_turns
        run = run_of(turns)
    with open_recording(source) as recording:
        _check_end(turns, recording)
        scores = chosen.identify(recording, _add_channel(turns, run), voiceprints)
    names = choose(scores, list(voiceprints), float(threshold), exclusive=exclusive)
    for stays in sorted(scores.keys() - names.keys()):
        if stays in names.values():
            raise InvalidParameterError(
                f"the table calls somebody {stays!r:.40} whom that voiceprint does not match, and it matches another; "
                f'rename them first: turns.diar.rename({{{stays!r:.40}: "..."}})'
            )
    named = rename(turns, names)
    rounded = {who: {label: round(value, 1) for label, value in found.items()} for who, found in scores.items()}
    named.attrs["diarnb"]["matches"] = {
        who: {"match": names.get(who), "scores": found} for who, found in sorted(rounded.items())
    }
    return named


def matches(turns: pd.DataFrame) -> pd.DataFrame:
    """Return how well each speaker matched each voiceprint.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `identify` returned, whole or in part.

    Returns
    -------
    pandas.DataFrame
        One row for each speaker and voiceprint, the best match first: ``speaker`` (the earlier label), ``voiceprint``
        (its name), ``score`` (0-100) and ``matched``, whether the speaker got that name.

    Raises
    ------
    TurnTableError
        The table was not identified.

    Examples
    --------
    >>> turns = diarize(example("meeting"), progress=False)
    >>> prints = {"Maya": voiceprint(turns[turns["speaker"] == "SPEAKER_00"])}
    >>> matches(identify(turns, prints))[["speaker", "voiceprint", "matched"]].head(2)
          speaker voiceprint  matched
    0  SPEAKER_00       Maya     True
    1  SPEAKER_01       Maya    False
    """
    found = (getattr(turns, "attrs", {}).get("diarnb") or {}).get("matches")
    if found is None:
        raise TurnTableError("this table was not identified: turns = diarnb.identify(turns, voiceprints)")
    rows = [
        (speaker, label, score, label == entry["match"])
        for speaker, entry in found.items()
        for label, score in sorted(entry["scores"].items(), key=lambda item: -item[1])
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _find_maker(
    engine: str | OwnEngine, options: Json, progress: bool | Progress
) -> Callable[[Recording], tuple[str, str | None]]:
    """Return what makes a voiceprint of a recording, or refuse what is wrong before anything is read."""
    chosen = engines.get(engine)
    if not chosen.can(Engine.make_voiceprint):
        chosen.require(Engine.voiceprint)
        if options:
            raise InvalidParameterError(f"the engine {chosen.name!r} makes voiceprints without {min(options)!r}")
        return chosen.voiceprint
    question = Question.settle(chosen, Params(model=options.pop("model", None)), options)

    def make(recording: Recording) -> tuple[str, str | None]:
        with show_progress(progress) as report:
            return chosen.make_voiceprint(recording, question.params, question.options, report)

    return make


def _undo_names(turns: pd.DataFrame) -> pd.DataFrame:
    """Take back the names of an earlier identification, so that a cell can be run again with another threshold."""
    found = (turns.attrs.get("diarnb") or {}).get("matches") or {}
    given = [entry["match"] for entry in found.values()]
    shown = set(turns["speaker"].astype(str))
    back = {
        entry["match"]: speaker
        for speaker, entry in found.items()
        if entry["match"] in shown and given.count(entry["match"]) == 1 and speaker not in shown
    }
    return rename(turns, back)


def _find_run(turns: pd.DataFrame, audio: Source | None) -> Run | None:
    """Find the table's run; where the audio is given, it may be gone."""
    if "run" in (turns.attrs.get("diarnb") or {}):
        if audio is None:
            return run_of(turns)
        with suppress(RunNotFoundError):
            return run_of(turns)
    return None


def _find_source(turns: pd.DataFrame, audio: Source | None) -> Source:
    if audio is not None:
        return audio
    if "run" not in (turns.attrs.get("diarnb") or {}):
        raise TurnTableError("this table does not know its recording: pass it as audio=…")
    return find_audio(turns)


def _add_channel(turns: pd.DataFrame, run: Run | None) -> pd.DataFrame:
    """Add which channel was heard, where it was one of several."""
    only = run.params.get("channels") if run is not None else None
    return turns.assign(channel=only) if isinstance(only, int) and "channel" not in turns else turns


def _count_recordings(turns: pd.DataFrame) -> int:
    return len(turns["uri"].unique()) if "uri" in turns else 1


def _check_end(turns: pd.DataFrame, recording: Recording) -> None:
    name, advice = visible(recording.name, limit=80), ": pass their recording as audio=…"
    ends, error = turns["end"], InvalidParameterError
    check_end(ends, recording.duration, audio=name, advice=advice, slack=_BEYOND, share=0.0, error=error)


def _select_speaker(rows: pd.DataFrame, run: Run | None) -> tuple[str, pd.DataFrame]:
    """Return the one speaker of some rows, and these with all that others say in the same recording."""
    rows = check_turns(rows)
    found = list(rows["speaker"].unique())
    if len(found) != 1 or _count_recordings(rows) > 1:
        which = f"choose one: turns[turns['speaker'] == {found[0]!r:.40}]" if found else "there is no turn"
        raise InvalidParameterError(f"a voiceprint needs one speaker in one recording, not {len(found)}; {which}")
    speaker = found[0]
    if run is None:
        return speaker, rows
    everybody = table_of(run)
    names = (rows.attrs.get("diarnb") or {}).get("names", {})
    own = set(match_run(rows, run)) | {name for name in everybody["speaker"] if names.get(name, name) == speaker}
    others = everybody[~everybody["speaker"].isin(own)]
    others = others.assign(speaker=[names.get(name, name) for name in others["speaker"]])
    return speaker, _add_channel(pd.concat([rows, others], ignore_index=True), run)


def choose(
    scores: Mapping[str, Mapping[str, float]], labels: list[str], threshold: float, *, exclusive: bool
) -> dict[str, str]:
    """Assign a label to each speaker who has one.

    Parameters
    ----------
    scores : mapping
        Of each speaker how well they match each label, 0-100; nothing of one who cannot be heard.
    labels : list of str
    threshold : float
        Score below which nobody is anybody.
    exclusive : bool
        Whether a label names at most one speaker: the assignment with the highest sum of scores, else everybody's best.
    """
    heard = [speaker for speaker, found in scores.items() if found]
    table = np.array([[scores[speaker][label] for label in labels] for speaker in heard]).reshape(-1, len(labels))
    allowed = table.round(1) >= threshold  # as it is shown
    worth = np.where(allowed, table, -1.0)  # rather a bad match than one that is not to be
    if exclusive:
        pairs = match_one_to_one(worth, allowed)
    else:
        best = worth.argmax(axis=1).tolist()
        pairs = {row: column for row, column in enumerate(best) if allowed[row, column]}
    return {heard[row]: labels[column] for row, column in pairs.items()}
