"""What every sampler needs of an instrument: notes, the keys and velocities of each one, loops.

A model that learned velocities gives one layer of notes for each of them. Notes of several layers
keep the levels that the model gave them, so a sampler must not add all of its own velocity curve:
`Layer.gain` is what is left for it to do. Between layers the model's own level is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
MOST_LAYERS = 8
_USUAL_LAYERS = 5  # of a model that learned more velocities than `MOST_LAYERS`
# Between layers the model's level is measured at so many pitches, every so many velocities.
_MEASURED_PITCHES = 5
_MEASURED_STEP = 6
# By which power of velocity the amplitude may grow beyond the layers; 2 is usual in samplers.
_EXPONENTS = (0.0, 3.0)


@dataclass(frozen=True)
class Layer:
    """The notes that are played at some velocities.

    Attributes
    ----------
    velocity : int
        MIDI velocity at which they sound as they are.
    low, high : int
        MIDI velocities that play them.
    curve : tuple of (velocity, gain)
        What the notes are multiplied by at some velocities, in their order: 1 at their own. Between
        them the gain is a power of the velocity.
    """

    velocity: int
    low: int
    high: int
    curve: tuple[tuple[int, float], ...] = ((1, 1 / 127), (127, 1.0))

    def gain(self, velocity: float) -> float:
        """What notes of this layer are multiplied by at a velocity.

        It brings them to the model's own level there, in the middle of the keyboard.
        """
        velocities, gains = np.log(np.transpose(self.curve))
        return float(np.exp(np.interp(math.log(velocity), velocities, gains)))


# Of an instrument without layers: as loud as its velocity.
ONE_LAYER = Layer(127, 1, 127)


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
        Its peak is `SAMPLE_PEAK`, or it is silent. Of several layers, the loudest note's peak is,
        and the others keep their levels.
    loop : Loop or None
        What repeats while the key is held; None for a note that plays once.
    layer : Layer
        When it is played.
    """

    pitch: int
    low_key: int
    high_key: int
    wave: NDArray[np.float32]
    loop: Loop | None
    layer: Layer = ONE_LAYER


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


def choose_velocities(synth: Synth, velocities: Sequence[int] | None = None) -> list[int | None]:
    """The velocities that an export has layers of.

    Parameters
    ----------
    synth : Synth
    velocities : sequence of int or None
        MIDI, rising. None takes those that the model learned, or five of them where there are more
        than `MOST_LAYERS`; of a model that learned none, its notes as they are.

    Returns
    -------
    list of int, or [None]

    Raises
    ------
    InputError
        If the model doesn't know velocities or these, they don't rise, or they are too many.
    """
    known = synth.velocities
    if velocities is None:
        if len(known) > MOST_LAYERS:
            places = np.linspace(0, len(known) - 1, _USUAL_LAYERS).round().astype(int)
            known = tuple(known[place] for place in places)
        return list(known) or [None]
    where = f"velocities={','.join(map(str, velocities))}"
    if not known:
        raise InputError(
            f"{where}: the model was trained without velocities, all of its notes are struck "
            "alike; leave them out."
        )
    if not 1 <= len(velocities) <= MOST_LAYERS:
        raise InputError(f"{where}: must be 1 to {MOST_LAYERS} velocities.")
    whole = all(isinstance(one, int | np.integer) for one in velocities)
    if not whole or any(low >= high for low, high in pairwise(velocities)):
        raise InputError(f"{where}: must be increasing whole numbers, as in 32,64,100,127.")
    if velocities[0] < known[0] or velocities[-1] > known[-1]:
        raise InputError(
            f"{where}: the model learned {known[0]} to {known[-1]}, others would only repeat "
            "them; stay in that range."
        )
    return [int(one) for one in velocities]


