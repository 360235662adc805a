"""Measures player and studio in a real browser: ``python -m benchmarks.widgets [--hours 4]``, in less than 4 minutes.

JupyterLab is served on loopback to a headless Chromium (playwright), with the widget of a long recording in it: the
shipped example `meeting`, repeated, with its true turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import soundfile

import diarnb
from benchmarks._machine import cores, heading, table, versions
from diarnb.audio import SAMPLE_RATE, open_recording
from tests.browser import Lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.browser import Notebook

NOTES = """\
- before play: all that the kernel sends to the page, as it arrives on the WebSocket, from running the cell until the
  player stands and its waveform is complete; of which trace: the picture and the table that stay in the notebook.
- saved: the file of the notebook with this one cell, without and with the state of its widgets.
- seek to sound: from a click on a moment of which the page has no sound until that sound begins (scheduled time of the
  first sample on the audio clock), while playing; clicks all over the recording.
- frame: time between two frames while the view is moved by a wheel event each frame; work: what the player itself does
  in a frame. 60 frames a second are 16.7 ms. Chromium draws in software here.
- for each seek or frame, what hardly depends on what else runs: messages and bytes that arrive in the page (with those
  that are asked for ahead, and the kernel's busy and idle), processor time of the page's main thread (Chromium's
  TaskDuration) and of the kernel.
- load: of the last minute, over the number of cores; from 1 on, ms say more of the machine than of diarnb."""

WIDGETS = ("player", "studio")
SEEKS = 100
FRAMES = 240

WATCH = """() => {
  window.seeks = [];
  window.frames = [];
  window.work = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when) {
    if (window.clicked) {
      window.seeks.push(performance.now() - window.clicked + 1000 * (when - this.context.currentTime));
      window.clicked = 0;
    }
    return start.call(this, when);
  };
  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (then) => request((now) => {
    const began = performance.now();
    then(now);
    if (window.counting) window.work.push(performance.now() - began);
  });
  window.frame = request;
}"""

CLICK = """share => {
  const node = document.querySelector('.diarnb-player .view'), box = node.getBoundingClientRect();
  const at = { clientX: box.left + share * box.width, clientY: box.top + 20, button: 0, pointerId: 1, bubbles: true };
  node.setPointerCapture = () => {};
  node.dispatchEvent(new PointerEvent('pointerdown', at));
  window.clicked = performance.now();
  node.dispatchEvent(new PointerEvent('pointerup', at));
}"""

SCROLL = """count => new Promise(done => {
  const node = document.querySelector('.diarnb-player .view');
  let last = 0, left = count;
  window.frames = []; window.work = []; window.counting = true;
  const next = now => {
    if (last) window.frames.push(now - last);
    last = now;
    if (!left--) { window.counting = false; done(); return; }
    const deltaX = left > count / 2 ? 40 : -40;
    node.dispatchEvent(new WheelEvent('wheel', { deltaX, bubbles: true, cancelable: true }));
    window.frame(next);
  };
  window.frame(next);
})"""


def conversation(folder: Path, hours: float) -> tuple[Path, Path, int]:
    """Write the recording and its turns, and say how many these are."""
    example = diarnb.example("meeting")
    with open_recording(example) as recording:
        samples = np.concatenate(list(recording.blocks()))
    turns, length = diarnb.read(example.with_suffix(".rttm")), len(samples) / SAMPLE_RATE
    count = round(hours * 3600 / length)
    path = folder / "long.wav"
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for _ in range(count):
            file.write(samples)
    shifted = [turns.assign(start=turns["start"] + n * length, end=turns["end"] + n * length) for n in range(count)]
    pd.concat(shifted, ignore_index=True).drop(columns="duration").to_csv(folder / "long.csv", index=False)
    return path, folder / "long.csv", count * len(turns)


def percentiles(values: Sequence[float]) -> str:
    """Write median, 95th percentile and maximum."""
    return " / ".join(f"{value:.1f}" for value in (*np.percentile(values, [50, 95]), max(values)))


class Effort:
    """What the page and the kernel have done since this was made."""

    def __init__(self, notebook: Notebook, received: list[bytes | str]) -> None:
        self._notebook, self._received = notebook, received
        self._session = notebook.page.context.new_cdp_session(notebook.page)
        self._session.send("Performance.enable")
        self._before = self._clocks()
        received.clear()

    def _clocks(self) -> tuple[float, float]:
        kernel = self._notebook.value("__import__('time').process_time()")
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration"), kernel

    def each(self, count: int) -> list[str]:
        """Write what one of so many took: messages, kB, ms of the page's main thread, ms of the kernel."""
        frames = [frame for frame in self._received if "user_expressions" not in text_of(frame)]
        page, kernel = (1000 * (after - before) for before, after in zip(self._before, self._clocks(), strict=True))
        self._session.detach()
        size = sum(map(len, frames)) / 1000
        return [f"{len(frames) / count:.1f} / {size / count:.1f}", f"{page / count:.1f} / {kernel / count:.1f}"]


