"""The player in JupyterLab, in a real browser: heard, corrected, run again, saved."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import diarnb
from diarnb.audio import SAMPLE_RATE, open_recording

if TYPE_CHECKING:
    from tests.browser import Lab, Notebook

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

FIRST = """
import logging, threading
import pandas as pd
import diarnb
from diarnb.widgets.player import player
from diarnb.widgets.sound import ClipButton, Sound
example = diarnb.example("meeting")
turns = diarnb.read(example.with_suffix(".rttm"))
turns = diarnb.rename(turns, dict(zip(dict.fromkeys(turns["speaker"]), ["A", "B", "C", "D"])))
"""

# Sound cannot be heard here, but what is scheduled can be read: when, from which context, which samples.
EAVESDROP = """() => {
window.scheduled = [];
window.contexts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when = this.context.currentTime) {
  window.scheduled.push({ when, at: this.context.currentTime, asked: performance.now(),
    samples: Array.from(this.buffer.getChannelData(0)) });
  return start.call(this, when);
};
const Context = window.AudioContext;
window.AudioContext = class extends Context {
  constructor(...options) { super(...options); window.contexts.push(this); }
};
}"""

ROWS = "p.turns[['start', 'end', 'speaker']].values.tolist()"


def opened(lab: Lab, *cells: str, theme: str = "light", width: int = 1100) -> Notebook:
    lab.theme(theme)
    notebook = lab.open([FIRST, *cells], width=width)
    notebook.page.evaluate(EAVESDROP)
    notebook.run(*range(len(cells) + 1))
    return notebook


def stage(notebook: Notebook, cell: int = 1) -> Any:
    found = notebook.output(cell).locator(".diarnb-player .view")
    found.wait_for()
    return found


def position(notebook: Notebook) -> float:
    return float(notebook.page.locator(".diarnb-player .view").get_attribute("aria-valuenow"))


def until(notebook: Notebook, condition: str) -> None:
    """Wait until an expression of the page is true."""
    notebook.page.wait_for_function(condition)


def button(notebook: Notebook, label: str) -> Any:
    return notebook.page.locator(".diarnb-player").get_by_role("button", name=label, exact=True)


def until_python(notebook: Notebook, expression: str) -> None:
    """Wait until an expression of the kernel is true: a message from the page is on its way."""
    for _ in range(200):
        if notebook.value(expression):
            return
        notebook.page.wait_for_timeout(50)
    pytest.fail(f"never came true: {expression}")


def test_what_is_played_is_the_recording_sample_by_sample(lab: Lab) -> None:
    notebook = opened(lab, "p = player(turns, example)\np")
    stage(notebook)
    button(notebook, "Play").click()
    until(notebook, "window.scheduled.length >= 12")
    until(notebook, "Number(document.querySelector('.diarnb-player .view').ariaValueNow) > 4.5")
    button(notebook, "Pause").click()
    pieces = notebook.page.evaluate("window.scheduled")
    seams = [b["when"] - a["when"] - len(a["samples"]) / SAMPLE_RATE for a, b in pairwise(pieces)]
    assert max(map(abs, seams)) < 1e-6  # of a sixteenth of a millisecond, which a sample lasts
    heard = np.concatenate([piece["samples"] for piece in pieces])
    with open_recording(diarnb.example("meeting")) as recording:
        true = next(recording.blocks(end=len(heard) / SAMPLE_RATE))
    assert np.abs(heard[64:] - true[64 : len(heard)]).max() < 1e-4  # but for the first 4 ms, which fade in
    stopped = position(notebook)
    assert 4.5 < stopped < 10
    assert notebook.page.evaluate("window.contexts.length") == 1
    assert notebook.errors == []
    assert lab.strays == []


def test_one_can_seek_skip_loop_and_change_the_speed(lab: Lab) -> None:
    notebook = opened(lab, "p = player(turns, example)\np")
    place = stage(notebook)
    box = place.bounding_box()
    place.click(position={"x": box["width"] / 2, "y": 20})
    assert position(notebook) == pytest.approx(89.413 / 2, abs=0.2)
    starts = sorted(start for start, _, _ in notebook.value(ROWS))
    notebook.page.keyboard.press("n")
    following = next(start for start in starts if start > 89.413 / 2)
    until(notebook, "document.querySelector('.diarnb-player .edit').hidden === false")
    until(notebook, f"Math.abs(document.querySelector('.diarnb-player .view').ariaValueNow - {following}) < 0.06")
    notebook.page.keyboard.press("Home")
    notebook.page.keyboard.press("ArrowRight")
    until(notebook, "document.querySelector('.diarnb-player .view').ariaValueNow === '2.0'")
    # Twice as fast, one speaker only: the time that passes is not the recording's.
    notebook.page.locator(".diarnb-player").get_by_label("Speed").select_option("2")
    button(notebook, "Play only D").click()
    button(notebook, "Play").click()
    first = min(start for start, _, speaker in notebook.value(ROWS) if speaker == "D")
    until(notebook, f"Number(document.querySelector('.diarnb-player .view').ariaValueNow) > {first - 0.2}")
    assert position(notebook) < first + 5
    assert "A" not in notebook.page.locator(".diarnb-player .view").get_attribute("aria-valuetext").split(", ")[1:]
    button(notebook, "Pause").click()
    # A turn in a loop begins again: time goes back.
    button(notebook, "Play only D").click()
    notebook.page.locator(".diarnb-player .view").focus()
    notebook.page.keyboard.press("Home")
    notebook.page.keyboard.press("n")
    notebook.page.keyboard.press("l")
    notebook.page.keyboard.press(" ")
    notebook.page.evaluate(
        """() => { window.back = 0; let last = 0; const node = document.querySelector('.diarnb-player .view');
            const look = () => { const now = Number(node.ariaValueNow); if (now < last) window.back++; last = now; };
            new MutationObserver(look).observe(node, { attributeFilter: ['aria-valuenow'] }); }"""
    )
    until(notebook, "window.back >= 2")
    assert notebook.errors == []


def test_one_can_rename_merge_reassign_move_delete_add_and_undo(lab: Lab) -> None:
    notebook = opened(lab, "p = player(turns, example)\np")
    place = stage(notebook)
    before = notebook.value(ROWS)
    # Rename, by keys alone.
    place.focus()
    notebook.page.keyboard.press("n")
    notebook.page.keyboard.press("Enter")
    named = notebook.page.locator(".diarnb-player .edit input")
    old = named.input_value()
    named.fill("Beth")
    notebook.page.keyboard.press("Enter")
    until(notebook, "[...document.querySelectorAll('.diarnb-player bdi')].some(node => node.textContent === 'Beth')")
    assert notebook.value(ROWS) == [[s, e, "Beth" if who == old else who] for s, e, who in before]
    # Merge, from the menu of a voice.
    button(notebook, "D: rename, merge, split").click()
    notebook.page.get_by_label("Merge into").select_option(label="Beth")
    until_python(notebook, "'D' not in set(p.turns['speaker'])")
    # Undo both by keys; the notebook's own undo must not hear of it.
    place.focus()
    notebook.page.keyboard.press("Control+z")
    until_python(notebook, "'D' in set(p.turns['speaker'])")
    button(notebook, "Undo").click()
    until_python(notebook, f"{ROWS} == {before!r}")
    button(notebook, "Redo").click()
    until_python(notebook, "'Beth' in set(p.turns['speaker'])")
    button(notebook, "Undo").click()
    # Give a turn to another, by number; delete it; take both back.
    place.focus()
    notebook.page.keyboard.press("Home")
    notebook.page.keyboard.press("n")
    turn = min((row for row in before if row[0] > 0.01), key=lambda row: row[0])
    other = "3" if turn[2] != "C" else "2"
    notebook.page.keyboard.press(other)
    until_python(notebook, "p.edits['what'].tolist()[-1] == 'reassign'")
    notebook.page.keyboard.press("Delete")
    until_python(notebook, f"len(p.turns) == {len(before) - 1}")
    notebook.page.keyboard.press("Control+z")
    notebook.page.keyboard.press("Control+z")
    until_python(notebook, f"{ROWS} == {before!r}")
    # A stretch that is drawn with the mouse becomes a turn.
    box = place.bounding_box()
    notebook.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 20, steps=4)
    notebook.page.mouse.up()
    notebook.page.get_by_label("Add a turn of").select_option(label="a new speaker")
    until_python(notebook, f"len(p.turns) == {len(before) + 1}")
    start, end, _ = next(row for row in notebook.value(ROWS) if row not in before)
    assert (start, end) == (pytest.approx(0.5 * 89.413, abs=0.2), pytest.approx(0.6 * 89.413, abs=0.2))
    # Every cell is still there: no key of ours was taken for one of the notebook's.
    assert notebook.page.locator(".jp-Notebook-cell").count() == 2
    assert notebook.errors == []


def test_hostile_names_and_words_stay_text(lab: Lab) -> None:
    bad = """<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"""
    notebook = opened(
        lab,
        f"""bad = {bad!r}
