"""A worker of the server whose tasks do what tests want: ``diarnb.server.workers.pool._PROGRAM`` names it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from diarnb.errors import CorruptAudioError
from diarnb.server.workers import wire
from diarnb.server.workers import worker as work


def echo(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    return json.dumps({**task, "pid": os.getpid(), "nice": os.nice(0)}).encode()


def prints(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    """What a library prints, from Python and from C."""
    print("hello")
    sys.stdout.flush()
    os.write(1, b"D\0\0\0\1x")
    return b"{}"


def crash(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    """End as a decoder that fails does; the first `times`, or always."""
    tried = Path(task["tried"])
    with tried.open("a", encoding="ascii") as file:
        file.write("x")
    if len(tried.read_text(encoding="ascii")) <= task.get("times", 1 << 30):
        os.kill(os.getpid(), signal.SIGKILL)
    return b"{}"


def wait(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    """Say that it was begun, and wait until a test says go."""
    Path(task["begun"]).touch()
    while not Path(task["go"]).exists():
        time.sleep(0.01)
    return b'{"went": true}'


def spin(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    while True:
        pass


def fails(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    raise CorruptAudioError("talk.wav is damaged")


def bug(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    raise ValueError("nobody thought of this")


def greedy(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    return str(np.ones(task["mebibytes"] << 17).sum()).encode()


def talk(task: dict[str, Any], line: work.ServerPipe) -> bytes:
    """Answer every sound with a note, until the end."""
    heard = 0
    while True:
        kind, content = line.receive()
        if kind == wire.END:
            return json.dumps({"heard": heard}).encode()
        heard += len(content)
        line.send(wire.NOTE, {"heard": heard})


work.TASKS.update(
    {f"test.{task.__name__}": task for task in (echo, prints, crash, wait, spin, fails, bug, greedy, talk)}
)

work.networks.load = lambda *_, **__: None  # type: ignore[assignment]  # no task here listens

if __name__ == "__main__":
    work.main()
