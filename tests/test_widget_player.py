"""The player's side of Python: what it tells its page, what it takes from it, and what it leaves behind."""

from __future__ import annotations

import json
import logging
import threading
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb.errors import AudioNotFoundError, InvalidParameterError, TurnTableError
from diarnb.tables.activity import find_errors
from diarnb.widgets.packing import TICKS, UNKNOWN, Spoken, pack_turns
from diarnb.widgets.player import Player, player
from tests.test_widget_sound import Ear

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "'><svg/onload=alert(1)>",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "Be\u202eth",
    "line\nbreak\u2028",
    "$\\frac{1}{2}$",
    "x" * 5000,
    "\x00\x1b[31m",
    "${alert(1)}",
]


def table(*names: str) -> pd.DataFrame:
    """Turns of a second each, every 2 s."""
    starts = [2.0 * number for number in range(len(names))]
    return pd.DataFrame({"start": starts, "end": [start + 1.0 for start in starts], "speaker": list(names)})


@pytest.fixture
def made() -> Iterator[Player]:
    shown = player(table("A", "B", "A", "C"), diarnb.example("interview"))
    yield shown
    shown.close()


@pytest.fixture
def ear(made: Player, monkeypatch: pytest.MonkeyPatch) -> Ear:
    page = Ear(made, monkeypatch)
    assert page.ask(ask="hello") is not None
    return page


def unpacked(data: bytes) -> pd.DataFrame:
    [count] = np.frombuffer(data, "<u4", 1)
    lanes = len(data) - 3 * count
    columns = {
        "id": np.arange(count) if lanes == 4 + 8 * count else np.frombuffer(data, "<i4", count, 4 + 8 * count),
        "start": np.frombuffer(data, "<u4", count, 4) / TICKS,
        "end": np.frombuffer(data, "<u4", count, 4 + 4 * count) / TICKS,
        "lane": np.frombuffer(data, "<u2", count, lanes),
        "confidence": np.frombuffer(data, "u1", count, lanes + 2 * count),
    }
    return pd.DataFrame(columns)


# What the page is told


def test_a_page_is_told_the_turns_when_it_asks(made: Player, ear: Ear) -> None:
    answer = ear.ask(ask="hello")
    assert answer is not None
    told, buffers = answer
    assert told["names"] == ["A", "B", "C"]
    assert (told["undo"], told["redo"], told["words"]) == (False, False, False)
    assert json.loads(json.dumps(told)) == told
    found = unpacked(buffers[0])
    assert found[["start", "end"]].equals(made.turns[["start", "end"]].reset_index(drop=True))
    assert (list(found["id"]), list(found["lane"])) == (list(made.turns.index), [0, 1, 0, 2])
    assert set(found["confidence"]) == {UNKNOWN}


def test_times_travel_to_a_tenth_of_a_millisecond_in_the_longest_recording() -> None:
    turns = pd.DataFrame({"start": [86_399.12345], "end": [86_400.0], "speaker": ["A"], "confidence": [49.6]})
    found = unpacked(pack_turns([3], turns, [7]))
    assert found.iloc[0].tolist() == [3, 86_399.1234, 86_400.0, 7, 50]


def test_colours_are_the_timelines_and_stay_with_a_voice(known: dict[str, pd.DataFrame], monkeypatch: Any) -> None:
    turns = known["meeting"]
    shown = player(turns)
    page = Ear(shown, monkeypatch)
    answer = page.ask(ask="hello")
    assert answer is not None
    first = dict(zip(answer[0]["names"], answer[0]["colors"], strict=True))
    drawn = {
        line.get_label(): line.get_facecolor()[0]
        for line in diarnb.timeline(turns).collections
        if line.get_label() in first
    }
    from matplotlib.colors import to_rgba

    assert {name: to_rgba(color) for name, color in first.items()} == {n: tuple(c) for n, c in drawn.items()}
    page.ask(ask="edit", what="merge", voice=1, to=0)
    told = next(content for content, _ in page.heard if content.get("do") == "turns")
    assert told["names"][1] is None
    assert told["colors"] == answer[0]["colors"]
    shown.close()


def test_nothing_of_the_recording_or_the_turns_is_in_the_state(known: dict[str, pd.DataFrame]) -> None:
    shown = player(known["meeting"])
    state = {name: value for name, value in shown.get_state().items() if name not in ("_esm", "_css")}
    written = json.dumps({name: value for name, value in state.items() if name != "layout"})
    shown.close()
    assert len(written) < 600
    assert "SPEAKER" not in written
    assert "meeting" not in written


