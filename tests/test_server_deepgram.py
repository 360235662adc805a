"""Deepgram's dialect for recordings: the answers are those of the service, and its own clients understand them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import sys
import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import soundfile

import diarnb
from diarnb.server.deepgram import routes as deepgram
from diarnb.server.deepgram import rules as deepgram_rules
from diarnb.server.web.refusals import Refusal
from tests import exact_words, loopback
from tests.deepgram_calls import DIARIZED, HUM, MEETING, change, first_words, post, receiver, wav, words_of
from tests.servers import KEY, PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import InThread


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    """A server that knows the words of the meeting, and may ask this machine."""
    with in_thread(words=MEETING, allow_url_fetch=("127.0.0.1",), allow_webhook=("127.0.0.1",)) as server:
        yield server


@pytest.fixture(scope="module")
def wordless() -> Iterator[InThread]:
    """A server without a transcriber, which answers soon."""
    with in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def talk() -> bytes:
    return first_words()


# What is sent.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["application/octet-stream", "audio/wav", "text/plain", "multipart/form-data"])
def test_listen_accepts_bytes_of_any_content_type(wordless: InThread, kind: str) -> None:
    assert post(wordless, headers={"Content-Type": kind}).status_code == 200


def test_listen_accepts_bytes_without_a_content_type(wordless: InThread) -> None:
    answer = post(wordless)
    assert "content-type" not in answer.request.headers
    assert answer.status_code == 200


def test_listen_accepts_a_chunked_body(wordless: InThread) -> None:
    answer = post(wordless, iter([HUM[:100], HUM[100:]]))
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.json()["metadata"]["sha256"] == hashlib.sha256(HUM).hexdigest()


@pytest.mark.parametrize("body", [b"", iter([])], ids=["empty", "empty, chunked"])
def test_an_empty_body_is_refused_with_400(wordless: InThread, body: Any) -> None:
    assert refused(post(wordless, body), 400, "Bad Request").startswith("Bad Request: failed to process audio")


def test_what_is_no_audio_is_refused_as_corrupt_or_unsupported(wordless: InThread, talk: bytes) -> None:
    for body in (b"no sound at all, but some text", talk[:44], b'{"url": "https://example.org/a.wav"}'):
        assert "corrupt or unsupported data" in refused(post(wordless, body), 400, "Bad Request")


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff", b"", b'{"url": NaN}'])
def test_what_is_no_json_is_refused_as_such(wordless: InThread, body: bytes) -> None:
    answer = post(wordless, body, headers={"Content-Type": "application/json"})
    refused(answer, 400, "INVALID_JSON")
    assert answer.json()["category"] == "INVALID_JSON"
    assert answer.json()["message"] == "Invalid JSON submitted."


@pytest.mark.parametrize("body", ["[]", "{}", '{"url": 1}', '{"url": null}', '"https://example.org/a.wav"'])
def test_json_that_names_no_url_is_refused(wordless: InThread, body: str) -> None:
    refused(post(wordless, body, headers={"Content-Type": "application/json; charset=utf-8"}), 400, "Bad Request")


def test_a_url_is_refused_unless_fetching_is_allowed(wordless: InThread) -> None:
    answer = httpx.post(
        f"{wordless.base_url}/v1/listen", json={"url": "https://example.org/a.wav"}, headers=wordless.token
    )
    refused(answer, 400, "REMOTE_CONTENT_ERROR")


@pytest.mark.slow
def test_listen_accepts_a_json_url_where_fetching_is_allowed(server: InThread, talk: bytes) -> None:
    with loopback.serving({"/talk.wav": loopback.answering(talk)}) as origin:

        def ask(path: str) -> httpx.Response:
            asked: dict[str, Any] = {"headers": server.token, "json": {"url": origin + path}, "timeout": 120}
            return httpx.post(f"{server.base_url}/v1/listen", params=DIARIZED, **asked)

        answer = ask("/talk.wav").json()
        assert words_of(answer)[0]["speaker"] == 0
        assert answer["metadata"]["sha256"] == hashlib.sha256(talk).hexdigest()
        refused(ask("/gone.wav"), 400, "REMOTE_CONTENT_ERROR")


def test_a_body_larger_than_allowed_is_refused_with_413(wordless: InThread, monkeypatch: Any) -> None:
    monkeypatch.setattr(deepgram, "MAX_BODY", 1000)
    for body in (HUM, iter([HUM])):
        refused(post(wordless, body), 413, "PAYLOAD_TOO_LARGE")
    assert not list(wordless.core.scratch.iterdir())


def test_nothing_is_left_of_a_recording(wordless: InThread) -> None:
    post(wordless)
    post(wordless, b"no sound")
    assert not list(wordless.core.scratch.iterdir())


# Who asks, and what every answer has.


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """Check the form of a refusal, and give its message."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["err_code"] == code
    assert body["request_id"] == answer.headers["dg-request-id"]
    assert answer.headers["dg-error"]
    return str(body["err_msg"])


