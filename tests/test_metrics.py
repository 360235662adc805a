"""Why there are as many speakers as there are, on recordings whose speakers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import engines
from diarnb.engines.base import Answer, Engine, Offer
from diarnb.engines.local import count_evidence as counting
from diarnb.engines.local.decoding import Decision
from diarnb.errors import InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.metrics import count_evidence

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000
SPEAKERS = {"meeting": 4, "interview": 2, "call": 2}


def chosen(evidence: pd.DataFrame) -> int:
    (k,) = evidence.loc[evidence["chosen"], "k"]
    return int(k)


def voices(turns: pd.DataFrame, name: str) -> pd.DataFrame:
    """Seconds for which each label (column) is given while each true speaker (row) speaks alone."""
    truth = diarnb.read(diarnb.example(name).with_suffix(".rttm"))
    times = np.arange(0, truth["end"].max(), 0.01)

    def masks(table: pd.DataFrame) -> pd.DataFrame:
        inside = {
            speaker: np.any([(times >= a) & (times < b) for a, b in rows[["start", "end"]].to_numpy()], axis=0)
            for speaker, rows in table.groupby("speaker")
        }
        return pd.DataFrame(inside).astype(float)

    real = masks(truth)
    alone = real[real.sum(axis=1) == 1]
    return 0.01 * alone.T @ masks(turns).loc[alone.index]


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPEAKERS)
def test_the_count_that_was_chosen_is_explained(known: dict[str, pd.DataFrame], name: str) -> None:
    evidence = count_evidence(known[name])
    assert evidence["k"].tolist() == list(range(1, len(evidence) + 1))
    assert chosen(evidence) == SPEAKERS[name]
    believed = evidence[(evidence["kept"] == evidence["k"]) & (evidence["score"] >= 1)]
    assert believed["k"].tolist() == list(range(2, SPEAKERS[name] + 1))  # each that is chosen, or has too few
    assert (evidence["smallest"].diff()[1:] <= 0).all()
    assert np.isnan(evidence["score"][0])
    assert evidence[["speaker", "other"]].loc[0].tolist() == ["", ""]


@pytest.mark.parametrize("name", SPEAKERS)
def test_the_pair_that_would_become_one_is_named(known: dict[str, pd.DataFrame], name: str) -> None:
    evidence = count_evidence(known[name]).set_index("k")
    labels = set(known[name]["speaker"])
    merged, cut = evidence.loc[2 : SPEAKERS[name]], evidence.loc[SPEAKERS[name] + 1 :]
    assert {*merged["speaker"], *merged["other"]} <= labels
    assert (merged["speaker"] != merged["other"]).all()
    assert set(cut["speaker"]) <= labels
    assert (cut["speaker"] == cut["other"]).all()


@pytest.mark.slow
def test_channels_are_counted_each_by_itself(known: dict[str, pd.DataFrame]) -> None:
    turns = diarnb.diarize(diarnb.example("call"), channels="split", progress=False)
    evidence = count_evidence(turns)
    assert evidence.columns[0] == "channel"
    for channel, label in ((0, "SPEAKER_00"), (1, "SPEAKER_01")):
        own = evidence[evidence["channel"] == channel]
        assert chosen(own) == 1
        assert set(own.loc[own["k"] > 1, "speaker"]) == {label}


@pytest.mark.slow
def test_one_speaker_is_one() -> None:
    with diarnb.audio.open_recording(diarnb.example("interview")) as recording:
        samples = np.concatenate(list(recording.blocks()))
    truth = diarnb.read(diarnb.example("interview").with_suffix(".rttm"))
    (own, others) = (rows for _, rows in truth.groupby("speaker"))
    heard = np.zeros(len(samples), bool)
    for start, end in own[["start", "end"]].to_numpy():
        heard[int(start * RATE) : int(end * RATE)] = True
    for start, end in others[["start", "end"]].to_numpy():
        heard[int(start * RATE) : int(end * RATE)] = False
    turns = diarnb.diarize((np.where(heard, samples, 0), RATE), progress=False)
    evidence = count_evidence(turns)
    assert chosen(evidence) == 1
    assert not ((evidence["kept"] == evidence["k"]) & (evidence["score"] >= 1)).any()


def test_where_nobody_speaks_there_is_nothing_to_count() -> None:
    whole = count_evidence(diarnb.diarize((np.zeros(2 * RATE), RATE), progress=False))
    split = count_evidence(diarnb.diarize((np.zeros((2 * RATE, 2)), RATE), channels="split", progress=False))
    assert len(whole) == len(split) == 0
    text = pd.Series(dtype=str).dtype
    expected = {"k": "int64", "score": "float64", "kept": "int64", "speaker": text, "other": text}
    assert whole.dtypes.to_dict() == {**expected, "smallest": "float64", "chosen": "bool"}
    assert split.dtypes.to_dict() == {"channel": "int64", **whole.dtypes.to_dict()}


def test_an_empty_table_has_the_types_of_a_full_one(known: dict[str, pd.DataFrame]) -> None:
    silence = count_evidence(diarnb.diarize((np.zeros(RATE), RATE), progress=False))
    assert count_evidence(known["meeting"]).dtypes.to_dict() == silence.dtypes.to_dict()


# -- other settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_a_count_that_was_given_is_the_chosen_one(known: dict[str, pd.DataFrame], count: int) -> None:
    turns = diarnb.recluster(known["meeting"], num_speakers=count)
    evidence = count_evidence(turns)
    assert chosen(evidence) == count == turns["speaker"].nunique()
    pair = evidence.set_index("k").loc[count, ["speaker", "other"]]
    assert count == 1 or (set(pair) <= set(turns["speaker"]) and pair.nunique() == 2)


def test_more_voices_than_pieces_cannot_be_told_apart() -> None:
    samples = diarnb.audio
    with samples.open_recording(diarnb.example("interview")) as recording:
        talk = np.concatenate(list(recording.blocks(end=4.0)))
    with pytest.warns(diarnb.errors.DiarnbWarning):
        turns = diarnb.diarize((talk, RATE), num_speakers=30, progress=False)
    evidence = count_evidence(turns)
    assert chosen(evidence) == turns["speaker"].nunique() == evidence["k"].max()


def test_a_threshold_is_what_scores_are_measured_by(known: dict[str, pd.DataFrame]) -> None:
    low, high = (
        count_evidence(diarnb.recluster(known["meeting"], threshold=threshold)).set_index("k")
        for threshold in (0.05, 0.1)
    )
    assert chosen(low.reset_index()) >= chosen(high.reset_index())
    for evidence in (low, high):
        count = chosen(evidence.reset_index())
        assert count == 1 or evidence.loc[count, "score"] >= 1
    assert low.loc[2, "score"] == pytest.approx(2 * high.loc[2, "score"], rel=0.05)
    none = count_evidence(diarnb.recluster(known["meeting"], threshold=2.0))
    assert chosen(none) == 1
    assert (none["score"].dropna() < 1).all()


def test_names_and_rows_are_those_of_the_table(known: dict[str, pd.DataFrame]) -> None:
    turns = known["meeting"]
    before = count_evidence(turns)
    renamed = diarnb.rename(turns, {"SPEAKER_01": "Beth"})
    after = count_evidence(renamed.iloc[3:7])
    for side in ("speaker", "other"):
        assert after[side].tolist() == before[side].replace("SPEAKER_01", "Beth").tolist()
    pd.testing.assert_frame_equal(before, count_evidence(diarnb.exclusive(turns)))
    assert "SPEAKER_01" in set(turns["speaker"])


def test_whoever_has_the_floor_nowhere_still_counts() -> None:
    posterior = np.array([[0.9, 0.0, 0.1], [0.8, 0.0, 0.2], [0.1, 0.9, 0.0]])
    owner = np.repeat(np.arange(3, dtype=np.int32), 10)
    first, second = np.repeat([0, 0, 1], 10).astype(np.int16), np.full(30, 2, np.int16)
    sure = np.full((2, 30), 255, np.uint8)
    decision = Decision(first, second, owner, np.array([0, 0, 1]), posterior, sure)
    assert counting._label_segments(decision, np.arange(3)).tolist() == [0, 2, 1]


# -- forced counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPEAKERS)
def test_fewer_speakers_are_whole_voices_together(known: dict[str, pd.DataFrame], name: str) -> None:
    for count in range(1, SPEAKERS[name] + 1):
        found = voices(diarnb.recluster(known[name], num_speakers=count), name)
        assert found.shape[1] == count
        assert (found.max(axis=1) / found.sum(axis=1)).min() > 0.9  # nobody is torn apart


@pytest.mark.parametrize("name", SPEAKERS)
def test_more_speakers_are_parts_of_voices(known: dict[str, pd.DataFrame], name: str) -> None:
    for count in (SPEAKERS[name] + 1, SPEAKERS[name] + 2, SPEAKERS[name] + 4):
        found = voices(diarnb.recluster(known[name], num_speakers=count), name)
        assert found.shape[1] == count
        assert found.max(axis=0).sum() / found.sum().sum() > 0.95  # nobody shares a label with another
        assert found.idxmax().nunique() == SPEAKERS[name]


# -- what cannot be told -----------------------------------------------------------------------------------------------


def test_a_table_from_elsewhere_is_refused() -> None:
    with pytest.raises(TurnTableError, match="does not know its run"):
        count_evidence(pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": ["A"]}))


def test_a_run_that_is_forgotten_is_named(known: dict[str, pd.DataFrame]) -> None:
    turns = known["interview"]
    diarnb.forget(turns)
    with pytest.raises(RunNotFoundError, match=turns.attrs["diarnb"]["run"]):
        count_evidence(turns)


class Silent(Engine):
    """An engine that decides again, but does not tell why."""

    name, offer = "silent", Offer(models=("m",))

    def version(self, model: str) -> str:
        return model

    def decide(self, *_: Any) -> dict[str, Any]:
        return {"duration": 1.0, "diarization": [], "exclusiveDiarization": [], "warning": None}

    def frames(self, *_: Any) -> pd.DataFrame:
        return pd.DataFrame()

    def diarize(self, *_: Any) -> Answer:
        return Answer(self.decide(), {"0/frames": np.zeros(1)})


def test_an_engine_that_does_not_tell_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    local = engines.get
    monkeypatch.setattr(engines, "get", lambda name: Silent() if name == "silent" else local(name))
    turns = diarnb.diarize((np.zeros(RATE), RATE), engine="silent", progress=False)
    with pytest.raises(InvalidParameterError, match=r"'silent' does not explain how it counts.*engine='local'"):
        count_evidence(turns)
