"""Diarizes recordings with diarnb and prints one line of JSON; the benchmarks run it in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import time
from pathlib import Path

import diarnb
from benchmarks._machine import versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--model", help="of the engine; by default its own")
    parser.add_argument("--cold", action="store_true", help="nothing to leave out: diarnb loads its models when asked")
    parser.add_argument("--recluster", action="store_true")
    parser.add_argument("--threads", type=int, help="of the local engine; by default all cores")
    arguments = parser.parse_args()

    options = {name: value for name in ("model", "threads") if (value := getattr(arguments, name)) is not None}
    seconds, answers, recluster = [], [], None
    with contextlib.redirect_stdout(sys.stderr):
        for path in arguments.recordings:
            started = time.perf_counter()
            turns = diarnb.diarize(
                path, engine=arguments.engine, refresh=arguments.engine == "local", progress=False, **options
            )
            seconds.append(time.perf_counter() - started)
            print(f"diarnb: {path.name}, {seconds[-1]:.1f} s", file=sys.stderr)
            answers.append(list(turns[["start", "end", "speaker"]].itertuples(index=False, name=None)))
        if arguments.recluster:
            another_count = turns["speaker"].nunique() + 1
            started = time.perf_counter()
            diarnb.recluster(turns, num_speakers=another_count)
            recluster = time.perf_counter() - started
    found = versions("diarnb", "numpy", "onnxruntime")
    said = {"seconds": seconds, "turns": answers, "recluster": recluster, "versions": found}
    print(json.dumps(said | {"python": platform.python_version()}), flush=True)


if __name__ == "__main__":
    main()
