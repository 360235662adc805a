"""The server as a Deepgram to its own SDKs, as they are, and to our own client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import soundfile

import diarnb
from tests import exact_words
from tests.deepgram_calls import HUM, MEETING, change, first_words, receiver, right
from tests.old_sdk import with_old_sdk
from tests.servers import KEY, PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import InThread


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    """A server that knows the words of the meeting, and may ask this machine."""
    with in_thread(words=MEETING, allow_url_fetch=("127.0.0.1",), allow_webhook=("127.0.0.1",)) as server:
        yield server


@pytest.fixture(scope="module")
def talk() -> bytes:
    return first_words()


# Our own client.


@pytest.mark.slow
def test_our_own_client_gets_the_words_and_speakers_of_the_meeting(server: InThread) -> None:
    turns = diarnb.diarize(
        diarnb.example("meeting"),
        engine="deepgram",
        base_url=server.base_url,
        api_key=server.key,
        utterances=True,
        progress=False,
    )
    assert turns.attrs["diarnb"]["warning"] is None
    assert list(dict.fromkeys(turns["speaker"])) == [f"SPEAKER_{number:02d}" for number in range(4)]
    words = diarnb.words(turns)
    assert words["word"].tolist() == [row["word"] for row in exact_words.script("meeting", "mix")]
    assert right(words.to_dict("records"), "meeting") >= 0.9
    assert len(diarnb.utterances(turns)) > 10
    confidence = words.groupby("speaker")["speaker_confidence"]
    assert confidence.min().between(0, 1).all()


@pytest.mark.slow
def test_our_own_client_gets_each_channel_of_the_call_by_itself(server: InThread, monkeypatch: Any) -> None:
    change(server, monkeypatch, words="tests.exact_words:call")
    samples, rate = soundfile.read(diarnb.example("call"), stop=20 * 8000, dtype="float32")
    turns = diarnb.diarize(
        (samples, rate),
        engine="deepgram",
        base_url=server.base_url,
        api_key=server.key,
        channels="split",
        progress=False,
    )
    assert turns.groupby("speaker")["channel"].unique().map(list).to_dict() == {"SPEAKER_00": [0], "SPEAKER_01": [1]}
    words = diarnb.words(turns)
    for channel in (0, 1):
        own = [row["word"] for row in exact_words.script("call", channel) if row["end"] < 14.5]
        assert words.loc[(words["channel"] == channel) & (words["end"] < 14.5), "word"].tolist() == own
        raw = diarnb.raw(turns)["results"]["channels"][channel]["alternatives"][0]
        assert {word["speaker"] for word in raw["words"]} == {0}, "numbers restart on each channel"


# Other people's clients, as they are.


@pytest.mark.slow
def test_the_sdk_7_sends_a_file_and_reads_the_answer(server: InThread, talk: bytes) -> None:
    client = _client(server)
    answer = client.listen.v1.media.transcribe_file(
        request=talk, model="nova-3", diarize_model="latest", punctuate=True
    )
    assert answer.metadata.diarize_info.arch == "v2"
    first = answer.results.channels[0].alternatives[0].words[0]
    assert (first.word, first.speaker, first.punctuated_word) == ("good", 0, "Good")
    pieces = iter([talk[:1000], talk[1000:]])
    answer = client.listen.v1.media.transcribe_file(request=pieces, model="nova-3", utterances=True)
    assert answer.results.utterances[0].transcript.startswith("good morning everybody")
    assert answer.results.channels[0].alternatives[0].words[0].speaker is None


@pytest.mark.slow
def test_the_sdk_7_understands_refusals_and_callbacks(server: InThread, talk: bytes) -> None:
    from deepgram.core.api_error import ApiError
    from deepgram.errors import BadRequestError
    from deepgram.types import ListenV1AcceptedResponse

    client = _client(server)
    with pytest.raises(BadRequestError) as refusal:
        client.listen.v1.media.transcribe_file(request=talk, diarize=True, diarize_model="latest")
    assert refusal.value.body["err_code"] == "Bad Request"
    with pytest.raises(BadRequestError) as refusal:
        client.listen.v1.media.transcribe_url(url="https://example.org/a.wav")
    assert refusal.value.body["err_code"] == "REMOTE_CONTENT_ERROR"
    with pytest.raises(ApiError) as stranger:
        _client(server, key="key-of-nobody-at-all").listen.v1.media.transcribe_file(request=talk)
    assert stranger.value.status_code == 401
    with receiver() as (url, came):
        accepted = client.listen.v1.media.transcribe_file(request=HUM, callback=url)
        assert isinstance(accepted, ListenV1AcceptedResponse)
        assert json.loads(came.get(timeout=PATIENCE)[2])["metadata"]["request_id"] == accepted.request_id


def test_the_async_sdk_7_sends_a_file_and_reads_the_answer(server: InThread, talk: bytes) -> None:
    from deepgram import AsyncDeepgramClient

    async def ask() -> Any:
        client = AsyncDeepgramClient(api_key=server.key, environment=_environment(server))
        return await client.listen.v1.media.transcribe_file(request=talk, model="nova-3", diarize=True)

    answer = asyncio.run(ask())
    assert answer.metadata.diarize_info.arch == "v1"
    assert {word.speaker for word in answer.results.channels[0].alternatives[0].words} >= {0, 1}


def _environment(server: InThread) -> Any:
    from deepgram.environment import DeepgramClientEnvironment

    live = server.base_url.replace("http", "ws", 1)
    return DeepgramClientEnvironment(base=server.base_url, production=live, agent=live, agent_rest=server.base_url)


def _client(server: InThread, key: str = KEY) -> Any:
    from deepgram import DeepgramClient

    return DeepgramClient(api_key=key, environment=_environment(server))


@pytest.mark.slow
def test_the_sdk_4_8_sends_a_file_and_reads_the_answer(
    pytestconfig: pytest.Config, server: InThread, talk: bytes, tmp_path: Path
) -> None:
    (tmp_path / "talk.wav").write_bytes(talk)
    with receiver() as (url, came):
        told = with_old_sdk(
            pytestconfig,
            """
            import sys, httpx
            from deepgram import DeepgramApiError, DeepgramClient, DeepgramClientOptions, PrerecordedOptions
            url, key, file, hook = sys.argv[1:]
            rest = DeepgramClient(key, DeepgramClientOptions(url=url)).listen.rest.v("1")
            sound, wait = open(file, "rb").read(), httpx.Timeout(120)
            asked = PrerecordedOptions(model="nova-3", diarize=True, utterances=True, smart_format=True)
            answer = rest.transcribe_file({"buffer": sound}, asked, timeout=wait)
            words = answer.results.channels[0].alternatives[0].words
            print(words[0].punctuated_word, words[0].speaker, sorted({word.speaker for word in words}))
            print(answer.metadata.duration, len(answer.metadata.models), answer.metadata.warnings)
            print(answer.results.utterances[0].speaker)
            print(answer.results.channels[0].alternatives[0].paragraphs.transcript[:17])
            with open(file, "rb") as stream:
                answer = rest.transcribe_file({"stream": stream}, {"model": "nova-3", "tag": ["a"]}, timeout=wait)
            print(answer.results.channels[0].alternatives[0].words[0].speaker)
            print(rest.transcribe_file({"buffer": sound}, {"callback": hook}).request_id != "")
            try:
                rest.transcribe_url({"url": "https://example.org/a.wav"}, {})
            except DeepgramApiError as error:
                print(error.status)
            """,
            *(server.base_url, server.key, tmp_path / "talk.wav", url),
        )
        assert json.loads(came.get(timeout=PATIENCE)[2])["results"]
    first, *rest = told.splitlines()
    assert first.startswith("Good 0 [0, 1")
    assert rest.pop(0).startswith("13.0 1 [{'parameter': 'smart_format'")
    assert rest == ["0", "", "Speaker 0: Good ", "None", "True", "400"]
