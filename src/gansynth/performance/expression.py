"""Notes as their controllers want them: bent, with vibrato or brighter, and how loud and where.

What a model makes is one pitch at one level; here it becomes the note that a piece asks for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gansynth.performance.controls import (
    Line,
    bend_at,
    bend_line,
    level_line,
    modulation_line,
    pan_gains,
)
from gansynth.performance.midi import ScoreNote
from gansynth.spectral.bend import Bend

VIBRATO_RATE, VIBRATO_DEPTH = 5.5, 0.5  # Hz; semitones to either side, General MIDI 2's
_VIBRATO_STEP = 0.002  # seconds between corners of its curve: straight pieces to 0.1 cents
BRIGHT_ABOVE, BRIGHT_GAIN = 1000.0, 3.0  # Hz; full modulation adds so much of what lies above
_FILTER_TAPS = 0.004  # seconds, of the filter that parts them


def nearest_pitch(note: ScoreNote, known: set[int]) -> ScoreNote | None:
    """The note on the model's pitch nearest to where its bend begins; None if there is none near.

    A note that begins two semitones up is better made there than shifted there.
    """
    bent = round(bend_at(note.controls, note.start)) if note.controls else 0
    wanted = note.pitch + bent
    if wanted not in known:
        if not bent or note.pitch not in known:
            return None
        wanted = min(known, key=lambda pitch: abs(pitch - wanted))
    return note if wanted == note.pitch else replace(note, pitch=wanted, tuned=wanted - note.pitch)


def course_of(note: ScoreNote, seconds: float, modulation: str) -> Bend | None:
    """The bend of a note that is held for so long; None where it is played as it is."""
    if not note.controls:
        return None
    end = min(note.end, note.start + seconds)
    line = bend_line(note.controls, note.start, end)
    if modulation == "vibrato":
        depth = modulation_line(note.controls, note.start, note.end)
        if depth is not None:
            line = _with_vibrato(line, depth, seconds)
    if line is None:
        return None
    semitones = line.values - note.tuned
    return Bend(line.times, semitones) if semitones.any() else None


def _with_vibrato(line: Line | None, depth: Line, seconds: float) -> Line:
    times = np.arange(0, seconds + _VIBRATO_STEP, _VIBRATO_STEP)
    swing = np.sin(2 * np.pi * VIBRATO_RATE * times) * VIBRATO_DEPTH
    values = swing * np.interp(times, depth.times, depth.values)
    if line is not None:
        values += np.interp(times, line.times, line.values)
    return Line(times, values)


def brightened(wave: NDArray[np.float32], note: ScoreNote, sample_rate: int) -> NDArray[np.float32]:
    """The wave with more of its upper partials, as much as the note's modulation says."""
    depth = modulation_line(note.controls, note.start, note.end)
    if depth is None:
        return wave
    half = max(1, int(_FILTER_TAPS * sample_rate / 2))
    steps = np.arange(-half, half + 1)
    low = np.sinc(2 * BRIGHT_ABOVE / sample_rate * steps) * np.hanning(2 * half + 3)[1:-1]
    high = wave - np.convolve(wave, low / low.sum(), mode="same")
    amount = BRIGHT_GAIN * depth.sampled(len(wave), sample_rate)
    return (wave + amount * high).astype(np.float32)


def gain_of(
    note: ScoreNote, samples: int, sample_rate: int, *, stereo: bool
) -> NDArray[np.float64] | float:
    """Amplitudes over a note: 1.0, [samples], or for stereo [2] or [samples, 2]."""
    gain: NDArray[np.float64] | float = 1.0
    if note.controls:
        line = level_line(note.controls, note.start, note.start + samples / sample_rate)
        gain = 1.0 if line is None else line.sampled(samples, sample_rate)
    if not stereo:
        return gain
    sides = pan_gains(note.controls, note.start, samples, sample_rate)
    return sides if isinstance(gain, float) else gain[:, None] * sides
