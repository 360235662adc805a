"""From what a user calls many recordings to the recordings, each under a name of its own."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from diarnb._text import printable, public_url, shorten
from diarnb.audio.content import SUFFIXES
from diarnb.errors import InvalidParameterError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # one letter alone is a drive of Windows


def name_sources(sources: Any) -> dict[str, str]:
    """Name every recording by its ``uri``, in order; paths become absolute, for a worker may stand in another folder.

    Parameters
    ----------
    sources : str, os.PathLike, iterable or mapping
        As `diarnb.diarize_many` takes them. Nothing is opened; what does not exist is found out later, one by one.

    Raises
    ------
    InvalidParameterError
        There is something in it that is neither a path nor an address, or a folder or pattern holds no recording.

    Examples
    --------
    >>> list(name_sources(["monday/a.wav", "tuesday/a.wav", "https://host.org/b.wav?key=1"]))
    ['monday/a.wav', 'tuesday/a.wav', 'b.wav']
    """
    if isinstance(sources, str | os.PathLike):
        sources = _list_folder(os.fspath(sources))
    if isinstance(sources, Mapping):
        for uri in sources:
            if not isinstance(uri, str) or not uri.strip():
                raise InvalidParameterError(f"the keys of sources name the recordings: text, not {uri!r:.60}")
        return {printable(uri): _make_absolute(source) for uri, source in sources.items()}
    if isinstance(sources, bytes) or not isinstance(sources, Iterable):
        raise InvalidParameterError(
            f"sources are paths and addresses: a list of them, a folder, or a pattern such as 'calls/*.wav', "
            f"not {type(sources).__name__}"
        )
    found = list(dict.fromkeys(_make_absolute(source) for source in sources))  # what is named twice counts once
    return dict(zip(_name_paths([_split_parts(source) for source in found]), found, strict=True))


def is_address(source: str) -> bool:
    """Check whether a source is an address, and no path."""
    return _ADDRESS.match(source) is not None


def _list_folder(given: str | bytes) -> list[str]:
    """List the recordings of a folder or of a pattern, sorted; a single one else."""
    text = os.fsdecode(given)
    place = Path(text).expanduser()
    if is_address(text) or "\0" in text or place.is_file():
        return [text]
    if place.is_dir():
        listed = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        found = [str(path) for path in listed]
        what = f"recording ({', '.join(sorted(SUFFIXES))})"
    elif glob.has_magic(text):
        found = sorted(path for path in glob.glob(str(place), recursive=True) if Path(path).is_file())  # noqa: PTH207
        what = "file"
    else:
        return [text]
    if not found:
        raise InvalidParameterError(f"there is no {what} in {shorten(text, 120)}; name the recordings in a list")
    return found


def _make_absolute(source: Any) -> str:
    if not isinstance(source, str | os.PathLike):
        raise InvalidParameterError(
            f"sources are paths and addresses, not {type(source).__name__}; diarize what is in memory one by one"
        )
    text = os.fsdecode(source)
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
