"""Types that many modules name, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol, SupportsIndex, TypeAlias

from numpy.typing import ArrayLike

Json = dict[str, Any]
"""An object of JSON: what a service answers, a row of it, what a run keeps. Values are checked where they are read."""

Options = Mapping[str, Any]
"""An engine's own arguments, or a message, by name. Each value is validated by who declares it."""


class BinaryFile(Protocol):
    """An open file whose content is bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Read so many bytes, by default all."""
        ...


class RemoteFile(Protocol):
    """A file of fsspec that is to be opened, as ``fsspec.open`` returns it."""

    @property
    def fs(self) -> object:
        """The file system."""
        ...

    @property
    def path(self) -> str:
        """The address without its scheme."""
        ...

    @property
    def full_name(self) -> str:
        """The address."""
        ...

    def __enter__(self) -> BinaryFile: ...
    def __exit__(self, *error: object) -> None: ...


Samples: TypeAlias = tuple[ArrayLike, SupportsIndex | float]
"""Samples, (n,) or (n, channels), and their rate in Hz."""

Address: TypeAlias = str | os.PathLike[str] | os.PathLike[bytes]
"""A path, or an address."""

Source: TypeAlias = Address | bytes | bytearray | memoryview | BinaryFile | RemoteFile | Samples | Mapping[str, object]
"""A recording: a path or address, a file's content, an open file, samples, or what pyannote.audio takes."""
