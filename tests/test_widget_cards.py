from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import ipywidgets
import pandas as pd
import pytest

import diarnb
from diarnb.corrections import Corrections
from diarnb.errors import AudioNotFoundError
from diarnb.widgets import parts
from diarnb.widgets.cards import Cards, cards
from tests.test_widget_player import HOSTILE, Markup

if TYPE_CHECKING:
    from collections.abc import Iterator

A, B = "SPEAKER_00", "SPEAKER_01"


@pytest.fixture
def panel(known: dict[str, pd.DataFrame]) -> Iterator[Cards]:
    made = cards(known["meeting"])
    yield made
    made.close()


def inside(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    return [widget, *(found for child in getattr(widget, "children", ()) for found in inside(child))]


def boxes(panel: Cards) -> list[ipywidgets.Text]:
    return [widget for widget in inside(panel) if isinstance(widget, ipywidgets.Text)]


def press(panel: ipywidgets.Widget, label: str) -> None:
    [button] = [w for w in inside(panel) if isinstance(w, ipywidgets.Button) and w.description == label]
    button.click()


def told(panel: ipywidgets.Widget) -> str:
    return " ".join(widget.value for widget in inside(panel) if isinstance(widget, ipywidgets.HTML))


def check_harmless(markup: str) -> None:
    """Names bring no element, nothing that runs or loads, and nothing hidden."""
    found = Markup(markup)
    ours = {"div", "style", "span", "bdi", "code", "img", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.tags <= ours
    assert all(name == "src" and str(value).startswith("data:image/png;base64,") for name, value in found.active)
    assert "\u202e" not in markup


def test_every_voice_has_a_card_with_clips_of_its_own(panel: Cards) -> None:
    assert len(boxes(panel)) == 4
    for label, card in panel._cards.items():
        buttons = [widget for widget in inside(card.box) if hasattr(widget, "stretch")]
        assert 1 <= len(buttons) <= 3
        own = panel.turns[panel.turns["speaker"] == label]
        others = panel.turns[panel.turns["speaker"] != label]
        for start, end in (button.stretch for button in buttons):
            assert ((own["start"] <= start + 1e-6) & (own["end"] >= end - 1e-6)).any()
            assert not ((others["start"] < end - 1e-6) & (others["end"] > start + 1e-6)).any()


def test_a_name_that_is_typed_is_in_the_table(panel: Cards) -> None:
    boxes(panel)[0].value = " Beth "
    assert "Beth" in set(panel.turns["speaker"])
    assert panel.edits["what"].tolist() == ["rename"]
    assert boxes(panel)[0].value == "Beth"
    press(panel, "Undo")
    assert "Beth" not in set(panel.turns["speaker"])
    assert boxes(panel)[0].value == panel.edits["speaker"][0]
    press(panel, "Redo")
    assert boxes(panel)[0].value == "Beth"
    boxes(panel)[0].value = "  "  # no name: it keeps the one it had
    assert boxes(panel)[0].value == "Beth"
    assert len(panel.edits) == 3


def test_two_cards_with_one_name_ask_whether_to_merge(panel: Cards) -> None:
    boxes(panel)[0].value = "Beth"
    assert "are called" not in told(panel)
    boxes(panel)[1].value = "Beth"
    assert "2 voices are called Beth" in told(panel)
    assert len(panel.corrections.labels) == 4
    press(panel, "Merge them")
    assert len(panel.corrections.labels) == len(boxes(panel)) == 3
    assert "are called" not in told(panel)
    press(panel, "Undo")
    assert len(boxes(panel)) == 4
    press(panel, "Keep them apart")
    assert "are called" not in told(panel)
    assert list(panel.corrections.labels.values()).count("Beth") == 2


def test_names_go_on_from_panel_to_panel(panel: Cards) -> None:
    panel.rename(A, "Beth")
    other = cards(panel.corrections)
    assert "Beth" in [box.value for box in boxes(other)]
    other.rename(A, "Bess")
    assert len(panel.edits) == 2
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_on_every_surface(panel: Cards, name: str) -> None:
    boxes(panel)[0].value = name
    boxes(panel)[1].value = name
    labels = [*panel.corrections.labels]
    hostile = Corrections(panel.turns.assign(speaker=panel.turns["speaker"].replace({labels[3]: name})))
    other = cards(hostile, diarnb.example("meeting"))
    for shown in (panel, other):
        bundle = shown._repr_mimebundle_()
        check_harmless(told(shown) + bundle["text/html"])
    other.close()


def test_what_is_saved_holds_neither_sound_nor_path(panel: Cards) -> None:
    state = json.dumps([widget.get_state() for widget in inside(panel)], default=repr)
    assert len(state) < 200_000
    assert str(diarnb.example("meeting").parent) not in state
    bundle = panel._repr_mimebundle_()
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} == bundle.keys()
    assert len(json.dumps(bundle)) < 200_000


@pytest.mark.slow
def test_closing_leaves_nothing_open(known: dict[str, pd.DataFrame]) -> None:
    cards(known["meeting"]).close()
    gc.collect()
    before = len(widgets())
    for _ in range(3):
        made = cards(known["meeting"])
        made.rename(A, "Beth")
        made.rename(B, "Beth")
        made.merge("Beth")
        made.undo()
        made.close()
        made.close()
        del made
    gc.collect()
    assert len(widgets()) == before


def widgets() -> dict[str, ipywidgets.Widget]:
    module = __import__("ipywidgets.widgets.widget", fromlist=["widget"])
    return module._instances if hasattr(module, "_instances") else ipywidgets.Widget.widgets  # of 7.7


def test_a_closed_panel_keeps_its_table_and_does_no_more(panel: Cards) -> None:
    box = boxes(panel)[0]
    panel.rename(A, "Beth")
    panel.close()
    box.value = "Alf"
    assert "Beth" in set(panel.turns["speaker"])
    assert len(panel.edits) == 1


def test_without_its_recording_a_table_has_no_cards() -> None:
    with pytest.raises(AudioNotFoundError, match="audio="):
        cards(pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": [A]}))


def test_nobody_speaks() -> None:
    made = cards(diarnb.tables.turns.empty_turns(), diarnb.example("interview"))
    assert boxes(made) == []
    [line] = [widget for widget in inside(made) if "nobody speaks" in getattr(widget, "value", "")]
    assert parts.HIDDEN not in line._dom_classes
    made.close()
