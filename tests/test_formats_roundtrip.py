"""Whatever table is written: it is read back as it was, or what differs was told."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.formats import FORMATS, READ_ONLY, WORDS_ONLY, read, read_words, write
from diarnb.testing import assert_turns_equal

WRITTEN = sorted({*FORMATS} - READ_ONLY)
SUFFIXES = sorted({*WRITTEN} - WORDS_ONLY - {".uem"})
OF_WORDS = [".csv", ".csv.gz", ".ctm", ".deepgram.json", ".json", ".parquet", ".pyannoteai.json"]
OF_WORDS += [".tsv", ".whisperx.json", ".xlsx"]
OF_TEXTS = [suffix for suffix in SUFFIXES if suffix not in (".lab", ".rttm", ".stm")]
EXACT = {
    ".csv.gz",
    ".labelstudio.json",
    ".tsv",
    ".xlsx",
    ".csv",
    ".parquet",
    ".json",
    ".pyannoteai.json",
    ".deepgram.json",
    ".whisperx.json",
    ".textgrid",
    ".txt",
}
OF_ONE = {".srt", ".vtt", ".txt", ".textgrid", ".eaf", ".lab", ".pyannoteai.json", ".whisperx.json"}
FORMULA = re.compile(r"'*[=+\-@\t\r]")  # apostrophes before it are guards already
SINGLE = {"channel": 0, "text": "", "confidence": "", "word": "", "speaker_confidence": "", "note": ""}

# Thousands take half an hour; a change of a format deserves them: DIARNB_TABLES=2000 pytest -m slow.
SOME, FEW, MANY = (settings(max_examples=n) for n in (10, 15, int(os.environ.get("DIARNB_TABLES", "150"))))

odd_text = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.text("='+-@\t\r\n\"', ;:[]\\<>&/{}\u2028\ufeff\u202e\x00\x85", max_size=6),
    st.sampled_from(
        ["NA", "nan", "None", "001", "1e5", "<NA>", ";;", "'", "A: b", "[A]: b", "<v A>", "<i>x</i>", "-->"]
    ),
    st.sampled_from(["00:00:01,000 --> 00:00:02,000", "&amp;", "&", "{\\an8}x", "\\N", "=HYPERLINK(1)", "]]>", "42"]),
    st.sampled_from(["intervals [1]:", '"', "item [2]:", "<exists>", "A\n\n7\n", "👩‍👩‍👧", "عربي", "SPEAKER_07"]),
)
odd_name = odd_text.filter(str.strip)  # who has no name is nobody
plain_name = st.from_regex(r"[A-Z][a-z]{0,6}(_[0-9]{2})?", fullmatch=True)
plain_text = st.lists(st.from_regex(r"[a-zäöß]{1,6}[,.?!]?", fullmatch=True), min_size=1, max_size=4).map(" ".join)
milliseconds = st.integers(0, 5 * 10**5).map(lambda number: number / 1000)
any_time = st.one_of(
    milliseconds,
    st.floats(0, 500),
    st.integers(0, 30_000).map(lambda frame: frame * 0.016875),
    st.sampled_from([0.0, 1e-9, 0.0004, 0.0005, 0.00051, 1.0005, 0.9995, 59.9995, 599.9999]),
)


def rows_of(times: st.SearchStrategy[float], **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[pd.DataFrame]:
    """Tables with some of these columns, and always with start, end and speaker."""

    def table(chosen: set[str]) -> st.SearchStrategy[pd.DataFrame]:
        names = [name for name in columns if name in chosen | {"speaker", "word"}]
        row = st.tuples(times, times, *(columns[name] for name in names))
        rows = st.lists(row.map(lambda row: (min(row[:2]), max(row[:2]), *row[2:])), max_size=6)
        return rows.map(lambda rows: pd.DataFrame(rows, columns=["start", "end", *names]))

    return st.sets(st.sampled_from(sorted(columns))).flatmap(table)


turn_tables = rows_of(
    any_time,
    speaker=st.one_of(odd_name, st.sampled_from(["A", "B"])),
    text=st.one_of(odd_text, plain_text),
    confidence=st.one_of(st.floats(0, 100), st.just(float("nan"))),
    channel=st.integers(0, 3),
    uri=st.sampled_from(["one", "two", "a b"]),
    note=plain_text,
)
share = st.one_of(st.floats(0, 1), st.just(float("nan")))
word_tables = rows_of(
    any_time,
    speaker=st.one_of(st.none(), st.sampled_from(["SPEAKER_00", "SPEAKER_01", "Maya"]), odd_name),
    word=st.one_of(plain_name, odd_text),
    text=st.one_of(plain_name, odd_text),
    confidence=share,
    speaker_confidence=share,
    channel=st.integers(0, 2),
)


def written(table: pd.DataFrame, path: Path) -> str:
    """Write, and give what was told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write(table, path)
    assert all(issubclass(each.category, DiarnbWarning) for each in caught)
    told = [str(each.message) for each in caught if " was written " in str(each.message)]  # others doubt the table
    assert len(told) <= 1
    return told[0] if told else ""


def plain(value: Any) -> Any:
    return "" if value is None or value != value else float(value) if isinstance(value, int | float) else str(value)


