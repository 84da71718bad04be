"""k-means: as good as scikit-learn's, the same for a seed, and unharmed by odd points."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.kmeans import kmeans, nearest_centroids


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clusters(n: int, d: int, count: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points around random centres, all equally many, and the number of each one's cluster."""
    which = torch.arange(n) * count // n
    return 5 * normal(count, d, seed=seed)[which] + spread * normal(n, d, seed=seed + 1), which


def inertia(points: Tensor, centroids: Tensor) -> float:
    differences = points.double() - centroids.double()[nearest_centroids(points, centroids)]
    return float(differences.square().sum())


def is_one_to_one(which: Tensor, cells: Tensor) -> bool:
    pairs = torch.stack([which, cells]).unique(dim=1)
    return pairs.shape[1] == len(which.unique()) == len(cells.unique())


@pytest.mark.parametrize(("count", "spread"), [(8, 1.0), (30, 6.0)], ids=["clusters", "a blur"])
def test_inertia_is_scikit_learns(count: int, spread: float) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    points, _ = clusters(1500, 24, count, spread)
    theirs = cluster.KMeans(20, n_init=3, random_state=0).fit(points.numpy()).inertia_
    assert inertia(points, kmeans(points, 20)) < 1.02 * theirs


@pytest.mark.parametrize("seed", range(10))
def test_one_start_finds_clear_clusters(seed: int) -> None:
    points, which = clusters(600, 8, 12, 0.1)
    centroids = kmeans(points, 12, seed, restarts=1)
    cells = nearest_centroids(points, centroids)
    assert is_one_to_one(which, cells)
    means = torch.stack([points[cells == cell].mean(0) for cell in range(12)])
    torch.testing.assert_close(centroids, means, rtol=1e-5, atol=1e-5)


def test_a_seed_gives_the_same_centroids() -> None:
    points, _ = clusters(300, 4, 30, 3.0)
    first = kmeans(points, 10, seed=3, restarts=1)
    torch.testing.assert_close(kmeans(points, 10, seed=3, restarts=1), first, rtol=0, atol=0)
    assert not torch.equal(kmeans(points, 10, seed=4, restarts=1), first)


def test_restarts_help() -> None:
    points, _ = clusters(400, 6, 40, 3.0)
    one, many = (inertia(points, kmeans(points, 15, restarts=n)) for n in (1, 8))
    assert many <= one


def test_a_cell_is_of_the_nearest_centroid() -> None:
    points, centroids = normal(500, 5), normal(7, 5, seed=1)
    expected = (points[:, None] - centroids).square().sum(2).argmin(1)
    cells = nearest_centroids(points, centroids)
    assert cells.dtype == torch.int64
    assert torch.equal(cells, expected)


def test_blocks_leave_no_seam() -> None:
    """More distances than one block holds, each block beginning anew."""
    points = torch.arange(120_000, dtype=torch.float32)[:, None] % 100
    cells = nearest_centroids(points, torch.arange(100, dtype=torch.float32)[:, None])
    assert torch.equal(cells, torch.arange(120_000) % 100)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(0, 60))
def test_repeated_points_leave_no_cell_empty(seed: int, k: int, copies: int) -> None:
    """As many different points as cells, one many times over: each gets its cell."""
    different = normal(k, 3, seed=seed)
    points = torch.cat([different, different[:1].repeat(copies, 1)])
    centroids = kmeans(points, k, seed=seed, restarts=1)
    assert len(nearest_centroids(points, centroids).unique()) == k
    assert inertia(points, centroids) < 1e-6


def test_a_cell_without_points_moves_to_a_point() -> None:
    """Three different points, but two of them are one to distances in 32 bits."""
    points = torch.tensor([[-100.0], [100.0], [100.00001]])
    centroids = kmeans(points, 3, restarts=1)
    assert float(torch.cdist(centroids, points).amin(1).max()) < 1e-3


def test_a_large_offset_does_no_harm() -> None:
    """Products of the raw points, in 32 bits, would lose the differences."""
    points, which = clusters(300, 6, 5, 0.01)
    points = 0.1 * points - 3000
    cells = nearest_centroids(points, kmeans(points, 5))
    assert is_one_to_one(which, cells)


def test_numpy_arrays_are_taken() -> None:
    points = normal(30, 2).numpy().astype(np.float64)
    assert kmeans(points, 3).dtype == torch.float32


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (0, "^k=0: must be 1 or more.$"),
        (
            4,
            "^k=4: must be at most the number of different points, 3;"
            " ask for fewer clusters or give more points.$",
        ),
    ],
)
def test_an_impossible_number_of_cells_is_told(k: int, message: str) -> None:
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [0.0, 1.0], [-0.0, 1.0]])
    with pytest.raises(InputError, match=message):
        kmeans(points, k)


def test_points_that_do_not_fit_are_told() -> None:
    with pytest.raises(InputError, match=r"^points=\[3, 2\]: the shape must be \[n, 4\], as of"):
        nearest_centroids(normal(3, 2), normal(3, 4))
    with pytest.raises(InputError, match=r"^points: hold NaN or infinite values;"):
        kmeans(torch.tensor([[0.0], [torch.inf]]), 1)
