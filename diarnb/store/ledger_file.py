"""A file of records that are never changed, in two copies: whatever damages one of them, nothing is lost in silence.

Each line is a record, the whole of a row as it stands since, after its checksum:

    9f86d081884c7d65 {"generation": 1, "number": 4, "row": {"id": "3c8a0b54f1d2", "state": "sent", …}}

Records are numbered without a gap and written to one copy, then to the other, each on disk before the next step. So one
copy is sound to its end whatever ends this process, and what is wrong with the other is mended from it. Where both are
damaged the records of both are put together; a gap, or two ends that are not sound, is a loss that the file remembers
(`Contents.damage`) until somebody accepts it. To remove a row for good, all is written anew as another generation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tempfile
import threading
import warnings
import zlib
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from diarnb._types import Json
from diarnb.errors import StoreError, StoreWarning
from diarnb.store.lock import hold
from diarnb.store.takeover import read_earlier_store

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYOUT = 1
"""Stands in the files' names."""

_MANY = 4  # records for each row, above which the file is written anew
_FEW = 5000  # records below which it is not

Rows = dict[str, Json]


@dataclass
class Contents:
    """What the file holds.

    Attributes
    ----------
    rows : dict
        The newest record of each row, by its id, in the order in which the rows began.
    damage : list of str
        What was lost at some time and not accepted since, in words.
    generation, number : int
        Of the last record.
    """

    rows: Rows = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    generation: int = 1
    number: int = -1


@dataclass(frozen=True)
class _Record:
    """A line, and what it says."""

    line: bytes
    found: Json


@dataclass(frozen=True)
class _Copy:
    """One of the two, as it was read: its sound records by generation and number, and whether that is all of it."""

    records: dict[tuple[int, int], _Record]
    sound: bool

    @property
    def generation(self) -> int:
        return max((generation for generation, _ in self.records), default=0)


_known: dict[Path, tuple[object, Contents]] = {}  # by folder: what the files looked like when they were read last
_reading = threading.RLock()


