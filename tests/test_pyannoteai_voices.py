"""Voices at pyannoteAI: voiceprints and known people, paid once, told before, and never mixed with another maker's."""

from __future__ import annotations

import hashlib
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import diarnb
from diarnb import cloud, errors
from tests import faultserver as faults
from tests.clouds import hasty, sound
from tests.faultserver import KEY, FaultServer

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

RATE = 16_000
FAMILY = "pyannoteai:precision-1-2:"


def at(service: FaultServer, **named: Any) -> dict[str, Any]:
    return {"engine": hasty(), "api_key": KEY, "base_url": service.origin, "progress": False, **named}


def sent(service: FaultServer, endpoint: str) -> list[dict[str, Any]]:
    return [request.json() for request in service.received if request.route == f"POST /v1/{endpoint}"]


def test_a_voiceprint_is_paid_once_and_bears_its_family(service: FaultServer) -> None:
    first = diarnb.voiceprint(sound(1), **at(service))
    assert first.startswith(FAMILY)
    assert diarnb.voiceprint(sound(1), **at(service)) == first
    assert len(service.jobs) == 1
    (asked,) = sent(service, "voiceprint")
    assert "model" not in asked  # the service decides
    assert first == FAMILY + hashlib.sha256(service.media[asked["url"]]).hexdigest()
    listed = diarnb.runs().iloc[0]
    assert (listed["engine"], listed["state"]) == ("pyannoteai", "succeeded")
    with pytest.raises(errors.InvalidParameterError, match=r"voiceprint\(...\) gives it"):
        diarnb.resume(listed["job_id"], **at(service))


def test_known_people_are_found_and_paid_once(service: FaultServer) -> None:
    beth = diarnb.voiceprint(sound(1), **at(service))
    turns = diarnb.identify(sound(2), {"Beth": beth}, threshold=40, **at(service))
    (asked,) = sent(service, "identify")
    assert asked["voiceprints"] == [{"label": "Beth", "voiceprint": beth.removeprefix(FAMILY)}]
    assert asked["matching"] == {"exclusive": True, "threshold": 40.0}
    assert "model" not in asked
    assert list(turns["speaker"]) == ["Beth", "SPEAKER_00"]
    assert diarnb.identify(sound(2), {"Beth": beth}, threshold=40, **at(service)).equals(turns)
    assert len(service.jobs) == 2
    found = diarnb.matches(turns)
    assert found[["speaker", "voiceprint", "score", "matched"]].to_dict("records") == [
        {"speaker": "SPEAKER_01", "voiceprint": "Beth", "score": 93.0, "matched": True}
    ]
    again = diarnb.open_run(turns.attrs["diarnb"]["run"])
    assert again.equals(turns)
    assert diarnb.matches(again).equals(found)
    assert diarnb.runs()["billed_seconds"].iloc[0] == 20.0
    diarnb.identify(sound(2), {"Beth": beth}, threshold=50, **at(service))  # another question
    assert len(service.jobs) == 3


def test_a_table_of_known_people_bears_their_names_throughout(service: FaultServer) -> None:
    wishes = {"turn_level_confidence": True, "confidence": True, "speaker_probability": True}
    turns = diarnb.identify(sound(), {"Beth": "AAAA"}, **wishes, **at(service))
    assert list(turns["confidence"]) == [90.0, 40.0]
    assert set(diarnb.confidences(turns).columns) == {"Beth", "SPEAKER_00"}
    assert list(diarnb.frames(turns)) == ["start", "end", "confidence", "SPEAKER_00", "Beth"]
    renamed = diarnb.rename(turns, {"Beth": "Elisabeth"})
    assert "Elisabeth" in diarnb.frames(renamed)


@pytest.mark.parametrize("fault", [faults.fin_after, faults.short_body, faults.slices])
@pytest.mark.parametrize("endpoint", ["voiceprint", "identify"])
def test_whatever_happens_on_the_way_it_is_paid_once(service: FaultServer, endpoint: str, fault: faults.Fault) -> None:
    service.plan[f"POST /v1/{endpoint}"] = [fault]
    if endpoint == "voiceprint":
        assert diarnb.voiceprint(sound(), **at(service)).startswith(FAMILY)
    else:
        assert len(diarnb.identify(sound(), {"Beth": "AAAA"}, **at(service))) == 2
    assert len(service.jobs) == 1


def test_how_people_are_found_is_sent_as_it_is_said(service: FaultServer) -> None:
    how = {"threshold": 50, "exclusive": False}
    diarnb.identify(sound(), {"Beth": "AAAA"}, matching=how, **at(service))
    (asked,) = sent(service, "identify")
    assert asked["matching"] == {"threshold": 50.0, "exclusive": False}
    with pytest.raises(errors.InvalidParameterError, match="leave out one of them"):
        diarnb.identify(sound(), {"Beth": "AAAA"}, matching=how, threshold=10, **at(service))
    with pytest.raises(errors.InvalidParameterError, match="matching is a dict"):
        diarnb.identify(sound(), {"Beth": "AAAA"}, matching=50, **at(service))
    assert len(service.jobs) == 1


def test_what_will_be_billed_is_told_before_it_is(service: FaultServer) -> None:
    told: list[tuple[str, int]] = []

    def listen(stage: str, _fraction: float) -> None:
        told.append((stage, len(service.jobs)))

    for _ in range(2):
        diarnb.identify(diarnb.example("interview"), {"Beth": "AAAA"}, **at(service, progress=listen))
    assert told[0] == ("69 s will be billed", 0)
    assert sum("billed" in stage for stage, _ in told) == 1  # the second time nothing is
    diarnb.voiceprint(sound(), **at(service, progress=listen))
    assert ("billed once each", 1) in told


