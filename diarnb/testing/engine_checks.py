"""What `diarnb.testing.check_engine` checks, one promise a method."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import tempfile
import time
import traceback
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb.api import diarize, recluster
from diarnb.audio import open_recording
from diarnb.engines import registry
from diarnb.engines.base import Engine, Offer
from diarnb.errors import ApiError, DiarnbError, DiarnbWarning, InvalidParameterError
from diarnb.examples import example
from diarnb.results import exclusive, frames, words
from diarnb.results.runs import open_run, runs
from diarnb.store import Store
from diarnb.tables.checks import check_turns
from diarnb.tables.turns import overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diarnb._types import Json, Source
    from diarnb.engines.base import OwnEngine

_SECRET = "only-a-test-7f3c9e2b"  # noqa: S105 (it opens nothing)
_NOWHERE = "http://127.0.0.1:9"  # where nothing answers
_PATIENCE = 60.0  # seconds until a child has sent what is billed
_ROUNDING = 1e-6  # seconds
_GRID = 0.1  # seconds by which a turn may end after its recording: an engine has a grid


class FakeService(Protocol):
    """A service on this machine that stands for the real one."""

    base_url: str
    api_key: str

    @property
    def billed(self) -> int:
        """How many jobs were billed so far."""
        ...


class _Skipped(Exception):  # noqa: N818 (it is no error)
    """Why a promise cannot be checked of this engine."""


class EngineChecks:
    """The promises, checked of one engine; each method without an underscore is one."""

    def __init__(
        self,
        engine: Engine,
        given: str | Engine | OwnEngine,
        source: Source | None,
        service: FakeService | None,
        options: Json,
    ) -> None:
        self._engine, self._given, self._service = copy.copy(engine), given, service
        self._source = example("interview") if source is None else source
        self._options = dict(options)
        if service is not None:
            self._options |= {"base_url": service.base_url, "api_key": service.api_key}
        self._asked = 0
        self._reports: list[tuple[str, float]] = []

    def run(self) -> pd.DataFrame:
        """Check all, and raise what is broken."""
        checks = [name for name in vars(EngineChecks) if not name.startswith("_") and name != "run"]
        rows, broken = [], []
        self._count()
        with self._own_store():
            for name in checks:
                shown = name.replace("_", " ")
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", DiarnbWarning)
                        getattr(self, name)()
                    rows.append((shown, "passed", ""))
                except _Skipped as reason:
                    rows.append((shown, "skipped", str(reason)))
                except Exception as error:  # whatever an engine raises where it should not
                    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
                    broken.append(f"{shown}: {kind}{error}")
        if broken:
            promises = "\n  ".join(broken)
            raise AssertionError(f"the engine {self._engine.name!r} breaks {len(broken)} promises\n  {promises}")
        return pd.DataFrame(rows, columns=["check", "result", "why"])

    def declares(self) -> None:
        """Check that it declares models, a steady version, and a line of help for each option."""
        offer = self._engine.offer
        _hold(isinstance(offer, Offer), "offer is no engines.base.Offer")
        _hold(offer.models, "offer.models is empty: name one model")
        versions = [self._engine.version(offer.default_model) for _ in range(2)]
        _hold(isinstance(versions[0], str), "version() is no text")
        _hold(versions[0] == versions[1], "version() changes from call to call, so that nothing is found again")
        costs = "max_cost" not in offer.options or self._engine.can(Engine.billable_seconds)
        _hold(costs, "it takes max_cost, and does not say what it bills: write billable_seconds()")
        for name, option in offer.options.items():
            _hold(name.isidentifier(), f"the option {name!r} is no name that can be typed")
            _hold(option.help.strip(), f"the option {name} has no line of help")

    def refuses_by_name(self) -> None:
        """Check that it refuses by name what it does not offer, before the recording is opened."""
        offer = self._engine.offer
        wrong: Json = {"no_such_option": 1}
        wrong |= {} if offer.any_model else {"model": "no-such-model"}
        wrong |= {} if offer.count else {"num_speakers": 2}
        for name in ("exclusive", "confidence", "turn_level_confidence"):
            wrong |= {} if getattr(offer, name) else {name: True}
        wrong |= {} if offer.channels else {"channels": "split"}
        for name, value in wrong.items():
            try:
                diarize("there is no such file.wav", engine=self._engine, progress=False, **{name: value})
            except InvalidParameterError as error:
                told = value if name == "model" else name
                _hold(str(told) in str(error), f"{name} is refused without naming it: {error}")
            else:
                raise AssertionError(f"{name}={value!r} is not refused")

    def answers(self) -> None:
        """Check that its answer is plain JSON, with turns within the recording, and that it reports progress."""
        turns = self._ask()
        check_turns(turns)
        with open_recording(self._source) as recording:
            length = recording.duration
        last = float(turns["end"].max()) if len(turns) else 0.0
        _hold(last <= length + _GRID, f"a turn ends at {last:.1f} s, the recording at {length:.1f} s")
        run = Store.default().get(turns.attrs["diarnb"]["run"])
        _hold(json.loads(json.dumps(run.raw)) == run.raw, "Answer.raw is no plain JSON")
        reports = self._reports or self._engine.service  # what waits elsewhere is stopped while it waits
        _hold(reports, "it never calls progress(), and so cannot be stopped")
        odd = [report for report in self._reports if not isinstance(report[0], str) or not 0 <= report[1] <= 1]
        _hold(not odd, f"it reports progress {odd[:1]}; a text and a fraction from 0 to 1 are wanted")

    def asks_once(self) -> None:
        """Check that the same question is answered from the store, with an equal table."""
        first = self._ask()
        asked = self._asked
        again = self._ask()
        _hold(self._asked == asked, "the same question is not answered from the store")
        pd.testing.assert_frame_equal(first, again)
        pd.testing.assert_frame_equal(first, open_run(first.attrs["diarnb"]["run"]))

    def counts(self) -> None:
        """Check that it keeps to a number of speakers."""
        self._wants(self._engine.offer.count, "takes no number of speakers")
        for asked, most in (({"num_speakers": 2}, 2), ({"max_speakers": 1}, 1)):
            found = self._ask(**asked)["speaker"].nunique()
            _hold(found <= most, f"{asked} gives {found} speakers")

    def exclusive(self) -> None:
        """Check that its exclusive turns do not overlap."""
        self._wants(self._engine.offer.exclusive, "has no exclusive turns")
        shared = overlap(exclusive(self._ask(exclusive=True)))
        _hold(shared.empty, f"exclusive turns overlap at {shared['start'].min():.2f} s")

    def overlap(self) -> None:
        """Check that nobody overlaps with themselves; that others do is kept as it is."""
        turns = self._ask()
        own = turns.sort_values(["speaker", "start"]).groupby("speaker")
        shared = own["end"].cummax().groupby(turns["speaker"]).shift() - turns["start"]
        _hold(not (shared > _ROUNDING).any(), f"a speaker overlaps with themselves for {shared.max():.2f} s")

    def confidences(self) -> None:
        """Check that confidences of turns and frames are 0-100."""
        offer = self._engine.offer
        self._wants(offer.turn_level_confidence or offer.confidence, "has no confidences")
        if offer.turn_level_confidence:
            found = self._ask(turn_level_confidence=True)["confidence"]
            _hold(found.between(0, 100).all(), "the confidence of a turn is not 0-100")
        if offer.confidence:
            table = frames(self._ask(confidence=True))
            _hold((table["start"].diff().dropna() > 0).all(), "frames do not follow each other")
            _hold(table["confidence"].dropna().between(0, 100).all(), "the confidence of a frame is not 0-100")

    def channels(self) -> None:
        """Check that it keeps channels apart."""
        self._wants(self._engine.offer.channels, "keeps no channels apart")
        found = self._ask(example("call"), channels="split")["channel"]
        _hold(set(found) <= {0, 1}, f"a recording of two channels has {sorted(set(found))}")

    def words(self) -> None:
        """Check that its words are in order, and said by speakers whom the turns have."""
        self._wants(self._engine.offer.words, "has no words of its own")
        turns = self._ask()
        found = words(turns)
        self._wants(len(found) > 0, "gave no words with these options")
        _hold(found["start"].is_monotonic_increasing, "words are not in order")
        _hold((found["start"] <= found["end"]).all(), "a word ends before it starts")
        others = set(found["speaker"].dropna()) - set(turns["speaker"])
        _hold(not others, f"words have speakers that no turn has: {sorted(others)}")

    def decides_again(self) -> None:
        """Check that another decision equals a cold run, and listens no more."""
        self._wants(self._engine.can(Engine.decide), "does not decide again")
        turns = self._ask()
        asked = self._asked
        again = recluster(turns, num_speakers=1)
        _hold(self._asked == asked, "recluster() listens again")
        cold = self._ask(num_speakers=1, refresh=True)
        pd.testing.assert_frame_equal(again, cold, check_like=True)

    def silence(self) -> None:
        """Check that a recording in which nobody speaks is no failure."""
        with suppress(DiarnbError):  # it may refuse, in words
            check_turns(self._ask((np.zeros(3 * 16_000, np.float32), 16_000)))

    def errors(self) -> None:
        """Check that what it cannot do is an error of diarnb's: a recording with next to nothing in it, no service."""
        for samples in (1, 160):
            with suppress(DiarnbError):
                check_turns(self._ask((np.full(samples, 0.1, np.float32), 16_000)))
        if "base_url" in self._engine.offer.options:
            with suppress(DiarnbError):
                self._ask(base_url=_NOWHERE, refresh=True)
                raise AssertionError("it answers where there is no service: base_url is not heeded")

    def interrupts(self) -> None:
        """Check that an interrupt stops it, and that nothing of the run is kept."""
        before = len(runs())

        def stop(_stage: str, _fraction: float) -> None:
            raise KeyboardInterrupt

        noise = np.random.default_rng(1).normal(0, 0.1, (2 * 16_000,)).astype(np.float32)
        for source, known in (((noise, 16_000), False), (self._source, True)):
            try:
                diarize(source, engine=self._engine, progress=stop, refresh=known, **self._options)
            except KeyboardInterrupt:
                finished = (runs()["state"] == "succeeded").sum()
                _hold(finished <= before, "an interrupted run is kept as if it were whole")
                return
            except DiarnbError:  # it refuses noise, so the recording that it can answer
                continue
            self._wants(not self._engine.service, "the answer was there before it reported progress")
            raise AssertionError("an interrupt does not stop it: it catches what progress() raises, or never calls it")
        raise AssertionError("it raises something else where progress() raises an interrupt")

    def keys(self) -> None:
        """Check that no error and no file shows the key."""
        declared = self._engine.offer.options
        self._wants({"api_key", "base_url"} <= declared.keys(), "takes no key")
        asked = {**self._options, "api_key": _SECRET, "base_url": _NOWHERE}
        try:
            diarize(self._source, engine=self._engine, progress=False, refresh=True, **asked)
        except DiarnbError as error:
            within = error.__traceback__ and error.__traceback__.tb_next  # this very frame knows the key
            told = traceback.TracebackException(type(error), error, within, capture_locals=True)
            shown = "".join([*told.format(), repr(error), str(vars(error))])
            _hold(_SECRET not in shown, "an error shows the key")
        else:
            raise AssertionError("it answers where there is no service: base_url is not heeded")
        stored = b"".join(path.read_bytes() for path in Store.default().path.parent.iterdir() if path.is_file())
        _hold(_SECRET.encode() not in stored, "the key is on disk")

    def kill_and_paid_once(self) -> None:
        """Check that nothing is paid twice after the process was killed with the job under way."""
        self._wants(self._engine.can(Engine.billable_seconds), "bills nothing")
        service = self._service
        if service is None:
            raise _Skipped("no service= was given that stands for the real one")
        noise = np.random.default_rng(2).normal(0, 0.1, (16_000,)).astype(np.float32)
        asked = ((noise, 16_000), self._given, self._options)
        try:
            pickle.dumps(asked)
        except Exception as error:  # of many kinds
            raise _Skipped(f"it cannot go to another process ({error}): define it in a module") from None
        before = service.billed
        child = multiprocessing.get_context("spawn").Process(target=_ask_in_child, args=asked)
        child.start()
        deadline = time.monotonic() + _PATIENCE
        while service.billed == before and child.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        child.kill()
        child.join()
        _hold(service.billed == before + 1, "the service was not billed once, or says nothing of it")
        for _ in range(2):
            with suppress(ApiError):  # an answer that cannot be looked up may be lost, and is then named so
                diarize((noise, 16_000), engine=self._engine, progress=False, **self._options)
        _hold(service.billed == before + 1, "what a killed process had paid for is paid again, unasked")

    def _ask(self, source: Source | None = None, /, **asked: Any) -> pd.DataFrame:
        given = self._source if source is None else source
        return diarize(given, engine=self._engine, progress=self._note, **{**self._options, **asked})

    def _note(self, stage: str, fraction: float) -> None:
        self._reports.append((stage, fraction))

    def _wants(self, offered: bool, why: str) -> None:
        if not offered:
            raise _Skipped(why)

    def _count(self) -> None:
        """Count how often the engine is asked; in a copy of it, for the one that was given may travel."""
        real: Callable[..., Any] = self._engine.diarize

        def count_calls(*arguments: Any) -> Any:
            self._asked += 1
            return real(*arguments)

        object.__setattr__(self._engine, "diarize", count_calls)  # also of a frozen dataclass

    @contextmanager
    def _own_store(self) -> Iterator[None]:
        before, known = os.environ.get("DIARNB_HOME"), dict(registry.registered)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            os.environ["DIARNB_HOME"] = str(Path(home))
            if engines.find(self._engine.name) is None:
                engines.register(self._engine)
            try:
                yield
            finally:
                registry.registered.clear()
                registry.registered.update(known)
                if before is None:
                    del os.environ["DIARNB_HOME"]
                else:
                    os.environ["DIARNB_HOME"] = before


def _hold(promise: object, otherwise: str) -> None:
    """Assert, also where Python leaves its own assertions out."""
    if not promise:
        raise AssertionError(otherwise)


def _ask_in_child(source: Source, engine: Any, options: Json) -> None:
    if not isinstance(engine, str) and engine.name not in engines.NAMES:
        engines.register(engine)
    diarize(source, engine=engine, progress=False, **options)
