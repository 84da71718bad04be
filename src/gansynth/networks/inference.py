"""The generator prepared for use: same images, fewer operations, float32 or bfloat16.

What can be computed once is: scaled weights, upscaling kernels, the blocks and output layers that
the progress asks for. Images are kept with channels last, and rectifier and pixel norm work in
place, so that each layer reads and writes its features twice and not six times.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.networks import schedule
from gansynth.networks.layers import (
    conv_same,
    pixel_norm,
    upscale,
    upscaling_kernel,
    upscaling_padding,
)
from gansynth.networks.progressive import FirstBlock, Generator, GrowingBlock


def _packed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)


def _rectify_and_normalize_(x: Tensor) -> Tensor:
    """`pixel_norm(leaky_relu(x))` in place."""
    x = F.leaky_relu_(x, 0.2)
    # Summed in float32 whatever x is; asking for a float32 result would copy all of x first.
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True).float()
    inverse = torch.rsqrt(norm.square().div_(x.shape[1]).add_(1e-8))
    return x.mul_(inverse.to(x.dtype))


class _PackedBlock:
    """Two convolutions of a block with their weights ready to use."""

    def __init__(self, block: FirstBlock | GrowingBlock, dtype: torch.dtype) -> None:
        self.scale = block.scale if isinstance(block, GrowingBlock) else None
        weight = block.conv0.scaled_weight()
        kernel = (weight.shape[2], weight.shape[3])
        self.padding, self.missing = (0, 0), (0, 0)
        if self.scale is not None:
            self.padding, self.missing = upscaling_padding(kernel, self.scale)
            weight = upscaling_kernel(weight, self.scale)
        self.weight0, self.bias0 = _packed(weight, dtype), block.conv0.bias.detach().to(dtype)
        self.weight1 = _packed(block.conv1.scaled_weight(), dtype)
        self.bias1 = block.conv1.bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        stride = self.scale or (1, 1)
        x = F.conv_transpose2d(x, self.weight0, self.bias0, stride, self.padding, self.missing)
        x = _rectify_and_normalize_(x)
        return _rectify_and_normalize_(conv_same(x, self.weight1, self.bias1))


class PackedGenerator:
    """A generator at a fixed progress, for inference.

    Parameters
    ----------
    generator : Generator
    progress : float
    dtype : torch.float32 or torch.bfloat16
        Of the convolutions; the output layer and everything behind it stay in float32.
    """

    def __init__(self, generator: Generator, progress: float, dtype: torch.dtype) -> None:
        self.generator = generator
        self.progress = progress
        self.dtype = dtype
        self.blocks: list[_PackedBlock] = []
        used = list(generator.blocks[: schedule.blocks_needed(progress)])
        if self._packable(generator):
            for block in used:
                assert isinstance(block, (FirstBlock, GrowingBlock))
                self.blocks.append(_PackedBlock(block, dtype))

    @staticmethod
    def _packable(generator: Generator) -> bool:
        # A stride without room for output padding (even kernels along an axis that doesn't grow)
        # and the simple architecture, which is small anyway, run as they are.
        config = generator.config
        even_flat = config.kernel_size % 2 == 0 and config.scale_mode == "H"
        return not (config.simple_arch or even_flat)

    @torch.inference_mode()
    def __call__(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Float32 images `[batch, 2, time, freq]`; arguments as for `Generator.forward`."""
        if not self.blocks:
            return self.generator(latents, labels, self.progress)
        one_hot = F.one_hot(labels, self.generator.num_pitches).to(latents.dtype)
        x = pixel_norm(torch.cat([latents, one_hot], dim=1))[:, :, None, None].to(self.dtype)
        below = x
        for block in self.blocks:
            below, x = x, block(x)
        weight = schedule.blend_weight(self.progress)
        image = self._to_image(len(self.blocks) - 1, x)
        if weight == 1.0:
            return image
        low = self._to_image(len(self.blocks) - 2, below)
        step = schedule.scale(self.generator.config)
        return (1 - weight) * upscale(low, step) + weight * image

    def _to_image(self, index: int, features: Tensor) -> Tensor:
        block: nn.Module = self.generator.blocks[index]
        return self.generator.to_image(block, features.float())
