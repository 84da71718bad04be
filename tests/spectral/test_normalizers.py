"""The four normalizers: into the networks' range, back again, and constants that make no sense."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.config import Config
from gansynth.errors import ModelError
from gansynth.spectral.normalizers import MEASURED_FILES, make_normalizer, measure_constants

SIMPLE, FREQ = "specgrams_simple_normalizer", "specgrams_freq_normalizer"
FIXED = "specgrams_prespecified_normalizer"
BINS = 8


def small(kind: str, **changes: Any) -> Config:
    """A configuration of [time 4, freq 8] images."""
    return Config(
        data_normalizer=kind,
        start_height=4,
        start_width=BINS,
        num_resolutions=1,
        audio_length=1,
        **changes,
    )


def random_specgrams(notes: int = 5, seed: int = 0) -> np.ndarray:
    """Float32 [notes, time, freq, 2] in ranges as those of real notes."""
    generator = np.random.default_rng(seed)
    magnitude = generator.uniform(-13.8, 6.0, (notes, 4, BINS, 1))
    return np.concatenate([magnitude, generator.uniform(-1, 1, magnitude.shape)], -1).astype("f4")


def constants(kind: str, specgrams: np.ndarray) -> np.ndarray | None:
    return measure_constants(kind, specgrams, 0.8) if kind in MEASURED_FILES else None


@pytest.mark.parametrize("kind", ["none", FIXED, SIMPLE, FREQ])
def test_denormalize_undoes_normalize_inside_the_range(kind: str) -> None:
    specgrams = random_specgrams()
    normalizer = make_normalizer(small(kind), constants(kind, specgrams))
    images = normalizer.normalize(torch.tensor(specgrams))
    assert images.dtype == torch.float32
    assert (images.abs() < 1).all() or kind == "none"
    np.testing.assert_allclose(normalizer.denormalize(images), specgrams, atol=2e-5)


@pytest.mark.parametrize("kind", [FIXED, SIMPLE, FREQ])
def test_what_lies_outside_the_range_is_clipped(kind: str) -> None:
    specgrams = random_specgrams()
    normalizer = make_normalizer(small(kind), constants(kind, specgrams))
    far = torch.full((1, 4, BINS, 2), 100.0)
    assert (normalizer.normalize(far) == 1).all()
    assert (normalizer.normalize(-far) == -1).all()


def test_no_normalizer_changes_nothing_and_does_not_clip() -> None:
    normalizer = make_normalizer(small("none"))
    far = torch.full((1, 4, BINS, 2), 100.0)
    assert torch.equal(normalizer.normalize(far), far)
    assert torch.equal(normalizer.denormalize(far), far)


def test_the_prespecified_normalizer_takes_the_constants_of_the_configuration() -> None:
    specgram = torch.tensor([-3.0, 0.5]).expand(1, 4, BINS, 2)
    published = make_normalizer(small(FIXED)).normalize(specgram)[0, 0, 0]
    expected = [0.0661371661726 * -3 + 0.113718730221, 0.8 * 0.5]
    np.testing.assert_allclose(published, expected, rtol=1e-6)
    own = small(
        FIXED, mag_normalizer_a=0.1, mag_normalizer_b=0.2, p_normalizer_a=-1.0, p_normalizer_b=0.3
    )
    np.testing.assert_allclose(
        make_normalizer(own).normalize(specgram)[0, 0, 0], [-0.1, -0.2], atol=1e-6
    )


@settings(deadline=None, max_examples=30)
@given(
    margin=st.floats(0.05, 1.0),
    seed=st.integers(0, 999),
    kind=st.sampled_from([SIMPLE, FREQ]),
)
def test_measured_extremes_reach_the_margin(margin: float, seed: int, kind: str) -> None:
    specgrams = random_specgrams(3, seed)
    normalizer = make_normalizer(small(kind), measure_constants(kind, specgrams, margin))
    images = normalizer.normalize(torch.tensor(specgrams)).numpy()
    axes = (0, 1, 2) if kind == SIMPLE else (0, 1)
    np.testing.assert_allclose(images.max(axes), margin, atol=1e-6)
    np.testing.assert_allclose(images.min(axes), -margin, atol=1e-6)


def test_measured_constants_are_laid_out_magnitude_first_slope_first() -> None:
    specgrams = np.zeros((2, 4, BINS, 2), np.float32)
    specgrams[0, 0, :, 0], specgrams[1, 3, :, 0] = -4.0, 12.0  # magnitude -4 … 12
    specgrams[0, 1, :, 1], specgrams[1, 0, :, 1] = -0.5, 0.5  # phase -0.5 … 0.5
    expected = [0.1, -0.4, 1.6, 0.0]
    np.testing.assert_allclose(measure_constants(SIMPLE, specgrams, 0.8), expected, atol=1e-12)
    by_frequency = measure_constants(FREQ, specgrams, 0.8)
    assert by_frequency.dtype == np.float64
    np.testing.assert_allclose(by_frequency, np.tile(expected, (BINS, 1)), atol=1e-12)


@pytest.mark.parametrize("kind", [SIMPLE, FREQ])
def test_constant_values_survive(kind: str) -> None:
    specgrams = random_specgrams()
    specgrams[..., 1] = -7.25
    if kind == FREQ:
        specgrams[:, :, 2, 0] = 3.5
    normalizer = make_normalizer(small(kind), measure_constants(kind, specgrams, 0.8))
    images = normalizer.normalize(torch.tensor(specgrams))
    assert (images[..., 1] == 0).all()
    back = normalizer.denormalize(images)
    assert (back[..., 1] == -7.25).all()
    if kind == FREQ:
        assert (images[:, :, 2, 0] == 0).all()
        assert (back[:, :, 2, 0] == 3.5).all()


def test_gradients_pass_inside_the_range_and_stop_outside() -> None:
    normalizer = make_normalizer(small(SIMPLE), np.array([0.5, 0.0, 0.5, 0.0]))
    specgrams = torch.tensor([[1.0, 3.0]]).expand(1, 4, BINS, 2).clone().requires_grad_()
    normalizer.normalize(specgrams).sum().backward()
    assert specgrams.grad is not None
    assert specgrams.grad.unique(dim=2).squeeze(2)[0, 0].tolist() == [0.5, 0.0]


GOOD = np.array([0.1, 0.0, 0.8, 0.0])


def changed(index: int, value: float) -> np.ndarray:
    values = GOOD.copy()
    values[index] = value
    return values


@pytest.mark.parametrize(
    ("kind", "values", "rule"),
    [
        (SIMPLE, None, "its measured constants are missing."),
        (FREQ, None, "its measured constants are missing."),
        (SIMPLE, np.ones(3), "constants have shape (3,), expected (4,)."),
        (SIMPLE, np.ones((BINS, 4)), "constants have shape (8, 4), expected (4,)."),
        (FREQ, GOOD, "constants have shape (4,), expected (8, 4)."),
        (FREQ, np.ones((BINS + 1, 4)), "constants have shape (9, 4), expected (8, 4)."),
        (
            SIMPLE,
            changed(1, np.nan),
            "constants must be finite and slopes of magnitude 1e-06 or more; measure it again.",
        ),
        (
            SIMPLE,
            changed(2, np.inf),
            "constants must be finite and slopes of magnitude 1e-06 or more; measure it again.",
        ),
        (
            SIMPLE,
            changed(0, 0.0),
            "constants must be finite and slopes of magnitude 1e-06 or more; measure it again.",
        ),
        (
            FREQ,
            np.stack([GOOD] * (BINS - 1) + [changed(2, 0.0)]),
            "constants must be finite and slopes of magnitude 1e-06 or more; measure it again.",
        ),
    ],
)
def test_constants_that_make_no_sense_are_told(kind: str, values: Any, rule: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(f'data_normalizer={kind}: {rule}')}$"):
        make_normalizer(small(kind), values)


@pytest.mark.parametrize("kind", ["none", FIXED])
def test_normalizers_without_measured_constants_ignore_them(kind: str) -> None:
    x = torch.tensor(random_specgrams())
    given_some = make_normalizer(small(kind), np.full(3, np.nan))
    assert torch.equal(given_some.normalize(x), make_normalizer(small(kind)).normalize(x))
