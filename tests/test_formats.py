from __future__ import annotations

import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diarnb
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import FORMATS, READ_ONLY, WORDS_ONLY, read, write
from diarnb.tables.turns import empty_turns, make_turns
from diarnb.testing import assert_turns_equal

A, B = "SPEAKER_00", "SPEAKER_01"
WRITTEN = sorted({*FORMATS} - READ_ONLY)
OF_TURNS = sorted({*WRITTEN} - WORDS_ONLY - {".uem"})
TURNS = pd.DataFrame({"start": [0.0, 1.5], "end": [2.0, 3.25], "speaker": [A, B]})

characters = st.characters(
    codec="utf-8",
)
label = st.one_of(
    st.text(characters, min_size=1, max_size=8),
    st.text("='+-@\t\r\n\"', ;\u2028\ufeff", max_size=5),
    st.sampled_from(["NA", "nan", "None", "001", "1e5", "True", "<NA>", ";;", "'"]),
).filter(str.strip)  # who has no name is nobody


def tables(times: st.SearchStrategy[float], labels: st.SearchStrategy[str]) -> st.SearchStrategy[pd.DataFrame]:
    row = st.tuples(times, times, labels).map(lambda row: (min(row[:2]), max(row[:2]), row[2]))
    rows = st.lists(row, max_size=6)
    return rows.map(lambda rows: pd.DataFrame(rows, columns=["start", "end", "speaker"]))


def there_and_back(turns: pd.DataFrame, suffix: str) -> pd.DataFrame:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"turns{suffix}"
        write(turns, path)
        return read(path)


# -- any format --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", OF_TURNS)
def test_turns_come_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"turns{suffix.upper()}"
    path.write_text("something older")
    write(TURNS, path)
    assert_turns_equal(read(str(path)), TURNS)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", OF_TURNS)
def test_no_turns_come_back_typed(suffix: str) -> None:
    assert there_and_back(empty_turns(), suffix).dtypes.to_dict() == empty_turns().dtypes.to_dict()


def test_an_unknown_suffix_is_refused_with_the_known_ones() -> None:
    for use in (read, lambda path: write(TURNS, path)):
        with pytest.raises(InvalidParameterError, match=r"'turns\.xyz' is of no known format.*\.csv, .*\.rttm"):
            use("turns.xyz")


