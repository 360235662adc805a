"""How the player looks in a browser: names, hatches, contrasts and colours, on a narrow page and on a wide one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from matplotlib.colors import to_rgb

from diarnb.plot.styles import measure_contrast
from diarnb.tables.colors import PALETTE

if TYPE_CHECKING:
    from tests.browser import Lab, Notebook

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.slow

MANY = """\
import diarnb, numpy as np, pandas as pd
start = np.arange(600) * 6.0
names = ["Maximiliane Hohensteiner", *(f"SPEAKER_{number:02d}" for number in range(1, 11))]
turns = pd.DataFrame({"start": start, "end": start + 5.9, "speaker": [names[number % 11] for number in range(600)]})
player = diarnb.player(turns, (np.zeros(3600 * 16000, np.float32), 16000))
player"""
COLORS = """([selector, height]) => { const canvas = document.querySelector(selector), brush = canvas.getContext('2d');
  const { data } = brush.getImageData(0, 0, canvas.width, height * devicePixelRatio), found = {};
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) {
    const color = '#' + [0, 1, 2].map(part => data[at + part].toString(16).padStart(2, '0')).join('');
    found[color] = (found[color] ?? 0) + 1;
  }
  return found; }"""


def show(lab: Lab, width: int, cell: str = MANY) -> Notebook:
    notebook = lab.open([cell], name="looks", width=width)
    notebook.page.evaluate("window.jupyterapp.shell.collapseLeft()")
    notebook.run()
    notebook.page.locator(".diarnb-player .name").first.wait_for()
    notebook.page.get_by_title("All in view (0)").click()
    notebook.page.wait_for_timeout(300)
    return notebook


def test_names_of_24_characters_are_whole_on_a_wide_screen_and_in_a_tooltip_on_any(lab: Lab) -> None:
    cut = (
        "[...document.querySelectorAll('.diarnb-player .who bdi')].filter(name => name.scrollWidth > name.clientWidth)"
    )
    wide = show(lab, 1600)
    assert wide.page.evaluate(f"{cut}.length") == 0
    wide.screenshot("looks-1600")
    studio = show(lab, 1600, MANY.replace("diarnb.player", "diarnb.studio"))
    assert studio.page.evaluate(f"{cut}.length") == 0
    studio.screenshot("looks-studio-1600")
    narrow = show(lab, 800)
    title = narrow.page.locator(".diarnb-player .who").first.get_attribute("title")
    assert str(title).startswith("Maximiliane Hohensteiner")


def test_the_toolbar_wraps_in_whole_groups_and_the_playhead_is_whole_at_the_start(lab: Lab) -> None:
    page = show(lab, 800).page
    rows = """[...document.querySelectorAll('.diarnb-player .tools > .bar')].map(bar =>
        new Set([...bar.children].map(part => { const box = part.getBoundingClientRect();
            return Math.round((box.top + box.bottom) / 2); })).size)"""
    assert set(page.evaluate(rows)) == {1}
    head, player = (page.locator(f".diarnb-player{part}").first.bounding_box() for part in (" .view .head", ""))
    assert head["x"] - 5 > player["x"]  # its triangle is 10 pixels wide
    assert page.evaluate("getComputedStyle(document.querySelector('.diarnb-player .view')).overflow") == "visible"


def flatten(color: str, page: float) -> tuple[float, float, float]:
    """Read a colour as CSS writes it, and lay it over a grey page."""
    red, green, blue, *alpha = (float(part) for part in re.findall(r"[\d.]+", color))
    share = alpha[0] if alpha else 1.0
    red, green, blue = (share * part + (1 - share) * page for part in (red, green, blue))
    return red / 255, green / 255, blue / 255


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["Loop turn", "Speakers"])
def test_a_pressed_button_can_be_read_under_the_mouse(lab: Lab, theme: str, name: str) -> None:
    lab.theme(theme)
    page = show(lab, 1100, MANY.replace("diarnb.player", "diarnb.studio")).page
    button = page.get_by_role("button", name=name, exact=True)
    button.click()
    button.hover()
    look = button.evaluate("node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]")
    page_itself = 255.0 if theme == "light" else 17.0
    ink, ground = (flatten(color, page_itself) for color in look)
    assert measure_contrast(ink, ground) >= 4.5


def test_an_hour_keeps_the_colours_of_who_speaks_in_overview_and_waveform(lab: Lab) -> None:
    notebook = show(lab, 1100)
    palette = {color.lower() for color in PALETTE}
    for selector, height in ((".diarnb-player .over canvas", 18), (".diarnb-player .view canvas", 64)):
        found: dict[str, int] = notebook.page.evaluate(COLORS, [selector, height])
        colorful = {color: count for color, count in found.items() if max(to_rgb(color)) - min(to_rgb(color)) > 0.1}
        own = sum(count for color, count in colorful.items() if color in palette)
        assert len(palette & set(colorful)) >= 6
        assert own > 0.6 * sum(colorful.values()), selector  # beside them edges and hatches


def test_from_the_ninth_speaker_on_a_hatch_is_in_swatch_lane_and_overview(lab: Lab) -> None:
    page = show(lab, 1600).page
    fills = page.evaluate(
        """[...document.querySelectorAll('.diarnb-player .who i')]
        .map(swatch => swatch.style.background.includes('gradient'))"""
    )
    assert fills == [False] * 8 + [True] * 3
