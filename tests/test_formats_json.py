"""JSON of other makers, ours, and damaged JSON."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import diarnb
from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.formats import read, read_words, write
from diarnb.testing import assert_turns_equal
from tests.files import rows, saved

if TYPE_CHECKING:
    from pathlib import Path


WHISPERX = {
    "segments": [
        {
            "start": 0.5,
            "end": 4.0,
            "text": " Unit 1. Page 58.",
            "words": [
                {"word": "Unit", "start": 0.5, "end": 1.0, "score": 0.7, "speaker": "SPEAKER_01"},
                {"word": "1."},
                {"word": "Page", "start": 2.0, "end": 2.5, "score": 0.8, "speaker": "SPEAKER_01"},
                {"word": "58."},
                {"word": "59."},
            ],
            "speaker": "SPEAKER_01",
        },
        {"start": 5.0, "end": 6.0, "text": "Yes", "words": [{"word": "Yes", "start": 5.0, "end": 5.5, "score": 0.9}]},
    ],
    "word_segments": [],
    "language": "en",
}


def as_json(folder: Path, data: Any) -> Path:
    return saved(folder, "a.json", json.dumps(data))


def test_a_transcript_of_whisperx_is_read_and_its_untimed_words_are_placed(tmp_path: Path) -> None:
    path = as_json(tmp_path, WHISPERX)
    with pytest.warns(DiarnbWarning, match=r"1 of 2 stretches name no speaker"):
        assert rows(read(path), "text") == [[0.5, 4.0, "SPEAKER_01", "Unit 1. Page 58."]]
    words = read_words(path)
    assert words["word"].tolist() == ["Unit", "1.", "Page", "58.", "59.", "Yes"]
    assert words["start"].tolist() == [0.5, 1.0, 2.0, 2.5, 3.25, 5.0]
    assert words["end"].tolist() == [1.0, 2.0, 2.5, 3.25, 4.0, 5.5]
    assert words["speaker"].isna().tolist() == [False] * 5 + [True]


def test_transcripts_of_the_whispers_without_speakers_give_their_words(tmp_path: Path) -> None:
    word = {"start": 0.06, "end": 0.74, "word": " And", "probability": 0.7}
    segment = {"id": 1, "seek": 0, "start": 0.06, "end": 1.5, "text": " And so", "tokens": [50364], "temperature": 0.0}
    for data in ([segment | {"words": [word]}], {"text": " And so", "segments": [segment | {"words": [word]}]}):
        path = as_json(tmp_path, data)
        assert read_words(path)[["word", "confidence"]].to_numpy().tolist() == [["And", 0.7]]
        with pytest.raises(TurnTableError, match="names no speaker"):
            read(path)
    words = read_words(as_json(tmp_path, [segment | {"words": None}]))
    assert words[["start", "end", "text"]].to_numpy().tolist() == [[0.06, 1.5, "And so"]]


def deepgram(*speakers: int | None) -> dict[str, Any]:
    words = [
        {"word": "yes", "start": 2.0 * n, "end": 2.0 * n + 0.5, "confidence": 0.9, "punctuated_word": "Yes."}
        | ({} if speaker is None else {"speaker": speaker, "speaker_confidence": 0.5})
        for n, speaker in enumerate(speakers)
    ]
    channel = {"alternatives": [{"transcript": "Yes. Yes.", "confidence": 0.9, "words": words}]}
    return {"metadata": {"request_id": "r", "duration": 10.0, "channels": 1}, "results": {"channels": [channel]}}


def test_an_answer_of_deepgram_is_read_as_its_engine_reads_it(tmp_path: Path) -> None:
    path = as_json(tmp_path, deepgram(0, 1, None))
    turns = read(path)
    assert rows(turns, "text", "confidence") == [
        [0.0, 0.5, "SPEAKER_00", "Yes.", 50.0],
        [2.0, 2.5, "SPEAKER_01", "Yes.", 50.0],
    ]
    assert read_words(path)["speaker"].isna().tolist() == [False, False, True]


def test_an_answer_of_deepgram_without_speakers_is_a_transcript(tmp_path: Path) -> None:
    path = as_json(tmp_path, deepgram(None, None))
    assert read_words(path)["text"].tolist() == ["Yes.", "Yes."]
    with pytest.raises(TurnTableError, match="names no speaker"):
        read(path)


def test_what_is_written_for_deepgram_is_what_its_engine_reads(tmp_path: Path) -> None:
    words = pd.DataFrame(
        {
            "start": [0.0, 1.0, 0.5],
            "end": [0.5, 1.5, 0.9],
            "word": ["so", "go", "no"],
            "text": ["So,", "go.", "No!"],
            "speaker": ["SPEAKER_00", "SPEAKER_00", "SPEAKER_01"],
            "channel": [0, 0, 1],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(words, tmp_path / "a.deepgram.json")
    assert diarnb.formats.deepgram.recognizes(json.loads((tmp_path / "a.deepgram.json").read_text()))
    turns = read(tmp_path / "a.deepgram.json")
    assert rows(turns, "text", "channel") == [
        [0.0, 1.5, "SPEAKER_00", "So, go.", 0],
        [0.5, 0.9, "SPEAKER_01", "No!", 1],
    ]


def test_answers_of_pyannoteai_are_read_whole_or_their_output_alone(tmp_path: Path) -> None:
    turn = {"speaker": "SPEAKER_01", "start": 0.505, "end": 1.5, "confidence": {"SPEAKER_01": 97, "SPEAKER_00": 3}}
    word = {"start": 0.6, "end": 0.9, "text": "Hello,", "speaker": "SPEAKER_01"}
    output = {"diarization": [turn], "wordLevelTranscription": [word]}
    for data in ({"jobId": "j", "status": "succeeded", "output": output}, output):
        path = as_json(tmp_path, data)
        assert rows(read(path), "confidence", "text") == [[0.505, 1.5, "SPEAKER_01", 97.0, "Hello,"]]
        assert read_words(path)[["word", "text", "speaker"]].to_numpy().tolist() == [["hello", "Hello,", "SPEAKER_01"]]


def test_our_json_keeps_columns_and_facts(tmp_path: Path) -> None:
    turns = read(diarnb.example("meeting").with_suffix(".rttm")).assign(note="a", confidence=50.5)
    turns.loc[1, "confidence"] = float("nan")
    write(turns, tmp_path / "a.json")
    back = read(tmp_path / "a.json")
    assert_turns_equal(back, turns)
    assert back.attrs["diarnb"] == turns.attrs["diarnb"]
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)  # no NaN


def test_a_bare_list_of_rows_is_a_table(tmp_path: Path) -> None:
    path = as_json(tmp_path, [{"start": 1, "end": 2, "speaker": "Maya", "text": "Hi"}])
    assert rows(read(path), "text") == [[1.0, 2.0, "Maya", "Hi"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"turns": [\n{"start": 0,}]}', "a.json, line 2: this is not JSON"),
        ('{"cars": 3}', "a.json is from no known tool: it is an object with the keys cars"),
        ("[1, 2]", "a.json is from no known tool: it is a list of 2 values"),
        ("[" * 100_000, "a.json is not valid JSON"),
        ('{"diarnb": {}, "turns": [{"start": "x", "end": 1, "speaker": "A"}]}', r'\["start"\] holds string'),
        ('{"segments": [{"start": 0, "text": "so", "speaker": "A"}]}', r"a.json, segments\[0\]: its end is None"),
        ('{"segments": [3]}', r"a.json, segments\[0\]: it is 3, not an object"),
        (
            '{"diarization": [{"start": 2, "end": 1, "speaker": "A"}]}',
            r"a.json, output.diarization\[0\]: is from 2",
        ),
        ('{"results": {"channels": [{}]}}', "a.json: channel 0 of this answer of Deepgram"),
    ],
)
def test_damaged_json_is_refused_with_the_place(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TurnTableError, match=says):
        read(saved(tmp_path, "a.json", content))


def test_a_transcript_without_its_segments_is_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.whisperx.json", '{"word_segments": [], "language": "und"}')
    for use in (read, read_words):
        with pytest.raises(TurnTableError, match=r"a\.whisperx\.json is no transcript of a Whisper: .* no list of seg"):
            use(path)
