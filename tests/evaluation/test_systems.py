"""What is judged: real notes, those through a representation, models, folders of sounds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from evaluation_data import (
    PITCHES,
    RATE,
    SAMPLES,
    Player,
    instrument,
    silence,
    small,
    write_notes,
    write_wavs,
)
from gansynth.data.store import PreparedNotes, open_notes
from gansynth.errors import InputError
from gansynth.evaluation.report.gallery import spread_pitches
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.evaluation.systems.model import (
    LATENTS,
    PATHS,
    POINTS,
    ModelSystem,
    middle_pitch,
    path,
)
from gansynth.evaluation.systems.round_trip import RoundTrip, ladder, representation_config
from gansynth.evaluation.systems.wavs import WavFolder
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth
from gansynth.networks.family import family_of
from sound_writer import encoded, flac_without_length, wav_with_sizes

SECONDS = SAMPLES / RATE
DATA_TYPES = ("linear", "mel", "phase", "wave")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> PreparedNotes:
    """Two instruments."""
    return open_notes(write_notes(tmp_path_factory.mktemp("n") / "notes", training=1, held=1))


def model_notes(player: Player, counts: dict[int, int], notes: int = 40) -> ModelSystem:
    return ModelSystem("model", player, notes, (0, 1), counts)


def back(through: RoundTrip, waves: np.ndarray) -> np.ndarray:
    """Waves there and back, of pitches and velocities that make no difference."""
    return through.there_and_back(waves, *np.full((2, len(waves)), 60))


# Real notes


def test_real_notes_are_as_on_disk_and_in_the_order_asked_for(notes: PreparedNotes) -> None:
    """In batches of 16, full scale 1."""
    rows = np.random.default_rng(0).permutation(len(notes))
    real = DatasetNotes("real", notes, rows)
    batches = list(real.batches())
    assert [len(waves) for waves, _ in batches] == [16, 12]
    waves, pitches = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert np.array_equal(waves * 32768, notes.waveforms[rows])
    assert np.array_equal(pitches, notes.pitches[rows])
    assert (real.notes, real.seeds) == (28, ())
    assert real.instruments == real.groups() == [notes.records[row].group for row in rows]


# Through a representation


@pytest.mark.parametrize("data_type", ["linear", "phase", "wave"])
def test_notes_come_back_from_images_that_lose_nothing(
    notes: PreparedNotes, data_type: str
) -> None:
    """Where no normalizer clips them; the last frame of a spectrogram fades, as the original's."""
    real = DatasetNotes("real", notes, np.arange(20))
    through = RoundTrip(real, representation_config(data_type, RATE, SAMPLES))
    assert (through.name, through.notes, through.seeds) == (f"through {data_type}", 20, ())
    for (there, keys), (back, same) in zip(real.batches(), through.batches(), strict=True):
        whole = SAMPLES if data_type == "wave" else SAMPLES - 2048
        np.testing.assert_allclose(back[:, :whole], there[:, :whole], atol=1e-3)
        assert np.array_equal(keys, same)


def test_mel_images_lose_a_little(notes: PreparedNotes) -> None:
    """Finite notes of the right length, alike but not the same."""
    real = DatasetNotes("real", notes, np.arange(16))
    through = RoundTrip(real, representation_config("mel", RATE, SAMPLES))
    ((there, _),), ((back, _),) = real.batches(), through.batches()
    assert back.shape == there.shape
    loss = np.linalg.norm(back - there, axis=1) / np.linalg.norm(there, axis=1)
    assert 0.01 < np.median(loss) < 0.7


def test_a_models_own_normalizer_takes_part(notes: PreparedNotes) -> None:
    """What it clips is lost, and the facts tell it from another one."""
    real = DatasetNotes("real", notes, np.arange(16))
    config = small(data_normalizer="specgrams_simple_normalizer")
    wide, narrow = np.array([0.05, 0.3, 0.3, 0.0]), np.array([5.0, 0.0, 0.3, 0.0])
    whole, clipped = (RoundTrip(real, config, some) for some in (wide, narrow))
    ((there, _),) = real.batches()
    lost = [np.abs(back(some, there) - there)[:, :-512].max() for some in (whole, clipped)]
    assert lost[0] < 1e-3
    assert lost[1] > 0.1
    assert whole.facts != clipped.facts
    assert whole.facts == RoundTrip(real, config.replace(fmap_max=8), wide).facts


