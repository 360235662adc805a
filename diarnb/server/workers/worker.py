"""A worker: a process of its own that listens for the server, so that the server itself always answers.

It takes one task after another from its standard input, gentle to whatever else the machine does, and ends with the
server, whatever ends that.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from diarnb.engines.local import networks
from diarnb.errors import DiarnbError
from diarnb.server.deepgram import live_task
from diarnb.server.deepgram import task as deepgram_task
from diarnb.server.pyannoteai import task as pyannoteai_task
from diarnb.server.workers import wire
from diarnb.server.workers.wire import ServerPipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Json


TASKS: dict[str, Callable[[Json, ServerPipe], bytes]] = {
    **pyannoteai_task.TASKS,
    **deepgram_task.TASKS,
    **live_task.TASKS,
}
"""What can be done, by its name in ``task["do"]``; the answer is what the server sends on."""


def main() -> None:
    """Work until the server is gone."""
    settings = json.loads(sys.argv[1])
    _be_gentle(settings["nice"], settings["memory"])
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the frames
    line = ServerPipe(sys.stdin.buffer, outgoing)
    for network in networks.NAMES:
        networks.load(network, providers=("CPUExecutionProvider",), threads=1)
    while True:
        kind, content = line.receive()
        if kind == wire.TASK:  # anything else is left over from a stream that failed
            _do(json.loads(content), line)


def _do(task: Json, line: ServerPipe) -> None:
    try:
        answer = TASKS[task["do"]](task, line)
    except DiarnbError as error:
        line.send(wire.FAILED, {"kind": type(error).__name__, "message": str(error)})
    except BaseException:  # a fault of ours, or no memory: what is left of this process is not to be trusted
        traceback.print_exc()
        os._exit(1)
    else:
        line.send(wire.DONE, answer)


def _be_gentle(nice: int, memory: int) -> None:
    """Leave the processor to those who only ask, and fail alone where a recording takes all the memory."""
    with suppress(OSError, AttributeError):  # Windows has no nice
        os.nice(nice)
    if memory and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory << 20, memory << 20))


if __name__ == "__main__":
    main()
