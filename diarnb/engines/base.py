"""The interface of an engine: it takes a recording and parameters, and answers who spoke when.

An engine declares what it supports; `Question` refuses everything else before a byte is read or sent. An answer has two
parts: `raw`, plain JSON from which every table is derived, and `evidence`, arrays that the engine needs to decide again
(another number of speakers, another threshold) without processing the audio again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from diarnb._text import suggest
from diarnb.errors import ApiResponseError, InvalidParameterError
from diarnb.params import Params
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    import numpy as np

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.store.run import Description, Evidence

__all__ = ["Answer", "Engine", "Offer", "Option", "Receipt"]


def __dir__() -> list[str]:
    return __all__


@dataclass(frozen=True)
class Option:
    """An argument that one engine accepts in addition to the common ones.

    Attributes
    ----------
    help : str
        One line, shown by the widget and by error messages.
    check : callable
        Returns the normalized value, or raises `InvalidParameterError` (or `ValueError` or `TypeError`, as `float` and
        `int` do).
    changes_result : bool
        Whether the value can change the answer and therefore belongs to a run's key.
    kept : callable
        Returns what a run keeps of the value, as JSON: all of it, unless it is large or personal.
    """

    help: str
    check: Callable[[Any], Any]
    changes_result: bool = True
    kept: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Offer:
    """What an engine supports. Everything else is refused, by name.

    ``words``: the engine has its own words, or can be asked for them. ``links``: the service downloads addresses
    itself, so nothing is downloaded here. ``any_model``: it may know newer models than those listed. ``at_once``: how
    many recordings one process handles at a time; more than one if most of the time is spent waiting. ``a_minute``: how
    many the service may receive per minute. ``billed``: answers cost money, so the ledger is asked before the engine.
    ``earlier_default``: the model that an earlier version asked for by default, so that its answers remain valid.
    ``model_help``: for whoever has to choose, a label of a few words and a line of help for each model.
    """

    models: tuple[str, ...]
    count: bool = True
    exclusive: bool = True
    confidence: bool = True
    turn_level_confidence: bool = True
    channels: bool = True
    words: bool = False
    links: bool = False
    any_model: bool = False
    billed: bool = False
    earlier_default: str | None = None
    model_help: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    at_once: int = 1
    a_minute: int | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def default_model(self) -> str:
        """The model that is used when none is named."""
        return self.models[0]


@dataclass(frozen=True)
class Receipt:
    """What a paid service returned in addition to its answer.

    Attributes
    ----------
    row : str
        The ledger row that holds the answer until the run is in the store.
    job_id : str or None
    billed_seconds : float or None
    expires : datetime or None
        When the service deletes the result.
    remark : str or None
        What the service said when it accepted the job.
    """

    row: str
    job_id: str | None = None
    billed_seconds: float | None = None
    expires: datetime | None = None
    remark: str | None = None


@dataclass(frozen=True)
class Answer:
    """What an engine found.

    Attributes
    ----------
    raw : dict
        JSON only. ``diarization`` and ``exclusiveDiarization`` are lists of ``{"start", "end", "speaker"}`` with times
        in seconds, plus ``confidence`` (a dict of speaker to 0-100) and ``channel`` if there are any. ``duration`` is
        in seconds; ``warning`` is a sentence or None. Only ``diarization`` is required. A cloud engine keeps the
        vendor's unchanged answer.
    evidence : dict of str to numpy.ndarray, or None
        Arrays from which the engine can decide again.
    receipt : Receipt or None
        For a paid answer.
    """

    raw: Json
    evidence: Evidence | None = None
    receipt: Receipt | None = None


TURNS_ALONE = Offer(
    models=(), count=False, exclusive=False, confidence=False, turn_level_confidence=False, channels=False
)
"""What an engine offers that does not say."""

_NO_VOICES = "has no voiceprints; leave out engine=: the local engine accepts turns from any"
_OF_SERVICES = "cannot be asked for that; take engine='pyannoteai'"
_REFUSALS = {
    "decide": "keeps no evidence for another decision; diarize again with the new settings",
    "frames": "keeps no scores for frames; diarize with engine='local' to get them",
    "count_evidence": "does not explain how it counts speakers; diarize with engine='local' to see it",
    "reconsider": "keeps no voices through which a correction can propagate, as engine='local' does; diarize with that",
    "stream": "cannot stream; leave out engine for the local one",
    "submit": "has nothing to submit to; run diarnb.diarize",
    "resume": "keeps no jobs that could be fetched; run diarize(...) again",
    "test": _OF_SERVICES,
    "jobs": _OF_SERVICES,
    "make_voiceprint": _NO_VOICES,
    "check_voiceprints": _NO_VOICES,
    "voiceprint": _NO_VOICES,
    "identify": _NO_VOICES,
}


class OwnEngine(Protocol):
    """The least that an engine is: this and a ``version``, on any object.

    ``version`` is a text that changes when the answers would, or a method as `Engine.version`. ``offer`` may stand
    beside them; without one it offers turns and no more, of one model that bears its name, and ``options``, where it
    has them, are its parameters, as in `Offer.options`.
    """

    name: str

    def diarize(self, recording: Any, params: Params, options: Any, progress: Any) -> object:
        """Answer who spoke when, in any form that `take_answer` reads."""
        ...


class Engine:
    """The base class of engines: four required members, and abilities, which are refused unless they are overridden.

    Attributes
    ----------
    name : str
        Recorded in every table that the engine makes.
    offer : Offer
        What `diarnb.diarize` may ask of it.
    live_offer : Offer or None
        What `diarnb.stream` may ask of it, if that differs.
    service : str
        The name of the service that recordings are sent to; empty if nothing leaves this machine.

    Examples
    --------
    >>> from diarnb.engines.local import LocalEngine
    >>> LocalEngine().can(Engine.decide), LocalEngine().can(Engine.resume)
    (True, False)
    """

    name: str
    offer: Offer
    live_offer: Offer | None = None
    service: str = ""

    def version(self, model: str) -> str:
        """Return the version of what would answer, so that runs of different versions are told apart."""
        raise NotImplementedError

    def diarize(self, recording: Any, params: Params, options: Options, progress: Progress) -> Answer:
        """Find who spoke when in a `Recording`, or in a `Link` if `Offer.links` is set.

        If there are only turns, a table of them or a list of (start, end, speaker) is enough.
        """
        raise NotImplementedError

    def can(self, ability: Callable[..., object]) -> bool:
        """Return whether this engine has an ability, named as ``Engine.decide``."""
        return getattr(type(self), ability.__name__) is not ability

    def require(self, ability: Callable[..., object]) -> None:
        """Raise `InvalidParameterError` if this engine lacks an ability, just as using the ability would."""
        if not self.can(ability):
            raise self._refusal(ability.__name__)

    def settle(self, params: Params, options: Options) -> Json:  # noqa: ARG002
        """Complete the checked options (a key, an address), or refuse them, before anything is read or sent."""
        return dict(options)

    def decide(self, evidence: Evidence, params: Params, options: Mapping[str, object]) -> Json:  # noqa: ARG002
        """Return `Answer.raw` without processing the audio again, equal to a new run with these settings."""
        raise self._refusal("decide")

    def frames(self, evidence: Evidence, params: Params, options: Options) -> pd.DataFrame:  # noqa: ARG002
        """Return the table that `diarnb.frames` documents."""
        raise self._refusal("frames")

    def count_evidence(
        self,
        evidence: Evidence,  # noqa: ARG002
        params: Params,  # noqa: ARG002
        options: Mapping[str, object],  # noqa: ARG002
    ) -> pd.DataFrame:
        """Return the table that `diarnb.metrics.count_evidence` documents, with the engine's own labels."""
        raise self._refusal("count_evidence")

    def reconsider(
        self,
        evidence: Evidence,  # noqa: ARG002
        params: Params,  # noqa: ARG002
        turns: pd.DataFrame,  # noqa: ARG002
        wrong: Mapping[int, Collection[str]],  # noqa: ARG002
    ) -> pd.DataFrame:
        """Compute how likely each speaker is in each turn, given the turns that are certain.

        `turns` has ``start``, ``end``, ``speaker``, ``certain`` (bool), and ``channel`` if channels are separate;
        `wrong` lists, by the index of turns, who does not speak there. Returns the index of `turns` and one column for
        each speaker, 0-100; NaN where a turn cannot be judged on its own.
        """
        raise self._refusal("reconsider")

    def stream(
        self,
        blocks: Iterable[np.ndarray],  # noqa: ARG002
        sample_rate: int,  # noqa: ARG002
        params: Params,  # noqa: ARG002
        options: Options,  # noqa: ARG002
    ) -> Iterator[list[Json]]:
        """Find who speaks in blocks of float32 samples, one channel, full scale 1, in pieces of any size.

        This call checks the arguments against `live_offer`, and raises errors; processing begins with the first block.
        Yields turns that are new or have changed: ``turn_id`` (counted from 0), ``start``, ``end``, ``speaker``,
        ``final``, and ``text`` if the engine has words. A final turn does not change any more. A turn that was
        withdrawn comes once more, without length (``end == start``); unless that is final, its id may be used again.

        When the blocks have ended, a generator may return an `Answer` for the whole recording, with a mapping from its
        labels to those of the stream.
        """
        raise self._refusal("stream")

    def read(self, raw: Json, params: Params, options: Options) -> Json:  # noqa: ARG002
        """Convert a vendor's unchanged answer into the form of `Answer.raw`, with more fields.

        ``columns`` lists optional columns that the turns have, whatever was asked. ``words`` and ``utterances`` are
        also lists of dicts: ``start, end, word, text, speaker`` (None if the vendor names nobody), ``confidence,
        speaker_confidence`` (0-1, None if unknown), ``channel``; and ``start, end, speaker, text, confidence,
        channel``. ``frames`` has ``resolution`` and two dicts of lists, ``speakers`` and ``scores``. ``matches`` is
        what `diarnb.identify` puts into ``attrs``.
        """
        return raw

    def bill(self, raw: Json, about: Description) -> Json:  # noqa: ARG002
        """Return the fields of a `Receipt`, except the job, for an answer that was delivered."""
        return {}

    def billable_seconds(self, seconds: float) -> float:  # noqa: ARG002
        """Return the seconds that a recording is billed for; 0 if it is free."""
        return 0.0

    def submit(self, recording: Any, params: Params, options: Options, progress: Progress) -> str:  # noqa: ARG002
        """Submit a recording without waiting for the answer, and return the job's id."""
        raise self._refusal("submit")

    def resume(self, job_id: str, options: Mapping[str, object], progress: Progress) -> tuple[Answer, Description]:  # noqa: ARG002
        """Wait for a job; return its answer and the description from its submission."""
        raise self._refusal("resume")

    def test(self, options: Mapping[str, object]) -> bool:  # noqa: ARG002
        """Ask the service whether it accepts the key. This costs nothing."""
        raise self._refusal("test")

    def jobs(self, options: Options) -> list[Json]:  # noqa: ARG002
        """List the service's newest jobs: dicts with ``id``, ``createdAt`` and ``status``."""
        raise self._refusal("jobs")

    def make_voiceprint(
        self,
        recording: Recording,  # noqa: ARG002
        params: Params,  # noqa: ARG002
        options: Options,  # noqa: ARG002
        progress: Progress,  # noqa: ARG002
    ) -> tuple[str, str | None]:
        """Let a service make, and bill, a voiceprint of the one person who speaks; return it and a warning or None.

        The `diarize` of such an engine finds known people through its option ``voiceprints``.
        """
        raise self._refusal("make_voiceprint")

    def check_voiceprints(self, voiceprints: Mapping[str, str]) -> None:  # noqa: ARG002
        """Raise `VoiceprintError` for a voiceprint that it cannot read or compare, before anything is read or sent."""
        raise self._refusal("check_voiceprints")

    def voiceprint(self, recording: Recording) -> tuple[str, str | None]:  # noqa: ARG002
        """Make a voiceprint of the one person who speaks: text that only this engine reads, and a warning or None."""
        raise self._refusal("voiceprint")

    def identify(
        self,
        recording: Recording,  # noqa: ARG002
        turns: pd.DataFrame,  # noqa: ARG002
        voiceprints: Mapping[str, str],  # noqa: ARG002
    ) -> dict[str, dict[str, float]]:
        """Score every speaker of `turns` against every voiceprint, 0-100; speakers who cannot be heard get no score.

        If `turns` has a ``channel``, each turn is on that channel, else on the mix of all channels.
        """
        raise self._refusal("identify")

    def _refusal(self, ability: str) -> InvalidParameterError:
        return InvalidParameterError(f"the engine {self.name!r} {_REFUSALS[ability]}")


