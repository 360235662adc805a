"""Speakers change where sentences and clauses end: who says each word, decided along the words and not one by one.

Words that follow each other form chains; where two people talk at once there are two chains, for nobody says two words
at a time. Along each chain the cheapest sequence of speakers is found (Viterbi): a word costs what the voices heard
during it and close around it say against its speaker, a change of speaker costs little where a sentence ends or at a
pause, more at a comma, and most within a clause. So an edge of a turn that lies some tenths of a second beside the end
of a sentence moves there, and one that the voices contradict does not. What a listener throws in is an utterance of its
own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array = np.ndarray

NOBODY = -1
# Seconds.
_BLUR = 0.25  # by which edges of turns are blurred to either side
FAR = 1.0  # from somebody's speech at which a word of theirs may still be
_REACH = 1.0  # between two words of one chain
_TOUCH = 0.06  # by which two words of one person may overlap, as times are rough
_PAUSE = 0.7  # at which a change costs least
# Costs, in nats of evidence.
_FLOOR = 0.03  # of the probability that somebody speaks who is not heard
_DISTANCE = 1.5  # for each second between a word and its speaker's speech
_WITHIN, _COMMA, _LISTENER, _SENTENCE = 5.0, 2.0, 1.5, 0.3  # of a change inside a clause, at its end, and so on
_UNPUNCTUATED = 0.8  # times _WITHIN, where no sentence has an end that is written
_TWICE = 8.0  # of two words at a time by one person
_UNHEARD = 5.5  # at most, of a word spoken while somebody else says another: there, edges of turns know little
_NEVER = 30.0
_ROUGH = 0.4  # times the cost of a word whose time is an estimate
_APART = 0.5  # seconds, by which a word that ends a sentence seems farther away from what follows

_SENTENCE_END = re.compile(r"[.?!…。！？؟।]['\"”’»)\]]*$")
_CLAUSE_END = re.compile(r"[,;:—–、，；：،؛]['\"”’»)\]]*$")
# What listeners say, in some languages; written any other way, it is found by its time alone.
_LISTENERS = re.compile(
    r"(?:u+h[- ]?huh|m+[- ]?hm*|a?h+m*|u+h+m*|o+h|a+h|aha|yeah|yep|yes|no|right|okay|ok|sure|wow|ja|nein|genau|nee|oui|"
    r"non|ouais|d'accord|s[ií]|claro|vale|sì|certo|sim|não|да|нет|угу|はい|うん|ええ|对|嗯|네|예|응)\W*$",
    re.IGNORECASE,
)


class Voices(NamedTuple):
    """Who speaks when: stretches by start, of which no two of one speaker overlap; speakers are numbered."""

    start: Array
    end: Array
    speaker: Array


def settle(
    start: Array,
    end: Array,
    texts: Sequence[str],
    near: Array,
    voices: Voices,
    scores: Array | None = None,
    rough: Array | None = None,
) -> Array:
    """Return the number of the speaker of each word; of those of `near` below 0 nothing is known, and they stay.

    NOBODY says what somebody must have said while another word is spoken, where no voice and no edge of a turn tells
    which of several people that was.

    Parameters
    ----------
    start, end : numpy.ndarray, shape (words,)
        Seconds.
    texts : sequence of str
        With their punctuation.
    near : numpy.ndarray of int, shape (words,)
        Who speaks longest during each word.
    voices : Voices
    scores : numpy.ndarray, shape (words, speakers), optional
        How likely each speaker speaks during each word, 0-1, as a network heard it.
    rough : numpy.ndarray of bool, shape (words,), optional
        Which words have estimated times, from which less follows.
    """
    who = near.copy()
    rough = np.zeros(len(start), dtype=bool) if rough is None else rough
    everybody = np.unique(voices.speaker)
    order = np.lexsort([end, start])
    order = order[near[order] >= 0]
    if not len(order):
        return who
    begins, closes = start[order], end[order]
    written = any(map(ends_sentence, texts))
    latest = np.maximum.accumulate(closes)
    cuts = np.flatnonzero(begins[1:] > latest[:-1] + _REACH) + 1
    for words in np.split(order, cuts):
        low, high = start[words[0]], end[words].max()
        heard = (voices.end > low - 2 * FAR) & (voices.start < high + 2 * FAR)
        own = Voices(*(each[heard] for each in voices))
        speakers = np.unique(own.speaker)
        if len(speakers) < 2 < 1 + len(everybody) and (start[words[1:]] < np.maximum.accumulate(end[words])[:-1]).any():
            speakers = np.union1d(speakers, np.setdiff1d(everybody, speakers)[:2])  # somebody else speaks, unheard
        if len(speakers) > 1:
            scored = None if scores is None else scores[np.ix_(words, speakers)]
            cost = _weigh(start[words] - low, end[words] - low, speakers, own, low, scored)
            cost[rough[words]] *= _ROUGH
            said = [texts[word] for word in words]
            chosen = _decide(start[words], end[words], said, cost.copy(), written=written)
            guessed = (cost[np.arange(len(words)), chosen] >= _ROUGH * _NEVER) & (
                len(everybody) > 2
            )  # of two it is the other
            who[words] = np.where(guessed, NOBODY, speakers[chosen])
    return who


def ends_sentence(text: str) -> bool:
    """Return whether a word ends a sentence, by its punctuation."""
    return _SENTENCE_END.search(text) is not None


def ends_clause(text: str) -> bool:
    """Return whether a word ends a part of a sentence, by its punctuation."""
    return _CLAUSE_END.search(text) is not None


def _weigh(start: Array, end: Array, speakers: Array, voices: Voices, origin: float, scores: Array | None) -> Array:
    """Return what each word (rows) costs each speaker (columns) if it is theirs."""
    cost = np.empty((len(start), len(speakers)))
    for column, speaker in enumerate(speakers):
        own = voices.speaker == speaker
        begins, ends = voices.start[own] - origin, voices.end[own] - origin
        level = _average(start, end, begins, ends)
        if scores is not None:
            level = (level + scores[:, column]) / 2
        following = np.append(begins, np.inf)[np.searchsorted(begins, end)] - end
        preceding = start - np.append(-np.inf, ends)[np.searchsorted(ends, start, side="right")]
        last = np.searchsorted(begins, end) - 1
        inside = np.append(ends, -np.inf)[last] > start
        away = np.where(inside, 0.0, np.maximum(np.minimum(following, preceding), 0.0))
        likely = np.log((_FLOOR + np.clip(level, 0, 1)) / (1 + _FLOOR))
        cost[:, column] = np.where(away > FAR, _NEVER, _DISTANCE * away - likely)
    return cost


def _average(start: Array, end: Array, begins: Array, ends: Array) -> Array:
    """Return how much of each word somebody speaks, 0-1, the edges of their speech blurred by a moving mean."""
    if not len(begins):
        return np.zeros(len(start))
    times = np.column_stack([begins, ends]).ravel()
    lengths = np.diff(times)
    speaks = np.arange(len(times)) % 2 == 0
    once = np.append(0.0, np.cumsum(speaks[:-1] * lengths))
    twice = np.append(0.0, np.cumsum(once[:-1] * lengths + speaks[:-1] * lengths**2 / 2))

    def integrate(at: Array) -> Array:
        """Integrate twice: the mean over a word, of the mean around each moment of it, is four of these."""
        place = np.searchsorted(times, at, side="right") - 1
        known = np.maximum(place, 0)
        after = at - times[known]
        return np.where(place < 0, 0.0, twice[known] + once[known] * after + speaks[known] * after**2 / 2)

    until = np.maximum(end, start + 0.02)
    total = integrate(until + _BLUR) - integrate(until - _BLUR) - integrate(start + _BLUR) + integrate(start - _BLUR)
    shares: Array = total / (2 * _BLUR * (until - start))
    return shares


def _decide(start: Array, end: Array, texts: Sequence[str], cost: Array, *, written: bool) -> Array:
    """Return the column of each word's speaker."""
    at_once = _find_simultaneous(start, end)
    both = np.array([bool(others) for others in at_once])
    cost[both] = np.minimum(cost[both], _UNHEARD)
    cost -= cost.min(axis=1, keepdims=True)
    chains = sorted(_find_chains(start, end, texts), key=len, reverse=True)
    changes = [_price_changes(start, end, texts, chain, written=written) for chain in chains]
    who = np.full(len(start), -1)
    for _ in range(2 if both.any() else 1):  # the first time nobody knows yet who says the other word
        for chain, change in zip(chains, changes, strict=True):
            own = cost[chain]
            for row, word in enumerate(chain):
                for other in at_once[word]:
                    if who[other] >= 0:
                        own[row, who[other]] += _TWICE
            who[chain] = _find_cheapest(own, change)
    return who


