"""What only a real kernel shows: cells that wait in a queue, an interrupt, a loop that already runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nbclient
import nbformat
import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LONG = """
import diarnb, numpy as np, soundfile
samples, rate = soundfile.read(diarnb.example("meeting"))
long = np.tile(samples, 14)
"""
COUNTED = """
from diarnb import _progress
shown, really = [], _progress._Bar._open
_progress._Bar._open = lambda bar: (shown.append(bar), really(bar))
"""
OUTPUT = """
import ipywidgets
shown = ipywidgets.Output()
with shown:
    print(turns["speaker"].nunique())
shown
"""

pytestmark = pytest.mark.slow


class Done(NamedTuple):
    """How a cell ended."""

    status: str
    error: str
    text: str
    number: int | None
    traceback: list[str]


class Kernel:
    """A kernel, and the messages that it sends while cells run."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, *cells: str, meanwhile: Callable[[], object] = lambda: None) -> list[Done]:
        """Send all cells at once, as "Run All" does, and wait for every answer."""
        sent = [self.client.execute(cell) for cell in cells]
        meanwhile()
        replies: dict[str, dict[str, Any]] = {}
        texts = dict.fromkeys(sent, "")
        idle: set[str] = set()
        while not replies.keys() >= set(sent):  # on a busy machine a late answer to the first hello comes too
            reply = self.client.get_shell_msg(timeout=60)  # a cell that was dropped is never answered
            replies[reply["parent_header"]["msg_id"]] = reply["content"]
        while idle != set(sent):
            message = self.client.get_iopub_msg(timeout=60)
            cell, content = message["parent_header"].get("msg_id"), message["content"]
            if cell in texts:
                data = content.get("data")
                texts[cell] += content.get("text", "") or (data or {}).get("text/plain", "")
                if content.get("execution_state") == "idle":
                    idle.add(cell)
        answers = [(replies[cell], texts[cell]) for cell in sent]
        return [
            Done(said["status"], said.get("ename", ""), text, said.get("execution_count"), said.get("traceback", []))
            for said, text in answers
        ]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """Start a kernel as a notebook does."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def cells_of(name: str) -> list[str]:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", ["01_quickstart", "03_listening_naming_correcting", "10_your_own_engine"])
def test_run_all_answers_every_cell_in_order(kernel: Kernel, name: str) -> None:
    cells = cells_of(name)
    done = kernel.run(*cells)
    assert [cell.error for cell in done] == [""] * len(cells)
    assert [(cell.status, cell.number) for cell in done] == [("ok", number) for number in range(1, len(cells) + 1)]


def test_run_all_answers_every_cell_under_the_users_own_nest_asyncio(kernel: Kernel) -> None:
    # From ipykernel 7.1 on, a run nested by nest-asyncio drops the cells that wait: ours must not nest.
    cells = ["import nest_asyncio; nest_asyncio.apply()", *cells_of("01_quickstart"), "print(len(turns))"]
    *done, last = kernel.run(*cells)
    assert {cell.status for cell in done} == {"ok"}
    assert int(last.text) > 0


def test_await_works_in_a_cell(kernel: Kernel) -> None:
    imported, awaited, same = kernel.run(
        "import diarnb",
        'turns = await diarnb.diarize_async(diarnb.example("interview"))',
        'print(turns.equals(diarnb.diarize(diarnb.example("interview"))))',
    )
    assert (imported.status, awaited.status) == ("ok", "ok")
    assert same.text == "True\n"


@pytest.mark.parametrize(
    ("call", "raised"),
    [
        ("diarnb.diarize((long, rate))", {"KeyboardInterrupt"}),
        ("await diarnb.diarize_async((long, rate))", {"KeyboardInterrupt", "CancelledError"}),
    ],
)
def test_an_interrupt_gives_the_prompt_back_and_leaves_nothing_half_done(
    kernel: Kernel, call: str, raised: set[str], record_property: Callable[[str, object], None]
) -> None:
    sent_at = 0.0

    def interrupt() -> None:
        nonlocal sent_at
        time.sleep(4)
        sent_at = time.monotonic()
        kernel.manager.interrupt_kernel()

    (ready,) = kernel.run(LONG)
    assert ready.status == "ok"
    (stopped,) = kernel.run(call, meanwhile=interrupt)
    latency = time.monotonic() - sent_at
    assert stopped.error in raised
    if stopped.error == "KeyboardInterrupt":
        (line,) = stopped.traceback
        assert line.startswith("KeyboardInterrupt: interrupted; ")
    record_property("seconds from interrupt to idle", latency)
    print(f"{call}: idle {latency:.2f} s after the interrupt")
    runs, again, threads = kernel.run(
        "print(len(diarnb.runs()))",
        'print(len(diarnb.diarize(diarnb.example("interview"))))',
        "import threading; print([thread.name for thread in threading.enumerate() if 'diar' in thread.name.lower()])",
    )
    assert runs.text == "0\n"
    assert int(again.text) > 0
    assert threads.text == "[]\n"


def test_saved_widget_state_holds_no_sound_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    # A front end may save the state of widgets with the notebook; nbclient does so, and knows the Output widget.
    secret = "a1b2c3d4" * 4
    monkeypatch.setenv("DEEPGRAM_API_KEY", secret)
    cells = [
        *cells_of("03_listening_naming_correcting"),
        'panel = diarnb.controls(recording, engine="deepgram"); panel',
    ]
    cells += [OUTPUT, "ipywidgets.Audio(value=diarnb.clip(turns, 0, 2).data)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    saved = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    names = [model["state"].get("_model_name") for model in saved.values()]
    assert {"AnyModel", "OutputModel", "AudioModel", "ButtonModel"} <= set(names)
    assert [model["state"]["outputs"][0]["text"] for model in saved.values() if "outputs" in model["state"]] == ["4\n"]
    loud = [model["state"]["_model_name"] for model in saved.values() if any(map(_is_sound, model.get("buffers", [])))]
    assert loud == ["AudioModel"]  # which only this test has put there
    assert secret not in nbformat.writes(notebook)
    ours = [model for model in saved.values() if model["state"]["_model_name"] != "AudioModel"]
    texts = [
        text
        for model in ours
        for key, text in model["state"].items()
        if isinstance(text, str) and key not in ("_esm", "_css")
    ]
    assert max(map(len, texts)) < 10_000


def _is_sound(buffer: dict[str, str]) -> bool:
    return len(buffer["data"]) > 1_000


def test_a_long_run_shows_a_bar_and_leaves_nothing_of_it_in_the_notebook() -> None:
    cells = [LONG, COUNTED, "turns = diarnb.diarize((long[: len(samples) * 3], rate))", "print(len(shown))"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    assert notebook.cells[3].outputs[0]["text"] == "1\n"
    assert [output.get("data") for output in notebook.cells[2].outputs] == [{}]
