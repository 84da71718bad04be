"""The progressive generator in operations that ONNX has; same images, float32.

Upscaling repeats pixels and is then convolved, where `networks.inference` has one larger kernel:
less to keep, the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gansynth.networks import schedule
from gansynth.networks.layers import EqualizedConv2d, conv_same, leaky_relu, repeat_pixels
from gansynth.networks.progressive import FirstBlock, Generator, GrowingBlock


class TraceableGenerator(nn.Module):
    """A generator at a fixed progress."""

    one_hot: Tensor

    def __init__(self, generator: Generator, progress: float) -> None:
        super().__init__()
        self.generator, self.progress = generator, progress
        self.register_buffer("one_hot", torch.eye(generator.num_pitches))

    def forward(self, latents: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        """`Generator.forward`."""
        generator, step = self.generator, schedule.scale(self.generator.config)
        x = torch.cat([latents, torch.index_select(self.one_hot, 0, labels)], dim=1)
        used: list[Any] = list(generator.blocks[: schedule.blocks_needed(self.progress)])
        features = [x]
        for block in used:
            features.append(_block(block, features[-1]))
        image = generator.to_image(used[-1], features[-1])
        weight = schedule.blend_weight(self.progress)
        if weight == 1.0:
            return image
        below = generator.to_image(used[-2], features[-2])
        return (1 - weight) * repeat_pixels(below, step) + weight * image


def _block(block: nn.Module, x: Tensor) -> Tensor:
    """A block's features; those of fused kernels in plain operations."""
    if isinstance(block, FirstBlock):
        weight = block.conv0.scaled_weight()  # [in, out, time, freq]
        pixels = (_pixel_norm(x) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        x = _pixel_norm(leaky_relu(pixels + block.conv0.bias[:, None, None]))
    elif isinstance(block, GrowingBlock):
        x = _convolved(block.conv0, repeat_pixels(x, block.scale))
    else:  # of the simple architecture, which is plain already
        plain: Tensor = block(x)
        return plain
    return _convolved(block.conv1, x)


def _convolved(layer: EqualizedConv2d, x: Tensor) -> Tensor:
    return _pixel_norm(leaky_relu(conv_same(x, layer.scaled_weight(), layer.bias)))


def _pixel_norm(x: Tensor) -> Tensor:
    """`networks.layers.pixel_norm`, for x 10,000 times as large.

    The exporter takes its 1e-8 for a zero, and leaves it out.
    """
    large = x * 1e4
    return large * torch.rsqrt(large.square().mean(dim=1, keepdim=True) + 1)
