"""Files and recordings as strangers have them: each gives what it must, and what was chosen is told."""

from __future__ import annotations

import gzip
import json
import struct
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from benchmarks.strangers import CASES, Case, judge, name_case
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.formats import FORMATS, read, read_words, write
from diarnb.formats.makers import MAKERS, Maker, Rows
from tests.files import saved

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", [case for cases in CASES.values() for case in cases], ids=name_case)
def test_a_strangers_file_gives_what_it_must(case: Case) -> None:
    verdict = judge(case)
    assert verdict.word == "right", f"found {verdict.found}, expected {case.expected}; said {verdict.said}"


def rows(turns: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return list(turns[["start", "end", "speaker", *names]].itertuples(index=False, name=None))


# -- makers ------------------------------------------------------------------------------------------------------------

SPEECHMATICS = {
    "format": "2.9",
    "results": [
        {"type": "word", "start_time": 0.3, "end_time": 0.8, "alternatives": [{"content": "Hi", "speaker": "S1"}]},
        {
            "type": "punctuation",
            "start_time": 0.8,
            "end_time": 0.8,
            "alternatives": [{"content": ".", "speaker": "S1"}],
        },
        {"type": "word", "start_time": 1.0, "end_time": 1.2, "alternatives": [{"content": "Yes", "speaker": "S2"}]},
        {"type": "word", "start_time": 2.0, "end_time": 2.2, "alternatives": [{"content": "hm", "speaker": "UU"}]},
    ],
}
ELEVENLABS = {
    "language_code": "en",
    "text": "Hi you",
    "words": [
        {"text": "Hi", "start": 0.1, "end": 0.4, "type": "word", "speaker_id": "speaker_0"},
        {"text": " ", "start": 0.4, "end": 0.5, "type": "spacing", "speaker_id": "speaker_0"},
        {"text": "(laughs)", "start": 0.5, "end": 0.6, "type": "audio_event", "speaker_id": "speaker_0"},
        {"text": "you", "start": 0.6, "end": 0.9, "type": "word", "speaker_id": "speaker_1"},
    ],
}
GLADIA = {
    "result": {
        "transcription": {
            "utterances": [
                {
                    "text": "Hello there",
                    "start": 0.2,
                    "end": 1.1,
                    "speaker": 0,
                    "channel": 0,
                    "words": [{"word": " Hello", "start": 0.2, "end": 0.6, "confidence": 0.9}],
                }
            ]
        }
    }
}
SONIOX = {
    "tokens": [
        {"text": "Hel", "start_ms": 120, "end_ms": 300, "confidence": 0.9, "speaker": "1"},
        {"text": "lo", "start_ms": 300, "end_ms": 500, "confidence": 0.9, "speaker": "1"},
        {"text": " you", "start_ms": 600, "end_ms": 900, "confidence": 0.9, "speaker": "1"},
        {"text": " yes", "start_ms": 900, "end_ms": 1200, "confidence": 0.9, "speaker": "2"},
    ]
}
AZURE_BATCH = {
    "recognizedPhrases": [
        {
            "channel": 0,
            "speaker": 2,
            "offset": "PT0.25S",
            "duration": "PT0.85S",
            "offsetInTicks": 2_500_000.0,
            "durationInTicks": 8_500_000.0,
            "nBest": [{"display": "Hello there."}],
        }
    ]
}
GOOGLE_NEW = {
    "results": [
        {
            "alternatives": [
                {"words": [{"startOffset": "0.300s", "endOffset": "0.800s", "word": "hi", "speakerLabel": "2"}]}
            ]
        }
    ]
}
GOOGLE_TWICE = {
    "results": [
        {"alternatives": [{"words": [{"startTime": "0.3s", "endTime": "0.8s", "word": "hi"}]}]},
        {"alternatives": [{"words": [{"startTime": "0.3s", "endTime": "0.8s", "word": "hi", "speakerTag": 1}]}]},
    ]
}
AWS = {
    "results": {
        "transcripts": [{"transcript": "Hello."}],
        "speaker_labels": {"segments": [{"start_time": "0.25", "end_time": "1.1", "speaker_label": "spk_0"}]},
        "items": [
            {"type": "pronunciation", "start_time": "0.3", "end_time": "0.9", "alternatives": [{"content": "Hello"}]},
            {"type": "punctuation", "alternatives": [{"content": "."}]},
        ],
    }
}
PODCAST = {
    "version": "1.0.0",
    "segments": [{"speaker": "Maya", "startTime": 0.5, "endTime": 0.75, "body": "Hi."}],
}
LHOTSE = [
    {"id": "a-0", "recording_id": "a", "start": 0.5, "duration": 1.25, "channel": 0, "text": "Hi", "speaker": "s1"}
]
JSON_MIN = [{"audio": "/data/a.wav", "label": [{"start": 0.1, "end": 1.5, "channel": 0, "labels": ["Maya"]}]}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (SPEECHMATICS, [(0.3, 0.8, "S1", "Hi."), (1.0, 1.2, "S2", "Yes")]),
        (ELEVENLABS, [(0.1, 0.4, "speaker_0", "Hi"), (0.6, 0.9, "speaker_1", "you")]),
        (GLADIA, [(0.2, 1.1, "SPEAKER_00", "Hello there")]),
        (GLADIA["result"], [(0.2, 1.1, "SPEAKER_00", "Hello there")]),
        (SONIOX, [(0.12, 0.9, "SPEAKER_01", "Hello you"), (0.9, 1.2, "SPEAKER_02", "yes")]),
        (AZURE_BATCH, [(0.25, 1.1, "SPEAKER_02", "Hello there.")]),
        (GOOGLE_NEW, [(0.3, 0.8, "SPEAKER_02", "hi")]),
        (GOOGLE_TWICE, [(0.3, 0.8, "SPEAKER_01", "hi")]),
        (AWS, [(0.25, 1.1, "spk_0", "Hello.")]),
        (PODCAST, [(0.5, 0.75, "Maya", "Hi.")]),
        (LHOTSE, [(0.5, 1.75, "s1", "Hi")]),
        (JSON_MIN, [(0.1, 1.5, "Maya")]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*name no speaker")
def test_a_makers_json_is_read_in_seconds(data: Any, expected: list[Any], tmp_path: Path) -> None:
    turns = read(saved(tmp_path, "a.json", json.dumps(data)))
    assert rows(turns, *(["text"] if "text" in turns else [])) == expected


def test_makers_give_their_words(tmp_path: Path) -> None:
    words = read_words(saved(tmp_path, "a.json", json.dumps(AWS)))
    assert words[["start", "word", "speaker"]].to_numpy().tolist() == [[0.3, "Hello.", "spk_0"]]
    words = read_words(saved(tmp_path, "a.json", json.dumps(SPEECHMATICS)))
    assert words["word"].tolist() == ["Hi.", "Yes", "hm"]
    assert words["speaker"].isna().tolist() == [False, False, True]
    with pytest.raises(TurnTableError, match="holds no words"):
        read_words(saved(tmp_path, "a.json", json.dumps(JSON_MIN)))


def test_json_lines_are_a_list(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({**LHOTSE[0], "recording_id": uri}) for uri in ("a", "b"))
    assert read(saved(tmp_path, "a.jsonl", lines))["uri"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"turns": [{"start": 1, "end": 2, "speaker": "A"}]},
            "in which turns is a list of objects with the keys start",
        ),
        ({"words": [{"start": 250, "end": 650}]}, "in which words is a list"),
        ({"a": {"b": [{"from": 1, "who": "A"}]}}, r"in which a\.b is a list of objects with the keys from, who"),
        ([{"from": 1, "who": "A"}], "a list of 1 of objects with the keys from, who"),
        ("hello", "str 'hello'"),
    ],
)
def test_json_of_nobody_known_is_refused_with_what_it_looks_like(data: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(TurnTableError, match=rf"^a\.json is from no known tool: .*{says}"):
        read(saved(tmp_path, "a.json", json.dumps(data)))


def test_a_maker_of_ones_own_is_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = Maker("Acme", ["acme", "parts[].t0"], [Rows("parts[]", "t0", "t1", speaker="who", text="said", unit=0.01)])
    monkeypatch.setattr("diarnb.formats.makers.MAKERS", [acme, *MAKERS])
    path = saved(tmp_path, "a.json", '{"acme": 1, "parts": [{"t0": 50, "t1": 125, "who": "Maya", "said": "Hi"}]}')
    assert rows(read(path), "text") == [(0.5, 1.25, "Maya", "Hi")]


def test_label_studio_goes_there_and_back(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0.5, 1.0], "end": [1.5, 2.0], "speaker": ["Maya", "Otto"], "text": ["Hi.", "Yes."]})
    write(turns, tmp_path / "a.labelstudio.json")
    tasks = json.loads((tmp_path / "a.labelstudio.json").read_text())
    assert tasks[0]["data"] == {"audio": "a"}
    assert [row["type"] for row in tasks[0]["annotations"][0]["result"]] == ["labels", "textarea"] * 2
    for name in ("a.labelstudio.json", "a.json"):
        saved(tmp_path, name, (tmp_path / "a.labelstudio.json").read_bytes())
        assert rows(read(tmp_path / name), "text") == rows(turns, "text")


