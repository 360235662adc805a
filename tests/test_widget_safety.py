"""Names and words from outside stay text: in what panels give, in their state, in exports, and in a real browser."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pytest

from tests import hostile

if TYPE_CHECKING:
    from tests.browser import Lab

pytest_plugins = ["tests.browser"]

SHOWN = """
from diarnb.widgets.{module} import {name}
from tests import hostile
texts = hostile.TEXTS[{first}:{last}]
"""
CONTROLS = (
    "panel = controls(hostile.recording(texts[0]), engine=hostile.Talker(texts))\ndisplay(panel)\nturns = panel.run()"
)
OTHERS = "turns['text'] = (texts * 2)[:len(turns)]\ndisplay({name}(turns, audio=panel.source))"
PAGE = "() => ({hit: window.hit ?? 0, scripts: document.querySelectorAll('.jp-OutputArea script').length})"


def test_there_are_sixty_texts() -> None:
    assert len(hostile.TEXTS) == len(set(hostile.TEXTS)) == 60


def test_a_page_with_a_raw_text_is_told_from_one_without() -> None:
    harmless = hostile.structure(f"<td>{hostile.HARMLESS}</td>")
    found = [text for text in hostile.TEXTS if hostile.structure(f"<td>{text}</td>") != harmless]
    assert len(found) > 40
    assert all(hostile.structure(f"<td>{html.escape(text)}</td>") == harmless for text in hostile.TEXTS)
    assert hostile.structure(f'<a href="{hostile.HARMLESS}">') != hostile.structure('<a href="javascript:x">')


@pytest.mark.slow
def test_a_few_texts_stay_text_on_every_surface() -> None:
    pytest.importorskip("nbconvert", reason="nbconvert is not installed, which makes the static exports")
    assert hostile.raw(hostile.TEXTS[::12]) == []


@pytest.mark.slow
def test_every_text_stays_text_on_every_surface() -> None:
    pytest.importorskip("nbconvert", reason="nbconvert is not installed, which makes the static exports")
    assert hostile.raw() == []


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 20, 40])
def test_no_text_does_anything_in_a_browser(lab: Lab, first: int) -> None:
    begin = SHOWN.format(module="controls", name="controls", first=first, last=first + 20)
    others = [
        f"from diarnb.widgets.{name} import {name}\n{OTHERS.format(name=name)}"
        for name in ("player", "cards", "review")
    ]
    notebook = lab.open([begin + CONTROLS, *others], height=3000)
    dialogs: list[str] = []
    notebook.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    notebook.run()
    for number in range(4):
        notebook.output(number).locator(
            ".jp-RenderedHTMLCommon, .jupyter-widgets, .jp-OutputArea-output"
        ).first.wait_for()
        assert "Error" not in notebook.text(number)
    notebook.page.mouse.move(500, 300)
    notebook.page.keyboard.press("End")
    notebook.screenshot(f"hostile-{first}")
    assert notebook.page.evaluate(PAGE) == {"hit": 0, "scripts": 0}
    assert (dialogs, lab.strays) == ([], [])
    assert notebook.page.evaluate("document.body.innerText").count("window.hit=1") > 10  # they are there, as text
