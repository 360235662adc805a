"""Tools for tests: compare tables of turns, check engines, and transcribe the examples without a model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb import engines
from diarnb.examples import example
from diarnb.tables.checks import check_turns
from diarnb.testing.engine_checks import EngineChecks

if TYPE_CHECKING:
    from pathlib import Path

    from diarnb._types import Source
    from diarnb.audio import Samples
    from diarnb.engines.base import Engine, OwnEngine
    from diarnb.testing.engine_checks import FakeService

__all__ = ["assert_turns_equal", "check_engine", "hear_example"]


def __dir__() -> list[str]:
    return __all__


_SHOWN = 10


def hear_example(samples: Samples, rate: int) -> pd.DataFrame:
    """Transcribe a part of the example ``meeting`` or ``interview`` from its script: a transcriber without a model.

    It finds these samples in the example and returns the words that are completely within them. With
    ``words="diarnb.testing:hear_example"`` you can try `diarize` or a server with words before you install a real
    transcriber. It knows only the examples.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    samples : numpy.ndarray
        float32, one channel, as for every transcriber; unchanged from the example, and at least a tenth of a second.
    rate : int
        Samples per second: 16000.

    Returns
    -------
    pandas.DataFrame
        start and end in seconds from the first sample, word, text, and confidence, which is 1.0; empty for other audio.

    Examples
    --------
    >>> import soundfile
    >>> samples, rate = soundfile.read(example("interview"), dtype="float32")
    >>> hear_example(samples[: 3 * rate], rate)["word"].head(3).tolist()
    ['welcome', 'back', 'with']
    """
    for name in ("meeting", "interview"):
        path = example(name)
        begin = _sound(path).find(samples[: rate // 10].tobytes()) / samples.itemsize / rate
        if begin >= 0:
            break
    end = begin + len(samples) / rate if begin >= 0 else begin
    script = pd.read_csv(path.with_suffix(".words.csv"))
    said = script[(script["start"] >= begin) & (script["end"] <= end)].drop(columns="speaker")
    return said.assign(start=said["start"] - begin, end=said["end"] - begin, confidence=1.0)


@functools.cache
def _sound(path: Path) -> bytes:
    import soundfile

    samples: Samples = soundfile.read(path, dtype="float32")[0]
    return samples.tobytes()


def assert_turns_equal(left: pd.DataFrame, right: pd.DataFrame, *, tolerance: float = 0.0) -> None:
    """Assert that two tables hold the same turns.

    The order of rows and columns, the index, ``attrs`` and the storage type of text do not matter.

    Parameters
    ----------
    left, right : pandas.DataFrame
        Any tables with start, end and speaker.
    tolerance : float, default 0.0
        How many seconds a start or an end may differ, and how much any other number may.

    Raises
    ------
    AssertionError
        The tables differ; the message shows the first rows that do.
    TurnTableError
        If one of them is not a table of turns.

    Examples
    --------
    >>> import pandas as pd
    >>> turns = pd.DataFrame({"start": [0], "end": [2], "speaker": ["SPEAKER_00"]})
    >>> assert_turns_equal(turns, turns.assign(end=2.01), tolerance=0.02)
    """
    left, right = check_turns(left, name="left"), check_turns(right, name="right")
    differences = [f"{len(left)} turns on the left, {len(right)} on the right"] if len(left) != len(right) else []
    if only := sorted(set(map(str, left.columns)) ^ set(map(str, right.columns))):
        differences.append(f"only one of them has {', '.join(only)}")
    for row, (ours, theirs) in enumerate(zip(left.to_dict("records"), right.to_dict("records"), strict=False)):
        # A duration differs with its start or end, by up to twice the tolerance: it says nothing of its own.
        shared = [name for name in ours if name in theirs and name != "duration"]
        differences += [
            f"row {row}, {name}: {ours[name]!r} != {theirs[name]!r}"
            for name in shared
            if not _alike(ours[name], theirs[name], tolerance)
        ]
    if differences:
        more = [f"and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
        raise AssertionError("the turns differ\n  " + "\n  ".join(differences[:_SHOWN] + more))


def _alike(ours: object, theirs: object, tolerance: float) -> bool:
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return abs(ours - theirs) <= tolerance or (ours != ours and theirs != theirs)  # both NaN
    return str(ours) == str(theirs)


def check_engine(
    engine: str | Engine | OwnEngine,
    source: Source | None = None,
    *,
    service: FakeService | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Check that an engine keeps what diarnb promises for every engine.

    It uses a temporary run store.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    engine : str, Engine, or any object that has what one has
    source : anything that `diarnb.diarize` takes, optional
        A recording that the engine can answer; by default the example "interview".
    service : object, optional
        For an engine that bills: a local service that imitates the real one, with the attributes ``base_url`` and
        ``api_key``, which are passed to the engine, and ``billed``, the number of jobs billed so far.
    **options
        The engine's own arguments, passed with each call.

    Returns
    -------
    pandas.DataFrame
        ``check``, ``result`` ("passed" or "skipped") and ``why`` it was skipped.

    Raises
    ------
    AssertionError
        At least one promise is broken; the message names them all.
    InvalidParameterError
        It is not an engine.

    Notes
    -----
    The checks: its declarations are complete; unknown options, models and unsupported parameters are refused by name
    before the recording is opened; the answer is JSON, its turns are within the recording, and the store returns them
    equal, without asking the engine twice; numbers of speakers are respected; no speaker overlaps with themselves, and
    exclusive turns do not overlap at all; confidences are 0-100; channels stay separate; words have times and speakers;
    reclustering equals a new run; silence is not a failure; what fails raises one of diarnb's errors; an interrupt
    stops it and leaves nothing behind. For an engine that bills: its key is never shown, ``kill -9`` loses nothing, and
    nothing is paid twice.

    Examples
    --------
    >>> class Somebody:
    ...     name, version = "somebody", "1"
    ...
    ...     def diarize(self, recording, params, options, progress):
    ...         progress("guessing", 0.5)
    ...         return [(0.0, recording.duration, 0)]
    >>> checks = check_engine(Somebody())
    >>> checks.loc[checks["result"] == "passed", "check"].tolist()
    ['declares', 'refuses by name', 'answers', 'asks once', 'overlap', 'silence', 'errors', 'interrupts']
    """
    checks = EngineChecks(engines.get(engine), engine, source, service, options)
    return checks.run()
