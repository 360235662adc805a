"""The clearest speech of each speaker in a table: where nobody else speaks, the longest stretches first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from diarnb.tables.activity import find_edges, mark_active
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from diarnb.audio import Recording

RATE = 16_000


def excerpts(recording: Recording, turns: pd.DataFrame, most: float) -> dict[str, list[NDArray[np.float32]]]:
    """Cut out the clearest speech of each speaker.

    Parameters
    ----------
    recording : Recording
    turns : pandas.DataFrame
        With start, end and speaker; where there is a ``channel``, each turn is heard on its own, else on the mix.
    most : float
        Seconds of each speaker; what goes beyond is not heard.

    Returns
    -------
    dict of str to list of numpy.ndarray
        16 kHz samples of each speaker, a stretch in each array, in order of time; no array where there is no sound.
    """
    turns = check_turns(turns)
    channels: list[int | Literal["mix"]] = turns["channel"].unique().tolist() if "channel" in turns else ["mix"]
    heard: dict[str, list[NDArray[np.float32]]] = {speaker: [] for speaker in turns["speaker"].unique()}
    left = dict.fromkeys(heard, round(most * RATE))
    for channel in channels:
        wanted: list[tuple[int, int, str]] = []
        for speaker, stretches in _find_alone(
            turns if channel == "mix" else turns[turns["channel"] == channel]
        ).items():
            for start, end in sorted(stretches.tolist(), key=lambda span: span[0] - span[1]):
                length = min(end - start, left[speaker])
                left[speaker] -= length
                wanted += [(start, start + length, speaker)] if length else []
        if not wanted:
            continue
        at, end = 0, max(end for _, end, _ in wanted)
        for block in recording.blocks(channel, end=end / RATE):
            for first, beyond, speaker in sorted(wanted):
                piece = block[max(first - at, 0) : max(beyond - at, 0)]
                if len(piece):
                    heard[speaker].append(piece)
            at += len(block)
    return heard


def _find_alone(turns: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """Find the stretches, in samples, in which only this one speaks; all of their turns if there is none."""
    times = find_edges(turns)
    names: list[str] = sorted(turns["speaker"].unique())
    speaking = mark_active(turns, names, times)
    alone = speaking & (speaking.sum(0) == 1)
    found = {}
    for name, own, free in zip(names, speaking, alone, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], free if free.any() else own, [False]])))
        found[name] = (times[edges].reshape(-1, 2) * RATE).round().astype(np.int64)
    return found
