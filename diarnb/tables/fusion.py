"""Several tables of one recording made one by vote: what most of them say, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.errors import InvalidParameterError
from diarnb.tables.activity import find_edges, is_finite, list_speakers, mark_active, match_one_to_one, merge_spans
from diarnb.tables.checks import as_table
from diarnb.tables.moments import Moments, pair_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diarnb.tables.activity import Floats, Masks

__all__ = ["fuse"]


def __dir__() -> list[str]:
    return __all__


_FALL = 0.1  # the weight of the n-th best table is n to the power of minus this, as DOVER-Lap has it
_LEAST, _MOST, _ESTIMATED = 0.7, 0.98, 0.78  # how reliable a table counts: at least, at most, at most by an estimate
_TIE = 1e-6  # of the vote, for what the first table says
_COLUMNS = {"start": float, "end": float, "duration": float, "speaker": str, "agreement": float}


def fuse(
    tables: Iterable[pd.DataFrame] | Mapping[str, pd.DataFrame], *, weights: Sequence[float] | None = None
) -> pd.DataFrame:
    """Combine several diarizations of the same recording into one, by vote.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    tables : iterable of pandas.DataFrame, or mapping of str to pandas.DataFrame
        At least two tables with start, end and speaker, from different engines, models or settings; of one recording,
        or of several with ``uri``. Labels may differ between the tables. A table without turns says that nobody speaks.
    weights : sequence of float, optional
        The weight of each table, above 0. By default, a table that agrees better with all others has more weight: the
        n-th best has n to the power of -0.1. If tables have ``confidence`` (`diarnb.diarize` adds it with
        ``turn_level_confidence=True``), each table's weight at each moment is the logarithm of the odds that it is
        right, according to its confidence, or else to its agreement with the others. Of two tables, both need that
        column; otherwise the first decides.

    Returns
    -------
    pandas.DataFrame
        A table of turns: ``start``, ``end``, ``duration``, ``speaker``, and ``agreement``, the share of the vote for
        this speaker in this turn, 0-100; with ``uri`` if the tables have it. Speakers have their names from the first
        table; those who are missing there have names from another one. Adjacent turns of one speaker are joined.
        ``attrs`` are those of the first table, plus ``weights``, the share of the vote of each table; with several
        recordings, for each of them.

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns.
    InvalidParameterError
        There are fewer than two tables, the weights are invalid, or only some tables have a column ``uri``.

    See Also
    --------
    diarnb.compare : where two tables differ.
    diarnb.metrics.agreement : how far tables agree.

    Notes
    -----
    The method is that of DOVER-Lap (Raj and others, 2021), which follows DOVER (Stolcke and Yoshioka, 2019). First,
    speakers are matched. Starting with the table of the most weight, the speakers of each table are matched one to one
    with those found so far, by the time they share (Hungarian method). Then, at each moment, the number of speakers is
    the weighted mean over the tables, and the speakers with the most votes are chosen; the order of the tables breaks
    ties.

    Log odds are the best weights for voters who err independently (Nitzan and Paroush, 1982). Two such voters agree
    about as often as the product of their shares of correct answers, so three agreements tell how often a table without
    confidence is right; this counts as 70-78 %, a confidence as 70-98 %.

    At least three tables are needed to outvote one that is wrong, and they should err in different ways: two from the
    same engine outvote a third where both are wrong. Confidence makes a sure table hold out against two unsure ones. If
    you know which table is the best, give it more weight, or use it alone. ``python -m benchmarks.fusion FOLDER
    --pyannote PIPELINE`` compares fusions with their tables.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"start": [0, 5], "end": [4, 9], "speaker": ["Maya", "Otto"]})
    >>> b = pd.DataFrame({"start": [0, 5], "end": [5, 9], "speaker": ["X", "Y"]})
    >>> c = pd.DataFrame({"start": [0], "end": [9], "speaker": ["1"]})
    >>> fuse([a, b, c]).round(1)
       start  end  duration speaker  agreement
    0    0.0  5.0       5.0    Maya       93.4
    1    5.0  9.0       4.0    Otto       68.3
    """
    given = list(tables.values() if isinstance(tables, Mapping) else tables)
    if len(given) < 2:
        raise InvalidParameterError(f"fuse needs two tables or more, not {len(given)}")
    if weights is not None:
        weights = [*weights]
        if len(weights) != len(given) or not all(is_finite(each) and each > 0 for each in weights):
            raise InvalidParameterError(
                f"weights are {len(given)} numbers above 0, one for each table, not {weights!r:.60}"
            )
    fused, shares = [], {}
    for uri, parts in _list_recordings(given).items():
        vote = _Vote(parts, weights)
        fused.append(vote.turns() if uri is None else vote.turns().assign(uri=pd.Series(uri, dtype=str)[0]))
        shares[uri] = vote.weights.round(4).tolist()
    table = pd.concat(fused, ignore_index=True).astype(_COLUMNS)
    known = as_table(given[0]).attrs.get("diarnb") or {}
    table.attrs["diarnb"] = {**known, "weights": shares.get(None, shares)}
    return table


def _list_recordings(tables: list[pd.DataFrame]) -> dict[str | None, list[pd.DataFrame]]:
    """Return the tables of each recording, checked; one that knows nothing of a recording has an empty table of it."""
    found: dict[str | None, dict[int, pd.DataFrame]] = {}
    for number, table in enumerate(tables[1:], 1):
        for pair in pair_tables(tables[0], table, ("tables[0]", f"tables[{number}]")):
            found.setdefault(pair.uri, {})[0] = pair.left
            found[pair.uri][number] = pair.right
    return {
        uri: [parts.get(number, parts[0].iloc[:0]) for number in range(len(tables))] for uri, parts in found.items()
    }


class _Vote:
    """One recording: how much each table counts, who is whom, and who speaks when."""

    def __init__(self, tables: list[pd.DataFrame], weights: Sequence[float] | None) -> None:
        self._tables = tables
        self._edges = find_edges(*tables)
        self._seconds: Floats = np.diff(self._edges)
        self._names = [list_speakers(table) for table in tables]
        self._active = [
            mark_active(table, names, self._edges) for table, names in zip(tables, self._names, strict=True)
        ]
        self._votes = self._weigh(weights)
        total = self._votes @ self._seconds if len(self._seconds) else np.ones(len(tables))
        self.weights: Floats = total / total.sum()
        self._order = sorted(range(len(tables)), key=lambda number: (-round(self.weights[number], 9), number))

    def turns(self) -> pd.DataFrame:
        """Return who speaks when by the vote."""
        names, votes, first = self._match()
        speaking = np.floor(self._count() + 0.5 + 1e-9)  # a half counts, whatever sums of weights are off
        standing = np.argsort(np.argsort(-(votes + first), axis=0, kind="stable"), axis=0, kind="stable")
        chosen: Masks = (standing < speaking) & (votes > 0)
        rows = []
        for who, name in enumerate(names):
            heard = np.flatnonzero(chosen[who])
            starts, ends = self._edges[heard], self._edges[heard + 1]
            first, last, _ = merge_spans(starts, ends, np.zeros(len(heard), dtype=np.int64), 0.0)
            total = np.concatenate([[0.0], np.cumsum(votes[who] * chosen[who] * self._seconds)])
            said = np.diff(total[np.searchsorted(self._edges, np.stack([first, last]))], axis=0)[0]
            share = np.round(100 * said / (last - first), 6)
            rows += [(start, end, end - start, name, vote) for start, end, vote in zip(first, last, share, strict=True)]
        table = pd.DataFrame(rows, columns=[*_COLUMNS])
        return table.sort_values(["start", "end", "speaker"], ignore_index=True)

    def _weigh(self, weights: Sequence[float] | None) -> Floats:
        """Return how much each table (rows) counts in each moment."""
        number_of = len(self._tables)
        votes = np.ones((number_of, len(self._seconds)))
        telling = [
            "confidence" in table and len(table) > 0 and bool(table["confidence"].notna().all())
            for table in self._tables
        ]
        if weights is not None:
            votes *= np.asarray(weights, dtype=float)[:, None]
        elif all(telling) or (number_of > 2 and any(telling)):
            for number, tells in enumerate(telling):
                right = self._find_confidence(number) if tells else self._estimate_reliability(number)
                odds = np.clip(right, _LEAST, _MOST)
                votes[number] = np.log(odds / (1 - odds))
        else:
            agreed = [
                sum(self._agree(*pair) for pair in combinations(range(number_of), 2) if number in pair)
                for number in range(number_of)
            ]
            order = sorted(range(number_of), key=lambda number: (-round(agreed[number], 9), number))
            votes[order] *= np.arange(1, number_of + 1)[:, None] ** -_FALL
        return votes

    def _find_confidence(self, number: int) -> Floats:
        """Return how sure a table is in each moment, 0-1: where nobody speaks, as sure as it is in the mean."""
        table, sure = self._tables[number], np.zeros(len(self._seconds))
        for start, end, confidence in table[["start", "end", "confidence"]].to_numpy(dtype=np.float64):
            span = slice(*np.searchsorted(self._edges, [start, end]))
            sure[span] = np.maximum(sure[span], confidence / 100)
        mean = np.average(table["confidence"], weights=table["duration"]) / 100
        return np.where(self._active[number].any(axis=0), sure, mean)

    def _estimate_reliability(self, number: int) -> float:
        """Estimate the share of time that a table is right, from its agreement with each two others and theirs."""
        others = [other for other in range(len(self._tables)) if other != number]
        found = [
            np.sqrt(self._agree(number, one) * self._agree(number, two) / self._agree(one, two))
            for one, two in combinations(others, 2)
        ]
        return min(float(np.mean(found)), _ESTIMATED)

    def _agree(self, one: int, other: int) -> float:
        """Return how far two tables agree, 0.01-1."""
        moments = Moments(self._tables[one], self._tables[other])
        agreed, speech = moments.sum_agreement(moments.find_differences(moments.match_speakers()))
        total = speech.sum()
        return max(float(agreed.sum() / total), 0.01) if total else 1.0

    def _match(self) -> tuple[list[str], Floats, Floats]:
        """Find who is whom; return names, each one's share of the vote in each moment, and what breaks ties."""
        votes = first = np.zeros((0, len(self._seconds)))
        whose: list[dict[int, str]] = []  # of each speaker found, who that is in which table
        for number in self._order:
            active = self._active[number]
            twins = match_one_to_one((active * self._seconds) @ votes.T)
            new = [who for who in range(len(active)) if who not in twins]
            rows = np.array([twins[who] if who in twins else len(votes) + new.index(who) for who in range(len(active))])
            more = np.zeros((len(new), votes.shape[1]))
            votes, first = np.concatenate([votes, more]), np.concatenate([first, more])
            whose += [{} for _ in new]
            for who, row in enumerate(rows):
                whose[row][number] = self._names[number][who]
                votes[row] += self._votes[number] * active[who]
                first[row] = np.maximum(first[row], _TIE / (number + 1) * active[who])
        return _name(whose), np.round(votes / self._votes.sum(axis=0), 9), first

    def _count(self) -> Floats:
        """Return how many speak in each moment, in the weighted mean."""
        counts = np.stack([active.sum(axis=0) for active in self._active])
        weighed: Floats = (self._votes * counts).sum(axis=0) / self._votes.sum(axis=0)
        return weighed


def _name(whose: list[dict[int, str]]) -> list[str]:
    """Name the speakers as the first table that has them does, each otherwise."""
    names: dict[int, str] = {}
    for row in sorted(range(len(whose)), key=lambda row: min(whose[row])):
        name = given = whose[row][min(whose[row])]
        more = 2
        while name in names.values():
            name, more = f"{given} ({more})", more + 1
        names[row] = name
    return [names[row] for row in range(len(whose))]
