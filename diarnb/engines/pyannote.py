"""Pipelines of pyannote.audio on this machine, for whoever has its weights: the extra ``pyannote``, which brings torch.

Nothing of diarnb imports pyannote.audio before it is asked for. While it works for diarnb it reports nothing to its
makers, and what it prints and warns of stays away.
"""

from __future__ import annotations

import base64
import os
import re
import warnings
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diarnb._text import shorten
from diarnb.audio import SAMPLE_RATE
from diarnb.audio.excerpts import excerpts
from diarnb.engines.base import Answer, Engine, Offer, Option
from diarnb.engines.cloud.keys import check_key, look_for_key
from diarnb.errors import ConfigurationError, InvalidParameterError, VoiceprintError
from diarnb.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.cloud.keys import Secret

MODELS = ("pyannote/speaker-diarization-community-1", "pyannote/speaker-diarization-3.1")
"""The pipelines that most people use, the default first; any other of huggingface.co, or of a folder, is taken too."""

_STAGES = {"segmentation": (0.05, 0.4), "speaker_counting": (0.4, 0.4), "embeddings": (0.4, 0.95)}
_HEARD = 15.0  # seconds of each speaker that are compared with voiceprints
_TELEMETRY = "PYANNOTE_METRICS_ENABLED"


def _device(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"cpu|mps|cuda(:\d+)?", value):
        raise InvalidParameterError(f"device is 'cpu', 'cuda', 'cuda:1' or 'mps', not {value!r:.60}")
    return value


class PyannoteEngine(Engine):
    """pyannote.audio.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    model : str or os.PathLike, optional
        The pipeline that is used where a call names none, and for voiceprints.
    device : str, optional
        Likewise.
    """

    name = "pyannote"

    def __init__(self, model: str | os.PathLike[str] | None = None, *, device: str | None = None) -> None:
        own = () if model is None else (os.fspath(model),)
        self.offer: Offer = Offer(
            models=(*own, *MODELS),
            confidence=False,
            turn_level_confidence=False,
            channels=False,
            any_model=True,
            options={
                "token": Option(
                    "the access token for huggingface.co, where it is not in HF_TOKEN", check_key, changes_result=False
                ),
                "device": Option(
                    "'cpu', 'cuda', 'cuda:1' or 'mps'; a GPU if there is one", _device, changes_result=False
                ),
            },
        )
        self._device = None if device is None else _device(device)

    def version(self, model: str) -> str:  # noqa: ARG002
        """Return the version of pyannote.audio."""
        try:
            return version("pyannote.audio")
        except PackageNotFoundError:
            return "none"

    def settle(self, params: Params, options: Options) -> Json:  # noqa: ARG002
        """Find the token, and refuse where the package is missing."""
        if self.version("") == "none":
            raise ConfigurationError(
                "engine='pyannote' needs the package pyannote.audio, which is not installed: pip install "
                "'diarnb[pyannote]' (it brings torch). Nothing is sent anywhere in its place."
            )
        token = options.get("token") or look_for_key("HF_TOKEN")
        return {**options, **({} if token is None else {"token": token})}

    def diarize(self, recording: Recording, params: Params, options: Options, progress: Progress) -> Answer:
        """Listen to the mix of all channels."""
        model = params.model or self.offer.default_model
        low, high = params.bounds
        counts = {"num_speakers": low} if low == high else {"min_speakers": low, "max_speakers": high}
        blocks = [*recording.blocks()]
        samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        found = _run(self._load(model, options, progress), samples, counts, progress)
        raw = {**found, "duration": recording.duration, "model": _to_name(model)}
        return Answer({**raw, "pyannote.audio": self.version(model)})

    def voiceprint(self, recording: Recording) -> tuple[str, str | None]:
        """Make a voiceprint: the embedding that the default model has of the one person who speaks."""
        model = self.offer.default_model
        blocks = [*recording.blocks()]
        embedding = self._embed(np.concatenate(blocks) if blocks else np.zeros(0, np.float32))
        if embedding is None:
            raise VoiceprintError(f"No speech was found in {shorten(recording.name, 80)}; give one person's voice.")
        text = base64.b64encode(embedding.astype("<f4").tobytes()).decode("ascii")
        return f"{self.name}:{_to_name(model)}:{text}", " ".join(recording.problems) or None

    def check_voiceprints(self, voiceprints: Mapping[str, str]) -> None:
        """Refuse those of other makers and models."""
        for label, text in voiceprints.items():
            _unpack(label, text, _to_name(self.offer.default_model))

    def identify(
        self, recording: Recording, turns: pd.DataFrame, voiceprints: Mapping[str, str]
    ) -> dict[str, dict[str, float]]:
        """Score by the cosine similarity, in percent; what is below 0 counts as 0."""
        known = {label: _unpack(label, text, _to_name(self.offer.default_model)) for label, text in voiceprints.items()}
        scores: dict[str, dict[str, float]] = {}
        for speaker, heard in excerpts(recording, turns, _HEARD).items():
            own = self._embed(np.concatenate(heard)) if heard else None
            alike = {} if own is None else {label: float(own @ other) for label, other in known.items()}
            scores[speaker] = {label: 100 * min(max(cosine, 0.0), 1.0) for label, cosine in alike.items()}
        return scores

    def _embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32] | None:
        pipeline = self._load(self.offer.default_model, self.settle(Params(), {}), lambda _stage, _fraction: None)
        found = _run(pipeline, samples, {"num_speakers": 1}, lambda _stage, _fraction: None)["embeddings"]
        embedding = np.array(next(iter(found.values()), []), dtype=np.float32)
        size = float(np.linalg.norm(embedding))
        return embedding / size if size > 0 and np.isfinite(size) else None

    def _load(self, model: str, options: Options, progress: Progress) -> Any:
        progress("loading the pipeline", 0.0)
        device = options.get("device") or self._device or _best_device()
        return _load_pipeline(model, device, options.get("token"))


