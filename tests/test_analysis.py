"""What a conversation is like, from its turns: checked against what was written, and against slow counting."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb import analysis
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError

SCRIPTS = Path(__file__).parents[1] / "tools" / "scripts"
HOSTILE = "_$\\frac{1}{2}$ <b>\u202eevil\n" + "x" * 60


def short_monologues(turns: pd.DataFrame, pause: float = 0.1) -> pd.DataFrame:
    return analysis.monologues(turns, least=3.0, pause=pause)


TABLES = [analysis.interruptions, analysis.responses, analysis.turn_taking, short_monologues, analysis.summary]


def turns(*rows: tuple[float, float, str], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"]).assign(**columns)


def exact(name: str) -> pd.DataFrame:
    return diarnb.read(diarnb.example(name).with_suffix(".rttm"))


def drawn(seed: int, count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 9000, count)
    end = start + rng.integers(0, 400, count)
    return pd.DataFrame({"start": start / 100, "end": end / 100, "speaker": rng.choice(["A", "B", "C"], count)})


@pytest.mark.parametrize("name", ["meeting", "interview", "call"])
def test_what_was_written_as_a_backchannel_is_one(name: str) -> None:
    lines = (SCRIPTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    floor = [re.match(r"(?:\[(?P<gap>[-\d.]+)\] )?(?P<name>\w+):", line) for line in lines if not line.startswith("#")]
    written = [found[1] for line in lines for found in re.finditer(r"\{(\w+): ", line)]
    found = analysis.interruptions(exact(name))
    backchannels = found[found["kind"] == "backchannel"]
    assert backchannels["speaker"].tolist() == written
    assert (found["kind"] != "attempt").all()
    # Half a second and more is written only where somebody cuts in.
    cut = [each["name"] for each in floor if each and each["gap"] and float(each["gap"]) <= -0.5]
    assert found.loc[found["kind"] == "interruption", "speaker"].tolist() == cut
    # And the floor passes from line to line, wherever the next one is somebody else's.
    order = [each["name"] for each in floor if each]
    changes = [name for before, name in pairwise(order) if name != before]
    assert analysis.responses(exact(name))["speaker"].tolist() == changes


def test_the_kinds_are_told_apart() -> None:
    table = turns((0, 10, "A"), (1, 1.4, "B"), (2, 5, "B"), (9.2, 15, "B"), (14.7, 20, "A"))
    found = analysis.interruptions(table)
    assert found["kind"].tolist() == ["backchannel", "attempt", "interruption", "early"]
    assert found["overlap"].round(6).tolist() == [0.4, 3.0, 0.8, 0.3]
    assert set(found["other"]) == {"A", "B"}
    assert analysis.interruptions(table, early=0.2)["kind"].tolist()[-1] == "interruption"
    assert analysis.interruptions(table, backchannel=3)["kind"].tolist()[1] == "backchannel"
    assert analysis.interruptions(turns((0, 5, "A"), (0, 6, "B"), (6, 7, "A"))).empty


def test_own_pauses_are_bridged() -> None:
    table = turns((0, 2, "A"), (1.9, 2.3, "B"), (2.4, 5, "A"))
    assert analysis.interruptions(table)["kind"].tolist() == ["backchannel"]
    assert analysis.responses(table).empty
    assert analysis.interruptions(table, pause=0.3)["kind"].tolist() == ["early"]
    assert analysis.responses(table, pause=0.3)["speaker"].tolist() == ["B", "A"]


@pytest.mark.parametrize("seed", range(6))
def test_the_floor_is_what_going_through_the_stretches_gives(seed: int) -> None:
    table = drawn(seed)
    found, held, passed = [], None, []
    own: dict[str, list[list[float]]] = {}
    for start, end, who in sorted(table[table["end"] > table["start"]].itertuples(index=False, name=None)):
        spans = own.setdefault(who, [])
        if spans and start <= spans[-1][1] + 0.5:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([start, end])
    for start, end, who in sorted((start, end, who) for who, spans in own.items() for start, end in spans):
        takes = held is None or end > held[1]
        if held is not None and held[0] < start < held[1]:
            shared = round(min(end, held[1]) - start, 6)
            inside = "backchannel" if round(end - start, 6) <= 1 else "attempt"
            kind = ("early" if shared < 0.5 else "interruption") if takes else inside
            found.append((start, end, kind, who, held[2], shared))
        if takes and held is not None and held[2] != who:
            passed.append((start, round(start - held[1], 6), who, held[2]))
        held = (start, end, who) if takes else held
    given = analysis.interruptions(table)
    assert list(given.round(6).itertuples(index=False, name=None)) == found
    responses = analysis.responses(table)
    assert list(responses.round(6).itertuples(index=False, name=None)) == passed
    matrix = analysis.turn_taking(table)
    assert matrix.to_numpy().sum() == len(passed)
    assert all(matrix.loc[after, who] == len(rows) for (after, who), rows in responses.groupby(["after", "speaker"]))


def test_monologues_bridge_pauses_and_what_others_put_in() -> None:
    table = turns((0, 20, "A"), (19, 19.5, "B"), (21, 45, "A"), (46, 60, "B"), (63, 80, "B"))
    found = analysis.monologues(table)
    assert found.to_dict("records") == [{"start": 0.0, "end": 45.0, "duration": 45.0, "speaker": "A"}]
    assert analysis.monologues(table, pause=3)["speaker"].tolist() == ["A", "B"]
    assert analysis.monologues(table, least=14)["duration"].tolist() == [45.0, 14.0, 17.0]


@pytest.mark.parametrize("seed", range(3))
def test_the_minutes_add_up(seed: int) -> None:
    table = drawn(seed)
    found = analysis.per_minute(table, step=7)
    people = diarnb.speakers(table).set_index("speaker")["talk_time"]
    for name in people.index:
        assert found[name].sum() == pytest.approx(people[name])
    together = diarnb.overlap(table)["duration"].sum()
    assert found["overlap"].sum() == pytest.approx(together)
    lengths = found["end"] - found["start"]
    np.testing.assert_allclose(found["speech"] + found["silence"], lengths)
    assert (found["overlap"] <= found["speech"] + 1e-9).all()
    assert found["transfers"].sum() == len(analysis.responses(table))
    assert found["end"].iloc[-1] == table["end"].max()
    (told,) = analysis.summary(table).to_dict("records")
    assert told["speech"] == pytest.approx(found["speech"].sum())
    assert told["overlap"] == pytest.approx(together)
    assert told["most_talk"] == people.index[0]
    assert told["most_share_of_talk"] == pytest.approx(people.iloc[0] / people.sum())


def test_the_length_of_the_recording_counts_where_it_is_known() -> None:
    table = turns((0, 30, "A"))
    table.attrs["diarnb"] = {"duration": 90.0}
    assert analysis.per_minute(table)["silence"].tolist() == [30.0, 30.0]
    assert analysis.summary(table)["speech_share_of_recording"].tolist() == [pytest.approx(1 / 3)]


def test_a_profile_is_of_one_recording_and_its_columns_are_told_apart() -> None:
    with pytest.raises(TurnTableError, match="2 recordings"):
        analysis.per_minute(turns((0, 1, "A"), (0, 1, "A"), uri=["x", "y"]))
    with pytest.raises(TurnTableError, match="'overlap'"):
        analysis.per_minute(turns((0, 1, "overlap")))
    for step in (0, -1, np.nan, "60", 1e-9):
        with pytest.raises(InvalidParameterError, match="step"):
            analysis.per_minute(turns((0, 1, "A")), step=step)


@pytest.mark.parametrize("verb", [*TABLES, diarnb.speakers, diarnb.overlap], ids=lambda verb: verb.__name__)
def test_each_recording_is_as_if_it_were_alone(verb: Any) -> None:
    parts = {uri: drawn(seed) for seed, uri in enumerate(["b", "a", "c"], 10)}
    whole = verb(pd.concat([part.assign(uri=uri) for uri, part in parts.items()]))
    for uri, part in parts.items():
        alone = verb(part)
        if verb is analysis.turn_taking:
            own = whole.loc[uri]
            assert own.loc[list(alone.index), list(alone.columns)].equals(alone)
        else:
            own = whole[whole["uri"] == uri].drop(columns="uri").reset_index(drop=True)
            pd.testing.assert_frame_equal(own, alone)
    order = whole.index.get_level_values("uri") if verb is analysis.turn_taking else whole["uri"]
    assert list(dict.fromkeys(order)) == ["b", "a", "c"]


@pytest.mark.parametrize("verb", [*TABLES, analysis.per_minute], ids=lambda verb: verb.__name__)
def test_tables_without_speech_are_typed(verb: Any) -> None:
    full = verb(turns((0, 5, "A"), (4, 6, "B"), (7, 40, "A")))
    for nothing in (turns(), turns((1, 1, "A"))):  # no rows; no length
        empty = verb(nothing.astype({"start": float, "end": float}))
        shared = [name for name in full.columns if name in empty.columns]
        assert empty.dtypes[shared].tolist() == full.dtypes[shared].tolist()
        assert len(empty) == {"summary": 1, "per_minute": len(nothing), "turn_taking": len(nothing)}.get(
            verb.__name__, 0
        )


@pytest.mark.parametrize("verb", [*TABLES, analysis.per_minute], ids=lambda verb: verb.__name__)
def test_the_table_that_is_given_stays_and_its_order_does_not_matter(verb: Any) -> None:
    table = drawn(5)
    shuffled = table.sample(frac=1, random_state=1)
    before = shuffled.copy()
    pd.testing.assert_frame_equal(verb(shuffled), verb(table))
    pd.testing.assert_frame_equal(shuffled, before)
    with pytest.raises(TurnTableError, match="speaker"):
        verb(table.drop(columns="speaker"))
    if verb is not analysis.summary:
        with pytest.raises(InvalidParameterError, match="pause"):
            verb(table, pause=-1)


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.filterwarnings("error")
def test_the_figures_are_drawn_with_names_as_they_are(style: str) -> None:
    table = diarnb.rename(exact("meeting"), {"Maya": HOSTILE, "Otto": "费格斯"})
    with mpl.rc_context(), plt.style.context(style):
        axes = [
            analysis.turn_taking_plot(analysis.turn_taking(table)),
            analysis.responses_plot(analysis.responses(table)),
            analysis.profile_plot(analysis.per_minute(table, step=10)),
        ]
        for ax in axes:
            ax.figure.canvas.draw()
    matrix, offsets, profile = axes
    shown = [label.get_text() for label in matrix.get_yticklabels()]
    assert shown[0].startswith("_$\\frac{1}{2}$ ")
    assert "\u202e" not in shown[0]
    assert sorted(int(text.get_text()) for text in matrix.texts) == sorted(
        analysis.turn_taking(table).to_numpy()[~np.eye(4, dtype=bool)]
    )
    assert sum(bar.get_height() for bar in offsets.patches) == len(analysis.responses(table))
    assert offsets.get_title() == "median +0.15 s  ·  27 transfers"
    legend = profile.get_legend()
    assert legend is not None
    assert legend.get_texts()[-1].get_text() == shown[0]
    colors = {mpl.colors.to_hex(patch.get_facecolor()).upper() for patch in legend.get_patches()}
    assert colors == {"#0072B2", "#E69F00", "#009E73", "#D55E00"}
    for ax in axes:
        plt.close(ax.figure)


@pytest.mark.filterwarnings("error")
def test_figures_draw_on_given_axes_and_of_nothing() -> None:
    figure, axes = plt.subplots(1, 3)
    nothing = turns().astype({"start": float, "end": float})
    assert analysis.turn_taking_plot(analysis.turn_taking(nothing), ax=axes[0]) is axes[0]
    assert analysis.responses_plot(analysis.responses(nothing), ax=axes[1]) is axes[1]
    assert analysis.profile_plot(analysis.per_minute(nothing), ax=axes[2]) is axes[2]
    figure.canvas.draw()
    plt.close(figure)
    for draw in (analysis.turn_taking_plot, analysis.responses_plot, analysis.profile_plot):
        with pytest.raises(InvalidParameterError, match="pass what"):
            draw(pd.DataFrame({"a": [1]}))


def sides(decibels: float | None) -> tuple[np.ndarray, int]:
    """The call, each side heard on the other one as loudly as that, a little late."""
    samples, rate = soundfile.read(diarnb.example("call"), dtype="float32")
    heard = samples.copy()
    if decibels is not None:
        late = round(0.004 * rate)
        heard[late:] += 10 ** (decibels / 20) * samples[:-late, ::-1]
    return np.clip(heard * 0.7, -1, 1), rate


def test_sides_of_a_call_are_known_and_their_bleed_is_measured() -> None:
    for decibels in (-20.0, -10.0):
        found = analysis.channels(sides(decibels))
        assert found["verdict"].tolist() == ["side", "side"]
        assert found["bleed"].tolist() == pytest.approx([decibels, decibels], abs=1.5)
    samples, rate = soundfile.read(diarnb.example("meeting"), dtype="float32", frames=16_000 * 20)
    twice = analysis.channels((np.column_stack([samples, samples, 0 * samples]), rate))
    assert twice["verdict"].tolist() == ["mixed", "copy", "silent"]
    room = np.column_stack([samples, 0.5 * samples + 0.4 * np.roll(samples, 80)])
    assert analysis.channels((room, rate))["verdict"].tolist()[1] == "mixed"
    silence = analysis.channels((np.zeros((8000, 2), np.float32), 8000))
    assert silence["verdict"].tolist() == ["silent", "silent"]
    assert silence["bleed"].isna().all()


@pytest.mark.parametrize("late", [0.0, 0.012, 0.05, 0.3])
@pytest.mark.parametrize("decibels", [-1.5, -6.0, -12.0, -30.0])
def test_a_copy_is_one_at_any_gain_and_lag(decibels: float, late: float) -> None:
    samples, rate = soundfile.read(diarnb.example("call"), dtype="float32")
    mono = samples.mean(axis=1)
    other = 10 ** (decibels / 20) * np.concatenate([np.zeros(round(late * rate), np.float32), mono])[: len(mono)]
    assert analysis.channels((np.column_stack([mono, other]), rate))["verdict"].tolist()[1] == "copy"


@pytest.mark.parametrize("decibels", [-1.5, -6.0, -12.0, -30.0])
def test_a_side_is_one_however_softly_it_was_recorded(decibels: float) -> None:
    samples, rate = sides(-20.0)
    softer = samples * np.array([1.0, 10 ** (decibels / 20)], np.float32)
    found = analysis.channels((softer, rate))
    assert found["verdict"].tolist() == ["side", "side"]
    assert found["speech"].tolist() == pytest.approx(analysis.channels((samples, rate))["speech"].tolist(), abs=0.5)


@pytest.mark.parametrize("late", [0.0, 0.1, 0.3])
def test_bleed_is_measured_however_late_it_comes(late: float) -> None:
    samples, rate = soundfile.read(diarnb.example("call"), dtype="float32")
    heard = samples.copy()
    shift = round(late * rate)
    heard[shift:] += 10 ** (-10 / 20) * samples[: len(samples) - shift, ::-1]
    found = analysis.channels((0.7 * heard, rate))
    assert found["verdict"].tolist() == ["side", "side"]
    assert found["bleed"].tolist() == pytest.approx([-10.0, -10.0], abs=2.0)


@pytest.mark.parametrize("decibels", [None, -30.0, -20.0, -10.0])
def test_what_is_heard_through_is_left_out(decibels: float | None) -> None:
    truth = exact("call")
    # As a diarizer hears a call with bleed: everything on both channels.
    both = pd.concat([truth.assign(channel=0), truth.assign(channel=1)], ignore_index=True)
    found = analysis.without_bleed(both, sides(decibels))
    assert set(found.columns) == set(both.columns)
    for channel in (0, 1):
        own, given = truth[truth["channel"] == channel], found[found["channel"] == channel]
        right = given[given["speaker"].isin(own["speaker"])]["duration"].sum()
        wrong = given[~given["speaker"].isin(own["speaker"])]["duration"].sum()
        assert right > 0.8 * own["duration"].sum()
        assert wrong < 0.15 * truth[truth["channel"] != channel]["duration"].sum()


def test_text_stays_with_the_longest_piece_and_mixed_channels_as_they_are() -> None:
    truth = exact("call")
    table = truth[truth["channel"] == 0].assign(text="Hello.")
    long = pd.concat([table, turns((0, 60, "Victor"), channel=0, text="All of it.")])
    found = analysis.without_bleed(long, sides(-20.0))
    pieces = found[~found["start"].isin(table["start"])]
    assert (pieces["text"] == "All of it.").sum() == 1
    assert pieces.loc[pieces["text"] != "", "duration"].max() == pieces["duration"].max()
    samples, rate = sides(None)
    with pytest.warns(DiarnbWarning, match="not a separate side"):
        same = analysis.without_bleed(truth, (np.repeat(samples.mean(axis=1, keepdims=True), 2, axis=1), rate))
    pd.testing.assert_frame_equal(same[["start", "end", "speaker"]], truth[["start", "end", "speaker"]])


def test_turns_without_channels_have_no_bleed() -> None:
    with pytest.raises(TurnTableError, match="no column channel"):
        analysis.without_bleed(turns((0, 1, "A")), sides(None))
    with pytest.raises(TurnTableError, match="0 to 1"):
        analysis.without_bleed(turns((0, 1, "A"), channel=2), sides(None))
    with pytest.raises(TurnTableError, match="several recordings"):
        analysis.without_bleed(turns((0, 1, "A"), (0, 1, "A"), channel=0, uri=["x", "y"]), sides(None))
