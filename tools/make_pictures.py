"""Make the pictures of the README and of the gallery, each for light pages and for dark ones.

    python -m tools.make_pictures

Whenever the local engine answers differently, or a plot or a widget looks different, make them anew and look at them.
Those of the gallery are drawn by the code that stands above them in ``docs/gallery.md``. Widgets are photographed in
JupyterLab, for which Debian's ``chromium`` is needed.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

from tests.browser import Lab

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser import Notebook

DOCS = Path(__file__).parents[1] / "docs"
LARGEST = 60_000  # bytes; a page of twenty loads at once
COLORS = 160  # of a picture; more cannot be told apart in these
SITE = {"light": "#ffffff", "dark": "#14181e"}  # the colours of its pages
GITHUB = {"light": "#ffffff", "dark": "#0d1117"}
BLOCK = re.compile(r"```python\n(.*?)```\n\n```\{image\} pictures/([\w-]+)\.png", re.DOTALL)

TIMELINE = """\
import diarnb
diarnb.timeline(diarnb.diarize(diarnb.example("meeting")))"""
PLAYER = """\
import diarnb, pandas
turns = diarnb.diarize(diarnb.example("meeting"))
names = {"SPEAKER_00": "Maya", "SPEAKER_01": "Fergus", "SPEAKER_02": "Victor", "SPEAKER_03": "Otto"}
words = pandas.read_csv(diarnb.example("meeting").with_suffix(".words.csv"))
player = diarnb.player(diarnb.rename(turns, names), words=words)
player"""
README = {"timeline": TIMELINE, "player": PLAYER}


def read_gallery() -> dict[str, str]:
    """Return the code of each picture of the gallery, by its path in the documentation."""
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    return {f"pictures/{name}": code for code, name in BLOCK.findall(text)}


def name_file(name: str, theme: str) -> Path:
    return DOCS / f"{name}{'-dark' if theme == 'dark' else ''}.png"


def draw(code: str, page: str) -> bytes:
    """Run code that draws a plot, on a page of this colour."""
    ink = "#1f2328" if page == "#ffffff" else "#e6edf3"
    with mpl.rc_context({"figure.facecolor": page, "axes.facecolor": page, "text.color": ink}):
        exec(code, {})
        drawn = io.BytesIO()
        plt.gcf().savefig(drawn, format="png", dpi=110)
        plt.close("all")
    return drawn.getvalue()


def is_widget(code: str) -> bool:
    return bool(re.search(r"\.(show|player|cards|review|controls|studio)\(", code))


def photograph(lab: Lab, name: str, code: str) -> bytes:
    """Show a widget in JupyterLab, in a state that is worth a picture, and take it."""
    # Once without being looked at, so that no line of progress is in the picture.
    notebook = lab.open([f"{code}\nNone", code], width=1320 if name.endswith("studio") else 1000, height=1600)
    notebook.page.evaluate("window.jupyterapp.shell.collapseLeft()")
    notebook.run()
    shown = notebook.output(1)
    if name.endswith("controls"):
        notebook.page.locator(".diarnb-panel").last.get_by_role("button", name="Run").click()
        shown.locator(".diarnb-result img").wait_for()
    if name == "player":
        shown.locator(".diarnb-player").wait_for()
        notebook.value("player.seek(38.5)")
    notebook.page.wait_for_timeout(2000)
    taken = frame(notebook, shown)
    lab.tidy()
    return taken


def frame(notebook: Notebook, shown: Locator) -> bytes:
    """Take a picture of what is shown, without the prompt beside it."""
    part = shown.locator(".jp-OutputArea-output:visible")
    boxes = [box for box in (each.bounding_box() for each in part.all()) if box and box["height"] > 1]
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    clip: Any = {"x": left, "y": top, "width": right - left, "height": min(bottom - top, 900)}
    return bytes(notebook.page.screenshot(clip=clip))


def save(drawn: bytes, path: Path) -> None:
    """Save a picture with few colours, which makes it small."""
    picture = Image.open(io.BytesIO(drawn))
    few = picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    path.parent.mkdir(exist_ok=True)
    few.save(path, optimize=True)
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{path.name} has {size} bytes; at most {LARGEST} are wanted")
    print(f"{path.name}: {size / 1000:.0f} kB")


def main(wanted: list[str]) -> None:
    """Make all pictures, or those that are named."""
    mpl.use("agg")
    pictures = {name: code for name, code in (README | read_gallery()).items() if not wanted or name in wanted}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["DIARNB_HOME"] = str(Path(folder, "store"))  # so that an earlier answer is not drawn
        for name, code in pictures.items():
            for theme, page in () if is_widget(code) else (GITHUB if name in README else SITE).items():
                save(draw(code, page), name_file(name, theme))
        widgets = {name: code for name, code in pictures.items() if is_widget(code)}
        if widgets:
            lab = Lab(Path(folder), shutil.which("chromium") or "chromium")
            try:
                for theme in SITE:
                    for name, code in widgets.items():
                        lab.theme(theme)
                        save(photograph(lab, name, code), name_file(name, theme))
            finally:
                lab.close()


if __name__ == "__main__":
    main(sys.argv[1:])
