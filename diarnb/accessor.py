"""`turns.diar`: the verbs, for tab completion. The functions are the API; this is their index."""

from __future__ import annotations

from importlib import import_module
from types import MethodType
from typing import Any, NoReturn

import pandas as pd

from diarnb._text import explain


class _Verb:
    """A public function, bound to the table like a method, with its own signature and documentation."""

    def __init__(self, module: str) -> None:
        self.module = module

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, accessor: Any, owner: type) -> Any:
        verb = getattr(import_module(self.module), self.name)
        return verb if accessor is None else MethodType(verb, accessor.turns)


@pd.api.extensions.register_dataframe_accessor("diar")
class Diar:
    """Draw, ask, name, decide again and export, from the table."""

    timeline: _Verb = _Verb("diarnb.plot")
    speakers: _Verb = _Verb("diarnb.tables.turns")
    overlap: _Verb = _Verb("diarnb.tables.turns")
    rename: _Verb = _Verb("diarnb.tables.turns")
    exclusive: _Verb = _Verb("diarnb.results")
    confidences: _Verb = _Verb("diarnb.results")
    frames: _Verb = _Verb("diarnb.results")
    words: _Verb = _Verb("diarnb.results")
    utterances: _Verb = _Verb("diarnb.results")
    search: _Verb = _Verb("diarnb.results")
    raw: _Verb = _Verb("diarnb.results")
    recluster: _Verb = _Verb("diarnb.api")
    voiceprint: _Verb = _Verb("diarnb.voiceprints")
    identify: _Verb = _Verb("diarnb.voiceprints")
    matches: _Verb = _Verb("diarnb.voiceprints")
    compare: _Verb = _Verb("diarnb.comparing")
    clip: _Verb = _Verb("diarnb.playback")
    player: _Verb = _Verb("diarnb.widgets.player")
    cards: _Verb = _Verb("diarnb.widgets.cards")
    review: _Verb = _Verb("diarnb.widgets.review")
    edits: _Verb = _Verb("diarnb.corrections")
    write: _Verb = _Verb("diarnb.formats")

    def __init__(self, turns: pd.DataFrame) -> None:
        self.turns = turns

    def __getattr__(self, name: str) -> NoReturn:
        verbs = [verb for verb in vars(Diar) if not verb.startswith("_")]
        told = "" if name.startswith("_") else explain(name, verbs)
        raise AttributeError(f"turns.diar has no {name!r}{told}", name=name, obj=self)
