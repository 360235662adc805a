"""Cluster hierarchically with numpy alone: it is a page, and SciPy has 143 MB.

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
    groups = [[place] for place in range(len(points))]
    for _, kept, gone in _list_merges(points.tobytes(), points.shape, points.dtype.str)[: max(len(points) - count, 0)]:
        merged = groups[kept]
        merged += groups[gone]
        for place in groups[gone]:
            groups[place] = merged
    order: dict[int, int] = {}
    return np.array([order.setdefault(id(group), len(order)) for group in groups], np.int64)


@functools.lru_cache(2)  # other counts of the same points are asked for again and again, as by `recluster`
def _list_merges(content: bytes, shape: tuple[int, int], dtype: str) -> list[tuple[float, int, int]]:
    """Return the merges of Ward's method, the nearest first."""
    points = np.frombuffer(content, dtype).reshape(shape).astype(np.float64)
    products = points @ points.T
    products *= 2
    norms = np.square(points, out=points).sum(1)
    distance = norms[:, None] + norms
    distance -= products
    return sorted(merge_neighbours(np.maximum(distance, 0, out=distance), ward=True), key=lambda merge: merge[0])


def merge_neighbours(distance: NDArray[np.float64], *, ward: bool) -> list[tuple[float, int, int]]:
    """Merge all points, in no order, and return the distance and a point of either side of each merge.

    Parameters
    ----------
    distance : numpy.ndarray [shape=(points, points)]
        Between any two, squared for Ward's method; it is overwritten.
    ward : bool
        Whether by Ward's method, else by the average distance.
    """
    count = len(distance)
    np.fill_diagonal(distance, np.inf)
    sizes = np.ones(count)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < count - 1:
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
        also = sizes if ward else np.float64(0)
        merged = (sizes[one] + also) * distance[one]
        merged += (sizes[other] + also) * distance[other]
        merged -= also * distance[one, other]
        merged /= sizes[one] + sizes[other] + also  # infinite where a point is gone
        merged[one] = merged[other] = np.inf
        distance[one], distance[:, one], distance[:, other] = merged, merged, np.inf
        sizes[one] += sizes[other]
        sizes[other] = 0
    return merges
