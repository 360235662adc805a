"""Tiers, as the phoneticians' tools have them: which of them are speakers, and which are words, codes and silence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diarnb._text import suggest
from diarnb.errors import InvalidParameterError
from diarnb.formats._shared.names import is_shaped
from diarnb.formats._shared.reading import list_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diarnb.formats._shared.reading import Reading

Piece = tuple[float, float, str]
Row = tuple[float, float, str | None, str]

_SILENT = re.compile(
    r"sil|silent|silence|sp|pau|pause|non[-_]?speech|no[-_]?speech|noise|#|<sil>|<sp>|<p:?>|<pause>", re.IGNORECASE
)

_VOICED = re.compile(r"sounding|speech|voiced?|speaking|vocalization|talk", re.IGNORECASE)
# What tiers are called that hold what was said, by nobody in particular; the order is of preference.
_UTTERANCES = re.compile(
    r"utterances?|sentences?|trn|transcript(?:ion)?s?|text|txt|speech|ref|intervals?", re.IGNORECASE
)
_WORDS = re.compile(r"words?|wrd|tokens?|ort(?:-mau)?|orthograph\w*|mots?", re.IGNORECASE)
_PARTS = re.compile(
    r"phon\w*|ph|segments?|syll\w*|mau|kan(?:-mau)?|kas|ipa|pinyin|tones?|breaks?|gloss\w*|morph\w*|pos|lemma\w*|mas|"
    r"letters?|trans(?:lation|lit)\w*|ft|ge|mb",
    re.IGNORECASE,
)
_CODES = re.compile(
    r"(?:\w+[ _-])?(?:cod(?:e|es|ing)|gestures?|gaze|hands?|heads?|notes?|comments?|remarks?|topics?|sections?|events?|"
    r"noises?|context|activit(?:y|ies)|on_off|locations?|music|quality|errors?|misc|tags?|emotions?|affect|posture)"
    r"(?:[ _-]\w+)?",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"speakers?|spkr?s?|who|diari[sz]ation|turns?|speaker[ _-]?(?:id|labels?|turns?)|voices?", re.IGNORECASE
)
_NUMBERED = re.compile(r"(?:speaker|spk|spkr|s)[ _-]?\d+", re.IGNORECASE)
_SPEECH = re.compile(r"speech|spch|utt\w*|transcr\w*|orth\w*|txt|text|ref|words?|verbal|default", re.IGNORECASE)
_SAME = 0.95  # the share of two tiers' labelled time that they share, from which they are one speech told twice


@dataclass
class Tier:
    """A tier of a file.

    Attributes
    ----------
    name : str
    pieces : list of (start, end, label)
    participant : str
        Whose it is, where the file tells.
    """

    name: str
    pieces: list[Piece] = field(default_factory=list)
    participant: str = ""

    @property
    def owner(self) -> str:
        """Whom the tier belongs to."""
        return self.participant or self.name


def is_silence(label: str) -> bool:
    """Check whether a label says that nobody speaks."""
    return _SILENT.fullmatch(label) is not None


def choose_rows(tiers: Sequence[Tier], reading: Reading) -> list[Row]:
    """Make turns of the tiers that are speakers, or whose labels are.

    Parameters
    ----------
    tiers : sequence of Tier
    reading : Reading
        Its ``tiers`` and ``labels`` decide where they are given; else what is decided becomes a remark.

    Returns
    -------
    list of (start, end, speaker, text)
        The speaker is None where words are told and nobody is named.
    """
    if reading.tiers is not None:
        chosen = _pick(tiers, reading.tiers)
        named: dict[int, str | None] = {id(tier): tier.owner for tier in chosen}
    else:
        chosen, named = _elect(tiers, reading)
    rows: list[Row] = []
    silent = 0
    by_label = reading.labels == "speaker" or (reading.labels is None and _are_speakers(chosen, reading))
    for tier in chosen:
        for start, end, label in tier.pieces:
            if is_silence(label) and label != tier.owner:
                silent += 1
            elif by_label:
                rows += [(start, end, label, "")] if label else []
            else:
                rows.append((start, end, named[id(tier)], "" if label == tier.owner else label))
    if silent:
        reading.remarks.append(f"{silent} intervals labelled as silence are left out")
    return rows


def _pick(tiers: Sequence[Tier], names: Sequence[str]) -> list[Tier]:
    unknown = [name for name in names if all(tier.name != name for tier in tiers)]
    if unknown:
        known = list_names([tier.name for tier in tiers], 12) or "none"
        meant = suggest(unknown[0], [tier.name for tier in tiers], f"the file has {known}")
        raise InvalidParameterError(f"there is no tier {unknown[0]!r:.60}; {meant}")
    return [tier for tier in tiers if tier.name in names]


def _elect(tiers: Sequence[Tier], reading: Reading) -> tuple[list[Tier], dict[int, str | None]]:
    """Find the tiers that are speakers; of one speech that is told several times the coarsest."""
    used = [tier for tier in tiers if tier.pieces]
    people = [tier for tier in used if tier.participant]
    # Where participants are named, a tier without one may be of a person who is not, and mostly is no speech at all.
    people += [tier for tier in used if people and not tier.participant and is_shaped(tier.name)]
    chosen = [tier for tier in people or used if not _is_code(tier) or tier.participant] or used
    groups: list[list[Tier]] = []
    for tier in chosen:
        near = next((group for group in groups if _is_one(tier, group)), None)
        if near is None:
            groups.append([tier])
        else:
            near.append(tier)
    kept, named = [], {}
    for group in groups:
        own = _find_speech(group)
        kept += own
        for tier in own:
            named[id(tier)] = _find_owner(tier, group)
    left = [tier.name for tier in used if id(tier) not in named]
    if left:
        reading.remarks.append(
            f"of its {len(used)} tiers {list_names([tier.name for tier in kept])} "
            f"{'is' if len(kept) == 1 else 'are'} read, and {list_names(left)} left out; tiers=[...] overrides this"
        )
    return kept, named


def _is_code(tier: Tier) -> bool:
    return _CODES.fullmatch(tier.name.strip()) is not None


def _split_owner(name: str) -> tuple[str, str]:
    """Split `Maya - words`, or `words@Maya`, into the owner and the kind of the tier; the owner may be missing."""
    for pattern, owner, kind in ((r"(.+?)\s*@\s*(.+)", 2, 1), (r"(.+?)(?:\s+-\s+|[ _-])(\w[\w-]*)", 1, 2)):
        found = re.fullmatch(pattern, name.strip())
        if found and any(each.fullmatch(found[kind]) for each in (_UTTERANCES, _WORDS, _PARTS)):
            return found[owner], found[kind]
    if any(each.fullmatch(name.strip()) for each in (_UTTERANCES, _WORDS, _PARTS)):
        return "", name.strip()
    return name, ""


def _is_one(tier: Tier, group: Sequence[Tier]) -> bool:
    """Check whether a tier tells the same person's speech as those of a group."""
    first = group[0]
    if tier.participant or first.participant:
        return tier.participant == first.participant
    own, other = _split_owner(tier.name), _split_owner(first.name)
    if own[1] or other[1]:
        return own[0] == other[0] or (not (own[0] and other[0]) and _share_time(tier, first))
    return _share_time(tier, first) and len(tier.pieces) + len(first.pieces) > 4


