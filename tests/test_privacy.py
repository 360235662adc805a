"""Nothing leaves this machine: watched from outside, by a proxy that everything is told to use, and on the wire."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import diarnb
from diarnb import errors
from diarnb.engines.cloud.service import Pace
from diarnb.engines.deepgram import DeepgramEngine
from tests import deepgram_server
from tests.clouds import ask, sound
from tests.faultserver import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
STAY = 20  # seconds: telemetry is sent in the background
WORK = {
    "diarize": "diarnb.diarize(diarnb.example('call'), progress=False)",
    "recluster": "diarnb.recluster(diarnb.diarize(diarnb.example('call'), progress=False), num_speakers=2)",
    "player": "diarnb.player(diarnb.diarize(diarnb.example('call'), progress=False))._repr_mimebundle_()",
    "serve": (
        "server = diarnb.serve(workers=1); at = {'base_url': server.base_url, 'api_key': server.key}; "
        "diarnb.diarize(diarnb.example('call'), engine='pyannoteai', progress=False, **at)"
    ),
}


class Listener:
    """A proxy that lets nobody through and writes down who asked for what."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                connection.settimeout(5)
                with connection, suppress(OSError):
                    self.asked.append(connection.recv(65536))

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


def bare_environment(home: Path, **more: str) -> dict[str, str]:
    """Make the environment of somebody new, on a machine that is no test machine."""
    hidden = {"CI", "NO_PROXY", "no_proxy", "ORT_DISABLE_TELEMETRY", *PROXIES}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "HOME": str(home), "DIARNB_HOME": str(home / "diarnb"), **more}


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_process_of_its_own_asks_no_proxy_for_anything(tmp_path: Path, listener: Listener, work: str) -> None:
    proxies = dict.fromkeys(PROXIES, f"http://{listener.address}")
    code = f"import diarnb, time\n{work}\ntime.sleep({STAY})"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, env=bare_environment(tmp_path, **proxies), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert listener.asked == []


def test_the_runtime_is_told_before_it_is_imported_and_what_a_user_set_stays(tmp_path: Path) -> None:
    code = "import diarnb, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in ({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0"):
        environment = bare_environment(tmp_path, **given)
        told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == expected
    late = "import onnxruntime, diarnb, importlib; importlib.reload(diarnb)"
    told = subprocess.run(
        [sys.executable, "-c", late], env=bare_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert told.stderr.count("onnxruntime was imported before diarnb") == 1


WIRE = """
import os, signal, socket, subprocess, sys, threading, time
def ip(*words): subprocess.run(["ip", *words], check=True)
ip("link", "set", "lo", "up")
ip("link", "add", "wire", "type", "veth", "peer", "name", "far")
ip("link", "set", "far", "up"); ip("link", "set", "wire", "up")
ip("addr", "add", "10.9.8.7/24", "dev", "wire"); ip("route", "add", "default", "via", "10.9.8.1")
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0003)); tap.bind(("wire", 0)); tap.settimeout(1)
seen, over = [], threading.Event()
def listen():
    while not over.is_set():
        try:
            frame = tap.recv(65536)
        except TimeoutError:
            continue
        own = frame[12:14] == b"\\x86\\xdd"  # the kernel's own greetings by IPv6 at the start
        if not own:
            seen.append(frame[:60].hex())
threading.Thread(target=listen, daemon=True).start()
if "probe" in sys.argv:
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); out.sendto(b"hello", ("192.0.2.1", 9))
else:
    subprocess.run([sys.executable, "-W", "ignore", "-c", sys.argv[1]], check=True)
time.sleep(2); over.set(); time.sleep(1.5)
print(len(seen), *seen[:3])
"""


@pytest.mark.slow
@pytest.mark.parametrize("work", ["probe", "diarize"])
def test_nothing_is_on_the_wire_either(tmp_path: Path, work: str) -> None:
    """Proxies do not see who connects directly: the same in a network of its own, with a wire that leads nowhere."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("there are no tools to make a network of its own")
    wire = ["unshare", "-rn", "ip", "link", "add", "wire", "type", "veth"]
    if subprocess.run(wire, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a network of its own")
    code = "probe" if work == "probe" else f"import diarnb, time; {WORK[work]}; time.sleep({STAY})"
    command = ["unshare", "-rn", sys.executable, "-c", WIRE, code]
    done = subprocess.run(command, env=bare_environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frames = int(done.stdout.split()[0])
    assert frames > 0 if work == "probe" else frames == 0, done.stdout


# Proxies and this machine's own servers.


@contextmanager
def proxied(monkeypatch: pytest.MonkeyPatch, address: str) -> Iterator[None]:
    with monkeypatch.context() as changed:
        for name in ("NO_PROXY", "no_proxy"):
            changed.delenv(name, raising=False)
        for name in PROXIES:
            changed.setenv(name, address)
        yield


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_never_asked_through_a_proxy(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with serving() as service, proxied(monkeypatch, f"http://{listener.address}"):
        origin = service.origin.replace("127.0.0.1", host)
        assert len(ask(origin, sound())) == 2
    assert listener.asked == []


def test_deepgram_and_streams_on_loopback_use_no_proxy_either(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DeepgramEngine(pace=Pace(base=0.01, cap=0.02))
    samples = np.zeros(8000, np.float32)
    named: dict[str, Any] = {"api_key": deepgram_server.KEY, "engine": engine}
    with deepgram_server.serving() as service, proxied(monkeypatch, f"http://{listener.address}"):
        assert len(diarnb.diarize(diarnb.example("call"), base_url=service.origin, progress=False, **named))
        assert len(diarnb.diarize(f"{service.origin}/talk.flac", base_url=service.origin, progress=False, **named))
        list(diarnb.stream([samples], sample_rate=8000, base_url=service.origin, **named))
        assert service.opened
    assert listener.asked == []


def test_another_host_is_asked_through_the_proxy(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied(monkeypatch, f"http://{listener.address}"), pytest.raises(errors.ApiConnectionError):
        ask("https://service.invalid", sound())
    assert listener.asked[0].startswith(b"CONNECT service.invalid:443")


def test_a_socks_proxy_without_its_package_is_told_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with proxied(monkeypatch, "socks5://127.0.0.1:9"):
        with pytest.raises(errors.ConfigurationError, match=r"pip install 'httpx\[socks\]'"):
            ask("https://service.invalid", sound())
        with pytest.raises(errors.ConfigurationError, match=r"pip install 'httpx\[socks\]'"):
            diarnb.diarize("https://service.invalid/a.wav", progress=False)
        blocks = [np.zeros(800, np.float32)]
        with pytest.raises(errors.ConfigurationError, match=r"python-socks"):
            list(diarnb.stream(blocks, engine="deepgram", sample_rate=8000, api_key="x" * 20))
    assert diarnb.runs().query("state != 'prepared'").empty
