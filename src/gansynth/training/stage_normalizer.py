"""Images of a stage between the data's range and the networks', at the stage's own resolution.

The original upscales every image to the final resolution, normalizes and clips there, and lets the
discriminator shrink it again. Pixels that were made by upscaling hold one value, so all of it can
be done at the stage's resolution. Two things remain of the final one: a pixel's gradient is spread
over the pixels that it stands for, and constants measured for each frequency differ among them.

    data x ── a x + b ──> u ── clip to -1 … 1, mean of merged frequencies ──> what the networks see
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansynth.networks.layers import downscale, upscale
from gansynth.spectral.normalizers import Normalizer


class StageNormalizer:
    """The normalizer's map for images that stand for images `scale` times larger.

    `u` below is `[batch, 2, time, freq]`; with constants for each frequency it has the final
    resolution's frequencies.

    Parameters
    ----------
    normalizer : Normalizer
    scale : (int, int)
        How many (time, freq) pixels of the final resolution one pixel stands for.
    """

    def __init__(self, normalizer: Normalizer, scale: tuple[int, int]) -> None:
        self.identity = normalizer.identity
        self.by_frequency = not self.identity and normalizer.slope.dim() == 2
        if not self.identity:
            # [2] or [freq, 2] to [2, 1, 1] or [2, 1, freq]
            self.slope, self.offset = (
                constants.reshape(-1, 2).T[:, None]
                for constants in (normalizer.slope, normalizer.offset)
            )
        self.merged = (1, scale[1]) if self.by_frequency else (1, 1)
        self.pixels = scale[0] * (1 if self.by_frequency else scale[1])

    def from_data(self, x: Tensor) -> Tensor:
        """Denormalized images `[batch, 2, time, freq]` to `u`."""
        return x if self.identity else self.slope * upscale(x, self.merged) + self.offset

    def from_generator(self, images: Tensor) -> Tensor:
        """The generator's images `[batch, 2, time, freq]` to `u`."""
        return upscale(images, self.merged)

    def network_input(self, u: Tensor) -> Tensor:
        """What the discriminator sees, `[batch, 2, time, freq]`."""
        return u if self.identity else downscale(torch.clamp(u, -1.0, 1.0), self.merged)

    def data_gradient_norms(self, gradient: Tensor) -> Tensor:
        """Norms of the gradient with respect to final, denormalized images.

        Parameters
        ----------
        gradient : float [batch, 2, time, freq]
            With respect to `u`.

        Returns
        -------
        float [batch]
        """
        # A final pixel has 1/n of the gradient of the pixel it belongs to, and there are n of them.
        scaled = gradient if self.identity else gradient * self.slope
        return scaled.square().sum(dim=(1, 2, 3)).div(self.pixels).sqrt()
