"""Notes that are copies of others: equal samples, or the same sound at another level.

Equal samples have equal digests. For the rest each note is summed up in a few numbers that keep
inner products (a count sketch, Charikar et al. 2002): sample i, times a random sign, is added to
number i mod 64. Notes of one pitch whose sketches point the same way are then compared in full.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gansynth.data.waveform_file import WaveformFile

_WIDTH = 64
_CANDIDATE = 0.99  # cosine of two sketches
_SAME = 0.999  # correlation of two notes
_TRIES = 8  # full comparisons a note
_PAIRS = 1 << 22  # cosines at once

Waves = NDArray[np.int16]


class Copy(NamedTuple):
    """Note `row` copies note `first`; `correlation` is None where all samples are equal."""

    first: int
    row: int
    correlation: float | None


def sketch(waves: Waves) -> NDArray[np.float32]:
    """Sketches [notes, numbers] of waves [notes, samples]."""
    samples = waves.shape[1]
    width = min(_WIDTH, samples)
    used = samples // width * width
    signed = waves[:, :used] * _signs(used)
    return signed.reshape(len(waves), -1, width).sum(axis=1)


@lru_cache(maxsize=2)
def _signs(count: int) -> NDArray[np.float32]:
    signs = np.random.default_rng(0).integers(0, 2, count, np.int8)
    return (2 * signs - 1).astype(np.float32)


def find_copies(
    waveforms: Waves | WaveformFile,
    pitches: Sequence[int],
    digests: Sequence[bytes],
    sketches: NDArray[np.float32],
    skip: NDArray[np.bool_],
) -> list[Copy]:
    """Copies in the order of `row`; all arguments have one entry a note.

    Equal samples are found whatever the pitch, copies at another level among notes of one pitch.
    A copy is told of once, against the first note that it copies, which is no copy itself.
    Notes to `skip` are silent.
    """
    copies: list[Copy] = []
    firsts: dict[bytes, int] = {}
    by_pitch: defaultdict[int, list[int]] = defaultdict(list)
    for row, (pitch, digest) in enumerate(zip(pitches, digests, strict=True)):
        if skip[row]:
            continue
        first = firsts.setdefault(digest, row)
        if first != row:
            copies.append(Copy(first, row, None))
        else:
            by_pitch[pitch].append(row)
    for rows in by_pitch.values():
        copies += _scaled_copies(waveforms, np.asarray(rows), sketches)
    return sorted(copies, key=lambda copy: copy.row)


def _scaled_copies(
    waveforms: Waves | WaveformFile, rows: NDArray[np.int64], sketches: NDArray[np.float32]
) -> list[Copy]:
    """Copies at another level among some rows."""
    copies: list[Copy] = []
    is_copy = np.zeros(len(rows), bool)
    units = sketches[rows] / np.maximum(np.linalg.norm(sketches[rows], axis=1, keepdims=True), 1e-9)
    size = max(1, _PAIRS // len(rows))
    for start in range(0, len(rows), size):
        alike = np.abs(units[start : start + size] @ units[: start + size].T) > _CANDIDATE
        for place, near in enumerate(alike, start):
            candidates = np.flatnonzero(near[:place] & ~is_copy[:place])[:_TRIES]
            for candidate in candidates:
                correlation = _correlation(waveforms[rows[candidate]], waveforms[rows[place]])
                if abs(correlation) >= _SAME:
                    is_copy[place] = True
                    copies.append(Copy(int(rows[candidate]), int(rows[place]), correlation))
                    break
    return copies


def _correlation(one: Waves, other: Waves) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b) / max(math.sqrt(float(a @ a) * float(b @ b)), 1e-9)
