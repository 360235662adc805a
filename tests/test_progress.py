"""Progress is seen while the work lasts, leaves nothing behind, and never stands in its way."""

from __future__ import annotations

import io
import re
import threading
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

import nbclient
import nbformat
import pytest

from diarnb._progress import _wording, reporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diarnb.engines.base import Progress


class Terminal(io.StringIO):
    """A stderr that a person looks at, and the line that they see."""

    def isatty(self) -> bool:
        return True

    @property
    def line(self) -> str:
        cells: list[str] = []
        column = 0
        for character in self.getvalue():
            if character == "\r":
                column = 0
                continue
            cells[column : column + 1] = character
            column += 1
        return "".join(cells).rstrip()


@contextmanager
def watched() -> Iterator[tuple[Progress, Terminal]]:
    """Report to a terminal; not a fixture, because pytest takes stderr back between a fixture and its test."""
    with redirect_stderr(Terminal()) as terminal, reporter(True) as report:
        yield report, terminal


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diarnb._progress._DELAY", 0.0)
    monkeypatch.setattr("diarnb._progress._PAUSE", 0.0)


def test_an_interrupt_right_after_drawing_leaves_a_clean_line() -> None:
    class Interrupted(Terminal):
        def flush(self) -> None:
            if "left" in self.line:
                raise KeyboardInterrupt

    with redirect_stderr(Interrupted()) as terminal:
        with pytest.raises(KeyboardInterrupt), reporter(True) as report:
            report("listening", 0.5)
        assert terminal.line == ""


def test_a_terminal_shows_one_line_and_is_clean_at_the_end() -> None:
    with watched() as (report, terminal):
        report("reading the recording", 0.01)
        assert terminal.line == "reading the recording · 1\u00a0%"
        report("listening", 0.5)
        assert re.fullmatch(r"listening · 50\u00a0% · \d+ s left", terminal.line)
    assert terminal.line == ""
    assert "\n" not in terminal.getvalue()


def test_a_line_never_grows_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    with watched() as (report, terminal):
        report("a stage with a long and winding name", 0.5)
        assert len(terminal.line) == 19


def test_work_that_is_soon_done_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diarnb._progress._DELAY", 60.0)
    with watched() as (report, terminal):
        report("listening", 0.5)
    assert terminal.getvalue() == ""


def test_ten_thousand_reports_are_a_handful_of_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diarnb._progress._PAUSE", 60.0)
    with watched() as (report, terminal):
        for count in range(10_000):
            report("listening", count / 10_000)
    assert terminal.getvalue().count("listening") == 1


def test_nothing_is_written_to_a_terminal_when_it_is_not_wanted() -> None:
    with redirect_stderr(Terminal()) as terminal, reporter(False) as report:
        report("listening", 0.5)
    assert terminal.getvalue() == ""


def test_nothing_is_written_to_a_log() -> None:
    with redirect_stderr(io.StringIO()) as log, reporter(True) as report:
        report("listening", 0.5)
    assert log.getvalue() == ""


def test_a_process_without_stderr_works() -> None:
    with redirect_stderr(None), reporter(True) as report:
        report("listening", 0.5)


def test_a_terminal_that_breaks_does_not_break_the_work() -> None:
    with watched() as (report, terminal):
        report("listening", 0.1)
        terminal.close()
        report("listening", 0.2)


def test_a_fraction_that_is_none_does_not_break_the_work() -> None:
    with watched() as (report, _):
        report("listening", float("nan"))


def test_an_interrupt_passes_through_and_the_line_is_erased() -> None:
    def interrupted() -> None:
        with reporter(True) as report:
            report("listening", 0.5)
            raise KeyboardInterrupt

    with redirect_stderr(Terminal()) as terminal, pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "listening" in terminal.getvalue()
    assert terminal.line == ""


def test_a_thread_may_report_and_is_ignored_once_the_work_is_over() -> None:
    def in_thread(stage: str) -> None:
        thread = threading.Thread(target=report, args=(stage, 0.5))
        thread.start()
        thread.join()

    with redirect_stderr(Terminal()) as terminal:
        with reporter(True) as report:
            in_thread("listening")
            assert terminal.line.startswith("listening")
        in_thread("late")
    assert terminal.line == ""


def test_a_report_within_a_report_does_not_wait_for_itself() -> None:
    class Echo(Terminal):
        def flush(self) -> None:
            report("again", 0.5)

    with redirect_stderr(Echo()) as terminal, reporter(True) as report:
        report("listening", 0.5)
        assert terminal.line.startswith("listening")


def test_a_stage_cannot_send_commands_to_a_terminal() -> None:
    with watched() as (report, terminal):
        report("\x1b[2Jlistening\n", 0.5)
        assert terminal.line.startswith(r"\x1b[2Jlistening\n")


@pytest.mark.parametrize(
    ("fraction", "elapsed", "words"),
    [
        (0.0, 9.0, "listening · 0 %"),
        (0.5, 1.0, "listening · 50 % · 1 s left"),
        (0.5, 75.0, "listening · 50 % · 1 min 15 s left"),
        (0.25, 2400.0, "listening · 25 % · 2 h left"),
        (1.0, 5.0, "listening · 100 % · 1 s left"),
    ],
)
def test_time_left_is_told_in_units_that_fit(fraction: float, elapsed: float, words: str) -> None:
    assert _wording("listening", fraction, elapsed).replace("\u00a0", " ") == words


KERNEL = """
import sys, threading
import ipywidgets.widgets.widget as registry
from diarnb import _progress
_progress._DELAY = _progress._PAUSE = 0.0

def count():
    return len(getattr(registry, "_instances", registry.Widget.__dict__.get("widgets", ())))

def work(times=3):
    with _progress.reporter(True) as report:
        for step in range(times):
            report("listening", step / times)
        print(count(), file=sys.stderr)
"""


def executed(*cells: str) -> list[list[nbformat.NotebookNode]]:
    """Run cells in a real kernel; gives the outputs of each."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (KERNEL, *cells)])
    nbclient.NotebookClient(book, allow_errors=True, timeout=60).execute()
    return [cell.outputs for cell in book.cells[1:]]


def text(outputs: list[nbformat.NotebookNode], name: str = "stdout") -> str:
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == name)


@pytest.mark.slow
def test_a_kernel_shows_a_bar_and_keeps_neither_its_output_nor_its_widgets() -> None:
    shown, threaded, interrupted, rerun = executed(
        "print('before'); work(); print('after', count())",
        "thread = threading.Thread(target=work); thread.start(); thread.join(); print(count())",
        "with _progress.reporter(True) as report:\n    report('listening', 0.5)\n    raise KeyboardInterrupt",
        "for _ in range(50):\n    work()\nprint(count())",
    )
    assert text(shown) == "before\nafter 0\n"
    assert int(text(shown, "stderr")) > 0, "no widget was ever shown"
    assert text(threaded) == text(rerun) == "0\n"
    assert interrupted[-1]["ename"] == "KeyboardInterrupt"
    displays = [o for outputs in (shown, threaded, interrupted, rerun) for o in outputs if "data" in o]
    assert displays
    assert all(output["data"] == {} for output in displays), displays


def test_a_kernel_without_ipywidgets_works_in_silence() -> None:
    (outputs,) = executed("sys.modules['ipywidgets'] = None; work(); print('done')")
    assert text(outputs) == "done\n"
    assert not [output for output in outputs if output["output_type"] != "stream"]
