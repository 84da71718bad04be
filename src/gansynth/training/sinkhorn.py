"""Normal latents to the codes that notes have, by matching the two as clouds of points."""

from __future__ import annotations

import torch
from torch import Tensor

_SHARPNESS = 0.01  # of the plan in the end, as a share of the mean squared distance
_ROUNDS = 60
_LAST = 15  # rounds at that sharpness


@torch.no_grad()
def sinkhorn_assignment(points: Tensor, targets: Tensor, random: torch.Generator) -> Tensor:
    """For each point a target, so that all targets are used about equally and ways are short.

    The plan of entropic optimal transport between the two (Cuturi 2013, by Sinkhorn's iterations
    on logarithms, which sharpen step by step), of which each point draws a target. Taking the
    likeliest one would favour crowds of targets over single ones.

    Parameters
    ----------
    points : float32 [n, d]
    targets : float32 [m, d]
    random : torch.Generator
        On the CPU.

    Returns
    -------
    int64 [n], rows of `targets`
    """
    squares = torch.cdist(points, targets).square()
    cost = squares / squares.mean().clamp_min(1e-12)
    of_targets = cost.new_zeros(1, len(targets))
    for turn in range(_ROUNDS):
        width = _SHARPNESS ** min(1.0, turn / (_ROUNDS - _LAST))
        of_points = -width * torch.logsumexp((of_targets - cost) / width, dim=1, keepdim=True)
        of_targets = -width * torch.logsumexp((of_points - cost) / width, dim=0, keepdim=True)
    chances = torch.rand(cost.shape, generator=random).clamp_min(1e-20).to(cost.device)
    return ((of_targets - cost) / width - (-chances.log()).log()).argmax(dim=1)
