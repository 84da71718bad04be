"""One step of a training, the schedule that it follows, and the model that comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gansynth.data.store import PreparedNotes, open_notes
from gansynth.errors import InputError, TrainingError
from gansynth.training.export import model_of_state
from gansynth.training.losses import discriminator_losses
from gansynth.training.options import TrainOptions
from gansynth.training.sampling import BatchSampler
from training_data import dataset_of, trainer_of


@pytest.fixture(scope="module")
def notes(small_notes: Path) -> PreparedNotes:
    return open_notes(small_notes)


# The schedule of a training


def test_stage_batch_and_progress_follow_the_images() -> None:
    trainer = trainer_of(batch_size_schedule=[8, 4, 2])
    seen = []
    for images in range(0, 80, 4):
        trainer.images = images
        while trainer.position.stage_is_over:
            trainer.begin_stage(trainer.stage + 1)
        seen.append((images, trainer.stage, trainer.position.batch_size, trainer.progress))
    assert seen[::4] == [
        (0, 0, 8, 0.0), (16, 1, 4, 0.0), (32, 2, 4, 1.0), (48, 3, 2, 1.0), (64, 4, 2, 2.0),
    ]  # fmt: skip
    assert seen[6] == (24, 1, 4, 0.5)


def test_a_time_limit_sets_stages_by_the_clock() -> None:
    trainer = trainer_of(train_time_limit=31.0, train_time_stage_multiplier=2.0)
    ends = [1, 3, 7, 15, 31]
    for stage, end in enumerate(ends):
        trainer.begin_stage(stage)
        trainer.seconds = end - 1e-3
        assert not trainer.position.stage_is_over
        trainer.seconds = end
        assert trainer.position.stage_is_over
    trainer.begin_stage(3)
    trainer.seconds = 11.0
    assert trainer.progress == pytest.approx(1.5)
    trainer.images = 10**6
    assert trainer.progress == pytest.approx(1.5)


def test_without_growing_the_whole_is_trained_from_the_start() -> None:
    trainer = trainer_of(train_progressive=False, batch_size_schedule=[8, 2])
    assert (trainer.stage, trainer.progress, trainer.position.batch_size) == (4, 2.0, 2)
    trainer.images = 79
    assert not trainer.position.has_ended
    trainer.images = 80
    assert trainer.position.has_ended


# One step


def test_the_generator_goes_first_and_the_discriminator_sees_its_new_images(
    notes: PreparedNotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, dataset = trainer_of(), dataset_of(notes)
    batch = BatchSampler(0, 20, (5, 10, 5), 6).batch(0, 4)
    order: list[str] = []
    before = {n: t.detach().clone() for n, t in trainer.generator.named_parameters()}
    others = {n: t.detach().clone() for n, t in trainer.partner.named_parameters()}

    def changed() -> list[str]:
        now = dict(trainer.generator.named_parameters())
        later = dict(trainer.partner.named_parameters())
        generator = any(not torch.equal(now[n], before[n]) for n in before)
        discriminator = any(not torch.equal(later[n], others[n]) for n in others)
        return ["generator"] * generator + ["discriminator"] * discriminator

    def spy(config: Any, network: Any, space: Any, real: Any, labels: Any, images: Any,
            *rest: Any, **options: Any) -> Any:  # fmt: skip
        order.extend(changed())
        with torch.no_grad():
            again = trainer.generator(batch.latents[1], batch.labels[1], 0.0)
        assert torch.equal(images, again)
        assert torch.equal(labels, dataset.labels[batch.notes])
        return discriminator_losses(config, network, space, real, labels, images, *rest, **options)

    monkeypatch.setattr("gansynth.training.adversarial.discriminator_losses", spy)
    trainer.step(batch, dataset)
    assert order == ["generator"]
    assert changed() == ["generator", "discriminator"]
    assert trainer.images == 4


def test_the_average_follows_the_generator_by_a_thousandth(notes: PreparedNotes) -> None:
    trainer, dataset = trainer_of(generator_learning_rate=0.05), dataset_of(notes)
    sampler = BatchSampler(0, 20, (5, 10, 5), 6)
    weights = [{n: t.detach().clone() for n, t in trainer.generator.named_parameters()}]
    for _ in range(2):
        trainer.step(sampler.batch(trainer.images, 4), dataset)
        weights.append({n: t.detach().clone() for n, t in trainer.generator.named_parameters()})
    first, second, third = weights
    moved = 0
    for name in first:
        if name.startswith(("blocks.1.", "blocks.2.")):  # do not exist yet
            assert torch.equal(trainer.ema[name], first[name])
            continue
        expected = 0.999 * first[name] + 0.001 * second[name]
        expected = 0.999 * expected + 0.001 * third[name]
        torch.testing.assert_close(trainer.ema[name], expected, rtol=1e-6, atol=1e-7)
        moved += not torch.equal(expected, first[name])
    assert moved > 0


def test_a_new_stage_keeps_weights_and_starts_optimizers_afresh(notes: PreparedNotes) -> None:
    trainer, dataset = trainer_of(), dataset_of(notes)
    sampler = BatchSampler(0, 20, (5, 10, 5), 6)
    for _ in range(4):
        trainer.step(sampler.batch(trainer.images, 4), dataset)
    before, facts = trainer.state()
    before = {n: t.detach().clone() for n, t in before.items()}
    assert facts["steps"] == [4, 4]
    assert any(".conv0.weight.first" in name for name in before)
    trainer.begin_stage(1)
    after, facts = trainer.state()
    assert facts["steps"] == [0, 0]
    assert not any("_adam." in name for name in after)
    assert all(torch.equal(after[n], t) for n, t in before.items() if "_adam." not in n)
    # The next step's moments know of that step alone: with beta1 = 0, first = the gradient.
    trainer.step(sampler.batch(trainer.images, 4), dataset)
    tensors, facts = trainer.state()
    assert facts["steps"] == [1, 1]
    for prefix in ("generator_adam.", "discriminator_adam."):
        names = [n for n in tensors if n.startswith(prefix) and n.endswith(".first")]
        assert any("blocks.1." in name for name in names)
        for name in names:
            second = tensors[name.removesuffix("first") + "second"]
            torch.testing.assert_close(second, 0.01 * tensors[name].square(), rtol=1e-4, atol=0)


def test_a_poisoned_weight_stops_the_step_and_updates_nothing(notes: PreparedNotes) -> None:
    trainer, dataset = trainer_of(), dataset_of(notes)
    with torch.no_grad():
        trainer.generator.get_parameter("blocks.0.to_rgb.bias")[0] = float("nan")
    before = {n: t.detach().clone() for n, t in trainer.partner.named_parameters()}
    with pytest.raises(TrainingError, match=r"loss=nan: isn't finite any more\."):
        trainer.step(BatchSampler(0, 20, (5, 10, 5), 6).batch(0, 4), dataset)
    after = dict(trainer.partner.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert trainer.images == 0


def test_bfloat16_keeps_state_in_float32_and_losses_near(notes: PreparedNotes) -> None:
    dataset, sampler = dataset_of(notes), BatchSampler(0, 20, (5, 10, 5), 6)
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        trainer = trainer_of(dtype)
        trainer.images = 64
        trainer.begin_stage(4)
        losses = trainer.step(sampler.batch(64, 4), dataset)
        found[dtype] = {name: float(value) for name, value in losses.items()}
        assert all(tensor.dtype == torch.float32 for tensor in trainer.state()[0].values())
        assert all(value.dtype == torch.float32 for value in losses.values())
    assert np.isfinite(list(found[torch.bfloat16].values())).all()
    for name, value in found[torch.float32].items():
        # bfloat16 has 8 bits: 0.4 % a rounding, through some ten layers.
        assert found[torch.bfloat16][name] == pytest.approx(value, rel=0.06, abs=0.02), name


# The model of a state


def test_the_model_of_a_state_is_the_average_of_the_blocks_there_are() -> None:
    trainer = trainer_of()
    trainer.images = 24
    trainer.begin_stage(1)
    tensors, facts = trainer.state()
    counts = {60: 5, 62: 10, 64: 5}
    model = model_of_state(trainer.config, counts, tensors, facts)
    assert model.num_blocks == 2
    assert model.progress == 0.5
    assert model.pitch_counts == counts
    assert model.partner is None
    assert model.last_generator is None
    assert (model.source["kind"], model.source["images"], model.source["stage"]) == (
        "trained", 24, 1,
    )  # fmt: skip
    assert all(torch.equal(model.generator[n], trainer.ema[n]) for n in model.generator)


def test_the_model_of_a_state_may_keep_what_training_needs() -> None:
    trainer = trainer_of()
    tensors, facts = trainer.state()
    model = model_of_state(
        trainer.config, {60: 1, 61: 1, 62: 1}, tensors, facts, with_discriminator=True
    )
    assert model.partner is not None
    assert model.last_generator is not None
    assert model.build_partner() is not None
    assert model.last_generator.keys() == model.generator.keys()


# Options


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"precision": "float16"}, "precision='float16': must be one of auto, float32, bfloat16."),
        ({"save_minutes": -1.0}, "save_minutes=-1.0: must be a number of 0 or more."),
        ({"max_minutes": float("nan")}, "max_minutes=nan: must be a number of 0 or more."),
        ({"max_images": -3}, "max_images=-3: must be a number of 0 or more."),
        ({"cache_gigabytes": -0.1}, "cache_gigabytes=-0.1: must be a number of 0 or more."),
        ({"keep": 0}, "keep=0: must be a whole number of 1 or more."),
        ({"stddev_group": 0}, "stddev_group=0: must be a whole number of 1 or more."),
        ({"seed": -1}, "seed=-1: must be a whole number of 0 or more."),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as error:
        TrainOptions(**values)
    assert str(error.value) == text