@pytest.mark.parametrize("suffix", sorted(READ_ONLY))
def test_what_is_only_read_is_not_written(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="can be read, but not written"):
        write(TURNS, tmp_path / f"turns{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_file_that_is_missing_is_an_oserror(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / f"none{suffix}")
    with pytest.raises(FileNotFoundError, match="no folder"):
        write(TURNS, tmp_path / "none" / f"turns{suffix}")


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_table_that_is_none_leaves_the_older_file_as_it_was(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"turns{suffix}"
    path.write_text("something older")
    with pytest.raises(TurnTableError):
        write(TURNS.assign(start=9.0), path)
    assert path.read_text() == "something older"


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_no_text_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"turns{suffix}").write_bytes(b"start,end,speaker\n1,2,\xff\xfe\x81\n")
    with pytest.raises(TurnTableError, match=f"^turns{suffix}"):
        read(tmp_path / f"turns{suffix}")


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "turns.csv")
    write(TURNS, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert_turns_equal(read(tmp_path / "turns.csv"), TURNS)


# -- RTTM --------------------------------------------------------------------------------------------------------------


def test_rttm_is_written_as_the_field_knows_it(tmp_path: Path) -> None:
    turns = make_turns(TURNS.to_dict("records"), facts={"source": "meeting.wav"})
    write(turns, tmp_path / "out.rttm")
    assert (tmp_path / "out.rttm").read_bytes() == (
        b"SPEAKER meeting 1 0.000 2.000 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        b"SPEAKER meeting 1 1.500 1.750 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
    )
    assert read(tmp_path / "out.rttm").attrs["diarnb"]["source"] == "meeting"


def test_a_table_without_a_source_is_named_after_its_file(tmp_path: Path) -> None:
    write(TURNS, tmp_path / "out.rttm")
    assert (tmp_path / "out.rttm").read_text().startswith("SPEAKER out 1 ")


def test_untidy_rttm_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_bytes(
        b"\xef\xbb\xbf;; a comment\r\n\r\n"
        b"SPKR-INFO  meeting 1 <NA> <NA> <NA> unknown Beth <NA>\r\n"
        b"  SPEAKER\tmeeting  <NA>   0.1 0.2   <NA> <NA>  Beth\r\n"
        b"SPEAKER meeting 1 0 .05 <NA> <NA> J\xc3\xbcrgen 0.9 <NA>"
    )
    turns = read(tmp_path / "a.rttm")
    assert turns[["start", "end", "speaker"]].to_numpy().tolist() == [[0.0, 0.05, "Jürgen"], [0.1, 0.3, "Beth"]]
    assert list(turns) == ["start", "end", "duration", "speaker"]


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER meeting 1 0.0 1.0 <NA> <NA>",
        "SPEAKER meeting 1 zero 1.0 <NA> <NA> Beth <NA> <NA>",
        "SPEAKER meeting 1 0.0 -1.0 <NA> <NA> Beth <NA> <NA>",
        "SPEAKER meeting 1 -0.5 1.0 <NA> <NA> Beth <NA> <NA>",
        "SPEAKER meeting 1 nan 1.0 <NA> <NA> Beth <NA> <NA>",
        "SPEAKER meeting 1 0.0 inf <NA> <NA> Beth <NA> <NA>",
        "SPEAKER my meeting 1 0.0 1.0 Beth smiles and says nothing",
    ],
)
def test_a_bad_line_is_named_by_its_number(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(f";; first\n{line}\n")
    with pytest.raises(TurnTableError, match=r"a\.rttm, line 2: expected") as error:
        read(tmp_path / "a.rttm")
    assert line in str(error.value)


def test_a_file_of_something_else_is_no_rttm(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text("start,end,speaker\n0,1,Beth\n")
    with pytest.raises(TurnTableError, match="none of its 2 lines begins with SPEAKER"):
        read(tmp_path / "a.rttm")


def test_recordings_and_channels_come_back() -> None:
    turns = TURNS.assign(channel=[0, 1], uri=["one", "two"])
    assert_turns_equal(there_and_back(turns, ".rttm"), turns)


def test_what_rttm_cannot_hold_is_reported() -> None:
    with pytest.warns(DiarnbWarning, match="written without text, confidence"):
        there_and_back(TURNS.assign(text="Hi", confidence=90.0), ".rttm")


def test_names_with_spaces_are_joined_stay_apart_and_are_reported() -> None:
    turns = pd.DataFrame({"start": range(4), "end": range(1, 5), "speaker": ["A B", "A_B", " A\tB ", "A  B"]})
    with pytest.warns(DiarnbWarning, match="3 values of speaker changed: .*'A B' to 'A_B___'") as caught:
        back = there_and_back(turns, ".rttm")
    assert back["speaker"].nunique() == 4
    assert back["speaker"][1] == "A_B"
    assert caught[0].filename == __file__


word = label.map(lambda text: "_".join(text.split()) or "_")


@given(tables(st.integers(0, 5 * 10**5).map(lambda milliseconds: milliseconds / 1000), word))
@settings(max_examples=50)
def test_rttm_gives_back_milliseconds_and_any_label_without_spaces(turns: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*was written")
        assert_turns_equal(there_and_back(turns, ".rttm"), turns)


@given(tables(st.floats(0, 500), word))
@settings(max_examples=30)
def test_rttm_is_exact_to_half_a_millisecond(turns: pd.DataFrame) -> None:
    back = there_and_back(turns, ".rttm")
    assert len(back) == len(turns)
    for name in ("start", "end"):
        assert sorted(back[name]) == pytest.approx(sorted(turns[name]), abs=0.000501)


# -- CSV ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(tables(st.integers(0, 5 * 10**8).map(lambda number: number / 10**6), label), label, st.floats(-1e9, 1e9))
@settings(max_examples=100)
def test_csv_gives_back_every_digit_and_every_label(turns: pd.DataFrame, text: str, number: float) -> None:
    turns = turns.assign(text=text, uri="u", number=number)
    assert_turns_equal(there_and_back(turns, ".csv"), turns)


def test_no_cell_of_a_csv_begins_a_formula(tmp_path: Path) -> None:
    labels = ["=HYPERLINK(1)", "+1", "-1", "@SUM", "'=1", "\t=1"]
    turns = pd.DataFrame({"start": range(6), "end": range(1, 7), "speaker": labels, "=note": "=1+1"})
    write(turns, tmp_path / "a.csv")
    cells = pd.read_csv(tmp_path / "a.csv", dtype=str)
    assert all(cell[0] not in "=+-@\t\r" for cell in [*cells.columns, *cells.to_numpy().ravel()])
    assert_turns_equal(read(tmp_path / "a.csv"), turns)


def test_gaps_among_numbers_come_back_as_gaps() -> None:
    turns = TURNS.assign(confidence=[90.5, None], channel=[0, 1], sure=[True, False])
    back = there_and_back(turns, ".csv")
    assert back["confidence"].isna().tolist() == [False, True]
    assert back.dtypes[["channel", "sure"]].tolist() == ["int64", "bool"]


def test_a_csv_without_the_columns_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("von,bis,wer\n0,1,Beth\n")
    with pytest.raises(
        TurnTableError, match=r"a\.csv: .* no column start nor end nor speaker \(found: von, bis, wer\)"
    ):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("content", ["", "start,end,speaker\n0,1\n", 'start,end,speaker\n0,1,"A'])
def test_a_csv_that_cannot_be_parsed_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(TurnTableError, match=r"a\.csv"):
        read(tmp_path / "a.csv")


OF_SEVERAL = TURNS.assign(uri=["talk.flac", "call.2.wav"])


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".txt", ".TextGrid", ".eaf", ".lab", ".whisperx.json", ".html"])
def test_several_recordings_are_never_put_on_one_timeline(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TurnTableError, match=r"one (file|page) each") as refused:
        write(OF_SEVERAL, f"all{suffix}")
    assert not list(tmp_path.iterdir())
    line = str(refused.value).partition("`")[2].rpartition("`")[0]
    exec(line, {"turns": OF_SEVERAL, "diarnb": diarnb})
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"call.2.wav{suffix}", f"talk.flac{suffix}"]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".labelstudio.json", ".xlsx"])
def test_several_recordings_come_back_from_what_has_a_field_for_them(suffix: str) -> None:
    assert there_and_back(OF_SEVERAL, suffix).groupby("speaker")["uri"].first().tolist() == ["talk.flac", "call.2.wav"]


@pytest.mark.parametrize("suffix", [".rttm", ".stm"])
def test_the_evaluations_name_recordings_without_a_suffix_and_scores_find_them(suffix: str) -> None:
    back = there_and_back(OF_SEVERAL, suffix)
    assert sorted(back["uri"]) == ["call.2", "talk"]
    assert (diarnb.score(OF_SEVERAL, back)["der"] == 0).all()


def test_names_that_differ_by_their_suffix_only_keep_it() -> None:
    two = TURNS.assign(uri=["talk.flac", "talk.wav"])
    assert sorted(there_and_back(two, ".rttm")["uri"]) == ["talk.flac", "talk.wav"]
