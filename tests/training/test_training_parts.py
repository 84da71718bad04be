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
from gansynth.errors import ConfigError, InputError
from gansynth.networks import schedule
from gansynth.networks.layers import downscale, upscale
from gansynth.spectral import transform
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation
from gansynth.training import notes as training_notes
from gansynth.training.dataset import default_cache_bytes
from gansynth.training.losses import consistency_loss
from gansynth.training.sampling import BatchSampler
from gansynth.training.stage_normalizer import StageNormalizer
from training_data import CPU, ENOUGH, NOTE_PITCHES, dataset_of, small, write_notes


@pytest.fixture(scope="module")
def notes(small_notes: Path) -> PreparedNotes:
    return open_notes(small_notes)


# Batches


@given(
    num_notes=st.integers(1, 40), size=st.integers(1, 12), rounds=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_every_real_note_is_seen_once_in_each_round(
    num_notes: int, size: int, rounds: int, seed: int
) -> None:
    sampler = BatchSampler(seed, num_notes, (1,), 2)
    seen: list[int] = []
    while len(seen) < rounds * num_notes:
        seen += sampler.notes(len(seen), size).tolist()
    for turn in range(rounds):
        part = seen[turn * num_notes : (turn + 1) * num_notes]
        assert sorted(part) == list(range(num_notes))


def test_rounds_have_orders_of_their_own() -> None:
    sampler = BatchSampler(0, 50, (1,), 2)
    first, second = sampler.notes(0, 50), sampler.notes(50, 50)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, BatchSampler(1, 50, (1,), 2).notes(0, 50))
    assert np.array_equal(first, BatchSampler(0, 50, (1,), 2).notes(0, 50))


def test_random_pitches_follow_the_counts() -> None:
    counts = (100, 3, 40, 57)
    sampler = BatchSampler(3, 200, counts, 2)
    found = np.zeros(4)
    for images in range(0, 8000, 16):
        found += np.bincount(sampler.batch(images, 16).labels.reshape(-1).numpy(), minlength=4)
    expected = found.sum() * np.array(counts) / sum(counts)
    # 0.999 quantile of chi-square with 3 degrees of freedom
    assert ((found - expected) ** 2 / expected).sum() < 16.27


def test_latents_are_standard_normal_and_mixes_uniform() -> None:
    sampler = BatchSampler(3, 200, (1, 1), 16)
    batches = [sampler.batch(images, 16) for images in range(0, 3200, 16)]
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
    sampler = BatchSampler(7, 23, (2, 5, 1), 3)
    whole = sampler.batch(images, size * processes)
    parts = [sampler.batch(images, size, rank, processes) for rank in range(processes)]
    assert np.array_equal(np.concatenate([part.notes for part in parts]), whole.notes)
    assert torch.equal(torch.cat([part.latents for part in parts], dim=1), whole.latents)
    assert torch.equal(torch.cat([part.labels for part in parts], dim=1), whole.labels)
    assert torch.equal(torch.cat([part.mix for part in parts]), whole.mix)


def test_steps_and_seeds_draw_differently() -> None:
    sampler = BatchSampler(0, 23, (1, 1), 3)
    first = sampler.batch(0, 4).latents
    assert not torch.equal(first, sampler.batch(4, 4).latents)
    assert not torch.equal(first, BatchSampler(1, 23, (1, 1), 3).batch(0, 4).latents)


# Real notes as images


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0, 1.75, 2.0])
def test_images_of_real_notes_are_blended_means_of_their_specgrams(
    notes: PreparedNotes, progress: float
) -> None:
    dataset = dataset_of(notes)
    config, rows = dataset.config, np.array([3, 0, 3, 7])
    found = dataset.images(rows, progress)
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
    sampler = BatchSampler(0, 20, (1,), 2)
    # All; those of the first resolution alone; none.
    kept, some, none = (dataset_of(notes, cache) for cache in (ENOUGH, 4 * 20 * 2 * 32, 0))
    for step, progress in enumerate([0.0, 0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 0.0]):
        rows = sampler.notes(8 * step, 8)
        images = [dataset.images(rows, progress) for dataset in (kept, some, none)]
        assert torch.equal(images[0], images[1])
        assert torch.equal(images[0], images[2])


