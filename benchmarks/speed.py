"""Measures time and memory: ``python -m benchmarks.speed FILE``, and ``--install`` the size of an installation.

Every measurement is a fresh process; with a peer, each round measures both, and the order alternates from round to
round, so that a machine that warms up or throttles wrongs neither.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._machine import heading, table
from benchmarks._systems import ROOT, System, add_arguments, chosen, write_wav

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Samples = dict[str, list[float]]
"""Measure -> one value a round."""

NOTES = """\
- Input: the recording repeated to the length, 16 kHz mono 16-bit WAV; each measurement in a fresh process with an empty
  run store; rounds alternate the order of the systems. Shown: minimum / median / maximum over the rounds.
- x real time: wall time of the call / duration. senko is constructed and warmed up before (its default); diarnb's call
  includes decoding, loading its models and keeping the run.
- cold start: from starting Python to the answer on one minute of the recording; senko without its warm-up. processor:
  what that process took on all cores, its end included.
- import: wall time of `python -c "import ..."` less that of `python -c pass`, the smallest of several each; senko's
  brings torch.
- peak memory: largest resident size of the process that did the long recording (for diarnb, `recluster` included).
- two at once: what two processes with `threads=1` get done in the time that one of them needs alone, on 10 minutes.
- recluster: another speaker count for the long recording, without inference.
- Ratio: first system / peer in the same round; below 1 the first is faster or smaller."""
MEASURES = {
    "x real time": "",
    "two at once": "times",
    "cold start": "s",
    "processor": "s",
    "peak memory": "MiB",
    "recluster": "s",
    "import": "s",
}
IMPORT_REPEATS = 5


def one_round(
    system: System, long_wav: Path, minutes: float, short_wavs: Mapping[int, Path]
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure one system once; return its measures and its versions."""
    cold = system.run([short_wavs[1]], "--cold")
    warm = system.run([long_wav], "--recluster")
    measures = {
        "x real time": warm.seconds[0] / (60 * minutes),
        "cold start": cold.first_answer,
        "processor": cold.processor,
        "peak memory": warm.peak,
    }
    if warm.recluster is not None:
        measures["recluster"] = warm.recluster
        measures["two at once"] = two_at_once(system, short_wavs[10])
    return measures, warm.versions


def two_at_once(system: System, wav: Path) -> float:
    """Return the throughput of two processes, in that of one, with one thread each."""

    def alone(_: int) -> float:
        return system.run([wav], "--threads", "1").seconds[0]

    one = alone(0)
    with ThreadPoolExecutor(2) as pool:
        return 2 * one / max(pool.map(alone, range(2)))


def in_alternation(systems: Sequence[System], rounds: int) -> list[System]:
    """Return the systems in the order of measuring: every other round backwards.

    Examples
    --------
    >>> a, b = System("a", "python", "m"), System("b", "python", "m")
    >>> [system.name for system in in_alternation([a, b], 2)]
    ['a', 'b', 'b', 'a']
    """
    return [system for n in range(rounds) for system in (systems if n % 2 == 0 else systems[::-1])]


def import_time(python: str, package: str, repeats: int = IMPORT_REPEATS) -> float:
    """Return the seconds that importing a package adds to starting Python, each the smallest of several."""

    def wall(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([python, "-c", code], cwd=ROOT, check=True)
        return time.perf_counter() - started

    wall(f"import {package}")  # fills the file cache and writes bytecode
    pairs = [(wall(f"import {package}"), wall("pass")) for _ in range(repeats)]
    return min(whole for whole, _ in pairs) - min(start for _, start in pairs)


def folder_size(folder: Path) -> float:
    """Return the sum of the sizes of the files under a folder in MiB; links are not followed."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / 2**20


def install(project: Path = ROOT) -> tuple[float, str]:
    """Install a project in a fresh virtual environment, bytecode included, pip and setuptools not.

    Returns
    -------
    size : float
        MiB of all files of the environment.
    costs : str
        A table: the size of each distribution, and what it is installed for.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "environment")
        venv.create(folder, symlinks=True, with_pip=False)
        python = next(folder.glob("[bS]*/python*"))
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
        subprocess.run([*pip, "install", "--compile", str(project)], check=True)
        (packages,) = {path.parent for path in folder.rglob("*.dist-info")}
        return folder_size(folder), list_costs(packages)


