"""A page to send: one file, no network, names that stay text, and sound only when it was asked for."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb.errors import AudioChangedError, AudioNotFoundError, InvalidParameterError, TurnTableError
from diarnb.formats import page
from tests import hostile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser import Lab

pytest_plugins = ["tests.browser"]


class Text(HTMLParser):
    """The text of a page, without style and script, and its tags."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.tags: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] not in ("style", "script"):
            self.said.append(data)


def written(turns: pd.DataFrame, folder: Path, **more: object) -> str:
    diarnb.write(turns, folder / "meeting.html", **more)
    return (folder / "meeting.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spoken() -> pd.DataFrame:
    example = diarnb.example("interview")
    turns = diarnb.read(example.with_suffix(".rttm"))
    words = diarnb.formats.read_words(example.with_suffix(".words.csv"))
    texts = [
        " ".join(words.loc[(words["start"] >= start - 0.01) & (words["end"] <= end + 0.01), "text"])
        for start, end in zip(turns["start"], turns["end"], strict=True)
    ]
    return turns.assign(text=texts)


def test_one_file_shows_who_says_what_when(spoken: pd.DataFrame, tmp_path: Path) -> None:
    source = written(spoken, tmp_path)
    text = " ".join(" ".join(Text(source).said).split())
    for name in spoken["speaker"].unique():
        assert name in text
    assert "Welcome back. With me is" in text
    assert source.count("<rect") == len(spoken)
    assert [path.name for path in tmp_path.iterdir()] == ["meeting.html"]


def test_the_page_asks_nothing_of_the_network_and_holds_no_sound(spoken: pd.DataFrame, tmp_path: Path) -> None:
    source = written(spoken, tmp_path)
    assert "default-src 'none'" in source
    assert not re.search(r"(?:src|href)=|url\(|https?:|<script|<audio|data:audio", source)
    assert len(source) < 100_000


def test_sound_is_in_it_when_it_was_asked_for_and_is_the_recording(spoken: pd.DataFrame, tmp_path: Path) -> None:
    source = written(spoken, tmp_path, audio=diarnb.example("interview"))
    found = re.search(r'src="data:audio/ogg;base64,([^"]+)"', source)
    assert found is not None
    with soundfile.SoundFile(io.BytesIO(base64.b64decode(found[1]))) as file:
        assert file.subtype == "OPUS"
        assert file.frames / file.samplerate == pytest.approx(69.0, abs=0.2)
    assert source.count("<script>") == 1
    assert len(source) < 500_000


def test_the_recording_of_a_run_is_found_by_itself(tmp_path: Path) -> None:
    copy = tmp_path / "talk.flac"
    copy.write_bytes(diarnb.example("interview").read_bytes())
    turns = diarnb.diarize(copy, progress=False)
    assert "data:audio/ogg" in written(turns, tmp_path, audio=True)
    copy.write_bytes(diarnb.example("call").read_bytes())
    with pytest.raises(AudioChangedError, match="not the recording"):
        written(turns, tmp_path, audio=True)
    copy.unlink()
    with pytest.raises(AudioNotFoundError, match="audio="):
        written(turns, tmp_path, audio=True)


def test_sound_that_is_too_long_is_refused_and_the_earlier_page_stays(
    spoken: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(spoken, tmp_path)
    monkeypatch.setattr(page, "MOST_SOUND", 50_000)
    with pytest.raises(InvalidParameterError, match="without audio="):
        written(spoken, tmp_path, audio=diarnb.example("interview"))
    assert (tmp_path / "meeting.html").read_text(encoding="utf-8") == before


def test_names_and_words_stay_text(spoken: pd.DataFrame, tmp_path: Path) -> None:
    first = spoken["speaker"][0]

    def tags(text: str) -> list[str]:
        named = diarnb.rename(spoken, {first: text}).assign(text=text)
        named.attrs["diarnb"] = {"source": text}
        return Text(written(named, tmp_path)).tags

    harmless = tags(hostile.HARMLESS)
    assert all(tags(text) == harmless for text in hostile.TEXTS)


def test_a_table_without_words_tells_when_each_speaks(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [0.0, 65.0], "end": [4.0, 71.0], "speaker": ["A", "B"]})
    text = " ".join(" ".join(Text(written(turns, tmp_path)).said).split())
    assert "1:05 B until 1:11" in text


def test_an_empty_table_is_a_page_too(tmp_path: Path) -> None:
    turns = pd.DataFrame({"start": [], "end": [], "speaker": []})
    assert "0 speakers" in " ".join(Text(written(turns, tmp_path)).said)


def test_a_page_is_written_and_not_read_and_sound_is_for_pages(spoken: pd.DataFrame, tmp_path: Path) -> None:
    written(spoken, tmp_path)
    with pytest.raises(InvalidParameterError, match="written, but not read"):
        diarnb.read(tmp_path / "meeting.html")
    with pytest.raises(InvalidParameterError, match=r"audio= is for \.html"):
        diarnb.write(spoken, tmp_path / "meeting.csv", audio=True)
    two = pd.concat([spoken.assign(uri="a"), spoken.assign(uri="b")])
    with pytest.raises(TurnTableError, match="one recording"):
        written(two, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_plays_from_a_file_without_a_server(
    lab: Lab, spoken: pd.DataFrame, tmp_path: Path, scheme: str
) -> None:
    written(spoken, tmp_path, audio=diarnb.example("interview"))
    tab = lab.browser.new_page()
    tab.set_viewport_size({"width": 900, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto((tmp_path / "meeting.html").as_uri())
    tab.locator("main section").nth(3).click()
    start = float(tab.locator("main section").nth(3).get_attribute("data-start"))
    tab.wait_for_function("start => document.querySelector('audio').currentTime > start", arg=start)
    tab.wait_for_function("document.querySelectorAll('main section.now').length === 1")
    tab.screenshot(path=lab.pictures / f"page-{scheme}.png")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.close()
    assert errors == []
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
