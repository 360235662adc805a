"""Deepgram's dialect for streams: the messages are those of the service, and its own clients understand them."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import diarnb
from diarnb.server.deepgram import live
from diarnb.server.deepgram import rules as deepgram_rules
from diarnb.server.web.refusals import Refusal
from tests import exact_words
from tests.deepgram_calls import change
from tests.live_calls import CLOSE, FINALIZE, KEEP_ALIVE, RAW, open_stream, pieces, rest, said, talk
from tests.servers import KEY, PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import InThread


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    """A server that knows the words of the meeting."""
    with in_thread(words="tests.exact_words:meeting") as server:
        yield server


@pytest.fixture(scope="module")
def samples() -> Any:
    """The first 13 s of the meeting: three people speak."""
    return soundfile.read(diarnb.example("meeting"), stop=13 * 16000, dtype="int16")[0]


# What is told.


@pytest.fixture(scope="module")
def told(server: InThread, samples: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All results, and the last message, of a stream of 13 s."""
    results, (metadata,) = talk(server, pieces(samples), diarize="true", punctuate="true")
    return results, metadata


@pytest.mark.slow
def test_results_hold_what_is_documented_and_metadata_in_each(told: Any) -> None:
    results, metadata = told
    first = results[0]
    assert list(first) == [
        *("type", "channel_index", "duration", "start", "is_final", "speech_final", "from_finalize"),
        *("channel", "metadata"),
    ]
    assert first["channel_index"] == [0, 1]
    for result in results:
        about = result["metadata"]
        assert about["request_id"] == metadata["request_id"]
        assert about["model_info"] == {"name": "diarnb-own", "version": diarnb.__version__, "arch": "own"}
        assert about["model_uuid"] == metadata["models"][0]
        assert about["diarize_info"]["arch"] == "v1"
    words = said(results)
    assert list(words[0]) == ["word", "start", "end", "confidence", "speaker", "punctuated_word"]
    assert {word["speaker"] for word in words} >= {0, 1}
    assert first["channel"]["alternatives"][0]["transcript"].startswith("Good morning, everybody. ")


def test_windows_follow_each_other_without_a_gap(told: Any) -> None:
    results, metadata = told
    assert results[0]["start"] == 0.0
    for result, following in itertools.pairwise(results):
        assert result["start"] + result["duration"] == pytest.approx(following["start"], abs=2e-6)
    assert results[-1]["start"] + results[-1]["duration"] == pytest.approx(13.0)
    assert metadata["duration"] == 13.0
    expected = [row["word"] for row in exact_words.script("meeting", "mix") if row["end"] < 12.5]
    assert [word["word"] for word in said(results) if word["end"] < 12.5] == expected


def test_without_diarize_nobody_is_named(server: InThread, samples: Any) -> None:
    results, _ = talk(server, pieces(samples[:48000]))
    assert list(said(results)[0]) == ["word", "start", "end", "confidence"]
    assert "diarize_info" not in results[0]["metadata"]


def test_the_last_message_is_metadata_with_the_hash_of_the_sound(server: InThread, samples: Any) -> None:
    sound = pieces(samples[:40000])
    _, (metadata,) = talk(server, sound)
    uuid.UUID(metadata["request_id"])
    assert metadata["sha256"] == hashlib.sha256(b"".join(sound)).hexdigest()
    assert (metadata["transaction_key"], metadata["duration"], metadata["channels"]) == ("deprecated", 2.5, 1)
    assert list(metadata["model_info"]) == metadata["models"]


def test_without_sound_there_is_metadata_without_models(server: InThread) -> None:
    results, (metadata,) = talk(server, [])
    assert results == []
    assert metadata["duration"] == 0.0
    assert "models" not in metadata


@pytest.mark.slow
def test_interim_results_grow_from_the_same_start_until_one_is_final(server: InThread, samples: Any) -> None:
    results, _ = talk(server, pieces(samples[: 9 * 16000]), interim_results="true", diarize="true")
    begun = 0.0
    reached = 0.0
    for result in results:
        assert result["start"] == pytest.approx(begun, abs=2e-6)
        if result["is_final"]:
            begun, reached = result["start"] + result["duration"], 0.0
        else:
            assert not result["speech_final"]
            assert result["duration"] > reached
            reached = result["duration"]
    assert sum(not result["is_final"] for result in results) >= 5


def test_finalize_tells_finally_what_has_come_and_says_so(server: InThread, samples: Any) -> None:
    with open_stream(server, diarize="true") as stream:
        for piece in pieces(samples[:56000]):
            stream.send(piece)
        stream.send(FINALIZE)
        found = json.loads(stream.recv(timeout=PATIENCE))
        while not found["from_finalize"]:
            found = json.loads(stream.recv(timeout=PATIENCE))
        assert found["is_final"]
        assert found["start"] + found["duration"] == pytest.approx(3.5)
        assert found["channel"]["alternatives"][0]["transcript"].startswith("good morning everybody")
        stream.send(CLOSE)
        messages, code, _ = rest(stream)
    assert code == 1000
    assert [message["type"] for message in messages] == ["Metadata"]


