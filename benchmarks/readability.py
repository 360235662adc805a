"""Measures whether a transcript can be read: ``python -m benchmarks.readability [--seed 3] [--perturb]``.

Words whose speakers are known exactly get speakers from turns: those of the local engine on the shipped examples, and
those of drawn conversations, exact and with displaced edges. Beside it stand what times alone say, and whisperX's rule.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import diarnb
from benchmarks import _turntaking as timing
from benchmarks._machine import heading, table, versions
from diarnb.tables.activity import match_one_to_one
from diarnb.transcripts import clauses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Rule = Callable[[pd.DataFrame, pd.DataFrame], list[str]]

EXAMPLES = ("meeting", "interview", "call")
DRAWN = 150
MINUTES = 3.0
DISPLACED = 0.3  # seconds, at most, by which edges are wrong
JOINED = 0.35  # seconds of a speaker's silence that are speech in the turns
# Of what is said; (median, sigma) of a log-normal distribution, seconds, or a probability.
WORD, COMMA, HESITATION, BETWEEN = (0.22, 0.45), (0.12, 0.6), (0.1, 0.8), (0.3, 0.6)
COMMAS, HESITATIONS, SHORT, LAST, ENDED = 0.12, 0.08, 0.15, 0.1, 0.8
LENGTH = 0.14  # of geometric distribution: words of a sentence
ASIDES = ("uh-huh", "yeah", "right", "okay", "mm-hmm", "hm")
CONSTANTS = ("_BLUR", "FAR", "_REACH", "_TOUCH", "_PAUSE", "_FLOOR", "_DISTANCE", "_WITHIN", "_COMMA", "_LISTENER",
             "_SENTENCE", "_TWICE", "_UNHEARD", "_APART")  # fmt: skip
NOTES = f"""\
- Examples: the exact words, which are synthetic speech, and the local engine's own turns and frames. Speakers are
  mapped one to one so that most words are right; a word without a speaker is wrong.
- broken: sentences of one person whose words have several speakers. A sentence ends at . ? or !, and at an own pause of
  half a second; what a listener throws in is one by itself.
- cpWER: of meeteval, where that is installed. A word with another speaker is missing for one and too much for another.
- Conversations: {DRAWN} of {MINUTES:g} minutes and 2 to 5 people are drawn, words only: gaps, overlaps, holds and
  backchannels as in benchmarks.simulate; sentences, commas and pauses as in this file. The turns are the words of each
  speaker, pauses under {JOINED} s filled; where edges are displaced, each by up to {DISPLACED} s, evenly distributed.
