"""Rainbowgram: the right bin, the right hue, and a picture that can be opened."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.audio.rainbowgram import constant_q, rainbow_image, rainbowgram, save_rainbowgram
from gansynth.errors import InputError, OutputError

RATE = 16_000


def hertz(pitch: float) -> float:
    return 440.0 * 2 ** ((pitch - 69) / 12)


def tone(pitch: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz(pitch) * time)).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(pitch=st.floats(26, 108), rate=st.sampled_from([16_000, 44_100]))
def test_a_tone_peaks_in_its_bin_and_its_hue_is_what_remains(pitch: float, rate: Any) -> None:
    picture = rainbowgram(tone(pitch, rate=rate), rate, columns=100)
    middle = picture.magnitude.shape[1] // 2
    row = picture.magnitude[:, middle].argmax()
    peak = 69 + 12 * np.log2(picture.frequencies[row] / 440)
    assert abs(peak - pitch) <= 0.126  # half of a bin's quarter tone, and rounding
    assert picture.deviation[row, middle] == pytest.approx(pitch - peak, abs=1e-3)


@pytest.mark.parametrize("pitch", [24, 33, 45, 60, 81, 100])
def test_a_tone_at_a_bin_centre_is_flat_exact_and_undeviated(pitch: int) -> None:
    result = constant_q(tone(pitch, 4.0), RATE)
    row = 4 * (pitch - 24)
    inside = (result.times > 0.6) & (result.times < 3.4)
    np.testing.assert_allclose(np.abs(result.coefficients[row, inside]), 0.5, rtol=1e-4)
    np.testing.assert_allclose(result.instantaneous[row, inside], hertz(pitch), rtol=1e-5)
    assert result.frequencies[row] == pytest.approx(hertz(pitch))


@pytest.mark.parametrize("cents", [-10, 10])
def test_a_detuned_tone_deviates_with_its_sign_at_any_hop(cents: int) -> None:
    for columns in (37, 1600):
        picture = rainbowgram(tone(60 + cents / 100), RATE, columns=columns)
        column = picture.magnitude.shape[1] // 2
        assert picture.deviation[4 * 36, column] == pytest.approx(cents / 100, abs=1e-4)


def test_coefficients_equal_the_sum_that_defines_them() -> None:
    wave = np.random.default_rng(0).standard_normal(6000).astype(np.float32)
    result = constant_q(wave, RATE, min_pitch=60, octaves=2, bins_per_octave=12)
    frequency, time = result.frequencies[7], result.times[300]
    length = 2 / (2 ** (1 / 12) - 1) / frequency  # of the Hann window in s
    moment = np.arange(len(wave)) / RATE
    distance = (moment - time) / length
    window = np.where(np.abs(distance) < 0.5, 1 + np.cos(2 * np.pi * distance), 0)
    direct = np.sum(wave * window * np.exp(-2j * np.pi * frequency * (moment - time)))
    direct *= 2 / (length * RATE)
    assert abs(result.coefficients[7, 300] - direct) < 0.01 * abs(direct)


def test_shape_times_and_range_of_the_axes() -> None:
    result = constant_q(tone(60, 4.0), RATE)
    assert result.coefficients.shape == (374, 1600)
    assert result.coefficients.dtype == np.complex64
    assert result.times[[0, -1]].tolist() == pytest.approx([0, 4 - 0.0025])
    assert result.frequencies[0] == pytest.approx(hertz(24))
    assert 0.88 * RATE / 2 < result.frequencies[-1] <= 0.9 * RATE / 2
    eight = constant_q(tone(60, 1.0, 96_000), 96_000)
    assert eight.frequencies[-1] == pytest.approx(hertz(24 + 96))
    two = constant_q(tone(60), RATE, min_pitch=48, octaves=2, bins_per_octave=12, columns=10)
    assert (len(two.frequencies), two.coefficients.shape[1] <= 10) == (25, True)


@pytest.mark.parametrize("frames", [1, 160, 16_000])
def test_silence_is_black_and_finite(frames: int) -> None:
    picture = rainbowgram(np.zeros(frames, np.float32), RATE)
    assert (picture.magnitude == -100).all()
    assert (picture.deviation == 0).all()


@settings(deadline=None, max_examples=25)
@given(
    frames=st.integers(1, 3000),
    scale=st.sampled_from([1e-44, 1e-30, 1.0, 3e38]),
    rate=st.sampled_from([1000, 16_000, 384_000]),
)
def test_any_finite_wave_gives_finite_values_in_range(frames: int, scale: float, rate: Any) -> None:
    wave = np.random.default_rng(frames).uniform(-1, 1, frames) * scale
    wave[0] = scale
    picture = rainbowgram(wave, rate, columns=50)
    assert picture.magnitude.shape == picture.deviation.shape
    assert picture.magnitude.shape == (len(picture.frequencies), len(picture.times))
    assert picture.magnitude.max() == 0
    assert picture.magnitude.min() >= -100
    assert np.abs(picture.deviation).max() <= 1


@pytest.mark.parametrize(
    ("wave", "options", "message"),
    [
        (np.zeros(0), {}, r"^wave=float64 of shape \[0\]: must be a floating array \[samples\]"),
        (np.zeros((8, 2)), {}, r"^wave=float64 of shape \[8, 2\]: "),
        (np.zeros(8, int), {}, r"^wave=int64 of shape \[8\]: "),
        (np.array([0, np.nan]), {}, r"^wave\[1\]=nan: every sample must be finite"),
        (np.array([1e300]), {}, r"^wave\[0\]=inf: "),
        ([[1.0], [1.0, 2.0]], {}, r"^wave=list: must be a floating array"),
        (np.zeros(8), {"sample_rate": 10}, r"^sample_rate=10: must be"),
        (np.zeros(8), {"min_pitch": float("nan")}, r"^min_pitch=nan: must be a number in 0..127"),
        (np.zeros(8), {"min_pitch": 110}, r"^min_pitch=110: less than one octave fits .* lower it"),
        (np.zeros(8), {"octaves": 7.9}, r"^octaves=7.9: must be a number in 1..7.78"),
        (np.zeros(8), {"bins_per_octave": 6}, r"^bins_per_octave=6: .* whole number in 12..240"),
        (np.zeros(8), {"columns": 2.5}, r"^columns=2.5: must be a whole number in 1..8192"),
        (np.zeros(8), {"columns": "9"}, r"^columns='9': must be a whole number in 1..8192"),
    ],
)
def test_bad_waves_and_options_are_refused(
    wave: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        constant_q(wave, **{"sample_rate": RATE, **options})


def test_the_image_is_bright_at_the_tone_and_black_far_under_it() -> None:
    picture = rainbowgram(tone(60), RATE)
    image = rainbow_image(picture)
    assert image.shape == (*picture.magnitude.shape, 3)
    assert image.min() == 0
    assert image.max() <= 1
    brightest = np.unravel_index(picture.magnitude.argmax(), picture.magnitude.shape)
    assert image[brightest].max() > 0.9
    assert (image[picture.magnitude <= -72] == 0).all()


def test_the_picture_is_a_coloured_png_with_the_tone_in_its_place(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    path = tmp_path / "a.png"
    save_rainbowgram(path, tone(60), RATE, title="one tone: 5$ and \\frac")
    pixels = image.imread(path)[..., :3]
    assert pixels.shape == (900, 1600, 3)
    panel = pixels[50:820, 200:1300]
    colourful = panel.max(axis=2) - panel.min(axis=2) > 0.4
    rows = np.flatnonzero(colourful.mean(axis=1) > 0.5)
    assert 5 < len(rows) < 60  # one bright band, and dark around it
    leading = panel[rows].argmax(axis=2)
    assert all((leading == channel).mean() > 0.05 for channel in range(3))  # red, green and blue
    expected = 900 * (0.055 + 0.86 * (1 - 36 / 93.4))  # C4 between C1 and the upper edge
    assert abs(50 + rows.mean() - expected) < 10


@pytest.mark.parametrize("frames", [1, 160])
def test_very_short_and_silent_sounds_can_be_drawn(tmp_path: Path, frames: int) -> None:
    pytest.importorskip("matplotlib")
    save_rainbowgram(tmp_path / "a.png", np.zeros(frames, np.float32), RATE)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_files_are_kept_and_names_checked_before_drawing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("precious")
    with pytest.raises(OutputError, match="exists already; use --force / overwrite=True"):
        save_rainbowgram(tmp_path / "a.png", tone(60), RATE)
    with pytest.raises(InputError, match=r"a.jpg': a picture is a PNG file; end the name in"):
        save_rainbowgram(tmp_path / "a.jpg", tone(60), RATE)
    assert (tmp_path / "a.png").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"run `pip install matplotlib`"):
        save_rainbowgram(tmp_path / "a.png", tone(60), RATE)
    assert list(tmp_path.iterdir()) == []
