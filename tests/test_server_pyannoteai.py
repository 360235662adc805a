"""The server as a pyannoteAI: who may ask, and what of a request is refused by its field."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diarnb.server.pyannoteai.rules import parse_job
from diarnb.server.web.deliveries import check_target
from diarnb.server.web.disk import DiskReserve
from diarnb.server.web.fetcher import Fetcher
from diarnb.server.web.limits import PER_WINDOW, WINDOW, Limits
from diarnb.server.web.refusals import Refusal
from tests.pyannoteai_calls import (
    CLIENT,
    MEDIA,
    SDK_BODY,
    WHOLE_UUID,
    call,
    fields,
    post,
)
from tests.servers import OTHER_KEY, InThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


PRINTS = [{"label": "Maya", "voiceprint": "AAAA"}]


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    with in_thread(words="tests.pyannoteai_calls:hear") as server:
        yield server


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
        wish = parse_job(kind, body, check_url=Fetcher(("*",), DiskReserve(Path(), 0)).check, check_webhook=webhook)
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
