"""Voices are known again, from file to file; and what is no voiceprint, or no voice to make one from, is told so."""

from __future__ import annotations

import base64
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

import diarnb
from diarnb.audio import open_recording
from diarnb.audio.excerpts import excerpts
from diarnb.engines.base import Engine
from diarnb.engines.local import LocalEngine, networks, voiceprints
from diarnb.engines.local.voiceprints import embed, make_voiceprint, pack, remove_channel, score_similarity, unpack
from diarnb.errors import (
    AudioChangedError,
    AudioLimitError,
    AudioNotFoundError,
    ConfigurationError,
    DiarnbWarning,
    InvalidParameterError,
    TurnTableError,
    VoiceprintAudioError,
    VoiceprintError,
)
from diarnb.voiceprints import choose

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000
NAMES = {"meeting": ("Maya", "Fergus", "Victor", "Otto"), "interview": ("Maya", "Fergus"), "call": ("Victor", "Maya")}


def truth(name: str) -> pd.DataFrame:
    return diarnb.read(diarnb.example(name).with_suffix(".rttm"))[["start", "end", "speaker"]]


def said(who: str, name: str = "interview", most: float = 30.0) -> np.ndarray:
    """What somebody says alone in an example, by its exact truth."""
    with open_recording(diarnb.example(name)) as recording:
        return np.concatenate(excerpts(recording, truth(name), most)[who])


@pytest.fixture(scope="module")
def prints() -> dict[str, str]:
    """Of the voices of the examples, from one of them each."""
    places = {"Maya": "interview", "Fergus": "interview", "Victor": "call", "Otto": "meeting"}
    return {who: diarnb.voiceprint((said(who, name), RATE)) for who, name in places.items()}


def real_names(turns: pd.DataFrame, name: str) -> dict[str, str]:
    """Who each label is: whose true turns it covers most."""
    true = truth(name)

    def shared(row: Any, who: str) -> float:
        own = true[true["speaker"] == who]
        return float((np.minimum(own["end"], row.end) - np.maximum(own["start"], row.start)).clip(lower=0).sum())

    totals: dict[str, dict[str, float]] = {}
    for row in turns.itertuples():
        for who in true["speaker"].unique():
            mine = totals.setdefault(row.speaker, {})
            mine[who] = mine.get(who, 0.0) + shared(row, who)
    return {label: max(mine, key=lambda who: mine[who]) for label, mine in totals.items()}


# ---------------------------------------------------------------------------------------------- from file to file


@pytest.mark.slow
@pytest.mark.parametrize(("name", "other"), [("interview", "meeting"), ("call", "interview"), ("meeting", "call")])
def test_a_voice_is_known_again_in_another_recording(known: dict[str, pd.DataFrame], name: str, other: str) -> None:
    labels = {who: label for label, who in real_names(known[name], name).items()}
    maya = diarnb.voiceprint(known[name][known[name]["speaker"] == labels["Maya"]])
    named = diarnb.identify(known[other], {"Maya": maya}, threshold=50)
    expected = ["Maya" if who == "Maya" else label for label, who in real_names(known[other], other).items()]
    assert set(named["speaker"]) == set(expected)
    assert real_names(named, other)["Maya"] == "Maya"


@pytest.mark.slow
def test_every_speaker_finds_his_own_voiceprint(known: dict[str, pd.DataFrame], prints: dict[str, str]) -> None:
    for name, turns in known.items():
        named = diarnb.identify(turns, prints)
        assert {label: who for label, who in real_names(named, name).items() if label != who} == {}
        best = diarnb.matches(named).drop_duplicates("speaker").set_index("speaker")
        assert dict(best["voiceprint"]) == real_names(turns, name)
        assert best["matched"].all()
        assert (best["score"] > 80).all()


def test_a_source_is_diarized_first(known: dict[str, pd.DataFrame], prints: dict[str, str]) -> None:
    named = diarnb.identify(diarnb.example("interview").read_bytes(), {"Maya": prints["Maya"]}, threshold=50)
    assert set(named["speaker"]) == {"Maya", "SPEAKER_01"}
    assert named.attrs["diarnb"]["source"] == "bytes"


