"""Tiers, as the phoneticians' tools have them: one a speaker, and in none of them an overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Piece = tuple[float, float, str]


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
