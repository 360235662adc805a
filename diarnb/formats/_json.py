"""JSON in, with errors that name the file."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diarnb.errors import ApiResponseError, TurnTableError
from diarnb.formats._text import read_text, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_json(path: Path) -> Any:
    """Read a file as JSON."""
    try:
        return json.loads(read_text(path, "JSON"))
    except json.JSONDecodeError as error:
        raise TurnTableError(f"{path.name}, line {error.lineno}: this is no JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # lists in lists without end, a number of too many digits
        if isinstance(error, TurnTableError):
            raise
        raise TurnTableError(f"{path.name} is no JSON that can be read: {error!s:.150}") from error


def write_json(path: Path, data: Any) -> None:
    """Write JSON; what it does not know becomes text."""
    write_text(path, dump_json(data) + "\n")


def dump_json(data: Any) -> str:
    """Write data as JSON in one line."""
    return json.dumps(data, ensure_ascii=False, default=str)


@contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Name the file in errors on the answer of a service."""
    try:
        yield
    except ApiResponseError as error:
        raise TurnTableError(f"{path.name}: {error}") from error


def read_number(item: dict[str, Any], name: str, place: str) -> float:
    """Read a number of a file."""
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TurnTableError(f"{place}.{name} is {value!r:.60}, not a number of seconds")
    return float(value)