@given(
    data_type=st.sampled_from(DATA_TYPES),
    rate=st.integers(1000, 384_000),
    samples=st.integers(1, 4_000_000),
)
def test_every_rate_and_length_has_a_representation(
    data_type: str, rate: int, samples: int
) -> None:
    """Its image covers the note, four frames the first sample too; one step less would not."""
    config = representation_config(data_type, rate, samples)
    assert (config.data_type, config.sample_rate, config.audio_length) == (data_type, rate, samples)
    assert config.data_normalizer == "none"
    time, width = config.final_shape
    step = time // config.start_height
    if data_type == "wave":
        assert width == 1
        assert time - step < samples <= time
    else:
        assert width == 1024
        assert samples + 2048 - 512 <= 512 * (time - 1) + 2048
        assert config.start_height == 1 or samples > 512 * (time - step)


@pytest.mark.parametrize("data_type", DATA_TYPES)
@pytest.mark.parametrize("samples", [1, 2047, 34_304])
def test_notes_keep_their_length(
    tmp_path: Path, notes: PreparedNotes, data_type: str, samples: int
) -> None:
    """However short, and where the image is longer."""
    through = RoundTrip(
        DatasetNotes("real", notes, np.arange(1)), representation_config(data_type, 44_100, samples)
    )
    waves = np.random.default_rng(0).uniform(-0.5, 0.5, (2, samples)).astype(np.float32)
    found = back(through, waves)
    assert found.shape == waves.shape
    assert np.isfinite(found).all()


def test_a_note_does_not_fade_in(notes: PreparedNotes) -> None:
    """Not even one that just fills 64 frames; the mean is all that its spectrogram lacks."""
    real = DatasetNotes("real", notes, np.arange(1))
    through = RoundTrip(real, representation_config("linear", RATE, 34_304))
    waves = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 34_304)).astype(np.float32)
    np.testing.assert_allclose(back(through, waves)[:, :512], waves[:, :512], atol=0.05)


# Models


def test_pitches_are_as_frequent_as_in_training() -> None:
    """Within four standard errors; those that aren't judged never occur."""
    counts = {50: 1, 52: 3, 60: 6}
    system = model_notes(Player(silence), counts, notes=3000)
    heard = Counter(int(pitch) for _, pitches in system.batches(0) for pitch in pitches)
    assert heard.keys() == counts.keys()
    for pitch, count in counts.items():
        share = count / 10
        assert abs(heard[pitch] / 3000 - share) < 4 * math.sqrt(share * (1 - share) / 3000)


def test_a_seed_fixes_all_notes() -> None:
    """Another seed gives others; the first latents are those of `sample_latents`."""
    asked = []
    for seed in (5, 5, 6):
        player = Player(silence)
        batches = list(model_notes(player, dict.fromkeys(PITCHES, 1)).batches(seed))
        assert [len(waves) for waves, _ in batches] == [16, 16, 8]
        asked.append([np.concatenate(parts) for parts in zip(*player.asked, strict=True)])
        assert np.array_equal(asked[-1][0], player.sample_latents(40, seed))
    first, again, other = asked
    assert all(map(np.array_equal, first, again))
    assert not any(map(np.array_equal, first, other))


def test_pairs_are_one_latent_an_octave_apart() -> None:
    """The lower note comes first; both are among the pitches to judge."""
    player = Player(silence)
    counts = dict.fromkeys((50, 51, 55, 62, 63), 1)
    waves = sum(len(waves) for waves, _ in model_notes(player, counts).octaves(0))
    latents, pitches = (np.concatenate(parts) for parts in zip(*player.asked, strict=True))
    assert waves == len(pitches) == 2 * LATENTS
    assert np.array_equal(latents[::2], latents[1::2])
    assert len(np.unique(latents, axis=0)) == LATENTS
    assert np.array_equal(pitches[1::2], pitches[::2] + 12)
    assert set(pitches.tolist()) == {50, 51, 62, 63}


def test_without_an_octave_there_are_no_pairs() -> None:
    assert list(model_notes(Player(silence), {60: 1, 71: 2}).octaves(0)) == []


def test_paths_lead_from_one_latent_to_another() -> None:
    """At the pitch nearest to middle C."""
    player = Player(silence)
    list(model_notes(player, {50: 1, 61: 1, 63: 1}).paths(0))
    latents, pitches = (np.concatenate(parts) for parts in zip(*player.asked, strict=True))
    assert set(pitches.tolist()) == {61}
    ways = latents.reshape(PATHS, POINTS, -1)
    for way in ways:
        np.testing.assert_allclose(way, path(way[0], way[-1]), atol=1e-5)
    assert len(np.unique(ways[:, [0, -1]].reshape(2 * PATHS, -1), axis=0)) == 2 * PATHS


