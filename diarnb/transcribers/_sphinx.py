"""PocketSphinx as a transcriber."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from diarnb.audio.pcm import encode_pcm16
from diarnb.transcribers._extras import check_rate, require_version

if TYPE_CHECKING:
    from diarnb._types import Json
    from diarnb.audio import Samples

_FRAMES = 100  # a second
_FILLER = ("<", "[", "+")  # how silence and noises begin


class Sphinx:
    """American English, from the model in the package; `diarnb.transcribers.sphinx` says how well."""

    lengths: tuple[float, float] = (0.0, 10.0)
    """It gets fewer words wrong where a stretch is one person's. Ten seconds, because nothing can stop it meanwhile."""

    def __init__(self) -> None:
        self.version: str = require_version("pocketsphinx", "sphinx")
        self._lock = threading.Lock()  # one decoder hears one stretch at a time
        self._decoder: Any = None

    def prepare(self) -> None:
        """Load the model, which takes a third of a second and 40 MB."""
        from pocketsphinx import Decoder

        with self._lock:
            self._decoder = self._decoder or Decoder(loglevel="FATAL")

    def __call__(self, samples: Samples, sample_rate: int) -> list[Json]:
        """Hear the words."""
        check_rate(sample_rate)
        sound = encode_pcm16(samples)
        if not any(sound):  # in perfect silence it hears dogs
            return []
        self.prepare()
        with self._lock:
            self._decoder.start_utt()
            try:
                self._decoder.process_raw(sound, full_utt=True)  # at once: it is then levelled by all of it
            finally:
                self._decoder.end_utt()
            segments = list(self._decoder.seg()) if self._decoder.hyp() is not None else []
        return [
            {
                "start": segment.start_frame / _FRAMES,
                "end": (segment.end_frame + 1) / _FRAMES,
                "word": re.sub(r"\(\d+\)$", "", segment.word),  # "the(2)": another way to say it
                "confidence": min(max(segment.prob, 0.0), 1.0),
            }
            for segment in segments
            if not segment.word.startswith(_FILLER)
        ]
