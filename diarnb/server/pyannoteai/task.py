"""What a worker does for pyannoteAI's dialect: a task in, the ``output`` of its job out."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine
from diarnb.engines.local.evidence import ChannelEvidence
from diarnb.engines.local.voiceprints import check_length, make_voiceprint, match_voiceprints
from diarnb.errors import AudioLimitError, AudioNotFoundError, VoiceprintError
from diarnb.params import Params
from diarnb.server.engines import LOCAL, listen
from diarnb.server.settings import MAX_UNTOLD
from diarnb.server.web.media import MAX_UPLOAD
from diarnb.server.workers import transcription
from diarnb.transcripts.words import add_words
from diarnb.voiceprints import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.base import Answer
    from diarnb.server.workers.wire import ServerPipe

RESOLUTION = 0.02
"""Seconds from one score to the next, as pyannoteAI has it; the engine's own frames are a little shorter."""

_MAX_VOICEPRINT = 100 * 1024**2  # bytes
_THREADS = 1  # of each network: there are as many workers as cores
_PAUSE = 0.1  # seconds after which one turn is written as two
_NO_WORDS = "This server has no transcriber, so there are no words; start it with --words."


def _diarize(task: Json, line: ServerPipe) -> bytes:  # noqa: ARG001 (nobody is told in the middle)
    with _open_upload(task) as recording:
        answer = _run_engine(task, recording)
        output = _format_output(task, answer)
        if task["transcription"] and task["words"]:
            output |= _transcribe(task, recording, answer.raw)
        elif task["transcription"]:
            output |= {"wordLevelTranscription": [], "turnLevelTranscription": []}
            output["warning"] = " ".join(filter(None, [output.get("warning"), _NO_WORDS]))
    return json.dumps(output).encode()


def _identify(task: Json, line: ServerPipe) -> bytes:  # noqa: ARG001
    known: dict[str, str] = task["voiceprints"]
    _check_voiceprints(known)
    with _open_upload(task) as recording:
        answer = _run_engine(task, recording)
        output = _format_output(task, answer)
        turns = pd.DataFrame(answer.raw["diarization"], columns=["start", "end", "speaker"])
        scores = match_voiceprints(recording, turns, known, threads=_THREADS)
    names = choose(scores, list(known), task["threshold"], exclusive=task["exclusive_match"])
    output["identification"] = [
        {
            **turn,
            "speaker": names.get(turn["speaker"], turn["speaker"]),
            "diarizationSpeaker": turn["speaker"],
            "match": names.get(turn["speaker"]),
        }
        for turn in output["diarization"]
    ]
    output["voiceprints"] = [
        {
            "speaker": speaker,
            "match": names.get(speaker),
            "confidence": {label: round(found.get(label, 0.0)) for label in known},
        }
        for speaker, found in sorted(scores.items())
    ]
    return json.dumps(output).encode()


def _voiceprint(task: Json, line: ServerPipe) -> bytes:  # noqa: ARG001
    with _open_upload(task, _MAX_VOICEPRINT) as recording:
        check_length(recording.name, recording.duration)
        answer = listen(recording, Params(), LOCAL)
        text, remark = make_voiceprint(recording, answer.raw, threads=_THREADS)
    output = {"voiceprint": text}
    return json.dumps(output | ({"warning": remark} if remark else {})).encode()


TASKS: dict[str, Callable[[Json, ServerPipe], bytes]] = {
    "pyannoteai.diarize": _diarize,
    "pyannoteai.identify": _identify,
    "pyannoteai.voiceprint": _voiceprint,
}


@contextmanager
def _open_upload(task: Options, most: int = MAX_UPLOAD) -> Iterator[Recording]:
    """Open what a task is about, under the name by which the client knows it."""
    path, name = Path(task["file"]), task["name"]
    if not path.is_file():
        raise AudioNotFoundError(f"nothing was uploaded to {name}")
    if path.stat().st_size > most:
        raise AudioLimitError(f"{name} is larger than {most >> 20} MiB")
    with open_recording(path, name=name, max_untold=MAX_UNTOLD) as recording:
        yield recording


