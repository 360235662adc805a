from __future__ import annotations

import io
import json
import warnings
from contextlib import suppress
from copy import deepcopy

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diarnb
from diarnb.corrections import Corrections
from diarnb.corrections.replay import apply_edits, place
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.tables.turns import make_turns

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
HOSTILE = ["<img src=x onerror=alert(1)>", "</script>", "a\u202eb", "x" * 10_000, "=1+1", "${a}", "\n", "'\""]


def table(*rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"])


def rows(corrections: Corrections) -> list[tuple[float, float, str]]:
    turns = corrections.turns
    return list(zip(turns["start"], turns["end"], turns["speaker"], strict=True))


@pytest.fixture
def four() -> Corrections:
    return Corrections(table((0, 4, A), (3, 6, B), (6, 9, A), (9, 12, C)))


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_first_table_is_left_as_it_is_and_comes_back_with_ids() -> None:
    given = table((3, 6, B), (0, 4, A))
    given.attrs["diarnb"] = {"run": "0" * 12, "duration": 20.0}
    before, attrs = given.copy(), deepcopy(given.attrs)
    corrections = Corrections(given)
    corrections.rename(A, "Beth")
    corrections.delete(1)
    pd.testing.assert_frame_equal(given, before)
    assert given.attrs == attrs
    assert type(corrections.turns) is pd.DataFrame
    assert corrections.turns.index.name == "turn"
    assert list(corrections.turns.index) == [0]
    assert corrections.turns.attrs["diarnb"]["run"] == "0" * 12


def test_ids_stay_with_a_turn_whatever_happens_to_others(four: Corrections) -> None:
    added = four.add(1, 2, B)
    four.delete(0)
    four.move(3, start=0.5)
    assert list(four.turns.index) == [3, added, 1, 2]
    four.undo()
    four.undo()
    four.undo()
    assert four.add(1, 2, B) > added  # an id that was undone may come back by a redo of somebody's list


def test_the_other_columns_follow_their_turns() -> None:
    given = make_turns(
        [
            {"start": 0, "end": 4, "speaker": A, "confidence": 80.0, "text": "Hello there", "channel": 0},
            {"start": 5, "end": 8, "speaker": B, "confidence": 70.0, "text": "Hi", "channel": 1},
        ],
        columns=["confidence", "text", "channel"],
    )
    corrections = Corrections(given)
    corrections.reassign(slice(2, 3), B)
    corrections.add(9, 10, B)
    found = corrections.turns
    assert found.dtypes.to_dict() == given.dtypes.to_dict()
    assert found["text"].tolist() == ["Hello there", "", "", "Hi", ""]
    assert found["channel"].tolist() == [0, 0, 0, 1, 1]
    assert found["confidence"].fillna(-1).tolist() == [80, -1, 80, 70, -1]
    assert found["duration"].tolist() == [2, 1, 1, 3, 1]


def test_other_tables_of_the_run_follow_the_names(known: dict[str, pd.DataFrame]) -> None:
    corrections = Corrections(known["interview"])
    corrections.rename(A, "Beth")
    assert list(diarnb.confidences(corrections.turns)) == ["Beth", B]
    corrections.merge(B, A)
    assert set(diarnb.exclusive(corrections.turns)["speaker"]) == {"Beth"}
    corrections.undo()
    corrections.undo()
    assert "names" not in corrections.turns.attrs["diarnb"]


def test_exclusive_turns_are_made_from_what_was_corrected(known: dict[str, pd.DataFrame]) -> None:
    corrections = Corrections(known["interview"])
    corrections.confirm(0)
    assert diarnb.exclusive(corrections.turns).attrs["diarnb"]["exclusive"] == "engine"
    corrections.reassign(0, None)
    found = diarnb.exclusive(corrections.turns)
    assert found.attrs["diarnb"]["exclusive"] == "computed"
    assert found["speaker"].iloc[0] == C


def test_what_was_renamed_before_is_renamed_on(known: dict[str, pd.DataFrame]) -> None:
    corrections = Corrections(diarnb.rename(known["interview"], {A: "Beth"}))
    corrections.rename("Beth", "Bess")
    assert list(diarnb.confidences(corrections.turns)) == ["Bess", B]


def test_several_recordings_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="one recording"):
        Corrections(table((0, 1, A), (1, 2, B)).assign(uri=["a", "b"]))
    with pytest.raises(TurnTableError, match="speaker"):
        Corrections(pd.DataFrame({"start": [0], "end": [1]}))


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_are_laid_over_labels_and_may_be_swapped(four: Corrections) -> None:
    four.rename(A, B)
    four.rename(B, A)
    assert four.labels == {A: B, B: A, C: C}
    assert [speaker for *_, speaker in rows(four)] == [B, A, B, C]
    assert four.voices.tolist() == [A, B, A, C]


