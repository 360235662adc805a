"""What the panel is told about a recording: files, uploads, addresses; words; a run that fails; and empty tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import diarnb
from diarnb.engines.base import Offer
from diarnb.errors import DiarnbError
from diarnb.widgets import parts
from diarnb.widgets.cards import cards
from diarnb.widgets.controls import Controls, choices, controls
from diarnb.widgets.review import review
from tests.test_widget_controls import described, said, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def panel(known: dict[str, pd.DataFrame]) -> Iterator[Controls]:
    made = controls(diarnb.example("interview"))
    yield made
    made.close()


def test_an_upload_shows_its_name_and_clears(panel: Controls) -> None:
    described(panel)["Recording"].value = "upload"
    clear = described(panel)["Clear"]
    assert parts.HIDDEN in clear._dom_classes
    upload(panel, "talk.flac", diarnb.example("interview").read_bytes())
    assert "talk.flac · 1.3 MB" in said(panel)
    assert parts.HIDDEN not in clear._dom_classes
    assert panel.source is not None
    clear.click()
    assert "talk.flac" not in said(panel)
    assert panel.source is None
    assert "..." in panel.code


def test_each_local_model_says_what_it_is_good_for(panel: Controls) -> None:
    model = described(panel)["Model"]
    assert [label for label, _ in model.options] == ["more accurate", "faster"]
    assert "tells voices apart better; needs half as much time again · segmentation-3.0" in said(panel)
    assert "model=" not in panel.code
    model.label = "faster"
    assert "needs two thirds of the time" in said(panel)
    assert "tells voices apart better" not in said(panel)
    assert 'model="segmentation-3.0+campplus")' in panel.code


class Plain:
    name, version, offer = "plain", "1", Offer(models=("plain", "other"))

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> list[dict[str, Any]]:
        return []


def test_models_that_an_engine_says_nothing_of_are_shown_by_name() -> None:
    panel = controls(diarnb.example("interview"), engine=Plain())
    assert [label for label, _ in described(panel)["Model"].options] == ["plain", "other"]
    panel.close()


def test_files_are_found_on_the_machine_of_the_kernel(
    panel: Controls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    (folder / "calls").mkdir(parents=True)
    for name in ("notes.txt", ".hidden.wav", "calls/b.flac"):
        (folder / name).write_bytes(b"")
    (folder / "calls" / "talk.flac").write_bytes(diarnb.example("interview").read_bytes())
    monkeypatch.chdir(folder)
    shown = described(panel)
    shown["Recording"].value = "file"
    shown["Browse"].value = True
    files = shown["Files"]
    assert [label for label, _ in files.options] == ["../", "calls/"]
    files.value = folder / "calls"
    assert [label for label, _ in files.options] == ["../", "b.flac", "talk.flac"]
    files.value = folder / "calls" / "talk.flac"
    assert panel.source == str(folder / "calls" / "talk.flac")
    assert "1 min 9 s" in said(panel)
    files.value = folder
    assert [label for label, _ in files.options] == ["../", "calls/"]
    shown["Recording"].value = "example"
    assert shown["Browse"].value is False


@pytest.mark.parametrize("typed", ["talk.wav", "www.example.org/talk.wav", "hello"])
def test_what_is_no_address_is_told_as_such(panel: Controls, typed: str) -> None:
    shown = described(panel)
    shown["Recording"].value = "url"
    shown["Address"].value = typed
    assert f"{typed} is no address: one begins with https:// or http://" in said(panel)
    assert shown["Run"].disabled
    shown["Recording"].value = "example"
    assert not shown["Run"].disabled


def test_words_are_offered_where_something_hears_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "transcribers", lambda: ["sphinx"])
    panel = controls(diarnb.example("interview"))
    shown = described(panel)
    assert [value for _, value in shown["Words"].options] == ["", "sphinx"]
    shown["Words"].value = "sphinx"
    assert panel.code == 'turns = diarnb.diarize(diarnb.example("interview"), words="sphinx")'
    assert not shown["Run"].disabled
    panel.close()
    panel = controls(diarnb.example("interview"), engine="deepgram")
    assert "Words" not in described(panel)
    panel.close()
    monkeypatch.setattr(choices, "transcribers", list)
    panel = controls(diarnb.example("interview"))
    assert described(panel)["Words"].disabled
    assert "diarnb[sphinx]" in said(panel)
    panel.close()


@pytest.mark.slow
def test_the_words_that_are_chosen_are_heard() -> None:
    pytest.importorskip("pocketsphinx", reason='this needs `pip install "diarnb[sphinx]"`')
    panel = controls(diarnb.example("interview"))
    described(panel)["Words"].value = "sphinx"
    assert len(diarnb.words(panel.run())) > 50
    panel.close()


def test_a_run_that_fails_greys_what_an_earlier_one_found(panel: Controls, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.run()
    assert "opacity" not in panel._still()["text/html"]

    def fail(*_: Any, **__: Any) -> None:
        raise DiarnbError("the disk is on fire")

    monkeypatch.setattr("diarnb.widgets.controls.diarize", fail)
    with pytest.raises(DiarnbError):
        panel.run()
    html = panel._still()["text/html"]
    assert "From the previous run: the last one failed." in html
    assert "opacity: 0.45" in html
    monkeypatch.undo()
    panel.run()
    assert "opacity" not in panel._still()["text/html"]


@pytest.mark.parametrize("make", [cards, review])
def test_a_table_without_turns_says_so(make: Any) -> None:
    empty = pd.DataFrame({"start": [], "end": [], "speaker": []}).astype({"speaker": str})
    panel = make(empty, diarnb.example("interview"))
    assert "This table has no turns: nobody speaks." in said(panel)
    panel.close()
    panel = make(empty.reindex([0]).assign(start=1.0, end=2.0, speaker="A"), diarnb.example("interview"))
    assert "There are no turns" not in said(panel)
    panel.close()
