from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import diarnb
from diarnb.errors import InvalidParameterError
from diarnb.widgets.parts import Guard
from diarnb.widgets.review import Review, review
from tests.test_widget_cards import check_harmless, inside, press, told, widgets
from tests.test_widget_player import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator

A, B = "SPEAKER_00", "SPEAKER_01"


@pytest.fixture
def panel(known: dict[str, pd.DataFrame]) -> Iterator[Review]:
    made = review(diarnb.recluster(known["meeting"], num_speakers=3))
    yield made
    made.close()


def key(panel: Review, value: object) -> None:
    [keys] = [widget for widget in inside(panel) if isinstance(widget, Guard)]
    keys._handle_custom_msg(value, [])


def test_verdicts_by_key_go_into_the_log(panel: Review) -> None:
    first = panel.turn
    assert first is not None
    label = panel.corrections.voices[first]
    key(panel, {"key": "y"})
    assert panel.corrections.confirmed == {first}
    second = panel.turn
    key(panel, {"key": "n"})
    assert panel.corrections.rejected.keys() == {second}
    third = panel.turn
    key(panel, {"key": "0"})
    assert panel.corrections.voices[third] == "SPEAKER_03"
    fourth = panel.turn
    assert fourth is not None
    number = list(panel.corrections.labels).index(label) + 1
    key(panel, {"key": str(number)})
    assert panel.corrections.voices[fourth] == label
    assert len({first, second, third, fourth}) == 4
    assert panel.edits["what"].tolist()[:3] == ["confirm", "reject", "reassign"]
    key(panel, {"key": "u"})
    assert panel.turn == fourth


@pytest.mark.parametrize(
    "message", [None, [], {}, {"key": "x"}, {"key": 1}, {"key": ["y"]}, {"key": "y" * 10**6}, {"ask": "clip"}]
)
def test_other_messages_are_ignored(panel: Review, message: object, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "diarnb"):
        key(panel, message)
    assert panel.edits.empty
    assert len(caplog.text) < 1000


def test_a_number_without_a_voice_says_nothing(panel: Review) -> None:
    key(panel, {"key": "9"})
    assert panel.edits.empty


def test_everything_has_a_verdict_in_the_end(panel: Review) -> None:
    count = len(panel.turns)
    before = panel.left
    assert before.turns == count
    assert before.wrong > 0
    skipped = panel.turn
    panel.skip()
    assert panel.turn != skipped
    seen = []
    while panel.turn is not None:
        seen.append(panel.turn)
        panel.right()
    assert len(set(seen)) == count
    assert seen[-1] == skipped
    assert panel.left == (0, 0, 0)
    assert "Every turn has a verdict" in told(panel)
    key(panel, {"key": "y"})
    assert "undo()" in told(panel)
    with pytest.raises(InvalidParameterError):
        panel.wrong()
    panel.undo()
    assert panel.turn == skipped


def test_the_estimate_falls_when_all_is_right_and_what_is_wrong_stays_wrong_until_it_is_put_right(
    panel: Review,
) -> None:
    start = panel.left
    panel.right()
    assert panel.left.wrong < start.wrong
    length = panel.turns["duration"][panel.turn]
    panel.wrong()
    total = panel.turns["duration"].sum()
    assert panel.left.share == pytest.approx((panel.left.wrong + length) / total)
    panel.undo()
    panel.who(None)
    assert panel.left.share == pytest.approx(panel.left.wrong / total)


def test_who_is_the_same_is_a_confirmation(panel: Review) -> None:
    assert panel.turn is not None
    panel.who(panel.corrections.voices[panel.turn])
    assert panel.edits["what"].tolist() == ["confirm"]


def test_what_would_propagate_is_shown_before_it_is_accepted(panel: Review) -> None:
    longest = int(panel.turns["duration"].idxmax())
    panel.corrections.reject(longest)
    panel.refresh()
    before = panel.turns
    press(panel, "Propagate")
    assert panel.proposal is not None
    assert longest in panel.proposal.index
    assert "would change" in told(panel)
    pd.testing.assert_frame_equal(panel.turns, before)
    press(panel, "Leave them")
    assert "would change" not in told(panel)
    press(panel, "Propagate")
    press(panel, "Accept")
    assert panel.edits["by"].iloc[-1] == "local"
    assert not panel.turns["speaker"].equals(before["speaker"])
    press(panel, "Propagate")
    press(panel, "Undo")
    pd.testing.assert_frame_equal(panel.turns, before)


def test_a_table_from_elsewhere_can_be_reviewed_but_not_propagated() -> None:
    turns = pd.DataFrame({"start": [1.0, 4.0], "end": [3.0, 5.0], "speaker": ["A", "B"]})
    made = review(turns, diarnb.example("interview"))
    press(made, "Propagate")
    assert "run" in told(made)
    press(made, "Right")
    assert made.left.turns == 1
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(panel: Review, name: str) -> None:
    for label in panel.corrections.labels:
        if name.strip():
            panel.corrections.rename(label, name)
    panel.corrections.reject(int(panel.turns["duration"].idxmax()))
    panel.refresh()
    panel.propose()
    check_harmless(told(panel) + panel._repr_mimebundle_()["text/html"])


def test_closing_leaves_nothing_open_and_nothing_large_is_saved(known: dict[str, pd.DataFrame]) -> None:
    before = len(widgets())
    made = review(known["meeting"])
    made.who(None)
    made.propose()
    made.right()
    state = json.dumps([widget.get_state() for widget in inside(made)], default=repr)
    assert len(state) < 100_000
    assert str(diarnb.example("meeting").parent) not in state
    made.close()
    key_closed = len(widgets())
    assert key_closed == before
