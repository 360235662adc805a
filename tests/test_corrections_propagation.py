from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb.corrections import Corrections
from diarnb.corrections.propagation import accept, likely, propose, sureness
from diarnb.engines.local.calibration import CAMPPLUS
from diarnb.engines.local.clustering import EmbeddedSegments, cluster, cluster_constrained
from diarnb.errors import InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.formats import read


def truth(name: str) -> pd.DataFrame:
    return read(diarnb.example(name).with_suffix(".rttm"))


def true_speaker(turn: pd.Series, reference: pd.DataFrame) -> str:
    shared = np.minimum(reference["end"], turn["end"]) - np.maximum(reference["start"], turn["start"])
    return str(shared.clip(lower=0).groupby(reference["speaker"]).sum().idxmax())


@pytest.fixture
def joined(known: dict[str, pd.DataFrame]) -> tuple[Corrections, pd.Series]:
    """Four people of whom two were taken for one, and who really speaks in each turn."""
    turns = diarnb.recluster(known["meeting"], num_speakers=3)
    corrections = Corrections(turns)
    reference = truth("meeting")
    return corrections, corrections.turns.apply(true_speaker, axis=1, reference=reference)


def share_right(corrections: Corrections, who: pd.Series) -> float:
    """Of the time in which somebody speaks, how much has the speaker who speaks most under that label."""
    seconds = corrections.turns["duration"].groupby([corrections.voices, who]).sum().unstack(fill_value=0.0)
    right = 0.0
    while seconds.size:
        label, person = seconds.stack().idxmax()
        right += seconds.loc[label, person]
        seconds = seconds.drop(index=label, columns=person)
    return right / corrections.turns["duration"].sum()


