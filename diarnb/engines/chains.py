"""Follow Markov chains in which staying in a state is free and every change of it has the same penalty.

Long ones are followed in lanes side by side, since numpy takes about as long for a step of one as of many.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_LONG_CHAIN, _FEW_SPEAKERS = 500, 16  # links from which, and speakers up to which, a chain is cut into lanes


def find_viterbi_path(likelihood: NDArray[np.float64], switch: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the best path by Viterbi.

    Parameters
    ----------
    likelihood : numpy.ndarray [shape=(links, speakers)]
        Log-likelihood of each speaker.
    switch : numpy.ndarray [shape=(links,)]
        Penalty of a change of speaker before each link: a negated log-probability. The first one is not asked for.

    Returns
    -------
    numpy.ndarray [shape=(links,)]
        The speaker of each link.
    """
    score = _follow_chains(
        likelihood[:, None],
        switch[:, None],
        step=lambda score, here, penalty: np.maximum(score, score.max(-1, keepdims=True) - penalty) + here,
        join=lambda start, lane: (start.swapaxes(-1, -2) + lane).max(-2, keepdims=True),
        ends=(0.0, np.inf),
        states=(0.0, -np.inf),
    )[:, 0]
    best = score[:-1].argmax(1)
    changes = score[:-1] < (score[np.arange(len(best)), best] - switch[1:])[:, None]
    since = np.maximum.accumulate(np.where(changes, np.arange(1, len(score))[:, None], 0))
    path, end, speaker = np.empty(len(score), np.int64), len(score), int(score[-1].argmax())
    while end:
        begin = int(since[end - 2, speaker]) if end > 1 else 0
        path[begin:end] = speaker
        end, speaker = begin, int(best[begin - 1]) if begin else speaker
    return path


def compute_posterior(likelihood: NDArray[np.float64], switch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the posterior of each speaker by forward-backward [shape=(links, speakers)].

    Parameters and chain are those of `find_viterbi_path`; log-likelihoods of one link are at most some 300 apart.
    """
    emission = np.exp(likelihood - likelihood.max(1, keepdims=True))
    leave = np.exp(-switch)
    leave[:1] = 1.0

    def step(share: NDArray[np.float64], here: NDArray[np.float64], leave: NDArray[np.float64]) -> NDArray[np.float64]:
        # staying has weight 1 and every other speaker has weight `leave`
        total = share.sum(-1, keepdims=True)
        weight: NDArray[np.float64] = ((1 - leave) * share + leave * total) / total.max(-2, keepdims=True) * here
        return weight

    # The chain looks the same from its end, so both passes go together.
    both = _follow_chains(
        np.stack([emission, emission[::-1]], 1),
        np.stack([leave, np.append(1.0, leave[:0:-1])], 1),
        step=step,
        join=np.matmul,
        ends=(1.0, 0.0),
        states=(1.0, 0.0),
    )
    joint = both[:, 0] * both[::-1, 1] / emission
    posterior: NDArray[np.float64] = joint / joint.sum(1, keepdims=True)
    return posterior


def _follow_chains(
    emission: NDArray[np.float64],
    change: NDArray[np.float64],
    *,
    step: Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    join: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    ends: tuple[float, float],
    states: tuple[float, float],
) -> NDArray[np.float64]:
    """Follow Markov chains, and return the state after each link [shape=(links, chains, speakers)].

    Long chains are cut into lanes that are followed side by side: first from every speaker at once, then, when it is
    known what each lane begins with, from that. It is the same up to rounding, in far fewer steps.

    Parameters
    ----------
    emission, change : numpy.ndarray [shape=(links, chains, speakers)] and [shape=(links, chains)]
    step : callable
        Takes states [shape=(..., rows, speakers)], an emission and a change, and returns the next states.
    join : callable
        Takes the state a lane begins with and what the lane makes of every speaker, and returns the state it ends with.
    ends : float, float
        Emission and change of a link that leaves every state as it is.
    states : float, float
        The state of a speaker who is possible, and of one who is not.
    """
    links, chains, speakers = emission.shape
    lanes = math.isqrt(links) if links >= _LONG_CHAIN and speakers <= _FEW_SPEAKERS else 1
    steps = -(-links // lanes)

    def cut(values: NDArray[np.float64], end: float) -> NDArray[np.float64]:
        padded = np.full((lanes * steps, chains, values.size // links // chains), end)
        padded[:links] = values.reshape(padded[:links].shape)
        return np.ascontiguousarray(padded.reshape(lanes, steps, chains, 1, -1).swapaxes(0, 1))

    cut_emission, cut_change = (cut(values, end) for values, end in zip((emission, change), ends, strict=True))
    starts = [np.full((chains, 1, speakers), states[0])]
    if lanes > 1:
        across = np.tile(np.where(np.eye(speakers, dtype=bool), *states), (lanes, chains, 1, 1))
        for here, leave in zip(cut_emission, cut_change, strict=True):
            across = step(across, here, leave)
        for lane in across[:-1]:
            starts.append(join(starts[-1], lane))
    state, found = np.stack(starts), np.empty_like(cut_emission)
    for number, (here, leave) in enumerate(zip(cut_emission, cut_change, strict=True)):
        state = found[number] = step(state, here, leave)
    return found.swapaxes(0, 1).reshape(-1, chains, speakers)[:links]
