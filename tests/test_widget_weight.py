"""What widgets of four hours weigh: all bytes that go to the page before anything is played."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets.widgets.widget as module
import pandas as pd
import pytest
from jupyter_client.session import Session

import diarnb
from diarnb.widgets import parts
from diarnb.widgets.peaks import TILE

if TYPE_CHECKING:
    from collections.abc import Iterator

base_comm = pytest.importorskip("comm.base_comm", reason="ipywidgets 7 has other comms, in which nobody counts here")
pytestmark = pytest.mark.skipif(not hasattr(module, "comm"), reason="ipywidgets 7 has other comms")

BOUND = 300_000


@pytest.fixture(scope="module")
def turns() -> pd.DataFrame:
    """Return the turns of `benchmarks.widgets`: the example's, again and again for four hours."""
    table, length = diarnb.read(diarnb.example("meeting").with_suffix(".rttm")), 89.413
    count = round(4 * 3600 / length)
    shifted = [table.assign(start=table["start"] + n * length, end=table["end"] + n * length) for n in range(count)]
    return pd.concat(shifted, ignore_index=True).drop(columns="duration")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return the sizes of all messages to the page, as a kernel writes them onto the WebSocket."""
    session, sizes = Session(key=b""), []
    parent = session.msg("execute_request", {"code": "made"})

    class Counting(base_comm.BaseComm):  # type: ignore[misc, name-defined]
        def publish_msg(
            self, msg_type: str, data: object = None, metadata: object = None, buffers: object = None, **keys: object
        ) -> None:
            content = {"data": data or {}, "comm_id": self.comm_id, **keys}
            message = session.msg(msg_type, content, parent=parent, metadata=metadata or {})
            sizes.append(sum(map(len, session.serialize(message))) + sum(memoryview(b).nbytes for b in buffers or ()))

    monkeypatch.setattr(module.comm, "create_comm", Counting)
    monkeypatch.setattr(parts, "_looks", {})  # those that are shared are made here
    return sizes


@pytest.mark.parametrize("name", ["player", "studio"])
def test_four_hours_are_less_than_three_hundred_kilobytes_before_play(
    turns: pd.DataFrame, sent: list[int], name: str
) -> None:
    assert len(turns) > 5000
    made = getattr(diarnb, name)(turns, diarnb.example("meeting"))
    player = getattr(made, "player", made)
    player._handle_custom_msg({"id": 0, "ask": "hello"}, [])
    for number in range(16):  # a waveform is asked for again while the recording is read
        player._handle_custom_msg({"id": number, "ask": "peaks", "level": number % 2, "tile": 0}, [])
    waveform = 2 * 2 * TILE  # one of the view and one of all, which a short recording does not fill
    stays = sum(len(part) for part in made._still().values())
    assert 100_000 < sum(sent) + waveform + stays < BOUND
    made.close()
