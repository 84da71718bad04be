"""Tone in long frames, gains and noise in short ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gansynth.spectral.log_spectra import LogSpectrum, compared, energy_distance, modulation
from gansynth.spectral.maps import BANDS, Maps
from gansynth.spectral.real_arithmetic import inverse_dft
from gansynth.spectral.transform import waves_to_stfts, wrap_phase
from gansynth.spectral.vibrato import MOVEMENTS, NUMBERS, POINTS
from gansynth.spectral.wideband import WidebandSynthesis, bands, nearest_peaks

RATE, FRAMES, FREQ, SAMPLES = 8000, 64, 256, 8000
HOP, SHORT = 128, 8


@pytest.fixture(scope="module")
def synthesis() -> WidebandSynthesis:
    return WidebandSynthesis(FRAMES, FREQ, SAMPLES, RATE)


def analysed(waves: Tensor, **parts: Tensor) -> Maps:
    """Maps of given waves, without noise and with gains of 1."""
    stfts = waves_to_stfts(waves, 2 * FREQ, FRAMES)[..., : FREQ // 2]
    steps = wrap_phase(stfts.angle().diff(dim=1))
    short = (len(waves), 16 * FRAMES, BANDS)
    maps = Maps(
        (stfts.abs() + 1e-6).log(), torch.cat([steps[:, :1], steps], dim=1),
        torch.zeros(len(waves), FRAMES, FREQ // 2), torch.zeros(short), torch.full(short, -16.0),
    )  # fmt: skip
    return maps._replace(**parts)


def tone(hertz: float) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * hertz * torch.arange(SAMPLES) / RATE)[None]


def level(wave: Tensor) -> float:
    """DB of the root mean square."""
    return float(10 * wave.double().square().mean().log10())


@settings(deadline=None)
@given(st.sampled_from([16, 64, 352, 450, 512]), st.floats(0.1, 1), st.integers(0, 9))
def test_the_inverse_transform_without_complex_numbers(size: int, share: float, seed: int) -> None:
    bins = max(1, int(share * size / 2))
    random = torch.Generator().manual_seed(seed)
    real, imaginary = torch.randn(2, 1, 3, bins, generator=random)
    padded = torch.nn.functional.pad(torch.complex(real, imaginary), (1, size // 2 - bins))
    wanted = torch.fft.irfft(padded, n=size)
    assert torch.allclose(inverse_dft(real, imaginary, size), wanted, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(0, 10, width=32), min_size=5, max_size=40))
def test_every_bin_belongs_to_the_nearest_peak(levels: list[float]) -> None:
    row = np.array(levels, np.float32)
    peaks = [i for i, value in enumerate(row) if value >= row[max(0, i - 2) : i + 3].max()]
    found = nearest_peaks(torch.tensor(row)[None])[0].tolist()
    for place, leader in enumerate(found):
        assert leader in peaks
        assert abs(leader - place) == min(abs(peak - place) for peak in peaks)


def test_bands_share_every_bin_out() -> None:
    matrix = bands(177, 44100, BANDS)
    assert matrix.shape == (BANDS, 177)
    assert torch.allclose(matrix.sum(dim=0), torch.ones(177), atol=1e-6)
    assert matrix[0, 0] == matrix[-1, -1] == 1


@pytest.mark.parametrize("hertz", [220.0, 531.7, 1500.0])
def test_a_tone_keeps_level_and_pitch(synthesis: WidebandSynthesis, hertz: float) -> None:
    wave = synthesis(analysed(tone(hertz)), torch.tensor([5]))
    assert wave.shape == (1, SAMPLES)
    middle = wave[0, 1000:7000]
    assert level(middle) == pytest.approx(level(tone(hertz)[0, 1000:7000]), abs=0.1)
    spectrum = np.abs(np.fft.rfft(middle.numpy() * np.hanning(6000), 1 << 17))
    assert spectrum.argmax() * RATE / (1 << 17) == pytest.approx(hertz, rel=1e-3)


@pytest.mark.parametrize("at", [800, 3000])
def test_gains_begin_a_note_within_a_millisecond(synthesis: WidebandSynthesis, at: int) -> None:
    maps = analysed(tone(800.0))
    gains = torch.full_like(maps.gains, -9.0)
    gains[:, synthesis.first_short + at // SHORT :] = 0
    wave = synthesis(maps._replace(gains=gains), torch.tensor([0]))[0]
    assert level(wave[at + 24 : at + 400]) == pytest.approx(level(tone(800.0)[0]), abs=0.5)
    assert level(wave[at - 400 : at - 24]) < level(tone(800.0)[0]) - 60


def test_noise_has_the_level_of_its_band(synthesis: WidebandSynthesis) -> None:
    maps = analysed(torch.zeros(1, SAMPLES), levels=torch.full((1, 16 * FRAMES, BANDS), -3.0))
    wave = synthesis(maps, torch.tensor([0]))[0]
    # A level of 0 is noise of variance 1.
    assert level(wave[200:7800]) == pytest.approx(-3 * 20 / math.log(10), abs=0.3)
    other = synthesis(maps, torch.tensor([1]))[0]
    assert abs(float(np.corrcoef(wave, other)[0, 1])) < 0.05


def test_notes_end_before_what_training_never_hears(synthesis: WidebandSynthesis) -> None:
    maps = analysed(torch.zeros(1, SAMPLES), levels=torch.full((1, 16 * FRAMES, BANDS), -3.0))
    wave = synthesis(maps, torch.tensor([0]))[0]
    assert not wave[-3 * HOP :].any()
    assert level(wave[-5 * HOP : -4 * HOP]) == pytest.approx(-3 * 20 / math.log(10), abs=1.5)
    stretch, first = synthesis.crop(maps, FRAMES - 24, 24, torch.Generator().manual_seed(0))
    assert SAMPLES - 4 * HOP < first + stretch.shape[1] <= SAMPLES - 3 * HOP


def test_all_of_a_share_is_noise(synthesis: WidebandSynthesis) -> None:
    maps = analysed(tone(800.0))
    grain = synthesis(maps._replace(share=torch.ones_like(maps.share)), torch.tensor([0]))[0]
    steady = synthesis(maps, torch.tensor([0]))[0]
    envelopes = [w.unfold(0, 200, 200).square().mean(1).sqrt()[5:35] for w in (steady, grain)]
    wavers = [float(e.std() / e.mean()) for e in envelopes]
    assert wavers[0] < 0.01 < 0.1 < wavers[1]


def narrow(*shares: float) -> Tensor:
    """Shares of white noise and of the three that turn with partials, the same in all bands."""
    return torch.tensor(shares, dtype=torch.float32)[None, :, None].expand(1, 4, BANDS)


def test_narrow_noise_beats_slowly_within_its_partial(synthesis: WidebandSynthesis) -> None:
    maps = analysed(tone(800.0))
    maps = maps._replace(share=torch.ones_like(maps.share))
    widths, levels = [], []
    for shares in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        waves = [
            synthesis(maps._replace(colors=narrow(*shares)), torch.tensor([start]))[0, 1000:7000]
            for start in range(16)
        ]
        power = torch.fft.rfft(torch.stack(waves) * torch.hann_window(6000)).abs().square().mean(0)
        share = power[500:700] / power[500:700].sum()
        place = torch.arange(500.0, 700.0)
        mean = (share * place).sum()
        assert float(mean) * RATE / 6000 == pytest.approx(800, rel=0.005)
        widths.append(float((share * (place - mean).square()).sum().sqrt()) * RATE / 6000)
        levels.append(level(torch.cat(waves)))
    # Each is narrower than the one before. The median of white noise is the tone's magnitude; of
    # the others, real and imaginary part are as loud as the tone.
    assert all(wide > 1.3 * next_one for wide, next_one in itertools.pairwise(widths))
    louder = [one - level(tone(800.0)) for one in levels]
    assert louder == pytest.approx([1.6, 3, 3, 3], abs=1.2)


def test_white_noise_alone_is_what_models_without_colors_have(synthesis: WidebandSynthesis) -> None:
    maps = analysed(tone(800.0))
    maps = maps._replace(share=torch.full_like(maps.share, 0.7))
    plain, white, none = (
        synthesis(maps._replace(colors=colors), torch.tensor([5]))
        for colors in (None, narrow(1, 0, 0, 0), narrow(0, 0, 0, 0))
    )
    assert level(white - plain) < level(plain) - 100
    assert level(none - plain) > level(plain) - 20


def movements(number: int, depth: float, ahead: float, late: float, level: float) -> Tensor:
    """Of one movement; the others are as good as none."""
    table = torch.full((1, MOVEMENTS, NUMBERS), -30.0)
    deep = [math.log(math.expm1(max(some, 1e-9))) for some in (depth, level)]
    table[0, number] = torch.tensor([deep[0], ahead, late] + POINTS * deep[1:])
    return table


def swaying(wave: Tensor, hertz: float) -> tuple[Tensor, Tensor]:
    """Of a partial: cents from its frequency, and nats, at 8000 a second; without the ends."""
    spectrum = torch.fft.fft(wave.double())
    spectrum[(torch.fft.fftfreq(SAMPLES, 1 / RATE) - hertz).abs() > 60] = 0
    line = torch.fft.ifft(spectrum)[1000:7000]
    turns = (line[1:] * line[:-1].conj()).angle() / (2 * math.pi) * RATE
    return 1200 * torch.log2(turns / hertz), line.abs().log()[1:]


@pytest.mark.parametrize("hertz", [400.0, 1600.0])
def test_vibrato_sways_all_partials_alike(synthesis: WidebandSynthesis, hertz: float) -> None:
    maps = analysed(tone(hertz))
    table = movements(MOVEMENTS - 3, 2.0, 0.0, -9.0, 0.0)  # 6 Hz, from the beginning
    still, _ = swaying(synthesis(maps, torch.tensor([3]))[0], hertz)
    cents, nats = swaying(synthesis(maps._replace(movements=table), torch.tensor([3]))[0], hertz)
    assert float(still.abs().max()) < 0.5
    # 0.8 % of the frequency.
    assert float(cents.max() - cents.min()) / 2 == pytest.approx(13.8, rel=0.1)
    assert float(nats.std()) < 0.02
    rate = torch.fft.rfft(cents - cents.mean(), n=80_000).abs().argmax() / 10
    assert float(rate) == pytest.approx(6, rel=0.1)


def test_tremolo_grows_in_at_a_phase_of_its_own(synthesis: WidebandSynthesis) -> None:
    maps = analysed(tone(800.0))
    table = movements(MOVEMENTS - 1, 0.0, 0.5, 0.0, 2.0)  # from 0.75 s on
    first, second = (
        swaying(synthesis(maps._replace(movements=table), torch.tensor([start]))[0], 800.0)
        for start in (3, 4)
    )
    assert float(first[0].abs().max()) < 2
    assert float(first[1][:2000].std()) < 0.01
    assert 0.07 < float(first[1][-1000:].std()) < 0.2
    assert float((first[1] - second[1])[-1000:].abs().max()) > 0.05


@pytest.mark.parametrize("number", range(MOVEMENTS))
def test_slow_movements_leave_the_pitch_alone(number: int, synthesis: WidebandSynthesis) -> None:
    maps = analysed(tone(800.0))
    table = movements(number, 2.0, 0.0, -9.0, 0.0)
    cents, _ = swaying(synthesis(maps._replace(movements=table), torch.tensor([3]))[0], 800.0)
    assert (float(cents.std()) > 5) == (number > 2)  # from 2 Hz on


@pytest.mark.parametrize("swaying", [None, movements(7, 3.0, 0.3, -1.0, 1.0)])
@pytest.mark.parametrize("colors", [None, narrow(0.5, 0.4, 0.3, 1.5)])
def test_operations_of_onnx_give_the_same(
    colors: Tensor | None, swaying: Tensor | None, synthesis: WidebandSynthesis
) -> None:
    random = torch.Generator().manual_seed(0)
    maps = analysed(tone(500.0) + 0.1 * torch.randn(1, SAMPLES, generator=random))
    maps = maps._replace(levels=maps.levels + 10, share=maps.share + 0.5)
    maps = maps._replace(colors=colors, movements=swaying)
    traceable = WidebandSynthesis(FRAMES, FREQ, SAMPLES, RATE, traceable=True)
    start = torch.tensor([37])
    assert level(traceable(maps, start) - synthesis(maps, start)) < level(tone(500.0)) - 90


@pytest.mark.parametrize("frame", [2, 20])
def test_a_crop_is_a_stretch_of_the_whole(synthesis: WidebandSynthesis, frame: int) -> None:
    maps = analysed(tone(800.0))
    gains = torch.full_like(maps.gains, -9.0)
    whole = synthesis(maps, torch.tensor([0]))
    waves, first = synthesis.crop(maps, frame, 24, torch.Generator().manual_seed(0))
    at = first + 1200
    gains[:, synthesis.first_short + at // SHORT :] = 0
    cut, again = synthesis.crop(
        maps._replace(gains=gains), frame, 24, torch.Generator().manual_seed(0)
    )
    assert again == first
    assert waves.shape[1] > 20 * HOP - SHORT
    assert level(waves[0, 200:]) == pytest.approx(level(whole[0, 1000:7000]), abs=0.2)
    assert level(cut[0, 1224:1600]) == pytest.approx(level(waves[0, 1224:1600]), abs=0.5)
    assert level(cut[0, 800:1176]) < level(waves[0, 800:1176]) - 60


# What training compares


def test_levels_are_below_the_peak_down_to_the_floor() -> None:
    spectrum = LogSpectrum(256, 64, 129, False, RATE, floor=80.0)
    waves = torch.cat([tone(1000.0), torch.zeros(1, SAMPLES)])
    found = spectrum(waves, torch.tensor([0.3, 0.3]))
    bin_of_tone = round(1000 / RATE * 256)
    assert float(found[0, 5, bin_of_tone]) == pytest.approx(math.log(0.3), abs=0.01)
    assert float(found[1].max()) == pytest.approx(math.log(0.3) - 80 / 20 * math.log(10), abs=0.01)


@pytest.mark.parametrize("banded", [False, True])
def test_the_rounding_of_16_bits_counts_as_silence(banded: bool) -> None:
    spectrum = LogSpectrum(256, 64, 32 if banded else 129, banded, RATE)
    random = torch.Generator().manual_seed(0)
    hiss = torch.rand(1, SAMPLES, generator=random) - 0.5
    waves = torch.cat([torch.zeros(1, SAMPLES), hiss, 10 * hiss]) / 32768
    silence, rounding, heard = spectrum(waves, torch.ones(3)).mean(dim=(1, 2)).tolist()
    assert rounding < silence + 0.15
    assert heard > silence + 1.2


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_the_energy_distance_is_lowest_for_the_real_spread(spread: float) -> None:
    random = torch.Generator().manual_seed(0)
    real, first, second = torch.randn(3, 20000, generator=random)
    same = float(energy_distance(real, first, second))
    other = float(energy_distance(real, spread * first, spread * second))
    collapsed = float(energy_distance(real, 0 * first, 0 * second))
    assert same < other
    assert same < collapsed - 0.3


def test_a_flutter_is_seen_at_its_rate() -> None:
    spectrum = LogSpectrum(240, 40, 1, True, RATE, modulated=300)
    seconds = torch.arange(300) * 40 / RATE
    flutter = 0.02 * torch.sin(2 * math.pi * 12 * seconds)
    steady, wavering = torch.zeros(1, 300, 1), flutter[None, :, None]
    change = modulation(spectrum, wavering) - modulation(spectrum, steady)
    assert int(change[0, :, 0].argmax()) == 6  # from 10 to 15 Hz
    assert float(change.max()) > 2.5


def test_a_steady_tone_must_be_as_steady_as_the_real_one() -> None:
    spectrum = LogSpectrum(96, 24, 40, True, RATE, lags=(4,))
    random = torch.Generator().manual_seed(0)
    still = torch.zeros(1, 200, 40)
    grainy = 0.03 * torch.randn(1, 200, 40, generator=random)  # a quarter of a decibel
    views = zip(compared(spectrum, still), compared(spectrum, grainy), strict=True)
    apart = [float((x - y).abs().mean()) for x, y in views]
    assert apart[0] < 0.03
    assert min(apart[1:]) > 0.1
