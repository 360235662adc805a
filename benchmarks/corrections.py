"""Measures what a correction is worth when it propagates: ``python -m benchmarks.corrections FOLDER [--clicks 20]``.

FOLDER is what ``python -m benchmarks.accuracy`` takes. A simulated person goes through each recording, click by click,
with and without `diarnb.corrections.propagation`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyannote.core import Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

import diarnb
from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import Errors, Recording, annotation, read_folder
from diarnb.corrections import Corrections
from diarnb.corrections.propagation import accept, propose, sureness
from diarnb.corrections.queue import estimate_left, queue
from diarnb.tables.activity import match_one_to_one

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks._systems import Turn

SHOWN = (0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)
WAYS = {
    "editing alone": (False, False),
    "and propagation": (False, True),
    "queue": (True, False),
    "queue, propagation": (True, True),
}
NOTES = """\
- A click says of one turn who speaks in it. `diarize` found the turns, the count not given. Reference speakers are
  mapped to labels once, before the first click; whoever has none gets a new label with the first turn that is given to
  them. A turn is wrong if whoever says most in it says over twice as much as the one it is given to; it is then given
  to the former, unless another turn over most of it is theirs. Nobody moves a boundary, cuts, adds or deletes a turn.
- editing alone: the person knows all mistakes, and corrects the longest wrong turn first. and propagation: the same,
  and after every click all that `propose` says is accepted.
- queue: the person knows nothing, and takes the turns in the order of `corrections.queue`; a right turn takes a click.
- DER: pooled, pyannote.metrics, collar 0, overlap scored. Where nothing is wrong any more, nothing changes. to gain:
  how much is gained, of what there is to gain down to the DER with every wrong turn put right.
- somebody else's: the share of the speech in turns that is in wrong ones before the first click, and what `review`
  estimates it to be.
- seconds: of one `propose`, the median; changed: turns that propagation changed, for each recording."""


class Person:
    """Someone who corrects one recording and knows, or hears, who speaks in each of its turns."""

    def __init__(self, recording: Recording) -> None:
        self.corrections = Corrections(diarnb.diarize(recording.audio, progress=False))
        turns = self.corrections.turns
        people = sorted({who for *_, who in recording.reference})
        self._said = pd.DataFrame({who: _shared(turns, recording.reference, who) for who in people}, turns.index)
        together = self._said.groupby(self.corrections.voices).sum().T
        pairs = match_one_to_one(together.to_numpy())
        self._labels = {people[row]: together.columns[column] for row, column in pairs.items()}

    def wrong(self) -> dict[int, str]:
        """Return the turns that are not their speakers', longest first, and who speaks there."""
        turns = self.corrections.turns.assign(label=self.corrections.voices)
        named = {label: who for who, label in self._labels.items()}
        found = {}
        for turn, start, end, label in turns[["start", "end", "label"]].itertuples():
            said = self._said.loc[turn]
            own = said[named[label]] if label in named else 0.0
            if own >= said.max() / 2:
                continue
            over = turns[(turns["start"] < end) & (turns["end"] > start) & (turns.index != turn)]
            time = np.minimum(over["end"], end) - np.maximum(over["start"], start)
            elsewhere = set(over["label"][time > (end - start) / 2])  # whose turn it is there already
            others = {who: said[who] for who in said.index if self._labels.get(who) not in elsewhere}
            who = max(others, key=others.get, default=None)
            if who is not None and others[who] / 2 > own:
                found[turn] = who
        return dict(sorted(found.items(), key=lambda each: -turns.loc[each[0], "duration"]))

    def click(self, *, queued: bool) -> bool:
        """Say of the next turn who speaks there; False where nothing is left to do."""
        wrong = self.wrong()
        if queued:
            waiting = self.corrections.turns.drop(index=list(self.corrections.confirmed))
            chosen = [int(turn) for turn in queue(waiting, sureness(self.corrections)).index[:1]]
        else:
            chosen = list(wrong)[:1]
        for turn in chosen:
            if turn in wrong:
                who = wrong[turn]
                self._labels[who] = self.corrections.reassign(turn, self._labels.get(who))
            else:
                self.corrections.confirm(turn)
        return bool(chosen)


