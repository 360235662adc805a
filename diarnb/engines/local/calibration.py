"""What clustering and decoding assume of embeddings: numbers that differ from one embedding space to another.

All of them were chosen on the TUNE half of the recordings that `benchmarks.accuracy` is run on, and on conversations of
`benchmarks.simulate`; `temperature` by `benchmarks.calibration`, and the last three by `benchmarks.crops`. Those
for both networks were found by random search for exact counts and little confusion on the same recordings, their crops
and those conversations; noise on embeddings was part of it, so that no decision hangs on a last bit. `many_speakers`,
`many_seconds` and `many_switch` came later, for those of them with many speakers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Numbers that fit one embedding space.

    Separations of two speakers are in within-speaker cosine distances: `clustering.merge_stepwise` defines them.

    Attributes
    ----------
    prior_similarity : float
        Expected cosine similarity of two segments of one region.
    change_margin : float
        Added to the similarity within a region: some regions hide a change of speaker.
    within_ratio : float
        Within-speaker variance / variance within a region: speakers drift over a recording.
    between_ratio : float
        Between-speaker variance / within-speaker variance.
    starts : tuple of int
        Fits of the mixture, by how many more components than usual they begin with: of those that find the median
        number of speakers, the one with the greatest bound is taken.
    fa : float
        Scale of the evidence: neighbouring segments share sound, so they are not independent.
    fb : float
        Regularisation of a speaker, in the same unit.
    least_limit, most_limit : float
        Separation below which two speakers are merged, and from which they never are.
    median_share : float
        The same, as a share of the median separation of the recording's speakers,
    median_speakers : float
        in proportion less with more speakers than these: some of many are always similar.
    limit_seconds : float
        Speech of the smaller speaker; with more of it a smaller separation is significant:
    limit_power : float
        limits shrink with this power of it,
    least_shrinkage : float
        down to this factor.
    many_speakers : float
        Speakers from which the mixture is fitted once more: from fewer, that splits some of them,
    many_seconds : float
        if they say less than so much each on average,
    many_fb : float
        with this `fb`,
    many_switch : float
        and as a Markov chain in which a change of speaker costs this multiple of its cost in Viterbi decoding; 0 for
        segments that are independent of each other.
    short_seconds : float
        Speech of a recording that doubles `fb`; of less it is more, so that a few seconds are not split.
    doubt : float
        Added to limits, divided by the square root of the seconds of the smaller speaker.
    prior_pairs : float
        Pairs of segments that the recording's similarity counts for within each speaker.
    viterbi_scale : float
        Log-likelihood of a cosine similarity of 1, a second of single-speaker speech, for Viterbi decoding.
    temperature : float
        What posteriors divide log-likelihoods and penalties of the same chain by: the errors of neighbouring segments
        are not independent.
    seconds_per_similarity : float
        Distance in time that outweighs a cosine similarity of 1, for a second speaker.
    no_second : float
        Share of every window with a second local speaker below which there is one speaker.
    clear_second, clear_score : float
        Share of a window above which there are two, if they are separate by more than so many limits.
    """

    prior_similarity: float
    change_margin: float
    within_ratio: float
    between_ratio: float
    starts: tuple[int, ...]
    fa: float
    fb: float
    least_limit: float
    most_limit: float
    median_share: float
    median_speakers: float
    limit_seconds: float
    limit_power: float
    least_shrinkage: float
    many_speakers: float
    many_seconds: float
    many_fb: float
    many_switch: float
    short_seconds: float
    doubt: float
    prior_pairs: float
    viterbi_scale: float
    temperature: float
    seconds_per_similarity: float
    no_second: float
    clear_second: float
    clear_score: float


CAMPPLUS = Calibration(
    prior_similarity=0.5,
    change_margin=0.02,
    within_ratio=1.15,
    between_ratio=0.67,
    starts=(0,),
    fa=0.5,
    fb=5.0,
    least_limit=0.2,
    most_limit=0.45,
    median_share=0.45,
    median_speakers=5,
    limit_seconds=30.0,
    limit_power=0.25,
    least_shrinkage=0.65,
    many_speakers=7,
    many_seconds=np.inf,
    many_fb=3.0,
    many_switch=0.0,
    short_seconds=0.0,
    doubt=0.0,
    prior_pairs=10.0,
    viterbi_scale=50.0,
    temperature=5.0,
    seconds_per_similarity=4.0,
    no_second=0.01,
    clear_second=0.08,
    clear_score=1.5,
)
"""For CAM++ alone."""

BOTH = replace(
    CAMPPLUS,
    change_margin=0.014,
    within_ratio=0.87,
    between_ratio=0.36,
    starts=(0, -8, -4, 4, 8),
    fa=0.39,
    fb=5.2,
    least_limit=0.16,
    most_limit=0.37,
    median_share=0.21,
    median_speakers=2.7,
    limit_seconds=10.0,
    limit_power=0.39,
    least_shrinkage=0.75,
    many_speakers=4,
    many_seconds=80.0,
    many_fb=2.9,
    many_switch=2.0,
    short_seconds=2.4,
    doubt=0.25,
    prior_pairs=22.0,
    clear_score=0.49,
)
"""For CAM++ and ResNet34 side by side."""

CALIBRATIONS = {192: CAMPPLUS, 448: BOTH}
"""By the size of embeddings."""
