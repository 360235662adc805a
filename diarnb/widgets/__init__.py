"""Widgets for the notebook: choose, run, listen, name, correct."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diarnb.corrections.replay import apply_edits
    from diarnb.widgets.still.listing import show

__all__ = ["apply_edits", "show"]

_HOMES = {"apply_edits": "diarnb.corrections.replay", "show": "diarnb.widgets.still.listing"}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name in _HOMES:  # whoever corrects tables only need not wait for ipywidgets
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'diarnb.widgets' has no attribute {name!r}")
