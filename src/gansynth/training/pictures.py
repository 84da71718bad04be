"""Pictures of many specgrams at once, and many sounds as one; NumPy alone.

Cells are laid out row by row. In each, time goes to the right and frequency upwards.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError

# Log magnitudes shown: from what stands for silence to the loudest notes, whose mel specgrams hold
# squares of magnitudes.
MAGNITUDE_RANGE = (-13.8, 11.0)

MAX_CELL = 256  # pixels a side
_GAP = 2  # pixels between cells


def magnitude_picture(specgrams: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The log magnitudes of specgrams in one picture, brighter where they are higher.

    `MAGNITUDE_RANGE` is black and white in every picture, so that pictures can be compared.

    Parameters
    ----------
    specgrams : float array [n, time, freq, 2]
        Denormalized: natural logarithm of the magnitude (mel: of its square), and instantaneous
        frequency.

    Returns
    -------
    uint8 array [height, width, 3]
        Long sides of a cell are averaged down to at most 256 pixels.

    Raises
    ------
    InputError
        If `specgrams` has another shape or is empty.
    """
    levels = _levels(specgrams)
    return grid(_cubehelix()[np.round(255 * levels).astype(np.intp)])


def instantaneous_frequency_picture(specgrams: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The instantaneous frequencies (or phases) of specgrams in one picture, as hues.

    From -1 to 1, in half turns a frame; -1 and 1 are the same angle and have the same hue. Quiet
    places, where they mean little, are darker. Shapes and errors as in `magnitude_picture`.
    """
    values = np.clip(_cells(specgrams, 1, 0.0), -1.0, 1.0)
    hues = _hues()[np.round(127.5 * (values + 1.0)).astype(np.intp)]
    brightness = 0.2 + 0.8 * _levels(specgrams)
    return grid(np.round(hues * brightness[..., None]).astype(np.uint8))


def grid(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures `[n, height, width, 3]` in one, about as wide as it is high, on grey."""
    count, height, width, _ = cells.shape
    columns = min(max(round(math.sqrt(count * height / width)), 1), count)
    rows = -(-count // columns)
    picture = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 128, np.uint8
    )
    for index, cell in enumerate(cells):
        top = index // columns * (height + _GAP)
        left = index % columns * (width + _GAP)
        picture[top : top + height, left : left + width] = cell
    return picture


def join_waves(waves: NDArray[np.floating]) -> NDArray[np.float32]:
    """Waves `[n, samples]` one after the other, `[n * samples]`; each is turned down to peak 1.

    What is not finite becomes silence. Waves whose peak is below 1 stay as they are.
    """
    clean = np.nan_to_num(np.asarray(waves, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    peaks = np.abs(clean).max(axis=1, keepdims=True, initial=1.0)
    return (clean / peaks).reshape(-1)


def _levels(specgrams: NDArray[np.floating]) -> NDArray[np.float32]:
    """Log magnitudes in cells, from 0 to 1 over `MAGNITUDE_RANGE`, cut there."""
    low, high = MAGNITUDE_RANGE
    return np.clip((_cells(specgrams, 0, low) - low) / (high - low), 0.0, 1.0)


def _cells(specgrams: NDArray[np.floating], channel: int, fill: float) -> NDArray[np.float32]:
    """One channel as `[n, freq (downwards), time]`, small enough; `fill` for what isn't finite."""
    shape = np.shape(specgrams)
    if len(shape) != 4 or shape[3] != 2 or 0 in shape:
        raise InputError(f"specgrams: shape={shape}: must be [n, time, freq, 2], and not empty.")
    values = np.asarray(specgrams)[..., channel].astype(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(fill))
    for axis in (1, 2):
        values = _averaged(values, axis)
    return values.transpose(0, 2, 1)[:, ::-1]


def _averaged(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Means of neighbours along an axis, as many as make it short enough; the last may be fewer."""
    length = values.shape[axis]
    step = -(-length // MAX_CELL)
    if step == 1:
        return values
    starts = np.arange(0, length, step)
    counts = np.diff(np.append(starts, length)).astype(np.float32)
    shape = [1] * values.ndim
    shape[axis] = -1
    sums: NDArray[np.float32] = np.add.reduceat(values, starts, axis=axis)
    return sums / counts.reshape(shape)


def _cubehelix() -> NDArray[np.uint8]:
    """256 colours `[256, 3]` whose perceived brightness rises evenly.

    D. A. Green, "A colour scheme for the display of astronomical intensity images", Bulletin of the
    Astronomical Society of India 39 (2011), with its standard start 0.5, rotations -1.5, hue 1.
    """
    level = np.linspace(0.0, 1.0, 256)
    angle = 2 * np.pi * (0.5 / 3 + 1 - 1.5 * level)
    around = np.array([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]])
    turned = around @ np.array([np.cos(angle), np.sin(angle)])
    colours = level + level * (1 - level) / 2 * turned
    return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8).T


def _hues() -> NDArray[np.uint8]:
    """256 colours `[256, 3]` once around the hues, the same at both ends."""
    turns = np.linspace(0.0, 1.0, 256)[:, None]
    waves = np.sin(np.pi * (turns + np.array([0.0, 1 / 3, 2 / 3]))) ** 2
    return np.round(255 * waves).astype(np.uint8)