def test_a_player_costs_nothing_until_somebody_looks() -> None:
    threads = threading.active_count()
    shown = player(table("A"), diarnb.example("interview"))
    assert threading.active_count() == threads
    shown.close()


def test_peaks_come_as_they_are_made_and_stop_with_the_player(made: Player, ear: Ear) -> None:
    answer = ear.ask(ask="peaks", level=0, tile=0)
    assert answer is not None
    made._sound.peaks.wait()
    answer = ear.ask(ask="peaks", level=0, tile=0)
    assert answer is not None
    assert answer[0]["done"] > made._sound.duration
    [all_bins] = answer[1]
    assert len(all_bins) == 4096
    assert any(np.frombuffer(all_bins, "i1"))
    answer = ear.ask(ask="peaks", level=0, tile=0, first=2000)  # which the page has already
    assert answer is not None
    assert answer[1] == [all_bins[4000:]]
    made.close()
    assert "diarnb-peaks" not in {thread.name for thread in threading.enumerate()}


def test_a_slice_travels_when_it_is_asked_for(made: Player, ear: Ear) -> None:
    answer = ear.ask(ask="slice", number=2, format="FLAC")
    assert answer == ({"id": 7}, [made._sound.encode(8.0, 12.0)])


def read_paragraphs(page: Ear) -> tuple[list[list[Any]], list[int]]:
    """The words of every paragraph, and the lanes of these."""
    answer = page.ask(ask="paragraphs")
    assert answer is not None
    data = answer[1][0]
    count = len(data) // 8
    words = page.ask(ask="words", first=0, beyond=count)
    assert words is not None
    assert [words[0][0] for words in words[0]["words"]] == (np.frombuffer(data, "<u4", count) / TICKS).tolist()
    return words[0]["words"], np.frombuffer(data, "<u2", count, 6 * count).tolist()


def test_words_come_in_paragraphs_of_one_speaker_and_follow_corrections(monkeypatch: pytest.MonkeyPatch) -> None:
    words = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"))
    turns = diarnb.read(diarnb.example("interview").with_suffix(".rttm"))
    shown = player(turns, diarnb.example("interview"), words=words)
    page = Ear(shown, monkeypatch)
    page.ask(ask="hello")
    paragraphs, lanes = read_paragraphs(page)
    assert [text for each in paragraphs for _, _, text in each] == words["text"].tolist()
    said = diarnb.assign_speakers(words, turns)["speaker"].ffill()
    assert len(paragraphs) == (said != said.shift()).sum()
    labels = list(dict.fromkeys(turns["speaker"]))
    assert [labels[lane] for lane in lanes] == said[said != said.shift()].tolist()
    shown.corrections.merge(labels[1], into=labels[0])
    paragraphs, lanes = read_paragraphs(page)
    assert set(lanes) == {0}
    assert max(map(len, paragraphs)) == 80  # one who never stops has several
    shown.close()


def test_without_words_the_texts_of_turns_are_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = table("A", "B").assign(text=["Good <b>morning</b>.", ""])
    shown = player(turns, diarnb.example("interview"))
    page = Ear(shown, monkeypatch)
    page.ask(ask="hello")
    assert read_paragraphs(page) == ([[[0.0, 1.0, "Good <b>morning</b>."]]], [0])
    shown.close()


def test_the_words_of_one_message_are_bounded() -> None:
    spoken = Spoken(pd.DataFrame({"start": [5.0, 1.0], "end": [6.0, 2.0], "word": ["x" * 10_000, "b"]}))
    assert [(start, len(text)) for start, _, text in spoken.between(0, 10)[0]] == [(1.0, 1), (5.0, 2000)]


def test_what_is_said_is_found_across_words_and_whichever_way_it_is_written() -> None:
    words = ["The", "Budget", "is", "STRASSE,", "the", "budget"]
    times = [float(number) for number in range(len(words))]
    spoken = Spoken(pd.DataFrame({"start": times, "end": times, "word": words, "speaker": [*"AABBBB"]}))
    spoken.follow(pd.DataFrame({"start": times, "end": times, "word": words, "speaker": [*"AABBBB"]}), {"A": 0, "B": 1})
    assert spoken.find("the  budget") == [(0, 0, 2), (1, 2, 2)]
    assert spoken.find("straße") == [(1, 1, 1)]
    assert spoken.find("udge") == [(0, 1, 1), (1, 3, 1)]
    assert spoken.find("nobody") == spoken.find(" ") == []


