"""Trainings that go on from a model: its weights, its place in the schedule, other pitches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import gansynth
from gansynth.errors import ConfigError
from gansynth.model.file import Model, save_model
from gansynth.model.load import load_model
from gansynth.training.checkpoint import Checkpoints, load_checkpoint
from gansynth.training.export import model_of_run, model_of_state
from gansynth.training.run_folder import read_settings
from gansynth.training.start import resume, train
from training_data import (
    assert_same_bits,
    images_kept,
    newest,
    options,
    small,
    write_notes,
)

pytest_plugins = ["training_fixtures"]


def first_model(run: Path) -> Model:
    """The model in a run's earliest checkpoint."""
    settings = read_settings(run)
    state = load_checkpoint(Checkpoints(run / "checkpoints").paths()[0])
    return model_of_state(settings.config, settings.pitch_counts, *state)


def specgrams(model: Model, pitches: list[int], folder: Path) -> np.ndarray:
    """What a model makes of seeded latents."""
    path = folder / "made.safetensors"
    save_model(path, model, overwrite=True)
    synth = gansynth.load(path, "cpu")
    return synth.specgrams(synth.sample_latents(len(pitches), seed=1), pitches)


def test_a_model_without_discriminator_goes_on_with_a_warning(
    finished: Path, small_notes: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    model, _ = load_model(finished)
    run = tmp_path / "run"
    train(small_notes, run, small(), options(max_images=8), model=model, say=said.append)
    assert said[0] == (
        "warning: the model was saved without its discriminator, so a fresh one has to learn "
        "first; convert or export it with --with-discriminator if you can."
    )
    assert images_kept(run) == [64, 72]  # the model's place: the last stage
    pitches = [60, 62, 64]
    assert np.array_equal(
        specgrams(first_model(run), pitches, tmp_path), specgrams(model, pitches, tmp_path)
    )
    assert load_model(run)[0].source["from"] == "trained"
    # The discriminator's fresh weights are the seed's, the last generator's are the average's.
    tensors, _ = load_checkpoint(Checkpoints(run / "checkpoints").paths()[0])
    assert all(torch.equal(tensors[f"generator.{n}"], t) for n, t in model.generator.items())


def test_a_run_goes_on_with_its_discriminator(
    finished: Path, small_notes: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    model, warnings = model_of_run(finished, with_discriminator=True)
    assert warnings == []
    run = tmp_path / "run"
    train(small_notes, run, small(), options(max_images=8), model=model, say=said.append)
    assert said == []
    before, _ = newest(finished)
    after, facts = load_checkpoint(Checkpoints(run / "checkpoints").paths()[0])
    kinds = ("generator.", "discriminator.", "average.")
    assert_same_bits(
        {n: t for n, t in after.items() if n.startswith(kinds)},
        {n: t for n, t in before.items() if n.startswith(kinds)},
    )
    assert facts["steps"] == [0, 0]


def test_other_pitches_begin_as_the_nearest_ones_known(finished: Path, tmp_path: Path) -> None:
    said: list[str] = []
    notes = write_notes(tmp_path / "other", pitches=[62, 64, 65, 70], seed=2)
    model, _ = model_of_run(finished, with_discriminator=True)
    run = tmp_path / "run"
    train(notes, run, small(), options(max_images=8), model=model, say=said.append)
    assert said == [
        "warning: 2 pitches are new to the model; each begins as the nearest one it knows."
    ]
    begun = first_model(run)
    assert list(begun.pitch_counts) == [62, 64, 65, 70]
    # Sums over more inputs end in other bits, which pixel norm enlarges where features are near 0.
    ours = specgrams(begun, [62, 64, 65, 70], tmp_path)
    theirs = specgrams(model, [62, 64, 64, 64], tmp_path)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-2)
    tensors, _ = load_checkpoint(Checkpoints(run / "checkpoints").paths()[0])
    assert model.partner is not None
    logits = model.partner["pitch_logits.weight"]
    assert torch.equal(tensors["discriminator.pitch_logits.weight"], logits[[1, 2, 2, 2]])
    assert resume(run, options()) == "finished"


def test_a_simple_architecture_takes_other_pitches_too(tmp_path: Path) -> None:
    config = small(simple_arch=True)
    train(write_notes(tmp_path / "a"), tmp_path / "one", config, options(max_images=8))
    model, _ = model_of_run(tmp_path / "one", with_discriminator=True)
    notes = write_notes(tmp_path / "b", pitches=[59, 64])
    train(notes, tmp_path / "two", config, options(max_images=4), model=model)
    begun = specgrams(first_model(tmp_path / "two"), [59, 64], tmp_path)
    np.testing.assert_allclose(begun, specgrams(model, [60, 64], tmp_path), rtol=1e-5, atol=1e-5)


def test_a_model_goes_on_in_the_middle_of_its_blend(small_notes: Path, tmp_path: Path) -> None:
    config = small(transition_stage_num_images=28, batch_size_schedule=[2], total_num_images=104)
    train(small_notes, tmp_path / "one", config, options(max_images=32))
    model, _ = model_of_run(tmp_path / "one", with_discriminator=True)
    assert model.progress == pytest.approx(16 / 28)
    train(small_notes, tmp_path / "two", config, options(max_images=4), model=model)
    begun = first_model(tmp_path / "two")
    assert images_kept(tmp_path / "two") == [32, 36]
    pitches = [60, 62, 64]
    assert np.array_equal(specgrams(begun, pitches, tmp_path), specgrams(model, pitches, tmp_path))


def test_a_model_of_a_clocked_training_goes_on_in_the_middle_of_its_blend(
    small_notes: Path, tmp_path: Path
) -> None:
    config = small(train_time_limit=1000.0)
    train(small_notes, tmp_path / "one", config, options(max_images=4))
    tensors, facts = newest(tmp_path / "one")
    settings = read_settings(tmp_path / "one")
    facts = {**facts, "stage": 3, "seconds": 650.0}
    model = model_of_state(config, settings.pitch_counts, tensors, facts)
    assert model.progress == pytest.approx(1.25)
    train(small_notes, tmp_path / "two", config, options(max_images=4), model=model)
    assert first_model(tmp_path / "two").progress == pytest.approx(model.progress)


def test_a_model_of_the_original_goes_on(toy_checkpoint: Path, tmp_path: Path) -> None:
    from gansynth.convert.magenta import read_magenta

    model, _ = read_magenta(toy_checkpoint, with_discriminator=True)
    notes = write_notes(tmp_path / "notes", pitches=[40, 41], sample_rate=16000, samples=28)
    said: list[str] = []
    run = tmp_path / "run"
    train(notes, run, model.config, options(max_images=8), model=model, say=said.append)
    assert said == []
    begun = first_model(run)
    np.testing.assert_allclose(
        specgrams(begun, [40, 41], tmp_path), specgrams(model, [40, 41], tmp_path),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert model.last_generator is not None
    tensors, _ = load_checkpoint(Checkpoints(run / "checkpoints").paths()[0])
    name = "blocks.1.conv0.weight"
    assert torch.equal(tensors[f"generator.{name}"], model.last_generator[name])
    assert torch.equal(tensors[f"average.{name}"], model.generator[name])
    assert resume(run, options(max_images=8)).startswith("stopped")


def test_a_model_of_another_sound_is_refused(
    finished: Path, small_notes: Path, tmp_path: Path
) -> None:
    model, _ = load_model(finished)
    with pytest.raises(ConfigError) as error:
        train(small_notes, tmp_path / "run", small(fmap_max=8), options(), model=model)
    assert str(error.value) == (
        "fmap_max=8: the model has 4, and its weights work with no other value; leave it as it is."
    )
    assert not (tmp_path / "run").exists()
