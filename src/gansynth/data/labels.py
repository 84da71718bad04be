"""Whether rendered notes sound at the pitch of their key, told from all keys of a preset.

A judge of pitch errs too: on guitars and harps it hears the octave, on bells and bars a partial.
So a key counts as wrong only if nothing speaks for it and its neighbours are wrong as well.

    1  the estimated pitch is within half a semitone of the key               -> fits
    2  the estimate is higher, but the key's own period repeats more exactly  -> fits
    3  the lowest strong partial is the key's fundamental                     -> fits
    4  anything else: what most of the keys around it are
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gansynth.pitches import pitch_to_hertz

SEMITONE = 0.5  # a hit is this near

_CLEARER = 0.02  # of confidence: what makes the key's period the better one
_STRONG = 0.2  # of the strongest partial's amplitude
_WEAK = 0.25  # of the fundamental's amplitude: what may lie below it
_SPECTRUM_SECONDS = 1.0
_LOWEST_HERTZ = 10  # an organ's 16 foot stop on the lowest keys
_NEIGHBOURS = 4  # semitones on either side; keys farther away may play another recording

Floats = NDArray[np.float64]


def wrong_labels(
    waves: NDArray[np.float32], sample_rate: int, keys: Sequence[int]
) -> tuple[NDArray[np.bool_], Floats]:
    """Find the notes that sound at another pitch than their key's.

    Parameters
    ----------
    waves : float32 array [notes, samples]
        Notes of one preset and one velocity, none of them silent.
    sample_rate : int
        Hz.
    keys : sequence of int
        MIDI pitches of the notes, rising.

    Returns
    -------
    wrong : bool array [notes]
    pitches : float64 array [notes]
        What was heard, as MIDI numbers; NaN where no pitch was.
    """
    from gansynth.audio.pitch import estimate_pitches

    labels = np.asarray(keys, np.float64)
    pitches, confidences = estimate_pitches(waves, sample_rate)
    heard = np.isfinite(pitches)
    fits = np.abs(pitches - labels) <= SEMITONE  # False where nothing is heard
    doubtful = np.flatnonzero(~fits)
    for index in doubtful:
        fits[index] = speaks_for(
            labels[index], waves[index], sample_rate, pitches[index], confidences[index]
        )
    wrong = ~fits & heard
    decided = np.flatnonzero(fits | heard)
    verdicts = wrong.copy()
    for index in doubtful if len(decided) else ():
        distance = np.abs(labels[decided] - labels[index])
        if not heard[index]:  # not even another pitch: the nearest key's verdict
            wrong[index] = verdicts[decided[distance.argmin()]]
            continue
        near = decided[(distance <= _NEIGHBOURS) & (decided != index)]
        share = verdicts[near].mean() if len(near) else 0.5
        if share != 0.5:  # where they are torn, the note's own verdict counts
            wrong[index] = share > 0.5
    return wrong, pitches


def speaks_for(
    label: float, wave: NDArray[np.float32], sample_rate: int, pitch: float, confidence: float
) -> bool:
    """Whether a note sounds at its label after all, though another pitch was estimated: rules 2, 3.

    Parameters
    ----------
    label : float
        MIDI pitch that the note should have.
    wave : float32 array [samples]
    sample_rate : int
        Hz.
    pitch, confidence : float
        What `estimate_pitches` gave for it; NaN and 0 where no pitch was heard.
    """
    higher = bool(pitch > label)
    if higher and _repeats(wave, sample_rate, label) > confidence + _CLEARER:
        return True
    return _lowest_partial_fits(wave, sample_rate, label)


def _repeats(wave: NDArray[np.float32], sample_rate: int, label: float) -> float:
    """How clearly the note has the key's period, 0 to 1."""
    from gansynth.audio.pitch import LOWEST, estimate_pitch

    if label - 0.01 < LOWEST:
        return 0.0
    return estimate_pitch(wave, sample_rate, label - 0.01, label + 0.01).confidence


def _lowest_partial_fits(wave: NDArray[np.float32], sample_rate: int, label: float) -> bool:
    """Whether the lowest strong partial of the first second is the key's fundamental."""
    start = int(np.argmax(np.abs(wave) > 0.1 * np.abs(wave).max()))
    part = wave[start : start + round(_SPECTRUM_SECONDS * sample_rate)]
    size = 1 << (len(part) - 1).bit_length() + 1  # padded: finer bins
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), size))
    fundamental = pitch_to_hertz(label) * size / sample_rate
    low, high = (fundamental * 2 ** (cents / 1200) for cents in (-50, 50))
    inside = spectrum[int(low) : int(high) + 2]
    floor = int(_LOWEST_HERTZ / sample_rate * size)
    below = spectrum[floor : max(floor, int(low * 2 ** (-1 / 12)))]
    strongest = spectrum[floor:].max()
    return bool(
        len(inside)
        and inside.max() >= _STRONG * strongest
        and (not len(below) or below.max() < _WEAK * inside.max())
    )
