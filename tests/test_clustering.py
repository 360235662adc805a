"""From embeddings to speakers: the local engine's clustering and decoding."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

import diarnb
from diarnb.engines.linkage import cluster_by_ward, merge_neighbours
from diarnb.engines.local import clustering, decoding
from diarnb.engines.local.calibration import BOTH, CALIBRATIONS, CAMPPLUS
from diarnb.engines.local.clustering import EmbeddedSegments, _merge, cluster, cluster_in_blocks, count_supported
from diarnb.engines.local.count_evidence import weigh_counts
from diarnb.engines.local.decoding import compute_cosines, decide, decode, keep_blocks
from diarnb.engines.local.embedding import SIZES
from diarnb.engines.local.evidence import ChannelEvidence
from diarnb.examples import example

SIZE = SIZES["embedding"]
SIMILARITY = 0.55  # expected cosine similarity of two that `make_embeddings` makes around one centre


@pytest.mark.parametrize(("points", "count"), [(1, 1), (2, 1), (2, 2), (7, 3), (90, 8), (300, 30), (40, 40), (5, 9)])
def test_ward_clusters_as_scipy_does(points, count):
    embeddings, _, _ = make_embeddings(5, -(-points // 5))
    embeddings = embeddings[:points]
    expected = fcluster(linkage(embeddings, "ward"), count, "maxclust") if points > 1 else [1]
    labels = cluster_by_ward(embeddings, count)
    assert len(set(zip(labels, expected, strict=True))) == len(set(labels)) == len(set(expected)) == labels.max() + 1


def test_average_linkage_merges_as_scipy_does():
    distance = np.random.default_rng(1).uniform(0, 1, (60, 60))
    distance = (distance + distance.T) * (1 - np.eye(60))
    expected = linkage(squareform(distance), "average")[:, 2]
    assert np.allclose(sorted(apart for apart, _, _ in merge_neighbours(distance, ward=False)), expected)


def make_embeddings(count, each=25, seed=0):
    """Unit vectors around `count` centres, about as similar as real ones of 1 s."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, SIZE)) * np.sqrt(0.35 / SIZE) + rng.standard_normal(SIZE) * np.sqrt(
        0.2 / SIZE
    )
    embeddings = np.repeat(centres, each, axis=0) + rng.standard_normal((count * each, SIZE)) * np.sqrt(0.45 / SIZE)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), np.ones(count * each, np.float32), np.repeat(np.arange(count), each)


def embed_as(embeddings, weights, calibration=CAMPPLUS):
    """Segments whose embeddings are about as similar within a speaker as real ones of 1 s, one after the other."""
    return EmbeddedSegments(embeddings, weights, np.full(len(weights), 2.0), SIMILARITY, calibration)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 20])
def test_the_number_of_speakers_is_found(count):
    embeddings, weights, truth = make_embeddings(count)
    labels = cluster(embed_as(embeddings, weights), 1, None)
    assert labels.max() + 1 == count
    assert len(set(zip(labels, truth, strict=True))) == count  # the same partition


@pytest.mark.parametrize(("low", "high"), [(1, 2), (4, None), (5, 6), (2, 2), (7, 7), (1, 1)])
def test_bounds_are_met(low, high):
    embeddings, weights, _ = make_embeddings(3)
    found = cluster(embed_as(embeddings, weights), low, high).max() + 1
    assert low <= found <= (high or 99)


@pytest.mark.parametrize("count", [4, 5, 8, 12])
def test_asking_for_more_splits_speakers_and_joins_none(count):
    embeddings, weights, truth = make_embeddings(3)
    embeddings[[0, 30]] = make_embeddings(2, 1, seed=9)[
        0
    ]  # two outliers, less similar to any speaker than those are to each other
    found = cluster(embed_as(embeddings, weights), 1, None)
    more = cluster(embed_as(embeddings, weights), count, count)
    assert more.max() + 1 == count
    assert all(len(set(found[more == k])) == 1 for k in range(count))
    assert len(set(zip(more[31:], truth[31:], strict=True))) <= count  # nor does a label hold two speakers


