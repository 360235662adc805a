"""The last SDK of Deepgram's old line. It bears the name of the new one: in a folder and a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "4.8.1"


def with_old_sdk(config: pytest.Config, code: str, *arguments: object) -> str:
    """Run code with the SDK, and give what it prints; it is installed once, and kept in pytest's cache."""
    assert config.cache is not None
    folder = config.cache.mkdir(f"deepgram-sdk-{VERSION}") / f"python-{sys.version_info[0]}.{sys.version_info[1]}"
    if not folder.is_dir():
        _install(folder)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _install(folder: Path) -> None:
    arriving = folder.with_suffix(".arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", arriving, f"deepgram-sdk=={VERSION}"]
    done = subprocess.run(list(map(str, pip)), capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        pytest.skip(f"deepgram-sdk {VERSION} could not be installed from the package index: {reason[0]:.200}")
    arriving.replace(folder)
