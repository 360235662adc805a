"""The server as a pyannoteAI: every rule of its API, its own SDK, and our own client, against the local engine."""

from __future__ import annotations

import itertools
import json
import re
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import diarnb
from diarnb import cloud, errors
from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine
from diarnb.engines.pyannoteai.answers import read_answer
from diarnb.params import Params
from diarnb.server.jobs import RESULT_KEPT
from diarnb.server.pyannoteai.rules import parse_job
from diarnb.server.pyannoteai.task import TASKS
from diarnb.server.web.deliveries import check_target
from diarnb.server.web.fetcher import Fetcher
from diarnb.server.web.limits import PER_WINDOW, WINDOW, Limits
from diarnb.server.web.refusals import Refusal
from tests.clouds import hasty
from tests.loopback import answering, serving
from tests.servers import OTHER_KEY, PATIENCE, InThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

SDK_BODY = {
    "url": "media://0123456789abcdef0123456789abcdef",
    "model": "precision-2",
    "numSpeakers": None,
    "minSpeakers": None,
    "maxSpeakers": None,
    "confidence": False,
    "turnLevelConfidence": False,
    "exclusive": False,
    "transcription": False,
}
WHOLE_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
MEDIA = "media://talk.wav"
PRINTS = [{"label": "Maya", "voiceprint": "AAAA"}]
CLIENT = httpx.Client(timeout=PATIENCE)


@pytest.fixture(scope="module", autouse=True)
def _client_closed() -> Iterator[None]:
    yield
    CLIENT.close()


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    with in_thread(words="tests.test_server_pyannoteai:hear") as server:
        yield server


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of two speakers."""
    return excerpt("interview", 0, 12, tmp_path_factory.mktemp("talk") / "talk.wav")


@pytest.fixture(scope="module")
def local(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Local:
    """What the local engine says of it, in the terms of its raw answer."""
    engine = LocalEngine()
    with open_recording(talk) as recording:
        answer = engine.diarize(recording, Params(), {}, lambda stage, fraction: None)
    assert answer.evidence is not None
    return Local(answer.raw, engine.frames(answer.evidence, Params(), {}))


@pytest.fixture(scope="module")
def uploaded(server: InThread, talk: Path) -> str:
    upload(server, MEDIA, talk.read_bytes())
    return MEDIA


@dataclass
class Local:
    raw: dict[str, Any]
    frames: pd.DataFrame


def excerpt(name: str, start: float, end: float, path: Path) -> Path:
    """Cut an example, at 16 kHz."""
    samples, rate = soundfile.read(diarnb.example(name), start=int(start * 16000), stop=int(end * 16000))
    assert rate == 16000
    soundfile.write(path, samples, rate)
    return path


def hear(samples: np.ndarray, sample_rate: int) -> list[dict[str, Any]]:
    """A transcriber that hears a word every half second."""
    starts = np.arange(0, len(samples) / sample_rate - 0.5, 0.5)
    return [{"start": start, "end": start + 0.4, "text": "Word,"} for start in starts]


def call(server: Any, method: str, path: str, *, key: str | None = None, **named: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or server.key}"} | named.pop("headers", {})
    return CLIENT.request(method, server.base_url + path, headers=headers, **named)


def post(server: Any, path: str, body: Any, **named: Any) -> httpx.Response:
    return call(server, "POST", path, json=body, **named)


def upload(server: Any, media: str, content: bytes) -> None:
    url = post(server, "/v1/media/input", {"url": media}).raise_for_status().json()["url"]
    CLIENT.put(url, content=content).raise_for_status()


def ended(server: Any, path: str, body: Any, seen: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Submit a job, and look at it until it has ended."""
    created = post(server, path, body)
    assert created.status_code == 200, created.text
    assert created.json().keys() == {"jobId", "status"}
    assert created.json()["status"] == "created"
    return finished(server, created.json()["jobId"], seen)


