"""Who says what when: single-speaker recordings laid out as a conversation, so that the truth is known by construction.

The timing follows what is known of real conversations:

- The next speaker mostly begins within half a second, most often after a gap of about 0.2 s; a third or more of the
  changes overlap, mostly shortly; sometimes the last speaker goes on, and now and then nobody speaks for seconds
  (Sacks, Schegloff & Jefferson 1974; Stivers et al. 2009; Heldner & Edlund 2010; Levinson & Torreira 2015). Gaps and
  overlaps are log-normal (overlaps: Laskowski, Heldner & Edlund 2012).
- About every fifth utterance is a listener's backchannel, short, soft, and behind a phrase of whoever has the floor
  (Yngve 1970; Jurafsky et al. 1997).
- Some speak much more than others, whoever spoke before the last is the likeliest to speak next, and which of many
  people are in the talk changes every minute or so (Parker 1988; Stasser & Taylor 1991).

As in the simulators that networks are trained with, gaps, pauses and overlaps are drawn separately (Landini et al.
2022), changes of speaker, holds and backchannels are separate kinds (Yamashita et al. 2022), and a conversation gets
the share of overlap and the least speech of each speaker that were asked for (Park et al. 2023: NeMo's simulator).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr
from scipy import signal

from benchmarks._systems import SAMPLE_RATE, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Samples = npt.NDArray[np.float32]

# Seconds, except where said otherwise; (median, sigma) of a log-normal distribution.
PAUSE = 0.25  # a speaker's shorter silences are speech in the reference
CLICK = 0.1  # shorter speech is none
SHORTEST = 0.25  # of a piece
TURN = (2.2, 1.0)
LONGEST_TURN = 40.0
GAP = (0.3, 0.8)
OVERLAP = (0.25, 0.8)
OWN_PAUSE = (0.6, 0.5)  # between a speaker's own turns and from one recording to the next
BACKCHANNEL = (0.45, 0.35)
OVERLAPPED = 0.35  # share of the changes of speaker
LAPSE, LAPSES = (1.5, 6.0), 0.02  # range of a long silence; share of the changes
BACKCHANNELS = 0.07  # per second of a turn
ASIDE = -4.0  # dB, of a backchannel
HOLD = 0.15  # probability that nobody takes over and the last speaker goes on
RETURN = 0.5  # probability that the one before the last speaks next
NEW_FLOOR = 0.04  # probability that with this turn others come into the talk
DOMINANCE = 2.0  # Dirichlet concentration of the speakers' shares; lower is less equal
RESERVE = (10.0, 3.0)  # kept for those who have hardly spoken: seconds, and times what they have yet to say
MISFITS = 20  # turns that would last beyond the end, after which the conversation is over
LEAD = 0.5  # silence around the conversation
AGAIN = 0.05  # how much slower, at most, things are said again, as a share
EAGERNESS = (0.01, 12.0)  # 1: overlap as above; what is searched for a share of overlap
SILENCE = -80.0  # dB of full scale; what is softer is no speech
FRAME, STEP = 400, 160  # samples over which, and at which, energy is taken


@dataclass(frozen=True)
class Recording:
    """One person's recording, its speech at a root mean square of 1, and where it may be cut, in seconds."""

    samples: Samples
    rate: float
    phrases: list[tuple[float, float]]
    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]

    def slow_down(self, times: float) -> Recording:
        """Return the same played slower, and so lower."""
        phrases = [(times * a, times * b) for a, b in self.phrases]
        return Recording(self.samples, self.rate / times, phrases, times * self.starts, times * self.ends)


@dataclass(frozen=True)
class Person:
    """All recordings of one person."""

    name: str
    recordings: list[Recording]

    @property
    def seconds(self) -> float:
        """Length of the speech."""
        return sum(end - start for recording in self.recordings for start, end in recording.phrases)


@dataclass(frozen=True)
class Piece:
    """A cut from a recording: where it lies there, and the speech in it, both in seconds of the recording."""

    recording: Recording
    start: float
    end: float

    @property
    def speech(self) -> list[tuple[float, float]]:
        """The phrases in the piece, from its start."""
        inside = ((max(a, self.start), min(b, self.end)) for a, b in self.recording.phrases)
        return [(a - self.start, b - self.start) for a, b in inside if b > a]


