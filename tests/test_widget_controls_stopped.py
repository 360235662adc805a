"""What the panel offers after its Stop: the table of what was heard so far."""

from __future__ import annotations

from typing import Any

import pytest

import diarnb
from diarnb.widgets import parts
from diarnb.widgets.controls import controls
from tests.test_store_partial import RATE, make_talk
from tests.test_widget_controls import PATIENCE, described, said

pytestmark = pytest.mark.slow


def stop_behind(panel: Any, reach: float) -> None:
    """Press Stop as soon as a run has come so far."""

    def watch(change: Any) -> None:
        if change["new"] > reach:
            panel.stop()

    panel._bar.observe(watch, "value")
    described(panel)["Run"].click()
    assert panel._worker.wait(PATIENCE)
    panel._bar.unobserve_all()


def test_stop_offers_the_table_of_what_was_heard_and_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diarnb._progress._PAUSE", 0.0)
    panel = controls((make_talk(80), RATE))
    stop_behind(panel, 0.9)
    assert "Stopped; samples was processed up to 1:00 of 1:20, which is kept" in said(panel)
    offered = panel._partly
    assert (offered.description, offered._dom_classes) == ("Show what was processed up to 1:00", ())
    offered.click()
    assert panel._worker.wait(PATIENCE)
    assert panel.turns is not None
    assert 40 < panel.turns["end"].max() <= 60
    assert panel.turns.attrs["diarnb"]["duration"] == 60
    assert "Processed up to 1:00 of 1:20 only" in said(panel)
    assert list(diarnb.runs()["state"]) == ["stopped"]
    assert len(diarnb.speakers(panel.turns)) == 2
    described(panel)["Run"].click()
    assert panel._worker.wait(PATIENCE)
    assert panel.turns["end"].max() > 70
    assert parts.HIDDEN in offered._dom_classes
    panel.close()


def test_what_is_set_otherwise_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diarnb._progress._PAUSE", 0.0)
    panel = controls((make_talk(80), RATE))
    stop_behind(panel, 0.9)
    assert parts.HIDDEN not in panel._partly._dom_classes
    panel._picker.kind.value = "example"
    assert parts.HIDDEN in panel._partly._dom_classes
    panel._picker.kind.value = "given"
    panel.close()
