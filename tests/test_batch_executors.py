"""Where the work of a batch is done: threads, processes and dask, which may die, and never see a key."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import diarnb
from diarnb import batch, errors
from diarnb.batch import executors as _executing
from diarnb.batch.executors import Dispatcher
from diarnb.testing import assert_turns_equal
from tests.batches import Scripted, ask_many, processes, tones
from tests.clouds import KEY, hasty
from tests.faultserver import serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path / "heard.txt")


def test_a_dispatcher_keeps_to_so_many_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_executing, "_MINUTE", 0.4)
    monkeypatch.setattr(_executing, "_AWAKE", 0.01)
    started = []
    with ThreadPoolExecutor(4) as pool:

        def submit(task: int) -> Any:
            started.append(time.monotonic())
            return pool.submit(abs, task)

        dispatcher = Dispatcher(range(7), submit, lambda: 4, a_minute=3)
        assert len(list(filter(None, dispatcher.as_completed()))) == 7
    assert all(later - earlier >= 0.4 for earlier, later in zip(started, started[3:], strict=False))


def test_a_dispatcher_has_so_many_at_once() -> None:
    running, most = 0, 0

    def submit(task: int) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        return pool.submit(abs, task)

    with ThreadPoolExecutor(8) as pool:
        for event in Dispatcher(range(20), submit, lambda: 3).as_completed():
            running -= event is not None
    assert most == 3


def settle_at(folder: str) -> None:
    os.environ["DIARNB_HOME"] = folder


def test_a_run_from_another_store_comes_home(scripted: Scripted, tmp_path: Path, home: Path) -> None:
    place = tones(tmp_path / "in", "x.wav")
    elsewhere = multiprocessing.get_context("spawn")
    start = {"initializer": settle_at, "initargs": (str(tmp_path / "far"),)}
    with ProcessPoolExecutor(1, mp_context=elsewhere, **start) as pool:
        turns = diarnb.diarize_many(place, executor=pool, engine=scripted, progress=False)
    assert (tmp_path / "far").is_dir()
    run = batch.manifest(turns)["run"].iloc[0]
    assert_turns_equal(diarnb.open_run(run), turns.drop(columns="uri"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_recording_that_kills_its_worker_does_not_stop_the_others(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "1.wav", "2.wav", "deadly.wav", *[f"z{n}.wav" for n in range(9)])
    with processes() as pool, pytest.warns(errors.DiarnbWarning, match="WorkerLostError"):
        turns = diarnb.diarize_many(place, executor=pool, engine=scripted, progress=False)
    facts = turns.attrs["diarnb"]
    lost = {failure["uri"] for failure in facts["failures"]}
    assert "deadly.wav" in lost
    assert {failure["error"] for failure in facts["failures"]} == {"WorkerLostError"}
    assert set(turns["uri"]) | lost == {path.name for path in place.iterdir()}
    assert any("was not started" in failure["message"] for failure in facts["failures"])
    before = scripted.heard()
    with processes() as pool, pytest.warns(errors.DiarnbWarning, match="WorkerLostError"):
        later = diarnb.diarize_many(place, executor=pool, engine=scripted, progress=False)
    assert len(later.attrs["diarnb"]["failures"]) < len(lost)  # the deadly one comes after the others now
    assert all(scripted.heard()[uri] == before[uri] for uri in turns["uri"])
    with processes() as pool:
        healed = Scripted(scripted.log, once=place)
        whole = diarnb.diarize_many(place, executor=pool, engine=healed, progress=False)
    assert len(whole) == 12


def test_an_executor_that_is_closed_is_told_of(scripted: Scripted, tmp_path: Path) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(errors.InvalidParameterError, match="make a new one"):
        diarnb.diarize_many(tones(tmp_path / "in", "x.wav"), executor=pool, engine=scripted, progress=False)


def test_what_cannot_travel_is_told_of(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", "x.wav")

    def words(samples: Any, rate: int) -> list[Any]:
        return []

    with ProcessPoolExecutor(1) as pool, pytest.raises(errors.InvalidParameterError, match="another process"):
        diarnb.diarize_many(place, executor=pool, words=words, progress=False)


def kill_and_run(place: Path, log: Path, after: int) -> int:
    """Run a batch in a process, and kill it once so many are done; 0 kills nothing."""
    code = (
        "import sys, diarnb; from pathlib import Path; from tests.batches import Scripted\n"
        "def say(stage, fraction): print(stage.split()[0], flush=True)\n"
        "diarnb.diarize_many(sys.argv[1], engine=Scripted(Path(sys.argv[2])), progress=say)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(place), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if after and int(line) >= after:
                child.kill()
                break
    return child.returncode


@pytest.mark.slow
def test_a_batch_that_is_killed_goes_on_where_it_stopped(scripted: Scripted, tmp_path: Path) -> None:
    place = tones(tmp_path / "in", *[f"{n}.wav" for n in range(12)])
    assert kill_and_run(place, scripted.log, 4) == -signal.SIGKILL
    assert batch.manifest()["state"].eq("done").sum() >= 4
    assert kill_and_run(place, scripted.log, 0) == 0
    heard = scripted.heard()
    assert set(heard) == {f"{n}.wav" for n in range(12)}
    assert sum(heard.values()) <= 12 + 1  # what the kill interrupted


def test_a_key_stays_at_home(scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tones(tmp_path / "in", "a.wav")
    with (
        ProcessPoolExecutor(1) as pool,
        pytest.raises(errors.InvalidParameterError, match="environment of the workers"),
    ):
        ask_many("http://127.0.0.1:9", place, executor=pool)
    seen: list[Any] = []
    monkeypatch.setenv("PYANNOTEAI_API_KEY", KEY)

    class Noting(ThreadPoolExecutor):
        def submit(self, function: Any, /, *args: Any, **named: Any) -> Any:
            seen.append((args, named))
            return super().submit(function, *args, **named)

    with serving() as server, Noting(1) as pool:
        url = f"{server.origin}/talk.wav?X-Amz-Signature=canary"
        settings = {"engine": hasty(), "base_url": server.origin, "progress": False}
        with pytest.warns(errors.DiarnbWarning):
            diarnb.diarize_many([place / "a.wav", url], executor=pool, **settings)
    assert len(seen) == 2
    assert "canary" not in repr(seen)
    assert KEY not in repr(seen)
    assert KEY.encode() not in pickle.dumps(seen)


@pytest.mark.slow
def test_dask_goes_on_when_a_worker_is_killed(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    monkeypatch.setenv("PYANNOTEAI_API_KEY", KEY)
    place = tones(tmp_path / "in", *[f"{n:02d}.wav" for n in range(12)], "deadly.wav")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"}
    with (
        distributed.LocalCluster(**options, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        once = Scripted(scripted.log, once=tmp_path / "killed")
        turns = diarnb.diarize_many(place, executor=client, engine=once, progress=False)
        assert (tmp_path / "killed").exists()
        assert len(turns) == 13
        assert not turns.attrs["diarnb"]["failures"]
        assert once.heard()["deadly.wav"] == 2
        with pytest.warns(errors.DiarnbWarning, match="1 of 13"):
            later = diarnb.diarize_many(place, executor=client, engine=scripted, refresh=True, progress=False)
        (failure,) = later.attrs["diarnb"]["failures"]
        assert failure["uri"] == "deadly.wav"
        assert failure["error"] == "WorkerLostError"
        assert len(later) == 12
        with serving() as server:
            settings = {"engine": hasty(), "base_url": server.origin, "executor": client, "progress": False}
            with pytest.warns(errors.DiarnbWarning, match="1 of 2"):
                clouded = diarnb.diarize_many([place / "00.wav", place / "nothing.wav"], **settings)
            assert len(clouded["uri"].unique()) == 1
            assert server.asked["POST /v1/diarize"] == 1
        story = repr(client.story(*client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))))
        logs = f"{caplog.text} {client.get_worker_logs()} {client.get_scheduler_logs()} {story}"
        assert KEY not in logs
