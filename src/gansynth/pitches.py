"""MIDI pitches in words (numbers, note names, lists and ranges; C4 is 60) and in hertz."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gansynth.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_SHIFTS = {"": 0, "#": 1, "b": -1}
_PITCH = r"(?:\d{1,3}|[A-Ga-g][#b]?-?\d)"
_RANGE = re.compile(rf"({_PITCH})(?:-({_PITCH}))?")
_NAME = re.compile(r"([A-G])([#b]?)(-?\d)")


def parse_pitch(text: str) -> int:
    """One MIDI pitch: "60" or "C4", sharps as "#", flats as "b"."""
    if text.isascii() and text.isdigit() and len(text) <= 3:
        pitch = int(text)
    elif match := _NAME.fullmatch(text[:1].upper() + text[1:]):
        step, shift, octave = match.groups()
        pitch = 12 * (int(octave) + 1) + _STEPS[step] + _SHIFTS[shift]
    else:
        pitch = -1
    if not 0 <= pitch <= 127:
        raise InputError(
            f"pitch={text!r}: must be a MIDI number from 0 to 127 or a name such as C4 or F#3."
        )
    return pitch


def pitch_to_hertz(pitch: float) -> float:
    """Frequency of a MIDI pitch, with a fraction or without; A4, 69, is 440 Hz."""
    return 440.0 * float(2.0 ** ((pitch - 69) / 12))


def hertz_to_pitch(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """MIDI pitches, with a fraction, of frequencies."""
    import numpy as np

    return 69 + 12 * np.log2(hertz / 440.0)


def pitch_name(pitch: int) -> str:
    """A MIDI pitch as a note name with sharps: "C4" for 60."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def parse_pitches(text: str) -> list[int]:
    """Pitches of a list with ranges, such as "48-72", "C3-C5" or "36,40-47"; each one once."""
    pitches: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = _RANGE.fullmatch(part)
        low = parse_pitch(match[1] if match else part)
        high = parse_pitch(match[2]) if match and match[2] else low
        if high < low:
            raise InputError(f"pitches={part!r}: a range must ascend, as in 48-72.")
        pitches += range(low, high + 1)
    return list(dict.fromkeys(pitches))


def describe_pitches(pitches: Sequence[int]) -> str:
    """Pitches in words: runs are joined, as in 24-84 or 36, 40-47."""
    runs: list[list[int]] = []
    for pitch in pitches:
        if runs and pitch == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], pitch]
        else:
            runs.append([pitch])
    return ", ".join("-".join(map(str, run)) for run in runs)


def check_known(wanted: Sequence[int], known: Sequence[int]) -> None:
    """Raise `InputError`, with names, unless a model knows all pitches wanted of it."""
    unknown = [pitch for pitch in dict.fromkeys(wanted) if pitch not in known]
    if not unknown:
        return
    named = [f"{pitch} ({pitch_name(pitch)})" for pitch in unknown[:5]]
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    raise InputError(
        f"pitch={', '.join(named)}{more}: the model knows {describe_pitches(known)} "
        f"({pitch_name(known[0])} to {pitch_name(known[-1])})."
    )
