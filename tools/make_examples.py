"""Make the example conversations of diarnb: written by us, spoken by flite, mixed in a made-up room.

    python tools/make_examples.py [--out diarnb/examples]

needs numpy, scipy, soundfile and Debian's ``flite``. For each script in ``tools/scripts`` it writes the audio and,
because everything here is made, the exact truth: who spoke when (RTTM) and each word's times (CSV).

A script has one turn a line, ``[gap] Name: words {Name: a backchannel} more words``. The gap, in seconds, is the
silence after the turn before; a negative one is an overlap; without one it is drawn around 0.2 s, as in human
conversation. A backchannel starts behind the word before its brace. A turn lasts from its first phone to its last;
the pauses between its sentences (under 0.4 s) belong to it.

Everything is drawn from a fixed seed: with the same libraries the same samples come out.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from _flite import LEAD_IN, RATE, speak
from scipy import signal

SCRIPTS = Path(__file__).with_name("scripts")
EXAMPLES = Path(__file__).parents[1] / "diarnb" / "examples"
SILENCE_BEFORE, SILENCE_AFTER = 0.6, 0.6  # seconds around the conversation
SPEECH_LEVEL = 0.05  # root mean square of a speaker who talks at 0 dB


@dataclass(frozen=True)
class Person:
    """A voice of flite and how this person uses it: tempo, mean pitch and its spread in Hz.

    ``loudness`` is the root mean square of what this voice says here: dividing by it makes all equally loud, and leaves
    loud and soft sentences as they are.
    """

    voice: str
    stretch: float
    pitch: float
    liveliness: float
    loudness: float


PEOPLE = {  # a name is the same voice in every example
    "Maya": Person("slt", 0.87, 190, 30, 0.200),
    "Victor": Person("rms", 0.80, 98, 17, 0.092),
    "Fergus": Person("awb", 0.88, 138, 24, 0.101),
    "Otto": Person("kal16", 0.82, 88, 13, 0.040),
}


@dataclass(frozen=True)
class Scene:
    """Where a conversation takes place.

    ``seats`` gives each person a level (dB) and a distance from the microphone as a multiple of the distance at which
    the room is as loud as the person. On the telephone each seat is one channel.
    """

    seed: int
    seats: dict[str, tuple[float, float]]
    reverberation: float  # seconds until the echo has fallen by 60 dB
    noise: float  # dB relative to speech
    telephone: bool = False


SCENES = {
    "meeting": Scene(11, {"Maya": (1, 0.6), "Victor": (-1, 0.8), "Fergus": (0, 0.9), "Otto": (-2, 1.0)}, 0.35, -32),
    "interview": Scene(12, {"Maya": (0, 0.25), "Fergus": (-1, 0.3)}, 0.2, -38),
    "call": Scene(13, {"Victor": (0, 0.2), "Maya": (0, 0.2)}, 0.15, -32, telephone=True),
}
BLEED = -40  # dB: how much of the other side each end of the telephone line picks up


@dataclass(frozen=True)
class Turn:
    """One line of the truth; ``words`` are (start, end, text)."""

    start: float
    end: float
    speaker: str
    words: list[tuple[float, float, str]]


class Stage:
    """Collects what is spoken: a dry track for each speaker and the turns."""

    def __init__(self, rng: np.random.Generator, levels: dict[str, float]) -> None:
        self.rng, self.levels = rng, levels
        self.pieces: dict[str, list[tuple[float, np.ndarray]]] = defaultdict(list)
        self.turns: list[Turn] = []

    def say(self, speaker: str, text: str, start: float, *, aside: bool = False) -> Turn:
        """Speak a turn, sentence by sentence, each with its own tempo, pitch and loudness."""
        person, draw = PEOPLE[speaker], self.rng.uniform
        spoken: list[tuple[float, float, str]] = []
        now = start
        for sentence in re.split(r"(?<=[.?!]) ", text):
            now += draw(0.18, 0.36) if spoken else 0.0
            speech = speak(
                sentence,
                person.voice,
                stretch=person.stretch * draw(0.94, 1.06),
                pitch=person.pitch * draw(0.95, 1.05) * (1.06 if sentence.endswith("?") else 1.0),
                liveliness=person.liveliness * draw(0.9, 1.35),
            )
            level = self.levels[speaker] + draw(-1.2, 1.2) - 4.0 * aside
            gain = SPEECH_LEVEL / person.loudness * 10 ** (level / 20)
            self.pieces[speaker].append((now, speech.samples * gain))
            spoken += [
                (now + begin, now + end, word)
                for (begin, end), word in zip(speech.words, sentence.split(), strict=True)
            ]
            now += speech.duration
        turn = Turn(start, now, speaker, spoken)
        self.turns.append(turn)
        return turn

    def tracks(self, samples: int) -> dict[str, np.ndarray]:
        """One dry signal a speaker."""
        tracks = {speaker: np.zeros(samples) for speaker in self.levels}
        for speaker, pieces in self.pieces.items():
            for start, piece in pieces:
                first = round((start - LEAD_IN) * RATE)
                tracks[speaker][first : first + len(piece)] += piece
        return tracks


def perform(script: str, stage: Stage) -> float:
    """Speak a script; the answer is the time of its last sound."""
    now = None
    for line in script.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(?:\[(-?[\d.]+)\] )?(\w+): (.+)", line)
        if match is None:
            raise ValueError(f"not a line of a script: {line!r}")
        gap, speaker, rest = match.groups()
        pause = float(gap) if gap else float(np.clip(stage.rng.normal(0.22, 0.16), -0.1, 0.7))
        first, *asides = re.split(r" \{(\w+): ([^}]+)\}", rest)
        parts = [first, *asides[2::3]]
        turn = stage.say(speaker, "".join(parts), SILENCE_BEFORE if now is None else now + pause)
        spoken = 0
        for part, other, words in zip(parts, asides[::3], asides[1::3], strict=False):
            spoken += len(part.split())
            stage.say(other, words, turn.words[spoken - 1][1] + stage.rng.uniform(0.02, 0.15), aside=True)
        now = turn.end
    return max(turn.end for turn in stage.turns)


def room(distance: float, reverberation: float, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of one seat: the direct sound, then decaying noise, softened as by walls."""
    time = np.arange(round(reverberation * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / reverberation) * (time > 0.004)
    response: np.ndarray = signal.lfilter([0.45], [1, -0.55], tail)
    response *= distance / np.sqrt(np.sum(response**2))
    response[0] += 1.0
    return response


def pink_noise(samples: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of equal power in every octave above 30 Hz, `level` dB above (below, if negative) speech."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / RATE)
    spectrum *= np.where(frequency > 30, 1 / np.sqrt(np.maximum(frequency, 30)), 0)
    noise: np.ndarray = np.fft.irfft(spectrum, samples)
    noise *= SPEECH_LEVEL * 10 ** (level / 20) / np.sqrt(np.mean(noise**2))
    return noise


def mix(scene: Scene, tracks: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Put the speakers into the room or on the line: int16 samples (frames, channels) and their rate."""
    heard = np.array(
        [
            signal.fftconvolve(track, room(scene.seats[name][1], scene.reverberation, rng))[: len(track)]
            for name, track in tracks.items()
        ]
    )
    rate = RATE
    if scene.telephone:
        heard += 10 ** (BLEED / 20) * heard[::-1]
    else:
        heard = heard.sum(axis=0, keepdims=True)
    heard += [pink_noise(heard.shape[1], scene.noise, rng) for _ in heard]
    if scene.telephone:
        line = signal.butter(4, [300, 3400], "bandpass", fs=RATE, output="sos")
        heard = signal.resample_poly(signal.sosfilt(line, heard), 1, 2, axis=1)
        rate = RATE // 2
    return np.round(heard.T * (0.8 / np.abs(heard).max()) * 32767).astype(np.int16), rate


def write(name: str, scene: Scene, out: Path) -> None:
    """Write one example and its truth; channels count from 1 in RTTM, from 0 in the table of words."""
    rng = np.random.default_rng(scene.seed)
    stage = Stage(rng, {person: level for person, (level, _) in scene.seats.items()})
    end = perform((SCRIPTS / f"{name}.txt").read_text(encoding="utf-8"), stage)
    samples, rate = mix(scene, stage.tracks(round((end + SILENCE_AFTER) * RATE)), rng)
    sf.write(out / f"{name}.flac", samples, rate, subtype="PCM_16")

    seats = list(scene.seats)
    turns = sorted(stage.turns, key=lambda turn: (turn.start, turn.end))
    rttm = [
        f"SPEAKER {name} {seats.index(turn.speaker) + 1 if scene.telephone else 1} "
        f"{turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in turns
    ]
    (out / f"{name}.rttm").write_text("".join(rttm), encoding="utf-8", newline="\n")
    words = sorted((*word, turn.speaker) for turn in turns for word in turn.words)
    with (out / f"{name}.words.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["start", "end", "word", "text", "speaker", *["channel"] * scene.telephone])
        for start, stop, text, speaker in words:
            channel = [seats.index(speaker)] if scene.telephone else []
            table.writerow([f"{start:.3f}", f"{stop:.3f}", text.strip(".,?!").lower(), text, speaker, *channel])


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the example conversations of diarnb.")
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="folder to write to (default: diarnb/examples)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        write(name, scene, out)


if __name__ == "__main__":
    main()
