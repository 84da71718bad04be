"""Noise that beats within a partial: slower than a long frame's window lets white noise be."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

# Noise within partials changes over so many long frames; at 44.1 kHz about 3, 1.5 and 0.5 Hz wide.
_SPACES = (2, 4, 12)
NOISES = 1 + len(_SPACES)  # white noise is the first
_SMOOTH = 0.8  # of a space: the standard deviation that noise is smoothed with


@lru_cache
def smoothing(frames: int) -> Tensor:
    """White noise at knots to noise of three widths in frames: `[frames, knots]`.

    Knots of one width lie `_SPACES` frames apart; each width's noise has the knots' mean square.
    """
    number = torch.arange(frames)[:, None]
    widths = []
    for space in _SPACES:
        knots = torch.arange(-2, frames // space + 4) * space
        weight = torch.exp(-0.5 * ((number - knots) / (_SMOOTH * space)).square())
        widths.append(weight / weight.square().sum(dim=1, keepdim=True).sqrt())
    return torch.cat(widths, dim=1)


def knot_counts(frames: int) -> tuple[int, ...]:
    """Of `smoothing`, how many each width has."""
    return tuple(frames // space + 6 for space in _SPACES)


def beats(white: Tensor, amounts: Tensor, smooth: Tensor) -> Tensor:
    """Noise of three widths, added up.

    Parameters
    ----------
    white : float32 [batch, 2, knots, bins]
        Real and imaginary.
    amounts : float32 [batch, 3, bins]
        Of each width.
    smooth : float32 [time, knots]
        Of `smoothing`.

    Returns
    -------
    float32 [batch, 2, time, bins]
    """
    counts = knot_counts(len(smooth))
    of_knots = torch.cat(
        [amounts[:, k : k + 1].expand(-1, count, -1) for k, count in enumerate(counts)], dim=1
    )
    return torch.matmul(smooth, white * of_knots.unsqueeze(1))
