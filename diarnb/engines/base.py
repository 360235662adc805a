"""What an engine is: something that takes a recording and what was asked, and answers who spoke when.

An engine declares what it can do; `diarnb.api` refuses the rest before a byte is read or sent. An answer has two
parts: `raw`, plain JSON that every table is derived from, and `evidence`, whatever arrays the engine wants to see
again so that it can decide anew (another speaker count, another threshold) without listening again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from diarnb.errors import InvalidParameterError
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import pandas as pd

    from diarnb.audio import Recording

Evidence = dict[str, "np.ndarray[Any, Any]"]
"""Named numeric arrays; the run store keeps them as ``.npz`` without pickle."""

Progress = Callable[[str, float], None]
"""Called with the stage in words and the finished fraction of the whole, 0-1. It may raise to stop the work."""


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
    """

    help: str
    check: Callable[[Any], Any]
    changes_result: bool = True


@dataclass(frozen=True)
class Offer:
    """What an engine offers; what it does not is refused by name."""

    models: tuple[str, ...]
    count: bool = True
    exclusive: bool = True
    confidence: bool = True
    turn_level_confidence: bool = True
    channels: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def default_model(self) -> str:
        """The model that is used when none is named."""
        return self.models[0]


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
    """

    raw: dict[str, Any]
    evidence: Evidence | None = None


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


@runtime_checkable
class Decider(Protocol):
    """What an engine has beyond that if it can decide again from the evidence of an earlier run."""

    def decide(self, evidence: Evidence, params: Params, options: Mapping[str, Any]) -> dict[str, Any]:
        """Give `Answer.raw` without listening again, equal to what a cold run with these settings gives."""
        ...

    def frames(self, evidence: Evidence, params: Params, options: Mapping[str, Any]) -> pd.DataFrame:
        """Give the table that `diarnb.frames` documents."""
        ...


@runtime_checkable
class Counter(Protocol):
    """What an engine has beyond that if it can say why it found as many speakers as it did."""

    def count_evidence(self, evidence: Evidence, params: Params, options: Mapping[str, Any]) -> pd.DataFrame:
        """Give the table that `diarnb.metrics.count_evidence` documents, with the engine's own labels."""
        ...


@runtime_checkable
class Streamer(Protocol):
    """What an engine has beyond that if it can say who speaks while it is spoken."""

    live_offer: Offer

    def stream(
        self, blocks: Iterable[np.ndarray[Any, Any]], sample_rate: int, params: Params, options: Mapping[str, Any]
    ) -> Iterator[list[dict[str, Any]]]:
        """Say who speaks in blocks of float32 samples, one channel, full scale 1, in pieces of any size.

        This call checks what was asked against `live_offer`, and raises what is wrong; listening begins with the first
        block. Gives turns that are new or have changed: ``turn_id`` (counted from 0), ``start``, ``end``, ``speaker``,
        ``final``, and ``text`` where the engine has words. A turn that is final does not change any more. One that was
        taken back comes once more, without length (``end == start``) and final, unless its id goes to another.

        A generator may return, when the blocks have ended, an `Answer` for the whole with a mapping from its labels to
        those of the stream.
        """
        ...


@runtime_checkable
class Recognizer(Protocol):
    """What an engine has beyond that if it knows voices again."""

    def check_voiceprints(self, voiceprints: Mapping[str, str]) -> None:
        """Raise `VoiceprintError` for one that it cannot read or compare, before anything is read or sent."""
        ...

    def voiceprint(self, recording: Recording) -> tuple[str, str | None]:
        """Make a voiceprint of the one person who speaks: a text that is opaque to others, and a remark or None."""
        ...

    def identify(
        self, recording: Recording, turns: pd.DataFrame, voiceprints: Mapping[str, str]
    ) -> dict[str, dict[str, float]]:
        """Score every speaker of `turns` against every voiceprint, 0-100; no score for who cannot be heard.

        Where `turns` has a ``channel``, each of them is to be heard there, else on the mix of all.
        """
        ...


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
    if params.model is not None and params.model not in offer.models:
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
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"it has {', '.join(known):.250}"
