"""Costs, webhooks and submitting without waiting; and the private loop that all this runs on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import multiprocessing
import threading
import time
from typing import Any

import pandas as pd
import pytest

import diarnb
from diarnb import errors
from diarnb.cloud import estimate_cost, from_payload, submit, verify_webhook
from diarnb.engines.cloud import loop as _loop
from tests.clouds import ask, hasty, sound
from tests.faultserver import KEY, serving

SECRET, BODY, NOW = (
    "whs-secret",
    b'{"jobId": "j-1", "status": "succeeded", "output": {"diarization": []}}',
    1_700_000_000,
)


def signed(*, body: bytes = BODY, secret: str = SECRET, at: int = NOW, form: str = "hex") -> dict[str, str]:
    mac = hmac.new(secret.encode(), b"v0:%d:" % at + body, hashlib.sha256)
    signature = mac.hexdigest() if form == "hex" else base64.b64encode(mac.digest()).decode()
    return {"X-Request-Timestamp": str(at), "x-signature": signature}


@pytest.mark.parametrize("form", ["hex", "base64"])
@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), ["old", SECRET]], ids=["text", "bytes", "several"])
def test_a_genuine_delivery_is_read(form: str, secret: Any) -> None:
    assert verify_webhook(signed(form=form), BODY, secret, now=NOW + 290)["jobId"] == "j-1"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(secret="another"), BODY),
        (signed(), BODY.replace(b"j-1", b"j-2")),
        (signed(), json.dumps(json.loads(BODY), separators=(",", ":")).encode()),
        (signed(at=NOW - 301), BODY),
        (signed(at=NOW + 301), BODY),
        ({**signed(), "X-Request-Timestamp": "-1"}, BODY),
        ({**signed(), "X-Request-Timestamp": "9" * 40}, BODY),
        ({**signed(), "X-Request-Timestamp": "now"}, BODY),
        ({**signed(), "x-signature": ""}, BODY),
        ({**signed(), "x-signature": "ä" * 64}, BODY),
        ({**signed(), "x-signature": "a" * 1_000_000}, BODY),
        ({**signed(), "x-signature": "=" * 44}, BODY),
        ({}, BODY),
    ],
)
def test_a_delivery_that_is_not_proven_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(errors.WebhookVerificationError):
        verify_webhook(headers, body, SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", b"", [], [SECRET, ""], " "])
def test_without_a_secret_nothing_is_proven(secret: Any) -> None:
    with pytest.raises(errors.ConfigurationError):
        verify_webhook(signed(), BODY, secret, now=NOW)


def test_a_submission_is_delivered_to_a_webhook_and_is_the_run_of_its_recording() -> None:
    with serving(polls=10**6) as service:
        named: dict[str, Any] = {"api_key": KEY, "base_url": service.origin, "progress": False}
        job = submit(sound(), engine=hasty(), webhook="http://127.0.0.1:1/hook", **named)
        assert job == submit(sound(), engine=hasty(), **named)
        assert list(diarnb.runs()["state"]) == ["accepted"]
        service.polls = 1
        _, delivery = service.job(job)
        turns = from_payload(json.dumps(delivery))
        assert from_payload(delivery).equals(turns)
        asked = service.asked.total()
        assert ask(service.origin, sound()).equals(turns)
        assert service.asked.total() == asked
        assert list(diarnb.runs()["job_id"].unique()) == [job]
        (listed,) = diarnb.runs().to_dict("records")
        assert listed["billed_seconds"] == 20.0
        assert listed["expires"] - listed["created"] > pd.Timedelta(hours=23)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"jobId": "j", "status": "failed", "output": {"error": "Could not load audio"}}, errors.JobFailedError),
        ({"jobId": "j", "status": "canceled"}, errors.JobCanceledError),
        ({"jobId": "j", "status": "succeeded"}, errors.JobAcceptedError),
        ({"jobId": "j", "status": "succeeded", "output": {"diarization": [1]}}, errors.ApiResponseError),
        ({"jobId": "j", "status": "succeeded", "output": {"voiceprint": "AAAA"}}, errors.InvalidParameterError),
        ({"hello": "world"}, errors.ApiResponseError),
        (b"\xff\xfe", errors.ApiResponseError),
        ("[1]", errors.ApiResponseError),
        (b"[" * 100_000, errors.ApiResponseError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_delivery_without_a_result_is_an_error(payload: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        from_payload(payload)


def test_costs_are_told_and_kept() -> None:
    assert estimate_cost(sound(), engine="pyannoteai", price_per_hour=3.6) == pytest.approx(0.02)  # 20 s at least
    assert estimate_cost(diarnb.example("interview"), engine="local", price_per_hour=3.6) == 0
    with pytest.raises(errors.InvalidParameterError):
        estimate_cost(sound(), engine="pyannoteai", price_per_hour=-1)
    with serving() as service:
        with pytest.raises(errors.InvalidParameterError, match=r"would cost 0\.02"):
            ask(service.origin, sound(), max_cost=0.01, price_per_hour=3.6)
        assert service.asked.total() == 0
        assert len(ask(service.origin, sound(), max_cost=0.03, price_per_hour=3.6)) == 2


# The private loop.


def quiet(_stage: str, _fraction: float) -> None: ...


async def slow(report: Any) -> None:
    report("waiting", 0.5)
    await asyncio.sleep(60)


def test_the_loop_draws_in_the_callers_thread_and_stops_with_it() -> None:
    ended = threading.Event()
    drawn: list[str] = []

    async def work(report: Any) -> None:
        try:
            await slow(report)
        finally:
            ended.set()

    def progress(stage: str, _fraction: float) -> None:
        drawn.append(threading.current_thread().name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _loop.run(work, progress)
    assert ended.wait(5)
    assert drawn == [threading.current_thread().name]


def test_the_loop_runs_under_any_other_and_nested_in_itself() -> None:
    async def answer(report: Any) -> int:
        report("again", 0.5)
        await asyncio.sleep(0.3)
        return 42

    def again(_stage: str, _fraction: float) -> None:
        assert _loop.run(answer, quiet) == 42

    async def cell() -> int:
        return _loop.run(answer, again)

    assert asyncio.run(cell()) == 42


def test_many_threads_share_one_loop() -> None:
    before = threading.active_count()
    found: list[str] = []

    async def work(_report: Any) -> str:
        await asyncio.sleep(0.01)
        return threading.current_thread().name

    threads = [threading.Thread(target=lambda: found.append(_loop.run(work, quiet))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["diarnb-loop"] * 8
    assert threading.active_count() <= before + 1


def _child(queue: Any) -> None:
    async def work(_report: Any) -> int:
        return 7

    queue.put(_loop.run(work, quiet))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    async def work(_report: Any) -> int:
        return 7

    assert _loop.run(work, quiet) == 7
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    assert queue.get(timeout=30) == 7
    child.join(30)


def test_an_interrupt_is_answered_within_a_second() -> None:
    began = time.monotonic()

    def progress(stage: str, _fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _loop.run(slow, progress)
    assert time.monotonic() - began < 10  # of the 60 that it would take; the benchmark measures it
