"""The words pane in a real browser: read, searched, clicked, selected and corrected; and what leaves as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import diarnb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser import Lab, Notebook

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

PLAYER = """import diarnb, pandas as pd
words = pd.read_csv(diarnb.example("meeting").with_suffix(".words.csv"))
turns = diarnb.diarize(diarnb.example("meeting"), words=words, progress=False)
p = diarnb.player(turns, reference=diarnb.read(diarnb.example("meeting").with_suffix(".rttm")))
p"""
MANY = """import diarnb, numpy as np, pandas as pd
count = 20_000
start = np.arange(count) * 0.5
said = pd.DataFrame({"start": start, "end": start + 0.4, "word": [f"word{number}" for number in range(count)]})
turns = pd.DataFrame({"start": start[::8], "end": start[::8] + 4, "speaker": ["A", "B", "C", "D"] * (count // 32)})
p = diarnb.player(turns, (np.zeros(16_000 * 60), 16_000), words=said)
p"""
WORDS = ".diarnb-player .words [data-word]"


def opened(lab: Lab, cell: str) -> Notebook:
    notebook = lab.open([cell], name="words")
    notebook.run()
    notebook.page.locator(WORDS).first.wait_for()
    return notebook


def until(notebook: Notebook, expression: str) -> None:
    notebook.page.wait_for_function(expression)


def until_python(notebook: Notebook, expression: str) -> None:
    for _ in range(100):
        if notebook.value(expression):
            return
        notebook.page.wait_for_timeout(100)
    raise AssertionError(f"{expression} did not become true; it is {notebook.value(expression)!r}")


def select(notebook: Notebook, first: str, last: str) -> None:
    """Select words with the mouse, from the first of these texts to the last."""
    notebook.page.locator(WORDS).get_by_text(first, exact=True).first.scroll_into_view_if_needed()
    box = [notebook.page.locator(WORDS).get_by_text(text, exact=True).first.bounding_box() for text in (first, last)]
    mouse = notebook.page.mouse
    mouse.move(box[0]["x"] + 2, box[0]["y"] + 8)
    mouse.down()
    mouse.move(box[1]["x"] + box[1]["width"] - 2, box[1]["y"] + 8, steps=5)
    mouse.up()


def clock(notebook: Notebook) -> str:
    return str(notebook.page.locator(".diarnb-player .time").inner_text()).split(" / ")[0]


def test_words_are_clicked_searched_selected_and_corrected(lab: Lab) -> None:
    notebook = opened(lab, PLAYER)
    page: Any = notebook.page
    pane, status = page.locator(".diarnb-player .words"), page.locator(".diarnb-player .find [role=status]")

    page.locator(WORDS).get_by_text("promised", exact=True).click()
    assert clock(notebook) != "0:00.0"
    until(notebook, "document.querySelector('.diarnb-player .now')?.textContent === 'promised'")

    pane.focus()
    page.keyboard.press("Control+f")
    page.keyboard.type("the slugs")
    until(notebook, "document.querySelectorAll('.diarnb-player .hit').length === 4")
    assert status.inner_text().endswith("of 2")
    page.keyboard.press("Enter")
    assert page.locator(".diarnb-player .spot").all_inner_texts() == ["the", "slugs,"]
    page.keyboard.press("Escape")
    until(notebook, "document.querySelectorAll('.diarnb-player .hit').length === 0")
    assert page.locator(".jp-Notebook-cell").count() == 1

    select(notebook, "Three", "garden:")
    page.get_by_label("Who speaks in this stretch").select_option("SPEAKER_03")
    until_python(notebook, "diarnb.words(p.turns).set_index('text')['speaker']['garden:'] == 'SPEAKER_03'")
    until(
        notebook,
        "[...document.querySelectorAll('.words p b')].slice(0, 3).map(node => node.textContent).join()"
        " === 'SPEAKER_00,SPEAKER_03,SPEAKER_00'",
    )
    notebook.screenshot("words-reassigned", page.locator(".diarnb-player"))

    select(notebook, "twenty", "twenty")
    page.get_by_label("Split the turn: who speaks from here on").select_option("a new speaker")
    until_python(notebook, "diarnb.words(p.turns).set_index('text')['speaker']['twenty'] == 'SPEAKER_04'")

    page.locator(WORDS).get_by_text("Fergus.", exact=True).first.dblclick()
    page.get_by_label("How it is written").fill("Ferdinand.")
    page.get_by_role("button", name="correct", exact=True).click()
    page.locator(WORDS).get_by_text("Ferdinand.", exact=True).wait_for()
    assert notebook.value("list(p.edits.drop_duplicates('edit')['what'])") == ["reassign", "reassign", "word"]
    page.locator(".diarnb-player").get_by_role("button", name="Undo").click()
    page.locator(WORDS).get_by_text("Fergus.", exact=True).first.wait_for()
    assert notebook.errors == []


def test_the_pane_is_as_high_as_it_is_dragged_and_holds_only_what_is_in_sight(lab: Lab) -> None:
    notebook = opened(lab, MANY)
    page: Any = notebook.page
    pane = page.locator(".diarnb-player .words")
    box = pane.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] + 297, steps=5)
    page.mouse.up()
    assert pane.bounding_box()["height"] == pytest.approx(box["height"] + 300, abs=5)
    until(notebook, "document.querySelectorAll('.diarnb-player .words p').length > 15")
    assert page.locator(WORDS).count() < 2000
    pane.evaluate("node => { node.scrollTop = node.scrollHeight; }")
    page.locator(WORDS).get_by_text("word19999", exact=True).wait_for()
    assert page.locator(WORDS).count() < 2000
    pane.focus()
    page.keyboard.press("Control+f")
    page.keyboard.type("word12345")
    page.locator(".diarnb-player .spot").get_by_text("word12345", exact=True).wait_for()
    inside = """() => { const [spot, box] = ['.spot', '.words'].map(name =>
        document.querySelector(`.diarnb-player ${name}`).getBoundingClientRect());
        return spot.top >= box.top && spot.bottom <= box.bottom; }"""
    page.wait_for_function(inside)
    notebook.screenshot("words-many", page.locator(".diarnb-player"))
    assert notebook.errors == []


def test_several_turns_are_selected_and_corrected_in_one_go_and_saved_as_a_file(lab: Lab, tmp_path: Path) -> None:
    notebook = opened(lab, PLAYER)
    page: Any = notebook.page
    legend = page.locator(".diarnb-player .legend")
    assert legend.inner_text().split("\n") == ["missed", "false alarm", "confusion"]
    view = page.locator(".diarnb-player .view")
    rows = notebook.value("[row for row in p.turns.reset_index()[['turn', 'start', 'end', 'speaker']].values.tolist()]")
    own = [row for row in rows if row[3] == "SPEAKER_00" and row[2] - row[1] > 2][:3]
    box = view.bounding_box()
    lane = page.locator(".diarnb-player .name").first.bounding_box()
    for number, (_, start, end, _) in enumerate(own):
        page.keyboard.down("Shift") if number else None
        page.mouse.click(box["x"] + box["width"] * (start + end) / 2 / 89.413, lane["y"] + lane["height"] / 2)
    page.keyboard.up("Shift")
    page.locator(".diarnb-player .edit").get_by_text("3 turns").wait_for()
    notebook.screenshot("several", page.locator(".diarnb-player"))
    page.get_by_label("Who speaks in these turns").select_option("SPEAKER_01")
    turns = [row[0] for row in own]
    until_python(notebook, f"list(p.turns['speaker'][{turns}]) == ['SPEAKER_01'] * 3")
    assert notebook.value("p.edits['edit'].nunique()") == 1

    with page.expect_download() as download:
        page.get_by_label("Export").select_option(".rttm")
    assert download.value.suggested_filename == "meeting.rttm"
    download.value.save_as(tmp_path / "meeting.rttm")
    saved = diarnb.read(tmp_path / "meeting.rttm")
    assert len(saved) == len(rows)
    with page.expect_download() as download:
        page.get_by_label("Export").select_option(".ctm")
    assert download.value.suggested_filename == "meeting.ctm"
    page.get_by_label("Volume").fill("0.5")
    assert notebook.errors == []
