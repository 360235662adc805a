"""Files as other tools write them, and damaged ones."""

from __future__ import annotations

import codecs
import sys
import warnings
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import diarnb
from diarnb.errors import ConfigurationError, DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import FORMATS, READ_ONLY, from_annotation, read, read_words, to_annotation, write
from diarnb.testing import assert_turns_equal
from tests.files import rows, saved

if TYPE_CHECKING:
    from pathlib import Path


# -- the evaluations' formats ------------------------------------------------------------------------------------------


def test_ctm_of_the_evaluations_is_read_with_its_first_alternatives(tmp_path: Path) -> None:
    content = """;; a comment
talk A 0.10 0.30 hello 0.98 lex Maya
talk A 0.50 0.20 there NA lex Maya
talk A 0.9 * 1
"""
    with pytest.warns(DiarnbWarning, match=r"1 of 3 rows .* line 4: expected `uri channel start duration word"):
        assert len(read(saved(tmp_path, "a.ctm", content))) == 1
    content = """talk A 0.10 0.30 hello 0.98 lex Maya
talk A * * <ALT_BEGIN>
talk A 0.50 0.20 there 0.5 lex Maya
talk A * * <ALT>
talk A 0.50 0.20 their 0.5 lex Maya
talk A * * <ALT_END>
talk B 3.00 0.50 yes 1 lex Otto
talk A 9.00 0.50 uh 1 fp null
"""
    path = saved(tmp_path, "a.ctm", content)
    words = read_words(path)
    assert words["word"].tolist() == ["hello", "there", "yes", "uh"]
    assert words["confidence"].tolist() == [0.98, 0.5, 1.0, 1.0]
    assert words["channel"].tolist() == [0, 0, 1, 0]
    assert words.attrs["diarnb"]["source"] == "talk"
    with pytest.warns(DiarnbWarning, match="1 of 3 stretches"):
        turns = read(path)
    assert rows(turns, "text", "channel") == [[0.1, 0.7, "Maya", "hello there", 0], [3.0, 3.5, "Otto", "yes", 1]]


