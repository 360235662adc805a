"""CSV and TSV with a header: every column, every digit; and those of other tools, whatever they put between cells.

A spreadsheet would run a cell that begins with ``=``, ``+``, ``-`` or ``@``, and names and words come from strangers:
such text gets an apostrophe in front, which reading takes away again. Names that other tools take for missing, as
``nan``, get one too.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from typing import TYPE_CHECKING

import pandas as pd

from diarnb.errors import TurnTableError
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.times import check_span, parse_seconds
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from diarnb.formats._shared.reading import Reading

READS = "a table with a header and any separator; times in seconds or as clock times"
HOLDS = Holds("exact", text=True, confidence="yes", words="yes", also="every column")

_SEPARATORS = (",", ";", "\t", "|")
_TEXT = {"speaker", "text", "uri", "word"}
_RISKY = re.compile(r"'*[=+\-@\t\r]")
_MISSING = re.compile(r"nan|NaN|None|NA|N/A|null|NULL|<NA>|")
_NO_NAME = re.compile(rf"'*(?:[=+\-@\t\r]|(?:{_MISSING.pattern})$)")
_UNITS = {"ms": 0.001, "msec": 0.001, "millis": 0.001, "milliseconds": 0.001}
_NAMES = {  # reduced to letters, those of English only; also as German, French, Spanish and Italian tables have them
    "start": re.compile(
        r"start|starttime|begin|begintime|onset|from|tmin|xmin|starts|timestart|tstart|startseconds"
        r"|anfang|beginn|startzeit|dbut|debut|inicio|inizio"
    ),
    "end": re.compile(
        r"end|endtime|stop|stoptime|offset|to|tmax|xmax|ends|timeend|tend|finish|endseconds|ende|endzeit|fin|fine|final"
    ),
    "duration": re.compile(r"duration|dur|length|dauer|dure|duracin|durata"),
    "speaker": re.compile(
        r"speaker|speakers|speakerlabel|speakerid|speakername|spk|spkr|label|name|who|participant"
        r"|sprecher|sprecherin|locuteur|intervenant|hablante|orador|parlante"
    ),
    "text": re.compile(
        r"text|transcript|transcription|utterance|content|sentence|transkript|texte|texto|testo|transcripcin|trascrizione"
    ),
}


def load(reading: Reading) -> pd.DataFrame:
    """Read a table; labels stay text even where they look like numbers."""
    # Not by pandas.read_csv: what it takes for missing, and how exactly it reads digits, depends on its version.
    text = reading.read_text("CSV", foreign=True)
    separator = _find_separator(text, reading)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
        rows = [row for row in lines if row]
    except csv.Error as error:
        raise TurnTableError(f"{reading.name} is no CSV: {error!s:.150}") from error
    while rows and rows[0][0].startswith("#"):
        rows.pop(0)
    if not rows:
        raise TurnTableError(f"{reading.name} is empty: a table of turns has a header with start, end and speaker")
    return make_table([strip_guard(name) for name in rows[0]], rows[1:], separator, reading)


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a table."""
    text = turns.select_dtypes(exclude=["number", "bool"]).columns
    safe = turns.assign(**{name: turns[name].map(add_guard(name)) for name in text}).rename(columns=add_guard(""))
    # All text is quoted: the quotes that are only where needed leave a lone carriage return without.
    separator = "\t" if ".tsv" in path.name.lower() else ","
    content = safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC, sep=separator).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix.lower() == ".gz" else content)


def _find_separator(text: str, reading: Reading) -> str:
    """Find what stands between cells: what cuts the header into the most names that are known."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    header = next(lines, "")
    cells = {sep: [_plain(cell.strip(' "')) for cell in header.split(sep)] for sep in _SEPARATORS}
    found = {sep: sum(_is_known(name) for name in names) for sep, names in cells.items()}
    best = max(found, key=lambda sep: found[sep])
    usual = "\t" if ".tsv" in reading.name.lower() else ","
    return best if found[best] > found[usual] else usual


def _is_known(name: str) -> bool:
    return name == "word" or any(usual.fullmatch(name) for usual in _NAMES.values())


def _plain(name: str) -> str:
    """Reduce a column's name to what is compared: letters only, without the unit."""
    name = re.sub(r"\(.*?\)|\[.*?\]", "", name)
    return re.sub(
        r"[^a-z]", "", re.sub(r"(?i)[ _-](?:ms|msec|millis|milliseconds|s|sec|seconds)$", "", name.strip()).lower()
    )


def make_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], separator: str, reading: Reading
) -> pd.DataFrame:
    """Make a table of cells: find the columns of turns by their usual names, read times, pass over damaged rows."""
    if len(set(header)) < len(header):
        check_turns(pd.DataFrame([], columns=list(header)), name=reading.name)
    names, units = _find_columns(header)
    needed = {"start"} if "word" in header else {"start", "speaker"}
    if not needed <= set(names) or not {"end", "duration"} & set(names):
        _refuse(header, reading)
    kept: list[Sequence[object]] = []
    times: list[tuple[float, float]] = []
    for number, row in enumerate(rows, start=1):
        cells = _fit(row, header, separator)
        if cells is None:
            reading.skip(f"row {number}", f"it has {len(row)} cells, but the header has {len(header)}")
            continue
        try:
            times.append(_read_times(cells, names, units))
        except ValueError as error:
            reading.skip(f"row {number}", error)
            continue
        kept.append(cells)
    reading.check_sound(len(kept))
    taken = {names[name]: name for name in names}
    columns: dict[str, list[object]] = {}
    for place, name in enumerate(header):
        column = taken.get(place, name)
        cells = [row[place] for row in kept]
        if not name.strip() and _is_index(cells):
            continue
        if column in ("start", "end"):
            columns[column] = [span[column == "end"] for span in times]
        else:
            columns[column] = _read_cells(column, cells)
    if "end" not in columns:
        columns["end"] = [span[1] for span in times]
    if "speaker" in columns:
        said = (row[names["speaker"]] for row in kept)
        columns["speaker"] = [None if _is_nobody(cell) else strip_guard(str(cell), "speaker") for cell in said]
    return pd.DataFrame(dict(enumerate(columns.values()))).set_axis(list(columns), axis=1)


