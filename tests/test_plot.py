"""The timeline, asked for its data; that every variant can be rendered without a warning stands at the end."""

from __future__ import annotations

import io
import pickle
import threading
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from diarnb._text import visible
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.plot import count_plot, timeline
from diarnb.tables.colors import PALETTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

pytestmark = pytest.mark.filterwarnings("error")

ERRORS = ["errors", "missed", "false alarm", "confusion"]
HOSTILE = [
    "$spk_$",
    "Ms $mith & $on",
    "_hidden",
    "back\\slash",
    "田中　太郎",
    "مريم",
    "ev\u202egnp",
    "new\nline",
    "\x00\x1b[31m",
    "x" * 10_000,
    "<img src=x onerror=alert(1)>",
    "",
    " ",
    "👩\u200d🔬",
    "\U000f0000",
]


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def table(*rows: tuple[float, float, str], duration: float | None = None, **columns: Any) -> pd.DataFrame:
    turns = pd.DataFrame(list(rows), columns=["start", "end", "speaker"]).assign(**columns)
    if duration is not None:
        turns.attrs["diarnb"] = {"duration": duration, "source": "talk.wav"}
    return turns


def many(count: int, speakers: int, length: float) -> pd.DataFrame:
    start = np.linspace(0.0, length * 0.98, count)
    names = [f"SPEAKER_{number % speakers:02d}" for number in range(count)]
    return pd.DataFrame({"start": start, "end": start + length / count * 1.1, "speaker": names})


def bars(ax: Axes, speaker: str) -> list[PolyCollection]:
    return [collection for collection in ax.collections if collection.get_label() == speaker]


def spans(collection: PolyCollection) -> list[tuple[float, float]]:
    return [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in collection.get_paths()]


def color(ax: Axes, speaker: str) -> str:
    return to_hex(bars(ax, speaker)[0].get_facecolor()[0]).upper()


def names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def png(ax: Axes) -> bytes:
    target = io.BytesIO()
    ax.figure.savefig(target, format="png")
    return target.getvalue()


TALK = table((5, 9, "Beth"), (0, 4, "Alf"), (8, 10, "Cem"), (12, 16, "Alf"), duration=20.0)


def test_lanes_stand_in_the_order_of_first_appearance_whatever_the_order_of_the_rows() -> None:
    assert names(timeline(TALK)) == ["Alf", "Beth", "Cem", "overlap"]


def test_each_speaker_is_one_collection_at_the_seconds_of_the_table() -> None:
    ax = timeline(TALK)
    (collection,) = bars(ax, "Alf")
    assert spans(collection) == [(0, 4), (12, 16)]


def test_the_table_is_left_as_it_was() -> None:
    before = TALK.copy()
    timeline(TALK, start=3)
    pd.testing.assert_frame_equal(TALK, before)


def test_the_axis_reaches_to_the_end_of_the_recording_or_else_of_the_last_turn() -> None:
    assert timeline(TALK).get_xlim() == (0, 20)
    assert timeline(table((1, 7, "Alf"))).get_xlim() == (0, 7)
    assert timeline(table((1, 7, "Alf"), duration=float("nan"))).get_xlim() == (0, 7)


def test_where_several_speak_there_is_a_strip_of_overlap() -> None:
    (strip,) = bars(timeline(TALK), "overlap")
    assert spans(strip) == [(8, 9)]
    assert "overlap" not in names(timeline(table((0, 4, "Alf"), (4, 5, "Beth"))))


def test_a_speaker_does_not_overlap_with_himself_and_does_not_count_twice() -> None:
    ax = timeline(table((0, 3, "Alf"), (0, 3, "Alf"), (3, 4, "Beth")))
    assert names(ax) == ["Alf", "Beth"]
    assert texts(ax)[:2] == ["75%", "25%"]


