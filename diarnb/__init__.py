"""Who spoke when, as a DataFrame, in your notebook.

>>> import diarnb
>>> turns = diarnb.diarize(diarnb.example("meeting"), progress=False)
>>> axes = diarnb.timeline(turns)
"""

# The public names stand in `__init__.pyi`, once: type checkers and editors read them there, and so does this module.
# Each is loaded when it is first used, because pandas and matplotlib take longer than most people want to wait.

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module

# ONNX Runtime reports to its makers unless told otherwise before it is first imported, here or in a child process.
_TELEMETRY = "ORT_DISABLE_TELEMETRY"
if "onnxruntime" in sys.modules and _TELEMETRY not in os.environ:
    import warnings

    from diarnb.errors import DiarnbWarning

    warnings.warn(
        f"onnxruntime was imported before diarnb, so its telemetry may be on: import diarnb first, or set {_TELEMETRY}",
        DiarnbWarning,
        stacklevel=2,
    )
os.environ.setdefault(_TELEMETRY, "1")


@cache
def _homes() -> dict[str, str]:
    """Read in which module each public name is; submodules are in the package itself, ``""``."""
    import ast

    with open(f"{__file__.removesuffix('c')}i", encoding="utf-8") as stub:  # noqa: PTH123 - pathlib takes longer to load
        lines = ast.parse(stub.read()).body
    return {name.name: line.module or "" for line in lines if isinstance(line, ast.ImportFrom) for name in line.names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("diarnb")
    if name == "__all__":
        return sorted(each for each, home in _homes().items() if home)
    if name.startswith("_") or name not in _homes():
        from diarnb._text import explain

        told = "" if name.startswith("_") else explain(name, _homes())
        raise AttributeError(f"module 'diarnb' has no attribute {name!r}{told}")
    if not (home := _homes()[name]):
        return import_module(f"diarnb.{name}")
    import_module("diarnb.accessor")  # from here on every table has `.diar`
    return getattr(import_module(f"diarnb.{home}"), name)


def __dir__() -> list[str]:
    return [*_homes(), "__version__"]
