"""Colours of speakers, alike in pictures, players and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#7A7A7A")
"""Okabe and Ito's colours, told apart by colour-blind readers too; a mid grey for black, to be seen on dark pages."""


def speaker_colors(speakers: Iterable[str]) -> dict[str, str]:
    """Choose a colour for each speaker, in the order in which they come; the ninth shares that of the first.

    The order of first appearance makes a colour outlast a renaming, which an alphabetical one would not.

    Examples
    --------
    >>> speaker_colors(["Beth", "Alf"])
    {'Beth': '#0072B2', 'Alf': '#E69F00'}
    """
    return {speaker: PALETTE[place % len(PALETTE)] for place, speaker in enumerate(speakers)}
