"""`show`: a table to read that is small and needs nothing, and in a running notebook one to hear and to sort."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb.errors import AudioError, InvalidParameterError, TurnTableError
from diarnb.tables.colors import PALETTE, speaker_fills
from diarnb.widgets import show
from tests import hostile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser import Lab

pytest_plugins = ["tests.browser"]

MEETING = diarnb.read(diarnb.example("meeting").with_suffix(".rttm"))


class Cells(HTMLParser):
    """The texts of a table's rows, as a browser reads them where closing tags are left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.taking = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        self.taking = tag in ("td", "th")
        if self.taking:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.taking:
            self.rows[-1][-1] += data.strip()


def rows(table: pd.DataFrame, **options: int) -> list[list[str]]:
    return Cells(show(table, **options).html).rows


def many(count: int, *, speakers: int = 6) -> pd.DataFrame:
    start = np.arange(count) * 3.597123
    names = [f"SPEAKER_{each % speakers:02d}" for each in range(count)]
    sure = np.linspace(20, 99.7, count)
    return pd.DataFrame({"start": start, "end": start + 2.123456, "speaker": names, "confidence": sure})


def test_times_are_on_a_clock_to_the_millisecond_and_the_table_keeps_its_digits() -> None:
    table = many(3).assign(text=["well", None, "no"])
    before = table.copy()
    assert rows(table)[:3] == [
        ["", "start", "end", "duration", "speaker", "confidence", "text"],
        ["0", "0:00.000", "0:02.123", "2.123", "SPEAKER_00", "20", "well"],
        ["1", "0:03.597", "0:05.721", "2.123", "SPEAKER_01", "60", ""],
    ]
    pd.testing.assert_frame_equal(table, before)
    assert "2.123 " in repr(show(table))
    assert rows(many(1100))[-1][1] == "1:05:53.238"


def test_rows_stand_in_the_order_of_the_table_under_its_index() -> None:
    table = MEETING.sort_values("end", ascending=False)
    shown = rows(table)
    assert [row[0] for row in shown[1:]] == [str(label) for label in table.index]
    assert [row[4] for row in shown[1:]] == list(table["speaker"])


def test_a_thousand_turns_are_less_than_a_hundred_kilobytes_and_what_is_left_out_is_told() -> None:
    assert len(show(many(1000)).html.encode()) < 100_000
    assert len(rows(many(9000))) == 5001
    assert "5000 of 9000 turns" in show(many(9000)).html
    assert "<p>1 turn<" in show(many(1)).html


def test_it_needs_nothing_from_elsewhere_and_has_no_sound_and_no_button_in_it() -> None:
    page = show(MEETING).html
    assert not re.search(r"https?:|src=|data:|<button|<audio|@import", page)


def test_each_speaker_has_the_fill_of_the_timeline_from_the_ninth_on_with_a_hatch() -> None:
    table = many(40, speakers=12)
    page = show(table).html
    fills = speaker_fills(dict.fromkeys(table["speaker"]))
    assert len(set(fills.values())) == 12
    assert all(f"--fill:{fill}}}" in page for fill in fills.values())
    assert fills["SPEAKER_08"].endswith(PALETTE[0])
    assert "gradient" in fills["SPEAKER_08"]
    assert "gradient" not in fills["SPEAKER_07"]


@pytest.mark.parametrize("text", [hostile.TEXTS[0], *hostile.TEXTS[1::12]])
def test_names_and_words_stay_text(text: str) -> None:
    def page(name: str) -> str:
        table = pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": [name], "text": [name]}, index=[name])
        shown = show(table)
        return re.sub(rf"{shown._trace}|title=\"[^\"]*\"", "", shown.html)

    def elements(page: str) -> list[str]:
        return re.findall(r"<[a-z][^>\s]*", page)

    assert elements(page(text)) == elements(page("Beth"))


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="most=0"):
        show(MEETING, most=0)
    with pytest.raises(TurnTableError, match="speaker"):
        show(MEETING.drop(columns="speaker"))
    (tmp_path / "no.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError):
        show(MEETING, tmp_path / "no.wav")


SHOWN = """\
import diarnb
turns = diarnb.diarize(diarnb.example("interview"), progress=False, turn_level_confidence=True)
turns.diar.show()"""
FIRST = "[...document.querySelectorAll('.diarnb-rows tbody tr')].map(row => row.cells[{}].textContent)"


@pytest.mark.slow
def test_a_click_sorts_and_a_row_plays_and_a_saved_notebook_keeps_neither_button_nor_sound(lab: Lab) -> None:
    notebook = lab.open([SHOWN], name="show")
    notebook.run()
    page = notebook.page
    page.get_by_role("button", name="duration", exact=True).click()
    seconds = [float(text) for text in page.evaluate(FIRST.format(3))]
    assert seconds == sorted(seconds) == sorted(notebook.value("turns.duration.round(3).tolist()"))
    page.get_by_role("button", name="speaker", exact=True).click()
    page.get_by_role("button", name="speaker", exact=True).click()
    names = page.evaluate(FIRST.format(4))
    assert names == sorted(names, reverse=True)
    page.get_by_role("button", name="Play row 4", exact=True).click()
    page.get_by_role("button", name="Stop 0:15.9 – 0:23.1").wait_for()  # row 4 of the table, wherever it stands now
    assert page.locator(".diarnb-rows tr[aria-current]").inner_text().split()[0] == "4"
    notebook.screenshot("show")
    before = page.evaluate("document.querySelectorAll('.jp-Notebook-cell').length")
    page.locator(".diarnb-rows tbody button").first.press("x")
    assert page.evaluate("document.querySelectorAll('.jp-Notebook-cell').length") == before
    view, table = notebook.save().cells[0]["outputs"]
    assert "application/vnd.jupyter.widget-view+json" in view["data"]
    assert len(Cells(table["data"]["text/html"]).rows) == 1 + notebook.value("len(turns)")
    assert not re.search("<button|data:|src=", table["data"]["text/html"])
    assert notebook.errors == []
