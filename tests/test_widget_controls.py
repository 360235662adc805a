"""The panel without a page: what is set becomes arguments, a line of Python and a table."""

from __future__ import annotations

import ast
import gc
import io
import json
import threading
import warnings
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import pytest
from ipywidgets.widgets import widget as ipywidgets_widget

import diarnb
from diarnb.engines import get
from diarnb.engines.base import Offer, Option
from diarnb.errors import AudioNotFoundError, DiarnbWarning, InvalidParameterError, MissingApiKeyError
from diarnb.params import Params
from diarnb.testing import assert_turns_equal
from diarnb.widgets.background import Worker
from diarnb.widgets.controls import Controls, choices, controls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

PATIENCE = 60.0


@pytest.fixture
def panel(known: dict[str, pd.DataFrame]) -> Iterator[Controls]:
    made = controls(diarnb.example("interview"))
    yield made
    made.close()


def alive() -> int:
    """How many widgets ipywidgets keeps alive."""
    found = getattr(ipywidgets_widget, "_instances", None)  # since 8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len(ipywidgets.Widget.widgets if found is None else found)


def every(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def described(panel: Controls) -> dict[str, Any]:
    return {part.description: part for part in every(panel) if getattr(part, "description", "")}


def said(panel: Controls) -> str:
    return " ".join(part.value for part in every(panel) if isinstance(part, ipywidgets.HTML))


def run_line(code: str, **names: Any) -> pd.DataFrame:
    made: dict[str, Any] = {"diarnb": diarnb, **names}
    exec(code, made)
    return made["turns"]


# What can be chosen.


@pytest.mark.parametrize(
    ("mode", "exactly", "between", "arguments"),
    [
        ("automatic", 3, (2, 5), {}),
        ("exactly", 3, (2, 5), {"num_speakers": 3}),
        ("between", 3, (2, 5), {"min_speakers": 2, "max_speakers": 5}),
        ("between", 3, (1, 5), {"max_speakers": 5}),
        ("between", 3, (2, choices.MOST), {"min_speakers": 2}),
        ("between", 3, (1, choices.MOST), {}),
        ("between", 3, (4, 4), {"min_speakers": 4, "max_speakers": 4}),
    ],
)
def test_a_count_becomes_arguments(
    mode: str, exactly: int, between: tuple[int, int], arguments: dict[str, int]
) -> None:
    assert choices.count_arguments(mode, exactly, between) == arguments


def test_no_setting_of_the_count_is_refused() -> None:
    for mode in ("automatic", "exactly", "between"):
        for low in range(1, choices.MOST + 1):
            for high in range(low, choices.MOST + 1):
                Params(**choices.count_arguments(mode, low, (low, high)))


@pytest.mark.parametrize("engine", ["local", "pyannoteai", "deepgram"])
def test_what_an_engine_does_not_offer_is_absent_and_the_rest_is_there_with_its_help(engine: str) -> None:
    offer, panel = get(engine).offer, controls(engine=engine)
    panel._form.options.more.value = True
    shown = described(panel)
    flags = {"exclusive": "exclusive", "confidence": "confidence", "turn_level_confidence": "turn confidence"}
    assert {name: label in shown for name, label in flags.items()} == {name: getattr(offer, name) for name in flags}
    assert ("Number" in shown) == offer.count
    assert choices.options_of(offer).keys() <= shown.keys()
    text = said(panel).replace("<code>", "`").replace("</code>", "`")
    helps = [option.help for option in choices.options_of(offer).values()]
    helps += [Params.help()[name] for name in flags if getattr(offer, name)]
    for line in helps:
        assert choices.visible(line, limit=700).split("'")[0] in text
    panel.close()


@pytest.mark.parametrize("engine", ["local", "pyannoteai", "deepgram"])
def test_a_key_or_where_it_is_sent_can_not_be_typed(engine: str) -> None:
    panel = controls(engine=engine)
    panel._form.options.more.value = True
    assert not described(panel).keys() & {"api_key", "base_url", "callback", "webhook", "voiceprints"}
    panel.close()


def test_an_engine_of_ones_own_shows_its_options_but_no_secret() -> None:
    options = {name: Option(name, str) for name in ("access_token", "depth", "my_password", "monkey")}
    assert set(choices.options_of(Offer(models=("m",), options=options))) == {"depth", "monkey"}


@pytest.mark.parametrize(
    ("engine", "name", "text", "value"),
    [
        ("local", "threads", "2", 2),
        ("local", "providers", "CPUExecutionProvider", "CPUExecutionProvider"),
        ("local", "providers", "['CPUExecutionProvider']", ["CPUExecutionProvider"]),
        ("deepgram", "language", "en-GB", "en-GB"),
        ("deepgram", "tag", "2024", "2024"),
        ("deepgram", "keyterm", "['diarnb', 'DER']", ["diarnb", "DER"]),
        ("deepgram", "utt_split", "1.5", 1.5),
        ("deepgram", "redact", "True", True),
        ("deepgram", "redact", "pci", "pci"),
        ("pyannoteai", "transcription_config", "{'model': 'x'}", {"model": "x"}),
    ],
)
def test_what_is_typed_is_python_or_text_as_the_argument_takes_it(
    engine: str, name: str, text: str, value: Any
) -> None:
    assert choices.parse_typed(get(engine).offer.options[name], text) == value


def test_what_an_argument_does_not_take_is_told_in_its_own_words() -> None:
    with pytest.raises(InvalidParameterError, match="threads is a whole number from 1"):
        choices.parse_typed(get("local").offer.options["threads"], "many")


def test_switches_are_told_from_other_arguments() -> None:
    options = get("deepgram").offer.options
    switches = {name for name, option in options.items() if choices.is_switch(option)}
    assert {"punctuate", "utterances", "filler_words"} <= switches
    assert not switches & {"redact", "detect_language", "summarize", "language", "utt_split", "alternatives"}


# The line of Python.


def test_the_line_does_what_the_panel_does(panel: Controls) -> None:
    shown = described(panel)
    shown["Speakers"].value, shown["Number"].value = "exactly", 3
    shown["turn confidence"].value = True
    turns = panel.run()
    assert panel.code == (
        'turns = diarnb.diarize(diarnb.example("interview"), num_speakers=3, turn_level_confidence=True)'
    )
    assert_turns_equal(run_line(panel.code), turns)
    assert_turns_equal(diarnb.diarize(panel.source, progress=False, **panel.params), turns)
    assert panel.turns is turns
    assert json.loads(json.dumps(panel.params)) == {"num_speakers": 3, "turn_level_confidence": True}


@pytest.mark.parametrize(
    "path",
    [
        "talk.wav",
        "a'b\".wav",
        "back\\slash.wav",
        "new\nline.wav",
        "turn\u202egnp.wav",
        "日本語.wav",
        "'); import os  #",
    ],
)
def test_the_line_is_python_for_every_path(path: str) -> None:
    [statement] = ast.parse(choices.write_line(choices.source_of("file", path), {"num_speakers": 2})).body
    assert ast.literal_eval(statement.value.args[0]) == path  # type: ignore[attr-defined]


def test_a_signed_address_stays_in_python() -> None:
    address = "https://me:pw@host.org/talk.wav?X-Signature=abcdef"
    panel = controls()
    shown = described(panel)
    shown["Recording"].value = "url"
    shown["Address"].value = address
    assert panel.source == address
    assert panel.code.startswith("turns = diarnb.diarize(url)  # url: https://host.org/talk.wav")
    state = json.dumps([part.get_state() for part in every(panel)], default=str)
    assert "pw@" not in state
    assert "abcdef" not in state
    given = controls(address)
    assert "abcdef" not in json.dumps([part.get_state() for part in every(given)], default=str)
    assert given.source == address
    panel.close()
    given.close()


def test_samples_that_are_passed_run() -> None:
    import soundfile

    samples, rate = soundfile.read(diarnb.example("interview"), stop=5 * 16000)
    panel = controls((samples, rate))
    turns = panel.run()
    assert_turns_equal(run_line(panel.code, source=panel.source), turns)
    panel.close()


def test_channels_are_offered_where_there_are_several() -> None:
    panel = controls(diarnb.example("call"))
    shown = described(panel)
    shown["Channels"].value = "split"
    assert panel.params == {"channels": "split"}
    assert panel.code.endswith('channels="split")')
    shown["Example"].value = "interview"
    assert panel.params == {}
    panel.close()


# Uploads.


def upload(panel: Controls, name: str, content: bytes) -> None:
    """Upload a file as the page does, in the way of the ipywidgets that is installed."""
    [uploader] = panel._picker.upload.children
    if ipywidgets.__version__.startswith("7."):
        uploader.set_trait("value", {name: {"metadata": {"name": name}, "content": content}})
    else:
        import datetime as dt

        told = {"name": name, "type": "audio/flac", "size": len(content), "content": memoryview(content)}
        uploader.value = ({**told, "last_modified": dt.datetime.now(dt.UTC)},)


def test_an_upload_runs_and_leaves_nothing_of_it_in_a_widget(panel: Controls) -> None:
    content = diarnb.example("interview").read_bytes()
    described(panel)["Recording"].value = "upload"
    upload(panel, "../of mine.flac", content)
    assert len(panel.run()) > 0
    assert panel.turns is not None
    assert panel.turns.attrs["diarnb"]["source"] == "of mine.flac"
    assert panel.code.startswith('turns = diarnb.diarize("of mine.flac")  # uploaded')
    assert not any(part.value for part in every(panel) if isinstance(part, ipywidgets.FileUpload))
    assert content[:64] not in repr([part.get_state() for part in every(panel)]).encode()


# Costs and keys.


def test_the_cost_stands_there_before_anything_is_sent() -> None:
    panel = controls(diarnb.example("interview"), engine="pyannoteai")
    assert "bills 1 min 9 s; enter your price" in said(panel)
    described(panel)["Price"].value = 10.0
    expected = diarnb.cloud.estimate_cost(diarnb.example("interview"), engine="pyannoteai", price_per_hour=10.0)
    assert f"{expected:.2f} at 10 an hour" in said(panel)
    assert "price_per_hour" not in panel.code
    panel._form.options.more.value = True
    described(panel)["max_cost"].value = "2"
    assert "max_cost=2, price_per_hour=10.0" in panel.code
    panel.close()


def test_a_missing_key_is_told_with_how_to_set_it_and_raised_by_run() -> None:
    panel = controls(diarnb.example("interview"), engine="deepgram")
    assert "DEEPGRAM_API_KEY" in said(panel)
    with pytest.raises(MissingApiKeyError):
        panel.run()
    assert "DEEPGRAM_API_KEY" in said(panel)
    panel.close()


def test_a_key_from_the_environment_is_in_no_trait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "canary-0123456789-canary")
    panel = controls(diarnb.example("interview"), engine="deepgram")
    panel._form.options.more.value = True
    state = json.dumps([part.get_state() for part in every(panel)], default=str)
    told = f"{state} {panel!r} {panel._repr_mimebundle_()} {panel.params} {panel.code} {vars(panel)}"
    assert "canary" not in told
    assert "There is no key" not in told
    panel.close()


