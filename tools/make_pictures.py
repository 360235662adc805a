"""Make the README's pictures: timeline and player of the example meeting, for a light page and for a dark one.

    python -m tools.make_pictures

Whenever the local engine answers differently, or timeline or player look different, make them anew and look at them.
The player is photographed in JupyterLab, for which Debian's ``chromium`` is needed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

import diarnb
from tests.browser import Lab

DOCS = Path(__file__).parents[1] / "docs"
LARGEST = 150_000  # bytes; a README loads at once
PICTURES = {
    "timeline.png": {"figure.facecolor": "white"},
    "timeline-dark.png": {"figure.facecolor": "#0d1117", "axes.facecolor": "#0d1117", "text.color": "#e6edf3"},
}

SHOWN = """\
import diarnb, pandas
turns = diarnb.diarize(diarnb.example("meeting"), progress=False)
names = {"SPEAKER_00": "Maya", "SPEAKER_01": "Fergus", "SPEAKER_02": "Victor", "SPEAKER_03": "Otto"}
words = pandas.read_csv(diarnb.example("meeting").with_suffix(".words.csv"))
player = diarnb.player(diarnb.rename(turns, names), words=words)
player"""


def draw(name: str, style: dict[str, str]) -> None:
    path = DOCS / name
    with mpl.rc_context(style):
        turns = diarnb.diarize(diarnb.example("meeting"), progress=False)
        axes = diarnb.timeline(turns)
        axes.figure.savefig(path, dpi=150, metadata={"Software": None})
        plt.close(axes.figure)
    weigh(path)


def photograph(lab: Lab, theme: str, name: str) -> None:
    """Show the player a while into the meeting, with the words that the example comes with."""
    lab.theme(theme)
    notebook = lab.open([SHOWN], width=1000)
    notebook.run()
    player = notebook.page.locator(".diarnb-player")
    player.wait_for()
    notebook.value("player.seek(38.5)")
    notebook.page.wait_for_timeout(1000)
    player.screenshot(path=str(DOCS / name))
    weigh(DOCS / name)


def weigh(path: Path) -> None:
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{path.name} has {size} bytes; at most {LARGEST} are wanted")
    print(f"{path.name}: {size / 1000:.0f} kB")


def main() -> None:
    mpl.use("agg")
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as store:
        os.environ["DIARNB_HOME"] = store  # so that an earlier answer is not drawn
        for name, style in PICTURES.items():
            draw(name, style)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lab = Lab(Path(folder), shutil.which("chromium") or "chromium")
        try:
            photograph(lab, "light", "player.png")
            photograph(lab, "dark", "player-dark.png")
        finally:
            lab.close()


if __name__ == "__main__":
    main()
