"""Finding a sound: what the distance hears, how a recording is made to fit, what a search finds."""

from __future__ import annotations

import math
import wave as wave_module
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

import sound_writer
from frames_model import made
from gansynth import config as configs
from gansynth.audio.pitch import estimate_pitch
from gansynth.errors import InputError
from gansynth.matching import search
from gansynth.matching.distance import SpectralDistance
from gansynth.matching.search import halving, match, typical_lengths
from gansynth.matching.sound import RecordedNote, fit_note, read_sound
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth

RATE = 16000
KNOWN = range(48, 73)
# A quarter of a second at 4 kHz; phases that hardly move, so that even untrained notes are tones.
SMALL = {
    "data_type": "linear",
    "sample_rate": 4000,
    "audio_length": 1000,
    "start_height": 4,
    "start_width": 8,
    "num_resolutions": 4,
    "latent_vector_size": 2,
    "fmap_max": 4,
    "mag_normalizer_a": 0.3,
    "p_normalizer_a": 1e4,
}


def tone(pitch: float, seconds: float = 4.0, rate: int = RATE, bright: float = 0.5) -> np.ndarray:
    """A decaying tone with harmonics; each is `bright` times as loud as the one below."""
    t = np.arange(round(seconds * rate)) / rate
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    count = max(1, int(0.45 * rate / hertz))
    partials = (bright**k * np.sin(2 * np.pi * hertz * (k + 1) * t) for k in range(count))
    return (0.2 * np.exp(-t) * sum(partials)).astype(np.float32)


def fitted(wave: np.ndarray, rate: int = RATE, pitch: int | None = None) -> RecordedNote:
    return fit_note(wave, rate, pitches=KNOWN, model_rate=RATE, note_samples=4 * RATE, pitch=pitch)


@pytest.fixture(scope="module")
def small() -> Synth:
    config = configs.preset("tiny").replace(**SMALL)
    return Synth(initial_model(config, list(KNOWN), seed=0), "cpu")


def note_of(synth: Synth, latent: np.ndarray, pitch: int) -> RecordedNote:
    made = synth.notes(latent, [pitch])[0]
    return RecordedNote(made, len(made), pitch, pitch)


# --- the distance -------------------------------------------------------------------------------


def away(wave: np.ndarray, other: np.ndarray, samples: int = 64000) -> float:
    distance = SpectralDistance(torch.tensor(wave), RATE, samples)
    return float(distance(torch.tensor(other)[None]))


def test_level_is_no_part_of_the_distance() -> None:
    wave = tone(60)
    assert away(wave, wave) == 0
    assert away(wave, 0.001 * wave) < 0.02
    assert away(wave, -wave) < 1e-4


def test_the_distance_grows_with_the_difference_in_timbre() -> None:
    wave = tone(60, bright=0.5)
    distances = [away(wave, tone(60, bright=b)) for b in (0.55, 0.65, 0.8, 0.95)]
    assert distances == sorted(distances)
    assert 0.2 < distances[0] < distances[-1] / 4


def test_attack_and_decay_are_heard() -> None:
    wave = tone(60)
    steady = wave * np.exp(np.arange(64000) / RATE).astype(np.float32)
    slow = wave * np.minimum(1, np.arange(64000) / (0.2 * RATE)).astype(np.float32)
    assert away(wave, steady) > 3
    assert away(wave, slow) > 0.3


def test_what_follows_a_cut_does_not_count() -> None:
    wave = tone(60)
    cut = np.where(np.arange(64000) < 32000, wave, 0).astype(np.float32)
    assert away(cut, wave, samples=32000) < 1e-4
    assert away(cut, wave) > 3


@pytest.mark.parametrize("data_type", ["mel", "linear", "phase", "wave"])
def test_every_data_type_has_distances_with_gradients(data_type: str) -> None:
    wide = {"scale_mode": "H", "start_width": 1, "start_height": 256}
    shape = wide if data_type == "wave" else {}
    config = configs.preset("tiny").replace(**{**SMALL, "data_type": data_type, **shape})
    synth = Synth(initial_model(config, [60], seed=0), "cpu")
    note = note_of(synth, synth.sample_latents(1, 5), 60)
    distance = SpectralDistance(torch.from_numpy(note.wave), 4000)
    latents = torch.tensor(synth.sample_latents(3, 1), requires_grad=True)
    distances = distance(synth.voice(latents, 60))
    (gradients,) = torch.autograd.grad(distances.sum(), latents)
    assert distances.shape == (3,)
    assert (distances > 0).all()
    assert torch.isfinite(gradients).all()
    assert (gradients.abs().sum(dim=1) > 0).all()


