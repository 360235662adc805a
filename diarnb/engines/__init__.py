"""The engines, which find who spoke when, by name."""

from __future__ import annotations

from diarnb.engines.base import Answer, Engine, Offer, Option
from diarnb.engines.registry import NAMES, available, get, names, register
from diarnb.engines.registry import find as find

__all__ = ["NAMES", "Answer", "Engine", "Offer", "Option", "available", "get", "names", "register"]


def __dir__() -> list[str]:
    return __all__
