"""The encoder of networks of frames: which instrument plays a note."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.networks.frames import Block, Views, frame_counts, rms_norm
from gansynth.networks.rectified import SLOPE

_TRUNK_BLOCKS = (1, 1, 2)  # at full time, half of it, a quarter …, the last number from there on


class Trunk(nn.Module):
    """Images `[batch, 2, time, freq]` to one vector a note, `[batch, channels]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        _, bins = config.final_shape
        channels, sizes = config.fmap_max, frame_counts(config)[::-1]
        counts = [_TRUNK_BLOCKS[min(i, len(_TRUNK_BLOCKS) - 1)] for i in range(len(sizes))]
        share = 1 / math.sqrt(sum(counts))
        self.shrink = config.scale_base
        self.views = Views(config)
        self.project = nn.Linear(4 * bins, channels)
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(channels, share) for _ in range(count)) for count in counts
        )
        self.fold = nn.Linear(sizes[-1] * channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Float `[batch, 2, time, freq]` to `[batch, channels]`."""
        x = self.project(self.views(images))
        for place, stage in enumerate(self.stages):
            if place:
                x = F.avg_pool1d(x.transpose(1, 2), self.shrink).transpose(1, 2)
            for block in stage:  # type: ignore[attr-defined]
                x = block(x)
        return F.leaky_relu(self.fold(rms_norm(x).flatten(1)), SLOPE)


class FramesEncoder(nn.Module):
    """Images to a normal distribution over codes; used in training only.

    The numbers of pitches and blocks, which other networks need, make no difference.
    """

    def __init__(self, config: Config, num_pitches: int = 0, num_blocks: int | None = None) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        self.moments = nn.Linear(config.fmap_max, 2 * config.latent_vector_size)
        nn.init.normal_(self.moments.weight, std=0.02)
        nn.init.zeros_(self.moments.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 `[batch, 2, time, freq]` to means and log stds `[batch, code]`."""
        mean, log_std = self.moments(self.trunk(images)).float().chunk(2, dim=-1)
        return mean, log_std.clamp(-8, 3)