def test_shares_are_of_the_speech_in_view_and_say_so() -> None:
    assert texts(timeline(TALK)) == ["57%", "29%", "14%", "share of\nspeech"]
    assert texts(timeline(TALK, start=6, end=10)) == ["0%", "60%", "40%", "share of\nspeech"]
    assert texts(timeline(table((0, 999, "Alf"), (5, 6, "Beth"))))[1] == "<1%"


def test_shares_beside_the_first_row_say_that_they_are_of_all_rows() -> None:
    assert {"57%", "share of\nspeech in\nall rows"} <= set(texts(timeline(TALK, wrap=5)))


def test_cropping_keeps_lanes_and_colours_of_the_whole_table() -> None:
    whole, part = timeline(TALK), timeline(TALK, start=7, end=9)
    assert names(part) == names(whole)
    assert part.get_xlim() == (7, 9)
    assert color(part, "Beth") == color(whole, "Beth") == PALETTE[1]
    assert spans(bars(part, "Beth")[0]) == [(7, 9)]
    assert spans(bars(part, "Alf")[0]) == []


def test_colours_are_those_of_okabe_and_ito_and_a_hatch_tells_the_ninth_speaker_from_the_first() -> None:
    ax = timeline(many(40, 10, 100))
    assert [color(ax, f"SPEAKER_{number:02d}") for number in range(10)] == [*PALETTE, *PALETTE[:2]]
    assert sum(bool(collection.get_hatch()) for collection in ax.collections) == 2


def test_colours_can_be_chosen_by_name() -> None:
    ax = timeline(TALK, colors={"Beth": "#123456", "Nobody": "red"})
    assert color(ax, "Beth") == "#123456"
    assert color(ax, "Alf") == PALETTE[0]


def test_a_reference_speaker_of_the_same_name_has_the_same_colour() -> None:
    ax = timeline(TALK, reference=table((5, 9, "Beth"), (0, 5, "Dora")))
    assert names(ax) == ["hypothesis", "Alf", "Beth", "Cem", "overlap", "reference", "Dora", "Beth", *ERRORS]
    ours, theirs = bars(ax, "Beth")
    assert to_hex(ours.get_facecolor()[0]) == to_hex(theirs.get_facecolor()[0])


def test_names_that_only_one_table_knows_are_paired_by_the_time_they_share() -> None:
    hypothesis = table((0, 4, "S0"), (5, 9, "S1"))
    ax = timeline(hypothesis, reference=table((5, 8, "Beth"), (0, 5, "Alf"), (20, 21, "Cem")))
    assert color(ax, "Alf") == color(ax, "S0")
    assert color(ax, "Beth") == color(ax, "S1")
    assert color(ax, "Cem") == PALETTE[2]


def test_confidence_fades_a_bar_but_never_to_nothing_and_the_key_says_so() -> None:
    turns = table((0, 1, "Alf"), (2, 3, "Alf"), (4, 5, "Alf"), (6, 7, "Alf"), confidence=[100, 50, 0, np.nan])
    ax = timeline(turns)
    full, half, none, unknown = bars(ax, "Alf")[0].get_facecolor()[:, 0]
    assert full == unknown < half < none < 0.9
    assert "fainter: less confident" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("length", "first", "label"),
    [
        (8, ["0:00", "0:01", "0:02"], "time (m:ss)"),
        (30, ["0:00", "0:05", "0:10"], "time (m:ss)"),
        (600, ["0:00", "1:00", "2:00"], "time (m:ss)"),
        (7200, ["0:00:00", "0:15:00", "0:30:00"], "time (h:mm:ss)"),
    ],
)
def test_ticks_are_round_on_a_clock(length: float, first: list[str], label: str) -> None:
    ax = timeline(table((0, 1, "Alf"), (1, 2, "Alf"), (2, length, "Alf")), wrap=None)
    png(ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()][:3] == first
    assert ax.get_xlabel() == label


def test_ticks_follow_a_zoom_to_tenths_of_a_second() -> None:
    ax = timeline(TALK)
    ax.set_xlim(1, 1.5)
    png(ax)
    assert "0:01.2" in [tick.get_text() for tick in ax.get_xticklabels()]


