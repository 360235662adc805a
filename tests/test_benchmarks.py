"""The scorer and the measuring tools of ``benchmarks`` on tables and sounds whose figures are known by arithmetic."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("pyannote.metrics", reason="the tests compare with it")

from benchmarks import accuracy, clustering_noise, speed
from benchmarks._machine import cores, table, versions
from benchmarks._systems import System, Turn, write_wav

PEER = """
import json, sys, pathlib
print(json.dumps({{"python": "3", "versions": {{"peer": "1"}}, "recluster": None,
                  "seconds": [0.5 for _ in sys.argv[1:]], "turns": [{turns} for _ in sys.argv[1:]]}}), flush=True)
sys.exit({code})
"""


def recording(reference: list[Turn], duration: float = 20.0, scored: list[tuple[float, float]] | None = None):
    return accuracy.Recording("talk", Path("talk.wav"), duration, reference, scored or [(0.0, duration)])


def der(reference: list[Turn], found: list[Turn], convention: str = "collar 0") -> float:
    return accuracy.score(recording(reference), found).errors[convention].der


def rttm(path: Path, *turns: Turn) -> None:
    lines = [f"SPEAKER {path.stem} 1 {s:.3f} {e - s:.3f} <NA> <NA> {who} <NA> <NA>\n" for s, e, who in turns]
    path.write_text("".join(lines))


def sound(path: Path, seconds: float, rate: int = 16_000, channels: int = 1) -> Path:
    wave = 0.1 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    sf.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


def test_one_second_missed_of_ten_is_ten_percent():
    score = accuracy.score(recording([(0, 10, "A")]), [(0, 9, "x")])
    assert score.errors["collar 0"].der == pytest.approx(10)
    assert score.errors["collar 0"].missed == pytest.approx(1)


def test_false_alarm_outside_the_speech_counts_up_to_the_end_of_the_recording():
    assert der([(0, 10, "A")], [(0, 12, "x")]) == pytest.approx(20)


def test_two_seconds_given_to_another_speaker_are_confusion():
    errors = accuracy.score(recording([(0, 5, "A"), (5, 10, "B")]), [(0, 7, "x"), (7, 10, "y")]).errors["collar 0"]
    assert (errors.confusion, errors.missed, errors.false_alarm) == (2, 0, 0)
    assert errors.der == pytest.approx(20)


def test_speaker_names_do_not_matter():
    assert der([(0, 5, "A"), (5, 10, "B")], [(0, 5, "B"), (5, 10, "A")]) == 0


@pytest.mark.parametrize(("shift", "expected"), [(0.24, 0.0), (0.35, 0.1)])
def test_collar_of_a_quarter_second_forgives_a_quarter_second_on_each_side(shift: float, expected: float):
    # Reference 1-11 s; 10 s less two inner collar halves leave 9.5 s scored.
    late = [(1 + shift, 11.0, "x")]
    assert der([(1, 11, "A")], late, "collar 0.25") == pytest.approx(100 * expected / 9.5, abs=1e-6)
    assert der([(1, 11, "A")], late) == pytest.approx(100 * shift / 10)


def test_overlap_is_scored_by_default_and_left_out_when_skipped():
    reference: list[Turn] = [(0, 10, "A"), (8, 10, "B")]
    assert der(reference, [(0, 10, "x")]) == pytest.approx(100 * 2 / 12)
    assert der(reference, [(0, 10, "x")], "collar 0, overlap skipped") == 0


def test_only_the_uem_is_scored_and_its_speakers_counted():
    reference: list[Turn] = [(0, 10, "A"), (10, 20, "B")]
    score = accuracy.score(recording(reference, scored=[(2, 4), (6, 8)]), [(2, 3, "x"), (15, 20, "y"), (15, 20, "z")])
    assert score.errors["collar 0"].reference == pytest.approx(4)
    assert score.errors["collar 0"].missed == pytest.approx(3)
    assert (score.reference_speakers, score.found_speakers, score.count_exact) == (1, 1, 1)


def test_jaccard_error_weighs_every_speaker_equally():
    # A: 1 - 9/10; B is never found.
    score = accuracy.score(recording([(0, 9, "A"), (9, 10, "B")]), [(0, 10, "x")])
    assert score.jer == pytest.approx(100 * (0.1 + 1) / 2)


def test_nothing_found_is_all_missed_and_nothing_said_scores_without_division_by_zero():
    assert der([(0, 10, "A")], []) == pytest.approx(100)
    assert der([], []) == 0
    assert der([], [(0, 1, "x")]) == 100


def test_pooling_sums_errors_over_summed_speech_instead_of_averaging_rates():
    short = accuracy.score(recording([(0, 1, "A")]), [])
    long = accuracy.score(recording([(0, 9, "A")]), [(0, 9, "x"), (0, 9, "y")])
    pooled = accuracy.pool([short, long])
    assert pooled.errors["collar 0"].der == pytest.approx(100 * (1 + 9) / 10)
    assert (pooled.recordings, pooled.count_exact, pooled.count_within_one) == (2, 0, 2)


def test_relative_reduction_compares_pooled_der():
    ours = accuracy.pool([accuracy.score(recording([(0, 10, "A")]), [(0, 9, "x")])])
    theirs = accuracy.pool([accuracy.score(recording([(0, 10, "A")]), [(0, 6, "x")])])
    printed = accuracy.side_by_side({"diarnb": ours, "peer": theirs})
    assert "Relative reduction of pooled DER, diarnb against peer: 75.0 % (collar 0);" in printed


def test_folder_gives_recordings_with_a_reference_and_scores_whole_files_without_uem(tmp_path: Path):
    for name in ("a", "b", "unlabelled"):
        sound(tmp_path / f"{name}.wav", 2)
    rttm(tmp_path / "a.rttm", (0.5, 1.5, "A"))
    rttm(tmp_path / "b.rttm", (0.5, 1.5, "A"))
    (tmp_path / "b.uem").write_text(";; comment\nb 1 0.250 1.000\nb 1 1.500 2.000\n")
    a, b = accuracy.read_folder(tmp_path)
    assert (a.name, a.scored, a.reference) == ("a", [(0.0, 2.0)], [(0.5, 1.5, "A")])
    assert b.scored == [(0.25, 1.0), (1.5, 2.0)]
    assert [r.name for r in accuracy.read_folder(tmp_path, only={"b"})] == ["b"]
    assert [r.name for r in accuracy.read_folder(tmp_path, leave_out={"b"})] == ["a"]


def test_a_name_that_is_not_in_the_folder_is_refused_by_name(tmp_path: Path):
    sound(tmp_path / "a.wav", 1)
    rttm(tmp_path / "a.rttm", (0, 1, "A"))
    with pytest.raises(SystemExit, match="missing"):
        accuracy.read_folder(tmp_path, only={"a", "missing"})


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a system whose process says one turn for each recording, and ends with a code."""

    def make(code: int = 0) -> System:
        (tmp_path / "stand_in_peer.py").write_text(PEER.format(turns=[[0, 1, "x"]], code=code))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return System("peer", sys.executable, "stand_in_peer")

    return make


