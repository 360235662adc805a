"""`turns.diar`: the verbs, for tab completion. The functions are the API; this is their index."""

from __future__ import annotations

import html
import inspect
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
    show: _Verb = _Verb("diarnb.widgets")
    player: _Verb = _Verb("diarnb.widgets.player")
    cards: _Verb = _Verb("diarnb.widgets.cards")
    review: _Verb = _Verb("diarnb.widgets.review")
    clip: _Verb = _Verb("diarnb.playback")
    speakers: _Verb = _Verb("diarnb.tables.turns")
    overlap: _Verb = _Verb("diarnb.tables.turns")
    exclusive: _Verb = _Verb("diarnb.results")
    confidences: _Verb = _Verb("diarnb.results")
    frames: _Verb = _Verb("diarnb.results")
    words: _Verb = _Verb("diarnb.results")
    utterances: _Verb = _Verb("diarnb.results")
    search: _Verb = _Verb("diarnb.results")
    summary: _Verb = _Verb("diarnb.analysis")
    per_minute: _Verb = _Verb("diarnb.analysis")
    turn_taking: _Verb = _Verb("diarnb.analysis")
    responses: _Verb = _Verb("diarnb.analysis")
    interruptions: _Verb = _Verb("diarnb.analysis")
    monologues: _Verb = _Verb("diarnb.analysis")
    without_bleed: _Verb = _Verb("diarnb.analysis")
    rename: _Verb = _Verb("diarnb.tables.turns")
    recluster: _Verb = _Verb("diarnb.api")
    voiceprint: _Verb = _Verb("diarnb.voiceprints")
    identify: _Verb = _Verb("diarnb.voiceprints")
    matches: _Verb = _Verb("diarnb.voiceprints")
    compare: _Verb = _Verb("diarnb.comparing")
    edits: _Verb = _Verb("diarnb.corrections")
    transcript: _Verb = _Verb("diarnb.analysis.reading")
    raw: _Verb = _Verb("diarnb.results.runs")
    write: _Verb = _Verb("diarnb.formats")

    def __init__(self, turns: pd.DataFrame) -> None:
        self.turns = turns

    def __repr__(self) -> str:
        verbs = _describe_verbs()
        wide = max(map(len, verbs))
        return "\n".join([_TOLD, *(f"  {name:{wide}}  {told}" for name, told in verbs.items())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left"><code>{name}</code></td>'
            f'<td style="text-align:left">{html.escape(told)}</td></tr>'
            for name, told in _describe_verbs().items()
        )
        return f"<p>{html.escape(_TOLD)}</p><table>{rows}</table>"

    def __getattr__(self, name: str) -> NoReturn:
        verbs = [verb for verb in vars(Diar) if not verb.startswith("_")]
        told = "" if name.startswith("_") else explain(name, verbs)
        raise AttributeError(f"turns.diar has no {name!r}{told}", name=name, obj=self)


_TOLD = "turns.diar: verbs for a table of turns, as turns.diar.timeline(); help(turns.diar.timeline) tells more."


def _describe_verbs() -> dict[str, str]:
    """Return the verbs with the first lines of their documentation."""
    verbs = (name for name, value in vars(Diar).items() if isinstance(value, _Verb))
    return {name: (inspect.getdoc(getattr(Diar, name)) or "").partition("\n")[0] for name in verbs}
