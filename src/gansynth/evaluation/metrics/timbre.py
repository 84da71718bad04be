"""Does a latent keep its timbre over the pitches, and does it change evenly between two latents?

Everything here works on timbre vectors: unit-length vectors of a network that was trained to tell
notes apart by instrument, so that near ones sound like one instrument. GANSynth's claim (Engel et
al. 2019, section 6) is that pitch and timbre are apart: a fixed latent played at two pitches is
one instrument. The scale for that are real notes an octave apart,

    one instrument    C4 of a cello ─── C5 of that cello
    two instruments   C4 of a cello ─── C5 of a flute

of which the first should lie closer than the second, and a model's pair of one latent as close as
the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gansynth.errors import InputError

Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]


OCTAVE = 12  # semitones


class PathSteps(NamedTuple):
    """One entry a path: the `mean` distance from step to step, and its `roughness`, the largest
    distance / the mean (1: even; the number of steps: one jump; NaN: no movement at all).
    """

    mean: Floats
    roughness: Floats


def octave_pairs(instruments: Sequence[str], pitches: ArrayLike, interval: int = 12) -> Pairs:
    """Rows of notes of one instrument that lie `interval` semitones apart, int64 [pairs, 2].

    The lower note comes first. Where an instrument has a pitch several times (velocities), its
    notes are paired in order of their rows, so that no note counts twice on one side.
    """
    rows: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for row, key in enumerate(_keys(instruments, pitches)):
        rows[key].append(row)
    pairs = [
        pair
        for (instrument, pitch), low in rows.items()
        for pair in zip(low, rows.get((instrument, pitch + interval), ()), strict=False)
    ]
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def other_pairs(pairs: Pairs, instruments: Sequence[str], pitches: ArrayLike, seed: int) -> Pairs:
    """The same lower notes, each with a note of another instrument in place of its upper one.

    That note has the upper one's pitch and is drawn with `seed`; a pair without such a note is
    left out. Where instruments share recordings, pass their groups as `instruments`.
    """
    keys = _keys(instruments, pitches)
    by_pitch: defaultdict[int, list[int]] = defaultdict(list)
    for row, (_, pitch) in enumerate(keys):
        by_pitch[pitch].append(row)
    rng = np.random.default_rng(seed)
    found = []
    for low, high in pairs.tolist():
        others = [row for row in by_pitch[keys[high][1]] if keys[row][0] != keys[low][0]]
        if others:
            found.append((low, others[rng.integers(len(others))]))
    return np.array(found, np.int64).reshape(-1, 2)


def distances(vectors: NDArray[np.floating], pairs: Pairs) -> Floats:
    """Euclidean distances [pairs] between rows of timbre vectors [notes, d]; 0 to 2."""
    low, high = np.asarray(vectors, np.float64)[pairs.T]
    return np.asarray(np.linalg.norm(high - low, axis=1))


def timbre_held(model_distances: ArrayLike, two_instrument_distances: ArrayLike) -> float:
    """Probability that a model's pair lies closer than a pair of two different instruments.

    0.5: changing the pitch changes the sound as much as changing the instrument; 1: never as much.
    The Mann-Whitney statistic, where ties count half. Raises `InputError` if either is empty or
    holds NaN.
    """
    model = np.asarray(model_distances, np.float64).ravel()
    two = np.sort(np.asarray(two_instrument_distances, np.float64).ravel())
    for name, values in (("model_distances", model), ("two_instrument_distances", two)):
        if not len(values) or np.isnan(values).any():
            raise InputError(
                f"{name}={len(values)} distances, {np.isnan(values).sum()} of them NaN: "
                "must be numbers, one or more; leave out pairs without a sound."
            )
    below = np.searchsorted(two, model, "left") + np.searchsorted(two, model, "right")
    return float(1 - below.mean() / (2 * len(two)))


def path_steps(points: NDArray[np.floating]) -> PathSteps:
    """How evenly paths through timbre space go: `[paths, steps, d]`, as of interpolated latents.

    Raises `InputError` for another shape, or fewer than two points a path.
    """
    if points.ndim != 3 or points.shape[1] < 2:
        raise InputError(
            f"points of shape {list(points.shape)}: must be [paths, steps, d] with 2 steps or more."
        )
    lengths = np.linalg.norm(np.diff(np.asarray(points, np.float64), axis=1), axis=2)
    mean = lengths.mean(axis=1)
    roughness = np.full(len(points), np.nan)
    np.divide(lengths.max(axis=1), mean, out=roughness, where=mean > 0)
    return PathSteps(mean, roughness)


@dataclass(frozen=True)
class TimbreScale:
    """Timbre over an octave in real notes: distances of pairs of one and of two instruments."""

    one: Floats
    two: Floats

    @staticmethod
    def of(
        vectors: NDArray[np.floating],
        instruments: Sequence[str],
        groups: Sequence[str],
        pitches: ArrayLike,
    ) -> TimbreScale:
        """From vectors `[n, d]` of notes; the other instruments drawn with a fixed seed."""
        pairs = octave_pairs(instruments, pitches, OCTAVE)
        others = other_pairs(pairs, groups, pitches, seed=0)
        return TimbreScale(distances(vectors, pairs), distances(vectors, others))

    def numbers(self, distances: NDArray[np.floating]) -> dict[str, float]:
        """How well pairs keep their timbre; nothing where there are no pairs to compare."""
        if not len(distances) or not len(self.two):
            return {}
        return {
            "timbre_held": timbre_held(distances, self.two),
            "timbre_distance": float(distances.mean()),
        }


def path_numbers(points: NDArray[np.floating]) -> dict[str, float]:
    """Of timbre vectors `[paths, steps, d]` along interpolations."""
    steps = path_steps(points)
    rough = steps.roughness[~np.isnan(steps.roughness)]
    return {
        "interpolation_step": float(steps.mean.mean()),
        "interpolation_roughness": float(rough.mean()) if len(rough) else float("nan"),
    }


def _keys(instruments: Sequence[str], pitches: ArrayLike) -> list[tuple[str, int]]:
    """Instrument and pitch of every note."""
    numbers = np.asarray(pitches).tolist()
    if len(numbers) != len(instruments):
        raise InputError(
            f"pitches of shape [{len(numbers)}]: must be [{len(instruments)}], one an instrument."
        )
    return list(zip(instruments, numbers, strict=True))