def _find_simultaneous(start: Array, end: Array) -> list[list[int]]:
    """List, for each word, those that are said at the same time, and so by somebody else."""
    found: list[list[int]] = [[] for _ in start]
    for word, other in _pair(start, end, 0.0):
        shared = min(end[word], end[other]) - start[other]
        if shared > max(_TOUCH, 0.3 * min(end[word] - start[word], end[other] - start[other])):
            found[word].append(other)
            found[other].append(word)
    return found


def _find_chains(start: Array, end: Array, texts: Sequence[str]) -> list[list[int]]:
    """Link each word with the one that follows it most closely; what a listener says rather stands alone."""
    closed = [ends_sentence(text) for text in texts]
    aside = [bool(_LISTENERS.match(text)) for text in texts]
    links = []
    for word, other in _pair(start, end, _REACH):
        gap = float(start[other] - end[word])
        if gap >= -min(_TOUCH, (end[word] - start[word]) / 2, (end[other] - start[other]) / 2):
            alone = (aside[word] or aside[other]) and abs(gap) > 0.02
            links.append((round(abs(gap), 3) + _APART * (closed[word] + alone), other - word, word, other))
    following: dict[int, int] = {}
    preceded = set()
    for *_, word, other in sorted(links):
        if word not in following and other not in preceded:
            following[word] = other
            preceded.add(other)
    chains = []
    for first in range(len(start)):
        if first not in preceded:
            chain = [first]
            while chain[-1] in following:
                chain.append(following[chain[-1]])
            chains.append(chain)
    return chains