@contextmanager
def _quietly() -> Iterator[list[warnings.WarningMessage]]:
    """Let pyannote.audio report, print and warn of nothing; yield what it would have warned of."""
    before = os.environ.get(_TELEMETRY)
    os.environ[_TELEMETRY] = "0"  # it is asked for whenever something is to be reported
    try:
        with warnings.catch_warnings(record=True) as told, redirect_stdout(StringIO()):
            warnings.simplefilter("always")
            yield told
    finally:
        if before is not None:  # else it stays off: pyannote.audio wants the variable
            os.environ[_TELEMETRY] = before


def _best_device() -> str:
    with _quietly():
        torch = import_module("torch")
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


@lru_cache(maxsize=1)
def _load_pipeline(model: str, device: str, token: Secret | None) -> Any:
    with _quietly():
        torch, audio = import_module("torch"), import_module("pyannote.audio")
        failure: Exception | None = None
        try:
            pipeline = audio.Pipeline.from_pretrained(model, token=None if token is None else token.reveal())
            if pipeline is not None:
                return pipeline.to(torch.device(device))
        except Exception as error:  # of torch, of huggingface_hub, of yaml and others
            failure = error
    raise _explain(model, device, failure) from None  # its frames hold the token


def _explain(model: str, device: str, error: Exception | None) -> ConfigurationError:
    """Make the error for a pipeline that cannot be loaded, with what to do about it."""
    shown = shorten(_to_name(model), 80)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    page = f"https://huggingface.co/{model}"
    if kinds & {
        "LocalEntryNotFoundError",
        "ConnectionError",
        "ConnectError",
        "OfflineModeIsEnabled",
        "TimeoutException",
    }:
        return ConfigurationError(
            f"The weights of {shown} are not on this machine, and huggingface.co cannot be reached. Fetch them once "
            "where there is a network, or pass their folder: model='folder'."
        )
    if error is None or kinds & {"GatedRepoError", "HfHubHTTPError", "RepositoryNotFoundError"}:
        return ConfigurationError(
            f"huggingface.co does not give the weights of {shown}: it asks for an account that has accepted their "
            f"conditions. Accept them at {page}, make a token at https://huggingface.co/settings/tokens, and put it "
            "into the environment variable HF_TOKEN. Nothing was sent to any service instead."
        )
    why = f"{type(error).__name__}: {shorten(str(error), 150)}"
    return ConfigurationError(f"pyannote.audio cannot load {shown} for {device} ({why}). Check model= and device=.")


def _run(pipeline: Any, samples: NDArray[np.float32], counts: Json, progress: Progress) -> Json:
    """Run a pipeline; return turns, exclusive turns, an embedding of each speaker and what it warned of."""
    torch = import_module("torch")

    def hook(step: str, _artifact: object, total: int | None = None, completed: int | None = None, **_: object) -> None:
        first, last = _STAGES.get(step, (0.95, 0.95))
        part = min(1.0, float(completed or 0) / total) if total else 1.0  # without a total the step is done
        progress(step.replace("_", " "), first + (last - first) * part)

    sound = {"waveform": torch.from_numpy(np.ascontiguousarray(samples))[None], "sample_rate": SAMPLE_RATE}
    if not len(samples):
        return {"diarization": [], "embeddings": {}}
    with _quietly() as told:
        output = pipeline(sound, hook=hook, **counts)
    turns = getattr(output, "speaker_diarization", output)  # a legacy pipeline answers with the turns alone
    alone, vectors = getattr(output, "exclusive_speaker_diarization", None), getattr(output, "speaker_embeddings", None)
    said = next((str(each.message) for each in told if "number of speakers" in str(each.message)), None)
    return {
        "diarization": _list_turns(turns),
        **({} if alone is None else {"exclusiveDiarization": _list_turns(alone)}),
        "embeddings": {}
        if vectors is None
        else {
            speaker: [round(float(number), 6) for number in vector]
            for speaker, vector in zip(turns.labels(), vectors, strict=False)
            if np.isfinite(vector).all()
        },
        "warning": None if said is None else f"pyannote.audio: {shorten(' '.join(said.split()), 300)}",
    }


def _list_turns(annotation: Any) -> list[Json]:
    return [
        {"start": float(segment.start), "end": float(segment.end), "speaker": str(speaker)}
        for segment, _, speaker in annotation.itertracks(yield_label=True)
        if segment.end > segment.start
    ]


def _to_name(model: str) -> str:
    """Return what a model is called where no path is to be seen."""
    return Path(model).name if os.path.exists(model) else model  # noqa: PTH110 (it may be no path at all)


def _unpack(label: str, text: str, model: str) -> NDArray[np.float32]:
    prefix = f"{PyannoteEngine.name}:{model}:"
    try:
        content = base64.b64decode("".join(text.split()).removeprefix(prefix), validate=True)
        known = np.frombuffer(content, "<f4")
    except ValueError:
        known = np.zeros(0, "<f4")
    if not text.strip().startswith(prefix) or not len(known) or not np.isfinite(known).all():
        raise VoiceprintError(
            f"the voiceprint of {label!r:.60} is none of pyannote.audio's {model}; make one with "
            "diarnb.voiceprint(recording, engine='pyannote')"
        )
    return known.astype(np.float32)
