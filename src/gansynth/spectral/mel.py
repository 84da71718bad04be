"""Mel frequency scale, and the two matrices between linear and mel spectrograms.

The matrices are those that published checkpoints were trained with, quirk included: see
`linear_to_mel`. Source of the scale: O'Shaughnessy, "Speech Communication" (1987), as in HTK.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BREAK_HZ = 700.0
HIGH_Q = 1127.0

Matrix = NDArray[np.float64]


def hertz_to_mel(hertz: float | Matrix) -> Matrix:
    """Frequencies in Hz to mel."""
    return np.asarray(HIGH_Q * np.log1p(np.asarray(hertz, dtype=np.float64) / BREAK_HZ))


def mel_to_hertz(mel: float | Matrix) -> Matrix:
    """Frequencies in mel to Hz; inverse of `hertz_to_mel`."""
    return np.asarray(BREAK_HZ * np.expm1(np.asarray(mel, dtype=np.float64) / HIGH_Q))


@lru_cache(maxsize=8)
def linear_to_mel(bins: int, sample_rate: int) -> Matrix:
    """Triangular mel bands over linear frequency bins, as many bands as bins.

    A band narrower than 1.5 bins is widened to that. The original does so in place, on views of
    one array of edges, so that widening band i also moves the upper edge of band i - 2 and the
    lower edge of band i + 2, and the centres of its neighbours:

        edges   e[0]   e[1]   e[2]   e[3]        band i: lower e[i], centre e[i+1], upper e[i+2]
        band 0  lower  centre upper
        band 1         lower  centre upper

    Checkpoints depend on that matrix, so the same is done here.

    Parameters
    ----------
    bins : int
        Frequency bins (DC left out), and mel bands.
    sample_rate : int
        Hz.

    Returns
    -------
    float64 array [bins, bins], linear by mel; read-only because it is cached
    """
    nyquist = sample_rate / 2
    edges = np.linspace(0.0, hertz_to_mel(nyquist), bins + 2)
    narrowest = 1.5 * nyquist / bins
    for band in range(bins):
        lower, centre, upper = mel_to_hertz(edges[band : band + 3])
        if upper - lower < narrowest:
            half = HIGH_Q * np.arcsinh(0.5 * narrowest / (centre + BREAK_HZ))
            edges[band], edges[band + 2] = edges[band + 1] - half, edges[band + 1] + half

    edges_hz = mel_to_hertz(edges)
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    hertz = np.linspace(0.0, nyquist, bins)[:, None]
    rising = (hertz - lower) / (centre - lower)
    falling = (upper - hertz) / (upper - centre)
    matrix = np.maximum(0.0, np.minimum(rising, falling))
    matrix[0] = 0.0  # as HTK, the lowest bin takes no part
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=8)
def mel_to_linear(bins: int, sample_rate: int) -> Matrix:
    """Approximate inverse of `linear_to_mel`: its transpose, each band scaled by its overlaps.

    Returns
    -------
    float64 array [bins, bins], mel by linear; read-only because it is cached
    """
    matrix = linear_to_mel(bins, sample_rate)
    overlap = (matrix @ matrix.T).sum(axis=0)
    usable = np.abs(overlap) > 1e-8
    scale = np.where(usable, 1.0 / np.where(usable, overlap, 1.0), overlap)
    inverse = matrix.T * scale
    inverse.setflags(write=False)
    return inverse
