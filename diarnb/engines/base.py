"""What an engine is: something that takes a recording and what was asked, and answers who spoke when.

An engine declares what it can do; `diarnb.api` refuses the rest before a byte is read or sent. An answer has two
parts: `raw`, plain JSON that every table is derived from, and `evidence`, whatever arrays the engine wants to see
again so that it can decide anew (another speaker count, another threshold) without listening again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from diarnb._text import suggest
from diarnb.errors import InvalidParameterError
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from diarnb._progress import Progress
    from diarnb.audio import Recording
    from diarnb.store.run import Evidence

__all__ = ["Answer", "Engine", "Offer", "Option", "Receipt"]


def __dir__() -> list[str]:
    return __all__


@dataclass(frozen=True)
class Option:
    """An argument that one engine takes beyond the common ones.

    Attributes
    ----------
    help : str
        One line, shown by the widget and by error messages.
    check : callable
        Gives back the normalised value, or raises `InvalidParameterError`.
    changes_result : bool
        Whether another value can change the answer, so that it belongs to a run's key.
    kept : callable
        What a run keeps of the value, JSON only; all of it unless that is large or personal.
    """

    help: str
    check: Callable[[Any], Any]
    changes_result: bool = True
    kept: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Offer:
    """What an engine offers; what it does not is refused by name.

    ``links`` says that the service fetches an address by itself, so that nothing is downloaded here, and ``any_model``
    that it may know models newer than those listed. ``at_once`` recordings are done at a time in one process: more than
    one where waiting is the work. ``a_minute`` is how many the service may be sent.
    """

    models: tuple[str, ...]
    count: bool = True
    exclusive: bool = True
    confidence: bool = True
    turn_level_confidence: bool = True
    channels: bool = True
    links: bool = False
    any_model: bool = False
    at_once: int = 1
    a_minute: int | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def default_model(self) -> str:
        """The model that is used when none is named."""
        return self.models[0]


@dataclass(frozen=True)
class Receipt:
    """What a paid service said beside its answer.

    Attributes
    ----------
    row : str
        The row of the ledger that holds the answer until the run is in the store.
    job_id : str or None
    billed_seconds : float or None
    expires : datetime or None
        When the service deletes the result.
    """

    row: str
    job_id: str | None = None
    billed_seconds: float | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What an engine found.

    Attributes
    ----------
    raw : dict
        JSON only. ``diarization`` and ``exclusiveDiarization`` are lists of ``{"start", "end", "speaker"}`` with times
        in seconds, plus ``confidence`` (a dict of speaker to 0-100) and ``channel`` where there are any. ``duration``
        is in seconds, ``warning`` a sentence or None. All but ``diarization`` may be left out. A cloud engine keeps the
        vendor's answer as it came.
    evidence : dict of str to numpy.ndarray, or None
        Arrays from which the engine can decide again.
    receipt : Receipt or None
        For an answer that was paid for.
    """

    raw: dict[str, Any]
    evidence: Evidence | None = None
    receipt: Receipt | None = None


class Engine(Protocol):
    """What every engine has; these two attributes and two methods are a whole engine."""

    name: str
    offer: Offer

    def version(self, model: str) -> str:
        """Identify what would answer, so that a run made by another version is not taken for the same."""
        ...

    def diarize(self, recording: Recording, params: Params, options: Mapping[str, Any], progress: Progress) -> Answer:
        """Answer who spoke when."""
        ...


def describe(recording: Any, engine: Engine, params: Params, options: Mapping[str, Any]) -> dict[str, Any]:
    """Say of a recording, and of what is asked about it, what a `Run` keeps; JSON only, without secrets.

    Parameters
    ----------
    recording : Recording or Link
    engine : Engine
    params : Params
    options : mapping

    Returns
    -------
    dict
        ``source, engine, model, params, options, content_hash, duration, problems``, and where the audio is.
    """
    about = {
        "source": recording.name,
        **describe_question(engine, params, options),
        "content_hash": recording.content_hash,
        "duration": recording.duration,
        "problems": list(recording.problems),
    }
    if recording.path is not None:
        stat = recording.path.stat()
        about |= {"path": str(recording.path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return about


def describe_question(engine: Engine, params: Params, options: Mapping[str, Any]) -> dict[str, Any]:
    """Say what `describe` says of what is asked, whatever the recording."""
    return {
        "engine": engine.name,
        "model": params.model or engine.offer.default_model,
        "params": params.key(),
        "options": {
            name: engine.offer.options[name].kept(value)
            for name, value in options.items()
            if engine.offer.options[name].changes_result
        },
    }


def describe_job(job_id: str, engine_name: str) -> dict[str, Any]:
    """Say what `describe` says, of a job whose recording is not known here."""
    about: dict[str, Any] = {"source": f"job {job_id}", "engine": engine_name, "model": "unknown"}
    return {**about, "params": {}, "options": {}, "content_hash": None, "duration": None, "problems": []}


def check_options(given: Mapping[str, Any], offer: Offer, engine_name: str) -> dict[str, Any]:
    """Check an engine's own arguments against what it declares.

    Parameters
    ----------
    given : mapping
        What was given beyond the common parameters.
    offer : Offer
        What the engine declares.
    engine_name : str
        For the message.

    Returns
    -------
    dict
        The same arguments, each normalised by its check; those that were not given are absent.

    Raises
    ------
    InvalidParameterError
        If the engine has no such argument, or its value is wrong.
    """
    for name in given:
        if name not in offer.options:
            known = [*Params.help(), *offer.options]
            raise InvalidParameterError(f"{engine_name} has no parameter {name!r:.40}; {_instead(name, known)}")
    return {name: offer.options[name].check(value) for name, value in given.items()}


def check_offered(params: Params, offer: Offer, engine_name: str) -> None:
    """Refuse what an engine does not offer, before anything is read or sent.

    Parameters
    ----------
    params : Params
        What was asked.
    offer : Offer
        What the engine declares.
    engine_name : str
        For the message.

    Raises
    ------
    InvalidParameterError
        Naming the parameter and the engine.
    """
    if params.model is not None and params.model not in offer.models and not offer.any_model:
        raise InvalidParameterError(
            f"{engine_name} has no model {params.model!r:.60}; {_instead(params.model, offer.models)}"
        )
    asked = params.key()
    refusable = {
        "exclusive": offer.exclusive,
        "confidence": offer.confidence,
        "turn_level_confidence": offer.turn_level_confidence,
        "channels": offer.channels,
    }
    refused = [name for name, offered in refusable.items() if name in asked and not offered]
    if not offer.count and params.bounds != (1, None):
        counts = ("num_speakers", "min_speakers", "max_speakers")
        refused += [name for name in counts if getattr(params, name) is not None]
    if refused:
        raise InvalidParameterError(f"the engine {engine_name!r} does not offer {' nor '.join(refused)}; leave it out")


def _instead(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return suggest(name, known, f"it has {', '.join(known):.250}", show=str)
