"""The pitch of a note by listening: YIN (de Cheveigné & Kawahara 2002) at three points of it.

At each point the difference function d(lag) = sum (x[j] - x[j + lag])² of a 128 ms window is
divided by its mean over all shorter lags, which gives d'. The period is the first lag at which d'
dips under 0.15; 1 - d' there says how periodic the sound is. A periodic sound without its
fundamental has the same period, so it gets the same pitch. One rule goes beyond the paper: where
d' dips more than 0.03 deeper at a longer lag, the first dip is passed over. That is the octave
which plucked strings, whose even partials outlast the odd ones, seem to play.

    note     ───████████████▇▇▇▇▆▆▆▅▅▅▄▄▄▃▃▂▂▁▁───────
    sounding    |<------- above -20 dB ------->|
    windows          [ 1/4 ] [ 1/2 ] [ 3/4 ]
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gansynth.errors import InputError
from gansynth.pcm import FULL_SCALE
from gansynth.pitches import hertz_to_pitch, pitch_to_hertz

LOWEST = 12  # MIDI; half a window holds no longer period

_WINDOW = 0.128  # seconds: 2048 samples at 16 kHz
_THRESHOLD = 0.15  # of d'
_DEEPER = 0.03  # of d'; a dip that is so much deeper wins over an earlier one
_PERIODIC = 0.35  # above this d' there is no pitch
_POINTS = (0.25, 0.5, 0.75)  # of the sounding part
_SOUNDING = 0.1  # of the loudest block's level, -20 dB
_SILENT = 1e-5  # root mean square of full scale, -100 dB
_BLOCK = 0.016  # seconds, for the level
_GRID = 32_000  # lags a second at least: a period of 3 samples has no sharp dip otherwise
_AGREE = 0.5  # semitones
_BATCH = 32  # notes at once, to stay inside the processor's cache

Floats = NDArray[np.float64]


class PitchEstimate(NamedTuple):
    """`pitch` in MIDI numbers with a fraction, NaN if there is none; `confidence` 0 to 1."""

    pitch: float
    confidence: float


def estimate_pitch(
    samples: ArrayLike, sample_rate: int, low: float = 20, high: float = 110
) -> PitchEstimate:
    """Estimate the pitch of one note.

    Parameters
    ----------
    samples : float array [n]
        Full scale 1 (int16 is taken too, full scale 32768).
    sample_rate : int
        Hz.
    low, high : float
        MIDI pitches between which to look; `low` at least 12.

    Returns
    -------
    PitchEstimate
        NaN and 0 for silence, noise, samples that aren't finite, and less than 128 ms of sound.
        The confidence is the mean of 1 - d' over the three points, where a point that hears
        another pitch counts 0: above 0.9 all three agree on a clear tone.

    Raises
    ------
    InputError
        If the samples aren't one note, or the range is empty or too low.
    """
    wave = np.asarray(samples)
    if wave.ndim != 1:
        raise InputError(f"samples of shape {list(wave.shape)}: must be one note [n].")
    pitches, confidences = estimate_pitches(wave[None], sample_rate, low, high)
    return PitchEstimate(float(pitches[0]), float(confidences[0]))


def estimate_pitches(
    waves: ArrayLike, sample_rate: int, low: float = 20, high: float = 110
) -> tuple[Floats, Floats]:
    """Pitches and confidences (float64 [notes] each) of notes [notes, samples].

    The same numbers as `estimate_pitch` gives for each note, in less time; works through them in
    small batches, so that a memory-mapped array may be passed. Errors as there.
    """
    notes = np.asanyarray(waves)
    if notes.ndim != 2:
        raise InputError(f"waves of shape {list(notes.shape)}: must be [notes, samples].")
    if sample_rate <= 0:
        raise InputError(f"sample_rate={sample_rate}: must be a positive number of Hz.")
    if not LOWEST <= low < high:
        raise InputError(
            f"low={low}, high={high}: low must be {LOWEST} or more and under high, MIDI pitches."
        )
    pitches = np.full(len(notes), math.nan)
    confidences = np.zeros(len(notes))
    size = _fast_size(math.ceil(_WINDOW * sample_rate))
    if notes.shape[1] < size:
        return pitches, confidences
    for start in range(0, len(notes), _BATCH):
        batch = np.asarray(notes[start : start + _BATCH])
        full_scale = FULL_SCALE if batch.dtype == np.int16 else 1.0
        begins, sounds = _windows(batch, sample_rate, size, full_scale)
        # Gathered as [batch, points, size]; only the windows are ever converted.
        index = begins[sounds][..., None] + np.arange(size)
        frames = batch[np.flatnonzero(sounds)[:, None, None], index].astype(np.float32)
        if len(frames):
            found = _yin(frames.reshape(-1, size), sample_rate, low, high)
            shape = (-1, len(_POINTS))
            places = start + np.flatnonzero(sounds)
            pitches[places], confidences[places] = _vote(*(part.reshape(shape) for part in found))
    return pitches, confidences


def level_blocks(waves: NDArray[np.generic], block: int) -> Floats:
    """Mean square of consecutive blocks, [notes, samples // block], in squared sample units."""
    count = waves.shape[1] // block
    blocks = waves[:, : count * block].astype(np.float32).reshape(len(waves), count, block)
    return np.einsum("nbs,nbs->nb", blocks, blocks).astype(np.float64) / block


def _windows(
    waves: NDArray[np.generic], sample_rate: int, size: int, full_scale: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the windows begin, [notes, points], and which notes sound at all, [notes]."""
    block = max(1, round(_BLOCK * sample_rate))
    levels = level_blocks(waves, block)
    loudest = levels.max(axis=1)
    sounds = np.isfinite(levels).all(axis=1) & (loudest > (_SILENT * full_scale) ** 2)
    loud = levels >= _SOUNDING**2 * loudest[:, None]
    first = loud.argmax(axis=1) * block
    last = (loud.shape[1] - loud[:, ::-1].argmax(axis=1)) * block
    centres = first[:, None] + np.outer(last - first, _POINTS)
    begins = np.rint(centres - size / 2).astype(np.int64)
    return begins.clip(0, waves.shape[1] - size), sounds


def _yin(
    frames: NDArray[np.float32], sample_rate: int, low: float, high: float
) -> tuple[Floats, Floats]:
    """Pitch (NaN if none) and d' of each frame, float64 [frames]; frames [frames, size]."""
    finer = max(1, math.ceil(_GRID / sample_rate))  # steps of lag per sample
    longest = math.ceil(sample_rate / pitch_to_hertz(low - 0.5)) + 2
    shortest = max(sample_rate / pitch_to_hertz(high + 0.5), 2.0)
    d, dips = _difference(frames, longest, finer)
    first = max(1, math.floor(shortest * finer))
    left, middle, right = dips[:, first - 1 : -2], dips[:, first:-1], dips[:, first + 1 :]
    is_dip = (middle < left) & (middle <= right)
    curve = np.maximum(left - 2 * middle + right, 1e-12)
    bottom = np.maximum(middle - (left - right) ** 2 / (8 * curve), 0)
    bottom = np.where(is_dip, bottom, np.inf)
    # How deep a sharp dip goes between two lags is known to an eighth of its curvature.
    deep = bottom - curve / 8 < bottom.min(axis=1, keepdims=True) + _DEEPER
    under = (bottom < _THRESHOLD) & deep
    chosen = np.where(under.any(axis=1), under.argmax(axis=1), bottom.argmin(axis=1))
    rows = np.arange(len(frames))
    aperiodicity = bottom[rows, chosen]
    lag = _refined(d, dips, chosen + first)
    with np.errstate(divide="ignore", invalid="ignore"):
        pitch = hertz_to_pitch(sample_rate * finer / lag)
    heard = (aperiodicity < _PERIODIC) & (pitch > low - 0.5) & (pitch < high + 0.5)
    return np.where(heard, pitch, math.nan), np.where(heard, aperiodicity, 1)


def _difference(
    frames: NDArray[np.float32], longest: int, finer: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The functions d and d' at lags 0, 1/finer, … longest samples, [frames, lags].

    d(lag) = |head|² + |frame shifted by lag|² - 2 <head, shifted>, where `head` is the frame
    without its last `longest` samples. The inner products are a circular correlation, which wraps
    around for no lag that is used; zeros appended to its spectrum give the lags between samples.
    """
    size = frames.shape[1]
    used = size - longest
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames /= np.maximum(np.abs(frames).max(axis=1, keepdims=True), 1e-30)
    spectrum = np.fft.rfft(frames)
    spectrum *= np.fft.rfft(frames[:, :used], size).conj()
    lags = np.arange((longest - 1) * finer)
    inner = np.fft.irfft(spectrum, size * finer)[:, : len(lags)] * finer
    sums = np.zeros((len(frames), size + 1))
    np.cumsum(np.square(frames, dtype=np.float64), axis=1, out=sums[:, 1:])
    energy = sums[:, used : used + longest] - sums[:, :longest]
    whole, part = lags // finer, lags % finer / finer
    shifted = energy[:, whole] * (1 - part) + energy[:, whole + 1] * part
    d = np.maximum(energy[:, :1] + shifted - 2 * inner, 0)
    total = np.cumsum(d, axis=1)
    normalised = np.ones_like(d)
    np.divide(d * lags, total, out=normalised, where=total > 0)
    return d, normalised


def _refined(d: NDArray[np.floating], dips: NDArray[np.floating], lag: NDArray[np.int64]) -> Floats:
    """The period in steps of lag: the dip, then its multiples, each of which halves the error."""
    rows = np.arange(len(d))
    period = lag + _vertex(d, lag)
    found, times = period, 1
    while 2 * times <= 32:
        times *= 2
        middle = np.rint(2 * found).astype(np.int64)
        inside = (middle >= 2) & (middle < d.shape[1] - 2)
        middle = np.where(inside, middle, 2)
        # The nearest dip, a step to either side at most.
        around = np.stack([dips[rows, middle + step] for step in (-1, 0, 1)])
        middle = middle + around.argmin(axis=0) - 1
        offset = _vertex(d, middle)
        deep = dips[rows, middle] < np.minimum(dips[rows, lag] + 0.1, _PERIODIC)
        good = inside & deep & (np.abs(offset) < 1)
        if not good.any():
            break
        # A row that has stopped points outside, where nothing is good any more.
        found = np.where(good, middle + offset, d.shape[1])
        period = np.where(good, found / times, period)
    return period


def _vertex(d: NDArray[np.floating], middle: NDArray[np.int64]) -> Floats:
    """Offset of the lowest point of a parabola through three neighbours, -1 to 1."""
    rows = np.arange(len(d))
    left, here, right = d[rows, middle - 1], d[rows, middle], d[rows, middle + 1]
    curve = left - 2 * here + right
    offset = np.zeros(len(d))
    np.divide(0.5 * (left - right), curve, out=offset, where=curve > 0)
    return offset.clip(-1, 1)


def _vote(pitches: Floats, aperiodicities: Floats) -> tuple[Floats, Floats]:
    """One pitch and confidence a note, from those of its points, [notes, points] each.

    The median where all points hear something; what most points agree on otherwise.
    """
    clear = 1 - aperiodicities
    agree = np.abs(pitches[:, :, None] - pitches[:, None, :]) <= _AGREE
    support = (agree * clear[:, None, :]).sum(axis=2)
    best = support.argmax(axis=1)
    rows = np.arange(len(pitches))
    heard = np.isfinite(pitches)
    middle = np.sort(pitches, axis=1)[:, pitches.shape[1] // 2]
    alone = ~heard.all(axis=1)
    pitch = np.where(alone, pitches[rows, best], middle)
    with_it = np.abs(pitches - pitch[:, None]) <= _AGREE
    return pitch, (with_it * clear).sum(axis=1) / pitches.shape[1]


def _fast_size(least: int) -> int:
    """The smallest product of twos, threes and fives from `least` on: quick for an FFT."""
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
