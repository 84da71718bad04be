"""Loops: what a sampler repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export_sounds import RATE, SAMPLES, hertz, tone
from gansynth.audio.pitch import estimate_pitch
from gansynth.export.loops import GUARD, joint_step, level_slope, make_loop


def repeated(wave: np.ndarray, start: int, end: int, seconds: float = 10) -> np.ndarray:
    times = math.ceil(seconds * RATE / (end - start))
    return np.concatenate([wave[:start], *[wave[start:end]] * times])[: round(seconds * RATE)]


@settings(max_examples=15, deadline=None)
@given(st.floats(24, 84))
def test_the_loop_of_a_tone_holds_whole_periods_and_its_pitch(pitch: float) -> None:
    wave = tone(pitch)
    looped, loop = make_loop(wave, RATE, round(pitch))
    assert loop is not None
    assert RATE * 1.0 <= loop.start < loop.end <= RATE * 2.7
    periods = (loop.end - loop.start) * hertz(pitch) / RATE
    # Half a frame at most, which is all that whole frames allow; much less in most cases.
    assert abs(periods - round(periods)) <= 0.5 * hertz(pitch) / RATE
    assert loop.step < 0.5
    held = repeated(looped, loop.start, loop.end)
    heard = estimate_pitch(held[5 * RATE :], RATE)
    assert heard.pitch == pytest.approx(pitch, abs=0.02)


def test_a_jump_stands_out_and_whole_periods_do_not() -> None:
    wave = np.sin(2 * np.pi * 250 * np.arange(RATE) / RATE).astype(np.float32)  # 64 frames
    assert joint_step(wave, 6400, 6400 + 10 * 64) == pytest.approx(0, abs=0.1)
    assert joint_step(wave, 6400, 6400 + 10 * 64 + 16) > 20


@pytest.mark.parametrize("seed", range(5))
def test_what_never_repeats_is_faded_over_without_a_click_or_a_hole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    voices = [tone(60 + shift, seed=seed + i) for i, shift in enumerate(rng.normal(0, 0.2, 6))]
    noise = rng.normal(0, 0.02, SAMPLES).astype(np.float32)
    wave = np.sum(voices, axis=0) / 3 + noise
    looped, loop = make_loop(wave, RATE, 60)
    assert loop is not None
    assert loop.faded
    assert loop.step < 0
    held = repeated(looped, loop.start, loop.end)[2 * RATE :]
    levels = np.square(held[: 8 * RATE]).reshape(-1, RATE // 4).mean(axis=1)
    natural = np.square(wave[RATE : 3 * RATE]).reshape(-1, RATE // 4).mean(axis=1)
    assert 10 * np.log10(levels.min() / natural.min()) > -3


def test_a_fade_only_where_it_is_heard() -> None:
    steady = tone(57)  # 220 Hz: 800 frames are 11 periods
    looped, loop = make_loop(steady, RATE, 57)
    assert loop is not None
    assert not loop.faded
    np.testing.assert_array_equal(looped[: loop.end], steady[: loop.end])


def test_behind_the_end_lies_what_players_that_look_ahead_need() -> None:
    looped, loop = make_loop(tone(61.3), RATE, 61)
    assert loop is not None
    assert len(looped) == loop.end + GUARD
    np.testing.assert_array_equal(looped[loop.end :], looped[loop.start : loop.start + GUARD])


@pytest.mark.parametrize("decay", [0.0, 6.0, 12.0])
def test_level_slope_is_the_decay(decay: float) -> None:
    assert level_slope(tone(60, decay), RATE) == pytest.approx(-decay, abs=0.2)


def test_silence_and_what_has_died_away_have_no_slope() -> None:
    assert level_slope(np.zeros(SAMPLES, np.float32), RATE) == -math.inf
    assert level_slope(tone(60, 60.0), RATE) == -math.inf
    assert level_slope(np.ones(28, np.float32), RATE) == -math.inf


@pytest.mark.parametrize("length", [28, 4000])
def test_a_note_that_is_too_short_stays_as_it_is(length: int) -> None:
    wave = tone(60)[RATE : RATE + length]
    same, loop = make_loop(wave, RATE, 60)
    assert loop is None
    assert same is wave
