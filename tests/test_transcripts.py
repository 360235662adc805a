"""Words from anywhere get the speakers of any table, and are written line by line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import assign_speakers
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.transcripts import transcript


def words(*spans: tuple[float, float], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"start": [s for s, _ in spans], "end": [e for _, e in spans], **columns}, dtype=None)


def turns(*rows: tuple[float, float, str], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"]).assign(**columns)


def assigned(*arguments: Any, **options: Any) -> list[Any]:
    return [None if pd.isna(who) else who for who in assign_speakers(*arguments, **options)["speaker"]]


def test_whoever_speaks_longest_during_a_word_says_it() -> None:
    two = turns((0, 1, "A"), (1, 2, "B"))
    assert assigned(words((0.8, 1.1), (0.9, 1.3), (0.2, 0.4)), two) == ["A", "B", "A"]
    again = turns((0.0, 0.3, "A"), (0.3, 0.7, "B"), (0.7, 1.0, "A"))  # A speaks 0.6 s of it, in two turns
    assert assigned(words((0, 1)), again) == ["A"]
    twice = turns((0.0, 0.4, "A"), (0.1, 0.4, "A"), (0.5, 1.0, "B"))  # no moment of A counts twice
    assert assigned(words((0, 1)), twice) == ["B"]


def test_a_word_in_silence_goes_to_the_nearest_turn_if_that_is_near() -> None:
    two = turns((0, 1, "A"), (3, 4, "B"))
    assert assigned(words((1.2, 1.4), (2.6, 2.8), (1.9, 2.1), (4.4, 5.0), (4.6, 5.0)), two) == [
        "A",
        "B",
        None,
        "B",
        None,
    ]
    assert assigned(words((1.9, 2.1)), two, within=1.0) == ["A"]
    assert assigned(words((1.2, 1.4)), two, within=0) == [None]


def test_a_word_without_length_is_heard_at_its_point() -> None:
    assert assigned(words((0.5, 0.5), (1.5, 1.5)), turns((0, 1, "A"), (1, 2, "B"))) == ["A", "B"]


def test_nothing_is_said_of_nothing() -> None:
    assert assigned(words((0, 1)), turns()) == [None]
    empty = assign_speakers(words(), turns((0, 1, "A")))
    assert list(empty) == ["start", "end", "speaker"]
    assert len(empty) == 0


def test_recordings_and_channels_are_kept_apart() -> None:
    said = words((0, 1), (0, 1), (0, 1), uri=["x", "y", "z"])
    assert assigned(said, turns((0, 1, "A"), (0, 1, "B"), uri=["x", "y"])) == ["A", "B", None]
    said = words((0, 1), (0, 1), channel=[1, 0])
    assert assigned(said, turns((0, 1, "A"), (0, 1, "B"), channel=[0, 1])) == ["B", "A"]
    assert assigned(said, turns((0, 1, "A"))) == ["A", "A"]


def test_the_table_of_words_stays_as_it_is_but_for_the_speaker() -> None:
    said = words((1, 2), (0, 1), word=["b", "a"], speaker=["?", "?"]).set_index(pd.Index([7, 7]))
    before = said.copy()
    result = assign_speakers(said, turns((0, 1, "A"), (1, 2, "B")))
    pd.testing.assert_frame_equal(said, before)
    assert list(result["word"]) == ["b", "a"]
    assert list(result["speaker"]) == ["B", "A"]
    assert list(result.index) == [7, 7]


def test_the_words_of_an_example_get_who_said_them() -> None:
    path = diarnb.example("meeting")
    truth = pd.read_csv(path.with_suffix(".words.csv"))
    reference = diarnb.read(path.with_suffix(".rttm"))
    given = assign_speakers(truth.drop(columns="speaker"), reference)
    wrong = given[given["speaker"] != truth["speaker"]]
    both = diarnb.overlap(reference)  # where two talk at once, times alone do not tell who says what
    for word in wrong.itertuples():
        assert ((both["start"] < word.end) & (both["end"] > word.start)).any()
    assert len(wrong) < 0.05 * len(truth)


def test_ten_thousand_words_are_no_work() -> None:
    start = np.sort(np.random.default_rng(0).uniform(0, 3600, 10_000))
    who = [f"S{k % 4}" for k in range(2000)]
    table = pd.DataFrame({"start": np.arange(2000) * 1.8, "end": np.arange(2000) * 1.8 + 1.8, "speaker": who})
    given = assign_speakers(pd.DataFrame({"start": start, "end": start}), table)
    assert list(given["speaker"]) == [who[min(int(at / 1.8), 1999)] for at in start]


@pytest.mark.parametrize("within", [-1, True, "1", np.nan, None])
def test_within_is_a_number_of_seconds(within: Any) -> None:
    with pytest.raises(InvalidParameterError, match="within"):
        assign_speakers(words((0, 1)), turns((0, 1, "A")), within=within)


@pytest.mark.parametrize("table", [[(0, 1)], pd.DataFrame({"start": [0.0]}), words((2, 1)), words((np.nan, 1))])
def test_what_is_no_table_of_words_is_refused(table: Any) -> None:
    with pytest.raises(TurnTableError, match="words"):
        assign_speakers(table, turns((0, 1, "A")))


def test_a_transcript_has_a_line_for_each_who_says_something() -> None:
    said = pd.DataFrame(
        {
            "speaker": ["SPEAKER_00", "SPEAKER_01", "Beth", None, "SPEAKER_12", "SPEAKER_00"],
            "text": ["Hello.", " Not too\nbad. ", "Hi.", "Mm.", "Yes.", ""],
        }
    )
    assert transcript(said).splitlines() == [
        "[Speaker:0] Hello.",
        "[Speaker:1] Not too bad.",
        "[Beth] Hi.",
        "[?] Mm.",
        "[Speaker:12] Yes.",
    ]
    with pytest.raises(TurnTableError, match="no text"):
        transcript(turns((0, 1, "A")))
