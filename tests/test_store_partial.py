"""What was heard before an interrupt is kept, and not heard again."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb.engines import local
from diarnb.engines.local import networks
from diarnb.engines.local.embedding import SIZES
from diarnb.store import Store
from diarnb.testing import assert_turns_equal

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000
MINUTES = 5

pytestmark = pytest.mark.slow

LISTENS = """
import json, sys
import diarnb
from diarnb.engines.local import networks

class Counting:
    def __init__(self, network):
        self.network = network
    def run(self, *arguments):
        calls.append(len(next(iter(arguments[1].values()))))
        return self.network.run(*arguments)

def progress(stage, fraction):
    print(fraction, flush=True)

calls, load = [], networks.load
networks.load = lambda *arguments, **named: Counting(load(*arguments, **named))
turns = diarnb.diarize("long.wav", progress=progress, threads=1)
print(json.dumps([sum(calls), turns.to_json()]))
"""


def make_talk(seconds: float) -> np.ndarray[Any, Any]:
    """Repeat an example, each time a little quieter."""
    samples, rate = soundfile.read(diarnb.example("interview"), dtype="float32")
    assert rate == RATE
    count = int(seconds * RATE / len(samples)) + 1
    return np.concatenate([samples * 0.98**number for number in range(count)])[: int(seconds * RATE)]


def pieces() -> list[str]:
    with closing(sqlite3.connect(Store.default().path)) as db:
        return [key for (key,) in db.execute("SELECT key FROM evidence WHERE key LIKE '%/%' ORDER BY key")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The windows and chunks that the networks were asked for; of a chunk each embedding network counts its share."""
    asked: list[float] = []

    class Counting:
        def __init__(self, network: Any, share: float) -> None:
            self.network, self.share = network, share

        def run(self, outputs: Any, inputs: dict[str, Any]) -> Any:
            asked.append(self.share * len(next(iter(inputs.values()))))
            return self.network.run(outputs, inputs)

    load = networks.load

    def load_counting(name: str, **options: Any) -> Counting:
        return Counting(load(name, **options), 1 / len(SIZES) if name in SIZES else 1)

    monkeypatch.setattr(networks, "load", load_counting)
    return asked


def stop_behind(reach: float) -> Any:
    def progress(_stage: str, fraction: float) -> None:
        if fraction > reach:
            raise KeyboardInterrupt

    return progress


def interrupted(sound: np.ndarray[Any, Any], reach: float = 0.9, **asked: Any) -> KeyboardInterrupt:
    with pytest.raises(KeyboardInterrupt) as stopped:
        diarnb.diarize((sound, RATE), progress=stop_behind(reach), threads=1, **asked)
    return stopped.value


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A folder with a long recording, and what its networks are asked and answer when nobody interrupts."""
    folder = tmp_path_factory.mktemp("long")
    soundfile.write(folder / "long.wav", make_talk(60 * MINUTES), RATE, subtype="PCM_16")
    environment = {**os.environ, "DIARNB_HOME": str(folder / "cold")}
    done = subprocess.run(
        [sys.executable, "-c", LISTENS], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    count, turns = json.loads(done.stdout.splitlines()[-1])
    return folder, count, turns


@pytest.mark.parametrize("end", [signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGINT)], ids=lambda end: end.name)
def test_a_long_recording_that_was_interrupted_at_60_percent_costs_40(
    long: tuple[Path, int, str], home: Path, end: signal.Signals
) -> None:
    folder, whole, turns = long
    command = [sys.executable, "-c", LISTENS]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if float(line) > 0.6:  # 3 of 5 minutes and a block
                first.send_signal(end)
                break
        first.communicate()
    assert first.returncode != 0
    assert len(pieces()) == 3
    second = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    rest, again = json.loads(second.stdout.splitlines()[-1])
    assert again == turns
    assert 0.35 * whole < rest < 0.5 * whole  # the last windows and chunks before the interrupt wait for more
    assert pieces() == []


def test_the_next_call_goes_on_and_answers_as_if_nothing_had_happened(home: Path, asked: list[float]) -> None:
    sound = make_talk(75)
    told = str(interrupted(sound))
    assert (
        told
        == "interrupted; samples was processed up to 1:00 of 1:15, which is kept: the same call continues from there"
    )
    assert len(pieces()) == 1
    assert diarnb.runs().empty
    asked.clear()
    turns = diarnb.diarize((sound, RATE), progress=False, threads=1)
    rest = sum(asked)
    assert pieces() == []
    asked.clear()
    anew = diarnb.diarize((sound, RATE), progress=False, threads=1, refresh=True)
    assert_turns_equal(turns, anew)
    assert rest < 0.6 * sum(asked)


def test_what_would_be_heard_otherwise_is_not_taken(
    home: Path, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = make_talk(75)
    interrupted(sound)
    whole: list[float] = []
    for change in ("channel", "refresh", "revision"):
        asked.clear()
        if change == "channel":
            interrupted(sound, channels="split")
            assert len(pieces()) == 2  # one for each question
        elif change == "refresh":
            interrupted(sound, refresh=True)
        else:
            default = next(iter(local.MODELS))
            monkeypatch.setitem(local.MODELS, default, local.MODELS[default]._replace(revision=99))
            interrupted(sound)
        whole.append(sum(asked))
    assert len(set(whole)) == 1
    asked.clear()
    interrupted(sound)
    assert sum(asked) < 0.6 * whole[0]


def test_forgetting_and_the_limit_take_what_was_heard(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = make_talk(75)
    interrupted(sound)
    other = diarnb.diarize(diarnb.example("interview"), progress=False)
    assert len(pieces()) == 1
    diarnb.forget(other)
    assert pieces() == []
    monkeypatch.setenv("DIARNB_STORE_LIMIT", "1000")
    assert str(interrupted(sound)) == ""
    assert pieces() == []
    assert len(diarnb.diarize((sound, RATE), progress=False))


def test_damage_to_what_was_heard_costs_time_and_no_answer(home: Path) -> None:
    sound = make_talk(75)
    interrupted(sound)
    with closing(sqlite3.connect(Store.default().path)) as db, db:
        db.execute("UPDATE evidence SET arrays = zeroblob(100)")
    turns = diarnb.diarize((sound, RATE), progress=False)
    pd.testing.assert_frame_equal(turns, diarnb.diarize((sound, RATE), progress=False, refresh=True), check_like=True)


def test_an_interrupt_is_one_line_where_a_notebook_shows_it(home: Path) -> None:
    error = interrupted(make_talk(75))
    assert vars(error)["_render_traceback_"]() == [f"KeyboardInterrupt: {error}"]
