"""Vibrato and tremolo: movements that all partials of a note share, at phases drawn at random.

A movement is a turn at a rate of its own. It delays and hastens the wave (its frequency sways), and
raises and lowers the levels of bands. How much it does follows from the note's style; the phase
that it begins with, and the rate to a twentieth, can't follow from anything and are drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Hz, closer to each other where players' vibrato lies.
_RATES = (0.7, 1.1, 1.7, 2.6, 3.5, 4.2, 4.8, 5.4, 6.0, 6.8, 8.0)
_APART = 0.05  # how far a note's rate may be from these, as a share
MOVEMENTS = len(_RATES)
POINTS = 5  # of levels over frequency, on the mel scale
NUMBERS = 3 + POINTS  # of each movement

_SLOW = 2.0  # Hz: below, levels alone move; a pitch that drifts is out of tune
_DEPTH = 0.004  # relative deviation of the frequency; 7 cents
_LEVEL = 0.1  # nats
_LATEST, _GROWTH = 1.5, 0.1  # seconds: when a movement grows in, at most, and how fast
_LONGEST = 1 / 8  # of a frame, a delay


class Movement(NamedTuple):
    """What a movement does at some times.

    Attributes
    ----------
    delays : float32 [batch, times]
        Seconds that the wave is early by.
    levels : float32 [batch, times, POINTS]
        Nats, added to those of the bands.
    """

    delays: Tensor
    levels: Tensor


def begin(numbers: Tensor) -> None:
    """Fill a layer's offsets `[MOVEMENTS * NUMBERS]` with those that training begins with."""
    table = torch.zeros(MOVEMENTS, NUMBERS)
    table[:, 0], table[:, 2], table[:, 3:] = -1.5, -1.0, -2.5
    numbers.copy_(table.flatten())


def moved(numbers: Tensor, drawn: Tensor, seconds: Tensor) -> Movement:
    """All movements of notes, added up.

    Parameters
    ----------
    numbers : float32 [batch, MOVEMENTS, NUMBERS]
        Of each: depth of frequency, how far levels are ahead of it, when it grows in, and depths of
        levels, through a softplus: what is near none can come back.
    drawn : float32 [batch, MOVEMENTS, 2]
        From 0 to 1: phases, and places of the rates.
    seconds : float32 [times]
    """
    rates = torch.tensor(_RATES, device=numbers.device)
    phase, place = drawn.unbind(2)
    rates = rates * (1 - _APART + 2 * _APART * place)
    turns = phase[:, None] + rates[:, None] * seconds[:, None]  # [batch, times, movements]
    angle = turns * (2 * math.pi)
    depth, ahead, late = numbers[..., 0], numbers[..., 1], numbers[..., 2]
    grown = torch.sigmoid((seconds[:, None] - _LATEST * late.sigmoid()[:, None]) / _GROWTH)
    # A delay's slope is the deviation of the frequency.
    widest = _DEPTH * F.softplus(depth) * (rates > _SLOW) / (2 * math.pi * rates)
    delays = (angle.sin() * grown) @ widest.unsqueeze(2)
    turned = (angle + math.pi * ahead.tanh()[:, None]).cos() * grown
    return Movement(delays.squeeze(2), turned @ (_LEVEL * F.softplus(numbers[..., 3:])))


def hastened(spectra: Tensor, delays: Tensor, size: int, sample_rate: int, count: int) -> Tensor:
    """Spectra of short frames, each earlier by its delay.

    Parameters
    ----------
    spectra : complex64 [batch, times, bins]
    delays : float32 [batch, times]
        Seconds.
    size : int
        Samples of a frame.
    count : int
        Bins, the lowest ones, that have something to delay; the others stay as they are.
    """
    step = _steps(delays, size, sample_rate)
    # Turns of all bins from those of few: e^(i (n a + b) x) = e^(i n a x) e^(i b x).
    few = math.isqrt(count)
    more = -(-count // few)
    number = torch.arange(max(few, more), device=step.device)
    fine, coarse = (
        torch.polar(torch.ones_like(angle), angle)
        for angle in (step * number[:few], step * (few * number[:more]))
    )
    low = F.pad(spectra[..., :count], (0, few * more - count)).unflatten(2, (more, few))
    low = low * coarse.unsqueeze(3) * fine.unsqueeze(2)
    return torch.cat([low.flatten(2)[..., :count], spectra[..., count:]], dim=2)


def hastened_in_parts(
    real: Tensor, imaginary: Tensor, delays: Tensor, size: int, sample_rate: int, count: int
) -> tuple[Tensor, Tensor]:
    """The same without complex numbers."""
    number = torch.arange(real.shape[2], device=real.device)
    angle = _steps(delays, size, sample_rate) * (number * (number < count))
    cos, sin = angle.cos(), angle.sin()
    return real * cos - imaginary * sin, real * sin + imaginary * cos


def _steps(delays: Tensor, size: int, sample_rate: int) -> Tensor:
    """Radians from bin to bin, `[batch, times, 1]`."""
    longest = _LONGEST * size
    return (delays * sample_rate).clamp(-longest, longest).unsqueeze(2) * (2 * math.pi / size)
