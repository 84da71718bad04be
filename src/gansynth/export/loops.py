"""Loops: the stretch of a held note that a sampler repeats for as long as a key is down.

    attack      | start            end |
    ▁▃▆█▇▆▅▅▅▅▅▅|▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅|▅▅▅▃▁
                |<---- repeated ------>|

A loop doesn't click where the sound around its end is the sound around its start. So every start is
compared with some ends by their mean squared difference over a window, which is least where whole
periods fit and level and timbre agree. What is left of a difference is faded over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gansynth.pitches import pitch_to_hertz

Samples = NDArray[np.float32]

# Of the note's length: a note of 4 s is steady from 1.0 to 2.7 s, and let go at 3 s.
_STEADY = (0.25, 0.675)
_SHORTEST = 0.25  # seconds of a loop
_WINDOW = 0.04  # seconds that are compared
_ENDS = 24  # ends that are tried
_BLOCK = 0.05  # seconds, for the level
_QUIETEST = -40.0  # dB of the loudest block; what falls below has died away
_AUDIBLE = -40.0  # dB of mismatch from which on it is faded over
_FADES = (0.03, 0.2)  # seconds: what nearly fits, and what doesn't
_ROUGH = -15.0  # dB of mismatch from which on the long fade is used
_NEARLY_BEST = 3.0  # dB; of loops that fit so much worse at most, the longest is taken
# Frames behind the loop, the same as behind its start, for players that interpolate beyond the end.
GUARD = 64


@dataclass(frozen=True)
class Loop:
    """A stretch to repeat.

    Attributes
    ----------
    start, end : int
        Frames; `end` is the first one behind the loop.
    mismatch : float
        Decibels: the energy of the difference of start and end against theirs, before any fade.
        0 is unrelated sound.
    step : float
        Decibels: the sharpest turn where the loop closes against the sharpest one within it, as it
        is written. Below 0 the joint doesn't stand out.
    faded : bool
        Whether the end was faded into what lies before the start.
    """

    start: int
    end: int
    mismatch: float
    step: float
    faded: bool


def level_slope(wave: Samples, sample_rate: int) -> float:
    """How the level of a note [samples] moves while it is held, in dB a second.

    Organs lie around 0, pianos around -8; minus infinity is a note that is silent, has died away
    before it is let go, or is too short to tell.
    """
    block = max(1, round(_BLOCK * sample_rate))
    whole = len(wave) // block * block
    power = np.square(wave[:whole].astype(np.float64)).reshape(-1, block).mean(axis=1)
    low, high = (round(part * len(power)) for part in _STEADY)
    loudest = power.max(initial=0.0)
    if loudest == 0 or high - low < 2:
        return -math.inf
    levels = 10 * np.log10(np.maximum(power[low:high] / loudest, 1e-12))
    if levels.min() < _QUIETEST:
        return -math.inf
    return float(np.polyfit(np.arange(high - low) * _BLOCK, levels, 1)[0])


def make_loop(wave: Samples, sample_rate: int, pitch: float) -> tuple[Samples, Loop | None]:
    """Find the best loop of a note and make it seamless.

    Parameters
    ----------
    wave : float32 [samples]
        A whole note: held for about three quarters of its length.
    sample_rate : int
        Hz.
    pitch : float
        MIDI; how long the periods are.

    Returns
    -------
    (float32 [samples], Loop) or (wave, None)
        The note up to the loop's end and `GUARD` frames more, which players that look ahead find
        there; a note that is silent or too short stays as it is.
    """
    low, high = (round(part * len(wave)) for part in _STEADY)
    window = round(max(_WINDOW, 4 / pitch_to_hertz(pitch)) * sample_rate)
    shortest = round(_SHORTEST * sample_rate)
    if high - low < shortest + 2 * window or not np.any(wave[low:high]):
        return wave, None
    start, end, mismatch = _best(wave.astype(np.float64), low, high, window, shortest)
    looped = np.concatenate([wave[:end], wave[start : start + GUARD]])
    before = joint_step(looped, start, end)
    faded = mismatch > _AUDIBLE or before > 0
    if faded:
        seconds = _FADES[mismatch > _ROUGH]
        _fade(looped, start, end, min(round(seconds * sample_rate), start, end - start))
    step = joint_step(looped, start, end) if faded else before
    return looped, Loop(start, end, mismatch, step, faded)


def joint_step(wave: Samples, start: int, end: int) -> float:
    """How much the joint of a loop stands out, in dB (see `Loop.step`).

    A turn is a third difference: it hardly answers to the tone itself, but to a jump, a bend or a
    kink alike.
    """
    loop = wave[start:end].astype(np.float64)
    turns = np.abs(np.diff(np.concatenate([loop, loop[:3]]), 3))
    inside, joint = turns[:-3].max(initial=0.0), turns[-3:].max(initial=0.0)
    return _decibels(joint, inside, 20)


def _best(
    wave: NDArray[np.float64], low: int, high: int, window: int, shortest: int
) -> tuple[int, int, float]:
    """Start, end and mismatch in dB of the loop that fits best, or of a longer one as good."""
    half = window // 2
    region = wave[low:high]
    energy = _sliding(region * region, window)  # of the window that begins there
    size = 1 << math.ceil(math.log2(len(region) + window))
    spectrum = np.fft.rfft(region, size)
    found: list[tuple[float, int, int]] = []
    for end in np.linspace(shortest, len(region) - window, _ENDS).astype(int).tolist():
        piece = region[end : end + window]
        product = np.fft.irfft(spectrum * np.fft.rfft(piece, size).conj(), size)
        starts = end - shortest + 1
        total = energy[:starts] + energy[end]
        difference = np.maximum(total - 2 * product[:starts], 0) / np.maximum(total, 1e-12)
        near = 10 * np.log10(np.maximum(difference, 1e-10))
        first = int(np.flatnonzero(near <= near.min() + _NEARLY_BEST)[0])
        found.append((float(near[first]), first, end))
    limit = min(found)[0] + _NEARLY_BEST
    mismatch, start, end = max((f for f in found if f[0] <= limit), key=lambda f: f[2] - f[1])
    return low + start + half, low + end + half, mismatch


def _sliding(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Sums over all windows."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.maximum(total[window:] - total[:-window], 0)


def _fade(wave: Samples, start: int, end: int, length: int) -> None:
    """Fade the loop's end into what lies before its start, at constant power."""
    old = wave[end - length : end].astype(np.float64)
    new = wave[start - length : start].astype(np.float64)
    scale = math.sqrt(float(old @ old) * float(new @ new))
    likeness = float(old @ new) / scale if scale > 0 else 1.0
    share = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 1) / length)
    power = (1 - share) ** 2 + share**2 + 2 * share * (1 - share) * max(likeness, 0.0)
    wave[end - length : end] = ((1 - share) * old + share * new) / np.sqrt(power)


def _decibels(value: float, reference: float, factor: int) -> float:
    return factor * math.log10(max(value, 1e-12) / max(reference, 1e-12))
