"""The second phase of training: begun with a model of frames, judged, stopped, gone on with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gansynth
from gansynth.data.store import open_notes
from gansynth.errors import ConfigError
from gansynth.model.file import save_model
from gansynth.networks.wideband import take_over
from gansynth.spectral.normalizers import make_normalizer
from gansynth.training.dataset import ImageDataset
from gansynth.training.export import begin_from, model_of_run
from gansynth.training.notes import choose_training_notes
from gansynth.training.processes import Processes
from gansynth.training.sampling import BatchSampler
from gansynth.training.start import resume, train
from gansynth.training.wideband import WidebandTrainer
from training_data import CPU, assert_refused, assert_same_bits, metrics, newest, options
from wideband_data import LENGTH, PITCHES, RATE, frames_model, wideband, wideband_notes


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wideband_notes(tmp_path_factory.mktemp("wideband") / "notes")


def parts(notes: Path, **changes: Any) -> tuple[WidebandTrainer, ImageDataset]:
    config = wideband(**changes)
    prepared = open_notes(notes)
    chosen = choose_training_notes(prepared, config)
    dataset = ImageDataset(
        config, prepared.waveforms, chosen.rows, chosen.labels, CPU, 1 << 26,
        instruments=chosen.instruments, velocities=chosen.velocities,
    )  # fmt: skip
    trainer = WidebandTrainer(config, 3, make_normalizer(config), Processes(CPU))
    begin_from(trainer, take_over(config, frames_model(), 0), PITCHES)
    trainer.prepare(dataset)
    return trainer, dataset


def test_the_spectra_come_nearer_and_the_flow_stays(notes: Path) -> None:
    trainer, dataset = parts(notes)
    sampler = BatchSampler(0, len(dataset), (1, 1, 1), 6)
    before = {n: t.clone() for n, t in trainer.partner.state_dict().items()}
    flow = trainer.generator.mapping.state_dict()["family.weight"].clone()
    losses = [trainer.step(sampler.batch(trainer.images, 4), dataset) for _ in range(50)]
    distances = [float(step["energy_distance"]) for step in losses]
    assert np.mean(distances[-10:]) < 0.95 * np.mean(distances[:10])
    assert all(math.isfinite(float(x)) for step in losses for x in step.values())
    for name, tensor in trainer.partner.state_dict().items():
        same = torch.equal(tensor, before[name])
        assert same == name.startswith("encoder."), name
    assert torch.equal(trainer.generator.mapping.state_dict()["family.weight"], flow)


def test_the_discriminator_learns_to_tell_notes_that_dont_change(notes: Path) -> None:
    trainer, dataset = parts(
        notes,
        generator_learning_rate=1e-9,
        discriminator_learning_rate=0.005,
        total_num_images=4000,
    )
    sampler = BatchSampler(0, len(dataset), (1, 1, 1), 6)
    losses = [trainer.step(sampler.batch(trainer.images, 8), dataset) for _ in range(240)]
    told = [float(step["told_apart"]) for step in losses]
    assert np.mean(told[:30]) < 0.6 < 0.64 < np.mean(told[-60:])


def test_rows_begin_with_the_mean_of_a_pitchs_notes(notes: Path) -> None:
    trainer, dataset = parts(notes)
    rows = trainer.generator.rows.weight.detach().unflatten(1, (3, 32))
    for label, pitch in enumerate(PITCHES):
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        loudest = int(rows[label, 0].argmax())
        # One of the three harmonics; bins are 62.5 Hz.
        near = [abs((loudest + 1) * 62.5 - k * hertz) for k in (1, 2, 3)]
        assert min(near) < 62.5
    del dataset


def test_made_notes_are_judged_as_16_bits(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, dataset = parts(notes)
    judge, seen = trainer._judge, []

    def listening(made: torch.Tensor, *rest: Any) -> Any:
        seen.append(made.detach() * 32768)
        return judge(made, *rest)

    monkeypatch.setattr(trainer, "_judge", listening)
    trainer.step(BatchSampler(0, len(dataset), (1, 1, 1), 6).batch(0, 2), dataset)
    (made,) = seen
    assert float(made.abs().max()) > 100
    assert torch.equal(made, made.round())


def test_the_discriminator_comes_in_slowly(notes: Path) -> None:
    trainer, dataset = parts(notes, adversarial_weight=1.0)
    sampler = BatchSampler(0, len(dataset), (1, 1, 1), 6)
    random = torch.Generator().manual_seed(0)
    real = dataset.waves(np.arange(2))[:, 200:1500]
    made = real.repeat(2, 1) + 0.01 * torch.randn(4, real.shape[1], generator=random)
    batch = sampler.batch(0, 2)
    known = (torch.tensor([0, 1]), batch.latents[0][:, :6], torch.tensor([100, 100]), 0.5)
    gradients = {}
    for images in (0, 10**6):
        trainer.images = images
        trainer.lengths.zero_()
        _, gradients[images] = trainer._judge(made, real, torch.ones(2), known)
    apart = gradients[10**6] - gradients[0]
    # At the end it pushes as hard as the spectra do, and at the beginning not at all; the second
    # wave of each pair is the spectra's alone.
    assert float(apart[:2].norm()) == pytest.approx(float(gradients[0].norm()), rel=0.3)
    assert float(apart[2:].norm()) < 0.1 * float(apart.norm())


@pytest.fixture(scope="module")
def run(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wideband") / "run"
    assert train(notes, folder, wideband(), options(), model=frames_model()) == "finished"
    return folder


def test_going_on_gives_the_same_bits(notes: Path, run: Path, tmp_path: Path) -> None:
    train(notes, tmp_path / "parts", wideband(), options(max_images=24), model=frames_model())
    assert resume(tmp_path / "parts", options()) == "finished"
    assert_same_bits(newest(run)[0], newest(tmp_path / "parts")[0])


def test_models_without_narrow_noise_still_train(notes: Path, tmp_path: Path) -> None:
    plain = wideband(narrow_noise=False, total_num_images=24)
    train(notes, tmp_path / "run", plain, options(max_images=8), model=frames_model())
    assert resume(tmp_path / "run", options()) == "finished"
    tensors, _ = newest(tmp_path / "run")
    assert not [name for name in tensors if "still" in name or "modulation" in name]
    with pytest.raises(ConfigError, match=r"narrow_noise=True: the model has False, and its"):
        train(
            notes, tmp_path / "more", wideband(), options(),
            model=model_of_run(tmp_path / "run", with_discriminator=True)[0],
        )  # fmt: skip


def test_a_run_plays_and_logs(run: Path) -> None:
    synth = gansynth.load(run)
    assert synth.sample_rate == RATE
    assert synth.notes(synth.sample_latents(2), [60, 64]).shape == (2, LENGTH)
    last = metrics(run)[-1]
    for name in ("magnitude_loss", "phase_loss", "energy_distance", "discriminator_loss"):
        assert math.isfinite(last[name])


def test_another_training_goes_on_from_a_run(notes: Path, run: Path, tmp_path: Path) -> None:
    model, _ = model_of_run(run, with_discriminator=True)
    said: list[str] = []
    train(
        notes, tmp_path / "more", wideband(total_num_images=4), options(max_images=0),
        model=model, say=said.append,
    )  # fmt: skip
    tensors = newest(tmp_path / "more")[0]
    # One step has been taken.
    assert torch.allclose(
        tensors["average.image.weight"], model.generator["image.weight"], atol=0.01
    )
    assert model.partner is not None
    name = "discriminator.mix.weight"
    assert torch.allclose(tensors[f"partner.{name}"], model.partner[name], atol=0.01)
    assert not [line for line in said if line.startswith("warning")]


def test_it_begins_with_a_model(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"g_fn='wideband': .*g_fn=frames.*--from MODEL"):
        train(notes, tmp_path / "run", wideband(), options())
    assert not (tmp_path / "run").exists()


def test_the_command_line_takes_a_model_over(run_cli: Any, notes: Path, tmp_path: Path) -> None:
    source = frames_model()
    save_model(tmp_path / "fast.safetensors", source)
    sizes = wideband().to_dict()
    words = ["--preset", "hifi", "--device", "cpu", "--precision", "float32"]
    for name in ("start_width", "num_resolutions", "fmap_max", "latent_vector_size"):
        words += ["--set", f"{name}={sizes[name]}"]
    words += ["--set", "batch_size_schedule=[4]", "--set", "total_num_images=8"]
    place = tmp_path / "run"
    result = run_cli("train", notes, "-o", place, "--from", tmp_path / "fast.safetensors", *words)
    assert result.code == 0, result.err
    assert gansynth.load(place).sample_rate == RATE
    result = run_cli(
        "train", notes, "-o", tmp_path / "other", "--from", place / "model.safetensors",
        "--preset", "fast",
    )  # fmt: skip
    assert_refused(result, "preset='fast': doesn't go with --from")
