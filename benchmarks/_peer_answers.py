"""What is the same for every peer: read the names of 16 kHz mono WAV files, and print its answers as one line of JSON.

It runs in the peer's own Python, so it needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._machine import versions

if TYPE_CHECKING:
    from collections.abc import Callable

Turn = tuple[float, float, str]


def answer(name: str, packages: tuple[str, ...], load: Callable[[bool], Callable[[Path], list[Turn]]]) -> None:
    """Diarize what the command line names; `load` is told whether to start cold, and returns what diarizes a file."""
    parser = argparse.ArgumentParser(description=f"Diarize 16 kHz mono WAV files with {name}.")
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--cold", action="store_true", help="leave out a warm-up, where there is one")
    parser.add_argument("--recluster", action="store_true", help="no peer offers this")
    arguments = parser.parse_args()
    seconds, answers = [], []
    with contextlib.redirect_stdout(sys.stderr):
        diarize = load(arguments.cold)
        for path in arguments.recordings:
            started = time.perf_counter()
            answers.append(diarize(path))
            seconds.append(time.perf_counter() - started)
            print(f"{name}: {path.name}, {seconds[-1]:.1f} s", file=sys.stderr)
    said = {"seconds": seconds, "turns": answers, "recluster": None, "versions": versions(*packages)}
    print(json.dumps(said | {"python": platform.python_version()}), flush=True)