def test_one_corrected_turn_parts_two_people(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, who = joined
    mixed = pd.crosstab(corrections.voices, who, corrections.turns["duration"], aggfunc="sum").fillna(0.0)
    label = (mixed > 5).sum(axis=1).idxmax()
    second = mixed.loc[label].sort_values().index[-2]
    longest = corrections.turns["duration"][(corrections.voices == label) & (who == second)].idxmax()
    before = share_right(corrections, who)
    corrections.reassign(int(longest), None)
    alone = share_right(corrections, who)
    proposal = propose(corrections)
    assert share_right(corrections, who) == alone  # shown, and nothing changed yet
    accept(corrections, proposal)
    assert before < alone < share_right(corrections, who)
    assert share_right(corrections, who) > 0.95
    assert corrections.edits["by"].iloc[-1] == "local"
    corrections.undo()
    assert share_right(corrections, who) == alone


def test_what_a_person_said_is_not_proposed_away(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    labels = list(corrections.labels)
    wrong = {int(turn): labels[(labels.index(label) + 1) % 3] for turn, label in corrections.voices.iloc[::7].items()}
    for turn, label in wrong.items():  # a person who errs is believed all the same
        corrections.reassign(turn, label)
    scores = likely(corrections)
    heard = scores.dropna().index.intersection(list(wrong))
    assert len(heard) >= 3
    assert scores.loc[heard].idxmax(axis=1).to_dict() == {turn: wrong[turn] for turn in heard}
    assert propose(corrections).index.intersection(list(wrong)).empty


def test_a_rejected_turn_is_somebody_elses(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    turn = int(corrections.turns["duration"].idxmax())
    label = corrections.voices[turn]
    corrections.reject(turn)
    assert likely(corrections).loc[turn, label] < 1e-6
    assert propose(corrections).loc[turn, "label"] != label


def test_scores_are_of_every_voice_and_turn(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    scores = likely(corrections)
    assert list(scores.index) == list(corrections.turns.index)
    assert set(scores) == set(corrections.labels)
    assert np.allclose(scores.dropna().sum(axis=1), 100)
    assert len(scores.dropna()) > 0.7 * len(scores)


def test_sure_is_what_a_person_said_and_else_what_the_engine_says(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    before = sureness(corrections)
    assert before.between(0, 100).all()
    first, second, third = map(int, corrections.turns["duration"].nlargest(3).index)
    corrections.confirm(first)
    corrections.reject(second)
    corrections.reassign(third, None)
    after = sureness(corrections)
    assert after[[first, second, third]].tolist() == [100, 0, 100]
    corrections.rename(corrections.voices[first], "Beth")
    pd.testing.assert_series_equal(sureness(corrections), after)


def test_without_a_run_sure_is_what_the_table_says() -> None:
    turns = pd.DataFrame({"start": [0.0, 2.0], "end": [1.0, 3.0], "speaker": ["A", "B"]})
    assert sureness(Corrections(turns)).isna().all()
    assert sureness(Corrections(turns.assign(confidence=[50.0, 70.0]))).tolist() == [50, 70]


@pytest.mark.slow
def test_channels_are_heard_apart(known: dict[str, pd.DataFrame]) -> None:
    turns = diarnb.diarize(diarnb.example("call"), channels="split", progress=False)
    corrections = Corrections(turns)
    corrections.confirm(0)
    scores = likely(corrections).dropna()
    agree = scores.idxmax(axis=1) == corrections.voices[scores.index]
    assert agree.mean() > 0.9
    assert propose(corrections).index.isin(agree.index[~agree]).all()


def test_nothing_is_proposed_while_nothing_is_said(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    nothing = propose(corrections)
    assert nothing.empty
    with pytest.raises(InvalidParameterError, match="nothing to accept"):
        accept(corrections, nothing)
    corrections.confirm(0)
    assert nothing.dtypes.to_dict() == propose(corrections).dtypes.to_dict()


def test_what_was_changed_since_is_left_alone(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    turn = int(corrections.turns["duration"].idxmax())
    corrections.reject(turn)
    proposal = propose(corrections).loc[[turn]]
    corrections.confirm(turn)
    with pytest.raises(InvalidParameterError, match="nothing to accept"):
        accept(corrections, proposal)
    corrections.delete(turn)
    with pytest.raises(InvalidParameterError, match="nothing to accept"):
        accept(corrections, proposal)


def test_names_are_shown_and_labels_kept(joined: tuple[Corrections, pd.Series]) -> None:
    corrections, _ = joined
    turn = int(corrections.turns["duration"].idxmax())
    for label in corrections.labels:
        corrections.rename(label, "Beth")  # all of them
    corrections.reject(turn)
    row = propose(corrections).loc[turn]
    assert (row["speaker"], row["becomes"]) == ("Beth", "Beth")
    accept(corrections, propose(corrections))
    assert corrections.voices[turn] == row["label"]


def test_without_a_run_nothing_can_propagate(known: dict[str, pd.DataFrame]) -> None:
    turns = known["meeting"]
    foreign = Corrections(turns[["start", "end", "speaker"]].copy().set_axis(range(len(turns))))
    foreign_turns = pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": ["A"]})
    with pytest.raises(TurnTableError, match="run"):
        likely(Corrections(foreign_turns))
    assert foreign.turns.attrs["diarnb"]["run"] == turns.attrs["diarnb"]["run"]
    diarnb.forget(turns)
    with pytest.raises(RunNotFoundError):
        likely(Corrections(turns))


# -- the engine --------------------------------------------------------------------------------------------------------


def blobs(*sizes: int, seed: int = 0, noise: float = 0.045) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), 192))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    who = np.repeat(np.arange(len(sizes)), sizes)
    voices = (centres[who] + noise * rng.normal(size=(len(who), 192))).astype(np.float32)
    return voices / np.linalg.norm(voices, axis=1, keepdims=True), who


def test_pieces_that_must_be_together_are_and_those_that_cannot_be_are_not() -> None:
    voices, who = blobs(30, 30, 30)
    weights = np.ones(len(who), np.float32)
    possible = np.ones((len(who), 3), bool)
    guess = np.where(who == 2, 1, who)  # the third person was taken for the second
    possible[60:63] = [False, False, True]
    possible[0] = [False, True, True]  # not the first, whatever it sounds like
    found = cluster_constrained(EmbeddedSegments(voices, weights, np.zeros(len(who)), 0.6, CAMPPLUS), guess, possible)
    assert (found[1:] == who[1:]).all()
    assert found[0] != 0


def test_without_constraints_clustering_is_as_it_was() -> None:
    voices, who = blobs(20, 25, 40, seed=1)
    found = cluster(EmbeddedSegments(voices, np.ones(len(who), np.float32), np.zeros(len(who)), 0.6, CAMPPLUS), 1, None)
    assert pd.crosstab(found, who).gt(0).sum().tolist() == [1, 1, 1]
