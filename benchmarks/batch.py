"""Measures batches: ``python -m benchmarks.batch``.

Whether every recording of a batch is accounted for that is killed twice and has bad files in it, what a service is
asked, how much two workers do in the time of one, and whether the same voices are found in all files. ``--only kills
workers`` picks figures, ``--files 40`` tries it with fewer, ``--json FILE`` writes them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

import diarnb
from benchmarks._machine import heading, table, versions
from diarnb import errors
from diarnb.tables.activity import match_speakers
from tests import faultserver as faults
from tests.clouds import KEY, hasty
from tests.faultserver import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
NOTES = """\
- Stretches of the synthetic examples, each in a file of its own, in run stores of their own; nothing leaves this
  machine.
- kills: 5 % of the files are bad (missing, empty, text, a folder, no samples, cut off within the header, noise). The
  process that works is ended with `kill -9` twice, and begun again each time. Good files are compared with `diarize`
  of each alone in another run store: every turn the same.
- service: a pyannoteAI on loopback that fails one request in 20, one way or another. Peaks are of any 60 s.
- workers: pools of processes, one thread in each. `start` and the factor are of one worker, from all files and from
  half of them; the model, start + audio x factor / workers, is what they foretell for two.
- voices: the examples in parts of some 15 s, ``same_speakers=True``; the voices are synthetic, and easily told apart.
  Who speaks for less than 2 s in a part is not linked."""
WORKER = """
import sys, diarnb
from diarnb.engines.local import LocalEngine
real = LocalEngine.diarize
def noting(self, recording, *rest):
    with open(sys.argv[2], "a") as log:
        log.write(recording.name + "\\n")
    return real(self, recording, *rest)
