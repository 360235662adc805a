"""What a bug report is told: enough to look for the fault, and nothing that is nobody's business."""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import diarnb
from diarnb import _versions

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert diarnb.show_versions() is None
    lines = [line for line in capsys.readouterr().out.splitlines() if len(line) > 24]
    return {line[:23].strip(): line[24:] for line in lines}


def test_it_tells_the_versions_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys)
    assert shown["diarnb"] == version("diarnb")
    assert shown["Python"].startswith(platform.python_version())
    for name in ("numpy", "pandas", "onnxruntime", "ipykernel"):
        assert shown[name] == version(name)
    assert "CPUExecutionProvider" in shown["onnxruntime runs on"]
    assert shown["libsndfile"][0].isdigit()


def test_every_requirement_is_told_of_once_and_extras_by_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [f"{line}; extra == '{name}'" for name, extra in extras.items() for line in extra]
    monkeypatch.setattr(_versions, "requires", lambda _: [*project["dependencies"], *lines])
    known = _versions._requirements()
    assert len(known.pop("")) == len(project["dependencies"])
    assert known["server"] == ["aiohttp"]
    assert known["formats"] == ["openpyxl", "pyannote.core"]  # "diarnb[parquet]" is told of as that extra
    assert known["dask"] == ["dask"]
    assert set(known) == set(extras) - {"test", "docs"}
    names = [name for names in known.values() for name in names]
    assert len(set(names)) == len(names)


def test_what_is_missing_or_broken_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "soundfile", SimpleNamespace())  # and this one is not what it was
    monkeypatch.setattr(_versions, "_AROUND", ("no-such-package",))
    shown = told(capsys)
    assert shown["onnxruntime runs on"] == "cannot be imported (ModuleNotFoundError)"
    assert shown["libsndfile"] == "cannot be imported (AttributeError)"
    assert importlib.util.find_spec("no_such_package") is None
    assert shown["no-such-package"] == "not installed"


def test_it_shows_no_secret_and_no_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "a-key-of-mine")
    diarnb.show_versions()
    out = capsys.readouterr().out
    assert "DEEPGRAM_API_KEY" in out
    assert "PYANNOTEAI_API_KEY" not in out
    assert "where DIARNB_HOME says" in out
    for private in ("a-key-of-mine", str(home), str(Path.home()), str(ROOT), platform.node()):
        assert private not in out
    monkeypatch.delenv("DIARNB_HOME")
    assert told(capsys)["run store"] == "in the usual place"


def test_the_command_line_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "diarnb", "--versions"], capture_output=True, text=True, check=False)
    diarnb.show_versions()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == capsys.readouterr().out
