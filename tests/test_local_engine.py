"""The parts of the local engine, each by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile

from diarnb.audio import open_recording
from diarnb.engines.local import networks
from diarnb.engines.local.clustering import cluster
from diarnb.engines.local.decoding import _best_path, _posterior, decide, decode
from diarnb.engines.local.embedding import SIZE, Embedder
from diarnb.engines.local.evidence import Heard
from diarnb.engines.local.pieces import _CHANGE, LONGEST, cut, listening_spans, runs_of, speech_regions
from diarnb.engines.local.segmentation import RATE, STEP, Segmenter, frames_in, seconds
from diarnb.examples import example

CPU = ("CPUExecutionProvider",)
ALIKE = 0.55  # expected cosine of two of the voices that `made_voices` makes around one centre


@pytest.fixture(scope="module")
def segmentation():
    return networks.load("segmentation", providers=CPU, threads=2)


@pytest.fixture(scope="module")
def embedding():
    return networks.load("embedding", providers=CPU, threads=2)


@pytest.fixture(scope="module")
def talk():
    with open_recording(example("interview")) as recording:
        return np.concatenate(list(recording.blocks(end=25.0)))


def in_blocks(samples, size):
    return (samples[i : i + size] for i in range(0, len(samples), size))


def segment(blocks, network):
    segmenter = Segmenter(network)
    scores = [segmenter.feed(block) for block in blocks]
    return np.concatenate([*scores, segmenter.rest()], axis=1), segmenter.samples


def embed(blocks, spans, alone, network):
    embedder = Embedder(network)
    parts = []
    for number, block in enumerate(blocks):
        embedder.feed(block)
        new = (spans, alone, len(alone)) if number == 0 else (spans[:0], alone[:0], len(alone))
        parts.append(embedder.embed(*new))
    parts.append(embedder.rest(spans[:0], alone[:0]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


# ---------------------------------------------------------------------------------------------- segmentation


def test_segmentation_does_not_depend_on_how_the_stream_is_cut(segmentation, talk):
    whole, length = segment([talk], segmentation)
    pieces, same_length = segment(in_blocks(talk, 7_919), segmentation)
    assert length == same_length == len(talk)
    assert np.array_equal(whole, pieces)


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
    assert scores.shape == (3, frames_in(samples))


def test_nothing_has_no_frames(segmentation):
    scores, length = segment([], segmentation)
    assert scores.shape == (3, 0)
    assert length == frames_in(0) == 0


def test_a_frame_begins_where_the_one_before_it_ends():
    times = seconds(np.arange(4))
    assert times[0] == 0
    assert np.allclose(np.diff(times[1:]), STEP / RATE)


# ------------------------------------------------------------------------------------------------------ pieces


def test_regions_bridge_short_gaps_and_drop_clicks():
    speech = np.zeros(300, np.float32)
    speech[20:60] = speech[65:120] = 0.9  # a gap of 5 frames
    speech[200:203] = 1.0  # a click
    speech[250:290] = 0.4  # never sure
    assert speech_regions(speech).tolist() == [[20, 120]]


def test_pieces_cover_their_regions_and_nothing_else():
    rng = np.random.default_rng(0)
    change = rng.random(5000).astype(np.float32) ** 3
    regions = np.array([[10, 15], [40, 900], [1000, 1059], [1100, 4999]])
    pieces, strength = cut(regions, change)
    covered = np.concatenate([np.arange(a, b) for a, b in pieces])
    assert np.array_equal(covered, np.concatenate([np.arange(a, b) for a, b in regions]))
    assert (pieces[:, 1] - pieces[:, 0]).max() <= LONGEST
    assert len(strength) == len(pieces)
    assert strength[np.isin(pieces[:, 0], regions[:, 0])].min() == 1


def test_a_change_of_voice_cuts_at_its_peak():
    change = np.zeros(100, np.float32)
    change[28:33] = [0.4, 0.6, 0.9, 0.6, 0.4]
    pieces, strength = cut(np.array([[0, 50]]), change)
    assert pieces.tolist() == [[0, 30], [30, 50]]
    assert strength.tolist() == [1.0, pytest.approx(0.9, abs=1e-3)]


def test_listening_spans_hold_their_piece_and_stay_within_the_voice():
    rng = np.random.default_rng(1)
    pieces, strength = cut(np.array([[0, 20], [30, 700], [720, 760]]), rng.random(800).astype(np.float32) ** 4)
    spans = listening_spans(pieces, strength)
    assert (spans[:, 0] <= pieces[:, 0]).all()
    assert (spans[:, 1] >= pieces[:, 1]).all()
    assert (spans[:, 1] - spans[:, 0]).max() <= LONGEST
    first, last = np.flatnonzero(strength >= _CHANGE), np.r_[np.flatnonzero(strength >= _CHANGE)[1:], len(pieces)]
    for begin, end in zip(first, last, strict=True):
        assert spans[begin:end].min() >= pieces[begin, 0]
        assert spans[begin:end].max() <= pieces[end - 1, 1]


def test_silence_has_no_pieces_and_no_spans():
    pieces, strength = cut(speech_regions(np.zeros(100, np.float32)), np.zeros(100, np.float32))
    assert pieces.shape == (0, 2)
    assert listening_spans(pieces, strength).shape == (0, 2)


def test_runs_of_a_mask():
    assert runs_of(np.array([1, 1, 0, 0, 1], bool)).tolist() == [[0, 2], [4, 5]]
    assert runs_of(np.zeros(0, bool)).tolist() == []


# --------------------------------------------------------------------------------------------------- embedding


def test_embeddings_do_not_depend_on_how_the_stream_is_cut(embedding, talk):
    spans = np.array([[i, i + LONGEST] for i in range(10, 1400, 45)], np.int32)
    alone = np.ones(frames_in(len(talk)), bool)
    voices, weights = embed([talk], spans, alone, embedding)
    same, _ = embed(in_blocks(talk, 5_003), spans, alone, embedding)
    assert np.array_equal(voices, same)
    assert voices.shape == (len(spans), SIZE)
    assert np.allclose(np.linalg.norm(voices.astype(float), axis=1), 1, atol=2e-3)
    assert np.allclose(weights, LONGEST * STEP / RATE, atol=0.03)


def test_one_voice_is_more_like_itself_than_like_another(embedding, talk):
    spans = np.array([[60, 119], [300, 359], [560, 619], [680, 739]], np.int32)  # two of each
    voices, _ = embed([talk], spans, np.ones(frames_in(len(talk)), bool), embedding)
    cosine = voices.astype(float) @ voices.astype(float).T
    assert min(cosine[0, 1], cosine[2, 3]) > 0.2 + cosine[:2, 2:].max()


def test_overlapped_frames_are_not_listened_to(embedding, talk):
    spans = np.array([[100, 159]], np.int32)
    alone = np.ones(frames_in(len(talk)), bool)
    alone[130:159] = False
    _, weights = embed([talk], spans, alone, embedding)
    assert weights[0] == pytest.approx(30 * STEP / RATE, abs=0.04)


@pytest.mark.parametrize("samples", [400, 1_000, 8_000, 80_000, 80_399])
def test_short_recordings_have_finite_embeddings(embedding, talk, samples):
    frames = frames_in(samples)
    voices, weights = embed([talk[:samples]], np.array([[0, frames]], np.int32)[:, :], np.ones(frames, bool), embedding)
    assert np.isfinite(voices.astype(float)).all()
    assert np.isfinite(weights).all()


# -------------------------------------------------------------------------------------------------- clustering


def made_voices(count, each=25, seed=0):
    """Unit vectors around `count` centres, about as alike as real ones of 1 s."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, SIZE)) * np.sqrt(0.35 / SIZE) + rng.standard_normal(SIZE) * np.sqrt(
        0.2 / SIZE
    )
    voices = np.repeat(centres, each, axis=0) + rng.standard_normal((count * each, SIZE)) * np.sqrt(0.45 / SIZE)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    return voices.astype(np.float32), np.ones(count * each, np.float32), np.repeat(np.arange(count), each)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 20])
