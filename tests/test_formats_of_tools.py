"""Files as other tools write them, and damaged ones."""

from __future__ import annotations

import codecs
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import diarnb
from diarnb.errors import ConfigurationError, DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import FORMATS, READ_ONLY, from_annotation, read, read_words, to_annotation, write
from diarnb.testing import assert_turns_equal

if TYPE_CHECKING:
    from pathlib import Path


def rows(turns: pd.DataFrame, *names: str) -> list[list[Any]]:
    return turns[["start", "end", "speaker", *names]].to_numpy().tolist()


def saved(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# -- subtitles ---------------------------------------------------------------------------------------------------------


def test_subtitles_with_names_in_front_are_read(tmp_path: Path) -> None:
    content = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\nMaya: Hello\r\nthere.\r\n\r\n"
        "2\r\n0:00:03.2 --> 00:00:04,000 X1:40 X2:600\r\n{\\an8}<i>[Dr: Otto]: Not <b>now</b>.</i>\r\n\r\n"
        "3\r\n00:00:05,000 --> 01:00:06,000\r\nin a minute\r\n"
    )
    turns = read(saved(tmp_path, "a.srt", content))
    assert rows(turns, "text") == [
        [1.0, 2.5, "Maya", "Hello there."],
        [3.2, 4.0, "Dr: Otto", "Not now."],
        [5.0, 3606.0, "Dr: Otto", "in a minute"],
    ]


def test_subtitles_that_name_who_speaks_when_it_changes_are_read(tmp_path: Path) -> None:
    content = "1\n00:00:00,000 --> 00:00:01,000\n[speaker 0]\nSo.\n\n2\n00:00:01,000 --> 00:00:02,000\n42\n"
    turns = read(saved(tmp_path, "a.srt", content))
    assert rows(turns, "text") == [[0.0, 1.0, "speaker 0", "So."], [1.0, 2.0, "speaker 0", "42"]]


def test_subtitles_without_names_are_a_transcript_that_speakers_can_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.srt", "1\n00:00:00,000 --> 00:00:02,000\nHello there.\n")
    with pytest.raises(TurnTableError, match=r"a\.srt names no speaker.*assign_speakers.*read_words\('a\.srt'\)"):
        read(path)
    turns = pd.DataFrame({"start": [0], "end": [2], "speaker": ["Maya"]})
    named = diarnb.assign_speakers(read_words(path), turns)
    assert named[["text", "speaker"]].to_numpy().tolist() == [["Hello there.", "Maya"]]


@pytest.mark.parametrize("line", ["00:00:0x,000 --> 00:00:02,000", "00:00:03,000 --> 00:00:02,000", "1 --> 2", "-->"])
def test_a_subtitle_with_damaged_times_is_named_by_its_line(line: str, tmp_path: Path) -> None:
    content = f"1\n00:00:00,000 --> 00:00:01,000\nMaya: a\n\n2\n{line}\nMaya: b\n"
    with pytest.warns(DiarnbWarning, match=r"1 of 2 rows are damaged.* line 6: expected .*00:00:01,000") as caught:
        assert rows(read(saved(tmp_path, "a.srt", content)), "text") == [[0.0, 1.0, "Maya", "a"]]
    assert line in str(caught[0].message)
    with pytest.raises(TurnTableError, match=r"a\.srt, line 2: expected .*00:00:01,000") as error:
        read(saved(tmp_path, "a.srt", f"1\n{line}\nMaya: b\n" if line != "-->" else "1\n-->\nMaya: b\n"))
    assert line in str(error.value)


def test_captions_with_voices_settings_notes_and_styles_are_read(tmp_path: Path) -> None:
    content = """WEBVTT - a title
X-TIMESTAMP-MAP=LOCAL:00:00:00.000

STYLE
::cue { color: white }

NOTE made by hand
00:00:00.000 --> 00:00:01.000

intro
00:01.000 --> 00:02.500 align:start position:10%
<v.loud.first Maya &amp; Co>Hello, <i>you</i>
and &lt;you&gt;.</v>

00:00:02.000 --> 00:00:03.000
<v Otto>Yes. <v Fergus>No.

100:00:04.000 --> 100:00:05.000
Beth Lee: As of Zoom.
"""
    turns = read(saved(tmp_path, "a.vtt", content))
    assert rows(turns, "text") == [
        [1.0, 2.5, "Maya & Co", "Hello, you and <you>."],
        [2.0, 3.0, "Fergus", "No."],
        [2.0, 3.0, "Otto", "Yes."],
        [360004.0, 360005.0, "Beth Lee", "As of Zoom."],
    ]