@pytest.mark.slow
def test_turns_from_anywhere_need_only_their_audio(prints: dict[str, str]) -> None:
    # as Deepgram gives them: whole utterances with the pauses in them, in no order, and columns of its own
    turns = truth("meeting").assign(text="…").sample(frac=1, random_state=1)
    turns.index = pd.Index([f"row {n}" for n in range(len(turns))])
    turns["start"] = (turns["start"] - 0.2).clip(lower=0)
    turns["end"] += 0.2
    turns["speaker"] = turns["speaker"].map({who: f"SPEAKER_{n:02d}" for n, who in enumerate(NAMES["meeting"])})
    with pytest.raises(TurnTableError, match=r"audio="):
        diarnb.identify(turns, prints)
    named = diarnb.identify(turns, prints, audio=diarnb.example("meeting"))
    assert real_names(named, "meeting") == {who: who for who in NAMES["meeting"]}
    pd.testing.assert_frame_equal(named.drop(columns="speaker"), turns.drop(columns="speaker"))
    maya = diarnb.voiceprint(turns[turns["speaker"] == "SPEAKER_00"], audio=diarnb.example("meeting"))
    assert score_similarity(unpack(maya, ""), unpack(prints["Maya"], "")) > 95


@pytest.mark.slow
def test_channels_are_heard_each_by_itself(known: object, prints: dict[str, str]) -> None:
    wanted = {who: prints[who] for who in ("Maya", "Victor")}
    split = diarnb.diarize(diarnb.example("call"), channels="split", progress=False)
    named = diarnb.identify(split, wanted, threshold=50)
    assert set(zip(named["channel"], named["speaker"], strict=True)) == {(0, "Victor"), (1, "Maya")}
    one = diarnb.diarize(diarnb.example("call"), channels=1, progress=False)
    scores = [
        diarnb.matches(table).query("voiceprint == 'Maya'")["score"].max()
        for table in (named, diarnb.identify(one, wanted))
    ]
    assert scores[0] == scores[1] > 90


# ------------------------------------------------------------------------------------------- what identify answers


