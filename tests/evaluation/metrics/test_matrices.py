"""Distances in one product: as of differences, and exactly 0 where rows are the same."""

import math

import numpy as np
import pytest
import torch

from gansynth.errors import InputError
from gansynth.evaluation.metrics.matrices import (
    BLOCK_NUMBERS,
    as_matrix,
    row_blocks,
    squared_distances,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_are_those_of_differences(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 33, generator=generator, dtype=dtype) for n in (50, 70))
    expected = (a[:, None] - b).square().sum(2)
    torch.testing.assert_close(squared_distances(a, b), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [5, 300, 2048])
def test_the_same_row_is_at_no_distance(dtype: torch.dtype, d: int) -> None:
    """Without care rounding makes it a little more, or less than 0."""
    rows = torch.randn(100, d, generator=torch.Generator().manual_seed(d), dtype=dtype)
    distances = squared_distances(rows, torch.cat([rows, rows[:30]]))
    same = torch.arange(100)[:, None] == torch.cat([torch.arange(100), torch.arange(30)])
    assert torch.equal(distances == 0, same)
    assert distances.min() == 0


@pytest.mark.parametrize("rows", [1, 2, 3, 999_999])
@pytest.mark.parametrize("width", [1, 7, BLOCK_NUMBERS // 2, BLOCK_NUMBERS + 1])
def test_blocks_cover_every_row_once(rows: int, width: int) -> None:
    if width > 7:
        rows = min(rows, 1000)
    sizes = [len(range(rows)[block]) for block in row_blocks(rows, width)]
    assert sum(sizes) == rows
    assert max(sizes) * width <= max(BLOCK_NUMBERS, width)


def test_arrays_become_float64() -> None:
    matrix = as_matrix(np.arange(6, dtype=np.float32).reshape(2, 3), "features")
    assert matrix.dtype == torch.float64
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(3), r"^x=\[3\]: the shape must be \[n, d\], both 1 or more\.$"),
        (torch.zeros(0, 3), r"^x=\[0, 3\]: the shape must be \[n, d\], both 1 or more\.$"),
        (torch.zeros(3, 0), r"^x=\[3, 0\]: the shape must be \[n, d\], both 1 or more\.$"),
        (
            torch.tensor([[1.0, math.nan]]),
            r"^x: hold NaN or infinite values; every number must be finite\.$",
        ),
    ],
)
def test_what_is_no_matrix_is_told(values: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_matrix(values, "x")
