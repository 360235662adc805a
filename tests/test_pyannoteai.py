"""pyannoteAI: what is asked and answered, and above all that nothing is paid twice."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import cloud, errors
from diarnb.engines.pyannoteai import PyannoteAIEngine
from diarnb.params import Params
from diarnb.store import Store
from tests import faultserver as faults
from tests.clouds import ask, hasty, sound
from tests.faultserver import KEY, POST, FaultServer, says

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


def test_a_missing_key_says_where_to_put_it() -> None:
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


def test_a_call_works_inside_a_running_loop(service: FaultServer) -> None:
    import asyncio

    async def cell() -> tuple[int, int]:
        return len(ask(service.origin, sound())), len(
            await diarnb.diarize_async(sound(1), engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
        )

    assert asyncio.run(cell()) == (2, 2)


def key() -> Any:
    from diarnb.engines.cloud.keys import Secret

    return Secret(KEY, "api_key=")


def quiet(_stage: str, _fraction: float) -> None: ...


def test_recorded_answer_of_the_vendor_is_read() -> None:
    recorded = json.loads('{"diarization": [{"speaker": "SPEAKER_00", "start": 3.045, "end": 5.845}]}')
    read = PyannoteAIEngine().read({"status": "succeeded", "output": recorded}, Params(), {})
    assert read["diarization"] == [{"start": 3.045, "end": 5.845, "speaker": "SPEAKER_00"}]
