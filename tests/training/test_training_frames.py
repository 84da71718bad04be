"""Training of frames: losses, matching, learning, going on, fine-tuning."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gansynth
from gansynth import config as configs
from gansynth.config import Config
from gansynth.data.store import open_notes
from gansynth.model.load import load_model
from gansynth.networks.frames import Views
from gansynth.spectral.normalizers import make_normalizer
from gansynth.training.autoencoder import AutoencoderTrainer, kl_divergence, reconstruction_losses
from gansynth.training.dataset import ImageDataset
from gansynth.training.export import model_of_state
from gansynth.training.notes import choose_training_notes
from gansynth.training.processes import Processes
from gansynth.training.sampling import BatchSampler
from gansynth.training.sinkhorn import sinkhorn_assignment
from gansynth.training.start import resume, train
from gansynth.training.summaries import Summaries
from training_data import (
    CPU,
    SAMPLE_RATE,
    SAMPLES,
    as_options,
    assert_refused,
    assert_same_bits,
    newest,
    options,
)


def frames(**changes: Any) -> Config:
    """Images of 64 x 16 of the small notes."""
    sizes = {
        "sample_rate": SAMPLE_RATE, "audio_length": SAMPLES, "start_height": 8, "start_width": 2,
        "num_resolutions": 4, "fmap_max": 16, "latent_vector_size": 6,
        "batch_size_schedule": [4], "total_num_images": 64, "fake_batch_size": 3,
        "generator_learning_rate": 0.003,
    }  # fmt: skip
    return configs.preset("fast").replace(**{**sizes, **changes})


def parts(notes: Path, **changes: Any) -> tuple[AutoencoderTrainer, ImageDataset]:
    config = frames(**changes)
    prepared = open_notes(notes)
    chosen = choose_training_notes(prepared, config)
    dataset = ImageDataset(
        config, prepared.waveforms, chosen.rows, chosen.labels, CPU, 1 << 26,
        instruments=chosen.instruments, velocities=chosen.velocities,
        families=np.zeros(len(chosen.rows), np.int64),
    )  # fmt: skip
    trainer = AutoencoderTrainer(config, 3, make_normalizer(config), Processes(CPU))
    return trainer, dataset


# Losses


def test_equal_images_lose_nothing_and_a_full_turn_is_none() -> None:
    views = Views(frames())
    real = torch.rand(2, 2, 8, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    maps = torch.cat([real, views.noise(real).clamp_max(1)[:, None]], dim=1)
    assert all(float(v) == 0 for v in reconstruction_losses(maps, real, views).values())
    turned = maps.clone()
    turned[:, 1] += 2 * views.half_turn
    assert float(reconstruction_losses(turned, real, views)["phase_loss"]) == pytest.approx(
        0, abs=1e-5
    )
    turned[:, 1] -= views.half_turn
    assert float(reconstruction_losses(turned, real, views)["phase_loss"]) == pytest.approx(
        2, abs=1e-5
    )


def test_magnitudes_are_told_in_nats() -> None:
    config = frames()
    views = Views(config)
    real = torch.zeros(1, 2, 4, 16)
    louder = torch.zeros(1, 3, 4, 16)
    louder[:, 0] += config.mag_normalizer_a  # one neper
    # All are at the peak: weight 1, and a quarter besides.
    found = float(reconstruction_losses(louder, real, views)["magnitude_loss"])
    assert found == pytest.approx(1.25)


def test_code_information_is_the_divergence_of_normals() -> None:
    mean, log_std = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(0.5)]])
    normal = torch.distributions.Normal(mean, log_std.exp())
    standard = torch.distributions.Normal(torch.zeros(1, 2), torch.ones(1, 2))
    expected = torch.distributions.kl_divergence(normal, standard).sum()
    assert float(kl_divergence(mean, log_std)) == pytest.approx(float(expected))


# Matching


def test_each_point_gets_the_target_beside_it() -> None:
    random = torch.Generator().manual_seed(0)
    targets = torch.randn(32, 4, generator=random) * 5
    order = torch.randperm(32, generator=random)
    points = targets[order] + 0.01 * torch.randn(32, 4, generator=random)
    assert torch.equal(sinkhorn_assignment(points, targets, random), order)


def test_a_crowd_is_spread_over_all_targets() -> None:
    # By distance alone all points would take the first target.
    targets = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    points = torch.linspace(-0.1, 0.1, 16)[:, None]
    random = torch.Generator().manual_seed(0)
    counts = sum(
        torch.bincount(sinkhorn_assignment(points, targets, random), minlength=4) for _ in range(50)
    )
    assert (counts / 50).tolist() == pytest.approx([4] * 4, abs=0.3)


def test_a_small_crowd_far_away_is_not_forgotten() -> None:
    random = torch.Generator().manual_seed(0)
    few = torch.arange(256) < 64
    targets = 0.1 * torch.randn(256, 6, generator=random) + torch.where(few, 3.0, -1.0)[:, None]
    found = sinkhorn_assignment(torch.randn(256, 6, generator=random), targets, random)
    assert float(few[found].float().mean()) == pytest.approx(0.25, abs=0.03)
    assert len(found.unique()) > 140


@settings(deadline=None)  # the first call takes longest
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 5))
def test_matches_are_targets(points: int, targets: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    found = sinkhorn_assignment(
        torch.randn(points, 3, generator=random),
        torch.randn(targets, 3, generator=random),
        random,
    )
    assert found.shape == (points,)
    assert bool(((found >= 0) & (found < targets)).all())


# Notes


def test_a_partner_is_a_note_of_the_same_instrument(small_notes: Path) -> None:
    _, dataset = parts(small_notes)
    prepared = open_notes(small_notes)
    names = [prepared.records[row].instrument for row in prepared.rows("train")]
    notes = np.arange(len(dataset))
    found = [dataset.partners(notes, seed) for seed in range(20)]
    for partners in found:
        assert [names[n] for n in partners] == names
    assert len({tuple(partners) for partners in found}) > 1
    assert np.array_equal(dataset.partners(notes, 3), found[3])


def test_remembered_images_are_nearly_those_computed(small_notes: Path) -> None:
    _, dataset = parts(small_notes)
    fresh, kept = (dataset.images(np.arange(4), 3.0) for _ in range(2))
    assert torch.equal(fresh, kept)
    assert torch.allclose(fresh, dataset.specgrams(np.arange(4)).permute(0, 3, 1, 2), atol=5e-3)


# Training


@pytest.fixture(scope="module")
def run(small_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of 320 images."""
    folder = tmp_path_factory.mktemp("frames") / "run"
    assert train(small_notes, folder, frames(total_num_images=320), options()) == "finished"
    return folder


