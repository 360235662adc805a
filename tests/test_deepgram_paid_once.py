"""Whatever happens to a request, Deepgram is paid once, and a lost answer is named as one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

import diarnb
from diarnb import errors
from diarnb.engines.deepgram import DeepgramEngine
from diarnb.store.ledger import Ledger
from tests.clouds import MEETING, ask_deepgram
from tests.deepgram_server import KEY, Server, hang_up, say, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


LOST = {
    "no answer": hang_up,
    "a server error": say(502, b"<html><title>Bad gateway</title></html>", billed=True),
    "an overload": say(503, {"error_code": "Service Unavailable", "message": "later"}, billed=True, Retry_After="0"),
    "a page": say(200, b"<html><title>Sign in</title></html>", billed=True, Content_Type="text/html"),
    "half an answer": say(200, b'{"metadata": {"duration": 9', billed=True),
    "nothing": say(200, b"", billed=True),
    "another answer": say(200, {"request_id": "r"}, billed=True),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_lost_answer_is_named_and_nothing_is_sent_again_unasked(server: Server, fault: Any) -> None:
    server.faults = [fault]
    for _ in range(2):  # nor by running the cell again
        with pytest.raises(errors.AnswerLostError, match="callback=") as caught:
            ask_deepgram(server)
        assert caught.value.uncertain
        assert "meeting.flac" in str(caught.value)
        assert "resubmit=True" in str(caught.value)
        assert len(server.seen) == 1
    assert list(diarnb.runs()["state"]) == ["uncertain"]
    assert len(ask_deepgram(server, on_lost_response="rebill"))
    assert (len(server.seen), server.billed) == (2, 2)
    assert list(diarnb.runs()["state"]) == ["succeeded"]
    ask_deepgram(server)
    assert server.billed == 2


ELSEWHERE = {
    "a login page": say(200, b"<html><title>Sign in</title></html>", Content_Type="text/html", dg_request_id=""),
    "a redirect": say(307, b"", Location="https://login.example.org/", dg_request_id=""),
    "a proxy that wants a name": say(511, b"<html></html>", Content_Type="text/html", dg_request_id=""),
}


@pytest.mark.parametrize("fault", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_something_in_between_answered_never_arrived_and_is_sent_again(server: Server, fault: Any) -> None:
    server.faults = [fault]
    with pytest.raises(errors.ApiError) as caught:
        ask_deepgram(server)
    assert not isinstance(caught.value, errors.AnswerLostError)
    assert not caught.value.uncertain
    assert diarnb.runs().empty
    assert len(ask_deepgram(server))
    assert server.billed == 1


def test_a_proxys_error_is_told_from_one_of_the_service(server: Server) -> None:
    server.faults = [say(502, b"<html><title>Bad gateway</title></html>", dg_request_id="")]
    with pytest.raises(errors.AnswerLostError, match=r"bears no request id, so it is not Deepgram's") as caught:
        ask_deepgram(server)
    assert caught.value.request_id is None
    with pytest.raises(errors.AnswerLostError):
        ask_deepgram(server)
    assert len(server.seen) == 1  # it may have passed the recording on
    assert len(ask_deepgram(server, resubmit=True))
    assert server.billed == 1


@pytest.mark.parametrize("carried_out", [True, False])
def test_where_the_key_may_see_the_usage_it_says_what_became_of_a_lost_request(
    server: Server, carried_out: bool
) -> None:
    server.usage = []
    ask_deepgram(server, smart_format=True)  # known: it is not taken for the lost one
    server.faults = [say(502, {"message": "x"}, billed=carried_out)]
    told = r"lists [0-9a-f-]{36} of that time" if carried_out else "lists no such request so far"
    with pytest.raises(errors.AnswerLostError, match=told) as caught:
        ask_deepgram(server)
    assert len(str(caught.value)) <= 500


def test_a_lost_answer_is_paid_again_only_so_often(server: Server) -> None:
    server.faults = [hang_up] * 5
    with pytest.raises(errors.AnswerLostError):
        ask_deepgram(server, on_lost_response="rebill")
    assert server.billed == 3
    with pytest.raises(errors.AnswerLostError):
        ask_deepgram(server)
    assert server.billed == 3


@pytest.mark.parametrize(
    "fault",
    [
        say(429, {"err_code": "TOO_MANY_REQUESTS", "err_msg": "Too many requests."}),
        say(408, {"err_code": "SLOW_UPLOAD"}),
    ],
)
def test_what_was_certainly_not_done_is_tried_again(server: Server, fault: Any) -> None:
    server.faults = [fault]
    assert len(ask_deepgram(server))
    assert (len(server.seen), server.billed) == (2, 1)
    assert all(seen.body == MEETING.read_bytes() for seen in server.seen)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            {"err_code": "Bad Request", "err_msg": "Bad Request: No such model", "request_id": "r"},
            "BadRequestError",
        ),
        (400, {"category": "INVALID_JSON", "message": "Invalid", "details": "x"}, "BadRequestError"),
        (400, {"err_msg": "failed to process audio: corrupt or unsupported data"}, "UnsupportedMediaError"),
        (402, {"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "no credits"}, "PaymentRequiredError"),
        (403, {"err_code": "INSUFFICIENT_PERMISSIONS", "err_msg": "no"}, "PermissionDeniedError"),
        (413, b"too large", "PayloadTooLargeError"),
    ],
)
def test_a_refusal_is_told_by_its_kind_and_leaves_nothing_open(
    server: Server, status: int, body: Any, kind: str
) -> None:
    server.faults = [say(status, body)]
    with pytest.raises(getattr(errors, kind)):
        ask_deepgram(server)
    assert len(server.seen) == 1
    assert Ledger().table().empty
    assert len(ask_deepgram(server))


def test_who_asks_the_same_at_the_same_time_waits_for_the_answer(server: Server) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def slowly(answer: Any) -> Any:
        arrived.set()
        assert go_on.wait(30)
        return answer

    server.change = slowly
    tables: list[pd.DataFrame] = []
    threads = [threading.Thread(target=lambda: tables.append(ask_deepgram(server))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert arrived.wait(30)
    time.sleep(0.3)  # for the others to come as far as they can; too short a time would only prove less
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(tables) == 4
    assert server.billed == 1


def test_who_had_looked_before_another_call_was_answered_asks_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    diarize = DeepgramEngine.diarize

    def late(self: DeepgramEngine, *arguments: Any) -> Any:
        monkeypatch.undo()
        ask_deepgram(server)  # after this call found nothing in the store, and before it looks at the ledger
        return diarize(self, *arguments)

    monkeypatch.setattr(DeepgramEngine, "diarize", late)
    assert len(ask_deepgram(server))
    assert server.billed == 1


@pytest.mark.slow
def test_who_asks_the_same_in_several_processes_pays_once(server: Server) -> None:
    command = [sys.executable, "-c", CHILD, str(MEETING), server.origin, KEY]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait() for child in children] == [0] * 3
    assert server.billed == 1


@pytest.mark.slow
def test_an_interrupt_while_sending_leaves_nothing_in_doubt(server: Server) -> None:
    def stop(stage: str, fraction: float) -> None:
        if stage == "sending":
            raise KeyboardInterrupt

    long = np.random.default_rng(0).normal(0, 0.1, 16_000 * 900).astype(np.float32)  # more than sockets buffer
    server.stalled = threading.Event()
    try:
        with pytest.raises(KeyboardInterrupt):
            ask_deepgram(server, (long, 16_000), progress=stop)
    finally:
        server.stalled.set()
    assert Ledger().table().empty
    assert len(ask_deepgram(server, (long, 16_000)))
    assert server.billed == 1


CHILD = """
import sys, diarnb
diarnb.diarize(sys.argv[1], engine="deepgram", base_url=sys.argv[2], api_key=sys.argv[3], progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("complete", [False, True], ids=["while it is sent", "when it has been sent"])
def test_a_killed_process_leaves_behind_what_is_certain(server: Server, tmp_path: Path, complete: bool) -> None:
    path = tmp_path / "long.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000 * 900)
    soundfile.write(path, noise, 16_000, "PCM_16")
    arrived, go_on = threading.Event(), threading.Event()

    def slowly(answer: Any) -> Any:
        arrived.set()
        go_on.wait(60)
        return answer

    server.change = slowly
    server.stalled = None if complete else threading.Event()
    child = subprocess.Popen([sys.executable, "-c", CHILD, path, server.origin, KEY])
    try:
        if complete:
            assert arrived.wait(60)
        else:
            until = time.monotonic() + 60
            while not server.seen and time.monotonic() < until:
                time.sleep(0.01)
            assert server.seen
    finally:
        child.kill()
        child.wait()
        go_on.set()
        if server.stalled is not None:
            server.stalled.set()
    assert list(diarnb.runs()["state"]) == ["sent"]
    if complete:
        with pytest.raises(errors.AnswerLostError, match="earlier call"):
            ask_deepgram(server, path)
    else:
        assert len(ask_deepgram(server, path))  # it cannot have been carried out
    assert server.billed == 1


def test_an_answer_that_was_written_is_not_lost_whatever_happens_then(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Ledger.change

    def dying(ledger: Ledger, row: Any, **changes: Any) -> Any:
        if changes.get("state") == "succeeded":
            raise errors.StoreError("the disk is full")
        return plain(ledger, row, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "change", dying)
        with pytest.raises(errors.StoreError):
            ask_deepgram(server)
    assert list(diarnb.runs()["state"]) == ["uncertain"]
    assert len(ask_deepgram(server))
    assert server.billed == 1
    assert list(diarnb.runs()["state"]) == ["succeeded"]


def test_an_interrupt_while_waiting_says_what_it_costs(server: Server) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def slowly(answer: Any) -> Any:
        arrived.set()
        go_on.wait(60)
        return answer

    def stop(stage: str, fraction: float) -> None:
        if arrived.is_set():
            raise KeyboardInterrupt

    server.change = slowly
    try:
        with pytest.raises(KeyboardInterrupt, match="bills it"):
            ask_deepgram(server, progress=stop)
    finally:
        go_on.set()
    with pytest.raises(errors.AnswerLostError):
        ask_deepgram(server)
    assert server.billed == 1
