"""k-means: centroids of clusters that divide a cloud of points, and the cluster of any point.

Lloyd 1982, started by greedy k-means++ (Arthur & Vassilvitskii 2007): of a few candidates for the
next centroid, the one that lowers the sum of squared distances most.
"""

from __future__ import annotations

import math
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.matrices import as_matrix, row_blocks, squared_distances

_ROUNDS = 100  # at most; a start ends when no point changes its cluster


def kmeans(points: Tensor | np.ndarray, k: int, seed: int = 0, restarts: int = 3) -> Tensor:
    """The centroids of k clusters with the least sum of squared distances found.

    Parameters
    ----------
    points : float [n, d]
        Of at least k different values; computed in float32.
    k : int, 1 or more
    seed : int
        The same points, k, restarts and seed give the same centroids.
    restarts : int, 1 or more
        The best of so many starts is kept.

    Returns
    -------
    float32 [k, d]

    Raises
    ------
    InputError
        Fewer different points than k, numbers that aren't finite, or a count below 1.
    """
    for name, value in (("k", k), ("restarts", restarts)):
        if value < 1:
            raise InputError(f"{name}={value}: must be 1 or more.")
    points = as_matrix(points, "points", torch.float32)
    different = len({hash(row.numpy().tobytes()) for row in points + 0.0})  # one 0, not two
    if different < k:
        raise InputError(
            f"k={k}: must be at most the number of different points, {different};"
            " ask for fewer clusters or give more points."
        )
    centre = points.mean(0)
    centred = points - centre
    generator = torch.Generator().manual_seed(seed)
    starts = (_plus_plus(centred, k, generator) for _ in range(restarts))
    _, centroids = min((_lloyd(centred, start) for start in starts), key=itemgetter(0))
    return centroids + centre


def nearest_centroids(points: Tensor | np.ndarray, centroids: Tensor | np.ndarray) -> Tensor:
    """The cluster of each point: its nearest centroid, the first of equally near ones.

    Parameters
    ----------
    points : float [n, d]
    centroids : float [k, d]

    Returns
    -------
    int64 [n], 0 to k - 1

    Raises
    ------
    InputError
        Rows of two lengths, or numbers that aren't finite.
    """
    points = as_matrix(points, "points", torch.float32)
    centroids = as_matrix(centroids, "centroids", torch.float32)
    if points.shape[1] != centroids.shape[1]:
        raise InputError(
            f"points={list(points.shape)}: the shape must be [n, {centroids.shape[1]}],"
            " as of the centroids."
        )
    centre = centroids.mean(0)
    return _assign(points - centre, centroids - centre)[0]


def _plus_plus(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Choose k points, each drawn in proportion to its squared distance from those before."""
    candidates = 2 + int(math.log(k))
    first = torch.randint(len(points), (1,), generator=generator)
    chosen = [points[first]]
    distances = squared_distances(points, chosen[0])[:, 0]
    for _ in range(k - 1):
        drawn = _draw(distances, candidates, generator)
        lowered = torch.minimum(distances[:, None], squared_distances(points, points[drawn]))
        best = lowered.sum(0).argmin()
        chosen.append(points[drawn[best]][None])
        distances = lowered[:, best]
    return torch.cat(chosen)


def _draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    sums = weights.double().cumsum(0)
    levels = sums[-1] * torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.searchsorted(sums, levels, right=True).clamp_max(len(weights) - 1)


def _lloyd(points: Tensor, centroids: Tensor) -> tuple[float, Tensor]:
    """Inertia and centroids after at most `_ROUNDS`."""
    clusters = None
    for _ in range(_ROUNDS):
        before = clusters
        clusters, distances = _assign(points, centroids)
        if before is not None and torch.equal(before, clusters):
            break
        centroids = _means(points, clusters, distances, len(centroids))
    return float(_assign(points, centroids)[1].double().sum()), centroids


def _means(points: Tensor, clusters: Tensor, distances: Tensor, k: int) -> Tensor:
    """The clusters' means; an empty cluster moves to a point that is far from its own centroid."""
    counts = torch.bincount(clusters, minlength=k)
    sums = torch.zeros(k, points.shape[1]).index_add_(0, clusters, points)
    empty = (counts == 0).nonzero()[:, 0]
    means = sums / counts.clamp_min(1)[:, None]
    means[empty] = points[distances.topk(len(empty)).indices]
    return means


def _assign(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each point, int64 [n], and its squared distance, float32 [n]."""
    found = [
        squared_distances(points[rows], centroids).min(1)
        for rows in row_blocks(len(points), len(centroids))
    ]
    return torch.cat([each.indices for each in found]), torch.cat([each.values for each in found])
