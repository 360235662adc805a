"""From what a user calls many recordings to the recordings, each under a name of its own."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from diarnb._text import printable, public_url, shorten
from diarnb.audio.content import is_recording, is_remote, strip_file_scheme
from diarnb.errors import AudioNotFoundError, DiarnbWarning, InvalidParameterError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # one letter alone is a drive of Windows


def name_sources(sources: Any, *, recursive: bool = False) -> dict[str, str]:
    """Name every recording by its ``uri``, in order; paths become absolute, for a worker may stand in another folder.

    Parameters
    ----------
    sources : str, os.PathLike, iterable or mapping
        As `diarnb.diarize_many` takes them. Of a list no recording is opened, and only its folders are looked into;
        what does not exist is found out later, one by one.
    recursive : bool, default False
        Whether the folders in a folder are looked through as well.

    Raises
    ------
    AudioNotFoundError
        The folder, or the only file, is not there.
    InvalidParameterError
        There is something in it that is neither a path nor an address, or a folder or pattern holds no recording.

    Warns
    -----
    DiarnbWarning
        A folder holds something else, which is left out.

    Examples
    --------
    >>> list(name_sources(["monday/a.wav", "tuesday/a.wav", "https://host.org/b.wav?key=1"]))
    ['monday/a.wav', 'tuesday/a.wav', 'b.wav']
    """
    if isinstance(sources, pd.DataFrame):
        sources = _take_column(sources)
    if isinstance(sources, str | os.PathLike):
        sources = _list_folder(os.fspath(sources), recursive=recursive)
    if isinstance(sources, Mapping):
        for uri in sources:
            if not isinstance(uri, str) or not uri.strip():
                raise InvalidParameterError(
                    f"the keys of sources are the names of the recordings, as text, not {uri!r:.60}"
                )
        return {printable(uri): _make_absolute(source) for uri, source in sources.items()}
    if isinstance(sources, bytes) or not isinstance(sources, Iterable):
        raise InvalidParameterError(
            f"sources are paths and addresses: a list of them, a folder, or a pattern such as 'calls/*.wav', "
            f"not {type(sources).__name__}"
        )
    listed = (each for source in sources for each in _expand_folder(source, recursive=recursive))
    found = list(dict.fromkeys(map(_make_absolute, listed)))  # what is named twice counts once
    return dict(zip(_name_paths([_split_parts(source) for source in found]), found, strict=True))


def is_address(source: str) -> bool:
    """Check whether a source is an address, and no path."""
    return _ADDRESS.match(source) is not None


def _take_column(table: pd.DataFrame) -> object:
    """Take the sources of a table, with their names where it has both."""
    column = next((name for name in ("source", "path", "uri") if name in table), None)
    if column is None:
        found = ", ".join(map(str, table.columns))
        raise InvalidParameterError(f"a table of sources has a column source, path or uri (found: {found:.150})")
    if column != "uri" and "uri" in table and table["uri"].is_unique:
        return dict(zip(table["uri"], table[column], strict=True))
    return table[column].tolist()


def _list_folder(given: str | bytes, *, recursive: bool) -> list[str]:
    """List the recordings of a folder or of a pattern, sorted; a single one else."""
    text = os.fsdecode(given)
    place = Path(text).expanduser()
    if is_address(text) or "\0" in text or place.is_file():
        return [text]
    if place.is_dir():
        found, what = _search(place, recursive=recursive), "recording"
    elif glob.has_magic(text):
        found = sorted(path for path in glob.glob(str(place), recursive=True) if Path(path).is_file())  # noqa: PTH207
        what = "file"
    else:
        if not place.exists():
            raise AudioNotFoundError(f"{shorten(text, 120)} is neither a file nor a folder; check the path.")
        return [text]
    if not found:
        raise InvalidParameterError(f"there is no {what} in {shorten(text, 120)}; name the recordings in a list")
    return found


def _expand_folder(source: Any, *, recursive: bool) -> list[Any]:
    """List the recordings of a folder in a list; anything else stays as it is."""
    text = os.fsdecode(source) if isinstance(source, str | os.PathLike) else ""
    if not text or is_address(text) or "\0" in text or not Path(text).expanduser().is_dir():
        return [source]
    return list(_list_folder(text, recursive=recursive))


def _search(folder: Path, *, recursive: bool) -> list[str]:
    """Find the recordings in a folder, and name what is left out; what begins with a dot is not looked at."""
    inside = sorted(folder.rglob("*") if recursive else folder.iterdir())
    seen = [path for path in inside if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    files = [path for path in seen if path.is_file()]
    found = [path for path in files if is_recording(path)]
    others = [path.name for path in files if path not in set(found)]
    folders = [] if recursive else [path.name for path in seen if path.is_dir()]
    told = [f"{len(others)} files without audio ({_list_some(others)})"] if others else []
    told += (
        [f"{len(folders)} folders ({_list_some(folders)}), which recursive=True (--recursive) includes"]
        if folders
        else []
    )
    if told:
        message = f"left out of {shorten(printable(folder.name), 60)}: {' and '.join(told)}"
        warnings.warn(message, DiarnbWarning, stacklevel=2)
    return [str(path) for path in found]


def _list_some(names: list[str]) -> str:
    shown = ", ".join(shorten(printable(name), 40) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _make_absolute(source: object) -> str:
    if is_remote(source) and not isinstance(source, str):
        if getattr(source.fs, "storage_options", None):
            raise InvalidParameterError(
                "an fsspec file with its own options cannot be sent to a worker: pass its address, and put the "
                "options into fsspec's configuration"
            )
        return str(source.full_name)
    if not isinstance(source, str | os.PathLike):
        raise InvalidParameterError(
            f"sources are paths and addresses, not {type(source).__name__}; diarize audio in memory one by one"
        )
    text = strip_file_scheme(os.fsdecode(source))
    if is_address(text) or "\0" in text or not text.strip():
        return text
    return str(Path(text).expanduser().absolute())


def _split_parts(source: str) -> list[str]:
    text = public_url(source).partition("://")[2] if is_address(source) else source
    return [printable(part) for part in re.split(r"[/\\]" if os.name == "nt" else "/", text) if part] or ["recording"]


def _name_paths(paths: list[list[str]]) -> list[str]:
    """Name each path by its last part, with as few of its folders as tell it from the others of that name."""
    alike: dict[str, list[int]] = {}
    for number, parts in enumerate(paths):
        alike.setdefault(parts[-1], []).append(number)
    names = [""] * len(paths)
    for numbers in alike.values():
        depths = range(1, max(len(paths[number]) for number in numbers) + 1)
        choices = [["/".join(paths[number][-depth:]) for number in numbers] for depth in depths]
        tails = max(choices, key=lambda choice: len(set(choice)))  # the first of them, which is the shortest
        taken: dict[str, int] = {}
        for number, tail in zip(numbers, tails, strict=True):  # addresses may differ in what is not shown
            taken[tail] = taken.get(tail, 0) + 1
            names[number] = tail if taken[tail] == 1 else f"{tail} ({taken[tail]})"
    return names
