"""Speakers change where sentences end: what readers of a transcript see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import diarnb
from benchmarks import readability
from diarnb import assign_speakers
from diarnb.transcripts import doubtful_words
from diarnb.transcripts.words import add_words, check_words


def say(text: str, start: float, length: float = 0.3) -> list[tuple[float, float, str]]:
    return [(start + length * k, start + length * (k + 1), word) for k, word in enumerate(text.split())]


def spoken(*words: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(sorted(words), columns=["start", "end", "text"])


def turns(*rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"])


def read(words: pd.DataFrame, table: pd.DataFrame, **options: object) -> list[tuple[str, str]]:
    """Who says what, as `diarnb.utterances` has it."""
    given = assign_speakers(words, table, **options)  # type: ignore[arg-type]
    raw = add_words({"diarization": table.to_dict("records")}, check_words(words))
    assert [word["speaker"] for word in raw["words"]] == [None if pd.isna(n) else n for n in given["speaker"]]
    return [(each["speaker"], each["text"]) for each in raw["utterances"]]


@pytest.mark.parametrize("late", [-0.5, -0.3, 0.0, 0.3, 0.5])
def test_a_change_moves_to_the_end_of_the_sentence(late: float) -> None:
    words = spoken(*say("the water, and the summer party.", 0), *say("And the slugs. You promised.", 1.9))
    table = turns((0, 1.85 + late, "A"), (1.85 + late, 4, "B"))
    assert read(words, table) == [("A", "the water, and the summer party."), ("B", "And the slugs. You promised.")]
    moved = assign_speakers(words, table).query("reason == 'sentence'")
    assert len(moved) == {-0.5: 1, -0.3: 1, 0.0: 0, 0.3: 1, 0.5: 1}[late]
    assert (moved["margin"] == 0).all()
    listed = doubtful_words(words, table)  # and each of them can be found again, with who else it may be
    assert set(moved.index) <= set(listed.index)
    assert (listed["speaker"] != listed["other"]).all()


def test_a_change_far_from_the_end_of_a_sentence_stays() -> None:
    words = spoken(*say("I would say that the slugs are really very hungry in spring.", 0))
    given = assign_speakers(words, turns((0, 1.8, "A"), (1.8, 3.6, "B")))
    assert given["speaker"].tolist() == ["A"] * 6 + ["B"] * 6
    assert set(given["reason"]) == {"inside"}


def test_what_a_listener_says_breaks_no_sentence() -> None:
    words = spoken(*say("first the water, and the new beds.", 0), (1.0, 1.3, "uh-huh"))
    seen = turns((0, 2.1, "A"), (0.95, 1.35, "B"))
    unseen = turns((0, 2.1, "A"), (2.5, 3, "B"))  # the diarizer hears one of them only
    for table in (seen, unseen):
        assert read(words, table) == [("A", "first the water, and the new beds."), ("B", "uh-huh")]
    pauses = spoken(*say("first the water,", 0), (1.0, 1.2, "yeah"), *say("and the new beds.", 1.3))
    table = turns((0, 0.95, "A"), (0.95, 1.25, "B"), (1.25, 2.6, "A"))
    assert read(pauses, table) == [("A", "first the water, and the new beds."), ("B", "yeah")]


def test_who_of_several_listeners_it_was_is_not_guessed() -> None:
    words = spoken(*say("first the water, and the new beds.", 0), (1.0, 1.3, "uh-huh"))
    table = turns((0, 2.1, "A"), (12, 13, "B"), (14, 15, "C"))
    given = assign_speakers(words, table)
    assert given.loc[given["speaker"].isna(), "text"].tolist() == ["uh-huh"]
    assert given.loc[given["speaker"].isna(), "reason"].tolist() == ["nobody"]
    assert given["speaker"].dropna().unique().tolist() == ["A"]


def test_of_two_who_speak_at_once_each_has_their_own_sentence() -> None:
    words = spoken(*say("so we all meet on Monday.", 0), *say("Monday is fine with me.", 1.25))
    table = turns((0, 1.85, "A"), (1.2, 2.8, "B"))
    assert read(words, table) == [("A", "so we all meet on Monday."), ("B", "Monday is fine with me.")]
    given = assign_speakers(words, table)
    both = (given["start"] > 1.2) & (given["end"] < 1.85)
    assert (given.loc[both, "margin"] < 0.5).all()  # where both speak, doubt says so
    assert set(doubtful_words(words, table).index) >= set(given.index[both])


def test_without_punctuation_pauses_decide() -> None:
    words = spoken(*say("the water and the summer party", 0), *say("and the slugs you promised", 2.3))
    for late in (-0.3, 0.3):
        table = turns((0, 1.8 + late, "A"), (1.9 + late, 4, "B"))
        assert read(words, table) == [("A", "the water and the summer party"), ("B", "and the slugs you promised")]


def test_frames_tell_who_says_a_word_where_turns_do_not() -> None:
    words = spoken(*say("so we all meet on Monday.", 0), (0.95, 1.15, "good"))
    table = turns((0, 2, "A"), (0.5, 1.6, "B"), (0.5, 1.6, "C"))
    edges = np.arange(0, 2.1, 0.1)
    for loud, soft in (("B", "C"), ("C", "B")):
        scores = {"A": 90.0, loud: 80.0, soft: 10.0}
        frames = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "confidence": 50.0, **scores})
        given = assign_speakers(words, table, frames=frames)
        assert given.set_index("text")["speaker"]["good"] == loud
        assert given["speaker"].tolist().count("A") == 6


@pytest.mark.parametrize("seed", range(3))
def test_neither_names_nor_the_order_of_words_decide(seed: int) -> None:
    words = readability.talk(seed)
    table = readability.make_turns(words, 0.3, seed)
    given = assign_speakers(words.drop(columns="speaker"), table)
    names = {name: f"{9 - k} {name}" for k, name in enumerate(sorted(table["speaker"].unique()))}
    renamed = assign_speakers(words, table.assign(speaker=table["speaker"].map(names)))
    assert renamed["speaker"].fillna("?").tolist() == [names.get(name, "?") for name in given["speaker"]]
    mixed = words.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(assign_speakers(mixed.drop(columns="speaker"), table).sort_index(), given)


def test_fewer_words_go_to_another_speaker_than_by_times_alone() -> None:
    for displaced in (0.0, 0.3):
        for seed in range(4):
            words = readability.talk(seed)
            table = readability.make_turns(words, displaced, seed)
            wrong = [
                readability.count_wrong(words["speaker"], rule(words, table))
                for rule in (readability.by_sentences, readability.by_times, readability.assign_like_whisperx)
            ]
            assert wrong[0] < min(wrong[1:])


@pytest.mark.parametrize("name", readability.EXAMPLES)
def test_sentences_of_an_example_stay_whole(name: str) -> None:
    path = diarnb.example(name)
    truth = pd.read_csv(path.with_suffix(".words.csv"), keep_default_na=False)
    truth = truth.sort_values(["start", "end"], kind="stable", ignore_index=True)
    found = diarnb.words(diarnb.diarize(path, words=truth, progress=False))["speaker"].fillna("?").tolist()
    broken, sentences = readability.count_broken(truth, found)
    assert broken <= 0.04 * sentences
    assert readability.count_wrong(truth["speaker"], found) <= 0.03 * len(truth)
