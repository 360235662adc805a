"""Recordings that were uploaded, and the signed addresses under which they come and go.

What a client calls a recording is only ever hashed, together with whose it is, so that no name can lead anywhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from diarnb.server.web.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from diarnb.server.web.disk import DiskReserve

VALID = 3600.0
"""Seconds for which an address works."""

KEPT = 24 * 3600.0
"""Seconds for which an upload is kept."""

MAX_UPLOAD = 1024**3
"""Bytes, as pyannoteAI has it."""


class Media:
    """The files of a server.

    Parameters
    ----------
    folder : Path
        Of uploads, and of the secret that signs addresses.
    jobs_folder : Path
        Of what jobs listen to: a file each, its own, whatever becomes of the upload.
    disk : DiskReserve
    """

    def __init__(self, folder: Path, jobs_folder: Path, disk: DiskReserve) -> None:
        self._disk = disk
        self._folder, self._jobs, self._used = folder, jobs_folder, folder / "used"
        self._used.mkdir(mode=0o700, exist_ok=True)
        self._secret = _load_secret(folder / "secret")

    def sign_url(self, method: str, owner: str, key: str) -> str:
        """Sign an address, without its origin, for one method and one upload of one owner.

        Parameters
        ----------
        method : {"PUT", "GET"}
            One address takes one upload, and gives it as often as is liked.
        owner, key : str
            Whose it is, and what they call it.
        """
        name, expires, nonce = _hash_name(owner, key), f"{time.time() + VALID:.0f}", secrets.token_hex(16)
        signature = self._sign(method, name, expires, nonce)
        return f"/media/{name}?expires={expires}&nonce={nonce}&signature={signature}"

    def verify(self, method: str, name: str, query: Mapping[str, str]) -> str:
        """Verify a signed address; return its nonce.

        Raises
        ------
        Refusal
            403: it is not one of ours, has expired or was used.
        """
        expires, nonce = query.get("expires", ""), query.get("nonce", "")
        given = query.get("signature", "").encode("utf-8", "surrogateescape")
        ours = hmac.compare_digest(given, self._sign(method, name, expires, nonce).encode())
        # what is signed by us has the form that we gave it
        if not ours or int(expires) < time.time() or (method == "PUT" and (self._used / nonce).exists()):
            raise Refusal(403, "This address is not valid, or no longer; ask for a new one.")
        return nonce

    def accept(self, arrived: Path, name: str, nonce: str) -> None:
        """Take a file that has come whole in the place of what was there.

        Raises
        ------
        Refusal
            403: another has come by the same address in the meantime.
        """
        try:
            (self._used / nonce).touch(exist_ok=False)
        except FileExistsError:
            raise Refusal(403, "This address was used; ask for a new one.") from None
        with arrived.open("rb") as file:
            os.fsync(file.fileno())
        arrived.replace(self._folder / name)

    def find(self, name: str) -> Path | None:
        """Find an upload; None if it is not there."""
        path = self._folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def claim_for_job(self, owner: str, key: str, job_id: str) -> Path:
        """Link or copy an upload for a job of its own; where there is none, the job will find that out."""
        found, own = self.find(_hash_name(owner, key)), self.job_path(job_id)
        if found is not None:
            try:
                os.link(found, own)
            except OSError:  # no links on this disk, or it is gone by now
                self._disk.check(found.stat().st_size)
                shutil.copyfile(found, own)
        return own

    def job_path(self, job_id: str) -> Path:
        """Name the file that a job listens to."""
        return self._jobs / job_id

    def delete_job_file(self, job_id: str) -> None:
        """Delete what a job listened to."""
        self.job_path(job_id).unlink(missing_ok=True)

    def delete_job_files_except(self, job_ids: Collection[str]) -> None:
        """Delete what nobody will listen to any more: of jobs that ended when a server did, or never were."""
        for left in self._jobs.iterdir():
            if left.name not in job_ids:
                left.unlink()

    def delete_expired(self, now: float) -> None:
        """Delete uploads, and the marks of used addresses, that are too old."""
        for folder, kept in ((self._folder, KEPT), (self._used, 2 * VALID)):
            for path in folder.iterdir():
                if re.fullmatch(r"[0-9a-f]{32,64}", path.name) and path.lstat().st_mtime < now - kept:
                    path.unlink(missing_ok=True)

    def _sign(self, method: str, name: str, expires: str, nonce: str) -> str:
        message = f"{method}\n{name}\n{expires}\n{nonce}".encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def _hash_name(owner: str, key: str) -> str:
    return hashlib.sha256(f"{owner}\n{key}".encode()).hexdigest()


def _load_secret(path: Path) -> bytes:
    """Read the secret, or make it: addresses outlive a restart."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.read_bytes()
        if len(found) == 32:
            return found
        path.unlink()  # cut off when the disk was full
        return _load_secret(path)
    secret = secrets.token_bytes(32)
    with os.fdopen(file, "wb") as out:
        out.write(secret)
    return secret
