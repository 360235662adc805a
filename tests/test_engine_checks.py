"""What authors of engines test theirs with: it passes what keeps its promises, and names those that are broken."""

from __future__ import annotations

import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import diarnb
from diarnb import engines
from diarnb.engines.base import Answer, Engine, Offer, Option
from diarnb.errors import InvalidParameterError
from diarnb.testing import check_engine
from tests import deepgram_server, faultserver
from tests.clouds import hasty

if TYPE_CHECKING:
    import pandas as pd

    from tests.faultserver import Request


def at(value: Any) -> float:
    if not 0 < value < 1:
        raise InvalidParameterError(f"at is between 0 and 1, not {value!r}")
    return float(value)


class Good(Engine):
    """Cuts a recording into as many parts as speakers are asked for; a subclass breaks one promise."""

    name = "good"
    offer = Offer(
        models=("knife",),
        exclusive=False,
        confidence=False,
        channels=False,
        options={"at": Option("where to cut", at)},
    )

    def version(self, model: str) -> str:
        return "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        progress("cutting", 0.5)
        evidence = {"seconds": np.array(recording.duration)}
        return Answer(self.decide(evidence, params, options), evidence)

    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        low, high = params.bounds
        number = max(low, min(2, high or 2))
        edges = np.linspace(0, float(evidence["seconds"]), number + 1).tolist()
        turns = [
            {"start": start, "end": end, "speaker": f"SPEAKER_{k:02d}", "confidence": {f"SPEAKER_{k:02d}": 80.0}}
            for k, (start, end) in enumerate(pairwise(edges))
        ]
        return {"diarization": turns, "duration": float(evidence["seconds"])}


def results(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["check"], table["result"], strict=True))


def test_an_engine_that_keeps_its_promises_passes_and_leaves_nothing_behind() -> None:
    found = check_engine(Good())
    assert found.columns.tolist() == ["check", "result", "why"]
    assert results(found)["decides again"] == results(found)["confidences"] == "passed"
    assert found.set_index("check").loc["words", "why"] == "has no words of its own"
    assert diarnb.runs().empty
    assert engines.names() == list(engines.NAMES)


class Versions(Good):
    number = 0

    def version(self, model: str) -> str:
        type(self).number += 1
        return str(self.number)


class Priceless(Good):
    offer = replace(
        Good.offer, options={**Good.offer.options, "max_cost": Option("send nothing that costs more", float)}
    )


class Quiet(Good):
    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        return super().diarize(recording, params, options, lambda stage, fraction: None)


class Stubborn(Good):
    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        try:
            progress("cutting", 0.5)
        except KeyboardInterrupt:
            progress = lambda stage, fraction: None  # noqa: E731
        return super().diarize(recording, params, options, progress)


class Deaf(Good):
    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        return super().decide(evidence, diarnb.params.Params(num_speakers=3), options)


class Forgetful(Good):
    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        return super().decide({"seconds": evidence["seconds"] / evidence.get("again", 1)}, params, options)

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        answer = super().diarize(recording, params, options, progress)
        return Answer(answer.raw, {**(answer.evidence or {}), "again": np.array(2)})


class Long(Good):
    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        return super().decide({"seconds": evidence["seconds"] * 1.01}, params, options)


class Sure(Good):
    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        raw = super().decide(evidence, params, options)
        return {**raw, "diarization": [{**turn, "confidence": {turn["speaker"]: 101.0}} for turn in raw["diarization"]]}


class Twice(Good):
    def decide(self, evidence: Any, params: Any, options: Any) -> dict[str, Any]:
        raw = super().decide(evidence, params, options)
        first = raw["diarization"][0]
        return {**raw, "diarization": [first, {**first, "start": first["end"] - 0.5, "end": first["end"] + 0.5}]}


class Fragile(Good):
    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        if recording.duration < 0.1:
            raise ZeroDivisionError("no window fits")
        return super().diarize(recording, params, options, progress)


