from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diarnb.errors import RunNotFoundError, StoreError, StoreWarning
from diarnb.store import Store
from diarnb.store.run import Run

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and signals of POSIX")
ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to be root")
REPOSITORY = Path(__file__).parents[1]
PREAMBLE = """
import sys
from pathlib import Path
from diarnb.store.run import Run
from diarnb.store import Store
def a_run(key, **more):
    return Run(key=key, source="meeting.wav", engine="local", model="m", raw={"diarization": []}, **more)
"""


def a_run(key: str = "k", **more: Any) -> Run:
    raw = {"diarization": [{"start": 0.1, "end": 2.0, "speaker": "SPEAKER_00"}], "warning": None}
    return Run(**{"key": key, "source": "meeting.wav", "engine": "local", "model": "m", "raw": raw, **more})


def arrays(megabytes: float = 0.001, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    return {"scores": np.random.default_rng(seed).random(int(megabytes * 2**20 / 8)), "steps": np.arange(3)}


def python(code: str, *arguments: object, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, cwd=REPOSITORY, **more)


def harm(store: Store, statement: str) -> None:
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(statement)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", timeout=0.2)


@pytest.fixture(autouse=True)
def _no_unexpected_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreWarning)
        yield


# -- keeping -----------------------------------------------------------------------------------------------------------


def test_a_run_comes_back_as_it_was(store: Store) -> None:
    run = a_run(
        params={"num_speakers": 3},
        options={"threads": 2},
        duration=61.25,
        speakers=3,
        content_hash="ab" * 32,
        path="/home/me/meeting.wav",
        size=10**10,
        mtime_ns=time.time_ns(),
        billed_seconds=62.0,
        job_id="job-1",
        expires=datetime(2026, 11, 22, tzinfo=UTC),
        evidence_key="e",
        warning="few",
        problems=["clipped"],
        raw={"text": "田中 \U0001f600 \ud800", "nothing": None, "big": 2**70},
    )
    assert store.save(run)
    assert store.get(run.id) == run
    assert store.find("k") == run
    assert len(run.id) == 12


def test_the_newest_finished_run_is_found(store: Store) -> None:
    now = datetime.now(UTC)
    runs = [a_run(created=now + timedelta(seconds=offset)) for offset in (-5, 0, -9)]
    for run in [*runs, a_run(state="sent", created=now + timedelta(1)), a_run("other", created=now + timedelta(2))]:
        store.save(run)
    assert store.find("k") == runs[1]
    assert store.find("nothing") is None


def test_runs_are_listed_newest_first_with_the_types_of_an_empty_list(store: Store) -> None:
    empty = store.runs()
    first = a_run(duration=60.0, speakers=2, created=datetime.now(UTC) - timedelta(1))
    last = a_run(source="call.wav", job_id="j", billed_seconds=3.0, expires=datetime.now(UTC))
    store.save(first)
    store.save(last)
    runs = store.runs()
    assert runs["run"].tolist() == [last.id, first.id]
    assert runs.dtypes.to_dict() == empty.dtypes.to_dict()
    assert str(runs["created"].dtype) == "datetime64[us, UTC]"
    assert runs["created"].tolist() == [last.created, first.created]
    assert runs["job_id"].isna().tolist() == [False, True]
    assert runs["speakers"].isna().tolist() == [True, False]
    facts = ["run", "created", "source", "engine", "model", "duration", "speakers", "state"]
    assert list(empty) == [*facts, "billed_seconds", "job_id", "expires"]


def test_an_unknown_run_is_an_error_that_says_what_to_run(store: Store) -> None:
    for order in (store.get, store.forget):
        with pytest.raises(RunNotFoundError, match=r"no run 'abc'.*diarnb\.runs\(\)"):
            order("abc")


def test_forgetting_leaves_nothing_of_the_run_on_disk(store: Store) -> None:
    secret = b"a very private remark"
    kept, gone = a_run(evidence_key="shared"), a_run(evidence_key="own", warning=secret.decode())
    for key in ("shared", "own"):
        store.put_evidence(key, {"scores": np.frombuffer(secret, dtype="uint8")})
    store.save(kept)
    store.save(gone)
    with closing(sqlite3.connect(store.path)) as open_elsewhere:  # keeps the log alive
        open_elsewhere.execute("SELECT count(*) FROM runs").fetchall()
        store.forget(gone.id)
        assert store.evidence("own") is None
        assert store.evidence("shared") is not None
        store.forget(kept.id)
        assert store.runs().empty
        assert all(secret not in file.read_bytes() for file in store.path.parent.iterdir())