def test_ctm_of_five_fields_is_a_transcript(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.ctm", "one 1 0.1 0.3 hello\ntwo 1 0.2 0.3 yes\n")
    assert read_words(path)[["uri", "word"]].to_numpy().tolist() == [["one", "hello"], ["two", "yes"]]
    with pytest.raises(TurnTableError, match="names no speaker"):
        read(path)


def test_ctm_is_written_of_words_only(tmp_path: Path) -> None:
    words = read_words(diarnb.example("interview").with_suffix(".words.csv"))
    with pytest.warns(
        DiarnbWarning, match=r"written without text; with 241 values of confidence changed: 'nan' to '1\.0'$"
    ):
        write(words, tmp_path / "a.ctm")
    assert (tmp_path / "a.ctm").read_text().startswith("a 1 0.600 0.341 welcome 1.00 lex Maya\n")
    with pytest.raises(TurnTableError, match=r"a\.ctm was not written: CTM holds words.*diarnb\.words\(turns\)"):
        write(read(tmp_path / "a.ctm"), tmp_path / "a.ctm")
    assert len(read_words(tmp_path / "a.ctm")) == len(words)


def test_stm_is_read_with_and_without_labels_and_without_gaps(tmp_path: Path) -> None:
    content = """;; CATEGORY "0" "" ""
talk 1 inter_segment_gap 0 1.5 <NA> ignore_time_segment_in_scoring
talk 1 Maya_Lee 1.50 3.00 <o,f0,female> hello <unk> there
talk 1 Otto 2.00 3.25 yes
talk 1 Otto 4.00 5.25
"""
    turns = read(saved(tmp_path, "a.stm", content))
    assert rows(turns, "text") == [
        [1.5, 3.0, "Maya_Lee", "hello <unk> there"],
        [2.0, 3.25, "Otto", "yes"],
        [4.0, 5.25, "Otto", ""],
    ]


def test_uem_is_read_as_stretches_without_speakers(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.uem", ";; scored\ntalk 1 0.000 30.000\r\ntalk 1 45 60.5\n")
    stretches = read(path)
    assert stretches.to_numpy().tolist() == [[0.0, 30.0, 30.0], [45.0, 60.5, 15.5]]
    assert list(stretches) == ["start", "end", "duration"]
    write(stretches, tmp_path / "b.uem")
    assert (tmp_path / "b.uem").read_text() == "talk 1 0.000 30.000\ntalk 1 45.000 60.500\n"
    with pytest.warns(DiarnbWarning, match="written without speaker"):
        write(stretches.assign(speaker="Maya"), tmp_path / "b.uem")


def test_lab_is_read_in_seconds_and_in_the_units_of_htk(tmp_path: Path) -> None:
    assert rows(read(saved(tmp_path, "a.lab", "0 2 A\n1.5\t3.25\tB B\n"))) == [[0.0, 2.0, "A"], [1.5, 3.25, "B B"]]
    with pytest.warns(DiarnbWarning, match="1 intervals labelled as silence are left out"):
        assert rows(read(saved(tmp_path, "a.lab", "0 3600000 sil\n3600000 12500000 A\n"))) == [[0.36, 1.25, "A"]]
    assert read(saved(tmp_path, "a.lab", "0 20 A\n"))["end"].tolist() == [20.0]


# -- editors -----------------------------------------------------------------------------------------------------------


def test_labels_of_audacity_are_read_with_frequencies_and_decimal_commas(tmp_path: Path) -> None:
    content = "0,500000\t1,500000\tMaya\n\\\t100,0\t8000,0\n2.000000\t2.000000\tOtto: a mark\n3\t4\n"
    with pytest.warns(DiarnbWarning, match="1 of 3 stretches name no speaker"):
        turns = read(saved(tmp_path, "Label Track.txt", content))
    assert rows(turns, "text") == [[0.5, 1.5, "Maya", ""], [2.0, 2.0, "Otto", "a mark"]]
    with pytest.raises(TurnTableError, match=r"a\.txt, line 1: expected `start`, `end` and `label` between tabs"):
        read(saved(tmp_path, "a.txt", "Dear Maya,\n"))


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.3
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Maya"
        xmin = 0
        xmax = 2.3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.7
            text = ""
        intervals [2]:
            xmin = 0.7
            xmax = 1.9
            text = "she said ""no"" [2]: 1.5"
        intervals [3]:
            xmin = 1.9
            xmax = 2.3
            text = " "
    item [2]:
        class = "TextTier"
        name = "bell"
        xmin = 0
        xmax = 2.3
        points: size = 1
        points [1]:
            number = 1.25
            mark = "ding"
    item [3]:
        class = "IntervalTier"
        name = "Jürgen"
        xmin = 0
        xmax = 2.3
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.3
            text = "Jürgen"
"""


SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.3
<exists>
3
"IntervalTier"
"Maya"
0
2.3
3
0
0.7
""
0.7
1.9
"she said ""no"" [2]: 1.5"
1.9
2.3
" "
"TextTier"
"bell"
0
2.3
1
1.25
"ding"
"IntervalTier"
"Jürgen"
0
2.3
1
0
2.3
"Jürgen"
"""


@pytest.mark.parametrize("content", [LONG, SHORT, LONG.replace("\n", "\r\n"), SHORT.replace("\n", " ! so\n")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-be", "utf-16-le"])
def test_long_and_short_textgrids_are_read_as_praat_writes_them(content: str, encoding: str, tmp_path: Path) -> None:
    mark = {"utf-16-be": codecs.BOM_UTF16_BE, "utf-16-le": codecs.BOM_UTF16_LE}.get(encoding, b"")
    turns = read(saved(tmp_path, "a.TextGrid", mark + content.encode(encoding)))
    assert rows(turns, "text") == [[0.0, 2.3, "Jürgen", ""], [0.7, 1.9, "Maya", 'she said "no" [2]: 1.5']]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LONG.replace("xmax = 1.9", "xmax = soon", 1), r"line 22: expected a number in a TextGrid, found '\"she said"),
        (LONG[: LONG.index("points: size")], r"line 32: expected a number in a TextGrid, found the end"),
        (LONG.replace("<exists>", "<perhaps>"), r"line 7: expected <exists> or <absent>"),
        (LONG.replace('"TextGrid"', '"Sound"'), "something else of Praat's"),
        ("start,end\n", "is no TextGrid: it begins with"),
    ],
)
def test_a_damaged_textgrid_is_named_by_its_line(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TurnTableError, match=rf"^a\.TextGrid.*{says}"):
        read(saved(tmp_path, "a.TextGrid", content))


def test_who_overlaps_themselves_has_two_tiers(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0.0, 1.0], "end": [2.0, 3.0], "speaker": "Maya", "text": ["a", "b"]})
    for name in ("a.TextGrid", "a.eaf"):
        write(turns, tmp_path / name)
        assert_turns_equal(read(tmp_path / name), turns)
    assert (tmp_path / "a.TextGrid").read_text().count('name = "Maya"') == 2
    assert 'PARTICIPANT="Maya" TIER_ID="Maya (2)"' in (tmp_path / "a.eaf").read_text()


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-02T10:11:12+01:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///talk.wav" MIME_TYPE="audio/x-wav"/>
    <PROPERTY NAME="lastUsedAnnotationId">3</PROPERTY>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="780"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1590"/>
    <TIME_SLOT TIME_SLOT_ID="ts3"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2340"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="utterance" PARTICIPANT="Maya &amp; Co" TIER_ID="K-Spch">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts4">
        <ANNOTATION_VALUE>so &lt;you&gt; go</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="words" PARENT_REF="K-Spch" TIER_ID="W-Words">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
        <ANNOTATION_VALUE>so</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="utterance" TIER_ID="Otto">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts4">
        <ANNOTATION_VALUE/>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="utterance" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


