"""The progressive generator and discriminator of GANSynth (Karras et al. 2018; Engel et al. 2019).

Images are `[batch, 2, time, freq]` in the normalizer's range, at the resolution that the progress
needs and no higher. Upscaled to the final resolution they are the original's images.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.networks import schedule
from gansynth.networks.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    LatentToImage,
    SimpleConv2d,
    SimpleLinear,
    SimpleUpscale,
    downscale,
    minibatch_stddev,
    pixel_norm,
    upscale,
)

COLORS = 2


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


class FirstBlock(nn.Module):
    """Latent and pitch to features of the first resolution."""

    def __init__(self, config: Config, inputs: int) -> None:
        super().__init__()
        channels = config.channels(1)
        size = (config.start_height, config.start_width)
        self.conv0 = LatentToImage(inputs, channels, size)
        self.conv1 = EqualizedConv2d(channels, channels, (config.kernel_size,) * 2)
        self.to_rgb = EqualizedConv2d(channels, COLORS, (1, 1), slope=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs] to [batch, channels, time, freq]."""
        x = pixel_norm(self.conv0(pixel_norm(x)))
        return pixel_norm(self.conv1.rectified(x))


class GrowingBlock(nn.Module):
    """Upscale, two convolutions; `to_rgb` makes an image of the result."""

    def __init__(self, config: Config, block: int) -> None:
        super().__init__()
        inputs, channels = config.channels(block - 1), config.channels(block)
        kernel = (config.kernel_size,) * 2
        self.scale = schedule.scale(config)
        self.conv0 = EqualizedConv2d(inputs, channels, kernel)
        self.conv1 = EqualizedConv2d(channels, channels, kernel)
        self.to_rgb = EqualizedConv2d(channels, COLORS, (1, 1), slope=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs, time, freq] to [batch, channels, scaled time, scaled freq]."""
        x = pixel_norm(self.conv0.after_upscale(x, self.scale))
        return pixel_norm(self.conv1.rectified(x))


class SimpleFirstBlock(nn.Module):
    """`FirstBlock` of the simple architecture: one dense layer."""

    def __init__(self, config: Config, inputs: int) -> None:
        super().__init__()
        channels = config.channels(1)
        self.shape = (config.start_height, config.start_width, channels)
        self.dense = SimpleLinear(inputs, config.start_height * config.start_width * channels)
        self.to_rgb = SimpleConv2d(channels, COLORS, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Arguments as for `FirstBlock`."""
        return torch.relu(self.dense(x)).unflatten(1, self.shape).permute(0, 3, 1, 2)


