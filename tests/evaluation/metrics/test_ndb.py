"""NDB: the test's numbers by hand, how often it cries wolf, and that it hears what is missing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.kmeans import kmeans, nearest_centroids
from gansynth.evaluation.metrics.ndb import bin_counts, ndb

COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=30)


def mixture(which: Tensor, seed: int) -> Tensor:
    """Points [n, 16], each near the centre of its mode; up to 20 modes, far from each other."""
    centres = 10 * torch.randn(20, 16, generator=torch.Generator().manual_seed(99))
    return centres[which] + torch.randn(
        len(which), 16, generator=torch.Generator().manual_seed(seed)
    )


def test_z_by_hand() -> None:
    """30 of 100 against 90 of 200: pooled 0.4, standard error sqrt(0.24 · 0.015) = 0.06."""
    found = ndb(torch.tensor([30, 70]), torch.tensor([90, 110]))
    torch.testing.assert_close(found.z, torch.tensor([2.5, -2.5], dtype=torch.float64))
    expected = math.erfc(2.5 / math.sqrt(2))
    assert found.p_values.tolist() == pytest.approx([expected, expected], rel=1e-12)
    assert expected == pytest.approx(0.012419, abs=1e-6)
    assert (found.different, found.share) == (2, 1.0)


def test_significance_sets_the_limit() -> None:
    """The p-value is 0.0124."""
    counts = torch.tensor([30, 70]), torch.tensor([90, 110])
    assert ndb(*counts, significance=0.013).different == 2
    assert ndb(*counts, significance=0.012).different == 0


def test_z_agrees_with_the_chi_square_test() -> None:
    """Of one bin against the rest, without a continuity correction: z² is chi-square."""
    stats = pytest.importorskip("scipy.stats")
    reference, counts = torch.tensor([13, 40, 7, 140]), torch.tensor([30, 21, 0, 60])
    found = ndb(reference, counts)
    for bin in range(4):
        a, b = int(reference[bin]), int(counts[bin])
        test = stats.chi2_contingency([[a, 200 - a], [b, 111 - b]], correction=False)
        assert float(found.z[bin]) ** 2 == pytest.approx(test.statistic, rel=1e-9)
        assert float(found.p_values[bin]) == pytest.approx(test.pvalue, rel=1e-9)


def test_cells_empty_in_both_do_not_differ() -> None:
    found = ndb(torch.tensor([0, 50, 0]), torch.tensor([0, 0, 50]))
    assert found.different == 2
    assert (float(found.z[0]), float(found.p_values[0])) == (0.0, 1.0)


def test_one_cell_for_all_does_not_differ() -> None:
    found = ndb(torch.tensor([50]), torch.tensor([70]))
    assert (found.different, found.jensen_shannon) == (0, 0.0)


def test_jensen_shannon_is_in_nats() -> None:
    apart = ndb(torch.tensor([5, 0]), torch.tensor([0, 9]))
    assert apart.jensen_shannon == pytest.approx(math.log(2), rel=1e-12)
    distance = pytest.importorskip("scipy.spatial.distance")
    reference, counts = np.array([1, 5, 0, 9]), np.array([4, 0, 3, 8])
    expected = distance.jensenshannon(reference / 15, counts / 15) ** 2
    assert ndb(reference, counts).jensen_shannon == pytest.approx(expected, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_both_sides_are_treated_alike(pairs: list[tuple[int, int]]) -> None:
    """Each side has a note more in the first bin, so that neither is empty."""
    a, b = torch.tensor(pairs).T + (torch.arange(len(pairs)) == 0)
    forth, back = ndb(a, b), ndb(b, a)
    torch.testing.assert_close(forth.z, -back.z)
    assert forth.different == back.different
    assert -1e-12 <= forth.jensen_shannon <= math.log(2) + 1e-12
    assert ndb(a, a).different == 0


def test_false_alarms_are_as_frequent_as_the_significance_says() -> None:
    """200 pairs of samples of one distribution over 50 bins: 10,000 tests, 0.4 % to the error."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(50, generator=generator) + 0.2
    alarms = 0
    for _ in range(200):
        a, b = (
            bin_counts(torch.multinomial(weights, n, True, generator=generator), 50)
            for n in (3000, 1000)
        )
        alarms += ndb(a, b).different
    assert 0.04 < alarms / 10_000 < 0.06


def test_held_out_points_of_clusters_seldom_differ() -> None:
    """20 pairs of samples, each with its own bins: 400 tests, 1.1 % to the error."""
    generator = torch.Generator().manual_seed(0)
    different = 0
    for seed in range(20):
        points, held_out = (
            mixture(torch.randint(20, (n,), generator=generator), seed=n + seed)
            for n in (1000, 400)
        )
        centroids = kmeans(points, 20, seed, restarts=1)
        reference = bin_counts(nearest_centroids(points, centroids), 20)
        different += ndb(
            reference, bin_counts(nearest_centroids(held_out, centroids), 20)
        ).different
    assert 0.01 < different / 400 < 0.1


def test_lost_modes_are_counted() -> None:
    """Of 20 equally frequent modes 5 are gone; the others gain a third, too little to tell."""
    points = mixture(torch.arange(2000) % 20, seed=1)
    made = mixture(5 + torch.arange(150) % 15, seed=2)
    centroids = kmeans(points, 20)
    counts = bin_counts(nearest_centroids(made, centroids), 20)
    found = ndb(bin_counts(nearest_centroids(points, centroids), 20), counts)
    assert torch.equal(found.p_values < 0.05, counts == 0)
    assert (found.different, found.share) == (5, 0.25)
    assert (found.z[counts == 0] < 0).all()


def test_counts_hold_every_cell() -> None:
    assert bin_counts(torch.tensor([0, 3, 3, 1]), 5).tolist() == [1, 1, 0, 2, 0]


@pytest.mark.parametrize("bin", [-1, 5])
def test_a_cell_out_of_range_is_told(bin: int) -> None:
    with pytest.raises(InputError, match=f"^bin={bin}: must be from 0 to 4.$"):
        bin_counts(torch.tensor([0, bin]), 5)


@pytest.mark.parametrize(
    ("reference", "counts", "significance", "message"),
    [
        (
            [1, 2],
            [1],
            0.05,
            "^counts=1 bins: the reference has 2; count both in the same bins.$",
        ),
        ([1, 2], [0, 0], 0.05, "^counts: must be a list of numbers of notes, not all 0.$"),
        ([-1, 2], [1, 1], 0.05, "^reference_counts: must be a list of numbers of notes, not all"),
        ([1, 2], [1, 1], 0.0, "^significance=0.0: must be above 0 and below 1.$"),
        ([1, 2], [1, 1], 1.0, "^significance=1.0: must be above 0 and below 1.$"),
    ],
)
def test_what_can_not_be_compared_is_told(
    reference: list[int], counts: list[int], significance: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ndb(torch.tensor(reference), torch.tensor(counts), significance)
