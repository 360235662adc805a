"""Shows where the local engine loses: ``python -m benchmarks.bounds FOLDER`` takes parts away, and gives it the truth.

FOLDER is what ``python -m benchmarks.accuracy`` takes. What is left when a part is given cannot be won back by doing
that part better; the difference to the row before is what it costs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import CONVENTIONS, NOTES, Recording, Score, pool, read_folder, score
from diarnb.audio import open_recording
from diarnb.engines.local import _list_turns
from diarnb.engines.local.calibration import CALIBRATIONS
from diarnb.engines.local.clustering import _merge
from diarnb.engines.local.decoding import (
    Decision,
    compute_cosines,
    decide,
    decode,
    embed_all,
    embed_reliable,
    number_by_first_appearance,
    select_reliable,
)
from diarnb.engines.local.evidence import ChannelEvidence, extract
from diarnb.engines.local.segmentation import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from benchmarks._systems import Turn

EXPLAINED = """\
- as it is: nothing is given.
- without energy: regions of speech are those of the segmentation network alone.
- without sizes: speakers are merged by one limit, however much they say and however many there are.
- without chain: where there are many speakers, the mixture is fitted again to segments without order.
- without second: the count is never revised by what the segmentation network hears of a second speaker.
- true count: the number of speakers in the scored region is given.
- merged clusters: true clusters are merged as found ones are. The next row shows what this criterion costs, the first
  one what is lost before it.
- true clusters: centroids are of the true speaker of every segment; decoding is as always. This is what a perfect
  clustering would give.
