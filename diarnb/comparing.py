"""Compare two tables of the same recording: who is whom, where they differ, how far they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.plot import draw_tables
from diarnb.tables.activity import is_finite
from diarnb.tables.checks import as_table
from diarnb.tables.colors import PALETTE
from diarnb.tables.moments import Moments, pair_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from diarnb.tables.moments import Pair

__all__ = ["compare", "compare_plot", "over_time"]


def __dir__() -> list[str]:
    return __all__


_NAMES = ("a", "b")
_COLORS = {"only a": PALETTE[0], "only b": PALETTE[1], "different speaker": PALETTE[3]}


def compare(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Find where two diarizations of the same recording differ, such as those of two engines.

    Neither is taken as the truth. First, the speakers of `b` get the names of the speakers of `a` with whom they share
    the most time. Each name is used at most once.

    Parameters
    ----------
    a, b : pandas.DataFrame
        Any tables with start, end and speaker; of several recordings with ``uri``.

    Returns
    -------
    pandas.DataFrame
        A table of turns that ``timeline``, ``player`` and ``clip`` accept, sorted by start. Each row is a stretch
        during which the same speakers are in one table only.

        - ``start``, ``end``, ``duration``: seconds
        - ``speaker``: who speaks according to `a`, or, where `a` has nobody, according to `b`
        - ``kind``: ``"only a"``, ``"only b"``, or ``"different speaker"``
        - ``speaker_a``, ``speaker_b``: who speaks in one table only, with the names of `a`, joined by " + "; empty for
          nobody. A speaker of `b` without a counterpart in `a` keeps the label, followed by "(b)" if `a` uses it too
        - ``uri``: in a table of several recordings

        ``attrs["diarnb"]`` is that of `a`, plus ``agreement`` (0-100, as `diarnb.metrics.agreement` defines it) and
        ``twins``, which maps each label of `b` to one of `a`. With several recordings, there is one of each per
        recording.

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns.
    InvalidParameterError
        Only one of the tables has a column ``uri``.

    See Also
    --------
    diarnb.comparing.over_time : agreement minute by minute.
    diarnb.comparing.compare_plot : both tables, and where they differ.
    diarnb.score : if one of them is the reference.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"start": [0, 5], "end": [4, 9], "speaker": ["Maya", "Otto"]})
    >>> b = pd.DataFrame({"start": [0, 5, 6], "end": [4, 6, 9], "speaker": ["X", "X", "Y"]})
    >>> differences = compare(a, b)
    >>> differences[["start", "end", "kind", "speaker_a", "speaker_b"]]
       start  end               kind speaker_a speaker_b
    0    5.0  6.0  different speaker      Otto      Maya
    >>> differences.attrs["diarnb"]["agreement"]
    87.5
    """
    compared = [_Comparison(pair) for pair in pair_tables(a, b, _NAMES)]
    table = pd.concat([each.differences() for each in compared], ignore_index=True)
    twins: dict[object, dict[str, str]] = {each.uri: each.twins for each in compared}
    table.attrs["diarnb"] = {
        **(as_table(a).attrs.get("diarnb") or {}),
        "agreement": _average_agreement(compared),
        "twins": twins.get(None, twins),
    }
    return table


def over_time(a: pd.DataFrame, b: pd.DataFrame, *, step: float = 60.0) -> pd.DataFrame:
    """Measure how far two diarizations of the same recording agree, step by step.

    Parameters
    ----------
    a, b : pandas.DataFrame
        As for `compare`. Speakers are paired once, over the whole recording.
    step : float, default 60.0
        Seconds.

    Returns
    -------
    pandas.DataFrame
        ``start``, ``end`` (seconds; the last may end early), ``agreement`` (0-100; NaN where nobody speaks in either)
        and ``speech``, the seconds of speech that either has; ``uri`` with several recordings.

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns.
    InvalidParameterError
        `step` is not a number of seconds, or would make more than a million rows.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"start": [0, 60], "end": [50, 100], "speaker": ["A", "B"]})
    >>> over_time(a, a.assign(end=[50, 90]))
       start    end  agreement  speech
    0    0.0   60.0      100.0    50.0
    1   60.0  100.0       75.0    40.0
    """
    found = pair_tables(a, b, _NAMES)
    longest = max((float(table["end"].max()) for _, *tables in found for table in tables if len(table)), default=0.0)
    if not is_finite(step) or step <= 0 or longest / step > 1e6:
        raise InvalidParameterError(f"step={step!r:.40} is not a number of seconds that makes at most a million rows")
    return pd.concat([_Comparison(pair, step).profile() for pair in found], ignore_index=True)


