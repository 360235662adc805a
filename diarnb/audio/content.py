"""Where a recording's bytes are: a path, bytes, an open file or a URL, all checked before a decoder sees them."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard
from urllib.parse import urlsplit
from urllib.request import url2pathname

from diarnb._text import printable, public_url, shorten, suggest
from diarnb.audio.download import MAX_BYTES, MAX_SECONDS, download
from diarnb.audio.sniff import HEAD, look
from diarnb.errors import (
    AudioChangedError,
    AudioDownloadError,
    AudioError,
    AudioLimitError,
    AudioNotFoundError,
    AudioPermissionError,
    ConfigurationError,
    InvalidParameterError,
    NotAudioError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diarnb._types import Address, RemoteFile

SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg", ".opus"}
    | {".3gp", ".ac3", ".amr", ".avi", ".flv", ".m4b", ".mp2", ".mpg", ".w64", ".wav", ".webm", ".wma"}
)
"""What files are called that hold sound: one that is called so is taken, and told of where it holds none."""

REMOTE = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "memory": ""}
REMOTE |= dict.fromkeys(("az", "abfs", "abfss"), "adlfs")
"""The schemes that are read through fsspec, and the package that it needs for each."""

_PIECE = 1 << 20
_ACCEPTED = "a path, an address (http, https, s3, gs, az), bytes, a binary file object, or (samples, sample_rate)"


@dataclass
class Content:
    """Bytes that can be opened again and again.

    Attributes
    ----------
    name : str
        A file's name, a URL without its secrets, or "bytes".
    open : callable
        Gives a new binary file at its start.
    size : int
        Bytes.
    path : Path or None
        The user's own file, absolute.
    before : os.stat_result or None
        What the file was when it was opened.
    hint : str
        What to add when a download turns out to be no audio.
    exact : bool
        Whether these are the source's own bytes, whose hash is the recording's.
    """

    name: str
    open: Callable[[], BinaryIO]
    size: int
    path: Path | None = None
    before: os.stat_result | None = None
    hint: str = ""
    exact: bool = True

    def check_unchanged(self) -> None:
        """Raise `AudioChangedError` when the file is not the one that was opened."""
        if self.path is None or self.before is None:
            return
        try:
            now = self.path.stat()
        except OSError:
            now = None
        if now is None or _identity(now) != _identity(self.before):
            raise AudioChangedError(
                f"{shorten(self.name)} changed while it was being read; nothing of it was kept. "
                "Wait until it is complete, then run the cell again."
            )


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


@contextmanager
def open_content(source: object, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> Iterator[Content]:
    """Find the bytes of `source`; copies and downloads are removed at the end, whatever happens.

    Parameters
    ----------
    source : path-like, str, bytes or binary file
    max_bytes : int, default 2 GiB
        Of a download or a copied file object.
    max_seconds : float, default 600
        For a download.

    Yields
    ------
    Content
    """
    if isinstance(source, str) and re.match(r"(?i)https?://", source):
        with tempfile.TemporaryDirectory(prefix="diarnb-", ignore_cleanup_errors=True) as folder:
            target = Path(folder, "audio")
            download(source, target, max_bytes=max_bytes, max_seconds=max_seconds)
            name = printable(public_url(source))
            hint = " This is not a direct link to a recording: pass the address of the file itself."
            yield Content(name, lambda: target.open("rb"), target.stat().st_size, hint=hint)
    elif is_remote(source):
        with tempfile.TemporaryDirectory(prefix="diarnb-", ignore_cleanup_errors=True) as folder:
            target = Path(folder, "audio")
            name = _fetch(source, target, max_bytes)
            yield Content(name, lambda: target.open("rb"), target.stat().st_size)
    elif isinstance(source, (str, os.PathLike)):
        yield _open_local(strip_file_scheme(source) if isinstance(source, str) else source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        yield Content("bytes", lambda: io.BytesIO(data), len(data))
    elif callable(getattr(source, "read", None)):
        with tempfile.TemporaryDirectory(prefix="diarnb-", ignore_cleanup_errors=True) as folder:
            target = Path(folder, "audio")
            name = _find_name(source)
            _copy_file(source, target, name, max_bytes)
            yield Content(name, lambda: target.open("rb"), target.stat().st_size)
    else:
        raise InvalidParameterError(_explain_unusable(source))


def strip_file_scheme(address: str) -> str:
    """Make a path of an address of this machine, `file:///tmp/a%20b.wav`; anything else stays as it is."""
    return url2pathname(urlsplit(address).path) if address.lower().startswith("file://") else address


def is_remote(source: object) -> TypeGuard[str | RemoteFile]:
    """Check whether a source is read by fsspec: an address of one of its schemes, or one of its files to open."""
    if isinstance(source, str):
        return re.match(rf"(?i)(?:{'|'.join(REMOTE)})://", source) is not None
    return all(hasattr(source, name) for name in ("fs", "path", "open", "full_name"))


def _fetch(source: str | RemoteFile, target: Path, max_bytes: int) -> str:
    """Copy what fsspec opens, and return what to call it."""
    address = source if isinstance(source, str) else source.full_name
    scheme, name = address.partition("://")[0].lower(), printable(public_url(address))
    try:
        import fsspec

        opened = fsspec.open(source, "rb") if isinstance(source, str) else source
    except ImportError as error:
        more = f" {package}" if (package := REMOTE.get(scheme)) else ""
        raise ConfigurationError(
            f"{scheme}:// is read through fsspec, but a package is missing: run `pip install 'diarnb[remote]'{more}`"
        ) from error
    try:
        with opened as file:
            _copy_file(file, target, name, max_bytes)
    except FileNotFoundError as error:
        raise AudioNotFoundError(f"{shorten(name, 160)} does not exist. Check the address.") from error
    except PermissionError as error:
        raise AudioPermissionError(
            f"{shorten(name, 160)} may not be read. Check the credentials of {scheme}."
        ) from error
    except (AudioError, InvalidParameterError):
        raise
    except Exception as error:  # whatever the client of a cloud raises
        raise AudioDownloadError(
            f"{shorten(name, 160)} could not be read: {type(error).__name__}. Check the address and the credentials."
        ) from error
    return name


def _explain_unusable(source: object) -> str:
    more = ""
    if isinstance(source, (list, set, dict)):
        more = " For several recordings use diarize_many."
    elif hasattr(source, "__array__"):
        more = " Pass an array together with its rate: (samples, 16000)."
    return f"A source is {_ACCEPTED}, not {type(source).__name__}.{more}"


def _open_local(source: Address) -> Content:
    given = os.fspath(source)
    if isinstance(given, bytes):
        given = os.fsdecode(given)
    shown = shorten(given, 120)
    if not given.strip() or "\0" in given:
        raise InvalidParameterError(f"{shown!r} is not a file name. A source is {_ACCEPTED}.")
    path = Path(given)
    if given.startswith("~"):
        path = path.expanduser()
    try:
        status = path.stat()
    except PermissionError as error:
        raise AudioPermissionError(_explain_denied(shown)) from error
    except OSError as error:
        raise _explain_missing(path, given, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioNotFoundError(
            f"{shown} is a folder, not a recording.{_suggest_inside(path)} For all its recordings use diarize_many."
        )
    # Opening a named pipe would wait for a writer for ever.
    if not stat.S_ISREG(status.st_mode):
        raise NotAudioError(
            f"{shown} is not a regular file (a pipe, socket or device). Save its audio to a file first."
        )
    try:
        path.open("rb").close()
    except PermissionError as error:
        raise AudioPermissionError(_explain_denied(shown)) from error
    except OSError as error:
        raise AudioError(f"{shown} cannot be read: {error.strerror}. Copy it to another disk.") from error
    absolute = path.absolute()
    return Content(printable(path.name), lambda: absolute.open("rb"), status.st_size, absolute, status)


def _explain_denied(shown: str) -> str:
    return f"{shown} exists, but may not be read: permission denied. Ask its owner, or copy it."


def _explain_missing(path: Path, given: str, error: OSError) -> AudioError:
    shown = shorten(given, 120)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", given):
        return NotAudioError(
            f"{shown} is neither a file nor a supported address (http, https, {', '.join(REMOTE)}). "
            "Download it first, or pass an open binary file."
        )
    if error.errno == errno.ELOOP:
        return AudioNotFoundError(f"{shown} is a symbolic link that leads back to itself. Pass the file itself.")
    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return AudioError(f"{shown} cannot be read: {error.strerror}. Copy it to another disk.")
    if error.errno != errno.ENAMETOOLONG and path.is_symlink():
        return AudioNotFoundError(f"{shown} is a symbolic link to a file that does not exist.")
    try:
        there = [f.name for f in path.parent.iterdir()]
    except OSError:
        return AudioNotFoundError(f"{shown} does not exist, nor does its folder. Check the path.")
    guess = suggest(path.name, there, "check the path.", show=lambda name: repr(shorten(name, 60)))
    return AudioNotFoundError(f"{shown} does not exist; {guess}")


def is_recording(path: Path) -> bool:
    """Check whether a file is taken from a folder: it is called as recordings are, or it holds one."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            look(file.read(HEAD), path.name, path.stat().st_size)
    except (AudioError, OSError):
        return False
    return True


