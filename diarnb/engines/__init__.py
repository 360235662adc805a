"""The engines, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.engines.base import adapt_engine
from diarnb.errors import InvalidParameterError

if TYPE_CHECKING:
    from diarnb.engines.base import Engine, OwnEngine

__all__ = ["NAMES", "get"]


def __dir__() -> list[str]:
    return __all__


NAMES = ("local", "pyannoteai", "deepgram")


def get(engine: str | OwnEngine) -> Engine:
    """Return an engine by its name; an object that has what an engine has is taken as one.

    Raises
    ------
    InvalidParameterError
        If there is no engine of this name, or the object is none.
    """
    if engine == "local":
        from diarnb.engines.local import LocalEngine

        return LocalEngine()
    if engine == "pyannoteai":
        from diarnb.engines.pyannoteai import PyannoteAIEngine

        return PyannoteAIEngine()
    if engine == "deepgram":
        from diarnb.engines.deepgram import DeepgramEngine

        return DeepgramEngine()
    if isinstance(engine, str) or not hasattr(engine, "diarize"):
        known = ", ".join(repr(name) for name in NAMES)
        raise InvalidParameterError(
            f"engine={engine!r:.60} is not known here; this version of diarnb has {known}. One of your own is passed "
            "as the object itself, diarize(..., engine=it), which also decides anew from what it kept"
        )
    return adapt_engine(engine)
