"""Instruments over time: which latent each note of a piece is played with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# The first instrument stands a little before the piece, so that a note at 0 s lies after it.
_FIRST_TIME = -1e-4


def slerp(start: ArrayLike, end: ArrayLike, t: float) -> Floats:
    """Spherical interpolation between two vectors (Shoemake 1985).

    The angle is that between their directions; vectors in line with each other, where it has no
    answer, are interpolated linearly.

    Parameters
    ----------
    start, end : float [latent_size]
    t : float
        0 gives `start`, 1 gives `end`.
    """
    p0, p1 = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    lengths = np.linalg.norm(p0) * np.linalg.norm(p1)
    cosine = np.clip(p0 @ p1 / lengths, -1.0, 1.0) if lengths > 0 else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        return (1 - t) * p0 + t * p1
    return (np.sin((1 - t) * angle) * p0 + np.sin(t * angle) * p1) / np.sin(angle)


def instrument_times(count: int, duration: float) -> Floats:
    """When each of `count` evenly spaced instruments is heard unblended, in seconds `[count]`."""
    return np.linspace(_FIRST_TIME, duration, count)


def spaced_count(duration: float, secs_per_instrument: float) -> int:
    """How many instruments a piece of `duration` seconds gets; never fewer than two."""
    return max(2, int(duration / secs_per_instrument))


def latents_at(times: ArrayLike, instruments: ArrayLike, instrument_times: ArrayLike) -> Floats:
    """Latents between the instruments at given times.

    Parameters
    ----------
    times : float [notes]
        Seconds.
    instruments : float [instruments, latent_size], two or more
    instrument_times : float [instruments]
        Seconds, rising.

    Returns
    -------
    float64 [notes, latent_size]
    """
    z, at = np.asarray(instruments, dtype=np.float64), np.asarray(instrument_times)
    latents = np.empty((len(np.asarray(times)), z.shape[1]))
    for note, time in enumerate(np.asarray(times, dtype=np.float64)):
        left = int(np.clip(np.searchsorted(at, time, side="left") - 1, 0, len(at) - 2))
        share = np.clip((time - at[left]) / (at[left + 1] - at[left]), 0.0, 1.0)
        latents[note] = slerp(z[left], z[left + 1], float(share))
    return latents
