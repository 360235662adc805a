"""Runs a diarization system in a process of its own, and the WAV files that every system can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
SAMPLE_RATE = 16_000
PEERS = ("senko", "sherpa-onnx")

Turn = tuple[float, float, str]
"""Start and end in seconds, speaker."""


@dataclass(frozen=True)
class Answer:
    """What a process of a system said, and what it took."""

    versions: dict[str, str]
    seconds: list[float]
    """Wall time of each recording's call, models loaded before where the system allows it."""
    turns: list[list[Turn]]
    recluster: float | None
    """Wall time of deciding the last recording anew with another speaker count; None where that is not offered."""
    first_answer: float
    """Wall time from the start of the process to its answer."""
    processor: float
    """Processor time of the process, on all cores, in seconds."""
    peak: float
    """Largest resident memory of the process, MiB."""


@dataclass(frozen=True)
class System:
    """A diarization system: a module that answers in JSON, the Python that has it, and what to tell it."""

    name: str
    python: str
    module: str
    options: tuple[str, ...] = ()
    paid: bool = False
    """Whether answers cost money, so that they are kept in, and may come from, the user's own run store."""

    def run(self, recordings: Sequence[Path], *options: str) -> Answer:
        """Diarize recordings in one fresh process; raises SystemExit when it fails."""
        command = [
            self.python,
            "-m",
            self.module,
            *self.options,
            *options,
            *(str(path.resolve()) for path in recordings),
        ]
        with tempfile.TemporaryDirectory() as home:
            # A store of its own, so that nothing is answered from an earlier run and nothing is left behind.
            environment = dict(os.environ) if self.paid else os.environ | {"DIARNB_HOME": home}
            started = time.perf_counter()
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            line = process.stdout.readline()
            first_answer = time.perf_counter() - started
            process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not line:
            raise SystemExit(f"{self.name}: the process ended with {process.returncode}; its own message is above.")
        said = json.loads(line)
        return Answer(
            versions={"python": said["python"], **said["versions"]},
            seconds=said["seconds"],
            turns=[[(float(start), float(end), str(who)) for start, end, who in turns] for turns in said["turns"]],
            recluster=said["recluster"],
            first_answer=first_answer,
            processor=usage.ru_utime + usage.ru_stime,
            peak=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every benchmark of systems has."""
    parser.add_argument("--peer", nargs="+", choices=PEERS, default=[], help="measure these too, in the same run")
    parser.add_argument(
        "--peer-python", default=sys.executable, metavar="PATH", help="the Python that has them (default: this one)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there as well")


def chosen(peers: Sequence[str], peer_python: str, engine: str = "local", model: str | None = None) -> list[System]:
    """Return the systems to measure, diarnb first, with an engine and one of its models."""
    options = ("--engine", engine, *(["--model", model] if model else []))
    own = System("diarnb", sys.executable, "benchmarks.run_diarnb", options, paid=engine != "local")
    return [own, *(System(peer, peer_python, f"benchmarks.peer_{peer.replace('-', '_')}") for peer in peers)]


def write_wav(source: Path, target: Path, seconds: float | None = None) -> None:
    """Write 16 kHz mono 16-bit WAV: the recording once, or over and over up to a length in seconds.

    Works in blocks: on Linux the measured processes inherit the peak memory of this one as their lower bound.
    """
    wanted = None if seconds is None else round(seconds * SAMPLE_RATE)
    written = 0
    with sf.SoundFile(target, "w", SAMPLE_RATE, 1, "PCM_16") as out:
        while True:
            before = written
            for block in _resampled(source):
                piece = block if wanted is None else block[: wanted - written]
                out.write(piece)
                written += len(piece)
            if written == before and written != wanted:
                raise SystemExit(f"{source.name} holds no samples.")
            if wanted is None or written >= wanted:
                return


def _resampled(source: Path) -> Iterator[npt.NDArray[np.float32]]:
    with sf.SoundFile(source) as file:
        resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
        for block in file.blocks(10 * file.samplerate, dtype="float32", always_2d=True):
            yield resampler.resample_chunk(block.mean(axis=1))
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