@given(st.integers(2, 20), st.integers(0, 1000))
def test_path_holds_its_ends_and_stays_on_the_sphere(points: int, seed: int) -> None:
    start, end = np.random.default_rng(seed).standard_normal((2, 8))
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    latents = path(start, end, points)
    assert (latents.shape, latents.dtype) == ((points, 8), np.float32)
    np.testing.assert_allclose(latents[[0, -1]], [start, end], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), 1, atol=1e-6)
    steps = np.linalg.norm(np.diff(latents, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], atol=1e-6)


@pytest.mark.parametrize(
    ("pitches", "middle"),
    [(range(24, 85), 60), ([59, 61], 59), ([24, 30], 30), ({84: 5, 70: 1}, 70), ([60], 60)],
)
def test_middle_pitch_is_the_nearest_to_middle_c(pitches: list[int], middle: int) -> None:
    assert middle_pitch(pitches) == middle


@given(st.sets(st.integers(0, 127), min_size=1), st.integers(2, 10))
def test_shown_pitches_are_spread_evenly(some: set[int], count: int) -> None:
    """Both ends, none twice, and gaps that differ by one at most."""
    pitches = sorted(some)
    chosen = spread_pitches(pitches, count)
    assert len(chosen) == min(count, len(pitches))
    assert {pitches[0], pitches[-1]} <= set(chosen) <= some
    gaps = np.diff([pitches.index(pitch) for pitch in chosen])
    assert not len(gaps) or (gaps.min() > 0 and gaps.max() - gaps.min() <= 1)


# Folders of sounds


def test_a_folder_is_heard_as_it_is(tmp_path: Path) -> None:
    """Every file once, in an order that is fixed; pitches that aren't judged are left out."""
    waves = 2 * instrument(0)  # beyond full scale, which a file of floats can hold
    folder = write_wavs(tmp_path / "other-system", waves, PITCHES)
    system = WavFolder(folder, SECONDS, PITCHES[2:])
    assert (system.name, system.kind, system.notes) == ("other-system", "wavs", 12)
    ((found, pitches),) = system.batches()
    assert sorted(pitches.tolist()) == list(PITCHES[2:])
    assert pitches.tolist() != sorted(pitches.tolist())
    assert np.array_equal(found, waves[pitches - PITCHES[0]])
    ((again, _),) = WavFolder(folder, SECONDS, PITCHES[2:]).batches()
    assert np.array_equal(found, again)


def test_a_folder_is_read_in_batches(tmp_path: Path) -> None:
    """Of 16 notes at most."""
    waves = np.zeros((40, 100), np.float32)
    system = WavFolder(write_wavs(tmp_path / "w", waves, [60] * 40), 100 / RATE, [60])
    assert [len(waves) for waves, _ in system.batches()] == [16, 16, 8]


def test_sounds_from_pipes_are_heard_to_their_end(tmp_path: Path) -> None:
    """And one recording in several formats once."""
    waves = instrument(0, (50, 51))
    piped = {
        "piano_050.wav": wav_with_sizes(waves[0], 0, 0),
        "piano_051.flac": flac_without_length(waves[1]),
        "piano_051.ogg": encoded(waves[1], "OGG"),
    }
    for name, data in piped.items():
        (tmp_path / name).write_bytes(data)
    system = WavFolder(tmp_path, SECONDS, PITCHES)
    assert (system.notes, system.sample_rate, system.unequal) == (2, RATE, 0)
    ((heard, pitches),) = system.batches()
    assert np.allclose(heard, waves[pitches - 50], atol=1e-4)


