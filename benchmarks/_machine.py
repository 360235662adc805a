"""What a figure was measured on, and the tables in which figures are printed."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def cores() -> int:
    """Return the number of cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of the distributions that are installed; the others are left out."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def heading(systems: Mapping[str, Mapping[str, str]]) -> str:
    """Describe the machine, then the versions that each system ran with, one line each."""
    lines = [
        f"machine: {processor()}, {cores()} cores; {platform.system()} {platform.machine()}",
        *(f"{name}: {', '.join(f'{k} {v}' for k, v in found.items())}" for name, found in systems.items()),
    ]
    return "\n".join(f"- {line}" for line in lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, padded so that it also reads well in a terminal.

    Examples
    --------
    >>> print(table(["name", "DER"], [["a", "7.5"]]))
    | name | DER |
    | ---- | --: |
    | a    | 7.5 |
    """
    body = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = [
            (c.ljust if n == 0 else c.rjust)(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join([first, *others])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, body)])