@pytest.mark.parametrize(
    "header", [None, "", "Token", "Token wrong-key-of-nobody", f"Basic {KEY}", KEY, "Token \xe9\xe9\xe9"]
)
def test_401_bodies_have_err_code_err_msg_and_request_id(wordless: InThread, header: str | None) -> None:
    headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
    answer = httpx.post(f"{wordless.base_url}/v1/listen", content=HUM, headers=headers)
    assert refused(answer, 401, "INVALID_AUTH") == "Invalid credentials."


def test_two_authorization_headers_are_none(wordless: InThread) -> None:
    headers = [("Authorization", f"Token {KEY}")] * 2
    refused(httpx.post(f"{wordless.base_url}/v1/listen", content=HUM, headers=headers), 401, "INVALID_AUTH")


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token", "bearer"])
def test_a_key_comes_as_token_or_as_bearer(wordless: InThread, scheme: str) -> None:
    answer = httpx.post(
        f"{wordless.base_url}/v1/listen", content=HUM, headers={"Authorization": f"{scheme} {wordless.key}"}
    )
    assert answer.status_code == 200


def test_the_header_dg_request_id_is_on_all_answers(wordless: InThread) -> None:
    found = post(wordless)
    assert found.json()["metadata"]["request_id"] == found.headers["dg-request-id"]
    answers = [found, post(wordless, b""), httpx.delete(f"{wordless.base_url}/v1/listen", headers=wordless.token)]
    assert [answer.status_code for answer in answers] == [200, 400, 405]
    assert len({uuid.UUID(answer.headers["dg-request-id"]) for answer in answers}) == 3


# The query.


def test_diarize_and_diarize_model_together_are_refused_with_400(wordless: InThread) -> None:
    for diarize in ("true", "false"):
        message = refused(post(wordless, diarize=diarize, diarize_model="latest"), 400, "Bad Request")
        assert "diarize and diarize_model" in message


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("diarize=yes", "INVALID_QUERY_PARAMETER"),
        ("diarize=true&diarize=true", "INVALID_QUERY_PARAMETER"),
        ("diarize_model=v3", "INVALID_QUERY_PARAMETER"),
        ("utt_split=long", "INVALID_QUERY_PARAMETER"),
        ("utt_split=-1", "INVALID_QUERY_PARAMETER"),
        ("utt_split=NaN", "INVALID_QUERY_PARAMETER"),
        ("callback_method=DELETE", "INVALID_QUERY_PARAMETER"),
        ("callback=ftp://example.org", "INVALID_QUERY_PARAMETER"),
        ("callback=https://example.org:8000/", "INVALID_QUERY_PARAMETER"),
        ("callback=https://", "INVALID_QUERY_PARAMETER"),
        ("tag=" + 129 * "x", "INVALID_QUERY_PARAMETER"),
        ("extra=novalue", "INVALID_QUERY_PARAMETER"),
        ("language=english!", "Bad Request"),
        ("model=nova-9", "Bad Request"),
        ("model=flux-general-en", "Bad Request"),
        ("model=nova-3&keywords=diarnb", "Bad Request"),
        ("model=nova-2&keyterm=diarnb", "Bad Request"),
        ("&".join(["search=a"] * 51), "Bad Request"),
    ],
)
def test_what_the_service_refuses_of_a_query_is_refused(wordless: InThread, query: str, code: str) -> None:
    answer = httpx.post(f"{wordless.base_url}/v1/listen?{query}", content=HUM, headers=wordless.token)
    refused(answer, 400, code)


