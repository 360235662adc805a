"""Remove files so that what they said is not left on the disk for others to find."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def erase_files(paths: Iterable[Path]) -> None:
    """Overwrite files, and remove them; those that are not there are passed over.

    Examples
    --------
    >>> from pathlib import Path
    >>> Path("names.txt").write_text("Beth")
    4
    >>> erase_files([Path("names.txt")])
    >>> Path("names.txt").exists()
    False
    """
    for path in list(paths):
        with suppress(FileNotFoundError):
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                os.fsync(file.fileno())
            path.unlink()