def test_a_search_hears_the_notes_of_the_models_usual_velocity() -> None:
    synth = Synth(made(velocities=(64,)), "cpu")
    wave = synth.notes(synth.sample_latents(1, 100), [60])[0]
    note = RecordedNote(wave, len(wave), 60, 60)
    found = match(synth, note, starts=2, steps=8)
    distance = SpectralDistance(torch.from_numpy(wave), synth.sample_rate)
    heard = float(distance(torch.from_numpy(synth.notes(found.latent, [60]))))
    assert found.distance == pytest.approx(heard, abs=1e-3)
    assert found.distance < found.before


def test_a_search_takes_the_velocity_that_is_given() -> None:
    synth = Synth(made(), "cpu")
    wave = synth.notes(synth.sample_latents(1, 100), [60], 32)[0]
    note = RecordedNote(wave, len(wave), 60, 60)
    found = match(synth, note, starts=2, steps=8, velocity=32)
    distance = SpectralDistance(torch.from_numpy(wave), synth.sample_rate)
    soft, usual = (synth.notes(found.latent, [60], v) for v in (32, None))
    assert float(distance(torch.from_numpy(soft))) == pytest.approx(found.distance, abs=1e-3)
    assert float(distance(torch.from_numpy(usual))) > found.distance + 0.01
    with pytest.raises(InputError, match=r"^velocities: must be numbers from 1 to 127\.$"):
        match(synth, note, velocity=200)


# --- the recording ------------------------------------------------------------------------------


def test_a_note_that_fits_stays_as_it_is() -> None:
    wave = tone(60)
    note = fitted(wave)
    np.testing.assert_array_equal(note.wave, wave)
    assert (note.pitch, note.samples, note.transposed) == (60, 64000, 0)
    assert abs(note.heard - 60) < 0.05


def test_stereo_of_another_rate_with_silence_before_is_made_to_fit(tmp_path: Path) -> None:
    wave = np.concatenate([np.zeros(22050, np.float32), tone(57, 5, rate=44100)])
    soundfile.write(tmp_path / "a.flac", np.stack([wave, 0.5 * wave], axis=1), 44100)
    note = fitted(*read_sound(tmp_path / "a.flac"))
    assert (note.pitch, len(note.wave), note.samples) == (57, 64000, 64000)
    want = 0.75 * tone(57)
    lag = np.argmax(np.correlate(note.wave[:4000], want[100:3000])) - 100
    assert abs(lag) <= 0.004 * RATE
    assert abs(np.abs(note.wave).max() / np.abs(want).max() - 1) < 0.02


@pytest.mark.parametrize(("heard", "pitch"), [(60.3, 60), (45.0, 48), (80.0, 72)])
def test_other_pitches_are_played_at_the_nearest_that_the_model_knows(
    heard: float, pitch: int
) -> None:
    note = fitted(tone(heard, 6))
    assert note.pitch == pitch
    assert note.transposed == pytest.approx(pitch - heard, abs=0.05)
    assert abs(estimate_pitch(note.wave, RATE).pitch - pitch) < 0.05