def test_silence_is_told_as_empty_final_results(server: InThread) -> None:
    results, (metadata,) = talk(server, pieces(np.zeros(12 * 16000)), diarize="true")
    assert len(results) >= 2
    assert all(result["is_final"] and not result["speech_final"] for result in results)
    assert {result["channel"]["alternatives"][0]["transcript"] for result in results} == {""}
    assert metadata["duration"] == 12.0


@pytest.mark.slow
def test_the_start_and_the_end_of_speech_are_told_where_that_is_asked(server: InThread, samples: Any) -> None:
    quiet = np.zeros(6 * 16000, np.int16)
    sound = np.concatenate([quiet, samples[: 6 * 16000], quiet])
    asked = {"vad_events": "true", "utterance_end_ms": "1000", "interim_results": "true", "endpointing": "300"}
    results, others = talk(server, pieces(sound), **asked)
    started, ended, _ = others
    assert (started["type"], started["channel"]) == ("SpeechStarted", [0, 1])
    assert started["timestamp"] == pytest.approx(6.5, abs=0.6)
    assert (ended["type"], ended["channel"]) == ("UtteranceEnd", [0, 1])
    assert ended["last_word_end"] == said(results)[-1]["end"]
    assert any(result["speech_final"] for result in results)


def test_with_endpointing_false_nobody_is_said_to_have_finished(server: InThread, samples: Any) -> None:
    results, _ = talk(server, pieces(samples[: 4 * 16000]), endpointing="false")
    assert said(results)
    assert not any(result["speech_final"] for result in results)


def test_a_server_without_a_transcriber_tells_windows_without_words(
    server: InThread, samples: Any, monkeypatch: Any
) -> None:
    change(server, monkeypatch, words=None)
    results, (metadata,) = talk(server, pieces(samples[: 4 * 16000]), diarize="true", interim_results="true")
    assert results
    assert said(results) == []
    assert metadata["duration"] == 4.0
    assert [about["name"] for about in metadata["model_info"].values()] == ["diarnb-none"]


# What keeps a stream open, and what ends it.


def test_ten_seconds_without_anything_end_a_stream_with_net_0001(
    server: InThread, samples: Any, monkeypatch: Any
) -> None:
    assert 10 <= live.SILENCE <= 12
    monkeypatch.setattr(live, "SILENCE", 0.5)
    with open_stream(server) as stream:
        stream.send(pieces(samples[:8000])[0])
        messages, code, reason = rest(stream)
    assert messages[-1]["type"] == "Metadata"
    assert code == 1011
    assert reason.startswith("NET-0001")


@pytest.mark.slow
def test_keep_alive_keeps_a_stream_open_once_there_was_sound(server: InThread, samples: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "SILENCE", 2.0)
    over = threading.Event()
    with open_stream(server) as stream:
        stream.send(pieces(samples)[0])
        for _ in range(6):
            assert not over.wait(0.5)
            stream.send(KEEP_ALIVE)
        stream.send(CLOSE)
        assert rest(stream)[1] == 1000
    with open_stream(server) as stream, suppress(ConnectionClosed):
        while not over.wait(0.2):
            stream.send(KEEP_ALIVE)
    assert (stream.close_reason or "").startswith("NET-0001")


def test_streams_without_sound_take_no_place(server: InThread, samples: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "SILENCE", PATIENCE)
    with open_stream(server) as silent, open_stream(server) as another:
        silent.send(KEEP_ALIVE)  # which keeps nothing alive before there is sound
        results, _ = talk(server, pieces(samples[:16000]))
        assert results
        silent.send(pieces(samples[:16000])[0])
        silent.send(FINALIZE)
        assert json.loads(silent.recv(timeout=PATIENCE))["type"] == "Results"
        another.send(pieces(samples[:16000])[0])
        _, code, reason = rest(another)
        assert (code, reason[:9]) == (1013, "NET-0000:")
        silent.send(CLOSE)
        assert rest(silent)[1] == 1000


def test_streams_without_sound_are_bounded_too(server: InThread, monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "_MOST_WAITING", 1)
    with open_stream(server), pytest.raises(InvalidStatus) as refused, open_stream(server):
        pass
    assert refused.value.response.status_code == 429


