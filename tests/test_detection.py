"""Edges of speech: what energy adds to the network's scores, and how scores become regions."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from diarnb.audio import open_recording
from diarnb.engines.local import LocalEngine
from diarnb.engines.local.decoding import decide
from diarnb.engines.local.detection import _SWITCH, SpeechDetector, _decode, find_regions
from diarnb.engines.local.embedding import Embedder, compute_energy, find_feature_frame, make_filter_bank
from diarnb.engines.local.evidence import ChannelEvidence
from diarnb.engines.local.segmentation import RATE, seconds
from diarnb.examples import example
from diarnb.params import Params

DATA = Path(os.environ.get("DIARNB_DATA", ""), "dev")


def make_recording(frames=4000, seed=0):
    """Make scores and energies with pauses, as a network and a room have them."""
    rng = np.random.default_rng(seed)
    talking = np.repeat(rng.random(-(-frames // 40)) < 0.7, 40)[:frames]
    speech = np.clip(np.where(talking, 0.9, 0.1) + rng.normal(0, 0.1, frames), 0, 1)
    energy = np.where(talking, 60, 25) + rng.normal(0, 5, frames)
    return talking, speech.astype(np.float32), energy.astype(np.float32)


def test_the_path_through_speech_and_silence_is_the_best_of_all():
    rng = np.random.default_rng(1)
    paths = np.array(list(itertools.product([False, True], repeat=10)))
    for _ in range(20):
        odds = rng.normal(0, 5, 10)
        changes = (paths[:, 1:] != paths[:, :-1]).sum(1)
        scores = (paths * odds).sum(1) - _SWITCH * changes
        assert np.array_equal(_decode(odds), paths[scores.argmax()])


@pytest.mark.parametrize("size", [1, 17, 400, 4000])
def test_scores_do_not_depend_on_how_the_stream_is_cut(size):
    _, speech, energy = make_recording()
    whole = SpeechDetector().tail(speech, energy)
    detector = SpeechDetector()
    cut = 3600 if size > 1 else 2500
    parts = [detector.feed(speech[i : min(i + size, cut)], energy[i : min(i + size, cut)]) for i in range(0, cut, size)]
    assert np.array_equal(np.concatenate([*parts, detector.tail(speech[cut:], energy[cut:])]), whole)
    assert len(detector._speech) < 2500  # what is settled is forgotten


def test_a_pause_that_the_network_misses_is_found_by_its_energy():
    talking, speech, energy = make_recording()
    pause = slice(1210, 1235)
    talking[1150:1300], speech[1150:1300], energy[1150:1300] = True, 0.9, 60
    energy[pause], speech[pause] = 25, 0.6
    regions = find_regions(SpeechDetector().tail(speech, energy))
    inside = [(start, end) for start, end in regions if start < pause.stop and end > pause.start]
    assert all(end <= pause.start + 3 or start >= pause.stop - 3 for start, end in inside)
    found = np.zeros(len(talking), bool)
    for start, end in regions:
        found[start:end] = True
    assert (found[:1100] == talking[:1100]).mean() > 0.97


def test_energy_is_that_of_the_signal_without_hum():
    time = np.arange(2 * RATE) / RATE
    levels = []
    for tone in (50, 300, 1000, 3000):
        bank = make_filter_bank()
        bank.accept_waveform(RATE, 0.1 * np.sin(2 * np.pi * tone * time).astype(np.float32))
        frames = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
        levels.append(float(np.median(compute_energy(frames))))
    assert levels[0] < min(levels[1:]) - 5
    assert find_feature_frame(0) * 160 + 200 == pytest.approx(495, abs=160)


def test_silence_and_nothing_have_no_regions():
    assert find_regions(SpeechDetector().tail(np.zeros(500, np.float32), np.zeros(500, np.float32))).shape == (0, 2)
    assert find_regions(np.zeros(0, np.uint8)).shape == (0, 2)


def test_evidence_of_the_first_version_is_decided_by_its_own_edges_and_says_so():
    with open_recording(example("interview")) as recording:
        answer = LocalEngine().diarize(recording, Params(), {}, lambda *_: None)
    old = {name: array for name, array in answer.evidence.items() if not name.endswith(("regions", "second"))}
    raw = LocalEngine().decide(old, Params(), {})
    assert "An earlier diarnb" in raw["warning"]
    assert answer.raw["warning"] is None
    segments = seconds(answer.evidence["0/pieces"]).round(6)
    assert {turn["start"] for turn in raw["exclusiveDiarization"]} <= set(segments[:, 0])
    assert {turn["speaker"] for turn in raw["diarization"]} == {turn["speaker"] for turn in answer.raw["diarization"]}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_everybody_asked_for_speaks_even_where_edges_leave_nothing_of_them(count):
    with open_recording(example("interview")) as recording:
        (evidence,) = ChannelEvidence.unpack(LocalEngine().diarize(recording, Params(), {}, lambda *_: None).evidence)
    least = ChannelEvidence(**{**vars(evidence), "regions": evidence.regions[:1]})
    decision = decide(least, count, count, None)
    assert decision.speakers == count
    assert all(decision.active(speaker).any() for speaker in range(count))


@pytest.mark.slow
def test_answers_do_not_depend_on_threads_and_none_is_left():
    before = threading.active_count()
    with open_recording(example("interview")) as recording:
        one, two, many = (
            LocalEngine().diarize(recording, Params(), {"threads": count}, lambda *_: None).raw for count in (1, 2, 5)
        )
    assert one == two == many
    assert threading.active_count() == before


def test_what_fails_beside_is_told_and_ends_the_listening(monkeypatch):
    def fail(*_):
        raise MemoryError("no room for an embedding")

    monkeypatch.setattr(Embedder, "embed", fail)
    before = threading.active_count()
    with open_recording(example("interview")) as recording, pytest.raises(MemoryError, match="no room"):
        LocalEngine().diarize(recording, Params(), {}, lambda *_: None)
    assert threading.active_count() == before


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="set DIARNB_DATA to a folder with dev/ to measure on real recordings")
def test_rounding_errors_of_embeddings_do_not_decide():
    from benchmarks.accuracy import CONVENTIONS, pool, read_folder, score
    from diarnb.engines.local import _list_turns

    recordings, evidences = read_folder(DATA), []
    for each in recordings:
        with open_recording(each.audio) as audio:
            answer = LocalEngine().diarize(audio, Params(), {}, lambda *_: None)
        evidences.append((ChannelEvidence.unpack(answer.evidence)[0], answer.raw["duration"]))
    rng = np.random.default_rng(0)

    def error(std):
        scores = []
        for recording, (evidence, duration) in zip(recordings, evidences, strict=True):
            noise = std * rng.standard_normal(evidence.embeddings.shape)
            noisy = ChannelEvidence(
                **{**vars(evidence), "embeddings": (evidence.embeddings + noise).astype(np.float16)}
            )
            decision = decide(noisy, 1, None, None)
            turns, _ = _list_turns(decision, [str(k) for k in range(decision.speakers)], duration)
            scores.append(score(recording, [(turn["start"], turn["end"], turn["speaker"]) for turn in turns]))
        return pool(scores).errors[next(iter(CONVENTIONS))].der

    exact = error(0)
    assert max(abs(error(std) - exact) for std in (0.002, 0.01) for _ in range(16)) <= 1  # once 10.8
