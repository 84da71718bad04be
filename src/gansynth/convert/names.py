"""Which TensorFlow variable becomes which tensor of ours, and how its axes are turned.

Networks are described by their own state dicts, so that a table can be checked both ways: every
tensor has exactly one variable, and no variable is left over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AVERAGE_SUFFIX = "/ExponentialMovingAverage"

Array = NDArray[np.float32]


class VariableSource(NamedTuple):
    """A TensorFlow variable and the axes turn that makes it ours."""

    variable: str
    turn: Callable[[Array], Array]


def _same(x: Array) -> Array:
    return x


def _dense(x: Array) -> Array:
    """[in, out] to [out, in]."""
    return x.T


def _conv(x: Array) -> Array:
    """[kt, kf, in, out] to [out, in, kt, kf]; transposed ones [kt, kf, out, in] to [in, out, …]."""
    return x.transpose(3, 2, 0, 1)


def _latent_to_image(x: Array) -> Array:
    """[time, freq, in, out], reached from the far end, to [in, out, time, freq]."""
    return x[::-1, ::-1].transpose(2, 3, 0, 1)


def _layer(name: str, kind: str, *, simple: bool) -> tuple[str, Callable[[Array], Array]]:
    """TensorFlow's name for a layer's weight, and its turn."""
    if kind == "dense":
        return (f"{name}/kernel" if simple else f"{name}/dense/kernel"), _dense
    return (f"{name}/kernel" if simple else f"{name}/conv2d/kernel"), _conv


def generator_sources(
    names: list[str], *, simple: bool, averaged: bool
) -> dict[str, VariableSource]:
    """The table of a generator.

    Parameters
    ----------
    names : list of str
        Keys of the generator's state dict: blocks.{b - 1}.{layer}.{weight | bias}.
    simple : bool
        Whether it has the simple architecture.
    averaged : bool
        Take the moving averages instead of the last weights.
    """
    suffix = AVERAGE_SUFFIX if averaged else ""
    table = {}
    for name in names:
        _, index, layer, part = name.split(".")
        block = f"Generator/progressive_gan_generator/progressive_gan_block_{int(index) + 1}"
        if simple and layer == "conv":
            layer = "conv2d_transpose"
        weight, turn = _layer(layer, "dense" if layer == "dense" else "conv", simple=simple)
        if layer == "conv0" and index == "0":
            turn = _latent_to_image
        variable = weight if part == "weight" else f"{layer}/bias"
        table[name] = VariableSource(
            f"{block}/{variable}{suffix}", turn if part == "weight" else _same
        )
    return table


def discriminator_sources(names: list[str], *, simple: bool) -> dict[str, VariableSource]:
    """The table of a discriminator; arguments as for `generator_sources`."""
    table = {}
    for name in names:
        *path, layer, part = name.split(".")
        if layer == "pitch_logits":
            weight, turn = _layer("classification_logits", "dense", simple=False)
            scope, layer = "Discriminator/discriminator_cond", "classification_logits"
        else:
            scope = (
                "Discriminator/progressive_gan_discriminator/"
                f"progressive_gan_block_{int(path[1]) + 1}"
            )
            kind = "dense" if layer in ("dense", "logits") else "conv"
            layer = "last_conv" if layer == "dense" else layer
            weight, turn = _layer(layer, kind, simple=simple)
        variable = weight if part == "weight" else f"{layer}/bias"
        table[name] = VariableSource(f"{scope}/{variable}", turn if part == "weight" else _same)
    return table