def test_what_contradicts_itself_is_told_and_can_not_be_run() -> None:
    panel = controls(diarnb.example("interview"), engine="pyannoteai")
    panel._form.options.more.value = True
    shown = described(panel)
    shown["transcription"].value = True
    shown["Model"].value = "precision-1"
    assert "transcription needs model=" in said(panel)
    assert shown["Run"].disabled
    shown["Model"].value = "precision-2"
    assert not shown["Run"].disabled
    shown["timeout"].value = "soon"
    assert "timeout is a number above 0" in said(panel)
    assert shown["Run"].disabled
    panel.close()


# Running.


def test_a_click_runs_in_a_thread_and_shows_the_table(panel: Controls) -> None:
    described(panel)["Run"].click()
    assert panel._worker.wait(PATIENCE)
    assert panel.turns is not None
    assert_turns_equal(panel.turns, diarnb.diarize(diarnb.example("interview"), progress=False))
    assert "2 speakers" in said(panel)


def test_count_and_threshold_decide_again_at_once_and_the_latest_wins(panel: Controls) -> None:
    panel.run()
    shown = described(panel)
    shown["Speakers"].value = "exactly"
    for number in (1, 2, 3, 4, 5, 3):
        shown["Number"].value = number
    assert panel._worker.wait(PATIENCE)
    again = diarnb.diarize(diarnb.example("interview"), num_speakers=3, progress=False)
    assert panel.turns is not None
    assert_turns_equal(panel.turns, again)
    assert len(diarnb.runs()) <= 4  # and not one for each position that the slider passed
    shown["Speakers"].value, shown["Threshold"].value = "automatic", "at"
    shown["Distance"].value = 1.0
    assert panel._worker.wait(PATIENCE)
    assert panel.params == {"threshold": 1.0}
    assert_turns_equal(panel.turns, run_line(panel.code))


