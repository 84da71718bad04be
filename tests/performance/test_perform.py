"""A piece and a synth to a clip: instruments over time, pitches, levels and lengths."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike, NDArray

from drawing import large_examples
from gansynth.errors import InputError, MidiError
from gansynth.model.synth import Synth
from gansynth.performance.instruments import (
    instrument_times,
    latents_at,
    slerp,
    spaced_count,
)
from gansynth.performance.midi import Score, ScoreNote, read_midi
from gansynth.performance.perform import perform, render
from gansynth.performance.plan import Plan, make_plan

MakeMidi = Callable[..., Path]
Floats = NDArray[np.float64]


class ToneSynth(Synth):
    """Plays 4 s of a constant, at 1 kHz; remembers what it was asked for."""

    def __init__(self, loudness: float = 0.25, pitches: tuple[int, ...] = tuple(range(24, 85))):
        self.pitches, self.latent_size, self.sample_rate, self.note_samples = pitches, 4, 1000, 4000
        self.loudness, self.velocities = loudness, ()
        self.asked: list[tuple[NDArray[np.float32], int]] = []

    def stream(
        self, latents: ArrayLike, pitches: ArrayLike, velocities: ArrayLike | None = None
    ) -> Iterator[NDArray[np.float32]]:
        for latent, pitch in zip(np.asarray(latents), np.asarray(pitches), strict=True):
            self.asked.append((latent, int(pitch)))
            yield np.full(self.note_samples, self.loudness, dtype=np.float32)


def score(*spans: tuple[int, float, float], velocity: int = 100) -> Score:
    return Score(tuple(ScoreNote(pitch, velocity, a, b, 0, 0, 0) for pitch, a, b in spans))


# --- instruments over time ----------------------------------------------------------------------

vectors = arrays(np.float64, 5, elements=st.floats(-3, 3)).filter(
    lambda v: bool(np.linalg.norm(v) > 0.1)
)


def unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)


@large_examples(max_examples=60)
@given(start=vectors, end=vectors, t=st.floats(0, 1))
def test_slerp_goes_from_end_to_end_over_the_sphere(start: Floats, end: Floats, t: float) -> None:
    np.testing.assert_allclose(slerp(start, end, 0.0), start, atol=1e-12)
    np.testing.assert_allclose(slerp(start, end, 1.0), end, atol=1e-12)
    np.testing.assert_allclose(slerp(start, end, t), slerp(end, start, 1 - t), atol=1e-6)
    angle = np.arccos(np.clip(unit(start) @ unit(end), -1, 1))
    if np.sin(angle) > 1e-3:
        middle = slerp(unit(start), unit(end), t)
        assert np.linalg.norm(middle) == pytest.approx(1, abs=1e-9)
        assert np.arccos(np.clip(unit(start) @ middle, -1, 1)) == pytest.approx(t * angle, abs=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "middle"),
    [
        ([1.0, 0.0], [3.0, 0.0], [1.5, 0.0]),  # in line
        ([2.0, 0.0], [-2.0, 0.0], [1.0, 0.0]),  # opposite
        ([0.0, 0.0], [4.0, 4.0], [1.0, 1.0]),  # one has no direction
        ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_slerp_is_linear_where_there_is_no_angle(
    start: list[float], end: list[float], middle: list[float]
) -> None:
    np.testing.assert_allclose(slerp(start, end, 0.25), middle, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(duration=st.floats(0, 1e5), seconds=st.floats(0.1, 1e4))
def test_a_piece_gets_an_instrument_every_few_seconds_and_two_at_least(
    duration: float, seconds: float
) -> None:
    count = spaced_count(duration, seconds)
    assert count >= 2
    near = 1 + 1e-12  # of a whole number of times rounding may say a little less or more
    assert count == 2 or count * seconds <= duration * near < (count + 1) * seconds * near**2


def test_instruments_are_pure_at_their_times_and_blend_in_between() -> None:
    z = np.eye(4)[:3]
    times = instrument_times(3, 10.0)
    np.testing.assert_allclose(times, [-1e-4, 5, 10], atol=1e-4)
    np.testing.assert_allclose(latents_at(times, z, times), z, atol=1e-12)
    half = latents_at([(times[0] + times[1]) / 2], z, times)[0]
    np.testing.assert_allclose(half, [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=1e-9)
    np.testing.assert_allclose(latents_at([-5.0, 99.0], z, times), z[[0, 2]], atol=1e-12)


def test_each_note_has_the_latent_of_its_start() -> None:
    spans = [(60, 0.0, 1.0), (62, 7.3, 8.0), (64, 19.0, 20.0)]
    plan = make_plan(score(*spans), ToneSynth(), seed=3, secs_per_instrument=5.0)
    assert len(plan.instruments) == 4
    np.testing.assert_array_equal(plan.instruments, ToneSynth().sample_latents(4, 3))
    assert plan.times is not None
    starts = [start for _, start, _ in spans]
    expected = latents_at(starts, plan.instruments, plan.times).astype(np.float32)
    np.testing.assert_array_equal(plan.latents(), expected)


def test_single_plays_all_notes_with_one_latent() -> None:
    plan = make_plan(score((60, 0, 1), (62, 30, 31)), ToneSynth(), arrangement="single")
    assert plan.instruments.shape == (1, 4)
    assert plan.times is None
    np.testing.assert_array_equal(plan.latents(), plan.instruments[[0, 0]])


def test_per_track_gives_each_track_its_latent() -> None:
    tracks = (3, 1, 3, 7)
    notes = tuple(ScoreNote(60, 90, i, i + 1.0, track, 0, 0) for i, track in enumerate(tracks))
    plan = make_plan(Score(notes), ToneSynth(), arrangement="per-track")
    assert plan.instruments.shape == (3, 4)
    np.testing.assert_array_equal(plan.latents(), plan.instruments[[1, 0, 1, 2]])


def test_per_track_takes_programs_where_there_is_one_track() -> None:
    notes = tuple(
        ScoreNote(60, 90, i, i + 1.0, 0, 0, program) for i, program in enumerate((9, 40, 9))
    )
    plan = make_plan(Score(notes), ToneSynth(), arrangement="per-track")
    np.testing.assert_array_equal(plan.latents(), plan.instruments[[0, 1, 0]])


def test_given_latents_are_the_instruments() -> None:
    z = np.arange(8, dtype=np.float32).reshape(2, 4)
    piece = score((60, 0, 1), (60, 9.9999, 10))
    np.testing.assert_array_equal(make_plan(piece, ToneSynth(), latents=z).instruments, z)
    alone = make_plan(piece, ToneSynth(), latents=z[1])
    np.testing.assert_array_equal(alone.latents(), z[[1, 1]])


def test_instruments_at_even_times_are_the_originals_numbers() -> None:
    """`get_z_notes` of the original, written anew."""
    piece = score(*((60, 0.7 * index, 0.7 * index + 0.5) for index in range(20)))
    z = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    plan = make_plan(piece, ToneSynth(), latents=z, times=np.linspace(0, piece.duration, 5))
    times = np.linspace(-1e-4, piece.duration, 5)
    expected = []
    for note in piece.notes:
        left = int(np.searchsorted(times, note.start, side="left")) - 1
        share = (note.start - times[left]) / (times[left + 1] - times[left])
        p0, p1 = z[left].astype(np.float64), z[left + 1].astype(np.float64)
        omega = np.arccos(np.dot(unit(p0), unit(p1)))
        expected.append(
            (np.sin((1 - share) * omega) * p0 + np.sin(share * omega) * p1) / np.sin(omega)
        )
    np.testing.assert_allclose(plan.latents(), expected, atol=2e-4)  # 0.1 ms apart at most
    even = make_plan(piece, ToneSynth(), latents=z)
    np.testing.assert_allclose(even.latents(), expected, atol=1e-6)


def test_tempo_moves_notes_and_their_controllers() -> None:
    from gansynth.performance.controls import Controls

    controls = Controls()
    controls.bend.set(2.0, 1.0)
    note = ScoreNote(60, 90, 1.0, 4.0, 0, 0, 0, controls=(controls,))
    (slow,) = Score((note,)).at_tempo(0.5).notes
    assert (slow.start, slow.end) == (2.0, 8.0)
    assert [slow.controls[0].bend.at(t) for t in (3.9, 4.0)] == [0.0, 1.0]
    assert Score((note,)).at_tempo(1.0).notes == (note,)
    with pytest.raises(InputError, match=r"tempo=0: must be from 0\.05 to 20 times the file's\."):
        Score((note,)).at_tempo(0)


def test_attack_release_and_the_longest_note_are_chosen() -> None:
    synth = ToneSynth()
    piece = score((60, 0, 2))
    clip = clip_of(make_plan(piece, synth, attack=0.5, release=1.5), synth)
    assert clip[250] == pytest.approx(0.25, abs=0.01)
    assert clip[1000] == pytest.approx(0.5, abs=1e-3)
    assert clip[2750] == pytest.approx(0.25, abs=0.01)
    assert not clip[3500:].any()
    plan = make_plan(piece, synth, max_note=1.0)
    assert "1 held longer than 1 s and released then" in plan.summary()
    clip = clip_of(plan, synth)
    assert clip[990] > 0.4
    assert not clip[1300:].any()
    tapped = clip_of(make_plan(score((60, 0, 0.1)), synth, attack=0.5), synth)
    assert np.abs(np.diff(tapped)).max() < 0.02  # released from where the attack had come


# --- pitches ------------------------------------------------------------------------------------


def test_octave_moves_a_note_to_the_nearest_known_one_of_its_name() -> None:
    plan = make_plan(score((23, 0, 1), (5, 1, 2), (60, 2, 3), (108, 3, 4)), ToneSynth())
    assert [note.pitch for note in plan.notes] == [35, 29, 60, 84]
    assert (plan.moved, plan.dropped) == (3, 0)
    assert "3 moved by octaves into range" in plan.summary()


def test_a_note_without_an_octave_in_the_model_is_dropped() -> None:
    plan = make_plan(score((60, 0, 1), (61, 0, 1)), ToneSynth(pitches=(48, 49)))
    assert [note.pitch for note in plan.notes] == [48, 49]
    plan = make_plan(score((60, 0, 1), (62, 0, 1)), ToneSynth(pitches=(48, 49)))
    assert ([note.pitch for note in plan.notes], plan.moved, plan.dropped) == ([48], 1, 1)


def test_drop_leaves_notes_out_and_forgets_their_length() -> None:
    plan = make_plan(score((60, 0, 1), (20, 5, 9)), ToneSynth(), out_of_range="drop")
    assert (len(plan.notes), plan.duration, plan.dropped) == (1, 1, 1)
    assert "1 out of range and dropped" in plan.summary()


def test_error_names_the_first_note_out_of_range() -> None:
    with pytest.raises(MidiError) as caught:
        make_plan(score((60, 0, 1), (20, 5, 9)), ToneSynth(), out_of_range="error")
    assert str(caught.value) == (
        "pitch=20 (G#0), first at 5.00 s: the model knows 24-84; use --out-of-range octave or drop."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arrangement": "duet"}, "arrangement='duet': must be one of spaced, single, per-track."),
        ({"out_of_range": "fold"}, "out_of_range='fold': must be one of octave, drop, error."),
        ({"sustain": "hold"}, "sustain='hold': must be one of extend, cut."),
        ({"secs_per_instrument": 0}, "secs_per_instrument=0: must be above 0 seconds."),
        ({"secs_per_instrument": float("nan")}, "secs_per_instrument=nan: must be above"),
        ({"latents": [[1.0, 2.0]]}, "latents: shape (1, 2): the model needs [n, 4]."),
        ({"latents": [[np.nan] * 4]}, "latents: hold NaN or infinite values;"),
        ({"latents": "piano"}, "latents: must be numbers [n, 4]."),
        ({"max_note": 0}, "max_note=0: must be 0.01 s or more."),
        ({"attack": 6}, "attack=6: must be 0 to 5 s."),
        ({"release": 0}, "release=0: must be 0.005 to 2 s."),
        ({"times": [0.0]}, "times=[0.0]: are those of given latents, one after the other."),
        ({"seed": -1}, "seed=-1: must be a whole number of 0 or more, or None."),
    ],
)
def test_an_argument_out_of_its_rule_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(score((60, 0, 1)), ToneSynth(), **options)
    assert message in str(caught.value)


def test_more_tracks_than_latents_are_told() -> None:
    notes = tuple(ScoreNote(60, 90, 0.0, 1.0, track, 0, 0) for track in range(3))
    with pytest.raises(InputError, match=r"latents: 2 given, but the piece has 3 tracks\."):
        make_plan(Score(notes), ToneSynth(), arrangement="per-track", latents=np.ones((2, 4)))


# --- the clip -----------------------------------------------------------------------------------


def clip_of(plan: Plan, synth: Synth) -> NDArray[np.float32]:
    with render(plan, synth) as clip:
        return np.concatenate(list(clip.blocks()))


def test_the_synth_is_asked_for_every_note_of_the_plan_in_order() -> None:
    synth = ToneSynth()
    plan = make_plan(score((60, 0, 1), (64, 0, 1), (67, 2, 3)), synth)
    clip_of(plan, synth)
    assert [pitch for _, pitch in synth.asked] == [60, 64, 67]
    np.testing.assert_array_equal([latent for latent, _ in synth.asked], plan.latents())


def test_velocity_scales_a_note_linearly(make_midi: MakeMidi) -> None:
    song = make_midi([(60, 0, 1, 120), (60, 5, 6, 60), (60, 10, 11, 30)])
    clip = perform(song, ToneSynth())
    peaks = [np.abs(clip[start : start + 3000]).max() for start in (0, 5000, 10_000)]
    np.testing.assert_allclose(peaks, [0.5, 0.25, 0.125], rtol=1e-6)


def test_one_note_of_10_ms_is_a_clip(make_midi: MakeMidi) -> None:
    clip = perform(make_midi([(60, 0, 0.01)]), ToneSynth())
    assert clip.shape == (3000,)
    assert clip.dtype == np.float32
    assert np.abs(clip).max() == pytest.approx(0.5, abs=1e-7)
    assert not clip[400:].any()


def test_a_clip_shorter_than_two_instruments_still_goes_between_two() -> None:
    plan = make_plan(score((60, 0, 0.5)), ToneSynth(), secs_per_instrument=60.0)
    assert plan.instruments.shape == (2, 4)
    assert plan.times is not None
    assert plan.times[-1] == 0.5


def test_a_long_held_note_sounds_until_its_key_is_let_go() -> None:
    synth = ToneSynth()
    plan = make_plan(score((60, 0, 8), (62, 0, 3)), synth)
    assert "1 extended beyond 3 s" in plan.summary()
    clip = clip_of(plan, synth)
    assert clip.shape == (11_000,)
    np.testing.assert_allclose(clip[3300:7990], clip[3300], rtol=0.01)
    assert clip[7990] == pytest.approx(0.25, rel=0.01)
    assert not clip[8300:].any()


def test_a_drone_is_released_after_2_minutes_and_counted() -> None:
    synth = ToneSynth()
    plan = make_plan(score((60, 0, 3600)), synth)
    assert "1 extended beyond 3 s, 1 held longer than 120 s and released then" in plan.summary()
    tracemalloc.start()
    try:
        with render(plan, synth) as clip:
            sounding = [bool(block.any()) for block in clip.blocks()]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sounding[0]
    assert not any(sounding[1:])  # a block is 262 s at this rate
    assert most < 20e6


def test_notes_of_up_to_3_seconds_are_the_same_either_way() -> None:
    synth, piece = ToneSynth(), score((60, 0, 3), (62, 1, 1.5), (62, 2, 4.9))
    extended, cut = (make_plan(piece, synth, sustain=how) for how in ("extend", "cut"))
    np.testing.assert_array_equal(clip_of(extended, synth), clip_of(cut, synth))


def test_a_long_held_note_is_cut_after_3_seconds_and_counted() -> None:
    synth = ToneSynth()
    plan = make_plan(score((60, 0, 8), (62, 0, 3)), synth, sustain="cut")
    assert "1 held longer than 3 s and released then" in plan.summary()
    clip = clip_of(plan, synth)
    assert clip.shape == (11_000,)
    assert clip[2990] > 0.4
    assert not clip[3300:].any()


def test_a_silent_synth_gives_silence(make_midi: MakeMidi) -> None:
    clip = perform(make_midi([(60, 0, 1), (64, 1, 2)]), ToneSynth(loudness=0.0))
    assert clip.shape == (5000,)
    assert (clip == 0).all()


def test_ten_thousand_notes_stream_in_bounded_memory() -> None:
    synth = ToneSynth()
    piece = score(*((60, 0.1 * index, 0.1 * index + 1) for index in range(10_000)))
    plan = make_plan(piece, synth)
    tracemalloc.start()
    try:
        with render(plan, synth) as clip:
            samples = sum(len(block) for block in clip.blocks())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(synth.asked) == 10_000
    assert samples == 1003 * 1000
    assert most < 20e6  # the waves would be 160 MB


def test_a_real_model_plays_the_same_clip_for_the_same_seed(
    tiny_synth: Synth, make_midi: MakeMidi
) -> None:
    song = make_midi([(60, 0, 0.4), (64, 0.2, 0.9)], [(48, 0.0, 1.2), (36, 0.5, 0.7, 90, 9)])
    assert read_midi(song).drums == 1
    first = perform(song, tiny_synth, seed=5)
    assert first.shape == (4 * 16_000,)
    assert np.isfinite(first).all()
    assert np.abs(first).max() == pytest.approx(0.5, abs=1e-7)
    np.testing.assert_array_equal(first, perform(song, tiny_synth, seed=5))
    assert np.abs(first - perform(song, tiny_synth, seed=6)).max() > 0.01


def test_notes_shorter_than_the_originals_are_held_as_long_as_they_last(
    make_midi: MakeMidi,
) -> None:
    from gansynth import config
    from gansynth.model.file import initial_model
    from gansynth.model.synth import Synth

    synth = Synth(
        initial_model(config.preset("tiny").replace(audio_length=32_000), [60], seed=0), "cpu"
    )
    score = read_midi(make_midi([(60, 0.0, 2.9), (60, 3.0, 4.0)]))
    plan = make_plan(score, synth, sustain="cut")
    assert plan.hold == pytest.approx(1.7)
    assert "1 held longer than 1.7 s and released then" in plan.summary()
    assert "1 extended beyond 1.7 s" in make_plan(score, synth).summary()


def test_notes_too_short_to_be_extended_are_cut() -> None:
    synth = ToneSynth()
    synth.note_samples = 1600
    plan = make_plan(score((60, 0, 8)), synth)
    assert "1 held longer than 1.3 s and released then" in plan.summary()
    assert not clip_of(plan, synth)[1600:].any()


def test_a_synth_that_is_none_is_told(make_midi: MakeMidi) -> None:
    with pytest.raises(InputError, match=r"synth='m': must be a Synth; use gansynth\.load\('m'\)"):
        perform(make_midi([(60, 0.0, 1.0)]), "m")  # type: ignore[arg-type]