# -- evidence ----------------------------------------------------------------------------------------------------------


def test_evidence_comes_back_with_its_types(store: Store) -> None:
    given = {"a": np.arange(6, dtype="float16").reshape(2, 3), "b": np.array([], dtype="int64"), "file": np.ones(1)}
    assert store.put_evidence("e", given)
    found = store.evidence("e")
    assert found is not None
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert store.evidence("other") is None


def test_evidence_is_in_memory_once(store: Store) -> None:
    given = {**arrays(4), "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "one": np.array(1.5)}
    store.put_evidence("e", given)
    tracemalloc.start()
    found = store.evidence("e")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * 2**20
    assert found is not None
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_python_objects_are_no_evidence(store: Store) -> None:
    with pytest.raises(TypeError, match="pickle"):
        store.put_evidence("e", {"a": np.array([{}])})


def test_above_the_limit_the_evidence_used_longest_ago_goes_and_no_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIARNB_STORE_LIMIT", str(2_500_000))
    run = a_run(evidence_key="first")
    store.save(run)
    for key in ("first", "second"):
        store.put_evidence(key, arrays(1))
    harm(store, "UPDATE evidence SET last_used = '1' || substr(last_used, 2)")  # long ago
    assert store.evidence("first") is not None  # and so used after the second
    store.put_evidence("third", arrays(1))
    assert [store.evidence(key) is not None for key in ("first", "second", "third")] == [True, False, True]
    assert not store.put_evidence("huge", arrays(3))
    assert store.evidence("third") is not None
    assert store.get(run.id) == run


def test_a_limit_that_is_no_number_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIARNB_STORE_LIMIT", "2 GB")
    with pytest.warns(StoreWarning, match="DIARNB_STORE_LIMIT='2 GB'"):
        assert store.put_evidence("e", arrays())


def test_forgotten_evidence_gives_its_space_back(store: Store) -> None:
    run = a_run(evidence_key="e")
    store.save(run)
    store.put_evidence("e", arrays(2))
    assert store.path.stat().st_size > 2**21
    store.forget(run.id)
    assert store.path.stat().st_size < 2**17


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["raw = x'00'", "raw = NULL", "raw = zeroblob(length(raw))"])
def test_a_damaged_run_counts_as_absent_and_an_older_one_answers(store: Store, damage: str) -> None:
    old, new = a_run(), a_run(created=datetime.now(UTC) + timedelta(1))
    store.save(old)
    store.save(new)
    harm(store, f"UPDATE runs SET {damage} WHERE id = '{new.id}'")
    with pytest.warns(StoreWarning, match=f"{new.id} of meeting.wav is damaged"):
        assert store.find("k") == old
    assert store.find("k") == old  # set aside: no second warning
    assert store.runs()["state"].tolist() == ["damaged", "succeeded"]
    with pytest.raises(RunNotFoundError, match="refresh=True"):
        store.get(new.id)


def test_damaged_evidence_is_dropped(store: Store) -> None:
    store.put_evidence("e", arrays())
    harm(store, "UPDATE evidence SET arrays = x'00'")
    with pytest.warns(StoreWarning, match="computed again"):
        assert store.evidence("e") is None
    assert store.evidence("e") is None


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_of_garbage_is_set_aside_and_a_new_store_begun(store: Store, content: bytes) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    with pytest.warns(StoreWarning, match="set aside as runs-1.sqlite.*bad"):
        assert store.find("k") is None
    (bad,) = store.path.parent.glob("*.bad")
    assert bad.read_bytes() == content
    run = a_run()
    assert store.save(run)
    assert store.get(run.id) == run


def test_a_torn_page_is_noticed(store: Store) -> None:
    for number in range(20):
        store.save(a_run(str(number), warning="x" * 20_000))
    content = bytearray(store.path.read_bytes())
    content[4096 * 2 : 4096 * 20] = b"\xff" * (4096 * 18)
    store.path.write_bytes(content)
    with pytest.warns(StoreWarning, match="set aside"):
        store.runs()
    assert store.save(a_run())


def test_a_folder_deleted_between_two_calls_comes_back(store: Store) -> None:
    store.save(a_run())
    for file in store.path.parent.iterdir():
        file.unlink()
    store.path.parent.rmdir()
    assert store.find("k") is None
    assert store.save(a_run())


def test_a_locked_store_is_a_warning_for_what_nobody_ordered_and_an_error_for_what_somebody_did(store: Store) -> None:
    run = a_run()
    store.save(run)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(StoreWarning, match="could not be kept.*locked"):
            assert not store.save(a_run())
        assert store.find("k") == run  # readers do not wait
        with pytest.raises(StoreError, match="locked"):
            store.forget(run.id)