_MEMBERS = [name for name in vars(Engine) if not name.startswith("_") and name not in ("can", "require")]


def adapt_engine(engine: Engine | OwnEngine) -> Engine:
    """Make an `Engine` of any object that has what one has; what it lacks of the abilities is refused.

    Raises
    ------
    InvalidParameterError
        It lacks a name, a version or the method that listens.
    """
    if isinstance(engine, Engine):
        return engine
    missing = [name for name in ("name", "version", "diarize") if not hasattr(engine, name)]
    if missing or isinstance(engine, type):
        why = f"lacks {', '.join(missing)}" if missing else "is a class: make one, as in engine=MyEngine()"
        raise InvalidParameterError(f"engine={engine!r:.60} is no engine; it {why}. Left out, it is 'local'")
    found = {name: getattr(engine, name) for name in ("name", "offer", *_MEMBERS) if hasattr(engine, name)}
    if isinstance(version := found["version"], str):
        found["version"] = lambda model: version  # noqa: ARG005 (one for all models)
    found.setdefault("offer", replace(TURNS_ALONE, models=(engine.name,), options=getattr(engine, "options", {})))
    members = {name: staticmethod(value) if callable(value) else value for name, value in found.items()}
    adapted: Engine = type(type(engine).__name__, (Engine,), members)()
    return adapted


