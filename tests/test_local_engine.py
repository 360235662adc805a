"""The parts of the local engine, each by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from diarnb.audio import open_recording
from diarnb.engines.local import networks
from diarnb.engines.local.embedding import SIZES, Embedder
from diarnb.engines.local.evidence import extract
from diarnb.engines.local.segmentation import RATE, STEP, Segmenter, count_frames, seconds
from diarnb.engines.local.segments import _CHANGE, LONGEST, cut, find_embedding_spans, find_runs, find_speech_regions
from diarnb.examples import example

CPU = ("CPUExecutionProvider",)


@pytest.fixture(scope="module")
def segmentation():
    return networks.load("segmentation", providers=CPU, threads=2)


@pytest.fixture(scope="module")
def embedding():
    return {name: networks.load(name, providers=CPU, threads=2) for name in SIZES}


@pytest.fixture(scope="module")
def talk():
    with open_recording(example("interview")) as recording:
        return np.concatenate(list(recording.blocks(end=25.0)))


def in_blocks(samples, size):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def segment(blocks, network):
    segmenter = Segmenter(network)
    scores = [segmenter.feed(block) for block in blocks]
    return np.concatenate([*scores, segmenter.tail()], axis=1), segmenter.samples


def embed(blocks, spans, alone, loaded, helpers=None):
    embedder = Embedder(loaded, helpers=helpers)
    parts = []
    for number, block in enumerate(blocks):
        embedder.feed(block)
        new = (spans, alone, len(alone)) if number == 0 else (spans[:0], alone[:0], len(alone))
        parts.append(embedder.embed(*new))
    parts.append(embedder.tail(spans[:0], alone[:0]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


# -------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("end", [9, 22, 25])
def test_the_end_of_a_recording_is_no_batch_of_another_size(segmentation, talk, end):
    sizes = []

    class Watched:
        def run(self, wanted, asked):
            sizes.append(len(asked["samples"]))
            return segmentation.run(wanted, asked)

    segment([talk[: end * RATE]], Watched())
    assert set(sizes) <= {1, 4}  # the runtime keeps the memory that it once needed for each size


FORKED = """
import os
from diarnb.engines.local import networks
for threads in (1, 2, 3):
    networks.load("segmentation", providers=("CPUExecutionProvider",), threads=threads)
    networks.load("embedding", providers=("CPUExecutionProvider",), threads=threads)
child = os.fork()
if not child:
    networks.load("embedding", providers=("CPUExecutionProvider",), threads=1)
    networks.load("segmentation", providers=("CPUExecutionProvider",), threads=1)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_of_a_process_with_many_sessions_loads_its_own():
    subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_networks_run_at_a_time_than_threads_were_asked_for(threads, monkeypatch):
    running, most, given, load = [], [], [], networks.load

    class Watched:
        def __init__(self, network):
            self.network = network

        def run(self, *asked):
            running.append(1)
            most.append(len(running))
            answer = self.network.run(*asked)
            running.pop()
            return answer

    def load_watched(name, *, providers, threads):
        given.append(threads)
        return Watched(load(name, providers=providers, threads=threads))

    monkeypatch.setattr(networks, "load", load_watched)
    with open_recording(example("meeting")) as recording:
        extract(recording, "mix", lambda *_: None, threads=threads)
    assert given == [1, 1, 1]
    assert 1 <= max(most) <= threads
    assert threads == 1 or max(most) > 1


# ---------------------------------------------------------------------------------------------- segmentation


def test_segmentation_does_not_depend_on_how_the_stream_is_cut(segmentation, talk):
    whole, length = segment([talk], segmentation)
    parts, same_length = segment(in_blocks(talk, 7_919), segmentation)
    assert length == same_length == len(talk)
    assert np.array_equal(whole, parts)


def test_segmentation_hears_speech_where_there_is_speech(segmentation, talk):
    truth, _ = soundfile.read(example("interview"), stop=25 * RATE)
    scores, _ = segment([talk], segmentation)
    frame = np.arange(scores.shape[1])
    loud = np.array([np.sqrt(np.mean(truth[f * STEP : f * STEP + 800] ** 2)) for f in frame]) > 0.02
    assert scores[0][loud].mean() / 255 > 0.9


@pytest.mark.parametrize("samples", [1, 270, 991, 16_000, 159_999, 160_000, 160_001, 160_000 + 118 * 270])
def test_every_length_has_its_number_of_frames(segmentation, talk, samples):
    scores, length = segment([talk[:samples]], segmentation)
    assert length == samples
    assert scores.shape == (4, count_frames(samples))


def test_nothing_has_no_frames(segmentation):
    scores, length = segment([], segmentation)
    assert scores.shape == (4, 0)
    assert length == count_frames(0) == 0


def test_a_frame_begins_where_the_one_before_it_ends():
    times = seconds(np.arange(4))
    assert times[0] == 0
    assert np.allclose(np.diff(times[1:]), STEP / RATE)


# ------------------------------------------------------------------------------------------------------ segments


def test_regions_bridge_short_gaps_and_drop_clicks():
    speech = np.zeros(300, np.float32)
    speech[20:60] = speech[65:120] = 0.9  # a gap of 5 frames
    speech[200:203] = 1.0  # a click
    speech[250:290] = 0.4  # never sure
    assert find_speech_regions(speech).tolist() == [[20, 120]]


