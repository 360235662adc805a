"""Live streaming to Deepgram: turns grow while somebody speaks, and a broken connection is told of."""

from __future__ import annotations

import builtins
import json
import logging
import threading
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import errors
from diarnb.audio.pcm import encode_pcm16
from diarnb.engines.cloud.service import Pace
from diarnb.engines.deepgram import DeepgramEngine, live
from diarnb.engines.deepgram.live_turns import GrowingTurns
from diarnb.params import Params
from tests.deepgram_server import KEY, Server, samples_of, say, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Pace(connect=5.0, read=20.0, write=20.0, attempts=4, base=0.01, cap=0.02)
SAMPLES, RATE = samples_of(diarnb.example("meeting"))
SOUND = np.round(np.clip(SAMPLES, -1, 1) * 32767).astype("<i2").tobytes()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(heard=SOUND) as running:
        yield running


def blocks(seconds: float = 0.25, until: float = 30.0) -> Iterator[Any]:
    for start in range(0, round(until * RATE), round(seconds * RATE)):
        yield SAMPLES[start : start + round(seconds * RATE)]


def stream(server: Server, sound: Any = None, *, params: Params | None = None, **options: Any) -> Iterator[Any]:
    engine = DeepgramEngine(pace=QUICK)
    options = {"api_key": KEY, "base_url": server.origin, **options}
    return engine.stream(blocks() if sound is None else sound, RATE, params or Params(), options)


def gathered(changes: Iterator[Any]) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]]]:
    """The turns that stay, by their ids, and everything that was told."""
    told = [turn for part in changes for turn in part]
    return {turn["turn_id"]: turn for turn in told if turn["final"]}, told


def said(server: Server, until: float = 30.0) -> list[str]:
    return sorted(word["text"] for word in server.words() if word["end"] <= until)


def test_turns_come_while_sound_goes_up(server: Server) -> None:
    turns, told = gathered(stream(server))
    assert sorted(" ".join(turn["text"] for turn in turns.values()).split()) == said(server)
    assert list(turns) == list(range(len(turns)))
    assert {turn["speaker"] for turn in turns.values()} == {f"SPEAKER_0{k}" for k in range(4)}
    assert all(set(turn) == {"turn_id", "start", "end", "speaker", "text", "final"} for turn in told)
    assert sum(not turn["final"] for turn in told) > 10  # what is understood so far
    final = [turn for turn in told if turn["final"]]
    assert len(final) == len(turns)  # what is final stays as it is


def test_what_does_not_change_is_not_told_again(server: Server) -> None:
    last: dict[int, Any] = {}
    for part in stream(server):
        assert part
        for turn in part:
            assert last.get(turn["turn_id"]) != turn
            last[turn["turn_id"]] = turn


def test_the_connection_is_opened_as_documented_and_closed_as_documented(server: Server) -> None:
    gathered(stream(server, keyterm=["slugs"], endpointing=300))
    (seen,) = server.opened
    assert sorted(seen.query) == [
        ("channels", "1"),
        ("diarize", "true"),
        ("encoding", "linear16"),
        ("endpointing", "300"),
        ("interim_results", "true"),
        ("keyterm", "slugs"),
        ("model", "nova-3"),
        ("punctuate", "true"),
        ("sample_rate", "16000"),
    ]
    assert seen.headers["authorization"] == f"Token {KEY}"
    assert server.texts == ["Finalize", "CloseStream"]


def test_without_interim_results_only_final_words_are_told(server: Server) -> None:
    turns, told = gathered(stream(server, interim_results=False))
    assert sorted(" ".join(turn["text"] for turn in turns.values()).split()) == said(server)
    assert all(turn["speaker"] != "SPEAKER_07" for turn in told)