def test_one_odd_fit_of_five_does_not_decide(monkeypatch):
    fit, seen = clustering._fit_mixture, []

    def fit_oddly(segments, initial, *rest, **options):
        seen.append(len(segments))
        labels, bound = fit(segments, initial, *rest, **options)
        return (labels, bound) if len(seen) > 1 else (np.zeros_like(labels), np.inf)

    monkeypatch.setattr(clustering, "_fit_mixture", fit_oddly)
    embeddings, weights, truth = make_embeddings(3)
    labels = cluster(replace(embed_as(embeddings, weights), calibration=BOTH), 1, None)
    assert len(set(zip(labels, truth, strict=True))) == labels.max() + 1 == 3
    assert len(seen) == 5


@pytest.mark.parametrize("segments", [1, 2, 3])
def test_there_are_never_more_speakers_than_segments(segments):
    embeddings, weights, _ = make_embeddings(1, segments)
    labels = cluster(embed_as(embeddings, weights), 9, 9)
    assert sorted(labels) == list(range(segments))


def test_a_higher_threshold_never_gives_more_speakers():
    embeddings, weights, _ = make_embeddings(6)
    counts = [
        cluster(embed_as(embeddings, weights), 1, None, threshold).max() + 1 for threshold in np.linspace(0, 2, 21)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 6
    assert counts[-1] == 1


def test_much_of_one_speaker_is_still_one_speaker():
    embeddings, weights, _ = make_embeddings(1, 4000)
    assert cluster(embed_as(embeddings, weights), 1, None).max() == 0


@pytest.mark.parametrize(
    ("numbers", "each", "found"), [(CAMPPLUS, 25, 1), (CAMPPLUS, 400, 2), (BOTH, 5, 1), (BOTH, 100, 2)]
)
def test_a_small_separation_counts_where_there_is_much_speech(numbers, each, found):
    rng = np.random.default_rng(3)
    centroids = rng.standard_normal(SIZE) * np.sqrt(0.5 / SIZE) + rng.standard_normal((2, SIZE)) * np.sqrt(0.08 / SIZE)
    embeddings = np.repeat(centroids, each, axis=0) + rng.standard_normal((2 * each, SIZE)) * np.sqrt(0.45 / SIZE)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    initial = np.repeat([0, 1], each)
    segments = replace(embed_as(embeddings, np.ones(2 * each, np.float32)), calibration=numbers)
    labels = _merge(segments, initial, 1, 2 * each)
    assert labels.max() + 1 == found


@pytest.mark.parametrize(("second", "separation", "count"), [(0, 0.3, 1), (8, 0.3, 1), (40, 0.3, 2), (40, 0, 1)])
def test_the_count_of_a_short_recording_heeds_the_segmentation_network(second, separation, count):
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 1], [9, 3])
    centroids = rng.standard_normal(SIZE) * np.sqrt(0.5 / SIZE) + rng.standard_normal((2, SIZE)) * np.sqrt(
        separation / SIZE
    )
    embeddings = centroids[truth] + rng.standard_normal((12, SIZE)) * np.sqrt(0.45 / SIZE)
    segments = np.stack([np.arange(12) * 50, np.arange(12) * 50 + 50], axis=1).astype(np.int32)
    frames = np.stack([np.full(600, 250), np.zeros(600)]).astype(np.uint8)
    change = np.where(np.diff(truth, prepend=1), 1, 0).astype(np.float16)
    parts = frames, segments, np.array([second], np.uint8), segments, change
    evidence = ChannelEvidence(*parts, embeddings.astype(np.float16), np.ones(12, np.float32))
    assert decide(evidence, 1, None, None).speakers == count
    assert decide(evidence, 1, 1, None).speakers == 1
    assert decide(evidence, 2, 2, None).speakers == 2


def make_long_talk(residents, guests, minutes=60, seed=0):
    """Make an hour in which some talk all the time, and each guest says 30 s within five minutes."""
    rng = np.random.default_rng(seed)
    embeddings, weights, who = make_embeddings(residents + guests, 60 * minutes, seed)
    place = np.arange(60 * minutes) % residents
    for guest in range(guests):
        begin = 60 * (5 * guest + 3)
        place[begin + rng.permutation(300)[:30]] = residents + guest
    taken = place * 60 * minutes + np.arange(60 * minutes)
    return embeddings[taken], weights[taken], who[taken]


