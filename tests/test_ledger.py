"""The ledger: what is in it survives, and whatever happens in whatever order, nothing is paid twice."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import diarnb
from diarnb import errors
from diarnb.store.ledger import Ledger, Submission
from diarnb.store.lock import exclusively
from diarnb.store.run import Description
from tests import faultserver as faults
from tests.clouds import Crash, ask, at_step, sound
from tests.faultserver import refuses, says, serving

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

ABOUT = Description(source="talk.wav", engine="e", model="m")
ROW = {"key": "k", "engine": "e", "origin": "o", "endpoint": "/diarize", "about": ABOUT}


def test_a_row_lives_from_call_to_call() -> None:
    row = Ledger().prepare(Submission(**ROW))
    row = Ledger().change(row, state="sent", sent_at=1.5)
    assert Ledger().find("k") == row
    row = Ledger().archive(row, b'{"a": 1}', state="succeeded", job_id="j")
    assert Ledger().answer(row) == b'{"a": 1}'
    assert Ledger().job("j") == row
    assert Ledger().known_jobs() == {"j"}
    (listed,) = diarnb.runs().to_dict("records")
    assert (listed["run"], listed["source"], listed["state"], listed["job_id"]) == (
        row.id,
        "talk.wav",
        "succeeded",
        "j",
    )
    diarnb.forget(row.id)
    assert Ledger().find("k") is None
    assert diarnb.runs().empty


def test_a_damaged_answer_is_no_answer(home: Path) -> None:
    row = Ledger().archive(Ledger().prepare(Submission(**ROW)), b"{}", state="succeeded")
    (kept,) = (home / "paid").iterdir()
    kept.write_bytes(b"\0")
    assert Ledger().answer(row) is None


def test_what_cannot_be_written_is_not_sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as service:
        ask(service.origin, sound())  # the store is there
        whole = (home / "ledger-1.jsonl").read_bytes()

        def full(_file: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("diarnb.store.ledger_file.os.fsync", full)
        with pytest.raises(errors.StoreError, match="No space left"):
            ask(service.origin, sound(1))
        assert len(service.jobs) == 1
        assert (home / "ledger-1.jsonl").read_bytes() == whole
        monkeypatch.undo()
        monkeypatch.setenv("DIARNB_HOME", str(home))
        assert len(ask(service.origin, sound(1))) == 2


def test_the_list_of_runs_has_its_types_with_and_without_submissions() -> None:
    empty = diarnb.runs().dtypes
    Ledger().prepare(Submission(**ROW))
    assert diarnb.runs().dtypes.equals(empty)


def test_a_lock_holds_out_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    order: list[str] = []

    async def hold(name: str) -> None:
        async with exclusively(tmp_path / "a.lock"):
            order.append(f"{name} in")
            await asyncio.sleep(0.02)
            order.append(f"{name} out")

    async def both() -> None:
        await asyncio.gather(*(hold(name) for name in "abc"))

    asyncio.run(both())
    assert [step.split()[1] for step in order] == ["in", "out"] * 3
    assert not (tmp_path / "a.lock").exists()
    code = (
        "import asyncio, os, sys, pathlib\nfrom diarnb.store.lock import exclusively\n"
        "async def die():\n async with exclusively(pathlib.Path(sys.argv[1])):\n  os._exit(9)\n"
        "asyncio.run(die())"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.lock")], check=False).returncode == 9
    assert (tmp_path / "a.lock").exists()
    asyncio.run(asyncio.wait_for(hold("d"), 5))


class Billing(RuleBasedStateMachine):
    """Cells run, networks break, processes die and start again; a provider counts what it is paid."""

    FAULTS = (
        None,
        faults.fin_on_accept,
        faults.reset_mid_body,
        faults.fin_after,
        faults.reset_after,
        faults.short_body,
        refuses(500, executed=True),
        refuses(503),
        refuses(429, Retry_After="0"),
        says(b"half of the"),
        refuses(402, {"message": "no credit"}),
    )

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="diarnb-machine-")
        self._before = os.environ["DIARNB_HOME"]
        os.environ["DIARNB_HOME"] = self._folder.name
        self._serving = serving()
        self.service = self._serving.__enter__()
        self.known: dict[int, pd.DataFrame] = {}

    def teardown(self) -> None:
        self.service.plan.clear()
        for number in self.known:
            assert ask(self.service.origin, sound(number)).equals(self.known[number])
        self._serving.__exit__(None, None, None)
        os.environ["DIARNB_HOME"] = self._before
        self._folder.cleanup()

    def _ask(self, number: int) -> None:
        try:
            turns = ask(self.service.origin, sound(number))
        except (errors.PaymentRequiredError, errors.SubmissionUncertainError, errors.ApiConnectionError):
            return
        if number in self.known:
            assert turns.equals(self.known[number])
        self.known[number] = turns

    @rule(number=st.integers(0, 2), fault=st.sampled_from(FAULTS), second=st.sampled_from(FAULTS))
    def run_a_cell(self, number: int, fault: Any, second: Any) -> None:
        self.service.plan["POST /v1/diarize"] = [each for each in (fault, second) if each is not None]
        self._ask(number)

    @rule(number=st.integers(0, 2), step=st.integers(0, 30), fault=st.sampled_from(FAULTS))
    def die_in_a_cell(self, number: int, step: int, fault: Any) -> None:
        def crash() -> None:
            raise Crash

        self.service.plan["POST /v1/diarize"] = [] if fault is None else [fault]
        try:
            with at_step(step, crash):
                self._ask(number)
        except Crash:
            pass

    @rule(number=st.integers(0, 2), route=st.sampled_from(["GET /v1/jobs/", "GET /v2/jobs", "PUT /upload/"]))
    def break_something_else(self, number: int, route: str) -> None:
        self.service.plan = {route: [faults.fin_after, refuses(503)]}
        self._ask(number)

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        assert self.service.double_billed == 0

    @invariant()
    def what_was_answered_is_kept(self) -> None:
        table = diarnb.runs()
        assert (table["state"] == "succeeded").sum() >= len(self.known)


TestBilling = Billing.TestCase
TestBilling.settings = settings(
    max_examples=6, stateful_step_count=8, suppress_health_check=list(HealthCheck), derandomize=True
)
