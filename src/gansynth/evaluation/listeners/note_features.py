"""Some hundred numbers of a note in six groups, by which a classifier tells made notes from real.

    onset        band levels every 5 ms in the first 0.3 s, beside the band's mean there
    modulation   how band levels, and the centres of bands, waver from 0.4 to 60 Hz over 2 s
    spectrum     mean spectrum of the note while it is held, in 40 bands, and its level
    decay        band levels every 0.25 s while it is held, beside those at 0.25 s
    release      band levels after the key goes up, beside those just before
    fine         spread and unevenness of a spectrum of 1 s, and its spread about its mean over
                 31 Hz, in six bands

Levels are in nats, bands on the mel scale; what lies 70 dB below a note's loudest band, or below
what 16 bits hold, counts as silence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gansynth.errors import InputError
from gansynth.pcm import FULL_SCALE
from gansynth.spectral.mel import hertz_to_mel, mel_to_hertz

GROUPS = ("onset", "modulation", "spectrum", "decay", "release", "fine")
HOLD = 3.0  # seconds that a key is held, as in NSynth
HIGHEST = 20_000.0  # Hz
LOWEST_RATE = 8000  # Hz
SHORTEST_NOTE = 0.3  # seconds

_BANDS, _SPECTRUM_BANDS, _FINE_BANDS = 8, 40, 6
_LOWEST = 30.0  # Hz
_WINDOW, _HOP = 0.016, 0.005  # seconds
_SETTLED = 0.5  # seconds after the onset, where there are so many
_MODULATION = 2.0  # seconds
_RATES = (0.4, 1.0, 2.0, 3.5, 5.0, 6.5, 8.5, 12.0, 17.0, 25.0, 40.0, 60.0)  # Hz, edges of bands
_STEADY = 1e-6  # nats squared that can't be heard to waver
_DECAY_STEP = 0.25  # seconds
_RELEASE = (0.01, 0.03, 0.05, 0.08, 0.12, 0.17, 0.23, 0.3, 0.4, 0.55, 0.75)  # seconds after HOLD
_FINE = 1.0  # seconds
_TREND = 31  # bins of 1 Hz, over which a spectrum is smooth
_QUIETEST = 10 ** (-70 / 10)  # of the loudest band's power
_SILENCE = 2.0**-30  # power that 16 bits don't hold
_BATCH = 16

Floats = NDArray[np.float32]


def features(
    waves: ArrayLike, sample_rate: int, *, highest: float | None = None, hold: float = HOLD
) -> dict[str, Floats]:
    """Numbers of each note by group.

    Parameters
    ----------
    waves : float or int16 array [notes, samples]
        Full scale 1 or 32768. Notes begin at sample 0.
    sample_rate : int
        Hz.
    highest : float or None
        Where the highest band ends, in Hz. None is half the sample rate, at most 20000. To compare
        notes of two rates give both the lower one's half.
    hold : float
        When the key goes up, in seconds.

    Returns
    -------
    dict of str to float32 array [notes, some]
        For each of `GROUPS` that the notes are long enough for: "modulation" needs 2.1 s, "fine"
        1 s, "decay" 0.75 s, and "release" 0.1 s after the key has gone up.

    Raises
    ------
    InputError
        If the waves are no [notes, samples] of 0.3 s or more, or `sample_rate`, `highest` or `hold`
        is out of range.
    """
    notes = np.asanyarray(waves)
    _check(notes, sample_rate, highest, hold)
    top = min(highest or HIGHEST, sample_rate / 2)
    parts = [
        _features(some, sample_rate, top, min(hold, notes.shape[1] / sample_rate))
        for some in _batches(notes)
    ]
    return {
        group: torch.cat([part[group] for part in parts]).numpy()
        for group in GROUPS
        if group in parts[0]
    }


def _check(notes: NDArray, sample_rate: int, highest: float | None, hold: float) -> None:
    if notes.ndim != 2 or not len(notes):
        raise InputError(f"waves of shape {list(notes.shape)}: must be [notes, samples].")
    if sample_rate < LOWEST_RATE:
        raise InputError(f"sample_rate={sample_rate}: must be {LOWEST_RATE} Hz or more.")
    if hold < SHORTEST_NOTE or notes.shape[1] < SHORTEST_NOTE * sample_rate:
        raise InputError(
            f"hold={hold:g}, notes of {notes.shape[1] / sample_rate:.2f} s: must be "
            f"{SHORTEST_NOTE} s or more."
        )
    if highest is not None and not 2000 <= highest <= sample_rate / 2:
        raise InputError(
            f"highest={highest:g}: must be from 2000 Hz to half the sample rate, "
            f"{sample_rate / 2:g} Hz."
        )


def _batches(notes: NDArray) -> Iterator[Tensor]:
    """Float32 waves of 16 bits, some notes at a time; what isn't finite is silence."""
    scale = 1.0 if notes.dtype == np.int16 else FULL_SCALE
    for start in range(0, len(notes), _BATCH):
        some = torch.from_numpy(notes[start : start + _BATCH].astype(np.float32))
        some = (some * scale).nan_to_num(0.0, 0.0, 0.0).round()
        yield some.clamp(-FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE


@torch.inference_mode()
def _features(waves: Tensor, rate: int, top: float, hold: float) -> dict[str, Tensor]:
    """Waves `[n, samples]` to each group's numbers `[n, some]`."""
    seconds = waves.shape[1] / rate
    times = np.arange(round(min(hold + _RELEASE[-1] + _WINDOW, seconds) / _HOP)) * _HOP
    powers = _frame_powers(waves, rate, times)
    matrix = _mel_bands(powers.shape[2], rate, _BANDS, top)
    bands = powers @ matrix
    floor = bands.amax(dim=(1, 2), keepdim=True) * _QUIETEST + _SILENCE
    levels = (bands + floor).log()  # [n, time, band]
    groups = {"onset": _onset(levels), "spectrum": _spectrum(waves, rate, top, hold)}
    if hold >= _MODULATION + 0.1:
        centres = _centres(powers, matrix, bands, floor)
        groups["modulation"] = _modulation(torch.cat([levels, centres], dim=2), hold)
    if hold >= 3 * _DECAY_STEP:
        groups["decay"] = _decay(levels, hold)
    if hold >= _FINE:
        groups["fine"] = _fine(waves, rate, top, hold)
    if seconds >= hold + 0.1:
        groups["release"] = _release(levels, hold)
    return groups


def _frame_powers(waves: Tensor, rate: int, times: NDArray) -> Tensor:
    """Power spectra `[n, time, freq]` of windows centred at `times`, which may be no whole hops."""
    length = round(_WINDOW * rate)
    size = 1 << (length - 1).bit_length()
    padded = torch.nn.functional.pad(waves, (length // 2, length))
    starts = torch.from_numpy(np.rint(times * rate).astype(np.int64))
    frames = padded[:, starts[:, None] + torch.arange(length)]
    window = torch.hann_window(length)
    spectra = torch.fft.rfft(frames * (window / window.sum()), size)
    return torch.view_as_real(spectra).square().sum(-1)


@lru_cache(maxsize=32)
def _mel_bands(bins: int, rate: int, bands: int, top: float) -> Tensor:
    """Triangles that overlap by half, `[bins, bands]`, of sum 1; never narrower than a bin."""
    edges = mel_to_hertz(np.linspace(hertz_to_mel(_LOWEST), hertz_to_mel(top), bands + 2))
    hertz = np.linspace(0, rate / 2, bins)
    width = hertz[1]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (hertz[:, None] - lower) / np.maximum(centre - lower, width)
    falling = (upper - hertz[:, None]) / np.maximum(upper - centre, width)
    matrix = np.clip(np.minimum(rising, falling), 0, None)
    nearest = np.abs(hertz[:, None] - centre).argmin(axis=0)
    matrix[nearest, np.arange(bands)] = np.maximum(matrix[nearest, np.arange(bands)], 1e-3)
    return torch.from_numpy((matrix / matrix.sum(axis=0)).astype(np.float32))


def _centres(powers: Tensor, matrix: Tensor, bands: Tensor, floor: Tensor) -> Tensor:
    """The centre of each band's power `[n, time, band]`, 1 in its middle: it moves with pitch."""
    number = torch.arange(powers.shape[2], dtype=torch.float32)[:, None]
    number = number / (number * matrix).sum(0)
    return (powers @ (matrix * number) + floor) / (bands + floor)


def _onset(levels: Tensor) -> Tensor:
    first = levels[:, : round(SHORTEST_NOTE / _HOP)]
    return (first - first.mean(dim=1, keepdim=True)).flatten(1)


def _modulation(series: Tensor, hold: float) -> Tensor:
    """Spectra of series `[n, time, some]`, whose straight lines are taken out."""
    count = round(_MODULATION / _HOP)
    begin = round(min(_SETTLED, hold - _MODULATION) / _HOP)
    series = series[:, begin : begin + count]
    ramp = torch.linspace(-1, 1, count)
    ramp = ramp / ramp.square().sum().sqrt()
    series = series - series.mean(dim=1, keepdim=True)
    series = series - ramp[:, None] * torch.einsum("t,ntb->nb", ramp, series)[:, None]
    window = torch.hann_window(count)[:, None]
    power = torch.fft.rfft(series * window / window.sum(), dim=1).abs().square()
    rates = torch.fft.rfftfreq(count, _HOP)
    parts = [
        power[:, (rates >= low) & (rates < high)].mean(dim=1)
        for low, high in itertools.pairwise(_RATES)
    ]
    return (torch.stack(parts, dim=1) + _STEADY).log().flatten(1)


def _spectrum(waves: Tensor, rate: int, top: float, hold: float) -> Tensor:
    size = 1 << round(math.log2(0.064 * rate))
    frames = waves[:, : round(hold * rate)].unfold(1, size, size // 2)
    window = torch.hann_window(size)
    spectra = torch.fft.rfft(frames * (window / window.sum()))
    power = torch.view_as_real(spectra).square().sum(-1).mean(dim=1)
    bands = power @ _mel_bands(power.shape[1], rate, _SPECTRUM_BANDS, top)
    floor = bands.amax(dim=1, keepdim=True) * _QUIETEST + _SILENCE
    levels = (bands + floor).log()
    level = levels.logsumexp(dim=1, keepdim=True)
    return torch.cat([level, levels - level], dim=1)


def _decay(levels: Tensor, hold: float) -> Tensor:
    step = round(_DECAY_STEP / _HOP)
    count = int(hold / _DECAY_STEP) - 1
    steps = levels[:, step : step * (count + 1)].unflatten(1, (count, step)).mean(dim=2)
    return (steps[:, 1:] - steps[:, :1]).flatten(1)


def _release(levels: Tensor, hold: float) -> Tensor:
    up = round(hold / _HOP)
    before = levels[:, up - round(0.1 / _HOP) : up].mean(dim=1, keepdim=True)
    places = [up + round(after / _HOP) for after in _RELEASE]
    places = [place for place in places if place < levels.shape[1]]
    return (levels[:, places] - before).flatten(1)


def _fine(waves: Tensor, rate: int, top: float, hold: float) -> Tensor:
    count, begin = round(_FINE * rate), round(min(_SETTLED, hold - _FINE) * rate)
    spectra = torch.fft.rfft(waves[:, begin : begin + count] * torch.hann_window(count))
    power = torch.view_as_real(spectra).square().sum(-1)
    # A bin of 1 Hz holds far less of noise than a band, and more of a partial.
    floor = power.amax(dim=1, keepdim=True) * _QUIETEST * 1e-5 + _SILENCE * count
    levels = (power + floor).log() / 2
    trend = torch.nn.functional.avg_pool1d(
        levels[:, None], _TREND, 1, _TREND // 2, count_include_pad=False
    )
    rough = levels - trend[:, 0]
    edges = mel_to_hertz(np.linspace(hertz_to_mel(_LOWEST), hertz_to_mel(top), _FINE_BANDS + 1))
    bins = np.rint(edges * count / rate).astype(int)
    parts = []
    for low, high in itertools.pairwise(bins):
        band = levels[:, low:high]
        parts += [
            band.std(dim=1),
            band.diff(dim=1).abs().mean(dim=1),
            rough[:, low:high].std(dim=1),
        ]
    return torch.stack(parts, dim=1)