def test_three_hours_break_into_rows_of_half_an_hour() -> None:
    ax = timeline(table((1700, 1900, "Alf"), (10000, 10800, "Beth")))
    assert ax.get_xlim() == (0, 1800)
    assert names(ax) == ["Alf", "Beth"] * 6
    assert spans(bars(ax, "Alf")[0]) == [(1700, 1800), (0, 100)]
    first, second = (path.vertices[:, 1].max() for path in bars(ax, "Alf")[0].get_paths())
    assert first < second
    assert {"0:00:00", "0:30:00", "2:55:00", "3:00:00"} <= set(texts(ax))


def test_many_speakers_get_longer_rows_so_that_the_picture_stays_a_picture() -> None:
    ax = timeline(many(400, 20, 10_800))
    assert ax.get_xlim()[1] == pytest.approx(3538, abs=1)  # three rows
    assert ax.figure.get_size_inches()[1] < 15


def test_rows_can_be_chosen_and_end_where_the_recording_ends() -> None:
    ax = timeline(table((0, 25, "Alf")), wrap=10)
    assert spans(bars(ax, "Alf")[0]) == [(0, 10), (0, 10), (0, 5)]
    assert spans(bars(timeline(table((0, 590, "Alf")), wrap=None), "Alf")[0]) == [(0, 590)]


def test_a_very_short_turn_is_drawn_wider_than_it_is_and_a_long_one_is_not() -> None:
    ax = timeline(table((100, 100.3, "Alf"), (500, 900, "Alf"), (10_799, 10_800, "Beth")), wrap=None)
    (collection,) = bars(ax, "Alf")
    short, long = collection.get_linewidths()
    assert short > 0.5
    assert long == 0
    assert spans(collection)[0] == pytest.approx((100, 100.3))


def test_twenty_thousand_turns_are_rasterised_and_stay_one_collection_a_speaker() -> None:
    ax = timeline(many(20_000, 4, 10_800), title="")
    assert len(bars(ax, "SPEAKER_00")) == 1
    assert bars(ax, "SPEAKER_00")[0].get_rasterized()
    assert not bars(timeline(TALK), "Alf")[0].get_rasterized()


def test_a_table_without_turns_is_drawn_as_such() -> None:
    ax = timeline(TALK.iloc[:0])
    assert texts(ax) == ["no speech found"]
    assert ax.get_xlim() == (0, 20)
    assert ax.xaxis.get_visible()
    nothing_known = timeline(pd.DataFrame({"start": [], "end": [], "speaker": []}))
    assert not nothing_known.xaxis.get_visible()


def test_an_empty_hypothesis_stands_above_its_reference() -> None:
    ax = timeline(TALK.iloc[:0], reference=TALK)
    assert names(ax) == ["hypothesis", "reference", "Alf", "Beth", "Cem", "overlap", *ERRORS]
    assert "no speech found" in texts(ax)


def test_the_name_of_the_recording_is_the_title_unless_another_is_given() -> None:
    assert timeline(TALK).get_title(loc="left") == "talk.wav"
    assert timeline(TALK, title="Monday").get_title(loc="left") == "Monday"
    assert timeline(TALK, title="").get_title(loc="left") == ""


@pytest.mark.parametrize("name", filter(str.strip, HOSTILE))
def test_every_name_is_shown_literally_and_can_be_drawn(name: str) -> None:
    ax = timeline(table((0, 1, name), (1, 2, "Beth")), title=name or None)
    label = ax.get_yticklabels()[0]
    assert label.get_text().strip()
    assert not label.get_parse_math()
    assert not label.get_usetex()
    assert len(label.get_text()) < 100
    png(ax)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("_hidden", "_hidden"),
        ("$x$", "$x$"),
        ("a\nb", "a\\nb"),
        ("ev\u202egnp", "ev\\u202egnp"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
        ("", '""'),
        ("太　郎", "太　郎"),
        ("x" * 10_000 + "1", "x" * 15 + "…" + "x" * 7 + "1"),
        (7, "7"),
    ],
)
def test_hidden_characters_are_written_out_and_long_names_lose_their_middle(name: object, shown: str) -> None:
    assert visible(name) == shown


