"""What stays of a widget is drawn for light pages and for dark ones, and inverted by nobody."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import diarnb
from diarnb.plot import timeline
from diarnb.plot.styles import measure_contrast
from diarnb.widgets.still import still

if TYPE_CHECKING:
    from tests.browser import Lab

pytest_plugins = ["tests.browser"]

MEETING = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))


def test_there_is_a_picture_for_each_kind_of_page_with_inks_that_can_be_read() -> None:
    markup = still(MEETING)["text/html"]
    assert len(markup) < 100_000
    dark, light = re.findall(r"data:image/png;base64,([\w+/=]+)", markup)
    for data, page in ((light, (1.0, 1.0, 1.0)), (dark, (17 / 255, 17 / 255, 17 / 255))):
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
        assert "Maya 44%" in picture.info["Description"]
        ground = Image.new("RGBA", picture.size, tuple(round(255 * part) for part in page))
        pixels = np.asarray(Image.alpha_composite(ground, picture).convert("RGB")) / 255
        assert pixels[0, 0] == pytest.approx(page, abs=0.005)
        names = pixels[40:-40, :60]
        assert measure_contrast(names, page).max() > 12
    assert len(re.findall('alt="Timeline of meeting[^"]*Maya 44%', markup)) == 1


def test_where_styles_are_taken_away_one_picture_is_left() -> None:
    left = re.sub(r"<style>.*?</style>", "", still(MEETING)["text/html"], flags=re.DOTALL)
    assert left.count("data:image/png") == left.count("<img") == 1


def test_a_page_of_its_own_colour_gets_inks_that_can_be_read() -> None:
    ax = timeline(MEETING, ax=Figure(facecolor="#111111").add_subplot(facecolor="#111111"))
    assert all(label.get_color() == (1.0, 1.0, 1.0) for label in ax.get_yticklabels()[:4])


@pytest.mark.slow
def test_the_result_of_controls_is_not_inverted() -> None:
    panel = diarnb.controls(diarnb.example("interview"))
    panel.run()
    markup = panel._still()["text/html"]
    panel.close()
    assert markup.count("data:image/png") == 2
    assert "filter" not in markup
    assert "invert" not in markup


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_notebook_shows_the_picture_of_its_theme(lab: Lab, theme: str) -> None:
    lab.theme(theme)
    code = "import diarnb\nfrom IPython.display import HTML\nfrom diarnb.widgets.still import still\n"
    code += 'HTML(still(diarnb.read(diarnb.example("meeting").with_suffix(".rttm")))["text/html"])'
    notebook = lab.open([code], name="still")
    notebook.run()
    picture = notebook.page.locator(".jp-OutputArea-output img")
    picture.wait_for()
    shown = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("L"))
    notebook.screenshot(f"still-{theme}", picture)
    corner = shown[3, 3]
    assert corner > 250 if theme == "light" else corner < 40
    names = shown[60:-60, :60]
    assert names.min() < 60 if theme == "light" else names.max() > 200