def finished(server: Any, job_id: str, seen: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    while True:
        job = call(server, "GET", f"/v1/jobs/{job_id}").raise_for_status().json()
        if seen is not None:
            seen.append(job)
        if job["status"] not in ("created", "running"):
            return job
        time.sleep(0.02)


def fields(answer: httpx.Response) -> list[str]:
    """The fields that an answer of 400 names."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body.keys() == {"message", "errors"}
    assert body["message"] == "Invalid request"
    assert all(error.keys() == {"field", "message"} and error["message"] for error in body["errors"])
    return [error["field"] for error in body["errors"]]


# Who may ask, and what.


def test_get_v1_test_is_200_with_the_key_and_401_without(server: InThread) -> None:
    answer = call(server, "GET", "/v1/test")
    assert answer.status_code == 200
    assert answer.json() == {"status": "OK", "message": "Test connection successful"}
    refused = CLIENT.get(f"{server.base_url}/v1/test")
    assert refused.status_code == 401
    assert refused.json().keys() == {"requestId", "message"}
    assert re.fullmatch(WHOLE_UUID, refused.json()["requestId"])


@pytest.mark.parametrize(
    "given",
    [
        {"Authorization": "Bearer wrong-key-of-some-length"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dGVzdDp0ZXN0"},
        {"Authorization": "Token test-key-of-the-server"},
        {"Authorization": "test-key-of-the-server"},
        {"Authorization": "Bearer test-key-of-the-server\xfc".encode("latin-1")},
        [("Authorization", "Bearer test-key-of-the-server"), ("Authorization", "Bearer test-key-of-the-server")],
    ],
)
@pytest.mark.parametrize("path", ["/v1/test", "/v1/jobs/x", "/v2/jobs", "/v1/nothing"])
def test_a_key_that_is_not_ours_is_refused(server: InThread, given: Any, path: str) -> None:
    assert CLIENT.get(server.base_url + path, headers=given).status_code == 401


def test_the_scheme_may_be_in_any_case(server: InThread) -> None:
    headers = {"Authorization": f"bearer {server.key}"}
    assert CLIENT.get(f"{server.base_url}/v1/test", headers=headers).status_code == 200


def test_the_exact_body_of_the_sdk_is_created_and_a_count_and_a_range_are_400(server: InThread) -> None:
    created = post(server, "/v1/diarize", SDK_BODY)
    assert created.status_code == 200
    assert created.json()["status"] == "created"
    assert re.fullmatch(WHOLE_UUID, created.json()["jobId"])
    assert fields(post(server, "/v1/diarize", {**SDK_BODY, "numSpeakers": 2, "minSpeakers": 1})) == ["numSpeakers"]


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("diarize", {"url": None}, ["url"]),
    ("diarize", {"url": 5}, ["url"]),
    ("diarize", {"url": ""}, ["url"]),
    ("diarize", {"url": "talk.wav"}, ["url"]),
    ("diarize", {"url": "file:///etc/passwd"}, ["url"]),
    ("diarize", {"url": "media://a b"}, ["url"]),
    ("diarize", {"url": "media://a\n"}, ["url"]),
    ("diarize", {"url": "media://" + "a" * 248}, ["url"]),
    ("diarize", {"url": "https://example.org/talk.wav"}, ["url"]),  # unless it is allowed
    ("diarize", {"url": "http://127.0.0.1/talk.wav"}, ["url"]),
    ("diarize", {"numSpeakers": 0}, ["numSpeakers"]),
    ("diarize", {"numSpeakers": 2.5}, ["numSpeakers"]),
    ("diarize", {"numSpeakers": True}, ["numSpeakers"]),
    ("diarize", {"numSpeakers": "2"}, ["numSpeakers"]),
    ("diarize", {"minSpeakers": -1}, ["minSpeakers"]),
    ("diarize", {"maxSpeakers": []}, ["maxSpeakers"]),
    ("diarize", {"minSpeakers": 3, "maxSpeakers": 2}, ["minSpeakers"]),
    ("diarize", {"numSpeakers": 2, "maxSpeakers": 2}, ["numSpeakers"]),
    ("diarize", {"numSpeakers": 2, "minSpeakers": 2, "maxSpeakers": 2}, ["numSpeakers"]),
    ("diarize", {"model": "precision-9"}, ["model"]),
    ("diarize", {"model": ""}, ["model"]),
    ("diarize", {"model": 2}, ["model"]),
    ("diarize", {"exclusive": "yes"}, ["exclusive"]),
    ("diarize", {"confidence": 1}, ["confidence"]),
    ("diarize", {"turnLevelConfidence": "true"}, ["turnLevelConfidence"]),
    ("diarize", {"speechProbability": {}}, ["speechProbability"]),
    ("diarize", {"transcription": "no"}, ["transcription"]),
    ("diarize", {"transcriptionConfig": []}, ["transcriptionConfig"]),
    ("diarize", {"transcriptionConfig": {"model": "other"}}, ["transcriptionConfig.model"]),
    ("diarize", {"webhook": "http://example.org/hook"}, ["webhook"]),
    ("diarize", {"webhook": "https://127.0.0.1/hook"}, ["webhook"]),
    ("diarize", {"webhook": "https://"}, ["webhook"]),
    ("diarize", {"webhook": "https://[::1"}, ["webhook"]),
    ("diarize", {"webhook": 5}, ["webhook"]),
    ("diarize", {"webhookStatusOnly": "x"}, ["webhookStatusOnly"]),
    ("identify", {}, ["voiceprints"]),
    ("identify", {"voiceprints": []}, ["voiceprints"]),
    ("identify", {"voiceprints": {"Maya": "AAAA"}}, ["voiceprints"]),
    ("identify", {"voiceprints": PRINTS * 51}, ["voiceprints"]),
    ("identify", {"voiceprints": ["AAAA"]}, ["voiceprints[0]", "voiceprints[0].label", "voiceprints[0].voiceprint"]),
    ("identify", {"voiceprints": [{"label": "Maya"}]}, ["voiceprints[0].voiceprint"]),
    ("identify", {"voiceprints": [{"label": "", "voiceprint": "AAAA"}]}, ["voiceprints[0].label"]),
    ("identify", {"voiceprints": [{"label": "M" * 101, "voiceprint": "AAAA"}]}, ["voiceprints[0].label"]),
    ("identify", {"voiceprints": [{"label": "speaker_00", "voiceprint": "AAAA"}]}, ["voiceprints[0].label"]),
    ("identify", {"voiceprints": [{"label": "SPEAKER_1", "voiceprint": "AAAA"}]}, ["voiceprints[0].label"]),
    ("identify", {"voiceprints": PRINTS * 2}, ["voiceprints[1].label"]),
    ("identify", {"voiceprints": [{"label": "Maya", "voiceprint": "A" * 20001}]}, ["voiceprints[0].voiceprint"]),
    ("identify", {"voiceprints": [{"label": "Maya", "voiceprint": "no base64!"}]}, ["voiceprints[0].voiceprint"]),
    ("identify", {"voiceprints": PRINTS, "matching": {"threshold": 101}}, ["matching.threshold"]),
    ("identify", {"voiceprints": PRINTS, "matching": {"threshold": "50"}}, ["matching.threshold"]),
    ("identify", {"voiceprints": PRINTS, "matching": {"exclusive": 1}}, ["matching.exclusive"]),
    ("identify", {"voiceprints": PRINTS, "matching": []}, ["matching"]),
    ("identify", {"voiceprints": PRINTS, "model": "community-1"}, ["model"]),
    ("identify", {"voiceprints": PRINTS, "numSpeakers": 1, "maxSpeakers": 1}, ["numSpeakers"]),
    ("voiceprint", {"url": None}, ["url"]),
    ("voiceprint", {"model": "community-1"}, ["model"]),
    ("voiceprint", {"webhook": "ftp://example.org"}, ["webhook"]),
]


@pytest.mark.parametrize(("kind", "body", "wrong"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_told_by_its_field(
    server: InThread, kind: str, body: dict[str, Any], wrong: list[str]
) -> None:
    before = server.core.jobs.count("created", "running", "succeeded", "failed")
    assert fields(post(server, f"/v1/{kind}", {"url": MEDIA, **body})) == wrong
    assert server.core.jobs.count("created", "running", "succeeded", "failed") == before


def test_all_that_is_wrong_is_told_at_once(server: InThread) -> None:
    body = {"url": "nowhere", "model": "x", "minSpeakers": 0, "maxSpeakers": 1.5, "exclusive": 1, "webhook": "hook"}
    found = fields(post(server, "/v1/diarize", body))
    assert sorted(found) == ["exclusive", "maxSpeakers", "minSpeakers", "model", "url", "webhook"]


@pytest.mark.parametrize("path", ["/v1/diarize", "/v1/identify", "/v1/voiceprint", "/v1/media/input"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"5", b"\xff\xfe", b"{" * 9, b"[" * 100_000, b'{"a":' * 100_000]
    + [b'{"url": "media://a", "numSpeakers": %b}' % bad for bad in (b"NaN", b"Infinity", b"1e999", b"9" * 5000)]
    + [b'{"url": "\\ud800"}'],
    ids=lambda body: str(body[:40]),
)
def test_what_is_no_request_is_400_and_never_500(server: InThread, path: str, body: bytes) -> None:
    answer = call(server, "POST", path, content=body, headers={"Content-Type": "application/json"})
    if b"1e999" in body and path in ("/v1/media/input", "/v1/voiceprint"):
        assert answer.is_success  # it is JSON, and nobody looks at that member there
    else:
        assert fields(answer)


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = [
    "url",
    "model",
    "numSpeakers",
    "minSpeakers",
    "maxSpeakers",
    "exclusive",
    "confidence",
    "webhook",
    "webhookStatusOnly",
    "matching",
    "transcription",
    "transcriptionConfig",
    "voiceprints",
    "label",
    "voiceprint",
    "threshold",
]
ADDRESSES = st.builds("{}://{}".format, st.sampled_from(["http", "https", "media", "HTTPS"]), TEXT)
LABELLED = st.fixed_dictionaries({"label": JSON, "voiceprint": JSON}) | JSON


@pytest.mark.slow
@given(
    kind=st.sampled_from(["diarize", "identify", "voiceprint"]),
    body=st.dictionaries(st.sampled_from(MEMBERS), JSON | ADDRESSES | st.lists(LABELLED, max_size=3)) | JSON,
)
@settings(max_examples=400, derandomize=True)
def test_of_any_json_comes_a_wish_or_a_refusal(kind: str, body: Any) -> None:
    def webhook(url: str) -> str | None:
        return check_target("pyannoteai", url, ("127.0.0.1",))

    with suppress(Refusal):
        wish = parse_job(kind, body, check_url=Fetcher(("*",)).refusal, check_webhook=webhook)
        assert json.loads(json.dumps(wish.task, allow_nan=False)) == wish.task


@pytest.mark.parametrize("model", ["precision-1", "precision-2", "precision-3", "community-1", "live-1", None])
def test_every_model_of_the_documents_is_accepted(server: InThread, model: str | None) -> None:
    assert post(server, "/v1/diarize", {**SDK_BODY, "model": model}).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"somethingNew": {"deep": [1]}, "language": "en"},
        dict.fromkeys(("webhook", "webhookStatusOnly", "transcriptionConfig", "speechProbability", "model")),
        {"numSpeakers": 2.0},
        {"minSpeakers": 2, "maxSpeakers": 2},
        {"maxSpeakers": 10**30},
        {"transcriptionConfig": {"model": "parakeet-tdt-0.6b-v3", "more": 1}},
    ],
    ids=str,
)
def test_null_is_absent_and_unknown_keys_are_ignored(server: InThread, more: dict[str, Any]) -> None:
    assert post(server, "/v1/diarize", {**SDK_BODY, **more}).status_code == 200


def test_a_url_that_is_not_allowed_names_the_option(server: InThread) -> None:
    answer = post(server, "/v1/diarize", {"url": "https://example.org/talk.wav"})
    assert "--allow-url-fetch" in answer.json()["errors"][0]["message"]


# What becomes of a job.


def test_a_job_is_created_then_running_then_succeeded(server: InThread, uploaded: str) -> None:
    seen: list[dict[str, Any]] = []
    before = post(server, "/v1/diarize", {"url": uploaded}).json()["jobId"]  # keeps the one worker for a while
    job = ended(server, "/v1/diarize", {"url": uploaded}, seen)
    states = [each["status"] for each in seen]
    assert list(dict.fromkeys(states)) == ["created", "running", "succeeded"]
    for each in seen:
        expected = {"jobId", "status", "createdAt", "updatedAt"} | ({"output"} if each is seen[-1] else set())
        assert each.keys() == expected
        assert re.fullmatch(MOMENT, each["createdAt"])
        assert re.fullmatch(MOMENT, each["updatedAt"])
    assert job["output"].keys() == {"diarization"}
    assert finished(server, before)["status"] == "succeeded"


def test_turns_are_those_of_the_local_engine_as_pyannoteai_writes_them(
    server: InThread, uploaded: str, local: Local
) -> None:
    turns = ended(server, "/v1/diarize", {"url": uploaded})["output"]["diarization"]
    assert [turn["start"] for turn in turns] == sorted(turn["start"] for turn in turns)
    for turn in turns:
        assert list(turn) == ["speaker", "start", "end"]
        assert re.fullmatch(r"SPEAKER_\d\d", turn["speaker"])
        assert turn["start"] < turn["end"]
        assert all(turn[side] == round(turn[side], 3) for side in ("start", "end"))
    for turn, ours in zip(turns, local.raw["diarization"], strict=True):
        assert turn == {"speaker": ours["speaker"], "start": round(ours["start"], 3), "end": round(ours["end"], 3)}


def covered(turns: list[dict[str, Any]]) -> list[list[float]]:
    """The union of turns."""
    found: list[list[float]] = []
    for turn in sorted(turns, key=lambda turn: turn["start"]):
        if found and turn["start"] <= found[-1][1]:
            found[-1][1] = max(found[-1][1], turn["end"])
        else:
            found.append([turn["start"], turn["end"]])
    return found


def test_exclusive_output_has_the_same_coverage_as_diarization_and_no_overlap(server: InThread, tmp_path: Path) -> None:
    upload(server, "media://meeting", excerpt("meeting", 30, 55, tmp_path / "meeting.wav").read_bytes())
    output = ended(server, "/v1/diarize", {"url": "media://meeting", "exclusive": True})["output"]
    alone, turns = output["exclusiveDiarization"], output["diarization"]
    assert all(turn["end"] <= after["start"] for turn, after in itertools.pairwise(alone))
    assert any(turn["end"] > after["start"] for turn, after in itertools.pairwise(turns))  # there is overlap
    assert covered(alone) == covered(turns)


def test_scores_are_those_of_the_local_engine_every_20_ms(server: InThread, uploaded: str, local: Local) -> None:
    wanted = ("confidence", "speechProbability", "crosstalkProbability", "speakerProbability")
    output = ended(server, "/v1/diarize", {"url": uploaded, **dict.fromkeys(wanted, True)})["output"]
    assert all(output[name]["resolution"] == 0.02 for name in wanted)
    middles = 0.02 * np.arange(600) + 0.01
    frame = np.searchsorted(local.frames["start"], middles, side="right") - 1
    sure = output["confidence"]["score"]
    assert len(sure) == 600
    assert all(isinstance(score, int) and 0 <= score <= 100 for score in sure)
    np.testing.assert_allclose(sure, local.frames["confidence"].to_numpy()[frame], atol=0.51)
    for speaker, scores in output["speakerProbability"]["score"].items():
        np.testing.assert_allclose(100 * np.array(scores), local.frames[speaker].to_numpy()[frame], atol=0.06)
    speech = np.array(output["speechProbability"]["score"])
    turns = output["diarization"]
    spoken = np.any([(turn["start"] <= middles) & (middles < turn["end"]) for turn in turns], axis=0)
    assert speech[spoken].mean() > 0.9
    assert speech[~spoken].mean() < 0.5
    assert 0 <= min(output["crosstalkProbability"]["score"]) <= max(output["crosstalkProbability"]["score"]) <= 1


def test_turns_bear_a_score_for_each_speaker_where_asked(server: InThread, uploaded: str) -> None:
    body = {"url": uploaded, "turnLevelConfidence": True, "exclusive": True}
    output = ended(server, "/v1/diarize", body)["output"]
    speakers = {turn["speaker"] for turn in output["diarization"]}
    for turn in output["diarization"] + output["exclusiveDiarization"]:
        assert turn["confidence"].keys() == speakers
        assert all(isinstance(score, int) and 0 <= score <= 100 for score in turn["confidence"].values())


@pytest.mark.parametrize("body", [{"numSpeakers": 1}, {"minSpeakers": 3, "maxSpeakers": 3}], ids=str)
def test_a_count_is_honoured(server: InThread, uploaded: str, body: dict[str, int]) -> None:
    turns = ended(server, "/v1/diarize", {"url": uploaded, **body})["output"]["diarization"]
    assert len({turn["speaker"] for turn in turns}) == max(body.values())


def test_a_count_that_cannot_be_honoured_is_a_warning(server: InThread, uploaded: str) -> None:
    job = ended(server, "/v1/diarize", {"url": uploaded, "numSpeakers": 1000})
    assert job["status"] == "succeeded"
    assert "1000 speakers were asked for" in job["output"]["warning"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("media", "content", "said"),
    [
        ("media://nobody/put/this", None, "nothing was uploaded to media://nobody/put/this"),
        ("media://text", b"This is no sound at all, but plain text.\n" * 50, "media://text"),
        ("media://cut", b"RIFF\x00\x00\x00\x00WAVEfmt ", "media://cut"),
    ],
)
def test_a_failed_job_has_output_error(
    server: InThread, prints: list[dict[str, str]], media: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        upload(server, media, content)
    for kind in ("diarize", "identify", "voiceprint"):
        job = ended(server, f"/v1/{kind}", {"url": media, "voiceprints": prints})
        assert job["status"] == "failed"
        assert job["output"].keys() == {"error"}
        assert job["output"]["error"].startswith("Could not load audio")
        assert said in job["output"]["error"]
        assert str(server.folder) not in job["output"]["error"]


@pytest.mark.slow
def test_a_recording_is_fetched_from_a_host_that_is_allowed(talk: Path) -> None:
    routes = {"/talk.wav": answering(talk.read_bytes())}
    with serving(routes) as elsewhere, in_thread(allow_url_fetch=("127.0.0.1",)) as server:
        job = ended(server, "/v1/diarize", {"url": f"{elsewhere}/talk.wav?signature=secret"})
        assert job["output"]["diarization"]
        gone = ended(server, "/v1/diarize", {"url": f"{elsewhere}/gone.wav?signature=secret"})
        assert gone["output"]["error"].startswith("Could not load audio: ")
        assert "404" in gone["output"]["error"]
        assert "secret" not in gone["output"]["error"]
        assert fields(post(server, "/v1/diarize", {"url": elsewhere.replace("127.0.0.1", "localhost")})) == ["url"]
        assert not list((server.folder / "jobs").iterdir())


def test_what_is_uploaded_later_changes_nothing_for_a_job_that_was_accepted(server: InThread, talk: Path) -> None:
    upload(server, "media://changing", talk.read_bytes())
    before = post(server, "/v1/diarize", {"url": "media://changing"}).json()["jobId"]
    job = post(server, "/v1/diarize", {"url": "media://changing"}).json()["jobId"]
    upload(server, "media://changing", b"no sound")
    assert finished(server, before)["status"] == finished(server, job)["status"] == "succeeded"
    assert ended(server, "/v1/diarize", {"url": "media://changing"})["status"] == "failed"
    assert not list((server.folder / "jobs").iterdir())


def test_results_are_gone_after_24_hours(server: InThread, uploaded: str) -> None:
    job = ended(server, "/v1/diarize", {"url": uploaded})
    moment = datetime.fromisoformat(job["updatedAt"]).timestamp()
    server.call(server.core.jobs.delete_expired(moment + RESULT_KEPT - 60))
    assert finished(server, job["jobId"]) == job
    server.call(server.core.jobs.delete_expired(moment + RESULT_KEPT + 60))
    assert finished(server, job["jobId"]) == {name: job[name] for name in ("jobId", "status", "createdAt", "updatedAt")}


@pytest.mark.parametrize(
    "job_id", ["00000000-0000-4000-8000-000000000000", "x", "%00", "..%2f..", "'--", "ü" * 300, "%ff", "%ed%a0%80"]
)
def test_a_job_that_is_unknown_is_404(server: InThread, job_id: str) -> None:
    answer = call(server, "GET", f"/v1/jobs/{job_id}")
    assert answer.status_code == 404
    assert answer.json().keys() == {"requestId", "message"}


def test_a_job_of_another_key_is_404(server: InThread) -> None:
    job_id = post(server, "/v1/diarize", SDK_BODY).json()["jobId"]
    assert call(server, "GET", f"/v1/jobs/{job_id}").status_code == 200
    assert call(server, "GET", f"/v1/jobs/{job_id}", key=OTHER_KEY).status_code == 404
    assert job_id not in call(server, "GET", "/v2/jobs?limit=100", key=OTHER_KEY).text


def test_jobs_are_listed_newest_first_page_by_page(server: InThread) -> None:
    def listed(query: str = "") -> dict[str, Any]:
        return call(server, "GET", f"/v2/jobs{query}", key=OTHER_KEY).json()

    assert listed() == {"items": [], "nextCursor": None}
    made = [post(server, "/v1/diarize", SDK_BODY, key=OTHER_KEY).json()["jobId"] for _ in range(12)]
    while len(listed("?status=failed&limit=100")["items"]) < 12:  # for nothing was uploaded
        pass
    first = listed()
    assert first.keys() == {"items", "nextCursor"}
    second = listed(f"?cursor={first['nextCursor']}")
    assert second["nextCursor"] is None
    items = first["items"] + second["items"]
    assert [item["id"] for item in items] == made[::-1]
    assert len(first["items"]) == 10
    for item in items:
        assert item.keys() == {"id", "status", "type", "createdAt", "completedAt"}
        assert re.fullmatch(MOMENT, item["createdAt"])
    assert len(listed("?limit=12")["items"]) == 12
    assert listed("?limit=12")["nextCursor"] is None
    assert listed("?status=succeeded") == {"items": [], "nextCursor": None}
    assert call(server, "GET", f"/v2/jobs?cursor={made[0]}").status_code == 400  # it is somebody else's


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=", ["limit"]),
        ("limit=1.5", ["limit"]),
        ("limit=-1", ["limit"]),
        ("status=done", ["status"]),
        ("cursor=nowhere", ["cursor"]),
        ("cursor=", ["cursor"]),
        ("cursor=%ff%ed%a0%80", ["cursor"]),
        ("cursor=%00", ["cursor"]),
        ("limit=0&status=done", ["limit", "status"]),
    ],
)
def test_a_page_that_is_none_is_400(server: InThread, query: str, wrong: list[str]) -> None:
    assert fields(call(server, "GET", f"/v2/jobs?{query}")) == wrong


# Voices.


@pytest.fixture(scope="module")
def voices(server: InThread, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ten seconds of each who speaks in the interview, by name; uploaded as well."""
    samples, rate = soundfile.read(diarnb.example("interview"))
    truth = diarnb.exclusive(diarnb.read(diarnb.example("interview").with_suffix(".rttm")))
    found = {}
    for speaker, turns in truth.groupby("speaker"):
        pieces = [samples[int(start * rate) : int(end * rate)] for start, end in turns[["start", "end"]].to_numpy()]
        found[str(speaker)] = path = tmp_path_factory.mktemp("voices") / f"{speaker}.wav"
        soundfile.write(path, np.concatenate(pieces)[: 10 * rate], rate)
        upload(server, f"media://voices/{speaker}", path.read_bytes())
    return found


@pytest.fixture(scope="module")
def prints(server: InThread, voices: dict[str, Path]) -> list[dict[str, str]]:
    """Voiceprints of both, as `identify` takes them."""
    outputs = {name: ended(server, "/v1/voiceprint", {"url": f"media://voices/{name}"})["output"] for name in voices}
    assert all(output.keys() <= {"voiceprint", "warning"} for output in outputs.values())
    return [{"label": name, "voiceprint": output["voiceprint"]} for name, output in outputs.items()]


def test_voiceprints_are_made_and_known_again(server: InThread, uploaded: str, prints: list[dict[str, str]]) -> None:
    assert all(len(each["voiceprint"]) <= 20_000 for each in prints)
    body = {"url": uploaded, "voiceprints": prints, "turnLevelConfidence": True, "exclusive": True}
    output = ended(server, "/v1/identify", body)["output"]
    assert output.keys() == {"diarization", "exclusiveDiarization", "identification", "voiceprints"}
    names = {row["speaker"]: row["match"] for row in output["voiceprints"]}
    assert names == {"SPEAKER_00": "Maya", "SPEAKER_01": "Fergus"}
    for turn, who in zip(output["diarization"], output["identification"], strict=True):
        name = names[turn["speaker"]]
        assert who == {**turn, "speaker": name, "diarizationSpeaker": turn["speaker"], "match": name}
    for row in output["voiceprints"]:
        assert row["confidence"].keys() == {"Maya", "Fergus"}
        assert max(row["confidence"], key=row["confidence"].get) == row["match"]
        assert all(isinstance(score, int) and 0 <= score <= 100 for score in row["confidence"].values())


@pytest.mark.slow
def test_matching_is_as_it_is_asked_for(server: InThread, uploaded: str, prints: list[dict[str, str]]) -> None:
    maya = [each for each in prints if each["label"] == "Maya"]

    def matches(**matching: Any) -> list[str | None]:
        output = ended(server, "/v1/identify", {"url": uploaded, "voiceprints": maya, "matching": matching})["output"]
        assert [turn["match"] is None for turn in output["identification"]] == [
            turn["speaker"].startswith("SPEAKER_") for turn in output["identification"]
        ]
        return [row["match"] for row in output["voiceprints"]]

    assert matches() == ["Maya", None]  # one voiceprint, one speaker
    assert matches(exclusive=False) == ["Maya", "Maya"]  # without a threshold everything matches
    assert matches(exclusive=False, threshold=50) == ["Maya", None]


def test_a_voiceprint_of_another_maker_fails_and_says_whose(server: InThread, uploaded: str) -> None:
    body = {"url": uploaded, "voiceprints": [{"label": "Maya", "voiceprint": "A" * 2000}]}
    job = ended(server, "/v1/identify", body)
    assert job["status"] == "failed"
    assert "'Maya'" in job["output"]["error"]
    assert "/v1/voiceprint" in job["output"]["error"]


def test_a_voiceprint_is_of_one_speaker_and_at_most_30_s(server: InThread, uploaded: str) -> None:
    upload(server, "media://long", diarnb.example("interview").read_bytes())
    long = ended(server, "/v1/voiceprint", {"url": "media://long"})
    assert (long["status"], list(long["output"])) == ("failed", ["error"])
    assert "30 s" in long["output"]["error"]
    two = ended(server, "/v1/voiceprint", {"url": uploaded})
    assert (two["status"], list(two["output"])) == ("failed", ["error"])
    assert two["output"]["error"].startswith("2 people speak in media://talk.wav")


# Words.


def test_words_have_speakers_and_turns_have_text(server: InThread, uploaded: str) -> None:
    output = ended(server, "/v1/diarize", {"url": uploaded, "transcription": True, "exclusive": True})["output"]
    words, turns = output["wordLevelTranscription"], output["turnLevelTranscription"]
    assert words
    assert all(word.keys() == {"start", "end", "text", "speaker"} and word["text"] == "Word," for word in words)
    assert all(turn.keys() == {"start", "end", "text", "speaker"} for turn in turns)
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)
    assert sum(turn["text"].count("Word,") for turn in turns) == len(words)
    alone = output["exclusiveDiarization"]
    for side in ("start", "end"):
        assert {turn[side] for turn in turns} <= {turn[side] for turn in alone}
    assert all(turn["end"] <= after["start"] for turn, after in itertools.pairwise(turns))
    for word in words:
        same = [turn for turn in alone if turn["speaker"] == word["speaker"]]
        assert any(turn["start"] < word["end"] + 0.5 and word["start"] < turn["end"] + 0.5 for turn in same)


