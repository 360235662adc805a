"""What tests of the cloud engines share: an engine in a hurry, recordings, and ways to die at each step."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import diarnb
from diarnb.engines.cloud.paid_jobs import Waits
from diarnb.engines.cloud.service import Pace, Service
from diarnb.engines.deepgram import DeepgramEngine
from diarnb.engines.pyannoteai import PyannoteAIEngine
from diarnb.store import Store
from diarnb.store.ledger import Ledger
from tests import deepgram_server
from tests.faultserver import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from diarnb.engines.cloud.job_engine import JobEngine

STEPS = (
    (Ledger, "prepare"),
    (Ledger, "change"),
    (Ledger, "archive"),
    (Ledger, "close"),
    (Service, "request"),
    (Store, "save"),
)


QUICK = Pace(connect=5.0, read=20.0, write=20.0, base=0.01, cap=0.02)
MEETING = diarnb.example("meeting")


class Crash(BaseException):
    """The process ends here, as far as anybody can tell."""


def hasty(
    kind: type[JobEngine] = PyannoteAIEngine, *, read: float = 0.4, poll: float = 0.02, search: float = 0.3
) -> JobEngine:
    """An engine that waits for nothing long."""
    pace = Pace(connect=2.0, read=read, write=2.0, base=0.002, cap=0.01, within=20.0)
    return kind(pace=pace, waits=Waits(poll=poll, first_look=0.02, search=search, submit=1.5))


def sound(number: int = 0) -> tuple[np.ndarray, int]:
    """A second that no other number has."""
    samples = np.random.default_rng(number).normal(0, 0.1, 8000)
    return samples.astype(np.float32), 8000


def ask(origin: str, source: Any, engine: JobEngine | None = None, **arguments: Any) -> pd.DataFrame:
    named = {"api_key": KEY, "base_url": origin, "progress": False, **arguments}
    return diarnb.diarize(source, engine=engine or hasty(), **named)


def ask_deepgram(server: deepgram_server.Server, source: Any = MEETING, **options: Any) -> pd.DataFrame:
    options = {"engine": DeepgramEngine(pace=QUICK), "progress": False, "api_key": deepgram_server.KEY, **options}
    return diarnb.diarize(source, base_url=server.origin, **options)


def states() -> list[str]:
    """The states of all runs, the newest first."""
    return list(diarnb.runs()["state"])


@contextmanager
def at_step(number: int, act: Callable[[], object]) -> Iterator[list[str]]:
    """Call `act` before (even numbers) or after (odd) a step of the work; give the names of the steps as they come."""
    seen: list[str] = []
    kept = [(owner, name, getattr(owner, name)) for owner, name in STEPS]

    def due(name: str) -> None:
        seen.append(name)
        if len(seen) - 1 == number:
            act()

    def plain(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            due(f"before {name}")
            result = real(*args, **named)
            due(f"after {name}")
            return result

        return step

    def awaited(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        async def step(self: Any, method: str, path: str, **named: Any) -> Any:
            due(f"before {method}")
            result = await real(self, method, path, **named)
            due(f"after {method}")
            return result

        return step

    try:
        for owner, name, real in kept:
            setattr(owner, name, (awaited if owner is Service else plain)(name, real))
        yield seen
    finally:
        for owner, name, real in kept:
            setattr(owner, name, real)


def kill() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":  # python -m tests.clouds ORIGIN NUMBER STEP: diarize a sound, and die at a step
    origin, number, step = sys.argv[1:]
    with at_step(int(step), kill):
        print(ask(origin, sound(int(number))).to_json())