def _is_nobody(cell: object) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and (_MISSING.fullmatch(cell.strip()) is not None))


def _find_columns(header: Sequence[str]) -> tuple[dict[str, int], dict[str, float]]:
    """Find the columns of turns, and the unit of their times where the name tells it."""
    plain = [_plain(name) for name in header]
    names: dict[str, int] = {}
    units = {}
    for column, usual in _NAMES.items():
        fitting = [place for place, name in enumerate(plain) if usual.fullmatch(name)]
        fitting.sort(key=lambda place: (header[place] != column, plain[place] != column))
        place = fitting[0] if fitting else None
        if place is None or (column == "text" and "word" in header and header[place] != "text"):
            continue
        names[column] = place
        unit = re.search(r"[ _(\[-](\w+)[)\]]?$", header[place].strip().lower())
        units[column] = _UNITS.get(unit[1], 1.0) if unit else 1.0
    return names, units


def _refuse(header: Sequence[str], reading: Reading) -> None:
    try:
        check_turns(pd.DataFrame([], columns=list(header)), name="turns")
    except TurnTableError as error:
        advice = f"with `turns = pandas.read_csv({reading.name!r})` before it"
        raise TurnTableError(f"{reading.name}: {error}, {advice}") from error


def _fit(row: Sequence[object], header: Sequence[str], separator: str) -> Sequence[object] | None:
    """Bring a row to the header's length: text in the last column may hold a separator that nobody quoted."""
    if len(row) > len(header):
        last = _plain(header[-1])
        if _NAMES["text"].fullmatch(last):
            space = " " if separator == "," else ""
            return [*row[: len(header) - 1], f"{separator}{space}".join(map(str, row[len(header) - 1 :]))]
        return row[: len(header)] if not any(str(cell).strip() for cell in row[len(header) :]) else None
    missing = len(header) - len(row)
    return [*row, *[""] * missing] if not missing or _plain(header[len(row)]) not in _TEXT | {"start", "end"} else None


def _read_times(cells: Sequence[object], names: dict[str, int], units: dict[str, float]) -> tuple[float, float]:
    start = _read_time(cells[names["start"]], units["start"])
    if "end" in names:
        return check_span(start, _read_time(cells[names["end"]], units["end"]))
    return check_span(start, round(start + _read_time(cells[names["duration"]], units["duration"]), 9))


def _read_time(cell: object, unit: float) -> float:
    if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):
        raise ValueError("it has no start or no end")
    seconds = parse_seconds(cell)
    return seconds if unit == 1.0 else round(seconds * unit, 9)


def _is_index(cells: list[object]) -> bool:
    """Check whether a column without a name only counts the rows, as pandas writes its index."""
    return [str(cell) for cell in cells] == [str(number) for number in range(len(cells))]


def _read_cells(name: str, cells: list[object]) -> list[object]:
    """Read the cells of a column as whole numbers, as numbers with gaps, as truths, or else as text."""
    if name not in _TEXT:
        for number in (int, lambda cell: float(cell or "nan"), {"True": True, "False": False}.__getitem__):
            try:
                return [number(cell) if isinstance(cell, str) else cell for cell in cells]
            except (ValueError, KeyError):
                continue
    return [strip_guard(cell) if isinstance(cell, str) else cell for cell in cells]


def add_guard(column: str) -> Callable[[object], object]:
    """Make the function that guards the text of a column."""
    rule = _NO_NAME if column == "speaker" else _RISKY
    return lambda value: f"'{value}" if isinstance(value, str) and rule.match(value) else value


def strip_guard(cell: str, column: str = "") -> str:
    """Take away the apostrophe that guards a cell."""
    rule = _NO_NAME if column == "speaker" else _RISKY
    return cell[1:] if cell.startswith("'") and rule.match(cell) else cell


def tell_guards(turns: pd.DataFrame) -> list[str]:
    """Describe the cells that are guarded when a table is written, in clauses: formulas, and names that say nobody."""
    text = turns.select_dtypes(exclude=["number", "bool"]).columns
    cells = [(name, cell) for name in text for cell in turns[name] if isinstance(cell, str)]
    formulas = sum(_RISKY.match(cell) is not None for _, cell in cells)
    nobody = sum(name == "speaker" and _NO_NAME.match(cell) is not None for name, cell in cells)
    nobody -= sum(name == "speaker" and _RISKY.match(cell) is not None for name, cell in cells)
    told = {"cells that a spreadsheet would take for a formula": formulas, "names that others take for none": nobody}
    return [f"with an apostrophe before {count} {what}" for what, count in told.items() if count]
