"""Measures how well voices are known again: ``python -m benchmarks.voiceprints FOLDER --readers FOLDER --tune FILE``.

FOLDER holds recordings with a reference, as for ``benchmarks.accuracy``; the folder of readers has a folder of audio
files for each person, and they are put into made-up companies of five. In each recording or company a voiceprint is
made from the first half of what somebody says alone, and looked for in the second half, as it is or through another
room or telephone: nobody is looked for in a recording other than their own, for these are real people's voices. Only
the synthetic examples, where a name is one voice, are compared from file to file. Readers are also linked, as
``diarize_many(..., same_speakers=True)`` links speakers: in made-up recordings of three, where each is in up to four.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import soxr
from scipy import signal
from scipy.optimize import minimize

from benchmarks._acoustics import Line, Noise, Room
from benchmarks._machine import heading, table, versions
from benchmarks.accuracy import read_folder
from diarnb.audio import open_recording
from diarnb.audio.excerpts import RATE, excerpts
from diarnb.batch.linking import link_voices
from diarnb.engines.local.voiceprints import ALIKE, LONGEST, MIDDLE, SLOPE, embed, remove_channel
from diarnb.examples import example

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

NETWORK = "embedding"  # that voiceprints are made with
COMPANY = 5
AS_IT_IS = "as it is"
LEAST = 5.0  # seconds of speech to take part
HEARD = (2.0, 5.0, LONGEST)
KINDS = ("recordings", "readers")
DIRECTIONS = 8  # of rooms and telephones that are projected out; 6 to 12 do as well on what they are chosen on
BINS = (0, 20, 40, 60, 80, 100)
LIMITS = (0.36, 0.38, 0.40, 0.42, 0.44, 0.46, 0.48, 0.50, 0.52)  # cosines to link from
CROWDS = {3: 60, 9: 20, 35: 6}  # people who are linked, and how often they are drawn
TOGETHER, COMES = 3, 0.75  # people in a recording, and share of them who are in each of the four sets
NOTES = """\
- EER: error rate at the threshold where as many of the same person are refused as others are taken for them.
- identified: the best of the voiceprints of all who speak in that recording (or company) is the right one.
- Directions in which rooms and telephones move embeddings are found on the first set, and projected out before any two
  are compared: those that are shipped, except where a line says otherwise.
- heard: seconds of the speaker's speech that are compared, at most; a voiceprint has half of what they say, up to 30 s.
- linked: F1 of the pairs of speakers who are joined as one person. People are each in three of four made-up recordings,
  on average: as in their voiceprints, as they are, through another room, over a telephone, with 2 to 30 s heard.