def test_the_losses_fall(small_notes: Path) -> None:
    trainer, dataset = parts(small_notes)
    sampler = BatchSampler(0, len(dataset), (1, 1, 1), 6)
    losses = [trainer.step(sampler.batch(trainer.images, 4), dataset) for _ in range(60)]
    for name in ("magnitude_loss", "noise_loss"):
        values = [float(step[name]) for step in losses]
        assert np.mean(values[-10:]) < 0.95 * np.mean(values[:10]), name
    assert all(math.isfinite(float(step["phase_loss"])) for step in losses)


def test_latents_learn_to_become_the_codes(small_notes: Path) -> None:
    trainer, _ = parts(small_notes)
    random = torch.Generator().manual_seed(0)
    few = torch.rand(len(trainer.codes), generator=random) < 0.25
    sides = torch.where(few, 3.0, -1.0)
    trainer.codes[:] = 0.1 * torch.randn(trainer.codes.shape, generator=random) + sides[:, None]
    trainer.families[:] = torch.where(few, 1, 2)
    trainer.images = len(trainer.codes)
    for seed in range(300):
        trainer._update_flow(seed)
    mapping, latents = trainer.generator.mapping, torch.randn(400, 6, generator=random)
    with torch.no_grad():
        codes = mapping(latents).mean(dim=1)
        assert float((codes > 1).float().mean()) == pytest.approx(0.25, abs=0.08)
        for family, side in ((1, 3.0), (2, -1.0)):
            theirs = mapping(latents, torch.full((400,), family)).mean(dim=1)
            near = (theirs - side).abs() < 0.6
            assert float(near.float().mean()) > 0.9
        back = mapping.latents(mapping(latents))
    assert float((back - latents).abs().median()) < 0.1


def test_the_model_plays_the_pitches_of_the_notes(run: Path) -> None:
    synth = gansynth.load(run)
    assert synth.pitches == (60, 62, 64)
    z = synth.sample_latents(4, 0)
    waves = synth.notes(z, [60, 62, 64, 60])
    assert waves.shape == (4, SAMPLES)
    spectra = np.abs(np.fft.rfft(waves, 8 * SAMPLES, axis=1))
    hertz = np.fft.rfftfreq(8 * SAMPLES, 1 / SAMPLE_RATE)
    tones = 440 * 2 ** ((np.array([60, 62, 64, 60]) - 69) / 12)
    for spectrum, tone in zip(spectra, tones, strict=True):
        # One of the three harmonics that the notes have is the loudest.
        loudest = hertz[spectrum.argmax()]
        assert min(abs(loudest / (tone * k) - 1) for k in (1, 2, 3)) < 0.06


