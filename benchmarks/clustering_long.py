"""Counts people in long conversations: ``python -m benchmarks.clustering_long --material FOLDER [--keep FOLDER]``.

FOLDER is what ``python -m benchmarks.simulate`` takes. Everything that its people say is heard once in each scene, and
what the networks extract of it is put together as conversations of up to an hour and a half: that takes seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks._acoustics import Noise
from benchmarks._machine import heading, table, versions
from benchmarks._turntaking import Conversation, Piece, Utterance, read_people
from benchmarks.accuracy import read_rttm
from benchmarks.simulate import LEVEL, MOST_REUSE, Scene, _ways, write
from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine, clustering, decoding
from diarnb.engines.local.evidence import ChannelEvidence
from diarnb.engines.local.segmentation import seconds
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks._turntaking import Person

NOTES = """\
- Residents talk from beginning to end. Each guest is there for five minutes, and says 20 to 60 s in all.
- found: people who have a speaker of their own: more than half of what they say is of that speaker, who says more of it
  than of anybody else. speakers: how many were found, over all draws. confusion: speech of another speaker than the
  person's, in a one-to-one match, mean.
- at once: clustered as one block, as shorter recordings are. count given: the true number of people was.
- reuse: how often a second of somebody's material is heard, at most. What a resident says again has noise of .03 a
  dimension in its embedding: a copy would be told apart too easily. Guests are never heard more than 2.5 times over.
- Two scenes, 22 dB over the noise: a small room, and telephones in rooms of middle size."""
SCENES = {"room": ("small", False, 1), "telephone": ("medium", True, 2)}
SNR = 22.0
JITTER = 0.03
VISIT = 5.0  # minutes
GUEST = 20.0, 60.0  # seconds of speech
RESIDENT, LEAST = 35.0, 6.0  # seconds of material: a resident has more than this, a guest less, but not too little
DRAWS = 4


@dataclass(frozen=True)
class Plan:
    """How many people talk all the time, for how many seconds each, how many guests come, and for how many minutes."""

    residents: int
    said: float
    guests: int
    minutes: float

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.residents} people, {self.guests} guests, {self.minutes:.0f} min"


PLANS = [Plan(2, 2200, 0, 90), Plan(2, 1300, 10, 60), Plan(6, 500, 10, 60), Plan(2, 500, 4, 25)]


@dataclass
class Stretch:
    """Segments that follow one another, of one person: what `ChannelEvidence` has of them, with lengths in frames."""

    embeddings: NDArray[np.float32]
    weights: NDArray[np.float32]
    lengths: NDArray[np.int32]
    change: NDArray[np.float16]

    def cut(self, first: int, count: int, rng: np.random.Generator | None) -> Stretch:
        """Return some of the segments, with noise in their embeddings where a generator is given."""
        part = slice(first, first + count)
        embeddings = self.embeddings[part]
        if rng is not None:
            embeddings = embeddings + rng.normal(0, JITTER, embeddings.shape).astype(np.float32)
        return Stretch(embeddings, self.weights[part], self.lengths[part], self.change[part])


@dataclass
class Voice:
    """All that is known of a person in a scene."""

    stretches: list[Stretch] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of speech."""
        return float(sum(each.weights.sum() for each in self.stretches))

    def say(self, wanted: float, rng: np.random.Generator) -> list[Stretch]:
        """Return turns of so many seconds in all: everything is said before anything is said again."""
        turns: list[Stretch] = []
        said, again = 0.0, False
        while said < wanted:
            for number in rng.permutation(len(self.stretches)):
                whole, at = self.stretches[number], 0
                while at < len(whole.weights) and said < wanted:
                    count = max(1, int(rng.lognormal(np.log(4.0), 0.8) / 0.45))
                    turns.append(whole.cut(at, count, rng if again else None))
                    said += float(turns[-1].weights.sum())
                    at += count
            again = True
        return turns


