"""Simulated conversations: their truth against their sound, their manners against what was asked for."""

from __future__ import annotations

import csv
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile as sf

import diarnb
from benchmarks import simulate
from benchmarks._acoustics import Line, Noise, Room, handset
from benchmarks._turntaking import Conversation, Person, converse, join_spans, listen, read_people, speech_and_overlap

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000
REUSED = ["--reuse", "99"]  # there are four voices
DRY = ["--rooms", "none", "--telephone", "0", "--snr", "90", "90", "--levels", "0"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of single speakers: what each voice of the examples says alone."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("meeting", "interview"):
        audio = diarnb.example(name)
        samples, rate = sf.read(audio, dtype="float32")
        fields = [line.split() for line in audio.with_suffix(".rttm").read_text().splitlines()]
        turns = [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]
        for number, (start, end, speaker) in enumerate(turns):
            alone = all(b <= start - 0.1 or a >= end + 0.1 for n, (a, b, _) in enumerate(turns) if n != number)
            if alone and end - start > 1:
                (folder / speaker).mkdir(exist_ok=True)
                cut = samples[round((start - 0.1) * rate) : round((end + 0.1) * rate)]
                sf.write(folder / speaker / f"{name}{number:02d}.flac", cut, rate)
    return folder


@pytest.fixture(scope="module")
def people(material: Path) -> list[Person]:
    return read_people(material, 3.0)


def make(out: Path, material: Path, *options: str) -> Path:
    simulate.main([str(out), "--material", str(material), "--material-least", "3", "--least", "3", *REUSED, *options])
    return out


def talk(people: list[Person], seconds: float, overlap: float, seed: int, least: float = 3.0) -> Conversation:
    return converse(people, seconds, overlap, least, np.random.SeedSequence(seed))


def rttm(path: Path) -> list[tuple[float, float, str]]:
    fields = [line.split() for line in path.read_text().splitlines()]
    return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]


def bursts(path: Path, *spans: tuple[float, float], seconds: float = 5.0) -> Path:
    rng = np.random.default_rng(0)
    samples = 1e-4 * rng.standard_normal(round(seconds * RATE))
    for start, end in spans:
        samples[round(start * RATE) : round(end * RATE)] = 0.1 * rng.standard_normal(round((end - start) * RATE))
    sf.write(path, samples, RATE, subtype="FLOAT")
    return path


def test_speech_is_found_by_energy_and_only_short_pauses_are_filled(tmp_path: Path):
    found = listen(bursts(tmp_path / "a.wav", (0.5, 1.5), (1.7, 2.5), (2.9, 4.0)))
    assert found is not None
    assert np.array(found.phrases) == pytest.approx(np.array([(0.5, 2.5), (2.9, 4.0)]), abs=0.02)


def test_a_recording_in_which_nobody_speaks_is_no_material(tmp_path: Path):
    (tmp_path / "someone").mkdir()
    sf.write(tmp_path / "someone" / "silence.wav", np.zeros(RATE), RATE)
    sf.write(tmp_path / "someone" / "blip.wav", np.zeros(10), RATE)
    assert read_people(tmp_path, 0.0) == []


def test_people_with_too_little_speech_are_left_out(material: Path):
    everyone = read_people(material, 0.0)
    assert [person.name for person in everyone] == ["Fergus", "Maya", "Otto", "Victor"]
    most = max(person.seconds for person in everyone)
    assert [person.seconds for person in read_people(material, most)] == [most]


def test_spans_are_joined_and_time_is_counted():
    assert join_spans([(3, 4), (0, 1), (1.2, 2), (1.5, 1.6)], 0.25) == [(0, 2), (3, 4)]
    assert speech_and_overlap([(0, 10, "A"), (8, 12, "B"), (9, 11, "C"), (20, 21, "A")]) == (13, 3)
    assert speech_and_overlap([]) == (0, 0)


def test_the_reference_is_where_the_sound_is(tmp_path: Path, material: Path):
    make(tmp_path, material, "--count", "2", "--speakers", "2", "4", "--minutes", "1", "1", *DRY)
    for audio in sorted(tmp_path.glob("*.flac")):
        samples, rate = sf.read(audio)
        assert len(samples) == 60 * rate
        marked = np.zeros(len(samples), bool)
        near = np.zeros(len(samples), bool)
        for start, end, _ in rttm(audio.with_suffix(".rttm")):
            marked[round(start * rate) : round(end * rate)] = True
            near[round((start - 0.05) * rate) : round((end + 0.05) * rate)] = True
            assert 20 * np.log10(np.std(samples[round(start * rate) : round(end * rate)])) > -50
        level = 20 * np.log10([np.std(samples[marked]), np.std(samples[~near]) + 1e-9])
        assert level[0] == pytest.approx(simulate.LEVEL, abs=3)
        assert level[1] < level[0] - 25


