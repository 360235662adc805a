"""The recordings of one call: what is known of each, what becomes of it, and the table that they make together."""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diarnb import errors
from diarnb.batch.linking import link_voices
from diarnb.batch.sources import is_address
from diarnb.batch.task import Outcome, Task, find_voices, keep_voices
from diarnb.engines.local.voiceprints import ALIKE, SIZE, remove_channel
from diarnb.errors import DiarnbWarning, InvalidParameterError, RunNotFoundError, StoreError, WorkerLostError
from diarnb.results.runs import table_of
from diarnb.store import Store
from diarnb.store.batches import Manifest
from diarnb.tables.turns import empty_turns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from diarnb._progress import Progress
    from diarnb.batch.executors import Dispatcher
    from diarnb.store.run import Evidence, Run

_TRIES = 5  # of a recording that a service was too busy for
_MISSING = {"confidence": np.nan, "text": "", "channel": 0}
_HOPELESS = {
    kind.__name__
    for kind in (
        errors.AuthenticationError,
        errors.PaymentRequiredError,
        errors.PermissionDeniedError,
        errors.MissingApiKeyError,
    )
}  # what is wrong with one recording is wrong with all: 300 refusals tell no more than one


@dataclass
class Member:
    """One recording of a batch: what is to be done, and what became of it."""

    task: Task
    item: str
    turns: pd.DataFrame | None = None
    voices: Evidence | None = None
    remark: bool = False
    error: str = ""
    message: str = ""
    tries: int = 0
    weight: float = 1.0