# Corrections from the page


EDITS: list[tuple[dict[str, Any], list[tuple[float, float, str]]]] = [
    ({"what": "rename", "voice": 0, "name": "Beth"}, [(0, 1, "Beth"), (2, 3, "B"), (4, 5, "Beth"), (6, 7, "C")]),
    ({"what": "merge", "voice": 2, "to": 1}, [(0, 1, "A"), (2, 3, "B"), (4, 5, "A"), (6, 7, "B")]),
    ({"what": "split", "voice": 0, "start": 2}, [(0, 1, "A"), (2, 3, "B"), (4, 5, "SPEAKER_00"), (6, 7, "C")]),
    ({"what": "reassign", "turns": [0, 3], "to": 1}, [(0, 1, "B"), (2, 3, "B"), (4, 5, "A"), (6, 7, "B")]),
    ({"what": "reassign", "turns": [1], "to": -1}, [(0, 1, "A"), (2, 3, "SPEAKER_00"), (4, 5, "A"), (6, 7, "C")]),
    (
        {"what": "select", "start": 2.5, "end": 4.5, "voice": None, "to": 2},
        [(0, 1, "A"), (2, 2.5, "B"), (2.5, 3, "C"), (4, 4.5, "C"), (4.5, 5, "A"), (6, 7, "C")],
    ),
    (
        {"what": "select", "start": 2.5, "end": 4.5, "voice": 0, "to": 2},
        [(0, 1, "A"), (2, 3, "B"), (4, 4.5, "C"), (4.5, 5, "A"), (6, 7, "C")],
    ),
    (
        {"what": "move", "turns": [1], "start": 1.5, "end": 3.25},
        [(0, 1, "A"), (1.5, 3.25, "B"), (4, 5, "A"), (6, 7, "C")],
    ),
    ({"what": "delete", "turns": [1, 2]}, [(0, 1, "A"), (6, 7, "C")]),
    ({"what": "add", "start": 8, "end": 9, "to": 0}, [(0, 1, "A"), (2, 3, "B"), (4, 5, "A"), (6, 7, "C"), (8, 9, "A")]),
    (
        {"what": "add", "start": 8, "end": 9, "to": -1},
        [(0, 1, "A"), (2, 3, "B"), (4, 5, "A"), (6, 7, "C"), (8, 9, "SPEAKER_00")],
    ),
]


