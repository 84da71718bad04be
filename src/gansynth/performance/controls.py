"""What controllers do to notes while they sound: bend, level, pan and modulation over time.

A MIDI controller is a step curve: a value stays until the next one comes. Played as it is, each
step would be heard, so notes get lines instead: every step becomes a short ramp. What was set
before a note begins holds from its first sample on.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BEND_RAMP = 0.005  # seconds: too short to be heard as a glide, too long to be heard as a click
LEVEL_RAMPS = (0.01, 0.04)  # shortest and longest; in between, as long as the step before stood
ROUNDING = 0.005  # seconds over which levels are averaged: a corner would be heard as a faint tick
DEFAULT_VOLUME, DEFAULT_EXPRESSION, CENTER = 100, 127, 64  # General MIDI's


class Curve:
    """A value that changes in steps, `initial` until the first."""

    def __init__(self, initial: float) -> None:
        self.initial = initial
        self.times, self.values = array("d"), array("d")

    def set(self, now: float, value: float) -> None:
        """Change the value; `now` isn't before the last change."""
        if self.times and self.times[-1] == now:
            self.values[-1] = value
        elif value != (self.values[-1] if self.values else self.initial):
            self.times.append(now)
            self.values.append(value)

    def at(self, time: float) -> float:
        """The value at a time, changes at just that time included."""
        index = bisect_right(self.times, time)
        return self.values[index - 1] if index else self.initial

    def at_tempo(self, tempo: float) -> Curve:
        """The curve of a piece that goes `tempo` times as fast."""
        curve = Curve(self.initial)
        curve.times, curve.values = array("d", (t / tempo for t in self.times)), self.values
        return curve

    def line(self, start: float, stop: float, shortest: float, longest: float) -> Line:
        """The curve from `start` on, with ramps for the steps before `stop`."""
        first, last = bisect_right(self.times, start), bisect_left(self.times, stop)
        begin = self.at(start)
        if last <= first:
            return Line(np.zeros(1), np.array([begin]))
        times = np.frombuffer(self.times)[first:last] - start
        values = np.frombuffer(self.values)[first:last]
        ramps = np.clip(np.diff(times, prepend=times[0] - longest), shortest, longest)
        ramps = np.minimum(ramps, np.diff(times, append=math.inf))
        before = np.concatenate([[begin], values[:-1]])
        corners = np.stack([times, times + ramps], axis=1).ravel()
        heights = np.stack([before, values], axis=1).ravel()
        return Line(np.concatenate([[0.0], corners]), np.concatenate([[begin], heights]))


class Line(NamedTuple):
    """Straight pieces between corners: `times` in seconds of a note, `values` there."""

    times: Floats
    values: Floats

    def sampled(self, samples: int, sample_rate: int) -> Floats:
        """Values at the samples of a note, corners rounded: float64 [samples]."""
        half = int(ROUNDING * sample_rate / 2)
        values = np.interp(np.arange(samples) / sample_rate, self.times, self.values)
        sums = np.pad(values, (half + 1, half), mode="edge").cumsum()
        return (sums[2 * half + 1 :] - sums[: -2 * half - 1]) / (2 * half + 1)

    @property
    def constant(self) -> bool:
        """Whether the value never changes."""
        return bool((self.values == self.values[0]).all())


@dataclass(eq=False)
class Controls:
    """The controllers of one channel over the whole piece.

    Attributes
    ----------
    bend : Curve
        Semitones, tuning included.
    level : Curve
        Amplitude: CC7 and CC11 by General MIDI's 40 log10(value / 127) dB each, and 1 where
        neither was said.
    pan : Curve
        0 to 127 as in CC10.
    modulation : Curve
        0 to 127: the modulation wheel (CC1) or channel pressure, whichever is more.
    """

    bend: Curve = field(default_factory=lambda: Curve(0.0))
    level: Curve = field(default_factory=lambda: Curve(1.0))
    pan: Curve = field(default_factory=lambda: Curve(CENTER))
    modulation: Curve = field(default_factory=lambda: Curve(0))

    def at_tempo(self, tempo: float) -> Controls:
        """The controllers of a piece that goes `tempo` times as fast."""
        curves = (self.bend, self.level, self.pan, self.modulation)
        return Controls(*(curve.at_tempo(tempo) for curve in curves))

    @property
    def used(self) -> bool:
        """Whether anything was ever set."""
        curves = (self.bend, self.level, self.pan, self.modulation)
        return any(curve.times for curve in curves)


def level_of(volume: int, expression: int) -> float:
    """The amplitude of CC7 and CC11; 1 for the values that hold until a file says otherwise."""
    return (volume / DEFAULT_VOLUME * expression / DEFAULT_EXPRESSION) ** 2


def bend_at(controls: Sequence[Controls], time: float) -> float:
    """Semitones at a time: a channel's own and its zone's add up."""
    return sum(each.bend.at(time) for each in controls)


def bend_line(controls: Sequence[Controls], start: float, end: float) -> Line | None:
    """The bend of a note in semitones; None if it never leaves 0.

    What comes after the note's end is another note's: its release keeps the last bend.
    """
    lines = [each.bend.line(start, end, BEND_RAMP, BEND_RAMP) for each in controls]
    total = _combined(lines, np.add)
    return total if total is not None and total.values.any() else None


def level_line(controls: Sequence[Controls], start: float, stop: float) -> Line | None:
    """The amplitude of a note from `start` on; None if it is 1 throughout."""
    lines = [each.level.line(start, stop, *LEVEL_RAMPS) for each in controls]
    total = _combined(lines, np.multiply)
    return None if total is None or (total.values == 1).all() else total


def modulation_line(controls: Sequence[Controls], start: float, stop: float) -> Line | None:
    """Modulation of a note, 0 to 1; None if there is none."""
    lines = [each.modulation.line(start, stop, *LEVEL_RAMPS) for each in controls]
    total = _combined(lines, np.maximum)
    return Line(total.times, total.values / 127) if total and total.values.any() else None


def pan_gains(controls: Sequence[Controls], start: float, samples: int, sample_rate: int) -> Floats:
    """Amplitudes left and right, of constant power: float64 [2], or [samples, 2] as pan moves.

    General MIDI's: 0 and 1 are left, 64 is the middle, 127 is right. A note of an MPE zone goes by
    its own channel where that says anything.
    """
    said = [each.pan for each in controls if each.pan.times] or [Curve(CENTER)]
    line = said[0].line(start, start + samples / sample_rate, *LEVEL_RAMPS)
    place = line.values[0] if line.constant else line.sampled(samples, sample_rate)
    angle = np.pi / 2 * np.maximum(place - 1, 0) / 126
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _combined(lines: Sequence[Line], combine: np.ufunc) -> Line | None:
    """Lines combined at the corners of all; None of none."""
    if len(lines) < 2:
        return lines[0] if lines else None
    times = np.unique(np.concatenate([line.times for line in lines]))
    values = [np.interp(times, line.times, line.values) for line in lines]
    return Line(times, combine.reduce(values))