def test_an_answer_that_is_written_for_deepgram_loads_in_its_own_client(tmp_path: Path) -> None:
    types = pytest.importorskip("deepgram.types")
    words = pd.DataFrame({"start": [0.0], "end": [0.5], "word": ["so"], "speaker": ["SPEAKER_00"]})
    write(words, tmp_path / "a.deepgram.json")
    answer = types.ListenV1Response.model_validate_json((tmp_path / "a.deepgram.json").read_text())
    assert answer.results.channels[0].alternatives[0].words[0].word == "so"
    assert answer.metadata.duration == 0.5


def test_a_transcript_that_is_written_for_whisperx_has_its_language(tmp_path: Path) -> None:
    segment = {"start": 0.5, "end": 1.0, "text": "Ja.", "speaker": "A"}
    turns = read(saved(tmp_path, "a.json", json.dumps({"segments": [segment], "language": "de"})))
    write(turns, tmp_path / "b.whisperx.json")
    assert json.loads((tmp_path / "b.whisperx.json").read_text())["language"] == "de"
    write(pd.DataFrame(turns), tmp_path / "c.whisperx.json")
    write(pd.DataFrame({"start": [0], "end": [1], "speaker": ["A"]}), tmp_path / "d.whisperx.json")
    assert json.loads((tmp_path / "d.whisperx.json").read_text())["language"] == "und"


