"""What a worker does for Deepgram's dialect: listen to a recording, and write the whole answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.engines.local import LocalEngine
from diarnb.errors import AudioLimitError
from diarnb.params import Params
from diarnb.server.deepgram import text as deepgram_text
from diarnb.server.deepgram.rules import MOST_CHANNELS
from diarnb.server.workers import words as spoken

if TYPE_CHECKING:
    from typing import Literal

    from diarnb.audio import Recording
    from diarnb.server.deepgram.text import Word
    from diarnb.server.workers.wire import Line

Turn = dict[str, Any]


def _listen(task: dict[str, Any], line: Line) -> bytes:  # noqa: ARG001 (whoever waits is not told how far it is)
    """Answer ``POST /v1/listen``."""
    asked = task["asked"]
    with open_recording(task["file"]) as recording:
        if asked["multichannel"] and recording.channels > MOST_CHANNELS:
            raise AudioLimitError(
                f"there are {recording.channels} channels, and {MOST_CHANNELS} can be transcribed apart"
            )
        duration, channels = _heard(recording, asked, task["words"])
        metadata = {
            "transaction_key": "deprecated",
            "request_id": task["id"],
            "sha256": recording.content_hash,
            "created": spoken.time_of(datetime.now(UTC)),
            "duration": round(duration, 6),
            "channels": len(channels),
            **spoken.models(task["words"]),
        }
        remarks = [*asked["warnings"], *(_remark("audio", remark) for remark in recording.problems)]
    if asked["diarizer"] and task["words"]:
        metadata["diarize_info"] = spoken.diarizer(asked["diarizer"])
    remarks += [_remark("model", remark) for remark in spoken.remarks(task["words"], asked["language"])]
    given = {"tags": asked["tags"], "extra": asked["extra"], "warnings": remarks}
    metadata |= {name: value for name, value in given.items() if value}
    results = _results(channels, asked)
    return json.dumps({"metadata": metadata, "results": results}, ensure_ascii=False, allow_nan=False).encode()


def _heard(recording: Recording, asked: dict[str, Any], words: str | None) -> tuple[float, list[list[Word]]]:
    """Give the seconds that there are, and the words of each channel with those who say them."""
    split = asked["multichannel"]
    if words is None:  # nobody could be named for anything: all that is to be found out is whether this is sound
        samples = sum(map(len, recording.blocks()))
        return samples / SAMPLE_RATE, [[] for _ in range(recording.channels if split else 1)]
    params = Params(channels="split" if split else "mix")
    raw = LocalEngine().diarize(recording, params, {"threads": 1}, lambda stage, fraction: None).raw  # noqa: ARG005
    heard = []
    channels: list[Literal["mix"] | int] = list(range(recording.channels)) if split else ["mix"]
    for channel in channels:
        turns = [turn for turn in raw["exclusiveDiarization"] if turn.get("channel", "mix") == channel]
        speech = [(turn["start"], turn["end"]) for turn in turns]
        found = spoken.words_of(recording, speech, words, channel=channel)
        numbers = deepgram_text.Numbers()
        heard.append(deepgram_text.name(found, turns, numbers) if asked["diarizer"] else found)
    return raw["duration"], heard


def _results(channels: list[list[Word]], asked: dict[str, Any]) -> dict[str, Any]:
    punctuate = asked["punctuate"]
    told, utterances = [], []
    for number, words in enumerate(channels):
        alternative = deepgram_text.alternative(words, punctuate=punctuate)
        if asked["paragraphs"]:
            alternative["paragraphs"] = deepgram_text.paragraphs(words)
        told.append({"alternatives": [alternative]})
        utterances += deepgram_text.utterances(words, number, asked["utt_split"], punctuate=punctuate)
    results: dict[str, Any] = {"channels": told}
    if asked["utterances"]:
        results["utterances"] = sorted(utterances, key=lambda utterance: (utterance["start"], utterance["channel"]))
    return results


def _remark(name: str, message: str) -> dict[str, str]:
    return {"parameter": name, "type": "remark", "message": message}


TASKS = {"deepgram.listen": _listen}
