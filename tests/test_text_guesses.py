"""What people try first teaches them what it is called here, or just works."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import analysis, comparing, testing
from diarnb._text import explain
from diarnb.errors import AudioNotFoundError, DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import from_annotation, to_annotation

MEETING = diarnb.example("meeting")
TRUTH = MEETING.with_suffix(".rttm")


@pytest.fixture
def turns() -> pd.DataFrame:
    return diarnb.read(TRUTH)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("load", "diarnb.diarize"),
        ("transcribe", "words="),
        ("play", "diarnb.player"),
        ("to_rttm", 'diarnb.write(turns, "talk.rttm")'),
        ("save_csv", 'diarnb.write(turns, "talk.csv")'),
        ("read_rttm", 'diarnb.read("talk.rttm")'),
        ("merge", "diarnb.rename"),
        ("diarise", "did you mean diarize?"),
        ("Timeline", "did you mean timeline?"),
    ],
)
def test_a_first_guess_is_told_what_it_is_called_here(turns: pd.DataFrame, name: str, says: str) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(diarnb, name)
    assert says in str(raised.value)


@pytest.mark.parametrize("name", ["plot", "play", "merge", "save", "to_rttm", "speaker"])
def test_the_accessor_teaches_as_well(turns: pd.DataFrame, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"turns\.diar has no '{name}': .*\w"):
        getattr(turns.diar, name)
    assert not hasattr(turns.diar, "_repr_png_")


def test_what_a_guess_is_told_runs(turns: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(explain("to_csv", []).removeprefix(": ").partition(")")[0] + ")", {"diarnb": diarnb, "turns": turns})
    assert Path("talk.csv").is_file()
    exec(explain("read_csv", []).removeprefix(": ").partition(")")[0] + ")", {"diarnb": diarnb})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("plot", "diarnb.timeline(turns)"),
        ("formats", "diarnb.write(turns"),
        ("analysis", "diarnb.speakers(turns)"),
        ("metrics", "diarnb.score(reference, hypothesis)"),
        ("batch", "diarnb.diarize_many(files)"),
        ("cloud", 'engine="pyannoteai"'),
    ],
)
def test_a_module_that_is_called_says_what_was_meant(turns: pd.DataFrame, name: str, says: str) -> None:
    with pytest.raises(TypeError, match=f"diarnb.{name} is a module: .*{re.escape(says)}"):
        getattr(diarnb, name)(turns)


def test_a_wrong_name_loads_nothing_heavy() -> None:
    code = "import sys, diarnb; hasattr(diarnb, 'load'); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["Ann", "Ben"], "rename(turns, {'Fergus': 'Ann', 'Maya': 'Ben'})"),
        ("Ann", "rename(turns, {'Fergus': 'Ann'})"),
    ],
)
def test_rename_shows_the_mapping_that_a_list_meant(turns: pd.DataFrame, names: object, line: str) -> None:
    with pytest.raises(InvalidParameterError) as raised:
        diarnb.rename(turns, names)  # type: ignore[arg-type]
    assert line in str(raised.value)
    assert "Ann" in set(eval(line, {"rename": diarnb.rename, "turns": turns})["speaker"])


def test_write_says_which_comes_first(turns: pd.DataFrame) -> None:
    with pytest.raises(InvalidParameterError, match=r"diarnb\.write\(turns, 'x\.rttm'\)"):
        diarnb.write("x.rttm", turns)  # type: ignore[arg-type]


def test_read_says_how_to_fetch_an_address_and_shows_no_token() -> None:
    with pytest.raises(InvalidParameterError, match="urlretrieve") as raised:
        diarnb.read("https://example.org/a.rttm?token=secret")
    assert "secret" not in str(raised.value)


def test_score_and_worst_read_the_files_that_they_are_given(turns: pd.DataFrame, tmp_path: Path) -> None:
    diarnb.write(turns.iloc[3:], tmp_path / "mine.csv")
    pd.DataFrame({"start": [0.0], "end": [60.0]}).to_csv(tmp_path / "part.csv", index=False)
    pd.testing.assert_frame_equal(
        diarnb.score(str(TRUTH), tmp_path / "mine.csv"), diarnb.score(turns, diarnb.read(tmp_path / "mine.csv"))
    )
    assert len(diarnb.worst(TRUTH, turns.iloc[3:]))


@pytest.mark.parametrize("verb", [diarnb.timeline, diarnb.player, diarnb.cards, diarnb.review, diarnb.speakers])
def test_a_path_where_a_table_is_wanted_is_told_what_makes_one(
    verb: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TurnTableError) as raised:
        verb("talk.wav")  # type: ignore[operator]
    assert "diarnb.diarize('talk.wav')" in str(raised.value)
    del raised
    assert capsys.readouterr().err == ""  # nor does what was not made complain when it goes


def test_a_dict_as_pyannote_takes_one_is_a_recording() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-3, (1, 16_000)).astype("f4")
    for mapping in ({"waveform": noise, "sample_rate": 16_000}, MappingProxyType({"audio": (noise, 16_000)})):
        assert diarnb.diarize(mapping, progress=False).empty
    with pytest.raises(AudioNotFoundError, match=r"talk\.wav"):
        diarnb.diarize({"audio": "talk.wav"}, progress=False)


def test_an_annotation_is_taken_wherever_a_table_is(turns: pd.DataFrame, tmp_path: Path) -> None:
    annotation = to_annotation(turns)
    turns = from_annotation(annotation)
    words = diarnb.formats.read_words(MEETING.with_suffix(".words.csv"))
    for verb in (
        *(diarnb.speakers, diarnb.overlap, diarnb.exclusive, analysis.summary, analysis.interruptions),
        *(analysis.monologues, analysis.responses, analysis.turn_taking, analysis.per_minute),
        lambda table: diarnb.rename(table, {"Maya": "Beth"}),
        lambda table: diarnb.compare(table, turns),
        lambda table: diarnb.worst(turns.iloc[1:], table),
        lambda table: comparing.over_time(turns, table),
        lambda table: diarnb.assign_speakers(words, table),
        lambda table: analysis.doubtful_words(words, table),
    ):
        pd.testing.assert_frame_equal(verb(annotation), verb(turns))
    testing.assert_turns_equal(annotation, turns)
    diarnb.write(annotation, tmp_path / "a.rttm")
    assert len(diarnb.timeline(annotation, reference=annotation).get_yticklabels()) > 4
    assert len(comparing.compare_plot(annotation, turns).get_yticklabels()) > 4
    player = diarnb.player(annotation, MEETING)
    assert len(player.turns) == len(turns)
    player.close()


@pytest.mark.parametrize(
    ("engine", "meant"),
    [
        ("Local", "did you mean 'local'"),
        ("pyanote", "'pyannote'"),
        ("deepgramm", "did you mean 'deepgram'"),
    ],
)
def test_an_engine_spelt_otherwise_is_named(engine: str, meant: str) -> None:
    with pytest.raises(InvalidParameterError, match=meant):
        diarnb.diarize(MEETING, engine=engine)


def test_a_run_without_words_says_why_it_has_none(known: dict[str, pd.DataFrame]) -> None:
    for verb in (diarnb.words, diarnb.utterances):
        with pytest.warns(DiarnbWarning, match="no words.*words="):
            assert verb(known["call"]).empty
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diarnb.player(known["call"]).close()  # it asks by itself, and nobody wondered


def test_a_timeline_beyond_the_end_says_where_the_end_is(turns: pd.DataFrame) -> None:
    with pytest.raises(InvalidParameterError, match=r"start=200 lies beyond the end, 8\d\.\d s"):
        diarnb.timeline(turns, start=200)
