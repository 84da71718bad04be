"""Model files and run folders of earlier versions: they load, play and go on as they did.

What lies in `saved` was made by the version before `model.voice` and `networks.family`, `wideband`
by the one before `narrow_noise`, `wideband_narrow` by that before `vibrato`. `notes.npz` holds what
its models played. Large tensors are patterns that repeat, so that the files are small. Processors
round sums differently, by some 1e-5 of a note; hence the tolerances.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import RunCli
from gansynth.model.file import Model, read_model, save_model
from gansynth.model.load import load_model
from gansynth.model.synth import Synth
from gansynth.tensors import read_tensors
from gansynth.training.checkpoint import Checkpoints, load_checkpoint
from gansynth.training.export import model_of_run
from gansynth.training.start import resume
from training_data import assert_same_bits, options

SAVED = Path(__file__).parent / "saved"
FACTS: dict[str, dict[str, Any]] = json.loads((SAVED / "facts.json").read_text("utf-8"))
MODELS = ["mel", "linear", "phase", "wave", "frames_linear", "frames_mel", "wideband"]
MODELS += ["wideband_narrow"]
RUNS = ["adversarial", "autoencoder"]
PLAYED = [60, 62, 64, 60]


@pytest.fixture(scope="module")
def notes() -> dict[str, np.ndarray]:
    with np.load(SAVED / "notes.npz") as file:
        return dict(file)


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(lzma.decompress((SAVED / f"{name}.xz").read_bytes()))
    return path


def unpacked_run(name: str, folder: Path) -> Path:
    """A run folder; its notes lie beside it."""
    data = lzma.decompress((SAVED / f"{name}.tar.xz").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def assert_plays(model: Model, wanted: dict[str, np.ndarray], name: str, share: float) -> None:
    """All notes and specgrams are those of `notes.npz`, but for a share of the largest value."""
    synth = Synth(model, "cpu", "float32")
    z = synth.sample_latents(4, seed=3)
    made = {"usual": synth.notes(z, PLAYED), "specgrams": synth.specgrams(z[:2], PLAYED[:2])}
    if synth.velocities:
        made["struck"] = synth.notes(z, PLAYED, [40, synth.velocities[-1], 64, 50])
    if synth.families:
        made["organ"] = synth.notes(z, PLAYED, family="organ")
    assert {f"{name}.{kind}" for kind in made} <= set(wanted)
    for kind, values in made.items():
        expected = wanted[f"{name}.{kind}"]
        assert np.abs(values - expected).max() <= share * np.abs(expected).max(), kind


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_plays_the_same_notes(
    name: str, notes: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model = read_model(unpacked(f"{name}.safetensors", tmp_path))
    assert model.digest() == FACTS[name]["sha256"]
    # Specgrams of made waves have phases of bins that are nearly silent.
    assert_plays(model, notes, name, 1e-3 if name.startswith("wideband") else 1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_keeps_what_training_goes_on_from(name: str, tmp_path: Path) -> None:
    path = unpacked(f"{name}.safetensors", tmp_path)
    model = read_model(path)
    parts = FACTS[name]["parts"]
    assert (model.last_generator is not None) == parts["last_generator"]
    assert (model.partner is not None) == parts[model.partner_name]
    save_model(tmp_path / "again.safetensors", model)
    # Hyperparameters that were added since then are all that the metadata may have more.
    (old, tensors), (new, again) = (
        read_tensors(place) for place in (path, tmp_path / "again.safetensors")
    )
    assert_same_bits(again, tensors)
    before, after = (json.loads(metadata["gansynth"]) for metadata in (old, new))
    assert before["config"].items() <= after["config"].items()
    assert before | {"config": {}} == after | {"config": {}}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_folder_plays_and_goes_on_as_it_did(
    name: str, notes: dict[str, np.ndarray], tmp_path: Path
) -> None:
    run = unpacked_run(name, tmp_path)
    assert_plays(load_model(run)[0], notes, name, 1e-4)
    assert_plays(model_of_run(run, with_discriminator=True)[0], notes, name, 1e-4)
    assert resume(run, options(), data=tmp_path / "notes") == "finished"
    tensors, facts = load_checkpoint(Checkpoints(run / "checkpoints").paths()[-1])
    assert sorted(tensors) == FACTS[name]["keys"]
    assert (facts["images"], facts["stage"]) == (FACTS[name]["ended"], FACTS[name]["stage"])
    assert_plays(load_model(run)[0], notes, f"{name}.finished", 1e-3)


# What convert and info say of a model of frames


@pytest.mark.parametrize(("kept", "words"), [(True, "kept"), (False, "none")])
def test_convert_keeps_or_drops_the_encoder_as_it_is_told(
    kept: bool, words: str, run_cli: RunCli, tmp_path: Path
) -> None:
    path, output = unpacked("frames_linear.safetensors", tmp_path), tmp_path / "out.safetensors"
    flag = ["--with-discriminator"] if kept else []
    done = run_cli("convert", path, "-o", output, *flag)
    assert done.code in (0, None), done.err
    model = read_model(output)
    assert (model.partner is not None, model.last_generator is not None) == (kept, kept)
    assert f"encoder:        {words}\n" in run_cli("info", output).out
    assert f"encoder:        {words}\n" in done.out


def test_convert_says_that_an_encoder_is_missing(run_cli: RunCli, tmp_path: Path) -> None:
    path = unpacked("frames_mel.safetensors", tmp_path)
    done = run_cli("convert", path, "-o", tmp_path / "out.safetensors", "--with-discriminator")
    assert done.code == 2
    assert "has no encoder; leave --with-discriminator out." in done.err
    assert not (tmp_path / "out.safetensors").exists()
