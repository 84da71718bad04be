"""The pooled log-mel space: decibels, silence, and the same point for any rate and length."""

import math

import pytest
import torch
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.listeners.log_mel import BANDS, FLOOR_DB, FRAMES, PooledLogMel


def sine(hertz: float, sample_rate: int = 16_000, seconds: float = 2.0) -> Tensor:
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return torch.sin(2 * math.pi * hertz * time).float()[None]


def rms(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().mean().sqrt())


def test_a_full_scale_sine_is_near_0_db_in_its_band_only() -> None:
    picture = PooledLogMel(16_000, 32_000)(sine(1000)).reshape(FRAMES, BANDS)
    middle = picture[FRAMES // 2]
    # Two triangles share a tone that lies between their centres.
    power = 10 ** (middle / 10)
    assert 10 * math.log10(power.sum()) == pytest.approx(0, abs=0.1)
    assert power.topk(2).values.sum() > 0.99 * power.sum()
    assert middle.min() < -70


def test_halving_the_level_takes_6_db_off_what_sounds() -> None:
    log_mel = PooledLogMel(16_000, 32_000)
    loud, soft = log_mel(sine(1000)), log_mel(0.5 * sine(1000))
    sounding = loud > -20
    assert sounding.any()
    torch.testing.assert_close(
        (loud - soft)[sounding], torch.full_like(loud[sounding], 6.02), atol=0.01, rtol=0
    )


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_silence_and_what_is_not_finite_are_one_point(value: float) -> None:
    log_mel = PooledLogMel(16_000, 8000)
    waves = torch.cat([sine(440, seconds=0.5), torch.zeros(1, 8000)])
    waves[1, 100] = value
    points = log_mel(waves)
    assert (points[1] == FLOOR_DB).all()
    assert points[0].max() > -10  # a neighbour in the batch stays as it is


@pytest.mark.parametrize(("sample_rate", "seconds"), [(48_000, 2.0), (16_000, 4.0)])
def test_rate_and_length_change_little(sample_rate: int, seconds: float) -> None:
    """Bands are wider at a higher rate, but hold the same power all together."""
    waves = sine(440, sample_rate, seconds)
    point = PooledLogMel(sample_rate, waves.shape[1])(waves).reshape(FRAMES, BANDS)
    usual = PooledLogMel(16_000, 32_000)(sine(440)).reshape(FRAMES, BANDS)
    assert point.shape == usual.shape
    powers = [10 * torch.log10((10 ** (x[1:-1] / 10)).sum(dim=1)) for x in (point, usual)]
    torch.testing.assert_close(powers[0], powers[1], atol=0.2, rtol=0)


def test_time_runs_through_the_parts() -> None:
    waves = sine(1000)
    waves[:, 16_000:] = 0
    loudness = PooledLogMel(16_000, 32_000)(waves).reshape(FRAMES, BANDS).max(dim=1).values
    assert loudness[: FRAMES // 2 - 1].min() > -4
    assert loudness[FRAMES // 2 + 2 :].max() == FLOOR_DB


@pytest.mark.parametrize(
    ("sample_rate", "samples"), [(1000, 1), (1000, 5000), (16_000, 28), (384_000, 4000)]
)
def test_any_geometry_gives_finite_points(sample_rate: int, samples: int) -> None:
    log_mel = PooledLogMel(sample_rate, samples)
    noise = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    points = log_mel(noise)
    assert points.shape == (2, PooledLogMel.dimensions)
    assert points.isfinite().all()
    assert rms(points[0], torch.full_like(points[0], FLOOR_DB)) > 1


def test_every_band_hears_noise() -> None:
    for sample_rate in (1000, 2000, 8000, 16_000, 44_100, 192_000):
        noise = torch.randn(1, sample_rate, generator=torch.Generator().manual_seed(1))
        points = PooledLogMel(sample_rate, sample_rate)(noise)
        assert points.min() > -50, sample_rate


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match=r"samples=0: must be 1 or more"):
        PooledLogMel(16_000, 0)
    with pytest.raises(InputError, match=r"sample_rate=10: must be a whole number of Hz"):
        PooledLogMel(10, 100)
    with pytest.raises(InputError, match=r"waves of shape \[100\]: must be \[notes, 100\]"):
        PooledLogMel(16_000, 100)(torch.zeros(100))
