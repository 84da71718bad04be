"""The Fréchet distance: closed forms, other implementations, and how it depends on the notes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.frechet import (
    Gaussian,
    extrapolated_frechet_distance,
    frechet_distance,
    needed,
)

SEEDS = st.integers(0, 2**32)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def exact(mean: Tensor, covariance: Tensor) -> Gaussian:
    """A Gaussian of 3d + 2 notes that have this very mean and covariance."""
    d = len(mean)
    noise = normal(3 * d + 2, d, seed=1)
    basis = torch.linalg.qr(noise - noise.mean(0)).Q  # orthonormal columns of mean 0
    values, vectors = torch.linalg.eigh(covariance)
    spread = vectors * values.clamp_min(0).sqrt()
    return Gaussian(d).update(mean + (len(noise) - 1) ** 0.5 * basis @ spread.T)


def random_covariance(d: int, seed: int) -> Tensor:
    factor = normal(d, d, seed=seed)
    return factor @ factor.T / d


def test_statistics_are_numpys() -> None:
    rows = normal(50, 7) + 3
    whole = Gaussian(7).update(rows)
    assert whole.count == 50
    np.testing.assert_allclose(whole.mean, rows.mean(0), rtol=1e-13)
    np.testing.assert_allclose(whole.covariance, np.cov(rows.numpy(), rowvar=False), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_batches_and_merges_give_what_the_whole_gives(seed: int, sizes: list[int]) -> None:
    """Far from the origin, too, where sums of squares would have lost everything."""
    batches = [normal(size, 4, seed=seed + i) + 1e7 for i, size in enumerate([5, *sizes])]
    whole = Gaussian(4).update(torch.cat(batches))
    streamed, merged = Gaussian(4), Gaussian(4)
    for batch in batches:
        streamed.update(batch)
        merged.merge(Gaussian(4).update(batch))
    for parts in (streamed, merged):
        assert parts.count == whole.count
        torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-14, atol=0)
        torch.testing.assert_close(parts.covariance, whole.covariance, rtol=0, atol=1e-7)


def test_diagonal_gaussians() -> None:
    """Per coordinate: (m_a - m_b)² + (s_a - s_b)²."""
    a = exact(torch.tensor([0.0, 1, 2]).double(), torch.diag(torch.tensor([1.0, 4, 9]).double()))
    b = exact(torch.tensor([3.0, 1, 0]).double(), torch.diag(torch.tensor([4.0, 4, 25]).double()))
    assert frechet_distance(a, b) == pytest.approx((9 + 0 + 4) + (1 + 0 + 4), rel=1e-12)


def test_equal_covariances_leave_the_means() -> None:
    covariance, shift = random_covariance(16, seed=2), normal(16, seed=3)
    a, b = exact(torch.zeros(16).double(), covariance), exact(shift, covariance)
    assert frechet_distance(a, b) == pytest.approx(float(shift.square().sum()), rel=1e-10)


def test_general_gaussians_agree_with_scipy() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    means = normal(2, 24, seed=4)
    s_a, s_b = random_covariance(24, seed=5), random_covariance(24, seed=6)
    root = linalg.sqrtm((s_a @ s_b).numpy()).real
    expected = (means[0] - means[1]).square().sum() + (s_a + s_b).trace() - 2 * np.trace(root)
    found = frechet_distance(exact(means[0], s_a), exact(means[1], s_b))
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_torchmetrics_agrees() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    metric = fid.FrechetInceptionDistance(feature=FlatPixels()).set_dtype(torch.float64)
    reals, fakes = normal(100, 3, 2, 2, seed=7), 1.5 * normal(80, 3, 2, 2, seed=8) + 0.3
    metric.update(reals, real=True)
    metric.update(fakes, real=False)
    a, b = Gaussian(12).update(reals.flatten(1)), Gaussian(12).update(fakes.flatten(1))
    assert frechet_distance(a, b) == pytest.approx(float(metric.compute()), rel=1e-9)


class FlatPixels(torch.nn.Module):
    """An image's numbers as its features."""

    num_features = 12

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 12), st.floats(0.01, 100))
def test_distance_is_symmetric_and_blind_to_rotation(seed: int, d: int, scale: float) -> None:
    rows_a, rows_b = normal(3 * d, d, seed=seed), scale * normal(4 * d, d, seed=seed + 1) + 1
    rotation = torch.linalg.qr(normal(d, d, seed=seed + 2)).Q
    a, b = Gaussian(d).update(rows_a), Gaussian(d).update(rows_b)
    distance = frechet_distance(a, b)
    turned = frechet_distance(
        Gaussian(d).update(rows_a @ rotation), Gaussian(d).update(rows_b @ rotation)
    )
    size = float(a.covariance.trace() + b.covariance.trace())
    assert distance >= 0
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9, abs=1e-9 * size)
    assert turned == pytest.approx(distance, rel=1e-9, abs=1e-9 * size)
    assert 0 <= frechet_distance(a, a) <= 1e-12 * size


