"""What a worker does for Deepgram's dialect: listen to a recording, and write the whole answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from diarnb._types import Json
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import AudioLimitError
from diarnb.params import Params
from diarnb.server.deepgram import text as deepgram_text
from diarnb.server.deepgram.metadata import describe_diarizer, describe_models, format_time, list_word_warnings
from diarnb.server.deepgram.rules import MOST_CHANNELS
from diarnb.server.engines import LOCAL, listen
from diarnb.server.settings import MAX_UNTOLD
from diarnb.server.workers import transcription

if TYPE_CHECKING:
    from typing import Literal

    from diarnb.audio import Recording
    from diarnb.server.deepgram.text import Word
    from diarnb.server.workers.wire import ServerPipe

Turn = Json


def _listen(task: Json, line: ServerPipe) -> bytes:  # noqa: ARG001 (whoever waits is not told how far it is)
    """Answer ``POST /v1/listen``."""
    asked = task["asked"]
    with open_recording(task["file"], max_untold=MAX_UNTOLD) as recording:
        if asked["multichannel"] and recording.channels > MOST_CHANNELS:
            raise AudioLimitError(
                f"there are {recording.channels} channels, and {MOST_CHANNELS} can be transcribed apart"
            )
        engine = task.get("engine", LOCAL)
        duration, channels = _transcribe(recording, asked, engine, task["words"])
        metadata = {
            "transaction_key": "deprecated",
            "request_id": task["id"],
            "sha256": recording.content_hash,
            "created": format_time(datetime.now(UTC)),
            "duration": round(duration, 6),
            "channels": len(channels),
            **describe_models(task["words"]),
        }
        remarks = [*asked["warnings"], *(_remark("audio", remark) for remark in recording.problems)]
    if asked["diarizer"] and task["words"]:
        metadata["diarize_info"] = describe_diarizer(asked["diarizer"], engine)
    remarks += [_remark("model", remark) for remark in list_word_warnings(task["words"], asked["language"])]
    given = {"tags": asked["tags"], "extra": asked["extra"], "warnings": remarks}
    metadata |= {name: value for name, value in given.items() if value}
    results = _format_results(channels, asked)
    return json.dumps({"metadata": metadata, "results": results}, ensure_ascii=False, allow_nan=False).encode()


def _transcribe(recording: Recording, asked: Json, engine: str, words: str | None) -> tuple[float, list[list[Word]]]:
    """Transcribe and diarize; return the duration in seconds, and the words of each channel with their speakers."""
    split = asked["multichannel"]
    if words is None:  # nobody could be named for anything: all that is to be found out is whether this is sound
        samples = sum(map(len, recording.blocks()))
        return samples / SAMPLE_RATE, [[] for _ in range(recording.channels if split else 1)]
    params = Params(channels="split" if split else "mix")
    raw = listen(recording, params, engine).raw
    heard = []
    channels: list[Literal["mix"] | int] = list(range(recording.channels)) if split else ["mix"]
    for channel in channels:
        turns = [turn for turn in raw["exclusiveDiarization"] if turn.get("channel", "mix") == channel]
        speech = [(turn["start"], turn["end"]) for turn in turns]
        found = transcription.transcribe(recording, speech, words, channel=channel)
        numbers = deepgram_text.SpeakerNumbers()
        heard.append(deepgram_text.number_speakers(found, turns, numbers) if asked["diarizer"] else found)
    return raw["duration"], heard


def _format_results(channels: list[list[Word]], asked: Json) -> Json:
    punctuate = asked["punctuate"]
    told, utterances = [], []
    for number, words in enumerate(channels):
        alternative = deepgram_text.format_alternative(words, punctuate=punctuate)
        if asked["paragraphs"]:
            alternative["paragraphs"] = deepgram_text.split_paragraphs(words)
        told.append({"alternatives": [alternative]})
        utterances += deepgram_text.split_utterances(words, number, asked["utt_split"], punctuate=punctuate)
    results: Json = {"channels": told}
    if asked["utterances"]:
        results["utterances"] = sorted(utterances, key=lambda utterance: (utterance["start"], utterance["channel"]))
    return results


def _remark(name: str, message: str) -> dict[str, str]:
    return {"parameter": name, "type": "remark", "message": message}


TASKS = {"deepgram.listen": _listen}
