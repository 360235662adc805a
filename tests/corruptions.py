"""Damage to the files of a run store after something was paid for, and what the same call does then.

python -m tests.corruptions [COUNT]
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diarnb import errors
from tests.clouds import ask, sound
from tests.faultserver import FaultServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _empty(_content: bytes, _draw: random.Random) -> bytes:
    return b""


def _damage_head(content: bytes, draw: random.Random) -> bytes:
    size = draw.randint(16, 4096)
    return draw.randbytes(size) + content[size:]


def _zero_page(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(max(1, len(content) // 4096 + 1)) * 4096
    return content[:at] + bytes(len(content[at : at + 4096])) + content[at + 4096 :]


def _flip(content: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.randint(1, 200) if damaged else 0):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": _cut,
    "emptied": _empty,
    "damaged head": _damage_head,
    "zero page": _zero_page,
    "noise": _flip,
}
TARGETS: dict[str, Callable[[Path], bool]] = {
    "runs": lambda path: path.name.startswith("runs-1.sqlite"),
    "ledger": lambda path: path.name == "ledger-1.jsonl",
    "copy": lambda path: path.name == "ledger-1.copy.jsonl",
    "both": lambda path: path.name.endswith(".jsonl"),
    "answers": lambda path: path.parent.name == "paid",
    "runs and answers": lambda path: not path.name.endswith(".jsonl"),
    "runs and ledger": lambda path: path.name.startswith("runs") or path.name == "ledger-1.jsonl",
    "all": lambda _path: True,
}


@contextmanager
def living_in(home: Path) -> Iterator[None]:
    before = os.environ.get("DIARNB_HOME")
    os.environ["DIARNB_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("DIARNB_HOME")
        if before is not None:
            os.environ["DIARNB_HOME"] = before


def pay(home: Path, server: FaultServer) -> None:
    """Fill a store: some runs that were paid for, one of them last."""
    with living_in(home):
        for number in range(3):
            ask(server.origin, sound(number))


def damage(home: Path, kind: str, fits: Callable[[Path], bool], draw: random.Random) -> None:
    files = sorted(path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock" and fits(path))
    for path in files:
        path.write_bytes(KINDS[kind](path.read_bytes(), draw))


def ask_again(home: Path, server: FaultServer) -> str:
    """Ask for what was paid for: "answered", "told" before anything was sent, or "paid again"."""
    before = len(server.jobs)
    with living_in(home), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ask(server.origin, sound(1))
        except (errors.SubmissionUncertainError, errors.StoreError, errors.JobError):
            return "told" if len(server.jobs) == before else "paid again"
    return "answered" if len(server.jobs) == before else "paid again"


def run(count: int, seed: int = 0, paid: Callable[[Path, FaultServer], None] = pay) -> tuple[Counter[str], list[str]]:
    """Try each kind on each target, and `count` random ones; return what became of all, and what was paid again."""
    draw = random.Random(seed)
    trials = [(kind, target) for kind in KINDS for target in TARGETS]
    trials += [(draw.choice(list(KINDS)), "random") for _ in range(count)]
    found: Counter[str] = Counter()
    again = []
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        whole = Path(folder, "whole")
        paid(whole, server)
        for number, (kind, target) in enumerate(trials):
            home = Path(folder, str(number))
            shutil.copytree(whole, home)
            hit = draw.sample(sorted({path.name for path in home.rglob("*") if path.is_file()}), draw.randint(1, 3))
            damage(home, kind, TARGETS.get(target, lambda path, hit=hit: path.name in hit), draw)
            became = ask_again(home, server)
            found[became] += 1
            if became == "paid again":
                again.append(f"{kind} of {target if target in TARGETS else hit}")
            shutil.rmtree(home)
    return found, again


if __name__ == "__main__":
    import sys

    print(*run(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
