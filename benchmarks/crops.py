"""Counts speakers on short clips: ``python -m benchmarks.crops FOLDER ... [--single FOLDER] [--tune NAMES.txt]``.

Each FOLDER is what ``python -m benchmarks.accuracy`` takes; random crops of its recordings are diarized, the count not
given. --single is a folder as ``python -m benchmarks.simulate --material`` takes it: utterances of one person are glued
with drifts of level and room, to be counted as one speaker.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
import soxr
from scipy import signal

from benchmarks._acoustics import AWAY, Room
from benchmarks._machine import heading, table, versions
from benchmarks._systems import SAMPLE_RATE
from benchmarks.accuracy import Recording, read_folder
from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine
from diarnb.engines.local.decoding import _LEAST_SPEAKER_SECONDS, select_reliable
from diarnb.engines.local.evidence import ChannelEvidence
from diarnb.engines.local.segmentation import seconds
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks._systems import Turn

SHORTEST, LONGEST = 5.0, 40.0  # seconds of a crop
SPOKEN = 1.0  # seconds that a speaker says in a crop to be counted
BINS = {"5-10 s": (0, 10), "10-20 s": (10, 20), "20-40 s": (20, 45), "longer": (45, np.inf)}
HEAD = ["clips", "number", "count exact", "within one", "found - true", "exact, given the truth"]
NOTES = """\
- True count: who speaks for more than 1 s of the crop in the reference; crops without anybody are left out. Lengths are
  drawn log-uniformly from 5 to 40 s, places uniformly within the scored region; the draw is by the recording's name.
- glued: utterances of one person, each with a level that is drawn (4 dB) and drifts (4 dB), through a mixture of two
  rooms that is drawn anew, with noise: one speaker.
- exact, given the truth: how often the count would be right if every segment were given to whoever says most of it,
  as perfect clustering would. The rest is detection, the grid of segments, and who says little more or less than 1 s.
- tune: crops of the recordings that settings may be chosen on; other: of all others. One source is never in both."""


@dataclass(frozen=True)
class Clip:
    """A clip, who speaks from when to when in seconds of it, and its true count."""

    name: str
    samples: NDArray[np.float32]
    reference: list[Turn]
    speakers: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def crop(recording: Recording, each: int) -> Iterator[Clip]:
    """Yield crops of a recording; none of one that is too short."""
    rng = np.random.default_rng(zlib.crc32(recording.name.encode()))
    first, last = min(start for start, _ in recording.scored), max(end for _, end in recording.scored)
    if last - first < 2 * SHORTEST:
        return
    samples = read_samples(recording.audio)
    for length in np.exp(rng.uniform(np.log(SHORTEST), np.log(min(LONGEST, last - first)), each)):
        start = rng.uniform(first, last - length)
        speakers = count_speakers(recording.reference, start, start + length)
        if speakers:
            part = samples[round(start * SAMPLE_RATE) : round((start + length) * SAMPLE_RATE)]
            reference = [(begin - start, end - start, name) for begin, end, name in recording.reference]
            yield Clip(f"{recording.name} {start:.1f}", part, reference, speakers)


def count_speakers(reference: Sequence[tuple[float, float, str]], start: float, end: float) -> int:
    """Count who speaks for more than `SPOKEN` seconds from start to end.

    Examples
    --------
    >>> count_speakers([(0.0, 3.0, "A"), (2.5, 9.0, "B")], 0.0, 3.0)
    1
    """
    said: dict[str, float] = {}
    for begin, finish, name in reference:
        said[name] = said.get(name, 0.0) + max(min(finish, end) - max(begin, start), 0.0)
    return sum(seconds > SPOKEN for seconds in said.values())


def glue(home: Path) -> Clip | None:
    """Glue one person's utterances with drifts of level and room; None where there is too little."""
    rng = np.random.default_rng(zlib.crc32(home.name.encode()))
    files = sorted(path for path in home.iterdir() if path.suffix in {".flac", ".wav"})
    if sum(sf.info(path).duration for path in files) < 3 * SHORTEST:
        return None
    kinds = [str(rng.choice(["small", "medium"])) for _ in range(2)]
    near, far = (Room.drawn(kind, rng).response(rng, AWAY) for kind in kinds)
    size = max(len(near), len(far))
    near, far = (np.pad(way, (0, size - len(way))) for way in (near, far))
    parts = []
    for number in rng.permutation(len(files)):
        dry = read_samples(files[number])
        level = rng.normal(-28, 4) + np.linspace(0, rng.normal(0, 4), len(dry))
        share = rng.uniform()
        heard = signal.fftconvolve(
            dry / np.sqrt(np.mean(dry**2)) * 10 ** (level / 20), share * near + (1 - share) * far
        )
        parts += [heard[: len(dry)], np.zeros(round(rng.uniform(0.2, 1.5) * SAMPLE_RATE))]
    samples = np.concatenate(parts)
    samples += 10 ** (-rng.uniform(43, 68) / 20) * rng.standard_normal(len(samples))
    return Clip(home.name, samples.astype(np.float32), [(0.0, len(samples) / SAMPLE_RATE, home.name)], 1)


