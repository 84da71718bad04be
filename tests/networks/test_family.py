"""A family of networks plugs in: a tiny third one, by public means, through the whole product."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gansynth
from conftest import RunCli
from gansynth import config as configs
from gansynth.config import Config
from gansynth.errors import ConfigError
from gansynth.model.file import read_model
from gansynth.networks import family as families
from gansynth.networks.decoder import ImageDecoder
from gansynth.networks.family import ConfigPreset, NetworkFamily, family_names, register
from gansynth.training.adam import Adam
from gansynth.training.dataset import ImageDataset
from gansynth.training.export import model_of_run
from gansynth.training.losses import Losses
from gansynth.training.sampling import Batch
from gansynth.training.trainer import Optimizer, Trainer
from training_data import SAMPLE_RATE, SAMPLES, as_options

TINY = {
    "g_fn": "table", "d_fn": "table", "train_progressive": False, "data_type": "linear",
    "sample_rate": SAMPLE_RATE, "audio_length": SAMPLES, "num_resolutions": 3,
    "latent_vector_size": 4, "batch_size_schedule": (4,), "total_num_images": 24,
    "fake_batch_size": 3, "mag_normalizer_b": 0.8,  # notes around full scale
}  # fmt: skip


class Table(nn.Module):
    """An image for each pitch, and an echo of it that grows by the latent."""

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__()
        self.num_pitches = num_pitches
        time, freq = self.shape = config.final_shape
        self.blocks = nn.ModuleList([nn.Embedding(num_pitches, 2 * time * freq)])
        self.gain = nn.Linear(config.latent_vector_size, 1)

    def forward(
        self, latents: Tensor, labels: Tensor, progress: float, velocities: Tensor
    ) -> Tensor:
        gains = (self.gain(latents) + velocities[:, None] / 127).sigmoid()
        return (self.blocks[0](labels) * gains).tanh().unflatten(1, (2, *self.shape))


class Memory(nn.Module):
    """What the table is trained with: it keeps how many notes it was shown."""

    shown: Tensor

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__()
        self.register_buffer("shown", torch.zeros(num_pitches))


class TableTrainer(Trainer):
    """Bring each pitch's image to its notes'."""

    def make_optimizers(self) -> dict[str, Optimizer]:
        names = {p: name for name, p in self.generator.named_parameters()}
        return {"table_adam": Optimizer(Adam(names, 0.05, (0.9, 0.99)), names)}

    def step(self, batch: Batch, dataset: ImageDataset) -> Losses:
        real = dataset.images(batch.notes, self.progress)
        wanted = self.normalizer.normalize(real.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        labels, velocities = dataset.labels[batch.notes], dataset.velocities[batch.notes]
        made = self.generator(batch.latents[0], labels, self.progress, velocities.float())
        loss = (made - wanted).square().mean()
        (optimizer,) = self.optimizers.values()
        self.update(optimizer, loss)
        self.update_ema(optimizer.names, 0.5)
        self.networks["memory"].shown += labels.bincount(minlength=self.generator.num_pitches)
        return self.count(batch, {"generator_loss": loss})


class Louder(ImageDecoder):
    """A way from image to wave of its own."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


def fit_pitches(weights: dict[str, Tensor], config: Config, rows: list[int]) -> dict[str, Tensor]:
    by_pitch = ("blocks.0.weight", "shown")
    return {n: t[torch.tensor(rows)] if n in by_pitch else t for n, t in weights.items()}


def check(config: Config) -> None:
    if config.data_type == "wave":
        raise ConfigError("data_type='wave': g_fn=table needs spectrograms.")


TABLE = NetworkFamily(
    name="table", generator=Table, partner_name="memory", partner=Memory, trainer=TableTrainer,
    fit_pitches=fit_pitches, decoder=Louder, check=check, conditioned=True, notes_at_once=3,
    presets={"desk": ConfigPreset("a small table", {"start_height": 2, "start_width": 16, **TINY})},
)  # fmt: skip


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """The third family, for the time of a test."""
    register(TABLE)
    yield
    del families._families["table"]


def tiny(**changes: Any) -> Config:
    return configs.preset("tiny").replace(**{**TINY, **changes})


def test_a_family_takes_part_in_a_configurations_rules() -> None:
    assert family_names() == ("specgram", "frames", "wideband", "table")
    assert tiny().sound_names[-1] == "g_fn"
    assert configs.preset("desk") == Config(start_height=2, start_width=16, **TINY)
    with pytest.raises(ConfigError, match=r"^data_type='wave': g_fn=table needs spectrograms"):
        tiny(data_type="wave", start_width=1, scale_mode="H", start_height=200)
    with pytest.raises(ConfigError, match=r"must be one of specgram, frames, wideband, table\."):
        tiny(g_fn="tabel")
    with pytest.raises(ConfigError, match="'table': is another family's name; choose another"):
        register(NetworkFamily("table", Table, "x", Memory, TableTrainer, fit_pitches))


def test_a_third_family_goes_through_the_whole_product(
    run_cli: RunCli, small_notes: Path, tmp_path: Path
) -> None:
    def done(*words: object) -> str:
        result = run_cli(*words)
        assert result.code in (0, None), result.err
        return result.out

    # init, info
    fresh, hparams = tmp_path / "fresh.safetensors", json.dumps(TINY)
    done("init", "--preset", "tiny", "--hparams", hparams, "--pitches", "60,62,64", "-o", fresh)
    assert "memory:         none\n" in done("info", fresh)

    # train, stop, resume
    run = tmp_path / "run"
    words = ["train", small_notes, "-o", run, "--device", "cpu", "--precision", "float32"]
    done(*words, *as_options(tiny()), "--max-images", 12)
    done("train", "--resume", run, "--device", "cpu")
    model, _ = model_of_run(run, with_discriminator=True)
    assert model.source["images"] == 24
    assert model.velocities == (100,)
    assert model.build_partner().shown.sum() == 24
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert losses[-1]["generator_loss"] < losses[0]["generator_loss"]

    # convert, generate, from Python
    file = tmp_path / "table.safetensors"
    assert "memory:         kept\n" in done("convert", run, "-o", file, "--with-discriminator")
    assert read_model(file).partner is not None
    done("generate", "--model", file, "--pitch", 62, "--count", 1, "-o", tmp_path / "notes")
    assert (tmp_path / "notes/generated_0.wav").is_file()
    synth = gansynth.load(file, "cpu")
    assert synth.batch == 3
    z = synth.sample_latents(4, 0)
    notes = synth.notes(z, [60, 62, 64, 60])
    images = synth.voice.images(torch.tensor(z), [60, 62, 64, 60])
    plain = ImageDecoder(model.config)(images).detach().numpy()
    np.testing.assert_allclose(notes, 2 * plain, rtol=1e-4, atol=1e-5)
    latents = torch.tensor(z, requires_grad=True)
    synth.voice(latents, 60).square().sum().backward()
    assert (latents.grad.abs().sum(dim=1) > 0).all()

    # go on from it with other pitches
    tuned = ["train", small_notes, "-o", tmp_path / "tuned", "--from", file, "--pitches", "60,64"]
    done(*tuned, "--set", "total_num_images=28", "--device", "cpu", "--precision", "float32")
    assert gansynth.load(tmp_path / "tuned").pitches == (60, 64)

    # ONNX, which compares its notes with the model's
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    done("export", "onnx", "--model", file, "-o", tmp_path / "table.onnx")
    assert (tmp_path / "table.onnx").is_file()
