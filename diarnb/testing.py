"""For tests of code that makes turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assert_turns_equal"]


def __dir__() -> list[str]:
    return __all__


_SHOWN = 10


def assert_turns_equal(left: pd.DataFrame, right: pd.DataFrame, *, tolerance: float = 0.0) -> None:
    """Assert that two tables hold the same turns.

    The order of rows and columns, the index, ``attrs`` and the storage of text make no difference.

    Parameters
    ----------
    left, right : pandas.DataFrame
        Any tables with start, end and speaker.
    tolerance : float, default 0.0
        By how many seconds a start or an end may differ, and by how much any other number.

    Raises
    ------
    AssertionError
        With the first rows that differ.
    TurnTableError
        If one of them is no table of turns.

    Examples
    --------
    >>> import pandas as pd
    >>> turns = pd.DataFrame({"start": [0], "end": [2], "speaker": ["SPEAKER_00"]})
    >>> assert_turns_equal(turns, turns.assign(end=2.01), tolerance=0.02)
    """
    left, right = check_turns(left, name="left"), check_turns(right, name="right")
    differences = [f"{len(left)} turns on the left, {len(right)} on the right"] if len(left) != len(right) else []
    if only := sorted(set(map(str, left.columns)) ^ set(map(str, right.columns))):
        differences.append(f"only one of them has {', '.join(only)}")
    for row, (ours, theirs) in enumerate(zip(left.to_dict("records"), right.to_dict("records"), strict=False)):
        # A duration differs with its start or end, by up to twice the tolerance: it says nothing of its own.
        shared = [name for name in ours if name in theirs and name != "duration"]
        differences += [
            f"row {row}, {name}: {ours[name]!r} != {theirs[name]!r}"
            for name in shared
            if not _alike(ours[name], theirs[name], tolerance)
        ]
    if differences:
        more = [f"and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
        raise AssertionError("the turns differ\n  " + "\n  ".join(differences[:_SHOWN] + more))


def _alike(ours: object, theirs: object, tolerance: float) -> bool:
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return abs(ours - theirs) <= tolerance or (ours != ours and theirs != theirs)  # both NaN
    return str(ours) == str(theirs)
