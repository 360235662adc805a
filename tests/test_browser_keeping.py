"""Nothing done by hand is lost: not by a key, not by a restart, not by a file that is closed and opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser import Lab, Notebook

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

TURNS = 'import diarnb\nturns = diarnb.diarize(diarnb.example("interview"), progress=False)'
WIDGETS = {
    "player": "p = diarnb.player(turns)\np",
    "cards": "p = diarnb.cards(turns)\np",
    "review": "p = diarnb.review(turns)\np",
    "controls": 'p = diarnb.controls(diarnb.example("interview"))\np',
    "studio": "p = diarnb.studio(turns)\np",
}
ROOT = ".diarnb-studio, .diarnb-player, .diarnb-panel"
KEYS = [*"abcdfjkmrsvxyz01", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "d", "d"]
FOCUSABLE = "button:not([disabled]), input, select, textarea, [tabindex]"
# Focus the next element of a widget that can have it; how many there are.
FOCUS = f"""number => {{
  const root = [...document.querySelectorAll('{ROOT}')].find(node => node.offsetParent !== null);
  const all = [root, ...root.querySelectorAll('{FOCUSABLE}')].filter(node => node.offsetParent !== null);
  all[number]?.focus();
  return all.length;
}}"""
CELLS = """() => [...document.querySelectorAll('.jp-Notebook-cell')].map(cell =>
  [cell.classList.contains('jp-CodeCell'), cell.querySelector('.cm-content')?.textContent])"""


def press_everywhere(page: Any) -> int:
    """Press every key on every element of the widget in sight that can have the focus; how many these were."""
    page.locator(ROOT).first.wait_for()
    if page.locator(".diarnb-side").count():
        page.get_by_role("button", name="Review", exact=True).click()
        page.get_by_text("without a verdict").wait_for()
    page.locator(ROOT).first.click(position={"x": 4, "y": 4})  # where nothing is
    for key in KEYS:
        page.keyboard.press(key)
    number, seen = 0, 1
    while number < seen:
        seen = page.evaluate(FOCUS, number)
        for key in KEYS:
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        number += 1
    return number


@pytest.mark.parametrize("name", WIDGETS)
def test_no_letter_does_anything_to_the_notebook_in_jupyterlab(lab: Lab, name: str) -> None:
    notebook = lab.open([TURNS, WIDGETS[name], "after = 1"], name="keys")
    notebook.run()
    page = notebook.page
    before = page.evaluate(CELLS)
    assert len(before) == 3
    page.locator(ROOT).locator("button >> visible=true").first.wait_for()
    assert press_everywhere(page) > 4
    assert page.evaluate(CELLS) == before
    assert notebook.errors == []


@pytest.mark.parametrize("name", WIDGETS)
def test_no_letter_does_anything_to_the_notebook_in_notebook_7(lab: Lab, name: str) -> None:
    notebook = lab.open([TURNS, WIDGETS[name], "after = 1"], frontend="notebook 7")
    notebook.run()
    page = notebook.page
    page.locator(ROOT).locator("button >> visible=true").first.wait_for()
    before = page.evaluate(CELLS)
    assert len(before) == 3
    assert press_everywhere(page) > 4
    assert page.evaluate(CELLS) == before


def shown(notebook: Notebook, text: str) -> None:
    notebook.page.get_by_text(text).first.wait_for()


def test_corrections_are_there_after_a_restart_and_a_widget_says_what_to_do(lab: Lab) -> None:
    notebook = lab.open([TURNS, WIDGETS["player"], "c = diarnb.cards(turns)\nc"], name="restart", height=2000)
    notebook.run()
    page = notebook.page
    page.locator(".diarnb-player").get_by_role("button", name="SPEAKER_00: rename, merge, split").click()
    page.get_by_label("Name", exact=True).first.fill("Beth")
    page.get_by_label("Name", exact=True).first.press("Enter")
    page.locator(".diarnb-player .name").get_by_text("Beth").wait_for()
    boxes = "[...document.querySelectorAll('.diarnb-card input')].some(node => node.value === 'Beth')"
    page.wait_for_function(boxes)  # in the cards as well, at once
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    shown(notebook, "The kernel was restarted. Run this cell again; your corrections are kept.")
    page.locator(".diarnb-lost").get_by_text("The kernel was restarted.").wait_for()
    notebook.idle()
    notebook.run()
    page.locator(".diarnb-player .notice").get_by_text("1 correction of today").wait_for()
    page.locator(".diarnb-player .name").get_by_text("Beth").wait_for()
    notebook.screenshot("taken-up", notebook.output(1))
    page.locator(".diarnb-player .notice").get_by_role("button", name="start afresh").click()
    page.locator(".diarnb-player .name").get_by_text("SPEAKER_00").wait_for()
    page.locator(".diarnb-player .notice").get_by_role("button", name="take over").click()
    page.locator(".diarnb-player .name").get_by_text("Beth").wait_for()
    page.locator(".diarnb-player .status").get_by_text("1 of 1 taken over.").wait_for()
    assert notebook.value("list(diarnb.edits(turns)['what'])") == ["rename"]
    assert notebook.errors == []


@pytest.mark.parametrize("name", ["player", "cards", "review"])
def test_a_saved_notebook_shows_the_picture_and_the_table_as_they_are_now(lab: Lab, name: str) -> None:
    notebook = lab.open([TURNS, WIDGETS[name]], name="saved")
    notebook.run()
    page = notebook.page
    page.locator(ROOT).first.wait_for()
    page.wait_for_function(
        "document.querySelector('[class^=diarnb-] img')?.offsetParent === null"
    )  # one of both is enough
    notebook.value("p.corrections.rename('SPEAKER_00', 'Beth')")
    page.wait_for_function("document.querySelector('[class^=diarnb-] table')?.textContent.includes('Beth')")
    saved = notebook.save()
    view, still = saved.cells[1]["outputs"]
    assert set(view["data"]) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert "Beth" in still["data"]["text/html"]
    assert "Beth" in still["data"]["text/plain"]
    assert "data:image/png" in still["data"]["text/html"]
    reopen(lab, notebook, name)


def test_a_saved_notebook_shows_the_result_of_controls_and_studio(lab: Lab) -> None:
    cells = ['p = diarnb.controls(diarnb.example("interview"))\np', "p.run();", "s = diarnb.studio(turns)\ns"]
    notebook = lab.open([TURNS, *cells], name="saved-controls")
    notebook.run()
    notebook.page.locator(".diarnb-player").wait_for()
    notebook.save()
    reopen(lab, notebook, "controls")


def reopen(lab: Lab, notebook: Notebook, name: str) -> None:
    """Open a saved notebook where its widgets are gone, and see the pictures without a word of them."""
    notebook.page.evaluate(
        "window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
    )  # else the widget lives on
    again = lab.visit(notebook.path)
    page = again.page
    for place in ("lab", "notebook 7"):
        if place != "lab":
            page.goto(f"{lab.origin}/notebooks/{notebook.path.name}")
        pictures = page.locator(".diarnb-still img")
        pictures.first.wait_for()
        said = "[...document.querySelectorAll('.jp-OutputArea-output')].map(node => node.textContent).join(' ')"
        page.wait_for_function(f"{said}.includes('model not found') && !{said}.includes('Loading widget')")
        again.screenshot(f"saved-{name}-{place}")
        assert all(picture.is_visible() for picture in pictures.all())
        assert page.locator(".diarnb-still table").first.is_visible()
        assert not any(box.is_visible() for box in page.get_by_text("model not found").all())
