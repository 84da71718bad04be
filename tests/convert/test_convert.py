"""Models of the original, in all the shapes that they come in."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gansynth import config as configs
from gansynth.convert.magenta import NSYNTH_COUNTS, read_magenta
from gansynth.convert.places import is_magenta
from gansynth.errors import ModelError
from gansynth.model.file import Model, initial_model, read_model, save_model
from gansynth.model.synth import load
from magenta_writer import write_magenta

PITCHES = list(range(24, 85))


def small(seed: int = 1, **options: object) -> Model:
    return initial_model(configs.preset("tiny").replace(**options), PITCHES, seed)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"simple_arch": True},
        {"data_normalizer": "specgrams_simple_normalizer"},
        {"data_normalizer": "specgrams_freq_normalizer"},
        {"kernel_size": 2},
        {"train_progressive": False},
        {"data_type": "wave", "scale_mode": "H", "scale_base": 4, "start_height": 16,
         "start_width": 1, "data_normalizer": "none"},
    ],
    ids=str,
)  # fmt: skip
def test_what_training_leaves_becomes_the_same_model(
    tmp_path: Path, options: dict[str, object]
) -> None:
    model = small(**options)
    read, warnings = read_magenta(write_magenta(tmp_path / "m", model))
    assert warnings == []
    assert read.digest() == model.digest()
    assert tuple(read.pitch_counts.values()) == NSYNTH_COUNTS
    assert read.source["stage"] == 12


def test_the_released_counts_are_those_of_the_training_set() -> None:
    assert (len(NSYNTH_COUNTS), NSYNTH_COUNTS[0], NSYNTH_COUNTS[-1]) == (61, 551, 977)
    assert (min(NSYNTH_COUNTS), max(NSYNTH_COUNTS), sum(NSYNTH_COUNTS)) == (545, 1349, 60788)


def test_several_shards_and_snappy_are_read(tmp_path: Path) -> None:
    model = small()
    folder = write_magenta(tmp_path / "m", model, shards=3, snappy=True)
    assert read_magenta(folder)[0].digest() == model.digest()


def test_the_last_stage_with_a_checkpoint_counts(tmp_path: Path) -> None:
    model = small(seed=2)
    folder = write_magenta(tmp_path / "m", model)
    shorter = Model(model.config, model.pitch_counts, 0.0, {
        name: tensor * 3 for name, tensor in model.generator.items() if name.startswith("blocks.0.")
    })  # fmt: skip
    write_magenta(tmp_path / "early", shorter, stage=0, images=10)
    (tmp_path / "early/stage_00000").rename(folder / "stage_00000")
    (folder / "stage_00012").rename(folder / "stage_00011")
    (folder / "stage_00012").mkdir()
    read, warnings = read_magenta(folder)
    assert torch.equal(
        read.generator["blocks.0.conv1.weight"], model.generator["blocks.0.conv1.weight"]
    )
    assert read.source["stage"] == 11
    assert warnings == [f"{folder}: stage_00012 holds no checkpoint; passed over."]


def test_a_stage_amid_a_blend_keeps_its_place(tmp_path: Path) -> None:
    model = small(seed=2)
    four = {n: t for n, t in model.generator.items() if int(n.split(".")[1]) < 4}
    folder = write_magenta(
        tmp_path / "m", Model(model.config, model.pitch_counts, 0.0, four), stage=5, images=340
    )
    assert read_magenta(folder)[0].progress == pytest.approx(2 + (340 - 256 - 64) / 64)


def test_training_by_the_clock_is_placed_by_its_seconds(tmp_path: Path) -> None:
    model = small(train_time_limit=1300.0)
    four = {n: t for n, t in model.generator.items() if int(n.split(".")[1]) < 4}
    shorter = Model(model.config, model.pitch_counts, 0.0, four)
    folder = write_magenta(tmp_path / "m", shorter, stage=5, images=7, seconds=525.0)
    assert read_magenta(folder)[0].progress == pytest.approx(2.25)


def test_the_discriminator_comes_along_when_asked(tmp_path: Path) -> None:
    model = small()
    folder = write_magenta(tmp_path / "m", model)
    assert read_magenta(folder)[0].partner is None
    whole, _ = read_magenta(folder, with_discriminator=True)
    save_model(tmp_path / "m.safetensors", whole)
    again = read_model(tmp_path / "m.safetensors")
    assert again.last_generator is not None
    for name, tensor in model.generator.items():
        assert torch.equal(again.last_generator[name], 2 * tensor)
    scores, logits = again.build_partner()(torch.zeros(2, 2, 128, 1024), 6.0)
    assert (scores.shape, logits.shape) == ((2,), (2, 61))
    with pytest.raises(ModelError, match="convert it again with --with-discriminator"):
        model.build_partner()


def test_other_pitches_have_to_be_said(tmp_path: Path) -> None:
    model = initial_model(configs.preset("tiny"), list(range(36, 49)), 0)
    folder = write_magenta(tmp_path / "m", model)
    with pytest.raises(
        ModelError, match=r"knows 13 pitches, .* say which they are, as in --pitches"
    ):
        read_magenta(folder)
    with pytest.raises(ModelError, match="pitches: 12 given, but the model was trained on 13"):
        read_magenta(folder, pitches=list(range(36, 48)))
    assert next(iter(read_magenta(folder, pitches=list(range(36, 49)))[0].pitch_counts)) == 36


def test_experiment_json_above_in_a_sweep_and_with_unknown_names(tmp_path: Path) -> None:
    import json

    model = small()
    folder = write_magenta(tmp_path / "job_7", model)
    values = {**model.config.to_dict(), "hparam_of_a_later_version": 3, "master": ""}
    (tmp_path / "experiment.json").write_text(json.dumps({"jobs": {"job_7": values}}))
    (folder / "experiment.json").unlink()
    read, warnings = read_magenta(folder)
    assert read.digest() == model.digest()
    assert warnings == [f"{folder}: experiment.json: ignored hparam_of_a_later_version."]


def test_archives_with_hidden_entries_of_other_systems(tmp_path: Path) -> None:
    model = small()
    folder = write_magenta(tmp_path / "acoustic_only", model)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(tmp_path))
            hidden = Path("__MACOSX") / file.relative_to(tmp_path)
            archive.writestr(str(hidden.with_name("._" + hidden.name)), b"\0")
    assert is_magenta(tmp_path / "a.zip")
    assert read_magenta(tmp_path / "a.zip")[0].digest() == model.digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_resolutions": 6, "start_width": 32, "start_height": 4},
            r"num_resolutions=6 has only stages 0 to 10",
        ),
        ({"latent_vector_size": 15}, r"the model knows 62 pitches"),
        ({"fmap_base": 1024}, r"has shape \(3, 3, 8, 4\), which as blocks\.6\.conv0\.weight gives"),
        ({"simple_arch": True}, r"block_1/dense/kernel/ExponentialMovingAverage: is missing"),
        (
            {"data_normalizer": "specgrams_simple_normalizer"},
            r"normalizer\.npz is missing or damaged",
        ),
        ({"kernel_size": "3"}, r"experiment\.json: kernel_size='3': must be a whole number"),
    ],
)
def test_an_experiment_json_of_another_model_is_told(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    from gansynth.errors import GansynthError

    model = small()
    values = {**model.config.to_dict(), **change}
    folder = write_magenta(tmp_path / "m", model, experiment=values)
    with pytest.raises(GansynthError, match=message):
        read_magenta(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blocks.3.conv1.bias", r"conv1/bias/ExponentialMovingAverage: is missing \(1 in all\)"),
        ("global_step", "tensor=global_step: is missing"),
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str, message: str) -> None:
    from gansynth.convert.names import generator_sources

    variable = name
    if name.startswith("blocks"):
        variable = generator_sources([name], simple=False, averaged=True)[name].variable
    folder = write_magenta(tmp_path / "m", small(), leave_out=variable)
    with pytest.raises(ModelError, match=message):
        read_magenta(folder)


def test_a_damaged_normalizer_is_told(tmp_path: Path) -> None:
    model = small(data_normalizer="specgrams_freq_normalizer")
    folder = write_magenta(tmp_path / "m", model)
    file = folder / "assets/specgrams_freq_normalizer.npz"
    np.savez(file, normalizer=np.ones((1024, 3)))
    with pytest.raises(ModelError, match=r"constants have shape \(1024, 3\), expected \(1024, 4\)"):
        read_magenta(folder)
    np.savez(file, normalizer=np.array([{}], dtype=object))
    with pytest.raises(ModelError, match=r"normalizer\.npz is damaged"):
        read_magenta(folder)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"normalizer\.npz is damaged"):
        read_magenta(folder)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"images": -5}, r"progress=.*: must be from 0 to 6"),
        ({"seconds": float("nan")}, r"progress=nan: must be from 0 to 6"),
    ],
)
def test_counters_that_cannot_be_are_told(
    tmp_path: Path, broken: dict[str, float], message: str
) -> None:
    options = {"train_time_limit": 10.0} if "seconds" in broken else {}
    folder = write_magenta(tmp_path / "m", small(**options), **broken)
    with pytest.raises(ModelError, match=message):
        read_magenta(folder)


def test_weights_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    model = small()
    model.generator["blocks.2.conv1.bias"][0] = float("nan")
    folder = write_magenta(tmp_path / "m", model)
    with pytest.raises(ModelError, match=r"generator\.blocks\.2\.conv1\.bias: holds NaN"):
        read_magenta(folder)


def test_broken_values_that_only_training_needs_do_not_stop_playing(tmp_path: Path) -> None:
    model = small()
    values = {**model.config.to_dict(), "train_root_dir": None, "fake_batch_size": -1}
    read, warnings = read_magenta(write_magenta(tmp_path / "m", model, experiment=values))
    assert read.digest() == model.digest()
    assert "ignored fake_batch_size=-1, train_root_dir=None." in warnings[0]


def test_a_full_size_archive_works_as_it_comes(tmp_path: Path) -> None:
    """Published models: latent 256, up to 256 channels, 61 pitches, zipped with their folder."""
    model = initial_model(configs.preset("mel_prog_hires"), PITCHES, seed=0)
    folder = write_magenta(tmp_path / "unzipped" / "acoustic_only", model, images=10_400_000)
    with zipfile.ZipFile(tmp_path / "acoustic_only.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(tmp_path / "unzipped"))
    synth = load(tmp_path / "acoustic_only.zip", device="cpu")
    assert synth.model.digest() == model.digest()
    assert sum(tensor.numel() for tensor in synth.model.generator.values()) == 7_311_246
    assert synth.notes(synth.sample_latents(1), 60).shape == (1, 64000)


def test_two_models_in_one_place_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_magenta(tmp_path / name, small())
    with pytest.raises(ModelError, match=r"holds several models \(one, two\); give one of them"):
        read_magenta(tmp_path)
