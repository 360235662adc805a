"""Corrections outlast the widget, the kernel and the day: the log of edits on disk, seen from outside."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diarnb
from diarnb.corrections import Corrections
from diarnb.errors import StoreWarning


def table(*speakers: str) -> pd.DataFrame:
    starts = np.arange(len(speakers), dtype=float) * 4
    return pd.DataFrame({"start": starts, "end": starts + 3.5, "speaker": list(speakers)})


def files() -> list[Path]:
    return sorted((Path(os.environ["DIARNB_HOME"]) / "corrections").glob("*.jsonl"))


def do_everything(corrections: Corrections) -> None:
    corrections.rename("A", "Beth")
    corrections.reassign(slice(1.0, 2.0), None)
    corrections.split("B", 5.0)
    corrections.merge("C", into="A")
    corrections.move(0, end=3.0)
    added = corrections.add(30.0, 31.0, "B")
    corrections.delete(added)
    corrections.undo()
    corrections.confirm(1)
    corrections.reject(2)
    corrections.undo()
    corrections.undo()
    corrections.redo()


def same(one: Corrections, other: Corrections) -> None:
    pd.testing.assert_frame_equal(one.turns, other.turns)
    pd.testing.assert_frame_equal(one.edits, other.edits)
    assert (one.can_undo, one.can_redo, one.labels) == (other.can_undo, other.can_redo, other.labels)


def test_every_kind_of_correction_is_there_when_the_table_is_opened_again() -> None:
    turns = table("A", "B", "C", "A")
    first = Corrections.open(turns, by="Anna")
    do_everything(first)
    again = Corrections.open(turns)
    same(first, again)
    assert again.taken_up is not None
    assert again.taken_up[0] == 7
    assert set(again.edits["by"]) == {"Anna"}
    assert len(diarnb.edits(turns)) == len(first.edits)
    for corrections in (first, again):
        while corrections.undo():
            pass
    pd.testing.assert_frame_equal(again.turns, Corrections(turns).turns)


def test_corrections_of_one_table_are_not_those_of_another() -> None:
    Corrections.open(table("A", "B")).rename("A", "Beth")
    other = Corrections.open(table("A", "B", "A"))
    assert len(other.edits) == 0
    assert other.earlier == []


def test_a_bare_table_of_corrections_keeps_nothing() -> None:
    Corrections(table("A", "B")).rename("A", "Beth")
    assert files() == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_only_its_owner_reads_the_log() -> None:
    Corrections.open(table("A", "B")).rename("A", "Beth")
    [path] = files()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_player_of_the_same_table_takes_up_what_an_earlier_one_was_told() -> None:
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    first = diarnb.player(turns)
    first.corrections.rename("SPEAKER_00", "Beth")
    first.corrections.reassign(list(turns["speaker"]).index("SPEAKER_01"), "SPEAKER_00")
    first.close()
    for make in (diarnb.player, diarnb.cards, diarnb.review):
        again = make(turns)
        assert list(again.edits["what"]) == ["rename", "reassign"]
        assert "2 corrections of today" in again.notices[0].text
        again.close()
    fresh = diarnb.player(turns, fresh=True)
    assert len(fresh.edits) == 0
    assert "set aside" in fresh.notices[0].text
    assert fresh.take_over() == "2 of 2 taken over."
    assert set(fresh.turns["speaker"]) == {"Beth", "SPEAKER_01"}
    fresh.close()


def test_widgets_of_one_table_follow_each_other() -> None:
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    player, cards = diarnb.player(turns), diarnb.cards(turns)
    cards.rename("SPEAKER_00", "Beth")
    assert "Beth" in set(player.turns["speaker"])
    player.undo()
    assert "Beth" not in set(cards.turns["speaker"])
    player.close()
    cards.close()


def test_corrections_of_another_run_are_offered_and_never_applied_silently() -> None:
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    first = diarnb.player(turns)
    first.corrections.rename("SPEAKER_00", "Beth")
    first.close()
    later = diarnb.diarize(diarnb.example("interview"), progress=False, refresh=True)
    assert later.attrs["diarnb"]["run"] != turns.attrs["diarnb"]["run"]
    second = diarnb.player(later)
    assert len(second.edits) == 0
    [notice] = second.notices
    assert "made on an earlier run (local)" in notice.text
    assert (notice.label, notice.what) == ("take over", "take")
    assert second.take_over() == "1 of 1 taken over."
    assert "Beth" in set(second.turns["speaker"])
    assert second.notices == []
    second.close()


def test_a_table_that_was_corrected_already_is_not_offered_the_same_again() -> None:
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    corrections = Corrections.open(turns)
    corrections.rename("SPEAKER_00", "Beth")
    assert Corrections.open(corrections.turns).earlier == []


def test_forget_removes_the_corrections_with_the_run() -> None:
    turns = diarnb.diarize(diarnb.example("interview"), progress=False)
    Corrections.open(turns).rename("SPEAKER_00", "Beth")
    other = Corrections.open(table("A"))
    other.rename("A", "Anna")
    assert len(files()) == 2
    diarnb.forget(turns)
    assert len(files()) == 1
    other.forget()
    assert files() == []


EDITOR = """
import sys
import pandas as pd
from diarnb.corrections import Corrections
turns = pd.DataFrame({"start": [float(n) for n in range(40)], "end": [n + 0.9 for n in range(40)],
                      "speaker": ["A", "B"] * 20})
