"""Which engine listens for a server, and what it is asked: the local one, or any other that bills nothing."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pandas as pd

from diarnb.engines import registry
from diarnb.engines.base import Answer, Engine, check_offered, take_answer
from diarnb.errors import InvalidParameterError
from diarnb.params import Params
from diarnb.tables.turns import cut_overlap

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.audio import Recording
    from diarnb.engines.base import OwnEngine

LOCAL = "local"

FRAME_SCORES = ("confidence", "speech_probability", "crosstalk_probability", "speaker_probability")
"""Members of a task that only the local engine can answer, whose networks are their source."""


def choose_engine(wanted: str | OwnEngine) -> str:
    """Check that an engine can listen for a server, and find the name by which its processes know it.

    Parameters
    ----------
    wanted : str or engine
        As `diarnb.diarize` takes it; ``NAME:MODEL`` names a model too, and ``module:attribute`` one of your own. An
        object, or one that was registered, must be in a module, for the server is a process of its own.

    Returns
    -------
    str

    Raises
    ------
    InvalidParameterError
        There is no such engine; it bills; or another process cannot find it.
    ConfigurationError
        It cannot be loaded, or something that it needs is missing.
    """
    own = registry.find_registered(wanted) if isinstance(wanted, str) else wanted
    name = wanted if isinstance(wanted, str) and own is None else _locate(own)
    engine, model = load_engine(name)
    if engine.can(Engine.billable_seconds):
        raise InvalidParameterError(
            f"engine={name!r:.60} bills for what it is sent, and everybody who has the server's key would spend your "
            f"money; ask it from where you are: diarnb.diarize(..., engine={engine.name!r:.60})"
        )
    check_offered(Params(model=model), engine.offer, engine.name)
    engine.settle(Params(model=model), {})
    return name


@functools.cache
def load_engine(name: str) -> tuple[Engine, str | None]:
    """Load an engine, once, by the name that `choose_engine` found; and which of its models listens, if one was named.

    Raises
    ------
    InvalidParameterError, ConfigurationError
    """
    first, _, rest = name.partition(":")
    if rest and first not in registry.names():
        return registry.load(EntryPoint(name, name, registry.GROUP)), None
    return registry.get(first), rest or None


def listen(recording: Recording, params: Params, name: str) -> Answer:
    """Have an engine listen, and read its answer in the terms of `Answer.raw`, exclusive turns included.

    Raises
    ------
    InvalidParameterError
        The engine does not offer what is asked.
    """
    engine, model = load_engine(name)
    params = replace(params, model=model)
    check_offered(params, engine.offer, engine.name)
    threads = {"threads": 1} if name == LOCAL else {}  # there are as many workers as cores
    options = engine.settle(params, threads)
    found = engine.diarize(recording, params, options, lambda stage, fraction: None)  # noqa: ARG005
    answer = take_answer(found, engine.name, recording.duration)
    raw = {"duration": recording.duration, "warning": None, **engine.read(answer.raw, params, options)}
    if raw.get("exclusiveDiarization") is None:
        columns = ["start", "end", "speaker", *(["channel"] if params.channels == "split" else [])]
        raw["exclusiveDiarization"] = cut_overlap(pd.DataFrame(raw["diarization"], columns=columns)).to_dict("records")
    return replace(answer, raw=raw)


def find_unoffered(task: Json, name: str) -> list[str]:
    """List the members of a task that the engine does not offer."""
    if name == LOCAL:
        return []
    offer = load_engine(name)[0].offer
    scores = [*FRAME_SCORES, *([] if offer.turn_level_confidence else ["turn_level_confidence"])]
    return [*([] if offer.count else task.get("bounds", {})), *(each for each in scores if task.get(each))]


def _locate(engine: object) -> str:
    """Find where another process can import an engine: ``module:attribute``, of itself or of its class."""
    kind = type(engine)
    module = vars(sys.modules[kind.__module__])
    if kind.__module__ != "__main__":
        named = [name for name, value in module.items() if value is engine]
        if not named and module.get(kind.__name__) is kind and not vars(engine):
            named = [kind.__name__]  # nothing was chosen when it was made
        if named:
            return f"{kind.__module__}:{named[0]}"
    raise InvalidParameterError(
        f"engine={engine!r:.60}: the server is a process of its own, and cannot find this object there. Put it into a "
        "module, and name that: engine='my_module:MY_ENGINE'"
    )