# -- names in front of text --------------------------------------------------------------------------------------------


def subtitles(*lines: str) -> str:
    cues = (f"{n}\n00:00:{n:02d},000 --> 00:00:{n + 1:02d},000\n{line}\n" for n, line in enumerate(lines, start=1))
    return "\n".join(cues)


def test_the_whole_file_votes_on_names(tmp_path: Path) -> None:
    talk = subtitles("Maya: Hello.", "Otto: Hi.", "What I wanted to say: no.", "Maya: Well.", "Otto: Note: it rains.")
    with pytest.warns(
        DiarnbWarning, match="speakers are taken to be Maya, Otto.*not as a name: 'What I wanted to say'"
    ):
        turns = read(saved(tmp_path, "a.srt", talk))
    assert turns["speaker"].tolist() == ["Maya", "Otto", "Otto", "Maya", "Otto"]
    assert turns["text"].tolist()[2:] == ["What I wanted to say: no.", "Well.", "Note: it rains."]
    film = subtitles(*["He was late."] * 40, "Warning: wet floor.", *["We left."] * 40, "And so: the end.")
    with pytest.raises(TurnTableError, match="names no speaker"):
        read(saved(tmp_path, "film.srt", film))


def test_wide_colons_are_colons(tmp_path: Path) -> None:
    turns = read(saved(tmp_path, "a.srt", subtitles("田中：こんにちは", "鈴木: はい", "田中：いいえ")))
    assert turns["speaker"].tolist() == ["田中", "鈴木", "田中"]


