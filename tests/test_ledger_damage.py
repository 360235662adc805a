"""A damaged store, another version's, and one of diarnb 0.1.0: nobody pays again without being told first."""

from __future__ import annotations

import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import diarnb
from diarnb import cloud, errors
from diarnb.store import ledger_file
from diarnb.store.ledger import Ledger
from tests import corruptions, deepgram_server
from tests.clouds import ask, hasty, sound
from tests.faultserver import KEY, FaultServer, serving

ROOT = Path(__file__).parents[1]
EARLIER = "802921f"  # the commit of version 0.1.0


@pytest.mark.slow
def test_no_corruption_of_a_store_pays_again_in_silence() -> None:
    found, again = corruptions.run(200)
    assert again == []
    assert found.total() == 240
    assert found["told"] > 0


def test_a_lost_cache_is_made_again_from_the_ledger(home: Path) -> None:
    with serving() as service:
        first = ask(service.origin, sound())
        for file in home.glob("runs-1.sqlite*"):
            file.unlink()
        asked = service.asked.total()
        again = ask(service.origin, sound())
        assert service.asked.total() == asked
    assert again.equals(first)
    assert again.attrs == first.attrs  # the very run
    assert diarnb.open_run(first.attrs["diarnb"]["run"]).equals(first)


def test_a_run_that_names_another_engine_is_made_again_from_the_ledger(home: Path) -> None:
    with serving() as service:
        first = ask(service.origin, sound())
        with closing(sqlite3.connect(home / "runs-1.sqlite")) as store, store:
            store.execute("UPDATE runs SET engine = 'pyanSoteai'")
        asked = service.asked.total()
        assert ask(service.origin, sound()).equals(first)
        assert service.asked.total() == asked


def test_either_copy_of_the_ledger_is_enough(home: Path) -> None:
    with serving() as service:
        ask(service.origin, sound())
        names = ("ledger-1.jsonl", "ledger-1.copy.jsonl")
        for name in names:
            for change in (lambda content: content[:-40], lambda _content: b"", lambda content: b"x" + content[1:]):
                (home / name).write_bytes(change((home / name).read_bytes()))
                ledger_file._known.clear()  # faster than the clock of the file system
                assert Ledger().damage() is None
                assert (home / names[0]).read_bytes() == (home / names[1]).read_bytes()
            (home / name).unlink()
            assert Ledger().damage() is None
            assert (home / name).exists()
            assert len(ask(service.origin, sound())) == 2
        assert len(service.jobs) == 1
    assert not list(home.glob("*.bad"))


def test_where_both_copies_are_damaged_it_is_told_before_anything_is_sent(home: Path) -> None:
    with serving() as service:
        ask(service.origin, sound())
        for file in home.glob("*"):
            if file.is_file():
                file.write_bytes(b"")
        with pytest.warns(errors.StoreWarning, match="both copies of the ledger"):
            assert Ledger().damage()
        asked = service.asked.total()
        for _ in range(2):
            with pytest.raises(errors.SubmissionUncertainError, match=r"Nothing was sent.*accept_loss\(\)"):
                ask(service.origin, sound(1))
        assert service.asked.total() == asked
        assert len(ask(service.origin, sound(2), resubmit=True)) == 2
        with pytest.raises(errors.SubmissionUncertainError):
            ask(service.origin, sound(1))
        cloud.accept_loss()
        assert len(ask(service.origin, sound(1))) == 2
        assert len(service.jobs) == 3
    assert len(list(home.glob("ledger-1*.bad"))) == 2


def test_an_answer_that_is_damaged_everywhere_is_fetched_again_or_told(home: Path) -> None:
    def lose_answers() -> None:
        for file in [*home.glob("runs-1.sqlite*"), *(home / "paid").iterdir()]:
            file.unlink()

    with serving() as service:
        first = ask(service.origin, sound())
        lose_answers()
        assert ask(service.origin, sound()).equals(first)  # the service still has it
        assert len(service.jobs) == 1
    with deepgram_server.serving() as server:
        named: dict[str, Any] = {"engine": "deepgram", "api_key": deepgram_server.KEY, "base_url": server.origin}
        diarnb.diarize(diarnb.example("call"), progress=False, **named)
        lose_answers()
        with pytest.raises(errors.AnswerLostError, match="was paid for, and is damaged on disk"):
            diarnb.diarize(diarnb.example("call"), progress=False, **named)
        assert server.billed == 1
        assert len(diarnb.diarize(diarnb.example("call"), progress=False, resubmit=True, **named))
        assert server.billed == 2


def test_a_ledger_of_a_later_version_stops_paid_engines_and_no_others(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "ledger-2.jsonl").write_text("what a later version knows")
    with serving() as service:
        with pytest.raises(errors.StoreError, match="later version of diarnb"):
            ask(service.origin, sound())
        assert service.asked.total() == 0
    assert len(diarnb.diarize(diarnb.example("call"), progress=False))