def test_a_set_is_what_the_accuracy_benchmark_reads(tmp_path: Path, material: Path, capsys: pytest.CaptureFixture[str]):
    accuracy = pytest.importorskip("benchmarks.accuracy", reason="the tests compare with it")
    make(tmp_path, material, "--count", "3", "--speakers", "2-4", "--minutes", "0.8", "1")
    recordings = accuracy.read_folder(tmp_path)
    assert [recording.name for recording in recordings] == ["02speakers_000", "03speakers_001", "04speakers_002"]
    for count, recording in enumerate(recordings, 2):
        perfect = accuracy.score(recording, recording.reference)
        assert (perfect.reference_speakers, perfect.errors["collar 0"].der) == (count, 0)
        assert recording.scored == [(0.0, pytest.approx(recording.duration, abs=1e-3))]
        assert max(end for _, end, _ in recording.reference) < recording.duration
    with (tmp_path / "conversations.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [recording.name for recording in recordings]
    assert [len(set(row["people"].split())) for row in rows] == [2, 3, 4]
    assert all(row["name"] in capsys.readouterr().out for row in rows[:1])


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path, material: Path):
    def content(folder: str, seed: str) -> dict[str, bytes]:
        options = ["--count", "2", "--speakers", "2-3", "--minutes", "0.7", "0.7", "--telephone", "0.5", "--seed"]
        made = make(tmp_path / folder, material, *options, seed)
        return {path.name: path.read_bytes() for path in made.iterdir()}

    first = content("a", "7")
    assert len(first) == 7
    assert first == content("b", "7")
    assert first["02speakers_000.flac"] != content("c", "8")["02speakers_000.flac"]


def test_sound_does_not_depend_on_the_length_of_the_blocks(
    tmp_path: Path, material: Path, monkeypatch: pytest.MonkeyPatch
):
    options = ["--count", "1", "--speakers", "3", "--minutes", "0.7", "0.7", "--telephone", "0"]
    whole, _ = sf.read(make(tmp_path / "whole", material, *options) / "03speakers_000.flac")
    monkeypatch.setattr(simulate, "BLOCK", 3_000)
    parts, _ = sf.read(make(tmp_path / "parts", material, *options) / "03speakers_000.flac")
    assert np.abs(whole).max() > 0.05
    assert np.abs(whole - parts).max() <= 2 / 2**15


@pytest.mark.parametrize("wanted", [0.0, 0.05, 0.2])
def test_the_share_of_overlap_is_the_one_that_was_asked_for(people: list[Person], wanted: float):
    for seed in range(3):
        speech, overlap = speech_and_overlap(talk(people, 240, wanted, seed).reference())
        assert overlap / speech == pytest.approx(wanted, abs=0.02)


def test_turns_change_as_in_real_conversations(people: list[Person]):
    talks = [talk(people, 300, 0.06, seed) for seed in range(5)]
    changes = [(a, b) for each in talks for a, b in pairwise(each.turns) if a[2] != b[2]]
    offsets = np.array([b[0] - a[1] for a, b in changes])
    assert 0.0 < np.median(offsets) < 0.3
    assert 0.2 < np.mean(offsets < 0) < 0.5
    assert 1.5 < np.median([end - start for each in talks for start, end, _ in each.turns]) < 3.5
    floors = [[who for who, _ in groupby(who for _, _, who in each.turns)] for each in talks]
    returns = [one == third for floor in floors for one, third in zip(floor, floor[2:], strict=False)]
    assert np.mean(returns) > 0.4  # by chance alone one in three, of four speakers


def test_listeners_put_in_short_words_while_somebody_else_has_the_floor(people: list[Person]):
    talks = [talk(people, 300, 0.08, seed) for seed in range(3)]
    asides = [(each, said) for each in talks for said in each.utterances if said.aside]
    assert len(asides) > 10
    for each, said in asides:
        around = [who for start, end, who in each.turns if start < said.start and said.end < end]
        assert set(around) - {said.speaker}
    assert np.median([said.end - said.start for _, said in asides]) < 0.8


@pytest.mark.parametrize("count", [1, 2, 4])
def test_everyone_speaks_enough_and_nobody_over_himself(people: list[Person], count: int):
    for seed in range(5):
        each = talk(people[:count], 150, 0.1, seed, least=10)
        spoken: dict[str, float] = {}
        for start, end, who in each.reference():
            spoken[who] = spoken.get(who, 0) + end - start
        assert len(spoken) == count
        assert min(spoken.values()) >= 10
        for speaker in range(count):
            own = sorted((said.start, said.end) for said in each.utterances if said.speaker == speaker)
            assert all(before[1] < after[0] for before, after in pairwise(own))
        assert max(said.end for said in each.utterances) <= 150


def test_material_is_said_again_only_when_all_of_it_was_said(people: list[Person]):
    one = max(people, key=lambda person: person.seconds)
    said = [said.piece for said in talk([one], 0.6 * one.seconds, 0, 1, least=0).utterances]
    assert len(said) > 2
    for recording in one.recordings:
        spans = sorted((piece.start, piece.end) for piece in said if piece.recording is recording)
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(spans))