def test_two_voices_with_one_name_stay_two_until_they_are_merged(four: Corrections) -> None:
    four.rename(A, "Beth")
    four.rename(B, "Beth")
    assert list(four.labels.values()) == ["Beth", "Beth", C]
    with pytest.raises(InvalidParameterError, match="2 voices"):
        four.label("Beth")
    four.merge(B, into=A)
    assert four.labels == {A: "Beth", C: C}
    assert four.label("Beth") == A
    assert four.label(B) == A
    four.undo()
    assert list(four.labels) == [A, B, C]


def test_merges_follow_one_another(four: Corrections) -> None:
    four.merge(B, into=C)
    four.merge([A, C], into=A)
    assert four.labels == {A: A}
    assert set(four.voices) == {A}
    four.undo()
    assert four.labels == {A: A, C: C}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(four: Corrections, name: str) -> None:
    if name.strip():
        four.rename(A, name)
        assert four.labels[A] == name
        saved = pd.read_csv(io.StringIO(four.edits.to_csv(index=False)), keep_default_na=False)
        assert saved["to"].tolist() == [name]
    with pytest.raises(InvalidParameterError) as caught:
        four.rename("nobody" + name, "x")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["", "  ", None, 7, b"Beth"])
def test_a_name_is_text_and_not_blank(four: Corrections, name: object) -> None:
    with pytest.raises(InvalidParameterError, match="name is text"):
        four.rename(A, name)  # type: ignore[arg-type]
    assert four.edits.empty


# -- turns -------------------------------------------------------------------------------------------------------------


def test_a_turn_goes_to_another_voice_or_to_a_new_one(four: Corrections) -> None:
    four.rename(B, "Beth")
    assert four.reassign([0, 2], "Beth") == B
    assert four.reassign(3, None) == "SPEAKER_03"
    assert [speaker for *_, speaker in rows(four)] == ["Beth", "Beth", "Beth", "SPEAKER_03"]
    assert four.labels == {B: "Beth", "SPEAKER_03": "SPEAKER_03"}


def test_a_selection_cuts_turns_at_its_edges(four: Corrections) -> None:
    four.reassign(slice(3.5, 7), C, speaker=A)
    assert rows(four) == [(0, 3.5, A), (3, 6, B), (3.5, 4, C), (6, 7, C), (7, 9, A), (9, 12, C)]
    assert four.edits["edit"].nunique() == 1
    four.undo()
    assert rows(four) == [(0, 4, A), (3, 6, B), (6, 9, A), (9, 12, C)]
    four.redo()
    assert len(rows(four)) == 6
    four.reassign(slice(None, 100), B)
    assert set(four.voices) == {B}


def test_a_voice_is_split_at_a_moment(four: Corrections) -> None:
    assert four.split(A, 7.5) == "SPEAKER_03"
    assert rows(four) == [(0, 4, A), (3, 6, B), (6, 7.5, A), (7.5, 9, "SPEAKER_03"), (9, 12, C)]
    for moment in (0, 7.5, 20):
        with pytest.raises(InvalidParameterError, match="one side"):
            four.split(A, moment)
    assert four.split(A, 5) == "SPEAKER_04"


