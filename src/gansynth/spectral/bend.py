"""Notes bent in pitch: a wave is read faster or slower, as a tape or a record would be.

    wave ──> 4 x oversampled ──> read at moving places ──> filtered and decimated ──> result

Places move by 2^(semitones / 12) samples a sample: they are the integral of that, in closed form,
so phase runs on smoothly whatever the bend does. On the oversampled wave a sinc of eight samples
is exact enough (Smith & Gossett 1984, "A flexible sampling-rate conversion method"). The result is
oversampled as well, so what a bend upwards lifts over half the sample rate is filtered out and
isn't folded back; the two steep filters are soxr's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_OVERSAMPLING = 4  # keeps 60 dB from aliases up to 33 semitones above the wave's own pitch
_TAPS = 8
_BETA = 8.0  # of the Kaiser window: images of an oversampled wave lie over 80 dB below it
_PHASES = 512
_BLOCK = 1 << 16


class Bend:
    """The bend of a note, and where in the wave that reads.

    Parameters
    ----------
    times : float [corners]
        Seconds of the result, from 0 on and not falling.
    semitones : float [corners]
        Straight in between; the last one stays.
    """

    def __init__(self, times: ArrayLike, semitones: ArrayLike) -> None:
        corners, heights = (np.asarray(values, dtype=np.float64) for values in (times, semitones))
        apart = np.append(True, np.diff(corners) > 1e-9)
        self._times = corners[apart]
        self._speed = np.exp2(heights[apart] / 12)
        seconds = np.diff(self._times)
        # Semitones are straight, so speed grows exponentially: the rate of that, a second.
        self._growth = np.append(np.diff(heights[apart]) / seconds, 0.0) * math.log(2) / 12
        pieces = _grown(self._speed[:-1], self._growth[:-1], seconds)
        self._places = np.append(0.0, np.cumsum(pieces))

    def place(self, times: ArrayLike) -> Doubles:
        """Seconds of the wave that are read at seconds of the result."""
        at = np.asarray(times, dtype=np.float64)
        piece = np.searchsorted(self._times, at, side="right") - 1
        since = at - self._times[piece]
        return self._places[piece] + _grown(self._speed[piece], self._growth[piece], since)

    def when(self, place: float) -> float:
        """Seconds of the result at which so many seconds of the wave were read."""
        piece = int(np.searchsorted(self._places, place, side="right")) - 1
        speed, growth = self._speed[piece], self._growth[piece]
        left = place - self._places[piece]
        bent = math.log1p(left * growth / speed) / growth if abs(growth) > 1e-9 else left / speed
        return float(self._times[piece] + bent)


def bend(wave: ArrayLike, sample_rate: int, course: Bend, samples: int) -> Floats:
    """Bend a note.

    Parameters
    ----------
    wave : float [samples]
    sample_rate : int
        Hz.
    course : Bend
    samples : int
        Of the result; behind the end of the wave there is silence.

    Returns
    -------
    float32 [samples]
    """
    import soxr

    rate = sample_rate * _OVERSAMPLING
    source = soxr.resample(np.asarray(wave, dtype=np.float32), sample_rate, rate, quality="VHQ")
    made = np.zeros(samples * _OVERSAMPLING, dtype=np.float32)
    padded = np.pad(source, (_TAPS // 2 - 1, _TAPS))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _TAPS)
    for start in range(0, len(made), _BLOCK):
        times = np.arange(start, min(start + _BLOCK, len(made))) / rate
        places = course.place(times) * rate
        places = places[places < len(source)]
        index = places.astype(np.int64)
        phase = (places - index) * _PHASES
        row = phase.astype(np.int64)
        share = (phase - row).astype(np.float32)[:, None]
        kernel = _KERNELS[row] * (1 - share) + _KERNELS[row + 1] * share
        made[start : start + len(places)] = np.einsum("nk,nk->n", windows[index], kernel)
        if len(places) < len(times):
            break
    return soxr.resample(made, rate, sample_rate, quality="VHQ")[:samples]


def _grown(speed: Doubles, growth: Doubles, seconds: Doubles) -> Doubles:
    """The integral of a speed that grows exponentially."""
    small = np.abs(growth) < 1e-9
    rate = np.where(small, 1.0, growth)
    return speed * np.where(small, seconds, np.expm1(rate * seconds) / rate)


def _kernels() -> Floats:
    """Windowed sinc between samples, `[phases + 1, taps]`; each row adds up to 1."""
    offsets = np.arange(_TAPS) - (_TAPS // 2 - 1)
    distance = offsets - np.arange(_PHASES + 1)[:, None] / _PHASES
    inside = np.sqrt(np.maximum(1 - (distance / (_TAPS / 2)) ** 2, 0))
    rows = np.sinc(distance) * np.i0(_BETA * inside)
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


_KERNELS = _kernels()
