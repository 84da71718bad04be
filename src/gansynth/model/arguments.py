"""The arguments that notes are asked for with, checked: each fault is an `InputError`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gansynth.errors import InputError
from gansynth.pitches import describe_pitches

Floats = NDArray[np.float32]
Pitches = NDArray[np.int64]


def check_latents(latents: ArrayLike, size: int) -> Floats:
    """Latents as float32 `[n, size]`; an InputError unless they are that, and finite."""
    if isinstance(latents, Tensor):
        latents = latents.detach().float().cpu().numpy()
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 is told below
            z = np.atleast_2d(np.asarray(latents, dtype=np.float32))
    except (TypeError, ValueError):
        raise InputError(f"latents: must be numbers [n, {size}].") from None
    if z.ndim != 2 or z.shape[1] != size:
        raise InputError(f"latents: shape {z.shape}: the model needs [n, {size}].")
    if not np.isfinite(z).all():
        raise InputError("latents: hold NaN or infinite values; every number must be finite.")
    return z


def check_notes(
    latents: ArrayLike, pitches: ArrayLike, size: int, known: tuple[int, ...]
) -> tuple[Floats, Pitches]:
    """Latents float32 `[n, size]`, one for each of the MIDI pitches `[n]` out of `known`."""
    try:
        wanted = np.atleast_1d(np.asarray(pitches))
    except (TypeError, ValueError):
        raise InputError("pitches: must be one number or a list of numbers.") from None
    if wanted.ndim != 1:
        raise InputError(f"pitches: shape {wanted.shape}: must be one number or a list.")
    z = check_latents(latents, size)
    if len(z) == 1 and len(wanted) > 1:
        z = np.repeat(z, len(wanted), axis=0)
    if len(z) != len(wanted):
        raise InputError(f"latents: {len(z)} for {len(wanted)} pitches: give one for each.")
    for pitch in wanted.tolist():
        if not isinstance(pitch, int | float) or pitch not in known:
            raise InputError(f"pitch={pitch!r}: the model knows {describe_pitches(known)}.")
    return z, wanted.astype(np.int64)


def check_velocities(velocities: ArrayLike, known: tuple[int, ...], count: int) -> Floats:
    """MIDI velocities float32 `[count]`, kept within those that the model learned."""
    if not known:
        raise InputError(
            "velocities: the model was trained without them; leave them out, and scale notes."
        )
    try:
        wanted = np.atleast_1d(np.asarray(velocities, dtype=np.float32))
    except (TypeError, ValueError):
        raise InputError("velocities: must be one number or a list of numbers.") from None
    if wanted.shape not in ((1,), (count,)):
        raise InputError(f"velocities: {len(wanted)} for {count} pitches: give one for each.")
    if not ((wanted >= 1) & (wanted <= 127)).all():
        raise InputError("velocities: must be numbers from 1 to 127.")
    # The voice does so too; here it lets notes that are the same be made once.
    return np.broadcast_to(wanted.clip(known[0], known[-1]), count)


def check_seed(seed: int) -> int:
    """A whole number of 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed={seed!r}: must be a whole number of 0 or more, or None.")
    return int(seed)


def check_count(n: int) -> int:
    """A whole number of 0 or more."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise InputError(f"n={n!r}: must be a whole number of 0 or more.")
    return int(n)
