"""The neural networks: checked against their published hash, loaded with their threads, and what they answered."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diarnb.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import onnxruntime as ort

    from diarnb._types import Json
    from diarnb.store.run import Evidence

    Arrays = tuple[np.ndarray[Any, Any], ...]

MODELS = Path(__file__).with_name("models")
NAMES = ("segmentation", "embedding", "resnet34")
REINSTALL = 'Put it back with: pip install --force-reinstall --no-deps "diarnb"'

_GROUP = Path("/sys/fs/cgroup")
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))  # of control groups, version 2 and 1


@functools.cache
def provenance() -> dict[str, Json]:
    """Where each model comes from, its licence and its sha256."""
    try:
        facts: dict[str, Json] = json.loads((MODELS / "provenance.json").read_text(encoding="utf-8"))
        for name in NAMES:
            bytes.fromhex(facts[name]["sha256"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        message = f"The list of models that diarnb ships, provenance.json, cannot be read. {REINSTALL}"
        raise ConfigurationError(message) from error
    return facts


def load(name: str, *, providers: tuple[str, ...], threads: int | None) -> ort.InferenceSession:
    """Load a shipped network.

    Parameters
    ----------
    name : {"segmentation", "embedding", "resnet34"}
    providers : tuple of str
        ONNX Runtime's execution providers, in order of preference.
    threads : int or None
        Threads within one operation; None for all cores of this process.

    Raises
    ------
    ConfigurationError
        The file is missing or is not the one that was published, or a provider is not available here.
    """
    # the process is part of the key: a forked child must not use the threads of its parent
    known = provenance()[name]["sha256"]
    return _load(MODELS / f"{name}.onnx", known, providers, threads or count_cores(), os.getpid())


@functools.cache  # nothing is evicted: to end its parent's session, a forked child would wait for threads it lacks
def _load(
    path: Path,
    sha256: str,
    providers: tuple[str, ...],
    threads: int,
    _process: int,
) -> ort.InferenceSession:
    import onnxruntime as ort  # 0.1 s that `import diarnb` need not pay

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The model {path.name} is missing from this installation. {REINSTALL}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        message = (
            f"The model {path.name} is damaged: sha256 {found[:12]}… where {sha256[:12]}… was published. {REINSTALL}"
        )
        raise ConfigurationError(message)
    missing = [provider for provider in providers if provider not in ort.get_available_providers()]
    if missing:
        have = ", ".join(ort.get_available_providers())
        raise ConfigurationError(
            f"ONNX Runtime has no {', '.join(missing)} here; it has {have}. Choose with providers=[…]."
        )
    options = ort.SessionOptions()
    options.log_severity_level = 3  # its warnings are about graph optimisation, of no use to a listener
    # the networks take turns, and threads of the one that wait busily are in the way of the other's
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads  # by itself, it takes all that the machine has, and binds them to its cores
    try:
        return ort.InferenceSession(content, options, providers=list(providers))
    except Exception as error:  # of the runtime's own kinds, which share no base
        message = f"ONNX Runtime {ort.__version__} cannot load {path.name}. {REINSTALL} --upgrade onnxruntime"
        raise ConfigurationError(message) from error


def count_cores(group: Path = _GROUP) -> int:
    """Return how many cores this process may use: by its affinity and by the quota of its control group.

    Binder and Docker give a share of a large machine. Threads for all of its cores would only take turns on that share.

    Parameters
    ----------
    group : Path, default /sys/fs/cgroup
        Where the system tells of the control group.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> count_cores() >= 1
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in _QUOTAS:
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            quota, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
            if int(quota) > 0:
                cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(cores, 1)


class Tape:
    """What a network answered, call by call: what was kept is played back, and what is new is recorded.

    Calls follow from the samples alone, so that the same recording asks the same again.

    Parameters
    ----------
    name : str
        Tells its arrays from those of other tapes in one piece.
    pieces : iterable of dict, optional
        What `cut` returned before, in order; default: nothing is recorded.

    Examples
    --------
    >>> import numpy as np
    >>> tape = Tape("sums", [])
    >>> tape.run(lambda: (np.array([1]),))
    (array([1]),)
    >>> piece = tape.cut()
    >>> Tape("sums", [piece]).run(lambda: (np.array([2]),))
    (array([1]),)
    """

    def __init__(self, name: str = "", pieces: Iterable[Evidence] | None = None) -> None:
        self._name, self._records = name, pieces is not None
        self._kept = deque(outputs for piece in pieces or () for outputs in self._list(piece))
        self._fresh: list[Arrays] = []

    def run(self, ask: Callable[[], Arrays]) -> Arrays:
        """Return what the next call answered; where that is not known, ask."""
        if self._kept:
            return self._kept.popleft()
        outputs = ask()
        if self._records:
            self._fresh.append(outputs)
        return outputs

    def cut(self) -> Evidence:
        """Return what was recorded since the last cut."""
        fresh, self._fresh = self._fresh, []
        return {
            f"{self._name} {call} {part}": each
            for call, outputs in enumerate(fresh)
            for part, each in enumerate(outputs)
        }

    def _list(self, piece: Evidence) -> list[Arrays]:
        calls: dict[str, list[np.ndarray[Any, Any]]] = {}
        for name, array in piece.items():
            tape, _, call = name.partition(" ")
            if tape == self._name:
                calls.setdefault(call.partition(" ")[0], []).append(array)
        return [tuple(outputs) for outputs in calls.values()]
