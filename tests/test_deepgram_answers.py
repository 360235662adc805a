"""What Deepgram answers becomes turns, words and utterances, and nothing is made up."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from diarnb.engines.deepgram.answers import read_answer
from diarnb.errors import ApiResponseError

RECORDED = Path(os.environ.get("DIARNB_RECORDED", "recorded"))


def word(start: float, end: float, speaker: Any = 0, text: str = "Yes.", **more: Any) -> dict[str, Any]:
    item = {"word": text.lower().strip(".,?"), "start": start, "end": end, "confidence": 0.9, "speaker": speaker}
    return {**item, "speaker_confidence": 0.8, "punctuated_word": text, **more}


def answer(*channels: list[dict[str, Any]], duration: float = 60.0, **results: Any) -> dict[str, Any]:
    """An answer of the service whose channels hold these words."""
    told = [{"alternatives": [{"transcript": "", "confidence": 0.9, "words": list(words)}]} for words in channels]
    metadata = {"request_id": "r", "duration": duration, "diarize_info": {"model_uuid": "u", "arch": "v2"}}
    return {"metadata": metadata, "results": {"channels": told, **results}}


def test_a_turn_ends_where_the_speaker_changes_and_at_a_pause() -> None:
    said = [
        word(0.0, 0.4, 0, "Hello."),
        word(1.2, 1.6, 0, "How"),  # 0.8 s, as long as a pause may last inside a turn
        word(1.6, 2.0, 1, "Fine."),
        word(2.81, 3.0, 1, "You?"),
    ]
    found = read_answer(answer(said), {})
    assert [(turn["start"], turn["end"], turn["speaker"], turn["text"]) for turn in found["diarization"]] == [
        (0.0, 1.6, "SPEAKER_00", "Hello. How"),
        (1.6, 2.0, "SPEAKER_01", "Fine."),
        (2.81, 3.0, "SPEAKER_01", "You?"),
    ]
    assert found["columns"] == ["text"]
    assert found["warning"] is None
    assert found["duration"] == 60.0
    assert len(read_answer(answer(said), {"utt_split": 0.5})["diarization"]) == 4


def test_the_confidence_of_a_turn_is_the_mean_of_its_words_by_their_lengths() -> None:
    said = [word(0, 1, speaker_confidence=0.2), word(1, 4, speaker_confidence=0.8), word(4, 5, speaker_confidence=None)]
    (turn,) = read_answer(answer(said), {})["diarization"]
    assert turn["confidence"] == {"SPEAKER_00": pytest.approx(100 * (0.2 * 1 + 0.8 * 3) / 4)}
    del said[0]["speaker_confidence"], said[1]["speaker_confidence"]
    (turn,) = read_answer(answer(said), {})["diarization"]
    assert turn["confidence"] == {"SPEAKER_00": None}


def test_speakers_of_two_channels_are_two_people() -> None:
    left, right = [word(0, 1, 0), word(1, 2, 1)], [word(0.5, 1.5, 0)]
    found = read_answer(answer(left, right), {}, split=True)
    assert [(turn["speaker"], turn["channel"]) for turn in found["diarization"]] == [
        ("SPEAKER_00", 0),
        ("SPEAKER_02", 1),
        ("SPEAKER_01", 0),
    ]
    assert found["columns"] == ["text", "channel"]
    assert [said["channel"] for said in found["words"]] == [0, 1, 0]
    assert "channel" not in read_answer(answer(left), {})["diarization"][0]
    assert read_answer(answer(left), {}, split=True)["diarization"][0]["channel"] == 0


def test_a_number_of_the_service_keeps_its_place() -> None:
    found = read_answer(answer([word(0, 1, 3), word(1, 2, 12), word(2, 3, 0)]), {})
    assert [turn["speaker"] for turn in found["diarization"]] == ["SPEAKER_03", "SPEAKER_12", "SPEAKER_00"]


def test_an_utterance_that_two_speak_is_told_under_two_names() -> None:
    words = [word(0, 1, 2, "Ready?"), word(1, 1.3, 1, "Copy."), word(1.4, 2, 1, "Go."), word(5, 6, 1, "Now.")]
    mixed = {"start": 0, "end": 2, "confidence": 0.9, "channel": 0, "speaker": 1, "transcript": "Ready? Copy. Go."}
    alone = {"start": 5, "end": 6, "confidence": 0.7, "channel": 0, "speaker": 1, "transcript": "Now, then."}
    given = answer(words, utterances=[{**mixed, "words": words[:3]}, {**alone, "words": words[3:]}])
    told = read_answer(given, {})["utterances"]
    assert [(said["speaker"], said["text"]) for said in told] == [
        ("SPEAKER_02", "Ready?"),
        ("SPEAKER_01", "Copy. Go."),
        ("SPEAKER_01", "Now, then."),  # as the service wrote it
    ]
    assert told[2]["confidence"] == 0.7
    assert told[1]["confidence"] == pytest.approx(0.9)


def test_without_utterances_of_the_service_they_are_cut_here() -> None:
    words = [word(0, 1, 0, "One."), word(2, 3, 0, "Two."), word(3, 4, 1, "Three.")]
    told = read_answer(answer(words), {})["utterances"]
    assert [(said["speaker"], said["text"]) for said in told] == [
        ("SPEAKER_00", "One."),
        ("SPEAKER_00", "Two."),
        ("SPEAKER_01", "Three."),
    ]
    assert {said["channel"] for said in told} == {0}


def test_words_are_told_with_all_that_is_known_of_them() -> None:
    bare = {"word": "and", "start": "1.5", "end": 2}  # a number written as text is a number
    found = read_answer(answer([bare, word(3, 4, "1", "So,")]), {})
    assert found["words"] == [
        {
            "start": 1.5,
            "end": 2.0,
            "word": "and",
            "text": "and",
            "speaker": None,
            "confidence": None,
            "speaker_confidence": None,
            "channel": 0,
        },
        {
            "start": 3.0,
            "end": 4.0,
            "word": "so",
            "text": "So,",
            "speaker": "SPEAKER_01",
            "confidence": 0.9,
            "speaker_confidence": 0.8,
            "channel": 0,
        },
    ]
    assert [turn["text"] for turn in found["diarization"]] == ["So,"]
    assert "1 of 2 words have no speaker" in found["warning"]


@pytest.mark.parametrize(
    ("options", "advice"),
    [({"diarize": True}, "diarize_model='latest'"), ({"diarize_model": "v1"}, "diarize_model='v2'")],
)
def test_words_without_speakers_are_an_error_that_explains_itself(options: dict[str, Any], advice: str) -> None:
    given = answer([word(0, 1, None), word(1, 2, None)])
    del given["metadata"]["diarize_info"]
    with pytest.raises(ApiResponseError, match="self-hosted") as caught:
        read_answer(given, options)
    assert advice in str(caught.value)
    assert "2 words and no speaker" in str(caught.value)
    assert "kept" in str(caught.value)


def test_no_words_are_no_turns_and_a_remark() -> None:
    given = answer([])
    for empty in (given, answer(), answer([], utterances=[])):
        found = read_answer(empty, {})
        assert found["diarization"] == found["words"] == found["utterances"] == []
        assert "no words" in found["warning"]
        assert "whether its diarizer ran" not in found["warning"]
    del given["metadata"]["diarize_info"]
    given["results"]["channels"] = [{"alternatives": []}]
    found = read_answer(given, {"language": "de"})
    assert "whether its diarizer ran" in found["warning"]
    assert "language='de'" in found["warning"]


def test_another_diarizer_than_the_one_asked_for_is_remarked() -> None:
    given = answer([word(0, 1)])
    assert "v1 was asked for, and v2 answered" in read_answer(given, {"diarize": True})["warning"]
    assert read_answer(given, {"diarize_model": "v2"})["warning"] is None
    assert read_answer(given, {"diarize_model": "latest"})["warning"] is None


def test_words_keep_their_order_in_a_turn_and_stand_by_time_in_the_table() -> None:
    words = [word(0, 1, 0, "a"), word(2.0, 2.2, 0, "b"), word(1.9, 2.4, 0, "c"), word(1.95, 2.1, 0, "d")]
    found = read_answer(answer(words), {"utt_split": 5.0})
    (turn,) = found["diarization"]
    assert (turn["start"], turn["end"], turn["text"]) == (0.0, 2.4, "a b c d")
    assert [said["text"] for said in found["words"]] == ["a", "c", "d", "b"]


PLACE = "results.channels[0].alternatives[0].words[1]"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", None), ("start", "soon"), ("start", -1), ("start", True), ("start", math.nan), ("start", [1]),
        ("end", 0.5), ("end", 1e308), ("end", 62.0), ("end", math.inf),
        ("speaker", "A"), ("speaker", -1), ("speaker", 0.5), ("speaker", True), ("speaker", {}), ("speaker", 1e12),
        ("confidence", 1.5), ("confidence", "high"), ("speaker_confidence", -0.1), ("word", 7), ("word", None),
        ("punctuated_word", ["a"]),
    ],
)  # fmt: skip
def test_what_no_answer_can_hold_is_named(name: str, value: Any) -> None:
    given = answer([word(0, 1), word(1, 2)])
    given["results"]["channels"][0]["alternatives"][0]["words"][1][name] = value
    with pytest.raises(ApiResponseError) as caught:
        read_answer(given, {})
    assert f"{PLACE}.{name}" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "given",
    [
        [], "text", 7, None, {}, {"results": None}, {"results": []}, {"results": {}}, {"results": {"channels": {}}},
        {"results": {"channels": [None]}}, {"results": {"channels": [{"alternatives": 1}]}},
        {"results": {"channels": [{"alternatives": [[]]}]}},
        {"results": {"channels": [{"alternatives": [{"words": {}}]}]}},
        {"results": {"channels": [{"alternatives": [{"words": [1]}]}]}},
        {"results": {"channels": [{"alternatives": [{"transcript": "Hello."}]}]}},
        {"results": {"channels": [], "utterances": {}}},
        {"metadata": [1], "results": {"channels": []}},
        {"metadata": {"duration": "long"}, "results": {"channels": []}},
        {"request_id": "r"},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_of_ours(given: Any) -> None:
    with pytest.raises(ApiResponseError):
        read_answer(given, {})


@drawn(st.data())
def test_whatever_is_in_an_answer_it_is_read_or_refused(data: st.DataObject) -> None:
    full = answer([word(0, 1), word(1, 2, 1)], utterances=[{"start": 0, "end": 1, "words": [word(0, 1)]}])
    broken = copy.deepcopy(full)
    node, key = data.draw(st.sampled_from(list(_places(broken))))
    node[key] = data.draw(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=3))
    try:
        found = read_answer(broken, {})
    except ApiResponseError:
        return
    for turn in found["diarization"]:
        assert 0 <= turn["start"] <= turn["end"]
        assert turn["speaker"].startswith("SPEAKER_")


def _places(node: Any) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def test_every_word_is_in_one_turn_and_in_one_utterance() -> None:
    given = answer([word(k / 2, k / 2 + 0.4, k % 3 // 2, f"w{k}") for k in range(50)])
    found = read_answer(given, {})
    for what in ("diarization", "utterances"):
        assert " ".join(part["text"] for part in found[what]).split() == [f"w{k}" for k in range(50)]


@pytest.mark.skipif(not RECORDED.is_dir(), reason="DIARNB_RECORDED names no folder of recorded answers")
def test_a_recorded_answer_is_read_whole() -> None:
    given = json.loads((RECORDED / "captions_dg_speakers.json").read_text(encoding="utf-8"))
    found = read_answer(given, {"diarize": True})
    assert {turn["speaker"] for turn in found["diarization"]} == {"SPEAKER_00", "SPEAKER_01", "SPEAKER_02"}
    assert len(found["words"]) == 226
    lines = [(f"SPEAKER_{said['speaker']:02d}", said["transcript"]) for said in given["results"]["utterances"]]
    pure = [len({spoken["speaker"] for spoken in said["words"]}) == 1 for said in given["results"]["utterances"]]
    told = {(said["speaker"], said["text"]) for said in found["utterances"]}
    assert all(line in told for line, alone in zip(lines, pure, strict=True) if alone)
    assert pure.count(False) == 3
    for name in ("captions_dg_utterances.json", "sdk_rest_file_nova3_smartformat.response.json"):
        with pytest.raises(ApiResponseError, match="diarizer did not run"):
            read_answer(json.loads((RECORDED / name).read_text(encoding="utf-8")), {})
