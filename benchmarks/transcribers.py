"""Measures what a transcriber hears: ``python -m benchmarks.transcribers [--words NAME ...]``.

NAME is what `diarnb.diarize` takes as ``words=``. Each is scored on the shipped examples, whose words are known.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import diarnb
from benchmarks._machine import heading, table, versions
from diarnb.tables.activity import match_one_to_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROWS = (("meeting", "mix"), ("interview", "mix"), ("call", "mix"), ("call", "split"))
HEADER = [
    "words=", "example", "words", "WER %", "x real time", "exact: speaker right %", "heard: speaker right %",
    "right: speaker right %",
]  # fmt: skip
NOTES = """\
- The examples are synthetic: these figures say how the parts work together, not how well people are understood.
- WER: substitutions, deletions and insertions for each 100 words that are said, by all speakers in order of time; small
  letters, without punctuation. Digits for numbers that are spelt count as errors. Where two speak at once, the words of
  both are expected, but where channels are apart each channel is scored with its own words.
- x real time: seconds of sound for each second of work, of `diarize(words=...)` once the recording has been diarized.
- exact: speaker right: the exact words are given as `words=`, and the share is counted that gets its speaker.
- heard: speaker right: the share of the words that the transcriber heard whose speaker is that of the exact word
  nearest in time, whether the word is right or not. Where times are estimates, this is of them rather than of speakers.
- right: speaker right: of the words that were heard right (in order, by an alignment of both texts), whenever that was.
  All with the speakers mapped one to one so that most are right."""


def normalise(words: Iterable[str]) -> list[str]:
    """Return words as they are compared.

    Examples
    --------
    >>> normalise(pd.Series(["Well-known,", "it's", "..."]))
    ['well', 'known', "it's"]
    """
    return re.sub(r"[^a-z0-9']+", " ", " ".join(map(str, words)).lower()).split()


def count_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least substitutions, deletions and insertions that make one of the other.

    Examples
    --------
    >>> count_errors(["the", "blue", "bird"], ["a", "bird", "sings"])
    3
    """
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row = row, [number]
        for place, other in enumerate(heard):
            row.append(min(before[place] + (word != other), before[place + 1] + 1, row[place] + 1))
    return row[-1]


def rate_speakers(truth: Sequence[str], found: pd.Series[str]) -> float:
    """Return how many percent of the words have the right speaker, under the best mapping of names.

    Examples
    --------
    >>> rate_speakers(["Maya", "Maya", "Otto", "Otto"], pd.Series(["A", "A", "B", None]))
    75.0
    """
    counts = pd.crosstab(np.asarray(truth), np.asarray(found.fillna("?"))).drop(columns="?", errors="ignore").to_numpy()
    return float(100 * sum(counts[pair] for pair in match_one_to_one(counts).items()) / len(truth))


def find_nearest(exact: pd.DataFrame, heard: pd.DataFrame) -> list[str]:
    """Return who says the exact word in whose middle, or nearest to it, each heard word is."""
    middle = heard[["start", "end"]].mean(axis=1).to_numpy()[:, None]
    away = np.maximum(exact["start"].to_numpy() - middle, middle - exact["end"].to_numpy()).clip(0)
    centre = np.abs(exact[["start", "end"]].mean(axis=1).to_numpy() - middle)
    return exact["speaker"].to_numpy()[np.lexsort((centre, away), axis=1)[:, 0]].tolist()


def pair_right(exact: pd.DataFrame, heard: pd.DataFrame) -> tuple[list[str], pd.Series[str]]:
    """Return who says each word that was heard right, in truth and as it was found."""
    said, told = (
        [(part, who) for word, who in zip(words["word"], words["speaker"], strict=True) for part in normalise([word])]
        for words in (exact, heard)
    )
    blocks = SequenceMatcher(None, [w for w, _ in said], [w for w, _ in told], autojunk=False).get_matching_blocks()
    pairs = [(said[block.a + k][1], told[block.b + k][1]) for block in blocks for k in range(block.size)]
    return [who for who, _ in pairs], pd.Series([who for _, who in pairs], dtype=object)


def measure(name: str, channels: str, words: str) -> list[str]:
    """Return one row of figures."""
    path = diarnb.example(name)
    exact = pd.read_csv(path.with_suffix(".words.csv"), keep_default_na=False)
    diarnb.diarize(path, channels=channels, progress=False)
    began = time.perf_counter()
    turns = diarnb.diarize(path, channels=channels, words=words, progress=False)
    took = time.perf_counter() - began
    heard = diarnb.words(turns)
    given = diarnb.words(diarnb.diarize(path, channels=channels, words=exact, progress=False))
    apart = sorted(exact["channel"].unique()) if channels == "split" else [None]
    wrong = said = 0
    truth: list[str] = []
    right: tuple[list[str], list[object]] = [], []
    for channel in apart:
        own = exact if channel is None else exact[exact["channel"] == channel]
        also = heard if channel is None else heard[heard["channel"] == channel]
        wrong += count_errors(normalise(own["word"]), normalise(also["word"]))
        said += len(normalise(own["word"]))
        truth += find_nearest(own, also)
        for known, more in zip(right, pair_right(own.sort_values(["start", "end"]), also), strict=True):
            known.extend(more)
    by_channel = heard if channels != "split" else heard.sort_values("channel", kind="stable")
    order = exact.sort_values(["start", "end"], kind="stable")
    return [
        words,
        name if channels == "mix" else f"{name}, channels apart",
        str(said),
        f"{100 * wrong / said:.1f}",
        f"{turns.attrs['diarnb']['duration'] / took:.1f}",
        f"{rate_speakers(order['speaker'].tolist(), given['speaker']):.1f}",
        f"{rate_speakers(truth, by_channel['speaker']):.1f}",
        f"{rate_speakers(right[0], pd.Series(right[1], dtype=object)):.1f}",
    ]


def main() -> None:
    """Print the machine, the table and its notes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", nargs="+", default=["moonshine", "sphinx"], metavar="NAME")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:  # what an earlier run heard must not make this one fast
        os.environ["DIARNB_HOME"] = home
        rows = [measure(name, channels, words) for words in asked.words for name, channels in ROWS]
    print(heading({"diarnb": versions("diarnb", "moonshine-voice", "pocketsphinx", "faster-whisper", "onnxruntime")}))
    print(f"\n{table(HEADER, rows)}\n\n{NOTES}")


if __name__ == "__main__":
    main()