@pytest.mark.parametrize("reverberation", [0.2, 0.6])
def test_a_room_sounds_as_long_as_it_should(reverberation: float):
    rng = np.random.default_rng(3)
    room = Room(np.array([6.0, 5.0, 3.0]), np.array([2.8, 2.2, 1.1]), reverberation)
    for _ in range(3):
        response = room.response(rng).astype(float)
        assert np.sum(response**2) == pytest.approx(1, abs=1e-4)
        assert np.argmax(response) == 0
        left = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
        # Schroeder's integral from 5 to 25 dB below its reverberant part
        first = round(0.01 * RATE)
        decay = left[first:] - left[first]
        times = [np.argmax(decay < -5), np.argmax(decay < -25)]
        assert 3 * (times[1] - times[0]) / RATE == pytest.approx(reverberation, rel=0.25)


def test_rooms_are_drawn_with_the_microphone_inside():
    for seed in range(20):
        room = Room.drawn("small", np.random.default_rng(seed))
        assert np.all((room.microphone > 0.3) & (room.microphone < room.size - 0.3))


def test_noise_is_endless_has_unit_power_and_falls_as_asked():
    def noise(slope: float, hum: float | None = None) -> Noise:
        return Noise(slope, hum, np.random.default_rng(1))

    whole, parted = noise(1.0, 50), noise(1.0, 50)
    parts = np.concatenate([parted.block(n) for n in (1_000, 1, 15_000)])
    assert np.abs(whole.block(16_001) - parts).max() < 1e-4
    for slope in (0.5, 1.5):
        samples = noise(slope).block(20 * RATE)
        assert np.std(samples) == pytest.approx(1, rel=0.15)
        power = np.abs(np.fft.rfft(samples)) ** 2
        band = [power[20 * low : 20 * high].mean() for low, high in ((400, 500), (4_000, 5_000))]
        assert np.log10(band[0] / band[1]) == pytest.approx(slope, abs=0.15)
    spectrum = np.abs(np.fft.rfft(noise(1.0, 60).block(10 * RATE)))
    assert abs(np.argmax(spectrum[500:]) + 500 - 600) <= 1  # 60 Hz in steps of 0.1 Hz


def test_a_telephone_passes_only_its_band(tmp_path: Path, material: Path):
    line = Line()
    white = 0.1 * np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    heard = np.concatenate([line(block) for block in np.split(white, 10)])
    assert len(heard) == len(white) / 2
    power = np.abs(np.fft.rfft(heard)) ** 2
    inside = power[10 * 500 : 10 * 3_000].mean()
    assert 10 * np.log10(power[: 10 * 150].mean() / inside) < -25
    assert 10 * np.log10(power[10 * 3_800 :].mean() / inside) < -25
    make(tmp_path, material, "--count", "1", "--speakers", "2", "--minutes", "0.5", "0.5", "--telephone", "1")
    assert sf.info(tmp_path / "02speakers_000.flac").samplerate == 8_000


def test_no_two_handsets_sound_alike():
    rng = np.random.default_rng(0)
    one, other = (np.abs(np.fft.rfft(handset(rng), 512)) for _ in range(2))
    assert np.linalg.norm(one - other) > 0.1 * np.linalg.norm(one)


def test_more_speakers_than_people_are_refused_before_anything_is_written(tmp_path: Path, material: Path):
    with pytest.raises(SystemExit, match="4 different people have 3 s of speech or more, and 5 were asked for"):
        make(tmp_path / "out", material, "--speakers", "2-5")
    assert not (tmp_path / "out").exists()


def test_a_conversation_too_short_for_its_speakers_is_refused(tmp_path: Path, material: Path):
    with pytest.raises(SystemExit, match=r"4 speaker\(s\) with 3 s of speech each need 46 s or more.*30 s"):
        make(tmp_path, material, "--speakers", "4", "--minutes", "0.5", "0.5")


def test_material_heard_too_often_is_refused_before_anything_is_written(tmp_path: Path, material: Path):
    options = [str(tmp_path / "out"), "--material", str(material), "--material-least", "3", "--minutes", "6", "6"]
    with pytest.raises(SystemExit, match=r"heard [\d.]+ times over, and 2.5 times are allowed: make them shorter"):
        simulate.main([*options, "--speakers", "2", "--count", "1"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit, match=r"and 0.1 times are allowed"):
        simulate.main([*options, "--speakers", "4", "--count", "1", "--reuse", "0.1"])


@pytest.mark.parametrize(
    "options",
    [
        *("--count 0", "--speakers 0", "--speakers 4-2", "--speakers two", "--minutes 0 1"),
        *("--overlap 0.1 0.6", "--overlap 0.3 0.1", "--rooms cathedral"),
    ],
)
def test_what_cannot_be_made_is_refused(options: str, tmp_path: Path, material: Path):
    with pytest.raises(SystemExit) as refused:
        make(tmp_path / "out", material, *options.split())
    assert refused.value.code == 2
    assert not (tmp_path / "out").exists()