def test_what_needs_another_run_says_so_and_waits_for_it(panel: Controls) -> None:
    before = panel.run()
    described(panel)["turn confidence"].value = True
    assert panel._worker.wait(PATIENCE)
    assert panel.turns is before
    assert "press Run" in said(panel)
    assert "confidence" in panel.run()
    assert "press Run" not in said(panel)


class Slow:
    """An engine that reports until it is stopped, as one that listens for an hour."""

    name = "slow"
    offer = Offer(models=("slow",))

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

    def version(self, model: str) -> str:
        return "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Any:
        self.began.set()
        try:
            while not self.ended.wait(0.01):
                progress("listening", 0.5)
        finally:
            self.ended.set()
        raise AssertionError("nobody stopped it")


def test_stop_ends_the_work_and_leaves_the_table_as_it_was() -> None:
    engine = Slow()
    panel = controls(diarnb.example("interview"), engine=engine)
    shown = described(panel)
    shown["Run"].click()
    assert engine.began.wait(PATIENCE)
    assert shown["Run"].disabled
    shown["Stop"].click()
    assert engine.ended.wait(PATIENCE)
    assert panel._worker.wait(PATIENCE)
    assert "Stopped" in said(panel)
    assert (shown["Run"].disabled, shown["Stop"].disabled) == (False, True)
    assert panel.turns is None
    panel.close()