def test_ten_seconds_without_any_sound_end_a_stream_too(server: InThread, monkeypatch: Any) -> None:
    monkeypatch.setattr(live, "SILENCE", 0.3)
    with open_stream(server) as stream:
        messages, code, reason = rest(stream)
    assert (messages, code, reason[:9]) == ([], 1011, "NET-0001:")


def test_an_empty_frame_ends_a_stream(server: InThread, samples: Any) -> None:
    with open_stream(server) as stream:
        stream.send(pieces(samples)[0])
        stream.send(b"")
        messages, code, _ = rest(stream)
    assert [message["type"] for message in messages] == ["Results", "Metadata"]
    assert code == 1000


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"type": 1}', '{"type": "Speak"}', "[" * 100_000])
def test_a_message_that_is_none_is_told_as_an_error_and_ends_the_stream(server: InThread, text: str) -> None:
    with open_stream(server) as stream:
        stream.send(text)
        (error,), code, reason = rest(stream)
    assert (error["type"], error["variant"], error["message"]) == ("Error", "SchemaError", text)
    assert error["description"]
    assert (code, reason[:9]) == (1008, "DATA-0000")


@pytest.mark.slow
def test_configure_is_answered(server: InThread, samples: Any) -> None:
    wish = json.dumps({"type": "Configure", "keyterms": ["slug"], "features": {"numerals": True}})
    for model, kind in (("nova-3", "ConfigureSuccess"), ("nova-2", "ConfigureFailure")):
        with open_stream(server, model=model) as stream:
            stream.send(wish)
            answer = json.loads(stream.recv(timeout=PATIENCE))
            stream.send(CLOSE)
            messages, code, _ = rest(stream)
        assert answer["type"] == kind
        assert answer["request_id"] == messages[-1]["request_id"]
        assert answer.get("code") == (None if model == "nova-3" else "CONFIGURE_KEYTERMS_NOT_SUPPORTED")
        assert code == 1000


def test_what_is_no_sound_ends_a_stream_with_data_0000(server: InThread) -> None:
    address = f"{server.base_url.replace('http', 'ws', 1)}/v1/listen?model=nova-3"
    with connect(address, additional_headers=server.token) as stream:
        stream.send(b"some bytes that are no sound")
        _, code, reason = rest(stream)
    assert (code, reason[:9]) == (1008, "DATA-0000")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_lost_worker_ends_a_stream_with_net_0000(server: InThread, samples: Any) -> None:
    with open_stream(server, interim_results="true") as stream:
        for piece in pieces(samples[:32000]):
            stream.send(piece)
        stream.recv(timeout=PATIENCE)
        for worker in list(server.core.streams._all):
            assert worker._process is not None
            os.kill(worker._process.pid, signal.SIGKILL)
        _, code, reason = rest(stream)
    assert (code, reason[:8]) == (1011, "NET-0000")
    assert said(talk(server, pieces(samples[:32000]))[0]), "the next stream finds another worker"


# Who may open a stream, and how.


def refused(server: InThread, status: int, code: str, headers: Any = None, **query: Any) -> str:
    with pytest.raises(InvalidStatus) as refusal, open_stream(server, headers, **query):
        pass
    answer = refusal.value.response
    body = json.loads(answer.body or b"")
    assert answer.status_code == status, body
    assert body["err_code"] == code
    assert body["request_id"] == answer.headers["dg-request-id"]
    assert answer.headers["dg-error"] == body["err_msg"]
    return str(body["err_msg"])


def test_a_handshake_without_a_key_is_refused_with_401(server: InThread) -> None:
    for headers in ({}, {"Authorization": "Token key-of-nobody-at-all"}, {"Sec-WebSocket-Protocol": "token"}):
        refused(server, 401, "INVALID_AUTH", headers)


def test_a_page_gives_its_key_as_a_protocol(server: InThread) -> None:
    address = f"{server.base_url.replace('http', 'ws', 1)}/v1/listen?{urlencode(RAW)}"
    with connect(address, subprotocols=["token", KEY], origin=server.base_url) as stream:  # type: ignore[arg-type, list-item]
        assert stream.subprotocol == "token"
        stream.send(CLOSE)
        assert rest(stream)[1] == 1000
    with pytest.raises(InvalidStatus) as refusal, connect(address, subprotocols=["token", "key-of-nobody-at-all"]):  # type: ignore[list-item]
        pass
    assert refusal.value.response.status_code == 401


def test_pages_from_elsewhere_open_no_stream(server: InThread) -> None:
    refused(server, 403, "INSUFFICIENT_PERMISSIONS", {**server.token, "Origin": "https://example.org"})


def test_the_answer_to_a_handshake_bears_the_request_id(server: InThread) -> None:
    with open_stream(server) as stream:
        assert stream.response is not None
        asked = stream.response.headers["dg-request-id"]
        assert "dg-error" not in stream.response.headers
        stream.send(CLOSE)
        assert rest(stream)[0][-1]["request_id"] == asked