def hear(scene: str, people: Sequence[Person], home: Path) -> dict[str, Voice]:
    """Let everybody say all they have in a scene, once, and return what the networks extract of it."""
    kind, telephone, seed = SCENES[scene]
    path = home / f"{scene}.flac"
    if not path.with_suffix(".npz").exists():
        rng = np.random.default_rng(seed)
        responses, _ = _ways(kind, telephone, len(people), rng)
        levels = 10 ** (np.clip(rng.normal(0, 3, len(people)), -6, 6) / 20)
        placed = [(way * level).astype(np.float32) for way, level in zip(responses, levels, strict=True)]
        noise = float(10 ** ((LEVEL - SNR) / 20))
        utterances, at = [], 0.5
        for number, person in enumerate(people):
            for recording in person.recordings:
                piece = Piece(recording, float(recording.starts[0]), float(recording.ends[-1]))
                utterances.append(Utterance(at, number, piece, float(rng.normal(0, 1))))
                at = utterances[-1].end + 0.6
        write(home, scene, Conversation(utterances, []), Scene(placed, Noise(1.0, None, rng), noise, telephone), at)
        with open_recording(path) as audio:
            answer = LocalEngine().diarize(audio, Params(), {}, lambda stage, fraction: None)
        assert answer.evidence is not None
        np.savez(path.with_suffix(".npz"), **answer.evidence)  # type: ignore[arg-type]
    with np.load(path.with_suffix(".npz")) as arrays:
        (evidence,) = ChannelEvidence.unpack(dict(arrays))
    return _share_out(evidence, read_rttm(path.with_suffix(".rttm")))


def _share_out(evidence: ChannelEvidence, reference: Sequence[tuple[float, float, str]]) -> dict[str, Voice]:
    """Give each run of segments to whoever speaks in more than half of each."""
    begins, ends = np.array([turn[:2] for turn in reference]).T
    names = sorted({name for _, _, name in reference})
    column = np.array([names.index(name) for _, _, name in reference])
    owner = []
    for start, end in seconds(evidence.segments):
        shared = np.maximum(np.minimum(ends, end) - np.maximum(begins, start), 0)
        said = np.bincount(column, shared, minlength=len(names))
        owner.append(int(said.argmax()) if said.max() > (end - start) / 2 else -1)
    voices: dict[str, Voice] = {}
    lengths = np.diff(evidence.segments, axis=1)[:, 0]
    for first, last in pairwise([0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)]):
        if owner[first] >= 0:
            part = slice(first, last)
            embeddings = evidence.embeddings[part].astype(np.float32)
            stretch = Stretch(embeddings, evidence.weights[part], lengths[part], evidence.change[part])
            voices.setdefault(names[owner[first]], Voice()).stretches.append(stretch)
    return voices


def put_together(
    plan: Plan, voices: dict[str, Voice], rng: np.random.Generator
) -> tuple[ChannelEvidence, NDArray[np.str_], float]:
    """Draw a conversation; return its evidence, who says each segment, and the greatest reuse."""
    order = sorted(voices, key=lambda name: -voices[name].seconds)
    many = [name for name in order if voices[name].seconds > RESIDENT]
    few = [name for name in order if LEAST <= voices[name].seconds <= RESIDENT]
    parts = [(name, 0.0, plan.minutes, plan.said) for name in rng.permutation(many)[: plan.residents]]
    for name in rng.permutation(few)[: plan.guests]:
        most = MOST_REUSE * voices[name].seconds - 0.1
        begin = rng.uniform(0, plan.minutes - VISIT)
        parts.append((name, begin, begin + VISIT, rng.uniform(min(GUEST[0], most), min(GUEST[1], most))))
    turns = [
        (rng.uniform(begin, end), name, turn)
        for name, begin, end, wanted in parts
        for turn in voices[name].say(wanted, rng)
    ]
    turns.sort(key=lambda turn: turn[0])
    stretches = [turn for _, _, turn in turns]
    lengths, change = (np.concatenate([getattr(each, name) for each in stretches]) for name in ("lengths", "change"))
    first = np.cumsum([0, *(len(each.lengths) for each in stretches[:-1])])
    pause = np.zeros(len(lengths), np.int64)
    pause[first] = rng.choice([0, 0, 10, 30], len(first))
    change[first] = 0.9
    ends = np.cumsum(pause + lengths)
    segments = np.stack([ends - lengths, ends], 1).astype(np.int32)
    frames = np.zeros((2, int(ends[-1])), np.uint8)
    for start, end in segments:
        frames[0, start:end] = 250
    embeddings = np.concatenate([each.embeddings for each in stretches])
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    evidence = ChannelEvidence(
        frames,
        segments,
        np.array([200], np.uint8),
        segments,
        change,
        embeddings.astype(np.float16),
        np.concatenate([each.weights for each in stretches]),
    )
    who = np.repeat([name for _, name, _ in turns], [len(each.lengths) for each in stretches])
    return evidence, who, max(wanted / voices[name].seconds for name, _, _, wanted in parts)


