"""From words with their times to what Deepgram tells: who speaks them, and utterances, paragraphs and a transcript.

A word here has ``start``, ``end``, ``word``, ``text`` (with punctuation, as far as there is any), ``confidence``, and
maybe ``speaker`` and ``speaker_confidence``; all of one channel, sorted by start. Nothing here hears or asks.
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from diarnb._types import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Word = Json

_MOST_SENTENCES = 5  # of one speaker in a paragraph
_SHORTER = 0.3  # of the pause that ends an utterance anywhere, which ends one after a sentence
_ENDS = (".", "?", "!")


class SpeakerNumbers:
    """Numbers of speakers in the order in which they say their first word, from 0."""

    def __init__(self) -> None:
        self._by_label: dict[str, int] = {}

    def __getitem__(self, label: str) -> int:
        return self._by_label.setdefault(label, len(self._by_label))


def number_speakers(words: Sequence[Word], turns: Sequence[Json], numbers: SpeakerNumbers) -> list[Word]:
    """Assign each word the speaker whose turn shares most of its time, else the nearest turn's.

    Parameters
    ----------
    words : sequence of dict
    turns : sequence of dict
        ``start``, ``end``, ``speaker``, and ``confidence``, a dict of speaker to 0-100, where there is one. Without
        turns nobody is named.
    numbers : SpeakerNumbers

    Returns
    -------
    list of dict
        Copies of the words with ``speaker``, and with ``speaker_confidence`` where turns have one: equal for all words
        of a turn.

    Examples
    --------
    >>> turns = [{"start": 0.0, "end": 2.0, "speaker": "B"}, {"start": 2.0, "end": 3.0, "speaker": "A"}]
    >>> words = [{"start": 0.1, "end": 0.4}, {"start": 1.9, "end": 2.6}]
    >>> [word["speaker"] for word in number_speakers(words, turns, SpeakerNumbers())]
    [0, 1]
    """
    if not turns:
        return [dict(word) for word in words]
    turns = sorted(turns, key=lambda turn: (turn["start"], turn["end"]))
    starts = np.array([turn["start"] for turn in turns])
    ends = np.array([turn["end"] for turn in turns])
    reach = np.maximum.accumulate(ends)
    named = []
    for word in words:
        # all turns that touch the word, and the one on either side
        first = max(int(np.searchsorted(reach, word["start"], "right")) - 1, 0)
        last = int(np.searchsorted(starts, word["end"])) + 1
        near = slice(min(first, len(turns) - 1), last)
        shared = np.minimum(ends[near], word["end"]) - np.maximum(starts[near], word["start"])  # negative: how far
        turn = turns[near][int(np.argmax(shared))]
        score = turn.get("confidence", {}).get(turn["speaker"])
        sure = {} if score is None else {"speaker_confidence": round(score / 100, 6)}
        named.append({**word, "speaker": numbers[turn["speaker"]], **sure})
    return named


def format_word(word: Word, *, punctuate: bool) -> Json:
    """Format a word as the service does."""
    item = {"word": word["word"], "start": round(word["start"], 6), "end": round(word["end"], 6)}
    item["confidence"] = round(word["confidence"], 6)
    item |= {key: word[key] for key in ("speaker", "speaker_confidence") if key in word}
    return item | {"punctuated_word": word["text"]} if punctuate else item


def format_alternative(words: Sequence[Word], *, punctuate: bool) -> Json:
    """Format the words of one channel as an alternative: transcript, confidence and words.

    Examples
    --------
    >>> format_alternative([], punctuate=True)
    {'transcript': '', 'confidence': 0.0, 'words': []}
    """
    middle = sorted(word["confidence"] for word in words)[len(words) // 2] if words else 0.0
    return {
        "transcript": _join(words, punctuate=punctuate),
        "confidence": round(middle, 6),
        "words": [format_word(word, punctuate=punctuate) for word in words],
    }


def split_utterances(words: Sequence[Word], channel: int, split: float, *, punctuate: bool) -> list[Json]:
    """Split words into utterances at pauses, whoever speaks; the speaker of most words is the utterance's.

    Parameters
    ----------
    words : sequence of dict
    channel : int
    split : float
        Seconds of a pause that ends an utterance; a shorter one does where a sentence ends.
    punctuate : bool
    """

    def ends(before: Word, after: Word) -> bool:
        pause = after["start"] - before["end"]
        return bool(pause > split or (before["text"].endswith(_ENDS) and pause > _SHORTER * split))

    found = []
    for group in _cut(words, ends):
        heard = Counter(word["speaker"] for word in group if "speaker" in word)
        found.append(
            {
                "start": round(group[0]["start"], 6),
                "end": round(group[-1]["end"], 6),
                "confidence": round(sum(word["confidence"] for word in group) / len(group), 6),
                "channel": channel,
                "transcript": _join(group, punctuate=punctuate),
                "words": [format_word(word, punctuate=punctuate) for word in group],
                **({"speaker": heard.most_common(1)[0][0]} if heard else {}),
                "id": str(uuid.uuid4()),
            }
        )
    return found


def split_paragraphs(words: Sequence[Word]) -> Json:
    r"""Split words into sentences, and these into paragraphs of one speaker and at most five sentences each.

    Examples
    --------
    >>> word = {"word": "yes", "text": "Yes.", "start": 0.0, "end": 0.5, "confidence": 0.9, "speaker": 0}
    >>> split_paragraphs([word, {**word, "speaker": 1}])["transcript"]
    '\nSpeaker 0: Yes.\n\nSpeaker 1: Yes.'
    """
    sentences = _cut(
        words, lambda before, after: before["text"].endswith(_ENDS) or before.get("speaker") != after.get("speaker")
    )
    found: list[list[list[Word]]] = []
    for sentence in sentences:
        same = found and found[-1][0][0].get("speaker") == sentence[0].get("speaker")
        if same and len(found[-1]) < _MOST_SENTENCES:
            found[-1].append(sentence)
        else:
            found.append([sentence])
    text, before = "", None
    for paragraph in found:
        speaker = paragraph[0][0].get("speaker")
        called = f"Speaker {speaker}: " if speaker is not None and speaker != before else ""
        text += f"\n{called}{' '.join(_join(sentence, punctuate=True) for sentence in paragraph)}\n"
        before = speaker
    return {"transcript": text.removesuffix("\n"), "paragraphs": [_format_paragraph(paragraph) for paragraph in found]}


def _format_paragraph(sentences: list[list[Word]]) -> Json:
    written = [
        {
            "text": _join(sentence, punctuate=True),
            "start": round(sentence[0]["start"], 6),
            "end": round(sentence[-1]["end"], 6),
        }
        for sentence in sentences
    ]
    speaker = sentences[0][0].get("speaker")
    return {
        "sentences": written,
        **({} if speaker is None else {"speaker": speaker}),
        "num_words": sum(map(len, sentences)),
        "start": written[0]["start"],
        "end": written[-1]["end"],
    }


def _cut(words: Sequence[Word], ends: Callable[[Word, Word], bool]) -> list[list[Word]]:
    """Split words wherever `ends` is true of two neighbours."""
    groups: list[list[Word]] = []
    for word in words:
        if groups and not ends(groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _join(words: Sequence[Word], *, punctuate: bool) -> str:
    return " ".join(word["text" if punctuate else "word"] for word in words)
