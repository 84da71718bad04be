"""Steadiness: 0 for a steady tone, more with flutter, whatever the level."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.listeners.steadiness import steps
from gansynth.spectral.transform import stfts_to_waves, waves_to_stfts

SAMPLES = 16_000


def sine(hertz: float = 440.0) -> Tensor:
    """One second with soft ends, so that only what happens between them counts."""
    time = torch.arange(SAMPLES) / 16_000
    ends = (time.minimum(1 - time) / 0.1).clamp(max=1)
    return (0.5 * ends * torch.sin(2 * math.pi * hertz * time))[None]


def noise(seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(seed))


def tremolo(depth: float) -> Tensor:
    time = torch.arange(SAMPLES) / 16_000
    return sine() * (1 - depth * (0.5 + 0.5 * torch.sin(2 * math.pi * 6 * time)))


def test_a_steady_tone_has_no_steps() -> None:
    time = torch.arange(SAMPLES, dtype=torch.float64) / 16_000
    tones = torch.sin(2 * math.pi * torch.tensor([[110.0], [440], [3001]]) * time).float()
    magnitude, frequency = steps(tones)
    assert magnitude.max() < 0.01
    assert frequency.max() < 0.01


def test_noise_steps_most_and_tremolo_lies_between() -> None:
    calm, shaken, wild = (steps(wave) for wave in (sine(), tremolo(0.9), noise()))
    assert calm.magnitude < shaken.magnitude < wild.magnitude
    assert wild.magnitude == pytest.approx(0.56, abs=0.03)
    assert wild.frequency == pytest.approx(0.33, abs=0.03)
    assert calm.frequency < 0.1


def test_vibrato_steps_in_frequency() -> None:
    time = torch.arange(SAMPLES) / 16_000
    ends = (time.minimum(1 - time) / 0.1).clamp(max=1)
    phase = 2 * math.pi * 880 * time + 8 * torch.sin(2 * math.pi * 6 * time)
    assert steps((0.5 * ends * torch.sin(phase))[None]).frequency > 2 * steps(sine(880)).frequency


def test_a_generators_flutter_raises_it_steadily() -> None:
    stfts = waves_to_stfts(sine(), 2048, 32)
    gains = torch.randn(1, 32, 1, generator=torch.Generator().manual_seed(3))
    found = [
        float(steps(stfts_to_waves(stfts * torch.exp(depth * gains), SAMPLES)).magnitude)
        for depth in (0, 0.2, 0.5, 1.0)
    ]
    assert found == sorted(found)
    assert found[-1] > 2 * found[0]


@given(st.floats(0.01, 100))
@settings(deadline=None, max_examples=20)
def test_level_makes_no_difference(gain: float) -> None:
    waves = torch.cat([tremolo(0.5), noise()])
    torch.testing.assert_close(steps(gain * waves), steps(waves), rtol=1e-3, atol=1e-4)


def test_an_abrupt_end_counts_and_is_bounded() -> None:
    cut = sine()
    cut[:, 10_000:] = 0
    magnitude = steps(cut).magnitude
    assert steps(sine()).magnitude < magnitude < math.log(1000)


def test_silence_and_what_is_not_finite_have_no_steps() -> None:
    waves = torch.cat([sine(), torch.zeros(1, SAMPLES), sine(), 5e-4 * sine(), sine()])
    waves[2, 7], waves[4, 9] = math.nan, math.inf
    found = steps(waves)
    for values in found:
        assert values.isnan().tolist() == [False, True, True, True, True]
    torch.testing.assert_close(found.magnitude[:1], steps(sine()).magnitude)


def test_the_frame_follows_the_geometry() -> None:
    """A frame of 8 samples, 2 apart, as of the smallest models."""
    found = steps(noise()[:, :28], n_fft=8)
    assert found.magnitude.isfinite().all()
    assert found.frequency.isfinite().all()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match=r"waves of shape \[16000\]: must be \[notes, samples\]"):
        steps(noise()[0])
    with pytest.raises(InputError, match=r"n_fft=10: must be a multiple of 4"):
        steps(noise(), n_fft=10)
