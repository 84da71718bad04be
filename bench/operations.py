"""Multiply-adds that one image of training needs, counted from the configuration.

Only products of features and weights count. A pass is forward, or one half of a backward pass:
with respect to a layer's input ("data") or to its weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gansynth.config import Config
from gansynth.networks import schedule

COLORS = 2


def _pixels(config: Config, block: int) -> float:
    return float(np.prod(schedule.block_shape(config, block)))


def _shown_blocks(progress: float) -> list[int]:
    """Blocks whose images are blended, the highest first."""
    top = schedule.blocks_needed(progress)
    return [top] if schedule.blend_weight(progress) == 1.0 else [top, top - 1]


@dataclass(frozen=True)
class GeneratorCount:
    """Multiply-adds of one forward pass for one image.

    Attributes
    ----------
    first : float
        The layer that the latent enters.
    others : float
    """

    first: float
    others: float

    @property
    def forward(self) -> float:
        return self.first + self.others

    @property
    def backward(self) -> float:
        """Data and weights; nothing asks for the latent's gradient."""
        return self.first + 2 * self.others


@dataclass(frozen=True)
class DiscriminatorCount:
    """Multiply-adds of one forward pass for one image.

    Attributes
    ----------
    image : float
        Layers that take images.
    before : float
        Layers from there to the minibatch deviation.
    behind : float
        Layers behind it.
    """

    image: float
    before: float
    behind: float

    @property
    def forward(self) -> float:
        return self.image + self.before + self.behind


def generator_count(
    config: Config, progress: float, num_pitches: int, *, upscaled: bool = False
) -> GeneratorCount:
    """The generator's count; progressive architecture.

    `upscaled`: every kernel tap at the upscaled resolution (the original), or only distinct ones.
    """
    taps = config.kernel_size**2
    distinct = float(np.prod([(config.kernel_size + s - 1) / s for s in schedule.scale(config)]))
    inputs = config.latent_vector_size + num_pitches
    others = 0.0
    for block in range(1, schedule.blocks_needed(progress) + 1):
        pixels, channels = _pixels(config, block), config.channels(block)
        if block > 1:
            first = taps if upscaled else distinct
            others += pixels * first * config.channels(block - 1) * channels
        others += pixels * taps * channels * channels
    for block in _shown_blocks(progress):
        others += _pixels(config, block) * config.channels(block) * COLORS
    return GeneratorCount(_pixels(config, 1) * inputs * config.channels(1), others)


def discriminator_count(config: Config, progress: float, num_pitches: int) -> DiscriminatorCount:
    """The discriminator's count; progressive architecture."""
    taps = config.kernel_size**2
    shown = _shown_blocks(progress)
    image = sum(_pixels(config, block) * COLORS * config.channels(block) for block in shown)
    before = 0.0
    for block in range(2, schedule.blocks_needed(progress) + 1):
        channels, outputs = config.channels(block), config.channels(block - 1)
        before += _pixels(config, block) * taps * channels * (channels + outputs)
    pixels, channels, last = _pixels(config, 1), config.channels(1), config.channels(0)
    behind = pixels * taps * (channels + 1) * channels + pixels * channels * last
    return DiscriminatorCount(image, before, behind + last * (1 + num_pitches))


def step_passes(config: Config, progress: float, num_pitches: int) -> dict[str, float]:
    """Multiply-adds per image of every pass that a step of training needs.

    A rectifier has no second derivative. So the penalty's second backward pass has a data part that
    runs forward from the image's gradient, a weight part, and one part through the interpolates'
    features: the minibatch deviation's second derivative, from there back to the image.
    """
    g = generator_count(config, progress, num_pitches)
    d = discriminator_count(config, progress, num_pitches)
    passes = {
        "generator step: generator forward": g.forward,
        "generator step: generator backward": g.backward,
        "generator step: discriminator forward": d.forward,
        "generator step: discriminator backward to the image": d.forward,
        "discriminator step: generator forward": g.forward,
        "discriminator step: real, made: forward": 2 * d.forward,
        # Nothing asks for these images' own gradients.
        "discriminator step: real, made: backward": 2 * (2 * d.forward - d.image),
    }
    if config.gradient_penalty_weight > 0:
        passes |= {
            "penalty: interpolates forward": d.forward,
            "penalty: backward to the image": d.forward,
            "penalty: second backward, data and weights": 2 * d.forward,
            "penalty: second backward, through the deviation": d.image + 2 * d.before,
        }
    return passes


def step_multiply_adds(config: Config, progress: float, num_pitches: int) -> float:
    """All of `step_passes`."""
    return sum(step_passes(config, progress, num_pitches).values())
