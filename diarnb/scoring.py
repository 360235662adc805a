"""How far a table is from the truth, as the field counts it, and where it is furthest.

What counts is only how long each combination of speakers lasts, not when. So a recording is laid out anew, each
combination once, before pyannote.metrics scores it: its time grows with the square of the turns, ours does not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.errors import ConfigurationError, InvalidParameterError
from diarnb.tables.activity import merge_turns
from diarnb.tables.checks import check_spans
from diarnb.tables.moments import Moments, find_combinations, pair_tables

if TYPE_CHECKING:
    from diarnb.tables.activity import Floats, Masks
    from diarnb.tables.moments import Pair

CONVENTIONS = ((0.0, "scored"), (0.25, "scored"), (0.0, "skipped"), (0.25, "skipped"))
"""Seconds that are not scored on each side of a reference boundary, and what becomes of overlapped speech."""

_NAMES = ("reference", "hypothesis")
_KINDS = ("missed", "false alarm", "confusion")
_RESAMPLES = 2000
_TOUCHING = 1e-6  # seconds by which turns may overlap and still only touch


def score(reference: pd.DataFrame, hypothesis: pd.DataFrame, *, uem: pd.DataFrame | None = None) -> pd.DataFrame:
    """Score a diarization against the truth, by pyannote.metrics (the extra ``eval``).

    Parameters
    ----------
    reference : pandas.DataFrame
        The true turns: any table with start, end and speaker; of several recordings with ``uri``.
    hypothesis : pandas.DataFrame
        The turns to judge. A recording that it lacks counts as all missed; where only one of the tables has ``uri``,
        there must be but one recording.
    uem : pandas.DataFrame, optional
        ``start`` and ``end`` of the stretches to score, and ``uri`` where there are several recordings, as ``read``
        gives them for a UEM file. Default: the whole recording.

    Returns
    -------
    pandas.DataFrame
        A row for each recording and convention; with several recordings four more, whose ``uri`` is ``"pooled"``.

        - ``uri``: where a table has it, and ``recordings``: how many the row stands for
        - ``collar``: seconds that are not scored on *each* side of every boundary of the reference, 0 or 0.25, as in
          NIST md-eval's ``-c 0.25``; pyannote.metrics gives the width of the gap and calls this ``collar=0.5``
        - ``overlap``: whether speech of several at once in the reference is ``"scored"`` or ``"skipped"``
        - ``der``: the diarization error rate, in percent of the reference's speech, and its parts ``missed``,
          ``false_alarm`` and ``confusion``
        - ``der_low``, ``der_high``: where several recordings are pooled, the 95 % interval from drawing them anew
          (bootstrap, 2000 times, always alike); else NaN
        - ``jer``: the Jaccard error rate in percent, the mean over reference speakers
        - ``detection``: the error rate of speech as such, whoever speaks, in percent of the time with speech
        - ``ier``: the identification error rate in percent: as ``der``, but labels must be the true names, so it tells
          something after ``identify`` or ``rename`` only
        - ``speakers``, ``found``: labels in the scored stretches, in the reference and in the hypothesis (int64)
        - ``speech``, ``wrong``: seconds; ``der`` is 100 ``wrong`` / ``speech``
        - ``reference``, ``uem``: a short digest of what was scored against, ``"whole"`` where there is no UEM;
          `diarnb.metrics.difference` refuses to compare figures in which these differ

        Pooled rates are summed errors over summed speech. Where nobody speaks in the reference a rate is 0, or 100
        where something was found.

    Raises
    ------
    TurnTableError
        A table is none of turns.
    InvalidParameterError
        A recording is in the hypothesis or has to be scored, but is not in the reference or the UEM.
    ConfigurationError
        pyannote.metrics is not installed.

    See Also
    --------
    worst : where the errors are.
    diarnb.metrics.difference : whether one score is better than another.
    diarnb.metrics.agreement : an estimate where there is no truth.

    Notes
    -----
    Speakers are paired one to one so that they share the most scored time, for each recording and convention anew. A
    speaker's own turns that overlap are one turn. Time is linear in the number of turns.

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
    metrics = _Metrics()
    found = pair_tables(reference, hypothesis, _NAMES, known=True)
    scored = _stretches(uem, found)
    sums = pd.DataFrame([row for pair, spans in zip(found, scored, strict=True) for row in _rows(metrics, pair, spans)])
    if len(found) > 1:
        sums = pd.concat([sums, _pooled(sums)], ignore_index=True)
    table = _rates(sums)
    if found[0].uri is None:
        table = table.drop(columns="uri")
    table.attrs["diarnb"] = {
        "scorer": metrics.version,
        "collar": "seconds on each side of a reference boundary",
        "rates": "percent",
        "scored": "the whole recording" if uem is None else "the stretches of the UEM",
    }
    return table