def list_costs(packages: Path) -> str:
    """Return a table of the distributions in a folder, the largest first."""
    found = list(metadata.distributions(path=[str(packages)]))
    needed: dict[str, list[str]] = {}
    for each in found:
        for line in each.requires or []:
            if "extra ==" not in line:
                needed.setdefault(_canonical(re.split(r"[^\w.-]", line)[0]), []).append(each.name)
    sizes = {each.name: sum(_size(Path(str(each.locate_file(file)))) for file in each.files or []) for each in found}
    rows = [
        [name, f"{size / 10**6:.1f}", ", ".join(sorted(needed.get(_canonical(name), [])))]
        for name, size in sorted(sizes.items(), key=lambda item: -item[1])
    ]
    rows.append(["all", f"{sum(sizes.values()) / 10**6:.0f}", ""])
    return table(["distribution", "MB", "needed by"], rows)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def report(measured: Mapping[str, Samples]) -> str:
    """Return the table of all measures: the first system, then each peer with the ratios to it."""
    own = next(iter(measured.values()))
    rows = []
    for measure, unit in MEASURES.items():
        for name, samples in measured.items():
            if values := samples.get(measure):
                shown = " / ".join(_figure(f(values), unit) for f in (min, statistics.median, max))
                pairs = zip(own.get(measure, []), values, strict=False)
                ratios = "" if samples is own else " ".join(f"{mine / theirs:.2f}" for mine, theirs in pairs)
                rows.append([measure, name, f"{shown} {unit}".strip(), ratios])
    return table(["measure", "system", "min / median / max", "ratio, round by round"], rows)


def _figure(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "MiB" else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="a recording; repeated or cut to the length")
    parser.add_argument("--minutes", type=float, default=60, help="length to diarize (default: 60)")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes a system and measure (default: 3)")
    parser.add_argument("--model", help="of the local engine (default: its own)")
    parser.add_argument("--install", action="store_true", help="measure the size of a fresh installation")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.file is None and not arguments.install:
        parser.error("name a FILE, or --install")

    written: dict[str, object] = {}
    if arguments.file is not None:
        systems = chosen(arguments.peer, arguments.peer_python, model=arguments.model)
        measured: dict[str, Samples] = {system.name: {} for system in systems}
        shown: dict[str, dict[str, str]] = {}
        with tempfile.TemporaryDirectory() as scratch:
            long_wav = Path(scratch, "long.wav")
            write_wav(arguments.file, long_wav, 60 * arguments.minutes)
            short_wavs = {minutes: Path(scratch, f"{minutes}.wav") for minutes in (1, 10)}
            for minutes, path in short_wavs.items():
                write_wav(arguments.file, path, 60 * minutes)
            for system in in_alternation(systems, arguments.rounds):
                measures, shown[system.name] = one_round(system, long_wav, arguments.minutes, short_wavs)
                for measure, value in measures.items():
                    measured[system.name].setdefault(measure, []).append(value)
        for system in systems:
            measured[system.name]["import"] = [import_time(system.python, system.name.replace("-", "_"))]
        print(
            heading(shown),
            f"- {arguments.minutes:g} minutes, {arguments.rounds} rounds",
            NOTES,
            "",
            report(measured),
            sep="\n",
        )
        written |= {"about": heading(shown).splitlines(), "minutes": arguments.minutes, "measured": measured}
    if arguments.install:
        written["installed_MiB"], costs = install()
        print(f"installed: {written['installed_MiB']:.0f} MiB", costs, sep="\n\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(written, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