def _pair(start: Array, end: Array, reach: float) -> Iterator[tuple[int, int]]:
    """Pair each word with those that begin before it has ended, or at most so many seconds later."""
    beyond = np.searchsorted(start, end + reach, side="right")
    for word, last in enumerate(beyond.tolist()):
        for other in range(word + 1, last):
            yield word, other


def _price_changes(start: Array, end: Array, texts: Sequence[str], chain: list[int], *, written: bool) -> Array:
    """Return what it costs to change the speaker before each word of a chain."""
    costs = np.zeros(len(chain))
    for place in range(1, len(chain)):
        last, word = chain[place - 1], chain[place]
        price = _WITHIN if written else _UNPUNCTUATED * _WITHIN
        if ends_sentence(texts[last]):
            price = _SENTENCE
        elif ends_clause(texts[last]):
            price = _COMMA
        if _LISTENERS.match(texts[last]) or _LISTENERS.match(texts[word]):
            price = min(price, _LISTENER)
        least = min(price, _COMMA) if written else _SENTENCE
        costs[place] = min(price, max(least, price * (1 - (start[word] - end[last]) / _PAUSE)))
    return costs


def _find_cheapest(cost: Array, change: Array) -> Array:
    """Return the cheapest sequence of columns; of those that cost the same, one that changes late, of the first."""
    stay = np.arange(cost.shape[1])
    total, came = cost[0].copy(), np.zeros(cost.shape, dtype=np.int64)
    for row in range(1, len(cost)):
        best = int(total.argmin())
        moved = total[best] + change[row]
        came[row] = np.where(moved < total - 1e-9, best, stay)
        total = np.minimum(total, moved) + cost[row]
    path, at = np.empty(len(cost), dtype=np.int64), int(total.argmin())
    for row in range(len(cost) - 1, -1, -1):
        path[row] = at
        at = came[row, at]
    return path
