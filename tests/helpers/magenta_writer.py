"""Writes a model as the original's training leaves it behind: used by tests alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gansynth.convert.names import discriminator_sources, generator_sources
from gansynth.model.file import Model
from gansynth.networks.progressive import Discriminator
from tensorflow_writer import store, write


def turned_back(values: NDArray, turn: Callable[[NDArray], NDArray]) -> NDArray:
    """The array that `turn` makes `values` of; turns only reorder."""
    for shape in itertools.permutations(values.shape):
        places = turn(np.arange(values.size).reshape(shape))
        if places.shape == values.shape:
            original = np.empty(values.size, values.dtype)
            original[places.ravel()] = values.ravel()
            return original.reshape(shape)
    raise AssertionError(f"no shape of {values.shape} fits")


def magenta_tensors(model: Model, images: int = 0, seconds: float = 0.0) -> dict[str, NDArray]:
    """Variables of a checkpoint: averages, last weights (all doubled), discriminator, counters."""
    simple = model.config.simple_arch
    torch.manual_seed(0)
    discriminator = Discriminator(model.config, len(model.pitch_counts), model.num_blocks)
    names = list(model.generator)
    tensors: dict[str, NDArray] = {
        "global_step": np.array(images, dtype=np.int64),
        "Variable": np.array(seconds, dtype=np.float32),
    }
    for averaged in (True, False):
        for name, source in generator_sources(names, simple=simple, averaged=averaged).items():
            values = model.generator[name].numpy() * (1 if averaged else 2)
            tensors[source.variable] = turned_back(values, source.turn)
    state = discriminator.state_dict()
    for name, source in discriminator_sources(list(state), simple=simple).items():
        tensors[source.variable] = turned_back(state[name].numpy(), source.turn)
    slots = {f"progressive_gan_train_ops/{name}/Adam": np.zeros(3, "f4") for name in tensors}
    return {**tensors, **slots}


def write_magenta(
    folder: Path,
    model: Model,
    *,
    stage: int | None = None,
    images: int | None = None,
    seconds: float = 0.0,
    experiment: dict[str, Any] | None = None,
    leave_out: str = "",
    **options: Any,
) -> Path:
    """Write experiment.json and one stage; `options` go to the checkpoint's writer."""
    stage = model.config.num_stages - 1 if stage is None else stage
    images = model.config.total_num_images if images is None else images
    tensors = magenta_tensors(model, images, seconds)
    tensors.pop(leave_out, None)
    place = folder / f"stage_{stage:05d}"
    place.mkdir(parents=True)
    (folder / "experiment.json").write_text(json.dumps(experiment or model.config.to_dict()))
    prefix = f"model.ckpt-{images}"
    write(place, {name: store(a) for name, a in tensors.items()}, prefix, **options)
    (place / "checkpoint").write_text(f'model_checkpoint_path: "/home/elsewhere/{prefix}"\n')
    if model.normalizer is not None:
        (folder / "assets").mkdir()
        file = folder / "assets" / f"{model.config.data_normalizer}.npz"
        np.savez(file, normalizer=model.normalizer)
    return folder
