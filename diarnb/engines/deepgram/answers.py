"""What Deepgram answers, in diarnb's terms: words with their speakers become turns and utterances.

The service labels words, one speaker each, numbered from 0 in every channel anew. A turn is a run of words of one
speaker without a pause. The answer is untrusted: what is missing may be missing, what is there must be what the
documents say; what is mended is mended without loss, and everything else is an error that names the place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diarnb._types import Json, Options
from diarnb.engines.cloud.reading import BEYOND, AnswerReader
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.deepgram.parameters import UTT_SPLIT
from diarnb.errors import ApiResponseError
from diarnb.transcripts import group_words, make_utterance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Word = Json

_read = AnswerReader("Deepgram")
_LONGEST = 14 * 86400.0  # seconds; where the answer does not tell the duration


def read_answer(raw: Any, options: Options, *, split: bool = False) -> Json:
    """Read an answer of the service, or what it delivers to a callback.

    Parameters
    ----------
    raw : dict
        The JSON as it came.
    options : mapping
        What was asked: ``utt_split``, ``diarize`` and ``diarize_model`` matter.
    split : bool, default False
        Whether channels were to be kept apart.

    Returns
    -------
    dict
        ``duration``, ``columns``, ``diarization``, ``words``, ``utterances`` and ``warning``, as
        `diarnb.engines.base.Reader` has it. The text of a turn is its words in the order of the answer.

    Raises
    ------
    ApiResponseError
        If this is no answer of the service, or its diarizer did not run.

    Examples
    --------
    >>> word = {"word": "yeah", "start": 0.0, "end": 0.48, "confidence": 0.99, "speaker": 0, "punctuated_word": "Yeah."}
    >>> raw = {"metadata": {"duration": 1.0}, "results": {"channels": [{"alternatives": [{"words": [word]}]}]}}
    >>> read_answer(raw, {})["diarization"]
    [{'start': 0.0, 'end': 0.48, 'speaker': 'SPEAKER_00', 'text': 'Yeah.', 'confidence': {'SPEAKER_00': None}}]
    """
    results = _read.mapping(_read.mapping(raw, "the answer").get("results"), "results")
    metadata = _read.mapping(_or(raw.get("metadata"), {}), "metadata")
    duration = _duration(metadata)
    until = _LONGEST if duration is None else duration + BEYOND
    channels = [
        _words(_first_alternative(channel, f"results.channels[{number}]"), until, number)
        for number, channel in enumerate(_read.rows(results.get("channels"), "results.channels"))
    ]
    spoken = [word for words in channels for word in words]
    labels = _labels(channels)
    where = split or len(channels) > 1
    pause = options.get("utt_split", UTT_SPLIT)
    _check_diarized(spoken, options)
    turns = [_turn(group, labels, where) for words in channels for group in group_words(words, pause)]
    utterances = _utterances(results, len(channels), until)
    if utterances is None:
        utterances = [make_utterance(group) for words in channels for group in group_words(words, pause)]
    return {
        "duration": duration,
        "columns": ["text", "channel"] if where else ["text"],
        "diarization": sorted((turn for turn in turns if turn["speaker"] is not None), key=_place),
        "words": sorted((word | {"speaker": _label(word, labels)} for word in spoken), key=_place),
        "utterances": sorted((each | {"speaker": _label(each, labels)} for each in utterances), key=_place),
        "warning": " ".join(_remarks(spoken, metadata, options)) or None,
    }


def _check_diarized(words: list[Word], options: Mapping[str, object]) -> None:
    if not words or any(word["speaker"] is not None for word in words):
        return
    message = f"Deepgram gave {len(words)} words and no speaker: its diarizer did not run."
    if options.get("diarize"):
        message += (
            " diarize=True asks for the v1 diarizer, which self-hosted deployments since release-260514 (May 2026) do"
            " not have; they answer without speakers and without an error. Ask with diarize_model='latest' instead."
        )
    else:
        message += (
            " A self-hosted deployment answers so where the diarizer of the diarize_model that was asked for is not"
            " installed; try another (diarize_model='v2' or 'v1'), or ask its operator."
        )
    raise ApiResponseError(f"{message} This answer is billed and kept; refresh=True sends and pays again.")


def _remarks(words: list[Word], metadata: Mapping[str, object], options: Mapping[str, object]) -> list[str]:
    remarks = []
    info = metadata.get("diarize_info")
    if not words:
        remark = "Deepgram heard no words, so there are no turns"
        if not info:
            remark += ", and did not say whether its diarizer ran"
        language = options.get("language")
        asked = f"language={language!r} was asked for" if language else "it expects English where nothing else is asked"
        remarks.append(f"{remark}. If somebody speaks: {asked}; try language=... or detect_language=True.")
    silent = sum(word["speaker"] is None for word in words)
    if silent:
        remarks.append(f"{silent} of {len(words)} words have no speaker: words(turns) has them, no turn does.")
    asked_for = "v1" if options.get("diarize") else options.get("diarize_model", "latest")
    arch = info.get("arch") if isinstance(info, dict) else None
    warned = metadata.get("warnings")
    said = warned if isinstance(warned, list) else [warned]
    remarks += [f"Deepgram: {quote_service(_read_warning(each), 300)}" for each in said if each]
    if asked_for != "latest" and isinstance(arch, str) and arch != asked_for:
        remarks.append(f"The diarizer {asked_for} was asked for, and {quote_service(arch, 20)} answered.")
    return remarks


def _read_warning(warning: object) -> str:
    """Find the text of a warning, whose form the documents leave open."""
    if isinstance(warning, dict):
        warning = warning.get("message") or warning.get("warning") or " ".join(map(str, warning.values()))
    return str(warning)


def _turn(words: list[Word], labels: Mapping[tuple[int, int], str], where: bool) -> Json:
    speaker = _label(words[0], labels)
    score = _mean([(word["speaker_confidence"], word["end"] - word["start"]) for word in words])
    turn = {
        "start": min(word["start"] for word in words),
        "end": max(word["end"] for word in words),
        "speaker": speaker,
        "text": " ".join(word["text"] for word in words),
        "confidence": {speaker: None if score is None else round(100 * score, 4)},
    }
    return turn | {"channel": words[0]["channel"]} if where else turn


def _mean(weighted: Iterable[tuple[float | None, float]]) -> float | None:
    """Compute the mean weighted by duration, of the values that there are."""
    known = [(value, weight) for value, weight in weighted if value is not None]
    total = sum(weight for _, weight in known)
    if not known:
        return None
    if total <= 0:
        return sum(value for value, _ in known) / len(known)
    return sum(value * weight for value, weight in known) / total


def _utterances(results: Options, channels: int, until: float) -> list[Json] | None:
    """Read the service's own utterances, cut where the speaker changes: it ends them at pauses only.

    One that several speak would be told under the name of the one who says most.
    """
    if results.get("utterances") is None:
        return None
    found = []
    for number, item in enumerate(_read.rows(results["utterances"], "results.utterances")):
        place = f"results.utterances[{number}]"
        channel = _read.integer(_read.mapping(item, place).get("channel", 0), f"{place}.channel")
        if channel >= max(channels, 1):
            raise _read.wrong(f"{place}.channel", channel, f"one of {channels} channels")
        words = read_words(item, place, until, channel)
        pieces = group_words(words, math.inf)
        if len(pieces) > 1:
            found += [make_utterance(piece) for piece in pieces]
            continue
        start, end = _read.span(item, place, until)
        whole = {
            "start": start,
            "end": end,
            "speaker": words[0]["speaker"] if words else _speaker(item, place),
            "text": _read.text(item.get("transcript", ""), f"{place}.transcript"),
            "confidence": _read.share(item.get("confidence"), f"{place}.confidence"),
            "channel": channel,
        }
        found.append(whole)
    return found


def _labels(channels: list[list[Word]]) -> dict[tuple[int, int], str]:
    """Name the speakers of all channels: 0 of the first is SPEAKER_00, and nobody shares a name with another channel.

    The service knows no speaker across channels; its 0 of one and its 0 of the next are two people, as far as it says.
    """
    labels: dict[tuple[int, int], str] = {}
    before = 0
    for number, words in enumerate(channels):
        heard = {word["speaker"] for word in words if word["speaker"] is not None}
        labels |= {(number, speaker): f"SPEAKER_{before + speaker:02d}" for speaker in heard}
        before += max(heard, default=-1) + 1
    return labels


def _label(item: Options, labels: Mapping[tuple[int, int], str]) -> str | None:
    return labels.get((item["channel"], item["speaker"]))


def _place(item: Options) -> tuple[float, float]:
    return item["start"], item["end"]


def _first_alternative(channel: object, place: str) -> tuple[Json, str]:
    alternatives = _read.rows(_read.mapping(channel, place).get("alternatives", []), f"{place}.alternatives")
    place = f"{place}.alternatives[0]"
    return (_read.mapping(alternatives[0], place) if alternatives else {}), place


def _words(alternative: tuple[Json, str], until: float, channel: int) -> list[Word]:
    item, place = alternative
    words = read_words(item, place, until, channel)
    if not words and str(item.get("transcript") or "").strip():
        raise ApiResponseError(f"Deepgram's answer has a transcript and no words at {place}, so nobody can be named.")
    return words


def read_words(item: Options, place: str, until: float, channel: int) -> list[Word]:
    """Read the words of an alternative or of an utterance."""
    words = []
    for number, word in enumerate(_read.rows(_or(item.get("words"), []), f"{place}.words")):
        at = f"{place}.words[{number}]"
        start, end = _read.span(_read.mapping(word, at), at, until)
        plain = _read.text(word.get("word", ""), f"{at}.word")
        words.append(
            {
                "start": start,
                "end": end,
                "word": plain,
                "text": _read.text(word.get("punctuated_word") or plain, f"{at}.punctuated_word"),
                "speaker": _speaker(word, at),
                "confidence": _read.share(word.get("confidence"), f"{at}.confidence"),
                "speaker_confidence": _read.share(word.get("speaker_confidence"), f"{at}.speaker_confidence"),
                "channel": channel,
            }
        )
    return words


def _duration(metadata: Mapping[str, object]) -> float | None:
    if metadata.get("duration") is None:
        return None
    return _read.number(metadata["duration"], "metadata.duration") or None


def _speaker(item: Options, place: str) -> int | None:
    value = item.get("speaker")
    return None if value is None else _read.integer(value, f"{place}.speaker")


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