def test_an_unknown_model_of_a_known_family_is_no_model() -> None:
    with pytest.raises(Refusal, match="No such model/version combination found"):
        deepgram_rules.parse_batch([("model", "nova-3-singing")])
    for model in ("nova-2-phonecall", "whisper-large", "5d5a1f3e-6f0e-5c0e-8f0a-d1a2b3c4d5e6", "our-own-model"):
        assert deepgram_rules.parse_batch([("model", model)])["model"] == model


def test_unknown_parameters_and_those_of_streams_are_accepted(wordless: InThread) -> None:
    query = {"mood": "good", "sample_rate": "x", "channels": "2", "tier": "enhanced", "alternatives": "3"}
    assert post(wordless, **query).status_code == 200


def test_what_cannot_be_done_is_named_in_warnings(wordless: InThread) -> None:
    metadata = post(wordless, redact="pci", summarize="v2", numerals="false").json()["metadata"]
    assert [warning["parameter"] for warning in metadata["warnings"]] == ["redact", "summarize", "model"]


def test_tags_and_extras_come_back(wordless: InThread) -> None:
    metadata = post(wordless, tag=["a", "b"], extra=["team:garden", "place:shed:left"]).json()["metadata"]
    assert metadata["tags"] == ["a", "b"]
    assert metadata["extra"] == {"team": "garden", "place": "shed:left"}


# The answer.


def test_without_a_transcriber_there_are_no_words_and_the_warnings_say_so(wordless: InThread) -> None:
    answer = post(wordless, **DIARIZED, utterances="true", paragraphs="true").json()
    assert answer["results"] == {
        "channels": [
            {
                "alternatives": [
                    {
                        "transcript": "",
                        "confidence": 0.0,
                        "words": [],
                        "paragraphs": {"transcript": "", "paragraphs": []},
                    }
                ]
            }
        ],
        "utterances": [],
    }
    metadata = answer["metadata"]
    assert metadata["duration"] == 1.0
    assert "--words" in metadata["warnings"][0]["message"]
    assert "diarize_info" not in metadata


@pytest.mark.slow
def test_the_answer_holds_what_is_documented(server: InThread, talk: bytes) -> None:
    query = {**DIARIZED, "smart_format": "true", "utterances": "true"}
    answer = post(server, talk, **query).json()
    assert list(answer) == ["metadata", "results"]
    metadata = answer["metadata"]
    number = metadata["models"][0]
    assert {
        "transaction_key": "deprecated",
        "sha256": hashlib.sha256(talk).hexdigest(),
        "duration": 13.0,
        "channels": 1,
        "models": [str(uuid.UUID(number))],
        "model_info": {number: {"name": "diarnb-own", "version": diarnb.__version__, "arch": "own"}},
    }.items() <= metadata.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", metadata["created"])
    assert abs((datetime.now(UTC) - datetime.fromisoformat(metadata["created"])).total_seconds()) < 60
    assert metadata["diarize_info"]["arch"] == "v2"
    assert list(words_of(answer)[0]) == [
        *("word", "start", "end", "confidence", "speaker", "speaker_confidence", "punctuated_word")
    ]
    assert [word["word"] for word in words_of(answer)[:3]] == ["good", "morning", "everybody"]
    alternative = answer["results"]["channels"][0]["alternatives"][0]
    assert alternative["transcript"] == " ".join(word["punctuated_word"] for word in words_of(answer))
    assert alternative["transcript"].startswith("Good morning, everybody. ")
    assert alternative["paragraphs"]["transcript"].startswith("\nSpeaker 0: Good morning, everybody.")
    said = [word for utterance in answer["results"]["utterances"] for word in utterance["words"]]
    assert said == words_of(answer)
    again = post(server, talk, model="nova-3").json()["metadata"]
    assert again["models"] == metadata["models"]


def test_speaker_keys_are_absent_when_not_diarizing(server: InThread, talk: bytes) -> None:
    answer = post(server, talk, model="nova-3", utterances="true", paragraphs="true").json()
    assert words_of(answer)
    assert '"speaker' not in json.dumps(answer)
    assert "diarize_info" not in answer["metadata"]
    assert "Speaker" not in answer["results"]["channels"][0]["alternatives"][0]["paragraphs"]["transcript"]


