"""The command line, as a person and as a script use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb.__main__ import _table, main
from diarnb.engines.local import MODELS


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "diarnb", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_the_example_is_answered_as_a_table_with_files_beside_it(tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("timeline.png", "turns.rttm", "turns.CSV", "timeline.svg")]
    done = run("--example", "meeting", *(word for path in outputs for word in ("-o", path)))
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["start", "end", "duration", "speaker"]
    turns = diarnb.read(outputs[1])
    assert [row.split()[3] for row in rows] == list(turns["speaker"])
    assert [float(row.split()[0]) for row in rows] == pytest.approx(turns["start"].tolist(), abs=0.011)
    assert outputs[0].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in outputs[3].read_text(encoding="utf-8")
    assert re.search(r"^SPEAKER_00 +\d+\.\d s +\d+% of the talk +\d+ turns$", done.stderr, re.MULTILINE)
    assert f"wrote {outputs[0]}" in done.stderr


@pytest.mark.usefixtures("known")
def test_python_and_the_command_line_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example", "interview", "--num-speakers", "2", "--turn-level-confidence"]) == 0
    turns = diarnb.diarize(diarnb.example("interview"), num_speakers=2, turn_level_confidence=True, progress=False)
    assert capsys.readouterr().out == _table(turns)


@pytest.mark.parametrize("flag", ["exclusive", "confidence", "turn_level_confidence"])
def test_a_flag_means_what_the_parameter_of_its_name_means(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def diarize(source: object, **arguments: object) -> pd.DataFrame:
        asked.update(arguments)
        return diarnb.read(diarnb.example("interview").with_suffix(".rttm"))

    monkeypatch.setattr("diarnb.api.diarize", diarize)
    assert main(["talk.wav", f"--{flag.replace('_', '-')}"]) == 0
    flags = {name: asked[name] for name in ("exclusive", "confidence", "turn_level_confidence")}
    assert flags == {name: name == flag for name in flags}


@pytest.mark.usefixtures("known")
def test_json_is_what_a_file_would_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example", "interview", "--json", "-o", str(tmp_path / "turns.json")]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "turns.json").read_text(encoding="utf-8")
    told = json.loads(printed)
    assert told["turns"][0].keys() >= {"start", "end", "speaker"}
    assert told["diarnb"]["engine"] == "local"


@pytest.mark.parametrize("model", MODELS)
def test_each_model_can_be_asked_for(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example", "call", "--json", "--model", model]) == 0
    assert json.loads(capsys.readouterr().out)["diarnb"]["model"] == model


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    for name in ("interview", "call"):
        shutil.copy(diarnb.example(name), folder)
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16_000)
    return folder


@pytest.mark.usefixtures("known")
def test_many_recordings_have_a_line_each_and_one_table(
    calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["many", str(calls), "-o", str(tmp_path / "calls.csv")]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["speech", "speakers", "turns", "recording"]
    assert {row.split()[3]: row.split()[1] for row in rows} == {
        "call.flac": "2",
        "interview.flac": "2",
        "silence.wav": "0",
    }
    assert set(diarnb.read(tmp_path / "calls.csv")["uri"]) == {"call.flac", "interview.flac"}


@pytest.mark.usefixtures("known")
def test_one_bad_recording_of_many_is_told_and_costs_no_other(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (calls / "bad.wav").write_text("no sound")
    assert main(["many", str(calls / "bad.wav"), str(calls / "call.flac"), "--json"]) == 1
    shown = capsys.readouterr()
    assert "diarnb: error: bad.wav is not audio" in shown.err
    assert {turn["uri"] for turn in json.loads(shown.out)["turns"]} == {"call.flac"}


@pytest.mark.usefixtures("known")
def test_a_folder_is_looked_through_when_asked_and_one_that_is_missing_is_one_line(
    calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (calls / "monday").mkdir()
    (calls / "call.flac").rename(calls / "monday" / "call.flac")
    (calls / "silence.wav").unlink()
    assert main(["many", str(calls)]) == 0
    assert "1 folders (monday), which recursive=True (--recursive) includes" in capsys.readouterr().err
    assert main(["many", str(calls), "--recursive", "--json"]) == 0
    assert {turn["uri"] for turn in json.loads(capsys.readouterr().out)["turns"]} == {"interview.flac", "call.flac"}
    assert main(["many", str(tmp_path / "calls2")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"diarnb: error: {tmp_path / 'calls2'} is neither a file nor a folder; check the path."
    ]


@pytest.mark.slow
def test_many_recordings_can_be_heard_at_once(calls: Path) -> None:
    done = run("many", calls / "call.flac", calls / "interview.flac", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert {turn["uri"] for turn in json.loads(done.stdout)["turns"]} == {"call.flac", "interview.flac"}


def test_the_help_of_many_teaches() -> None:
    shown = run("many", "--help")
    assert shown.returncode == 0
    for wanted in ("diarnb many calls/ -o calls.parquet", "--same-speakers", "--workers N"):
        assert wanted in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 120


@pytest.mark.usefixtures("known")
def test_exclusive_turns_do_not_overlap(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example", "interview", "--exclusive"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert all(float(before[1]) <= float(after[0]) for before, after in pairwise(rows))


@pytest.mark.slow
def test_channels_can_be_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example", "call", "--channels", "split"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["start", "end", "duration", "channel", "speaker"]
    assert {row.split()[3] for row in rows} == {"0", "1"}


def test_a_recording_without_speech_is_an_empty_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    assert main([str(tmp_path / "silence.wav"), "-o", str(tmp_path / "silence.png")]) == 0
    shown = capsys.readouterr()
    assert shown.out == "start  end  duration  speaker\n"
    assert "No speech found." in shown.err


def test_columns_line_up_and_a_name_cannot_command_the_terminal() -> None:
    rows = {"start": [0.0, 9.5], "end": [9.0, 100.25], "speaker": ["Ann Lee", "\x1b[31mBeth\n"]}
    turns = pd.DataFrame(rows).assign(duration=lambda table: table["end"] - table["start"])
    assert _table(turns) == (
        "start     end  duration  speaker\n"
        " 0.00    9.00      9.00  Ann Lee\n"
        " 9.50  100.25     90.75  \\x1b[31mBeth\\n\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "FILE"),
        (["talk.wav", "--example", "meeting"], "not allowed with"),
        (["talk.wav", "-o", "turns.docx"], "turns.docx': an output ends in one of .csv, "),
        (["talk.wav", "-o", "no/such/turns.csv"], "there is no folder 'no/such'"),
        (["talk.wav", "-o", "x" * 300 + ".png"], "File name too long"),
        (["talk.wav", "--num-speakers", "two"], "--num-speakers"),
        (["many"], "FOLDER"),
        (["many", "calls", "-o", "calls.png"], "an output ends in one of .csv, "),
        (["many", "calls", "-o", "calls.srt"], "an output ends in one of .csv, "),
    ],
)
def test_a_wrong_command_is_refused_with_its_usage(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr()
    assert stopped.value.code == 2
    assert says in shown.err
    assert shown.out == ""


def test_a_folder_is_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "turns.csv"
    folder.mkdir()
    with pytest.raises(SystemExit):
        main(["talk.wav", "-o", str(folder)])
    assert "it is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["no-such-file.wav"], 1, "no-such-file.wav"),
        ([__file__], 1, "test_cli.py"),
        (["--example", "opera"], 2, "opera"),
        (["many", "calls", "--workers", "0"], 2, "--workers"),
        (["--example", "meeting", "--num-speakers", "0"], 2, "num_speakers"),
        (["--example", "meeting", "--num-speakers", "2", "--max-speakers", "3"], 2, "max_speakers"),
        (["--example", "meeting", "--channels", "left"], 2, "channels"),
        (["--example", "meeting", "--engine", "oracle"], 2, "oracle"),
        (["--example", "meeting", "--model", "whisper"], 2, r"'whisper'; it has .*campplus"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(rf"diarnb: error: .*{says}.*\n", shown.err)


@pytest.mark.usefixtures("known")
def test_a_warning_is_one_line_without_python_in_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--example", "interview", "--turn-level-confidence", "-o", str(tmp_path / "turns.rttm")]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "warning:" in line.lower()]
    assert len(warned) == 1
    assert warned[0].startswith("diarnb: warning: turns.rttm was written without confidence")


@pytest.mark.usefixtures("known")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_an_output_that_fails_costs_neither_the_table_nor_the_other_outputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full.png"
    full.symlink_to("/dev/full")
    assert main(["--example", "interview", "-o", str(full), "-o", str(tmp_path / "turns.csv")]) == 1
    shown = capsys.readouterr()
    assert "SPEAKER_01" in shown.out
    assert len(diarnb.read(tmp_path / "turns.csv")) == shown.out.count("SPEAKER_")
    assert f"diarnb: error: cannot write '{full}': No space left on device" in shown.err


@pytest.mark.usefixtures("known")
def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "diarnb", "--example", "interview", "-o", str(tmp_path / "turns.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        complaints = process.stderr.read()
    assert process.returncode == 0
    assert "BrokenPipe" not in complaints
    assert (tmp_path / "turns.csv").exists()


def test_help_teaches_and_is_there_at_once() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for wanted in ("--example meeting -o timeline.png", "--num-speakers", [*MODELS][-1], "exit codes:", "130"):
        assert wanted in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 120


def test_the_version_is_the_installed_one() -> None:
    try:
        installed = version("diarnb")
    except PackageNotFoundError:
        pytest.skip("diarnb is not installed here")
    shown = run("--version")
    assert shown.stdout == f"diarnb {installed}\n", shown.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_an_interrupt_erases_the_progress_and_is_told_in_one_line(tmp_path: Path) -> None:
    samples, rate = soundfile.read(diarnb.example("meeting"))
    soundfile.write(tmp_path / "long.wav", np.tile(samples, 14), rate)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "diarnb", str(tmp_path / "long.wav")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        shown = b""
        while b"left" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # how Linux says that the other side is closed
            pass
        assert process.stdout is not None
        table = process.stdout.read()
    os.close(ours)
    assert process.returncode == 130
    assert table == ""
    last = shown.decode().rsplit("\r", 2)[-2]  # the terminal itself writes a line's end as \r\n
    assert re.fullmatch(
        r"diarnb: interrupted; (earlier answers and files are as they were|"
        r"long\.wav was processed up to \d+:00 of 20:5\d, which is kept: the same call continues from there)",
        last,
    )
    assert diarnb.runs().empty
