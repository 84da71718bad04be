"""Latents as the page holds them: text in addresses, and the ways to find a new one.

The server keeps no instruments. A latent travels as text, its float32 numbers in base64, so that
a link is all that an instrument needs, and a server that was started again goes on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError
from gansynth.performance.instruments import slerp

Latent = NDArray[np.float32]

# Beyond any latent that was drawn: they lie within 6 or so. What is larger overflows somewhere.
LARGEST = 1000.0
# How far a slider's end moves a latent along its direction, in standard deviations of the prior.
REACH = 4.0


def encode_latent(latent: Latent) -> str:
    """A latent [latent_size] as text: little-endian float32 in base64 for addresses, unpadded."""
    data = np.ascontiguousarray(latent, "<f4").tobytes()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_latent(text: str, size: int) -> Latent:
    """The latent of a text; `InputError` unless it is one, of `size` numbers within `LARGEST`."""
    shown = f"latent={text[:12]!r}…"
    try:
        data = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        raise InputError(
            f"{shown}: isn't a latent in base64; copy the whole link or file again."
        ) from None
    if len(data) != 4 * size:
        raise InputError(
            f"{shown}: has {len(data)} bytes, the model's latents have {4 * size}; use the model "
            "that it was made with."
        )
    latent = np.frombuffer(data, "<f4").astype(np.float32)
    if not (np.abs(latent) <= LARGEST).all():  # NaN isn't either
        raise InputError(f"{shown}: every number must be from {-LARGEST:g} to {LARGEST:g}.")
    return latent


def near(latent: Latent, distance: float, rng: np.random.Generator) -> Latent:
    """Another latent of the same length, turned by `distance` right angles in a random direction.

    0 is the latent itself, 1 as unlike it as two random ones are.
    """
    z = latent.astype(np.float64)
    length = np.linalg.norm(z)
    other = rng.standard_normal(len(z))
    if length == 0:
        return (distance * other).astype(np.float32)
    across = other - z * (other @ z) / length**2
    across *= length / np.linalg.norm(across)
    angle = distance * np.pi / 2
    return (np.cos(angle) * z + np.sin(angle) * across).astype(np.float32)


def between(corners: NDArray[np.float32], x: float, y: float) -> Latent:
    """Spherical interpolation on a pad.

    Parameters
    ----------
    corners : float32 [4, latent_size]
        Top left, top right, bottom left, bottom right.
    x, y : float
        0 to 1, from left to right and from top to bottom.
    """
    top, bottom = slerp(corners[0], corners[1], x), slerp(corners[2], corners[3], x)
    return slerp(top, bottom, y).astype(np.float32)


def along(
    latent: Latent, positions: Mapping[str, float], vectors: Mapping[str, NDArray[np.float32]]
) -> Latent:
    """Move a latent by sliders, keeping its length.

    Parameters
    ----------
    latent : float32 [latent_size]
    positions : from a slider's name to -1 … 1
    vectors : from the name to a unit vector [latent_size]
    """
    z = latent.astype(np.float64)
    moved = z + sum(
        (REACH * at * vectors[name] for name, at in positions.items()), np.zeros(len(z))
    )
    length = np.linalg.norm(moved)
    if length == 0 or not any(positions.values()):
        return latent
    return (moved * (np.linalg.norm(z) / length)).astype(np.float32)