def test_any_diarize_model_is_refused_with_400_by_the_older_documents(server: InThread) -> None:
    for value in ("latest", "v1", "v2"):
        assert "diarize_model" in refused(server, 400, "Bad Request", diarize_model=value)
    refused(server, 400, "INVALID_QUERY_PARAMETER", diarize_model="v3")


def test_by_the_newer_documents_latest_and_v1_are_accepted_and_v2_is_not(server: InThread, monkeypatch: Any) -> None:
    change(server, monkeypatch, streaming_diarize_model="new")
    refused(server, 400, "INVALID_QUERY_PARAMETER", diarize_model="v2")
    assert "both" in refused(server, 400, "Bad Request", diarize_model="v1", diarize="true")
    for model in ("latest", "v1"):
        results, _ = talk(server, [bytes(32000)], diarize_model=model)
        assert results[0]["metadata"]["diarize_info"]["arch"] == "v1"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"encoding": "opus"}, "INVALID_QUERY_PARAMETER"),
        ({"encoding": "pcm"}, "INVALID_QUERY_PARAMETER"),
        ({"sample_rate": "fast"}, "INVALID_QUERY_PARAMETER"),
        ({"sample_rate": "100"}, "INVALID_QUERY_PARAMETER"),
        ({"channels": "0"}, "INVALID_QUERY_PARAMETER"),
        ({"channels": "21"}, "INVALID_QUERY_PARAMETER"),
        ({"interim_results": "maybe"}, "INVALID_QUERY_PARAMETER"),
        ({"endpointing": "-5"}, "INVALID_QUERY_PARAMETER"),
        ({"utterance_end_ms": "500", "interim_results": "true"}, "INVALID_QUERY_PARAMETER"),
        ({"utterance_end_ms": "1000"}, "Bad Request"),
        ({"keywords": "slug"}, "Bad Request"),
        ({"callback": "wss://example.org"}, "Bad Request"),
        ({"model": "flux-general-en"}, "Bad Request"),
    ],
)
def test_what_the_service_refuses_of_a_stream_is_refused_before_it_opens(
    server: InThread, query: dict[str, str], code: str
) -> None:
    refused(server, 400, code, **query)


def test_a_raw_encoding_needs_its_sample_rate() -> None:
    with pytest.raises(Refusal, match="sample_rate"):
        deepgram_rules.parse_live([("encoding", "linear16")])


def test_without_a_handshake_there_is_no_stream(server: InThread) -> None:
    answer = httpx.get(f"{server.base_url}/v1/listen", headers=server.token)
    assert answer.status_code == 400
    assert answer.json()["err_code"] == "Bad Request"


def test_more_streams_than_workers_are_refused_with_429(server: InThread, samples: Any) -> None:
    with open_stream(server) as stream:
        stream.send(pieces(samples[:16000])[0])
        stream.send(FINALIZE)
        stream.recv(timeout=PATIENCE)  # and so a worker has begun it
        refused(server, 429, "TOO_MANY_REQUESTS")
        stream.send(pieces(samples)[0])
        stream.send(CLOSE)
        assert rest(stream)[1] == 1000


@pytest.mark.slow
def test_channels_are_mixed_or_told_apart(server: InThread, monkeypatch: Any) -> None:
    change(server, monkeypatch, words="tests.exact_words:call")
    talk_of_two, rate = soundfile.read(diarnb.example("call"), stop=8 * 8000, dtype="int16")
    content = talk_of_two.astype("<i2").tobytes()
    sound = [content[at : at + 3200] for at in range(0, len(content), 3200)]
    asked = {"sample_rate": rate, "channels": 2, "diarize": "true"}
    apart, (metadata,) = talk(server, sound, **asked, multichannel="true")
    mixed, _ = talk(server, sound, **asked)
    assert metadata["channels"] == 2
    assert metadata["duration"] == 8.0
    for channel in (0, 1):
        own = [result for result in apart if result["channel_index"] == [channel, 2]]
        expected = [row["word"] for row in exact_words.script("call", channel) if row["end"] < 7.5]
        assert [word["word"] for word in said(own) if word["end"] < 7.5] == expected
        assert {word["speaker"] for word in said(own)} == {0}, "numbers restart on each channel"
    assert {result["channel_index"][1] for result in mixed} == {1}
    assert len({word["speaker"] for word in said(mixed)}) == 2


@pytest.mark.slow
def test_sound_faster_than_time_is_held_back_and_not_lost(server: InThread, samples: Any) -> None:
    sound = np.tile(samples, 2)
    _, (metadata,) = talk(server, pieces(sound, 1 << 20))
    assert metadata["duration"] == len(sound) / 16000