corrections = Corrections.open(turns, by=sys.argv[1])
"""
FORTY = pd.DataFrame(
    {"start": [float(n) for n in range(40)], "end": [n + 0.9 for n in range(40)], "speaker": ["A", "B"] * 20}
)


def edit_elsewhere(code: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", EDITOR + textwrap.dedent(code), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_at_once_lose_nothing_and_agree_on_the_order() -> None:
    code = """
        for number in range(25):
            corrections.rename("A" if number % 2 else "B", f"{sys.argv[1]} {number}")
            corrections.reassign(number, None)
        """
    both = [edit_elsewhere(code, name) for name in ("one", "two")]
    assert [process.wait() for process in both] == [0, 0]
    whole = Corrections.open(FORTY)
    edits = whole.edits
    assert list(edits["edit"].drop_duplicates()) == list(range(1, 101))
    for name in ("one", "two"):
        own = edits[edits["by"] == name]
        assert list(own.loc[own["what"] == "rename", "to"]) == [f"{name} {number}" for number in range(25)]
    assert whole.turns["speaker"].nunique() == 27  # the last to reassign a turn has it; two of them have names


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_kill_at_200_random_points_loses_at_most_the_edit_in_flight() -> None:
    rng = np.random.default_rng(7)

    lost = 0
    said = 0
    for _ in range(200):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                corrections = Corrections.open(FORTY, by="killed")
                for number in range(10**6):
                    corrections.rename("A", f"name {number}")
                    os.write(write, b".")
            finally:
                os._exit(1)
        os.close(write)
        os.read(read, 1)  # it edits
        time.sleep(float(rng.uniform(0, 0.03)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = 1
        while part := os.read(read, 65536):
            told += len(part)
        os.close(read)
        said += told
        found = len(Corrections.open(FORTY).edits)
        assert said <= found <= said + 1 + lost
        lost = found - said  # edits that were on disk, and not told yet
    whole = Corrections.open(FORTY)
    assert list(whole.edits["edit"]) == list(range(1, len(whole.edits) + 1))


def test_a_line_that_was_cut_off_is_passed_over_and_the_next_one_is_whole() -> None:
    turns = table("A", "B")
    Corrections.open(turns).rename("A", "Beth")
    [path] = files()
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1])):
        path.write_bytes(whole[:-cut])
        assert len(Corrections.open(turns).edits) == 0
    Corrections.open(turns).rename("B", "Carl")
    assert list(Corrections.open(turns).edits["to"]) == ["Carl"]


def test_damage_is_told_and_what_is_sound_is_used() -> None:
    turns = table("A", "B")
    corrections = Corrections.open(turns)
    corrections.rename("A", "Beth")
    corrections.rename("B", "Carl")
    corrections.rename("B", "Dora")
    [path] = files()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Carl", b"Curl"))
    with pytest.warns(StoreWarning, match=r"damaged.*\.bad"):
        found = Corrections.open(turns)
    assert list(found.edits["to"]) == ["Beth"]
    assert [each.read_bytes() for each in path.parent.glob("*.bad")] == [content.replace(b"Carl", b"Curl")]
    with pytest.warns(StoreWarning, match="damaged"):
        found.rename("A", "Emil")
    assert list(Corrections.open(turns).edits["to"]) == ["Beth", "Emil"]


def test_a_log_of_a_later_version_is_left_alone() -> None:
    turns = table("A", "B")
    Corrections.open(turns).rename("A", "Beth")
    [path] = files()
    from diarnb.corrections import log

    later = path.read_bytes().splitlines(keepends=True)
    later[0] = log._pack({"corrections": log.LAYOUT + 1})
    path.write_bytes(b"".join(later))
    with pytest.warns(StoreWarning, match="later version"):
        found = Corrections.open(turns)
    found.rename("A", "Carl")  # here, and not on disk
    assert not found.kept
    assert path.read_bytes() == b"".join(later)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_told_once_and_edits_go_on() -> None:
    corrections = Corrections.open(table("A", "B"))
    corrections.rename("A", "Beth")
    files()[0].chmod(0o400)
    with pytest.warns(StoreWarning, match="not kept"):
        corrections.rename("B", "Carl")
    corrections.rename("B", "Dora")
    assert list(corrections.turns["speaker"]) == ["Beth", "Dora"]


def test_a_disk_that_is_full_is_told_once_and_edits_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    corrections = Corrections.open(table("A", "B"))
    corrections.rename("A", "Beth")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(StoreWarning, match="No space left"):
        corrections.rename("B", "Carl")
    corrections.rename("B", "Dora")
    assert list(corrections.turns["speaker"]) == ["Beth", "Dora"]
    assert not corrections.kept


def test_threads_of_one_process_lose_nothing() -> None:
    turns = table("A", "B", "C", "D")
    opened = [Corrections.open(turns) for _ in range(4)]

    def rename_often(number: int) -> None:
        for times in range(10):
            opened[number].rename("ABCD"[number], f"{number} {times}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rename_often, range(4)))
    assert list(Corrections.open(turns).turns["speaker"]) == [f"{number} 9" for number in range(4)]
    assert len(diarnb.edits(turns)) == 40


def test_a_lock_that_somebody_keeps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from diarnb.store import lock

    corrections = Corrections.open(table("A", "B"))
    corrections.rename("A", "Beth")
    held = lock.take(files()[0].parent / "lock")
    assert held is not None
    monkeypatch.setattr(lock, "_PATIENCE", 0.05)
    with pytest.warns(StoreWarning, match="locked by another process"):
        corrections.rename("A", "Carl")
    os.close(held)