@pytest.fixture
def meeting(known: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return known["meeting"]


def test_the_other_tables_of_the_run_follow_the_names(meeting: pd.DataFrame, prints: dict[str, str]) -> None:
    before = meeting.copy(deep=True)
    named = diarnb.identify(meeting, {"Maya": prints["Maya"]}, threshold=50)
    pd.testing.assert_frame_equal(meeting, before)
    assert meeting.attrs == before.attrs
    pd.testing.assert_frame_equal(named.drop(columns="speaker"), meeting.drop(columns="speaker"))
    columns = ["Maya", "SPEAKER_01", "SPEAKER_02", "SPEAKER_03"]
    assert list(diarnb.confidences(named)) == columns
    assert list(diarnb.frames(named))[3:] == columns
    only = diarnb.exclusive(named)
    assert set(only["speaker"]) == set(columns)
    pd.testing.assert_frame_equal(diarnb.matches(only), diarnb.matches(named))
    again = diarnb.rename(named, {"Maya": "Dr. Maya"})
    assert next(iter(diarnb.confidences(again))) == "Dr. Maya"
    pd.testing.assert_frame_equal(diarnb.matches(again), diarnb.matches(named))


def test_a_voiceprint_names_at_most_one_speaker_unless_it_may_name_several(
    meeting: pd.DataFrame, prints: dict[str, str]
) -> None:
    everybody = diarnb.identify(meeting, {"Maya": prints["Maya"]}, exclusive=False)
    assert set(everybody["speaker"]) == {"Maya"}
    assert diarnb.matches(everybody)["matched"].all()
    assert list(diarnb.confidences(everybody)) == ["Maya"]
    one = diarnb.identify(meeting, {"Maya": prints["Maya"]}, exclusive=True)
    assert one["speaker"].nunique() == 4
    assert diarnb.matches(one)["matched"].sum() == 1


@pytest.mark.slow
def test_the_threshold_is_one_of_the_scores_that_are_shown(meeting: pd.DataFrame, prints: dict[str, str]) -> None:
    shown = diarnb.matches(diarnb.identify(meeting, {"Otto": prints["Victor"]}))
    assert shown["score"].between(0, 100).all()
    best = shown["score"].max()
    assert "Otto" in set(diarnb.identify(meeting, {"Otto": prints["Victor"]}, threshold=best)["speaker"])
    stranger = diarnb.identify(meeting, {"Otto": prints["Victor"]}, threshold=min(best + 0.1, 100))
    assert ("Otto" in set(stranger["speaker"])) == (best == 100)


@pytest.mark.slow
def test_a_cell_can_be_run_again_with_another_threshold(meeting: pd.DataFrame, prints: dict[str, str]) -> None:
    wrong = diarnb.identify(meeting, prints | {"Maya": prints["Otto"], "Otto": prints["Maya"]})
    right = diarnb.identify(wrong, prints)
    fresh = diarnb.identify(meeting, prints)
    pd.testing.assert_frame_equal(right, fresh)
    assert right.attrs["diarnb"]["matches"] == fresh.attrs["diarnb"]["matches"]
    strict = diarnb.identify(right[right["speaker"] == "Maya"], {"Maya": prints["Otto"]}, threshold=99)
    assert set(strict["speaker"]) == {"SPEAKER_00"}


def test_two_people_are_never_joined_by_chance_under_one_name(meeting: pd.DataFrame, prints: dict[str, str]) -> None:
    labels = {who: label for label, who in real_names(meeting, "meeting").items()}
    mistaken = diarnb.rename(meeting, {labels["Otto"]: "Maya"})
    with pytest.raises(InvalidParameterError, match=r"rename .*'Maya'"):
        diarnb.identify(mistaken, {"Maya": prints["Maya"]}, threshold=50)
    right = diarnb.rename(meeting, {labels["Maya"]: "Maya"})
    assert set(diarnb.identify(right, {"Maya": prints["Maya"]})["speaker"]) == set(right["speaker"])


def test_the_assignment_is_the_best_taken_together() -> None:
    scores = {"S0": {"A": 90.0, "B": 80.0}, "S1": {"A": 85.0, "B": 10.0}, "S2": {}}
    assert choose(scores, ["A", "B"], 0, exclusive=True) == {"S0": "B", "S1": "A"}
    assert choose(scores, ["A", "B"], 82, exclusive=True) == {"S0": "A"}
    assert choose(scores, ["A", "B"], 0, exclusive=False) == {"S0": "A", "S1": "A"}
    assert choose({"S2": {}}, ["A"], 0, exclusive=True) == {}


def test_who_is_never_heard_stays_unknown_and_nobody_is_nobody(
    meeting: pd.DataFrame, prints: dict[str, str], tmp_path: Path
) -> None:
    blink = pd.DataFrame({"start": [1.0, 2.0], "end": [4.0, 2.1], "speaker": ["A", "B"]})
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(5 * RATE), RATE)
    assert "B" in set(diarnb.identify(blink, prints, exclusive=False, audio=diarnb.example())["speaker"])
    nobody = diarnb.identify(silent, prints)
    assert nobody.empty
    assert diarnb.matches(nobody).dtypes["score"] == np.float64
    assert diarnb.matches(diarnb.identify(meeting.iloc[:0], prints)).empty
    with pytest.raises(TurnTableError, match="identify"):
        diarnb.matches(meeting)


# --------------------------------------------------------------------------------------------- where the audio is