- same, different: mean cosine, and in brackets where the lowest 5 % of the same and the highest 5 % of others begin."""


@dataclass(frozen=True)
class Person:
    """Somebody with the speech to make a voiceprint from, and to look for."""

    place: str
    name: str
    print_: Samples
    speech: Samples


@dataclass(frozen=True)
class Trials:
    """Cosines of one condition: each row a speaker who was heard, each column a voiceprint; NaN where not compared."""

    kind: str
    channel: str
    seconds: float
    cosine: NDArray[np.float64]

    @property
    def same(self) -> NDArray[np.float64]:
        """Cosines of a speaker with their own voiceprint."""
        return self.cosine.diagonal()

    @property
    def different(self) -> NDArray[np.float64]:
        """Cosines with those of others in the same place."""
        others = self.cosine[~np.eye(len(self.cosine), dtype=bool)]
        return others[np.isfinite(others)]

    def row(self) -> list[str]:
        """Return a line of the table."""
        company = np.isfinite(self.cosine).sum(1) > 1
        right = np.nanargmax(self.cosine, axis=1)[company] == np.flatnonzero(company)
        low, high = np.quantile(self.same, 0.05), np.quantile(self.different, 0.95)
        return [
            f"{self.kind}, {self.channel}",
            f"{self.seconds:g} s",
            f"{len(self.same)} / {len(self.different)}",
            f"{100 * equal_error(self.same, self.different):.1f} %",
            f"{right.sum()} of {len(right)}",
            f"{self.same.mean():.2f} ({low:.2f})",
            f"{self.different.mean():.2f} ({high:.2f})",
        ]


def equal_error(same: NDArray[np.float64], different: NDArray[np.float64]) -> float:
    """Return the rate, 0-1, at which as many are refused as are wrongly taken; between two thresholds their mean.

    Examples
    --------
    >>> equal_error(np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.1, 0.0, 0.3, 0.1]))
    0.25
    """
    thresholds = np.unique(np.concatenate([same, different]))
    refused = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    at = np.abs(refused - taken).argmin()
    return float(refused[at] + taken[at]) / 2


def fit(trials: Iterable[Trials]) -> tuple[float, float]:
    """Return the cosine at which both are as likely, and the slope: a logistic regression.

    In each condition the same and the different count as much as each other, and all conditions count the same.
    """
    each = list(trials)

    def loss(values: NDArray[np.float64]) -> float:
        middle, slope = values
        terms = [
            np.logaddexp(0, -slope * (t.same - middle)).mean() + np.logaddexp(0, slope * (t.different - middle)).mean()
            for t in each
        ]
        return float(np.mean(terms))

    middle, slope = minimize(loss, [0.4, 15.0], method="Nelder-Mead").x
    return float(middle), float(slope)


def calibration(trials: Iterable[Trials], middle: float, slope: float) -> str:
    """Return, for each range of scores, the share of the same person: the same and the different weighing the same."""
    scores, weights, truth = [], [], []
    for each in trials:
        for cosine, is_same in ((each.same, True), (each.different, False)):
            scores.append(100 / (1 + np.exp(-slope * (cosine - middle))))
            weights.append(np.full(len(cosine), 1 / len(cosine)))
            truth.append(np.full(len(cosine), is_same))
    score, weight, same = (np.concatenate(parts) for parts in (scores, weights, truth))
    rows = []
    for low, high in pairwise(BINS):
        inside = (score >= low) & ((score < high) | (high == 100))
        total = weight[inside].sum()
        share = f"{100 * (weight * same)[inside].sum() / total:.0f} %" if total else "-"
        mean = f"{(weight * score)[inside].sum() / total:.0f}" if total else "-"
        rows.append([f"{low}-{high}", mean, share, str(inside.sum())])
    return table(["score", "mean score", "the same person", "pairs"], rows)


def from_recordings(folder: Path, only: set[str] | None = None) -> list[Person]:
    """Return who speaks alone for long enough in the recordings of a folder, by their reference."""
    people = []
    for recording in read_folder(folder, only):
        turns = pd.DataFrame(recording.reference, columns=["start", "end", "speaker"])
        turns = turns[turns["end"] > turns["start"]]
        with open_recording(recording.audio) as opened:
            for name, heard in excerpts(opened, turns, 3600).items():
                people += _halved(recording.name, name, heard)
    return people


def from_readers(folder: Path) -> list[Person]:
    """Return readers, five to a company."""
    found: list[Person] = []
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        heard = []
        for path in sorted(home.glob("*.flac")):
            with open_recording(path) as opened:
                heard += list(opened.blocks())
        found += _halved(home.name, home.name, heard)
    order = np.random.default_rng(0).permutation(len(found))
    return [
        Person(f"company {place // COMPANY:02d}", found[n].name, found[n].print_, found[n].speech)
        for place, n in enumerate(order)
    ]


def _halved(place: str, name: str, heard: Sequence[Samples]) -> list[Person]:
    sound = np.concatenate([*heard, np.zeros(0, np.float32)])
    middle, most = len(sound) // 2, int(LONGEST * RATE)
    if len(sound) < LEAST * RATE:
        return []
    return [Person(place, name, sound[:middle][:most], sound[middle:][:most])]


def channels(rng: np.random.Generator) -> dict[str, Callable[[Samples], Samples]]:
    """Return ways for speech to reach a recorder, by name."""

    def room(sound: Samples) -> Samples:
        echoed = signal.fftconvolve(sound, Room.drawn("medium", rng).response(rng))[: len(sound)]
        level = 0.1 * float(np.sqrt(np.mean(echoed**2)))  # 20 dB below
        heard: Samples = (echoed + level * Noise(1.0, None, rng).block(len(sound))).astype(np.float32)
        return heard

    def telephone(sound: Samples) -> Samples:
        heard: Samples = soxr.resample(Line()(sound[: len(sound) // 2 * 2]), Line.rate, RATE)
        return heard

    return {AS_IT_IS: lambda sound: sound, "another room": room, "telephone": telephone}


@dataclass(frozen=True)
class Company:
    """Embeddings of people: of their voiceprints, and of what is looked for, by channel and seconds."""

    kind: str
    places: NDArray[np.str_]
    prints: NDArray[np.float64]
    heard: dict[tuple[str, float], NDArray[np.float64]]

    def compare(self, channels: NDArray[np.float64] | None = None) -> list[Trials]:
        """Return the trials of every condition; people are compared within their place only."""
        prints, inside = remove_channel(self.prints, channels), self.places[:, None] == self.places
        return [
            Trials(self.kind, *how, np.where(inside, remove_channel(voices, channels) @ prints.T, np.nan))
            for how, voices in self.heard.items()
        ]

    def find_shifts(self) -> NDArray[np.float64]:
        """Return by what a room or telephone moves each embedding of more than a few seconds."""
        longer = [(way, seconds) for way, seconds in self.heard if way != AS_IT_IS and seconds > HEARD[0]]
        return np.concatenate([self.heard[how] - self.heard[AS_IT_IS, how[1]] for how in longer])


def listen(kind: str, people: Sequence[Person], rng: np.random.Generator, network: str) -> Company:
    """Embed people in every condition."""
    heard = {
        (channel, seconds): np.array(
            [_voice(through(person.speech)[: int(seconds * RATE)], network) for person in people]
        )
        for channel, through in channels(rng).items()
        for seconds in HEARD
    }
    prints = np.array([_voice(person.print_, network) for person in people])
    return Company(kind, np.array([person.place for person in people]), prints, heard)


def score_links(groups: Sequence[int], people: NDArray[np.int64]) -> float:
    """Return the F1 of the pairs that are of one group.

    Examples
    --------
    >>> score_links([0, 0, 1, 1], np.array([7, 7, 7, 8]))
    0.4
    """
    one, other = np.triu_indices(len(people), 1)
    linked, same = np.array(groups)[one] == np.array(groups)[other], people[one] == people[other]
    return float(2 * (linked & same).sum() / max(linked.sum() + same.sum(), 1))


def link(company: Company, crowd: int, draws: int) -> NDArray[np.float64]:
    """Return the mean F1 of links from each of `LIMITS` on, where so many people are in made-up recordings."""
    rng, found = np.random.default_rng(crowd), []
    for seconds in HEARD:
        sources = [company.prints, *(voices for (_, heard), voices in company.heard.items() if heard == seconds)]
        for _ in range(draws):
            drawn = rng.permutation(len(company.prints))[:crowd]
            here = [rng.permutation(drawn)[: max(2, round(COMES * crowd))] for _ in sources]
            voices = remove_channel(np.concatenate([voices[who] for voices, who in zip(sources, here, strict=True)]))
            places = [100 * source + at // TOGETHER for source, who in enumerate(here) for at in range(len(who))]
            found.append([score_links(link_voices(voices, places, limit), np.concatenate(here)) for limit in LIMITS])
    scores: NDArray[np.float64] = np.mean(found, axis=0)
    return scores


def listen_to_all(sets: dict[str, tuple[list[Person], list[Person]]], network: str) -> dict[str, list[Company]]:
    """Embed the recordings' people and the readers of every set, through the same rooms and telephones each time."""
    rng = np.random.default_rng(1)
    return {
        name: [listen(kind, people, rng, network) for kind, people in zip(KINDS, both, strict=True)]
        for name, both in sets.items()
    }


