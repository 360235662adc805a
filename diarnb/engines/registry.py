"""The engines by name: those that diarnb brings along, those of installed packages, and those that were registered.

A package declares an engine as an entry point of the group ``diarnb.engines``, in its ``pyproject.toml``::

    [project.entry-points."diarnb.engines"]
    mine = "my_package:MyEngine"

A class or a function without arguments is called when the engine is first asked for; listing imports nothing.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from inspect import isfunction
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from diarnb._text import shorten, suggest
from diarnb.engines.base import Engine, adapt_engine
from diarnb.errors import ConfigurationError, InvalidParameterError
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

    from diarnb._types import Json
    from diarnb.engines.base import OwnEngine

_OWN = {
    "local": ("local", "LocalEngine"),
    "pyannoteai": ("pyannoteai", "PyannoteAIEngine"),
    "deepgram": ("deepgram", "DeepgramEngine"),
    "assemblyai": ("assemblyai", "AssemblyAIEngine"),
    "pyannote": ("pyannote", "PyannoteEngine"),
}

NAMES = tuple(_OWN)
"""The engines that diarnb brings along."""

GROUP = "diarnb.engines"
"""Of the entry points."""

E = TypeVar("E")

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_COLUMNS: Json = {
    "engine": str,
    "runs_on": str,
    "billed": "boolean",
    "counts": "boolean",
    "words": "boolean",
    "frames": "boolean",
    "decides_again": "boolean",
    "voiceprints": "boolean",
    "streams": "boolean",
    "package": str,
    "missing": str,
}
registered: dict[str, Engine | OwnEngine] = {}


def get(engine: str | OwnEngine) -> Engine:
    """Return an engine by its name, or an object that has the members of an engine.

    Raises
    ------
    InvalidParameterError
        If there is no engine of this name, or the object is none.
    ConfigurationError
        If the engine of another package cannot be loaded.
    """
    if isinstance(engine, str):
        found = find(engine)
        if found is None:
            raise _unknown(engine)
        return found
    adapted = adapt_engine(engine)
    if adapted.name in NAMES and not isinstance(engine, type(get(adapted.name))):
        raise _refuse_name(adapted.name)
    if adapted.can(Engine.read) and adapted.name not in NAMES and find(adapted.name) is None:
        raise InvalidParameterError(
            f"the engine {adapted.name!r:.60} keeps answers that only itself can read, so it must be found by its "
            "name: call diarnb.engines.register(engine) first"
        )
    return adapted


def find(name: str) -> Engine | None:
    """Return the engine of a name, or None where there is none.

    Raises
    ------
    ConfigurationError
        It cannot be loaded.
    """
    if name in _OWN:
        module, kind = _OWN[name]
        own: Engine = getattr(import_module(f"diarnb.engines.{module}"), kind)()
        return own
    if name in registered:
        return adapt_engine(registered[name])
    installed = [entry for entry in find_installed() if entry.name == name]
    if len(installed) > 1:
        raise ConfigurationError(f"{_ambiguous(installed)}; uninstall all but one of them")
    return _load_named(installed[0]) if installed else None


def register(engine: E) -> E:
    """Register an engine under its name, until this Python process ends.

    From then on, ``engine="its name"`` works wherever a name does, and its earlier runs can be opened. A package
    registers an engine permanently with an entry point of the group ``diarnb.engines``.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    engine : Engine, or any object that has what one has, or the class of one
        Replaces an engine that was registered under the same name. A class is called without arguments.

    Returns
    -------
    engine
        The argument itself, so that this can decorate a class.

    Raises
    ------
    InvalidParameterError
        Its name belongs to one of diarnb's own engines, or is invalid: it must be a lower-case letter, then at most 39
        lower-case letters, digits, dots, hyphens and underscores.

    Examples
    --------
    >>> from diarnb.engines import Engine, register
    >>> from diarnb.engines.base import Answer, Offer
    >>> @register
    ... class Nobody(Engine):
    ...     name, offer = "nobody", Offer(models=("silence",))
    ...
    ...     def version(self, model):
    ...         return "1"
    ...
    ...     def diarize(self, recording, params, options, progress):
    ...         return Answer({"diarization": [], "duration": recording.duration})
    >>> len(diarize(example("call"), engine="nobody"))
    0
    """
    made: Any = engine() if isinstance(engine, type) else engine
    name = adapt_engine(made).name
    if name in NAMES:
        raise _refuse_name(name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidParameterError(
            f"an engine's name is made of small letters, digits, dots, hyphens and underscores, not {name!r:.60}"
        )
    registered[name] = made
    return engine


def names() -> list[str]:
    """Return the names of all engines: diarnb's own first, then the others in alphabetical order. Nothing is imported.

    .. versionadded:: 0.2.0
    """
    others = {*registered, *(entry.name for entry in find_installed())}
    return [*NAMES, *sorted(others.difference(NAMES))]


def find_registered(name: str) -> Engine | OwnEngine | None:
    """Return the object that was registered under a name, which only this process knows."""
    return registered.get(name)


def available() -> pd.DataFrame:
    """List the engines, what each one supports, and what is missing to use it.

    .. versionadded:: 0.2.0

    Returns
    -------
    pandas.DataFrame
        ``engine``, its name; ``runs_on``, "this machine" or the service that recordings are sent to; ``billed``;
        ``counts`` (accepts a number of speakers), ``words`` (has its own), ``frames`` (scores), ``decides_again`` (for
        `diarnb.recluster`), ``voiceprints``, ``streams``; ``package``, which provides it; and ``missing``, what you
        must do before you can use it, or empty. Engines of other packages are not imported for this, so what they
        support is unknown until they are first used.

    Examples
    --------
    >>> from diarnb import engines
    >>> engines.available()[["engine", "runs_on", "billed"]].head(3)
           engine       runs_on  billed
    0       local  this machine   False
    1  pyannoteai    pyannoteAI    True
    2    deepgram      Deepgram    True
    """
    rows = [_describe(get(name), f"diarnb {version('diarnb')}") for name in NAMES]
    rows += [_describe(adapt_engine(engine), "registered here") for _, engine in sorted(registered.items())]
    installed = list(find_installed())
    for entry in installed:
        alike = [other for other in installed if other.name == entry.name]
        why = ""
        if entry.name in NAMES:
            why = f"the name {entry.name} belongs to diarnb, so this one is not used"
        elif entry.name in registered:
            why = "another engine was registered under this name"
        elif len(alike) > 1:
            why = _ambiguous(alike)
        elif entry.module in sys.modules:
            try:
                rows.append(_describe(_load_named(entry), name_package(entry)))
                continue
            except ConfigurationError as error:
                why = str(error)
        elif find_spec(entry.module.partition(".")[0]) is None:
            why = f"its module {entry.module} is not installed"
        rows.append({"engine": entry.name, "runs_on": "", "package": name_package(entry), "missing": why})
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _describe(engine: Engine, package: str) -> dict[str, object]:
    offer = engine.offer
    try:
        engine.settle(Params(), {})
        missing = ""
    except (ConfigurationError, InvalidParameterError) as error:
        missing = str(error)
    return {
        "engine": engine.name,
        "runs_on": engine.service or "this machine",
        "billed": engine.can(Engine.billable_seconds),
        "counts": offer.count,
        "words": offer.words,
        "frames": offer.confidence,
        "decides_again": engine.can(Engine.decide),
        "voiceprints": engine.can(Engine.voiceprint) or engine.can(Engine.make_voiceprint),
        "streams": engine.can(Engine.stream),
        "package": package,
        "missing": missing,
    }


def find_installed() -> Iterator[EntryPoint]:
    """Iterate over what other packages declare; one that is found twice on the path counts once."""
    seen = set()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, name_package(entry))):
        known = (entry.name, entry.value, name_package(entry))
        if known not in seen:
            seen.add(known)
            yield entry


def name_package(entry: EntryPoint) -> str:
    """Return the name and version of the package that an engine comes with."""
    return "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def load(entry: EntryPoint) -> Engine:
    """Load an engine from where an entry point says that it is.

    Raises
    ------
    ConfigurationError
        It cannot be loaded.
    """
    try:
        loaded = entry.load()
        return adapt_engine(loaded() if isinstance(loaded, type) or isfunction(loaded) else loaded)
    except Exception as error:  # whatever another package does when it is imported
        why = shorten(f"{type(error).__name__}: {error}", 200)
        whose = f" of the package {name_package(entry)}" if entry.dist else ""
        what_next = "; update that package, or remove it." if entry.dist else ""
        raise ConfigurationError(f"The engine {entry.name!r}{whose} cannot be loaded ({why}){what_next}") from error


def _load_named(entry: EntryPoint) -> Engine:
    engine = load(entry)
    if engine.name != entry.name:
        raise ConfigurationError(
            f"The package {name_package(entry)} declares the engine {entry.name!r}, which calls itself "
            f"{engine.name!r:.60}; the two must be equal, so that its runs are found again."
        )
    return engine


def _ambiguous(entries: list[EntryPoint]) -> str:
    packages = " and ".join(name_package(entry) for entry in entries)
    return f"there are several engines named {entries[0].name!r}, of {packages}"


def _refuse_name(name: str) -> InvalidParameterError:
    return InvalidParameterError(f"an engine cannot be named {name!r}, which diarnb's own is; name it otherwise")


def _unknown(name: str) -> InvalidParameterError:
    known = names()
    hint = suggest(name, known, f"there are {', '.join(map(repr, known)):.250}")
    if "pyannote" in hint and "did you mean" in hint:
        hint = "'pyannote' is pyannote.audio on this machine, 'pyannoteai' the service, which bills for what it is sent"
    return InvalidParameterError(
        f"engine={name!r:.60} is not known here; {hint}. One of your own is passed as the object itself, or known by "
        "its name after diarnb.engines.register(engine)"
    )