def values(table: pd.DataFrame, name: str, *, exact: bool) -> Counter[Any]:
    """The values of a column with their times, in any order; what a missing column says is known."""
    spans = table[["start", "end"]].round(6).to_numpy().tolist()  # as every door rounds them
    times = ((start, end) if exact else (f"{start:.3f}", f"{end:.3f}") for start, end in spans)
    source = table.attrs.get("diarnb", {}).get("source")
    column = table[name].tolist() if name in table else [SINGLE.get(name, source)] * len(table)
    return Counter(zip(times, map(plain, column), strict=True))


def differing(given: pd.DataFrame, back: pd.DataFrame, *, exact: bool) -> set[str]:
    names = [name for name in given if name not in ("start", "end", "duration")]
    return {name for name in names if values(given, name, exact=exact) != values(back, name, exact=exact)}


def check(given: pd.DataFrame, back: pd.DataFrame, told: str, *, exact: bool) -> None:
    if "which have no length" in told:
        long = given[given["end"] > given["start"]]
        seen = given[given["start"].map("{:.3f}".format) != given["end"].map("{:.3f}".format)]
        given = long if len(long) == len(back) else seen
    if "so short" in told:
        assert any(f"{start:.3f}" == f"{end:.3f}" and start < end for start, end in given[["start", "end"]].values)
    assert len(back) == len(given)
    found = differing(given, back, exact=exact)
    told = told.replace("of word changed", "of word, text changed")  # where the word is all the text there is
    assert all(name in told for name in found), f"{found} differ, and told was {told!r}"
    # What is told beyond: a guard that other programs see and `read` takes away, and what CTM cannot leave out.
    formula = any(isinstance(cell, str) and FORMULA.match(cell) for cell in given.to_numpy().ravel())
    assert ("would take for a formula" in told) <= formula, f"told was {told!r}"
    unsure = "confidence" not in given or given["confidence"].isna().any()
    assert ("made-up confidence" in told) <= unsure, f"told was {told!r}"
    beyond = any(words in told for words in ("no length", "so short", "with an apostrophe", "made-up confidence"))
    assert found or not told or beyond, f"nothing differs, and told was {told!r}"


def holds_or_tells(table: pd.DataFrame, suffix: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"turns{suffix}"
        if "uri" in table and table["uri"].nunique() > 1 and suffix in OF_ONE:
            with pytest.raises(TurnTableError, match="it holds one recording"):
                write(table, path)
            return
        told = written(table, path)
        check(table, read(path), told, exact=suffix in EXACT)


def holds_or_tells_of_words(table: pd.DataFrame, suffix: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"words{suffix}"
        told = written(table, path)
        check(table, read_words(path), told, exact=suffix in EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@given(table=turn_tables)
@FEW
def test_turns_come_back_or_what_differs_is_told(suffix: str, table: pd.DataFrame) -> None:
    holds_or_tells(table, suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@given(table=turn_tables)
@MANY
def test_many_turns_come_back_or_what_differs_is_told(suffix: str, table: pd.DataFrame) -> None:
    holds_or_tells(table, suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", OF_WORDS)
@given(table=word_tables)
@FEW
def test_words_come_back_or_what_differs_is_told(suffix: str, table: pd.DataFrame) -> None:
    holds_or_tells_of_words(table, suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", OF_WORDS)
@given(table=word_tables)
@MANY
def test_many_words_come_back_or_what_differs_is_told(suffix: str, table: pd.DataFrame) -> None:
    holds_or_tells_of_words(table, suffix)


@pytest.mark.parametrize("suffix", OF_TEXTS)
@given(table=rows_of(milliseconds, speaker=plain_name, text=plain_text))
@SOME
def test_plain_names_and_texts_come_back_with_nothing_to_tell(suffix: str, table: pd.DataFrame) -> None:
    table = table[table["end"] > table["start"]]
    if table.empty:
        table = table[["start", "end", "speaker"]]
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*was written")
        path = Path(folder) / f"turns{suffix}"
        write(table, path)
        assert_turns_equal(read(path), table)


@given(table=rows_of(any_time, speaker=odd_name))
@SOME
def test_stretches_come_back(table: pd.DataFrame) -> None:
    table = table.drop(columns="speaker")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "all.uem"
        written(table, path)
        back = read(path)
        assert list(back) == ["start", "end", "duration"]
        assert values(back, "speaker", exact=False).keys() == {
            (times, "all") for times, _ in values(table, "speaker", exact=False)
        }


@pytest.mark.parametrize("suffix", WRITTEN)
@given(data=st.data())
@SOME
def test_a_damaged_file_is_read_or_refused_by_name(suffix: str, data: st.DataObject) -> None:
    rows = {"start": [0.0, 1.5, 1.6], "end": [2.0, 3.25, 2.0], "speaker": ["Maya", "Otto", "Maya"]}
    table = pd.DataFrame(rows).assign(text=["Hello, there.", "Yes?", "& so"], word=["hello", "yes", "so"])
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"damaged{suffix}"
        write(table if suffix in WORDS_ONLY or data.draw(st.booleans()) else table.drop(columns="word"), path)
        content = path.read_bytes()
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        scrap = data.draw(
            st.one_of(st.binary(max_size=8), st.text("0123456789.,:-<>\"'{}[]\t\n e", max_size=8).map(str.encode))
        )
        path.write_bytes(content[:begin] + scrap + content[end:])
        for use in (read, read_words):
            try:
                use(path)
            except TurnTableError as error:
                refused = str(error)
                assert "damaged" in refused