@pytest.mark.slow
def test_without_a_transcriber_the_answer_has_no_words_and_says_so(talk: Path) -> None:
    task = {"do": "pyannoteai.diarize", "file": str(talk), "name": MEDIA, "bounds": {"num_speakers": 2}}
    scores = ("confidence", "speech_probability", "crosstalk_probability", "speaker_probability")
    task |= dict.fromkeys(("exclusive", "turn_level_confidence", *scores), False)
    line: Any = None  # nobody is told in the middle
    found = TASKS["pyannoteai.diarize"]({**task, "transcription": True, "words": None}, line)
    read = read_answer({"status": "succeeded", "output": json.loads(found)})
    assert read["diarization"]
    assert read["words"] == read["utterances"] == []
    assert "no transcriber" in read["warning"]


# Limits.


def test_there_are_no_limits_unless_they_are_asked_for(server: InThread) -> None:
    assert not any("ratelimit" in name.lower() for name in call(server, "GET", "/v2/jobs").headers)


@pytest.mark.slow
def test_vendor_limits_are_told_in_every_answer_and_kept() -> None:
    with in_thread(rate_limits="vendor") as server, httpx.Client(base_url=server.base_url) as client:
        client.headers = server.bearer
        for path, most in (("/v1/media/input", 100), ("/v2/jobs", 300)):
            method, body = ("POST", {"url": MEDIA}) if most == 100 else ("GET", None)
            for left in range(most - 1, -1, -1):
                answer = client.request(method, path, json=body)
                assert answer.is_success, answer.text
                assert answer.headers["X-RateLimit-Limit"] == str(most)
                assert answer.headers["X-RateLimit-Remaining"] == str(left)
                assert 0 < int(answer.headers["X-RateLimit-Reset"]) <= 60
            refused = client.request(method, path, json=body)
            assert refused.status_code == 429
            assert refused.json().keys() == {"requestId", "message"}
            assert refused.headers["X-RateLimit-Remaining"] == "0"
            assert 0 < int(refused.headers["Retry-After"]) <= 60
        wrong = client.post("/v1/diarize", json={})
        assert wrong.status_code == 400
        assert wrong.headers["X-RateLimit-Remaining"] == "99"
        client.headers = {"Authorization": f"Bearer {OTHER_KEY}"}
        assert client.get("/v2/jobs").headers["X-RateLimit-Remaining"] == "299"


