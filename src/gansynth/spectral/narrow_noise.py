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
