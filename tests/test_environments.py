"""The notebooks where others open them: in Binder, on Colab's versions, on the oldest that are allowed, without extras.

Each environment is made anew, by uv, which takes seconds where pip takes a minute, or by pip where uv reaches no index;
a machine on which neither does skips these tests. The notebooks run in a kernel of that environment, driven from here.

Whether they show the same is compared as far as that means anything: what is printed, and the plain text of what is
shown, as strict nbval does, numbers by their whole part. Not compared are HTML and pictures, which pandas and
matplotlib draw anew in every version; cells with widgets, whose plain text is another in ipywidgets 7; and cells that
say so (``nbval-ignore-output``). Spaces and the name of a column's dtype are left out: pandas 2 has others.

Some of the oldest versions compute with other roundings, and a turn that is doubtful anyway may fall the other way.
There the notebooks must run without an error or a word on stderr, and the turns agree with those of here
nearly all of the time.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import psutil
import pytest
from nbclient import NotebookClient

import diarnb

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
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
WIDGET = "application/vnd.jupyter.widget-view+json"
MEMORY = 1.5e9  # bytes; Binder ends a kernel at 2 GB
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.slow


def python_of(version: str) -> str:
    """An interpreter of a version, or the one that runs this."""
    found = shutil.which(f"python{version}")
    works = found and subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    return found if found and works and works.returncode == 0 else sys.executable


def install(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Install into an environment by the first tool that reaches an index."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for tool in (
        ("uv", "pip", "install", "--quiet", "--python", python),
        ("pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"),
    ):
        command = [sys.executable, "-m", *tool]
        run = partial(subprocess.run, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
        if not run([*map(str, command), "--dry-run", "--no-deps", COLAB[0]]).returncode:
            return run([*map(str, command), *map(str, arguments)])
    pytest.skip("neither uv nor pip reaches a package index from here")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


class Environment:
    """A fresh virtual environment, and the kernel in it."""

    def __init__(self, folder: Path, version: str, *arguments: object) -> None:
        subprocess.run([python_of(version), "-m", "venv", "--without-pip", str(folder)], check=True)
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        done = install(self.python, *arguments)
        assert done.returncode == 0, done.stderr[-2000:]
        kernel = folder / "share" / "jupyter" / "kernels" / "other"
        kernel.mkdir(parents=True, exist_ok=True)
        argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        text = json.dumps({"argv": argv, "display_name": "other", "language": "python"})
        (kernel / "kernel.json").write_text(text, encoding="utf-8")

    def run(self, number: str, folder: Path) -> Execution:
        """Run a notebook from its first cell to its last; an error in it is raised."""
        folder.mkdir(parents=True)
        own = {"DIARNB_HOME": str(folder / "home"), "JUPYTER_PATH": str(self.folder / "share" / "jupyter")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER"))}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", own["JUPYTER_PATH"])  # where the kernel is looked for
            return Execution(NOTEBOOKS[number], folder, kept | own)

    def ask(self, code: str, folder: Path) -> str:
        folder.mkdir(exist_ok=True)
        alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.python), "-c", code]
        done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Execution:
    """A notebook as it is in git, and as it was run: with the most memory that its kernel and all it starts held."""

    def __init__(self, path: Path, folder: Path, environment: dict[str, str]) -> None:
        self.kept = nbformat.read(path, as_version=4)
        self.ran = nbformat.read(path, as_version=4)
        self.memory = 0
        client = NotebookClient(
            self.ran, kernel_name="other", timeout=300, resources={"metadata": {"path": str(folder)}}
        )
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over, {process.pid for process in children()}))
        watch.start()
        try:
            client.execute(env=environment)
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event, others: set[int]) -> None:
        while not over.wait(0.1):
            held = 0
            for process in children():
                if process.pid not in others:
                    try:
                        held += process.memory_info().rss
                    except psutil.Error:  # it has just ended
                        continue
            self.memory = max(self.memory, held)

    def differences(self) -> list[str]:
        found = []
        for kept, ran in zip(self.kept.cells, self.ran.cells, strict=True):
            if kept.cell_type != "code" or "nbval-ignore-output" in kept.metadata.get("tags", []):
                continue
            if not any(WIDGET in output.get("data", {}) for output in [*kept.outputs, *ran.outputs]):
                before, now = legible(kept.outputs), legible(ran.outputs)
                if before != now:
                    found.append(f"{kept.id}: {before[:300]} != {now[:300]}")
        return found

    @property
    def errors(self) -> list[str]:
        outputs = [output for cell in self.ran.cells if cell.cell_type == "code" for output in cell.outputs]
        return [str(output)[:500] for output in outputs if output.get("name") == "stderr"]


def children() -> Iterable[psutil.Process]:
    return psutil.Process().children(recursive=True)


def legible(outputs: list[Any]) -> str:
    shown = []
    for output in outputs:
        data = output.get("data", {})
        if output.output_type == "stream":
            shown.append(output.text)
        elif "image/png" not in data:
            shown.append(data.get("text/plain", ""))
    text = "".join(shown)
    rules = configparser.ConfigParser(interpolation=None)
    rules.read(ROOT / "tests" / "nbval_sanitize.cfg", encoding="utf-8")
    for rule in rules.sections():
        text = re.sub(rules[rule]["regex"], rules[rule]["replace"], text)
    return re.sub(r"dtype: \w+|\s+", "", text)


def check(environment: Environment, numbers: Iterable[str], folder: Path, *, alike: bool = True) -> None:
    for number in numbers:
        done = environment.run(number, folder / number)
        assert not done.errors, number
        assert not alike or not done.differences(), number


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


def test_the_notebooks_run_without_extras_and_a_sentence_says_what_is_missing(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv", "3.11", wheel, "ipykernel")
    code = """
import diarnb, warnings
wants = {
    "server": lambda: diarnb.serve(),
    "live": lambda: next(diarnb.stream([b"\\\\0" * 32000], engine="deepgram", api_key="none", base_url="http://[::1]:9")),
    "moonshine": lambda: diarnb.diarize(diarnb.example("interview"), words="moonshine"),
    "sphinx": lambda: diarnb.diarize(diarnb.example("interview"), words="sphinx"),
    "whisper": lambda: diarnb.diarize(diarnb.example("interview"), words="whisper"),
    "parquet": lambda: diarnb.write(diarnb.read(diarnb.example("call").with_suffix(".rttm")), "turns.parquet"),
}
for extra, want in wants.items():
    try:
        want()
    except diarnb.errors.ConfigurationError as error:
        assert f"diarnb[{extra}]" in str(error), error
    else:
        raise AssertionError(extra)
diarnb.show_versions()
"""
    out = environment.ask(code, tmp_path / "asked")
    assert re.search(r"^aiohttp +not installed +\[server\]$", out, re.MULTILINE)
    check(environment, ("01", "02", "03"), tmp_path)


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
