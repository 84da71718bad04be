"""From normal latents to the codes that notes have, by a flow.

    latent = x(0) ── dx/dt = velocity(x, t, family) ──> x(1) = code

A small network says how fast a point moves; following it from 0 to 1 turns normal latents into
codes, and following it back turns codes into latents. It is trained by flow matching (Lipman et al.
2023, "Flow matching for generative modeling"). A family of instruments may be given; `ANY` is none.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.networks.rectified import SLOPE

ANY = 0  # the family of all instruments
MOST_FAMILIES = 31

_STEPS = 6  # of the midpoint rule
_WAVES = 8  # that tell the time
_HIDDEN = 384
_LAYERS = 3


class LatentFlow(nn.Module):
    """A flow between latents and codes, both `[batch, size]`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.enter = nn.Linear(size + 2 * _WAVES, _HIDDEN)
        self.family = nn.Embedding(MOST_FAMILIES + 1, _HIDDEN)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(_HIDDEN, _HIDDEN), nn.LeakyReLU(SLOPE)) for _ in range(_LAYERS)
        )
        self.leave = nn.Linear(_HIDDEN, size)
        nn.init.zeros_(self.family.weight)
        nn.init.normal_(self.leave.weight, std=0.1 / math.sqrt(_HIDDEN))
        nn.init.zeros_(self.leave.bias)

    def velocity(self, x: Tensor, time: Tensor, families: Tensor) -> Tensor:
        """How fast points move.

        Parameters
        ----------
        x : float [batch, size]
        time : float [batch], 0 to 1
        families : int64 [batch]
            `ANY`, or 1 and up.
        """
        waves = time[:, None] * torch.arange(1, _WAVES + 1, device=x.device) * (math.pi / 2)
        h = self.enter(torch.cat([x, waves.cos(), waves.sin()], dim=1)) + self.family(families)
        for layer in self.layers:
            h = h + layer(F.layer_norm(h, (_HIDDEN,)))
        return self.leave(F.leaky_relu(h, SLOPE))

    def forward(self, latents: Tensor, families: Tensor | None = None) -> Tensor:
        """Codes of latents."""
        return self._integrate(latents, families, 0.0, 1.0)

    def latents(self, codes: Tensor, families: Tensor | None = None) -> Tensor:
        """Latents of codes: the way back."""
        return self._integrate(codes, families, 1.0, 0.0)

    def _integrate(self, x: Tensor, families: Tensor | None, begin: float, end: float) -> Tensor:
        if families is None:
            families = torch.full((len(x),), ANY, device=x.device)
        step = (end - begin) / _STEPS
        for number in range(_STEPS):
            time = torch.full_like(x[:, 0], begin + number * step)
            half = x + 0.5 * step * self.velocity(x, time, families)
            x = x + step * self.velocity(half, time + 0.5 * step, families)
        return x