def test_the_voice_of_one_speaker_of_a_table_is_sent_and_nothing_else(
    service: FaultServer, known: dict[str, pd.DataFrame]
) -> None:
    turns = known["interview"]
    beth = diarnb.voiceprint(turns[turns["speaker"] == "SPEAKER_00"], **at(service))
    assert beth.startswith(FAMILY)
    (asked,) = sent(service, "voiceprint")
    assert len(service.media[asked["url"]]) < 2 * RATE * 30.1 + 100


@pytest.mark.slow
def test_voiceprints_of_different_makers_are_not_mixed(service: FaultServer, known: dict[str, pd.DataFrame]) -> None:
    turns = known["interview"]
    local = diarnb.voiceprint(turns[turns["speaker"] == "SPEAKER_00"])
    with pytest.raises(errors.VoiceprintError, match="local engine, and pyannoteAI cannot read it"):
        diarnb.identify(sound(), {"Beth": local}, **at(service))
    with pytest.raises(errors.VoiceprintError, match="looks like one of pyannoteAI"):
        diarnb.identify(turns, {"Beth": FAMILY + "AAAA"})
    with pytest.raises(errors.VoiceprintError, match="family 'precision-1-2'"):
        diarnb.identify(sound(), {"Beth": FAMILY + "AAAA"}, model="precision-9", **at(service))
    assert service.asked.total() == 0
    for model in ("precision-1", "precision-2"):  # these read each other's
        diarnb.identify(sound(), {"Beth": FAMILY + "AAAA"}, model=model, **at(service))
    diarnb.identify(sound(), {"Beth": "AA AA\n"}, model="precision-9", **at(service))  # of somebody who knows better
    assert [asked["voiceprints"][0]["voiceprint"] for asked in sent(service, "identify")] == ["AAAA"] * 3


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ((np.zeros(RATE * 31, np.float32), RATE), {}),
        (sound(), {"model": "community-1"}),
        (sound(), {"transcription": True, "model": "precision-2"}),
        (sound(), {"max_cost": 1.0, "price_per_hour": 1.0}),
        (sound(), {"voices": 2}),
    ],
    ids=["31 s", "community-1", "transcription", "max_cost", "unknown"],
)
def test_what_makes_no_voiceprint_is_refused_before_a_byte_is_sent(
    service: FaultServer, source: Any, arguments: dict[str, Any]
) -> None:
    with pytest.raises((errors.AudioLimitError, errors.InvalidParameterError)):
        diarnb.voiceprint(source, **at(service, **arguments))
    assert service.asked.total() == 0


def test_a_table_is_identified_here_and_not_there(service: FaultServer, known: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(errors.InvalidParameterError, match="pass the recording, which is billed"):
        diarnb.identify(known["interview"], {"Beth": "AAAA"}, **at(service))
    with pytest.raises(errors.InvalidParameterError, match="this table is diarized"):
        diarnb.identify(known["interview"], {"Beth": "AAAA"}, num_speakers=2)
    with pytest.raises(errors.InvalidParameterError, match="'deepgram' has no voiceprints"):
        diarnb.identify(known["interview"], {"Beth": "AAAA"}, engine="deepgram")
    with pytest.raises(errors.InvalidParameterError, match="without 'model'"):
        diarnb.voiceprint(sound(), model="precision-2")
    assert service.asked.total() == 0


@pytest.mark.slow
def test_turns_of_a_service_are_identified_with_local_voiceprints(
    service: FaultServer, known: dict[str, pd.DataFrame]
) -> None:
    truth = known["interview"]
    rows = truth[["start", "end", "speaker"]].to_dict("records")
    service.output = lambda request, content: {"diarization": rows}
    turns = diarnb.diarize(diarnb.example("interview"), **at(service))
    prints = {"Maya": diarnb.voiceprint(truth[truth["speaker"] == "SPEAKER_00"])}
    named = diarnb.identify(turns, prints, threshold=50)
    assert set(named["speaker"]) == {"Maya", "SPEAKER_01"}
    assert len(service.jobs) == 1


def test_a_delivery_of_known_people_is_read_with_their_names(service: FaultServer) -> None:
    wishes = {"voiceprints": {"Beth": "AAAA"}, "webhook": "http://127.0.0.1:1/hook"}
    job = cloud.submit(sound(), **wishes, **at(service))
    _, delivery = service.job(job)
    assert list(cloud.from_payload(delivery)["speaker"]) == ["Beth", "SPEAKER_00"]
    assert len(sent(service, "identify")) == 1


def test_no_frame_of_a_traceback_holds_the_key(service: FaultServer) -> None:
    service.plan = {"POST /v1/voiceprint": [faults.refuses(402)], "POST /v1/identify": [faults.refuses(402)]}
    calls: list[Callable[[], object]] = [
        lambda: diarnb.voiceprint(sound(), **at(service)),
        lambda: diarnb.identify(sound(), {"Beth": "AAAA"}, **at(service)),
        lambda: cloud.jobs(api_key=KEY, base_url=service.origin),
    ]
    for call in calls:
        if call is calls[-1]:
            service.plan = {"GET /v2/jobs": [faults.refuses(403)]}
        with pytest.raises(errors.ApiStatusError) as caught:
            call()
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        assert len(frames) > 3
        assert not [
            frame for frame in frames if KEY in repr(frame.f_locals) and "/tests/" not in frame.f_code.co_filename
        ]
