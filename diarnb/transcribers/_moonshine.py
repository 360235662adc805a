"""Moonshine as a transcriber, by its makers' package, whose wheel carries the weights of the smallest model."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diarnb.audio import SAMPLE_RATE
from diarnb.errors import ConfigurationError, InvalidParameterError
from diarnb.transcribers._extras import check_rate, format_reason, require_version

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.audio import Samples

SHIPPED = "tiny-en"
MODELS = ("tiny-streaming-en", "small-streaming-en", "medium-streaming-en", "base-en", SHIPPED)

_STEP = SAMPLE_RATE // 100  # samples over which energy is taken
_SOUNDS = 0.15  # of the loud moments' amplitude, from which on somebody is taken to speak


class Moonshine:
    """English, from the model in the package or one that it fetches; `diarnb.transcribers.moonshine` says how well."""

    lengths: tuple[float, float] = (15.0, 15.0)
    """It hears better with what is around; beyond some fifteen seconds it gets lost."""

    def __init__(self, model: str = SHIPPED) -> None:
        installed = require_version("moonshine-voice", "moonshine")
        self._folder = Path(model) if Path(model).is_dir() else None
        kinds = [each.removesuffix("-en") for each in MODELS]
        kind = next((kind for kind in kinds if Path(model).name.startswith(kind)), None)
        if kind is None or (self._folder is None and model not in MODELS):
            raise InvalidParameterError(
                f"there is no Moonshine model {model!r:.80}; there are {', '.join(MODELS)}, and folders with such names"
            )
        self._model, self._kind = model, kind.replace("-", "_").upper()
        self.version: str = f"{Path(model).name} {installed}"
        self._lock = threading.Lock()  # one decoder hears one stretch at a time
        self._transcriber: Any = None

    def prepare(self) -> None:
        """Load the model, and fetch it if it is not here."""
        from moonshine_voice.transcriber import Transcriber

        with self._lock:
            if self._transcriber is None:
                folder, arch = self._find_model()
                # What it is given is speech; its own detector would leave out some.
                asked = {"vad_threshold": "0.0", "return_audio_data": "false"}
                try:
                    self._transcriber = Transcriber(folder, arch, options=asked)
                except Exception as error:  # the package's own, which has no tree
                    raise ConfigurationError(
                        f"the Moonshine model {self._model!r:.80} cannot be loaded: {format_reason(error)}"
                    ) from error

    def __call__(self, samples: Samples, sample_rate: int) -> list[Json]:
        """Hear the words; their times are estimates, for the package tells none."""
        check_rate(sample_rate)
        if not np.any(samples):
            return []
        self.prepare()
        with self._lock:
            heard = self._transcriber.transcribe_without_streaming(samples.tolist(), sample_rate)
        lines = [(line.text.split(), line.start_time, line.start_time + line.duration) for line in heard.lines]
        return [word for words, start, end in lines for word in place_words(words, samples, start, end)]

    def _find_model(self) -> tuple[str, Any]:
        from moonshine_voice.download import download_model_from_info, find_model_info
        from moonshine_voice.moonshine_api import ModelArch
        from moonshine_voice.utils import get_assets_path

        arch = ModelArch[self._kind]
        shipped = Path(get_assets_path()) / self._model
        if self._folder or shipped.is_dir():
            return str(self._folder or shipped), arch
        try:
            folder, arch = download_model_from_info(find_model_info("en", arch))
        except Exception as error:  # of its client, of the file system, of what came
            raise ConfigurationError(
                f"the Moonshine model {self._model!r} is not on this machine, and could not be downloaded ("
                f"{format_reason(error)}); words='moonshine' needs no network with moonshine-voice 0.1.0 or older"
            ) from error
        return folder, arch


def place_words(words: list[str], samples: Samples, start: float, end: float) -> list[Json]:
    """Place words by their lengths in the moments in which something sounds, between two times in seconds.

    Examples
    --------
    >>> sound = np.concatenate([np.ones(8000), np.zeros(8000), np.ones(8000)]).astype(np.float32)
    >>> [(round(word["start"], 2), round(word["end"], 2)) for word in place_words(["Hello,", "Victor"], sound, 0, 1.5)]
    [(0.0, 0.5), (1.0, 1.5)]
    """
    if not words:
        return []
    first, last = round(start * SAMPLE_RATE), min(round(end * SAMPLE_RATE), len(samples))
    count = max((last - first) // _STEP, 1)
    power = np.add.reduceat(np.square(samples[first:last], dtype=np.float64), np.arange(count) * _STEP)
    amplitude = np.sqrt(power)
    sounds = (amplitude > _SOUNDS * np.percentile(amplitude, 90)) + 1e-6
    passed = np.append(0.0, np.cumsum(sounds)) / sounds.sum()
    lengths = np.array([len(word) for word in words], dtype=float)
    shares = np.append(0.0, np.cumsum(lengths)) / lengths.sum()
    times = first / SAMPLE_RATE + np.arange(count + 1) * _STEP / SAMPLE_RATE
    # Where a word begins after silence, it does not begin before it.
    begins = np.interp(shares[:-1] + 1e-4, passed, times)
    ends = np.interp(shares[1:] - 1e-4, passed, times)
    return [
        {"start": float(begin), "end": float(max(until, begin)), "text": word, "placed": "length"}
        for begin, until, word in zip(begins, ends, words, strict=True)
    ]
