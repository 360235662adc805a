"""The reserve of the disk: recordings never take the room that jobs need for their answers."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskReserve:
    """Room on the disk of `folder` that no recording may take.

    Parameters
    ----------
    folder : Path
    reserve : int
        Bytes.
    """

    def __init__(self, folder: Path, reserve: int) -> None:
        self._folder = folder
        self.reserve = reserve

    @property
    def free(self) -> int:
        """Bytes that are free, the reserve included."""
        return shutil.disk_usage(self._folder).free

    @property
    def low(self) -> bool:
        """Whether only the reserve is left."""
        return self.free <= self.reserve

    def check(self, size: int = 0) -> None:
        """Check that so many bytes would leave the reserve.

        Raises
        ------
        OSError
            ``ENOSPC``, as a full disk raises it.
        """
        if self.free - size < self.reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: Exception) -> bool:
    """Check whether an error says that a disk is full."""
    return isinstance(error, OSError) and error.errno in _FULL
