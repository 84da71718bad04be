"""Notes held longer than the model holds them: the steady part goes on, the release moves along.

A note of the training data is held for 3 s, then let go. To hold it longer, its spectrogram is
walked through forwards, as it is, but again and again the walk jumps back to a frame that sounds
alike, until there is just time for what is left up to the release:

    source   attack ─┬──────── steady ────────┬─ release
                     │   2 <───────────── 1   │        jump from frame 1 to frame 2,
                     │        4 <─────── 3    │        walk on to 3, jump to 4,
                     │                        │        walk on into the release
    result   attack ─┴─────── 1·2─────── 3·4──┴─ release

Between jumps the phase of each bin advances by its own instantaneous frequency, so pitch, vibrato
and noise are the note's own. At a jump each spectral peak takes up the phase that has been reached
at its place, and the bins around it keep their phases relative to it: identity phase locking, as in
Laroche & Dolson 1999, "Improved phase vocoder time-scale modification of audio". Jumps are found by
comparing each frame with each other, as in Schödl et al. 2000, "Video textures". A sound that
decays goes on decaying, each frequency at its own rate. In a sound that doesn't, slow changes are
taken out where they are repeated, so that the level stays where it is at the first jump.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gansynth.errors import InputError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_FRAME = 0.128  # seconds: 2048 samples at 16 kHz, enough to part the partials of the lowest notes
_OVERLAP = 4  # frames over each sample
_ATTACK = 1 / 3  # of the hold: what comes before isn't repeated
_FEWEST = 24  # frames of a steady part: with two of the shortest jumps any length can be reached
_SHORTEST = 10  # frames of a jump, 0.3 s, unless less is wanted: shorter loops buzz
_CONTEXT = 2  # frames around both ends of a jump that have to sound alike
_COMPRESSION = 0.5  # exponent of magnitudes in that comparison, so that weak partials count
_EFFORT = 0.25  # what a jump costs even between equal frames: few long ones are better
_VARIETY = 0.5  # of a jump's cost, by chance: the same jump each time is heard as a loop
_BAND = 9  # bins whose power is added to measure levels, so that vibrato doesn't change them
_DECIBEL = math.log(10) / 20  # in nats of magnitude
# Measured on 4,473 notes of 75 instruments: struck and plucked ones fall faster than the first, or
# faster than the second along a line that explains this share of their level's variance.
_STEEP, _SLIGHT, _STRAIGHT = 4.0, 0.3, 0.985  # dB/s, dB/s, of 1
_FRAMES_AT_ONCE = 256


class _Jump(NamedTuple):
    """From behind one frame of the steady part to behind another."""

    leave: int  # frame
    land: int  # frame
    back: int  # samples


def can_extend(held: float, sample_rate: int) -> bool:
    """Whether a note that is held for so many seconds has enough of a steady part to go on with.

    From about 1.4 s on it has.
    """
    return _steady_part(held, sample_rate)[1] >= _FEWEST


def extend(wave: ArrayLike, sample_rate: int, held: float, seconds: float) -> Floats:
    """Hold a note longer.

    Up to the first jump, at about two thirds of the hold or later, samples stay as they are. The
    result depends on the arguments alone. Ten seconds take about 25 ms on one core.

    Parameters
    ----------
    wave : float [samples]
        The note, its release included.
    sample_rate : int
        Hz.
    held : float
        Seconds after which it is let go in `wave`.
    seconds : float
        Seconds after which it is let go in the result; no more than `held` changes nothing.

    Returns
    -------
    float32 [samples + (seconds - held) * sample_rate], rounded

    Raises
    ------
    InputError
        If the wave is no [samples] or holds NaN or infinite values, if it is shorter than `held`,
        if `held` leaves no steady part (see `can_extend`), or if `seconds` is no number.
    """
    samples = _checked(wave, sample_rate, held, seconds)
    more = round((seconds - held) * sample_rate)
    if more <= 0:
        return samples.copy()
    n_fft = _frame_length(sample_rate)
    hop = n_fft // _OVERLAP
    first, frames = _steady_part(held, sample_rate)
    magnitudes = np.abs(_spectra(samples, first + hop * np.arange(frames), n_fft))
    course, slope = _trend(magnitudes, hop / sample_rate)
    jumps = _choose_jumps(_costs(magnitudes * np.exp(-course)), more, hop)
    leave = jumps[0].leave
    # The first frame that overlaps with the one behind the first jump
    begin = leave - (_OVERLAP - 2)
    starts = _walk(jumps, begin, first, len(samples), hop)
    # The frame of the steady part whose level a frame has; the release keeps that of the last one.
    place = (starts - first) / hop
    rows = np.minimum(np.rint(place), frames - 1).astype(np.int64)
    since = np.arange(len(starts)) - (leave - begin) - np.maximum(place - (frames - 1), 0)
    rows[since <= 0] = leave
    gains = _Gains(course[leave] - course, slope, rows, np.maximum(since, 0).astype(np.float32))
    made = _render(samples, starts, gains, n_fft)
    intact = first + (leave + 1) * hop
    made = made[intact - (first + begin * hop) :]
    return np.concatenate([samples[:intact], made[: len(samples) + more - intact]])


def extend_each(
    waves: Iterable[Floats], sample_rate: int, held: float, seconds: Sequence[float]
) -> Iterator[Floats]:
    """Notes one by one, each as it is or, where it is wanted for more than `held`, held longer.

    Arguments and errors as for `extend`; `seconds` has one number for each note.
    """
    for wave, wanted in zip(waves, seconds, strict=True):
        yield wave if wanted <= held else extend(wave, sample_rate, held, wanted)


def _checked(wave: ArrayLike, sample_rate: int, held: float, seconds: float) -> Floats:
    samples = np.asarray(wave, dtype=np.float32)
    if samples.ndim != 1:
        raise InputError(f"wave of shape {[*samples.shape]}: must be one note [samples].")
    if not np.isfinite(samples).all():
        raise InputError("wave: holds NaN or infinite values; every sample must be finite.")
    if not sample_rate > 0:
        raise InputError(f"sample_rate={sample_rate}: must be a positive number of Hz.")
    if not math.isfinite(seconds):
        raise InputError(f"seconds={seconds}: must be a number of seconds.")
    if not 0 <= held * sample_rate <= len(samples):
        raise InputError(
            f"held={held}: must be within the wave, which lasts {len(samples) / sample_rate:g} s."
        )
    if seconds > held and not can_extend(held, sample_rate):
        raise InputError(
            f"held={held}: has no steady part long enough to extend; about 1.4 s are needed."
        )
    return samples


def _frame_length(sample_rate: int) -> int:
    """Samples of a frame, which four hops make up."""
    return _OVERLAP * max(2, round(_FRAME / _OVERLAP * sample_rate))


def _steady_part(held: float, sample_rate: int) -> tuple[int, int]:
    """First sample of the steady part, and how many frames lie in it.

    Half a frame in front of the release is left out: a model's notes change a little before it.
    """
    n_fft = _frame_length(sample_rate)
    first = round(_ATTACK * held * sample_rate)
    last = round(held * sample_rate) - n_fft // 2 - n_fft
    return first, max(0, (last - first) // (n_fft // _OVERLAP) + 1)


def _window(n_fft: int) -> Floats:
    """Periodic Hann window; the squares of four that overlap add up to 1.5."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def _spectra(samples: Floats, starts: NDArray[np.int64], n_fft: int) -> NDArray[np.complex64]:
    """Spectra of the frames that begin at `starts`, `[frames, bins]`; zeros follow the samples."""
    padded = np.pad(samples, (0, max(0, int(starts.max()) + n_fft - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[starts]
    return np.fft.rfft(frames * _window(n_fft)).astype(np.complex64, copy=False)


def _trend(magnitudes: Floats, step: float) -> tuple[Floats, Floats]:
    """The slow course of each bin's level, and how it goes on.

    Parameters
    ----------
    magnitudes : float32 [frames, bins]
    step : float
        Seconds from frame to frame.

    Returns
    -------
    course : float32 [frames, bins]
        In nats: a line if the note decays, otherwise a parabola.
    slope : float32 [bins]
        Nats a frame behind the steady part: 0 unless the note decays.
    """
    power = np.square(magnitudes, dtype=np.float64)
    floor = 1e-12 * power.sum(axis=1).max() + 1e-30
    sums = np.pad(power, ((0, 0), (_BAND // 2 + 1, _BAND // 2))).cumsum(axis=1)
    bands = np.maximum(sums[:, _BAND:] - sums[:, :-_BAND], 0)
    levels, level = (0.5 * np.log(p + floor) for p in (bands, power.sum(axis=1, keepdims=True)))

    time = np.linspace(-1, 1, len(power))
    basis = time[:, None]
    line, share = _fit(level, basis)
    fall = float(line[0, 0] - line[-1, 0]) / (len(power) - 1) / step / _DECIBEL
    decays = fall > _STEEP or (fall > _SLIGHT and share[0] > _STRAIGHT)
    if not decays:
        basis = np.stack([time, time**2 - np.mean(time**2)], axis=1)
        line, share = _fit(level, basis)
    courses, shares = _fit(levels, basis)
    # As far as a bin fluctuates about its own course, it follows the note's.
    courses = shares * courses + (1 - shares) * (line if decays else share * line)
    slopes = np.zeros(courses.shape[1])
    if decays:
        slopes = np.minimum((courses[-1] - courses[0]) / (len(power) - 1), 0)
        courses = slopes * np.arange(len(power))[:, None]
    return courses.astype(np.float32), slopes.astype(np.float32)


def _fit(values: Doubles, basis: Doubles) -> tuple[Doubles, Doubles]:
    """Least squares of each column by an orthogonal basis; the share of variance it explains."""
    unit = basis / np.sqrt(np.square(basis).sum(axis=0))
    values = values - values.mean(axis=0)
    fitted = unit @ (unit.T @ values)
    return fitted, np.square(fitted).sum(axis=0) / (np.square(values).sum(axis=0) + 1e-9)


def _costs(magnitudes: Floats) -> Floats:
    """How unlike each two frames and their neighbours are, `[frames, frames]`; 1 on average."""
    level = magnitudes**_COMPRESSION
    products = level @ level.T
    energy = products.diagonal()
    distance = np.maximum(energy[:, None] + energy - 2 * products, 0)
    total = np.zeros_like(distance)
    for shift in range(-_CONTEXT, _CONTEXT + 1):
        total += np.roll(distance, (shift, shift), (0, 1))
    return total / (total.mean() + np.float32(1e-30))


def _choose_jumps(costs: Floats, more: int, hop: int) -> list[_Jump]:
    """Jumps that take `more` samples together, from cheap pairs of frames `[frames, frames]`."""
    place = np.arange(len(costs))
    length = place[:, None] - place
    known = (place >= _CONTEXT) & (place < len(costs) - _CONTEXT)  # frames with neighbours
    allowed = known[:, None] & known & (length > 0)
    price = (costs + _EFFORT) / np.maximum(length, 1)
    random = np.random.default_rng(0)
    left = -(-more // hop)  # frames; the last jump is shorter by what that is too much
    earliest = len(costs) // 2
    jumps = []
    while left:
        fits = allowed & (place[:, None] >= earliest) & (length <= left)
        if left >= _SHORTEST:
            rest = left - length
            fits &= (length >= _SHORTEST) & ((rest == 0) | (rest >= _SHORTEST))
        else:
            fits &= length == left
        drawn = price * (1 + _VARIETY * random.random(price.shape))
        leave, land = divmod(int(np.where(fits, drawn, np.inf).argmin()), len(costs))
        left -= leave - land
        jumps.append(_Jump(leave, land, (leave - land) * hop - (0 if left else -more % hop)))
        earliest = land + _OVERLAP  # no more than two pieces sound at once
    return jumps


def _walk(
    jumps: Sequence[_Jump], begin: int, first: int, samples: int, hop: int
) -> NDArray[np.int64]:
    """The sample of the source at which each frame of the result begins, `[frames]`.

    From frame `begin` of the steady part, which starts at sample `first`, to the end of the source.
    """
    pieces = []
    start, frame = first + begin * hop, begin
    for leave, land, back in jumps:
        stop = start + (leave + 1 - frame) * hop
        pieces.append(np.arange(start, stop, hop))
        start, frame = stop - back, land + 1
    return np.concatenate([*pieces, np.arange(start, samples, hop)])


class _Gains(NamedTuple):
    """What brings frames of the source to the level they have in the result, in nats."""

    course: Floats  # [steady frames, bins], what takes a frame to the level at the first jump
    slope: Floats  # [bins], what is added a frame
    rows: NDArray[np.int64]  # [frames], of `course`
    since: Floats  # [frames], frames since the first jump

    def of(self, frames: slice) -> Floats:
        """Factors `[frames, bins]`."""
        return np.exp(self.course[self.rows[frames]] + self.slope * self.since[frames, None])


def _render(
    samples: Floats, starts: NDArray[np.int64], gains: _Gains, n_fft: int
) -> NDArray[np.float32]:
    """Frames of the source, turned in phase and added up, `[(frames + 3) * hop]`."""
    hop = n_fft // _OVERLAP
    window = _window(n_fft) / np.float32(1.5)
    jumps = np.diff(starts, prepend=starts[0] - hop) != hop
    made = np.zeros((len(starts) + _OVERLAP - 1, hop), np.float32)
    rotation = np.ones(n_fft // 2 + 1, np.complex64)
    last = rotation
    for begin in range(0, len(starts), _FRAMES_AT_ONCE):
        block = slice(begin, begin + _FRAMES_AT_ONCE)
        spectra = _spectra(samples, starts[block], n_fft)
        peaks = _nearest_peaks(np.square(spectra.real) + np.square(spectra.imag))
        rotations = np.empty_like(spectra)
        for i, jump in enumerate(jumps[block]):
            if jump:  # the phase that was reached, less that of the frame jumped behind
                reached = spectra[i - 1] if i else last
                landed = _spectra(samples, starts[begin + i, None] - hop, n_fft)[0]
                rotation = _unit(rotation * _unit(reached) * _unit(landed).conj())
            rotation = rotation[peaks[i]]
            rotations[i] = rotation
        last = spectra[-1]
        pieces = np.fft.irfft(spectra * rotations * gains.of(block), n_fft) * window
        for quarter, piece in enumerate(np.moveaxis(pieces.reshape(-1, _OVERLAP, hop), 1, 0)):
            made[begin + quarter :][: len(piece)] += piece
    return made.ravel()


def _unit(values: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """The values on the unit circle; 1 where there is no direction."""
    size = np.abs(values)
    return np.where(size > 0, values / np.where(size > 0, size, 1), 1).astype(np.complex64)


def _nearest_peaks(power: NDArray[Any]) -> NDArray[np.int64]:
    """The bin of the spectral peak nearest to each bin, `[frames, bins]`; itself without one.

    A peak is above the two bins before it and not below the two behind it.
    """
    bins = power.shape[1]
    padded = np.pad(power, ((0, 0), (2, 2)), constant_values=-1)
    peak = power > padded[:, :bins]
    peak &= power > padded[:, 1 : bins + 1]
    peak &= power >= padded[:, 3 : bins + 3]
    peak &= power >= padded[:, 4:]
    place, none = np.arange(bins, dtype=np.int32), np.int32(4 * bins)
    before = np.maximum.accumulate(np.where(peak, place, -none), axis=1)
    behind = np.minimum.accumulate(np.where(peak, place, none)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(place - before <= behind - place, before, behind)
    return np.where(peak.any(axis=1, keepdims=True), nearest, place)