@POSIX
def test_on_a_full_disk_the_answer_stays_and_so_do_older_runs(store: Store) -> None:
    code = """
import os, resource, warnings
store = Store(Path(sys.argv[1]))
assert store.save(a_run("old"))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert not store.save(a_run("new", warning=os.urandom(500_000).hex()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.find("old") and not store.find("new") and store.save(a_run("new"))
print(*(f"{w.category.__name__}: {w.message}" for w in caught), sep="\\n")
"""
    out, err = python(code, store.path.parent).communicate(timeout=60)
    assert out.startswith("StoreWarning: the result is right, but could not be kept"), err
    assert len(out.splitlines()) == 1


# -- where it is -------------------------------------------------------------------------------------------------------


def test_the_store_is_where_diarnb_home_says_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIARNB_HOME", str(tmp_path / "a" / "b"))
    run = a_run()
    Store.default().save(run)
    assert Store.default().get(run.id) == run
    assert Store.default().path.parent == tmp_path / "a" / "b"
    if os.name == "posix":
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
        assert Store.default().path.stat().st_mode & 0o777 == 0o600


FALLBACK = """
import os, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    run = a_run("k")
    assert Store.default().save(run)
    assert Store.default().find("k") == run
folder = Store.default().path.parent
assert folder.stat().st_mode & 0o777 == 0o700
print(folder, *(f"{w.category.__name__}: {w.message}" for w in caught), sep="\\n")
"""


def _falls_back(why: str, env: dict[str, str], user: int | None = None) -> None:
    become = f"import os; os.setuid({user})" if user else ""
    out, err = python(become + FALLBACK, env=env).communicate(timeout=60)
    assert err == ""
    folder, warning = out.splitlines()  # one warning only
    assert warning.startswith(f"StoreWarning: the run store cannot be used ({why}")
    assert not Path(folder).exists()  # it went with its process


def test_where_no_folder_can_be_made_a_private_one_serves_with_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _falls_back("Not a directory", env={**os.environ, "DIARNB_HOME": str(tmp_path / "file" / "home")})


@POSIX
def test_without_a_home_a_private_folder_serves(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DIARNB_HOME", "XDG_DATA_HOME"}}
    _falls_back("", env={**environment, "HOME": "/dev/null"})


@POSIX
@ROOT
def test_a_store_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    _falls_back("it belongs to another user", env={**os.environ, "DIARNB_HOME": str(tmp_path)})


@POSIX
@ROOT
def test_in_a_read_only_folder_a_private_one_serves() -> None:
    home = Path(tempfile.mkdtemp())  # in a folder that another user can reach, unlike tmp_path
    home.chmod(0o500)
    try:
        os.chown(home, 65534, -1)
        _falls_back("it is read-only", env={**os.environ, "DIARNB_HOME": str(home)}, user=65534)
    finally:
        home.rmdir()


# -- many at once ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_processes_write_the_same_and_different_runs(store: Store) -> None:
    code = """
store = Store(Path(sys.argv[1]))
for number in range(5):
    assert store.save(a_run("same")) and store.save(a_run(f"{sys.argv[2]}-{number}"))
    assert store.find("same")
"""
    writers = [python("import warnings; warnings.simplefilter('error')" + code, store.path.parent, n) for n in range(8)]
    errors = [writer.communicate(timeout=120)[1] for writer in writers]
    assert errors == [""] * 8
    assert len(store.runs()) == 80
    assert store.runs()["run"].is_unique


def test_threads_share_a_store(store: Store) -> None:
    patient = Store(store.path.parent)
    saved: list[bool] = []
    threads = [threading.Thread(target=lambda: saved.append(patient.save(a_run()))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert saved == [True] * 16
    assert len(store.runs()) == 16


@POSIX
def test_what_was_acknowledged_survives_a_kill(store: Store) -> None:
    code = """
while True:
    run = a_run("k", warning="x" * 20_000)
    Store(Path(sys.argv[1])).save(run)
    print(run.id, flush=True)
"""
    acknowledged: list[str] = []
    for wanted in (1, 5, 12):
        writer = python(code, store.path.parent)
        assert writer.stdout is not None
        acknowledged += [writer.stdout.readline().strip() for _ in range(wanted)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.communicate()[0].split()
    for run_id in acknowledged:
        if len(run_id) == 12:
            assert store.get(run_id).warning == "x" * 20_000
    assert store.find("k") is not None
