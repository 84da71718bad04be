"""Rainbowgram: a picture of sound with loudness as brightness and fine pitch as hue.

The idea is from Engel et al. 2017 (NSynth, arXiv:1704.01279): a constant-Q spectrogram, coloured
by instantaneous frequency. The transform here is that of Brown and Puckette (1992), a bank of
Hann-windowed complex exponentials applied in the frequency domain.
"""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from gansynth.audio.files import check_rate
from gansynth.errors import InputError
from gansynth.files import PathLike
from gansynth.pictures import (
    CHALK,
    check_picture,
    colour_panels,
    new_figure,
    no_formulas,
    octaves_between,
    save_figure,
)
from gansynth.pitches import hertz_to_pitch, pitch_name, pitch_to_hertz

# Centre frequency / width of one Fourier bin of the window. A Hann main lobe reaches two such
# widths to either side, so with this value it ends one semitone above the centre.
_Q = 2 / (2 ** (1 / 12) - 1)

_LOBES = 8.0  # the kernels are cut here [Fourier bins of the window], 65 dB below their peak
_FLOOR_DB = -100.0
_SHOWN_DB = -72.0  # black in the picture


@dataclass(frozen=True)
class ConstantQ:
    """Constant-Q transform, `[bins, frames]`.

    `coefficients` complex64: a sine of amplitude A at a bin's centre has magnitude A there.
    `instantaneous` float32: instantaneous frequency in Hz (the bin's own where it is silent).
    `frequencies` [bins] in Hz, `times` [frames] in s (centres of the windows).
    """

    coefficients: np.ndarray
    instantaneous: np.ndarray
    frequencies: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Rainbowgram:
    """What the picture shows, `[bins, frames]` float32.

    `magnitude` in dB relative to the loudest point, -100..0 (all -100 for silence). `deviation`
    is the instantaneous frequency minus the bin's centre in semitones, cut to -1..1, which is the
    main lobe's half-width; 0 at the floor. `times` [frames] in s, `frequencies` [bins] in Hz.
    """

    magnitude: np.ndarray
    deviation: np.ndarray
    times: np.ndarray
    frequencies: np.ndarray