class Batch:
    """The recordings of one call, and their manifest."""

    def __init__(self, members: Sequence[Member], *, refresh: bool) -> None:
        self.members = members
        self._store = Store.default()
        self._manifest = Manifest(self._store)
        items = [member.item for member in members]
        known = {} if refresh else self._manifest.find_known(items)
        runs = {
            member.task.place: self._recall(member, known[member.item].run)
            for member in members
            if member.item in known
        }
        self.id: str = self._manifest.begin(items, [member.task.uri for member in members], runs)
        # What may have killed a worker comes last, so that it cannot keep the others from being done again.
        died = {item for item, row in known.items() if row.error == WorkerLostError.__name__}
        self.left: list[Member] = sorted(
            (member for member in members if member.turns is None), key=lambda member: member.item in died
        )
        self._weigh()
        self.fractions: dict[int, float] = {}

    @property
    def failures(self) -> list[dict[str, str]]:
        """What failed: the recording, the kind of error and its message."""
        return [
            {"uri": member.task.uri, "error": member.error, "message": member.message}
            for member in self.members
            if member.error
        ]

    def work(self, dispatcher: Dispatcher[Member], report: Progress) -> None:
        """Have done what is left; what is done is kept whatever happens."""
        begun = False
        hopeless: tuple[str, str] | None = None
        try:
            with closing(dispatcher.as_completed()) as events:
                for event in events:
                    if event is None:
                        report(self._stage(), self._fraction())
                        continue
                    begun = True
                    member, outcome = event[0], _read_outcome(*event)
                    if outcome.again_after is not None and member.tries < _TRIES:
                        member.tries += 1
                        dispatcher.waiting.append(member)
                        dispatcher.pause(outcome.again_after)
                        continue
                    self._settle(member, outcome)
                    if outcome.error in _HOPELESS:
                        hopeless = outcome.error, outcome.message
                        dispatcher.waiting.clear()  # those that are under way may be paid already
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(self._describe_kept())
            raise
        if hopeless is not None:
            raise getattr(errors, hopeless[0])(f"{hopeless[1]} {self._describe_kept()}")
        if dispatcher.broken is not None and not begun:
            raise InvalidParameterError(
                f"the executor accepts no work ({dispatcher.broken}); make a new one"
            ) from dispatcher.broken
        for member in dispatcher.waiting:
            member.error = WorkerLostError.__name__
            member.message = (
                f"{member.task.uri} was not started: the executor accepts no more work ({dispatcher.broken})."
            )

    def table(self, same_speakers: bool) -> pd.DataFrame:
        """Join the tables of all recordings."""
        found = [member.turns.assign(uri=member.task.uri) for member in self.members if member.turns is not None]
        for table in found:
            table.attrs = {}
        columns = [name for name in _MISSING if any(name in table for table in found)]
        shape = empty_turns(*columns, "uri")
        spoken = [table for table in found if len(table)]
        if not spoken:
            return shape
        joined = pd.concat(spoken, ignore_index=True).reindex(columns=shape.columns)
        turns = joined.fillna({name: _MISSING[name] for name in columns if name != "confidence"}).astype(shape.dtypes)
        return self._link_speakers(turns) if same_speakers else turns

    def warn(self) -> None:
        """Warn once of what is not as it should be."""
        failed = self.failures
        remarks = sum(member.remark for member in self.members)
        told = []
        if failed:
            first = failed[0]
            told.append(
                f"{len(failed)} of {len(self.members)} recordings failed, the first with {first['error']}: "
                f"{first['message']:.200} turns.attrs['diarnb']['failures'] lists them all; the same call retries "
                "them, and has the others ready."
            )
        if remarks:
            told.append(f"{remarks} of {len(self.members)} recordings have warnings: see diarnb.batch.manifest(turns).")
        if told:
            warnings.warn(" ".join(told), DiarnbWarning, stacklevel=3)

    def _recall(self, member: Member, run_id: str | None) -> str | None:
        """Answer from the store, by the run's id; None where it does not hold all that is wanted."""
        try:
            run = self._store.get(run_id or "")
        except (RunNotFoundError, StoreError):
            return None
        if member.task.voices:
            member.voices = find_voices(run, self._store)
            if member.voices is None:
                return None
        self._take_run(member, run)
        return run.id

    def _settle(self, member: Member, outcome: Outcome) -> None:
        self.fractions.pop(member.task.place, None)
        if outcome.run is None:
            member.error, member.message = outcome.error, outcome.message
            told = {"error": outcome.error, "message": outcome.message}
            self._manifest.end(self.id, member.task.place, "failed", seconds=outcome.seconds, **told)
            return
        try:
            self._store.get(outcome.run.id)
        except (RunNotFoundError, StoreError):  # it was made where another store is
            self._store.save(outcome.run)
            if outcome.voices is not None:
                keep_voices(outcome.run, outcome.voices, self._store)
        member.voices = outcome.voices
        self._take_run(member, outcome.run)
        self._manifest.end(self.id, member.task.place, "done", run=outcome.run.id, seconds=outcome.seconds)

    def _take_run(self, member: Member, run: Run) -> None:
        member.turns = table_of(run)  # and not the run: its answer is much larger
        member.remark = run.warning is not None

    def _link_speakers(self, turns: pd.DataFrame) -> pd.DataFrame:
        heard = [
            (member.task.uri, speaker, member.task.place, voice)
            for member in self.members
            for speaker, voice in sorted((member.voices or {}).items())
        ]
        voices = remove_channel(np.array([voice for *_, voice in heard]).reshape(-1, SIZE))
        groups = link_voices(voices, [place for *_, place, _ in heard], ALIKE)
        group = {(uri, speaker): number for (uri, speaker, *_), number in zip(heard, groups, strict=True)}
        labels: dict[object, str] = {}
        for who in turns[["uri", "speaker"]].drop_duplicates().itertuples(index=False, name=None):
            labels.setdefault(group.get(who, who), f"SPEAKER_{len(labels):02d}")
        names = [labels[group.get(who, who)] for who in zip(turns["uri"], turns["speaker"], strict=True)]
        return turns.assign(speaker=pd.Series(names, turns.index, dtype=turns["speaker"].dtype))

    def _weigh(self) -> None:
        """Let a large file count for more than a small one; where sizes are not known all count the same."""
        sizes = []
        for member in self.left:
            try:
                sizes.append(0 if is_address(member.task.source) else Path(member.task.source).stat().st_size)
            except (OSError, ValueError):
                sizes.append(0)
        if not any(is_address(member.task.source) for member in self.left):
            for member, size in zip(self.left, sizes, strict=True):
                member.weight = size + 1.0

    def _stage(self) -> str:
        done = sum(member.turns is not None for member in self.members)
        failed = len(self.failures)
        return f"{done + failed} of {len(self.members)}" + (f", {failed} failed" if failed else "")

    def _fraction(self) -> float:
        whole = sum(member.weight for member in self.left)
        done = sum(
            member.weight
            if member.turns is not None or member.error
            else member.weight * self.fractions.get(member.task.place, 0.0)
            for member in self.left
        )
        return done / whole if whole else 1.0

    def _describe_kept(self) -> str:
        done = sum(member.turns is not None for member in self.members)
        return f"{done} of {len(self.members)} recordings are done and kept: the same call continues from there."


def _read_outcome(member: Member, future: Future[Any]) -> Outcome:
    """Read what a future holds; the end of a worker is the failure of the recording that it was at."""
    try:
        outcome: Outcome = future.result()
    except Exception as error:  # of the executor's own kinds, which share no base
        why = f"{type(error).__name__}: {str(error) or 'it was canceled'}"
        message = f"The worker for {member.task.uri} died, was killed or ran out of memory ({why:.200})."
        return Outcome(0.0, error=WorkerLostError.__name__, message=message)
    return outcome
