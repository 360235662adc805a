"""Cluster by Ward's method, with numpy alone: SciPy takes a third of a second to import, and the rest is a page.

References
----------
Müllner, "Modern hierarchical, agglomerative clustering algorithms", arXiv:1109.2378, 2011: the chain of nearest
neighbours.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cluster_by_ward(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Label each point with one of `count` clusters, as many as there are points at most.

    Parameters
    ----------
    points : numpy.ndarray [shape=(points, dimensions)]
    count : int

    Returns
    -------
    numpy.ndarray [shape=(points,)]
        Labels 0, 1, ... in order of appearance.

    Examples
    --------
    >>> cluster_by_ward(np.array([[0.0], [9.0], [1.0], [9.5]]), 2).tolist()
    [0, 1, 0, 1]
    """
    parent = np.arange(len(points))
    for _, kept, gone in _list_merges(points.tobytes(), points.shape, points.dtype.str)[: max(len(points) - count, 0)]:
        parent[parent == parent[gone]] = parent[kept]
    _, first, labels = np.unique(parent, return_index=True, return_inverse=True)
    order: NDArray[np.int64] = np.argsort(np.argsort(first))
    return order[labels]


@functools.lru_cache(2)  # other counts of the same points are asked for again and again, as by `recluster`
def _list_merges(content: bytes, shape: tuple[int, int], dtype: str) -> list[tuple[float, int, int]]:
    """Return what `_merge_neighbours` does, the nearest first."""
    points = np.frombuffer(content, dtype).reshape(shape)
    return sorted(_merge_neighbours(points.astype(np.float64)), key=lambda merge: merge[0])


def _merge_neighbours(points: NDArray[np.float64]) -> list[tuple[float, int, int]]:
    """Merge all points, and return the squared distance and a point of either side of each merge."""
    norms = (points**2).sum(1)
    distance = np.maximum(norms[:, None] + norms - 2 * points @ points.T, 0)
    np.fill_diagonal(distance, np.inf)
    sizes = np.ones(len(points))
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < len(points) - 1:
        if not chain:
            chain = [int(np.flatnonzero(sizes)[0])]
        while True:
            last = chain[-1]
            nearest = int(distance[last].argmin())
            if len(chain) > 1 and distance[last, chain[-2]] <= distance[last, nearest]:
                break
            chain.append(nearest)
        one, other = chain.pop(), chain.pop()
        merges.append((float(distance[one, other]), one, other))
        weights = sizes + sizes[one], sizes + sizes[other], sizes
        total = sizes + sizes[one] + sizes[other]
        merged = weights[0] * distance[one] + weights[1] * distance[other] - weights[2] * distance[one, other]
        merged /= total  # infinite where a point is gone
        merged[[one, other]] = np.inf
        distance[one], distance[:, one] = merged, merged
        distance[other], distance[:, other] = np.inf, np.inf
        sizes[one] += sizes[other]
        sizes[other] = 0
    return merges
