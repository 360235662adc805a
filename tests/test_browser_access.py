"""The player by keyboard and for screen readers: axe-core finds nothing serious, and turns are a list."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser import Lab

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PLAYER = """import diarnb, pandas as pd
words = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"))
turns = diarnb.diarize(diarnb.example("interview"), words=words, turn_level_confidence=True, progress=False)
p = diarnb.player(turns, reference=diarnb.read(diarnb.example("interview").with_suffix(".rttm")))
p"""
RUN = """() => axe.run('.diarnb-player', { resultTypes: ['violations'] }).then(({ violations }) => violations
  .filter(({ impact }) => ['serious', 'critical'].includes(impact))
  .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => [id, html.slice(0, 200), failureSummary])))"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, wherever node finds it."""
    if shutil.which("node") is None:
        pytest.skip("there is no node, which finds axe-core: apt install nodejs, npm install axe-core")
    where = subprocess.run(
        ["node", "-p", "require.resolve('axe-core/axe.min.js')"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if where.returncode:
        pytest.skip("axe-core is not installed, which looks for what screen readers miss: npm install axe-core")
    return Path(where.stdout.strip()).read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_found(lab: Lab, axe: str, theme: str) -> None:
    lab.theme(theme)
    notebook = lab.open([PLAYER], name="access")
    notebook.run()
    page: Any = notebook.page
    page.locator(".diarnb-player .words span").first.wait_for()
    page.evaluate(f"() => {{ {axe} }}")
    assert page.evaluate("axe.run('.diarnb-player').then(({ passes }) => passes.length)") > 10  # it has looked
    assert page.evaluate(RUN) == []
    page.locator(".diarnb-player .turns").focus()
    page.get_by_role("button", name="Keys").click()
    page.keyboard.press("Tab")
    assert page.evaluate(RUN) == []  # with a turn selected and the keys shown
    page.locator(".diarnb-player").get_by_role("button", name="SPEAKER_00: rename, merge, split").click()
    assert page.evaluate(RUN) == []
    notebook.screenshot(f"access-{theme}", page.locator(".diarnb-player"))


def test_turns_are_a_list_that_keys_walk_through(lab: Lab) -> None:
    notebook = lab.open([PLAYER], name="list")
    notebook.run()
    page: Any = notebook.page
    page.locator(".diarnb-player .words span").first.wait_for()
    turns = page.get_by_role("listbox", name="Turns")
    turns.focus()
    read = "() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).textContent"
    count = notebook.value("len(p.turns)")
    said = [page.evaluate(read)]
    for key in ("ArrowDown", "End", "ArrowUp", "Home"):
        page.keyboard.press(key)
        said.append(page.evaluate(read))
    assert [text.rpartition("turn ")[2] for text in said] == [
        f"{number} of {count}" for number in (1, 2, count, count - 1, 1)
    ]
    names = notebook.value("p.turns['speaker'].tolist()")
    assert said[1].startswith(f"{names[1]}, ")
    assert turns.get_by_role("option", selected=True).get_attribute("aria-setsize") == str(count)
    page.keyboard.press("2")  # what keys do to a turn, they do from the list as well
    page.wait_for_function(f"({read})().startsWith('SPEAKER_01')")
    assert notebook.value("p.turns['speaker'].tolist()[0]") == "SPEAKER_01"
    notebook.screenshot("list", page.locator(".diarnb-player"))
    page.locator(".diarnb-player .words").focus()
    assert page.evaluate("document.activeElement.className") == "words"
    assert notebook.errors == []


def test_nothing_moves_by_itself_for_those_who_wish_for_that(lab: Lab) -> None:
    notebook = lab.open([PLAYER], name="calm")
    notebook.page.emulate_media(reduced_motion="reduce")
    notebook.run()
    notebook.page.locator(".diarnb-player .words span").first.wait_for()
    moving = """() => [...document.querySelectorAll('.diarnb-player, .diarnb-player *')].filter(node => {
        const style = getComputedStyle(node);
        return style.animationName !== 'none' || style.transitionDuration !== '0s' || style.scrollBehavior === 'smooth';
    }).length"""
    assert notebook.page.evaluate(moving) == 0
