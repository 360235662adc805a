"""Diarize a stream: decide anew every three seconds over all evidence, and settle turns half a minute after their end.

A decision replaces the last half minute of those before it; what lies further back stays as it was returned. Each
decision numbers its speakers by itself; they are mapped to the labels that were returned for the same frames.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import soxr

from diarnb.engines.local.segmentation import HOP, RATE, RESOLUTION, seconds
from diarnb.engines.local.segments import find_runs
from diarnb.tables.activity import match_one_to_one

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from diarnb._types import Json
    from diarnb.engines.local.decoding import Decision
    from diarnb.engines.local.evidence import ChannelEvidence, Extractor

_SETTLED = 30.0  # seconds after its end from which a turn is final
_PATIENCE = 3600  # steps, two hours, that are decided on at every step; then at every second one, and so on


def follow(
    blocks: Iterable[NDArray[np.float32]],
    rate: int,
    extractor: Extractor,
    decide: Callable[[ChannelEvidence], Decision],
) -> Generator[list[Json], None, tuple[ChannelEvidence, list[int]]]:
    """Follow a conversation.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray
        Mono samples; the size of blocks makes no difference.
    rate : int
        Hz.
    extractor : Extractor
    decide : callable
        Takes the evidence so far.

    Yields
    ------
    list of dict
        As `Streamer.stream` has them.

    Returns
    -------
    evidence : ChannelEvidence
        All of it.
    labels : list of int
        The label that each speaker of the last decision had.
    """
    live = LiveTurns()
    for number, step in enumerate(_step_through(blocks, rate)):
        extractor.feed(step)
        if len(step) == HOP and number % (1 + number // _PATIENCE) == 0:
            yield live.update(decide(extractor.evidence(quick=True)), extractor.samples / RATE)
    evidence = extractor.evidence()
    yield live.update(decide(evidence), extractor.samples / RATE, over=True)
    return evidence, live.labels


def _step_through(blocks: Iterable[NDArray[np.float32]], rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield steps of equal length at 16 kHz; the last one is shorter."""
    waiting = np.zeros(0, np.float32)
    for block in blocks if rate == RATE else _resample(blocks, rate):
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= HOP:
            yield waiting[:HOP]
            waiting = waiting[HOP:]
    yield waiting


def _resample(blocks: Iterable[NDArray[np.float32]], rate: int) -> Iterator[NDArray[np.float32]]:
    resampler = soxr.ResampleStream(rate, RATE, 1, quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


class LiveTurns:
    """The turns that were returned so far.

    Attributes
    ----------
    labels : list of int
        The label of each speaker of the last decision.
    """

    def __init__(self) -> None:
        self.labels: list[int] = []
        self._first = self._second = np.zeros(0, np.int16)  # as returned: the labels of every frame
        self._settled = 0  # frames that stay as they are
        self._taken: set[int] = set()  # labels that occur there
        self._open: dict[int, Json] = {}  # turns that were returned and are not final
        self._known = 0  # turns

    def update(self, decision: Decision, duration: float, *, over: bool = False) -> list[Json]:
        """Return the turns that are new or have changed.

        Parameters
        ----------
        decision : Decision
            On all evidence so far.
        duration : float
            Of the recording so far, in seconds.
        over : bool, default False
            Whether nothing follows.
        """
        self.labels = self._map_labels(decision)
        label = np.array([*self.labels, -1], np.int16)  # the last one is for nobody, -1
        self._first, self._second = (
            np.concatenate([told[: self._settled], label[new[self._settled :]]])
            for told, new in ((self._first, decision.first), (self._second, decision.second))
        )
        turns = self._list_turns(duration)
        self._settle(len(self._first) if over else int((duration - _SETTLED) / RESOLUTION))
        until = duration if over else float(seconds(self._settled))
        return self._find_changes(turns, until)

    def _map_labels(self, decision: Decision) -> list[int]:
        """Map every speaker to the label that was returned where they speak, or to a free one."""
        count, most = decision.speakers, int(max(self._first.max(initial=-1), self._second.max(initial=-1))) + 1
        shared = np.zeros(count * most, np.int64)
        for ours in (decision.first, decision.second):
            for theirs in (self._first, self._second):
                new, told = ours[: len(theirs)].astype(np.int64), theirs[: len(ours)]
                both = (new >= 0) & (told >= 0)
                shared += np.bincount((new * most + told)[both], minlength=count * most)
        table = shared.reshape(count, most)
        labels = match_one_to_one(table)
        used = self._taken | set(labels.values())
        free = (number for number in itertools.count() if number not in used)
        return [labels[each] if each in labels else next(free) for each in range(count)]

    def _list_turns(self, duration: float) -> list[Json]:
        """Return the turns that are not settled, in order."""
        first, second = self._first[self._settled :], self._second[self._settled :]
        turns = []
        for label in sorted(set(self.labels)):
            spans = find_runs((first == label) | (second == label)) + self._settled
            starts, ends = seconds(spans.T).round(6)
            turns += [
                {"start": start, "end": end, "speaker": f"SPEAKER_{label:02d}"}
                for start, end in zip(starts.tolist(), np.minimum(ends, duration).round(6).tolist(), strict=True)
                if start < end
            ]
        return sorted(turns, key=lambda turn: (turn["start"], turn["end"], turn["speaker"]))

    def _settle(self, horizon: int) -> None:
        """Settle all frames up to the last before the horizon at which nobody goes on speaking."""
        at = np.arange(self._settled + 1, min(horizon, len(self._first) - 1) + 1)
        goes_on = np.zeros(len(at), np.bool_)
        for before in (self._first[at - 1], self._second[at - 1]):
            goes_on |= (before >= 0) & ((before == self._first[at]) | (before == self._second[at]))
        if not goes_on.all():
            settled = int(at[~goes_on][-1])
            for told in (self._first, self._second):
                self._taken |= set(np.unique(told[self._settled : settled]).tolist()) - {-1}
            self._settled = settled

    def _find_changes(self, turns: list[Json], until: float) -> list[Json]:
        """Match turns with those returned in their place; return those that are new, changed or taken back."""
        told = list(self._open.values())
        shared = np.array(
            [
                [
                    (min(new["end"], old["end"]) - max(new["start"], old["start"]))
                    * (2 if new["speaker"] == old["speaker"] else 1)
                    for old in told
                ]
                for new in turns
            ]
        ).reshape(len(turns), len(told))
        ids = {new: told[old]["turn_id"] for new, old in match_one_to_one(np.maximum(shared, 0)).items()}
        changed, now = [], {}
        for number, turn in enumerate(turns):
            if number not in ids:
                ids[number] = self._known
                self._known += 1
            turn |= {"turn_id": ids[number], "final": turn["end"] <= until}
            now[turn["turn_id"]] = turn
            if turn != self._open.get(turn["turn_id"]):
                changed.append(turn)
        changed += [{**old, "end": old["start"], "final": True} for old in told if old["turn_id"] not in now]
        self._open = {number: turn for number, turn in now.items() if not turn["final"]}
        return changed
