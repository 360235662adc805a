"""The studio in a real browser: one place to run, hear, name, review and correct, in JupyterLab and Notebook 7."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser import Lab

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

STUDIO = 'import diarnb\ns = diarnb.studio(diarnb.example("interview"))\ns'


def run(lab: Lab, frontend: str, cell: str, **size: int) -> Any:
    """Open a notebook with one cell in a front end, and run it; the page."""
    notebook = lab.open([cell], name="studio", frontend=frontend, **size)
    notebook.run()
    return notebook.page


@pytest.mark.parametrize("frontend", ["lab", "notebook 7"])
def test_one_runs_names_and_reviews_without_another_cell(lab: Lab, frontend: str) -> None:
    page = run(lab, frontend, STUDIO, width=1600)
    page.locator(".diarnb-studio").locator("button", has_text="Run").first.click()
    player, side = page.locator(".diarnb-player"), page.locator(".diarnb-side")
    player.locator(".view").wait_for()
    assert not page.locator(".diarnb-studio").locator("button", has_text="Run").first.is_visible()  # folded away
    # A name in a card is on the lanes at once, and one undo, wherever, takes it back.
    box = side.get_by_label("Name").first
    box.fill("Beth")
    box.press("Enter")
    player.locator(".name").get_by_text("Beth").wait_for()
    player.get_by_role("button", name="Undo", exact=True).click()
    page.wait_for_function("[...document.querySelectorAll('.diarnb-side input')].every(node => node.value !== 'Beth')")
    # The review asks about the turn that is selected; a key in the player answers it, and goes to the next.
    side.get_by_role("button", name="Review", exact=True).click()
    player.locator(".view").focus()
    page.keyboard.press("n")
    first = side.locator(".widget-html-content").get_by_text("?").first.inner_text()
    page.keyboard.press("d")
    page.wait_for_function("text => !document.querySelector('.diarnb-side').innerText.includes(text)", arg=first)
    player.locator(".edit").wait_for()
    assert player.locator(".edit").is_visible()
    page.keyboard.press("y")
    side.get_by_text(re.compile(r"\d+ turns without a verdict")).wait_for()
    page.wait_for_function("document.querySelector('.diarnb-player .play').ariaLabel === 'Pause'")  # it is heard
    page.wait_for_function(
        "document.querySelector('.diarnb-player .play').ariaLabel === 'Play'"
    )  # and nothing after it
    assert lab.strays == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 1600])
def test_it_fits_the_page_and_its_theme(lab: Lab, theme: str, width: int) -> None:
    lab.theme(theme)
    page = run(lab, "lab", STUDIO + "\ns.run();\ns", width=width)
    page.locator(".diarnb-player .view").wait_for()
    page.wait_for_timeout(1000)
    parts = page.evaluate(
        """() => ['.diarnb-main', '.diarnb-side'].map(name => {
          const box = document.querySelector(name).getBoundingClientRect();
          return [box.left, box.right, box.top, document.querySelector(name).scrollWidth - box.width]; })"""
    )
    (left, right, top, _), (side_left, side_right, side_top, _) = parts
    assert all(beyond <= 1 for *_, beyond in parts)
    if width == 1600:
        assert side_left >= right
        assert abs(side_top - top) < 12
    else:
        assert side_top > top
        assert abs(side_left - left) < 4
        assert abs(side_right - right) < 4
    page.locator(".diarnb-studio").screenshot(path=lab.pictures / f"studio-{theme}-{width}.png")
