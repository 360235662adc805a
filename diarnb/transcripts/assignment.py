"""Who speaks during each of many short spans, and who nearly did: arrays only.

Speech is cut wherever anybody begins or ends. In each stretch between two such times the same people speak, so that a
span asks only the few stretches that it touches: the work is that of the spans, the turns, and how many speak at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from diarnb.tables.turns import cut_own_overlap
from diarnb.transcripts.clauses import FAR, NOBODY, Voices, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray

REASONS = np.array(["inside", "overlap", "boundary", "gap", "nobody"], dtype=object)

_POINT = 1e-3  # seconds; a span without length is heard at a point
_NOTHING = 1e-6  # seconds; less is the rounding of times
_AT_ONCE = 2_000_000  # pieces of speech in spans that are looked at together, which bounds the memory


class Assigned(NamedTuple):
    """Of each span the number of its speaker and of the next best, NOBODY for none; margin 0-1; reason."""

    who: Array
    other: Array
    margin: Array
    reason: Array


def assign(
    turns: pd.DataFrame,
    names: list[str],
    start: Array,
    end: Array,
    within: float,
    texts: Sequence[str] = (),
    scores: Array | None = None,
    rough: Array | None = None,
) -> Assigned:
    """Assign spans to speakers, who are numbered as in `names`; the first of these wins a tie.

    With `texts` they are words, and `diarnb.transcripts.clauses` decides along them.
    """
    long = end - start >= _POINT
    middle = np.maximum((start + end) / 2, _POINT / 2)
    first, last = np.where(long, start, middle - _POINT / 2), np.where(long, end, middle + _POINT / 2)
    own = cut_own_overlap(turns)
    begins, ends = own["start"].to_numpy(), own["end"].to_numpy()
    speaker = pd.Index(names, dtype=object).get_indexer(pd.Index(own["speaker"], dtype=object))
    best, second, seconds, runner_up, together = _rank_speakers(begins, ends, speaker, first, last, len(names))

    near = _Neighbours(begins, ends, speaker)
    closest, gap = near.find(start, end, np.full(len(start), NOBODY))
    silent = best == NOBODY
    who = np.where(silent & (gap <= within), closest, best)
    lonely = second == NOBODY
    beside, distance = near.find(start, end, who)
    other = np.where(lonely, np.where((distance <= within) & (who != NOBODY), beside, NOBODY), second)

    margin = np.clip((seconds - runner_up) / (last - first), 0.0, 1.0)
    whole = seconds >= last - first - _NOTHING
    margin = np.where(who == NOBODY, np.nan, np.where(whole & lonely, 1.0, margin))
    reason = REASONS[np.select([who == NOBODY, silent, together, whole], [4, 3, 1, 0], 2)]
    if any(texts):
        lonely = silent & (gap > FAR)
        known = np.where(lonely, NOBODY, who)
        settled = settle(start, end, texts, known, Voices(begins, ends, speaker), scores, rough)
        settled = np.where(lonely, who, settled)
        moved, lost = settled != who, (settled == NOBODY) & (who != NOBODY)
        tied = (settled == second) & (seconds - runner_up <= _NOTHING)
        reason = np.select([lost, moved & ~tied], ["nobody", "sentence"], reason)
        margin = np.where(lost, np.nan, np.where(moved, 0.0, margin))
        who, other = settled, np.where(moved, who, other)
    return Assigned(who, other, margin, reason)


def average_frames(frames: pd.DataFrame, names: list[str], start: Array, end: Array) -> Array | None:
    """Return how likely each speaker speaks during each span, 0-1; None where the frames do not know all of them."""
    if frames.empty or not names or not set(names) <= set(frames):
        return None
    edges = np.append(frames["start"].to_numpy(), frames["end"].iloc[-1])
    until = np.maximum(end, start + _POINT)
    totals = [np.append(0.0, np.cumsum(frames[name].fillna(0.0).to_numpy() * np.diff(edges))) for name in names]
    shares = [(np.interp(until, edges, each) - np.interp(start, edges, each)) / (until - start) for each in totals]
    return np.column_stack(shares) / 100


def _rank_speakers(
    begins: Array, ends: Array, speaker: Array, first: Array, last: Array, count: int
) -> tuple[Array, ...]:
    """Find who speaks most in each span and who second most, their seconds, and whether several speak at once."""
    best, second = np.full((2, len(first)), NOBODY)
    most, next_most = np.zeros((2, len(first)))
    together = np.zeros(len(first), dtype=bool)
    times = np.unique(np.concatenate([begins, ends]))
    if not len(times):
        return best, second, most, next_most, together
    # The speakers of all stretches in one list, and where in it those of each stretch begin.
    lows, highs = np.searchsorted(times, begins), np.searchsorted(times, ends)
    stretch, speech = _expand_ranges(lows, highs)
    order = np.argsort(stretch, kind="stable")
    stretch, voices = stretch[order], speaker[speech[order]]
    place = np.searchsorted(stretch, np.arange(len(times)))
    crowd = np.diff(place, append=len(stretch))
    # What each span asks of that list, many spans at a time.
    lows = place[np.maximum(np.searchsorted(times, first, side="right") - 1, 0)]
    highs = np.maximum(place[np.minimum(np.searchsorted(times, last), len(times) - 1)], lows)
    batch = np.cumsum(highs - lows) // _AT_ONCE
    for spans in np.split(np.arange(len(first)), np.flatnonzero(np.diff(batch)) + 1):
        asked, which = _expand_ranges(lows[spans], highs[spans])
        span = spans[which]
        at = stretch[asked]
        shared = np.minimum(last[span], times[at + 1]) - np.maximum(first[span], times[at])
        heard = shared > _NOTHING
        span, at, shared, voice = span[heard], at[heard], shared[heard], voices[asked[heard]]
        together[span[crowd[at] > 1]] = True
        pairs, inverse = np.unique(span * np.int64(count) + voice, return_inverse=True)
        seconds = np.bincount(inverse, weights=shared)
        span, voice = np.divmod(pairs, count)
        ranked = np.lexsort([voice, -np.round(seconds, 9), span])  # a tie is one in spite of rounding
        span, voice, seconds = span[ranked], voice[ranked], seconds[ranked]
        rank = np.arange(len(span)) - np.searchsorted(span, span)
        best[span[rank == 0]], most[span[rank == 0]] = voice[rank == 0], seconds[rank == 0]
        second[span[rank == 1]], next_most[span[rank == 1]] = voice[rank == 1], seconds[rank == 1]
    return best, second, most, next_most, together


def _expand_ranges(lows: Array, highs: Array) -> tuple[Array, Array]:
    """Write out all numbers from each low to below its high, and which pair each is of."""
    lengths = highs - lows
    which = np.repeat(np.arange(len(lows)), lengths)
    return np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths - lows, lengths), which


class _Neighbours:
    """Finds the nearest speech of somebody else before and after a span during which nobody else speaks."""

    def __init__(self, begins: Array, ends: Array, speaker: Array) -> None:
        order = np.lexsort([speaker, begins])
        self.begins, self.after = np.append(begins[order], np.inf), np.append(speaker[order], NOBODY)
        order = np.lexsort([-speaker, ends])
        self.ends, self.before = np.append(-np.inf, ends[order]), np.append(NOBODY, speaker[order])
        # From each place the next one with another speaker, forwards and backwards; the outermost is nobody's.
        changes = np.flatnonzero(np.diff(self.after)) + 1
        self.onward = np.append(changes, len(self.after) - 1)[
            np.searchsorted(changes, np.arange(len(self.after)), "right")
        ]
        changes = np.flatnonzero(np.diff(self.before))
        self.back = np.append(0, changes)[np.searchsorted(changes, np.arange(len(self.before)))]

    def find(self, start: Array, end: Array, but: Array) -> tuple[Array, Array]:
        """Return the nearest speaker who is not `but`, and how many seconds away."""
        following = np.searchsorted(self.begins, end)
        following = np.where((self.after[following] == but) & (but != NOBODY), self.onward[following], following)
        preceding = np.searchsorted(self.ends, start, side="right") - 1
        preceding = np.where((self.before[preceding] == but) & (but != NOBODY), self.back[preceding], preceding)
        ahead, ago = np.maximum(self.begins[following] - end, 0), np.maximum(start - self.ends[preceding], 0)
        after, before = self.after[following], self.before[preceding]
        earlier = (ago < ahead) | ((ago == ahead) & (before < after))
        return np.where(earlier, before, after), np.minimum(ahead, ago)
