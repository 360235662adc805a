"""What can be known of Windows and macOS on any machine: there, nothing of this was run.

A child process without the modules, functions and signals that only POSIX has stands for Windows; names of files and
paths are held to its rules; text is written as UTF-8, whatever the system's own encoding is.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import pytest
import soundfile

import diarnb
from diarnb.audio.content import is_remote
from diarnb.store.lock import exclusively, take

if TYPE_CHECKING:
    import pandas as pd

RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}

WITHOUT_POSIX = """
    import os, signal, sys, types

    # What diarnb stands on has its own ways on each system: it is imported first, as it is here.
    import asyncio, concurrent.futures.process, multiprocessing.spawn, sqlite3, subprocess, tempfile
    import aiohttp, anywidget, av, fsspec, httpx, IPython.display, ipywidgets, kaldi_native_fbank, matplotlib.pyplot
    import numpy, onnxruntime, pandas, platformdirs, soundfile, soxr, websockets.asyncio.client

    import fcntl as real
    windows = types.ModuleType("msvcrt")
    windows.LK_NBLCK = 2
    windows.locking = lambda file, mode, count: real.flock(file, real.LOCK_EX | real.LOCK_NB)
    sys.modules["msvcrt"] = windows
    for name in "fcntl resource pwd grp termios tty pty syslog readline curses posix spwd crypt".split():
        sys.modules[name] = None
    functions = "fork forkpty register_at_fork geteuid getuid getgid chown fchown fchmod killpg setsid getpgid nice"
    functions += " sched_getaffinity sched_setaffinity mkfifo getloadavg uname statvfs sysconf pread pwrite"
    functions += " O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_DIRECTORY"
    for name in functions.split():
        delattr(os, name)
    for name in "SIGKILL SIGHUP SIGALRM SIGCHLD SIGPIPE SIGUSR1 SIGUSR2 SIGQUIT pthread_sigmask setitimer".split():
        delattr(signal, name)

    import importlib, pkgutil
    import diarnb
    for found in pkgutil.walk_packages(diarnb.__path__, "diarnb."):
        importlib.import_module(found.name)
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    diarnb.player(turns).corrections.rename("SPEAKER_00", "Beth")
    diarnb.timeline(turns)
    diarnb.clip(turns, 0, 1)
    diarnb.write(turns, "interview.rttm")
    print(len(diarnb.read("interview.rttm")), len(diarnb.runs()), len(diarnb.edits(turns)))
    """


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="here it is Windows itself")
def test_every_module_works_without_what_only_posix_has(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT_POSIX)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    turns, runs, edits = map(int, done.stdout.split())
    assert turns > 10
    assert (runs, edits) == (1, 1)


@pytest.mark.slow
def test_no_text_is_written_in_the_encoding_of_the_system(tmp_path: Path) -> None:
    code = """
        import warnings
        import diarnb
        from diarnb.formats import FORMATS, READ_ONLY
        # Others may do as they like; diarnb itself names an encoding.
        warnings.filterwarnings("error", category=EncodingWarning, module="diarnb")
        turns = diarnb.read(diarnb.example("interview").with_suffix(".rttm"))
        turns = diarnb.rename(turns, {turns["speaker"][0]: "Zoë 山田"})
        warnings.simplefilter("ignore", diarnb.errors.DiarnbWarning)
        for suffix, form in FORMATS.items():
            if form.HOLDS is not None and suffix not in READ_ONLY:
                try:
                    diarnb.write(turns, f"turns{suffix}")
                except diarnb.errors.TurnTableError as error:
                    assert "holds words" in str(error)
                    continue
                if suffix != ".html":
                    back = diarnb.read(f"turns{suffix}")
                    assert "speaker" not in back or "Zoë" in "".join(back["speaker"]), suffix
        turns = diarnb.diarize(diarnb.example("interview"), progress=False)
        diarnb.player(turns).corrections.rename("SPEAKER_00", "Zoë")
        diarnb.forget(turns)
        """
    command = [sys.executable, "-X", "warn_default_encoding", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def oddly_named(tmp_path: Path) -> list[Path]:
    """Recordings whose names Windows refuses, or could not hold, as those of a file server may be."""
    samples, rate = soundfile.read(diarnb.example("interview"), frames=48_000)
    names = ["CON.wav", "10:30 <Ann> \"why\"?.wav", "trailing. .wav", "back\\slash|pipe*.wav"]  # fmt: skip
    for name in names:
        soundfile.write(tmp_path / name, samples, rate)
    return [tmp_path / name for name in names]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_no_file_of_ours_has_a_name_that_windows_refuses(oddly_named: list[Path], home: Path) -> None:
    turns = diarnb.diarize_many(oddly_named, progress=False)
    for path in oddly_named:
        one: pd.DataFrame = diarnb.diarize(path, progress=False)
        diarnb.player(one).corrections.rename(one["speaker"].iloc[0], 'A:\\ "B"')
    made = {part for path in home.rglob("*") for part in path.relative_to(home).parts}
    assert turns["uri"].nunique() == len(oddly_named)
    assert len(made) >= 5  # a log of corrections in its folder, two copies of the ledger, the runs
    for name in made:
        assert not re.search(r'[<>:"/\\|?*\x00-\x1f]|[ .]$', name), name
        assert name.partition(".")[0].lower() not in RESERVED
        assert len(name) < 100


@pytest.mark.parametrize("path", [r"C:\Users\Ann\talk.wav", "C:/Users/Ann/talk.wav", r"\\server\share\talk.wav"])
def test_a_path_of_windows_is_no_address(path: str) -> None:
    assert not is_remote(path)
    with pytest.raises(FileNotFoundError, match=re.escape(PureWindowsPath(path).name)):
        diarnb.diarize(path)


def test_a_lock_is_held_until_it_is_closed_where_a_file_in_use_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "unlink", refuse)

    async def hold() -> bool:
        async with exclusively(tmp_path / "a.lock"):
            return take(tmp_path / "a.lock") is None

    assert asyncio.run(hold())
    assert asyncio.run(hold())
    assert (tmp_path / "a.lock").exists()
