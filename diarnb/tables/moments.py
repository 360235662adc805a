"""What two tables of one recording say at every moment: who is whom, and where they part."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from diarnb._text import visible
from diarnb.errors import InvalidParameterError
from diarnb.tables.activity import Floats, Masks, count_active, find_edges, mark_spans, match_one_to_one
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,7}$")

AND = " + "
"""Between the names of several who speak at once."""


class Pair(NamedTuple):
    """Two tables of one recording, checked; turns without length, which hold no speech, are left out."""

    uri: str | None
    left: pd.DataFrame
    right: pd.DataFrame


def pair_tables(left: pd.DataFrame, right: pd.DataFrame, names: tuple[str, str], *, known: bool = False) -> list[Pair]:
    """Pair two tables by recording, in the order of the left one; who is in one table only meets an empty one.

    Recordings are the same where their names are, or where these are with or without a suffix: `talk.flac` and `talk`.
    `uri` is None where neither table tells recordings apart, or only one does and has no more than one. With `known`,
    a recording that only the right table has is an error.
    """
    tables = [check_turns(table, name=name) for table, name in zip((left, right), names, strict=True)]
    if all("uri" in table for table in tables):
        same = match_names(tables[1]["uri"].astype(str), tables[0]["uri"].astype(str))
        tables[1]["uri"] = [same.get(uri, uri) for uri in tables[1]["uri"].astype(str)]
    uris = [table["uri"].astype(str).unique().tolist() if "uri" in table else None for table in tables]
    spoken = [table[table["duration"] > 0] for table in tables]
    for own, other, name, others in zip(uris, reversed(uris), names, reversed(spoken), strict=True):
        if own is not None and other is None and len(own) > 1 and len(others):
            lacking = names[1] if name == names[0] else names[0]
            raise InvalidParameterError(
                f"{name} holds {len(own)} recordings, but {lacking} does not tell its recordings apart; add a column "
                f"uri: `{lacking} = {lacking}.assign(uri={visible(own[0], limit=60)!r})`"
            )
    if None in uris and max(len(own or ()) for own in uris) <= 1:
        return [Pair(None, *spoken)]
    first, second = (own or [] for own in uris)
    strange = [uri for uri in second if uri not in set(first)]
    if known and strange:
        raise InvalidParameterError(
            f"{names[1]} has {_list_uris(strange)}, which {names[0]} does not have (it has {_list_uris(first)}); "
            "leave it out, or let both have the same names in uri"
        )
    parts = [
        dict(iter(table.groupby(table["uri"].astype(str)))) if own else {}
        for table, own in zip(spoken, uris, strict=True)
    ]
    return [
        Pair(uri, *(part.get(uri, table.iloc[:0]) for part, table in zip(parts, spoken, strict=True)))
        for uri in [*first, *strange]
    ]


def match_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Match names of recordings with known ones: the same, or the only one that is the same but for its suffix.

    Examples
    --------
    >>> match_names(["talk", "call.1"], ["talk.flac", "call.2"])
    {'talk': 'talk.flac'}
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(known))
    matched = {name: name for name in names if name in set(known)}
    stems = [pd.Series(uris, [cut_suffix(uri) for uri in uris], dtype=object) for uris in (names, known)]
    unique = [own[~own.index.duplicated(keep=False)] for own in stems]
    for stem in unique[0].index.intersection(unique[1].index):
        matched.setdefault(unique[0][stem], unique[1][stem])
    return matched


def cut_suffix(uri: str) -> str:
    """Return the name of a recording without the suffix of a file.

    Examples
    --------
    >>> cut_suffix("talk.flac"), cut_suffix("call.1")
    ('talk', 'call.1')
    """
    return _SUFFIX.sub("", uri)


def _list_uris(uris: Sequence[str]) -> str:
    shown = ", ".join(repr(visible(uri, limit=60)) for uri in uris[:3])
    return f"{shown} and {len(uris) - 3} more" if len(uris) > 3 else shown or "none"


class Moments:
    """Two tables of one recording, cut wherever anything changes, so that within a moment nothing does.

    Attributes
    ----------
    edges : numpy.ndarray, shape (n + 1,)
        Seconds: where moments begin, and the end of the last.
    seconds : numpy.ndarray, shape (n,)
    names : tuple of two lists of str
        The speakers of the left table and of the right one, in the order in which they come or of the alphabet.
    active : tuple of two numpy.ndarray, shape (speakers, n), bool
        Who speaks when; one who has several turns at once speaks once.
    """

    def __init__(
        self, left: pd.DataFrame, right: pd.DataFrame, *, also: Iterable[float] = (), alphabetical: bool = False
    ) -> None:
        self.edges: Floats = find_edges(left, right, also=also)
        self.seconds: Floats = np.diff(self.edges)
        (ours, heard), (theirs, found) = (_mark(table, self.edges, alphabetical) for table in (left, right))
        self.names: tuple[list[str], list[str]] = (ours, theirs)
        self.active: tuple[Masks, Masks] = (heard, found)

    def mark_covered(self, starts: Floats, ends: Floats) -> Masks:
        """Return which moments lie in a stretch; all bounds must be edges."""
        return count_active(starts, ends, self.edges) > 0

    def share(self, seconds: Floats) -> Floats:
        """Return for how many of the seconds of each moment each left speaker (rows) and right one both speak."""
        left, right = self.active
        shared: Floats = (left * seconds) @ right.T
        return shared

    def match_speakers(self, inside: Masks | None = None) -> dict[str, str]:
        """Match right speakers with left ones, one to one, so that they share the most time in all."""
        shared = self.share(self.seconds if inside is None else self.seconds * inside)
        return {self.names[1][column]: self.names[0][row] for row, column in match_one_to_one(shared).items()}

    def find_differences(self, twins: dict[str, str], inside: Masks | None = None) -> tuple[Masks, Masks]:
        """Return who speaks when by one table and not by the other, right speakers being whom they are matched with."""
        only = [active.copy() if inside is None else active & inside for active in self.active]
        for right, left in twins.items():
            row, column = self.names[0].index(left), self.names[1].index(right)
            both = only[0][row] & only[1][column]
            only[0][row] &= ~both
            only[1][column] &= ~both
        return only[0], only[1]

    def sum_agreement(self, apart: tuple[Masks, Masks]) -> tuple[Floats, Floats]:
        """Return seconds of speech on which both tables agree, and of all speech that either has, for every moment."""
        speaking, missing, extra = (part.sum(axis=0) for part in (self.active[0], *apart))
        same = speaking - missing
        return self.seconds * same, self.seconds * (same + np.maximum(missing, extra))

    def join_moments(self, apart: tuple[Masks, Masks], labels: Mapping[str, tuple[int, Sequence[str]]]) -> pd.DataFrame:
        """Join moments in which the same speakers are on one side only.

        Columns: ``start``, ``end``, ``duration``; ``wrong``, seconds of speech: those of the stretch times the larger
        number of the two; as `labels` says, who is on side 0 or 1 only, by these names; and ``side``: 0 or 1 where
        only that one has somebody, 2 where both have.
        """
        missing, extra = apart
        both = np.concatenate([missing, extra])
        new = np.ones(both.shape[1], dtype=bool)
        new[1:] = (both[:, 1:] != both[:, :-1]).any(axis=0)
        first = np.flatnonzero(new)
        beyond = np.append(first[1:], len(new))[: len(first)]
        worth = both[:, first].any(axis=0)
        first, beyond = first[worth], beyond[worth]
        start, end = self.edges[first], self.edges[beyond]
        missed, added = (part[:, first].sum(axis=0) for part in apart)
        count = np.maximum(missed, added)
        table = pd.DataFrame({"start": start, "end": end, "duration": end - start, "wrong": (end - start) * count})
        who = [find_combinations(part[:, first]) for part in apart]
        for column, (side, names) in labels.items():
            texts = [AND.join(filter(None, np.array(names, object)[speaking])) for speaking in who[side][0]]
            table[column] = pd.Series(np.array([*texts, ""], dtype=object)[who[side][1]], dtype=str)
        return table.assign(side=np.select([added == 0, missed == 0], [0, 1], 2))


def _mark(table: pd.DataFrame, edges: Floats, alphabetical: bool) -> tuple[list[str], Masks]:
    """Return the speakers of a table, and who speaks in each moment."""
    who, names = pd.factorize(table["speaker"].to_numpy(dtype=object), sort=alphabetical)
    return list(names), mark_spans(table["start"].to_numpy(), table["end"].to_numpy(), who, len(names), edges)


def find_combinations(who: Masks) -> tuple[list[Masks], NDArray[np.intp]]:
    """Return the different columns, and for each column which of them it is."""
    packed = np.ascontiguousarray(np.packbits(who, axis=0).T)
    if not packed.size:  # nobody, or never
        return [who[:, 0]] if who.shape[1] else [], np.zeros(who.shape[1], dtype=np.intp)
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    return list(who[:, first].T), which
