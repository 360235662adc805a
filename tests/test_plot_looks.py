"""How figures look: contrasts, hatches, equal rows, the room they are given, and words in their place."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

import diarnb
from diarnb import analysis
from diarnb.metrics import count_evidence
from diarnb.plot import count_plot, timeline
from diarnb.plot.styles import Style, measure_contrast
from diarnb.tables.colors import PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

pytestmark = pytest.mark.filterwarnings("error")

DARK = {"figure.facecolor": "#111111", "axes.facecolor": "#111111", "text.color": "#e6e8eb"}
MEETING = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))
PLOTS: dict[str, Callable[..., Axes]] = {
    "timeline": lambda ax=None: timeline(MEETING, ax=ax),
    "reference": lambda ax=None: timeline(MEETING, reference=MEETING, ax=ax),
    "profile": lambda ax=None: analysis.profile_plot(analysis.per_minute(MEETING, step=15), ax=ax),
    "turn_taking": lambda ax=None: analysis.turn_taking_plot(analysis.turn_taking(MEETING), ax=ax),
    "responses": lambda ax=None: analysis.responses_plot(analysis.responses(MEETING), ax=ax),
}


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def talk(speakers: int, length: float = 100.0, **columns: Any) -> pd.DataFrame:
    """Each speaks once, one after the other."""
    each = length / speakers
    start = np.arange(speakers) * each
    names = [f"SPEAKER_{number:02d}" for number in range(speakers)]
    return pd.DataFrame({"start": start, "end": start + 0.9 * each, "speaker": names}).assign(**columns)


def pixels(ax: Axes) -> np.ndarray:
    drawn = io.BytesIO()
    ax.figure.savefig(drawn, format="png", dpi=100)
    return np.asarray(Image.open(drawn).convert("RGB"))[::-1] / 255  # from below, as matplotlib counts


@pytest.mark.parametrize("style", [{}, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("confidence", [None, 0.0])
def test_every_bar_or_its_outline_stands_out_from_its_lane(style: dict[str, str], confidence: float | None) -> None:
    with mpl.rc_context(style):
        turns = talk(8) if confidence is None else talk(8, confidence=confidence)
        ax = timeline(turns)
        picture, lane = pixels(ax), Style.of(ax).lane
    for place, row in enumerate(turns.itertuples()):
        left, y = ax.transData.transform((row.start, place + 0.5))
        right, _ = ax.transData.transform((row.end, place + 0.5))
        line = picture[round(y), round(left) - 2 : round(right) + 3]
        # The first pixels of the bar, from the lane on: its edge, or where that is dark enough, its own colour.
        assert measure_contrast(line[:5], lane).max() >= 3, row.speaker
        assert measure_contrast(line[-5:], lane).max() >= 3, row.speaker


def test_an_outline_makes_a_bar_neither_longer_nor_higher() -> None:
    ax = timeline(talk(2))
    ax.figure.canvas.draw()
    bar, edge = [part for part in ax.collections if part.get_zorder() >= 2][1:3]
    assert to_hex(bar.get_facecolor()[0]).upper() == PALETTE[1]
    whole, inner = (part.get_paths()[0].get_extents(ax.transData) for part in (bar, edge))
    width = edge.get_linewidths()[0] * ax.figure.dpi / 72 / 2
    assert (inner.x0 - width, inner.x1 + width) == pytest.approx((whole.x0, whole.x1), abs=0.6)
    assert (inner.y0 - width, inner.y1 + width) == pytest.approx((whole.y0, whole.y1), abs=0.6)


@pytest.mark.parametrize("style", [{}, DARK], ids=["light", "dark"])
def test_the_digits_of_a_square_can_be_read_on_whatever_they_stand(style: dict[str, str]) -> None:
    matrix = pd.DataFrame(np.arange(121.0).reshape(11, 11))
    matrix.index.name, matrix.columns.name = "after", "speaker"
    with mpl.rc_context(style):
        ax = analysis.turn_taking_plot(matrix)
    inks = {text.get_position(): text.get_color() for text in ax.texts}
    squares = [patch for patch in ax.patches if patch.get_width() < 1]
    assert len(squares) == len(inks) == 110
    for square in squares:
        column, row = square.get_x() + 0.48, square.get_y() + 0.46
        ink = next(ink for (x, y), ink in inks.items() if (x, y) == pytest.approx((column, row)))
        assert measure_contrast(to_rgb(ink), to_rgb(square.get_facecolor())) >= 4.5


def test_from_the_ninth_speaker_on_there_is_a_hatch_in_every_plot() -> None:
    turns = talk(11)
    lanes = [part for part in timeline(turns).collections if part.get_hatch()]
    assert len(lanes) == 3
    ax = analysis.profile_plot(analysis.per_minute(turns, step=50))
    legend = ax.get_legend()
    assert legend is not None
    hatched = {
        text.get_text(): patch.get_hatch() for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    assert [name for name, hatch in hatched.items() if hatch] == ["SPEAKER_10", "SPEAKER_09", "SPEAKER_08"]
    assert {hatch for hatch in hatched.values() if hatch} == {part.get_hatch() for part in lanes}
    assert any(bar.get_hatch() for bar in ax.patches)


@pytest.mark.parametrize(("length", "rows"), [(7253.0, 4), (2.9 * 3600, 3), (14453.0, 4)])
def test_rows_are_equal_and_none_is_there_for_the_last_seconds(length: float, rows: int) -> None:
    turns = talk(12)
    turns.attrs["diarnb"] = {"duration": length}
    ax = timeline(turns)
    assert len([label for label in ax.get_yticklabels() if label.get_text() == "SPEAKER_00"]) == rows
    lanes = [path.get_extents().width for path in ax.collections[0].get_paths()]
    assert lanes == pytest.approx([length / rows] * rows)


def test_the_lanes_of_a_reference_stand_as_those_of_their_partners_with_the_errors_below() -> None:
    turns = talk(4)
    truth = turns.assign(speaker=["Dan", "Abe", "Cyd", "Bo"], start=turns["start"] + 1)
    truth = pd.concat([truth, pd.DataFrame({"start": [100.0], "end": [104.0], "speaker": ["Ann"]})])
    truth.loc[2, "speaker"] = "Abe"  # confused for 21.5 s
    ax = timeline(turns, reference=truth)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[5:] == ["reference", "Dan", "Abe", "Bo", "Ann", "errors", "missed", "false alarm", "confusion"]
    amounts = [text.get_text() for text in ax.texts if text.get_text().endswith(" s")]
    assert amounts == ["4.0 s", "4.0 s", "21.5 s"]
    (missed,) = [part for part in ax.collections if part.get_label() == "missed"]
    assert [tuple(path.get_extents().intervalx) for path in missed.get_paths()] == [(100.0, 104.0)]


@pytest.mark.parametrize("name", PLOTS)
def test_nothing_is_cut_off_on_small_axes(name: str) -> None:
    figure = Figure(figsize=(3, 3))
    ax = PLOTS[name](figure.add_subplot())
    figure.canvas.draw()
    box = ax.get_tightbbox()
    assert box is not None
    assert box.x0 >= -0.5
    assert box.y0 >= -0.5
    assert box.x1 <= figure.bbox.x1 + 0.5
    assert box.y1 <= figure.bbox.y1 + 0.5


def test_four_plots_in_a_small_figure_leave_each_other_alone() -> None:
    figure = Figure(figsize=(7, 6))
    axes = figure.subplots(2, 2).flat
    for ax, name in zip(axes, ["timeline", "profile", "turn_taking", "responses"], strict=True):
        PLOTS[name](ax)
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    for place, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[place + 1 :])


def test_axes_that_have_room_and_axes_that_share_their_times_stay_where_they_are() -> None:
    figure = Figure(figsize=(12, 6))
    roomy = figure.add_subplot()
    before = roomy.get_position().bounds
    timeline(MEETING, ax=roomy)
    figure.canvas.draw()
    assert roomy.get_position().bounds == pytest.approx(before)
    above, below = Figure(figsize=(4, 4)).subplots(2, sharex=True)
    timeline(MEETING, ax=above)
    above.figure.canvas.draw()
    assert above.get_position().intervalx == pytest.approx(below.get_position().intervalx)


def test_an_emoji_without_a_glyph_is_written_by_its_name() -> None:
    turns = pd.DataFrame({"start": [0.0, 1, 2], "end": [1.0, 2, 3], "speaker": ["Ada 👩\u200d🔬", "👍🏽", "❤️"]})
    ax = timeline(turns)
    ax.figure.canvas.draw()  # a missing glyph would be a warning
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert not any("\\" in name for name in shown)
    assert "woman" in shown[0] or "👩" in shown[0]
    assert "thumbs up" in shown[1] or "👍" in shown[1]


@pytest.mark.parametrize("name", PLOTS)
def test_a_picture_has_words_in_its_place(name: str) -> None:
    figure: Any = PLOTS[name]().figure
    assert len(figure.alt) > 20
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    assert Image.open(drawn).info["Description"] == figure.alt
    figure.savefig(own := io.BytesIO(), metadata={"Description": "mine"})
    assert Image.open(own).info["Description"] == "mine"
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda figure: print_figure(figure, "png", base64=True))
    formatter.active_types = ["image/png"]
    data, metadata = formatter.format(figure)
    assert "image/png" in data
    assert metadata["image/png"]["alt"] == figure.alt


def test_the_words_of_a_timeline_say_who_speaks_how_much() -> None:
    figure: Any = timeline(talk(2), title="talk.wav").figure
    assert figure.alt == "Timeline of talk.wav from 0:00 to 1:35: SPEAKER_00 50%, SPEAKER_01 50% of the speech."
    nobody: Any = timeline(talk(2).head(0)).figure
    assert "no speech found" in nobody.alt
    several: Any = timeline(talk(2), reference=talk(2)).figure
    assert several.alt.endswith("errors: 0.0 s missed, 0.0 s false alarm, 0.0 s confusion.")


@pytest.mark.slow
def test_the_words_of_evidence_name_what_was_chosen() -> None:
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    figure: Any = count_plot(count_evidence(turns)).figure
    assert figure.alt.endswith("Chosen: 2.")