def test_samples_arrive_as_they_were(server: Server) -> None:
    """The server finds its words by the very samples, so they are all there; here it is the edges."""
    assert (
        encode_pcm16(np.array([0, 1, -1, 2, -2, np.nan, np.inf, -np.inf], np.float32))
        == np.array([0, 32767, -32767, 32767, -32767, 0, 32767, -32767], "<i2").tobytes()
    )


def test_no_sound_is_no_connection(server: Server) -> None:
    assert list(stream(server, iter([]))) == []
    assert list(stream(server, iter([np.zeros(0, np.float32)]))) == []
    assert not server.opened


def test_an_empty_block_sends_no_empty_frame(server: Server) -> None:
    pieces = [piece for block in blocks(until=6.0) for piece in (block, np.zeros(0, np.float32))]
    turns, _ = gathered(stream(server, iter(pieces)))
    assert len(turns) >= 1
    assert len(server.opened) == 1


def test_a_broken_connection_is_made_anew_and_its_speakers_are_others(server: Server) -> None:
    server.drops = [14.0]
    with pytest.warns(errors.DiarnbWarning, match="Speakers get new numbers") as caught:
        turns, _ = gathered(stream(server))
    assert len(server.opened) == 2
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "lost" not in message
    again = float(message.partition("reopened at ")[2].partition(" s")[0])
    before = {turn["speaker"] for turn in turns.values() if turn["end"] <= again}
    after = {turn["speaker"] for turn in turns.values() if turn["start"] >= again}
    assert before
    assert after
    assert before.isdisjoint(after)
    assert min(after) >= message.partition("from ")[2][:10]
    words = [word for word in server.words() if word["end"] <= 30.0 and not word["start"] < again < word["end"]]
    told = " ".join(turn["text"] for turn in turns.values()).split()
    assert sorted(told) == sorted(word["text"] for word in words)
    near = {word["text"]: word["start"] for word in words if word["start"] >= again}
    first = min(turn["start"] for turn in turns.values() if turn["start"] >= again)
    assert first == pytest.approx(min(near.values()), abs=1e-6)  # times go on from the start of the stream


def test_a_connection_that_breaks_again_and_again_is_given_up(server: Server) -> None:
    server.drops = [0.5] * 20
    warnings.simplefilter("ignore")
    with pytest.raises(errors.StreamClosedError, match="is over") as caught:
        gathered(stream(server))
    assert caught.value.unsent_seconds > 0
    assert len(server.opened) == QUICK.attempts


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "AuthenticationError"),
        (402, "PaymentRequiredError"),
        (403, "PermissionDeniedError"),
        (400, "BadRequestError"),
    ],
)
def test_a_refused_stream_is_told_by_its_kind(server: Server, status: int, kind: str) -> None:
    server.faults = [say(status, {"err_code": "NO", "err_msg": "not so", "request_id": "r"})]
    with pytest.raises(getattr(errors, kind), match="not so") as caught:
        gathered(stream(server))
    assert len(server.opened) == 1
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None  # its frames would hold the key


def test_a_service_that_is_busy_is_asked_again(server: Server) -> None:
    server.faults = [say(429, {"err_msg": "Too many requests."}), say(503, b"later", Retry_After="0")]
    turns, _ = gathered(stream(server))
    assert len(turns)
    assert len(server.opened) == 3


def test_a_service_that_stays_busy_is_left_alone(server: Server) -> None:
    server.faults = [say(429, {"err_msg": "Too many requests."})] * 9
    with pytest.raises(errors.RateLimitedError):
        gathered(stream(server))
    assert len(server.opened) == QUICK.attempts


