"""The log of corrections on disk: what was done by hand outlasts the widget, the kernel and the day.

One file for each table that was corrected, in the folder ``corrections`` beside the run store, readable by its owner
only. The first line says which table it is, each further line is one edit, after a checksum, and is on disk before the
widget shows it:

    5f1c29ab {"edit": 3, "at": "2026-11-28T09:14:03+00:00", "rows": [{"what": "rename", "speaker": "SPEAKER_00", …}]}

Lines are only ever appended, by one process at a time; each first reads what others have written, so that the lines are
one history. A process that is killed leaves at most a last line that is no whole line, which is passed over. The cache
rules of the run store never touch these files; `diarnb.forget` removes them.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
import zlib
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from diarnb.corrections.history import Edit, digest_rows
from diarnb.errors import RunNotFoundError, StoreError, StoreWarning
from diarnb.store import Store
from diarnb.store.erase import erase_files
from diarnb.store.lock import hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from diarnb._types import Json

LAYOUT = 1
"""The version of the files, which stands in their first line."""

_AFRESH = "afresh"  # what a line says from which on everything before is set aside


@dataclass(frozen=True)
class Corrected:
    """Which table was corrected.

    Attributes
    ----------
    rows : str
        A digest of who speaks when in it.
    run : str
        The run's id; empty for a table that is of none.
    recording : str
        The content hash of the run's recording; empty where none is known.
    source, engine : str
        What the run was of, and which engine made it.
    """

    rows: str
    run: str = ""
    recording: str = ""
    source: str = ""
    engine: str = ""

    @classmethod
    def of(cls, turns: pd.DataFrame) -> Corrected:
        """Identify a table, from its rows and from the run that it says it is of."""
        rows = digest_rows(zip(turns["start"].tolist(), turns["end"].tolist(), turns["speaker"].tolist(), strict=True))
        facts = turns.attrs.get("diarnb") or {}
        if not isinstance(facts.get("run"), str):
            return cls(rows)
        try:
            run = Store.default().get(facts["run"])
        except (RunNotFoundError, StoreError):
            return cls(rows, facts["run"])
        return cls(rows, run.id, run.content_hash or "", run.source, run.engine)

    @property
    def file(self) -> str:
        """The name of its file, by which it is found through its recording as well as through its run."""
        return f"{_short(self.recording)}-{self.run or 'table'}-{self.rows[:16]}.jsonl"


@dataclass(frozen=True)
class EarlierEdits:
    """Corrections that were made on another table of the same recording, or set aside on this one.

    Attributes
    ----------
    of : Corrected
    edits : list of Edit
    count : int
        How many of them stand.
    at : datetime
        When the last of them was made.
    """

    of: Corrected
    edits: list[Edit]
    count: int
    at: datetime


@dataclass(frozen=True)
class Line:
    """What one line of a file says: an edit, or that one starts afresh."""

    edits: list[Edit]
    afresh: bool
    after: str  # digest of who speaks when afterwards


class EditLog:
    """The file of one table.

    Parameters
    ----------
    turns : pandas.DataFrame
        A checked table, before any correction.

    Attributes
    ----------
    of : Corrected
    path : pathlib.Path

    Examples
    --------
    >>> import pandas as pd
    >>> log = EditLog(pd.DataFrame({"start": [0.0], "end": [4.0], "speaker": ["SPEAKER_00"]}))
    >>> with log.hold() as news:
    ...     log.append([Edit(1, datetime.now(UTC), "person", "rename", speaker="SPEAKER_00", to="Beth")], "")
    >>> [edit.to for line in EditLog(pd.DataFrame(
    ...     {"start": [0.0], "end": [4.0], "speaker": ["SPEAKER_00"]})).read() for edit in line.edits]
    ['Beth']
    """

    def __init__(self, turns: pd.DataFrame) -> None:
        self.of: Corrected = Corrected.of(turns)
        self.path: Path = _folder() / self.of.file
        self._read = 0  # bytes

    def read(self) -> list[Line]:
        """Read the lines that were written since the last time, by whomever."""
        lines, size, rest = _read_lines(self.path, self._read)
        self._read += size
        if rest:
            self._tell_damage()
        return lines

    @contextmanager
    def hold(self) -> Iterator[list[Line]]:
        """Hold the file against others; gives what they have written since the last time."""
        with hold(self.path.parent / "lock", "the log of corrections"):
            yield self.read()

    def append(self, edits: Sequence[Edit], after: str) -> None:
        """Write an edit, while the file is held; it is on disk when this returns."""
        rows = [
            {name: value for name, value in row._asdict().items() if name not in ("edit", "at") and not _is_nan(value)}
            for row in edits
        ]
        self._write({"edit": edits[0].edit, "at": edits[0].at.isoformat(), "rows": rows, "after": after})

    def start_afresh(self) -> None:
        """Set aside what was done so far, while the file is held: it stays in the file, and may be taken over."""
        self._write({"edit": 0, "at": datetime.now(UTC).isoformat(), "rows": [], "what": _AFRESH, "after": ""})

    def find_earlier(self) -> list[EarlierEdits]:
        """Find corrections of the same recording, or set aside on this table; the newest first.

        A table that has corrections in it already is not offered those again.
        """
        same = self.path.parent.glob(f"{_short(self.of.recording)}-*.jsonl") if self.of.recording else [self.path]
        found = []
        for path in same:
            try:
                lines, _, _ = _read_lines(path, 0)
            except StoreError:  # of a later version
                continue
            chapters: list[list[Line]] = [[]]
            for line in lines:
                chapters.append([]) if line.afresh else chapters[-1].append(line)
            if path == self.path:
                chapters.pop()  # what stands here is taken up, and not offered
            for chapter in chapters:
                edits = [edit for line in chapter for edit in line.edits]
                count = len(_numbers(edits))
                if count and self.of.rows not in {line.after for line in chapter}:
                    found.append(EarlierEdits(_read_head(path), edits, count, edits[-1].at))
        return sorted(found, key=lambda each: each.at, reverse=True)

    def forget(self) -> None:
        """Remove the file."""
        erase_files([self.path, self.path.with_suffix(".bad")])
        self._read = 0

    def _write(self, content: Json) -> None:
        lines = [content] if self._read else [{"corrections": LAYOUT, **asdict(self.of)}, content]
        text = b"".join(map(_pack, lines))
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "r+b") as file:
            file.truncate(self._read)  # of a line within which somebody was killed, the beginning
            file.seek(self._read)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not self._read and hasattr(os, "O_DIRECTORY"):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):
                os.fsync(folder)
            os.close(folder)
        self._read += len(text)

    def _tell_damage(self) -> None:
        kept = self.path.with_suffix(".bad")
        if not kept.exists():
            with suppress(OSError):
                shutil.copyfile(self.path, kept)
                kept.chmod(0o600)
        warnings.warn(
            "the log of corrections of this table is damaged: those before the damage are applied, and the whole file "
            f"was kept as {kept.name} in the folder corrections of the run store",
            StoreWarning,
            stacklevel=4,
        )


def _folder() -> Path:
    return Store.default().path.parent / "corrections"


def _numbers(edits: Sequence[Edit]) -> list[int]:
    """Return the numbers of the edits that stand."""
    stand: dict[int, bool] = {}
    for edit in edits:
        if edit.what in ("undo", "redo"):
            stand[edit.of] = edit.what == "redo"
        else:
            stand.setdefault(edit.edit, True)
    return [number for number, stands in stand.items() if stands]


def _read_lines(path: Path, start: int) -> tuple[list[Line], int, bool]:
    """Read sound lines from a byte on: what they say, how many bytes they are, and whether damaged ones follow."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read()
    except FileNotFoundError:
        return [], 0, False
    lines: list[Line] = []
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        told = _unpack(content[at:end])
        if told is None:
            return lines, at, True
        at = end + 1
        if told.get("corrections", LAYOUT) != LAYOUT:
            raise StoreError("corrections of this table were made with a later version of diarnb; upgrade to see them")
        if "corrections" not in told:
            when = datetime.fromisoformat(told["at"])
            edits = [Edit(told["edit"], when, **row) for row in told["rows"]]
            lines.append(Line(edits, told.get("what") == _AFRESH, told["after"]))
    return lines, at, False


def _read_head(path: Path) -> Corrected:
    with suppress(OSError), path.open("rb") as file:
        told = _unpack(file.readline().rstrip(b"\n")) or {}
        return Corrected(**{name: told.get(name, "") for name in Corrected.__dataclass_fields__})
    return Corrected("")


def _pack(content: Json) -> bytes:
    text = json.dumps(content).encode()
    return f"{zlib.crc32(text):08x} ".encode() + text + b"\n"


def _unpack(line: bytes) -> Json | None:
    """Read a line; None where it is not whole."""
    checksum, _, text = line.partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    found: Json = json.loads(text)
    return found


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _short(text: str) -> str:
    return digest_rows([(0.0, 0.0, text)])[:16]
