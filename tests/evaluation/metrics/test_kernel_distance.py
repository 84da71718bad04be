"""The kernel distance beside torchmetrics' KID, and without a bias."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from gansynth.errors import InputError
from gansynth.evaluation.metrics.kernel_distance import kernel_distance, mean_kernel


def cloud(seed: int, count: int = 200, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 16)) + shift


class Unchanged(torch.nn.Module):
    """Stands for the network: points are features already."""

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return points


def test_it_is_torchmetrics_kid_over_all_notes() -> None:
    real, fake = cloud(0), cloud(1, shift=0.3)
    theirs = KernelInceptionDistance(Unchanged(), subsets=1, subset_size=200)
    theirs.update(torch.tensor(real), real=True)
    theirs.update(torch.tensor(fake), real=False)
    expected, _ = theirs.compute()
    assert kernel_distance(real, fake) == pytest.approx(float(expected), rel=1e-5)
    assert kernel_distance(real, fake, mean_kernel(real)) == kernel_distance(real, fake)


def test_samples_of_one_distribution_are_about_0_apart_however_few() -> None:
    """Half of the distances lie below 0, for 20 points as for 200."""
    for count in (20, 200):
        found = [kernel_distance(cloud(2 * n, count), cloud(2 * n + 1, count)) for n in range(60)]
        assert abs(np.mean(found)) < 3 * np.std(found) / 60**0.5
    assert kernel_distance(cloud(0), cloud(1, shift=0.3)) > 10 * np.std(found)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match=r"fake=\[3, 4\]: the shape must be \[m, 16\], as of real"):
        kernel_distance(cloud(0), np.zeros((3, 4)))
    with pytest.raises(InputError, match="points=1: a pair needs two notes or more"):
        mean_kernel(np.zeros((1, 3)))