@pytest.mark.parametrize("residents", [2, 4])
def test_who_speaks_half_a_minute_in_an_hour_is_found(residents):
    embeddings, weights, who = make_long_talk(residents, 8)
    labels = cluster_in_blocks(embed_as(embeddings, weights), 1, None)
    assert labels.max() + 1 == residents + 8
    assert all((labels[who == k] == np.bincount(labels[who == k]).argmax()).mean() > 0.9 for k in range(residents + 8))
    assert cluster(embed_as(embeddings, weights), 1, None).max() + 1 < residents + 8  # all at once they are lost
    assert count_supported(embed_as(embeddings, weights), labels) == residents + 8
    for low, high in ((residents + 8, residents + 8), (2, 5), (1, 1), (residents + 11, None)):
        found = cluster_in_blocks(embed_as(embeddings, weights), low, high).max() + 1
        assert low <= found <= (high or 99)


def test_a_manner_of_speaking_that_is_found_in_one_block_makes_nobody():
    embeddings, weights, who = make_long_talk(2, 0, 90)
    rng = np.random.default_rng(5)
    manner = rng.standard_normal(SIZE) * np.sqrt(0.6 / SIZE)
    aloud = np.flatnonzero((who == 0) & ((np.arange(len(who)) < 40) | (rng.random(len(who)) < 0.03)))
    embeddings[aloud] += manner.astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    first = cluster(embed_as(embeddings[:400], weights[:400]), 1, None)
    assert first.max() + 1 == 3
    labels = cluster_in_blocks(embed_as(embeddings, weights), 1, None)
    assert labels.max() + 1 == 2
    assert (labels == labels[who == 1][0]).astype(int).tolist() == who.tolist()


def test_less_speech_than_makes_two_blocks_is_clustered_at_once():
    embeddings, weights, _ = make_long_talk(3, 1, 9)
    for low, high in ((1, None), (2, 2), (5, 5)):
        expected = cluster(embed_as(embeddings, weights), low, high)
        assert np.array_equal(cluster_in_blocks(embed_as(embeddings, weights), low, high), expected)


def test_a_block_is_clustered_once_however_much_follows(monkeypatch):
    embeddings, weights, _ = make_long_talk(2, 3, 45, seed=7)
    asked = []
    monkeypatch.setattr(
        clustering, "cluster", lambda *given, **also: asked.append(len(given[0])) or cluster(*given, **also)
    )
    for end in (1500, 1590, 2700, 2700):
        cluster_in_blocks(embed_as(embeddings[:end], weights[:end]), 1, None)
    assert asked == [400, 400, 400, 300, 390, 400, 400, 400, 300]


def make_long_evidence():
    embeddings, weights, _ = make_long_talk(3, 4, 30)
    segments = np.stack([np.arange(1800) * 60, np.arange(1800) * 60 + 59], axis=1).astype(np.int32)
    frames = np.repeat([[250], [0]], 1800 * 60, axis=1).astype(np.uint8)
    parts = frames, segments, np.array([40], np.uint8), segments, np.ones(1800, np.float16)
    return ChannelEvidence(*parts, embeddings.astype(np.float16), weights)


def test_deciding_again_merges_the_blocks_that_were_kept(monkeypatch):
    evidence = make_long_evidence()
    expected = [decide(evidence, *bounds, None) for bounds in ((1, None), (3, 3), (9, 9))]
    kept = ChannelEvidence.unpack(keep_blocks(evidence).pack(0))[0]
    monkeypatch.setattr(clustering, "_cluster_block", lambda *_: pytest.fail("a block was clustered again"))
    for bounds, decision in zip(((1, None), (3, 3), (9, 9)), expected, strict=True):
        again = decide(kept, *bounds, None)
        assert np.array_equal(again.first, decision.first)
        assert np.array_equal(again.posterior, decision.posterior)
    changed = replace(kept, embeddings=kept.embeddings[::-1])  # what was kept is not of these
    with pytest.raises(pytest.fail.Exception, match="again"):
        decide(changed, 1, None, None)