@pytest.mark.slow
def test_moved_changed_and_wrong_audio_is_told(prints: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    shutil.copy(diarnb.example("interview"), path)
    turns = diarnb.diarize(path, progress=False)
    path.rename(tmp_path / "moved.flac")
    with pytest.raises(AudioNotFoundError, match=r"talk\.flac.*audio="):
        diarnb.identify(turns, prints)
    assert "Maya" in set(diarnb.identify(turns, prints, audio=tmp_path / "moved.flac")["speaker"])
    diarnb.forget(turns)
    assert "Maya" in set(diarnb.identify(turns, prints, audio=tmp_path / "moved.flac")["speaker"])
    turns = diarnb.diarize(tmp_path / "moved.flac", progress=False)
    shutil.copy(diarnb.example("call"), tmp_path / "moved.flac")
    with pytest.raises(AudioChangedError, match=r"moved\.flac"):
        diarnb.voiceprint(turns[turns["speaker"] == "SPEAKER_00"])
    with pytest.raises(InvalidParameterError, match=r"call\.flac ends at 57\.7 s"):
        diarnb.identify(turns, prints, audio=diarnb.example("call"))


def test_a_table_of_several_recordings_is_refused(meeting: pd.DataFrame, prints: dict[str, str]) -> None:
    several = pd.concat([meeting.assign(uri="a"), meeting.assign(uri="b")])
    with pytest.raises(TurnTableError, match="uri"):
        diarnb.identify(several, prints)
    with pytest.raises(InvalidParameterError, match="one recording"):
        diarnb.voiceprint(several[several["speaker"] == "SPEAKER_00"])


# ------------------------------------------------------------------------------------------- making a voiceprint


@pytest.mark.slow
def test_a_voiceprint_is_short_text_that_depends_on_the_voice_alone(prints: dict[str, str]) -> None:
    again = diarnb.voiceprint((said("Maya"), RATE))
    assert again == prints["Maya"]
    assert len(again) < 600
    base64.b64decode(again, validate=True)
    louder = diarnb.voiceprint((np.stack([said("Maya") * 0.1] * 2), RATE))
    assert score_similarity(unpack(louder, ""), unpack(again, "")) > 99


def test_a_voiceprint_of_an_earlier_diarnb_is_still_good(
    known: dict[str, pd.DataFrame], prints: dict[str, str]
) -> None:
    """Raise the number at the end of `MAKER` if it cannot be: old prints must not be compared with new ones."""
    assert unpack(prints["Maya"], "") @ unpack(MAYA, "") > 0.97
    named = diarnb.identify(known["meeting"], prints | {"Maya": MAYA}, threshold=50)
    assert real_names(named, "meeting") == {who: who for who in NAMES["meeting"]}


def test_rooms_and_telephones_do_not_tell_voices_apart(prints: dict[str, str]) -> None:
    """What a telephone does to all voices alike is projected out; with it Fergus was taken for Victor."""
    from benchmarks._acoustics import Line

    for who in ("Maya", "Fergus"):
        heard = soxr.resample(Line()(said(who, "meeting", 15.0)[:160_000]), Line.rate, RATE)
        voice = embed([heard.astype(np.float32)])
        assert voice is not None
        scores = {name: score_similarity(voice, unpack(text, name)) for name, text in prints.items()}
        assert max(scores, key=lambda name: scores[name]) == who


@pytest.mark.parametrize("content", [None, b"no array", b""])
def test_harmed_directions_of_channels_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(networks, "MODELS", tmp_path)
    if content is not None:
        (tmp_path / "channels.npy").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"channels\.npy .* pip install"):
        voiceprints._load_channels.__wrapped__()


def test_embeddings_without_channels_have_unit_length_and_no_share_in_them() -> None:
    channels = np.eye(192)[:3]
    left = remove_channel(np.random.default_rng(0).normal(size=(5, 192)), channels)
    assert np.allclose(np.linalg.norm(left, axis=1), 1, atol=1e-5)
    assert np.allclose(left[:, :3], 0)
    shipped = np.load(networks.MODELS / "channels.npy").astype(np.float64)
    assert np.allclose(shipped @ shipped.T, np.eye(len(shipped)), atol=2e-3)
    assert np.allclose(remove_channel(shipped[0] + np.eye(192)[5]) @ shipped.T, 0, atol=2e-3)


@pytest.mark.parametrize("seconds", [3, 8])
def test_a_few_seconds_are_enough(known: dict[str, pd.DataFrame], seconds: int) -> None:
    short = diarnb.voiceprint((said("Maya", most=seconds), RATE))
    assert "Maya" in real_names(diarnb.identify(known["meeting"], {"Maya": short}, threshold=50), "meeting")


def test_what_is_no_recording_of_one_person_is_refused(tmp_path: Path) -> None:
    maya, fergus = said("Maya", most=8), said("Fergus", most=8)
    with pytest.raises(VoiceprintAudioError, match="No speech"):
        diarnb.voiceprint((np.zeros(5 * RATE, np.float32), RATE))
    with pytest.raises(VoiceprintAudioError, match=r"only 1\.\d s"):
        diarnb.voiceprint((np.concatenate([maya[: int(1.3 * RATE)], np.zeros(4 * RATE, np.float32)]), RATE))
    with pytest.raises(VoiceprintAudioError, match=r"2 people .*SPEAKER_0\d \d\.\d s"):
        diarnb.voiceprint((np.concatenate([maya, fergus]), RATE))
    with pytest.raises(AudioLimitError, match=r"meeting\.flac lasts 89\.4 s.*diarize"):
        diarnb.voiceprint(diarnb.example("meeting"))


