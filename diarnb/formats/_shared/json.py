"""JSON in, with errors that name the file."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from diarnb.errors import ApiResponseError, TurnTableError
from diarnb.formats._shared.text import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading


def read_json(reading: Reading) -> object:
    """Read a file as JSON, or as JSON Lines, which become a list."""
    text = reading.read_text("JSON")
    try:
        if ".jsonl" in reading.name.lower():  # also where it has one line only
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data" or error.lineno == 1:
                raise
            return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise TurnTableError(f"{reading.name}, line {error.lineno}: this is not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # lists in lists without end, a number of too many digits
        raise TurnTableError(f"{reading.name} is not valid JSON: {error!s:.150}") from error


def write_json(path: Path, data: object) -> None:
    """Write JSON; what it does not know becomes text."""
    write_text(path, dump_json(data) + "\n")


def dump_json(data: object) -> str:
    """Write data as JSON in one line."""
    return json.dumps(data, ensure_ascii=False, default=str)


def describe(data: object) -> str:
    """Describe what JSON looks like: its keys, and where in it rows stand, for whoever has to read it otherwise."""
    if isinstance(data, list):
        first = data[0] if data else None
        keys = f" of objects with {_list_keys(first)}" if isinstance(first, dict) else ""
        return f"a list of {len(data)}{keys or ' values'}"
    if not isinstance(data, dict):
        return f"{type(data).__name__} {data!r:.40}"
    rows = next(_find_rows(data, ""), None)
    found = f"an object with {_list_keys(data)}"
    return found if rows is None else f"{found}, in which {rows[0]} is a list of objects with {_list_keys(rows[1])}"


def _find_rows(data: Json, path: str, depth: int = 4) -> Iterator[tuple[str, Json]]:
    for key, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{path}{key}", value[0]
    for key, value in data.items():
        if isinstance(value, dict) and depth:
            yield from _find_rows(value, f"{path}{key}.", depth - 1)


def _list_keys(data: Json) -> str:
    names = [f"{key!s:.30}" for key in list(data)[:8]]
    return f"the keys {', '.join(names)}{', ...' if len(data) > 8 else ''}" if names else "no keys"


@contextmanager
def name_file(reading: Reading) -> Iterator[None]:
    """Name the file in errors on the answer of a service."""
    try:
        yield
    except ApiResponseError as error:
        raise TurnTableError(f"{reading.name}: {error}") from error


def read_speaker(value: object) -> str | None:
    """Read a speaker: a name as it is, a number as `SPEAKER_07`; None for nobody.

    Raises
    ------
    ValueError
        If it is neither a name nor a number.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise ValueError(f"its speaker is {value!r:.60}, not a name")  # noqa: TRY004 (of a file, not of Python)
    if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdecimal()):
        return f"SPEAKER_{int(value):02d}"
    return (value or "").strip() or None
