"""Bend, level, pan and modulation, as they are heard in the clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from gansynth.audio.pitch import estimate_pitch
from gansynth.model.synth import Synth
from gansynth.performance.midi import ScoreNote, read_midi
from gansynth.performance.perform import perform
from gansynth.performance.plan import make_plan
from midi_bytes import BEAT, bend, control, ev, off, on, rpn, smf

RATE = 16_000
SECOND = 2 * BEAT
Floats = NDArray[np.float32]
Play = Callable[..., Floats]


class PartialsSynth(Synth):
    """Plays 4 s of six partials, or of one; remembers the pitches it was asked for."""

    def __init__(self, partials: int = 6):
        self.pitches, self.latent_size, self.velocities = tuple(range(24, 85)), 4, ()
        self.sample_rate, self.note_samples, self.partials = RATE, 4 * RATE, partials
        self.asked: list[int] = []

    def stream(
        self, latents: ArrayLike, pitches: ArrayLike, velocities: ArrayLike | None = None
    ) -> Iterator[Floats]:
        time = np.arange(self.note_samples) / RATE
        for pitch in np.asarray(pitches).tolist():
            self.asked.append(pitch)
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            numbers = [n for n in range(1, self.partials + 1) if n * hertz < 7000]
            yield sum(np.sin(2 * np.pi * n * hertz * time + n) / n for n in numbers).astype("f4")


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def play_tracks(*tracks: bytes, partials: int = 6, **options: object) -> Floats:
        (tmp_path / "song.mid").write_bytes(smf(*tracks))
        return perform(tmp_path / "song.mid", PartialsSynth(partials), **options)  # type: ignore

    return play_tracks


def held(seconds: float, pitch: int = 60, channel: int = 0) -> bytes:
    return on(0, pitch, channel=channel) + off(round(seconds * SECOND), pitch, channel)


def pitch_of(clip: Floats, start: float, stop: float) -> float:
    """MIDI pitch with its fraction, by YIN."""
    return estimate_pitch(clip[int(start * RATE) : int(stop * RATE)], RATE).pitch


def level_of(clip: Floats, start: float, stop: float) -> float:
    """RMS in dB."""
    return 10 * np.log10(np.mean(np.square(clip[int(start * RATE) : int(stop * RATE)])))


def pitches_of(clip: Floats) -> Floats:
    """MIDI pitch at each sample of a lone sine, by the phase of its analytic signal."""
    spectrum = np.fft.fft(clip)
    spectrum[len(clip) // 2 :] = 0
    steps = np.diff(np.unwrap(np.angle(np.fft.ifft(spectrum))))
    return 12 * np.log2(np.maximum(steps, 1e-9) * RATE / (2 * np.pi) / 440) + 69


def splatter(clip: Floats, start: float, stop: float, hertz: float) -> float:
    """The strongest that lies more than 500 Hz off a sine, in dB: clicks and zipper noise."""
    piece = clip[int(start * RATE) : int(stop * RATE)]
    spectrum = np.abs(np.fft.rfft(piece * np.blackman(len(piece)) ** 2))
    away = np.abs(np.arange(len(spectrum)) * RATE / len(piece) - hertz) > 500
    return float(20 * np.log10(spectrum[away].max() / spectrum.max()))


# --- bend -----------------------------------------------------------------------------------------

CENTS = 0.05  # semitones


@pytest.mark.parametrize("value", [-8192, -4096, -2048, 1, 1365, 4096, 8191])
@pytest.mark.parametrize("reach", [1, 2, 12])
def test_a_bend_before_a_note_is_its_pitch_to_5_cents(play: Play, value: int, reach: int) -> None:
    clip = play(rpn(0, reach) + bend(0, value) + held(1))
    for start in (0.0, 0.5):  # from its first sample on
        found = pitch_of(clip, start, start + 0.4)
        assert found == pytest.approx(60 + value / 8192 * reach, abs=CENTS)


def test_a_bend_during_a_note_goes_where_it_is_told(play: Play) -> None:
    steps = b"".join(bend(SECOND // 96, round(8191 * n / 96)) for n in range(1, 97))
    track = on(0, 60) + steps + off(SECOND, 60)
    clip = play(track)
    assert pitch_of(clip, 1.2, 1.9) == pytest.approx(62, abs=CENTS)
    sine = play(track, partials=1)
    found = pitches_of(sine)[RATE // 10 : int(0.9 * RATE)]
    line = 60 + 2 * np.arange(RATE // 10, int(0.9 * RATE)) / RATE
    assert np.abs(found - line).max() < CENTS
    assert splatter(sine, 0.05, 1.9, 280) < -80


def test_a_jump_in_pitch_is_no_click(play: Play) -> None:
    clip = play(on(0, 60) + bend(SECOND, 8191) + off(SECOND, 60), partials=1)
    found = pitches_of(clip)
    assert np.abs(found[1600 : RATE - 16] - 60).max() < CENTS
    assert np.abs(found[RATE + 160 : int(1.9 * RATE)] - 62).max() < CENTS
    assert splatter(clip, 0.9, 1.1, 277) < -70


def test_the_attack_is_not_smeared(play: Play) -> None:
    """The envelope of the first 60 ms is that of the note without a bend."""
    bent, plain = play(bend(0, 2048) + held(1)), play(held(1))
    for clip in (bent, plain):
        clip /= np.abs(clip).max()
    windows = [slice(n * 160, (n + 3) * 160) for n in range(6)]
    for window in windows:
        assert np.abs(bent[window]).max() == pytest.approx(np.abs(plain[window]).max(), abs=0.12)
    assert not bent[:1].any()


def test_microtuned_files_have_a_channel_for_each_note(play: Play) -> None:
    scale = [0.0, 0.5, -0.25, 0.1369, -0.4]
    body = b"".join(
        bend(0, round(cents * 4096), channel) + held(1, 60 + channel, channel)
        for channel, cents in enumerate(scale)
    )
    clip = play(body)
    for channel, cents in enumerate(scale):
        found = pitch_of(clip, channel + 0.35, channel + 0.95)
        assert found == pytest.approx(60 + channel + cents, abs=CENTS)


def test_mpe_notes_bend_each_for_itself(play: Play) -> None:
    up = b"".join(bend(SECOND // 10, round(8192 * n / 10 * 7 / 48), 1) for n in range(1, 11))
    track = rpn(6, 4) + on(0, 48, channel=1) + on(0, 55, channel=2) + up
    alone = play(track + off(SECOND, 48, 1) + off(0, 55, 2), partials=1)
    spectrum = np.abs(np.fft.rfft(alone[int(1.2 * RATE) : int(1.9 * RATE)] * np.hanning(11_200)))
    peak = spectrum.argmax() * RATE / 11_200
    assert 12 * np.log2(peak / 440) + 69 == pytest.approx(55, abs=0.1)  # both sound G3 now
    assert np.sort(spectrum)[-6] > 10 * np.median(np.sort(spectrum)[-40:-20])


def test_a_bent_note_can_be_held_for_long(play: Play) -> None:
    for value, semitones in ((8191, 2), (-8192, -2)):
        clip = play(on(0, 60) + bend(SECOND, value) + off(7 * SECOND, 60))
        assert pitch_of(clip, 7.0, 7.9) == pytest.approx(60 + semitones, abs=CENTS)
        assert level_of(clip, 7.0, 7.9) == pytest.approx(level_of(clip, 1.2, 2.0), abs=1)
        assert not clip[int(8.31 * RATE) :].any()


def test_a_cut_note_ends_when_its_own_three_seconds_are_through(play: Play) -> None:
    octave = rpn(0, 12) + on(0, 60) + bend(0, 0) + bend(SECOND // 100, 8191)
    clip = play(octave + off(8 * SECOND, 60), sustain="cut")
    assert level_of(clip, 1.0, 1.4) > -20
    assert not clip[int(1.9 * RATE) :].any()


def test_a_release_keeps_the_bend_that_it_began_with(play: Play) -> None:
    clip = play(bend(0, 4096) + on(0, 60) + off(SECOND, 60) + bend(0, -8192), partials=1)
    assert pitch_of(clip, 1.0, 1.25) == pytest.approx(61, abs=CENTS)


def test_notes_are_made_on_the_pitch_where_they_begin() -> None:
    """So that a note that begins high has the sound of a high one, and a wheel reaches further."""
    from gansynth.performance.controls import Controls

    def note(pitch: int, semitones: float) -> ScoreNote:
        controls = Controls()
        controls.bend.set(0.0, semitones)
        return ScoreNote(pitch, 90, 0.0, 1.0, 0, 0, 0, controls=(controls,))

    from gansynth.performance.midi import Score

    wanted = [(60, 1.9), (60, -0.4), (83, 2.0), (90, -12.0), (90, 0.5)]
    score = Score(tuple(note(*each) for each in wanted))
    plan = make_plan(score, PartialsSynth())
    assert [(n.pitch, n.tuned) for n in plan.notes] == [
        (62, 2), (60, 0), (84, 1), (78, -12), (78, 0),
    ]  # fmt: skip
    assert plan.moved == 1


def test_alias_products_stay_60_db_down(play: Play) -> None:
    from gansynth.spectral.bend import Bend, bend

    time = np.arange(RATE) / RATE
    for hertz in (1000, 5000, 7000):
        for semitones in (-5, 1.5, 7, 19):
            tone = np.sin(2 * np.pi * hertz * time)
            made = bend(tone, RATE, Bend([0.0], [semitones]), RATE // 3)[500:-500]
            spectrum = np.abs(np.fft.rfft(made * np.blackman(len(made)) ** 2))
            full = np.sum(np.blackman(len(made)) ** 2) / 2
            place = hertz * 2 ** (semitones / 12) * len(made) / RATE
            far = np.abs(np.arange(len(spectrum)) - place) > 12
            assert 20 * np.log10(spectrum[far].max() / full) < -60, (hertz, semitones)


# --- level and pan --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [7, 11])
@pytest.mark.parametrize("value", [1, 20, 64, 90, 127])
def test_volume_and_expression_are_40_log_10(play: Play, number: int, value: int) -> None:
    loud, soft = control(0, number, 127), control(0, number, value, 1)
    clip = play(loud + soft + held(0.5) + ev(SECOND) + held(0.5, channel=1)[1:])
    difference = level_of(clip, 1.6, 1.95) - level_of(clip, 0.1, 0.45)
    assert difference == pytest.approx(40 * np.log10(value / 127), abs=0.05)


def test_a_part_at_0_is_silent_and_the_other_plays(play: Play) -> None:
    clip = play(control(0, 7, 0) + held(1) + held(1, channel=1))
    assert not clip[:RATE].any()
    assert np.abs(clip).max() == pytest.approx(0.5, abs=1e-6)


def test_level_follows_over_time_without_zipper_noise(play: Play) -> None:
    fade = b"".join(control(SECOND // 60, 11, value) for value in range(126, 6, -1))
    clip = play(control(0, 11, 127) + on(0, 60) + fade + off(0, 60), partials=1)
    for when in (0.5, 1.0, 1.5):
        want = 40 * np.log10((127 - 60 * when) / 127)
        assert level_of(clip, when - 0.02, when + 0.02) - level_of(
            clip, 0.01, 0.03
        ) == pytest.approx(want, abs=0.6)
    assert splatter(clip, 0.1, 1.9, 261.6) < -90


def test_a_sudden_change_of_level_is_no_click(play: Play) -> None:
    clip = play(on(0, 60) + control(SECOND, 7, 30) + off(SECOND, 60), partials=1)
    assert splatter(clip, 0.9, 1.1, 261.6) < -70


def test_level_holds_from_the_first_sample_of_a_note(play: Play) -> None:
    soft = play(held(1, channel=1) + control(0, 7, 20) + held(1) + held(1))
    loud = play(held(1, channel=1) + held(1) + held(1))
    for clip in (soft, loud):
        clip /= np.abs(clip[: RATE // 2]).max()
    for begin in (RATE * 1.31, RATE * 2):  # the second over the release of the one before
        part = slice(int(begin), int(begin) + 800)
        np.testing.assert_allclose(soft[part], loud[part] / 25, atol=1e-6)


def test_stereo_has_constant_power_and_sides(play: Play) -> None:
    for value, angle in ((0, 0.0), (1, 0.0), (64, np.pi / 4), (127, np.pi / 2), (32, 31 / 252)):
        angle = np.pi * angle if value == 32 else angle
        clip = play(control(0, 10, value) + held(1), stereo=True)
        assert clip.shape == (4 * RATE, 2)
        left, right = (np.sqrt(np.mean(np.square(side[:RATE]))) for side in clip.T)
        assert np.arctan2(right, left) == pytest.approx(angle, abs=1e-4)


def test_a_part_that_wanders_keeps_its_power(play: Play) -> None:
    walk = b"".join(control(SECOND // 64, 10, 2 * n) for n in range(64))
    clip = play(on(0, 60) + walk + off(0, 60), stereo=True)
    power = np.square(clip).sum(axis=1)
    plain = np.square(play(held(1)))
    ratio = power[2000:14_000].reshape(-1, 1000).sum(1) / plain[2000:14_000].reshape(-1, 1000).sum(
        1
    )
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)
    assert clip[15_000:15_900, 1].std() > 10 * clip[15_000:15_900, 0].std()


# --- modulation -----------------------------------------------------------------------------------

WHEEL = {"wheel": control(0, 1, 127), "pressure": ev(0, 0xD0, 127)}


@pytest.mark.parametrize("by", ["wheel", "pressure"])
def test_modulation_is_heard_only_if_asked_for(play: Play, by: str) -> None:
    plain, body = play(held(2)), WHEEL[by] + held(2)
    np.testing.assert_array_equal(play(body), plain)
    pitches = pitches_of(play(body, modulation="vibrato", partials=1))[RATE // 5 : 2 * RATE - 800]
    assert pitches.max() == pytest.approx(60.5, abs=CENTS)
    assert pitches.min() == pytest.approx(59.5, abs=CENTS)
    swing = np.abs(np.fft.rfft((pitches - 60) * np.hanning(len(pitches)), 1 << 18))
    assert swing[: 1 << 12].argmax() * RATE / (1 << 18) == pytest.approx(5.5, abs=0.1)
    bright = play(body, modulation="brightness")
    assert centroid(bright) > 1.2 * centroid(plain)
    assert pitch_of(bright, 0.3, 1.7) == pytest.approx(60, abs=CENTS)


def centroid(clip: Floats) -> float:
    spectrum = np.abs(np.fft.rfft(clip[:RATE]))
    return float((spectrum * np.arange(len(spectrum))).sum() / spectrum.sum())


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    track = control(0, 1, 9) + control(0, 10, 0) + control(0, 91, 40) + held(1)
    (tmp_path / "song.mid").write_bytes(smf(track))
    score = read_midi(tmp_path / "song.mid")
    summary = make_plan(score, PartialsSynth()).summary()
    assert summary.endswith(
        ", 1 pan change left out, 1 modulation change left out, 1 other controller change left out"
    )
    told = make_plan(score, PartialsSynth(), stereo=True, modulation="vibrato").summary()
    assert told.endswith("instruments, 1 other controller change left out")


def test_a_piece_without_controllers_is_the_same_to_the_bit(play: Play) -> None:
    neutral = bend(0, 0) + control(0, 7, 100) + control(0, 11, 127) + control(0, 1, 0)
    np.testing.assert_array_equal(play(neutral + held(2)), play(held(2)))
