"""Subtitles that people can read: short lines, whole phrases, and who speaks where that changes."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import diarnb
from benchmarks import readability
from diarnb.errors import InvalidParameterError, TurnTableError
from diarnb.formats import read_words, write_subtitles
from diarnb.formats._shared.text import parse_cue_times
from diarnb.formats.subtitles import LINES, RATE, WIDTH, make_cues

if TYPE_CHECKING:
    from pathlib import Path


def exact(name: str) -> pd.DataFrame:
    return read_words(diarnb.example(name).with_suffix(".words.csv"))


@pytest.mark.parametrize("talk", [*readability.EXAMPLES, 0, 1, 2])
def test_subtitles_follow_the_usual_rules(talk: str | int) -> None:
    words = exact(talk) if isinstance(talk, str) else readability.talk(talk).assign(word="w")
    cues = make_cues(words)
    assert all(len(cue.lines) <= LINES for cue in cues)
    assert all(len(" ".join(word["text"] for word in line)) <= WIDTH for cue in cues for line in cue.lines)
    for cue, following in pairwise(cues):
        assert cue.start < cue.end <= following.start
        assert following.named == (following.speaker != cue.speaker)
        room = following.start - cue.start
        assert cue.size <= RATE * (cue.end - cue.start) + 1e-6 or room * RATE < cue.size  # else it would stay longer
    told = sorted(word["text"] for cue in cues for line in cue.lines for word in line)
    assert told == sorted(words["text"])
    lonely = sum(sum(map(len, cue.lines)) == 1 and cue.lines[0][0]["text"][-1] not in ".?!" for cue in cues)
    alone = sum(len(line) == 1 and len(cue.lines) > 1 for cue in cues for line in cue.lines)
    asides = words["text"].str.lower().str.strip(",.").isin([*readability.ASIDES, "great", "wow", "no"]).sum()
    assert lonely <= asides
    assert alone <= 0.02 * len(cues)


def test_an_srt_names_who_speaks_where_that_changes(tmp_path: Path) -> None:
    write_subtitles(exact("interview"), tmp_path / "talk.srt")
    blocks = (tmp_path / "talk.srt").read_text(encoding="utf-8").strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [str(number + 1) for number in range(len(blocks))]
    assert blocks[0].splitlines()[2] == "Maya: Welcome back. With me is Fergus,"
    assert all(len(line) <= WIDTH for block in blocks for line in block.splitlines()[2:])
    named = [bool(re.match(r"(Maya|Fergus): ", block.splitlines()[2])) for block in blocks]
    assert 0 < named.count(False) < named.count(True) * 2
    back = diarnb.read(tmp_path / "talk.srt")
    assert set(back["speaker"]) == {"Maya", "Fergus"}
    assert sorted(" ".join(back["text"]).split()) == sorted(exact("interview")["text"])


def test_a_vtt_has_voices_and_karaoke_has_the_time_of_each_word(tmp_path: Path) -> None:
    words = pd.DataFrame(
        {
            "start": [0.0, 0.5, 1.0],
            "end": [0.5, 0.9, 1.6],
            "word": ["salt", "&", "<b>"],
            "text": ["Salt", "&", "<b>."],
            "speaker": ["Dr <x>", "Dr <x>", "Dr <x>"],
        }
    )
    write_subtitles(words, tmp_path / "talk.vtt", karaoke=True)
    (head, times, text) = (tmp_path / "talk.vtt").read_text(encoding="utf-8").replace("\n\n", "\n").strip().splitlines()
    assert head == "WEBVTT"
    assert parse_cue_times(times) == (0.0, 1.6)
    assert text == "<v Dr &lt;x&gt;>Salt <00:00:00.500>&amp; <00:00:01.000>&lt;b&gt;.</v>"
    write_subtitles(words, tmp_path / "talk.vtt")
    assert "<00:" not in (tmp_path / "talk.vtt").read_text(encoding="utf-8")
    back = diarnb.read(tmp_path / "talk.vtt")
    assert back[["speaker", "text"]].to_numpy().tolist() == [["Dr <x>", "Salt & <b>."]]


def test_what_cannot_be_subtitles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match=r"\.srt or \.vtt, not 'talk.txt'"):
        write_subtitles(exact("call"), tmp_path / "talk.txt")
    with pytest.raises(InvalidParameterError, match="karaoke"):
        write_subtitles(exact("call"), tmp_path / "talk.srt", karaoke=True)
    with pytest.raises(TurnTableError, match="words=True"):
        write_subtitles(exact("call").iloc[:0], tmp_path / "talk.srt")
    assert list(tmp_path.iterdir()) == []