def test_a_window_ends_after_a_minute() -> None:
    now = 1000.0
    limits = Limits(True, clock=lambda: now)
    for _ in range(PER_WINDOW["POST"]):
        limits.count(("me", "diarize"), PER_WINDOW["POST"])
    now += WINDOW - 0.5
    with pytest.raises(Refusal) as refused:
        limits.count(("me", "diarize"), PER_WINDOW["POST"])
    assert refused.value.headers["Retry-After"] == "1"
    now += 0.5
    assert limits.count(("me", "diarize"), PER_WINDOW["POST"])["X-RateLimit-Remaining"] == "99"


# The vendor's own SDK, as it is.


@pytest.fixture
def sdk(server: InThread) -> Any:
    from pyannoteai.sdk import Client

    class Local(Client):
        API_URL = f"{server.base_url}/v1"

    return Local(server.key)


@pytest.mark.filterwarnings("ignore:.*(temporary storage|polling)")
def test_the_sdk_diarizes(sdk: Any, talk: Path) -> None:
    told = []
    media = sdk.upload(talk, callback=lambda **progress: told.append(progress))
    assert re.fullmatch(r"media://[0-9a-f]{32}", media)
    assert told[-1]["completed"] == talk.stat().st_size
    job_id = sdk.diarize(media, num_speakers=2, confidence=True, turn_level_confidence=True, exclusive=True)
    job = retrieved(sdk, job_id)
    assert job["status"] == "succeeded"
    assert job["output"].keys() == {"diarization", "exclusiveDiarization", "confidence"}
    assert {turn["speaker"] for turn in job["output"]["diarization"]} == {"SPEAKER_00", "SPEAKER_01"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(temporary storage|polling)")
def test_the_sdk_makes_voiceprints_and_identifies(sdk: Any, uploaded: str, voices: dict[str, Path]) -> None:
    made = retrieved(sdk, sdk.voiceprint("media://voices/Maya"))["output"]["voiceprint"]
    job = retrieved(sdk, sdk.identify(uploaded, {"Maya": made}, matching_threshold=50))
    assert {turn["speaker"] for turn in job["output"]["identification"]} == {"Maya", "SPEAKER_01"}


@pytest.mark.filterwarnings("ignore:.*(temporary storage|polling)")
def test_the_sdk_takes_samples(sdk: Any, talk: Path) -> None:
    samples, rate = soundfile.read(talk, dtype="float32")
    media = sdk.upload({"waveform": samples[None], "sample_rate": rate})
    assert retrieved(sdk, sdk.diarize(media))["status"] == "succeeded"


@pytest.mark.filterwarnings("ignore:.*(temporary storage|polling)")
def test_the_sdk_understands_what_goes_wrong(server: InThread, sdk: Any) -> None:
    import requests
    from pyannoteai.sdk.client import PyannoteAIFailedJob

    with pytest.raises(PyannoteAIFailedJob, match="Could not load audio"):
        retrieved(sdk, sdk.diarize("media://nobody/put/this"))
    with pytest.raises(requests.HTTPError) as refused:
        sdk.diarize(MEDIA, num_speakers=2, min_speakers=1)
    assert refused.value.response.json()["errors"][0]["field"] == "numSpeakers"
    with pytest.raises(requests.HTTPError, match="authenticate"):
        type(sdk)("a-wrong-key-of-some-length")


def retrieved(sdk: Any, job_id: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sdk.retrieve(job_id, every_seconds=0.05)


# Our own client.


def own(server: InThread) -> dict[str, Any]:
    return {
        "engine": hasty(read=PATIENCE, poll=0.05),
        "api_key": server.key,
        "base_url": server.base_url,
        "progress": False,
    }


def test_diarnb_gets_the_turns_of_the_local_engine(server: InThread, talk: Path) -> None:
    wishes = {"exclusive": True, "confidence": True, "turn_level_confidence": True}
    turns = diarnb.diarize(talk, **wishes, **own(server))
    same = diarnb.diarize(talk, **wishes, progress=False)
    assert list(turns["speaker"]) == list(same["speaker"])
    np.testing.assert_allclose(turns[["start", "end"]], same[["start", "end"]], atol=0.0005)
    np.testing.assert_allclose(turns["confidence"], same["confidence"], atol=0.51)
    np.testing.assert_allclose(diarnb.confidences(turns), diarnb.confidences(same), atol=0.51)
    alone = diarnb.exclusive(turns)
    assert alone.attrs["diarnb"]["exclusive"] == "engine"
    np.testing.assert_allclose(alone[["start", "end"]], diarnb.exclusive(same)[["start", "end"]], atol=0.0005)
    assert diarnb.frames(turns).attrs["resolution"] == 0.02
    assert diarnb.frames(turns)["confidence"].between(0, 100).all()
    assert turns.attrs["diarnb"]["warning"] is None
    assert set(diarnb.runs()["state"]) == {"succeeded"}


@pytest.mark.slow
def test_diarnb_asks_for_a_number_of_speakers(server: InThread, talk: Path) -> None:
    assert diarnb.diarize(talk, num_speakers=3, **own(server))["speaker"].nunique() == 3
    with pytest.warns(errors.DiarnbWarning, match="speakers were asked for"):
        diarnb.diarize(talk, min_speakers=50, **own(server))


def test_diarnb_gets_words_from_the_server(server: InThread, talk: Path) -> None:
    turns = diarnb.diarize(talk, model="precision-2", transcription=True, **own(server))
    assert set(diarnb.words(turns)["word"]) == {"word"}
    assert turns["text"].str.contains("Word,").any()


@pytest.mark.slow
def test_diarnb_knows_voices_again(server: InThread, talk: Path, voices: dict[str, Path]) -> None:
    made = diarnb.voiceprint(voices["Maya"], **own(server))
    assert made.startswith("pyannoteai:")
    found = diarnb.identify(talk, {"Maya": made}, threshold=50, **own(server))
    assert set(found["speaker"]) == {"Maya", "SPEAKER_01"}
    assert list(diarnb.matches(found)["matched"]) == [True, False]


def test_diarnb_submits_lists_and_resumes(server: InThread, talk: Path, local: Local) -> None:
    asked = {name: value for name, value in own(server).items() if name != "progress"}
    assert cloud.check_key(**asked)
    job_id = cloud.submit(talk, progress=False, **asked)
    listed = cloud.jobs(**asked).set_index("job_id").loc[job_id]
    assert listed["status"] in ("created", "running", "succeeded")
    assert listed["created"].tzinfo is not None
    turns = diarnb.resume(job_id, **own(server))
    assert [turn["speaker"] for turn in local.raw["diarization"]] == list(turns["speaker"])


def test_diarnb_is_told_what_is_wrong(server: InThread) -> None:
    with pytest.raises(errors.BadRequestError, match="model: Must be one of precision-1"):
        diarnb.diarize((np.zeros(16000, np.float32), 16000), model="precision-9", **own(server))
    with pytest.raises(errors.AuthenticationError):
        diarnb.diarize((np.zeros(16000, np.float32), 16000), **own(server) | {"api_key": "another-key-altogether"})


def test_silence_has_no_turns(server: InThread) -> None:
    silence = (np.zeros(32000, np.float32), 16000)
    turns = diarnb.diarize(silence, exclusive=True, confidence=True, **own(server))
    assert turns.empty
    assert diarnb.exclusive(turns).empty
