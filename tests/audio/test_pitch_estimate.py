"""The pitch estimator: every key of the paper's range, hard timbres, and sounds without a pitch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.audio.pitch import estimate_pitch, estimate_pitches
from gansynth.errors import InputError

KEYS = range(24, 97)
RATES = (16_000, 44_100, 48_000)


def tone(pitch: float, rate: int, amplitudes: np.ndarray, seconds: float = 0.5) -> np.ndarray:
    """Partials of these amplitudes below 0.45 of the rate, decaying a little."""
    time = np.arange(round(seconds * rate)) / rate
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    partials = np.arange(1, len(amplitudes) + 1)
    audible = partials * hertz < 0.45 * rate
    phases = np.random.default_rng(round(pitch)).uniform(0, 2 * np.pi, len(amplitudes))
    waves = np.sin(2 * np.pi * hertz * np.outer(partials[audible], time) + phases[audible, None])
    wave = amplitudes[audible] @ waves * np.exp(-time)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


SINE = np.ones(1)
SAW = 1 / np.arange(1, 31)
WEAK_FUNDAMENTAL = np.concatenate([[0.02], 1 / np.arange(2, 31)])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "amplitudes", [SINE, SAW, WEAK_FUNDAMENTAL], ids=["sine", "saw", "weak fundamental"]
)
def test_every_key_is_heard(rate: int, amplitudes: np.ndarray) -> None:
    waves = np.stack([tone(pitch, rate, amplitudes) for pitch in KEYS])
    pitches, confidences = estimate_pitches(waves, rate)
    assert np.abs(pitches - KEYS).max() < 0.1
    assert confidences.min() > 0.85


def test_strong_even_partials_are_no_octave() -> None:
    """As of a plucked string: d' dips to 0.1 at half the period, to 0 at the period."""
    partials = np.where(np.arange(1, 13) % 2 == 0, 1.0, 0.25)
    waves = np.stack([tone(pitch, 16_000, partials) for pitch in range(24, 85)])
    pitches, _ = estimate_pitches(waves, 16_000)
    assert np.abs(pitches - range(24, 85)).max() < 0.1


def test_cents_are_heard() -> None:
    asked = [40.3, 55.5, 71.25, 83.9]
    heard, _ = estimate_pitches(np.stack([tone(p, 16_000, SAW) for p in asked]), 16_000)
    assert np.abs(heard - asked).max() < 0.02


def test_a_high_note_at_a_low_rate_is_heard() -> None:
    """Its period is 3.4 samples."""
    pitch, confidence = estimate_pitch(tone(106, 16_000, SINE), 16_000)
    assert abs(pitch - 106) < 0.05
    assert confidence > 0.95


def noise(exponent: float) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `exponent`."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((8, 32_000)))
    spectrum /= np.maximum(np.arange(spectrum.shape[1]), 1) ** (exponent / 2)
    waves = np.fft.irfft(spectrum)
    return (waves / np.abs(waves).max()).astype(np.float32)


@pytest.mark.parametrize("exponent", [0, 1, 2], ids=["white", "pink", "brown"])
def test_noise_has_no_pitch(exponent: int) -> None:
    pitches, confidences = estimate_pitches(noise(exponent), 16_000)
    assert np.isnan(pitches).all()
    assert confidences.max() < 0.3


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(16_000, np.float32),
        np.full(16_000, 0.3, np.float32),
        np.full(16_000, np.nan, np.float32),
        tone(60, 16_000, SAW)[:2000],
        np.zeros(0, np.float32),
    ],
    ids=["silence", "constant", "not finite", "shorter than a window", "empty"],
)
def test_no_sound_has_no_pitch(samples: np.ndarray) -> None:
    pitch, confidence = estimate_pitch(samples, 16_000)
    assert math.isnan(pitch)
    assert confidence == 0


def test_silence_around_a_note_and_its_offset_do_not_matter() -> None:
    note = tone(50, 16_000, SAW)
    padded = np.concatenate([np.zeros(20_000, np.float32), note, np.zeros(28_000, np.float32)])
    assert abs(estimate_pitch(padded, 16_000).pitch - 50) < 0.02
    assert abs(estimate_pitch(note + 0.4, 16_000).pitch - 50) < 0.02


def test_a_note_that_changes_its_pitch_is_less_certain() -> None:
    halves = np.concatenate([tone(p, 16_000, SAW, seconds=1) for p in (60, 67)])
    assert estimate_pitch(halves, 16_000).confidence < 0.7


def test_int16_and_batches_hear_the_same_as_single_notes() -> None:
    waves = np.stack([tone(pitch, 16_000, SAW) for pitch in range(30, 70)])
    waves[5] = 0
    together = estimate_pitches(np.round(waves * 32767).astype(np.int16), 16_000)
    alone = np.array([estimate_pitch(wave, 16_000) for wave in waves]).T
    np.testing.assert_allclose(together, alone, atol=2e-3)
    assert np.flatnonzero(np.isnan(together[0])).tolist() == [5]


def test_nothing_outside_the_asked_range_is_heard() -> None:
    low, high = 50, 70
    heard = [estimate_pitch(tone(p, 16_000, SINE), 16_000, low, high).pitch for p in (40, 60, 80)]
    assert abs(heard[1] - 60) < 0.02
    assert all(math.isnan(pitch) or low - 1 < pitch < high + 1 for pitch in heard)


@given(
    st.integers(1000, 96_000),
    st.integers(0, 20_000),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1e30),
)
@settings(deadline=None, max_examples=40)
def test_any_sound_gives_a_pitch_in_range_or_none(
    rate: int, samples: int, seed: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.standard_normal(samples)) * rng.integers(0, 2, samples) * scale
    pitch, confidence = estimate_pitch(wave.astype(np.float32), rate)
    assert math.isnan(pitch) or 19 <= pitch <= 111
    assert 0 <= confidence <= 1


def test_bad_arguments_are_named() -> None:
    wave = np.zeros(4000, np.float32)
    with pytest.raises(InputError, match=r"samples of shape \[1, 4000\]: must be one note"):
        estimate_pitch(wave[None], 16_000)
    with pytest.raises(InputError, match=r"waves of shape \[4000\]: must be \[notes, samples\]"):
        estimate_pitches(wave, 16_000)
    with pytest.raises(InputError, match=r"low=5, high=110: low must be 12 or more"):
        estimate_pitch(wave, 16_000, low=5)
    with pytest.raises(InputError, match=r"sample_rate=0: must be a positive number of Hz"):
        estimate_pitch(wave, 0)
