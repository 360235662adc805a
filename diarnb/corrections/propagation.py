"""From a few corrected turns to the others: what the engine would change, shown before it is accepted.

Turns of which a person said who speaks (`Corrections.confirmed`) must be heard as their speakers', and so apart from
each other's; turns that a person rejected cannot be the speaker's whose they were. The engine weighs all other turns
anew under these constraints, from what it has heard. Two people who were taken for one come apart like this as well:
give one turn of the second to a new voice, and look at what is proposed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb.engines.base import Engine
from diarnb.errors import InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.params import Params
from diarnb.results import confidences
from diarnb.results.runs import evidence_of, run_of

if TYPE_CHECKING:
    from diarnb.corrections import Corrections

_COLUMNS = {"start": float, "end": float, "duration": float, "speaker": str, "becomes": str, "label": str}


def likely(corrections: Corrections) -> pd.DataFrame:
    """Estimate how likely each voice is in each turn, given what a person said of some.

    Parameters
    ----------
    corrections : Corrections
        Of a table that `diarize` made with an engine that keeps what it heard (the local one does).

    Returns
    -------
    pandas.DataFrame
        The index of ``corrections.turns``, one column for each label, 0-100; a row sums to 100. NaN for a turn that
        cannot be heard by itself: all of it lies under others' turns, or there is no speech.

    Raises
    ------
    TurnTableError
        The table did not come from diarnb.
    RunNotFoundError
        The run, or what it heard, is no longer in the store.
    InvalidParameterError
        The engine cannot hear voices again.
    """
    turns = corrections.turns
    run = run_of(turns)
    engine = engines.get(run.engine)
    engine.require(Engine.reconsider)
    evidence, _ = evidence_of(run)
    confirmed = corrections.confirmed
    asked = turns[["start", "end", *(["channel"] if "channel" in turns else [])]].assign(
        speaker=corrections.voices, certain=[turn in confirmed for turn in turns.index]
    )
    return engine.reconsider(evidence, Params(**run.params), asked, corrections.rejected)


def propose(corrections: Corrections) -> pd.DataFrame:
    """Find which other turns would change speakers, given what a person said of some; nothing is changed yet.

    Parameters
    ----------
    corrections : Corrections
        As for `likely`.

    Returns
    -------
    pandas.DataFrame
        The turns that would change, by their ids: ``start, end, duration`` in seconds, ``speaker`` as shown now,
        ``becomes`` as it would be shown, ``label`` of that voice, and ``probability`` of it, 0-100; the longest first.
        Empty while nobody has said who speaks in any turn.

    Raises
    ------
    TurnTableError, RunNotFoundError, InvalidParameterError
        As `likely`.

    Examples
    --------
    >>> from diarnb.corrections import Corrections
    >>> corrections = Corrections(recluster(diarize(example("meeting"), progress=False), num_speakers=3))
    >>> new = corrections.reassign(11, None)  # two people were taken for one, and this is the second
    >>> proposal = propose(corrections)
    >>> set(proposal["label"]) == {new}
    True
    >>> accept(corrections, proposal[proposal["probability"] > 90])
    """
    scores, turns, now = likely(corrections), corrections.turns, corrections.voices
    said = corrections.confirmed
    if not said and not corrections.rejected:
        scores = scores.iloc[:0]
    scores = scores[scores.notna().all(axis=1) & ~scores.index.isin(said)]
    best = scores.idxmax(axis=1) if len(scores) else pd.Series(dtype=str)
    best = best[best != now.reindex(best.index)]
    proposal = turns.loc[best.index, ["start", "end", "duration", "speaker"]].assign(
        becomes=best.map(corrections.labels), label=best, probability=scores.reindex(best.index).max(axis=1)
    )
    proposal = proposal.astype({**_COLUMNS, "probability": float}).sort_values(
        "duration", ascending=False, kind="stable"
    )
    proposal.attrs = {}
    return proposal


def accept(corrections: Corrections, proposal: pd.DataFrame) -> None:
    """Accept what was proposed, all of it or the rows that are left of it: one edit, by the engine.

    Turns that were changed or confirmed since stay as they are.

    Parameters
    ----------
    corrections : Corrections
    proposal : pandas.DataFrame
        Rows of `propose`.

    Raises
    ------
    InvalidParameterError
        There is nothing to change.
    """
    there, said = corrections.turns["speaker"], corrections.confirmed
    voices = {
        int(turn): label
        for turn, was, label in zip(proposal.index, proposal["speaker"], proposal["label"], strict=True)
        if turn in there.index and turn not in said and there[turn] == was
    }
    if not voices:
        raise InvalidParameterError("there is nothing to accept: no turn would change, or all were changed since")
    corrections.reassign_each(voices, by=run_of(corrections.turns).engine)


def sureness(corrections: Corrections) -> pd.Series[float]:
    """Estimate how sure it is that the speaker of each turn is right, as far as anybody knows.

    Parameters
    ----------
    corrections : Corrections

    Returns
    -------
    pandas.Series
        The index of ``corrections.turns``, 0-100: 100 where a person said so, 0 where a person rejected it, else the
        run's `diarnb.confidences` or what `likely` says, whichever is the less. Without a run, the column
        ``confidence``; NaN where nobody knows.
    """
    turns, voices = corrections.turns, corrections.voices
    given = [turns["confidence"]] if "confidence" in turns else []
    with suppress(TurnTableError, RunNotFoundError):
        given.append(_own(confidences(turns), turns["speaker"]))
        with suppress(InvalidParameterError):
            given.append(_own(likely(corrections), voices))
    sure = pd.concat([pd.Series(np.nan, turns.index), *given], axis=1).min(axis=1)
    rejected = [turn for turn, labels in corrections.rejected.items() if voices[turn] in labels]
    return sure.mask(turns.index.isin(rejected), 0.0).mask(turns.index.isin(corrections.confirmed), 100.0)


def _own(scores: pd.DataFrame, speaker: pd.Series[str]) -> pd.Series[float]:
    """Take from each row the score of its own speaker."""
    places = scores.columns.get_indexer(pd.Index(speaker))
    values = np.column_stack([scores.to_numpy(dtype=float), np.full(len(scores), np.nan)])  # -1 is nobody
    return pd.Series(values[np.arange(len(scores)), places], scores.index)
