"""faster-whisper as a transcriber."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diarnb.errors import ConfigurationError
from diarnb.transcribers._extras import check_rate, format_reason, require_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diarnb._types import Json, Options
    from diarnb.audio import Samples


class Whisper:
    """Whisper under CTranslate2; `diarnb.transcribers.whisper` explains the parameters."""

    def __init__(self, model: str, *, language: str | None, device: str, compute_type: str, options: Options) -> None:
        installed = require_version("faster-whisper", "whisper")
        self._name = str(model)
        self._how = {"device": device, "compute_type": compute_type}
        # A stretch stands for itself: what was said before leads Whisper into repeating it.
        self._asked = {"condition_on_previous_text": False, **options, "language": language, "word_timestamps": True}
        details = json.dumps([_list_contents(self._name), compute_type, self._asked], sort_keys=True, default=repr)
        self.version: str = f"{Path(self._name).name} {installed} {hashlib.sha256(details.encode()).hexdigest()[:16]}"
        self._lock = threading.Lock()
        self._model: Any = None

    def prepare(self) -> None:
        """Load the model, and fetch it if it is not here."""
        from faster_whisper import WhisperModel

        with self._lock:
            if self._model is None:
                folder = _find_model(self._name)
                try:
                    self._model = WhisperModel(folder, **self._how)
                except Exception as error:  # of CTranslate2, of the tokenizer, of the file system
                    message = f"the Whisper model {self._name!r:.80} cannot be loaded: {format_reason(error)}"
                    raise ConfigurationError(message) from error

    def __call__(self, samples: Samples, sample_rate: int) -> list[Json]:
        """Hear the words."""
        check_rate(sample_rate)
        self.prepare()
        segments, _ = self._model.transcribe(samples, **self._asked)
        return read_segments(segments, len(samples) / sample_rate)


def has_model(model: str) -> bool:
    """Check whether faster-whisper is installed and a model is on this machine; nobody is asked for it."""
    if find_spec("faster_whisper") is None:
        return False
    from faster_whisper import download_model

    with suppress(Exception):  # whatever it raises where the model is not here
        return bool(download_model(model, local_files_only=True))
    return False


def read_segments(segments: Iterable[Any], length: float) -> list[Json]:
    """Return the words of faster-whisper's segments; what it hears in the silence that it adds is left out."""
    return [
        {"start": word.start, "end": min(word.end, length), "text": word.word.strip(), "confidence": word.probability}
        for segment in segments
        for word in segment.words or ()
        if word.start < length
    ]


def _list_contents(model: str) -> list[object]:
    """List what tells a folder's model from another under the same name, without reading it all."""
    files = sorted(Path(model).iterdir()) if Path(model).is_dir() else []
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _find_model(model: str) -> str:
    """Find a model on this machine, without asking anybody; else fetch it."""
    from faster_whisper import download_model

    if Path(model).is_dir():
        return model
    with suppress(Exception):  # whatever it raises where the model is not here
        return str(download_model(model, local_files_only=True))
    try:
        return str(download_model(model))
    except Exception as error:  # of the Hub, of its client, of the file system
        fetch = f"""python -c "import faster_whisper; faster_whisper.download_model('{model}', 'whisper-model')\""""
        raise ConfigurationError(
            f"the Whisper model {model!r:.80} is not on this machine, and could not be downloaded ("
            f"{format_reason(error)}). Run `{fetch}` on a machine with network access, and pass the folder:"
            " words='whisper:whisper-model'"
        ) from error