def test_diarize_model_alone_diarizes_and_each_switch_names_its_diarizer(server: InThread, talk: bytes) -> None:
    short = wav(soundfile.read(io.BytesIO(talk))[0][: 5 * 16000], 16000)
    switches = [("diarize", "true"), ("diarize_model", "v1"), ("diarize_model", "v2"), ("diarize_model", "latest")]
    for (name, value), arch in zip(switches, ["v1", "v1", "v2", "v2"], strict=True):
        answer = post(server, short, **{name: value}).json()
        assert answer["metadata"]["diarize_info"]["arch"] == arch
        assert {word["speaker"] for word in words_of(answer)} == {0}
        assert all(0 <= word["speaker_confidence"] <= 1 for word in words_of(answer))


def test_whisper_models_do_not_diarize(server: InThread, talk: bytes) -> None:
    answer = post(server, talk, model="whisper-large", diarize="true").json()
    assert words_of(answer)
    assert '"speaker' not in json.dumps(answer["results"])
    assert "diarize_info" not in answer["metadata"]


# Later.


@pytest.mark.slow
def test_a_callback_is_answered_with_a_request_id_and_nothing_else_and_called_with_the_rest(
    server: InThread, talk: bytes
) -> None:
    with receiver() as (url, came):
        for method in ("POST", "PUT"):
            answer = post(server, talk, **DIARIZED, callback=url, callback_method=method.lower())
            assert answer.status_code == 200
            assert answer.json() == {"request_id": answer.headers["dg-request-id"]}
            called, headers, body = came.get(timeout=PATIENCE)
            assert called == method
            assert headers["Content-Type"] == "application/json"
            assert KEY not in headers["dg-token"]
            told = json.loads(body)
            assert told["metadata"]["request_id"] == answer.json()["request_id"]
            assert words_of(told)[0]["speaker"] == 0
        failed = post(server, b"no sound", callback=url).json()["request_id"]
        assert json.loads(came.get(timeout=PATIENCE)[2])["request_id"] == failed
    assert not list((server.folder / "jobs").iterdir())


def test_a_callback_to_this_machine_is_refused_unless_allowed(wordless: InThread) -> None:
    for url in ("http://127.0.0.1/hook", "http://localhost:8080/hook"):
        assert "--allow-webhook" in refused(post(wordless, callback=url), 400, "INVALID_QUERY_PARAMETER")


# Too much.


def test_when_too_many_wait_more_are_refused_with_429(wordless: InThread, monkeypatch: Any) -> None:
    monkeypatch.setattr(wordless.core.workers, "waiting", 100)
    refused(post(wordless), 429, "TOO_MANY_REQUESTS")


@pytest.mark.slow
def test_what_takes_too_long_is_ended_with_504(server: InThread, talk: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr(deepgram, "_PROCESSING", {False: 0.01, True: 0.01})
    refused(post(server, talk, **DIARIZED), 504, "Gateway Timeout")
    monkeypatch.undo()
    assert post(server, talk[:64044]).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_lost_worker_is_told_as_503_and_the_next_request_finds_another(server: InThread, talk: bytes) -> None:
    moment = threading.Event()

    def kill_the_one_that_works() -> None:
        while not server.core.workers.busy:
            moment.wait(0.005)
        for worker in list(server.core.workers._all):
            if worker not in server.core.workers._idle and worker._process is not None:
                os.kill(worker._process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_the_one_that_works)
    thread.start()
    refused(post(server, talk, **DIARIZED), 503, "Service Unavailable")
    thread.join()
    assert post(server, talk[:64044]).status_code == 200


# Words from a real transcriber.


@pytest.mark.slow
def test_sphinx_hears_words_without_punctuation(server: InThread, talk: bytes, monkeypatch: Any) -> None:
    pytest.importorskip("pocketsphinx")
    change(server, monkeypatch, words="sphinx")
    short = wav(soundfile.read(io.BytesIO(talk))[0][: 8 * 16000], 16000)
    answer = post(server, short, **DIARIZED, punctuate="true", language="de").json()
    (about,) = answer["metadata"]["model_info"].values()
    assert (about["name"], about["arch"]) == ("diarnb-sphinx", "sphinx")
    assert "English only" in answer["metadata"]["warnings"][0]["message"]
    words = words_of(answer)
    assert len(words) > 10
    assert {word["speaker"] for word in words} >= {0, 1}
    assert all(word["punctuated_word"] == word["word"] for word in words)
    heard = {word["word"] for word in words}
    assert len(heard & {row["word"] for row in exact_words.script("meeting", "mix")}) > 5
