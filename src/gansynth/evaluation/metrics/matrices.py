"""Rows of numbers, one per note: checked, and compared in blocks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gansynth.errors import InputError

BLOCK_NUMBERS = 1 << 22  # of a block of distances: 32 MiB in float64


def as_matrix(values: Tensor | np.ndarray, name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    """The values on the CPU, without gradients, as a matrix [n, d] of finite numbers.

    Raises
    ------
    InputError
        No matrix, an empty one, or a number that is NaN or infinite.
    """
    matrix = torch.as_tensor(values).detach()
    if matrix.ndim != 2 or matrix.numel() == 0:
        shape = list(matrix.shape)
        raise InputError(f"{name}={shape}: the shape must be [n, d], both 1 or more.")
    matrix = matrix.to("cpu", dtype)
    if not matrix.isfinite().all():
        raise InputError(f"{name}: hold NaN or infinite values; every number must be finite.")
    return matrix


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices that cover `rows`, each with at most `BLOCK_NUMBERS` numbers, `width` to a row."""
    size = max(1, BLOCK_NUMBERS // width)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|² as |a_i|² - 2 a_i·b_j + |b_j|²: one matrix product.

    Precise where both are near the origin, so centre them first. What is within rounding of 0
    becomes 0: a row's distance to itself is nothing.

    Parameters
    ----------
    a : float [n, d]
    b : float [m, d]

    Returns
    -------
    float [n, m], of the inputs' type
    """
    sizes = a.square().sum(1)[:, None] + b.square().sum(1)
    distances = torch.addmm(sizes, a, b.T, alpha=-2)
    rounding = 4 * a.shape[1] ** 0.5 * torch.finfo(a.dtype).eps
    return distances.masked_fill_(distances <= sizes.mul_(rounding), 0)