def test_a_word_of_somebody_else_is_left_out_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    maya, fergus = said("Maya", most=12), said("Fergus", most=1.2)
    sound = np.concatenate([maya, fergus])
    turns = [(0.0, len(maya) / RATE, "SPEAKER_00"), (len(maya) / RATE, len(sound) / RATE, "SPEAKER_01")]
    raw = {"duration": len(sound) / RATE}
    raw["diarization"] = [dict(zip(("start", "end", "speaker"), turn, strict=True)) for turn in turns]
    with open_recording((sound, RATE)) as recording:
        text, remark = make_voiceprint(recording, raw)
    voice = embed([maya])
    assert remark == "Somebody else speaks for 1.2 s; left out."
    assert voice is not None
    assert unpack(text, "") @ voice > 0.98  # the network of 8 bits rounds by what stands beside
    raw["diarization"] = [  # one voice that the diarization took for two
        {"start": 0.0, "end": 6.0, "speaker": "SPEAKER_00"},
        {"start": 6.0, "end": len(maya) / RATE, "speaker": "SPEAKER_01"},
    ]
    with open_recording((maya, RATE)) as recording:
        text, remark = make_voiceprint(recording, raw)
    assert remark is None
    assert unpack(text, "") @ voice > 0.99


def test_damaged_audio_makes_a_voiceprint_with_a_warning() -> None:
    sound = said("Maya").copy()
    sound[1000] = np.nan
    with pytest.warns(DiarnbWarning, match="NaN"):
        diarnb.voiceprint((sound, RATE))


def test_the_rows_of_one_speaker_are_asked_for(meeting: pd.DataFrame) -> None:
    with pytest.raises(InvalidParameterError, match=r"not 4; choose one: turns\[turns\['speaker'\] == 'SPEAKER_00'\]"):
        diarnb.voiceprint(meeting)
    with pytest.raises(InvalidParameterError, match="no turn"):
        diarnb.voiceprint(meeting.iloc[:0])


@pytest.mark.slow
def test_what_others_say_meanwhile_is_not_heard(meeting: pd.DataFrame) -> None:
    own = meeting[meeting["speaker"] == "SPEAKER_01"]
    shared = diarnb.overlap(meeting)
    assert len(shared)
    named = diarnb.rename(own, {"SPEAKER_01": "Fergus"})
    assert diarnb.voiceprint(named) == diarnb.voiceprint(own)
    alone = unpack(diarnb.voiceprint(own), "")
    bare = pd.DataFrame(own).copy()
    bare.attrs = {}
    beside = unpack(diarnb.voiceprint(bare, audio=diarnb.example("meeting")), "")
    true = embed([said("Fergus", "meeting")])
    assert true is not None
    assert alone @ true > 0.97
    assert not np.array_equal(alone, beside)


# ---------------------------------------------------------------------------------------- voiceprints that are none


def test_packing_is_undone_by_unpacking() -> None:
    voice = np.random.default_rng(0).standard_normal(192).astype(np.float32)
    voice /= np.linalg.norm(voice)
    assert np.abs(unpack(pack(voice), "x") - voice).max() < 2e-4
    broken = "\n".join(pack(voice)[at : at + 76] for at in range(0, 600, 76))
    assert np.array_equal(unpack(f" {broken}\n", "x"), unpack(pack(voice), "x"))


def _flipped(text: str) -> str:
    content = bytearray(base64.b64decode(text))
    content[200] ^= 1
    return base64.b64encode(bytes(content)).decode()


def _other_version(text: str) -> str:
    import zlib

    body = base64.b64decode(text)[:-4].replace(b"/1", b"/2", 1)
    return base64.b64encode(body + zlib.crc32(body).to_bytes(4, "little")).decode()