def find_directions(companies: Iterable[Company]) -> NDArray[np.float64]:
    """Return the orthonormal directions in which channels move embeddings most [shape=(directions, 192)]."""
    shifts = np.concatenate([each.find_shifts() for each in companies])
    directions: NDArray[np.float64] = np.linalg.svd(shifts, full_matrices=False)[2][:DIRECTIONS]
    return directions


def _voice(sound: Samples, network: str = NETWORK) -> NDArray[np.float64]:
    voice = embed([sound], network=network)
    assert voice is not None
    return voice.astype(np.float64)


def between_recordings(readers: dict[str, Company]) -> str:
    """Return, for each cosine to link from, how well readers are linked."""
    header, columns = ["from"], [np.array(LIMITS)]
    for name, company in readers.items():
        scores = [100 * link(company, crowd, draws) for crowd, draws in CROWDS.items()]
        header += [f"{name}: {crowd} people" for crowd in CROWDS] + ["mean"]
        columns += [*scores, np.mean(scores, axis=0)]
    return table(header, [[f"{limit:.2f}", *(f"{x:.1f} %" for x in row)] for limit, *row in zip(*columns, strict=True)])


def between_examples() -> str:
    """Return the cosines of the synthetic voices from file to file."""
    voices: dict[tuple[str, str], NDArray[np.float64]] = {}
    for recording in read_folder(example().parent):
        turns = pd.DataFrame(recording.reference, columns=["start", "end", "speaker"])
        with open_recording(recording.audio) as opened:
            for name, heard in excerpts(opened, turns, LONGEST).items():
                voices[recording.name, name] = _voice(np.concatenate(heard))
    rows = []
    for (place, who), voice in voices.items():
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for (other, name), print_ in voices.items():
            if other != place:
                found[other][name] = float(remove_channel(voice) @ remove_channel(print_))
        for other, cosines in found.items():
            if who in cosines:
                best = max(cosines, key=lambda name: cosines[name])
                cell = ", ".join(f"{name} {cosine:.2f}" for name, cosine in sorted(cosines.items()))
                rows.append([f"{who} in {place}", other, best, cell])
    return table(["who", "voiceprints of", "best", "cosines"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voiceprints", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings with a reference")
    parser.add_argument("--readers", type=Path, required=True, help="a folder of audio files for each person")
    parser.add_argument("--tune", type=Path, required=True, metavar="NAMES.txt", help="recordings to fit the score on")
    parser.add_argument("--channels", type=Path, metavar="FILE", help="write the directions that are found there")
    parser.add_argument("--beside", metavar="NETWORK", help='compare with another network that is shipped: "resnet34"')
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every cosine there as well")
    arguments = parser.parse_args(argv)

    tune = set(arguments.tune.read_text(encoding="utf-8").split())
    recordings, readers = from_recordings(arguments.folder), from_readers(arguments.readers)
    half = sorted({person.place for person in readers})[::2]
    sets = {
        "chosen on": ([p for p in recordings if p.place in tune], [p for p in readers if p.place in half]),
        "held out": ([p for p in recordings if p.place not in tune], [p for p in readers if p.place not in half]),
    }
    companies = listen_to_all(sets, NETWORK)
    found = find_directions(companies["chosen on"]).astype("<f2")
    if arguments.channels:
        np.save(arguments.channels, found)
    trials = {name: [each for company in both for each in company.compare()] for name, both in companies.items()}
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime")}), NOTES, sep="\n")
    header = ["what", "heard", "same / different", "EER", "identified", "same (low 5 %)", "different (high 5 %)"]
    for name, each in trials.items():
        print(f"\n{name}\n\n{table(header, [t.row() for t in each])}")
    if arguments.beside:
        own = [t for company in companies["held out"] for t in company.compare(found.astype(np.float64))]
        others = listen_to_all(sets, arguments.beside)
        kept = find_directions(others["chosen on"])
        alone = [t for company in others["held out"] for t in company.compare(kept)]
        mean = [replace(t, cosine=(t.cosine + other.cosine) / 2) for t, other in zip(own, alone, strict=True)]
        rows = [[*one.row()[:4], two.row()[3], both.row()[3]] for one, two, both in zip(own, alone, mean, strict=True)]
        columns = [*header[:4], f"{arguments.beside}: EER", "mean cosine: EER"]
        print(f"\nheld out, another network, each with directions of its own\n\n{table(columns, rows)}")
    for name, kept in (("without", np.zeros((0, found.shape[1]))), ("with those found", found.astype(np.float64))):
        rows = [t.row()[:4] for company in companies["held out"] for t in company.compare(kept)]
        print(f"\nheld out, {name} directions of channels projected out\n\n{table(header[:4], rows)}")
    middle, slope = fit(trials["chosen on"])
    print(f"\nfitted: MIDDLE = {middle:.3f}, SLOPE = {slope:.1f}; shipped: {MIDDLE}, {SLOPE}")
    print(f"\nheld out, with the shipped ones\n\n{calibration(trials['held out'], MIDDLE, SLOPE)}")
    print(f"\nlinked, and shipped: from {ALIKE}\n\n{between_recordings({n: both[1] for n, both in companies.items()})}")
    print(f"\nsynthetic examples, from file to file\n\n{between_examples()}")
    if arguments.json:
        figures = {
            name: [{"what": t.row()[:2], "same": t.same.tolist(), "different": t.different.tolist()} for t in each]
            for name, each in trials.items()
        }
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