def test_boundaries_move_within_what_is_possible() -> None:
    given = table((0, 4, A), (3, 6, B))
    given.attrs["diarnb"] = {"duration": 10.0}
    corrections = Corrections(given)
    corrections.move(0, end=5)
    corrections.move(1, start=5, end=10)
    assert rows(corrections) == [(0, 5, A), (5, 10, B)]
    for times in ({"start": 5}, {"end": 0}, {"start": -1}, {"end": 10.1}, {"end": float("nan")}, {"end": True}, {}):
        with pytest.raises(InvalidParameterError):
            corrections.move(0, **times)
    with pytest.raises(InvalidParameterError):
        corrections.add(9, 11, A)


@pytest.mark.parametrize("turns", [7, -1, [0, 9], [], True, ["<b>"], [None]])
def test_there_is_no_such_turn(four: Corrections, turns: object) -> None:
    for verb in (four.delete, four.confirm, four.reject, lambda turns: four.reassign(turns, B)):
        with pytest.raises(InvalidParameterError, match="no turn"):
            verb(turns)  # type: ignore[operator]
    assert four.edits.empty
    assert len(four.turns) == 4


@pytest.mark.parametrize("selected", [slice(2, 1), slice("a", 2), slice(0, 1, 1), slice(0, float("nan"))])
def test_no_selection(four: Corrections, selected: slice) -> None:
    with pytest.raises(InvalidParameterError):
        four.reassign(selected, B)


def test_an_unknown_speaker_is_named_with_the_nearest(four: Corrections) -> None:
    four.rename(A, "Beth")
    with pytest.raises(InvalidParameterError, match="did you mean 'Beth'"):
        four.reassign(1, "Bethe")
    with pytest.raises(InvalidParameterError, match="already"):
        four.reassign(0, "Beth")
    with pytest.raises(InvalidParameterError, match="itself"):
        four.merge("Beth", A)


def test_an_empty_table_can_be_filled() -> None:
    corrections = Corrections(diarnb.tables.turns.empty_turns("confidence", "channel"))
    corrections.add(1, 2)
    assert rows(corrections) == [(1, 2, A)]
    assert corrections.turns["channel"].tolist() == [0]


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_a_person_says_who_is_right_and_who_is_not(four: Corrections) -> None:
    four.confirm(0)
    four.reject(1)
    four.reassign(3, B)
    assert four.confirmed == {0, 3}
    assert four.rejected == {1: {B}}
    four.reassign_each({3: A, 2: B}, by="local")  # what an engine says is not certain
    assert four.confirmed == {0}
    four.undo()
    assert four.confirmed == {0, 3}
    four.reject(0)
    assert four.confirmed == {3}
    four.delete([1, 3])
    assert (four.confirmed, four.rejected) == (set(), {0: {A}})


def test_the_part_of_a_turn_that_was_not_selected_is_not_certain(four: Corrections) -> None:
    four.reassign(slice(1, 2), B, speaker=A)
    [middle] = four.confirmed
    assert tuple(four.turns.loc[middle, ["start", "end", "speaker"]]) == (1, 2, B)


# -- the log -----------------------------------------------------------------------------------------------------------


def test_every_edit_is_a_row_that_stays(four: Corrections) -> None:
    four.rename(A, "Beth")
    before = four.edits
    four.undo()
    four.redo()
    four.undo()
    log = four.edits
    pd.testing.assert_frame_equal(log.head(1), before)
    assert log["what"].tolist() == ["rename", "undo", "redo", "undo"]
    assert log["of"].tolist() == [-1, 1, 1, 1]
    assert log["edit"].tolist() == [1, 2, 3, 4]
    assert set(log["by"]) == {"person"}
    assert log["at"].is_monotonic_increasing
    assert str(log["at"].dt.tz) == "UTC"


