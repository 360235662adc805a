"""The text of a turn is what its speaker says in it, also where a person has cut, moved and given away turns."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diarnb
from diarnb.corrections import Corrections
from diarnb.errors import InvalidParameterError
from diarnb.widgets import apply_edits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("known")


def spoken(name: str = "interview") -> pd.DataFrame:
    words = pd.read_csv(diarnb.example(name).with_suffix(".words.csv"), keep_default_na=False)
    return diarnb.diarize(diarnb.example(name), words=words, progress=False)


def check(turns: pd.DataFrame) -> None:
    words = diarnb.words(turns)
    middle = words[["start", "end"]].mean(axis=1)
    for turn in turns.itertuples():
        own = turns[(turns["speaker"] == turn.speaker) & (turns["start"] < turn.end) & (turns["end"] > turn.start)]
        if len(own) > 1:
            continue  # of turns of one speaker that overlap, one has the word
        inside = words[(words["speaker"] == turn.speaker) & (middle > turn.start + 0.01) & (middle < turn.end - 0.01)]
        assert not Counter(inside["text"]) - Counter(turn.text.split())
    assert not Counter(" ".join(turns["text"]).split()) - Counter(words["text"])  # no word is there twice


def test_a_turn_that_is_cut_divides_its_text_by_its_words() -> None:
    corrections = Corrections(spoken())
    corrections.rename("SPEAKER_00", "Maya")
    corrections.reassign(slice(2.5, 5.2), "SPEAKER_01", speaker="SPEAKER_00")
    first, second, third = corrections.turns["text"].head(3)
    assert first.startswith("Welcome back. With me is")
    assert (first + " " + second + " " + third).endswith("do you still wake up at night?")
    assert "lighthouse" in second
    check(corrections.turns)
    assert "[SPEAKER_01] " not in diarnb.transcript(corrections.turns)
    corrections.undo()
    assert corrections.turns["text"].iloc[0] == spoken()["text"].iloc[0]


@pytest.mark.parametrize("count", [None, 3])
def test_a_later_run_keeps_who_said_the_words_that_a_person_gave_away(count: int | None, tmp_path: Path) -> None:
    turns = spoken("meeting")
    corrections = Corrections(turns)
    corrections.rename("SPEAKER_00", "Maya")
    corrections.reassign(slice(2.5, 5.2), "SPEAKER_01", speaker="SPEAKER_00")
    later = apply_edits(turns if count is None else diarnb.recluster(turns, num_speakers=count), corrections.edits)
    assert "unplaced" not in later.attrs["diarnb"]
    assert [*later["speaker"].head(3)] == ["Maya", "SPEAKER_01", "Maya"]
    assert later["text"].iloc[1].startswith("things for the garden")
    heard = diarnb.words(later).set_index("word")["speaker"]
    assert heard["three"] == "Maya"
    assert heard["garden:"] == "SPEAKER_01"
    for name in ("a.json", "a.csv", "a.srt", "a.vtt", "a.TextGrid", "a.eaf", "a.html"):
        diarnb.write(later, tmp_path / name)
        text = (tmp_path / name).read_text(encoding="utf-8")
        text = re.sub("<[^>]+>", " ", text) if name == "a.html" else text
        assert re.search(r"everybody\.\s+Three", text), name
        assert not re.search(r"Three\s+things", text), name  # Maya does not say it any more


def test_a_voice_is_found_again_by_its_own_turns_where_one_of_them_was_cut() -> None:
    corrections = Corrections(spoken())
    corrections.rename("SPEAKER_00", "Maya")
    corrections.reassign(slice(2.5, 5.2), "SPEAKER_01", speaker="SPEAKER_00")
    later = apply_edits(spoken(), corrections.edits)
    assert "unplaced" not in later.attrs["diarnb"]
    assert [*later["speaker"].head(4)] == ["Maya", "SPEAKER_01", "Maya", "SPEAKER_01"]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_text_and_turns_agree_whatever_is_corrected(data: st.DataObject) -> None:
    corrections = Corrections(spoken("call"))
    for _ in range(data.draw(st.integers(1, 4))):
        turns = corrections.turns
        at = data.draw(st.integers(0, len(turns) - 1))
        turn, voices = turns.index[at], sorted(set(corrections.voices))
        start, end = float(turns["start"].iloc[at]), float(turns["end"].iloc[at])
        what = data.draw(st.sampled_from(["cut", "give", "move", "undo"]))
        voice = data.draw(st.sampled_from(voices))
        if what == "cut":
            a, b = np.sort([data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1))])
            if b - a > 0.1:
                with suppress(InvalidParameterError):  # it is theirs already
                    corrections.reassign(slice(start + a * (end - start), start + b * (end - start)), voice)
        elif what == "give":
            with suppress(InvalidParameterError):
                corrections.reassign(turn, voice)
        elif what == "move" and end - start > 0.5:
            corrections.move(turn, end=start + data.draw(st.floats(0.3, 0.9)) * (end - start))
        elif what == "undo" and len(corrections.edits):
            corrections.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(corrections.turns)
        alone = diarnb.exclusive(corrections.turns)
    assert set(" ".join(alone["text"]).split()) <= set(" ".join(corrections.turns["text"]).split())