- times: the rule without punctuation and without the words around. whisperX: of its `fill_nearest`: who speaks longest
  in the word, else the turn whose middle is nearest."""


def talk(seed: int) -> pd.DataFrame:
    """Draw a conversation: words with times, text and speaker, by time."""
    rng = np.random.default_rng(seed)
    people, eagerness = int(rng.integers(2, 6)), float(rng.uniform(0.3, 2.0))

    def draw(median_and_sigma: tuple[float, float]) -> float:
        return float(median_and_sigma[0] * np.exp(median_and_sigma[1] * rng.standard_normal()))

    rows: list[tuple[float, float, str, str]] = []
    free = np.zeros(people)
    turns: list[tuple[float, float, int]] = []
    while not turns or turns[-1][1] < 60 * MINUTES:
        last = turns[-1][2] if turns else None
        speaker = _next_speaker(rng, people, [who for *_, who in turns])
        start = turns[-1][1] if turns else timing.LEAD
        if speaker == last:
            start += draw(timing.OWN_PAUSE)
        elif last is not None and rng.random() < 1 - (1 - timing.OVERLAPPED) ** np.sqrt(eagerness):
            start -= min(draw(timing.OVERLAP) * max(eagerness, 1.0), 0.6 * (turns[-1][1] - turns[-1][0]))
        elif last is not None:
            start += draw(timing.GAP)
        start = max(start, free[speaker] + timing.PAUSE, 0.0)
        said = _speak(rng, draw, start, min(draw(timing.TURN), timing.LONGEST_TURN))
        end = said[-1][1]
        rows += [(*word, f"S{speaker}") for word in said]
        turns.append((start, end, speaker))
        free[speaker] = end
        breaks = [until for _, until, text in said if text[-1] in ".?,"]
        for _ in range(rng.poisson(timing.BACKCHANNELS * eagerness * (end - start))):
            listener = int(rng.choice([who for who in range(people) if who != speaker]))
            at = breaks[rng.integers(len(breaks))] - 0.1 if rng.random() < 0.6 and breaks else rng.uniform(start, end)
            at += rng.uniform(-0.1, 0.2)
            until = at + draw(timing.BACKCHANNEL)
            if at > free[listener] + timing.PAUSE and at > start + 0.5 and until < end:
                rows.append((at, until, str(rng.choice(ASIDES)), f"S{listener}"))
                free[listener] = until
    return pd.DataFrame(sorted(rows), columns=["start", "end", "text", "speaker"])


def _next_speaker(rng: np.random.Generator, people: int, before: list[int]) -> int:
    if not before:
        return int(rng.integers(people))
    if rng.random() < timing.HOLD:
        return before[-1]
    earlier = next((who for who in reversed(before) if who != before[-1]), None)
    if earlier is not None and rng.random() < timing.RETURN:
        return earlier
    return int(rng.choice([who for who in range(people) if who != before[-1]]))


def _speak(
    rng: np.random.Generator, draw: Callable[[tuple[float, float]], float], at: float, wanted: float
) -> list[tuple[float, float, str]]:
    """Say sentences, until so many seconds have passed."""
    words: list[tuple[float, float, str]] = []
    begun = at
    while True:
        length = 1 if rng.random() < SHORT else 1 + int(rng.geometric(LENGTH))
        for number in range(length):
            until = at + max(draw(WORD), 0.06)
            final, comma = number == length - 1, rng.random() < COMMAS
            mark = ("." if rng.random() < ENDED else "?") if final else "," if comma else ""
            words.append((at, until, ("Word" if number == 0 else "word") + mark))
            pause = COMMA if comma and rng.random() < 0.6 else HESITATION if rng.random() < HESITATIONS else None
            at = until + (draw(pause) if pause and not final else 0.0)
        if at - begun > wanted or rng.random() < LAST:
            return words
        at += draw(BETWEEN)


def make_turns(words: pd.DataFrame, displaced: float, seed: int) -> pd.DataFrame:
    """Make the turns of exact words; displace each edge by up to so many seconds."""
    rng = np.random.default_rng([seed, 1])
    rows = []
    for speaker, own in words.groupby("speaker"):
        for span in timing.join_spans(zip(own["start"], own["end"], strict=True), JOINED):
            start, end = np.maximum(span + rng.uniform(-displaced, displaced, 2), 0.0)
            rows += [(start, end, speaker)] if end - start > 0.05 else []
    return pd.DataFrame(sorted(rows), columns=["start", "end", "speaker"])


def assign_like_whisperx(words: pd.DataFrame, turns: pd.DataFrame) -> list[str]:
    """Return the speaker of each word by the rule that whisperX has with `fill_nearest`."""
    start, end, speakers = (turns[name].to_numpy() for name in ("start", "end", "speaker"))
    found = []
    for word in words.itertuples():
        shared = np.minimum(end, word.end) - np.maximum(start, word.start)
        if (shared > 0).any():
            seconds = pd.Series(shared[shared > 0]).groupby(speakers[shared > 0]).sum()
            found.append(str(seconds.idxmax()))
        else:
            found.append(str(speakers[np.argmin(np.abs((start + end) / 2 - (word.start + word.end) / 2))]))
    return found


def count_wrong(truth: pd.Series[str], found: Sequence[str]) -> int:
    """Count words with another speaker than their own, under the best mapping of names.

    Examples
    --------
    >>> count_wrong(pd.Series(["Maya", "Maya", "Otto"]), ["A", "A", "A"])
    1
    """
    return int((np.asarray(map_names(truth, found)) != truth.to_numpy()).sum())


def map_names(truth: pd.Series[str], found: Sequence[str]) -> list[str]:
    """Name speakers as the truth does, one to one."""
    counts = pd.crosstab(truth.to_numpy(), np.asarray(found)).drop(columns="?", errors="ignore")
    names = {counts.columns[there]: counts.index[here] for here, there in match_one_to_one(counts.to_numpy()).items()}
    return [names.get(name, "?") for name in found]


def number_sentences(words: pd.DataFrame) -> pd.Series[int]:
    """Count the sentences of each person, and return the number of each word's.

    Examples
    --------
    >>> said = pd.DataFrame({"start": [0, 1, 1.2, 2], "end": [1, 1.4, 2, 3], "text": ["We", "yeah", "go.", "Now."]})
    >>> number_sentences(said.assign(speaker=["Maya", "Otto", "Maya", "Maya"])).tolist()
    [0, 2, 0, 1]
    """
    numbers = pd.Series(0, words.index)
    count = 0
    for _, own in words.groupby("speaker"):
        aside = own["text"].str.lower().str.strip(".,!?").isin(ASIDES)
        ended = own["text"].str.contains(r"[.?!]$") | aside
        new = ended.shift(fill_value=False) | aside | (own["start"] - own["end"].shift() > 0.5)
        numbers[own.index] = count + new.cumsum() - new.iloc[0]
        count = int(numbers[own.index].max()) + 1
    return numbers


def count_broken(words: pd.DataFrame, found: Sequence[str]) -> tuple[int, int]:
    """Count sentences whose words have several speakers, and all sentences."""
    voices = pd.Series(list(found), words.index).groupby(number_sentences(words)).nunique()
    return int((voices > 1).sum()), len(voices)


def rate_cp(truth: pd.DataFrame, found: Sequence[str]) -> float | None:
    """Return cpWER in percent; None without meeteval."""
    try:
        from meeteval.wer import cp_word_error_rate
    except ImportError:
        return None
    said = [truth["text"].groupby(list(names)).agg(" ".join).to_dict() for names in (truth["speaker"], found)]
    return 100 * float(cp_word_error_rate(*said).error_rate)


def by_times(words: pd.DataFrame, turns: pd.DataFrame) -> list[str]:
    """Return the speaker of each word by its times alone."""
    return _names(diarnb.assign_speakers(words[["start", "end"]], turns))


def by_sentences(words: pd.DataFrame, turns: pd.DataFrame, frames: pd.DataFrame | None = None) -> list[str]:
    """Return the speaker of each word by `diarnb.assign_speakers`."""
    return _names(diarnb.assign_speakers(words[["start", "end", "text"]], turns, frames=frames))


def _names(assigned: pd.DataFrame) -> list[str]:
    return assigned["speaker"].fillna("?").astype(str).tolist()


def measure_examples() -> list[list[str]]:
    """Return a row for each example and rule, and for all of them."""
    sums: dict[str, list[int]] = {}
    rows = []
    for name in EXAMPLES:
        path = diarnb.example(name)
        words = pd.read_csv(path.with_suffix(".words.csv"), keep_default_na=False)
        words = words.sort_values(["start", "end"], kind="stable", ignore_index=True)
        turns = diarnb.diarize(path, progress=False)
        found = {
            "whisperX": assign_like_whisperx(words, turns),
            "times": by_times(words, turns),
            "diarnb": by_sentences(words, turns, diarnb.frames(turns)),
        }
        for rule, names in found.items():
            counts = [count_wrong(words["speaker"], names), len(words), *count_broken(words, names)]
            sums[rule] = np.add(sums.get(rule, [0] * 4), counts).tolist()
            rows.append(_row(name, rule, counts, rate_cp(words, map_names(words["speaker"], names))))
    return rows + [_row("all", rule, counts, None) for rule, counts in sums.items()]


def _row(name: str, rule: str, counts: list[int], cp: float | None) -> list[str]:
    wrong, words, broken, sentences = counts
    shares = f"{wrong}", f"{100 * wrong / words:.1f}", f"{broken} of {sentences}", f"{100 * broken / sentences:.1f}"
    return [name, rule, *shares, "" if cp is None else f"{cp:.1f}"]


def measure_drawn(seeds: Iterable[int], displaced: float, decide: Rule) -> np.ndarray:
    """Return the share of words with another speaker, percent, for each conversation."""
    found = []
    for seed in seeds:
        words = talk(seed)
        names = decide(words, make_turns(words, displaced, seed))
        found.append(100 * float(np.mean(np.asarray(names) != words["speaker"].to_numpy())))
    return np.array(found)


def compare_drawn(seeds: Sequence[int], displaced: float) -> list[str]:
    """Return a row of figures for conversations with edges that are so far off."""
    rules: dict[str, Rule] = {"whisperX": assign_like_whisperx, "times": by_times, "diarnb": by_sentences}
    found = {rule: measure_drawn(seeds, displaced, decide) for rule, decide in rules.items()}
    ours, theirs = found["diarnb"].round(9), found["whisperX"].round(9)
    return [
        "exact" if not displaced else f"± {displaced} s",
        *(f"{found[rule].mean():.2f}" for rule in ("whisperX", "times", "diarnb")),
        f"{(ours < theirs).sum()}",
        f"{(ours > theirs).sum()}",
        f"{100 * np.mean(ours > theirs):.1f}",
    ]


def perturb(seeds: Sequence[int]) -> list[list[str]]:
    """Return what becomes of the conversations with each constant a third lower and higher."""
    rows = []
    for name in CONSTANTS:  # the first row has them as they are
        kept = getattr(clauses, name)
        for factor in (1, 2 / 3, 4 / 3)[name != CONSTANTS[0] :]:
            setattr(clauses, name, kept * factor)
            exact, off = (measure_drawn(seeds, displaced, by_sentences).mean() for displaced in (0.0, DISPLACED))
            rows.append([name.strip("_").lower(), f"{kept * factor:.3g}", f"{exact:.2f}", f"{off:.2f}"])
        setattr(clauses, name, kept)
    return rows


def main() -> None:
    """Print the machine, the tables and their notes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=3, help="of the conversations (default 3)")
    parser.add_argument("--drawn", type=int, default=DRAWN, help=f"how many are drawn (default {DRAWN})")
    parser.add_argument("--perturb", action="store_true", help="also change each constant by a third")
    asked = parser.parse_args()
    seeds = [1000 * asked.seed + number for number in range(asked.drawn)]
    with tempfile.TemporaryDirectory() as home:
        os.environ["DIARNB_HOME"] = home
        rows = measure_examples()
    print(heading({"diarnb": versions("diarnb", "onnxruntime", "numpy", "pandas", "meeteval")}))
    print(f"- conversations: seed {asked.seed}\n")
    print(table(["example", "rule", "words wrong", "%", "sentences broken", "%", "cpWER %"], rows) + "\n")
    header = ["edges", "whisperX %", "times %", "diarnb %", "diarnb better in", "worse in", "worse in %"]
    print(table(header, [compare_drawn(seeds, displaced) for displaced in (0.0, DISPLACED)]) + "\n")
    if asked.perturb:
        print(table(["constant", "value", "exact %", f"± {DISPLACED} s %"], perturb(seeds)) + "\n")
    print(NOTES)


if __name__ == "__main__":
    main()