def test_a_character_without_a_glyph_in_any_font_is_written_out() -> None:
    assert names(timeline(table((0, 1, "A\u1f7e"), (1, 2, "\U0001e900")))) == ["A\\u1f7e", "\\U0001e900"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 5, "end": 5}, "start=5 must lie before end=5"),
        ({"start": 30}, "start=30 lies beyond the end, 20.0 s"),
        ({"end": float("nan")}, "end=nan is not a time"),
        ({"start": "0:10"}, "start='0:10' is not a time"),
        ({"start": True}, "start=True is not a time"),
        ({"wrap": 0}, "wrap=0 is not"),
        ({"wrap": "lines"}, "wrap='lines' is not"),
        ({"wrap": 0.001}, "at most 500 rows"),
        ({"colors": {"Alf": "no colour"}}, "not a colour that matplotlib knows"),
        ({"colors": ["red"]}, "colors is no mapping"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_figure_is_made(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParameterError, match=words):
        timeline(TALK, **options)
    assert plt.get_fignums() == []


def test_several_recordings_in_one_table_are_refused_with_the_way_to_pick_one() -> None:
    with pytest.raises(TurnTableError, match=r"holds 2 recordings.*turns\[turns.uri == 'a'\]"):
        timeline(table((0, 1, "Alf"), (0, 1, "Beth"), uri=["a", "b"]))
    with pytest.raises(TurnTableError, match="reference"):
        timeline(TALK, reference=pd.DataFrame({"start": [1.0]}))


def test_on_a_given_axes_nothing_else_changes() -> None:
    figure, (above, below) = plt.subplots(2, figsize=(6, 4))
    before = dict(mpl.rcParams)
    limits, position = above.get_ylim(), below.get_position().bounds
    assert timeline(TALK, ax=below) is below
    assert dict(mpl.rcParams) == before
    assert figure.axes == [above, below]
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert above.get_ylim() == limits
    assert below.get_position().bounds == position


def test_a_given_axes_is_not_wrapped_unless_asked() -> None:
    long = table((0, 1, "Alf"), (1, 2, "Alf"), (2, 10_800, "Alf"))
    assert timeline(long, ax=Figure().add_subplot()).get_xlim() == (0, 10_800)
    assert timeline(long, ax=Figure().add_subplot(), wrap=3600).get_xlim() == (0, 3600)


def test_a_plain_figure_can_be_drawn_in_a_thread_without_pyplot() -> None:
    pictures: list[bytes] = []
    thread = threading.Thread(target=lambda: pictures.append(png(timeline(TALK, ax=Figure().add_subplot()))))
    thread.start()
    thread.join()
    assert pictures[0].startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_text_takes_the_colour_of_the_style() -> None:
    with plt.style.context("dark_background"):
        ax = timeline(TALK)
        assert to_hex(ax.get_yticklabels()[0].get_color()) == "#ffffff"
        red, *_ = ax.texts[0].get_color()
        assert red > 0.5


def test_the_picture_survives_pickling() -> None:
    copied = pickle.loads(pickle.dumps(timeline(TALK).figure)).axes[0]
    assert names(copied) == ["Alf", "Beth", "Cem", "overlap"]


def drawn_inside(ax: Axes) -> bool:
    ax.figure.canvas.draw()
    box, page = ax.get_tightbbox(), ax.figure.bbox
    assert box is not None
    return bool(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1)


@pytest.mark.parametrize("speakers", [1, 2, 4, 9, 20])
@pytest.mark.parametrize("length", [30, 600, 10_800])
def test_nothing_is_clipped_at_any_size(length: float, speakers: int) -> None:
    assert drawn_inside(timeline(many(60, speakers, length), title="talk.wav"))


@pytest.mark.parametrize("style", ["default", "dark_background", "ggplot"])
@pytest.mark.parametrize("options", [{"reference": TALK}, {"start": 2, "end": 9}, {"wrap": 5}], ids=str)
def test_every_variant_renders_without_a_warning(style: str, options: dict[str, Any]) -> None:
    with plt.style.context(style):
        assert png(timeline(TALK.assign(confidence=60.0), **options)).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_vector_formats_can_be_written(kind: str) -> None:
    timeline(many(200, 12, 100)).figure.savefig(io.BytesIO(), format=kind)


def test_a_transparent_subfigure_will_do() -> None:
    figure = Figure(facecolor="none")
    timeline(TALK, ax=figure.subfigures().add_subplot(facecolor="none"))
    figure.savefig(io.BytesIO(), format="png")


# -- what speaks for a number of speakers ------------------------------------------------------------------------------


def weighed(count: int, found: int, name: str = "SPEAKER_{:02d}", **columns: Any) -> pd.DataFrame:
    k = np.arange(1, count + 1)
    score = np.where(k <= found, 1 + 1 / k, 1.2)
    evidence = pd.DataFrame({"k": k, "score": score, "kept": np.minimum(k, found), "smallest": 60.0 / k})
    evidence.loc[0, "score"] = np.nan
    other = [name.format(min(each, found) - 1) for each in k]
    return evidence.assign(speaker=name.format(0), other=other, chosen=k == found, **columns)


def beside(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_each_number_of_speakers_has_a_bar_and_what_is_known_of_it() -> None:
    ax = count_plot(weighed(5, 3))
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0, 1.5, 4 / 3, 1.2, 1.2])
    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert [each == PALETTE[0] for each in colors] == [False, True, True, False, False]
    labels = ax.get_yticklabels()
    assert [label.get_text() for label in labels] == list("12345")
    assert [label.get_text() for label in labels if label.get_fontweight() == "bold"] == ["3"]
    assert {"SPEAKER_00 and SPEAKER_02", "SPEAKER_00, cut in two", "3 of 4", "20.0 s"} <= set(beside(ax))


