"""The server's core: jobs that survive whatever ends a worker or the server, and doors that only some may pass."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from diarnb.errors import ConfigurationError, InvalidParameterError
from diarnb.server import core as cores
from diarnb.server.jobs import JOB_KEPT, MOST_CRASHES, RESULT_KEPT, Job, JobTable
from diarnb.server.workers import pool as workers
from diarnb.server.workers import wire
from diarnb.server.workers.pool import TaskFailedError, TaskTimeoutError, WorkerCrashedError
from tests.servers import KEY, PATIENCE, InThread, in_process, in_thread, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from diarnb.server.core import Core

PROGRAM = "tests.server_worker"


@pytest.fixture(scope="module")
def scripted() -> Iterator[None]:
    """Let the servers of this process have workers whose tasks tests have written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_PROGRAM", PROGRAM)
        yield


@pytest.fixture(scope="module")
def server(scripted: None) -> Iterator[InThread]:
    with in_thread() as server:
        yield server


def job(do: str, **task: Any) -> Job:
    name = f"{do}-{time.perf_counter_ns()}"
    return Job(id=name, owner=cores.derive_owner(KEY), kind="diarize", task={"do": f"test.{do}", **task})


def until(found: Callable[[], Any], what: str = "it") -> Any:
    """Wait for what has no event that a test could wait for."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)
    return value


def processes(pool: workers.WorkerPool) -> list[psutil.Process]:
    return [psutil.Process(worker._process.pid) for worker in pool._all if worker._process is not None]


def submit(server: InThread, *jobs: Job) -> None:
    for one in jobs:
        server.call(server.core.jobs.add(one))


def ended(server: InThread, one: Job) -> Job:
    def look() -> Job | None:
        async def read() -> Job | None:
            return server.core.jobs.get(one.id)

        found = server.call(read())
        return found if found is not None and found.ended else None

    return until(look, "the end of a job")


# --- jobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_is_done_and_its_answer_kept(server: InThread) -> None:
    one = job("echo", number=1)
    submit(server, one)
    done = ended(server, one)
    assert (done.state, done.crashes) == ("succeeded", 0)
    assert json.loads(done.output or b"")["number"] == 1


def test_a_worker_stands_back_for_others(server: InThread) -> None:
    one = job("echo")
    submit(server, one)
    assert json.loads(ended(server, one).output or b"")["nice"] >= 10


def test_what_a_library_prints_does_not_come_between(server: InThread) -> None:
    one = job("prints")
    submit(server, one)
    assert ended(server, one).output == b"{}"


@pytest.mark.slow
def test_a_lost_worker_is_counted_and_costs_nothing_else(server: InThread, tmp_path: Path) -> None:
    one, other = job("crash", tried=str(tmp_path / "tried"), times=1), job("echo")
    submit(server, one, other)
    assert (ended(server, one).state, ended(server, one).crashes) == ("succeeded", 1)
    assert ended(server, other).state == "succeeded"


@pytest.mark.slow
def test_a_worker_killed_in_a_job_is_replaced(server: InThread, tmp_path: Path) -> None:
    one = job("wait", begun=str(tmp_path / "begun"), go=str(tmp_path / "go"))
    submit(server, one)
    until((tmp_path / "begun").exists)
    (worker,) = processes(server.core.workers)
    (tmp_path / "begun").unlink()
    worker.kill()
    until((tmp_path / "begun").exists)  # it was begun again
    (tmp_path / "go").touch()
    assert (ended(server, one).state, ended(server, one).crashes) == ("succeeded", 1)


@pytest.mark.slow
def test_a_poisoned_job_fails_after_three_attempts_and_others_go_on(server: InThread, tmp_path: Path) -> None:
    poison, other = job("crash", tried=str(tmp_path / "tried")), job("echo")
    submit(server, poison, other)
    failed = ended(server, poison)
    assert (failed.state, failed.crashes) == ("failed", MOST_CRASHES - 1)
    assert (tmp_path / "tried").stat().st_size == MOST_CRASHES
    assert json.loads(failed.output or b"") == {"error": "It crashed its worker process, 3 times."}
    assert ended(server, other).state == "succeeded"


def test_damaged_audio_fails_at_once_in_the_words_of_the_services(server: InThread) -> None:
    one = job("fails")
    submit(server, one)
    done = ended(server, one)
    assert (done.state, done.crashes) == ("failed", 0)
    assert json.loads(done.output or b"")["error"] == "Could not load audio: talk.wav is damaged"


def test_a_job_that_takes_too_long_is_ended(server: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "JOB_SECONDS", 0.5)
    one = job("spin")
    submit(server, one)
    assert "It took longer" in json.loads(ended(server, one).output or b"")["error"]
    assert all(worker.cpu_percent(0.2) < 50 for worker in processes(server.core.workers))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set on Linux only")
def test_a_worker_that_takes_all_memory_fails_alone(scripted: None) -> None:
    with in_thread(memory=1024) as server:
        assert server.call(server.core.workers.run({"do": "test.greedy", "mebibytes": 8}, seconds=PATIENCE))
        with pytest.raises(WorkerCrashedError):
            server.call(server.core.workers.run({"do": "test.greedy", "mebibytes": 4096}, seconds=PATIENCE))


@pytest.mark.slow
def test_a_full_disk_costs_no_job(server: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails a few times, in the middle of a job; it is done nevertheless."""
    monkeypatch.setattr(cores, "_DISK", 0.05)
    write, failures = JobTable._write, [3]

    async def failing(self: JobTable, statement: str, values: tuple[Any, ...]) -> Any:
        if failures[0] and not statement.startswith("INSERT"):
            failures[0] -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return await write(self, statement, values)

    monkeypatch.setattr(JobTable, "_write", failing)
    one, other = job("echo"), job("echo")
    submit(server, one, other)
    assert {ended(server, one).state, ended(server, other).state} == {"succeeded"}
    assert failures == [0]


