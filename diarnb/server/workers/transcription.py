"""How a worker transcribes: by the transcriber that the server was started with, loaded once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from diarnb import transcribers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from diarnb.audio import Recording, Samples
    from diarnb.server.deepgram.text import Word
    from diarnb.transcribers import Transcriber


def transcribe(
    sound: Recording | Samples,
    speech: Iterable[tuple[float, float]],
    name: str,
    *,
    channel: Literal["mix"] | int = "mix",
) -> list[Word]:
    """Transcribe regions of speech, as `transcribers.transcribe` does.

    Parameters
    ----------
    sound, speech, channel
        As there.
    name : str
        Of the transcriber.

    Returns
    -------
    list of dict
        As there, but that a word without a confidence counts as not sure at all: 0.
    """
    found = transcribers.transcribe(sound, speech, load_transcriber(name), channel=channel)
    return [{**word, "confidence": word["confidence"] or 0.0} for word in found]


@functools.cache
def load_transcriber(name: str) -> Transcriber:
    """Load the transcriber of a name, once."""
    found = transcribers.transcriber(name)
    if (prepare := getattr(found, "prepare", None)) is not None:
        prepare()
    return found