def test_nobody_there_is_an_error_of_ours(server: Server) -> None:
    with pytest.raises(errors.ApiConnectionError, match="cannot open a stream"):
        gathered(stream(server, base_url="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    "options",
    [
        {"diarize_model": "latest"}, {"diarize_model": "v1"}, {"diarize": False}, {"utterances": True},
        {"detect_language": True}, {"utterance_end_ms": 10}, {"keywords": ["a"]}, {"max_cost": 1},
    ],
)  # fmt: skip
def test_what_a_stream_cannot_have_is_refused_before_connecting(server: Server, options: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidParameterError):
        stream(server, **options)
    assert not server.opened


@pytest.mark.parametrize(
    "params", [{"num_speakers": 2}, {"channels": "split"}, {"confidence": True}, {"turn_level_confidence": True}]
)
def test_what_a_stream_does_not_offer_is_refused(server: Server, params: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidParameterError, match="does not offer"):
        stream(server, params=Params(**params))
    with pytest.raises(errors.InvalidParameterError, match="whisper"):
        stream(server, params=Params(model="whisper"))


def test_newer_documents_may_be_believed(server: Server) -> None:
    with pytest.raises(errors.BadRequestError):  # this server is of May 2026
        gathered(stream(server, diarize_model="latest", newer_documents=True))
    (seen,) = server.opened
    assert seen.asked("diarize_model") == ["latest"]
    assert seen.asked("diarize") == []
    assert "newer_documents" not in dict(seen.query)


def test_no_log_and_no_traceback_shows_the_key(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gathered(stream(server, blocks(until=2.0)))
    diarnb.diarize(diarnb.example("meeting"), engine="deepgram", base_url=server.origin, api_key=KEY, progress=False)
    server.faults = [say(401, {"err_msg": "Invalid credentials."})]
    secret = "a-key-that-must-not-be-seen"
    for options in (
        {"api_key": secret},
        {"api_key": secret, "diarize_model": "v1"},
        {"api_key": secret, "nonsense": 1},
    ):
        try:
            gathered(stream(server, blocks(until=2.0), **options))
        except errors.DiarnbError as error:
            told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        # The frames of this file hold what a user typed; those of the library must not.
        ours = told[told.rindex("engines/deepgram") :]
        assert secret not in ours
    assert KEY not in caplog.text


def test_without_a_key_nothing_is_opened(server: Server) -> None:
    with pytest.raises(errors.MissingApiKeyError):
        DeepgramEngine().stream(blocks(), RATE, Params(), {"base_url": server.origin})


def test_without_websockets_one_sentence_says_what_to_install(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("websockets"):
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'diarnb\[live\]'"):
        stream(server)


def test_a_silent_stream_is_kept_alive(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.LiveStream.__init__, "__kwdefaults__", {"silence": 0.2})
    alive = threading.Event()
    texts = server.texts

    def hesitating() -> Iterator[Any]:
        parts = list(blocks(until=4.0))
        yield from parts[:8]
        deadline = time.monotonic() + 20
        while "KeepAlive" not in texts and time.monotonic() < deadline:
            time.sleep(0.02)
        alive.set()
        yield from parts[8:]

    turns, _ = gathered(stream(server, hesitating()))
    assert alive.is_set()
    assert "KeepAlive" in texts
    assert len(server.opened) == 1
    assert sorted(" ".join(turn["text"] for turn in turns.values()).split()) == said(server, 4.0)


def test_a_stream_that_was_closed_for_its_silence_goes_on(server: Server) -> None:
    server.idle = 0.3  # and nothing keeps it alive so soon

    def hesitating() -> Iterator[Any]:
        yield SAMPLES[: 4 * RATE]
        assert server.closed.wait(20)
        server.idle = 20.0
        yield SAMPLES[4 * RATE : 8 * RATE]

    with pytest.warns(errors.DiarnbWarning, match="reopened"):
        turns, _ = gathered(stream(server, hesitating()))
    assert len(server.opened) == 2
    assert max(turn["end"] for turn in turns.values()) > 6


def test_leaving_early_tells_the_service(server: Server) -> None:
    changes = stream(server)
    next(changes)
    changes.close()  # type: ignore[attr-defined]
    assert server.closed.wait(20)
    assert server.texts[-1] == "CloseStream"
    assert not [thread for thread in threading.enumerate() if thread.name == "diarnb-live" and _lives(thread)]


def _lives(thread: threading.Thread) -> bool:
    thread.join(5)
    return thread.is_alive()


def test_an_error_of_the_sound_is_not_swallowed(server: Server) -> None:
    def failing() -> Iterator[Any]:
        yield SAMPLES[:RATE]
        raise OSError("the microphone is gone")

    with pytest.raises(OSError, match="microphone"):
        gathered(stream(server, failing()))
    assert server.texts[-1:] == ["CloseStream"] or server.closed.wait(20)


def test_words_without_speakers_are_an_error_that_explains_itself(server: Server) -> None:
    def unnamed(message: dict[str, Any]) -> dict[str, Any]:
        for word in message["channel"]["alternatives"][0]["words"]:
            word.pop("speaker")
        return message

    server.change = unnamed
    with pytest.raises(errors.ApiResponseError, match="no speakers"):
        gathered(stream(server))


def test_messages_of_other_kinds_are_passed_over(server: Server) -> None:
    sent: list[int] = []

    def noisy(message: dict[str, Any]) -> Any:
        sent.append(1)
        odd = [b"no JSON", b"[1", json.dumps({"type": "Novelty"}).encode(), b"[]", b'{"type": "SpeechStarted"}']
        return odd[len(sent) % 7] if len(sent) % 7 < 5 and not message["is_final"] else message

    server.change = lambda message: message if message["is_final"] else noisy(message)
    server.texts.clear()
    turns, _ = gathered(stream(server, blocks(until=12.0)))
    assert sorted(" ".join(turn["text"] for turn in turns.values()).split()) == said(server, 12.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::diarnb.errors.DiarnbWarning")
def test_a_service_that_takes_nothing_any_more_is_given_up(server: Server) -> None:
    server.stalled = threading.Event()
    pace = Pace(connect=5.0, read=5.0, write=0.2, attempts=2, base=0.01, cap=0.02)
    sound = iter([np.ones(400 * RATE, np.float32)])  # more than sockets buffer
    try:
        options = {"api_key": KEY, "base_url": server.origin}
        with pytest.raises(errors.ApiError, match=r"stream at .* broke off|is over"):
            gathered(DeepgramEngine(pace=pace).stream(sound, RATE, Params(), options))
    finally:
        server.stalled.set()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::diarnb.errors.DiarnbWarning")
def test_a_service_that_answers_nothing_is_given_up(server: Server) -> None:
    server.change = lambda message: {"type": "Novelty"}
    pace = Pace(connect=5.0, read=5.0, write=0.2, attempts=2, base=0.01, cap=0.02)
    options = {"api_key": KEY, "base_url": server.origin}
    with pytest.raises(errors.StreamClosedError, match="is over") as caught:
        gathered(DeepgramEngine(pace=pace).stream(blocks(until=60.0), RATE, Params(), options))
    assert 0 < caught.value.unsent_seconds < 31  # no sound is sent for ever into nowhere


def test_an_error_of_the_service_ends_the_stream(server: Server) -> None:
    server.change = lambda message: {"type": "Error", "description": "Could not understand", "variant": "SchemaError"}
    with pytest.raises(errors.StreamError, match="Could not understand"):
        gathered(stream(server))


def message(start: float, duration: float, *words: tuple[float, float, int, str], final: bool = True) -> dict[str, Any]:
    told = [{"word": text, "start": s, "end": e, "speaker": who} for s, e, who, text in words]
    channel = {"alternatives": [{"transcript": "", "words": told}]}
    return {"type": "Results", "start": start, "duration": duration, "is_final": final, "channel": channel}


def test_a_turn_grows_until_nothing_can_lengthen_it() -> None:
    turns = GrowingTurns(0.8)
    (first,) = turns.add(message(0, 1, (0.2, 0.9, 0, "Good"), final=False), 0.0)
    assert first == {"turn_id": 0, "start": 0.2, "end": 0.9, "speaker": "SPEAKER_00", "text": "Good", "final": False}
    assert turns.add(message(0, 1, (0.2, 0.9, 0, "Good"), final=False), 0.0) == []
    (longer,) = turns.add(message(0, 2, (0.2, 0.9, 0, "Good"), (1.0, 1.9, 0, "morning")), 0.0)
    assert (longer["text"], longer["final"]) == ("Good morning", False)
    (ended, other) = turns.add(message(2, 1, (2.0, 2.9, 1, "Hi")), 0.0)
    assert (ended["turn_id"], ended["final"]) == (0, True)
    assert (other["turn_id"], other["speaker"], other["final"]) == (1, "SPEAKER_01", False)
    (ended,) = turns.add(message(3, 1), 0.0)  # a second of silence is a pause
    assert (ended["turn_id"], ended["final"]) == (1, True)
    assert turns.close() == []


def test_the_public_stream_ends_with_a_run_that_has_the_words(server: Server) -> None:
    engine = DeepgramEngine(pace=QUICK)
    options = {"api_key": KEY, "base_url": server.origin}
    live = diarnb.stream(blocks(), engine=engine, sample_rate=RATE, **options)
    tables = list(live)
    folded = pd.concat(tables).drop_duplicates("turn_id", keep="last").query("duration > 0")
    turns = live.turns
    assert folded["final"].all()
    assert sorted(" ".join(turns["text"]).split()) == sorted(" ".join(folded["text"]).split()) == said(server)
    assert set(turns["speaker"]) == set(folded["speaker"])
    assert sorted(diarnb.words(turns)["text"]) == said(server)
    run = diarnb.runs().set_index("run").loc[turns.attrs["diarnb"]["run"]]
    assert (run["engine"], run["source"]) == ("deepgram", "stream")
    assert run["billed_seconds"] == pytest.approx(30.0)
    assert KEY not in repr(live.__dict__)


def test_what_was_not_final_is_taken_back() -> None:
    turns = GrowingTurns(0.8)
    told = turns.add(message(0, 2, (0.2, 0.9, 0, "a"), (1.0, 1.5, 4, "b"), final=False), 0.0)
    assert [turn["turn_id"] for turn in told] == [0, 1]
    told = turns.add(message(0, 2, (0.2, 0.9, 0, "a"), (1.0, 1.5, 0, "b")), 0.0)
    assert [(turn["turn_id"], turn["end"] - turn["start"] > 0, turn["text"]) for turn in told] == [
        (0, True, "a b"),
        (1, False, ""),
    ]
    told = turns.add(message(2, 2, (2.0, 3.9, 1, "c")), 0.0)
    assert [(turn["turn_id"], turn["speaker"], turn["text"]) for turn in told] == [
        (0, "SPEAKER_00", "a b"),
        (1, "SPEAKER_01", "c"),
    ]


def test_the_numbers_of_another_connection_come_after_all_that_were_told() -> None:
    turns = GrowingTurns(0.8)
    turns.add(message(0, 2, (0.2, 0.9, 0, "a"), (1.0, 1.5, 3, "b")), 0.0)
    turns.renumber()
    told = turns.add(message(0, 2, (0.2, 0.9, 0, "c")), 2.0)
    assert told[-1]["speaker"] == "SPEAKER_04"
    assert told[-1]["start"] == pytest.approx(2.2)
    assert turns.until == 4.0


@pytest.mark.parametrize(
    "broken",
    [
        {"start": None}, {"duration": "long"}, {"duration": -1}, {"start": float("nan")},
        {"channel": {"alternatives": ["x"]}}, {"channel": {"alternatives": [{"words": [{"word": "a"}]}]}},
    ],
)  # fmt: skip
def test_a_result_that_is_none_is_an_error_of_ours(broken: dict[str, Any]) -> None:
    with pytest.raises(errors.ApiResponseError):
        GrowingTurns(0.8).add({**message(0, 1), **broken}, 0.0)
