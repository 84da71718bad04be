"""Logarithmic spectra of several resolutions: what training compares notes by.

The shortest window tells when something sounds, the longest one at which frequency; the bands of
the second, followed over time, how steadily. They reach down to what 16 bits hold: a floor higher
up would leave made notes with a hiss that no loss hears.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gansynth.config import Config
from gansynth.pcm import FULL_SCALE
from gansynth.spectral.wideband import bands

HIGHEST = 20_000.0  # Hz
JUDGED = 3  # of `log_spectra`, the first ones: what discriminators see
_MODULATED = 0.27  # of a note, over which the modulation of its levels is looked at
_RATES = (0.7, 1.5, 2.5, 4.0, 5.5, 7.5, 10.0, 15.0, 22.0, 35.0, 60.0)  # Hz, edges
_MODULATION = 0.5  # weight of what the modulation differs by
_STEADY = 1e-6  # nats squared that can't be heard to waver
_HISS = 0.6 / FULL_SCALE  # rms of white noise that counts as silence; rounding to 16 bits has 0.29


@dataclass(frozen=True)
class LogSpectrum:
    """One resolution.

    Attributes
    ----------
    size, hop : int
        Samples of a frame, and between frames; the hop divides the size.
    bins : int
        The lowest ones of the spectrum, or the bands.
    banded : bool
    sample_rate : int
    floor : float
        Of the level, dB below a note's peak amplitude; what 16 bits don't hold is another one.
    lags : tuple of int
        Frames over which changes are compared too.
    first : int or None
        Samples that are looked at; None for all.
    modulated : int
        Frames, the last ones, whose modulation is compared; 0 for none.
    """

    size: int
    hop: int
    bins: int
    banded: bool
    sample_rate: int
    floor: float = 120.0
    lags: tuple[int, ...] = ()
    first: int | None = None
    modulated: int = 0
    _tables: dict[torch.device, tuple[Tensor, Tensor | None]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __call__(self, waves: Tensor, peak: Tensor) -> Tensor:
        """Nats, `[batch, time, bins]`, of waves `[batch, samples]` with peaks `[batch]`."""
        if self.first is not None:
            waves = waves[:, : self.first]
        window, matrix = self._on(waves.device)
        spectra = torch.fft.rfft(waves.unfold(1, self.size, self.hop) * window)
        if matrix is None:
            spectra = spectra[..., : self.bins]
        power = torch.view_as_real(spectra).square().sum(dim=-1)
        if matrix is not None:
            power = power @ matrix
        floor = (10 ** (-self.floor / 20) * peak[:, None, None]).square()
        floor = floor + 6 / self.size * _HISS**2  # white noise through the window, each bin
        return 0.5 * (power + floor).log()

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        if device not in self._tables:
            window = torch.hann_window(self.size) / (self.size / 4)
            matrix = None
            if self.banded:
                top = min(HIGHEST, self.sample_rate / 2)
                matrix = bands(self.size // 2 + 1, self.sample_rate, self.bins, top).T
                matrix = (matrix / matrix.sum(dim=0).clamp_min(1e-3)).to(device)
            self._tables[device] = (window.to(device), matrix)
        return self._tables[device]


def log_spectra(config: Config) -> list[LogSpectrum]:
    """Frames of 8, 24, 64 and 370 ms at 44.1 kHz, in this order."""
    hop, rate = config.final_shape[1] // 2, config.sample_rate
    short = hop // 16
    long = 1 << round(math.log2(11.6 * hop))
    return [
        LogSpectrum(4 * short, short, 32, True, rate, first=11 * hop),
        LogSpectrum(
            12 * short,
            3 * short,
            40,
            True,
            rate,
            lags=(4, 16),
            modulated=round(_MODULATED * config.final_shape[0] * 16 / 3),
        ),
        LogSpectrum(2 * hop, hop // 2, round(0.71 * hop), False, rate),
        LogSpectrum(long, long // 4, round(0.366 * long), False, rate),
    ]


def energy_distance(real: Tensor, made: Tensor, other: Tensor) -> Tensor:
    """The generalized energy distance of one real sample and two made ones, for each number.

    |x - y| + |x - y'| - |y - y'|, averaged: it is lowest, in the mean, where made samples are
    distributed as real ones are, by their spread too (Gritsenko et al. 2020, "A spectral energy
    distance for parallel speech synthesis"). All three are of one shape.
    """
    apart = (real - made).abs() + (real - other).abs()
    return apart.mean() - (made - other).abs().mean()


def compared(spectrum: LogSpectrum, levels: Tensor) -> list[Tensor]:
    """Levels `[batch, time, bins]` as all that is compared of them.

    The levels themselves; where there are lags, changes over these, compressed, so that steady
    tones must be as steady as real ones; and spectra of the last levels' modulation.
    """
    changes = [levels[:, lag:] - levels[:, :-lag] for lag in spectrum.lags]
    views = [levels, *(0.15 * torch.asinh(50 * change) for change in changes)]
    if spectrum.modulated:
        views.append(_MODULATION * modulation(spectrum, levels))
    return views


def modulation(spectrum: LogSpectrum, levels: Tensor) -> Tensor:
    """Logarithmic spectra of how levels waver, from 0.7 to 60 Hz: `[batch, rates, bins]`.

    Parameters
    ----------
    spectrum : LogSpectrum
    levels : float32 [batch, time, bins]
        Its levels; the last `spectrum.modulated` are taken, without their straight lines.
    """
    count = spectrum.modulated
    levels = levels[:, -count:]
    ramp = torch.linspace(-1, 1, count, device=levels.device)
    ramp = ramp / ramp.square().sum().sqrt()
    levels = levels - levels.mean(dim=1, keepdim=True)
    levels = levels - ramp[:, None] * torch.einsum("t,ntb->nb", ramp, levels)[:, None]
    window = torch.hann_window(count, device=levels.device)[:, None]
    spectra = torch.fft.rfft(levels * window / window.sum(), dim=1)
    power = torch.view_as_real(spectra).square().sum(dim=-1)
    found = [power[:, some].mean(dim=1) for some in _rates(spectrum)]
    return (torch.stack(found, dim=1) + _STEADY).log()


def modulation_rates(spectrum: LogSpectrum) -> int:
    """How many rates `modulation` tells apart; 0 where it isn't looked at."""
    return len(_rates(spectrum)) if spectrum.modulated else 0


def _rates(spectrum: LogSpectrum) -> list[slice]:
    """Which numbers of the modulation's transform belong to each rate that has some."""
    per_hertz = spectrum.modulated * spectrum.hop / spectrum.sample_rate
    edges = [math.ceil(rate * per_hertz) for rate in _RATES]
    last = spectrum.modulated // 2 + 1
    return [slice(a, b) for a, b in itertools.pairwise(edges) if a < min(b, last)]