def judge(path: NDArray[np.int64], who: NDArray[np.str_], lengths: NDArray[np.int64]) -> tuple[int, int, float]:
    """Return how many speakers there are, how many people have one of their own, and the confusion in percent.

    Examples
    --------
    >>> judge(np.array([0, 0, 0, 1, 1]), np.array(["A", "A", "B", "C", "C"]), np.array([2, 2, 1, 1, 4]))
    (2, 2, 10.0)
    """
    names, person = np.unique(who, return_inverse=True)
    speakers = int(path.max()) + 1
    said = np.zeros((len(names), speakers + 1))  # the last one is nobody
    np.add.at(said, (person, np.where(path < 0, speakers, path)), lengths)
    best = said[:, :speakers].argmax(1)
    own = (said[np.arange(len(names)), best] > said.sum(1) / 2) & (said[:, best].argmax(0) == np.arange(len(names)))
    pairs = linear_sum_assignment(-said[:, :speakers])
    return speakers, int(own.sum()), float(100 * (1 - said[pairs].sum() / said.sum()))


WAYS = {"in blocks": True, "at once": False}


def run(voices: dict[str, Voice], plan: Plan) -> tuple[float, dict[str, list[tuple[int, int, float]]]]:
    """Decide on a plan's conversations in each way; return the greatest reuse, and what `judge` does."""
    found: dict[str, list[tuple[int, int, float]]] = {}
    most = 0.0
    for seed in range(DRAWS):
        evidence, who, reuse = put_together(plan, voices, np.random.default_rng(seed))
        most = max(most, reuse)
        people, lengths = plan.residents + plan.guests, np.diff(evidence.segments, axis=1)[:, 0]
        for way, blocks in WAYS.items():
            chosen = decoding.cluster_in_blocks if blocks else clustering.cluster
            for given, bounds in (("", (1, None)), (", count given", (people, people))):
                with patch.object(decoding, "cluster_in_blocks", chosen):
                    decision = decoding.decide(evidence, *bounds, None)
                found.setdefault(way + given, []).append(judge(decision.path, who, lengths))
    return most, found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering_long", description=__doc__)
    parser.add_argument("--material", type=Path, required=True, help="a folder with a subfolder for each person")
    parser.add_argument("--keep", type=Path, help="where to keep the scenes and what was heard of them")
    arguments = parser.parse_args(argv)
    people = read_people(arguments.material, 8.0)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        home = arguments.keep or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        for scene in SCENES:
            voices = hear(scene, people, home)
            for plan in PLANS:
                reuse, found = run(voices, plan)
                for way, results in found.items():
                    counts, own, confusion = zip(*results, strict=True)
                    all_people = DRAWS * (plan.residents + plan.guests)
                    cells = f"{sum(own)} of {all_people}", f"{min(counts)}-{max(counts)}", f"{np.mean(confusion):.1f} %"
                    rows.append([f"{scene}: {plan.name}", way, f"{reuse:.0f}", *cells])
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime")}), NOTES, "", sep="\n")
    print(table(["conversation", "clustered", "reuse", "found", "speakers", "confusion"], rows))


if __name__ == "__main__":
    main()