def compare_plot(a: pd.DataFrame, b: pd.DataFrame, *, names: tuple[str, str] = ("a", "b"), **look: Any) -> Axes:
    """Draw two diarizations of one recording, and below them their differences.

    Parameters
    ----------
    a, b : pandas.DataFrame
        As for `compare`, of one recording. The speakers of `b` get the names of their counterparts in `a`.
    names : tuple of two str, default ("a", "b")
        The names of the tables.
    **look
        ``ax``, ``start``, ``end``, ``title``, ``colors`` and ``wrap`` as `diarnb.timeline` takes them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TurnTableError
        One of the tables is not a table of turns, or holds several recordings.
    InvalidParameterError
        As for `timeline`; or the names are the same.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"start": [0, 5], "end": [4, 9], "speaker": ["Maya", "Otto"]})
    >>> ax = compare_plot(a, a.assign(end=[4, 8]), names=("Monday", "Tuesday"))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Monday', 'Maya', 'Otto', 'Tuesday', 'Maya', 'Otto', 'agreement 87.5 of 100', 'only Monday']
    """
    first, second = map(str, names)
    if first == second:
        raise InvalidParameterError(f"two tables need two different names, not twice {visible(first)!r}")
    found = pair_tables(a, b, _NAMES)
    if len(found) > 1:
        raise TurnTableError(
            f"these tables hold {len(found)} recordings, and a picture shows one; "
            f"pick it by its uri: a[a.uri == {visible(found[0].uri, limit=60)!r}]"
        )
    compared = _Comparison(found[0])
    kinds = {"only a": f"only {first}", "only b": f"only {second}", "different speaker": "different speaker"}
    differences = compared.differences()
    differences["speaker"] = differences["kind"].map(kinds).astype(str)
    heading = f"agreement {_average_agreement([compared]):.1f} of 100"
    tables = {first: compared.tables[0], second: compared.tables[1], heading: differences}
    colors = {kinds[kind]: color for kind, color in _COLORS.items()} | dict(look.pop("colors", None) or {})
    return draw_tables(tables, as_table(a).attrs.get("diarnb") or {}, colors=colors, **look)


class _Comparison:
    """One recording by two tables, the speakers of the second named as their twins in the first."""

    def __init__(self, pair: Pair, step: float | None = None) -> None:
        self.uri = pair.uri
        end = max((float(table["end"].max()) for table in (pair.left, pair.right) if len(table)), default=0.0)
        self._cuts = [] if step is None else [*np.arange(0.0, end, step), end]
        self._moments = Moments(pair.left, pair.right, also=self._cuts)
        self.twins = self._moments.match_speakers()
        self._apart = self._moments.find_differences(self.twins)
        self.agreed, self.speech = self._moments.sum_agreement(self._apart)
        ours, theirs = self._moments.names
        taken = set(ours)
        self._shown = {
            name: self.twins[name] if name in self.twins else _find_free_name(name, taken) for name in theirs
        }
        names = pair.right["speaker"].map(self._shown).astype(str)
        self.tables = (pair.left, pair.right.assign(speaker=names))

    def differences(self) -> pd.DataFrame:
        labels = {"speaker_a": (0, self._moments.names[0]), "speaker_b": (1, [*self._shown.values()])}
        table = self._moments.join_moments(self._apart, labels)
        table["kind"] = pd.Series(np.array([*_COLORS])[table["side"]], dtype=str)
        table["speaker"] = table["speaker_a"].where(table["side"] != 1, table["speaker_b"])
        return self._of(table[["start", "end", "duration", "speaker", "kind", *labels]])

    def profile(self) -> pd.DataFrame:
        starts, ends = np.array(self._cuts[:-1]), np.array(self._cuts[1:])
        which = np.searchsorted(starts, self._moments.edges[:-1], side="right") - 1
        agreed, speech = (np.bincount(which, part, minlength=len(starts)) for part in (self.agreed, self.speech))
        share = np.divide(100 * agreed, speech, out=np.full(len(starts), np.nan), where=speech > 0)
        return self._of(pd.DataFrame({"start": starts, "end": ends, "agreement": share, "speech": speech}, dtype=float))

    def _of(self, table: pd.DataFrame) -> pd.DataFrame:
        return table if self.uri is None else table.assign(uri=pd.Series(self.uri, table.index, dtype=str))


def _find_free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += " (b)"
    taken.add(name)
    return name


def _average_agreement(compared: list[_Comparison]) -> float:
    agreed, speech = (sum(getattr(each, part).sum() for each in compared) for part in ("agreed", "speech"))
    return float(100 * agreed / speech) if speech else 100.0


def measure_agreement(a: pd.DataFrame, b: pd.DataFrame) -> float:
    """Return the share of speech on which two tables agree, 0-100, over all their recordings."""
    return _average_agreement([_Comparison(pair) for pair in pair_tables(a, b, _NAMES)])
