"""What editors know of the arguments: those that all engines share, and those of each engine that diarnb brings along.

Nothing here runs: what an engine takes is checked against what it declares, `Offer.options`.
"""

# ruff: noqa: PYI051 (an editor completes a literal that `str` includes)

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from diarnb._progress import Progress
    from diarnb._types import Json, Options

    Transcribe = Callable[[NDArray[np.float32], int], pd.DataFrame | Iterable[Options]]

EngineName = Literal["local", "pyannoteai", "deepgram", "assemblyai", "pyannote"]
Channels = Literal["mix", "split"] | str | int
Texts = str | list[str]


class Counts(TypedDict, total=False):
    """How many people speak."""

    num_speakers: int | None
    min_speakers: int | None
    max_speakers: int | None


class Common(Counts, total=False):
    """What every engine may be asked."""

    exclusive: bool
    confidence: bool
    turn_level_confidence: bool
    channels: Channels
    refresh: bool
    progress: bool | Progress


class LocalOptions(TypedDict, total=False):
    """Options of the local engine."""

    providers: str | Sequence[str]
    threads: int
    threshold: float


class LocalArguments(Common, LocalOptions, total=False):
    """What the local engine may be asked of one recording."""

    model: Literal["segmentation-3.0+campplus+resnet34", "segmentation-3.0+campplus"] | str | None
    words: str | Transcribe | pd.DataFrame | Iterable[Options] | None


class LocalBatch(Common, LocalOptions, total=False):
    """What the local engine may be asked of many."""

    model: Literal["segmentation-3.0+campplus+resnet34", "segmentation-3.0+campplus"] | str | None
    words: str | Transcribe | None


class LocalStream(Counts, LocalOptions, total=False):
    """What the local engine may be asked of a stream."""

    sample_rate: int
    model: Literal["segmentation-3.0+campplus+resnet34", "segmentation-3.0+campplus"] | str | None


class CloudOptions(TypedDict, total=False):
    """Options of every service."""

    api_key: str
    base_url: str
    timeout: float
    max_cost: float
    price_per_hour: float
    resubmit: bool


class PyannoteAIArguments(Common, CloudOptions, total=False):
    """What pyannoteAI may be asked."""

    model: Literal["precision-2", "community-1", "precision-3", "precision-1"] | str | None
    transcription: bool
    transcription_config: Json
    speech_probability: bool
    crosstalk_probability: bool
    speaker_probability: bool
    voiceprints: dict[str, str]
    matching: Json
    webhook: str
    webhook_status_only: bool


class DeepgramShared(TypedDict, total=False):
    """Options of Deepgram, for recordings and streams."""

    model: Literal["nova-3", "nova-3-medical", "nova-2", "nova-2-meeting", "nova-2-phonecall"] | str | None
    diarize: bool
    diarize_model: Literal["latest", "v2", "v1"]
    version: str
    language: str
    language_hint: Texts
    punctuate: bool
    smart_format: bool
    numerals: bool
    dictation: bool
    profanity_filter: bool
    detect_entities: bool
    redact: bool | Texts
    replace: Texts
    search: Texts
    keyterm: Texts
    keywords: Texts
    tag: Texts
    extra: Texts
    mip_opt_out: bool
    callback: str
    callback_method: Literal["post", "put", "POST", "PUT"]


class DeepgramArguments(Common, CloudOptions, DeepgramShared, total=False):
    """What Deepgram may be asked."""

    utterances: bool
    utt_split: float
    paragraphs: bool
    multichannel: bool
    detect_language: bool | Texts
    filler_words: bool
    measurements: bool
    encoding: Literal["linear16", "flac", "mulaw", "amr-nb", "amr-wb", "opus", "speex", "g729"]
    summarize: bool | Literal["v2"]
    sentiment: bool
    topics: bool
    custom_topic: Texts
    custom_topic_mode: Literal["extended", "strict"]
    intents: bool
    custom_intent: Texts
    custom_intent_mode: Literal["extended", "strict"]
    alternatives: int
    tier: str
    on_lost_response: Literal["raise", "rebill"]


class DeepgramStream(DeepgramShared, total=False):
    """What Deepgram may be asked of a stream."""

    sample_rate: int
    api_key: str
    base_url: str
    interim_results: bool
    endpointing: int | Literal[False]
    utterance_end_ms: int
    vad_events: bool
    no_delay: bool
    newer_documents: bool


class AssemblyAIArguments(Common, CloudOptions, total=False):
    """What AssemblyAI may be asked."""

    model: Literal["universal-3-5-pro", "universal-3-pro", "universal-2"] | str | None
    language_code: str
    language_detection: bool
    punctuate: bool
    format_text: bool
    disfluencies: bool
    filter_profanity: bool
    keyterms_prompt: Texts
    prompt: str


class PyannoteArguments(Common, total=False):
    """What pyannote.audio may be asked."""

    model: Literal["pyannote/speaker-diarization-community-1", "pyannote/speaker-diarization-3.1"] | str | None
    token: str
    device: Literal["cpu", "cuda", "mps"] | str
