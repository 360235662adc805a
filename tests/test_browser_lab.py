"""That the browser of the other tests is one: a notebook runs in it, and what it shows is what a person would see."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser import Lab

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

CLICKED = """
import ipywidgets
button, said = ipywidgets.Button(description="Count"), ipywidgets.Label("0")
button.on_click(lambda _: setattr(said, "value", str(int(said.value) + 1)))
ipywidgets.VBox([button, said])
"""


def test_cells_run_and_a_widget_answers_a_click(lab: Lab) -> None:
    notebook = lab.open(["print(6 * 7)", CLICKED])
    notebook.run(0)
    assert notebook.text(0).strip() == "42"
    notebook.run()
    notebook.page.get_by_role("button", name="Count").click()
    notebook.output(1).get_by_text("1", exact=True).wait_for()
    assert notebook.value("said.value") == "1"
    assert notebook.screenshot("lab-light", notebook.output(1)).stat().st_size > 0
    assert notebook.errors == []
    assert lab.strays == []


def test_cells_are_queued_and_interrupted(lab: Lab) -> None:
    notebook = lab.open(["import time\nprint('began')\ntime.sleep(600)", "print('never')"])
    notebook.run(wait=False)
    notebook.output(0).get_by_text("began").wait_for()
    notebook.interrupt()
    notebook.idle()
    assert "KeyboardInterrupt" in notebook.text(0)


def test_what_is_saved_holds_the_state_of_the_widgets_only_where_wished_for(lab: Lab) -> None:
    notebook = lab.open([CLICKED])
    notebook.run()
    assert "widgets" not in notebook.save().metadata
    state = notebook.save(widget_state=True).metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert "Count" in [model["state"].get("description") for model in state.values()]


def test_a_page_is_dark_where_wished_for_and_light_again_afterwards(lab: Lab) -> None:
    def is_light() -> str | None:
        return lab.open(["1"]).page.locator("body").get_attribute("data-jp-theme-light")

    lab.theme("dark")
    assert is_light() == "false"
    lab.tidy()
    assert is_light() == "true"


def test_a_cell_that_is_added_runs_and_the_kernel_restarts(lab: Lab) -> None:
    notebook = lab.open(["a = 1"])
    notebook.run()
    notebook.run(notebook.add("print(a + 1)"))
    assert notebook.text(1).strip() == "2"
    notebook.restart()
    assert notebook.value("'a' in globals()") is False


def test_the_browser_leaves_the_other_tests_their_event_loop(browser_stage: object) -> None:
    assert threading.current_thread() is threading.main_thread()
    asyncio.run(asyncio.sleep(0))


def test_the_browser_reaches_nothing_beyond_loopback(lab: Lab) -> None:
    notebook = lab.open(["1"])
    answer = notebook.page.evaluate("fetch('https://example.org/').then(() => 'there', () => 'nowhere')")
    assert answer == "nowhere"
    assert lab.strays == ["https://example.org/"]


def test_widgets_play_in_notebook_7_as_well(lab: Lab) -> None:
    cell = 'import diarnb\nturns = diarnb.diarize(diarnb.example("interview"), progress=False)\ndiarnb.player(turns)'
    notebook = lab.open([cell], frontend="notebook 7")
    notebook.run()
    page = notebook.page
    player = page.locator(".diarnb-player")
    player.locator(".play").click()
    player.get_by_text("0:01.").first.wait_for()
    assert lab.strays == []
