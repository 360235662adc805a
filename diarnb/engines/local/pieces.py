"""Cut speech into pieces that are short and, as far as the segmentation can tell, of one voice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONSET, OFFSET = 0.5, 0.35  # speech begins above the first, and lasts while above the second
_CHANGE = 0.13  # a peak of the change score above this cuts
_SHORTEST = 6  # frames, 0.1 s: less is a click, and cuts lie no closer
_BRIDGE = 12  # frames, 0.2 s: a gap within a word or between two
LONGEST = 59  # frames, 1.0 s: longer pieces blur who speaks when


def runs_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give [start, end) of every run of true values, as rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges.reshape(-1, 2).astype(np.int64)


def speech_regions(probability: NDArray[np.float32]) -> NDArray[np.int64]:
    """Regions of speech, by hysteresis, with short gaps bridged and clicks left out."""
    loud = np.concatenate([[0], np.cumsum(probability >= ONSET)])
    regions = runs_of(probability >= OFFSET)
    regions = regions[loud[regions[:, 1]] > loud[regions[:, 0]]]
    if len(regions):
        apart = regions[1:, 0] - regions[:-1, 1] > _BRIDGE
        regions = np.stack([regions[np.r_[True, apart], 0], regions[np.r_[apart, True], 1]], axis=1)
    return regions[regions[:, 1] - regions[:, 0] >= _SHORTEST]


def cut(regions: NDArray[np.int64], change: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    """Cut regions where the voice changes, and evenly where they are still long.

    Returns
    -------
    pieces : numpy.ndarray [shape=(pieces, 2)]
        First frame and the one behind the last.
    change : numpy.ndarray [shape=(pieces,)]
        How much the voice changes at the beginning of each: 1 after a silence, 0 at an even cut.
    """
    pieces: list[tuple[int, int]] = []
    strength: list[float] = []
    for start, end in regions:
        edges, heights = [int(start)], [1.0]
        for first, last in runs_of(change[start:end] >= _CHANGE) + start:
            peak = int(first + change[first:last].argmax())
            if peak - edges[-1] >= _SHORTEST and end - peak >= _SHORTEST:
                edges.append(peak)
                heights.append(float(change[peak]))
        for left, right, height in zip(edges, [*edges[1:], int(end)], heights, strict=True):
            parts = -(-(right - left) // LONGEST)
            bounds = np.linspace(left, right, parts + 1).round().astype(int)
            pieces.extend(pairwise(bounds.tolist()))
            strength.extend([height] + [0.0] * (parts - 1))
    return np.array(pieces, np.int32).reshape(-1, 2), np.array(strength, np.float16)


def listening_spans(pieces: NDArray[np.int32], change: NDArray[np.float16]) -> NDArray[np.int32]:
    """Widen each piece to 1 s where its neighbours are of the same voice: more to hear makes a better voiceprint."""
    spans = pieces.copy()
    starts = np.flatnonzero(change >= _CHANGE)
    for first, last in pairwise([*starts.tolist(), len(pieces)]):
        left, right = pieces[first, 0], pieces[last - 1, 1]
        inside = slice(first, last)
        missing = np.maximum(LONGEST - (pieces[inside, 1] - pieces[inside, 0]), 0)
        low = np.maximum(pieces[inside, 0] - missing // 2, left)
        high = np.minimum(np.maximum(low + LONGEST, pieces[inside, 1]), right)
        spans[inside, 0] = np.maximum(np.minimum(low, high - LONGEST), left)
        spans[inside, 1] = high
    return spans
