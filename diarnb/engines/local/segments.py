"""Cut speech regions into short segments, each of one speaker as far as the segmentation can tell."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Chosen on the TUNE half of the recordings that `benchmarks.accuracy` is run on.
ONSET, OFFSET = 0.5, 0.35  # hysteresis: speech begins above the first, and lasts while above the second
_CHANGE = 0.13  # a peak of the change score above this cuts
_SHORTEST = 6  # frames, 0.1 s: least length of a region, and between two changes
_BRIDGE = 12  # frames, 0.2 s: gaps up to this are speech
LONGEST = 59  # frames, 1.0 s: longer segments blur who speaks when
_STRETCH = 60 * LONGEST  # frames, a minute: is cut where there is neither pause nor change, to bound the memory


def find_runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the runs of true values [shape=(runs, 2)]: first index and the one behind the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges.reshape(-1, 2).astype(np.int64)


def find_speech_regions(probability: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find regions of speech by hysteresis; short gaps are bridged, and very short regions dropped."""
    loud = np.concatenate([[0], np.cumsum(probability >= ONSET)])
    regions = find_runs(probability >= OFFSET)
    regions = _bridge_gaps(regions[loud[regions[:, 1]] > loud[regions[:, 0]]])
    return regions[regions[:, 1] - regions[:, 0] >= _SHORTEST]


def _bridge_gaps(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join runs with a short gap between them."""
    if not len(runs):
        return runs
    apart = runs[1:, 0] - runs[:-1, 1] > _BRIDGE
    return np.stack([runs[np.r_[True, apart], 0], runs[np.r_[apart, True], 1]], axis=1)


def cut(
    regions: NDArray[np.int64], change: NDArray[np.float32], origin: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    """Cut regions where the speaker changes, and evenly where they are still long.

    Parameters
    ----------
    regions : numpy.ndarray [shape=(regions, 2)]
        First frame and the one behind the last.
    change : numpy.ndarray [shape=(frames,)]
        Score of a change of speaker at each frame, 0-1.
    origin : int, default 0
        The number of the first of these frames.

    Returns
    -------
    segments : numpy.ndarray [shape=(segments, 2)]
        First frame and the one behind the last.
    change : numpy.ndarray [shape=(segments,)]
        Score of a change of speaker at the beginning of each: 1 after a silence, 0 at an even cut.
    """
    segments: list[tuple[int, int]] = []
    strength: list[float] = []
    for start, end in regions:
        edges, heights = [int(start)], [1.0]
        runs = find_runs(change[start:end] >= _CHANGE) + start
        for peak in [*(int(first + change[first:last].argmax()) for first, last in runs), int(end)]:
            while peak - edges[-1] > _STRETCH + _SHORTEST:
                edges.append(edges[-1] + _STRETCH)
                heights.append(_CHANGE)
            if peak - edges[-1] >= _SHORTEST and end - peak >= _SHORTEST:
                edges.append(peak)
                heights.append(float(change[peak]))
        for left, right, height in zip(edges, [*edges[1:], int(end)], heights, strict=True):
            parts = -(-(right - left) // LONGEST)
            bounds = np.linspace(origin + left, origin + right, parts + 1).round().astype(int)
            segments.extend(pairwise(bounds.tolist()))
            strength.extend([height] + [0.0] * (parts - 1))
    return np.array(segments, np.int32).reshape(-1, 2), np.array(strength, np.float16)


def find_embedding_spans(segments: NDArray[np.int32], change: NDArray[np.float16]) -> NDArray[np.int32]:
    """Widen each segment to 1 s, within a region of one speaker: embeddings of more sound are better."""
    spans = segments.copy()
    starts = np.flatnonzero(change >= _CHANGE)
    for first, last in pairwise([*starts.tolist(), len(segments)]):
        left, right = segments[first, 0], segments[last - 1, 1]
        inside = slice(first, last)
        missing = np.maximum(LONGEST - (segments[inside, 1] - segments[inside, 0]), 0)
        low = np.maximum(segments[inside, 0] - missing // 2, left)
        high = np.minimum(np.maximum(low + LONGEST, segments[inside, 1]), right)
        spans[inside, 0] = np.maximum(np.minimum(low, high - LONGEST), left)
        spans[inside, 1] = high
    return spans


class Segmentizer:
    """Cuts a growing recording into segments.

    Attributes
    ----------
    settled : int
        The frame before which nothing that follows can change a segment.
    """

    def __init__(self) -> None:
        self.settled: int = 0
        self._speech, self._change = np.zeros(0, np.float32), np.zeros(0, np.float32)  # from `settled` on
        self._strength: np.float16 | None = None  # of the change at `settled`, where that lies within speech

    def feed(
        self, speech: NDArray[np.float32], change: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.int32]]:
        """Add frames; return the next segments that are settled, as `tail` does."""
        segments, strength, spans = self.tail(speech, change)
        self._speech = np.concatenate([self._speech, speech])
        self._change = np.concatenate([self._change, change])
        done, self._strength = self._find_settled()
        self._speech, self._change = self._speech[done:], self._change[done:]
        self.settled += done
        count = np.searchsorted(segments[:, 0], self.settled)
        return segments[:count], strength[:count], spans[:count]

    def tail(
        self, speech: NDArray[np.float32], change: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.int32]]:
        """Return the segments after the settled ones, the change score of each, and the span to embed.

        As if the recording ended with these frames, which are not kept.
        """
        speech, change = np.concatenate([self._speech, speech]), np.concatenate([self._change, change])
        segments, strength = cut(find_speech_regions(self._continue_speech(speech)), change, self.settled)
        if self._strength is not None:
            strength[0] = self._strength
        return segments, strength, find_embedding_spans(segments, strength)

    def _continue_speech(self, speech: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mark the first frames as speech where it is known to go on at `settled`."""
        if self._strength is None:
            return speech
        return np.concatenate([np.ones(_SHORTEST, np.float32), speech[_SHORTEST:]])

    def _find_settled(self) -> tuple[int, np.float16 | None]:
        """Find the last settled edge, and its change score where speech goes on there."""
        speech, end = self._continue_speech(self._speech), len(self._speech)
        runs = find_runs(speech >= OFFSET)
        loud = np.array([(speech[start:stop] >= ONSET).any() for start, stop in runs], bool)
        regions = _bridge_gaps(runs[loud | (runs[:, 1] == end)])  # what is below the onset so far may still pass it
        if not len(regions) or regions[-1, 1] + _BRIDGE < end:
            return end, None
        start = int(regions[-1, 0])
        certain = max([start, *runs[loud, 1].tolist()])  # speech goes on until there at least
        rising = find_runs(self._change[:certain] >= _CHANGE)
        if len(rising) and rising[-1, 1] == certain:
            certain = max(int(rising[-1, 0]), start)  # its peak may lie ahead
        segments, strength = cut(np.array([[start, certain]]), self._change)
        edges = np.flatnonzero(strength >= _CHANGE)
        if len(edges) > 1:
            return int(segments[edges[-1], 0]), strength[edges[-1]]
        return start, self._strength if start == 0 else None