def constant_q(
    wave: np.ndarray,
    sample_rate: int,
    *,
    min_pitch: float = 24.0,
    octaves: float | None = None,
    bins_per_octave: int = 48,
    columns: int = 1600,
) -> ConstantQ:
    """Return the constant-Q transform of a mono `wave` `[samples]`, zeros assumed around it.

    Bins start at the MIDI pitch `min_pitch` (0..127) and span `octaves`; by default as much as
    fits below 0.9 Nyquist, 8 octaves at most. The frames are at most `columns` (1..8192), at
    least 1 ms apart. One FFT of the whole wave is multiplied by each kernel's spectrum; taking
    every hop-th sample is done by folding the product, so the cost is independent of the hop.
    The instantaneous frequency is the derivative of the phase at the frame itself (found from
    the kernel's derivative, Auger and Flandrin 1995), so it means the same for any hop.

    Memory is about 10 times the wave as float32, plus the result. Raises `InputError` for a wave
    that isn't `[samples]`, floating, finite and not empty, and for an option out of range.
    """
    wave = _checked_wave(wave)
    sample_rate = check_rate("sample_rate", sample_rate)
    frequencies = _bin_frequencies(sample_rate, min_pitch, octaves, bins_per_octave)
    _check_number("columns", columns, Integral, 1, 8192)
    hop = _next_smooth(max(-(-len(wave) // columns), sample_rate // 1000))
    frames = -(-len(wave) // hop)
    longest = math.ceil(_Q * sample_rate / frequencies[0])
    slots = _next_smooth(frames + -(-longest // hop))  # room for the last window to ring out
    peak = float(np.abs(wave).max()) or 1.0
    spectrum = np.fft.rfft(wave / np.float32(peak), slots * hop)
    spectrum *= 2 / (slots * hop)

    coefficients = np.empty((len(frequencies), frames), np.complex64)
    instantaneous = np.empty((len(frequencies), frames), np.float32)
    grid = np.linspace(0.0, _LOBES, 4096)
    lobe = np.sinc(grid) + 0.5 * np.sinc(grid - 1) + 0.5 * np.sinc(grid + 1)  # Hann's spectrum
    spacing = sample_rate / (slots * hop)
    for row, frequency in enumerate(frequencies):
        width = frequency / _Q
        first = math.ceil((frequency - _LOBES * width) / spacing)
        last = min(math.floor((frequency + _LOBES * width) / spacing) + 1, len(spectrum))
        offset = (np.arange(first, last) * spacing - frequency).astype(np.float32)  # Hz
        kernel = np.interp(np.abs(offset), grid * width, lobe).astype(np.float32)
        band = spectrum[first:last] * kernel
        value = _every_hop(band, first, slots)[:frames]
        band *= offset  # the derivative in time / 2 pi i, beside the bin's own turning
        slope = _every_hop(band, first, slots)[:frames]
        power = np.abs(value) ** 2
        shift = np.divide(
            (slope * value.conj()).real, power, out=np.zeros_like(power), where=power > 1e-24
        )
        coefficients[row] = value * peak
        instantaneous[row] = frequency + shift
    times = np.arange(frames) * (hop / sample_rate)
    return ConstantQ(coefficients, instantaneous, frequencies, times)


def rainbowgram(
    wave: np.ndarray,
    sample_rate: int,
    *,
    min_pitch: float = 24.0,
    octaves: float | None = None,
    bins_per_octave: int = 48,
    columns: int = 1600,
) -> Rainbowgram:
    """Return the rainbowgram of a mono `wave` `[samples]`; options and errors of `constant_q`."""
    wave = _checked_wave(wave)
    transform = constant_q(
        wave / (np.abs(wave).max() or np.float32(1)),
        sample_rate,
        min_pitch=min_pitch,
        octaves=octaves,
        bins_per_octave=bins_per_octave,
        columns=columns,
    )
    loudness = np.abs(transform.coefficients)
    relative = loudness / (loudness.max() or 1.0)
    magnitude = np.maximum(20 * np.log10(np.maximum(relative, 1e-30)), _FLOOR_DB)
    ratio = transform.instantaneous / transform.frequencies[:, None]
    deviation = np.clip(12 * np.log2(np.maximum(ratio, 0.5)), -1, 1)
    deviation[magnitude <= _FLOOR_DB] = 0.0
    return Rainbowgram(
        magnitude.astype(np.float32),
        deviation.astype(np.float32),
        transform.times,
        transform.frequencies,
    )


def _checked_wave(wave: np.ndarray) -> np.ndarray:
    rule = "must be a floating array [samples] of at least one sample, on the CPU"
    try:
        wave = np.asarray(wave)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"wave={type(wave).__name__}: {rule}") from error
    if wave.ndim != 1 or not len(wave) or not np.issubdtype(wave.dtype, np.floating):
        raise InputError(f"wave={wave.dtype} of shape {list(wave.shape)}: {rule}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 is caught as infinite
        wave = wave.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(wave))
    if len(wrong):
        raise InputError(f"wave[{wrong[0]}]={wave[wrong[0]]}: every sample must be finite")
    return wave


def _bin_frequencies(
    sample_rate: int, min_pitch: float, octaves: float | None, bins_per_octave: int
) -> np.ndarray:
    """Return the bins' centres in Hz, `[bins]`."""
    _check_number("min_pitch", min_pitch, Real, 0, 127)
    _check_number("bins_per_octave", bins_per_octave, Integral, 12, 240)
    lowest, highest = pitch_to_hertz(min_pitch), 0.45 * sample_rate
    room = math.log2(highest / lowest)
    if room < 1:
        raise InputError(
            f"min_pitch={min_pitch}: less than one octave fits between its {lowest:.0f} Hz and "
            f"0.9 Nyquist ({highest:.0f} Hz); lower it"
        )
    span = min(room, 8.0)
    if octaves is not None:
        _check_number("octaves", octaves, Real, 1, round(room, 2))
        span = min(octaves, room)
    return lowest * 2 ** (np.arange(math.floor(span * bins_per_octave) + 1) / bins_per_octave)


def _check_number(name: str, value: Any, kind: Any, low: float, high: float) -> None:
    if not isinstance(value, kind) or not low <= value <= high:
        noun = "a whole number" if kind is Integral else "a number"
        raise InputError(f"{name}={value!r}: must be {noun} in {low}..{high}")


def _next_smooth(number: int) -> int:
    """Return the least product of 2s, 3s and 5s that is `number` or more: fast FFT lengths."""
    number = max(number, 1)
    best = 1 << (number - 1).bit_length()
    for five in (5**k for k in range(math.ceil(math.log(number, 5)) + 1)):
        for odd in (five * 3**k for k in range(math.ceil(math.log(number, 3)) + 1)):
            twos = max(-(-number // odd) - 1, 0).bit_length()
            best = min(best, odd << twos)
    return best


def _every_hop(band: np.ndarray, first: int, slots: int) -> np.ndarray:
    """Return the inverse FFT of a band that starts at index `first`, at `slots` even instants.

    Sampling a signal more coarsely is adding up its spectrum in turns of `slots`.
    """
    turns = -(-len(band) // slots)
    folded = np.zeros(turns * slots, np.complex64)
    folded[: len(band)] = band
    folded = folded.reshape(turns, slots).sum(axis=0)
    return np.fft.ifft(np.roll(folded, first % slots)) * slots


def save_rainbowgram(
    path: PathLike,
    wave: np.ndarray,
    sample_rate: int,
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw the rainbowgram of a mono `wave` `[samples]` to a PNG file of 1600 x 900 pixels.

    Raises `InputError` for a bad wave (see `constant_q`), for a name without `.png` and where
    matplotlib isn't installed, and `OutputError` if the file can't be written.
    """
    check_picture(path, overwrite=overwrite)
    figure = new_figure(10.0, 5.625, 160, layout=None)
    words = None if title is None else no_formulas(title)
    _draw(figure, rainbowgram(wave, sample_rate), len(wave) / sample_rate, words)
    save_figure(figure, path, overwrite=overwrite)


def rainbow_image(picture: Rainbowgram) -> np.ndarray:
    """Return the picture as colours `[bins, frames, 3]` in 0..1, red, green and blue.

    Brightness falls with the magnitude, to black at -72 dB. Hue goes from violet (the sound lies
    below the bin) over green to red (above).
    """
    return _rainbow(picture.deviation, np.clip(1 - picture.magnitude / _SHOWN_DB, 0, 1))


def draw_rainbow(panel: Any, picture: Rainbowgram, seconds: float) -> list[int]:
    """Draw the picture over time and MIDI pitch; returns the Cs in it, for labels."""
    pitches = hertz_to_pitch(picture.frequencies)
    half = (pitches[1] - pitches[0]) / 2
    extent = (0.0, seconds, pitches[0] - half, pitches[-1] + half)
    panel.imshow(rainbow_image(picture), extent=extent, origin="lower", aspect="auto")
    return octaves_between(math.ceil(pitches[0]), math.floor(pitches[-1]))


def _rainbow(deviation: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Return colours `[..., 3]` in 0..1 from deviations in -1..1 and brightness in 0..1."""
    stretched = np.sign(deviation) * np.sqrt(np.abs(deviation))  # most sound is near the centre
    angle = np.pi * (0.38 - 0.44 * stretched[..., None] + np.array([0.5, 1 / 6, -1 / 6]))
    return (0.12 + 0.88 * np.sin(angle) ** 2) * brightness[..., None]


def _draw(figure: Any, picture: Rainbowgram, seconds: float, title: str | None) -> None:
    """Lay out the picture with its axes and, at its right, the scale of hues."""
    axes, scale = figure.subplots(1, 2, width_ratios=[60, 1])
    figure.subplots_adjust(left=0.1, right=0.93, bottom=0.085, top=0.945, wspace=0.04)
    octaves = draw_rainbow(axes, picture, seconds)
    names = [f"{pitch_name(pitch)}  {pitch_to_hertz(pitch):4.0f} Hz" for pitch in octaves]
    axes.set_yticks(octaves, names, fontfamily="monospace")
    axes.set_xlabel("time [s]")
    axes.grid(axis="y", color=CHALK, alpha=0.12, linewidth=0.6)
    hues = np.linspace(-1, 1, 256)[:, None]
    scale.imshow(
        _rainbow(hues, np.ones_like(hues)), extent=(0, 1, -100, 100), origin="lower", aspect="auto"
    )
    scale.set(xticks=[], yticks=[-100, -50, 0, 50, 100])
    scale.yaxis.tick_right()
    scale.yaxis.set_label_position("right")
    scale.set_ylabel("sound minus bin centre [cents]")
    if title is not None:
        axes.set_title(title, color=CHALK, parse_math=False)
    colour_panels((axes, scale), ticks=9, labels=None)