def _share_time(one: Tier, other: Tier) -> bool:
    both_tiers = (one, other)
    spans = [[(start, end) for start, end, label in tier.pieces if not is_silence(label)] for tier in both_tiers]
    totals = [sum(end - start for start, end in each) for each in spans]
    both, place = 0.0, 0
    for start, end in sorted(spans[0]):
        while place < len(spans[1]) and spans[1][place][1] <= start:
            place += 1
        at = place
        while at < len(spans[1]) and spans[1][at][0] < end:
            both += max(min(end, spans[1][at][1]) - max(start, spans[1][at][0]), 0.0)
            at += 1
    return both >= _SAME * max(totals) > 0


def _find_speech(group: list[Tier]) -> list[Tier]:
    """Find, of one person's tiers, those that tell the speech: by their names, else the one with the most."""
    person = group[0].participant
    if person:
        own = [tier for tier in group if re.fullmatch(rf"{re.escape(person)}(?: \(\d+\))?", tier.name)]
        if own:
            return own
        spoken = [tier for tier in group if _SPEECH.search(tier.name) and not _is_code(tier)]
        spoken = spoken or [tier for tier in group if not _CODES.search(tier.name)] or group
        return [max(spoken, key=lambda tier: sum(end - start for start, end, _ in tier.pieces))]
    if len(group) > 1 and len({tier.name for tier in group}) == 1:
        return group  # a speaker who overlaps themselves has several tiers of one name
    kind_of = {id(tier): _split_owner(tier.name)[1] or "-" for tier in group}
    kinds = ([tier for tier in group if each.fullmatch(kind_of[id(tier)])] for each in (_UTTERANCES, _WORDS))
    best = next(filter(None, kinds), group)
    return [min(best, key=lambda tier: len(tier.pieces))]