class SimpleGrowingBlock(nn.Module):
    """`GrowingBlock` of the simple architecture: one transposed convolution."""

    def __init__(self, config: Config, block: int) -> None:
        super().__init__()
        inputs, channels = config.channels(block - 1), config.channels(block)
        kernel = (config.kernel_size,) * 2
        self.conv = SimpleUpscale(inputs, channels, kernel, schedule.scale(config))
        self.to_rgb = SimpleConv2d(channels, COLORS, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Arguments as for `GrowingBlock`."""
        return torch.relu(self.conv(x))


class Generator(nn.Module):
    """Latent vector and pitch to an image.

    Parameters
    ----------
    config : Config
    num_pitches : int
        Pitches that the model knows; the pitch enters as a one-hot vector behind the latent.
    num_blocks : int or None
        Blocks to build; None for all resolutions.
    """

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.num_pitches = num_pitches
        inputs = config.latent_vector_size + num_pitches
        numbers = range(2, (num_blocks or config.num_resolutions) + 1)
        if config.simple_arch:
            first: nn.Module = SimpleFirstBlock(config, inputs)
            blocks: list[nn.Module] = [SimpleGrowingBlock(config, b) for b in numbers]
        else:
            first = FirstBlock(config, inputs)
            blocks = [GrowingBlock(config, b) for b in numbers]
        self.blocks = nn.ModuleList([first, *blocks])

    def forward(
        self, latents: Tensor, labels: Tensor, progress: float, velocities: Tensor | None = None
    ) -> Tensor:
        """Make images.

        Parameters
        ----------
        latents : float [batch, latent_vector_size]
            Their type (float32, bfloat16) is the type of all layers; images are float32.
        labels : int64 [batch]
            Index of each note's pitch among the model's pitches.
        progress : float
            From 0 to the number of blocks less 1.
        velocities : float [batch] or None
            Without effect: these networks aren't told them.

        Returns
        -------
        float [batch, 2, time, freq] at the resolution of block ceil(progress) + 1
        """
        one_hot = nn.functional.one_hot(labels, self.num_pitches)
        x = torch.cat([latents, one_hot.to(latents.dtype)], dim=1)
        used = self.blocks[: schedule.blocks_needed(progress)]
        features = []
        for block in used:
            x = block(x)
            features.append(x)
        weight = schedule.blend_weight(progress)
        image = self.to_image(used[-1], features[-1])
        if weight == 1.0:
            return image
        below = self.to_image(used[-2], features[-2])
        return (1 - weight) * upscale(below, schedule.scale(self.config)) + weight * image

    def to_image(self, block: nn.Module, features: Tensor) -> Tensor:
        """A block's features as an image."""
        return self.activate(_at_least_float32(block.to_rgb(features)))  # type: ignore[operator]

    def activate(self, image: Tensor) -> Tensor:
        """The activation of the output layers."""
        return torch.tanh(image) if self.config.to_rgb_activation == "tanh" else image


class ShrinkingBlock(nn.Module):
    """Two convolutions, then downscale; `from_rgb` makes features of an image."""

    def __init__(self, config: Config, block: int) -> None:
        super().__init__()
        channels, outputs = config.channels(block), config.channels(block - 1)
        kernel = (config.kernel_size,) * 2
        self.scale = schedule.scale(config)
        self.from_rgb = EqualizedConv2d(COLORS, channels, (1, 1))
        self.conv0 = EqualizedConv2d(channels, channels, kernel)
        self.conv1 = EqualizedConv2d(channels, outputs, kernel)

    def from_image(self, x: Tensor) -> Tensor:
        """Images [batch, 2, time, freq] to features [batch, channels, time, freq]."""
        return self.from_rgb.rectified(x)

    def forward(self, x: Tensor) -> Tensor:
        """Features [batch, channels, time, freq] to those of the resolution below."""
        return downscale(self.conv1.rectified(self.conv0.rectified(x)), self.scale)


class LastBlock(nn.Module):
    """Features of the first resolution to one vector `[batch, channels]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.channels(1)
        size = (config.start_height, config.start_width)
        self.from_rgb = EqualizedConv2d(COLORS, channels, (1, 1))
        self.conv0 = EqualizedConv2d(channels + 1, channels, (config.kernel_size,) * 2)
        self.conv1 = EqualizedConv2d(channels, config.channels(0), size)
        self.logits: nn.Module = EqualizedLinear(config.channels(0), 1)

    def from_image(self, x: Tensor) -> Tensor:
        """Arguments as for `ShrinkingBlock`."""
        return self.from_rgb.rectified(x)

    def forward(self, x: Tensor, group: int | None = None) -> Tensor:
        """Features [batch, channels, time, freq] to vectors; `group` as for `Discriminator`."""
        x = self.conv0.rectified(minibatch_stddev(x, group))
        return self.conv1.whole(x)


class SimpleShrinkingBlock(nn.Module):
    """`ShrinkingBlock` of the simple architecture: one strided convolution."""

    def __init__(self, config: Config, block: int) -> None:
        super().__init__()
        channels, outputs = config.channels(block), config.channels(block - 1)
        kernel = (config.kernel_size,) * 2
        self.from_rgb = SimpleConv2d(COLORS, channels, (1, 1))
        self.conv = SimpleConv2d(channels, outputs, kernel, schedule.scale(config))

    def from_image(self, x: Tensor) -> Tensor:
        """Arguments as for `ShrinkingBlock`."""
        return torch.relu(self.from_rgb(x))

    def forward(self, x: Tensor) -> Tensor:
        """Arguments as for `ShrinkingBlock`."""
        return torch.relu(self.conv(x))


class SimpleLastBlock(nn.Module):
    """`LastBlock` of the simple architecture: one dense layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.channels(1)
        pixels = config.start_height * config.start_width
        self.from_rgb = SimpleConv2d(COLORS, channels, (1, 1))
        self.dense = SimpleLinear(pixels * (channels + 1), config.channels(0))
        self.logits: nn.Module = SimpleLinear(config.channels(0), 1)

    def from_image(self, x: Tensor) -> Tensor:
        """Arguments as for `ShrinkingBlock`."""
        return torch.relu(self.from_rgb(x))

    def forward(self, x: Tensor, group: int | None = None) -> Tensor:
        """Arguments as for `LastBlock`."""
        # The original flattens with channels last.
        x = minibatch_stddev(x, group)
        return torch.relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)))


