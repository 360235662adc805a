"""Streams of our own client and of the vendor's SDKs, as they are."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import soundfile

import diarnb
from diarnb.engines.deepgram import DeepgramEngine
from diarnb.engines.deepgram.live import PACE
from tests import exact_words
from tests.deepgram_calls import right
from tests.live_calls import pieces
from tests.old_sdk import with_old_sdk
from tests.servers import PATIENCE, in_thread

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


# Clients.


def streamed(server: InThread, seconds: float | None = None) -> Any:
    """The meeting, or its beginning, streamed to the server by diarnb itself."""
    with soundfile.SoundFile(diarnb.example("meeting")) as file:
        stream = diarnb.stream(
            file.blocks(1600, frames=-1 if seconds is None else int(seconds * 16000), dtype="float32"),
            engine=DeepgramEngine(pace=replace(PACE, read=600, write=600)),  # however slow the machine is
            sample_rate=file.samplerate,
            base_url=server.base_url,
            api_key=server.key,
        )
        assert list(stream)
    return stream


@pytest.mark.slow
def test_our_own_client_streams(server: InThread) -> None:
    stream = streamed(server, 13.0)
    words = diarnb.words(stream.turns)
    assert words["word"].tolist()[:4] == ["good", "morning", "everybody", "three"]
    assert right(words.to_dict("records"), "meeting") >= 0.8
    assert stream.turns["speaker"].nunique() >= 2


@pytest.mark.slow
def test_our_own_client_streams_the_meeting(server: InThread) -> None:
    stream = streamed(server)
    words = diarnb.words(stream.turns)
    known = len(exact_words.script("meeting", "mix"))
    assert known - 5 <= len(words) <= known
    assert right(words.to_dict("records"), "meeting") >= 0.85
    assert stream.turns["speaker"].nunique() == 4


@pytest.mark.slow
def test_the_sdk_7_streams(server: InThread, samples: Any) -> None:
    from deepgram.core.events import EventType

    client = _client(server)
    told: list[Any] = []
    asked = {"model": "nova-3", "diarize": "true", "encoding": "linear16", "sample_rate": 16000}
    with client.listen.v1.connect(**asked, interim_results="true", vad_events="true") as stream:
        for event in (EventType.OPEN, EventType.CLOSE, EventType.ERROR):
            stream.on(event, lambda _, event=event: told.append(event))
        stream.on(EventType.MESSAGE, told.append)
        listener = threading.Thread(target=stream.start_listening)
        listener.start()
        for piece in pieces(samples[: 6 * 16000]):
            stream.send_media(piece)
        stream.send_keep_alive()
        stream.send_finalize()
        stream.send_close_stream()
        listener.join(PATIENCE)
    assert told[0] is EventType.OPEN
    assert told[-1] is EventType.CLOSE
    kinds = [getattr(each, "type", None) for each in told[1:-1]]
    assert set(kinds) == {"Results", "SpeechStarted", "Metadata"}
    assert kinds[-1] == "Metadata"
    words = [
        word
        for each in told[1:-1]
        if each.type == "Results" and each.is_final
        for word in each.channel.alternatives[0].words
    ]
    assert [word.word for word in words[:3]] == ["good", "morning", "everybody"]
    assert words[0].speaker == 0


def test_the_async_sdk_7_streams(server: InThread, samples: Any) -> None:
    from deepgram import AsyncDeepgramClient

    from tests.test_server_deepgram_clients import _environment

    async def ask() -> list[str]:
        client = AsyncDeepgramClient(api_key=server.key, environment=_environment(server))
        asked: dict[str, Any] = {"model": "nova-3", "encoding": "linear16", "sample_rate": 16000}
        async with client.listen.v1.connect(**asked) as stream:
            for piece in pieces(samples[:48000]):
                await stream.send_media(piece)
            await stream.send_close_stream()
            return [message.type async for message in stream]

    assert set(asyncio.run(ask())) == {"Results", "Metadata"}


def _client(server: InThread) -> Any:
    from tests.test_server_deepgram_clients import _client

    return _client(server)


@pytest.mark.slow
def test_the_sdk_4_8_streams(pytestconfig: pytest.Config, server: InThread, samples: Any, tmp_path: Any) -> None:
    (tmp_path / "talk.raw").write_bytes(b"".join(pieces(samples[: 6 * 16000])))
    told = with_old_sdk(
        pytestconfig,
        """
        import sys, threading
        from deepgram import DeepgramClient, DeepgramClientOptions, LiveOptions, LiveTranscriptionEvents as Event
        url, key, file = sys.argv[1:]
        over, words, kinds = threading.Event(), [], []

        def result(self, result, **more):
            if result.is_final:
                words.extend(result.channel.alternatives[0].words)
                assert result.metadata.model_uuid

        def metadata(self, metadata, **more):
            kinds.append(metadata.type)
            over.set()

        stream = DeepgramClient(key, DeepgramClientOptions(url=url)).listen.websocket.v("1")
        stream.on(Event.Transcript, result)
        stream.on(Event.Metadata, metadata)
        stream.on(Event.Error, lambda self, error, **more: kinds.append(f"error {error}"))
        stream.on(Event.Unhandled, lambda self, unhandled, **more: kinds.append("unhandled"))
        asked = dict(model="nova-3", encoding="linear16", sample_rate=16000, diarize=True, punctuate=True)
        assert stream.start(LiveOptions(**asked, interim_results=True, utterance_end_ms="1000", vad_events=True))
        sound = open(file, "rb").read()
        for at in range(0, len(sound), 3200):
            assert stream.send(sound[at : at + 3200])
        stream.keep_alive()
        stream.finalize()
        stream.send('{"type": "CloseStream"}')
        assert over.wait(60)
        stream.finish()
        print(kinds, [word.punctuated_word for word in words[:3]], words[0].speaker)
        refused = DeepgramClient(key, DeepgramClientOptions(url=url)).listen.websocket.v("1")
        print(refused.start(LiveOptions(model="flux-general-en")))
        """,
        *(server.base_url, server.key, tmp_path / "talk.raw"),
    )
    assert told.splitlines()[-2:] == ["['Metadata'] ['Good', 'morning,', 'everybody.'] 0", "False"]
