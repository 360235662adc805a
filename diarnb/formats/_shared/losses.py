"""What of a table is not in the file that was made of it.

The file is read back and compared, so that no format can lose anything in silence, known or not.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.formats._shared.fields import cut_suffixes
from diarnb.tables.moments import cut_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXACT = 0.0005001  # seconds: half of the millisecond that the coarsest formats hold
_FIRST = ("speaker", "word", "text")  # what tells rows of one time apart


def find_losses(given: pd.DataFrame, back: pd.DataFrame) -> list[str]:
    """List with or without what the table was written, each in a clause; times may differ by half a millisecond.

    Parameters
    ----------
    given, back : pandas.DataFrame
        The table that was written, checked, and what was read of the file.

    Returns
    -------
    list of str
        Empty if nothing is lost.
    """
    remarks = []
    have = {str(column) for column in back}
    if {"uri"} <= have & set(given) and set(back["uri"]) == set(stems := cut_suffixes(given["uri"].tolist())):
        given = given.assign(uri=stems)  # joins take a recording's name with and without a suffix for the same
    gone = [str(name) for name in given if str(name) not in have and name != "duration" and _says(given, back, name)]
    if gone:
        remarks.append(f"without {', '.join(gone):.200}")
    if "confidence" in back and "confidence" not in given and back["confidence"].notna().any():
        remarks.append(
            f"with a made-up confidence of {back['confidence'].iloc[0]:g}, for the format has no word without"
        )
    if len(back) < len(given):
        long = given[given["end"] > given["start"]]
        seen = given[[round(end, 3) > round(start, 3) for start, end in _times(given)]]  # once they are rounded
        for kept in (long, seen):
            if len(kept) == len(back):
                remarks.append(f"without {len(given) - len(kept)} of {len(given)} rows, which have no length")
                given = kept
                break
    if len(back) != len(given):
        return [*remarks, f"with {len(back)} of {len(given)} rows"]
    # Most formats keep the order; where one does not, rows are compared as they would stand in both.
    first = [name for name in _FIRST if name in given and name in back]
    rest = [str(name) for name in given if name in back and name not in (*first, "start", "end", "duration")]
    both = (_in_order(table, [*first, *rest]) for table in (given, back))
    return remarks + (_changes(given, back) and _changes(*both))


def _changes(given: pd.DataFrame, back: pd.DataFrame) -> list[str]:
    remarks = []
    have = {str(column) for column in back}
    for name in given.columns:
        if str(name) not in have or name == "duration":
            continue
        alike = _at_once if name in ("start", "end") else _equal if name == "speaker" else _alike
        both = zip(given[name].tolist(), back[str(name)].tolist(), strict=True)
        if changed := [(str(was), str(now)) for was, now in both if not alike(was, now)]:
            counts = Counter(changed)
            number = len(counts) if name in ("speaker", "uri") else len(changed)
            shown = ", ".join(f"{was!r:.40} to {now!r:.40}" for (was, now), _ in counts.most_common(3))
            remarks.append(f"with {number} values of {name} changed: {shown}")
    lost = (given["end"] > given["start"]).to_numpy() & (back["end"] <= back["start"]).to_numpy()
    if lost.any():
        remarks.append(f"with {np.count_nonzero(lost)} of {len(given)} rows so short that their length becomes 0")
    return remarks


def _times(table: pd.DataFrame) -> Iterable[tuple[float, float]]:
    return zip(table["start"].tolist(), table["end"].tolist(), strict=True)


def _says(given: pd.DataFrame, back: pd.DataFrame, name: object) -> bool:
    """Whether a column that did not come back said anything that its absence does not say."""
    values = given[name].dropna()
    if name == "uri":
        source = (back.attrs.get("diarnb") or {}).get("source")
        return any(source not in (uri, cut_suffix(uri)) for uri in values.astype(str))
    if name == "channel":
        return bool((values != 0).any())
    if name == "text" and "word" in back:
        return not values.astype(str).equals(given["word"].loc[values.index].astype(str))
    return bool((values.astype(str) != "").any())


def _in_order(table: pd.DataFrame, shared: list[str]) -> pd.DataFrame:
    """Sort by what every format keeps, and rows of one time by all else that came back."""
    times = {name: [round(time, 3) for time in table[name]] for name in ("start", "end")}
    others = {name: ["" if _missing(value) else str(value) for value in table[name]] for name in shared}
    keys = pd.DataFrame({**times, **others}, index=table.index)
    return table.loc[keys.sort_values(list(keys.columns), kind="stable").index].reset_index(drop=True)


def _at_once(was: float, now: float) -> bool:
    return abs(was - now) <= _EXACT


def _equal(was: object, now: object) -> bool:
    """Compare speakers, for whom nobody is not the same as a name that is empty."""
    return _alike(was, now) and _missing(was) == _missing(now)


def _alike(was: object, now: object) -> bool:
    if _missing(was) or _missing(now):
        return all(_missing(value) or value == "" for value in (was, now))
    return bool(was == now) or str(was) == str(now)


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)
