"""Sounds at another sample rate."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def resample(
    wave: NDArray[Any], rate_in: float, rate_out: float, quality: str = "HQ"
) -> NDArray[Any]:
    """A wave `[samples]` or `[samples, channels]` at another rate in Hz, by soxr.

    `quality` is soxr's: HQ for 16 bits, VHQ for more. At the same rate it is the wave itself.
    """
    if rate_in == rate_out:
        return wave
    import soxr

    resampled: NDArray[Any] = soxr.resample(wave, rate_in, rate_out, quality=quality)
    return resampled