def test_a_system_runs_in_its_own_process_and_its_memory_and_time_are_taken(peer, tmp_path: Path):
    answer = peer().run([tmp_path / "one.wav", tmp_path / "two.wav"])
    assert answer.turns == [[(0.0, 1.0, "x")]] * 2
    assert answer.seconds == [0.5, 0.5]
    assert 0 < answer.first_answer < 60
    assert 1 < answer.peak < 10_000


def test_a_system_that_fails_ends_the_benchmark_with_its_name(peer, tmp_path: Path):
    with pytest.raises(SystemExit, match="peer: the process ended with 3"):
        peer(code=3).run([tmp_path / "one.wav"])


def test_the_warming_recording_is_not_among_the_scores(peer, tmp_path: Path):
    talks = [accuracy.Recording(n, tmp_path / n, 2.0, [(0, 1, "A")], [(0, 2)]) for n in ("a", "b")]
    answer, scores = accuracy.run(peer(), talks, tmp_path)
    assert len(answer.turns) == 3
    assert list(scores) == ["a", "b"]
    assert accuracy.pool(list(scores.values())).seconds == 1.0


def test_a_recording_is_repeated_to_the_exact_length_as_16_khz_mono(tmp_path: Path):
    source = sound(tmp_path / "source.flac", 1.5, rate=8_000, channels=2)
    write_wav(source, tmp_path / "long.wav", seconds=4)
    info = sf.info(tmp_path / "long.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (64_000, 16_000, 1, "PCM_16")
    write_wav(source, tmp_path / "once.wav")
    assert sf.info(tmp_path / "once.wav").frames == 24_000
    write_wav(source, tmp_path / "cut.wav", seconds=0.5)
    samples, _ = sf.read(tmp_path / "cut.wav")
    assert len(samples) == 8_000
    assert np.abs(samples).max() == pytest.approx(0.1, abs=0.01)


def test_a_recording_without_samples_is_refused_instead_of_repeated_for_ever(tmp_path: Path):
    sf.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    with pytest.raises(SystemExit, match=r"empty\.wav holds no samples"):
        write_wav(tmp_path / "empty.wav", tmp_path / "long.wav", seconds=1)


def test_rounds_alternate_the_order_of_the_systems():
    a, b = System("a", "python", "m"), System("b", "python", "m")
    assert speed.in_alternation([a, b], 3) == [a, b, b, a, a, b]


def test_speed_report_pairs_rounds_and_leaves_out_what_a_peer_does_not_offer():
    measured = {
        "diarnb": {"x real time": [0.02, 0.03, 0.04], "peak memory": [512.0], "recluster": [0.05]},
        "peer": {"x real time": [0.04, 0.03, 0.02], "peak memory": [2048.0]},
    }
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in speed.report(measured).splitlines()[2:]]
    assert lines == [
        ["x real time", "diarnb", "0.020 / 0.030 / 0.040", ""],
        ["x real time", "peer", "0.020 / 0.030 / 0.040", "0.50 1.00 2.00"],
        ["peak memory", "diarnb", "512 / 512 / 512 MiB", ""],
        ["peak memory", "peer", "2048 / 2048 / 2048 MiB", "0.25"],
        ["recluster", "diarnb", "0.050 / 0.050 / 0.050 s", ""],
    ]