class LedgerFile:
    """The two copies in a folder, and the answers beside them.

    Parameters
    ----------
    folder : pathlib.Path

    Raises
    ------
    StoreError
        From every method, where the files cannot be read or written, or are of a later version of diarnb.

    Examples
    --------
    >>> import tempfile
    >>> file = LedgerFile(Path(tempfile.mkdtemp()))
    >>> file.write({"id": "a", "state": "sent"})
    >>> file.read().rows
    {'a': {'id': 'a', 'state': 'sent'}}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: tuple[Path, Path] = (folder / f"ledger-{LAYOUT}.jsonl", folder / f"ledger-{LAYOUT}.copy.jsonl")
        self._answers = folder / "paid"

    def exists(self) -> bool:
        """Return whether there is one copy at least."""
        return any(path.exists() for path in self.paths)

    def read(self) -> Contents:
        """Read the rows; mend a copy that is damaged from the other, and remember what is lost in both."""
        with _reading, _explain_errors():
            known = _known.get(self.folder)
            if known is not None and known[0] == self._stamp() is not None:
                return known[1]
            with self._hold_lock():
                return self._read()

    def write(self, row: Json) -> None:
        """Write a row as it stands now; it is on disk when this returns."""
        with self.changing() as rows:
            rows[row["id"]] = row

    @contextmanager
    def changing(self) -> Iterator[Rows]:
        """Hold the file: what is changed in the rows that this gives is written at the end."""
        with _reading, _explain_errors(), self._hold_lock():
            contents = self._read()
            rows = dict(contents.rows)
            yield rows
            changed = [row for name, row in rows.items() if row is not contents.rows.get(name)]
            if changed:
                self._append(contents, changed)

    def erase(self, row: Json) -> None:
        """Write a row in the place of all earlier records of it, which leave the disk."""
        with _reading, _explain_errors(), self._hold_lock():
            contents = self._read()
            self._renew(contents, {**contents.rows, row["id"]: row}, contents.damage)

    def accept_loss(self) -> None:
        """Forget what `Contents.damage` remembers."""
        with _reading, _explain_errors(), self._hold_lock():
            contents = self._read()
            if contents.damage:
                self._renew(contents, contents.rows, [])

    def keep_answer(self, answer: bytes) -> str:
        """Keep an answer byte for byte; return its name."""
        with _explain_errors():
            packed = zlib.compress(answer)
            name = hashlib.sha256(packed).hexdigest()
            self._answers.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.find_answer(name) is None:
                _replace(self._answers / name, packed)
            return name

    def find_answer(self, name: str) -> bytes | None:
        """Read an answer; None where it is gone or damaged."""
        try:
            packed = (self._answers / name).read_bytes()
        except OSError:
            return None
        return zlib.decompress(packed) if hashlib.sha256(packed).hexdigest() == name else None

    def remove_answer(self, name: str) -> None:
        """Remove an answer that no row has any more."""
        with suppress(FileNotFoundError):
            (self._answers / name).unlink()

    def _stamp(self) -> object:
        """Return what changes when somebody writes; None while a copy is missing."""
        try:
            found = [path.stat() for path in self.paths]
        except FileNotFoundError:
            return None
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]

    def _hold_lock(self) -> AbstractContextManager[None]:
        return hold(self.folder / "ledger.lock", "the ledger of paid runs")

    def _read(self) -> Contents:
        """Read both copies, with the lock held, and leave both sound and equal."""
        stamp, known = self._stamp(), _known.get(self.folder)
        if known is not None and known[0] == stamp is not None:
            return known[1]
        self._refuse_later()
        if not self.exists():
            return self._begin()
        contained = [path.read_bytes() if path.exists() else b"" for path in self.paths]
        first = _read_copy(contained[0])
        both = [first, first if contained[1] == contained[0] else _read_copy(contained[1])]
        generation = max(copy.generation for copy in both)
        newest = {**both[1].records, **both[0].records}
        lines = {number: newest[of, number] for of, number in sorted(newest) if of == generation}
        complete = lines.keys() == set(range(len(lines))) and len(lines) > 0
        if complete and any(copy.sound and copy.generation == generation for copy in both):
            contents = _fold([lines[number] for number in sorted(lines)])
            whole = b"".join(lines[number].line for number in sorted(lines))
            for path, content in zip(self.paths, contained, strict=True):
                if content != whole:
                    _replace(path, whole)
            self._remember(contents)
            return contents
        return self._salvage([newest[place] for place in sorted(newest)])

    def _refuse_later(self) -> None:
        for path in self.folder.glob("ledger-*.jsonl"):
            layout = re.fullmatch(r"ledger-(\d+)(\.copy)?\.jsonl", path.name)
            if layout and int(layout[1]) > LAYOUT:
                raise StoreError(
                    f"{path.name} was written by a later version of diarnb, which this one cannot read; nothing was "
                    "sent. Upgrade diarnb, or set DIARNB_HOME to another folder"
                )

    def _begin(self) -> Contents:
        """Begin a ledger, with what a store of diarnb 0.1.0 holds of paid runs."""
        earlier = read_earlier_store(self.folder)
        rows: Rows = {}
        for row, answer in earlier.rows:
            rows[row["id"]] = {**row, "answer": None if answer is None else self.keep_answer(answer)}
        kept = {row["answer"] for row in rows.values()}
        if self._answers.exists() and any(path.name not in kept for path in self._answers.iterdir()):
            earlier.damage.append("the ledger of paid runs is missing, but there are paid answers")
        contents = self._renew(Contents(generation=0), rows, earlier.damage)
        if contents.damage:
            _warn_of(contents.damage)
        return contents

    def _salvage(self, records: list[_Record]) -> Contents:
        contents = _fold(records)
        for path in self.paths:
            with suppress(FileNotFoundError):
                path.replace(path.with_name(f"{path.name}.{secrets.token_hex(3)}.bad"))
        lost = f"both copies of the ledger of paid runs were damaged; {len(contents.rows)} entries could be read"
        contents = self._renew(contents, contents.rows, [*contents.damage, lost])
        _warn_of([lost])
        return contents

    def _append(self, contents: Contents, rows: list[Json]) -> None:
        if contents.number > _FEW and contents.number > _MANY * len(contents.rows):
            self._renew(contents, {**contents.rows, **{row["id"]: row for row in rows}}, contents.damage)
            return
        number = contents.number
        lines = b"".join(_line(contents.generation, number + place + 1, row) for place, row in enumerate(rows))
        sizes = [path.stat().st_size for path in self.paths]
        try:
            for path in self.paths:
                with path.open("ab") as file:
                    file.write(lines)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            for path, size in zip(self.paths, sizes, strict=True):
                with suppress(OSError):
                    os.truncate(path, size)
            raise
        now = {**contents.rows, **{row["id"]: row for row in rows}}
        self._remember(Contents(now, contents.damage, contents.generation, number + len(rows)))

    def _renew(self, contents: Contents, rows: Rows, damage: list[str]) -> Contents:
        """Write all anew, as the next generation."""
        generation = contents.generation + 1
        head = {"id": "", "layout": LAYOUT, "damage": damage}
        lines = [_line(generation, number, row) for number, row in enumerate([head, *rows.values()])]
        for path in self.paths:
            _replace(path, b"".join(lines))
        renewed = Contents(dict(rows), list(damage), generation, len(rows))
        self._remember(renewed)
        return renewed

    def _remember(self, contents: Contents) -> None:
        _known[self.folder] = (self._stamp(), contents)


def _read_copy(content: bytes) -> _Copy:
    records: dict[tuple[int, int], _Record] = {}
    *lines, rest = content.split(b"\n")
    sound = not rest
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != _checksum(text):
            sound = False
            continue
        found = json.loads(text)
        records[found["generation"], found["number"]] = _Record(line + b"\n", found)
    numbers = [number for _, number in records]
    return _Copy(records, sound and len(records) == len(lines) > 0 and numbers == list(range(len(numbers))))


def _fold(records: list[_Record]) -> Contents:
    """Put records together, in their order."""
    contents = Contents()
    for record in records:
        contents.generation, contents.number = record.found["generation"], record.found["number"]
        row = record.found["row"]
        if row["id"]:
            contents.rows[row["id"]] = row
        else:
            contents.damage = row["damage"]
    return contents


def _line(generation: int, number: int, row: Json) -> bytes:
    text = json.dumps({"generation": generation, "number": number, "row": row}).encode()
    return _checksum(text) + b" " + text + b"\n"


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and wait until it is on disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".ledger-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):
            os.fsync(folder)
        os.close(folder)


@contextmanager
def _explain_errors() -> Iterator[None]:
    """Put failures of the file system in words of diarnb's."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the ledger of paid runs could not be used: {error.strerror or error}") from error


def _warn_of(damage: list[str]) -> None:
    warnings.warn(f"{'; '.join(damage)}. Nothing is paid again unless you ask", StoreWarning, stacklevel=2)