def test_dead_features_do_no_harm() -> None:
    """Covariances of rank 10 of 30: the distance is that of the 10 features that vary."""
    rows_a, rows_b = normal(60, 10, seed=9), 2 * normal(70, 10, seed=10)
    expected = frechet_distance(Gaussian(10).update(rows_a), Gaussian(10).update(rows_b))
    into = torch.linalg.qr(normal(30, 10, seed=11)).Q.T  # [10, 30], orthonormal rows
    a, b = Gaussian(30).update(rows_a @ into), Gaussian(30).update(rows_b @ into)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_extrapolation_removes_most_of_the_bias() -> None:
    """Against N(0, 1) in 32 dimensions, notes of N(0, 1.3²) are at a distance of 32 · 0.3²."""
    d, notes = 32, 320
    reference = exact(torch.zeros(d).double(), torch.eye(d).double())
    plain, extrapolated = [], []
    for seed in range(16):
        rows = 1.3 * normal(notes, d, seed=seed)
        plain.append(frechet_distance(Gaussian(d).update(rows), reference) - d * 0.09)
        extrapolated.append(extrapolated_frechet_distance(rows, reference, seed=seed) - d * 0.09)
    assert np.mean(plain) > 0.9
    assert abs(np.mean(extrapolated)) < 0.1 * np.mean(plain)


def test_extrapolation_of_the_reference_itself_scatters_around_0() -> None:
    d = 16
    reference = exact(torch.zeros(d).double(), torch.eye(d).double())
    found = [
        extrapolated_frechet_distance(normal(400, d, seed=seed), reference) for seed in range(12)
    ]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 0.1


def test_extrapolation_is_the_same_for_a_seed() -> None:
    rows, reference = normal(40, 4), Gaussian(4).update(normal(40, 4, seed=1))
    first = extrapolated_frechet_distance(rows, reference, seed=3)
    assert extrapolated_frechet_distance(rows, reference, seed=3) == first
    assert extrapolated_frechet_distance(rows, reference, seed=4) != first


def test_too_few_notes_are_told() -> None:
    assert needed(8) == 9
    few, enough = Gaussian(8).update(normal(8, 8)), Gaussian(8).update(normal(9, 8))
    message = "^notes=8: a Fréchet distance in 8 dimensions needs at least 9; give more notes.$"
    for pair in ((few, enough), (enough, few)):
        with pytest.raises(InputError, match=message):
            frechet_distance(*pair)
    with pytest.raises(InputError, match=message):
        extrapolated_frechet_distance(normal(20, 8), few)
    with pytest.raises(
        InputError,
        match=r"^notes=17: an extrapolation in 8 dimensions needs at least 18; give more notes.$",
    ):
        extrapolated_frechet_distance(normal(17, 8), enough)
    with pytest.raises(InputError, match=r"^notes=1: a covariance needs at least 2;"):
        _ = Gaussian(2).update(normal(1, 2)).covariance


def test_features_of_two_lengths_are_told() -> None:
    a, b = Gaussian(2).update(normal(9, 2)), Gaussian(3).update(normal(9, 3))
    message = "^dimension=2: the other features have 3; both must come from one network.$"
    with pytest.raises(InputError, match=message):
        frechet_distance(a, b)
    with pytest.raises(InputError, match=message):
        a.merge(b)
    with pytest.raises(InputError, match=message):
        extrapolated_frechet_distance(normal(9, 2), b)
    with pytest.raises(InputError, match=r"^features=\[9, 3\]: the shape must be \[n, 2\]\.$"):
        a.update(normal(9, 3))


def test_a_line_needs_two_points() -> None:
    reference = Gaussian(2).update(normal(9, 2))
    with pytest.raises(InputError, match=r"^points=1: must be 2 or more; a line needs two.$"):
        extrapolated_frechet_distance(normal(9, 2), reference, points=1)