def test_a_recording_cut_off_counts_to_its_end_and_one_that_died_away_to_the_notes() -> None:
    assert fitted(tone(60, 1.0)).samples == 16000
    silence = np.zeros(RATE // 5, np.float32)
    assert fitted(np.concatenate([tone(60, 1.0), silence])).samples == 64000
    np.testing.assert_array_equal(fitted(tone(60, 1.0)).wave[16000:], 0)


@pytest.mark.parametrize("steps", [(0, 4, 7), (0, 3, 7), (0, 7), (0, 5), (0, 6)])
def test_chords_are_refused_unless_a_pitch_is_given(steps: tuple[int, ...]) -> None:
    chord = np.sum([tone(60 + step) for step in steps], axis=0)
    with pytest.raises(InputError, match=r"not a chord or noise; or say its pitch with --pitch"):
        fitted(chord)
    assert fitted(chord, pitch=64).pitch == 64


@pytest.mark.parametrize("pitch", [28, 40, 60, 84, 100])
def test_dull_and_bright_notes_are_no_chords(pitch: int) -> None:
    for bright in (0.1, 0.9):
        assert abs(fitted(tone(pitch, bright=bright)).heard - pitch) < 0.1


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (np.zeros(64000, np.float32), "sound: is silent; give a recording of one note."),
        (tone(60, 0.1), "sound: sounds for 0.10 s: must be 0.2 s or more; give a longer note."),
        (np.zeros(0, np.float32), "sound: sounds for 0.00 s: must be 0.2 s or more"),
        (np.ones(64000, np.float32), "sound: no pitch is heard: must be one note at a time"),
        (
            np.random.default_rng(0).normal(0, 0.1, 64000).astype(np.float32),
            "sound: no pitch is heard: must be one note at a time",
        ),
    ],
)
def test_what_is_no_note_is_told(wave: np.ndarray, words: str) -> None:
    with pytest.raises(InputError) as error:
        fitted(wave)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pipe.wav", sound_writer.wav_with_sizes(sound_writer.tone(), 0, 0)),
        ("pipe.flac", sound_writer.flac_without_length(sound_writer.tone())),
        ("sides.wav", sound_writer.encoded(np.outer(sound_writer.tone(), [1, -1]))),
    ],
)
def test_recordings_are_read_as_data_sets_are(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    wave, rate = read_sound(tmp_path / name)
    assert (rate, len(wave)) == (16_000, 8000)
    assert np.abs(wave).max() == pytest.approx(np.abs(sound_writer.tone()).max(), abs=1e-3)


def test_what_needs_another_decoder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansynth.audio.reading.has_pyav", lambda: False)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(InputError, match=r"a.m4a': can't be read here; convert it to WAV, or `pip"):
        read_sound(tmp_path / "a.m4a")


def test_files_that_hold_no_sound_are_told(tmp_path: Path) -> None:
    def told(name: str) -> str:
        with pytest.raises(InputError) as error:
            read_sound(tmp_path / name)
        return str(error.value).replace(str(tmp_path), "")

    assert told("none.wav") == "sound='/none.wav': can't be read (No such file or directory)."
    assert told("") == "sound='': can't be read (is not a regular file)."
    (tmp_path / "text.wav").write_text("no sound")
    assert told("text.wav") == "sound='/text.wav': can't be read as sound (Format not recognised)."
    soundfile.write(tmp_path / "nan.wav", np.array([0, math.nan]), RATE, "FLOAT")
    assert "has samples that aren't finite numbers" in told("nan.wav")
    with wave_module.open(str(tmp_path / "slow.wav"), "wb") as file:
        file.setparams((1, 2, 10, 0, "NONE", ""))
        file.writeframes(bytes(100))
    assert "sample_rate=10: must be a whole number of Hz, 1000..384000" in told("slow.wav")


# --- the search ---------------------------------------------------------------------------------


def test_a_note_that_the_model_made_is_found_again(small: Synth) -> None:
    found = 0
    for trial in range(3):
        pitch = int(small.sample_pitches(1, trial)[0])
        note = note_of(small, small.sample_latents(1, 100 + trial), pitch)
        result = match(small, note, starts=16, steps=48, seed=trial)
        assert result.distance < result.before
        found += result.distance < 0.1 * np.median(result.random)
    assert found >= 2


def test_the_distance_told_is_that_of_the_latent(small: Synth) -> None:
    note = note_of(small, small.sample_latents(1, 100), 60)
    result = match(small, note, starts=8, steps=12)
    distance = SpectralDistance(torch.from_numpy(note.wave), small.sample_rate)
    made = torch.from_numpy(small.notes(result.latent, [60]))
    assert float(distance(made)) == pytest.approx(result.distance, abs=1e-3)
    assert (len(result.random), result.steps, result.ended) == (8, 12, "")


def test_without_steps_the_nearest_random_latent_is_taken(small: Synth) -> None:
    latents = small.sample_latents(6, 9)
    result = match(small, note_of(small, latents[4], 60), starts=6, steps=0, seed=9)
    np.testing.assert_array_equal(result.latent, latents[4])
    assert result.distance == result.before < 0.01


def test_a_seed_gives_the_same_latent(small: Synth) -> None:
    note = note_of(small, small.sample_latents(1, 100), 60)
    first, again = (match(small, note, starts=8, steps=8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.latent, again.latent)
    assert not np.array_equal(first.latent, match(small, note, starts=8, steps=8, seed=4).latent)


def test_latents_stay_as_long_as_random_ones(small: Synth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_RATE", 100.0)
    note = note_of(small, small.sample_latents(1, 100), 60)
    low, high = typical_lengths(2)
    seen: list[float] = []
    move = search._Climber.move

    def watched(climber: search._Climber, *args: object) -> None:
        move(climber, *args)  # type: ignore[arg-type]
        seen.append(float(climber.latent.detach().norm()))

    monkeypatch.setattr(search._Climber, "move", watched)
    match(small, note, starts=4, steps=8)
    assert max(seen) > 0.99 * high
    assert all(0.999 * low <= length <= 1.001 * high for length in seen)


@pytest.mark.parametrize("size", [1, 4, 16, 256])
def test_99_of_100_random_latents_have_a_typical_length(size: int) -> None:
    lengths = np.linalg.norm(np.random.default_rng(0).standard_normal((20_000, size)), axis=1)
    low, high = typical_lengths(size)
    assert 0.98 < np.mean((lengths >= low) & (lengths <= high)) <= 1


@given(first=st.integers(1, 8), steps=st.integers(1, 300))
def test_the_field_is_halved_round_by_round(first: int, steps: int) -> None:
    field = halving(first, steps)
    assert len(field) == steps
    assert field[0] == first
    assert field == sorted(field, reverse=True)
    assert steps < 4 or field[-1] == 1


def test_time_ends_a_search(small: Synth) -> None:
    note = note_of(small, small.sample_latents(1, 100), 60)
    result = match(small, note, starts=1000, steps=1000, minutes=1e-9)
    assert (len(result.random), result.steps, result.ended) == (1, 0, "time")
    assert result.distance == result.random[0]


def test_ctrl_c_keeps_the_nearest_so_far(small: Synth, monkeypatch: pytest.MonkeyPatch) -> None:
    note = note_of(small, small.sample_latents(1, 100), 60)
    step, count = search._step, 0

    def interrupted(*args: object) -> None:
        nonlocal count
        count += 1
        if count > 20:
            raise KeyboardInterrupt
        step(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "_step", interrupted)
    result = match(small, note, starts=8, steps=100)
    assert (result.ended, result.steps) == ("stopped", 2)
    assert result.distance <= result.before

    def at_once(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(small, "notes", at_once)
    with pytest.raises(KeyboardInterrupt):
        match(small, note, starts=8, steps=100)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"starts": 0}, "starts=0: must be a whole number from 1 to 1000000."),
        ({"steps": -1}, "steps=-1: must be a whole number from 0 to 1000000."),
        ({"steps": 1.5}, "steps=1.5: must be a whole number"),
        ({"minutes": 0}, "minutes=0: must be a number above 0."),
        ({"minutes": math.nan}, "minutes=nan: must be a number above 0."),
        ({"seed": -1}, "seed=-1: must be a whole number of 0 or more"),
    ],
)
def test_options_out_of_range_are_told(small: Synth, options: dict[str, float], words: str) -> None:
    note = note_of(small, small.sample_latents(1, 100), 60)
    with pytest.raises(InputError) as error:
        match(small, note, **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(words)


def test_the_benchmark_counts_what_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench import match as benchmark
    from gansynth.model.file import save_model
    from training_data import NOTE_PITCHES, write_notes

    config = configs.preset("tiny").replace(**SMALL)
    save_model(tmp_path / "m.safetensors", initial_model(config, sorted(set(NOTE_PITCHES)), seed=0))
    sizes = {"trials": 2, "held": 1, "random": 3, "starts": 4, "steps": 8}
    words = [str(word) for name, value in sizes.items() for word in (f"--{name}", value)]
    notes, model = (str(tmp_path / name) for name in ("notes", "m.safetensors"))
    write_notes(tmp_path / "notes", samples=4000)
    monkeypatch.setattr("sys.argv", ["bench.match", notes, "--model", model, *words])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("own note, pitch ")
    assert " of 2, " in lines[2]
    assert lines[4] in ("nearer in 0 of 1", "nearer in 1 of 1")
