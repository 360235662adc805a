"""Draw the README's pictures: the timeline of the example meeting, for a light page and for a dark one.

    python tools/make_pictures.py

Whenever the local engine answers differently or the timeline looks different, draw them anew and look at them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

import diarnb

DOCS = Path(__file__).parents[1] / "docs"
LARGEST = 150_000  # bytes; a README loads at once
PICTURES = {
    "timeline.png": {"figure.facecolor": "white"},
    "timeline-dark.png": {"figure.facecolor": "#0d1117", "axes.facecolor": "#0d1117", "text.color": "#e6edf3"},
}


def draw(name: str, style: dict[str, str]) -> None:
    path = DOCS / name
    with mpl.rc_context(style):
        turns = diarnb.diarize(diarnb.example("meeting"), progress=False)
        axes = diarnb.timeline(turns)
        axes.figure.savefig(path, dpi=150, metadata={"Software": None})
        plt.close(axes.figure)
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{name} has {size} bytes; at most {LARGEST} are wanted")
    print(f"{name}: {size / 1000:.0f} kB")


def main() -> None:
    mpl.use("agg")
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as store:
        os.environ["DIARNB_HOME"] = store  # so that an earlier answer is not drawn
        for name, style in PICTURES.items():
            draw(name, style)


if __name__ == "__main__":
    main()