def test_captions_that_name_nobody_are_left_out_and_told(tmp_path: Path) -> None:
    content = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Maya>Hello.\n\n00:02.000 --> 00:03.000\n(applause)\n"
    path = saved(tmp_path, "a.vtt", content)
    with pytest.warns(DiarnbWarning, match=r"a\.vtt: 1 of 2 stretches name no speaker and are left out") as caught:
        assert rows(read(path)) == [[1.0, 2.0, "Maya"]]
    assert caught[0].filename == __file__
    assert read_words(path)["speaker"].isna().tolist() == [False, True]


def test_a_voice_is_escaped_as_the_standard_wants(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0.5], "end": [3661.25], "speaker": ["Bob & <b>Co</b>"], "text": ["1 < 2 --> 3"]})
    write(turns, tmp_path / "a.vtt")
    assert (tmp_path / "a.vtt").read_bytes() == (
        b"WEBVTT\n\n00:00:00.500 --> 01:01:01.250\n<v Bob &amp; &lt;b&gt;Co&lt;/b&gt;>1 &lt; 2 --&gt; 3</v>\n"
    )
    assert_turns_equal(read(tmp_path / "a.vtt"), turns)


def test_a_damaged_caption_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(TurnTableError, match=r"a\.vtt, line 4: expected"):
        read(saved(tmp_path, "a.vtt", "WEBVTT\n\nx\n00:01.000 --> soon\nHello.\n"))
    with pytest.raises(TurnTableError, match=r"a\.vtt is no WebVTT: its first line"):
        read(saved(tmp_path, "a.vtt", "WEBVTTX\n"))


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


# -- JSON --------------------------------------------------------------------------------------------------------------

WHISPERX = {
    "segments": [
        {
            "start": 0.5,
            "end": 4.0,
            "text": " Unit 1. Page 58.",
            "words": [
                {"word": "Unit", "start": 0.5, "end": 1.0, "score": 0.7, "speaker": "SPEAKER_01"},
                {"word": "1."},
                {"word": "Page", "start": 2.0, "end": 2.5, "score": 0.8, "speaker": "SPEAKER_01"},
                {"word": "58."},
                {"word": "59."},
            ],
            "speaker": "SPEAKER_01",
        },
        {"start": 5.0, "end": 6.0, "text": "Yes", "words": [{"word": "Yes", "start": 5.0, "end": 5.5, "score": 0.9}]},
    ],
    "word_segments": [],
    "language": "en",
}


def as_json(folder: Path, data: Any) -> Path:
    return saved(folder, "a.json", json.dumps(data))


def test_a_transcript_of_whisperx_is_read_and_its_untimed_words_are_placed(tmp_path: Path) -> None:
    path = as_json(tmp_path, WHISPERX)
    with pytest.warns(DiarnbWarning, match=r"1 of 2 stretches name no speaker"):
        assert rows(read(path), "text") == [[0.5, 4.0, "SPEAKER_01", "Unit 1. Page 58."]]
    words = read_words(path)
    assert words["word"].tolist() == ["Unit", "1.", "Page", "58.", "59.", "Yes"]
    assert words["start"].tolist() == [0.5, 1.0, 2.0, 2.5, 3.25, 5.0]
    assert words["end"].tolist() == [1.0, 2.0, 2.5, 3.25, 4.0, 5.5]
    assert words["speaker"].isna().tolist() == [False] * 5 + [True]


def test_transcripts_of_the_whispers_without_speakers_give_their_words(tmp_path: Path) -> None:
    word = {"start": 0.06, "end": 0.74, "word": " And", "probability": 0.7}
    segment = {"id": 1, "seek": 0, "start": 0.06, "end": 1.5, "text": " And so", "tokens": [50364], "temperature": 0.0}
    for data in ([segment | {"words": [word]}], {"text": " And so", "segments": [segment | {"words": [word]}]}):
        path = as_json(tmp_path, data)
        assert read_words(path)[["word", "confidence"]].to_numpy().tolist() == [["And", 0.7]]
        with pytest.raises(TurnTableError, match="names no speaker"):
            read(path)
    words = read_words(as_json(tmp_path, [segment | {"words": None}]))
    assert words[["start", "end", "text"]].to_numpy().tolist() == [[0.06, 1.5, "And so"]]


def deepgram(*speakers: int | None) -> dict[str, Any]:
    words = [
        {"word": "yes", "start": 2.0 * n, "end": 2.0 * n + 0.5, "confidence": 0.9, "punctuated_word": "Yes."}
        | ({} if speaker is None else {"speaker": speaker, "speaker_confidence": 0.5})
        for n, speaker in enumerate(speakers)
    ]
    channel = {"alternatives": [{"transcript": "Yes. Yes.", "confidence": 0.9, "words": words}]}
    return {"metadata": {"request_id": "r", "duration": 10.0, "channels": 1}, "results": {"channels": [channel]}}


