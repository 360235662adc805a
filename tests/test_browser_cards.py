"""Speaker cards and the review in JupyterLab, in a real browser: named, merged, judged by keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser import Lab, Notebook

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

TURNS = """
import diarnb
example = diarnb.example("interview")
turns = diarnb.read(example.with_suffix(".rttm"))
turns = diarnb.rename(turns, dict(zip(dict.fromkeys(turns["speaker"]), ["SPEAKER_00", "SPEAKER_01"])))
from diarnb.widgets.{kind} import {kind}
panel = {kind}(turns, example, fresh=True)
panel
"""


def until(notebook: Notebook, expression: str, timeout: float = 120.0) -> None:
    """Wait until an expression of the kernel is true."""
    for _ in range(round(timeout / 0.1)):
        if notebook.value(f"bool({expression})"):
            return
        notebook.page.wait_for_timeout(100)
    pytest.fail(f"never true: {expression}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_speakers_are_named_and_merged(lab: Lab, theme: str) -> None:
    lab.theme(theme)
    notebook = lab.open([TURNS.format(kind="cards")], name="cards")
    notebook.run()
    names = notebook.output(0).get_by_label("Name")
    names.first.wait_for()
    assert names.count() == 2
    play = notebook.output(0).get_by_role("button", name="Play")
    play.first.click()
    notebook.output(0).get_by_role("button", name="Stop").first.wait_for()  # sound has come, and is played
    for place in (0, 1):
        names.nth(place).fill("<b>Beth</b>")
        names.nth(place).press("Enter")
    merge = notebook.output(0).get_by_role("button", name="Merge them")
    merge.wait_for()
    notebook.screenshot(f"cards_{theme}", notebook.output(0))
    merge.click()
    until(notebook, "len(panel.corrections.labels) == 1")
    notebook.output(0).get_by_role("button", name="Undo").click()
    until(notebook, "list(panel.corrections.labels.values()) == ['<b>Beth</b>'] * 2")
    assert notebook.output(0).locator("b").count() == 0
    notebook.run()
    assert notebook.value("panel.edits.empty")
    assert not notebook.errors
    assert not lab.strays


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_verdicts_are_given_by_keys(lab: Lab, theme: str) -> None:
    lab.theme(theme)
    notebook = lab.open([TURNS.format(kind="review"), "cells = 2"], name="review")
    notebook.run()
    panel = notebook.output(0).locator(".diarnb-panel[tabindex]")
    panel.wait_for()
    notebook.screenshot(f"review_{theme}", notebook.output(0))
    panel.focus()
    for key in ("y", "n", "0", "s"):
        before = notebook.value("[len(panel.edits), panel.turn]")
        notebook.page.keyboard.press(key)
        until(notebook, f"[len(panel.edits), panel.turn] != {before}")
    assert notebook.value("panel.edits['what'].tolist()") == ["confirm", "reject", "reassign"]
    assert notebook.value("len(panel.corrections.labels)") == 3
    notebook.page.keyboard.press("u")
    until(notebook, "len(panel.corrections.labels) == 2")
    notebook.page.keyboard.press("d")  # twice, in a notebook, deletes the cell
    notebook.page.keyboard.press("d")
    notebook.page.keyboard.press("p")
    notebook.output(0).get_by_role("button", name="Stop").first.wait_for()
    assert notebook.cell(1).count() == 1
    assert not notebook.errors
    assert not lab.strays
