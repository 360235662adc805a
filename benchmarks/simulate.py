"""Makes conversations whose truth is known by construction: ``python -m benchmarks.simulate OUT --material FOLDER``.

FOLDER holds one subfolder a person, with FLAC or WAV files in which nobody else speaks. OUT gets NAME.flac, NAME.rttm
and NAME.uem, as ``python -m benchmarks.accuracy OUT`` takes them, and conversations.csv, which is also printed. The
same material, arguments and versions give the same files.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
import soxr
from scipy import signal

from benchmarks._acoustics import AWAY, HELD, ROOMS, Line, Noise, Room, Samples, handset
from benchmarks._machine import heading, table, versions
from benchmarks._systems import SAMPLE_RATE
from benchmarks._turntaking import Conversation, Person, Utterance, converse, read_people, speech_and_overlap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEVEL = -28.0  # dB of full scale, of a speaker at 0 dB while speaking
FADE = 0.02  # seconds, outside the marked speech
BLOCK = 30 * SAMPLE_RATE
NOTES = """\
- The reference marks the speech that was placed (found by energy, before the room adds its echo); a speaker's pauses
  under 0.25 s are filled. Scored from 0 to the end.
- least: reference speech of whoever speaks least, s; overlap: time in which two or more speak / time in which anybody
  speaks; silence: share of the recording.
- turn: median length of holding the floor, s, own pauses included; offset: median time from one speaker's end to the
  next one's start, s; overlapped: share of offsets below 0; asides: backchannels per 100 turns.
- reuse: how often, on average, a second of these people's material is heard; from the second time on it is up to a
  twentieth slower and lower. Above --reuse nothing is made: the same sound again and again is told apart too easily.
- Pauses: a speaker's silence of 0.25 s or more is silence in the reference, a shorter one is speech."""
MOST_REUSE = 2.5
DRAWS = 50  # of people, until these have material enough for the length of the conversation


@dataclass(frozen=True)
class Wanted:
    """What may be drawn for a conversation; pairs are least and most. The numbers of speakers are taken in turn."""

    speakers: tuple[int, ...]
    minutes: tuple[float, float]
    overlap: tuple[float, float]
    snr: tuple[float, float]
    rooms: tuple[str, ...]
    telephone: float
    levels: float
    least: float
    reuse: float


@dataclass(frozen=True)
class Scene:
    """How a conversation is heard: for each speaker the way to the microphone, level included."""

    responses: list[Samples]
    noise: Noise
    noise_level: float
    telephone: bool


def write(out: Path, name: str, conversation: Conversation, scene: Scene, seconds: float) -> None:
    """Write the sound, block by block, its reference, and the region to score."""
    rate = Line.rate if scene.telephone else SAMPLE_RATE
    line = Line() if scene.telephone else None
    with sf.SoundFile(out / f"{name}.flac", "w", rate, 1, "PCM_16") as file:
        for block in _heard(conversation.utterances, scene, round(seconds * SAMPLE_RATE)):
            file.write(np.clip(line(block) if line else block, -0.999, 0.999))
    rttm = [
        f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        for start, end, speaker in conversation.reference()
    ]
    (out / f"{name}.rttm").write_text("".join(rttm), encoding="utf-8", newline="\n")
    (out / f"{name}.uem").write_text(f"{name} 1 0.000 {seconds:.3f}\n", encoding="utf-8", newline="\n")


def _heard(utterances: Sequence[Utterance], scene: Scene, length: int) -> Iterator[Samples]:
    """Mix in blocks: a block is given away when all that begins in it has been added; the rest is carried over."""
    ahead = np.zeros(BLOCK, np.float32)
    coming = iter(utterances)
    upcoming = next(coming, None)
    for first in range(0, length, BLOCK):
        while upcoming and (upcoming.start - FADE) * SAMPLE_RATE < first + BLOCK:
            sound = signal.fftconvolve(_dry(upcoming), scene.responses[upcoming.speaker])
            at = round((upcoming.start - FADE) * SAMPLE_RATE) - first
            at = max(at, 0)
            if at + len(sound) > len(ahead):
                ahead = np.pad(ahead, (0, at + len(sound) - len(ahead)))
            ahead[at : at + len(sound)] += sound
            upcoming = next(coming, None)
        size = min(BLOCK, length - first)
        yield ahead[:size] + scene.noise_level * scene.noise.block(size)
        ahead = np.pad(ahead[size:], (0, max(0, 2 * BLOCK - len(ahead))))


