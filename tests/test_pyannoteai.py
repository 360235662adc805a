"""pyannoteAI: what is asked and answered, and above all that nothing is paid twice."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import cloud, errors
from diarnb.engines.cloud.paid_jobs import Waits
from diarnb.engines.pyannoteai import PyannoteAIEngine
from diarnb.params import Params
from diarnb.store import Store
from diarnb.store.ledger import Ledger
from tests import faultserver as faults
from tests.clouds import Crash, ask, at_step, hasty, sound
from tests.faultserver import KEY, FaultServer, refuses, says, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POST = "POST /v1/diarize"


@pytest.fixture
def service() -> Iterator[FaultServer]:
    with serving() as server:
        yield server


def state() -> list[str]:
    return list(diarnb.runs()["state"])


# What is asked, and what is answered.


def test_a_recording_becomes_a_table_of_turns(service: FaultServer) -> None:
    turns = ask(service.origin, diarnb.example("interview"))
    assert list(turns) == ["start", "end", "duration", "speaker"]
    assert list(turns["speaker"]) == ["SPEAKER_01", "SPEAKER_00"]  # the vendor's own labels
    facts = turns.attrs["diarnb"]
    assert (facts["engine"], facts["model"], facts["source"]) == ("pyannoteai", "service default", "interview.flac")
    (sent,) = [request for request in service.received if request.route == POST]
    digest = hashlib.sha256(diarnb.example("interview").read_bytes()).hexdigest()
    assert sent.json() == {"url": f"media://diarnb/{digest}"}
    (put,) = [request for request in service.received if request.method == "PUT"]
    assert put.body == diarnb.example("interview").read_bytes()
    assert "authorization" not in put.headers
    assert "content-type" not in put.headers


def test_what_is_asked_is_sent_under_the_vendors_names(service: FaultServer) -> None:
    wishes: dict[str, Any] = {
        "model": "precision-2",
        "min_speakers": np.int64(2),
        "max_speakers": 3,
        "exclusive": True,
        "confidence": True,
        "turn_level_confidence": True,
        "transcription": True,
        "transcription_config": {"model": "faster-whisper-large-v3-turbo"},
        "speaker_probability": True,
        "webhook": "https://example.org/hook",
        "webhook_status_only": True,
    }
    turns = ask(service.origin, sound(), **wishes)
    (sent,) = [request.json() for request in service.received if request.route == POST]
    sent.pop("url")
    assert sent == {
        "model": "precision-2",
        "minSpeakers": 2,
        "maxSpeakers": 3,
        "exclusive": True,
        "confidence": True,
        "turnLevelConfidence": True,
        "transcription": True,
        "transcriptionConfig": {"model": "faster-whisper-large-v3-turbo"},
        "speakerProbability": True,
        "webhook": "https://example.org/hook",
        "webhookStatusOnly": True,
    }
    assert list(turns["confidence"]) == [90.0, 40.0]
    assert list(turns["text"]) == ["Hello,", "Beth."]
    words = diarnb.words(turns)
    assert list(words["word"]) == ["hello", "beth"]
    assert list(words["speaker"]) == ["SPEAKER_01", "SPEAKER_00"]
    frames = diarnb.frames(turns)
    assert frames.attrs["resolution"] == 0.02
    assert list(frames) == ["start", "end", "confidence", "SPEAKER_00", "SPEAKER_01"]
    assert list(frames["confidence"]) == [100.0] * 40 + [55.0] * 10
    assert set(frames["SPEAKER_00"]) == {25.0}
    alone = diarnb.exclusive(turns)
    assert alone.attrs["diarnb"]["exclusive"] == "engine"
    assert alone["start"][1] == alone["end"][0]
    assert list(diarnb.confidences(turns).loc[0]) == [10.0, 90.0]
    assert diarnb.raw(turns)["output"]["confidence"]["score"][-1] == 55
    renamed = diarnb.rename(turns, {"SPEAKER_01": "Beth"})
    assert list(diarnb.words(renamed)["speaker"]) == ["Beth", "SPEAKER_00"]
    assert "Beth" in diarnb.frames(renamed)


def test_where_no_model_is_named_the_service_decides_and_nothing_is_refused(service: FaultServer) -> None:
    turns = ask(service.origin, sound(), transcription=True)
    assert list(turns["text"]) == ["Hello,", "Beth."]
    known = {"Beth": "pyannoteai:precision-9:AAAA"}
    assert len(ask(service.origin, sound(1), voiceprints=known, matching={"threshold": 20})) == 2
    sent = [request.json() for request in service.received if request.route in (POST, "POST /v1/identify")]
    assert all("model" not in request for request in sent)
    told = faults.changed(lambda found: found.get("output") and found["output"].update(model="precision-4"))
    service.plan["GET /v1/jobs/"] = [told]
    assert ask(service.origin, sound(2)).attrs["diarnb"]["model"] == "precision-4"  # what the answer says


def test_a_model_that_the_documents_do_not_list_is_sent_with_a_remark(service: FaultServer) -> None:
    with pytest.warns(errors.DiarnbWarning, match=r"list no model 'precision-7'"):
        turns = ask(service.origin, sound(), model="precision-7")
    assert "precision-7" in turns.attrs["diarnb"]["warning"]
    (sent,) = [request.json() for request in service.received if request.route == POST]
    assert sent["model"] == "precision-7"
    assert ask(service.origin, sound(1), model="precision-2").attrs["diarnb"]["warning"] is None


def test_what_the_service_says_when_it_takes_a_job_stands_in_the_table(service: FaultServer) -> None:
    service.plan[POST] = [faults.changed(lambda found: found.update(warning="the model is deprecated"))]
    service.plan["GET /v1/jobs/"] = [faults.refuses(503)]
    with pytest.warns(errors.DiarnbWarning, match="the model is deprecated"):
        turns = ask(service.origin, sound())
    assert "deprecated" in turns.attrs["diarnb"]["warning"]


def test_frames_that_were_not_asked_for_are_a_clear_error(service: FaultServer) -> None:
    turns = ask(service.origin, sound())
    with pytest.raises(errors.RunNotFoundError, match="confidence=True"):
        diarnb.frames(turns)
    assert diarnb.words(turns).empty


def test_a_cell_that_runs_again_asks_nobody(service: FaultServer) -> None:
    first = ask(service.origin, sound())
    asked = service.asked.total()
    again = ask(service.origin, sound(), num_speakers=None)
    assert again.equals(first)
    assert again.attrs == first.attrs
    assert service.asked.total() == asked
    ask(service.origin, sound(), refresh=True)
    assert len(service.jobs) == 2


def test_the_ledger_tells_what_was_billed(service: FaultServer) -> None:
    ask(service.origin, diarnb.example("interview"))
    ask(service.origin, sound())
    second, first = diarnb.runs().to_dict("records")
    assert first["billed_seconds"] == pytest.approx(first["duration"])
    assert second["billed_seconds"] == 20.0  # the least
    assert {first["job_id"], second["job_id"]} == set(service.jobs)
    assert first["expires"] - first["created"] > pd.Timedelta(hours=23)
    assert first["state"] == "succeeded"


def test_a_link_is_passed_on_and_not_uploaded(service: FaultServer) -> None:
    link = service.origin + "/upload/talk.wav?X-Amz-Signature=canary-signature-0123456789"
    turns = ask(service.origin, link)
    (sent,) = [request.json() for request in service.received if request.route == POST]
    assert sent["url"] == link
    assert turns.attrs["diarnb"]["source"] == service.origin + "/upload/talk.wav"
    assert not service.media or all(not content for content in service.media.values())
    assert "canary" not in str(diarnb.runs().to_dict()) + str(turns.attrs)


@pytest.mark.parametrize(
    "link", ["https://10.0.0.3/a.wav", "http://127.0.0.1/a.wav", "https://[::1]/a.wav", "http://169.254.169.254/a"]
)
def test_a_link_that_only_this_network_reaches_is_refused(link: str) -> None:
    with pytest.raises(errors.InvalidParameterError, match="this network only"):
        diarnb.diarize(link, engine="pyannoteai", api_key=KEY, progress=False)


def test_a_link_to_a_web_page_is_no_direct_link(service: FaultServer) -> None:
    service.plan["GET /upload/"] = [says(b"<!DOCTYPE html><title>Sign in</title>", kind="text/html")]
    with pytest.raises(errors.NotAudioError, match="not a direct link"):
        ask(service.origin, service.origin + "/upload/share")
    assert not service.jobs


def test_the_key_can_be_tried_and_jobs_listed(service: FaultServer) -> None:
    named = {"api_key": KEY, "base_url": service.origin}
    assert cloud.check_key(**named)
    assert cloud.jobs(**named).empty
    with pytest.raises(errors.AuthenticationError):
        cloud.check_key(base_url=service.origin, api_key="another-key-than-this")
    turns = ask(service.origin, sound())
    ask(service.origin, sound(), model="precision-2")
    diarnb.forget(open_newest())
    listed = cloud.jobs(**named)
    assert list(listed["job_id"]) == list(service.jobs)[::-1]
    assert list(listed["status"]) == ["succeeded"] * 2
    assert listed["run"].isna().tolist() == [True, False]
    assert listed["run"][1] == turns.attrs["diarnb"]["run"]
    assert str(listed["created"].dtype).endswith("UTC]")
    with pytest.raises(errors.InvalidParameterError, match="pyannoteai"):
        cloud.jobs("local")


def open_newest() -> str:
    return str(diarnb.runs()["run"].iloc[0])


# What is refused before a byte is sent.

REFUSED: list[dict[str, Any]] = [
    {"num_speakers": 2, "min_speakers": 2},
    {"num_speakers": 2, "max_speakers": 2},
    {"min_speakers": 3, "max_speakers": 2},
    *({"num_speakers": value} for value in (0, -1, 2.0, 2.5, float("nan"), float("inf"), True, False, "2", "two", [2])),
    *({"min_speakers": value} for value in (0, np.float64(2), np.True_)),
    *({"max_speakers": value} for value in (0, -3, "3")),
    {"num_speaker": 2},
    {"transcribe": True},
    {"exclusive": 1},
    {"confidence": "yes"},
    {"model": ""},
    {"model": 2},
    {"channels": "split"},
    {"channels": 1},
    {"transcription": True, "model": "precision-1"},
    {"transcription": True, "model": "community-1"},
    {"transcription": "yes", "model": "precision-2"},
    {"transcription_config": {"model": "parakeet-tdt-0.6b-v3"}, "model": "precision-2"},
    {"transcription": True, "transcription_config": "parakeet", "model": "precision-2"},
    {"voiceprints": {"Beth": "AAAA"}, "transcription": True, "model": "precision-2"},
    {"voiceprints": {"Beth": "AAAA"}, "model": "community-1"},
    {"voiceprints": {"SPEAKER_07": "AAAA"}},
    {"voiceprints": {"Beth": "no voiceprint!"}},
    {"voiceprints": {}},
    {"voiceprints": ["AAAA"]},
    {"voiceprints": {"Beth": "AAAA"}, "matching": {"threshold": 101}},
    {"voiceprints": {"Beth": "AAAA"}, "matching": {"treshold": 10}},
    {"matching": {"threshold": 10}},
    {"webhook": "ftp://example.org/x"},
    {"webhook_status_only": True},
    {"speech_probability": 1},
    {"max_cost": 1.0},
    {"max_cost": -1.0, "price_per_hour": 1.0},
    {"max_cost": 0.001, "price_per_hour": 1.0},
    {"timeout": 0},
    {"timeout": "long"},
    {"resubmit": "yes"},
]


@pytest.mark.parametrize("wrong", REFUSED, ids=str)
def test_a_wrong_parameter_is_refused_before_a_byte_is_sent(service: FaultServer, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidParameterError) as caught:
        ask(service.origin, sound(), **wrong)
    assert len(str(caught.value)) <= 400
    assert service.asked.total() == 0


@pytest.mark.parametrize("wrong", ["", "   ", "Bearer abc", "key\nX-Evil: 1", "schlüssel-lang-genug", "a b c d e f g"])
def test_a_key_that_cannot_be_one_is_refused(service: FaultServer, wrong: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        ask(service.origin, sound(), api_key=wrong)
    assert service.asked.total() == 0


def test_a_missing_key_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYANNOTEAI_API_KEY", raising=False)
    with pytest.raises(errors.MissingApiKeyError, match="PYANNOTEAI_API_KEY"):
        diarnb.diarize(sound(), engine="pyannoteai", progress=False)


def test_key_and_address_come_from_the_environment(service: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYANNOTEAI_API_KEY", KEY)
    monkeypatch.setenv("PYANNOTEAI_BASE_URL", service.origin + "/v1/")
    assert len(diarnb.diarize(sound(), engine=hasty(), progress=False)) == 2


@pytest.mark.parametrize(
    "wrong", ["api.pyannote.ai", "http://api.pyannote.ai", "https://u:pw@host", "ftp://host", "https://"]
)
def test_a_wrong_address_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        ask(wrong, sound())
    assert "pw" not in str(caught.value)


# Not paid twice.

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
    assert state() == ["succeeded", "succeeded"]


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
    assert state() == ["uncertain"]
    assert len(ask(service.origin, sound(), resubmit=True)) == 2
    assert list(service.billed.values()) == [1]
    assert state() == ["succeeded"]


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
    assert state() == ["prepared"]
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
    assert state() == ["uncertain"]
    assert service.asked[POST] == 1
    ask(service.origin, sound())
    assert service.asked[POST] == 1
    assert list(service.billed.values()) == [1]


def test_of_two_jobs_that_could_be_it_none_is_taken(service: FaultServer) -> None:
    colleague(service, faults.fin_after)
    with pytest.raises(errors.SubmissionUncertainError) as caught:
        ask(service.origin, sound())
    assert set(caught.value.candidates) == set(service.jobs)
    assert state() == ["uncertain"]
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
    assert state() == ["succeeded"]


def test_a_job_of_a_longer_recording_is_not_taken_for_this_one(service: FaultServer) -> None:
    service.output = lambda request, content: {"diarization": [{"speaker": "SPEAKER_00", "start": 0, "end": 99.0}]}
    colleague(service, faults.fin_on_accept)
    with pytest.raises(errors.SubmissionUncertainError, match="longer recording"):
        ask(service.origin, sound())
    assert state() == ["uncertain"]


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
    assert state() == ["succeeded"]


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
    assert set(state()) == {"succeeded"}
    assert len(state()) == len(steps) + 1


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


# Jobs.


def test_polling_outlives_faults(service: FaultServer) -> None:
    service.polls = 4
    service.plan["GET /v1/jobs/"] = [refuses(503), faults.fin_after, faults.short_body, says(b"oops"), faults.slices]
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == 1


@pytest.mark.parametrize(
    ("status", "output", "kind"),
    [
        ("failed", {"error": "Could not load audio"}, errors.JobFailedError),
        ("failed", None, errors.JobFailedError),
        ("canceled", {}, errors.JobCanceledError),
    ],
)
def test_a_job_without_a_result_is_never_an_empty_table(
    service: FaultServer, status: str, output: Any, kind: type[errors.JobError]
) -> None:
    def end(found: dict[str, Any]) -> None:
        found.update(status=status, output=output)

    service.plan["GET /v1/jobs/"] = [faults.changed(end)]
    with pytest.raises(kind) as caught:
        ask(service.origin, sound())
    assert caught.value.job_id in service.jobs
    assert caught.value.job_id in str(caught.value)
    assert state()[0] == status
    jobs = len(service.jobs)
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == jobs + 1


def without_output(**more: Any) -> faults.Fault:
    return faults.changed(lambda found: found.update(more) or (found.pop("output") and None))


def test_a_result_that_comes_late_is_waited_for_and_is_not_expired(service: FaultServer) -> None:
    service.plan["GET /v1/jobs/"] = [without_output()] * 3
    assert len(ask(service.origin, sound())) == 2
    service.plan["GET /v1/jobs/"] = [without_output()] * 99
    with pytest.raises(errors.JobTimeoutError, match="Nothing is lost") as caught:
        ask(service.origin, sound(1))
    assert f"diarnb.resume({caught.value.job_id!r})" in str(caught.value)
    service.plan.clear()
    assert len(ask(service.origin, sound(1))) == 2
    assert len(service.jobs) == 2


def test_a_result_is_expired_by_its_age_alone_and_asked_for_again(service: FaultServer) -> None:
    old = faults.stamp(time.time() - 24.5 * 3600)
    service.plan["GET /v1/jobs/"] = [without_output(updatedAt=old)] * 2
    for _ in range(2):
        with pytest.raises(errors.JobExpiredError, match=r"resubmit=True") as caught:
            ask(service.origin, sound())
        assert f"diarnb.resume({caught.value.job_id!r})" in str(caught.value)
        assert state() == ["expired"]
    assert len(ask(service.origin, sound())) == 2  # the service had it after all
    assert len(service.jobs) == 1
    service.plan["GET /v1/jobs/"] = [without_output(updatedAt=old)]
    with pytest.raises(errors.JobExpiredError):
        ask(service.origin, sound(1))
    assert len(ask(service.origin, sound(1), resubmit=True)) == 2
    assert len(service.jobs) == 3


def test_audio_that_the_service_has_lost_is_uploaded_again(service: FaultServer) -> None:
    service.plan[POST] = [refuses(402, {"message": "no credit"})]
    with pytest.raises(errors.PaymentRequiredError):
        ask(service.origin, sound())
    service.media.clear()
    assert len(ask(service.origin, sound())) == 2
    assert service.asked["PUT /upload/"] == 2


def test_an_unknown_status_is_not_the_end_and_no_result_in_time_is_resumed(service: FaultServer) -> None:
    service.plan["GET /v1/jobs/"] = [faults.changed(lambda found: found.update(status="queued"))] * 50
    with pytest.raises(errors.JobTimeoutError, match="queued") as caught:
        ask(service.origin, sound(), timeout=0.3)
    service.plan.clear()
    turns = diarnb.resume(caught.value.job_id, engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
    assert ask(service.origin, sound()).equals(turns)
    assert len(service.jobs) == 1
    assert state() == ["succeeded"]


def test_a_job_of_another_machine_is_resumed(
    service: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask(service.origin, sound())
    (job,) = service.jobs
    monkeypatch.setenv("DIARNB_HOME", str(tmp_path / "elsewhere"))
    named: dict[str, Any] = {"engine": hasty(), "api_key": KEY, "base_url": service.origin, "progress": False}
    turns = diarnb.resume(job, **named)
    assert turns.attrs["diarnb"]["source"] == f"job {job}"
    asked = service.asked.total()
    assert diarnb.resume(job, **named).equals(turns)
    assert service.asked.total() == asked
    with pytest.raises(errors.JobNotFoundError):
        diarnb.resume("no-such-job", **named)
    with pytest.raises(errors.InvalidParameterError):
        diarnb.resume("../jobs", **named)
    assert len(diarnb.runs()) == 1


@pytest.mark.slow
def test_many_jobs_share_the_looks_at_the_list(service: FaultServer) -> None:
    service.polls = 3
    engine = PyannoteAIEngine(pace=hasty()._pace, waits=Waits(poll=0.3, first_look=0.02, search=0.3))
    tables: dict[int, pd.DataFrame] = {}
    threads = [
        threading.Thread(target=lambda n=n: tables.update({n: ask(service.origin, sound(n), engine)}))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables) == 12
    assert service.double_billed == 0
    assert service.asked["GET /v2/jobs"] > 0
    assert service.asked["GET /v1/jobs/"] < 3 * 12


@pytest.mark.parametrize(
    "wrong",
    [
        {"speaker": "SPEAKER_00", "start": 2, "end": 1},
        {"speaker": "SPEAKER_00", "start": -1, "end": 1},
        {"speaker": "SPEAKER_00", "start": 0, "end": 1e308},
        {"speaker": "SPEAKER_00", "start": 0, "end": 500},
        {"speaker": None, "start": 0, "end": 1},
        {"start": 0, "end": 1},
        {"speaker": "SPEAKER_00", "start": None, "end": 1},
        "a turn",
    ],
    ids=str,
)
def test_a_paid_answer_that_makes_no_sense_is_kept_and_not_paid_again(service: FaultServer, wrong: Any) -> None:
    service.output = lambda request, content: {"diarization": [wrong]}
    for _ in range(2):
        with pytest.raises(errors.ApiResponseError, match="kept"):
            ask(service.origin, sound())
    assert len(service.jobs) == 1
    assert Store.default().get(diarnb.runs()["run"][0]).raw["output"] == {"diarization": [wrong]}


def test_numbers_as_text_are_read(service: FaultServer) -> None:
    service.output = lambda request, content: {"diarization": [{"speaker": "SPEAKER_00", "start": "0.5", "end": "0.9"}]}
    assert ask(service.origin, sound())["end"][0] == 0.9


def test_no_speech_is_an_empty_table_and_a_remark_is_passed_on(service: FaultServer) -> None:
    service.output = lambda request, content: {"diarization": [], "warning": "cannot honour 5 speakers"}
    with pytest.warns(errors.DiarnbWarning, match="cannot honour"):
        turns = ask(service.origin, sound(), num_speakers=5)
    assert turns.empty
    assert turns["start"].dtype == float
    assert turns.attrs["diarnb"]["warning"] == "cannot honour 5 speakers"


# Uploads.


@pytest.mark.parametrize(
    "fault",
    [faults.fin_after, faults.reset_mid_body, refuses(503), faults.fin_on_accept],
    ids=["fin", "reset", "503", "accept"],
)
def test_an_upload_starts_again_from_its_beginning(service: FaultServer, fault: faults.Fault) -> None:
    service.plan["PUT /upload/"] = [fault]
    ask(service.origin, diarnb.example("interview"))
    (content,) = service.media.values()
    assert content == diarnb.example("interview").read_bytes()


def test_an_expired_address_is_replaced_twice(service: FaultServer) -> None:
    denied = refuses(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", kind="application/xml")
    service.plan["PUT /upload/"] = [denied, denied]
    assert len(ask(service.origin, sound())) == 2
    service.plan["PUT /upload/"] = [denied] * 3
    with pytest.raises(errors.UploadExpiredError) as caught:
        ask(service.origin, sound(1))
    shown = "".join(traceback.format_exception(caught.value))
    assert "canary" not in shown
    assert len(service.jobs) == 1


@pytest.mark.parametrize("target", ["http://example.org/up", "ftp://127.0.0.1/up", "https://u:p@127.0.0.1/up", None, 5])
def test_an_address_that_is_not_secure_gets_nothing(service: FaultServer, target: Any) -> None:
    service.plan["POST /v1/media/input"] = [faults.changed(lambda found: found.update(url=target))]
    with pytest.raises(errors.ApiResponseError):
        ask(service.origin, sound())
    assert service.asked["PUT /upload/"] == 0


def test_a_file_that_changes_while_it_is_sent_is_not_submitted(service: FaultServer, tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    path.write_bytes(diarnb.example("interview").read_bytes())

    def rewrite(exchange: faults.Exchange) -> None:
        exchange.read_body()
        path.write_bytes(diarnb.example("call").read_bytes())
        exchange.reply(*exchange.execute())

    service.plan["POST /v1/media/input"] = [rewrite]
    with pytest.raises(errors.AudioChangedError):
        ask(service.origin, path)
    assert not service.jobs
    assert not service.media


# Secrets, and the notebook.


def test_no_secret_shows_anywhere(
    service: FaultServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], home: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    service.plan["PUT /upload/"] = [refuses(500), refuses(403), refuses(500)]
    service.plan[POST] = [refuses(401, {"message": f"bad key at {service.origin}/x?sig=canary-signature-0123456789"})]
    engine = hasty()
    with pytest.raises(errors.AuthenticationError) as caught:
        ask(service.origin, sound(), engine)
    tree: BaseException | None = caught.value
    while tree is not None:
        shown += [repr(tree), str(tree), *map(repr, vars(tree).values())]
        frames = traceback.walk_tb(tree.__traceback__)
        ours = [frame for frame, _ in frames if frame.f_globals.get("__name__", "").startswith("diarnb")]
        shown += [repr(frame.f_locals) for frame in ours]
        tree = tree.__cause__ or tree.__context__
    turns = ask(service.origin, sound(), engine)
    shown += [repr(vars(engine)), str(turns.attrs), diarnb.runs().to_string(), caplog.text, *capfd.readouterr()]
    shown += [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]
    assert "canary-key" not in "\n".join(shown)
    assert "canary-signature" not in "\n".join(shown)
    assert "****6789" in str(caught.value)  # enough to tell one key from another


def test_an_interrupt_says_what_goes_on(service: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    service.polls = 10**6
    began = time.monotonic()

    def interrupt(stage: str, _fraction: float) -> None:
        if stage == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        ask(service.origin, sound(), progress=interrupt)
    (job,) = service.jobs
    assert f"diarnb.resume({job!r})" in str(caught.value)
    assert time.monotonic() - began < 20
    service.polls = 1
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == 1


def test_a_call_works_inside_a_running_loop(service: FaultServer) -> None:
    import asyncio

    async def cell() -> tuple[int, int]:
        return len(ask(service.origin, sound())), len(
            await diarnb.diarize_async(sound(1), engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
        )

    assert asyncio.run(cell()) == (2, 2)


def test_an_interrupted_submission_is_looked_for(service: FaultServer) -> None:
    service.plan[POST] = [faults.silent_after]

    def interrupt(stage: str, _fraction: float) -> None:
        if stage == "submitting" and service.jobs:
            raise KeyboardInterrupt

    engine = hasty(read=30.0)
    with pytest.raises(KeyboardInterrupt, match="may have been submitted"):
        ask(service.origin, sound(), engine, progress=interrupt)
    assert state() == ["sent"]
    with pytest.warns(errors.DiarnbWarning, match="was taken for it"):
        assert len(ask(service.origin, sound(), engine)) == 2
    assert len(service.jobs) == 1


def test_without_the_service_a_known_answer_is_given() -> None:
    with serving() as service:
        ask(service.origin, sound())
    assert len(ask(service.origin, sound())) == 2
    with pytest.raises(errors.ApiConnectionError, match="cannot reach"):
        ask(service.origin, sound(1))
    assert state() == ["prepared", "succeeded"]


def key() -> Any:
    from diarnb.engines.cloud.keys import Secret

    return Secret(KEY, "api_key=")


def quiet(_stage: str, _fraction: float) -> None: ...


def test_recorded_answer_of_the_vendor_is_read() -> None:
    recorded = json.loads('{"diarization": [{"speaker": "SPEAKER_00", "start": 3.045, "end": 5.845}]}')
    read = PyannoteAIEngine().read({"status": "succeeded", "output": recorded}, Params(), {})
    assert read["diarization"] == [{"start": 3.045, "end": 5.845, "speaker": "SPEAKER_00"}]
