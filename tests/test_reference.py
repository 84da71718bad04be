"""The same numbers as the original: arrays that the TensorFlow code computed, case by case.

The folder comes from GANSYNTH_REFERENCE (default: ../shared/reference beside the project). Every
case folder in it is run; without it these tests are skipped.

How close is the same: waves within 1e-3 of their peak, specgrams within 1e-3 of their range. Pixel
norm divides by the length of a pixel's features, so pixels whose features nearly cancel amplify
rounding, and with a single feature (as in the last block of these small models) it leaves its sign
alone. Against float64 the original's own float32 is off there by as much as ours. One value in a
thousand may therefore be off by more.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gansynth import config as configs
from gansynth.convert.experiment import from_experiment
from gansynth.convert.magenta import read_magenta
from gansynth.model.file import Model, read_model, save_model
from gansynth.model.synth import Synth
from gansynth.networks import schedule
from gansynth.networks.layers import downscale, upscale
from gansynth.performance.instruments import instrument_times, latents_at
from gansynth.performance.mix import (
    LevelledClip,
    PlayedNote,
    clip_samples,
    envelope,
    mix_blocks,
)
from gansynth.spectral import mel, transform
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation

ROOT = Path(__file__).parents[1]
REFERENCE = Path(os.environ.get("GANSYNTH_REFERENCE", ROOT / "../shared/reference"))
CASES = sorted(path.parent for path in REFERENCE.glob("*/checkpoint"))

pytestmark = pytest.mark.skipif(
    not CASES, reason=f"no arrays of the original at GANSYNTH_REFERENCE={REFERENCE}"
)
each_case = pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)


def assert_specgrams_close(ours: NDArray, original: NDArray) -> None:
    for channel in range(2):  # magnitude, phase
        spread = np.ptp(original[..., channel])
        off = np.abs(ours - original)[..., channel] / spread
        assert (off > 1e-3).mean() < 1e-3
        assert np.quantile(off, 0.99) < 1e-4


def assert_waves_close(ours: NDArray, original: NDArray) -> None:
    peaks = np.abs(original).max(axis=-1, keepdims=True)
    assert (np.abs(ours - original) / peaks).max() < 1e-3


@each_case
def test_notes_are_the_originals(case: Path, tmp_path: Path) -> None:
    original = np.load(case / "generate.npz")
    model, warnings = read_magenta(case / "checkpoint")
    assert warnings == []
    assert model.progress == pytest.approx(float(original["progress"]), abs=1e-6)

    save_model(tmp_path / "model.safetensors", model)
    synth = Synth(read_model(tmp_path / "model.safetensors"), device="cpu")
    waves = synth.notes(original["z"], original["pitches"])
    assert waves.dtype == np.float32
    assert_waves_close(waves, original["waves"])

    few = len(original["specgrams"])
    specgrams = synth.specgrams(original["z"][:few], original["pitches"][:few])
    assert specgrams.shape == original["specgrams"].shape
    assert_specgrams_close(specgrams, original["specgrams"])


@each_case
def test_training_networks_are_the_originals(case: Path) -> None:
    original = np.load(case / "train_step.npz")
    model, _ = read_magenta(case / "checkpoint", with_discriminator=True)
    assert model.last_generator is not None
    config, progress = model.config, model.progress
    last = Model(config, model.pitch_counts, progress, model.last_generator)
    generator, discriminator = last.build_generator(), model.build_partner()
    normalizer = make_normalizer(config, model.normalizer)
    shrink = schedule.scale(config, config.num_resolutions - schedule.blocks_needed(progress))

    with torch.inference_mode():
        labels = torch.from_numpy(original["gen_labels"]).long()
        images = generator(torch.from_numpy(original["noise"]), labels, progress)
        fake = normalizer.denormalize(upscale(images, shrink).permute(0, 2, 3, 1))
        assert_specgrams_close(fake.numpy(), original["fake"])

        real = normalizer.normalize(torch.from_numpy(original["real"])).permute(0, 3, 1, 2)
        # The original's images, so that a flipped pixel of ours is not judged a second time.
        made = normalizer.normalize(torch.from_numpy(original["fake"])).permute(0, 3, 1, 2)
        for image, name, label in ((real, "real", "real_labels"), (made, "fake", "gen_labels")):
            scores, logits = discriminator(downscale(image, shrink), progress)
            expected = original[f"d_{name}"].ravel()
            assert scores.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)
            targets = torch.from_numpy(original[label]).long()
            loss = torch.nn.functional.cross_entropy(logits, targets)
            assert float(loss) == pytest.approx(float(original[f"{name}_ac"]), rel=1e-4)


@each_case
def test_a_zip_gives_the_same_model_as_the_folder(case: Path, tmp_path: Path) -> None:
    for inside in ("", "published_model/"):
        path = tmp_path / f"model{bool(inside)}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((case / "checkpoint").rglob("*")):
                archive.write(file, inside + str(file.relative_to(case / "checkpoint")))
        assert read_magenta(path)[0].digest() == read_magenta(case / "checkpoint")[0].digest()


def test_full_size_archives_have_this_layout(tmp_path: Path) -> None:
    """The published models: one experiment.json above thirteen stages, the last one counts."""
    case = next(path for path in CASES if path.name == "mel_hires_final")
    folder = tmp_path / "acoustic_only"
    for stage in range(12):
        (folder / f"stage_{stage:05d}").mkdir(parents=True)
    shutil.copytree(case / "checkpoint/stage_00012", folder / "stage_00012")
    shutil.copy(case / "checkpoint/experiment.json", tmp_path / "experiment.json")
    assert read_magenta(folder)[0].digest() == read_magenta(case / "checkpoint")[0].digest()
    assert list(read_magenta(folder)[0].pitch_counts) == list(range(24, 85))


SPECTRAL = [
    ("hires_if", "specgrams", {"data_type": "linear"}),
    ("hires_if", "melspecgrams", {"data_type": "mel"}),
    ("hires_phase", "specgrams", {"data_type": "phase"}),
    ("lores_if", "melspecgrams", {"data_type": "mel", "start_height": 4, "start_width": 8}),
]


@pytest.mark.parametrize(("file", "name", "options"), SPECTRAL)
def test_spectral_transforms_are_the_originals(
    file: str, name: str, options: dict[str, object]
) -> None:
    arrays = np.load(REFERENCE / "spectral" / f"{file}.npz")
    audio = torch.from_numpy(np.load(REFERENCE / "spectral" / "audio.npz")["audio"])
    representation = Representation(configs.preset("tiny").replace(**options))

    back = representation.specgrams_to_waves(torch.from_numpy(arrays[name]))
    assert_waves_close(back.numpy(), arrays[f"waves_from_{name}"])

    ours, original = representation.waves_to_specgrams(audio).numpy(), arrays[name]
    # Near silence the logarithm and the phase have no precise value.
    power = np.exp(original[..., 0] * (1 if name == "melspecgrams" else 2))
    loud = power > 1e-6 * power.max()
    assert np.abs(ours - original)[..., 0][loud].max() < 1e-3
    off = np.abs((ours - original)[..., 1])
    on_circle = np.minimum(off, np.abs(2 - off))
    assert (on_circle * power).sum() / power.sum() < 1e-5
    assert on_circle[loud].max() < 1e-2


def test_stft_is_the_originals() -> None:
    arrays = np.load(REFERENCE / "spectral" / "hires_if.npz")
    audio = torch.from_numpy(np.load(REFERENCE / "spectral" / "audio.npz")["audio"])
    stfts = transform.waves_to_stfts(audio, 2048, 128).numpy()
    assert np.abs(stfts - arrays["stfts"]).max() < 1e-4 * np.abs(arrays["stfts"]).max()


@pytest.mark.parametrize(("file", "bins"), [("linear_to_mel_1024", 1024), ("lores_if", 512)])
def test_mel_matrix_is_the_originals(file: str, bins: int) -> None:
    expected = np.load(REFERENCE / "spectral" / f"{file}.npz")["linear_to_mel"]
    assert mel.linear_to_mel(bins, 16000) == pytest.approx(expected, abs=1e-7)


def test_instruments_over_time_are_the_originals() -> None:
    arrays = np.load(REFERENCE / "midi_render.npz")
    times = instrument_times(len(arrays["z_instruments"]), arrays["t_instruments"][-1])
    assert times == pytest.approx(arrays["t_instruments"], abs=1e-12)
    latents = latents_at(arrays["note_start_times"], arrays["z_instruments"], times)
    assert latents == pytest.approx(arrays["z_notes"], abs=1e-9)


def test_envelope_and_mix_are_the_originals() -> None:
    arrays = np.load(REFERENCE / "midi_render.npz")
    assert envelope(0.8, 16000) == pytest.approx(arrays["envelope_0p8s"], abs=1e-9)

    waves = np.load(REFERENCE / "mel_hires_final" / "generate.npz")["waves"]
    start, end, velocity = arrays["clip_start"], arrays["clip_end"], arrays["clip_velocity"]
    notes = [
        PlayedNote(wave, float(start[i]), float(end[i]), int(velocity[i]))
        for i, wave in enumerate(waves)
    ]

    def largest(samples: NDArray) -> float:
        return float(samples.max())  # the original's level; ours takes negative peaks too

    samples = clip_samples(float(end.max()), 16000)
    with LevelledClip(mix_blocks(notes, samples, 16000, largest), largest) as clip:
        mixed = np.concatenate(list(clip.blocks()))
    assert mixed.shape == arrays["clip"].shape
    assert np.abs(mixed - arrays["clip"]).max() < 1e-3 * np.abs(arrays["clip"]).max()


def test_published_hyperparameters_are_read_as_the_preset(tmp_path: Path) -> None:
    """The preset and a published experiment.json differ in sizes and places alone."""
    case = next(path for path in CASES if path.name == "mel_hires_final")
    values = json.loads((case / "checkpoint/experiment.json").read_text())
    config, unknown = from_experiment(json.dumps(values), where="experiment.json")
    assert unknown == []
    preset = configs.preset("mel_prog_hires").to_dict()
    differing = {name for name, value in config.to_dict().items() if value != preset[name]}
    assert differing == {
        "batch_size_schedule", "fmap_base", "fmap_max", "fake_batch_size", "latent_vector_size",
        "train_data_path",
    }  # fmt: skip
