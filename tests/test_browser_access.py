"""Widgets by keyboard and for screen readers: axe-core finds nothing serious, and turns are a list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser import Lab

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

TURNS = """import diarnb, diarnb.widgets, pandas as pd
words = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"))
turns = diarnb.diarize(diarnb.example("interview"), words=words, turn_level_confidence=True, progress=False)"""
PLAYER = f"""{TURNS}
p = diarnb.player(turns, reference=diarnb.read(diarnb.example("interview").with_suffix(".rttm")))
p"""
RUN = """part => axe.run(part).then(({ passes, violations }) => [passes.length, violations
  .filter(({ impact }) => ['serious', 'critical'].includes(impact))
  .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => [id, html.slice(0, 200), failureSummary]))])"""
# What is shown, and which part of the page it is.
WIDGETS = {
    "cards": ('p = diarnb.cards(turns)\np.rename(turns["speaker"][0], turns["speaker"][1])\np', ".diarnb-panel"),
    "review": ("p = diarnb.review(turns)\np.right()\np.wrong()\np.propose()\np", ".diarnb-panel"),
    "controls": ('p = diarnb.controls(diarnb.example("call"))\np.run()\np', ".diarnb-panel"),
    "studio": ("p = diarnb.studio(turns)\np", ".diarnb-studio"),
    "show": ("p = diarnb.widgets.show(turns)\np", ".diarnb-still"),
}


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the script of axe-core, which a package for playwright carries."""
    package = pytest.importorskip("axe_playwright_python", reason="this needs `pip install axe-playwright-python`")
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def find_serious(page: Any, part: str) -> list[list[str]]:
    """Return what axe-core finds serious or critical in a part of the page: rule, element, what is wrong."""
    found: list[list[str]]
    passed, found = page.evaluate(RUN, part)
    assert passed > 5  # it has looked
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_found_in_a_player(lab: Lab, axe: str, theme: str) -> None:
    lab.theme(theme)
    notebook = lab.open([PLAYER], name="access")
    notebook.run()
    page: Any = notebook.page
    page.locator(".diarnb-player .words span").first.wait_for()
    page.evaluate(f"() => {{ {axe} }}")
    assert find_serious(page, ".diarnb-player") == []
    page.locator(".diarnb-player .turns").focus()
    page.get_by_role("button", name="Keys").click()
    page.keyboard.press("Tab")
    assert find_serious(page, ".diarnb-player") == []  # with a turn selected and the keys shown
    page.locator(".diarnb-player").get_by_role("button", name="SPEAKER_00: rename, merge, split").click()
    assert find_serious(page, ".diarnb-player") == []
    notebook.screenshot(f"access-{theme}", page.locator(".diarnb-player"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("widget", WIDGETS)
def test_nothing_serious_is_found_in_any_other_widget(lab: Lab, axe: str, widget: str, theme: str) -> None:
    lab.theme(theme)
    shown, part = WIDGETS[widget]
    notebook = lab.open([f"{TURNS}\n{shown}"], name="access", width=1600)
    notebook.run()
    page: Any = notebook.page
    page.locator(part).first.wait_for()
    page.wait_for_timeout(500)
    page.evaluate(f"() => {{ {axe} }}")
    assert find_serious(page, part) == []
    if widget == "controls":
        for name in ("upload", "address", "file"):
            page.get_by_label(name, exact=True).check()
            assert find_serious(page, part) == []
        page.get_by_role("button", name="Browse").click()
        for name in ("exactly", "between", "at"):
            page.get_by_label(name, exact=True).check()
        page.get_by_role("button", name="More for").click()
        page.get_by_label("threads").wait_for()
        assert find_serious(page, part) == []
    if widget == "studio":
        page.get_by_role("button", name="Review", exact=True).click()
        page.get_by_text("without a verdict").wait_for()
        assert find_serious(page, part) == []
    notebook.screenshot(f"access-{widget}-{theme}", page.locator(part).first)


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
