"""The notebooks where others open them: in Binder, on Colab's versions, and on the oldest that are allowed.

Only a release or another version of a dependency can break these, so they bear `release`; `tests/test_package.py` has
an environment for every change. Some of the oldest versions compute with other roundings, and a turn that is doubtful
anyway may fall the other way. There the notebooks must run without an error or a word on stderr, and the turns agree
with those of here nearly all of the time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import numpy as np
import pytest

import diarnb
from diarnb.audio import open_recording
from diarnb.engines.local.segmentation import RATE
from diarnb.engines.local.voiceprints import embed
from tests.environments import ROOT, Environment, check

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

COLAB = (  # of 2026-08; its Python is 3.13
    "ipykernel==6.17.1",
    "ipython==7.34.0",
    "ipywidgets==7.7.1",
    "matplotlib==3.10.0",
    "numpy==2.1.3",
    "pandas==2.2.3",
    "traitlets==5.7.1",
)
BINDER = ("ipykernel==7.0.1",)  # what its image brings; JupyterLab, which no notebook imports, is left out
MEMORY = 1.5e9  # bytes; Binder ends a kernel at 2 GB
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = [pytest.mark.slow, pytest.mark.release]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_notebooks_run_in_binder(tmp_path: Path) -> None:
    """On the versions that Binder's image gets, within its memory; in a Python 3.11, or where there is none in this."""
    named = (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    environment = Environment(tmp_path / "venv", named, "-r", "binder/requirements.txt", *BINDER)
    pinned = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "binder" / "requirements.txt").read_text(), re.MULTILINE)
    listed = json.loads(environment.ask(f"{FREEZE}", tmp_path / "asked"))
    assert {name: listed.get(canonical(name)) for name, _ in pinned} == dict(pinned)
    posted = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    (command,) = re.findall(r'^python -c "(.*)"$', posted, re.MULTILINE)
    assert environment.ask(command, tmp_path / "asked").startswith("diarnb ")
    for number in ("01", "02", "04"):
        done = environment.run(number, tmp_path / number)
        assert not done.errors, number
        assert not done.differences(), number
        assert 50e6 < done.memory < MEMORY, number


def test_the_notebooks_run_on_the_versions_of_colab(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv", "3.13", wheel, *COLAB)
    listed = json.loads(environment.ask(FREEZE, tmp_path / "asked"))
    assert [f"{canonical(name)}=={listed[canonical(name)]}" for name, _, _ in map(split, COLAB)] == list(COLAB)
    check(environment, ("01", "02", "03"), tmp_path)


@pytest.mark.parametrize("version", ["3.11", "3.13"])
@pytest.mark.parametrize("system", ["windows", "macos", "x86_64-apple-darwin"])
def test_every_dependency_has_a_wheel(system: str, version: str) -> None:
    uv = (sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--only-binary", ":all:", "pyproject.toml")
    asked = (*uv, "--python-platform", system, "--python-version", version)
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and not re.search("unsatisfiable|no wheels", done.stderr):
        pytest.skip("uv reaches no package index from here")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime==" in done.stdout


def test_the_notebooks_run_on_the_oldest_versions_that_are_allowed(
    wheel: Path, known: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """The bounds are those for Python 3.11: for 3.13 some never had a wheel, and pip takes a newer version there."""
    extras = ("server", "live")
    wanted = [*PROJECT["dependencies"], *(line for name in extras for line in PROJECT["optional-dependencies"][name])]
    lowest = [line.replace(">=", "==") for line in wanted]
    constraints = tmp_path / "lowest.txt"
    constraints.write_text("\n".join([*lowest, "ipykernel==6.17"]), encoding="utf-8")
    environment = Environment(tmp_path / "venv", "3.11", f"{wheel}[{','.join(extras)}]", "ipykernel", "-c", constraints)
    listed = json.loads(environment.ask(FREEZE, tmp_path / "asked"))
    for name, _, version in map(split, lowest):
        assert listed[canonical(name)].removesuffix(".0").startswith(version.removesuffix(".0")), name
    check(environment, ("01", "03", "04"), tmp_path, alike=False)
    code = "import diarnb; diarnb.write(diarnb.diarize(diarnb.example('meeting'), progress=False), 'old.rttm')"
    environment.ask(code, tmp_path / "asked")
    turns, old = known["meeting"], diarnb.read(tmp_path / "asked" / "old.rttm")
    moments = np.arange(0, turns["end"].max(), 0.05)
    same = [speaking(turns, moment) == speaking(old, moment) for moment in moments]
    assert np.mean(same) > 0.97

    # older versions of ONNX Runtime average over the end of a sound in another way than newer ones
    with open_recording(diarnb.example("meeting")) as recording:
        sound = np.concatenate(list(recording.blocks()))[12 * RATE : 12 * RATE + 6 * RATE // 10]
    np.save(tmp_path / "asked" / "sound.npy", sound)
    code = "import numpy; from diarnb.engines.local.voiceprints import embed"
    environment.ask(f"{code}; numpy.save('voice.npy', embed([numpy.load('sound.npy')]))", tmp_path / "asked")
    assert np.dot(embed([sound]), np.load(tmp_path / "asked" / "voice.npy")) > 0.9


def test_an_installation_is_light(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv", "3.11", wheel)
    (packages,) = environment.folder.rglob("site-packages")
    there = {path.name for path in packages.iterdir()}
    assert {"diarnb", "numpy", "onnxruntime"} <= there
    assert there.isdisjoint({"torch", "av", "pyannote", "pip", "pytest", "tests", "benchmarks"})
    environment.ask(f"import compileall; compileall.compile_dir({str(packages)!r}, quiet=2)", tmp_path / "asked")
    assert list(packages.joinpath("pandas").rglob("*.pyc"))  # bytecode is counted
    files = [path for path in environment.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.lstat().st_size for path in files) < 620e6


def speaking(turns: pd.DataFrame, moment: float) -> set[str]:
    return set(turns.loc[(turns["start"] <= moment) & (moment < turns["end"]), "speaker"])


FREEZE = (
    "import json, importlib.metadata as found; "
    "print(json.dumps({each.name.lower().replace('_', '-').replace('.', '-'): each.version"
    " for each in found.distributions()}))"
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def split(requirement: str) -> tuple[str, str, str]:
    name, operator, version = re.split(r"(==|>=)", requirement)
    return name, operator, version
