"""Virtual environments that are made anew, and the notebooks run in a kernel of one, driven from here.

They are made by uv, which takes seconds where pip takes a minute, or by pip where uv reaches no index; a machine on
which neither does skips the tests.

Whether notebooks show the same is compared as far as that means anything: what is printed, and the plain text of what
is shown, as strict nbval does, numbers by their whole part. Not compared are HTML and pictures, which pandas and
matplotlib draw anew in every version; cells with widgets, whose plain text is another in ipywidgets 7; and cells that
say so (``nbval-ignore-output``). Spaces and the name of a column's dtype are left out: pandas 2 has others.
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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
WIDGET = "application/vnd.jupyter.widget-view+json"


def python_of(version: str) -> str:
    """An interpreter of a version, or the one that runs this."""
    found = shutil.which(f"python{version}")
    works = found and subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    return found if found and works and works.returncode == 0 else sys.executable


def install(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Install into an environment by the first tool that reaches an index."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for tool in (
        # uv would take what it built of this folder before, as long as pyproject.toml is the same
        ("uv", "pip", "install", "--quiet", "--refresh-package", "diarnb", "--python", python),
        ("pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"),
    ):
        command = [sys.executable, "-m", *tool]
        run = partial(subprocess.run, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
        if not run([*map(str, command), "--dry-run", "--no-deps", "pip"]).returncode:
            return run([*map(str, command), *map(str, arguments)])
    pytest.skip("neither uv nor pip reaches a package index from here")


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
