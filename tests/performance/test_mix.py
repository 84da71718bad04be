"""Adding notes up: block by block it is what one large buffer would give, at any length."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gansynth.errors import OutputError
from gansynth.performance import mix
from gansynth.performance.mix import (
    LevelledClip,
    PlayedNote,
    clip_samples,
    envelope,
    mix_blocks,
)

RATE = 1000  # Hz: a block is then four minutes, so that gaps cross several at little cost
WAVE = np.random.default_rng(0).uniform(-1, 1, 4 * RATE).astype(np.float32)


def mixed(notes: list[PlayedNote], samples: int) -> NDArray[np.float64]:
    return np.concatenate([*mix_blocks(notes, samples, RATE), np.zeros(0)])


def naive_envelope(seconds: float, samples: int) -> NDArray[np.float64]:
    """Attack of 10 ms, hold of 3 s or what the wave leaves beside the release of 300 ms."""
    hold = max(int(RATE * min(seconds, 3.0, samples / RATE - 0.3)), 10)
    parts = (np.linspace(0, 1, 10), np.ones(hold - 10), np.linspace(1, 0, 300))
    return np.concatenate(parts)[:samples]


def naive_mix(notes: list[PlayedNote], samples: int) -> NDArray[np.float64]:
    """The whole clip in one buffer."""
    clip = np.zeros(samples + 10 * RATE)
    for wave, start, end, velocity, *_ in notes:
        gain = naive_envelope(end - start, len(wave))
        sound = wave[: len(gain)] * gain
        first, level = int(start * RATE), np.abs(sound).max()
        if level > 0:
            clip[first : first + len(sound)] += sound / level * velocity / 127
    return clip[:samples]


played_notes = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 3), st.floats(0, 1200)),  # seconds since the note before
        st.floats(0.01, 9),
        st.integers(1, 127),
        st.integers(350, 4 * RATE),
        st.floats(0, 1),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(drawn=played_notes, cut=st.integers(0, 3 * RATE))
def test_blocks_are_the_clip_that_one_buffer_would_give(
    drawn: list[tuple[float, float, int, int, float]], cut: int
) -> None:
    notes: list[PlayedNote] = []
    now = 0.0
    for gap, seconds, velocity, length, loudness in drawn:
        now += gap
        wave = WAVE[:length] * np.float32(loudness)
        notes.append(PlayedNote(wave, now, now + seconds, velocity))
    samples = int(now * RATE) + cut
    np.testing.assert_allclose(mixed(notes, samples), naive_mix(notes, samples), atol=1e-12)


def test_overlapping_notes_of_any_velocity_add_up() -> None:
    one = PlayedNote(WAVE, 0.0, 2.0, 127)
    other = PlayedNote(WAVE[::-1], 1.0, 3.0, 64)
    both = mixed([one, other], 6 * RATE)
    np.testing.assert_allclose(both, mixed([one], 6 * RATE) + mixed([other], 6 * RATE), atol=1e-12)


@pytest.mark.parametrize("velocity", [1, 64, 127])
def test_a_notes_peak_is_its_velocity(velocity: int) -> None:
    for loudness in (1e-30, 0.1, 7.0):
        quiet = WAVE * np.float32(loudness)
        clip = mixed([PlayedNote(quiet, 0.0, 1.0, velocity)], 4 * RATE)
        assert np.abs(clip).max() == pytest.approx(velocity / 127, rel=1e-6)


def test_blocks_have_the_promised_length_without_any_note() -> None:
    blocks = list(mix_blocks([], 3 * mix._BLOCK + 5, RATE))
    assert sum(map(len, blocks)) == 3 * mix._BLOCK + 5
    assert not any(block.any() for block in blocks)


def test_the_envelope_rises_holds_and_falls() -> None:
    gain = envelope(1.0, RATE)
    assert len(gain) == 1000 + 300
    assert (gain[0], gain[9], gain[999], gain[-1]) == (0.0, 1.0, 1.0, 0.0)
    assert (np.diff(gain[:10]) > 0).all()
    assert (gain[10:1000] == 1).all()
    assert (np.diff(gain[1000:]) < 0).all()


@pytest.mark.parametrize(("seconds", "hold"), [(0.0, 10), (0.005, 10), (2.0, 2000), (99.0, 3000)])
def test_a_key_holds_at_least_the_attack_and_at_most_3_seconds(seconds: float, hold: int) -> None:
    gain = envelope(seconds, RATE)
    assert len(gain) == hold + 300
    assert gain.max() == 1.0


def test_a_longer_wave_is_held_as_long_as_it_may_be() -> None:
    wave = np.ones(20 * RATE, np.float32)
    for longest, hold in ((3.0, 3), (9.0, 9), (99.0, 12)):
        clip = mixed([PlayedNote(wave, 0.0, 12.0, 127, longest)], 20 * RATE)
        assert (clip[10 : hold * RATE] == 1).all()
        assert not clip[hold * RATE + 300 :].any()


def test_a_wave_shorter_than_its_release_is_played_as_far_as_it_goes() -> None:
    clip = mixed([PlayedNote(WAVE[:50], 0.0, 1.0, 127)], RATE)
    assert np.abs(clip[:50]).max() == pytest.approx(1.0)
    assert not clip[50:].any()


@pytest.mark.parametrize(("duration", "seconds"), [(0.01, 3), (0.99, 3), (1.0, 4), (61.5, 64)])
def test_a_clip_is_3_seconds_longer_in_whole_seconds(duration: float, seconds: int) -> None:
    assert clip_samples(duration, 16_000) == seconds * 16_000


@settings(deadline=None, max_examples=30)
@given(level=st.floats(1e-6, 1e6), lengths=st.lists(st.integers(0, 4000), max_size=5))
def test_the_loudest_sample_is_levelled_to_one_half(level: float, lengths: list[int]) -> None:
    blocks = [-level * WAVE[:length].astype(np.float64) for length in [*lengths, 1]]
    with LevelledClip(iter(blocks)) as clip:
        levelled = np.concatenate(list(clip.blocks()))
        again = np.concatenate(list(clip.blocks()))
    assert clip.samples == len(levelled) == sum(lengths) + 1
    assert np.abs(levelled).max() == pytest.approx(0.5, abs=2**-23)  # float32's last place
    assert levelled.dtype == np.float32
    np.testing.assert_array_equal(levelled, again)


def test_silence_stays_silence() -> None:
    silent = PlayedNote(np.zeros(4 * RATE, np.float32), 0.0, 2.0, 100)
    with LevelledClip(mix_blocks([silent, silent], 5 * RATE, RATE)) as clip:
        levelled = np.concatenate(list(clip.blocks()))
    assert levelled.shape == (5 * RATE,)
    assert (levelled == 0).all()


def test_ten_thousand_notes_need_no_more_memory_than_a_few() -> None:
    def many() -> Iterator[PlayedNote]:
        for index in range(10_000):
            yield PlayedNote(WAVE.copy(), 0.2 * index, 0.2 * index + 2.0, 90)

    tracemalloc.start()
    try:
        with LevelledClip(mix_blocks(many(), 2010 * RATE, RATE)) as clip:
            samples = sum(len(block) for block in clip.blocks())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert samples == 2010 * RATE
    assert most < 16e6  # the clip alone would be 16 MB in float64, the waves 160 MB


def test_blocks_are_given_while_notes_still_come() -> None:
    drawn: list[int] = []

    def slow() -> Iterator[PlayedNote]:
        for index in range(4):
            drawn.append(index)
            yield PlayedNote(WAVE, 600.0 * index, 600.0 * index + 1, 90)

    seen = [len(drawn) for _ in mix_blocks(slow(), 2000 * RATE, RATE)]
    assert seen[0] == 2
    assert seen[-1] == 4
    assert all(later >= earlier for earlier, later in pairwise(seen))


def test_a_full_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> object:
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OutputError, match=r"^folder='.*': the clip can't be stored there "):
        LevelledClip(iter([np.ones(100)]))
