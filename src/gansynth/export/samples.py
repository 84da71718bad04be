"""What every sampler needs of an instrument: its notes, the keys that each one plays, its loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.files import check_rate
from gansynth.errors import InputError
from gansynth.export.loops import Loop, level_slope, make_loop
from gansynth.model.synth import Synth
from gansynth.pitches import pitch_name
from gansynth.progress import counted

# As loud as a 16-bit file lets each note be; `generate --midi` scales notes to their peaks too.
SAMPLE_PEAK = 0.9
# dB a second. An instrument whose notes fall faster in the middle dies away, as plucked strings do:
# it gets no loops, so that all of its keys behave alike.
FASTEST_DECAY = -3.0


@dataclass(frozen=True)
class Sample:
    """One note of an instrument.

    Attributes
    ----------
    pitch : int
        MIDI: the key that plays it as it is.
    low_key, high_key : int
        The keys that play it, moved up or down.
    wave : float32 [samples]
        Its peak is `SAMPLE_PEAK`, or it is silent.
    loop : Loop or None
        What repeats while the key is held; None for a note that plays once.
    """

    pitch: int
    low_key: int
    high_key: int
    wave: NDArray[np.float32]
    loop: Loop | None


def key_ranges(pitches: Sequence[int], every: int = 1) -> list[tuple[int, int, int]]:
    """Which pitches to sample, and which keys each one plays.

    Parameters
    ----------
    pitches : sequence of int
        MIDI pitches that the model knows, in order.
    every : int
        Take every so many of them.

    Returns
    -------
    list of (pitch, low_key, high_key)
        The ranges meet, and cover everything from the lowest pitch to the highest one.

    Raises
    ------
    InputError
        If `every` isn't 1 to 24.
    """
    if not 1 <= every <= 24:
        raise InputError(f"every={every!r}: must be 1 to 24, in steps of the model's pitches.")
    indices = list(range(min(every // 2, len(pitches) - 1), len(pitches), every))
    if len(pitches) - 1 - indices[-1] > every // 2:
        indices.append(len(pitches) - 1)
    roots = [pitches[index] for index in indices]
    borders = [(low + high) // 2 for low, high in pairwise(roots)]
    lows = [pitches[0], *(border + 1 for border in borders)]
    return list(zip(roots, lows, [*borders, pitches[-1]], strict=True))


def make_samples(
    synth: Synth,
    latent: NDArray[np.float32],
    *,
    every: int = 1,
    sample_rate: int | None = None,
    progress: bool = False,
) -> list[Sample]:
    """Play an instrument over the model's whole range.

    Parameters
    ----------
    synth : Synth
    latent : float32 [latent_size]
    every : int
        See `key_ranges`.
    sample_rate : int or None
        Hz; None keeps the model's.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of Sample
        In the order of their pitches.

    Raises
    ------
    InputError
        If an option is out of range, or the instrument is silent at every pitch.
    """
    rate = synth.sample_rate if sample_rate is None else check_rate("sample_rate", sample_rate)
    ranges = key_ranges(synth.pitches, every)
    waves = [
        _resampled(wave, synth.sample_rate, rate)
        for wave in _played(synth, latent, [pitch for pitch, _, _ in ranges], progress)
    ]
    if not any(np.any(wave) for wave in waves):
        raise InputError(
            "instrument: is silent at every pitch, there is nothing to export; use another one."
        )
    held = float(np.median([level_slope(wave, rate) for wave in waves])) > FASTEST_DECAY
    samples = []
    for (pitch, low, high), wave in zip(ranges, waves, strict=True):
        looped, loop = make_loop(wave, rate, pitch) if held else (wave, None)
        peak = float(np.abs(looped).max(initial=0.0))
        gain = np.float32(SAMPLE_PEAK / peak if peak > 0 else 1.0)
        samples.append(Sample(pitch, low, high, looped * gain, loop))
    return samples


def sample_name(stem: str, pitch: int, extension: str) -> str:
    """File name of a sample; sorts by pitch, and names the key: `glass-organ-060-C4.flac`."""
    return f"{stem}-{pitch:03d}-{pitch_name(pitch).replace('#', 's')}{extension}"


def _played(
    synth: Synth, latent: NDArray[np.float32], pitches: list[int], progress: bool
) -> Sequence[NDArray[np.float32]]:
    return list(counted(synth.stream(latent, pitches), len(pitches), "Playing", progress))


def _resampled(wave: NDArray[np.float32], rate_in: int, rate_out: int) -> NDArray[np.float32]:
    """Float32 `[samples]` at the new rate, a copy; not finite numbers become an error."""
    if not np.isfinite(wave).all():
        raise InputError("instrument: the model makes NaN of it; use another instrument or model.")
    if rate_in == rate_out:
        return wave.copy()
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(wave, rate_in, rate_out, quality="VHQ")
    return resampled
