"""Which networks a configuration means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from gansynth.config import Config
from gansynth.networks.frames import FramesDiscriminator, FramesGenerator
from gansynth.networks.inference import PackedFrames, PackedGenerator
from gansynth.networks.progressive import Discriminator, Generator

AnyGenerator = Generator | FramesGenerator
AnyDiscriminator = Discriminator | FramesDiscriminator
Network = TypeVar("Network", bound=AnyGenerator | AnyDiscriminator)


def generator_kind(config: Config) -> type[AnyGenerator]:
    """The class of the generator."""
    return FramesGenerator if config.g_fn == "frames" else Generator


def discriminator_kind(config: Config) -> type[AnyDiscriminator]:
    """The class of the discriminator."""
    return FramesDiscriminator if config.d_fn == "frames" else Discriminator


def skeleton(kind: type[Network], config: Config, num_pitches: int, num_blocks: int) -> Network:
    """A network without memory for its weights."""
    with torch.device("meta"):
        return kind(config, num_pitches, num_blocks)


def pack(
    generator: AnyGenerator, progress: float, dtype: torch.dtype
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A generator prepared for use: latents, labels and velocities to float32 images."""
    if isinstance(generator, FramesGenerator):
        return PackedFrames(generator, dtype)
    return PackedGenerator(generator, progress, dtype)