def test_segments_cover_their_regions_and_nothing_else():
    rng = np.random.default_rng(0)
    change = rng.random(5000).astype(np.float32) ** 3
    regions = np.array([[10, 15], [40, 900], [1000, 1059], [1100, 4999]])
    segments, strength = cut(regions, change)
    covered = np.concatenate([np.arange(a, b) for a, b in segments])
    assert np.array_equal(covered, np.concatenate([np.arange(a, b) for a, b in regions]))
    assert (segments[:, 1] - segments[:, 0]).max() <= LONGEST
    assert len(strength) == len(segments)
    assert strength[np.isin(segments[:, 0], regions[:, 0])].min() == 1


def test_a_change_of_speaker_cuts_at_its_peak():
    change = np.zeros(100, np.float32)
    change[28:33] = [0.4, 0.6, 0.9, 0.6, 0.4]
    segments, strength = cut(np.array([[0, 50]]), change)
    assert segments.tolist() == [[0, 30], [30, 50]]
    assert strength.tolist() == [1.0, pytest.approx(0.9, abs=1e-3)]


def test_embedding_spans_hold_their_segment_and_stay_within_the_region():
    rng = np.random.default_rng(1)
    segments, strength = cut(np.array([[0, 20], [30, 700], [720, 760]]), rng.random(800).astype(np.float32) ** 4)
    spans = find_embedding_spans(segments, strength)
    assert (spans[:, 0] <= segments[:, 0]).all()
    assert (spans[:, 1] >= segments[:, 1]).all()
    assert (spans[:, 1] - spans[:, 0]).max() <= LONGEST
    first, last = np.flatnonzero(strength >= _CHANGE), np.r_[np.flatnonzero(strength >= _CHANGE)[1:], len(segments)]
    for begin, end in zip(first, last, strict=True):
        assert spans[begin:end].min() >= segments[begin, 0]
        assert spans[begin:end].max() <= segments[end - 1, 1]


def test_silence_has_no_segments_and_no_spans():
    segments, strength = cut(find_speech_regions(np.zeros(100, np.float32)), np.zeros(100, np.float32))
    assert segments.shape == (0, 2)
    assert find_embedding_spans(segments, strength).shape == (0, 2)


def test_runs_of_a_mask():
    assert find_runs(np.array([1, 1, 0, 0, 1], bool)).tolist() == [[0, 2], [4, 5]]
    assert find_runs(np.zeros(0, bool)).tolist() == []


# --------------------------------------------------------------------------------------------------- embedding


def test_embeddings_do_not_depend_on_how_the_stream_is_cut(embedding, talk):
    spans = np.array([[i, i + LONGEST] for i in range(10, 1400, 45)], np.int32)
    alone = np.ones(count_frames(len(talk)), bool)
    embeddings, weights = embed([talk], spans, alone, embedding)
    same, _ = embed(in_blocks(talk, 5_003), spans, alone, embedding)
    assert np.array_equal(embeddings, same)
    assert embeddings.shape == (len(spans), sum(SIZES.values()))
    for one in np.split(embeddings.astype(float), [SIZES["embedding"]], axis=1):
        assert np.allclose(np.linalg.norm(one, axis=1), 1, atol=2e-3)
    assert np.allclose(weights, LONGEST * STEP / RATE, atol=0.03)


def test_networks_at_the_same_time_embed_as_one_after_the_other_and_as_each_alone(embedding, talk):
    spans, alone = np.array([[i, i + LONGEST] for i in range(10, 1400, 200)], np.int32), np.ones(1400, bool)
    both, weights = embed([talk], spans, alone, embedding)
    with ThreadPoolExecutor(2) as helpers:
        assert np.array_equal(embed([talk], spans, alone, embedding, helpers)[0], both)
    parts = [embed([talk], spans, alone, {name: embedding[name]}) for name in SIZES]
    assert np.array_equal(np.hstack([part for part, _ in parts]), both)
    assert all(np.array_equal(each, weights) for _, each in parts)


def test_embeddings_of_one_speaker_are_more_similar(embedding, talk):
    spans = np.array([[60, 119], [300, 359], [560, 619], [680, 739]], np.int32)  # two of each
    embeddings, _ = embed([talk], spans, np.ones(count_frames(len(talk)), bool), embedding)
    cosine = embeddings.astype(float) @ embeddings.astype(float).T / 2
    assert min(cosine[0, 1], cosine[2, 3]) > 0.2 + cosine[:2, 2:].max()


def test_overlapped_frames_are_not_pooled(embedding, talk):
    spans = np.array([[100, 159]], np.int32)
    alone = np.ones(count_frames(len(talk)), bool)
    alone[130:159] = False
    _, weights = embed([talk], spans, alone, embedding)
    assert weights[0] == pytest.approx(30 * STEP / RATE, abs=0.04)


@pytest.mark.parametrize("samples", [400, 1_000, 8_000, 80_000, 80_399])
def test_short_recordings_have_finite_embeddings(embedding, talk, samples):
    frames = count_frames(samples)
    embeddings, weights = embed(
        [talk[:samples]], np.array([[0, frames]], np.int32)[:, :], np.ones(frames, bool), embedding
    )
    assert np.isfinite(embeddings.astype(float)).all()
    assert np.isfinite(weights).all()
