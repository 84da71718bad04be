"""Resolutions and stages: which block is at work, how large its image is, how far a blend has come.

Blocks are counted from 1 (the first resolution). Stages are counted from 0: even stages train one
resolution, odd stages blend in the next one. `progress` is a real number: b - 1 when block b alone
makes the image, in between while two are blended. All are pure functions of images seen (or of
seconds, where training follows the clock).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gansynth.config import Config


@dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes
    ----------
    stage : int
    num_blocks : int
        Blocks that exist.
    progress : float
    batch_size : int
        Notes of one process's batch.
    share : float
        Of the whole training that is over, 0 to 1.
    stage_is_over : bool
    has_ended : bool
        Whether nothing is left to train, also where the images end before the last stage.
    """

    stage: int
    num_blocks: int
    progress: float
    batch_size: int
    share: float
    stage_is_over: bool
    has_ended: bool


def position(config: Config, stage: int, images: int, seconds: float) -> Position:
    """Where a training stands in a stage after so many images and seconds.

    Resolutions grow with the images seen, or with the clock where `train_time_limit` is given.
    Those that don't grow end with whichever of the two comes first.
    """
    blocks, limit = blocks_at_stage(config, stage), config.train_time_limit
    by_images = images / config.total_num_images
    by_clock = 0.0 if limit is None else seconds / limit
    if not config.train_progressive:
        progress, share = blocks - 1.0, max(by_images, by_clock)
        over = ended = share >= 1
    elif limit is not None:
        progress, share = progress_at_seconds(config, seconds, blocks), by_clock
        over = seconds >= float(stage_seconds(config)[: stage + 1].sum())
        ended = over and stage == config.num_stages - 1
    else:
        progress, share = progress_at_images(config, images, blocks), by_images
        over = images >= images_until(config, stage)
        ended = share >= 1
    size = batch_size(config, stage)
    return Position(stage, blocks, progress, size, min(share, 1.0), over, ended)


def place_of(config: Config, progress: float) -> tuple[int, int, float]:
    """Stage, images and seconds at which a training has come to this progress."""
    if not config.train_progressive:
        return config.num_stages - 1, 0, 0.0
    whole = int(progress)
    blend = progress - whole
    stage = 2 * whole + (1 if blend > 0 else 0)
    if config.train_time_limit is not None:
        lengths = stage_seconds(config)
        return stage, 0, float(lengths[:stage].sum() + blend * lengths[stage])
    images = images_until(config, stage - 1) if stage else 0
    return stage, images + round(blend * config.transition_stage_num_images), 0.0


def trained_stages(config: Config) -> range:
    """The stages that are trained: the last one alone where resolutions don't grow."""
    return range(0 if config.train_progressive else config.num_stages - 1, config.num_stages)


def scale(config: Config, steps: int = 1) -> tuple[int, int]:
    """(time, freq) growth over `steps` resolutions."""
    growth = config.scale_base**steps
    return growth, growth if config.scale_mode == "ALL" else 1


def block_shape(config: Config, block: int) -> tuple[int, int]:
    """(time, freq) of a block's image, before any upscaling."""
    time, freq = scale(config, block - 1)
    return config.start_height * time, config.start_width * freq


def blocks_at_stage(config: Config, stage: int) -> int:
    """Blocks that exist at a training stage."""
    return (stage + 1) // 2 + 1


def images_until(config: Config, stage: int) -> int:
    """Images seen when a stage ends."""
    if not config.train_progressive or stage >= config.num_stages - 1:
        return config.total_num_images
    stable = (stage // 2 + 1) * config.stable_stage_num_images
    blends = (stage + 1) // 2 * config.transition_stage_num_images
    return min(stable + blends, config.total_num_images)


def batch_size(config: Config, stage: int) -> int:
    """Batch size of a stage."""
    sizes = config.batch_size_schedule
    padded = (sizes[0],) * (config.num_resolutions - len(sizes)) + sizes
    return padded[(stage + 1) // 2]


def progress_at_images(config: Config, images: int, num_blocks: int) -> float:
    """Progress after `images` images, when blocks up to `num_blocks` exist."""
    stable, blend = config.stable_stage_num_images, config.transition_stage_num_images
    last = num_blocks * stable + (num_blocks - 1) * blend - 1
    whole, rest = divmod(min(images, last), stable + blend)
    return whole + max(0.0, (rest - stable) / blend)


def stage_seconds(config: Config) -> NDArray[np.float64]:
    """How long each stage lasts `[num_stages]`, for training with `train_time_limit`."""
    lengths = np.power(config.train_time_stage_multiplier, np.arange(config.num_stages))
    return lengths * (config.train_time_limit or 0.0) / lengths.sum()


def progress_at_seconds(config: Config, seconds: float, num_blocks: int) -> float:
    """Progress after `seconds` of training, when blocks up to `num_blocks` exist."""
    lengths = stage_seconds(config)
    starts = np.cumsum(lengths) - lengths
    blends = [
        float((seconds - starts[stage]) / lengths[stage])
        for stage in range(1, config.num_stages, 2)
    ]
    return min(sum(min(max(done, 0.0), 1.0) for done in blends), num_blocks - 1.0)


def blocks_needed(progress: float) -> int:
    """The highest block that takes part in the image at this progress."""
    return math.ceil(progress) + 1


def blend_weight(progress: float) -> float:
    """Share of the highest needed block in the image; the block below it gives the rest."""
    return 1.0 - (math.ceil(progress) - progress)
