"""`show_versions`: what a bug report needs, and nothing that tells who somebody is or what they have recorded."""

from __future__ import annotations

import os
import platform
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_AROUND = ("ipykernel", "ipython", "jupyterlab", "notebook", "nest-asyncio", "torch")  # often have a part in it
_KEYS = ("PYANNOTEAI_API_KEY", "DEEPGRAM_API_KEY", "ASSEMBLYAI_API_KEY", "DIARNB_SERVER_KEY", "DIARNB_WEBHOOK_SECRET")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?[^;]*(?:;.*\bextra *== *['\"]([\w-]+)['\"])?")


def show_versions() -> None:
    """Print what a bug report needs: versions, the kind of machine, and which settings are in use.

    It shows no person, path, key or recording. It only says whether the run store is in the usual place, and which keys
    are set.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    diarnb                  ...
    Python                  ...
    """
    _show({"diarnb": version("diarnb"), **_machine()})
    known = _requirements()
    needed = known.pop("")
    _show({name: _version(name) for name in needed}, "needed")
    _show({name: f"{_version(name)}  [{extra}]" for extra, names in known.items() for name in names}, "extras")
    _show({name: _version(name) for name in _AROUND}, "around it")
    others = {entry.name: entry.dist for entry in entry_points(group="diarnb.engines")}
    if others:
        named = {name: "unknown" if package is None else package.name for name, package in others.items()}
        _show({name: f"{package} {_version(package)}" for name, package in named.items()}, "engines of other packages")


def _machine() -> dict[str, str]:
    return {
        "Python": f"{platform.python_version()}, {platform.python_implementation()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processors": str(os.cpu_count()),
        "onnxruntime runs on": _ask("onnxruntime", lambda found: ", ".join(found.get_available_providers())),
        "libsndfile": _ask("soundfile", lambda found: str(found.__libsndfile_version__)),
        "run store": "where DIARNB_HOME says" if os.environ.get("DIARNB_HOME") else "in the usual place",
        "keys set": ", ".join(name for name in _KEYS if os.environ.get(name)) or "none",
    }


def _requirements() -> dict[str, list[str]]:
    """List the packages that diarnb names, by extra; each once, those that it always needs under ``""``."""
    known: dict[str, list[str]] = {"": []}
    seen = {"diarnb"}
    for line in requires("diarnb") or []:
        found = _REQUIREMENT.match(line)
        if found is None or found[2] in {"test", "docs"} or found[1] in seen:
            continue
        seen.add(found[1])
        known.setdefault(found[2] or "", []).append(found[1])
    return known


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _ask(module: str, question: Callable[[ModuleType], str]) -> str:
    try:
        return question(import_module(module))
    except Exception as error:  # a broken installation is what such a report is about
        return f"cannot be imported ({type(error).__name__})"


def _show(facts: dict[str, str], title: str = "") -> None:
    if title:
        print(f"\n{title}")
    for name, fact in facts.items():
        print(f"{name:<23} {fact}")
