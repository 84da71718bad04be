"""Parts of a training by themselves: what is drawn, what is seen of real notes, what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.data.store import PreparedNotes, open_notes
from gansynth.errors import ConfigError, InputError, TrainingError
from gansynth.networks import schedule
from gansynth.networks.layers import downscale, upscale
from gansynth.spectral import transform
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation
from gansynth.training import notes as training_notes
from gansynth.training.draws import Draws
from gansynth.training.export import model_of_state
from gansynth.training.losses import consistency_loss, discriminator_losses
from gansynth.training.options import TrainOptions, layer_type
from gansynth.training.processes import Processes
from gansynth.training.reals import RealNotes, default_cache_bytes
from gansynth.training.space import ImageSpace
from gansynth.training.step import Trainer
from training_data import NOTE_PITCHES, small, write_notes

CPU = torch.device("cpu")
ENOUGH = 1 << 24  # bytes: all images of the small notes


def reals_of(notes: PreparedNotes, cache: int = ENOUGH, **changes: Any) -> RealNotes:
    """Real notes of the training split."""
    config = small(**changes)
    chosen = training_notes.choose_notes(notes, config)
    return RealNotes(config, notes.waveforms, chosen.rows, chosen.labels, CPU, cache)


def trainer_of(dtype: torch.dtype = torch.float32, **changes: Any) -> Trainer:
    """A fresh training of three pitches."""
    config = small(**changes)
    return Trainer(config, 3, make_normalizer(config), Processes(CPU), dtype=dtype)


@pytest.fixture(scope="module")
def notes(small_notes: Path) -> PreparedNotes:
    return open_notes(small_notes)


# Draws


@given(
    num_notes=st.integers(1, 40), size=st.integers(1, 12), rounds=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_every_real_note_is_seen_once_in_each_round(
    num_notes: int, size: int, rounds: int, seed: int
) -> None:
    draws = Draws(seed, num_notes, (1,), 2)
    seen: list[int] = []
    while len(seen) < rounds * num_notes:
        seen += draws.notes(len(seen), size).tolist()
    for turn in range(rounds):
        part = seen[turn * num_notes : (turn + 1) * num_notes]
        assert sorted(part) == list(range(num_notes))


def test_rounds_have_orders_of_their_own() -> None:
    draws = Draws(0, 50, (1,), 2)
    first, second = draws.notes(0, 50), draws.notes(50, 50)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, Draws(1, 50, (1,), 2).notes(0, 50))
    assert np.array_equal(first, Draws(0, 50, (1,), 2).notes(0, 50))


def test_random_pitches_follow_the_counts() -> None:
    counts = (100, 3, 40, 57)
    draws = Draws(3, 200, counts, 2)
    found = np.zeros(4)
    for images in range(0, 8000, 16):
        found += np.bincount(draws.batch(images, 16).labels.reshape(-1).numpy(), minlength=4)
    expected = found.sum() * np.array(counts) / sum(counts)
    # 0.999 quantile of chi-square with 3 degrees of freedom
    assert ((found - expected) ** 2 / expected).sum() < 16.27


def test_latents_are_standard_normal_and_mixes_uniform() -> None:
    draws = Draws(3, 200, (1, 1), 16)
    batches = [draws.batch(images, 16) for images in range(0, 3200, 16)]
    latents = torch.cat([batch.latents.reshape(-1) for batch in batches])  # 102,400 numbers
    mixes = torch.cat([batch.mix for batch in batches])  # 3,200 numbers
    assert abs(float(latents.mean())) < 4 / len(latents) ** 0.5
    assert abs(float(latents.var()) - 1) < 4 * (2 / len(latents)) ** 0.5
    assert abs(float(mixes.mean()) - 0.5) < 4 * (1 / 12 / len(mixes)) ** 0.5
    assert float(mixes.min()) >= 0
    assert float(mixes.max()) <= 1
    # The two updates of a step have nothing in common.
    assert not torch.equal(batches[0].latents[0], batches[0].latents[1])


@given(size=st.integers(1, 5), processes=st.integers(1, 4), images=st.integers(0, 10**9))
@settings(max_examples=40, deadline=None)
def test_processes_share_one_batch(size: int, processes: int, images: int) -> None:
    draws = Draws(7, 23, (2, 5, 1), 3)
    whole = draws.batch(images, size * processes)
    parts = [draws.batch(images, size, rank, processes) for rank in range(processes)]
    assert np.array_equal(np.concatenate([part.notes for part in parts]), whole.notes)
    assert torch.equal(torch.cat([part.latents for part in parts], dim=1), whole.latents)
    assert torch.equal(torch.cat([part.labels for part in parts], dim=1), whole.labels)
    assert torch.equal(torch.cat([part.mix for part in parts]), whole.mix)


def test_steps_and_seeds_draw_differently() -> None:
    draws = Draws(0, 23, (1, 1), 3)
    first = draws.batch(0, 4).latents
    assert not torch.equal(first, draws.batch(4, 4).latents)
    assert not torch.equal(first, Draws(1, 23, (1, 1), 3).batch(0, 4).latents)


# Real notes as images


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0, 1.75, 2.0])
def test_images_of_real_notes_are_blended_means_of_their_specgrams(
    notes: PreparedNotes, progress: float
) -> None:
    reals = reals_of(notes)
    config, rows = reals.config, np.array([3, 0, 3, 7])
    found = reals.images(rows, progress)
    waves = torch.from_numpy(notes.waveforms[notes.rows("train")[rows]].astype(np.float32)) / 32768
    whole = Representation(config).waves_to_specgrams(waves).permute(0, 3, 1, 2)

    def at(block: int) -> torch.Tensor:
        """At full size, with the detail of one block."""
        missing = schedule.scale(config, config.num_resolutions - block)
        return upscale(downscale(whole, missing), missing)

    block = schedule.blocks_needed(progress)
    weight = schedule.blend_weight(progress)
    expected = weight * at(block) + (1 - weight) * at(max(block - 1, 1))
    missing = schedule.scale(config, config.num_resolutions - block)
    assert found.shape == (4, 2, *schedule.block_shape(config, block))
    torch.testing.assert_close(upscale(found, missing), expected, rtol=1e-5, atol=1e-5)


def test_images_do_not_depend_on_the_memory_there_is(notes: PreparedNotes) -> None:
    draws = Draws(0, 20, (1,), 2)
    # All; those of the first resolution alone; none.
    kept, some, none = (reals_of(notes, cache) for cache in (ENOUGH, 4 * 20 * 2 * 32, 0))
    for step, progress in enumerate([0.0, 0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 0.0]):
        rows = draws.notes(8 * step, 8)
        images = [reals.images(rows, progress) for reals in (kept, some, none)]
        assert torch.equal(images[0], images[1])
        assert torch.equal(images[0], images[2])


def test_what_is_read_ahead_is_what_is_used(notes: PreparedNotes) -> None:
    class Counted(np.ndarray):
        reads = 0

        def __getitem__(self, key: Any) -> Any:
            Counted.reads += 1
            return super().__getitem__(key)

    for cache in (ENOUGH, 0):
        reals = reals_of(notes, cache)
        reals._waveforms = np.asarray(notes.waveforms).view(Counted)
        reals.images(np.array([1, 0]), 1.0)
        ahead = np.array([9, 1, 4])
        Counted.reads = 0
        reals.read_ahead(ahead, 1.0)
        found = reals.images(ahead, 1.0)
        assert Counted.reads == 1
        assert torch.equal(found, reals_of(notes).images(ahead, 1.0))
        # Something else is asked for: it is read now, and what came too early is forgotten.
        reals.read_ahead(np.array([5, 6]), 1.0)
        assert torch.equal(
            reals.images(np.array([7]), 1.0), reals_of(notes).images(np.array([7]), 1.0)
        )
        reals.close()


def test_a_share_of_the_free_memory_is_taken() -> None:
    whole = default_cache_bytes(CPU)
    assert 0 < default_cache_bytes(CPU, processes=4) < whole


# The choice of notes


def test_the_training_split_of_the_chosen_pitches_is_taken(notes: PreparedNotes) -> None:
    chosen = training_notes.choose_notes(notes, small(), pitches=[64, 62])
    assert chosen.pitch_counts == {62: 10, 64: 5}
    assert {notes.records[row].pitch for row in chosen.rows} == {62, 64}
    assert {notes.records[row].split for row in chosen.rows} == {"train"}
    assert [(62, 64)[label] for label in chosen.labels] == list(notes.pitches[chosen.rows])


def test_all_pitches_are_taken_where_none_are_named(notes: PreparedNotes) -> None:
    chosen = training_notes.choose_notes(notes, small())
    assert chosen.pitch_counts == {60: 5, 62: 10, 64: 5}
    assert len(chosen.rows) == 5 * len(NOTE_PITCHES)


@pytest.mark.parametrize(
    ("pitches", "text"),
    [
        ([60, 61, 90], r"pitches=60-61, 90: data='.*notes' has no training note of 61, 90; it has "
                       r"60, 62, 64\."),
        ([61], r"pitches=61: data='.*notes' has no training note of 61; it has 60, 62, 64\."),
    ],
)  # fmt: skip
def test_missing_pitches_are_named(notes: PreparedNotes, pitches: list[int], text: str) -> None:
    with pytest.raises(InputError, match=text):
        training_notes.choose_notes(notes, small(), pitches=pitches)


def test_fewer_notes_than_a_batch_are_refused(notes: PreparedNotes) -> None:
    text = r"data='.*': has 20 training notes, fewer than a batch of 21; add notes, build with a"
    with pytest.raises(InputError, match=text):
        training_notes.choose_notes(notes, small(batch_size_schedule=[21, 4]))
    # Without growing resolutions only the last one's batch counts.
    config = small(batch_size_schedule=[21, 4], train_progressive=False)
    assert len(training_notes.choose_notes(notes, config).rows) == 20


@pytest.mark.parametrize(("name", "ours", "theirs"), [
    ("sample_rate", 8000, 4000), ("audio_length", 300, 320),
])  # fmt: skip
def test_notes_of_another_form_are_refused(
    notes: PreparedNotes, name: str, ours: int, theirs: int
) -> None:
    text = (
        rf"{name}={ours}: data='.*notes' has {theirs}; set {name}={theirs}, or build the data "
        rf"again with {ours}\."
    )
    with pytest.raises(ConfigError, match=text):
        training_notes.choose_notes(notes, small(**{name: ours}))


def test_one_instrument_is_refused_unless_allowed(tmp_path: Path) -> None:
    notes = open_notes(write_notes(tmp_path / "notes", instruments=1))
    text = (
        r"data='.*': all 4 training notes are of one instrument \('keyboard_0'\), so every latent "
        r"would mean the same; add others, or say --allow-one-instrument\."
    )
    with pytest.raises(InputError, match=text):
        training_notes.choose_notes(notes, small())
    assert len(training_notes.choose_notes(notes, small(), allow_one_instrument=True).rows) == 4


def test_the_range_of_specgrams_is_measured_over_all_notes(notes: PreparedNotes) -> None:
    reals = reals_of(notes)
    order = np.arange(20)[::-1].copy()
    low, high = training_notes.measured_range(reals, order)
    whole = reals.specgrams(order)
    assert np.array_equal(low, whole.amin(dim=0).numpy())
    assert np.array_equal(high, whole.amax(dim=0).numpy())


# Images at a stage's own resolution


@pytest.mark.parametrize("kind", ["prespecified", "freq", "none"])
def test_images_seen_at_a_stage_are_those_of_the_full_resolution(kind: str) -> None:
    name = "none" if kind == "none" else f"specgrams_{kind}_normalizer"
    config = small(data_normalizer=name)
    frequencies = config.final_shape[1]
    random = np.random.default_rng(0)
    constants = None
    if kind == "freq":
        constants = random.uniform(0.05, 0.4, (frequencies, 4))
    normalizer = make_normalizer(config, constants)
    scale = schedule.scale(config, 2)
    space = ImageSpace(normalizer, scale)
    shape = (3, 2, *schedule.block_shape(config, 1))
    data = torch.from_numpy(random.normal(0, 6, shape).astype(np.float32))
    found = space.seen(space.from_data(data))
    whole = normalizer.normalize(upscale(data, scale).permute(0, 2, 3, 1))
    expected = downscale(torch.as_tensor(whole).permute(0, 3, 1, 2), scale)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["prespecified", "freq", "none"])
def test_gradient_norms_are_those_of_full_images(kind: str) -> None:
    name = "none" if kind == "none" else f"specgrams_{kind}_normalizer"
    config = small(data_normalizer=name)
    random = np.random.default_rng(1)
    constants = random.uniform(0.05, 0.4, (64, 4)) if kind == "freq" else None
    normalizer = make_normalizer(config, constants)
    scale = schedule.scale(config, 1)
    space = ImageSpace(normalizer, scale)
    shape = (3, 2, *schedule.block_shape(config, 2))
    data = torch.from_numpy(random.normal(0, 2, shape).astype(np.float32))
    weights = torch.from_numpy(random.normal(0, 1, shape).astype(np.float32))

    def score(seen: torch.Tensor) -> torch.Tensor:
        return (weights * seen).square().sum()

    u = space.from_data(data).requires_grad_()
    (gradient,) = torch.autograd.grad(score(space.seen(u)), u)
    whole = upscale(data, scale).requires_grad_()
    normal = normalizer.normalize(whole.permute(0, 2, 3, 1))
    (expected,) = torch.autograd.grad(
        score(downscale(torch.as_tensor(normal).permute(0, 3, 1, 2), scale)), whole
    )
    torch.testing.assert_close(
        space.data_gradient_norms(gradient), expected.square().sum(dim=(1, 2, 3)).sqrt(),
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip


# The consistency loss


@pytest.mark.parametrize("data_type", ["mel", "linear", "phase"])
def test_the_consistency_loss_is_the_distance_to_the_spectrogram_of_the_sound(
    notes: PreparedNotes, data_type: str
) -> None:
    representation = Representation(small(data_type=data_type))
    waves = torch.from_numpy(notes.waveforms[:2].astype(np.float32)) / 32768
    specgrams = representation.waves_to_specgrams(waves)
    random = torch.Generator().manual_seed(0)
    spoilt = specgrams + 0.5 * torch.randn(specgrams.shape, generator=random)
    stfts = representation.specgrams_to_stfts(spoilt)
    again = transform.waves_to_stfts(
        transform.stfts_to_waves(stfts, 320), representation.n_fft, representation.frames
    )
    expected = []
    for one, other in zip(stfts.abs(), again.abs(), strict=True):
        largest = max(1.0, float(one.max()), float(other.max()))
        expected.append(float(((one - other) / largest).square().mean()))
    loss = float(consistency_loss(representation, spoilt))
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(consistency_loss(representation, specgrams)) < 0.3 * loss


# The schedule of a training


def test_stage_batch_and_progress_follow_the_images() -> None:
    trainer = trainer_of(batch_size_schedule=[8, 4, 2])
    seen = []
    for images in range(0, 80, 4):
        trainer.images = images
        while trainer.stage_is_over:
            trainer.begin_stage(trainer.stage + 1)
        seen.append((images, trainer.stage, trainer.batch_size, trainer.progress))
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
        assert not trainer.stage_is_over
        trainer.seconds = end
        assert trainer.stage_is_over
    trainer.begin_stage(3)
    trainer.seconds = 11.0
    assert trainer.progress == pytest.approx(1.5)
    trainer.images = 10**6
    assert trainer.progress == pytest.approx(1.5)


def test_without_growing_the_whole_is_trained_from_the_start() -> None:
    trainer = trainer_of(train_progressive=False, batch_size_schedule=[8, 2])
    assert (trainer.stage, trainer.progress, trainer.batch_size) == (4, 2.0, 2)
    trainer.images = 79
    assert not trainer.is_finished
    trainer.images = 80
    assert trainer.is_finished


# One step


def test_the_generator_goes_first_and_the_discriminator_sees_its_new_images(
    notes: PreparedNotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, reals = trainer_of(), reals_of(notes)
    batch = Draws(0, 20, (5, 10, 5), 6).batch(0, 4)
    order: list[str] = []
    before = {n: t.detach().clone() for n, t in trainer.generator.named_parameters()}
    others = {n: t.detach().clone() for n, t in trainer.discriminator.named_parameters()}

    def changed() -> list[str]:
        now = dict(trainer.generator.named_parameters())
        later = dict(trainer.discriminator.named_parameters())
        generator = any(not torch.equal(now[n], before[n]) for n in before)
        discriminator = any(not torch.equal(later[n], others[n]) for n in others)
        return ["generator"] * generator + ["discriminator"] * discriminator

    def spy(config: Any, network: Any, space: Any, real: Any, labels: Any, images: Any,
            *rest: Any, **options: Any) -> Any:  # fmt: skip
        order.extend(changed())
        with torch.no_grad():
            again = trainer.generator(batch.latents[1], batch.labels[1], 0.0)
        assert torch.equal(images, again)
        assert torch.equal(labels, reals.labels[batch.notes])
        return discriminator_losses(config, network, space, real, labels, images, *rest, **options)

    monkeypatch.setattr("gansynth.training.step.discriminator_losses", spy)
    trainer.step(batch, reals)
    assert order == ["generator"]
    assert changed() == ["generator", "discriminator"]
    assert trainer.images == 4


def test_the_average_follows_the_generator_by_a_thousandth(notes: PreparedNotes) -> None:
    trainer, reals = trainer_of(generator_learning_rate=0.05), reals_of(notes)
    draws = Draws(0, 20, (5, 10, 5), 6)
    weights = [{n: t.detach().clone() for n, t in trainer.generator.named_parameters()}]
    for _ in range(2):
        trainer.step(draws.batch(trainer.images, 4), reals)
        weights.append({n: t.detach().clone() for n, t in trainer.generator.named_parameters()})
    first, second, third = weights
    moved = 0
    for name in first:
        if name.startswith(("blocks.1.", "blocks.2.")):  # do not exist yet
            assert torch.equal(trainer.average[name], first[name])
            continue
        expected = 0.999 * first[name] + 0.001 * second[name]
        expected = 0.999 * expected + 0.001 * third[name]
        torch.testing.assert_close(trainer.average[name], expected, rtol=1e-6, atol=1e-7)
        moved += not torch.equal(expected, first[name])
    assert moved > 0


def test_a_new_stage_keeps_weights_and_starts_optimizers_afresh(notes: PreparedNotes) -> None:
    trainer, reals = trainer_of(), reals_of(notes)
    draws = Draws(0, 20, (5, 10, 5), 6)
    for _ in range(4):
        trainer.step(draws.batch(trainer.images, 4), reals)
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
    trainer.step(draws.batch(trainer.images, 4), reals)
    tensors, facts = trainer.state()
    assert facts["steps"] == [1, 1]
    for prefix in ("generator_adam.", "discriminator_adam."):
        names = [n for n in tensors if n.startswith(prefix) and n.endswith(".first")]
        assert any("blocks.1." in name for name in names)
        for name in names:
            second = tensors[name.removesuffix("first") + "second"]
            torch.testing.assert_close(second, 0.01 * tensors[name].square(), rtol=1e-4, atol=0)


def test_a_poisoned_weight_stops_the_step_and_updates_nothing(notes: PreparedNotes) -> None:
    trainer, reals = trainer_of(), reals_of(notes)
    with torch.no_grad():
        trainer.generator.get_parameter("blocks.0.to_rgb.bias")[0] = float("nan")
    before = {n: t.detach().clone() for n, t in trainer.discriminator.named_parameters()}
    with pytest.raises(TrainingError, match=r"loss=nan: is no finite number any more\."):
        trainer.step(Draws(0, 20, (5, 10, 5), 6).batch(0, 4), reals)
    after = dict(trainer.discriminator.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert trainer.images == 0


def test_bfloat16_keeps_state_in_float32_and_losses_near(notes: PreparedNotes) -> None:
    reals, draws = reals_of(notes), Draws(0, 20, (5, 10, 5), 6)
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        trainer = trainer_of(dtype)
        trainer.images = 64
        trainer.begin_stage(4)
        losses = trainer.step(draws.batch(64, 4), reals)
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
    assert model.discriminator is None
    assert model.last_generator is None
    assert (model.source["kind"], model.source["images"], model.source["stage"]) == (
        "trained", 24, 1,
    )  # fmt: skip
    assert all(torch.equal(model.generator[n], trainer.average[n]) for n in model.generator)
    labels, latents = torch.tensor([0, 2]), torch.randn(2, 6, generator=torch.Generator())
    with torch.no_grad():
        ours = model.build_generator()(latents, labels, model.progress)
    whole = upscale(ours, schedule.scale(trainer.config, 1)).permute(0, 2, 3, 1)
    torch.testing.assert_close(
        trainer.normalizer.denormalize(whole), trainer.make(latents, labels), rtol=1e-5, atol=1e-5
    )


def test_the_model_of_a_state_may_keep_what_training_needs() -> None:
    trainer = trainer_of()
    tensors, facts = trainer.state()
    model = model_of_state(
        trainer.config, {60: 1, 61: 1, 62: 1}, tensors, facts, with_discriminator=True
    )
    assert model.discriminator is not None
    assert model.last_generator is not None
    assert model.build_discriminator() is not None
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


def test_auto_precision_is_float32_on_a_cpu() -> None:
    assert layer_type("auto", CPU) == torch.float32
    assert layer_type("auto", torch.device("cuda")) == torch.bfloat16
    assert layer_type("bfloat16", CPU) == torch.bfloat16