def test_named_speakers_decide(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.srt", subtitles("Note: it rains.", "the boss: go on.", "x"))
    with pytest.warns(DiarnbWarning, match="1 of 3 lines without a name"):
        assert read(path, speakers=["note", "the boss"])["speaker"].tolist() == ["Note", "the boss", "the boss"]
    with pytest.raises(TurnTableError, match="names no speaker"):
        read(saved(tmp_path, "b.srt", subtitles("Maya: Hello.", "Maya: Yes.")), speakers=False)
    with pytest.raises(InvalidParameterError, match="speakers is a list of names"):
        read(path, speakers=[1])  # type: ignore[list-item]


def test_sounds_in_brackets_are_nobody_and_several_may_speak_in_a_subtitle(tmp_path: Path) -> None:
    talk = subtitles("[Music]", "- MAYA: Hello.\n- OTTO: Hi.", "(Laughter)", "[MAYA:] So.", "(OTTO): Yes.")
    with pytest.warns(DiarnbWarning):
        turns = read(saved(tmp_path, "a.srt", talk))
    assert rows(turns, "text") == [
        (2.0, 3.0, "MAYA", "Hello."),
        (2.0, 3.0, "OTTO", "Hi."),
        (4.0, 5.0, "MAYA", "So."),
        (5.0, 6.0, "OTTO", "Yes."),
    ]


def test_options_are_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.rttm", "SPEAKER a 1 0.5 1.0 <NA> <NA> A <NA> <NA>\n")
    with pytest.raises(InvalidParameterError, match=r"tiers= is for \.eaf, \.textgrid, not for 'a\.rttm'"):
        read(path, tiers=["A"])
    with pytest.raises(InvalidParameterError, match="labels is"):
        read(saved(tmp_path, "a.txt", "0\t1\tA\n"), labels="both")  # type: ignore[arg-type]


# -- tiers -------------------------------------------------------------------------------------------------------------


def binary_textgrid(*tiers: tuple[str, list[tuple[float, float, str]]]) -> bytes:
    def text(value: str) -> bytes:
        if value.isascii():
            return struct.pack(">H", len(value)) + value.encode()
        return struct.pack(">HH", 0xFFFF, len(value)) + value.encode("utf-16-be")

    content = b"ooBinaryFile\x08TextGrid" + struct.pack(">ddBi", 0, 9, 1, len(tiers))
    for name, pieces in tiers:
        content += b"\x0cIntervalTier" + text(name) + struct.pack(">ddi", 0, 9, len(pieces))
        for start, end, label in pieces:
            content += struct.pack(">dd", start, end) + text(label)
    return content


def test_a_binary_textgrid_is_read_and_refused_where_it_is_cut_off(tmp_path: Path) -> None:
    content = binary_textgrid(("Maya", [(0, 1, ""), (1, 2, "so")]), ("Jürgen", [(2, 3, "grün")]))
    assert rows(read(saved(tmp_path, "a.TextGrid", content)), "text") == [
        (1, 2, "Maya", "so"),
        (2, 3, "Jürgen", "grün"),
    ]
    with pytest.raises(TurnTableError, match="cut off after"):
        read(saved(tmp_path, "a.TextGrid", content[:-3]))
    with pytest.raises(TurnTableError, match="goes on after"):
        read(saved(tmp_path, "a.TextGrid", content + b"\0"))


def test_a_textgrid_that_holds_more_than_it_announces_is_refused(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0.0, 1.0], "end": [1.0, 2.0], "speaker": ["Maya", "Otto"]})
    write(turns, tmp_path / "a.TextGrid")
    text = (tmp_path / "a.TextGrid").read_text()
    for damaged in (text.replace("size = 2", "size = 1", 1), text.replace("<exists>", "<absent>")):
        with pytest.raises(TurnTableError, match="expected the end, after as many tiers as are announced"):
            read(saved(tmp_path, "b.TextGrid", damaged))
    with pytest.raises(TurnTableError, match="unknown class 'IntervallTier'"):
        read(saved(tmp_path, "b.TextGrid", text.replace("IntervalTier", "IntervallTier", 1)))


def test_words_and_phones_of_several_people_are_these_people(tmp_path: Path) -> None:
    words = [(0.0, 0.5, "good"), (0.5, 1.0, "day")]
    phones = [(0.0, 0.2, "G"), (0.2, 0.5, "UH"), (0.5, 0.7, "D"), (0.7, 1.0, "EY")]
    later = [(start + 2, end + 2, label) for start, end, label in words]
    sounds = [(start + 2, end + 2, label) for start, end, label in phones]
    tiers = [("Maya - words", words), ("Maya - phones", phones), ("Otto - words", later), ("Otto - phones", sounds)]
    with pytest.warns(DiarnbWarning, match="Maya - phones, Otto - phones left out"):
        turns = read(saved(tmp_path, "a.TextGrid", binary_textgrid(*tiers)))
    assert turns["speaker"].unique().tolist() == ["Maya", "Otto"]
    unnamed = binary_textgrid(("orto", words), ("fono", phones))  # known by what they share, not by their names
    with pytest.raises(TurnTableError, match="names no speaker"):
        read(saved(tmp_path, "b.TextGrid", unnamed))


