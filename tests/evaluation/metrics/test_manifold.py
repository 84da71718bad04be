"""Precision, recall, density and coverage: as their authors' package, and what each is blind to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.manifold import manifold_metrics


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("n", "m", "d", "k"),
    [
        (40, 40, 2, 5),
        (200, 90, 16, 3),
        (90, 200, 64, 5),
        (8, 7, 3, 5),
        (300, 250, 1, 1),
        (2600, 1700, 8, 5),  # more distances than a block holds
    ],
)
def test_all_four_are_those_of_prdc(n: int, m: int, d: int, k: int) -> None:
    prdc = pytest.importorskip("prdc")
    real, fake = normal(n, d), 0.8 * normal(m, d, seed=1) + 0.2
    expected = prdc.compute_prdc(real.numpy(), fake.numpy(), nearest_k=k)
    found = manifold_metrics(real, fake, k)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-12), name


def test_copies_are_perfect() -> None:
    """Each ball holds its own note and k - 1 others; rounding decides of the k-th, on its rim."""
    notes = normal(300, 16).float()
    found = manifold_metrics(notes, notes.clone())
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert 1 <= found.density <= 1.2


def test_a_second_sample_is_as_expected() -> None:
    found = manifold_metrics(normal(1500, 2), normal(1500, 2, seed=1))
    assert found.precision > 0.97
    assert found.recall > 0.97
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.03)  # Naeem et al., for m = n


@pytest.mark.parametrize("note", [0, 17], ids=["at the rim", "another"])
def test_one_real_note_over_and_over_is_precise_and_nothing_else(note: int) -> None:
    """Whatever rounding does: balls of radius 0 hold nothing, not even the note itself."""
    real = normal(400, 32).float()
    found = manifold_metrics(real, real[note].repeat(100, 1))
    assert found.precision == 1
    assert found.recall == 0
    assert found.coverage <= 0.1


def test_balls_without_size_hold_nothing() -> None:
    """The k-th neighbour of each note is a copy of it, as when all are silent."""
    silence = torch.zeros(10, 4)
    assert tuple(manifold_metrics(silence, silence)) == (0, 0, 0, 0)


def test_noise_far_away_is_worth_nothing() -> None:
    found = manifold_metrics(normal(200, 8), normal(200, 8, seed=1) + 1000)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_a_lost_half_costs_recall_and_coverage_only() -> None:
    real = normal(600, 4)
    real[300:, 0] += 50
    found = manifold_metrics(real, normal(600, 4, seed=1))
    assert found.precision > 0.9
    assert found.recall < 0.5
    assert found.coverage <= 0.5


def test_an_outlier_fools_recall_and_precision_more_than_density_and_coverage() -> None:
    """Naeem et al., figure 3: an outlier's ball takes in notes that are like no real one."""
    real = torch.cat([normal(200, 2), torch.tensor([[60.0, 0.0]], dtype=torch.float64)])
    fake = 0.1 * normal(200, 2, seed=1) + torch.tensor([30.0, 0.0], dtype=torch.float64)
    found = manifold_metrics(real, fake)
    assert found.precision == 1
    assert found.density <= 0.2
    assert found.coverage < 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(6, 40), st.integers(6, 40), st.integers(1, 5))
def test_scale_place_and_order_do_not_matter(seed: int, n: int, m: int, k: int) -> None:
    real, fake = normal(n, 3, seed=seed), normal(m, 3, seed=seed + 1)
    found = manifold_metrics(real, fake, k)
    moved = manifold_metrics(8 * real.flip(0) + 5, 8 * fake.flip(0) + 5, k)
    assert tuple(moved) == pytest.approx(tuple(found), rel=1e-12)
    assert all(0 <= value <= 1 for value in (found.precision, found.recall, found.coverage))


def test_a_large_offset_does_no_harm() -> None:
    real, fake = normal(100, 4), normal(80, 4, seed=1)
    assert manifold_metrics(real + 1e8, fake + 1e8) == manifold_metrics(real, fake)


@pytest.mark.parametrize(
    ("n", "m", "k", "message"),
    [
        (
            5,
            9,
            5,
            "^real=5 notes: the 5 nearest others need at least 6; give more notes or a smaller k.$",
        ),
        (9, 3, 4, "^fake=3 notes: the 4 nearest others need at least 5;"),
        (9, 9, 0, "^k=0: must be 1 or more.$"),
    ],
)
def test_too_few_notes_are_told(n: int, m: int, k: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        manifold_metrics(normal(n, 2), normal(m, 2), k)


def test_notes_that_do_not_fit_are_told() -> None:
    with pytest.raises(InputError, match=r"^fake=\[9, 3\]: the shape must be \[m, 2\], as of real"):
        manifold_metrics(normal(9, 2), normal(9, 3))
    with pytest.raises(InputError, match=r"^fake: hold NaN or infinite values;"):
        manifold_metrics(normal(9, 2), np.full((9, 2), np.nan))