def test_formats_that_pyav_reads_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it they are named, with what to do."""
    av = pytest.importorskip("av")
    (wave,) = instrument(0, (50,))
    with av.open(str(tmp_path / "piano_050.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    system = WavFolder(tmp_path, SECONDS, PITCHES)
    ((heard, _),) = system.batches()
    assert (system.notes, system.sample_rate) == (1, RATE)
    assert np.corrcoef(np.abs(np.fft.rfft(heard[0])), np.abs(np.fft.rfft(wave)))[0, 1] > 0.9
    monkeypatch.setattr("gansynth.audio.reading.has_pyav", lambda: False)
    with pytest.raises(InputError, match=r"m4a: can't be read here; convert it to WAV, or .pip"):
        WavFolder(tmp_path, SECONDS, PITCHES)


def spoil(folder: Path, how: str) -> None:
    """Make one fault in a folder of sounds."""
    victim = sorted(folder.iterdir())[1]
    if how == "unreadable":
        victim.write_bytes(b"RIFF, but no more")
    elif how == "no pitch":
        victim.rename(folder / "strange.wav")
    elif how == "empty":
        for file in folder.iterdir():
            file.unlink()
    else:
        (folder / "manifest.csv").write_text("file,pitch\nmissing.wav,60\n")


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("unreadable", "keyboard_acoustic_001-051-100.wav: can't be read"),
        (
            "no pitch",
            "strange.wav: no pitch in name, manifest or file; name files as piano_060.wav or list "
            "their pitches in a manifest.csv.",
        ),
        ("empty", "holds no sounds among 0 files; give a folder of"),
        ("manifest", "keyboard_acoustic_000-050-100.wav: not in the manifest; name files as"),
    ],
)
def test_a_faulty_folder_is_refused_before_it_is_heard(tmp_path: Path, how: str, text: str) -> None:
    folder = write_wavs(tmp_path / "wavs", instrument(0, (50, 51)), (50, 51))
    spoil(folder, how)
    with pytest.raises(InputError) as caught:
        WavFolder(folder, SECONDS, PITCHES)
    assert str(folder) in str(caught.value)
    assert text in str(caught.value)


def test_sounds_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_wavs(tmp_path / "wavs", instrument(0, (50, 51)), (50, 51))
    with pytest.raises(InputError, match="has pitches 50-51; the data to compare with has 60-61"):
        WavFolder(folder, SECONDS, [60, 61])
    for file in folder.iterdir():
        soundfile.write(file, np.zeros(100), 4000)
    with pytest.raises(InputError, match=r"wavs=.*: has 4000 Hz; 8000 Hz or more are needed"):
        WavFolder(folder, SECONDS, PITCHES)


def test_sounds_of_any_rate_and_length_are_heard_for_as_long_as_the_data(tmp_path: Path) -> None:
    """At their own rate, cut or filled with silence; but not of two rates in one folder."""
    folder = write_wavs(tmp_path / "wavs", instrument(0, (50, 51)), (50, 51))
    for seconds, unequal in ((0.4, 2), (SECONDS, 0), (0.6, 2)):
        system = WavFolder(folder, seconds, PITCHES)
        ((waves, _),) = system.batches()
        assert (system.sample_rate, system.unequal) == (RATE, unequal)
        assert waves.shape == (2, round(seconds * RATE))
        assert not waves[:, SAMPLES:].any()
    soundfile.write(folder / "piano_052.wav", np.zeros(100), 44_100)
    with pytest.raises(InputError, match=r"has 44100 Hz, .* 16000 Hz; resample the files to one"):
        WavFolder(folder, SECONDS, PITCHES)


def test_a_value_that_is_no_number_is_refused_when_it_is_read(tmp_path: Path) -> None:
    """With the file's name."""
    waves = instrument(0, (50, 51))
    waves[1, 5] = np.nan
    folder = write_wavs(tmp_path / "wavs", waves, (50, 51))
    system = WavFolder(folder, SECONDS, PITCHES)
    with pytest.raises(InputError, match=r"001-051-100\.wav: has samples that aren't finite"):
        list(system.batches())


# Steps of an autoencoding model


def test_a_ladder_leads_from_notes_to_what_a_model_makes_of_them(notes: PreparedNotes) -> None:
    """The texture keeps a note's spectrum; an untrained encoder and decoder don't."""
    config = small(
        g_fn="frames", d_fn="frames", train_progressive=False, fmap_max=16, latent_vector_size=4,
        data_normalizer="specgrams_prespecified_normalizer",
    )  # fmt: skip
    encoder = family_of(config).partner(config, len(PITCHES), None).state_dict()
    model = replace(initial_model(config, list(PITCHES), seed=0), partner=encoder)
    synth = Synth(model, "cpu")
    real = DatasetNotes("real", notes, np.arange(4))
    steps = ladder(real, synth)
    assert [step.name for step in steps] == ["… and the texture", "encoder and decoder"]
    assert ladder(real, Player(silence)) == []
    ((there, _),) = real.batches()
    spectrum = np.abs(np.fft.rfft(there))
    distances = []
    for step in steps:
        ((made, pitches),) = step.batches()
        assert made.shape == there.shape
        assert np.array_equal(pitches, real.pitches)
        distances.append(np.abs(np.abs(np.fft.rfft(made)) - spectrum).sum() / spectrum.sum())
    assert distances[0] < 0.8 < distances[1]