class Discriminator(nn.Module):
    """Image to a score (real or made) and a guess of its pitch.

    Parameters
    ----------
    config : Config
    num_pitches : int
    num_blocks : int or None
        Blocks to build; None for all resolutions.
    """

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__()
        self.config = config
        numbers = range(2, (num_blocks or config.num_resolutions) + 1)
        if config.simple_arch:
            last: nn.Module = SimpleLastBlock(config)
            blocks: list[nn.Module] = [SimpleShrinkingBlock(config, b) for b in numbers]
        else:
            last = LastBlock(config)
            blocks = [ShrinkingBlock(config, b) for b in numbers]
        self.blocks = nn.ModuleList([last, *blocks])
        self.pitch_logits = EqualizedLinear(config.channels(0), num_pitches)

    def forward(
        self, images: Tensor, progress: float, group: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Judge images.

        Parameters
        ----------
        images : float [batch, 2, time, freq]
            At the resolution of block ceil(progress) + 1, as the generator makes them. Their type
            (float32, bfloat16) is the type of all but the last layers.
        progress : float
        group : int or None
            Neighbours in the batch that share a minibatch deviation; None takes the whole batch.

        Returns
        -------
        scores : float32 [batch]
        pitch_logits : float32 [batch, num_pitches]
        """
        used: list[Any] = list(self.blocks[: schedule.blocks_needed(progress)])[::-1]
        step = schedule.scale(self.config)
        weight = schedule.blend_weight(progress)
        x = used[0].from_image(images)
        for depth, (block, below) in enumerate(pairwise(used)):
            x = block(x)
            if depth == 0 and weight < 1.0:
                x = (1 - weight) * below.from_image(downscale(images, step)) + weight * x
        vector = _at_least_float32(used[-1](x, group))
        return used[-1].logits(vector).squeeze(1), self.pitch_logits(vector)


def fit_pitches(weights: dict[str, Tensor], config: Config, rows: list[int]) -> dict[str, Tensor]:
    """A generator's or discriminator's weights with inputs or outputs for other pitches.

    Pitch i of the new ones begins as pitch `rows[i]` of the old ones.
    """
    result = dict(weights)
    if "pitch_logits.weight" in weights:
        for name in ("pitch_logits.weight", "pitch_logits.bias"):
            result[name] = weights[name][torch.tensor(rows)]
        return result
    latent = config.latent_vector_size
    inputs = torch.tensor([*range(latent), *(latent + row for row in rows)])
    # Pixel norm and the layer's scale depend on the number of inputs in opposite ways.
    name, axis = ("dense", 1) if config.simple_arch else ("conv0", 0)
    first = f"blocks.0.{name}.weight"
    result[first] = weights[first].index_select(axis, inputs)
    return result
