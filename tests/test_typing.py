"""What editors and type checkers know of the public names."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import diarnb
from tools.census import verify_types, with_this_python

ROOT = Path(__file__).parents[1]
API = ROOT / "tests" / "typing" / "api.py"
MODULES = [name for name in dir(diarnb) if inspect.ismodule(getattr(diarnb, name))]


def functions() -> list[str]:
    modules = [importlib.import_module(f"diarnb.{name}") for name in MODULES]
    found = [(module.__name__, name) for module in modules for name in module.__all__]
    plain = [f"{module}.{name}" for module, name in found if inspect.isfunction(getattr(sys.modules[module], name))]
    return [f"diarnb.{name}" for name in diarnb.__all__] + plain


@pytest.mark.parametrize("name", functions())
def test_each_public_function_is_called_before_the_type_checkers(name: str) -> None:
    module, _, function = name.rpartition(".")
    called = module.rpartition(".")[2] + r"\." + function
    assert re.search(rf"\b{called}\b", API.read_text(encoding="utf-8")), f"tests/typing/api.py never calls {name}"


@pytest.mark.slow
@pytest.mark.parametrize("command", [["mypy", "--strict"], ["basedpyright"]], ids=lambda command: str(command[0]))
def test_type_checkers_know_what_the_public_functions_take_and_return(command: list[str]) -> None:
    line = [sys.executable, "-m", *command, str(API)]
    done = subprocess.run(line, cwd=ROOT, env=with_this_python(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_public_interface_has_known_types() -> None:
    report = verify_types(ROOT)
    unknown = [each["name"] for each in report["symbols"] if each["isExported"] and not each["isTypeKnown"]]
    assert round(report["completenessScore"], 3) >= 0.99, f"{report['completenessScore']:.1%}; see {unknown}"
    # ipywidgets has no types, so that what is made of its classes cannot be known; everything else is.
    makers = {f"diarnb.{name}" for name in ("cards", "controls", "player", "review", "studio")}
    assert [name for name in unknown if not name.startswith("diarnb.widgets.") and name not in makers] == []
