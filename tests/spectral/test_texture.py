"""Tone and noise told apart, and put together again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.evaluation.listeners.steadiness import steps as measured_steps
from gansynth.spectral.texture import Texture, noise_share, partials
from gansynth.spectral.transform import (
    specgrams_to_stfts,
    stfts_to_specgrams,
    stfts_to_waves,
    waves_to_stfts,
)

RATE, SAMPLES, N_FFT, FRAMES = 16000, 16000, 1024, 63


def tone(hertz: float = 440.0, harmonics: int = 5) -> Tensor:
    time = torch.arange(SAMPLES) / RATE
    parts = [(2 * math.pi * hertz * k * time + k).sin() / k for k in range(1, harmonics + 1)]
    return 0.2 * torch.stack(parts).sum(dim=0)[None]


def hiss(level: float = 0.1) -> Tensor:
    return level * torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(1))


def specgram(waves: Tensor) -> tuple[Tensor, Tensor]:
    """Log magnitude and phase steps in radians."""
    both = stfts_to_specgrams(waves_to_stfts(waves, N_FFT, FRAMES))
    return both[..., 0], both[..., 1] * math.pi


def wave(logarithm: Tensor, turn: Tensor) -> Tensor:
    specgrams = torch.stack([logarithm, turn / math.pi], dim=-1)
    return stfts_to_waves(specgrams_to_stfts(specgrams), SAMPLES)


def put_together(waves: Tensor, share: Tensor | float) -> Tensor:
    logarithm, turn = specgram(waves)
    share = torch.as_tensor(share).expand(logarithm.shape)
    return wave(*Texture(FRAMES, N_FFT // 2)(logarithm, turn, share, torch.tensor([5])))


def heard(waves: Tensor, values: Tensor) -> float:
    """Mean of values where waves sound, edges left out."""
    level = specgram(waves)[0]
    chosen = (level > level.max() - math.log(100))[:, 6:-6]
    return float(values[:, 6:-6][chosen].mean())


def test_a_tone_is_none_and_white_noise_is_all_noise() -> None:
    assert heard(tone(), noise_share(*specgram(tone()))) == pytest.approx(0, abs=0.01)
    assert heard(hiss(), noise_share(*specgram(hiss()))) == pytest.approx(1, abs=0.06)


def test_a_breath_over_a_tone_shows_between_its_partials() -> None:
    share = noise_share(*specgram(tone() + hiss(0.01)))[0, 20:-20].mean(dim=0)
    hertz = torch.arange(1, N_FFT // 2 + 1) * RATE / N_FFT
    on_partial = (hertz - 440).abs() < 20
    between = ((hertz - 660).abs() < 40) | (hertz > 4000)
    assert float(share[on_partial].mean()) < 0.05
    assert float(share[between].mean()) > 0.7


def test_a_steady_tone_comes_back_as_it_was() -> None:
    before, after = tone(), put_together(tone(), 0.0)
    inside = slice(2000, -2000)
    spectra = [np.abs(np.fft.rfft(w[0, inside].numpy() * np.hanning(SAMPLES - 4000)))
               for w in (before, after)]  # fmt: skip
    assert np.abs(spectra[0] - spectra[1]).max() < 0.03 * spectra[0].max()


def test_partials_whose_bins_drift_apart_keep_their_level() -> None:
    logarithm, turn = specgram(tone())
    random = torch.Generator().manual_seed(2)
    # What a network does: every bin's step a little off, so that neighbours lose each other.
    drifting = turn + 0.08 * torch.randn(1, 1, turn.shape[2], generator=random)
    share = torch.zeros_like(turn)
    locked = Texture(FRAMES, N_FFT // 2)(logarithm, drifting, share, torch.tensor([0]))
    level = float(tone()[0, 4000:].square().mean().sqrt())
    plain, mended = (w[0, 4000:].square().mean().sqrt() for w in (wave(logarithm, drifting),
                                                                   wave(*locked)))  # fmt: skip
    assert float(plain) < 0.85 * level
    assert float(mended) == pytest.approx(level, rel=0.08)


def test_noise_is_drawn_anew_and_flutters_as_noise_does() -> None:
    logarithm, turn = specgram(hiss())
    smooth = torch.full_like(logarithm, float(logarithm.median()))  # all that can be foreseen
    share = torch.ones_like(smooth)
    made = wave(*Texture(FRAMES, N_FFT // 2)(smooth, turn, share, torch.tensor([0])))
    real, drawn = (measured_steps(w, N_FFT).magnitude for w in (hiss(), made))
    assert float(drawn) == pytest.approx(float(real), rel=0.06)
    assert float(made.std()) == pytest.approx(0.1, rel=0.06)
    other = wave(*Texture(FRAMES, N_FFT // 2)(smooth, turn, share, torch.tensor([9])))
    assert abs(float(torch.corrcoef(torch.cat([made, other]))[0, 1])) < 0.1


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40))
def test_every_bin_belongs_to_a_bin(level: list[float]) -> None:
    found = partials(torch.tensor([level]))
    assert found.shape == (1, len(level))
    assert bool(((found >= 0) & (found < len(level))).all())
    # What bins belong to belongs to itself, and is near.
    assert torch.equal(found[0][found[0]], found[0])
    assert bool(((found[0] - torch.arange(len(level))).abs() <= 2).all())


def test_bins_belong_to_the_nearest_peak_if_it_is_near() -> None:
    level = torch.tensor([[0, 1, 5, 1, 0, 1, 7, 1, 0.5, 0, 0]])
    assert partials(level).tolist() == [[2, 2, 2, 2, 2, 6, 6, 6, 6, 9, 10]]
