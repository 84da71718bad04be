"""Latents as text, and the ways to find a new one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drawing import large_examples
from gansynth.errors import InputError
from gansynth.serve.latents import REACH, along, between, decode_latent, encode_latent, near

LATENTS = arrays.arrays(
    np.float32, st.integers(1, 40), elements=st.floats(-1000, 1000, width=32, allow_nan=False)
)


def random_latents(count: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, size)).astype(np.float32)


def degrees(one: np.ndarray, other: np.ndarray) -> float:
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@large_examples()
@given(LATENTS)
def test_a_latent_survives_its_text(latent: np.ndarray) -> None:
    text = encode_latent(latent)
    assert text.replace("-", "").replace("_", "").isalnum()
    np.testing.assert_array_equal(decode_latent(text, len(latent)), latent)


@given(st.text(max_size=80))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    try:
        latent = decode_latent(text, 4)
    except InputError as error:
        assert str(error).startswith("latent=")
    else:
        assert latent.shape == (4,)
        assert np.isfinite(latent).all()


@pytest.mark.parametrize(
    ("latent", "words"),
    [
        (np.ones(3, np.float32), "has 12 bytes, the model's latents have 16"),
        (np.array([1, np.nan, 0, 0], np.float32), "every number must be from -1000 to 1000"),
        (np.array([1, 0, -3e38, 0], np.float32), "every number must be from -1000 to 1000"),
    ],
)
def test_latents_that_do_not_fit(latent: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        decode_latent(encode_latent(latent), 4)


@pytest.mark.parametrize("distance", [0.0, 0.25, 1.0])
def test_a_near_latent_is_turned_by_the_distance(distance: float) -> None:
    latent = random_latents(1)[0]
    found = near(latent, distance, np.random.default_rng(0))
    # float32 holds no angle finer than some hundredths of a degree near 0.
    assert degrees(latent, found) == pytest.approx(90 * distance, abs=0.05)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(latent), rel=1e-5)


def test_near_latents_differ_from_each_other() -> None:
    latent, rng = random_latents(1)[0], np.random.default_rng(0)
    assert degrees(near(latent, 0.5, rng), near(latent, 0.5, rng)) > 20


def test_near_the_middle_is_random() -> None:
    assert np.linalg.norm(near(np.zeros(8, np.float32), 0.5, np.random.default_rng(0))) > 0


def test_the_pads_corners_are_the_corners() -> None:
    corners = random_latents(4)
    for number, (x, y) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        np.testing.assert_allclose(between(corners, x, y), corners[number], rtol=1e-5, atol=1e-6)


def test_between_corners_of_one_length_all_have_that_length() -> None:
    corners = random_latents(4)
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    # The middle of two rows lies on the sphere; the middle of these is again a slerp on it.
    for x, y in [(0.5, 0.5), (0.2, 0.9), (0.7, 0.0)]:
        assert np.linalg.norm(between(corners, x, y)) == pytest.approx(1, abs=1e-4)


def test_a_slider_moves_along_its_direction_and_keeps_the_length() -> None:
    latent = random_latents(1)[0]
    up = np.eye(64, dtype=np.float32)[5]
    moved = along(latent, {"brightness": 1.0}, {"brightness": up})
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(latent), rel=1e-5)
    expected = latent + REACH * up
    assert degrees(moved, expected) == pytest.approx(0, abs=0.05)


def test_sliders_in_the_middle_change_nothing() -> None:
    latent = random_latents(1)[0]
    up = np.eye(64, dtype=np.float32)[5]
    np.testing.assert_array_equal(along(latent, {"attack": 0.0}, {"attack": up}), latent)
    np.testing.assert_array_equal(along(latent, {}, {"attack": up}), latent)