# -- evaluations, CHAT, spreadsheets -----------------------------------------------------------------------------------


def test_names_with_spaces_stay_two_people(tmp_path: Path) -> None:
    lines = [
        f"SPEAKER my talk 1 {n}.0 1.0 <NA> <NA> Maya {name} <NA> <NA>" for n, name in enumerate(("Smith", "Jones"))
    ]
    turns = read(saved(tmp_path, "a.rttm", "\n".join(lines)))
    assert turns["speaker"].tolist() == ["Maya Smith", "Maya Jones"]
    assert turns.attrs["diarnb"]["source"] == "my talk"


@pytest.mark.parametrize("line", ["SPEAKER a NA 0.5 1.0 NA NA A NA NA", "SPEAKER a 1 0.5 1.0 x y A 0.5 -"])
def test_what_fills_the_fields_of_rttm_is_no_part_of_a_name(line: str, tmp_path: Path) -> None:
    assert rows(read(saved(tmp_path, "a.rttm", line))) == [(0.5, 1.5, "A")]


def test_channels_of_nist_are_numbered(tmp_path: Path) -> None:
    with pytest.warns(DiarnbWarning, match="its channels h01, h02 are numbered from 0"):
        assert read(saved(tmp_path, "a.uem", "a h01 0 1\na h02 0 2\n"))["channel"].tolist() == [0, 1]
    assert read(saved(tmp_path, "a.stm", "a a X 0 1 hi\na b Y 1 2 ho\n"))["channel"].tolist() == [0, 1]


def test_stm_and_ctm_of_one_table_have_the_same_words(tmp_path: Path) -> None:
    texts = ["Hello,", "we're", "Here."]
    words = pd.DataFrame({"start": range(3), "end": range(1, 4), "word": texts, "text": texts, "speaker": "A"})
    turns = pd.DataFrame({"start": [0], "end": [3], "speaker": ["A"], "text": [" ".join(texts)]})
    with pytest.warns(DiarnbWarning):
        write(words, tmp_path / "a.ctm")
    with pytest.warns(DiarnbWarning, match="text changed"):
        write(turns, tmp_path / "a.stm")
    spoken = [line.split()[4] for line in (tmp_path / "a.ctm").read_text().splitlines()]
    assert spoken == (tmp_path / "a.stm").read_text().split()[6:] == ["hello", "we're", "here"]


def test_ctm_has_a_number_where_there_is_no_confidence_and_says_so(tmp_path: Path) -> None:
    words = pd.DataFrame({"start": [0], "end": [1], "word": ["so"], "speaker": ["A"]})
    with pytest.warns(DiarnbWarning, match="made-up confidence of 1"):
        write(words, tmp_path / "a.ctm")
    assert (tmp_path / "a.ctm").read_text() == "a 1 0.000 1.000 so 1.00 lex A\n"


def test_chat_is_read_where_it_has_times(tmp_path: Path) -> None:
    content = (
        "@UTF8\n@Begin\n@Participants:\tCHI Ross Target_Child, MOT Maya Mother\n"
        "*CHI:\tmore cookie . \x15500_1500\x15\n%mor:\tqn|more n|cookie .\n"
        "*MOT:\tyou want\n\tmore ? \x151600_2500\x15\n*MOT:\tokay .\n@End\n"
    )
    with pytest.warns(DiarnbWarning, match="1 of 3 speaker lines have no times"):
        turns = read(saved(tmp_path, "a.cha", content))
    assert rows(turns, "text") == [(0.5, 1.5, "CHI", "more cookie ."), (1.6, 2.5, "MOT", "you want more ?")]


