"""The panel in a real browser: set, run, see, decide again, stop; and what a page and a notebook keep of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import diarnb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser import Lab, Notebook

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

PANEL = (
    'import diarnb\nfrom diarnb.widgets.controls import controls\npanel = controls(diarnb.example("interview"))\npanel'
)
LONG = """
import diarnb, numpy as np, soundfile
from diarnb.widgets.controls import controls
samples, rate = soundfile.read(diarnb.example("meeting"))
panel = controls((np.tile(samples, 40), rate))
panel
"""
KINDS = "[type(widget).__name__ for widget in __import__('ipywidgets').widgets.widget._instances.values()]"
WIDGETS = "len(__import__('ipywidgets').widgets.widget._instances)"
BUSY = "panel._worker.busy"


@pytest.fixture
def opened(lab: Lab, examples_home: Path) -> Lab:
    """JupyterLab whose run store knows the examples."""
    shutil.copytree(examples_home, lab.home, dirs_exist_ok=True)
    return lab


def shown(notebook: Notebook) -> Any:
    """The outputs of the first cell."""
    return notebook.output(0)


def run_panel(notebook: Notebook) -> None:
    shown(notebook).get_by_role("button", name="Run").click()
    shown(notebook).locator("table").first.wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_parameters_are_set_and_a_run_shows_timeline_and_table(opened: Lab, lab: Lab, theme: str) -> None:
    lab.theme(theme)
    notebook = lab.open([PANEL, "panel.turns"])
    notebook.run(0)
    shown(notebook).get_by_label("exactly").check()
    slider = shown(notebook).get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    shown(notebook).get_by_text("exactly 3").wait_for()
    shown(notebook).get_by_label("turn confidence").check()
    shown(notebook).locator("code", has_text="turn_level_confidence=True").wait_for()
    notebook.screenshot(f"controls-{theme}-before", shown(notebook))
    run_panel(notebook)
    assert shown(notebook).locator("img[alt*=imeline]").bounding_box()["width"] > 300
    assert notebook.value("panel.params") == {"num_speakers": 3, "turn_level_confidence": True}
    shown(notebook).locator("table", has_text="SPEAKER_02").wait_for()
    assert "3 speakers" in shown(notebook).inner_text()
    notebook.screenshot(f"controls-{theme}-after", shown(notebook))
    notebook.run(1)
    assert "SPEAKER_02" in notebook.text(1)
    assert (notebook.errors, lab.strays) == ([], [])


def test_a_slider_decides_again_and_the_line_is_copied(opened: Lab, lab: Lab) -> None:
    notebook = lab.open([PANEL])
    notebook.run()
    run_panel(notebook)
    shown(notebook).get_by_label("exactly").check()
    slider = shown(notebook).get_by_role("slider")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    shown(notebook).get_by_text("5 speakers").wait_for()
    shown(notebook).locator("table", has_text="SPEAKER_02").wait_for()
    shown(notebook).get_by_role("button", name="Copy").click()
    shown(notebook).get_by_role("button", name="Copied").wait_for()
    assert notebook.page.evaluate("navigator.clipboard.readText()") == notebook.value("panel.code")
    assert notebook.value("panel.code").endswith("num_speakers=5)")
    assert notebook.value("panel.turns.speaker.nunique()") == 5


def test_it_is_used_by_keys_alone(opened: Lab, lab: Lab) -> None:
    notebook = lab.open([PANEL])
    notebook.run()
    notebook.page.get_by_role("radio", name="example").focus()
    names = []
    while len(names) < 30 and "Run" not in names:
        notebook.page.keyboard.press("Tab")
        label = "() => { const it = document.activeElement; return (it.labels?.[0] ?? it).textContent.trim(); }"
        names.append(notebook.page.evaluate(label))
    assert names == [
        *(
            "file",
            "upload",
            "address",
            "Example",
            "Engine",
            "Model",
            "automatic",
            "exactly",
            "between",
            "automatic",
            "at",
        ),
        *("exclusive", "confidence", "turn confidence", "Words", "More for local", "Copy", "Run"),
    ]
    notebook.page.keyboard.press("Enter")
    shown(notebook).locator("table").first.wait_for()


def test_stop_ends_the_work_while_the_kernel_stays_free(lab: Lab) -> None:
    notebook = lab.open([LONG, "print(6 * 7)"])
    notebook.run(0)
    shown(notebook).get_by_role("button", name="Run").click()
    shown(notebook).get_by_text("listening").wait_for()
    notebook.run(1)  # meanwhile
    assert notebook.text(1).strip() == "42"
    assert notebook.value(BUSY) is True
    shown(notebook).get_by_role("button", name="Stop").click()
    shown(notebook).get_by_text("Stopped").wait_for()
    assert notebook.value("(panel._worker.wait(60), panel.turns)") == [True, None]
    assert shown(notebook).get_by_role("button", name="Run").is_enabled()


def test_an_interrupt_ends_run_in_a_cell(lab: Lab) -> None:
    notebook = lab.open([LONG, "panel.run()"])
    notebook.run(0)
    notebook.run(1, wait=False)
    shown(notebook).get_by_text("listening").wait_for()
    notebook.interrupt()
    notebook.idle()
    assert "KeyboardInterrupt" in notebook.text(1)
    shown(notebook).get_by_text("Stopped").wait_for()


def test_all_cells_are_queued_at_once(opened: Lab, lab: Lab) -> None:
    notebook = lab.open([PANEL, "turns = panel.run()", "print(len(turns))", "print(panel.code)"])
    notebook.run()
    assert int(notebook.text(2)) == len(diarnb.diarize(diarnb.example("interview"), progress=False))
    assert notebook.text(3).strip() == 'turns = diarnb.diarize(diarnb.example("interview"))'
    shown(notebook).locator("table").first.wait_for()  # the result stands where the panel does


def test_a_cell_that_runs_again_leaks_nothing(opened: Lab, lab: Lab) -> None:
    notebook = lab.open([PANEL])
    notebook.run()
    run_panel(notebook)
    first, threads = notebook.value(WIDGETS), notebook.value("__import__('threading').active_count()")
    for _ in range(3):
        notebook.run(0)
        run_panel(notebook)
    notebook.value("panel._worker.wait(60)")
    assert notebook.value(WIDGETS) == first
    assert notebook.value("__import__('threading').active_count()") <= threads
    assert notebook.page.locator(".diarnb-panel").count() == 1
    notebook.value("[panel.close()]")
    notebook.page.locator(".diarnb-panel").wait_for(state="detached")
    assert notebook.value(f"[name for name in {KINDS} if not name.endswith(('Layout', 'Style'))]") == []
    assert notebook.value(f"len({KINDS})") < 30  # layouts and styles, which the next panel shares
    assert shown(notebook).locator("table").count() == 1  # the result stays


def test_an_upload_runs_and_is_not_in_the_saved_notebook(opened: Lab, lab: Lab) -> None:
    notebook = lab.open([PANEL])
    notebook.run()
    shown(notebook).get_by_label("upload").check()
    with notebook.page.expect_file_chooser() as chooser:
        shown(notebook).get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(diarnb.example("call"))
    shown(notebook).get_by_text("2 channels").wait_for()
    run_panel(notebook)
    assert notebook.value("panel.turns.attrs['diarnb']['source']") == "call.flac"
    notebook.save(widget_state=True)
    saved = notebook.path.read_text(encoding="utf-8")
    assert "application/vnd.jupyter.widget-state+json" in saved
    assert len(saved) < 200_000
    assert json.dumps("call.flac")[1:-1] in saved


def test_what_is_saved_is_readable_where_nothing_runs(opened: Lab, lab: Lab) -> None:
    notebook = lab.open([PANEL])
    notebook.run()
    run_panel(notebook)
    outputs = notebook.save().cells[0].outputs
    html = "".join(output.data.get("text/html", "") for output in outputs)
    assert "SPEAKER_01" in html
    assert "data:image/png;base64," in html
    assert any("SPEAKER_01" in output.data.get("text/plain", "") for output in outputs)


def test_an_error_is_a_sentence_in_the_panel(lab: Lab) -> None:
    notebook = lab.open(
        ['import diarnb\nfrom diarnb.widgets.controls import controls\npanel = controls("missing.wav")\npanel']
    )
    notebook.run()
    shown(notebook).get_by_role("button", name="Run").click()
    alert = shown(notebook).get_by_role("alert").last
    alert.wait_for()
    assert "missing.wav does not exist" in alert.inner_text()
    shown(notebook).get_by_label("Engine").select_option("deepgram")
    shown(notebook).get_by_text("DEEPGRAM_API_KEY").wait_for()
