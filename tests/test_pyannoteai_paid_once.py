"""Whatever happens to a submission to pyannoteAI, it is billed once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import diarnb
from diarnb import cloud, errors
from diarnb.engines.pyannoteai import PyannoteAIEngine
from diarnb.store.ledger import Ledger
from tests import faultserver as faults
from tests.clouds import Crash, ask, at_step, hasty, sound, states
from tests.faultserver import KEY, POST, FaultServer, refuses, says

if TYPE_CHECKING:
    import pandas as pd

BILLED_ONCE = {
    "closed after the request": faults.fin_after,
    "reset after the request": faults.reset_after,
    "silence after the request": faults.silent_after,
    "the answer stalls": faults.stalls,
    "the answer is short": faults.short_body,
    "a chunk is cut": faults.cut_chunks,
    "a chunk is illegal": faults.broken_chunks,
    "the answer drips": faults.drips_body,
    "the headers drip": faults.drips_headers,
    "the answer comes in slices": faults.slices,
    "early hints": faults.early_hints,
    "500 though done": refuses(500, executed=True),
    "502 page though done": refuses(502, b"<html><title>Bad gateway</title>", kind="text/html", executed=True),
    "429": refuses(429, {"message": "slow down"}, Retry_After="0"),
    "429 with nonsense": refuses(429, Retry_After="9" * 36),
    "a login page": says(b"<title>Sign in to hotel wifi</title>", kind="text/html"),
    "nothing": says(b""),
    "half of the JSON": says(b'{"jobId": "3c8a'),
    "no id": faults.changed(lambda found: found.pop("jobId") and None),
    "an id that leads elsewhere": faults.changed(lambda found: found.update(jobId="a/../b")),
    "a list": says([1, 2]),
    "garbage in gzip": says(b"no gzip at all", Content_Encoding="gzip"),
    "huge headers": faults.huge_headers,
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", BILLED_ONCE.values(), ids=BILLED_ONCE)
def test_whatever_happens_to_the_submission_it_is_billed_once(service: FaultServer, fault: faults.Fault) -> None:
    expected = ask(service.origin, sound(), model="precision-2")  # another submission, of the same sound
    service.billed.clear()
    service.plan[POST] = [fault]
    turns = ask(service.origin, sound())
    assert turns.equals(expected)
    assert list(service.billed.values()) == [1]
    assert states() == ["succeeded", "succeeded"]


NOT_DONE = {
    "reset on accept": faults.reset_on_accept,
    "closed on accept": faults.fin_on_accept,
    "reset in the body": faults.reset_mid_body,
    "500": refuses(500),
    "503": refuses(503, Retry_After="0"),
    "504": refuses(504, b"<title>Gateway time-out</title>", kind="text/html"),
    "a redirect": refuses(307, Location="https://elsewhere.example.org/"),
    **{str(status): refuses(status) for status in (408, 409, 425)},
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", NOT_DONE.values(), ids=NOT_DONE)
def test_absence_is_no_proof_and_nothing_is_sent_again_without_consent(
    service: FaultServer, fault: faults.Fault
) -> None:
    service.plan[POST] = [fault]
    for _ in range(2):
        with pytest.raises(errors.SubmissionUncertainError, match="resubmit=True"):
            ask(service.origin, sound())
    assert service.asked[POST] == 1
    assert states() == ["uncertain"]
    assert len(ask(service.origin, sound(), resubmit=True)) == 2
    assert list(service.billed.values()) == [1]
    assert states() == ["succeeded"]


REFUSALS = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.PaymentRequiredError,
    403: errors.PermissionDeniedError,
    413: errors.PayloadTooLargeError,
    415: errors.UnsupportedMediaError,
    422: errors.UnprocessableError,
}


@pytest.mark.parametrize(("status", "kind"), REFUSALS.items())
def test_a_refusal_is_final_and_says_why(service: FaultServer, status: int, kind: type[errors.ApiStatusError]) -> None:
    said = {"message": "Invalid request", "errors": [{"field": "numSpeakers", "message": "too many"}]}
    service.plan[POST] = [refuses(status, said)]
    with pytest.raises(kind) as caught:
        ask(service.origin, sound(), num_speakers=40)
    assert caught.value.status == status
    assert "num_speakers: too many" in str(caught.value)
    assert len(str(caught.value)) <= 400
    assert service.asked[POST] == 1
    assert states() == ["prepared"]
    ask(service.origin, sound(), num_speakers=40)  # and the upload is still good
    assert service.asked["PUT /upload/"] == 1


def test_a_long_rate_limit_is_told_at_once(service: FaultServer) -> None:
    service.plan[POST] = [refuses(429, {"message": "busy"}, Retry_After="3600")]
    with pytest.raises(errors.RateLimitedError) as caught:
        ask(service.origin, sound())
    assert caught.value.retry_after == 3600
    assert service.asked[POST] == 1


def list_breaks_after(service: FaultServer, fault: faults.Fault) -> None:
    def breaks(exchange: faults.Exchange) -> None:
        service.plan["GET /v2/jobs"] = [refuses(500)] * 99
        fault(exchange)

    service.plan[POST] = [breaks]


def colleague(service: FaultServer, fault: faults.Fault) -> None:
    """Let a colleague submit with the same account at the moment of our submission, which meets a fault."""

    def meanwhile(exchange: faults.Exchange) -> None:
        body = b'{"url": "https://example.org/other.wav"}'
        with service.lock:
            service.create(faults.Request("POST", "/v1/diarize", {}, {}, body))
        fault(exchange)

    service.plan[POST] = [meanwhile]


def test_without_the_job_list_nothing_is_sent_again_and_the_next_call_finds_the_job(service: FaultServer) -> None:
    list_breaks_after(service, faults.fin_after)
    with pytest.raises(errors.SubmissionUncertainError, match="cannot be read now") as caught:
        ask(service.origin, sound())
    assert "sent again" in str(caught.value)
    service.plan.clear()
    assert states() == ["uncertain"]
    assert service.asked[POST] == 1
    ask(service.origin, sound())
    assert service.asked[POST] == 1
    assert list(service.billed.values()) == [1]


def test_of_two_jobs_that_could_be_it_none_is_taken(service: FaultServer) -> None:
    colleague(service, faults.fin_after)
    with pytest.raises(errors.SubmissionUncertainError) as caught:
        ask(service.origin, sound())
    assert set(caught.value.candidates) == set(service.jobs)
    assert states() == ["uncertain"]
    with pytest.raises(errors.SubmissionUncertainError):
        ask(service.origin, sound())
    assert service.asked[POST] == 1
    ask(service.origin, sound(), resubmit=True)
    assert service.asked[POST] == 2


def test_resuming_the_right_candidate_settles_the_doubt(service: FaultServer) -> None:
    colleague(service, faults.fin_after)
    with pytest.raises(errors.SubmissionUncertainError) as caught:
        ask(service.origin, sound())
    mine = caught.value.candidates[0]  # the newest
    assert service.jobs[mine]["content"] in service.media.values()
    turns = diarnb.resume(mine, engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
    assert turns.attrs["diarnb"]["source"] == "samples"
    assert ask(service.origin, sound()).equals(turns)
    assert service.asked[POST] == 1
    assert states() == ["succeeded"]


def test_a_job_of_a_longer_recording_is_not_taken_for_this_one(service: FaultServer) -> None:
    service.output = lambda request, content: {"diarization": [{"speaker": "SPEAKER_00", "start": 0, "end": 99.0}]}
    colleague(service, faults.fin_on_accept)
    with pytest.raises(errors.SubmissionUncertainError, match="longer recording"):
        ask(service.origin, sound())
    assert states() == ["uncertain"]


@pytest.mark.slow
def test_the_same_recording_from_several_threads_is_submitted_once(service: FaultServer) -> None:
    for number in range(8):
        tables: list[pd.DataFrame] = []
        work = [lambda n=number, found=tables: found.append(ask(service.origin, sound(n)))] * 4
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(tables) == 4
        assert all(table.equals(tables[0]) for table in tables)
        assert len(service.jobs) == number + 1


def test_who_uploads_while_another_call_is_answered_does_not_submit_again(service: FaultServer) -> None:
    uploading, go_on = threading.Event(), threading.Event()

    def held(exchange: faults.Exchange) -> None:
        exchange.read_body()
        uploading.set()
        assert go_on.wait(60)
        exchange.reply(*exchange.execute())

    service.plan["PUT /upload/"] = [held]
    tables: list[pd.DataFrame] = []
    slow = threading.Thread(target=lambda: tables.append(ask(service.origin, sound(), hasty(read=60.0))))
    slow.start()
    assert uploading.wait(60)
    tables.append(ask(service.origin, sound()))  # from the upload to the run in the store; the ledger has no row now
    assert Ledger().of_service("pyannoteai", service.origin) == []
    go_on.set()
    slow.join()
    assert len(service.jobs) == 1
    assert tables[0].equals(tables[1])
    assert states() == ["succeeded"]


def test_who_uploads_while_another_call_waits_for_its_job_waits_for_that_too(service: FaultServer) -> None:
    service.polls = 10**9
    uploading, go_on = threading.Event(), threading.Event()

    def held(exchange: faults.Exchange) -> None:
        exchange.read_body()
        uploading.set()
        assert go_on.wait(60)
        exchange.reply(*exchange.execute())

    service.plan["PUT /upload/"] = [held]
    tables: list[pd.DataFrame] = []
    calls = [threading.Thread(target=lambda: tables.append(ask(service.origin, sound(), hasty(read=60.0))))]
    calls += [threading.Thread(target=lambda: tables.append(ask(service.origin, sound())))]
    calls[0].start()
    assert uploading.wait(60)
    calls[1].start()
    until = time.monotonic() + 60
    while not service.asked["GET /v1/jobs/"] and time.monotonic() < until:
        time.sleep(0.01)
    go_on.set()  # what the first has uploaded now must not undo what the second has submitted since
    asked = service.asked["GET /v1/jobs/"]
    while service.asked["GET /v1/jobs/"] < asked + 20 and time.monotonic() < until:
        time.sleep(0.01)
    service.polls = 1
    for call in calls:
        call.join()
    assert len(service.jobs) == 1
    assert tables[0].equals(tables[1])


def test_a_delivery_of_a_job_in_doubt_does_not_hide_it(service: FaultServer) -> None:
    list_breaks_after(service, faults.fin_after)
    with pytest.raises(errors.SubmissionUncertainError):
        ask(service.origin, sound())
    (job,) = service.jobs
    cloud.from_payload(service.job(job)[1])  # a webhook's, whose job nobody knows yet
    service.plan.clear()
    assert len(ask(service.origin, sound())) == 2
    assert list(service.jobs) == [job]


def test_who_had_looked_before_another_call_was_answered_does_not_submit_again(
    service: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    diarize = PyannoteAIEngine.diarize

    def late(self: PyannoteAIEngine, *arguments: Any) -> Any:
        monkeypatch.undo()
        ask(service.origin, sound())  # after this call found nothing in the store, and before it looks at the ledger
        return diarize(self, *arguments)

    monkeypatch.setattr(PyannoteAIEngine, "diarize", late)
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == 1


@pytest.mark.slow
def test_the_same_recording_from_several_processes_is_submitted_once(service: FaultServer) -> None:
    service.polls = 5
    command = [sys.executable, "-m", "tests.clouds", service.origin, "1", "-1"]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0] * 3
    assert len(set(told)) == 1
    assert len(service.jobs) == 1


def steps_of_one_call(service: FaultServer) -> list[str]:
    with at_step(-1, lambda: None) as seen:
        ask(service.origin, sound(99))
    return seen


@pytest.mark.slow
def test_a_crash_at_any_step_loses_nothing_and_bills_nothing_twice(service: FaultServer) -> None:
    def crash() -> None:
        raise Crash

    steps = steps_of_one_call(service)
    assert len(steps) >= 25
    expected = None
    uncertain: list[str] = []
    for number, name in enumerate(steps):
        with at_step(number, crash), pytest.raises(Crash):
            ask(service.origin, sound(number))
        try:
            turns = ask(service.origin, sound(number))
        except errors.SubmissionUncertainError:  # told to be sent, and not sent
            turns = ask(service.origin, sound(number), resubmit=True)
            uncertain.append(name)
        assert service.double_billed == 0, name
        assert len(service.jobs) == number + 2, name
        assert list(turns["speaker"]) == ["SPEAKER_01", "SPEAKER_00"], name
        expected = turns if expected is None else expected
    assert uncertain == ["after change"]
    assert set(states()) == {"succeeded"}
    assert len(states()) == len(steps) + 1


@pytest.mark.parametrize("moment", ["before POST", "after POST"])
def test_kill_9_around_the_submission(service: FaultServer, moment: str) -> None:
    steps = steps_of_one_call(service)
    at = [number for number, name in enumerate(steps) if name == moment][-1]
    child = subprocess.run([sys.executable, "-m", "tests.clouds", service.origin, "1", str(at)], check=False)
    assert child.returncode == -9
    (row,) = Ledger().of_service("pyannoteai", service.origin)
    assert row.state == ("prepared" if moment == "before POST" else "sent")
    assert len(ask(service.origin, sound(1))) == 2
    assert service.double_billed == 0
    assert len(service.jobs) == 2


def test_an_interrupted_submission_is_looked_for(service: FaultServer) -> None:
    service.plan[POST] = [faults.silent_after]

    def interrupt(stage: str, _fraction: float) -> None:
        if stage == "submitting" and service.jobs:
            raise KeyboardInterrupt

    engine = hasty(read=30.0)
    with pytest.raises(KeyboardInterrupt, match="may have been submitted"):
        ask(service.origin, sound(), engine, progress=interrupt)
    assert states() == ["sent"]
    with pytest.warns(errors.DiarnbWarning, match="was taken for it"):
        assert len(ask(service.origin, sound(), engine)) == 2
    assert len(service.jobs) == 1
