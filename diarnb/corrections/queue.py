"""What to listen to: the clips by which a voice is known, the turns worth a second look, and how much is left to do.

Nothing here shows or plays anything. `sure` is a series with the index of the turns: the confidence, 0-100, that a
turn's speaker is right; NaN where nobody says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from diarnb.tables.turns import overlap

CLIP = 6.0
"""Seconds of a clip at most: enough to know a voice by, or to hear that it is somebody else's."""

_SHORTEST = 0.8  # seconds; less tells nothing of a voice
_DECIDING = 2.0  # seconds that a verdict takes beside the listening
_UNKNOWN = 80.0  # how sure to be of a turn of which nobody says
_TRUST = 10.0  # seconds of expected errors to be heard before verdicts outweigh what the engine says


class Left(NamedTuple):
    """What is left to review.

    Attributes
    ----------
    turns : int
        Turns without a verdict.
    wrong : float
        Seconds of speech in these that are probably somebody else's.
    share : float
        Of all speech, 0-1, errors that were found and not yet put right included.
    """

    turns: int
    wrong: float
    share: float


def clean(turns: pd.DataFrame) -> pd.DataFrame:
    """Find in each turn the longest stretch in which nobody else speaks.

    Parameters
    ----------
    turns : pandas.DataFrame
        With start, end and speaker, sorted by start.

    Returns
    -------
    pandas.DataFrame
        The index of `turns`, ``start`` and ``end`` in seconds; equal where there is none.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0.0, 3.0], "end": [4.0, 6.0], "speaker": ["A", "B"]})
    >>> clean(turns)
       start  end
    0    0.0  3.0
    1    4.0  6.0
    """
    shared = overlap(turns[["start", "end", "speaker"]].reset_index(drop=True))
    begins, ends = shared["start"].to_numpy(), shared["end"].to_numpy()
    found = np.zeros((len(turns), 2))
    for place, (start, end) in enumerate(turns[["start", "end"]].to_numpy()):
        within = slice(np.searchsorted(ends, start, "right"), np.searchsorted(begins, end))
        gaps = np.column_stack([np.append(start, ends[within]), np.append(begins[within], end)]).clip(start, end)
        begin, beyond = gaps[(gaps[:, 1] - gaps[:, 0]).argmax()]
        found[place] = begin, max(begin, beyond)
    return pd.DataFrame(found, turns.index, ["start", "end"])


def clips(turns: pd.DataFrame, sure: pd.Series[float], count: int = 3) -> pd.DataFrame:
    """Choose for each speaker a few clips that are clean and typical.

    A turn is the better the longer its speaker speaks alone in it, up to `CLIP` seconds, and the surer it is theirs;
    both are multiplied. Where a speaker is never alone for 0.8 s, what there is has to do.

    Parameters
    ----------
    turns : pandas.DataFrame
        With start, end and speaker, sorted by start.
    sure : pandas.Series
    count : int, default 3

    Returns
    -------
    pandas.DataFrame
        By the ids of turns: ``speaker``, in the order of first appearance, ``start`` and ``end`` in seconds; each
        speaker's best first.
    """
    found = clean(turns).assign(speaker=turns["speaker"])
    alone = found["end"] - found["start"]
    worth = alone.clip(upper=CLIP) * sure.fillna(_UNKNOWN) / 100
    worth = worth.where(alone >= _SHORTEST, worth / 1000)
    found = found.assign(worth=worth, order=pd.factorize(found["speaker"])[0])[alone > 0]
    found = found.sort_values(["order", "worth"], ascending=[True, False], kind="stable")
    best = found.groupby("order", sort=False).head(count)
    middle = (best["start"] + best["end"]) / 2
    half = np.minimum(best["end"] - best["start"], CLIP) / 2
    return best[["speaker"]].assign(start=middle - half, end=middle + half)


def queue(turns: pd.DataFrame, sure: pd.Series[float]) -> pd.DataFrame:
    """Order turns by doubt per second of listening.

    The doubt in a turn is the speech that is probably somebody else's: its seconds, times the square of what confidence
    is short of 1. Confidence is the share of the time that is right, and most of the rest lies at edges; the square is
    about how often a whole turn is somebody else's (``python -m benchmarks.corrections`` compares). Listening takes as
    long as the turn, at most `CLIP` seconds, and 2 s to decide.

    Parameters
    ----------
    turns : pandas.DataFrame
        With start, end and speaker; those that wait for a verdict.
    sure : pandas.Series

    Returns
    -------
    pandas.DataFrame
        By the ids of turns, the most worth hearing first: ``doubt`` in seconds, ``listening`` in seconds, ``worth``,
        the one divided by the other.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0.0, 4.0], "end": [4.0, 24.0], "speaker": ["A", "B"]})
    >>> queue(turns, pd.Series([70.0, 80.0]))
       doubt  listening  worth
    1   0.80        8.0   0.10
    0   0.36        6.0   0.06
    """
    duration = turns["end"] - turns["start"]
    doubt = (duration * (1 - sure.reindex(turns.index).fillna(_UNKNOWN) / 100) ** 2).round(9)
    listening = duration.clip(upper=CLIP) + _DECIDING
    table = pd.DataFrame({"doubt": doubt, "listening": listening, "worth": doubt / listening})
    return table.sort_values("worth", ascending=False, kind="stable")


def estimate_left(turns: pd.DataFrame, sure: pd.Series[float], verdicts: dict[int, bool], wrong: float = 0.0) -> Left:
    """Estimate how much is left to be put right.

    Of the turns without a verdict, the doubt is summed up, as in `queue`. Verdicts tell whether the engine doubts too
    much or too little: the sum is multiplied by ``(found + 10 s) / (expected + 10 s)``, where `expected` is the doubt
    in the turns with a verdict, and `found` the seconds in those of them that were wrong.

    Parameters
    ----------
    turns : pandas.DataFrame
        All of them, as they were before any verdict.
    sure : pandas.Series
        Before any verdict as well.
    verdicts : dict of int to bool
        By the ids of turns, whether their speaker was right.
    wrong : float, default 0
        Seconds that were found to be wrong and are not put right yet.

    Examples
    --------
    >>> turns = pd.DataFrame({"start": [0.0, 4.0], "end": [4.0, 24.0], "speaker": ["A", "B"]})
    >>> estimate_left(turns, pd.Series([70.0, 90.0]), {})
    Left(turns=2, wrong=0.56, share=0.023333333333333334)
    >>> round(estimate_left(turns, pd.Series([70.0, 90.0]), {0: True}).wrong, 2)  # righter than the engine thought
    0.19
    """
    duration = turns["end"] - turns["start"]
    doubt = queue(turns, sure)["doubt"].reindex(turns.index)
    judged = turns.index.isin(list(verdicts))
    failed = turns.index.isin([turn for turn, right in verdicts.items() if not right])
    factor = (duration[failed].sum() + _TRUST) / (doubt[judged].sum() + _TRUST)
    still = float(min(doubt[~judged].sum() * factor, duration[~judged].sum()))
    total = float(duration.sum())
    return Left(int((~judged).sum()), still, (still + wrong) / total if total else 0.0)
