"""From words with times to Deepgram's answers: speakers, utterances, paragraphs."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest

from diarnb.server.deepgram import text as deepgram_text


def word(text: str, start: float, end: float, speaker: int | None = None) -> dict[str, Any]:
    plain = text.lower().strip(".,?!")
    found = {"word": plain, "text": text, "start": start, "end": end, "confidence": 0.5 + start / 100}
    return found if speaker is None else {**found, "speaker": speaker, "speaker_confidence": 0.75}


def test_words_take_the_speaker_of_the_turn_that_they_lie_in_for_longest_or_the_nearest() -> None:
    turns = [
        {"start": 0.0, "end": 2.0, "speaker": "SPEAKER_03", "confidence": {"SPEAKER_03": 80.0, "SPEAKER_00": 10.0}},
        {"start": 2.0, "end": 3.0, "speaker": "SPEAKER_00", "confidence": {"SPEAKER_03": 5.0, "SPEAKER_00": 60.0}},
        {"start": 9.0, "end": 10.0, "speaker": "SPEAKER_03", "confidence": {"SPEAKER_03": 70.0, "SPEAKER_00": 1.0}},
    ]
    spans = [(0.0, 0.5), (1.5, 2.3), (1.8, 2.5), (5.0, 5.5), (7.0, 8.0), (11.0, 12.0)]
    words = [word("so", start, end) for start, end in spans]
    named = deepgram_text.number_speakers(words, turns, deepgram_text.SpeakerNumbers())
    assert [each["speaker"] for each in named] == [0, 0, 1, 1, 0, 0]
    assert [each["speaker_confidence"] for each in named] == [0.8, 0.8, 0.6, 0.6, 0.7, 0.7]
    assert deepgram_text.number_speakers(words, [], deepgram_text.SpeakerNumbers()) == words


def test_the_nearest_turn_is_found_among_many_as_by_looking_at_all() -> None:
    rng = np.random.default_rng(4)
    edges = np.sort(rng.uniform(0, 100, 120)).round(3).reshape(-1, 2)
    turns = [{"start": a, "end": b, "speaker": f"S{n}"} for n, (a, b) in enumerate(edges.tolist())]
    starts = np.sort(rng.uniform(0, 101, 300))
    words = [word("so", start, start + length) for start, length in zip(starts, rng.uniform(0, 3, 300), strict=True)]

    class Labels(deepgram_text.SpeakerNumbers):
        def __getitem__(self, label: str) -> Any:
            return label

    for each in deepgram_text.number_speakers(words, turns, Labels()):
        shared = [min(turn["end"], each["end"]) - max(turn["start"], each["start"]) for turn in turns]
        assert shared[int(each["speaker"][1:])] == max(shared)


def test_utterances_end_at_pauses_and_at_sentence_ends_and_not_where_the_speaker_changes() -> None:
    words = [
        *(word("Yes,", 0.0, 0.5, 0), word("no.", 0.6, 1.0, 1), word("Or", 1.3, 1.5, 1)),  # a sentence ends, 0.3 s
        *(word("maybe", 2.2, 2.5, 1), word("so.", 2.6, 3.0, 0)),  # 0.7 s, but no end of a sentence
        *(word("Well.", 3.2, 3.4, 0), word("bye", 4.3, 4.6, 0)),  # 0.2 s is too short; 0.9 s
    ]
    found = deepgram_text.split_utterances(words, 1, 0.8, punctuate=True)
    assert [each["transcript"] for each in found] == ["Yes, no.", "Or maybe so. Well.", "bye"]
    assert [each["speaker"] for each in found] == [0, 1, 0]
    assert [(each["start"], each["end"]) for each in found] == [(0.0, 1.0), (1.3, 3.4), (4.3, 4.6)]
    assert found[0]["confidence"] == pytest.approx(np.mean([each["confidence"] for each in words[:2]]))
    assert {each["channel"] for each in found} == {1}
    assert len(deepgram_text.split_utterances(words, 0, 4.0, punctuate=True)) == 1
    assert len({uuid.UUID(each["id"]) for each in found}) == 3


def test_paragraphs_break_at_speakers_and_after_five_sentences_and_follow_the_formula() -> None:
    words = [word("One.", n, n + 0.5, 0) for n in range(6)]
    words += [word("Two", 6.0, 6.5, 1), word("more", 7.0, 7.5, 2), word("words?", 8.0, 8.5, 2)]
    found = deepgram_text.split_paragraphs(words)
    assert [(p["speaker"], p["num_words"], len(p["sentences"])) for p in found["paragraphs"]] == [
        *((0, 5, 5), (0, 1, 1), (1, 1, 1), (2, 2, 1))
    ]
    text, before = "", None
    for paragraph in found["paragraphs"]:
        said = " ".join(sentence["text"] for sentence in paragraph["sentences"])
        text += f"\nSpeaker {paragraph['speaker']}: {said}\n" if paragraph["speaker"] != before else f"\n{said}\n"
        before = paragraph["speaker"]
    assert found["transcript"] == text[:-1]
    assert found["paragraphs"][-1]["sentences"] == [{"text": "more words?", "start": 7.0, "end": 8.5}]
    plain = deepgram_text.split_paragraphs([word("Hm.", 0.0, 0.4)])
    assert plain["transcript"] == "\nHm."
    assert "speaker" not in plain["paragraphs"][0]


def test_the_confidence_of_an_alternative_is_the_upper_median_of_its_words() -> None:
    words = [{**word("so", 0.0, 0.1), "confidence": value} for value in (0.9, 0.1, 0.5, 0.7)]
    assert deepgram_text.format_alternative(words, punctuate=False)["confidence"] == 0.7
