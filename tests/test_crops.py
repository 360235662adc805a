"""Short clips are drawn with their true count, and counts are summed up rightly."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from benchmarks.accuracy import Recording
from benchmarks.crops import LONGEST, SHORTEST, Clip, count_given_truth, count_speakers, crop, glue, summarise
from benchmarks.detection import count_wrong, fit
from diarnb.engines.local.detection import compute_features
from diarnb.engines.local.evidence import ChannelEvidence
from diarnb.engines.local.segmentation import seconds

RATE = 16_000


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "talk.wav"
    sf.write(path, np.random.default_rng(0).normal(0, 0.1, 60 * RATE), RATE)
    return Recording("talk", path, 60.0, [(0.0, 30.0, "A"), (25.0, 60.0, "B")], [(5.0, 55.0)])


def test_crops_lie_within_the_scored_region_and_know_who_speaks(recording):
    clips = list(crop(recording, 20))
    assert clips[0].name == next(crop(recording, 20)).name
    assert {clip.speakers for clip in clips} == {1, 2}
    for clip in clips:
        start = float(clip.name.split()[1])
        assert SHORTEST - 0.1 <= clip.seconds <= LONGEST + 0.1
        assert start + 0.1 >= 5
        assert start + clip.seconds <= 55.1
        assert clip.speakers == count_speakers(recording.reference, start, start + clip.seconds)


def test_whoever_says_little_does_not_count():
    reference = [(0.0, 10.0, "A"), (9.2, 12.0, "B"), (20.0, 30.0, "C")]
    assert count_speakers(reference, 0, 10) == 1
    assert count_speakers(reference, 0, 11) == 2
    assert count_speakers(reference, 13, 19) == 0


def test_glued_utterances_are_all_of_one_person(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        sf.write(tmp_path / f"{number}.wav", rng.normal(0, 0.1, 6 * RATE), RATE)
    clip = glue(tmp_path)
    assert clip.speakers == 1
    assert 18 < clip.seconds < 24
    assert glue(tmp_path).samples.tolist() == clip.samples.tolist()
    (tmp_path / "2.wav").unlink()
    assert glue(tmp_path) is None


def test_counts_are_summed_up_by_length_and_by_truth():
    clips = [Clip("a", np.zeros(seconds * RATE), [], speakers) for seconds, speakers in ((6, 1), (15, 2), (30, 2))]
    rows = summarise([*zip(clips, ((1, 1), (1, 2), (4, 3)), strict=True)])
    assert rows[0] == ["all", "3", "33 %", "67 %", "+0.33", "67 %"]
    assert [row[0] for row in rows[1:]] == ["5-10 s", "10-20 s", "20-40 s", "1 speakers", "2 speakers"]


def test_given_the_truth_only_detection_and_segments_are_left():
    reference = [(0.0, 4.0, "A"), (4.0, 5.5, "B"), (5.5, 6.2, "C")]
    clip = Clip("a", np.zeros(7 * RATE), reference, 2)
    edges = np.searchsorted(seconds(np.arange(500)), [[0, 2], [2, 4], [4, 5], [5, 5.5], [5.5, 6.2]]).astype(np.int32)
    none = np.zeros(0, np.uint8)

    def count(spoken):
        parts = edges, np.zeros(5, np.float16), np.zeros((5, 448), np.float16), np.array(spoken, np.float32)
        return count_given_truth(clip, ChannelEvidence(np.zeros((2, 500), np.uint8), edges, none, *parts))

    assert count([2, 2, 1, 0.5, 0.7]) == 2
    assert count([2, 2, 0.9, 0, 0.7]) == 1  # too little of the second is heard alone
    assert count([2, 2, 1, 0.5, 1.2]) == 3  # segments reach further than the third person


def test_the_fit_finds_speech_that_energy_tells():
    rng = np.random.default_rng(1)
    speech = np.repeat(rng.random(60) < 0.6, 50)
    energy = (np.where(speech, 60, 30) + rng.normal(0, 4, 3000)).astype(np.float32)
    network = np.clip(np.where(speech, 0.7, 0.4) + rng.normal(0, 0.1, 3000), 0, 1).astype(np.float32)
    features = compute_features(network, energy)
    part = features, speech, network
    assert sum(count_wrong(part, fit(features, speech, np.ones(3000)))) < sum(count_wrong(part, None)) / 3
