"""Sounds as the data set has them: mono, one rate, one length, 16 bit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.reading import mono
from gansynth.audio.resampling import resample
from gansynth.data.note import SourceSound
from gansynth.pcm import FULL_SCALE

PADS = ("end", "both")

_MARGIN = 0.05  # s read beyond the end, so that resampling has no edge inside


def to_waveform(
    sound: SourceSound, sample_rate: int, samples: int, pad: str = "end"
) -> tuple[NDArray[np.int16], int]:
    """Return a sound as int16 `[samples]` at `sample_rate` Hz, and how many samples were clipped.

    Channels are averaged (see `mono`); the rate is changed by soxr's HQ filter. What is too long is
    cut at the end. What is too short gets zeros at its end, or, with `pad` "both", on both sides,
    the odd one in front, as in the original. int16 mono sound of the right rate survives exactly;
    anything else is rounded to the nearest step.
    """
    data = sound.samples
    margin = 0 if sound.sample_rate == sample_rate else _MARGIN
    data = data[: math.ceil((samples / sample_rate + margin) * sound.sample_rate)]
    clipped = 0
    if data.dtype == np.int16 and data.ndim == 1 and sound.sample_rate == sample_rate:
        steps = data[:samples]
    else:
        scale = np.float32(FULL_SCALE if data.dtype == np.int16 else 1)
        wave = mono(data.astype(np.float32) / scale)
        wave = resample(wave, sound.sample_rate, sample_rate)
        rounded = np.rint(wave[:samples] * np.float32(FULL_SCALE))
        clipped = int(np.count_nonzero(np.abs(rounded) > FULL_SCALE))
        steps = np.clip(rounded, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    missing = samples - len(steps)
    begin = missing - missing // 2 if pad == "both" else 0
    waveform = np.zeros(samples, np.int16)
    waveform[begin : begin + len(steps)] = steps
    return waveform, clipped
