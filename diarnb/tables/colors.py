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


_GAP = "var(--jp-layout-color1, Canvas)"
_STRIPES = f"repeating-linear-gradient({{}} {_GAP} 0 1px, transparent 1px 4px), "
_PATTERNS = (  # as the hatches of the timeline, in their order
    "",
    _STRIPES.format("-45deg,"),
    f"radial-gradient({_GAP} 1px, transparent 1.3px) 0 0 / 4px 4px, ",
    _STRIPES.format("-45deg,") + _STRIPES.format("45deg,"),
    _STRIPES.format(""),
)


def speaker_fills(speakers: Iterable[str]) -> dict[str, str]:
    """Choose how each speaker is filled on a page: a CSS background, from the ninth on with the timeline's hatches.

    Examples
    --------
    >>> speaker_fills(["Beth", "Alf"])
    {'Beth': '#0072B2', 'Alf': '#E69F00'}
    """
    looks = enumerate(speaker_colors(speakers).items())
    return {name: _PATTERNS[place // len(PALETTE) % len(_PATTERNS)] + color for place, (name, color) in looks}