def rows(turns: pd.DataFrame) -> list[tuple[float, float, str]]:
    return list(turns[["start", "end", "speaker"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(("message", "expected"), EDITS, ids=[message["what"] for message, _ in EDITS])
def test_a_page_can_correct_and_take_it_back(made: Player, ear: Ear, message: Any, expected: Any) -> None:
    before = rows(made.turns)
    assert ear.ask(ask="edit", **message) == ({"id": 7}, [])
    assert rows(made.turns) == expected
    told, buffers = next((content, buffers) for content, buffers in ear.heard if content.get("do") == "turns")
    names = [told["names"][lane] for lane in unpacked(buffers[0])["lane"]]
    assert names == [name for _, _, name in expected]
    assert told["undo"]
    assert len(made.edits) > 0
    ear.ask(ask="edit", what="undo")
    assert rows(made.turns) == before
    ear.ask(ask="edit", what="redo")
    assert rows(made.turns) == expected


def test_what_cannot_be_corrected_is_told_in_words(made: Player, ear: Ear) -> None:
    answer = ear.ask(ask="edit", what="move", turns=[1], start=5.0, end=4.0)
    assert answer is not None
    assert "0 <= start < end" in answer[0]["error"]
    assert len(made.edits) == 0


WRONG: list[dict[str, Any]] = [
    *({}, {"what": 5}, {"what": "_hello"}, {"what": "rename"}, {"what": "rename", "voice": 0, "name": "x" * 201}),
    *({"what": "rename", "voice": 0, "name": ["x"]}, {"what": "rename", "voice": 0, "name": "\ud800"}),
    *({"what": "rename", "voice": "A", "name": "x"}, {"what": "rename", "voice": 3, "name": "x"}),
    *({"what": "rename", "voice": -1, "name": "x"}, {"what": "rename", "voice": True, "name": "x"}),
    *({"what": "merge", "voice": 0}, {"what": "merge", "voice": 0, "to": -1}, {"what": "split", "voice": 0}),
    *({"what": "split", "voice": 0, "start": "1"}, {"what": "split", "voice": 0, "start": float("nan")}),
    *({"what": "split", "voice": 0, "start": float("inf")}, {"what": "split", "voice": 0, "start": -1}),
    *({"what": "reassign", "turns": 1, "to": 0}, {"what": "reassign", "turns": [], "to": 0}),
    *({"what": "reassign", "turns": [0] * 1001, "to": 0}, {"what": "reassign", "turns": [0.5], "to": 0}),
    *({"what": "reassign", "turns": [None], "to": 0}, {"what": "reassign", "turns": [0], "to": 2**70}),
    *({"what": "move", "turns": [0, 1], "start": 0, "end": 1}, {"what": "move", "turns": [0]}),
    *({"what": "select", "start": 0, "end": None, "to": 0}, {"what": "add", "start": 0, "end": 1, "to": {}}),
    *({"what": "delete", "turns": {"0": 1}}, {"what": "delete", "turns": "0"}, {"what": "delete", "turns": [-1]}),
]
QUESTIONS: list[dict[str, Any]] = [
    *({"ask": "slice"}, {"ask": "slice", "number": -1, "format": "FLAC"}),
    *({"ask": "slice", "number": 1e3, "format": "WAV"}, {"ask": "words", "first": 0, "beyond": "9"}),
    *({"ask": "slice", "number": 10**9, "format": "WAV"}, {"ask": "slice", "number": 0, "format": "/etc/passwd"}),
    *({"ask": "peaks", "level": 9, "tile": 0}, {"ask": "peaks", "level": 0, "tile": -1}, {"ask": "peaks", "level": 0}),
    *({"ask": "peaks", "level": 0, "tile": 2**40}, {"ask": "words", "first": 0}, {"ask": "find"}),
    *({"ask": "close"}, {"ask": "__class__"}, {"ask": "turns"}),
]  # fmt: skip


@pytest.mark.parametrize("message", [*({"ask": "edit", **wrong} for wrong in WRONG), *QUESTIONS], ids=str)
def test_a_wrong_message_changes_nothing_and_is_told_once(
    made: Player, ear: Ear, message: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    before = rows(made.turns)
    with caplog.at_level(logging.WARNING, "diarnb"):
        assert ear.ask(**message) is None
    assert ear.heard == []
    assert rows(made.turns) == before
    assert len(made.edits) == 0
    assert len(caplog.records) == 1


def test_corrections_in_python_are_shown_after_a_refresh(made: Player, ear: Ear) -> None:
    made.corrections.rename("A", "Beth")
    ear.heard.clear()
    made.refresh()
    [(told, _)] = ear.heard
    assert (told["do"], told["names"]) == ("turns", ["Beth", "B", "C"])
    made.undo()
    assert made.turns["speaker"].tolist() == ["A", "B", "A", "C"]
    made.redo()
    assert made.turns["speaker"].tolist() == ["Beth", "B", "Beth", "C"]


def test_turns_and_edits_outlive_the_player(made: Player, ear: Ear) -> None:
    ear.ask(ask="edit", what="delete", turns=[0])
    made.close()
    made.close()
    assert len(made.turns) == 3
    assert made.edits["what"].tolist() == ["delete"]


def test_the_table_that_was_given_stays_as_it_is() -> None:
    turns = table("A", "B")
    shown = player(turns, diarnb.example("interview"))
    shown.corrections.rename("A", "Beth")
    shown.close()
    assert turns["speaker"].tolist() == ["A", "B"]


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf"), "5", True, None])
def test_seeking_wants_a_time(made: Player, time: Any) -> None:
    with pytest.raises(InvalidParameterError):
        made.seek(time)


# What is refused


def test_a_table_without_a_recording_asks_for_one() -> None:
    with pytest.raises(AudioNotFoundError, match="audio="):
        player(table("A"))


@pytest.mark.parametrize(
    "words", ["hello", pd.DataFrame({"start": [0.0], "end": [1.0]}), pd.DataFrame({"word": ["a"]})]
)
def test_words_that_are_none_are_refused(words: Any) -> None:
    with pytest.raises(TurnTableError):
        player(table("A"), diarnb.example("interview"), words=words)


def test_a_table_of_several_recordings_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidParameterError, match="one recording"):
        player(table("A", "B").assign(uri=["a", "b"]), "nowhere.wav")


# Differences


def test_differences_are_named_as_a_diarization_error_rate_names_them() -> None:
    reference = pd.DataFrame({"start": [0.0, 4.0, 8.0], "end": [3.0, 6.0, 10.0], "speaker": ["A", "B", "A"]})
    hypothesis = pd.DataFrame(
        {"start": [0.0, 4.0, 9.0, 12.0], "end": [3.5, 6.0, 10.0, 13.0], "speaker": ["A", "A", "A", "B"]}
    )
    assert list(find_errors(hypothesis, reference).itertuples(index=False, name=None)) == [
        (3.0, 3.5, "false alarm"),
        (4.0, 6.0, "confusion"),
        (8.0, 9.0, "missed"),
        (12.0, 13.0, "false alarm"),
    ]


def test_names_of_another_engine_are_paired_by_time() -> None:
    turns = table("A", "B", "A")
    assert find_errors(turns, turns.replace({"A": "SPEAKER_01", "B": "SPEAKER_00"})).empty


def test_no_turns_at_all_differ_by_all() -> None:
    turns = table("A")
    assert find_errors(turns.head(0), turns)["kind"].tolist() == ["missed"]
    assert find_errors(turns.head(0), turns.head(0)).empty


def test_a_reference_travels_with_its_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = player(table("A", "B"), diarnb.example("interview"), reference=table("B", "B"))
    answer = Ear(shown, monkeypatch).ask(ask="hello")
    shown.close()
    assert answer is not None
    told, buffers = answer
    assert told["reference"]["names"] == ["B"]
    assert told["reference"]["colors"] == [told["colors"][1]]
    assert [len(unpacked(data)) for data in buffers] == [2, 2, 1]


# What is left where nothing runs


class Markup(HTMLParser):
    """Collects the elements, the attributes that run or load something, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.active: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.active += [(name, value) for name, value in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = table(name, "B").assign(text=[name, "b"])
    shown = player(turns, diarnb.example("interview"), reference=turns)
    data = shown._repr_mimebundle_()
    found = Markup(data["text/html"])
    assert found.tags <= {"style", "div", "img", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert [(name, (value or "")[:22]) for name, value in found.active] == [("src", "data:image/png;base64,")]
    for text in (found.text, data["text/plain"], repr(shown)):
        assert all(c.isprintable() or c in "\n\u00a0" for c in text)
    answer = Ear(shown, monkeypatch).ask(ask="hello")
    shown.close()
    assert answer is not None
    names = [*answer[0]["names"], *answer[0]["reference"]["names"]]
    assert all(c.isprintable() for name in names for c in name)
    assert max(map(len, names)) <= 60


def test_a_name_is_renamed_to_what_was_typed_and_shown_safely(made: Player, ear: Ear) -> None:
    ear.ask(ask="edit", what="rename", voice=0, name="Be\u202eth")
    assert made.turns["speaker"][0] == "Be\u202eth"
    assert next(content for content, _ in ear.heard if "names" in content)["names"][0] == "Be\\u202eth"


def test_a_picture_and_a_table_stay_with_the_notebook(known: dict[str, pd.DataFrame]) -> None:
    shown = player(known["meeting"])
    data = shown._repr_mimebundle_()
    shown.close()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert f"[{len(known['meeting'])} turns, the first 10 shown]" in data["text/plain"]
    assert data["text/html"].count("<tr") == 11
    assert len(json.dumps(data)) < 150_000


def test_a_long_table_leaves_no_more_than_a_short_one() -> None:
    rng = np.random.default_rng(1)
    starts = np.sort(rng.uniform(0, 14_000, 5000))
    turns = pd.DataFrame({"start": starts, "end": starts + 2.0, "speaker": rng.choice(list("ABCDEFGH"), 5000)})
    shown = player(turns, diarnb.example("interview"))
    data = shown._repr_mimebundle_()
    shown.close()
    assert len(json.dumps(data)) < 150_000


def test_an_empty_table_is_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = player(table(), diarnb.example("interview"))
    answer = Ear(shown, monkeypatch).ask(ask="hello")
    data = shown._repr_mimebundle_()
    shown.close()
    assert answer is not None
    assert (answer[0]["names"], len(unpacked(answer[1][0]))) == ([], 0)
    assert "0 turns" in data["text/plain"]
