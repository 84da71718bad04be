"""Waves to specgrams and back for every data type, size and rate; phase, matrices, gradients."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drawing import large_examples
from gansynth.config import Config
from gansynth.spectral import mel, transform
from gansynth.spectral.representation import BandMatrix, Representation

FRAMES = 32
SIZES = [64, 128, 256, 512, 1024]
RATES = [16_000, 44_100, 48_000]
SPECTRAL = ["mel", "linear", "phase"]


def configure(data_type: str, bins: int = 256, rate: int = 16_000, **changes: Any) -> Config:
    """Images of 32 frames; the clip is an odd number of samples shorter than what they cover."""
    size: dict[str, Any] = {
        "start_height": FRAMES // 4,
        "start_width": bins // 4,
        "num_resolutions": 3,
        "audio_length": bins // 2 * (FRAMES - 1) + 2 * bins - 2 * (bins // 4) - 13,
    }
    if data_type == "wave":
        size = {"start_height": 64, "start_width": 1, "num_resolutions": 3, "scale_base": 4}
        size |= {"scale_mode": "H", "audio_length": 1001}
    return Config(data_type=data_type, sample_rate=rate, **{**size, **changes})


def tones(config: Config, notes: int = 2) -> Tensor:
    """Float32 [notes, samples]: partials spread over the spectrum, away from DC and Nyquist."""
    time = np.arange(config.audio_length)
    waves = np.zeros((notes, len(time)))
    for note in range(notes):
        for partial, share in enumerate([0.2, 0.31, 0.53, 0.77]):
            cycles = (share + 0.01 * note) / 2
            waves[note] += np.cos(2 * np.pi * cycles * time + partial) / (partial + 1)
    return torch.tensor(waves * 0.4, dtype=torch.float32)


def snr(wave: Tensor, other: Tensor) -> float:
    """Signal to noise in dB over the last axis, the worst of the batch."""
    noise = (wave - other).square().sum(-1)
    return float((10 * torch.log10(wave.square().sum(-1) / noise)).min())


# Round trips


def there_and_back(config: Config) -> tuple[Tensor, Tensor]:
    """Waves, and what comes of them through specgrams of the right shape."""
    representation = Representation(config)
    waves = tones(config)
    specgrams = representation.waves_to_specgrams(waves)
    back = representation.specgrams_to_waves(specgrams)
    assert specgrams.shape == (2, FRAMES, config.final_shape[1], 2)
    assert specgrams.dtype == back.dtype == torch.float32
    assert back.shape == waves.shape
    return waves, back


@pytest.mark.parametrize("data_type", ["linear", "phase"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("bins", SIZES)
def test_linear_specgrams_give_the_wave_back(data_type: str, rate: int, bins: int) -> None:
    config = configure(data_type, bins, rate)
    waves, back = there_and_back(config)
    inside = slice(2 * bins, -2 * bins)
    assert snr(waves[:, inside], back[:, inside]) > 80


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("bins", SIZES)
def test_mel_specgrams_give_a_like_spectrum_back(rate: int, bins: int) -> None:
    config = configure("mel", bins, rate)
    waves, back = there_and_back(config)
    # Mel bands at the top are wider than a bin, so that partials smear there.
    before, after = (
        transform.waves_to_stfts(w, 2 * bins, FRAMES)[:, 4:-4].abs().mean(1) for w in (waves, back)
    )
    likeness = torch.cosine_similarity(before, after, dim=-1)
    assert likeness.min() > 0.95


def test_waves_are_their_own_exact_specgrams() -> None:
    config = configure("wave")
    representation = Representation(config)
    waves = torch.randn(2, 1001, generator=torch.Generator().manual_seed(0))
    specgrams = representation.waves_to_specgrams(waves)
    assert specgrams.shape == (2, 1024, 1, 2)
    assert torch.equal(specgrams[..., 0], specgrams[..., 1])
    assert torch.equal(specgrams[:, 11:-12, 0, 0], waves)
    assert specgrams[:, :11].count_nonzero() == specgrams[:, -12:].count_nonzero() == 0
    assert torch.equal(representation.specgrams_to_waves(specgrams), waves)


@pytest.mark.parametrize("data_type", [*SPECTRAL, "wave"])
@pytest.mark.parametrize("extra", [-101, 100])
def test_other_lengths_are_cropped_or_padded(data_type: str, extra: int) -> None:
    config = configure(data_type)
    representation = Representation(config)
    waves = torch.randn(1, config.audio_length + extra, generator=torch.Generator().manual_seed(1))
    fitted = transform.crop_or_pad(waves, config.audio_length)
    expected = representation.waves_to_specgrams(fitted)
    assert torch.equal(representation.waves_to_specgrams(waves), expected)


@pytest.mark.parametrize("data_type", [*SPECTRAL, "wave"])
def test_notes_of_a_batch_do_not_touch_each_other(data_type: str) -> None:
    config = configure(data_type)
    representation = Representation(config)
    waves = tones(config, 3)
    specgrams = representation.waves_to_specgrams(waves)
    back = representation.specgrams_to_waves(specgrams)
    for note in range(3):
        alone = representation.waves_to_specgrams(waves[note : note + 1])
        # Phases of silent bins are noise: compare what is heard.
        torch.testing.assert_close(alone[0, ..., 0], specgrams[note, ..., 0], atol=1e-3, rtol=0)
        torch.testing.assert_close(
            representation.specgrams_to_waves(specgrams[note : note + 1])[0],
            back[note],
            atol=1e-5,
            rtol=0,
        )


@settings(deadline=None)
@given(samples=st.integers(0, 40), length=st.integers(1, 40))
def test_crop_or_pad_cuts_the_end_and_pads_the_odd_zero_in_front(samples: int, length: int) -> None:
    wave = np.arange(1, samples + 1)
    if samples >= length:
        expected = wave[:length]
    else:
        behind = (length - samples) // 2
        expected = np.r_[[0] * (length - samples - behind), wave, [0] * behind]
    fitted = transform.crop_or_pad(torch.tensor(wave, dtype=torch.float32)[None], length)
    assert fitted[0].tolist() == expected.tolist()


# STFT


def test_frames_end_with_the_last_sample() -> None:
    n_fft, frames, samples = 64, 9, 170
    wave = np.random.default_rng(0).standard_normal(samples)
    padded = np.r_[np.zeros(n_fft * frames), wave]
    window = np.sin(np.pi * np.arange(n_fft) / n_fft) ** 2
    expected = []
    for back in reversed(range(frames)):
        end = len(padded) - back * n_fft // 4
        expected.append(np.fft.rfft(padded[end - n_fft : end] * window)[1:])
    stfts = transform.waves_to_stfts(torch.tensor(wave, dtype=torch.float32)[None], n_fft, frames)
    assert stfts.shape == (1, frames, n_fft // 2)
    assert stfts.dtype == torch.complex64
    np.testing.assert_allclose(stfts[0], np.array(expected), atol=1e-5)


def test_overlap_add_is_exact_inside_and_fades_at_the_end() -> None:
    n_fft, frames, samples = 64, 36, 600
    time = torch.arange(samples)
    wave = torch.cos(2 * math.pi * 0.2 * time)[None]
    stfts = transform.waves_to_stfts(wave, n_fft, frames)
    back = transform.stfts_to_waves(stfts, samples)
    torch.testing.assert_close(back[:, 64:-48], wave[:, 64:-48], atol=1e-3, rtol=0)
    ends = [float(back[0, -n:].abs().max()) for n in (48, 32, 16, 1)]
    assert ends == sorted(ends, reverse=True)
    assert ends[-1] < 1e-3


# Phase


@settings(deadline=None, max_examples=200)
@given(angle=st.floats(-200, 200, width=32))
def test_wrapped_phase_is_the_same_angle_within_half_a_turn(angle: float) -> None:
    wrapped = float(transform.wrap_phase(torch.tensor(angle)))
    assert abs(wrapped) <= np.float32(math.pi)
    turns = (angle - wrapped) / (2 * math.pi)
    assert turns == pytest.approx(round(turns), abs=1e-5)


@pytest.mark.parametrize(("angle", "wrapped"), [(math.pi, math.pi), (-math.pi, -math.pi), (0, 0)])
def test_half_a_turn_keeps_its_sign(angle: float, wrapped: float) -> None:
    result = transform.wrap_phase(torch.tensor([angle], dtype=torch.float32))
    assert torch.equal(result, torch.tensor([wrapped], dtype=torch.float32))


@settings(deadline=None, max_examples=30)
@given(
    share=st.floats(0.05, 0.95),
    rate=st.sampled_from(RATES),
    bins=st.sampled_from([64, 256]),
)
def test_instantaneous_frequency_of_a_tone(share: float, rate: int, bins: int) -> None:
    config = configure("linear", bins, rate)
    hertz = share * rate / 2
    wave = torch.cos(2 * math.pi * hertz / rate * torch.arange(config.audio_length).double())
    specgrams = Representation(config).waves_to_specgrams(wave.float()[None])
    middle = specgrams[0, 6:-6]
    loudest = middle[..., 0].mean(0).argmax()
    frequency = middle[:, loudest, 1]
    assert (frequency.abs() <= 1).all()
    expected = 2 * hertz * config.hop_length / rate
    off = torch.remainder(frequency - expected + 1, 2) - 1
    assert off.abs().max() < 1e-3


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.floats(-3.125, 3.125, width=32), min_size=3, max_size=3), min_size=1))
def test_integrating_the_frequency_gives_the_phase_back(phase: list[list[float]]) -> None:
    angles = torch.tensor(phase)[None]
    frequency = transform.instantaneous_frequency(angles)
    assert torch.equal(frequency[:, 0], angles[:, 0] / math.pi)
    assert (frequency.abs() <= 1 + 1e-6).all()
    back = transform.integrated_phase(frequency)
    torch.testing.assert_close(torch.cos(back), torch.cos(angles), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.sin(back), torch.sin(angles), atol=1e-3, rtol=0)


def test_raw_phase_is_in_units_of_pi() -> None:
    stfts = torch.tensor([[[1 + 0j, 2j, -3 + 0j, -4j]]])
    specgrams = transform.stfts_to_specgrams(stfts, raw_phase=True)
    np.testing.assert_allclose(specgrams[0, 0, :, 0].exp(), [1, 2, 3, 4], rtol=1e-5)
    np.testing.assert_allclose(specgrams[0, 0, :, 1], [0, 0.5, 1, -0.5], atol=1e-6)


# Mel


def test_the_mel_scale_is_the_one_of_htk() -> None:
    assert mel.hertz_to_mel(1000.0) == pytest.approx(999.99, abs=0.02)
    assert mel.hertz_to_mel(0.0) == 0
    hertz = np.linspace(0, 24_000, 97)
    np.testing.assert_allclose(mel.mel_to_hertz(mel.hertz_to_mel(hertz)), hertz, atol=1e-8)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("bins", [2, *SIZES])
def test_mel_matrices_are_triangles_of_some_width(bins: int, rate: int) -> None:
    forward, inverse = mel.linear_to_mel(bins, rate), mel.mel_to_linear(bins, rate)
    assert forward.shape == inverse.shape == (bins, bins)
    assert np.isfinite(inverse).all()
    assert forward.min() == 0
    assert forward.max() <= 1 + 1e-9
    assert not forward[0].any()
    centres = [row.argmax() for row in forward.T if row.any()]
    assert centres == sorted(centres)
    with pytest.raises(ValueError, match="read-only"):
        forward[0, 0] = 1.0


# BandMatrix


@st.composite
def sparse_matrices(draw: st.DrawFn) -> np.ndarray:
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kept = generator.random((rows, columns)) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    kept[:, draw(st.integers(0, columns - 1))] = False
    return np.where(kept, generator.standard_normal((rows, columns)), 0.0)


@large_examples()
@given(matrix=sparse_matrices(), shape=st.lists(st.integers(1, 3), max_size=3))
def test_a_band_matrix_multiplies_and_differentiates_as_the_dense_one(
    matrix: np.ndarray, shape: list[int]
) -> None:
    dense = torch.tensor(matrix, dtype=torch.float32)
    x = torch.randn(*shape, len(matrix), generator=torch.Generator().manual_seed(2))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    product, expected = BandMatrix(matrix)(ours), theirs @ dense
    torch.testing.assert_close(product, expected, atol=1e-5, rtol=1e-5)
    product.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)


# Gradients


@pytest.mark.parametrize("data_type", [*SPECTRAL, "wave"])
def test_gradients_reach_the_wave_and_the_specgram(data_type: str) -> None:
    config = configure(data_type, 64)
    representation = Representation(config)
    waves = tones(config).requires_grad_()
    specgrams = representation.waves_to_specgrams(waves)
    leaf = specgrams.detach().clone().requires_grad_()
    specgrams.square().sum().backward()
    representation.specgrams_to_waves(leaf).square().sum().backward()
    assert waves.grad is not None
    assert leaf.grad is not None
    for gradient in (waves.grad, leaf.grad):
        assert torch.isfinite(gradient).all()
        assert gradient.count_nonzero() > 0.4 * gradient.numel()


@pytest.mark.parametrize("data_type", [*SPECTRAL, "wave"])
def test_silence_has_finite_specgrams_and_gradients_and_stays_silent(data_type: str) -> None:
    config = configure(data_type, 64)
    representation = Representation(config)
    waves = torch.zeros(1, config.audio_length, requires_grad=True)
    specgrams = representation.waves_to_specgrams(waves)
    back = representation.specgrams_to_waves(specgrams)
    assert torch.isfinite(specgrams).all()
    assert back.abs().max() < 1e-3
    (specgrams.square().sum() + back.sum()).backward()
    assert waves.grad is not None
    assert torch.isfinite(waves.grad).all()


@pytest.mark.parametrize("raw_phase", [True, False])
def test_the_gradient_of_log_magnitude_is_that_of_mathematics(raw_phase: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    stfts = torch.randn(1, 3, 2, dtype=torch.complex128, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: transform.specgrams_to_stfts(
            transform.stfts_to_specgrams(x, raw_phase=raw_phase), raw_phase=raw_phase
        ).abs(),
        (stfts,),
    )
