"""Adam in the original's form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gansynth.training.adam import Adam, plain_step


def by_formula(start: np.ndarray, gradients: np.ndarray, rate: float, beta1: float) -> np.ndarray:
    """All steps in float64."""
    x = torch.from_numpy(start)
    moments = torch.zeros_like(x), torch.zeros_like(x)
    for t, gradient in enumerate(gradients, 1):
        pull = torch.from_numpy(gradient)
        x, moments = plain_step(x, pull, moments, t, rate, (beta1, 0.99))
    return x.numpy()


def run(parameter: nn.Parameter, gradients: np.ndarray, optimizer: Adam) -> None:
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient).float().contiguous()
        optimizer.step()


def test_steps_are_the_formula_for_tiny_and_ordinary_gradients_and_any_layout() -> None:
    random = np.random.default_rng(0)
    for layout in (torch.contiguous_format, torch.channels_last):
        for size in (1.0, 1e-8):
            start = random.standard_normal((4, 3, 2, 5))
            gradients = size * random.standard_normal((6, *start.shape))
            parameter = nn.Parameter(
                torch.from_numpy(start).float().contiguous(memory_format=layout)
            )
            run(parameter, gradients, Adam([parameter], 8e-4, (0.0, 0.99)))
            expected = by_formula(start, gradients, 8e-4, 0.0)
            moved = parameter.detach().numpy() - start
            np.testing.assert_allclose(moved, expected - start, rtol=2e-3, atol=3e-7)


def test_no_gradient_is_a_gradient_of_zero() -> None:
    ours, theirs = (nn.Parameter(torch.ones(3)) for _ in range(2))
    first, second = Adam([ours], 0.1, (0.5, 0.9)), Adam([theirs], 0.1, (0.5, 0.9))
    for gradient in (1.0, None, -2.0):
        ours.grad = None if gradient is None else torch.full((3,), gradient)
        theirs.grad = torch.full((3,), gradient or 0.0)
        first.step()
        second.step()
    assert torch.equal(ours, theirs)
    assert ours[0] != 1


@pytest.mark.parametrize("beta1", [0.0, 0.3])
def test_restored_moments_go_on_bit_for_bit(beta1: float) -> None:
    random = np.random.default_rng(1)
    gradients = random.standard_normal((5, 4, 3, 2, 5))
    start = torch.randn(4, 3, 2, 5).contiguous(memory_format=torch.channels_last)
    whole = nn.Parameter(start.clone())
    run(whole, gradients, Adam([whole], 0.01, (beta1, 0.99)))

    before = nn.Parameter(start.clone())
    optimizer = Adam([before], 0.01, (beta1, 0.99))
    run(before, gradients[:2], optimizer)
    saved = {name: t.clone() for name, t in optimizer.moments({before: "w"}).items()}
    assert {name: t.shape for name, t in saved.items()} == {
        "w.first": start.shape, "w.second": start.shape,
    }  # fmt: skip
    after = nn.Parameter(before.detach().clone())
    optimizer = Adam([after], 0.01, (beta1, 0.99))
    optimizer.restore({after: "w"}, saved, 2)
    run(after, gradients[2:], optimizer)
    assert torch.equal(after, whole)


def test_without_a_first_beta_the_first_moment_is_the_last_gradient() -> None:
    parameter = nn.Parameter(torch.ones(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))
    optimizer = Adam([parameter], 0.01, (0.0, 0.99))
    assert optimizer.moments({parameter: "w"}) == {}
    gradients = np.random.default_rng(2).standard_normal((2, 2, 3, 4, 5))
    run(parameter, gradients, optimizer)
    moments = optimizer.moments({parameter: "w"})
    torch.testing.assert_close(moments["w.first"], torch.from_numpy(gradients[1]).float())
    expected = torch.from_numpy(0.01 * (0.99 * gradients[0] ** 2 + gradients[1] ** 2)).float()
    torch.testing.assert_close(moments["w.second"], expected)
