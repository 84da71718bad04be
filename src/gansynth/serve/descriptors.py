"""What the sliders are about, and what others of them change, measured on one note."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gansynth.pitches import pitch_to_hertz

DESCRIPTORS = ("brightness", "attack", "sustain", "noisiness")
# No sliders of their own; components are named by them too.
TIMBRES = ("fundamental", "hollowness", "opening")

_FLOOR = 1e-4  # -80 dB below the note's peak: silence
_HOP_SECONDS = 0.005
_HARMONIC_HERTZ = 12.0  # half-width of what counts as a harmonic, wider than the window's lobe


def describe_note(wave: NDArray[np.float32], sample_rate: int, pitch: int) -> dict[str, float]:
    """Measure a note; every number is NaN where the note is silent or too short.

    Parameters
    ----------
    wave : float [samples]
        A held note of known pitch, at whatever level.
    sample_rate : int
        Hz.
    pitch : int
        MIDI pitch that was asked for.

    Returns
    -------
    dict
        "brightness": octaves of the spectral centroid above the fundamental (Grey and Gordon
        1978, on the power spectrum). "attack": log10 of the seconds from the onset (-40 dB) to
        90 % of the loudest moment. "sustain": level in the third quarter of the note against
        its loudest moment, in dB. "noisiness": energy away from the harmonics against all, in
        dB. "fundamental": energy of the first harmonic against the others, in dB. "hollowness":
        energy of the odd harmonics from the third on against the even ones, in dB. "opening":
        octaves by which the spectral centroid rises from the note's first part to its last.
    """
    nothing = dict.fromkeys((*DESCRIPTORS, *TIMBRES), float("nan"))
    peak = float(np.abs(wave).max(initial=0.0))
    hop = max(1, round(_HOP_SECONDS * sample_rate))
    frames = len(wave) // hop
    if not np.isfinite(peak) or peak == 0 or frames < 40:
        return nothing
    x = wave[: frames * hop].astype(np.float64) / peak
    level = np.sqrt((x.reshape(frames, hop) ** 2).mean(axis=1))
    smooth = np.sqrt(np.convolve(level**2, np.ones(4) / 4, "same"))
    loudest = smooth.max()
    onset = int(np.argmax(smooth > loudest / 100))
    rise = int(np.argmax(smooth >= 0.9 * loudest)) - onset + 1
    late = level[frames // 2 : 3 * frames // 4]
    held = np.sqrt((late**2).mean())

    # The first half of a held note, with what follows the attack.
    size = 1 << min(13, (len(x) // 2).bit_length() - 1)
    starts = range(onset * hop, max(onset * hop + 1, len(x) // 2 - size), size // 2)
    pieces = [x[start : start + size] for start in starts if len(x) >= start + size]
    if not pieces:
        return nothing
    window = np.hanning(size)
    power = np.mean([np.abs(np.fft.rfft(piece * window)) ** 2 for piece in pieces], axis=0)
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)
    total = power.sum()
    if total <= 0:
        return nothing
    fundamental = pitch_to_hertz(pitch)
    number = np.maximum(np.round(hertz / fundamental), 1)
    width = min(max(_HARMONIC_HERTZ, 3 * sample_rate / size), fundamental / 4)
    harmonic = np.abs(hertz - number * fundamental) <= width
    aside = power[~harmonic].sum()
    first = power[harmonic & (number == 1)].sum()
    odd = power[harmonic & (number > 1) & (number % 2 == 1)].sum()
    even = power[harmonic & (number % 2 == 0)].sum()
    spectra = [np.abs(np.fft.rfft(piece * window)) ** 2 for piece in (pieces[0], pieces[-1])]
    early, last = (max((hertz * one).sum() / max(one.sum(), 1e-30), 1.0) for one in spectra)
    return {
        "brightness": float(np.log2(max((hertz * power).sum() / total, 1.0) / fundamental)),
        "attack": float(np.log10(rise * hop / sample_rate)),
        "sustain": float(20 * np.log10(max(held / loudest, _FLOOR))),
        "noisiness": float(10 * np.log10(max(aside / total, _FLOOR**2))),
        "fundamental": _ratio(first, odd + even, total),
        "hollowness": _ratio(odd, even, total),
        "opening": float(np.log2(last / early)),
    }


def _ratio(one: float, other: float, total: float) -> float:
    """Decibels of one energy against another, both no less than -60 dB of the total."""
    return float(10 * np.log10(max(one, 1e-6 * total) / max(other, 1e-6 * total)))