def worst(
    reference: pd.DataFrame, hypothesis: pd.DataFrame, *, uem: pd.DataFrame | None = None, n: int | None = 20
) -> pd.DataFrame:
    """List where a diarization is furthest from the truth, the longest error first.

    Parameters
    ----------
    reference, hypothesis, uem : pandas.DataFrame
        As for `score`.
    n : int or None, default 20
        How many stretches at most; None for all.

    Returns
    -------
    pandas.DataFrame
        A table of turns itself, ready for ``timeline``, ``player`` and ``clip``: a row for each stretch throughout
        which the same speakers are wrong (collar 0, overlap scored).

        - ``start``, ``end``, ``duration``: seconds
        - ``speaker``: who should be heard and is not; in a false alarm who is heard and should not be
        - ``kind``: ``"missed"``, ``"false alarm"``, or ``"confusion"`` of one with another
        - ``reference``: the true speakers who are not found here, joined by " + "; empty in a false alarm
        - ``hypothesis``: the labels that are wrong here; empty where speech was missed
        - ``stands_for``: the true speakers whom those labels mostly are; empty for a label that is nobody
        - ``wrong``: seconds of speech that this adds to the errors; over all stretches they sum up to ``wrong`` of
          `score`
        - ``uri``: in a table of several recordings

        ``attrs`` are those of `hypothesis`, so that its recording is found.

    Raises
    ------
    TurnTableError
        A table is none of turns.
    InvalidParameterError
        As for `score`; or `n` is no number of stretches.

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
        raise InvalidParameterError(f"n is the most stretches to list, a whole number or None for all, not {n!r:.40}")
    found = pair_tables(reference, hypothesis, _NAMES, known=True)
    parts = [_errors(pair, spans) for pair, spans in zip(found, _stretches(uem, found), strict=True)]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["wrong", "start"], ascending=[False, True], kind="stable", ignore_index=True).iloc[:n]
    table.attrs = dict(hypothesis.attrs)
    return table


def _errors(pair: Pair, spans: Floats | None) -> pd.DataFrame:
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


def _stretches(uem: pd.DataFrame | None, found: list[Pair]) -> list[Floats | None]:
    """Find the stretches of each recording to score, as rows of start and end; None for all of it."""
    if uem is None:
        return [None] * len(found)
    if not isinstance(uem, pd.DataFrame):
        raise InvalidParameterError("uem is a table of start and end in seconds, as `diarnb.read('x.uem')` gives it")
    table = check_spans(uem, name="uem")
    spans = table.loc[table["duration"] > 0, ["start", "end"]]
    if "uri" not in table or (found[0].uri is None and len(table["uri"].unique()) == 1):
        if len(found) > 1:
            raise InvalidParameterError("uem does not tell its recordings apart; give it a column uri")
        parts = {found[0].uri: spans}
    else:
        parts = dict(iter(spans.groupby(table["uri"].astype(str))))
    for pair in found:
        if not len(parts.get(pair.uri, ())):
            name = "the recording" if pair.uri is None else repr(visible(pair.uri, limit=60))
            raise InvalidParameterError(f"uem has no stretch of {name}; add one, or leave the recording out")
    return [parts[pair.uri].to_numpy() for pair in found]


def _rows(metrics: _Metrics, pair: Pair, spans: Floats | None) -> list[dict[str, Any]]:
    """Sum up one recording under every convention."""
    times = _boundaries(pair.left)
    collars = {collar for collar, _ in CONVENTIONS if collar}
    zones = {collar: (times - collar, times + collar) for collar in collars}
    also = [*(edge for zone in zones.values() for bounds in zone for edge in bounds)]
    moments = Moments(pair.left, pair.right, also=[*also, *(() if spans is None else spans.ravel())])
    inside = np.ones(len(moments.seconds), bool) if spans is None else moments.mark_covered(*spans.T)
    truth, answer = moments.active
    columns, which = find_combinations(np.concatenate(moments.active))
    present = {"speakers": _count(truth & inside), "found": _count(answer & inside)}
    labels = {
        "reference": _digest(pair.left[["start", "end", "speaker"]]),
        "uem": "whole" if spans is None else _digest(pd.DataFrame(spans)),
    }
    rows = []
    for collar, overlap in CONVENTIONS:
        scored = inside & ~moments.mark_covered(*zones[collar]) if collar else inside
        if overlap == "skipped":
            scored = scored & (truth.sum(axis=0) < 2)
        about = {"uri": pair.uri, "recordings": 1, "collar": collar, "overlap": overlap}
        seconds = np.bincount(which, moments.seconds * scored, minlength=len(columns)).astype(float)
        rows.append({**about, **metrics.of(moments.names, columns, seconds), **present, **labels})
    return rows


def _count(active: Masks) -> int:
    return int(active.any(axis=1).sum())


def _boundaries(reference: pd.DataFrame) -> Floats:
    """Return the times at which turns begin and end; those of a speaker's turns that overlap are one turn's."""
    return merge_turns(reference, ["speaker"], -_TOUCHING)[["start", "end"]].to_numpy().T.ravel()


def _digest(table: pd.DataFrame) -> str:
    hashes = pd.util.hash_pandas_object(table.round(6), index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()[:8]


class _Metrics:
    """pyannote.metrics, given a recording laid out anew: each combination of speakers once."""

    def __init__(self) -> None:
        try:
            from pyannote import core, metrics
            from pyannote.metrics import detection, diarization, identification
        except ImportError as error:
            raise ConfigurationError("Scores need pyannote.metrics: run `pip install 'diarnb[eval]'`") from error
        self.version = f"pyannote.metrics {metrics.__version__}"
        self._core = core
        self._der, self._jer = diarization.DiarizationErrorRate(), diarization.JaccardErrorRate()  # type: ignore[no-untyped-call]
        self._ier, self._detection = identification.IdentificationErrorRate(), detection.DetectionErrorRate()

    def of(self, names: tuple[list[str], list[str]], columns: list[Masks], seconds: Floats) -> dict[str, float]:
        """Sum up errors and speech, given how long each combination of speakers (reference's first) is scored."""
        count = len(names[0])
        truth, answer = self._core.Annotation(), self._core.Annotation()
        at = 0.0
        for who, length in zip(columns, seconds, strict=True):
            segment = self._core.Segment(at, at + length)
            for annotation, labels, speaking in (truth, names[0], who[:count]), (answer, names[1], who[count:]):
                for number in np.flatnonzero(speaking) if length else ():
                    annotation[segment, int(number)] = labels[number]
            at += length
        uem = self._core.Timeline([self._core.Segment(0.0, at)])
        der, jer, ier, detection = (
            metric(truth, answer, uem=uem, detailed=True)
            for metric in (self._der, self._jer, self._ier, self._detection)
        )
        return {
            "speech": der["total"],
            "missed": der["missed detection"],
            "false_alarm": der["false alarm"],
            "confusion": der["confusion"],
            "unnamed": ier["missed detection"] + ier["false alarm"] + ier["confusion"],
            "jaccard": jer["speaker error"],
            "jaccard_of": jer["speaker count"],
            "unheard": detection["miss"] + detection["false alarm"],
            "heard": detection["total"],
        }


def _pooled(sums: pd.DataFrame) -> pd.DataFrame:
    """Sum up the recordings of each convention."""
    rows = []
    for (collar, overlap), group in sums.groupby(["collar", "overlap"], sort=False):
        labels = {name: _digest(group[["uri", name]]) for name in ("reference", "uem")}
        if set(group["uem"]) == {"whole"}:
            labels["uem"] = "whole"
        wrong = group[["missed", "false_alarm", "confusion"]].sum(axis=1)
        low, high = interval(wrong.to_numpy(), group["speech"].to_numpy())
        known = {"uri": "pooled", "collar": collar, "overlap": overlap, "der_low": low, "der_high": high, **labels}
        rows.append(group.sum(numeric_only=True).to_dict() | known)
    return pd.DataFrame(rows)


def interval(wrong: Floats, speech: Floats) -> tuple[float, float]:
    """Draw recordings anew and return the middle 95 % of the pooled rate, in percent."""
    size = len(wrong)
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=_RESAMPLES)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = 100 * (drawn @ wrong) / (drawn @ speech)
    rates = rates[np.isfinite(rates)]  # without those that drew no speech at all
    if not len(rates):
        return np.nan, np.nan
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def _rates(sums: pd.DataFrame) -> pd.DataFrame:
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
