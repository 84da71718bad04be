"""The baseline: the generator and the way back to waves as one would first write them in PyTorch.

Upscale, then convolve; weights scaled at each call; dense mel matrix; phases unwrapped and
integrated as the original does. Checked against the package before it is timed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansynth.config import Config
from gansynth.networks.progressive import Generator
from gansynth.spectral import mel, transform


def _activate(x: Tensor) -> Tensor:
    x = F.leaky_relu(x, 0.2)
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class PlainPort:
    """Latents and labels to waves, mel data type, last stage."""

    def __init__(self, generator: Generator, config: Config, dtype: torch.dtype) -> None:
        self.blocks: list[Any] = [block.to(dtype) for block in generator.blocks]
        self.config = config
        self.num_pitches = generator.num_pitches
        self.dtype = dtype
        matrix = mel.mel_to_linear(config.final_shape[1], config.sample_rate)
        self.mel_to_linear = torch.tensor(matrix, dtype=torch.float32)

    @torch.inference_mode()
    def __call__(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Float32 waves `[batch, samples]`."""
        z = torch.cat([latents, F.one_hot(labels, self.num_pitches).float()], dim=1)
        x = (z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)).to(self.dtype)
        x = x[:, :, None, None]
        for index, block in enumerate(self.blocks):
            if index == 0:
                x = F.conv_transpose2d(x, block.conv0.scaled_weight(), block.conv0.bias)
            else:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
                x = F.conv2d(x, block.conv0.scaled_weight(), block.conv0.bias, padding=1)
            x = _activate(x)
            x = _activate(F.conv2d(x, block.conv1.scaled_weight(), block.conv1.bias, padding=1))
        last = self.blocks[-1].to_rgb
        image = torch.tanh(F.conv2d(x, last.scaled_weight(), last.bias)).float()
        return self._waves(image)

    def _waves(self, image: Tensor) -> Tensor:
        config = self.config
        logmel = (image[:, 0] - config.mag_normalizer_b) / config.mag_normalizer_a
        frequency = (image[:, 1] - config.p_normalizer_b) / config.p_normalizer_a
        power = torch.exp(logmel) @ self.mel_to_linear
        logmag = 0.5 * torch.log(power + 1e-6)
        phase = torch.cumsum(frequency * math.pi, dim=1) @ self.mel_to_linear
        phase = torch.cumsum(transform.instantaneous_frequency(phase) * math.pi, dim=1)
        stfts = torch.polar(torch.exp(logmag), phase)
        return transform.stfts_to_waves(stfts, config.audio_length)