def test_closing_stops_the_work_and_leaves_no_widget_and_no_thread() -> None:
    gc.collect()
    before, threads = alive(), threading.active_count()
    engine = Slow()
    panel = controls(diarnb.example("interview"), engine=engine)
    panel._engines.value = "deepgram"
    panel._form.options.more.value = True
    panel._engines.value = engine
    described(panel)["Run"].click()
    assert engine.began.wait(PATIENCE)
    panel.close()
    assert engine.ended.wait(PATIENCE)
    assert panel._worker.wait(PATIENCE)
    panel.close()
    assert alive() == before
    assert threading.active_count() == threads


def test_errors_are_one_sentence_in_the_panel_and_raised_by_run(tmp_path: Path) -> None:
    panel = controls(tmp_path / "missing.wav")
    assert "does not exist" in said(panel)
    with pytest.raises(AudioNotFoundError):
        panel.run()
    described(panel)["Run"].click()
    assert panel._worker.wait(PATIENCE)
    assert "missing.wav does not exist" in said(panel)
    described(panel)["Path"].value = ""
    with pytest.raises(InvalidParameterError, match="no recording is chosen yet"):
        panel.run()
    panel.close()


def test_a_remark_stands_in_the_panel_and_is_a_warning_of_run_once() -> None:
    panel = controls((np.zeros(16000 * 3, np.float32), 16000))
    shown = described(panel)
    shown["Speakers"].value, shown["Number"].value = "exactly", 3
    with pytest.warns(DiarnbWarning) as caught:
        panel.run()
    assert len(caught) == 1
    assert panel.turns is not None
    assert str(caught[0].message).split(":")[-1].strip()[:30] in said(panel)
    panel.close()


# What stays.


def test_its_trace_is_readable_without_a_page(panel: Controls) -> None:
    empty = panel._repr_mimebundle_()
    assert panel.code in empty["text/plain"]
    assert empty["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    panel.run()
    kept = panel._repr_mimebundle_()
    assert "SPEAKER_01" in kept["text/html"]
    assert "data:image/png;base64," in kept["text/html"]
    assert "diarnb.example(&quot;interview&quot;)" in kept["text/html"]
    assert len(kept["text/html"]) < 150_000
    assert repr(panel) == f"<Controls: {panel.code}>"


def test_a_worker_runs_the_newest_job_and_never_two_at_once() -> None:
    worker, ran, together = Worker(), [], []
    first, go = threading.Event(), threading.Event()
    lock = threading.Lock()

    def job(number: int) -> Any:
        def work(stop: threading.Event) -> None:
            together.append(lock.acquire(blocking=False))
            if number == 0:
                first.set()
                go.wait(PATIENCE)
                assert stop.is_set()  # because others wait
            ran.append(number)
            lock.release()

        return work

    worker.submit(job(0))
    assert first.wait(PATIENCE)
    for number in range(1, 10):
        worker.submit(job(number), delay=0.01)
    go.set()
    assert worker.wait(PATIENCE)
    assert (ran, all(together), worker.busy) == ([0, 9], True, False)
    worker.submit(job(10), delay=3600)
    worker.stop()
    assert worker.wait(PATIENCE)
    assert ran == [0, 9]


def test_an_upload_is_a_file_with_a_name_and_no_folder() -> None:
    made = choices.Upload("../../etc/passwd", b"content")
    assert isinstance(made, io.BytesIO)
    assert made.name == "passwd"