def _find_owner(tier: Tier, group: list[Tier]) -> str | None:
    """Find whose words a tier holds; None where it is called by what it holds, and not by a person."""
    if tier.participant:
        return tier.participant
    owner, kind = _split_owner(tier.name)
    if kind:
        return owner or None
    same = [each for each in group if each is not tier and each.name != tier.name]
    return None if same and all(_split_owner(each.name)[0] != tier.name for each in same) else tier.name


def _are_speakers(tiers: Sequence[Tier], reading: Reading) -> bool:
    """Check whether the labels of the only tier are speakers: numbered ones, voiced stretches, or names that recur."""
    if len(tiers) != 1 or tiers[0].participant:
        return False
    tier = tiers[0]
    labels = [label for *_, label in tier.pieces if label and label != tier.name and not is_silence(label)]
    kinds = set(labels)
    voiced = all(_VOICED.fullmatch(label) for label in kinds)
    numbered = all(_NUMBERED.fullmatch(label) for label in kinds)
    called = _LABELS.fullmatch(tier.name.strip()) is not None
    recurring = 2 * len(kinds) <= len(labels) and all(len(label) <= 30 for label in kinds)
    names = recurring and len(kinds) > 1 and all(is_shaped(label) for label in kinds)
    called = called and (recurring or all(" " not in label for label in kinds))
    if not labels or not (voiced or numbered or called or names):
        return False
    reading.remarks.append(
        f"the labels of its tier {tier.name!r:.40} are read as speakers ({list_names(sorted(kinds))}); "
        'labels="text" says otherwise'
    )
    return True


def arrange_tiers(rows: Iterable[tuple[float, float, str, str]]) -> list[tuple[str, list[Piece]]]:
    """Sort rows of start, end, speaker and text into tiers; who overlaps themselves has several. Points are left out.

    Examples
    --------
    >>> arrange_tiers([(0, 2, "Maya", ""), (1, 3, "Maya", ""), (2, 4, "Maya", "")])
    [('Maya', [(0, 2, ''), (2, 4, '')]), ('Maya', [(1, 3, '')])]
    """
    found: dict[str, list[list[Piece]]] = {}
    for start, end, speaker, text in rows:
        lanes = found.setdefault(speaker, [[]])
        if end <= start:
            continue
        free = next((lane for lane in lanes if not lane or lane[-1][1] <= start), None)
        if free is None:
            free = []
            lanes.append(free)
        free.append((start, end, text))
    return [(speaker, lane) for speaker, lanes in found.items() for lane in lanes]
