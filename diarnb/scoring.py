"""How far a table is from the truth, as the field counts it, and where it is furthest.

One matrix for each convention, of how long each true speaker and each label speak at once, gives all the rates. It is
what pyannote.metrics computes too, sixteen times a recording; the tests hold every figure against it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.errors import DiarnbWarning, InvalidParameterError
from diarnb.formats import read, read_path
from diarnb.tables.activity import is_finite, match_one_to_one, merge_spans
from diarnb.tables.checks import check_spans
from diarnb.tables.moments import Moments, match_names, pair_tables

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.tables.activity import Floats
    from diarnb.tables.moments import Pair

    Turns = pd.DataFrame | str | PathLike[str]

Conventions = list[tuple[float, str]]

CONVENTIONS = ((0.0, "scored"), (0.25, "scored"), (0.0, "skipped"), (0.25, "skipped"))
"""Seconds that are not scored on each side of a reference boundary, and what becomes of overlapped speech."""

_NAMES = ("reference", "hypothesis")
_KINDS = ("missed", "false alarm", "confusion")
_RESAMPLES = 2000
_TOUCHING = 1e-6  # seconds by which turns may overlap and still only touch


def score(
    reference: Turns,
    hypothesis: Turns,
    *,
    uem: Turns | None = None,
    collar: float | Iterable[float] = (0.0, 0.25),
) -> pd.DataFrame:
    """Score a diarization against a reference, as pyannote.metrics and NIST's md-eval count.

    Parameters
    ----------
    reference : pandas.DataFrame or path
        The true turns: any table with start, end and speaker, or a file that `read` accepts; with ``uri`` for several
        recordings.
    hypothesis : pandas.DataFrame or path
        The turns to score. A recording that is missing here counts as completely missed. If only one of the tables has
        ``uri``, there must be only one recording.
    uem : pandas.DataFrame or path, optional
        ``start`` and ``end`` of the stretches to score, and ``uri`` for several recordings, as ``read`` returns them
        for a UEM file. Default: the whole recording.
    collar : float or iterable of float, default (0, 0.25)
        Seconds that are not scored on *each* side of every boundary of the reference. Each value has its own rows.

    Returns
    -------
    pandas.DataFrame
        One row for each recording and convention. With several recordings there are also pooled rows, whose ``uri`` is
        ``"pooled"``.

        - ``uri``: if a table has it; ``recordings``: how many recordings the row covers
        - ``collar``: seconds on each side, as in NIST md-eval's ``-c 0.25``; pyannote.metrics counts both sides
          together and calls this ``collar=0.5``
        - ``overlap``: whether overlapping speech in the reference is ``"scored"`` or ``"skipped"``
        - ``der``: the diarization error rate, in percent of the reference's speech, and its parts ``missed``,
          ``false_alarm`` and ``confusion``
        - ``der_low``, ``der_high``: for pooled rows, the 95 % interval from resampling the recordings (bootstrap, 2000
          samples, fixed seed); else NaN
        - ``jer``: the Jaccard error rate in percent, the mean over reference speakers. A recording without speech, in
          which the hypothesis has turns, counts as one speaker with 100 percent, also when pooled
        - ``detection``: the error rate of speech detection, whoever speaks, in percent of the time with speech
        - ``ier``: the identification error rate in percent: as ``der``, but labels must be the true names, so it is
          meaningful only after ``identify`` or ``rename``
        - ``speakers``, ``found``: labels in the scored stretches, in the reference and in the hypothesis (int64)
        - ``speech``, ``wrong``: seconds; ``der`` is 100 ``wrong`` / ``speech``
        - ``reference``, ``uem``: a short hash of the reference and of the UEM (``"whole"`` without one);
          `diarnb.metrics.difference` refuses to compare figures in which these differ

        Pooled rates are summed errors divided by summed speech. If the reference has no speech, a rate is 0, or 100 if
        the hypothesis has speech.

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns.
    InvalidParameterError
        A recording of the hypothesis is missing in the reference or the UEM; or `collar` is not a number of seconds.

    Warns
    -----
    DiarnbWarning
        The reference was made by an engine and the hypothesis was not: the arguments may be swapped.

    See Also
    --------
    worst : where the errors are.
    diarnb.metrics.difference : whether one score is better than another.
    diarnb.metrics.agreement : an estimate without a reference.

    Notes
    -----
    Speakers are paired one to one so that they share the most scored time, separately for each recording and
    convention. Overlapping turns of the same speaker are joined. All rates follow from how long each pair of speakers
    speaks at the same time, which is counted once for each convention, in time linear in the number of turns. The tests
    compare every figure with pyannote.metrics, to a billionth.

    Without a UEM, both tables are scored completely. NIST's md-eval without ``-u`` scores only from the first boundary
    of the reference to the last one, so false alarms before and after do not count. To compare with its figures, pass
    that stretch as `uem`.

    Examples
    --------
    >>> truth = read(example("meeting").with_suffix(".rttm"))
    >>> table = score(truth, diarize(example("meeting"), progress=False))
    >>> table[["collar", "overlap"]]
       collar  overlap
    0    0.00   scored
    1    0.25   scored
    2    0.00  skipped
    3    0.25  skipped
    """
    conventions = _list_conventions(collar)
    reference, hypothesis = read_path(reference, "reference"), read_path(hypothesis, "hypothesis")
    _check_order(reference, hypothesis)
    found = pair_tables(reference, hypothesis, _NAMES, known=True)
    recordings = zip(
        found, _choose_stretches(uem, found, _name_sources(reference, hypothesis)), _hash_references(found), strict=True
    )
    sums = pd.DataFrame([row for each in recordings for row in _count_errors(*each[:2], conventions, each[2])])
    if len(found) > 1:
        sums = pd.concat([sums, _pool(sums)], ignore_index=True)
    table = _make_rates(sums)
    if found[0].uri is None:
        table = table.drop(columns="uri")
    table.attrs["diarnb"] = {
        "scorer": "diarnb, as pyannote.metrics counts",
        "collar": "seconds on each side of a reference boundary",
        "rates": "percent",
        "scored": "the whole recording" if uem is None else "the stretches of the UEM",
    }
    return table


def _list_conventions(collar: float | Iterable[float]) -> Conventions:
    """List the conventions to score under: each collar, and with overlap scored and skipped."""
    collars = [collar] if not isinstance(collar, Iterable) else list(collar)
    wrong = [each for each in collars if not is_finite(each) or each < 0]
    if wrong or not collars or isinstance(collar, str):
        raise InvalidParameterError(f"collar is seconds on each side of a boundary, 0 or more, not {collar!r:.60}")
    return [(float(each), overlap) for overlap in ("scored", "skipped") for each in dict.fromkeys(collars)]


def _check_order(reference: pd.DataFrame, hypothesis: pd.DataFrame) -> None:
    """Doubt a reference that an engine made, scored against a table that none did."""
    made = ["engine" in (getattr(table, "attrs", {}).get("diarnb") or {}) for table in (reference, hypothesis)]
    if made == [True, False]:
        warnings.warn(
            "the reference was made by an engine and the hypothesis was not: score(reference, hypothesis) takes the "
            "reference first",
            DiarnbWarning,
            stacklevel=3,
        )


def worst(reference: Turns, hypothesis: Turns, *, uem: Turns | None = None, n: int | None = 20) -> pd.DataFrame:
    """List the errors of a diarization, the longest first.

    Parameters
    ----------
    reference, hypothesis, uem : pandas.DataFrame or path
        As for `score`.
    n : int or None, default 20
        The maximum number of stretches; None for all.

    Returns
    -------
    pandas.DataFrame
        A table of turns that ``timeline``, ``player`` and ``clip`` accept. Each row is a stretch during which the same
        speakers are wrong (collar 0, overlap scored).

        - ``start``, ``end``, ``duration``: seconds
        - ``speaker``: who speaks but was not found; in a false alarm, who was found but does not speak
        - ``kind``: ``"missed"``, ``"false alarm"``, or ``"confusion"`` of one with another
        - ``reference``: the true speakers who were not found here, joined by " + "; empty in a false alarm
        - ``hypothesis``: the labels that are wrong here; empty where speech was missed
        - ``stands_for``: the true speakers that these labels mostly stand for; empty for a label that is nobody
        - ``wrong``: seconds that this stretch adds to the errors; all stretches sum to ``wrong`` of `score`
        - ``uri``: in a table of several recordings

        ``attrs`` are those of `hypothesis`, so that its recording can be found.

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns.
    InvalidParameterError
        As for `score`; or `n` is not a number of stretches.

    Examples
    --------
    >>> import pandas as pd
    >>> truth = pd.DataFrame({"start": [0, 5], "end": [4, 9], "speaker": ["Maya", "Otto"]})
    >>> found = pd.DataFrame({"start": [0, 5, 6], "end": [4, 6, 9], "speaker": ["A", "A", "B"]})
    >>> worst(truth, found)[["start", "end", "kind", "reference", "hypothesis", "stands_for"]]
       start  end       kind reference hypothesis stands_for
    0    5.0  6.0  confusion      Otto          A       Maya
    """
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
        raise InvalidParameterError(
            f"n is the maximum number of stretches, a whole number or None for all, not {n!r:.40}"
        )
    reference, hypothesis = read_path(reference, "reference"), read_path(hypothesis, "hypothesis")
    _check_order(reference, hypothesis)
    found = pair_tables(reference, hypothesis, _NAMES, known=True)
    parts = [
        _list_errors(pair, spans)
        for pair, spans in zip(found, _choose_stretches(uem, found, _name_sources(reference, hypothesis)), strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["wrong", "start"], ascending=[False, True], kind="stable", ignore_index=True).iloc[:n]
    table.attrs = dict(hypothesis.attrs)
    return table


def _list_errors(pair: Pair, spans: Floats | None) -> pd.DataFrame:
    """List the stretches of one recording in which somebody is wrong."""
    moments = Moments(pair.left, pair.right, also=() if spans is None else spans.ravel())
    inside = None if spans is None else moments.mark_covered(*spans.T)
    twins = moments.match_speakers(inside)
    true, heard = moments.names
    labels = {"reference": (0, true), "hypothesis": (1, heard), "stands_for": (1, [twins.get(h, "") for h in heard])}
    table = moments.join_moments(moments.find_differences(twins, inside), labels)
    table["speaker"] = table["reference"].where(table["side"] != 1, table["hypothesis"])
    table["kind"] = pd.Series(np.array(_KINDS)[table["side"]], dtype=str)
    shown = ["start", "end", "duration", "speaker", "kind", *labels, "wrong"]
    return table[shown] if pair.uri is None else table[shown].assign(uri=pd.Series(pair.uri, table.index, dtype=str))


def _name_sources(*tables: pd.DataFrame) -> list[str]:
    return [source for table in tables if (source := (table.attrs.get("diarnb") or {}).get("source"))]


def _choose_stretches(uem: Turns | None, found: list[Pair], sources: list[str]) -> list[Floats | None]:
    """Find the stretches of each recording to score, as rows of start and end; None for all of it.

    Where the tables do not name their only recording, `sources` are the names that it may have in a UEM of several.
    """
    if uem is None:
        return [None] * len(found)
    if isinstance(uem, str | PathLike):
        uem = read(uem)
    if not isinstance(uem, pd.DataFrame):
        raise InvalidParameterError("uem is a table of start and end in seconds, as `diarnb.read('x.uem')` gives it")
    table = check_spans(uem, name="uem")
    spans = table.loc[table["duration"] > 0, ["start", "end"]]
    if "uri" not in table or (found[0].uri is None and len(table["uri"].unique()) == 1):
        if len(found) > 1:
            raise InvalidParameterError("uem covers several recordings; add a column uri")
        parts = {found[0].uri: spans}
    else:
        groups = dict(iter(spans.groupby(table["uri"].astype(str))))
        wanted = sources if found[0].uri is None else [str(pair.uri) for pair in found]
        same = match_names(wanted, groups)
        none = spans.iloc[:0]
        alone = next((groups[same[name]] for name in wanted if name in same), none)
        parts = {pair.uri: alone if pair.uri is None else groups.get(same.get(pair.uri, ""), none) for pair in found}
    for pair in found:
        if parts[pair.uri].empty:
            name = "the recording" if pair.uri is None else repr(visible(pair.uri, limit=60))
            raise InvalidParameterError(f"uem has no stretch of {name}; add one, or leave the recording out")
    return [parts[pair.uri].to_numpy() for pair in found]


def _count_errors(pair: Pair, spans: Floats | None, conventions: Conventions, reference: str) -> list[Json]:
    """Sum up one recording under every convention, from the time that each pair of speakers shares under it."""
    who = pd.factorize(pair.left["speaker"].to_numpy(dtype=object))[0]
    starts, ends, _ = merge_spans(pair.left["start"].to_numpy(), pair.left["end"].to_numpy(), who, -_TOUCHING)
    times = np.concatenate([starts, ends])
    zones = {collar: (times - collar, times + collar) for collar, _ in conventions if collar}
    also = [edges for zone in zones.values() for edges in zone]
    moments = Moments(
        pair.left, pair.right, alphabetical=True, also=np.concatenate([*also, [] if spans is None else spans.ravel()])
    )
    inside = np.ones(len(moments.seconds), bool) if spans is None else moments.mark_covered(*spans.T)
    truth, answer = moments.active
    several, found = truth.sum(axis=0), answer.sum(axis=0)
    both = np.minimum(several, found)
    same = np.equal.outer(*(np.array(names, dtype=object) for names in moments.names)).astype(bool)
    about = {
        "uri": pair.uri,
        "recordings": 1,
        "speakers": int((truth & inside).any(axis=1).sum()),
        "found": int((answer & inside).any(axis=1).sum()),
        "reference": reference,
        "uem": "whole" if spans is None else _hash(pd.DataFrame(spans)),
    }
    rows = []
    for collar, overlap in conventions:
        scored = inside & ~moments.mark_covered(*zones[collar]) if collar else inside
        if overlap == "skipped":
            scored = scored & (several < 2)
        seconds = moments.seconds * scored
        shared, true, heard = moments.share(seconds), truth @ seconds, answer @ seconds
        matched = _match(shared, true, heard)
        union = true[:, np.newaxis] + heard - shared
        alike = {row: shared[row, column] / union[row, column] for row, column in matched.items()}
        jaccard = [1 - alike.get(row, 0.0) for row in np.flatnonzero(true).tolist()]
        if not jaccard and heard.any():
            jaccard = [1.0]  # nobody speaks, and somebody is heard: all wrong
        missed, false_alarm, possible = ((seconds * part).sum() for part in (several - both, found - both, both))
        rows.append(
            {
                **about,
                "collar": collar,
                "overlap": overlap,
                "speech": float(true.sum()),
                "missed": float(missed),
                "false_alarm": float(false_alarm),
                "confusion": max(float(possible - sum(shared[pair] for pair in matched.items())), 0.0),
                "unnamed": float((seconds * np.maximum(several, found)).sum() - shared[same].sum()),
                "jaccard": float(sum(jaccard)),
                "jaccard_of": float(len(jaccard)),
                "unheard": float(seconds[(several > 0) != (found > 0)].sum()),
                "heard": float(seconds[several > 0].sum()),
            }
        )
    return rows


def _match(shared: Floats, true: Floats, heard: Floats) -> dict[int, int]:
    """Match true speakers with labels, those of them that are there; where several ways are as good, as pyannote does.

    That is by the order of names, and of numbers that stand for the labels, written out: 0, 1, 10, 11, 2.
    """
    rows, columns = np.flatnonzero(true), np.flatnonzero(heard)
    columns = columns[sorted(range(len(columns)), key=str)]
    found = match_one_to_one(shared[np.ix_(rows, columns)])
    return {int(rows[row]): int(columns[column]) for row, column in found.items()}


def _hash(table: pd.DataFrame) -> str:
    return _hash_rows(pd.util.hash_pandas_object(table.round(6), index=False).to_numpy())


def _hash_rows(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()[:8]


def _hash_references(found: list[Pair]) -> list[str]:
    """Hash the reference of each recording; all rows at once, for that takes time."""
    tables = [pair.left[["start", "end", "speaker"]] for pair in found]
    rows = pd.util.hash_pandas_object(pd.concat(tables).round(6), index=False).to_numpy()
    return [_hash_rows(part) for part in np.split(rows, np.cumsum([len(table) for table in tables])[:-1])]


def _pool(sums: pd.DataFrame) -> pd.DataFrame:
    """Sum up the recordings of each convention."""
    rows = []
    for (collar, overlap), group in sums.groupby(["collar", "overlap"], sort=False):
        labels = {name: _hash(group[["uri", name]]) for name in ("reference", "uem")}
        if set(group["uem"]) == {"whole"}:
            labels["uem"] = "whole"
        wrong = group[["missed", "false_alarm", "confusion"]].sum(axis=1)
        low, high = interval(wrong.to_numpy(), group["speech"].to_numpy())
        known = {"uri": "pooled", "collar": collar, "overlap": overlap, "der_low": low, "der_high": high, **labels}
        rows.append(group.sum(numeric_only=True).to_dict() | known)
    return pd.DataFrame(rows)


@lru_cache(maxsize=4)  # every convention draws alike
def _draw(size: int) -> Floats:
    """Draw recordings anew, often, and return how many times each came."""
    return np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=_RESAMPLES).astype(np.float64)


def interval(wrong: Floats, speech: Floats) -> tuple[float, float]:
    """Draw recordings anew and return the middle 95 % of the pooled rate, in percent."""
    size = len(wrong)
    drawn = _draw(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = 100 * (drawn @ wrong) / (drawn @ speech)
    rates = rates[np.isfinite(rates)]  # without those that drew no speech at all
    if not len(rates):
        return np.nan, np.nan
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def _make_rates(sums: pd.DataFrame) -> pd.DataFrame:
    """Turn sums into the table of rates."""

    def percent(part: pd.Series[float], whole: pd.Series[float]) -> pd.Series[float]:
        return (100 * part / whole).where(whole > 0, 100.0 * (part > 0))

    speech, wrong = sums["speech"], sums[["missed", "false_alarm", "confusion"]].sum(axis=1)
    missing = pd.Series(np.nan, index=sums.index)
    table = sums[["uri", "recordings", "collar", "overlap"]].assign(
        der=percent(wrong, speech),
        der_low=sums.get("der_low", missing),
        der_high=sums.get("der_high", missing),
        **{part: percent(sums[part], speech) for part in ("missed", "false_alarm", "confusion")},
        jer=percent(sums["jaccard"], sums["jaccard_of"]),
        detection=percent(sums["unheard"], sums["heard"]),
        ier=percent(sums["unnamed"], speech),
        speakers=sums["speakers"],
        found=sums["found"],
        speech=speech,
        wrong=wrong,
        reference=sums["reference"],
        uem=sums["uem"],
    )
    return table.astype(dict.fromkeys(["recordings", "speakers", "found"], np.int64))
