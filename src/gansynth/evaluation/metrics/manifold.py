"""How far two clouds of features cover each other: precision, recall, density and coverage.

Kynkäänniemi et al. 2019 (precision, recall) and Naeem et al. 2020 (density, coverage). A cloud's
manifold is the union of balls around its points, each up to that point's k-th nearest neighbour.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.matrices import as_matrix, row_blocks, squared_distances


class Manifold(NamedTuple):
    """What `manifold_metrics` finds; higher is better."""

    precision: float  # share of made notes inside a real note's ball: quality
    recall: float  # share of real notes inside a made note's ball: diversity
    density: float  # real balls that a made note is in, over k: 1 is as expected, can exceed it
    coverage: float  # share of real balls that hold a made note: diversity, firm against outliers


def manifold_metrics(real: Tensor | np.ndarray, fake: Tensor | np.ndarray, k: int = 5) -> Manifold:
    """Precision, recall, density and coverage, in float64 and in blocks: no [n, m] is held.

    Recall and coverage rise with the number of made notes, so compare rows of as many.

    Parameters
    ----------
    real : float [n, d]
    fake : float [m, d]
    k : int, 1 or more
        A ball reaches to the k-th nearest other point of its own cloud; its rim is outside.

    Raises
    ------
    InputError
        Not more than k notes in a cloud, rows of two lengths, or numbers that aren't finite.
    """
    real, fake = as_matrix(real, "real"), as_matrix(fake, "fake")
    if k < 1:
        raise InputError(f"k={k}: must be 1 or more.")
    for name, cloud in (("real", real), ("fake", fake)):
        if len(cloud) <= k:
            raise InputError(
                f"{name}={len(cloud)} notes: the {k} nearest others need at least {k + 1};"
                " give more notes or a smaller k."
            )
    if real.shape[1] != fake.shape[1]:
        raise InputError(
            f"fake={list(fake.shape)}: the shape must be [m, {real.shape[1]}], as of real."
        )
    centre = real.mean(0)
    real, fake = real - centre, fake - centre
    real_radii, fake_radii = _squared_radii(real, k), _squared_radii(fake, k)

    balls = torch.empty(len(fake), dtype=torch.int64)  # real ones, around each made note
    nearest_fake = torch.full((len(real),), torch.inf, dtype=torch.float64)
    recalled = torch.zeros(len(real), dtype=torch.bool)
    for rows in row_blocks(len(fake), len(real)):
        distances = squared_distances(fake[rows], real)
        balls[rows] = (distances < real_radii).sum(1)
        torch.minimum(nearest_fake, distances.amin(0), out=nearest_fake)
        recalled |= (distances < fake_radii[rows, None]).any(0)
    return Manifold(
        precision=float((balls > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(balls.double().mean()) / k,
        coverage=float((nearest_fake < real_radii).double().mean()),
    )


def _squared_radii(points: Tensor, k: int) -> Tensor:
    """Squared distance of each point to its k-th nearest other, float64 [n]."""
    radii = torch.empty(len(points), dtype=torch.float64)
    for rows in row_blocks(len(points), len(points)):
        # The point itself, at distance 0, is the first of its k + 1 nearest.
        near = squared_distances(points[rows], points).topk(k + 1, largest=False).values
        radii[rows] = near.amax(1)
    return radii