def _run_engine(task: Options, recording: Recording) -> Answer:
    return listen(recording, Params(**task["bounds"]), task.get("engine", LOCAL))


def _format_output(task: Options, answer: Answer) -> Json:
    """Write what was heard in pyannoteAI's words, with as much beside the turns as was asked for."""
    sure = task["turn_level_confidence"]
    output: Json = {"diarization": _format_turns(answer.raw["diarization"], sure=sure)}
    if task["exclusive"]:
        output["exclusiveDiarization"] = _format_turns(answer.raw["exclusiveDiarization"], sure=sure)
    if any(task[name] for name in ("confidence", "speech_probability", "crosstalk_probability", "speaker_probability")):
        output |= _format_scores(task, answer)
    if answer.raw["warning"]:
        output["warning"] = answer.raw["warning"]
    return output


def _format_turns(found: list[Json], *, sure: bool) -> list[Json]:
    """Round times to milliseconds: all of them alike, so that what touches touches still."""
    turns = []
    for turn in found:
        start, end = round(turn["start"], 3), round(turn["end"], 3)
        if start < end:
            score = {label: round(value) for label, value in turn.get("confidence", {}).items()}
            written = {"speaker": turn["speaker"], "start": start, "end": end}
            turns.append({**written, "confidence": score} if sure else written)
    return turns


def _format_scores(task: Options, answer: Answer) -> Json:
    """Resample the scores to one every 20 ms, each from the engine's frame that lies in its middle."""
    assert answer.evidence is not None  # noqa: S101 - the local engine always keeps what it heard
    frames = LocalEngine().frames(answer.evidence, Params(**task["bounds"]), {})
    (heard,) = ChannelEvidence.unpack(answer.evidence)
    middles = np.arange(round(answer.raw["duration"] / RESOLUTION)) * RESOLUTION + RESOLUTION / 2
    frame = np.searchsorted(frames["start"].to_numpy(), middles, side="right") - 1
    speech, crosstalk = heard.frames[:, frame] / 255
    found: Json = {}
    if task["confidence"]:
        found["confidence"] = frames["confidence"].to_numpy()[frame].round().astype(int).tolist()
    if task["speech_probability"]:
        found["speechProbability"] = _round_share(speech)
    if task["crosstalk_probability"]:
        found["crosstalkProbability"] = _round_share(crosstalk)
    if task["speaker_probability"]:
        speakers = frames.columns[3:]
        found["speakerProbability"] = {name: _round_share(frames[name].to_numpy()[frame] / 100) for name in speakers}
    return {name: {"score": score, "resolution": RESOLUTION} for name, score in found.items()}


def _round_share(scores: NDArray[np.floating]) -> list[float]:
    rounded: list[float] = scores.round(3).tolist()
    return rounded


def _check_voiceprints(known: Mapping[str, str]) -> None:
    for label, text in known.items():
        try:
            LocalEngine().check_voiceprints({label: text})
        except VoiceprintError:
            raise VoiceprintError(
                f"The voiceprint of {label!r:.60} is damaged, or was not made by this server or by diarnb's local "
                "engine of this version; POST /v1/voiceprint makes one."
            ) from None


def _transcribe(task: Options, recording: Recording, raw: Options) -> Json:
    """Transcribe; return each word with its speaker, and the text turn by turn."""
    spans = [(turn["start"], turn["end"]) for turn in raw["diarization"]]
    found = add_words(raw, transcription.transcribe(recording, spans, task["words"]))
    turns: list[Json] = []
    for turn in found["exclusiveDiarization"]:
        start, end, text = round(turn["start"], 3), round(turn["end"], 3), turn["text"]
        last = turns[-1] if turns else None
        if last and last["speaker"] == turn["speaker"] and start - last["end"] <= _PAUSE:
            last |= {"end": end, "text": f"{last['text']} {text}".strip()}
        else:
            turns.append({"start": start, "end": end, "text": text, "speaker": turn["speaker"]})
    said = ("start", "end", "text", "speaker")
    words = [{name: word[name] for name in said} for word in found["words"] if word["speaker"] is not None]
    return {"wordLevelTranscription": words, "turnLevelTranscription": [turn for turn in turns if turn["text"]]}
