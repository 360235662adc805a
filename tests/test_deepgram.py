"""Deepgram from a call to a table, against a server that is as strict as the service: paid once, nothing lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb import cloud, errors, transcript
from diarnb.engines import deepgram
from diarnb.engines.cloud.paid_jobs import Order
from diarnb.engines.cloud.replies import Reply
from diarnb.engines.deepgram import DeepgramEngine
from diarnb.engines.deepgram.requests import DeepgramRequests
from diarnb.params import Params
from diarnb.store.ledger import Ledger, Submission
from diarnb.store.run import Description
from tests.clouds import MEETING, QUICK, ask_deepgram
from tests.deepgram_server import KEY, Server, groups, serving
from tests.deepgram_server import transcript as transcript_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_a_recording_becomes_the_table_of_turns(server: Server) -> None:
    turns = ask_deepgram(server)
    assert list(turns) == ["start", "end", "duration", "speaker", "text"]
    truth = groups(sorted(server.words(), key=lambda word: word["start"]))
    # Deepgram's text, cut where the speaker changes, and at pauses.
    assert " ".join(turns["text"]) == " ".join(word["text"] for group in truth for word in group)
    assert turns["speaker"].nunique() == 4
    assert turns["speaker"][0] == "SPEAKER_00"
    facts = turns.attrs["diarnb"]
    assert (facts["engine"], facts["model"], facts["source"]) == ("deepgram", "nova-3", "meeting.flac")
    assert (facts["duration"], facts["warning"]) == (90.0, None)


def test_bytes_are_sent_as_they_are_and_the_query_is_the_documented_one(server: Server) -> None:
    ask_deepgram(server, keyterm=["slugs", "beds"], tag="a b")
    (seen,) = server.seen
    assert seen.body == MEETING.read_bytes()
    assert seen.headers["authorization"] == f"Token {KEY}"
    assert seen.headers["content-type"] == "application/octet-stream"
    assert sorted(seen.query) == [
        ("diarize_model", "latest"),
        ("keyterm", "beds"),
        ("keyterm", "slugs"),
        ("model", "nova-3"),
        ("punctuate", "true"),
        ("tag", "a b"),
    ]


def test_an_address_is_passed_on(server: Server) -> None:
    url = f"{server.origin}/talk.flac?key=secret"
    turns = ask_deepgram(server, url)
    (seen,) = server.seen
    assert json.loads(seen.body) == {"url": url}
    assert seen.headers["content-type"] == "application/json"
    assert turns["speaker"].nunique() == 4
    assert turns.attrs["diarnb"]["source"] == f"{server.origin}/talk.flac"
    ask_deepgram(server, f"{server.origin}/talk.flac?key=another")
    assert server.billed == 1


def test_samples_are_sent_as_a_file(server: Server) -> None:
    samples, rate = soundfile.read(MEETING, dtype="float32")
    ask_deepgram(server, (samples, rate))
    assert server.seen[0].body.startswith(b"RIFF")


def test_the_same_question_is_paid_once(server: Server) -> None:
    first = ask_deepgram(server)
    pd.testing.assert_frame_equal(ask_deepgram(server), first)
    pd.testing.assert_frame_equal(ask_deepgram(server, MEETING.read_bytes()), first)
    ask_deepgram(
        server, tag="later", on_lost_response="rebill", callback_method="post", callback="https://example.org/x"
    )
    assert server.billed == 1
    ask_deepgram(server, smart_format=True)
    ask_deepgram(server, model="nova-2")
    ask_deepgram(server, diarize=True)
    assert server.billed == 4
    ask_deepgram(server, refresh=True)
    assert server.billed == 5


def test_the_ledger_tells_what_was_billed(server: Server) -> None:
    turns = ask_deepgram(server)
    (row,) = diarnb.runs().to_dict("records")
    assert (row["engine"], row["model"], row["state"]) == ("deepgram", "nova-3", "succeeded")
    assert row["billed_seconds"] == 90.0
    assert row["job_id"] == diarnb.raw(turns)["metadata"]["request_id"]
    with serving(example="call") as other:
        ask_deepgram(other, diarnb.example("call"), channels="split")
    assert diarnb.runs()["billed_seconds"][0] == 180.0  # each channel is billed
    assert Ledger().table().empty


def test_words_keep_what_the_service_told_of_them(server: Server) -> None:
    words = diarnb.words(ask_deepgram(server))
    assert list(words) == [*("start", "end", "word", "text", "speaker", "confidence", "speaker_confidence", "channel")]
    assert list(words["word"]) == [word["word"] for word in server.words()]
    assert list(words["text"]) == [word["text"] for word in server.words()]
    assert words["speaker_confidence"].between(0.5, 0.8).all()
    assert words["channel"].dtype == np.int64


def test_confidence_is_of_the_assigned_speaker_and_nothing_is_said_of_the_others(server: Server) -> None:
    turns = ask_deepgram(server, turn_level_confidence=True)
    assert turns["confidence"].between(50, 80).all()
    table = diarnb.confidences(turns)
    assert list(table.index) == list(turns.index)
    for index, speaker in turns["speaker"].items():
        assert table.loc[index, speaker] == turns.loc[index, "confidence"]
        assert table.loc[index].drop(speaker).isna().all()


def test_the_lines_of_the_transcript_are_those_of_the_service(server: Server) -> None:
    turns = ask_deepgram(server, utterances=True, utt_split=0.4)
    lines = transcript(diarnb.utterances(turns)).splitlines()
    theirs = diarnb.raw(turns)["results"]["utterances"]
    alone = [said for said in theirs if len({word["speaker"] for word in said["words"]}) == 1]
    assert len(alone) < len(theirs)
    assert {f"[Speaker:{said['speaker']}] {said['transcript']}" for said in alone} <= set(lines)
    assert len(lines) > len(theirs)
    named = diarnb.rename(turns, {"SPEAKER_00": "Maya"})
    assert transcript(diarnb.utterances(named)).startswith("[Maya] Good morning, everybody.")
    assert diarnb.words(named)["speaker"][0] == "Maya"


def test_channels_are_kept_apart() -> None:
    with serving(example="call") as server:
        turns = ask_deepgram(server, diarnb.example("call"), channels="split")
        assert server.seen[0].asked("multichannel") == ["true"]
    assert list(turns) == ["start", "end", "duration", "speaker", "text", "channel"]
    assert turns.groupby("channel")["speaker"].agg(set).to_dict() == {0: {"SPEAKER_00"}, 1: {"SPEAKER_01"}}
    assert set(diarnb.words(turns)["channel"]) == {0, 1}


def test_there_are_no_scores_of_frames(server: Server) -> None:
    with pytest.raises(errors.RunNotFoundError, match="deepgram gives none"):
        diarnb.frames(ask_deepgram(server))


def test_turns_without_overlap_can_be_had(server: Server) -> None:
    alone = diarnb.exclusive(ask_deepgram(server, exclusive=True))
    assert (alone["start"].to_numpy()[1:] >= alone["end"].to_numpy()[:-1]).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_speakers": 2}, {"min_speakers": 2}, {"max_speakers": 3}, {"confidence": True}, {"channels": 0},
        {"model": "whisper"}, {"diarize": True, "diarize_model": "v1"}, {"diarise": True}, {"utt_split": -1},
        {"keywords": ["a"]}, {"max_cost": 1.0}, {"on_lost_response": "retry"}, {"timeout": 0}, {"sample_rate": 8000},
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_before_a_byte_is_sent(server: Server, arguments: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidParameterError):
        ask_deepgram(server, **arguments)
    assert not server.seen
    assert Ledger().table().empty


def test_limits_are_looked_at_before_a_byte_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.InvalidParameterError, match="would cost"):
        ask_deepgram(server, max_cost=0.001, price_per_hour=0.26)
    monkeypatch.setattr(deepgram.DeepgramEngine, "most", (1000, 3600.0))
    with pytest.raises(errors.AudioLimitError, match="1,000"):
        ask_deepgram(server)
    with pytest.raises(errors.AudioLimitError, match="21 channels"):
        ask_deepgram(server, (np.zeros((800, 21), np.float32) + 0.1, 8000), channels="split")
    assert not server.seen
    assert deepgram.MOST_CHANNELS == 20


def test_without_a_key_nothing_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.MissingApiKeyError, match="DEEPGRAM_API_KEY"):
        diarnb.diarize(MEETING, engine="deepgram", base_url=server.origin)
    assert not server.seen
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEY)
    monkeypatch.setenv("DEEPGRAM_BASE_URL", f"{server.origin}/v1")
    assert len(diarnb.diarize(MEETING, engine="deepgram", progress=False))


def test_a_wrong_key_is_told_without_showing_it(server: Server) -> None:
    with pytest.raises(errors.AuthenticationError) as caught:
        ask_deepgram(server, api_key="0123456789-wrong-9876543210")
    assert "0123456789" not in str(caught.value)
    assert server.billed == 0
    assert Ledger().table().empty  # it is certain that nothing was done


def test_a_deployment_without_the_diarizer_is_explained_and_not_paid_twice() -> None:
    with serving(v2_only=True) as server:
        for _ in range(2):
            with pytest.raises(errors.ApiResponseError, match="self-hosted") as caught:
                ask_deepgram(server, diarize=True)
        assert "diarize_model='latest'" in str(caught.value)
        assert server.billed == 1
        assert list(diarnb.runs()["billed_seconds"]) == [90.0]  # what was paid for is kept
        with pytest.raises(errors.ApiResponseError):
            ask_deepgram(server, diarize=True, refresh=True)
        assert server.billed == 2
        assert ask_deepgram(server)["speaker"].nunique() == 4


def test_silence_is_an_empty_table_and_a_warning() -> None:
    with serving(silent=True) as server, pytest.warns(errors.DiarnbWarning, match="no words"):
        turns = ask_deepgram(server, language="de", turn_level_confidence=True)
    assert list(turns) == ["start", "end", "duration", "speaker", "confidence", "text"]
    assert turns.empty
    assert pd.api.types.is_float_dtype(turns["start"])
    assert "no words" in turns.attrs["diarnb"]["warning"]
    for table in (diarnb.words(turns), diarnb.utterances(turns)):
        assert table.empty
        assert pd.api.types.is_integer_dtype(table["channel"])


def test_what_the_service_warns_of_stands_in_the_table(server: Server) -> None:
    said = ["the model is deprecated", {"parameter": "keyterm", "message": "was ignored"}]
    server.change = lambda found: found["metadata"].update(warnings=said) or found
    with pytest.warns(errors.DiarnbWarning, match=r"deprecated.*was ignored"):
        turns = ask_deepgram(server)
    assert "was ignored" in turns.attrs["diarnb"]["warning"]


def test_reading_answers_better_bills_none_of_them_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask_deepgram(server)
    monkeypatch.setattr(deepgram, "_REVISION", 99, raising=False)
    read = deepgram.read_answer

    def better(*arguments: Any, **named: Any) -> Any:
        found = read(*arguments, **named)
        return {**found, "diarization": [{**turn, "text": turn["text"].upper()} for turn in found["diarization"]]}

    monkeypatch.setattr(deepgram, "read_answer", better)
    again = ask_deepgram(server)
    assert server.billed == 1
    assert list(again["text"]) == [text.upper() for text in first["text"]]


def test_a_callback_returns_at_once_with_the_id(server: Server) -> None:
    with pytest.raises(errors.JobAcceptedError, match="from_payload") as caught:
        ask_deepgram(server, callback="https://me:secret@example.org/in?token=secret")
    assert server.seen[0].asked("callback") == ["https://me:secret@example.org/in?token=secret"]
    assert caught.value.job_id == caught.value.request_id
    assert caught.value.job_id in str(caught.value)
    (row,) = diarnb.runs().to_dict("records")
    assert (row["state"], row["job_id"]) == ("accepted", caught.value.job_id)
    with pytest.raises(errors.JobAcceptedError, match="earlier"):
        ask_deepgram(server)  # what is on its way is not paid again
    assert server.billed == 1
    kept = json.dumps([str(entry.about) for entry in Ledger().of_service("deepgram", server.origin)])
    assert "secret" not in kept


def test_a_delivered_answer_is_read_as_one_that_was_waited_for(server: Server) -> None:
    turns = ask_deepgram(server)
    engine = DeepgramEngine()
    found = engine.read(diarnb.raw(turns), Params(), {})
    assert [row["text"] for row in found["diarization"]] == list(turns["text"])


def test_what_is_submitted_is_delivered_and_becomes_the_run_of_its_recording(server: Server) -> None:
    again = {"engine": DeepgramEngine(pace=QUICK), "base_url": server.origin, "api_key": KEY, "progress": False}
    with pytest.raises(errors.InvalidParameterError, match="callback"):
        cloud.submit(MEETING, **again)
    job = cloud.submit(MEETING, callback="https://example.org/in", turn_level_confidence=True, **again)
    assert cloud.submit(MEETING, callback="https://example.org/in", turn_level_confidence=True, **again) == job
    assert server.billed == 1
    delivery = transcript_of(server, server.seen[0])
    delivery["metadata"]["request_id"] = job
    turns = cloud.from_payload(json.dumps(delivery).encode())
    assert turns.attrs["diarnb"]["source"] == "meeting.flac"
    assert "confidence" in turns
    assert list(diarnb.runs()["state"]) == ["succeeded"]
    assert diarnb.runs()["billed_seconds"][0] == delivery["metadata"]["duration"]
    pd.testing.assert_frame_equal(ask_deepgram(server, turn_level_confidence=True), turns)
    assert server.billed == 1
    assert cloud.estimate_cost(MEETING, engine="deepgram", price_per_hour=3600.0) == pytest.approx(89.4, abs=0.1)


@pytest.mark.slow
def test_turns_are_identified_with_local_voiceprints(server: Server, known: dict[str, pd.DataFrame]) -> None:
    turns, local = ask_deepgram(server), known["meeting"]
    maya = diarnb.voiceprint(local[local["speaker"] == local["speaker"].iloc[0]])
    named = diarnb.identify(turns, {"Maya": maya}, threshold=50)
    assert set(named["speaker"]) - set(turns["speaker"]) == {"Maya"}
    assert list(diarnb.words(named)["speaker"].unique()).count("Maya") == 1
    assert server.billed == 1


MEASURED = """
import resource, sys, diarnb
for path in sys.argv[3:]:
    diarnb.diarize(path, engine="deepgram", base_url=sys.argv[1], api_key=sys.argv[2], progress=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in the units of Linux")
def test_a_large_recording_is_never_in_memory_as_a_whole(server: Server, tmp_path: Path) -> None:
    paths = []
    for minutes in (1, 90):
        paths.append(tmp_path / f"{minutes}.wav")
        with soundfile.SoundFile(paths[-1], "w", 16_000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(np.ones(16_000 * 60, np.int16))
    command = [sys.executable, "-c", MEASURED, server.origin, KEY, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert server.seen[1].size == paths[1].stat().st_size > 160 * 1024**2
    assert large - small <= 20  # MiB


@pytest.mark.parametrize(
    ("duration", "timeout", "patience"), [(60.0, None, 660.0), (4000.0, None, 2000.0), (4000.0, 5.0, 5.0)]
)
def test_patience_grows_with_the_recording(duration: float, timeout: float | None, patience: float) -> None:
    waited: list[float] = []

    class Asked:
        async def request(self, *_: Any, read: float, within: float, **__: Any) -> Reply:
            waited.extend([read, within])
            return Reply(200, {"dg-request-id": "r"}, b"{}", "Deepgram")

    about = Description(source="x.wav", engine="deepgram", model="nova-3", duration=duration)
    row = Submission(key="k", engine="deepgram", origin="", endpoint="/v1/listen", about=about)
    order = Order(row, {"query": []}, timeout=timeout)
    asyncio.run(DeepgramRequests(Asked()).send(order, None, lambda: None))  # type: ignore[arg-type]
    assert waited == [patience, patience]


def test_a_temporary_token_is_sent_as_one(server: Server) -> None:
    token = "ey" + "Jhb.payload.signature"
    with pytest.raises(errors.AuthenticationError):
        ask_deepgram(server, api_key=token)
    assert server.seen[0].headers["authorization"] == f"Bearer {token}"


def test_the_server_refuses_what_the_service_refuses(server: Server) -> None:
    """The tests would prove little with a server that takes everything."""
    engine = DeepgramEngine(pace=QUICK)
    settle = engine.settle
    for extra in ({"punctuate": "yes"}, {"keywords": ["a"]}, {"diarize": True}, {"diarize_model": "v9"}):
        engine.settle = lambda params, options, extra=extra: {**settle(params, options), **extra}  # type: ignore[method-assign]
        with pytest.raises(errors.BadRequestError):
            ask_deepgram(server, engine=engine)
    assert server.billed == 0


def test_no_warning_escapes_a_plain_call(server: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask_deepgram(server)
