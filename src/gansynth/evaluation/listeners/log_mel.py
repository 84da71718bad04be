"""Pooled log-mel spectrograms: notes as points in a space whose distances are in decibels.

This is the log-spectrogram space of NDB (number of statistically different bins; Richardson &
Weiss 2018, as GANSynth's paper uses it) and of near copies. The note is cut into 32 equal parts in
time and 64 mel bands in frequency, whatever its length and rate:

    note       |····|····|····|  …  |····|   32 parts, power averaged over each
    spectrum   20 Hz  ╱╲╱╲╱╲ ╱ ╲ ╱  ╲  …  Nyquist   64 triangular bands, equal in mel

so that a point has 2048 coordinates, and Euclidean distance / sqrt(2048) is the root mean square
difference of two notes in dB.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gansynth.audio.files import check_rate
from gansynth.errors import InputError
from gansynth.spectral.mel import hertz_to_mel, mel_to_hertz

BANDS = 64
FRAMES = 32
FLOOR_DB = -80.0  # of a full-scale sine

_WINDOW = 0.128  # seconds: 2048 samples at 16 kHz
_LOWEST = 20.0  # Hz, where the lowest band begins


class PooledLogMel(nn.Module):
    """Waves `[notes, samples]` to points `[notes, 2048]`, float32, in dB.

    0 dB is the power of a full-scale sine in the middle of a band. -80 dB of power is added
    everywhere, so silence is a point, every coordinate -80, and what lies far under it makes no
    difference. Coordinates run through the bands of the first part, then of the second.

    A note of 4 s at 16 kHz takes about 2 ms on one core.

    Parameters
    ----------
    sample_rate : int
        Hz.
    samples : int
        Length of the notes.

    Raises
    ------
    InputError
        If the rate or the length is no positive whole number in its range.
    """

    window: Tensor
    pool: Tensor
    bands: Tensor

    dimensions = BANDS * FRAMES

    def __init__(self, sample_rate: int, samples: int) -> None:
        super().__init__()
        check_rate("sample_rate", sample_rate)
        if samples < 1:
            raise InputError(f"samples={samples}: must be 1 or more; give notes that sound.")
        self.samples = samples
        self.n_fft = 1 << round(math.log2(_WINDOW * sample_rate))
        self.hop_length = self.n_fft // 4
        window = torch.hann_window(self.n_fft)
        # A full-scale sine, of mean square 1/2, then has a power of 1 over all positive bins.
        scale = math.sqrt(4 / (self.n_fft * float(window.square().sum())))
        pool = _pooling(samples, self.hop_length)
        bands = _mel_bands(self.n_fft, sample_rate)
        for name, tensor in (("window", window * scale), ("pool", pool), ("bands", bands)):
            self.register_buffer(name, torch.as_tensor(tensor, dtype=torch.float32), False)

    def forward(self, waves: Tensor) -> Tensor:
        """Float32 `[notes, samples]`, full scale 1; a wave that isn't finite counts as silence.

        Raises `InputError` where the waves have another shape.
        """
        if waves.ndim != 2 or waves.shape[1] != self.samples:
            raise InputError(
                f"waves of shape {list(waves.shape)}: must be [notes, {self.samples}]."
            )
        finite = torch.isfinite(waves).all(dim=1, keepdim=True)
        stfts = torch.stft(
            torch.where(finite, waves, 0.0),
            self.n_fft,
            self.hop_length,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power = stfts.real.square() + stfts.imag.square()  # [notes, bins, frames]
        parts = (power @ self.pool).transpose(1, 2) @ self.bands
        return (10 * torch.log10(parts + 10 ** (FLOOR_DB / 10))).flatten(1)


def _pooling(samples: int, hop_length: int) -> NDArray[np.float64]:
    """Weights [frames, parts] of the mean over each part; frame t stands for one hop about it."""
    frames = samples // hop_length + 1
    centres = np.arange(frames)[:, None] * hop_length
    edges = np.linspace(0, samples, FRAMES + 1)
    last = np.where(np.arange(frames) == frames - 1, samples, 0)[:, None]
    begins, ends = centres - hop_length / 2, np.maximum(centres + hop_length / 2, last)
    overlap = np.minimum(ends, edges[1:]) - np.maximum(begins, edges[:-1])
    return overlap.clip(0) * FRAMES / samples


def _mel_bands(n_fft: int, sample_rate: int) -> NDArray[np.float64]:
    """Triangles [bins, bands] of height 1, each from its lower to its upper neighbour's centre."""
    nyquist = sample_rate / 2
    edges = mel_to_hertz(np.linspace(hertz_to_mel(_LOWEST), hertz_to_mel(nyquist), BANDS + 2))
    hertz = np.linspace(0, nyquist, n_fft // 2 + 1)
    triangles = np.eye(BANDS + 2)[1:-1]
    return np.stack([np.interp(hertz, edges, triangle) for triangle in triangles], axis=1)
