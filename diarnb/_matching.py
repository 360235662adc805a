"""Who is whom: names for speakers, from how well each matches each voiceprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Mapping


def choose(
    scores: Mapping[str, Mapping[str, float]], labels: list[str], threshold: float, *, exclusive: bool
) -> dict[str, str]:
    """Give a label to each speaker who has one.

    Parameters
    ----------
    scores : mapping
        Of each speaker how well he matches each label, 0-100; nothing of one who cannot be heard.
    labels : list of str
    threshold : float
        Score below which nobody is anybody.
    exclusive : bool
        Whether a label names at most one speaker: the assignment with the highest sum of scores, else everybody's best.
    """
    heard = [speaker for speaker, found in scores.items() if found]
    table = np.array([[scores[speaker][label] for label in labels] for speaker in heard]).reshape(-1, len(labels))
    allowed = table.round(1) >= threshold  # as it is shown
    worth = np.where(allowed, table, -1.0)  # rather a bad match than one that is not to be
    if exclusive:
        rows, columns = linear_sum_assignment(worth, maximize=True)
    else:
        rows, columns = np.arange(len(heard)), worth.argmax(1)
    return {heard[row]: labels[column] for row, column in zip(rows, columns, strict=True) if allowed[row, column]}
