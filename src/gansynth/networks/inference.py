"""The generator prepared for use: same images, fewer operations, float32 or bfloat16.

What can be computed once is: scaled weights, upscaling kernels, the blocks and output layers that
the progress asks for, and on a CPU the order of weights that its kernels want. Images are kept with
channels last; rectifier and pixel norm work in place or inside the convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.networks import schedule
from gansynth.networks.frames import FramesGenerator
from gansynth.networks.frames_packed import pack_frames
from gansynth.networks.layers import (
    Size,
    conv_same,
    inverse_norm,
    pixel_norm,
    upscale,
    upscaling_kernel,
    upscaling_padding,
)
from gansynth.networks.progressive import FirstBlock, Generator, GrowingBlock
from gansynth.networks.rectified import SLOPE, fused_kernels

Layer = Callable[[Tensor], Tensor]


def _channels_last(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)


def _fused_kernels(device: torch.device, dtype: torch.dtype) -> Any:
    """`fused_kernels` where the weights are on a CPU."""
    return fused_kernels(dtype) if device.type == "cpu" else None


def _convolution(weight: Tensor, bias: Tensor, dtype: torch.dtype, shape: list[int]) -> Layer:
    """`leaky_relu(conv_same(x))` for images of `shape` [1, in, time, freq]."""
    w, b = _channels_last(weight, dtype), bias.detach().to(dtype)
    kernels = _fused_kernels(w.device, dtype)
    padding, ones = [w.shape[2] // 2, w.shape[3] // 2], [1, 1]
    if kernels is None or w.shape[2] % 2 == 0 or w.shape[3] % 2 == 0:
        return lambda x: F.leaky_relu_(conv_same(x, w, b), SLOPE)
    w = kernels._reorder_convolution_weight(w, padding, ones, ones, 1, shape)
    return lambda x: kernels._convolution_pointwise(
        x, w, b, padding, ones, ones, 1, "leaky_relu", [SLOPE], ""
    )


def _upscaling_convolution(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, shape: list[int], scale: Size
) -> Layer:
    """`leaky_relu(upscale_conv(x))` for images of `shape` [1, in, time, freq]."""
    padding, missing = upscaling_padding((weight.shape[2], weight.shape[3]))
    w = _channels_last(upscaling_kernel(weight, scale), dtype)
    b = bias.detach().to(dtype)
    kernels = _fused_kernels(w.device, dtype)
    if kernels is None:
        return lambda x: F.leaky_relu_(F.conv_transpose2d(x, w, b, scale, padding, missing), SLOPE)
    sizes = (list(padding), list(missing), list(scale), [1, 1], 1)
    w = kernels._reorder_convolution_transpose_weight(w, *sizes, shape)
    return lambda x: kernels._convolution_transpose_pointwise(
        x, w, b, *sizes, "leaky_relu", [SLOPE], ""
    )


def _latent_to_image(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Layer:
    """`leaky_relu(LatentToImage(x))` for x [batch, in, 1, 1], as one matrix product."""
    inputs, channels, time, freq = weight.shape
    w = weight.detach().permute(2, 3, 1, 0).reshape(-1, inputs).to(dtype)
    b = bias.detach().to(dtype).repeat(time * freq)

    def layer(x: Tensor) -> Tensor:
        pixels = F.linear(x[:, :, 0, 0], w, b).unflatten(1, (time, freq, channels))
        return F.leaky_relu_(pixels, SLOPE).permute(0, 3, 1, 2)

    return layer


def _pixel_norm_(x: Tensor) -> Tensor:
    """`pixel_norm` in place."""
    return x.mul_(inverse_norm(x).to(x.dtype))


class _PackedBlock:
    """Two convolutions of a block, ready to use."""

    def __init__(self, generator: Generator, number: int, dtype: torch.dtype) -> None:
        block = generator.blocks[number - 1]
        assert isinstance(block, FirstBlock | GrowingBlock)
        config = generator.config
        weight, bias = block.conv0.scaled_weight(), block.conv0.bias
        self.conv0: Layer
        if isinstance(block, GrowingBlock):
            below = [1, weight.shape[1], *schedule.block_shape(config, number - 1)]
            self.conv0 = _upscaling_convolution(weight, bias, dtype, below, block.scale)
        else:
            self.conv0 = _latent_to_image(weight, bias, dtype)
        shape = [1, config.channels(number), *schedule.block_shape(config, number)]
        self.conv1 = _convolution(block.conv1.scaled_weight(), block.conv1.bias, dtype, shape)

    def without_last_norm(self, x: Tensor) -> Tensor:
        """The block's features before the pixel norm at its end."""
        return self.conv1(_pixel_norm_(self.conv0(x)))

    def __call__(self, x: Tensor) -> Tensor:
        return _pixel_norm_(self.without_last_norm(x))


