"""How a word is written is corrected like all else: in the log, undone, exported, and applied to a later run."""

from __future__ import annotations

import pandas as pd
import pytest

import diarnb
from diarnb.corrections import Corrections
from diarnb.corrections.replay import apply_edits
from diarnb.errors import InvalidParameterError

SAID = pd.DataFrame(
    {
        "start": [0.7, 1.2, 9.5, 10.0],
        "end": [1.1, 1.6, 9.9, 10.4],
        "word": ["The", "budgie.", "The", "budgie."],
    }
)


@pytest.fixture
def turns() -> pd.DataFrame:
    return diarnb.diarize(diarnb.example("interview"), words=SAID, progress=False)


def test_a_corrected_word_is_in_words_texts_and_files_and_can_be_undone(turns: pd.DataFrame, tmp_path) -> None:
    corrections = Corrections(turns)
    corrections.correct_word(10.0, 10.4, "budgie.", "budget!")
    now = corrections.turns
    assert list(diarnb.words(now)["text"]) == ["The", "budgie.", "The", "budget!"]
    assert list(diarnb.words(now)["word"])[-1] == "budget"
    assert [text for text in now["text"] if text] == ["The budgie.", "The budget!"]
    assert "The budget!" in " ".join(diarnb.utterances(now)["text"])
    diarnb.write(now, tmp_path / "said.srt")
    assert "budget!" in (tmp_path / "said.srt").read_text(encoding="utf-8")
    row = corrections.edits.iloc[-1]
    assert row[["what", "speaker", "to", "start", "end", "turn"]].tolist() == [
        "word",
        "budgie.",
        "budget!",
        10.0,
        10.4,
        -1,
    ]
    corrections.undo()
    assert "budget!" not in " ".join(corrections.turns["text"])
    assert list(diarnb.words(corrections.turns)["text"]) == list(diarnb.words(turns)["text"])


def test_a_corrected_word_is_kept_and_applied_to_another_table(turns: pd.DataFrame) -> None:
    Corrections.open(turns).correct_word(1.2, 1.6, "budgie.", "Gudrun.")
    again = Corrections.open(turns)
    assert "The Gudrun." in list(again.turns["text"])
    renamed = diarnb.rename(turns, {"SPEAKER_00": "Ann"})
    assert "The Gudrun." in list(apply_edits(renamed, again.edits)["text"])


@pytest.mark.parametrize("text", ["", "  ", "budgie."])
def test_a_word_becomes_another(turns: pd.DataFrame, text: str) -> None:
    corrections = Corrections(turns)
    with pytest.raises(InvalidParameterError, match="a word is replaced with text"):
        corrections.correct_word(1.2, 1.6, "budgie.", text)
    assert corrections.edits.empty