class Fails(Good):
    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        if not any(block.any() for block in recording.blocks()):
            raise ZeroDivisionError("nobody speaks")
        return super().diarize(recording, params, options, progress)


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Versions(), r"declares: version\(\) changes from call to call"),
        (Priceless(), "declares: it takes max_cost, and does not say what it bills"),
        (Quiet(), r"answers: it never calls progress\(\)"),
        (Stubborn(), "interrupts: an interrupt does not stop it"),
        (Deaf(), r"counts: \{'num_speakers': 2\} gives 3 speakers"),
        (Forgetful(), "decides again: "),
        (Long(), r"answers: a turn ends at \d+\.\d s, the recording at"),
        (Twice(), "overlap: a speaker overlaps with themselves for 0.50 s"),
        (Fragile(), "errors: ZeroDivisionError: no window fits"),
        (Sure(), "confidences: the confidence of a turn is not 0-100"),
        (Fails(), "silence: ZeroDivisionError: nobody speaks"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Engine) else "",
)
def test_a_broken_promise_is_named(engine: Engine, says: str) -> None:
    with pytest.raises(AssertionError, match=f"the engine 'good' breaks .*promises(.|\n)*{says}"):
        check_engine(engine)
    assert diarnb.runs().empty


@pytest.mark.slow
def test_the_local_engine_keeps_all_promises() -> None:
    found = check_engine("local", threads=1)
    assert found.loc[found["result"] == "skipped", "check"].tolist() == ["words", "keys", "kill and paid once"]


@dataclass
class Fake:
    """Two servers of the tests, as `check_engine` sees one."""

    server: Any
    api_key: str

    @property
    def base_url(self) -> str:
        return str(self.server.origin)

    @property
    def billed(self) -> int:
        billed = self.server.billed
        return billed if isinstance(billed, int) else sum(billed.values())


def obedient(request: Request, content: bytes) -> dict[str, Any]:
    output = faultserver.usual_output(request, content)
    if request.json().get("maxSpeakers") == 1:
        output["diarization"] = output["diarization"][:1]
    return output


@pytest.mark.slow
def test_pyannoteai_keeps_all_promises_also_those_on_money() -> None:
    with faultserver.serving(output=obedient, polls=30) as server:
        found = results(check_engine(hasty(), service=Fake(server, faultserver.KEY)))
    assert found["keys"] == found["kill and paid once"] == found["interrupts"] == "passed"


@pytest.mark.slow
def test_deepgram_keeps_all_promises_also_those_on_money() -> None:
    with deepgram_server.serving(example="call") as server:
        found = results(check_engine("deepgram", diarnb.example("call"), service=Fake(server, deepgram_server.KEY)))
    assert found["words"] == found["keys"] == found["kill and paid once"] == "passed"


class Careless(Good):
    """Sends, pays and forgets, as an engine without a ledger does."""

    offer = Offer(
        models=("knife",),
        exclusive=False,
        confidence=False,
        turn_level_confidence=False,
        channels=False,
        options={name: Option("of the service", str, changes_result=False) for name in ("api_key", "base_url")},
    )

    def billable_seconds(self, seconds: float) -> float:
        return seconds

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        with urllib.request.urlopen(options["base_url"], b"", timeout=20):
            return super().diarize(recording, params, options, progress)


@pytest.mark.slow
def test_an_engine_without_a_ledger_is_found_out() -> None:
    class Counting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            service.server.billed += 1
            time.sleep(0.3)  # so that whoever asks can be killed meanwhile
            with suppress(OSError):
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        service = Fake(SimpleNamespace(origin=address, billed=0), "a key")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        broken = "kill and paid once: what a killed process had paid for is paid again"
        with pytest.raises(AssertionError, match=f"(.|\n)*{broken}"):
            check_engine(Careless(), service=service)
        server.shutdown()