LocalEngine.diarize = noting
diarnb.diarize_many(sys.argv[1].split("|"), progress=lambda stage, fraction: print(stage.split()[0], flush=True))
"""


def stretches(folder: Path, count: int, seconds: tuple[float, float], seed: int = 0) -> list[Path]:
    """Cut stretches from the examples, each into a file."""
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        path = diarnb.example(("meeting", "interview", "call")[number % 3])
        facts = soundfile.info(path)
        length = draw.uniform(*seconds)
        start = draw.uniform(0, facts.duration - length)
        frames = {"start": int(start * facts.samplerate), "frames": int(length * facts.samplerate)}
        samples, rate = soundfile.read(path, **frames)
        found.append(folder / f"{number:04d}.wav")
        soundfile.write(found[-1], samples, rate)
    return found


def spoil(path: Path, kind: int) -> None:
    """Make a recording one that cannot be heard."""
    content = path.read_bytes()
    path.unlink()
    match kind % 7:
        case 1:
            path.touch()
        case 2:
            path.write_text("Dear Maya, this is no sound.\n" * 50)
        case 3:
            path.mkdir()
        case 4:
            soundfile.write(path, np.zeros(0), 16000)
        case 5:
            path.write_bytes(content[:30])
        case 6:
            path.write_bytes(random.Random(kind).randbytes(4000))


def fresh_home(folder: Path) -> None:
    """Begin an empty run store."""
    os.environ["DIARNB_HOME"] = tempfile.mkdtemp(dir=folder)


def kills(folder: Path, count: int) -> dict[str, Any]:
    """Kill a batch twice, and see what became of every file."""
    draw = random.Random(20)
    files = stretches(folder / "kills", count, (3.0, 8.0))
    bad = draw.sample(files, max(1, round(0.05 * count)))
    for kind, path in enumerate(bad):
        spoil(path, kind)
    fresh_home(folder)
    log = folder / "heard.txt"
    deaths = sorted(draw.sample(range(1, count), 2))
    for after in [*deaths, None]:
        command = [sys.executable, "-W", "ignore", "-c", WORKER, "|".join(map(str, files)), str(log)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if after is not None and int(line) >= after:
                    time.sleep(draw.uniform(0, 0.1))  # into the middle of another one
                    child.kill()
                    break
        assert after is not None or child.returncode == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DiarnbWarning)
        turns = diarnb.diarize_many(files, progress=False)
    told = diarnb.batch.manifest(turns).set_index("uri")
    failures = {failure["uri"]: failure["error"] for failure in turns.attrs["diarnb"]["failures"]}
    fresh_home(folder)
    good = [path for path in files if path not in bad]
    equal = 0
    for path in good:
        alone = diarnb.diarize(path, progress=False)
        together = turns[turns["uri"] == path.name].drop(columns="uri").reset_index(drop=True)
        equal += alone.equals(together)
    heard = Counter(log.read_text().split())
    as_they_should = sum(
        issubclass(getattr(errors, failures.get(path.name, ""), int), errors.AudioError) for path in bad
    )
    return {
        "accounted for": f"{told['state'].isin(['done', 'failed']).sum()}/{count}",
        "bad files that failed, with an error of the audio": f"{as_they_should}/{len(bad)}",
        "good files as alone": f"{equal}/{len(good)}",
        "kills": f"{len(deaths)}, after {' and '.join(map(str, deaths))} files",
        "files listened to twice": f"{sum(number > 1 for number in heard.values())}",
    }


def service(folder: Path, count: int) -> dict[str, Any]:
    """Send a batch to a service, and count what it is asked."""
    files = stretches(folder / "service", count, (1.0, 2.0), seed=1)
    draw = random.Random(21)
    kinds = [faults.refuses(503), faults.fin_on_accept, faults.fin_after, faults.refuses(500, executed=True)]
    times: dict[str, list[float]] = {}
    fresh_home(folder)
    with serving(polls=2) as server:

        def fault(request: faults.Request) -> faults.Fault | None:
            times.setdefault(request.route, []).append(time.monotonic())
            return draw.choice(kinds) if draw.random() < 0.05 else None

        server.faults = fault
        settings = {"engine": hasty(poll=1.0), "api_key": KEY, "base_url": server.origin, "progress": False}
        began = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.DiarnbWarning)
            rounds, failed = 0, count
            while failed and rounds < 5:
                rounds += 1
                failed = len(diarnb.diarize_many(files, **settings).attrs["diarnb"]["failures"])
        seconds = time.monotonic() - began
        asked, twice = sum(server.asked.values()), server.double_billed
    looks = [at for route, each in times.items() if route.startswith("GET") for at in each]
    return {
        "finished": f"{count - failed}/{count} in {rounds} calls, {seconds:.0f} s",
        "requests for each file": f"{asked / count:.1f}",
        "submissions a minute, at most (of 100)": f"{peak(times['POST /v1/diarize'])}",
        "looks at jobs a minute, at most (of 300)": f"{peak(looks)}",
        "billed twice": f"{twice}",
    }


def peak(times: Sequence[float], within: float = 60.0) -> int:
    """Return the most that happened in any span of this length."""
    at = np.sort(np.asarray(times))
    return int((np.searchsorted(at, at + within, "left") - np.arange(len(at))).max(initial=0))


def workers(folder: Path, count: int) -> dict[str, Any]:
    """Do the same batch with one worker and with two."""
    files = stretches(folder / "workers", max(4, count // 12), (40.0, 50.0), seed=2)
    half = files[: len(files) // 2]
    audio = {len(each): sum(soundfile.info(path).duration for path in each) for each in (files, half)}

    def timed(some: list[Path], number: int) -> float:
        fresh_home(folder)
        began = time.monotonic()
        with ProcessPoolExecutor(number) as pool:
            diarnb.diarize_many(some, executor=pool, progress=False)
        return time.monotonic() - began

    one_half, one, two = timed(half, 1), timed(files, 1), timed(files, 2)
    factor = (one - one_half) / (audio[len(files)] - audio[len(half)])
    start = one - factor * audio[len(files)]
    foretold = start + factor * audio[len(files)] / 2
    fresh_home(folder)
    began = time.monotonic()
    diarnb.diarize_many(files, progress=False)
    here = time.monotonic() - began
    return {
        "audio": f"{audio[len(files)] / 60:.1f} min in {len(files)} files",
        "one worker": f"{one:.1f} s",
        "two workers": f"{two:.1f} s",
        "two against one": f"{one / two:.2f}",
        "model": f"{start:.1f} s + audio x {factor:.4f} / workers",
        "two workers, by the model": f"{foretold:.1f} s ({100 * (two / foretold - 1):+.0f} % measured)",
        "without executor, all cores": f"{here:.1f} s",
    }


def voices(folder: Path, count: int) -> dict[str, Any]:
    """Find the same people in the parts of all examples."""
    truth = {}
    for name in ("meeting", "interview", "call"):
        path = diarnb.example(name)
        samples, rate = soundfile.read(path)
        reference = diarnb.read(path.with_suffix(".rttm"))
        edges = np.linspace(0, len(samples) / rate, max(2, round(len(samples) / rate / 15)) + 1)
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            part = folder / f"{name}{number}.wav"
            soundfile.write(part, samples[round(start * rate) : round(end * rate)], rate)
            own = reference[(reference["end"] > start) & (reference["start"] < end)]
            truth[part.name] = own.assign(start=(own["start"] - start).clip(0), end=own["end"].clip(upper=end) - start)
    fresh_home(folder)
    turns = diarnb.diarize_many(folder, same_speakers=True, progress=False)
    people = [
        (uri, person, label)
        for uri, own in turns.groupby("uri")
        for person, label in match_speakers(own, truth[str(uri)]).items()
    ]
    pairs = Counter(
        (one[1] == other[1], one[2] == other[2])
        for one, other in itertools.combinations(people, 2)
        if one[0] != other[0]
    )
    same, linked = pairs[True, True] + pairs[True, False], pairs[True, True] + pairs[False, True]
    return {
        "people in files": f"{len(people)} in {len(truth)} files; 4 voices, {turns['speaker'].nunique()} labels",
        "pairs that are one person, linked": f"{pairs[True, True]}/{same}",
        "pairs that were linked, one person": f"{pairs[True, True]}/{linked}",
    }


FIGURES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "kills": kills,
    "service": service,
    "workers": workers,
    "voices": voices,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), help="figures to measure")
    parser.add_argument("--files", type=int, default=300, help="of the batch that is killed (default: 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    print(heading({"diarnb": versions("diarnb", "onnxruntime", "numpy")}), NOTES, sep="\n")
    found = {}
    for name in arguments.only:
        with tempfile.TemporaryDirectory(prefix="diarnb-batch-", ignore_cleanup_errors=True) as folder:
            found[name] = FIGURES[name](Path(folder), arguments.files)
        print(f"\n{table([name, 'figure'], [[what, str(value)] for what, value in found[name].items()])}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
