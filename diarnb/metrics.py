"""Judge a diarization: the evidence for its number of speakers, its reliability without a reference, and changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import soundfile

from diarnb import api
from diarnb._text import refuse_call, visible
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.comparing import measure_agreement
from diarnb.errors import InvalidParameterError
from diarnb.params import Params
from diarnb.results.runs import evidence_of, run_of
from diarnb.scoring import interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diarnb._types import Source

__all__ = ["agreement", "count_evidence", "difference", "second_opinions"]


def __dir__() -> list[str]:
    return __all__


refuse_call(__name__)


_TRUST, _CHECK = 93.0, 85.0  # agreement from which a table is to be trusted, or checked
_NOISE = 15.0  # dB by which the added noise is softer than the recording
_SLOWER = 0.96  # of the speed, and of the pitch

_COUNTS: dict[str, type] = {
    "channel": np.int64,
    "k": np.int64,
    "score": float,
    "kept": np.int64,
    "speaker": str,
    "other": str,
    "smallest": float,
    "chosen": bool,
}


def count_evidence(turns: pd.DataFrame) -> pd.DataFrame:
    """List the evidence for each number of speakers in the run of a table, and which two would be merged next.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` or `recluster` returned, whole or in part, renamed or not, from an engine that explains
        how it counts, as the local one does.

    Returns
    -------
    pandas.DataFrame
        One row for each number of speakers, from 1 to a few more than were found, or fewer if there is little speech;
        no rows if nobody speaks. With ``channels="split"`` each channel has its own rows, and there is a column
        ``channel``.

        - ``k``: the number of speakers
        - ``score``: how different the two named voices are, as a multiple of the difference that two voices need; at
          least 1 if they are two. NaN for one speaker
        - ``kept``: how many of these `k` voices explain enough of the recording to be kept
        - ``speaker``, ``other``: labels as in `turns`. Up to the number found: the two most similar speakers, who are
          merged in the row above (there, each label may stand for several speakers, named after the one who speaks
          most). Beyond that number: the same label twice, the speaker who is split
        - ``smallest``: seconds of clear speech of the speaker with the least
        - ``chosen``: whether `turns` has this number, before any renaming

    Raises
    ------
    TurnTableError
        The table did not come from diarnb.
    RunNotFoundError
        The run or its evidence is no longer in the store.
    InvalidParameterError
        The engine does not explain how it counts.

    See Also
    --------
    diarnb.plot.count_plot : draws this table.
    diarnb.speakers : flags labels that are probably nobody as ``doubtful``.

    Notes
    -----
    A number of speakers is credible if every voice is kept (``kept == k``) and the score is at least 1. Unless you gave
    bounds, the largest such number is usually chosen, without speakers who are heard for less than a second. So read up
    and down from the chosen row:

    - Its score is only a little above 1: the two may be one person, for example near to and far from the microphone.
      Listen to both with ``clip``. If they are one, ``rename`` one into the other, or ``recluster(turns,
      num_speakers=k - 1)``.
    - The next row's score is above 1, but not all voices are kept: there may be one more speaker, who says too little
      to be certain; `smallest` shows how little. Listen to `speaker`; if you hear two people, ``recluster(turns,
      num_speakers=k + 1)``.
    - The next row keeps all voices, but its score is just below 1: two similar voices may have been merged. Do the
      same.

    With only two voices, the score says least, because there is no third voice to compare their distance with. A
    ``threshold`` alone decides, and scores are multiples of it. The difference that two voices need is smaller if the
    one who speaks less says more, and if there are more speakers. In more than ten minutes of speech, voices are found
    in stretches of about seven minutes, and `kept` counts those that are kept in at least one of them. Without bounds,
    the segmentation network also counts: there is one speaker if it finds no second one within any 10 s; and in less
    than 30 s of speech there are two, kept or not, if it clearly finds a second one and the score is above 1.5.

    Examples
    --------
    >>> from diarnb.metrics import count_evidence
    >>> turns = diarize(example("meeting"), progress=False)
    >>> evidence = count_evidence(turns)
    >>> evidence.loc[evidence["chosen"], ["k", "kept"]]
       k  kept
    3  4     4
    >>> pair = evidence.loc[3, ["speaker", "other"]]  # the two most alike, who become one if there are but three
    >>> three = recluster(turns, num_speakers=3)
    """
    run = run_of(turns)
    evidence, engine = evidence_of(run)
    table = engine.count_evidence(evidence, Params(**run.params), run.options)
    names = turns.attrs["diarnb"].get("names", {})
    for side in ("speaker", "other"):
        table[side] = [names.get(label, label) for label in table[side]]
    dtypes = {name: dtype for name, dtype in _COUNTS.items() if name in table}
    return table.astype(dtypes)[list(dtypes)]


def agreement(tables: Iterable[pd.DataFrame] | Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Estimate how good diarizations of the same recording are without a reference, by their agreement.

    Parameters
    ----------
    tables : iterable of pandas.DataFrame, or mapping of str to pandas.DataFrame
        At least two tables with start, end and speaker, from different engines or settings, or from `second_opinions`.

    Returns
    -------
    pandas.DataFrame
        One row for each table, in the given order:

        - ``table``: its name, or its number from 0
        - ``agreement``: 0-100, the mean over the other tables. For two tables it is the speech that both give to the
          same speaker, in percent of all speech in either (with overlap, each speaker counts). Speakers are paired one
          to one so that they share the most time. The order of the tables does not matter
        - ``verdict``: ``"trust"`` from 93, ``"check"`` from 85, below that ``"do not use"``; see the notes

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns.
    InvalidParameterError
        There are fewer than two tables, or only some of them have a column ``uri``.

    See Also
    --------
    diarnb.compare : where two of them differ.
    diarnb.score : if there is a reference.

    Notes
    -----
    Low agreement is a sign of trouble; high agreement is not a proof. Tables of one engine share its mistakes: if it
    takes two people for one, it does so each time, and all tables agree. The limits were chosen for `second_opinions`
    on 58 simulated conversations, from easy to hopeless. On 58 others, the rank correlation with the true error rate
    (collar 0.25) was 0.68. The median and the worst error rate were 4 and 13 % with "trust", and 7 and 38 % with
    "check"; below that, the median was 31 %. On 26 real recordings the correlation was 0.53, and the rates were 1 and
    5 %, 5 and 45 %, and 12 % (``python -m benchmarks.metrics_agreement``). So listen to a few turns of each speaker
    before you trust a result.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"start": [0, 5], "end": [4, 9], "speaker": ["Maya", "Otto"]})
    >>> agreement({"a": a, "same": a.replace("Maya", "X"), "one": a.assign(speaker="X")})
      table  agreement     verdict
    0     a       75.0  do not use
    1  same       75.0  do not use
    2   one       50.0  do not use
    """
    named = dict(tables) if isinstance(tables, Mapping) else dict(enumerate(tables))
    if len(named) < 2:
        raise InvalidParameterError(
            f"agreement needs two tables or more, not {len(named)}; `diarnb.metrics.second_opinions(source)` makes some"
        )
    found = np.full((len(named), len(named)), np.nan)
    for one, other in combinations(range(len(named)), 2):
        a, b = (list(named.values())[number] for number in (one, other))
        found[one, other] = found[other, one] = measure_agreement(a, b)
    mean = np.nanmean(found, axis=1)
    verdict = np.select([mean >= _TRUST, mean >= _CHECK], ["trust", "check"], "do not use")
    table = pd.DataFrame({"table": list(named), "agreement": mean})
    return table.assign(verdict=pd.Series(verdict, dtype=str))


def second_opinions(source: Source, *, progress: bool = True, **asked: Any) -> dict[str, pd.DataFrame]:
    """Diarize a recording as it is and with changed sound: what is certain stays the same.

    Parameters
    ----------
    source : anything that `diarize` takes
        The recording.
    progress : bool, default True
        Show the progress.
    **asked
        Other arguments of `diarize`, the same each time: ``num_speakers`` and so on. The engine is always the local
        one, so nothing is billed.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``"as it is"``; ``"slower"``, 4 % slower and lower in pitch, with its times converted back; ``"noisy"``, with
        noise 15 dB below the recording. Each of these takes as long as `diarize`. And ``"one more"``, the first result
        with one more speaker, unless you gave their number or nobody speaks.

    Raises
    ------
    InvalidParameterError
        An engine is named, or a parameter is wrong.
    AudioError
        The source cannot be read, is not audio, or is empty.

    Examples
    --------
    >>> opinions = second_opinions(example("interview"), progress=False)
    >>> agreement(opinions).loc[0, "verdict"]
    'trust'
    """
    if asked.keys() & {"engine", "channels", "words"}:
        raise InvalidParameterError("second opinions are the local engine's, of the mix of all channels, without words")
    tables = {"as it is": api.diarize(source, progress=progress, **asked)}
    facts = tables["as it is"].attrs["diarnb"]
    with tempfile.TemporaryDirectory(prefix="diarnb-") as folder, open_recording(source) as recording:
        power = sum(float(np.square(block, dtype=np.float64).sum()) for block in recording.blocks())
        level = np.sqrt(power / max(recording.duration * SAMPLE_RATE, 1)) * 10 ** (-_NOISE / 20)
        for name, rate, loud in (("slower", round(_SLOWER * SAMPLE_RATE), 0.0), ("noisy", SAMPLE_RATE, level)):
            path = Path(folder, f"{name}.wav")
            with soundfile.SoundFile(path, "w", rate, 1, "FLOAT") as file:
                for block, noise in zip(recording.blocks(), _make_noise(), strict=False):
                    file.write(block + np.float32(loud) * noise[: len(block)])
            table = api.diarize(path, progress=progress, **asked)
            for column in ("start", "end", "duration"):
                table[column] *= rate / SAMPLE_RATE
            table.attrs["diarnb"] |= {"source": facts["source"], "duration": facts["duration"]}
            tables[name] = table
    found = tables["as it is"]["speaker"].nunique()
    if found and asked.get("num_speakers") is None:
        tables["one more"] = api.recluster(tables["as it is"], num_speakers=found + 1)
    return tables


def _make_noise() -> Iterator[NDArray[np.float32]]:
    """Yield noise of level 1, mostly low as in rooms, block by block and always the same."""
    random, response = np.random.default_rng(0), 0.9 ** np.arange(200)
    before = np.zeros(len(response) - 1)
    while True:
        white = np.concatenate([before, np.sqrt(1 - 0.9**2) * random.standard_normal(10 * SAMPLE_RATE)])
        before = white[-len(before) :]
        yield np.convolve(white, response, "valid").astype(np.float32)


def difference(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Compare the diarization error rates of two scores, and estimate whether chance explains the difference.

    Parameters
    ----------
    a, b : pandas.DataFrame
        From `diarnb.score`, for the same recordings and the same reference, such as before and after a change, or for
        two engines. Rows may be left out, but the same ones in both.

    Returns
    -------
    pandas.DataFrame
        One row for each convention:

        - ``collar``, ``overlap``: as in `diarnb.score`
        - ``recordings``: how many are compared; ``better``, ``worse``: in how many `b` has fewer or more errors
        - ``der_a``, ``der_b``: pooled, in percent
        - ``difference``: ``der_b`` minus ``der_a`` in percentage points; below 0, `b` is better
        - ``low``, ``high``: its 95 % interval, from resampling pairs of recordings (bootstrap, 2000 samples, fixed
          seed). If 0 is outside, chance is an unlikely explanation. NaN for a single recording

    Raises
    ------
    InvalidParameterError
        The figures are not comparable: different recordings, conventions, references or stretches; or a table is not a
        table of scores.

    Examples
    --------
    >>> truth = read(example("interview").with_suffix(".rttm"))
    >>> found = diarize(example("interview"), progress=False)
    >>> change = difference(score(truth, found.assign(speaker="one")), score(truth, found))
    >>> bool(change["difference"].max() < 0)
    True
    """
    left, right = (_check_scores(table, name) for table, name in ((a, "a"), (b, "b")))
    conventions = [sorted({(collar, overlap) for _, collar, overlap in each.index}) for each in (left, right)]
    if conventions[0] != conventions[1]:
        told = [", ".join(f"collar {c:g} with overlap {o}" for c, o in each) for each in conventions]
        raise InvalidParameterError(
            f"the conventions differ, so the figures cannot be compared: {' against '.join(told)}"
        )
    for name, own, other in (("a", left, right), ("b", right, left)):
        lonely = own.index.difference(other.index, sort=False)
        if len(lonely):
            uri, collar, overlap = lonely[0]
            of = f" of {visible(uri, limit=60)!r}" if uri else ""
            raise InvalidParameterError(
                f"only {name} has a figure{of} at collar {collar:g} with overlap {overlap}; compare scores of the same "
                "recordings"
            )
    right = right.loc[left.index]
    for column, what in (("reference", "other references"), ("uem", "other stretches (uem)")):
        differs = left[column] != right[column]
        if differs.any():
            uri, _, _ = left.index[differs][0]
            of = f" of {visible(uri, limit=60)!r}" if uri else ""
            raise InvalidParameterError(f"the figures{of} were scored against {what}, so they cannot be compared")
    rows = []
    for (collar, overlap), own in left.groupby(level=["collar", "overlap"], sort=False):
        speech, before, after = own["speech"], own["wrong"], right.loc[own.index, "wrong"]
        change = (after - before).to_numpy()
        low, high = interval(change, speech.to_numpy()) if len(own) > 1 else (np.nan, np.nan)
        rates = [100 * float(wrong.sum() / speech.sum()) if speech.sum() else np.nan for wrong in (before, after)]
        rows.append(
            {
                "collar": collar,
                "overlap": overlap,
                "recordings": len(own),
                "better": int((change < 0).sum()),
                "worse": int((change > 0).sum()),
                "der_a": rates[0],
                "der_b": rates[1],
                "difference": rates[1] - rates[0],
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def _check_scores(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check a table of scores, and return the rows of single recordings, by recording and convention."""
    needed = ["collar", "overlap", "recordings", "speech", "wrong", "reference", "uem"]
    missing = [column for column in needed if column not in table] if isinstance(table, pd.DataFrame) else needed
    if missing or not len(table):
        raise InvalidParameterError(
            f"{name} is not a table of scores; make one with `diarnb.score(reference, hypothesis)`"
        )
    rows = table[table["recordings"] == 1]
    rows = rows.assign(uri=rows.get("uri", "")).set_index(["uri", "collar", "overlap"])
    if rows.index.has_duplicates:
        raise InvalidParameterError(f"{name} has two figures for one recording and convention; keep those of one score")
    return rows