def test_what_is_read_ahead_is_what_is_used(notes: PreparedNotes) -> None:
    class Counted(np.ndarray):
        reads = 0

        def __getitem__(self, key: Any) -> Any:
            Counted.reads += 1
            return super().__getitem__(key)

    for cache in (ENOUGH, 0):
        dataset = dataset_of(notes, cache)
        dataset._waveforms = np.asarray(notes.waveforms).view(Counted)
        dataset.images(np.array([1, 0]), 1.0)
        ahead = np.array([9, 1, 4])
        Counted.reads = 0
        dataset.read_ahead(ahead, 1.0)
        found = dataset.images(ahead, 1.0)
        assert Counted.reads == 1
        assert torch.equal(found, dataset_of(notes).images(ahead, 1.0))
        # Something else is asked for: it is read now, and what came too early is forgotten.
        dataset.read_ahead(np.array([5, 6]), 1.0)
        assert torch.equal(
            dataset.images(np.array([7]), 1.0), dataset_of(notes).images(np.array([7]), 1.0)
        )
        dataset.close()


def test_a_share_of_the_free_memory_is_taken() -> None:
    whole = default_cache_bytes(CPU)
    assert 0 < default_cache_bytes(CPU, processes=4) < whole


# The choice of notes


def test_the_training_split_of_the_chosen_pitches_is_taken(notes: PreparedNotes) -> None:
    chosen = training_notes.choose_training_notes(notes, small(), pitches=[64, 62])
    assert chosen.pitch_counts == {62: 10, 64: 5}
    assert {notes.records[row].pitch for row in chosen.rows} == {62, 64}
    assert {notes.records[row].split for row in chosen.rows} == {"train"}
    assert [(62, 64)[label] for label in chosen.labels] == list(notes.pitches[chosen.rows])


def test_all_pitches_are_taken_where_none_are_named(notes: PreparedNotes) -> None:
    chosen = training_notes.choose_training_notes(notes, small())
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
        training_notes.choose_training_notes(notes, small(), pitches=pitches)


def test_fewer_notes_than_a_batch_are_refused(notes: PreparedNotes) -> None:
    text = r"data='.*': has 20 training notes, fewer than a batch of 21; add notes, build with a"
    with pytest.raises(InputError, match=text):
        training_notes.choose_training_notes(notes, small(batch_size_schedule=[21, 4]))
    # Without growing resolutions only the last one's batch counts.
    config = small(batch_size_schedule=[21, 4], train_progressive=False)
    assert len(training_notes.choose_training_notes(notes, config).rows) == 20


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
        training_notes.choose_training_notes(notes, small(**{name: ours}))


def test_one_instrument_is_refused_unless_allowed(tmp_path: Path) -> None:
    notes = open_notes(write_notes(tmp_path / "notes", instruments=1))
    text = (
        r"data='.*': all 4 training notes are of one instrument \('keyboard_0'\), so every latent "
        r"would mean the same; add others, or say --allow-one-instrument\."
    )
    with pytest.raises(InputError, match=text):
        training_notes.choose_training_notes(notes, small())
    assert (
        len(training_notes.choose_training_notes(notes, small(), allow_one_instrument=True).rows)
        == 4
    )


def test_the_range_of_specgrams_is_measured_over_all_notes(notes: PreparedNotes) -> None:
    dataset = dataset_of(notes)
    order = np.arange(20)[::-1].copy()
    low, high = training_notes.measured_range(dataset, order)
    whole = dataset.specgrams(order)
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
    stage = StageNormalizer(normalizer, scale)
    shape = (3, 2, *schedule.block_shape(config, 1))
    data = torch.from_numpy(random.normal(0, 6, shape).astype(np.float32))
    found = stage.network_input(stage.from_data(data))
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
    stage = StageNormalizer(normalizer, scale)
    shape = (3, 2, *schedule.block_shape(config, 2))
    data = torch.from_numpy(random.normal(0, 2, shape).astype(np.float32))
    weights = torch.from_numpy(random.normal(0, 1, shape).astype(np.float32))

    def score(seen: torch.Tensor) -> torch.Tensor:
        return (weights * seen).square().sum()

    u = stage.from_data(data).requires_grad_()
    (gradient,) = torch.autograd.grad(score(stage.network_input(u)), u)
    whole = upscale(data, scale).requires_grad_()
    normal = normalizer.normalize(whole.permute(0, 2, 3, 1))
    (expected,) = torch.autograd.grad(
        score(downscale(torch.as_tensor(normal).permute(0, 3, 1, 2), scale)), whole
    )
    torch.testing.assert_close(
        stage.data_gradient_norms(gradient), expected.square().sum(dim=(1, 2, 3)).sqrt(),
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
