"""What tests of batches share: an engine that does what a file is called, and recordings to be called so."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

import diarnb
from diarnb import errors
from diarnb.engines.base import Answer, Offer
from tests.clouds import KEY, hasty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

RATE = 8000


@dataclass(frozen=True)
class Scripted:
    """An engine that does what the file is called, and notes what it hears; it can go to other processes."""

    log: Path
    once: Path | None = None  # where it is noted that a worker was killed, if that happens once only
    offer = Offer(models=("scripted",))
    name = "scripted"

    def version(self, model: str) -> str:
        return "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        with self.log.open("a") as file:
            file.write(f"{recording.name}\n")
        if recording.name.startswith("deadly") and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if recording.name.startswith("busy") and self.heard()[recording.name] < 3:
            error = errors.RateLimitedError("too many requests")
            error.retry_after = 0.01
            raise error
        if recording.name.startswith("odd"):
            raise ZeroDivisionError("division by zero")
        progress("listening", 0.5)
        return Answer({"diarization": [{"start": 0.0, "end": recording.duration, "speaker": "SPEAKER_00"}]})

    def heard(self) -> Counter[str]:
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()


def tones(folder: Path, *names: str) -> Path:
    """A folder of short recordings, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        soundfile.write(folder / name, np.full(RATE // 2, number / 100), RATE)
    return folder


@contextmanager
def processes(kind: str = "fork") -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind)) as pool:
        yield pool


def ask_many(origin: str, place: Any, **settings: Any) -> pd.DataFrame:
    named = {"engine": hasty(), "api_key": KEY, "base_url": origin, "progress": False, **settings}
    return diarnb.diarize_many(place, **named)