def _dry(utterance: Utterance) -> Samples:
    """Cut a piece with a faded margin on each side, at its level."""
    piece, recording = utterance.piece, utterance.piece.recording
    first, last = (round(time * recording.rate) for time in (piece.start - FADE, piece.end + FADE))
    found = recording.samples[max(first, 0) : last]
    cut = np.pad(found, (max(-first, 0), max(last - len(recording.samples), 0)))
    if recording.rate != SAMPLE_RATE:
        cut = soxr.resample(cut, recording.rate, SAMPLE_RATE)
    margin = round(FADE * SAMPLE_RATE)
    ramp = np.sin(np.linspace(0, np.pi / 2, margin, dtype=np.float32)) ** 2
    cut[:margin] *= ramp
    cut[-margin:] *= ramp[::-1]
    return cut * np.float32(10 ** ((LEVEL + utterance.level) / 20))


@dataclass(frozen=True)
class Draft:
    """A conversation that was drawn, before its sound is."""

    number: int
    seconds: float
    people: list[Person]
    conversation: Conversation
    rng: np.random.Generator

    @property
    def reuse(self) -> float:
        """How often, on average, a second of these people's material is heard."""
        said = sum(end - start for start, end, _ in self.conversation.reference())
        return said / sum(person.seconds for person in self.people)


def draw(number: int, people: Sequence[Person], wanted: Wanted, seed: int) -> Draft:
    """Draw who says what when in one conversation."""
    course, sound = np.random.SeedSequence([seed, number]).spawn(2)
    rng = np.random.default_rng(sound)
    count = wanted.speakers[number % len(wanted.speakers)]
    seconds = round(60 * rng.uniform(*wanted.minutes), 1)
    # Whoever has more material takes part more often, so that little is heard twice.
    material = np.array([person.seconds for person in people])
    for _ in range(DRAWS):
        present = [people[n] for n in rng.choice(len(people), count, replace=False, p=material / material.sum())]
        if seconds <= wanted.reuse * sum(person.seconds for person in present):
            break
    conversation = converse(present, seconds, float(rng.uniform(*wanted.overlap)), wanted.least, course)
    return Draft(number, seconds, present, conversation, rng)


def simulate(out: Path, draft: Draft, wanted: Wanted) -> dict[str, str]:
    """Draw how a conversation is heard, write it, and return its row of the table."""
    rng, count = draft.rng, len(draft.people)
    telephone = bool(rng.random() < wanted.telephone)
    kind = str(rng.choice(wanted.rooms))
    ways, reverberation = _ways(kind, telephone, count, rng)
    levels = 10 ** (np.clip(rng.normal(0, wanted.levels, count), -2 * wanted.levels, 2 * wanted.levels) / 20)
    snr, slope = rng.uniform(*wanted.snr), rng.uniform(0.3, 1.8)
    hum = float(rng.choice([50, 60])) if rng.random() < 0.3 else None
    scene = Scene(
        [(way * level).astype(np.float32) for way, level in zip(ways, levels, strict=True)],
        Noise(slope, hum, rng),
        float(10 ** ((LEVEL - snr) / 20)),
        telephone,
    )
    name = f"{count:02d}speakers_{draft.number:03d}"
    write(out, name, draft.conversation, scene, draft.seconds)
    about = {
        "room": " ".join(["telephone"] * telephone + [kind]),
        "T60": f"{reverberation:.2f}" if reverberation else "",
        "SNR": f"{snr:.0f}",
        "hum": f"{hum:.0f}" if hum else "",
        "people": " ".join(person.name for person in draft.people),
    }
    return {"name": name, **_measured(draft), **about}


def _ways(kind: str, telephone: bool, count: int, rng: np.random.Generator) -> tuple[list[Samples], float | None]:
    """Return each speaker's impulse response and the (mean) reverberation time; on the telephone all sit elsewhere."""
    ways, rooms = [np.ones(1, np.float32)] * count, []
    if kind != "none":
        rooms = [Room.drawn(kind, rng) for _ in range(count if telephone else 1)]
        ways = [(rooms * count)[n].response(rng, HELD if telephone else AWAY) for n in range(count)]
    if telephone:
        ways = [signal.convolve(way, handset(rng)) for way in ways]
    return ways, float(np.mean([room.reverberation for room in rooms])) if rooms else None


