"""What every test stands on: a run store of its own, no network but loopback, no window."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pytest
from hypothesis import HealthCheck, settings

import diarnb
from tests.faultserver import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from tests.faultserver import FaultServer

ROOT = Path(__file__).parents[1]
EXAMPLES = ("meeting", "interview", "call")
LONGEST = (  # the files that take most processor time, in this order
    "test_browser_controls",
    "test_browser_keeping",
    "test_browser_player",
    "test_browser_lab",
    "test_package",
    "test_browser_studio",
    "test_kernel",
    "test_docs",
    "test_typing",
)
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

# A shell that starts something in the background has it ignore interrupts, and with it all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine may be slow: no test asserts how long anything takes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

mpl.use("Agg")  # here and not by MPLBACKEND, which the kernels of the notebooks would inherit


def _stay_home(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook sees every socket of this process, whoever opens it; that of a subprocess it cannot see.
    if event not in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        return
    address = arguments[1]
    if isinstance(address, tuple) and address[0] not in _LOOPBACK:
        pytest.fail(f"a test wanted to reach {address!r}")  # no Exception, so that nobody catches it


sys.addaudithook(_stay_home)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # in the order in which they are collected, not by the number of tests
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):  # a core each: the networks' threads would fight for all of them
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
    home = tempfile.TemporaryDirectory(prefix="diarnb-tests-")
    config.add_cleanup(home.cleanup)
    # For what no fixture reaches: fixtures of a session, kernels of notebooks.
    os.environ["DIARNB_HOME"] = home.name
    # For subprocesses in other folders: this checkout, installed or not.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A file that takes minutes and begins last keeps all other cores waiting.
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    for item in items:
        if item.path.suffix == ".ipynb" and not item.path.name.startswith("01"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a run store that is empty and this test's own."""
    folder = tmp_path / "diarnb-home"
    monkeypatch.setenv("DIARNB_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    services = [f"{service}_{what}" for service in ("PYANNOTEAI", "DEEPGRAM") for what in ("API_KEY", "BASE_URL")]
    for name in (*services, "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> Iterator[FaultServer]:
    """A pyannoteAI of this machine, which breaks on command."""
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_engine_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diarnb.engines.registry.registered", {})


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def examples_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run store that knows the examples; tests take a copy of it (`known`)."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIARNB_HOME", str(folder))
        for name in EXAMPLES:
            diarnb.diarize(diarnb.example(name), progress=False)
    return folder


@pytest.fixture
def known(examples_home: Path, home: Path) -> dict[str, pd.DataFrame]:
    """The turns of each example, whose runs this test's store holds."""
    shutil.copytree(examples_home, home)
    return {name: diarnb.diarize(diarnb.example(name), progress=False) for name in EXAMPLES}