def load() -> str:
    """Write the load of the last minute for each core."""
    return f"{os.getloadavg()[0] / cores():.2f}"


def shown(notebook: Notebook, received: list[bytes | str]) -> tuple[int, int]:
    """Run the cell and wait until the player is complete: bytes that arrived, and bytes of the trace."""
    received.clear()
    notebook.run(1)
    notebook.page.locator(".diarnb-player .view").wait_for()
    while notebook.value("p._sound.peaks.done") < 1e9:
        time.sleep(1.0)
    notebook.page.wait_for_timeout(5000)  # the page asks for what was missing every 3 s at most
    trace = notebook.value("sum(len(__import__('json').dumps(part)) for part in p._repr_mimebundle_().values())")
    # Our own questions, with `value`, arrive as well: they are told by their code, which echoes.
    return sum(len(frame) for frame in received if not is_ours(frame)), trace


def is_ours(frame: bytes | str) -> bool:
    """Whether a frame answers a question of this benchmark, or only tells that the kernel is busy or idle."""
    text = text_of(frame)
    return "user_expressions" in text or '"execution_state"' in text


def text_of(frame: bytes | str) -> str:
    """Read a frame of the WebSocket as text, whatever it is."""
    return frame if isinstance(frame, str) else frame.decode("utf-8", "replace")


def measure(lab: Lab, path: Path, csv: Path, widget: str) -> list[list[str]]:
    """Return the lines of the table for one widget, "player" or "studio"."""
    first = f"import pandas as pd\nimport diarnb\nturns = pd.read_csv({str(csv)!r})"
    shows = {"player": f"p = diarnb.player(turns, {str(path)!r})\np"}
    shows["studio"] = f"s = diarnb.studio(turns, {str(path)!r})\np = s.player\ns"
    notebook = lab.open([first, shows[widget]])
    page = notebook.page
    received: list[bytes | str] = []
    # A socket that is open already is not told of: a new page over the same notebook opens another.
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(frame)))
    page.reload()
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    page.evaluate(WATCH)
    notebook.run(0)
    before, trace = shown(notebook, received)
    rows = [
        ["load at the start", load()],
        ["before play, kB (bound 300)", f"{before / 1000:.0f}"],
        ["of which trace, kB", f"{trace / 1000:.0f}"],
    ]
    for name, state in (("saved, kB", False), ("saved with widget state, kB", True)):
        notebook.save(widget_state=state)
        rows.append([name, f"{notebook.path.stat().st_size / 1000:.0f}"])
    frames: dict[str, Any] = {"frame, 5 min in view": 0, "frame, 1 h in view": 4, "frame, half in view": 1}
    for name, zooms in frames.items():
        page.locator(".diarnb-player .view").focus()
        if zooms == 1:
            page.keyboard.press("0")
            page.keyboard.press("+")
        else:
            for _ in range(zooms):
                page.keyboard.press("-")
        effort = Effort(notebook, received)
        page.evaluate(SCROLL, FRAMES)
        _, spent = effort.each(FRAMES)
        rows += [
            [f"{name}, ms (median / 95 % / most; bound of 95 %: 33)", percentiles(page.evaluate("window.frames"))],
            ["  work, ms", percentiles(page.evaluate("window.work"))],
            ["  processor time of page / kernel, ms", spent],
        ]
    page.keyboard.press("0")
    page.locator(".diarnb-player .play").click()
    page.wait_for_function("document.querySelector('.diarnb-player .play').ariaLabel === 'Pause'")
    effort = Effort(notebook, received)
    for share in np.random.default_rng(0).uniform(0.01, 0.99, SEEKS).tolist():
        count = page.evaluate("window.seeks.length")
        page.evaluate(CLICK, share)
        page.wait_for_function(f"window.seeks.length > {count}")
        page.wait_for_timeout(400)  # what was asked for ahead is on its way
    carried, spent = effort.each(SEEKS)
    return [
        *rows,
        ["seek to sound, ms (median / 95 % / most; bounds 100 / – / 300)", percentiles(page.evaluate("window.seeks"))],
        ["  messages / kB", carried],
        ["  processor time of page / kernel, ms", spent],
        ["load at the end", load()],
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.widgets", description=__doc__)
    parser.add_argument("--hours", type=float, default=4.0)
    arguments = parser.parse_args(argv)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("there is no Chromium on the path")
    with tempfile.TemporaryDirectory(prefix="diarnb-", ignore_cleanup_errors=True) as base:
        path, csv, turns = conversation(Path(base), arguments.hours)
        lab = Lab(Path(base), chromium)
        try:
            columns = []
            for widget in WIDGETS:
                columns.append(measure(lab, path, csv, widget))
                lab.tidy()
        finally:
            lab.close()
    rows = [[name, *(column[number][1] for column in columns)] for number, (name, _) in enumerate(columns[0])]
    print(heading({"diarnb": versions("diarnb", "anywidget", "ipywidgets", "jupyterlab", "playwright")}))
    print(NOTES, table([f"{arguments.hours:g} h, {turns} turns", *WIDGETS], rows), sep="\n\n")


if __name__ == "__main__":
    main()