def test_a_file_of_elan_is_read_without_its_dependent_tiers(tmp_path: Path) -> None:
    turns = read(saved(tmp_path, "a.eaf", EAF))
    assert rows(turns, "text") == [[0.78, 2.34, "Maya & Co", "so <you> go"], [1.59, 2.34, "Otto", ""]]


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(10))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (EAF.replace("<ANNOTATION_D", f"<!DOCTYPE a [{BOMB}]><ANNOTATION_D", 1).replace("so", "&e9;"), "document type"),
        (EAF.replace("<ANNOTATION_D", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><ANNOTATION_D', 1), "document type"),
        (EAF.replace("</TIER>", "", 1), r"line \d+: this is no XML: mismatched tag"),
        (EAF.replace('"ts4" TIME_VALUE="2340"', '"ts4"'), "annotation 'a1' of 'Maya & Co': it has no times"),
        (EAF.replace("milliseconds", "PAL-frames"), "counts time in 'PAL-frames'"),
        (EAF.replace("UTF-8", "EBCDIC-9"), "unknown encoding"),
        ("<html></html>", "its root is 'html'"),
        ("", "line 1: this is no XML"),
    ],
)
def test_a_file_of_elan_that_is_damaged_or_dangerous_is_refused(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TurnTableError, match=rf"^a\.eaf.*{says}"):
        read(saved(tmp_path, "a.eaf", content))


# -- words, Parquet, size, pyannote ------------------------------------------------------------------------------------


def test_a_table_of_words_makes_turns_that_end_at_pauses(tmp_path: Path) -> None:
    words = pd.DataFrame(
        {
            "start": [0.0, 0.5, 2.0, 2.2],
            "end": [0.4, 0.9, 2.1, 2.5],
            "word": ["so", "it", "is", "yes"],
            "speaker": ["Maya", "Maya", "Maya", "Otto"],
        }
    )
    for name in ("a.csv", "a.json", "a.parquet"):
        write(words, tmp_path / name)
        assert rows(read(tmp_path / name), "text") == [
            [0.0, 0.9, "Maya", "so it"],
            [2.0, 2.1, "Maya", "is"],
            [2.2, 2.5, "Otto", "yes"],
        ]
        assert read_words(tmp_path / name)["word"].tolist() == words["word"].tolist()


def test_words_without_speakers_can_be_kept_only_where_words_can(tmp_path: Path) -> None:
    words = pd.DataFrame({"start": [0.0], "end": [0.4], "word": ["so"], "speaker": [None]})
    write(words, tmp_path / "a.json")
    assert read_words(tmp_path / "a.json")["speaker"].isna().all()
    with pytest.raises(TurnTableError, match="no speaker in 1 of 1 rows"):
        write(words, tmp_path / "a.srt")