def test_excel_goes_there_and_back_and_reads_clocks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    turns = pd.DataFrame({"start": [0.5], "end": [1.25], "speaker": ["=cmd"], "text": ["Hi"], "channel": [1]})
    with pytest.warns(DiarnbWarning, match="an apostrophe before 1 cells"):
        write(turns, tmp_path / "a.xlsx")
    assert rows(read(tmp_path / "a.xlsx"), "text", "channel") == [(0.5, 1.25, "=cmd", "Hi", 1)]
    book = openpyxl.Workbook()
    book.active.append(["Speaker", "Start Time", "End Time"])
    book.active.append(["Maya", "00:00:01.5", 3])
    book.save(tmp_path / "b.xlsx")
    assert rows(read(tmp_path / "b.xlsx")) == [(1.5, 3.0, "Maya")]
    with pytest.raises(TurnTableError, match=r"c\.xlsx is no \.xlsx"):
        read(saved(tmp_path, "c.xlsx", b"PK\3\4 no"))


@pytest.mark.parametrize(
    "content",
    [
        "start;end;speaker\n0,5;2,25;Maya\n",
        "Start (ms),End (ms),Name\n500,2250,Maya\n",
        "onset|duration|spk\n0.5|1.75|Maya\n",
        "start,end,speaker\n0 days 00:00:00.5,0 days 00:00:02.25,Maya\n",
    ],
)
def test_tables_of_other_hands_are_read(content: str, tmp_path: Path) -> None:
    assert rows(read(saved(tmp_path, "a.csv", content))) == [(0.5, 2.25, "Maya")]


def test_a_packed_table_is_read_and_no_bomb_is(tmp_path: Path) -> None:
    import gzip

    write(pd.DataFrame({"start": [0.5], "end": [2.25], "speaker": ["nan"]}), tmp_path / "a.csv.gz")
    assert rows(read(tmp_path / "a.csv.gz")) == [(0.5, 2.25, "nan")]  # a person of this name is guarded
    with gzip.open(tmp_path / "b.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(257):
            file.write(bytes(2**20))
    with pytest.raises(TurnTableError, match="too large"):
        read(tmp_path / "b.csv.gz")


def test_guards_against_formulas_are_told(tmp_path: Path) -> None:
    with pytest.warns(
        DiarnbWarning, match="with an apostrophe before 2 cells that a spreadsheet would take for a formula"
    ):
        write(pd.DataFrame({"start": [0], "end": [1], "speaker": ["=A1"], "text": ["-no"]}), tmp_path / "a.csv")


def test_every_format_says_what_it_reads() -> None:
    for suffix, form in FORMATS.items():
        assert form.READS, suffix


# -- what makers leave out, pack and call otherwise --------------------------------------------------------------------


def test_google_leaves_out_what_is_zero(tmp_path: Path) -> None:
    """A word at 0 s has no start there, and a speaker 0 is nobody."""
    first = {"startTime": "0s", "endTime": "0.300s", "word": "hi", "speakerTag": 0}
    words = [{"endTime": "0.300s", "word": "hi", "speakerTag": 1}, {**first, "startTime": "0.900s", "endTime": "1.2s"}]
    results = [
        {"alternatives": [{"words": [first]}]},
        {"alternatives": [{"words": [words[0], words[1] | {"speakerTag": 2}]}]},
    ]
    turns = read(saved(tmp_path, "talk.json", json.dumps({"results": results})))
    assert rows(turns) == [(0.0, 0.3, "SPEAKER_01"), (0.9, 1.2, "SPEAKER_02")]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("count", [1, 2])
def test_supervisions_of_lhotse_are_read_as_it_keeps_them(suffix: str, count: int, tmp_path: Path) -> None:
    line = {"id": "a", "recording_id": "r", "start": 0.5, "duration": 1.0, "channel": 0, "speaker": "A"}
    text = "".join(json.dumps({**line, "start": 0.5 + number}) + "\n" for number in range(count)).encode()
    path = tmp_path / f"supervisions{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    assert rows(read(path)) == [(0.5 + number, 1.5 + number, "A") for number in range(count)]


@pytest.mark.parametrize(
    ("header", "encoding"),
    [("Anfang;Ende;Sprecher", "cp1252"), ("Début;Fin;Locuteur", "utf-8"), ("Inicio;Fin;Hablante", "utf-16")],
)
def test_headers_of_other_languages_are_known(header: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_bytes(f"{header}\n0,5;1,5;Zoé\n2,0;3,25;Jürgen\n".encode(encoding))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Windows-1252")
        assert rows(read(path)) == [(0.5, 1.5, "Zoé"), (2.0, 3.25, "Jürgen")]