def test_the_number_of_voices_is_found(count):
    voices, weights, truth = made_voices(count)
    labels = cluster(voices, weights, ALIKE, 1, None)
    assert labels.max() + 1 == count
    assert len(set(zip(labels, truth, strict=True))) == count  # the same partition


@pytest.mark.parametrize(("low", "high"), [(1, 2), (4, None), (5, 6), (2, 2), (7, 7), (1, 1)])
def test_bounds_are_met(low, high):
    voices, weights, _ = made_voices(3)
    found = cluster(voices, weights, ALIKE, low, high).max() + 1
    assert low <= found <= (high or 99)


@pytest.mark.parametrize("count", [4, 5, 8, 12])
def test_asking_for_more_cuts_voices_and_joins_none(count):
    voices, weights, truth = made_voices(3)
    voices[[0, 30]] = made_voices(2, 1, seed=9)[
        0
    ]  # two odd pieces, less like anybody than the voices are to each other
    found = cluster(voices, weights, ALIKE, 1, None)
    more = cluster(voices, weights, ALIKE, count, count)
    assert more.max() + 1 == count
    assert all(len(set(found[more == k])) == 1 for k in range(count))
    assert len(set(zip(more[31:], truth[31:], strict=True))) <= count  # nor does a label hold two voices


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_there_are_never_more_voices_than_pieces(pieces):
    voices, weights, _ = made_voices(1, pieces)
    labels = cluster(voices, weights, ALIKE, 9, 9)
    assert sorted(labels) == list(range(pieces))


