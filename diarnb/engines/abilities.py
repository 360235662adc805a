"""Carried here.."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import numpy as np
    import pandas as pd

    from diarnb._progress import Progress
    from diarnb.audio import Recording
    from diarnb.engines.base import Answer, Offer
    from diarnb.params import Params
    from diarnb.store.run import Evidence


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
class Settler(Protocol):
    """What an engine has beyond that if its arguments depend on each other, or on the environment."""

    def settle(self, params: Params, options: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the checked options (a key, an address), or refuse them, before anything is read or sent."""
        ...


@runtime_checkable
class Counter(Protocol):
    """What an engine has beyond that if it can say why it found as many speakers as it did."""

    def count_evidence(self, evidence: Evidence, params: Params, options: Mapping[str, Any]) -> pd.DataFrame:
        """Give the table that `diarnb.metrics.count_evidence` documents, with the engine's own labels."""
        ...


@runtime_checkable
class Reconsiderer(Protocol):
    """What an engine has beyond that if it can learn from corrections of its turns."""

    def reconsider(
        self, evidence: Evidence, params: Params, turns: pd.DataFrame, wrong: Mapping[int, Collection[str]]
    ) -> pd.DataFrame:
        """Say how likely each speaker is in each turn, given what is certain.

        `turns` has ``start``, ``end``, ``speaker``, ``certain`` (bool), and ``channel`` where channels are apart;
        `wrong` gives, by the index of turns, who does not speak there. Gives the index of `turns` and one column a
        speaker, 0-100; NaN where a turn cannot be heard by itself.
        """
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
        taken back comes once more, without length (``end == start``); if that is not final, its id may go to another.

        A generator may return, when the blocks have ended, an `Answer` for the whole with a mapping from its labels to
        those of the stream.
        """
        ...


@runtime_checkable
class Resumer(Protocol):
    """What an engine has beyond that if its service keeps jobs."""

    def resume(self, job_id: str, options: Mapping[str, Any], progress: Progress) -> tuple[Answer, dict[str, Any]]:
        """Wait for a job; give its answer, and what `describe` said when it was submitted."""
        ...


@runtime_checkable
class Reader(Protocol):
    """What an engine has beyond that if its raw answer is a vendor's, kept as it came and read anew for each table."""

    def read(self, raw: dict[str, Any], params: Params, options: Mapping[str, Any]) -> dict[str, Any]:
        """Give the raw answer in the terms of `Answer.raw`, and beyond.

        ``columns`` are optional columns that the turns have, whatever was asked. ``words`` and ``utterances`` are lists
        of dicts as well: ``start, end, word, text, speaker`` (None where the vendor names nobody), ``confidence,
        speaker_confidence`` (0-1, None where unknown), ``channel``; and ``start, end, speaker, text, confidence,
        channel``. ``frames`` are ``resolution`` and two dicts of lists, ``speakers`` and ``scores``; ``matches`` is
        what `diarnb.identify` puts into ``attrs``.
        """
        ...

    def bill(self, raw: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        """Say of a delivered answer, and what `describe` said of it, what a `Receipt` says beyond the job."""
        ...


@runtime_checkable
class VoiceprintMaker(Protocol):
    """What an engine has beyond that if its service makes voiceprints; its `diarize` finds them, ``voiceprints=``."""

    def make_voiceprint(
        self, recording: Recording, params: Params, options: Mapping[str, Any], progress: Progress
    ) -> tuple[str, str | None]:
        """Have a voiceprint made of the one person who speaks, and paid; give it and a remark or None."""
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