def _measured(draft: Draft) -> dict[str, str]:
    conversation, seconds = draft.conversation, draft.seconds
    turns, reference = conversation.turns, conversation.reference()
    speech, overlap = speech_and_overlap(reference)
    spoken: dict[str, float] = {}
    for start, end, who in reference:
        spoken[who] = spoken.get(who, 0.0) + end - start
    offsets = [after[0] - before[1] for before, after in pairwise(turns) if after[2] != before[2]]
    asides = sum(each.aside for each in conversation.utterances)
    return {
        "minutes": f"{seconds / 60:.1f}",
        "speakers": str(len(spoken)),
        "least": f"{min(spoken.values()):.0f}",
        "overlap": f"{100 * overlap / speech:.1f} %",
        "silence": f"{100 * (1 - speech / seconds):.0f} %",
        "turn": f"{np.median([end - start for start, end, _ in turns]):.1f}",
        "offset": f"{np.median(offsets):.2f}" if offsets else "",
        "overlapped": f"{100 * np.mean(np.array(offsets) < 0):.0f} %" if offsets else "",
        "asides": f"{100 * asides / len(turns):.0f}",
        "reuse": f"{draft.reuse:.1f}",
    }


def _numbers(text: str) -> list[int]:
    """Return the numbers that "3" or "2-6" stands for."""
    fewest, _, most = text.partition("-")
    return list(range(int(fewest), int(most or fewest) + 1))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)

    def add(option: str, default: tuple[float, float], what: str) -> None:
        text = f"{what}: least and most (default: {default[0]:g} {default[1]:g})"
        parser.add_argument(option, nargs=2, type=float, default=default, metavar=("LEAST", "MOST"), help=text)

    parser.add_argument("out", type=Path, help="folder to write to; it is made")
    parser.add_argument("--material", type=Path, required=True, metavar="FOLDER", help="one subfolder a person")
    parser.add_argument("--count", type=int, default=60, help="how many conversations (default: 60)")
    parser.add_argument(
        "--speakers", nargs="+", type=_numbers, default=[_numbers("2-6")], help="in turn: 3, 2-6 (default) or 1 10 20"
    )
    add("--minutes", (3, 10), "length in minutes")
    add("--overlap", (0.02, 0.15), "overlap in the time in which anybody speaks, 0-0.5")
    add("--snr", (10, 35), "speech over noise in dB")
    parser.add_argument(
        "--rooms",
        nargs="+",
        choices=["none", *ROOMS],
        default=[*ROOMS],
        help="kinds to draw from (default: small medium)",
    )
    parser.add_argument(
        "--telephone", type=float, default=0.25, help="share heard over 8 kHz telephone (default: 0.25)"
    )
    parser.add_argument("--levels", type=float, default=3.0, help="spread of the speakers' levels in dB (default: 3)")
    parser.add_argument("--least", type=float, default=5.0, help="seconds that everyone speaks at least (default: 5)")
    parser.add_argument(
        "--material-least", type=float, default=8.0, help="seconds of speech that a person must have (default: 8)"
    )
    parser.add_argument(
        "--reuse", type=float, default=MOST_REUSE, help=f"how often material may be heard (default: {MOST_REUSE:g})"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    speakers = tuple(chain.from_iterable(arguments.speakers))
    if not speakers or min(arguments.count, *speakers) < 1 or arguments.minutes[0] <= 0:
        parser.error("--count and --speakers are at least 1, --minutes above 0")
    if not 0 <= arguments.overlap[0] <= arguments.overlap[1] <= 0.5:
        parser.error("--overlap is between 0 and 0.5")
    people = read_people(arguments.material, arguments.material_least)
    if max(speakers) > len(people):
        raise SystemExit(
            f"{arguments.material}: {len(people)} different people have {arguments.material_least:g} s of speech or "
            f"more, and {max(speakers)} were asked for: ask for fewer (--speakers), or let people with less take part "
            "(--material-least)."
        )
    wanted = Wanted(
        speakers,
        tuple(arguments.minutes),
        tuple(arguments.overlap),
        tuple(arguments.snr),
        tuple(arguments.rooms),
        arguments.telephone,
        arguments.levels,
        arguments.least,
        arguments.reuse,
    )
    drafts = [draw(n, people, wanted, arguments.seed) for n in range(arguments.count)]
    most = max(drafts, key=lambda draft: draft.reuse)
    if most.reuse > arguments.reuse:
        raise SystemExit(
            f"In conversation {most.number} the speakers' material would be heard {most.reuse:.1f} times over, and "
            f"{arguments.reuse:g} times are allowed: make them shorter (--minutes), take people with more material "
            "(--material-least), or let it be heard more often (--reuse)."
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [simulate(arguments.out, draft, wanted) for draft in drafts]
    with (arguments.out / "conversations.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(heading({"made with": versions("numpy", "scipy", "soundfile", "soxr")}), NOTES, sep="\n")
    shown = [column for column in rows[0] if column != "people"]
    print(f"\n{table(shown, ([row[column] for column in shown] for row in rows))}")


if __name__ == "__main__":
    main()
