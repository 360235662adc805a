"""Several tables of one recording made one by vote: what most of them say, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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
        n-th best has n to the power of -0.1. Of two tables, neither agrees better; then the table with the higher
        ``confidence`` has more weight if both have this column, else the first.

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
    The method is that of DOVER-Lap (Raj and others, 2021). First, speakers are matched. Starting with the best table,
    the speakers of each table are matched one to one with those found so far, by the time they share (Hungarian
    method). Then, at each moment, the number of speakers is the weighted mean over the tables, and the speakers with
    the most votes are chosen. If two tables have ``confidence``, it weights each vote.

    At least three tables are needed to outvote one that is wrong. A vote helps if all are about equally good and make
    different mistakes. If one is clearly better, the others outvote it. On 18 short real recordings, the local engine's
    error rate was 7.1 %, that of the same engine on perturbed audio 8.7 and 10.3 %, that of a pyannote.audio pipeline
    16.4 %, and that of all four fused 8.4 % (collar 0.25, ``python -m benchmarks.fusion``). In such a case give the
    best table more weight, or use it alone.

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
        sure = [_mean_confidence(table) for table in tables]
        self._sure = len(tables) == 2 and not np.isnan(sure).any()
        worth = sure if self._sure else self._agreements()
        order = sorted(range(len(tables)), key=lambda number: (-worth[number], number))
        given = np.ones(len(tables)) if weights is None else np.asarray(weights, dtype=float)
        if weights is None:
            given[order] = np.arange(1, len(tables) + 1) ** -_FALL
        self.weights: Floats = given / given.sum()
        self._order = sorted(order, key=lambda number: -self.weights[number])

    def turns(self) -> pd.DataFrame:
        """Return who speaks when by the vote."""
        names, votes, scores = self._match()
        speaking = np.floor(self._count() + 0.5 + 1e-9)  # a half counts, whatever sums of weights are off
        standing = np.argsort(np.argsort(-scores, axis=0, kind="stable"), axis=0, kind="stable")
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

    def _agreements(self) -> list[float]:
        """Return of each table how far it agrees with the others, in the mean."""
        found = np.ones((len(self._tables), len(self._tables)))
        for one in range(len(self._tables)):
            for other in range(one):
                moments = Moments(self._tables[other], self._tables[one])
                agreed, speech = moments.sum_agreement(moments.find_differences(moments.match_speakers()))
                total = speech.sum()
                found[one, other] = found[other, one] = agreed.sum() / total if total else 1.0
        return [round(float(each), 9) for each in found.mean(axis=1)]

    def _match(self) -> tuple[list[str], Floats, Floats]:
        """Find who is whom; return names, and for each (rows) the share of the vote and the score of each moment."""
        votes = np.zeros((0, len(self._seconds)))
        scores = votes
        whose: list[dict[int, str]] = []  # of each speaker found, who that is in which table
        for number in self._order:
            active = self._active[number]
            twins = match_one_to_one((active * self._seconds) @ votes.T)
            new = [who for who in range(len(active)) if who not in twins]
            rows = np.array([twins[who] if who in twins else len(votes) + new.index(who) for who in range(len(active))])
            more = np.zeros((len(new), votes.shape[1]))
            votes, scores = np.concatenate([votes, more]), np.concatenate([scores, more])
            whose += [{} for _ in new]
            for who, row in enumerate(rows):
                whose[row][number] = self._names[number][who]
                votes[row] += self.weights[number] * active[who]
                scores[row] += self.weights[number] * self._count_confidence(number, who)
        return _name(whose), votes, scores

    def _count_confidence(self, number: int, who: int) -> Any:
        """Return what a table's vote for its speaker is worth in each moment: 1, or their confidence, 0-1."""
        active, table = self._active[number][who], self._tables[number]
        if not self._sure:
            return active
        worth = np.zeros(len(active))
        own = table.loc[table["speaker"] == self._names[number][who], ["start", "end", "confidence"]]
        for start, end, confidence in own.to_numpy(dtype=np.float64):
            span = slice(*np.searchsorted(self._edges, [start, end]))
            worth[span] = np.maximum(worth[span], max(confidence / 100, 1e-6))
        return worth

    def _count(self) -> Floats:
        """Return how many speak in each moment, in the weighted mean."""
        counts: Floats = np.stack([active.sum(axis=0) for active in self._active]).T @ self.weights
        return counts


def _mean_confidence(table: pd.DataFrame) -> float:
    """Return how sure a table is, 0-100, turns weighing by their length; NaN where it does not tell throughout."""
    if "confidence" not in table or table["confidence"].isna().any() or not len(table):
        return np.nan
    return float(np.average(table["confidence"], weights=table["duration"]))


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
