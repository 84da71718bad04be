"""Kernel distance: how far two clouds of points are, without a bias from how many there are.

Bińkowski et al. 2018 ("Demystifying MMD GANs"), where it is KID: the squared maximum mean
discrepancy with the kernel k(x, y) = (x·y / d + 1)³, by the estimator without bias

    MMD² = mean of k(x, x') over x ≠ x' + mean of k(y, y') over y ≠ y' - 2 × mean of k(x, y)

over all pairs, where the paper averages over subsets to save time.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.matrices import as_matrix, row_blocks


def kernel_distance(
    real: Tensor | np.ndarray, fake: Tensor | np.ndarray, real_kernel: float | None = None
) -> float:
    """MMD² of points `[n, d]` and `[m, d]`, in float64 and in blocks: no [n, m] is held.

    Parameters
    ----------
    real : float [n, d]
    fake : float [m, d]
    real_kernel : float or None
        `mean_kernel` of `real`, where it is known.

    Returns
    -------
    float
        About 0 for two samples of one distribution; it can fall below.

    Raises
    ------
    InputError
        Fewer than two notes in a cloud, rows of two lengths, or numbers that aren't finite.
    """
    real, fake = as_matrix(real, "real"), as_matrix(fake, "fake")
    if real.shape[1] != fake.shape[1]:
        raise InputError(
            f"fake={list(fake.shape)}: the shape must be [m, {real.shape[1]}], as of real."
        )
    between = _kernel_sum(real, fake) / (len(real) * len(fake))
    within = mean_kernel(real) if real_kernel is None else real_kernel
    return within + mean_kernel(fake) - 2 * between


def mean_kernel(points: Tensor | np.ndarray) -> float:
    """The kernel's mean over all pairs of two different points `[n, d]`; raises `InputError`."""
    points = as_matrix(points, "points")
    count = len(points)
    if count < 2:
        raise InputError(f"points={count}: a pair needs two notes or more.")
    same = (points.square().sum(1) / points.shape[1] + 1).pow(3).sum()
    return (_kernel_sum(points, points) - float(same)) / (count * (count - 1))


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    blocks = (x[rows] @ y.T / x.shape[1] for rows in row_blocks(len(x), len(y)))
    return sum(float(products.add_(1).pow_(3).sum()) for products in blocks)