def test_what_is_forgotten_leaves_the_disk(home: Path) -> None:
    with serving() as service:
        turns = ask(service.origin, diarnb.example("interview"))
        ask(service.origin, sound())
        assert b"interview.flac" in (home / "ledger-1.jsonl").read_bytes()
        diarnb.forget(turns)
        kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert b"interview" not in kept
        assert len(list((home / "paid").iterdir())) == 1
        assert len(diarnb.runs()) == 1
        ask(service.origin, diarnb.example("interview"))
        assert len(service.jobs) == 3


# A store of diarnb 0.1.0.

OLD = """
import sys
import diarnb
from tests import deepgram_server
from tests.clouds import ask, hasty, sound
from tests.faultserver import KEY
service, server = sys.argv[1:3]
for number in range(2):
    ask(service, sound(number))
ask(service, sound(2), model="precision-2", num_speakers=2)
ask(service, sound(3), voiceprints={"Beth": "AAAA"})
diarnb.voiceprint(sound(4), engine=hasty(), api_key=KEY, base_url=service, progress=False)
for path in ("call", "interview"):
    at = {"api_key": deepgram_server.KEY, "base_url": server}
    diarnb.diarize(diarnb.example(path), engine="deepgram", progress=False, **at)
diarnb.diarize(diarnb.example("call"), progress=False)
print("filled", flush=True)
sys.stdin.readline()
try:
    ask(service, sound(5), timeout=0.3)
except diarnb.errors.JobTimeoutError:
    print("open", flush=True)
"""


@pytest.fixture(scope="module")
def earlier_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    git = ["git", "archive", EARLIER, "diarnb", "tests"]
    packed = subprocess.run(git, cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"this checkout does not hold {EARLIER}, version 0.1.0")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def fill(home: Path, version: Path, service: FaultServer, server: Any) -> None:
    """Let diarnb 0.1.0 pay for this and that, and leave one job open."""
    environment = {**os.environ, "DIARNB_HOME": str(home), "PYTHONPATH": str(version)}
    command = [sys.executable, "-W", "ignore", "-c", OLD, service.origin, server.origin]
    with subprocess.Popen(
        command, cwd=version, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "filled\n"
        service.polls = 10**9
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "open\n"
        service.polls = 1


def ask_the_same(service: FaultServer, server: Any) -> list[int]:
    """Ask all that `OLD` asked; return how many rows each table has."""
    named: dict[str, Any] = {"engine": "deepgram", "api_key": deepgram_server.KEY, "base_url": server.origin}
    tables = [ask(service.origin, sound(number)) for number in (0, 1, 5)]
    tables.append(ask(service.origin, sound(2), model="precision-2", num_speakers=2))
    tables.append(ask(service.origin, sound(3), voiceprints={"Beth": "AAAA"}))
    diarnb.voiceprint(sound(4), engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
    tables += [diarnb.diarize(diarnb.example(name), progress=False, **named) for name in ("call", "interview")]
    return [len(table) for table in tables]


@pytest.mark.slow
def test_a_store_of_the_first_version_is_taken_over_without_loss(home: Path, earlier_version: Path) -> None:
    with serving() as service, deepgram_server.serving() as server:
        fill(home, earlier_version, service, server)
        jobs, billed = len(service.jobs), server.billed
        assert (jobs, billed) == (6, 2)
        kept = set(diarnb.runs().query("billed_seconds > 0 and state == 'succeeded'")["run"])
        assert len(kept) == 6
        assert min(ask_the_same(service, server)) > 0
        assert (len(service.jobs), server.billed) == (jobs, billed)
        assert kept <= set(diarnb.runs()["run"])
        for file in home.glob("runs-1.sqlite*"):  # and from the ledger alone
            file.unlink()
        assert min(ask_the_same(service, server)) > 0
        assert (len(service.jobs), server.billed) == (jobs, billed)
        ask(service.origin, sound(0), refresh=True)
        assert len(service.jobs) == jobs + 1


@pytest.mark.slow
def test_a_damaged_store_of_the_first_version_is_told_before_anything_is_sent(
    tmp_path: Path, earlier_version: Path
) -> None:
    whole = tmp_path / "whole"
    with serving() as service, deepgram_server.serving() as server:
        fill(whole, earlier_version, service, server)
        for number, kind in enumerate([*corruptions.KINDS] * 4):
            home = tmp_path / str(number)
            shutil.copytree(whole, home)
            corruptions.damage(home, kind, corruptions.TARGETS["runs"], random.Random(number))
            assert corruptions.ask_again(home, service) in ("answered", "told"), kind
        home = tmp_path / "later"
        shutil.copytree(whole, home)
        with sqlite3.connect(home / "runs-1.sqlite") as db:
            db.execute("PRAGMA user_version = 7")
        assert corruptions.ask_again(home, service) == "told"
