"""Normal latents to the codes that notes have, by matching the two as clouds of points."""

from __future__ import annotations

import torch
from torch import Tensor

_SHARPNESS = 0.01  # of the plan, as a share of the mean squared distance
_ROUNDS = 60


@torch.no_grad()
def matched(points: Tensor, targets: Tensor) -> Tensor:
    """For each point a target, so that all targets are used about equally and ways are short.

    The plan of entropic optimal transport between the two (Cuturi 2013, by Sinkhorn's iterations
    on logarithms), of which each point takes the likeliest target.

    Parameters
    ----------
    points : float32 [n, d]
    targets : float32 [m, d]

    Returns
    -------
    int64 [n], rows of `targets`
    """
    squares = torch.cdist(points, targets).square()
    score = -squares / (_SHARPNESS * squares.mean()).clamp_min(1e-12)
    of_points, of_targets = points.new_zeros(len(points), 1), points.new_zeros(1, len(targets))
    for _ in range(_ROUNDS):
        of_points = -torch.logsumexp(score + of_targets, dim=1, keepdim=True)
        of_targets = -torch.logsumexp(score + of_points, dim=0, keepdim=True)
    return (score + of_points + of_targets).argmax(dim=1)