def test_importing_nothing_new_takes_no_longer_than_starting_python():
    assert speed.import_time(sys.executable, "sys", repeats=2) < 1


def test_folder_size_counts_files_once(tmp_path: Path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a").write_bytes(bytes(2**20))
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "b").symlink_to("lib/a")
    assert speed.folder_size(tmp_path) == 1


def test_machine_facts_are_found():
    assert cores() >= 1
    assert list(versions("numpy", "no-such-distribution")) == ["numpy"]
    assert table(["a"], [["long"]]).splitlines()[-1] == "| long |"


@pytest.mark.slow
def test_accuracy_prints_a_pooled_table_for_a_shipped_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import diarnb

    audio = diarnb.example("interview")
    (tmp_path / "names.txt").write_text("interview\n")
    accuracy.main([str(audio.parent), "--only", str(tmp_path / "names.txt"), "--json", str(tmp_path / "figures.json")])
    printed = capsys.readouterr().out
    assert "pooled: all" in printed
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["scores"]["diarnb"]["interview"]["reference_speakers"] == 2


@pytest.mark.slow
def test_noise_moves_a_rate_and_no_noise_does_not(monkeypatch: pytest.MonkeyPatch):
    import diarnb

    monkeypatch.setattr(clustering_noise, "SPREADS", (0.0, 0.2))
    audio = diarnb.example("interview")
    (talk,) = accuracy.read_folder(audio.parent, {"interview"})
    (still, shaken), found = clustering_noise.measure([talk], draws=3)
    assert still[0::2] == ["0", "0.00"]
    assert still[1] == shaken[1]
    assert float(shaken[2]) > 0.1
    assert [row[0] for row in found] == ["interview"]