FLOATS = base64.b64encode(np.random.default_rng(0).standard_normal(512).astype("<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[:300], "cut off or damaged"),
        (lambda text: text[:301], "cut off or damaged"),
        (lambda text: text[:12], "cut off or damaged"),
        (lambda text: text[:8], "cut off or damaged"),
        (_flipped, "cut off or damaged"),
        (lambda text: text[:100] + "é" + text[101:], "cut off or damaged"),
        (_other_version, "another version.*/2.*knows.*/1"),
        (lambda text: FLOATS, "pyannoteAI.*cannot be compared"),
        (lambda text: "", "no voiceprint"),
        (lambda text: "maya.wav", "no voiceprint: 'maya.wav'"),
        (lambda text: "A" * 5000, "no voiceprint"),
        (lambda text: base64.b64encode(b"\xff" * 768).decode(), "no voiceprint"),
        (lambda text: text.encode(), "is text, not bytes"),
        (lambda text: None, "is text, not NoneType"),
        (lambda text: unpack(text, ""), "is text, not ndarray"),
    ],
)
def test_what_is_no_voiceprint_of_ours_is_refused_before_anything_is_read(
    prints: dict[str, str], spoil: Any, says: str
) -> None:
    with pytest.raises(VoiceprintError, match=f"'Beth'.*{says}.*diarnb.voiceprint"):
        diarnb.identify("no-such-file.wav", {"Maya": prints["Maya"], "Beth": spoil(prints["Maya"])})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"voiceprints": {}}, "1 to 50 .*not 0"),
        ({"voiceprints": {f"P{n}": "" for n in range(51)}}, "1 to 50 .*not 51"),
        ({"voiceprints": ["text"]}, "mapping"),
        ({"voiceprints": "text"}, "mapping"),
        ({"voiceprints": {"SPEAKER_07": ""}}, "SPEAKER_"),
        ({"voiceprints": {"speaker_Beth": ""}}, "SPEAKER_"),
        ({"voiceprints": {" ": ""}}, "1 to 100 characters"),
        ({"voiceprints": {"x" * 101: ""}}, "1 to 100 characters"),
        ({"voiceprints": {7: ""}}, "1 to 100 characters"),
        *[({"threshold": value}, "0 to 100") for value in (-1, 100.5, float("nan"), True, "50", None)],
        *[({"exclusive": value}, "True or False") for value in (1, "yes", None)],
        ({"engine": "nobody"}, "'nobody' is not known"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_read(
    prints: dict[str, str], wrong: dict[str, Any], says: str
) -> None:
    asked: dict[str, Any] = {"voiceprints": {"Maya": prints["Maya"]}} | wrong
    with pytest.raises(InvalidParameterError, match=says):
        diarnb.identify("no-such-file.wav", asked.pop("voiceprints"), **asked)


def test_an_engine_that_knows_no_voices_says_so(prints: dict[str, str]) -> None:
    class Deaf:
        name = "deaf"
        offer = LocalEngine.offer
        version = LocalEngine.version
        diarize = LocalEngine.diarize

    assert LocalEngine().can(Engine.identify)
    for ask in (lambda: diarnb.voiceprint("x.wav", engine=Deaf()), lambda: diarnb.identify("x", prints, engine=Deaf())):
        with pytest.raises(InvalidParameterError, match="'deaf' has no voiceprints"):
            ask()


MAYA = """
ZGlhcm5iFmxvY2FsL2NhbXBwbHVzLXpoLWVuLzFHHqgsdio0pL2en65+JUkuyq2GrO2k26gEqQemKCyZLE4M0yeMqkmoEyqMFKYt
0jCepiIoQqlenS+sty+4rkYnwTAkMcUvrKybpZyseiojJ4+mdKFhpyYom6w4qSErf6kvpG4vEazAMcmsDS3unp0s76fdrWciMzDf
rG6slDB4qxows6gGpWCu3qGkqwSsqq2TGigpPynPqa4tIzCUH2qtQCzTIxEsAi68KZwrwC3pKZwoUKyrrQ6t2iu4L1irLSwopi2v
Uq0rJzQxzyjsqSSwlylCKxytQSHWKAyuhq66KTkgCayEJ4usk5oIqnsuLK2LrsUsWSxQIs6p/rDqplEuCCLyLGgjbKmyMHArZ6xp
pTCqGDArrJ+rECwXrgOsDK/Ulxov6I6rqbMnLh+gG/EnMDBQonesdSctKFOo8q7VJwwqASjRICatASkiIZGnkq6MJAyplqUPL1Qr
5594qhewuS4prYOuSSSRrMmfTSjkK/Yloq25JcUoxavgsdWtqatlj60z
"""
"""The first voiceprint that diarnb made, of what Maya says in the interview."""