class Unpacked(nn.Module):
    """Any generator at a fixed progress, as it is."""

    def __init__(
        self, generator: nn.Module, progress: float, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.generator, self.progress = generator, progress

    def forward(self, latents: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        """Images; arguments as for the generator, all of them float32."""
        images: Tensor = self.generator(latents, labels, self.progress, velocities)
        return images


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
        if self._packable(generator):
            numbers = range(1, schedule.blocks_needed(progress) + 1)
            with torch.inference_mode():
                self.blocks = [_PackedBlock(generator, number, dtype) for number in numbers]

    @staticmethod
    def _packable(generator: Generator) -> bool:
        # A stride without room for output padding (even kernels along an axis that doesn't grow)
        # and the simple architecture, which is small anyway, run as they are.
        config = generator.config
        even_flat = config.kernel_size % 2 == 0 and config.scale_mode == "H"
        return not (config.simple_arch or even_flat)

    @torch.inference_mode()
    def __call__(self, latents: Tensor, labels: Tensor, velocities: Tensor | None = None) -> Tensor:
        """Float32 images `[batch, 2, time, freq]`; arguments as for `Generator.forward`.

        Velocities make no difference.
        """
        if not self.blocks:
            return self.generator(latents, labels, self.progress)
        one_hot = F.one_hot(labels, self.generator.num_pitches).to(latents.dtype)
        x = pixel_norm(torch.cat([latents, one_hot], dim=1))[:, :, None, None].to(self.dtype)
        for block in self.blocks[:-1]:
            x = block(x)
        weight = schedule.blend_weight(self.progress)
        last = self.blocks[-1].without_last_norm(x)
        # Scaling a pixel's features scales its image: two channels and not all of them.
        image = self._to_image(len(self.blocks), last, inverse_norm(last))
        if weight == 1.0:
            return image
        low = self._to_image(len(self.blocks) - 1, x, None)
        step = schedule.scale(self.generator.config)
        return (1 - weight) * upscale(low, step) + weight * image

    def _to_image(self, number: int, features: Tensor, gain: Tensor | None) -> Tensor:
        """A block's features, times `gain` [batch, 1, time, freq], as an image."""
        layer: Any = self.generator.blocks[number - 1].to_rgb
        weight = layer.scaled_weight()[:, :, 0, 0]  # a product of channels, at every pixel
        image = F.linear(features.permute(0, 2, 3, 1).float(), weight)
        if gain is not None:
            image = image * gain.permute(0, 2, 3, 1)
        return self.generator.activate(image + layer.bias).permute(0, 3, 1, 2)


class PackedFrames:
    """A generator of frames, for inference.

    Parameters
    ----------
    generator : FramesGenerator
    dtype : torch.float32 or torch.bfloat16
        Of the stages' matrix products and the last one; everything else stays in float32.
    """

    def __init__(self, generator: FramesGenerator, dtype: torch.dtype) -> None:
        self.generator = pack_frames(generator, dtype)

    @torch.inference_mode()
    def __call__(self, latents: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        """Float32 images `[batch, 2, time, freq]`; arguments as for `FramesGenerator.forward`."""
        images: Tensor = self.generator(latents, labels, None, velocities)
        return images
