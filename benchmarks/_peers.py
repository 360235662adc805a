"""The vendors' own SDKs under the same faults, in a Python of their own: ``reliability --peers PYTHON``.

They have no time limits that end (pyannoteAI) or wait for minutes (Deepgram), so only faults are drawn that end by
themselves. An SDK that raises is called again, as a user runs a cell again, three times at most.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

import diarnb
from diarnb import errors
from diarnb.engines.cloud.service import Pace
from diarnb.engines.deepgram import DeepgramEngine
from tests import deepgram_server, schedules
from tests import faultserver as faults
from tests.clouds import ask, sound
from tests.faultserver import refuses, says, serving
from tests.test_deepgram_paid_once import LOST

PYANNOTEAI = """
import sys, warnings
from pyannoteai.sdk import Client
warnings.simplefilter("ignore")
class Local(Client):
    API_URL = sys.argv[1] + "/v1"
client = Local(sys.argv[2])
def call(path):
    return client.retrieve(client.diarize(client.upload(path)), every_seconds=0.02)["output"]["diarization"]
"""
DEEPGRAM = """
import sys
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment as Place
http, ws = sys.argv[1], sys.argv[1].replace("http", "ws")
client = DeepgramClient(api_key=sys.argv[2], environment=Place(base=http, production=ws, agent=ws, agent_rest=http))
def call(path):
    media = client.listen.v1.media
    found = media.transcribe_file(request=open(path, "rb").read(), model="nova-3", diarize_model="latest")
    return found.results.channels[0].alternatives[0].words
"""
LOOP = """
for line in sys.stdin:
    try:
        print("ok" if call(line.strip()) else "empty", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""
Call = Callable[[str], bool]


@contextmanager
def sdk(python: Path, code: str, origin: str, key: str) -> Iterator[Call]:
    """Give a function that has an SDK diarize a file, and says whether turns or words came back."""
    command = [str(python), "-c", code + LOOP, origin, key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def call(path: str) -> bool:
            child.stdin.write(path + "\n")  # type: ignore[union-attr]
            return child.stdout.readline().strip() == "ok"  # type: ignore[union-attr]

        yield call
        child.stdin.close()


def ours(diarize: Callable[[str], Any]) -> Call:
    def call(path: str) -> bool:
        try:
            return not diarize(path).empty
        except errors.DiarnbError:
            return False

    return call


def drawn(calls: Call, plan: Callable[[Any], None], billed: Callable[[], int], files: list[str], seed: int) -> str:
    """Submit every file, half of them with a fault, again where it fails; count what is paid more than once."""
    draw = random.Random(seed)
    double = missing = 0
    for path in files:
        before = billed()
        plan(draw.choice(range(99)) if draw.random() < 0.5 else None)
        missing += not any(calls(path) for _ in range(3))
        double += max(0, billed() - before - 1)
    return f"{double} paid again, {missing} without a result, of {len(files)}"


def compare_schedules(python: Path, seed: int, count: int = 60) -> list[list[str]]:
    """Run pyannoteAI's SDK, and diarnb, through the same random schedules as S22."""
    with tempfile.TemporaryDirectory() as folder:

        def ask_sdk(origin: str, number: int) -> bool:
            path = Path(folder, f"{number}.wav")
            soundfile.write(path, *sound(number))
            with sdk(python, PYANNOTEAI, origin, faults.KEY) as call:
                return call(str(path))

        found = {"pyannoteai-sdk": schedules.run(count, seed, ask_sdk), "diarnb": schedules.run(count, seed)}
    return [
        ["pyannoteAI", who, f"{counts.twice} of {counts.schedules} billed twice, {counts.uncertain} left uncertain"]
        for who, counts in found.items()
    ]


def compare(python: Path, seed: int, count: int = 100) -> list[list[str]]:
    """Run both SDKs, and diarnb, through the same draws."""
    kinds = [
        *(faults.fin_after, faults.reset_after, faults.short_body, faults.cut_chunks, faults.fin_on_accept),
        *(refuses(500, executed=True), refuses(502, executed=True), says(b""), says(b'{"jobId": "3c')),
    ]
    lost = list(LOST.values())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder, f"{number}.wav")) for number in range(count)]
        for number, path in enumerate(files):
            soundfile.write(path, *sound(number))
        for who in ("pyannoteai-sdk", "diarnb"):
            with serving() as server, sdk(python, PYANNOTEAI, server.origin, faults.KEY) as theirs:

                def plan(fault: int | None, server: faults.FaultServer = server) -> None:
                    server.plan["POST /v1/diarize"] = [] if fault is None else [kinds[fault % len(kinds)]]

                def paid(server: faults.FaultServer = server) -> int:
                    return len(server.jobs)

                own = ours(lambda path, server=server: ask(server.origin, path))
                rows.append(["pyannoteAI", who, drawn(own if who == "diarnb" else theirs, plan, paid, files, seed)])
        quick = DeepgramEngine(pace=Pace(base=0.01, cap=0.02))
        for who in ("deepgram-sdk", "diarnb"):
            with (
                deepgram_server.serving() as service,
                sdk(python, DEEPGRAM, service.origin, deepgram_server.KEY) as theirs,
            ):

                def script(fault: int | None, service: deepgram_server.Server = service) -> None:
                    service.faults = [] if fault is None else [lost[fault % len(lost)]]

                def billed(service: deepgram_server.Server = service) -> int:
                    return service.billed

                named = {"base_url": service.origin, "api_key": deepgram_server.KEY, "progress": False}
                own = ours(lambda path, named=named: diarnb.diarize(path, engine=quick, **named))
                rows.append(
                    [
                        "Deepgram",
                        who,
                        drawn(own if who == "diarnb" else theirs, script, billed, files[: count // 2], seed),
                    ]
                )
    return rows