def test_speakers_who_were_given_one_name_are_no_cut() -> None:
    ax = count_plot(weighed(4, 3, name="Beth"))
    assert beside(ax).count("Beth and Beth") == 2
    assert beside(ax).count("Beth, cut in two") == 1


def test_channels_are_headed() -> None:
    both = pd.concat([weighed(3, 2, channel=0), weighed(2, 1, channel=1)])
    labels = [label.get_text() for label in count_plot(both).get_yticklabels()]
    assert labels == ["channel 0", "1", "2", "3", "channel 1", "1", "2"]


def test_where_nobody_speaks_the_plot_says_so() -> None:
    assert "no speech found" in beside(count_plot(weighed(2, 1).iloc[:0]))


def test_a_table_without_evidence_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match=r"has no chosen, k, kept.*count_evidence"):
        count_plot(table((0.0, 1.0, "A")))


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("rows", [0, 1, 24])
def test_evidence_is_drawn_without_a_warning_and_stays_inside_the_picture(rows: int, style: str) -> None:
    with plt.style.context(style):
        ax = count_plot(weighed(24, 20).iloc[:rows])
        ax.figure.savefig(io.BytesIO())
        inside = ax.figure.bbox.padded(1)
        for text in ax.texts:
            box = text.get_window_extent()
            assert inside.contains(box.x0, box.y0)
            assert inside.contains(box.x1, box.y1)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_beside_the_bars(name: str) -> None:
    ax = count_plot(weighed(3, 2).assign(speaker=name))
    ax.figure.savefig(io.BytesIO())
    assert sum(" and SPEAKER_01" in text for text in beside(ax)) == 1


def test_evidence_is_drawn_where_it_is_told() -> None:
    figure = Figure(layout="constrained")
    ax = figure.add_subplot()
    assert count_plot(weighed(3, 2), ax=ax) is ax
    assert not plt.get_fignums()