def test_going_on_gives_the_same_bits(small_notes: Path, tmp_path: Path) -> None:
    config = frames(total_num_images=288)
    train(small_notes, tmp_path / "whole", config, options())
    train(small_notes, tmp_path / "parts", config, options(max_images=272))
    assert resume(tmp_path / "parts", options()) == "finished"
    whole, again = newest(tmp_path / "whole")[0], newest(tmp_path / "parts")[0]
    assert_same_bits(whole, again)
    assert "codes" in whole


def test_the_rate_warms_up_and_falls_to_its_share(small_notes: Path) -> None:
    trainer, _ = parts(small_notes, total_num_images=1000)
    rates = []
    for images, steps in ((0, 0), (200, 49), (1000, 249)):
        coding = trainer.optimizers["coding_adam"].adam
        trainer.images, coding.steps = images, steps
        trainer._set_rates()
        rates.append(coding.rate / 0.003)
    assert rates == pytest.approx([1 / 50, 1 - 0.9 * 0.2, 0.1])


def test_a_time_limit_ends_the_schedule(small_notes: Path) -> None:
    trainer, _ = parts(small_notes, train_time_limit=10.0, total_num_images=1000)
    trainer.seconds = 5.0
    assert trainer.position.share == 0.5
    assert not trainer.position.has_ended
    trainer.seconds = 10.0
    assert trainer.position.has_ended


def test_fine_tuning_begins_with_the_models_weights_and_the_new_pitchs_row(
    run: Path, tmp_path: Path
) -> None:
    from training_data import write_notes

    notes = write_notes(tmp_path / "notes", pitches=(60, 62, 65), seed=4)
    model, _ = load_model(run)
    said: list[str] = []
    config = model.config.replace(total_num_images=4)
    train(notes, tmp_path / "tuned", config, options(max_images=0), model=model, say=said.append)
    tensors = newest(tmp_path / "tuned")[0]
    assert any("1 pitches are new" in line for line in said)
    assert any("encoder" in line for line in said)
    rows = tensors["average.rows.weight"]
    assert rows.shape[0] == 3
    assert not torch.allclose(rows[2], model.generator["rows.weight"][2], atol=1e-2)


def test_the_command_line_trains_frames(run_cli: Any, small_notes: Path, tmp_path: Path) -> None:
    words = ["train", small_notes, "-o", tmp_path / "run", "--device", "cpu"]
    result = run_cli(*words, *as_options(frames(total_num_images=8)))
    assert result.code in (0, None), result.err
    run_cli(*words[:3], tmp_path / "hour", *as_options(frames()), "--max-minutes", "0.001")
    limits = [
        json.loads((tmp_path / name / "config.json").read_text("utf-8"))["config"][
            "train_time_limit"
        ]
        for name in ("run", "hour")
    ]
    assert limits == [None, pytest.approx(0.06)]
    assert_refused(
        run_cli("train", small_notes, "-o", tmp_path / "x", "--set", "g_fn=frames"),
        "d_fn='specgram': doesn't go with g_fn='frames'",
    )


class Board:
    """Keeps what TensorBoard would be given."""

    def __init__(self) -> None:
        self.sounds: dict[str, np.ndarray] = {}

    def sound(self, images: int, name: str, wave: np.ndarray, sample_rate: int) -> None:
        self.sounds[name] = wave

    def specgrams(self, images: int, name: str, specgrams: np.ndarray) -> None:
        assert specgrams.shape[1:] == (64, 16, 2)


def test_logged_sounds_are_notes_at_the_velocity_that_was_learned(small_notes: Path) -> None:
    trainer, dataset = parts(small_notes)
    tensors, facts = trainer.state()
    counts = {60: 1, 62: 1, 64: 1}
    model = model_of_state(trainer.config, counts, tensors, {**facts, "velocities": [64]})
    board = Board()
    summaries = Summaries(trainer, dataset, seed=0)
    summaries.write(board, model)  # type: ignore[arg-type]
    synth = gansynth.Synth(model, "cpu")
    z = summaries.latents.numpy()
    notes = synth.notes(z, [60, 62, 64]).ravel()
    assert np.allclose(board.sounds["fake_waves"], notes, atol=1e-5)
    louder = gansynth.Synth(dataclasses.replace(model, velocities=(100,)), "cpu").notes(
        z, [60, 62, 64]
    )
    assert not np.allclose(louder.ravel(), notes, atol=1e-5)
