"""Subtitles and captions as other tools write them, and damaged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

import diarnb
from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.formats import read, read_words, write
from diarnb.testing import assert_turns_equal
from tests.files import rows, saved

if TYPE_CHECKING:
    from pathlib import Path


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
