"""Widgets for the notebook: choose, run, listen, name, correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diarnb.corrections.replay import apply_edits

__all__ = ["apply_edits"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name in __all__:  # whoever corrects tables only need not wait for ipywidgets
        from diarnb.corrections import replay as replaying

        return getattr(replaying, name)
    raise AttributeError(f"module 'diarnb.widgets' has no attribute {name!r}")
