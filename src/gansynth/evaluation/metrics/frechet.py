"""The Fréchet distance between two sets of notes, each summed up as a Gaussian of its features.

Heusel et al. 2017: |m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^½). As it depends on the network that
makes the features, it compares only rows that one network judged. As it falls with the number of
notes, it compares only rows of as many notes; `extrapolated_frechet_distance` removes most of that.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.matrices import as_matrix


class Gaussian:
    """Mean and covariance of rows that come in batches, in float64.

    Batches are merged as in Chan, Golub & LeVeque 1983, by deviations from the mean: sums of
    squares would lose the covariance where the mean is large.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64)

    @property
    def dimension(self) -> int:
        """Numbers in a row."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """float64 [dimension, dimension], unbiased (divided by count - 1) as `numpy.cov`'s.

        Raises
        ------
        InputError
            Fewer than 2 rows were seen.
        """
        if self.count < 2:
            raise InputError(f"notes={self.count}: a covariance needs at least 2; give more notes.")
        return self._scatter / (self.count - 1)

    def update(self, features: Tensor | np.ndarray) -> Gaussian:
        """Take in the rows of float [n, dimension]; returns itself.

        Raises
        ------
        InputError
            No matrix of that width, or numbers that aren't finite.
        """
        rows = as_matrix(features, "features")
        if rows.shape[1] != self.dimension:
            raise InputError(
                f"features={list(rows.shape)}: the shape must be [n, {self.dimension}]."
            )
        mean = rows.mean(0)
        deviations = rows - mean
        self._absorb(len(rows), mean, deviations.T @ deviations)
        return self

    def merge(self, other: Gaussian) -> Gaussian:
        """Take in all rows that the other has seen; returns itself.

        Raises
        ------
        InputError
            The other's rows have another length.
        """
        _check_dimensions(self, other)
        self._absorb(other.count, other.mean, other._scatter)
        return self

    def _absorb(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if count == 0:
            return
        total = self.count + count
        step = mean - self.mean
        self._scatter = (
            self._scatter + scatter + self.count * count / total * torch.outer(step, step)
        )
        self.mean = self.mean + count / total * step
        self.count = total


def needed(dimension: int) -> int:
    """The fewest notes whose covariance in so many dimensions can have full rank."""
    return dimension + 1


def frechet_distance(a: Gaussian, b: Gaussian, *, full_rank: bool = True) -> float:
    """Fréchet (2-Wasserstein) distance, squared, as is the habit for FID.

    Parameters
    ----------
    a, b : Gaussian
    full_rank : bool
        Whether to refuse fewer notes than `needed`, whose covariances are singular.

    Returns
    -------
    float, 0 or more
        0 where means and covariances are equal; in squared units of the features.

    Raises
    ------
    InputError
        Fewer notes than `needed` (or than 2), or features of two lengths.
    """
    _check_dimensions(a, b)
    if full_rank:
        _check_notes(a.count, a.dimension)
        _check_notes(b.count, b.dimension)
    return max(0.0, _distance(a, b, _square_root(b.covariance)))


def extrapolated_frechet_distance(
    features: Tensor | np.ndarray, reference: Gaussian, points: int = 15, seed: int = 0
) -> float:
    """The distance that endlessly many such notes would have: FID_infinity.

    Chong & Forsyth 2020, "Effectively Unbiased FID and Inception Score": the bias is nearly
    proportional to 1/n, so a line through the distances of random subsets against 1/n meets the
    axis near the unbiased distance. The subsets have n/2 to n notes: smaller ones, as in the
    paper, bend the line where n is a small multiple of the dimension. The reference stays as it
    is, with its own number of notes.

    Parameters
    ----------
    features : float [n, dimension]
    reference : Gaussian
    points : int, 2 or more
        Subsets, of evenly spaced sizes.
    seed : int
        Of the subsets.

    Returns
    -------
    float
        Its variance is larger than the plain distance's, and where the distributions are nearly
        equal it can be slightly below 0.

    Raises
    ------
    InputError
        Fewer than twice the notes `needed`, features of two lengths, or fewer than 2 points.
    """
    rows = as_matrix(features, "features")
    notes, dimension = rows.shape
    _check_dimensions(Gaussian(dimension), reference)
    _check_notes(reference.count, dimension)
    if notes < 2 * needed(dimension):
        raise InputError(
            f"notes={notes}: an extrapolation in {dimension} dimensions needs at least"
            f" {2 * needed(dimension)}; give more notes."
        )
    if points < 2:
        raise InputError(f"points={points}: must be 2 or more; a line needs two.")
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.linspace(notes // 2, notes, points, dtype=torch.float64).round()
    root = _square_root(reference.covariance)
    distances = []
    for size in sizes.int().tolist():
        subset = rows[torch.randperm(notes, generator=generator)[:size]]
        distances.append(_distance(Gaussian(dimension).update(subset), reference, root))
    line = torch.stack([torch.ones_like(sizes), 1 / sizes], dim=1)
    values = torch.tensor(distances, dtype=torch.float64)
    return float(torch.linalg.lstsq(line, values[:, None]).solution[0, 0])


def _distance(a: Gaussian, b: Gaussian, root_b: Tensor) -> float:
    # tr((S_b^½ S_a S_b^½)^½) is the sum of the singular values of S_a^½ S_b^½. These keep the
    # digits that the eigenvalues of the product, their squares, would lose.
    overlap = torch.linalg.svdvals(_square_root(a.covariance) @ root_b).sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * overlap
    return float((a.mean - b.mean).square().sum() + spread)


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def _check_dimensions(a: Gaussian, b: Gaussian) -> None:
    if a.dimension != b.dimension:
        raise InputError(
            f"dimension={a.dimension}: the other features have {b.dimension};"
            " both must come from one network."
        )


def _check_notes(notes: int, dimension: int) -> None:
    if notes < needed(dimension):
        raise InputError(
            f"notes={notes}: a Fréchet distance in {dimension} dimensions needs at least"
            f" {needed(dimension)}; give more notes."
        )
