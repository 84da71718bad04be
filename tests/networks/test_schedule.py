"""Resolutions, stages and blends as functions of images seen or of seconds: values by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawing import large_examples
from gansynth.config import Config, preset
from gansynth.errors import ConfigError
from gansynth.networks import schedule

PUBLISHED = preset("mel_prog_hires")


def small(**changes: Any) -> Config:
    """Three resolutions: 10 images stable, 4 images of blend."""
    base = {
        "num_resolutions": 3,
        "audio_length": 1,
        "stable_stage_num_images": 10,
        "transition_stage_num_images": 4,
        "total_num_images": 100,
    }
    return Config(**{**base, **changes})


@pytest.mark.parametrize(
    ("mode", "base", "shapes"),
    [
        ("ALL", 2, [(4, 8), (8, 16), (16, 32)]),
        ("H", 2, [(4, 8), (8, 8), (16, 8)]),
        ("ALL", 4, [(4, 8), (16, 32), (64, 128)]),
        ("H", 4, [(4, 8), (16, 8), (64, 8)]),
    ],
)
def test_block_shapes_grow_by_the_scale(
    mode: str, base: int, shapes: list[tuple[int, int]]
) -> None:
    config = small(scale_mode=mode, scale_base=base)
    assert [schedule.block_shape(config, b) for b in (1, 2, 3)] == shapes
    assert schedule.block_shape(config, 3) == config.final_shape
    assert schedule.scale(config) == (base, base if mode == "ALL" else 1)
    assert schedule.scale(config, 2) == (base**2, base**2 if mode == "ALL" else 1)
    assert schedule.scale(config, 0) == (1, 1)


def test_published_shapes() -> None:
    shapes = [schedule.block_shape(PUBLISHED, b) for b in range(1, 8)]
    assert shapes == [(2 << k, 16 << k) for k in range(7)]


def test_each_odd_stage_adds_a_block() -> None:
    blocks = [schedule.blocks_at_stage(PUBLISHED, s) for s in range(PUBLISHED.num_stages)]
    assert blocks == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]


def test_published_stages_take_800_thousand_images_each() -> None:
    ends = [schedule.images_until(PUBLISHED, s) for s in range(13)]
    assert ends == [800_000 * (s + 1) for s in range(12)] + [11_000_000]


def test_stages_end_by_their_kind_and_never_after_the_training() -> None:
    assert [schedule.images_until(small(), s) for s in range(5)] == [10, 14, 24, 28, 100]
    short = small(total_num_images=20)
    assert [schedule.images_until(short, s) for s in range(5)] == [10, 14, 20, 20, 20]


@pytest.mark.parametrize(
    ("sizes", "by_stage"),
    [
        ((8,), [8] * 13),
        ((16, 8), [16] * 11 + [8] * 2),
        ((32, 16, 8), [32] * 9 + [16] * 2 + [8] * 2),
        ((7, 6, 5, 4, 3, 2, 1), [7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]),
    ],
)
def test_batch_sizes_are_padded_at_the_front(sizes: tuple[int, ...], by_stage: list[int]) -> None:
    config = Config(batch_size_schedule=sizes)
    assert [schedule.batch_size(config, s) for s in range(13)] == by_stage


@pytest.mark.parametrize(
    ("images", "blocks", "progress"),
    [
        (0, 3, 0.0),
        (10, 3, 0.0),  # the blend begins
        (11, 3, 0.25),
        (13, 3, 0.75),
        (14, 3, 1.0),
        (24, 3, 1.0),
        (26, 3, 1.5),
        (28, 3, 2.0),
        (37, 3, 2.0),
        (99, 3, 2.0),
        (12, 2, 0.5),
        (23, 2, 1.0),
        (99, 2, 1.0),  # two blocks exist: nothing to blend in
        (99, 1, 0.0),
    ],
)
def test_progress_by_images(images: int, blocks: int, progress: float) -> None:
    assert schedule.progress_at_images(small(), images, blocks) == pytest.approx(progress)


def test_published_progress_is_half_the_stage_in_the_middle_of_a_stage() -> None:
    middles = [800_000 * s + 400_000 for s in range(13)]
    progress = [schedule.progress_at_images(PUBLISHED, images, 7) for images in middles]
    assert progress == [s / 2 for s in range(13)]
    assert schedule.progress_at_images(PUBLISHED, 11_000_000, 7) == 6


def test_stages_of_equal_time() -> None:
    config = small(train_time_limit=5.0)
    assert np.cumsum(schedule.stage_seconds(config)) == pytest.approx([1, 2, 3, 4, 5])
    seconds = [0, 1, 1.25, 2, 3, 3.5, 4, 5, 50]
    progress = [schedule.progress_at_seconds(config, s, 3) for s in seconds]
    assert progress == pytest.approx([0, 0, 0.25, 1, 1, 1.5, 2, 2, 2])
    assert schedule.progress_at_seconds(config, 3.5, 2) == pytest.approx(1)
    assert schedule.progress_at_seconds(config, 3.5, 1) == 0


def test_stages_whose_time_doubles() -> None:
    config = small(train_time_limit=31.0, train_time_stage_multiplier=2.0)
    assert np.cumsum(schedule.stage_seconds(config)) == pytest.approx([1, 3, 7, 15, 31])
    progress = [schedule.progress_at_seconds(config, s, 3) for s in (2, 3, 9, 31)]
    assert progress == pytest.approx([0.5, 1, 1.25, 2])


@pytest.mark.parametrize("multiplier", [0.1, 10.0])
def test_progress_by_time_is_a_number_for_any_multiplier(multiplier: float) -> None:
    config = Config(
        train_time_limit=100.0,
        train_time_stage_multiplier=multiplier,
        num_resolutions=10,
        start_height=1,
        start_width=1,
        data_type="linear",
        audio_length=1,
        fmap_base=4096,
    )
    for seconds in (0.0, 50.0, 100.0, 1e9):
        assert 0 <= schedule.progress_at_seconds(config, seconds, 10) <= 9
    assert schedule.progress_at_seconds(config, 100.0001, 10) == 9


@pytest.mark.parametrize("multiplier", [0.05, 20.0])
def test_stages_that_shrink_or_grow_beyond_reason_are_refused(multiplier: float) -> None:
    with pytest.raises(ConfigError, match=r"train_time_stage_multiplier=.*: must be a number from"):
        Config(train_time_stage_multiplier=multiplier)


@pytest.mark.parametrize(
    ("progress", "blocks", "weight"),
    [(0, 1, 1.0), (0.25, 2, 0.25), (0.75, 2, 0.75), (1, 2, 1.0), (1.5, 3, 0.5), (6, 7, 1.0)],
)
def test_blocks_and_blend_of_a_progress(progress: float, blocks: int, weight: float) -> None:
    assert schedule.blocks_needed(progress) == blocks
    assert schedule.blend_weight(progress) == pytest.approx(weight)


def test_one_resolution_never_blends() -> None:
    config = small(num_resolutions=1, train_time_limit=10.0)
    assert schedule.images_until(config, 0) == 100
    assert schedule.progress_at_images(config, 99, 1) == 0
    assert schedule.progress_at_seconds(config, 9.0, 1) == 0


# Properties

schedules = st.builds(
    small,
    num_resolutions=st.integers(1, 7),
    stable_stage_num_images=st.integers(1, 50),
    transition_stage_num_images=st.integers(1, 50),
    total_num_images=st.integers(1, 1000),
    train_time_limit=st.floats(1, 1e6),
    train_time_stage_multiplier=st.floats(0.5, 3),
)


@large_examples()
@given(config=schedules, first=st.integers(0, 1000), more=st.integers(0, 1000), data=st.data())
def test_progress_by_images_never_falls(
    config: Config, first: int, more: int, data: st.DataObject
) -> None:
    blocks = data.draw(st.integers(1, config.num_resolutions))
    before = schedule.progress_at_images(config, first, blocks)
    after = schedule.progress_at_images(config, first + more, blocks)
    assert 0 <= before <= after <= blocks - 1
    wider = schedule.progress_at_images(config, first, config.num_resolutions)
    assert before == pytest.approx(min(wider, blocks - 1))


@large_examples()
@given(config=schedules, first=st.floats(0, 2e6), more=st.floats(0, 2e6), data=st.data())
def test_progress_by_seconds_never_falls(
    config: Config, first: float, more: float, data: st.DataObject
) -> None:
    blocks = data.draw(st.integers(1, config.num_resolutions))
    before = schedule.progress_at_seconds(config, first, blocks)
    after = schedule.progress_at_seconds(config, first + more, blocks)
    assert 0 <= before <= after <= blocks - 1


@large_examples()
@given(config=schedules)
def test_stages_come_one_after_another_and_end_with_the_training(config: Config) -> None:
    images = [schedule.images_until(config, s) for s in range(config.num_stages)]
    assert images == sorted(images)
    assert images[-1] == config.total_num_images
    seconds = np.cumsum(schedule.stage_seconds(config)).tolist()
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(config.train_time_limit)


@large_examples()
@given(config=schedules, stage=st.integers(0, 12), share=st.floats(0, 1, exclude_max=True))
def test_the_blocks_of_a_stage_are_those_its_progress_needs(
    config: Config, stage: int, share: float
) -> None:
    stage = min(stage, config.num_stages - 1)
    begin = schedule.images_until(config, stage - 1) if stage else 0
    end = schedule.images_until(config, stage)
    images = begin + int(share * (end - begin))
    blocks = schedule.blocks_at_stage(config, stage)
    progress = schedule.progress_at_images(config, images, blocks)
    assert blocks - (2 if stage % 2 else 1) <= progress <= blocks - 1 or begin == end


@settings(deadline=None)
@given(progress=st.floats(0, 31))
def test_the_blend_is_between_neighbours(progress: float) -> None:
    blocks, weight = schedule.blocks_needed(progress), schedule.blend_weight(progress)
    assert 0 <= weight <= 1
    # Block b alone makes the image at progress b - 1, so the blend's mean block is progress + 1.
    assert weight * blocks + (1 - weight) * (blocks - 1) == pytest.approx(progress + 1)
