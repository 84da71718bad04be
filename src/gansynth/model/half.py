"""Model files of half the size: weights rounded to float16, which sound nearly the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gansynth.errors import ModelError
from gansynth.model.file import OPTIONAL_PARTS, Model, read_model, save_model
from gansynth.tensors import State


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
    where = f"path={str(path)!r}"
    halves: dict[str, Any] = {}
    for name in ("generator", *OPTIONAL_PARTS):
        if state := getattr(model, name):
            halves[name] = _halved(state, f"{where}: {name}")
    save_model(path, replace(model, **halves), overwrite=overwrite)
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