def take_answer(found: object, engine_name: str, duration: float | None) -> Answer:
    """Take what an engine's `diarize` returned.

    Parameters
    ----------
    found : Answer, pandas.DataFrame, or list of tuple
        A table of turns, of which start, end and speaker are taken; or (start, end, speaker) of each turn. A speaker's
        whole number n becomes the label ``SPEAKER_n``, of two digits.
    engine_name : str
        For the message.
    duration : float or None
        Of the recording, in seconds.

    Returns
    -------
    Answer

    Raises
    ------
    ApiResponseError
        It is nothing of the kind.

    Examples
    --------
    >>> take_answer([(0.5, 2.0, 1)], "mine", 3.0).raw["diarization"]
    [{'start': 0.5, 'end': 2.0, 'speaker': 'SPEAKER_01'}]
    """
    if isinstance(found, Answer):
        return found
    columns = ["start", "end", "speaker"]
    try:
        rows: Any = found
        table = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame([*rows], columns=columns)
        if pd.api.types.is_integer_dtype(table.get("speaker", float)):
            table["speaker"] = [f"SPEAKER_{who:02d}" for who in table["speaker"]]
        turns = check_turns(table)[columns]
    except (TypeError, ValueError) as error:
        raise ApiResponseError(
            f"engine {engine_name!r} returned something of type {type(found).__name__}, where an Answer, a table of "
            f"turns, or a list of (start, end, speaker) is wanted: {error!s:.200}"
        ) from error
    return Answer({"diarization": turns.to_dict("records"), "duration": duration})


def check_options(given: Options, offer: Offer, engine_name: str) -> Json:
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
    checked = {}
    for name, value in given.items():
        try:
            checked[name] = offer.options[name].check(value)
        except (TypeError, ValueError) as error:
            if isinstance(error, InvalidParameterError):
                raise
            raise InvalidParameterError(f"{name}={value!r:.60} is not what it should be: {error!s:.100}") from None
    return checked


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