def make_samples(
    synth: Synth,
    latent: NDArray[np.float32],
    *,
    every: int = 1,
    velocities: Sequence[int] | None = None,
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
    velocities : sequence of int or None
        See `choose_velocities`.
    sample_rate : int or None
        Hz; None keeps the model's.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of Sample
        In the order of their pitches, those of a pitch in the order of their velocities.

    Raises
    ------
    InputError
        If an option is out of range, or the instrument is silent at every pitch.
    """
    rate = synth.sample_rate if sample_rate is None else check_rate("sample_rate", sample_rate)
    ranges = key_ranges(synth.pitches, every)
    struck = choose_velocities(synth, velocities)
    pitches = [pitch for pitch, _, _ in ranges for _ in struck]
    given = [velocity or 0 for velocity in struck * len(ranges)] if struck != [None] else None
    notes = counted(synth.stream(latent, pitches, given), len(pitches), "Playing", progress)
    waves = [_resampled(wave, synth.sample_rate, rate) for wave in notes]
    if not any(np.any(wave) for wave in waves):
        raise InputError(
            "instrument: is silent at every pitch, there is nothing to export; use another one."
        )
    held = float(np.median([level_slope(wave, rate) for wave in waves])) > FASTEST_DECAY
    layers = [ONE_LAYER]
    if len(struck) > 1:
        learned = [int(one or 0) for one in struck]
        roots = [pitch for pitch, _, _ in ranges]
        layers = _layers(learned, *_levels(synth, latent, learned, roots, progress))
    samples = []
    for number, wave in enumerate(waves):
        pitch, low, high = ranges[number // len(layers)]
        looped, loop = make_loop(wave, rate, pitch) if held else (wave, None)
        samples.append(Sample(pitch, low, high, looped, loop, layers[number % len(layers)]))
    return _levelled(samples)


def sample_name(stem: str, pitch: int, extension: str, velocity: int | None = None) -> str:
    """File name of a sample: `glass-organ-060-C4.flac`, with layers `glass-organ-060-C4-v100.flac`;
    sorts by pitch, and names the key.
    """
    layer = "" if velocity is None else f"-v{velocity:03d}"
    return f"{stem}-{pitch:03d}-{pitch_name(pitch).replace('#', 's')}{layer}{extension}"


def _levels(
    synth: Synth,
    latent: NDArray[np.float32],
    layers: Sequence[int],
    pitches: Sequence[int],
    progress: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Velocities from the lowest layer to the highest, and the model's level there in dB.

    The level is the median of some pitches', each against its own in the lowest layer.
    """
    steps = [max(1, math.ceil((high - low) / _MEASURED_STEP)) for low, high in pairwise(layers)]
    velocities = np.unique(
        np.concatenate(
            [
                np.linspace(low, high, count + 1).round().astype(np.int64)
                for count, (low, high) in zip(steps, pairwise(layers), strict=True)
            ]
        )
    )
    places = np.linspace(0, len(pitches) - 1, min(_MEASURED_PITCHES, len(pitches))).round()
    keys = [pitches[int(place)] for place in places]
    struck = [(key, velocity) for key in keys for velocity in velocities.tolist()]
    waves = synth.stream(latent, [key for key, _ in struck], [velocity for _, velocity in struck])
    notes = counted(waves, len(struck), "Measuring levels", progress)
    power = [float(np.square(wave, dtype=np.float64).mean()) for wave in notes]
    levels = 10 * np.log10(np.maximum(np.reshape(power, (len(keys), -1)), 1e-20))
    return velocities, np.median(levels - levels[:, :1], axis=0)


def _layers(
    struck: Sequence[int], velocities: NDArray[np.int64], levels: NDArray[np.float64]
) -> list[Layer]:
    """Layers of these velocities; `levels` in dB of all `velocities` from the first to the last.

    Of two layers, each plays what is nearer to its own level.
    """
    own = np.interp(struck, velocities, levels)
    borders = []
    for number, (low, high) in enumerate(pairwise(struck)):
        rise = np.interp(np.arange(low, high), velocities, levels) - own[number]
        whole = own[number + 1] - own[number]
        near = np.flatnonzero(rise <= whole / 2)
        borders.append(low + int(near[-1]) if whole > 0 else (low + high) // 2)
    slopes = [
        float(np.clip((loud - quiet) / (20 * math.log10(high / low)), *_EXPONENTS))
        for (quiet, loud), (low, high) in zip(pairwise(own), pairwise(struck), strict=True)
    ]
    # Beyond what the model learned, as from layer to layer.
    first, last = struck[0], struck[-1]
    known = {int(one): float(db) for one, db in zip(velocities, levels, strict=True)}
    known.setdefault(1, own[0] - 20 * slopes[0] * math.log10(first))
    known.setdefault(127, own[-1] + 20 * slopes[-1] * math.log10(127 / last))
    lows, highs = [1, *(border + 1 for border in borders)], [*borders, 127]
    return [
        Layer(
            velocity,
            low,
            high,
            tuple((one, 10 ** ((db - level) / 20)) for one, db in sorted(known.items())),
        )
        for velocity, low, high, level in zip(struck, lows, highs, own, strict=True)
    ]


def _levelled(samples: list[Sample]) -> list[Sample]:
    """Each as loud as files allow; of several layers, all by the gain of the loudest."""
    peaks = [float(np.abs(sample.wave).max(initial=0.0)) for sample in samples]
    if samples[0].layer is not ONE_LAYER:
        peaks = [max(peaks)] * len(samples)
    return [
        replace(sample, wave=sample.wave * np.float32(SAMPLE_PEAK / peak if peak > 0 else 1.0))
        for sample, peak in zip(samples, peaks, strict=True)
    ]


def _resampled(wave: NDArray[np.float32], rate_in: int, rate_out: int) -> NDArray[np.float32]:
    """Float32 `[samples]` at the new rate, a copy; not finite numbers become an error."""
    if not np.isfinite(wave).all():
        raise InputError("instrument: the model gives NaN for it; use another instrument or model.")
    if rate_in == rate_out:
        return wave.copy()
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(wave, rate_in, rate_out, quality="VHQ")
    return resampled
