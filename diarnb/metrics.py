"""Figures on a diarization: what speaks for the number of speakers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diarnb.engines.base import Counter
from diarnb.errors import InvalidParameterError
from diarnb.params import Params
from diarnb.results import evidence_of, run_of

if TYPE_CHECKING:
    import pandas as pd

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
    """Say what speaks for each number of speakers, and which two would become one next.

    Parameters
    ----------
    turns : pandas.DataFrame
        A table that `diarize` or `recluster` made with an engine that tells how it counts (the local one does), whole
        or in part, renamed or not.

    Returns
    -------
    pandas.DataFrame
        One row for each number of speakers, from 1 to some more than were found, fewer where there is too little
        speech; none where nobody speaks. With ``channels="split"`` each channel has its rows and a column ``channel``.

        - ``k``: the number of speakers
        - ``score``: how different the two voices named beside it are, as a multiple of what it takes to be two; at
          least 1 where they are. NaN for one speaker
        - ``kept``: how many of these `k` voices explain enough of what was heard to be there at all
        - ``speaker``, ``other``: labels as `turns` shows them. Up to the number found, the two most alike speakers,
          who become one in the row above (by then each may stand for several: the one who speaks most names them).
          Beyond, twice the same label: the speaker who is cut in two
        - ``smallest``: seconds of clear speech of the one who speaks least
        - ``chosen``: whether `turns` has this number, before any renaming

    Raises
    ------
    TurnTableError
        The table did not come from diarnb.
    RunNotFoundError
        The run, or what it heard, is no longer in the store.
    InvalidParameterError
        The engine does not tell how it counts.

    See Also
    --------
    diarnb.plot.count_plot : draws this table.
    diarnb.speakers : flags labels that are probably nobody as ``doubtful``.

    Notes
    -----
    A number of speakers can be believed where every voice is kept (``kept == k``) and the score is at least 1. Unless
    you gave bounds, the greatest such number is chosen as a rule, less whoever is heard for under a second. So read
    upwards and downwards from the chosen row:

    - Its score is only a little above 1: the two may be one person, near and far from the microphone, say. Listen to
      both with ``clip``; if they are one, ``rename`` one into the other, or ``recluster(turns, num_speakers=k - 1)``.
    - The next row's score is above 1, but not all are kept: there may be one more, who says too little to be sure;
      `smallest` tells how little. Listen to `speaker`; if you hear two, ``recluster(turns, num_speakers=k + 1)``.
    - The next row keeps all, but its score is just below 1: two much alike voices were taken for one. The same remedy.

    With just two voices the score says the least: there is no third to compare their distance with. With a
    ``threshold``, that alone decides, and scores are multiples of it.

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
    if not isinstance(engine, Counter):
        raise InvalidParameterError(
            f"the engine {run.engine!r} does not tell how it counts speakers; diarize with engine='local' to see"
        )
    table = engine.count_evidence(evidence, Params(**run.params), run.options)
    names = turns.attrs["diarnb"].get("names", {})
    for side in ("speaker", "other"):
        table[side] = [names.get(label, label) for label in table[side]]
    dtypes = {name: dtype for name, dtype in _COUNTS.items() if name in table}
    return table.astype(dtypes)[list(dtypes)]
