"""Who spoke when, as a DataFrame, in your notebook.

>>> import diarnb
>>> turns = diarnb.diarize(diarnb.example("meeting"), progress=False)
>>> axes = diarnb.timeline(turns)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diarnb import errors as errors  # `except diarnb.errors.AudioError` needs no second import

if TYPE_CHECKING:
    from diarnb._versions import show_versions
    from diarnb.api import diarize, diarize_async, recluster, resume
    from diarnb.batch import diarize_many
    from diarnb.comparing import compare
    from diarnb.examples import example
    from diarnb.formats import read, write
    from diarnb.playback import clip
    from diarnb.plot import timeline
    from diarnb.results import confidences, exclusive, forget, frames, open_run, raw, runs, utterances, words
    from diarnb.scoring import score, worst
    from diarnb.server import serve
    from diarnb.streaming import stream
    from diarnb.tables.turns import overlap, rename, speakers
    from diarnb.transcripts import assign_speakers
    from diarnb.voiceprints import identify, matches, voiceprint
    from diarnb.widgets.cards import cards
    from diarnb.widgets.controls import controls
    from diarnb.widgets.player import player
    from diarnb.widgets.review import review

# Loaded when first used: pandas and matplotlib take longer than most people want to wait for an import.
_HOME = {
    "diarize": "api",
    "diarize_async": "api",
    "diarize_many": "batch",
    "recluster": "api",
    "resume": "api",
    "compare": "comparing",
    "example": "examples",
    "read": "formats",
    "write": "formats",
    "clip": "playback",
    "timeline": "plot",
    "confidences": "results",
    "exclusive": "results",
    "forget": "results",
    "frames": "results",
    "open_run": "results",
    "raw": "results",
    "runs": "results",
    "utterances": "results",
    "words": "results",
    "score": "scoring",
    "worst": "scoring",
    "stream": "streaming",
    "assign_speakers": "transcripts",
    "overlap": "tables.turns",
    "rename": "tables.turns",
    "speakers": "tables.turns",
    "show_versions": "_versions",
    "serve": "server",
    "identify": "voiceprints",
    "matches": "voiceprints",
    "voiceprint": "voiceprints",
    "cards": "widgets.cards",
    "controls": "widgets.controls",
    "player": "widgets.player",
    "review": "widgets.review",
}

__all__ = [
    "assign_speakers",
    "cards",
    "clip",
    "compare",
    "confidences",
    "controls",
    "diarize",
    "diarize_async",
    "diarize_many",
    "example",
    "exclusive",
    "forget",
    "frames",
    "identify",
    "matches",
    "open_run",
    "overlap",
    "player",
    "raw",
    "read",
    "recluster",
    "rename",
    "resume",
    "review",
    "runs",
    "score",
    "serve",
    "show_versions",
    "speakers",
    "stream",
    "timeline",
    "utterances",
    "voiceprint",
    "words",
    "worst",
    "write",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("diarnb")
    if name in _HOME:
        import_module("diarnb.accessor")  # from here on every table has `.diar`
        return getattr(import_module(f"diarnb.{_HOME[name]}"), name)
    raise AttributeError(f"module 'diarnb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "errors"])
