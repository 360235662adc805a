"""What is asked, settled before anything is read or sent: the engine, the parameters, its options, and the words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from diarnb.engines.base import check_offered, check_options
from diarnb.store.run import Description, hash_json

if TYPE_CHECKING:
    from diarnb._types import Json, Options
    from diarnb.engines.base import Engine, Offer
    from diarnb.params import Params


@dataclass(frozen=True)
class Question:
    """What is asked about a recording, whichever that is.

    Attributes
    ----------
    engine : Engine
    params : Params
    options : mapping
        The engine's own arguments, checked; they may hold a key, and so do not show.
    words : str or None
        Of the words that the turns get, what is equal for equal words; empty as long as nobody can tell.
    live : bool
        Whether it is asked of a stream.
    """

    engine: Engine
    params: Params
    options: Options = field(repr=False)
    words: str | None = None
    live: bool = False

    @classmethod
    def settle(cls, engine: Engine, params: Params, given: Options) -> Self:
        """Check an engine's options and that it offers what is asked, and complete them.

        Raises
        ------
        InvalidParameterError, ConfigurationError
            Naming what is wrong or missing; nothing has been read or sent.
        """
        options = check_options(given, engine.offer, engine.name)
        check_offered(params, engine.offer, engine.name)
        return cls(engine, params, engine.settle(params, options))

    @property
    def offer(self) -> Offer:
        """What the engine offers for this."""
        return (self.live and self.engine.live_offer) or self.engine.offer

    @property
    def model(self) -> str:
        """The model that was named, or else the engine's default."""
        return self.params.model or self.offer.default_model

    @property
    def version(self) -> list[str]:
        """The model, and the version of the engine with it."""
        return [self.model, self.engine.version(self.model)]

    @property
    def asked(self) -> Json:
        """The fields of a `Description` that do not depend on the recording."""
        declared = self.offer.options
        kept = {
            name: declared[name].kept(value) for name, value in self.options.items() if declared[name].changes_result
        }
        if self.words is not None:
            kept["words"] = self.words
        return {"engine": self.engine.name, "model": self.model, "params": self.params.key(), "options": kept}

    def describe(self, recording: Any) -> Description:
        """Describe a `Recording` or `Link`, and what is asked about it."""
        place: Json = {}
        if recording.path is not None:
            stat = recording.path.stat()
            place = {"path": str(recording.path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        return Description(
            source=recording.name,
            **self.asked,
            content_hash=recording.content_hash,
            duration=recording.duration,
            problems=list(recording.problems),
            **place,
        )

    def key(self, *content: str) -> str:
        """Hash what is equal for two runs that would give the same answer; `content` identifies the recording."""
        asked = self.asked
        return hash_json(*content, self.engine.name, self.version, asked["params"], asked["options"])

    def earlier_key(self, *content: str) -> str | None:
        """Hash as `key` did when the engine had another default model; None where that changes nothing."""
        earlier, asked = self.offer.earlier_default, self.asked
        if self.params.model is not None or earlier is None:
            return None
        version = [earlier, self.engine.version(earlier)]
        return hash_json(*content, self.engine.name, version, asked["params"], asked["options"])

    def evidence_key(self, content: str) -> str:
        """Hash what is equal for two runs that decide from the same evidence."""
        return hash_json(content, self.engine.name, self.version, self.params.channels)


def describe_job(job_id: str, engine_name: str) -> Description:
    """Describe a job whose recording is not known here."""
    return Description(source=f"job {job_id}", engine=engine_name, model="unknown")


def key_of_job(engine: Engine, about: Description, job_id: str) -> str:
    """Hash as `Question.key` does what was asked when a job was submitted; an unknown recording is the job's."""
    version = [about.model, engine.version(about.model)]
    return hash_json(about.content_hash or job_id, engine.name, version, about.params, about.options)