def read_samples(path: Path) -> NDArray[np.float32]:
    """Return a recording as 16 kHz mono."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    found: NDArray[np.float32] = soxr.resample(samples.mean(1), rate, SAMPLE_RATE).astype(np.float32)
    return found


def count_found(clip: Clip) -> tuple[int, int]:
    """Diarize a clip; return how many speakers are found, and would be if each segment had its true one."""
    with open_recording((clip.samples, SAMPLE_RATE)) as recording:
        answer = LocalEngine().diarize(recording, Params(), {}, lambda _stage, _fraction: None)
    (evidence,) = ChannelEvidence.unpack(answer.evidence)
    return len({turn["speaker"] for turn in answer.raw["diarization"]}), count_given_truth(clip, evidence)


def count_given_truth(clip: Clip, evidence: ChannelEvidence) -> int:
    """Count speakers as `decoding.decide` does where each segment's cluster is whoever says most of it."""
    taken = select_reliable(evidence.weights, 1) if len(evidence.weights) else np.zeros(0, np.int64)
    spans, names = seconds(evidence.segments[taken]), sorted({name for _, _, name in clip.reference})
    share = np.zeros((len(taken), len(names)))
    for begin, end, name in clip.reference:
        share[:, names.index(name)] += np.maximum(np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], begin), 0)
    known = share.any(1)
    said = np.bincount(share[known].argmax(1), evidence.weights[taken][known], minlength=1)
    return max(int((said >= min(_LEAST_SPEAKER_SECONDS, said.max())).sum()), 1)


def summarise(clips: Sequence[tuple[Clip, tuple[int, int]]]) -> list[list[str]]:
    """Return rows: all, by length, and by true count."""
    groups = {"all": clips}
    groups |= {name: [each for each in clips if low <= each[0].seconds < high] for name, (low, high) in BINS.items()}
    groups |= {f"{k} speakers": [each for each in clips if each[0].speakers == k] for k in range(1, 7)}
    rows = []
    for name, group in groups.items():
        if group:
            off, given = np.transpose([np.subtract(found, clip.speakers) for clip, found in group])
            shares = [f"{100 * np.mean(each):.0f} %" for each in (off == 0, abs(off) <= 1, given == 0)]
            rows.append([name, str(len(group)), *shares[:2], f"{off.mean():+.2f}", shares[2]])
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crops", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--single", type=Path, metavar="FOLDER", help="one subfolder a person")
    parser.add_argument("--tune", type=Path, metavar="NAMES.txt", help="recordings that settings were chosen on")
    parser.add_argument("--each", type=int, default=10, help="crops of each recording (default: 10)")
    arguments = parser.parse_args(argv)
    tune = set(arguments.tune.read_text(encoding="utf-8").split()) if arguments.tune else set()
    results: dict[str, list[tuple[Clip, tuple[int, int]]]] = {}
    for recording in (each for folder in arguments.folders for each in read_folder(folder)):
        part = "crops, tune" if recording.name in tune else "crops, other"
        results.setdefault(part, []).extend((clip, count_found(clip)) for clip in crop(recording, arguments.each))
    homes = sorted(path for path in arguments.single.iterdir() if path.is_dir()) if arguments.single else []
    glued = [clip for home in homes if (clip := glue(home)) is not None]
    if glued:
        results["glued"] = [(clip, count_found(clip)) for clip in glued]
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime")}), NOTES, sep="\n")
    for part, clips in results.items():
        rows = summarise(clips)
        print(f"\n{part}\n\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
