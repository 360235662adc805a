"""Words from anywhere get the speakers of any table, and are written line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb import analysis, assign_speakers, transcript
from diarnb.analysis import transcript_html
from diarnb.errors import DiarnbWarning, InvalidParameterError, TurnTableError
from diarnb.transcripts import doubtful_words
from diarnb.transcripts.words import check_words


def words(*spans: tuple[float, float], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"start": [s for s, _ in spans], "end": [e for _, e in spans], **columns}, dtype=None)


def turns(*rows: tuple[float, float, str], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start", "end", "speaker"]).assign(**columns)


def assigned(*arguments: Any, **options: Any) -> list[Any]:
    return [None if pd.isna(who) else who for who in assign_speakers(*arguments, **options)["speaker"]]


def test_whoever_speaks_longest_during_a_word_says_it() -> None:
    two = turns((0, 1, "A"), (1, 2, "B"))
    assert assigned(words((0.8, 1.1), (0.9, 1.3), (0.2, 0.4)), two) == ["A", "B", "A"]
    again = turns((0.0, 0.3, "A"), (0.3, 0.7, "B"), (0.7, 1.0, "A"))  # A speaks 0.6 s of it, in two turns
    assert assigned(words((0, 1)), again) == ["A"]
    twice = turns((0.0, 0.4, "A"), (0.1, 0.4, "A"), (0.5, 1.0, "B"))  # no moment of A counts twice
    assert assigned(words((0, 1)), twice) == ["B"]


def test_a_word_in_silence_goes_to_the_nearest_turn_if_that_is_near() -> None:
    two = turns((0, 1, "A"), (3, 4, "B"))
    assert assigned(words((1.2, 1.4), (2.6, 2.8), (1.9, 2.1), (4.4, 5.0), (4.6, 5.0)), two) == [
        "A",
        "B",
        None,
        "B",
        None,
    ]
    assert assigned(words((1.9, 2.1)), two, within=1.0) == ["A"]
    assert assigned(words((1.2, 1.4)), two, within=0) == [None]


def test_a_word_without_length_is_heard_at_its_point() -> None:
    assert assigned(words((0.5, 0.5), (1.5, 1.5)), turns((0, 1, "A"), (1, 2, "B"))) == ["A", "B"]


def test_nothing_is_said_of_nothing() -> None:
    assert assigned(words((0, 1)), turns()) == [None]
    empty = assign_speakers(words(), turns((0, 1, "A")))
    assert list(empty) == ["start", "end", "speaker", "margin", "reason"]
    assert empty["margin"].dtype.kind == "f"
    assert empty.dtypes["reason"] == empty.dtypes["speaker"] == pd.Series(dtype=str).dtype
    assert len(empty) == 0


def test_recordings_and_channels_are_kept_apart() -> None:
    said = words((0, 1), (0, 1), (0, 1), uri=["x", "y", "z"])
    assert assigned(said, turns((0, 1, "A"), (0, 1, "B"), uri=["x", "y"])) == ["A", "B", None]
    said = words((0, 1), (0, 1), channel=[1, 0])
    assert assigned(said, turns((0, 1, "A"), (0, 1, "B"), channel=[0, 1])) == ["B", "A"]
    assert assigned(said, turns((0, 1, "A"))) == ["A", "A"]


def test_the_table_of_words_stays_as_it_is_but_for_the_speaker() -> None:
    said = words((1, 2), (0, 1), word=["b.", "a."], speaker=["?", "?"]).set_index(pd.Index([7, 7]))
    before = said.copy()
    result = assign_speakers(said, turns((0, 1, "A"), (1, 2, "B")))
    pd.testing.assert_frame_equal(said, before)
    assert list(result["word"]) == ["b.", "a."]
    assert list(result["speaker"]) == ["B", "A"]
    assert list(result.index) == [7, 7]


def test_the_words_of_an_example_get_who_said_them() -> None:
    path = diarnb.example("meeting")
    truth = pd.read_csv(path.with_suffix(".words.csv"))
    reference = diarnb.read(path.with_suffix(".rttm"))
    given = assign_speakers(truth.drop(columns="speaker"), reference)
    wrong = given[given["speaker"] != truth["speaker"]]
    both = diarnb.overlap(reference)  # where two talk at once, times alone do not tell who says what
    for word in wrong.itertuples():
        assert ((both["start"] < word.end) & (both["end"] > word.start)).any()
    assert len(wrong) < 0.05 * len(truth)


def test_ten_thousand_words_are_no_work() -> None:
    start = np.sort(np.random.default_rng(0).uniform(0, 3600, 10_000))
    who = [f"S{k % 4}" for k in range(2000)]
    table = pd.DataFrame({"start": np.arange(2000) * 1.8, "end": np.arange(2000) * 1.8 + 1.8, "speaker": who})
    given = assign_speakers(pd.DataFrame({"start": start, "end": start}), table)
    assert list(given["speaker"]) == [who[min(int(at / 1.8), 1999)] for at in start]


@pytest.mark.parametrize("within", [-1, True, "1", np.nan, None])
def test_within_is_a_number_of_seconds(within: Any) -> None:
    with pytest.raises(InvalidParameterError, match="within"):
        assign_speakers(words((0, 1)), turns((0, 1, "A")), within=within)


@pytest.mark.parametrize("table", [[(0, 1)], pd.DataFrame({"start": [0.0]}), words((2, 1)), words((np.nan, 1))])
def test_what_is_no_table_of_words_is_refused(table: Any) -> None:
    with pytest.raises(TurnTableError, match="words"):
        assign_speakers(table, turns((0, 1, "A")))


def test_a_transcript_has_a_line_for_each_who_says_something() -> None:
    said = pd.DataFrame(
        {
            "speaker": ["SPEAKER_00", "SPEAKER_01", "Beth", None, "SPEAKER_12", "SPEAKER_00"],
            "text": ["Hello.", " Not too\nbad. ", "Hi.", "Mm.", "Yes.", ""],
        }
    )
    assert transcript(said).splitlines() == [
        "[Speaker:0] Hello.",
        "[Speaker:1] Not too bad.",
        "[Beth] Hi.",
        "[?] Mm.",
        "[Speaker:12] Yes.",
    ]
    with pytest.raises(TurnTableError, match="no text"):
        transcript(turns((0, 1, "A")))


def told(*arguments: Any, **options: Any) -> list[tuple[Any, float, str]]:
    given = assign_speakers(*arguments, **options)
    who = [None if pd.isna(name) else name for name in given["speaker"]]
    return list(zip(who, given["margin"].round(6).tolist(), given["reason"], strict=True))


def test_every_word_has_a_margin_and_a_reason() -> None:
    table = turns((0, 2, "A"), (1.5, 3, "B"), (5, 6, "B"))
    found = told(words((0.2, 0.6), (1.4, 1.8), (2.8, 3.2), (3.2, 3.4), (1.6, 1.8), (2, 3)), table)
    assert found == [
        ("A", 1.0, "inside"),
        ("A", 0.25, "overlap"),  # A speaks 0.4 s of it, B 0.3 s
        ("B", 0.5, "boundary"),  # into silence
        ("B", 0.0, "gap"),
        ("A", 0.0, "overlap"),  # both all the time: who was heard first
        ("B", 1.0, "inside"),  # touches A and is not shared
    ]
    (nobody,) = told(words((4, 4.2)), table)
    assert nobody[0] is None
    assert np.isnan(nobody[1])
    assert nobody[2] == "nobody"
    assert told(words((1.5, 2.5)), turns((1, 2, "B"), (2, 3, "A"))) == [("B", 0.0, "boundary")]
    assert told(words((0, 0), (1, 1)), turns((0, 1, "A"))) == [("A", 1.0, "inside"), ("A", 0.5, "boundary")]


def slowly(said: pd.DataFrame, table: pd.DataFrame, within: float) -> list[tuple[Any, float]]:
    """Who speaks, and the margin, by trying each speaker on a grid of hundredths of a second."""
    names = table.sort_values(["start", "end", "speaker"])["speaker"].unique().tolist()
    heard = np.zeros((len(names), 4000), dtype=bool)
    for row in table.itertuples():
        heard[names.index(row.speaker), round(row.start * 100) : round(row.end * 100)] = True
    result: list[tuple[Any, float]] = []
    for word in said.itertuples():
        first, last = round(word.start * 100), round(word.end * 100)
        counts = heard[:, first:last].sum(axis=1)
        if counts.max() > 0:
            best = int(counts.argmax())
            result.append((names[best], (counts[best] - np.delete(counts, best).max()) / (last - first)))
            continue
        times = [np.flatnonzero(row) for row in heard]
        away = [min([first - 1 - t for t in own if t < first] + [t - last for t in own if t >= last]) for own in times]
        near = min(away) <= round(within * 100)
        result.append((names[int(np.argmin(away))], 0.0) if near else (None, np.nan))
    return result


@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_trying_everybody_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 3000, 40)
    who = [f"S{k}" for k in range(4)] + [f"S{k}" for k in rng.integers(0, 4, 36)]
    table = pd.DataFrame({"start": start / 100, "end": (start + rng.integers(1, 150, 40)) / 100, "speaker": who})
    start = rng.integers(0, 3500, 200)
    said = pd.DataFrame({"start": start / 100, "end": (start + rng.integers(1, 90, 200)) / 100})
    given = assign_speakers(said, table)
    found = [(None if pd.isna(name) else name) for name in given["speaker"]]
    slow = slowly(said, table, 0.5)
    assert found == [name for name, _ in slow]
    np.testing.assert_allclose(given["margin"], [margin for _, margin in slow], atol=1e-6)


def test_many_recordings_are_as_if_each_were_alone() -> None:
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 60, 300)
    table = pd.DataFrame(
        {"start": start, "end": start + rng.exponential(2, 300), "speaker": rng.choice(["A", "B"], 300)}
    )
    start = rng.uniform(0, 60, 300)
    said = pd.DataFrame({"start": start, "end": start + 0.3})
    table["uri"], said["uri"] = rng.choice(["x", "y", "z"], 300), rng.choice(["x", "y", "z"], 300)
    whole = assign_speakers(said, table)
    for uri in "xyz":
        alone = assign_speakers(said[said["uri"] == uri], table[table["uri"] == uri])
        pd.testing.assert_frame_equal(whole[whole["uri"] == uri], alone)


def test_words_come_as_lists_of_dicts_or_of_objects_too() -> None:
    @dataclass
    class Word:  # as faster-whisper has them
        start: float
        end: float
        word: str
        probability: float

    table = turns((0, 1, "A"), (1, 2, "B"))
    dicts = [{"word": "one", "start": 0.1, "end": 0.4, "score": 0.9}, {"word": "two", "start": 1.1, "end": 1.4}]
    assert assigned(dicts, table) == ["A", "B"]
    assert assigned([Word(0.1, 0.4, " one", 0.9), Word(1.1, 1.4, " two", 0.8)], table) == ["A", "B"]
    assert assigned([], table) == []
    with pytest.raises(TurnTableError, match="words"):
        assign_speakers([{"word": "2023"}], table)  # WhisperX times no numbers


def test_milliseconds_are_told() -> None:
    said = words((100, 400), (50_000, 50_400), text=["Hello", "there"])
    with pytest.warns(DiarnbWarning, match="milliseconds"):
        given = assign_speakers(said, turns((0, 1, "A"), (50, 51, "B")))
    assert given["reason"].tolist() == ["nobody", "nobody"]


def test_doubtful_words_are_listed_with_what_is_around_them() -> None:
    table = turns((0, 2, "A"), (2, 4, "B"), (4.2, 6, "A"))
    spans = (0.5, 0.9), (1.8, 2.1), (2.2, 2.5), (4.05, 4.15), (9, 9.3)
    said = words(*spans, word=["one", "two", "three", "four", "five"], text=["One", "two,", "three", "four.", "Five"])
    said = said.sample(frac=1, random_state=2)
    found = doubtful_words(said, table, context=1)
    columns = ["start", "end", "word", "speaker", "other", "margin", "reason", "before", "after"]
    assert list(found) == columns
    assert found.index.tolist() == [1, 3]
    assert found["word"].tolist() == ["two,", "four."]
    assert found[["speaker", "other"]].to_numpy().tolist() == [["A", "B"], ["B", "A"]]  # two, three four.
    assert found["reason"].tolist() == ["boundary", "sentence"]
    assert found["before"].tolist() == ["One", "three"]
    assert found["after"].tolist() == ["three", "Five"]
    assert doubtful_words(said, table, margin=0.3)["word"].tolist() == ["four."]
    assert doubtful_words(said, turns((0, 4, "A"))).empty  # there is nobody else
    empty = doubtful_words(said.iloc[:0], table)
    assert list(empty) == columns
    assert empty["margin"].dtype.kind == "f"
    for wrong in ({"margin": "x"}, {"context": -1}, {"context": 1.5}):
        with pytest.raises(InvalidParameterError, match=next(iter(wrong))):
            doubtful_words(said, table, **wrong)


def test_what_is_around_a_word_is_of_its_recording() -> None:
    said = words((0.9, 1.1), (0.9, 1.1), (1.2, 1.4), word=["x1", "y1", "x2"], uri=["x", "y", "x"])
    table = pd.concat([turns((0, 1, "A"), (1, 2, "B"), uri=uri) for uri in "xy"])
    found = doubtful_words(said, table)
    assert found["word"].tolist() == ["x1", "y1"]
    assert found["after"].tolist() == ["x2", ""]
    assert found["uri"].tolist() == ["x", "y"]


SAID = pd.DataFrame(
    {
        "start": [0.5, 3725.9],
        "end": [2.0, 3727.0],
        "speaker": ["SPEAKER_01", "Beth"],
        "text": ["A {n} of \n braces", "<b>&amp;"],
    }
)


def test_a_transcript_has_the_style_that_is_asked_for() -> None:
    assert transcript(SAID, "[Speaker:{n}] {text}") == "[Speaker:1] A {n} of braces\n[Speaker:0] <b>&amp;"
    assert transcript(SAID, "{start}-{end} {{{speaker}}}").splitlines() == [
        "0:00:00-0:00:02 {SPEAKER_01}",
        "1:02:05-1:02:07 {Beth}",
    ]


@pytest.mark.parametrize("style", ["{name}", "{text!r}", "{text:>3}", "{text.__class__}", "{0}", "{}", "{text", "}", 3])
def test_a_style_that_makes_no_sense_is_refused(style: Any) -> None:
    with pytest.raises(InvalidParameterError, match="style"):
        transcript(SAID, style)


def test_a_style_needs_the_times_that_it_asks_for() -> None:
    with pytest.raises(TurnTableError, match="start"):
        transcript(SAID[["speaker", "text"]], "{start} {text}")


HOSTILE = "<img src=x onerror=alert(1)>\n[Otto] I did it.\u202e"


def test_hostile_names_and_texts_stay_text() -> None:
    table = pd.DataFrame({"speaker": [HOSTILE, '"><script>'], "text": ["</p><script>alert(1)</script>", "{text}"]})
    plain = transcript(table)
    assert len(plain.splitlines()) == 2
    assert "\u202e" not in plain
    page = transcript_html(table).data
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert page.count("<p ") == page.count("</p>") == 2
    with pytest.raises(InvalidParameterError, match="colour"):
        transcript_html(table, colors={HOSTILE: "red;background:url(http://x)"})


def test_a_page_has_the_colours_of_the_timeline() -> None:
    page = transcript_html(SAID).data
    assert page.index("#0072B2") < page.index("Speaker:1") < page.index("#E69F00") < page.index("Beth")
    assert "1:02:05" in page
    assert "teal" in transcript_html(SAID, colors={"Beth": "teal"}).data
    with pytest.raises(TurnTableError, match="no text"):
        transcript_html(turns((0, 1, "A")))


def test_words_without_times_are_refused_with_what_to_do_about_them() -> None:
    said = [{"start": 0.1, "end": 0.4, "word": "In"}, {"word": "2026"}]
    with pytest.raises(TurnTableError, match=r'1 of 2 words have no time.*\[w for w in words if "start" in w\]'):
        assign_speakers(said, turns((0, 1, "A")))
    with pytest.raises(TurnTableError, match=r"words\.dropna"):
        assign_speakers(pd.DataFrame(said), turns((0, 1, "A")))
    with pytest.raises(TurnTableError, match="1 of 2 words have no time"):
        check_words(said)


def test_who_wins_a_tie_does_not_depend_on_names() -> None:
    spoken = turns((0, 2, "Otto"), (1, 3, "Maya"))
    assert told(words((1, 2)), spoken) == [("Otto", 0.0, "overlap")]
    assert told(words((1, 2)), spoken.replace({"Otto": "Anna"})) == [("Anna", 0.0, "overlap")]


def test_a_transcript_of_turns_is_of_their_utterances(known: dict[str, pd.DataFrame]) -> None:
    words = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv"), keep_default_na=False)
    turns = diarnb.diarize(diarnb.example("interview"), words=words, progress=False)
    assert analysis.transcript is diarnb.transcript
    assert turns.diar.transcript() == transcript(turns) == transcript(diarnb.utterances(turns))
    named = diarnb.rename(turns, {"SPEAKER_00": "Maya", "SPEAKER_01": "Fergus"})
    assert transcript(named).startswith("[Maya] Welcome back. With me is Fergus,")
    half = named[named["speaker"] == "Fergus"]
    assert "Maya]" not in transcript(half)
    corrected = named.assign(text=named["text"].str.replace("lighthouse", "LIGHTHOUSE"))
    assert "LIGHTHOUSE" in transcript(corrected)  # what somebody has typed is not lost
    assert transcript(named.drop(columns="text")) == transcript(named)


def test_transcripts_come_in_styles_and_formats() -> None:
    said = pd.DataFrame({"start": [0.0, 61.0, 62.5], "end": [9.0, 62.0, 70.0], "text": ["One.", "Two_2_.", "# Three"]})
    said = said.assign(speaker=["Ann *B*", "Ann *B*", "<Otto>"])
    assert transcript(said, "minutes").splitlines() == ["0:00:00 Ann *B*: One. Two_2_.", "0:01:02 <Otto>: # Three"]
    assert transcript(said, "screenplay") == "ANN *B*\n    One. Two_2_.\n\n<OTTO>\n    # Three"
    assert transcript(said, "assemblyai").splitlines()[-1] == "Speaker B: # Three"
    marked = transcript(said, "minutes", format="markdown")
    assert marked.splitlines() == [
        r"`0:00:00` **Ann \*B\*:** One. Two\_2\_.", "", r"`0:01:02` **\<Otto\>:** \# Three",
    ]  # fmt: skip
    page = transcript(said, format="html")
    assert "&lt;Otto&gt;" in page
    assert "<Otto>" not in page
    assert page.count("<p ") == 3
    assert "0:01:02" not in page
    assert "0:01:02" in transcript(said, "minutes", format="html")
    misspelt = [({"style": "minuts"}, "minutes"), ({"format": "markdwn"}, "markdown"), ({"style": "plain"}, "no style")]
    for wrong, match in misspelt:
        with pytest.raises(InvalidParameterError, match=match):
            transcript(said, **wrong)


def test_a_long_transcript_streams() -> None:
    long = pd.DataFrame({"speaker": ["A", "B"] * 100_000, "text": "Well, yes."})
    lines = analysis.transcript_lines(long)
    assert next(lines) == "[A] Well, yes."
    assert sum(1 for _ in lines) == 199_999
