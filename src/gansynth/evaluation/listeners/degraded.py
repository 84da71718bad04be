"""Log spectrograms of notes as worse recordings would have them: what the classifier is trained on.

A generator's notes are noisier, rougher and duller than recordings, and their pitch is to be heard
all the same. Nothing here moves a partial: a note that is out of tune has another pitch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gansynth.evaluation.listeners.classifier import RANGE

_STRENGTH = 0.6  # at most
_SHORTENED = 0.3  # of all batches
_FEWEST_FRAMES = 3


def degraded(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Log spectrograms as they would be of worse recordings of the same notes.

    Shifted and cut in time, with other equalisation, steep filters, rough magnitudes, noise and
    missing bands; each note by another amount, most by little. Pitches stay as they are.

    Parameters
    ----------
    maps : float16 or float32 [n, frames, bins]
        1 for the loudest band, 0 for `RANGE` dB less; `LogSpectrogram` makes them.

    Returns
    -------
    float32 [n, frames or fewer, bins]
    """
    n, frames, bins = maps.shape
    if frames > _FEWEST_FRAMES and _uniform(generator, 1).item() < _SHORTENED:
        share = _uniform(generator, 1).item()
        frames = _FEWEST_FRAMES + int(share * (frames - _FEWEST_FRAMES))
        maps = maps[:, :frames]
    strength = _STRENGTH * _uniform(generator, n, 1, 1).square()
    maps = _shifted(maps.float(), generator)
    sounding = maps > 0
    changed = maps + _equalised(strength, bins, generator)
    changed = changed + strength * _normal(generator, n, frames, bins) * (3 / RANGE)
    maps = _noisy(torch.where(sounding, changed, maps), strength, generator)
    for _ in range(2):
        maps = maps.masked_fill(_some_band(strength, bins, generator), -1)
    return (maps + 1 - maps.amax((1, 2), keepdim=True)).clamp(min=0)


def _shifted(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Up to two frames earlier or later; every other note ends early."""
    n, frames, bins = maps.shape
    shifts = (_uniform(generator, n, 1) * 5).long() - 2
    ends = 0.2 + 0.8 * _uniform(generator, n, 1)
    ends = torch.where(_uniform(generator, n, 1) < 0.5, ends, 1.0) * frames
    times = torch.arange(frames, device=maps.device)
    sources = times + shifts
    inside = (sources >= 0) & (sources < frames) & (times < ends)
    index = sources.clamp(0, frames - 1)[..., None].expand(-1, -1, bins)
    return maps.gather(1, index) * inside[..., None]


def _equalised(strength: Tensor, bins: int, generator: torch.Generator) -> Tensor:
    """What to add [n, 1, bins]: a smooth curve of some dB, for some notes a low or high cut."""
    n = len(strength)
    curve = strength * _normal(generator, n, 1, 9) * (8 / RANGE)
    curve = nn.functional.interpolate(curve, bins, mode="linear", align_corners=True)
    place = torch.linspace(0, 1, bins, device=strength.device)
    cut = _uniform(generator, 2, n, 1, 1) < 0.6 * strength
    edges = _uniform(generator, 2, n, 1, 1) * torch.where(cut, 1.0, 0.0)
    slope = 0.5 + 3 * _uniform(generator, n, 1, 1)
    beyond = (0.35 * edges[0] - place).relu() + (place - 1 + 0.5 * edges[1]).relu()
    return curve - slope * beyond


def _noisy(maps: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """With noise 80 dB below the loudest band, up to 34 dB louder in bad cases, and tilted."""
    n, frames, bins = maps.shape
    level = 0.7 * strength * _uniform(generator, n, 1, 1)
    place = torch.linspace(-0.5, 0.5, bins, device=maps.device)
    tilt = 0.4 * (_uniform(generator, n, 1, 1) - 0.5) * place
    # The power of noise in a band is distributed exponentially.
    power = -torch.log(_uniform(generator, n, frames, bins).clamp(1e-6, 1 - 1e-6))
    noise = level + tilt + 10 / RANGE * torch.log10(power)
    nepers = RANGE / 10 * math.log(10)
    return torch.logaddexp(maps * nepers, noise * nepers) / nepers


def _some_band(strength: Tensor, bins: int, generator: torch.Generator) -> Tensor:
    """A narrow band to silence for some notes, bool [n, 1, bins]."""
    place = torch.linspace(0, 1, bins, device=strength.device)
    chance, start, width = _uniform(generator, 3, *strength.shape)
    return (chance < strength) & (place >= start) & (place < start + 0.08 * width)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