hostile = diarnb.rename(turns, {{"A": bad, "B": "Be\\u202eth"}})
words = pd.DataFrame({{"start": [0.0, 1.0], "end": [1.0, 2.0], "word": [bad, "b"]}})
p = player(hostile, example, reference=hostile, words=words)
p""",
    )
    stage(notebook)
    notebook.page.locator(".diarnb-player .words span").first.wait_for()
    shown = notebook.page.locator(".diarnb-player")
    assert shown.locator("img, script, a, iframe").count() == 0
    assert "<img src=x" in shown.locator(".words span").first.inner_text()
    assert "Be\\u202eth" in shown.inner_text()
    shown.get_by_role("button", name="C: rename, merge, split").click()
    shown.get_by_label("Name", exact=True).fill(bad)
    shown.get_by_label("Name", exact=True).press("Enter")
    until_python(notebook, "p.turns['speaker'].tolist().count(bad) > hostile['speaker'].tolist().count(bad)")
    until(notebook, "document.querySelector('.diarnb-player .edit').textContent.includes('Two speakers')")
    shown.locator(".view").hover()
    assert shown.locator("img, script, a, iframe").count() == 0
    assert notebook.page.evaluate("window.pwned === undefined")
    assert notebook.errors == []


def test_a_cell_that_is_run_again_leaks_nothing(lab: Lab) -> None:
    show = "p = player(turns, example)\np"
    notebook = opened(lab, show)
    living = (
        "[sum(type(w).__name__ == 'Player' and w.comm is not None "
        "for w in __import__('ipywidgets').widgets.widget._instances.values()), "
        "sum(t.name == 'diarnb-peaks' for t in threading.enumerate()), "
        "len(__import__('psutil').Process().open_files())]"
    )
    stage(notebook)
    until_python(notebook, f"{living}[1] == 0")
    first = notebook.value(living)
    for _ in range(3):
        button(notebook, "Play").click()
        until(notebook, "document.querySelector('.diarnb-player .play').ariaLabel === 'Pause'")
        notebook.run(1)
        stage(notebook)
    until_python(notebook, f"{living}[1] == 0")
    assert notebook.value(living) == first
    assert first[0] == 1
    until(notebook, "window.contexts.length === 3 && window.contexts.every(context => context.state === 'closed')")
    counted = notebook.page.evaluate("window.scheduled.length")
    notebook.page.wait_for_timeout(500)  # in which a timer that was left would schedule more
    assert notebook.page.evaluate("window.scheduled.length") == counted
    notebook.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    notebook.page.locator(".diarnb-player").wait_for(state="detached")
    assert notebook.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_follows_the_theme_and_fits_a_narrow_cell(lab: Lab, theme: str) -> None:
    notebook = opened(lab, "p = player(turns, example, reference=turns)\np", theme=theme, width=460)
    stage(notebook)
    shown = notebook.page.locator(".diarnb-player")
    assert shown.get_attribute("data-theme") == theme
    brightness = "node => { const [r, g, b] = getComputedStyle(node).%s.match(/\\d+/g).map(Number); return r + g + b; }"
    ink, page = (shown.evaluate(brightness % name) for name in ("color", "backgroundColor"))
    assert (ink < page) == (theme == "light")
    assert abs(ink - page) > 500
    assert shown.evaluate("node => node.clientWidth") < 400
    assert shown.evaluate("node => node.scrollWidth <= node.clientWidth")
    notebook.screenshot(f"player-narrow-{theme}", shown)
    assert notebook.errors == []


def test_the_notebook_stays_small_and_tells_nothing(lab: Lab) -> None:
    notebook = opened(lab, "p = player(turns, example)\np", "ClipButton(p._sound, 1.0, 4.0)")
    stage(notebook)
    button(notebook, "Play").click()
    until(notebook, "window.scheduled.length > 3")
    saved = notebook.save(widget_state=True)
    size = notebook.path.stat().st_size
    assert size < 500_000
    states = saved.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    player = next(state for state in states.values() if "Player" in state["state"].get("_anywidget_id", ""))
    assert set(player["state"]) <= {"_esm", "_css", "_anywidget_id", "_model_module", "_model_module_version",
        "_model_name", "_dom_classes", "_view_count", "_view_module", "_view_module_version", "_view_name", "layout",
        "tabbable", "tooltip"}  # fmt: skip
    assert "buffers" not in player
    written = json.dumps({**saved, "cells": []}) + json.dumps([cell["outputs"] for cell in saved.cells])
    assert str(diarnb.example("meeting").parent) not in written
    view, still = saved.cells[1]["outputs"]
    assert set(view["data"]) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert set(still["data"]) == {"text/plain", "text/html"}


def test_a_clip_plays_when_its_button_is_pressed_and_stops_the_player(lab: Lab) -> None:
    notebook = opened(lab, "p = player(turns, example)\np", "c = ClipButton(p._sound, 1.0, 4.0)\nc")
    stage(notebook)
    button(notebook, "Play").click()
    until(notebook, "window.scheduled.length > 3")
    clip = notebook.page.locator(".diarnb-clip")
    notebook.page.evaluate(  # three seconds may be over before a busy machine looks again
        """() => { window.labels = []; const node = document.querySelector('.diarnb-clip');
            const note = () => window.labels.push(node.ariaLabel);
            new MutationObserver(note).observe(node, { attributeFilter: ['aria-label'] }); }"""
    )
    clip.click()
    until(notebook, "window.scheduled.some(piece => piece.samples.length === 48000)")
    until(notebook, "document.querySelector('.diarnb-player .play').ariaLabel === 'Play'")
    until(notebook, "window.labels.some(label => label.startsWith('Stop')) && window.labels.at(-1).startsWith('Play')")
    notebook.page.evaluate("window.scheduled = []")
    notebook.value("c.change(2.0, 3.0) or c.play()")
    until(notebook, "window.scheduled.some(piece => piece.samples.length === 16000)")
    with open_recording(diarnb.example("meeting")) as recording:
        true = next(recording.blocks(start=2.0, end=3.0))
    heard = notebook.page.evaluate("window.scheduled.find(piece => piece.samples.length === 16000).samples")
    assert np.abs(np.array(heard) - true).max() < 1e-4
    until(notebook, "window.contexts.slice(1).every(context => context.state === 'closed')")
    assert notebook.errors == []


def test_what_python_cannot_give_is_told(lab: Lab) -> None:
    notebook = opened(
        lab,
        "import shutil; copy = shutil.copy(example, 'talk.flac')\np = player(turns, copy)\np",
        "import os; os.remove('talk.flac')",
    )
    stage(notebook)
    button(notebook, "Play").click()
    until(notebook, "document.querySelector('.diarnb-player .status').textContent.includes('talk.flac changed')")
    until(notebook, "document.querySelector('.diarnb-player .play').ariaLabel === 'Play'")
    assert notebook.errors == []
