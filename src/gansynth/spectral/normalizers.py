"""The four normalizers: specgrams to the range of the networks, and back.

All are one affine map, `clip(slope * x + offset, -1, 1)`, that differs in where its constants come
from: none at all, the configuration, or the range of measured specgrams (for each channel, or for
each channel and frequency).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gansynth.config import MIN_SLOPE, Config
from gansynth.errors import ModelError

# File names of the original's measured constants, by normalizer.
MEASURED_FILES = {
    "specgrams_simple_normalizer": "specgrams_simple_normalizer.npz",
    "specgrams_freq_normalizer": "specgrams_freq_normalizer.npz",
}


class Normalizer(nn.Module):
    """An affine map of specgrams `[batch, time, freq, 2]`.

    Parameters
    ----------
    slope, offset : array [2] or [freq, 2], or None
        None: the identity, without clipping.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, slope: ArrayLike | None = None, offset: ArrayLike | None = None) -> None:
        super().__init__()
        self.identity = slope is None
        for name, value in (("slope", slope), ("offset", offset)):
            values = torch.tensor(np.asarray([] if value is None else value, dtype=np.float32))
            self.register_buffer(name, values, persistent=False)

    def normalize(self, specgrams: Tensor) -> Tensor:
        """To the networks' range, clipped to -1 … 1 (the identity does not clip)."""
        if self.identity:
            return specgrams
        return torch.clamp(self.slope * specgrams + self.offset, -1.0, 1.0)

    def denormalize(self, images: Tensor) -> Tensor:
        """Back from the networks' range."""
        return images if self.identity else (images - self.offset) / self.slope


def _range_constants(low: NDArray, high: NDArray, margin: float) -> tuple[NDArray, NDArray]:
    """Slope and offset that map [low, high] to [-margin, margin]."""
    spread = high - low
    constant = spread == 0
    # A bin that never changes maps to 0 with a slope of 1, so that it still has an inverse.
    slope = np.where(constant, 1.0, 2.0 * margin / np.where(constant, 1.0, spread))
    offset = np.where(constant, -low, -margin - slope * low)
    return slope, offset


def measure_constants(name: str, specgrams: NDArray, margin: float) -> NDArray[np.float64]:
    """Measure a normalizer's constants, laid out as the original stores them.

    Parameters
    ----------
    name : str
        specgrams_simple_normalizer or specgrams_freq_normalizer.
    specgrams : array [notes, time, freq, 2]
    margin : float
        The extremes map to +-margin.

    Returns
    -------
    float64 [4] (slope and offset of magnitude, then of phase), or [freq, 4]
    """
    axes = (0, 1, 2) if name == "specgrams_simple_normalizer" else (0, 1)
    low, high = specgrams.min(axis=axes), specgrams.max(axis=axes)
    slope, offset = _range_constants(low.astype(np.float64), high.astype(np.float64), margin)
    return np.stack([slope[..., 0], offset[..., 0], slope[..., 1], offset[..., 1]], axis=-1)


def make_normalizer(config: Config, measured: NDArray | None = None) -> Normalizer:
    """The normalizer that a configuration asks for.

    Parameters
    ----------
    config : Config
    measured : array [4] or [freq, 4], or None
        Constants of a measured normalizer, as `measure_constants` returns them.

    Raises
    ------
    ModelError
        If the constants are missing, of the wrong shape, not finite, or a slope is 0.
    """
    kind = config.data_normalizer
    if kind == "none":
        return Normalizer()
    if kind == "specgrams_prespecified_normalizer":
        return Normalizer(
            [config.mag_normalizer_a, config.p_normalizer_a],
            [config.mag_normalizer_b, config.p_normalizer_b],
        )
    if measured is None:
        raise ModelError(f"data_normalizer={kind}: its measured constants are missing.")
    expected = (4,) if kind == "specgrams_simple_normalizer" else (config.final_shape[1], 4)
    try:
        values = np.asarray(measured, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"data_normalizer={kind}: constants must be numbers.") from None
    if values.shape != expected:
        raise ModelError(
            f"data_normalizer={kind}: constants have shape {values.shape}, expected {expected}."
        )
    slope, offset = values[..., 0::2], values[..., 1::2]
    if not np.isfinite(values).all() or (np.abs(slope) < MIN_SLOPE).any():
        raise ModelError(
            f"data_normalizer={kind}: constants must be finite and slopes of magnitude "
            f"{MIN_SLOPE:g} or more; measure it again."
        )
    return Normalizer(slope, offset)
