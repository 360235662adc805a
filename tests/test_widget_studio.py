"""The studio without a page: its parts share one table, one recording, one undo."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import ipywidgets
import pytest

import diarnb
from diarnb.errors import AudioNotFoundError, InvalidParameterError
from diarnb.widgets import parts
from diarnb.widgets.cards import Cards
from diarnb.widgets.review import Review
from diarnb.widgets.studio import Studio, studio
from tests.test_widget_cards import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

T = TypeVar("T")


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return diarnb.read(diarnb.example("interview").with_suffix(".rttm"))


@pytest.fixture
def made(turns: pd.DataFrame) -> Iterator[Studio]:
    made = studio(turns, diarnb.example("interview"))
    yield made
    made.close()


def test_a_name_is_everywhere_at_once_and_one_undo_takes_it_back(made: Studio, turns: pd.DataFrame) -> None:
    first = turns["speaker"][0]
    made.cards.rename(first, "Dora")
    for part in (made, made.player, made.cards, made.review):
        assert part.turns["speaker"].iloc[0] == "Dora"
    made.review.undo()
    for part in (made, made.player, made.cards, made.review):
        assert part.turns["speaker"].iloc[0] == first


def test_the_turn_that_is_selected_is_the_one_that_is_asked_about(made: Studio) -> None:
    other = next(turn for turn in made.turns.index if turn != made.review.turn)
    made.player._select({"turn": int(other)})
    assert made.review.turn == other
    made.cards.rename(next(iter(made.corrections.labels)), "Dora")
    assert made.review.turn == other  # what is done elsewhere takes nothing away
    made.player._judge({"key": "y"})
    assert made.edits["turn"].iloc[-1] == other
    assert made.edits["what"].iloc[-1] == "confirm"
    assert made.review.turn != other


def test_the_player_answers_the_review_by_keys(made: Studio) -> None:
    first = made.review.turn
    made.player._judge({"key": "d"})
    second = made.review.turn
    assert second != first
    made.player._judge({"key": "w"})
    assert list(made.edits["what"]) == ["reject"]
    assert made.edits["turn"].iloc[0] == second
    assert made.player.selected == made.review.turn


def test_a_side_pane_is_made_when_it_is_looked_at_and_knows_what_was_done_before(made: Studio) -> None:
    def found(kind: type[T]) -> list[T]:
        return [widget for widget in inside(made) if isinstance(widget, kind)]

    assert (len(found(Cards)), len(found(Review))) == (1, 0)
    other = int(made.turns.index[-1])
    made.cards.rename(next(iter(made.corrections.labels)), "Dora")
    made.player._select({"turn": other})
    [choice] = found(ipywidgets.ToggleButtons)
    choice.value = "Review"
    [review], [cards], [keys] = found(Review), found(Cards), found(parts.Guard)
    assert (review, review.turn) == (made.review, other)
    assert "1 Dora" in [button.description for button in found(ipywidgets.Button)]
    assert [parts.HIDDEN in pane._dom_classes for pane in (review, cards)] == [False, True]
    keys._handle_custom_msg({"key": "n"}, [])  # one guard, for whatever is open
    assert made.edits["what"].tolist() == ["rename", "reject"]


def test_a_studio_of_a_recording_opens_on_the_table_of_each_run() -> None:
    made = studio(diarnb.example("interview"))
    assert made.player is None
    assert "without a table" in repr(made)
    found = made.run()
    assert len(made.turns) == len(found) > 5
    made.cards.rename("SPEAKER_00", "Beth")
    first = made.player
    made.run()
    assert made.player is not first
    assert "Beth" in set(made.turns["speaker"])  # the same run: what was corrected is taken up
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "diarnb-peaks"]


def test_a_studio_goes_on_with_the_corrections_of_another_widget(turns: pd.DataFrame) -> None:
    alone = diarnb.cards(turns, diarnb.example("interview"))
    made = studio(alone.corrections, diarnb.example("interview"))
    alone.rename(turns["speaker"][0], "Dora")
    assert made.turns["speaker"].iloc[0] == "Dora"
    made.close()
    alone.close()


def test_what_is_left_is_the_picture_and_the_table(made: Studio) -> None:
    bundle = made._repr_mimebundle_()
    assert bundle["text/html"].count("<tr") == 11
    assert "data:image/png" in bundle["text/html"]


def test_bad_input_is_told(turns: pd.DataFrame, made: Studio) -> None:
    with pytest.raises(AudioNotFoundError, match="audio="):
        studio(turns)
    with pytest.raises(InvalidParameterError, match="no turn"):
        made.player.select(10**6)
    with pytest.raises(InvalidParameterError, match="no turn"):
        made.review.look_at(10**6)
    with pytest.raises(InvalidParameterError, match="start < end"):
        made.player.play(3.0, 2.0)
