"""How far apart two notes sound: a spectral distance in decibels that level has no part in.

Power spectrograms with windows of three lengths, each in mel bands, in dB:

    window   bands   hears
    128 ms     128   partials, formants
     32 ms      64   the envelope, and how the spectrum changes
      8 ms      24   the attack

A note's mean power is its 0 dB, and -40 dB is added everywhere, so that what lies far under it
makes no difference. The distance is the mean absolute difference, each window counting a third (as
in the multi-scale loss of DDSP, Engel et al. 2020, but with mel bands).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from gansynth.spectral.mel import hertz_to_mel, mel_to_hertz

_FLOOR_DB = -40.0  # of a note's mean power, which is some 20 dB under its partials

_WINDOWS = ((0.128, 128), (0.032, 64), (0.008, 24))  # seconds, mel bands
_LOWEST = 20.0  # Hz, where the lowest band begins
_NOTHING = 1e-20  # power of a silent note


class _Bands(nn.Module):
    """Powers `[batch, frames, bins]`, 0 Hz to Nyquist, to dB of mel bands `[batch, frames, bands]`.

    Each band is a mean over bins; bands too narrow to hold a bin are left out.
    """

    matrix: Tensor

    def __init__(self, bins: int, sample_rate: int, count: int) -> None:
        super().__init__()
        nyquist = sample_rate / 2
        edges = mel_to_hertz(np.linspace(hertz_to_mel(_LOWEST), hertz_to_mel(nyquist), count + 2))
        triangles = np.eye(count + 2)[1:-1]
        hertz = np.linspace(0, nyquist, bins)
        matrix = np.stack([np.interp(hertz, edges, row) for row in triangles], axis=1)
        sums = matrix.sum(axis=0)
        matrix = (
            matrix[:, sums > 0] / sums[sums > 0] if sums.any() else np.full((bins, 1), 1 / bins)
        )
        self.register_buffer("matrix", torch.tensor(matrix, dtype=torch.float32), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        bands = power @ self.matrix
        mean = bands.mean(dim=(1, 2), keepdim=True) + _NOTHING
        return 10 * torch.log10(bands / mean + 10 ** (_FLOOR_DB / 10))


class SpectralDistance(nn.Module):
    """Distances from one note.

    Parameters
    ----------
    wave : float32 [samples]
        The note, as long as the others; its device is where distances are computed.
    rate : int
        Hz.
    samples : int or None
        How many of them count, where a recording was cut off; None for all.
    """

    def __init__(self, wave: Tensor, rate: int, samples: int | None = None) -> None:
        super().__init__()
        self.samples = min(samples or len(wave), len(wave))
        self.sizes = [max(4, 1 << round(math.log2(seconds * rate))) for seconds, _ in _WINDOWS]
        self.bands = nn.ModuleList(
            _Bands(size // 2 + 1, rate, count)
            for size, (_, count) in zip(self.sizes, _WINDOWS, strict=True)
        )
        self.to(wave.device)
        with torch.no_grad():
            self._target = self._spectrograms(wave[None])

    def forward(self, waves: Tensor) -> Tensor:
        """Distances in dB `[batch]` of waves `[batch, samples]`; differentiable."""
        made = self._spectrograms(waves)
        pairs = zip(made, self._target, strict=True)
        return torch.stack([(a - b).abs().mean(dim=(1, 2)) for a, b in pairs]).mean(dim=0)

    def _spectrograms(self, waves: Tensor) -> list[Tensor]:
        """Spectrograms in dB of waves `[batch, samples]`, one for each window."""
        points = []
        for size, bands in zip(self.sizes, self.bands, strict=True):
            stfts = torch.stft(
                waves[:, : self.samples],
                size,
                size // 4,
                window=torch.hann_window(size, device=waves.device),
                pad_mode="constant",
                return_complex=True,
            )
            points.append(bands((stfts.real.square() + stfts.imag.square()).transpose(1, 2)))
        return points
