"""What stands for many recordings: folders, tables and addresses, of which nothing is dropped without a word."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from corpus import contained, encoded, speechlike

from diarnb.audio import open_recording
from diarnb.batch.sources import name_sources
from diarnb.errors import (
    AudioNotFoundError,
    ConfigurationError,
    DiarnbWarning,
    InvalidParameterError,
    NotAudioError,
)

if TYPE_CHECKING:
    from pathlib import Path

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings under usual and unusual names, what stands beside them, and a folder in the folder."""
    place = tmp_path / "calls"
    (place / "monday").mkdir(parents=True)
    sound = encoded(speechlike(seconds=1))
    for name in ("a.wav", "call.000", "monday/c.wav", "._a.wav", "b.mp2"):
        (place / name).write_bytes(sound)
    (place / "d.m4b").write_bytes(contained("ipod", "aac"))
    (place / "broken.wav").write_bytes(b"")
    (place / "a.rttm").write_text("SPEAKER a 1 0.5 1.0 <NA> <NA> A <NA> <NA>\n")
    (place / "notes.txt").write_text("Ask Maya.\n")
    return place


def test_a_folder_gives_whatever_holds_sound_and_names_the_rest(folder: Path) -> None:
    says = r"left out of calls: 2 files without audio \(a\.rttm, notes\.txt\) and 1 folders \(monday\), which"
    with pytest.warns(DiarnbWarning, match=says):
        assert list(name_sources(folder)) == ["a.wav", "b.mp2", "broken.wav", "call.000", "d.m4b"]
    with pytest.warns(DiarnbWarning, match=r"2 files without audio \(a\.rttm, notes\.txt\)$"):
        found = name_sources(folder, recursive=True)
    assert list(found) == ["a.wav", "b.mp2", "broken.wav", "call.000", "d.m4b", "c.wav"]
    assert found["c.wav"] == str(folder / "monday" / "c.wav")


def test_folders_in_a_list_are_looked_into(folder: Path) -> None:
    assert list(name_sources([folder / "monday", folder / "a.wav"])) == ["c.wav", "a.wav"]


def test_a_folder_of_recordings_alone_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded(speechlike(seconds=1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(name_sources(tmp_path)) == ["a.wav"]


def test_a_folder_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(AudioNotFoundError, match="neither a file nor a folder"):
        name_sources(tmp_path / "cals")


def test_a_table_of_sources_is_one_by_its_column() -> None:
    for column in ("source", "path", "uri"):
        table = pd.DataFrame({"note": ["x", "y"], column: ["/k/a.wav", "/k/b.wav"]})
        assert list(name_sources(table)) == ["a.wav", "b.wav"]
    table = pd.DataFrame({"uri": ["monday", "tuesday"], "path": ["/k/a.wav", "/l/a.wav"]})
    assert name_sources(table) == {"monday": "/k/a.wav", "tuesday": "/l/a.wav"}
    with pytest.raises(InvalidParameterError, match=r"a column source, path or uri \(found: file\)"):
        name_sources(pd.DataFrame({"file": ["a.wav"]}))


def test_addresses_of_fsspec_are_read(tmp_path: Path) -> None:
    content = encoded(speechlike(seconds=1))
    fsspec.filesystem("memory").pipe("/calls/a.wav", content)
    (tmp_path / "a b.wav").write_bytes(content)
    sources = ["memory://calls/a.wav", fsspec.open("memory://calls/a.wav"), (tmp_path / "a b.wav").as_uri()]
    for source in sources:
        with open_recording(source) as recording:
            assert sum(len(block) for block in recording.blocks()) == 16_000
    assert list(name_sources([sources[1]]).values()) == ["memory:///calls/a.wav"]
    assert list(name_sources([sources[2]]).values()) == [str(tmp_path / "a b.wav")]
    with (
        pytest.raises(AudioNotFoundError, match=r"calls/b\.wav does not exist"),
        open_recording("memory://calls/b.wav"),
    ):
        pass


def test_a_scheme_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    says = r"^s3:// is read through fsspec.*pip install 'diarnb\[remote\]' s3fs"
    with pytest.raises(ConfigurationError, match=says), open_recording("s3://bucket/a.wav"):
        pass
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'diarnb\[remote\]'`$"), open_recording("memory://a.wav"):
        pass
    with pytest.raises(NotAudioError, match="nor a supported address"), open_recording("gopher://host/a.wav"):
        pass