def _suggest_inside(folder: Path) -> str:
    try:
        first = min((f.name for f in folder.iterdir() if f.suffix.lower() in SUFFIXES), default=None)
    except OSError:
        return ""
    return f" Did you mean {shorten(first, 60)!r} in it?" if first else ""


def _find_name(file: object) -> str:
    name = getattr(file, "name", None)
    return printable(Path(name).name) if isinstance(name, str) and name else "bytes"


def _copy_file(file: Any, target: Path, name: str, max_bytes: int) -> None:
    """Copy an open file from its start, and leave its position as it was: the caller may go on using it."""
    shown = shorten(name)
    try:
        position = file.tell() if file.seekable() else None
    except (AttributeError, OSError):
        position = None
    copied = 0
    try:
        if position is not None:
            file.seek(0)
        with target.open("wb") as out:
            while piece := file.read(_PIECE):
                if not isinstance(piece, (bytes, bytearray, memoryview)):
                    raise InvalidParameterError(f"{shown} is open as text; open it with mode 'rb'.")
                copied += len(piece)
                if copied > max_bytes:
                    raise AudioLimitError(f"{shown} gives more than {max_bytes:,} bytes. Save it, then pass its path.")
                out.write(piece)
    except UnicodeDecodeError as error:
        raise InvalidParameterError(f"{shown} is open as text; open it with mode 'rb'.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, (AudioError, InvalidParameterError)):
            raise
        raise AudioError(f"{shown} cannot be read: it is closed, not open for reading, or its disk is full.") from error
    finally:
        if position is not None and not file.closed:
            file.seek(position)