def test_a_new_edit_takes_the_way_forward_away(four: Corrections) -> None:
    assert not four.undo()
    assert not four.redo()
    four.rename(A, "Beth")
    four.undo()
    assert (four.can_undo, four.can_redo) == (False, True)
    four.rename(A, "Alf")
    assert (four.can_undo, four.can_redo) == (True, False)
    assert not four.redo()
    assert four.labels[A] == "Alf"


def test_the_log_can_be_written_as_csv_and_json(four: Corrections) -> None:
    assert four.edits.dtypes.to_dict() == Corrections(table()).edits.dtypes.to_dict()
    four.rename(A, "Beth, <b>")
    four.delete(1)
    four.undo()
    assert len(json.loads(four.edits.to_json(orient="records", date_format="iso"))) == 3
    again = pd.read_csv(io.StringIO(four.edits.to_csv(index=False)), keep_default_na=False, na_values={"start": ""})
    assert list(again) == list(four.edits)


label, moment = st.sampled_from([A, B, C, "Beth", "SPEAKER_03"]), st.integers(0, 48).map(lambda n: n / 4)
ids = st.lists(st.integers(0, 9), min_size=1, max_size=3)
action = st.one_of(
    st.tuples(st.just("rename"), label, label),
    st.tuples(st.just("merge"), label, label),
    st.tuples(st.just("split"), label, moment),
    st.tuples(st.just("reassign"), ids | st.builds(slice, moment, moment), label | st.none()),
    st.tuples(st.just("add"), moment, moment, label | st.none()),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.just("confirm"), ids),
    st.tuples(st.just("reject"), ids),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(action, max_size=12))
def test_whatever_is_done_can_be_undone_and_redone(actions: list[tuple[object, ...]]) -> None:
    corrections = Corrections(table((0, 4, A), (3, 6, B), (6, 9, A), (9, 12, C)))
    start, log = corrections.turns, corrections.edits
    for verb, *arguments in actions:
        before, length = corrections.turns, len(corrections.edits)
        try:
            getattr(corrections, str(verb))(*arguments)
        except InvalidParameterError:
            pd.testing.assert_frame_equal(corrections.turns, before)
            assert len(corrections.edits) == length
        pd.testing.assert_frame_equal(corrections.edits.head(len(log)), log)
        log = corrections.edits
        now = corrections.turns
        assert (now["start"] < now["end"]).all()
        assert now.index.is_unique
    end, names = corrections.turns, corrections.labels
    while corrections.undo():
        pass
    pd.testing.assert_frame_equal(corrections.turns, start)
    while corrections.redo():
        pass
    if not any(verb == "undo" for verb, *_ in actions):
        pd.testing.assert_frame_equal(corrections.turns, end)
        assert corrections.labels == names


# -- in another table --------------------------------------------------------------------------------------------------


def unplaced(turns: pd.DataFrame) -> list[tuple[str, int]]:
    return [(row["what"], row["turn"]) for row in turns.attrs["diarnb"].get("unplaced", [])]


def everything(corrections: Corrections) -> Corrections:
    corrections.rename(A, "Beth")
    corrections.reassign(slice(3.5, 7), C, speaker=A)
    corrections.reassign(1, None)
    corrections.merge(C, into=A)
    corrections.undo()
    corrections.move(3, start=9.5)
    corrections.delete(3)
    corrections.undo()
    corrections.split(A, 8)
    corrections.add(12, 13, "Beth")
    corrections.confirm(0)
    corrections.reject(3)
    corrections.rename("SPEAKER_03", "Alf")
    return corrections