def test_a_file_without_words_says_so(tmp_path: Path) -> None:
    write(pd.DataFrame({"start": [0], "end": [2], "speaker": ["A"]}), tmp_path / "a.rttm")
    with pytest.raises(TurnTableError, match=r"a\.rttm holds no words"):
        read_words(tmp_path / "a.rttm")


def test_parquet_keeps_facts_and_types_and_refuses_what_is_none(tmp_path: Path) -> None:
    turns = read(diarnb.example("meeting").with_suffix(".rttm")).assign(channel=1, sure=True)
    turns.attrs["of the user"] = {1, 2}
    write(turns, tmp_path / "a.parquet")
    back = read(tmp_path / "a.parquet")
    assert back.attrs["diarnb"] == turns.attrs["diarnb"]
    assert back.dtypes.to_dict() == turns.dtypes.to_dict()
    with pytest.raises(TurnTableError, match=r"a\.parquet is no Parquet"):
        read(saved(tmp_path, "a.parquet", b"PAR1 and so on PAR1"))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'diarnb\[parquet\]'"):
        write(pd.DataFrame({"start": [0], "end": [2], "speaker": ["A"]}), tmp_path / "a.parquet")
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_file_that_cannot_be_a_table_of_turns_is_not_even_opened(suffix: str, tmp_path: Path) -> None:
    with (tmp_path / f"a{suffix}").open("wb") as file:
        file.truncate(10 * 2**30)  # of which nothing is on the disk
    with pytest.raises(TurnTableError, match="is too large for a table of turns"):
        read(tmp_path / f"a{suffix}")


def test_half_a_character_is_refused_and_the_older_file_stays(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0], "end": [2], "speaker": pd.Series(["\ud800"], dtype=object)})
    for suffix in (".rttm", ".json", ".srt"):
        path = saved(tmp_path, f"a{suffix}", "older")
        with pytest.raises(TurnTableError, match="was not written"):
            write(turns, path)
        assert path.read_text() == "older"


@pytest.mark.parametrize("suffix", sorted({*FORMATS} - READ_ONLY))
def test_what_is_no_table_is_refused_whatever_the_format(suffix: str, tmp_path: Path) -> None:
    for odd in (
        None,
        [1, 2],
        {"start": [0]},
        pd.DataFrame({"start": ["x"], "end": [1], "speaker": ["A"], "word": ["so"]}),
    ):
        with pytest.raises(TurnTableError, match="was not written"):
            write(odd, tmp_path / f"a{suffix}")
    odd = pd.DataFrame({"start": [0], "end": [1], "speaker": ["A"], "word": [5], "text": [42], "channel": ["left"]})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(odd, tmp_path / f"a{suffix}")
    except TurnTableError:
        assert not list(tmp_path.glob("a*"))


def test_turns_that_become_points_are_told(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0.0, 1.0], "end": [0.0004, 2.0], "speaker": ["A", "B"]})
    with pytest.warns(DiarnbWarning, match="with 1 of 2 rows so short that their length becomes 0"):
        write(turns, tmp_path / "a.srt")
    with pytest.warns(DiarnbWarning, match="without 1 of 2 rows, which have no length"):
        write(turns.assign(end=[0.0, 2.0]), tmp_path / "a.TextGrid")


def test_an_annotation_goes_there_and_back_with_overlap_and_twins() -> None:
    turns = pd.DataFrame({"start": [0, 0, 1.0, 1.0], "end": [2, 2, 3, 3], "speaker": ["A B", "B", "A B", "A B"]})
    turns.attrs["diarnb"] = {"source": "talk.wav"}
    annotation = to_annotation(turns)
    assert annotation.uri == "talk.wav"
    assert annotation.label_duration("A B") == 3.0
    back = from_annotation(annotation)
    assert_turns_equal(back, turns)
    assert back.attrs["diarnb"]["source"] == "talk.wav"
    with pytest.warns(DiarnbWarning, match="1 of 2 turns have no length"):
        to_annotation(pd.DataFrame({"start": [0, 1], "end": [2, 1], "speaker": ["A", "B"]}))
    with pytest.raises(InvalidParameterError, match="this table has 2"):
        to_annotation(turns.assign(uri=["a", "a", "b", "b"]))
    with pytest.raises(InvalidParameterError, match="not an annotation"):
        from_annotation(turns)