def test_an_answer_of_deepgram_is_read_as_its_engine_reads_it(tmp_path: Path) -> None:
    path = as_json(tmp_path, deepgram(0, 1, None))
    turns = read(path)
    assert rows(turns, "text", "confidence") == [
        [0.0, 0.5, "SPEAKER_00", "Yes.", 50.0],
        [2.0, 2.5, "SPEAKER_01", "Yes.", 50.0],
    ]
    assert read_words(path)["speaker"].isna().tolist() == [False, False, True]


def test_an_answer_of_deepgram_without_speakers_is_a_transcript(tmp_path: Path) -> None:
    path = as_json(tmp_path, deepgram(None, None))
    assert read_words(path)["text"].tolist() == ["Yes.", "Yes."]
    with pytest.raises(TurnTableError, match="names no speaker"):
        read(path)


def test_what_is_written_for_deepgram_is_what_its_engine_reads(tmp_path: Path) -> None:
    words = pd.DataFrame(
        {
            "start": [0.0, 1.0, 0.5],
            "end": [0.5, 1.5, 0.9],
            "word": ["so", "go", "no"],
            "text": ["So,", "go.", "No!"],
            "speaker": ["SPEAKER_00", "SPEAKER_00", "SPEAKER_01"],
            "channel": [0, 0, 1],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(words, tmp_path / "a.deepgram.json")
    assert diarnb.formats.deepgram.recognizes(json.loads((tmp_path / "a.deepgram.json").read_text()))
    turns = read(tmp_path / "a.deepgram.json")
    assert rows(turns, "text", "channel") == [
        [0.0, 1.5, "SPEAKER_00", "So, go.", 0],
        [0.5, 0.9, "SPEAKER_01", "No!", 1],
    ]


def test_answers_of_pyannoteai_are_read_whole_or_their_output_alone(tmp_path: Path) -> None:
    turn = {"speaker": "SPEAKER_01", "start": 0.505, "end": 1.5, "confidence": {"SPEAKER_01": 97, "SPEAKER_00": 3}}
    word = {"start": 0.6, "end": 0.9, "text": "Hello,", "speaker": "SPEAKER_01"}
    output = {"diarization": [turn], "wordLevelTranscription": [word]}
    for data in ({"jobId": "j", "status": "succeeded", "output": output}, output):
        path = as_json(tmp_path, data)
        assert rows(read(path), "confidence", "text") == [[0.505, 1.5, "SPEAKER_01", 97.0, "Hello,"]]
        assert read_words(path)[["word", "text", "speaker"]].to_numpy().tolist() == [["hello", "Hello,", "SPEAKER_01"]]


def test_our_json_keeps_columns_and_facts(tmp_path: Path) -> None:
    turns = read(diarnb.example("meeting").with_suffix(".rttm")).assign(note="a", confidence=50.5)
    turns.loc[1, "confidence"] = float("nan")
    write(turns, tmp_path / "a.json")
    back = read(tmp_path / "a.json")
    assert_turns_equal(back, turns)
    assert back.attrs["diarnb"] == turns.attrs["diarnb"]
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)  # no NaN


def test_a_bare_list_of_rows_is_a_table(tmp_path: Path) -> None:
    path = as_json(tmp_path, [{"start": 1, "end": 2, "speaker": "Maya", "text": "Hi"}])
    assert rows(read(path), "text") == [[1.0, 2.0, "Maya", "Hi"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"turns": [\n{"start": 0,}]}', "a.json, line 2: this is no JSON"),
        ('{"cars": 3}', "a.json is of no maker that is known: it is an object with the keys cars"),
        ("[1, 2]", "a.json is of no maker that is known: it is a list of 2 values"),
        ("[" * 100_000, "a.json is no JSON that can be read"),
        ('{"diarnb": {}, "turns": [{"start": "x", "end": 1, "speaker": "A"}]}', r'\["start"\] holds string'),
        ('{"segments": [{"start": 0, "text": "so", "speaker": "A"}]}', r"a.json: segments\[0\].end is None"),
        ('{"segments": [3]}', r"a.json: segments\[0\] is 3, not an object"),
        ('{"diarization": [{"start": 2, "end": 1, "speaker": "A"}]}', r"a.json: pyannoteAI's .*diarization\[0\]"),
        ('{"results": {"channels": [{}]}}', "a.json: channel 0 of this answer of Deepgram"),
    ],
)
def test_damaged_json_is_refused_with_the_place(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TurnTableError, match=says):
        read(saved(tmp_path, "a.json", content))


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
    with pytest.warns(DiarnbWarning, match="with 1 of 2 rows so short that they have no length"):
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