def read_csv(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


@pytest.mark.parametrize("saved", [lambda edits: edits, lambda edits: read_csv(edits.to_csv(index=False))])
def test_edits_of_a_table_make_the_same_of_it_again(four: Corrections, saved: object) -> None:
    corrections = everything(four)
    again = apply_edits(table((0, 4, A), (3, 6, B), (6, 9, A), (9, 12, C)), saved(corrections.edits))  # type: ignore[operator]
    pd.testing.assert_frame_equal(again.reset_index(drop=True), corrections.turns.reset_index(drop=True))
    assert unplaced(again) == []


def test_edits_are_found_again_by_time_where_labels_and_boundaries_differ(four: Corrections) -> None:
    later = table((0.1, 4.2, C), (3.1, 6, A), (6, 8.8, C), (9, 12, B))
    four.rename(A, "Beth")
    four.rename(C, "Alf")
    four.reassign(1, "Alf")
    four.move(2, end=8.5)
    four.delete(0)
    found = apply_edits(later, four.edits)
    assert list(found[["start", "end", "speaker"]].itertuples(index=False, name=None)) == [
        (3.1, 6, "Alf"),
        (6, 8.5, "Beth"),
        (9, 12, "Alf"),
    ]


def test_of_overlapping_turns_the_one_of_the_same_voice_is_meant() -> None:
    first = Corrections(table((0, 10, A), (20, 22, A), (20, 22, B), (30, 40, B), (50, 60, C)))
    first.rename(A, "Beth")
    first.rename(B, "Alf")
    first.reassign(2, C)
    found = apply_edits(table((0, 10, B), (20, 22, A), (20, 22, B), (30, 40, A), (50, 60, C)), first.edits)
    assert found.sort_values(["start", "speaker"])["speaker"].tolist() == ["Beth", "Beth", C, "Alf", C]


def test_what_cannot_be_placed_is_listed_and_the_rest_is_done(four: Corrections) -> None:
    four.delete(0)
    four.rename(C, "Alf")
    four.reassign(1, A)
    later = table((0, 1, A), (3, 6, B), (6, 9, A))
    later.attrs["diarnb"] = {"warning": "Noise."}
    with pytest.warns(DiarnbWarning, match="2 of the corrections could not be applied, the first of them: delete"):
        found = apply_edits(later, four.edits)
    assert unplaced(found) == [("delete", 0), ("rename", -1)]
    assert found["speaker"].tolist() == [A, A, A]
    assert json.loads(json.dumps(found.attrs["diarnb"]["unplaced"]))[0]["end"] == 4
    assert found.attrs["diarnb"]["warning"].startswith("Noise. 2 of")


def test_a_name_for_each_of_two_voices_that_are_one_later_is_a_conflict_that_is_told(four: Corrections) -> None:
    four.rename(A, "Beth")
    four.rename(B, "Alf")
    with pytest.warns(DiarnbWarning, match="already has a name"):
        found = apply_edits(table((0, 9, A), (9, 12, C)), four.edits)
    assert found["speaker"].tolist() == ["Beth", C]


def test_what_is_right_later_is_confirmed(four: Corrections) -> None:
    four.reassign(2, B)
    found = Corrections(table((0, 4, A), (3, 6, B), (6, 9, B), (9, 12, C)))
    assert place(found, four.edits) == []
    assert (found.confirmed, found.edits["what"].tolist()) == ({2}, ["confirm"])


@pytest.mark.parametrize("edits", [None, table((0, 1, A)), Corrections(table()).edits.drop(columns="of")])
def test_no_table_of_edits(four: Corrections, edits: object) -> None:
    with pytest.raises(InvalidParameterError, match="not a table of edits"):
        apply_edits(four.turns, edits)  # type: ignore[arg-type]


def test_a_table_of_edits_in_which_somebody_wrote(four: Corrections) -> None:
    four.delete(1)
    with pytest.raises(InvalidParameterError, match="not a table of edits"):
        apply_edits(four.turns, four.edits.astype(object).assign(turn="<b>"))


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(action, max_size=10))
def test_whatever_was_done_is_done_again_or_told(actions: list[tuple[object, ...]]) -> None:
    base = table((0, 4, A), (3, 6, B), (6, 9, A), (9, 12, C))
    corrections = Corrections(base)
    for verb, *arguments in actions:
        with suppress(InvalidParameterError):
            getattr(corrections, str(verb))(*arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiarnbWarning)
        found = apply_edits(base, corrections.edits)
    assert (found["start"] < found["end"]).all()