def _shared(turns: pd.DataFrame, reference: Sequence[Turn], who: str) -> list[float]:
    own = np.array([(start, end) for start, end, speaker in reference if speaker == who])
    spans = turns[["start", "end"]].to_numpy()
    return [float((np.minimum(own[:, 1], end) - np.maximum(own[:, 0], start)).clip(0).sum()) for start, end in spans]


def errors(recording: Recording, corrections: Corrections) -> Errors:
    """Score the table as it is now."""
    turns = corrections.turns.assign(speaker=corrections.voices)[["start", "end", "speaker"]]
    uem = Timeline([Segment(start, end) for start, end in recording.scored])
    found = annotation(turns.itertuples(index=False, name=None))
    part = DiarizationErrorRate()(annotation(recording.reference), found, uem=uem, detailed=True)
    return Errors(part["total"], part["missed detection"], part["false alarm"], part["confusion"])


def clicked(
    recording: Recording, clicks: int, *, queued: bool, propagates: bool
) -> Iterator[tuple[int, Errors, int, float | None]]:
    """Give after each number of clicks that is shown the errors, turns changed by propagation, seconds it took."""
    person = Person(recording)
    changed, took = 0, None
    for click in range(clicks + 1):
        if click and person.click(queued=queued) and propagates:
            began = time.perf_counter()
            proposal = propose(person.corrections)
            took = time.perf_counter() - began
            changed += len(proposal)
            if len(proposal):
                accept(person.corrections, proposal)
        if click in SHOWN:
            yield click, errors(recording, person.corrections), changed, took


def put_right(recording: Recording) -> Errors:
    """Return the errors when no turn is wrong."""
    person = Person(recording)
    while person.click(queued=False):
        pass
    return errors(recording, person.corrections)


def estimate(recordings: Sequence[Recording]) -> tuple[float, float]:
    """Return the share of speech that is estimated to be somebody else's, and that is, in percent."""
    sums = np.zeros(3)
    for each in recordings:
        person = Person(each)
        turns = person.corrections.turns
        estimated = estimate_left(turns, sureness(person.corrections), {}).wrong
        sums += estimated, turns.loc[list(person.wrong()), "duration"].sum(), turns["duration"].sum()
    return 100 * sums[0] / sums[2], 100 * sums[1] / sums[2]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corrections", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", type=Path, metavar="NAMES.txt", help="these recordings, one name a line")
    parser.add_argument("--clicks", type=int, default=20, help="how many for each recording (default: 20)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS)[:2], help="default: the first two")
    arguments = parser.parse_args(argv)
    only = set(arguments.only.read_text(encoding="utf-8").split()) if arguments.only else None
    recordings = read_folder(arguments.folder, only)
    least = sum((put_right(each) for each in recordings), Errors(0, 0, 0, 0)).der
    estimated, wrong = estimate(recordings)
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime", "pyannote.metrics")}), NOTES, sep="\n")
    curves: dict[str, dict[int, float]] = {}
    remarks = []
    for way in arguments.ways:
        queued, propagates = WAYS[way]
        runs = [list(clicked(each, arguments.clicks, queued=queued, propagates=propagates)) for each in recordings]
        steps = zip(*runs, strict=True)
        curves[way] = {step[0][0]: sum((part[1] for part in step), Errors(0, 0, 0, 0)).der for step in steps}
        if propagates:
            seconds = [took for run in runs if (took := run[-1][3]) is not None]
            changed = np.mean([run[-1][2] for run in runs])
            remarks.append(f"{way}: {np.median(seconds):.2f} seconds; {changed:.1f} changed.")
    first = next(iter(curves.values()))
    header = ["clicks", *(column for way in curves for column in (way, "to gain"))]
    rows = [
        [str(click), *(cell for curve in curves.values() for cell in _cells(curve[click], first[0], least))]
        for click in first
    ]
    print(f"\n{len(recordings)} recordings; DER with every turn put right: {least:.2f} %\n\n{table(header, rows)}")
    print("", f"somebody else's: {wrong:.1f} %, estimated {estimated:.1f} %", *remarks, sep="\n")


def _cells(der: float, most: float, least: float) -> tuple[str, str]:
    return f"{der:.2f}", f"{100 * (most - der) / max(most - least, 1e-9):.0f} %"


if __name__ == "__main__":
    main()