@dataclass(frozen=True)
class Utterance:
    """A piece that a speaker (by number) says at a time, how loud in dB, and whether without taking the floor."""

    start: float
    speaker: int
    piece: Piece
    level: float
    aside: bool = False

    @property
    def end(self) -> float:
        return self.start + self.piece.end - self.piece.start


@dataclass(frozen=True)
class Conversation:
    """What is said when; ``turns`` has whoever held the floor, in order, without backchannels."""

    utterances: list[Utterance]
    turns: list[tuple[float, float, int]]

    def reference(self) -> list[Turn]:
        """Return the speech of each speaker as a table of truth, pauses shorter than PAUSE filled."""
        found: dict[int, list[tuple[float, float]]] = {}
        for each in self.utterances:
            spans = [(each.start + a, each.start + b) for a, b in each.piece.speech]
            found.setdefault(each.speaker, []).extend(spans)
        return sorted((a, b, f"S{who + 1:02d}") for who, spans in found.items() for a, b in join_spans(spans, PAUSE))


def join_spans(spans: Iterable[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Join spans between which there is less than a gap."""
    result: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if result and start - result[-1][1] < gap:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def speech_and_overlap(turns: Iterable[tuple[float, float, object]]) -> tuple[float, float]:
    """Return the seconds in which at least one speaks, and in which at least two do."""
    edges = sorted([(start, 1) for start, _, _ in turns] + [(end, -1) for _, end, _ in turns])
    speech = overlap = 0.0
    speaking = 0
    for (time, change), (following, _) in pairwise(edges):
        speaking += change
        speech += (following - time) * (speaking >= 1)
        overlap += (following - time) * (speaking >= 2)
    return speech, overlap


def listen(path: Path) -> Recording | None:
    """Read a recording and find its phrases by energy alone, so that no diarizer's opinion is in the truth.

    Speech is what lies 12 dB above the quietest twentieth of the frames, but 25 to 32 dB below the loudest twentieth.
    A recording may be cut at its pauses and where its energy dips by 12 dB, as between many words.
    """
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    samples = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE)
    if len(samples) < 2 * FRAME:
        return None
    level = _levels(samples)
    quiet, loud = np.percentile(level, [5, 95])
    is_speech = level > max(np.clip(quiet + 12, loud - 32, loud - 25), SILENCE)
    change = np.flatnonzero(np.diff(np.concatenate([[False], is_speech, [False]]).astype(int)))
    times = (change * STEP + (FRAME - STEP) / 2) / SAMPLE_RATE
    phrases = [(a, b) for a, b in join_spans(zip(times[::2], times[1::2], strict=True), PAUSE) if b - a >= CLICK]
    if not phrases:
        return None
    dips = (signal.find_peaks(-level, prominence=12, distance=15)[0] * STEP + FRAME / 2) / SAMPLE_RATE
    dips = np.array([dip for dip in dips if any(a + CLICK < dip < b - CLICK for a, b in phrases)])
    starts, ends = (np.sort(np.concatenate([edges, dips])) for edges in np.transpose(phrases))
    starts = starts[starts < ends[-1] - SHORTEST]
    if not len(starts):
        return None
    spoken = np.concatenate([samples[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)] for a, b in phrases])
    return Recording(samples / np.sqrt(np.mean(spoken**2)), SAMPLE_RATE, phrases, starts, ends)


def _levels(samples: Samples) -> npt.NDArray[np.float64]:
    """Return the energy of each frame in dB, without rumble and hum."""
    heard = signal.sosfilt(signal.butter(4, 100, "highpass", fs=SAMPLE_RATE, output="sos"), samples)
    power = np.concatenate([[0.0], np.cumsum(heard**2)])
    first = np.arange(0, len(samples) - FRAME, STEP)
    return 10 * np.log10((power[first + FRAME] - power[first]) / FRAME + 1e-12)


def read_people(folder: Path, least: float) -> list[Person]:
    """Return the people of a folder, a subfolder each, who have at least `least` seconds of speech."""
    people = []
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in home.iterdir() if path.suffix in {".flac", ".wav"})
        person = Person(home.name, [found for path in files if (found := listen(path))])
        if person.recordings and person.seconds >= least:
            people.append(person)
    return people


class _Voice:
    """Hands out a person's speech piece by piece: all of it is said before anything is said again.

    Nobody says anything twice in just the same way, and a copy would be a voice of its own for whoever compares: what
    is said again is a little slower, and lower with it.
    """

    def __init__(self, person: Person, rng: np.random.Generator) -> None:
        self._person, self._rng = person, rng
        self._left: list[Recording] = []
        self._slower = 0.0
        self._recording = self._another()
        self._at = int(rng.integers(len(self._recording.starts)))

    def _another(self) -> Recording:
        if not self._left:
            order = self._rng.permutation(len(self._person.recordings))
            times = 1 + self._slower * self._rng.random(len(order))
            self._left = [self._person.recordings[n].slow_down(float(times[n])) for n in order]
            self._slower = AGAIN
        return self._left.pop()

    def say(self, wanted: float) -> tuple[list[tuple[float, Piece]], float]:
        """Return pieces, each with its time from the first one's start, and the time at which they end."""
        said = [(0.0, self._piece(wanted))]
        while True:
            last = said[-1][0] + said[-1][1].end - said[-1][1].start
            now = last + _draw(OWN_PAUSE, self._rng.standard_normal())
            if wanted - now < 1.0:
                return said, last
            said.append((now, self._piece(wanted - now)))

    def _piece(self, wanted: float) -> Piece:
        start = self._recording.starts[self._at]
        ends = self._recording.ends[self._recording.ends > start + SHORTEST]
        end = ends[np.argmin(np.abs(ends - start - wanted))]
        piece = Piece(self._recording, float(start), float(end))
        self._at = int(np.searchsorted(self._recording.starts, end - 1e-6))
        if self._at == len(self._recording.starts):
            self._recording, self._at = self._another(), 0
        return piece


def _draw(median_and_sigma: tuple[float, float], normal: float) -> float:
    median, sigma = median_and_sigma
    return float(median * np.exp(sigma * normal))


def converse(
    people: Sequence[Person], seconds: float, overlap: float, least: float, seed: np.random.SeedSequence
) -> Conversation:
    """Let people talk for a time, each of them for at least `least` seconds.

    `overlap` is the wanted share of overlap in the time in which anybody speaks. How eagerly people speak into each
    other (how often, for how long, and how often listeners put in a word) is searched until the share comes out.
    """
    needed = RESERVE[0] + RESERVE[1] * len(people) * least
    if needed > seconds:
        raise SystemExit(
            f"{len(people)} speaker(s) with {least:g} s of speech each need {needed:g} s or more, and a conversation "
            f"would have {seconds:g} s: ask for fewer (--speakers), longer (--minutes) or less of each (--least)."
        )
    low, high = EAGERNESS
    best, smallest = _talk(people, seconds, 0.0, least, seed), overlap
    for _ in range(9 if overlap and len(people) > 1 else 0):
        eagerness = float(np.sqrt(low * high))
        found = _talk(people, seconds, eagerness, least, seed)
        speech, overlapped = speech_and_overlap(found.reference())
        error = overlapped / speech - overlap
        if abs(error) < smallest:
            best, smallest = found, abs(error)
        low, high = (low, eagerness) if error > 0 else (eagerness, high)
    return best


def _talk(
    people: Sequence[Person], seconds: float, eagerness: float, least: float, seed: np.random.SeedSequence
) -> Conversation:
    # Streams of their own, so that another eagerness changes the timing of a conversation and not its course.
    whose, timing, asides, *own = np.random.default_rng(seed).spawn(3 + len(people))
    voices = [_Voice(person, rng) for person, rng in zip(people, own, strict=True)]
    count = len(people)
    # Who has more material speaks more, so that as little as possible is heard twice.
    shares = np.empty(count)
    shares[np.argsort([person.seconds for person in people])] = np.sort(whose.dirichlet(np.full(count, DOMINANCE)))
    floor, spoken, free = shares, np.zeros(count), np.zeros(count)
    turns: list[tuple[float, float, int]] = []
    utterances: list[Utterance] = []
    misfits = 0
    while misfits < MISFITS:
        if whose.random() < NEW_FLOOR:
            floor = whose.dirichlet(0.05 + count * shares)
        now = turns[-1][1] if turns else LEAD
        owed = np.maximum(least - spoken, 0)
        room = seconds - LEAD - now
        late = RESERVE[0] + RESERVE[1] * owed.sum() >= room
        speaker = _next_speaker(whose, turns, owed if late and owed.any() else floor)
        length, offset, level = timing.standard_normal(3)
        overlaps, lapses, how_long = timing.random(3)
        longest = min(LONGEST_TURN, room - RESERVE[1] * (owed.sum() - owed[speaker]))
        said, duration = voices[speaker].say(min(_draw(TURN, length), longest))
        start = now
        if turns and speaker == turns[-1][2]:
            start += _draw(OWN_PAUSE, offset)
        elif turns:
            if overlaps < 1 - (1 - OVERLAPPED) ** np.sqrt(eagerness):
                # Whoever begins also goes on, and never speaks over two who held the floor.
                most = min(0.8 * duration, turns[-1][1] - turns[-1][0] - SHORTEST)
                start -= max(min(_draw(OVERLAP, offset) * max(eagerness, 1), most), 0)
                start = max(start, turns[-2][1] if len(turns) > 1 else 0.0)
            else:
                lapse = lapses < LAPSES and not late
                start += np.interp(how_long, [0, 1], LAPSE) if lapse else _draw(GAP, offset)
        start = max(start, free[speaker] + PAUSE)
        if start + duration > seconds - LEAD:
            misfits += 1
            continue
        utterances += [Utterance(start + at, speaker, piece, 1.5 * level) for at, piece in said]
        turns.append((start, start + duration, speaker))
        spoken[speaker] += sum(b - a for _, piece in said for a, b in piece.speech)
        free[speaker] = start + duration
        utterances += _backchannels(asides, voices, turns[-1], said, free, eagerness)
    return Conversation(sorted(utterances, key=lambda each: each.start), turns)


def _next_speaker(
    rng: np.random.Generator, turns: list[tuple[float, float, int]], likely: npt.NDArray[np.float64]
) -> int:
    hold, chance = rng.random(2)
    weights = likely.copy()
    last = turns[-1][2] if turns else None
    before = next((who for _, _, who in reversed(turns) if who != last), None)
    if last is not None and weights.sum() > weights[last]:
        if hold < HOLD and weights[last]:
            return last
        weights[last] = 0.0
    if before is not None and weights[before]:
        weights[before] += weights.sum() * RETURN
    return int(np.searchsorted(np.cumsum(weights / weights.sum()), chance).clip(max=len(weights) - 1))


def _backchannels(
    rng: np.random.Generator,
    voices: Sequence[_Voice],
    turn: tuple[float, float, int],
    said: list[tuple[float, Piece]],
    free: npt.NDArray[np.float64],
    eagerness: float,
) -> list[Utterance]:
    """Let listeners put in a word behind phrases of a turn, or anywhere in a turn that is all one phrase."""
    start, end, speaker = turn
    listeners = [who for who in range(len(voices)) if who != speaker]
    if not listeners:
        return []
    behind = [start + at + b for at, piece in said for _, b in piece.speech if b + at < end - start - 0.5]
    result = []
    for _ in range(rng.poisson(BACKCHANNELS * eagerness * (end - start))):
        who = listeners[rng.integers(len(listeners))]
        at = behind[rng.integers(len(behind))] - 0.1 if behind else start + rng.uniform(0.3, 0.9) * (end - start)
        at += rng.uniform(-0.1, 0.2)
        words, duration = voices[who].say(_draw(BACKCHANNEL, rng.standard_normal()))
        if at > free[who] + PAUSE and at > start + 0.5 and at + duration < end:
            result += [Utterance(at + after, who, piece, ASIDE + rng.normal(), aside=True) for after, piece in words]
            free[who] = at + duration
    return result