def test_a_higher_threshold_never_gives_more_voices():
    voices, weights, _ = made_voices(6)
    counts = [cluster(voices, weights, ALIKE, 1, None, threshold).max() + 1 for threshold in np.linspace(0, 2, 21)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 6
    assert counts[-1] == 1


def test_much_of_one_voice_is_still_one_voice():
    voices, weights, _ = made_voices(1, 4000)
    assert cluster(voices, weights, ALIKE, 1, None).max() == 0


# ---------------------------------------------------------------------------------------------------- decoding


def brute_force(likelihood, switch):
    """Score every path there is."""
    pieces, speakers = likelihood.shape
    paths = np.array(list(itertools.product(range(speakers), repeat=pieces)))
    moves = (paths[:, 1:] != paths[:, :-1]) * switch[1:]
    return paths, likelihood[np.arange(pieces), paths].sum(1) - moves.sum(1)


def test_the_best_path_and_the_posterior_are_those_of_all_paths():
    rng = np.random.default_rng(3)
    likelihood, switch = rng.normal(0, 2, (6, 3)), rng.uniform(0.5, 3, 6)
    paths, scores = brute_force(likelihood, switch)
    assert np.array_equal(_best_path(likelihood, switch), paths[scores.argmax()])
    weight = np.exp(scores - scores.max())
    expected = [[weight[paths[:, i] == k].sum() / weight.sum() for k in range(3)] for i in range(6)]
    assert np.allclose(_posterior(likelihood, switch), expected)


def test_frames_add_up_to_the_expected_number_of_speakers():
    voices, weights, truth = made_voices(3, 8)
    pieces = np.stack([np.arange(24) * 40, np.arange(24) * 40 + 40], axis=1).astype(np.int32)
    speech, overlap = np.full(960, 0.9, np.float32), np.zeros(960, np.float32)
    overlap[380:460] = 0.8
    decision = decode(pieces, np.zeros(24, np.float32), voices, weights, truth, speech, overlap, keep_all=False)
    assert np.array_equal(decision.first, np.repeat(truth, 40))
    assert set(np.flatnonzero(decision.second >= 0)) == set(range(380, 460))
    assert not (decision.first == decision.second).any()
    assert np.allclose(decision.activation().sum(1), speech + overlap, atol=0.02)
    certainty = decision.certainty()
    assert ((certainty >= 0) & (certainty <= 1)).all()
    assert certainty[100] > 0.85
    spans = np.array([[0, 960], [30, 500], [380, 381], [955, 960]])
    means = [decision.activation()[start:end].mean(0) for start, end in spans]
    assert np.allclose(decision.mean_activation(spans), means, atol=1e-5)
    assert decision.mean_activation(spans[:0]).shape == (0, 3)


@pytest.mark.parametrize("frames", [0, 1, 500])
def test_where_nobody_speaks_every_score_is_nobodys(frames):
    none = np.zeros((2, frames), np.uint8), np.zeros((0, 2), np.int32), np.zeros(0, np.float16)
    decision = decide(Heard(*none, np.zeros((0, SIZE), np.float16), np.zeros(0, np.float32)), 1, None, None)
    assert decision.speakers == 0
    assert decision.activation().shape == (frames, 0)
    assert decision.mean_activation(np.zeros((0, 2), np.int64)).shape == (0, 0)
    assert (decision.certainty() == 1).all()