@pytest.mark.slow
def test_workers_do_one_task_each_at_a_time(scripted: None, tmp_path: Path) -> None:
    with in_thread(workers=2) as server:
        held = [job("wait", begun=str(tmp_path / f"begun{n}"), go=str(tmp_path / f"go{n}")) for n in range(3)]
        submit(server, *held)
        until(lambda: all((tmp_path / f"begun{n}").exists() for n in range(2)))
        assert server.core.workers.full
        assert not (tmp_path / "begun2").exists()
        for n in range(3):
            (tmp_path / f"go{n}").touch()
        assert {ended(server, one).state for one in held} == {"succeeded"}


# --- tasks that somebody waits for -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_task_that_nobody_waits_for_any_more_is_ended(server: InThread, tmp_path: Path) -> None:
    async def leave() -> None:
        task = {"do": "test.wait", "begun": str(tmp_path / "begun"), "go": str(tmp_path / "never")}
        doing = asyncio.create_task(server.core.workers.run(task, seconds=PATIENCE))
        while not (tmp_path / "begun").exists():
            await asyncio.sleep(0.01)
        doing.cancel()
        with suppress(asyncio.CancelledError):
            await doing

    server.call(leave())
    assert (server.core.workers.busy, server.core.workers.waiting) == (0, 0)
    assert json.loads(server.call(server.core.workers.run({"do": "test.echo"}, seconds=PATIENCE)))["do"] == "test.echo"
    assert len(processes(server.core.workers)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("do", "error"), [("fails", TaskFailedError), ("bug", WorkerCrashedError), ("spin", TaskTimeoutError)]
)
def test_a_task_says_how_it_failed(server: InThread, do: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        server.call(server.core.workers.run({"do": f"test.{do}"}, seconds=1 if do == "spin" else PATIENCE))
    assert server.call(server.core.workers.run({"do": "test.echo"}, seconds=PATIENCE))


def test_a_stream_is_talked_with(server: InThread) -> None:
    async def talk(core: Core) -> tuple[list[Any], Any]:
        async with core.streams.session({"do": "test.talk"}) as session:
            notes = []
            for size in (3, 4):
                await session.send(wire.SOUND, b"x" * size)
                notes.append(json.loads((await session.receive())[1]))
            await session.send(wire.END)
            kind, answer = await session.receive()
            assert kind == wire.DONE
            return notes, json.loads(answer)

    assert server.call(talk(server.core)) == ([{"heard": 3}, {"heard": 7}], {"heard": 7})


@pytest.mark.slow
def test_a_stream_that_is_left_leaves_nothing_to_the_next(server: InThread) -> None:
    async def leave(core: Core) -> bytes:
        async with core.streams.session({"do": "test.talk"}) as session:
            await session.send(wire.SOUND, b"xyz")
        return await core.streams.run({"do": "test.echo"}, seconds=PATIENCE)

    assert json.loads(server.call(leave(server.core)))["do"] == "test.echo"


def test_a_stream_ends_with_its_worker(server: InThread) -> None:
    async def lose(core: Core) -> None:
        async with core.streams.session({"do": "test.talk"}) as session:
            await session.send(wire.SOUND, b"x")
            await session.receive()
            processes(core.streams)[0].kill()
            with pytest.raises(WorkerCrashedError):
                await session.receive()

    server.call(lose(server.core))


# --- the end, and the next beginning ---------------------------------------------------------------------------------


def accepted(folder: Path, *jobs: Job) -> None:
    """Write jobs into a table as a server does that then ends."""
    folder.mkdir(exist_ok=True)

    async def add() -> None:
        table = JobTable(folder / "jobs.sqlite")
        for one in jobs:
            await table.add(one)
        table.close()

    asyncio.run(add())


def looked_up(folder: Path, one: Job) -> Job:
    async def look() -> Job | None:
        table = JobTable(folder / "jobs.sqlite")
        found = table.get(one.id)
        table.close()
        return found

    found = asyncio.run(look())
    assert found is not None
    return found


def gone(*processes: psutil.Process) -> bool:
    return not psutil.wait_procs(list(processes), PATIENCE)[1]


def free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    return True


@pytest.mark.slow
def test_kill_9_of_the_server_loses_no_job_and_leaves_no_process(tmp_path: Path) -> None:
    one = job("wait", begun=str(tmp_path / "begun"), go=str(tmp_path / "go"))
    accepted(tmp_path, one)
    with in_process(tmp_path, program=PROGRAM) as server:
        until((tmp_path / "begun").exists)
        children = server.workers()
        server.kill()
        assert gone(*children)
    assert looked_up(tmp_path, one).state == "running"
    (tmp_path / "go").touch()
    with in_process(tmp_path, program=PROGRAM) as server:
        until(lambda: looked_up(tmp_path, one).ended)
    assert looked_up(tmp_path, one).output == b'{"went": true}'
    assert looked_up(tmp_path, one).crashes == 0


@pytest.mark.slow
def test_ends_of_the_server_cost_a_job_nothing_however_many(tmp_path: Path) -> None:
    one = job("wait", begun=str(tmp_path / "begun"), go=str(tmp_path / "go"))
    accepted(tmp_path, one)
    for _ in range(MOST_CRASHES + 2):
        with in_process(tmp_path, program=PROGRAM) as server:
            until((tmp_path / "begun").exists)
            server.kill()
        (tmp_path / "begun").unlink()
    (tmp_path / "go").touch()
    with in_process(tmp_path, program=PROGRAM):
        until(lambda: looked_up(tmp_path, one).ended)
    assert (looked_up(tmp_path, one).state, looked_up(tmp_path, one).crashes) == ("succeeded", 0)


def test_a_table_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    one = job("echo")
    accepted(tmp_path, one)
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as table, table:
        table.execute("ALTER TABLE jobs RENAME crashes TO attempts")
        table.execute("UPDATE jobs SET state = 'running', attempts = 3")
    found = looked_up(tmp_path, one)
    assert (found.state, found.crashes, found.task) == ("running", 0, one.task)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_that_is_told_to_end_ends_in_ten_seconds(tmp_path: Path, number: signal.Signals) -> None:
    one = job("wait", begun=str(tmp_path / "begun"), go=str(tmp_path / "never"))
    accepted(tmp_path, one)
    with in_process(tmp_path, program=PROGRAM) as server:
        until((tmp_path / "begun").exists)
        children = server.workers()
        with socket.create_connection(("127.0.0.1", server.port)) as idle:  # one that never says what it wants
            idle.sendall(b"POST /v1/listen HTTP/1.1\r\n")
            began = time.monotonic()
            server.process.send_signal(number)
            assert server.process.wait(PATIENCE) == 0
            assert time.monotonic() - began <= 10
        assert gone(*children)
        assert free(server.port)
    waits = looked_up(tmp_path, one)
    assert (waits.state, waits.crashes) == ("created", 0)  # it was not the job's fault


@pytest.mark.slow
def test_the_server_of_a_process_ends_with_it(tmp_path: Path) -> None:
    with in_process(tmp_path) as server:
        children = until(server.workers)
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(PATIENCE) == 0
        assert gone(*children)


def test_what_a_killed_server_was_receiving_is_removed(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "half").write_bytes(b"RIFF")
    with in_thread(tmp_path):
        assert not list((tmp_path / "scratch").iterdir())


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    with in_thread(tmp_path), pytest.raises(ConfigurationError, match=r"another server uses .*--folder"):
        in_thread(tmp_path).__enter__()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with in_thread() as server, pytest.raises(ConfigurationError, match=rf"port {server.port}: another prog.*--port"):
        in_thread(tmp_path, port=server.port).__enter__()
    with in_thread(tmp_path):  # and nothing of the failed start is in the way
        pass


def test_a_table_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no table" * 1000)
    with pytest.raises(ConfigurationError, match=rf"the folder {re.escape(str(tmp_path))} cannot be used"):
        in_thread(tmp_path).__enter__()


def readable(folder: Path) -> dict[str, str]:
    """What others have rights to, the folder itself included, and which."""
    modes = {path: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    return {path.name: f"{mode:o}" for path, mode in modes.items() if mode & 0o077}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="rights are another matter there")
@pytest.mark.parametrize("existed", [False, True], ids=["new", "existed before"])
def test_others_cannot_read_the_folder_or_anything_in_it(tmp_path: Path, existed: bool) -> None:
    folder = tmp_path / "server"
    if existed:
        accepted(folder, job("echo"))
        (folder / "server.log").write_text("a transcript", encoding="ascii")
        (folder / "media").mkdir()
        (folder / "media" / ("0" * 64)).write_bytes(b"sound")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert len(readable(folder)) >= 5
    with in_process(folder, program=PROGRAM) as server:
        headers = server.bearer
        asked = httpx.post(f"{server.base_url}/v1/media/input", json={"url": "media://a"}, headers=headers)
        httpx.put(asked.json()["url"], content=b"sound").raise_for_status()
        httpx.post(f"{server.base_url}/v1/diarize", json={"url": "media://a"}, headers=headers).raise_for_status()
        assert len(list(folder.rglob("*"))) > 7
        assert readable(folder) == {}


@pytest.mark.skipif(os.name == "nt", reason="rights are another matter there")
def test_a_folder_with_other_things_in_it_stays_as_it_is_but_for_ours(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "notes.txt").chmod(0o644)  # whatever the umask
    accepted(tmp_path, job("echo"))
    tmp_path.chmod(0o755)
    with in_process(tmp_path, program=PROGRAM):
        assert readable(tmp_path) == {tmp_path.name: "755", "notes.txt": "644"}


# --- what is kept, and for how long ----------------------------------------------------------------------------------


def test_results_are_forgotten_before_their_jobs(tmp_path: Path) -> None:
    async def age() -> list[tuple[bool, bool]]:
        table, one, now = JobTable(tmp_path / "jobs.sqlite"), job("echo"), time.time()
        await table.add(one)
        await table.finish(one, "succeeded", b"{}")
        seen = []
        for seconds in (RESULT_KEPT - 60, RESULT_KEPT + 60, JOB_KEPT + 60):
            await table.delete_expired(now + seconds)
            found = table.get(one.id)
            seen.append((found is not None, found is not None and found.output is not None))
        table.close()
        return seen

    assert asyncio.run(age()) == [(True, True), (True, False), (False, False)]


def test_jobs_are_listed_page_by_page_to_their_owner(tmp_path: Path) -> None:
    async def pages() -> None:
        table = JobTable(tmp_path / "jobs.sqlite")
        mine = [job("echo") for _ in range(5)]
        for one in mine:
            await table.add(one)
        await table.add(Job(id="other", owner="somebody", kind="diarize", task={"secret": 1}))
        me = mine[0].owner
        first = table.list_page(me, kinds=("diarize",), limit=3)
        assert first is not None
        assert [one.id for one in first] == [one.id for one in reversed(mine)][:3]
        assert all(one.task == {} for one in first)
        rest = table.list_page(me, kinds=("diarize",), limit=10, after=first[-1].id)
        assert rest is not None
        assert [one.id for one in rest] == [one.id for one in reversed(mine)][3:]
        assert table.list_page(me, kinds=("diarize",), limit=10, after="other") is None
        assert table.get("other", me) is None
        assert table.list_page(me, kinds=("diarize",), limit=10, state="succeeded") == []
        assert table.count("created") == 6
        table.close()

    asyncio.run(pages())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("keys", ()), ("keys", ("short",)), ("keys", ("with spaces in it",)), ("keys", ("schlüssel-lang",))),
        *(("port", -1), ("port", 65536), ("workers", 0), ("memory", -1), ("queue", -1), ("rate_limits", "some")),
        *(("streaming_diarize_model", "old"), ("public_url", "speech.example.org"), ("public_url", "ftp://a")),
        *(("public_url", "https://a/b"), ("public_url", "https://me:pw@a"), ("public_url", "https://a:b")),
    ],
)
def test_settings_are_checked_before_anything_starts(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError):
        settings_of(tmp_path, **{name: value})


def test_no_key_is_shown(tmp_path: Path) -> None:
    assert KEY not in repr(settings_of(tmp_path, webhook_secret=KEY))
