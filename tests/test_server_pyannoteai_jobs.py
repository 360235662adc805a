"""The server as a pyannoteAI: what becomes of a job, with voices and words, against the local engine."""

from __future__ import annotations

import itertools
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

import diarnb
from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine
from diarnb.engines.pyannoteai.answers import read_answer
from diarnb.params import Params
from diarnb.server.jobs import RESULT_KEPT
from diarnb.server.pyannoteai.task import TASKS
from tests.loopback import answering, serving
from tests.pyannoteai_calls import (
    MEDIA,
    MOMENT,
    SDK_BODY,
    Local,
    call,
    ended,
    excerpt,
    fields,
    finished,
    post,
    upload,
)
from tests.servers import OTHER_KEY, InThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    with in_thread(words="tests.pyannoteai_calls:hear") as server:
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