- true speakers: every segment is given to whoever speaks most in it, and its overlap to the second. What is left is
  detection of speech and overlap, and the grid of segments."""


def truth(recording: Recording, frames: int) -> NDArray[np.bool_]:
    """Return who really speaks in every frame [shape=(frames, speakers)]."""
    names = sorted({name for _, _, name in recording.reference})
    middles = (seconds(np.arange(frames)) + seconds(np.arange(1, frames + 1))) / 2
    speaking = np.zeros((frames, len(names)), bool)
    for start, end, name in recording.reference:
        speaking[slice(*np.searchsorted(middles, [start, end])), names.index(name)] = True
    return speaking


def as_it_is(evidence: ChannelEvidence, _: Recording) -> Decision:
    return decide(evidence, 1, None, None)


def true_count(evidence: ChannelEvidence, recording: Recording) -> Decision:
    spoken = {who for a, b, who in recording.reference for s, e in recording.scored if a < e and b > s}
    return decide(evidence, len(spoken), len(spoken), None)


def true_clusters(evidence: ChannelEvidence, recording: Recording, *, merge: bool = False) -> Decision:
    speaking = truth(recording, evidence.frames.shape[1])
    share = np.array([speaking[start:end].sum(0) for start, end in evidence.segments])
    labels = np.full(len(share), -1)
    known = np.intersect1d(np.flatnonzero(share.sum(1)), select_reliable(evidence.weights, 1))
    if not len(known):
        return as_it_is(evidence, recording)
    labels[known] = np.unique(share[known].argmax(1), return_inverse=True)[1]
    embedded = embed_all(evidence, *embed_reliable(evidence, 1))
    if merge:
        labels[known] = _merge(embedded.take(known), labels[known], 1, len(known))
    cosine = compute_cosines(embedded, labels)
    return number_by_first_appearance(decode(evidence, cosine, labels, embedded.calibration, keep_all=False))


def merged_clusters(evidence: ChannelEvidence, recording: Recording) -> Decision:
    return true_clusters(evidence, recording, merge=True)


def true_speakers(evidence: ChannelEvidence, recording: Recording) -> Decision:
    decision = as_it_is(evidence, recording)
    speaking = truth(recording, len(decision.first))
    first, second = np.full((2, len(decision.first)), -1, np.int16)
    for start, end in evidence.segments:
        most = np.argsort(-speaking[start:end].sum(0), kind="stable")
        first[start:end] = most[0]
        if len(most) > 1 and speaking[start:end, most[1]].any():
            second[start:end] = np.where(decision.second[start:end] >= 0, most[1], -1)
    posterior = np.zeros((len(evidence.segments), speaking.shape[1]))
    return replace(decision, first=first, second=second, posterior=posterior)


def without_energy(evidence: ChannelEvidence, recording: Recording) -> Decision:
    return as_it_is(replace(evidence, regions=evidence.segments), recording)


def without_sizes(evidence: ChannelEvidence, recording: Recording) -> Decision:
    """Merge by one limit for all, whatever their speech and number, and fit the mixture once."""
    changed = {"limit_power": 0.0, "doubt": 0.0, "median_speakers": 1e9, "many_speakers": 1e9}
    return _decide_with(changed, evidence, recording)


def without_chain(evidence: ChannelEvidence, recording: Recording) -> Decision:
    return _decide_with({"many_switch": 0.0}, evidence, recording)


def _decide_with(changed: dict[str, float], evidence: ChannelEvidence, recording: Recording) -> Decision:
    size = evidence.embeddings.shape[1]
    with patch.dict(CALIBRATIONS, {size: replace(CALIBRATIONS[size], **changed)}):
        return as_it_is(evidence, recording)


def without_second(evidence: ChannelEvidence, recording: Recording) -> Decision:
    return as_it_is(replace(evidence, second=evidence.second[:0]), recording)


BOUNDS: dict[str, Callable[[ChannelEvidence, Recording], Decision]] = {
    "as it is": as_it_is,
    "without energy": without_energy,
    "without sizes": without_sizes,
    "without chain": without_chain,
    "without second": without_second,
    "true count": true_count,
    "merged clusters": merged_clusters,
    "true clusters": true_clusters,
    "true speakers": true_speakers,
}


def run(recordings: Sequence[Recording]) -> dict[str, list[Score]]:
    """Extract the evidence of each recording once, and score what is decided under each of `BOUNDS`."""
    scores: dict[str, list[Score]] = {name: [] for name in BOUNDS}
    for recording in recordings:
        evidence, duration = extract_evidence(recording)
        for name, bound in BOUNDS.items():
            scores[name].append(score_decision(recording, bound(evidence, recording), duration))
    return scores


def extract_evidence(recording: Recording) -> tuple[ChannelEvidence, float]:
    """Return what is decided from, and the seconds that were decoded."""
    with open_recording(recording.audio) as audio:
        return extract(audio, "mix", lambda stage, fraction: None)


def score_decision(recording: Recording, decision: Decision, duration: float) -> Score:
    """Score the turns of a decision."""
    labels = [str(k) for k in range(decision.speakers)]
    found, _ = _list_turns(decision, labels, duration)
    return score(recording, [_turn(each) for each in found])


def _turn(found: dict[str, Any]) -> Turn:
    return found["start"], found["end"], found["speaker"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounds", description=__doc__)
    parser.add_argument("folder", type=Path)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", type=Path, metavar="NAMES.txt", help="score these recordings, one name a line")
    choice.add_argument("--except", type=Path, metavar="NAMES.txt", dest="leave_out", help="score all but these")
    arguments = parser.parse_args(argv)
    only = set(arguments.only.read_text(encoding="utf-8").split()) if arguments.only else None
    left_out = arguments.leave_out.read_text(encoding="utf-8").split() if arguments.leave_out else ()
    scores = run(read_folder(arguments.folder, only, left_out))
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime", "pyannote.metrics")}), NOTES, sep="\n")
    print(EXPLAINED, end="\n\n")
    print(table(["given", "miss", "FA", "conf", *CONVENTIONS, "JER", "count exact"], map(_row, scores.items())))


def _row(bound: tuple[str, list[Score]]) -> list[str]:
    name, scores = bound
    pooled = pool(scores)
    strict = pooled.errors["collar 0"]
    parts = [100 * part / strict.reference for part in (strict.missed, strict.false_alarm, strict.confusion)]
    rates = [*parts, *(errors.der for errors in pooled.errors.values()), pooled.jer]
    return [name, *(f"{rate:.1f}" for rate in rates), f"{pooled.count_exact} of {pooled.recordings}"]


if __name__ == "__main__":
    main()
