"""One bad row of somebody's JSON does not cost the file: it is left out and counted, with the first cause."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.formats import read, read_words

if TYPE_CHECKING:
    from pathlib import Path


def _whisperx(*bad: Any) -> Any:
    words = [{"word": "Hi.", "start": 1.0, "end": 1.5, "speaker": "A"}, *bad]
    segments = [
        {"start": 1.0, "end": 2.0, "text": "Hi.", "speaker": "A", "words": words[:1]},
        *bad,
        {"start": 2.0, "end": 3.0, "text": "Yes.", "speaker": "B"},
    ]
    return {"segments": segments, "language": "en"}


def _pyannoteai(*bad: Any) -> Any:
    turns = [{"start": 1.0, "end": 2.0, "speaker": "A"}, *bad, {"start": 2.0, "end": 3.0, "speaker": "B"}]
    return {"jobId": "j", "status": "succeeded", "output": {"diarization": turns}}


def _deepgram(*bad: Any) -> Any:
    words = [
        {"word": "hi", "start": 1.0, "end": 2.0, "confidence": 0.9, "speaker": 0},
        *bad,
        {"word": "yes", "start": 2.0, "end": 3.0, "confidence": 0.9, "speaker": 1},
    ]
    channel = {"alternatives": [{"transcript": "hi yes", "confidence": 0.9, "words": words}]}
    return {"metadata": {"duration": 4.0}, "results": {"channels": [channel]}}


MADE = {"whisperx": _whisperx, "pyannoteai": _pyannoteai, "deepgram": _deepgram}
ROW = {"start": 1.2, "end": 1.4, "speaker": "A", "text": "x", "word": "x", "confidence": None}
BAD: dict[str, Any] = {
    "ends before it starts": {**ROW, "end": 0.5},
    "no start": {**ROW, "start": None},
    "a text for a time": {**ROW, "start": "soon"},
    "no object": 7,
    "nothing": None,
    "not finite": {**ROW, "end": float("inf")},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("maker", MADE)
def test_a_bad_row_is_left_out_counted_and_its_cause_told(maker: str, bad: Any, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(MADE[maker](bad)), encoding="utf-8")
    with pytest.warns(
        DiarnbWarning, match=r"talk\.json: 1 of 3 rows are damaged and left out, the first in \w+.*\[1\]"
    ):
        turns = read(path)
    assert turns[["start", "end"]].to_numpy().tolist() == [[1.0, 2.0], [2.0, 3.0]]
    assert turns["speaker"].nunique() == 2
    assert "damaged" in turns.attrs["diarnb"]["warning"]


@pytest.mark.parametrize("maker", MADE)
def test_a_file_of_which_more_is_damaged_than_sound_is_refused(maker: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(MADE[maker](*[BAD["no start"]] * 3)), encoding="utf-8")
    with pytest.raises(TurnTableError, match=r"talk\.json, .*\[1\].*\(and 2 more\)"):
        read(path)


def test_a_bad_word_of_a_segment_is_left_out_of_its_words(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    word = {"word": "Hi.", "start": 1.0, "end": 1.5}
    words = [word, {**word, "start": 2.0}, {**word, "start": 1.6, "end": 1.9}]
    path.write_text(json.dumps({"segments": [{"start": 1.0, "end": 2.0, "text": "Hi.", "words": words}]}))
    with pytest.warns(DiarnbWarning, match=r"1 of 3 rows .* the first in segments\[0\]\.words\[1\]: it ends"):
        assert read_words(path)["start"].tolist() == [1.0, 1.6]
