"""Markov chains of speakers: the best path, and the posterior of each link."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from diarnb.engines import chains
from diarnb.engines.chains import compute_posterior, find_viterbi_path


def brute_force(likelihood, switch):
    """Score every path there is."""
    segments, speakers = likelihood.shape
    paths = np.array(list(itertools.product(range(speakers), repeat=segments)))
    moves = (paths[:, 1:] != paths[:, :-1]) * switch[1:]
    return paths, likelihood[np.arange(segments), paths].sum(1) - moves.sum(1)


def test_the_best_path_and_the_posterior_are_those_of_all_paths():
    rng = np.random.default_rng(3)
    likelihood, switch = rng.normal(0, 2, (6, 3)), rng.uniform(0.5, 3, 6)
    paths, scores = brute_force(likelihood, switch)
    assert np.array_equal(find_viterbi_path(likelihood, switch), paths[scores.argmax()])
    weight = np.exp(scores - scores.max())
    expected = [[weight[paths[:, i] == k].sum() / weight.sum() for k in range(3)] for i in range(6)]
    assert np.allclose(compute_posterior(likelihood, switch), expected)


@pytest.mark.parametrize("speakers", [1, 2, 5])
def test_a_long_chain_is_decoded_as_link_by_link(speakers, monkeypatch):
    rng = np.random.default_rng(speakers)
    likelihood, switch = rng.normal(0, 4, (1201, speakers)), rng.uniform(0.5, 2, 1201)
    path, posterior = find_viterbi_path(likelihood, switch), compute_posterior(likelihood, switch)
    monkeypatch.setattr(chains, "_LONG_CHAIN", 10_000)
    assert np.array_equal(path, find_viterbi_path(likelihood, switch))
    assert np.allclose(posterior, compute_posterior(likelihood, switch), atol=1e-12)
