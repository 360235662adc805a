"""The server as a pyannoteAI to its own SDK, as it is, and to our own client."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

import diarnb
from diarnb import cloud, errors
from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine
from diarnb.params import Params
from tests.clouds import hasty
from tests.pyannoteai_calls import (
    MEDIA,
    Local,
    excerpt,
    upload,
)
from tests.servers import PATIENCE, InThread, in_thread

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


# The vendor's own SDK, as it is.


@pytest.fixture
def sdk(server: InThread) -> Any:
    from pyannoteai.sdk import Client

    class Local(Client):
        API_URL = f"{server.base_url}/v1"

    return Local(server.key)


@pytest.mark.slow
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
    with pytest.raises(errors.BadRequestError, match="model: Must be one of precision-2"):
        diarnb.diarize((np.zeros(16000, np.float32), 16000), model="precision-9", **own(server))
    with pytest.raises(errors.AuthenticationError):
        diarnb.diarize((np.zeros(16000, np.float32), 16000), **own(server) | {"api_key": "another-key-altogether"})


def test_silence_has_no_turns(server: InThread) -> None:
    silence = (np.zeros(32000, np.float32), 16000)
    turns = diarnb.diarize(silence, exclusive=True, confidence=True, **own(server))
    assert turns.empty
    assert diarnb.exclusive(turns).empty
