"""Convolution and rectifier as one operation: the derivatives, first and second."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansynth import config as configs
from gansynth.networks import rectified
from gansynth.networks.layers import minibatch_stddev, weights_held
from gansynth.networks.progressive import Discriminator
from gansynth.networks.rectified import (
    Geometry,
    conv_rectified,
    input_gradients_only,
)
from gansynth.networks.rectified import plain_conv_rectified as plain

GEOMETRIES = [
    Geometry((1, 1)),
    Geometry((0, 0)),
    Geometry((1, 1), (2, 2), transposed=True),
    Geometry((1, 0), (3, 2), (1, 1), transposed=True),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensors(at: Geometry) -> list[Tensor]:
    weight = random(3, 5, 4, 3, seed=1) if at.transposed else random(5, 3, 3, 3, seed=1)
    return [t.requires_grad_() for t in (random(2, 3, 5, 6), weight, random(5, seed=2))]


@pytest.mark.parametrize("at", GEOMETRIES)
def test_first_derivatives_are_those_of_the_plain_operators(at: Geometry) -> None:
    ours, theirs = tensors(at), tensors(at)
    result, expected = conv_rectified(*ours, at), plain(*theirs, at)
    torch.testing.assert_close(result, expected)
    pull = random(*expected.shape, seed=3)
    torch.testing.assert_close(
        torch.autograd.grad(result, ours, pull), torch.autograd.grad(expected, theirs, pull)
    )


@pytest.mark.parametrize("at", GEOMETRIES)
def test_a_penalty_on_the_input_gradient_has_the_plain_operators_gradients(at: Geometry) -> None:
    def penalty_gradients(operation: Any, context: Any) -> tuple[Tensor, ...]:
        x, weight, bias = tensors(at)
        y = operation(operation(x, weight, bias, at)[:, :3], *tensors(at)[1:], at).square()
        with context:
            (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        penalty = (gradient.square().sum().sqrt() - 1).square()
        return torch.autograd.grad(penalty, (x, weight, bias))

    torch.testing.assert_close(
        penalty_gradients(conv_rectified, input_gradients_only()),
        penalty_gradients(plain, input_gradients_only()),
    )


def test_a_product_of_vectors_has_the_plain_operators_derivatives() -> None:
    def results(operation: Any) -> tuple[Tensor, ...]:
        x, weight, bias = (
            random(*size, seed=seed).requires_grad_()
            for seed, size in enumerate(((4, 6), (5, 6), (5,)))
        )
        y = operation(x, weight, bias, Geometry())
        first = torch.autograd.grad(y.square().sum(), (x, weight, bias), retain_graph=True)
        with input_gradients_only():
            (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        second = torch.autograd.grad(gradient.square().sum(), weight)
        return (y, *first, *second)

    torch.testing.assert_close(results(conv_rectified), results(plain))


def test_second_derivatives_of_weight_gradients_are_refused() -> None:
    at = GEOMETRIES[0]
    x, weight, bias = tensors(at)
    (gradient,) = torch.autograd.grad(
        conv_rectified(x, weight, bias, at).square().sum(), weight, create_graph=True
    )
    with pytest.raises(NotImplementedError, match="second derivatives of weight gradients"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at", GEOMETRIES)
def test_fused_kernels_and_plain_operators_agree(
    monkeypatch: pytest.MonkeyPatch, at: Geometry, dtype: torch.dtype
) -> None:
    x, weight, bias = (t.detach().to(dtype) for t in tensors(at))
    fused = conv_rectified(x, weight, bias, at)
    monkeypatch.setattr(rectified, "fused_kernels", lambda dtype: None)
    unfused = conv_rectified(x, weight, bias, at)
    assert fused.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(fused, unfused, atol=tolerance, rtol=tolerance)


def product_gradients(
    monkeypatch: pytest.MonkeyPatch, at: Geometry, kernel: tuple[int, int], dtype: torch.dtype
) -> tuple[list[Any], list[Any]]:
    """A convolution's gradients, its weight's by one product and by the usual operator."""
    x, weight = random(2, 3, 5, 6).to(dtype), random(5, 3, *kernel, seed=1).to(dtype)
    gz = F.conv2d(x, weight, padding=at.padding)
    results: list[list[Any]] = []
    for product in (True, False):
        monkeypatch.setattr(rectified, "_is_product_faster", lambda *_, p=product: p)
        wanted = (True, True, True)
        results.append(list(rectified._convolution_gradients(gz, x, weight, at, wanted, None)))
    return results[0], results[1]


@pytest.mark.parametrize(
    ("at", "kernel"),
    [
        (Geometry((1, 1)), (3, 3)),
        (Geometry((0, 0)), (1, 1)),
        (Geometry((0, 2)), (2, 5)),
        (Geometry((0, 0)), (5, 6)),
    ],
)
def test_a_weight_gradient_by_one_product_is_the_usual_operators(
    monkeypatch: pytest.MonkeyPatch, at: Geometry, kernel: tuple[int, int]
) -> None:
    ours, theirs = product_gradients(monkeypatch, at, kernel, torch.float64)
    torch.testing.assert_close(ours, theirs)
    ours, theirs = product_gradients(monkeypatch, at, kernel, torch.bfloat16)
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_minibatch_deviation_is_differentiated_with_its_mean_held_fixed(
    group: int, layout: torch.memory_format
) -> None:
    """Against the derivatives worked out by hand."""
    x = random(4, 3, 2, 5).contiguous(memory_format=layout).requires_grad_()
    pull = random(4, 4, 2, 5, seed=1)
    (gradient,) = torch.autograd.grad(minibatch_stddev(x, group), x, pull, create_graph=True)
    direction = random(4, 3, 2, 5, seed=2)
    (second,) = torch.autograd.grad(gradient, x, direction)

    with torch.no_grad():
        grouped = x.unflatten(0, (-1, group))
        centred = grouped - grouped.mean(dim=1, keepdim=True)
        # r = 1 / (s sqrt(n)), s the deviation of one value
        inverse = (centred.square().sum(dim=1, keepdim=True) + 1e-6 * group).rsqrt()
        values = x[0].numel()
        each = pull[:, -1].unflatten(0, (-1, group)).sum(dim=(1, 2, 3)) / (group**0.5 * values)
        scale = inverse * each[:, None, None, None, None]
        torch.testing.assert_close(gradient, pull[:, :-1] + (centred * scale).flatten(0, 1))
        v = direction.unflatten(0, (-1, group))
        along = (v * centred).sum(dim=1, keepdim=True) * inverse
        torch.testing.assert_close(second, (scale * (v - centred * along * inverse)).flatten(0, 1))


@pytest.mark.parametrize("group", [None, 2])
def test_discriminator_penalty_has_autograds_gradients(
    monkeypatch: pytest.MonkeyPatch, group: int | None
) -> None:
    """The whole network, minibatch deviation included, against double backward all the way."""
    config = configs.preset("tiny")
    torch.manual_seed(0)
    network = Discriminator(config, 5, num_blocks=3).double()
    images = random(4, 2, 8, 64)

    def gradients() -> list[Tensor]:
        network.zero_grad()
        x = images.clone().requires_grad_()
        scores, logits = network(x, 1.6, group)
        with input_gradients_only():
            (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        penalty = (gradient.square().sum(dim=(1, 2, 3)).sqrt() - 1).square().mean()
        (scores.mean() + logits.square().mean() + 10 * penalty).backward()
        return [torch.zeros(1) if p.grad is None else p.grad for p in network.parameters()]

    ours = gradients()
    monkeypatch.setattr(rectified._ConvRectified, "apply", plain)
    theirs = gradients()
    for mine, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, their, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_held_weights_give_the_same_scores_and_gradients(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """With small and large images, and for one layer both: a batch, and one twice as large."""
    monkeypatch.setattr(rectified, "_has_matrix_tiles", lambda: True)
    config = configs.preset("tiny")
    torch.manual_seed(0)
    network = Discriminator(config, 5, num_blocks=3)
    images = random(4, 2, 8, 64).to(dtype)

    def results() -> list[Tensor]:
        network.zero_grad()
        network.requires_grad_(False)
        fixed, _ = network(images, 2.0)  # as when the generator learns
        assert not fixed.requires_grad
        network.requires_grad_(True)
        x = images.clone().requires_grad_()
        scores, logits = network(x, 2.0)
        others, _ = network(torch.cat([images * 0.5, images * 0.25]), 2.0, 4)
        with input_gradients_only():
            (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        (gradient.float().square().sum() + others.sum() + logits.square().mean()).backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        return [fixed, scores.detach(), *gradients]

    plainly = results()
    with weights_held(network):
        held = results()
    assert len(plainly) == len(held)
    tolerance = (
        {"atol": 1e-6, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.02, "rtol": 0.05}
    )
    for mine, their in zip(held, plainly, strict=True):
        torch.testing.assert_close(mine, their, **tolerance)

    before = network(images, 2.0)[0].detach()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    assert not torch.equal(network(images, 2.0)[0], before)  # nothing is held any more


def test_held_weights_are_freed_at_once() -> None:
    network = Discriminator(configs.preset("tiny"), 5, num_blocks=1)
    layer = network.blocks[0].conv0
    gc.disable()
    try:
        with weights_held(network):
            network(random(2, 2, 2, 16).float(), 0.0)[0].sum().backward()
            (held,) = map(weakref.ref, layer.held.values())
        assert held() is None
    finally:
        gc.enable()