@pytest.mark.parametrize("short", [0, 300])
def test_deciding_again_makes_unit_vectors_of_one_set_of_segments_at_a_time(short):
    one = make_long_evidence()
    embeddings = np.tile(one.embeddings, (1, 3))[:, :448]
    weights = np.where(np.arange(1800) % 6 < short // 300, 0.2, one.weights).astype(np.float32)
    kept = keep_blocks(replace(one, embeddings=embeddings, weights=weights))
    expected = decide(kept, 3, 3, None)
    tracemalloc.start()
    again = decide(kept, 3, 3, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.4 * 4 * embeddings.size + 25 * one.frames.shape[1]  # one copy in float32, and what is of frames
    assert np.array_equal(again.first, expected.first)


def test_embeddings_that_are_not_reliable_are_put_back_in_their_places():
    one = make_long_evidence()
    weights = np.where(np.arange(1800) % 7 == 3, 0.2, one.weights).astype(np.float32)
    evidence = replace(one, weights=weights)
    reliable, taken = decoding.embed_reliable(evidence, 1)
    assert len(taken) == np.count_nonzero(weights == 1) < 1800
    expected = evidence.embeddings.astype(np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.array_equal(reliable.embeddings, expected[taken])
    found = decoding.embed_all(evidence, reliable, taken)
    assert np.array_equal(found.embeddings, expected)
    assert np.array_equal(found.weights, weights)


def test_counts_are_weighed_without_who_speaks_in_no_region():
    one = make_long_evidence()
    path = decide(one, 1, None, None).path
    heard = replace(one, regions=one.segments[path != path.max()])
    assert decide(heard, 1, None, None).speakers == path.max()
    assert [row.k for row in weigh_counts(heard, 1, None, None) if row.chosen] == [path.max()]


def test_each_embedding_space_is_decided_by_numbers_of_its_own(monkeypatch):
    one = make_long_evidence()
    both = replace(one, embeddings=np.hstack([one.embeddings, one.embeddings, one.embeddings[:, :64]]))
    monkeypatch.setitem(CALIBRATIONS, 448, replace(CALIBRATIONS[448], least_limit=9.0, most_limit=9.0))
    assert decide(one, 1, None, None).speakers == 7
    assert decide(both, 1, None, None).speakers == 1


@pytest.mark.slow
def test_blocks_are_kept_in_the_store(monkeypatch):
    monkeypatch.setattr(clustering, "_BLOCK_SECONDS", 15.0)
    turns = diarnb.diarize(example("meeting"), refresh=True, progress=False)
    monkeypatch.setattr(clustering, "_cluster_block", lambda *_: pytest.fail("a block was clustered again"))
    assert diarnb.recluster(turns, num_speakers=2)["speaker"].nunique() == 2


def hold_talk(seed, apart, unclear=0.0, people=8, turns=60):
    """Segments of a talk in which half of the people say little, two to four segments at a time; some are unclear."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, 448)) * np.sqrt(apart / 448) + rng.standard_normal(448) * np.sqrt(0.4 / 448)
    turn = np.repeat(np.arange(turns), rng.integers(2, 5, turns))
    who = rng.choice(people, turns, p=[0.3, 0.2, 0.15, 0.1, *[0.25 / (people - 4)] * (people - 4)])[turn]
    noise = np.where(rng.random(len(who)) < unclear, 6.0, 0.5)[:, None]
    embeddings = centres[who] + rng.standard_normal((len(who), 448)) * np.sqrt(noise / 448)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    switch = np.where(np.diff(turn, prepend=-1), 0.5, 2.0)
    embedded = EmbeddedSegments(embeddings.astype(np.float32), np.ones(len(who), np.float32), switch, 0.5, BOTH)
    return embedded, len(set(who))


def count_found(talk, **numbers):
    return cluster(replace(talk, calibration=replace(talk.calibration, **numbers)), 1, None).max() + 1


def test_unclear_segments_of_many_people_are_no_speakers_since_time_tells_whose_they_are():
    talks = [hold_talk(seed, 0.25, unclear=0.25) for seed in range(4)]
    wrong = sum(abs(count_found(talk) - people) for talk, people in talks)
    assert wrong < sum(abs(count_found(talk, many_switch=0.0) - people) for talk, people in talks) / 3


@pytest.mark.parametrize(
    ("minutes", "low", "high", "again"), [(2, 1, None, True), (40, 1, None, False), (2, 3, 3, False), (2, 6, 6, True)]
)
def test_many_who_say_little_are_fitted_again_as_a_chain(minutes, low, high, again, monkeypatch):
    fit, chained = clustering._fit_mixture, []

    def watch(*arguments, **options):
        chained.append(options.get("switch") is not None)
        return fit(*arguments, **options)

    monkeypatch.setattr(clustering, "_fit_mixture", watch)
    talk, _ = hold_talk(1, 0.25)
    long = replace(talk, weights=talk.weights * np.float32(60 * minutes / talk.weights.sum()))
    cluster(long, low, high)
    assert any(chained) == again


@pytest.mark.parametrize(("seed", "apart"), [(8, 0.13), (15, 0.13)])
def test_time_joins_nobody_who_was_found_without_it(seed, apart):
    talk, _ = hold_talk(seed, apart)
    assert count_found(talk) >= count_found(talk, many_speakers=99) >= 5


@pytest.mark.parametrize("which", [slice(0, 3), slice(2, 5), np.array([0, 2]), np.array([1, 2, 5]), np.array([4])])
def test_a_change_costs_the_least_of_what_was_left_out(which):
    talk, _ = hold_talk(1, 0.25)
    some = talk.take(which)
    places = np.arange(len(talk))[which]
    expected = [talk.switch[before + 1 : here + 1].min() for before, here in itertools.pairwise(places)]
    assert len(some.switch) == len(some) == len(places)
    assert some.switch[1:].tolist() == expected


# ---------------------------------------------------------------------------------------------------- decoding


def test_frames_add_up_to_the_expected_number_of_speakers():
    embeddings, weights, truth = make_embeddings(3, 8)
    segments = np.stack([np.arange(24) * 40, np.arange(24) * 40 + 40], axis=1).astype(np.int32)
    frames = np.repeat([[230], [0]], 960, axis=1).astype(np.uint8)
    frames[1, 380:460] = 204
    speech, overlap = frames / 255
    parts = frames, segments, np.zeros(1, np.uint8), segments, np.zeros(24, np.float16), embeddings, weights
    cosine = compute_cosines(embed_as(embeddings, weights), truth)
    decision = decode(ChannelEvidence(*parts), cosine, truth, CAMPPLUS, keep_all=False)
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


@pytest.mark.parametrize("frames", [1, 5, 6])
@pytest.mark.parametrize("calibration", [BOTH, CAMPPLUS])
def test_an_edge_of_a_region_is_no_turn_of_its_own(frames, calibration):
    embeddings, weights, truth = make_embeddings(3, 8)
    segments = np.stack([np.arange(24) * 40, np.arange(24) * 40 + 40], axis=1).astype(np.int32)
    regions = np.array([[320 - frames, 640 + frames]], np.int32)  # around all that the second of three says
    scores = np.full((2, 960), [[230], [0]], np.uint8)
    parts = scores, regions, np.zeros(1, np.uint8), segments, np.zeros(24, np.float16), embeddings, weights
    cosine = compute_cosines(embed_as(embeddings, weights, calibration), truth)
    decision = decode(ChannelEvidence(*parts), cosine, truth, calibration, keep_all=False)
    expected = [0, 1, 2] if frames >= 6 else [1]
    assert [k for k in range(3) if decision.active(k).any()] == expected
    assert np.array_equal(np.flatnonzero(decision.first >= 0), np.arange(*regions[0]))


@pytest.mark.parametrize("calibration", [BOTH, CAMPPLUS])
def test_whoever_is_found_to_interject_is_likelier_than_not(calibration):
    segments = np.stack([np.arange(9) * 40, np.arange(9) * 40 + 40], axis=1).astype(np.int32)
    cosine = np.tile(np.float32([0.62, 0.5]), (9, 1))
    cosine[4] = cosine[4, ::-1]  # hardly better than no change of speaker: 6 for a penalty of 2 there and 2 back
    scores, change, weights = np.full((2, 360), [[255], [0]], np.uint8), np.zeros(9, np.float16), np.ones(9, np.float32)
    embeddings = np.zeros((9, SIZE), np.float16)  # not asked for
    parts = scores, np.array([[0, 360]], np.int32), np.zeros(1, np.uint8), segments, change, embeddings, weights
    decision = decode(ChannelEvidence(*parts), cosine, np.arange(9) % 2, calibration, keep_all=False)
    assert decision.path.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert 0.5 < decision.posterior[4, 1] < 0.7
    assert (decision.posterior[[0, 1, 7, 8], 0] > 0.8).all()


@pytest.mark.parametrize("frames", [0, 1, 500])
def test_where_nobody_speaks_every_score_is_nobodys(frames):
    regions, second, segments = np.zeros((0, 2), np.int32), np.zeros(1, np.uint8), np.zeros((0, 2), np.int32)
    none = np.zeros((2, frames), np.uint8), regions, second, segments, np.zeros(0, np.float16)
    decision = decide(ChannelEvidence(*none, np.zeros((0, SIZE), np.float16), np.zeros(0, np.float32)), 1, None, None)
    assert decision.speakers == 0
    assert decision.activation().shape == (frames, 0)
    assert decision.mean_activation(np.zeros((0, 2), np.int64)).shape == (0, 0)
    assert (decision.certainty() == 1).all()
