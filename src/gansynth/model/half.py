"""Model files of half the size: weights rounded to float16, which sound nearly the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from gansynth.errors import ModelError
from gansynth.model.file import Model, State, read_model, save_model


def save_half(path: str | Path, model: Model, *, overwrite: bool = False) -> Model:
    """Write a model file with float16 weights; other arguments and errors as for `save_model`.

    Returns
    -------
    Model
        What the file gives back: float32 again, rounded, and so of another digest.

    Raises
    ------
    ModelError
        If a weight is beyond what float16 holds.
    """
    where, last, judge = f"path={str(path)!r}", model.last_generator, model.discriminator
    halves = replace(
        model,
        generator=_halved(model.generator, f"{where}: generator"),
        last_generator=last and _halved(last, f"{where}: last_generator"),
        discriminator=judge and _halved(judge, f"{where}: discriminator"),
    )
    save_model(path, halves, overwrite=overwrite)
    return read_model(path)


def _halved(state: State, where: str) -> State:
    halves = {name: tensor.half() for name, tensor in state.items()}
    for name, half in halves.items():
        # What was NaN or infinite before is told by save_model.
        if torch.isfinite(state[name]).all() and not torch.isfinite(half).all():
            raise ModelError(
                f"{where}.{name}: reaches {state[name].abs().max():g}, beyond float16, which ends "
                f"at {torch.finfo(torch.float16).max:g}; leave --half out."
            )
    return halves
