"""Transcribers: three that are extras, and any callable of your own.

A transcriber is called with 16 kHz samples (float32, one channel, full scale 1) and their rate. It returns the words in
them: a DataFrame or dicts with ``start`` and ``end`` in seconds from the first sample, ``word``, and, if it knows them,
``text`` (with punctuation) and ``confidence`` (0-1). ``placed="length"`` marks words whose times it estimates by
spreading a text over its piece of audio. A transcriber may also have these attributes:

``version``
    Text that changes whenever its words may change. Its words are then kept, and the same recording is not transcribed
    again. A callable without a version may have changed, so it is called every time.
``lengths``
    Two numbers of seconds, by default ``(30, 30)``. Stretches of speech are passed together up to the first number
    (with 0, each one separately, cut where the speaker changes). Stretches longer than the second are cut at the
    quietest point.
``prepare``
    A method without arguments that is called before a recording is processed. It can load a model, or raise an error if
    there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diarnb._text import suggest
from diarnb.audio import SAMPLE_RATE, Samples
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.tables.checks import check_end
from diarnb.transcribers._moonshine import Moonshine
from diarnb.transcribers._sphinx import Sphinx
from diarnb.transcribers._whisper import Whisper, has_model
from diarnb.transcripts.words import Word, check_words

if TYPE_CHECKING:
    import pandas as pd

    from diarnb._progress import Progress
    from diarnb._types import Options
from diarnb.audio import Recording

Transcriber = Callable[[Samples, int], "pd.DataFrame | Iterable[Options]"]
"""Any callable from samples and their rate to words, as the head of this module has it."""

__all__ = ["Transcriber", "best_installed", "identity", "moonshine", "sphinx", "transcribe", "transcriber", "whisper"]


def __dir__() -> list[str]:
    return __all__


_LENGTHS = (30.0, 30.0)  # seconds; what Whisper hears at once
_AROUND = 0.2  # seconds before and after speech that are heard as well: diarizers cut close
_APART = 2.0  # seconds of silence that part two stretches even where both would fit
_BEYOND = 1.0  # seconds by which a word may end after the sound: recognisers pad
_QUIET = SAMPLE_RATE // 10  # samples over which it must be quiet where a long stretch is cut


def sphinx() -> Sphinx:
    """Transcribe English with PocketSphinx, which needs no download: its model is in the package.

    It is small and old. It lets you try out words, offline and at once, but cannot compete with Whisper. It knows
    American English spoken into a close microphone at 16 kHz, and writes neither punctuation nor capitals. On the
    shipped examples, which are synthetic, it gets 37 % of the words of the interview wrong, 61 % of the telephone call
    (51 % with separate channels) and 63 % of the meeting in a room: ``python -m benchmarks.transcribers``. While it
    processes a piece of at most 10 s, it cannot be stopped, and no other Python thread runs.

    Returns
    -------
    Sphinx

    Raises
    ------
    ConfigurationError
        PocketSphinx (extra ``sphinx``) is not installed.

    Examples
    --------
    >>> from diarnb.audio import open_recording
    >>> with open_recording(example("interview")) as recording:
    ...     " ".join(word["text"] for word in transcribe(recording, [(0.5, 1.3)], sphinx()))
    'welcome back'
    """
    return Sphinx()


def moonshine(model: str = "tiny-en") -> Moonshine:
    """Transcribe English, with punctuation, with Moonshine, whose smallest model needs no download.

    It knows English only, and turns every other language into English words. On the shipped examples, which are
    synthetic, it gets 16 % of the words of the interview wrong, 27 % of the telephone call and 41 % of the meeting in a
    room: ``python -m benchmarks.transcribers``. The times of words are estimates: each text is spread over its piece of
    at most 15 s, where there is sound, by the lengths of its words. The column ``placed`` says ``"length"``.

    .. versionadded:: 0.2.0

    Parameters
    ----------
    model : str, default "tiny-en"
        The model in the package (27 million parameters; in the versions that the extra requires). ``"base-en"``,
        ``"tiny-streaming-en"``, ``"small-streaming-en"`` and ``"medium-streaming-en"`` are better and larger. The
        package downloads them from its makers on first use, into its own folder; diarnb's own tests never reached them.
        Or a folder that holds a model, with a name that begins like one of these.

    Returns
    -------
    Moonshine

    Raises
    ------
    ConfigurationError
        moonshine-voice (extra ``moonshine``) is not installed; or, on first use, the model cannot be obtained.
    InvalidParameterError
        There is no such model.

    Examples
    --------
    >>> moonshine().lengths
    (15.0, 15.0)
    """
    return Moonshine(model)


def whisper(
    model: str = "small",
    *,
    language: str | None = None,
    device: str = "auto",
    compute_type: str = "default",
    **options: Any,
) -> Whisper:
    """Transcribe about a hundred languages with Whisper, through faster-whisper.

    The model is downloaded from the Hugging Face Hub on first use (``small``: about 480 MB), unless it is already on
    this machine. If the network does not allow that, pass a folder that holds a model. diarnb's own tests run this
    adapter without the weights of a real model, which could not be downloaded where diarnb was built.

    Parameters
    ----------
    model : str, default "small"
        A size (``tiny``, ``base``, ``small``, ``medium``, ``large-v3``, ``turbo``, ``small.en`` and others), a
        repository on the Hub, or a folder with a converted model.
    language : str, optional
        Such as ``"en"``. By default, the language of each piece of up to 30 s is detected.
    device : str, default "auto"
        ``"cpu"`` or ``"cuda"``.
    compute_type : str, default "default"
        As in CTranslate2: ``"int8"`` is fast on CPUs.
    **options
        Other arguments of ``faster_whisper.WhisperModel.transcribe``.

    Returns
    -------
    Whisper

    Raises
    ------
    ConfigurationError
        faster-whisper (extra ``whisper``) is not installed; or, on first use, the model cannot be obtained.
    """
    return Whisper(model, language=language, device=device, compute_type=compute_type, options=options)


def transcriber(wanted: str | Transcriber) -> Transcriber:
    """Return a transcriber by its name; a callable is returned unchanged.

    Parameters
    ----------
    wanted : str or callable
        ``"moonshine"``, ``"moonshine:MODEL"``, ``"sphinx"``, ``"whisper"``, ``"whisper:SIZE"`` (or a folder), or
        ``"module:function"`` for your own.

    Returns
    -------
    callable

    Raises
    ------
    InvalidParameterError
        There is no transcriber of this name.
    ConfigurationError
        Its package is not installed.

    Examples
    --------
    >>> transcriber("sphynx")
    Traceback (most recent call last):
    ...
    diarnb.errors.InvalidParameterError: there is no transcriber 'sphynx'; did you mean 'sphinx'?
    """
    if callable(wanted):
        return wanted
    name, _, more = wanted.partition(":") if isinstance(wanted, str) else ("", "", "")
    if wanted == "sphinx":
        return sphinx()
    if name == "whisper":
        return whisper(more or "small")
    if name == "moonshine":
        return moonshine(more or "tiny-en")
    if more:
        return _load_own(name, more)
    known = ["moonshine", "sphinx", "whisper", "whisper:small"]
    hint = suggest(name, known, f"there are {', '.join(known)}, and any callable")
    raise InvalidParameterError(f"there is no transcriber {wanted!r:.60}; {hint}")


def best_installed() -> str | None:
    """Return the name of the best installed transcriber that needs no download; None if there is none.

    .. versionadded:: 0.2.0
    """
    if has_model("small"):
        return "whisper"
    if find_spec("moonshine_voice") is not None:
        return "moonshine"
    return "sphinx" if find_spec("pocketsphinx") is not None else None


def identity(transcriber: Transcriber) -> str | None:
    """Return the identity of a transcriber and its version; None if it has no version."""
    version = getattr(transcriber, "version", None)
    what: Any = transcriber if hasattr(transcriber, "__qualname__") else type(transcriber)
    return None if version is None else f"{what.__module__}.{what.__qualname__} {version}"


def transcribe(
    sound: Recording | Samples,
    speech: Iterable[tuple[float, float]],
    transcriber: Transcriber,
    progress: Progress = lambda stage, fraction: None,  # noqa: ARG005
    *,
    channel: Literal["mix"] | int = "mix",
) -> list[Word]:
    """Transcribe stretches of speech, with only one stretch of the audio in memory.

    Parameters
    ----------
    sound : Recording or numpy.ndarray
        An open recording, or samples as in its blocks: 16 kHz, one channel, float32, full scale 1.
    speech : iterable of (start, end)
        Seconds, in any order. Where two stretches touch, the speaker changes; overlaps are transcribed once.
    transcriber : callable
    progress : callable, optional
        Receives ``"transcribing"`` and the finished fraction of the speech, 0-1, before the first stretch and after
        each. It may raise an exception to stop the work.
    channel : "mix" or int, default "mix"
        The channel of a recording.

    Returns
    -------
    list of dict
        ``start, end`` (seconds from the start of the sound), ``word``, ``text`` and ``confidence`` (0-1 or None), by
        time.

    Raises
    ------
    TurnTableError
        The transcriber returned something that is not words, or words after the end of its audio.

    Examples
    --------
    >>> def hear(samples, sample_rate):
    ...     return [{"start": 0.0, "end": len(samples) / sample_rate, "text": "Hm."}]
    >>> transcribe(np.zeros(32000, np.float32), [(1.0, 1.5)], hear)
    [{'start': 0.8, 'end': 1.7, 'word': 'hm', 'text': 'Hm.', 'confidence': None}]
    """
    together, longest = getattr(transcriber, "lengths", _LENGTHS)
    stretches = _plan_stretches(speech, together)
    blocks = iter([sound]) if isinstance(sound, np.ndarray) else sound.blocks(channel, **_until(stretches))
    total = sum(beyond - first for first, beyond in stretches)
    found: list[Word] = []
    heard = 0
    progress("transcribing", 0.0)
    for first, piece in _cut_pieces(blocks, stretches, longest):
        length, offset = len(piece) / SAMPLE_RATE, first / SAMPLE_RATE
        for word in _check_answer(transcriber(piece, SAMPLE_RATE), length, transcriber):
            start, end = (round(offset + min(word[side], length), 6) for side in ("start", "end"))
            found.append({**word, "start": start, "end": end})
        heard += len(piece)
        progress("transcribing", heard / total)
    return sorted(found, key=lambda word: (word["start"], word["end"]))


def _check_answer(words: object, length: float, transcriber: Transcriber) -> list[Word]:
    """Check what a transcriber gave for a stretch of so many seconds."""
    name = getattr(transcriber, "__qualname__", type(transcriber).__qualname__)
    try:
        checked = check_words(words)
    except TurnTableError as error:
        raise TurnTableError(f"the transcriber {name} did not return words: {error}") from error
    advice = "; times are in seconds from the first sample"
    said, what = (word["end"] for word in checked), f"what the transcriber {name} gave"
    check_end(said, length, name=what, audio="the stretch", advice=advice, slack=_BEYOND, share=0.0)
    return checked


def _load_own(module: str, function: str) -> Transcriber:
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidParameterError(f"there is no transcriber {f'{module}:{function}'!r:.80}: {error}") from error
    if not callable(found):
        raise InvalidParameterError(f"{module}:{function} is not a transcriber: it cannot be called")
    own: Transcriber = found
    return own


def _until(stretches: list[tuple[int, int]]) -> dict[str, float]:
    return {"end": stretches[-1][1] / SAMPLE_RATE} if stretches else {}


def _plan_stretches(speech: Iterable[tuple[float, float]], together: float) -> list[tuple[int, int]]:
    """Plan what is heard at once, in samples: speech without overlap, with a little around it, joined where it fits."""
    alone: list[tuple[float, float]] = []
    for start, end in sorted(speech):
        start = max(start, alone[-1][1]) if alone else start
        if start < end:
            alone.append((start, end))
    padded = []
    for number, (start, end) in enumerate(alone):
        before = start - alone[number - 1][1] if number else 2 * start
        after = alone[number + 1][0] - end if number + 1 < len(alone) else np.inf
        padded.append((start - min(_AROUND, before / 2), end + min(_AROUND, after / 2)))
    joined: list[tuple[float, float]] = []
    for start, end in padded:
        if joined and start - joined[-1][1] <= _APART - 2 * _AROUND and end - joined[-1][0] <= together:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in joined]


def _cut_pieces(
    blocks: Iterator[Samples], stretches: list[tuple[int, int]], longest: float
) -> Iterator[tuple[int, Samples]]:
    """Cut stretches out of the sound as it passes by; yield the first sample's number and the samples."""
    held, at = np.zeros(0, np.float32), 0
    most = round(longest * SAMPLE_RATE)
    for first, beyond in stretches:
        while first < beyond:
            end = min(beyond, first + most)
            while at + len(held) < end and (block := next(blocks, None)) is not None:
                past = min(max(first - at, 0), len(held))
                held, at = np.concatenate([held[past:], block]), at + past
            piece: Samples = held[max(first - at, 0) : end - at]
            if not len(piece):
                return  # the sound ends before the speech does
            if end < beyond:
                piece = piece[: _find_quietest(piece)]
            yield first, piece
            first += len(piece)


def _find_quietest(piece: Samples) -> int:
    """Return where to cut: in the last third, where the sound is weakest for a tenth of a second."""
    low = len(piece) * 2 // 3
    energy = np.cumsum(np.square(piece[low:], dtype=np.float64))
    if len(energy) <= _QUIET:
        return len(piece)
    return low + int(np.argmin(energy[_QUIET:] - energy[:-_QUIET])) + _QUIET // 2
